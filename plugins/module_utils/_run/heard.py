# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the output of an end: finds the marked lines in it, and keeps a limited part of the rest.

The output comes from a host, which may send anything.  ``report`` parses the marked lines.
"""

from .._end.stage import KEPT
from .._end.wire import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import EndPlan

# bytes of one marked line without the outputs of the stages; attempts to dial take the most
REPORT_MOST = 1024 * 1024
NOISE_MOST = 64 * 1024  # bytes of other output to keep, the last ones, for the message that the report is missing
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


def report_most(told: "EndPlan") -> int:
    """The maximum size in bytes of a report for this plan."""
    return REPORT_MOST + sum(2 * KEPT + stage.get("keep", KEPT) for stage in told["stages"])
