# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the results of tasks to the contents of a report.  A result may be anything: what fits nowhere is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import _report_records as records
from . import _report_streams as streams
from . import _report_tape as tape
from ._report_records import Report, mapping, text
from ._tape_again import again

Result = Mapping[str, Any]
Named = tuple[str, Any]  # the name of the task's host, "" if it is not known, and the result
DEEPEST = 3  # loops in loops

# the first that fits reads the result, and the first of all has the title; those of a run come before its tasks
KINDS: list[tuple[Callable[[Result], bool], Callable[[Report, str, Result], None], str]] = [
    (tape.is_finished, tape.read_finished, "Tape backup"),
    (tape.is_backup, tape.read_backup, "Tape backup"),
    (tape.is_verified, tape.read_verified, "Verification of tapes"),
    (tape.is_restored, tape.read_restored, "Restore from tape"),
    (streams.is_stream, streams.read_stream, "Data transfer"),
    (streams.is_transfer, streams.read_transfer, "File transfer"),
    (tape.is_catalog, tape.read_catalog, "Tape catalog"),
]


def read(given: Iterable[Named], hide: bool = False) -> Report:
    """The contents of the report; ``hide``: without messages of hosts and commands, as for results with no_log."""
    report = Report()
    found = [(rank_of(result), host, {**result, "censored": True} if hide else result) for host, result in flat(given)]
    for rank, host, result in sorted(found, key=lambda each: each[0]):
        if rank < len(KINDS):
            KINDS[rank][1](report, host, result)
        elif result.get("failed") or result.get("unreachable") or result.get("skipped"):
            read_other(report, host, result)
        elif result:
            report.others += 1
    first = min((rank for rank, _host, _result in found), default=len(KINDS))
    report.subject = KINDS[first][2] if first < len(KINDS) else report.subject
    finish(report)
    return report


def flat(given: Iterable[Named], depth: int = 0) -> Iterator[tuple[str, Result]]:
    """Each result; those of a loop are in a list."""
    for host, result in given:
        if isinstance(result, Mapping) and isinstance(result.get("results"), list) and depth < DEEPEST:
            yield from flat(((host, each) for each in result["results"]), depth + 1)
        elif isinstance(result, Mapping):
            yield host, result
        else:
            yield host, {"": None}  # no result of a task


def rank_of(result: Result) -> int:
    return next((rank for rank, (fits, _read, _title) in enumerate(KINDS) if fits(result)), len(KINDS))


def read_other(report: Report, host: str, result: Result) -> None:
    """A task that did not get so far as to have a result of its module."""
    state, name = streams.state_of(result), host or text(mapping(result.get("cause")).get("host"))
    ok = state == "skipped"
    if name:
        report.rows.append(records.Row(name, state, ok, note=records.message(result) if ok else ""))
    if not ok:
        report.retry.append(host)
        streams.add_failure(report, name or "a task", result)


def finish(report: Report) -> None:
    """Join the rows with the catalog, and add the command for a run that has none of its own."""
    ages: dict[str, list[records.Known]] = {}
    for known in report.known:
        ages.setdefault(known.host, []).append(known)
    for row in report.rows:
        of_host = ages.get(row.host, [])
        row.age = min((known.age for known in of_host if known.age is not None), default=None)
        row.late = any(known.late for known in of_host)
    if report.retry:
        limit = ",".join(dict.fromkeys(report.retry)) if all(report.retry) else ""
        report.commands.append(
            (f"Run the playbook again{' for the failed hosts' if limit else ''}", again("", {}, limit))
        )
    report.notes = list(dict.fromkeys(report.notes))
