# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream from the source to the destination: the data of a file without its holes.

Each piece of data follows its place and length, two 8-byte integers.  The last piece has no data, and the size of the
file as its place.  It is sent only after the source was found unchanged, so a stream without it is never complete.
"""

import os
import struct

from .._tape.common.problem import Problem
from .files import CHUNK, INCOMPLETE

HEAD = struct.Struct("!QQ")


class Reader:
    """Reads pieces from a descriptor, through one buffer."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.buffer = bytearray(CHUNK)
        self.view = memoryview(self.buffer)
        self.at = self.end = 0

    def some(self, most: int) -> memoryview:
        """The next bytes, at most ``most``; empty at the end of the stream."""
        if self.at == self.end:
            self.at, self.end = 0, self.fill(most)
        found = self.view[self.at : min(self.end, self.at + most)]
        self.at += len(found)
        return found

    def fill(self, _most: int) -> int:
        """Read into the empty buffer for a caller that takes so many bytes; returns how many came."""
        return os.readv(self.fd, [self.buffer])

    def head(self) -> "tuple[int, int]":
        """The place and length of the next piece; raises Problem."""
        data = b""
        while len(data) < HEAD.size:
            found = bytes(self.some(HEAD.size - len(data)))
            if not found:
                raise Problem("the stream ended before the end of the file", kind=INCOMPLETE)
            data += found
        place, length = HEAD.unpack(data)
        return place, length
