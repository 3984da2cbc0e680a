# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP connection within this host, both sides of which this process holds.

Other users of the host can connect to its listener, too, so the other side of each connection is checked.
"""

import errno
import os
import time

from .kernel import accept, set_linger
from .lean import socket


def pair(patience: float) -> "tuple[socket.socket, socket.socket]":
    """(the dialling side, the listening side), both blocking; raises OSError.

    ``patience``: its limit in seconds, because a firewall may drop packets within this host, too.
    """
    deadline = time.monotonic() + patience
    try:
        return connected(socket.AF_INET, "127.0.0.1", deadline)
    except OSError as exc:
        try:
            return connected(socket.AF_INET6, "::1", deadline)
        except OSError:
            raise exc from None


def connected(family: int, host: str, deadline: float) -> "tuple[socket.socket, socket.socket]":
    dialler, listener = (socket.socket(family, socket.SOCK_STREAM) for _side in range(2))
    try:
        listener.bind((host, 0))
        listener.listen(8)
        for sock in (dialler, listener):  # accepted sockets inherit this
            set_linger(sock, True)
        dialler.setblocking(False)  # others may have filled the queue, which is emptied below
        code = dialler.connect_ex(listener.getsockname())
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        accepted = accept_from(dialler, listener, deadline)
    except OSError:
        dialler.close()
        raise
    finally:
        listener.close()
    dialler.setblocking(True)
    return dialler, accepted


def accept_from(dialler: "socket.socket", listener: "socket.socket", deadline: float) -> "socket.socket":
    """The other side of this connection, not that of another process on this host; raises OSError."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        listener.settimeout(left)
        accepted = accept(listener)
        try:
            if accepted.getpeername() == dialler.getsockname():
                return accepted
        except OSError:
            pass  # it has gone already
        accepted.close()
