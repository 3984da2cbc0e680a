# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dd to dd over a pipe task, against iperf3, a local shell pipe, and dd through ssh."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time

from tests.hosts import Fleet
from tests.system import playbook

GIB = 1024**3
BLOCKS = {"32 KiB": 32 * 1024, "256 KiB": 256 * 1024, "1 MiB": 1024 * 1024}
COPIED = re.compile(r"(\d+) bytes .* copied, ([0-9.e-]+) s")


def sink_rate(stderr: str) -> float:
    """GB/s from what the sink's dd says: the same clock for every way of getting the bytes there."""
    found = COPIED.findall(stderr)
    return float(found[-1][0]) / float(found[-1][1]) / 1e9


def source(block: int, total: int) -> str:
    return f"dd if=/dev/zero bs={block} count={total // block} status=none"


def pipe(fleet: Fleet, block: int) -> float:
    task = playbook.pipe(input=source(block, 4 * GIB), remote=f"dd of=/dev/null bs={block}")
    return sink_rate(playbook.run(fleet, task, hosts="h1").result["stages"][-1]["stderr"])


def iperf3(fleet: Fleet, block: int) -> float:
    host = fleet["h1"]
    server = host.popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not any(":5201" in line for line in host.listeners()) and time.monotonic() < deadline:
            time.sleep(0.02)
        command = ["iperf3", "-c", host.address, "-n", str(4 * GIB), "-l", str(block), "-J"]
        report = json.loads(fleet.controller.run(command).stdout)
        return float(report["end"]["sum_received"]["bits_per_second"]) / 8e9
    finally:
        server.wait(timeout=10)


def local(fleet: Fleet, block: int) -> float:
    command = f"{source(block, 4 * GIB)} | dd of=/dev/null bs={block}"
    return sink_rate(fleet.controller.run(["sh", "-c", command]).stderr)


def ssh(fleet: Fleet, block: int) -> float:
    login = f"ssh -F {fleet.ssh_config} h1"
    command = f"{source(block, GIB)} | {login} dd of=/dev/null bs={block}"
    return sink_rate(fleet.controller.run(["sh", "-c", command]).stderr)


WAYS = {"pipe": pipe, "iperf3": iperf3, "local pipe": local, "dd over ssh": ssh}


def ratios(mine: list[float], others: list[float]) -> list[float]:
    """Pair by pair, of runs in turn."""
    return [ours / other for ours, other in zip(mine, others, strict=True)]


def spread(values: list[float]) -> str:
    """The median, and how far the others are from it: a local pipe, for one, has two speeds."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(fleet: Fleet, rounds: int) -> str:
    """GB/s for each block size and way, and what pipe makes of each, pair by pair."""
    lines = ["| block | " + " | ".join(f"{way} GB/s" for way in WAYS) + " | pipe : iperf3 | : local | : ssh |"]
    lines.append("| --- " * (len(WAYS) + 4) + "|")
    for name, block in BLOCKS.items():
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for _round in range(rounds):
            for way, measure in WAYS.items():
                rates[way].append(measure(fleet, block))
        medians = [spread(values) for values in rates.values()]
        others = [spread(ratios(rates["pipe"], rates[way])) for way in list(WAYS)[1:]]
        lines.append(f"| {name} | " + " | ".join(medians + others) + " |")
    return "\n".join(lines)
