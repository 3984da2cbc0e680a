# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""info: reports drives, tapes, archives, and the newest good archive of each host; changes nothing."""

from ...common.units import iso
from ..catalog import clock, increments, records
from ..reserve import requests
from . import inventory

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..catalog.records import Archive
    from ..session import Session

KEYS = ("host", "set", "run", "time", "level", "base", "tape", "file", "bytes", "state", "verified")


def info(session: "Session", args: "argparse.Namespace") -> "answers.Info":
    """Returns the parts that --gather names; raises Problem."""
    catalog = session.catalog
    gather = args.gather.split(",")
    archives = [archive for archive in catalog.archives() if args.host in ("", archive["host"])]
    found: "answers.Info" = {}
    warnings = catalog.warnings()
    if "drives" in gather:
        found["drives"] = [inventory.look(session, path, "reading the label") for path in session.settings.devices]
    doubt = clock.doubt(session, catalog.archives())
    found["warnings"] = warnings + ([doubt] if doubt else [])
    if "tapes" in gather:
        keep = None if doubt else increments.needed(catalog.archives())
        found["tapes"] = [inventory.summary(catalog, tape, keep) for tape in catalog.tapes()]
        found["next"] = wanted_next(session)
    if "archives" in gather:
        found["archives"] = [entry_of(archive) for archive in archives]
    if "hosts" in gather:
        newest = {(each["host"], each["set"]): each for each in archives if each["state"] == records.GOOD}
        found["hosts"] = [entry_of(newest[key]) for key in sorted(newest)]
    return found


def entry_of(archive: "Archive") -> "answers.Archive":
    entry: "Any" = {key: archive.get(key) for key in KEYS}
    entry["keep_until"] = iso(archive["keep_until"])
    found: "answers.Archive" = entry
    return found


def wanted_next(session: "Session") -> "str | None":
    """The tape that a backup would prefer, whether it is in a drive or not."""
    request = requests.WriteRequest(session)
    ranked = [(request.rate(tape), tape["label"]) for tape in session.catalog.tapes()]
    usable = [(rank, label) for (rank, reason), label in ranked if not reason]
    return min(usable)[1] if usable else None
