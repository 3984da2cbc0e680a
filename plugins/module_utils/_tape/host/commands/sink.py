# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""sink, the last stage of a backup: writes an archive from the link to a tape and records it in the catalog."""

import contextlib
import os
import time

from ...common import filters
from ...common.problem import FAILED, FULL, TOO_LARGE, Problem
from ...common.units import iso, say_size
from ..catalog import catalog as catalogs
from ..catalog import clock, history, records
from ..drives import hardware, writer
from ..drives import label as labels
from ..drives.virtual import VirtualTape
from ..reserve import positions, requests, scan, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from ... import answers
    from ..reserve.reservation import Reservation
    from ..session import Session

REBUILD = "nothing was written; tape_inventory with tape_rebuild adds it to the catalog"


def sink(session: "Session", args: "argparse.Namespace") -> "answers.Sunk":
    """Write standard input to a tape; returns its entry in the catalog as well; raises Problem."""
    session = session.of(args.run, args.host)
    expect = args.expect or 0
    if session.settings.capacity and expect > session.settings.capacity - labels.LABEL_BLOCK:
        raise Problem(
            "an archive of %s does not fit on any tape" % say_size(expect),
            "split tape_paths, or raise tape_capacity",
            kind=TOO_LARGE,
        )
    began = time.monotonic()
    request = requests.WriteRequest(session, expect)
    with scan.reserve_for(session, request) as held:
        clock.note(session, request.archives)
        waited = time.monotonic() - began
        with opened_for_writing(held):
            held.renew_lease()
            archive = new_archive(session, args.level, args.base)
            if args.attempt:
                archive["attempt"] = args.attempt
            if session.settings.filters:
                archive["filters"] = session.settings.filters
            if session.settings.source:
                archive["source"] = {key: session.settings.source[key] for key in ("name", "restore")}
            put(held, archive)
        held.renew_lease()
    told: "Any" = dict(archive, tape=held.label["label"], waited=round(waited, 1), device=held.drive.path)
    sunk: "answers.Sunk" = told
    return sunk


@contextlib.contextmanager
def opened_for_writing(held: "Reservation") -> "Iterator[None]":
    """Prepare a drive for an archive, and switch encryption off afterwards; raises Problem."""
    open_for_writing(held)
    try:
        yield
    finally:
        volume.set_encryption(held, False)


def open_for_writing(held: "Reservation") -> None:
    """Prepare a drive for an archive: set its modes, check its label, relabel an expired tape; raises Problem."""
    held.drive.prepare(held.settings.compression)
    if held.drive.kind == "drive":
        check_alerts(held)
        volume.set_encryption(held, False)
    if held.left_by != held.run:
        foreign = held.identify(anew=True)
        if foreign:
            raise Problem("drive %s: %s" % (held.drive.path, foreign))
    tape = held.tape
    if tape is None:
        raise Problem("drive %s: no tape of the catalog" % held.drive.path)
    # judged again, because an archive that needs this tape may have been written while we waited for the drive
    if "relabelling" in tape or requests.WriteRequest(held.session).expired(tape):
        more = volume.unknown_data(held, tape)
        if more:
            raise Problem(more, REBUILD)
        unpack = filters.recipe(held.settings.filters)
        label = labels.make(tape["label"], held.settings.block_size, tape["barcode"], os.uname().nodename, unpack)
        volume.write_label(held, label, tape)
    volume.set_encryption(held, True)


def check_alerts(held: "Reservation") -> None:
    """Record alerts of the drive, because reading may clear them; raises Problem if one is fatal."""
    found, _note = hardware.alerts(held.drive.path)
    held.alerts += [hardware.say(alert) for alert in found]
    with contextlib.suppress(OSError):  # it is only counted there
        history.note_alerts(held.catalog, held.drive.path, found)
    fatal = hardware.fatal(found)
    if fatal:
        what = ", ".join(hardware.say(alert) for alert in fatal)
        raise Problem("drive %s: %s" % (held.drive.path, what), "use another tape, or another drive")


def new_archive(session: "Session", level: int = 0, base: "str | None" = None) -> "records.Archive":
    """The entry for a new archive."""
    settings, started = session.settings, time.time()
    return {
        "kind": records.ARCHIVE,
        "run": session.run,
        "host": session.host,
        "set": settings.set,
        "level": level,
        "base": base,
        "time": iso(started),
        "host_time": None,
        "paths": settings.paths,
        "file": 0,  # put() gives it its number
        "block_size": settings.block_size,
        "bytes": None,
        "sha256": None,
        "state": records.WRITING,
        "keep_until": started + settings.retention,
    }


def put(held: "Reservation", archive: "records.Archive", stdin: int = 0) -> None:
    """Write one tape file; its entry is in the catalog before the first byte, and after any failure; raises Problem."""
    catalog = held.catalog
    name = held.label["label"]
    archive["file"] = next_file(held)
    positions.forget(held)
    with catalog.change(name) as tape:  # replaces a reclaimed one
        order: "Any" = catalogs.after_all(catalog.archives(), archive)
        archive.update(order)
        tape["archives"] = [each for each in tape["archives"] if each["file"] != archive["file"]] + [archive]
    outcome: "dict[str, Any]" = {"state": records.FAILED, "problem": "broken off", "full": False}
    try:
        outcome = copy(held, archive, stdin)
    except Problem as exc:
        outcome["problem"] = str(exc)
    finally:  # also after a signal; leftovers of SIGKILL are found by the next process (next_file)
        full = outcome.pop("full")
        more: "Any" = dict(outcome, alerts=held.alerts, encryption=held.encryption)
        archive.update(more)
        if archive["state"] == records.FAILED:
            record_failure(held, archive, full)
        else:
            with catalog.change(name) as tape:
                catalogs.entry_of(tape, archive["file"]).update(archive)
            positions.remember(held, archive["run"])
    if archive["state"] == records.FAILED:
        hint = "run the backup again, and it uses the next tape" if full else "run the backup again"
        raise Problem(
            "tape %s, file %d: %s" % (name, archive["file"], archive["problem"]), hint, kind=FULL if full else FAILED
        )


def next_file(held: "Reservation") -> int:
    """Move to the position for the next archive, after leftovers of a killed process; raises Problem.

    The catalog gives the position, and the drive must confirm that the data ends there.
    """
    drive, name = held.drive, held.label["label"]
    tape = held.catalog.known(name, held.catalog.tape(name))
    for archive in list(tape["archives"]):
        if archive["state"] == records.WRITING:  # this process holds the drive, so its writer has died
            archive["problem"] = "its process was killed"
            record_failure(held, archive, full=False)
    tape = held.catalog.tape(name) or tape
    number = catalogs.next_file(tape)
    last = tape["archives"][-1] if tape["archives"] else None
    reclaims = held.settings.reclaim and last and last["state"] == records.FAILED
    if held.left_by == held.run and not reclaims and drive.located and drive.status()[2:4] == (number, 0):
        return number
    positions.forget(held)
    if not volume.ends_at(held, number):
        raise Problem(volume.more_data(name, number), REBUILD)
    if reclaims:
        number -= 1
        drive.position(number)
    return number


def copy(held: "Reservation", archive: "records.Archive", stdin: int) -> "dict[str, Any]":
    """Run the writer; returns state, bytes, elapsed and full; raises Problem."""
    settings, number = held.settings, archive["file"]
    # only tar fills its last block; a program that reads padding behind the data of a filter would fail
    whole = records.is_tar(archive)
    drive = held.drive
    room = None
    if settings.capacity and isinstance(drive, VirtualTape):
        room = max(0, settings.capacity - drive.taken(number))
    began = time.monotonic()
    command = writer.write_command(settings.block_size, settings.buffer)
    with drive.output(number) as stdout:
        copied = writer.run(command, held.locks, stdin, stdout, limit=room, whole=whole)
    if copied.why == writer.FAILED:
        drive.located = False  # after a drive error the position of the tape is unknown
    count, full = copied.bytes, copied.why == writer.FULL
    outcome: "dict[str, Any]" = {"state": records.FAILED, "bytes": count, "full": full}
    if not copied.ok or count == 0:
        problem = "no data arrived" if copied.ok else "the tape is full" if full else copied.message
        return dict(outcome, elapsed=round(time.monotonic() - began, 3), problem=problem)
    blocks = drive.written(number, None if count is None else -(-count // settings.block_size))
    elapsed = time.monotonic() - began  # includes the time to flush the buffer of the drive
    if count is None:  # mbuffer does not count, and a pipe cannot be queried
        count = drive.size(number)
    if drive.kind == "drive":
        count = blocks * settings.block_size if whole else count
        check_alerts(held)
    rate = int(count / elapsed) if count else None
    return dict(outcome, state=records.WRITTEN, bytes=count, elapsed=round(elapsed, 3), rate=rate)


def record_failure(held: "Reservation", archive: "records.Archive", full: bool) -> None:
    """Mark an archive as failed, or remove its entry if the tape has nothing of it."""
    number = archive["file"]
    positions.forget(held)
    try:
        held.check_label()
        there = held.drive.close_file(number)
    except Problem as exc:  # the entry stays, and the next process resolves it
        archive["problem"] = "%s; and then: %s" % (archive.get("problem", ""), exc)
        return
    with held.catalog.change(held.label["label"]) as tape:
        tape["full"] = tape["full"] or full
        if there:
            size = held.drive.size(number)  # from a virtual tape: mbuffer may not have written everything that arrived
            archive["bytes"] = archive["bytes"] if size is None else size
            catalogs.entry_of(tape, number).update({**archive, "state": records.FAILED})
        else:
            tape["archives"] = [other for other in tape["archives"] if other["file"] != number]
    archive["state"] = records.FAILED
