# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launches all ends of a plan, watches them and collects their outcomes."""

import os
import select
import time

from .._end.stage import KEPT
from .._end.wire import MARK
from .labels import BEAT as PRESS
from .labels import OVER, Ending, by_label, labelled
from .marked import read_marked
from .report import parse
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Mapping

    from .._end.records import EndPlan, Report, Sample, SideReport
    from .records import Outcome

# bytes of one marked line without the outputs of the stages; attempts to dial take the most
REPORT_MOST = 1024 * 1024
NOISE_MOST = 64 * 1024  # bytes of other output to keep, the last ones, for the message that the report is missing
# logins at once, and seconds between further ones: with one jump host for all, its sshd drops some beyond ten at once
# (MaxStartups)
LOGINS, PACE = 8, 0.05
BEAT = 0.5  # seconds: polling interval for conditions that raise no event
FOLLOW = 30.0  # seconds for the other ends to finish by themselves after one has failed with stages running
LOST = 1.0  # seconds for the others to report links broken by the death of an end
LOST_EARLY = 3.0  # a login that fails within this many seconds never began
UNAWARE = 12.0  # seconds until an end has killed a stage that ignores its broken link (rules: 5 + 5), and reported
LATE = 30.0  # seconds for an end to report after all ends at its links have: none of its stages is running
AFTER = 10.0  # seconds that an end gets after the first has failed to connect, or has detected a dead host
NO_BECOME = "become needs %s, which is not installed: install it there, or set another ansible_become_method"
NO_PYTHON = "no usable Python (%s): install Python 3.6 or later there, or %s"


def names_missing(program: str, line: str) -> bool:
    """Whether a line of a shell that has exited with 127 is about this program, in any language.

    "sh: 1: /usr/bin/sudo: not found", "zsh:1: command not found: sudo"; a line of sudo itself begins with its name.
    """
    return program in [part.strip().rpartition("/")[2] for part in line.split(":")[1:]]


def report_most(told: "EndPlan") -> int:
    """The maximum size in bytes of a report for this plan."""
    return REPORT_MOST + sum(2 * KEPT + stage.get("keep", KEPT) for stage in told["stages"])


class Launch:
    """One end, however it is started.

    A launch begins with ``start``.  ``ready`` is true when the end has ended, and ``outcome`` returns the results.
    ``cancel`` stops the end early.
    """

    threaded = False  # whether a thread waits for all its output; otherwise a pipe has it as it arrives
    subject = "it"  # the subject of a sentence that it has ended
    how_to_set_python = "set ansible_python_interpreter"
    become = ""  # the program by which the end becomes another user

    def __init__(self, plan: "EndPlan", interpreters: "list[str]"):
        self.plan, self.interpreters = plan, interpreters
        self.label = "socketpipe:%s:%s" % (plan["run"], plan["end"])
        self.ready = False
        self.cancelled = False
        self.began = self.ended = time.monotonic()
        self.found: "dict[int, int] | None" = None  # its processes, if the run has just searched for those of all ends
        self.report: "Report | None" = None
        self.error, self.kind = "", "launch"
        self.silent = ""  # why the run gave it up, if its silence is the failure
        self.lost = False  # it may have run, but there is no report
        self.begun = True  # whether an end may be running; False only for launches that report the beginning
        self.ending = Ending()
        self.give_up_at = float("inf")  # when the run stops it, because another end has failed
        # seconds that its stages may take to undo what they have begun
        self.undoing = sum(stage["afterwards"]["limit"] for stage in plan["stages"] if "afterwards" in stage)
        self.late = LATE + self.undoing

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

        The next step is verdict.Verdict, when all ends have their outcomes (Run.outcomes).
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
            self.error = self.without_report(rc, last)

    def without_report(self, rc: int, last: str) -> str:
        """That it has ended without one; ``last``: what it has said last."""
        return "%s ended without a report (exit status %d)%s" % (self.subject, rc, last and ": " + last)

    def never_began(self) -> bool:
        """Whether it has ended without making its links, so that no stage of the plan was started."""
        if self.report is None:
            return not self.lost and (self.kind != "unreachable" or self.lived < LOST_EARLY)
        return not self.report.get("links") and not self.report.get("died")

    def links(self) -> "list[SideReport]":
        """The reported links, without those of branches that its fan-out has lost and gone on without."""
        report = self.report or {}
        fans = {stage["name"] for stage in self.plan["stages"] if "fan" in stage}
        went_on = any(s["name"] in fans and s["rc"] == 0 and not s["problem"] for s in report.get("stages", ()))
        lost = {link["id"] for link in self.plan["links"] if went_on and link["branch"]}
        return [side for side in report.get("links", ()) if side["id"] not in lost]

    def processes(self) -> "dict[int, int]":
        """{pid: parent's pid} of its processes on this machine: ssh, docker and shells, or the end and its guard."""
        found, self.found = self.found, None
        return labelled([self.label]) if found is None else found

    def cancel(self, age: float = 0.0) -> bool:
        """Stop it; called repeatedly, with ``age`` as the seconds since the first call.

        The end behind a login notices that its output has lost its reader.  Returns False when no process is left that
        we may signal.
        """
        self.cancelled = True
        found = self.processes()
        meant, refused = self.ending.press(found, age)
        return bool(found) and not meant == len(refused) > 0


def cancel(launches: "list[Launch]", age: float) -> "list[bool]":
    """Stop them all: the result of ``cancel`` of each.  /proc is read once for all of them."""
    if len(launches) > 1:
        found = by_label([launch.label for launch in launches])
        for launch in launches:
            launch.found = found[launch.label]
    return [launch.cancel(age) for launch in launches]


class Run:
    """Launches the ends of a plan and collects their outcomes; no end outlives it, whatever happens."""

    def __init__(self, launches: "Mapping[str, Launch]", on_sample: "Callable[[Sample], None]"):
        self.launches, self.on_sample = launches, on_sample
        self.wake_out, self.wake_in = os.pipe()  # a byte wakes it up
        for fd in (self.wake_out, self.wake_in):
            os.set_blocking(fd, False)
        self.give_up_at = float("inf")

    def outcomes(self) -> "dict[str, Outcome]":
        """Run to completion; returns {end: outcome} for a Verdict."""
        try:
            self.start()
            while not all(launch.ready for launch in self.launches.values()):
                self.listen()
                self.beat()
                if self.overdue():
                    break
            return {end: launch.outcome() for end, launch in self.launches.items()}
        finally:
            self.cancel_all()
            self.dismiss()

    def start(self) -> None:
        """Start all ends, many of them one after the other; the time to connect counts from the start of the last."""
        # threads first: their logins take longest
        launches = sorted(self.launches.values(), key=lambda launch: not launch.threaded)
        for number, launch in enumerate(launches):
            if number >= LOGINS:
                self.listen(PACE)
                self.beat()
                self.overdue()
                if time.monotonic() >= min(map(self.limit, launches)):
                    return
            launch.plan["connect_timeout"] += PACE * max(0, len(launches) - max(LOGINS, number + 1))
            launch.began = time.monotonic()
            launch.start()

    # -- overridden by a front-end

    def beat(self) -> None:
        """Called at least every BEAT."""

    def dismiss(self) -> None:
        """Called at the end of the run, successful or not."""

    def depending(self, end: str) -> "Iterable[str]":
        """The ends that cannot succeed if this one fails."""
        return self.launches

    # --

    def listen(self, most: float = BEAT) -> None:
        """Wait for output of an end, or for its end, for at most so many seconds."""
        poller = select.poll()
        poller.register(self.wake_out, select.POLLIN)
        speaking = {}
        for launch in self.launches.values():
            for fd, events in launch.wanted().items():
                poller.register(fd, events)
                speaking[fd] = launch
        for fd, _event in poller.poll(most * 1000):
            if fd == self.wake_out:
                os.read(fd, 4096)
                continue
            for sample in speaking[fd].serve(fd):
                self.on_sample(sample)

    def limit(self, launch: "Launch") -> float:
        return min(self.give_up_at, launch.give_up_at)

    def overdue(self) -> bool:
        """Give the other ends time after one has failed; True when there is nothing left to wait for."""
        now = time.monotonic()
        for end, launch in self.launches.items():
            if launch.ready:
                others = [other for other in self.launches.values() if other is not launch]
                never = launch.never_began()
                patience = self.patience(launch, others)
                self.give_up(self.launches if never else self.depending(end), now + patience, patience >= AFTER)
            elif now > self.last_contact(launch) + launch.late:  # a dead login, which ssh does not notice for hours
                since = "the others left their logins" if self.all_left(launch) else "its connections closed"
                launch.silent = "no report within %d s after %s" % (launch.late, since)
                self.give_up(self.depending(end), now)
        waiting = [launch for launch in self.launches.values() if not launch.ready]
        over = 0
        for at in {self.limit(launch) for launch in waiting}:
            if now >= at:
                late = [launch for launch in waiting if self.limit(launch) == at]
                left = cancel(late, now - at)
                # no process is left, although another one, such as ssh's master, holds the output open
                gone = left.count(False) if now >= at + LOST else 0
                over += len(late) if now >= at + OVER else gone
        return over == len(waiting)

    def give_up(self, ends: "Iterable[str]", at: float, begun: bool = False) -> None:
        """Limit the time of these ends; ``begun``: their stages may have to undo something first."""
        for launch in [self.launches[name] for name in ends]:
            launch.give_up_at = min(launch.give_up_at, at + launch.undoing * begun)

    def last_contact(self, launch: "Launch") -> float:
        """When the last end with a link to this one finished, or left its login; infinite while one is running."""
        names = {link["end"] for link in launch.plan["links"] if link["side"] != "local" and not link["control"]}
        others = [self.launches[name] for name in names]
        over = others and all(other.ready and other.report and other.report.get("links") for other in others)
        others = self.all_left(launch) or (others if over else [])
        return max(other.ended for other in others) if others else float("inf")

    def all_left(self, launch: "Launch") -> "list[Launch]":
        """All other ends if they have left their logins, which this one then does at the same time; [] otherwise."""
        others = [other for other in self.launches.values() if other is not launch]
        left = all(other.ready and (other.report or {}).get("detached") for other in others)
        return others if left else []

    @staticmethod
    def patience(launch: "Launch", others: "list[Launch]") -> float:
        """Seconds that the others get after this end has finished."""
        report = launch.report
        if report is None:
            if not launch.begun:
                return 0.0
            soon = launch.lived < LOST_EARLY or not any(each.threaded for each in others)
            return LOST if soon else UNAWARE
        if report.get("preflight") or report.get("detached"):
            return float("inf")
        refused: "Mapping[str, object]" = report.get("refused") or {}
        if report.get("not_connected") or refused.get("kind") == "not detached":  # another end says why
            return AFTER
        links = launch.links()
        if any(side["problem"] and side["problem"]["kind"] == "dead peer" for side in links):
            return AFTER
        if report.get("died") or any(side["state"] in ("reset", "aborted") for side in links):
            return FOLLOW
        if report.get("links"):
            return float("inf")
        ran = [stage for stage in report.get("stages", ()) if stage["started_at"] is not None]
        if not ran:  # refused or skipped
            return 0.0
        return FOLLOW if any(stage["problem"] for stage in ran) else float("inf")  # a plan without links

    def cancel_all(self) -> None:
        """Stop all ends; also called after an exception, such as a task's timeout."""
        waiting = [launch for launch in self.launches.values() if not launch.ready]
        began = time.monotonic()
        while any(cancel(waiting, time.monotonic() - began)):
            if time.monotonic() > began + OVER:
                break
            time.sleep(PRESS)
