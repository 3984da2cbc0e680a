# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incremental state of each run on this host: {state_dir}/{tape host}/{set}/{run}.{snar,json,list.gz,seal}.

A state becomes a base only if the catalog has marked its run as good; that is not decided here.
"""

import fcntl
import json
import os
import re
import select
import tempfile
import time

from ..common.files import sync_folder
from ..common.names import shown
from ..common.now import tell
from ..common.problem import NO_BASE, SETTINGS, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Iterable, Iterator

REPORTED = ".reported"
SEAL = ".seal"  # of an archive that passed through filters: what arrived behind them
SUFFIXES = (".json", ".list.gz", ".snar", SEAL, REPORTED)  # a run exists only if it has the first one
UNREPORTED = 86400  # seconds that a state is kept until its report is fetched
LOCK_POLL = 0.5  # seconds: polling interval for the lock
CHUNK = 1024**2
UNFINISHED = ".tmp"
FORMAT_2 = re.compile(rb"(GNU tar-[^\n]*-2\n)(\d+)(\0\d+\0)")  # the manual's "Format 2" of snapshot files
DIRECTORY = re.compile(rb"[01]\0-?\d+\0-?\d+\0\d+\0\d+\0[^\0]")  # NFS, seconds, nanoseconds, device, inode, path
CUT = re.compile(r"and \d+ more\Z")  # the end of a list in a report, see plan.bounded()
BETWEEN = b"\0\0\0"  # ends the record of a directory, and cannot occur inside one


def no_base(why: str) -> Problem:
    """The problem that a run cannot be the base of an increment."""
    return Problem(why, kind=NO_BASE)


class States:
    """The states of one set."""

    def __init__(self, folder: bytes):
        self.folder = folder
        self.lock = -1
        self.files: "list[Any]" = []

    def path(self, run: str, suffix: str) -> bytes:
        return os.path.join(self.folder, (run + suffix).encode())

    def open(self, out: int) -> None:
        """Create and lock the folder, private to its owner; ``out``: the output, whose reader may give up waiting."""
        os.makedirs(self.folder, 0o700, exist_ok=True)
        os.chmod(self.folder, 0o700)
        self.lock = os.open(os.path.join(self.folder, b"lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self.locked():
            tell(
                "waiting for process %s, another backup of this set on this host (it holds %s/lock)"
                % (os.read(self.lock, 20).decode("ascii", "replace") or "?", shown(self.folder))
            )
            while not self.locked():
                if reader_gone(out):
                    raise Problem("the reader of the archive has gone before it was begun: another backup was running")
            tell("")
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, b"%d" % os.getpid(), 0)

    def free(self) -> bool:
        """Lock the folder if it exists and nobody else has."""
        try:
            self.lock = os.open(os.path.join(self.folder, b"lock"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return self.locked()

    def locked(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def prune(self, keep: "Iterable[str]") -> None:
        """Remove the states of other runs, and leftovers of a killed run.

        The report of another job's run may not have been fetched yet; without it, that archive would be useless.
        """
        kept = {run + suffix for run in keep for suffix in SUFFIXES}
        names = sorted(os.fsdecode(each) for each in os.listdir(self.folder))
        for name in names:
            run = name[: -len(".json")]
            if name.endswith(".json") and run + REPORTED not in names and self.age(name) < UNREPORTED:
                kept.update(run + suffix for suffix in SUFFIXES)
        for name in names:
            if name.endswith(SUFFIXES + (UNFINISHED,)) and name not in kept:
                os.unlink(os.path.join(self.folder, os.fsencode(name)))

    def age(self, name: str) -> float:
        return time.time() - os.stat(os.path.join(self.folder, os.fsencode(name))).st_mtime

    def reported(self, run: str) -> None:
        """Mark a run as reported to the tape host."""
        os.close(os.open(self.path(run, REPORTED), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def forget(self, run: str) -> None:
        """Remove the state of an earlier attempt of the same run."""
        for suffix in SUFFIXES:
            try:
                os.unlink(self.path(run, suffix))
            except FileNotFoundError:
                pass

    def facts(self, run: str) -> "dict[str, Any]":
        """The facts that create recorded for a run; raises OSError and ValueError."""
        with open(self.path(run, ".json"), encoding="utf-8") as text:
            return dict(json.load(text))

    def check(
        self,
        run: str,
        level: int,
        now: str,
        systems: "dict[str, str]",
        wanted: "dict[str, Any]",
        sha256: "str | None" = None,
    ) -> None:
        """Raises Problem (NO_BASE) if this run cannot be the base of an increment.

        ``wanted``: the facts of the new archive that describe its contents; ``sha256``: of the archive on tape.  If two
        jobs have resumed a run, the state here may be that of a later archive, which is not on tape.
        """
        try:
            facts = self.facts(run)
            before, made, lower = dict(facts["file_systems"]), str(facts["time"]), int(facts["level"])
            if facts.get("incomplete"):
                raise no_base("the archive of run %s has errors" % run)
            os.stat(self.path(run, ".snar"))
            if sha256 and facts["sha256"] != sha256:
                raise no_base(
                    "this host wrote run %s again later, and its state is not that of the archive on tape" % run
                )
            compare(run, facts, wanted)
        except (OSError, ValueError, KeyError, TypeError):
            raise no_base(
                "this host has no state of run %s in %s (it was reinstalled, or the state was removed)"
                % (run, shown(self.folder))
            ) from None
        if lower >= level:
            raise Problem(
                "run %s was level %d, which cannot be the base of level %d" % (run, lower, level), kind=SETTINGS
            )
        if made > now:
            raise no_base(
                "run %s was made at %s, but this host's clock shows %s: changes since then would be missed"
                % (run, made, now)
            )
        for path, uuid in systems.items():
            if uuid != before.get(path, uuid):
                raise no_base("%s is another file system (%s) than in run %s (%s)" % (path, uuid, run, before[path]))

    def unfinished(self, run: str, suffix: str) -> bytes:
        """The path of a file that is not complete yet."""
        return self.path(run, suffix + UNFINISHED)

    def finish(self, run: str, suffix: str) -> None:
        """Complete a file: flush it to the disk, then give it its name."""
        path = self.unfinished(run, suffix)
        with open(path, "rb") as whole:
            os.fsync(whole.fileno())
        os.rename(path, self.path(run, suffix))
        sync_folder(self.folder)

    def save(self, run: str, facts: "dict[str, Any]") -> None:
        """Write the last file of a state."""
        with open(self.unfinished(run, ".json"), "w", encoding="utf-8", opener=private) as text:
            json.dump(facts, text)
        self.finish(run, ".json")

    def copy(self, run: str, target: "BinaryIO", ahead: int = 0) -> None:
        """Copy the snapshot of a run into a file, because tar changes it even if it fails."""
        try:
            with open(self.path(run, ".snar"), "rb") as source:
                copied(source, target, ahead)
        except OSError as exc:
            raise no_base("the state of run %s cannot be read (%s)" % (run, exc)) from None
        target.flush()

    def scratch(self) -> "Any":
        """A file without a name, which always disappears with this process."""
        return tempfile.TemporaryFile(dir=self.folder if os.path.isdir(self.folder) else None)

    def unnamed(self, lines: "list[bytes]") -> bytes:
        """The path of such a file with these lines, for a program that inherits its descriptor."""
        file = self.scratch()
        file.writelines(lines)
        file.flush()
        self.files.append(file)
        return b"/proc/self/fd/%d" % file.fileno()

    @property
    def descriptors(self) -> "tuple[int, ...]":
        """The descriptors of all such files."""
        return tuple(file.fileno() for file in self.files)


def compare(run: str, before: "dict[str, Any]", wanted: "dict[str, Any]") -> None:
    """Raises Problem (NO_BASE) unless the base includes everything that the new archive should.

    tar skips files older than the base, even those that the base left out, so no archive would contain them.
    """
    before = dict(wanted, **before)
    if wanted["host"] and before["host"] != wanted["host"]:
        raise no_base("run %s was an archive of %s: do both names refer to this machine?" % (run, before["host"]))
    paths = [each for each in wanted["paths"] if each not in before["paths"]]
    if paths:
        raise no_base("run %s did not include %s of tape_paths" % (run, paths[0]))
    known = before.get("excludes_sha256")
    if known is None or known != wanted["excludes_sha256"]:
        compare_excludes(run, before["excludes"], wanted["excludes"])
    if before["one_file_system"] and not wanted["one_file_system"]:
        raise no_base("run %s left out other file systems, and tape_one_file_system is false now" % run)


def compare_excludes(run: str, before: "list[str]", wanted: "list[str]") -> None:
    """Raises Problem (NO_BASE) if a pattern is missing now, or if that is unknown because the list was cut."""
    cut = before[-1:] if CUT.match("".join(before[-1:])) else []
    missing = [each for each in before if each not in wanted and each not in cut]
    if missing:
        what = "run %s left out %s, which is in neither tape_excludes nor tape_exclude_files any more"
        raise no_base(what % (run, missing[0]))
    if cut:
        raise no_base("run %s left out thousands of patterns, and they are not the same any more" % run)


def reader_gone(out: int) -> bool:
    """Whether a pipe or socket has lost its reader; returns after a pause."""
    poller = select.poll()
    poller.register(out, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _fd, event in poller.poll(int(LOCK_POLL * 1000)))


def private(path: "Any", flags: int) -> int:
    return os.open(path, flags, 0o600)


def copied(source: "BinaryIO", target: "BinaryIO", ahead: int = 0) -> None:
    """Copy a snapshot file without device numbers, for a tar with --no-check-device.

    tar then identifies a directory by its path and inode, and never detects a rename.  The device numbers of LVM, NFS,
    NVMe and btrfs can change at each boot, and everything would count as new.  tar also mistakes a new directory with
    the inode of a removed one, which ext4 reuses, for a renamed one, and such an archive cannot be restored ("Cannot
    rename").  The price is that files below a renamed directory are archived again.

    ``ahead``: seconds by which the clock was ahead, subtracted from the time in the file so that tar misses no change.
    """
    records = read_snapshot(source)
    head = FORMAT_2.match(next(records))
    if head:
        target.write(b"%b%d%b" % (head.group(1), max(0, int(head.group(2)) - ahead), head.group(3)))
    for record in records:
        fields = record.split(b"\0", 4)
        fields[3] = b"0"
        target.write(b"\0".join(fields) + BETWEEN)


def read_snapshot(source: "BinaryIO") -> "Iterator[bytes]":
    """The head of a snapshot file, then the record of each directory; raises Problem."""
    rest = source.read(CHUNK)
    head = FORMAT_2.match(rest)
    if not head:
        raise no_base("the state of the base was not written by tar 1.16 or later")
    yield head.group()
    rest = rest[head.end() :]
    while True:
        chunk = source.read(CHUNK)
        *records, rest = (rest + chunk).split(BETWEEN)
        for record in records:
            if not DIRECTORY.match(record):
                raise no_base("the state of the base is damaged")
            yield record
        if not chunk:
            break
    if rest:
        raise no_base("the state of the base is damaged")
