# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the level and base of the archive of each host, with figures of its last archive."""

import time

from ...common import names
from ...common.problem import SETTINGS, Problem
from ...common.units import iso, parse_time, say_size
from ..catalog import catalog as catalogs
from ..catalog import increments, records
from ..drives import label as labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..catalog.records import Archive
    from ..session import Session

SOON = 86400  # seconds: the longest expected run
SLACK = 60  # seconds that a clock may be set back without a warning


def base(session: "Session", args: "argparse.Namespace") -> "answers.Based":
    """The plan for the archive of one source, made when its host has its turn; raises Problem."""
    session.run = args.run
    bases = Bases(session, session.catalog.archives(), session.settings.reuse == "expired")
    planned = bases.plan(args.host, {"level": args.level, "bytes": None}, resume=True)
    return {"planned": planned, "warnings": bases.warnings + session.catalog.warnings()}


class Bases:
    """The possible bases for the archives of a run, with ``warnings`` for the user."""

    def __init__(self, session: "Session", archives: "list[Archive]", expires: bool):
        """``archives``: all, oldest first; ``expires``: whether jobs may reuse tapes with expired archives."""
        self.settings, self.run = session.settings, session.run
        self.of_host = catalogs.by_host(archives)
        self.warnings: "list[str]" = []
        self.keep: "set[tuple[str, str, str]] | None" = None
        if expires:
            # the base of an increment must not expire during the run, because its tape could be reused
            soon = time.time() + min(SOON, self.settings.retention // 4)
            own = [archive for archive in archives if archive["set"] == self.settings.set]
            self.keep = increments.needed(own, soon, self.settings.expire_last)

    def plan(self, host: str, wish: "dict[str, Any]", resume: bool) -> "answers.HostPlanned":
        """The plan for one host; raises Problem."""
        every = self.of_host.get(host, [])
        own = [archive for archive in every if archive["set"] == self.settings.set]
        entry = self.entry(host, wish, own)
        entry["machine_id"] = None if self.settings.accept_new_machine else catalogs.machine_of(every, host)
        entry["skip"] = resume and any(
            archive["run"] == self.run and archive["state"] == records.GOOD for archive in own
        )
        attempts = [archive for archive in own if archive["run"] == self.run]
        last = attempts[-1] if attempts else None
        entry["written"] = bool(last and last["state"] == records.WRITTEN and last.get("attempt"))
        return entry

    def entry(self, host: str, wish: "dict[str, Any]", own: "list[Archive]") -> "answers.HostPlanned":
        """Level, base and last figures; ``own``: the archives of the host and this set, oldest first."""
        settings = self.settings
        others = [archive for archive in own if archive["run"] != self.run]
        good = [archive for archive in others if increments.is_sound(archive)]
        with_lost = [archive for archive in others if increments.is_sound(archive) or archive["state"] == records.LOST]
        bases = [
            each
            for each in increments.complete(with_lost)
            if self.keep is None or (each["run"], host, each["set"]) in self.keep
        ]
        level, base = self.level_of(host, wish["level"], bases, lost_tapes(own))
        # the newest archive of each level, as possible bases of later ones
        newest = {archive["level"]: archive["run"] for archive in bases}
        last = next((archive for archive in reversed(good) if archive["level"] == level), None)
        size = wish["bytes"] or (last["bytes"] if last else None)
        entry: "answers.HostPlanned" = {
            "skip": False,
            "written": False,
            "machine_id": None,
            "level": level,
            "base": base["run"] if base else None,
            "base_sha256": before_filters(base) if base else None,
            "keep": sorted(set(newest.values()) | unreported(own, self.run)),
            "bytes": size,
            "elapsed": last.get("elapsed") if last else None,
            "ahead": ahead(base) if base else 0,
            "room": settings.capacity - labels.LABEL_BLOCK
            if settings.capacity
            else None,  # bytes on a tape for one archive
            "problem": "",
        }
        if settings.capacity and size and size + labels.LABEL_BLOCK > settings.capacity:
            what = "%s has %s, which does not fit on one tape (tape_capacity): split tape_paths into several tape_set"
            entry["problem"] = what % (host, say_size(size))
        return entry

    def level_of(
        self, host: str, level: int, bases: "list[Archive]", lost: "list[str]"
    ) -> "tuple[int, Archive | None]":
        """The level that is possible, and its base; ``lost``: retired tapes with its archives; raises Problem."""
        if not 0 <= level <= names.HIGHEST:
            raise Problem(
                "tape_level of %s is %d" % (host, level),
                "it must be from 0 (everything) to %d" % names.HIGHEST,
                kind=SETTINGS,
            )
        base = next((archive for archive in reversed(bases) if archive["level"] < level), None)
        if level and base is None:
            why = "because there is no archive to base it on"
            why += " without the retired %s" % ", ".join(lost) if lost else ""
            named = host if self.settings.set == "all" else "%s (set %s)" % (host, self.settings.set)
            self.warnings.append("%s: level 0 instead of %d, %s" % (named, level, why))
            level = 0
        return level, base if level else None


def lost_tapes(own: "list[Archive]") -> "list[str]":
    """The retired tapes that have archives of these."""
    return sorted({archive["tape"] for archive in own if archive["state"] == records.LOST})


def unreported(own: "list[Archive]", run: str) -> "set[str]":
    """Other runs that still need their state on this host, because it has not yet reported its archive."""
    since = iso(time.time() - 2 * SOON)
    open_states = (records.WRITING, records.WRITTEN)
    return {each["run"] for each in own if each["state"] in open_states and each["time"] > since} - {run}


def before_filters(archive: "Archive") -> "str | None":
    """The SHA-256 of an archive before its filters, which its host has recorded, too; None if it is unknown."""
    known: "str | None" = archive.get("clear", {}).get("sha256") if archive.get("filters") else archive["sha256"]
    return known


def ahead(base: "Archive") -> int:
    """Seconds by which the host's clock was ahead of the tape host's at the base, 0 if it was about right.

    If the clock is right now, tar would treat changes within these seconds as older than the base.
    """
    found = int(parse_time(base.get("host_time") or base["time"]) - parse_time(base["time"]))
    return found if found > SLACK else 0
