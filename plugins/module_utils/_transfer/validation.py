# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the command that checks the new file before it replaces the old one."""

import contextlib
import os
import select
import shlex
import signal
import subprocess

from .._tape.common.problem import SETTINGS, Problem
from .._tape.common.process import Children
from .files import VALIDATION, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

POLL = 0.1  # seconds
PIPE = 64 * 1024  # bytes that a pipe holds (pipe(7))
SAID_MOST = 500  # characters of its output in a message


def validate(command: str, path: bytes) -> None:
    """Raises Problem if the command does not accept the file."""
    words = [word.replace("%s", text_of(path)).encode("utf-8", "surrogateescape") for word in split(command)]
    with group(words) as child:
        said = last_words(child).decode("utf-8", "replace").strip()
    status = child.wait()
    if status:
        how = "failed with exit status %d" % status if status > 0 else "was killed by signal %d" % -status
        if -status in set(signal.Signals):
            how = "was killed by %s" % signal.Signals(-status).name
        text = "validate: %s %s" % (command, how)
        raise Problem(text, said[-SAID_MOST:].replace("\n", "; ") or "with no output", VALIDATION)


@contextlib.contextmanager
def group(words: "list[bytes]") -> "Iterator[subprocess.Popen[bytes]]":
    """A program in a session of its own; what is left of its process group is killed at the end of the block."""
    with Children() as children:
        child = children.start(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            with contextlib.suppress(OSError):  # no process is left, or they belong to another user
                os.killpg(child.pid, signal.SIGKILL)


def last_words(child: "subprocess.Popen[bytes]") -> bytes:
    """The end of a program's output up to its exit; it may write any amount, and leave its pipe to another program.

    It is not waited for, so that nobody else gets the number of its process group.
    """
    stream: "Any" = child.stdout
    fd, said = stream.fileno(), b""
    while not exited(child.pid):
        if select.select([fd], [], [], POLL)[0]:
            data = os.read(fd, PIPE)
            if not data:
                break
            said = (said + data)[-PIPE:]
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    if select.select([fd], [], [], 0)[0]:
        said += os.read(fd, PIPE)
    return said


def exited(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def split(command: str) -> "list[str]":
    try:
        return shlex.split(command)
    except ValueError as exc:
        raise Problem("validate: unbalanced quotes in %r (%s)" % (command, exc), kind=SETTINGS) from None
