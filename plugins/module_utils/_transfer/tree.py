# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory as the source: the look at both hosts, and the stages that send and receive it as a tar archive.

Each host uses GNU tar or, without it, Python's tarfile.  The new files take their places one by one.
"""

import importlib.util
import os
import stat
import sys

from .._tape.common.gnutar import Tar
from .._tape.common.problem import NO_TOOL, NOT_FOUND, Problem
from . import look
from .files import CHANGED, KINDS, NOT_A_FILE, NOT_PERMITTED, explained, raw, shown, stat_of, text_of, user
from .place import without_links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def gnu_tar() -> "Tar | None":
    """None if this host has none, or a very old one."""
    try:
        return Tar()
    except Problem:
        return None


def archiver() -> str:
    """The program that this host uses; raises Problem."""
    tar = gnu_tar()
    if tar:
        return "GNU tar %s" % tar.version
    if importlib.util.find_spec("tarfile") is None:  # some distributions have it in a package of its own
        text = "this host has neither GNU tar nor Python's tarfile, and a directory needs one of them"
        raise Problem(text, "install the package tar", NO_TOOL)
    return "tarfile of Python %d.%d" % sys.version_info[:2]


def identity(found: os.stat_result) -> "dict[str, int]":
    return {"device": found.st_dev, "inode": found.st_ino}


# -- the look


def look_source(asked: "dict[str, Any]") -> "dict[str, Any]":
    """The subcommand ``look-source``, for files and directories; raises Problem."""
    path = raw(asked["path"])
    found = stat_of(path)
    if found is None or not stat.S_ISDIR(found.st_mode):
        return dict(look.look_source(asked), kind="file")
    if not os.access(path, os.R_OK | os.X_OK):
        hint = "" if os.geteuid() == 0 else "try become"
        raise Problem("%s cannot be read by user %s" % (shown(path), user()), hint, NOT_PERMITTED)
    return dict(identity(found), kind="directory", path=text_of(path), archiver=archiver())


def look_destination(asked: "dict[str, Any]") -> "dict[str, Any]":
    """Where the content of the directory goes; raises Problem.

    ``name``: the directory gets it at the destination, "" if its content goes there.  ``make``: directories that are to
    be made in ``folder``, at most two.
    """
    name = asked["name"].encode("utf-8", "surrogateescape")
    path = raw(asked["path"])
    stat_of(path)  # refuses a loop
    path = without_links(path)
    make = [] if stat_of(path) else [os.path.basename(path)]
    folder = os.path.dirname(path) if make else path
    if name:
        path = without_links(os.path.join(path, name))
        inner = stat_of(path)
        if make or not inner:
            make.append(os.path.basename(path))
        else:
            folder = path
    found = stat_of(folder)
    if found is None:
        raise Problem("there is no directory %s" % shown(folder), "create it first", NOT_FOUND)
    if not stat.S_ISDIR(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "a file")
        raise Problem("%s is %s, but the source is a directory" % (shown(folder), kind), kind=NOT_A_FILE)
    look.check_place(os.path.join(folder, make[0] if make else b"x"), None)
    told = {"path": text_of(path), "folder": text_of(folder), "make": [text_of(each) for each in make]}
    return dict(told, identity=identity(found), archiver=archiver())


# -- the stages


def open_known(path: bytes, told: "dict[str, Any]") -> int:
    """A directory, if it is that of the look; raises Problem."""
    try:
        fd = os.open(path, OPEN)
    except OSError as exc:
        raise explained(exc, path, "opened") from None
    now = identity(os.fstat(fd))
    if any(now[each] != told[each] for each in now):
        os.close(fd)
        raise Problem("the directory %s was replaced by another after the look" % shown(path), kind=CHANGED)
    return fd


def open_source(path: bytes, told: "dict[str, Any]") -> int:
    """The source, which may be a symbolic link to a directory; raises Problem."""
    return open_known(os.path.realpath(path), told)


def make_target(asked: "dict[str, Any]") -> int:
    """The directory that receives the files, made if it does not exist yet; raises Problem."""
    path = raw(asked["folder"])
    fd = open_known(path, asked["identity"])
    names = [each.encode("utf-8", "surrogateescape") for each in asked["make"]]
    for name in names:
        path = os.path.join(path, name)
        above = fd
        try:
            # the last one gets its mode from the archive; until then nobody else sees what is in it
            os.mkdir(name, 0o700 if name is names[-1] else 0o777 & ~look.umask(), dir_fd=above)
            fd = os.open(name, OPEN, dir_fd=above)
            if os.fstat(fd).st_uid != os.geteuid():
                raise Problem("another directory has taken the place of %s" % shown(path), kind=CHANGED)
        except FileExistsError:
            raise Problem("%s was created by another program after the look" % shown(path), kind=CHANGED) from None
        except OSError as exc:
            raise explained(exc, path, "created") from None
        finally:
            os.close(above)
    return fd


def members(folder: int, whole: bool) -> "list[bytes]":
    """What is archived: the directory itself, or only what is in it, so that an existing target keeps its mode."""
    if whole:
        return [b"."]
    return [b"./" + os.fsencode(name) for name in sorted(os.listdir(folder))]


def send(asked: "dict[str, Any]") -> None:
    """The subcommand ``send-tree``."""
    path = raw(asked["path"])
    folder = open_source(path, asked["source"])
    try:
        tar = gnu_tar()
        if tar:
            from . import tree_gnu

            tree_gnu.send(tar, folder, members(folder, asked["whole"]), path)
        else:
            from . import tree_write

            tree_write.send(folder, members(folder, asked["whole"]), path)
    finally:
        os.close(folder)


def receive(asked: "dict[str, Any]", stream: int = 0) -> "dict[str, Any]":
    """The subcommand ``receive-tree``; the archive comes on standard input."""
    folder = make_target(asked)
    try:
        tar = gnu_tar()
        if tar:
            from . import tree_gnu

            return {"warnings": tree_gnu.receive(tar, folder, stream, raw(asked["path"]))}
        from . import tree_extract

        tree_extract.receive(folder, stream, raw(asked["path"]))
        return {"warnings": []}
    finally:
        os.close(folder)
