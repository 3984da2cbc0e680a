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

    def eject(self) -> None:
        pass

    def first_block(self) -> bytes:
        try:
            with open(self.file(0), "rb") as source:
                return source.read(label.LABEL_BLOCK)
        except FileNotFoundError:
            return (
                UNREADABLE if self.numbers() or any(not name.endswith(PART) for name in os.listdir(self.path)) else b""
            )

    def write_label(self, block: bytes) -> None:
        """Begin the tape afresh: what was on it goes first, as it does on a tape."""
        for number in reversed(self.numbers()):
            os.unlink(self.file(number))
        files.write_whole(self.file(0), block)

    def at_end(self, number: int) -> bool:
        """Whether tape file ``number`` would be the next."""
        last = (self.numbers() or [-1])[-1]
        if last < number - 1:
            raise Problem(
                "the virtual tape %s has fewer than %d tape files" % (self.path, number), "were files in it removed?"
            )
        return last == number - 1

    def write_to(self, number: int) -> str:
        """What the writer opens: a name that is no tape file's yet."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file(number) + PART)
        return self.file(number) + PART

    def written(self, number: int) -> None:
        """The archive is whole: it appears."""
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
