# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which drive a changer means by a number: what it says of its drives, and what may be done when it does not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem as problems
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import (
    detect,
    elements,
    hardware,
    mtio,
    serials,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve import mount
from ansible_collections.plumbing.socketpipe.tests.unit.clock import Clock

Problem = problems.Problem

# of sg_raw 0.4.34 (sg3-utils 1.46), on standard error, with a virtual changer of two drives
SG_RAW = """\
SCSI Status: Good$

Received 116 bytes of data:
 00     01 00 00 02 00 00 00 6c  04 00 00 32 00 00 00 64    .......l...2...d
 10     01 00 08 00 00 00 00 00  00 00 00 00 02 01 00 22    ..............."
 20     53 4f 43 4b 45 54 50 49  55 6c 74 72 69 75 6d 20    SOCKETPIUltrium$
 30     36 2d 53 43 53 49 20 20  44 52 49 56 45 30 30 30    6-SCSI  DRIVE000
 40     30 30 01 01 09 00 00 00  00 00 00 00 00 00 02 01    00..............
 50     00 22 53 4f 43 4b 45 54  50 49 55 6c 74 72 69 75    ."SOCKETPIUltriu
 60     6d 20 36 2d 53 43 53 49  20 20 44 52 49 56 45 30    m 6-SCSI  DRIVE0
 70     30 30 30 31                                         0001
""".replace("$", " ")
TWO = {0: "SOCKETPIUltrium 6-SCSI DRIVE00000", 1: "SOCKETPIUltrium 6-SCSI DRIVE00001"}


@pytest.mark.parametrize(
    ("status", "out", "err", "expected"),
    [
        (0, "", SG_RAW, TWO),
        (0, SG_RAW, "", TWO),
        (2, "", "SCSI Status: Check Condition\n\nIllegal Request\n", {}),
        (0, "", "SCSI Status: Good \n\nNo data received\n", {}),
        (0, "", SG_RAW.partition("\n 50")[0], {0: TWO[0]}),
    ],
)
def test_what_a_changer_says_of_its_drives(
    status: int, out: str, err: str, expected: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "ask", lambda _argv: (status, out, err))
    assert elements.identifiers("/dev/sg2") == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {}),
        (bytes(8) + b"\4\0\0\x10\0\0\0\x10" + bytes(16), {}),  # without identifiers
        (bytes(8) + b"\4\0\0\0\0\0\0\0" + bytes(16), {}),
        (bytes(8) + b"\4\x3f\0\x14\0\0\0\x14" + bytes(12) + b"\2\0\0\4X1 \0", {0: "X1"}),  # reserved bits
        (bytes(8) + b"\4\x40\0\x38\0\0\0\x38" + bytes(48) + b"\2\0\0\4X1 \0", {0: "X1"}),
        (bytes(8) + b"\4\x80\0\x38\0\0\0\x38" + bytes(48) + b"\2\0\0\4X1 \0", {0: "X1"}),  # behind a tape's label
    ],
)
def test_what_a_changer_may_say(data: bytes, expected: dict[int, str]) -> None:
    assert elements.parse(data) == expected


def test_the_serial_number_of_a_device(tmp_path: Path) -> None:
    page = tmp_path / "dev" / "char" / "1:3" / "device" / "vpd_pg80"
    assert serials.serial("/dev/null", str(tmp_path)) == ""
    page.parent.mkdir(parents=True)
    page.write_bytes(b"\1\x80\0\x0c" + b"HU1234567A \0")
    assert serials.serial("/dev/null", str(tmp_path)) == "HU1234567A"
    assert serials.serial("/no/such", str(tmp_path)) == ""


class Machine:
    """Names of drives, and what the kernel knows of them: by the numbers of devices that every machine has."""

    DEVICES = {"null": "1:3", "zero": "1:5", "full": "1:7"}

    def __init__(self, top: Path) -> None:
        self.dev, self.sysfs = top / "dev", top / "sys"
        (self.dev / "tape/by-id").mkdir(parents=True)

    def drive(self, device: str, own: str, *names: str) -> None:
        if own:
            page = self.sysfs / "dev/char" / self.DEVICES[device] / "device/vpd_pg80"
            page.parent.mkdir(parents=True)
            page.write_bytes(b"\1\x80\0\x0a" + own.encode())
        for name in names:
            (self.dev / name).symlink_to(f"/dev/{device}")

    def find(self, serial: Any) -> str:
        found = serials.device_of({"serial": serial}, str(self.dev), str(self.sysfs))
        return found.removeprefix(f"{self.dev}/")

    def missing(self, serial: str) -> str:
        return str(serials.missing(self.find(serial), str(self.dev), str(self.sysfs)))


def test_drives_by_their_serial_numbers(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.drive("null", "HU1", "nst0", "tape/by-id/scsi-HU1-nst", "tape/by-id/scsi-HU1")
    machine.drive("zero", "HU12", "nst1", "st1", "tape/by-id/scsi-35000e111c5a3b001-nst")
    machine.drive("full", "", "nst2", "tape/by-id/usb-HU3-nst")
    assert machine.find("HU1") == machine.find(" HU1 ") == "tape/by-id/scsi-HU1-nst"
    assert machine.find("HU12") == machine.find("35000e111c5a3b001") == "tape/by-id/scsi-35000e111c5a3b001-nst"
    assert machine.find("HU3") == "tape/by-id/usb-HU3-nst"
    assert (machine.find("HU"), machine.find("U1")) == ("serial HU", "serial U1")
    text = "there is no drive with the serial number HU on this host: its drives have: HU1, HU12"
    assert machine.missing("HU") == text


def test_drives_without_links_of_udev(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    nothing = "it has no drive at all: lsscsi -g lists drives"
    assert machine.missing("A") == f"there is no drive with the serial number A on this host: {nothing}"
    machine.drive("null", "A1", "nst0", "st0", "nst0a", "sg0")
    machine.drive("zero", "A2", "nst1", "st1")
    assert (machine.find("A2"), machine.find("A3")) == ("nst1", "serial A3")


def test_a_drive_that_is_not_there_is_named(tmp_path: Path) -> None:
    wanted = serials.device_of({"serial": "NONE"}, str(tmp_path))
    with pytest.raises(Problem, match="^there is no drive with the serial number NONE on this host: "):
        detect.drive_at(wanted)


def held(index: int, loaded: bool = True, barcode: str = "") -> Any:
    status = SimpleNamespace(loaded=loaded)
    drive = SimpleNamespace(path="/dev/nst0", status=lambda: status)
    settings = SimpleNamespace(changer="/dev/sg2", devices=["/dev/nst0", "/dev/nst1"])
    return SimpleNamespace(index=index, drive=drive, label={"barcode": barcode}, settings=settings)


BY_ORDER = -1
FOREIGN = (
    "changer /dev/sg2 has no drive with the serial number of /dev/nst0, A1: is it another library's? "
    "the drives of the changer are 0: vendor A2; 1: vendor A3"
)


@pytest.mark.parametrize(
    ("known", "own", "index", "number"),
    [
        ({0: "vendor A1", 1: "vendor A2"}, "A1", 0, 0),
        ({0: "vendor A2", 1: "vendor A1"}, "A1", 0, 1),
        ({0: "vendorA2", 1: "vendorA1"}, "A1", 0, 1),
        ({0: "vendor BA1", 1: "vendor A1"}, "A1", 0, 1),
        ({0: "A1", 3: "A2"}, "A2", 1, 3),
        ({0: "vendor A2", 1: "vendor A3"}, "A1", 1, FOREIGN),
        ({}, "A1", 0, BY_ORDER),
        ({0: "vendor A2"}, "A1", 1, BY_ORDER),
        ({0: "vendor A1"}, "", 0, BY_ORDER),
        ({0: "BA1", 1: "CA1"}, "A1", 5, BY_ORDER),
    ],
)
def test_a_drive_has_the_number_of_its_serial_number(
    known: dict[int, str], own: str, index: int, number: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its place in tape_devices."""
    monkeypatch.setattr(elements, "identifiers", lambda _changer: known)
    monkeypatch.setattr(elements, "serial", {"/dev/nst0": own}.__getitem__)
    monkeypatch.setattr(elements, "by_what_is_full", lambda *_given: BY_ORDER)
    try:
        assert elements.number_of(held(index), {"drives": {}, "slots": {}}) == number
    except Problem as exc:
        assert (str(exc), exc.kind) == (number, problems.SETTINGS)


FULL, OTHER, EMPTIED = ({"full": full, "barcode": code} for full, code in ((True, "A"), (True, "B"), (False, "")))
UNKNOWN = "changer /dev/sg2 does not report which of its drives is /dev/nst0, nor does the label of the tape in it"


@pytest.mark.parametrize(
    ("drives", "loaded", "barcode", "problem"),
    [
        ({0: FULL}, False, "", ""),
        ({1: FULL, 2: EMPTIED}, True, "", ""),
        ({0: FULL, 1: EMPTIED}, True, "", ""),
        ({0: EMPTIED, 1: FULL}, False, "", ""),
        ({0: FULL, 1: EMPTIED}, False, "", "changer /dev/sg2 reports that its drive 0 is full, but /dev/nst0 is not"),
        ({0: EMPTIED, 1: FULL}, True, "", "changer /dev/sg2 reports that its drive 0 is empty, but /dev/nst0 is not"),
        ({0: FULL, 1: OTHER}, True, "A", ""),
        ({0: FULL, 1: OTHER}, True, "B", UNKNOWN),
        ({0: FULL, 1: OTHER}, True, "", UNKNOWN),
    ],
)
def test_a_drive_is_known_by_what_is_full(drives: Any, loaded: bool, barcode: str, problem: str) -> None:
    try:
        found: Any = elements.by_what_is_full("/dev/sg2", held(0, loaded, barcode), drives)
    except Problem as exc:
        assert problem and str(exc).startswith(problem) and exc.kind == problems.SETTINGS
    else:
        assert found == 0 and not problem


def drive(clock: Clock, *states: tuple[float, bool, bool]) -> Any:
    """A drive that is (loaded, empty) from these seconds on."""

    def status() -> Any:
        loaded, empty = [state[1:] for state in states if state[0] <= clock.now][-1]
        return mtio.Status(loaded, False, 0, 0, False, empty)

    return SimpleNamespace(drive=SimpleNamespace(path="/dev/nst0", status=status))


READY, CALIBRATES, EMPTY = (True, False), (False, False), (False, True)
SAID = (
    "drive /dev/nst0 is getting its tape ready: a new tape for LTO-9 or later is calibrated when it is first loaded, "
    "which takes up to two hours; waiting for up to 3:00:00\n"
)


@pytest.mark.parametrize(
    ("states", "until", "said", "problem"),
    [
        ([(0, *EMPTY), (20, *CALIBRATES), (40, *READY)], 40, "", ""),
        ([(0, *CALIBRATES), (7100, *READY)], 7100, SAID, ""),
        ([(0, *EMPTY)], 300, "", "drive /dev/nst0 has no tape 0:05:00 after it was loaded: check its panel; "),
        ([(0, *CALIBRATES)], 10800, SAID, "drive /dev/nst0 has no tape ready 3:00:00 after it was loaded: "),
    ],
)
def test_how_long_a_tape_is_waited_for(
    states: list[tuple[float, bool, bool]],
    until: float,
    said: str,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock(0.0)
    monkeypatch.setattr(mount, "time", clock)
    try:
        mount.wait_ready(drive(clock, *states))
        text = ""
    except Problem as exc:
        text = str(exc)
    assert text.startswith(problem) and bool(text) is bool(problem)
    assert (capsys.readouterr().err, clock.now) == (said, until)
