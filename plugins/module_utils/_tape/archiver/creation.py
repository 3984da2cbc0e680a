# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive of this host, written to standard output by tar, and its facts."""

import os
import time
from subprocess import DEVNULL

from ..common.problem import Problem
from .command import tar_argv
from .crew import MOST_LINES, Child, Crew, pipe
from .filenames import List
from .gnutar import Tar, TarSays, checksum_argv, complaint
from .machine import machine_id
from .plan import Plan, other_file_systems
from .state import private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INCOMPLETE = 2  # tar's exit status: something could not be read
KEEPING = "; tape_keep_incomplete keeps such an archive"


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
        problem = [self.plan.level_problem] if self.plan.level_problem else []
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
            "warnings": (problem + self.says.first)[:MOST_LINES],
            "warning_count": self.says.count + len(problem),
            "other_file_systems": other_file_systems(self.plan, self.says.elsewhere),
            "files": self.listing.count,
            "elapsed": round(time.time() - self.plan.started, 3),
        }
