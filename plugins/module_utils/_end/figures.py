# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of one side of a link."""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .link import Side
    from .records import SideReport


def report(side: "Side", start: float) -> "SideReport":
    """The report for the controller, in seconds and bytes; None if the kernel does not count."""
    info = side.transport.last_info()
    micro = {name: None if value is None else value / 1e6 for name, value in info.items()}
    found: "SideReport" = {
        "id": side.id,
        "side": "W" if side.writer else "R",
        "state": side.state,
        "problem": side.problem,
        "bytes": side.bytes(info),
        "unread": None if side.writer else left_over(side),
        "ended": side.fin,
        "padding": side.padding,
        "elapsed": (side.ended_at or time.monotonic()) - side.since,
        "ended_at": None if side.ended_at is None else side.ended_at - start,
        "rtt": micro.get("rtt"),
        "retransmits": info.get("retransmits"),
        "waited": {
            "receiver": micro.get("rwnd_limited"),
            "buffer": micro.get("sndbuf_limited"),
            "busy": micro.get("busy_time"),
        },
        "address": side.spec.get("address", ""),
        "peer": side.spec.get("peer", ""),
        "encryption": side.transport.encrypted(info),
    }
    return side.relay.cover(found) if side.relay else found


def left_over(side: "Side") -> "int | None":
    try:
        return side.unread() + side.spilled
    except (OSError, ValueError):
        return None
