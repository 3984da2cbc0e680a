# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tape drive of Linux, through mt-st and the non-rewinding device of the st driver (st(4), mt-st(1))."""

import errno
import os
import re
import stat
import subprocess
import sys

import label
from problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Status(NamedTuple):
        loaded: bool
        protected: bool
        file: int  # -1: not known
        block: int
        at_end: bool  # of the data

else:
    from collections import namedtuple

    Status = namedtuple("Status", "loaded protected file block at_end")

ST_MAJOR = 9  # Linux' Documentation/admin-guide/devices.txt: 9 char, SCSI tape devices
NO_REWIND = 128  # the bit of the minor number that says: auto-rewind off
FAR = 2**22  # bytes: no record is longer

OPEN_ERRORS = {
    errno.EBUSY: ("is in use by another program", "fuser -v %s shows which"),
    errno.ENOMEDIUM: ("has no tape in it", "load one"),
    errno.EROFS: ("has a write-protected tape in it", "slide its tab, or load another"),
    errno.EACCES: ("cannot be opened: permission denied", "a write-protected tape, or set tape_become"),
    errno.ENXIO: ("has no drive behind it", "is it switched on? lsscsi -g lists the drives"),
    errno.ENODEV: ("has no drive behind it", "is it switched on? lsscsi -g lists the drives"),
    errno.EIO: ("gives an input/output error", "is a tape in it, and ready? dmesg says more"),
}


UNREADABLE = b"\0"  # for a first record that is there


def problem_of(path: str, exc: OSError) -> Problem:
    """The sentence for what a drive answers."""
    what, hint = OPEN_ERRORS.get(exc.errno or 0, ("cannot be used: %s" % exc.strerror, ""))
    return Problem("drive %s %s" % (path, what), hint % path if "%" in hint else hint, busy=exc.errno == errno.EBUSY)


class Drive:
    """A drive by the path of its device; raises Problem if it is not one that may be used."""

    kind = "drive"

    def __init__(self, path: str):
        self.path = path
        info = os.stat(path)
        if not stat.S_ISCHR(info.st_mode) or os.major(info.st_rdev) != ST_MAJOR:
            raise Problem(
                "%s is not a tape drive" % path,
                "a device of the st driver is wanted (major number 9), or a directory as a virtual tape",
            )
        minor = os.minor(info.st_rdev)
        number = ((minor & ~255) >> 3) | (minor & 31)
        if not minor & NO_REWIND:
            raise Problem(
                "%s rewinds its tape each time it is closed, so that each archive would overwrite the one before"
                % path,
                "use the device of this drive that does not: /dev/nst%d, or its name in /dev/tape/by-id, …-nst"
                % number,
            )
        self.key = "st%d" % number  # the same for all names of one drive
        # whether st's idea of the place is ours: when a program that goes past st (sg) is the first to hear of another
        # tape, st takes its beginning for where the last one was (seen)
        self.sure = False

    # what mt-st does

    def mt(self, *words: str) -> str:
        """Run mt-st; raises Problem with what it says."""
        command = ["mt-st", "-f", self.path] + list(words)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(os.environ, LC_ALL="C"),
                check=False,
            )
        except FileNotFoundError:
            raise Problem(
                "there is no mt-st on this host", "install the package mt-st (the mt of cpio will not do)"
            ) from None
        if done.returncode:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            text = said[-1] if said else "exit status %d" % done.returncode
            for number, (what, hint) in OPEN_ERRORS.items():
                if os.strerror(number) in text:
                    hint = hint % self.path if "%" in hint else hint
                    raise Problem(
                        "drive %s %s (mt-st %s)" % (self.path, what, " ".join(words)), hint, busy=number == errno.EBUSY
                    )
            raise Problem("mt-st %s on %s: %s" % (" ".join(words), self.path, text), "dmesg says more")
        return done.stdout.decode("utf-8", "replace")

    def status(self) -> "Status":
        return parse_status(self.mt("status"))

    def rewind(self) -> None:
        self.mt("rewind")
        self.sure = True

    def prepare(self, compression: "bool | None") -> None:
        """Variable blocks, and compression: what the last user has set stays set."""
        self.mt("setblk", "0")
        if compression is not None:
            try:
                self.mt("compression", "1" if compression else "0")
            except Problem as exc:  # a drive without such a page
                sys.stderr.write("compression was not set: %s\n" % exc)

    def position(self, number: int) -> None:
        """Go to the beginning of a tape file; raises Problem."""
        if not self.sure:
            self.rewind()
        now = self.status()
        if (now.file, now.block) == (number, 0):
            return
        forward = number - now.file
        if now.file < 0 or forward <= 0:
            self.rewind()
            forward = number
        if forward:
            try:
                self.mt("fsf", str(forward))
            except Problem as exc:
                raise Problem("the tape in %s has fewer than %d tape files" % (self.path, number), str(exc)) from None
        now = self.status()
        if (now.file, now.block) != (number, 0):
            raise Problem(
                "drive %s was sent to tape file %d and says that it is at file %d, block %d"
                % (self.path, number, now.file, now.block),
                "nothing was written; look at it with mt-st -f %s status" % self.path,
            )

    # small reads and writes: labels and the first blocks of archives

    def open(self, flags: int) -> int:
        """A descriptor of the device; raises Problem."""
        try:
            return os.open(self.path, flags | os.O_CLOEXEC)
        except OSError as exc:
            raise problem_of(self.path, exc) from None

    def read_block(self, size: int) -> bytes:
        """The record at the current position, b"" at the end of a tape file or of the data; raises Problem."""
        fd = self.open(os.O_RDONLY)
        try:
            return os.read(fd, size)
        except OSError as exc:
            if exc.errno == errno.ENOMEM:  # st(4): the record is longer
                raise Problem("the record is longer than %d bytes" % size) from None
            raise problem_of(self.path, exc) from None
        finally:
            os.close(fd)

    def first_block(self) -> bytes:
        """The first record of the tape, or as much of it as can be read; b"" of a blank tape."""
        self.rewind()
        try:
            return self.read_block(label.LABEL_BLOCK)
        except Problem as exc:
            if "longer" not in exc.what:
                if not blank(exc):
                    raise
                return b"" if self.is_blank() else UNREADABLE
        self.rewind()
        try:
            return self.read_block(FAR)
        except Problem:
            return UNREADABLE

    def is_blank(self) -> bool:
        """Whether the data ends where the tape begins: a first record that cannot be read looks the same otherwise."""
        self.rewind()
        try:
            self.mt("eod")
            return self.status().at_end and "At block 0." in self.mt("tell")
        finally:
            self.rewind()

    def write_label(self, block: bytes) -> None:
        """Begin the tape afresh; raises Problem."""
        self.rewind()
        fd = self.open(os.O_WRONLY)
        try:
            os.write(fd, block)
        except OSError as exc:
            raise problem_of(self.path, exc) from None
        finally:
            os.close(fd)
        self.rewind()
        if self.read_block(label.LABEL_BLOCK) != block:
            raise Problem(
                "the label that was written in %s does not read back the same" % self.path,
                "clean the drive, or use another tape",
            )

    def at_end(self, number: int) -> bool:
        """Whether the data of the tape ends where a tape file would begin; leaves the tape there."""
        self.position(number)
        try:
            if self.read_block(FAR):
                return False
        except Problem:
            return False
        now = self.status()
        return now.at_end and now.file == number  # the mark of an empty tape file would have been passed

    # an archive

    def write_to(self, number: int) -> str:
        """What the writer opens for a tape file: the drive is there already."""
        return self.path

    def written(self, number: int) -> None:
        """The writer has closed the drive, and st has written a file mark: is it where it must be? raises Problem."""
        now = self.status()
        if (now.file, now.block) != (number + 1, 0):
            raise Problem(
                "after tape file %d was written, drive %s says that it is at file %d, block %d"
                % (number, self.path, now.file, now.block),
                "the archive may not be whole",
            )

    def settle(self, number: int) -> bool:
        """After a writer that failed: whether there is a tape file of this number now; it gets its mark."""
        now = self.status()
        if self.sure and now.block == 0 and now.file in (number, number + 1):
            return now.file > number
        self.rewind()  # it may be in the middle of what was written
        self.position(number)
        try:
            if not self.read_block(FAR):
                return False
        except Problem as exc:
            if "longer" not in exc.what:
                raise
        try:
            self.position(number + 1)
        except Problem:
            if not self.status().at_end:
                raise
            self.mt("weof", "1")  # the power went before the file mark was written
            self.rewind()  # the end of the data is only told from an error just behind a mark that was passed
        return True

    def size(self, number: int) -> "int | None":
        """Not known: a drive counts no bytes."""
        return None

    def read_from(self, number: int) -> str:
        """Go to a tape file; what the reader opens."""
        self.position(number)
        return self.path

    def read_first(self, number: int) -> bytes:
        """The first record of a tape file, b"" where the data ends; raises Problem."""
        try:
            self.position(number)
            return self.read_block(FAR)
        except Problem as exc:
            if blank(exc) or "fewer than" in exc.what:
                return b""
            raise


def blank(problem: Problem) -> bool:
    return "input/output error" in problem.what


def parse_status(text: str) -> "Status":
    """What mt-st status prints; raises Problem."""
    position = re.search(r"File number=(-?\d+), block number=(-?\d+)", text)
    bits = re.search(r"General status bits on \([0-9a-f]+\):\n(.*)", text)
    if not position or bits is None:
        raise Problem("mt-st status says what this program does not understand", " ".join(text.split())[:200])
    words = bits.group(1).split()
    loaded = "DR_OPEN" not in words and "ONLINE" in words
    return Status(loaded, "WR_PROT" in words, int(position.group(1)), int(position.group(2)), "EOD" in words)
