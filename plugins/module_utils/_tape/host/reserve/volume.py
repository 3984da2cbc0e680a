# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on the tape in a reserved drive: write its label, find the end of its data, encrypt."""

from ...common.problem import END, UNREADABLE, Problem
from ..catalog import catalog as catalogs
from ..catalog import lists
from ..drives import encryption
from ..drives import label as labels
from . import positions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..catalog.records import Tape
    from .reservation import Reservation

FORMER = 100  # former identities of a tape to remember


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


def set_encryption(held: "Reservation", on: bool) -> None:
    """Switch encryption on for archives, and off for labels, which must be readable without a key."""
    wish = held.settings.encryption
    if held.drive.kind != "drive" or (not on and (not wish or wish.get("mode") == "keep")):
        return
    held.encryption = encryption.encryption(held.drive.path, wish if on else {"mode": "off"})


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
