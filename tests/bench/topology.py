# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of hosts against one link, and one source to many hosts against that many pipes and mbuffer -O … -O ….

LINK_MIB: how much goes over an unshaped link, 4096 unless set.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

from tests.hosts import Fleet
from tests.system import playbook

from .shaping import shaped
from .throughput import COPIED, sink_rate, source, spread

PIPELINE = "plumbing.socketpipe.pipeline"
BLOCK = 256 * 1024
UNSHAPED = int(os.environ.get("LINK_MIB", "4096")) * 1024**2
SIZE = {True: UNSHAPED // 8, False: UNSHAPED}  # bytes on each link, shaped and not
LINES = {True: "100 MB/s", False: "unshaped"}
CHAINS = (2, 3, 5)  # hosts; the first is one link
FANS = (2, 8)
MOST = max(*CHAINS, *FANS)  # hosts besides the controller
LATE = 600  # seconds
_ports = itertools.count(6000)


def scaled(total: int, many: int) -> int:
    """Bytes to each of many hosts from one, so that a round takes no longer than that of one link."""
    return max(total // many // BLOCK, 1) * BLOCK


def chain(fleet: Fleet, hosts: int, total: int) -> float:
    """GB/s through that many hosts, as the last one's dd sees it."""
    names = [f"h{number}" for number in range(1, hosts + 1)]
    stages: list[dict[str, Any]] = [{"host": names[0], "cmd": source(BLOCK, total)}]
    stages += [{"host": name, "cmd": "cat"} for name in names[1:-1]]
    stages.append({"host": names[-1], "cmd": f"dd of=/dev/null bs={BLOCK}"})
    done = playbook.run(fleet, {PIPELINE: {"stages": stages}}, hosts="h1", timeout=LATE)
    return sink_rate(done.result["stages"][-1]["stderr"])


def chains(fleet: Fleet, rounds: int) -> str:
    lines = ["| line | " + " | ".join(f"{hosts} hosts, GB/s" for hosts in CHAINS)]
    lines[0] += " | " + " | ".join(f"{hosts} : {CHAINS[0]}" for hosts in CHAINS[1:]) + " |"
    lines.append("| --- " * (2 * len(CHAINS)) + "|")
    for limited, total in SIZE.items():
        rates: dict[int, list[float]] = {hosts: [] for hosts in CHAINS}
        with shaped(fleet, limited):
            for _round, hosts in itertools.product(range(rounds), CHAINS):
                rates[hosts].append(chain(fleet, hosts, total))
        one = rates[CHAINS[0]]
        ratios = [[mine / base for mine, base in zip(rates[hosts], one, strict=True)] for hosts in CHAINS[1:]]
        cells = [*(spread(rates[hosts]) for hosts in CHAINS), *map(spread, ratios)]
        lines.append(f"| {LINES[limited]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


# -- one to many


def sinks(many: int) -> list[str]:
    return [f"h{number}" for number in range(1, many + 1)]


def branches(fleet: Fleet, many: int, total: int) -> float:
    """A pipeline whose source, on the controller, has that many branches."""
    ends = [[{"host": name, "cmd": f"dd of=/dev/null bs={BLOCK}"}] for name in sinks(many)]
    stages = [{"host": "localhost", "cmd": source(BLOCK, total)}, {"branches": ends}]
    done = playbook.run(fleet, {PIPELINE: {"stages": stages}}, hosts="h1", timeout=LATE)
    return slowest([stage.get("stderr") or "" for stage in done.result["stages"]])


def pipes(fleet: Fleet, many: int, total: int) -> float:
    """That many tasks at once, each with a source of its own."""
    task = playbook.pipe(input=source(BLOCK, total), remote=f"dd of=/dev/null bs={BLOCK}")
    args = ["--forks", str(many)]
    done = playbook.run(fleet, task, hosts=",".join(sinks(many)), args=args, timeout=LATE)
    return slowest([result["stages"][-1]["stderr"] for result in done.results])


def slowest(said: list[str]) -> float:
    """Seconds by the clock of the slowest dd, which is the same for all ways: without logins and starts."""
    return max(float(seconds) for text in said for _bytes, seconds in COPIED.findall(text))


def mbuffer(fleet: Fleet, many: int, total: int) -> float:
    port, hosts = next(_ports), [fleet[name] for name in sinks(many)]
    serve = f"mbuffer -q -s {BLOCK} -I {port} | dd of=/dev/null bs={BLOCK}"
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(host.popen(["sh", "-c", serve], stderr=subprocess.PIPE)) for host in hosts]
        deadline = time.monotonic() + 30
        while not all(any(f":{port}" in line for line in host.listeners()) for host in hosts):
            if time.monotonic() > deadline:
                raise RuntimeError("mbuffer does not listen")
            time.sleep(0.02)
        targets = " ".join(f"-O {host.address}:{port}" for host in hosts)
        fleet.controller.run(["sh", "-c", f"{source(BLOCK, total)} | mbuffer -q -s {BLOCK} {targets}"], timeout=LATE)
        return slowest([server.communicate(timeout=LATE)[1] for server in servers])


WAYS: dict[str, Callable[[Fleet, int, int], float]] = {"branches": branches, "pipes": pipes, "mbuffer": mbuffer}


def fans(fleet: Fleet, rounds: int) -> str:
    """GB/s to all hosts together, until the slowest has all; the controller's line is shared by them."""
    missing = {} if shutil.which("mbuffer") else {"mbuffer": "mbuffer is not installed"}
    ways = [way for way in WAYS if way not in missing]
    lines = ["| line, hosts | " + " | ".join(f"{way}, GB/s" for way in ways)]
    lines[0] += " | " + " | ".join(f"branches : {way}" for way in ways[1:]) + " |"
    lines.append("| --- " * (2 * len(ways)) + "|")
    for (limited, size), many in itertools.product(SIZE.items(), FANS):
        total = scaled(size, many)
        rates: dict[str, list[float]] = {way: [] for way in ways}
        with shaped(fleet, limited):
            for _round, way in itertools.product(range(rounds), ways):
                rates[way].append(total * many / WAYS[way](fleet, many, total) / 1e9)
        mine = rates["branches"]
        ratios = [[one / other for one, other in zip(mine, rates[way], strict=True)] for way in ways[1:]]
        cells = [*(spread(rates[way]) for way in ways), *map(spread, ratios)]
        lines.append(f"| {LINES[limited]}, {many} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(f"\n{reason}" for reason in missing.values())])
