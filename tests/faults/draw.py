# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which fault a run has: the same for the same seed and number, on any machine."""

from __future__ import annotations

import dataclasses
import itertools
import random

from .catalogue import (
    EACH,
    EACH_OF_COMMAND,
    EACH_OF_PIPELINE,
    EACH_OF_TRANSFER,
    GROUPS,
    GROUPS_OF_COMMAND,
    GROUPS_OF_PIPELINE,
    GROUPS_OF_TRANSFER,
    MOMENTS,
    OF_PIPELINE,
    OF_RELAYS,
    OF_TRANSFER,
    RELAYS,
    RELAYS_OF_COMMAND,
    Fault,
)
from .job_faults import EACH_OF_JOB, GROUPS_OF_JOB, OF_JOB

SHAPES = ("push", "pull", "through", "beside")
HONEST = ("cat", "dd", "gzip", "zstd", "mbuffer", "tar")  # end with an error when a read does
SWALLOWING = ("perl", "noerror")
SINKS = (*HONEST, *SWALLOWING)
ENCRYPTED = 0.25  # of all runs


@dataclasses.dataclass(frozen=True)
class Kind:
    """What runs are drawn from: for tasks, or for the command."""

    name: str
    each: list[Fault]
    groups: list[Fault]
    relays: list[Fault]  # of encrypted links
    each_size: int  # runs of a batch in which each has its own fault
    group_size: int  # and of one that is hit at once
    shapes: tuple[str, ...]
    peers: tuple[str, ...]
    sinks: tuple[str, ...] = SINKS
    moments: tuple[str, ...] = MOMENTS

    @property
    def pair(self) -> int:
        return self.each_size + self.group_size


TASK = Kind("task", EACH, GROUPS, OF_RELAYS, 20, 10, SHAPES, ("localhost", "h2"))
# tasks with async
JOB = Kind("async", EACH_OF_JOB, GROUPS_OF_JOB, [], 16, 8, SHAPES, ("localhost", "h2"), SINKS, OF_JOB)
# its remote command is one
COMMAND = Kind(
    "command", EACH_OF_COMMAND, GROUPS_OF_COMMAND, RELAYS_OF_COMMAND, 20, 4, SHAPES[:3], ("", "-b", "--listen=remote")
)
# for its sink: the old file, if there is one, and what is sent
FILES = ("old", "new", "sparse", "become", "resume")
# "local": a host of the inventory with a local connection, which is the controller, too
TRANSFER = Kind(
    "transfer",
    EACH_OF_TRANSFER,
    GROUPS_OF_TRANSFER,
    [],
    12,
    6,
    ("push", "pull", "chain"),  # chain: from the peer to the task's host, and from there to another one
    ("localhost", "h2", "local"),
    FILES,
    OF_TRANSFER,
)
# the task's host is in the middle of each chain, and is held; what goes on between two others, its controller only sees
CHAINS = {
    "from": ("localhost", "h1", "h2"),
    "between": ("h2", "h1", "h3"),
    "to": ("h3", "h1", "localhost"),
    "long": ("h2", "h1", "h3", "localhost"),
    # the last two are branches; in the second of these shapes, one of them is enough
    "fork": ("h2", "h1", "h3", "localhost"),
    "loose": ("h2", "h1", "h3", "localhost"),
}
FORKED = ("fork", "loose")
# "path": the last stage is no command, but a file that is written
PIPELINE = Kind(
    "pipeline",
    EACH_OF_PIPELINE,
    GROUPS_OF_PIPELINE,
    [],
    16,
    8,
    tuple(CHAINS),
    ("",),
    (*SINKS, "path", "path"),
    OF_PIPELINE,
)


@dataclasses.dataclass(frozen=True)
class Run:
    number: int
    fault: Fault
    moment: str
    shape: str  # push: input to remote; pull: remote to output; through: both; beside: two stages on one host
    peer: str  # of a task; of the command an option: its peer is the controller
    sink: str
    part: float  # of the stream, at the moment "stream"
    delay: float  # seconds from the start of the handshake
    kind: str = "task"  # the name of its Kind
    encrypted: bool = False

    @property
    def name(self) -> str:
        return f"run{self.number}"

    @property
    def command(self) -> bool:
        """Whether it is one of the command, not a task."""
        return self.kind == "command"

    @property
    def hits_all(self) -> bool:
        """Whether its fault hits all runs of its batch at once."""
        return self.fault.name in TOGETHER

    @property
    def hosts(self) -> tuple[str, ...]:
        """Of a chain, as the inventory names them; localhost, and others that are this run's only."""
        return tuple(
            self.name if host == "h1" else host if host == "localhost" else f"{self.name}-{host}"
            for host in CHAINS[self.shape]
        )

    @property
    def last(self) -> int:
        """The place of the sink in a chain."""
        return 2 if self.shape in FORKED else len(self.hosts) - 1

    @property
    def stages(self) -> dict[str, str]:
        """{"source": the name that the task gives it, …}"""
        if self.kind == "pipeline":
            return {stage: stage for stage in ("source", "middle", "sink")}
        return {
            "push": {"source": "input", "sink": "remote"},
            "pull": {"source": "remote", "sink": "output"},
            "through": {"source": "input", "middle": "remote", "sink": "output"},
            "beside": {"source": "input", "middle": "remote[0]", "sink": "remote[1]"},
        }[self.shape]


TOGETHER = {fault.name for fault in (*GROUPS, *GROUPS_OF_JOB)}


def pairs(faults: list[Fault]) -> list[tuple[Fault, str]]:
    return [(fault, moment) for fault in faults for moment in fault.moments]


def shuffled(kind: Kind, seed: int, cycle: int) -> list[tuple[Fault, str]]:
    """All that can happen to one run, once; each cycle in another order."""
    every = pairs(kind.each)
    random.Random(f"{seed} {cycle}").shuffle(every)
    return every


def of_relay(kind: Kind, batch: int, place: int) -> tuple[Fault, str] | None:
    """What hits a relay in this run, if it is one of those that nothing else needs.

    When all faults have been drawn they are drawn again, and then each fourth is of a relay; so is the first group.
    """
    every = [(fault, moment) for moment in ("stream", "last", "first") for fault in kind.relays]
    if not every:
        return None
    if place < kind.each_size:
        cycle, index = divmod(batch * kind.each_size + place, len(pairs(kind.each)))
        return every[index // 4 % len(every)] if cycle % 2 and index % 4 == 0 else None
    cycle, index = divmod(batch, len(kind.groups))
    return every[(place - kind.each_size) % len(every)] if cycle % 2 and index == 0 else None


def draw(seed: int, number: int, kind: Kind = TASK) -> Run:
    chance = random.Random(f"{seed} {number}")
    batch, place = divmod(number, kind.pair)
    if place < kind.each_size:
        cycle, index = divmod(batch * kind.each_size + place, len(pairs(kind.each)))
        fault, moment = shuffled(kind, seed, cycle)[index]
    else:
        fault = kind.groups[batch % len(kind.groups)]
        moment = chance.choice(fault.moments)
    fault, moment = of_relay(kind, batch, place) or (fault, moment)
    shape = chance.choice(kind.shapes)
    if fault.victim == "middle" and kind is not PIPELINE:
        shape = chance.choice([shape for shape in ("through", "beside") if shape in kind.shapes])
    if fault.victim.startswith("tail"):
        shape = "chain"
    if shape == "loose" and not of_branch(fault):
        shape = "fork"
    if fault.name == "hidden holds":
        shape = "pull"  # the source must be where there is another Python
    peer = chance.choice(kind.peers)
    return Run(
        number=number,
        fault=fault,
        moment=moment,
        shape=shape,
        peer="h2" if fault.name.startswith("peer ") else peer,
        sink=chance.choice(kind.sinks),
        part=chance.uniform(0.05, 0.95),
        delay=chance.uniform(0, 0.06),
        kind=kind.name,
        # the last draw: without it the runs are what they were
        encrypted=chance.random() < ENCRYPTED or fault.victim in RELAYS,
    )


def of_branch(fault: Fault) -> bool:
    """Whether it hits one branch, and nothing else."""
    return fault.victim == "sink" or fault.victim.startswith("last ")


def chosen(seed: int, count: int, kind: Kind, words: list[str]) -> list[list[Run]]:
    """The first so many runs whose fault's name has one of these words in it, in batches."""
    named = {fault.name for fault in (*kind.each, *kind.relays) if any(word in fault.name for word in words)}
    every = (draw(seed, number, kind) for number in itertools.count())
    found = list(itertools.islice((run for run in every if run.fault.name in named), count if named else 0))
    return [found[start : start + kind.each_size] for start in range(0, len(found), kind.each_size)]


def batches(seed: int, first: int, last: int, kind: Kind = TASK) -> list[list[Run]]:
    """The runs from first up to, not including, last, rounded up to whole batches."""
    found = []
    for start in range(first // kind.pair * kind.pair, last, kind.pair):
        runs = [draw(seed, number, kind) for number in range(start, start + kind.pair)]
        found += [runs[: kind.each_size], runs[kind.each_size :]]
    return [runs for runs in found if runs[-1].number >= first and runs[0].number < last]
