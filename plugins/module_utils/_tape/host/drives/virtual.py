# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory as a tape: one file for each tape file, with the same rules as for a drive."""

import contextlib
import fcntl
import os

from ...common import files
from ...common.problem import BUSY, END, Problem
from . import label
from .drive import EMPTY, FAR
from .mtio import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PART = ".part"


class VirtualTape:
    """A virtual tape, which is always loaded and also takes the place of the drive."""

    kind = "virtual"
    located = True
    block = 0

    def __init__(self, path: str):
        self.path = path
        info = os.stat(path)
        self.key = "virtual-%d-%d" % (info.st_dev, info.st_ino)
        self.fd = -1

    def open(self) -> None:
        """Lock the directory, also against processes with other catalogs; raises Problem."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            what = "the virtual tape %s is in use by a job with another catalog" % self.path
            raise Problem(what, "fuser -v %s shows which" % self.path, kind=BUSY) from None
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def file(self, number: int) -> str:
        return os.path.join(self.path, "%06d" % number)

    def numbers(self) -> "list[int]":
        return sorted(int(name) for name in os.listdir(self.path) if name.isdigit())

    def status(self) -> "Status":
        return Status(True, not os.stat(self.path).st_mode & 0o222, -1, 0, False, False)

    def is_loading(self) -> bool:
        return False

    def tell(self) -> int:
        return 0

    def resume(self, block: int) -> bool:
        return True

    def rewind(self) -> None:
        pass

    def eject(self) -> None:
        pass

    def prepare(self, compression: "bool | None") -> None:
        pass

    def first_block(self) -> bytes:
        """The beginning of its first file, b"" for an empty directory; without that file, the names of the others."""
        block = b""
        with contextlib.suppress(FileNotFoundError), open(self.file(0), "rb") as source:
            block = source.read(label.LABEL_BLOCK)
        others = [name for name in os.listdir(self.path) if not name.endswith(PART) and name != "%06d" % 0]
        return block or "\0".join([""] + sorted(others)).encode("utf-8", "surrogateescape")

    def write_label(self, block: bytes) -> None:
        """Write a new label: old files are removed first, and there is always a label."""
        for name in sorted(os.listdir(self.path), reverse=True):
            if (name.isdigit() and int(name)) or name.endswith(PART):
                os.unlink(os.path.join(self.path, name))
        files.write_whole(self.file(0), block)

    def at_end(self, number: int) -> bool:
        """Whether ``number`` is the next tape file; raises Problem."""
        there = self.numbers()
        if any(each >= number for each in there):
            return False
        if there != list(range(number)):
            raise Problem(
                "the virtual tape %s has fewer than %d tape files" % (self.path, number),
                "were files in it removed?",
                kind=END,
            )
        return True

    def size(self, number: int) -> int:
        with contextlib.suppress(FileNotFoundError):
            return os.path.getsize(self.file(number))
        return 0

    def taken(self, number: int) -> int:
        """The number of bytes before a tape file."""
        return sum(self.size(each) for each in self.numbers() if each < number)

    @contextlib.contextmanager
    def output(self, number: int) -> "Iterator[int]":
        """The standard output for a writer: a file that is not a tape file yet."""
        fd = os.open(self.file(number) + PART, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            yield fd
        finally:
            os.close(fd)

    def written(self, number: int, blocks: "int | None") -> int:
        """Make a complete file a tape file; raises Problem."""
        if not os.path.getsize(self.file(number) + PART):
            raise Problem("no data arrived")
        with open(self.file(number) + PART, "rb") as part:
            os.fsync(part.fileno())
        os.rename(self.file(number) + PART, self.file(number))
        files.sync_folder(self.path)
        return blocks or 0

    def close_file(self, number: int) -> bool:
        """After a failed or killed writer: keep the incomplete file, as on a real tape."""
        part = self.file(number) + PART
        if os.path.exists(part) and os.path.getsize(part):
            os.rename(part, self.file(number))
            files.sync_folder(self.path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
        return os.path.exists(self.file(number))

    @contextlib.contextmanager
    def input(self, number: int) -> "Iterator[int]":
        """The standard input for a reader; raises Problem."""
        try:
            fd = os.open(self.file(number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Problem("the virtual tape %s has no tape file %d" % (self.path, number), "was it removed?") from None
        try:
            yield fd
        finally:
            os.close(fd)

    def position(self, number: int) -> None:
        """Nothing has to move: each tape file is a file of its own."""

    def read_first(self, number: int) -> bytes:
        """The beginning of a tape file, EMPTY for an empty one, b"" if it does not exist."""
        try:
            with open(self.file(number), "rb") as source:
                return source.read(FAR) or EMPTY
        except FileNotFoundError:
            return b""
