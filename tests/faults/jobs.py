# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that outlive their controller: tasks of pipe with async, whose results are in the files of their jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.hosts import Fleet, HostProcess
from tests.hosts.network import TABLE
from tests.system import anatomy, playbook
from tests.system.anatomy import AnatomyOfJob, Proc
from tests.system.batch import Case
from tests.system.playbook import pipe

from . import judge as judges
from .catalogue import Fault
from .commands import FULL, Commands
from .draw import Run
from .job_faults import (
    AGAIN,
    CANCELLED,
    CUT,
    DETACHED,
    HANG_UP,
    LIMITED,
    LOGGED_IN,
    NO_FILE,
    NO_RESULT,
    NOBODY,
    RESET,
)
from .judge import Judged
from .machine import CLEAN, LIMIT, Outcome
from .tasks import OVER, TIMEOUT, Tasks

LONG = 300  # seconds, of async for tasks without a limit that matters
PLAIN = "/usr/bin/python3"
POLL = 5  # seconds, of the tasks that are not left alone
ROOM = "64k"  # of the file system for a job without room
# keeps what the program of an end is run with, for a second time
KEEP = 'cat > {base}.sent; printf "%s\\0" "$@" > {base}.words\n'
TWICE = '/usr/bin/python3 "$@" < {base}.sent > {base}.second 2>&1 &\n'
ONCE = 'exec /usr/bin/python3 "$@" < {base}.sent\n'


# all connections to a host may have the same port there
CUT_RULES = """add table inet {table}
add chain inet {table} cut_in {{ type filter hook input priority 0; policy accept; }}
add chain inet {table} cut_out {{ type filter hook output priority 0; policy accept; }}
add rule inet {table} cut_in tcp dport {ours} tcp sport {theirs} drop
add rule inet {table} cut_out tcp sport {ours} tcp dport {theirs} drop
"""


class Job(Commands):
    """One run's commands, and the directory for its job; ``work`` is a folder that all hosts see."""

    def __init__(self, run: Run, work: Path, together: bool) -> None:
        super().__init__(run, work)
        if together and run.moment == "last" and self.reads == "tar":
            self.reads = "cat"  # tar stops by itself at the end of the archive
        self.small = run.fault.name in (NO_FILE, NO_RESULT)
        self.folder = Path(f"{FULL}.{run.name}") if self.small else self.file("jobs")
        # not where core would poll until its limit, because the job is never over, or its host is not there
        some = run.number % 4 == 0 and run.fault.name not in LIMITED and not may_stay_open(run)
        some = some and self.interpreter == PLAIN  # of modules of Ansible nobody can be held
        self.polled = bool(run.fault.number) if together else some

    @property
    def interpreter(self) -> str:
        return str(self.file("python")) if self.run.fault.name == AGAIN else super().interpreter

    def prepare(self, fleet: Fleet) -> None:
        super().prepare(fleet)
        if self.run.fault.name == AGAIN:
            script, twice = self.file("python"), TWICE if self.run.moment == "connect" else ""
            before = script.read_text(encoding="ascii").rpartition("exec ")[0]
            script.write_text(before + (KEEP + twice + ONCE).format(base=self.base), encoding="ascii")
        if self.small:
            fleet["h1"].run(["mkdir", "-m", "700", self.folder])
            fleet["h1"].run(["mount", "-n", "-t", "tmpfs", "-o", f"size={ROOM}", "none", self.folder])
        if self.run.fault.name == NO_FILE:
            self.fill(fleet)

    def fill(self, fleet: Fleet) -> None:
        fleet["h1"].run(["sh", "-c", f"cat /dev/zero > {self.folder}/filler"], check=False)

    def at(self, fleet: Fleet) -> Path:
        """The directory of the job, from outside."""
        return Path(f"/proc/{fleet['h1'].pid}/root{self.folder}") if self.small else self.folder

    def files(self, fleet: Fleet) -> list[Path]:
        """The files of its jobs, in all states; there is one at most."""
        folder = self.at(fleet)
        return [path for path in folder.iterdir() if path.name != "filler"] if folder.is_dir() else []

    def tidy(self, fleet: Fleet) -> None:
        if self.small:
            fleet["h1"].run(["sh", "-c", f"umount -n {self.folder}; rmdir {self.folder}"], check=False)


class Jobs(Tasks):
    jobs: dict[str, Job]

    def __init__(self, fleet: Fleet, runs: list[Run], work: Path, env: Mapping[str, str]) -> None:
        self.jobs = {}
        super().__init__(fleet, runs, work, env)
        self.seconds: list[HostProcess] = []  # programs of ends that were started again
        self.states: dict[str, dict[str, Any]] = {}  # what the files say in the end

    def commands_of(self, run: Run, work: Path) -> Job:
        job = self.jobs[run.name] = Job(run, work, run.hits_all)
        return job

    def cases(self) -> dict[str, Case]:
        found = {}
        for name, case in super().cases().items():
            job, run = self.jobs[name], self.runs[name]
            task: dict[str, Any] = {**case.task, "async": LONG, "poll": POLL if job.polled else 0}
            if task.pop("timeout", 0) or run.fault.name in LIMITED:
                task["async"] = TIMEOUT
            variables = {**case.variables, "ansible_async_dir": str(job.folder)}
            found[name] = Case(task, variables=variables)
        return found

    # -- who is who

    def see(self, everything: list[Proc]) -> None:
        super().see(everything)
        for name, job in self.jobs.items():
            for path in job.files(self.fleet) if name not in self.ids else ():
                self.ids[name] = path.name.partition(".")[0]

    def anatomy(self, name: str, everything: list[Proc]) -> AnatomyOfJob:
        return AnatomyOfJob(everything, self.ids[name])

    def ends(self) -> list[Proc]:
        everything = self.everything()
        runs = set(self.ids.values())
        return [proc for proc in everything if proc.label.partition(":")[0] in runs and proc.is_python]

    # -- what becomes of them

    def state(self, name: str) -> dict[str, Any]:
        """What the file of its job says; {} if there is none, also while it is replaced or unreadable."""
        if not self.fleet["h1"].is_on and self.jobs[name].small:
            return {}
        for path in self.jobs[name].files(self.fleet):
            try:
                return dict(json.loads(path.read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue
            except ValueError:
                return {"finished": False, "garbled": True}
        return {}

    def over(self) -> set[str]:
        """A task that has only started its job is not over."""
        said = {event["host"]: event for event in self.started.events() if (event["task"], event["event"]) in OVER}
        over = {name for name, event in said.items() if event["event"] != "ok" or event["result"].get("finished")}
        return over | {name for name in self.runs if self.state(name).get("finished")}

    def goes_on(self, name: str, labels: set[str]) -> bool:
        return bool(self.state(name)) and not self.state(name)["finished"] and self.ids.get(name) in labels

    def finish(self) -> bool:
        """After the playbook, until the jobs that it has left are over."""
        ended = super().finish()
        deadline = time.monotonic() + LIMIT
        while True:
            everything = self.everything()
            self.see(everything)
            labels = {proc.label.partition(":")[0] for proc in everything if proc.is_python}
            waiting = {name for name in self.runs if self.goes_on(name, labels)}
            if not waiting or time.monotonic() > deadline:
                break
            time.sleep(0.3)
        for name in self.runs:
            self.states[name] = self.state(name)
            if name in waiting or not ended and name not in self.outcomes:
                self.outcomes.pop(name, None)
            else:
                self.outcomes[name] = self.concluded(self.outcomes.get(name), self.states[name])
        for process in self.seconds:
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.signal_group(signal.SIGKILL)
        return ended and not waiting

    @staticmethod
    def concluded(said: Outcome | None, state: dict[str, Any]) -> Outcome:
        """The result is what the file says, unless the task has it already, or has never begun to poll for it."""
        if said and (said.status != "ok" or said.result.get("finished")) and not state.get("finished"):
            return said
        if state.get("finished"):
            return Outcome("failed" if state.get("failed") else "ok", state)
        return Outcome("lost", state or (said.result if said else {}))

    def perform(self) -> None:
        super().perform()
        for job in self.jobs.values():
            job.tidy(self.fleet)

    def expected(self, trace: str) -> bool:
        """Also what a killed Ansible leaves of itself: its module async_status, and workers that poll (since 2.19)."""
        killed = self.together and bool(next(iter(self.runs.values())).fault.number)
        polls = killed and trace.startswith("controller: process") and f" {self.started.play}" in trace
        return super().expected(trace) or polls or "/.ansible/tmp/ansible-tmp-" in trace

    def repair(self) -> None:
        super().repair()
        for proc in self.everything():
            if str(self.started.play) in proc.argv:
                anatomy.send(proc)

    # -- the faults

    def strike(self, run: Run, everything: list[Proc]) -> None:
        name, job = run.fault.name, self.jobs[run.name]
        acts = {CANCELLED: self.cancel, RESET: self.cut, CUT: self.cut, AGAIN: self.again}
        if "+" in run.fault.victim:
            self.see(everything)
            if self.kill_together(run, everything):
                self.struck.add(run.name)
        elif name in acts:
            self.see(everything)
            if acts[name](run):
                self.struck.add(run.name)
        elif name == NO_RESULT:
            job.fill(self.fleet)
        else:
            super().strike(run, everything)
            return
        self.let_go(run.name)

    def send(self, run: Run, proc: Proc) -> None:
        """What keeps the job is told to stop: it shall do so before the job is over by itself."""
        super().send(run, proc)
        deadline = time.monotonic() + CLEAN
        while run.fault.name == "term remote keeper" and time.monotonic() < deadline:
            if self.state(run.name).get("finished"):
                break
            time.sleep(0.05)

    def kill_together(self, run: Run, everything: list[Proc]) -> bool:
        """They stand still first, so that none notices the death of another."""
        side, _space, parts = run.fault.victim.partition(" ")
        try:
            found = [self.anatomy(run.name, everything).part(f"{side} {part}") for part in parts.split("+")]
        except KeyError:
            return False
        if not all(self.halt(proc) for proc in found):
            return False
        for proc in found:
            anatomy.send(proc)
        for proc in found:
            self.let_die(proc)
        return True

    def cancel(self, run: Run) -> bool:
        if run.name not in self.ids:
            return False
        task = pipe(cancel=self.ids[run.name], _vars={"ansible_async_dir": str(self.jobs[run.name].folder)})
        return bool(playbook.run(self.fleet, task, hosts="h1", rc=None).result["changed"])

    def cut(self, run: Run) -> bool:
        """Its control connection: its ports are those of the only sockets of what keeps the job."""
        try:
            keeper = self.anatomy(run.name, self.everything()).part("remote keeper")
        except KeyError:
            return False
        h1, struck = self.fleet["h1"], False
        for ours, theirs in tcp_ports(keeper):
            struck = True
            if run.fault.name == RESET:
                h1.run(["ss", "-K", "-tn", f"sport = {ours} and dport = {theirs}"])
            else:
                h1.run(["nft", "-f", "-"], input=CUT_RULES.format(table=TABLE, ours=ours, theirs=theirs))
        return struck

    def again(self, run: Run) -> bool:
        """At "connect" its Python does that by itself."""
        if run.moment == "connect":
            return True
        base = self.jobs[run.name].base
        command = f"exec xargs -0 -a {base}.words /usr/bin/python3 < {base}.sent > {base}.second 2>&1"
        self.seconds.append(self.fleet["h1"].popen(["sh", "-c", command]))
        return True

    def controllers(self, everything: list[Proc]) -> list[Proc]:
        """The playbook may have come to its end before its jobs."""
        return super().controllers(everything) if self.started.process.poll() is None else []

    def resume(self) -> None:
        if self.started.process.poll() is None:
            super().resume()

    def hit_controllers(self, fault: Fault) -> None:
        if fault.name != HANG_UP:
            name = fault.name.removesuffix(" early")
            if name.endswith("worker"):
                self.end_workers(fault.number)
            else:
                self.started.kill(fault.number, group=name == "interrupt")
            return
        for proc in self.everything():
            if proc.name == "ssh":
                anatomy.send(proc, signal.SIGTERM)  # as for ssh -O exit
            elif proc.argv[0].startswith(("sshd: ", "sshd-session: ")) and "[listener]" not in proc.argv[0]:
                anatomy.send(proc, fault.number)

    def workers(self) -> list[Proc]:
        """Also those that have no login, because they poll."""
        top = self.started.process.child
        return [proc for proc in self.everything() if proc.ppid == top and str(self.started.play) in proc.argv]


def tcp_ports(proc: Proc) -> list[tuple[int, int]]:
    """(own port, the other's) of each TCP connection of a process; as /proc/PID/net/tcp has them (proc(5))."""
    inodes = set()
    for fd in os.listdir(f"/proc/{proc.pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{proc.pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{proc.pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if f"socket:[{words[9]}]" in inodes:
                ours, theirs = (int(word.rpartition(":")[2], 16) for word in words[1:3])
                found.append((ours, theirs))
    return found


# -- the invariants


def judge(jobs: Jobs, name: str) -> Judged:
    """As a pipe; and the file of the job is final, and has no false ok."""
    judged, run, state = judges.judge(jobs, name), jobs.runs[name], jobs.states.get(name, {})
    problems = judged.problems
    if state.get("garbled"):
        problems.append("the file of its job is no JSON")
    if state and not state.get("finished") and not may_stay_open(run):
        problems.append(f"the file of its job is not final: {state}")
    if state.get("finished") and not state.get("failed") and not jobs.commands[name].whole():
        problems.append("the file of its job says ok, and the sink has not got everything")
    if run.moment in DETACHED and not state and not jobs.jobs[name].polled and not run.fault.lost:
        problems.append("its job has no file")
    return judged


def may_stay_open(run: Run) -> bool:
    """Whether nobody who could write the result has lived; before the start, home is one process."""
    alone = run.moment in LOGGED_IN and run.fault.name in ("kill remote end", "term remote end")
    return alone or run.fault.name in (*NOBODY, "reboot")
