# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TLS session of a relay: both sides in this process, step by step."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import tls
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.tls import CHANGED, CUT, END, STREAM, Tls
from ansible_collections.plumbing.socketpipe.tests.unit.relays import READER, WRITER, known

Both = tuple[Tls, Tls]


@pytest.fixture
def both() -> Iterator[Both]:
    """(writer, reader), after their handshake."""
    one, other = socket.socketpair()
    for sock in (one, other):
        sock.settimeout(20)
    found: list[Tls] = []
    server = threading.Thread(target=lambda: found.append(Tls(one, True, cast(Any, known(WRITER, READER)), 20.0)))
    server.start()
    reader = Tls(other, False, cast(Any, known(READER, WRITER)), 20.0)
    server.join()
    yield found[0], reader
    one.close()
    other.close()


def problem(caught: Any) -> tuple[str, str]:
    return caught.value.problem["kind"], caught.value.problem["where"]


def test_a_handshake_leaves_nothing_behind(both: Both) -> None:
    """The link blocks without a limit again, and nothing is on its way back."""
    for side in both:
        assert side.made and not side.gathers and side.link.gettimeout() is None
        assert side.arrived.pending == side.leaving.pending == 0 and len(side.buffer) == tls.BUFFER == 1 << 19
    assert [side.server for side in both] == [True, False]
    assert both[0].session.shared_ciphers() and both[1].read == both[1].session.read


def test_exactly_what_is_asked_for_is_received(both: Both) -> None:
    writer, reader = both
    for data in (b"abc", b"defg"):
        writer.session.write(data)
        writer.flush()
    assert reader.receive(0) == b"" and reader.receive(5) == b"abcde" and reader.receive(2) == b"fg"
    writer.end()
    with pytest.raises(tls.Failed) as caught:
        reader.receive(1)
    assert problem(caught) == (CUT, STREAM)


def test_what_has_arrived_is_taken(both: Both) -> None:
    """Records may come in pieces; the end of the session is no data."""
    writer, reader = both
    writer.session.write(b"abc")
    writer.session.write(b"defg")
    data = writer.leaving.read()
    assert [reader.take(data[:10]), reader.take(data[10:]), reader.take(b"")] == [b"", b"abcdefg", b""]
    writer.end()
    assert reader.take(reader.link.recv(1000)) == b""
    reader.expect_nothing()
    reader.arrived.write(b"x")
    with pytest.raises(tls.Failed) as caught:
        reader.expect_nothing()
    assert problem(caught) == (CHANGED, END)


def test_what_was_changed_is_not_taken(both: Both) -> None:
    writer, reader = both
    writer.session.write(b"abc")
    data = bytearray(writer.leaving.read())
    data[-1] ^= 1
    with pytest.raises(tls.Failed) as caught:
        reader.take(bytes(data))
    assert problem(caught) == (CHANGED, STREAM) and caught.value.problem["error"]


@pytest.mark.parametrize(("made", "where"), [(True, "stream"), (False, "handshake")])
def test_a_link_that_ends_is_cut(both: Both, made: bool, where: str) -> None:
    writer, reader = both
    reader.made = made
    writer.link.shutdown(socket.SHUT_WR)
    with pytest.raises(tls.Failed) as caught:
        reader.fill()
    assert problem(caught) == (CUT, where)


def test_the_link_is_asked_for_full_buffers_only_when_that_changes(monkeypatch: pytest.MonkeyPatch, both: Both) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(tls, "full_reads", lambda sock, size, polled: asked.append((sock, size, polled)))
    reader = both[1]
    for on in (False, True, True, False, False):
        reader.gather(on)
    assert asked == [(reader.link, tls.BUFFER, True), (reader.link, 1, True)]


@pytest.mark.parametrize(
    ("again", "server", "waits"),
    [(False, False, False), (True, False, False), (False, True, False), (True, True, True)],
)
def test_only_a_writer_waits_for_a_later_handshake(
    monkeypatch: pytest.MonkeyPatch, again: bool, server: bool, waits: bool
) -> None:
    made = Tls.__new__(Tls)
    made.server, made.patience = server, 2.5
    asked: list[bool] = []

    def begin(waits: bool) -> None:
        asked.append(waits)

    monkeypatch.setattr(made, "_begin", begin)
    made.begin(again)
    assert asked == [waits]

    def late(waits: bool) -> None:
        raise TimeoutError

    monkeypatch.setattr(made, "_begin", late)
    with pytest.raises(tls.Failed) as caught:
        made.begin()
    assert caught.value.problem == {"kind": CUT, "where": "time", "error": "2.5"}


@pytest.mark.parametrize("server", [True, False])
def test_only_the_other_side_s_certificate_is_accepted(server: bool) -> None:
    """With TLS 1.2 or later, whatever the time of day, and nothing that a server would send later."""
    context = tls.make_context(server, cast(Any, known(WRITER, READER)))
    assert context.verify_mode == ssl.CERT_REQUIRED and not context.check_hostname
    assert context.verify_flags & 0x200000 and context.minimum_version >= ssl.TLSVersion.TLSv1_2
    wanted = ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    assert context.options & wanted == wanted
    (authority,) = context.get_ca_certs(binary_form=True)
    assert authority == ssl.PEM_cert_to_DER_cert(READER["certificate"])
    if server:
        assert context.num_tickets == 0
    assert not [each["name"] for each in context.get_ciphers() if "PSK" in each["name"] or "CBC" in each["name"]]


def test_a_host_may_ask_for_a_later_version(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(ssl.SSLContext):
        def load_cert_chain(self, *words: Any, **more: Any) -> None:
            super().load_cert_chain(*words, **more)
            self.minimum_version = least

    monkeypatch.setattr(tls, "ssl", SimpleNamespace(**{**vars(ssl), "SSLContext": Strict}))
    for least in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        assert tls.make_context(True, cast(Any, known(WRITER, READER))).minimum_version == least


@pytest.mark.parametrize("refuses", ["nobody", "a kernel", "a Python"])
def test_a_key_is_in_no_file_with_a_name(monkeypatch: pytest.MonkeyPatch, refuses: str) -> None:
    def refuse(_name: str) -> int:
        raise OSError(errno.ENOSYS, "no such call")

    known_ones = dict(vars(os))
    if refuses == "a kernel":
        known_ones["memfd_create"] = refuse
    if refuses == "a Python":
        del known_ones["memfd_create"]
    monkeypatch.setattr(tls, "os", SimpleNamespace(**known_ones))
    fd = tls.in_file("text")
    with open("/proc/self/fd/%d" % fd, encoding="ascii") as file:
        assert file.read() == "text"
    os.close(fd)


@pytest.mark.parametrize(
    ("number", "missing"), [((1, 0, 1, 30), "OpenSSL"), ((1, 0, 2, 0), ""), ((3, 0, 0, 0), ""), (None, "no ssl module")]
)
def test_what_relays_need_of_openssl(monkeypatch: pytest.MonkeyPatch, number: Any, missing: str) -> None:
    fake = number and SimpleNamespace(OPENSSL_VERSION_INFO=number, OPENSSL_VERSION="OpenSSL")
    monkeypatch.setattr(tls, "ssl", fake)
    assert tls.missing() == missing
    assert tls.version() == ("OpenSSL" if number else "")


@pytest.mark.parametrize(
    ("reason", "text"), [("CERTIFICATE_VERIFY_FAILED", "certificate verify failed"), ("", "of openssl")]
)
def test_the_words_of_openssl(reason: str, text: str) -> None:
    class Error(ssl.SSLError):
        def __str__(self) -> str:
            return "of_OpenSSL"

    error = Error()
    error.reason = reason
    assert tls.reason(error) == text
