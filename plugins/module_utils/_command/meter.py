# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress at a terminal: one line, overwritten each time.  All figures come from tcp_info."""

import os

from .._run.words import clock, size, speed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .._end.records import Sample

BAR = range(5, 21)  # possible widths of the bar; if the line has less room, there is none
COLUMNS = 80  # if the terminal does not report its width
SPAN = 5  # samples from which a rate is calculated


class Meter:
    """Bytes and rate of each link, the elapsed time, and a bar: the rate relative to the highest so far.

    It writes only after a byte has moved, because a command may be prompting at the same terminal.
    """

    def __init__(self, fd: int, may_show: "Callable[[], bool]"):
        self.fd, self.may_show = fd, may_show
        self.seen: "list[tuple[float, dict[str, int]]]" = []
        self.most = 0.0
        self.total = 0
        self.shown = False

    def feed(self, sample: "Sample") -> None:
        """Take one sample of an end."""
        sides = {side["id"]: side["bytes"] for side in sample["sample"] if side["bytes"] is not None}
        self.seen = (self.seen + [(sample["at"], sides)])[-SPAN:]
        began, before = self.seen[0]
        texts = []
        total = 0.0
        for name, count in sides.items():
            moved = max(0, count - before.get(name, 0))  # a count may go back a little (see Progress)
            rate = moved / max(1e-6, sample["at"] - began) if len(self.seen) > 1 else 0.0
            total = max(total, rate)
            texts.append("%s %s %s" % (name, size(count), speed(rate)))
        self.most = max(self.most, total)
        more, self.total = sum(sides.values()) > self.total, sum(sides.values())
        if more and self.may_show():
            self._show("%s  %s" % (clock(sample["at"]), ", ".join(texts)), total / self.most if self.most else 0.0)

    def _show(self, text: str, share: float) -> None:
        """Show one line, cut to the width of the terminal: a longer one could not be overwritten."""
        room = (columns(self.fd) or COLUMNS) - 1
        width = min(BAR[-1], room - len(text) - len("[] "))
        full = int(width * share)
        gauge = "[%s%s] " % ("#" * full, " " * (width - full)) if width in BAR else ""
        self._write("\r%s\033[K" % (gauge + text)[:room])
        self.shown = True

    def clear(self) -> None:
        """Clear the line for the next message."""
        if self.shown:
            self._write("\r\033[K")
            self.shown = False

    def _write(self, text: str) -> None:
        try:
            os.write(self.fd, text.encode("utf-8"))
        except OSError:
            pass


def columns(fd: int) -> int:
    """The width of this terminal now, as its window may change; 0 if it does not report it."""
    try:
        return os.get_terminal_size(fd).columns
    except OSError:
        return 0
