# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""inventory: lists drives and tapes, and rebuilds the catalog of a tape from the tape itself."""

from ...common.problem import DAMAGED, Problem
from ...common.units import count, iso
from ..catalog import catalog as catalogs
from ..catalog import clock, increments, records
from ..reserve import leases
from ..reserve import reservation as reservations
from . import rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from ... import answers
    from ..catalog.catalog import Catalog
    from ..reserve.reservation import Reservation
    from ..session import Session


def look(
    session: "Session",
    path: str,
    why: str,
    first: "Callable[[Reservation], None]" = lambda held: None,
) -> "answers.Drive":
    """The tape in a drive, or why it is unknown; ``first`` is called with the drive before."""
    entry: "answers.Drive" = {"device": path, "label": None, "message": ""}
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


def inventory(session: "Session", args: "argparse.Namespace") -> "answers.Inventory":
    """List drives and tapes; with --rebuild, first add the contents of the loaded tapes to the catalog."""
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
            "the catalog keeps its entries (added: %s). Clean the drive, or try another one, and rebuild again"
            % ", ".join("%s of %s" % (count(each["added"], "archive"), each["label"]) for each in rebuilt),
            kind=DAMAGED,
        )
    archives = catalog.archives()
    doubt = clock.doubt(session, archives)
    keep = None if doubt else increments.needed(archives, expire_last=session.settings.expire_last)
    last = increments.only_last(archives)
    known: "list[answers.Tape]" = [
        {**summary(catalog, tape, keep), "last_of": increments.hosts_on(tape, last)} for tape in catalog.tapes()
    ]
    warnings = catalog.warnings() + [text for text in [doubt] if text]
    warnings += [text for each in rebuilt for text in each["warnings"]]
    added: "list[answers.Rebuilt]" = [
        {"label": each["label"], "archives": each["archives"], "added": each["added"]} for each in rebuilt
    ]
    return {"drives": drives, "tapes": known, "rebuilt": added, "warnings": warnings}


def summary(catalog: "Catalog", tape: "records.Tape", keep: "set[tuple[str, str, str]] | None") -> "answers.Tape":
    """One tape, for a list; ``keep`` is None if nothing expires."""
    own = [archive for archive in tape["archives"] if archive["kind"] == records.ARCHIVE]
    lease = leases.read(catalog, tape["label"])
    states = [archive["state"] for archive in own]
    return {
        "label": tape["label"],
        "barcode": tape["barcode"],
        "archives": len(own),
        "good": 0 if "retired" in tape else states.count(records.GOOD),
        "failed": states.count(records.FAILED),
        "bytes": catalogs.used(tape),
        "full": tape["full"],
        # archives in a damaged file may be based on it
        "expired": keep is not None
        and not catalog.damaged
        and "retired" not in tape
        and increments.is_expired(tape, keep),
        "first": own[0]["time"] if own else None,
        "last": own[-1]["time"] if own else None,
        "keep_until": iso(max(archive["keep_until"] for archive in own)) if own else None,
        "run": lease["run"] if lease else None,
        "retired": tape.get("retired"),
        "location": tape.get("location", ""),
    }
