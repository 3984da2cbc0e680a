# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many hosts at once, to one peer and to the controller, beside the tasks raw, command and synchronize.

FLEET_HOSTS: how many hosts, 10,50,100,300 unless set; FLEET_MIB: the size of the data of each host, 10 unless set.
All sshds have OpenSSH's own limits (MaxStartups 10:30:100, MaxSessions 10).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hosts import Fleet, HostSpec
from tests.system import playbook

from .copies import SYNCHRONIZE, absent
from .shaping import Peak
from .shaping import seconds as cpu_seconds
from .throughput import ratios, spread

COUNTS = tuple(int(count) for count in os.environ.get("FLEET_HOSTS", "10,50,100,300").split(","))
BLOCK = 256 * 1024
BLOCKS = int(os.environ.get("FLEET_MIB", "10")) * 1024**2 // BLOCK
FORKS = 50
PEER = "peer"
FILE = "/dev/shm/bench.file"
LATE = 3600  # seconds
SOURCE = f"dd if=/dev/zero bs={BLOCK} count={BLOCKS} status=none"
SINK = f"dd of=/dev/null bs={BLOCK} status=none"
SLOWEST, ENOUGH = "synchronize", 100  # it is not tried with more hosts
TO_PEER, TO_CONTROLLER, COMMAND = "pipe, to one peer", "pipe, to the controller", "command"
TASKS: dict[str, dict[str, Any]] = {
    TO_PEER: playbook.pipe(remote=SOURCE, output=SINK, peer=PEER),
    TO_CONTROLLER: playbook.pipe(remote=SOURCE, output=SINK),
    "raw": {"ansible.builtin.raw": f"{SOURCE} > /dev/null"},
    COMMAND: {"ansible.builtin.command": f"{SOURCE} of=/dev/null"},
    SLOWEST: {
        SYNCHRONIZE: {
            "mode": "pull",
            "src": FILE,
            "dest": "/dev/shm/{{ inventory_hostname }}/",  # tasks that share one fail by chance (--delay-updates)
            "rsync_opts": ["--whole-file", "--ignore-times"],
        },
    },
}
# a long play must not find the connections of its first task closed
VARIABLES = {"ansible_pipelining": True, "ansible_ssh_args": "-C -o ControlMaster=auto -o ControlPersist=1h"}

NEIGHBOURS = [Path(f"/proc/sys/net/ipv4/neigh/default/gc_thresh{number}") for number in (3, 2, 1)]  # arp(7)
OF_EACH_HOST = 8  # entries: it and the peer, it and the controller, each in both directions, and as many to spare


@contextlib.contextmanager
def room_for_neighbours(hosts: int) -> Iterator[None]:
    """Raise the limits of the kernel's table of neighbours, which all network namespaces share.

    Real hosts have one each.  When the table is full, packets are lost, and tasks take seconds longer.
    """
    before = {limit: limit.read_text(encoding="ascii") for limit in NEIGHBOURS}
    try:
        for limit, value in before.items():
            limit.write_text(str(max(int(value), OF_EACH_HOST * hosts)), encoding="ascii")
        yield
    finally:
        for limit, value in before.items():
            limit.write_text(value, encoding="ascii")


def play(fleet: Fleet, tasks: list[dict[str, Any]], count: int) -> list[list[playbook.Outcome]]:
    """The outcomes of each task, on so many hosts; the first task opens the connections."""
    first = {"ansible.builtin.raw": f"{SOURCE} > {FILE}"}
    named = [{**task, "name": str(number)} for number, task in enumerate([first, *tasks])]
    config = fleet.directory / "default.cfg"
    config.touch()
    done = playbook.run(
        fleet,
        named,
        hosts=f"fleet[1:{count}]",
        inventory={"all": VARIABLES},
        args=["--forks", str(FORKS)],
        env={"ANSIBLE_CONFIG": str(config)},
        timeout=LATE,
    )
    bad = [outcome for outcome in done.outcomes if outcome.status != "ok"]
    if bad:
        raise RuntimeError(f"{len(bad)} of {len(done.outcomes)} failed, such as {bad[0].host}: {bad[0].result}")
    return [[each for each in done.outcomes if each.task == task["name"]] for task in named[1:]]


def seconds(outcomes: list[playbook.Outcome]) -> float:
    """From the start of the first to the end of the last."""
    return max(each.at for each in outcomes) - min(each.started for each in outcomes)


def measure(fleet: Fleet, names: list[str], count: int, rounds: int) -> dict[str, list[float]]:
    """{task: seconds of each round}; all in turn, and without the first round, which opens connections to the peer."""
    found = play(fleet, [TASKS[name] for _round in range(rounds + 1) for name in names], count)
    times = [seconds(outcomes) for outcomes in found]
    return {name: times[number + len(names) :: len(names)] for number, name in enumerate(names)}


@dataclasses.dataclass(frozen=True)
class Cost:
    """``cpu``: seconds on all hosts and the controller; ``memory``: MB, the most on the controller."""

    cpu: float
    memory: float


def cost(fleet: Fleet, names: list[str], count: int) -> Cost:
    """Of a whole play with these tasks, with the start of Ansible and the opening of connections."""
    before = cpu_seconds(fleet)
    with Peak(fleet.controller) as peak:
        play(fleet, [TASKS[name] for name in names], count)
    return Cost(cpu_seconds(fleet) - before, peak.most)


def costs(fleet: Fleet, names: list[str], count: int) -> list[str]:
    """A table of what each task adds to a play without it."""
    bare = cost(fleet, [], count)
    found = {name: cost(fleet, [name], count) for name in names}
    added = {name: (each.cpu - bare.cpu) / count for name, each in found.items()}
    lines = [f"| {count} hosts at once | CPU ms a host | it : {COMMAND} | peak MB | MB a host |", "| --- " * 5 + "|"]
    for name, each in found.items():
        ratio = added[name] / added[COMMAND]
        cells = f"{added[name] * 1000:.0f} | {ratio:.2f} | {each.memory:.0f} | {each.memory / count:.1f}"
        lines.append(f"| {name} | {cells} |")
    return lines


def table(_fleet: Fleet, rounds: int) -> str:
    names = [name for name in TASKS if name not in absent()]
    hosts = [HostSpec(PEER), *(HostSpec(f"h{number}") for number in range(1, max(COUNTS) + 1))]
    lines = ["| hosts | " + " | ".join(f"{name}, s" for name in names)]
    lines[0] += " | peer : command | controller : command | peer : raw |"
    lines.append("| --- " * (len(names) + 4) + "|")
    medians: dict[int, float] = {}
    visible = [playbook.ansible_playbook().parents[1]]
    with (
        room_for_neighbours(len(hosts)),
        tempfile.TemporaryDirectory() as folder,
        Fleet.create(hosts, directory=Path(folder) / "fleet", visible=visible) as fleet,
    ):
        for count in COUNTS:
            used = [name for name in names if name != SLOWEST or count <= ENOUGH]
            times = measure(fleet, used, count, rounds)
            medians[count] = statistics.median(times[TO_PEER])
            pairs_of = ((TO_PEER, COMMAND), (TO_CONTROLLER, COMMAND), (TO_PEER, "raw"))
            beside = [spread(ratios(times[one], times[two])) for one, two in pairs_of]
            cells = [f"{statistics.median(times[name]):.1f}" if name in used else "" for name in names]
            lines.append(f"| {count} | " + " | ".join([*cells, *beside]) + " |")
            print(lines[-1], file=sys.stderr, flush=True)  # the rest takes long
        lines += ["", *costs(fleet, names, min(FORKS, COUNTS[-1]))]
    lines += ["", *(f"{name}: {reason}" for name, reason in absent().items() if name in TASKS)]
    lines += [f"{most} : {least} hosts, to one peer: {medians[most] / medians[least]:.2f}" for least, most in pairs()]
    return "\n".join(lines)


def pairs() -> list[tuple[int, int]]:
    """Numbers of hosts to compare, if all is linear."""
    return list(zip(COUNTS, COUNTS[1:], strict=False))
