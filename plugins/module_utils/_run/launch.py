# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch of one end: its start, its output and its outcome.

A launch begins with ``start``.  ``ready`` is true when the end has ended, and ``outcome`` returns the results.
``cancel`` stops the end early.
"""

import os
import select
import time

from .._end.wire import MARK, read_marked
from .heard import NOISE_MOST, Heard, report_most
from .labels import Ending, labelled
from .report import parse, parse_sample
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import EndPlan, Report, Sample
    from .records import Outcome
    from .report import Message

CHUNK = 64 * 1024  # bytes of one read
NO_BECOME = "become needs %s, which is not installed: install it there, or set another ansible_become_method"
NO_PYTHON = "no usable Python (%s): install Python 3.6 or later there, or %s"


def names_missing(program: str, line: str) -> bool:
    """Whether a line of a shell that has exited with 127 is about this program, in any language.

    "sh: 1: /usr/bin/sudo: not found", "zsh:1: command not found: sudo"; a line of sudo itself begins with its name.
    """
    return program in [part.strip().rpartition("/")[2] for part in line.split(":")[1:]]


class Launch:
    """One end, however it is started."""

    subject = "it"  # the subject of a sentence that it has ended
    how_to_set_python = "set ansible_python_interpreter"
    become = ""  # the program by which the end becomes another user

    def __init__(self, plan: "EndPlan", interpreters: "list[str]"):
        self.plan, self.interpreters = plan, interpreters
        self.label = "socketpipe:%s:%s" % (plan["run"], plan["end"])
        self.ready = False
        self.cancelled = False
        self.began = self.ended = time.monotonic()
        self.report: "Report | None" = None
        self.error, self.kind = "", "launch"
        self.silent = ""  # why the run gave it up, if its silence is the failure
        self.lost = False  # it may have run, but there is no report
        self.begun = True  # whether an end may be running; False only for launches that report the beginning
        self.ending = Ending()

    def start(self) -> None:
        raise NotImplementedError

    def wanted(self) -> "dict[int, int]":
        """{fd: poll(2) events} to wait for."""
        return {}

    def serve(self, fd: int) -> "list[Sample]":
        """Handle an event on one of these descriptors; returns new samples."""
        return []

    def outcome(self) -> "Outcome":
        """The outcome of this end, for verdict.Verdict."""
        return {
            "report": self.report,
            "error": self.silent or self.error,
            "kind": self.kind,
            "cancelled": self.cancelled and not self.silent,
            "lost": bool(self.silent) or self.lost and not self.cancelled,
        }

    @property
    def lived(self) -> float:
        """Seconds from the launch to its end."""
        return self.ended - self.began

    def over(self) -> None:
        self.ended, self.ready = time.monotonic(), True

    def conclude(self, rc: int, stdout: str, stderr: str) -> None:
        """Take the report from the output of an end that has exited, or set the error if there is none.

        The next step is verdict.Verdict, when all ends have their outcomes.
        """
        message = read_marked(stdout[-report_most(self.plan) :])
        # a login with a terminal merges both, and ssh adds a last line; marked lines may contain the secrets of links
        said = (line.strip() for text in (stdout, stderr) for line in text[-NOISE_MOST:].splitlines())
        lines = [line for line in said if line and MARK not in line]
        last = printable(" ".join(lines[-4:])[-400:])
        report, wrong = parse(message or {}, self.plan)
        if not wrong and ("end" in report or "refused" in report):
            self.report = report
        elif wrong:
            self.lost, self.error = True, "its report is invalid: %s" % wrong
        elif rc == 127 and self.become and any(names_missing(self.become, line) for line in lines):
            self.error = NO_BECOME % self.become
            self.kind = "no become"
        # the latter are words of Python 2, which are never translated; too many programs exit with its status, 2
        elif rc in (126, 127) or "Unknown option: -I" in last:
            self.error = NO_PYTHON % (", ".join(self.interpreters), self.how_to_set_python)
            self.kind = "no python"
        else:
            self.lost = True
            self.error = "%s ended without a report (exit status %d)%s" % (self.subject, rc, last and ": " + last)

    def processes(self) -> "dict[int, int]":
        """{pid: parent's pid} of its processes on this machine: ssh, docker and shells, or the end and its guard."""
        return labelled([self.label])

    def cancel(self, age: float = 0.0) -> bool:
        """Stop it; called repeatedly, with ``age`` as the seconds since the first call.

        The end behind a login notices that its output has lost its reader.  Returns False when no process is left that
        we may signal.
        """
        self.cancelled = True
        found = self.processes()
        meant, refused = self.ending.press(found, age)
        return bool(found) and not meant == len(refused) > 0


class PipedLaunch(Launch):
    """An end whose output is a local pipe, so that its samples are parsed as they arrive."""

    out = -1  # the descriptor of the pipe, non-blocking

    def __init__(self, plan: "EndPlan", interpreters: "list[str]"):
        super().__init__(plan, interpreters)
        self.heard = Heard(report_most(plan))

    def wait(self) -> "tuple[int, str]":
        """Wait for it after the end of its output: (its exit status, its standard error)."""
        raise NotImplementedError

    def wanted(self) -> "dict[int, int]":
        return {} if self.ready else {self.out: select.POLLIN}

    def serve(self, fd: int) -> "list[Sample]":
        return self.hear() if fd == self.out else []

    def hear(self) -> "list[Sample]":
        """Read new samples; at the end of the output, take the report."""
        try:
            chunk = os.read(self.out, CHUNK)  # one chunk only: endless output must not block the run
        except BlockingIOError:
            return []
        if not chunk:
            rc, stderr = self.wait()
            self.conclude(rc, self.heard.text(), stderr)
            os.close(self.out)
            self.over()
            return []
        messages = [read_marked(line) for line in self.heard.feed(chunk)]
        samples = [self.parse(message) for message in messages if message]
        return [sample for sample in samples if sample]

    def parse(self, message: "Message") -> "Sample | None":
        """A message as a sample; None if it is invalid or of another kind."""
        return parse_sample(message, self.plan)
