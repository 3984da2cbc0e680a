# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts, and how they are reached: peer, delegation, loops, several hosts, connections, unreachable ones."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from tests.hosts import Fleet, Host, HostSpec

from . import playbook
from .playbook import Done, pipe
from .together import At, Play, alone, together
from .traces import SCRATCH

MIB = 1024 * 1024
WHO = {"shell": "cat; hostname"}


FLEET = ["h1", HostSpec("h2", sshd_config=("Port 2222",))]  # h2 can also be reached at a port of its own


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
                input={"shell": "hostname >&2; head -c 200M /dev/zero"},
                remote={"shell": "hostname; wc -c"},
                peer="h2",
                fact=True,
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
    own = {
        "ansible_user": "backup1",
        "ansible_port": 2222,
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_extra_args": "-o HostKeyAlias=h2",
        "ansible_python_interpreter": f"{SCRATCH}/python",
    }
    become = {"ansible_become": True, "ansible_become_user": "backup2"}
    more = {"own": {"of": "h2", **own}, "becoming": {"of": "h2", **own, **become}}
    more["host"] = {"of": "h1", "ansible_user": "backup2"}
    who = "id -un; echo $SSH_CONNECTION"
    name = {"input": "id -un", "remote": {"shell": "cat; id -un"}, "peer": "becoming"}
    tasks = [
        pipe(input={"shell": who}, remote={"shell": f"cat; {who}"}, peer="own"),
        pipe(**name),
        pipe(**name, peer_become=True, peer_become_user="root"),
    ]
    try:
        h2.run(["sh", "-c", f"cat >{authorized}"], input=key.with_suffix(".pub").read_text(encoding="ascii"))
        done = alone(fleet, Play(tasks, hosts="host", more=more))
    finally:
        h2.run(["sh", "-c", f"cat >{authorized}"], input=old)
    first, *became = done.results
    here, others = fleet.controller.address, [h2.address, fleet["h1"].address]
    said = first["stages"][1]["stdout"].splitlines()
    assert said[0] == "backup1" and re.fullmatch(rf"{here} \d+ {others[0]} 2222", said[1])
    assert said[2] == "backup2" and re.fullmatch(rf"{here} \d+ {others[1]} 22", said[3])
    assert h2.run(["stat", "-c", "%U", f"{SCRATCH}/used"]).stdout == "backup1\n"
    assert [result["stages"][1]["stdout"] for result in became] == ["backup2\nbackup2\n", "root\nbackup2\n"]


SHOW = "echo $(id -un) ${COLOUR:-none}"


@together(
    *(
        pipe(
            input={"shell": SHOW},
            remote={"shell": f"cat; {SHOW}"},
            output={"shell": f"cat; {SHOW}"},
            peer=peer,
            _become=True,
            _become_user="backup2",
            _environment={"COLOUR": "blue"},
        )
        for peer in ("h2", "localhost")
    ),
    keywords={"environment": [{"COLOUR": "red"}]},
)
def test_the_tasks_keywords_are_not_the_peers(done: Done) -> None:
    """become, environment and remote_user apply to the task's host."""
    assert len(done.results) == 2
    for result in done.results:
        assert result["stages"][2]["stdout"] == "root none\nbackup2 blue\nroot none\n"


def environments(at: At) -> Play:
    mine = at.work / "mine"
    mine.write_text("#!/bin/sh\ncat; echo mine\n", encoding="ascii")
    mine.chmod(0o755)
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
    path = {"name": "path", **pipe(input="true", remote="mine", _environment={"PATH": f"{at.work}:/usr/bin:/bin"})}
    return Play([block, path], keywords={"environment": {"A": "play", "B": "play"}})


@together(environments)
def test_environment(done: Done) -> None:
    """Of the play, the block and the task, and a stage's own over all; also the PATH in which commands are found."""
    assert done.of("show").result["stages"][2]["stdout"] == "\nplay block task 2 task\nblock task 2 stage\n"
    assert done.of("path").result["stages"][1]["stdout"] == "mine\n"


@together(
    pipe(input="hostname", remote=WHO, peer="h1"),
    pipe(input="head -c 30M /dev/zero", remote="cat", output="wc -c", peer="{{ inventory_hostname }}"),
)
def test_a_peer_that_is_the_tasks_own_host(done: Done) -> None:
    who, big = done.results
    assert who["stages"][1]["stdout"] == "h1\nh1\n" and [stage["host"] for stage in who["stages"]] == ["h1", "h1"]
    assert big["stages"][2]["stdout"] == f"{30 * MIB}\n"
    assert all(way in ("127.0.0.1>127.0.0.1", "[::1]>[::1]") for way in ways(who))


@together(*(pipe(input="hostname", remote=WHO, peer=name) for name in ("localhost", "127.0.0.1", "::1")))
def test_localhost_as_peer(fleet: Fleet, done: Done) -> None:
    assert len(done.results) == 3
    for result in done.results:
        assert result["stages"][1]["stdout"] == "controller\nh1\n"
        assert ways(result) == [f"{fleet.controller.address}>{fleet['h1'].address}"]


HERE = {"ansible_connection": "local"}  # the controller, by a name in the inventory


@together(pipe(input="hostname", remote=WHO), hosts="localhost,here", more={"here": HERE})
def test_connection_local_on_both_sides(done: Done) -> None:
    localhost, here = done.of("task 1", "localhost"), done.of("task 1", "here")
    assert [each.result["stages"][1]["stdout"] for each in (localhost, here)] == ["controller\ncontroller\n"] * 2
    assert localhost.result["stages"][1]["host"] == "localhost"


@together(
    pipe(input="hostname", remote=WHO, peer="near"),
    pipe(input="hostname", remote=WHO, peer="h2", _delegate_to="localhost"),
    pipe(input="hostname", remote=WHO, peer="h2", _delegate_to="near"),
    pipe(input="hostname", remote=WHO, peer="h2", _connection="local"),
    more={"near": HERE},
)
def test_connection_local_on_one_side(done: Done) -> None:
    said = [result["stages"][1]["stdout"] for result in done.results]
    assert said == ["controller\nh1\n"] + ["h2\ncontroller\n"] * 3
    assert done.results[0]["peer"] == "near"


# -- delegate_to, loop, several hosts


@together(
    pipe(input="hostname", remote=WHO, _delegate_to="looping"),
    pipe(input="hostname", remote=WHO, _delegate_to="looping", peer="snakeless", _ignore_errors=True),
    pipe(input="hostname", remote=WHO, _delegate_to="looping", peer="looping", _become=True, _become_user="backup1"),
    pipe(input="hostname", remote="nope", _delegate_to="looping", _ignore_errors=True),
    hosts="snakeless",
    more={
        "snakeless": {"of": "h1", "ansible_python_interpreter": "/no/such/python"},
        "looping": {"of": "h2", "elsewhere": "{{ item }}"},  # which only means something within a loop
    },
)
def test_delegate_to(done: Done) -> None:
    plain, peer, same, missing = done.results
    assert plain["stages"][1]["stdout"] == "controller\nh2\n"
    assert [stage["host"] for stage in plain["stages"]] == ["localhost", "looping"]
    assert re.match(r"no end could be started on snakeless: no usable Python \(/no/such/python\)", peer["msg"])
    assert same["stages"][1]["stdout"] == "h2\nh2\n"
    assert re.match(r"remote on looping: there is no 'nope' in PATH", missing["msg"])


@together(
    pipe(
        input="echo {{ item }}",
        remote={"shell": "cat; [ {{ item }} != b ]"},
        _loop=["a", "b", "c"],
        _ignore_errors=True,
    )
)
def test_loop(done: Done) -> None:
    items = done.result["results"]
    assert [item["stages"][1]["stdout"] for item in items] == ["a\n", "b\n", "c\n"]
    assert [bool(item["cause"]) for item in items] == [False, True, False]
    assert len({item["run"] for item in items}) == 3


ALONE = f"cat; mkdir {SCRATCH}/drive && sleep 0.5 && rmdir {SCRATCH}/drive"


@together(
    {
        "name": "together",
        **pipe(input="echo {{ inventory_hostname }}", remote={"shell": f"cat; touch {SCRATCH}/here; hostname"}),
    },
    {"name": "throttled", **pipe(remote="hostname", output={"shell": ALONE}, peer="controller", _throttle=1)},
    {"name": "once", **pipe(input="hostname", remote=WHO, _run_once=True)},
    hosts="fleet",
)
def test_several_hosts(done: Done) -> None:
    """Side by side; with throttle: 1 one after the other."""
    for host in ("h1", "h2"):
        assert done.of("together", host).result["stages"][1]["stdout"] == f"{host}\n{host}\n"
        assert done.of("throttled", host).result["stages"][1]["stdout"] == f"{host}\n"
    assert len([outcome for outcome in done.outcomes if outcome.task == "once"]) == 1


# -- what only ssh knows


def configured(at: At, *names: str) -> str:
    """Arguments for an ssh that has a host as NAMEx."""
    config = at.work / "config"
    lines = [f"Host {name}x\n  HostName {at.fleet[name].address}\n  HostKeyAlias {name}\n" for name in names]
    config.write_text("".join(lines), encoding="utf-8")
    return f"-F {config}"


def only_ssh(at: At) -> Play:
    tasks = [
        pipe(input="hostname", remote=WHO),
        pipe(input="hostname", remote=WHO, peer="h2"),
        pipe(input="hostname", remote=WHO, peer="alias", _delegate_to="h2"),
    ]
    alias = {"ansible_host": "h1x", "ansible_ssh_extra_args": configured(at, "h1")}
    return Play(tasks, hosts="alias", more={"alias": alias})


@together(only_ssh)
def test_a_host_that_only_ssh_knows(done: Done) -> None:
    """An alias of ssh's own configuration: its address is not known here, but that of its login is, there."""
    said = [result["stages"][1]["stdout"] for result in done.results]
    assert said == ["controller\nh1\n", "h2\nh1\n", "h1\nh2\n"]


def only_aliases(at: At) -> Play:
    tasks = [
        pipe(input="hostname", remote=WHO, peer="alias2", _ignore_errors=True),
        pipe(input="hostname", remote=WHO, peer="alias2", address=at.fleet["h2"].address),
    ]
    extra = {"ansible_ssh_extra_args": configured(at, "h1", "h2")}
    more = {f"alias{number}": {"ansible_host": f"h{number}x", **extra} for number in (1, 2)}
    return Play(tasks, hosts="alias1", more=more)


@together(only_aliases)
def test_two_hosts_without_addresses(done: Done) -> None:
    unknown, given = done.results
    assert "neither of alias2 and alias1 has an address that the other could dial: set address" in unknown["msg"]
    assert not unknown.get("changed")
    assert given["stages"][1]["stdout"] == "h2\nh1\n"


def only_the_connection(at: At) -> Play:
    known = {"ansible_host": "nowhere.invalid", "ansible_ssh_extra_args": "-o HostKeyAlias=h2"}
    more = {"invalid": {**known, "ansible_ssh_host": at.fleet["h2"].address}}
    return Play([pipe(input="hostname", remote=WHO, peer="invalid", listen="peer")], more=more)


@together(only_the_connection)
def test_an_address_that_only_the_connection_knows(fleet: Fleet, done: Done) -> None:
    """Not ansible_host, but what the connection makes of the host's variables, is what is dialled."""
    assert done.result["stages"][1]["stdout"] == "h2\nh1\n"
    assert ways(done.result) == [f"{fleet['h2'].address}>{fleet['h1'].address}"]


# -- unreachable


CLOSED = {f"closed{number}": {"of": f"h{number}", "ansible_port": 1} for number in (1, 2)}


def unreachable(at: At) -> Play:
    touch = {"shell": f"touch {at.work}/ran; cat"}
    return Play(
        [pipe(input=touch, remote=touch), pipe(input=touch, remote="cat", peer="closed2")],
        hosts="closed1",
        more=CLOSED,
        rc=4,
    )


@together(unreachable)
def test_an_unreachable_host(fleet: Fleet, work: Path, done: Done) -> None:
    """Ansible's own "unreachable", and no waiting, whether its peer is one or not."""
    host, both = done.outcomes
    assert both.at - host.started < 40, "nobody waited for connect_timeout, 30 s each"
    assert host.status == both.status == "unreachable"
    assert "Connection refused" in host.result["msg"] and fleet["h1"].address in host.result["msg"]
    assert list(work.iterdir()) == []


def unreachable_peer(at: At) -> Play:
    task = pipe(input=f"touch {at.work}/ran", remote=f"tee {at.work}/ran", peer="closed2")
    return Play([task], more=CLOSED, rc=2)


@together(unreachable_peer)
def test_an_unreachable_peer(work: Path, done: Done) -> None:
    """A failure that names it, and no waiting."""
    peer = done.only
    assert peer.at - peer.started < 20, "nobody waited for connect_timeout, 30 s"
    assert peer.status == "failed"
    assert re.match(r"no end could be started on closed2: .*Connection refused", peer.result["msg"], re.DOTALL)
    cause = peer.result["cause"]
    assert (cause["kind"], cause["host"], peer.result["changed"]) == ("unreachable", "closed2", False)
    assert cause["msg"] == peer.result["msg"]
    assert list(work.iterdir()) == []


def test_a_host_that_is_off(fleet: Fleet) -> None:
    fleet["h2"].power_off()
    try:
        quick = {"all": {"ansible_timeout": 3, "ansible_ssh_args": "-o ControlPath=none"}}
        tasks = {
            "h2": pipe(input="true", remote="cat", _ignore_unreachable=True),
            "h1": pipe(input="true", remote="cat", peer="h2"),
        }
        plays = [{"hosts": name, "gather_facts": False, "tasks": [task]} for name, task in tasks.items()]
        done = playbook.run(fleet, plays=plays, inventory=quick, rc=2)
    finally:
        fleet["h2"].power_on()
    host, peer = done.outcomes
    assert (host.host, host.status) == ("h2", "unreachable")
    assert (peer.host, peer.status) == ("h1", "failed")
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


@together(
    pipe(input="true", remote="cat", _ignore_unreachable=True),
    {"ansible.builtin.debug": {"msg": "went on"}},
    hosts="closed1",
    more=CLOSED,
)
def test_unreachable_can_be_ignored(done: Done) -> None:
    assert [outcome.status for outcome in done.outcomes] == ["unreachable", "ok"]


# -- other connections


@together(
    pipe(input="echo x", remote="cat", peer="windows"),
    pipe(input="echo x", remote="cat", _vars={"ansible_connection": "winrm"}),
    more={"windows": {"of": "h2", "ansible_connection": "winrm"}},
    rc=None,
)
def test_connections_that_cannot_do_it(done: Done) -> None:
    """A clear error before anything starts."""
    peer = done.results[0]
    assert "windows: its connection plugin winrm cannot run commands on a Linux host" in peer["msg"]
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
