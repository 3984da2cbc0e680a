# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written and read with a drive: labels, archives, and the first blocks of what somebody else has written."""

import contextlib
import errno
import os

from ...common.problem import END, LONG, UNREADABLE, Problem
from ...common.settings import LARGEST_BLOCK
from . import mtio
from .device import Device, problem_of
from .label import LABEL_BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FAR = LARGEST_BLOCK  # no record is longer
MARKS = 64  # file marks before the first record of a tape that are passed to see what it is
EMPTY = b"\0"  # for a tape file that has no record


class Drive(Device):
    """A drive as a medium: see virtual.VirtualTape for the other one."""

    kind = "drive"

    # labels and the first blocks of archives

    def record(self, size: int) -> "bytes | None":
        """The record where the tape stands: b"" at a mark, None at the end of the data; raises Problem."""
        here = self.tell()
        try:
            block = os.read(self.fd, size)
        except OSError as exc:
            self.located = False
            if exc.errno == errno.ENOMEM:  # st(4)
                raise Problem("a record is longer than %d bytes" % size, kind=LONG) from None
            # the end of the data is an EIO, too
            if exc.errno == errno.EIO and self.tell() == here and self.ends_here():
                return None
            raise problem_of(self.path, exc, "read") from None
        if block or self.tell() > here:
            return block
        if self.ends_here():  # no mark was passed: once, behind a mark, st says the end of the data so
            return None
        raise problem_of(self.path, OSError(errno.EIO, os.strerror(errno.EIO)), "read")

    def first_block(self) -> bytes:
        """The first record of the tape, b"" of a blank one; raises Problem: UNREADABLE if that cannot be told.

        Of a tape that begins with file marks: as many zeros, and the first record.
        """
        why: "Problem | None" = None
        for size in (LABEL_BLOCK, FAR):  # the second time after any error: the first may have been news of a reset
            try:
                self.rewind()
                self.do(mtio.SETBLK, 0)  # its last user may have left others, which no record fits
                return self.beginning(size)
            except Problem as exc:
                if exc.kind not in (LONG, UNREADABLE):
                    raise
                why = exc if why is None or why.kind == LONG else why
        # nothing of it could be repeated by a person to say that just this content may be lost
        self.located = False
        raise Problem(
            "the beginning of the tape in %s cannot be read: %s" % (self.path, why.what if why else ""),
            "clean the drive, or try another one; a tape that is wanted by nobody can be made blank with "
            "mt-st -f %s rewind, and then erase" % self.path,
            kind=UNREADABLE,
        )

    def beginning(self, size: int) -> bytes:
        """What first_block() says, if no record is longer than this."""
        for marks in range(MARKS):
            block = self.record(size)
            if block is None:
                return b""
            if block:
                return bytes(marks) + block
        raise Problem("it begins with more than %d file marks" % MARKS, kind=UNREADABLE)

    def write_label(self, block: bytes) -> None:
        """Begin the tape afresh; raises Problem."""
        self.rewind()
        self.do(mtio.SETBLK, 0)
        with self.output(0) as fd:
            try:
                os.write(fd, block)
            except OSError as exc:
                self.located = False
                raise problem_of(self.path, exc, "write the label") from None
        self.written(0, 1)
        self.rewind()
        if self.record(LABEL_BLOCK) != block:
            raise Problem(
                "the label that was written in %s does not read back the same" % self.path,
                "clean the drive, or use another tape",
            )

    # an archive

    @contextlib.contextmanager
    def output(self, number: int) -> "Iterator[int]":
        """The writer's standard output, for a tape file that begins where the tape was brought to; raises Problem."""
        protected = errno.EROFS if self.status().protected else errno.EACCES if not self.writes else 0
        if protected:
            raise problem_of(self.path, OSError(protected, os.strerror(protected)), "write")
        self.expect(self.block, "before tape file %d is written" % number)
        self.writing = number
        yield self.fd

    def written(self, number: int, blocks: "int | None") -> int:
        """Write the mark behind a tape file; returns how many blocks it has (None: not known); raises Problem.

        An error of what the drive had in its buffer comes with the mark, and only there.
        """
        count = self.tell() - self.block if blocks is None else blocks
        if not count:
            raise Problem("no data came")
        self.expect(self.block + count, "behind the %d blocks of tape file %d" % (count, number))
        self.do(mtio.WEOF)
        self.block, self.writing = self.block + count + 1, None
        self.expect(self.block, "behind the mark of tape file %d" % number)
        return count

    def close_file(self, number: int) -> bool:
        """After a writer that failed: whether there is a tape file of this number now; it gets its mark."""
        if self.located and self.writing == number:  # it was ours
            blocks = self.tell() - self.block
            if blocks:
                self.written(number, max(0, blocks))
            return bool(blocks)
        self.position(number)
        if self.ends_here():
            return False
        try:
            self.position(number + 1)
        except Problem as exc:
            if exc.kind != END:
                raise
            self.do(mtio.WEOF)  # the power went before the file mark was written
            self.rewind()
        return True

    def size(self, number: int) -> "int | None":
        """Not known: a drive counts no bytes."""
        return None

    @contextlib.contextmanager
    def input(self, number: int) -> "Iterator[int]":
        """Go to a tape file; the reader's standard input; raises Problem."""
        self.position(number)
        yield self.fd

    def read_first(self, number: int) -> bytes:
        """The first record of a tape file, EMPTY if it has none, b"" where the data ends, and only there."""
        try:
            self.position(number)
        except Problem as exc:
            if exc.kind == END:
                return b""
            raise
        block = self.record(FAR)
        return b"" if block is None else block or EMPTY
