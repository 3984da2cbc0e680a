# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress lines of a task: when and with which words.  All figures come from tcp_info."""

from .words import clock, forecast, size, speed, who_is_slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from .._end.records import SideReport, Waited
    from .records import Flow, JobProgress

LATER = (60, 120, 300, 600)  # seconds between lines after the first; the last value repeats
NEAR = 5.0  # seconds by which a line may be early, in place of two soon after each other
QUIET = 60  # seconds without a line of any host of a job, after which there is one
STALLED = 10.0  # seconds without a byte; doubled after each reported stall, up to the last of LATER


class Progress:
    """Turns samples of an end into a few lines: one after ``first`` seconds, then at growing intervals."""

    def __init__(
        self,
        host: str,
        first: float,
        links: "dict[str, tuple[str, str]]",
        limit: int = 0,
        limit_name: str = "",
        expected: "tuple[str, int] | None" = None,
        quiet: int = QUIET,
    ):
        """``first``: 0 for no lines; ``links``: {link id: (writer's name, reader's name)}; ``limit``: bytes a second.

        ``expected``: a link, and the bytes that should cross it; ``quiet``: for those who show the lines.
        """
        self.first, self.quiet = first, quiet
        self.host, self.links, self.limit, self.expected = host, links, limit, expected
        self.limit_name = limit_name or "rate_limit"
        self.next_at = float(first)
        self.said = 0
        self.total = -1
        self.moved_at = 0.0
        self.stalled = False
        self.patience = STALLED
        self.before: "dict[str, SideReport]" = {}
        self.before_at = 0.0

    def feed(self, sample: "list[SideReport]", at: float, due: bool = False, told: "Iterable[str]" = ()) -> "list[str]":
        """Take a sample, ``at`` seconds into the run; returns the lines to show now, usually none but if ``due``.

        ``told``: what stages wait for or do now, "" for nothing.
        """
        sides = {side["id"]: side for side in sample if side["bytes"] is not None}
        total = sum(side["bytes"] or 0 for side in sides.values())
        if total != self.total:
            self.total, self.moved_at = total, at
        stalled = bool(sides) and at - self.moved_at >= self.patience
        changed = stalled != self.stalled
        self.stalled = stalled
        if changed and not stalled:
            self.patience = min(LATER[-1], self.patience * 2)
        if not (changed or due) and at < self.next_at:
            return []
        if at >= self.next_at - (NEAR if due else 0.0):
            self.next_at = at + LATER[min(self.said, len(LATER) - 1)]
            self.said += 1
        state = "" if not changed else "stalled, " if stalled else "resumed, "
        texts = [*(self._text(side, at, stalled) for side in sides.values()), *filter(None, told)]
        self.before, self.before_at = sides, at
        return ["%s: %s%s" % (self.host, state, "; ".join(texts))] if texts else []

    def _text(self, side: "SideReport", at: float, stalled: bool) -> str:
        """One link: its bytes, and since the last line its rate and the slow side."""
        old = self.before.get(side["id"])
        span = max(1e-6, at - self.before_at)
        # a count may go back a little: that of a kernel TLS reader contains parts of records until they are decrypted
        before = (old["bytes"] or 0) if old else 0
        count = max(side["bytes"] or 0, before)
        moved = count - before
        writer, reader = self.links[side["id"]]
        parts = ["%s %s" % (side["id"], size(count)), speed(moved / span)]
        if self.expected and self.expected[0] == side["id"]:
            percent, left = forecast(count, self.expected[1], at)
            parts[0] += " of %s (%d %%)" % (size(self.expected[1]), percent)
            parts += ["%s left" % clock(left)] if left else []
        if side["side"] == "W":
            flow: "Flow" = {
                "waited": since(old["waited"], side["waited"]) if old else side["waited"],
                "elapsed": span,
                "moved": moved,
                "limit": self.limit,
                "limit_name": self.limit_name,
                "writer": writer,
                "reader": reader,
            }
            slow = who_is_slow(flow)
            parts += [slow] if slow else []
        elif side["unread"]:
            parts.append("%s has %s to read" % (reader, size(side["unread"])))
        elif not stalled or moved == 0:
            parts.append("%s has nothing to read" % reader)
        return ", ".join(parts)


def line_of_job(host: str, told: "JobProgress") -> str:
    """The same for a run that outlives its controller, from the file of its job."""
    parts = [size(told["bytes"]), speed(told["rate"])]
    if told["expected"] and told["percent"] is not None:
        parts[0] += " of %s (%d %%)" % (size(told["expected"]), told["percent"])
        parts += ["%s left" % clock(told["left"])] if told["left"] else []
    return "%s: %s" % (host, ", ".join(parts + [told["slow"]] if told["slow"] else parts))


def without_figures(host: str, elapsed: float, why: str = "") -> str:
    """In place of such a line."""
    return "%s: no figures yet, %s after the start%s" % (host, clock(elapsed), why and ": " + why)


def since(old: "Waited", new: "Waited") -> "Waited":
    def more(before: "float | None", now: "float | None") -> "float | None":
        return None if now is None else now - (before or 0)

    return {
        "receiver": more(old["receiver"], new["receiver"]),
        "buffer": more(old["buffer"], new["buffer"]),
        "busy": more(old["busy"], new["busy"]),
    }
