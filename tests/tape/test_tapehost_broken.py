# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The program of the tape host, its machine or its operator, stopped in the middle of things, on a real drive."""

from __future__ import annotations

import signal
import typing as t
from pathlib import Path

import pytest

from .guest import Guest
from .library import Library
from .medium import MEDIUM_ERROR, UNIT_ATTENTION, sense
from .tapehost import BLOCK, TapeHost, blocks
from .test_tapehost import sizes


@pytest.fixture
def tapehost(guest: Guest, disk: Path) -> TapeHost:
    """Its catalog is on a disk that loses what was not synced when the power fails."""
    return TapeHost(guest, disk)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle(tapehost: TapeHost, library: Library, number: int) -> None:
    library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(2))
    library.drives[0].hold(3)
    command = tapehost.start_sink("R1", "h2", blocks(8))
    assert library.drives[0].holding.wait(20)
    command.signal(number)
    library.drives[0].go_on()
    command.wait()
    assert tapehost.sink("R1", "h3", blocks(1))["file"] == 3
    assert tapehost.archives("ONE") == [(1, "h1", "written"), (2, "h2", "failed"), (3, "h3", "written")]
    assert sizes(library)[3] == [BLOCK]


@pytest.mark.parametrize("records", [0, 3])
def test_the_power_fails_in_the_middle(tapehost: TapeHost, library: Library, records: int) -> None:
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(2))
    library.drives[0].hold(records)
    tapehost.start_sink("R1", "h2", blocks(8))
    assert library.drives[0].holding.wait(20)
    tapehost.guest.power_off()
    assert not tape.end(), "no file mark: nobody was there to write it"
    tapehost.guest.power_on()
    entry = tapehost.sink("R1", "h3", blocks(1))
    whole = [(file, host, state) for file, host, state in tapehost.archives("ONE") if state != "failed"]
    assert whole == [(1, "h1", "written"), (entry["file"], "h3", "written")]
    assert sizes(library)[1] == [BLOCK] * 2
    assert sizes(library)[entry["file"]] == [BLOCK]


def test_another_tape_at_the_same_place_is_not_overwritten(tapehost: TapeHost, library: Library) -> None:
    """A program beside st that asks first keeps st from hearing of the change: it says that nothing has moved."""
    library.tape("A00001L6", drive=0, serial="AAA")
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    other = library.tape("B00002L6", serial="BBB")
    other.records += [bytes(512), None, bytes(512), None, bytes(512), None]
    before = list(other.records)
    library.load(0, other)
    tapehost.guest.run(["sg_logs", "-p", "0x2e", "/dev/sg0"], check=False)
    assert "File number=2" in tapehost.guest.mt("status").stdout
    refusal = tapehost.refused("sink", "--run", "R1", "--host", "h2", input=blocks(1))
    assert "data without a label" in refusal
    assert other.records == before


def test_the_same_tape_loaded_once_more_is_not_believed_to_stand_where_it_stood(
    tapehost: TapeHost, library: Library
) -> None:
    tape = library.tape("A00001L6", drive=0, serial="AAA")
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    library.load(0, tape)
    tapehost.guest.run(["sg_logs", "-p", "0x2e", "/dev/sg0"], check=False)
    assert tapehost.sink("R1", "h2", blocks(1))["file"] == 2
    assert sizes(library) == [[8192], [BLOCK], [BLOCK], []]


@pytest.mark.parametrize("serial", ["AAA", ""])
def test_between_two_archives_of_a_run_the_tape_is_not_wound(tapehost: TapeHost, library: Library, serial: str) -> None:
    """If the cartridge has a chip that says which it is; else it is safer to read the label."""
    library.tape("A00001L6", drive=0, serial=serial)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    del library.drives[0].commands[:]
    tapehost.sink("R1", "h2", blocks(1))
    assert (0x01 in library.drives[0].commands) == (not serial)  # REWIND
    assert sizes(library) == [[8192], [BLOCK], [BLOCK], []]


@pytest.mark.parametrize("serial", ["AAA", ""])
def test_a_reset_that_somebody_else_heard_of_costs_no_label(tapehost: TapeHost, library: Library, serial: str) -> None:
    """The drive is at the beginning of its tape, and st says tape file 2."""
    library.tape("A00001L6", drive=0, serial=serial)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    library.drives[0].reset(rewinds=True)
    tapehost.guest.run(["sg_logs", "-p", "0x2e", "/dev/sg0"], check=False)
    assert "File number=2" in tapehost.guest.mt("status").stdout
    assert tapehost.sink("R1", "h2", blocks(1))["file"] == 2
    assert sizes(library) == [[8192], [BLOCK], [BLOCK], []]


def once(opcode: int, what: t.Callable[[], t.Any], after: int = 0) -> t.Callable[[bytes], t.Any]:
    """A drive's trouble: before the command of this number it does something, and may answer."""
    left = [after]

    def trouble(cdb: bytes) -> t.Any:
        if cdb[0] != opcode or left[0] < 0:
            return None
        left[0] -= 1
        return what() if left[0] < 0 else None

    return trouble


SPACE, WRITE, MARK, READ, REWIND, WHERE = 0x11, 0x0A, 0x10, 0x08, 0x01, 0x34
ATTENTION = sense(UNIT_ATTENTION, 0x2900)


@pytest.mark.parametrize(("opcode", "after"), [(REWIND, 0), (READ, 0), (SPACE, 0), (SPACE, 1), (WHERE, 2), (WHERE, 5)])
@pytest.mark.parametrize("heard", [True, False])
def test_a_reset_at_any_moment_before_the_archive(
    tapehost: TapeHost, library: Library, opcode: int, after: int, heard: bool
) -> None:
    """Whether st hears of it or not: the archive goes where it belongs, or nothing is written.

    Of what st hears all is done again, from the label on.
    """
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    before = list(tape.records)
    drive = library.drives[0]

    def reset() -> t.Any:
        drive.position = 0
        return ATTENTION if heard else None

    drive.trouble = once(opcode, reset, after)
    done = tapehost.run("sink", "--run", "R2", "--host", "h2", input=blocks(1), check=False, steal=True)
    assert tape.records[:4] == before
    assert done.returncode == 0 or not heard or opcode == WHERE, done.stderr
    assert sizes(library) == ([[8192], [BLOCK], [BLOCK], []] if done.returncode == 0 else [[8192], [BLOCK], []])
    drive.trouble = None
    tapehost.sink("R2", "h3", blocks(1), steal=True)
    assert tape.records[:4] == before


@pytest.mark.parametrize("buffer", ["", "8M"])
def test_an_error_that_comes_with_the_mark_is_one_of_the_archive(
    tapehost: TapeHost, library: Library, buffer: str
) -> None:
    """The drive says only then that it could not write what it had in its buffer."""
    library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    library.drives[0].trouble = once(MARK, lambda: sense(MEDIUM_ERROR, 0x0C00))
    refusal = tapehost.refused("sink", "--run", "R1", "--host", "h2", input=blocks(3), buffer=buffer)
    assert "input/output error (write a file mark)" in refusal
    assert [state for _file, _host, state in tapehost.archives("ONE")] == ["written", "failed"]
    assert tapehost.sink("R1", "h3", blocks(1))["file"] == 3
    assert sizes(library) == [[8192], [BLOCK], [BLOCK] * 3, [BLOCK], []]


def test_a_reset_in_the_middle_of_an_archive(tapehost: TapeHost, library: Library) -> None:
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    before = list(tape.records)
    library.drives[0].trouble = once(WRITE, lambda: library.drives[0].reset(rewinds=True), after=3)
    refusal = tapehost.refused("sink", "--run", "R1", "--host", "h2", input=blocks(8))
    assert "Input/output error" in refusal
    assert tape.records[:4] == before
    library.drives[0].trouble = None
    assert tapehost.sink("R1", "h3", blocks(1))["file"] == 3
    assert [state for _file, _host, state in tapehost.archives("ONE")] == ["written", "failed", "written"]


def test_another_tape_while_the_drive_is_ours(tapehost: TapeHost, library: Library) -> None:
    """Changed at the drive's own button: what was found out about the first one is void."""
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    other = library.tape("B00002L6")
    other.records += [bytes(512), None, bytes(512), None, bytes(512), None]
    before = list(tape.records), list(other.records)
    library.drives[0].trouble = once(SPACE, lambda: library.load(0, other))
    refusal = tapehost.refused("sink", "--run", "R2", "--host", "h2", input=blocks(1), steal=True)
    assert "tape ONE was in it, but now its tape holds data without a label" in refusal
    assert (tape.records, other.records) == before
