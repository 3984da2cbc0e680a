# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tape in a drive that we hold: begun afresh, put in the right place, and what a failure has left on it."""

import contextlib
import os

from ...common.problem import END, UNREADABLE, Problem
from ..catalog import catalog as catalogs
from ..catalog import lists
from ..drives import encryption, hardware
from ..drives import label as labels
from . import positions, requests
from . import reservation as reservations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..catalog.catalog import Archive, Catalog, Tape
    from ..settings import Settings
    from .reservation import Holding

FORMER = 100  # identities of a tape that are remembered
REBUILD = "nothing was written; tape_inventory with tape_rebuild reads it in"


def begin(catalog: "Catalog", holding: "Holding", label: "dict[str, Any]", known: "Tape | None") -> "Tape":
    """Label a tape, whatever is on it: the catalog forgets that first, so that it is never wrong."""
    name = label["label"]
    with catalog.lock():
        old = dict(known or {"label": name, "id": "", "labelled": "", "barcode": "", "block_size": label["block_size"]})
        end = end_of(known, holding) if known else None
        old.update(archives=[], full=False, relabelling=label, former_end=end)
        catalog.save(old)
    positions.forget(catalog, holding.drive)
    holding.drive.write_label(labels.block_of(label))
    tape = {key: label[key] for key in ("label", "id", "barcode", "block_size", "labelled")}
    tape.update(archives=[], full=False, medium=holding.drive.kind, former=former_ids(holding, known))
    with catalog.lock():
        catalog.save(tape)
        lists.prune(catalog)
    holding.label, holding.tape = label, tape
    return tape


def former_ids(holding: "Holding", known: "Tape | None") -> "list[str]":
    """As which tapes this one was known before: whoever misses them finds them here."""
    found = [each for tape in (known, holding.tape) if tape for each in tape.get("former", []) + [tape["id"]]]
    return list(dict.fromkeys(each for each in found + [holding.label.get("id", "")] if each))[-FORMER:]


def end_of(tape: "Tape", holding: "Holding") -> "int | None":
    """The tape file before which the data of a tape must end by all that is known; None: nobody knows."""
    if "relabelling" not in tape:
        return catalogs.next_file(tape)
    if holding.label.get("id") == tape["relabelling"]["id"]:
        return 1
    number: "int | None" = tape.get("former_end")
    return number


def unknown(catalog: "Catalog", holding: "Holding", tape: "Tape") -> str:
    """Whoever begins a tape afresh looks first: what is on it that the catalog does not know, "" if nothing is.

    Raises Problem when that cannot be told.
    """
    number = end_of(tape, holding)
    positions.forget(catalog, holding.drive)
    try:
        if number is None or ends_at(catalog, holding, number):
            return ""
    except Problem as exc:
        if exc.kind != END:
            raise
        return ""  # less than it knows
    return "tape %s has more on it than the catalog knows: there is data at tape file %d" % (tape["label"], number)


@contextlib.contextmanager
def opened(settings: "Settings", catalog: "Catalog", holding: "Holding", run: str) -> "Iterator[None]":
    """A drive that is ready for an archive; afterwards it encrypts nothing any more; raises Problem."""
    open_for_writing(settings, catalog, holding, run)
    try:
        yield
    finally:
        encrypt(settings, holding, False)


def open_for_writing(settings: "Settings", catalog: "Catalog", holding: "Holding", run: str) -> None:
    """Get a drive ready for an archive: its modes, its label, and an expired tape begun afresh; raises Problem."""
    holding.drive.prepare(settings.compression)
    if holding.drive.kind == "drive":
        listen(holding)
        encrypt(settings, holding, False)
    if holding.left_by != run:
        stranger = reservations.identify(holding, catalog, anew=True)
        if stranger:
            raise Problem("drive %s: %s" % (holding.drive.path, stranger))
    tape = holding.tape
    if tape is None:
        raise Problem("drive %s: no tape of the catalog" % holding.drive.path)
    if "relabelling" in tape or requests.Writing(settings, catalog, run, 0).expired(tape):
        more = unknown(catalog, holding, tape)
        if more:
            raise Problem(more, REBUILD)
        label = labels.make(tape["label"], settings.block_size, tape["barcode"], os.uname().nodename)
        begin(catalog, holding, label, tape)
    encrypt(settings, holding, True)


def encrypt(settings: "Settings", holding: "Holding", on: bool) -> None:
    """Have the drive encrypt archives, and nothing else: a label must be readable by whoever finds the tape."""
    wish = settings.encryption
    if holding.drive.kind != "drive" or (not on and (not wish or wish.get("mode") == "keep")):
        return
    holding.encryption = encryption.encryption(holding.drive.path, wish if on else {"mode": "off"})


def listen(holding: "Holding") -> None:
    """Take note of what the drive complains of, as reading may clear it; raises Problem if nothing can be relied on."""
    found, _note = hardware.alerts(holding.drive.path)
    holding.alerts += [hardware.say(alert) for alert in found]
    fatal = hardware.fatal(found)
    if fatal:
        what = ", ".join(hardware.say(alert) for alert in fatal)
        raise Problem("drive %s: %s" % (holding.drive.path, what), "use another tape, or another drive")


def entry_of(tape: "Tape", number: int) -> "Archive":
    for archive in tape["archives"]:
        if archive["file"] == number:
            return archive
    raise Problem("tape %s has no file %d in the catalog" % (tape["label"], number))


def next_place(settings: "Settings", catalog: "Catalog", holding: "Holding", run: str) -> int:
    """Go to where the next archive belongs, after what a process that was killed may have left; raises Problem.

    The catalog says where that is, and the drive must agree: at that tape file the data ends.
    """
    drive, name = holding.drive, holding.label["label"]
    tape = catalog.tape(name)
    if tape is None:
        raise Problem("tape %s is not in the catalog" % name)
    for archive in list(tape["archives"]):
        if archive["state"] == catalogs.WRITING:  # nobody but us holds the drive, so its writer is gone
            archive["problem"] = "its process was killed"
            settle(catalog, holding, archive, full=False)
    tape = catalog.tape(name) or tape
    number = catalogs.next_file(tape)
    last = tape["archives"][-1] if tape["archives"] else None
    reclaims = settings.reclaim and last and last["state"] == catalogs.FAILED
    if holding.left_by == run and not reclaims and drive.sure and drive.status()[2:4] == (number, 0):
        return number
    positions.forget(catalog, drive)
    if not ends_at(catalog, holding, number):
        raise Problem(
            "tape %s has more on it than the catalog knows: there is data at tape file %d" % (name, number),
            REBUILD,
        )
    if reclaims:
        number -= 1
        drive.position(number)
    return number


def ends_at(catalog: "Catalog", holding: "Holding", number: int) -> bool:
    """Whether the data of the tape ends before a tape file; leaves the tape there; raises Problem.

    The first command may be the one that hears of a reset, or of another tape: then all that was known of it is void.
    """
    try:
        reservations.again(holding, catalog)
        return holding.drive.at_end(number)
    except Problem as exc:
        if exc.kind != UNREADABLE:
            raise
    reservations.again(holding, catalog)
    return holding.drive.at_end(number)


def settle(catalog: "Catalog", holding: "Holding", archive: "Archive", full: bool) -> None:
    """Mark an archive as failed, or forget it if nothing of it is on the tape."""
    number = archive["file"]
    positions.forget(catalog, holding.drive)
    try:
        reservations.again(holding, catalog)
        there = holding.drive.settle(number)
    except Problem as exc:  # the entry stays as it is, for the next one to settle
        archive["problem"] = "%s; and then: %s" % (archive.get("problem", ""), exc)
        return
    with catalog.change(holding.label["label"]) as tape:
        tape["full"] = tape["full"] or full
        if there:
            size = holding.drive.size(number)  # where the tape knows: mbuffer may not have written all that came
            archive["bytes"] = archive["bytes"] if size is None else size
            entry_of(tape, number).update(archive, state=catalogs.FAILED)
        else:
            tape["archives"] = [other for other in tape["archives"] if other["file"] != number]
    archive["state"] = catalogs.FAILED
