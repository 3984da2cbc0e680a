# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m tests.bench [TABLE...]: prints the tables of docs/benchmarks.md.

Everything runs between namespace hosts, in one run, in turn, and is quoted
as a median: of figures taken on a shared machine only the ratios mean much.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.hosts import Fleet, requirements

from . import (
    buffer,
    catalog,
    command,
    copies,
    encryption,
    fleet,
    footprint,
    kernel,
    original,
    startup,
    tape,
    throughput,
    topology,
)

TABLES: dict[str, Callable[[Fleet, int], str]] = {
    "throughput": throughput.table,
    "encryption": encryption.table,
    "kernel": kernel.table,
    "startup": startup.table,
    "encryption-startup": startup.encrypted,
    "footprint": footprint.table,
    "command-startup": command.startup,
    "command-throughput": command.throughput,
    "original": original.table,
    "chains": topology.chains,
    "fans": topology.fans,
    "copies": copies.table,
    "catalog": catalog.table,
    "fleet": fleet.table,
    "tape": tape.table,
    "buffer": buffer.table,
}


def main(arguments: list[str]) -> int:
    reason = requirements()
    if reason:
        print(f"the benchmarks need namespace hosts: {reason}", file=sys.stderr)
        return 1
    rounds = int(os.environ.get("ROUNDS", "5"))
    print(f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        visible = [Path(sys.prefix)]
        hosts = [f"h{number}" for number in range(1, topology.MOST + 1)]
        with Fleet.create(hosts, directory=Path(folder) / "fleet", visible=visible) as made:
            for name in arguments or list(TABLES):
                print(f"\n{name}, medians of {rounds}\n\n{TABLES[name](made, rounds)}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
