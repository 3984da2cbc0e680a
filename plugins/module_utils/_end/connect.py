# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection at a time: listening, dialling, and the handshake over a socket."""

import errno
import os
import select
import time

from .handshake import PARKED, Stranger
from .kernel import FIN, set_linger, tcp_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from .handshake import Conversation
else:
    import _socket as socket

WORDLESS = "closed without a word"


def address_of(sock: socket.socket, peer: bool = False) -> str:
    """``192.0.2.1:4321`` or ``[2001:db8::1]:4321``: own address, or the peer's; empty when there is none."""
    try:
        name = sock.getpeername() if peer else sock.getsockname()
    except OSError:
        return ""
    return join_address(with_zone(name), name[1])


def join_address(host: str, port: int) -> str:
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)


class Connection:
    """One TCP connection that is talking, without blocking, until both sides are sure."""

    def __init__(self, sock: socket.socket, talk: "Conversation", attempt: "Attempt | None", link: str = ""):
        self.sock, self.talk, self.link, self.attempt = sock, talk, link, attempt
        self.born = time.monotonic()
        self.out = b""
        self.read = b""
        self.known = self.done = False
        self.counted: "dict[str, int | None]" = {}
        self.want = 1

    def start(self) -> None:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # while small messages cross
        self._take(next(self.talk))

    def _take(self, step: "Any") -> None:
        self.out += step.send
        self.want, self.known, self.link = step.want, step.known, step.link or self.link
        self.flush()

    def wanted(self) -> int:
        return (select.POLLIN | FIN if self.want != 0 else 0) | (select.POLLOUT if self.out else 0)

    def flush(self) -> None:
        """Send what waits; once the last message of the conversation is out, it is done."""
        while self.out:
            try:
                self.out = self.out[self.sock.send(self.out) :]
            except BlockingIOError:
                return
        if self.want == 0:
            self.done = True

    def advance(self) -> None:
        """Read what the conversation waits for; raises Stranger or OSError when it is over."""
        if self.out:
            self.flush()
        if self.want == PARKED:
            raise Stranger("closed, or spoke out of turn, before it was chosen")
        while self.want > 0 and not self.done:
            try:
                chunk = self.sock.recv(self.want - len(self.read))
            except BlockingIOError:
                return
            except ConnectionResetError:  # how an end closes what it does not need
                chunk = b""
            if not chunk:
                raise Stranger("closed during the handshake" if self.read or self.known else WORDLESS)
            self.read += chunk
            if len(self.read) == self.want:
                self.resume(self.read)

    def resume(self, message: bytes) -> None:
        # what was counted up to here is handshake: the other side sends no data before we answer
        self.counted = tcp_info(self.sock)
        self.read = b""
        try:
            self._take(self.talk.send(message))
        except StopIteration:
            self.done = True


class Attempt:
    """One address and port of another end, and how dialling it went."""

    def __init__(self, end: str, link: str, host: str, port: int):
        self.end, self.link, self.host, self.port = end, link, host, port
        self.sock: "socket.socket | None" = None
        self.started = 0.0
        self.outcome = "not tried"

    def start(self) -> None:
        """Begin to connect; raises OSError when the kernel says no at once."""
        self.started = time.monotonic()
        self.outcome = "timed out"
        if not is_number(self.host):  # numbers() has asked, once: a resolver can take longer than we may
            raise OSError(0, "an unknown name")
        family, name = socket_name(self.host, self.port)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        set_linger(self.sock, True)  # from birth: until a commit, our death is a reset and never an end of file
        self.sock.setblocking(False)
        code = self.sock.connect_ex(name)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def finish(self) -> socket.socket:
        """The connected socket; raises OSError with the reason when it is not connected."""
        sock, self.sock = self.sock, None
        if sock is None:
            raise OSError(errno.ENOTCONN, "not begun")
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            sock.close()
            raise OSError(code, os.strerror(code))
        if sock.getsockname()[:2] == sock.getpeername()[:2]:
            sock.close()
            raise OSError(errno.ECONNREFUSED, "connected to itself")
        self.outcome = "connected"
        return sock

    def fail(self, error: OSError) -> None:
        self.drop()
        self.outcome = reason(error)

    def drop(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def reason(error: OSError) -> str:
    """One or two words for why a connection could not be made."""
    words = {
        errno.ECONNREFUSED: "refused",
        errno.ETIMEDOUT: "timed out",
        errno.EHOSTUNREACH: "no route",
        errno.ENETUNREACH: "no route",
        errno.ECONNRESET: "reset",
        errno.EADDRNOTAVAIL: "no address of that family here",
        errno.EACCES: "forbidden",
        errno.EPERM: "forbidden",
    }
    return words.get(error.errno or 0, error.strerror or str(error))


def listen_on(port: int) -> socket.socket:
    """A listening socket for both address families; raises OSError when the port is taken."""
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # a kernel without this family
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            set_linger(sock, True)  # connections inherit it, so they have it from birth
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, port))
            sock.listen(128)
            sock.setblocking(False)
            return sock
        except OSError as exc:
            sock.close()
            if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    raise OSError(errno.EAFNOSUPPORT, "neither IPv6 nor IPv4 works here")


def is_number(address: str) -> bool:
    """Whether this is an IP address, with a zone or without (fe80::1%eth0), so that there is nothing to resolve."""
    number = address.partition("%")[0] if ":" in address else address
    try:
        return bool(socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, number))
    except (OSError, ValueError):
        return False


def socket_name(address: str, port: int) -> "tuple[int, tuple[Any, ...]]":
    """An IP address and a port as the kernel takes them, with their family; raises OSError for a zone that is not here.

    A link-local address means nothing without its zone, the interface of this host that it is behind.
    """
    if ":" not in address:
        return socket.AF_INET, (address, port)
    number, percent, zone = address.partition("%")
    if not percent:
        if is_link_local(number):
            raise OSError(0, "a link-local address needs the interface that it is behind, as in %s%%eth0" % number)
        return socket.AF_INET6, (number, port)
    try:
        index = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    except OSError:
        raise OSError(0, "there is no interface %s here" % zone) from None
    return socket.AF_INET6, (number, port, 0, index)


def is_link_local(number: str) -> bool:
    """Whether an IPv6 address is in fe80::/10."""
    first, second = socket.inet_pton(socket.AF_INET6, number)[:2]
    return first == 0xFE and second & 0xC0 == 0x80


def with_zone(name: "tuple[Any, ...]") -> str:
    """The address of a socket's name, with its zone if it has one."""
    address = str(name[0]).partition("%")[0]
    if len(name) < 4 or not name[3]:
        return address
    try:
        return "%s%%%s" % (address, socket.if_indextoname(name[3]))
    except OSError:  # the interface is gone
        return "%s%%%d" % (address, name[3])


def numbers(address: str) -> "list[str]":
    """The IP addresses behind a name that the controller could not resolve; the name itself if we cannot either."""
    if is_number(address):
        return [address]
    try:
        # as bytes: for a str, the codec of internationalized names is imported, which is a third of an end's start
        name = address.encode("ascii") if all(ord(letter) < 128 for letter in address) else address
        found = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [address]
    return [with_zone(entry[4]) for entry in found]


def ssh_client() -> str:
    """The address that sshd says our login came from; sudo drops the variable, our parents still have it."""
    pid = os.getpid()
    text = os.environ.get("SSH_CONNECTION", "")
    while not text and pid > 1:
        try:
            with open("/proc/%d/environ" % pid, "rb") as environ:
                for entry in environ.read().split(b"\0"):
                    if entry.startswith(b"SSH_CONNECTION="):
                        text = entry[15:].decode("ascii", "replace")
            with open("/proc/%d/stat" % pid, "rb") as stat:
                pid = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:
            return ""
    return text.split(" ")[0]
