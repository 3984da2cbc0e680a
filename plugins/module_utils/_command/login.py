# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the command starts its two ends: one as a fork of itself, the other through the login command."""

import os
import select
import sys
import time

from .._end.execute import find_command, full_environment
from .._end.kernel import events, exit_status
from .._end.lean import signal
from .._end.processes import children, descendants, kill
from .._end.spawn import NotStarted, spawn
from .._end.wire import MARK
from .._run import bootstrap, sentences
from .._run.heard import PipedLaunch
from .._run.launch import NO_PYTHON
from .streams import own_description, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._end.records import EndPlan, Sample
    from .._run.report import Message

# like -I, which Python 2 does not have: Python 2 must start, to report its version; PROGRAM does the rest of -I
ISOLATED = "-ESs"
# reports that it has begun, and executes the program in the text or argument that it names
PROGRAM = (
    "import sys;sys.path=[entry for entry in sys.path if entry];import binascii,io;"
    'sys.stdout.write("\\n%s{\\"begun\\": 1}\\n");sys.stdout.flush();'
    "r=io.BytesIO(binascii.a2b_base64(%s)).read;exec(r(int(r(8))))"
)
# PROGRAM as one word, with or without a shell: the quotes for a shell are in comments for Python.
# The backslashes are for csh; in Python they continue onto empty lines
WORD = "0#'\\\n%s#\\\n#'"
# precedes PROGRAM on standard input.  If that is a terminal, Python reads it interactively.  The terminal's echo of
# this line shows that; if the terminal does not echo (readline), Python executes the line
NO_TERMINAL = 'import sys;sys.stdin.isatty() and sys.exit(sys.stdout.write("\\n%s{\\"terminal\\": 1}\\n") and 0);'
ECHO = NO_TERMINAL.partition("(sys.stdout")[0].encode("ascii")
SILENT = 60.0  # seconds until an end must begin, after the login command has read the whole program
CLOSED = 3.0  # seconds for the login command to exit after it has closed its output, and after each signal
# reasons why the program does not get through the login command's standard input
DEAF, TERMINAL = "deaf", "terminal"
OBSTACLES = {
    DEAF: "it must run the command line that follows it and pass on its standard input "
    "(no ssh -n or -f, no </dev/null)",
    TERMINAL: "its standard input passes through a terminal (ssh -tt, RequestTTY force)",
}
NOTHING = "the login command did not start the program (exit status %d): %s"
LATE = "the login command did not reach the far side within %d s (-t/--timeout)"
MUTE = "the login command read the program, but nothing started in %d s: does it run the command line that follows it?"


def words_of(pid: int) -> bytes:
    """A process's command line; empty for a zombie."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as cmdline:
            return cmdline.read()
    except OSError:
        return b""


class ForkLaunch(PipedLaunch):
    """The end on this host: a fork of this process, which has the program loaded already."""

    pid = 0

    def __init__(self, plan: "EndPlan", login: "LoginLaunch"):
        super().__init__(plan, [])
        self.login = login

    def start(self) -> None:
        if all(link["secret"] for link in self.plan["links"]):
            self.fork()

    def learn(self, secrets: "dict[str, str]") -> None:
        """Use the secrets, which the far side made."""
        for link in self.plan["links"]:
            link["secret"] = secrets[link["id"]]
        self.fork()

    def fork(self) -> None:
        from .._end import main  # most of the engine: it is loaded during the login

        self.out, theirs = os.pipe()
        os.set_blocking(self.out, False)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                # so that their writers, and the reader of the program, notice if the parent dies
                for fd in (self.out, self.login.out, self.login.into, self.login.taken):
                    if fd >= 0:
                        os.close(fd)
                os.dup2(theirs, 1)
                main.main(self.plan)
            except OSError as exc:
                say("the end on this host failed: %s" % exc)
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
        """The end while it lives, and its guard.  The end has no label; its command line is that of this process."""
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

    ``obstacle`` is the reason why that does not get through, if known.  The command line then has everything but the
    secrets.
    """

    subject = "the login command"
    how_to_set_python = "give its path with --python"
    pid, into, taken = 0, -1, -1
    pending = b""

    def __init__(self, plan: "EndPlan", login: "list[str]", python: str, batch: bool, obstacle: str = ""):
        super().__init__(plan, [python])
        self.batch, self.in_words, self.obstacle = batch, bool(obstacle), obstacle
        self.begun, self.taken_at = False, self.began
        self.secrets: "dict[str, str]" = {}
        self.command = login + [python, ISOLATED] + ([] if obstacle else ["-"]) + [self.label]
        if obstacle:
            program = bootstrap.program(bootstrap.sources(bootstrap.of_plan(plan)), small=True)
            self.command[-1:-1] = ["-c", WORD % PROGRAM % (MARK, "sys.argv[1]"), self.text(program)]

    def text(self, program: bytes) -> str:
        return bootstrap.as_text(bootstrap.stream(program, self.plan))

    def start(self) -> None:
        problem = find_command(self.command[0], full_environment({}), None)
        if problem:
            self.error = "the login command: %s" % sentences.unusable(problem)
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
        except NotStarted as exc:
            self.error = "the login command %s" % sentences.not_started(exc.problem)
            self.over()
        except OSError as exc:
            self.error = "the login command: %s" % exc.strerror
            self.over()
        finally:
            for fd in (stdout, stderr):
                os.close(fd)
        if not self.in_words:  # compiling takes long, so it is done during the login
            program = bootstrap.program_for(self.plan)
            text = NO_TERMINAL % MARK + PROGRAM % (MARK, '"%s"' % self.text(program))
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
        """Write as much of the program as the login command accepts."""
        try:
            self.pending = self.pending[os.write(self.into, self.pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.pending = b""  # it has exited; its exit status shows why
        if not self.pending:
            self.taken_at = time.monotonic()
            os.close(self.into)
            self.into = -1

    def parse(self, message: "Message") -> "Sample | None":
        """The first messages report that an end has begun, and the secrets that it made."""
        if message.get("begun"):
            self.begun = True
        elif message.get("terminal"):
            self.obstacle = TERMINAL
        elif self.in_words and are_secrets(message.get("secrets"), self.plan):
            self.secrets = message["secrets"]
        return super().parse(message)

    def hopeless(self, now: float, timeout: int) -> str:
        """The reason to stop waiting for an end to begin; "" if it has begun or still may."""
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
        """A login command that has closed its output will never report, so it is killed if it does not exit."""
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
        if self.report and "end" not in self.report:  # the loader found that Python is too old
            why = sentences.refusal(self.report["refused"])
            self.error, self.kind = NO_PYTHON % (why, self.how_to_set_python), "no python"
            self.report = None
        elif not self.begun and self.kind == "launch":
            self.obstacle = self.obstacle or (DEAF if rc == 0 else "")
            self.error = NOTHING % (rc, OBSTACLES[self.obstacle]) if self.obstacle else self.error

    def everyone(self) -> "set[int]":
        """The pids of the login command and, if that is a script, of the commands that it runs."""
        return {self.pid, *descendants(self.pid)} if self.pid in children(os.getpid()) else set()

    def cancel(self, age: float = 0.0) -> bool:
        """Stop a script and the commands that it runs at the same time; an end on this same host comes first."""
        self.cancelled = True
        everyone = self.everyone()
        found = self.processes() or dict.fromkeys(everyone, 0)
        meant, refused = self.ending.press(found, age, everyone | set(found))
        if refused and not self.ready:  # of sudo, which this user may not kill; it notices the closed output
            os.close(self.out)
            self.error = "the login command runs as another user and could not be stopped"
            self.over()
        return bool(found) and not meant == len(refused) > 0


def are_secrets(found: "Any", plan: "EndPlan") -> bool:
    """Whether these are keys for exactly the links of the plan."""
    if not isinstance(found, dict) or set(found) != {link["id"] for link in plan["links"]}:
        return False
    return all(isinstance(key, str) and len(key) == 64 and not key.strip("0123456789abcdef") for key in found.values())
