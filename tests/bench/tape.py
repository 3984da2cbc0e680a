# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role tape against tar | ssh | dd: backup and restore, with one large file and with many small ones.

TAPE_MIB: the size of the large file, 4096 unless set.  TAPE_FILES: the number of small ones of 4 KiB, 100000.
All files, and the virtual tape, are in memory, so the tape and the disks cost a copy and nothing else.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.hosts import Fleet
from tests.system import taping
from tests.system.taping import Site

from .shaping import of_host
from .throughput import GIB, ratios, spread

MIB = 1024**2
SIZE = int(os.environ.get("TAPE_MIB", "4096")) * MIB
FILES, EACH = int(os.environ.get("TAPE_FILES", "100000")), 4096
IN_FOLDER = 1000
MEMORY = "/dev/shm"
LATE = 3600  # seconds
ROLE, SSH = "role", "tar, ssh, dd"
HASH = """import hashlib, sys
digest = hashlib.sha256()
while chunk := sys.stdin.buffer.read(1 << 20):
    digest.update(chunk)"""
HEADS = (
    "files",
    "direction",
    f"{ROLE}: MiB/s; CPU s/GiB host, tape host",
    f"{SSH}: the same",
    "rate, role : it",
    "CPU of both hosts, role : it",
)
CHECKSUMS = {
    "openssl dgst": ["openssl", "dgst", "-sha256", "-r"],
    "sha256sum": ["sha256sum"],
    "Python's hashlib": [sys.executable, "-c", HASH],
}


@dataclasses.dataclass(frozen=True)
class Spent:
    """Seconds of one way, or of a part of it: by the clock, and of the processors of both hosts."""

    time: float
    host: float
    tape: float

    def __sub__(self, start: Spent) -> Spent:
        return Spent(self.time - start.time, self.host - start.host, self.tape - start.tape)

    def of(self, size: int) -> tuple[float, float, float]:
        """MiB/s, and CPU seconds a GiB of the host and of the tape host."""
        return size / MIB / max(self.time, 0.001), self.host / (size / GIB), self.tape / (size / GIB)


class Bench:
    """A host with files, a tape host, and both ways to the tape and back."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.site = fleet, Site(fleet, fleet.directory / "site")
        self.top = fleet.directory / "bench"
        self.back = self.top / "back"
        self.dump = self.top / "dump"
        self.top.mkdir()

    def make(self) -> dict[str, int]:
        """The files; returns the size of each set of them.  The last one shows what a start costs."""
        large = self.top / "large"
        large.mkdir()
        block = os.urandom(64 * MIB)
        with (large / "file").open("wb") as file:
            for start in range(0, SIZE, len(block)):
                file.write(block[: SIZE - start])
        for number in range(FILES):
            folder = self.top / "small" / f"{number // IN_FOLDER:04}"
            if number % IN_FOLDER == 0:
                folder.mkdir(parents=True)
            begin = number % IN_FOLDER
            (folder / f"{number:06}").write_bytes(block[begin : begin + EACH])
        (self.top / "start").mkdir()
        (self.top / "start" / "file").write_bytes(b"x")
        return {"large": SIZE, "small": FILES * EACH, "start": 0}

    def spent(self, work: Callable[[], float]) -> Spent:
        """What this took; it returns its time."""
        hosts = [self.fleet["h1"], self.fleet["tape1"]]
        before = [of_host(host) for host in hosts]
        took = work()
        return Spent(took, *(of_host(host) - start for host, start in zip(hosts, before)))

    def both(self, way: str, name: str) -> tuple[Spent, Spent]:
        """(the way to the tape, the way back)."""
        backup, restore = {ROLE: (self.backup, self.restore), SSH: (self.archive, self.extract)}[way]
        if way == ROLE:
            self.site.clear()
            self.site.label()
        try:
            return self.spent(lambda: backup(name)), self.spent(lambda: restore(name))
        finally:
            shutil.rmtree(self.back, ignore_errors=True)
            self.dump.unlink(missing_ok=True)

    # -- the role: the time of its task

    def backup(self, name: str) -> float:
        own = {"h1": {"tape_paths": [str(self.top / name)]}}
        return self.task("backup", "Back up", own=own, args=["--limit", "h1"])

    def restore(self, _name: str) -> float:
        return self.task("restore", "Restore", restore_host="h1", restore_to=str(self.back))

    def task(self, playbook: str, task: str, **options: object) -> float:
        done = self.site.start(playbook, **options).wait(LATE)  # type: ignore[arg-type]
        if done.rc:
            raise RuntimeError(done.output)
        (found,) = [each for each in done.outcomes if each.task == taping.ROLE + task and each.host == "h1"]
        return found.at - found.started

    # -- what people type

    def archive(self, name: str) -> float:
        return self.on_host(f"tar -b 512 -C / -cf - {self.top / name}", f"dd of={self.dump} bs=256k iflag=fullblock")

    def extract(self, _name: str) -> float:
        self.back.mkdir()
        return self.on_host("true", f"dd if={self.dump} bs=256k", f"tar -b 512 -C {self.back} -xpf -")

    def on_host(self, source: str, far: str, sink: str = "cat") -> float:
        """A pipe on the host, through ssh to the tape host."""
        ssh = f"ssh -F {self.fleet.ssh_config} tape1"
        line = f"{source} 2>/dev/null | {ssh} '{far} 2>/dev/null' | {sink}"
        began = time.monotonic()
        self.fleet.controller.run(["ssh", "-F", str(self.fleet.ssh_config), "h1", line], timeout=LATE)
        return time.monotonic() - began


def table(_fleet: Fleet, rounds: int) -> str:
    visible = [Path(sys.prefix)]
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        Fleet.create(taping.HOSTS, directory=Path(folder) / "fleet", visible=visible) as fleet,
    ):
        bench = Bench(fleet)
        sizes = bench.make()
        return "\n\n".join([ways(bench, sizes, rounds), checksums(bench.top / "large" / "file", rounds)])


def ways(bench: Bench, sizes: dict[str, int], rounds: int) -> str:
    """The time and the work for one byte are subtracted, pair by pair, so that a start does not count."""
    found: dict[tuple[str, str], list[tuple[Spent, Spent]]] = {}
    for _round in range(rounds):
        for name, way in itertools.product(sizes, (ROLE, SSH)):
            found.setdefault((name, way), []).append(bench.both(way, name))
    lines = ["| " + " | ".join(HEADS) + " |", "| --- " * len(HEADS) + "|"]
    for name, direction in itertools.product([name for name, size in sizes.items() if size], (0, 1)):
        cells, rates, works = [], [], []
        for way in (ROLE, SSH):
            pairs = zip(found[name, way], found["start", way], strict=True)
            figures = [(each[direction] - start[direction]).of(sizes[name]) for each, start in pairs]
            rates.append([rate for rate, _host, _tape in figures])
            works.append([host + tape for _rate, host, tape in figures])
            rate, host, tape = (statistics.median(each) for each in zip(*figures, strict=True))
            cells.append(f"{rate:.0f}; {host:.2f}, {tape:.2f}")
        cells += [ratio(*rates), ratio(*works)]
        lines.append(f"| {name} | {('backup', 'restore')[direction]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Ours to theirs, pair by pair."""
    return spread(ratios(ours, theirs))


def checksums(path: Path, rounds: int) -> str:
    """What the checksum of an archive costs, by each program that could compute it."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _round in range(rounds):
        for name, argv in CHECKSUMS.items():
            found.setdefault(name, []).append(checksum(argv, path))
    lines = ["| SHA-256 | MiB/s | CPU s/GiB | CPU : openssl |", "| --- | --- | --- | --- |"]
    for name, figures in found.items():
        rates, works = zip(*figures, strict=True)
        cells = [f"{statistics.median(rates):.0f}", f"{statistics.median(works):.2f}"]
        cells.append(ratio(list(works), [work for _rate, work in found["openssl dgst"]]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def checksum(argv: list[str], path: Path) -> tuple[float, float]:
    """(MiB/s, CPU seconds a GiB)."""
    size = path.stat().st_size
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with path.open("rb") as data:
        subprocess.run(argv, stdin=data, stdout=subprocess.DEVNULL, check=True)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return size / MIB / took, work / (size / GIB)
