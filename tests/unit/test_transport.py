# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations on the socket of a link, each on real sockets, and what the kernel is told of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import congestion, transport
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import (
    TCP_CLOSE,
    TCP_FIN_WAIT2,
    TCP_TIME_WAIT,
    set_linger,
    tcp_info,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.keys import AES
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.ktls_transport import KernelTls
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.transport import Tcp, Transport, local_pair

Pair = tuple[Tcp, Tcp]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """(writer, reader): a connection as the handshake leaves it, with a last close that resets it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other = listener.accept()[0]
    other.settimeout(20)
    for sock in (one, other):
        set_linger(cast(Any, sock), True)
    made = Tcp(cast(Any, one), True, tcp_info(one)), Tcp(cast(Any, other), False, tcp_info(other))
    yield made
    one.close()
    other.close()


def linger(sock: Any) -> bytes:
    return bytes(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))


ON, OFF = (1).to_bytes(4, "little") + bytes(4), bytes(8)


# -- TCP


def test_a_commit_is_the_end_of_file(pair: Pair) -> None:
    """And then a close is orderly."""
    writer, reader = pair
    assert linger(writer.sock) == ON
    writer.sock.send(b"data")
    writer.commit()
    assert linger(writer.sock) == OFF
    assert reader.sock.recv(10) == b"data" and reader.sock.recv(10) == b""
    assert not writer.pending and not reader.is_closed()


@pytest.mark.parametrize("side", [0, 1], ids=["writer", "reader"])
def test_an_abort_is_an_error_for_the_other_side(pair: Pair, side: int) -> None:
    aborted, other = pair[side], pair[1 - side]
    assert not aborted.is_closed()
    aborted.abort()
    assert not aborted.pending and aborted.is_closed()
    if side == 0:  # the other one may see an end of file first
        with pytest.raises(ConnectionResetError):
            other.sock.recv(1)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while True:
            other.sock.send(b"x")


def test_a_reader_that_aborts_shuts_its_own_side_first(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    """So a reset that comes later is a SIGPIPE for the writer, as in a shell."""
    did: list[Any] = []
    for side in pair:
        monkeypatch.setattr(side, "_shut", did.append)
        monkeypatch.setattr(transport, "disconnect", lambda _sock: did.append("reset"))
        side.abort()
    assert did == ["reset", socket.SHUT_WR, "reset"]


@pytest.mark.parametrize("allowed", [True, False])
def test_a_reset_that_is_not_allowed_yet_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, pair: Pair, allowed: bool
) -> None:
    tried: list[Any] = []

    def disconnect(sock: Any) -> bool:
        tried.append(sock)
        return allowed

    monkeypatch.setattr(transport, "disconnect", disconnect)
    writer = pair[0]
    writer.insist()
    assert tried == [] and not writer.pending
    writer.abort()
    assert len(tried) == 1 and writer.pending is not allowed
    writer.insist()
    assert len(tried) == (1 if allowed else 2) and writer.pending is not allowed


def test_a_reader_parts_in_order(pair: Pair) -> None:
    """Also when others hold the socket, and when it has parted already."""
    writer, reader = pair
    held = reader.sock.dup()
    writer.commit()
    reader.release()
    assert linger(reader.sock) == OFF
    reader.part()
    assert writer.sock.recv(1) == b""
    reader.part()
    assert reader.sock.recv(1) == b""
    held.close()


def test_who_has_closed_first_is_in_the_table(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    reader = pair[1]
    monkeypatch.setattr(transport, "in_time_wait", lambda row: row == transport.table_row(reader.sock))
    assert reader.was_closed_in_order() is True and pair[0].was_closed_in_order() is False


@pytest.mark.parametrize(
    ("state", "acknowledged", "closed"),
    [
        (1, False, False),
        (4, False, False),
        (TCP_FIN_WAIT2, True, False),
        (TCP_TIME_WAIT, True, False),
        (TCP_CLOSE, True, True),
    ],
)
def test_when_the_end_of_file_has_arrived(
    monkeypatch: pytest.MonkeyPatch, pair: Pair, state: int, acknowledged: bool, closed: bool
) -> None:
    monkeypatch.setattr(transport, "tcp_info", lambda _sock: {"state": state})
    assert pair[0].end_is_acknowledged({"state": state}) is acknowledged
    assert pair[0].is_closed() is closed


@pytest.mark.parametrize(
    ("base", "skipped", "total", "ended", "count"),
    [
        (100, 0, 100, False, 0),
        (100, 0, 107, False, 7),
        (100, 0, 107, True, 6),
        (100, 30, 137, False, 7),
        (100, 30, 107, False, 0),
        (100, 0, 100, True, 0),
        (100, 0, None, False, None),
        (None, 30, 107, False, None),
    ],
)
@pytest.mark.parametrize("writer", [True, False])
def test_bytes_are_counted_from_the_handshake_on(
    pair: Pair, writer: bool, base: int | None, skipped: int, total: int | None, ended: bool, count: int | None
) -> None:
    name = "bytes_acked" if writer else "bytes_received"
    made = Tcp(pair[0].sock, writer, {name: base})
    made.skip(skipped)
    assert made.count({name: total}, ended) == count


def test_figures_are_kept_once(pair: Pair) -> None:
    writer, reader = pair
    writer.sock.send(b"12345")
    while reader.unread() < 5:
        pass
    reader.keep_figures()
    before = reader.last_info()
    assert before["bytes_received"] == 5 and reader.unread() == 5
    reader.sock.recv(5)
    reader.keep_figures()
    assert reader.unread() == 5 and reader.last_info() is before
    assert writer.last_info()["bytes_received"] == 0
    writer.sock.close()
    assert writer.last_info() == {}


def test_what_is_not_acknowledged_is_unsent(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    monkeypatch.setattr(transport, "unsent", lambda sock: (sock, 7))
    assert pair[0].unsent() == cast(Any, (pair[0].sock, 7))


# -- within a host


def test_a_link_between_neighbours_breaks_when_its_writer_dies() -> None:
    for commits in (True, False):
        writer, reader = local_pair()
        assert (writer.writer, reader.writer) == (True, False) and not writer.tcp and not writer.guarded
        writer.sock.send(b"data")
        if commits:
            writer.commit()
        else:
            writer.abort()
        assert reader.sock.recv(10) == b"data"
        if commits:
            assert reader.sock.recv(10) == b""
        else:
            with pytest.raises(ConnectionResetError):
                reader.sock.recv(10)
        writer.sock.close()
        reader.sock.close()


def test_a_writer_whose_stage_has_read_the_byte_can_commit() -> None:
    writer, reader = local_pair()
    assert writer.sock.recv(10) == b"\0"
    writer.commit()
    assert reader.sock.recv(10) == b""
    reader.abort()
    with pytest.raises(BrokenPipeError):
        writer.sock.send(b"x")
    writer.sock.close()
    reader.sock.close()


def test_what_is_not_counted_or_told_within_a_host() -> None:
    writer, reader = local_pair()
    assert writer.info() == {} and writer.count({}, True) is None and writer.encrypted({}) is None
    assert (writer.flushed(), writer.look(), writer.worn_out()) == (True, "", "")
    for question in (writer.end_is_acknowledged({}), writer.was_closed_in_order(), writer.is_closed()):
        assert question is False
    assert writer.is_telling(0.0) is False and not writer.pending and not writer.released and not writer.in_use
    assert writer.inode == os.fstat(writer.sock.fileno()).st_ino and Transport.tcp and Transport.guarded
    writer.sock.close()
    reader.sock.close()


# -- before the command


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the kernel is told."""
    found: list[Any] = []

    def telling(name: str) -> Callable[..., None]:
        return lambda _sock, *words: found.append((name, *words))

    for name in ("keep_alive", "limit_unsent", "pace"):
        monkeypatch.setattr(transport, name, telling(name))
    monkeypatch.setattr(congestion, "control", telling("control"))
    return found


ALL = {"dead_peer": 20, "rate_limit": 30, "congestion_control": "reno"}


@pytest.mark.parametrize(
    ("spec", "calls"),
    [
        ({"side": "W"}, [("limit_unsent",)]),
        ({"side": "R"}, []),
        ({"side": "W", **ALL}, [("keep_alive", 20), ("limit_unsent",), ("control", "reno"), ("pace", 30)]),
        ({"side": "R", **ALL}, [("keep_alive", 20)]),
        ({"side": "W", **dict.fromkeys(ALL, 0)}, [("limit_unsent",)]),
    ],
)
@pytest.mark.parametrize("cipher", [None, AES])
def test_what_a_connection_gets_before_its_command(
    told: list[Any], pair: Pair, spec: Any, calls: list[Any], cipher: Any
) -> None:
    """Only what its side needs; and it blocks, as commands expect."""
    sock = pair[0].sock
    sock.setblocking(False)
    counted = {"bytes_acked": 7, "bytes_received": 8}
    made = transport.make_ready(spec, cast(Any, SimpleNamespace(sock=sock, counted=counted, cipher=cipher)))
    assert told == calls and os.get_blocking(sock.fileno())
    assert made.__class__ is (KernelTls if cipher else Tcp) and made.sock is sock
    assert (made.writer, made.base) == ((True, 7) if spec["side"] == "W" else (False, 8))
