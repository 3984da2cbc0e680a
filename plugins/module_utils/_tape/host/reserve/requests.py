# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for a tape, and how suitable a tape is."""

import fnmatch

from ...common.units import iso, say_size, some
from ..catalog import catalog as catalogs
from ..catalog import clock, increments
from . import leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from ..catalog.records import Tape
    from ..session import Session
    from .reservation import Reservation

LEASED, APPENDED, EMPTY, EXPIRED, UNFIT = range(5)  # best first
RESERVED = 9  # suitable, but reserved by another process now


class WriteRequest:
    """A request to write an archive of a run, of ``expect`` bytes (0: unknown)."""

    label = ""  # any
    what = "the archive"

    def __init__(self, session: "Session", expect: int = 0):
        self.settings, self.catalog, self.run = session.settings, session.catalog, session.run
        self.expect = expect
        self.archives = self.catalog.archives()
        self.keep = increments.needed(self.archives, expire_last=self.settings.expire_last)
        self.keep_without_last: "set[tuple[str, str, str]] | None" = None
        self.damaged = self.catalog.warnings()
        self.doubt = clock.doubt(session, self.archives)
        self.withheld = False  # whether a tape would do if there was none
        self.refused: "set[str]" = set()  # unsuitable tapes in drives

    def rate_loaded(self, held: "Reservation") -> "tuple[int, str]":
        """The rank of the tape in a drive, and the reason if it is unsuitable ("" if not); raises Problem."""
        foreign = held.identify()
        tape = held.tape
        if foreign or tape is None:
            return UNFIT, foreign
        if held.drive.status().protected:
            rank, reason = UNFIT, "is write-protected"
        else:
            rank, reason = self.rate(tape)
        if reason:
            self.refused.add(tape["label"])
        return rank, "its tape %s %s" % (tape["label"], reason) if reason else ""

    def rate(self, tape: "Tape") -> "tuple[int, str]":
        """The same for a tape in the catalog, in a drive or not."""
        settings = self.settings
        if "retired" in tape:
            return UNFIT, catalogs.why_retired(tape)
        if not any(fnmatch.fnmatchcase(tape["label"], pattern) for pattern in settings.labels):
            return UNFIT, "is not one of tape_labels (%s)" % ", ".join(settings.labels)
        lease = leases.read(self.catalog, tape["label"])
        if lease and lease["run"] != self.run and not settings.steal:
            return RESERVED, "belongs to run %s until %s (tape_steal overrides this)" % (
                lease["run"],
                iso(lease["until"]),
            )
        if "relabelling" in tape:
            return EXPIRED, ""
        if self.expired(tape):
            return (EXPIRED, "") if self.fits(0) else (UNFIT, "is too small")
        if tape["full"]:
            return UNFIT, "is full" + self.kept(tape)
        if not self.fits(catalogs.used(tape)):
            return UNFIT, "has less than %s left%s" % (say_size(self.expect), self.kept(tape))
        if lease and lease["run"] == self.run:
            return LEASED, ""
        return (APPENDED if tape["archives"] else EMPTY), ""

    def expired(self, tape: "Tape") -> bool:
        """Whether a job may reuse this tape."""
        if (
            self.settings.reuse != "expired" or "retired" in tape or self.damaged
        ):  # archives in a damaged file may be based on it
            return False
        if self.doubt:  # nor that it is past its retention
            return False
        return increments.is_expired(tape, self.keep, self.run)

    def kept(self, tape: "Tape") -> str:
        """Why a tape with expired archives is not reused, for the end of a sentence."""
        if self.settings.reuse != "expired":
            return ""
        if self.damaged and increments.is_expired(tape, self.keep, self.run):
            return ", and is not reused while the catalog is damaged (%s)" % "; ".join(self.damaged)
        if self.doubt and increments.is_expired(tape, self.keep, self.run):
            self.withheld = True
            return ", and is not reused: " + self.doubt
        if self.settings.expire_last:
            return ""
        if self.keep_without_last is None:
            self.keep_without_last = increments.needed(self.archives, expire_last=True)
        hosts = increments.hosts_on(tape, self.keep - self.keep_without_last)
        if not hosts or not increments.is_expired(tape, self.keep_without_last, self.run):
            return ""
        return ", and has the last good archive of %s (set tape_expire_last to reuse it)" % some(hosts)

    def fits(self, taken: int) -> bool:
        return not self.settings.capacity or taken + self.expect <= self.settings.capacity


class ReadRequest:
    """A request to read the tape with a label."""

    refused: "set[str]" = set()
    withheld = False

    def __init__(self, label: str, what: str):
        self.label = label
        self.what = what

    def rate_loaded(self, held: "Reservation") -> "tuple[int, str]":
        foreign = held.identify()
        if held.tape and not foreign:
            rank, reason = self.rate(held.tape)
            return rank, "its tape %s %s" % (held.tape["label"], reason) if reason else ""
        return UNFIT, foreign

    def rate(self, tape: "Tape") -> "tuple[int, str]":
        return (LEASED, "") if tape["label"] == self.label else (UNFIT, "is not %s" % self.label)


if TYPE_CHECKING:
    Request = Union[WriteRequest, ReadRequest]
