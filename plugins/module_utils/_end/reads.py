# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole blocks for a reader that takes a short read for a short block, and no waiting for one that asked for little."""

import time

from .kernel import full_reads, unread, wake_readers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

LOOK = (0.04, 0.25)  # seconds between looks whether a reader sleeps on what it asked for: from, growing to


class WholeReads:
    """A reader's socket on which read(n) returns n bytes, or less at the end only.

    The kernel wakes nobody for less than ``size`` bytes, nor does it tell us that they are there.  So we look: often
    while a little comes now and then, seldom while nothing does, or so much that the kernel wakes the reader by itself.
    """

    def __init__(self, sock: "socket.socket", size: int, polled: bool) -> None:
        """``polled``: the reader may be a program that calls poll(2) before it reads."""
        self.sock, self.size = sock, size
        self.granted = full_reads(sock, size, polled)
        self.pause, self.seen = LOOK[0], 0
        self.look_at = time.monotonic() + self.pause

    def look(self, now: float, count: int) -> None:
        """Wake a reader that sleeps on all that it asked for; ``count`` bytes have come so far."""
        if now < self.look_at:
            return
        if unread(self.sock):
            wake_readers(self.sock)
        little = 0 < count - self.seen < self.size
        self.pause = LOOK[0] if little else min(LOOK[1], self.pause * 1.5)
        self.look_at, self.seen = now + self.pause, count
