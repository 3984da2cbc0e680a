# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The program of the tape host and a library: the next tape, the order of its drives, and a tape that takes long."""

from __future__ import annotations

import typing as t
from pathlib import Path
from unittest.mock import ANY

import pytest

from .drive import Drive
from .guest import Guest
from .library import Library
from .medium import NOT_READY, Tape, sense
from .tapehost import BLOCK, TapeHost, blocks
from .test_tapehost import sizes

TEST_UNIT_READY = 0x00


@pytest.fixture
def tapehost(guest: Guest, scratch: Path) -> TapeHost:
    return TapeHost(guest, scratch)


def test_the_next_tape_of_the_changer(tapehost: TapeHost, library: Library) -> None:
    first = library.tape("A00001L6", slot=1, capacity=8 * BLOCK)
    second = library.tape("B00002L6", slot=2)
    settings: dict[str, t.Any] = {"changer": library.robot, "barcodes": ["A00001L6", "B00002L6"]}
    for number, (name, tape) in enumerate((("ONE", first), ("TWO", second)), 1):
        tapehost.guest.mtx("load", str(number), "0")
        tapehost.label(name, "--barcode", tape.barcode)
        tapehost.guest.mt("offline")
        tapehost.guest.mtx("unload", str(number), "0")
    assert tapehost.sink("R1", "h1", blocks(2), **settings)["tape"] == "ONE"
    assert "the tape is full" in tapehost.refused("sink", "--run", "R1", "--host", "h2", input=blocks(20), **settings)
    assert tapehost.sink("R1", "h2", blocks(20), **settings)["tape"] == "TWO"
    back = tapehost.run("source", "--tape", "ONE", "--file", "1", **settings).stdout
    assert back.encode() == blocks(2)
    assert library.drives[0].tape is first


@pytest.mark.parametrize("to", ["hand", "slot", "mail_slot", "no mail_slot"])
def test_the_tape_of_a_run_leaves_the_drive_at_its_end(tapehost: TapeHost, library: Library, to: str) -> None:
    """After the copy of the catalog; the archives are good whatever the changer does."""
    tape = library.tape("A00001L6", drive=0 if to == "hand" else None, slot=None if to == "hand" else 1)
    settings: dict[str, t.Any] = {"eject": True}
    if to != "hand":
        settings.update(changer=library.robot, eject_to=to.rpartition(" ")[2])
        tapehost.guest.mtx("load", "1", "0")
        library.changer.doors = [library.tape("B00002L6"), None][: 1 if to == "no mail_slot" else 2]
    tapehost.label("ONE", "--barcode", tape.barcode)
    tapehost.sink("R1", "h1", blocks(2))
    tapehost.commit("R1", "h1", blocks(2))
    told = tapehost.ask("finish", "--run", "R1", **settings)
    assert (told["tapes"], [each["state"] for each in told["archives"]]) == (["ONE"], ["good"])
    assert [len(file) for file in tape.files()][:2] == [1, 2] and len(tape.files()) >= 3, "with the catalog"
    if to == "hand":
        assert library.drives[0].ejected and not told["warnings"]
        return
    assert library.drives[0].tape is None
    assert (library.changer.slots[0], library.changer.doors[-1]) == ((None, tape) if to == "mail_slot" else (tape, ANY))
    full = "tape ONE is in slot 1 of changer /dev/sg2: the changer has no mail slot, or none is free"
    assert told["warnings"] == ([full] if to == "no mail_slot" else [])


def test_the_site_s_own_way_to_the_next_tape(tapehost: TapeHost, library: Library, scratch: Path) -> None:
    library.tape("A00001L6", drive=0, capacity=4 * BLOCK)
    tapehost.label("ONE")
    tapehost.refused("sink", "--run", "R1", "--host", "h1", input=blocks(8))
    library.tape("B00002L6", slot=3)
    tapehost.guest.mtx("load", "3", "1")
    tapehost.label("TWO", devices=library.devices[1:])
    tapehost.guest.sh("mt-st -f /dev/nst1 offline; mtx -f /dev/sg2 unload 3 1")
    command = "echo $TAPE_DEVICE $TAPE_REASON >> %s/asked; mt-st -f $TAPE_DEVICE offline; " % scratch
    command += "mtx -f /dev/sg2 unload 1 0 && mtx -f /dev/sg2 load 3 0"
    assert tapehost.sink("R1", "h1", blocks(8), next_command=command)["tape"] == "TWO"
    assert (scratch / "asked").read_text() == "/dev/nst0 full\n"
    assert "did not load" in tapehost.refused("source", "--tape", "ONE", "--file", "1", next_command="exit 3")


def crossed(tapehost: TapeHost, library: Library) -> tuple[Tape, dict[str, t.Any]]:
    """A changer whose first drive is nst1, and a tape in its slot 1; what the role is told is the other way round."""
    library.changer.in_order = library.drives[::-1]
    tape = library.tape("A00001L6", drive=1)
    tapehost.label("ONE", "--barcode", tape.barcode, devices=library.devices[1:])
    library.load(1, None)
    library.changer.slots[0] = tape
    settings = {"changer": library.robot, "barcodes": [tape.barcode], "devices": library.devices}
    return tape, settings


@pytest.mark.parametrize("by_serial", [False, True])
def test_drives_that_are_not_in_the_changer_s_order(tapehost: TapeHost, library: Library, by_serial: bool) -> None:
    """The changer and the kernel know their serial numbers, so the tape gets into the drive that was emptied for it."""
    tape, settings = crossed(tapehost, library)
    other = library.tape("X00009L6", drive=0)
    other.records += [bytes(512), None]
    if by_serial:
        settings["devices"] = [{"serial": drive.serial} for drive in library.drives]
        refusal = tapehost.refused("label", "--label", "TWO", devices=[{"serial": "NONE"}])
        assert refusal == (
            "there is no drive with the serial number NONE on this host: its drives have: DRIVE00000, DRIVE00001"
        )
    assert tapehost.sink("R1", "h1", blocks(2), **settings)["tape"] == "ONE"
    assert library.drives[1].tape is tape
    assert library.drives[0].tape is other and not library.drives[0].ejected


def test_a_drive_of_another_library(tapehost: TapeHost, library: Library) -> None:
    """Nothing is moved, and no drive is told to let go of its tape."""
    tape, settings = crossed(tapehost, library)
    stranger = Drive("STRANGER")
    library.changer.in_order = [stranger, stranger]
    refusal = tapehost.refused("sink", "--run", "R1", "--host", "h1", input=blocks(1), **settings)
    assert "changer /dev/sg2 has no drive with the serial number of /dev/nst" in refusal
    assert "the drives of the changer are 0: SOCKETPIUltrium 6-SCSI STRANGER; 1: " in refusal
    assert (library.changer.moves, library.changer.slots[0]) == ([], tape)
    assert not any(drive.ejected for drive in library.drives)


@pytest.mark.parametrize("first", [True, False])
def test_a_changer_that_does_not_say_which_drives_it_has(tapehost: TapeHost, library: Library, first: bool) -> None:
    """What is full says it, or which drive becomes ready; another drive keeps its tape whatever happens."""
    tape, settings = crossed(tapehost, library)
    library.changer.identifies = False
    if first:
        settings["devices"] = library.devices[::-1]
        assert tapehost.sink("R1", "h1", blocks(2), **settings)["tape"] == "ONE"
        return
    other = library.tape("X00009L6", drive=0)
    other.records += [bytes(512), None]
    third = library.tape("Y00009L6", drive=1)
    third.records += [bytes(512), None]
    refusal = tapehost.refused("sink", "--run", "R1", "--host", "h1", input=blocks(1), **settings)
    assert "changer /dev/sg2 does not report which of its drives is /dev/nst0" in refusal
    assert (library.changer.moves, library.drives[0].tape, library.drives[1].tape) == ([], other, third)
    library.load(1, None)
    refusal = tapehost.refused("sink", "--run", "R1", "--host", "h1", input=blocks(1), **settings)
    assert "changer /dev/sg2 reports that its drive 1 is full, but /dev/nst1 is not" in refusal
    assert (library.changer.moves, library.drives[0].tape, library.drives[0].ejected) == ([], other, False)


def test_a_tape_that_is_calibrated_is_waited_for(tapehost: TapeHost, library: Library) -> None:
    """The drive is not ready, and has a tape: a new one for LTO-9 takes up to two hours, once."""
    library.tape("A00001L9", drive=0)
    tapehost.label("ONE")
    asked: list[int] = []

    def calibrating(cdb: bytes) -> t.Any:
        if cdb[0] != TEST_UNIT_READY or len(asked) > limit:
            return None
        asked.append(cdb[0])
        return sense(NOT_READY, 0x0401)

    limit = 1000
    library.drives[0].trouble = calibrating
    text = "drive /dev/nst0 is getting its tape ready: a new tape for LTO-9 or later is calibrated"
    assert text in tapehost.refused("sink", "--run", "R1", "--host", "h1", input=blocks(1))
    assert tapehost.ask("inventory")["drives"][0]["message"].startswith(text)
    del asked[:]
    limit = 4
    done = tapehost.run("sink", "--run", "R1", "--host", "h1", input=blocks(1), wait=1)
    assert text in done.stderr
    assert sizes(library) == [[8192], [BLOCK], []]
