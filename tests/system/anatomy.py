# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of running pipe tasks, seen from outside: which process is what, and how a sink's input came to its end."""

from __future__ import annotations

import collections.abc as c
import json
import os
import re
import signal
import time
import typing as t
from pathlib import Path

from tests.hosts import Fleet, Host

LABEL = re.compile(r"^socketpipe:([0-9a-f]{32}):([a-z]+(?: ?[0-9]+)?)$")
HERE = Path(__file__).resolve().parent
RELAYS = ("socketpipe-seal", "socketpipe-open")  # forks of an end, with its command line
PROBE_FILE = HERE / "probe.py"
# in a shell, after COMMAND &: goes on when it is sleep, no longer the shell that was forked for it
ASLEEP = "until grep -qx sleep /proc/$!/comm; do :; done"


class Proc(t.NamedTuple):
    """A process of a host; the pids are those outside, so that they can be signalled from here."""

    host: str
    pid: int
    ppid: int
    name: str
    argv: tuple[str, ...]

    @property
    def label(self) -> str:
        """``run:end`` of a process that carries an end's label, else empty."""
        match = LABEL.match(self.argv[-1]) if self.argv else None
        return f"{match[1]}:{match[2]}" if match else ""

    @property
    def is_python(self) -> bool:
        return self.name != "ssh" and ("-IS" in self.argv or "-ESs" in self.argv)  # a task's, a command's


def processes(*hosts: Host) -> list[Proc]:
    """Every living process of these hosts."""
    namespaces = {os.readlink(f"/proc/{host.pid}/ns/pid"): host.name for host in hosts if host.is_on}
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            host = namespaces.get(os.readlink(f"/proc/{entry}/ns/pid"))
            if host is None:
                continue
            stat = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            cmdline = Path(f"/proc/{entry}/cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        name, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
        # ssh's command is one word with spaces; its last one is the label, with the quotes of two shells
        argv = cmdline.rstrip("\0").split("\0")
        if name == "ssh" and argv:
            last = re.findall(r"socketpipe:[0-9a-f]{32}:[a-z]+(?: ?[0-9]+)?", argv[-1])
            argv += last[:1]
        if rest[0] not in "ZX":
            found.append(Proc(host, int(entry), int(rest[1]), name, tuple(argv)))
    return found


class Anatomy:
    """The processes of one run: ends by name ("remote", "peer"), their guards, logins, and what started them."""

    def __init__(self, everything: list[Proc], run: str) -> None:
        self.run = run
        self.by_pid = {proc.pid: proc for proc in everything}
        self.everything = everything
        self.guards: dict[str, Proc] = {}
        self.ends: dict[str, Proc] = {}
        self.logins: dict[str, Proc] = {}
        self.relays = [proc for proc in everything if proc.name in RELAYS and proc.label.partition(":")[0] == run]
        for proc in everything:
            name, _colon, end = proc.label.partition(":")
            if name != run or proc.name in RELAYS:
                continue
            if not proc.is_python:
                self.logins[end] = proc
            elif not self._of_same_label(proc):
                self.guards[end] = proc
            elif not self._of_same_label(self.by_pid[proc.ppid]) and proc.name.startswith("python"):
                self.ends[end] = proc

    def _of_same_label(self, proc: Proc) -> bool:
        """Whether it is a fork of a process of an end.

        Of those only the guard's is the end.  The end's own forks, before they become stages, have its command line;
        so have those of a shell that still waits in the place of Python.
        """
        parent = self.by_pid.get(proc.ppid)
        return bool(parent and parent.is_python and parent.label == proc.label)

    def session(self, end: str) -> Proc:
        """sshd's process for the login that this end runs in."""
        proc = self.guards[end]
        while not proc.name.startswith("sshd"):
            proc = self.by_pid[proc.ppid]
        return proc

    def by_worker(self) -> list[Proc]:
        """What Ansible's worker has started: the local end and the logins; none when the run is over."""
        return [proc for proc in (*self.guards.values(), *self.logins.values()) if proc.host == "controller"]

    def worker(self) -> Proc:
        """Ansible's worker."""
        return self.by_pid[self.by_worker()[0].ppid]

    def playbook(self) -> Proc:
        return self.by_pid[self.worker().ppid]

    def below(self, proc: Proc) -> list[Proc]:
        """All descendants."""
        found, todo = [], [proc.pid]
        while todo:
            parent = todo.pop()
            children = [each for each in self.everything if each.ppid == parent]
            found += children
            todo += [child.pid for child in children]
        return found

    def part(self, name: str) -> Proc:
        """ "remote end", "peer guard", "remote login", "remote session", "worker", "playbook", "seal", "open"."""
        if name in ("seal", "open"):
            return next(proc for proc in self.relays if proc.name.endswith(name))
        if name in ("worker", "playbook"):
            return self.worker() if name == "worker" else self.playbook()
        end, what = name.split(" ")
        if what == "session":
            return self.session(end)
        # before the guard is split off there is one process, which is both
        return {"end": {**self.guards, **self.ends}, "guard": self.guards, "login": self.logins}[what][end]


class AnatomyOfJob(Anatomy):
    """The same of a run that has left its logins: what keeps the job at home, "remote", is around guard and end."""

    def __init__(self, everything: list[Proc], run: str) -> None:
        super().__init__(everything, run)
        self.keepers: dict[str, Proc] = {}
        for end in list(self.guards):
            own = [proc for proc in everything if proc.label == f"{run}:{end}" and proc.is_python]
            chain = chained([proc for proc in own if proc.name not in RELAYS and has_left(proc)])
            if not chain:
                continue
            self.ends.pop(end, None)
            if end == "remote":
                self.keepers[end] = chain.pop(0)
            if chain:
                self.guards[end] = chain[0]
                self.ends[end] = chain[min(1, len(chain) - 1)]

    def part(self, name: str) -> Proc:
        end, _space, what = name.partition(" ")
        return self.keepers[end] if what == "keeper" else super().part(name)


def has_left(proc: Proc) -> bool:
    """Whether a process of an end has left its login."""
    try:
        return os.readlink(f"/proc/{proc.pid}/fd/1") == os.devnull
    except OSError:
        return False


def chained(found: list[Proc]) -> list[Proc]:
    """A process, its child, and so on."""
    chain: list[Proc] = []
    for _each in found:
        parents = {proc.pid for proc in found} if not chain else set()
        above = chain[-1].pid if chain else None
        below = [proc for proc in found if (proc.ppid == above if chain else proc.ppid not in parents)]
        chain += below[:1]
    return chain


class AnatomyOfCommand(Anatomy):
    """The same of one run of the command: "remote" is its far side, "peer" this one, whose end is a fork of it."""

    def __init__(self, everything: list[Proc], run: str, command: int) -> None:
        super().__init__(everything, run)
        for found in (self.guards, self.ends, self.logins):
            if "there" in found:
                found["remote"] = found.pop("there")
        self.command = self.by_pid[command]
        forks = {proc.ppid: proc for proc in everything if proc.argv == self.command.argv}
        if command in forks:
            self.guards["peer"] = forks[command]
            if forks[command].pid in forks:
                self.ends["peer"] = forks[forks[command].pid]
                self.relays += [proc for proc in self.below(self.ends["peer"]) if proc.name in RELAYS]

    def part(self, name: str) -> Proc:
        return self.command if name == "command" else super().part(name)


def running(fleet: Fleet, marks: c.Collection[str], timeout: float = 30.0) -> dict[str, Anatomy]:
    """Wait until there is a stage with each of these words in its argv and return the runs they belong to."""
    deadline = time.monotonic() + timeout
    while True:
        found: dict[str, Anatomy] = {}
        everything = processes(fleet.controller, *fleet)
        runs = {proc.label.partition(":")[0] for proc in everything if proc.label}
        for run in runs:
            anatomy = Anatomy(everything, run)
            for end in anatomy.ends.values():
                for stage in anatomy.below(end):
                    found.update((mark, anatomy) for mark in marks if mark in stage.argv)
        if set(found) == set(marks):
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not running after {timeout:.0f} s: {sorted(set(marks) - set(found))}")
        time.sleep(0.1)


def until(what: str, test: t.Callable[[], t.Any], timeout: float = 30.0) -> t.Any:
    """Wait for something to be true and return it."""
    deadline = time.monotonic() + timeout
    while not (found := test()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {timeout:.0f} s: {what}")
        time.sleep(0.05)
    return found


def left(fleet: Fleet, marks: c.Collection[str] = (), runs: c.Collection[str] | None = None) -> list[Proc]:
    """What still runs: ends, guards and logins of these runs (None: of any), and what has one of these words."""
    found = []
    for proc in processes(fleet.controller, *fleet):
        run = proc.label.partition(":")[0]
        if (run and (runs is None or run in runs)) or any(mark in proc.argv for mark in marks):
            found.append(proc)
    return found


def gone(
    fleet: Fleet, marks: c.Collection[str] = (), runs: c.Collection[str] | None = None, timeout: float = 10.0
) -> list[Proc]:
    """What still runs of these when the time is over; returns as soon as nothing does."""
    deadline = time.monotonic() + timeout
    while (still := left(fleet, marks, runs)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return still


def state(proc: Proc) -> str:
    """As in /proc/PID/stat (proc(5)): "T" is stopped; "" when it is gone, or its pid another process's."""
    try:
        text = Path(f"/proc/{proc.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    before, _paren, after = text.rpartition(")")
    return after.split()[0].strip("ZX") if before.partition("(")[2] == proc.name else ""


def send(proc: Proc, number: int = signal.SIGKILL) -> None:
    """A signal to a process that may be gone."""
    try:
        os.kill(proc.pid, number)
    except ProcessLookupError:
        pass


# -- the probe: a sink that says how its input ended


# how a read of a broken link fails; the second is what newer kernels (sk_wait_event) tell a reader that slept while its
# own host broke it
BROKEN = ("ECONNRESET", "EPIPE")


def probe(path: str, mark: str, *flags: str) -> list[str]:
    """The command of a sink that writes what it saw to ``path``; the flags are those of probe.py."""
    return ["/usr/bin/python3", "-IS", str(PROBE_FILE), path, mark, *flags]


def seen(path: Path) -> dict[str, t.Any]:
    """What the probe has written there: {"bytes", "sha256", "end": "eof", an errno's name, or "" while it reads}."""
    return t.cast("dict[str, t.Any]", json.loads(path.read_text(encoding="ascii"))) if path.exists() else {}
