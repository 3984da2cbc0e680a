# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress for a person at a terminal: one line that is written over.  Figures come from tcp_info alone."""

import os

from .._run.words import size, speed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WIDTH = 20  # characters of the bar
SPAN = 5  # samples over which a rate is taken


class Meter:
    """Bytes, rate and elapsed time of each link; the bar is the rate, of the highest so far."""

    def __init__(self, fd: int):
        self.fd = fd
        self.seen: "list[tuple[float, dict[str, int]]]" = []
        self.most = 0.0
        self.shown = False

    def feed(self, sample: "dict[str, Any]") -> None:
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
        full = int(WIDTH * total / self.most) if self.most else 0
        self._write("\r[%s%s] %s  %s\033[K" % ("#" * full, " " * (WIDTH - full), clock(sample["at"]), ", ".join(texts)))
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


def clock(seconds: float) -> str:
    """ "1:02:03" """
    return "%d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
