# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other users: become on the task's host and on the peer, by sudo (on standard input) and su (through files)."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import ROOT_PASSWORD, Fleet, Host

from . import anatomy, batch, playbook
from .batch import Case
from .conftest import make_fleet
from .playbook import Done, Outcome, pipe
from .together import together
from .traces import SCRATCH, everyone, leaves_nothing

WHO = {"shell": "cat; id -un"}
SUDO = pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed")
ACL = pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl (acl) is not installed")
SU = {"_become": True, "_become_method": "su"}
PASSWORD = {"ansible_become_password": ROOT_PASSWORD}


HIDING = {"open": 0, "closed": 1, "hidden": 2}  # hosts, and the hidepid of their /proc
# users of both hosts, by further names of them
USERS = {
    f"{host}-{user}": {"of": host, "ansible_user": user} for host in ("h1", "h2") for user in ("backup1", "backup2")
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Each hides the processes of others in another way."""
    for made in make_fleet(["h1", "h2", *HIDING], tmp_path_factory.mktemp("fleet")):
        for name, level in HIDING.items():
            made[name].run(["mount", "-n", "-t", "proc", "-o", f"hidepid={level}", "proc", "/proc"])
        yield made


# -- sudo


@SUDO
@together(
    pipe(input="id -un", remote=WHO, _become=True, _become_user="backup1"),
    pipe(remote="id -un", output=WHO, _become=True, _become_user="backup2"),
    pipe(input="id -un", remote=WHO, _become=True),
)
def test_sudo_of_root(done: Done) -> None:
    said = [result["stages"][-1]["stdout"] for result in done.results]
    assert said == ["root\nbackup1\n", "backup2\nroot\n", "root\nroot\n"]


@SUDO
@together(
    pipe(input="id -un", remote=WHO),
    pipe(input="id -un", remote=WHO, _become=True),
    pipe(input="id -un", remote=[WHO, WHO], _become=True, _become_user="backup2"),
    hosts="h1-backup1",
    more=USERS,
)
def test_sudo_of_a_user(done: Done) -> None:
    said = [result["stages"][-1]["stdout"] for result in done.results]
    assert said == ["root\nbackup1\n", "root\nroot\n", "root\nbackup2\nbackup2\n"]


@SUDO
def test_remote_user(fleet: Fleet) -> None:
    """The keyword, where the inventory has no ansible_user."""
    task = pipe(input="id -un", remote=WHO, _remote_user="backup2")
    done = playbook.run(fleet, task, inventory={"all": {"ansible_user": None}})
    assert done.result["stages"][-1]["stdout"] == "root\nbackup2\n"


PEER = {"input": "id -un", "remote": WHO, "peer": "h2-backup1"}


@SUDO
@together(
    pipe(**PEER),
    pipe(**PEER, peer_become=True),
    pipe(**PEER, peer_become=True, peer_become_user="backup2"),
    pipe(**PEER, _become=True, _become_user="backup2"),
    pipe(**PEER, output=WHO, peer_become=True, peer_become_user="backup2", _become=True, _become_user="root"),
    hosts="h1-backup1",
    more=USERS,
)
def test_peer_become(done: Done) -> None:
    """On the peer's own terms; on both sides at once."""
    said = [result["stages"][-1]["stdout"] for result in done.results]
    assert said == [
        "backup1\nbackup1\n",
        "root\nbackup1\n",
        "backup2\nbackup1\n",
        "backup1\nbackup2\n",
        "backup2\nroot\nbackup2\n",
    ]


@SUDO
@together(
    pipe(remote="id -un", output=WHO, peer_become=True, _become=True, _become_user="backup1"),
    pipe(input="id -un", remote=WHO, peer="here", peer_become=True, peer_become_user="backup2"),
    # by its name: localhost's Python is ansible-playbook's own, which may be in root's private directory
    more={"here": {"ansible_connection": "local"}},
)
def test_peer_become_on_the_controller(done: Done) -> None:
    said = [result["stages"][-1]["stdout"] for result in done.results]
    assert said == ["backup1\nroot\n", "backup2\nroot\n"]


@SUDO
@together(
    pipe(input="id -un", remote=WHO, peer="becoming2"),
    pipe(input="id -un", remote=WHO, peer="becoming2", peer_become_user="backup1"),
    hosts="becoming1",
    more={
        f"becoming{number}": {"of": f"h{number}", "ansible_become": True, "ansible_become_user": f"backup{number}"}
        for number in (1, 2)
    },
)
def test_become_by_variables_and_keywords(done: Done) -> None:
    """Where the inventory says so, for the peer as for the host; a peer_become_user alone is not overlooked."""
    assert [result["stages"][1]["stdout"] for result in done.results] == ["backup2\nbackup1\n", "backup1\nbackup1\n"]


RAN = "/tmp/has-run"  # not below SCRATCH, which the next test would find empty
MARK = {"shell": f"touch {RAN}; cat"}


@SUDO
@together(
    pipe(input=MARK, remote=MARK, _become=True, _ignore_errors=True),
    pipe(input=MARK, remote=MARK, peer="h2-backup2", peer_become=True, _ignore_errors=True),
    hosts="h1-backup2",
    more=USERS,
)
def test_sudo_that_says_no(fleet: Fleet, done: Done) -> None:
    """backup2 may not: one sentence with what sudo said; nothing has run."""
    for result, host in zip(done.results, ("h1-backup2", "h2-backup2"), strict=True):
        assert re.search(rf"\b{host}\b.*password", result["msg"], re.IGNORECASE | re.DOTALL), result["msg"]
        assert not result.get("changed")
    assert all(RAN not in host.files() for host in everyone(fleet))
    assert max(outcome.at - outcome.started for outcome in done.outcomes) < 20


@pytest.fixture(scope="module")
def held(fleet: Fleet) -> dict[str, Outcome]:
    """All at once: most of the time they wait."""
    late = pipe(remote={"shell": "echo early; sudo -n sh -c 'sleep 2; echo late' & exit 0"}, output="cat")
    never = pipe(remote={"shell": "echo early; sudo -n sleep 12 & exit 0"}, output="cat")
    user = {"ansible_user": "backup1"}
    cases = {f"{name}-late": Case(late, host=name, variables=user) for name in HIDING}
    cases.update({f"{name}-held": Case(never, host=name, variables=user) for name in HIDING})
    with leaves_nothing(fleet):
        return batch.run(fleet, cases)


@SUDO
@pytest.mark.parametrize("name", HIDING)
def test_what_sudo_leaves_running_may_have_the_link(held: dict[str, Outcome], name: str) -> None:
    """Whether this user sees its name or not (hidepid): it is waited for, and no end of file comes before."""
    late, never = held[f"{name}-late"].result, held[f"{name}-held"].result
    assert late["stages"][1]["stdout"] == "early\nlate\n" and late["msg"] == "ok"
    assert never["cause"]["kind"] == "held" and never["cause"]["host"] == f"{name}-held"
    what = "a process of another user" if HIDING[name] else "sudo"
    assert re.search(rf"has exited, but {what} \(pid \d+\)", never["msg"]), never["msg"]
    assert "which it started, may still have the link open: it cannot be examined; make it wait" in never["msg"]


@SUDO
@together(
    pipe(input="echo x", remote="cat", listen="peer", _become=True, _become_user="backup2"),
    hosts="h1-backup1",
    more=USERS,
)
def test_ssh_connection_is_found_through_sudo(done: Done) -> None:
    """sudo drops the variable that says where the login came from; the host can dial the controller all the same."""
    assert done.result["stages"][1]["stdout"] == "x\n"


# -- su, which cannot take the program on standard input


@dataclasses.dataclass
class Seen:
    """A file in a temporary directory of Ansible's while a task ran."""

    mode: int
    owner: int
    directory_mode: int


def look(host: Host, seen: dict[str, Seen]) -> None:
    """The program's and the plan's file, if they are there at this moment."""
    root = Path(f"/proc/{host.pid}/root")
    for top in ("root/.ansible/tmp", "home/backup1/.ansible/tmp", "home/backup2/.ansible/tmp", "var/tmp", "tmp"):
        try:
            for path in (root / top).glob("ansible-tmp-*/*"):
                found, above = path.stat(), path.parent.stat()
                seen[path.name] = Seen(stat.S_IMODE(found.st_mode), found.st_uid, stat.S_IMODE(above.st_mode))
        except OSError:  # gone meanwhile
            continue


def test_su_to_root_with_a_password(fleet: Fleet) -> None:
    h1 = fleet["h1"]
    started = playbook.start(
        fleet,
        pipe(input="head -c 3M /dev/zero", remote={"shell": f"touch {SCRATCH}/runs; wc -c; id -un; sleep 1"}, **SU),
        inventory={"h1": {"ansible_user": "backup2", **PASSWORD}},
    )
    seen: dict[str, Seen] = {}
    while started.process.poll() is None and not os.path.exists(f"/proc/{h1.pid}/root{SCRATCH}/runs"):
        look(h1, seen)
        time.sleep(0.002)
    running: dict[str, Seen] = {}
    look(h1, running)
    done = started.wait()
    assert done.result["stages"][1]["stdout"] == f"{3 * 1024 * 1024}\nroot\n"
    assert "plan.json" in seen, "the program comes through files"
    assert all(file.mode & 0o007 == 0 or file.directory_mode & 0o007 == 0 for file in seen.values()), seen
    assert all(file.mode & 0o007 == 0 for name, file in seen.items() if name == "plan.json"), seen
    assert running == {}, "while it runs there is neither program nor plan on the disk"
    assert ROOT_PASSWORD not in done.output


@ACL
def test_su_to_an_unprivileged_user(fleet: Fleet) -> None:
    h1 = fleet["h1"]
    started = playbook.start(fleet, pipe(input="id -un", remote=WHO, _become_user="backup1", **SU))
    seen: dict[str, Seen] = {}
    while started.process.poll() is None:
        look(h1, seen)
        time.sleep(0.002)
    done = started.wait()
    assert done.result["stages"][1]["stdout"] == "root\nbackup1\n"
    assert "plan.json" in seen and seen["plan.json"].mode & 0o007 == 0, seen


SU_USERS = {
    f"su{number}": {"of": f"h{number}", "ansible_user": "backup2", "ansible_become_method": "su", **PASSWORD}
    for number in (1, 2)
}


@together(
    pipe(input="id -un", remote=WHO, output=WHO, peer="su2", peer_become=True, **SU),
    pipe(input="id -un", remote=WHO, peer="su2", peer_become=True),
    pipe(input="id -un", remote=WHO, peer="su2", **SU),
    hosts="su1",
    more=SU_USERS,
)
def test_su_on_both_sides(done: Done) -> None:
    said = [result["stages"][-1]["stdout"] for result in done.results]
    assert said == ["root\nroot\nroot\n", "root\nbackup2\n", "backup2\nroot\n"]


@together(
    pipe(input=MARK, remote=MARK, _ignore_errors=True, **SU),
    pipe(input=MARK, remote=MARK, peer="wrong2", peer_become=True, _ignore_errors=True),
    hosts="wrong1",
    more={
        name.replace("su", "wrong"): {**variables, "ansible_become_password": "not this"}
        for name, variables in SU_USERS.items()
    },
)
def test_su_with_a_wrong_password(fleet: Fleet, done: Done) -> None:
    for result, host in zip(done.results, ("wrong1", "wrong2"), strict=True):
        assert re.search(rf"\b{host}\b.*(Incorrect su password|Authentication failure)", result["msg"], re.DOTALL), (
            result["msg"]
        )
        assert not result.get("changed") and result["cause"]["host"] == host
    assert "not this" not in done.output
    assert all(RAN not in host.files() for host in everyone(fleet))


def test_su_on_a_host_that_is_lost(fleet: Fleet) -> None:
    """Its temporary directory cannot be removed any more: nobody waits for that, neither the task nor ssh."""
    h1 = fleet["h1"]
    remote = {"shell": f"touch {SCRATCH}/lost; cat > /dev/null"}
    task = pipe(input="cat /dev/zero", remote=remote, dead_peer=6, progress=0, **SU)
    started = playbook.start(fleet, task, inventory={"h1": {"ansible_user": "backup2", **PASSWORD}}, ignore_errors=True)
    anatomy.until("the stage", lambda: os.path.exists(f"/proc/{h1.pid}/root{SCRATCH}/lost"), 120)
    h1.link(False)
    try:
        done = started.wait(400)
        left = [each.cmdline for each in fleet.controller.processes() if "ansible-tmp-" in each.cmdline]
    finally:
        h1.link(True)
    assert done.result["cause"]["kind"] == "dead peer", done.result["msg"]
    assert left == []


@together(
    pipe(input="true", remote={"shell": "echo $COLOUR"}, _environment={"COLOUR": "blue"}, **SU),
    hosts="su1",
    more=SU_USERS,
)
def test_the_environment_through_su(done: Done) -> None:
    assert done.result["stages"][1]["stdout"] == "blue\n"


def test_su_and_keep_remote_files(fleet: Fleet) -> None:
    """Ansible keeps its directory if it is told to; the secrets in the plan are gone all the same."""
    done = playbook.run(
        fleet,
        pipe(input="id -un", remote=WHO, **SU),
        inventory={"h1": {"ansible_user": "backup2", **PASSWORD}},
        env={"ANSIBLE_KEEP_REMOTE_FILES": "1"},
    )
    assert done.result["stages"][1]["stdout"] == "root\nroot\n"
    left = [path for path in fleet["h1"].files(["/home", "/root", "/tmp", "/var/tmp"]) if "/ansible-tmp-" in path]
    assert [path for path in left if not re.search(r"/ansible-tmp-[^/]*$", path)] == []
    for path in left:
        fleet["h1"].run(["rmdir", path])
