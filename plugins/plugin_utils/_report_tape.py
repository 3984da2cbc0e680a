# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of the tape modules in a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _report_records as records
from . import _tape_table as table
from ._report_records import Report, censored, mapping, mappings, moment, number, text, texts, whole
from ._report_streams import add_failure
from ._tape_again import again

BACKUP = "plumbing.socketpipe.backup"
TESTS = ("last_verified", "last_restored", "last_drilled")


def is_finished(result: Mapping[str, Any]) -> bool:
    return isinstance(result.get("summary"), Mapping) and isinstance(result.get("hosts"), Mapping)


def is_backup(result: Mapping[str, Any]) -> bool:
    return {"host", "run", "state"} <= set(result)


def is_verified(result: Mapping[str, Any]) -> bool:
    return {"verified", "damaged", "not_verified"} <= set(result)


def is_restored(result: Mapping[str, Any]) -> bool:
    return isinstance(result.get("archives"), list) and "to" in result


def is_catalog(result: Mapping[str, Any]) -> bool:
    return any(isinstance(result.get(name), list) for name in ("tapes", "hosts", "runs")) and "to" not in result


# -- a run


def read_finished(report: Report, _host: str, result: Mapping[str, Any]) -> None:
    """The table of a run: a row for each host, and for each source of a host."""
    summary = result["summary"]
    report.runs.append(text(summary.get("run")))
    report.elapsed = number(summary.get("elapsed"))
    for name, row in result["hosts"].items():
        host, row = text(name), mapping(row)
        add_row(report, row_of(host, {**row, "censored": censored(result)}))
        for part in mappings(row.get("sources")):
            told = {**row, **part, "kind": None, "censored": censored(result)}
            add_row(report, row_of(f"{host}: {text(part.get('name'))}", told, part=True))
        if not row.get("ok"):
            told = {"kind": row.get("kind"), "msg": row.get("note") or row.get("msg")}
            add_failure(report, host, {"censored": censored(result), **told})
    report.notes += records.remarks(result)
    command = text(result.get("resume"))
    report.commands += [("Back up the failed hosts again, in the same run", command)] if command else []


def add_row(report: Report, row: records.Row) -> None:
    """In place of the one with the same name, which is the task's own."""
    report.rows = [each for each in report.rows if each.host != row.host] + [row]


def row_of(host: str, row: Mapping[str, Any], part: bool = False) -> records.Row:
    ok = bool(row.get("ok"))
    state = text(row.get("state")) if ok else "failed"
    found = records.Row(host, state, ok, place=table.where(row), note=text(row.get("note")), part=part)
    found.place = "" if found.place == table.NONE else found.place
    if censored(row):
        found.note = records.HIDDEN
    elif not ok:
        found.note = ""  # it is among the failures
    if ok:
        found.level, found.size = whole(row.get("level")), whole(row.get("bytes"))
        found.elapsed, found.rate = number(row.get("elapsed")), number(row.get("rate"))
    return found


def read_backup(report: Report, _host: str, result: Mapping[str, Any]) -> None:
    """When one host had which drive, and its rate; the row is only for a run that nobody has finished."""
    host = text(result.get("host"))
    for part in mappings(result.get("sources")) or [result]:
        name = f"{host}: {text(part.get('name'))}" if part.get("name") else host
        begin, elapsed = moment(part.get("time")), number(part.get("elapsed"))
        drive = text(part.get("device")) or text(part.get("tape"))
        if begin is not None and elapsed is not None and begin + elapsed < records.LATEST and drive:
            report.stretches.append(records.Stretch(drive, name, begin, begin + elapsed))
        curve = records.curve_of({**part, "slow": ""} if censored(result) else part, name)
        report.curves += [curve] if curve else []
    mine = [row for row in report.rows if row.host == host or row.host.startswith(f"{host}: ")]
    if mine:
        for row in mine if censored(result) else ():
            row.note = records.HIDDEN if row.note else ""
        return
    notes = "" if censored(result) else "; ".join(table.notes_of(noted(result)))
    ok = result.get("state") != "failed"
    report.rows.append(row_of(host, {**result, "ok": ok, "note": notes}))
    if not ok:
        add_failure(report, host, result)


def noted(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the remarks on an archive are made of."""
    found: dict[str, Any] = {name: text(result.get(name)) for name in ("level_problem", "base_problem", "slow")}
    found.update({name: texts(result.get(name)) for name in ("other_file_systems", "tar_warnings")})
    found.update({name: whole(result.get(name)) for name in ("mounted", "warning_count")})
    return {**found, "incomplete": bool(result.get("incomplete"))}


def read_verified(report: Report, _host: str, result: Mapping[str, Any]) -> None:
    """Archives that were read from tape."""
    damaged = mappings(result["damaged"])
    for state, archives in (("verified", "verified"), ("damaged", "damaged"), ("not read", "not_verified")):
        for archive in mappings(result[archives]):
            host, ok = text(archive.get("host")), state == "verified"
            row = row_of(host, {**archive, "ok": True, "state": state, "censored": censored(result)})
            row.ok, row.rate = ok, row.size / row.elapsed if row.size and row.elapsed else None
            report.rows.append(row)
            if not ok:
                told = {"kind": state, "msg": archive.get("problem"), "censored": censored(result)}
                add_failure(report, host, told)
    report.notes += records.remarks(result)
    if damaged:
        hosts = ",".join(dict.fromkeys(text(each.get("host")) for each in damaged))
        report.commands.append(("Back up these hosts again, in full", again(BACKUP, {"tape_level": "0"}, hosts)))
    tapes = ", ".join(dict.fromkeys(text(each.get("tape")) for each in mappings(result["not_verified"])))
    if tapes:
        report.commands.append((f"Load {tapes}, and verify again", again("", {})))


def read_restored(report: Report, host: str, result: Mapping[str, Any]) -> None:
    """The archives that a restore or a drill has read."""
    drill, failed = mapping(result.get("drill")), bool(result.get("failed"))
    for archive in mappings(result["archives"]):
        word = "compared" if drill else "read"
        row = row_of(text(archive.get("host")), {**archive, "ok": True, "state": "failed" if failed else word})
        row.ok = not failed
        row.note = "" if drill or not result.get("to") or censored(result) else f"restored to {text(result['to'])}"
        report.rows.append(row)
    hosts = [text(archive.get("host")) for archive in mappings(result["archives"])] or [host or "?"]
    if failed:
        report.retry.append(host)
        add_failure(report, hosts[-1], result)
    report.notes += records.remarks(result)


# -- the catalog


def read_catalog(report: Report, _host: str, result: Mapping[str, Any]) -> None:
    """All that tape_info has of tapes and of the last good archives."""
    report.tapes += [tape_of(tape, censored(result)) for tape in mappings(result.get("tapes"))]
    report.known += [known_of(host) for host in mappings(result.get("hosts"))]
    wanted = [
        table.located(text(each.get("label")), text(each.get("location"))) for each in mappings(result.get("wanted"))
    ]
    report.wanted = table.few(wanted, most=5)
    report.notes += records.remarks(result)
    late = [host.host for host in report.known if host.late] + texts(result.get("missing"))
    if late:
        why = "Back up the hosts whose last good archive is missing or too old"
        report.commands.append((why, again(BACKUP, {}, ",".join(dict.fromkeys(late)))))


def tape_of(tape: Mapping[str, Any], hidden: bool = False) -> records.Tape:
    retired = mapping(tape.get("retired"))
    reason = records.HIDDEN if hidden else text(retired.get("reason"))
    states = [f"retired {text(retired.get('time'))[:10]}: {reason}" if retired else ""]
    states += [f"in use by run {text(tape['run'])}" if tape.get("run") else ""]
    states += [name for name in ("full", "expired") if tape.get(name)]
    state = ", ".join(filter(None, states)) or ("appendable" if tape.get("archives") else "empty")
    return records.Tape(
        label=text(tape.get("label")),
        state=state,
        good=not retired and not tape.get("failed"),
        percent=100 if tape.get("full") else whole(tape.get("percent")),
        size=whole(tape.get("bytes")),
        archives=whole(tape.get("archives")),
        last=text(tape.get("last")),
        expires="" if retired else text(tape.get("expires")) or text(tape.get("keep_until")),
        location=text(tape.get("location")),
        last_of=texts(tape.get("last_of")),
    )


def known_of(host: Mapping[str, Any]) -> records.Known:
    tests = [mapping(host.get(name)) for name in TESTS]
    return records.Known(
        host=text(host.get("host")),
        set=text(host.get("set")),
        time=text(host.get("time")),
        age=whole(host.get("age")),
        late=bool(host.get("late")),
        level=whole(host.get("level")),
        size=whole(host.get("bytes")),
        place=table.where(host),
        kept=text(host.get("keep_until"))[:10],
        tests=[(text(each.get("time"))[:10] or "never", bool(each["ok"]) if "ok" in each else None) for each in tests],
    )
