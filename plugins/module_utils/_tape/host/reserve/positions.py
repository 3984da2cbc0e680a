# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers the tape in each drive and its position, because reading the label again can take minutes.

st(4) forgets its position when it learns of a new tape or a reset.  Another program may get that report first.  So a
recorded position is used only if the drive reports the same block, and the chip of the cartridge has the same serial
number and load count.
"""

import contextlib
import os

from ...common import call, files
from ...common.problem import Problem
from ..drives import hardware

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..drives.detect import AnyDrive
    from ..drives.mtio import Status
    from .reservation import Reservation


def path(held: "Reservation") -> str:
    return os.path.join(held.catalog.folder, "positions", held.drive.key + ".json")


def remember(held: "Reservation", run: str = "") -> None:
    """Record label and position; ``run``: the run that wrote up to here."""
    drive = held.drive
    if drive.kind != "drive":
        return
    with contextlib.suppress(Problem):  # the next process then reads the label
        chip = cartridge(drive) if run else ""
        now = drive.status()
        position = {
            "boot": call.boot(),
            "label": held.label,
            "run": run,
            "chip": chip,
            "file": now.file,
            "block": now.block,
        }
        position["at"] = drive.tell()
        files.write_json(path(held), position)


def forget(held: "Reservation") -> None:
    """Discard the recorded position, before the drive moves."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(held))


def recall(held: "Reservation", now: "Status") -> "dict[str, Any] | None":
    """The record, if the drive is still at that position: boot, label, run, chip, file, block, at."""
    drive = held.drive
    try:
        position: "dict[str, Any] | None" = files.read_json(path(held)) if drive.kind == "drive" else None
    except ValueError:
        return None
    here = (call.boot(), now.file, now.block)
    if position and now.file >= 0 and (position["boot"], position["file"], position["block"]) == here:
        return position if drive.tell() == position.get("at") else None
    return None


def is_same_tape(drive: "AnyDrive", position: "dict[str, Any]") -> bool:
    """Whether the chip of the cartridge confirms that it is the same tape."""
    return bool(position["chip"]) and cartridge(drive) == position["chip"]


def cartridge(drive: "AnyDrive") -> str:
    """Serial number and load count of the cartridge, "" if unknown (SPC-4: attributes 0401h, 0003h)."""
    chip = hardware.cartridge(drive.path)
    return "%(serial)s %(loads)s" % chip if chip.get("serial") and chip.get("loads") else ""
