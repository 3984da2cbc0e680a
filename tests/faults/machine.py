# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch of runs in one ansible-playbook: each is held at its moment, hit, and let go."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path

from tests.hosts import Fleet
from tests.system import anatomy, batch
from tests.system.anatomy import Anatomy, Proc
from tests.system.batch import OWN_LOGIN, Case
from tests.system.conftest import Traces
from tests.system.playbook import Outcome, Started, pipe

from .catalogue import GROUPS, OF_COMMANDS, RUNNING, STAGES
from .commands import FULL, Commands
from .draw import Run

ASSEMBLY = 60.0  # seconds for all runs of a batch to come to their moments
LIMIT = 100.0  # seconds from then on for the playbook: connect_timeout, dead peers, the graces of stages that stay
CLEAN = 20.0  # seconds after the playbook for all to be gone
OPTIONS = {"dead_peer": 6, "connect_timeout": 20, "progress": 0}
OVER = {("case", event) for event in ("ok", "failed", "unreachable", "skipped")}
TIMEOUT = 12  # seconds, of the tasks that have one


class Batch:
    """Some runs, in which each is hit by itself, or all at once."""

    def __init__(self, fleet: Fleet, runs: list[Run], work: Path, env: Mapping[str, str]) -> None:
        self.fleet, self.env = fleet, env
        self.runs = {run.name: run for run in runs}
        self.commands = {run.name: Commands(run, work) for run in runs}
        self.together = runs[0].fault in GROUPS
        self.struck = {run.name for run in runs if run.fault in OF_COMMANDS}
        self.ids: dict[str, str] = {}  # of the runs that were seen, as the ends' labels have them
        self.outcomes: dict[str, Outcome] = {}
        self.left: list[str] = []
        self.hung = False

    def cases(self) -> dict[str, Case]:
        found = {}
        for name, commands in self.commands.items():
            run = self.runs[name]
            whole = run.moment not in ("first", "stream")  # else a reader would wait for the rest of its block
            task = pipe(**commands.options(), **OPTIONS, peer=run.peer, full_reads=whole)
            if run.fault.name == "timeout":
                task["timeout"] = TIMEOUT
            own = OWN_LOGIN if run.fault.victim in ("remote login", "remote session") else {}
            retried = {"ansible_ssh_retries": 2} if run.fault.name == "cut and retried" else {}
            python = {"ansible_python_interpreter": commands.interpreter}
            found[name] = Case(task, variables={**own, **retried, **python})
        return found

    def perform(self) -> None:
        """From the start to the last trace that is left."""
        before = Traces(self.fleet)
        for commands in self.commands.values():
            commands.prepare()
        started = batch.start(self.fleet, self.cases(), env=self.env)
        try:
            self.strike_all(started)
            started.wait(LIMIT)
        except AssertionError:  # ansible-playbook has not come to its end, and was killed
            self.hung = True
        finally:
            self.outcomes = batch.outcomes(started)
            for name in self.runs:
                self.let_go(name)
        self.left = self.leftovers(before)
        self.repair()

    def strike_all(self, started: Started) -> None:
        """Wait for each run's moment, and hit it then, or all when the last one is there."""
        waiting = dict(self.runs)
        deadline = time.monotonic() + ASSEMBLY
        while waiting and time.monotonic() < deadline and started.process.poll() is None:
            there = [name for name in waiting if self.at_its_moment(name)]
            if there and not self.together:
                everything = self.everything()
                for name in there:
                    self.strike(waiting.pop(name), everything)
            elif len(there) == len(waiting):
                break
            over = {event["host"] for event in started.events() if (event["task"], event["event"]) in OVER}
            waiting = {name: run for name, run in waiting.items() if name not in over}
            time.sleep(0.1)
        if self.together:
            self.see(self.everything())
            self.strike_together(started)

    def at_its_moment(self, name: str) -> bool:
        run, commands = self.runs[name], self.commands[name]
        if not commands.file("at").exists():
            return False
        return run.moment not in RUNNING or commands.file("started").exists()

    def let_go(self, name: str) -> None:
        for suffix in ("start", "go"):
            self.commands[name].file(suffix).touch()

    # -- who is who

    def everything(self) -> list[Proc]:
        return anatomy.processes(self.fleet.controller, *self.fleet)

    def see(self, everything: list[Proc]) -> None:
        """Find out the runs' identities: a process with a run's name in its argv belongs to one with a label."""
        by_pid = {proc.pid: proc for proc in everything}
        for proc in everything:
            for name in self.runs:
                if name not in self.ids and any(f"/{name}." in word or f"-{name}-" in word for word in proc.argv):
                    found: Proc | None = proc
                    while found and not found.label:
                        found = by_pid.get(found.ppid)
                    if found:
                        self.ids[name] = found.label.partition(":")[0]

    def victim(self, run: Run, everything: list[Proc]) -> Proc | None:
        what, commands = run.fault.victim, self.commands[run.name]
        if what in (*STAGES, "child"):
            found = [proc for proc in everything if commands.mark(what) in proc.argv]
            if what == "child":
                found = [proc for proc in found if commands.mark("source") not in proc.argv]
            pids = {proc.pid for proc in found}
            return next((proc for proc in found if proc.ppid not in pids), None)
        self.see(everything)
        if run.name not in self.ids:
            return None
        try:
            return Anatomy(everything, self.ids[run.name]).part(what)
        except (KeyError, IndexError):
            return None

    # -- the faults

    def strike(self, run: Run, everything: list[Proc]) -> None:
        """One run's own fault, if it needs us; then it may go on."""
        if run.moment == "handshake":
            self.see(everything)
            self.commands[run.name].file("start").touch()
            time.sleep(run.delay)
            everything = self.everything()
        if run.fault.victim:
            proc = self.victim(run, everything)
            if proc:
                anatomy.send(proc, run.fault.number)
                self.struck.add(run.name)
        else:
            self.see(everything)
        if run.fault.name != "timeout":
            self.let_go(run.name)

    def strike_together(self, started: Started) -> None:
        fault, h1 = self.runs[next(iter(self.runs))].fault, self.fleet["h1"]
        for name, run in self.runs.items():
            if run.moment == "handshake":
                self.commands[name].file("start").touch()
        time.sleep(next(iter(self.runs.values())).delay)
        if fault.name == "freeze":
            self.freeze(started)
        elif fault.name == "interrupt":
            started.kill(fault.number, group=True)
        elif fault.name.endswith("worker"):
            self.end_workers(started, fault.number)
        elif fault.number:
            started.kill(fault.number)
        elif fault.name.startswith("link"):
            h1.link(False)
        elif fault.name == "reboot":
            h1.power_off(silent=False)
        elif fault.name == "reset":
            h1.block("in", "reject", established=True)
        else:
            h1.block("in" if fault.name == "deaf" else "out", "drop", established=True)
        self.struck.update(name for name in self.runs if name in self.ids)
        for name in self.runs:
            self.let_go(name)
        if fault.name == "link blinks":
            time.sleep(3)
            h1.link(True)

    def end_workers(self, started: Started, number: int) -> None:
        """Ansible cannot always go on without them: one may have held the lock of the queue of results."""
        everything = self.everything()
        runs = [Anatomy(everything, run) for run in self.ids.values()]
        for worker in {run.worker() for run in runs if run.by_worker()}:
            anatomy.send(worker, number)
        deadline = time.monotonic() + CLEAN
        while started.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        started.kill(signal.SIGKILL)

    def freeze(self, started: Started) -> None:
        """Ansible and its logins stand still; the streams do not, and their ends go home. Then it may go on."""
        everything = self.everything()
        top = started.process.child
        ansible = [proc for proc in everything if proc.pid == top or proc.ppid == top or proc.name == "ssh"]
        for proc in ansible:
            anatomy.send(proc, signal.SIGSTOP)
        for name in self.runs:
            self.let_go(name)
        deadline = time.monotonic() + CLEAN
        while (stay := self.ends()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.left += [f"while Ansible was frozen: {proc.host}: {proc.pid} {proc.label}" for proc in stay]
        for proc in ansible:
            anatomy.send(proc, signal.SIGCONT)
        started.process.resume()

    def ends(self) -> list[Proc]:
        runs = set(self.ids.values())
        return [proc for proc in self.everything() if proc.is_python and proc.label.partition(":")[0] in runs]

    # -- afterwards

    def leftovers(self, before: Traces) -> list[str]:
        """What is on the hosts that was not there before; a killed Ansible leaves its own temporary directory."""
        deadline = time.monotonic() + CLEAN
        while True:
            new = Traces(self.fleet).new(before)
            found = [trace for trace in new if not trace.startswith("controller: file") and FULL not in trace]
            if not found or time.monotonic() > deadline:
                return self.left + found
            time.sleep(0.3)

    def repair(self) -> None:
        """The hosts as they were, for the next batch; what was left is ended."""
        h1 = self.fleet["h1"]
        if not h1.is_on:
            h1.power_on()
        h1.link(True)
        h1.unblock()
        runs = set(self.ids.values())
        for proc in self.everything():
            if proc.label.partition(":")[0] in runs or any(word.startswith("mark-run") for word in proc.argv):
                anatomy.send(proc)
