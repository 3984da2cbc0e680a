# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the catalog in memory: waiting processes read them several times a second, and few of them change.

A file is read again if its time, size or inode has changed, or if it is so new that another change could have the same
time.
"""

import errno
import os
import time

from ...common.problem import DAMAGED, Problem
from . import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

YOUNG = 2.0  # seconds
# errors of open(2) and read(2) for unreadable files; temporary errors are not among them
BAD = (errno.EIO, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EUCLEAN, errno.EBADMSG, errno.ENXIO, errno.ENODATA)
FORBIDDEN = (errno.EACCES, errno.EPERM)


class File:
    """A catalog file as last read: a tape, or the reason why it is unreadable."""

    def __init__(self, path: str, label: str):
        self.path = path
        self.label = label
        self.stamp: "tuple[int, int, int] | None" = None  # None: must be read again
        self.tape: "Any" = {}  # a Tape, once it was read
        self.problem: "Problem | None" = None

    def is_current(self) -> bool:
        return self.stamp is not None and self.stamp == stamp_of(os.stat(self.path))

    def read(self) -> None:
        """Read the file; raises OSError, such as FileNotFoundError."""
        try:
            with open(self.path, "rb") as source:
                now = os.fstat(source.fileno())
                data = source.read()
            self.tape = records.parse(data, self.label, self.path)
        except ValueError as exc:
            self.problem = self.damage(str(exc))
        except Problem as exc:
            self.problem = exc
        except OSError as exc:
            link = exc.errno == errno.ENOENT and os.path.islink(self.path)  # a dangling link
            if exc.errno not in BAD + FORBIDDEN and not link:
                raise
            self.problem = self.forbidden(exc) if exc.errno in FORBIDDEN else self.damage(str(exc.strerror))
            return
        if now.st_mtime + YOUNG < time.time():
            self.stamp = stamp_of(now)

    def archives(self, host: str = "") -> "list[records.Archive]":
        """The archives of all hosts or of one, each with the name of its tape; those of a retired tape are lost."""
        found: "list[records.Archive]" = self.tape["archives"]
        own = [archive for archive in found if archive["kind"] == records.ARCHIVE and host in ("", archive["host"])]
        with_tape: "list[records.Archive]" = [{**archive, "tape": self.label} for archive in own]
        for archive in with_tape if "retired" in self.tape else ():
            if archive["state"] != records.FAILED:
                archive["state"] = records.LOST
        return with_tape

    def damage(self, why: str) -> "Problem":
        return Problem(
            "%s is damaged (%s), so the catalog has no entries of tape %s" % (self.path, why, self.label),
            "load the tape and run tape_inventory with tape_rebuild, or restore the file",
            kind=DAMAGED,
        )

    def forbidden(self, exc: OSError) -> "Problem":
        return Problem(
            "%s: %s, so the catalog has no entries of tape %s" % (self.path, exc.strerror, self.label),
            "this program runs as user ID %d: set tape_become, or give the file to that user" % os.geteuid(),
        )

    def copy(self) -> "records.Tape":
        """A copy of the tape that may be changed; raises Problem."""
        if self.problem:
            raise Problem(self.problem.what, self.problem.hint, kind=self.problem.kind)
        tape: "records.Tape" = self.tape.copy()
        tape["archives"] = [archive.copy() for archive in tape["archives"]]
        return tape


def stamp_of(stat: "os.stat_result") -> "tuple[int, int, int]":
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


class Index:
    """The files of a folder, by the labels of their tapes."""

    def __init__(self, folder: str):
        self.folder = folder
        self.known: "dict[str, File]" = {}

    def path(self, label: str) -> str:
        return os.path.join(self.folder, label + ".json")

    def forget(self, label: str) -> None:
        self.known.pop(label, None)

    def get(self, label: str) -> "File | None":
        """The current content of a file, None if it does not exist; raises OSError."""
        known = self.known.get(label)
        try:
            if known is None or not known.is_current():
                known = File(self.path(label), label)
                known.read()
                self.known[label] = known
            return known
        except FileNotFoundError:
            self.forget(label)
            return None

    def labels(self) -> "list[str]":
        try:
            return sorted(name[: -len(".json")] for name in os.listdir(self.folder) if name.endswith(".json"))
        except FileNotFoundError:
            return []

    def all(self) -> "list[File]":
        """The current content of all files, ordered by label; raises OSError."""
        found = (self.get(label) for label in self.labels())
        return [each for each in found if each]
