# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""mark: records that a tape is retired or there again, or where it lies."""

from ...common import names
from ...common.problem import SETTINGS, Problem
from ...common.units import now_iso
from ..catalog import increments, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ... import answers
    from ..catalog.records import Archive, Tape
    from ..session import Session

LONGEST = 200  # characters of a reason


def mark(session: "Session", args: "argparse.Namespace") -> "answers.Marked":
    """Change the entry of a tape; with --dry, only report what would change; raises Problem."""
    catalog = session.catalog
    name = names.checked("tape", args.label)
    reason = checked(args)
    before = restorable(catalog.archives())
    if args.dry:
        changed = apply(catalog.known(name, catalog.tape(name)), args, reason)
    else:
        with catalog.change(name) as tape:
            changed = apply(tape, args, reason)
    every = catalog.archives()
    now = restorable(lost_on(every, name) if reason else every)
    gone = before - now
    left = {(host, of_set) for _run, host, of_set in now}
    return {
        "label": name,
        "changed": changed,
        "archives": len(gone),
        "increments": sum(1 for each in every if increments.key_of(each) in gone and each["tape"] != name),
        "hosts": sorted({host for _run, host, of_set in gone if (host, of_set) not in left}),
        "warnings": catalog.warnings(),
    }


def checked(args: "argparse.Namespace") -> str:
    """The reason, in one line; raises Problem."""
    reason = " ".join(args.reason.split())
    if args.location:
        names.checked("location", args.location)
    if reason and args.found:
        raise Problem("a tape cannot be retired and found", "set tape_reason or tape_found", kind=SETTINGS)
    if not (reason or args.found or args.location):
        hint = "set tape_reason to retire it, tape_found if it is there again, or tape_location"
        raise Problem("nothing to record of tape %s" % args.label, hint, kind=SETTINGS)
    if len(reason) > LONGEST or not reason.isprintable():
        what = "tape_reason must be one line of at most %d characters" % LONGEST
        raise Problem(what, kind=SETTINGS)
    return reason


def apply(tape: "Tape", args: "argparse.Namespace", reason: str) -> bool:
    """Change the entry; returns whether anything changed.  A retired tape keeps its date."""
    old = (tape.get("retired"), tape.get("location"))
    if reason:
        known = tape.get("retired", records.NOT_RETIRED)
        tape["retired"] = {"time": known["time"] or now_iso(), "reason": reason}
    elif args.found:
        tape.pop("retired", None)
    if args.location:
        tape["location"] = args.location
    return old != (tape.get("retired"), tape.get("location"))


def restorable(archives: "list[Archive]") -> "set[tuple[str, str, str]]":
    """The archives (run, host, set) that can be restored, because all their bases are there."""
    groups: "dict[tuple[str, str], list[Archive]]" = {}
    for archive in archives:
        if archive["state"] in (records.GOOD, records.LOST):
            groups.setdefault((archive["host"], archive["set"]), []).append(archive)
    return {increments.key_of(each) for group in groups.values() for each in increments.complete(group)}


def lost_on(archives: "list[Archive]", label: str) -> "list[Archive]":
    """The archives as they would be without a tape."""
    good = records.GOOD
    return [
        {**each, "state": records.LOST} if (each["tape"], each["state"]) == (label, good) else each for each in archives
    ]
