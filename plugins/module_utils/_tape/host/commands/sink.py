# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last stage of a backup: one archive, from the link to a tape, and into the catalog."""

import time

from ...common.problem import FAILED, FULL, TOO_LARGE, Problem
from ...common.units import iso, say_size
from ..catalog import catalog as catalogs
from ..catalog.catalog import Catalog
from ..drives import label as labels
from ..drives import writer
from ..drives.virtual import VirtualTape
from ..reserve import leases, positions, requests, scan, volume
from ..reserve import reservation as reservations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..reserve.reservation import Reservation
    from ..settings import Settings


def sink(settings: "Settings", args: "argparse.Namespace") -> "dict[str, Any]":
    """Put standard input on a tape; returns the archive's entry of the catalog; raises Problem."""
    catalog = Catalog(settings.catalog_dir)
    expect = args.expect or 0
    if settings.capacity and expect > settings.capacity - labels.LABEL_BLOCK:
        raise Problem(
            "an archive of %s does not fit on any tape" % say_size(expect),
            "split tape_paths, or raise tape_capacity",
            kind=TOO_LARGE,
        )
    who = reservations.somebody("the archive", args.host, args.run)
    began = time.monotonic()
    request = requests.WriteRequest(settings, catalog, args.run, expect)
    with scan.reserve(settings, catalog, request, who) as held:
        waited = time.monotonic() - began
        with volume.opened_for_writing(settings, catalog, held, args.run):
            leases.renew(settings, catalog, held.label["label"], args.run)
            archive = new_archive(settings, args.run, args.host, args.level, args.base)
            put(settings, catalog, held, archive)
        leases.renew(settings, catalog, held.label["label"], args.run)
    return dict(archive, tape=held.label["label"], waited=round(waited, 1))


def new_archive(
    settings: "Settings", run: str, host: str, level: int = 0, base: "str | None" = None
) -> "dict[str, Any]":
    """The entry of an archive that begins now."""
    started = time.time()
    return {
        "kind": catalogs.ARCHIVE,
        "run": run,
        "host": host,
        "set": settings.set,
        "level": level,
        "base": base,
        "time": iso(started),
        "host_time": None,
        "paths": settings.paths,
        "block_size": settings.block_size,
        "bytes": None,
        "sha256": None,
        "state": catalogs.WRITING,
        "keep_until": started + settings.retention,
    }


def put(
    settings: "Settings", catalog: "Catalog", held: "Reservation", archive: "dict[str, Any]", stdin: int = 0
) -> None:
    """Write one tape file; its entry is in the catalog before the first byte, and whatever comes; raises Problem."""
    name = held.label["label"]
    archive["file"] = volume.next_file(settings, catalog, held, archive["run"])
    positions.forget(catalog, held.drive)
    with catalog.change(name) as tape:  # in the place of one that is reclaimed
        archive.update(catalogs.after_all(catalog.archives(), archive))
        tape["archives"] = [each for each in tape["archives"] if each["file"] != archive["file"]] + [archive]
    outcome: "dict[str, Any]" = {"state": catalogs.FAILED, "problem": "broken off", "full": False}
    try:
        outcome = copy(settings, held, archive["file"], stdin)
    except Problem as exc:
        outcome["problem"] = str(exc)
    finally:  # also when we are told to stop; what a kill leaves is found by the next one (volume.next_file)
        full = outcome.pop("full")
        archive.update(outcome, alerts=held.alerts, encryption=held.encryption)
        if archive["state"] == catalogs.FAILED:
            volume.record_failure(catalog, held, archive, full)
        else:
            with catalog.change(name) as tape:
                volume.entry_of(tape, archive["file"]).update(archive)
            positions.remember(catalog, held.drive, held.label, archive["run"])
    if archive["state"] == catalogs.FAILED:
        hint = "run it again, and it goes on the next tape" if full else "run it again"
        raise Problem(
            "tape %s, file %d: %s" % (name, archive["file"], archive["problem"]), hint, kind=FULL if full else FAILED
        )


def copy(settings: "Settings", held: "Reservation", number: int, stdin: int) -> "dict[str, Any]":
    """Have the writer copy standard input to the tape; what came of it: state, bytes, elapsed, full; raises Problem."""
    drive = held.drive
    room = None
    if settings.capacity and isinstance(drive, VirtualTape):
        room = max(0, settings.capacity - drive.taken(number))
    began = time.monotonic()
    command = writer.write_command(settings.block_size, settings.buffer)
    with drive.output(number) as stdout:
        copied = writer.run(command, held.locks, stdin, stdout, limit=room)
    if copied.why == writer.FAILED:
        drive.located = False  # it may have been an error of the drive, and then nobody knows where the tape stands
    count, full = copied.bytes, copied.why == writer.FULL
    outcome: "dict[str, Any]" = {"state": catalogs.FAILED, "bytes": count, "full": full}
    if not copied.ok or count == 0:
        problem = "no data came" if copied.ok else "the tape is full" if full else copied.message
        return dict(outcome, elapsed=round(time.monotonic() - began, 3), problem=problem)
    blocks = drive.written(number, None if count is None else count // settings.block_size)
    elapsed = time.monotonic() - began  # with what the drive had in its buffer
    if count is None:  # mbuffer counts nothing, and from a pipe nobody does
        count = drive.size(number)
    if drive.kind == "drive":
        count = blocks * settings.block_size
        volume.check_alerts(held)
    rate = int(count / elapsed) if count else None
    return dict(outcome, state=catalogs.WRITTEN, bytes=count, elapsed=round(elapsed, 3), rate=rate)
