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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..catalog.catalog import Archive, Tape
    from .reservation import Reservation

FORMER = 100  # identities of a tape that are remembered
REBUILD = "nothing was written; tape_inventory with tape_rebuild reads it in"


def write_label(held: "Reservation", label: "dict[str, Any]", known: "Tape | None", former: str = "") -> "Tape":
    """Label a tape, whatever is on it: the catalog forgets that first, so that it is never wrong.

    ``former``: the label that it had in this catalog.
    """
    catalog = held.catalog
    name = label["label"]
    other = {former} - {name, ""}
    none: "Tape" = {
        "label": name,
        "id": "",
        "labelled": "",
        "barcode": "",
        "block_size": label["block_size"],
        "archives": [],
        "full": False,
    }
    old = known or none
    end = end_of(known, held) if known else None
    with catalog.changes(name, *other) as tapes:
        tapes[name] = {**old, "archives": [], "full": False, "relabelling": label, "former_end": end}
        for each in other:  # the tape is known by this label until it has the new one
            there = tapes[each]
            if there:
                end = end_of(there, held)
                tapes[each] = {**there, "archives": [], "full": False, "relabelling": label, "former_end": end}
    positions.forget(held)
    held.drive.write_label(labels.block_of(label))
    tape = catalogs.new_tape(label, held.drive.kind)
    tape["former"] = former_ids(held, known)
    with catalog.changes(name, *other) as tapes:
        tapes.update({name: tape}, **dict.fromkeys(other))
    with catalog.lock():
        lists.prune(catalog)
    held.label, held.tape = label, tape
    return tape


def former_ids(held: "Reservation", known: "Tape | None") -> "list[str]":
    """As which tapes this one was known before: whoever misses them finds them here."""
    found = [each for tape in (known, held.tape) if tape for each in tape.get("former", []) + [tape["id"]]]
    return list(dict.fromkeys(each for each in found + [held.label.get("id", "")] if each))[-FORMER:]


def end_of(tape: "Tape", held: "Reservation") -> "int | None":
    """The tape file before which the data of a tape must end by all that is known; None: nobody knows."""
    if "relabelling" not in tape:
        return catalogs.next_file(tape)
    if held.label.get("id") == tape["relabelling"]["id"]:
        return 1
    number: "int | None" = tape.get("former_end")
    return number


def unknown_data(held: "Reservation", tape: "Tape") -> str:
    """Whoever begins a tape afresh looks first: what is on it that the catalog does not know, "" if nothing is.

    Raises Problem when that cannot be told.
    """
    number = end_of(tape, held)
    positions.forget(held)
    try:
        if number is None or ends_at(held, number):
            return ""
    except Problem as exc:
        if exc.kind != END:
            raise
        return ""  # less than it knows
    return "tape %s has more on it than the catalog knows: there is data at tape file %d" % (tape["label"], number)


@contextlib.contextmanager
def opened_for_writing(held: "Reservation") -> "Iterator[None]":
    """A drive that is ready for an archive; afterwards it encrypts nothing any more; raises Problem."""
    open_for_writing(held)
    try:
        yield
    finally:
        encrypt(held, False)


def open_for_writing(held: "Reservation") -> None:
    """Get a drive ready for an archive: its modes, its label, and an expired tape begun afresh; raises Problem."""
    held.drive.prepare(held.settings.compression)
    if held.drive.kind == "drive":
        check_alerts(held)
        encrypt(held, False)
    if held.left_by != held.run:
        foreign = held.identify(anew=True)
        if foreign:
            raise Problem("drive %s: %s" % (held.drive.path, foreign))
    tape = held.tape
    if tape is None:
        raise Problem("drive %s: no tape of the catalog" % held.drive.path)
    if "relabelling" in tape or requests.WriteRequest(held.session).expired(tape):
        more = unknown_data(held, tape)
        if more:
            raise Problem(more, REBUILD)
        label = labels.make(tape["label"], held.settings.block_size, tape["barcode"], os.uname().nodename)
        write_label(held, label, tape)
    encrypt(held, True)


def encrypt(held: "Reservation", on: bool) -> None:
    """Have the drive encrypt archives, and nothing else: a label must be readable by whoever finds the tape."""
    wish = held.settings.encryption
    if held.drive.kind != "drive" or (not on and (not wish or wish.get("mode") == "keep")):
        return
    held.encryption = encryption.encryption(held.drive.path, wish if on else {"mode": "off"})


def check_alerts(held: "Reservation") -> None:
    """Take note of what the drive complains of, as reading may clear it; raises Problem if nothing can be relied on."""
    found, _note = hardware.alerts(held.drive.path)
    held.alerts += [hardware.say(alert) for alert in found]
    fatal = hardware.fatal(found)
    if fatal:
        what = ", ".join(hardware.say(alert) for alert in fatal)
        raise Problem("drive %s: %s" % (held.drive.path, what), "use another tape, or another drive")


def entry_of(tape: "Tape", number: int) -> "Archive":
    for archive in tape["archives"]:
        if archive["file"] == number:
            return archive
    raise Problem("tape %s has no file %d in the catalog" % (tape["label"], number))


def next_file(held: "Reservation") -> int:
    """Go to where the next archive belongs, after what a process that was killed may have left; raises Problem.

    The catalog says where that is, and the drive must agree: at that tape file the data ends.
    """
    drive, name = held.drive, held.label["label"]
    tape = held.catalog.tape(name)
    if tape is None:
        raise Problem("tape %s is not in the catalog" % name)
    for archive in list(tape["archives"]):
        if archive["state"] == catalogs.WRITING:  # nobody but us holds the drive, so its writer is gone
            archive["problem"] = "its process was killed"
            record_failure(held, archive, full=False)
    tape = held.catalog.tape(name) or tape
    number = catalogs.next_file(tape)
    last = tape["archives"][-1] if tape["archives"] else None
    reclaims = held.settings.reclaim and last and last["state"] == catalogs.FAILED
    if held.left_by == held.run and not reclaims and drive.located and drive.status()[2:4] == (number, 0):
        return number
    positions.forget(held)
    if not ends_at(held, number):
        raise Problem(
            "tape %s has more on it than the catalog knows: there is data at tape file %d" % (name, number),
            REBUILD,
        )
    if reclaims:
        number -= 1
        drive.position(number)
    return number


def ends_at(held: "Reservation", number: int) -> bool:
    """Whether the data of the tape ends before a tape file; leaves the tape there; raises Problem.

    The first command may be the one that hears of a reset, or of another tape: then all that was known of it is void.
    """
    try:
        held.check_label()
        return held.drive.at_end(number)
    except Problem as exc:
        if exc.kind != UNREADABLE:
            raise
    held.check_label()
    return held.drive.at_end(number)


def record_failure(held: "Reservation", archive: "Archive", full: bool) -> None:
    """Mark an archive as failed, or forget it if nothing of it is on the tape."""
    number = archive["file"]
    positions.forget(held)
    try:
        held.check_label()
        there = held.drive.close_file(number)
    except Problem as exc:  # the entry stays as it is, for the next one to settle
        archive["problem"] = "%s; and then: %s" % (archive.get("problem", ""), exc)
        return
    with held.catalog.change(held.label["label"]) as tape:
        tape["full"] = tape["full"] or full
        if there:
            size = held.drive.size(number)  # where the tape knows: mbuffer may not have written all that came
            archive["bytes"] = archive["bytes"] if size is None else size
            entry_of(tape, number).update({**archive, "state": catalogs.FAILED})
        else:
            tape["archives"] = [other for other in tape["archives"] if other["file"] != number]
    archive["state"] = catalogs.FAILED
