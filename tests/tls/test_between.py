# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Real ends with somebody in between: nothing is ever ok, or read, that the writer did not send."""

from __future__ import annotations

import os
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.ends import Ends, make_plan, record, recorded, sh

from .between import INSIDE, OWN, Between, Meddle, network

Launch = Callable[..., Ends]
SIZE = 3_000_000
DATA = f"sleep 0.5; yes marker-of-the-data | head -c {SIZE}"
LATE = 1_000_000  # bytes: in the middle of the data


def pass_on(piece: bytes, at: int) -> bytes | None:
    return piece


def stop(piece: bytes, at: int) -> bytes | None:
    return piece if at < LATE else None


def flip(piece: bytes, at: int) -> bytes | None:
    if LATE <= at < LATE + 16384:
        return piece[:50] + bytes([piece[50] ^ 1]) + piece[51:]
    return piece


def replay(piece: bytes, at: int) -> bytes | None:
    return piece + piece if LATE <= at < LATE + 16384 else piece


def inject(piece: bytes, at: int) -> bytes | None:
    return os.urandom(1000) + piece if LATE <= at < LATE + 16384 else piece


def drop(piece: bytes, at: int) -> bytes | None:
    return b"" if LATE <= at < LATE + 16384 else piece


def delay(piece: bytes, at: int) -> bytes | None:
    if LATE <= at < LATE + 65536:
        time.sleep(0.3)
    return piece


class Records:
    """Passes on what the writer sends, record by record, after the handshake."""

    NUMBER = 50  # the record that something is done to, in the middle of the data

    def __init__(self) -> None:
        self.rest: bytes | None = None
        self.count = 0

    def __call__(self, piece: bytes, at: int) -> bytes | None:
        if self.rest is None and not piece.startswith(RECORD):
            return piece
        self.rest, passed = (self.rest or b"") + piece, b""
        while len(self.rest) >= 5 and len(self.rest) >= (size := 5 + int.from_bytes(self.rest[3:5], "big")):
            record, self.rest = self.rest[:size], self.rest[size:]
            self.count += 1
            one = self.each(record)
            if one is None:
                return passed or None
            passed += one
        return passed

    def each(self, record: bytes) -> bytes | None:
        raise NotImplementedError


class Swap(Records):
    """Two records in each other's place."""

    held = b""

    def each(self, record: bytes) -> bytes | None:
        if self.count == self.NUMBER:
            self.held, record = record, b""
        elif self.count == self.NUMBER + 1:
            record += self.held
        return record


class Stop(Records):
    """Whole records, then no more."""

    def each(self, record: bytes) -> bytes | None:
        return record if self.count < self.NUMBER else None


RECORD = b"\x17\x03\x03"
CUT, CHANGED = {"cut on the way"}, {"changed on the way", "cut on the way"}
# after an invalid header the kernel shows one error; who takes it for the end has stopped before the writer
JUNK = CHANGED | {"stopped reading"}
# name: (what is done to the stream, how it is ended, the cause)
MEDDLERS: dict[str, tuple[Meddle | type[Records], str, set[str]]] = {
    "nothing": (pass_on, "", set()),
    "a delay": (delay, "", set()),
    "an end of file": (stop, "fin", CUT),
    "a reset of the reader": (stop, "reset", CUT),
    "a reset of both": (stop, "both reset", CUT),
    "a bit": (flip, "", CHANGED),
    "a replay": (replay, "", CHANGED),
    "junk": (inject, "", JUNK),
    "a gap": (drop, "", CHANGED),
    "a swap": (Swap, "", CHANGED),
    "an end of file between records": (Stop, "fin", CUT),
}
HARMLESS = {"nothing", "a delay"}


class FirstRecord:
    """Junk in the place of the first record."""

    done = False

    def __call__(self, piece: bytes, at: int) -> bytes | None:
        if self.done or not piece.startswith(RECORD):
            return piece
        self.done = True
        return piece[:5] + os.urandom(len(piece) - 5)


@pytest.fixture
def between(kernel_tls: None) -> Iterator[Callable[..., Between]]:
    made: list[Between] = []

    def make(*words: t.Any) -> Between:
        made.append(Between(*words))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def other() -> None:
    network()


def run(
    launch: Launch,
    between: Callable[..., Between],
    sink: dict[str, t.Any],
    meddler: str | Meddle,
    dials: str = "a",
    data: str = DATA,
) -> tuple[Ends, Between]:
    """a writes, b reads; the end that dials dials who is in between."""
    made, how = MEDDLERS[meddler][:2] if isinstance(meddler, str) else (meddler, "")
    meddle = made() if isinstance(made, type) else made
    plan = make_plan(("a", sh("input", data)), ("b", sink), kernel_tls="must")
    listens = "b" if dials == "a" else "a"
    plan.ends[dials]["listen"] = False
    somebody = between(plan.ends[listens]["ports"], dials == "a", meddle, how)
    plan.dial = {(dials, listens): {"addresses": [OWN], "ssh_client": False}}
    inside = [word.replace("LISTENS", f":{plan.run}:{listens}") for word in INSIDE]
    return launch(plan, inside=inside, patience={"drain": 1.0, "hold": 0.5}).wait(), somebody


@pytest.mark.parametrize(("dials", "meddler"), [("a", "nothing"), ("b", "nothing"), ("a", "a delay")])
def test_whoever_passes_all_on_learns_nothing(
    launch: Launch, between: Callable[..., Between], other: None, tmp_path: Path, dials: str, meddler: str
) -> None:
    """Not a byte in clear, from the first to the last; the reader has them all."""
    ends, somebody = run(launch, between, record("output", tmp_path / "seen"), meddler, dials)
    ends.ok()
    assert len(somebody.seen) > SIZE and b"marker" not in somebody.seen
    found = recorded(tmp_path / "seen")
    assert (found["how"], found["bytes"]) == ("eof", SIZE)
    for side in ("W", "R"):
        said = ends.side("input", side)
        assert said["bytes"] == SIZE and said["encryption"]["how"] == "kernel"
        assert said["encryption"]["cipher"] == "chacha20-poly1305" and said["encryption"]["records"] >= SIZE / 16384


@pytest.mark.parametrize(
    ("meddler", "status"),
    [*((name, 0) for name in sorted(set(MEDDLERS) - HARMLESS)), ("an end of file", 3), ("a bit", 3)],
)
def test_what_is_done_to_the_stream_is_found_out(
    launch: Launch, between: Callable[..., Between], other: None, tmp_path: Path, meddler: str, status: int
) -> None:
    ends, somebody = run(launch, between, record("output", tmp_path / "seen", status), meddler)
    verdict = ends.verdict()
    assert not verdict.ok and verdict.cause and verdict.cause["kind"] in MEDDLERS[meddler][2], verdict.cause
    assert b"marker" not in somebody.seen
    found = recorded(tmp_path / "seen")
    assert found["bytes"] < SIZE
    if meddler == "an end of file between records":
        # known: this is the end for the stage, and only the records that both ends have counted show that it is not
        assert found["how"] == "eof" and ends.stage("output")["rc"] == 0
        counted = {side: ends.side("input", side)["encryption"]["records"] for side in "WR"}
        assert counted["R"] == Records.NUMBER - 1 < counted["W"]
        assert "was cut on the way" in verdict.cause["msg"] and "host-a" in verdict.cause["msg"]
    if MEDDLERS[meddler][1] == "":
        assert found["how"] != "eof", "a record that is not the writer's is no end of file"
    ends.gone()


def test_a_sink_does_not_start_for_a_byte_that_is_not_the_writers(
    launch: Launch, between: Callable[..., Between], other: None, tmp_path: Path
) -> None:
    """It would open the tape, and truncate last week's file."""
    ends, _somebody = run(launch, between, sh("output", f"touch {tmp_path}/started; cat"), FirstRecord())
    cause = ends.cause()
    assert cause["kind"] == "changed on the way" and not (tmp_path / "started").exists()


@pytest.mark.parametrize("meddler", ["an end of file", "an end of file between records", "a reset of both", "a bit"])
def test_who_may_stop_early_has_not_stopped_because_of_somebody(
    launch: Launch, between: Callable[..., Between], other: None, tmp_path: Path, meddler: str
) -> None:
    """Neither a sink that takes any end for its own, nor a source that ignores what it cannot write, is an excuse."""
    sink = {**record("output", tmp_path / "seen", 0), "early_exit": True}
    ends, _somebody = run(launch, between, sink, meddler, data=DATA + "; true")
    assert not ends.verdict().ok, ends.output
    ends.gone()
