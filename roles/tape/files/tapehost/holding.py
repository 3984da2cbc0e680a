# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drive that is ours for now, the tape in it, and where on the tape it stands."""

import contextlib
import os

import files
import label as labels
import media
from problem import Problem
from units import now_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from catalog import Catalog, Tape
    from media import Medium
    from settings import Settings


class Holding:
    """A drive that we have locked, and the tape in it."""

    def __init__(self, drive: "Medium", lock: "files.Lock", index: int):
        self.drive = drive
        self.lock = lock
        self.index = index  # in tape_devices, and in the changer
        self.label: "dict[str, Any]" = {}
        self.tape: "Tape | None" = None
        self.at = 0  # the tape file at which we have left it, 0: not known

    def release(self) -> None:
        self.lock.release()


def hold(settings: "Settings", catalog: "Catalog", path: str, who: "dict[str, Any]") -> "Holding":
    """Hold one drive, without waiting; raises Problem."""
    drive = media.open_drive(path)
    lock = files.Lock(os.path.join(catalog.locks, drive.key))
    if not lock.take(who):
        raise Problem("drive %s is in use for %s" % (path, say_holder(lock.holder())), busy=True)
    return Holding(drive, lock, settings.devices.index(path) if path in settings.devices else 0)


def somebody(what: str, host: str = "", run: str = "-") -> "dict[str, Any]":
    """For whom a drive is held, as others will read it."""
    return {"what": what, "host": host or os.uname().nodename, "run": run, "pid": os.getpid(), "since": now_iso()}


def say_holder(holder: "dict[str, Any]") -> str:
    if not holder:
        return "somebody who has not said so yet"
    return "%(what)s of %(host)s in run %(run)s, since %(since)s (process %(pid)s)" % holder


def identify(holding: "Holding", catalog: "Catalog", run: str = "") -> str:
    """Read the label of the tape, and look it up; returns why it is none of ours ("" if it is); raises Problem.

    Between two archives of a ``run`` the tape is where the first has left it, and is not rewound.
    """
    drive = holding.drive
    status = drive.status()
    if not status.loaded:
        return "there is no tape in it"
    label = recall(catalog, holding, status, run) if run else None
    if label is None:
        block = drive.first_block()
        if not block:
            return "its tape is blank: label it with tape_label"
        label = labels.parse(block)
        if label is None:
            what = "its tape holds %s (fingerprint %s)" % (labels.describe(block), labels.fingerprint(block))
            return what + "; it is never written unless tape_label is told to"
    holding.label = label
    holding.tape = catalog.tape(label["label"])
    if holding.tape is None:
        return "its tape %s is not in the catalog %s: tape_inventory with tape_rebuild reads it in" % (
            label["label"],
            catalog.folder,
        )
    known = (holding.tape["id"], (holding.tape.get("relabelling") or {}).get("id"))
    if label["id"] not in known:
        what = "its tape is labelled %s, but is not the %s of the catalog (labelled %s, there %s)"
        return what % (label["label"], label["label"], label["labelled"], holding.tape["labelled"])
    return ""


# where a run has left a tape: a drive would need minutes to read the label again for each archive


def place_path(catalog: "Catalog", drive: "Medium") -> str:
    return os.path.join(catalog.folder, "places", drive.key + ".json")


def leave_at(catalog: "Catalog", holding: "Holding", run: str, number: int) -> None:
    """Remember that we have just written what is before this tape file."""
    if holding.drive.kind == "drive":
        place = {"boot": boot(), "run": run, "label": holding.label, "file": number}
        files.write_json(place_path(catalog, holding.drive), place)


def forget_place(catalog: "Catalog", holding: "Holding") -> None:
    holding.at = 0
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place_path(catalog, holding.drive))


def recall(catalog: "Catalog", holding: "Holding", status: "Any", run: str) -> "dict[str, Any] | None":
    """The label of a tape that stands where this run has left it: st(4) forgets the place when a tape is changed."""
    place = files.read_json(place_path(catalog, holding.drive))
    if not place or (place["boot"], place["run"], place["file"], 0) != (boot(), run, status.file, status.block):
        return None
    holding.at = place["file"]
    return dict(place["label"])


def boot() -> str:
    """What changes with each start of this machine (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as source:
        return source.read().strip()
