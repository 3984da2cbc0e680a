# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on which tape: one JSON file a tape, replaced in one step each time.

A tape:    label, id, barcode, block_size, labelled, full, archives
An archive: run, host, set, level, base, time, paths, file, block_size, bytes, sha256, state, kind, and
what came of it.  Its time is the tape host's, and host_time is the host's beside it.  Its state is one of WRITING,
WRITTEN (on the tape, not heard of the host yet), GOOD and FAILED.
"""

import contextlib
import os
import time

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

    Tape = records.Tape
    Archive = records.Archive

WRITING, WRITTEN, GOOD, FAILED = records.STATES
ARCHIVE, CATALOG = records.KINDS
ACCEPT = (
    "two hosts with the same name must not share a tape host; after a reinstallation set tape_accept_new_machine once"
)


class Catalog:
    """The catalog in a directory of the tape host, and the locks beside it."""

    def __init__(self, folder: str):
        self.folder = folder
        self.tapes_folder = os.path.join(folder, "tapes")
        self.locks = os.path.join(folder, "locks")
        self.queue = os.path.join(folder, "queue")
        self.index = Index(self.tapes_folder)
        self.journal = Journal(self.index)
        self.damaged: "dict[str, str]" = {}  # of each tape whose file cannot be read, a sentence
        self.merged: "list[Archive]" = []  # the archives of these files
        self.merged_from: "list[File]" = []

    @contextlib.contextmanager
    def lock(self) -> "Iterator[None]":
        """Held while the catalog is read, changed and written: for a moment."""
        with files.locked(os.path.join(self.locks, "catalog")):
            self.journal.finish()
            yield

    # tapes

    def tape_path(self, label: str) -> str:
        return self.index.path(label)

    def tape(self, label: str) -> "Tape | None":
        """A tape by its label, for somebody who may change it; raises Problem."""
        found = self.index.get(label)
        return found.copy() if found else None

    def files(self) -> "list[File]":
        """The files of all tapes, by their labels; those that cannot be read are not among them but in ``damaged``."""
        found = self.index.all()
        self.damaged = {each.label: str(each.problem) for each in found if each.problem}
        return [each for each in found if not each.problem]

    def tapes(self) -> "list[Tape]":
        """All tapes, by their labels, not to be changed; those that cannot be read are in ``damaged``."""
        return [each.tape for each in self.files()]

    def warnings(self) -> "list[str]":
        """What a person must know of the catalog as it was read last."""
        return [self.damaged[label] for label in sorted(self.damaged)]

    @contextlib.contextmanager
    def change(self, label: str) -> "Iterator[Tape]":
        """A tape to be changed: read, and written when the block ends well; raises Problem."""
        with self.changes(label) as tapes:
            tape = tapes[label]
            if tape is None:
                raise Problem(
                    "tape %s is not in the catalog %s" % (label, self.folder),
                    "tape_inventory shows what is",
                    kind=NOT_FOUND,
                )
            yield tape

    @contextlib.contextmanager
    def changes(self, *labels: str, anew: bool = False) -> "Iterator[dict[str, Tape | None]]":
        """Several tapes to be changed, all of them or none: None is one that is not in the catalog; raises Problem.

        What cannot be read is not overwritten; but ``anew``: what is damaged is put aside, and another file comes in
        its place.
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
        """All archives of hosts, or of one, oldest first, each with the name of its tape; not to be changed."""
        found = self.files()
        if host:
            return sorted((archive for each in found for archive in each.archives(host)), key=order_of)
        if found != self.merged_from:
            self.merged = sorted((archive for each in found for archive in each.archives()), key=order_of)
            self.merged_from = found
        return list(self.merged)

    def good(self, host: str, name: str, until: "float | None" = None) -> "list[Archive]":
        """The good archives of a host's set, oldest first, up to a time."""
        return [
            archive
            for archive in self.archives(host)
            if archive["set"] == name
            and archive["state"] == GOOD
            and (until is None or parse_time(archive["time"]) <= until)
        ]


def order_of(archive: "Archive") -> "tuple[str, str, int]":
    """What says which of a host's archives is the newer one: the tape host's clock, and never the host's."""
    return (archive.get("order") or archive["time"], archive["run"], archive.get("file", 0))


def by_host(archives: "list[Archive]") -> "dict[str, list[Archive]]":
    """The archives of each host, in their order."""
    found: "dict[str, list[Archive]]" = {}
    for archive in archives:
        found.setdefault(archive["host"], []).append(archive)
    return found


def machine_of(archives: "list[Archive]", host: str) -> "str | None":
    """The machine-id of the last good archive of a host, whatever its set; None if none has said."""
    known = [
        each.get("machine_id")
        for each in archives
        if (each["host"], each["state"]) == (host, GOOD) and each.get("machine_id")
    ]
    return known[-1] if known else None


def after_all(archives: "list[Archive]", archive: "Archive") -> "dict[str, str]":
    """What puts a new archive behind its host's others although the tape host's clock has gone backwards."""
    whose = (archive["host"], archive["set"])
    last = max([order_of(each)[0] for each in archives if (each["host"], each["set"]) == whose] or [""])
    return {"order": iso(parse_time(last) + 1)} if archive["time"] < last else {}


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
    """The number of the tape file that comes next: 0 is the label."""
    return max([archive["file"] for archive in tape["archives"]] or [0]) + 1


def used(tape: "Tape") -> int:
    """Bytes of what is on a tape."""
    return sum(archive["bytes"] or 0 for archive in tape["archives"]) + LABEL_BLOCK


def find(tape: "Tape", run: str, host: str, name: str) -> "Archive | None":
    """The last whole archive of a run's host and set on this tape."""
    for archive in tape["archives"][::-1]:
        is_it = (archive["run"], archive["host"], archive["set"], archive["kind"]) == (run, host, name, ARCHIVE)
        if is_it and archive["state"] in (WRITTEN, GOOD):
            return archive
    return None


def chain(good: "list[Archive]") -> "list[Archive]":
    """What must be restored, in this order, to have the state of the last of them: each after what it is based on."""
    found: "list[Archive]" = []
    wanted = good[-1] if good else None
    by_run = {archive["run"]: archive for archive in good}
    while wanted:
        found.insert(0, wanted)
        if wanted["level"] == 0:
            return found
        base = base_of(wanted, good, by_run)
        if base is None:
            raise Problem(
                "the archive of %s of run %s is an increment to that of %s, which is not in the catalog"
                % (wanted["host"], wanted["run"], "run " + wanted["base"] if wanted["base"] else "an unknown run"),
                "give an earlier restore_as_of, or get that tape's catalog back with tape_inventory",
            )
        wanted = base
    return found


def base_of(archive: "Archive", others: "list[Archive]", by_run: "dict[str, Archive]") -> "Archive | None":
    """What an increment is to, of the archives of its host and set, oldest first; None if it is not among them.

    One that is known from its tape alone does not say: then it is what plan must have chosen.
    """
    if archive["base"]:
        base = by_run.get(archive["base"])
        return base if base and base["level"] < archive["level"] else None
    when = order_of(archive)
    return next(
        (each for each in reversed(others) if each["level"] < archive["level"] and order_of(each) < when),
        None,
    )


def complete(good: "list[Archive]") -> "list[Archive]":
    """Those of a host's set, oldest first, of which all is there that they are based on."""
    found: "list[Archive]" = []
    by_run: "dict[str, Archive]" = {}
    for archive in good:
        if archive["level"] == 0 or base_of(archive, found, by_run):
            found.append(archive)
            by_run[archive["run"]] = archive
    return found


def is_sound(archive: "Archive") -> bool:
    """Whether all of its host is in it, as far as is known."""
    verified = archive.get("verified", {"ok": True})["ok"]
    return bool(archive["state"] == GOOD and verified and not archive.get("incomplete"))


def needed(
    archives: "list[Archive]", now: "float | None" = None, expire_last: bool = False
) -> "set[tuple[str, str, str]]":
    """The archives (run, host, set) that must be kept: within retention, or the base of one that must be kept.

    And the last good one of each host and set, unless ``expire_last``.
    """
    moment = time.time() if now is None else now
    groups: "dict[tuple[str, str], list[Archive]]" = {}
    for archive in archives:
        if archive["state"] in (GOOD, WRITTEN):
            groups.setdefault((archive["host"], archive["set"]), []).append(archive)
    keep = set()
    for (host, name), group in groups.items():
        by_run = {archive["run"]: archive for archive in group}
        good = [archive for archive in group if archive["state"] == GOOD]
        todo = [archive for archive in group if archive.get("keep_until", 0) > moment]
        if not expire_last:  # what verify has found bad may be good in another drive, or not
            sound = [archive for archive in good if is_sound(archive)]
            todo += complete(good)[-1:] + complete(sound)[-1:]
        seen = set()
        while todo:
            archive = todo.pop()
            keep.add((archive["run"], host, name))
            if archive["level"] == 0:
                continue
            # where nothing says which is the base: the last one, and the last that is known to be good
            for base in (base_of(archive, group, by_run), base_of(archive, good, by_run)):
                if base and id(base) not in seen:
                    seen.add(id(base))
                    todo.append(base)
    return keep


def is_expired(tape: "Tape", keep: "set[tuple[str, str, str]]", run: str = "") -> bool:
    """Whether nothing on it must be kept any more, and there is something; ``run``: the one that is going on."""
    own = [archive for archive in tape["archives"] if archive["kind"] == ARCHIVE]
    if not own or any(archive["run"] == run for archive in own):
        return False
    whole = [archive for archive in own if archive["state"] in (GOOD, WRITTEN)]
    return not any((archive["run"], archive["host"], archive["set"]) in keep for archive in whole)


def only_last(archives: "list[Archive]") -> "set[tuple[str, str, str]]":
    """Those that are past their retention, and kept as the last good ones of their hosts."""
    return needed(archives) - needed(archives, expire_last=True)


def hosts_on(tape: "Tape", which: "set[tuple[str, str, str]]") -> "list[str]":
    """The hosts of those archives (run, host, set) that are on a tape."""
    return sorted({each["host"] for each in tape["archives"] if (each["run"], each["host"], each["set"]) in which})
