# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pipe that moves nothing costs, against builtin.command and builtin.raw (pipelining on), and encrypted."""

from __future__ import annotations

import statistics
from typing import Any

from tests.hosts import Fleet
from tests.system import playbook

TIMES = 6  # of each in one playbook, in turn
TASKS = {
    "plumbing.socketpipe.pipe": playbook.pipe(input="true", remote="true", progress=0),
    "ansible.builtin.command": {"ansible.builtin.command": "true"},
    "ansible.builtin.raw": {"ansible.builtin.raw": "true"},
}


ENCRYPTED = {
    encryption: playbook.pipe(input="true", remote="true", progress=0, encryption=encryption)
    for encryption in ("none", "relay", "kernel")
}
Tasks = dict[str, dict[str, Any]]


def outcomes(fleet: Fleet, tasks: Tasks, rounds: int) -> dict[str, list[playbook.Outcome]]:
    """Of each task, run in turn; without the first of each, which opens the connection."""
    found: dict[str, list[playbook.Outcome]] = {name: [] for name in tasks}
    for _round in range(rounds):
        each = [task for _time in range(TIMES) for task in tasks.values()]
        done = playbook.run(fleet, each, hosts="h1", inventory={"h1": {"ansible_pipelining": True}})
        for number, outcome in enumerate(done.outcomes[len(tasks) :]):
            found[list(tasks)[number % len(tasks)]].append(outcome)
    return found


def milliseconds(outcome: playbook.Outcome) -> float:
    """As Ansible's own callback sees it, from the start of the task to its result."""
    return (outcome.at - outcome.started) * 1000


def table(fleet: Fleet, rounds: int) -> str:
    """Milliseconds a task."""
    medians = {
        name: statistics.median(map(milliseconds, each)) for name, each in outcomes(fleet, TASKS, rounds).items()
    }
    mine = medians["plumbing.socketpipe.pipe"]
    lines = ["| task | ms | pipe : it |", "| --- | --- | --- |"]
    lines += [f"| {name} | {value:.0f} | {mine / value:.2f} |" for name, value in medians.items()]
    return "\n".join(lines)


def encrypted(fleet: Fleet, rounds: int) -> str:
    """Milliseconds a task with each encryption: the minima, which other work on the machine changes least."""
    tried = playbook.run(fleet, ENCRYPTED["kernel"], hosts="h1", rc=None).outcomes[0]
    can = tried.status == "ok"
    tasks = {name: task for name, task in ENCRYPTED.items() if can or name != "kernel"}
    found = {name: [milliseconds(each) for each in times] for name, times in outcomes(fleet, tasks, rounds).items()}
    plain, median = min(found["none"]), statistics.median(found["none"])
    lines = ["| encryption | minimum, ms | more than none | median, ms | more than none |", "| --- " * 5 + "|"]
    for name, times in found.items():
        least, middle = min(times), statistics.median(times)
        lines.append(f"| {name} | {least:.0f} | {least - plain:.1f} | {middle:.0f} | {middle - median:.1f} |")
    return "\n".join(lines if can else [*lines, f"| kernel | {tried.result['msg']} | | | |"])
