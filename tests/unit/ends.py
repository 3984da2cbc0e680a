# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real ends on loopback, started as the product starts them, and what tests ask of them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.marked import read_marked
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.verdict import Verdict
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._certificates import make_certificate

from .changes import Change, changed

LONG = 60.0  # seconds after which something that must happen has not happened
ENCRYPTION = "none"  # relay: the links of all plans that are made here are encrypted
MARKER = "SOCKETPIPE_TEST"  # this variable is in the environment of all that a test starts
T = TypeVar("T")
# in a shell, after COMMAND &: goes on when it is sleep, no longer the shell that was forked for it
ASLEEP = "until grep -qx sleep /proc/$!/comm; do :; done"

KERNEL_TLS = os.environ.get("SOCKETPIPE_TEST_KERNEL_TLS", "")  # of every plan that a test makes

# less patience, for tests in which an end must lose it
HASTY = {"reset": 0.5, "term": 1.0, "hold": 0.5, "drain": 1.0, "tick": 0.2}


def sources(changes: Iterable[Change] = (), modules: tuple[str, ...] | None = None) -> list[tuple[str, str]]:
    """What is shipped, with changes; each must apply exactly once."""
    return list(changed(dict(bootstrap.sources(modules)), changes).items())


@lru_cache(None)
def program(changes: tuple[Change, ...] = (), modules: tuple[str, ...] | None = None) -> bytes:
    return bootstrap.program(sources(changes, modules))


def stage(name: str, argv: Sequence[str], **more: Any) -> dict[str, Any]:
    plain = {"name": name, "argv": list(argv), "ok_rc": [0], "early_exit": False, "environment": {}}
    return {**plain, **more}


def sh(name: str, script: str, **more: Any) -> dict[str, Any]:
    return stage(name, ["/bin/sh", "-c", script], **more)


def py(name: str, script: str, *args: object, **more: Any) -> dict[str, Any]:
    return stage(name, [sys.executable, "-IS", "-c", script, *(str(arg) for arg in args)], **more)


# counts and digests what it reads, and writes how that ended; exit status as told, whatever happened
RECORD = """
import errno, hashlib, json, os, sys
digest, count, how = hashlib.sha256(), 0, "eof"
open(sys.argv[1] + ".started", "w").close()
try:
    while True:
        chunk = os.read(0, 65536)
        if not chunk:
            break
        count += len(chunk)
        digest.update(chunk)
except OSError as exc:
    how = errno.errorcode[exc.errno]
with open(sys.argv[1] + ".new", "w") as out:
    json.dump({"how": how, "bytes": count, "sha256": digest.hexdigest()}, out)
os.rename(sys.argv[1] + ".new", sys.argv[1])
raise SystemExit(0 if how == "eof" else int(sys.argv[2]))
"""


def record(name: str, path: Path, status: int = 3) -> dict[str, Any]:
    """A sink that writes down how its input ended; ``status`` when that was an error."""
    return py(name, RECORD, path, status)


def started(path: Path) -> str:
    """Shell: wait until the sink that records here runs (one whose link breaks before would never start)."""
    return 'while [ ! -e "%s.started" ]; do sleep 0.01; done; ' % path


def recorded(path: Path) -> dict[str, Any]:
    return dict(json.loads(eventually(path.read_text, "nothing was recorded in %s" % path.name)))


def union(programs: list[list[str]]) -> tuple[str, ...]:
    """The modules of all these programs, for one of all ends."""
    found = max(programs, key=len)
    more = dict.fromkeys(name for program in programs for name in program if name not in found)
    last = found.index("_end.main")
    return (*found[:last], *more, *found[last:])


def make_plan(*stages: tuple[str, dict[str, Any]], **options: Any) -> Plan:
    """A chain of (end, stage), all ends on loopback; encrypted if this pass of the tests is."""
    plan = Plan({"connect_timeout": 30, "kernel_tls": KERNEL_TLS, **options})
    names = list(dict.fromkeys(end for end, _stage in stages))
    for name in names:
        plan.add_end(name)
    plan.chain(list(stages))
    for dialler, target in itertools.permutations(names, 2):
        plan.reach(dialler, target, ["127.0.0.1"])
    if ENCRYPTION != "none":
        plan.encrypt(make_certificate)
    return plan


def default_signals() -> None:
    """For a process that a test starts: what nohup, or a script's background, has this one ignore it would too."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Ends:
    """The ends of one plan as processes of this machine."""

    def __init__(
        self,
        plan: Plan,
        changes: Iterable[Change] = (),
        python: str = sys.executable,
        pythons: dict[str, str] | None = None,
        only: Iterable[str] | None = None,
        told: Callable[[dict[str, Any]], None] | None = None,
        user: int | None = None,
        inside: Sequence[str] = (),
        patience: dict[str, float] | None = None,
    ) -> None:
        """``changes`` break the program; ``only`` these ends; ``told`` may alter what an end is told.

        ``inside``: the words of a command that makes a surrounding and runs the end in its own place.
        """
        each = [bootstrap.of_plan(plan.for_end(name)) for name in plan.ends]
        modules = union(each) if each else None
        self.plan, self.program, self.told, self.user = plan, program(tuple(changes), modules), told, user
        self.inside = list(inside)
        if patience:
            plan.options = {**plan.options, "patience": patience}
        self.names = list(plan.ends if only is None else only)
        self.pythons = {name: (pythons or {}).get(name, python) for name in self.names}
        self.marker = uuid.uuid4().hex
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.output: dict[str, str] = {}
        self.errors: dict[str, str] = {}

    def start(self) -> Ends:
        for name in self.names:
            spec = json.loads(json.dumps(self.plan.for_end(name)))
            if self.told:
                self.told(spec)
            command = bootstrap.command([self.pythons[name]], "socketpipe:%s:%s" % (self.plan.run, name))
            process = subprocess.Popen(
                [*self.inside, "/bin/sh", "-c", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, MARKER: self.marker},
                user=self.user,
                preexec_fn=default_signals,
            )
            self.processes[name] = process
            stdin = cast(IO[bytes], process.stdin)
            stdin.write(bootstrap.stream(self.program, spec))
            stdin.close()
        return self

    def wait(self, timeout: float = LONG) -> Ends:
        """Hear all of them to their end."""
        readers = [threading.Thread(target=self._hear, args=(name,), daemon=True) for name in self.processes]
        for reader in readers:
            reader.start()
        deadline = time.monotonic() + timeout
        for reader in readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        late = [name for name in self.processes if name not in self.output]
        assert not late, "still running after %d s: %s; %s" % (timeout, late, processes_of(self.marker))
        return self

    def _hear(self, name: str) -> None:
        process = self.processes[name]
        if process.stdout is None or process.stdout.closed:
            out = b""
            process.wait()
        else:
            out = process.stdout.read()
            process.wait()
        assert process.stderr is not None
        self.errors[name] = process.stderr.read().decode("utf-8", "replace")
        self.output[name] = out.decode("utf-8", "replace")

    def report(self, name: str) -> dict[str, Any]:
        message = read_marked(self.output[name])
        assert message is not None, "no report of %s: %s %s" % (name, self.output[name], self.errors[name])
        return message

    def stage(self, name: str) -> dict[str, Any]:
        """What the report says of a stage."""
        return next(s for end in self.names for s in self.report(end).get("stages", ()) if s["name"] == name)

    def side(self, link: str, side: str) -> dict[str, Any]:
        """What the report says of one side of the link that this stage writes (or reads)."""
        spec = next(spec for spec in self.plan.links if link in (spec["id"], spec["source"]))
        sides = [said for end in self.names for said in self.report(end)["links"]]
        return next(said for said in sides if said["id"] == spec["id"] and said["side"] == side)

    def outcomes(self) -> dict[str, dict[str, Any]]:
        found = {}
        for name in self.plan.ends:
            report = read_marked(self.output.get(name, ""))
            error = "" if report else "it ended without a report"
            found[name] = {"report": report, "error": error, "kind": "launch", "cancelled": False}
        return found

    def verdict(self) -> Verdict:
        return Verdict(self.plan, self.outcomes(), {name: "host-" + name for name in self.plan.ends})

    def cause(self) -> dict[str, Any]:
        cause = self.verdict().cause
        assert cause is not None, "it was ok: %s" % self.output
        return dict(cause)

    def ok(self) -> Ends:
        """All ends said what they had to, without a complaint, and agree."""
        verdict = self.verdict()
        assert verdict.ok, "%s %s %s" % (verdict.cause, self.output, self.errors)
        assert not any(self.errors.values()), self.errors
        return self

    # -- their processes

    def guard(self, name: str) -> int:
        return self.processes[name].pid

    def end(self, name: str) -> int:
        """The pid of the end itself, once it has split off its guard."""
        return eventually(lambda: only_child(self.guard(name)), "%s has not split off its guard" % name)

    def running(self) -> list[int]:
        return processes_of(self.marker)

    def gone(self, timeout: float = 20.0) -> None:
        """Nothing that they have started lives on."""
        eventually(lambda: not self.running(), lambda: "still there: %s" % describe(self.running()), timeout)

    def kill(self) -> None:
        for process in self.processes.values():
            for stream in (process.stdout, process.stderr):
                if stream and process.poll() is not None and not stream.closed:
                    stream.close()
        deadline = time.monotonic() + 20
        while self.running() and time.monotonic() < deadline:
            for pid in self.running():
                signal_to(pid, signal.SIGKILL)
            for process in self.processes.values():
                process.poll()
            time.sleep(0.01)
        for process in self.processes.values():
            process.wait(20)


def processes_of(marker: str) -> list[int]:
    """The living processes whose environment carries this marker."""
    wanted = ("%s=%s" % (MARKER, marker)).encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/environ" % entry, "rb") as environ:
                    if wanted in environ.read().split(b"\0"):
                        found.append(int(entry))
            except OSError:
                continue
    return found


def parent_and_state(pid: int) -> tuple[int, str]:
    with open("/proc/%d/stat" % pid, "rb") as stat:
        state, parent = stat.read().rpartition(b")")[2].split()[:2]
    return int(parent), state.decode()


def only_child(pid: int) -> int:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if parent_and_state(int(entry))[0] == pid:
                    return int(entry)
            except OSError:
                continue
    return 0


def alive(pid: int) -> bool:
    try:
        return parent_and_state(pid)[1] not in "ZX"
    except OSError:
        return False


def describe(pids: Iterable[int]) -> list[str]:
    found = []
    for pid in pids:
        try:
            found.append("%d %r" % (pid, Path("/proc/%d/cmdline" % pid).read_bytes()[:200]))
        except OSError:
            continue
    return found


def signal_to(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def eventually(look: Callable[[], T], complaint: str | Callable[[], str], timeout: float = LONG) -> T:
    """What ``look`` returns once that is something; an OSError or a ValueError is nothing yet."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if found := look():
                return found
        except (OSError, ValueError):
            pass
        if time.monotonic() > deadline:
            raise AssertionError(complaint if isinstance(complaint, str) else complaint())
        time.sleep(0.01)


def written(path: Path) -> str:
    """What a stage has written to a file, once there is something in it (whole lines)."""
    return eventually(lambda: text if (text := path.read_text()).endswith("\n") else "", "nothing in %s" % path.name)
