# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drive through mt-st: which devices may be used, what it says, and where it is sent.

What a real driver does is in tests/tape; here is what it says, as it was recorded there (mt-st 1.4, Linux 6.1).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.tape import load, script

drives, media, problems = load("tapehost", "drive", "media", "problem")
Problem = problems.Problem
NST0 = os.makedev(9, 128)
Device = Callable[..., str]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """Lets this path be a device of this number."""
    plain = os.stat

    def make(number: int = NST0, path: str = "/dev/tape/site", mode: int = stat.S_IFCHR) -> str:
        def look(asked: Any, *args: Any, **options: Any) -> Any:
            if asked == path:
                return SimpleNamespace(st_mode=mode | 0o660, st_rdev=number)
            return plain(asked, *args, **options)

        monkeypatch.setattr(os, "stat", look)
        return path

    return make


@pytest.mark.parametrize(
    ("minor", "key"),
    [
        (128, "st0"),
        (128 + 3, "st3"),
        (128 + 31, "st31"),
        (128 + 32, "st0"),  # nst0l, nst0m, nst0a: other modes of the same drive
        (128 + 64 + 1, "st1"),
        (128 + 96 + 1, "st1"),
        (256 + 128 + 64 + 1, "st33"),
    ],
)
def test_a_device_is_judged_by_its_number(minor: int, key: str, device: Device) -> None:
    assert media.open_drive(device(os.makedev(9, minor))).key == key


@pytest.mark.parametrize(("minor", "name"), [(0, "nst0"), (1, "nst1"), (32, "nst0"), (96 + 5, "nst5"), (256, "nst32")])
def test_a_device_that_rewinds(minor: int, name: str, device: Device) -> None:
    with pytest.raises(Problem) as raised:
        media.open_drive(device(os.makedev(9, minor), "/dev/nst-by-its-name"))
    assert str(raised.value) == (
        "/dev/nst-by-its-name rewinds its tape each time it is closed, so that each archive would overwrite the one "
        "before: use the device of this drive that does not: /dev/%s, or its name in /dev/tape/by-id, …-nst" % name
    )


@pytest.mark.parametrize(
    ("number", "mode"),
    [
        (os.makedev(1, 3), stat.S_IFCHR),
        (os.makedev(21, 128), stat.S_IFCHR),  # sg
        (os.makedev(9, 128), stat.S_IFBLK),  # md
        (0, stat.S_IFREG),
    ],
)
def test_what_is_no_tape_drive(number: int, mode: int, device: Device) -> None:
    with pytest.raises(Problem) as raised:
        media.open_drive(device(number, mode=mode))
    assert str(raised.value) == (
        "/dev/tape/site is not a tape drive: a device of the st driver is wanted (major number 9), or a directory as "
        "a virtual tape"
    )


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Problem) as raised:
        media.open_drive(str(tmp_path / "nst0"))
    assert str(raised.value) == (
        "drive %s: No such file or directory: check tape_devices of this host; ls -l /dev/tape/by-id shows its drives"
        % (tmp_path / "nst0")
    )
    assert media.open_drive(str(tmp_path)).kind == "virtual"


STATUS = """\
SCSI 2 tape drive:
File number=%d, block number=%d, partition=0.
Tape block size 0 bytes. Density code 0x%s.
Soft error count since last status=0
General status bits on (%s):
 %s
"""
SAID = [
    ((-1, -1, "0 (default)", "50000", "DR_OPEN IM_REP_EN"), (False, False, -1, -1, False)),
    ((0, 0, "5a (LTO-6)", "41010000", "BOT ONLINE IM_REP_EN"), (True, False, 0, 0, False)),
    ((-1, -1, "5a (LTO-6)", "1010000", "ONLINE IM_REP_EN"), (True, False, -1, -1, False)),
    ((3, 0, "5a (LTO-6)", "81010000", "EOF ONLINE IM_REP_EN"), (True, False, 3, 0, False)),
    ((4, 0, "5a (LTO-6)", "9010000", "EOD ONLINE IM_REP_EN"), (True, False, 4, 0, True)),
    ((0, 0, "5a (LTO-6)", "45010000", "BOT WR_PROT ONLINE IM_REP_EN"), (True, True, 0, 0, False)),
    ((8388609, -1, "0 (default)", "9010000", "EOD ONLINE IM_REP_EN"), (True, False, 8388609, -1, True)),
]


@pytest.mark.parametrize(("said", "expected"), SAID)
def test_status(said: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    assert tuple(drives.parse_status(STATUS % said)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "drive type = 114\ndrive status = 0\nsense key error = 0\nresidue count = 0\n",  # the mt of cpio
        "General status bits on (41010000):\n BOT ONLINE IM_REP_EN\n",
    ],
)
def test_a_status_that_is_not_understood(text: str) -> None:
    with pytest.raises(Problem, match="^mt-st status says what this program does not understand"):
        drives.parse_status(text)


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Makes an mt-st; what it is called with goes to a file."""

    def make(text: str) -> Path:
        log = tmp_path / "log"
        script(tmp_path / "bin", "mt-st", '#!/bin/sh\necho "$LC_ALL: $*" >> %s\n%s\n' % (log, text))
        monkeypatch.setenv("PATH", "%s:%s" % (tmp_path / "bin", os.environ["PATH"]))
        return log

    return make


MT = "mt-st setblk 0"
SENTENCES = [
    (
        "/dev/tape/site: Device or resource busy",
        "drive /dev/tape/site is in use by another program (%s): fuser -v /dev/tape/site shows which" % MT,
        True,
    ),
    ("/dev/tape/site: No medium found", "drive /dev/tape/site has no tape in it (%s): load one" % MT, False),
    (
        "/dev/tape/site: Read-only file system",
        "drive /dev/tape/site has a write-protected tape in it (%s): slide its tab, or load another" % MT,
        False,
    ),
    (
        "/dev/tape/site: No such device or address",
        "drive /dev/tape/site has no drive behind it (%s): is it switched on? lsscsi -g lists the drives" % MT,
        False,
    ),
    ("it burns", "mt-st setblk 0 on /dev/tape/site: it burns: dmesg says more", False),
    ("", "mt-st setblk 0 on /dev/tape/site: exit status 2: dmesg says more", False),
]


@pytest.mark.parametrize(("said", "sentence", "busy"), SENTENCES)
def test_what_mt_complains_of(
    said: str, sentence: str, busy: bool, device: Device, tool: Callable[[str], Path]
) -> None:
    log = tool("echo '%s' >&2; exit 2" % said if said else "exit 2")
    with pytest.raises(Problem) as raised:
        media.open_drive(device()).prepare(None)
    assert (str(raised.value), raised.value.busy) == (sentence, busy)
    assert log.read_text() == "C: -f /dev/tape/site setblk 0\n"


def test_a_drive_without_a_compression_page(
    device: Device, tool: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    log = tool('case "$*" in *compression*) echo "/dev/tape/site: Input/output error" >&2; exit 2;; esac')
    media.open_drive(device()).prepare(True)
    media.open_drive(device()).prepare(False)
    assert [line.split("site ")[1] for line in log.read_text().splitlines()] == [
        "setblk 0",
        "compression 1",
        "setblk 0",
        "compression 0",
    ]
    assert capsys.readouterr().err.startswith("compression was not set: drive /dev/tape/site gives an input/output")


def test_there_is_no_mt_st(device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Problem) as raised:
        media.open_drive(device()).status()
    assert str(raised.value) == (
        "there is no mt-st on this host: install the package mt-st (the mt of cpio will not do)"
    )


@pytest.mark.parametrize(
    ("number", "sentence", "busy"),
    [
        (errno.EBUSY, "drive D is in use by another program: fuser -v D shows which", True),
        (errno.ENOMEDIUM, "drive D has no tape in it: load one", False),
        (
            errno.EACCES,
            "drive D cannot be opened: permission denied: a write-protected tape, or set tape_become",
            False,
        ),
    ],
)
def test_what_a_device_answers(number: int, sentence: str, busy: bool) -> None:
    found = drives.problem_of("D", OSError(number, os.strerror(number)))
    assert (str(found), found.busy) == (sentence, busy)


class Tape:
    """A tape of so many files, as st shows it through mt: where it is, and what it was told."""

    def __init__(self, drive: Any, files: int, at: tuple[int, int], sticks: bool = False):
        self.files = files
        self.at = at
        self.sticks = sticks
        self.told: list[str] = []
        drive.mt = self.mt

    def mt(self, *words: str) -> str:
        if words[0] == "status":
            return STATUS % (*self.at, "5a", "1010000", "ONLINE IM_REP_EN")
        self.told.append(" ".join(words))
        if words[0] == "rewind":
            self.at = (0, 0)
        elif words[0] == "fsf":
            number = self.at[0] + int(words[1])
            if number > self.files:
                self.at = (self.files, -1)
                raise Problem("drive D gives an input/output error (mt-st fsf %s)" % words[1])
            self.at = (number, 5 if self.sticks else 0)
        return ""


@pytest.mark.parametrize(
    ("at", "number", "sure", "told"),
    [
        ((3, 0), 3, True, []),
        ((3, 0), 3, False, ["rewind", "fsf 3"]),
        ((1, 7), 3, True, ["fsf 2"]),
        ((3, 7), 3, True, ["rewind", "fsf 3"]),
        ((4, 0), 3, True, ["rewind", "fsf 3"]),
        ((-1, -1), 3, True, ["rewind", "fsf 3"]),
        ((2, 0), 0, True, ["rewind"]),
        ((0, 1), 1, True, ["fsf 1"]),
    ],
)
def test_where_a_drive_is_sent(at: tuple[int, int], number: int, sure: bool, told: list[str], device: Device) -> None:
    drive = media.open_drive(device())
    drive.sure = sure
    tape = Tape(drive, 5, at)
    drive.position(number)
    assert (tape.told, tape.at) == (told, (number, 0))


def test_a_place_that_is_not_there(device: Device) -> None:
    drive = media.open_drive(device())
    Tape(drive, 2, (0, 0))
    with pytest.raises(
        Problem, match="^the tape in /dev/tape/site has fewer than 3 tape files: drive D gives an input"
    ):
        drive.position(3)


def test_a_drive_that_says_it_is_elsewhere(device: Device) -> None:
    drive = media.open_drive(device())
    Tape(drive, 9, (0, 0), sticks=True)
    with pytest.raises(Problem) as raised:
        drive.position(3)
    assert str(raised.value) == (
        "drive /dev/tape/site was sent to tape file 3 and says that it is at file 3, block 5: nothing was written; "
        "look at it with mt-st -f /dev/tape/site status"
    )


@pytest.mark.parametrize("at", [(3, 0), (4, 1), (5, 0), (-1, -1)])
def test_an_archive_that_did_not_end_where_it_must(at: tuple[int, int], device: Device) -> None:
    drive = media.open_drive(device())
    Tape(drive, 9, at)
    with pytest.raises(Problem) as raised:
        drive.written(3)
    assert str(raised.value) == (
        "after tape file 3 was written, drive /dev/tape/site says that it is at file %d, block %d: the archive may "
        "not be whole" % at
    )
    Tape(drive, 9, (4, 0))
    drive.written(3)
