# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs tools for their output, each with a time limit."""

import os
import select
import signal
import subprocess
import tempfile
import time
from subprocess import DEVNULL, PIPE

from .process import ENDING, Children, Missing, close_all_but, environment, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from .process import Words

GRACE = 2.0  # seconds between SIGTERM and SIGKILL
OUTPUT_SIZE = 1 << 20  # bytes of output; a library with 10 000 slots prints half of this


class TooLong(Exception):
    """A tool exceeded its time limit and was killed; the text is its last output."""


def last_lines(text: str, count: int = 1) -> str:
    """The last non-empty lines, joined."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:])[-500:]


def run(argv: "Words", limit: float, env: "dict[str, str] | None" = None) -> "tuple[int, str, str]":
    """Run a program without standard input; returns its exit status (as in subprocess), output and errors.

    It runs in its own session, as the child of a guard.  The guard kills everything that it started there after it has
    exited, or when this process dies.  Its output goes to files, because a daemon it leaves behind would keep pipes
    open.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        env = environment() if env is None else env
        told, tell = os.pipe()
        heard, alive = os.pipe()
        guard = os.fork()
        if guard == 0:
            try:
                _guard(argv, env, (out.fileno(), err.fileno()), heard, tell)
            finally:
                os._exit(1)
        os.close(tell)
        os.close(heard)
        try:
            poller = select.poll()
            poller.register(told, select.POLLIN)
            late = not poller.poll(limit * 1000)
        finally:
            os.close(alive)
            word = os.read(told, select.PIPE_BUF).decode("utf-8", "replace")
            os.close(told)
            os.waitpid(guard, 0)
        if late:
            raise TooLong(last_lines(_text(err)) or last_lines(_text(out)))
        status, _space, why = word.partition(" ")
        if why:
            raise Missing(os.fsdecode(argv[0]), OSError(int(status), why))
        return int(status or -signal.SIGKILL), _text(out), _text(err)


def ask(argv: "Words", limit: "float | None" = None) -> "tuple[int, str, str]":
    """The same without a guard, for a quick query that starts no other process."""
    with Children() as children:
        child = children.start(argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
        try:
            out, err = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired as exc:
            raise TooLong((exc.stderr or b"").decode("utf-8", "replace")) from None
    return child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def call(argv: "Words") -> int:
    """The exit status of a program that prints nothing but errors."""
    with Children() as children:
        return children.start(argv, stdin=DEVNULL).wait()


def _text(file: "IO[bytes]") -> str:
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - OUTPUT_SIZE))
    return file.read().decode("utf-8", "replace")


def _guard(argv: "Words", env: "dict[str, str]", outputs: "tuple[int, int]", heard: int, tell: int) -> None:
    """The guard process: runs the program and reports how it ends, or kills it when the parent dies."""
    os.setsid()  # so that signals to the group of the parent do not reach it
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)  # not SIG_IGN, which the program would inherit
    signal.set_wakeup_fd(-1)
    close_all_but(outputs + (heard, tell))  # a guard must keep no pipe, lock or tape open
    nowhere = os.open(os.devnull, os.O_RDWR)  # 0, the first number that is free
    for fd in (1, 2):
        os.dup2(nowhere, fd)
    try:
        child = start(argv, stdin=DEVNULL, stdout=outputs[0], stderr=outputs[1], env=env, start_new_session=True)
    except Missing as exc:
        os.write(tell, ("%d %s" % (exc.errno, exc.why)).encode())
        os._exit(0)
    ended = _ended(child.pid, heard)
    _end(child.pid, gently=not ended)
    status = child.wait()
    if ended:
        os.write(tell, b"%d" % status)
    os._exit(0)


def _ended(pid: int, heard: int) -> bool:
    """Whether it exits before the parent dies; it stays a zombie, so that its group number is not reused."""
    poller = select.poll()
    poller.register(heard, 0)  # POLLHUP: the parent has died
    pause = 2
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if poller.poll(pause):
            return False
        pause = min(100, pause * 2)
    return True


def _end(group: int, gently: bool) -> None:
    """Kill a process group; ``gently``: with SIGTERM first."""
    try:
        if gently:
            os.killpg(group, signal.SIGTERM)
            until = time.monotonic() + GRACE
            while time.monotonic() < until:
                if os.waitid(os.P_PID, group, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                    break
                time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
    except OSError:  # no process is left, or they belong to another user (sudo)
        pass
