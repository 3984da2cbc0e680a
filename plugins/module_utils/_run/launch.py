# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One end on its way, as whoever started it sees it: hearing it, and what came of it.

Every launch has the same life: ``start``, then ``ready`` says that it has come to
its end, ``outcome`` what it was; ``cancel`` ends it before.
"""

import os
import select
import time

from .._end.wire import read_marked
from .labels import Ending, labelled
from .report import NOISE_MOST, Heard, parse, parse_sample, report_most
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import EndPlan, Report, Sample
    from .records import Outcome
    from .report import Message

CHUNK = 64 * 1024  # bytes that are heard at once
NO_BECOME = "become needs %s, which is not installed: install it there, or set another ansible_become_method"
NO_PYTHON = "no usable Python (%s): install Python 3.6 or later there, or %s"


class Launch:
    """One end, however it is started."""

    subject = "it"  # what has ended, in a sentence
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
        self.silent = ""  # why it was given up, when that is a failure of its own
        self.lost = False  # it may have run, but there is no report
        self.begun = True  # an end may run already: False only where it says so when it begins
        self.ending = Ending()

    def start(self) -> None:
        raise NotImplementedError

    def wanted(self) -> "dict[int, int]":
        """{fd: poll(2) events} to wait for."""
        return {}

    def serve(self, fd: int) -> "list[Sample]":
        """Something has happened on one of those; returns the samples that have come."""
        return []

    def outcome(self) -> "Outcome":
        """What verdict.Verdict wants to know of an end."""
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
        """An end's process is over: its report, or the sentence that says why there is none."""
        message = read_marked(stdout[-report_most(self.plan) :])
        # a login with a terminal has merged both, and ssh has a last word of its own
        lines = [line.strip() for text in (stdout, stderr) for line in text[-NOISE_MOST:].splitlines() if line.strip()]
        said = printable(" ".join(lines[-4:])[-400:])
        report, wrong = parse(message or {}, self.plan)
        if not wrong and ("end" in report or "refused" in report):
            self.report = report
        elif wrong:
            self.lost, self.error = True, "its report is invalid: %s" % wrong
        elif rc == 127 and self.become and any(self.become + ": " in line and "not found" in line for line in lines):
            self.error = NO_BECOME % self.become
            self.kind = "no become"
        elif rc in (126, 127) or "Unknown option: -I" in said:  # that is Python 2's
            self.error = NO_PYTHON % (", ".join(self.interpreters), self.how_to_set_python)
            self.kind = "no python"
        else:
            self.lost = True
            self.error = "%s ended without a report (exit status %d)%s" % (self.subject, rc, said and ": " + said)

    def processes(self) -> "dict[int, int]":
        """{pid: parent's pid} of its processes on this machine: ssh, docker, a shell, or the end and its guard."""
        return labelled([self.label])

    def cancel(self, age: float = 0.0) -> bool:
        """End it; called again and again: ``age`` is how many seconds ago for the first time.

        The end of a login sees that its output has no reader any more.  False when nothing is left that is ours to end.
        """
        self.cancelled = True
        found = self.processes()
        meant, refused = self.ending.press(found, age)
        return bool(found) and not meant == len(refused) > 0


class PipedLaunch(Launch):
    """An end whose output comes through a pipe of ours, so that its samples are heard as they come."""

    out = -1  # the pipe's descriptor, not blocking

    def __init__(self, plan: "EndPlan", interpreters: "list[str]"):
        super().__init__(plan, interpreters)
        self.heard = Heard(report_most(plan))

    def wait(self) -> "tuple[int, str]":
        """Its output is at its end: (its exit status, what it said on standard error)."""
        raise NotImplementedError

    def wanted(self) -> "dict[int, int]":
        return {} if self.ready else {self.out: select.POLLIN}

    def serve(self, fd: int) -> "list[Sample]":
        return self.hear() if fd == self.out else []

    def hear(self) -> "list[Sample]":
        """The samples that have come since; at the end of the output the report is taken."""
        try:
            chunk = os.read(self.out, CHUNK)  # a part: what never ends must not keep us here
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
        """A message as a sample; None if it is another, or none that can be used."""
        return parse_sample(message, self.plan)
