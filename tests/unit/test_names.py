# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an end has come from, by the environments of its parents, and names that only it can resolve."""

from __future__ import annotations

import socket
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import names

OWN = 50
FROM = b"SSH_CONNECTION=192.0.2.1 5 192.0.2.2 22"


@pytest.mark.parametrize(
    ("own", "environments", "found"),
    [
        ("192.0.2.9 5 192.0.2.2 22", {}, "192.0.2.9"),
        ("", {50: b"A=b\0" + FROM + b"\0C=d\0"}, "192.0.2.1"),
        ("", {50: b"A=b\0", 40: b"", 30: FROM}, "192.0.2.1"),
        ("", {50: b"", 40: FROM, 30: b"SSH_CONNECTION=192.0.2.8 5 a 22"}, "192.0.2.1"),
        ("", {50: b"XSSH_CONNECTION=192.0.2.8 5 a 22", 40: b"", 30: b"", 1: FROM}, ""),
        ("", {50: b"", 40: OSError(13, "denied"), 30: FROM}, ""),
        ("", {50: b"SSH_CONNECTION=\xff 5"}, "\ufffd"),
    ],
)
def test_the_login_is_found_in_a_parent(
    monkeypatch: pytest.MonkeyPatch, own: str, environments: dict[int, Any], found: str
) -> None:
    """sudo has dropped the variable. Process 1 is nobody's login."""
    parents = {50: 40, 40: 30, 30: 1}

    def read(path: str, mode: str) -> Any:
        pid, file = path[len("/proc/") :].split("/")
        assert mode == "rb"
        if file == "stat":
            return BytesIO(f"{pid} (a) S 9) S {parents[int(pid)]} 7 8".encode())
        text = environments[int(pid)]
        if isinstance(text, OSError):
            raise text
        return BytesIO(text)

    fake = SimpleNamespace(getpid=lambda: OWN, environb={b"SSH_CONNECTION": own.encode()} if own else {})
    monkeypatch.setattr(names, "os", fake)
    monkeypatch.setattr(names, "open", read, raising=False)
    assert names.ssh_client() == found


@pytest.mark.parametrize(
    ("name", "asked"), [("host", b"host"), ("h\u00f6st", "h\u00f6st"), ("a\u0080", "a\u0080"), ("a\u007f", b"a\x7f")]
)
def test_a_name_is_resolved_to_addresses_with_their_zones(
    monkeypatch: pytest.MonkeyPatch, name: str, asked: str | bytes
) -> None:
    """As bytes, if it has no other letters: that takes less time."""
    told: list[Any] = []

    def resolve(*words: Any) -> list[Any]:
        told.append(words)
        return [(0, 0, 0, "", ("192.0.2.1", 0)), (0, 0, 0, "", ("fe80::1", 0, 0, socket.if_nametoindex("lo")))]

    monkeypatch.setattr(names, "socket", SimpleNamespace(**{**vars(names.socket), "getaddrinfo": resolve}))
    assert names.numbers(name) == ["192.0.2.1", "fe80::1%lo"]
    assert told == [(asked, None, 0, socket.SOCK_STREAM)]
    assert names.numbers("192.0.2.7") == ["192.0.2.7"] and len(told) == 1


@pytest.mark.parametrize("error", [OSError(2, "unknown"), UnicodeError("too long")])
def test_a_name_that_nobody_knows_stays(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def resolve(*_words: Any) -> list[Any]:
        raise error

    monkeypatch.setattr(names, "socket", SimpleNamespace(**{**vars(names.socket), "getaddrinfo": resolve}))
    assert names.numbers("host") == ["host"]


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("192.0.2.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("fe80::1%eth0", True),
        ("192.0.2.1%eth0", False),
        ("192.0.2", False),
        ("host", False),
        ("2001:db8::x", False),
        ("a\0b", False),
        ("", False),
    ],
)
def test_what_is_a_number(address: str, number: bool) -> None:
    assert names.is_number(address) is number


@pytest.mark.parametrize(
    ("number", "local"),
    [
        ("fe7f::1", False),
        ("fe80::1", True),
        ("fe8f::1", True),
        ("febf:ffff::1", True),
        ("fec0::1", False),
        ("fe40::1", False),
        ("fd80::1", False),
        ("ff80::1", False),
    ],
)
def test_what_is_local_to_a_link(number: str, local: bool) -> None:
    assert names.is_link_local(number) is local


def test_both_addresses_of_a_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        own, peer = sock.getsockname(), sock.getpeername()
        assert names.address_of(sock) == "127.0.0.1:%d" % own[1]
        assert names.address_of(sock, peer=True) == "127.0.0.1:%d" % peer[1]
        assert own != peer
