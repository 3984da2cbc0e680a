# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog for people: tables of tapes, runs, hosts and archives, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _tape_table as table

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Archive, HostKnown, Info, Run, Tape, Verified

TAPES = ("TAPE", "BARCODE", "ARCHIVES", "FAILED", "SIZE", "LAST WRITTEN", "LOCATION", "STATE")
RUNS = ("RUN", "SET", "GOOD", "FAILED", "SIZE", "TAPES", "KEPT UNTIL")
HOSTS = (
    "HOST",
    "SET",
    "LAST GOOD",
    "AGE",
    "LEVEL",
    "SIZE",
    "TAPE:FILE",
    "KEPT UNTIL",
    "VERIFIED",
    "RESTORED",
    "DRILLED",
)
ARCHIVES = ("HOST", "SET", "WRITTEN", "LEVEL", "SIZE", "TAPE:FILE", "STATE", "KEPT UNTIL", "VERIFIED", "RUN")
MOST_RUNS = 10  # in the table; the data has more
# fields of a host in the statistic
PLACE = ("host", "set", "time", "age", "late", "level", "tape", "file", "keep_until")
KEYS = (*PLACE, "last_verified", "last_restored", "last_drilled")


def lines(found: Info, filtered: bool) -> list[str]:
    """All tables that there is data for; archives only if a filter limits their number."""
    shown = []
    for drive in found.get("drives", ()):
        shown.append(f"DRIVE {drive['device']}: {drive['message'] or 'tape %s' % drive['label']}")
    if found.get("tapes"):
        shown += table.lines(TAPES, [of_tape(tape) for tape in found["tapes"]])
    if found.get("runs"):
        shown += table.lines(RUNS, [of_run(run) for run in found["runs"][:MOST_RUNS]])
        older = len(found["runs"]) - MOST_RUNS
        shown += [f"and {table.count(older, 'older run')}"] if older > 0 else []
    if found.get("hosts"):
        shown += table.lines(HOSTS, [of_host(host) for host in found["hosts"]])
    if filtered and found.get("archives"):
        shown += table.lines(ARCHIVES, [of_archive(archive) for archive in found["archives"]])
    return shown


def of_tape(tape: Tape) -> list[Any]:
    retired = tape["retired"]
    ends = None if retired else tape.get("expires") or tape["keep_until"]
    gone = f"retired {retired['time'][:10]}: {retired['reason']}" if retired else ""
    kept = f"kept until {ends}" if ends and not tape["expired"] else ""
    last = f"last good archive of {table.few(tape['last_of'])}" if tape.get("last_of") else ""
    used = f"in use by run {tape['run']}" if tape["run"] else ""
    states = [gone, used, "full" if tape["full"] else "", "expired" if tape["expired"] else "", kept, last]
    state = ", ".join(filter(None, states)) or "empty"
    numbers = tape["archives"], tape["failed"], table.bytes_of(tape["bytes"])
    return [
        tape["label"],
        tape["barcode"] or table.NONE,
        *numbers,
        tape["last"] or table.NONE,
        tape["location"] or table.NONE,
        state,
    ]


def of_run(run: Run) -> list[Any]:
    tapes = table.few(run["tapes"])
    return [run["run"], run["set"], run["good"], run["failed"], table.bytes_of(run["bytes"]), tapes, day(run)]


def of_host(host: HostKnown) -> list[Any]:
    which = [host["host"], host["set"], host["time"], table.age(host["age"]) + (" LATE" if host["late"] else "")]
    place = [host["level"], table.bytes_of(host["bytes"]), table.where(host), day(host)]
    tests = [tested(host["last_verified"]), tested(host["last_restored"]), tested(host["last_drilled"])]
    return [*which, *place, *tests]


def of_archive(archive: Archive) -> list[Any]:
    which = [archive["host"], archive["set"], archive["time"], archive["level"], table.bytes_of(archive["bytes"])]
    return [*which, table.where(archive), archive["state"], day(archive), tested(archive["verified"]), archive["run"]]


def day(entry: Any) -> str:
    return entry["keep_until"][:10] if entry["keep_until"] else table.NONE


def tested(last: Verified | None) -> str:
    """The day of the last test, and whether it failed."""
    return "never" if last is None else last["time"][:10] + ("" if last["ok"] else " FAILED")


def missing(found: Info, expected: list[str]) -> list[str]:
    """The hosts without any good archive: in the catalog, or expected there."""
    good = {host["host"] for host in found["hosts"]}
    names = [*expected, *(each["host"] for each in found["without"])]
    return [name for name in dict.fromkeys(names) if name not in good]


def advice(found: Info, without: list[str]) -> list[str]:
    """The next tapes, and the hosts whose archives nobody has tested."""
    shown = []
    if found.get("next"):
        first, *rest = found["wanted"]
        others = [f"{tape['label']} ({', '.join(filter(None, [tape['state'], tape['location']]))})" for tape in rest]
        then = f", then {table.few(others)}" if others else ""
        shown.append(f"The next backup needs tape {table.located(first['label'], first['location'])}{then}")
    elif found.get("tapes"):
        shown.append(f"No tape is writable: label another one{soonest(found['tapes'])}")
    for word, keys in (("verified", ["last_verified"]), ("restored", ["last_restored", "last_drilled"])):
        never = [of_set(host) for host in found.get("hosts", ()) if not any(host[key] for key in keys)]  # type: ignore[literal-required]
        never = list(dict.fromkeys([*never, *without]))
        shown += [f"Never {word}: {table.few(never, most=10)}"] if never else []
    return shown


def of_set(host: HostKnown) -> str:
    """The host, with the set unless that is the one of most hosts."""
    return host["host"] if host["set"] == "all" else f"{host['host']} (set {host['set']})"


def soonest(tapes: list[Tape]) -> str:
    """The tape that expires first, for the end of a sentence; one that has the last archive of a host does not."""
    ends = [(tape["expires"], tape["label"]) for tape in tapes if tape.get("expires") and not tape.get("last_of")]
    return ", or wait until {1} expires ({0})".format(*min(ends)) if ends else ""


def statistic(result: dict[str, Any]) -> dict[str, Any]:
    """The result without the archives, for the next job of a workflow."""
    hosts = [{key: host[key] for key in KEYS} for host in result.get("hosts", ())]
    wanted = [tape["label"] for tape in result.get("wanted", ())]
    return {"hosts": hosts, "missing": result.get("missing", []), "wanted": wanted, "warnings": result["notes"]}
