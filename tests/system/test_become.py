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
from pathlib import Path

import pytest

from tests.hosts import ROOT_PASSWORD, Fleet, Host

from . import playbook
from .conftest import SCRATCH
from .playbook import pipe

WHO = {"shell": "cat; id -un"}
SUDO = pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed")
ACL = pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl (acl) is not installed")
SU = {"_become": True, "_become_method": "su"}
PASSWORD = {"ansible_become_password": ROOT_PASSWORD}


# -- sudo


@SUDO
def test_sudo_on_the_tasks_host(fleet: Fleet) -> None:
    root = playbook.run(
        fleet,
        [
            pipe(input="id -un", remote=WHO, _become=True, _become_user="backup1"),
            pipe(remote="id -un", output=WHO, _become=True, _become_user="backup2"),
            pipe(input="id -un", remote=WHO, _become=True),
        ],
    )
    unprivileged = playbook.run(
        fleet,
        [
            pipe(input="id -un", remote=WHO),
            pipe(input="id -un", remote=WHO, _become=True),
            pipe(input="id -un", remote=[WHO, WHO], _become=True, _become_user="backup2"),
        ],
        inventory={"h1": {"ansible_user": "backup1"}},
    )
    keyword = playbook.run(
        fleet,
        pipe(input="id -un", remote=WHO, _remote_user="backup2"),
        inventory={"all": {"ansible_user": None}},
    )
    said = [result["stages"][-1]["stdout"] for done in (root, unprivileged, keyword) for result in done.results]
    assert said == [
        "root\nbackup1\n",
        "backup2\nroot\n",
        "root\nroot\n",
        "root\nbackup1\n",
        "root\nroot\n",
        "root\nbackup2\nbackup2\n",
        "root\nbackup2\n",
    ]


@SUDO
def test_peer_become(fleet: Fleet) -> None:
    """On the peer's own terms, the controller's included; on both sides at once."""
    users = {"h1": {"ansible_user": "backup1"}, "h2": {"ansible_user": "backup1"}}
    done = playbook.run(
        fleet,
        [
            pipe(input="id -un", remote=WHO, peer="h2"),
            pipe(input="id -un", remote=WHO, peer="h2", peer_become=True),
            pipe(input="id -un", remote=WHO, peer="h2", peer_become=True, peer_become_user="backup2"),
            pipe(input="id -un", remote=WHO, peer="h2", _become=True, _become_user="backup2"),
            pipe(
                input="id -un",
                remote=WHO,
                output=WHO,
                peer="h2",
                peer_become=True,
                peer_become_user="backup2",
                _become=True,
                _become_user="root",
            ),
        ],
        inventory=users,
    )
    local = playbook.run(
        fleet,
        [
            pipe(remote="id -un", output=WHO, peer_become=True, _become=True, _become_user="backup1"),
            pipe(input="id -un", remote=WHO, peer="controller", peer_become=True, peer_become_user="backup2"),
        ],
        # by its name: localhost's Python is ansible-playbook's own, which may be in root's private directory
        inventory={"controller": {"ansible_connection": "local"}},
    )
    said = [result["stages"][-1]["stdout"] for result in [*done.results, *local.results]]
    assert said == [
        "backup1\nbackup1\n",
        "root\nbackup1\n",
        "backup2\nbackup1\n",
        "backup1\nbackup2\n",
        "backup2\nroot\nbackup2\n",
        "backup1\nroot\n",
        "backup2\nroot\n",
    ]


@SUDO
def test_become_by_variables_and_keywords(fleet: Fleet) -> None:
    """Where the inventory says so, for the peer as for the host; a peer_become_user alone is not overlooked."""
    done = playbook.run(
        fleet,
        [
            pipe(input="id -un", remote=WHO, peer="h2"),
            pipe(input="id -un", remote=WHO, peer="h2", peer_become_user="backup1"),
        ],
        inventory={
            "h1": {"ansible_become": True, "ansible_become_user": "backup1"},
            "h2": {"ansible_become": True, "ansible_become_user": "backup2"},
        },
    )
    assert [result["stages"][1]["stdout"] for result in done.results] == ["backup2\nbackup1\n", "backup1\nbackup1\n"]


@SUDO
def test_sudo_that_says_no(fleet: Fleet) -> None:
    """backup2 may not: one sentence with what sudo said; nothing has run."""
    mark = {"shell": f"touch {SCRATCH}/ran; cat"}
    users = {"fleet": {"ansible_user": "backup2"}}
    done = playbook.run(
        fleet,
        [
            pipe(input=mark, remote=mark, _become=True),
            pipe(input=mark, remote=mark, peer="h2", peer_become=True),
        ],
        inventory=users,
        ignore_errors=True,
    )
    for result, host in zip(done.results, ("h1", "h2"), strict=True):
        assert re.search(rf"\b{host}\b.*password", result["msg"], re.IGNORECASE | re.DOTALL), result["msg"]
        assert not result.get("changed")
    assert all(f"{SCRATCH}/ran" not in host.files() for host in (*fleet, fleet.controller))
    assert max(outcome.at - outcome.started for outcome in done.outcomes) < 20


@SUDO
@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_sudo_leaves_running_may_have_the_link(fleet: Fleet, level: int) -> None:
    """Whether this user sees its name or not (hidepid): it is waited for, and no end of file comes before."""
    h1 = fleet["h1"]
    h1.run(["mount", "-n", "-t", "proc", "-o", f"hidepid={level}", "proc", "/proc"])
    try:
        done = playbook.run(
            fleet,
            [
                pipe(remote={"shell": "echo early; sudo -n sh -c 'sleep 2; echo late' & exit 0"}, output="cat"),
                pipe(remote={"shell": "echo early; sudo -n sleep 12 & exit 0"}, output="cat"),
            ],
            inventory={"h1": {"ansible_user": "backup1"}},
            ignore_errors=True,
        )
    finally:
        h1.run(["umount", "-n", "-l", "/proc"])
    late, held = done.results
    assert late["stages"][1]["stdout"] == "early\nlate\n" and late["msg"] == "ok"
    assert held["cause"]["kind"] == "held" and held["cause"]["host"] == "h1"
    name = "a process of another user" if level else "sudo"
    assert re.search(rf"has exited, but {name} \(pid \d+\)", held["msg"]), held["msg"]
    assert "which it started, may still have the link open: it cannot be examined; make it wait" in held["msg"]


@SUDO
def test_ssh_connection_is_found_through_sudo(fleet: Fleet) -> None:
    """sudo drops the variable that says where the login came from; the host can dial the controller all the same."""
    done = playbook.run(
        fleet,
        pipe(input="echo x", remote="cat", listen="peer", _become=True, _become_user="backup2"),
        inventory={"h1": {"ansible_user": "backup1"}},
    )
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


def test_su_on_both_sides(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        [
            pipe(input="id -un", remote=WHO, output=WHO, peer="h2", peer_become=True, **SU),
            pipe(input="id -un", remote=WHO, peer="h2", peer_become=True),
            pipe(input="id -un", remote=WHO, peer="h2", **SU),
        ],
        inventory={"fleet": {"ansible_user": "backup2", "ansible_become_method": "su", **PASSWORD}},
    )
    said = [result["stages"][-1]["stdout"] for result in done.results]
    assert said == ["root\nroot\nroot\n", "root\nbackup2\n", "backup2\nroot\n"]


def test_su_with_a_wrong_password(fleet: Fleet) -> None:
    mark = {"shell": f"touch {SCRATCH}/ran; cat"}
    done = playbook.run(
        fleet,
        [
            pipe(input=mark, remote=mark, **SU),
            pipe(input=mark, remote=mark, peer="h2", peer_become=True),
        ],
        inventory={
            "fleet": {"ansible_user": "backup2", "ansible_become_method": "su", "ansible_become_password": "not this"}
        },
        ignore_errors=True,
    )
    for result, host in zip(done.results, ("h1", "h2"), strict=True):
        assert re.search(rf"\b{host}\b.*(Incorrect su password|Authentication failure)", result["msg"], re.DOTALL), (
            result["msg"]
        )
        assert not result.get("changed") and result["cause"]["host"] == host
    assert "not this" not in done.output
    assert all(f"{SCRATCH}/ran" not in host.files() for host in (*fleet, fleet.controller))


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


def test_the_environment_through_su(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        pipe(input="true", remote={"shell": "echo $COLOUR"}, _environment={"COLOUR": "blue"}, **SU),
        inventory={"h1": {"ansible_user": "backup2", **PASSWORD}},
    )
    assert done.result["stages"][1]["stdout"] == "blue\n"
