# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a run's ends on one machine: found by the labels in their command lines, and ended.

By label, not by descent: a shell between us and an end may be gone, and whoever started it as well.  The innermost
first, which is the end itself (or ssh): its guard then ends what it has started.
"""

import os
import time

from .._end.lean import signal
from .._end.processes import descendants, kill, pids, proc_is_ours, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from .records import Labels

ENDS = 25.0  # seconds for an end that is told to stop; more than it may need itself (rules: 5 + 10, end: 5)
GUARDS = 8.0  # seconds for the guard of an end that was killed; more than it may need (guard: 5)
OVER = ENDS + GUARDS + 1.0  # seconds after which nothing more can be done
BEAT = 0.1
# an end's Python has this option, and so have the shells, sudo, ssh or docker around it, which have its whole command
# line; somebody's pgrep, grep, strace or tail that names the run does not
ISOLATED = b"-IS"


def labelled(labels: "Iterable[str]") -> "dict[int, int]":
    """{pid: parent's pid} of what carries one of these labels: an end, its guard, the shells or ssh before."""
    wanted = [label.encode() for label in labels]
    found = {}
    for pid in pids() if proc_is_ours() else ():
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as cmdline:
                text = cmdline.read()
        except OSError:
            continue
        if ISOLATED in text and any(is_word(label, text) for label in wanted):
            seen = stat(pid)
            if seen and pid != os.getpid():
                found[pid] = seen.parent
    return found


def is_word(label: bytes, text: bytes) -> bool:
    """Whether it is there, and not only as the first part of another one."""
    _before, found, after = text.partition(label)
    return bool(found) and not after[:1].isalnum() and after[:1] not in (b"-", b"_", b".")


def innermost(found: "dict[int, int]") -> "list[int]":
    """Those that have started none of the others."""
    return [pid for pid in found if pid not in found.values()]


class Ending:
    """How the processes of an end are ended: first they are asked to, then they are made to."""

    def __init__(self) -> None:
        self.forced: "list[int]" = []

    def press(self, found: "dict[int, int]", age: float, ask: "Iterable[int] | None" = None) -> "tuple[int, list[int]]":
        """``age``: seconds since the first time; ``ask``: who is asked, if it is not the innermost.

        Returns (how many were meant, the pids of those that are not ours to end).
        """
        if age < ENDS:
            meant = innermost(found) if ask is None else list(ask)
            number = signal.SIGTERM
        elif age < ENDS + GUARDS:
            self.forced = self.forced or innermost(found)
            meant = [pid for pid in self.forced if pid in found]  # and not those that were around them: guards
            number = signal.SIGKILL
        else:
            meant = list(set(found).union(*(descendants(pid) for pid in found)))
            number = signal.SIGKILL
        refused = kill(meant, number)
        kill(found, signal.SIGCONT)  # who is stopped does not even notice SIGTERM, nor that it is to clean up
        return len(meant), refused


def end_all(labels: "Iterable[str]") -> None:
    """Until none lives, or all that live are not ours to end."""
    ending, began = Ending(), time.monotonic()
    while time.monotonic() < began + OVER:
        found = labelled(labels)
        meant, refused = ending.press(found, time.monotonic() - began)
        if not found or meant == len(refused) > 0:
            return
        time.sleep(BEAT)


def main(plan: "Labels") -> int:
    """Where this is a program of its own: beside a worker, or on a host whose end does not notice that we are gone."""
    end_all(plan["labels"])
    return 0
