# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The format of a catalog file: its versions, and the required fields of an entry.

These files are read for years, and some come from tapes of others.  Format 1 contains no version.  Since format 2, each
archive has ``host_time``, and its ``time`` is by the clock of the tape host.  Since format 3, an archive may have
``filters``, and a tape may be ``retired``; a version that does not know them would take it for a plain archive of tar,
or count on it.
"""

import functools
import itertools
import json
import re

from ...common import names
from ...common.problem import NEWER, UPGRADE, Problem
from ...common.units import LARGEST, iso, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NotRequired, TypedDict

    class Verified(TypedDict):
        """The last time that an archive was read again."""

        time: str
        ok: bool

    class Times(TypedDict):
        time: str
        host_time: "str | None"

    class Archive(TypedDict):
        """One file of a tape.  A time is UTC, ISO 8601; sizes are bytes, durations seconds, rates bytes a second."""

        kind: str
        run: str
        host: str
        set: str
        level: int
        base: "str | None"  # the run that an increment is based on
        time: str  # by the tape host's clock
        host_time: "str | None"
        file: int
        block_size: int
        bytes: "int | None"
        sha256: "str | None"
        state: str
        keep_until: float  # seconds since 1970
        tape: NotRequired[str]  # in memory only: its label
        paths: NotRequired["list[str]"]
        order: NotRequired[str]  # instead of its time, where a clock was set back
        machine_id: NotRequired["str | None"]
        incomplete: NotRequired[bool]
        verified: NotRequired[Verified]
        elapsed: NotRequired["float | None"]
        rate: NotRequired["float | None"]
        problem: NotRequired[str]
        rebuilt: NotRequired[str]  # the time at which it was read in from its tape
        level_problem: NotRequired[str]  # why it does not have the planned level
        base_problem: NotRequired[str]  # why it could not be restored
        warnings: NotRequired["list[str]"]  # of tar
        warning_count: NotRequired[int]
        other_file_systems: NotRequired["list[str]"]
        alerts: NotRequired["list[int]"]  # of the drive, while it was written
        encryption: NotRequired["dict[str, Any]"]
        filters: NotRequired["list[dict[str, Any]]"]  # see common.filters
        clear: NotRequired["dict[str, Any]"]  # bytes and sha256 before them
        unlisted: NotRequired[bool]  # it has no list of files: it is encrypted, or the output of a command
        attempt: NotRequired[str]  # of a job that may have ended before: the report of the host must name it, too
        source: NotRequired["dict[str, Any]"]  # of the output of a command: its name, and the command that restores it

    class Retired(TypedDict):
        """Since when a tape counts no more, and why."""

        time: str
        reason: str

    class Tape(TypedDict):
        """A catalog file."""

        format: NotRequired[int]  # a file has it
        label: str
        id: str
        barcode: str
        block_size: int
        labelled: str
        archives: "list[Archive]"
        full: bool
        former: NotRequired["list[str]"]  # the ids that it had before
        former_end: NotRequired["int | None"]
        relabelling: NotRequired["dict[str, Any]"]
        lost: NotRequired["list[Archive]"]  # overwritten elsewhere
        medium: NotRequired[str]
        retired: NotRequired[Retired]
        location: NotRequired[str]  # where it lies when it is in no drive


FORMAT = 3
# the states of an archive
WRITING = "writing"
WRITTEN = "written"  # on the tape, but not yet reported by the host
GOOD = "good"
FAILED = "failed"
LOST = "lost"  # in memory only: it is on a retired tape
STATES = (WRITING, WRITTEN, GOOD, FAILED)
# the kinds of a tape file
ARCHIVE = "archive"
CATALOG = "catalog"
KINDS = (ARCHIVE, CATALOG)

NONE = type(None)
# required and optional fields of an entry: {key: its types}
TAPE_MUST: "dict[str, set[type]]" = {
    "label": {str},
    "id": {str},
    "barcode": {str},
    "block_size": {int},
    "labelled": {str},
    "archives": {list},
    "full": {bool},
}
TAPE_MAY: "dict[str, set[type]]" = {
    "former": {list},
    "former_end": {int, NONE},
    "relabelling": {dict},
    "lost": {list},
    "medium": {str},
    "retired": {dict},
    "location": {str},
}
ARCHIVE_MUST: "dict[str, set[type]]" = {
    "kind": {str},
    "run": {str},
    "host": {str},
    "set": {str},
    "level": {int},
    "base": {str, NONE},
    "time": {str},
    "host_time": {str, NONE},
    "file": {int},
    "block_size": {int},
    "bytes": {int, NONE},
    "sha256": {str, NONE},
    "state": {str},
    "keep_until": {int, float},
}
ARCHIVE_MAY: "dict[str, set[type]]" = {
    "order": {str},
    "machine_id": {str, NONE},
    "incomplete": {bool},
    "verified": {dict},
    "elapsed": {int, float, NONE},
    "rate": {int, float, NONE},
    "problem": {str},
    "filters": {list},
    "clear": {dict},
    "unlisted": {bool},
    "source": {dict},
    "attempt": {str},
}
LATEST = 2**41  # seconds since 1970; archives known only from their tape are kept until 2**40
# a time in the form of iso(), on a day that exists in each month
USUAL = re.compile(r"[1-9]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ\Z")


def parse(data: bytes, label: str, path: str) -> "Tape":
    """The tape of a catalog file, in the newest format; raises ValueError if it is damaged, Problem if it is newer."""
    try:
        tape = json.loads(data.decode())
    except RecursionError as exc:
        raise ValueError(str(exc)) from None
    check_format(tape, path)
    for upgrade in UPGRADES[format_of(tape) :]:
        tape = upgrade(tape)
    if not is_tape(tape) or tape["label"] != label:
        raise ValueError("it belongs to another tape than %s" % label)
    tape["format"] = FORMAT
    found: "Tape" = tape
    return found


def format_of(tape: "Any") -> int:
    """The version of the format of a file, 0 if it is invalid."""
    number = tape.get("format", 1) if isinstance(tape, dict) else 0
    return number if isinstance(number, int) and number is not True and number > 0 else 0


def check_format(tape: "Any", path: str) -> None:
    """Raises Problem for a format of a later version of the collection."""
    number = format_of(tape)
    if number > FORMAT:
        raise Problem(
            "%s has format %d, but this version of the collection reads only formats up to %d" % (path, number, FORMAT),
            UPGRADE,
            kind=NEWER,
        )


def refuse(_tape: "Any") -> "dict[str, Any]":
    raise ValueError("it has no valid format")


def from_1(tape: "dict[str, Any]") -> "dict[str, Any]":
    """Format 1 has only the time by the host's clock; the name of the run gives the time of the tape host."""
    entries = tape.get("archives")
    for archive in entries if isinstance(entries, list) else []:
        if isinstance(archive, dict) and "host_time" not in archive:
            run, when = archive.get("run"), archive.get("time")
            if isinstance(run, str) and isinstance(when, str):
                archive.update(times_of(run, when))
    return tape


def from_2(tape: "dict[str, Any]") -> "dict[str, Any]":
    """Format 2 has no filters and no retired tapes, so there is nothing to add."""
    return tape


UPGRADES: "list[Callable[[Any], dict[str, Any]]]" = [refuse, from_1, from_2]  # by the format that each one upgrades


def times_of(run: str, host_time: str) -> "Times":
    """The times of an archive, from its run, whose name is its time, and the host's time."""
    try:
        return {"time": iso(parse_time(run)), "host_time": host_time}
    except Problem:
        return {"time": host_time, "host_time": host_time}


class Missing:
    """The type of a missing key."""


class Shape:
    """The types of an entry; each combination is checked only once."""

    def __init__(self, must: "dict[str, set[type]]", may: "dict[str, set[type]]"):
        self.must = must.keys()
        self.keys = (*must, *may)
        self.types = (*must.values(), *(types | {Missing} for types in may.values()))
        self.right: "dict[tuple[type, ...], bool]" = {}

    def fits(self, value: "Any") -> bool:
        if not isinstance(value, dict) or not self.must <= value.keys():
            return False
        found = tuple(map(type, map(value.get, self.keys, itertools.repeat(MISSING))))
        if found not in self.right:
            self.right[found] = all(kind in types for kind, types in zip(found, self.types))
        return self.right[found]


MISSING = Missing()
NOT_RETIRED: "Retired" = {"time": "", "reason": ""}
TAPE_SHAPE, ARCHIVE_SHAPE = Shape(TAPE_MUST, TAPE_MAY), Shape(ARCHIVE_MUST, ARCHIVE_MAY)


def is_tape(value: "Any") -> bool:
    """Whether this is a valid tape with valid archives."""
    return (
        TAPE_SHAPE.fits(value)
        and is_name("tape", value["label"])
        and value["block_size"] > 0
        and all(isinstance(each, str) for each in value.get("former", []))
        and isinstance(value.get("relabelling", {"id": ""}).get("id"), str)
        and {"time": str, "reason": str}.items() <= kinds_of(value.get("retired", NOT_RETIRED)).items()
        and all(is_archive(each) for each in value["archives"] + value.get("lost", []))
    )


def kinds_of(entry: "dict[str, Any]") -> "dict[str, type]":
    return {name: type(value) for name, value in entry.items()}


def is_archive(value: "Any") -> bool:
    """Whether this is a valid archive.  Unknown states and kinds are invalid, because such archives would not be kept.

    JSON can contain NaN and Infinity, which are not dates.
    """
    return (
        ARCHIVE_SHAPE.fits(value)
        and value["state"] in STATES
        and value["kind"] in KINDS
        and is_name("run", value["run"])
        and is_name("set", value["set"])
        and is_name("host", value["host"])
        and 0 <= value["level"] <= names.HIGHEST
        and value["file"] > 0
        and value["block_size"] > 0
        and (value["bytes"] or 0) >= 0
        and 0 <= value["keep_until"] <= LATEST
        and 0 <= (value.get("elapsed") or 0) <= LATEST
        and 0 <= (value.get("rate") or 0) <= LARGEST
        and is_time(value["time"])
        and (not value["host_time"] or is_time(value["host_time"]))
        and (not value.get("order") or is_time(value["order"]))
        and ("verified" not in value or isinstance(value["verified"].get("ok"), bool))
    )


def is_tar(archive: "Archive") -> bool:
    """Whether the tape file is an archive of tar as it is, in whole blocks."""
    return not archive.get("filters") and not archive.get("source")


def is_time(text: str) -> bool:
    try:
        return bool(USUAL.match(text)) or parse_time(text) is not None
    except Problem:
        return False


@functools.lru_cache(None)
def is_name(kind: str, name: str) -> bool:
    """Whether it is a valid name, which becomes part of a path."""
    try:
        return bool(names.host(name) if kind == "host" else names.checked(kind, name))
    except Problem:
        return False


def foreign_tape(data: bytes) -> "Tape | None":
    """A tape from an untrusted catalog, None if it is invalid; raises Problem if its format is newer."""
    try:
        tape = json.loads(data.decode())
        check_format(tape, "the copy of a catalog on this tape")
        return parse(data, tape["label"], "")
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
