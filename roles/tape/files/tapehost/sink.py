# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last stage of a backup: one archive, from the link to a tape, and into the catalog."""

import sys
import time

import catalog as catalogs
import holding as holdings
import label as labels
import leases
import places
import pool
import tapes
import wants
import writer
from catalog import Catalog
from problem import Problem
from units import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from holding import Holding
    from settings import Settings


def sink(settings: "Settings", args: "argparse.Namespace") -> "dict[str, Any]":
    """Put standard input on a tape; returns the archive's entry of the catalog; raises Problem."""
    catalog = Catalog(settings.catalog_dir)
    expect = args.expect or 0
    if settings.capacity and expect > settings.capacity - labels.LABEL_BLOCK:
        raise Problem(
            "an archive of %d bytes does not fit on any tape" % expect, "split tape_paths, or raise tape_capacity"
        )
    who = holdings.somebody("the archive", args.host, args.run)
    began = time.monotonic()
    want = wants.Writing(settings, catalog, args.run, expect)
    with pool.take(settings, catalog, want, who) as holding:
        waited = time.monotonic() - began
        tapes.open_for_writing(settings, catalog, holding, args.run)
        leases.renew(settings, catalog, holding.label["label"], args.run)
        archive = new_archive(settings, args)
        put(settings, catalog, holding, archive, writer.write_command, 0)
        leases.renew(settings, catalog, holding.label["label"], args.run)
    return dict(archive, tape=holding.label["label"], waited=round(waited, 1))


def new_archive(settings: "Settings", args: "argparse.Namespace") -> "dict[str, Any]":
    started = time.time()
    return {
        "kind": catalogs.ARCHIVE,
        "run": args.run,
        "host": args.host,
        "set": settings.set,
        "level": args.level,
        "base": args.base,
        "time": iso(started),
        "paths": settings.paths,
        "block_size": settings.block_size,
        "bytes": None,
        "sha256": None,
        "state": catalogs.WRITING,
        "keep_until": catalogs.keep_until(started, settings.retention),
    }


def put(
    settings: "Settings", catalog: "Catalog", holding: "Holding", archive: "dict[str, Any]", command: "Any", stdin: int
) -> None:
    """Write one tape file; its entry is in the catalog before the first byte and whatever comes; raises Problem."""
    drive, name = holding.drive, holding.label["label"]
    number = tapes.next_place(settings, catalog, holding, archive["run"])
    archive["file"] = number
    places.forget(catalog, drive)
    with catalog.change(name) as tape:
        tape["archives"].append(archive)
        room = settings.capacity - catalogs.used(tape) if settings.capacity and drive.kind == "virtual" else None
    began = time.monotonic()
    outcome: "dict[str, Any]" = {"state": catalogs.FAILED, "problem": "broken off"}
    full = False
    try:
        copied = writer.run(
            command(drive.write_to(number), settings.block_size, settings.buffer), holding.lock.fd, stdin, limit=room
        )
        elapsed = time.monotonic() - began
        outcome.update(bytes=copied.bytes, elapsed=round(elapsed, 3))
        full = copied.full
        if not copied.ok:
            outcome["problem"] = "the tape is full" if full else copied.message
        elif copied.bytes == 0:
            outcome["problem"] = "no data came"
        else:
            drive.written(number)
            outcome["state"] = catalogs.WRITTEN
            del outcome["problem"]
            if copied.bytes and elapsed:
                outcome["rate"] = int(copied.bytes / elapsed)
    except Problem as exc:
        outcome["problem"] = str(exc)
    finally:
        # only what this process knows; what a kill leaves is found by the next one (tapes.next_place)
        archive.update(outcome)
        if outcome["state"] == catalogs.FAILED:
            tapes.settle(catalog, holding, archive, full)
        else:
            with catalog.change(name) as tape:
                tapes.entry_of(tape, number).update(outcome)
            places.remember(catalog, drive, holding.label, archive["run"])
    if archive["state"] == catalogs.FAILED:
        hint = "the archive is marked as failed" if archive.get("file") else "nothing is on the tape"
        if full:
            hint = (
                "run it again: the next archive goes on the next tape. What does not fit on one tape cannot be written"
            )
        raise Problem("tape %s, file %d: %s" % (name, number, archive["problem"]), hint)


def commit(settings: "Settings", args: "argparse.Namespace") -> "dict[str, Any]":
    """Take what the host says of its archive: a line of JSON, and the compressed list of its files; raises Problem."""
    import json

    import files

    catalog = Catalog(settings.catalog_dir)
    source = sys.stdin.buffer
    try:
        said = json.loads(source.readline().decode())
        if (said["run"], said["host"], said["set"]) != (args.run, args.host, settings.set):
            raise Problem(
                "this is the report of run %(run)s of %(host)s, set %(set)s" % said, "it does not belong here"
            )
    except (ValueError, KeyError) as exc:
        raise Problem("the report of %s for run %s cannot be read: %r" % (args.host, args.run, exc)) from None
    listing = source.read()
    whole = ((tape["label"], catalogs.find(tape, args.run, args.host, settings.set)) for tape in catalog.tapes())
    having = [(archive["time"], label) for label, archive in whole if archive]
    if not having:
        raise Problem("run %s has no whole archive of %s in the catalog %s" % (args.run, args.host, catalog.folder))
    # of several tapes, that of the last attempt
    label = max(having)[1]
    with catalog.change(label) as tape:
        archive = catalogs.find(tape, args.run, args.host, settings.set)
        if archive is None:
            raise Problem("the archive of %s in run %s has gone from tape %s" % (args.host, args.run, label))
        if archive["bytes"] not in (None, said["bytes"]):
            archive["state"] = catalogs.FAILED
            archive["problem"] = "the host sent %d bytes, and %d are on the tape" % (said["bytes"], archive["bytes"])
        else:
            files.write_whole(catalog.list_path(archive), listing)
            for key in (
                "time",
                "level",
                "base",
                "paths",
                "bytes",
                "sha256",
                "tar",
                "warnings",
                "warning_count",
                "files",
            ):
                archive[key] = said[key]
            archive["state"] = catalogs.GOOD
    if archive["state"] == catalogs.FAILED:
        raise Problem("tape %s, file %d: %s" % (label, archive["file"], archive["problem"]), "run it again")
    return dict(archive, tape=label)
