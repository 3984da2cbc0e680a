# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools that the tape programs run for their output: what is known of it, how long it may take, what may be left."""

from __future__ import annotations

import json
import os
import select
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import process, tools
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import is_alive, within

LONG = 30.0  # seconds


def opened() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def guards(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The exit status of each guard; none is left, and nothing stays open."""
    before, me, fork, waitpid = opened(), os.getpid(), os.fork, os.waitpid
    pids: list[int] = []
    found: list[int] = []

    def forked() -> int:
        pids.append(fork())
        return pids[-1]

    def waited(pid: int, how: int) -> tuple[int, int]:
        ended = waitpid(pid, how)
        if os.getpid() == me and pid in pids:
            found.append(os.waitstatus_to_exitcode(ended[1]))
        return ended

    monkeypatch.setattr(os, "fork", forked)
    monkeypatch.setattr(os, "waitpid", waited)
    yield found
    assert opened() == before
    for pid in pids:
        with pytest.raises(ChildProcessError):
            waitpid(pid, os.WNOHANG)


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


@pytest.mark.parametrize(
    ("text", "count", "found"),
    [("", 1, ""), ("a\n\n b \n \n", 1, "b"), ("a\nb\nc", 2, "b / c"), ("a", 3, "a"), ("x" * 501, 1, "x" * 500)],
)
def test_last_lines(text: str, count: int, found: str) -> None:
    assert tools.last_lines(text, count) == found
    assert tools.last_lines("a\nb") == "b"


# -- with a guard


def test_what_a_tool_answers(guards: list[int]) -> None:
    assert tools.run(sh("cat; echo $LC_ALL; echo \\\\377 >&2; exit 3"), LONG) == (
        3,
        "C\n",
        "\ufffd\n",
    )
    assert tools.run(["true"], LONG) == (0, "", "")
    assert tools.run(sh("kill -9 $$"), LONG) == (-9, "", "")
    assert tools.run(["/bin/sh", "-c", "echo $LC_ALL-$A"], LONG, {"A": "b"}) == (0, "-b\n", "")
    assert guards == [0] * 4


def test_a_tool_that_is_not_there(guards: list[int]) -> None:
    for argv in (["/no/such", "x"], [b"/no/such", b"x"]):
        with pytest.raises(process.Missing) as caught:
            tools.run(argv, LONG)
        assert str(caught.value) == "there is no /no/such on this host: install it" or isinstance(argv[0], bytes)
        assert (caught.value.errno, caught.value.why) == (2, "No such file or directory")
    assert guards == [0, 0]


def test_much_output() -> None:
    """Its end is kept."""
    for size, kept in ((10, 10), (2**20, 2**20), (2**20 + 5, 2**20)):
        with tempfile.TemporaryFile() as file:
            file.write(b"x" + b"y" * (size - 2) + b"z")
            file.seek(0)
            text = tools._text(file)
        assert (len(text), text[-1], text[0]) == (kept, "z", "x" if size == kept else "y")


@pytest.mark.parametrize(
    ("script", "said"), [("echo out; echo err >&2", "err"), ("echo out", "out"), ("trap 'echo bye; exit' TERM", "bye")]
)
def test_a_tool_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, said: str, guards: list[int]
) -> None:
    """It is asked to end before it is killed; here its time is up when it has come so far."""
    poll, me = select.poll, os.getpid()

    class Poller:
        def register(self, _fd: int, _events: int) -> None:
            pass

        def poll(self, _limit: float) -> list[Any]:
            assert within(LONG, (tmp_path / "so far").exists)
            return []

    monkeypatch.setattr(tools.select, "poll", lambda: Poller() if os.getpid() == me else poll())
    with pytest.raises(tools.TooLong) as caught:
        tools.run(sh(f"{script}; touch '{tmp_path}/so far'; sleep 5 & wait; echo late >&2"), LONG)
    assert str(caught.value) == said and guards == [0]


def test_the_limit_is_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    class Poller:
        def register(self, _fd: int, events: int) -> None:
            assert events == select.POLLIN

        def poll(self, limit: float) -> list[Any]:
            limits.append(limit)
            return []

    monkeypatch.setattr(tools, "select", type("", (), {**vars(select), "poll": Poller}))
    monkeypatch.setattr(tools, "_guard", lambda *_arguments: None)
    with pytest.raises(tools.TooLong):
        tools.run(["true"], 1.5)
    assert limits == [1500]


def test_a_guard_that_is_no_more(monkeypatch: pytest.MonkeyPatch, guards: list[int]) -> None:
    """As if the tool had been killed: nothing is known of it, and nothing is waited for."""
    me = os.getpid()
    kill: Callable[..., Any] = lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    fail: Callable[..., Any] = lambda *_arguments: 1 // 0  # noqa: E731
    try:
        for end in (kill, fail):
            monkeypatch.setattr(tools, "_guard", end)
            assert tools.run(["true"], LONG) == (-signal.SIGKILL, "", "")
    finally:
        if os.getpid() != me:
            os._exit(99)
    assert guards == [-signal.SIGKILL, 1]


def test_what_a_tool_leaves_is_killed() -> None:
    _status, out, _err = tools.run(sh("sleep 600 & echo $!"), LONG)
    assert within(LONG, lambda: not is_alive(int(out)))


def test_sessions_of_their_own() -> None:
    """Of the guard and of the tool: signals to our group reach neither."""
    _status, out, _err = tools.run(sh("cat /proc/$PPID/stat /proc/$$/stat"), LONG)
    found = [(line.split()[0], line.rpartition(")")[2].split()[3]) for line in out.splitlines()]
    assert all(pid == session for pid, session in found) and len(found) == 2


def test_signals_do_not_end_a_guard(guards: list[int]) -> None:
    """Only our end does, so that the tool never outlives it; the tool itself gets signals as usual."""
    script = "for name in TERM INT HUP QUIT; do kill -$name $PPID; done; echo alive; kill -TERM $$"
    assert tools.run(sh(script), LONG) == (-signal.SIGTERM, "alive\n", "") and guards == [0]


def test_a_guard_keeps_nothing_open(monkeypatch: pytest.MonkeyPatch, guards: list[int]) -> None:
    """But its pipes, and the files for the output."""

    def look(_argv: object, **how: Any) -> None:
        paths = {
            name: os.readlink(f"/proc/self/fd/{name}") for name in opened() if os.path.lexists(f"/proc/self/fd/{name}")
        }
        kinds = [paths.pop(name) for name in "012"]
        pipes = sum(path.startswith("pipe:") for path in paths.values())
        told = [
            kinds,
            len(paths),
            pipes,
            signal.set_wakeup_fd(-1),
            how["start_new_session"],
            os.getsid(0) == os.getpid(),
        ]
        raise process.Missing("x", OSError(7, json.dumps(told)))

    monkeypatch.setattr(tools, "start", look)
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write)
    try:
        with pytest.raises(process.Missing) as caught:
            tools.run(["x"], LONG)
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)
    # two pipes and two files
    assert json.loads(caught.value.why) == [["/dev/null"] * 3, 4, 2, -1, True, True]
    assert guards == [0]


class Ends:
    """In the place of os.waitid(): a process that has ended when it is looked at for the n-th time."""

    def __init__(self, count: int):
        self.count = count

    def __call__(self, *arguments: object) -> object:
        assert arguments == (os.P_PID, 5, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        self.count -= 1
        return None if self.count >= 0 else "ended"


@pytest.mark.parametrize("gone", [False, True])
def test_how_often_a_guard_looks(monkeypatch: pytest.MonkeyPatch, gone: bool) -> None:
    """Often at first, because most tools end soon."""
    calls: list[Any] = []

    class Poller:
        def register(self, *what: int) -> None:
            calls.append(what)

        def poll(self, pause: int) -> list[Any]:
            calls.append(pause)
            return [(7, select.POLLHUP)] if gone and len(calls) == 4 else []

    monkeypatch.setattr(tools, "select", type("", (), {"poll": Poller}))
    monkeypatch.setattr(os, "waitid", Ends(8))
    assert tools._ended(5, 7) is not gone
    assert calls == [(7, 0), *[2, 4, 8, 16, 32, 64, 100, 100][: 3 if gone else 8]]


@pytest.mark.parametrize(
    ("gently", "count", "done"),
    [
        (False, 0, ["SIGKILL"]),
        (True, 0, ["SIGTERM", "SIGKILL"]),
        (True, 2, ["SIGTERM", 0.05, 0.05, "SIGKILL"]),
        (True, 99, ["SIGTERM", *[0.05] * 40, "SIGKILL"]),
    ],
)
def test_how_a_group_is_ended(monkeypatch: pytest.MonkeyPatch, gently: bool, count: int, done: list[Any]) -> None:
    """With some time to end by itself."""
    found: list[Any] = []

    def waited() -> float:
        return round(0.05 * sum(each == 0.05 for each in found), 2)

    monkeypatch.setattr(tools, "time", type("", (), {"monotonic": staticmethod(waited), "sleep": found.append}))
    monkeypatch.setattr(os, "killpg", lambda group, number: found.append(number.name if group == 5 else group))
    monkeypatch.setattr(os, "waitid", Ends(count))
    tools._end(5, gently)
    assert found == done


def test_a_group_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_group: int, _number: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", gone)
    tools._end(5, True)


# -- without a guard


def said_in_time(script: str, limit: float) -> str:
    """What it has said when its time is up; again with more if that is nothing, because this machine is slow."""
    with pytest.raises(tools.TooLong) as caught:
        tools.ask(sh(script), limit)
    return str(caught.value) or (said_in_time(script, limit * 10) if 0.2 < limit < LONG else "")


def test_a_quick_query() -> None:
    assert tools.ask(sh("cat; echo $LC_ALL; echo wrong >&2; exit 3")) == (3, "C\n", "wrong\n")
    assert {"wrong\n", ""} == {said_in_time("echo wrong >&2; exec sleep 600", 0.3), said_in_time("exec sleep 600", 0.1)}
    with pytest.raises(process.Missing):
        tools.ask(["/no/such"])


def test_a_call(capfd: pytest.CaptureFixture[str]) -> None:
    assert tools.call(sh("cat; echo wrong >&2; exit 3")) == 3
    assert capfd.readouterr() == ("", "wrong\n")
