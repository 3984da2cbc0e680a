# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuilds the catalog of a tape from the tape itself: its label, its copies of the catalog, the names of archives."""

import io
import tarfile

from ...common import names
from ...common.problem import DAMAGED, NEWER, Problem
from ...common.units import count, now_iso, parse_time
from ..catalog import catalog as catalogs
from ..catalog import records
from ..drives import label as labels
from ..drives.drive import FAR
from . import source, tape_copy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..catalog.catalog import Catalog
    from ..catalog.records import Archive, Tape
    from ..drives.detect import AnyDrive
    from ..reserve.reservation import Reservation

UNKNOWN = "unknown"  # run and host of unnamed archives


class Found:
    """The contents of a tape: its files, and the copies of catalogs among them, oldest first."""

    def __init__(self) -> None:
        self.archives: "dict[int, Archive]" = {}  # {number of the tape file: archive}
        self.copies: "list[Tape]" = []
        self.lists: "dict[str, bytes]" = {}
        self.errors: "list[str]" = []
        self.warnings: "list[str]" = []
        self.end: "int | None" = None  # where the data ends, if the drive reported it


def rebuild(held: "Reservation") -> "dict[str, Any]":
    """Read all files of a tape, and add missing entries to the catalog; raises Problem."""
    catalog = held.catalog
    drive = held.drive
    if not drive.status().loaded:  # otherwise a read would wait for two minutes
        raise Problem("there is no tape in %s" % drive.path)
    label = labels.parse(drive.first_block())
    if label is None:
        raise Problem("the tape in %s has no label of this collection: there is nothing to rebuild from" % drive.path)
    check_other(catalog, label, known_as(catalog, label["label"]))
    drive.prepare(None)
    with source.decrypting(held):
        found = read_tape(held, label)
    name = label["label"]
    with catalog.changes(name, *{copy["label"] for copy in found.copies} - {name}, anew=True) as tapes:
        tape = tapes[name]
        check_other(catalog, label, tape)
        if tape is None or tape["id"] != label["id"]:
            tape = catalogs.new_tape(label, drive.kind)
        before = {each["file"] for each in tape["archives"]}
        lost = merge(tape, found)
        tape.pop("relabelling", None)
        tape.pop("former_end", None)
        tapes[name] = tape
        tape_copy.add_others(tapes, found.copies, name)
    with catalog.lock():
        tape_copy.add_lists(catalog, found.lists)
    unsure = sum(1 for each in tape["archives"] if each["state"] == records.WRITTEN and each["kind"] != records.CATALOG)
    return {
        "label": name,
        "archives": len(found.archives),
        "added": len(set(found.archives) - before),
        "errors": found.errors,
        "warnings": found.warnings + [gone(name, each) for each in lost] + todo(name, unsure),
    }


def read_tape(held: "Reservation", label: "dict[str, Any]") -> "Found":
    """The files up to the verified end of data, or up to two consecutive unreadable ones."""
    found = Found()
    number, unreadable = 0, 0
    while unreadable < 2:
        number += 1
        try:
            block = first_of(held.drive, number)
        except (Problem, OSError) as exc:
            found.errors.append("tape file %d: %s" % (number, exc))
            unreadable += 1
            continue
        if not block:
            found.end = number
            break
        unreadable = 0
        if held.drive.kind == "virtual":  # a file does not record its block size
            block = block[: label["block_size"]]
        archive = found.archives[number] = archive_of(block, number, label)
        if archive["kind"] == records.CATALOG:
            try:
                copies, lists = tape_copy.adopt(held, archive)
            except Problem as exc:
                if exc.kind == NEWER:
                    raise
                found.errors.append("tape file %d: %s" % (number, exc))
                continue
            found.copies += copies
            found.lists.update(lists)
            if not copies:
                found.warnings.append("the copy of the catalog in tape file %d is incomplete" % number)
    for each in range(1, found.end or 0):  # unreadable files before others exist
        if each not in found.archives:
            found.archives[each] = archive_of(b"", each, label)
    return found


def first_of(drive: "AnyDrive", number: int) -> bytes:
    """The first record of a tape file, b"" if the data certainly ends there."""
    block = drive.read_first(number)
    if not block and not drive.at_end(number):
        raise Problem("it is empty, or cannot be read")
    return block


def merge(tape: "Tape", found: "Found") -> "list[Archive]":
    """Merge all sources on a tape; returns the good archives that are no longer on it.

    The catalog has the most details, then the newest copy on the tape, then the tape files themselves.  An entry is
    dropped only if the tape has another archive in its place, or its data ends before it.
    """
    known: "dict[int, Archive]" = {}
    for copy in found.copies:
        if copy["id"] == tape["id"]:
            known.update((each["file"], each) for each in copy["archives"] if each["state"] != records.WRITING)
    known.update((each["file"], each) for each in tape["archives"])
    lost = []
    for number, each in list(known.items()):
        there = found.archives.get(number)
        if there is None and (found.end is None or number < found.end):
            continue
        if there is None or not is_it(each, there):
            lost.append(known.pop(number))
    for number, each in found.archives.items():
        known.setdefault(number, each)
    lost = [each for each in lost if each["state"] in (records.GOOD, records.WRITTEN)]
    tape["archives"] = [known[number] for number in sorted(known)]
    if lost:
        tape["lost"] = tape.get("lost", []) + lost
    return [each for each in lost if each["kind"] == records.ARCHIVE]


def is_it(known: "Archive", there: "Archive") -> bool:
    """Whether a tape file may be this archive, by its own label."""
    if there["run"] == UNKNOWN:
        return True
    if (known["kind"], known["run"]) != (there["kind"], there["run"]):
        return False
    return there["kind"] == records.CATALOG or (known["host"], known["set"]) == (there["host"], there["set"])


def gone(label: str, archive: "Archive") -> str:
    return (
        "tape %s no longer has the archive of %s (set %s) of run %s in tape file %d: it was overwritten elsewhere"
        % (
            label,
            archive["host"],
            archive["set"],
            archive["run"],
            archive["file"],
        )
    )


def todo(label: str, unsure: int) -> "list[str]":
    """Advice for the user."""
    if not unsure:
        return []
    text = "%s of tape %s %s not known to be good until verify has read %s: tape_of_tape=%s" % (
        count(unsure, "archive"),
        label,
        "is" if unsure == 1 else "are",
        "it" if unsure == 1 else "them",
        label,
    )
    return [text]


def known_as(catalog: "Catalog", name: str) -> "Tape | None":
    """The tape in the catalog, None if it is missing or damaged; raises Problem."""
    try:
        return catalog.tape(name)
    except Problem as exc:
        if exc.kind != DAMAGED:
            raise
        return None


def check_other(catalog: "Catalog", label: "dict[str, Any]", tape: "Tape | None") -> None:
    """Raises Problem if the catalog has another tape with this name."""
    if tape and label["id"] not in (tape["id"], (tape.get("relabelling") or {}).get("id")) and tape["archives"]:
        raise Problem(
            "the catalog has another tape %s, labelled %s; this one was labelled %s"
            % (tape["label"], tape["labelled"], label["labelled"]),
            "remove %s if that tape no longer exists" % catalog.tape_path(tape["label"]),
        )


def archive_of(block: bytes, number: int, label: "dict[str, Any]") -> "Archive":
    """The archive named in the first block of a tape file: "run host level date set", or "catalog run date"."""
    words = volume_label(block).split(" ")
    kind = records.CATALOG if words[0] == "catalog" else records.ARCHIVE
    if kind == records.CATALOG:
        words = words[1:2] + [label["host"], "0"] + words[2:]
    known = is_ours(words)
    run, host, level, time = words[:4] if known else [UNKNOWN, UNKNOWN, "0", now_iso()]
    times = records.times_of(run, time)
    return {
        "kind": kind,
        "run": run,
        "host": host,
        "set": words[4] if known and len(words) > 4 else "all",
        "level": int(level),
        "base": None,  # catalog.base_of finds it
        "time": times["time"],
        "host_time": times["host_time"],
        "paths": [],
        "file": number,
        "block_size": len(block) if len(block) % 512 == 0 and 0 < len(block) < FAR else label["block_size"],
        "bytes": None,
        "sha256": None,
        # it may be incomplete until it is verified
        "state": records.WRITTEN if known else records.FAILED,
        "keep_until": 2**40,
        "rebuilt": now_iso(),
    }


def is_ours(words: "list[str]") -> bool:
    """Whether a volume label was written by this collection."""
    try:
        run, host, level, time = words[:4]
        names.checked("run", run)
        names.host(host)
        names.checked("set", (words[4:] or ["all"])[0])
        parse_time(time)
    except (Problem, ValueError):
        return False
    return level in "0123456789" and len(level) == 1


def volume_label(block: bytes) -> str:
    """The label of an archive from tar --label (a member of type V or a pax header), "" for none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(block), mode="r:") as archive:
            name = archive.pax_headers.get("GNU.volume.label", "")
            if name:
                return str(name)
            first = archive.next()
            return first.name if first is not None and first.type == b"V" else ""
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return ""
