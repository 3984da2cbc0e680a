# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on which tape: one JSON file a tape, replaced in one step each time.

A tape:    label, id, barcode, block_size, labelled, full, archives
An archive: run, host, set, level, base, time, paths, file, block_size, bytes, sha256, state, kind, and
what came of it.  Its state is one of WRITING, WRITTEN (on the tape, not heard of the host yet), GOOD and FAILED.
"""

import contextlib
import os
import time

import files
from label import LABEL_BLOCK
from problem import Problem
from units import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ContextManager

    Tape = dict[str, Any]
    Archive = dict[str, Any]

WRITING, WRITTEN, GOOD, FAILED = "writing", "written", "good", "failed"
ARCHIVE, CATALOG = "archive", "catalog"  # an archive's kind


class Catalog:
    """The catalog in a directory of the tape host, and the locks beside it."""

    def __init__(self, folder: str):
        self.folder = folder
        self.tapes_folder = os.path.join(folder, "tapes")
        self.locks = os.path.join(folder, "locks")
        self.queue = os.path.join(folder, "queue")

    def lock(self) -> "ContextManager[None]":
        """Held while the catalog is read, changed and written: for a moment."""
        return files.locked(os.path.join(self.locks, "catalog"))

    # tapes

    def tape_path(self, label: str) -> str:
        return os.path.join(self.tapes_folder, label + ".json")

    def tape(self, label: str) -> "Tape | None":
        """A tape by its label; raises Problem."""
        try:
            return files.read_json(self.tape_path(label))
        except ValueError as exc:
            raise Problem(
                "%s is damaged (%s)" % (self.tape_path(label), exc), "restore it, or tape_inventory with tape_rebuild"
            ) from None

    def tapes(self) -> "list[Tape]":
        """All tapes, by their labels; raises Problem."""
        try:
            names = sorted(name for name in os.listdir(self.tapes_folder) if name.endswith(".json"))
        except FileNotFoundError:
            return []
        found = [self.tape(name[: -len(".json")]) for name in names]
        return [tape for tape in found if tape]

    def save(self, tape: "Tape") -> None:
        files.write_json(self.tape_path(tape["label"]), tape)

    @contextlib.contextmanager
    def change(self, label: str) -> "Iterator[Tape]":
        """A tape to be changed: read, and written when the block ends well; raises Problem."""
        with self.lock():
            tape = self.tape(label)
            if tape is None:
                raise Problem("tape %s is not in the catalog %s" % (label, self.folder), "tape_inventory shows what is")
            yield tape
            self.save(tape)

    # archives

    def archives(self) -> "list[Archive]":
        """All archives of hosts, oldest first, each with the name of its tape."""
        found = [
            dict(archive, tape=tape["label"])
            for tape in self.tapes()
            for archive in tape["archives"]
            if archive["kind"] == ARCHIVE
        ]
        return sorted(found, key=lambda archive: (archive["time"], archive["run"]))

    def good(self, host: str, name: str, until: "float | None" = None) -> "list[Archive]":
        """The good archives of a host's set, oldest first, up to a time."""
        from units import parse_time

        return [
            archive
            for archive in self.archives()
            if archive["host"] == host
            and archive["set"] == name
            and archive["state"] == GOOD
            and (until is None or parse_time(archive["time"]) <= until)
        ]

    def list_path(self, archive: "Archive") -> str:
        """Where the list of an archive's files is, compressed."""
        name = "%s.%s.gz" % (archive["host"].replace("/", "_"), archive["set"])
        return os.path.join(self.folder, "lists", archive["run"], name)


def next_file(tape: "Tape") -> int:
    """The number of the tape file that comes next: 0 is the label."""
    return max([archive["file"] for archive in tape["archives"]] or [0]) + 1


def used(tape: "Tape") -> int:
    """Bytes of what is on a tape."""
    return sum(archive["bytes"] or 0 for archive in tape["archives"]) + LABEL_BLOCK


def find(tape: "Tape", run: str, host: str, name: str) -> "Archive | None":
    """The last whole archive of a run's host and set on this tape."""
    for archive in reversed(tape["archives"]):
        is_it = (archive["run"], archive["host"], archive["set"], archive["kind"]) == (run, host, name, ARCHIVE)
        if is_it and archive["state"] in (WRITTEN, GOOD):
            return archive
    return None


def chain(good: "list[Archive]") -> "list[Archive]":
    """What must be restored, in this order, to have the state of the last of them: each after what it is based on."""
    found: "list[Archive]" = []
    by_run = {archive["run"]: archive for archive in good}
    wanted = good[-1] if good else None
    while wanted:
        found.insert(0, wanted)
        if wanted["level"] == 0:
            return found
        base = by_run.get(wanted["base"])
        if base is None:
            raise Problem(
                "the archive of %s of run %s is an increment to that of run %s, which is not in the catalog"
                % (wanted["host"], wanted["run"], wanted["base"]),
                "give an earlier restore_as_of, or get that tape's catalog back with tape_inventory",
            )
        wanted = base
    return found


def needed(archives: "list[Archive]", now: "float | None" = None) -> "set[tuple[str, str, str]]":
    """The archives (run, host, set) that must be kept: within retention, or the base of one that must be kept."""
    moment = time.time() if now is None else now
    keys = {}
    for archive in archives:
        if archive["state"] in (GOOD, WRITTEN):
            keys[archive["run"], archive["host"], archive["set"]] = archive
    keep = set()
    for key, archive in keys.items():
        if archive.get("keep_until", 0) <= moment:
            continue
        while key not in keep:
            keep.add(key)
            below = (archive.get("base") or "", key[1], key[2])
            if below not in keys:
                break
            key, archive = below, keys[below]
    return keep


def is_expired(tape: "Tape", keep: "set[tuple[str, str, str]]") -> bool:
    """Whether nothing on it must be kept any more, and there is something."""
    own = [archive for archive in tape["archives"] if archive["kind"] == ARCHIVE]
    return bool(own) and not any((archive["run"], archive["host"], archive["set"]) in keep for archive in own)


def keep_until(started: float, retention: object) -> float:
    """When an archive expires (seconds since 1970)."""
    return started + parse_duration(retention)
