# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and writes with a drive: labels, archives, and the first blocks of foreign tapes."""

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
MARKS = 64  # file marks to skip before the first record of a foreign tape
EMPTY = b"\0"  # stands for a tape file without a record


class Drive(Device):
    """A real drive; virtual.VirtualTape is the other kind."""

    kind = "drive"

    # labels and the first blocks of archives

    def record(self, size: int) -> "bytes | None":
        """The record at the current position: b"" at a mark, None at the end of data; raises Problem."""
        here = self.tell()
        try:
            block = os.read(self.fd, size)
        except OSError as exc:
            self.located = False
            if exc.errno == errno.ENOMEM:  # st(4)
                raise Problem("a record is longer than %d bytes" % size, kind=LONG) from None
            # the end of data is also an EIO
            if exc.errno == errno.EIO and self.tell() == here and self.ends_here():
                return None
            raise problem_of(self.path, exc, "read") from None
        if block or self.tell() > here:
            return block
        if self.ends_here():  # no mark was passed: after a mark, st reports the end of data in this way, once
            return None
        raise problem_of(self.path, OSError(errno.EIO, os.strerror(errno.EIO)), "read")

    def first_block(self) -> bytes:
        """The first record of the tape, b"" for a blank tape; raises Problem, of kind UNREADABLE if it cannot be read.

        If the tape begins with file marks, the same number of zero bytes precedes the record.
        """
        why: "Problem | None" = None
        for size in (LABEL_BLOCK, FAR):  # retry once after any error, because the first may only report a reset
            try:
                self.rewind()
                self.do(mtio.SETBLK, 0)  # the last user may have set a fixed size that fits no record
                return self.beginning(size)
            except Problem as exc:
                if exc.kind not in (LONG, UNREADABLE):
                    raise
                why = exc if why is None or why.kind == LONG else why
        # there is no content whose fingerprint could confirm overwriting it
        self.located = False
        raise Problem(
            "the beginning of the tape in %s cannot be read: %s" % (self.path, why.what if why else ""),
            "clean the drive, or try another one; to erase a tape that is no longer needed, "
            "run mt-st -f %s rewind, then erase" % self.path,
            kind=UNREADABLE,
        )

    def beginning(self, size: int) -> bytes:
        """The result of first_block(), if no record is longer than ``size``."""
        for marks in range(MARKS):
            block = self.record(size)
            if block is None:
                return b""
            if block:
                return bytes(marks) + block
        raise Problem("it begins with more than %d file marks" % MARKS, kind=UNREADABLE)

    def write_label(self, block: bytes) -> None:
        """Write a new label at the beginning of the tape; raises Problem."""
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
                "the label written in %s reads back differently" % self.path,
                "clean the drive, or use another tape",
            )

    # an archive

    @contextlib.contextmanager
    def output(self, number: int) -> "Iterator[int]":
        """The standard output for a writer, for a tape file at the current position; raises Problem."""
        protected = errno.EROFS if self.status().protected else errno.EACCES if not self.writes else 0
        if protected:
            raise problem_of(self.path, OSError(protected, os.strerror(protected)), "write")
        self.expect(self.block, "before tape file %d is written" % number)
        self.writing = number
        yield self.fd

    def written(self, number: int, blocks: "int | None") -> int:
        """Write the mark after a tape file; returns its number of blocks (None: unknown); raises Problem.

        Errors of buffered data are reported only with the mark.
        """
        count = self.tell() - self.block if blocks is None else blocks
        if not count:
            raise Problem("no data arrived")
        self.expect(self.block + count, "after the %d blocks of tape file %d" % (count, number))
        self.do(mtio.WEOF)
        self.block, self.writing = self.block + count + 1, None
        self.expect(self.block, "after the mark of tape file %d" % number)
        return count

    def close_file(self, number: int) -> bool:
        """Write the mark after a failed writer, if there is a tape file of this number; returns whether there is."""
        if self.located and self.writing == number:  # written by this process
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
            self.do(mtio.WEOF)  # a power failure came before the file mark
            self.rewind()
        return True

    def size(self, number: int) -> "int | None":
        """None, because a drive does not count bytes."""
        return None

    @contextlib.contextmanager
    def input(self, number: int) -> "Iterator[int]":
        """The standard input for a reader, at the beginning of a tape file; raises Problem."""
        self.position(number)
        yield self.fd

    def read_first(self, number: int) -> bytes:
        """The first record of a tape file, EMPTY if it has none, b"" only at the end of data."""
        try:
            self.position(number)
        except Problem as exc:
            if exc.kind == END:
                return b""
            raise
        block = self.record(FAR)
        return b"" if block is None else block or EMPTY
