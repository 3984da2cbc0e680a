# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts the next tape, with a changer or tape_next_command."""

import time

from ...common.now import tell
from ...common.problem import Problem
from ...common.units import say_duration
from ..drives import changer, elements
from . import leases, positions
from . import reservation as reservations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..session import Session
    from .requests import Request
    from .reservation import Reservation

TRIES = 20  # tapes that tape_next_command may load before one is suitable
READY = 300.0  # seconds for a drive to thread a tape
CALIBRATION = 3 * 3600.0  # seconds for calibrating a new tape for LTO-9 or later, which takes up to two hours
READY_POLL = 0.5


def mount(session: "Session", request: "Request", tried: "set[str]") -> bool:
    """Load a possibly suitable tape into an idle drive; False if that is impossible; raises Problem.

    ``tried``: tapes already loaded for this request.
    """
    settings = session.settings
    if not (settings.changer or settings.next_command):
        return False
    barcode = next_barcode(session, request, tried) if settings.changer else ""
    if settings.changer and not barcode or len(tried) >= TRIES:
        return False
    held = idle(session, request)
    if held is None:
        return False
    try:
        path = held.drive.path
        if settings.changer:
            tried.add(barcode)
            tell("loading %s into %s" % (barcode, path))
            library = changer.Changer(settings.changer, session.catalog.locks, settings.wait)
            number = elements.number_of(held, library.inventory())
            library.load(barcode, number, held.drive.eject, lambda: wait_ready(held))
        else:
            tried.add("command %d" % len(tried))
            why = "restore" if request.label else "full"
            tell("tape_next_command loads a tape into %s" % path)
            held.drive.close()  # for the command; the lock file still keeps out others with this catalog
            limit = max(settings.wait, READY)
            changer.next_command(settings.next_command, path, request.label, why, limit, wanted(session, request))
            held.drive.open()
            wait_ready(held)
    finally:
        positions.forget(held)
        held.release()
    return True


def wanted(session: "Session", request: "Request") -> "dict[str, str]":
    """The tapes that would do, for tape_next_command: their labels, best first; barcode and place of the first."""
    tapes = [(request.rate(tape), tape) for tape in session.catalog.tapes()]
    usable = sorted((rank, tape["label"]) for (rank, reason), tape in tapes if not reason)
    labels = [label for _rank, label in usable if label not in request.refused]
    first = session.catalog.tape(labels[0]) if labels else None
    return {
        "TAPE_WANTED": " ".join(labels),
        "TAPE_BARCODE": first["barcode"] if first else "",
        "TAPE_LOCATION": first.get("location", "") if first else "",
    }


def next_barcode(session: "Session", request: "Request", tried: "set[str]") -> str:
    """The barcode of the best tape that has not been tried, "" if there is none; raises Problem."""
    settings = session.settings
    best = []
    for tape in session.catalog.tapes():
        barcode = tape["barcode"]
        if not barcode or barcode in tried or not (request.label or barcode in settings.barcodes):
            continue
        rank, reason = request.rate(tape)
        if not reason:
            best.append((rank, settings.barcodes.index(barcode) if barcode in settings.barcodes else 0, barcode))
    if request.label and not best and not tried:
        known = session.catalog.tape(request.label)
        if not known or not known["barcode"]:
            raise Problem(
                "the catalog has no barcode of tape %s" % request.label,
                "load it by hand",
            )
    return min(best)[2] if best else ""


def idle(session: "Session", request: "Request") -> "Reservation | None":
    """An idle drive, preferably without a tape, and not with a tape that another run needs."""
    found = None
    for path in session.settings.devices:
        try:
            held = reservations.reserve(session, path, request.what)
        except Problem:
            continue
        try:
            empty = not held.drive.status().loaded
            held.identify()
        except Problem:
            empty = False
        lease = leases.read(session.catalog, held.label.get("label", "-"))
        taken = lease is not None and lease["run"] != session.run
        if taken or (found and not empty):
            held.release()
            continue
        if found:
            found.release()
        found = held
        if empty:
            break
    return found


def wait_ready(held: "Reservation") -> None:
    """Wait until the drive has threaded and, if necessary, calibrated its tape; raises Problem."""
    began, said = time.monotonic(), False
    while True:
        now = held.drive.status()
        if now.loaded:
            return
        waited = time.monotonic() - began
        if waited >= (READY if now.empty else CALIBRATION):
            has = "no tape" if now.empty else "no tape ready"
            what = "drive %s has %s %s after it was loaded" % (held.drive.path, has, say_duration(waited))
            raise Problem(what, "check its panel; is tape_devices in the changer's order?")
        if waited >= READY and not said:
            said = True
            text = "drive %s is getting its tape ready: %s; waiting for up to %s"
            tell(text % (held.drive.path, reservations.GETTING_READY, say_duration(CALIBRATION)))
        time.sleep(READY_POLL)
