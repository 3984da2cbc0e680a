# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of an end: when a stage starts, when its links are committed, when they are broken.

End of file means success, and nothing else does.  A stage goes from waiting to running to ended to settled (see stage
for the phases between).  Its links are committed only if it was accepted, its input came to a clean end, and no process
that it started can still write.  Anything else breaks its links in both directions, and so travels along the chain.
"""

from . import link
from .kernel import signal_name
from .lean import signal
from .processes import HAS, Changed, descendants, holders, kill, listed
from .spawn import NotStarted
from .stage import (
    ALIVE,
    DRAINING,
    ENDED,
    EXITED,
    HELD,
    KILLED,
    RUNNING,
    SETTLED,
    STOPPING,
    TERMINATED,
    WAITING,
    Stage,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from .barrier import Barrier
    from .link import Side
    from .patience import Patience
    from .records import Held, Stop


def at_rest(side: "Side") -> "tuple[int | None, int]":
    """(bytes received, bytes unread) at the same moment, because more may arrive in between."""
    before = side.bytes()
    for _attempt in range(100):
        unread, after = side.unread(), side.bytes()
        if before == after:
            break
        before = after
    return before, unread


def holding(found: "dict[int, tuple[str, str]]") -> "Held":
    """The processes that have the link open or, if none certainly has, those that may have."""
    sure = {pid: name for pid, (name, how) in found.items() if how == HAS}
    named = sure or {pid: name for pid, (name, _how) in found.items()}
    return {"kind": "held", "processes": listed(named), "sure": bool(sure)}


class Rules:
    """Decides on the stages of an end and their links; applied repeatedly until all are settled."""

    def __init__(self, stages: "list[Stage]", patience: "Patience", barrier: "Barrier | None" = None) -> None:
        self.stages, self.patience, self.barrier = stages, patience, barrier
        self.relays = [stage.relay for stage in stages if stage.relay]
        self.cancelled: "Stop | None" = None
        self.killed: "dict[int, str]" = {}  # {pid: name} of all processes that got a signal

    def apply(self, stage: Stage, now: float) -> None:
        """Advance a stage as far as possible."""
        if stage.phase == WAITING:
            self.begin(stage, now)
        if stage.phase in ALIVE:
            self.supervise(stage, now)
        if stage.phase in EXITED:
            self.judge(stage, now)
        if stage.phase == SETTLED:
            self.free(stage)

    def cancel(self, stop: "Stop", now: float) -> None:
        """Stop everything; readers get an error."""
        self.cancelled = self.cancelled or stop
        for stage in self.stages:
            for side in stage.fds.values():
                if side.twin and not side.writer and side.state == link.OPEN:
                    # its stage still reads, and would see an end of file: the death of who writes is an error for it
                    side = side.twin
                if side.state in (link.OPEN, link.COMMITTED, link.EOF):
                    side.abort({"kind": "cancelled"})
            if stage.phase in (RUNNING, STOPPING):
                stage.enter(STOPPING, now)

    def sealed(self) -> bool:
        """Whether all links of this end are encrypted, as far as they are to be."""
        return all(relay.ready for relay in self.relays)

    def waiting(self) -> bool:
        """Whether a link of the plan is not ready yet; no stage starts before."""
        return not self.sealed() or self.barrier is not None and not self.barrier.passed

    def failed(self) -> bool:
        return bool(self.cancelled) or any(
            stage.problem or stage.status is None or not stage.accepted() for stage in self.stages if not stage.relay
        )

    def begin(self, stage: Stage, now: float) -> None:
        """Start a stage with the first byte or a clean end of its input, so that a dead source never opens the tape."""
        for side in stage.ins:
            side.look()
        if (
            stage.fails_with_a_link()
            or self.cancelled
            or any(each.failed_early for each in self.relays)
            or (self.barrier and self.barrier.failed)
        ):
            stage.blame = stage.broken_links()
            self.break_links(stage)
            stage.enter(SETTLED)
            return
        if not stage.relay:
            if self.waiting() or stage.waits:
                return
            if not all(side.readable() for side in stage.ins):
                return
            for side in stage.ins:
                side.start_reading()
        try:
            stage.start()
        except (NotStarted, OSError) as exc:
            failed = exc if isinstance(exc, NotStarted) else NotStarted(exc.errno or 0, exc.strerror or str(exc))
            stage.fail(failed.problem)
            stage.enter(SETTLED)
            self.break_links(stage)

    def supervise(self, stage: Stage, now: float) -> None:
        """Break the following links of a stage with a broken link at once, and stop it if it does not notice."""
        if stage.fails_with_a_link():
            if stage.relay:
                stage.relay.give_up()
            elif stage.breaks_its_outputs():
                stage.abort_outputs()
            if stage.phase == RUNNING:
                stage.enter(STOPPING, now + self.patience.reset)
            # a stage that sleeps in a link keeps it from being reset, and so cannot notice
            if stage.phase == STOPPING and any(side.busy for side in stage.fds.values()):
                stage.enter(STOPPING, now)
        if stage.phase == STOPPING and stage.is_due(now):
            self.signal_tree(stage, signal.SIGTERM)
            stage.enter(TERMINATED, now + self.patience.term)
        if stage.phase == TERMINATED and stage.is_due(now):
            stage.enter(KILLED, now + self.patience.kill)
        if stage.phase == KILLED:
            self.signal_tree(stage, signal.SIGKILL)
            if stage.is_due(now):
                stage.fail({"kind": "not killed", "pid": stage.pid})
                self.break_links(stage)
                stage.enter(SETTLED)

    def judge(self, stage: Stage, now: float) -> None:
        """Judge an exited stage: settle its input, then commit or break its output."""
        if stage.relay:
            stage.relay.conclude()
            return
        if not stage.accepted():
            stage.fail({"kind": "failed", "signal": signal_name(stage.signal) if stage.signal else ""})
        if stage.problem is None:
            for side in stage.ins:
                if side.state in (link.OPEN, link.EOF) and not self.settle_reader(stage, side, now):
                    return
            if stage.breaks_its_outputs():
                stage.blame = stage.blame or stage.broken_links()
                self.break_links(stage)
                stage.enter(SETTLED)
                return
        writing = any(side.state == link.OPEN for side in stage.outs)
        if stage.problem is None and writing and self.held(stage, stage.outs, now):
            return
        if stage.problem is not None:
            self.break_links(stage)
        elif not stage.commit():
            return
        stage.enter(SETTLED)

    def settle_reader(self, stage: Stage, side: "Side", now: float) -> bool:
        """Check that the input was read to its end; returns whether this side is settled or has failed."""
        side.look()
        if side.state in link.BROKEN:
            return True
        if side.state == link.EOF and side.unread() == 0:
            side.finish()
            return True
        if stage.spec["early_exit"]:
            side.leave()
            return True
        if stage.phase != DRAINING and self.held(stage, [side], now):
            return False
        if stage.problem is not None:
            return True
        if stage.phase != DRAINING:
            stage.enter(DRAINING, now + self.patience.drain)
            count, stage.left_unread = at_rest(side)
            stage.consumed = None if count is None else count - stage.left_unread
        at_end = side.drain(stage.spec["padding"])
        if at_end:
            side.finish()
            return True
        if at_end is None and not stage.is_due(now):
            return False
        if side.state != link.RESET:
            came = side.padding + side.spilled if at_end is False else 0  # some of it since the stage ended
            unread = max(stage.left_unread, came)
            stage.fail({"kind": "stopped reading", "consumed": stage.consumed, "unread": unread})
        return True

    def held(self, stage: Stage, sides: "Iterable[Side]", now: float) -> bool:
        """Whether a process left running still has one of these open; waits for it, then fails the stage."""
        try:
            found = holders({side.inode for side in sides}, self.others(stage))
        except Changed:
            found = {}
        else:
            if not found:
                if stage.phase == HELD:
                    stage.enter(ENDED)
                return False
        if stage.phase != HELD:
            stage.enter(HELD, now + self.patience.hold)
        if not stage.is_due(now):
            return True
        stage.fail(holding(found))
        return False

    def free(self, stage: Stage) -> None:
        """Kill what a settled stage has left behind if that keeps a broken link from being reset.

        The other host would not learn of it, and a stage there that does not use the link would stay.
        """
        stuck = [side for side in stage.fds.values() if side.busy]
        if not stuck:
            return
        try:
            found = holders({side.inode for side in stuck}, self.others(stage))
        except Changed:
            return  # the next call finds them
        pids = {pid: name for pid, (name, how) in found.items() if how == HAS}
        self.killed.update(pids)
        kill(pids, signal.SIGKILL)
        for side in stuck if not found else ():
            side.freed()

    def others(self, stage: Stage) -> "set[int]":
        """The other stages: they have their own links, and under sudo they cannot be examined."""
        return {other.pid for other in self.stages if other is not stage and other.pid}

    def break_links(self, stage: Stage) -> None:
        for side in stage.fds.values():
            side.abort()

    def signal_tree(self, stage: Stage, number: int) -> None:
        pids = descendants(stage.pid)
        pids[stage.pid] = stage.spec["argv"][0]
        self.killed.update(pids)
        kill(pids, number)
        kill(pids, signal.SIGCONT)  # a stopped process would not handle SIGTERM
