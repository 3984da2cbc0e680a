# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The device of a tape drive: st's (st(4)), that does not rewind, opened once; and where its tape stands.

The open descriptor is the lock: the kernel gives no second one, to whatever program, and frees it with its last holder.
What moves, writes marks or asks for the position goes through it, and dd or mbuffer get it as their standard output.

st counts tape files without asking the drive. When somebody else was the first to hear of a reset or of another tape (a
drive tells it once), st's numbers are false, and a write goes where the tape stands. So only the drive's own block
number is believed: `block`, where the tape was brought to, is compared with it before anything is written.
"""

import contextlib
import errno
import os
import stat
import sys

from ...common.problem import BUSY, END, FAILED, UNREADABLE, Problem
from . import mtio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .mtio import Status

ST_MAJOR = 9  # Linux' Documentation/admin-guide/devices.txt: 9 char, SCSI tape devices
NO_REWIND = 128  # the bit of the minor number that says: auto-rewind off

SWITCHED = "is it switched on? lsscsi -g lists the drives"
ERRORS = {
    errno.EBUSY: ("is in use by another program, or by a job with another catalog", "fuser -v %s shows which", BUSY),
    errno.ENOMEDIUM: ("has no tape in it", "load one", FAILED),
    errno.EROFS: ("has a write-protected tape in it", "slide its tab, or load another", FAILED),
    errno.EACCES: ("cannot be used: permission denied", "set tape_become, or let this user have it", FAILED),
    errno.ENXIO: ("has no drive behind it", SWITCHED, FAILED),
    errno.ENODEV: ("has no drive behind it", SWITCHED, FAILED),
    errno.EIO: ("gives an input/output error", "is a tape in it, and ready? dmesg says more", UNREADABLE),
}


def problem_of(path: str, exc: OSError, doing: str = "") -> Problem:
    """The sentence for what a drive answers."""
    what, hint, kind = ERRORS.get(exc.errno or 0, ("cannot be used: %s" % exc.strerror, "dmesg says more", FAILED))
    at = " (%s)" % doing if doing else ""
    return Problem("drive %s %s%s" % (path, what, at), hint % path if "%" in hint else hint, kind=kind)


class Device:
    """A drive by the path of its device; raises Problem if it is not one that may be used."""

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
        self.fd = -1
        self.writes = True  # the device may be written, whatever its tape says
        self.located = False  # whether the tape stands at `block`: no error has come since
        self.block = -1  # where the tape was brought to, by the drive's own count
        self.writing: "int | None" = None  # the tape file that begins at `block`, while it has no mark

    # the descriptor

    def open(self) -> None:
        """Have the drive, with what is in it now; raises Problem, also if somebody else has it."""
        try:
            self.fd, self.writes = mtio.opened(self.path)
        except OSError as exc:
            raise problem_of(self.path, exc) from None

    def close(self) -> None:
        """Let others have it."""
        self.idle()
        self.located = False
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)

    def do(self, operation: int, count: int = 1) -> None:
        """Raises Problem; after that nobody knows where the tape stands."""
        try:
            mtio.do(self.fd, operation, count)
        except OSError as exc:
            self.located = False
            raise problem_of(self.path, exc, mtio.NAMES[operation]) from None

    def status(self) -> "Status":
        """What st believes; raises Problem."""
        try:
            now = mtio.status(self.fd)
            if not now.loaded:  # st looks for a tape when it is opened, and then no more
                self.close()
                self.open()
                now = mtio.status(self.fd)
            return now
        except OSError as exc:
            self.located = False
            raise problem_of(self.path, exc, "status") from None

    def is_loading(self) -> bool:
        """Whether there is a tape that is not ready yet; raises Problem."""
        now = self.status()
        return not (now.loaded or now.empty)

    def tell(self) -> int:
        """Where the tape stands, as the drive says: the number of a block; raises Problem."""
        try:
            return mtio.position(self.fd)
        except OSError as exc:
            self.located = False
            raise problem_of(self.path, exc, "where does it stand?") from None

    # where it stands

    def idle(self) -> None:
        """After a writer: have st write no mark by itself, which it does before a rewind and when it is closed.

        For the tape may be anywhere: after a reset that was the label (seen with Linux 6.1).
        """
        if self.writing is None:
            return
        self.writing = None
        for _time in range(2):  # an error of what st had in its buffer comes first
            try:
                mtio.do(self.fd, mtio.FSR, 0)  # moves nothing, and st forgets that somebody was writing
                break
            except OSError:
                self.located = False

    def rewind(self) -> None:
        self.idle()
        self.do(mtio.REW)
        self.located, self.block = True, 0

    def resume(self, block: int) -> bool:
        """Whether it still stands where somebody has left it: what moves from there on counts from this block."""
        self.located = self.tell() == block
        self.block = block
        return self.located

    def expect(self, block: int, when: str) -> None:
        """Raises Problem if the tape does not stand at this block, whatever st says."""
        here = self.tell()
        if not self.located or here != block:
            self.located = False
            raise Problem(
                "drive %s: %s its tape must stand at block %d, and stands at block %d" % (self.path, when, block, here),
                "the drive was reset, or another program has moved the tape: dmesg says more",
                kind=UNREADABLE,
            )

    def prepare(self, compression: "bool | None") -> None:
        """Variable blocks, and compression: what the last user has set stays set."""
        self.do(mtio.SETBLK, 0)
        if compression is not None:
            try:
                mtio.do(self.fd, mtio.COMPRESSION, int(compression))
            except OSError as exc:  # a drive without such a page; of a worse error the next operation hears
                problem = problem_of(self.path, exc, mtio.NAMES[mtio.COMPRESSION])
                sys.stderr.write("compression was not set: %s\n" % problem.what)

    def position(self, number: int) -> None:
        """Go to the beginning of a tape file; raises Problem: END if the data ends before it."""
        self.idle()
        now = self.status()
        # each tape file has a mark, so that the block's number is not smaller: if it is, st is wrong
        if not self.located or now.file < 0 or self.tell() < now.file:
            self.rewind()
            now = self.status()
        if (now.file, now.block) != (number, 0):
            self.forward(number - now.file, number)
            now = self.status()
        self.block = self.tell()
        if (now.file, now.block) != (number, 0) or self.block < number or (self.block and not number):
            self.located = False
            raise Problem(
                "drive %s was sent to tape file %d and says that it is at file %d, block %d (block %d of the tape)"
                % (self.path, number, now.file, now.block, self.block),
                "nothing was written; look at it with mt-st -f %s status" % self.path,
                kind=UNREADABLE,
            )

    def forward(self, count: int, number: int) -> None:
        """Pass so many marks; to go back is to rewind, and to pass as many as the tape file's number says."""
        if count <= 0:
            self.rewind()
            count = number
        if not count:
            return
        try:
            self.do(mtio.FSF, count)
        except Problem as exc:
            if not self.ends_here():
                raise
            raise Problem(
                "the tape in %s has fewer than %d tape files" % (self.path, number), str(exc), kind=END
            ) from None

    def ends_here(self) -> bool:
        """Whether the data of the tape ends where it stands, as the drive says; at its end it stands then."""
        here = self.tell()
        self.do(mtio.EOM)
        same = self.tell() == here
        self.located = self.located and same
        return same

    def at_end(self, number: int) -> bool:
        """Whether the data of the tape ends where a tape file would begin; leaves the tape there; raises Problem."""
        self.position(number)
        return self.ends_here()

    def eject(self) -> None:
        """Have it let go of its tape; that a library has done so before is no error."""
        if self.status().loaded:
            with contextlib.suppress(Problem):
                self.do(mtio.OFFL)
