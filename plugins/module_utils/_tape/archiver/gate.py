# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands before tar when it extracts into what is there already: no directory gets to tar before it was judged.

Which files there were at the time of an archive is in the headers of its directories, and GNU tar writes all of these
before the first file.  What of an earlier archive is gone by then is removed here, and nothing else: tar itself, with
--incremental, would remove all that is not in the archive, whoever made it.

It is a process of its own that becomes the program tee: it reads headers, and the kernel moves what is between them.
"""

import json
import os
import stat
import sys

from ..common.problem import LEADS_OUT, Problem
from ..common.process import environment
from . import header
from .mover import Mover
from .record import HIDDEN, Record  # pylint: disable=unused-import  # a type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_NAMES = 100  # names in an answer
EXPECTED = 100  # names by which the first file is known
PLACED = 100000  # directories of which is known where they are
DEEP = 10000  # directories below each other


class Selection:
    """The paths that are asked for; none are all of them."""

    def __init__(self, asked: "list[bytes]"):
        self.asked = set(asked)
        self.steps: "dict[bytes, dict[bytes, list[bytes]]]" = {}  # of each directory above: what leads to which
        for path in asked:
            above, _slash, step = path.rpartition(b"/")
            while above:
                self.steps.setdefault(above, {}).setdefault(step, []).append(path)
                above, _slash, step = above.rpartition(b"/")

    def covers(self, name: bytes) -> bool:
        while self.asked and name and name not in self.asked:
            name = name.rpartition(b"/")[0]
        return bool(name) or not self.asked


class Gate:
    def __init__(self, to: bytes, selection: Selection, record: "Record | None", delete: bool):
        self.to = to  # without links in it
        self.selection, self.delete = selection, delete
        self.record = record if record and record.is_there else None
        self.placed: "set[bytes]" = set()
        self.expected: "set[bytes]" = set()
        self.count = 0
        self.deleted: "list[str]" = []
        self.kept: "dict[bytes, bytes]" = {}  # links that stand for directories, and for which
        self.gone: "set[bytes]" = set()
        self.later: "list[bytes]" = []

    def run(self, branch: int, answer: int) -> None:
        """Standard input goes to standard output and to ``branch``, what is to be said of it to ``answer``."""
        sys.setrecursionlimit(DEEP)
        mover = Mover((1, branch))
        try:
            self.pass_on(mover)
        except Problem as exc:
            self.say(answer, {"refused": str(exc)})
            raise
        later = [name for name in self.later if not self.is_shared(name)]
        kept = [told(name) for name in sorted(self.kept)[:MOST_NAMES]]
        self.say(answer, {"gone": names(self.gone), "later": names(later), "kept": kept})
        os.set_inheritable(branch, True)
        os.execvpe("tee", ["tee", "/proc/self/fd/%d" % branch], environment())

    def say(self, answer: int, more: "dict[str, Any]") -> None:
        with os.fdopen(answer, "w") as text:
            json.dump(dict(more, count=self.count, deleted=self.deleted), text)

    def pass_on(self, mover: Mover) -> None:
        """All directories, and the files between them that were named by themselves."""
        headers = header.Headers(mover.take)
        while True:
            member = headers.next()
            if member is not None and b".." not in member.name.split(b"/"):
                self.judge(member)
            mover.give(headers.raw)
            if member is None or (not member.is_directory and member.name in self.expected):
                return
            mover.move(member.size)

    def judge(self, member: header.Member) -> None:
        name = member.name
        if not member.is_directory:
            name = name.rpartition(b"/")[0]
        if name not in self.selection.steps and not self.selection.covers(name):
            return
        self.place(name)
        if member.is_directory and member.dumpdir is not None:
            entries = {each[1:]: each[:1] for each in member.dumpdir.split(b"\0") if each[:1] in (b"Y", b"N", b"D")}
            for entry, letter in entries.items():
                if letter == b"Y" and len(self.expected) < EXPECTED:
                    self.expected.add(name + b"/" + entry)
            self.compare(name, entries)

    def place(self, name: bytes) -> None:
        """A directory may be a symbolic link here, as /lib often is, but only to another one below ours."""
        if name in self.placed or name == b".":
            return
        self.place(name.rpartition(b"/")[0])
        path = self.path(name)
        if os.path.islink(path) and os.path.isdir(path):
            real = os.path.realpath(path)
            if not (real + b"/").startswith(self.to.rstrip(b"/") + b"/"):
                raise Problem(
                    "%s is a symbolic link that leads out of %s, to %s, and the archive has a directory of this name"
                    % tuple(each.decode("utf-8", "backslashreplace") for each in (path, self.to, real)),
                    kind=LEADS_OUT,
                )
            self.kept[name] = real
        if len(self.placed) > PLACED:
            self.placed.clear()
        self.placed.add(name)

    def path(self, name: bytes) -> bytes:
        return os.path.normpath(self.to + name[1:])

    def compare(self, name: bytes, entries: "dict[bytes, bytes]") -> None:
        """What is in a directory with what was in it; where that has changed, what we have restored goes."""
        steps = None if self.selection.covers(name) else self.selection.steps[name]
        for step, paths in (steps or {}).items():
            if step not in entries:
                self.gone.update(paths)
        if not self.record and not self.delete:
            return
        path = self.path(name)
        try:
            here = set(os.listdir(path)) - {HIDDEN}
            before = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        count = self.count
        for each in sorted(here if steps is None else here & set(steps)):
            self.compare_one(name + b"/" + each, entries.get(each), before.st_dev)
        if self.count != count:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def compare_one(self, name: bytes, letter: "bytes | None", device: int) -> None:
        if letter == b"N":
            return
        path = self.path(name)
        is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
        if (letter is None) or (letter == b"D" and not is_directory) or (letter == b"Y" and is_directory):
            self.remove(name, device, False)
            if not self.delete or not os.path.lexists(path):
                return
            if letter is None:
                self.later.append(name)
            elif (is_directory or not os.path.isdir(path)) and not self.is_shared(name):
                self.remove(name, device, True)

    def is_shared(self, name: bytes) -> bool:
        """Whether it is in a directory that has two names here: what one of them does not have the other may."""
        folder = os.path.realpath(os.path.dirname(self.path(name))) if self.kept else b""
        return any((folder + b"/").startswith(real + b"/") for real in self.kept.values())

    def remove_now(self, names: "list[bytes]") -> None:
        """What is not in the archive, all of it: asked for, and when the archive has turned out to be right."""
        for name in names:
            folder = os.path.dirname(self.path(name))
            before = os.stat(folder)
            self.remove(name, before.st_dev, True)
            os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self, name: bytes, device: int, everything: bool) -> None:
        """All of it, or what we have restored of it; never what is on another file system."""
        path = self.path(name)
        at = os.lstat(path)
        if at.st_dev != device:
            return
        is_directory = stat.S_ISDIR(at.st_mode)
        ours = everything or (self.record is not None and self.record.has(name, is_directory))
        if is_directory:
            for each in os.listdir(path):
                self.remove(name + b"/" + each, device, everything)
            if not ours or os.listdir(path):
                return
            os.rmdir(path)
        elif ours:
            os.unlink(path)
        else:
            return
        self.count += 1
        if len(self.deleted) < MOST_NAMES:
            self.deleted.append(told(name))


def told(name: bytes) -> str:
    return name[1:].decode("utf-8", "backslashreplace")[:1000]


def names(found: "Any") -> "list[str]":
    return sorted(os.fsdecode(each) for each in found)
