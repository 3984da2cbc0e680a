# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: all ends of a plan launched side by side, watched, and heard to the last."""

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
FOLLOW = 30.0  # seconds for the other ends to end by themselves once one has failed with stages running
LOST = 1.0  # seconds for the others to report that this end's death has broken their links
LOST_EARLY = 3.0  # seconds in which a login fails that never began
UNAWARE = 12.0  # seconds until an end ends a stage that has not noticed its broken link (rules: 5 + 5), and reports
LATE = 30.0  # seconds for an end to report when all those that its links lead to have: nothing of its is running
AFTER = 10.0  # seconds longer than the first that an end may try to connect, or wait for a dead host


class Run:
    """Launches a plan's ends and collects their outcomes; whatever happens, none outlives it."""

    def __init__(self, launches: "Mapping[str, Launch]", on_sample: "Callable[[Sample], None]"):
        self.launches, self.on_sample = launches, on_sample
        self.wake_out, self.wake_in = os.pipe()  # a byte ends its sleep
        for fd in (self.wake_out, self.wake_in):
            os.set_blocking(fd, False)
        self.give_up_at = float("inf")

    def outcomes(self) -> "dict[str, Outcome]":
        """Run to the end; returns {end: outcome} for a Verdict."""
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

    # -- what a front-end adds

    def beat(self) -> None:
        """Called between two sleeps, every BEAT at least."""

    def dismiss(self) -> None:
        """Called when all is over, however it ended."""

    # --

    def listen(self) -> None:
        """Sleep until an end says something or is over."""
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
        """Let the others follow an end that failed; True when there is nothing left to wait for."""
        now = time.monotonic()
        for launch in self.launches.values():
            if launch.ready:
                others = [other for other in self.launches.values() if other is not launch]
                self.give_up_at = min(self.give_up_at, now + self.patience(launch, others))
            elif now > self.last_contact(launch) + LATE:  # a dead login, of which ssh does not hear for hours
                launch.silent = "no report within %d s after its connections closed" % LATE
                self.give_up_at = min(self.give_up_at, now)
        if now >= self.give_up_at:
            age = now - self.give_up_at
            left = [launch.cancel(age) for launch in self.launches.values() if not launch.ready]
            if age >= LOST and not any(left):
                return True  # nothing is left of it, though ssh's master, for example, holds its output open
        return now >= self.give_up_at + OVER

    def last_contact(self, launch: "Launch") -> float:
        """When the last of the ends that this one has links with was over; infinite while one is not."""
        names = {link["end"] for link in launch.plan["links"] if link["side"] != "local"}
        others = [self.launches[name] for name in names]
        over = others and all(other.ready and other.report and other.report.get("links") for other in others)
        return max(other.ended for other in others) if over else float("inf")

    @staticmethod
    def patience(launch: "Launch", others: "list[Launch]") -> float:
        """Seconds that the others get after this end is over."""
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
        return float("inf") if report.get("links") else 0.0  # refused or skipped: no stage has been started

    def cancel_all(self) -> None:
        """Nothing outlives the run: also called for an exception such as a task's timeout."""
        waiting = [launch for launch in self.launches.values() if not launch.ready]
        began = time.monotonic()
        # a list: each of them is asked, and not only the first
        while any([launch.cancel(time.monotonic() - began) for launch in waiting]):  # noqa: C419  # pylint: disable=use-a-generator
            if time.monotonic() > began + OVER:
                break
            time.sleep(PRESS)
