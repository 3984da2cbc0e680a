# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drive that is ours for now, the tape in it, and where on the tape it stands."""

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

    from ..catalog.catalog import Tape
    from ..drives.detect import AnyDrive
    from ..session import Session

SCAN_TIME = 5.0  # seconds that others may take to look at a tape
GETTING_READY = "a new tape for LTO-9 or later is calibrated when it is first loaded, which takes up to two hours"


class Reservation:
    """A drive that we have locked, and the tape in it; it knows the session that it is for."""

    def __init__(self, session: "Session", drive: "AnyDrive", lock: "files.Lock", index: int):
        self.session = session
        self.settings, self.catalog, self.run = session.settings, session.catalog, session.run
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

    def identify(self, anew: bool = False) -> str:
        """Which tape it is, and which one of the catalog; returns why it is none of ours ("" if it is); raises Problem.

        Its label is read, unless the drive stands where it was left (``anew``: even then).
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
                return what + "; it is never written unless tape_label is told to"
            label = found
            self.label = label
            positions.remember(self)
        self.label = label
        self.tape = self.catalog.tape(label["label"])
        if self.tape is None:
            return "its tape %s is not in the catalog %s: tape_inventory with tape_rebuild reads it in" % (
                label["label"],
                self.catalog.folder,
            )
        known = (self.tape["id"], (self.tape.get("relabelling") or {}).get("id"))
        if label["id"] not in known:
            what = "its tape is labelled %s, but is not the %s of the catalog (labelled %s, there %s)"
            return what % (label["label"], label["label"], label["labelled"], self.tape["labelled"])
        return ""

    def check_label(self) -> None:
        """After an error nobody knows where the tape stands, nor which one it is: read its label; raises Problem."""
        if self.drive.located:
            return
        label = self.label
        foreign = self.identify(anew=True)
        if foreign or self.label["id"] != label["id"]:
            found = foreign or "its tape is %s" % self.label["label"]
            what = "drive %s: tape %s was in it, and now %s" % (self.drive.path, label["label"], found)
            raise Problem(what, "nothing more was written")

    def renew_lease(self) -> None:
        """The tape stays with the run, as long as tape_lease says from now on."""
        leases.renew(self.settings, self.catalog, self.label["label"], self.run)

    def release(self) -> None:
        self.drive.close()
        self.lock.release()


def reserve(session: "Session", path: str, what: str, wait: float = 0.0) -> "Reservation":
    """Reserve one drive; raises Problem. ``wait``: seconds in which those who only look at it are done.

    Its open descriptor keeps all others out; the file in the catalog says for whom, and for ``what``.
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
        return "somebody who has not said so yet"
    return "%(what)s of %(host)s in run %(run)s, since %(since)s (process %(pid)s)" % holder
