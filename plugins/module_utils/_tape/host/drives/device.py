# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The non-rewinding device of a tape drive (st(4)), opened once, and the position of its tape.

The open descriptor is the lock: the kernel does not open the device a second time, for any program, and releases it
with the last holder.  All moves, file marks and position requests use it, and dd or mbuffer inherit it as standard
output.

st counts tape files without asking the drive.  A drive reports a reset or a new tape only once.  If another program
gets that report, the numbers of st are wrong, and a write would go to the current position.  So only the block number
of the drive itself is trusted.  It is compared with `block`, the expected position, before anything is written.
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
NO_REWIND = 128  # this bit of the minor number turns auto-rewind off

SWITCHED = "is it switched on? lsscsi -g lists the drives"
ERRORS = {
    errno.EBUSY: ("is in use by another program, or by a job with another catalog", "fuser -v %s shows which", BUSY),
    errno.ENOMEDIUM: ("has no tape in it", "load one", FAILED),
    errno.EROFS: ("has a write-protected tape in it", "move its write-protect tab, or load another", FAILED),
    errno.EACCES: ("cannot be used: permission denied", "set tape_become, or give this user access", FAILED),
    errno.ENXIO: ("has no drive connected", SWITCHED, FAILED),
    errno.ENODEV: ("has no drive connected", SWITCHED, FAILED),
    errno.EIO: ("returns an input/output error", "is a tape loaded and ready? dmesg has details", UNREADABLE),
}


def problem_of(path: str, exc: OSError, doing: str = "") -> Problem:
    """The problem for an error of a drive."""
    what, hint, kind = ERRORS.get(exc.errno or 0, ("cannot be used: %s" % exc.strerror, "dmesg has details", FAILED))
    at = " (%s)" % doing if doing else ""
    return Problem("drive %s %s%s" % (path, what, at), hint % path if "%" in hint else hint, kind=kind)


class Device:
    """A drive by the path of its device; raises Problem if it cannot be used."""

    def __init__(self, path: str):
        self.path = path
        info = os.stat(path)
        if not stat.S_ISCHR(info.st_mode) or os.major(info.st_rdev) != ST_MAJOR:
            raise Problem(
                "%s is not a tape drive" % path,
                "use a device of the st driver (major number 9), or a directory as a virtual tape",
            )
        minor = os.minor(info.st_rdev)
        number = ((minor & ~255) >> 3) | (minor & 31)
        if not minor & NO_REWIND:
            raise Problem(
                "%s rewinds its tape each time it is closed, so each archive would overwrite the one before" % path,
                "use the non-rewinding device of this drive: /dev/nst%d, or its name in /dev/tape/by-id, …-nst"
                % number,
            )
        self.key = "st%d" % number  # the same for all paths of one drive
        self.fd = -1
        self.writes = True  # whether the device is writable, regardless of its tape
        self.located = False  # whether the tape is still at `block`, with no error since
        self.block = -1  # the expected position, as a block number of the drive
        self.writing: "int | None" = None  # the tape file that begins at `block`, until its mark is written

    # the descriptor

    def open(self) -> None:
        """Open the drive; raises Problem, for example if another process uses it."""
        try:
            self.fd, self.writes = mtio.opened(self.path)
        except OSError as exc:
            raise problem_of(self.path, exc) from None

    def close(self) -> None:
        """Release the drive."""
        self.idle()
        self.located = False
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)

    def do(self, operation: int, count: int = 1) -> None:
        """Perform an operation; raises Problem, and then the position of the tape is unknown."""
        try:
            mtio.do(self.fd, operation, count)
        except OSError as exc:
            self.located = False
            raise problem_of(self.path, exc, mtio.NAMES[operation]) from None

    def status(self) -> "Status":
        """The status according to st; raises Problem."""
        try:
            now = mtio.status(self.fd)
            if not now.loaded:  # st looks for a tape only when it is opened
                self.close()
                self.open()
                now = mtio.status(self.fd)
            return now
        except OSError as exc:
            self.located = False
            raise problem_of(self.path, exc, "status") from None

    def is_loading(self) -> bool:
        """Whether a tape is present but not ready yet; raises Problem."""
        now = self.status()
        return not (now.loaded or now.empty)

    def tell(self) -> int:
        """The position reported by the drive, a block number; raises Problem."""
        try:
            return mtio.position(self.fd)
        except OSError as exc:
            self.located = False
            raise problem_of(self.path, exc, "get the position") from None

    # the position

    def idle(self) -> None:
        """Prevent st from writing a file mark by itself before a rewind or on close, after a writer.

        The tape may be anywhere: after a reset, the mark overwrote the label (seen with Linux 6.1).
        """
        if self.writing is None:
            return
        self.writing = None
        for _time in range(2):  # a pending error of the buffer of st comes first
            try:
                mtio.do(self.fd, mtio.FSR, 0)  # does not move, but resets the writing state of st
                break
            except OSError:
                self.located = False

    def rewind(self) -> None:
        self.idle()
        self.do(mtio.REW)
        self.located, self.block = True, 0

    def resume(self, block: int) -> bool:
        """Whether the tape is still at this block; further moves count from it."""
        self.located = self.tell() == block
        self.block = block
        return self.located

    def expect(self, block: int, when: str) -> None:
        """Raises Problem if the tape is not at this block, whatever st reports."""
        here = self.tell()
        if not self.located or here != block:
            self.located = False
            raise Problem(
                "drive %s: %s its tape must be at block %d, but is at block %d" % (self.path, when, block, here),
                "the drive was reset, or another program moved the tape: dmesg has details",
                kind=UNREADABLE,
            )

    def prepare(self, compression: "bool | None") -> None:
        """Set variable blocks and compression, because settings of the last user persist."""
        self.do(mtio.SETBLK, 0)
        if compression is not None:
            try:
                mtio.do(self.fd, mtio.COMPRESSION, int(compression))
            except OSError as exc:  # a drive without this page; the next operation reports a worse error
                problem = problem_of(self.path, exc, mtio.NAMES[mtio.COMPRESSION])
                sys.stderr.write("compression was not set: %s\n" % problem.what)

    def position(self, number: int) -> None:
        """Move to the beginning of a tape file; raises Problem, of kind END if the data ends before it."""
        self.idle()
        now = self.status()
        # each tape file has a mark, so the block number is at least the file number, or st is wrong
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
                "drive %s should be at tape file %d, but reports file %d, block %d (block %d of the tape)"
                % (self.path, number, now.file, now.block, self.block),
                "nothing was written; check it with mt-st -f %s status" % self.path,
                kind=UNREADABLE,
            )

    def forward(self, count: int, number: int) -> None:
        """Move forward by this many file marks; moving back is a rewind followed by this."""
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
        """Whether the data ends at the current position, as reported by the drive; the tape is then at the end."""
        here = self.tell()
        self.do(mtio.EOM)
        same = self.tell() == here
        self.located = self.located and same
        return same

    def at_end(self, number: int) -> bool:
        """Move to where a tape file would begin; returns whether the data ends there; raises Problem."""
        self.position(number)
        return self.ends_here()

    def eject(self) -> None:
        """Eject the tape; it is no error if the library has already done so."""
        if self.status().loaded:
            with contextlib.suppress(Problem):
                self.do(mtio.OFFL)
