# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are tasks, all of a batch in one ansible-playbook."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.hosts import Fleet
from tests.system import anatomy, batch
from tests.system.anatomy import Anatomy, Proc
from tests.system.batch import OWN_LOGIN, Case
from tests.system.playbook import pipe

from .catalogue import RELAYS, Fault, needs_timeout
from .draw import Run
from .machine import CLEAN, CONNECT_TIMEOUT, DEAD_PEER, LIMIT, Batch, Outcome

OVER = {("case", event) for event in ("ok", "failed", "unreachable", "skipped")}
TIMEOUT = 12  # seconds, of the tasks that have one


class Tasks(Batch):
    """``env``: further environment of ansible-playbook."""

    def __init__(self, fleet: Fleet, runs: list[Run], work: Path, env: Mapping[str, str]) -> None:
        super().__init__(fleet, runs, work)
        self.env = env

    def begin(self) -> None:
        self.started = batch.start(self.fleet, self.cases(), env=self.env)

    @staticmethod
    def login(run: Run) -> dict[str, str]:
        """A connection of its own for a run that loses it."""
        return OWN_LOGIN if run.fault.victim.endswith((" login", " session")) else {}

    def cases(self) -> dict[str, Case]:
        found = {}
        for name, commands in self.commands.items():
            run = self.runs[name]
            whole = run.moment not in ("first", "stream")  # else a reader would wait for the rest of its block
            options = {"dead_peer": DEAD_PEER, "connect_timeout": CONNECT_TIMEOUT, "progress": 0, "peer": run.peer}
            encryption = "relay" if run.fault.victim in RELAYS else "required" if run.encrypted else "none"
            task = pipe(**commands.options(), **options, full_reads=whole, encryption=encryption)
            if needs_timeout(run.fault):
                task["timeout"] = TIMEOUT
            own = self.login(run)
            retried = {"ansible_ssh_retries": 2} if run.fault.name == "cut and retried" else {}
            python = {"ansible_python_interpreter": commands.interpreter}
            found[name] = Case(task, variables={**own, **retried, **python})
        return found

    def over(self) -> set[str]:
        if self.started.process.poll() is not None:
            return set(self.runs)
        return {event["host"] for event in self.started.events() if (event["task"], event["event"]) in OVER}

    def finish(self) -> bool:
        try:
            self.started.wait(LIMIT)
            return True
        except AssertionError:  # it was killed
            return False
        finally:
            for name, found in batch.outcomes(self.started).items():
                self.outcomes[name] = Outcome("ok" if found.status == "ok" else "failed", found.result)

    def see(self, everything: list[Proc]) -> None:
        """A process with a run's name in its argv belongs to one with a label."""
        by_pid = {proc.pid: proc for proc in everything}
        for proc in everything:
            for name in self.runs:
                if name not in self.ids and any(f"/{name}." in word or f"-{name}-" in word for word in proc.argv):
                    found: Proc | None = proc
                    while found and not found.label:
                        found = by_pid.get(found.ppid)
                    if found:
                        self.ids[name] = found.label.partition(":")[0]

    def anatomy(self, name: str, everything: list[Proc]) -> Anatomy:
        return Anatomy(everything, self.ids[name])

    def controllers(self, everything: list[Proc]) -> list[Proc]:
        top = self.started.process.child
        return [proc for proc in everything if proc.pid == top or proc.ppid == top or proc.name == "ssh"]

    def resume(self) -> None:
        self.started.process.resume()

    def hit_controllers(self, fault: Fault) -> None:
        if fault.name.endswith("worker"):
            self.end_workers(fault.number)
        else:
            self.started.kill(fault.number, group=fault.name == "interrupt")

    def workers(self) -> Collection[Proc]:
        everything = self.everything()
        runs = [self.anatomy(name, everything) for name in self.ids]
        return {run.worker() for run in runs if run.by_worker()}

    def end_workers(self, number: int) -> None:
        """Ansible cannot always go on without them: one may have held the lock of the queue of results."""
        for worker in self.workers():
            anatomy.send(worker, number)
        deadline = time.monotonic() + CLEAN
        while self.started.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        self.started.kill(signal.SIGKILL)
