# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts, and how they are reached: peer, delegation, loops, several hosts, connections, unreachable ones."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet, Host, HostSpec

from . import playbook
from .conftest import SCRATCH, make_fleet
from .playbook import pipe

MIB = 1024 * 1024
WHO = {"shell": "cat; hostname"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """h2 can also be reached at a port of its own."""
    yield from make_fleet(["h1", HostSpec("h2", sshd_config=("Port 2222",))], tmp_path_factory.mktemp("fleet"))


def carried(host: Host) -> int:
    """Bytes in and out of a host so far."""
    lines = [line.split() for line in host.run(["cat", "/proc/net/dev"]).stdout.splitlines()]
    return sum(int(words[1]) + int(words[9]) for words in lines if words and words[0] == "eth0:")


def ways(result: dict[str, Any]) -> list[str]:
    """Who the links go from and to, by address."""
    return [
        f"{link['source_address'].rsplit(':', 1)[0]}>{link['destination_address'].rsplit(':', 1)[0]}"
        for link in result["links"]
    ]


# -- peer: HOST


def test_a_peer_host_and_the_controller_carries_nothing(fleet: Fleet) -> None:
    h1, h2 = fleet["h1"], fleet["h2"]
    before = carried(fleet.controller)
    done = playbook.run(
        fleet,
        [
            pipe(
                input={"shell": "hostname >&2; head -c 200M /dev/zero"}, remote={"shell": "hostname; wc -c"}, peer="h2"
            ),
            pipe(remote="hostname", output=WHO, peer="h2"),
            pipe(input="hostname", remote=WHO, output=WHO, peer="h2"),
        ],
    )
    big, back, both = done.results
    assert carried(fleet.controller) - before < 5 * MIB
    assert big["bytes"] == 200 * MIB and big["stages"][0]["stderr"] == "h2\n"
    assert big["stages"][1]["stdout"] == f"h1\n{200 * MIB}\n"
    assert [stage["host"] for stage in big["stages"]] == ["h2", "h1"] and big["peer"] == "h2"
    assert ways(big) == [f"{h2.address}>{h1.address}"]
    assert back["stages"][1]["stdout"] == "h1\nh2\n" and ways(back) == [f"{h1.address}>{h2.address}"]
    assert both["stages"][2]["stdout"] == "h2\nh1\nh2\n"
    assert [(link["source_host"], link["destination_host"]) for link in both["links"]] == [("h2", "h1"), ("h1", "h2")]
    assert big["ansible_facts"]["socketpipe"]["peer"] == "h2"


def test_a_peer_by_its_own_variables(fleet: Fleet, work: Path) -> None:
    """Its user, port, key, interpreter and become are its own, those of the task's host too."""
    h2 = fleet["h2"]
    key, python = work / "key", work / "python"
    fleet.controller.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    python.write_text(f'#!/bin/sh\ntouch {SCRATCH}/used\nexec /usr/bin/python3 "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    h2.run(["install", "-m", "755", str(python), f"{SCRATCH}/python"])
    authorized = "/home/backup1/.ssh/authorized_keys"
    old = h2.run(["cat", authorized]).stdout
    inventory: dict[str, dict[str, Any]] = {
        "h2": {
            "ansible_user": "backup1",
            "ansible_port": 2222,
            "ansible_ssh_private_key_file": str(key),
            "ansible_ssh_extra_args": "-o HostKeyAlias=h2",
            "ansible_python_interpreter": f"{SCRATCH}/python",
        },
        "h1": {"ansible_user": "backup2"},
    }
    who = "id -un; echo $SSH_CONNECTION"
    task = pipe(input={"shell": who}, remote={"shell": f"cat; {who}"}, peer="h2")
    become = {"ansible_become": True, "ansible_become_user": "backup2"}
    try:
        h2.run(["sh", "-c", f"cat >{authorized}"], input=key.with_suffix(".pub").read_text(encoding="ascii"))
        done = playbook.run(fleet, task, inventory=inventory)
        became = playbook.run(
            fleet,
            [
                pipe(input="id -un", remote={"shell": "cat; id -un"}, peer="h2"),
                pipe(
                    input="id -un",
                    remote={"shell": "cat; id -un"},
                    peer="h2",
                    peer_become=True,
                    peer_become_user="root",
                ),
            ],
            inventory={**inventory, "h2": {**inventory["h2"], **become}},
        )
    finally:
        h2.run(["sh", "-c", f"cat >{authorized}"], input=old)
    own, others = fleet.controller.address, [h2.address, fleet["h1"].address]
    said = done.result["stages"][1]["stdout"].splitlines()
    assert said[0] == "backup1" and re.fullmatch(rf"{own} \d+ {others[0]} 2222", said[1])
    assert said[2] == "backup2" and re.fullmatch(rf"{own} \d+ {others[1]} 22", said[3])
    assert h2.run(["stat", "-c", "%U", f"{SCRATCH}/used"]).stdout == "backup1\n"
    assert [result["stages"][1]["stdout"] for result in became.results] == ["backup2\nbackup2\n", "root\nbackup2\n"]


def test_the_tasks_keywords_are_not_the_peers(fleet: Fleet) -> None:
    """become, environment and remote_user apply to the task's host."""
    show = "echo $(id -un) ${COLOUR:-none}"
    done = playbook.run(
        fleet,
        [
            pipe(
                input={"shell": show},
                remote={"shell": f"cat; {show}"},
                output={"shell": f"cat; {show}"},
                peer=peer,
                _become=True,
                _become_user="backup2",
                _environment={"COLOUR": "blue"},
            )
            for peer in ("h2", "localhost")
        ],
        play={"environment": [{"COLOUR": "red"}]},
    )
    for result in done.results:
        assert result["stages"][2]["stdout"] == "root none\nbackup2 blue\nroot none\n"


def test_environment(fleet: Fleet) -> None:
    """Of the play, the block and the task, and a stage's own over all; also the PATH in which commands are found."""
    fleet["h1"].run(["sh", "-c", f"printf '#!/bin/sh\\ncat; echo mine\\n' >{SCRATCH}/mine; chmod 755 {SCRATCH}/mine"])
    show = "echo ${A-} ${B-} ${C-} ${D-}"
    block = {
        "environment": {"B": "block", "C": "block", "D": "block"},
        "block": [
            {
                "name": "show",
                **pipe(
                    input={"shell": show},
                    remote=[
                        {"shell": f"cat; {show}"},
                        {"shell": f"cat; {show}", "environment": {"D": "stage", "A": ""}},
                    ],
                    _environment={"C": "task {{ 1 + 1 }}", "D": "task"},
                ),
            }
        ],
    }
    path = {"name": "path", **pipe(input="true", remote="mine", _environment={"PATH": f"{SCRATCH}:/usr/bin:/bin"})}
    play = {"hosts": "h1", "gather_facts": False, "environment": {"A": "play", "B": "play"}, "tasks": [block, path]}
    done = playbook.run(fleet, plays=[play])
    assert done.of("show").result["stages"][2]["stdout"] == "\nplay block task 2 task\nblock task 2 stage\n"
    assert done.of("path").result["stages"][1]["stdout"] == "mine\n"


def test_a_peer_that_is_the_tasks_own_host(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        [
            pipe(input="hostname", remote=WHO, peer="h1"),
            pipe(input="head -c 30M /dev/zero", remote="cat", output="wc -c", peer="{{ inventory_hostname }}"),
        ],
    )
    who, big = done.results
    assert who["stages"][1]["stdout"] == "h1\nh1\n" and [stage["host"] for stage in who["stages"]] == ["h1", "h1"]
    assert big["stages"][2]["stdout"] == f"{30 * MIB}\n"
    assert all(way in ("127.0.0.1>127.0.0.1", "[::1]>[::1]") for way in ways(who))


def test_localhost_as_peer(fleet: Fleet) -> None:
    names = ["localhost", "127.0.0.1", "::1"]
    done = playbook.run(fleet, [pipe(input="hostname", remote=WHO, peer=name) for name in names])
    for result in done.results:
        assert result["stages"][1]["stdout"] == "controller\nh1\n"
        assert ways(result) == [f"{fleet.controller.address}>{fleet['h1'].address}"]


def test_connection_local(fleet: Fleet) -> None:
    """Both sides on the controller, and the controller by a name in the inventory."""
    local = {"controller": {"ansible_connection": "local"}}
    task = pipe(input="hostname", remote=WHO)
    here = playbook.run(fleet, task, hosts="localhost")
    named = playbook.run(fleet, task, hosts="controller", inventory=local)
    peer = playbook.run(
        fleet,
        [
            pipe(input="hostname", remote=WHO, peer="controller"),
            pipe(input="hostname", remote=WHO, peer="h2", _delegate_to="localhost"),
            pipe(input="hostname", remote=WHO, peer="h2", _delegate_to="controller"),
            pipe(input="hostname", remote=WHO, peer="h2", _connection="local"),
        ],
        inventory=local,
    )
    said = [done.result["stages"][1]["stdout"] for done in (here, named)]
    said += [result["stages"][1]["stdout"] for result in peer.results]
    assert said == ["controller\ncontroller\n"] * 2 + ["controller\nh1\n"] + ["h2\ncontroller\n"] * 3
    assert here.only.host == "localhost" and here.result["stages"][1]["host"] == "localhost"
    assert peer.results[0]["peer"] == "controller"


# -- delegate_to, loop, several hosts


def test_delegate_to(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        [
            pipe(input="hostname", remote=WHO, _delegate_to="h2"),
            pipe(input="hostname", remote=WHO, _delegate_to="h2", peer="h1", _ignore_errors=True),
            pipe(input="hostname", remote=WHO, _delegate_to="h2", peer="h2", _become=True, _become_user="backup1"),
            pipe(input="hostname", remote="nope", _delegate_to="h2", _ignore_errors=True),
        ],
        # h2 has a variable that only means something within a loop
        inventory={"h1": {"ansible_python_interpreter": "/no/such/python"}, "h2": {"elsewhere": "{{ item }}"}},
    )
    plain, peer, same, missing = done.results
    assert plain["stages"][1]["stdout"] == "controller\nh2\n"
    assert [stage["host"] for stage in plain["stages"]] == ["localhost", "h2"]
    assert re.match(r"no end could be started on h1: no usable Python \(/no/such/python\)", peer["msg"])
    assert same["stages"][1]["stdout"] == "h2\nh2\n"
    assert re.match(r"remote on h2: there is no 'nope' in PATH", missing["msg"])


def test_loop(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        pipe(
            input="echo {{ item }}",
            remote={"shell": "cat; [ {{ item }} != b ]"},
            _loop=["a", "b", "c"],
            _ignore_errors=True,
        ),
    )
    items = done.result["results"]
    assert [item["stages"][1]["stdout"] for item in items] == ["a\n", "b\n", "c\n"]
    assert [bool(item["cause"]) for item in items] == [False, True, False]
    assert len({item["run"] for item in items}) == 3


def test_several_hosts(fleet: Fleet) -> None:
    """Side by side; with throttle: 1 one after the other."""
    alone = f"cat; mkdir {SCRATCH}/drive && sleep 0.5 && rmdir {SCRATCH}/drive"
    done = playbook.run(
        fleet,
        [
            {
                "name": "together",
                **pipe(input="echo {{ inventory_hostname }}", remote={"shell": f"cat; touch {SCRATCH}/here; hostname"}),
            },
            {"name": "throttled", **pipe(remote="hostname", output={"shell": alone}, peer="controller", _throttle=1)},
            {"name": "once", **pipe(input="hostname", remote=WHO, _run_once=True)},
        ],
        hosts="fleet",
    )
    for host in ("h1", "h2"):
        assert done.of("together", host).result["stages"][1]["stdout"] == f"{host}\n{host}\n"
        assert done.of("throttled", host).result["stages"][1]["stdout"] == f"{host}\n"
    assert len([outcome for outcome in done.outcomes if outcome.task == "once"]) == 1


# -- what only ssh knows


def test_a_host_that_only_ssh_knows(fleet: Fleet, work: Path) -> None:
    """An alias of ssh's own configuration: its address is not known here, but that of its login is, there."""
    config = work / "config"
    config.write_text(f"Host tape9\n  HostName {fleet['h1'].address}\n  HostKeyAlias h1\n", encoding="utf-8")
    alias = {"ansible_host": "tape9", "ansible_ssh_extra_args": f"-F {config}"}
    done = playbook.run(
        fleet,
        [
            pipe(input="hostname", remote=WHO),
            pipe(input="hostname", remote=WHO, peer="h2"),
            pipe(input="hostname", remote=WHO, peer="h1", _delegate_to="h2"),
        ],
        inventory={"h1": alias},
    )
    said = [result["stages"][1]["stdout"] for result in done.results]
    assert said == ["controller\nh1\n", "h2\nh1\n", "h1\nh2\n"]


def test_two_hosts_without_addresses(fleet: Fleet, work: Path) -> None:
    config = work / "config"
    text = "".join(f"Host {name}x\n  HostName {fleet[name].address}\n  HostKeyAlias {name}\n" for name in ("h1", "h2"))
    config.write_text(text, encoding="utf-8")
    extra = f"-F {config}"
    done = playbook.run(
        fleet,
        [
            pipe(input="hostname", remote=WHO, peer="h2"),
            pipe(input="hostname", remote=WHO, peer="h2", address=fleet["h2"].address),
        ],
        inventory={name: {"ansible_host": f"{name}x", "ansible_ssh_extra_args": extra} for name in ("h1", "h2")},
        ignore_errors=True,
    )
    unknown, given = done.results
    assert "neither of h2 and h1 has an address that the other could dial: set address" in unknown["msg"]
    assert not unknown.get("changed")
    assert given["stages"][1]["stdout"] == "h2\nh1\n"


def test_an_address_that_only_the_connection_knows(fleet: Fleet) -> None:
    """Not ansible_host, but what the connection makes of the host's variables, is what is dialled."""
    known = {"ansible_host": "nowhere.invalid", "ansible_ssh_extra_args": "-o HostKeyAlias=h2"}
    task = pipe(input="hostname", remote=WHO, peer="h2", listen="peer")
    done = playbook.run(fleet, task, inventory={"h2": {**known, "ansible_ssh_host": fleet["h2"].address}})
    assert done.result["stages"][1]["stdout"] == "h2\nh1\n"
    assert ways(done.result) == [f"{fleet['h2'].address}>{fleet['h1'].address}"]


# -- unreachable


def test_unreachable_hosts(fleet: Fleet, work: Path) -> None:
    """The task's host: Ansible's own "unreachable". The peer: a failure that names it. Neither waits."""
    began = time.monotonic()
    task = pipe(input={"shell": f"touch {work}/ran"}, remote={"shell": f"touch {work}/ran; cat"})
    host = playbook.run(fleet, task, inventory={"h1": {"ansible_port": 1}}, rc=4)
    both = playbook.run(
        fleet,
        pipe(input=f"touch {work}/ran", remote="cat", peer="h2"),
        inventory={"fleet": {"ansible_port": 1}},
        rc=4,
    )
    peer = playbook.run(
        fleet,
        pipe(input=f"touch {work}/ran", remote=f"tee {work}/ran", peer="h2"),
        inventory={"h2": {"ansible_port": 1}},
        rc=2,
    )
    assert time.monotonic() - began < 60, "nobody waited for connect_timeout, 30 s each"
    assert host.only.status == both.only.status == "unreachable"
    assert "Connection refused" in host.result["msg"] and fleet["h1"].address in host.result["msg"]
    assert peer.only.status == "failed"
    assert re.match(r"no end could be started on h2: .*Connection refused", peer.result["msg"], re.DOTALL)
    cause = peer.result["cause"]
    assert (cause["kind"], cause["host"], peer.result["changed"]) == ("unreachable", "h2", False)
    assert cause["msg"] == peer.result["msg"]
    assert list(work.iterdir()) == []


def test_a_host_that_is_off(fleet: Fleet) -> None:
    fleet["h2"].power_off()
    try:
        quick = {"all": {"ansible_timeout": 3, "ansible_ssh_args": "-o ControlPath=none"}}
        host = playbook.run(fleet, pipe(input="true", remote="cat"), hosts="h2", inventory=quick, rc=4)
        peer = playbook.run(fleet, pipe(input="true", remote="cat", peer="h2"), inventory=quick, rc=2)
    finally:
        fleet["h2"].power_on()
    assert host.only.status == "unreachable"
    assert peer.result["cause"]["kind"] == "unreachable" and peer.result["cause"]["host"] == "h2"


def test_a_host_that_went_off_under_a_living_login(fleet: Fleet) -> None:
    """ssh's master still believes in its connection, so a login through it says nothing for a long time."""
    playbook.run(fleet, pipe(input="true", remote="cat"), hosts="h2")
    fleet["h2"].power_off()
    try:
        done = playbook.run(fleet, pipe(input="true", remote="cat", connect_timeout=2), hosts="h2", rc=2)
    finally:
        fleet["h2"].power_on()
        for process in fleet.controller.processes():
            if process.cmdline.startswith("ssh: "):
                fleet.controller.run(["kill", str(process.pid)], check=False)  # it may have noticed
    assert re.search(r"\bh2 did not answer\b", done.result["msg"])
    assert done.only.at - done.only.started < 30


def test_unreachable_can_be_ignored_and_rescued(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        [pipe(input="true", remote="cat", _ignore_unreachable=True), {"ansible.builtin.debug": {"msg": "went on"}}],
        inventory={"h1": {"ansible_port": 1}},
    )
    assert [outcome.status for outcome in done.outcomes] == ["unreachable", "ok"]


# -- other connections


def test_connections_that_cannot_do_it(fleet: Fleet) -> None:
    """A clear error before anything starts."""
    done = playbook.run(
        fleet,
        [
            pipe(input="echo x", remote="cat", peer="h2"),
            pipe(input="echo x", remote="cat", _vars={"ansible_connection": "winrm"}),
        ],
        inventory={"h2": {"ansible_connection": "winrm"}},
        ignore_errors=True,
        rc=None,
    )
    peer = done.results[0]
    assert "h2: its connection plugin winrm cannot run commands on a Linux host" in peer["msg"]
    assert not peer.get("changed")


def test_one_exec_whatever_pipelining_says(fleet: Fleet) -> None:
    """The first task on a fresh host included: one login command, and no file is transferred."""
    for setting in ("true", "false"):
        done = playbook.run(
            fleet,
            [pipe(input="echo one", remote="cat"), pipe(input="echo two", remote="cat", peer="h2")],
            env={"ANSIBLE_PIPELINING": setting},
            args=["-vvv"],
        )
        execs = re.findall(rf"<({fleet['h1'].address}|{fleet['h2'].address})> SSH: EXEC ssh ", done.output)
        assert sorted(execs) == [fleet["h1"].address] * 2 + [fleet["h2"].address]
        assert not re.search(r"SSH: EXEC (sftp|scp)|> PUT ", done.output)
        assert [result["stages"][1]["stdout"] for result in done.results] == ["one\n", "two\n"]


def test_no_file_on_the_target_while_it_runs(fleet: Fleet) -> None:
    h1 = fleet["h1"]
    before = set(h1.files())
    started = playbook.start(
        fleet,
        pipe(input="echo x", remote={"shell": f"cat; touch {SCRATCH}/runs; sleep 2"}),
        env={"ANSIBLE_KEEP_REMOTE_FILES": "1"},
    )
    while f"{SCRATCH}/runs" not in h1.files() and started.process.poll() is None:
        time.sleep(0.05)
    new = {path for path in set(h1.files()) - before if not path.startswith((SCRATCH, "/run/"))}
    started.wait()
    assert f"{SCRATCH}/runs" in h1.files() and new == set()
