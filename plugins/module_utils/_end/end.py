# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end: starts this host's stages on their links, watches, has the rules decide, reports."""

import os
import select
import time

from . import link
from .kernel import events
from .lean import signal
from .patience import Patience
from .processes import HIDDEN, blind, descendants, has_children, kill_with_groups
from .rules import Rules
from .stage import ENDED, RUNNING, WAITING, Stage
from .watch import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from .link import Side
    from .records import EndPlan, Report
    from .watch import Watch


class End(Rules):
    """All stages and links of one host in one run."""

    def __init__(self, plan: "EndPlan", sides: "list[Side]", watch: "Watch", guard: "socket.socket"):
        super().__init__(Patience(plan["patience"]))
        self.plan, self.sides, self.watch, self.guard = plan, sides, watch, guard
        by_key = {(side.id, side.writer): side for side in sides}
        self.stages = [Stage(spec, by_key) for spec in plan["stages"]]
        self.began = time.monotonic()
        self.tick_at = self.began
        self.sample_at = self.began + plan["sample"] if plan["sample"] else float("inf")
        self.drain_pause = 0.001

    # -- the loop

    def run(self) -> "Report":
        """Supervise until every stage and link is settled; returns the report."""
        while not self.settled():
            try:
                self.notice(self.watch.poll(self.fds(), self.pause()))
                self.tick(time.monotonic())
            except Cancelled as exc:
                self.cancel(str(exc))
            self.reap()
        self.clear_up()
        return self.report()

    def settled(self) -> bool:
        now = time.monotonic()
        for stage in self.stages:
            if stage.state == WAITING:
                self.begin(stage, now)
            if stage.state == RUNNING:
                self.supervise(stage, now)
            if stage.state == ENDED and not stage.settled:
                self.judge(stage, now)
        if not self.over():
            return False
        for side in self.sides:
            side.part()
        return self.failed() or not any(side.lingers for side in self.sides)

    def over(self) -> bool:
        """Whether nothing is to be done here any more; those who read what we have written may still work."""
        return all(stage.settled for stage in self.stages) and not any(s.state == link.COMMITTED for s in self.sides)

    def fds(self) -> "dict[int, int]":
        wanted = {self.guard.fileno(): select.POLLIN} if not self.cancelled else {}
        for side in self.sides:
            if side.wanted() >= 0:
                wanted[side.sock.fileno()] = side.wanted()
        for stage in self.stages:
            wanted.update((kept.fd, select.POLLIN) for kept in stage.pipes())
            for side in stage.ins:
                if stage.state == WAITING and side.state == link.OPEN or stage.drain_until and not stage.settled:
                    wanted[side.sock.fileno()] = max(0, side.wanted()) | select.POLLIN
        return wanted

    def pause(self) -> float:
        """Seconds until there is something to do even if nothing happens."""
        now = time.monotonic()
        if any(side.state == link.COMMITTED for side in self.sides):
            self.drain_pause = min(0.25, self.drain_pause * 1.5)
            return self.drain_pause
        if any(stage.hold_until and not stage.settled for stage in self.stages):
            return 0.05
        times = [self.tick_at, self.sample_at] + [side.look_at for side in self.sides]
        for stage in self.stages:
            if not stage.settled:
                times += [at for at in (stage.term_at, stage.kill_at, stage.drain_until) if at]
        return max(0.0, min(times) - now)

    def notice(self, found: "dict[int, int]") -> None:
        if self.guard.fileno() in found and not self.cancelled:
            self.cancel("the guard was killed")
        for side in self.sides:
            side.notice(found.get(side.sock.fileno(), 0))
        for stage in self.stages:
            for kept in stage.pipes():
                if kept.fd in found:
                    kept.read()

    def reap(self) -> None:
        """Collect whatever has exited: our stages, and orphans that came to us."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for stage in self.stages:
                if stage.pid == pid and stage.state == RUNNING:
                    self.look()
                    stage.reaped(status, usage)

    def look(self) -> None:
        """Latch what has happened to the links before a stage's exit is judged."""
        found = events({side.sock.fileno(): side.wanted() for side in self.sides if side.wanted() >= 0})
        for side in self.sides:
            side.notice(found.get(side.sock.fileno(), 0))

    def tick(self, now: float) -> None:
        for side in self.sides:
            side.drained()
            side.insist()
            side.wake(now)
        if now >= self.tick_at:
            self.tick_at = now + self.patience.tick
            for side in self.sides:
                side.check(now)
        if now >= self.sample_at:
            self.sample_at = now + self.plan["sample"]
            if self.over():
                return  # and nothing moves any more
            self.watch.say({"sample": [side.report(self.began) for side in self.sides], "at": now - self.began})

    def cancel(self, why: str) -> None:
        """Nobody waits for us, or somebody wants us to stop: everything goes, with an error downstream."""
        self.cancelled = self.cancelled or why
        now = time.monotonic()
        for side in self.sides:
            if side.state in (link.OPEN, link.COMMITTED, link.EOF):
                side.abort("cancelled", why)
        for stage in self.stages:
            if not stage.kill_at:  # else SIGTERM is behind it
                stage.term_at = now

    def failed(self) -> bool:
        return bool(self.cancelled) or any(
            stage.problem or stage.status is None or not stage.accepted() for stage in self.stages
        )

    def clear_up(self) -> None:
        """On failure nothing that was started lives on; on success what holds no link may, and is named."""
        if self.failed() or any(side.state in link.BROKEN for side in self.sides):
            began = time.monotonic()
            while has_children() and time.monotonic() < began + self.patience.term:
                alive = descendants(os.getpid())
                self.killed.update(alive)
                number = signal.SIGTERM if time.monotonic() < began + self.patience.term / 5 else signal.SIGKILL
                if len(kill_with_groups(alive, number)) == len(alive) > 0:
                    break  # none of them is ours to end
                time.sleep(0.05)
                self.reap()
        self.left = self.alive()

    def alive(self) -> "dict[int, str]":
        """Our living descendants."""
        while has_children():
            found = descendants(os.getpid()) or ({0: HIDDEN} if blind() else {})
            if found:
                return found
            self.reap()
        return {}

    def report(self) -> "Report":
        return {
            "end": self.plan["end"],
            "cancelled": self.cancelled,
            "stages": [stage.report(self.began) for stage in self.stages],
            "links": [side.report(self.began) for side in self.sides],
            "warnings": [side.warning for side in self.sides if side.warning],
            "killed": ["%d %s" % item for item in sorted(self.killed.items()) if item[0] not in self.left],
            "left": ["%d %s" % item for item in sorted(self.left.items())],
        }
