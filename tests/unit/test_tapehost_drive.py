# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drive: which devices may be used, what st says, where it is sent, and that only the drive's word is believed.

What a real driver does is in tests/tape; here is what it says, as it was recorded there (Linux 6.1).
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem as problems
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import detect, mtio
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import device as devices

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
    assert detect.drive_at(device(os.makedev(9, minor))).key == key


@pytest.mark.parametrize(("minor", "name"), [(0, "nst0"), (1, "nst1"), (32, "nst0"), (96 + 5, "nst5"), (256, "nst32")])
def test_a_device_that_rewinds(minor: int, name: str, device: Device) -> None:
    with pytest.raises(Problem) as raised:
        detect.drive_at(device(os.makedev(9, minor), "/dev/nst-by-its-name"))
    assert str(raised.value) == (
        "/dev/nst-by-its-name rewinds its tape each time it is closed, so each archive would overwrite the one "
        "before: use the non-rewinding device of this drive: /dev/%s, or its name in /dev/tape/by-id, …-nst" % name
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
        detect.drive_at(device(number, mode=mode))
    assert str(raised.value) == (
        "/dev/tape/site is not a tape drive: use a device of the st driver (major number 9), or a directory as "
        "a virtual tape"
    )


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Problem) as raised:
        detect.drive_at(str(tmp_path / "nst0"))
    assert str(raised.value) == (
        "drive %s: No such file or directory: check tape_devices of this host; "
        "ls -l /dev/tape/by-id shows its drives, and mkdir makes a virtual tape" % (tmp_path / "nst0")
    )
    assert detect.drive_at(str(tmp_path)).kind == "virtual"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
def test_the_numbers_of_the_ioctls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a compiler makes them of linux/mtio.h."""
    asked: list[tuple[int, int, bytes]] = []

    def ioctl(fd: int, request: int, value: bytes) -> bytes:
        asked.append((fd, request, value))
        return struct.pack("@l", 5) + bytes(len(value) - 8)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    operations = {
        (1, 3): lambda: mtio.do(7, mtio.FSF, 3),
        (3, 2): lambda: mtio.do(7, mtio.FSR, 2),
        (5, 1): lambda: mtio.do(7, mtio.WEOF),
        (6, 1): lambda: mtio.do(7, mtio.REW),
        (7, 1): lambda: mtio.do(7, mtio.OFFL),
        (12, 1): lambda: mtio.do(7, mtio.EOM),
        (20, 0): lambda: mtio.do(7, mtio.SETBLK, 0),
        (32, 1): lambda: mtio.do(7, mtio.COMPRESSION, 1),
    }
    for operation in operations.values():
        operation()
    assert mtio.position(7) == 5
    mtio.status(7)
    assert asked == [
        *((7, 0x40086D01, struct.pack("@hi", *operation)) for operation in operations),
        (7, 0x80086D03, bytes(8)),
        (7, 0x80306D02, bytes(48)),
    ]


SAID = [
    ((-1, -1, 0x00050000), (False, False, -1, -1, False, True)),  # no tape
    ((-1, -1, 0x00010000), (False, False, -1, -1, False, False)),  # it is getting one ready
    ((0, 0, 0x41010000), (True, False, 0, 0, False, False)),
    ((3, 0, 0x81010000), (True, False, 3, 0, False, False)),
    ((4, 0, 0x09010000), (True, False, 4, 0, True, False)),
    ((0, 0, 0x45010000), (True, True, 0, 0, False, False)),
    ((8388609, -1, 0x09010000), (True, False, 8388609, -1, True, False)),
]


@pytest.mark.parametrize(("said", "expected"), SAID)
def test_status(said: tuple[int, ...], expected: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    file, block, bits = said
    answer = struct.pack("@lllllii", 0x72, 0, 0x5A000000, bits, 0, file, block)
    asked: list[tuple[int, int, int]] = []

    def ioctl(fd: int, request: int, value: bytes) -> bytes:
        asked.append((fd, request, len(value)))
        return answer

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert tuple(mtio.status(7)) == expected
    assert asked == [(7, mtio.MTIOCGET, len(answer))]


def test_a_descriptor_waits_for_no_tape_and_then_for_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, asked = os.open, []

    def look(path: str, flags: int) -> int:
        asked.append(flags)
        if len(asked) > 1 and flags & os.O_RDWR:
            raise OSError(errno.EACCES, "Permission denied")
        return plain(path, flags)

    (tmp_path / "nst0").write_bytes(b"")
    monkeypatch.setattr(mtio.os, "open", look)
    for writes in (True, False):
        fd, may = mtio.opened(str(tmp_path / "nst0"))
        assert (may, fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK) == (writes, 0)
        assert not os.get_inheritable(fd)
        os.close(fd)
    assert all(flags & os.O_NONBLOCK for flags in asked)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EROFS, errno.ENXIO])
def test_only_permission_makes_a_reader_of_a_writer(
    number: int, monkeypatch: pytest.MonkeyPatch, device: Device
) -> None:
    asked: list[int] = []

    def look(path: str, flags: int) -> int:
        asked.append(flags)
        raise OSError(number, os.strerror(number))

    drive = detect.drive_at(device())
    monkeypatch.setattr(mtio.os, "open", look)
    with pytest.raises(Problem) as raised:
        drive.open()
    assert (len(asked), raised.value.kind == problems.BUSY) == (1, number == errno.EBUSY)


@pytest.mark.parametrize(
    ("number", "doing", "sentence", "kind"),
    [
        (
            errno.EBUSY,
            "",
            "drive D is in use by another program, or by a job with another catalog: fuser -v D shows which",
            "busy",
        ),
        (errno.ENOMEDIUM, "rewind", "drive D has no tape in it (rewind): load one", "failed"),
        (
            errno.EROFS,
            "",
            "drive D has a write-protected tape in it: move its write-protect tab, or load another",
            "failed",
        ),
        (
            errno.EACCES,
            "",
            "drive D cannot be used: permission denied: set tape_become, or give this user access",
            "failed",
        ),
        (
            errno.ENXIO,
            "",
            "drive D has no drive connected: is it switched on? lsscsi -g lists the drives",
            "failed",
        ),
        (
            errno.EIO,
            "read",
            "drive D returns an input/output error (read): is a tape loaded and ready? dmesg has details",
            "unreadable",
        ),
        (errno.EPERM, "", "drive D cannot be used: Operation not permitted: dmesg has details", "failed"),
    ],
)
def test_what_a_device_answers(number: int, doing: str, sentence: str, kind: str) -> None:
    found = devices.problem_of("D", OSError(number, os.strerror(number)), doing)
    assert (str(found), found.kind) == (sentence, kind)


class Tape:
    """A tape, and what st believes of it, which may be wrong: records are "r", marks are "m".

    As st does, it writes a mark by itself when somebody was writing and it is told to rewind.
    """

    def __init__(self, records: str, patch: pytest.MonkeyPatch) -> None:
        self.records = records
        self.here = 0  # the truth
        self.file, self.block = 0, 0  # what st believes
        self.told: list[str] = []
        self.dirty = False  # somebody was writing
        self.fails: dict[int, int] = {}  # of these operations the next one, with this errno
        for name, function in (("do", self.do), ("status", self.status), ("position", self.position)):
            patch.setattr(mtio, name, function)

    def reset(self) -> None:
        """Back to the beginning, and st does not hear of it."""
        self.here = 0

    def status(self, _fd: int) -> Any:
        return mtio.Status(True, False, self.file, self.block, False, False)

    def position(self, _fd: int) -> int:
        return self.here

    def write(self, blocks: int) -> None:
        """What a writer does."""
        self.records = self.records[: self.here] + "r" * blocks
        self.here += blocks
        self.block += blocks
        self.dirty = blocks > 0

    def do(self, _fd: int, operation: int, count: int = 1) -> None:
        self.told.append("%s %d" % (mtio.NAMES[operation], count))
        if self.dirty and operation == mtio.REW:
            self.records = self.records[: self.here] + "m"
        self.dirty = self.dirty and operation == mtio.SETBLK
        error = self.fails.pop(operation, 0)
        if error:
            raise OSError(error, os.strerror(error))
        if operation == mtio.REW:
            self.here = self.file = self.block = 0
        elif operation == mtio.WEOF:
            self.write(0)
            self.records += "m"
            self.here, self.file, self.block = self.here + 1, self.file + 1, 0
        elif operation == mtio.EOM:
            self.file += self.records[self.here :].count("m")
            self.here, self.block = len(self.records), -1
        elif operation == mtio.FSF:
            for _time in range(count):
                found = self.records.find("m", self.here)
                if found < 0:
                    self.here, self.block = len(self.records), -1
                    raise OSError(errno.EIO, "Input/output error")
                self.here, self.file, self.block = found + 1, self.file + 1, 0


Make = Callable[..., tuple[Any, Tape]]
TAPE = (
    "rm" + "rrm" + "rm" + "rrrm"
)  # a label and three archives: tape files 1, 2, 3 begin at blocks 2, 5, 7; 11 is the end


@pytest.fixture
def loaded(device: Device, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a drive with a tape."""

    def make(records: str = TAPE) -> tuple[Any, Tape]:
        drive = detect.drive_at(device())
        return drive, Tape(records, monkeypatch)

    return make


R, F = "rewind 1", "space forward %d"


@pytest.mark.parametrize(
    ("here", "at", "number", "sure", "told"),
    [
        (7, (3, 0), 3, True, []),
        (7, (3, 0), 3, False, [R, F % 3]),
        (4, (1, 2), 3, True, [F % 2]),
        (8, (3, 1), 3, True, [R, F % 3]),
        (11, (4, 0), 3, True, [R, F % 3]),
        (7, (-1, -1), 3, True, [R, F % 3]),
        (5, (2, 0), 0, True, [R]),
        (1, (0, 1), 1, True, [F % 1]),
        (0, (3, 0), 3, True, [R, F % 3]),  # st has not heard of a reset
        (2, (3, 0), 3, True, [R, F % 3]),
        (0, (2, 0), 3, True, [R, F % 3]),
    ],
)
def test_where_a_drive_is_sent(
    here: int, at: tuple[int, int], number: int, sure: bool, told: list[str], loaded: Make
) -> None:
    drive, tape = loaded()
    drive.located = sure
    tape.here, (tape.file, tape.block) = here, at
    drive.position(number)
    assert (tape.told, (tape.file, tape.block), drive.block) == (told, (number, 0), tape.here)
    assert tape.here == {0: 0, 1: 2, 3: 7}[number]


ERRORS: dict[str, Callable[[Any], object]] = {
    "rewind": lambda drive: drive.do(mtio.REW),
    "status": lambda drive: drive.status(),
    "get the position": lambda drive: drive.tell(),
    "read": lambda drive: drive.record(512),
    "read the label": lambda drive: drive.first_block(),
    "write the label": lambda drive: drive.write_label(b"x"),
    "expect": lambda drive: drive.expect(5, "now"),
}


@pytest.mark.parametrize("act", ERRORS.values(), ids=ERRORS)
def test_after_an_error_nobody_knows_where_the_tape_is(
    act: Callable[[Any], object], loaded: Make, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    drive, tape = loaded()

    def fail(*_given: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    tape.fails = {mtio.REW: errno.EIO} if request.node.callspec.id == "rewind" else {}
    for name, function in (("status", (mtio, "status")), ("get the position", (mtio, "position"))):
        if request.node.callspec.id == name:
            monkeypatch.setattr(*function, fail)
    plain = os.read, os.write
    monkeypatch.setattr(os, "read", lambda fd, size: fail() if fd == drive.fd else plain[0](fd, size))
    monkeypatch.setattr(os, "write", lambda fd, data: fail() if fd == drive.fd else plain[1](fd, data))
    drive.located, drive.fd = True, 10**6
    with pytest.raises(Problem):
        act(drive)
    assert not drive.located


@pytest.mark.parametrize("errors", [0, 1])
def test_after_an_error_of_the_buffer_nobody_knows_either(errors: int, loaded: Make) -> None:
    """It comes first; the drive is asked again."""
    drive, tape = loaded()
    tape.fails = {mtio.FSR: errno.EIO} if errors else {}
    drive.located, drive.writing = True, 3
    drive.idle()
    assert (drive.located, drive.writing, len(tape.told)) == (not errors, None, 1 + errors)
    drive.idle()
    assert len(tape.told) == 1 + errors


def test_a_place_that_is_not_there(loaded: Make) -> None:
    drive, _tape = loaded("rmrm")
    with pytest.raises(Problem) as raised:
        drive.position(3)
    assert str(raised.value) == (
        "the tape in /dev/tape/site has fewer than 3 tape files: drive /dev/tape/site returns an input/output error "
        "(space forward): is a tape loaded and ready? dmesg has details"
    )
    assert raised.value.kind == "end"


def test_an_error_on_the_way_is_not_the_end_of_the_data(loaded: Make) -> None:
    drive, tape = loaded()
    tape.fails[mtio.FSF] = errno.EIO
    with pytest.raises(Problem) as raised:
        drive.position(3)
    assert (raised.value.kind, drive.located) == ("unreadable", False)
    drive.position(3)
    assert tape.here == 7


def test_a_drive_that_says_it_is_elsewhere(loaded: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    drive, tape = loaded()
    monkeypatch.setattr(mtio, "status", lambda _fd: mtio.Status(True, False, 3, 5, False, False))
    with pytest.raises(Problem) as raised:
        drive.position(3)
    assert str(raised.value) == (
        "drive /dev/tape/site should be at tape file 3, but reports file 3, block 5 (block 7 of the tape): "
        "nothing was written; check it with mt-st -f /dev/tape/site status"
    )


@pytest.mark.parametrize(("number", "ends"), [(1, False), (3, False), (4, True)])
def test_where_the_data_ends(number: int, ends: bool, loaded: Make) -> None:
    drive, tape = loaded()
    assert drive.at_end(number) is ends
    assert drive.located is ends
    assert tape.here == 11


def test_an_archive_and_its_mark(loaded: Make) -> None:
    drive, tape = loaded()
    assert drive.at_end(4)
    with drive.output(4) as fd:
        assert fd == drive.fd
        tape.write(3)
    assert drive.written(4, 3) == 3
    assert (tape.records, drive.block, drive.located) == (TAPE + "rrrm", 15, True)
    with drive.output(5):
        tape.write(2)
    assert drive.written(5, None) == 2  # the writer has not counted


def test_nothing_is_written_where_the_tape_was_not_brought_to(loaded: Make) -> None:
    """st says file 4, and stands at the label."""
    drive, tape = loaded()
    assert drive.at_end(4)
    tape.reset()
    with pytest.raises(Problem) as raised, drive.output(4):
        tape.write(3)
    assert (tape.records, tape.file, drive.located) == (TAPE, 4, False)
    assert str(raised.value) == (
        "drive /dev/tape/site: before tape file 4 is written its tape must be at block 11, but is at block 0: "
        "the drive was reset, or another program moved the tape: dmesg has details"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda tape: tape.write(2),
            "after the 3 blocks of tape file 4 its tape must be at block 14, but is at block 13",
        ),
        (lambda tape: tape.reset(), "after the 3 blocks of tape file 4 .* is at block 0"),
        (lambda tape: tape.fails.update({mtio.WEOF: errno.EIO}), "an input/output error .write a file mark."),
        (lambda tape: tape.fails.update({mtio.WEOF: errno.ENOSPC}), "cannot be used: No space left on device"),
    ],
)
def test_an_archive_that_did_not_end_where_it_must(change: Callable[[Tape], None], sentence: str, loaded: Make) -> None:
    """Nor has a mark been written anywhere else; an error of what was buffered comes with the mark."""
    drive, tape = loaded()
    assert drive.at_end(4)
    with drive.output(4):
        if "block 13" not in sentence:
            tape.write(3)
        change(tape)
    with pytest.raises(Problem, match=sentence):
        drive.written(4, 3)
    assert drive.located is False
    assert tape.records.count("m") == 4


@pytest.mark.parametrize("blocks", [0, 3])
def test_a_writer_that_failed(blocks: int, loaded: Make) -> None:
    drive, tape = loaded()
    assert drive.at_end(4)
    with drive.output(4):
        tape.write(blocks)
    del tape.told[:]
    assert drive.close_file(4) is bool(blocks)
    assert tape.told == (["write a file mark 1"] if blocks else [])  # and the tape is not wound
    assert tape.records == TAPE + ("rrrm" if blocks else "")


def test_after_a_writer_that_failed_st_writes_no_mark_of_its_own(loaded: Make) -> None:
    """Before it rewinds, that would be where a reset has left the tape: at the label."""
    drive, tape = loaded()
    assert drive.at_end(4)
    with drive.output(4):
        tape.write(3)
    tape.reset()
    drive.located = False
    drive.rewind()
    assert tape.records == TAPE + "rrr"
    assert tape.told[-2:] == ["space forward by records 0", "rewind 1"]


@pytest.mark.parametrize(("records", "there"), [(TAPE, False), (TAPE + "rr", True), (TAPE + "rrm", True)])
def test_a_writer_that_was_killed(records: str, there: bool, loaded: Make) -> None:
    """Another process has left it so, and the last one at the drive may have put the tape anywhere."""
    drive, tape = loaded(records)
    tape.here, tape.file, tape.block = 1, 0, 1
    drive.located, drive.block = True, 0
    assert drive.close_file(4) is there
    assert tape.records == TAPE + ("rrm" if there else "")
    if records == TAPE + "rr":  # who goes on begins at a place that is known
        assert tape.told[-2:] == ["%s 1" % mtio.NAMES[mtio.WEOF], R] and drive.block == 0
    assert drive.at_end(5 if there else 4)


def test_an_error_on_the_way_to_the_mark_of_a_killed_writer_writes_none(loaded: Make) -> None:
    """It may stand anywhere: only where the data ends the mark may be missing."""
    drive, tape = loaded(TAPE + "rr")
    tape.here, tape.file = 11, 4
    drive.located = True
    tape.fails[mtio.FSF] = errno.EIO
    with pytest.raises(Problem) as raised:
        drive.close_file(4)
    assert (raised.value.kind, tape.records) == ("unreadable", TAPE + "rr")
    assert str(raised.value).startswith("drive /dev/tape/site returns an input/output error (space forward)")


@pytest.mark.parametrize("operation", ["REW", "EOM", "WEOF"])
def test_an_error_while_a_killed_writer_is_settled(operation: str, loaded: Make) -> None:
    """Is told, and not taken for an answer: it stays to be settled, and then is."""
    drive, tape = loaded(TAPE + "rr")
    tape.fails[getattr(mtio, operation)] = errno.EIO
    with pytest.raises(Problem) as raised:
        drive.close_file(4)
    assert (raised.value.kind, drive.located, tape.records) == ("unreadable", False, TAPE + "rr")
    assert drive.close_file(4) is True
    assert tape.records == TAPE + "rrm"


def test_a_drive_without_a_compression_page(loaded: Make, capsys: pytest.CaptureFixture[str]) -> None:
    drive, tape = loaded()
    drive.located = True
    tape.fails[mtio.COMPRESSION] = errno.EIO
    drive.prepare(True)
    drive.prepare(False)
    drive.prepare(None)
    blocks = "set variable blocks 0"
    assert tape.told == [blocks, "set compression 1", blocks, "set compression 0", blocks]
    said = "compression was not set: drive /dev/tape/site returns an input/output error (set compression)\n"
    assert (capsys.readouterr().err, drive.located) == (said, True)


@pytest.mark.parametrize(
    ("holds", "error", "told"), [(True, 0, ["eject 1"]), (True, errno.EIO, ["eject 1"]), (False, 0, [])]
)
def test_a_drive_lets_go_of_its_tape(
    holds: bool, error: int, told: list[str], loaded: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that has done it is no error; and of an empty drive nothing is wanted, as st would wait for a tape."""
    drive, tape = loaded()
    monkeypatch.setattr(mtio, "status", lambda _fd: mtio.Status(holds, False, -1, -1, False, not holds))
    monkeypatch.setattr(mtio, "opened", lambda _path: (-1, True))
    tape.fails[mtio.OFFL] = error
    drive.eject()
    assert tape.told == told
