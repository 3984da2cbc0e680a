# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory as a tape: one file for each tape file, under the same rules as a drive's."""

import contextlib
import os

import files
import label
from drive import FAR, UNREADABLE, Status
from problem import Problem

PART = ".part"


class VirtualTape:
    """A virtual tape; the tape is always loaded, and is the drive at the same time."""

    kind = "virtual"
    sure = True

    def __init__(self, path: str):
        self.path = path
        info = os.stat(path)
        self.key = "virtual-%d-%d" % (info.st_dev, info.st_ino)

    def file(self, number: int) -> str:
        return os.path.join(self.path, "%06d" % number)

    def numbers(self) -> "list[int]":
        return sorted(int(name) for name in os.listdir(self.path) if name.isdigit())

    def status(self) -> "Status":
        return Status(True, not os.stat(self.path).st_mode & 0o222, -1, 0, False)

    def rewind(self) -> None:
        pass

    def prepare(self, compression: "bool | None") -> None:
        pass

    def first_block(self) -> bytes:
        block = b""
        with contextlib.suppress(FileNotFoundError), open(self.file(0), "rb") as source:
            block = source.read(label.LABEL_BLOCK)
        others = [name for name in os.listdir(self.path) if not name.endswith(PART) and name != "%06d" % 0]
        return UNREADABLE if others and not block else block

    def write_label(self, block: bytes) -> None:
        """Begin the tape afresh: what was on it goes first, and it is never without a label."""
        for name in sorted(os.listdir(self.path), reverse=True):
            if (name.isdigit() and int(name)) or name.endswith(PART):
                os.unlink(os.path.join(self.path, name))
        files.write_whole(self.file(0), block)

    def at_end(self, number: int) -> bool:
        """Whether tape file ``number`` would be the next; raises Problem."""
        there = [each for each in self.numbers() if each < number]
        if there != list(range(number)):
            raise Problem(
                "the virtual tape %s has fewer than %d tape files" % (self.path, number), "were files in it removed?"
            )
        return not os.path.exists(self.file(number)) and self.numbers() == there

    def size(self, number: int) -> int:
        with contextlib.suppress(FileNotFoundError):
            return os.path.getsize(self.file(number))
        return 0

    def taken(self, number: int) -> int:
        """Bytes of what is before a tape file."""
        return sum(self.size(each) for each in self.numbers() if each < number)

    def write_to(self, number: int) -> str:
        """What the writer opens: a name that is no tape file's yet."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file(number) + PART)
        return self.file(number) + PART

    def written(self, number: int) -> None:
        """The archive is whole: it appears; raises Problem."""
        if not os.path.getsize(self.file(number) + PART):
            raise Problem("no data came")
        with open(self.file(number) + PART, "rb") as part:
            os.fsync(part.fileno())
        os.rename(self.file(number) + PART, self.file(number))
        files.sync_folder(self.path)

    def settle(self, number: int) -> bool:
        """After a writer that failed or was killed: on a tape its part stays, and so it does here."""
        part = self.file(number) + PART
        if os.path.exists(part) and os.path.getsize(part):
            os.rename(part, self.file(number))
            files.sync_folder(self.path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
        return os.path.exists(self.file(number))

    def read_from(self, number: int) -> str:
        return self.file(number)

    def position(self, number: int) -> None:
        """An archive that is reclaimed makes room: so does whatever follows it."""

    def read_first(self, number: int) -> bytes:
        """The beginning of a tape file, b"" if there is none."""
        try:
            with open(self.file(number), "rb") as source:
                return source.read(FAR)
        except FileNotFoundError:
            return b""
