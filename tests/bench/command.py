# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command socketpipe beside what else people type, each a line of shell that needs one login.

The recipes with a listener start it through ssh, and call until it answers.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import time

from tests.hosts import Fleet
from tests.system import program

from .throughput import BLOCKS, GIB, ratios, sink_rate, source, spread

MINE = "socketpipe"
# {way: (what listens on port {port}, what calls port {port} of {host})}, for blocks of {block} bytes
RECIPES = {
    "nc": ("nc -l {port}", "nc -N {host} {port}"),
    "mbuffer": ("mbuffer -q -s {block} -I {port}", "mbuffer -q -s {block} -O {host}:{port}"),
    "socat": ("socat -u TCP-LISTEN:{port} -", "socat -u - TCP:{host}:{port}"),
}
WAYS = (MINE, "ssh", *RECIPES)
SHARED = "-o ControlMaster=auto -o ControlPersist=60"
PYTHON = "/usr/bin/python3"  # as its role and make install can have it
TOTAL = {MINE: 4 * GIB}  # bytes; of the others 1 GiB
PATIENCE = 300  # seconds for one line
_ports = itertools.count(5000)  # another one each time: the last may be in TIME_WAIT


def absent() -> dict[str, str]:
    return {way: "not installed" for way in RECIPES if not shutil.which(way)}


def line(fleet: Fleet, way: str, writes: str, reads: str, block: int, options: str = "") -> str:
    """The shell's line that has ``writes`` here write to ``reads`` on the other host."""
    host = fleet["h1"].address
    login = f"ssh -F {fleet.ssh_config} {options} {host}"
    if way == MINE:
        return f"{fleet.directory}/{MINE} -i {{ {writes} }} -l {{ {login} }} -r {{ {reads} }}"
    if way == "ssh":
        return f"{writes} | {login} {reads}"
    place = {"host": host, "port": next(_ports), "block": block}
    listens, calls = (recipe.format(**place) for recipe in RECIPES[way])
    return f"{login} '{listens} | {reads}' & until {writes} | {calls} 2>/dev/null; do sleep 0.01; done; wait"


def milliseconds(fleet: Fleet, way: str, options: str) -> float:
    began = time.monotonic()
    fleet.controller.run(["sh", "-c", line(fleet, way, "true", "true", BLOCKS["256 KiB"], options)])
    return (time.monotonic() - began) * 1000


def startup(fleet: Fleet, rounds: int) -> str:
    """Milliseconds for a line that moves nothing, and what the command makes of each; medians."""
    program.build(fleet.directory / MINE, python=PYTHON)
    missing, columns = absent(), {"a login each": "", "a shared connection": SHARED}
    ways = [way for way in WAYS if way not in missing]
    spent: dict[tuple[str, str], list[float]] = {(way, column): [] for way in ways for column in columns}
    for column, options in columns.items():
        milliseconds(fleet, "ssh", options)  # opens what is shared
        for _round, way in itertools.product(range(rounds * 3), ways):
            spent[way, column].append(milliseconds(fleet, way, options))
    fleet.controller.run(["ssh", "-F", str(fleet.ssh_config), "-O", "exit", fleet["h1"].address])
    medians = {key: statistics.median(values) for key, values in spent.items()}
    lines = ["| way | " + " | ".join(f"{column}, ms | {MINE} : it" for column in columns) + " |", "| --- " * 5 + "|"]
    for way in ways:
        cells = [
            f"{medians[way, column]:.0f} | {medians[MINE, column] / medians[way, column]:.2f}" for column in columns
        ]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(f"| {way} | {reason} | | | |" for way, reason in missing.items())])


def rate(fleet: Fleet, way: str, block: int) -> float:
    writes = source(block, TOTAL.get(way, GIB))
    reads = f"dd of=/dev/null bs={block}"
    command = ["sh", "-c", line(fleet, way, writes, reads, block)]
    return sink_rate(fleet.controller.run(command, timeout=PATIENCE).stderr)


def throughput(fleet: Fleet, rounds: int) -> str:
    """GB/s as the sink's dd sees it, and what the command makes of each, pair by pair."""
    program.build(fleet.directory / MINE, python=PYTHON)
    missing = absent()
    ways = [way for way in WAYS if way not in missing]
    lines = ["| way | " + " | ".join(f"{name}, GB/s | {MINE} : it" for name in BLOCKS) + " |"]
    lines.append("| --- " * (2 * len(BLOCKS) + 1) + "|")
    cells: dict[str, list[str]] = {way: [] for way in ways}
    for block in BLOCKS.values():
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _round, way in itertools.product(range(rounds), ways):
            rates[way].append(rate(fleet, way, block))
        for way in ways:
            cells[way] += [spread(rates[way]), spread(ratios(rates[MINE], rates[way]))]
    lines += [f"| {way} | " + " | ".join(found) + " |" for way, found in cells.items()]
    return "\n".join(
        [*lines, *(f"| {way} | {reason} |" + " |" * (2 * len(BLOCKS) - 1) for way, reason in missing.items())]
    )
