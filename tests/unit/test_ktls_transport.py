# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A link that the kernel encrypts, beside a kernel that the test makes up: when it is flushed, and how it is broken.

tests/tls has the same with a real one.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import ktls, ktls_transport, transport
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import TCP_CLOSE
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.keys import AES, CHACHA20
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.ktls_transport import LOOK, KernelTls
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.transport import FORGED

ESTABLISHED = 1


class Kernel:
    """A socket, and what the kernel says of it; ``did`` is all that was done."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.asked: list[tuple[int, int, int]] = []  # by getsockopt(2)
        self.now = 100.0
        self.state, self.acked, self.received = ESTABLISHED, 0, 0
        self.sealed, self.unsent, self.unread = 0, 0, 0
        self.writable, self.alerts, self.destroys = True, True, True
        self.error = 0  # of each operation on the socket
        self.peeked = (ktls.NOTHING, 0)

    def _do(self, *what: Any) -> None:
        self.did.append(what)
        self._fail()

    def _fail(self) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))

    def fileno(self) -> int:
        return 0  # one that is open

    def setblocking(self, on: bool) -> None:
        self.did.append(("blocking", on))

    def sendmsg(self, *words: Any) -> None:
        self._do("sendmsg", *words)

    def shutdown(self, how: int) -> None:
        self._do("shutdown", how)

    def close(self) -> None:
        self.did.append("close")

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        self.asked.append((level, option, size))
        self._fail()
        return self.sealed.to_bytes(size, "big")

    # -- what modules ask

    def tcp_info(self, _sock: object) -> dict[str, int]:
        return {"state": self.state, "bytes_acked": self.acked, "bytes_received": self.received}

    def events(self, wanted: dict[int, int]) -> dict[int, int]:
        assert wanted == {0: select.POLLOUT}
        return {0: select.POLLOUT} if self.writable else {0: select.POLLHUP} if self.state == TCP_CLOSE else {}

    def alert(self, _sock: object) -> bool:
        self.did.append("alert")
        return self.alerts

    def destroy(self, _sock: object) -> bool:
        self.did.append("destroy")
        return self.destroys

    def peek(self, _sock: object, most: int = 1) -> tuple[str, int]:
        self.did.append(("peek", most))
        return self.peeked


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(transport, "table_row", lambda _sock: None)
    monkeypatch.setattr(transport, "tcp_info", made.tcp_info)
    monkeypatch.setattr(transport, "unsent", lambda _sock: made.unsent)
    monkeypatch.setattr(transport, "unread", lambda _sock: made.unread)
    monkeypatch.setattr(ktls_transport, "events", made.events)
    monkeypatch.setattr(ktls_transport, "set_linger", lambda _sock, on: made.did.append(("linger", on)))
    monkeypatch.setattr(ktls_transport, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(ktls_transport, "QUIET", 0.25)
    for name in ("alert", "destroy", "peek"):
        monkeypatch.setattr(ktls, name, getattr(made, name))
    return made


def side_of(kernel: Kernel, writer: bool = True, cipher: Any = AES) -> KernelTls:
    return KernelTls(cast(Any, kernel), writer, {"bytes_acked": 0, "bytes_received": 0}, cipher)


@pytest.mark.parametrize(("writer", "way"), [(True, ktls.TLS_TX), (False, ktls.TLS_RX)])
def test_each_side_counts_the_records_of_its_own_way(kernel: Kernel, writer: bool, way: int) -> None:
    side = side_of(kernel, writer)
    kernel.sealed = 5
    assert side.records() == 5 and side.info()["records"] == 5
    assert kernel.asked == [(ktls.SOL_TLS, way, 56)] * 2
    assert side.encrypted(side.info()) == {"how": "kernel", "cipher": "aes-256-gcm", "records": 5}
    assert side.guarded is writer
    kernel.error = errno.EINVAL
    assert side.records() is None


# -- the end of file


def test_a_record_that_is_open_gets_closed(kernel: Kernel) -> None:
    side = side_of(kernel)
    side.flushed()
    closing: Any = ("sendmsg", [], [(ktls.SOL_TLS, 1, b"\x17")], socket.MSG_DONTWAIT)
    assert kernel.did[:2] == [("blocking", True), closing]


@pytest.mark.parametrize(
    ("facts", "flushed"),
    [
        ({"error": errno.EAGAIN}, False),
        ({"error": errno.EPIPE}, True),  # the commit will say so
        ({"acked": 4095 + 22, "sealed": 1}, True),
        ({"acked": 4096 + 22, "sealed": 1}, False),  # so much may still be in the TLS layer
        ({"acked": 0, "sealed": 0}, False),
        ({"acked": 100, "sealed": 1, "unsent": 1}, False),
        ({"acked": 100, "sealed": 1, "writable": False}, False),
        ({"acked": 100, "sealed": 1, "writable": False, "state": TCP_CLOSE}, False),
    ],
)
def test_when_all_is_in_the_queue_of_tcp(kernel: Kernel, facts: dict[str, int], flushed: bool) -> None:
    side = side_of(kernel)
    kernel.__dict__.update(facts)
    assert side.flushed() is flushed


def test_many_bytes_are_flushed_when_nothing_moves_for_a_while(kernel: Kernel) -> None:
    side = side_of(kernel)
    kernel.acked, kernel.sealed = 10_000, 1
    seen = []
    for kernel.now, kernel.unsent in ((100.0, 0), (100.125, 0), (100.25, 1), (100.5, 0), (100.625, 0), (100.75, 0)):
        seen.append(side.flushed())
    assert seen == [False, False, False, False, False, True]


# -- a break


@pytest.mark.parametrize("destroys", [True, False])
@pytest.mark.parametrize("in_use", [True, False])
def test_a_reader_leaves_the_reset_to_the_last_close(kernel: Kernel, in_use: bool, destroys: bool) -> None:
    """Nobody may reset it while a stage reads, which would take that for the end of file."""
    side = side_of(kernel, False)
    side.in_use, kernel.destroys = in_use, destroys
    side.abort()
    begins: list[Any] = [("linger", True), ("shutdown", socket.SHUT_WR)]
    assert kernel.did == [*begins, *([] if in_use else ["destroy"]), "close"]
    assert (side.pending, side.released) == (in_use or not destroys, True)
    side.insist()
    assert kernel.did[-1] == "close" and kernel.did.count("close") == 1


def test_a_reader_whose_connection_is_shut_already(kernel: Kernel) -> None:
    side = side_of(kernel, False)
    kernel.error = errno.ENOTCONN
    side.abort()
    assert kernel.did[-1] == "close" and not side.pending


@pytest.mark.parametrize(
    ("facts", "did", "pending", "reset", "released"),
    [
        ({}, ["alert", "destroy"], False, True, False),
        ({"destroys": False}, ["alert", "destroy", "close"], True, False, True),
        ({"unsent": 1}, ["alert"], False, False, False),  # the alert is on its way
        ({"alerts": False}, ["alert"], True, False, False),
        ({"alerts": False, "state": TCP_CLOSE}, ["alert", "destroy"], False, True, False),
        ({"writable": False}, [], True, False, False),  # it would wait behind who sleeps in a write
        ({"writable": False, "state": TCP_CLOSE}, ["destroy"], False, True, False),
    ],
)
def test_a_writer_alerts_then_resets(
    kernel: Kernel, facts: dict[str, Any], did: list[str], pending: bool, reset: bool, released: bool
) -> None:
    side = side_of(kernel)
    side.insist()
    assert kernel.did == [], "it is not broken"
    kernel.__dict__.update(facts)
    side.abort()
    assert kernel.did == [("linger", True), *did]
    assert (side.pending, side.reset, side.released) == (pending, reset, released)


def test_a_writer_insists_until_it_is_reset(kernel: Kernel) -> None:
    side = side_of(kernel)
    kernel.writable, kernel.unsent = False, 1
    side.abort()
    kernel.writable = True
    side.insist()
    side.insist()
    assert kernel.did == [("linger", True), "alert"] and not side.pending
    kernel.unsent = 0
    side.insist()
    side.insist()
    assert kernel.did == [("linger", True), "alert", "destroy"] and side.reset


@pytest.mark.parametrize(
    ("after", "state", "telling"),
    [
        (0.0, {"reset": True}, False),
        (0.0, {"alerted": False}, True),
        (5.0, {"alerted": False}, True),
        (5.5, {"alerted": False}, False),
        (1.0, {"alerted": True}, False),
        (1.0, {"alerted": True, "unsent": 1}, True),
        (1.0, {"alerted": False, "released": True, "pending": False}, False),
        (1.0, {"alerted": True, "released": True, "pending": True}, True),
    ],
)
def test_whether_the_other_host_can_still_be_told(
    kernel: Kernel, after: float, state: dict[str, Any], telling: bool
) -> None:
    side = side_of(kernel)
    assert side.is_telling(100.0) is False, "there is nothing to tell"
    kernel.unsent = state.pop("unsent", 0)
    side.broken_at = 100.0
    side.__dict__.update(state)
    assert side.is_telling(100.0 + after) is telling


# -- figures


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (ktls.ALERTED, ktls.ALERTED),
        (FORGED, FORGED),
        (ktls.BROKEN, ktls.BROKEN),
        (ktls.NOTHING, ""),
        (ktls.DATA, ""),
        (ktls.END, ""),
    ],
)
def test_what_the_next_read_would_say(kernel: Kernel, kind: str, told: str) -> None:
    kernel.peeked = kind, 0
    assert side_of(kernel, False).look() == told


@pytest.mark.parametrize(
    ("writer", "cipher", "records", "error", "name"),
    [
        (True, AES, AES.most - 1, 0, ""),
        (True, AES, AES.most, 0, "aes-256-gcm"),
        (True, AES, AES.most, errno.EINVAL, ""),
        (False, AES, AES.most, 0, ""),
        (True, CHACHA20, 2**40, 0, ""),
    ],
)
def test_when_a_key_is_worn_out(kernel: Kernel, writer: bool, cipher: Any, records: int, error: int, name: str) -> None:
    side = side_of(kernel, writer, cipher)
    kernel.sealed, kernel.error = records, error
    assert side.worn_out() == name


@pytest.mark.parametrize(
    ("unread", "in_use", "found", "peeked"),
    [
        (300, False, 200, [("peek", 1 << 20)]),
        (1 << 20, False, 200, [("peek", 1 << 20)]),
        ((1 << 20) + 1, False, (1 << 20) + 1, []),
        (300, True, 300, []),
    ],
)
def test_what_is_unread_is_data_when_no_stage_reads(
    kernel: Kernel, unread: int, in_use: bool, found: int, peeked: list[Any]
) -> None:
    side = side_of(kernel, False)
    kernel.unread, side.in_use, kernel.peeked = unread, in_use, (ktls.DATA, 200)
    assert side.unread() == found and kernel.did == peeked and LOOK == 1 << 20
    side.keep_figures()
    kernel.unread, kernel.peeked = 7, (ktls.DATA, 8)
    assert side.unread() == found


@pytest.mark.parametrize(
    "info", [{"records": 3}, {"bytes_acked": None, "records": 3}, {"bytes_acked": 9, "records": None}]
)
def test_without_counters_nothing_is_counted(kernel: Kernel, info: dict[str, Any]) -> None:
    assert side_of(kernel).count(info, False) is None


def test_the_end_of_file_is_no_byte_of_data(kernel: Kernel) -> None:
    side = side_of(kernel)
    assert side.count({"bytes_acked": 101, "records": 2}, True) == 100 - 2 * 22
