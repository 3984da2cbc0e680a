# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command's own standard streams: who else gets them, and what it says itself."""

import fcntl
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # that end the command
USAGE, FAILURE = 1, 2  # exit statuses, as the original's


def say(text: str, status: int = 0) -> int:
    """One line on standard error."""
    try:
        os.write(2, ("socketpipe: %s\n" % text).encode("utf-8", "backslashreplace"))
    except OSError:
        pass
    return status


def at_terminal() -> bool:
    """Whether somebody looks at what we say: standard error is our terminal, and we are not in the background."""
    try:
        return os.isatty(2) and os.tcgetpgrp(2) == os.getpgrp()
    except OSError:  # a terminal, but not that of our session
        return False


def keep(fd: int, flags: int) -> int:
    """A copy of one of our standard streams, which nobody gets by accident."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
    except OSError:  # it is closed
        return os.open(os.devnull, flags)


def own_description(fd: int) -> int:
    """A descriptor for what is open as ``fd``, that shares no flags with it.

    ssh makes its standard error non-blocking, and with it all others that share the open file (open(2)): other
    commands would fail with EAGAIN.  A file keeps its one offset: there non-blocking means nothing.
    """
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return os.open("/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_NOCTTY)
    except OSError:
        pass
    try:
        return os.dup(fd)
    except OSError:  # it is closed
        return os.open(os.devnull, os.O_WRONLY)
