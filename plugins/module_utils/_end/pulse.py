# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs of life of a TCP link: whether bytes move, and whether the other host is there."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import LinkSpec, SideProblem


class Pulse:
    """The times of the last byte and the last packet."""

    def __init__(self, spec: "LinkSpec", now: float):
        self.spec = spec
        self.seen, self.moved_at = 0, now
        self.heard, self.heard_at = 0, now
        self.hears = True  # whether this kernel counts received packets

    def feel(self, count: int, packets: "int | None", now: float, rests: bool = False) -> None:
        """Record the current counters: bytes, and received packets, which include answers to keepalives.

        ``rests``: no byte has to move now.
        """
        if rests or count != self.seen:
            self.seen, self.moved_at = count, now
        self.hears = packets is not None
        if packets is not None and packets != self.heard:
            self.heard, self.heard_at = packets, now

    def problem(self, now: float, may_rest: bool) -> "SideProblem | None":
        """The problem, None if there is none; ``may_rest``: no byte needs to move any more."""
        stall = self.spec.get("stall_timeout") or 0
        dead = self.spec.get("dead_peer") or 0
        if stall and now - self.moved_at > stall and not may_rest:
            return {"kind": "stalled", "seconds": stall}
        if dead and self.hears and now - self.heard_at > dead:
            return {"kind": "dead peer", "seconds": dead}
        return None
