# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""page: stores the report of a run in a directory of this host, and removes old ones.

The request, from the module or standard input, has its name, its text, the directory, the mode of the files, and how
many to keep.  latest.html is a link to the newest.
"""

import contextlib
import json
import os
import re
import stat
import sys
import tempfile

from ...common import files, names
from ...common.problem import SETTINGS, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ... import answers
    from ..session import Session

NAME = "report-%s.html"
OURS = re.compile(r"report-[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\.html\Z")
LATEST = "latest.html"


def page(session: "Session", args: "argparse.Namespace") -> "answers.Stored":
    """Returns the path of the file, and the names of those that it has removed; raises Problem."""
    given = json.loads(sys.stdin.buffer.read().decode()) if args.input is None else args.input
    folder = given["folder"]
    if not folder.startswith("/") or "\0" in folder:
        raise Problem("tape_report_dir: %r is not a path" % folder, "it must begin with /", kind=SETTINGS)
    folder = names.path(folder)
    mode = int(given["mode"], 8)
    name = NAME % names.checked("run", given["name"])
    os.makedirs(folder, mode=0o700 | (mode & 0o044) | (mode & 0o044) >> 2, exist_ok=True)
    files.publish(os.path.join(folder, name), given["text"].encode("utf-8", "backslashreplace"), mode)
    link(folder, name)
    removed = expire(folder, name, given["keep"])
    files.sync_folder(folder)
    return {"path": os.path.join(folder, name), "removed": removed}


def link(folder: str, name: str) -> None:
    """Let latest.html be the newest, unless there is a file of this name."""
    latest = os.path.join(folder, LATEST)
    if os.path.lexists(latest) and not os.path.islink(latest):
        return
    with tempfile.TemporaryDirectory(prefix=".latest.", dir=folder) as made:
        new = os.path.join(made, LATEST)
        os.symlink(name, new)
        os.rename(new, latest)


def expire(folder: str, name: str, keep: int) -> "list[str]":
    """Remove the oldest reports, but never that one; ``keep``: 0 for all.  Returns the names of the removed ones."""
    found = []
    for each in os.listdir(folder):
        if each == name or not OURS.match(each):
            continue
        with contextlib.suppress(FileNotFoundError):  # another run has removed it meanwhile
            known = os.lstat(os.path.join(folder, each))
            if stat.S_ISREG(known.st_mode):
                found.append((known.st_mtime, each))
    removed = []
    for _time, each in sorted(found, reverse=True)[keep - 1 :] if keep else []:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, each))
            removed.append(each)
    return sorted(removed)
