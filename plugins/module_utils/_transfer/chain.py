# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage of a host in a chain: it receives the file, and passes the stream on to the next host.

The end of file is not passed on here.  The engine sends it after this stage has ended with 0, which it does only after
the end of its own input.  So no host takes a stream for complete that ended early on its way.
"""

import os

from .._tape.common.problem import Problem
from .files import CHUNK, STOPPED
from .frames import HEAD, Reader
from .sink import received

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NEXT = 4  # the descriptor of the stream to the next host


class Passing(Reader):
    """A reader that passes on what it reads, and goes on if the next host is lost."""

    def __init__(self, fd: int, out: "int | None") -> None:
        """``out``: None for the last host."""
        super().__init__(fd)
        self.out = out
        self.broken = False

    def fill(self, most: int) -> int:
        """Read what will certainly come, and no more.

        A whole read would otherwise wait for the end of file, which comes only when all hosts before have the file in
        place.  So all hosts flush and validate it at the same time.
        """
        wanted = most + HEAD.size if most > HEAD.size else most  # after data comes the head of the next piece
        try:
            count = os.readv(self.fd, [self.view[:wanted]])
        except OSError:
            self.broken = True  # another read could return the end of file
            raise Problem("the stream was broken off", kind=STOPPED) from None
        self.pass_on(self.view[:count])
        return count

    def pass_on(self, data: memoryview) -> None:
        while data and self.out is not None:
            try:
                data = data[os.write(self.out, data) :]
            except OSError:
                # its host says why
                os.close(self.out)
                self.out = None

    def pass_rest(self) -> bool:
        """For a host that cannot have the file itself: pass on the rest; whether the next host has got all of it."""
        try:
            while not self.broken and self.out is not None:
                if not self.fill(CHUNK - HEAD.size):
                    return True
        except Problem:
            pass
        return False


def receive(asked: "dict[str, Any]", stream: int = 0) -> "dict[str, Any]":
    """The subcommand ``receive-along``: {"file": as from ``receive``, or "problem": why the file is not here}."""
    reader = Passing(stream, NEXT if asked["next"] else None)
    try:
        return {"file": received(asked, reader), "problem": None}
    except Problem as exc:
        if not reader.pass_rest():
            raise
        return {"file": None, "problem": {"kind": exc.kind, "msg": str(exc)}}
