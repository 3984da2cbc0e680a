# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where drives stand, and with which tape: reading a label again would take a drive minutes of winding.

st(4) forgets the place when it hears that the tape was changed, or the drive reset.  A program that goes past it may
hear of that first, so nothing is written on the strength of a place unless the drive says that the tape stands at the
same block, and the cartridge's chip has the same serial number and has not been loaded once more.
"""

import contextlib
import os

from ...common import files
from ...common.problem import Problem
from ..drives import hardware

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..catalog.catalog import Catalog
    from ..drives.detect import Medium
    from ..drives.mtio import Status


def path(catalog: "Catalog", drive: "Medium") -> str:
    return os.path.join(catalog.folder, "places", drive.key + ".json")


def remember(catalog: "Catalog", drive: "Medium", label: "dict[str, Any]", run: str = "") -> None:
    """``label``: of the tape; ``run``: the one that has written up to here."""
    if drive.kind != "drive":
        return
    with contextlib.suppress(Problem):  # of which the next one hears, who reads the label then
        chip = cartridge(drive) if run else ""
        now = drive.status()
        place = {"boot": boot(), "label": label, "run": run, "chip": chip, "file": now.file, "block": now.block}
        place["at"] = drive.tell()
        files.write_json(path(catalog, drive), place)


def forget(catalog: "Catalog", drive: "Medium") -> None:
    """Before the drive moves."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(catalog, drive))


def recall(catalog: "Catalog", drive: "Medium", now: "Status") -> "dict[str, Any] | None":
    """What was remembered, if the drive says that it still stands there: boot, label, run, chip, file, block, at."""
    try:
        place: "dict[str, Any] | None" = files.read_json(path(catalog, drive)) if drive.kind == "drive" else None
    except ValueError:
        return None
    here = (boot(), now.file, now.block)
    if place and now.file >= 0 and (place["boot"], place["file"], place["block"]) == here:
        return place if drive.tell() == place.get("at") else None
    return None


def is_same_tape(drive: "Medium", place: "dict[str, Any]") -> bool:
    """Whether the cartridge itself says so."""
    return bool(place["chip"]) and cartridge(drive) == place["chip"]


def cartridge(drive: "Medium") -> str:
    """Which cartridge it is, and its how manieth load, "" if its chip does not say (SPC-4: attributes 0401h, 0003h)."""
    chip = hardware.medium(drive.path)
    return "%(serial)s %(loads)s" % chip if chip.get("serial") and chip.get("loads") else ""


def boot() -> str:
    """What changes with each start of this machine (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as source:
        return source.read().strip()
