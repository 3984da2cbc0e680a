# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the cache that ``start`` reads.  Whatever prevents that only costs time: the next start compiles again."""

import marshal
import os
import sys
import time

from .._run import bootstrap
from . import start

STALE = 60.0  # seconds after which a temporary file is that of a process that was killed


def write(key: bytes) -> None:
    """Keep the compiled modules of the command, and the parts of the program for the far side."""
    if sys.dont_write_bytecode or not start.home() or os.getuid() != os.geteuid():
        return
    target = new = ""
    try:
        target = os.path.join(make_folder(), os.path.basename(start.file_name()))
        new = target + ".new"
        fd = open_new(new)
    except (OSError, ValueError):
        return
    try:
        with open(fd, "wb") as file:  # made only now that it can be kept
            data = marshal.dumps(content())
            file.write(key + start.checksum(data) + data)
        os.rename(new, target)
    except (OSError, ValueError):
        try:
            os.unlink(new)
        except OSError:
            pass  # somebody has removed the directory


def make_folder() -> str:
    """The directory of the cache, which only this user can change; raises OSError."""
    base = start.home()
    try:
        os.mkdir(os.path.join(start.trusted(os.path.dirname(base)), os.path.basename(base)), 0o700)
    except FileExistsError:
        pass
    folder = os.path.join(start.trusted(base), start.FOLDER)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    return start.trusted(folder)


def open_new(path: str) -> int:
    """A new file for this user only; raises OSError if another process is just writing it."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if not 0 <= time.time() - os.lstat(path).st_mtime < STALE:
            os.unlink(path)  # for the next time
        raise


def content() -> "start.Kept":
    """All modules, which are loaded when they are needed, and the parts of the far side's program."""
    names = bootstrap.end_modules(bootstrap.OF_COMMAND) + bootstrap.COMMAND_MODULES
    folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
    modules = {
        name: marshal.dumps(compile(text, folder + name.replace(".", os.sep) + ".py", "exec", optimize=2))
        for name, text in bootstrap.sources(names)
    }
    groups = [bootstrap.MODULES, bootstrap.LOOPBACK_MODULES, bootstrap.KERNEL_MODULES, bootstrap.RELAY_MODULES]
    groups.append(bootstrap.CONGESTION_MODULES)
    parts = {tuple(group): bootstrap.part(bootstrap.sources(group)) for group in groups}
    return {"modules": modules, "loader": bootstrap.loader(), "parts": parts}
