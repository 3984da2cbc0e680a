# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of one archive: what they say, whom they are waited for with, and when they are killed."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import crew as module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.crew import Child, Crew, Lines, pipe
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem

LONG = 20  # seconds after which something that must happen has not happened
MEGA = 2**20
GET_PIPE_SIZE = 1032  # linux/fcntl.h


@pytest.fixture
def crew() -> Iterator[Crew]:
    """A crew; afterwards signals are as they were."""
    before = signal.getsignal(signal.SIGCHLD)
    wakeup = signal.set_wakeup_fd(-1)
    with Crew() as made:
        yield made
    ours = signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, before)
    for fd in (ours, made.wake, *made.readers):
        os.close(fd)


# -- pipes


def test_a_pipe_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """As large as everybody may have it; a smaller one will do."""
    ends = pipe()
    assert [fcntl.fcntl(end, GET_PIPE_SIZE) for end in ends] == [MEGA, MEGA]

    def refuse(*_arguments: object) -> None:
        raise PermissionError(errno.EPERM, "too many pages")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    small = pipe()
    os.write(small[1], b"x")
    assert os.read(small[0], 2) == b"x"
    for end in (*ends, *small):
        os.close(end)


# -- what a program says


def test_first_and_last_lines() -> None:
    says = Lines()
    for number in range(41):
        says(b"%d\n" % number)
    numbers = [str(number) for number in range(41)]
    assert (says.first, says.last, says.count) == (numbers[:20], numbers[21:], 41)


def test_lines_in_pieces() -> None:
    says = Lines()
    for chunk in (b"a", b"b\nc\xff", b"\n\nd"):
        says(chunk)
    assert says.first == says.last == ["ab", "c\\xff", ""] and says.count == 3
    for _again in range(2):
        says.finish()
        assert (says.last[-1], says.count) == ("d", 4)


def test_long_lines() -> None:
    says = Lines()
    says(b"x" * 3000 + b"\n" + b"y" * 3000)
    assert says.first == ["x" * 2000] and says.rest == b"y" * 2000
    says(b"more")
    says.finish()
    assert says.last == ["x" * 2000, "y" * 2000]


# -- how it ended


@pytest.mark.parametrize(
    ("status", "failed", "by_pipe", "how"),
    [
        (None, False, False, "failed with status 0"),
        (0, False, False, "failed with status 0"),
        (1, False, False, "failed with status 1"),
        (2, True, False, "failed with status 2"),
        (-9, True, False, "was killed by SIGKILL"),
        (-13, True, True, "was killed by SIGPIPE"),
    ],
)
def test_how_a_program_ended(status: int | None, failed: bool, by_pipe: bool, how: str) -> None:
    process: Any = SimpleNamespace(returncode=status)
    child = Child("tar", process, (0, 1), Lines())
    assert (child.status, child.failed, child.by_pipe, child.how()) == (status, failed, by_pipe, how)
    assert not child.killed and child.then is None


# -- real programs


def test_a_program_has_what_it_is_given(crew: Crew) -> None:
    """Its descriptors, and no others of ours; the usual folder and environment."""
    found = bytearray()
    out, more = crew.listen(found.extend), pipe()
    script = b"pwd; echo $LC_ALL; ls /proc/$$/fd; echo wrong >&2; cat; exit 3"
    child = crew.start("sh", [b"sh", b"-c", script], stdout=out, fds=(more[1],), ok=(0, 3))
    os.close(out)
    crew.wait()
    assert bytes(found).split()[:2] == [b"/", b"C"]
    assert set(bytes(found).split()[2:]) == {b"0", b"1", b"2", b"%d" % more[1]}
    assert (child.name, child.status, child.failed, child.says.last) == ("sh", 3, False, ["wrong"])
    for end in more:
        os.close(end)


def test_a_folder_and_an_environment_of_its_own(crew: Crew) -> None:
    found = bytearray()
    out = crew.listen(found.extend)
    says = Lines()
    script = b"pwd; echo $LC_ALL-$A; echo said >&2"
    crew.start("sh", [b"/bin/sh", b"-c", script], stdout=out, says=says, cwd=b"/dev", env={"A": "b"})
    os.close(out)
    crew.wait()
    assert (bytes(found), says.first) == (b"/dev\n-b\n", ["said"])


def test_a_program_that_is_not_there(crew: Crew) -> None:
    with pytest.raises(Problem) as caught:
        crew.start("the program", [b"/no/such"])
    assert str(caught.value) == "cannot run the program: No such file or directory" and not crew.children
    crew.wait()


def test_a_function_in_a_fork(crew: Crew) -> None:
    found = bytearray()
    out, ours = crew.listen(found.extend), pipe()
    os.write(ours[1], b"given")
    child = crew.fork("tee", lambda: os._exit(os.write(1, os.read(0, 99))), ours[0], out, ())
    os.close(out)
    crew.wait()
    assert (child.name, child.status, bytes(found), crew.children) == ("tee", 5, b"given", [child])
    well = crew.fork("tee", lambda: None, ours[0], ours[1], ())
    failing = crew.fork("tee", lambda: int("x"), ours[0], ours[1], ())
    crew.wait()
    assert (
        not well.failed
        and failing.failed
        and failing.says.last == ["ValueError: invalid literal for int() with base 10: 'x'"]
    )
    for end in ours:
        os.close(end)


def test_an_end_is_noticed_when_nothing_is_said(crew: Crew) -> None:
    """Of a program that has closed everything that we listen to."""
    assert [os.get_blocking(fd) for fd in (crew.wake, *crew.readers)] == [False]
    crew.start("true", [b"true"])
    assert [os.get_blocking(fd) for fd in crew.readers] == [False]
    assert select.select([crew.wake], [], [], LONG)[0] == [crew.wake]
    crew.poll(-1, None)
    assert select.select([crew.wake], [], [], 0)[0] == []


def test_the_block_ends_what_still_runs() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    with Crew() as crew:
        ended, running = crew.start("true", [b"true"]), crew.start("sleep", [b"sleep", b"600"])
        ended.process.wait()
    assert (ended.killed, ended.failed, running.killed, running.status) == (False, False, True, -signal.SIGKILL)
    for fd in (signal.set_wakeup_fd(-1), crew.wake, *crew.readers):
        os.close(fd)
    signal.signal(signal.SIGCHLD, before)


def test_output_comes_in_pieces(crew: Crew) -> None:
    pieces: list[bytes] = []
    theirs = crew.listen(pieces.append)
    (ours,) = crew.readers
    crew.read(ours)
    os.write(theirs, bytes(MEGA))
    os.close(theirs)
    for _piece in range(4):
        crew.read(ours)
    assert [len(piece) for piece in pieces] == [MEGA // 4] * 4 and crew.readers
    crew.read(ours)
    assert not crew.readers
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(ours)


# -- waiting: for whom, for what, and for how long


class Poller:
    """In the place of select.poll()."""

    def __init__(self, *found: tuple[int, int]):
        self.found, self.registered, self.limits = list(found), [], []  # type: ignore[var-annotated]

    def register(self, fd: int, events: int) -> None:
        self.registered.append((fd, events))

    def poll(self, limit: int | None) -> list[tuple[int, int]]:
        self.limits.append(limit)
        return self.found


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses; it is 1000 seconds after the start of this machine."""
    found: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1000.0, sleep=found.append))
    return found


@pytest.mark.parametrize(
    ("out", "deadline", "events", "gone", "limit"),
    [
        (-1, None, 0, False, None),
        (0, None, select.POLLERR, True, None),
        (0, 1000.0, select.POLLHUP, True, 1),
        (99, 1001.5, 0, False, 1501),
        (99, 998.0, 0, False, 0),
    ],
)
def test_waiting_for_an_event(
    monkeypatch: pytest.MonkeyPatch,
    crew: Crew,
    slept: list[float],
    out: int,
    deadline: float | None,
    events: int,
    gone: bool,
    limit: int | None,
) -> None:
    poller = Poller(*[(out, events)] if events else [])
    monkeypatch.setattr(module, "select", SimpleNamespace(**{**vars(select), "poll": lambda: poller}))
    crew.readers = {7: lambda _chunk: None}
    crew.poll(out, deadline)
    listened = [(crew.wake, select.POLLIN), (7, select.POLLIN)] + ([(out, 0)] if out >= 0 else [])
    assert (poller.registered, poller.limits, crew.reader_gone, slept) == (listened, [limit], gone, [])
    crew.readers = {}


def test_all_that_has_arrived_is_read(monkeypatch: pytest.MonkeyPatch, crew: Crew, slept: list[float]) -> None:
    """Then there is a pause, so that the next lines come together."""
    pieces: list[bytes] = []
    theirs = [crew.listen(pieces.append) for _number in range(2)]
    for end in theirs:
        os.write(end, b"x")
        os.close(end)
    crew.poll(-1, None)
    assert pieces == [b"x", b"x"] and slept == [module.GATHER]


class Program:
    """In the place of a process."""

    def __init__(self, returncode: int | None = None):
        self.returncode = returncode
        self.waited = 0

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.returncode = -9

    def wait(self) -> None:
        self.waited += 1


def play(
    monkeypatch: pytest.MonkeyPatch, crew: Crew, *events: Any
) -> tuple[list[Child], list[tuple[int, float | None]]]:
    """(two programs; with which arguments it waited for an event) when these events come."""
    programs: list[Any] = [Program(), Program()]
    crew.children = [Child(name, program, (0,), Lines()) for name, program in zip("ab", programs)]
    for child in crew.children:
        child.says.rest = b"rest"
    calls: list[tuple[int, float | None]] = []
    coming = iter(events)

    def poll(out: int, deadline: float | None) -> None:
        calls.append((out, deadline))
        next(coming)(*crew.children)

    monkeypatch.setattr(crew, "poll", poll)
    crew.wait(5)
    return crew.children, calls


def ends(which: int, status: int = 0) -> Any:
    return lambda *children: setattr(children[which].process, "returncode", status)


def test_all_are_waited_for(monkeypatch: pytest.MonkeyPatch, crew: Crew, slept: list[float]) -> None:
    children, calls = play(monkeypatch, crew, ends(1), ends(0))
    assert calls == [(5, None), (5, None)]
    assert [(child.killed, child.says.last) for child in children] == [(False, ["rest"])] * 2


def test_output_after_the_end_is_waited_for(monkeypatch: pytest.MonkeyPatch, crew: Crew, slept: list[float]) -> None:
    """Without a limit: a program may have left another one that writes."""
    crew.readers = {7: lambda _chunk: None}
    _children, calls = play(monkeypatch, crew, ends(1, 1), ends(0), lambda *_all: crew.readers.clear())
    assert calls == [(5, None), (5, 1002.0), (5, None)]


def test_the_others_have_some_time_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, crew: Crew, slept: list[float]
) -> None:
    def later(seconds: float) -> Any:
        return lambda *_children: monkeypatch.setattr(module.time, "monotonic", lambda: 1000.0 + seconds)

    children, calls = play(monkeypatch, crew, ends(1, 1), later(1.5), later(2.0))
    assert calls == [(5, None), (5, 1002.0), (5, 1002.0)]
    assert [child.killed for child in children] == [True, False]
    assert [child.process.waited for child in children] == [1, 1]


def test_none_without_a_reader(monkeypatch: pytest.MonkeyPatch, crew: Crew, slept: list[float]) -> None:
    """It is not looked for again: poll(2) would report it without end."""
    crew.readers = {7: lambda _chunk: None}
    children, calls = play(
        monkeypatch,
        crew,
        lambda *_children: setattr(crew, "reader_gone", True),
        lambda *_children: crew.readers.clear(),
    )
    assert calls == [(5, None), (-1, None)] and [child.killed for child in children] == [True, True]


def test_what_comes_after_a_program(monkeypatch: pytest.MonkeyPatch, crew: Crew, slept: list[float]) -> None:
    """It is called once, when the program has ended, and before anything else is waited for."""
    called: list[str] = []

    def prepare(*children: Child) -> None:
        for child in children:
            child.then = lambda child=child: called.append(child.name)
        ends(1)(*children)

    def look(*children: Child) -> None:
        assert called == ["b"]
        ends(0)(*children)

    play(monkeypatch, crew, prepare, look)
    assert called == ["b", "a"]
