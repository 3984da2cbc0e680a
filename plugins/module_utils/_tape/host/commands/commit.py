# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""commit: takes the report of a host on its finished archive, which makes the archive good."""

import json
import re
import sys
import zlib

from ...common import files, filters
from ...common.problem import FAILED, MACHINE, Problem
from ...common.units import parse_time
from ..catalog import catalog as catalogs
from ..catalog import lists, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..session import Session
    from ..settings import Settings

MOST_CHARACTERS = 1000  # characters of a line in an answer; the catalog has all of it
LINE = 2**20  # bytes: the limit of the report
NUMBERS = ("level", "bytes", "tar", "warning_count", "files")
LISTS = ("paths", "warnings", "other_file_systems")
# fields that reports of older archivers lack
OPTIONAL = {"machine_id": None, "incomplete": False, "level_problem": ""}  # type: dict[str, Any]
# fields of an archive that passed through filters, or that is the output of a command
FILTERED = ("filters", "clear", "unlisted", "source")
KEYS = (*OPTIONAL, "level", "base", "bytes", "sha256", "tar", "warning_count", "files", *LISTS)


def commit(session: "Session", args: "argparse.Namespace") -> "answers.Committed":
    """Read the report from standard input: a line of JSON, then the compressed list of files; raises Problem."""
    catalog = session.catalog
    said, listing = receive(session, args)
    archives = catalog.archives(args.host)
    foreign = other_machine(session.settings, archives, said)
    label = tape_of(session, archives, args)
    with catalog.change(label) as tape:
        archive = written(tape, said)
        if archive["bytes"] not in (None, said["bytes"]):
            archive["state"] = records.FAILED
            archive["problem"] = "the host sent %d bytes, but %d are on the tape" % (said["bytes"], archive["bytes"])
        elif foreign:
            archive["state"], archive["problem"] = records.FAILED, foreign
        else:
            if not said.get("unlisted"):
                files.write_whole(lists.path(catalog, archive), listing)
            reported: "Any" = {key: said[key] for key in KEYS}
            reported.update((key, said[key]) for key in FILTERED if said.get(key))
            reported["base_problem"] = without_base(archives, said)
            archive.update(reported)
            archive["host_time"], archive["state"] = said["time"], records.GOOD
    if archive["state"] == records.FAILED:
        hint = catalogs.ACCEPT if foreign else "run the backup again"
        kind = MACHINE if foreign else FAILED
        raise Problem("tape %s, file %d: %s" % (label, archive["file"], archive["problem"]), hint, kind=kind)
    told: "Any" = {"warnings": archive["warnings"][:1], "other_file_systems": archive["other_file_systems"][:3]}
    told = {**archive, **{key: [line[:MOST_CHARACTERS] for line in lines] for key, lines in told.items()}}
    told.update(tape=label, paths=[], mounted=len(archive["other_file_systems"]), left_out=said.get("left_out", {}))
    committed: "answers.Committed" = told
    return committed


def receive(session: "Session", args: "argparse.Namespace") -> "tuple[dict[str, Any], bytes]":
    """The checked report: the fields from the host, and the compressed list of files; raises Problem."""
    try:
        said = parse(sys.stdin.buffer.readline(LINE))
    except (ValueError, KeyError, TypeError, RecursionError, Problem) as exc:
        raise Problem("the report of %s for run %s cannot be read: %r" % (args.host, args.run, exc)) from None
    if (said["run"], said["host"], said["set"]) != (args.run, args.host, session.settings.set):
        raise Problem(
            "this is the report of run %(run)s of %(host)s, set %(set)s" % said, "it belongs to another archive"
        )
    listing = sys.stdin.buffer.read()
    if (listing != b"") if said.get("unlisted") else (lines_of(listing) != said["files"]):
        raise Problem(
            "the list of files in the report of %s for run %s is incomplete" % (args.host, args.run),
            "run the backup again",
        )
    return said, listing


def tape_of(session: "Session", archives: "list[records.Archive]", args: "argparse.Namespace") -> str:
    """The label of the tape with the archive of the run; of several, that of the last attempt; raises Problem."""
    having = [
        (catalogs.order_of(archive), archive["tape"])
        for archive in archives
        if (archive["run"], archive["set"]) == (args.run, session.settings.set)
        and archive["state"] in (records.WRITTEN, records.GOOD)
    ]
    if not having:
        raise Problem(
            "run %s has no complete archive of %s in the catalog %s" % (args.run, args.host, session.catalog.folder),
            "; ".join(session.catalog.warnings()),
        )
    label: str = max(having)[1]
    return label


def written(tape: "records.Tape", said: "dict[str, Any]") -> "records.Archive":
    """The entry of the reported archive; raises Problem if another one is already good in its place."""
    archive = catalogs.find(tape, said["run"], said["host"], said["set"])
    if archive is None:
        raise Problem(
            "the archive of %s in run %s is no longer on tape %s" % (said["host"], said["run"], tape["label"])
        )
    if archive.get("attempt", "") != said.get("attempt", ""):
        raise Problem(
            "tape %s, file %d: the archive of %s is of another attempt than its report"
            % (tape["label"], archive["file"], said["host"]),
            "run the backup again",
        )
    same = (archive["bytes"], archive["sha256"]) == (said["bytes"], said["sha256"])
    if archive["state"] == records.GOOD and not same:
        raise Problem(
            "tape %s, file %d: the archive of %s is already good, but this report is of another one"
            % (tape["label"], archive["file"], said["host"]),
            "run the backup again",
        )
    return archive


def other_machine(settings: "Settings", archives: "list[records.Archive]", said: "dict[str, Any]") -> str:
    """Why the archive is of another machine, "" if it is not: hosts with the same name must not share a chain."""
    before = catalogs.machine_of(archives, said["host"])
    if settings.accept_new_machine or None in (before, said["machine_id"]) or before == said["machine_id"]:
        return ""
    return "it is of machine %s, but the last good archive of %s is of machine %s (/etc/machine-id)" % (
        said["machine_id"],
        said["host"],
        before,
    )


def without_base(archives: "list[records.Archive]", said: "dict[str, Any]") -> str:
    """Why an increment could not be restored, "" if it could: its base must be in the catalog and good."""
    whose = (said["base"], said["host"], said["set"], records.GOOD)
    if not said["level"] or any((each["run"], each["host"], each["set"], each["state"]) == whose for each in archives):
        return ""
    return "its base, run %s, is not in the catalog: run level 0" % said["base"]


def parse(line: bytes) -> "dict[str, Any]":
    """Parse and check the line of JSON, because the catalog is read for years; raises several errors."""
    said = dict(OPTIONAL, **json.loads(line.decode()))
    for key in ("run", "host", "set"):
        if not isinstance(said[key], str):
            raise ValueError("%s: %r" % (key, said[key]))
    for key in NUMBERS:
        if isinstance(said[key], bool) or not isinstance(said[key], int) or said[key] < 0:
            raise ValueError("%s: %r" % (key, said[key]))
    if not (isinstance(said["base"], str) if said["level"] else said["base"] is None) or said["level"] > 9:
        raise ValueError("level %r, base %r" % (said["level"], said["base"]))
    if not said["bytes"] or not re.match(r"[0-9a-f]{64}\Z", said["sha256"]):
        raise ValueError("%r bytes, SHA-256 %r" % (said["bytes"], said["sha256"]))
    if said["machine_id"] is not None and not re.match(r"[0-9a-f]{32}\Z", said["machine_id"]):
        raise ValueError("machine_id %r" % (said["machine_id"],))
    if not isinstance(said["incomplete"], bool) or not isinstance(said["level_problem"], str):
        raise ValueError("incomplete %r, level_problem %r" % (said["incomplete"], said["level_problem"]))
    for key in LISTS:
        if not isinstance(said[key], list) or not all(isinstance(each, str) for each in said[key]):
            raise ValueError("%s: %r" % (key, said[key]))
    left_out = said.get("left_out", {})
    numbers = list(left_out.values()) if isinstance(left_out, dict) else [left_out]
    if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in numbers):
        raise ValueError("left_out: %r" % (left_out,))
    parse_time(str(said["time"]))
    check_filters(said)
    return dict(said)


def check_filters(said: "dict[str, Any]") -> None:
    filtered = said.get("filters", [])
    filters.check(filtered, "this archive")
    clear = said.get("clear", {})
    if filtered and (clear["bytes"] <= 0 or not re.match(r"[0-9a-f]{64}\Z", clear["sha256"])):
        raise ValueError("clear: %r" % (clear,))
    source = said.get("source")
    if source is not None and not isinstance(source, dict):
        raise ValueError("source: %r" % (source,))
    if (filters.encrypted(filtered) or bool(source)) != said.get("unlisted", False):
        raise ValueError("unlisted: %r" % (said.get("unlisted"),))


def lines_of(listing: bytes) -> int:
    """The number of lines in a compressed list, -1 if it is incomplete."""
    count = 0
    unpack = zlib.decompressobj(lists.GZIP)
    try:
        rest = listing
        while rest and not unpack.eof:
            count += unpack.decompress(rest, LINE).count(b"\n")
            rest = unpack.unconsumed_tail
    except zlib.error:
        return -1
    return count if unpack.eof and not unpack.unused_data else -1
