# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many tasks at once in one ansible-playbook, each for an inventory host of its own that is a host of the fleet.

    started = batch.start(fleet, {"dies": Case(pipe(input="false", remote="cat")), "lives": Case(pipe(...))})
    results = batch.finish(started)
    results["dies"]["cause"]

So a table of faults costs one start of Ansible, and what waits, waits beside the others.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.hosts import Fleet

from . import playbook
from .playbook import Outcome, Started

OWN_LOGIN = {"ansible_ssh_args": "-o ControlMaster=no"}  # not the master connection that the others share
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Case:
    """One task, as playbook.pipe gives it, and the host of the fleet that it is for."""

    task: Mapping[str, Any]
    host: str = "h1"
    variables: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def inventory(
    fleet: Fleet, cases: Mapping[str, Case], more: Mapping[str, Any], every: Mapping[str, Any] | None = None
) -> Path:
    """The fleet's inventory, a group ``cases`` with a host for each case, and further hosts with their variables.

    ``every`` are variables for all of them; None removes the fleet's own.
    """
    content = json.loads(fleet.inventory({"all": every or {}}).read_text(encoding="utf-8"))
    content["all"]["children"]["cases"] = {
        "hosts": {name: {"ansible_host": fleet[case.host].address, **case.variables} for name, case in cases.items()}
    }
    content["all"]["children"]["more"] = {"hosts": dict(more)}
    path = playbook.directory(fleet) / f"cases{next(_numbers)}" / "hosts.yml"
    path.parent.mkdir()
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def start(
    fleet: Fleet,
    cases: Mapping[str, Case],
    *,
    forks: int = 0,
    more: Mapping[str, Any] | None = None,
    **options: Any,
) -> Started:
    """Starts all cases; ``more`` are hosts that are only there to be named; ``options`` are those of playbook.start."""
    hosts = inventory(fleet, cases, more or {})
    for name, case in cases.items():
        task = {"name": "case", "ignore_errors": True, "ignore_unreachable": True, **case.task}
        (hosts.parent / f"{name}.yml").write_text(json.dumps([task], indent=1), encoding="utf-8")
    include = {"name": "include", "include_tasks": f"{hosts.parent}/{{{{ inventory_hostname }}}}.yml"}
    return playbook.start(
        fleet,
        include,
        hosts="cases",
        inventory=hosts,
        play={"strategy": "free" if len(cases) > 1 else "linear"},  # free never misses a dead worker
        args=["--forks", str(forks or len(cases)), *options.pop("args", ())],
        **options,
    )


def outcomes(started: Started) -> dict[str, Outcome]:
    """What each case has come to so far, by its name."""
    return {outcome.host: outcome for outcome in started.outcomes() if outcome.task == "case"}


def finish(started: Started, timeout: float = 120) -> dict[str, Outcome]:
    """What each case came to, by its name."""
    started.wait(timeout)
    return outcomes(started)


def run(fleet: Fleet, cases: Mapping[str, Case], *, timeout: float = 120, **options: Any) -> dict[str, Outcome]:
    """All cases to their end; every one has an outcome."""
    started = start(fleet, cases, **options)
    found = finish(started, timeout)
    assert set(found) == set(cases), f"no outcome: {sorted(set(cases) - set(found))}\n{started.said()}"
    return found
