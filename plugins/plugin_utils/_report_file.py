# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a report on the controller: complete or absent, and left alone if only its time would change."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Callable

from ..module_utils._run.answers import Failure

MADE = re.compile(rb'<meta name="date" content="([0-9TZ:-]{1,30})">')
HEAD = 4096  # bytes, in which that is
NO_FILE = "dest: %s on the controller is no regular file: give the name of a file to write"


def write(dest: str, mode: int, render: Callable[[str], str], now: str, check: bool) -> bool:
    """Write the page that ``render`` makes for a time; returns whether the file changes; raises Failure."""
    path = os.path.abspath(os.path.expanduser(dest))
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise Failure("settings", f"dest: {path} is a directory: add the name of a file, such as {path}/report.html")
    if not os.path.isdir(folder):
        raise Failure("settings", f"dest: there is no directory {folder} on the controller: create it")
    try:
        made = made_before(path, mode)
        if made and contents(path) == encoded(render(made)):
            return False
        if not check:
            replace(path, encoded(render(now)), mode)
    except OSError as exc:
        raise Failure("failed", f"cannot write the report {path} on the controller: {exc.strerror or exc}") from None
    return True


def encoded(page: str) -> bytes:
    return page.encode("utf-8", "backslashreplace")


def contents(path: str) -> bytes:
    with open(path, "rb") as source:
        return source.read()


def made_before(path: str, mode: int) -> str:
    """The time in the report that is there, "" if there is none, or if its mode is not the wanted one.

    A device would be replaced, and a named pipe would wait for a writer for ever: raises Failure.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise Failure("settings", NO_FILE % path)
            found = MADE.search(source.read(HEAD))
            wanted = os.fstat(source.fileno()).st_mode & 0o7777 == mode
    except FileNotFoundError:
        return ""
    return found[1].decode("ascii") if found and wanted else ""


def replace(path: str, data: bytes, mode: int) -> None:
    """Atomically; a link is replaced, not followed."""
    fd, part = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
