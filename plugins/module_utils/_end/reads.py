# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole blocks for readers that turn short reads into short blocks, without delay for small reads."""

import time

from .kernel import full_reads, unread, wake_readers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

# seconds between checks for a reader that sleeps although its bytes are there: first and last value
LOOK = (0.04, 0.25)


class WholeReads:
    """The socket of a reader on which read(n) returns n bytes, or fewer only at the end.

    The kernel does not wake a reader for less than ``size`` bytes, nor does it report them.  So the socket is polled:
    often while data trickles, rarely while none comes, or so much that the kernel wakes the reader by itself.
    """

    def __init__(self, sock: "socket.socket", size: int, polled: bool) -> None:
        """``polled``: the reader may call poll(2) before it reads."""
        self.sock, self.size = sock, size
        self.granted = full_reads(sock, size, polled)
        self.pause, self.seen = LOOK[0], 0
        self.look_at = time.monotonic() + self.pause

    def look(self, now: float, count: int) -> None:
        """Wake a reader that sleeps although its bytes are there; ``count``: bytes received so far."""
        if now < self.look_at:
            return
        if unread(self.sock):
            wake_readers(self.sock)
        little = 0 < count - self.seen < self.size
        self.pause = LOOK[0] if little else min(LOOK[1], self.pause * 1.5)
        self.look_at, self.seen = now + self.pause, count
