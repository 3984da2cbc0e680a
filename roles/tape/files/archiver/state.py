# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tar remembers on this host of each run: {state_dir}/{set}/{run}.{snar,json,list.gz}.

A state is only ever a base when the catalog has called its run good; nothing here decides that.
"""

import fcntl
import json
import os
import re
import tempfile

from settings import shown
from trouble import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Iterable

SUFFIXES = (".json", ".list.gz", ".snar")  # a run is there only with its first one
CHUNK = 1024**2
UNFINISHED = ".tmp"
FORMAT_2 = re.compile(rb"GNU tar-[^\n]*-2\n\d+\0\d+\0")  # the manual's "Format 2" of snapshot files
# file systems that the kernel makes, that are in memory, or that show what is elsewhere too (a container's, a snap's)
NO_FILES = ["autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs"]
NO_FILES += ["efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "overlay", "proc", "pstore", "ramfs", "rpc_pipefs"]
NO_FILES += ["securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs"]
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

    def base(self, run: str, level: int, now: str, systems: "dict[str, str]") -> None:
        """Whether an incremental can be relative to this run; raises Trouble if it cannot."""
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
        for path, uuid in systems.items():
            before = facts["file_systems"].get(path, uuid)
            if uuid != before:
                raise Trouble(
                    "%s is another file system (%s) than in run %s (%s): run level 0" % (path, uuid, run, before)
                )

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

    def copy(self, run: str, target: "BinaryIO") -> None:
        """What tar remembers of a run, into a file of ours: tar changes it even if it fails."""
        with open(self.path(run, ".snar"), "rb") as source:
            copied(source, target)
        target.flush()

    def scratch(self) -> "Any":
        """A file without a name, gone with us whatever happens."""
        return tempfile.TemporaryFile(dir=self.folder if os.path.isdir(self.folder) else None)


def private(path: "Any", flags: int) -> int:
    return os.open(path, flags, 0o600)


def file_systems(paths: "Iterable[bytes]") -> "dict[str, str]":
    """{path: UUID of its file system} as far as udev knows: not of NFS, btrfs, ZFS, in a container."""
    folder = "/dev/disk/by-uuid"
    known = {}
    for uuid in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            known[os.stat(os.path.join(folder, uuid)).st_rdev] = uuid
        except OSError:  # a device that has just gone
            pass
    numbers = {shown(path): os.lstat(path).st_dev for path in paths}
    return {path: known[number] for path, number in numbers.items() if number in known}


def with_files(points: "Iterable[str]", mounts: bytes) -> "list[str]":
    """Those mount points, as shown, that somebody may want an archive of; ``mounts`` is /proc/self/mounts."""
    kinds = {}
    for line in mounts.split(b"\n")[:-1]:
        _device, point, kind = line.split(b" ")[:3]
        name = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal.group(1), 8)]), point)
        kinds[shown(name)] = kind.decode("ascii", "replace")
    return [point for point in points if kinds.get(point) not in NO_FILES]


def copied(source: "BinaryIO", target: "BinaryIO") -> None:
    """A snapshot file with no device's number in it, for a tar with --no-check-device.

    A directory is then known by its path and its inode, and tar never finds that one was renamed.  The numbers of LVM,
    NFS, NVMe and btrfs change when a host is started again: everything would be new.  And tar takes a new directory
    for a renamed one when it has the inode of one that was removed, which is what ext4 gives it: such an archive can
    be made and not be restored ("Cannot rename").  The price: what is below a renamed directory is archived once more.
    """
    rest = source.read(CHUNK)
    head = FORMAT_2.match(rest)
    if not head:
        raise Trouble("the state of the base is not of a tar from 1.16 on: run level 0")
    target.write(head.group())
    rest = rest[head.end() :]
    while True:
        chunk = source.read(CHUNK)
        *records, rest = (rest + chunk).split(BETWEEN)
        for record in records:
            fields = record.split(b"\0", 4)  # NFS, seconds, nanoseconds, device, inode and so on
            fields[3] = b"0"
            target.write(b"\0".join(fields) + BETWEEN)
        if not chunk:
            break
    if rest:
        raise Trouble("the state of the base is damaged: run level 0")
