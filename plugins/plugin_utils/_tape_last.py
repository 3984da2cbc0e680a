# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last good archive of each host, in the table of a backup: what can be restored if this one failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _tape_table as table
from ._tape_sources import set_of

if TYPE_CHECKING:
    from ..module_utils._tape.answers import LastGood
    from ._tape_records import Last, Plan, Row

PATHS = "paths"  # the name of the part with tape_paths


def add_to_rows(rows: dict[str, Row], plan: Plan, known: list[LastGood]) -> list[str]:
    """Add them to the rows, and to the notes of failed ones; returns the warnings about those that are late."""
    warnings: list[str] = []
    for name, row in rows.items():
        if row["state"] == "left out":
            continue
        of_host = {each["set"]: each for each in known if each["host"] == name}
        found = [of_host.get(each) for each in sets(row, plan, of_host)]
        for part, last in zip(row.get("sources", ()), found):
            part["last_good"] = short(last)
            if part["state"] == "failed":
                part["note"] = "; ".join(filter(None, [part.get("note") or part["msg"], in_words(last)]))
        oldest = None if None in found else max(found, key=lambda each: each["age"], default=None)  # type: ignore[index]
        row["last_good"] = short(oldest)
        if not row["ok"] and not row.get("sources"):
            row["note"] = "; ".join(filter(None, [row["note"], in_words(oldest)]))
        warnings += [each["late"] for each in found if each and each["late"]]
    return warnings


def sets(row: Row, plan: Plan, of_host: dict[str, Any]) -> list[str]:
    """Those that the host should have an archive in."""
    name = plan["tape_set"]
    if row.get("sources"):
        return [set_of_part(name, part) for part in row["sources"]]
    return [name] if name in of_host else sorted(of_host) or [name]  # a lost host with sources


def set_of_part(name: str, part: Any) -> str:
    """The set of one archive of a host with sources; ``name``: that of the run."""
    return set_of(name, "" if part["name"] == PATHS else part["name"])


def short(last: LastGood | None) -> Last | None:
    return last and {"time": last["time"], "age": last["age"], "late": bool(last["late"])}


def in_words(last: LastGood | None) -> str:
    return f"its last good archive is {table.age(last['age'])} old" if last else "it has no good archive"
