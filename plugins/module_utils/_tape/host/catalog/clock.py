# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the clock of the tape host can be right: if it jumps forward, archives seem to be past their retention.

Nothing expires as long as that is in doubt.  What says so is the first of these that there is:

- the controller's clock, if the controller is another machine;
- the time since this machine was started, which no setting of the clock changes, if it has not been started again since
  the clock was believed last;
- the time between two runs that is usual here.

CATALOG/clock.json has the time that was believed last: {time, boot, uptime}.
"""

import os
import time

from ...common import call, files
from ...common.units import iso, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..session import Session
    from .catalog import Archive, Catalog

DAY = 86400.0  # seconds that two clocks may differ
PAUSE = 7 * DAY  # between two runs, of which nobody is asked
OFTEN = 3600.0  # seconds for which what is noted is good enough
SINCE_BOOT = 7  # CLOCK_BOOTTIME, of which Python knows since 3.7
NOT_SURE = "nothing expires until that is cleared up: set the clock, or, if it is right, set tape_accept_clock once"


def doubt(session: "Session", archives: "list[Archive]") -> str:
    """Why the clock is not believed, for a person; "" if it is, or if nothing is past its retention by it.

    ``archives``: all, oldest first.
    """
    now = time.time()
    return disbelief(session, archives) if any(archive["keep_until"] <= now for archive in archives) else ""


def disbelief(session: "Session", archives: "list[Archive]") -> str:
    """Why the clock is not believed, whether it matters or not."""
    if session.settings.accept_clock:
        return ""
    now, ahead = time.time(), session.ahead
    if ahead is not None:
        other = "the controller's %s" % iso(now - ahead)
        return "" if ahead <= DAY else "the tape host's clock says %s, and %s; %s" % (iso(now), other, NOT_SURE)
    last = recall(session.catalog) or first(archives)
    if last is None:
        return ""
    passed = now - last["time"]
    if last["boot"] == call.boot() and passed - (uptime() - last["uptime"]) <= DAY:
        return ""
    if passed <= max(PAUSE, 2 * longest_pause(archives, last["time"])):
        return ""
    before = "the last backup was at %s" % iso(last["time"])
    return "the tape host's clock says %s, and %s; %s" % (iso(now), before, NOT_SURE)


def note(session: "Session", archives: "list[Archive]") -> None:
    """Note the time if it is believed.  If it has gone back it is not, unless somebody has said that it is right."""
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
    """What was noted last, None if nothing was, or nothing that makes sense."""
    try:
        noted = files.read_json(path(catalog))
        when = float(noted["time"])
        found = {"time": when, "boot": str(noted["boot"]), "uptime": float(noted["uptime"])}
        return found if 0 <= when < 2**36 else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def first(archives: "list[Archive]") -> "dict[str, Any] | None":
    """What is known where nothing was noted yet: when the newest archive was made."""
    newest = max((archive["time"] for archive in archives), default="")
    return {"time": parse_time(newest), "boot": "", "uptime": 0.0} if newest else None


def longest_pause(archives: "list[Archive]", until: float) -> float:
    """Seconds between two runs up to a time."""
    starts = {archive["run"]: archive["time"] for archive in reversed(archives)}  # of each run the first
    times = sorted(when for when in map(parse_time, starts.values()) if when <= until + DAY)
    return max((after - before for before, after in zip(times, times[1:])), default=0.0)


def uptime() -> float:
    """Seconds since then, those in which the machine slept included."""
    return time.clock_gettime(SINCE_BOOT)
