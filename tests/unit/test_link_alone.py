# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of one side of a link, with a transport that is told what to answer: every branch, and every edge."""

from __future__ import annotations

import select
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import ANY

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import figures, link
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import FIN
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.link import (
    ABORTED,
    COMMITTED,
    DONE,
    EOF,
    LEFT,
    OPEN,
    READ,
    RESET,
    Side,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.transport import FORGED

STATES = (OPEN, COMMITTED, DONE, EOF, READ, LEFT, RESET, ABORTED)
ERR, HUP = select.POLLERR, select.POLLHUP
STALLED: Any = {"kind": "stalled", "seconds": 5}


class Transport:
    """What a side asks of its transport is noted in ``log``; what it is told are the attributes."""

    def __init__(self, writer: bool, tcp: bool) -> None:
        self.writer, self.tcp, self.inode = writer, tcp, 7
        self.sock = SimpleNamespace(fileno=lambda: 50)
        self.log: list[str] = []
        self.in_use = self.pending = self.released = False
        self.told: dict[str, Any] = {
            "unsent": 0,
            "unread": 0,
            "look": "",
            "worn_out": "",
            "flushed": True,
            "is_closed": False,
            "was_closed_in_order": False,
            "is_telling": False,
            "end_is_acknowledged": False,
            "last_info": {"segs_in": 3, "count": 10},
            "info": {"segs_in": 4, "count": 20},
        }
        for name in ("commit", "abort", "keep_figures", "insist", "release", "part"):
            setattr(self, name, lambda name=name: self.log.append(name))

    def __getattr__(self, name: str) -> Any:
        if name not in self.__dict__.get("told", {}):
            raise AttributeError(name)
        return lambda *args: self.told[name]

    def count(self, info: Any, fin: bool) -> int:
        return int(info["count"]) - fin


def side(writer: bool, state: str = OPEN, tcp: bool = True, **told: Any) -> Any:
    spec: Any = {"id": "link", "full_reads": 0, "stall_timeout": 5, "dead_peer": 0}
    made: Any = Side(spec, cast(Any, Transport(writer, tcp)))
    made.state = state
    made.transport.told.update(told)
    return made


def twins() -> tuple[Any, Any]:
    writer, reader = side(True, tcp=False), side(False, tcp=False)
    writer.twin, reader.twin = reader, writer
    return writer, reader


def test_a_new_side() -> None:
    made = side(True)
    assert (made.state, made.problem, made.warnings, made.padding, made.spilled) == (OPEN, None, [], 0, 0)
    flags = (made.rests, made.hidden, made.faces, made.halved, made.parted, made.fin, made.flushing)
    assert not any(flags) and not made.lingers and made.look_at is None


# -- events


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("writer", [True, False])
def test_what_is_waited_for(writer: bool, state: str) -> None:
    made = side(writer, state)
    lingers = writer and state == DONE
    assert made.lingers is lingers
    wanted = (0 if writer else FIN) if state in (OPEN, COMMITTED) or lingers else None
    assert made.wanted() == wanted
    made.halved = True
    assert made.wanted() == (None if state == COMMITTED else wanted)
    made.twin = made
    assert made.wanted() is None


@pytest.mark.parametrize(
    ("writer", "tcp", "parted", "lingers"),
    [(True, True, False, True), (True, True, True, False), (True, False, False, False), (False, True, False, False)],
)
def test_a_writer_lingers_until_its_reader_parts(writer: bool, tcp: bool, parted: bool, lingers: bool) -> None:
    made = side(writer, DONE, tcp)
    made.parted = parted
    assert made.lingers is lingers and made.wanted() == (0 if lingers else None)


W, R = True, False
EVENTS: list[tuple[bool, str, int, dict[str, Any], str, str]] = [
    (R, OPEN, 0, {}, OPEN, ""),
    (R, OPEN, select.POLLIN, {}, OPEN, ""),
    (R, OPEN, FIN, {}, EOF, ""),
    (R, OPEN, FIN | HUP, {}, RESET, "parted"),
    (R, OPEN, FIN | HUP, {"was_closed_in_order": True}, EOF, "parted"),
    (R, OPEN, FIN | HUP | ERR, {"was_closed_in_order": True}, RESET, "parted"),
    (R, OPEN, HUP, {"was_closed_in_order": True}, RESET, "parted"),
    (R, OPEN, ERR, {}, RESET, "parted"),
    (R, EOF, FIN, {}, EOF, ""),
    (R, EOF, FIN | HUP, {}, EOF, "parted"),
    (R, ABORTED, FIN, {}, ABORTED, ""),
    (W, OPEN, 0, {}, OPEN, ""),
    (W, OPEN, FIN, {}, OPEN, ""),
    (W, OPEN, HUP, {}, RESET, "parted"),
    (W, COMMITTED, 0, {}, COMMITTED, ""),
    (W, COMMITTED, FIN, {}, COMMITTED, ""),
    (W, COMMITTED, HUP, {}, DONE, "parted"),
    (W, COMMITTED, HUP, {"unsent": 5}, COMMITTED, "halved"),
    (W, COMMITTED, HUP | ERR, {"unsent": 5}, RESET, "parted"),
    (W, COMMITTED, HUP | ERR, {}, RESET, "parted"),
    (W, COMMITTED, ERR, {}, RESET, "parted"),
    (W, DONE, 0, {}, DONE, ""),
    (W, DONE, HUP, {}, DONE, "parted"),
    (W, ABORTED, HUP | ERR, {}, ABORTED, "parted"),
]


@pytest.mark.parametrize(("writer", "state", "found", "told", "after", "flag"), EVENTS)
def test_what_an_event_means(writer: bool, state: str, found: int, told: Any, after: str, flag: str) -> None:
    made = side(writer, state, **told)
    made.notice(found)
    assert made.state == after and (made.ended_at is not None) is (after != state)
    assert (made.parted, made.halved) == (flag == "parted", flag == "halved")


@pytest.mark.parametrize("state", STATES)
def test_an_error_that_poll_does_not_show(state: str) -> None:
    forged = {"kind": "changed on the way", "where": "record", "error": ""}
    for found, problem in (("broken", None), (FORGED, forged)):
        made, writer, quiet = side(False, state, look=found), side(True, state, look=found), side(False, state)
        for each in (made, writer, quiet):
            each.look()
        seen = state in (OPEN, EOF)
        assert (made.state, made.problem) == ((RESET, problem) if seen else (state, None))
        assert made.transport.log == (["keep_figures", "abort"] if seen else [])
        assert writer.state == quiet.state == state and not writer.transport.log + quiet.transport.log


@pytest.mark.parametrize(
    ("state", "unread", "readable"), [(OPEN, 0, False), (OPEN, 1, True), (EOF, 0, True), (RESET, 0, True)]
)
def test_a_byte_or_an_end_can_be_read(state: str, unread: int, readable: bool) -> None:
    made = side(False, state, unread=unread)
    assert made.readable() is readable and made.unread() == unread


# -- counters


@pytest.mark.parametrize(
    ("state", "fin", "acknowledged", "taken_off"),
    [
        (OPEN, False, True, False),
        (OPEN, True, False, True),
        (COMMITTED, False, False, False),
        (COMMITTED, False, True, True),
        (COMMITTED, True, False, True),
        (DONE, True, False, True),
    ],
)
def test_an_end_of_file_is_no_byte(state: str, fin: bool, acknowledged: bool, taken_off: bool) -> None:
    made = side(True, state, end_is_acknowledged=acknowledged)
    made.fin = fin
    assert made.bytes() == 10 - taken_off and made.bytes({"count": 30}) == 30 - taken_off
    made.transport.told["last_info"] = {}
    assert made.bytes() is None
    made.handed_over = lambda: 99
    assert made.bytes({"count": 30}) == 99


CHECKED = [(state, writer, True) for state in STATES for writer in (W, R)] + [(OPEN, W, False), (OPEN, R, False)]


@pytest.mark.parametrize(("state", "writer", "tcp"), CHECKED)
def test_which_sides_are_checked(state: str, writer: bool, tcp: bool) -> None:
    made = side(writer, state, tcp)
    made.pulse.moved_at = 0.0
    made.check(3.0)
    checked = tcp and (state in (OPEN, COMMITTED) or writer and state == DONE)
    acknowledged = 20 - (made.fin or 0)
    assert (made.pulse.seen, made.pulse.heard, made.state) == ((acknowledged, 4) if checked else (0, 0)) + (state,)
    made.check(8.0)
    assert made.state == state
    made.check(8.01)  # a writer that only lingers may rest
    assert made.state == (ABORTED if checked and state != DONE else state)
    assert made.problem == (STALLED if made.state == ABORTED != state else None)


@pytest.mark.parametrize(
    ("writer", "rests", "branch", "unsent", "stalls"),
    [
        (True, False, False, 0, True),
        (True, False, False, 5, True),
        (True, True, False, 5, False),
        (True, False, True, 5, True),  # the branch that holds the others
        (True, False, True, 0, False),  # one that is held by another
        (False, False, True, 5, False),
        (False, False, False, 5, True),
    ],
)
def test_where_silence_is_a_stall(writer: bool, rests: bool, branch: bool, unsent: int, stalls: bool) -> None:
    made = side(writer, unsent=unsent)
    made.rests = rests
    if branch:
        made.spec["branch"] = True
    for now in (0.0, 6.0):
        made.check(now)
    assert made.state == (ABORTED if stalls else OPEN)


def test_a_kernel_that_does_not_count_bytes() -> None:
    made = side(True)
    made.transport.count = lambda info, fin: None
    made.check(0.0)
    assert made.pulse.seen == 0


@pytest.mark.parametrize(
    ("state", "now", "problem"),
    [
        (OPEN, 1.0, {"kind": "key used up", "cipher": "aes"}),
        (OPEN, 9.0, {"kind": "key used up", "cipher": "aes"}),  # rather than its consequence
        (COMMITTED, 1.0, None),
        (COMMITTED, 9.0, STALLED),
    ],
)
def test_a_key_that_may_encrypt_no_more(state: str, now: float, problem: Any) -> None:
    made = side(True, state, worn_out="aes")
    made.check(0.0)
    made.state, made.problem, made.parted = state, None, False
    made.check(now)
    assert made.problem == problem


# -- operations


def test_the_time_of_a_link_begins_with_its_plan() -> None:
    made = side(True)
    made.begin(77.0)
    assert (made.since, made.pulse.moved_at) == (77.0, 77.0)


class Whole:
    """In place of WholeReads: the kernel grants 100 bytes at most."""

    made: tuple[Any, ...] = ()

    def __init__(self, sock: Any, size: int, polled: bool) -> None:
        Whole.made = (sock, size, polled)
        self.granted, self.look_at = min(size, 100), 5.0
        self.looks: list[tuple[float, int]] = []

    def look(self, now: float, count: int) -> None:
        self.looks.append((now, count))


@pytest.mark.parametrize(
    ("size", "polled", "tcp", "warns"),
    [
        (0, None, True, None),
        (99, None, True, False),
        (100, True, True, False),
        (101, None, True, True),
        (101, 1, False, 0),
    ],
)
def test_whole_reads_are_for_tcp(
    monkeypatch: pytest.MonkeyPatch, size: int, polled: Any, tcp: bool, warns: bool | None
) -> None:
    monkeypatch.setattr(link, "WholeReads", Whole)
    made = side(False, tcp=tcp)
    made.spec.update({"full_reads": size, "polled": polled})
    made.start_reading()
    assert made.transport.in_use is True
    asked = bool(size and tcp)
    assert (made.reads is not None) is asked and made.look_at == (5.0 if asked else None)
    assert not asked or Whole.made == (made.sock, size, bool(polled))
    assert made.warnings == ([{"kind": "full reads", "granted": 100, "asked": 101}] if warns else [])


def test_a_sleeping_reader_is_woken_when_it_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "WholeReads", Whole)
    made = side(False)
    made.wake(9.0)  # nobody reads yet
    made.spec["full_reads"] = 5
    made.start_reading()
    for now in (4.9, 5.0, 5.1):
        made.wake(now)
    made.transport.told["last_info"] = {}
    made.wake(6.0)
    assert made.reads.looks == [(5.0, 10), (5.1, 10), (6.0, 0)]
    made.state = EOF
    made.wake(7.0)
    assert made.look_at is None and len(made.reads.looks) == 3


def test_a_reader_that_has_ended() -> None:
    made = side(False, look="broken")
    made.transport.in_use = True
    made.stop_reading()
    assert (made.transport.in_use, made.state) == (False, RESET)


@pytest.mark.parametrize("flushed", [True, False])
def test_the_rest_of_the_data_leaves_first(flushed: bool) -> None:
    made = side(True, flushed=flushed)
    assert (made.flushed(), made.flushing) == (flushed, not flushed)
    made.abort()
    assert made.flushing is False


def test_a_commit() -> None:
    made = side(True)
    made.commit()
    assert (made.state, made.ended_at, made.fin, made.transport.log) == (COMMITTED, None, False, ["commit"])
    worn = side(True, worn_out="aes")
    worn.commit()
    assert (worn.state, worn.problem) == (ABORTED, {"kind": "key used up", "cipher": "aes"})
    assert "commit" not in worn.transport.log

    def gone() -> None:
        raise OSError

    broken = side(True)
    broken.transport.commit = gone
    broken.commit()
    assert broken.state == RESET and broken.ended_at


@pytest.mark.parametrize(("before", "after"), [(OPEN, EOF), (RESET, RESET), (ABORTED, ABORTED)])
def test_a_commit_within_this_host(before: str, after: str) -> None:
    writer, reader = twins()
    reader.state = before
    writer.commit()
    assert (writer.state, writer.fin, reader.state, reader.fin) == (DONE, True, after, after == EOF)
    assert writer.ended_at


@pytest.mark.parametrize("state", [OPEN, COMMITTED])
@pytest.mark.parametrize(
    ("unsent", "halved", "closed", "after"),
    [
        (0, False, False, DONE),
        (0, True, True, DONE),
        (1, False, True, COMMITTED),
        (1, True, False, COMMITTED),
        (1, True, True, RESET),
    ],
)
def test_a_committed_link_is_done(state: str, unsent: int, halved: bool, closed: bool, after: str) -> None:
    made = side(True, state, unsent=unsent, is_closed=closed)
    made.halved = halved
    made.drained()
    assert made.state == (after if state == COMMITTED else state)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("writer", "parted"), [(W, False), (W, True), (R, False)])
def test_what_can_be_aborted(state: str, writer: bool, parted: bool) -> None:
    made = side(writer, state)
    made.parted, made.flushing = parted, True
    made.abort(STALLED)
    if state in (OPEN, COMMITTED, EOF) or writer and state == DONE and not parted:
        assert (made.state, made.problem, made.parted, made.flushing) == (ABORTED, STALLED, True, False)
        assert made.transport.log == ["keep_figures", "abort"] and made.ended_at
    else:
        assert (made.state, made.problem, made.transport.log) == (state, None, [])


def test_an_abort_without_a_reason_keeps_the_one_there_is() -> None:
    made = side(False)
    made.problem = STALLED
    made.abort()
    assert (made.state, made.problem) == (ABORTED, STALLED)


@pytest.mark.parametrize("how", ["abort", "leave"])
@pytest.mark.parametrize(("before", "after"), [(OPEN, RESET), (DONE, DONE), (ABORTED, ABORTED)])
def test_the_other_side_within_this_host_is_broken_too(how: str, before: str, after: str) -> None:
    writer, reader = twins()
    writer.state = before
    getattr(reader, how)()
    assert (reader.state, writer.state) == (ABORTED if how == "abort" else LEFT, after)
    assert reader.transport.log == ["keep_figures", "abort"] and writer.transport.log == []


@pytest.mark.parametrize(("faces", "has_twin"), [(True, True), (True, False), (False, True)])
def test_a_stage_behind_a_relay_is_reached_by_the_side_of_the_relay(faces: bool, has_twin: bool) -> None:
    writer, reader = twins()
    reader.faces = faces
    if not has_twin:
        reader.twin = None
    reader.leave()
    there = faces and has_twin
    assert writer.transport.log == (["abort"] if there else [])
    assert reader.transport.log == ["keep_figures"] + ([] if there else ["abort"])


def test_an_end_waits_until_the_other_host_knows_of_a_break() -> None:
    assert [state for state in STATES if side(True, state, is_telling=True).is_telling(1.0)] == [LEFT, ABORTED]
    assert not any(side(True, state).is_telling(1.0) for state in STATES)


@pytest.mark.parametrize(("pending", "released"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_reset_that_the_last_close_sends(pending: bool, released: bool) -> None:
    made = side(True, ABORTED)
    made.transport.pending, made.transport.released = pending, released
    assert made.busy is pending
    made.insist()
    assert made.transport.log == ["insist"] and made.busy is pending
    made.freed()
    assert made.busy is (pending and not released)


@pytest.mark.parametrize(
    ("pieces", "most", "state", "result", "after", "figures"),
    [
        ([b"\0" * 4, b"\0" * 6, b""], 10, OPEN, True, EOF, (10, 0)),
        ([b""], 0, OPEN, True, EOF, (0, 0)),
        ([b"\0", b""], 0, EOF, False, EOF, (1, 0)),
        ([b"\0" * 10, b"\0"], 10, OPEN, False, OPEN, (11, 0)),
        ([b"\0" * 4, b"\0x\0"], 10, OPEN, False, OPEN, (4, 3)),
        ([b"\1\1"], 10, OPEN, False, OPEN, (0, 2)),
        ([b"\0" * 4, BlockingIOError()], 10, OPEN, None, OPEN, (4, 0)),
        ([b"\0" * 4, ConnectionResetError()], 10, OPEN, False, RESET, (4, 0)),
        ([b"\0" * 4, b""], 10, EOF, True, EOF, (4, 0)),
    ],
)
def test_the_rest_that_a_stage_has_left(
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[Any],
    most: int,
    state: str,
    result: Any,
    after: str,
    figures: tuple[int, int],
) -> None:
    asked, left = list[Any](), list(pieces)

    def recv(size: int, flags: int) -> bytes:
        piece = left.pop(0)
        if isinstance(piece, OSError):
            raise piece
        return bytes(piece)

    monkeypatch.setattr(link, "full_reads", lambda sock, size: asked.append((sock, size)))
    tcp = most > 0
    made = side(False, state, tcp)
    made.sock.recv = recv
    assert made.drain(most) is result
    assert (made.state, (made.padding, made.spilled)) == (after, figures)
    assert asked == ([(made.sock, 1)] if tcp else [])  # one byte is enough for a read, whatever its stage has asked for


def test_a_reader_that_has_read_everything() -> None:
    made = side(False, EOF)
    made.part()
    assert made.transport.log == []
    made.finish()
    assert (made.state, made.transport.log) == (READ, ["keep_figures", "release"])
    made.part()
    assert made.transport.log[2:] == ["part"]


def test_whether_the_end_of_file_has_passed() -> None:
    made = {state: side(True) for state in STATES}
    for state, each in made.items():
        each._settle(state)
        assert each.state == state and each.ended_at
    assert [state for state, each in made.items() if each.fin] == [DONE, EOF]
    made[EOF]._settle(READ)
    assert made[EOF].fin is True


# -- its report


def counted() -> Any:
    """What the kernel has counted; the rest of it is not known."""
    made = side(True, tcp=True)
    told = {"rtt": 1500, "retransmits": 3, "rwnd_limited": 250_000, "sndbuf_limited": None, "busy_time": 2_000_000}
    made.transport.told["last_info"] = {"count": 10, **told}
    made.transport.told["encrypted"] = "how"
    made.since = 90.0
    return made


@pytest.mark.parametrize(("ended", "elapsed", "at"), [(None, 10.0, None), (95.0, 5.0, 15.0)])
def test_a_report(monkeypatch: pytest.MonkeyPatch, ended: float | None, elapsed: float, at: float | None) -> None:
    monkeypatch.setattr(figures, "time", SimpleNamespace(monotonic=lambda: 100.0))
    made = counted()
    made.ended_at = ended
    found = figures.report(made, 80.0)
    assert (found["elapsed"], found["ended_at"], found["side"], found["unread"]) == (elapsed, at, "W", None)
    assert (found["id"], found["state"], found["bytes"], found["ended"], found["padding"]) == (
        "link",
        OPEN,
        10,
        False,
        0,
    )
    assert (found["rtt"], found["retransmits"]) == (0.0015, 3)
    assert found["waited"] == {"receiver": 0.25, "buffer": None, "busy": 2.0}
    assert (found["address"], found["peer"], found["encryption"]) == ("", "", "how")


def test_the_report_of_a_reader_and_of_an_encrypted_link() -> None:
    """A relay knows more of its link."""
    made = side(False, unread=5)
    made.transport.told["encrypted"] = None
    made.spilled = 3
    found = figures.report(made, 0.0)
    assert (found["side"], found["unread"], found["rtt"]) == ("R", 8, None)
    made.transport.unread = lambda: int("gone")
    made.relay = SimpleNamespace(cover=lambda report: {**report, "covered": True})
    assert figures.report(made, 0.0) == {**found, "unread": None, "covered": True, "elapsed": ANY}
