# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are command lines of socketpipe, typed on the controller: through ssh."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.hosts import Fleet, HostProcess
from tests.system import anatomy
from tests.system.anatomy import Anatomy, AnatomyOfCommand, Proc

from .catalogue import RELAYS
from .draw import Run
from .machine import CONNECT_TIMEOUT, DEAD_PEER, LIMIT, Batch, Outcome


class Typed(Batch):
    """``program``: the command as one file."""

    def __init__(self, fleet: Fleet, runs: list[Run], work: Path, program: Path) -> None:
        super().__init__(fleet, runs, work)
        self.program = program
        self.processes: dict[str, HostProcess] = {}
        self.pids: dict[str, int] = {}  # of the commands, as seen from outside

    def begin(self) -> None:
        for name, commands in self.commands.items():
            with commands.file("said").open("w") as said:
                process = self.fleet.controller.popen(self.line(name), stdout=subprocess.DEVNULL, stderr=said)
            self.processes[name], self.pids[name] = process, process.child

    def line(self, name: str) -> list[str | os.PathLike[str]]:
        run, commands = self.runs[name], self.commands[name]
        words = [f"--stats={commands.file('stats')}", "--python", commands.interpreter, "--whole"]
        words += ["-t", str(CONNECT_TIMEOUT), "--dead-peer", str(DEAD_PEER), *([run.peer] if run.peer else [])]
        words += ["--encrypt=relay"] if run.fault.victim in RELAYS else ["--encrypt"] if run.encrypted else []
        if run.peer == "--listen=remote":
            words += ["-h", self.fleet["h1"].address]
        login = ["ssh", "-F", str(self.fleet.ssh_config), "-o", "ControlPath=none", "h1"]
        for option, command in {"login": login, **commands.options()}.items():
            words += [f"--{option}", "{", *command, "}"]
        return [self.program, *words]

    def over(self) -> set[str]:
        return {name for name, process in self.processes.items() if process.poll() is not None}

    def finish(self) -> bool:
        deadline = time.monotonic() + LIMIT
        for name, process in self.processes.items():
            try:
                status = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
            self.outcomes[name] = self.outcome(name, status)
        for process in self.processes.values():
            if process.poll() is None:
                process.signal_group(signal.SIGKILL)
                process.wait(10)
        return len(self.outcomes) == len(self.runs)

    def outcome(self, name: str, status: int) -> Outcome:
        """Its exit status takes the place of a task's ok."""
        stats, said = self.commands[name].file("stats"), self.commands[name].file("said")
        result = {"rc": status, "msg": said.read_text(encoding="utf-8", errors="replace")}
        if stats.exists():
            result.update(json.loads(stats.read_text(encoding="ascii")))
        return Outcome("ok" if status == 0 else "failed" if stats.exists() else "lost", result)

    def see(self, everything: list[Proc]) -> None:
        """A login is the command's child, and has a label."""
        names = {pid: name for name, pid in self.pids.items()}
        for proc in everything:
            if proc.label and proc.ppid in names:
                self.ids[names[proc.ppid]] = proc.label.partition(":")[0]

    def anatomy(self, name: str, everything: list[Proc]) -> Anatomy:
        return AnatomyOfCommand(everything, self.ids[name], self.pids[name])

    def controllers(self, everything: list[Proc]) -> list[Proc]:
        return [proc for proc in everything if proc.pid in self.pids.values() or proc.name == "ssh"]

    def resume(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.resume()

    def send(self, run: Run, proc: Proc) -> None:
        if run.fault.number == signal.SIGINT:
            self.processes[run.name].signal_group(signal.SIGINT)  # as a terminal does
        else:
            anatomy.send(proc, run.fault.number)
