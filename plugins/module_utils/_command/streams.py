# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The standard streams of the command itself: its messages, and copies for the commands that it starts."""

import errno
import fcntl
import os
import stat

from .._end.lean import signal

KEPT = 10  # the lowest descriptor for copies of the standard streams; low, because there may be few (ulimit -n)
CLOSED = 128  # where no descriptor may stay open, those below this are closed
CHUNK = 64 * 1024
USAGE, FAILURE = 1, 2  # exit statuses, as in the original


def say(text: str, status: int = 0) -> int:
    """Write one line to standard error; returns ``status``."""
    try:
        os.write(2, ("socketpipe: %s\n" % text).encode("utf-8", "backslashreplace"))
    except OSError:
        pass
    return status


def shell_status(rc: int) -> int:
    """An exit status as in a shell: 128 + n for -n, a death by signal n."""
    return rc if rc >= 0 else 128 - rc


def die(number: int) -> int:
    """Die of this signal, so that a shell sees that it was a signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def hold_places() -> None:
    """Open each missing standard stream in the wrong direction, so that it stays unusable and its number taken."""
    for fd, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free number, which is this one


def at_terminal() -> bool:
    """Whether a person reads standard error: it is our terminal, and we are in the foreground."""
    try:
        return os.isatty(2) and os.tcgetpgrp(2) == os.getpgrp()
    except OSError:  # a terminal of another session
        return False


def keep(fd: int) -> int:
    """A copy of a standard stream that no child inherits by accident."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from None  # the limit is below KEPT


def own_description(fd: int) -> int:
    """A new descriptor for the file behind ``fd`` that does not share its flags.

    ssh makes its standard error non-blocking, and so all descriptors of the same open file description (open(2)): other
    commands would fail with EAGAIN.  A regular file is duplicated, for its one offset; it ignores O_NONBLOCK.
    """
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return os.dup(fd)
        # non-blocking, because a FIFO may have lost its reader
        found = os.open("/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # a socket, as under sshd, or a pipe of another user
        return relay(fd)
    os.set_blocking(found, True)
    return found


def relay(fd: int) -> int:
    """A pipe to a process that copies it to ``fd`` until the last writer has closed it."""
    from .._end.watch import SIGNALS  # rarely needed

    theirs, ours = os.pipe()
    if os.fork() == 0:
        try:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            os.dup2(theirs, 0)
            os.dup2(fd, 1)
            os.closerange(2, CLOSED)  # otherwise the readers of other pipes would never see the end
            data = os.read(0, CHUNK)
            while data:
                data = data[os.write(1, data) :] or os.read(0, CHUNK)
        finally:
            os._exit(0)
    os.close(theirs)
    return ours
