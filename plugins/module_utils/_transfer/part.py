# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a file that an interrupted transfer with resume has left beside the destination.

Others may be able to write in that directory.  So a part is only used if it is a file of this user that nobody else can
open, and if its checksum is that of the same bytes of the source.
"""

import errno
import fcntl
import os
import stat

from .._tape.common.problem import BUSY, Problem
from .files import CHANGED, check_unchanged, explained, name_of_user, open_source, raw, sha256, shown, text_of
from .place import temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IDENTITY = ("device", "inode", "size", "mtime")
NOT_OURS = (errno.ELOOP, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENXIO)


class Refused(Exception):
    """A file with the name of a part that is not used; the text says why."""


def refusal(found: os.stat_result) -> str:
    """Why this file is not used, "" if it may be."""
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_uid != os.geteuid():
        return "it belongs to user %s" % name_of_user(found.st_uid)
    if stat.S_IMODE(found.st_mode) != 0o600:
        return "its mode is %04o, not 0600" % stat.S_IMODE(found.st_mode)
    return "" if found.st_nlink == 1 else "it has %d names" % found.st_nlink


def identity(found: os.stat_result) -> "dict[str, int]":
    return dict(zip(IDENTITY, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)))


def open_part(name: bytes, path: bytes, folder: "int | None" = None) -> int:
    """Open and lock it; raises FileNotFoundError, Refused, and Problem if another transfer writes it.

    ``name``: relative to ``folder``, if that is given; ``path``: the destination.
    """
    try:
        # for writing, as a lock needs it on NFS; no link, and no FIFO that would wait
        fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    except OSError as exc:
        if exc.errno in NOT_OURS:
            raise Refused("it is a link" if exc.errno == errno.ELOOP else str(exc.strerror)) from None
        raise
    try:
        why = refusal(os.fstat(fd))
        if why:
            raise Refused(why)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        whole = os.path.join(os.path.dirname(path), os.path.basename(name))
        raise Problem(
            "another transfer is writing %s (its file is %s)" % (shown(path), shown(whole)), "wait for it", BUSY
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def look(path: bytes, source: "dict[str, Any]") -> "tuple[dict[str, Any] | None, str]":
    """The part of this source for this destination, and why a file with its name is not used; raises Problem."""
    part = temporary(path, source)
    try:
        fd = open_part(part, path)
    except FileNotFoundError:
        return None, ""
    except Refused as exc:
        return None, "%s is not used: %s" % (shown(part), exc)
    except OSError as exc:
        raise explained(exc, part, "examined") from None
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    if not found.st_size:
        return None, ""
    return dict(identity(found), path=text_of(part), allocated=found.st_blocks * 512), ""


def reopen(folder: int, path: bytes, name: bytes, told: "dict[str, Any]") -> int:
    """The part that was compared with the source; raises Problem and OSError if it is another one now."""
    text = "%s was changed after the look" % shown(os.path.join(os.path.dirname(path), name))
    try:
        fd = open_part(name, path, folder)
    except (FileNotFoundError, Refused):
        raise Problem(text, "run it again", CHANGED) from None
    now = identity(os.fstat(fd))
    if any(now[each] != told[each] for each in IDENTITY):
        os.close(fd)
        raise Problem(text, "run it again", CHANGED)
    return fd


def checksum(asked: "dict[str, Any]") -> "dict[str, Any]":
    """The subcommand ``checksum``: of as much of the source as the part has, or of the part.

    ``source``: its facts at the look, None for the part.
    """
    path, part = raw(asked["path"]), asked["part"]
    if asked["source"]:
        fd = open_source(path)
    else:
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = reopen(folder, path, os.path.basename(raw(part["path"])), part)
        finally:
            os.close(folder)
    try:
        if asked["source"]:
            check_unchanged(path, os.fstat(fd), asked["source"])
        return {"sha256": sha256(fd, path, part["size"])}
    finally:
        os.close(fd)
