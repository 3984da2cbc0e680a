# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the command starts its two ends: one as a fork of itself, one through the login command."""

import os
import select
import sys
import time

from .._end import main
from .._end.kernel import events, exit_status
from .._end.lean import signal
from .._end.processes import children, descendants, kill
from .._end.spawn import NotStarted, find_command, full_environment, spawn
from .._end.watch import MARK
from .._run import bootstrap
from .._run.launch import NO_PYTHON, PipedLaunch
from .streams import own_description, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._end.records import EndPlan, Sample
    from .._run.report import Message

# As -I, which Python 2 does not know, so that it could not say what it is; PROGRAM does the rest of it
ISOLATED = "-ESs"
# says that it has begun, and executes what is in the text or the word that it names
PROGRAM = (
    "import sys;sys.path=[entry for entry in sys.path if entry];import binascii,io;"
    'sys.stdout.write("\\n%s{\\"begun\\": 1}\\n");sys.stdout.flush();'
    "r=io.BytesIO(binascii.a2b_base64(%s)).read;exec(r(int(r(8))))"
)
# PROGRAM as one word, whether a shell reads it or none: a shell's quotes are in comments of Python.
# The backslashes are for csh; to Python they continue lines on which nothing more comes
WORD = "0#'\\\n%s#\\\n#'"
# before PROGRAM, where that comes on standard input: Python takes a terminal for somebody who types it.  The echo shows
# that, if it is the terminal's; but Python may do that in its place (readline), and get to this
NO_TERMINAL = 'import sys;sys.stdin.isatty() and sys.exit(sys.stdout.write("\\n%s{\\"terminal\\": 1}\\n") and 0);'
ECHO = NO_TERMINAL.partition("(sys.stdout")[0].encode("ascii")
SILENT = 60.0  # seconds for an end to begin when the login command has taken all of its program
CLOSED = 3.0  # seconds from the end of the login command's output to its own, and to that of one that we end
# what is in the way of the login command's standard input
DEAF = "it must run the command line after it, and hand on its standard input (no ssh -n or -f, no </dev/null)"
TERMINAL = "a terminal is in the way of its standard input (ssh -tt, RequestTTY force)"
NOTHING = "the login command has started nothing (exit status %d): %s"
LATE = "the login command has not got there within %d s (-t/--timeout)"
MUTE = "the login command has taken the program, and nothing has begun in %d s: does it run the command line after it?"


def words_of(pid: int) -> bytes:
    """A process's command line; empty for a zombie."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as cmdline:
            return cmdline.read()
    except OSError:
        return b""


class ForkLaunch(PipedLaunch):
    """The end on this host: this very program, which is loaded already."""

    pid = 0

    def __init__(self, plan: "EndPlan", login: "LoginLaunch"):
        super().__init__(plan, [])
        self.login = login

    def start(self) -> None:
        if all(link["secret"] for link in self.plan["links"]):
            self.fork()

    def learn(self, secrets: "dict[str, str]") -> None:
        """The far side has made the secrets."""
        for link in self.plan["links"]:
            link["secret"] = secrets[link["id"]]
        self.fork()

    def fork(self) -> None:
        self.out, theirs = os.pipe()
        os.set_blocking(self.out, False)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for fd in (self.out, self.login.out):  # else those who write to them would not see that we are gone
                    if fd >= 0:
                        os.close(fd)
                os.dup2(theirs, 1)
                main.main(self.plan)
            except OSError as exc:
                say("the end on this host cannot go on: %s" % exc)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        os.close(theirs)

    def wanted(self) -> "dict[int, int]":
        return super().wanted() if self.pid else {}

    def wait(self) -> "tuple[int, str]":
        return exit_status(os.waitpid(self.pid, 0)[1]), ""

    def processes(self) -> "dict[int, int]":
        """The guard, and the end as long as it lives: it has no label, but our own command line."""
        if self.pid not in children(os.getpid()):
            return {}
        found = {self.pid: os.getpid()}
        found.update((pid, self.pid) for pid in children(self.pid) if words_of(pid) == words_of(self.pid) != b"")
        return found

    def cancel(self, age: float = 0.0) -> bool:
        left = super().cancel(age)
        if not self.pid:
            self.over()
        return left


class LoginLaunch(PipedLaunch):
    """The end on the far side: the login command, with the program and its plan on its standard input.

    ``obstacle``: why that does not get through, if that is known; then all is in the command line, but the secrets.
    """

    subject = "the login command"
    how_to_set_python = "say where it is with --python"
    pid, into, taken = 0, -1, -1
    pending = b""

    def __init__(self, plan: "EndPlan", login: "list[str]", python: str, batch: bool, obstacle: str = ""):
        super().__init__(plan, [python])
        self.batch, self.in_words, self.obstacle = batch, bool(obstacle), obstacle
        self.begun, self.taken_at = False, self.began
        self.secrets: "dict[str, str]" = {}
        self.command = login + [python, ISOLATED] + ([] if obstacle else ["-"]) + [self.label]
        if obstacle:
            program = bootstrap.program(bootstrap.sources(), small=True)
            self.command[-1:-1] = ["-c", WORD % PROGRAM % (MARK, "sys.argv[1]"), self.text(program)]

    def text(self, program: bytes) -> str:
        return bootstrap.as_text(bootstrap.stream(program, self.plan))

    def start(self) -> None:
        problem = find_command(self.command[0], full_environment({}), None)
        if problem:
            self.error = "the login command: %s" % problem
            self.over()
            return
        self.taken, self.into = os.pipe()
        self.out, stdout = os.pipe()
        stderr = own_description(2)
        for fd in (self.into, self.out):
            os.set_blocking(fd, False)
        fds = {0: self.taken, 1: stdout, 2: stderr}
        try:
            self.pid = spawn(self.command, full_environment({}), None, fds, self.batch, signal.SIGTERM)
        except (NotStarted, OSError) as exc:
            self.error = "the login command %s" % exc
            self.over()
        finally:
            for fd in (stdout, stderr):
                os.close(fd)
        if not self.in_words:  # compiling is dear, and done while the login takes its time
            text = NO_TERMINAL % MARK + PROGRAM % (MARK, '"%s"' % self.text(bootstrap.program(bootstrap.sources())))
            self.pending = text.encode("ascii") + b"\n"

    def wanted(self) -> "dict[int, int]":
        fds = super().wanted()
        if self.into >= 0 and not self.ready:
            fds[self.into] = select.POLLOUT
        return fds

    def serve(self, fd: int) -> "list[Sample]":
        if fd == self.into:
            self.feed()
            return []
        samples = super().serve(fd)
        if not self.begun and ECHO in self.heard.noise:
            self.obstacle = TERMINAL
        return samples

    def feed(self) -> None:
        """Write as much of the program as the login command takes."""
        try:
            self.pending = self.pending[os.write(self.into, self.pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.pending = b""  # it has ended: its exit status says why
        if not self.pending:
            self.taken_at = time.monotonic()
            os.close(self.into)
            self.into = -1

    def parse(self, message: "Message") -> "Sample | None":
        """Messages before any other say that there is an end, and which secrets it has made."""
        if message.get("begun"):
            self.begun = True
        elif message.get("terminal"):
            self.obstacle = TERMINAL
        elif self.in_words and are_secrets(message.get("secrets"), self.plan):
            self.secrets = message["secrets"]
        return super().parse(message)

    def hopeless(self, now: float, timeout: int) -> str:
        """Why to wait no longer for an end to begin; "" if it has, or may."""
        if self.begun or self.ready:
            return ""
        if timeout and now > self.began + timeout:
            return LATE % timeout
        if self.in_words or self.pending or events({self.taken: select.POLLIN}).get(self.taken, 0) & select.POLLIN:
            self.taken_at = now
        return MUTE % SILENT if now > self.taken_at + SILENT else ""

    def over(self) -> None:
        super().over()
        for fd in (self.into, self.taken):
            if fd >= 0:
                os.close(fd)
        self.into = self.taken = -1

    def wait(self) -> "tuple[int, str]":
        """One that lives on without its output will never report: it is ended."""
        for number in (0, signal.SIGTERM, signal.SIGKILL):
            kill(self.everyone() if number else [], number)
            deadline = time.monotonic() + CLOSED
            while time.monotonic() < deadline:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    return exit_status(status), ""
                time.sleep(0.005)
        return -signal.SIGKILL, ""

    def conclude(self, rc: int, stdout: str, stderr: str) -> None:
        super().conclude(rc, stdout, stderr)
        if self.report and "end" not in self.report:  # the loader's last word, of a Python that is too old
            self.error, self.kind = NO_PYTHON % (self.report["refused"], self.how_to_set_python), "no python"
            self.report = None
        elif not self.begun and self.kind == "launch":
            self.obstacle = self.obstacle or (DEAF if rc == 0 else "")
            self.error = NOTHING % (rc, self.obstacle) if self.obstacle else self.error

    def everyone(self) -> "set[int]":
        """The login command and, where that is a script, what it runs."""
        return {self.pid, *descendants(self.pid)} if self.pid in children(os.getpid()) else set()

    def cancel(self, age: float = 0.0) -> bool:
        """All of it is asked at once, a script and what it runs; of an end on this very host the end first."""
        self.cancelled = True
        everyone = self.everyone()
        found = self.processes() or dict.fromkeys(everyone, 0)
        meant, refused = self.ending.press(found, age, everyone | set(found))
        if refused and not self.ready:  # sudo's, which is not ours to end: it sees our end go
            os.close(self.out)
            self.error = "it was not ours to end"
            self.over()
        return bool(found) and not meant == len(refused) > 0


def are_secrets(found: "Any", plan: "EndPlan") -> bool:
    """Whether these are keys for the plan's links, and no more."""
    if not isinstance(found, dict) or set(found) != {link["id"] for link in plan["links"]}:
        return False
    return all(isinstance(key, str) and len(key) == 64 and not key.strip("0123456789abcdef") for key in found.values())
