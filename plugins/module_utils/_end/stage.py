# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One command on this host: its start, its output and its outcome."""

import sys
import time

from .execute import full_environment
from .kernel import exit_status
from .lean import signal
from .link import BROKEN, OPEN, RESET
from .spawn import PROGRAM_FD, in_memory, spawn
from .system import os
from .wire import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .encrypted import Relay
    from .link import Side
    from .records import StageProblem, StageReport, StageSpec

KEPT = 64 * 1024  # bytes to keep of standard error, and of the standard output of a last stage
KEPT_MOST = 4 * 1024 * 1024  # bytes: the limit of "keep" in a plan
CHUNK = 64 * 1024
PIPE_MOST = 1024 * 1024  # bytes that a pipe can hold (fs.pipe-max-size)

# the phases of a stage; each has a time limit (``until``)
WAITING = "waiting"  # for the first byte of its input, or the clean end of it
RUNNING = "running"
STOPPING = "stopping"  # its link is broken, and it has limited time to notice
TERMINATED = "terminated"  # it was sent SIGTERM
KILLED = "killed"  # it gets SIGKILL until it exits or is given up
ENDED = "ended"  # it has exited, and its links are open
HELD = "held"  # the same, and a process left running may use them
DRAINING = "draining"  # the same, and the rest of its input is being read
SETTLED = "settled"
ALIVE = (RUNNING, STOPPING, TERMINATED, KILLED)
EXITED = (ENDED, HELD, DRAINING)

KILL = int(signal.SIGKILL)  # Stage has a signal of its own


class Kept:
    """The read end of a pipe from a stage, and a limited part of its data."""

    def __init__(self, last: bool, most: int = KEPT):
        self.last, self.most = last, most  # keep the last bytes, not the first
        self.data = b""
        self.total = 0
        self.fd, self.theirs = os.pipe()
        self.open = True
        os.set_blocking(self.fd, False)

    def read(self) -> None:
        """Read available data, at most one pipe full, so that a flood does not block; close the pipe at its end."""
        for _chunk in range(PIPE_MOST // CHUNK):
            if not self.open:
                return
            try:
                chunk = os.read(self.fd, CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self.close()
                return
            self.total += len(chunk)
            self.data = (self.data + chunk)[-self.most :] if self.last else (self.data + chunk)[: self.most]

    def close(self) -> None:
        if self.open:
            os.close(self.fd)
            self.open = False


class Stage:
    """A command of the plan and its outcome."""

    doing = ""  # see telling
    waits = False  # see later
    orphaned = KILL  # what it gets when its end dies, as from the guard, which may have died as well
    relay: "Relay | None" = None  # itself, if this is the relay of an encrypted link instead of a command of the plan

    def __init__(self, spec: "StageSpec", sides: "dict[tuple[str, bool], Side]"):
        self.spec = spec
        self.name = spec["name"]
        # fd 0 reads, all others write
        self.fds = {int(fd): sides[(link, fd != "0")] for fd, link in spec["fds"].items()}
        self.ins = [side for side in self.fds.values() if not side.writer]
        self.outs = [side for side in self.fds.values() if side.writer]
        self.phase = WAITING
        self.until: "float | None" = None
        self.pid = 0
        self.status: "int | None" = None  # as from wait(2)
        self.cpu: "float | None" = None
        self.started_at: "float | None" = None
        self.ended_at: "float | None" = None
        self.problem: "StageProblem | None" = None
        self.blame: "list[str]" = []  # links that were broken before this stage failed
        # if it exited before the end of its input
        self.left_unread = 0
        self.consumed: "int | None" = None
        self.stderr = self.stdout = None  # type: Kept | None

    def enter(self, phase: str, until: "float | None" = None) -> None:
        self.phase, self.until = phase, until

    def is_due(self, now: float) -> bool:
        """Whether the time limit of this phase has expired."""
        return self.until is not None and now >= self.until

    @property
    def settled(self) -> bool:
        return self.phase == SETTLED

    def start(self) -> None:
        """Fork and exec; raises NotStarted.  A source reads /dev/null, and the output of a last stage is kept.

        The exceptions are descriptors to inherit by the plan ({its fd: ours}).
        """
        targets = {int(fd): ours for fd, ours in self.spec.get("inherit", {}).items()}
        targets.update((fd, side.sock.fileno()) for fd, side in self.fds.items())
        null = os.open(os.devnull, os.O_RDONLY)
        targets.setdefault(0, null)
        if 1 not in targets:
            self.stdout = Kept(False, self.spec.get("keep", KEPT))
            targets[1] = self.stdout.theirs
        if 2 not in targets:
            self.stderr = Kept(last=True)
            targets[2] = self.stderr.theirs
        now = time.monotonic()
        argv, program = self.spec["argv"], None
        try:
            if "program" in self.spec:
                program = targets[PROGRAM_FD] = in_memory(self.spec["program"])
                argv = [sys.executable if word is None else word for word in self.spec["launcher"]] + argv[1:]
            own_session, others = self.spec.get("own_session", True), self.spec.get("others", False)
            self.pid = spawn(
                argv,
                full_environment(self.spec["environment"]),
                self.spec.get("chdir"),
                targets,
                own_session,
                orphaned=self.orphaned,
                others=others,
            )
            self.started_at = now
            self.enter(RUNNING)
        except BaseException:
            self.ended_at = now  # the time of the failure; it never ran
            raise
        finally:
            os.close(null)
            if program is not None:
                os.close(program)
            for kept in (self.stderr, self.stdout):
                if kept:
                    os.close(kept.theirs)

    def pipes(self) -> "list[Kept]":
        return [kept for kept in (self.stderr, self.stdout) if kept and kept.open]

    def reaped(self, status: int, usage: "Any") -> None:
        """Take the status from wait4(2)."""
        self.status, self.ended_at = status, time.monotonic()
        self.enter(ENDED)
        self.cpu = usage.ru_utime + usage.ru_stime
        for kept in self.pipes():
            kept.read()

    @property
    def signal(self) -> "int | None":
        return os.WTERMSIG(self.status) if self.status is not None and os.WIFSIGNALED(self.status) else None

    @property
    def rc(self) -> "int | None":
        """Its exit status; -n for a death by signal n; None if it has not ended."""
        return None if self.status is None else exit_status(self.status)

    def accepted(self) -> bool:
        return self.rc in self.spec["ok_rc"]

    def fail(self, problem: "StageProblem") -> None:
        """Record the first problem, and the links broken before it as its cause."""
        if self.problem is None:
            self.problem = problem
            self.blame = self.broken_links()

    def fails_with_a_link(self) -> bool:
        """Whether the state of its links lets it do no more."""
        return any(side.state in BROKEN for side in self.fds.values())

    def breaks_its_outputs(self) -> bool:
        """Whether the state of its links breaks its outputs, too."""
        return any(side.state in BROKEN for side in self.ins)

    def abort_outputs(self) -> None:
        for side in self.outs:
            side.abort()

    def commit(self) -> bool:
        """Send the end of file on all outputs; False as long as it has to wait."""
        for side in self.outs:
            if side.state == OPEN:
                if not side.flushed():
                    return False
                side.commit()
        return True

    def broken_links(self) -> "list[str]":
        """The links that the other side has broken or that are dead; they may explain a failure of this stage."""
        return [side.id for side in self.fds.values() if side.state == RESET or side.problem]

    def report(self, start: float) -> "StageReport":
        begun, ended = self.started_at, self.ended_at
        return {
            "name": self.name,
            "rc": self.rc,
            "signal": self.signal,
            "elapsed": None if begun is None else (ended or time.monotonic()) - begun,
            "started_at": None if begun is None else begun - start,
            "ended_at": None if ended is None else ended - start,
            "cpu": self.cpu,
            "problem": self.problem,
            "blame": self.blame,
            "stderr": None if "2" in self.spec.get("inherit", {}) else text_of(self.stderr),
            "stdout": text_of(self.stdout),
            "stdout_truncated": self.stdout is not None and self.stdout.total > len(self.stdout.data),
        }


def text_of(kept: "Kept | None") -> str:
    """The kept data as text, with the same limit for its characters in JSON."""
    return "" if kept is None else bounded(kept.data.decode("utf-8", "replace"), kept.most, kept.last)
