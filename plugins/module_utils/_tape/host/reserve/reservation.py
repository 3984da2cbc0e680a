# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drive that is ours for now, the tape in it, and where on the tape it stands."""

import os
import time

from ...common import files
from ...common.problem import BUSY, LOADING, Problem
from ...common.units import now_iso
from ..drives import detect
from ..drives import label as labels
from . import positions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..catalog.catalog import Catalog, Tape
    from ..drives.detect import AnyDrive
    from ..settings import Settings


GETTING_READY = "a new tape for LTO-9 or later is calibrated when it is first loaded, which takes up to two hours"


class Reservation:
    """A drive that we have locked, and the tape in it."""

    def __init__(self, drive: "AnyDrive", lock: "files.Lock", index: int):
        self.drive = drive
        self.lock = lock
        self.index = index  # in tape_devices, and in the changer
        self.label: "dict[str, Any]" = {}
        self.tape: "Tape | None" = None
        self.left_by = ""  # the run that has written up to where it stands
        self.alerts: "list[str]" = []  # what the drive has complained of
        self.encryption: "dict[str, Any]" = {}  # what the drive does to what it writes

    @property
    def locks(self) -> "tuple[int, ...]":
        """What a writer or reader keeps open for as long as it lives."""
        return (self.lock.fd, self.drive.fd)

    def release(self) -> None:
        self.drive.close()
        self.lock.release()


def reserve(
    settings: "Settings", catalog: "Catalog", path: str, who: "dict[str, Any]", wait: float = 0.0
) -> "Reservation":
    """Hold one drive; raises Problem. ``wait``: seconds in which those who only look at it are done.

    Its open descriptor keeps all others out; the file in the catalog says for whom.
    """
    drive = detect.drive_at(path)
    lock = files.Lock(os.path.join(catalog.locks, drive.key))
    until = time.monotonic() + wait
    while True:
        try:
            if not lock.take(who):
                raise Problem("drive %s is in use for %s" % (path, say_holder(lock.holder())), kind=BUSY)
            drive.open()
            return Reservation(drive, lock, settings.devices.index(path) if path in settings.devices else 0)
        except BaseException as exc:
            lock.release()
            if not isinstance(exc, Problem) or exc.kind != BUSY or time.monotonic() >= until:
                raise
        time.sleep(files.LOCK_POLL)


def somebody(what: str, host: str = "", run: str = "-") -> "dict[str, Any]":
    """For whom a drive is held, as others will read it."""
    return {"what": what, "host": host or os.uname().nodename, "run": run, "pid": os.getpid(), "since": now_iso()}


def say_holder(holder: "dict[str, Any]") -> str:
    if not holder:
        return "somebody who has not said so yet"
    return "%(what)s of %(host)s in run %(run)s, since %(since)s (process %(pid)s)" % holder


def identify(held: "Reservation", catalog: "Catalog", anew: bool = False) -> str:
    """Which tape it is, and which one of the catalog; returns why it is none of ours ("" if it is); raises Problem.

    Its label is read, unless the drive stands where it was left (``anew``: even then).
    """
    drive = held.drive
    status = drive.status()
    if drive.is_loading():
        raise Problem("drive %s is getting its tape ready" % drive.path, GETTING_READY, kind=LOADING)
    if not status.loaded:
        return "there is no tape in it"
    position = None if anew else positions.recall(catalog, drive, status)
    if position and position["label"]:
        label = dict(position["label"])
        if position["run"] and positions.is_same_tape(drive, position) and drive.resume(position["at"]):
            held.left_by = position["run"]
    else:
        positions.forget(catalog, drive)
        held.left_by = ""
        block = drive.first_block()
        if not block:
            return "its tape is blank: label it with tape_label"
        found = labels.parse(block)
        if found is None:
            what = "its tape holds %s (fingerprint %s)" % (labels.describe(block), labels.fingerprint(block))
            return what + "; it is never written unless tape_label is told to"
        label = found
        positions.remember(catalog, drive, label)
    held.label = label
    held.tape = catalog.tape(label["label"])
    if held.tape is None:
        return "its tape %s is not in the catalog %s: tape_inventory with tape_rebuild reads it in" % (
            label["label"],
            catalog.folder,
        )
    known = (held.tape["id"], (held.tape.get("relabelling") or {}).get("id"))
    if label["id"] not in known:
        what = "its tape is labelled %s, but is not the %s of the catalog (labelled %s, there %s)"
        return what % (label["label"], label["label"], label["labelled"], held.tape["labelled"])
    return ""


def check_label(held: "Reservation", catalog: "Catalog") -> None:
    """After an error nobody knows where the tape stands, nor which one it is: read its label; raises Problem."""
    if held.drive.located:
        return
    label = held.label
    foreign = identify(held, catalog, anew=True)
    if foreign or held.label["id"] != label["id"]:
        found = foreign or "its tape is %s" % held.label["label"]
        what = "drive %s: tape %s was in it, and now %s" % (held.drive.path, label["label"], found)
        raise Problem(what, "nothing more was written")
