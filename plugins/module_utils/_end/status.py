# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An end that answers how far it is.

Ansible returns the output of an end only when it has ended.  So one end of a run without an end on the controller keeps
its last sample, and a second login asks for it (see _run.ask).  Nothing is written to a disk: the end listens on an
abstract socket, which only processes of the same host, and of the same user or of root, may ask.
"""

import select

from .kernel import accept
from .lean import socket, struct
from .system import os
from .watch import Watch
from .wire import MARK, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

    from .records import EndPlan


def name_of(run: str, end: str) -> str:
    """The address of its socket; after the first byte, it looks like the label of the end."""
    return "\0socketpipe:%s:%s" % (run, end)


def is_ours(sock: socket.socket) -> bool:
    """Whether the other side of a local connection is this user or root."""
    _pid, user, _group = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in (0, os.geteuid())


class Answering(Watch):
    """Keeps the last sample for those who ask."""

    def __init__(self, plan: "EndPlan"):
        super().__init__(plan["heartbeat"])
        self.last = b""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.setblocking(False)
        try:
            self.listener.bind(name_of(plan["run"], plan["end"]))
            self.listener.listen(4)
        except OSError:
            self.listener.close()  # its descriptor is -1 now, which poll(2) ignores

    def say(self, message: "Mapping[str, object]") -> None:
        if "sample" in message:
            self.last = to_json(message).encode("ascii")
        else:
            super().say(message)

    def poll(self, fds: "dict[int, int]", timeout: float) -> "dict[int, int]":
        fd = self.listener.fileno()
        found = super().poll({**fds, fd: select.POLLIN} if fd >= 0 else fds, timeout)
        if found.pop(fd, 0):
            self.answer()
        return found

    def answer(self) -> None:
        """Send the sample; more than the socket takes at once is not sent, and then not understood."""
        try:
            caller = accept(self.listener)
            if is_ours(caller):
                caller.send(MARK.encode("ascii") + self.last + b"\n", socket.MSG_DONTWAIT)
            caller.close()
        except OSError:
            pass
