# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the answers of the tape programs.  They come from hosts, which may send anything, so they are checked here.

The tables have the fields of the records in _tape.answers; other fields are dropped.  Their size is limited already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils._run.report import Misfit, brief, each, flag, optional, record, within
from ..module_utils._run.restored import OF_EXTRACTED
from ..module_utils._run.verified import CHECKED, seconds
from ..module_utils._run.words import printable

if TYPE_CHECKING:
    from ..module_utils._run.report import Parser

MOST = 2**63  # of everything that another limit covers

text, count = brief(MOST), within(0, MOST)
texts = each(text, MOST)
maybe_count, maybe_whole = optional(count), optional(within(-MOST, MOST))  # None if it is not known


def mapping(parser: Parser) -> Parser:
    """Values by names that are not known here."""

    def parse(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Misfit(where)
        return {printable(name): parser(item, f"{where}[{name!r}]") for name, item in value.items()}

    return parse


def some(parser: Parser) -> Parser:
    """A list with at least one entry."""
    parse_all = each(parser, MOST)

    def parse(value: Any, where: str) -> Any:
        found = parse_all(value, where)
        if not found:
            raise Misfit(where)
        return found

    return parse


def with_optional(fields: dict[str, Parser], more: dict[str, Parser]) -> Parser:
    """A mapping with all of ``fields``, and with those of ``more`` that it has."""
    must = record(fields)

    def parse(value: Any, where: str) -> dict[str, Any]:
        found: dict[str, Any] = must(value, where)
        may = {name: more[name](value[name], f"{where}.{name}") for name in more if name in value}
        return {**found, **may}

    return parse


PLACE = {"tape": text, "file": count}
VERIFIED = optional(record({"time": text, "ok": flag}))
NAMES = {"host": text, "set": text, "run": text}
OF_ARCHIVE = {
    **NAMES,
    **PLACE,
    "time": text,
    "level": count,
    "base": optional(text),
    "bytes": maybe_count,
    "state": text,
    "verified": VERIFIED,
    "keep_until": text,
}
ARCHIVE = record(OF_ARCHIVE)
HOST_KNOWN = record(
    {
        **OF_ARCHIVE,
        "age": count,
        "late": flag,
        "last_verified": VERIFIED,
        "last_restored": VERIFIED,
        "last_drilled": VERIFIED,
    }
)
RUN = record(
    {
        "run": text,
        "set": text,
        "time": text,
        "good": count,
        "failed": count,
        "bytes": count,
        "tapes": texts,
        "keep_until": optional(text),
    }
)
TAPE = with_optional(
    {
        "label": text,
        "barcode": text,
        "archives": count,
        "good": count,
        "failed": count,
        "bytes": count,
        "full": flag,
        "expired": flag,
        "first": optional(text),
        "last": optional(text),
        "keep_until": optional(text),
        "run": optional(text),
        "retired": optional(record({"time": text, "reason": text})),
        "location": text,
    },
    {"last_of": texts, "expires": optional(text), "percent": maybe_count},
)
IN_DRIVE = {"device": text, "label": optional(text), "message": text}
DRIVE = record(IN_DRIVE)
DRIVE_OF_PLAN = record({**IN_DRIVE, "state": text, "free": maybe_whole, "file": maybe_count})
HOST_PLANNED = record(
    {
        "skip": flag,
        "written": flag,
        "level": count,
        "bytes": maybe_count,
        "base": optional(text),
        "base_sha256": optional(text),
        "keep": texts,
        "elapsed": optional(seconds),
        "ahead": count,
        "room": maybe_whole,
        "problem": text,
        "machine_id": optional(text),
    }
)
NOTED = {"level_problem": text, "warnings": texts, "warning_count": count, "other_file_systems": texts}
FINISHED_ARCHIVE = record(
    {
        **PLACE,
        "host": text,
        "set": text,
        "level": count,
        "bytes": maybe_count,
        "state": text,
        "elapsed": optional(seconds),
        "rate": optional(seconds),
        "problem": optional(text),
        "warning_count": maybe_count,
        "incomplete": optional(flag),
    }
)
FILTER = with_optional({"kind": text}, {"write": texts, "read": texts, "encrypts": flag, "recipients": texts})
CHAIN_ARCHIVE = record(
    {
        **NAMES,
        **PLACE,
        "time": text,
        "host_time": optional(text),
        "level": count,
        "block_size": count,
        "bytes": maybe_count,
        "sha256": optional(text),
        "verified": VERIFIED,
        "incomplete": optional(flag),
        "filters": optional(each(FILTER, MOST)),
        "unfiltered": optional(record({"bytes": count, "sha256": text})),
        "files": maybe_count,
        "source": optional(record({"name": text, "restore": texts})),
        "requested": maybe_count,
    }
)
IGNORED = record({})  # of an answer that no action reads
WARNED = with_optional({}, {"warnings": texts})

# the answer of each subcommand of the two programs, if it has any
ANSWERS: dict[str, Parser] = {
    "plan": record(
        {
            "run": text,
            "hosts": mapping(HOST_PLANNED),
            "order": texts,
            "drives": each(DRIVE_OF_PLAN, MOST),
            "tapes": maybe_count,
            "fits": text,
            "warnings": texts,
        }
    ),
    "base": record({"planned": HOST_PLANNED, "warnings": texts}),
    "sink": record({"waited": seconds, "device": text}),
    "page": record({"path": text, "removed": texts}),
    "commit": with_optional(
        {
            **NOTED,
            **PLACE,
            "level": count,
            "base": optional(text),
            "time": text,
            "bytes": count,
            "sha256": text,
            "elapsed": seconds,
            "rate": optional(seconds),
            "files": count,
            "left_out": mapping(count),
        },
        {"incomplete": flag, "mounted": count, "base_problem": text},
    ),
    "finish": record(
        {
            "run": text,
            "tapes": texts,
            "full": mapping(maybe_count),
            "archives": each(FINISHED_ARCHIVE, MOST),
            "last": each(record({"host": text, "set": text, "time": text, "age": count, "late": text}), MOST),
            "warnings": texts,
        }
    ),
    "label": with_optional(
        {"label": text, "id": text, "barcode": text, "block_size": count, "labelled": text}, {"warnings": texts}
    ),
    "info": with_optional(
        {},
        {
            "drives": each(DRIVE, MOST),
            "tapes": each(TAPE, MOST),
            "next": optional(text),
            "wanted": each(record({"label": text, "state": text, "location": text}), MOST),
            "runs": each(RUN, MOST),
            "archives": each(ARCHIVE, MOST),
            "hosts": each(HOST_KNOWN, MOST),
            "without": each(record({"host": text, "set": text}), MOST),
            "warnings": texts,
        },
    ),
    "inventory": record(
        {
            "drives": each(DRIVE, MOST),
            "tapes": each(TAPE, MOST),
            "rebuilt": each(record({"label": text, "archives": count, "added": count}), MOST),
            "warnings": texts,
        }
    ),
    "find": record(
        {
            "found": each(record({**NAMES, **PLACE, "path": text, "time": text, "level": count}), MOST),
            "more": flag,
            "unread": texts,
            "warnings": texts,
        }
    ),
    "chain": record(
        {"archives": some(CHAIN_ARCHIVE), "tapes": texts, "places": mapping(text), "skipped": count, "warnings": texts},
    ),
    "mark": record(
        {
            "label": text,
            "changed": flag,
            "archives": count,
            "increments": count,
            "hosts": texts,
            "warnings": texts,
        }
    ),
    "verify": CHECKED,
    "keep": IGNORED,
    "restored": WARNED,
    "import": WARNED,
    "estimate": with_optional({**NOTED, "bytes": count, "level": count}, {"incomplete": flag, "mounted": count}),
    "discard": IGNORED,
    "awaits": record({"text": text}),
    "turn": IGNORED,
    "drill": record({"host": text, "last": VERIFIED}),
    "extract": with_optional(
        OF_EXTRACTED,
        {"compared": count, "differences": texts, "difference_count": count, "absent": count},
    ),
}
