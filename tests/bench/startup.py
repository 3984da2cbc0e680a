# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pipe that moves nothing costs, against builtin.command and builtin.raw (pipelining on)."""

from __future__ import annotations

import statistics

from tests.hosts import Fleet
from tests.system import playbook

TIMES = 6  # of each in one playbook, in turn
TASKS = {
    "plumbing.socketpipe.pipe": playbook.pipe(input="true", remote="true", progress=0),
    "ansible.builtin.command": {"ansible.builtin.command": "true"},
    "ansible.builtin.raw": {"ansible.builtin.raw": "true"},
}


def table(fleet: Fleet, rounds: int) -> str:
    """Milliseconds a task, as Ansible's own callback sees it, from its start to its result."""
    spent: dict[str, list[float]] = {name: [] for name in TASKS}
    for _round in range(rounds):
        tasks = [task for _time in range(TIMES) for task in TASKS.values()]
        done = playbook.run(fleet, tasks, hosts="h1", inventory={"h1": {"ansible_pipelining": True}})
        outcomes = done.outcomes[len(TASKS) :]  # the first of each opens the connection
        for number, outcome in enumerate(outcomes):
            spent[list(TASKS)[number % len(TASKS)]].append((outcome.at - outcome.started) * 1000)
    medians = {name: statistics.median(values) for name, values in spent.items()}
    mine = medians["plumbing.socketpipe.pipe"]
    lines = ["| task | ms | pipe : it |", "| --- | --- | --- |"]
    lines += [f"| {name} | {value:.0f} | {mine / value:.2f} |" for name, value in medians.items()]
    return "\n".join(lines)
