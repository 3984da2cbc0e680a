# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of processes from a /proc that the test makes up, and who is sent a signal; nothing is started here."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from io import BytesIO, StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import processes
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.processes import HAS, HIDDEN, MAY, Changed, Stat

OWN = 100  # our pid, process group and session
DENIED, GONE = PermissionError(errno.EACCES, "denied"), FileNotFoundError(errno.ENOENT, "gone")


def stat_text(pid: int, name: str = "sleep", state: str = "S", parent: int = 1, threads: int = 1, **more: int) -> str:
    """/proc/PID/stat: the fields of proc(5) by their numbers."""
    fields = [str(number) for number in range(53)]
    fields[1:7] = [
        str(pid),
        f"({name})",
        state,
        str(parent),
        str(more.get("group", pid)),
        str(more.get("session", pid)),
    ]
    fields[20], fields[22] = str(threads), str(more.get("started", 7))
    return " ".join(fields[1:]) + "\n"


class Proc:
    """Stands for the module os, and for open(): what it has not is not there; a list's items come one by one."""

    class path:
        @staticmethod
        def exists(path: str) -> bool:
            return Proc.now.is_there(path)

    P_ALL, WEXITED, WNOHANG, WNOWAIT = os.P_ALL, os.WEXITED, os.WNOHANG, os.WNOWAIT
    now: Proc

    def __init__(self) -> None:
        Proc.now = self
        self.known: dict[str, Any] = {}
        self.modes: dict[str, int] = {}
        self.childless = False
        self.asked = 0  # how often for children
        self.sent: list[tuple[int, int]] = []
        self.refuses: dict[int, OSError] = {}  # whom a signal cannot be sent to; a group is negative

    def is_there(self, path: str) -> bool:
        return path in self.known

    def get(self, path: str) -> Any:
        found = self.known.get(path, GONE)
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, OSError):
            raise found
        return found

    def open(self, path: str, mode: str = "r") -> Any:
        text = self.get(path)
        return BytesIO(text.encode()) if mode == "rb" else StringIO(text)

    def listdir(self, path: str) -> list[str]:
        return list(self.get(path))

    def readlink(self, path: str) -> str:
        return str(self.get(path))

    def lstat(self, path: str) -> SimpleNamespace:
        return SimpleNamespace(st_mode=self.modes[path])

    def kill(self, pid: int, number: int) -> None:
        if pid in self.refuses:
            raise self.refuses[pid]
        self.sent.append((pid, number))

    def killpg(self, group: int, number: int) -> None:
        self.kill(-group, number)

    def getpid(self) -> int:
        return OWN

    def getpgrp(self) -> int:
        return OWN

    def getsid(self, pid: int) -> int:
        assert pid == 0
        return OWN

    def waitid(self, kind: int, pid: int, options: int) -> None:
        assert (kind, pid, options) == (os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        self.asked += 1
        if self.childless:
            raise ChildProcessError

    # -- what is in it

    def process(self, pid: int, parent: int, *children: int, **more: Any) -> None:
        self.known[f"/proc/{pid}/stat"] = stat_text(pid, parent=parent, **more)
        self.known[f"/proc/{pid}/task"] = [(str(pid),)]
        self.known[f"/proc/{pid}/task/{pid}/children"] = "".join(f"{child} " for child in children)

    def descriptors(self, pid: int, **links: Any) -> None:
        """{fd1: what it is}."""
        folder = f"/proc/{pid}/task/{pid}/fd"
        self.known[folder] = [tuple(name[2:] for name in links)]
        self.known.update({f"{folder}/{name[2:]}": link for name, link in links.items()})


@pytest.fixture
def proc(monkeypatch: pytest.MonkeyPatch) -> Proc:
    made = Proc()
    monkeypatch.setattr(processes, "os", made)
    monkeypatch.setattr(processes, "open", made.open, raising=False)
    return made


# -- one process


def test_the_status_of_a_process() -> None:
    """Its name may look like the rest."""
    found = Stat(stat_text(12, "a (b) S 1", "R", 34, 5, group=56, session=78, started=910))
    assert (found.name, found.state, found.parent, found.group, found.session) == ("a (b) S 1", "R", 34, 56, 78)
    assert (found.threads, found.started) == (5, 910)


@pytest.mark.parametrize(
    ("state", "threads", "dead"), [("S", 1, False), ("Z", 1, True), ("X", 0, True), ("Z", 2, False), ("S", 0, False)]
)
def test_a_dead_leader_may_have_living_threads(state: str, threads: int, dead: bool) -> None:
    assert Stat(stat_text(1, state=state, threads=threads)).dead is dead


@pytest.mark.parametrize("problem", [GONE, DENIED])
def test_a_process_that_cannot_be_read_has_no_status(proc: Proc, problem: OSError) -> None:
    proc.known["/proc/1/stat"] = problem
    assert processes.stat(1) is None
    proc.known["/proc/1/stat"] = stat_text(1, "init")
    found = processes.stat(1)
    assert found and found.name == "init"


@pytest.mark.parametrize(
    ("link", "group", "session", "ours"),
    [(str(OWN), OWN, OWN, True), ("9", OWN, OWN, False), (str(OWN), 9, OWN, False), (str(OWN), OWN, 9, False)],
)
def test_a_proc_of_another_namespace_is_not_ours(proc: Proc, link: str, group: int, session: int, ours: bool) -> None:
    proc.known["/proc/self"] = link
    proc.process(OWN, 1, group=group, session=session)
    assert processes.proc_is_ours() is ours


def test_without_proc_it_is_not_ours(proc: Proc) -> None:
    proc.process(OWN, 1)
    assert processes.proc_is_ours() is False
    proc.known = {"/proc/self": str(OWN)}
    assert processes.proc_is_ours() is False


@pytest.mark.parametrize(("problem", "there"), [(None, True), (ProcessLookupError(), False), (DENIED, True)])
def test_whether_a_process_exists(proc: Proc, problem: OSError | None, there: bool) -> None:
    proc.refuses = {5: problem} if problem else {}
    assert processes.exists(5) is there
    assert proc.sent == ([] if problem else [(5, 0)])


@pytest.mark.parametrize("childless", [True, False])
def test_whether_there_are_children(proc: Proc, childless: bool) -> None:
    proc.childless = childless
    assert processes.has_children() is not childless


# -- those below it


def test_children_are_those_of_all_threads(proc: Proc) -> None:
    proc.known.update({"/proc/5/task": [("5", "6")], "/proc/5/task/5/children": "9 12 "})
    proc.known["/proc/5/task/6/children"] = "7 "
    assert processes.children(5) == [7, 9, 12]


def test_children_are_listed_until_two_lists_are_equal(proc: Proc) -> None:
    proc.process(5, 1)
    proc.known["/proc/5/task/5/children"] = ["7 ", "7 8 ", "8 ", "8 ", "never"]
    assert processes.children(5) == [8]


def test_children_by_their_parents_where_none_are_listed(proc: Proc) -> None:
    for pid, parent in ((5, 1), (6, 5), (7, 6), (8, 5)):
        proc.process(pid, parent)
    del proc.known["/proc/5/task/5/children"]
    proc.known["/proc/9/stat"] = DENIED
    proc.known["/proc"] = [("5", "6", "7", "8", "9", "self", "meminfo")]
    assert processes.pids() == [5, 6, 7, 8, 9]
    assert processes.children(5) == [6, 8]


@pytest.mark.parametrize(
    ("lists", "init", "blind"), [(True, True, False), (True, False, False), (False, True, False), (False, False, True)]
)
def test_whether_children_may_be_hidden(proc: Proc, lists: bool, init: bool, blind: bool) -> None:
    if lists:
        proc.known[f"/proc/{OWN}/task/{OWN}/children"] = ""
    if init:
        proc.process(1, 0)
    assert processes.blind() is blind


def test_descendants_are_the_living_ones(proc: Proc) -> None:
    """6 is dead, and so has no children; 7 cannot be read, but is there; 8 has gone meanwhile."""
    proc.process(5, 1, 6, 7, 8)
    proc.process(6, 5, state="Z")
    proc.process(7, 5, 9)
    proc.known["/proc/7/stat"] = DENIED
    proc.process(9, 7, name="sh")
    proc.refuses = {8: ProcessLookupError()}
    assert processes.descendants(5) == {7: HIDDEN, 9: "sh"}


# -- who has a socket

SOCKET = "socket:[42]"


@pytest.mark.parametrize(
    ("links", "mode", "answer"),
    [
        ({}, 0, ""),
        ({"fd0": "/dev/null", "fd1": "socket:[4]"}, 0, ""),
        ({"fd0": "/dev/null", "fd1": SOCKET}, 0, HAS),
        ({"fd0": DENIED}, 0o700, MAY),
        ({"fd0": DENIED}, 0o601, MAY),
        ({"fd0": DENIED}, 0o500, ""),
        ({"fd0": DENIED}, 0o300, ""),
        ({"fd0": DENIED, "fd1": SOCKET}, 0o500, HAS),
    ],
)
def test_who_has_a_socket(proc: Proc, links: dict[str, Any], mode: int, answer: str) -> None:
    """Descriptors that cannot be read tell for what they are open, and a socket is for both."""
    proc.process(5, OWN)
    proc.descriptors(5, **links)
    proc.modes["/proc/5/task/5/fd/0"] = mode
    assert processes.has_open(5, {41, 42}) == answer


@pytest.mark.parametrize(("state", "answer"), [("S", MAY), ("Z", ""), ("X", "")])
def test_who_does_not_list_its_descriptors_may_have_it(proc: Proc, state: str, answer: str) -> None:
    """Unless it is dead."""
    proc.process(5, OWN)
    proc.known.update({"/proc/5/task/5/fd": DENIED, "/proc/5/task/5/stat": stat_text(5, state=state)})
    assert processes.has_open(5, {42}) == answer


@pytest.mark.parametrize("first", [5, 6])
def test_each_thread_is_asked(proc: Proc, first: int) -> None:
    """What one is known to have counts more than what another may have."""
    proc.known["/proc/5/task"] = [(str(first), str(11 - first))]
    proc.known.update({"/proc/5/task/5/fd": DENIED, "/proc/5/task/5/stat": stat_text(5)})
    proc.known["/proc/5/task/6/fd"] = [()]
    assert processes.has_open(5, {42}) == MAY
    proc.known.update({"/proc/5/task/6/fd": [("3",)], "/proc/5/task/6/fd/3": SOCKET})
    assert processes.has_open(5, {42}) == HAS


@pytest.mark.parametrize(
    "changes",
    [
        {"/proc/5/task": GONE},
        {"/proc/5/task": [("5",), ("5", "6")]},
        {"/proc/5/task/5/fd": GONE},
        {"/proc/5/task/5/fd": [("0",), ("1",)]},
        {"/proc/5/task/5/fd": [("0",), ()]},
        {"/proc/5/task/5/fd/0": GONE},
    ],
)
def test_a_process_that_changes_meanwhile(proc: Proc, changes: dict[str, Any]) -> None:
    proc.process(5, OWN)
    proc.descriptors(5, fd0="/dev/null")
    proc.known.update(changes)
    with pytest.raises(Changed):
        processes.has_open(5, {42})


def test_a_process_that_cannot_be_looked_into_may_have_it(proc: Proc) -> None:
    proc.known["/proc/5/task"] = DENIED
    assert processes.has_open(5, {42}) == MAY


# -- who of all


@pytest.fixture
def family(proc: Proc) -> Proc:
    """We have started 5, which has started 6; and 7, which is another's."""
    proc.known[f"/proc/{OWN}/task"] = [(str(OWN),)]
    proc.known[f"/proc/{OWN}/task/{OWN}/children"] = "5 7 "
    proc.process(5, OWN, 6, name="sh", session=5)
    proc.process(6, 5, session=5)
    proc.process(7, OWN, 8, name="other", session=7)
    proc.process(8, 7, session=7)
    for pid in (5, 6, 7, 8):
        proc.descriptors(pid, fd0="/dev/null")
    return proc


def test_nobody_has_it(family: Proc) -> None:
    assert processes.holders({42}) == {}


def test_all_that_have_it_are_named(family: Proc) -> None:
    for pid in (5, 6, 8):
        family.descriptors(pid, fd1=SOCKET)
    assert processes.holders({42}) == {5: ("sh", HAS), 6: ("sleep", HAS), 8: ("sleep", HAS)}
    assert processes.holders({42}, {7}) == {5: ("sh", HAS), 6: ("sleep", HAS)}


def test_what_another_session_starts_never_had_it(family: Proc) -> None:
    """Also when its leader has gone, and it is our child."""
    family.known[f"/proc/{OWN}/task/{OWN}/children"] = "5 8 "
    family.descriptors(8, fd1=SOCKET)
    assert processes.holders({42}, {7}) == {}
    assert processes.holders({42}) == {8: ("sleep", HAS)}


def test_who_has_no_children_needs_no_look(family: Proc) -> None:
    family.descriptors(5, fd1=SOCKET)
    family.childless = True
    assert processes.holders({42}) == {}


def test_hidden_ones_and_their_children(family: Proc) -> None:
    family.known["/proc/5/stat"] = DENIED
    family.descriptors(6, fd1=SOCKET)
    assert processes.holders({42}, {7}) == {5: (HIDDEN, MAY), 6: ("sleep", HAS)}


def test_where_nobody_is_listed_somebody_may_have_it(family: Proc) -> None:
    del family.known[f"/proc/{OWN}/task/{OWN}/children"]
    family.known["/proc"] = [(str(OWN),)]
    assert processes.holders({42}) == {0: (HIDDEN, MAY)}


def looks(proc: Proc, look: Callable[[], object]) -> int:
    """How often all processes were looked at."""
    before = proc.asked
    look()
    return proc.asked - before


def test_a_dead_one_is_looked_at_twice(family: Proc) -> None:
    """Its orphans are our children by then."""
    family.process(5, OWN, 6, state="Z", started=1)
    family.descriptors(6, fd1=SOCKET)
    assert looks(family, lambda: processes.holders({42}, {7})) == 2
    family.known["/proc/5/stat"] = [stat_text(5, state="Z", started=started) for started in (1, 2, 2)]
    assert looks(family, lambda: processes.holders({42}, {7})) == 3, "another one with the same pid"


def test_one_that_has_gone_meanwhile_is_looked_for_again(family: Proc) -> None:
    family.known["/proc/5/stat"] = [GONE, stat_text(5, session=5)]
    family.refuses = {5: ProcessLookupError()}
    assert looks(family, lambda: processes.holders({42}, {7})) == 2


def test_one_that_changes_is_looked_at_again(family: Proc) -> None:
    family.known["/proc/5/task/5/fd/0"] = [GONE, SOCKET]
    assert processes.holders({42}) == {5: ("sh", HAS)}


def test_children_that_have_come_meanwhile_are_looked_at(family: Proc) -> None:
    family.known[f"/proc/{OWN}/task/{OWN}/children"] = ["7 ", "7 ", "5 7 "]
    family.descriptors(5, fd1=SOCKET)
    assert processes.holders({42}) == {5: ("sh", HAS)}


def test_who_changes_all_the_time_is_not_looked_at_for_ever(family: Proc) -> None:
    family.known["/proc/5/task/5/fd/0"] = GONE

    def look() -> None:
        with pytest.raises(Changed):
            processes.holders({42})

    assert looks(family, look) == 50


# -- signals


def test_processes_in_a_report() -> None:
    assert processes.listed({9: "b", 5: "a"}) == [{"pid": 5, "name": "a"}, {"pid": 9, "name": "b"}]


def test_who_may_not_be_sent_a_signal_is_told(proc: Proc) -> None:
    proc.refuses = {5: ProcessLookupError(), 6: DENIED}
    assert processes.kill([4, 5, 6, 7], 15) == [6]
    assert proc.sent == [(4, 15), (7, 15)]


@pytest.mark.parametrize(
    ("group", "session", "groups"),
    [(40, 50, [-40]), (2, 50, [-2]), (40, OWN, []), (40, 0, []), (1, 50, []), (0, 50, [])],
)
def test_groups_of_other_sessions_get_it_too(proc: Proc, group: int, session: int, groups: list[int]) -> None:
    """Not our own session, nor that of another PID namespace (0), nor what kill(2) takes for all."""
    proc.process(5, OWN, group=group, session=session)
    assert processes.kill_with_groups([5, 6], 9) == []
    assert proc.sent == [*((each, 9) for each in groups), (5, 9), (6, 9)]


def test_a_group_that_has_gone_is_no_error(proc: Proc) -> None:
    proc.process(5, OWN, group=40, session=50)
    proc.refuses = {-40: ProcessLookupError(), 5: DENIED}
    assert processes.kill_with_groups([5], 9) == [5]
