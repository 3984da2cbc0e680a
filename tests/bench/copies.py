# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file from one host to the other: transfer against copy, fetch with become, synchronize, scp and rsync.

FILE_MIB: its size, 4096 unless set.  Of all ways only transfer waits until the file is on the disk.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hosts import ROOT_PASSWORD, Fleet, Host
from tests.system import playbook

from .shaping import Peak, seconds, shaped
from .throughput import GIB, spread

MIB = 1024**2
SIZE = int(os.environ.get("FILE_MIB", "4096")) * MIB
FETCHED = min(SIZE, 256 * MIB)  # fetch with become holds the file in memory several times
LARGE = 4  # times SIZE, for the memory
FILE, COPY = "/root/bench.file", "/root/bench.copy"
MINE = "transfer"
TRANSFER, SYNCHRONIZE = "plumbing.socketpipe.transfer", "ansible.posix.synchronize"
USER = {"ansible_user": "backup1", "ansible_become_password": ROOT_PASSWORD}
LATE = 3600  # seconds


@dataclasses.dataclass(frozen=True)
class Figures:
    """``rate``: in GB/s; ``cpu``: seconds for a GiB on both hosts; ``memory``: MB, the most on the controller."""

    rate: float
    cpu: float
    memory: float


def make(host: Host, size: int) -> None:
    """A file that cannot be compressed; a private directory of the host is ours to write, too."""
    data = os.urandom(min(size, 64 * MIB))
    with host.outside(FILE).open("wb") as file:
        for start in range(0, size, len(data)):
            file.write(data[: size - start])


def task(fleet: Fleet, content: dict[str, Any], variables: dict[str, Any] | None = None) -> float:
    """Seconds of a task, without the start of Ansible."""
    done = playbook.run(fleet, content, hosts="h1", inventory={"h1": variables or {}}, timeout=LATE)
    return done.only.at - done.only.started


def program(fleet: Fleet, line: str) -> float:
    began = time.monotonic()
    fleet.controller.run(["sh", "-c", line], timeout=LATE)
    return time.monotonic() - began


def transfer(fleet: Fleet) -> float:
    return task(fleet, {TRANSFER: {"src": FILE, "dest": COPY}})


def copy(fleet: Fleet) -> float:
    return task(fleet, {"ansible.builtin.copy": {"src": FILE, "dest": COPY, "mode": "0600"}})


def synchronize(fleet: Fleet) -> float:
    return task(fleet, {SYNCHRONIZE: {"src": FILE, "dest": COPY}})


def scp(fleet: Fleet) -> float:
    return program(fleet, f"scp -q -F {fleet.ssh_config} {FILE} h1:{COPY}")


def rsync(fleet: Fleet) -> float:
    return program(fleet, f"rsync --whole-file -e 'ssh -F {fleet.ssh_config}' {FILE} h1:{COPY}")


def fetch(fleet: Fleet) -> float:
    options = {"src": FILE, "dest": COPY, "flat": True, "validate_checksum": False}
    return task(fleet, {"ansible.builtin.fetch": options, "become": True, "become_method": "su"}, USER)


def pull(fleet: Fleet) -> float:
    options = {"src": FILE, "dest": COPY, "direction": "pull"}
    return task(fleet, {TRANSFER: options, "become": True, "become_method": "su"}, USER)


Way = Callable[[Fleet], float]
PUSHED: dict[str, Way] = {MINE: transfer, "copy": copy, "synchronize": synchronize, "scp": scp, "rsync": rsync}
PULLED: dict[str, Way] = {MINE: pull, "fetch with become": fetch}


@functools.cache
def absent() -> dict[str, str]:
    """Ways that cannot be taken here, and why."""
    found = {way: f"{way} is not installed" for way in ("scp", "rsync") if not shutil.which(way)}
    if not any((Path(root) / "ansible_collections/ansible/posix").is_dir() for root in site_packages()):
        found["synchronize"] = "the collection ansible.posix is not installed"
    return found


def site_packages() -> list[str]:
    """Where the package ansible has its collections."""
    import ansible

    return [str(Path(ansible.__file__).parents[1])]


def measure(fleet: Fleet, way: Way, size: int, target: Host) -> Figures:
    os.sync()  # what others have written
    before = seconds(fleet)
    with Peak(fleet.controller) as peak:
        elapsed = way(fleet)
    cpu = seconds(fleet) - before
    copied = target.outside(COPY)
    if copied.stat().st_size != size:
        raise RuntimeError(f"{copied} has {copied.stat().st_size} bytes, not {size}")
    copied.unlink()
    return Figures(size / elapsed / 1e9, cpu / (size / GIB), peak.most)


def compared(fleet: Fleet, rounds: int, ways: dict[str, Way], size: int, pushed: bool) -> list[str]:
    """Lines of the table: of all ways, in turn."""
    start, target = (fleet.controller, fleet["h1"]) if pushed else (fleet["h1"], fleet.controller)
    make(start, size)
    ways = {name: way for name, way in ways.items() if name not in absent()}
    found: dict[str, list[Figures]] = {name: [] for name in ways}
    for _round, (name, way) in itertools.product(range(rounds), ways.items()):
        found[name].append(measure(fleet, way, size, target))
    start.outside(FILE).unlink()
    lines = []
    for name, figures in found.items():
        ratios = [mine.rate / other.rate for mine, other in zip(found[MINE], figures, strict=True)]
        cpu, memory = (statistics.median(getattr(each, key) for each in figures) for key in ("cpu", "memory"))
        rate = spread([each.rate for each in figures])
        lines.append(f"| {name}, {size // MIB} MiB | {rate} | {spread(ratios)} | {cpu:.2f} | {memory:.0f} |")
    return lines


def table(fleet: Fleet, rounds: int) -> str:
    heads = "| GB/s | transfer : it | CPU s a GiB | controller's peak MB |"
    lines = []
    for limited in (True, False):
        line = "100 MB/s" if limited else "unshaped"
        with shaped(fleet, limited):
            pushed = compared(fleet, rounds, PUSHED, SIZE // 8 if limited else SIZE, True)
            pulled = compared(fleet, rounds, PULLED, FETCHED // 8 if limited else FETCHED, False)
        lines += [f"| {line}, to h1 {heads}", "| --- " * 5 + "|", *pushed, ""]
        lines += [f"| {line}, from h1 with become {heads}", "| --- " * 5 + "|", *pulled, ""]
    return "\n".join([*lines, *absent().values(), "", memory(fleet)])


def memory(fleet: Fleet) -> str:
    """The controller's memory, for files of different sizes."""
    lines = ["| transfer of | controller's peak MB |", "| --- | --- |"]
    sizes = [SIZE // LARGE, SIZE * LARGE]
    while 3 * sizes[1] > shutil.disk_usage(fleet.directory).free and sizes[1] > SIZE:
        sizes[1] //= 2
    for size in sizes:
        make(fleet.controller, size)
        lines.append(f"| {size // MIB} MiB | {measure(fleet, transfer, size, fleet['h1']).memory:.0f} |")
        fleet.controller.outside(FILE).unlink()
    return "\n".join(lines)
