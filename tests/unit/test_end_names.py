# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses in words, and the address that a login came from."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import names
from ansible_collections.plumbing.socketpipe.tests.unit.tape import MODULE_UTILS

OWN = 50
FROM = b"SSH_CONNECTION=192.0.2.1 5 192.0.2.2 22"
SSH = "192.0.2.7 50022 198.51.100.1 22"
# sudo and su drop the variable: then an ancestor that still has it is asked
DROPPED = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from _end import names
if sys.argv[2:]:
    print(names.ssh_client())
else:
    os.environ.pop("SSH_CONNECTION", None)
    raise SystemExit(subprocess.call([sys.executable, "-B", "-c", sys.orig_argv[-2], sys.argv[1], "inner"]))
"""


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.1", "192.0.2.1:80"),
        ("2001:db8::1", "[2001:db8::1]:80"),
        ("::ffff:192.0.2.1", "192.0.2.1:80"),
        ("fe80::1%eth0", "[fe80::1%eth0]:80"),
    ],
)
def test_an_address_with_its_port(host: str, said: str) -> None:
    assert names.join_address(host, 80) == said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("fe80::1%eth0", True),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.1%eth0", False),
        ("192.0.2", False),
        ("db1", False),
        ("2001:db8::x", False),
        ("a\0b", False),
        ("", False),
    ],
)
def test_what_is_a_number(text: str, expected: bool) -> None:
    assert names.is_number(text) is expected


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


def test_a_link_local_address_needs_its_interface() -> None:
    loopback = socket.if_nametoindex("lo")
    assert names.socket_name("fe80::1%lo", 80) == (socket.AF_INET6, ("fe80::1", 80, 0, loopback))
    assert names.socket_name("fe80::1%1", 80) == (socket.AF_INET6, ("fe80::1", 80, 0, 1))
    assert names.socket_name("febf::1%lo", 80)[1][3] == loopback
    assert names.socket_name("fec0::1", 80) == (socket.AF_INET6, ("fec0::1", 80))
    for address, outcome in (
        ("fe80::1", ("no zone", "fe80::1")),
        ("febf::1", ("no zone", "febf::1")),
        ("fe80::1%no-such-one", ("no interface", "no-such-one")),
    ):
        with pytest.raises(names.Undialable) as caught:
            names.socket_name(address, 80)
        assert (caught.value.outcome, caught.value.detail) == outcome


def test_both_addresses_of_a_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        own, peer = sock.getsockname(), sock.getpeername()
        assert names.address_of(sock) == "127.0.0.1:%d" % own[1]
        assert names.address_of(sock, peer=True) == "127.0.0.1:%d" % peer[1]
        assert own != peer


def test_the_zone_of_a_socket_s_name() -> None:
    assert names.with_zone(("fe80::1", 80, 0, socket.if_nametoindex("lo"))) == "fe80::1%lo"
    assert names.with_zone(("fe80::1", 80, 0, 2**31 - 1)) == f"fe80::1%{2**31 - 1}"
    assert names.with_zone(("192.0.2.1", 80)) == "192.0.2.1"


def test_a_name_that_nobody_knows_stays() -> None:
    assert names.numbers("192.0.2.1") == ["192.0.2.1"]
    assert names.numbers("a" * 70 + ".invalid") == ["a" * 70 + ".invalid"]
    assert "127.0.0.1" in names.numbers("localhost")


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
def test_a_name_that_cannot_be_resolved_stays(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def resolve(*_words: Any) -> list[Any]:
        raise error

    monkeypatch.setattr(names, "socket", SimpleNamespace(**{**vars(names.socket), "getaddrinfo": resolve}))
    assert names.numbers("host") == ["host"]


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


@pytest.mark.parametrize(("environment", "said"), [({"SSH_CONNECTION": SSH}, "192.0.2.7\n"), ({}, "\n")])
def test_where_the_login_of_an_ancestor_came_from(environment: dict[str, str], said: str) -> None:
    """The process in between has the variable when it starts, and does not hand it on."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SSH_")}
    if not environment and any("SSH_CONNECTION=" in text for text in ancestors()):
        pytest.skip("this test itself runs in an ssh session")
    argv = [sys.executable, "-B", "-c", DROPPED, str(MODULE_UTILS)]
    done = subprocess.run(argv, env={**plain, **environment}, capture_output=True, text=True, check=True)
    assert done.stdout == said


def ancestors() -> list[str]:
    """The environments of this process and of those above it, as far as they can be read."""
    found, pid = [], os.getpid()
    while pid > 1:
        try:
            with open(f"/proc/{pid}/environ", encoding="utf-8", errors="replace") as environ:
                found.append(environ.read())
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                pid = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found
