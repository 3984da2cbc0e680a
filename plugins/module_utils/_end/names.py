# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""IP addresses as text: of sockets, with zones, of names, and the source of the ssh login."""

from .lean import socket
from .system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .records import Outcome


class Undialable(OSError):
    """An address that is invalid on this host."""

    def __init__(self, outcome: "Outcome", detail: str = "") -> None:
        super().__init__(outcome)
        self.outcome, self.detail = outcome, detail


def address_of(sock: socket.socket, peer: bool = False) -> str:
    """``192.0.2.1:4321`` or ``[2001:db8::1]:4321``: the own address or that of the peer; empty if there is none."""
    try:
        name = sock.getpeername() if peer else sock.getsockname()
    except OSError:
        return ""
    return join_address(with_zone(name), name[1])


def join_address(host: str, port: int) -> str:
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)


def is_number(address: str) -> bool:
    """Whether this is an IP address, with a zone or without (fe80::1%eth0), which needs no resolving."""
    number = address.partition("%")[0] if ":" in address else address
    try:
        return bool(socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, number))
    except (OSError, ValueError):
        return False


def socket_name(address: str, port: int) -> "tuple[int, tuple[Any, ...]]":
    """An IP address and a port in the form for the kernel, with their family; raises OSError for an unknown zone.

    A link-local address is valid only with its zone, an interface of this host.
    """
    if ":" not in address:
        return socket.AF_INET, (address, port)
    number, percent, zone = address.partition("%")
    if not percent:
        if is_link_local(number):
            raise Undialable("no zone", number)
        return socket.AF_INET6, (number, port)
    try:
        index = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    except OSError:
        raise Undialable("no interface", zone) from None
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
    except OSError:  # the interface no longer exists
        return "%s%%%d" % (address, name[3])


def numbers(address: str) -> "list[str]":
    """The IP addresses of a name that the controller could not resolve; the name itself if that fails here, too."""
    if is_number(address):
        return [address]
    try:
        # as bytes, because a str would import the IDNA codec, which is a third of the start-up time of an end
        name = address.encode("ascii") if all(ord(letter) < 128 for letter in address) else address
        found = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [address]
    return [with_zone(entry[4]) for entry in found]


def ssh_client() -> str:
    """The source address of the ssh login, from sshd's variable; sudo drops it, but the parents still have it."""
    pid = os.getpid()
    text = os.environb.get(b"SSH_CONNECTION", b"").decode("ascii", "replace")
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
