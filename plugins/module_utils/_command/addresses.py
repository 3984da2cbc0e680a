# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of this host, as the kernel lists them (rtnetlink(7))."""

import struct

from .._end.lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
NETLINK_ROUTE = 0
NLM_F_REQUEST, NLM_F_DUMP = 0x001, 0x300
NLMSG_DONE, RTM_NEWADDR, RTM_GETADDR = 3, 20, 22
IFA_ADDRESS, IFA_LOCAL = 1, 2
RT_SCOPE_LINK = 253
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix, flags, scope, interface
ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
LENGTHS = {socket.AF_INET: 4, socket.AF_INET6: 16}


def own_addresses() -> "list[str]":
    """All addresses that others may dial, loopback last; [] if the kernel reports none."""
    found = []
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
        try:
            netlink.settimeout(1.0)
            request = ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            flags = NLM_F_REQUEST | NLM_F_DUMP
            netlink.send(HEADER.pack(HEADER.size + len(request), RTM_GETADDR, flags, 1, 0) + request)
            done = False
            while not done:
                for kind, body in messages(netlink.recv(1024 * 1024)):
                    done = done or kind != RTM_NEWADDR  # NLMSG_DONE, or an error
                    found += [address_in(body)] if kind == RTM_NEWADDR else []
        finally:
            netlink.close()
    except (OSError, struct.error):
        pass
    return sorted(dict.fromkeys(filter(None, found)), key=is_loopback)


def messages(data: bytes) -> "Iterator[tuple[int, bytes]]":
    """(type, body) of each netlink message."""
    while len(data) >= HEADER.size:
        length, kind, _flags, _sequence, _port = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[max(HEADER.size, length + 3 & ~3) :]


def address_in(body: bytes) -> str:
    """The address in one RTM_NEWADDR message; "" if it is only valid with its interface."""
    family, _prefix, _flags, scope, _interface = ADDRESS.unpack_from(body)
    if scope == RT_SCOPE_LINK or family not in LENGTHS:
        return ""
    data, values = body[ADDRESS.size :], {}
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        values[kind] = data[ATTRIBUTE.size : length]
        data = data[max(ATTRIBUTE.size, length + 3 & ~3) :]
    value = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS, b"")  # for a tunnel, IFA_ADDRESS is the other side
    return socket.inet_ntop(family, value) if len(value) == LENGTHS[family] else ""


def is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")
