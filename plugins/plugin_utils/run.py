# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: all ends of a plan launched side by side, watched, and heard to the last."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from ..module_utils.plan import Plan
from .hosts import Host
from .launch import ExecLaunch, Launch, ProcessLaunch, make_launch
from .watcher import SHORT, Watcher

PARENT = 0.5  # seconds between looks whether ansible-playbook still lives
FOLLOW = 30.0  # seconds for the other ends to end by themselves once one has failed with stages running
LINGER = 15.0  # seconds for an end that was cancelled to clean up (it may have to kill) and report
LOST = 1.0  # seconds for the others to report that this end's death has broken their links
LOST_EARLY = 3.0  # seconds in which a login fails that never began
UNAWARE = 12.0  # seconds until an end ends a stage that has not noticed its broken link (rules: 5 + 5), and reports
LATE = (
    30.0  # seconds for an end to report when all those that its links lead to have: nothing of its is running any more
)
AFTER = 10.0  # seconds longer than the first that an end may try to connect, or wait for a dead host


class Run:
    """Launches a plan's ends and collects their outcomes; whatever happens, none outlives it."""

    def __init__(self, plan: Plan, hosts: dict[str, Host], on_sample: Callable[[dict[str, Any]], None]) -> None:
        self.on_sample = on_sample
        self.wake_out, self.wake_in = os.pipe()
        os.set_blocking(self.wake_out, False)
        self.launches: dict[str, ProcessLaunch | ExecLaunch] = {
            end: make_launch(host, plan.for_end(end), self.wake) for end, host in hosts.items()
        }
        self.parent = os.getppid()
        self.watcher = Watcher([launch.label for launch in self.launches.values()])
        self.give_up_at = float("inf")
        self.force_at = float("inf")

    def wake(self) -> None:
        os.write(self.wake_in, b".")

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """Run to the end; returns {end: outcome} for a Verdict."""
        try:
            # threads first: their logins take longest
            for launch in sorted(self.launches.values(), key=lambda launch: isinstance(launch, ProcessLaunch)):
                launch.start()
            while not all(launch.ready for launch in self.launches.values()):
                self.listen()
                self.watcher.start_in_time()
                if self.overdue():
                    break
            return {end: launch.outcome() for end, launch in self.launches.items()}
        finally:
            self.cancel_all(LINGER)
            self.watcher.dismiss()

    def listen(self) -> None:
        """Sleep until an end says something or is over."""
        poller = select.poll()
        poller.register(self.wake_out, select.POLLIN)
        processes = [launch for launch in self.launches.values() if isinstance(launch, ProcessLaunch)]
        speaking = {launch.fileno(): launch for launch in processes if not launch.ready}
        for fd in speaking:
            poller.register(fd, select.POLLIN)
        for fd, _event in poller.poll((PARENT if self.watcher.process else SHORT) * 1000):
            if fd in speaking:
                for sample in speaking[fd].hear():
                    self.on_sample(sample)
            else:
                os.read(self.wake_out, 4096)

    def overdue(self) -> bool:
        """Let the others follow an end that failed; True when there is nothing left to wait for."""
        if os.getppid() != self.parent:
            # ansible-playbook was killed: nobody will read a result (from core 2.19 on we live in another session)
            self.cancel_all(LINGER)
            os._exit(1)
        now = time.monotonic()
        for launch in self.launches.values():
            if launch.ready:
                others = [other for other in self.launches.values() if other is not launch]
                self.give_up_at = min(self.give_up_at, now + self.patience(launch, others))
            elif now > self.last_contact(launch) + LATE:  # a dead login, of which ssh does not hear for hours
                launch.silent = f"it has said nothing for {LATE:.0f} s after the end of its connections"
                self.give_up_at = min(self.give_up_at, now)
        if now >= self.give_up_at:
            for launch in self.launches.values():
                if not launch.ready:
                    launch.cancel(signal.SIGTERM if now < self.force_at else signal.SIGKILL)
            self.force_at = min(self.force_at, now + LINGER)
            waiting = [launch for launch in self.launches.values() if not launch.ready]
            if now >= self.give_up_at + LOST and not any(launch.processes() for launch in waiting):
                return True  # nothing is left of it, though ssh's master, for example, holds its output open
        return now >= self.force_at + LINGER

    def last_contact(self, launch: Launch) -> float:
        """When the last of the ends that this one has links with was over; infinite while one is not."""
        names = {link["end"] for link in launch.plan["links"] if link["side"] != "local"}
        others = [self.launches[name] for name in names]
        over = others and all(other.ready and other.report and other.report.get("links") for other in others)
        return max(other.ended for other in others) if over else float("inf")

    @staticmethod
    def patience(launch: Launch, others: list[ProcessLaunch | ExecLaunch]) -> float:
        """Seconds that the others get after this end is over."""
        report = launch.report
        if report is None:
            soon = launch.lived < LOST_EARLY or all(isinstance(each, ProcessLaunch) for each in others)
            return LOST if soon else UNAWARE
        if report.get("preflight"):
            return float("inf")
        if report.get("not_connected"):
            return AFTER
        links = report.get("links", ())
        if any(side["problem"].startswith("dead peer") for side in links):
            return AFTER
        if report.get("died") or any(side["state"] in ("reset", "aborted") for side in links):
            return FOLLOW
        return float("inf") if report.get("links") else 0.0  # refused or skipped: no stage has been started

    def cancel_all(self, patience: float) -> None:
        """Nothing outlives the task: also called for an exception such as the task's timeout."""
        waiting = [launch for launch in self.launches.values() if not launch.ready]
        for launch in waiting:
            launch.cancel()
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and any(launch.processes() for launch in waiting):
            time.sleep(0.05)
        for launch in waiting:
            launch.cancel(signal.SIGKILL)
