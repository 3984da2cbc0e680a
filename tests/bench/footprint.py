# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU and memory of an end and its guard: the same for 1 GiB as for 32 GiB, for no byte passes through them."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from tests.hosts import Fleet, Host
from tests.system import playbook

GIB = 1024**3
BLOCK = 256 * 1024
TICK = os.sysconf("SC_CLK_TCK")
LABEL = "socketpipe:"


def ends(host: Host) -> dict[int, str]:
    """{pid as seen from outside: label} of a host's ends and guards."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                inside = os.readlink(entry / "ns" / "net") == os.readlink(f"/proc/{host.pid}/ns/net")
            except OSError:
                continue
            if inside and len(words) > 3 and words[1] == b"-IS" and words[4].startswith(LABEL.encode()):
                found[int(entry.name)] = words[4].decode()
    return found


def look(pid: int) -> tuple[float, float, float]:
    """(CPU seconds, MB only this process has, MB with its share of what is shared)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    memory = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, _unit = line.split()
        memory[name] = int(value) / 1024
    own = memory["Private_Clean:"] + memory["Private_Dirty:"]
    return (int(fields[11]) + int(fields[12])) / TICK, own, memory["Pss:"]


def measure(fleet: Fleet, total: int) -> dict[str, tuple[float, float, float]]:
    """For both hosts, the sum over end and guard of the last CPU figure and the highest memory."""
    source = f"dd if=/dev/zero bs={BLOCK} count={total // BLOCK} status=none"
    task = playbook.pipe(input=source, remote=f"dd of=/dev/null bs={BLOCK} status=none")
    last: dict[str, dict[int, tuple[float, float, float]]] = {"controller": {}, "h1": {}}
    running = playbook.start(fleet, task)
    while running.process.poll() is None:
        for host in (fleet.controller, fleet["h1"]):
            for pid in ends(host):
                try:
                    cpu, own, share = look(pid)
                except (OSError, KeyError, IndexError, ValueError):
                    continue
                before = last[host.name].get(pid, (0.0, 0.0, 0.0))
                last[host.name][pid] = (cpu, max(own, before[1]), max(share, before[2]))
        time.sleep(0.05)
    running.wait()
    sums = {}
    for name, processes in last.items():
        columns = list(zip(*processes.values(), strict=True))
        sums[name] = (sum(columns[0]), sum(columns[1]), sum(columns[2]))
    return sums


def table(fleet: Fleet, rounds: int) -> str:
    lines = ["| stream | host | CPU s | own MB | proportional MB |", "| --- | --- | --- | --- | --- |"]
    for name, total in (("1 GiB", GIB), ("32 GiB", 32 * GIB)):
        runs = [measure(fleet, total) for _round in range(min(rounds, 3) if total > GIB else rounds)]
        for host in ("controller", "h1"):
            columns = list(zip(*(run[host] for run in runs), strict=True))
            medians = [statistics.median(column) for column in columns]
            lines.append(f"| {name} | {host} | {medians[0]:.2f} | {medians[1]:.1f} | {medians[2]:.1f} |")
    return "\n".join(lines)
