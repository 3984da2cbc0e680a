# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory into which files are restored."""

import math
import os
import stat

from ..common.names import shown
from ..common.problem import SETTINGS, Problem
from . import mounts
from .record import HIDDEN, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

GiB = 1024**3
NO_RECORD = (
    "%s has no record of an earlier archive to continue from: "
    "a restore begins with level 0, and each of its archives but the last one is extracted with --more"
)


OVER_ROOT = (
    "restoring over this host's own / needs restore_allow_root and restore_into_existing: set both, or choose "
    "another directory"
)


class Target:
    """The target directory; its own owner and mode do not change, except for /."""

    def __init__(self, words: "argparse.Namespace"):
        self.path = os.fsencode(words.to)
        if not self.path.startswith(b"/"):
            raise Problem("%r: the directory to restore to must begin with /" % words.to, kind=SETTINGS)
        if os.path.realpath(self.path) == b"/" and not (words.allow_root and words.into_existing):
            raise Problem(OVER_ROOT, kind=SETTINGS)
        refuse_a_trap(self.path)
        goes_on = words.incremental or words.again
        if words.drill and not goes_on and os.path.lexists(self.path):
            what = "%s exists, but a restore drill makes and removes its own directory: choose a new one" % words.to
            raise Problem(what, kind=SETTINGS)
        made = not os.path.lexists(self.path)
        if made and goes_on:
            raise Problem(NO_RECORD % words.to, kind=SETTINGS)
        if made:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            os.mkdir(self.path, 0o700)
        elif not os.path.isdir(self.path):
            raise Problem("%s exists and is not a directory" % words.to)
        self.real = os.path.realpath(self.path)
        self.record = Record(self.real, begins=not goes_on)
        if goes_on and not self.record.is_there:
            raise Problem(NO_RECORD % words.to, kind=SETTINGS)
        self.is_new = made or not set(os.listdir(self.real)) - {HIDDEN}
        if not self.is_new and not words.into_existing and not self.record.is_there:
            raise Problem(
                "%s is not empty, so restored files would be mixed with existing ones: "
                "choose a new directory, or set restore_into_existing" % words.to
            )
        self.before = os.stat(self.real)
        try:
            self.look_for_room(words)
        except Problem:
            if made:
                os.rmdir(self.real)
            raise

    def look_for_room(self, words: "argparse.Namespace") -> None:
        """Raises Problem if the disk would fill up.  Replaced files free an unknown amount of space."""
        if words.paths or words.again:
            return
        free, size = room(self.real)
        if words.bytes > (free if self.is_new else size):
            raise Problem(
                "the archive has %.1f GiB, but %s has room for only %.1f GiB: choose another directory"
                % (words.bytes / GiB, words.to, (free if self.is_new else size) / GiB)
            )

    def put_back(self) -> None:
        """Reset owner and mode: the entry for / in an archive of / must not open a private directory to everybody."""
        now = os.stat(self.real)
        if self.real == b"/":
            return
        if (now.st_uid, now.st_gid) != (self.before.st_uid, self.before.st_gid):
            os.chown(self.real, self.before.st_uid, self.before.st_gid)
        os.chmod(self.real, self.before.st_mode & 0o7777)


def refuse_a_trap(path: bytes) -> None:
    """Raises Problem for a target in a world-writable directory, such as /var/tmp, that another user could control."""
    parts = path.rstrip(b"/").split(b"/")
    for number in range(2, len(parts) + 1):
        above, here = b"/".join(parts[: number - 1]) or b"/", b"/".join(parts[:number])
        try:
            mode, at = os.stat(above).st_mode, os.lstat(here)
        except (FileNotFoundError, NotADirectoryError):
            return
        if mode & stat.S_IWOTH and (stat.S_ISLNK(at.st_mode) or at.st_uid not in (0, os.geteuid())):
            what = "a symbolic link" if stat.S_ISLNK(at.st_mode) else "of user %d" % at.st_uid
            raise Problem("%s is %s, in a world-writable directory: choose another directory" % (shown(here), what))


def room(path: bytes) -> "tuple[float, float]":
    """(free bytes, total bytes) on the file systems of a directory and of everything below it."""
    points = [path]
    for mount in mounts.mounted():
        if mounts.below(mount.point, [path]) and mount.kind not in mounts.NO_FILES:
            if mount.is_fuse or mount.is_remote:  # it may never respond
                return math.inf, math.inf
            points.append(mount.point)
    found = {}
    for point in points:
        at = os.statvfs(point)
        found[os.stat(point).st_dev] = (at.f_bfree if os.geteuid() == 0 else at.f_bavail, at.f_blocks, at.f_frsize)
    return sum(each[0] * each[2] for each in found.values()), sum(each[1] * each[2] for each in found.values())
