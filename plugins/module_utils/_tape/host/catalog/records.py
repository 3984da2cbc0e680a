# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that an entry of the catalog must have: its files are read for years, and some come from tapes of others."""

import json

from ...common import names
from ...common.problem import Problem
from ...common.units import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAPE = {"label": str, "id": str, "barcode": str, "block_size": int, "labelled": str, "archives": list, "full": bool}
ARCHIVE = {"kind": str, "run": str, "host": str, "set": str, "level": int, "time": str, "file": int, "state": str}
NUMBERS = {"block_size": int, "keep_until": (int, float), "bytes": (int, type(None))}  # type: dict[str, Any]
LATEST = 2**41  # seconds since 1970; what is known from its tape alone is kept until 2**40
TEXTS = {"sha256": (str, type(None)), "base": (str, type(None))}  # type: dict[str, Any]


def is_like(value: "Any", fields: "dict[str, Any]") -> bool:
    return isinstance(value, dict) and all(
        name in value and isinstance(value[name], kinds) for name, kinds in fields.items()
    )


def has_sense(archive: "dict[str, Any]") -> bool:
    """JSON has NaN and Infinity, which have no date; and what verify has found is asked for whether it is good."""
    verified = archive.get("verified", {"ok": True})
    return 0 <= archive["keep_until"] <= LATEST and isinstance(verified, dict) and isinstance(verified.get("ok"), bool)


def is_tape(value: "Any") -> bool:
    """Whether this is a tape of a catalog, with its archives."""
    return is_like(value, TAPE) and all(
        all(is_like(archive, fields) for fields in (ARCHIVE, NUMBERS, TEXTS)) and has_sense(archive)
        for archive in value["archives"]
    )


def foreign_tape(data: bytes) -> "dict[str, Any] | None":
    """A tape of a catalog that somebody else may have written, None if this is none."""
    try:
        tape = json.loads(data.decode())
        if not is_tape(tape):
            return None
        names.checked("tape", tape["label"])
        for archive in tape["archives"]:
            names.checked("run", archive["run"])
            names.checked("set", archive["set"])
            names.host(archive["host"])
            parse_time(archive["time"])
    except (ValueError, RecursionError, Problem):
        return None
    return dict(tape)
