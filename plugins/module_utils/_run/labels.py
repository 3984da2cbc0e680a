# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the processes of a run's ends on one machine, by the labels in their command lines, and kills them.

It goes by label, not by parent, because a shell between the controller and an end may have exited.  The innermost
process comes first.  It is the end itself (or ssh), and its guard then kills the processes that the end has started.
"""

import os
import time

from .._end.lean import signal
from .._end.processes import RELAYS, descendants, kill, pids, proc_is_ours, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable

    from .records import Labels

ENDS = 25.0  # seconds for an end to stop after SIGTERM; more than its own limits (rules: 5 + 10, end: 5)
GUARDS = 8.0  # seconds for the guard of a killed end; more than its own limit (guard: 5)
OVER = ENDS + GUARDS + 1.0  # seconds until it gives up
BEAT = 0.1
# the command line of an end's Python has this option, and so has that of a shell, sudo, ssh or docker around it; a
# pgrep, grep, strace or tail that names the run does not
ISOLATED = b"-IS"


def labelled(labels: "Iterable[str]") -> "dict[int, int]":
    """{pid: parent's pid} of the processes with one of these labels: ends, guards, and shells or ssh around them."""
    return {pid: parent for found in by_label(labels).values() for pid, parent in found.items()}


def by_label(labels: "Iterable[str]") -> "dict[str, dict[int, int]]":
    """The same for each label; /proc is read once for all."""
    wanted = [(label, label.encode()) for label in labels]
    found: "dict[str, dict[int, int]]" = {label: {} for label, _text in wanted}
    for pid in pids() if proc_is_ours() else ():
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as cmdline:
                text = cmdline.read()
        except OSError:
            continue
        named = [label for label, encoded in wanted if is_word(encoded, text)] if ISOLATED in text else []
        if named:
            seen = stat(pid)
            if seen and pid != os.getpid() and seen.name not in RELAYS:
                for label in named:
                    found[label][pid] = seen.parent
    return found


def is_word(label: bytes, text: bytes) -> bool:
    """Whether the text contains this label, and not only as the beginning of a longer one."""
    _before, found, after = text.partition(label)
    return bool(found) and not after[:1].isalnum() and after[:1] not in (b"-", b"_", b".")


def innermost(found: "dict[int, int]") -> "list[int]":
    """The processes that are no parent of another of them."""
    return [pid for pid in found if pid not in found.values()]


def outermost(found: "dict[int, int]") -> "list[int]":
    """The processes that are no child of another of them."""
    return [pid for pid, parent in found.items() if parent not in found]


class Ending:
    """Stops the processes of an end, first with SIGTERM, then with SIGKILL."""

    def __init__(self) -> None:
        self.forced: "list[int]" = []

    def press(self, found: "dict[int, int]", age: float, ask: "Iterable[int] | None" = None) -> "tuple[int, list[int]]":
        """``age``: seconds since the first call; ``ask``: the processes that get SIGTERM, by default the innermost.

        Returns (the number of processes signalled, the pids of those that we may not signal).
        """
        if age < ENDS:
            meant = innermost(found) if ask is None else list(ask)
            number = signal.SIGTERM
        elif age < ENDS + GUARDS:
            self.forced = self.forced or innermost(found)
            meant = [pid for pid in self.forced if pid in found]  # but not their parents, the guards
            number = signal.SIGKILL
        else:
            meant = list(set(found).union(*(descendants(pid) for pid in found)))
            number = signal.SIGKILL
        refused = kill(meant, number)
        kill(found, signal.SIGCONT)  # a stopped process would not handle SIGTERM or clean up
        return len(meant), refused


def end_all(labels: "Iterable[str]", ask: "Callable[[dict[int, int]], list[int]]" = innermost) -> None:
    """Repeat until none is left, or only processes that we may not signal; ``ask``: selects those that get SIGTERM."""
    ending, began = Ending(), time.monotonic()
    while time.monotonic() < began + OVER:
        found = labelled(labels)
        meant, refused = ending.press(found, time.monotonic() - began, ask(found))
        if not found or meant == len(refused) > 0:
            return
        time.sleep(BEAT)


def main(plan: "Labels") -> int:
    """The separate program: beside a worker, or on a host whose end does not notice that the controller has died."""
    end_all(plan["labels"])
    return 0
