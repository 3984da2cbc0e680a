# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the programs for an archive and waits for them together.

The archive goes from program to program through the kernel.  This process reads only their messages and the names of
the files.
"""

import fcntl
import os
import select
import signal
import time
from subprocess import DEVNULL

from ..common.names import shown
from ..common.problem import Problem
from ..common.process import Forked, Missing, signals_held, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any, Callable

F_SETPIPE_SZ = 1031  # linux/fcntl.h; in Python's fcntl only since 3.10
PIPE_SIZE = 1024**2  # the limit of an unprivileged user
CHUNK = 256 * 1024
MOST_LINES = 20  # lines of output to keep: the first and the last ones
LONGEST = 2000  # bytes of a line
GRACE = 2.0  # seconds for the others after one has failed: most exit by themselves when a pipe closes
GATHER = 0.005  # seconds for collecting names, which tar writes one at a time


def pipe() -> "tuple[int, int]":
    """(read end, write end) of a large pipe, whose sides wait for each other less often."""
    ends = os.pipe()
    try:
        fcntl.fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:  # the user has too many large pipes already; a small one works as well
        pass
    return ends


class Lines:
    """The output of a program: its first and last lines, and their number."""

    def __init__(self) -> None:
        self.first: "list[str]" = []
        self.last: "list[str]" = []
        self.count = 0
        self.rest = b""

    def __call__(self, chunk: bytes) -> None:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        self.rest = self.rest[:LONGEST]
        for line in lines:
            self.add(shown(line[:LONGEST]))

    def finish(self) -> None:
        if self.rest:
            self(b"\n")

    def add(self, line: str) -> None:
        self.count += 1
        if len(self.first) < MOST_LINES:
            self.first.append(line)
        self.last = (self.last + [line])[-MOST_LINES:]


class Child:
    """A program and its outcome."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes] | Forked", ok: "tuple[int, ...]", says: Lines):
        self.name = name
        self.process = process
        self.ok = ok
        self.says = says
        self.killed = False  # by this process
        self.then = None  # type: Callable[[], None] | None # called after it has ended

    @property
    def status(self) -> "int | None":
        """Its exit status; -n for a death by signal n; None while it runs."""
        return self.process.returncode

    @property
    def failed(self) -> bool:
        return self.status is not None and self.status not in self.ok

    @property
    def by_pipe(self) -> bool:
        """Whether it died because its output has no reader, which is always a consequence."""
        return self.status == -signal.SIGPIPE

    def how(self) -> str:
        """How it ended, in words."""
        status = self.status or 0
        return "was killed by %s" % signal.Signals(-status).name if status < 0 else "failed with status %d" % status


class Crew:
    """All programs of one archive.  If one of them or this process fails, the others are killed."""

    def __init__(self) -> None:
        self.children: "list[Child]" = []
        self.readers: "dict[int, Callable[[bytes], None]]" = {}
        self.reader_gone = False
        self.wake, wake_in = os.pipe()
        for fd in (self.wake, wake_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_in)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()

    def listen(self, reader: "Callable[[bytes], None]") -> int:
        """A descriptor to write to; ``reader`` gets the data.  The caller closes it."""
        ours, theirs = pipe()
        os.set_blocking(ours, False)
        self.readers[ours] = reader
        return theirs

    def start(
        self,
        name: str,
        argv: "list[bytes]",
        stdin: int = DEVNULL,
        stdout: int = DEVNULL,
        fds: "tuple[int, ...]" = (),
        ok: "tuple[int, ...]" = (0,),
        says: "Lines | None" = None,
        cwd: bytes = b"/",
        env: "dict[str, str] | None" = None,
    ) -> Child:
        """Run a program with only these descriptors, which the caller closes; ``env``: instead of the usual one."""
        says = says or Lines()
        more: "dict[str, Any]" = {"env": env} if env is not None else {}
        with signals_held():
            stderr = self.listen(says)
            try:
                process = start(argv, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=fds, cwd=cwd, **more)
            except Missing as exc:
                raise Problem("cannot run %s: %s" % (name, exc.why)) from None
            finally:
                os.close(stderr)
            self.children.append(Child(name, process, ok, says))
        return self.children[-1]

    def fork(self, name: str, work: "Callable[[], None]", stdin: int, stdout: int, fds: "tuple[int, ...]") -> Child:
        """Run a function in a fork with only these descriptors, which the caller closes."""
        says = Lines()
        with signals_held():
            stderr = self.listen(says)
            try:
                process = Forked(work, (stdin, stdout, stderr), fds)
            finally:
                os.close(stderr)
            self.children.append(Child(name, process, (0,), says))
        return self.children[-1]

    def wait(self, out: int = -1) -> None:
        """Wait until all have ended and their output is read; ``out``: where the archive goes, -1 for nowhere."""
        deadline = None  # type: float | None
        while True:
            alive = [child for child in self.children if child.process.poll() is None]
            waiting = [child for child in self.children if child.then and child not in alive]
            if waiting:
                waiting[0].then, then = None, waiting[0].then
                if then:
                    then()
                continue
            if not alive and not self.readers:
                break
            if deadline is None and (self.reader_gone or any(child.failed for child in self.children)):
                deadline = time.monotonic() + (0 if self.reader_gone else GRACE)
            if deadline is not None and alive and time.monotonic() >= deadline:
                self.kill()
                continue
            self.poll(-1 if self.reader_gone else out, deadline if alive else None)
        for child in self.children:
            child.says.finish()

    def poll(self, out: int, deadline: "float | None") -> None:
        """Wait for an event, and read the available output."""
        poller = select.poll()
        for fd in [self.wake] + list(self.readers):
            poller.register(fd, select.POLLIN)
        if out >= 0:
            poller.register(out, 0)  # the kernel reports when it has no reader any more
        found = dict(poller.poll(None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000) + 1)))
        if found.pop(out, False):
            self.reader_gone = True
        if found.pop(self.wake, 0):
            os.read(self.wake, CHUNK)
        for fd in found:
            self.read(fd)
        if found:
            time.sleep(GATHER)

    def read(self, fd: int) -> None:
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        if chunk:
            self.readers[fd](chunk)
        else:
            os.close(fd)
            del self.readers[fd]

    def kill(self) -> None:
        """Kill those that still run, and wait for them."""
        for child in self.children:
            if child.process.poll() is None:
                child.killed = True
                child.process.kill()
        for child in self.children:
            child.process.wait()
