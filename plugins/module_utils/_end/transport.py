# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket of one side of a link, and all operations on it.

Each operation has one place: ``make_ready`` and ``local_pair`` prepare a socket for the commands, ``commit`` sends the
end of file, ``abort`` breaks the link, for an end and for its guard.  Other modules decide when (link, rules, guard).

Abort is the default: linger {1, 0}, set when the connection is made, turns any last close into a reset.  Only
``commit`` makes an end of file.
"""

from .kernel import (
    TCP_CLOSE,
    TCP_FIN_WAIT2,
    TCP_TIME_WAIT,
    disconnect,
    in_time_wait,
    keep_alive,
    limit_unsent,
    pace,
    set_linger,
    table_row,
    tcp_info,
    unread,
    unsent,
)
from .lean import socket
from .system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .connect import Connection
    from .kernel import Counters
    from .records import Encrypted, LinkSpec


FORGED = "forged"  # a kind of error (see ``look``): received data is not from the writer


class Transport:
    """The base of the transports; the stage shares ``sock``, and only the stage reads and writes it."""

    tcp = True  # False: both sides are on this host, and there are no counters
    guarded = True  # whether the guard keeps a copy of the socket, to abort the link when the end has died
    in_use = False  # reader: whether a stage may be reading it
    released = False  # whether an abort has closed ``sock``, and only other holders keep the connection

    def __init__(self, sock: socket.socket, writer: bool):
        self.sock, self.writer = sock, writer
        self.inode = os.fstat(sock.fileno()).st_ino
        self.pending = False  # aborted, but the kernel has not allowed the reset yet
        self._last: "tuple[int, Counters] | None" = None  # bytes unread, counters

    def flushed(self) -> bool:
        """Writer: whether an end of file sent now would follow all data of the stage."""
        return True

    def commit(self) -> None:
        """Send the end of file; raises OSError if the link is broken."""
        raise NotImplementedError

    def abort(self) -> None:
        """Break the link: the other side gets an error and never an end of file.  Does not raise."""
        raise NotImplementedError

    def insist(self) -> None:
        """Complete an abort that is pending."""

    def is_telling(self, now: float) -> bool:
        """Whether the other host does not know of an abort yet, and can still be told."""
        return False

    def look(self) -> str:
        """Reader, while no stage reads: the kind of error of the next read, which poll(2) does not show."""
        return ""

    def worn_out(self) -> str:
        """The cipher whose key has reached its limit, "" if it has not."""
        return ""

    def release(self) -> None:
        """Reader: everything was read, so from now on a close by any process is orderly."""
        set_linger(self.sock, False)

    def part(self) -> None:
        """Reader: close in order, even if other processes still hold the socket."""

    def was_closed_in_order(self) -> bool:
        """Whether both sides have closed the connection, this one first."""
        return False

    def is_closed(self) -> bool:
        """Whether the connection is over, in order or not."""
        return False

    def unread(self) -> int:
        """The number of bytes received but not read by the stage."""
        return unread(self.sock) if self._last is None else self._last[0]

    def unsent(self) -> int:
        """The number of unacknowledged bytes; the end of file counts as one."""
        return unsent(self.sock)

    def info(self) -> "Counters":
        """The counters of the kernel (see kernel.TCP_INFO), {} if there are none."""
        return {}

    def count(self, info: "Counters", ended: bool) -> "int | None":
        """Bytes of data that were acknowledged (writer) or received (reader); None if the kernel does not count.

        ``ended``: the count includes the end of file.
        """
        return None

    def end_is_acknowledged(self, info: "Counters") -> bool:
        """Writer, after a commit: whether the other side has acknowledged the end of file, too."""
        return False

    def skip(self, size: int) -> None:
        """Do not count these bytes, which the ends exchange before the data."""

    def encrypted(self, info: "Counters") -> "Encrypted | None":
        """How it is encrypted, None if it is not."""
        return None

    def last_info(self) -> "Counters":
        """The kept counters, or the current ones."""
        if self._last:
            return self._last[1]
        return self.info() if self.sock.fileno() >= 0 else {}

    def keep_figures(self) -> None:
        """Keep the current figures, before the next operation changes them."""
        if self._last is None:
            self._last = self.unread(), self.info()


class Tcp(Transport):
    """A TCP connection to another end."""

    def __init__(self, sock: socket.socket, writer: bool, counted: "Counters"):
        """``counted``: the counters at the end of the handshake."""
        super().__init__(sock, writer)
        self.counter = "bytes_acked" if writer else "bytes_received"
        self.base = counted.get(self.counter)
        self.row = table_row(sock)

    def commit(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)
        set_linger(self.sock, False)

    def abort(self) -> None:
        if not self.writer:
            self._shut(socket.SHUT_WR)  # a later reset then causes SIGPIPE in the writer's stage, as in a shell
        self.pending = not disconnect(self.sock)

    def insist(self) -> None:
        if self.pending:
            self.pending = not disconnect(self.sock)

    def part(self) -> None:
        # if the data was read long after its arrival, the writer's host has dropped the connection (tcp_fin_timeout)
        self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # it is shut already

    def was_closed_in_order(self) -> bool:
        return in_time_wait(self.row)

    def is_closed(self) -> bool:
        return bool(self.info()["state"] == TCP_CLOSE)

    def info(self) -> "Counters":
        return tcp_info(self.sock)

    def count(self, info: "Counters", ended: bool) -> "int | None":
        total = info.get(self.counter)
        if self.base is None or total is None:
            return None
        return max(0, total - self.base - (1 if ended else 0))

    def skip(self, size: int) -> None:
        if self.base is not None:
            self.base += size

    def end_is_acknowledged(self, info: "Counters") -> bool:
        return info["state"] in (TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE)


class Local(Transport):
    """Half of a socketpair between two neighbours on this host, with the same rules (unix(7)).

    One byte stays unread in the receive queue of the writer.  If that side is closed before ``commit`` has read the
    byte, the reader gets ECONNRESET.
    """

    tcp = False
    guarded = False  # it breaks when all have closed it, so the death of the stages breaks it

    def commit(self) -> None:
        try:
            self.sock.recv(1, socket.MSG_DONTWAIT)  # while the byte was unread, a death caused a reset
        except OSError:
            pass  # the stage has read the byte from its own output
        self.sock.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        if self.writer:
            self.sock.close()  # with the byte unread: ECONNRESET for the reader
        else:
            self.sock.shutdown(socket.SHUT_RDWR)  # EPIPE for the writer


def make_ready(spec: "LinkSpec", connection: "Connection") -> Tcp:
    """Prepare an authenticated connection for its command.  Unless it is committed, it gets reset."""
    sock, writer = connection.sock, spec["side"] == "W"
    sock.setblocking(True)  # shared through the open file description: a stage would fail with EAGAIN
    if spec.get("dead_peer"):
        keep_alive(sock, spec["dead_peer"])
    if writer:
        limit_unsent(sock)
        if spec.get("congestion_control"):
            from . import congestion  # shipped only then

            congestion.control(sock, spec["congestion_control"])
        if spec.get("rate_limit"):
            pace(sock, spec["rate_limit"])
    if connection.cipher:
        from .ktls_transport import KernelTls  # shipped only for encryption

        return KernelTls(sock, writer, connection.counted, connection.cipher)
    return Tcp(sock, writer, connection.counted)


def local_pair() -> "tuple[Local, Local]":
    """(writer, reader): the two sides of a link between neighbours, ready for their commands."""
    writer, reader = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    reader.send(b"\0")
    return Local(writer, True), Local(reader, False)
