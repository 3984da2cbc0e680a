# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``socketpipe -s``, the far side of an original: it is started by each of its runs, so it needs little else."""

import os

from .._end.execute import execute, own_environment
from .._end.lean import signal, socket
from .streams import FAILURE, USAGE, hold_places, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def serve(words: "list[str]") -> int:
    """``-s host port command…``: connect to an original and become the command; returns only on failure."""
    hold_places()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it were ignored, children would leave no exit status
    if len(words) < 3 or not words[2]:
        return say("-s: needs a host, a port and a command", USAGE)
    host, port = words[:2]
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return say("-s: %r is not a port number" % port, USAGE)
    try:
        sock = connected(host, int(port))
    except (OSError, UnicodeError) as exc:
        return say("-s: cannot connect to %s port %s: %s" % (host, port, getattr(exc, "strerror", "") or exc), FAILURE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for fd in (0, 1):
        os.dup2(sock.fileno(), fd)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        execute(words[2:], own_environment())
    except OSError as exc:
        return say("-s: cannot run %r: %s" % (words[2], exc.strerror), FAILURE)


def connected(host: str, port: int) -> "socket.socket":
    """A connection to the first address of the host that accepts one; raises OSError."""
    error = OSError("it has no address")
    for family, kind, protocol, _name, address in addresses(host, port):
        try:
            sock = socket.socket(family, kind, protocol)
            sock.connect(address)
            return sock
        except OSError as exc:
            error = exc
    raise error


def addresses(host: str, port: int) -> "list[Any]":
    """Of a host, for any family; raises OSError or UnicodeError.  Python loads tables of Unicode for a name as str."""
    try:
        name = host.encode("ascii")
    except UnicodeEncodeError:
        name = host.encode("idna")
    found: "list[Any]" = socket.getaddrinfo(name, port, 0, socket.SOCK_STREAM)
    return found
