# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of files, as tar writes them: one a line, which begins with "./"."""

import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say gzip


class List:
    """The names that tar puts into an archive, compressed, and counted."""

    def __init__(self, target: "BinaryIO"):
        self.target = target
        self.count = 0
        self.packer = zlib.compressobj(6, zlib.DEFLATED, GZIP)

    def __call__(self, chunk: bytes) -> None:
        self.count += chunk.count(b"\n")
        self.write(self.packer.compress(chunk))

    def write(self, data: bytes) -> None:
        try:
            self.target.write(data)
            self.target.flush()
        except OSError as exc:
            exc.filename = self.target.name  # the one thing that open(2) says and write(2) does not
            raise

    def finish(self) -> None:
        self.write(self.packer.flush())
        self.target.close()


class Found:
    """The names that tar takes out of an archive: how many, and which of those asked for."""

    def __init__(self, asked: "list[bytes]"):
        """``asked``: as tar writes them, without a slash at the end."""
        self.missing = set(asked)
        self.count = 0
        self.deleted = 0
        self.rest = b""

    def __call__(self, chunk: bytes) -> None:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            if not line.startswith(b"./"):  # the archive's label, or what an incremental removes
                self.deleted += line.startswith(b"tar: Deleting ")
                continue
            self.count += 1
            if self.missing:
                self.missing -= {name for name in self.missing if line == name or line.startswith(name + b"/")}
