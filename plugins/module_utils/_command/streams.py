# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command's own standard streams: who else gets them, and what it says itself."""

import errno
import fcntl
import os
import stat

from .._end.lean import signal
from .._end.watch import SIGNALS

KEPT = 10  # descriptors from here on may be copies of the standard streams; there may be few (ulimit -n)
CLOSED = 128  # those below are closed where none may be left open
CHUNK = 64 * 1024
USAGE, FAILURE = 1, 2  # exit statuses, as the original's


def say(text: str, status: int = 0) -> int:
    """One line on standard error."""
    try:
        os.write(2, ("socketpipe: %s\n" % text).encode("utf-8", "backslashreplace"))
    except OSError:
        pass
    return status


def shell_status(rc: int) -> int:
    """An exit status as a shell has it: 128 + n for minus n, which is a death by signal n."""
    return rc if rc >= 0 else 128 - rc


def die(number: int) -> int:
    """End as this signal ends a program that does not catch it, so that a shell knows."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def hold_places() -> None:
    """What we were started without is opened the wrong way: it stays unusable, and nothing of ours gets its number."""
    for fd, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)  # the lowest free number, which is this one


def at_terminal() -> bool:
    """Whether somebody looks at what we say: standard error is our terminal, and we are not in the background."""
    try:
        return os.isatty(2) and os.tcgetpgrp(2) == os.getpgrp()
    except OSError:  # a terminal, but not that of our session
        return False


def keep(fd: int) -> int:
    """A copy of one of our standard streams, which nobody gets by accident."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from None  # there are not that many


def own_description(fd: int) -> int:
    """A descriptor for what is open as ``fd``, that shares no flags with it.

    ssh makes its standard error non-blocking, and with it all others that share the open file (open(2)): other
    commands would fail with EAGAIN.  A file keeps its one offset: there non-blocking means nothing.
    """
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return os.dup(fd)
        # without waiting: a FIFO may have no reader any more
        found = os.open("/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # a socket, as sshd has it, or somebody else's pipe
        return relay(fd)
    os.set_blocking(found, True)
    return found


def relay(fd: int) -> int:
    """A pipe to a process that passes on what comes, until nobody can write to it any more."""
    theirs, ours = os.pipe()
    if os.fork() == 0:
        try:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            os.dup2(theirs, 0)
            os.dup2(fd, 1)
            os.closerange(2, CLOSED)  # or the others would never see their ends
            data = os.read(0, CHUNK)
            while data:
                data = data[os.write(1, data) :] or os.read(0, CHUNK)
        finally:
            os._exit(0)
    os.close(theirs)
    return ours
