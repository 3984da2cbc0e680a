# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with several names: the archive may have the data of a requested name under another name.

tar finds that out only after it has passed the other name.  So the archive is read a second time, for those names, into
a separate directory, because a file with the other name in the target directory may have different contents.
"""

import os

from ..common import tools
from ..common.names import shown
from ..common.problem import Problem
from .crew import MOST_LINES, Lines
from .extraction import Extraction
from .filenames import Found
from .gate import Gate, Selection
from .record import LINKS
from .target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

SCRATCH, NEW = b"again", b".socketpipe-new"
MOST_MEMBERS = 10000  # members; tar compares each member of the archive with all of them


def remember(words: "argparse.Namespace", target: Target, links: "dict[bytes, bytes]") -> bool:
    """Whether the archive must be read again for these names, {name: the name with its data}."""
    if not links:
        return False
    for name, other in links.items():
        forget(target.real + name[1:], target.real + other[1:])
    if not words.may_repeat or len(set(links.values())) > MOST_MEMBERS:
        name, other = sorted(links.items())[0]
        raise Problem(
            "the data of %s is in the archive under another name of the same file, %s%s: request that name as "
            "well, or a directory that contains both"
            % (shown(name[1:]), shown(other[1:]), " (the first of %d)" % len(links) if len(links) > 1 else "")
        )
    with open(target.record.file(LINKS), "wb") as text:
        text.write(b"".join(name + b"\0" + other + b"\0" for name, other in links.items()))
    return True


def forget(path: bytes, other: bytes) -> None:
    """Remove a link that tar made to a file that has the other name today."""
    try:
        if os.path.samestat(os.lstat(path), os.lstat(other)):
            os.unlink(path)
    except FileNotFoundError:
        pass


def fetch(words: "argparse.Namespace", target: Target) -> "dict[str, Any]":
    """Read the archive a second time, for the data of these names; returns additions to the answer."""
    with open(target.record.file(LINKS), "rb") as text:
        found = text.read().split(b"\0")[:-1]
    links = dict(zip(found[::2], found[1::2]))
    members = sorted(set(links.values()))
    scratch = target.record.file(SCRATCH)
    os.mkdir(scratch, 0o700)
    extraction = Extraction(words, target, members)
    extraction.read(Found(members), scratch, None)
    said = extraction.says if extraction.has_errors else Lines()
    wrong: "list[str]" = []
    placing = Placing(target.real, scratch)
    for name, other in sorted(links.items()):
        try:
            placing.place(name, other)
        except (OSError, Problem) as exc:
            wrong.append("%s: %s" % (shown(name[1:]), getattr(exc, "strerror", None) or exc))
    os.unlink(target.record.file(LINKS))
    tools.call([b"rm", b"-rf", b"--", scratch])
    errors = said.first + wrong
    if errors and not words.keep_going:
        raise Problem("some files could not be restored: " + errors[0], output=errors[1:])
    return {"tar": extraction.status, "errors": errors[:MOST_LINES], "error_count": said.count + len(wrong)}


class Placing:
    """Moves files from the separate directory to their place; names of the same file stay links to each other."""

    def __init__(self, to: bytes, scratch: bytes):
        self.to, self.scratch = to, scratch
        self.gate = Gate(to, Selection([]), None, False)
        self.first: "dict[tuple[bytes, int], bytes]" = {}  # {(file, file system): the first name there}

    def place(self, name: bytes, other: bytes) -> None:
        path, source = self.to + name[1:], self.scratch + other[1:]
        folder = os.path.dirname(path)
        self.gate.place(os.path.dirname(name))
        os.makedirs(folder, exist_ok=True)
        before = os.stat(folder)
        key = (other, before.st_dev)
        if before.st_dev == os.lstat(source).st_dev:
            self.first.setdefault(key, source)
        new = os.path.join(folder, NEW)
        if key in self.first:
            os.link(self.first[key], new, follow_symlinks=False)
        elif tools.call([b"cp", b"--archive", b"--no-target-directory", b"--", source, new]):
            raise OSError(0, "cannot be copied to another file system")
        try:
            os.rename(new, path)
        except OSError:
            os.unlink(new)
            raise
        self.first.setdefault(key, path)
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
