# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts for metrics that no archive has: CATALOG/history.json.

The last attempt to back up each host and set, also of hosts that never reached a tape; how many attempts there were and
how many failed; alerts of drives.  Copies of the catalog do not have it: counters belong to one tape host.  A damaged
file only means that the counters begin again.
"""

import os

from ...common import files
from ...common.problem import Problem
from ...common.units import now_iso, parse_time
from . import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict

    from ..drives.hardware import Alerts
    from .catalog import Catalog
    from .records import Archive

    class Attempts(TypedDict):
        """Those of a host and set."""

        time: str  # of the last one, as the next one
        ok: bool
        count: int
        failed: int

    class Alerted(TypedDict):
        """One alert of a drive."""

        time: str  # last
        count: int
        name: str
        severity: str

    class Tried(TypedDict):
        """One host of a run, as the controller reports it."""

        host: str
        sets: "dict[str, bool]"  # {name: whether its archive is good}; {} if the host failed before any

    class History(TypedDict):
        format: int
        hosts: "dict[str, dict[str, Attempts]]"  # by host and set
        drives: "dict[str, dict[str, Alerted]]"  # by device and number of the flag
        expire_last: bool  # tape_expire_last of the last backup


NAME = "history.json"
FORMAT = 1
KEPT = 366 * 86400  # seconds after which a host without archives is forgotten


def path(catalog: "Catalog") -> str:
    return os.path.join(catalog.folder, NAME)


def load(catalog: "Catalog") -> "History":
    empty: "History" = {"format": FORMAT, "hosts": {}, "drives": {}, "expire_last": False}
    try:
        found = files.read_json(path(catalog))
        return checked(found) if found else empty
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Problem):
        return empty


def checked(found: "Any") -> "History":
    """The content of the file; raises ValueError, KeyError, TypeError, AttributeError, Problem."""
    if found["format"] != FORMAT or not isinstance(found["expire_last"], bool):
        raise ValueError
    for sets in found["hosts"].values():
        for entry in sets.values():
            if not isinstance(entry["ok"], bool) or parse_time(entry["time"]) + entry["count"] + entry["failed"] < 0:
                raise ValueError
    for alerts in found["drives"].values():
        for entry in alerts.values():
            if not isinstance(entry["name"] + entry["severity"], str) or parse_time(entry["time"]) + entry["count"] < 0:
                raise ValueError
    history: "History" = found
    return history


def note_run(catalog: "Catalog", run: str, name: str, tried: "list[Tried]", expire_last: bool) -> None:
    """Record the attempts of a run that ends; ``name``: its set; raises Problem."""
    with catalog.lock():
        known = load(catalog)
        known["expire_last"] = expire_last
        good = {(each["host"], each["set"]) for each in catalog.archives() if is_good(each, run)}
        for each in tried:
            sets = each["sets"] or dict.fromkeys(sets_of(known, each["host"], name), False)
            for one, is_ok in sets.items():
                # the controller may have lost the answer of a host whose archive is on tape
                ok = is_ok or (each["host"], one) in good
                of_host = known["hosts"].setdefault(each["host"], {})
                before = of_host.get(one)
                count, failed = (before["count"], before["failed"]) if before else (0, 0)
                of_host[one] = {"time": now_iso(), "ok": ok, "count": count + 1, "failed": failed + (not ok)}
        forget(known, {each["host"] for each in catalog.archives()})
        files.write_json(path(catalog), known)


def is_good(archive: "Archive", run: str) -> bool:
    return archive["run"] == run and archive["state"] == records.GOOD


def sets_of(known: "History", host: str, name: str) -> "list[str]":
    """The sets of a host that failed before any of them: those of its last runs, else the set of the run."""
    sources = name + "."
    return [each for each in known["hosts"].get(host, {}) if each == name or each.startswith(sources)] or [name]


def forget(known: "History", hosts: "set[str]") -> None:
    """Remove hosts without archives that were not tried for long."""
    oldest = parse_time(now_iso()) - KEPT
    for host in list(known["hosts"]):
        if host not in hosts and all(parse_time(each["time"]) < oldest for each in known["hosts"][host].values()):
            del known["hosts"][host]


def note_alerts(catalog: "Catalog", device: str, alerts: "Alerts") -> None:
    """Record alerts that a drive has reported; raises Problem."""
    if not alerts:
        return
    with catalog.lock():
        known = load(catalog)
        of_drive = known["drives"].setdefault(device, {})
        for alert in alerts:
            number = str(alert["flag"])
            count = of_drive[number]["count"] if number in of_drive else 0
            of_drive[number] = {
                "time": now_iso(),
                "count": count + 1,
                "name": alert["name"],
                "severity": alert["severity"],
            }
        files.write_json(path(catalog), known)
