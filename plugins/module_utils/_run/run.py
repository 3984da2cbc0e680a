# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: launches all ends of a plan together, watches them and collects their outcomes."""

import os
import select
import time

from .labels import BEAT as PRESS
from .labels import OVER
from .launch import PipedLaunch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping

    from .._end.records import Sample
    from .launch import Launch
    from .records import Outcome

BEAT = 0.5  # seconds: polling interval for conditions that raise no event
FOLLOW = 30.0  # seconds for the other ends to finish by themselves after one has failed with stages running
LOST = 1.0  # seconds for the others to report links broken by the death of an end
LOST_EARLY = 3.0  # a login that fails within this many seconds never began
UNAWARE = 12.0  # seconds until an end has killed a stage that ignores its broken link (rules: 5 + 5), and reported
LATE = 30.0  # seconds for an end to report after all ends at its links have: none of its stages is running
AFTER = 10.0  # seconds that an end gets after the first has failed to connect, or has detected a dead host


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
            # threads first: their logins take longest
            for launch in sorted(self.launches.values(), key=lambda launch: isinstance(launch, PipedLaunch)):
                launch.start()
            while not all(launch.ready for launch in self.launches.values()):
                self.listen()
                self.beat()
                if self.overdue():
                    break
            return {end: launch.outcome() for end, launch in self.launches.items()}
        finally:
            self.cancel_all()
            self.dismiss()

    # -- overridden by a front-end

    def beat(self) -> None:
        """Called at least every BEAT."""

    def dismiss(self) -> None:
        """Called at the end of the run, successful or not."""

    # --

    def listen(self) -> None:
        """Wait for output of an end, or for its end."""
        poller = select.poll()
        poller.register(self.wake_out, select.POLLIN)
        speaking = {}
        for launch in self.launches.values():
            for fd, events in launch.wanted().items():
                poller.register(fd, events)
                speaking[fd] = launch
        for fd, _event in poller.poll(BEAT * 1000):
            if fd == self.wake_out:
                os.read(fd, 4096)
                continue
            for sample in speaking[fd].serve(fd):
                self.on_sample(sample)

    def overdue(self) -> bool:
        """Give the other ends time after one has failed; True when there is nothing left to wait for."""
        now = time.monotonic()
        for launch in self.launches.values():
            if launch.ready:
                others = [other for other in self.launches.values() if other is not launch]
                self.give_up_at = min(self.give_up_at, now + self.patience(launch, others))
            elif now > self.last_contact(launch) + LATE:  # a dead login, which ssh does not notice for hours
                launch.silent = "no report within %d s after its connections closed" % LATE
                self.give_up_at = min(self.give_up_at, now)
        if now >= self.give_up_at:
            age = now - self.give_up_at
            left = [launch.cancel(age) for launch in self.launches.values() if not launch.ready]
            if age >= LOST and not any(left):
                return True  # no process is left, although another one, such as ssh's master, holds the output open
        return now >= self.give_up_at + OVER

    def last_contact(self, launch: "Launch") -> float:
        """When the last end with a link to this one finished; infinite while one is running."""
        names = {link["end"] for link in launch.plan["links"] if link["side"] != "local"}
        others = [self.launches[name] for name in names]
        over = others and all(other.ready and other.report and other.report.get("links") for other in others)
        return max(other.ended for other in others) if over else float("inf")

    @staticmethod
    def patience(launch: "Launch", others: "list[Launch]") -> float:
        """Seconds that the others get after this end has finished."""
        report = launch.report
        if report is None:
            if not launch.begun:
                return 0.0
            soon = launch.lived < LOST_EARLY or all(isinstance(each, PipedLaunch) for each in others)
            return LOST if soon else UNAWARE
        if report.get("preflight"):
            return float("inf")
        if report.get("not_connected"):
            return AFTER
        links = report.get("links", ())
        if any(side["problem"] and side["problem"]["kind"] == "dead peer" for side in links):
            return AFTER
        if report.get("died") or any(side["state"] in ("reset", "aborted") for side in links):
            return FOLLOW
        return float("inf") if report.get("links") else 0.0  # refused or skipped: no stage was started

    def cancel_all(self) -> None:
        """Stop all ends; also called after an exception, such as a task's timeout."""
        waiting = [launch for launch in self.launches.values() if not launch.ready]
        began = time.monotonic()
        # a list, so that any() does not stop at the first
        while any([launch.cancel(time.monotonic() - began) for launch in waiting]):  # noqa: C419  # pylint: disable=use-a-generator
            if time.monotonic() > began + OVER:
                break
            time.sleep(PRESS)
