# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end: starts this host's stages on their links, watches, decides, reports.

End of file means success, and nothing else does.  A stage goes from waiting to
running to ended to settled; its links are committed only when it was accepted,
everything it read came to a clean end, and nothing it started can still write.
Whatever else happens breaks its links, both ways, and so travels along the chain.
"""

import os
import select
import time

from . import link
from .kernel import descendants, events, holds, kill, signal_name
from .stage import ENDED, RUNNING, WAITING, NotStarted, Stage
from .watch import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any, Iterable

    from .link import Side
    from .watch import Watch
else:
    import _signal as signal

RESET_GRACE = 5.0  # seconds for a stage whose link is broken to notice it, before SIGTERM
TERM_GRACE = 5.0  # seconds from SIGTERM to SIGKILL
KILL_GRACE = 10.0  # seconds from SIGKILL to giving up on a process
HOLD_GRACE = 5.0  # seconds for what a stage has left running to let go of its link
DRAIN_GRACE = 3.0  # seconds for the rest of a stream whose reader has stopped to come to its end
TICK = 1.0  # seconds between looks at the counters


class End:
    """All stages and links of one host in one run."""

    def __init__(self, plan: "dict[str, Any]", sides: "list[Side]", watch: "Watch", guard: "socket.socket"):
        self.plan, self.sides, self.watch, self.guard = plan, sides, watch, guard
        by_key = {(side.id, side.writer): side for side in sides}
        self.stages = [Stage(spec, by_key) for spec in plan["stages"]]
        self.began = time.monotonic()
        self.tick_at = self.began
        self.sample_at = self.began + plan["sample"] if plan["sample"] else float("inf")
        self.drain_pause = 0.001
        self.cancelled = ""
        self.killed: "dict[int, str]" = {}
        self.left: "dict[int, str]" = {}

    # -- the loop

    def run(self) -> "dict[str, Any]":
        """Supervise until every stage and link is settled; returns the report."""
        while not self.settled():
            try:
                self.notice(self.watch.poll(self.fds(), self.patience()))
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

    def patience(self) -> float:
        """Seconds until there is something to do even if nothing happens."""
        now = time.monotonic()
        if any(side.state == link.COMMITTED for side in self.sides):
            self.drain_pause = min(0.25, self.drain_pause * 1.5)
            return self.drain_pause
        if any(stage.hold_until and not stage.settled for stage in self.stages):
            return 0.05
        times = [self.tick_at, self.sample_at]
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
        if now >= self.tick_at:
            self.tick_at = now + TICK
            for side in self.sides:
                side.check(now)
        if now >= self.sample_at:
            self.sample_at = now + self.plan["sample"]
            self.watch.say({"sample": [side.report(self.began) for side in self.sides], "at": now - self.began})

    # -- a stage's way

    def begin(self, stage: Stage, now: float) -> None:
        """Start late: with the first byte or a clean end, so that a dead source never opens the tape."""
        if any(side.state in link.BROKEN for side in stage.fds.values()) or self.cancelled:
            stage.blame = stage.broken_links()
            self.break_links(stage)
            stage.settled = True
            return
        if not all(side.readable() for side in stage.ins):
            return
        for side in stage.ins:
            side.start_reading()
        try:
            stage.start()
        except (NotStarted, OSError) as exc:
            stage.fail("not started", str(exc))
            stage.settled = True
            self.break_links(stage)

    def supervise(self, stage: Stage, now: float) -> None:
        """A broken link breaks what follows at once, and ends a stage that does not notice."""
        if any(side.state in link.BROKEN for side in stage.fds.values()):
            if any(side.state in link.BROKEN for side in stage.ins):
                for side in stage.outs:
                    side.abort()
            stage.term_at = stage.term_at or now + RESET_GRACE
        if stage.term_at and now >= stage.term_at and not stage.kill_at:
            self.signal_tree(stage, signal.SIGTERM)
            stage.kill_at = now + TERM_GRACE
            stage.term_at = float("inf")
        elif stage.kill_at and now >= stage.kill_at:
            self.signal_tree(stage, signal.SIGKILL)
            if now >= stage.kill_at + KILL_GRACE:
                stage.fail("not killed", "it could not be killed (pid %d)" % stage.pid)
                self.break_links(stage)
                stage.settled, stage.state = True, ENDED
            else:
                time.sleep(0.01)

    def judge(self, stage: Stage, now: float) -> None:
        """It has exited: settle what it read, then commit or break what it wrote."""
        if not stage.accepted():
            stage.fail("failed", self.exit_text(stage))
        if stage.problem is None:
            for side in stage.ins:
                if side.state in (link.OPEN, link.EOF) and not self.settle_reader(stage, side, now):
                    return
            if any(side.state in link.BROKEN for side in stage.ins):
                stage.blame = stage.blame or stage.broken_links()
                self.break_links(stage)
                stage.settled = True
                return
        writing = any(side.state == link.OPEN for side in stage.outs)
        if stage.problem is None and writing and self.held(stage, stage.outs, now):
            return
        if stage.problem is not None:
            self.break_links(stage)
        else:
            for side in stage.outs:
                if side.state == link.OPEN:
                    side.commit()
        stage.settled = True

    def settle_reader(self, stage: Stage, side: "Side", now: float) -> bool:
        """Read to the end, or it is not ok; returns whether this side is settled (or has failed)."""
        if side.state == link.EOF and side.unread() == 0:
            side.finish()
            return True
        if stage.spec["early_exit"]:
            side.leave()
            return True
        if stage.drain_until == 0 and self.held(stage, [side], now):
            return False
        if stage.problem is not None:
            return True
        stage.hold_until = 0.0
        stage.drain_until = stage.drain_until or now + DRAIN_GRACE
        before = side.unread()
        at_end = side.drain()
        if at_end:
            side.finish()
            return True
        if at_end is None and now < stage.drain_until:
            return False
        if side.state != link.RESET:
            count = side.bytes()
            consumed = "" if count is None else " after %d bytes" % (count - before - side.padding)
            rest = "%d left unread" % before if before else "and its input had not ended"
            text = "stopped reading%s with exit status %d, %s" % (consumed, stage.rc or 0, rest)
            stage.fail("stopped reading", text)
        return True

    def held(self, stage: Stage, sides: "Iterable[Side]", now: float) -> bool:
        """Whether something that was left running still has one of these open: waits, then fails."""
        inodes = {side.inode for side in sides}
        holders = {pid: name for pid, name in self.alive().items() if holds(pid, inodes)}
        if not holders:
            stage.hold_until = 0.0
            return False
        stage.hold_until = stage.hold_until or now + HOLD_GRACE
        if now < stage.hold_until:
            return True
        names = ", ".join("%s (pid %d)" % (name, pid) for pid, name in sorted(holders.items()))
        stage.fail("held", "has exited, but %s, which it started, still has the link open" % names)
        return False

    def alive(self) -> "dict[int, str]":
        """Our living descendants.  Orphans come to us, so without a child there are none."""
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return {}
        return descendants(os.getpid())

    def break_links(self, stage: Stage) -> None:
        for side in stage.fds.values():
            side.abort()

    def exit_text(self, stage: Stage) -> str:
        if stage.signal:
            return "was ended by %s" % signal_name(stage.signal)
        return "exit status %s" % stage.rc

    # -- the end of it

    def cancel(self, why: str) -> None:
        """Nobody waits for us, or somebody wants us to stop: everything goes, with an error downstream."""
        self.cancelled = self.cancelled or why
        now = time.monotonic()
        for side in self.sides:
            if side.state in (link.OPEN, link.COMMITTED, link.EOF):
                side.abort("cancelled", why)
        for stage in self.stages:
            stage.term_at = min(stage.term_at or now, now)

    def signal_tree(self, stage: Stage, number: int) -> None:
        pids = descendants(stage.pid)
        pids[stage.pid] = stage.spec["argv"][0]
        self.killed.update(pids)
        for pid in kill(pids, number):
            self.left[pid] = pids[pid]

    def failed(self) -> bool:
        return bool(self.cancelled) or any(
            stage.problem or stage.status is None or not stage.accepted() for stage in self.stages
        )

    def clear_up(self) -> None:
        """On failure nothing that was started lives on; on success what holds no link may, and is named."""
        alive = self.alive()
        if self.failed() or any(side.state in link.BROKEN for side in self.sides):
            began = time.monotonic()
            while alive and time.monotonic() < began + TERM_GRACE:
                self.killed.update(alive)
                number = signal.SIGTERM if time.monotonic() < began + 1 else signal.SIGKILL
                refused = kill(alive, number)
                if len(refused) == len(alive):
                    break
                time.sleep(0.05)
                self.reap()
                alive = self.alive()
        self.left = alive

    def report(self) -> "dict[str, Any]":
        return {
            "end": self.plan["end"],
            "cancelled": self.cancelled,
            "stages": [stage.report(self.began) for stage in self.stages],
            "links": [side.report(self.began) for side in self.sides],
            "warnings": [side.warning for side in self.sides if side.warning],
            "killed": ["%d %s" % item for item in sorted(self.killed.items()) if item[0] not in self.left],
            "left": ["%d %s" % item for item in sorted(self.left.items())],
        }
