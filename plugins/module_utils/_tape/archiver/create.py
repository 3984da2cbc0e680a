# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""create, report and estimate: archives of this host's files."""

import json
import os
import shutil
import sys
import time
from subprocess import DEVNULL

from ..common import filters, names
from ..common.gnutar import Tar
from ..common.names import shown
from ..common.now import tell
from ..common.problem import SETTINGS, Problem
from . import excludes
from .crew import Child, Crew, pipe
from .filenames import List
from .gnutar import TarSays, checksum_argv, complaint
from .hooks import Hooks
from .machine import machine_id, same_machine
from .plan import Plan, named, other_file_systems, tar_argv
from .settings import Settings
from .state import SEAL, States, private

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from .. import answers

INCOMPLETE = 2  # tar's exit status: something could not be read
KEEPING = "; tape_keep_incomplete keeps such an archive"
MOST_CHARACTERS = 1000  # characters of a name in an answer


def create(settings: Settings, words: "argparse.Namespace") -> None:
    """Write an archive to standard output, and its facts to the state."""
    run, host = names.checked("run", words.run), names.host(words.host)
    if os.isatty(1):
        raise Problem("standard output is a terminal: redirect it to receive the archive", kind=SETTINGS)
    kept = [names.checked("run", each) for each in words.keep.split(",") if each]
    same_machine(host, words.machine)
    tar = Tar()
    hooked = bool(settings.before or settings.after)
    plan = None if hooked else Plan(settings, words)  # a hook may first mount what is to be archived
    if words.base == run:
        raise Problem("run %s cannot be its own base" % run, kind=SETTINGS)
    states = plan.states if plan else States(settings.state_dir)
    states.open(1)
    kept += [run] + ([words.base] if words.base else [])
    states.prune(kept)
    states.forget(run)
    try:
        with Hooks(states, settings).around():
            plan = plan or Plan(settings, words, states)
            facts = Creation(tar, plan, run, host).write()
    except BaseException:
        states.forget(run)
        states.prune(kept)
        raise
    states.save(run, attempted(facts, words.attempt))
    lines = [plan.level_problem] if plan.level_problem else []
    for line in lines + facts["warnings"]:
        sys.stderr.write(line + "\n")
    count = len(lines) + facts["warning_count"]
    sys.stderr.write("%d files, %d bytes, %d warnings\n" % (facts["files"], facts["bytes"], count))


def attempted(facts: "dict[str, Any]", attempt: str) -> "dict[str, Any]":
    """The facts of an archive with the name of the attempt, if it has one: a commit compares it with the tape's."""
    return {**facts, "attempt": attempt} if attempt else facts


class Creation:
    """Writes one archive, once."""

    def __init__(self, tar: Tar, plan: Plan, run: str, host: str):
        self.tar, self.plan, self.run, self.host = tar, plan, run, host
        self.says = TarSays()

    def write(self) -> "dict[str, Any]":
        """Write the archive and the state of its run; returns its facts after the last byte; raises Problem."""
        plan, states = self.plan, self.plan.states
        snapshot = states.unfinished(self.run, ".snar")
        with open(snapshot, "wb", opener=private) as copy:
            plan.write_snapshot(copy)  # without its base it is level 0
        self.label = "%s %s %d %s %s" % (self.run, self.host, plan.level, plan.now, plan.settings.set)
        self.listing = List(open(states.unfinished(self.run, ".list.gz"), "wb", opener=private))
        status, digest = self.stream(snapshot)
        self.listing.finish()
        total, block_size = self.says.total, plan.block_size
        if total <= 0 or total % block_size or len(digest) < 64:
            raise Problem(
                "tar reports that it wrote %d bytes, which is not a multiple of the block size %d" % (total, block_size)
            )
        states.finish(self.run, ".list.gz")
        excludes.count(plan.rules, snapshot, named(plan.settings))
        if status == INCOMPLETE:  # it cannot be a base: no archive would contain the files that could not be read today
            os.unlink(snapshot)
        else:
            states.finish(self.run, ".snar")
        return self.facts(status, digest)

    def stream(self, snapshot: bytes) -> "tuple[int, str]":
        """tar | tee >(checksum) | standard output, to the end: (tar's status, the checksum); raises Problem."""
        plan, digest = self.plan, bytearray()
        checksum = checksum_argv()
        with Crew() as crew:
            archive, archive_in = pipe()
            branch, branch_in = pipe()
            index, sum_out = crew.listen(self.listing), crew.listen(digest.extend)
            summer = crew.start("the checksum program", checksum, stdin=branch, stdout=sum_out)
            tee = crew.start("tee", [b"tee", b"/proc/self/fd/%d" % branch_in], archive, 1, fds=(branch_in,))
            argv = tar_argv(
                self.tar,
                plan,
                snapshot,
                "--verbose",
                "--index-file=/proc/self/fd/%d" % index,
                "--label=" + self.label,
                "--file=-",
            )
            fds, ok = (index, *plan.states.descriptors), plan.settings.tar_may_end_with
            source = crew.start("tar", argv, DEVNULL, archive_in, fds, ok=ok, says=self.says)
            for fd in (archive, archive_in, branch, branch_in, index, sum_out):
                os.close(fd)
            crew.wait(out=1)
        self.judge(source, tee, summer, crew.reader_gone)
        return source.status or 0, digest[:64].decode("ascii")

    def judge(self, tar: Child, tee: Child, summer: Child, reader_gone: bool) -> None:
        """Raises Problem with the cause, not a consequence."""
        ended = self.says.total > 0  # tar has written the end of the archive
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

    def facts(self, status: int, digest: str) -> "dict[str, Any]":
        """The facts of the archive, for the report."""
        return {
            "run": self.run,
            "set": self.plan.settings.set,
            "level": self.plan.level,
            "level_problem": self.plan.level_problem,
            "base": self.plan.base,
            "time": self.plan.now,
            "label": self.label,
            "machine_id": machine_id(),
            **self.plan.wanted,
            "block_size": self.plan.block_size,
            "file_systems": self.plan.file_systems,
            "tar_version": self.tar.version,
            "metadata": self.tar.metadata,
            "bytes": self.says.total,
            "sha256": digest,
            "tar": status,
            "incomplete": status == INCOMPLETE,
            "warnings": self.says.first,
            "warning_count": self.says.count,
            "other_file_systems": other_file_systems(self.plan, self.says.elsewhere),
            "files": self.listing.count,
            "left_out": excludes.report(self.plan.settings, self.plan.rules, self.says.tagged),
            "elapsed": round(time.time() - self.plan.started, 3),
            "filters": self.plan.settings.filters,
        }


def report(settings: Settings, words: "argparse.Namespace") -> None:
    """Write the facts as one line of JSON, then the compressed list of names.

    Reads both from the state, where create has saved them, and no file of the archive; marks the run as reported.
    """
    states = States(settings.state_dir)
    run = names.checked("run", words.run)
    try:
        facts = states.facts(run)
        if facts.get("filters"):
            facts = sealed(facts, states.path(run, SEAL))
        listing = open(os.devnull if facts.get("unlisted") else states.path(run, ".list.gz"), "rb")
    except FileNotFoundError:
        raise Problem(
            "run %s has no complete archive on this host: there is none in %s" % (run, shown(states.folder))
        ) from None
    with listing:
        out = sys.stdout.buffer
        out.write(json.dumps(facts).encode("ascii") + b"\n")
        shutil.copyfileobj(listing, out, 1024**2)
        out.flush()
    states.reported(run)


def sealed(facts: "dict[str, Any]", path: bytes) -> "dict[str, Any]":
    """The facts of an archive that passed through filters; raises FileNotFoundError if it has not.

    On the tape is what the last filter wrote.  If one encrypts, no name of a file leaves this host.
    """
    with open(path, encoding="ascii") as text:
        behind = json.load(text)
    clear = {key: facts[key] for key in ("bytes", "sha256")}
    facts = dict(facts, bytes=behind["bytes"], sha256=behind["sha256"], clear=clear)
    if filters.encrypted(facts["filters"]):
        facts.update(unlisted=True, warnings=[], left_out=excludes.by_option(facts["left_out"]))
    return facts


def estimate(settings: Settings, words: "argparse.Namespace") -> "answers.Estimate":
    """Estimate the size of the archive: tar recognizes /dev/null and reads no file for it."""
    tar = Tar()
    plan = Plan(settings, words)
    says = TarSays()
    tell("reading the directories for the estimate")
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
