# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end: watches the stages and links of this host, applies the rules, and reports."""

import select
import time

from . import figures, link
from .guard import release
from .kernel import events
from .lean import signal
from .patience import Patience
from .processes import HIDDEN, blind, descendants, has_children, kill_with_groups, listed
from .rules import Rules
from .stage import ALIVE, DRAINING, HELD, KILLED, WAITING, Stage
from .system import os
from .watch import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from .barrier import Barrier
    from .link import Side
    from .records import EndPlan, EndWarning, LinkPoint, Report, SideReport, StageSpec
    from .watch import Watch

POINTS, LINKS = 100, 8  # in a report, at most so many for each of so many links


def make_stage(spec: "StageSpec", sides: "dict[tuple[str, bool], Side]", others: "list[Stage]") -> Stage:
    """``others``: those before it in the plan."""
    if "after" in spec:
        from .later import Later  # shipped only then

        return Later(spec, sides, others)
    if spec.get("tells"):
        from .telling import Telling  # shipped only then

        return Telling(spec, sides)
    if "fan" not in spec:
        return Stage(spec, sides)
    from .fan import Fan, Passing  # shipped only then

    return (Fan if spec["fan"]["required"] else Passing)(spec, sides)


class End:
    """All stages and links of one host in one run."""

    def __init__(
        self,
        plan: "EndPlan",
        sides: "list[Side]",
        watch: "Watch",
        guard: "socket.socket",
        barrier: "Barrier | None" = None,
    ):
        """In ``sides``, those between a relay and its stage come last, because they replace the link there.

        ``barrier``: None if stages may start when all links of this end are made.
        """
        self.plan, self.sides, self.watch, self.guard, self.barrier = plan, sides, watch, guard, barrier
        by_key = {(side.id, side.writer): side for side in sides}
        # relays come first, because they know why a link is broken
        self.stages: "list[Stage]" = [side.relay for side in sides if side.relay]
        for spec in plan["stages"]:
            self.stages.append(make_stage(spec, by_key, self.stages))
        self.patience = Patience(plan["patience"])
        self.rules = Rules(self.stages, self.patience, barrier)
        self.left: "dict[int, str]" = {}  # {pid: name} of processes that outlive the run
        self.warnings: "list[EndWarning]" = []
        self.began = time.monotonic()  # all times of the report count from here
        self.tick_at = self.began
        self.sample_at = self.began + plan["sample"] if plan["sample"] else None
        self.commit_pause = 0.001
        self.points: "list[list[LinkPoint]]" = []  # at even distances in time, of ``step`` ticks
        self.ticks, self.step = 0, 1

    # -- the loop

    def run(self) -> "Report":
        """Supervise until every stage and link is settled; returns the report."""
        while not self.settled():
            try:
                self.notice(self.watch.poll(self.fds(), self.pause()))
                self.tick(time.monotonic())
            except Cancelled as exc:  # the controller is lost, or a signal told this end to stop
                self.rules.cancel(exc.stop, time.monotonic())
            self.reap()
        self.clear_up()
        return self.report()

    def settled(self) -> bool:
        now = time.monotonic()
        if self.barrier and self.rules.sealed() and self.barrier.step():
            self.begin(now)
        for stage in self.stages:
            self.rules.apply(stage, now)
        if not self.over():
            return False
        for side in self.sides:
            side.part()
        return self.rules.failed() or not any(side.lingers for side in self.sides)

    def begin(self, now: float) -> None:
        """All links of the plan are made."""
        self.began = now
        for side in self.sides:
            side.begin(now)

    def over(self) -> bool:
        """Whether nothing is left to do here; readers on other hosts may still be running."""
        now = time.monotonic()
        waits = any(side.state == link.COMMITTED or side.is_telling(now) for side in self.sides)
        return all(stage.settled for stage in self.stages) and not waits

    def fds(self) -> "dict[int, int]":
        wanted = {self.guard.fileno(): select.POLLIN} if not self.rules.cancelled else {}
        wanted.update(self.links())
        for stage in self.stages:
            wanted.update((kept.fd, select.POLLIN) for kept in stage.pipes())
            for side in stage.ins:
                waits = stage.phase == WAITING and side.state == link.OPEN and not self.rules.waiting()
                waits = waits and not stage.waits
                if waits or stage.phase == DRAINING:
                    wanted[side.sock.fileno()] = (side.wanted() or select.POLLIN) | select.POLLIN
        for fd in self.barrier.fds() if self.barrier else ():
            wanted[fd] = wanted.get(fd, 0) | select.POLLIN
        return wanted

    def links(self) -> "dict[int, int]":
        """{fd: poll(2) events} for the links."""
        each = ((side.sock.fileno(), side.wanted()) for side in self.sides)
        return {fd: wanted for fd, wanted in each if wanted is not None}

    def pause(self) -> float:
        """Seconds until the next action, unless an event comes first."""
        now = time.monotonic()
        if any(side.state == link.COMMITTED for side in self.sides):
            self.commit_pause = min(0.25, self.commit_pause * 1.5)
            return self.commit_pause
        if any(side.busy for side in self.sides):
            return 0.02
        if any(side.flushing or side.is_telling(now) for side in self.sides):
            return 0.005
        if any(stage.phase == KILLED for stage in self.stages):
            return 0.01
        if any(stage.phase == HELD for stage in self.stages):
            return 0.05
        times = [self.tick_at, self.sample_at]
        times += [side.look_at for side in self.sides] + [stage.until for stage in self.stages]
        return max(0.0, min(at for at in times if at is not None) - now)

    def notice(self, found: "dict[int, int]") -> None:
        if self.guard.fileno() in found and not self.rules.cancelled:
            self.rules.cancel({"kind": "guard"}, time.monotonic())
        for side in self.sides:
            side.notice(found.get(side.sock.fileno(), 0))
        for stage in self.stages:
            for kept in stage.pipes():
                if kept.fd in found:
                    kept.read()

    def reap(self) -> None:
        """Collect exited processes: stages, and orphans reparented to this process."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for stage in self.stages:
                if stage.pid == pid and stage.phase in ALIVE:
                    self.look()
                    for side in stage.ins:
                        side.stop_reading()
                    stage.reaped(status, usage)

    def look(self) -> None:
        """Record events on the links before the exit of a stage is judged."""
        found = events(self.links())
        for side in self.sides:
            side.notice(found.get(side.sock.fileno(), 0))

    def tick(self, now: float) -> None:
        for side in self.sides:
            side.drained()
            side.insist()
            if side.transport.released and side.transport.guarded:
                side.transport.guarded = False
                release(self.guard, side.transport)
            side.wake(now)
        if now >= self.tick_at:
            self.tick_at = now + self.patience.tick
            if self.barrier and not self.barrier.passed:
                self.barrier.rest(now)
            for side in self.sides:
                side.check(now)
            self.ticks += 1
            if not (self.ticks % self.step or self.rules.waiting()):
                self.points.append(self.point())
            if len(self.points) == POINTS:
                del self.points[::2]
                self.step *= 2
        if self.sample_at is not None and now >= self.sample_at:
            self.sample_at = now + self.plan["sample"]
            if self.over() or self.rules.waiting():
                return  # no byte moves
            told = {stage.name: stage.doing for stage in self.stages if "tells" in stage.spec}
            self.watch.say({"sample": self.side_reports(), "at": now - self.began, "told": told})

    def clear_up(self) -> None:
        """Kill everything after a failure.  After a success, processes without a link may live on, and are reported."""
        if self.rules.failed() or any(side.state in link.BROKEN for side in self.sides):
            began = time.monotonic()
            while has_children() and time.monotonic() < began + self.patience.term:
                alive = descendants(os.getpid())
                self.rules.killed.update(alive)
                number = signal.SIGTERM if time.monotonic() < began + self.patience.term / 5 else signal.SIGKILL
                if len(kill_with_groups(alive, number)) == len(alive) > 0:
                    break  # we may not signal any of them
                time.sleep(0.05)
                self.reap()
            undo = [stage.spec for stage in self.stages if stage.pid and "afterwards" in stage.spec]
            if undo:
                from .afterwards import run_all  # shipped only then

                self.warnings += run_all(undo, self.watch)
        self.left = self.alive()

    def alive(self) -> "dict[int, str]":
        """The living descendants of this process."""
        while has_children():
            found = descendants(os.getpid()) or ({0: HIDDEN} if blind() else {})
            if found:
                return found
            self.reap()
        return {}

    def side_reports(self) -> "list[SideReport]":
        return [figures.report(side, self.began) for side in self.sides if not side.hidden]

    def point(self) -> "list[LinkPoint]":
        """The figures that change, of each link that is written to here."""
        return [
            [side["id"], side["elapsed"], side["bytes"], side["rtt"], side["retransmits"], side["waited"]["receiver"]]
            for side in self.side_reports()
            if side["side"] == "W" and side["bytes"] is not None
        ][:LINKS]

    def report(self) -> "Report":
        if self.barrier and not self.barrier.passed:
            self.began = time.monotonic()  # before all that happened after the start on other hosts
        return {
            "end": self.plan["end"],
            "cancelled": self.rules.cancelled,
            "stages": [stage.report(self.began) for stage in self.stages if not stage.relay],
            "links": self.side_reports(),
            "points": [*self.points, self.point()],
            "warnings": [warning for side in self.sides for warning in side.warnings] + self.warnings,
            "killed": listed({pid: name for pid, name in self.rules.killed.items() if pid not in self.left}),
            "left": listed(self.left),
        }
