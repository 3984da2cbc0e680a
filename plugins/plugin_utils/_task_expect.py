# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The size that a stream should have: given, or what a command on the host of its source says.

It is only shown.  A command that fails, or says no number, is a warning.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ansible.utils.display import Display

from ..module_utils._end.stage import KEPT_MOST
from ..module_utils._run.plan import Plan
from ..module_utils._run.verdict import Verdict
from ..module_utils._run.words import MOST, parse_size
from ._program_run import plan_of_one
from ._survey import is_empty
from ._task_options import OptionError, RunArgs, parse_stages
from ._task_run import TaskRun

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ._hosts import Host
    from ._script import Reader

NAME = "expect"  # of the option, of the command in messages, and of its end
LIMIT = 60.0  # seconds for the command
UNKNOWN = "expect: the size of the stream is unknown: %s"

display = Display()


@dataclasses.dataclass(frozen=True)
class Expectation:
    """A number of bytes, a command that says it, or neither."""

    count: int | None = None
    command: Command | None = None

    def ask(self, host: Host, environment: Mapping[str, str], no_log: bool) -> int | None:
        """The number of bytes, None if it is not known; ``host``: that of the source; ``environment``: of the task."""
        if self.command is None:
            return self.count
        command: Command = {**self.command, "environment": {**environment, **self.command["environment"]}}
        plan = plan_of_one(NAME, command)
        run = Asking(plan, {NAME: host})
        verdict = Verdict(plan, run.outcomes(), {NAME: host.name})
        if verdict.skipped:
            return None
        if verdict.cause:
            why = f"the command on {host.name} took more than {LIMIT:.0f} s" if run.late else verdict.cause["msg"]
            display.warning(UNKNOWN % (f"{verdict.cause['kind']} (no_log hides the rest)" if no_log else why))
            return None
        found = number_in(verdict.stages[NAME]["stdout"])
        if found is None:
            display.warning(UNKNOWN % f"the output of the command on {host.name} has no line with a number of bytes")
        return found


class Asking(TaskRun):
    """The run of the command, whose time is limited."""

    def __init__(self, plan: Plan, hosts: dict[str, Host]) -> None:
        super().__init__(plan, hosts)
        self.limit_at, self.late = time.monotonic() + LIMIT, False

    def beat(self) -> None:
        super().beat()
        if time.monotonic() >= self.limit_at:
            self.late, self.give_up_at = True, self.limit_at


def parse_expectation(args: RunArgs, read: Reader) -> tuple[Expectation, list[str]]:
    """The options of a task, and warnings; raises OptionError."""
    given = args["expect_bytes"]
    if args["expect"] is None:
        return Expectation(parse_count(given)), []
    if not is_empty(given):
        raise OptionError("expect: leave it out, since expect_bytes gives the size")
    stages, warnings = parse_stages(NAME, args["expect"], read)
    if len(stages) != 1:
        raise OptionError(f"expect: give one command, not {len(stages)}")
    stages[0]["keep"] = KEPT_MOST
    return Expectation(command=stages[0]), warnings


def parse_count(text: str | None) -> int | None:
    """Raises OptionError."""
    try:
        return None if is_empty(text) else parse_size(str(text))
    except ValueError:
        raise OptionError(f"expect_bytes: {text!r} is not a number of bytes, such as 500K, 10M or 1.5G") from None


def number_in(text: str) -> int | None:
    """The first whole number in the last line that has one as a word: "size 4711", "4711 /srv"."""
    for line in reversed(text.splitlines()):
        for word in line.split():
            if word.isascii() and word.isdecimal() and len(word) < 20 and int(word) < MOST:
                return int(word)
    return None
