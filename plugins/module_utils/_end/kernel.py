# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces of the Linux kernel for an end: socket counters, resets, prctl(2).

Each function is a thin wrapper of one kernel interface.  The C library is called only for functions that the standard
library lacks: prctl(2), and connect(2) to AF_UNSPEC.
"""

import errno
import fcntl
import select
import termios

from .lean import c_function, get_errno, signal, socket, struct
from .system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    Counters = dict[str, "int | None"]  # by the names in TCP_INFO; None if this kernel lacks a figure

c_connect, c_prctl = c_function("connect"), c_function("prctl")

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36  # linux/prctl.h
# linux/sockios.h: SIOCINQ, received but unread bytes, and SIOCOUTQ, sent but unacknowledged bytes (and FIN); their
# numbers equal these and differ between architectures
SIOCINQ, SIOCOUTQ = termios.FIONREAD, termios.TIOCOUTQ
TCP_NOTSENT_LOWAT = 25  # linux/tcp.h
UNSENT_MOST = 1 << 18  # bytes; larger queues leave the caches, smaller ones wake the writer often (benchmarks.md)
KEEPALIVE_MOST = 32767  # seconds: the limit of TCP_KEEPIDLE and TCP_KEEPINTVL (net/tcp.h)
SO_MAX_PACING_RATE = 47  # asm-generic/socket.h

HANGUP = select.POLLERR | select.POLLHUP | select.POLLNVAL
FIN = select.POLLRDHUP

# struct tcp_info of linux/tcp.h.  It only ever grew at its end, so an old kernel returns a shorter one; figures after
# its end are None, never zero
TCP_INFO = {
    "state": (0, "B"),
    "rtt": (68, "I"),  # microseconds
    "retransmits": (100, "I"),
    "bytes_acked": (120, "Q"),
    "bytes_received": (128, "Q"),
    "segs_in": (140, "I"),
    "busy_time": (168, "Q"),  # microseconds, as the next two
    "rwnd_limited": (176, "Q"),
    "sndbuf_limited": (184, "Q"),
}
TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE, TCP_CLOSING = 5, 6, 7, 11


def tcp_info(sock: socket.socket) -> "Counters":
    """The counters of a TCP socket; None for those that this kernel lacks."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    info: "Counters" = {}
    for name, (offset, kind) in TCP_INFO.items():
        fits = offset + struct.calcsize(kind) <= len(raw)
        info[name] = struct.unpack_from("=" + kind, raw, offset)[0] if fits else None
    return info


def accept(listener: socket.socket) -> socket.socket:
    """Accept the next connection; raises OSError, or BlockingIOError if there is none."""
    fd, _address = listener._accept()  # type: ignore[attr-defined]
    return socket.socket(listener.family, listener.type, listener.proto, fd)


def _queued(sock: socket.socket, request: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), request, b"\0\0\0\0"))[0])


def unread(sock: socket.socket) -> int:
    """The number of received but unread bytes."""
    return _queued(sock, SIOCINQ)


def unsent(sock: socket.socket) -> int:
    """The number of unacknowledged bytes; a FIN counts as one."""
    return _queued(sock, SIOCOUTQ)


def set_linger(sock: socket.socket, on: bool) -> None:
    """Set linger {1, 0}, with which the last close of the socket in any process sends a reset, or clear it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1 if on else 0, 0))


def disconnect(sock: socket.socket) -> bool:
    """Reset a TCP connection now, even if other processes hold the socket; False if the kernel refuses.

    connect(2): "dissolve the association by connecting to an address with the
    sa_family member set to AF_UNSPEC"; for TCP with linger {1, 0} that is a RST.
    Kernels with 4faeee0cf8a5 but without 419ce133ab92 refuse that (EBUSY) while a
    process sleeps in a read or write of the socket.
    """
    set_linger(sock, True)
    if c_connect(sock.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16) == 0:
        return True
    return get_errno() in (errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE)


def table_row(sock: socket.socket) -> "tuple[str, str]":
    """(file, row) in proc(5) that shows a connection; the row contains the addresses in their form there."""

    def shown(name: "tuple[str, int]") -> str:
        packed = socket.inet_pton(sock.family, name[0].partition("%")[0])
        words = struct.unpack("=%dI" % (len(packed) // 4), packed)
        return "%s:%04X" % ("".join("%08X" % word for word in words), name[1])

    table = "/proc/net/tcp6" if sock.family == socket.AF_INET6 else "/proc/net/tcp"
    try:
        return table, "%s %s" % (shown(sock.getsockname()), shown(sock.getpeername()))
    except OSError:  # it has just been reset
        return table, "no row"


def in_time_wait(row: "tuple[str, str]") -> bool:
    """Whether both sides closed this connection properly, this one first; False if the table cannot be read.

    If both closed at the same time, its state is closing until the other side has acknowledged it.
    """
    try:
        with open(row[0], "rb") as table:
            rows = table.read()
    except OSError:
        return False
    return any((" %s %02X " % (row[1], state)).encode() in rows for state in (TCP_TIME_WAIT, TCP_CLOSING))


def keep_alive(sock: socket.socket, seconds: int) -> None:
    """Send six keepalive probes on an idle connection in this time; the kernel gives up later than the end."""
    interval = min(KEEPALIVE_MOST, max(1, seconds // 6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 12)


def full_reads(sock: socket.socket, size: int, polled: bool = False) -> int:
    """Make read(n) wait for min(n, size) bytes or the end of file; returns the size that the kernel granted.

    ``polled``: for a program that may call poll(2) first.  Before Linux 4.17 the receive buffer does not grow with it,
    and poll(2) would wait forever for more than half of the buffer.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
    half = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if polled and half < sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, half)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


def wake_readers(sock: socket.socket) -> None:
    """Wake processes that sleep in read(2) on this socket, so that they check again for the bytes they asked for.

    Since Linux 4.18 data below SO_RCVLOWAT wakes no reader, not even one that asked for less.  Setting
    TCP_NOTSENT_LOWAT wakes all sleepers of a socket (sk_stream_write_space), and has no other effect on a socket that
    sends nothing.  Lowering SO_RCVLOWAT briefly would wake them, too, but a read that begins then would return short.
    """
    limit_unsent(sock)


def limit_unsent(sock: socket.socket) -> None:
    """Let a writer queue UNSENT_MOST bytes beyond those on their way, whose number the kernel tunes."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MOST)
    except OSError:
        pass  # Linux before 3.12


def pace(sock: socket.socket, rate: int) -> None:
    """Limit the rate of sending to this many bytes a second.

    Linux before 4.20 reads the first 32 bits, which are the wrong ones on big-endian machines.
    """
    sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("=Q", rate))
    granted = sock.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 8)
    if struct.unpack("=Q" if len(granted) == 8 else "=I", granted) != (rate,):
        sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("=I", min(rate, 0xFFFFFFFF)))


def events(fds: "dict[int, int]", timeout: "float | None" = 0.0) -> "dict[int, int]":
    """poll(2): {fd: wanted events} in, {fd: events} out; timeout in seconds, None for no limit."""
    poller = select.poll()
    for fd, wanted in fds.items():
        poller.register(fd, wanted)
    return dict(poller.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999))))


def become_subreaper() -> None:
    """Make orphaned descendants children of this process, instead of init (prctl(2))."""
    if c_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = get_errno()
        raise OSError(code, os.strerror(code))


def signal_on_death(number: int) -> None:
    """Receive this signal when the parent dies, until an exec of a set-user-ID program (prctl(2))."""
    if c_prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        code = get_errno()
        raise OSError(code, os.strerror(code))


def hide_memory() -> None:
    """Allow neither core dumps nor access to memory by the same user, until the next exec (prctl(2))."""
    c_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def exit_status(status: int) -> int:
    """The exit status from a status of wait(2); -n for a death by signal n."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def signal_name(number: int) -> str:
    """SIGKILL for 9; "signal 77" for a number without a name."""
    for name in dir(signal):
        if name.startswith("SIG") and not name.startswith("SIG_") and getattr(signal, name) == number:
            return name
    return "signal %d" % number
