# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares restored files with the entries of their archives, as tar lists them while it extracts.

The checksum has proved that these are the entries that the host wrote.  Type, size, mode and time of each file are
compared, and as root its owner.
"""

import calendar
import os
import re
import stat
import time

from ..common.names import shown
from .filenames import unescaped
from .record import LISTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .record import Record

MOST = 20  # differences to name
# a line of --verbose --verbose --quoting-style=c --full-time --utc --numeric-owner
ENTRY = re.compile(
    rb"(?P<kind>.)(?P<mode>[rwxsStT-]{9})\S? +(?P<uid>\d+)/(?P<gid>\d+) +(?P<size>\d+|\d+,\d+) "
    rb"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))? +"
    rb'"(?P<name>\./(?:[^"\\]|\\.)*)"(?: (?:->|link to) "(?P<link>(?:[^"\\]|\\.)*)")?\Z'
)
KINDS = {
    b"-": stat.S_ISREG,
    b"C": stat.S_ISREG,
    b"d": stat.S_ISDIR,
    b"l": stat.S_ISLNK,
    b"b": stat.S_ISBLK,
    b"c": stat.S_ISCHR,
    b"p": stat.S_ISFIFO,
}
BITS = (0o400, 0o200, 0o100, 0o40, 0o20, 0o10, 0o4, 0o2, 0o1)
SPECIAL = {2: 0o4000, 5: 0o2000, 8: 0o1000}
MICROSECOND = 1000  # nanoseconds


class Listing:
    """The entries of the archives of one restore, one a line, in the record of the restore."""

    def __init__(self, record: "Record"):
        self.path = record.file(LISTING)
        self.target = open(self.path, "ab")
        self.start = self.target.tell()  # of this archive
        self.compared = self.count = 0
        self.differences: "list[str]" = []

    def __call__(self, line: bytes) -> None:
        self.target.write(line + b"\n")

    def compare(self, to: bytes, more: bool) -> "dict[str, Any]":
        """Compare all entries of this archive, and at the last one count files of earlier ones that are gone."""
        self.target.close()
        for line in self.lines(self.start):
            self.compared += 1
            why = different(to, line)
            if why:
                self.count += 1
                if len(self.differences) < MOST:
                    self.differences.append(why)
        return {
            "compared": self.compared,
            "differences": self.differences,
            "difference_count": self.count,
            "absent": 0 if more else self.absent(to),
        }

    def lines(self, start: int, end: "int | None" = None) -> "Iterator[bytes]":
        with open(self.path, "rb") as source:
            source.seek(start)
            for line in source:
                yield line[:-1]
                if end is not None:
                    end -= len(line)
                    if end <= 0:
                        return

    def absent(self, to: bytes) -> int:
        """The number of files of earlier archives that are not there any more."""
        gone = set()
        for line in self.lines(0, self.start) if self.start else ():
            entry = ENTRY.match(line)
            if entry:
                name = unescaped(entry.group("name")).rstrip(b"/")
                if not os.path.lexists(to + name[1:]):
                    gone.add(name)
        return len(gone)


def different(to: bytes, line: bytes) -> str:
    """How the file of an entry differs, "" if it does not."""
    entry = ENTRY.match(line)
    if entry is None:
        return "%s: this entry of the archive cannot be compared" % shown(line)
    name = unescaped(entry.group("name")).rstrip(b"/")
    if name == b".":  # the scratch directory keeps its own owner and mode
        return ""
    try:
        found = os.lstat(to + name[1:])
    except OSError as exc:
        return "%s: %s" % (shown(name[1:]), exc.strerror)
    words = differences(entry, found, to)
    return "%s: %s" % (shown(name[1:]), ", ".join(words)) if words else ""


def differences(entry: "Any", found: "os.stat_result", to: bytes) -> "list[str]":
    """The differences between an entry and a file, in words."""
    kind = entry.group("kind")
    if kind == b"h":
        other = to + unescaped(entry.group("link"))[1:]
        same = os.path.lexists(other) and os.path.samestat(os.lstat(other), found)
        return [] if same else ["is not the same file as %s" % shown(unescaped(entry.group("link"))[1:])]
    if kind not in KINDS or not KINDS[kind](found.st_mode):
        return ["is of another type"]
    words = []
    if stat.S_ISREG(found.st_mode) and int(entry.group("size")) != found.st_size:
        words.append("has %d bytes, not %d" % (found.st_size, int(entry.group("size"))))
    mode = mode_of(entry.group("mode"))
    if not stat.S_ISLNK(found.st_mode) and mode != stat.S_IMODE(found.st_mode):
        words.append("has mode %04o, not %04o" % (stat.S_IMODE(found.st_mode), mode))
    if not same_time(entry, found.st_mtime_ns):
        words.append("has another time than %s" % entry.group("time").decode())
    owner = (int(entry.group("uid")), int(entry.group("gid")))
    if os.geteuid() == 0 and owner != (found.st_uid, found.st_gid):
        words.append("has owner %d/%d, not %d/%d" % (found.st_uid, found.st_gid, owner[0], owner[1]))
    if kind == b"l" and os.fsencode(os.readlink(to + unescaped(entry.group("name"))[1:])) != unescaped(
        entry.group("link")
    ):
        words.append("leads elsewhere")
    return words


def mode_of(letters: bytes) -> int:
    """The mode of rwsr-xr-t."""
    mode = 0
    for number, letter in enumerate(letters.decode()):
        if letter in "rwxst":
            mode |= BITS[number]
        if letter in "sStT":
            mode |= SPECIAL[number]
    return mode


def same_time(entry: "Any", found: int) -> bool:
    """Whether a time in nanoseconds is that of the entry, as exactly as the file system can store it."""
    seconds = calendar.timegm(time.strptime(entry.group("time").decode(), "%Y-%m-%d %H:%M:%S"))
    fraction = int((entry.group("fraction") or b"").ljust(9, b"0"))
    times = [seconds * 10**9 + fraction]
    if seconds <= 0:  # tar 1.34 lists -1.5, half a second before 1969-12-31 23:59:59, as 23:59:59.5
        times.append(seconds * 10**9 - fraction)
    return any(abs(found - each) < MICROSECOND or found == each // 10**9 * 10**9 for each in times)
