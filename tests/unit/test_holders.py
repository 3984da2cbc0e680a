# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may still write when a command has exited: also where /proc hides it, refuses to tell it, or is outrun.

Each surrounding is tried with a child that still has something to write, one that keeps the link for ever, and one
that never had it.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat as stat_module
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import processes
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences
from ansible_collections.plumbing.socketpipe.tests.unit.ends import (
    ASLEEP,
    HASTY,
    Change,
    Ends,
    eventually,
    make_plan,
    record,
    recorded,
    sh,
    stage,
    started,
    written,
)

Launch = Callable[..., Ends]

NOBODY = 65534
PYTHON = "/usr/bin/python3"  # one that every user may run
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: other users and a /proc of its own")
AS_NOBODY = ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups"]
OWN_PROC = 'mount -t proc -o hidepid=%d proc /proc && exec "$@"'
NO_CHILDREN: Change = ("processes", 'open("%s/%s/children"', 'open("%s/%s/no-such-file"')
NOT_LISTED: Change = ("processes", '"/proc/%d/task/%d/children"', '"/proc/%d/task/%d/no-such-file"')


def hidepid(level: int) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", OWN_PROC % level, "sh", *AS_NOBODY]


class Where(NamedTuple):
    """A surrounding of the end, and how a child of its stage gets out of its sight."""

    inside: list[str]
    child: str  # before a command: what makes it another user's
    name: str  # by which the child can be called
    changes: tuple[Change, ...] = ()
    pid: bool = True  # whether its pid can be told


OTHER = "setpriv --reuid=1 --regid=1 --clear-groups "
NO_PTRACE = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
HIDDEN = sentences.name_of({"pid": 0, "name": processes.HIDDEN})
BLIND = (NO_CHILDREN, NOT_LISTED)
WHERE = {
    "root without CAP_SYS_PTRACE": Where(NO_PTRACE, OTHER, "sleep"),
    "another user's": Where(AS_NOBODY, "%(setuid)s ", "sleep"),
    "hidepid=1": Where(hidepid(1), "%(setuid)s ", HIDDEN),
    "hidepid=2": Where(hidepid(2), "%(setuid)s ", HIDDEN),
    "hidepid=2 where no children are listed": Where(hidepid(2), "%(setuid)s ", HIDDEN, BLIND, pid=False),
    "root where no children are listed": Where(NO_PTRACE, OTHER, "sleep", (NO_CHILDREN, NOT_LISTED)),
}
where = pytest.mark.parametrize("name", WHERE)


@pytest.fixture
def folder() -> Iterator[Path]:
    """For every user; pytest's own is root's."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o777)
        yield Path(made)


def set_user_id(folder: Path) -> str:
    """A set-user-ID program that runs what it is told: a shell that keeps its rights (-p)."""
    path = folder / "setuid"
    shutil.copy("/bin/sh", path)
    path.chmod(0o755 | stat_module.S_ISUID)
    return "%s -p -c 'exec \"$@\"' sh" % path


def sink(path: Path) -> dict[str, Any]:
    made = record("output", path)
    return {**made, "argv": [PYTHON, *made["argv"][1:]]}


def two(source: dict[str, Any], sink: dict[str, Any]) -> Any:
    return make_plan(("a", source), ("b", sink))


class Surrounded:
    def __init__(self, launch: Launch, folder: Path, name: str) -> None:
        self.launch, self.folder, self.where = launch, folder, WHERE[name]
        self.child = self.where.child % {"setuid": set_user_id(folder)}

    def run(self, script: str, *changes: Change, patience: dict[str, float] | None = None) -> Ends:
        """A source that runs this script, in which CHILD stands before what runs as another user."""
        plan = two(sh("input", script.replace("CHILD ", self.child)), sink(self.folder / "seen"))
        every = (*changes, *self.where.changes)
        ends = self.launch(plan, every, python=PYTHON, inside=self.where.inside, patience=patience)
        return ends.wait()

    def over(self, ends: Ends) -> None:
        """Nothing is left; but nobody can end what is listed nowhere: that is said."""
        if self.where.pid:
            ends.gone()
        else:
            assert ends.report("a")["left"] == [{"pid": 0, "name": processes.HIDDEN}]


@pytest.fixture
def surrounded(launch: Launch, folder: Path, name: str) -> Surrounded:
    return Surrounded(launch, folder, name)


@needs_root
@where
def test_a_hidden_child_is_waited_for(surrounded: Surrounded) -> None:
    """The shell is done, and who writes the rest cannot be looked at: no end of file before its last byte."""
    ends = surrounded.run("echo early; (sleep 1; echo late) | CHILD cat & exit 0")
    assert recorded(surrounded.folder / "seen")["bytes"] == len("early\nlate\n")
    assert ends.verdict().ok
    ends.gone()


@needs_root
@where
def test_a_hidden_child_may_hold_the_link(surrounded: Surrounded) -> None:
    ends = surrounded.run("echo data; CHILD sleep 600 & echo $! > %s/pid; exit 0" % surrounded.folder, patience=HASTY)
    cause = ends.cause()
    assert cause["kind"] == "held"
    pid = " (pid %s)" % written(surrounded.folder / "pid").strip() if surrounded.where.pid else ""
    who = surrounded.where.name + pid
    assert "has exited, but %s, which it started, may still have the link open" % who in cause["msg"]
    assert "it cannot be examined" in cause["msg"]
    assert recorded(surrounded.folder / "seen")["how"] == "ECONNRESET"
    surrounded.over(ends)


@needs_root
@where
def test_an_agent_without_the_link_is_not_said_to_have_it(surrounded: Surrounded) -> None:
    ends = surrounded.run("echo data; CHILD sleep 600 <>/dev/null >&0 2>&0 & sleep 1; exit 0", patience=HASTY)
    assert "may still have the link open: it cannot be examined" in ends.cause()["msg"]
    surrounded.over(ends)


@needs_root
def test_an_agent_that_has_no_socket_is_known_to_have_none(launch: Launch, folder: Path) -> None:
    """Its descriptors cannot be read, but they are listed, and none is open for both reading and writing."""
    source = sh("input", "echo data; %s sleep 600 < /dev/null > /dev/null 2>&1 & exit 0" % OTHER)
    launch(two(source, sink(folder / "seen")), python=PYTHON, inside=NO_PTRACE).wait().ok()


@needs_root
def test_an_agent_that_root_can_look_at_is_left_alone(launch: Launch, folder: Path) -> None:
    """Of another user, and undumpable: nothing is hidden from root with all of its rights."""
    agent = "%s%s -c 'import time; %s; time.sleep(600)' <>/dev/null >&0 2>&0 & echo $! > %s/pid; echo data"
    source = sh("input", agent % (OTHER, PYTHON, UNDUMPABLE, folder))
    ends = launch(two(source, sink(folder / "seen"))).wait().ok()
    assert ends.report("a")["left"] == [{"pid": int(written(folder / "pid")), "name": "python3"}]


UNDUMPABLE = "import ctypes; ctypes.CDLL(None).prctl(4, 0)"


@needs_root
def test_a_holder_that_is_known_is_named_alone(launch: Launch, folder: Path) -> None:
    agent = "%s sleep 600 <>/dev/null >&0 2>&0 &" % set_user_id(folder)
    source = sh("input", "echo data; %s sleep 600 & %s; echo $! > %s/pid; exit 0" % (agent, ASLEEP, folder))
    ends = launch(two(source, sink(folder / "seen")), patience=HASTY, python=PYTHON, inside=AS_NOBODY).wait()
    who = "sleep (pid %s), which it started, still has the link open" % written(folder / "pid").strip()
    assert "has exited, but " + who in ends.cause()["msg"]
    ends.gone()


@needs_root
def test_what_another_stage_started_is_not_blamed(launch: Launch, folder: Path) -> None:
    """An agent of another stage, which cannot be looked at, is of that stage's session: it never had this link."""
    source = sh("input", "while [ ! -e %s/agent ]; do sleep 0.1; done; echo data" % folder)
    plan = two(source, sink(folder / "seen"))
    agent = "%s sleep 600 <>/dev/null >&0 2>&0 & touch %s/agent" % (set_user_id(folder), folder)
    plan.add_stage("a", sh("agent", agent))
    launch(plan, patience=HASTY, python=PYTHON, inside=AS_NOBODY).wait().ok()


# -- a main thread that has ended, and generations of processes that each live for a moment

THREADS = """
import ctypes, os, sys, threading, time
def work():
    time.sleep(float(sys.argv[2]))
    os.write(1, b"late\\n")
    os._exit(0)
threading.Thread(target=work).start()
with open(sys.argv[1], "w") as out:
    out.write("%d\\n" % os.getpid())
ctypes.CDLL(None).pthread_exit(None)
"""
GENERATIONS = """
import os, sys, time
until = time.monotonic() + float(sys.argv[2])
with open(sys.argv[1], "w") as out:
    out.write("%d\\n" % os.getpid())
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
os.write(1, b"late\\n")
"""
ELUSIVE = {"a dead main thread": THREADS, "generations": GENERATIONS}
elusive = pytest.mark.parametrize("script", ELUSIVE.values(), ids=ELUSIVE)


def in_background(script: str, path: Path, seconds: float, then: str) -> dict[str, Any]:
    wait = 'while [ ! -s "$1" ]; do sleep 0.01; done; ' + then
    return stage(
        "input", ["/bin/sh", "-c", '%s -IS -c "$0" "$@" & %s' % (PYTHON, wait), script, str(path), str(seconds)]
    )


def alive(pid: int) -> bool:
    seen = processes.stat(pid)
    return seen is not None and not seen.dead


@elusive
@pytest.mark.parametrize("changes", [(), BLIND], ids=["", "no children are listed"])
def test_an_elusive_child_is_waited_for(
    launch: Launch, tmp_path: Path, script: str, changes: tuple[Change, ...]
) -> None:
    plan = two(in_background(script, tmp_path / "pid", 2, "echo early"), sink(tmp_path / "seen"))
    ends = launch(plan, changes).wait()
    assert sorted(recorded(tmp_path / "seen").items())[0] == ("bytes", len("early\nlate\n"))
    assert ends.verdict().ok
    ends.gone()


@elusive
@pytest.mark.parametrize("how", ["exit 1", "exit 0", "end killed"])
def test_an_elusive_child_does_not_survive(launch: Launch, tmp_path: Path, script: str, how: str) -> None:
    then = "echo data; " + started(tmp_path / "seen") + ("exec sleep 600" if how == "end killed" else how)
    plan = two(in_background(script, tmp_path / "pid", 600, then), sink(tmp_path / "seen"))
    ends = launch(plan, patience=HASTY)
    first = int(written(tmp_path / "pid"))
    if how == "end killed":
        eventually((tmp_path / "seen.started").exists, "the sink has not started")
        os.kill(ends.end("a"), signal.SIGKILL)
    ends.wait()
    report = ends.report("a")
    assert ends.cause()["kind"] == {"exit 1": "failed", "exit 0": "held", "end killed": "end"}[how]
    assert report["killed"] and not report["left"]
    assert recorded(tmp_path / "seen")["how"] == "ECONNRESET"
    assert not alive(first)
    ends.gone()
