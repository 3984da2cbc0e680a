# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""create, report and estimate: archives of this host's files."""

import os
import re
import shutil
import sys
import time
from subprocess import DEVNULL

from ..common import names
from ..common.names import shown
from ..common.problem import MACHINE, NO_BASE, SETTINGS, Problem
from . import mounts
from .command import tar_argv
from .crew import MOST_LINES, Child, Crew, pipe
from .filenames import List
from .gnutar import Tar, TarSays, checksum_argv, complaint
from .settings import Settings
from .state import States, private

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

MOST_CHARACTERS = 1000  # characters of a name in an answer
REPORT_SIZE = 64 * 1024  # characters of a list in a report
KEEPING = "; tape_keep_incomplete keeps such an archive"


class Plan:
    """The checked request, before anything starts."""

    def __init__(self, settings: Settings, words: "argparse.Namespace"):
        self.settings = settings
        self.level: int = words.level
        self.base: "str | None" = names.checked("run", words.base) if words.base else None
        if (self.level > 0) != (self.base is not None):
            raise Problem(
                "level %d %s a --base" % (self.level, "needs" if self.level else "does not take"), kind=SETTINGS
            )
        self.ahead: int = words.ahead
        self.block_size, self.excludes = settings.block_size, settings.excludes
        self.started = time.time()
        self.now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started))
        self.states = States(settings.state_dir)
        self.file_systems = mounts.identify(settings.paths)
        self.out_of_reach = mounts.out_of_reach(settings.paths, self.excludes, settings.one_file_system)
        self.level_problem = ""
        # the contents of the archive: an increment must not include more than its base
        self.wanted = {
            "host": getattr(words, "host", ""),  # an estimate has no name
            "paths": bounded([shown(path) for path in settings.paths]),
            "excludes": bounded([shown(pattern) for pattern in self.excludes]),
            "one_file_system": settings.one_file_system,
        }  # type: dict[str, Any]

    def write_snapshot(self, target: "Any") -> None:
        """Write the snapshot file that tar starts from: that of the base, or an empty one for level 0."""
        if self.base is None:
            return
        try:
            self.states.check(self.base, self.level, self.now, self.file_systems, self.wanted)
            self.states.copy(self.base, target, self.ahead)
        except Problem as exc:
            if exc.kind != NO_BASE:
                raise
            target.seek(0)
            target.truncate()
            self.level_problem = "level 0 instead of %d: %s" % (self.level, exc)
            self.level, self.base = 0, None


def create(settings: Settings, words: "argparse.Namespace") -> None:
    """Write an archive to standard output, and its facts to the state."""
    run, host = names.checked("run", words.run), names.host(words.host)
    if os.isatty(1):
        raise Problem("standard output is a terminal: redirect it to receive the archive", kind=SETTINGS)
    kept = [names.checked("run", each) for each in words.keep.split(",") if each]
    same_machine(host, words.machine)
    tar = Tar()
    plan = Plan(settings, words)
    if plan.base == run:
        raise Problem("run %s cannot be its own base" % run, kind=SETTINGS)
    states = plan.states
    states.open(1)
    kept += [run] + ([plan.base] if plan.base else [])
    states.prune(kept)
    states.forget(run)
    try:
        facts = write(tar, plan, run, host)
    except BaseException:
        states.forget(run)
        states.prune(kept)
        raise
    states.save(run, facts)
    for line in facts["warnings"]:
        sys.stderr.write(line + "\n")
    sys.stderr.write("%d files, %d bytes, %d warnings\n" % (facts["files"], facts["bytes"], facts["warning_count"]))


def write(tar: Tar, plan: Plan, run: str, host: str) -> "dict[str, Any]":
    """tar | tee >(checksum) | standard output; returns the facts of the archive after its last byte."""
    settings, states = plan.settings, plan.states
    snapshot = states.unfinished(run, ".snar")
    with open(snapshot, "wb", opener=private) as copy:
        plan.write_snapshot(copy)
    label = "%s %s %d %s %s" % (run, host, plan.level, plan.now, settings.set)
    listing = List(open(states.unfinished(run, ".list.gz"), "wb", opener=private))
    digest, says = bytearray(), TarSays()
    checksum = checksum_argv()
    with Crew() as crew:
        archive, archive_in = pipe()
        branch, branch_in = pipe()
        index, sum_out = crew.listen(listing), crew.listen(digest.extend)
        summer = crew.start("the checksum program", checksum, stdin=branch, stdout=sum_out)
        tee = crew.start("tee", [b"tee", b"/proc/self/fd/%d" % branch_in], archive, 1, fds=(branch_in,))
        argv = tar_argv(
            tar,
            plan,
            snapshot,
            "--verbose",
            "--index-file=/proc/self/fd/%d" % index,
            "--label=" + label,
            "--file=-",
        )
        fds, ok = (index, *states.descriptors), settings.tar_may_end_with
        source = crew.start("tar", argv, DEVNULL, archive_in, fds, ok=ok, says=says)
        for fd in (archive, archive_in, branch, branch_in, index, sum_out):
            os.close(fd)
        crew.wait(out=1)
    judge(source, tee, summer, crew.reader_gone, says.total > 0)
    incomplete = source.status == 2
    listing.finish()
    if says.total <= 0 or says.total % settings.block_size or len(digest) < 64:
        raise Problem(
            "tar reports that it wrote %d bytes, which is not a multiple of the block size %d"
            % (says.total, settings.block_size)
        )
    states.finish(run, ".list.gz")
    if incomplete:  # it cannot be a base: no archive would contain the files that could not be read today
        os.unlink(snapshot)
    else:
        states.finish(run, ".snar")
    warnings = ([plan.level_problem] if plan.level_problem else []) + says.first
    return {
        "run": run,
        "set": settings.set,
        "level": plan.level,
        "level_problem": plan.level_problem,
        "base": plan.base,
        "time": plan.now,
        "label": label,
        "machine_id": machine_id(),
        **plan.wanted,
        "block_size": plan.block_size,
        "file_systems": plan.file_systems,
        "tar_version": tar.version,
        "metadata": tar.metadata,
        "bytes": says.total,
        "sha256": digest[:64].decode("ascii"),
        "tar": source.status,
        "incomplete": incomplete,
        "warnings": warnings[:MOST_LINES],
        "warning_count": says.count + bool(plan.level_problem),
        "other_file_systems": other_file_systems(plan, says.elsewhere),
        "files": listing.count,
        "elapsed": round(time.time() - plan.started, 3),
    }


def same_machine(host: str, wanted: str) -> None:
    """Raises Problem if the archives with this name are of another machine."""
    found = machine_id()
    if wanted and found not in (None, wanted):
        raise Problem(
            "this is machine %s, but the last good archive of %s is of machine %s (/etc/machine-id): "
            "two hosts with the same name must not share a tape host; after a reinstallation set "
            "tape_accept_new_machine once" % (found, host, wanted),
            kind=MACHINE,
        )


def machine_id() -> "str | None":
    """The machine-id, which tells two hosts with the same name apart; None if there is none."""
    try:
        with open("/etc/machine-id", encoding="ascii") as text:
            found = text.read(100).strip()
    except (OSError, ValueError):
        return None
    return found if re.match(r"[0-9a-f]{32}\Z", found) else None


def bounded(texts: "list[str]") -> "list[str]":
    """The texts, cut to the limit of a report."""
    kept: "list[str]" = []
    room = REPORT_SIZE
    for text in texts:
        room -= len(text) + 4
        if room < 0:
            return kept + ["and %d more" % (len(texts) - len(kept))]
        kept.append(text)
    return kept


def other_file_systems(plan: Plan, skipped: "list[str]") -> "list[str]":
    """What is mounted below the paths and therefore not in the archive, though it has files; ``skipped``: by tar."""
    found = {name[1:] for name in skipped} | set(map(shown, plan.out_of_reach))
    return bounded(mounts.with_files(sorted(found - set(map(shown, plan.settings.paths)))))


def judge(tar: Child, tee: Child, summer: Child, reader_gone: bool, ended: bool) -> None:
    """Raises Problem with the cause, not a consequence; ``ended``: tar has written the end of the archive."""
    if summer.failed and not summer.killed:
        raise Problem("the checksum program %s: %s" % (summer.how(), " ".join(summer.says.last)))
    if (tar.failed or not ended) and not tar.killed and not tar.by_pipe:
        hint = "" if os.geteuid() == 0 else " (not as root: become: true?)"
        hint += KEEPING if tar.status == 2 and ended else ""
        raise Problem(complaint(tar) + hint, output=tar.says.last[:-1])
    if reader_gone or tee.failed:
        said = " ".join(tee.says.last)
        raise Problem(
            "the reader of the archive has gone, so the archive is incomplete: the reason is on the other host%s"
            % (" (%s)" % said if said else "")
        )


def report(settings: Settings, words: "argparse.Namespace") -> None:
    """Write the facts as one line of JSON, then the compressed list of names."""
    states = States(settings.state_dir)
    run = names.checked("run", words.run)
    try:
        facts = open(states.path(run, ".json"), "rb")
        listing = open(states.path(run, ".list.gz"), "rb")
    except FileNotFoundError:
        raise Problem(
            "run %s has no complete archive on this host: there is none in %s" % (run, shown(states.folder))
        ) from None
    with facts, listing:
        out = sys.stdout.buffer
        out.write(facts.read().rstrip(b"\n") + b"\n")
        shutil.copyfileobj(listing, out, 1024**2)
        out.flush()
    states.reported(run)


def estimate(settings: Settings, words: "argparse.Namespace") -> "dict[str, Any]":
    """Estimate the size of the archive: tar recognizes /dev/null and reads no file for it."""
    tar = Tar()
    plan = Plan(settings, words)
    says = TarSays()
    with plan.states.scratch() as snapshot, Crew() as crew:
        plan.write_snapshot(snapshot)
        snapshot.flush()
        snar = b"/proc/self/fd/%d" % snapshot.fileno()
        argv = tar_argv(tar, plan, snar, "--label=an estimate", "--file=/dev/null")
        fds = (snapshot.fileno(), *plan.states.descriptors)
        source = crew.start("tar", argv, fds=fds, ok=settings.tar_may_end_with, says=says)
        crew.wait()
    if source.failed or says.total <= 0:
        raise Problem(complaint(source), output=says.last[:-1])
    mounted = other_file_systems(plan, says.elsewhere)
    return {
        "bytes": says.total,
        "level": plan.level,
        "level_problem": plan.level_problem,
        "warnings": says.first,
        "warning_count": says.count,
        "other_file_systems": [each[:MOST_CHARACTERS] for each in mounted[:3]],
        "mounted": len(mounted),
    }
