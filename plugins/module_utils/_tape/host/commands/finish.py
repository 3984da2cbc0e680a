# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""finish: ends a run, copies the catalog to each of its tapes and releases them."""

import os
import subprocess

from ...common.problem import Problem
from ...common.process import Children
from ..catalog import catalog as catalogs
from ..catalog import history, records, restores
from ..drives import changer, elements
from ..reserve import leases, positions
from ..reserve import reservation as reservations
from . import info, sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..reserve.reservation import Reservation
    from ..session import Session

SHOWN = (
    "host",
    "set",
    "level",
    "tape",
    "file",
    "bytes",
    "state",
    "elapsed",
    "rate",
    "problem",
    "warning_count",
    "incomplete",
)


def finish(session: "Session", args: "argparse.Namespace") -> "answers.Finished":
    """Returns the archives and tapes of the run; a failed copy of the catalog is only a warning; raises Problem."""
    catalog, session.run = session.catalog, args.run
    own = [archive for archive in catalog.archives() if archive["run"] == args.run]
    names = sorted({archive["tape"] for archive in own})
    warnings = note(session, args.input["tried"]) if args.input else []
    warnings += copy_to_tapes(session, names) if own else []
    warnings += eject(session, names) if session.settings.eject else []
    leases.drop(catalog, args.run)
    # the good archive of each host, whatever its clock, otherwise the last; killed ones are marked as failed by now
    # only this set: a run resumed for another set may have a good archive of the same host
    whose = (args.run, session.settings.set)
    now = [archive for archive in catalog.archives() if (archive["run"], archive["set"]) == whose]
    best = {archive["host"]: archive for archive in sorted(now, key=lambda each: each["state"] == records.GOOD)}
    rows: "list[Any]" = [{key: archive.get(key) for key in SHOWN} for archive in best.values()]
    wanted = set(args.input["hosts"]) if args.input and "hosts" in args.input else None
    full = {name: catalogs.percent(catalog.tape(name), session.settings.capacity) for name in names}
    return {
        "run": args.run,
        "tapes": names,
        "full": full,
        "archives": rows,
        "last": last_good(session, wanted),
        "warnings": warnings + catalog.warnings(),
    }


def note(session: "Session", tried: "list[history.Tried]") -> "list[str]":
    """Record the result of each host, for metrics; returns warnings."""
    settings = session.settings
    try:
        history.note_run(session.catalog, session.run, settings.set, tried, settings.expire_last)
    except OSError as exc:
        return ["%s: %s, so metrics do not count this run" % (history.path(session.catalog), exc.strerror or exc)]
    return []


def last_good(session: "Session", hosts: "set[str] | None") -> "list[answers.LastGood]":
    """The newest good archive of each host, in this set and in those of its sources; ``hosts``: None for all."""
    name = session.settings.set
    own = [
        archive
        for archive in session.catalog.archives()
        if (hosts is None or archive["host"] in hosts) and (archive["set"] + ".").startswith(name + ".")
    ]
    return [
        {
            "host": each["host"],
            "set": each["set"],
            "time": each["time"],
            "age": each["age"],
            "late": info.late(session, each) if each["late"] else "",
        }
        for each in info.hosts(session, own)
    ]


def copy_to_tapes(session: "Session", names: "list[str]") -> "list[str]":
    """Append the catalog to those of these tapes that are still in a drive; returns warnings."""
    warnings, left = [], set(names)
    for path in session.settings.devices:
        try:
            held = reservations.reserve(session, path, "copying the catalog", 2 * reservations.SCAN_TIME)
        except Problem as exc:
            warnings.append(str(exc))
            continue
        try:
            foreign = held.identify()
            name = held.label.get("label")
            if foreign or name not in left or held.tape is None or held.tape["full"]:
                continue
            with sink.opened_for_writing(held):
                append(held)
            left.discard(name)
        except Problem as exc:
            warnings.append("the catalog was not copied to the tape in %s: %s" % (path, exc))
        finally:
            held.release()
    for name in sorted(left):
        warnings.append("the catalog was not copied to tape %s: it is full, or no longer in a drive" % name)
    return warnings


def eject(session: "Session", names: "list[str]") -> "list[str]":
    """Eject those of these tapes that are in a drive; a changer moves them to slots.  Returns warnings."""
    warnings = []
    for path in session.settings.devices:
        try:
            held = reservations.reserve(session, path, "ejecting the tape", 2 * reservations.SCAN_TIME)
        except Problem as exc:
            warnings.append("the tape in %s was not ejected: %s" % (path, exc))
            continue
        try:
            if held.drive.status().loaded and not held.identify() and held.label.get("label") in names:
                positions.forget(held)
                warnings += eject_one(held)
        except Problem as exc:
            warnings.append("the tape in %s was not ejected: %s" % (path, exc))
        finally:
            held.release()
    return warnings


def eject_one(held: "Reservation") -> "list[str]":
    """Returns warnings; raises Problem."""
    settings = held.settings
    if not settings.changer:
        held.drive.eject()
        return []
    library = changer.Changer(settings.changer, held.catalog.locks, settings.wait)
    to_port = settings.eject_to == "mail_slot"
    done = library.unload(elements.number_of(held, library.inventory()), held.drive.eject, to_port)
    if not to_port or done is None or done["port"]:
        return []
    text = "tape %s is in slot %d of changer %s: the changer has no mail slot, or none is free"
    return [text % (held.label["label"], done["slot"], settings.changer)]


def append(held: "Reservation") -> None:
    """Append a tape file with the catalog as a tar archive."""
    catalog = held.catalog
    archive: "records.Archive" = {**sink.new_archive(held.session), "kind": records.CATALOG, "keep_until": 0}
    members = ["tapes"] + (
        ["lists/" + held.run] if os.path.isdir(os.path.join(catalog.folder, "lists", held.run)) else []
    )
    members += [restores.NAME] if os.path.exists(restores.path(catalog.folder)) else []
    command = ["tar", "--create", "--file=-", "--blocking-factor=%d" % (held.settings.block_size // 512)]
    command += [
        "--label=catalog %s %s" % (held.run, archive["time"]),
        "--directory=" + catalog.folder,
        "--exclude=*.part",
        "--",
    ]
    with Children() as children:
        tar = children.start(command + members, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        with tar.stdout or open(os.devnull) as stream:
            sink.put(held, archive, stream.fileno())
        if tar.wait() not in (0, 1):
            raise Problem("tar of the catalog ended with exit status %d" % tar.returncode)
    with catalog.change(held.label["label"]) as tape:
        catalogs.entry_of(tape, archive["file"])["state"] = records.GOOD
