# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the programs of stages once more after a failed run, to undo what they have begun there, such as a snapshot.

The end does it when nothing else of the run is left, and its guard if the end was killed.  Such a program has a time
limit of its own.  It goes on if both are killed.
"""

import os
import time

from .lean import signal
from .processes import descendants, kill_with_groups
from .spawn import NotStarted
from .stage import Stage, text_of
from .watch import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .records import EndWarning, StageSpec
    from .watch import Watch

PAUSE = 0.05  # seconds between two looks
TOLD = 1000  # characters of its last line


class Again(Stage):
    """The program of a stage, with other words and without links."""

    orphaned = 0

    def __init__(self, spec: "StageSpec") -> None:
        own: "Any" = {key: value for key, value in spec.items() if key not in ("inherit", "fan")}
        own.update(argv=[spec["argv"][0], *spec["afterwards"]["words"]], fds={})
        super().__init__(own, {})

    def run(self, watch: "Watch") -> str:
        """Run it to its end; returns what it says of a failure, "" if there is none."""
        try:
            self.start()
        except (NotStarted, OSError) as exc:
            return str(exc)
        deadline = time.monotonic() + self.spec["afterwards"]["limit"]
        while not self.over():
            for kept in self.pipes():
                kept.read()
            if time.monotonic() >= deadline:
                kill_with_groups([*descendants(self.pid), self.pid], signal.SIGKILL)
            try:
                watch.poll({}, PAUSE)
            except Cancelled:
                pass  # the end stops already, and this has its limit
        if self.accepted():
            return ""
        said = text_of(self.stderr).split("\n")
        return ([line for line in said if line] or ["exit status %s" % self.rc])[-1][-TOLD:]

    def over(self) -> bool:
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid:
            self.reaped(status, usage)
        return bool(pid)


def limit(specs: "list[StageSpec]") -> float:
    """The most seconds that all of them take."""
    return sum(spec["afterwards"]["limit"] for spec in specs)


def run_all(specs: "list[StageSpec]", watch: "Watch") -> "list[EndWarning]":
    """Run them one after the other; returns a warning about each that failed."""
    found = [(spec["name"], Again(spec).run(watch)) for spec in specs]
    return [{"kind": "afterwards", "stage": name, "error": error} for name, error in found if error]
