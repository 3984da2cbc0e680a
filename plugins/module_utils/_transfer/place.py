# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The place of a new file: its directory, which others may be able to write, and the names of temporary files in it.

The look finds the directory, and the sink opens the same one, once.  Nobody can then lead the sink elsewhere by another
directory or link on the way.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import time

from .._tape.common.problem import BUSY, Problem
from .files import CHANGED, NOT_PERMITTED, explained, name_of_user, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LINKS_MOST = 40  # as in the kernel
SUFFIX = b".socketpipe"
LOCK_POLL, LOCK_MOST = 0.05, 30.0  # seconds; others hold this lock for moments only


def without_links(path: bytes) -> bytes:
    """The path that links on the way lead to; raises Problem for one that another user may have set as a trap.

    realpath(3) would follow what the kernel does not (fs.protected_symlinks in proc(5)): in a sticky directory where
    everybody may write, a link of somebody else.
    """
    done, rest, links = b"/", path.split(b"/")[::-1], 0
    while rest:
        name = rest.pop()
        if name in (b"", b".", b".."):
            done = os.path.dirname(done) if name == b".." else done
            continue
        here = os.path.join(done, name)
        try:
            found = os.lstat(here)
        except (FileNotFoundError, NotADirectoryError):
            done = here
            continue
        except OSError as exc:
            raise explained(exc, here, "examined") from None
        if not stat.S_ISLNK(found.st_mode):
            done = here
            continue
        check_link(done, here, found.st_uid)
        links += 1
        if links > LINKS_MOST:
            raise explained(OSError(errno.ELOOP, ""), path, "examined")
        try:
            target = os.readlink(here)
        except OSError as exc:
            raise explained(exc, here, "examined") from None
        done = b"/" if target.startswith(b"/") else done
        rest += target.split(b"/")[::-1]
    return done


def check_link(folder: bytes, link: bytes, owner: int) -> None:
    """Raises Problem."""
    found = os.stat(folder)
    shared = found.st_mode & stat.S_ISVTX and found.st_mode & stat.S_IWOTH
    if shared and owner not in (os.geteuid(), found.st_uid):
        text = "%s is a symbolic link of user %s in a directory where everybody may write"
        raise Problem(text % (shown(link), name_of_user(owner)), "give the path without it", NOT_PERMITTED)


def stem(path: bytes) -> bytes:
    """The beginning of the name of each temporary file for this destination."""
    name = os.path.basename(path)
    if len(name) > 128:  # the name shall have room for the rest
        name = name[:100] + b"~" + hashlib.sha256(name).hexdigest()[:16].encode()
    return b"." + name + b"."


def temporary(path: bytes, source: "dict[str, Any]") -> bytes:
    """The temporary file of this source for this destination."""
    told = "%d-%d-%d" % (source["size"], source["mtime"], source["inode"])
    return os.path.join(os.path.dirname(path), stem(path) + told.encode() + SUFFIX)


def identity(folder: bytes) -> "dict[str, int]":
    """For an answer; raises OSError."""
    found = os.stat(folder)
    return {"device": found.st_dev, "inode": found.st_ino}


def open_folder(path: bytes, told: "dict[str, int]") -> int:
    """The directory of this file, if it is the one of the look; raises Problem and OSError."""
    folder = os.path.dirname(path)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(fd)
    if {"device": found.st_dev, "inode": found.st_ino} != told:
        os.close(fd)
        raise Problem("the directory %s was replaced by another after the look" % shown(folder), kind=CHANGED)
    return fd


@contextlib.contextmanager
def folder_locked(folder: int, path: bytes) -> "Iterator[None]":
    """One at a time makes its temporary file; the file systems that cannot lock a directory do without.

    Whoever can read a directory can lock it, so this does not wait forever.
    """
    end = time.monotonic() + LOCK_MOST
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > end:
                text = "another program keeps a lock on the directory %s" % shown(os.path.dirname(path))
                raise Problem(text, "see lslocks", BUSY) from None
            time.sleep(LOCK_POLL)
        except OSError:
            break
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_UN)


def remove_others(folder: int, path: bytes, kept: bytes = b"") -> None:
    """Remove what killed or interrupted transfers to this destination have left, but for the name ``kept``.

    Raises Problem if one is running.
    """
    beginning = stem(path)
    for name in os.listdir(folder):
        found = os.fsencode(name)
        middle = found[len(beginning) : -len(SUFFIX)]
        named = found.startswith(beginning) and found.endswith(SUFFIX) and middle.replace(b"-", b"").isdigit()
        if named and found != kept:
            remove_other(folder, path, found)


def remove_other(folder: int, path: bytes, name: bytes) -> None:
    """Raises Problem."""
    shown_name = os.path.join(os.path.dirname(path), name)
    try:
        # for writing, as a lock needs it on NFS
        fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as exc:
        if exc.errno == errno.ELOOP:  # somebody has set a link here
            remove_name(folder, name, shown_name)
            return
        raise explained(exc, shown_name, "examined") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)
    except BlockingIOError:
        text = "another transfer is writing %s (its file is %s)" % (shown(path), shown(shown_name))
        raise Problem(text, "wait for it", BUSY) from None
    except OSError as exc:
        raise explained(exc, shown_name, "removed") from None
    finally:
        os.close(fd)


def remove_name(folder: int, name: bytes, shown_name: bytes) -> None:
    """Raises Problem."""
    try:
        os.unlink(name, dir_fd=folder)
    except OSError as exc:
        raise explained(exc, shown_name, "removed") from None
