# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""info: reports drives, tapes, runs, archives, and the newest good archive of each host; changes nothing."""

import time

from ...common.units import iso, parse_time
from ..catalog import catalog as catalogs
from ..catalog import clock, increments, records, restores
from ..reserve import requests
from . import inventory

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..catalog.records import Archive, Verified
    from ..session import Session

KEYS = ("host", "set", "run", "time", "level", "base", "tape", "file", "bytes", "state", "verified")
STATES = {requests.LEASED: "leased", requests.APPENDED: "append", requests.EMPTY: "empty", requests.EXPIRED: "expired"}
MOST_RUNS = 1000  # the newest


def info(session: "Session", args: "argparse.Namespace") -> "answers.Info":
    """Returns the parts that --gather names; raises Problem."""
    catalog = session.catalog
    gather = args.gather.split(",")
    every = catalog.archives()
    archives = [each for each in every if is_wanted(each, args)]
    found: "answers.Info" = {}
    warnings = catalog.warnings()
    if "drives" in gather:
        found["drives"] = [inventory.look(session, path, "reading the label") for path in session.settings.devices]
    doubt = clock.doubt(session, every)
    if "tapes" in gather:
        keep = None if doubt else increments.needed(every, expire_last=session.settings.expire_last)
        found["tapes"] = [inventory.summary(catalog, tape, keep) for tape in catalog.tapes()]
        add_expiry(found["tapes"], every, session.settings.expire_last)
        for tape in found["tapes"]:
            tape["percent"] = catalogs.percent(catalog.tape(tape["label"]), session.settings.capacity)
        found["wanted"] = wanted(session)
        found["next"] = found["wanted"][0]["label"] if found["wanted"] else None
    if "runs" in gather:
        found["runs"] = runs(archives)
    if "archives" in gather:
        found["archives"] = [entry_of(archive) for archive in archives]
    if "hosts" in gather:
        own = [each for each in every if args.host in ("", each["host"])]
        found["hosts"] = hosts(session, own)
        warnings += [late(session, each) for each in found["hosts"] if each["late"]]
        with_good = {(each["host"], each["set"]) for each in found["hosts"]}
        without = sorted({(each["host"], each["set"]) for each in own} - with_good)
        found["without"] = [{"host": host, "set": name} for host, name in without]
    found["warnings"] = warnings + ([doubt] if doubt else [])
    return found


def is_wanted(archive: "Archive", args: "argparse.Namespace") -> bool:
    """Whether the archive is of the host, the run and the tape that the options name, if any."""
    return (
        args.host in ("", archive["host"]) and args.run in ("", archive["run"]) and args.tape in ("", archive["tape"])
    )


def entry_of(archive: "Archive") -> "answers.Archive":
    entry: "Any" = {key: archive.get(key) for key in KEYS}
    entry["keep_until"] = iso(archive["keep_until"])
    found: "answers.Archive" = entry
    return found


def add_expiry(tapes: "list[answers.Tape]", archives: "list[Archive]", expire_last: bool) -> None:
    """Add to each tape when it expires, with the increments that depend on it, and whose last archive it has."""
    until = increments.kept_until(archives)
    last = set() if expire_last else increments.last(archives)
    for tape in tapes:
        own = [each for each in archives if each["tape"] == tape["label"]]
        times = [until[key] for key in map(increments.key_of, own) if key in until]
        tape["expires"] = iso(max(times)) if times else None
        tape["last_of"] = sorted({each["host"] for each in own if increments.key_of(each) in last})


def wanted(session: "Session") -> "list[answers.Wanted]":
    """The tapes that backups would use, in this order, whether they are in a drive or not."""
    request = requests.WriteRequest(session)
    ranked = [(request.rate(tape), tape["label"]) for tape in session.catalog.tapes()]
    usable = sorted((rank, label) for (rank, reason), label in ranked if not reason)
    places = {tape["label"]: tape.get("location", "") for tape in session.catalog.tapes()}
    return [{"label": label, "state": STATES[rank], "location": places[label]} for rank, label in usable]


def runs(archives: "list[Archive]") -> "list[answers.Run]":
    """The runs of these archives, newest first."""
    found: "dict[tuple[str, str], list[Archive]]" = {}
    for archive in archives:
        found.setdefault((archive["run"], archive["set"]), []).append(archive)
    newest = sorted(found, key=lambda key: found[key][0]["time"], reverse=True)
    return [summary(found[key]) for key in newest[:MOST_RUNS]]


def summary(archives: "list[Archive]") -> "answers.Run":
    """One run, with its archives, oldest first."""
    good = [each for each in archives if each["state"] == records.GOOD]
    kept = {each["host"] for each in good}
    lost = {each["host"] for each in archives if each["state"] == records.LOST}
    return {
        "run": archives[0]["run"],
        "set": archives[0]["set"],
        "time": archives[0]["time"],
        "good": len(kept),
        # a host that was retried with success has not failed
        "failed": len({each["host"] for each in archives} - kept - lost),
        "bytes": sum(each["bytes"] or 0 for each in good),
        "tapes": list(dict.fromkeys(each["tape"] for each in archives)),
        "keep_until": iso(max(each["keep_until"] for each in good)) if good else None,
    }


def hosts(session: "Session", archives: "list[Archive]") -> "list[answers.HostKnown]":
    """The newest good archive of each host and set, its age, and when the host was last verified and restored."""
    known = restores.load(session.catalog)
    newest = {(each["host"], each["set"]): each for each in archives if each["state"] == records.GOOD}
    found: "list[answers.HostKnown]" = []
    for key in sorted(newest):
        archive, last = newest[key], known.get(key, {})
        age = max(0, int(time.time() - parse_time(archive["time"])))
        own = [each for each in archives if (each["host"], each["set"]) == key]
        host: "Any" = {
            **entry_of(archive),
            "age": age,
            "late": bool(session.settings.max_age and age > session.settings.max_age),
            "last_verified": last_verified(own),
            "last_restored": last.get(restores.RESTORED),
            "last_drilled": last.get(restores.DRILLED),
        }
        found.append(host)
    return found


def last_verified(archives: "list[Archive]") -> "Verified | None":
    """The newest verification of the archives that the catalog has: those of overwritten ones prove nothing now."""
    known = [each["verified"] for each in archives if each.get("verified")]
    return max(known, key=lambda each: each["time"]) if known else None


def late(session: "Session", host: "answers.HostKnown") -> str:
    """A warning on a host whose last good archive is too old."""
    text = "the last good archive of %s (set %s) is of %s, which is older than tape_max_age (%s)"
    return text % (host["host"], host["set"], host["time"], session.settings.value["max_age"])
