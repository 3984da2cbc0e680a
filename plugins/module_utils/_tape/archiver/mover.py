# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies a given number of bytes from standard input to one or two pipes, as tee does, but inside the kernel."""

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
    def __init__(self, *outputs: int):
        self.outputs = outputs
        self.pipe = pipe() if len(outputs) > 1 else (-1, outputs[0])
        self.count = 0  # bytes that each output got

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
        self.count += len(data)
        for output in self.outputs:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(output, rest) :]

    def move(self, count: int) -> bool:
        """Move this many bytes from the input to the outputs; returns whether there were as many."""
        while count:
            try:
                found = called(splice, 0, None, self.pipe[1], None, min(count, PIPE_SIZE), 0)
            except OSError as exc:
                if exc.errno != errno.EINVAL:  # the input is neither a socket nor a pipe and cannot be spliced
                    raise
                data = self.take(min(count, PIPE_SIZE))
                self.give(data)
                count -= len(data)
                if not data:
                    return False
                continue
            if not found:
                return False
            count -= found
            self.count += found
            while found and len(self.outputs) > 1:
                copied = called(tee, self.pipe[0], self.outputs[1], found, 0)
                found -= copied
                while copied:
                    copied -= called(splice, self.pipe[0], None, self.outputs[0], None, copied, 0)
        return True


def called(function: "Callable[..., int]", *arguments: "int | None") -> int:
    """Call a function of the C library; returns its result; raises OSError."""
    found: int = function(*arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found
