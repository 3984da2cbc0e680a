# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""What a first process does, of a host (pid1.py) and of the guest with tape drives (../tape/init.py).

Both import it by its bare name, and both must start soon: typing is not imported.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LIBC = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, data)]
    check(LIBC.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mounting {source} on {target}")


def has_sshd(*tables: str) -> bool:
    """Does anybody listen on port 22, by one of these tables of the kernel (tcp, tcp6)?"""
    for table in tables:
        try:
            with open(f"/proc/self/net/{table}", encoding="ascii") as lines:
                for words in map(str.split, lines):
                    if words[1].endswith(":0016") and words[3] == "0A":
                        return True
        except FileNotFoundError:
            continue
    return False


def reaped() -> Iterator[tuple[int, int]]:
    """(pid, status as os.waitstatus_to_exitcode has it) of all that have ended, orphans too."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


class Children:
    """Becomes readable when a child ends."""

    def __init__(self) -> None:
        self.fd, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def wait(self, *others: int) -> list[int]:
        """Sleep until a child ends, or one of these is readable; returns which of them are."""
        poll = select.poll()
        for descriptor in (self.fd, *others):
            poll.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _events in poll.poll()]
        if self.fd in ready:
            os.read(self.fd, 4096)
        return [descriptor for descriptor in ready if descriptor != self.fd]
