# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of 100 MB/s between the namespace hosts, and the processor time and memory of all that runs on them."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.hosts import Fleet, Host

RATE = 100_000_000  # bytes a second
TBF = f"root tbf rate {RATE * 8} burst 256kb latency 50ms"  # tc-tbf(8); the burst has room for the largest segment
TICK = os.sysconf("SC_CLK_TCK")
EVERY = 0.2  # seconds between two looks at the memory


@contextlib.contextmanager
def shaped(fleet: Fleet, on: bool) -> Iterator[None]:
    """Each host, and the controller, sends at most RATE."""
    hosts = [fleet.controller, *fleet] if on else []
    for host in hosts:
        host.run(["tc", "qdisc", "add", "dev", "eth0", *TBF.split()])
    try:
        yield
    finally:
        for host in hosts:
            host.run(["tc", "qdisc", "del", "dev", "eth0", "root"])


def pids(*hosts: Host) -> list[str]:
    """Of all their processes, as seen from outside."""
    inside, found = {os.readlink(f"/proc/{host.pid}/ns/pid") for host in hosts}, []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/pid") in inside:
                found.append(entry)
    return found


def seconds(fleet: Fleet) -> float:
    """Of processor time on all hosts so far: what runs, and what was waited for there or here."""
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ours.ru_utime + ours.ru_stime + of_host(fleet.controller, *fleet)


def of_host(*hosts: Host) -> float:
    """Of processor time on these hosts so far, by what their own processes have started, such as logins."""
    total = 0.0
    for pid in pids(*hosts):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            total += sum(map(int, fields.split()[11:15])) / TICK  # utime, stime, cutime, cstime (proc_pid_stat(5))
    return total


def resident(host: Host) -> float:
    """MB that its processes have, each page divided by those that share it."""
    total = 0
    for pid in pids(host):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return total / 1024


class Peak:
    """The most memory that the controller has had in the block."""

    def __init__(self, host: Host) -> None:
        self.host, self.before, self.most = host, resident(host), 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self) -> None:
        while not self.over.wait(EVERY):
            self.most = max(self.most, resident(self.host) - self.before)

    def __enter__(self) -> Peak:
        self.thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.over.set()
        self.thread.join()
