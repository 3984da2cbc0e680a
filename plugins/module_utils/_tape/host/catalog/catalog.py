# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog: one JSON file for each tape, always replaced atomically.

The fields of a tape and of its archives, with their states and kinds, are in records.
"""

import contextlib
import os

from ...common import files
from ...common.problem import DAMAGED, NOT_FOUND, Problem
from ...common.units import iso, parse_time
from ..drives.label import LABEL_BLOCK
from . import records
from .changes import Journal
from .index import Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .index import File
    from .records import Archive, Tape

ACCEPT = (
    "two hosts with the same name must not share a tape host; after a reinstallation set tape_accept_new_machine once"
)


class Catalog:
    """The catalog in a directory of the tape host, and its locks."""

    def __init__(self, folder: str):
        self.folder = folder
        self.tapes_folder = os.path.join(folder, "tapes")
        self.locks = os.path.join(folder, "locks")
        self.queue = os.path.join(folder, "queue")
        self.index = Index(self.tapes_folder)
        self.journal = Journal(self.index)
        self.damaged: "dict[str, str]" = {}  # {label of a tape with an unreadable file: a sentence}
        self.merged: "list[Archive]" = []  # the archives of all files
        self.merged_from: "list[File]" = []

    @contextlib.contextmanager
    def lock(self) -> "Iterator[None]":
        """Hold the lock briefly, to read, change and write the catalog."""
        with files.locked(os.path.join(self.locks, "catalog")):
            self.journal.finish()
            yield

    # tapes

    def tape_path(self, label: str) -> str:
        return self.index.path(label)

    def tape(self, label: str) -> "Tape | None":
        """A copy of the tape with this label, which may be changed; raises Problem."""
        found = self.index.get(label)
        return found.copy() if found else None

    def known(self, label: str, tape: "Tape | None") -> "Tape":
        """The tape found under a label; raises Problem if there was none."""
        if tape is None:
            where = "tape %s is not in the catalog %s" % (label, self.folder)
            raise Problem(where, "tape_inventory lists the tapes", kind=NOT_FOUND)
        return tape

    def files(self) -> "list[File]":
        """The files of all tapes, ordered by label; unreadable ones are in ``damaged`` instead."""
        found = self.index.all()
        self.damaged = {each.label: str(each.problem) for each in found if each.problem}
        return [each for each in found if not each.problem]

    def tapes(self) -> "list[Tape]":
        """All tapes, ordered by label; do not change them; those with an unreadable file are in ``damaged``."""
        return [each.tape for each in self.files()]

    def warnings(self) -> "list[str]":
        """Warnings on the catalog as last read."""
        return [self.damaged[label] for label in sorted(self.damaged)]

    @contextlib.contextmanager
    def change(self, label: str) -> "Iterator[Tape]":
        """Change a tape: it is read, and written at the end of the block if that succeeds; raises Problem."""
        with contextlib.ExitStack() as stack:
            tapes = stack.enter_context(self.changes(label))
            yield self.known(label, tapes[label])

    @contextlib.contextmanager
    def changes(self, *labels: str, anew: bool = False) -> "Iterator[dict[str, Tape | None]]":
        """Change several tapes, all or none; None is a tape that is not in the catalog; raises Problem.

        Unreadable files are not overwritten.  With ``anew``, a damaged file is renamed and replaced.
        """
        with self.lock():
            tapes: "dict[str, Tape | None]" = {}
            before: "dict[str, Tape | None]" = {}
            aside = []
            for label in labels:
                self.index.forget(label)
                try:
                    before[label], tapes[label] = self.tape(label), self.tape(label)
                except Problem as exc:
                    if exc.kind != DAMAGED or not anew:
                        raise
                    before[label] = tapes[label] = None
                    aside.append(label)
            yield tapes
            changed = {label: tape for label, tape in tapes.items() if tape != before[label]}
            for label in aside:
                if label in changed:
                    os.rename(self.tape_path(label), self.tape_path(label) + ".damaged")
            self.journal.write(changed)

    # archives

    def archives(self, host: str = "") -> "list[Archive]":
        """All archives of hosts, or of one host, oldest first, each with the name of its tape; do not change them."""
        found = self.files()
        if host:
            return sorted((archive for each in found for archive in each.archives(host)), key=order_of)
        if found != self.merged_from:
            self.merged = sorted((archive for each in found for archive in each.archives()), key=order_of)
            self.merged_from = found
        return list(self.merged)

    def good(self, host: str, name: str, until: "float | None" = None) -> "list[Archive]":
        """The good archives of a host and set up to a time, oldest first, and those that were lost with their tapes."""
        return [
            archive
            for archive in self.archives(host)
            if archive["set"] == name
            and archive["state"] in (records.GOOD, records.LOST)
            and (until is None or parse_time(archive["time"]) <= until)
        ]


def order_of(archive: "Archive") -> "tuple[str, str, int]":
    """The sort key of archives: by the clock of the tape host, never of the host."""
    return (archive.get("order") or archive["time"], archive["run"], archive.get("file", 0))


def by_host(archives: "list[Archive]") -> "dict[str, list[Archive]]":
    """The archives of each host, in their order."""
    found: "dict[str, list[Archive]]" = {}
    for archive in archives:
        found.setdefault(archive["host"], []).append(archive)
    return found


def machine_of(archives: "list[Archive]", host: str) -> "str | None":
    """The machine-id of the last good archive of a host, in any set, even if it was lost; None if unknown."""
    known = [
        each.get("machine_id")
        for each in archives
        if each["host"] == host and each["state"] in (records.GOOD, records.LOST) and each.get("machine_id")
    ]
    return known[-1] if known else None


def after_all(archives: "list[Archive]", archive: "Archive") -> "dict[str, str]":
    """Times for a new archive that place it after the others of its host, even if the clock was set back."""
    whose = (archive["host"], archive["set"])
    last = max([order_of(each)[0] for each in archives if (each["host"], each["set"]) == whose] or [""])
    return {"order": iso(parse_time(last) + 1)} if archive["time"] < last else {}


def located(tape: "Tape | None", label: str) -> str:
    """A tape, with its barcode and its location if they are known, for a person who fetches it."""
    facts = ["barcode " + tape["barcode"]] if tape and tape["barcode"] else []
    facts += ["location: " + tape["location"]] if tape and tape.get("location") else []
    return "%s (%s)" % (label, ", ".join(facts)) if facts else label


def why_retired(tape: "Tape") -> str:
    """Such as: was retired 2026-11-26 (fire)."""
    retired = tape.get("retired", records.NOT_RETIRED)
    return "was retired %s (%s)" % (retired["time"][:10], retired["reason"])


def new_tape(label: "dict[str, Any]", kind: str) -> "Tape":
    """One that has been labelled, in a drive of this kind, and has nothing on it."""
    return {
        "label": label["label"],
        "id": label["id"],
        "barcode": label["barcode"],
        "block_size": label["block_size"],
        "labelled": label["labelled"],
        "archives": [],
        "full": False,
        "medium": kind,
    }


def next_file(tape: "Tape") -> int:
    """The number of the next tape file; 0 is the label."""
    return max([archive["file"] for archive in tape["archives"]] or [0]) + 1


def used(tape: "Tape") -> int:
    """The number of bytes on a tape."""
    return sum(archive["bytes"] or 0 for archive in tape["archives"]) + LABEL_BLOCK


def percent(tape: "Tape | None", capacity: int) -> "int | None":
    """How full a tape is, None if that is not known; ``capacity``: 0 for unknown."""
    if tape is None or not capacity:
        return None
    return 100 if tape["full"] else min(100, round(100 * used(tape) / capacity))


def entry_of(tape: "Tape", number: int) -> "Archive":
    """The archive in a tape file; raises Problem."""
    for archive in tape["archives"]:
        if archive["file"] == number:
            return archive
    where = "tape %s has no file %d in the catalog" % (tape["label"], number)
    raise Problem(where, "tape_inventory lists its archives", kind=NOT_FOUND)


def find(tape: "Tape", run: str, host: str, name: str) -> "Archive | None":
    """The last complete archive of a run, host and set on this tape."""
    for archive in tape["archives"][::-1]:
        is_it = (archive["run"], archive["host"], archive["set"], archive["kind"]) == (run, host, name, records.ARCHIVE)
        if is_it and archive["state"] in (records.WRITTEN, records.GOOD):
            return archive
    return None
