# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relays of an encrypted link: what ends cleanly, and that nothing else does."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import random
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import loopback, relay, tls
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.encrypted import sides_within
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import unread
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.relay import BUDGET, RECORD, STEP
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.tls import CHANGED, CUT, END, NO_TLS, TIME
from ansible_collections.plumbing.socketpipe.tests.unit.ends import eventually
from ansible_collections.plumbing.socketpipe.tests.unit.fails import fail
from ansible_collections.plumbing.socketpipe.tests.unit.pythons import OWN, TARGETS, needed
from ansible_collections.plumbing.socketpipe.tests.unit.relays import LONG, OTHER, READER, WRITER, Link, Mangle, known

DATA = random.Random(1).randbytes(2_500_000) + bytes(500_000)
HELLO = b"\x16\x03\x01"  # begins a client hello
MIDDLE = 1_000_000  # bytes of DATA after which somebody in between acts
Start = Callable[..., Link]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Start]:
    made: list[Link] = []

    def start(**options: Any) -> Link:
        made.append(Link(tmp_path, **options))
        return made[-1]

    yield start
    for each in made:
        each.close()


def feed(link: Link, data: bytes = DATA) -> threading.Thread:
    """A stage that writes and commits; what is returned is over when both relays are."""

    def write() -> None:
        with contextlib.suppress(OSError):
            link.source.sendall(data)
            link.writer.commit()

    threading.Thread(target=write, daemon=True).start()
    thread = threading.Thread(target=link.follow, daemon=True)
    thread.start()
    return thread


def carried(link: Link, data: bytes = DATA) -> None:
    """The data arrives, whole, and all agree."""
    thread = feed(link, data)
    assert link.read() == data
    thread.join()
    assert (link.seal.status, link.open.status) == (0, 0)
    assert link.seal.bytes == link.open.bytes == len(data)
    assert link.seal.records == link.open.records


@pytest.mark.parametrize("version", [version for version in TARGETS if version != OWN])
def test_a_stream_comes_whole_to_every_python_and_from_it(link: Start, version: str) -> None:
    python = needed(version)
    carried(link(seal_python=python))
    carried(link(open_python=python))


@pytest.mark.parametrize("data", [b"", b"x", DATA[:RECORD], DATA[: RECORD + 1], DATA], ids=len)
def test_a_stream_of_any_length_comes_whole(link: Start, data: bytes) -> None:
    each = link()
    carried(each, data)
    assert each.seal.said == each.open.said
    assert each.seal.said["version"] == "TLSv1.3"


def test_nothing_of_it_is_in_clear(link: Start) -> None:
    seen = [bytearray(), bytearray()]

    def listener(number: int) -> Mangle:
        def listen(chunk: bytes, count: int) -> bytes:
            seen[number].extend(chunk)
            return chunk

        return listen

    carried(link(mangle=listener(0), back=listener(1)), b"marker" * 100_000)
    assert len(seen[0]) > 600_000 and len(seen[1]) > 100
    assert b"marker" not in seen[0] and b"marker" not in seen[1]


@pytest.mark.parametrize("size", [40_000, 65_536, 131_072, 131_073, 500_000])
def test_a_new_handshake_comes_with_fresh_keys_before_a_key_has_sealed_too_much(link: Start, size: int) -> None:
    """Also where the stream ends at the very place at which a session may."""
    assert BUDGET * 16 == 128 * 2**30 and STEP == 2**30
    hellos = bytearray()
    limits = {"step": 65_536, "budget": 8_000}  # a session of two steps at the most

    def count(chunk: bytes, before: int) -> bytes:
        hellos.extend(chunk)
        return chunk

    each = link(
        seal=known(WRITER, READER, **limits), unseal=known(READER, WRITER, **limits), mangle=unchanged, back=count
    )
    carried(each, DATA[:size])
    # what comes back is handshakes and nothing else: a client hello each, a record of handshake with that message
    steps, rest = divmod(size, 65_536)
    sessions = 1 + steps // 2 + (rest == 0 and steps % 2)
    assert hellos.count(HELLO) == sessions


def unchanged(chunk: bytes, count: int) -> bytes:
    return chunk


def flip(chunk: bytes, count: int) -> bytes:
    if count <= MIDDLE < count + len(chunk):
        at = MIDDLE - count
        chunk = chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]
    return chunk


def drop(chunk: bytes, count: int) -> bytes:
    return chunk[: len(chunk) // 2] if count <= MIDDLE < count + len(chunk) else chunk


def repeat(chunk: bytes, count: int) -> bytes:
    return chunk * 2 if count <= MIDDLE < count + len(chunk) else chunk


def inject(chunk: bytes, count: int) -> bytes:
    return chunk + b"\x17\x03\x03\x00\x30" + bytes(48) if count <= MIDDLE < count + len(chunk) else chunk


def cut(chunk: bytes, count: int) -> bytes:
    if count > MIDDLE:
        raise EOFError
    return chunk


def kill(chunk: bytes, count: int) -> bytes:
    if count > MIDDLE:
        raise ConnectionResetError
    return chunk


def junk(chunk: bytes, count: int) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\n"


@pytest.mark.parametrize(
    ("mangle", "kind"),
    [(flip, CHANGED), (drop, CHANGED), (repeat, CHANGED), (inject, CHANGED), (cut, CUT), (kill, ""), (junk, CHANGED)],
)
def test_who_is_in_between_is_found_out_and_the_sink_sees_no_end(link: Start, mangle: Mangle, kind: str) -> None:
    each = link(mangle=mangle)
    thread = feed(each)
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert each.open.status == 1
    assert each.open.said["kind"] == kind


@pytest.mark.parametrize("last", [b"x", b"\x17\x03\x03\x00\x30" + bytes(48), b"\x15\x03\x03\x00\x02\x01\x00"])
def test_nothing_may_come_after_the_end(link: Start, last: bytes) -> None:
    each = link(mangle=unchanged, last=last)
    thread = feed(each)
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert (each.open.status, each.open.said["kind"], each.open.said["where"]) == (1, CHANGED, END)


def test_a_cut_between_two_sessions_is_no_end(link: Start) -> None:
    """Where one session has ended, and the next is to begin: the writer's last word on the first is authentic."""
    limits = {"step": 65_536, "budget": 1}
    hellos: list[bytes] = []

    def back(chunk: bytes, count: int) -> bytes:
        if chunk.startswith(HELLO):
            hellos.append(chunk)
        return chunk

    def stop(chunk: bytes, count: int) -> bytes:
        if len(hellos) == 2:  # this is the answer to the second
            raise EOFError
        return chunk

    each = link(seal=known(WRITER, READER, **limits), unseal=known(READER, WRITER, **limits), mangle=stop, back=back)
    each.source.sendall(DATA[:65_536])
    each.writer.commit()
    threading.Thread(target=each.follow, daemon=True).start()
    with pytest.raises(ConnectionResetError):
        each.read()
    assert each.open.bytes == 65_536
    assert (each.open.status, each.open.said["kind"]) == (1, CUT)


def test_a_stage_that_dies_is_no_end(link: Start) -> None:
    each = link()
    each.source.sendall(DATA)
    thread = threading.Thread(target=each.follow, daemon=True)
    thread.start()
    each.writer.abort()
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert (each.seal.status, each.open.status) == (1, 1)


@pytest.mark.parametrize("role", ["seal", "open"])
def test_a_relay_that_is_killed_is_no_end(link: Start, role: str) -> None:
    each = link()
    each.source.sendall(DATA[:100_000])
    assert each.sink.recv(1)
    {"seal": each.seal, "open": each.open}[role].process.kill()
    threading.Thread(target=each.follow, daemon=True).start()
    with pytest.raises(ConnectionResetError):
        each.read()


def test_a_reader_that_leaves_ends_both(link: Start) -> None:
    each = link()
    thread = feed(each, DATA * 20)
    assert each.sink.recv(1000)
    each.reader.abort()
    thread.join()
    assert (each.seal.status, each.open.status) == (1, 1)


@pytest.mark.parametrize(
    ("seal", "unseal", "who"),
    [
        pytest.param(known(WRITER, READER), known(OTHER, WRITER), "seal", id="the reader is another"),
        pytest.param(known(OTHER, READER), known(READER, WRITER), "open", id="the writer is another"),
        pytest.param(known(WRITER, OTHER), known(READER, WRITER), "seal", id="the writer expects another"),
    ],
)
def test_a_certificate_that_is_not_the_plans(link: Start, seal: Any, unseal: Any, who: str) -> None:
    each = link(seal=seal, unseal=unseal)
    thread = feed(each, b"secret")
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert (each.seal.status, each.open.status) == (1, 1)
    relay = {"seal": each.seal, "open": each.open}[who]
    assert relay.said["kind"] == CHANGED and "certificate" in relay.said["error"], relay.said
    assert each.open.bytes == each.seal.bytes == 0


def test_a_reader_without_a_certificate(link: Start) -> None:
    each = link(changes=[("tls", "        context.load_cert_chain(", "        server and context.load_cert_chain(")])
    thread = feed(each, b"secret")
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert each.seal.status == 1
    assert "peer did not return a certificate" in each.seal.said["error"]
    assert each.seal.bytes == 0


# what a policy for FIPS leaves: no ChaCha20, and no curve but those of NIST
FIPS = {
    "Ciphersuites": "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
    "CipherString": "DEFAULT:!CHACHA20",
    "Groups": "P-256:P-384",
    "SignatureAlgorithms": "ECDSA+SHA256:ECDSA+SHA384:RSA+SHA256",
}
OLD = {"MaxProtocol": "TLSv1.2"}  # as OpenSSL 1.0.2 and 1.1.0


def configured(folder: Path, **settings: str) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    path = folder / "openssl.cnf"
    lines = "".join("%s = %s\n" % item for item in settings.items())
    path.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n" + lines)
    return {"OPENSSL_CONF": str(path)}


def test_hosts_with_tls_1_2_only(link: Start, tmp_path: Path) -> None:
    limits = {"step": 65_536, "budget": 1}
    each = link(
        seal=known(WRITER, READER, **limits),
        unseal=known(READER, WRITER, **limits),
        environment=configured(tmp_path, MaxProtocol="TLSv1.2"),
    )
    carried(each)
    assert each.seal.said["version"] == "TLSv1.2"
    assert "GCM" in each.seal.said["cipher"]


@pytest.mark.parametrize(
    ("seal", "unseal"),
    [(FIPS, {}), ({}, FIPS), (FIPS, FIPS), (FIPS, OLD), (OLD, FIPS), ({**FIPS, **OLD}, {**FIPS, **OLD})],
    ids=["the writer", "the reader", "both", "the writer, to an old one", "the reader, of an old one", "both, and old"],
)
def test_hosts_in_fips_mode_meet_all_others(
    link: Start, tmp_path: Path, seal: dict[str, str], unseal: dict[str, str]
) -> None:
    """Without any setting of ours, and a second session on the same link, too."""
    limits = {"step": 65_536, "budget": 1}
    each = link(
        seal=known(WRITER, READER, **limits),
        unseal=known(READER, WRITER, **limits),
        seal_environment=configured(tmp_path / "seal", **seal),
        open_environment=configured(tmp_path / "open", **unseal),
    )
    carried(each, DATA[:100_000])
    assert each.seal.said["version"] == ("TLSv1.2" if "MaxProtocol" in {**seal, **unseal} else "TLSv1.3")
    assert re.search("AES_?256_GCM|AES256-GCM", each.seal.said["cipher"])


def test_hosts_with_older_tls_only_are_refused(link: Start, tmp_path: Path) -> None:
    old = configured(tmp_path, MinProtocol="TLSv1", MaxProtocol="TLSv1.1", CipherString="ALL:@SECLEVEL=0")
    each = link(environment=old)
    thread = feed(each, b"secret")
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert (each.seal.status, each.open.status) == (1, 1)
    assert each.open.said["kind"] == NO_TLS


EXCLUSIVE: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "groups": ({"Groups": "P-256"}, {"Groups": "X25519"}),
    "algorithms": ({"SignatureAlgorithms": "RSA+SHA256"}, {}),
    "ciphers": (
        {"MinProtocol": "TLSv1.3", "Ciphersuites": "TLS_AES_128_GCM_SHA256"},
        {"MinProtocol": "TLSv1.3", "Ciphersuites": "TLS_CHACHA20_POLY1305_SHA256"},
    ),
    "versions": ({"MinProtocol": "TLSv1.3"}, {"MaxProtocol": "TLSv1.2"}),
}


@pytest.mark.parametrize("reader", [0, 1], ids=["", "reversed"])
@pytest.mark.parametrize("name", EXCLUSIVE)
def test_settings_that_exclude_each_other_are_nobodys_change(
    link: Start, tmp_path: Path, name: str, reader: int
) -> None:
    """And what one host demands is not lowered."""
    given = []
    for number, settings in enumerate(EXCLUSIVE[name]):
        (tmp_path / str(number)).mkdir()
        given.append(configured(tmp_path / str(number), **settings))
    # from 3.10 on, a Python may set a least version itself, and not take that of the host
    pythons = dict.fromkeys(("seal_python", "open_python"), needed("3.8")) if name == "versions" else {}
    each = link(environment=given[1 - reader], open_environment=given[reader], **pythons)
    thread = feed(each, b"secret")
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert NO_TLS in (each.seal.said["kind"], each.open.said["kind"]), (each.seal.said, each.open.said)
    assert CHANGED not in (each.seal.said["kind"], each.open.said["kind"])


@pytest.mark.parametrize("when", ["before the handshake", "after it"])
def test_an_error_of_openssl_is_the_relays_own(link: Start, when: str) -> None:
    """It says nothing of the versions of TLS that the other host has."""
    changes = {
        "before the handshake": (
            "tls",
            "    context.set_ciphers(CIPHERS)",
            "    context.set_ciphers('none' if server else CIPHERS)",
        ),
        "after it": ("relay", "        done = write(view[:size])", "        tls.context.set_ciphers('none')"),
    }
    each = link(changes=[changes[when]])
    thread = feed(each)
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert (each.seal.status, each.seal.said["kind"], "no cipher" in each.seal.said["error"]) == (1, "", True)
    assert "where" not in each.seal.said


def test_the_time_of_day_does_not_matter(link: Start, tmp_path: Path) -> None:
    """A certificate of this run, on a host whose clock is far behind."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    key = serialization.load_pem_private_key(WRITER["key"].encode(), None)
    known_one = x509.load_pem_x509_certificate(WRITER["certificate"].encode())
    builder = x509.CertificateBuilder(
        known_one.subject,
        known_one.subject,
        known_one.public_key(),
        1,
        known_one.not_valid_after_utc.replace(tzinfo=None, year=9998),
        known_one.not_valid_after_utc.replace(tzinfo=None),
    )
    signed = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    late = {**WRITER, "certificate": signed.public_bytes(serialization.Encoding.PEM).decode()}
    carried(link(seal=known(late, READER), unseal=known(READER, late)), b"x")


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_peer_that_does_not_complete_the_handshake(link: Start, way: str) -> None:
    def stall(chunk: bytes, count: int) -> bytes:
        time.sleep(3600)
        return chunk

    each = link(**({"mangle": stall} if way == "there" else {"mangle": unchanged, "back": stall}), patience=1.0)
    thread = feed(each, b"secret")
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    assert (each.seal.status, each.open.status) == (1, 1)
    assert (CUT, TIME, "1") in [
        tuple(map(relay.said.get, ("kind", "where", "error"))) for relay in (each.seal, each.open)
    ]


def test_counters_are_never_seen_halfway(tmp_path: Path) -> None:
    """An end looks at them while its relay counts: no count goes back, or is ahead of the truth."""
    step, times = 0x01010101, 300_000
    page = mmap.mmap(-1, mmap.PAGESIZE)
    child = os.fork()
    if child == 0:
        count = relay.counting(page)
        for number in range(1, times + 1):
            count(number * step, number)
        os._exit(0)
    seen, looks = relay.counters(page), [0]
    while not os.waitpid(child, os.WNOHANG)[0]:
        looks += [seen[0] for _look in range(1000)]
    assert looks == sorted(looks) and not any(total % step for total in looks) and looks[-1] <= times * step
    assert tuple(seen[:2]) == (times * step, times)


class Dripping:
    """A socket on which a byte arrives now and then, of a client hello that is allowed to be long."""

    def __init__(self) -> None:
        self.bytes = itertools.chain(b"\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03", itertools.repeat(0))

    def recv_into(self, buffer: bytearray) -> int:
        time.sleep(0.0001)
        buffer[0] = next(self.bytes)
        return 1

    def settimeout(self, seconds: float) -> None:
        """It never expires."""


@pytest.mark.parametrize("silent", ["seal", "open"])
def test_a_peer_that_falls_silent_in_a_later_handshake(link: Start, silent: str) -> None:
    """The writer waits in it as long as the reader reads; but once it has begun, both end it in limited time."""
    limits = {"step": 65_536, "budget": 1}
    hellos: list[bytes] = []

    def back(chunk: bytes, count: int) -> bytes:
        """Of the second hello of the reader's relay, that of the writer gets only a part, or all."""
        if chunk.startswith(HELLO):
            hellos.append(chunk)
        return chunk[:20] if len(hellos) == 2 and silent == "open" else chunk

    def stop(chunk: bytes, count: int) -> bytes:
        return b"" if len(hellos) == 2 and silent == "seal" else chunk

    each = link(
        seal=known(WRITER, READER, **limits),
        unseal=known(READER, WRITER, **limits),
        mangle=stop,
        back=back,
        seal_patience=LONG if silent == "seal" else 1.0,
        open_patience=LONG if silent == "open" else 1.0,
    )
    each.source.sendall(DATA[:65_536])
    waits = (each.open if silent == "seal" else each.seal).wait()
    assert (waits.status, len(hellos)) == (1, 2)
    assert tuple(map(waits.said.get, ("kind", "where", "error"))) == (CUT, TIME, "1")


def test_a_reader_may_take_its_time_before_a_later_handshake(link: Start) -> None:
    """Its relay begins it when all before has been read; meanwhile the limit does not count."""
    limits = {"step": 2_097_152, "budget": 1}
    each = link(seal=known(WRITER, READER, **limits), unseal=known(READER, WRITER, **limits), patience=1.5)
    thread = feed(each)
    assert each.sink.recv(1)
    time.sleep(2)  # the rest fills the buffers in between
    assert len(each.read()) == len(DATA) - 1
    thread.join()
    assert (each.seal.status, each.open.status) == (0, 0)


def test_a_peer_that_never_ends_its_hello() -> None:
    with pytest.raises(tls.Failed) as caught:
        tls.Tls(cast(Any, Dripping()), True, known(WRITER, READER), 0.5)
    assert caught.value.problem == {"kind": CUT, "where": TIME, "error": "0.5"}


LIMITED = {
    "no memfd_create, as in Python before 3.8": "del os.memfd_create\n",
    "a kernel or a sandbox without it": "def refuse(*_words): raise OSError(38, 'refused')\nos.memfd_create = refuse\n",
}


@pytest.mark.parametrize("limit", LIMITED)
def test_keys_without_a_file_in_memory(link: Start, limit: str) -> None:
    carried(link(changes=[("tls", "TYPE_CHECKING = False\n", LIMITED[limit] + "TYPE_CHECKING = False\n")]))


def test_a_python_whose_ssl_lacks_something(link: Start) -> None:
    """It says so, and is no end of file."""
    each = link(changes=[("tls", "def missing()", "del ssl.MemoryBIO\n\n\ndef missing()")])
    thread = feed(each, b"secret")
    with pytest.raises(ConnectionResetError):
        each.read()
    thread.join()
    for relay_ in (each.seal, each.open):
        assert (relay_.status, relay_.said["kind"]) == (1, "") and "MemoryBIO" in relay_.said["error"]


def test_a_stream_that_pauses_goes_on(link: Start) -> None:
    each = link(patience=1.0)
    each.source.sendall(b"first")
    assert each.sink.recv(100) == b"first"
    time.sleep(1.5)  # longer than the handshake may take
    carried_rest = feed(each, b"second")
    assert each.read() == b"second"
    carried_rest.join()
    assert (each.seal.status, each.open.status) == (0, 0)


def test_a_relay_takes_full_buffers_while_data_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each packet would wake it; but what comes slowly comes at once."""
    writer, reader = loopback.pair(10)
    session = tls.Tls.__new__(tls.Tls)
    session.link, session.arrived, session.made, session.gathers = reader, ssl.MemoryBIO(), True, False
    session.buffer = bytearray(tls.BUFFER)
    session.view = memoryview(session.buffer)

    def filling() -> threading.Thread:
        thread = threading.Thread(target=session.fill_much, daemon=True)
        thread.start()
        return thread

    def waits_for() -> int:
        return reader.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)

    monkeypatch.setattr(tls, "GATHER", 600)
    writer.sendall(b"x")
    session.fill_much()
    assert session.arrived.read() == b"x" and waits_for() == tls.BUFFER
    thread = filling()
    writer.sendall(b"x" * 1000)
    eventually(lambda: unread(reader) == 1000, "it was taken, or never came", 10)
    writer.sendall(b"x" * (tls.BUFFER - 1000))
    thread.join(60)
    assert len(session.arrived.read()) == tls.BUFFER
    monkeypatch.setattr(tls, "GATHER", 0)
    writer.sendall(b"part")
    eventually(lambda: unread(reader) == 4, "nothing came", 10)
    session.fill_much()
    assert session.arrived.read() == b"part" and waits_for() == tls.BUFFER
    thread = filling()
    eventually(lambda: waits_for() == 1, "it waits for more than a byte", 10)
    writer.sendall(b"y")
    thread.join(60)
    assert session.arrived.read() == b"y"
    monkeypatch.setattr(tls, "GATHER", 600)
    writer.shutdown(socket.SHUT_WR)
    with pytest.raises(tls.Failed):
        session.fill_much()
    for sock in (writer, reader):
        sock.close()


@pytest.mark.parametrize("writes", [True, False])
def test_the_link_of_a_relay_has_room_for_a_block(writes: bool) -> None:
    """Within the limit of the kernel for who is not root, which it doubles."""
    most = int(Path("/proc/sys/net/core/wmem_max").read_text(encoding="ascii"))
    sides = sides_within(cast(Any, {"id": "link", "full_reads": 0, "side": "W"}), writes, 10)
    assert sides[0].sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * min(tls.BUFFER, most)
    for side in sides:
        side.sock.close()


# -- one relay without a process: between sessions and sockets that the test makes up


class Session:
    """Stands for Tls: ``did`` has what was sealed and sent, and where sessions have ended and begun."""

    def __init__(self, *arrives: Any, server: bool = True, writes: int = tls.BUFFER) -> None:
        self.did: list[Any] = []
        self.arrives, self.server, self.writes = list(arrives), server, writes
        self.view = memoryview(bytearray(tls.BUFFER))
        self.session = self.leaving = self.link = self
        self.sealed, self.rest = 0, b""
        self.told: list[tuple[int, int]] = []

    def count(self, total: int, records: int) -> None:
        self.told.append((total, records))

    # of the session, and of the buffer of what leaves

    def write(self, data: Any) -> int:
        size = min(len(data), self.writes)
        self.sealed += size
        return size

    def read(self, most: int | None = None, into: Any = None) -> Any:
        if most is None:
            sealed, self.sealed = self.sealed, 0
            return sealed
        assert most == RECORD == 16384
        item = self.arrives.pop(0) if self.arrives else b""
        if isinstance(item, Exception):
            fail(item)
        into[: len(item)] = item
        return len(item)

    # of the link

    def sendall(self, sealed: int) -> None:
        self.did.append(sealed)

    def recv(self, size: int) -> bytes:
        assert size == 1
        return self.rest

    # of Tls

    def end(self) -> None:
        self.did.append("end")

    def begin(self, again: bool) -> None:
        assert again is True
        self.did.append("begin")

    def gather(self, on: bool) -> None:
        assert on is False
        self.did.append("gather")

    def expect_nothing(self) -> None:
        self.did.append("nothing")

    def fill_much(self) -> None:
        self.did.append("fill")


class Source:
    """A stage that has written so much at a time; ``asked``: how much was asked for."""

    def __init__(self, *sizes: int) -> None:
        self.sizes, self.asked = list(sizes), list[int]()

    def recv_into(self, view: memoryview) -> int:
        self.asked.append(len(view))
        return min(self.sizes.pop(0), len(view)) if self.sizes else 0


@pytest.mark.parametrize(
    ("sizes", "did", "told"),
    [
        ([], ["end"], []),
        ([1], [1, "end"], [(1, 1)]),
        ([16384, 16385], [16384, 16385, "end"], [(16384, 1), (32769, 3)]),
        ([49152], [49152, "end"], [(49152, 3)]),
    ],
)
def test_what_is_sealed_is_counted_in_records(sizes: list[int], did: list[Any], told: list[Any]) -> None:
    made: Any = Session()
    relay.seal(made, cast(Any, Source(*sizes)), made.count, STEP, BUDGET)
    assert made.did == did and made.told == told


def test_a_session_that_takes_less_gets_the_rest() -> None:
    made: Any = Session(writes=10)
    relay.seal(made, cast(Any, Source(25, 20)), made.count, STEP, BUDGET)
    assert made.did == [25, 20, "end"] and made.told == [(25, 1), (45, 2)]


@pytest.mark.parametrize(
    ("sizes", "step", "budget", "did", "asked"),
    [
        # blocks of AES: one for each 16 bytes, and two for each record
        ([64, 64], 64, 6, [64, "end", "begin", 64, "end", "begin", "end"], [64, 64, 64]),
        ([64, 64, 64], 64, 7, [64, 64, "end", "begin", 64, "end", "begin", "end"], [64] * 4),
        ([40, 100, 20], 64, 7, [40, 24, "end", "begin", 20, "end"], [64, 24, 64, 44]),
        ([40, 100, 20], 64, 8, [40, 24, 20, "end"], [64, 24, 64, 44]),
        # it ends where another session may follow, so another one does
        ([64], 64, 1000, [64, "end", "begin", "end"], [64, 64]),
        ([64, 64], 64, 1000, [64, 64, "end", "begin", "end"], [64, 64, 64]),
        ([63], 64, 0, [63, "end"], [64, 1]),
        ([tls.BUFFER + 9, 9], tls.BUFFER * 4, 0, [tls.BUFFER, 9, "end"], [tls.BUFFER] * 3),
    ],
)
def test_when_another_session_follows(
    sizes: list[int], step: int, budget: int, did: list[Any], asked: list[int]
) -> None:
    """After a multiple of the step, when so much is sealed: no read goes beyond that place."""
    made: Any = Session()
    source = Source(*sizes)
    relay.seal(made, cast(Any, source), made.count, step, budget)
    assert (made.did, source.asked) == (did, asked)


class Sink:
    """A stage; ``takes``: how much at a time, 0 while it does not read."""

    def __init__(self, *takes: int) -> None:
        self.takes, self.data = list(takes), b""

    def send(self, data: memoryview, flags: int) -> int:
        assert flags == socket.MSG_DONTWAIT
        size = self.takes.pop(0) if self.takes else len(data)
        if not size:
            raise BlockingIOError
        self.data += data[:size]
        return min(size, len(data))

    def fileno(self) -> int:
        return 7


def ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "of OpenSSL")
    error.reason = reason
    return error


WAIT = ssl.SSLWantReadError()
ENDED = ssl.SSLZeroReturnError()
FULL = bytes(RECORD)


@pytest.mark.parametrize(
    ("arrives", "step", "did", "told"),
    [
        ([], 64, ["gather", "nothing"], []),
        ([b"abc", b"de", ENDED], 64, ["gather", "nothing"], [(5, 2)]),
        ([b"abc", WAIT, b"de", WAIT, WAIT, b""], 64, ["fill", "fill", "fill", "gather", "nothing"], [(3, 1), (5, 2)]),
        # where another session must follow
        ([b"abcd", b""], 4, ["gather", "nothing", "begin", "gather", "nothing"], [(4, 1)]),
        ([b"abcd", b"", b"efgh", b""], 4, ["gather", "nothing", "begin"] * 2 + ["gather", "nothing"], [(4, 1), (8, 2)]),
        ([b"abcd", WAIT, b"ef", b""], 4, ["fill", "gather", "nothing"], [(4, 1), (6, 2)]),
        # no more at once than the buffer has room for, with one record more
        ([FULL] * 34, 1, ["gather", "nothing", "begin", "gather", "nothing"], [(33 * RECORD, 33), (34 * RECORD, 34)]),
    ],
)
def test_what_is_opened_is_handed_over(arrives: list[Any], step: int, did: list[str], told: list[Any]) -> None:
    made: Any = Session(*arrives)
    sink = Sink()
    relay.unseal(made, cast(Any, sink), made.count, step, BUDGET)
    assert (made.did, made.told) == (did, told)
    assert sink.data == b"".join(each for each in arrives if isinstance(each, bytes))


@pytest.mark.parametrize(
    ("arrives", "rest", "problem"),
    [
        ([b"abc", b""], b"x", (CHANGED, END, "")),
        ([b"abc", ssl_error("BAD_RECORD_MAC")], b"", (CHANGED, "stream", "bad record mac")),
    ],
)
def test_what_nobody_has_sealed_is_found(arrives: list[Any], rest: bytes, problem: tuple[str, str, str]) -> None:
    made: Any = Session(*arrives)
    made.rest = rest
    with pytest.raises(tls.Failed) as caught:
        relay.unseal(made, cast(Any, Sink()), made.count, STEP, BUDGET)
    assert tuple(caught.value.problem.values()) == problem


def test_a_stage_that_does_not_read_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only what it has got is counted."""
    waited: list[Any] = []
    monkeypatch.setattr(relay, "events", lambda *words: waited.append(words))
    made, sink = Session(), Sink(3, 0, 2, 0, 5)
    relay.deliver(cast(Any, sink), memoryview(b"0123456789"), 100, 7, made.count)
    assert sink.data == b"0123456789" and waited == [({7: select.POLLOUT}, None)] * 2
    assert made.told == [(103, 7), (105, 7), (110, 7)]


# -- the process of one


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A relay whose work is over at once, and what it was made with."""
    found = SimpleNamespace(made=[], worked=[], told=[], error=None, cipher=("C", "TLSv1.2", 256), version="TLSv1.3")

    def make(*words: Any) -> Any:
        found.made.append(words)
        session = SimpleNamespace(cipher=lambda: found.cipher, version=lambda: found.version)
        found.tls = SimpleNamespace(session=session, server=words[1])
        return found.tls

    def work(*words: Any) -> None:
        found.worked.append(words)
        if found.error:
            raise found.error

    def serve(role: str, spec: Any) -> int:
        return relay.serve(role, cast(Any, "in"), cast(Any, "out"), spec, 5.0, found.made.append, found.told.append)

    monkeypatch.setattr(relay, "Tls", make)
    monkeypatch.setattr(relay, "ROLES", {"seal": work, "open": work})
    found.serve = serve
    return found


@pytest.mark.parametrize("role", ["seal", "open"])
@pytest.mark.parametrize(("spec", "limits"), [({}, (STEP, BUDGET)), ({"step": 5, "budget": 6}, (5, 6))])
def test_each_role_has_its_side_of_the_link(served: Any, role: str, spec: Any, limits: tuple[int, int]) -> None:
    assert served.serve(role, spec) == 0
    link, plain = ("out", "in") if role == "seal" else ("in", "out")
    assert served.made == [(link, role == "seal", spec, 5.0)]
    assert served.worked == [(served.tls, plain, served.made.append, *limits)]
    assert served.told == [{"cipher": "C", "version": "TLSv1.3"}]


@pytest.mark.parametrize(
    ("cipher", "version", "told"),
    [
        (None, None, {"cipher": "", "version": ""}),
        (("C", "TLSv1.2", 1), None, {"cipher": "C", "version": "TLSv1.2"}),
    ],
)
def test_a_session_that_does_not_say_what_it_is(served: Any, cipher: Any, version: Any, told: Any) -> None:
    served.cipher, served.version = cipher, version
    assert served.serve("seal", {}) == 0 and served.told == [told]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (tls.Failed(CUT, "time", "5"), {"kind": CUT, "where": "time", "error": "5"}),
        (ssl_error("NO_CIPHER"), {"kind": "", "error": "no cipher"}),
        (BrokenPipeError(32, "Broken pipe"), {"kind": "", "error": "[Errno 32] Broken pipe"}),
        (AttributeError(), {"kind": "", "error": "AttributeError"}),
    ],
)
def test_a_failure_is_told(served: Any, error: Exception, told: dict[str, str]) -> None:
    served.error = error
    assert served.serve("open", {}) == 1 and served.told[1:] == [told]


def test_a_message_back_is_passed_before_the_data(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pass_back(session: Any, size: int, tell: Any) -> None:
        assert served.worked == [] and session is served.tls
        tell(size)

    monkeypatch.setattr(relay, "pass_back", pass_back)
    assert served.serve("open", {"back": 32}) == 0
    assert served.told[1:] == [32] and len(served.worked) == 1


@pytest.mark.parametrize(("kind", "told"), [(CUT, tls.GONE), (CHANGED, CHANGED)])
def test_a_writer_tells_the_message_that_came_back(kind: str, told: str) -> None:
    """An end that gives up closes its direction first, which is no cut of the stream."""
    said: list[Any] = []
    session: Any = SimpleNamespace(server=True, receive=lambda size: bytes(range(size)))
    relay.pass_back(session, 4, said.append)
    assert said == [{"back": "00010203"}]

    def fail(_size: int) -> bytes:
        raise tls.Failed(kind, "stream")

    session.receive = fail
    with pytest.raises(tls.Failed) as caught:
        relay.pass_back(session, 4, said.append)
    assert caught.value.problem["kind"] == told and len(said) == 1


@pytest.mark.parametrize("message", [b"1234", b"123", b""])
def test_a_reader_sends_the_message_of_its_end(monkeypatch: pytest.MonkeyPatch, message: bytes) -> None:
    did: list[Any] = []
    session: Any = SimpleNamespace(
        server=False, session=SimpleNamespace(write=did.append), flush=lambda: did.append("flush")
    )
    source, target = os.pipe()
    monkeypatch.setattr(relay, "BACK_FD", source)
    os.write(target, message)
    os.close(target)
    try:
        if len(message) == 4:
            relay.pass_back(session, 4, did.append)
            assert did == [b"1234", "flush"]
        else:
            with pytest.raises(BrokenPipeError):
                relay.pass_back(session, 4, did.append)
            assert did == []
    finally:
        os.close(source)
