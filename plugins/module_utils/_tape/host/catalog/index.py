# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog's files in memory: whoever waits looks at them several times a second, and few of them change.

A file is read again when its time, size or inode has changed, and as long as it is so young that another change of it
might have the same time.
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
# what open(2) and read(2) say of a file that is there, and cannot be read; what passes by itself is none of these
BAD = (errno.EIO, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EUCLEAN, errno.EBADMSG, errno.ENXIO, errno.ENODATA)
FORBIDDEN = (errno.EACCES, errno.EPERM)


class File:
    """A catalog file as it was when it was read: a tape, or why there is none."""

    def __init__(self, path: str, label: str):
        self.path = path
        self.label = label
        self.stamp: "tuple[int, int, int] | None" = None  # None: it has to be read again
        self.tape: "Any" = {}  # a Tape, once it was read
        self.problem: "Problem | None" = None

    def is_current(self) -> bool:
        return self.stamp is not None and self.stamp == stamp_of(os.stat(self.path))

    def read(self) -> None:
        """Raises OSError, and FileNotFoundError if there is none."""
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
            link = exc.errno == errno.ENOENT and os.path.islink(self.path)  # to nowhere
            if exc.errno not in BAD + FORBIDDEN and not link:
                raise
            self.problem = self.forbidden(exc) if exc.errno in FORBIDDEN else self.damage(str(exc.strerror))
            return
        if now.st_mtime + YOUNG < time.time():
            self.stamp = stamp_of(now)

    def archives(self, host: str = "") -> "list[records.Archive]":
        """Those of hosts, or of one, each with the name of its tape."""
        found: "list[records.Archive]" = self.tape["archives"]
        own = [archive for archive in found if archive["kind"] == records.KINDS[0] and host in ("", archive["host"])]
        return [{**archive, "tape": self.label} for archive in own]

    def damage(self, why: str) -> "Problem":
        return Problem(
            "%s is damaged (%s), so the catalog lacks all of tape %s" % (self.path, why, self.label),
            "put the tape in a drive and run tape_inventory with tape_rebuild, or restore the file",
            kind=DAMAGED,
        )

    def forbidden(self, exc: OSError) -> "Problem":
        return Problem(
            "%s: %s, so the catalog lacks all of tape %s" % (self.path, exc.strerror, self.label),
            "this program runs as the user with the number %d: set tape_become, or give the file to that user"
            % os.geteuid(),
        )

    def copy(self) -> "records.Tape":
        """The tape for somebody who may change it; raises Problem."""
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
        """The file as it is now, None if there is none; raises OSError."""
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
        """All files as they are now, by the labels of their tapes; raises OSError."""
        found = (self.get(label) for label in self.labels())
        return [each for each in found if each]
