# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reserved drive, the tape in it, and the position of the tape."""

import os
import time

from ...common import files
from ...common.problem import BUSY, LOADING, Problem
from ..drives import detect
from ..drives import label as labels
from . import leases, positions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..catalog.records import Tape
    from ..drives.detect import AnyDrive
    from ..session import Session

SCAN_TIME = 5.0  # seconds that other processes may take to read a label
GETTING_READY = "a new tape for LTO-9 or later is calibrated when it is first loaded, which takes up to two hours"


class Reservation:
    """A locked drive and the tape in it, for a session."""

    def __init__(self, session: "Session", drive: "AnyDrive", lock: "files.Lock", index: int):
        self.session = session
        self.settings, self.catalog, self.run = session.settings, session.catalog, session.run
        self.drive = drive
        self.lock = lock
        self.index = index  # its index in tape_devices
        self.label: "dict[str, Any]" = {}
        self.tape: "Tape | None" = None
        self.left_by = ""  # the run that wrote up to the current position
        self.alerts: "list[str]" = []  # alerts of the drive
        self.encryption: "dict[str, Any]" = {}  # the encryption status of the drive

    @property
    def locks(self) -> "tuple[int, ...]":
        """The descriptors that a writer or reader inherits, to hold the locks as long as it lives."""
        return (self.lock.fd, self.drive.fd)

    def identify(self, anew: bool = False) -> str:
        """Identify the tape; returns the reason if it is not in the catalog ("" if it is); raises Problem.

        The label is read unless the drive is still at the recorded position (``anew``: even then).
        """
        drive = self.drive
        status = drive.status()
        if drive.is_loading():
            raise Problem("drive %s is getting its tape ready" % drive.path, GETTING_READY, kind=LOADING)
        if not status.loaded:
            return "there is no tape in it"
        position = None if anew else positions.recall(self, status)
        if position and position["label"]:
            label = dict(position["label"])
            if position["run"] and positions.is_same_tape(drive, position) and drive.resume(position["at"]):
                self.left_by = position["run"]
        else:
            positions.forget(self)
            self.left_by = ""
            block = drive.first_block()
            if not block:
                return "its tape is blank: label it with tape_label"
            found = labels.parse(block)
            if found is None:
                what = "its tape holds %s (fingerprint %s)" % (labels.describe(block), labels.fingerprint(block))
                return what + "; nothing is written to it unless tape_label overwrites it"
            label = found
            self.label = label
            positions.remember(self)
        self.label = label
        self.tape = self.catalog.tape(label["label"])
        if self.tape is None:
            return "its tape %s is not in the catalog %s: tape_inventory with tape_rebuild adds it to the catalog" % (
                label["label"],
                self.catalog.folder,
            )
        known = (self.tape["id"], (self.tape.get("relabelling") or {}).get("id"))
        if label["id"] not in known:
            what = "its tape is labelled %s, but is not the %s of the catalog (labelled %s, in the catalog %s)"
            return what % (label["label"], label["label"], label["labelled"], self.tape["labelled"])
        return ""

    def check_label(self) -> None:
        """Read the label again after an error, when tape and position are uncertain; raises Problem."""
        if self.drive.located:
            return
        label = self.label
        foreign = self.identify(anew=True)
        if foreign or self.label["id"] != label["id"]:
            found = foreign or "its tape is %s" % self.label["label"]
            what = "drive %s: tape %s was in it, but now %s" % (self.drive.path, label["label"], found)
            raise Problem(what, "nothing more was written")

    def renew_lease(self) -> None:
        """Extend the lease of the tape by tape_lease from now."""
        leases.renew(self.settings, self.catalog, self.label["label"], self.run)

    def release(self) -> None:
        self.drive.close()
        self.lock.release()


def reserve(session: "Session", path: str, what: str, wait: float = 0.0) -> "Reservation":
    """Reserve one drive for ``what``; raises Problem; ``wait``: seconds to wait for processes that only read a label.

    The open descriptor keeps all others out; the file in the catalog describes the holder.
    """
    drive = detect.drive_at(path)
    lock = files.Lock(os.path.join(session.catalog.locks, drive.key))
    devices, until = session.settings.devices, time.monotonic() + wait
    while True:
        try:
            if not lock.take(session.holder(what)):
                raise Problem("drive %s is in use for %s" % (path, say_holder(lock.holder())), kind=BUSY)
            drive.open()
            return Reservation(session, drive, lock, devices.index(path) if path in devices else 0)
        except BaseException as exc:
            lock.release()
            if not isinstance(exc, Problem) or exc.kind != BUSY or time.monotonic() >= until:
                raise
        time.sleep(files.LOCK_POLL)


def say_holder(holder: "dict[str, Any]") -> str:
    if not holder:
        return "an unknown process"
    return "%(what)s of %(host)s in run %(run)s, since %(since)s (process %(pid)s)" % holder
