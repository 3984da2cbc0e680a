# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""plan: before tar starts on any host, chooses bases and order of the archives, and checks drives and tapes."""

import contextlib
import json
import os
import sys
import time

from ...common import files, names
from ...common.problem import BUSY, CONFIRM, NO_TAPE, NOT_FOUND, Problem
from ...common.units import STAMP, count, iso, parse_time, say_size
from ..catalog import catalog as catalogs
from ..catalog import clock, records
from ..drives import label as labels
from ..reserve import requests, scan
from .bases import SLACK, Bases

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..catalog.catalog import Catalog
    from ..reserve.reservation import Reservation
    from ..session import Session
    from ..settings import Settings


def plan(session: "Session", args: "argparse.Namespace") -> "answers.Planned":
    """The request: run, resume, dry, hosts {name: {level, bytes}}; raises Problem.

    Without ``run`` it starts a new one, with a unique name.  ``bytes`` of a host is an estimate; by default the size of
    its last archive of the same level is used.
    """
    settings, catalog = session.settings, session.catalog
    request = read_request(args.input)
    dry, resume = bool(request.get("dry")), bool(request.get("resume"))
    scan.need(settings)
    every = catalog.archives()
    warnings = catalog.warnings()
    if resume:
        check_resume(catalog, request["run"], every)
    warnings += gone_back(every)
    doubt = clock.doubt(session, every)
    warnings += [doubt] if doubt else []
    if not dry:
        clock.note(session, every)
    session.run = request["run"] or new_run(catalog, dry, {archive["run"] for archive in every})
    bases = Bases(session, every, settings.reuse == "expired" and not doubt)
    hosts = {host: bases.plan(host, wish, resume) for host, wish in request["hosts"].items()}
    warnings += bases.warnings
    drives = look(session, warnings)
    order, tapes, sentence = packed(settings, drives, hosts)
    return {
        "run": session.run,
        "hosts": hosts,
        "order": order,
        "drives": drives,
        "tapes": tapes,
        "fits": "%s; kept until %s" % (sentence, iso(time.time() + settings.retention)[:10]),
        "warnings": warnings,
    }


def packed(
    settings: "Settings", drives: "list[answers.DriveOfPlan]", hosts: "dict[str, answers.HostPlanned]"
) -> "tuple[list[str], int | None, str]":
    """(the hosts to back up in their order, the number of tapes for their archives, a sentence on it)."""
    todo = {host: entry for host, entry in hosts.items() if not entry["skip"]}
    # hosts of unknown duration first, then the longest
    order = sorted(todo, key=lambda host: (hosts[host]["elapsed"] is not None, -(hosts[host]["elapsed"] or 0)))
    tapes, sentence = packing(settings, drives, [todo[host]["bytes"] for host in order])
    return order, tapes, sentence


def read_request(given: "dict[str, Any] | None") -> "dict[str, Any]":
    """The request, from a module or standard input; raises Problem."""
    try:
        request = json.loads(sys.stdin.buffer.read().decode()) if given is None else given
        request["run"] = request.get("run") or ""
        if request["run"]:
            names.checked("run", request["run"])
        for host, wish in request["hosts"].items():
            names.host(host)
            wish["level"] = int(wish.get("level", 0))
            wish["bytes"] = int(wish.get("bytes") or 0) or None
        return dict(request)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as exc:
        raise Problem("invalid request: %r" % exc) from None


def gone_back(archives: "list[records.Archive]") -> "list[str]":
    """A warning if the clock was set back, which affects the retention of archives, but not their order."""
    now, newest = time.time(), max([archive["time"] for archive in archives] or [""])
    if not newest or now + SLACK > parse_time(newest):
        return []
    text = (
        "the clock of the tape host shows %s, but its newest archive is of %s: set the clock. The archives of this "
        "run still count as newer, but their retention begins at the time of the clock"
    )
    return [text % (iso(now), newest)]


def new_run(catalog: "Catalog", dry: bool, known: "set[str]") -> str:
    """A new run, named by the time; if two jobs start in the same second, one of them gets the next second.

    ``known``: the names in the catalog, which may be in the future if the clock was wrong.
    """
    folder = os.path.join(catalog.folder, "runs")
    now = time.time()
    if dry:
        return time.strftime(STAMP, time.gmtime(now))
    files.make_folder(folder)
    for old in os.listdir(folder):
        if old < time.strftime(STAMP, time.gmtime(now - 86400)):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(folder, old))
    while True:
        name = time.strftime(STAMP, time.gmtime(now))
        now += 1
        if name not in known:
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(folder, name))
                return name


def check_resume(catalog: "Catalog", run: str, archives: "list[records.Archive]") -> None:
    """Raises Problem if this run does not exist."""
    known = {archive["run"] for archive in archives}
    if run in known or os.path.isdir(os.path.join(catalog.folder, "runs", run)):
        return
    raise Problem(
        "there is no run %s to resume" % run,
        "the last runs are %s; without tape_resume a new run begins" % (", ".join(sorted(known)[-3:]) or "none"),
        kind=NOT_FOUND,
    )


def look(session: "Session", warnings: "list[str]") -> "list[answers.DriveOfPlan]":
    """The tape in each drive, and whether it is writable; raises Problem if no drive will have a writable tape."""
    settings = session.settings
    seen: "list[answers.DriveOfPlan]" = []
    request = requests.WriteRequest(session)

    def record(held: "Reservation") -> "tuple[int, str]":
        rank, reason = request.rate_loaded(held)
        seen.append(loaded(held, rank, reason))
        return rank, reason

    held, reasons, busy = scan.scan(session, record, "reading the label")
    known = [entry["device"] for entry in seen]
    for path in [path for path in settings.devices if path not in known]:  # so that the number of drives is known
        message = reasons.get(path, "")
        seen.append({"device": path, "label": None, "state": "unknown", "free": None, "file": None, "message": message})
    why = "; ".join(reasons.values())
    if held:
        held.release()
    elif busy and settings.wait:
        warnings.append("will wait for a drive: " + why)
    elif settings.changer or settings.next_command:
        warnings.append("will change tapes first: " + why)
    elif settings.wait:
        why = "; ".join([why] + scan.suggestion(session, request))
        warnings.append("will wait for a writable tape to be loaded: " + why)
    else:
        kind = BUSY if busy else CONFIRM if request.withheld else NO_TAPE
        raise Problem("no drive has a writable tape", why, kind=kind)
    return seen


def loaded(held: "Reservation", rank: int, message: str) -> "answers.DriveOfPlan":
    """The tape in a drive, as a job may use it."""
    tape, capacity = held.tape, held.settings.capacity
    afresh = rank == requests.EXPIRED
    state = ("yours", "append", "empty", "expired", "unfit")[rank] if rank <= requests.UNFIT else "leased"
    return {
        "device": held.drive.path,
        "label": held.label.get("label"),
        "state": state,
        "free": capacity - (0 if afresh else catalogs.used(tape)) if capacity and tape else None,
        "file": 1 if afresh or not tape else catalogs.next_file(tape),
        "message": message,
    }


def packing(
    settings: "Settings", drives: "list[answers.DriveOfPlan]", sizes: "list[int | None]"
) -> "tuple[int | None, str]":
    """The number of tapes for these archives, in this order, and a sentence on it."""
    known = [size for size in sizes if size is not None]
    total = sum(known)
    text = "%s, %s" % (count(len(sizes), "archive"), say_size(total))
    if len(known) < len(sizes):
        text += " and %d of unknown size" % (len(sizes) - len(known))
    if not settings.capacity:
        return None, text + "; whether they fit is unknown, because tape_capacity is not set"
    usable = [entry["free"] for entry in drives if entry["state"] in ("yours", "append", "empty", "expired")]
    room = max([free for free in usable if free is not None] or [settings.capacity - labels.LABEL_BLOCK])
    tapes = 1
    for size in known:
        if size > room:
            tapes, room = tapes + 1, settings.capacity - labels.LABEL_BLOCK
        room -= size
    return tapes, text + (": fits on the tape" if tapes == 1 else ": needs %d tapes" % tapes)
