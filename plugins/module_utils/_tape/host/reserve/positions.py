# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where drives stand, and with which tape: reading a label again would take a drive minutes of winding.

st(4) forgets its position when it hears that the tape was changed, or the drive reset.  A program that goes past it may
hear of that first, so nothing is written on the strength of a recorded position unless the drive says that the tape
stands at the same block, and the cartridge's chip has the same serial number and has not been loaded once more.
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
    """``run``: the one that has written up to here."""
    drive = held.drive
    if drive.kind != "drive":
        return
    with contextlib.suppress(Problem):  # of which the next one hears, who reads the label then
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
    """Before the drive moves."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(held))


def recall(held: "Reservation", now: "Status") -> "dict[str, Any] | None":
    """What was remembered, if the drive says that it still stands there: boot, label, run, chip, file, block, at."""
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
    """Whether the cartridge itself says so."""
    return bool(position["chip"]) and cartridge(drive) == position["chip"]


def cartridge(drive: "AnyDrive") -> str:
    """Which cartridge it is, and its how manieth load, "" if its chip does not say (SPC-4: attributes 0401h, 0003h)."""
    chip = hardware.cartridge(drive.path)
    return "%(serial)s %(loads)s" % chip if chip.get("serial") and chip.get("loads") else ""
