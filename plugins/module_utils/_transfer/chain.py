# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage of a host in a chain: it receives the file, and passes the stream on to the next host.

The end of file is not passed on here.  The engine sends it after this stage has ended with 0, which it does only after
the end of its own input.  So no host takes a stream for complete that ended early on its way.
"""

import os
import select
import socket
import stat

from .._tape.common.problem import Problem
from .files import CHUNK, STOPPED
from .frames import HEAD, Reader
from .sink import received

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONTROL = 4  # the descriptor on which the end of this host says that the next host is lost, as in _end/fan.py
NEXT = 5  # that of the stream to the next host


class Passing(Reader):
    """A reader that passes on what it reads, and goes on without the next host if that is lost."""

    def __init__(self, fd: int, out: "int | None" = None, control: "int | None" = None) -> None:
        """``out``: None for the last host."""
        super().__init__(fd)
        self.out = None if out is None else connected(out)
        self.control = control
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
        """Write all of it to the next host, if that is there; its own end says why it is not."""
        while data and self.out:
            try:
                data = data[self.out.send(data, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                self.wait()
            except OSError:
                self.drop()

    def wait(self) -> None:
        """Until there is room, or the next host is lost.

        It does not sleep in the socket: the end could not reset the connection meanwhile.
        """
        if not self.out:
            return
        poller = select.poll()
        poller.register(self.out, select.POLLOUT)
        if self.control is not None:
            poller.register(self.control, select.POLLIN)
        if any(fd == self.control for fd, _event in poller.poll()):
            self.drop()

    def drop(self) -> None:
        if self.out:
            self.out.close()
        self.out = None

    def pass_rest(self) -> bool:
        """For a host that cannot have the file itself: pass on the rest; whether the next host has got all of it."""
        try:
            while not self.broken and self.out:
                if not self.fill(CHUNK - HEAD.size):
                    return True
        except Problem:
            pass
        return False


def connected(fd: int) -> "socket.socket | None":
    """The stream to the next host; None if it broke before this program was started."""
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)
    except OSError:
        pass
    return None


def receive(asked: "dict[str, Any]") -> "dict[str, Any]":
    """The subcommand ``receive-along``: {"file": as from ``receive``, or "problem": why the file is not here}."""
    return received_from(asked, Passing(0, NEXT, CONTROL) if asked["next"] else Passing(0))


def received_from(asked: "dict[str, Any]", reader: Passing) -> "dict[str, Any]":
    try:
        return {"file": received(asked, reader), "problem": None}
    except Problem as exc:
        if not reader.pass_rest():
            raise
        return {"file": None, "problem": {"kind": exc.kind, "msg": str(exc)}}
