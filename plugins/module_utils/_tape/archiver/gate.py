# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate in front of tar when it extracts into existing files: it checks each directory before tar gets its header.

GNU tar writes the headers of all directories before the first file, and they list the files at the time of the archive.
The gate removes files that earlier archives restored and this one does not list, and nothing else.  tar --incremental
would remove every file that is not in the archive, whoever created it.

The gate is a separate process that becomes the program tee.  It reads only headers; the kernel moves the data.
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
    from typing import Any, Callable

MOST_NAMES = 100  # names in an answer
EXPECTED = 100  # names that identify the first file
PLACED = 100000  # directories whose place is remembered
DEEP = 10000  # nested directories


class Selection:
    """The requested paths; [] means all."""

    def __init__(self, asked: "list[bytes]"):
        self.asked = set(asked)
        self.steps: "dict[bytes, dict[bytes, list[bytes]]]" = {}  # {directory above: {next name: [requested paths]}}
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
        self.to = to  # resolved, without links
        self.selection, self.delete = selection, delete
        self.record = record if record and record.is_there else None
        self.placed: "set[bytes]" = set()
        self.expected: "set[bytes]" = set()
        self.count = 0
        self.deleted: "list[str]" = []
        self.kept: "dict[bytes, bytes]" = {}  # {link in place of a directory: its target}
        self.gone: "set[bytes]" = set()
        self.later: "list[bytes]" = []

    def run(self, branch: int, answer: int) -> None:
        """Copy standard input to standard output and ``branch``; write the findings to ``answer``."""
        mover = Mover(1, branch)
        self.watched(lambda: self.pass_on(mover), answer)
        os.set_inheritable(branch, True)
        os.execvpe("tee", ["tee", "/proc/self/fd/%d" % branch], environment())

    def watched(self, work: "Callable[[], Any]", answer: int) -> None:
        """Write the findings of some work to ``answer``."""
        sys.setrecursionlimit(DEEP)
        try:
            work()
        except Problem as exc:
            self.say(answer, {"refused": str(exc)})
            raise
        later = [name for name in self.later if not self.is_shared(name)]
        kept = [told(name) for name in sorted(self.kept)[:MOST_NAMES]]
        self.say(answer, {"gone": names(self.gone), "later": names(later), "kept": kept})

    def say(self, answer: int, more: "dict[str, Any]") -> None:
        with os.fdopen(answer, "w") as text:
            json.dump(dict(more, count=self.count, deleted=self.deleted), text)

    def pass_on(self, mover: Mover) -> None:
        """Check and pass on all directories, and files named in tape_paths between them."""
        headers = header.Headers(mover.take)
        while True:
            member = headers.next()
            if member is not None:
                self.judge(member)
            mover.give(headers.raw)
            if member is None or self.is_past(member):
                return
            mover.move(member.size)

    def is_past(self, member: header.Member) -> bool:
        """Whether all directories come before this one, which is the first file."""
        return not member.is_directory and member.name in self.expected

    def judge(self, member: header.Member) -> None:
        name = member.name
        if b".." in name.split(b"/"):
            return
        if not member.is_directory:
            name = name.rpartition(b"/")[0]
        if member.is_directory and member.dumpdir is not None and len(self.expected) < EXPECTED:
            listed = [each[1:] for each in member.dumpdir.split(b"\0") if each[:1] == b"Y"]
            self.expected.update(name + b"/" + each for each in listed[:EXPECTED])
        if name not in self.selection.steps and not self.selection.covers(name):
            return
        self.place(name)
        if member.is_directory and member.dumpdir is not None:
            entries = {each[1:]: each[:1] for each in member.dumpdir.split(b"\0") if each[:1] in (b"Y", b"N", b"D")}
            self.compare(name, entries)

    def place(self, name: bytes) -> None:
        """Raises Problem if a directory is a symbolic link to outside ``to``; /lib, for example, is often a link."""
        if name in self.placed or name == b".":
            return
        self.place(name.rpartition(b"/")[0])
        path = self.path(name)
        if os.path.islink(path) and os.path.isdir(path):
            real = os.path.realpath(path)
            if not (real + b"/").startswith(self.to.rstrip(b"/") + b"/"):
                raise Problem(
                    "%s is a symbolic link that leads out of %s, to %s, but the archive has a directory with this name"
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
        """Compare a directory with its list in the archive; remove restored files that the list lacks."""
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
        """Whether its directory has two names here: a file missing under one may belong to the other."""
        folder = os.path.realpath(os.path.dirname(self.path(name))) if self.kept else b""
        return any((folder + b"/").startswith(real + b"/") for real in self.kept.values())

    def remove_now(self, names: "list[bytes]") -> None:
        """Remove everything that is not in the archive, on request, after the archive proved to be intact."""
        for name in names:
            folder = os.path.dirname(self.path(name))
            before = os.stat(folder)
            self.remove(name, before.st_dev, True)
            os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self, name: bytes, device: int, everything: bool) -> None:
        """Remove everything, or only restored files; never files on another file system."""
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
