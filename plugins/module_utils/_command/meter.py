# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress for a person at a terminal: one line that is written over.  Figures come from tcp_info alone."""

import os

from .._run.words import size, speed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .._end.records import Sample

BAR = range(5, 21)  # characters of the bar, whatever fits into the line; none when it would be shorter
COLUMNS = 80  # of a terminal that does not know
SPAN = 5  # samples over which a rate is taken


class Meter:
    """Bytes, rate and elapsed time of each link; the bar is the rate, of the highest so far.

    It writes only when a byte has moved: a command may be asking for something at the same terminal.
    """

    def __init__(self, fd: int, may_show: "Callable[[], bool]"):
        self.fd, self.may_show = fd, may_show
        self.seen: "list[tuple[float, dict[str, int]]]" = []
        self.most = 0.0
        self.total = 0
        self.shown = False

    def feed(self, sample: "Sample") -> None:
        """One sample of an end."""
        sides = {side["id"]: side["bytes"] for side in sample["sample"] if side["bytes"] is not None}
        self.seen = (self.seen + [(sample["at"], sides)])[-SPAN:]
        began, before = self.seen[0]
        texts = []
        total = 0.0
        for name, count in sides.items():
            rate = (count - before.get(name, 0)) / max(1e-6, sample["at"] - began) if len(self.seen) > 1 else 0.0
            total = max(total, rate)
            texts.append("%s %s %s" % (name, size(count), speed(rate)))
        self.most = max(self.most, total)
        moved, self.total = sum(sides.values()) > self.total, sum(sides.values())
        if moved and self.may_show():
            self._show("%s  %s" % (clock(sample["at"]), ", ".join(texts)), total / self.most if self.most else 0.0)

    def _show(self, text: str, share: float) -> None:
        """One line, never longer than the terminal is wide: what is longer could not be written over."""
        room = (columns(self.fd) or COLUMNS) - 1
        width = min(BAR[-1], room - len(text) - len("[] "))
        full = int(width * share)
        gauge = "[%s%s] " % ("#" * full, " " * (width - full)) if width in BAR else ""
        self._write("\r%s\033[K" % (gauge + text)[:room])
        self.shown = True

    def clear(self) -> None:
        """Leave the line to what is said next."""
        if self.shown:
            self._write("\r\033[K")
            self.shown = False

    def _write(self, text: str) -> None:
        try:
            os.write(self.fd, text.encode("utf-8"))
        except OSError:
            pass


def columns(fd: int) -> int:
    """Of this terminal, 0 if it does not know: they change with its window."""
    try:
        return os.get_terminal_size(fd).columns
    except OSError:
        return 0


def clock(seconds: float) -> str:
    """ "1:02:03" """
    return "%d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
