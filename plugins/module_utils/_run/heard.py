# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An end whose output is a local pipe: its samples are parsed as they arrive, its report at the end.

The output comes from a host, which may send anything: the marked lines in it are found, and a limited part of the rest
is kept.  ``report`` parses the marked lines.
"""

import os
import select

from .._end.wire import MARK
from .launch import NOISE_MOST, REPORT_MOST, Launch, report_most
from .marked import read_marked
from .report import parse_sample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import EndPlan, Sample
    from .report import Message

CHUNK = 64 * 1024  # bytes of one read
MARKED = MARK.encode("ascii")


class Heard:
    """Collects the output of an end, which arrives in chunks of any size; it keeps a limited part of it."""

    def __init__(self, most: int = REPORT_MOST) -> None:
        """``most``: bytes of a marked line; a longer one is noise."""
        self.most = most
        self.line = bytearray()  # the incomplete last line, if it is marked or may become so
        self.noise = bytearray()  # the last part of all other lines
        self.marked = b""  # the last complete marked line
        self.noisy = False  # the rest of this line is noise

    def feed(self, chunk: bytes) -> "list[str]":
        """Add a chunk; returns the marked lines that it completes."""
        found: "list[str]" = []
        at = chunk.find(b"\n")
        self._go_on(chunk if at < 0 else chunk[:at])
        while at >= 0:
            self._end_line(found)
            at += 1
            if not chunk.startswith(MARKED, at):  # everything up to the next mark, or to the last line, is noise
                mark = chunk.find(b"\n" + MARKED, at)
                stop = 1 + (mark if mark >= 0 else chunk.rfind(b"\n"))
                self._add_noise(chunk[at:stop])
                at = stop
            stop = chunk.find(b"\n", at)
            self._go_on(chunk[at:] if stop < 0 else chunk[at:stop])
            at = stop
        return found

    def _end_line(self, found: "list[str]") -> None:
        if self.line.startswith(MARKED):
            self.marked = bytes(self.line)
            found.append(self.marked.decode("utf-8", "replace"))
        else:
            self._add_noise(self.line + b"\n")
        self.line.clear()
        self.noisy = False

    def _go_on(self, piece: bytes) -> None:
        self.line += piece
        if self.noisy or not MARKED.startswith(self.line[: len(MARKED)]) or len(self.line) > self.most:
            self.noisy = True
            self._add_noise(self.line)
            self.line.clear()

    def _add_noise(self, noise: "bytes | bytearray") -> None:
        self.noise += noise
        if len(self.noise) > 2 * NOISE_MOST:  # not each time, because it moves the rest
            del self.noise[:-NOISE_MOST]

    def text(self) -> str:
        """The kept output, with the last marked line at the end."""
        return b"\n".join((self.noise[-NOISE_MOST:], self.marked, self.line)).decode("utf-8", "replace")


class PipedLaunch(Launch):
    """An end whose output is a local pipe, so that its samples are parsed as they arrive."""

    out = -1  # the descriptor of the pipe, non-blocking

    def __init__(self, plan: "EndPlan", interpreters: "list[str]"):
        super().__init__(plan, interpreters)
        self.heard = Heard(report_most(plan))

    def wait(self) -> "tuple[int, str]":
        """Wait for it after the end of its output: (its exit status, its standard error)."""
        raise NotImplementedError

    def wanted(self) -> "dict[int, int]":
        return {} if self.ready or self.out < 0 else {self.out: select.POLLIN}

    def serve(self, fd: int) -> "list[Sample]":
        return self.hear() if fd == self.out else []

    def read(self) -> bytes:
        """Some of its output, b"" for the end; raises BlockingIOError if there is none yet."""
        return os.read(self.out, CHUNK)

    def hear(self) -> "list[Sample]":
        """Read new samples; at the end of the output, take the report."""
        try:
            chunk = self.read()  # one chunk only: endless output must not block the run
        except BlockingIOError:
            return []
        if not chunk:
            rc, stderr = self.wait()
            self.conclude(rc, self.heard.text(), stderr)
            os.close(self.out)
            self.over()
            return []
        messages = [read_marked(line) for line in self.heard.feed(chunk)]
        samples = [self.parse(message) for message in messages if message]
        return [sample for sample in samples if sample]

    def parse(self, message: "Message") -> "Sample | None":
        """A message as a sample; None if it is invalid or of another kind."""
        return parse_sample(message, self.plan)
