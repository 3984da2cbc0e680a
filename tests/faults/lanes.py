# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes: several batches at a time, each lane a process with hosts of its own."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hosts import Fleet, HostSpec
from tests.system import playbook, program

from . import chains, jobs, moves, transfers
from .chains import Chains
from .commands import FULL, payload
from .draw import Run
from .jobs import Jobs
from .judge import Judged, judge
from .machine import Batch
from .tasks import Tasks
from .transfers import Transfers
from .typed import Typed

HOSTS = ("controller", "h1", "h2", "h3")
Lines = list[dict[str, Any]]


class Lane:
    """Hosts of its own, for one batch after the other."""

    def __init__(self, folder: Path, collections: str = "") -> None:
        """``collections``: where the collection is that is tested, if it is not this one."""
        # a shell has its background jobs ignore Ctrl-C, and with them all that they start
        signal.signal(signal.SIGINT, signal.default_int_handler)
        hosts = [HostSpec(name, max_startups="200") for name in HOSTS[1:]]
        visible = [playbook.ansible_playbook().parents[1], *([Path(collections)] if collections else [])]
        self.fleet = Fleet.create(hosts, directory=folder, visible=visible)
        self.env = {"ANSIBLE_COLLECTIONS_PATH": collections} if collections else {}
        self.work = folder / "work"
        self.work.mkdir()
        payload(self.work)
        moves.sources(self.work)
        self.program = program.build(self.work / "socketpipe", collections)
        for name in HOSTS:
            self.mount(name)

    def mount(self, name: str) -> None:
        self.fleet[name].run(["sh", "-c", f"mkdir -p {FULL}; mount -n -t tmpfs -o size=128k none {FULL}"])

    def run(self, runs: list[Run]) -> Lines:
        batch, judged = self.judged(runs)
        unexplained = batch.left if not any(each.problems for each in judged) else []
        for commands in batch.commands.values():
            commands.remove()
        for name in HOSTS:
            self.fleet[name].run(["sh", "-c", f"rm -f {FULL}/*"])
        if runs[0].fault.name.endswith("reboot"):
            self.mount("h2" if runs[0].fault.name.startswith("peer ") else "h1")
        lines = [each.as_dict() for each in judged]
        if unexplained:
            lines[0]["problems"] += [f"left behind by some run: {trace[:300]}" for trace in unexplained]
        return lines

    def judged(self, runs: list[Run]) -> tuple[Batch, list[Judged]]:
        if runs[0].kind == "transfer":
            moves = Transfers(self.fleet, runs, self.work, self.env)
            moves.perform()
            return moves, [transfers.judge(moves, name) for name in moves.runs]
        if runs[0].kind == "pipeline":
            through = Chains(self.fleet, runs, self.work, self.env)
            through.perform()
            return through, [chains.judge(through, name) for name in through.runs]
        if runs[0].kind == "async":
            detached = Jobs(self.fleet, runs, self.work, self.env)
            detached.perform()
            return detached, [jobs.judge(detached, name) for name in detached.runs]
        batch: Batch
        if runs[0].command:
            batch = Typed(self.fleet, runs, self.work, self.program)
        else:
            batch = Tasks(self.fleet, runs, self.work, self.env)
        batch.perform()
        return batch, [judge(batch, name) for name in batch.runs]


def serve(folder: str, todo: Any, done: Any) -> None:
    """A lane's process: takes batches until there are no more."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        lane = Lane(Path(own) / "fleet")
        try:
            while (runs := todo.get()) is not None:
                done.put(lane.run(runs))
        finally:
            lane.fleet.down()


def perform(wanted: list[list[Run]], lanes: int) -> Iterator[Lines]:
    """Each batch's lines, as they come."""
    context = multiprocessing.get_context("spawn")
    todo, done = context.Queue(), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        count = min(lanes, len(wanted))
        workers = [context.Process(target=serve, args=(folder, todo, done), daemon=True) for _lane in range(count)]
        todo.cancel_join_thread()  # when we are ended, nobody takes the rest
        for runs in wanted:
            todo.put(runs)
        for worker in workers:
            todo.put(None)
            worker.start()
        try:
            for _batch in wanted:
                while done.empty():
                    if not any(worker.is_alive() for worker in workers):
                        raise SystemExit("a lane has ended before its time")
                    time.sleep(0.1)
                yield done.get()
        except BaseException:
            for worker in workers:
                worker.terminate()  # and its hosts with it
            raise
        finally:
            for worker in workers:
                worker.join()
