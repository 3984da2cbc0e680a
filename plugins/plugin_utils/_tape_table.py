# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes, durations and tables of the tape modules, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._run import counts
from ..module_utils._run.words import size

NONE = "-"
count, few = counts.count, counts.few


def bytes_of(count: Any) -> str:
    return NONE if count is None else size(count)


def rate_of(count: Any) -> str:
    """In MiB/s and so on, like sizes."""
    return NONE if not count else f"{size(count)}/s"


def duration(seconds: Any) -> str:
    """Such as 1:09:40 or 0:04."""
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(seconds: int) -> str:
    """Such as 3 h or 2 d, rounded down; hours up to two days."""
    return f"{seconds // 86400} d" if seconds >= 2 * 86400 else f"{seconds // 3600} h"


def lines(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A table; each column is as wide as its widest cell."""
    cells = [[str(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def located(label: str, place: str) -> str:
    """A tape, and where it lies if that is known."""
    return f"{label} (location: {place})" if place else label


def where(row: Mapping[str, Any]) -> str:
    """Such as WEEK01:3, tape file 3 of a tape; a host with several archives has no single file."""
    if not row.get("tape"):
        return NONE
    return f"{row['tape']}:{row['file']}" if row.get("file") is not None else str(row["tape"])


def notes_of(row: Mapping[str, Any]) -> list[str]:
    """Remarks on a good archive, for people."""
    notes = ["incomplete: some files could not be read"] if row.get("incomplete") else []
    notes += [row[name] for name in ("level_problem", "base_problem") if row.get(name)]
    if row.get("mounted"):
        names = few(row.get("other_file_systems") or [], row["mounted"])
        notes.append(f"not archived (separate file systems): {names}")
    number = row.get("warning_count") or 0
    if number:
        first = f" ({few(row['tar_warnings'], number, 1)})" if row.get("tar_warnings") else ""
        notes.append(f"{count(number, 'warning')} of tar{first}")
    if row.get("slow"):
        notes.append(row["slow"])
    return notes
