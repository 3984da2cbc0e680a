# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""How TLS in the kernel differs from TCP: the traps, each with the fact that makes it one, and what an end does."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import time
import typing as t
from pathlib import Path

import pytest

from tests.unit.ends import Ends, make_plan, record, recorded, sh, started

from .pair import LONG, Pair, disconnect, keys, ktls, said, sealed, tcp, tcp_info

Connect = t.Callable[..., Pair]
Launch = t.Callable[..., Ends]
LIMIT = [("keys", "GCM_RECORDS - UNCHECKED)", "100)"), ("keys", "CIPHERS = (CHACHA20, AES)", "CIPHERS = (AES,)")]
BOTH = pytest.mark.parametrize("cipher", [cipher.name for cipher in keys.CIPHERS])


def eventually(true: t.Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.005)


def told(pair: Pair) -> None:
    """Do as an end does until its reader's host has been told of the abort."""

    def over() -> bool:
        pair.writer.insist()
        return pair.writer.released or not pair.writer.is_telling(time.monotonic())

    eventually(over)


@BOTH
def test_a_stream_arrives_and_both_count_the_same(connect: Connect, cipher: str) -> None:
    """bytes_acked is the data, 22 bytes a record, and the end of file."""
    pair = connect(cipher)
    child = pair.reads()
    for size in (1, 16384, 16385, 100_000, 7):
        pair.w.sendall(b"x" * size)
    eventually(pair.writer.flushed)
    pair.writer.commit()
    assert said(child) == ["132777", "eof", "eof"]
    assert pair.records == (12, 12)
    eventually(lambda: not pair.writer.unsent())
    assert [side.count(side.info(), True) for side in (pair.writer, pair.reader)] == [132777, 132777]


def test_a_reader_that_waits_takes_a_reset_for_an_end_of_file(connect: Connect) -> None:
    """The first trap: the fact. An end that only reset a link would have its sink keep half of a stream.

    Newer kernels (Linux 6.12) say it once, and then there is an end of file, too.
    """
    trap, newer = ["1000", "eof", "eof"], ["1000", "ECONNRESET", "eof"]
    seen = []
    for pause in (0.3, 1.0, 3.0):  # until it waits for more: nothing tells, and a slow machine takes its time
        pair = connect()
        pair.r.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1 << 20)
        child = pair.reads()
        pair.w.sendall(b"x" * 1000)
        time.sleep(pause)
        pair.w.close()
        seen.append(said(child))
        if seen[-1] == trap:
            break
    assert seen[-1] == trap or seen == [newer] * 3, seen


@pytest.mark.parametrize("lowat", [1, 1 << 20])
@pytest.mark.parametrize("sent", [0, 1000, 3_000_000])
def test_no_read_gets_past_an_abort(connect: Connect, lowat: int, sent: int) -> None:
    """1. By the writer's end: an alert first, which every read meets; then the reset."""
    pair = connect()
    pair.r.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, lowat)
    child = pair.reads()
    pair.w.sendall(b"x" * sent)
    pair.writer.abort()
    told(pair)
    pair.w.close()
    count, *hows = said(child)
    assert int(count) <= sent and set(hows) <= {"EIO", "ECONNRESET"} and "eof" not in hows


def test_an_abort_waits_for_space(connect: Connect) -> None:
    """1. While a writer fills the queue no alert fits: it must go first. What was sent comes, then EIO."""
    pair = connect()
    writer = pair.writes()
    eventually(lambda: not select.select([], [pair.w], [], 0)[1])
    pair.writer.abort()
    assert pair.writer.pending and not pair.writer.alerted, "an end kills those who hold it"
    writer.kill()
    writer.wait()
    child = pair.reads()
    told(pair)
    assert pair.writer.alerted
    pair.w.close()
    assert said(child)[1] in ("EIO", "ECONNRESET")


def test_an_alert_is_seen_after_the_stage_only(connect: Connect) -> None:
    """2. poll(2) shows nothing of it; a look, after the reader's stage has ended, does. It stays there."""
    pair = connect()
    assert pair.reader.look() == ""
    assert ktls.alert(pair.w)
    eventually(pair.reader.look)
    assert pair.reader.look() == ktls.ALERTED and select.select([pair.r], [], [], 0)[0]
    poll = select.poll()
    poll.register(pair.r, select.POLLRDHUP)
    assert poll.poll(0) == [], "neither an error nor an end"
    with pytest.raises(OSError, match="Input/output error"):
        pair.r.recv(1)


@pytest.mark.parametrize(
    "forge",
    {
        "a bit flipped": lambda raw: raw[:100] + bytes([raw[100] ^ 1]) + raw[101:],
        "replayed": lambda raw: raw[:1046] + raw[:1046],
        "swapped": lambda raw: raw[1046:] + raw[:1046],
        "junk": lambda raw: b"\x17\x03\x03\x04\x11" + os.urandom(0x411),
        "no header": lambda raw: os.urandom(1) + b"\xff\xff\xff\xff" + raw,
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("stage", [False, True], ids=["before a stage", "with a stage"])
def test_a_forged_record_is_no_data_and_no_end(connect: Connect, forge: t.Any, stage: bool) -> None:
    """2. Whether a stage has met it or not: the look says what was wrong."""
    pair = connect()
    _wire, inject = pair.tapped()
    raw = sealed(pair, b"A" * 1024, b"B" * 1024)
    child = pair.reads() if stage else None
    inject.sendall(forge[1](raw))
    inject.shutdown(socket.SHUT_WR)
    if child:
        assert "eof" not in said(child)[1:2]
        found = pair.reader.look()
    else:
        pair.r.settimeout(LONG)
        while not (found := pair.reader.look()):
            assert pair.r.recv(1024) in (b"A" * 1024, b"B" * 1024)
    if child and forge[0] == "no header":
        assert found == "", "the error was the stage's; the records tell"
    else:
        assert found == ktls.FORGED
    assert (pair.records[1] or 0) < 2


def test_a_connection_is_not_dissolved(connect: Connect) -> None:
    """3. connect(2) with AF_UNSPEC is refused; and a writer's SHUT_RDWR is a clean end."""
    pair = connect()
    pair.w.sendall(b"x")
    assert not disconnect(pair.w) and pair.r.recv(10) == b"x"
    pair.w.shutdown(socket.SHUT_RDWR)
    assert pair.r.recv(10) == b""


@pytest.mark.parametrize("who", ["writer", "reader"])
def test_root_resets_it_at_once(connect: Connect, who: str) -> None:
    """3. By netlink, while commands hold it: the other side's gets an error."""
    one, other = tcp()
    with one, other:
        if not ktls.destroy(one):
            pytest.skip("this kernel resets no connections by netlink, or for root only (CONFIG_INET_DIAG_DESTROY)")
    pair = connect()
    writer, child = pair.writes(), pair.reads()
    eventually(lambda: (pair.writer.records() or 0) > 10)
    getattr(pair, who).abort()
    if who == "writer":
        told(pair)
        eventually(lambda: pair.writer.insist() or pair.writer.reset)
        assert writer.wait(LONG) == 1 and said(child)[1] in ("EIO", "ECONNRESET")
    else:
        assert writer.wait(LONG) == 1
    assert tcp_info(pair.w)["state"] == 7


def test_a_reader_in_use_is_broken_by_its_last_close(connect: Connect) -> None:
    """4. So nobody else, such as the guard, may keep it; a reset of ours would be an end of file to its stage."""
    pair = connect()
    assert pair.writer.guarded and not pair.reader.guarded
    child = pair.reads()
    pair.w.sendall(b"x")
    pair.reader.in_use = True
    pair.reader.abort()
    assert pair.reader.pending and pair.r.fileno() == -1 and child.poll() is None
    assert tcp_info(pair.w)["state"] != 7
    child.kill()
    child.wait()
    eventually(lambda: tcp_info(pair.w)["state"] == 7)


NONBLOCKING = """
import os, select
os.set_blocking(1, False)
left = 4_000_000
while left:
    try:
        left -= os.write(1, bytes(min(65536, left)))
    except BlockingIOError:
        select.select([], [1], [])
"""


@pytest.mark.parametrize("restores", [False, True])
def test_a_writer_that_does_not_wait_loses_no_tail(connect: Connect, restores: bool) -> None:
    """5. What the kernel's TLS has accepted and not given to TCP yet: a FIN now would overtake it."""
    for _time in range(3):
        pair = connect()
        writer = pair.writes(NONBLOCKING + ("os.set_blocking(1, True)" if restores else ""))
        time.sleep(0.1)
        child = pair.reads()
        assert writer.wait(LONG) == 0
        eventually(pair.writer.flushed)
        pair.writer.commit()
        assert said(child) == ["4000000", "eof", "eof"] and pair.records[0] == pair.records[1]


def test_a_record_that_was_left_open_is_closed(connect: Connect) -> None:
    """5. By splice(2) and MSG_MORE; no record tells of it, so nobody would miss it."""
    pair = connect()
    child = pair.reads()
    pair.w.send(b"all", socket.MSG_MORE)
    time.sleep(0.05)
    assert pair.records == (0, 0)
    eventually(pair.writer.flushed)
    pair.writer.commit()
    assert said(child) == ["3", "eof", "eof"] and pair.records == (1, 1)


def test_what_is_opened_and_unread_is_counted(connect: Connect) -> None:
    """6. SIOCINQ counts what is sealed, and is 0 with data unread."""
    pair = connect()
    pair.w.sendall(b"x" * 5000)
    eventually(lambda: pair.reader.unread() == 5000)
    assert pair.r.recv(1000) == b"x" * 1000
    assert struct.unpack("i", fcntl.ioctl(pair.r, 0x541B, bytes(4))) == (0,)
    assert pair.reader.unread() == 4000
    pair.reader.keep_figures()
    assert pair.r.recv(5000) == b"x" * 4000 and pair.reader.unread() == 4000, "kept"


def test_a_forged_end_is_found_by_the_records_only(connect: Connect) -> None:
    """7. Whoever is in between can send a FIN; the stage, and poll(2), take it for the end."""
    pair = connect()
    _wire, inject = pair.tapped()
    raw = sealed(pair, b"A" * 1024, b"B" * 1024)
    child = pair.reads()
    inject.sendall(raw[:1046])
    inject.shutdown(socket.SHUT_WR)
    assert said(child) == ["1024", "eof", "eof"] and pair.reader.look() == ""
    assert pair.records == (2, 1)


def test_a_stage_can_read_its_key(connect: Connect) -> None:
    """8. The fact, as the guide says it: getsockopt(2) gives a link's key to whoever holds the link."""
    pair = connect()
    sends, _receives = keys.both(pair.agreed, pair.cipher, True)
    assert sends[0] in pair.w.getsockopt(282, 1, 56)


def test_plain_bytes_are_refused_once_armed(connect: Connect) -> None:
    pair = connect()
    _wire, inject = pair.tapped()
    inject.sendall(b"GET / HTTP/1.0\r\n\r\n")
    eventually(lambda: pair.reader.look() == ktls.FORGED)


def test_what_was_queued_before_stays_plain(connect: Connect) -> None:
    """The writer's confirmation leaves as it is, and the first record follows it in the same stream."""
    pair = connect()
    one, other = tcp()
    with one, other:
        sends, receives = keys.both(pair.agreed, pair.cipher, True)
        one.sendall(b"plain")
        ktls.arm(one, pair.cipher, sends, receives)
        one.sendall(b"first")
        assert other.recv(5, socket.MSG_WAITALL) == b"plain"
        ktls.arm(other, pair.cipher, receives, sends)
        assert other.recv(100) == b"first"


def test_a_key_is_worn_out(connect: Connect) -> None:
    assert keys.AES.most + keys.UNCHECKED == int(2**24.5) and not keys.CHACHA20.most
    pair = connect("aes-256-gcm")
    assert pair.writer.worn_out() == ""
    pair.cipher.most, most = 1, pair.cipher.most
    try:
        pair.w.sendall(b"x")
        assert pair.writer.worn_out() == "aes-256-gcm"
        assert pair.r.recv(1) == b"x" and pair.reader.worn_out() == ""
    finally:
        pair.cipher.most = most


@pytest.mark.parametrize(
    ("script", "tick"),
    [
        pytest.param("yes", 0.2, id="endless"),
        pytest.param("head -c 2000000 /dev/zero", 600, id="over before it is noticed"),
    ],
)
def test_a_link_whose_key_is_worn_out_is_never_ok(
    kernel_tls: None, launch: Launch, tmp_path: Path, script: str, tick: float
) -> None:
    seen = tmp_path / "seen"
    source = sh("input", "echo; " + started(seen) + script)
    plan = make_plan(("a", source), ("b", record("output", seen)), kernel_tls="must")
    cause = launch(plan, LIMIT, patience={"tick": tick}).wait().cause()
    assert cause["kind"] == "key used up" and recorded(seen)["how"] != "eof"
    assert "aborted: one key of aes-256-gcm may encrypt no more" in cause["msg"]


def test_a_link_within_the_limit_of_its_key(kernel_tls: None, launch: Launch) -> None:
    plan = make_plan(("a", sh("input", "head -c 300000 /dev/zero")), ("b", sh("output", "wc -c")), kernel_tls="must")
    ends = launch(plan, LIMIT).wait().ok()
    assert ends.side("input", "W")["encryption"]["cipher"] == "aes-256-gcm"
