# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One side of a link on real sockets: what the other side gets to see, and what is latched."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import (
    figures,
    kernel,
    link,
    processes,
    transport,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.connect import Connection
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.encrypted import loopback_pair
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import events, tcp_info, unsent
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.link import Side
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.sides import local_sides, tcp_side
from ansible_collections.plumbing.socketpipe.tests.unit.ends import eventually

MEGA = 1 << 20
STALLED = {"kind": "stalled", "seconds": 5}
TCP_LINGER2 = 8  # linux/tcp.h: how long an orphan stays in FIN_WAIT2
CLOSE = kernel.TCP_CLOSE


class Pair:
    """Both sides of one TCP link in this process."""

    def __init__(self, **spec: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname())
            far = server.accept()[0]
        for sock in (near, far):
            kernel.set_linger(sock, True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as in the handshake
        plain = {"id": "link", "full_reads": 0, "dead_peer": 0, "barrier": False, "encryption": None}
        self.spec = {**plain, **spec}
        self.writer, self.reader = self.side(near, "W"), self.side(far, "R")

    def side(self, sock: socket.socket, name: str) -> Side:
        connection = Connection(sock, cast(Any, None), None)
        connection.counted = tcp_info(sock)
        return tcp_side({**self.spec, "side": name}, connection)

    def look(self, side: Side, timeout: float = 0.0) -> Side:
        """As the end does it: latch what poll(2) says."""
        wanted = side.wanted()
        if wanted is not None:
            side.notice(events({side.sock.fileno(): wanted}, timeout).get(side.sock.fileno(), 0))
        return side

    def until(self, side: Side, *states: str) -> Side:
        eventually(lambda: self.look(side, 0.05).state in states, lambda: "%s, not %s" % (side.state, states), 10)
        return side

    def close(self) -> None:
        for side in (self.writer, self.reader):
            side.sock.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


@pytest.fixture
def local() -> Iterator[tuple[Side, Side]]:
    sides = local_sides({"id": "link", "side": "local", "full_reads": 0})
    yield sides
    for side in sides:
        side.sock.close()


def received(sock: socket.socket) -> tuple[int, str]:
    """All bytes that come, and how they ended: "eof" or the error's name."""
    count = 0
    sock.settimeout(10)
    try:
        while True:
            chunk = sock.recv(65536)
            if not chunk:
                return count, "eof"
            count += len(chunk)
    except OSError as exc:
        return count, errno.errorcode.get(exc.errno or 0, str(exc))


def fill(sock: socket.socket) -> int:
    """Write until all buffers are full; returns how much that was."""
    sent = 0
    sock.setblocking(False)
    try:
        while True:
            sent += sock.send(b"x" * 65536)
    except BlockingIOError:
        sock.setblocking(True)
        return sent


def holder(sock: socket.socket) -> subprocess.Popen[bytes]:
    """A process that keeps a socket open and does nothing with it."""
    code = "import time; print(1, flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-IS", "-c", code], stdin=sock.fileno(), stdout=subprocess.PIPE, env={**os.environ}
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def keep() -> Iterator[Callable[[socket.socket], subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(sock: socket.socket) -> subprocess.Popen[bytes]:
        processes.append(holder(sock))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


# -- commit and abort


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_commit_is_an_end_of_file(pair: Pair, size: int) -> None:
    pair.writer.sock.sendall(b"x" * size)
    pair.writer.commit()
    assert received(pair.reader.sock) == (size, "eof")
    pair.until(pair.reader, link.EOF)
    pair.reader.finish()
    pair.reader.part()
    pair.writer.drained()
    assert (pair.writer.state, pair.reader.state) == (link.DONE, link.READ)
    for side in (pair.writer, pair.reader):
        report = figures.report(side, 0.0)
        assert report["bytes"] == size and not report["problem"]
    assert figures.report(pair.reader, 0.0)["unread"] == 0


def test_closing_without_a_commit_is_a_reset(pair: Pair) -> None:
    pair.writer.sock.sendall(b"x" * 10)
    pair.writer.sock.close()
    assert received(pair.reader.sock)[1] == "ECONNRESET"


def test_abort_reaches_the_reader_at_once_even_while_somebody_holds_the_socket(
    pair: Pair, keep: Callable[[socket.socket], subprocess.Popen[bytes]]
) -> None:
    held = keep(pair.writer.sock)
    pair.writer.sock.sendall(b"x" * 10)
    pair.writer.abort(STALLED)
    assert received(pair.reader.sock)[1] == "ECONNRESET"
    pair.until(pair.reader, link.RESET)
    assert pair.writer.state == link.ABORTED and figures.report(pair.writer, 0.0)["problem"] == STALLED
    assert held.poll() is None


def test_closing_alone_does_not_while_somebody_holds_the_socket(
    pair: Pair, keep: Callable[[socket.socket], subprocess.Popen[bytes]]
) -> None:
    """Why abort is a disconnect and not a close."""
    keep(pair.writer.sock)
    pair.writer.sock.close()
    pair.reader.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        pair.reader.sock.recv(1)


def test_abort_of_the_reader_stops_the_writer(pair: Pair) -> None:
    pair.reader.abort()
    pair.until(pair.writer, link.RESET)
    with pytest.raises(OSError):
        for _time in range(100):
            pair.writer.sock.send(b"x")


def test_abort_twice_and_after_the_end_does_nothing(pair: Pair) -> None:
    pair.writer.commit()
    pair.until(pair.reader, link.EOF)
    pair.reader.finish()
    pair.reader.part()
    eventually(lambda: pair.writer.drained() or pair.writer.state == link.DONE, "not done", 10)
    eventually(lambda: pair.look(pair.writer).parted, "not parted", 10)
    for side in (pair.writer, pair.reader):
        side.abort(STALLED)
    assert (pair.writer.state, pair.reader.state) == (link.DONE, link.READ)
    assert not pair.writer.problem


def test_abort_after_commit_is_still_a_reset(pair: Pair) -> None:
    """The reader has not read it all: a controller that is gone must not leave it with a clean end."""
    fill(pair.writer.sock)
    pair.writer.commit()
    pair.writer.drained()
    assert pair.writer.state == link.COMMITTED  # there are bytes on the way
    pair.writer.abort({"kind": "cancelled"})
    assert received(pair.reader.sock)[1] == "ECONNRESET"


def test_leave_tells_the_writer(pair: Pair) -> None:
    pair.writer.sock.sendall(b"x" * 10)
    pair.reader.leave()
    pair.until(pair.writer, link.RESET)
    assert pair.reader.state == link.LEFT and figures.report(pair.reader, 0.0)["state"] == "left"


def test_a_commit_on_a_broken_link_is_no_commit(pair: Pair) -> None:
    pair.reader.abort()
    eventually(lambda: tcp_info(pair.writer.sock)["state"] == CLOSE, "not closed", 10)
    pair.writer.commit()
    assert pair.writer.state == link.RESET


def test_committed_is_not_done_before_all_is_acknowledged(pair: Pair) -> None:
    sent = fill(pair.writer.sock)
    pair.writer.commit()
    pair.writer.drained()
    pair.look(pair.writer)
    assert pair.writer.state == link.COMMITTED and unsent(pair.writer.sock) > 0
    assert received(pair.reader.sock) == (sent, "eof")
    eventually(lambda: pair.writer.drained() or pair.writer.state == link.DONE, "not done", 10)
    assert pair.writer.bytes() == sent


def test_the_reader_goes_after_a_commit(pair: Pair) -> None:
    """It did not read it all: that is no success."""
    fill(pair.writer.sock)
    pair.writer.commit()
    pair.reader.sock.close()
    pair.until(pair.writer, link.RESET)
    pair.writer.drained()
    pair.look(pair.writer)
    assert figures.report(pair.writer, 0.0)["state"] == link.RESET


# -- a reader that has shut down its own sending side


def test_a_reader_that_is_half_closed(pair: Pair) -> None:
    """It has no use for that side, and socat for one shuts it: both ends still see an end of file."""
    pair.reader.sock.shutdown(socket.SHUT_WR)
    sent = fill(pair.writer.sock)
    assert pair.look(pair.writer).state == link.OPEN
    pair.writer.commit()
    pair.look(pair.writer)
    assert pair.writer.state == link.COMMITTED and pair.writer.wanted() is None
    assert received(pair.reader.sock) == (sent, "eof")
    pair.until(pair.reader, link.EOF)
    pair.reader.finish()
    pair.reader.part()
    eventually(lambda: pair.writer.drained() or pair.writer.state == link.DONE, "not done", 10)
    eventually(lambda: not pair.look(pair.writer).lingers, "it still waits", 10)
    assert (pair.writer.bytes(), pair.reader.bytes(), pair.reader.unread()) == (sent, sent, 0)


def test_a_half_closed_reader_dies(pair: Pair) -> None:
    pair.reader.sock.shutdown(socket.SHUT_WR)
    fill(pair.writer.sock)
    pair.writer.commit()
    pair.look(pair.writer)
    pair.reader.abort()
    eventually(lambda: pair.writer.drained() or pair.writer.state == link.RESET, "not seen", 10)


def test_a_reset_of_a_half_closed_reader_is_no_end_of_file(pair: Pair) -> None:
    """poll(2) says the same of both, once the error was read."""
    pair.reader.sock.shutdown(socket.SHUT_WR)
    pair.writer.abort()
    eventually(lambda: tcp_info(pair.reader.sock)["state"] == CLOSE, "no reset", 10)
    with pytest.raises(ConnectionResetError):
        pair.reader.sock.recv(10)
    pair.until(pair.reader, link.RESET)


def test_addresses_as_the_kernel_shows_them(pair: Pair) -> None:
    table, row = cast(transport.Tcp, pair.reader.transport).row
    with open(table, encoding="ascii") as lines:
        assert any(" %s 01 " % row in line for line in lines)  # 01: established
    assert not kernel.in_time_wait((table, row)) and not kernel.in_time_wait(("/no/such/table", row))


@pytest.mark.parametrize(("state", "closed"), [("06", True), ("0B", True), ("01", False), ("07", False), ("08", False)])
def test_both_may_close_at_the_same_moment(tmp_path: Path, state: str, closed: bool) -> None:
    """Then the first to close is closing (0B) before it is in TIME_WAIT."""
    table = tmp_path / "tcp"
    table.write_text(" 1: 0100007F:1F90 0100007F:0050 08 0\n 2: 0100007F:0016 0100007F:0050 %s 0\n" % state)
    assert kernel.in_time_wait((str(table), "0100007F:0016 0100007F:0050")) is closed


# -- a kernel that does not let us reset what somebody sleeps in


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EOPNOTSUPP])
def test_abort_never_raises(pair: Pair, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    answers = [code, code]
    real = kernel.c_connect

    def connect(*args: Any) -> int:
        if not answers:
            return int(real(*args))
        ctypes.set_errno(answers.pop())
        return -1

    monkeypatch.setattr(kernel, "c_connect", connect)
    pair.writer.sock.send(b"x")
    pair.writer.abort(STALLED)
    assert (pair.writer.state, pair.writer.busy, pair.writer.problem) == (link.ABORTED, True, STALLED)
    pair.writer.insist()
    assert pair.writer.busy
    pair.writer.insist()
    assert not pair.writer.busy
    assert received(pair.reader.sock)[1] == "ECONNRESET"


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (kernel.become_subreaper, (kernel.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)),
        (lambda: kernel.signal_on_death(15), (kernel.PR_SET_PDEATHSIG, 15, 0, 0, 0)),
    ],
    ids=["become_subreaper", "signal_on_death"],
)
def test_a_kernel_that_refuses_to_look_after_orphans(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], None], asked: tuple[int, ...]
) -> None:
    """As under seccomp: whoever goes on without would leave something running."""
    said: list[tuple[int, ...]] = []

    def prctl(*args: int) -> int:
        said.append(args)
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(kernel, "c_prctl", prctl)
    with pytest.raises(PermissionError, match=os.strerror(errno.EPERM)):
        call()
    assert said == [asked]


@pytest.mark.parametrize(("asked", "got"), [(6, 1), (120, 20), (10**9, 32767)])
def test_keepalive_takes_any_time(pair: Pair, asked: int, got: int) -> None:
    kernel.keep_alive(pair.writer.sock, asked)
    assert pair.writer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == got


@pytest.mark.parametrize(
    ("answer", "rate", "second"),
    [
        (lambda given: given, 5 * MEGA, None),
        (lambda given: given, 2**40, None),
        (lambda given: given[:4], 5 * MEGA, None) if sys.byteorder == "little" else (lambda given: given[4:], 5, None),
        (lambda given: struct.pack("=I", 0), 5 * MEGA, 5 * MEGA),  # the wrong half, where the highest byte is first
        (lambda given: struct.pack("=I", 0), 2**40, 0xFFFFFFFF),
    ],
)
def test_pace_sees_what_the_kernel_took(answer: Callable[[bytes], bytes], rate: int, second: int | None) -> None:
    """Before Linux 4.20 it takes 32 of the 64 bits."""
    given: list[bytes] = []

    class Kernel:
        def setsockopt(self, level: int, option: int, value: bytes) -> None:
            given.append(value)

        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            return answer(given[-1])

    kernel.pace(cast(Any, Kernel()), rate)
    assert given == [struct.pack("=Q", rate)] + ([] if second is None else [struct.pack("=I", second)])


# -- FIN or RST


def test_a_reset_is_never_an_end_of_file(pair: Pair) -> None:
    """Latched by the end even when a child has eaten the error, so that only a hang-up is left."""
    pair.writer.sock.sendall(b"x")
    pair.writer.abort()
    eventually(lambda: tcp_info(pair.reader.sock)["state"] == CLOSE, "no reset", 10)
    with pytest.raises(ConnectionResetError):
        received_byte = pair.reader.sock.recv(10)
        pair.reader.sock.recv(10)
        assert received_byte
    assert pair.reader.sock.recv(1) == b""  # this is what the second cat of `cat; cat` sees
    pair.until(pair.reader, link.RESET)


@pytest.mark.parametrize(
    ("writer", "state", "found", "after"),
    [
        (False, link.OPEN, 0, link.OPEN),
        (False, link.OPEN, select.POLLIN, link.OPEN),
        (False, link.OPEN, select.POLLRDHUP, link.EOF),
        (False, link.OPEN, select.POLLRDHUP | select.POLLIN, link.EOF),
        (False, link.OPEN, select.POLLRDHUP | select.POLLHUP, link.RESET),
        (False, link.OPEN, select.POLLRDHUP | select.POLLERR, link.RESET),
        (False, link.OPEN, select.POLLERR | select.POLLHUP, link.RESET),
        (False, link.OPEN, select.POLLHUP, link.RESET),
        (False, link.EOF, select.POLLERR | select.POLLHUP, link.EOF),
        (False, link.READ, select.POLLHUP, link.READ),
        (True, link.OPEN, select.POLLERR | select.POLLHUP, link.RESET),
        (True, link.OPEN, select.POLLHUP, link.RESET),
        (True, link.OPEN, 0, link.OPEN),
        (True, link.COMMITTED, select.POLLHUP, link.DONE),
        (True, link.COMMITTED, select.POLLHUP | select.POLLERR, link.RESET),
        (True, link.DONE, select.POLLHUP | select.POLLERR, link.DONE),
        (True, link.ABORTED, select.POLLHUP | select.POLLERR, link.ABORTED),
    ],
)
def test_notice(pair: Pair, writer: bool, state: str, found: int, after: str) -> None:
    side = pair.writer if writer else pair.reader
    side.state = state
    side.notice(found)
    assert side.state == after


def test_the_first_event_stays(pair: Pair) -> None:
    """A reset after a clean end does not undo the end (the event is dropped once seen: it is level-triggered)."""
    pair.writer.sock.sendall(b"abc")
    pair.writer.commit()
    pair.until(pair.reader, link.EOF)
    assert pair.reader.wanted() is None
    assert received(pair.reader.sock) == (3, "eof")


# -- counting


@pytest.mark.parametrize("dialler_writes", [True, False])
def test_bytes_are_exact_on_both_sides(dialler_writes: bool) -> None:
    """The dialling side's SYN counts, and so does a FIN: both are taken off."""
    pair = Pair()
    if not dialler_writes:
        near, far = pair.writer.sock, pair.reader.sock
        pair.writer, pair.reader = pair.side(far, "W"), pair.side(near, "R")
    assert (pair.writer.bytes(), pair.reader.bytes()) == (0, 0)
    pair.writer.sock.sendall(b"x" * 1234)
    eventually(lambda: unsent(pair.writer.sock) == 0, "not sent", 10)
    assert (pair.writer.bytes(), pair.reader.bytes()) == (1234, 1234)
    assert pair.reader.unread() == 1234
    pair.writer.commit()
    pair.until(pair.reader, link.EOF)
    assert (pair.writer.bytes(), pair.reader.bytes()) == (1234, 1234)
    assert received(pair.reader.sock) == (1234, "eof")
    pair.reader.finish()
    pair.reader.part()
    eventually(lambda: pair.writer.drained() or pair.writer.state == link.DONE, "not done", 10)
    assert (pair.writer.bytes(), pair.reader.bytes()) == (1234, 1234)
    pair.close()


def test_what_was_said_before_does_not_count() -> None:
    pair = Pair()
    pair.writer.sock.sendall(b"h" * 100)  # a handshake
    assert pair.reader.sock.recv(100)
    eventually(lambda: unsent(pair.writer.sock) == 0, "not sent", 10)
    writer, reader = pair.side(pair.writer.sock, "W"), pair.side(pair.reader.sock, "R")
    writer.sock.sendall(b"x" * 7)
    eventually(lambda: unsent(writer.sock) == 0, "not sent", 10)
    assert (writer.bytes(), reader.bytes()) == (7, 7)
    pair.close()


def test_a_figure_that_is_not_there_is_none(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old kernels have a shorter struct tcp_info."""
    real = pair.writer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)

    class Old:
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            return real[:104]  # Linux 3.0

    info = tcp_info(cast(Any, Old()))
    assert info["rtt"] is not None and info["retransmits"] == 0
    missing = ("bytes_acked", "bytes_received", "segs_in", "busy_time", "rwnd_limited")
    assert {name: info[name] for name in missing} == dict.fromkeys(missing)

    monkeypatch.setattr(transport, "tcp_info", lambda sock: tcp_info(cast(Any, Old())))
    side = pair.side(pair.writer.sock, "W")
    cast(transport.Tcp, side.transport).base = None
    side.check(time.monotonic() + 1000)
    assert side.state == link.OPEN
    report = figures.report(side, 0.0)
    assert report["bytes"] is None and report["retransmits"] == 0
    assert report["waited"] == {"receiver": None, "buffer": None, "busy": None}


# -- giving up


def test_stall_timeout(pair: Pair) -> None:
    for side in (pair.writer, pair.reader):
        side.spec["stall_timeout"] = 5
        began = time.monotonic()
        side.check(began + 4)
        assert side.state == link.OPEN
    pair.writer.sock.sendall(b"x")
    eventually(lambda: unsent(pair.writer.sock) == 0, "not sent", 10)
    for side in (pair.writer, pair.reader):
        side.check(began + 6)  # something has moved since
        side.check(began + 10)
        assert side.state == link.OPEN
    pair.writer.check(began + 12)
    assert pair.writer.state == link.ABORTED
    assert pair.writer.problem == STALLED
    assert received(pair.reader.sock)[1] == "ECONNRESET"


def test_a_writer_waits_for_a_reader_that_still_works(pair: Pair) -> None:
    """All has arrived; but the reader's host may yet go, and nothing else would tell of it."""
    side = pair.writer
    side.commit()
    pair.until(pair.reader, link.EOF)
    eventually(lambda: side.drained() or side.state == link.DONE, "not done", 10)
    assert side.lingers and side.ended_at is not None
    pair.reader.finish()
    assert pair.look(side, 0.1).lingers  # its stage is over, others of its host may not be
    pair.reader.part()
    eventually(lambda: not pair.look(side).lingers, "it still waits", 10)
    assert side.state == link.DONE and not side.problem


def test_a_reader_that_dies_while_it_works(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    side = pair.writer
    side.spec.update(dead_peer=120, stall_timeout=5)
    side.commit()
    eventually(lambda: side.drained() or side.state == link.DONE, "not done", 10)
    now = time.monotonic()
    side.check(now)
    side.check(now + 100)
    assert side.lingers, "a sink that works is no stall"
    side.check(now + 121)
    assert side.state == link.ABORTED and side.problem["kind"] == "dead peer"


def test_dead_peer_is_not_a_peer_that_does_not_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is whether anything is heard: answers to probes grow segs_in although no byte moves."""
    heard = {"segs_in": 1}
    monkeypatch.setattr(transport, "tcp_info", lambda sock: {**tcp_info(sock), **heard})
    side = pair.writer
    side.spec["dead_peer"] = 120
    began = time.monotonic()
    for at in range(0, 600, 60):
        heard["segs_in"] += 1
        side.check(began + at)
    assert side.state == link.OPEN
    side.check(began + 540 + 119)
    assert side.state == link.OPEN
    side.check(began + 540 + 121)
    assert side.state == link.ABORTED and side.problem["kind"] == "dead peer"


def test_keepalive_is_on_and_user_timeout_is_not() -> None:
    """TCP_USER_TIMEOUT counts the time of a closed window: it would kill a reader that changes its tape."""
    pair = Pair(dead_peer=120)
    for side in (pair.writer, pair.reader):
        get = side.sock.getsockopt
        assert get(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, interval, count = (
            get(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle <= 20 and interval <= 20  # several times in dead_peer
        assert idle + interval * count > 120  # it is the end that gives up, and can say why
        assert get(socket.IPPROTO_TCP, 18) == 0  # TCP_USER_TIMEOUT
    pair.close()


def test_a_link_is_made_ready(pair: Pair) -> None:
    for side in (pair.writer, pair.reader):
        assert os.get_blocking(side.sock.fileno())
        assert side.sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\0\0\0\0"
        assert side.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1  # as the handshake has set it
        assert not os.get_inheritable(side.sock.fileno())


def test_a_writer_queues_little_beyond_what_is_on_its_way(pair: Pair) -> None:
    """Otherwise the queue grows out of the caches, which halves the rate within a site."""
    assert pair.writer.sock.getsockopt(socket.IPPROTO_TCP, kernel.TCP_NOTSENT_LOWAT) == kernel.UNSENT_MOST == 256 * 1024
    assert pair.reader.sock.getsockopt(socket.IPPROTO_TCP, kernel.TCP_NOTSENT_LOWAT) != kernel.UNSENT_MOST
    within = loopback_pair(10)[0].sock  # of a relay, to a reader that needs whole blocks
    assert within.getsockopt(socket.IPPROTO_TCP, kernel.TCP_NOTSENT_LOWAT) == kernel.UNSENT_MOST


def test_the_writer_has_the_congestion_control_of_the_plan() -> None:
    made = Pair(congestion_control="reno")
    read = made.writer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    assert read.rstrip(b"\0") == b"reno"
    made.close()


def test_a_kernel_without_that_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "TCP_NOTSENT_LOWAT", 9999)  # Linux before 3.12: ENOPROTOOPT
    made = Pair()
    made.writer.sock.sendall(b"x")
    made.close()


# -- what a reader left


@pytest.mark.parametrize(
    ("data", "result"),
    [
        (b"", True),
        (b"\0", True),
        (b"\0" * 200_000, True),
        (b"\0" * 200_001, False),
        (b"x", False),
        (b"\0" * 100_000 + b"x", False),
        (b"x" + b"\0" * 100_000, False),
    ],
)
def test_drain(pair: Pair, data: bytes, result: bool) -> None:
    pair.reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MEGA)
    pair.writer.sock.sendall(data)
    pair.writer.commit()
    pair.until(pair.reader, link.EOF)
    assert pair.reader.drain(200_000) is result
    if result:
        pair.reader.finish()
        pair.reader.part()
        assert (pair.reader.padding, pair.reader.bytes(), pair.reader.unread()) == (len(data), len(data), 0)


def test_drain_waits_for_the_end(pair: Pair) -> None:
    pair.writer.sock.sendall(b"\0" * 10)
    eventually(lambda: pair.reader.unread() == 10, "nothing came", 10)
    assert pair.reader.drain(10) is None
    assert pair.reader.drain(10) is None
    pair.writer.commit()
    eventually(lambda: pair.reader.drain(10), "no end", 10)
    assert pair.reader.state == link.EOF and pair.reader.padding == 10


def test_drain_of_a_reset(pair: Pair) -> None:
    pair.writer.abort()
    eventually(lambda: tcp_info(pair.reader.sock)["state"] == CLOSE, "no reset", 10)
    assert pair.reader.drain(10) is False
    assert pair.reader.state == link.RESET


def test_finish_when_the_writers_host_has_forgotten_the_connection(pair: Pair) -> None:
    """A slow reader after the writer's end is over: its keepalive probes are answered with a reset.

    All had been sent and read, and the end of file had come: a reset after that takes nothing away.
    """
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        pair.reader.sock.setsockopt(socket.IPPROTO_TCP, option, 1)
    pair.reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    pair.writer.sock.setsockopt(socket.IPPROTO_TCP, TCP_LINGER2, 1)
    pair.writer.sock.sendall(b"x" * 10)
    pair.writer.commit()
    pair.until(pair.reader, link.EOF)
    eventually(lambda: pair.writer.drained() or pair.writer.state == link.DONE, "not done", 10)
    pair.writer.sock.close()
    eventually(lambda: tcp_info(pair.reader.sock)["state"] == CLOSE, "no reset", 30)
    assert received(pair.reader.sock) == (10, "eof")
    pair.reader.finish()
    pair.reader.part()
    assert pair.reader.state == link.READ
    assert figures.report(pair.reader, 0.0)["bytes"] == 10 and figures.report(pair.reader, 0.0)["unread"] == 0


def test_full_reads(pair: Pair) -> None:
    """A read returns with all it asked for, or at the end."""
    pair.reader.spec["full_reads"] = 1000
    pair.reader.start_reading()
    assert not pair.reader.warnings
    pair.writer.sock.sendall(b"x" * 999)
    eventually(lambda: pair.reader.unread() == 999, "nothing came", 10)
    sizes: list[int] = []

    def read() -> None:
        for _time in range(3):
            sizes.append(len(pair.reader.sock.recv(5000)))

    reading = threading.Thread(target=read)
    reading.start()
    eventually(lambda: pair.reader.unread() == 0, "not taken", 10)
    # the kernel wakes a reader that has begun to wait only for as many bytes again, or for the end: we do for less
    pair.writer.sock.sendall(b"x" * 10)
    eventually(lambda: pair.reader.unread() == 10, "nothing came", 10)
    assert not sizes
    pair.reader.wake(time.monotonic() + 1)
    eventually(lambda: sizes, "not woken", 10)
    pair.writer.sock.sendall(b"x" * 10)
    eventually(lambda: pair.reader.unread() == 10, "nothing came", 10)
    for ahead in range(2, 9):
        pair.reader.wake(time.monotonic() + ahead)  # too little for a read that asks for more
    assert sizes == [1009]
    pair.writer.commit()
    reading.join(10)
    assert sizes == [1009, 10, 0]


def test_half_of_the_buffer_is_the_most_for_who_polls(pair: Pair) -> None:
    """Before Linux 4.17 the buffer does not grow with SO_RCVLOWAT, and poll(2) would wait for ever for more."""
    real = pair.reader.sock

    class Old:
        def setsockopt(self, level: int, option: int, value: int) -> None:
            real.setsockopt(level, option, value)

        def getsockopt(self, level: int, option: int) -> int:
            return 87380 if option == socket.SO_RCVBUF else real.getsockopt(level, option)

    old = cast(Any, Old())
    assert kernel.full_reads(old, MEGA) == MEGA
    assert kernel.full_reads(old, MEGA, polled=True) == 43690
    assert kernel.full_reads(real, MEGA, polled=True) == MEGA


def test_full_reads_says_when_the_kernel_grants_less(pair: Pair) -> None:
    pair.reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    pair.reader.spec["full_reads"] = MEGA
    small = {"kind": "small packets", "address": "", "peer": "", "segment": 1220}
    pair.reader.warnings.append(small)  # as main does, when the reader's end has dialled
    pair.reader.start_reading()
    other, warning = pair.reader.warnings
    assert other is small
    assert (warning["kind"], warning["asked"]) == ("full reads", MEGA) and warning["granted"] < MEGA


def test_a_first_byte_or_an_end_makes_it_readable(pair: Pair) -> None:
    assert not pair.reader.readable()
    pair.writer.sock.sendall(b"x")
    eventually(pair.reader.readable, "nothing came", 10)
    second = Pair()
    second.writer.commit()
    eventually(lambda: second.look(second.reader).readable(), "no end", 10)
    second.close()


# -- two neighbours on one host


def test_local_commit(local: tuple[Side, Side]) -> None:
    writer, reader = local
    writer.sock.send(b"abc")
    assert reader.readable()
    writer.commit()
    assert received(reader.sock) == (3, "eof")
    assert (writer.state, reader.state) == (link.DONE, link.EOF)
    reader.finish()
    assert reader.state == link.READ
    assert figures.report(writer, 0.0)["bytes"] is None


def test_local_death_is_a_reset(local: tuple[Side, Side]) -> None:
    writer, reader = local
    writer.sock.send(b"abc")
    writer.sock.close()
    assert received(reader.sock)[1] == "ECONNRESET"


def test_local_abort(local: tuple[Side, Side]) -> None:
    writer, reader = local
    writer.abort()
    assert received(reader.sock)[1] == "ECONNRESET"
    assert (writer.state, reader.state) == (link.ABORTED, link.RESET)


@pytest.mark.parametrize("how", ["abort", "leave"])
def test_local_reader_stops(local: tuple[Side, Side], how: str) -> None:
    writer, reader = local
    getattr(reader, how)()
    with pytest.raises(BrokenPipeError):
        writer.sock.send(b"x")
    assert writer.state == link.RESET
    figures.report(writer, 0.0), figures.report(reader, 0.0)


def test_local_drain_and_full_reads(local: tuple[Side, Side]) -> None:
    writer, reader = local
    reader.spec["full_reads"] = MEGA
    reader.start_reading()
    writer.sock.send(b"\0" * 100)
    assert reader.unread() == 100
    assert reader.drain(100) is None
    writer.commit()
    assert reader.drain(100) is True


def test_a_stage_that_reads_its_own_output(local: tuple[Side, Side]) -> None:
    """It takes the byte that is our surety: that is no error of ours."""
    writer, reader = local
    assert writer.sock.recv(10) == b"\0"
    writer.commit()
    assert received(reader.sock) == (0, "eof") and writer.state == link.DONE


def test_local_reports_survive_everything(local: tuple[Side, Side]) -> None:
    writer, reader = local
    writer.abort()
    reader.abort()
    for side in local:
        side.sock.close()
        assert figures.report(side, 0.0)["id"] == "link"


# -- the kernel's interfaces


def test_has_open(pair: Pair, keep: Callable[[socket.socket], subprocess.Popen[bytes]]) -> None:
    process = keep(pair.writer.sock)
    assert processes.has_open(process.pid, {pair.writer.inode}) == processes.HAS
    assert processes.has_open(process.pid, {pair.reader.inode}) == ""
    with pytest.raises(processes.Changed):  # gone, and what it has left is elsewhere now
        processes.has_open(2**22 + 1, {pair.reader.inode})


def test_descendants() -> None:
    script = "sleep 600 & sh -c 'sleep 600 & wait' & echo $$; wait"
    process = subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True, env={**os.environ}
    )
    try:
        found = eventually(
            lambda: f if list((f := processes.descendants(process.pid)).values()).count("sleep") == 2 else None,
            "not started",
            10,
        )
        assert sorted(found.values()) == ["sh", "sleep", "sleep"]
        assert process.pid in processes.descendants(os.getpid())
    finally:
        for pid in [process.pid, *processes.descendants(process.pid)]:
            os.kill(pid, 9)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(
    ("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (13, "SIGPIPE"), (11, "SIGSEGV"), (77, "signal 77")]
)
def test_signal_name(number: int, name: str) -> None:
    assert kernel.signal_name(number) == name


def test_kill_of_nobody() -> None:
    assert processes.kill([2**22 + 1], 9) == []


@pytest.mark.parametrize(("timeout", "least"), [(0.0, 0.0), (0.0001, 0.0001), (0.05, 0.05), (-5.0, 0.0)])
def test_events_sleeps_long_enough(timeout: float, least: float) -> None:
    """Never less than asked: a loop that waits for a time would spin."""
    began = time.monotonic()
    assert kernel.events({}, timeout) == {}
    assert time.monotonic() - began >= least
