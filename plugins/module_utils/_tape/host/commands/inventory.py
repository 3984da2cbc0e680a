# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelling tapes, seeing what there is, finding a file, and what a restore needs."""

import itertools
import os
import zlib

from ...common import names
from ...common.problem import CONFIRM, DAMAGED, NOT_FOUND, Problem
from ...common.units import count, iso, parse_time, some
from ..catalog import catalog as catalogs
from ..catalog import clock, lists
from ..drives import label as labels
from ..reserve import leases, mount, volume
from ..reserve import reservation as reservations
from . import rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from ..catalog.catalog import Catalog
    from ..reserve.reservation import Reservation
    from ..session import Session

FOUND_MOST = 200  # what is found, before it is too much to read


def label(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """Label the tape in a drive; what is on one that is not blank must be named by its fingerprint or barcode."""
    settings = session.settings
    name = names.checked("tape", args.label)
    device = args.device or (settings.devices[0] if len(settings.devices) == 1 else "")
    if not device:
        raise Problem(
            "which drive?", "give tape_device, one of: %s" % (", ".join(settings.devices) or "none, set tape_devices")
        )
    held = reservations.reserve(session, device, "labelling", reservations.SCAN_TIME)
    try:
        if held.drive.is_loading():
            mount.wait_ready(held)
        foreign = held.identify()
        status = held.drive.status()
        if not status.loaded:
            raise Problem("drive %s has no tape in it" % device, "load one")
        if status.protected:
            raise Problem("the tape in %s is write-protected" % device, "slide its tab, or load another")
        known = session.catalog.tape(name)
        block = held.drive.first_block()
        may_overwrite(held, block, args, foreign)
        if known and known["id"] and known["id"] != held.label.get("id") and "relabelling" not in known:
            raise Problem(
                "there is a tape %s already, labelled %s, and it is not this one" % (name, known["labelled"]),
                "give another name, or remove %s once that tape is gone" % session.catalog.tape_path(name),
            )
        held.drive.prepare(settings.compression)
        volume.encrypt(held, False)
        made = labels.make(
            name, settings.block_size, args.barcode or held.label.get("barcode") or "", os.uname().nodename
        )
        former = "" if foreign else held.label.get("label", "")
        volume.write_label(held, made, known, former)
    finally:
        held.release()
    return {key: made[key] for key in ("label", "id", "barcode", "block_size", "labelled")}


def may_overwrite(
    held: "Reservation",
    block: bytes,
    args: "argparse.Namespace",
    foreign: str,
) -> None:
    """Whether this tape may be labelled; raises Problem, with what a person repeats to say that it may."""
    if not block:
        return
    tape, more = held.tape, ""
    if tape is not None and not foreign:
        try:
            more = volume.unknown_data(held, tape)
        except Problem as exc:
            more = "the end of its data cannot be found (%s)" % exc.what
        if not more and not any(archive["kind"] == catalogs.ARCHIVE for archive in tape["archives"]):
            return
        if held.settings.reuse == "never":
            raise Problem("tape %s has archives, and tape_reuse is never" % tape["label"])
        own = [archive for archive in tape["archives"] if archive["kind"] == catalogs.ARCHIVE]
        what = "%s of tape %s" % (count(len(own), "archive"), tape["label"])
        if more:
            what += "; but " + more
        else:
            what += not_expired(tape, held.catalog.archives())
            if held.catalog.damaged:
                what += "; what cannot be read may need them (%s)" % "; ".join(held.catalog.warnings())
            doubt = clock.doubt(held.session, held.catalog.archives())
            what += "; " + doubt if doubt else ""
    else:
        what = (
            labels.describe(block)
            if not held.label
            else "tape %s, which this catalog does not know" % held.label["label"]
        )
    # of a tape that has more than the catalog knows the proof is another one, so that nobody repeats it unread
    proof = labels.fingerprint(b"more" + block if more else block)
    barcode = ((tape or {}) if not foreign else {}).get("barcode") or held.label.get("barcode")
    barcode = "" if more else barcode
    if args.overwrite and args.overwrite in (proof, barcode):
        return
    hint = "to overwrite it, say tape_overwrite=%s%s" % (proof, ", or its barcode %s" % barcode if barcode else "")
    if more:
        hint = "tape_inventory with tape_rebuild reads it in; " + hint
    if args.overwrite:
        hint = "%s is neither its fingerprint nor its barcode; %s" % (args.overwrite, hint)
    raise Problem("the tape in %s holds %s" % (held.drive.path, what), hint, kind=CONFIRM)


def not_expired(tape: "catalogs.Tape", archives: "list[catalogs.Archive]") -> str:
    """What a person should know before the archives of a tape are overwritten, for the end of a sentence."""
    if not catalogs.is_expired(tape, catalogs.needed(archives, expire_last=True)):
        return ", not all of which are past their retention"
    hosts = catalogs.hosts_on(tape, catalogs.only_last(archives))
    return ", among them the last good one of " + some(hosts) if hosts else ""


def look(
    session: "Session",
    path: str,
    why: str,
    first: "Callable[[Reservation], None]" = lambda held: None,
) -> "dict[str, Any]":
    """The tape in a drive, or why that cannot be told; ``first`` is done with the drive before."""
    entry: "dict[str, Any]" = {"device": path, "label": None, "message": ""}
    try:
        held = reservations.reserve(session, path, why, reservations.SCAN_TIME)
        try:
            first(held)
            entry["message"] = held.identify()
            entry["label"] = held.label.get("label")
        finally:
            held.release()
    except Problem as exc:
        entry["message"] = str(exc)
    return entry


def inventory(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """What is in each drive, and what the catalog knows; with --rebuild, first what the tapes themselves say."""
    catalog = session.catalog
    rebuilt: "list[dict[str, Any]]" = []

    def read_in(held: "Reservation") -> None:
        if args.rebuild:
            rebuilt.append(rebuild.rebuild(held))

    drives = [look(session, path, "taking inventory", read_in) for path in session.settings.devices]
    bad = [each for each in rebuilt if each["errors"]]
    if bad:
        raise Problem(
            "; ".join("tape %s could not be read: %s" % (each["label"], "; ".join(each["errors"])) for each in bad),
            "all that the catalog knew is kept, and %s added. Clean the drive, or try another one, and rebuild again"
            % ", ".join("%s of %s" % (count(each["added"], "archive"), each["label"]) for each in rebuilt),
            kind=DAMAGED,
        )
    archives = catalog.archives()
    doubt = clock.doubt(session, archives)
    keep = None if doubt else catalogs.needed(archives, expire_last=session.settings.expire_last)
    last = catalogs.only_last(archives)
    known = [dict(summary(catalog, tape, keep), last_of=catalogs.hosts_on(tape, last)) for tape in catalog.tapes()]
    warnings = catalog.warnings() + [text for text in [doubt] if text]
    warnings += [text for each in rebuilt for text in each["warnings"]]
    rebuilt = [{key: each[key] for key in ("label", "archives", "added")} for each in rebuilt]
    return {"drives": drives, "tapes": known, "rebuilt": rebuilt, "warnings": warnings}


def summary(catalog: "Catalog", tape: "catalogs.Tape", keep: "set[tuple[str, str, str]] | None") -> "dict[str, Any]":
    """One tape for a list of them; ``keep``: None if nothing expires."""
    own = [archive for archive in tape["archives"] if archive["kind"] == catalogs.ARCHIVE]
    lease = leases.read(catalog, tape["label"])
    states = [archive["state"] for archive in own]
    return {
        "label": tape["label"],
        "barcode": tape["barcode"],
        "archives": len(own),
        "good": states.count(catalogs.GOOD),
        "failed": states.count(catalogs.FAILED),
        "bytes": catalogs.used(tape),
        "full": tape["full"],
        # with a damaged file nobody knows what is based on it
        "expired": keep is not None and not catalog.damaged and catalogs.is_expired(tape, keep),
        "first": own[0]["time"] if own else None,
        "last": own[-1]["time"] if own else None,
        "keep_until": iso(max(archive["keep_until"] for archive in own)) if own else None,
        "run": lease["run"] if lease else None,
    }


def find(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """The archives that have a path, which may be a pattern of the shell: the newest first."""
    catalog = session.catalog
    wanted = args.path.strip("/").encode("utf-8", "surrogateescape")
    found: "list[dict[str, Any]]" = []
    more = False
    unread = []
    for archive in reversed(catalog.archives(args.host)):
        if archive["state"] != catalogs.GOOD:
            continue
        try:
            matches = lists.search(catalog, archive, wanted)
            names_of_it = list(itertools.islice(matches, FOUND_MOST + 1 - len(found)))
        except (OSError, EOFError, zlib.error):
            unread.append("%s of run %s" % (archive["host"], archive["run"]))
            continue
        entry = {key: archive[key] for key in ("host", "set", "run", "time", "level", "tape", "file")}
        more = len(found) + len(names_of_it) > FOUND_MOST
        found += [
            dict(entry, path="/" + name.decode("utf-8", "backslashreplace"))
            for name in names_of_it[: FOUND_MOST - len(found)]
        ]
        if more:
            break
    return {"found": found, "more": more, "unread": unread, "warnings": catalog.warnings()}


def chain(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """The archives that bring a host's set back as it was at a time, in their order; raises Problem."""
    catalog = session.catalog
    good = catalog.good(args.host, session.settings.set)
    runs = [archive["run"] for archive in good]
    if args.as_of in runs:  # up to this run, whose archives are all later than its name says
        good = good[: len(runs) - runs[::-1].index(args.as_of)]
    elif args.as_of:
        good = catalog.good(args.host, session.settings.set, parse_time(args.as_of))
    if not good:
        raise nothing_good(session, args)
    try:
        archives = catalogs.chain(good)
    except Problem as exc:  # it may be on a tape whose file cannot be read
        raise Problem(exc.what, "; ".join([exc.hint] + catalog.warnings()), kind=exc.kind) from None
    keys = (
        "run",
        "host",
        "set",
        "time",
        "host_time",
        "level",
        "tape",
        "file",
        "block_size",
        "bytes",
        "sha256",
        "verified",
        "incomplete",
    )
    names = list(dict.fromkeys(archive["tape"] for archive in archives))
    return {
        "archives": [{key: archive.get(key) for key in keys} for archive in archives],
        "tapes": names,
        "warnings": catalog.warnings(),
    }


def nothing_good(session: "Session", args: "argparse.Namespace") -> Problem:
    """That there is no archive to restore from, and what there is instead."""
    catalog = session.catalog
    archives = catalog.archives()
    others = sorted({archive["host"] for archive in archives if archive["state"] == catalogs.GOOD})
    whose = (args.host, session.settings.set, catalogs.WRITTEN)
    until = parse_time(args.as_of) if args.as_of else float("inf")
    unsure = sum(
        1
        for each in archives
        if (each["host"], each["set"], each["state"]) == whose and parse_time(each["time"]) <= until
    )
    hints = ["the catalog %s has archives of: %s" % (catalog.folder, ", ".join(others) or "nobody")]
    if unsure:
        hints.append(
            "%s has %s that verify has to read first: verify with tape_of_host=%s"
            % (args.host, count(unsure, "archive"), args.host)
        )
    return Problem(
        "there is no good archive of %s (set %s)%s"
        % (args.host, session.settings.set, " up to " + args.as_of if args.as_of else ""),
        "; ".join(hints + catalog.warnings()),
        kind=NOT_FOUND,
    )
