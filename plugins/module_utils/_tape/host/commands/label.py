# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""label: labels a tape; if it may still be needed, the user must confirm overwriting it by its fingerprint."""

import os

from ...common import filters, names
from ...common.problem import CONFIRM, Problem
from ...common.units import count, some
from ..catalog import catalog as catalogs
from ..catalog import clock, increments, records
from ..drives import label as labels
from ..reserve import mount, volume
from ..reserve import reservation as reservations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..reserve.reservation import Reservation
    from ..session import Session


def label(session: "Session", args: "argparse.Namespace") -> "answers.Labelled":
    """Label the tape in a drive; to overwrite one that is not blank, its fingerprint or barcode must be given."""
    settings = session.settings
    name = names.checked("tape", args.label)
    device = args.device or (settings.devices[0] if len(settings.devices) == 1 else "")
    if not device:
        raise Problem(
            "tape_device is required",
            "set it to one of: %s" % (", ".join(settings.devices) or "none, set tape_devices"),
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
            raise Problem("the tape in %s is write-protected" % device, "move its write-protect tab, or load another")
        known = session.catalog.tape(name)
        block = held.drive.first_block()
        may_overwrite(held, block, args, foreign)
        if known and known["id"] and known["id"] != held.label.get("id") and "relabelling" not in known:
            raise Problem(
                "the catalog already has another tape %s, labelled %s" % (name, known["labelled"]),
                "choose another name, or remove %s if that tape no longer exists" % session.catalog.tape_path(name),
            )
        held.drive.prepare(settings.compression)
        volume.set_encryption(held, False)
        made = labels.make(
            name,
            settings.block_size,
            args.barcode or held.label.get("barcode") or "",
            os.uname().nodename,
            filters.recipe(settings.filters),
        )
        former = "" if foreign else held.label.get("label", "")
        volume.write_label(held, made, known, former)
    finally:
        held.release()
    told: "Any" = {key: made[key] for key in ("label", "id", "barcode", "block_size", "labelled")}
    labelled: "answers.Labelled" = told
    return labelled


def may_overwrite(held: "Reservation", block: bytes, args: "argparse.Namespace", foreign: str) -> None:
    """Raises Problem if this tape may not be labelled, with the fingerprint that confirms overwriting it."""
    if not block:
        return
    tape = None if foreign else held.tape
    more = unlisted(held, tape) if tape else ""
    if tape and not more and not any(each["kind"] == records.ARCHIVE for each in tape["archives"]):
        return
    if tape and held.settings.reuse == "never":
        raise Problem("tape %s contains archives, and tape_reuse is never" % tape["label"])
    # with unknown data the fingerprint differs, so that nobody confirms it unread
    proof = labels.fingerprint(b"more" + block if more else block)
    barcode = "" if more else (tape["barcode"] if tape else "") or held.label.get("barcode")
    if args.overwrite and args.overwrite in (proof, barcode):
        return
    hint = "to overwrite it, set tape_overwrite=%s%s" % (proof, ", or its barcode %s" % barcode if barcode else "")
    if more:
        hint = "tape_inventory with tape_rebuild adds it to the catalog; " + hint
    if args.overwrite:
        hint = "%s is neither its fingerprint nor its barcode; %s" % (args.overwrite, hint)
    what = "the tape in %s holds %s" % (held.drive.path, content(held, block, tape, more))
    raise Problem(what, hint, kind=CONFIRM)


def unlisted(held: "Reservation", tape: "records.Tape") -> str:
    """The data on the tape that the catalog does not know, as a sentence; "" for none."""
    try:
        return volume.unknown_data(held, tape)
    except Problem as exc:
        return "the end of its data cannot be found (%s)" % exc.what


def content(held: "Reservation", block: bytes, tape: "records.Tape | None", more: str) -> str:
    """The contents of a tape, for a user who may overwrite it."""
    if tape is None:
        if held.label:
            return "tape %s, which is not in this catalog" % held.label["label"]
        return labels.describe(block)
    own = sum(1 for archive in tape["archives"] if archive["kind"] == records.ARCHIVE)
    text = "%s of tape %s" % (count(own, "archive"), tape["label"])
    if more:
        return text + "; but " + more
    text += ", which %s" % catalogs.why_retired(tape) if "retired" in tape else ""
    text += not_expired(tape, held.catalog.archives())
    if held.catalog.damaged:
        text += "; archives in unreadable files may be based on them (%s)" % "; ".join(held.catalog.warnings())
    doubt = clock.doubt(held.session, held.catalog.archives())
    return text + ("; " + doubt if doubt else "")


def not_expired(tape: "records.Tape", archives: "list[records.Archive]") -> str:
    """A warning for the end of a sentence, if archives of a tape would be overwritten too early."""
    if not increments.is_expired(tape, increments.needed(archives, expire_last=True)):
        return ", some of which are within their retention"
    hosts = increments.hosts_on(tape, increments.only_last(archives))
    return ", among them the last good one of " + some(hosts) if hosts else ""
