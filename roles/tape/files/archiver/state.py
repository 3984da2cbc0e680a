# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tar remembers on this host of each run: {state_dir}/{set}/{run}.{snar,json,list.gz}.

A state is only ever a base when the catalog has called its run good; nothing here decides that.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile

from settings import shown
from trouble import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

SUFFIXES = (".json", ".list.gz", ".snar")  # a run is there only with its first one
UNFINISHED = ".tmp"
FORMAT_2 = re.compile(rb"GNU tar-[^\n]*-2\n\d+\0\d+\0")  # the manual's "Format 2" of snapshot files
BETWEEN = b"\0\0\0"  # ends each directory's record, and is nowhere inside of one


class States:
    """The states of one set."""

    def __init__(self, folder: bytes):
        self.folder = folder
        self.lock = -1

    def path(self, run: str, suffix: str) -> bytes:
        return os.path.join(self.folder, (run + suffix).encode())

    def open(self) -> None:
        """Make the folder, for its owner alone, and be the only one that works on it."""
        os.makedirs(self.folder, 0o700, exist_ok=True)
        os.chmod(self.folder, 0o700)
        self.lock = os.open(os.path.join(self.folder, b"lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self.lock, 20).decode("ascii", "replace") or "?"
            raise Trouble(
                "another backup of this set is running on this host, as process %s (it holds %s/lock)"
                % (holder, shown(self.folder))
            ) from None
        os.ftruncate(self.lock, 0)
        os.write(self.lock, b"%d" % os.getpid())

    def prune(self, keep: "Iterable[str]") -> None:
        """Remove the states of other runs, and what an earlier run that was killed has left."""
        kept = {run + suffix for run in keep for suffix in SUFFIXES}
        for name in sorted(os.fsdecode(each) for each in os.listdir(self.folder)):
            if name.endswith(SUFFIXES + (UNFINISHED,)) and name not in kept:
                os.unlink(os.path.join(self.folder, os.fsencode(name)))

    def forget(self, run: str) -> None:
        """An earlier attempt of the same run is no longer worth anything."""
        for suffix in SUFFIXES:
            try:
                os.unlink(self.path(run, suffix))
            except FileNotFoundError:
                pass

    def facts(self, run: str) -> "dict[str, Any]":
        """What create said of a run; raises FileNotFoundError."""
        with open(self.path(run, ".json"), encoding="utf-8") as text:
            found = json.load(text)
        assert isinstance(found, dict)
        return found

    def base(self, run: str, level: int, now: str) -> "dict[str, Any]":
        """What is known of the run that an incremental is relative to; raises Trouble if it cannot be that."""
        try:
            facts = self.facts(run)
            os.stat(self.path(run, ".snar"))
        except (FileNotFoundError, ValueError):
            raise Trouble(
                "no state of run %s is in %s on this host (a new installation, or it was removed): run level 0"
                % (run, shown(self.folder))
            ) from None
        if facts["level"] >= level:
            raise Trouble("run %s was level %d: it is no base for level %d" % (run, facts["level"], level), 2)
        if facts["time"] > now:
            raise Trouble(
                "run %s was made at %s, and this host's clock says %s: what changed since would be missed; "
                "set the clock, or run level 0" % (run, facts["time"], now)
            )
        return facts

    def unfinished(self, run: str, suffix: str) -> bytes:
        """A path to write to until it is whole."""
        return self.path(run, suffix + UNFINISHED)

    def finish(self, run: str, suffix: str) -> None:
        """It is whole: on disk first, then under its name."""
        path = self.unfinished(run, suffix)
        with open(path, "rb") as whole:
            os.fsync(whole.fileno())
        os.rename(path, self.path(run, suffix))
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def save(self, run: str, facts: "dict[str, Any]") -> None:
        """The last file of a state."""
        with open(self.unfinished(run, ".json"), "w", encoding="utf-8", opener=private) as text:
            json.dump(facts, text)
        self.finish(run, ".json")

    def copy(self, run: str, target: "Any", devices: "dict[int, int]") -> None:
        """What tar remembers of a run, into a file of ours: tar changes it even if it fails."""
        with open(self.path(run, ".snar"), "rb") as source:
            if devices:
                target.write(renumbered(source.read(), devices))
            else:
                shutil.copyfileobj(source, target, 1024**2)
        target.flush()

    def scratch(self) -> "Any":
        """A file without a name, gone with us whatever happens."""
        return tempfile.TemporaryFile(dir=self.folder if os.path.isdir(self.folder) else None)


def private(path: "Any", flags: int) -> int:
    return os.open(path, flags, 0o600)


def device_numbers(paths: "list[bytes]", below: bool) -> "dict[str, int]":
    """{path: device} of what is to be archived, and, if other file systems ``below`` are part of it, of these."""
    points = list(paths)
    if below:
        with open("/proc/self/mounts", "rb") as mounts:
            for line in mounts:  # fstab(5): in the second word a space is \\040
                point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal.group(1), 8)]), line.split(b" ")[1])
                if any(point.startswith(path.rstrip(b"/") + b"/") for path in paths):
                    points.append(point)
    found = {}
    for point in points:
        try:
            found[shown(point)] = os.lstat(point).st_dev
        except OSError:  # a mount point that only its user may look at, or that has just gone: for tar to say
            pass
    return found


def moved_devices(before: "dict[str, int]", now: "dict[str, int]") -> "dict[int, int]":
    """{old number: new number} of file systems; empty if none has changed.

    tar knows a directory by device and inode.  The numbers of LVM, NFS, NVMe and btrfs change when a host is started
    again: everything would be new to tar.  Worse, where two file systems have exchanged their numbers, it would take
    directories of one for renamed ones of the other.  Which file system has which number is known from the paths.
    """
    found: "dict[int, int]" = {}
    for path in sorted(set(before) & set(now)):
        if found.setdefault(before[path], now[path]) != now[path]:
            raise Trouble("%s was on one file system with another path, and is on its own now: run level 0" % path)
    if len(set(found.values())) < len(found):
        raise Trouble("paths that were on file systems of their own are on one now: run level 0")
    for number in before.values():
        found.setdefault(number, 0)  # of a path that is no longer asked for: a number that no file system has
    return found if any(old != new for old, new in found.items()) else {}


def renumbered(snapshot: bytes, devices: "dict[int, int]") -> bytes:
    """A snapshot file with other device numbers: the fourth field of each directory's record."""
    head = FORMAT_2.match(snapshot)
    if not head:
        raise Trouble("the numbers of devices have changed, and this tar's state is of another format: run level 0")
    names = {b"%d" % old: b"%d" % new for old, new in devices.items()}
    records = snapshot[head.end() :].split(BETWEEN)
    for index, record in enumerate(records):
        fields = record.split(b"\0", 4)
        if len(fields) == 5:
            fields[3] = names.get(fields[3], fields[3])
            records[index] = b"\0".join(fields)
    return head.group() + BETWEEN.join(records)
