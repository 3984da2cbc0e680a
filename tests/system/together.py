# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that share a start of ansible-playbook: each has a play of its own, and sees the outcomes of that alone.

    @together(pipe(input="hostname", remote=WHO), pipe(remote="hostname", output=WHO))
    def test_something(done: Done) -> None:
        first, second = done.results

A test that has to know its fleet, its directory or its parameters gives a function in place of the tasks:

    @together(lambda at: Play([pipe(input=f"cat {at.work}/x", remote="cat", peer=at.params["peer"])]))

The plays of a file's selected tests run one after the other when the first of these tests wants its `done`. Those with
arguments, an environment or variables for all hosts have a run of their own, with those that have the same. `more` are
further names of hosts, with variables.

No play may depend on another, or on the facts of a host. Tests that change a host, look at it meanwhile, or leave
something there use playbook.run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import batch, playbook
from .playbook import Done, Started, Task
from .traces import leaves_nothing

MARK = "together"


@dataclasses.dataclass(frozen=True)
class At:
    """What a test knows by its fixtures."""

    fleet: Fleet
    work: Path
    params: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Play:
    """What a test runs."""

    tasks: Sequence[Task] = ()
    skip: str = ""  # why it cannot be run here
    hosts: str = "h1"
    keywords: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    more: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)  # "of": whose address a name has
    ignore_errors: bool = False
    rc: int | None = 0  # of an ansible-playbook with this play alone; None: any
    # of the whole run
    args: Sequence[str] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    every: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # variables of all hosts; None removes one

    @property
    def run(self) -> str:
        return json.dumps([self.args, self.env, self.every])

    def named(self) -> dict[str, Task]:
        """The tasks by their names."""
        named = {str(task.get("name", f"task {number}")): task for number, task in enumerate(self.tasks, start=1)}
        assert len(named) == len(self.tasks), "two tasks have the same name"
        return named


Build = Callable[[At], Play]


def together(*tasks: Task | Build, **options: Any) -> pytest.MarkDecorator:
    """The tasks of a test, with further fields of Play; or a function that returns the Play."""
    if len(tasks) == 1 and callable(tasks[0]):
        return pytest.mark.together(build=tasks[0])
    play = Play([task for task in tasks if not callable(task)], **options)
    return pytest.mark.together(build=lambda at: play)


class Shared:
    """The runs of a file."""

    def __init__(self, fleet: Fleet, items: Sequence[pytest.Item], work: Callable[[Fleet, pytest.Item], Path]) -> None:
        self.fleet, self.items, self.work = fleet, items, work
        self.plays: dict[str, Play] = {}
        self.runs: dict[str, Run | Exception] = {}

    def build(self) -> dict[str, Play]:
        """The play of each test, by the test's name."""
        plays = {}
        for item in self.items:
            mark = item.get_closest_marker(MARK)
            if mark is not None:
                params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
                plays[item.name] = mark.kwargs["build"](At(self.fleet, self.work(self.fleet, item), params))
        return plays

    def of(self, item: pytest.Item) -> Done:
        """What the test's own play came to."""
        self.plays = self.plays or self.build()
        play = self.plays[item.name]
        if play.skip:
            pytest.skip(play.skip)
        if item.name not in self.runs:
            plays = {name: each for name, each in self.plays.items() if not each.skip and each.run == play.run}
            found: Run | Exception
            try:
                found = run(self.fleet, plays)
            except Exception as error:  # that of all of them: the others need not find it out again
                found = error
            self.runs.update(dict.fromkeys(plays, found))
        return part(self.runs[item.name], item.name, play)


def alone(fleet: Fleet, play: Play) -> Done:
    """One play, for a test that cannot share it."""
    return part(run(fleet, {"alone": play}), "alone", play)


@dataclasses.dataclass(frozen=True)
class Run:
    """One ansible-playbook with many plays, that is over."""

    started: Started
    whole: Done


def run(fleet: Fleet, plays: Mapping[str, Play]) -> Run:
    """All plays, by name; nothing is left of them."""
    content = [
        {
            "hosts": play.hosts,
            "gather_facts": False,
            **play.keywords,
            "name": name,
            "tasks": [lenient({"name": task_name, **task}) for task_name, task in play.named().items()],
        }
        for name, play in plays.items()
    ]
    more: dict[str, Any] = {}
    for name, variables in (each for play in plays.values() for each in play.more.items()):
        host = known(fleet, **variables)
        assert more.setdefault(name, host) == host, f"{name} is different hosts in different tests"
    some = next(iter(plays.values()))
    inventory = batch.inventory(fleet, {}, more, some.every)
    with leaves_nothing(fleet):
        started = playbook.start(fleet, plays=content, inventory=inventory, args=some.args, env=some.env)
        whole = started.wait(60 + 20 * sum(len(play.tasks) + 1 for play in plays.values()))
    assert whole.rc in (0, 2, 4), whole.output
    return Run(started, whole)


def known(fleet: Fleet, of: str | None = None, **variables: Any) -> dict[str, Any]:
    return {**({"ansible_host": fleet[of].address} if of else {}), **variables}


def lenient(task: Task) -> Task:
    """A host that has failed would be missing in all plays to come; a block has a rescue for that."""
    return task if "block" in task else {**task, "ignore_errors": True, "ignore_unreachable": True}


def part(run: Run | Exception, name: str, play: Play) -> Done:
    """What has come of one play; ansible-playbook's standard error is that of all."""
    if isinstance(run, Exception):
        raise run
    outcomes, tasks = run.started.outcomes(name), play.named()
    missing = {each for each, task in tasks.items() if "block" not in task} - {outcome.task for outcome in outcomes}
    assert not missing, f"not run: {missing}\n{run.whole.output}"
    ignored = {
        (each, status)
        for each, task in tasks.items()
        for status, keyword in (("failed", "ignore_errors"), ("unreachable", "ignore_unreachable"))
        if task.get(keyword, keyword == "ignore_errors" and play.ignore_errors)
    }
    counted = {outcome.status for outcome in outcomes if (outcome.task, outcome.status) not in ignored}
    done = Done(
        rc=4 if "unreachable" in counted else 2 if "failed" in counted else 0,
        lines=lines_of(run.whole, name),
        stderr=run.whole.stderr,
        outcomes=[outcome for outcome in outcomes if outcome.status != "retry"],
        retries=[outcome for outcome in outcomes if outcome.status == "retry"],
    )
    if play.rc not in (None, done.rc):
        raise AssertionError(f"alone, this play would have ended with {done.rc}, not {play.rc}:\n{done.output}")
    return done


def lines_of(whole: Done, name: str) -> list[tuple[float, str]]:
    """From its own headline to the next one."""
    found, inside = [], False
    for at, line in whole.lines:
        if line.startswith(("PLAY [", "PLAY RECAP")):
            inside = line.startswith(f"PLAY [{name}] ")
        if inside:
            found.append((at, line))
    return found
