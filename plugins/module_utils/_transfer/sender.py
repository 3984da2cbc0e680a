# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that sends a file: its data by sendfile(2), without its holes."""

import errno
import os

from .files import CHUNK, check_unchanged, explained, open_source, raw
from .frames import HEAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CHECKED = 64 * 1024 * 1024  # bytes after which the source is compared with the look again
NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # some file systems


def extents(fd: int, size: int, at: int = 0) -> "Iterator[tuple[int, int]]":
    """The data of a file from ``at``, [start, end); everything if its file system does not report holes."""
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # a hole up to the end
                return
            start, end = at, size
        yield start, min(end, size)
        at = end


def write_all(out: int, data: "bytes | memoryview") -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


class Sender:
    """Sends one file to a descriptor."""

    def __init__(self, out: int, path: bytes, told: "dict[str, Any]", start: int = 0) -> None:
        """``start``: the other side has the bytes before it."""
        self.out, self.path, self.told, self.start = out, path, told, start
        self.fd = open_source(path)
        self.sendfile = True

    def check(self) -> None:
        check_unchanged(self.path, os.fstat(self.fd), self.told)

    def send(self) -> int:
        """Returns the bytes of data sent; raises Problem, and OSError if the other side is gone."""
        size, sent = self.told["size"], 0
        self.check()
        for start, end in extents(self.fd, size, self.start):
            write_all(self.out, HEAD.pack(start, end - start))
            for at in range(start, end, CHECKED):
                self.copy(at, min(end, at + CHECKED))
                self.check()
            sent += end - start
        self.check()
        write_all(self.out, HEAD.pack(size, 0))
        return sent

    def copy(self, at: int, end: int) -> None:
        while at < end:
            count = self.piece(at, end - at)
            if not count:
                self.check()  # it has become shorter
                raise explained(OSError(errno.EIO, "no data at byte %d" % at), self.path, "read")
            at += count

    def piece(self, at: int, most: int) -> int:
        if self.sendfile:
            try:
                return os.sendfile(self.out, self.fd, at, most)
            except OSError as exc:
                if exc.errno == errno.EIO:
                    raise explained(exc, self.path, "read") from None
                if exc.errno not in NO_SENDFILE:
                    raise
            self.sendfile = False
        try:
            data = os.pread(self.fd, min(most, CHUNK), at)
        except OSError as exc:
            raise explained(exc, self.path, "read") from None
        write_all(self.out, data)
        return len(data)


def send(asked: "dict[str, Any]") -> None:
    """The subcommand ``send``."""
    Sender(1, raw(asked["path"]), asked["source"], asked.get("start", 0)).send()
