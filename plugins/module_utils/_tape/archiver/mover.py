# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies a given number of bytes from standard input to two pipes, as tee does, but inside the kernel."""

import ctypes
import errno
import os

from ..common.process import c_library
from .crew import PIPE_SIZE, pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

splice, tee = c_library.splice, c_library.tee


class Mover:
    def __init__(self, outputs: "tuple[int, int]"):
        self.outputs = outputs
        self.pipe = pipe()

    def take(self, count: int) -> bytes:
        """Read this many bytes, fewer only at the end; pass them to ``give``."""
        found, missing = [], count
        while missing:
            chunk = os.read(0, missing)
            if not chunk:
                break
            found.append(chunk)
            missing -= len(chunk)
        return b"".join(found)

    def give(self, data: bytes) -> None:
        for output in self.outputs:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(output, rest) :]

    def move(self, count: int) -> None:
        """Move this many bytes from the input to both outputs; fewer only at the end."""
        while count:
            try:
                found = called(splice, 0, None, self.pipe[1], None, min(count, PIPE_SIZE), 0)
            except OSError as exc:
                if exc.errno != errno.EINVAL:  # the input is neither a socket nor a pipe and cannot be spliced
                    raise
                self.give(self.take(min(count, PIPE_SIZE)))
                count -= min(count, PIPE_SIZE)
                continue
            if not found:
                return
            count -= found
            while found:
                copied = called(tee, self.pipe[0], self.outputs[1], found, 0)
                found -= copied
                while copied:
                    copied -= called(splice, self.pipe[0], None, self.outputs[0], None, copied, 0)


def called(function: "Callable[..., int]", *arguments: "int | None") -> int:
    """Call a function of the C library; returns its result; raises OSError."""
    found: int = function(*arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found
