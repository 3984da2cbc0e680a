# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m tests.faults [--command | --transfer | --pipeline | --async] [--encrypted]
                          [--seed S] [--runs N] [--lanes L] [--only NUMBER | --fault WORD ...]

Runs that many tasks of pipe, transfer or pipeline, or command lines of socketpipe, with a fault each, and prints what
each came to, by fault and moment; --async: tasks of pipe that outlive their controller. What has been run with this
seed is kept in .build/faults and is not run again; --only repeats the batch of one run, and --fault WORD takes only
runs whose fault has that word in its name.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.hosts import requirements

from .draw import COMMAND, JOB, PIPELINE, TASK, TRANSFER, Kind, batches, chosen, draw
from .lanes import Lines, perform

KEPT = Path(__file__).resolve().parents[2] / ".build" / "faults"


def table(lines: Lines, kind: Kind) -> str:
    """Fault by moment: how many were ok, failed, lost or missed; and how many were not as they must be."""
    cells: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    bad: collections.Counter[str] = collections.Counter()
    for line in lines:
        cells[line["fault"], line["moment"]][line["verdict"]] += 1
        bad[line["fault"]] += bool(line["problems"])
    rows = [["fault", *kind.moments, "bad"], ["---"] * (len(kind.moments) + 2)]
    for fault in dict.fromkeys(each.name for each in (*kind.each, *kind.groups, *kind.relays)):
        row = [", ".join(f"{n} {word}" for word, n in sorted(cells[fault, m].items())) for m in kind.moments]
        rows.append([fault, *row, str(bad[fault])])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def kind_of(arguments: argparse.Namespace) -> Kind:
    given = [arguments.detached, arguments.command, arguments.transfer, arguments.pipeline, True]
    return (JOB, COMMAND, TRANSFER, PIPELINE, TASK)[given.index(True)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--command", action="store_true", help="the command socketpipe instead of tasks")
    parser.add_argument("--transfer", action="store_true", help="tasks of transfer instead of pipe")
    parser.add_argument("--pipeline", action="store_true", help="tasks of pipeline")
    parser.add_argument("--async", action="store_true", dest="detached", help="tasks of pipe with async")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--lanes", type=int, default=(os.cpu_count() or 2))
    parser.add_argument("--only", type=int, help="repeat the batch of this run")
    parser.add_argument("--encrypted", action="store_true", help="encrypt the links of all runs, not of a part")
    parser.add_argument("--fault", action="append", default=[], help="only faults with this word in their names")
    arguments = parser.parse_args()
    if reason := requirements():
        raise SystemExit(f"faults need hosts: {reason}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # the lanes end with us
    KEPT.mkdir(parents=True, exist_ok=True)
    kind = kind_of(arguments)
    before = "" if kind is TASK else f"{kind.name}-"
    name = f"{before}{arguments.seed}{'-encrypted' * arguments.encrypted}"
    path = KEPT / f"{name}.jsonl"
    lines: Lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if arguments.only is not None:
        wanted = batches(arguments.seed, arguments.only, arguments.only + 1, kind)
        lines = []
    elif arguments.fault:
        wanted = chosen(arguments.seed, arguments.runs, kind, arguments.fault)
        lines = []
    else:
        known = {line["number"] for line in lines}
        wanted = [runs for runs in batches(arguments.seed, 0, arguments.runs, kind) if runs[0].number not in known]
    if arguments.encrypted:
        wanted = [[dataclasses.replace(run, encrypted=True) for run in runs] for runs in wanted]
    began = time.monotonic()
    for new in perform(wanted, arguments.lanes):
        lines += new
        for line in new:
            if line["problems"]:
                run = draw(arguments.seed, line["number"], kind)
                where = f"{run.shape} {run.peer} {run.sink}{' encrypted' * (run.encrypted or arguments.encrypted)}"
                print(f"run {line['number']} {line['fault']} at {line['moment']} {where}:")
                print("".join(f"    {problem}\n" for problem in line["problems"]), end="", flush=True)
        if arguments.only is None and not arguments.fault:
            with path.open("a") as out:
                out.writelines(json.dumps(line) + "\n" for line in new)
    bad = [line["number"] for line in lines if line["problems"]]
    print(f"\n{table(lines, kind)}\n\n{kind.name}, seed {arguments.seed}, {len(lines)} runs", end="")
    print(f", {time.monotonic() - began:.0f} s", end="")
    print(f"; not as they must be: {', '.join(map(str, bad))}" if bad else "; all as they must be")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
