# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""chain: selects the archives for a restore."""

import posixpath
import zlib

from ...common import filters, names
from ...common.problem import NOT_FOUND, Problem
from ...common.units import count, parse_time
from ..catalog import catalog as catalogs
from ..catalog import increments, lists, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..catalog.catalog import Catalog
    from ..catalog.records import Archive
    from ..session import Session

KEYS = (
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
    "filters",
    "files",
    "source",
)


def chain(session: "Session", args: "argparse.Namespace") -> "answers.Chain":
    """The archives for restoring a host and set to a time, in order; raises Problem."""
    catalog = session.catalog
    good = catalog.good(args.host, session.settings.set)  # and lost ones
    runs = [archive["run"] for archive in good]
    if args.as_of in runs:  # up to this run, whose archives are later than its name
        good = good[: len(runs) - runs[::-1].index(args.as_of)]
    elif args.as_of:
        good = catalog.good(args.host, session.settings.set, parse_time(args.as_of))
    if not any(archive["state"] == records.GOOD for archive in good):
        raise nothing_good(session, args)
    try:
        archives = increments.chain(good)
    except Problem as exc:  # the archive may be on a tape with an unreadable file
        raise Problem(exc.what, "; ".join([exc.hint] + catalog.warnings()), kind=exc.kind) from None
    for each in archives:
        filters.check(each.get("filters", []), "the archive of %(host)s of run %(run)s on tape %(tape)s" % each)
    skipped = first_needed(catalog, archives, args.path)
    archives = archives[skipped:]
    tapes = list(dict.fromkeys(archive["tape"] for archive in archives))
    if any(archive["state"] == records.LOST for archive in archives):
        raise lost(catalog, archives, increments.complete(good))
    # in Jinja, "clear" would be the method of a dict
    told: "list[Any]" = [
        {
            **{key: archive.get(key) for key in KEYS},
            "unfiltered": archive.get("clear"),
            "requested": requested(catalog, archive, args.path) if args.early_exit else None,
        }
        for archive in archives
    ]
    return {
        "archives": told,
        "tapes": tapes,
        "places": places(catalog, tapes),
        "skipped": skipped,
        "warnings": catalog.warnings(),
    }


def first_needed(catalog: "Catalog", archives: "list[Archive]", paths: "list[str]") -> int:
    """The index of the first archive to read for these paths: an increment has each of its files whole.

    Later archives are always read, because only they tell whether a file was deleted.  It is 0 unless the lists show an
    archive for each path, as a file: a directory has only its changed files in an increment.
    """
    first = len(archives) - 1
    for path in paths:
        wanted = inside(path)
        while first and not listed(catalog, archives[first], wanted):
            first -= 1
    return first if paths else 0


def requested(catalog: "Catalog", archive: "Archive", paths: "list[str]") -> "int | None":
    """How many entries of the archive are these paths or below them; None if that is unknown, or for everything."""
    wanted = {inside(path) for path in paths}
    if archive.get("unlisted") or not wanted or b"" in wanted:
        return None
    try:
        return lists.count_below(catalog, archive, wanted)
    except (OSError, EOFError, zlib.error):
        return None


def inside(path: str) -> bytes:
    """A path from the user as the lists have it."""
    return names.encode(posixpath.normpath("/" + path.lstrip("/"))).strip(b"/")


def listed(catalog: "Catalog", archive: "Archive", wanted: bytes) -> bool:
    """Whether the archive has this file, as far as its list can be read."""
    try:
        return not archive.get("unlisted") and lists.has_file(catalog, archive, wanted)
    except (OSError, EOFError, zlib.error):
        return False


def places(catalog: "Catalog", tapes: "list[str]") -> "dict[str, str]":
    """Where these tapes lie, of those for which that is known."""
    found = [catalog.known(label, catalog.tape(label)) for label in tapes]
    return {tape["label"]: tape["location"] for tape in found if tape.get("location")}


def lost(catalog: "Catalog", archives: "list[Archive]", others: "list[Archive]") -> Problem:
    """The problem that archives of a chain were on retired tapes, and the newest state that is left."""
    gone = next(archive for archive in archives if archive["state"] == records.LOST)
    last = archives[-1]
    needs = "the archive of %s of %s (run %s)" % (last["host"], last["time"], last["run"])
    needs += " was" if gone is last else " needs that of run %s, which was" % gone["run"]
    tape = catalog.known(gone["tape"], catalog.tape(gone["tape"]))
    what = "%s on tape %s, and that %s" % (needs, gone["tape"], catalogs.why_retired(tape))
    if not others:
        hint = "nothing else is left of this host; if the tape is there again, run tape_retire with tape_found"
    else:
        hint = "without it, the newest state is of %s: restore that with restore_as_of=%s"
        hint %= (others[-1]["time"], others[-1]["run"])
    return Problem(what, hint, kind=NOT_FOUND)


def nothing_good(session: "Session", args: "argparse.Namespace") -> Problem:
    """The problem that there is no archive to restore, and a list of the existing ones."""
    catalog = session.catalog
    archives = catalog.archives()
    others = sorted({archive["host"] for archive in archives if archive["state"] == records.GOOD})
    whose = (args.host, session.settings.set, records.WRITTEN)
    until = parse_time(args.as_of) if args.as_of else float("inf")
    unsure = sum(
        1
        for each in archives
        if (each["host"], each["set"], each["state"]) == whose and parse_time(each["time"]) <= until
    )
    hints = ["the catalog %s has archives of: %s" % (catalog.folder, ", ".join(others) or "no host")]
    gone = sorted({each["tape"] for each in archives if each["host"] == args.host and each["state"] == records.LOST})
    if gone:
        tapes = "tape" if len(gone) == 1 else "tapes"
        hints.append("its archives on the retired %s %s count no more" % (tapes, ", ".join(gone)))
    if unsure:
        hints.append(
            "%s has %s to be verified first: run verify with tape_of_host=%s"
            % (args.host, count(unsure, "archive"), args.host)
        )
    return Problem(
        "there is no good archive of %s (set %s)%s"
        % (args.host, session.settings.set, " up to " + args.as_of if args.as_of else ""),
        "; ".join(hints + catalog.warnings()),
        kind=NOT_FOUND,
    )
