# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the command starts its two ends: one as a fork of itself, one through the login command."""

import os
import select
import sys

from .._end import main
from .._end.kernel import exit_status
from .._end.processes import descendants, kill
from .._end.spawn import NotStarted, find_command, full_environment, spawn
from .._run import bootstrap
from .._run.launch import PipedLaunch
from .streams import own_description

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

# a login command may run a shell or none: these words mean the same to both, so all else comes on standard input
WORDS = ["-IS", "-"]
PROGRAM = "import binascii,io;r=io.BytesIO(binascii.a2b_base64('%s')).read;exec(r(int(r(8))))\n"


class ForkLaunch(PipedLaunch):
    """The end on this host: this very program, which is loaded already."""

    pid = 0

    def start(self) -> None:
        self.out, theirs = os.pipe()
        os.set_blocking(self.out, False)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.out)  # else it would never see that its reader is gone
                os.dup2(theirs, 1)
                main.main(self.plan)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        os.close(theirs)

    def wait(self) -> "tuple[int, str]":
        return exit_status(os.waitpid(self.pid, 0)[1]), ""

    def processes(self) -> "list[int]":
        return [pid for pid in descendants(os.getpid()) if pid == self.pid]


class LoginLaunch(PipedLaunch):
    """The end on the far side: the login command, with the program and its plan on its standard input."""

    subject = "the login command"
    how_to_set_python = "say where it is with --python"
    pid, into = 0, -1
    pending = b""

    def __init__(self, plan: "dict[str, Any]", login: "list[str]", python: str, batch: bool):
        super().__init__(plan, [python])
        self.command, self.batch = login + [python] + WORDS + [self.label], batch

    def start(self) -> None:
        problem = find_command(self.command[0], full_environment({}), None)
        if problem:
            self.error = "the login command: %s" % problem
            self.over()
            return
        stdin, self.into = os.pipe()
        self.out, stdout = os.pipe()
        stderr = own_description(2)
        for fd in (self.into, self.out):
            os.set_blocking(fd, False)
        fds = {0: stdin, 1: stdout, 2: stderr}
        try:
            self.pid = spawn(self.command, full_environment({}), None, fds, self.batch, signal.SIGTERM)
        except (NotStarted, OSError) as exc:
            self.error = "the login command %s" % exc
            self.over()
        finally:
            for fd in (stdin, stdout, stderr):
                os.close(fd)
        program = bootstrap.program(bootstrap.sources())  # dear, and done while the login takes its time
        self.pending = (PROGRAM % bootstrap.as_text(bootstrap.stream(program, self.plan))).encode("ascii")

    def wanted(self) -> "dict[int, int]":
        fds = super().wanted()
        if self.into >= 0 and not self.ready:
            fds[self.into] = select.POLLOUT
        return fds

    def serve(self, fd: int) -> "list[dict[str, Any]]":
        if fd == self.into:
            self.feed()
            return []
        return super().serve(fd)

    def feed(self) -> None:
        """Write as much of the program as the login command takes."""
        try:
            self.pending = self.pending[os.write(self.into, self.pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.pending = b""  # it has ended: its exit status says why
        if not self.pending:
            os.close(self.into)
            self.into = -1

    def wait(self) -> "tuple[int, str]":
        return exit_status(os.waitpid(self.pid, 0)[1]), ""

    def processes(self) -> "list[int]":
        """The login command and, where that is a script, what it runs."""
        alive = self.pid in descendants(os.getpid())
        return [self.pid] + list(descendants(self.pid)) if alive else []

    def cancel(self, number: int = signal.SIGTERM) -> None:
        self.cancelled = True
        if kill(self.processes(), number) and not self.ready:  # sudo's, which is not ours to end: it sees our end go
            os.close(self.out)
            self.error = "it was not ours to end"
            self.over()
