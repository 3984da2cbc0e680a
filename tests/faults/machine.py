# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch of runs: each is held at its moment, hit, and let go. Who starts them is in tasks.py and typed.py."""

from __future__ import annotations

import abc
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.hosts import Fleet
from tests.hosts.process import Identity
from tests.system import anatomy
from tests.system.anatomy import Anatomy, Proc
from tests.system.traces import Traces

from .catalogue import RELAYS, RUNNING, STAGES, Fault
from .commands import FULL, Commands
from .draw import Run

ASSEMBLY = 60.0  # seconds for all runs of a batch to come to their moments
LIMIT = 100.0  # seconds from then on until all are over: connect_timeout, dead peers, the graces of stages that stay
CLEAN = 20.0  # seconds after that for all to be gone
DYING = 0.3  # seconds for a signal to have its effect
EARLY = ("connect", "handshake", "linked", "first", "stream")
DEAD_PEER, CONNECT_TIMEOUT = 6, 20


class Outcome(NamedTuple):
    """What a run has come to, as who started it says."""

    status: str  # ok, failed, lost (there is no result)
    result: dict[str, Any]


class Batch(abc.ABC):
    """Some runs, in which each is hit by itself, or all at once."""

    def __init__(self, fleet: Fleet, runs: list[Run], work: Path) -> None:
        self.fleet = fleet
        self.runs = {run.name: run for run in runs}
        self.commands = {run.name: self.commands_of(run, work) for run in runs}
        self.together = runs[0].hits_all
        # by what happens without our help
        self.struck = {run.name for run in runs if not run.fault.victim and not self.together}
        self.ids: dict[str, str] = {}  # of the runs that were seen, as the ends' labels have them
        self.outcomes: dict[str, Outcome] = {}
        self.left: list[str] = []
        self.hung = False

    # -- what each kind of run has of its own

    def commands_of(self, run: Run, work: Path) -> Commands:
        return Commands(run, work)

    @abc.abstractmethod
    def begin(self) -> None:
        """Start all runs."""

    @abc.abstractmethod
    def over(self) -> set[str]:
        """The names of the runs that have come to their end."""

    @abc.abstractmethod
    def finish(self) -> bool:
        """Wait until all are over and have outcomes, for LIMIT at most; False when something had to be killed."""

    @abc.abstractmethod
    def see(self, everything: list[Proc]) -> None:
        """Find out the runs' identities."""

    @abc.abstractmethod
    def anatomy(self, name: str, everything: list[Proc]) -> Anatomy:
        """Of a run that was seen; KeyError when too little is left of it."""

    @abc.abstractmethod
    def controllers(self, everything: list[Proc]) -> list[Proc]:
        """The processes that started the runs, and their logins."""

    @abc.abstractmethod
    def resume(self) -> None:
        """The controllers have been stopped, and continued."""

    def hit_controllers(self, fault: Fault) -> None:
        """A fault of a whole batch that is not the network's."""
        raise NotImplementedError(fault.name)

    # --

    def perform(self) -> None:
        """From the start to the last trace that is left."""
        before = Traces(self.fleet)
        for commands in self.commands.values():
            commands.prepare(self.fleet)
        self.begin()
        try:
            self.strike_all()
            self.hung = not self.finish()
        finally:
            for name in self.runs:
                self.let_go(name)
        self.left = self.leftovers(before)
        self.repair()

    def strike_all(self) -> None:
        """Wait for each run's moment, and hit it then, or all when the last one is there."""
        waiting = dict(self.runs)
        deadline = time.monotonic() + ASSEMBLY
        while waiting and time.monotonic() < deadline:
            there = [name for name in waiting if self.at_its_moment(name)]
            if there and not self.together:
                everything = self.everything()
                for name in there:
                    self.strike(waiting.pop(name), everything)
            elif len(there) == len(waiting):
                break
            over = self.over()
            waiting = {name: run for name, run in waiting.items() if name not in over}
            time.sleep(0.1)
        if self.together:
            self.see(self.everything())
            self.strike_together()

    def at_its_moment(self, name: str) -> bool:
        run, commands = self.runs[name], self.commands[name]
        if not commands.file("at").exists():
            return False
        return run.moment not in RUNNING or commands.sink_started()

    def let_go(self, name: str) -> None:
        for suffix in ("start", "go"):
            self.commands[name].file(suffix).touch()

    # -- who is who

    def everything(self) -> list[Proc]:
        return anatomy.processes(self.fleet.controller, *self.fleet)

    def victim(self, run: Run, everything: list[Proc]) -> Proc | None:
        what, commands = run.fault.victim, self.commands[run.name]
        if what in (*STAGES, "child"):
            # the words of all of a run's commands are also in the argv of the command that runs them, between braces
            found = [proc for proc in everything if commands.mark(what) in proc.argv and "{" not in proc.argv]
            if what == "child":
                found = [proc for proc in found if commands.mark("source") not in proc.argv]
            pids = {proc.pid for proc in found}
            return next((proc for proc in found if proc.ppid not in pids), None)
        self.see(everything)
        if run.name not in self.ids:
            return None
        try:
            return self.anatomy(run.name, everything).part(what)
        except (KeyError, IndexError, StopIteration):
            return None

    # -- the faults

    def strike(self, run: Run, everything: list[Proc]) -> None:
        """One run's own fault, if it needs us; then it may go on."""
        commands = self.commands[run.name]
        if commands.release:
            self.see(everything)
            commands.file(commands.release).touch()
            time.sleep(run.delay)
            everything = self.everything()
        if run.fault.victim:
            proc = self.victim(run, everything)
            if proc and (run.fault.victim not in RELAYS or self.halt(proc)):
                self.send(run, proc)
                if run.fault.victim in RELAYS and run.fault.number != signal.SIGSTOP:
                    anatomy.send(proc, signal.SIGCONT)
                self.struck.add(run.name)
                if run.moment not in EARLY:
                    self.let_die(proc)
        else:
            self.see(everything)
            commands.strike(self.fleet)
        if run.fault.name not in ("timeout", "sink ignores timeout"):
            self.let_go(run.name)

    @staticmethod
    def let_die(proc: Proc) -> None:
        """Else, on a busy machine, the run may come to its end before what was hit has noticed the signal."""
        deadline = time.monotonic() + DYING
        while Identity.of(proc.pid) and time.monotonic() < deadline:
            time.sleep(0.01)

    @staticmethod
    def halt(proc: Proc) -> bool:
        """Whether a relay stands still: it has not ended, so what it gets next does hit it."""
        anatomy.send(proc, signal.SIGSTOP)
        deadline = time.monotonic() + CLEAN
        while (state := anatomy.state(proc)) not in ("T", "") and time.monotonic() < deadline:
            time.sleep(0.01)
        return state == "T"

    def send(self, run: Run, proc: Proc) -> None:
        anatomy.send(proc, run.fault.number)

    def strike_together(self) -> None:
        fault = self.runs[next(iter(self.runs))].fault
        h1 = self.fleet["h1"]
        for commands in self.commands.values():
            if commands.release:
                commands.file(commands.release).touch()
        time.sleep(next(iter(self.runs.values())).delay)
        if fault.name == "freeze":
            self.freeze()
        elif fault.number:
            self.hit_controllers(fault)
        elif fault.name.startswith("link"):
            h1.link(False)
        elif fault.name.endswith("reboot"):
            self.fleet["h2" if fault.name.startswith("peer ") else "h1"].power_off(silent=False)
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

    def freeze(self) -> None:
        """Who started the runs stands still; the streams do not, and their ends go home. Then it may go on."""
        still = self.controllers(self.everything())
        for proc in still:
            anatomy.send(proc, signal.SIGSTOP)
        for name in self.runs:
            self.let_go(name)
        deadline = time.monotonic() + CLEAN
        while (stay := self.ends()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.left += [
            f"while the controller was frozen: {proc.host}: {proc.pid} {' '.join(proc.argv)}" for proc in stay
        ]
        for proc in still:
            anatomy.send(proc, signal.SIGCONT)
        self.resume()

    def ends(self) -> list[Proc]:
        everything, found = self.everything(), []
        for name in self.ids:
            try:
                parts = self.anatomy(name, everything)
            except KeyError:
                continue
            found += [*parts.guards.values(), *parts.ends.values()]
        return found

    # -- afterwards

    def leftovers(self, before: Traces) -> list[str]:
        """What is on the hosts that was not there before; a killed Ansible leaves its own temporary directory."""
        deadline = time.monotonic() + CLEAN
        while True:
            new = Traces(self.fleet).new(before)
            found = [trace for trace in new if not self.expected(trace)]
            if not found or time.monotonic() > deadline:
                return self.left + found
            time.sleep(0.3)

    def expected(self, trace: str) -> bool:
        return trace.startswith("controller: file") or FULL in trace

    def repair(self) -> None:
        """The hosts as they were, for the next batch; what was left is ended."""
        h1 = self.fleet["h1"]
        for host in self.fleet:
            host.power_on()
        h1.link(True)
        h1.unblock()
        runs = set(self.ids.values())
        for proc in self.everything():
            if proc.label.partition(":")[0] in runs or any(word.startswith("mark-run") for word in proc.argv):
                anatomy.send(proc)
