# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on the tape in a reserved drive: label, position for writing, record failures."""

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

FORMER = 100  # former identities of a tape to remember
REBUILD = "nothing was written; tape_inventory with tape_rebuild adds it to the catalog"


def write_label(held: "Reservation", label: "dict[str, Any]", known: "Tape | None", former: str = "") -> "Tape":
    """Label a tape, whatever its contents; their entries are removed from the catalog first, so it is never wrong.

    ``former``: the previous label of the tape in this catalog.
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
        for each in other:  # the catalog keeps the old label until the new one is written
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
    """The former identities of this tape, for reports of missing tapes."""
    found = [each for tape in (known, held.tape) if tape for each in tape.get("former", []) + [tape["id"]]]
    return list(dict.fromkeys(each for each in found + [held.label.get("id", "")] if each))[-FORMER:]


def end_of(tape: "Tape", held: "Reservation") -> "int | None":
    """The tape file before which the data of a tape must end, None if unknown."""
    if "relabelling" not in tape:
        return catalogs.next_file(tape)
    if held.label.get("id") == tape["relabelling"]["id"]:
        return 1
    number: "int | None" = tape.get("former_end")
    return number


def unknown_data(held: "Reservation", tape: "Tape") -> str:
    """Data on a tape that the catalog does not know, as a sentence, "" for none; checked before a tape is reused.

    Raises Problem if that cannot be determined.
    """
    number = end_of(tape, held)
    positions.forget(held)
    try:
        if number is None or ends_at(held, number):
            return ""
    except Problem as exc:
        if exc.kind != END:
            raise
        return ""  # less than the catalog knows
    return more_data(tape["label"], number)


def more_data(label: str, number: int) -> str:
    return "tape %s has more data than the catalog knows: there is data at tape file %d" % (label, number)


@contextlib.contextmanager
def opened_for_writing(held: "Reservation") -> "Iterator[None]":
    """Prepare a drive for an archive, and switch encryption off afterwards; raises Problem."""
    open_for_writing(held)
    try:
        yield
    finally:
        set_encryption(held, False)


def open_for_writing(held: "Reservation") -> None:
    """Prepare a drive for an archive: set its modes, check its label, relabel an expired tape; raises Problem."""
    held.drive.prepare(held.settings.compression)
    if held.drive.kind == "drive":
        check_alerts(held)
        set_encryption(held, False)
    if held.left_by != held.run:
        foreign = held.identify(anew=True)
        if foreign:
            raise Problem("drive %s: %s" % (held.drive.path, foreign))
    tape = held.tape
    if tape is None:
        raise Problem("drive %s: no tape of the catalog" % held.drive.path)
    # judged again, because an archive that needs this tape may have been written while we waited for the drive
    if "relabelling" in tape or requests.WriteRequest(held.session).expired(tape):
        more = unknown_data(held, tape)
        if more:
            raise Problem(more, REBUILD)
        label = labels.make(tape["label"], held.settings.block_size, tape["barcode"], os.uname().nodename)
        write_label(held, label, tape)
    set_encryption(held, True)


def set_encryption(held: "Reservation", on: bool) -> None:
    """Switch encryption on for archives, and off for labels, which must be readable without a key."""
    wish = held.settings.encryption
    if held.drive.kind != "drive" or (not on and (not wish or wish.get("mode") == "keep")):
        return
    held.encryption = encryption.encryption(held.drive.path, wish if on else {"mode": "off"})


def check_alerts(held: "Reservation") -> None:
    """Record alerts of the drive, because reading may clear them; raises Problem if one is fatal."""
    found, _note = hardware.alerts(held.drive.path)
    held.alerts += [hardware.say(alert) for alert in found]
    fatal = hardware.fatal(found)
    if fatal:
        what = ", ".join(hardware.say(alert) for alert in fatal)
        raise Problem("drive %s: %s" % (held.drive.path, what), "use another tape, or another drive")


def next_file(held: "Reservation") -> int:
    """Move to the position for the next archive, after leftovers of a killed process; raises Problem.

    The catalog gives the position, and the drive must confirm that the data ends there.
    """
    drive, name = held.drive, held.label["label"]
    tape = held.catalog.known(name, held.catalog.tape(name))
    for archive in list(tape["archives"]):
        if archive["state"] == catalogs.WRITING:  # this process holds the drive, so its writer has died
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
        raise Problem(more_data(name, number), REBUILD)
    if reclaims:
        number -= 1
        drive.position(number)
    return number


def ends_at(held: "Reservation", number: int) -> bool:
    """Move to a tape file; returns whether the data ends there; raises Problem.

    The first command may report a reset or another tape, and then everything known about the tape is void.
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
    """Mark an archive as failed, or remove its entry if the tape has nothing of it."""
    number = archive["file"]
    positions.forget(held)
    try:
        held.check_label()
        there = held.drive.close_file(number)
    except Problem as exc:  # the entry stays, and the next process resolves it
        archive["problem"] = "%s; and then: %s" % (archive.get("problem", ""), exc)
        return
    with held.catalog.change(held.label["label"]) as tape:
        tape["full"] = tape["full"] or full
        if there:
            size = held.drive.size(number)  # from a virtual tape: mbuffer may not have written everything that arrived
            archive["bytes"] = archive["bytes"] if size is None else size
            catalogs.entry_of(tape, number).update({**archive, "state": catalogs.FAILED})
        else:
            tape["archives"] = [other for other in tape["archives"] if other["file"] != number]
    archive["state"] = catalogs.FAILED
