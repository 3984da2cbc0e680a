# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command beside the original (C), in both directions, and beside a local pipe.

ORIGINAL: the path of its program, which this repository does not have.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from tests.hosts import Fleet
from tests.system import program

from .command import PATIENCE, PYTHON
from .throughput import GIB, local, ratios, sink_rate, source, spread

BLOCKS = {"4 KiB": 4 * 1024, "32 KiB": 32 * 1024, "256 KiB": 256 * 1024, "1 MiB": 1024 * 1024}
TOTAL = {4 * 1024: GIB, 32 * 1024: 2 * GIB}  # bytes for these blocks; 4 GiB for larger ones
MINE, THEIRS, LOCAL = "socketpipe", "the original", "local pipe"
DIRECTIONS = ("push", "pull")


def line(fleet: Fleet, way: str, direction: str, block: int) -> str:
    """The shell's line that has a dd here and a dd on the other host."""
    writes, reads = source(block, TOTAL.get(block, 4 * GIB)), f"dd of=/dev/null bs={block}"
    commands = f"-i {{ {writes} }} -r {{ {reads} }}" if direction == "push" else f"-r {{ {writes} }} -o {{ {reads} }}"
    login = f"ssh -F {fleet.ssh_config} {fleet['h1'].address}"
    if way == MINE:
        return f"{fleet.directory}/{MINE} -l {{ {login} }} {commands}"
    original = Path(os.environ["ORIGINAL"]).resolve()
    here = fleet.controller.address
    return f"{original} -h {here} -l {{ {login} env PATH={original.parent}:/usr/bin:/bin }} {commands}"


def rate(fleet: Fleet, way: str, direction: str, block: int) -> float:
    if way == LOCAL:
        return local(fleet, block)
    command = ["sh", "-c", line(fleet, way, direction, block)]
    return sink_rate(fleet.controller.run(command, timeout=PATIENCE).stderr)


def table(fleet: Fleet, rounds: int) -> str:
    """GB/s as the sink's dd sees it, and what the command makes of the others, pair by pair."""
    if "ORIGINAL" not in os.environ:
        return "ORIGINAL is not set: the path of the original's program"
    program.build(fleet.directory / MINE, python=PYTHON)
    ways = (MINE, THEIRS, LOCAL)
    lines = ["| block | direction | " + " | ".join(f"{way} GB/s" for way in ways) + f" | {MINE} : {THEIRS} | : local |"]
    lines.append("| --- " * (len(ways) + 4) + "|")
    for (name, block), direction in itertools.product(BLOCKS.items(), DIRECTIONS):
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _round, way in itertools.product(range(rounds), ways):
            rates[way].append(rate(fleet, way, direction, block))
        cells = [spread(values) for values in rates.values()]
        cells += [spread(ratios(rates[MINE], rates[way])) for way in (THEIRS, LOCAL)]
        lines.append(f"| {name} | {direction} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
