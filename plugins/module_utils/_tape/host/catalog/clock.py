# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the clock of the tape host: if it jumps forward, archives seem to be past their retention.

Nothing expires while the clock is in doubt.  The first available of these decides:

- the controller's clock, if the controller is another machine;
- the time since boot, which does not change when the clock is set, if this machine has not been rebooted since the
  clock was last trusted;
- the usual time between two runs.

CATALOG/clock.json contains the last trusted time: {time, boot, uptime}.
"""

import os
import time

from ...common import call, files
from ...common.units import iso, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..session import Session
    from .catalog import Catalog
    from .records import Archive

DAY = 86400.0  # seconds: tolerated difference of two clocks
PAUSE = 7 * DAY  # seconds between two runs that raise no doubt
OFTEN = 3600.0  # seconds until the recorded time is renewed
SINCE_BOOT = 7  # CLOCK_BOOTTIME, in Python since 3.7
NOT_SURE = "nothing expires until this is resolved: set the clock or, if it is right, set tape_accept_clock once"


def doubt(session: "Session", archives: "list[Archive]") -> str:
    """Why the clock is not trusted, for a person; "" if it is, or if nothing has expired by it.

    ``archives``: all, oldest first.
    """
    now = time.time()
    return disbelief(session, archives) if any(archive["keep_until"] <= now for archive in archives) else ""


def disbelief(session: "Session", archives: "list[Archive]") -> str:
    """Why the clock is not trusted, even if nothing has expired."""
    if session.settings.accept_clock:
        return ""
    now, ahead = time.time(), session.ahead
    if ahead is not None:
        other = "the controller's %s" % iso(now - ahead)
        return "" if ahead <= DAY else "the tape host's clock shows %s, but %s; %s" % (iso(now), other, NOT_SURE)
    last = recall(session.catalog) or first(archives)
    if last is None:
        return ""
    passed = now - last["time"]
    if last["boot"] == call.boot() and passed - (uptime() - last["uptime"]) <= DAY:
        return ""
    if passed <= max(PAUSE, 2 * longest_pause(archives, last["time"])):
        return ""
    before = "the last backup was at %s" % iso(last["time"])
    return "the tape host's clock shows %s, but %s; %s" % (iso(now), before, NOT_SURE)


def note(session: "Session", archives: "list[Archive]") -> None:
    """Record the time if it is trusted; not if the clock was set back, unless a user or the controller confirms it."""
    if disbelief(session, archives):
        return
    now, last = time.time(), recall(session.catalog)
    sure = session.settings.accept_clock or session.ahead is not None
    if last and not sure and now < last["time"]:
        return
    if last and last["boot"] == call.boot() and 0 <= now - last["time"] < OFTEN:
        return
    files.write_json(path(session.catalog), {"time": now, "boot": call.boot(), "uptime": uptime()})


def path(catalog: "Catalog") -> str:
    return os.path.join(catalog.folder, "clock.json")


def recall(catalog: "Catalog") -> "dict[str, Any] | None":
    """The last recorded time, None if there is none or it is invalid."""
    try:
        noted = files.read_json(path(catalog))
        when = float(noted["time"])
        found = {"time": when, "boot": str(noted["boot"]), "uptime": float(noted["uptime"])}
        return found if 0 <= when < 2**36 else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def first(archives: "list[Archive]") -> "dict[str, Any] | None":
    """The time of the newest archive, for the case that no time is recorded yet."""
    newest = max((archive["time"] for archive in archives), default="")
    return {"time": parse_time(newest), "boot": "", "uptime": 0.0} if newest else None


def longest_pause(archives: "list[Archive]", until: float) -> float:
    """The longest time in seconds between two runs, up to a time."""
    starts = {archive["run"]: archive["time"] for archive in reversed(archives)}  # the first archive of each run
    times = sorted(when for when in map(parse_time, starts.values()) if when <= until + DAY)
    return max((after - before for before, after in zip(times, times[1:])), default=0.0)


def uptime() -> float:
    """Seconds since boot, including suspended time."""
    return time.clock_gettime(SINCE_BOOT)
