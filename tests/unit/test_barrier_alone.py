# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The barrier of one end, message by message: sides and relays that are told what they have received."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import barrier as barrier_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import link
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.barrier import GO, READY, SIZE, Barrier, Gate
from ansible_collections.plumbing.socketpipe.tests.unit.fails import fail

WRONG = {"kind": "changed on the way", "where": "start", "error": ""}


def prove(label: bytes) -> bytes:
    return label.ljust(32, b".")


class Socket:
    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.sent: list[bytes] = []
        self.arrives: list[Any] = []
        self.takes: Any = 32
        self.asked: list[int] = []

    def fileno(self) -> int:
        return self.fd

    def send(self, data: bytes, flags: int) -> int:
        if isinstance(self.takes, OSError):
            fail(self.takes)
        self.sent.append(data)
        return int(self.takes)

    def recv(self, size: int, flags: int) -> bytes:
        self.asked.append(size)
        piece = self.arrives.pop(0) if self.arrives else BlockingIOError()
        if isinstance(piece, OSError):
            raise piece
        return bytes(piece)


def side(fd: int, writer: bool, relay: Any = None, proves: bool = True) -> Any:
    made = SimpleNamespace(writer=writer, relay=relay, state=link.OPEN, aborted=[], began=[], skipped=[])
    made.prove = prove if proves else None
    made.sock = Socket(fd)
    made.transport = SimpleNamespace(skip=made.skipped.append)
    made.begin = made.began.append

    def abort(*why: Any) -> None:
        made.aborted.append(why)
        made.state = link.ABORTED

    made.abort = abort
    return made


def relay(fd: int, writer: bool) -> Any:
    made = SimpleNamespace(facing=side(fd, writer), encryption={"key": 1}, uncounted=0, passed=[], back=b"")
    made.pass_back = made.passed.append
    made.passed_back = lambda: made.back
    return made


def gate(writer: bool, relayed: bool = False) -> Any:
    made = side(5, writer, relay(6, writer) if relayed else None)
    return Gate(made, prove)


# -- one link


@pytest.mark.parametrize("writer", [True, False])
@pytest.mark.parametrize("relayed", [True, False])
def test_a_message_is_said_once(writer: bool, relayed: bool) -> None:
    """Against the direction of the data, a relay passes it back."""
    made = gate(writer, relayed)
    assert SIZE == 32 and not made.said and not made.heard
    assert made.near.skipped == [32] and (not relayed or not made.side.skipped)
    for _time in range(2):
        made.say()
    told = [prove(GO if writer else READY)]
    assert made.said and not made.side.aborted
    if not relayed:
        assert made.near.sock.sent == told
    else:
        assert (made.near.sock.sent, made.relay.passed) == ((told, []) if writer else ([], told))
        assert (made.relay.uncounted, made.relay.encryption) == (32, {"key": 1, "back": 32})


@pytest.mark.parametrize(("takes", "broken"), [(32, False), (31, True), (BrokenPipeError(), True)])
def test_a_message_that_cannot_be_said_breaks_the_link(takes: Any, broken: bool) -> None:
    made = gate(True)
    made.near.sock.takes = takes
    made.say()
    assert made.side.aborted == ([()] if broken else [])


def test_a_relay_that_has_broken_its_link_knows_why() -> None:
    made = gate(True, relayed=True)
    made.near.sock.takes = BrokenPipeError()
    made.say()
    assert not made.side.aborted


@pytest.mark.parametrize("writer", [True, False])
def test_a_message_arrives_in_pieces(writer: bool) -> None:
    made = gate(writer)
    message = prove(READY if writer else GO)
    made.near.sock.arrives = [message[:1], message[1:31], message[31:], AssertionError("it has come")]
    assert [made.hear() for _time in range(4)] == [False, False, True, True]
    assert made.near.sock.asked == [32, 31, 1] and not made.side.aborted


@pytest.mark.parametrize(
    ("arrives", "aborted"),
    [
        (BlockingIOError(), []),
        (ConnectionResetError(), [()]),
        (b"", [()] * 2),  # of the link and of what leads to its stage, which are one here
        (b"x" * 31, []),
        (b"x" * 32, [(WRONG,)]),
        (prove(READY), [(WRONG,)]),  # its own words
    ],
)
def test_no_message(arrives: Any, aborted: list[Any]) -> None:
    made = gate(False)
    made.near.sock.arrives = [arrives]
    assert made.hear() is False and made.side.aborted == aborted


def test_a_message_by_way_of_a_relay() -> None:
    writer, reader = gate(True, relayed=True), gate(False, relayed=True)
    assert writer.hear() is False
    writer.relay.back = prove(READY)
    assert writer.hear() is True and not writer.near.sock.asked
    reader.near.sock.arrives = [prove(GO)]
    assert reader.hear() is True
    silent = gate(False, relayed=True)
    silent.near.sock.arrives = [b""]
    assert silent.hear() is False and (silent.near.aborted, silent.side.aborted) == ([()], [()])
    broken = gate(False, relayed=True)
    broken.near.sock.arrives = [ConnectionResetError()]
    assert broken.hear() is False and not broken.side.aborted


# -- all links of an end


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """(a barrier of an end that reads one link and writes two, and one that is no part of it; the sides)"""
    monkeypatch.setattr(barrier_module, "time", SimpleNamespace(monotonic=lambda: 100.0))
    sides = [side(5, False), side(6, True), side(7, True), side(8, True, proves=False)]
    return Barrier(cast(Any, sides), 10.0), sides


def test_ready_goes_up_and_go_comes_down(made: tuple[Any, list[Any]]) -> None:
    barrier, (above, one, two, _other) = made
    assert not barrier.step() and not above.sock.sent and barrier.fds() == [6, 7]
    one.sock.arrives = [prove(READY)]
    assert not barrier.step() and not above.sock.sent and barrier.fds() == [7]
    two.sock.arrives = [prove(READY)]
    assert not barrier.step() and above.sock.sent == [prove(READY)] and barrier.fds() == [5]
    assert not one.sock.sent and not barrier.passed
    above.sock.arrives = [prove(GO)]
    assert barrier.step() is True and barrier.passed and barrier.fds() == []
    assert one.sock.sent == two.sock.sent == [prove(GO)]
    assert barrier.step() is False
    one.state = link.RESET
    assert barrier.failed is False


@pytest.mark.parametrize("when", ["before", "as it says ready", "as it says go"])
def test_a_broken_link_ends_it(made: tuple[Any, list[Any]], when: str) -> None:
    barrier, (above, one, two, other) = made
    for each in (one, two):
        each.sock.arrives = [prove(READY)]
    above.sock.arrives = [prove(GO)]
    if when == "before":
        other.state = link.RESET
    (above if when == "as it says ready" else one).sock.takes = BrokenPipeError()
    assert barrier.step() is False and not barrier.passed
    assert barrier.failed is True and barrier.fds() == [] and barrier.step() is False
    assert bool(above.sock.sent) is (when == "as it says go") and bool(above.sock.asked) is (when == "as it says go")
    assert bool(two.sock.sent) is (when == "as it says go")


def test_relays_tell_by_themselves_what_they_have_heard() -> None:
    reader, writer = relay(15, False), relay(16, True)
    barrier = Barrier(cast(Any, [side(5, False, reader), side(6, True, writer)]), 10.0)
    assert barrier.fds() == []
    writer.back = prove(READY)
    assert not barrier.step() and reader.passed == [prove(READY)] and barrier.fds() == [15]


@pytest.mark.parametrize(
    ("now", "heard", "late"),
    [
        (109.9, (), []),
        (110.0, (), [6, 7]),
        (110.0, (6,), [7]),
        (119.9, (), [6, 7]),
        (120.0, (), [5, 6, 7]),
        (120.0, (5, 7), [6]),
    ],
)
def test_who_is_late_stalls(made: tuple[Any, list[Any]], now: float, heard: tuple[int, ...], late: list[int]) -> None:
    """All others have time from now on."""
    barrier, sides = made
    for each in (*barrier.above, *barrier.below):
        each.heard = each.side.sock.fd in heard
    barrier.rest(now)
    assert [each.sock.fd for each in sides if not each.began] == late
    assert all(each.began in ([], [now]) for each in sides)
