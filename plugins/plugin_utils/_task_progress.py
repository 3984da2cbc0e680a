# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the progress lines of a run, and asks for its figures where no end reports them to this worker.

An end on the controller reports by itself.  Otherwise, a thread asks one of the ends (see _end.status), or the file of
a job that outlives this task, by a short second login.  It asks only when a line is due.
"""

from __future__ import annotations

import copy
import functools
import mmap
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ..module_utils._end.processes import kill
from ..module_utils._run import bootstrap
from ..module_utils._run.marked import read_marked
from ..module_utils._run.progress import LATER, NEAR, Progress, without_figures
from ..module_utils._run.report import parse_sample
from ._lines import show as show_line
from ._task_run import ExecLaunch, one_line, with_word

if TYPE_CHECKING:
    from ..module_utils._end.records import EndPlan, Sample
    from ..module_utils._run.plan import Plan
    from ._hosts import Host

SAMPLE = 1.0  # seconds between the samples of an end that is asked
TICK = 0.5  # seconds
AGAIN = 1.25  # of the time since the start: when to ask again if there were no figures
LATE = 5.0  # seconds for an answer, before a line tells that there is none
PARTING = 2.0  # seconds for an answer that is on its way when the run ends

# when any worker of this ansible-playbook last showed a line: its main process loads this module, so they share it
SHOWN = mmap.mmap(-1, 8)


class Quiet:
    """How long no line was shown: timers that end an idle job are reset by the line of any host."""

    def __init__(self, most: float) -> None:
        """``most``: seconds, 0 for no limit."""
        self.most, self.began = most, time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def is_over(self, grace: float = 0.0) -> bool:
        (last,) = struct.unpack_from("d", SHOWN)
        return self.most > 0 and time.monotonic() >= max(last, self.began) + self.most + grace

    @staticmethod
    def end() -> None:
        """A line is about to be shown; other workers need none."""
        struct.pack_into("d", SHOWN, 0, time.monotonic())


def progress_of(plan: Plan, host: str, first: float, quiet: int, limit_name: str = "") -> Progress:
    """The lines of a run of this plan; ``host``: the name with which they begin; ``first``, ``quiet``: seconds.

    ``limit_name``: the option that limits the rate, if it is another than that of pipe.
    """
    limit = plan.options.get("rate_limit", 0)
    return Progress(host, first, plan.neighbours(), limit, limit_name, plan.expectation(), quiet)


def show(line: str) -> None:
    Quiet.end()
    show_line(line)


class Asking:
    """A thread that shows lines of figures for which it has to ask."""

    def __init__(self, first: float, quiet: Quiet, ask: Callable[[bool], list[str] | None], name: str) -> None:
        """``ask``: returns the lines, None when there will be no more; raises any exception.  True if one must come.

        ``first``: seconds until the first line; ``name``: of the host.
        """
        self.quiet, self.ask, self.name = quiet, ask, name
        self.next_at, self.said = first, 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        while not self.stopped.wait(TICK) and self.step():
            pass

    def step(self) -> bool:
        """Show lines if they are due; False when there will be no more."""
        silent = self.quiet.is_over()
        if self.quiet.elapsed < self.next_at and not silent:
            return True
        if silent:
            Quiet.end()
        try:
            lines = self.ask(silent)
        except Exception as exc:  # a connection plugin may raise anything
            lines = [without_figures(self.name, self.quiet.elapsed, one_line(exc))]
        if lines is None or self.stopped.is_set():
            return False
        for line in lines:
            show(line)
        self.plan_next(bool(lines))
        return True

    def plan_next(self, shown: bool) -> None:
        """The next line is due later each time, and without figures this one is tried again."""
        now = self.quiet.elapsed
        if shown and now >= self.next_at - NEAR:
            self.next_at = now + LATER[min(self.said, len(LATER) - 1)]
            self.said += 1
        elif not shown:
            self.next_at = now * AGAIN


def beside(host: Host) -> Host:
    """The same host, over a connection of its own, which a thread may use while another uses the first."""
    executor: Any = copy.copy(host.executor)
    connection = executor._connection = copy.copy(executor._connection)
    connection._shell = copy.copy(connection._shell)
    if connection.become is not None:
        connection.set_become_plugin(copy.copy(connection.become))
    other = copy.copy(host)
    other.executor = executor
    return other


@functools.cache
def program() -> bytes:
    return bootstrap.program(bootstrap.sources(bootstrap.ASK_MODULES))


class Lines:
    """The progress lines of a run that this worker waits for."""

    def __init__(self, progress: Progress, plan: Plan, hosts: dict[str, Host]) -> None:
        self.progress, self.quiet = progress, Quiet(progress.quiet)
        self.sample: Sample = {"sample": [], "at": 0.0, "told": {}}
        self.asking: Asking | None = None
        self.reports = any(end["sample"] for end in plan.ends.values())
        plan.asked = ends_to_ask(plan)
        for end in plan.asked:
            plan.ends[end]["sample"] = SAMPLE
        self.launches = [ExecLaunch(beside(hosts[end]), plan.for_end(end), lambda: None) for end in plan.asked]
        if self.launches:
            self.asking = Asking(progress.first, self.quiet, self.ask, progress.host)
            self.asking.thread.start()

    def feed(self, sample: Sample) -> None:
        """Of an end on the controller."""
        self.sample = sample
        for line in self.progress.feed(sample["sample"], sample["at"], told=sample["told"].values()):
            show(line)

    def beat(self) -> None:
        """Called often: shows a line if there was none for too long, also if nobody has answered since."""
        if self.quiet.is_over(LATE if self.asking else 0.0):
            show(self.line())

    def line(self, told: Iterable[str] = ()) -> str:
        """``told``: by ends that were just asked."""
        told = [*self.sample["told"].values(), *told]
        lines = self.progress.feed(self.sample["sample"], self.sample["at"], due=True, told=told)
        return lines[0] if lines else without_figures(self.progress.host, self.quiet.elapsed)

    def ask(self, must: bool) -> list[str]:
        found: list[Sample] = []
        for launch in self.launches:
            whom = cast("EndPlan", {"run": launch.plan["run"], "end": launch.plan["end"]})
            said = launch._execute(label_of(launch), program(), whom)
            sample = parse_sample(read_marked(said["stdout"]) or {}, launch.plan)
            found += [sample] if sample else []
        told = [text for sample in found for text in sample["told"].values() if text]
        # one end is over before the other, which has the rest of the data
        figures = next((sample for sample in found if sample["sample"]), None)
        if figures and not self.reports:
            self.sample = {**figures, "told": {}}  # the next line asks again
        return [self.line(told)] if must or told or self.sample["sample"] and not self.reports else []

    def close(self) -> None:
        """Nobody waits for an answer that does not come."""
        if self.asking:
            self.asking.stopped.set()
            self.asking.thread.join(PARTING)
            if self.asking.thread.is_alive():
                kill([pid for launch in self.launches for pid in with_word(label_of(launch))], signal.SIGKILL)


def label_of(launch: ExecLaunch) -> str:
    """Of the program that asks this end."""
    return f"{launch.label}:status"


def ends_to_ask(plan: Plan) -> list[str]:
    """First the one that knows most figures, if none reports them by itself; and those whose stages tell something."""
    reporting = {end for end, told in plan.ends.items() if told["sample"]}
    telling = [end for end, told in plan.ends.items() if any("tells" in stage for stage in told["stages"])]
    found = telling if reporting else [end_with_most_links(plan), *telling]
    return [end for end in dict.fromkeys(found) if end not in reporting]


def end_with_most_links(plan: Plan) -> str:
    """To other ends."""
    between = [link for link in plan.links if link["writer"] != link["reader"]]
    return max(plan.ends, key=lambda end: sum(end in (link["writer"], link["reader"]) for link in between))


@contextmanager
def lines_of(progress: Progress | None, plan: Plan, hosts: dict[str, Host]) -> Iterator[Lines | None]:
    """The lines of a run, which begins and ends within; before it, this may change the plan."""
    lines = Lines(progress, plan, hosts) if progress and progress.first and not plan.options.get("preflight") else None
    try:
        yield lines
    finally:
        if lines:
            lines.close()
