# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory sent by Python's tarfile, on a host without GNU tar."""

import decimal
import errno
import os
import tarfile

from .._tape.common.problem import Problem
from .files import CHANGED, explained, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

BUFFER = 64 * 1024
FORMAT = {"format": tarfile.PAX_FORMAT, "encoding": "utf-8", "errors": "surrogateescape"}  # type: dict[str, Any]


def send(folder: int, members: "list[bytes]", path: bytes, out: int = 1) -> None:
    """Write an archive of these members of a directory; raises Problem."""
    file = os.fdopen(os.dup(out), "wb")
    with file, tarfile.open(fileobj=file, mode="w|", bufsize=BUFFER, **FORMAT) as archive:
        waiting = members[::-1]
        while waiting:
            name = waiting.pop()
            waiting += [os.path.join(name, each) for each in add(archive, folder, name, path)[::-1]]


def add(archive: "tarfile.TarFile", folder: int, name: bytes, path: bytes) -> "list[bytes]":
    """Add a file or a directory; returns what is in a directory; raises Problem."""
    # the path of the open directory, because tarfile knows only paths
    place, full = b"/proc/self/fd/%d/%s" % (folder, name), os.path.join(path, name[2:])
    try:
        before = os.lstat(place)
        member = archive.gettarinfo(os.fsdecode(place), arcname=name.decode("utf-8", "surrogateescape"))
        if member is None:  # a socket
            return []
        # all of its digits, which a float does not have
        member.pax_headers = {"mtime": format(decimal.Decimal(before.st_mtime_ns).scaleb(-9), "f")}
        if member.isreg():
            fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                add_data(archive, member, file, full)
                check_unchanged(before, os.fstat(fd), full)
        else:
            archive.addfile(member)
        forget(archive)
        return [os.fsencode(each) for each in sorted(os.listdir(place))] if member.isdir() else []
    except FileNotFoundError:
        raise changed(full, "it was removed") from None
    except OSError as exc:
        if exc.errno in (errno.EPIPE, errno.ECONNRESET):  # of the link
            raise
        raise explained(exc, full, "read") from None


def forget(archive: "Any") -> None:
    """It would remember all files."""
    archive.members = []


def add_data(archive: "tarfile.TarFile", member: "tarfile.TarInfo", file: "BinaryIO", full: bytes) -> None:
    try:
        archive.addfile(member, file)
    except OSError as exc:
        if exc.errno is None:  # tarfile's own, if it has become shorter
            raise changed(full, str(exc)) from None
        raise


def check_unchanged(before: os.stat_result, after: os.stat_result, full: bytes) -> None:
    """Raises Problem."""
    for name, text in (("st_ino", "inode"), ("st_size", "size"), ("st_mtime_ns", "mtime")):
        if getattr(before, name) != getattr(after, name):
            raise changed(full, "its %s is another" % text)


def changed(full: bytes, how: str) -> Problem:
    hint = "stop what writes to it, or transfer a snapshot"
    return Problem("%s changed while it was read (%s)" % (shown(full), how), hint, CHANGED)
