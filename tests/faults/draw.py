# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which fault a run has: the same for the same seed and number, on any machine."""

from __future__ import annotations

import dataclasses
import random

from .catalogue import EACH, GROUPS, Fault

EACH_SIZE, GROUP_SIZE = 20, 10
PAIR = EACH_SIZE + GROUP_SIZE  # runs of a batch with a fault each, and of one that is hit at once
SHAPES = ("push", "pull", "through", "beside")
PEERS = ("localhost", "h2")
HONEST = ("cat", "dd", "gzip", "zstd", "mbuffer", "tar")  # end with an error when a read does
SWALLOWING = ("perl", "noerror")
SINKS = (*HONEST, *SWALLOWING)


@dataclasses.dataclass(frozen=True)
class Run:
    number: int
    fault: Fault
    moment: str
    shape: str  # push: input to remote; pull: remote to output; through: both; beside: two stages on one host
    peer: str
    sink: str
    part: float  # of the stream, at the moment "stream"
    delay: float  # seconds from the start of the handshake

    @property
    def name(self) -> str:
        return f"run{self.number}"

    @property
    def stages(self) -> dict[str, str]:
        """{"source": the name that the task gives it, …}"""
        return {
            "push": {"source": "input", "sink": "remote"},
            "pull": {"source": "remote", "sink": "output"},
            "through": {"source": "input", "middle": "remote", "sink": "output"},
            "beside": {"source": "input", "middle": "remote[0]", "sink": "remote[1]"},
        }[self.shape]


def pairs(faults: list[Fault]) -> list[tuple[Fault, str]]:
    return [(fault, moment) for fault in faults for moment in fault.moments]


def shuffled(seed: int, cycle: int) -> list[tuple[Fault, str]]:
    """All that can happen to one run, once; each cycle in another order."""
    every = pairs(EACH)
    random.Random(f"{seed} {cycle}").shuffle(every)
    return every


def draw(seed: int, number: int) -> Run:
    chance = random.Random(f"{seed} {number}")
    batch, place = divmod(number, PAIR)
    if place < EACH_SIZE:
        cycle, index = divmod(batch * EACH_SIZE + place, len(pairs(EACH)))
        fault, moment = shuffled(seed, cycle)[index]
    else:
        fault = GROUPS[batch % len(GROUPS)]
        moment = chance.choice(fault.moments)
    shape = chance.choice(SHAPES)
    if fault.victim == "middle":
        shape = chance.choice(("through", "beside"))
    return Run(
        number=number,
        fault=fault,
        moment=moment,
        shape=shape,
        peer=chance.choice(PEERS),
        sink=chance.choice(SINKS),
        part=chance.uniform(0.05, 0.95),
        delay=chance.uniform(0, 0.06),
    )


def batches(seed: int, first: int, last: int) -> list[list[Run]]:
    """The runs from first up to, not including, last, rounded up to whole batches."""
    found = []
    for start in range(first // PAIR * PAIR, last, PAIR):
        runs = [draw(seed, number) for number in range(start, start + PAIR)]
        found += [runs[:EACH_SIZE], runs[EACH_SIZE:]]
    return [runs for runs in found if runs[-1].number >= first and runs[0].number < last]
