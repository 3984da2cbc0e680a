# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes of the tape programs: what they inherit, what they say, and that none is left."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import process
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import NO_TOOL, Problem
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import within

GET_PDEATHSIG = 2  # linux/prctl.h
OPENED = "/proc/self/fd"
LONG = 30.0  # seconds


def status_of(work: Callable[[], int]) -> int:
    """What a function returns in a copy of this process, as its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def death_signal() -> int:
    found = ctypes.c_int(-1)
    process.c_library.prctl(GET_PDEATHSIG, ctypes.byref(found))
    return found.value


# -- signals


def test_the_first_signal_ends_it() -> None:
    """Unless it was started with nohup; SIGTERM always does.  Those that come later change nothing."""

    def work() -> int:
        for number in process.ENDING:
            signal.signal(number, signal.SIG_IGN if number in (signal.SIGHUP, signal.SIGTERM) else signal.SIG_DFL)
        process.end_on_signals()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGHUP)
        for number in (signal.SIGTERM, signal.SIGINT):
            process.end_on_signals()
            try:
                os.kill(os.getpid(), number)
                return 1
            except process.Ended as exc:
                assert (str(exc), exc.status) == (f"ended by {number.name}", 128 + number)
            for later in process.ENDING:
                os.kill(os.getpid(), later)
                assert callable(signal.getsignal(later))
        return 5

    assert status_of(work) == 5


def test_signals_are_held() -> None:
    def blocked() -> set[int]:
        return signal.pthread_sigmask(signal.SIG_BLOCK, ())

    before = blocked()
    with process.signals_held():
        assert blocked() == before | set(process.ENDING)
    assert blocked() == before - set(process.ENDING)


# -- what a program inherits


def test_the_environment_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*process.DROPPED, "LC_ALL", "KEPT"):
        monkeypatch.setenv(name, "x")
    for path, found in (("/bin", "/bin"), ("", os.defpath)):
        monkeypatch.setenv("PATH", path)
        made = process.environment()
        assert (made["PATH"], made["LC_ALL"], made["KEPT"]) == (f"{found}:{process.SBIN}", "C", "x")
        assert not set(made) & set(process.DROPPED) and set(made) == set(os.environ) - set(process.DROPPED)


def test_it_dies_with_its_parent() -> None:
    """And not at all if that has died before it could ask for that."""
    parent = os.getpid()

    def work() -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, process.ENDING)
        process.die_with(parent)()
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(process.ENDING)
        return death_signal()

    assert status_of(work) == signal.SIGKILL
    parent += 1
    assert status_of(work) == 127


def test_a_program_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "x")
    script = ["sh", "-c", "echo $LC_ALL-$A; grep -c . /dev/stdin"]
    asked: list[int] = []

    def die_with(parent: int) -> Callable[[], int]:
        asked.append(parent)
        return lambda: os.write(1, b"asked ")

    monkeypatch.setattr(process, "die_with", die_with)
    how: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    plain = process.start(script, **how)
    assert plain.communicate()[0] == b"asked C-\n0\n"
    own = process.start(script, before=lambda: os.write(1, b"before "), env={"A": "b", "PATH": "/bin"}, **how)
    assert own.communicate()[0] == b"asked before -b\n0\n" and asked == [os.getpid()] * 2


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOENT, "there is no tar on this host: install it"),
        (errno.EACCES, "tar cannot be started: Permission denied: install it"),
        (None, "tar cannot be started: strange: install it"),
    ],
)
def test_a_program_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, number: int | None, text: str) -> None:
    def fail(*_argv: object, **_how: object) -> None:
        raise OSError(number, os.strerror(number)) if number else OSError("strange")

    monkeypatch.setattr(subprocess, "Popen", fail)
    for argv in (["tar", "x"], [b"tar", b"x"]):
        with pytest.raises(process.Missing) as caught:
            process.start(argv)
        assert (str(caught.value), caught.value.kind, caught.value.errno) == (text, NO_TOOL, number or 0)
        assert caught.value.why == text.rpartition(": install")[0].rpartition(": ")[2] or number == errno.ENOENT


def test_children_end_with_the_block() -> None:
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with process.Children() as children:
        ended, running = children.start(["true"]), children.start(["sleep", "600"], **pipes)
        ended.wait()
    assert (ended.returncode, running.returncode) == (0, -signal.SIGKILL)
    assert running.stdout and running.stderr and running.stdout.closed and running.stderr.closed


def test_other_descriptors_are_closed() -> None:
    def work() -> int:
        kept = os.open("/dev/null", os.O_RDONLY)
        os.open("/dev/null", os.O_RDONLY)
        process.close_all_but((1, kept))
        names = os.listdir(OPENED)  # and that of the folder, which is closed by now
        return 5 if {name for name in names if os.path.lexists(f"{OPENED}/{name}")} == {"1", str(kept)} else 1

    assert status_of(work) == 5


def test_errors_of_the_c_library() -> None:
    assert process.c_library.close(-1) == -1 and ctypes.get_errno() == errno.EBADF


# -- forks


@pytest.fixture
def said() -> Iterator[tuple[int, Callable[[], str]]]:
    """The end of a pipe to write to, and what came there."""
    ours, theirs = os.pipe()

    def read() -> str:
        os.set_blocking(ours, False)
        try:
            return os.read(ours, 1000).decode()
        except BlockingIOError:
            return ""

    yield theirs, read
    os.close(ours)
    os.close(theirs)


def fork(work: Callable[[], None], err: int = 2, fds: tuple[int, ...] = ()) -> process.Forked:
    with open(os.devnull, "rb") as none:
        return process.Forked(work, (none.fileno(), err, err), fds)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (None, ""),
        (OSError(errno.EPIPE, "Broken pipe"), "Broken pipe\n"),
        (OSError("odd"), "OSError: odd\n"),
        (ValueError("wrong \udcff"), "ValueError: wrong \\udcff\n"),
        (Problem("this", "that"), "this: that\n"),
        (process.Ended(signal.SIGINT), "Ended: ended by SIGINT\n"),
    ],
)
def test_what_becomes_of_a_fork(said: Any, what: BaseException | None, text: str) -> None:
    def work() -> None:
        if what:
            raise what

    made = fork(work, said[0])
    assert (made.wait(), said[1](), made.returncode) == (1 if what else 0, text, 1 if what else 0)
    assert made.wait() == made.poll() == made.returncode
    made.kill()  # it is gone, and its number may be that of another


def test_a_fork_that_is_killed(said: Any) -> None:
    made = fork(signal.pause)
    assert made.poll() is None and made.returncode is None
    made.kill()
    assert made.wait() == made.poll() == -signal.SIGKILL
    other = fork(lambda: None)
    assert within(LONG, lambda: other.poll() == 0)
    slow = fork(lambda: os._exit(7 + subprocess.call(["sleep", "0.1"])))
    assert slow.wait() == slow.poll() == 7


def test_a_fork_has_what_it_is_given(said: Any) -> None:
    """Signals as a new program has them, standard input, output and errors, and no other descriptors but these."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = {number: signal.getsignal(number) for number in (*process.ENDING, signal.SIGCHLD, signal.SIGPIPE)}

    def work() -> None:
        wakeup = signal.set_wakeup_fd(-1)
        found = [signal.getsignal(number) == signal.SIG_DFL for number in before]
        opened = {int(name) for name in os.listdir(OPENED) if os.path.lexists(f"{OPENED}/{name}")}
        standard = [os.readlink(f"{OPENED}/{fd}").partition(":")[0] for fd in (0, 1, 2)]
        os.write(1, repr((wakeup, all(found), opened == {0, 1, 2, write}, standard, death_signal())).encode())

    try:
        signal.set_wakeup_fd(write)
        for number in before:
            signal.signal(number, lambda *_: None)
        assert fork(work, said[0], (write,)).wait() == 0
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
    assert said[1]() == repr((-1, True, True, ["/dev/null", "pipe", "pipe"], int(signal.SIGKILL)))
    os.close(read)
    os.close(write)
