# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of this host, against those that ip(8) lists; and against messages of a kernel that we make up."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import addresses
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.addresses import (
    ADDRESS,
    HEADER,
    IFA_ADDRESS,
    IFA_LOCAL,
    NLMSG_DONE,
    RT_SCOPE_LINK,
    RTM_NEWADDR,
    address_in,
    is_loopback,
    messages,
    own_addresses,
)

V4, V6 = socket.AF_INET, socket.AF_INET6


def test_they_are_those_of_ip() -> None:
    ip = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not ip:
        pytest.skip("ip is not installed (Debian: iproute2)")
    listed = subprocess.run([ip, "-j", "address"], capture_output=True, check=True).stdout
    known = [info for interface in json.loads(listed) for info in interface["addr_info"]]
    wanted = {info["local"] for info in known if info["scope"] != "link"}
    found = own_addresses()
    assert set(found) == wanted and len(found) == len(wanted)
    assert found == sorted(found, key=is_loopback), "those of the loopback interface come last"


def test_a_kernel_that_tells_none_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: int) -> socket.socket:
        raise OSError(97, "no netlink here")

    monkeypatch.setattr(addresses.socket, "socket", refuse)
    assert own_addresses() == []


def attribute(kind: int, text: str, family: int) -> bytes:
    value = socket.inet_pton(family, text)
    return struct.pack("=HH", 4 + len(value), kind) + value


@pytest.mark.parametrize(
    ("family", "scope", "attributes", "address"),
    [
        (V4, 0, [], ""),
        (V4, RT_SCOPE_LINK, [(IFA_LOCAL, "192.0.2.1")], ""),
        (V6, RT_SCOPE_LINK, [(IFA_ADDRESS, "fe80::1")], ""),
        (V4, 0, [(99, "192.0.2.9")], ""),
        (V4, 0, [(IFA_ADDRESS, "192.0.2.1"), (IFA_LOCAL, "192.0.2.1")], "192.0.2.1"),
        (V4, 0, [(IFA_ADDRESS, "192.0.2.2"), (IFA_LOCAL, "192.0.2.1")], "192.0.2.1"),  # of a tunnel
        (V6, 0, [(99, "::"), (IFA_ADDRESS, "2001:db8::1")], "2001:db8::1"),
        (socket.AF_UNIX, 0, [(IFA_LOCAL, "192.0.2.1")], ""),
    ],
)
def test_a_message(family: int, scope: int, attributes: list[tuple[int, str]], address: str) -> None:
    of = V6 if family == V6 else V4
    body = ADDRESS.pack(family, 24, 0, scope, 2) + b"".join(attribute(kind, text, of) for kind, text in attributes)
    assert address_in(body) == address


def test_messages_follow_each_other_at_multiples_of_four() -> None:
    bodies = [b"12345", b"", b"12345678"]
    data = b""
    for body in bodies:
        data += HEADER.pack(HEADER.size + len(body), RTM_NEWADDR, 0, 1, 0) + body + b"\0" * (-len(body) % 4)
    data += HEADER.pack(HEADER.size, NLMSG_DONE, 0, 1, 0)
    assert list(messages(data)) == [(RTM_NEWADDR, body) for body in bodies] + [(NLMSG_DONE, b"")]


def test_a_length_of_nothing_is_no_endless_loop() -> None:
    assert len(list(messages(HEADER.pack(0, RTM_NEWADDR, 0, 1, 0) * 3))) == 3


def test_the_kernel_s_answer_may_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a message of another kind, which is the end, or an error."""

    def message(kind: int, address: str) -> bytes:
        body = ADDRESS.pack(V4, 24, 0, 0, 2) + attribute(IFA_LOCAL, address, V4)
        return HEADER.pack(HEADER.size + len(body), kind, 0, 1, 0) + body

    parts = [
        message(RTM_NEWADDR, "192.0.2.1") + message(RTM_NEWADDR, "127.0.0.1"),
        message(RTM_NEWADDR, "192.0.2.2") + message(NLMSG_DONE, "192.0.2.3"),
    ]

    asked: list[bytes] = []

    class Netlink:
        def __init__(self, *kind: int) -> None:
            assert kind == (socket.AF_NETLINK, socket.SOCK_RAW, 0)

        def settimeout(self, seconds: float) -> None:
            assert seconds > 0

        def close(self) -> None:
            assert not parts, "not before its end"

        def send(self, data: bytes) -> int:
            asked.append(data)
            return 0

        def recv(self, size: int) -> bytes:
            assert size == 2**20
            return parts.pop(0)

    monkeypatch.setattr(addresses.socket, "socket", Netlink)
    assert addresses.own_addresses() == ["192.0.2.1", "192.0.2.2", "127.0.0.1"]
    assert parts == []
    # NLM_F_REQUEST | NLM_F_DUMP of RTM_GETADDR, for any family: struct nlmsghdr and struct ifaddrmsg
    assert asked == [struct.pack("=IHHII", 24, 22, 0x301, 1, 0) + bytes(8)]
