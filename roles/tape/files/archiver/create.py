# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""create, report and estimate: this host's files as an archive."""

import os
import re
import shutil
import sys
import time

from crew import DEVNULL, Child, Crew, pipe
from gnutar import Tar, TarSays, checksum_argv, complaint
from names import List
from settings import Settings, checked, shown
from state import States, file_systems, private, with_files
from trouble import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

# what tar says of every directory and every socket of a host, each night
SILENT = ("new-directory", "rename-directory", "file-ignored")
TOLD = 1000  # characters of a name in an answer
# of each file the times that cannot be restored, or would only say when it was backed up
NO_TIMES = "--pax-option=delete=atime,delete=ctime"


def exclude_options(settings: Settings) -> "list[bytes]":
    """A pattern that begins with / is of the whole name, any other one of its last parts, as tar has it.

    Never --wildcards: it is about the names to archive too, and then tar 1.34 leaves out all directories.
    """
    own = re.sub(rb"[\\*?[]", rb"\\\g<0>", settings.state_dir)  # tar changes it while it reads
    found = [b"--anchored", b"--exclude=." + own]
    for pattern in settings.excludes:
        if pattern.startswith(b"/"):
            found += [b"--anchored", b"--exclude=." + pattern]
        else:
            found += [b"--no-anchored", b"--exclude=" + pattern]
    return found


def tar_argv(tar: Tar, settings: Settings, snapshot: bytes, *words: "str | bytes") -> "list[bytes]":
    """tar's command line, for an archive and for the estimate of one.

    Names are relative to /, where it runs, and begin with "./": then "/" itself is one like the others.
    """
    return tar.argv(
        "--create",
        "--format=posix",  # whole names, large numbers, fractions of a second; extended attributes need it
        NO_TIMES,
        "--sparse",
        "--blocking-factor=%d" % (settings.block_size // 512),
        b"--listed-incremental=" + snapshot,
        "--no-check-device",
        *words,
        *["--warning=no-" + each for each in SILENT],  # after --verbose, which turns them on
        *(["--one-file-system"] if settings.one_file_system else []),
        *exclude_options(settings),
        *[b"." + path if path != b"/" else b"." for path in settings.paths],
    )


class Plan:
    """What is asked for, checked, before anything starts."""

    def __init__(self, settings: Settings, words: "argparse.Namespace"):
        self.level: int = words.level
        self.base: "str | None" = checked("run", words.base) if words.base else None
        if (self.level > 0) != (self.base is not None):
            raise Trouble("level %d %s a --base" % (self.level, "needs" if self.level else "has no use for"), 2)
        self.block_size, self.excludes = settings.block_size, settings.excludes
        self.started = time.time()
        self.now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started))
        self.states = States(settings.state_dir)
        self.file_systems = file_systems(settings.paths)
        if self.base is not None:
            self.states.base(self.base, self.level, self.now, self.file_systems)

    def write_snapshot(self, target: "Any") -> None:
        """What tar starts from: nothing, or a copy of what it knew after the base."""
        if self.base is not None:
            self.states.copy(self.base, target)


def create(settings: Settings, words: "argparse.Namespace") -> None:
    """The archive goes to standard output, what is known of it into the state."""
    run, host = checked("run", words.run), words.host
    if not host or any(not character.isprintable() or character == " " for character in host):
        raise Trouble("%r is no name of a host: it is a word of the archive's label" % host, 2)
    if os.isatty(1):
        raise Trouble("the archive goes to standard output, which is a terminal", 2)
    kept = [checked("run", each) for each in words.keep.split(",") if each]
    tar = Tar()
    plan = Plan(settings, words)
    if plan.base == run:
        raise Trouble("run %s cannot be its own base" % run, 2)
    states = plan.states
    states.open()
    states.prune(kept + [run] + ([plan.base] if plan.base else []))
    states.forget(run)
    label = "%s %s %d %s %s" % (run, host, plan.level, plan.now, settings.set)
    facts = {
        "run": run,
        "host": host,
        "set": settings.set,
        "level": plan.level,
        "base": plan.base,
        "time": plan.now,
        "label": label,
        "paths": [shown(path) for path in settings.paths],
        "excludes": [shown(pattern) for pattern in plan.excludes],
        "one_file_system": settings.one_file_system,
        "block_size": plan.block_size,
        "file_systems": plan.file_systems,
        "tar_version": tar.version,
        "metadata": tar.metadata,
    }
    try:
        facts.update(write(tar, settings, plan, run, label))
    except BaseException:
        states.forget(run)
        states.prune(kept + [run] + ([plan.base] if plan.base else []))
        raise
    facts["elapsed"] = round(time.time() - plan.started, 3)
    states.finish(run, ".snar")
    states.finish(run, ".list.gz")
    states.save(run, facts)
    for line in facts["warnings"]:
        sys.stderr.write(line + "\n")
    sys.stderr.write("%d files, %d bytes, %d warnings\n" % (facts["files"], facts["bytes"], facts["warning_count"]))


def write(tar: Tar, settings: Settings, plan: Plan, run: str, label: str) -> "dict[str, Any]":
    """tar | tee >(checksum) | standard output; returns what is known of the archive when all of it is out."""
    snapshot = plan.states.unfinished(run, ".snar")
    with open(snapshot, "wb", opener=private) as copy:
        plan.write_snapshot(copy)
    names = List(open(plan.states.unfinished(run, ".list.gz"), "wb", opener=private))
    digest, says = bytearray(), TarSays()
    checksum = checksum_argv()
    with Crew() as crew:
        archive, archive_in = pipe()
        branch, branch_in = pipe()
        index, sum_out = crew.listen(names), crew.listen(digest.extend)
        summer = crew.start("the checksum's program", checksum, stdin=branch, stdout=sum_out)
        tee = crew.start("tee", [b"tee", b"/proc/self/fd/%d" % branch_in], archive, 1, fds=(branch_in,))
        argv = tar_argv(
            tar,
            settings,
            snapshot,
            "--verbose",
            "--index-file=/proc/self/fd/%d" % index,
            "--label=" + label,
            "--file=-",
        )
        source = crew.start("tar", argv, DEVNULL, archive_in, fds=(index,), ok=(0, 1), says=says)
        for fd in (archive, archive_in, branch, branch_in, index, sum_out):
            os.close(fd)
        crew.wait(out=1)
    judge(source, tee, summer, crew.reader_gone)
    names.finish()
    if says.total <= 0 or says.total % settings.block_size or len(digest) < 64:
        raise Trouble(
            "tar says that it wrote %d bytes, which are no whole blocks of %d" % (says.total, settings.block_size)
        )
    return {
        "bytes": says.total,
        "sha256": digest[:64].decode("ascii"),
        "tar": source.status,
        "warnings": says.first,
        "warning_count": says.count,
        "other_file_systems": other_file_systems(settings, says.elsewhere),
        "files": names.count,
    }


def other_file_systems(settings: Settings, names: "list[str]") -> "list[str]":
    """What is mounted below the paths and therefore not in the archive, though it has files; tar's names."""
    with open("/proc/self/mounts", "rb") as mounts:
        return with_files(sorted({name[1:] for name in names} - set(map(shown, settings.paths))), mounts.read())


def judge(tar: Child, tee: Child, summer: Child, reader_gone: bool) -> None:
    """Raises Trouble with the cause, not with what followed from it."""
    if summer.failed and not summer.killed:
        raise Trouble("the checksum's program %s: %s" % (summer.how(), " ".join(summer.says.last)))
    if tar.failed and not tar.killed and not tar.by_pipe:
        hint = "" if os.geteuid() == 0 else " (not as root: become: true?)"
        raise Trouble(complaint(tar) + hint, before=tar.says.last[:-1])
    if reader_gone or tee.failed:
        said = " ".join(tee.says.last)
        raise Trouble(
            "whoever was to read the archive is gone, and it is not complete: the reason is on the other host%s"
            % (" (%s)" % said if said else "")
        )


def report(settings: Settings, words: "argparse.Namespace") -> None:
    """A line of JSON, and then the list of names, still compressed."""
    states = States(settings.state_dir)
    run = checked("run", words.run)
    try:
        facts = open(states.path(run, ".json"), "rb")
        names = open(states.path(run, ".list.gz"), "rb")
    except FileNotFoundError:
        raise Trouble(
            "no archive of run %s was completed on this host: nothing of it is in %s" % (run, shown(states.folder))
        ) from None
    with facts, names:
        out = sys.stdout.buffer
        out.write(facts.read().rstrip(b"\n") + b"\n")
        shutil.copyfileobj(names, out, 1024**2)
        out.flush()


def estimate(settings: Settings, words: "argparse.Namespace") -> "dict[str, Any]":
    """How long the archive will be.  tar knows /dev/null, and reads no file for it."""
    tar = Tar()
    plan = Plan(settings, words)
    says = TarSays()
    with plan.states.scratch() as snapshot, Crew() as crew:
        plan.write_snapshot(snapshot)
        snapshot.flush()
        snar = b"/proc/self/fd/%d" % snapshot.fileno()
        argv = tar_argv(tar, settings, snar, "--label=an estimate", "--file=/dev/null")
        source = crew.start("tar", argv, fds=(snapshot.fileno(),), ok=(0, 1), says=says)
        crew.wait()
    if source.failed:
        raise Trouble(complaint(source), before=says.last[:-1])
    mounted = other_file_systems(settings, says.elsewhere)
    return {
        "bytes": says.total,
        "warnings": says.first,
        "warning_count": says.count,
        "other_file_systems": [each[:TOLD] for each in mounted[:3]],
        "mounted": len(mounted),
    }
