# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as a look reports them, and problems with them as sentences.

Paths are bytes: in the locale C, Python 3.6 cannot encode other letters.
"""

import errno
import grp
import hashlib
import os
import pwd
import stat

from .._tape.common.problem import BUSY, FAILED, NOT_FOUND, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOT_A_FILE = "not a file"  # a directory, a device, a FIFO, a loop of links
NOT_PERMITTED = "not permitted"
READ_ONLY = "read only"  # a file system, or a file or directory with the attribute immutable or append-only
NO_ROOM = "no room"
CHANGED = "changed"  # the source, or the place of the new file, changed after the look
REPLACED = "replaced"  # something failed, but the old file is replaced
INCOMPLETE = "incomplete"  # the stream ended early, or is none
STOPPED = "stopped"  # in a chain: a host before this one has failed
VALIDATION = "validation"
CHUNK = 1024 * 1024

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
}


def raw(text: str) -> bytes:
    """A path from the controller, ~ expanded and absolute."""
    path = os.path.expanduser(text.encode("utf-8", "surrogateescape"))
    return path if os.path.isabs(path) else os.path.join(os.getcwdb(), path)


def shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def text_of(path: bytes) -> str:
    """For an answer: raw() returns the same path."""
    return path.decode("utf-8", "surrogateescape")


def user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def explained(exc: OSError, path: bytes, doing: str) -> Problem:
    """An error of a file as a Problem; ``doing``: read, written, …"""
    name = shown(path)
    if exc.errno == errno.ELOOP:
        return Problem("%s is a loop of symbolic links" % name, kind=NOT_A_FILE)
    if exc.errno in (errno.EACCES, errno.EPERM):
        hint = "" if os.geteuid() == 0 else "try become"
        return Problem("%s cannot be %s by user %s (%s)" % (name, doing, user(), exc.strerror), hint, NOT_PERMITTED)
    if exc.errno == errno.EROFS:
        return Problem("%s cannot be %s: its file system is mounted read-only" % (name, doing), kind=READ_ONLY)
    if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        why = {errno.EDQUOT: "the quota of user %s is used up" % user(), errno.EFBIG: "it is too large for this place"}
        text = "%s cannot be %s: %s" % (name, doing, why.get(exc.errno, "there is no room left"))
        return Problem(text, kind=NO_ROOM)
    if exc.errno == errno.EBUSY:
        hint = "is something mounted on it, as in a container?"
        return Problem("%s cannot be %s: it is in use" % (name, doing), hint, BUSY)
    return Problem("%s cannot be %s: %s" % (name, doing, exc.strerror), kind=FAILED)


def stat_of(path: bytes, follow: bool = True) -> "os.stat_result | None":
    """Follows links; None if there is nothing; raises Problem."""
    try:
        return os.stat(path, follow_symlinks=follow)
    except FileNotFoundError:
        return None
    except OSError as exc:
        if exc.errno == errno.ENOTDIR:
            return None
        raise explained(exc, path, "examined") from None


def check_regular(path: bytes, found: os.stat_result) -> None:
    """Raises Problem."""
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        hint = "only regular files can be copied or replaced"
        if stat.S_ISDIR(found.st_mode):
            hint = "a file does not replace a directory"
        raise Problem("%s is %s" % (shown(path), kind), hint, NOT_A_FILE)


def name_of_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def facts(found: os.stat_result) -> "dict[str, Any]":
    """What a look reports of a file; ``allocated``: bytes on the disk, less than its size if it is sparse."""
    return {
        "size": found.st_size,
        "mtime": found.st_mtime_ns,
        "inode": found.st_ino,
        "device": found.st_dev,
        "allocated": min(found.st_size, found.st_blocks * 512),
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "owner": name_of_user(found.st_uid),
        "group": name_of_group(found.st_gid),
    }


def open_source(path: bytes) -> int:
    """A regular file for reading; raises Problem."""
    found = stat_of(path)
    if found is None:
        if os.path.islink(path):
            text = "%s is a symbolic link to %s, which does not exist" % (shown(path), shown(os.readlink(path)))
            raise Problem(text, kind=NOT_FOUND)
        raise Problem("there is no file %s" % shown(path), kind=NOT_FOUND)
    check_regular(path, found)
    try:
        # it may have become a FIFO meanwhile, whose open would wait
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as exc:
        raise explained(exc, path, "read") from None
    check_regular(path, os.fstat(fd))
    return fd


def sha256(fd: int, path: bytes, size: "int | None" = None) -> str:
    """Of a file from its beginning, or of so many bytes of it; raises Problem."""
    digest, buffer = hashlib.sha256(), bytearray(CHUNK)
    view = memoryview(buffer)
    try:
        while True:
            count = os.readv(fd, [view if size is None else view[:size]])
            if not count:
                return digest.hexdigest()
            digest.update(view[:count])
            size = None if size is None else size - count
    except OSError as exc:
        raise explained(exc, path, "read") from None


def check_unchanged(path: bytes, found: os.stat_result, told: "dict[str, Any]") -> None:
    """Raises Problem unless this is still the file of the look."""
    for name, now in (("size", found.st_size), ("mtime", found.st_mtime_ns), ("inode", found.st_ino)):
        if now != told[name]:
            how = "size %d, now %d" % (told["size"], now) if name == "size" else "its %s is another" % name
            hint = "stop what writes to it, or transfer a snapshot"
            raise Problem("%s changed while it was read (%s)" % (shown(path), how), hint, CHANGED)
