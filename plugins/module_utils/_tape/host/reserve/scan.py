# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selects a drive: the queue of waiting jobs, the best tape in a drive, and what to do if there is none."""

import contextlib
import time

from ...common import files
from ...common.now import tell
from ...common.problem import ABSENT, BUSY, CONFIRM, LOADING, NO_TAPE, SETTINGS, Problem
from ...common.units import say_duration, some
from ..catalog import catalog as catalogs
from . import leases, mount, requests
from . import reservation as reservations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..session import Session
    from ..settings import Settings
    from .requests import Request
    from .reservation import Reservation

    Rate = Callable[[Reservation], "tuple[int, str]"]

SCAN_POLL = 2.0  # seconds: polling interval for unsuitable drives
TURN = reservations.SCAN_TIME  # seconds for which even a job that does not wait may wait for its turn
NO_DRIVES = (
    "set tape_devices in the variables of the host that has them: devices such as /dev/nst0, or a directory as a "
    "virtual tape; if no host of the inventory has any, and tape_host is not set, the controller is the tape host"
)


def need(settings: "Settings") -> None:
    """Raises Problem if there are no drives, before anything is created on a host that may be no tape host."""
    if not settings.devices:
        raise Problem("this host has no drives", NO_DRIVES, kind=SETTINGS)


@contextlib.contextmanager
def reserve_for(session: "Session", request: "Request") -> "Iterator[Reservation]":
    """Wait in the queue for a suitable drive and reserve it; raises Problem if none will become suitable."""
    need(session.settings)
    ticket = files.Ticket(session.catalog.queue, "read-" + request.label if request.label else "write", session.run)
    try:
        held = wait(session, request, ticket)
    finally:
        ticket.drop()
    try:
        yield held
    finally:
        held.release()


def wait(session: "Session", request: "Request", ticket: "files.Ticket") -> "Reservation":
    """The waiting loop of reserve_for()."""
    settings = session.settings
    began = time.monotonic()
    said, tried = "", set()  # type: str, set[str]
    while True:
        reasons, pause, busy = {"": "others have been waiting for longer"}, files.LOCK_POLL, BUSY
        # jobs that wait for a tape leased to this run must not delay it
        if ticket.first(of_run=not request.label and bool(leases.of_run(session.catalog, ticket.run))):
            held, reasons, busy = scan(session, request.rate_loaded, request.what)
            if held:
                if said:
                    tell("")
                return held
            if not busy:
                if mount.mount(session, request, tried):
                    said = "a tape was loaded"
                    continue
                pause = SCAN_POLL
                ticket.drop()  # a job that waits for an operator must not delay jobs that have a tape
        text = "; ".join(list(reasons.values()) + ([] if busy else suggestion(session, request)))
        least = mount.CALIBRATION if busy == LOADING and settings.wait else TURN if "" in reasons else 0
        limit = max(settings.wait, least)
        if time.monotonic() >= began + limit:
            raise too_late(session, limit, request, text, busy)
        if text != said:
            wanted = "tape " + named(session, request.label) if request.label else "a drive" if busy else "a tape"
            own = " (tape_wait)" if limit == settings.wait else ""
            tell("waiting for %s: %s; for up to %s%s" % (wanted, text, say_duration(limit), own))
            said = text
        time.sleep(pause)
        if not busy:
            ticket.queue()


def awaited(session: "Session", request: "Request") -> str:
    """What a person must load for a request, "" if it can go on, or if a drive or a machine will do it."""
    settings = session.settings
    if settings.changer or settings.next_command or not settings.wait:
        return ""
    held, reasons, busy = scan(session, request.rate_loaded, "reading the label")
    if held:
        held.release()
    if held or busy:
        return ""
    why = "; ".join(list(reasons.values()) + suggestion(session, request))
    what = "tape " + named(session, request.label) if request.label else "a writable tape"
    return "waiting up to %s for %s: %s" % (say_duration(settings.wait), what, why)


def suggestion(session: "Session", request: "Request") -> "list[str]":
    """A hint with writable tapes that could be loaded, [] if there are none."""
    if request.label:
        return []
    labels = [tape["label"] for tape in session.catalog.tapes() if not request.rate(tape)[1]]
    labels = [named(session, label) for label in labels if label not in request.refused]
    return ["writable tapes: " + some(labels)] if labels else []


def named(session: "Session", label: str) -> str:
    return catalogs.located(session.catalog.tape(label), label)


def too_late(session: "Session", limit: float, request: "Request", text: str, busy: str) -> Problem:
    """The problem after waiting in vain."""
    within = " within %s" % say_duration(limit) if limit else ""
    if request.label:
        return Problem("tape %s is in no drive%s" % (named(session, request.label), within), text, kind=ABSENT)
    if busy:
        return Problem("no drive became free" + within, text, kind=BUSY)
    kind = CONFIRM if request.withheld else NO_TAPE
    return Problem("no drive has a writable tape" + within, text, kind=kind)


def loaded(session: "Session") -> "set[str]":
    """The labels of the tapes in idle drives."""
    found = set()
    for path in session.settings.devices:
        try:
            held = reservations.reserve(session, path, "reading the label")
        except Problem:
            continue
        try:
            if not held.identify():
                found.add(held.label["label"])
        except Problem:  # a job that needs this tape will report it
            pass
        finally:
            held.release()
    return found


def scan(session: "Session", rate: "Rate", what: str) -> "tuple[Reservation | None, dict[str, str], str]":
    """The best suitable drive (locked), the reasons of the others, and BUSY or LOADING if one may become suitable."""
    found: "list[tuple[int, int, Reservation]]" = []
    reasons, kinds = {}, set()  # type: dict[str, str], set[str]
    need(session.settings)
    for index, path in enumerate(session.settings.devices):
        try:
            held = reservations.reserve(session, path, what)
        except Problem as exc:
            kinds.add(exc.kind)
            reasons[path] = str(exc)
            continue
        try:
            rank, reason = rate(held)
            reasons[path] = "drive %s: %s" % (path, reason)
        except Problem as exc:
            rank, reason = requests.UNFIT, str(exc)
            kinds.add(exc.kind)
            reasons[path] = reason
        except BaseException:
            held.release()
            raise
        if reason:
            kinds.update([BUSY] if rank == requests.RESERVED else [])
            held.release()
        else:
            del reasons[path]
            found.append((rank, index, held))
    found.sort(key=lambda each: each[:2])
    for _rank, _index, held in found[1:]:
        held.release()
    later = LOADING if LOADING in kinds else BUSY if BUSY in kinds else ""
    return (found[0][2] if found else None), reasons, later
