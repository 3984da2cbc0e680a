# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which drive a changer means by a number: what it says of its drives, and what may be done when it does not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem as problems
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import elements, hardware, mtio
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve import mount

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
    assert elements.serial("/dev/null", str(tmp_path)) == ""
    page.parent.mkdir(parents=True)
    page.write_bytes(b"\1\x80\0\x0c" + b"HU1234567A \0")
    assert elements.serial("/dev/null", str(tmp_path)) == "HU1234567A"
    assert elements.serial("/no/such", str(tmp_path)) == ""


def held(index: int, loaded: bool = True, barcode: str = "") -> Any:
    status = SimpleNamespace(loaded=loaded)
    drive = SimpleNamespace(path="/dev/nst0", status=lambda: status, eject="eject")
    settings = SimpleNamespace(changer="/dev/sg2", devices=["/dev/nst0", "/dev/nst1"])
    return SimpleNamespace(index=index, drive=drive, label={"barcode": barcode}, settings=settings)


@pytest.mark.parametrize(
    ("known", "own", "index", "problem"),
    [
        ({0: "vendor A1", 1: "vendor A2"}, "A1", 0, ""),
        (
            {0: "vendor A1", 1: "vendor A2"},
            "A1",
            1,
            "drive 1 of changer /dev/sg2 has the serial number vendor A2, but the one in its place in tape_devices, "
            "/dev/nst0, has A1",
        ),
        ({}, "A1", 0, "asked by what is full"),
        ({0: "vendor A1"}, "A1", 1, "asked by what is full"),
        ({0: "vendor A1"}, "", 0, "asked by what is full"),
    ],
)
def test_a_drive_is_known_by_its_serial_number(
    known: dict[int, str], own: str, index: int, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serials = {"/dev/nst0": own, "/dev/nst1": "A2"}
    monkeypatch.setattr(elements, "identifiers", lambda _changer: known)
    monkeypatch.setattr(elements, "serial", serials.__getitem__)
    monkeypatch.setattr(elements, "by_what_is_full", lambda *_given: "asked by what is full")
    try:
        found: Any = elements.ejector(held(index), {"drives": {}})
    except Problem as exc:
        assert str(exc).startswith(problem) and exc.kind == problems.SETTINGS
        assert str(exc).endswith("the changer's order is: tape_devices: [/dev/nst0, /dev/nst1]")
    else:
        assert found == (problem or "eject")


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
        assert found == "eject" and not problem


class Clock:
    """Time that goes by when somebody sleeps."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr(mount, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds: float) -> None:
        self.now += seconds


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
    clock = Clock(monkeypatch)
    try:
        mount.wait_ready(drive(clock, *states))
        text = ""
    except Problem as exc:
        text = str(exc)
    assert text.startswith(problem) and bool(text) is bool(problem)
    assert (capsys.readouterr().err, clock.now) == (said, until)
