# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the catalog as metrics: a file for the textfile collector of Prometheus' node_exporter.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/.  The file is as old as the last change of the
catalog, so it has times and no ages: a rule compares them with its own clock.  A test that never took place has the
time 0, so that a rule on its age sees it, too.
"""

import os

from ...common import files, names
from ...common.problem import Problem
from ...common.units import parse_time
from . import clock, history, increments, records, restores
from .catalog import used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple, Union

    from ..session import Session
    from .catalog import Catalog
    from .history import History
    from .records import Archive, Tape

    Sample = Tuple[Dict[str, str], Union[float, None]]  # labels and value; None: there is no value
    Samples = Dict[str, List[Sample]]

PREFIX = "socketpipe_tape_"
GAUGE, COUNTER = "gauge", "counter"
NEVER, ALWAYS = 0.0, float("inf")
SEVERITIES = ("critical", "warning", "information")
EMPTY, APPEND, FULL, EXPIRED, RETIRED, DAMAGED = "empty", "append", "full", "expired", "retired", "damaged"
# in the order of the file: {name without the prefix: (type, help)}
METRICS = {
    "last_success_timestamp_seconds": (GAUGE, "Start of the last good archive of a host and set, 0 if it has none."),
    "last_success_size_bytes": (GAUGE, "Size of the last good archive on tape."),
    "last_success_duration_seconds": (GAUGE, "Time that the last good archive took."),
    "last_success_level": (GAUGE, "Level of the last good archive: 0 has everything, 1 to 9 have changes."),
    "last_success_incomplete": (GAUGE, "1 if the last good archive lacks files that tar could not read."),
    "last_attempt_timestamp_seconds": (GAUGE, "End of the last run that tried to back up a host and set."),
    "last_attempt_success": (GAUGE, "1 if that run made a good archive, otherwise 0."),
    "attempts_total": (COUNTER, "Runs that tried to back up a host and set."),
    "failures_total": (COUNTER, "Runs that did not make a good archive of a host and set."),
    "last_verify_timestamp_seconds": (GAUGE, "Last verification of an archive of a host and set, 0 if none was."),
    "last_verify_success": (GAUGE, "1 if that archive was good, otherwise 0."),
    "damaged_archives": (GAUGE, "Good archives whose last verification failed."),
    "last_restore_timestamp_seconds": (GAUGE, "Last successful restore of a host and set, 0 if there was none."),
    "last_drill_timestamp_seconds": (GAUGE, "Last restore drill of a host and set, 0 if there was none."),
    "last_drill_success": (GAUGE, "1 if that drill succeeded, otherwise 0."),
    "tapes": (GAUGE, "Tapes in the catalog by state."),
    "tape_used_bytes": (GAUGE, "Data on a tape."),
    "tape_full": (GAUGE, "1 if a tape was filled to its end, otherwise 0."),
    "tape_expiry_timestamp_seconds": (
        GAUGE,
        "When a tape expires with all that depends on it, +Inf while it has the last good archive of a host.",
    ),
    "drive_alerts_total": (COUNTER, "TapeAlert flags that a drive reported around an archive."),
    "drive_last_alert_timestamp_seconds": (GAUGE, "Last TapeAlert flag of this severity, 0 if there was none."),
}


def write(session: "Session") -> None:
    """Replace the file of tape_metrics_file; raises Problem and OSError."""
    path = session.settings.metrics_file
    # one at a time: otherwise an older state might replace a newer one
    with files.locked(os.path.join(session.catalog.locks, "metrics")):
        data = text(samples(session)).encode("utf-8", "replace")
        try:
            files.publish(path, data, 0o644)  # everybody may read it
        except OSError as exc:
            folder, where = os.path.dirname(path), path
            hint = "check the directory and tape_metrics_file, or set tape_become"
            if not os.path.isdir(folder):
                hint = "create it, or set tape_metrics_file to a file of node_exporter's --collector.textfile.directory"
                where = folder
            raise Problem("%s: %s" % (where, exc.strerror or exc), hint) from None


def text(found: "Samples") -> str:
    lines = []
    for name, (kind, told) in METRICS.items():
        known = [(labels, value) for labels, value in found.get(name, []) if value is not None]
        if known:
            lines += ["# HELP %s%s %s" % (PREFIX, name, told), "# TYPE %s%s %s" % (PREFIX, name, kind)]
            lines += ["%s%s%s %s" % (PREFIX, name, braced(labels), number(value)) for labels, value in known]
    return "".join(line + "\n" for line in lines)


def braced(labels: "dict[str, str]") -> str:
    return "{%s}" % ",".join('%s="%s"' % (name, escaped(value)) for name, value in labels.items()) if labels else ""


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    if value == ALWAYS:
        return "+Inf"
    return "%d" % value if value == int(value) else repr(value)


def samples(session: "Session") -> "Samples":
    """Raises Problem."""
    catalog, known = session.catalog, history.load(session.catalog)
    archives = catalog.archives()
    found: "Samples" = {name: [] for name in METRICS}
    add_hosts(found, catalog, archives, known)
    add_tapes(found, session, archives, known)
    add_drives(found, session, known)
    return found


def add_hosts(found: "Samples", catalog: "Catalog", archives: "list[Archive]", known: "History") -> None:
    groups: "dict[tuple[str, str], list[Archive]]" = {}
    for archive in archives:
        groups.setdefault((archive["host"], archive["set"]), []).append(archive)
    tests = restores.load(catalog)
    tried = {(host, name) for host, sets in known["hosts"].items() for name in sets}
    for host, name in sorted(tried | set(groups)):
        own = groups.get((host, name), [])
        values = {
            **of_archives(own),
            **of_attempts(own, known["hosts"].get(host, {}).get(name)),
            **of_restores(tests.get((host, name), {})),
        }
        for metric, value in values.items():
            found[metric].append(({"host": host, "set": name}, value))


def of_archives(own: "list[Archive]") -> "dict[str, Any]":
    """Of a host and set; ``own``: their archives, oldest first."""
    good = [each for each in own if each["state"] == records.GOOD]
    last: "Any" = good[-1] if good else {}
    verified = [each["verified"] for each in own if each.get("verified")]
    newest = max(verified, key=lambda each: seconds(each.get("time"))) if verified else None
    return {
        "last_success_timestamp_seconds": seconds(last.get("time")),
        "last_success_size_bytes": last.get("bytes"),
        "last_success_duration_seconds": last.get("elapsed"),
        "last_success_level": last.get("level"),
        "last_success_incomplete": int(bool(last.get("incomplete"))) if last else None,
        "last_verify_timestamp_seconds": seconds(newest and newest.get("time")),
        "last_verify_success": int(newest["ok"]) if newest else None,
        "damaged_archives": sum(not each.get("verified", {"ok": True})["ok"] for each in good),
    }


def of_attempts(own: "list[Archive]", entry: "history.Attempts | None") -> "dict[str, Any]":
    """An older version of the collection recorded only archives."""
    if entry is None:
        last = own[-1]
        ok, count, failed, when = last["state"] == records.GOOD, 0, 0, last["time"]
    else:
        ok, count, failed, when = entry["ok"], entry["count"], entry["failed"], entry["time"]
    return {
        "last_attempt_timestamp_seconds": seconds(when),
        "last_attempt_success": int(ok),
        "attempts_total": count,
        "failures_total": failed,
    }


def of_restores(tests: "dict[str, records.Verified]") -> "dict[str, Any]":
    restored, drilled = tests.get(restores.RESTORED), tests.get(restores.DRILLED)
    return {
        "last_restore_timestamp_seconds": seconds(restored and restored["time"]),
        "last_drill_timestamp_seconds": seconds(drilled and drilled["time"]),
        "last_drill_success": int(drilled["ok"]) if drilled else None,
    }


def add_tapes(found: "Samples", session: "Session", archives: "list[Archive]", known: "History") -> None:
    catalog, expire_last = session.catalog, known["expire_last"]
    doubt = clock.doubt(session, archives)
    keep = None if doubt or catalog.damaged else increments.needed(archives, expire_last=expire_last)
    until = increments.kept_until(archives)
    last = set() if expire_last else increments.last(archives)
    counts = dict.fromkeys((EMPTY, APPEND, FULL, EXPIRED, RETIRED, DAMAGED), 0)
    for tape in catalog.tapes():
        counts[state_of(tape, keep)] += 1
        if "retired" in tape:
            continue
        labels = {"tape": tape["label"]}
        found["tape_used_bytes"].append((labels, used(tape)))
        found["tape_full"].append((labels, int(tape["full"])))
        keys = [increments.key_of(each) for each in tape["archives"] if each["kind"] == records.ARCHIVE]
        ends = [ALWAYS if key in last else until[key] for key in keys if key in until]
        found["tape_expiry_timestamp_seconds"].append((labels, max(ends) if ends else None))
    counts[DAMAGED] = len(catalog.damaged)
    found["tapes"] = [({"state": state}, count) for state, count in counts.items()]


def state_of(tape: "Tape", keep: "set[tuple[str, str, str]] | None") -> str:
    """``keep``: the archives to keep, None if nothing expires now."""
    if "retired" in tape:
        return RETIRED
    if keep is not None and increments.is_expired(tape, keep):
        return EXPIRED
    if tape["full"]:
        return FULL
    return APPEND if any(each["kind"] == records.ARCHIVE for each in tape["archives"]) else EMPTY


def add_drives(found: "Samples", session: "Session", known: "History") -> None:
    for device in sorted({*session.settings.devices, *known["drives"]}):
        alerts = known["drives"].get(device, {})
        labels = {"device": names.shown(os.fsencode(device))}
        for flag in sorted(alerts, key=lambda each: (len(each), each)):
            alert = alerts[flag]
            more = {**labels, "flag": flag, "name": alert["name"], "severity": alert["severity"]}
            found["drive_alerts_total"].append((more, alert["count"]))
        for severity in SEVERITIES:
            times = [seconds(each["time"]) for each in alerts.values() if each["severity"] == severity]
            found["drive_last_alert_timestamp_seconds"].append(
                ({**labels, "severity": severity}, max(times) if times else NEVER)
            )


def seconds(time: "str | None") -> float:
    """Since 1970; 0 for never, and for times that nobody can read."""
    try:
        return parse_time(time) if time else NEVER
    except Problem:
        return NEVER
