# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of an end: when a stage starts, when its links are committed, when they are broken.

End of file means success, and nothing else does.  A stage goes from waiting to
running to ended to settled; its links are committed only when it was accepted,
everything it read came to a clean end, and nothing it started can still write.
Whatever else happens breaks its links, both ways, and so travels along the chain.
"""

import time

from . import link
from .kernel import signal_name
from .lean import signal
from .processes import HAS, Changed, descendants, holders, kill
from .spawn import NotStarted
from .stage import ENDED, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from .link import Side
    from .patience import Patience


def at_rest(side: "Side") -> "tuple[int | None, int]":
    """(bytes received, bytes of them unread) of one moment: more may come in between."""
    before = side.bytes()
    for _attempt in range(100):
        unread, after = side.unread(), side.bytes()
        if before == after:
            break
        before = after
    return before, unread


def whose(found: "dict[int, tuple[str, str]]") -> str:
    """Who has the link open, for a sentence; those of whom it is not known are named when nobody is known to."""
    sure = {pid: name for pid, (name, how) in found.items() if how == HAS}
    named = sure or {pid: name for pid, (name, _how) in found.items()}
    names = ", ".join("%s (pid %d)" % (name, pid) if pid else name for pid, name in sorted(named.items()))
    if sure:
        return "%s, which it started, still has the link open" % names
    return "%s, which it started, may still have the link open: it cannot be looked at" % names


class Rules:
    """What becomes of a stage and its links; each method is idempotent and is asked again until all is settled."""

    def __init__(self, patience: "Patience") -> None:
        self.patience = patience
        self.stages: "list[Stage]" = []
        self.cancelled = ""
        self.killed: "dict[int, str]" = {}
        self.left: "dict[int, str]" = {}

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
            # while it sleeps in a link that cannot be reset for that, it cannot notice either
            grace = 0.0 if any(side.busy for side in stage.fds.values()) else self.patience.reset
            stage.term_at = stage.term_at or now + grace
        if stage.term_at and now >= stage.term_at and not stage.kill_at:
            self.signal_tree(stage, signal.SIGTERM)
            stage.kill_at = now + self.patience.term
            stage.term_at = float("inf")
        elif stage.kill_at and now >= stage.kill_at:
            self.signal_tree(stage, signal.SIGKILL)
            if now >= stage.kill_at + self.patience.kill:
                stage.fail("not killed", "could not be killed (pid %d)" % stage.pid)
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
        if stage.drain_until == 0:
            stage.drain_until, stage.hold_until = now + self.patience.drain, 0.0
            count, stage.left_unread = at_rest(side)
            stage.consumed = "" if count is None else " after %d bytes" % (count - stage.left_unread)
        at_end = side.drain(stage.spec["padding"])
        if at_end:
            side.finish()
            return True
        if at_end is None and now < stage.drain_until:
            return False
        if side.state != link.RESET:
            rest = "%d left unread" % stage.left_unread if stage.left_unread else "and its input had not ended"
            text = "stopped reading%s with exit status %d, %s" % (stage.consumed, stage.rc or 0, rest)
            stage.fail("stopped reading", text)
        return True

    def held(self, stage: Stage, sides: "Iterable[Side]", now: float) -> bool:
        """Whether something that was left running still has one of these open: waits, then fails."""
        # other stages have links of their own, and under sudo we may not look at them
        others = {other.pid for other in self.stages if other is not stage and other.pid}
        try:
            found = holders({side.inode for side in sides}, others)
        except Changed:
            text = "what it started comes and goes too fast to be looked at, and may still have the link open"
        else:
            if not found:
                stage.hold_until = 0.0
                return False
            text = whose(found)
        stage.hold_until = stage.hold_until or now + self.patience.hold
        if now < stage.hold_until:
            return True
        stage.fail("held", "has exited, but " + text)
        return False

    def break_links(self, stage: Stage) -> None:
        for side in stage.fds.values():
            side.abort()

    def exit_text(self, stage: Stage) -> str:
        if stage.signal:
            return "was ended by %s" % signal_name(stage.signal)
        if stage.rc == 0:
            return "exit status 0, which is not in ok_rc (%s)" % ", ".join(str(code) for code in stage.spec["ok_rc"])
        return "exit status %s" % stage.rc

    def signal_tree(self, stage: Stage, number: int) -> None:
        pids = descendants(stage.pid)
        pids[stage.pid] = stage.spec["argv"][0]
        self.killed.update(pids)
        for pid in kill(pids, number):
            self.left[pid] = pids[pid]
        kill(pids, signal.SIGCONT)  # a stopped process does not even notice SIGTERM
