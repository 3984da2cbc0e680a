# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where drives stand, and with which tape: reading a label again would take a drive minutes of winding.

st(4) forgets the place when a tape is changed, so a drive that says that it is where it was left has the same tape.
Nothing is written on the strength of this but by the run that has left it there.
"""

import contextlib
import os

import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from catalog import Catalog
    from drive import Status
    from media import Medium


def path(catalog: "Catalog", drive: "Medium") -> str:
    return os.path.join(catalog.folder, "places", drive.key + ".json")


def remember(catalog: "Catalog", drive: "Medium", label: "dict[str, Any]", run: str = "") -> None:
    """``label``: of the tape, {} for one that has none of ours; ``run``: the one that has written up to here."""
    if drive.kind == "drive":
        now = drive.status()
        place = {"boot": boot(), "label": label, "run": run, "file": now.file, "block": now.block}
        files.write_json(path(catalog, drive), place)


def forget(catalog: "Catalog", drive: "Medium") -> None:
    """Before the drive moves."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(catalog, drive))


def recall(catalog: "Catalog", drive: "Medium", now: "Status") -> "dict[str, Any] | None":
    """What was remembered, if the drive still stands there: boot, label, run, file, block."""
    place: "dict[str, Any] | None" = files.read_json(path(catalog, drive)) if drive.kind == "drive" else None
    if place and now.file >= 0 and (place["boot"], place["file"], place["block"]) == (boot(), now.file, now.block):
        return place
    return None


def boot() -> str:
    """What changes with each start of this machine (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as source:
        return source.read().strip()
