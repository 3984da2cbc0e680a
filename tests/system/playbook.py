# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays of tasks given as Python, run by the real ansible-playbook on a fleet's controller.

    done = playbook.run(fleet, {"plumbing.socketpipe.pipe": {"remote": "cat", "input": "date"}}, hosts="h1")
    done.result["bytes"]                            # of the only task on the only host
    done = playbook.run(fleet, [task1, task2], ignore_errors=True)
    done.results[0]["msg"], done.of("task 2", host="h1").status

`run` fails when ansible-playbook's exit status is not the expected one (0 unless `rc` says otherwise; None: any).
`start` gives back what can be waited for, looked at and killed meanwhile.

Which ansible-core: that of this interpreter, or of SOCKETPIPE_TEST_ANSIBLE=/path/to/ansible-playbook.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.hosts import Fleet, HostProcess

REPOSITORY = Path(__file__).resolve().parents[2]
TREE = REPOSITORY / ".build" / "tree"
CALLBACKS = Path(__file__).with_name("callback")
PIPE = "plumbing.socketpipe.pipe"
# Ansible looks for results each millisecond, through all of its hosts: with forty of them it is never idle
CONFIG = "[defaults]\ninternal_poll_interval = 0.02\n"

Task = Mapping[str, Any]
_numbers = itertools.count(1)


def ansible_playbook() -> Path:
    """The ansible-playbook that is tested."""
    return Path(os.environ.get("SOCKETPIPE_TEST_ANSIBLE") or Path(sys.prefix) / "bin" / "ansible-playbook")


def collections() -> Path:
    """Where Ansible finds the collection: a link to this repository, as `make` makes it."""
    link = TREE / "ansible_collections" / "plumbing" / "socketpipe"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.symlink_to("../../../..")
        except FileExistsError:
            pass  # another worker was faster
    return TREE


def pipe(**options: Any) -> dict[str, Any]:
    """A task that is a pipe with these options; what begins with an underscore is the task's own: _become=True."""
    task = {key[1:]: value for key, value in options.items() if key.startswith("_")}
    return {**task, PIPE: {key: value for key, value in options.items() if not key.startswith("_")}}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one task came to on one host."""

    task: str
    host: str
    status: str  # ok, failed, skipped, unreachable, retry
    result: dict[str, Any]
    at: float  # time.monotonic()
    started: float
    ignored: bool


@dataclasses.dataclass(frozen=True)
class Done:
    """A playbook run that is over."""

    rc: int
    lines: list[tuple[float, str]]  # of standard output: (time.monotonic() when it came, line)
    stderr: str
    outcomes: list[Outcome]  # in the order in which they came, without retries
    retries: list[Outcome]

    @property
    def stdout(self) -> str:
        return "".join(line for _at, line in self.lines)

    @property
    def output(self) -> str:
        """All that a person sees."""
        return self.stdout + self.stderr

    @property
    def results(self) -> list[dict[str, Any]]:
        return [outcome.result for outcome in self.outcomes]

    @property
    def only(self) -> Outcome:
        assert len(self.outcomes) == 1, [(each.task, each.host, each.status) for each in self.outcomes]
        return self.outcomes[0]

    @property
    def result(self) -> dict[str, Any]:
        return self.only.result

    def of(self, task: str, host: str | None = None) -> Outcome:
        """The outcome of the task with this name; "task 3" is the third of those that were given, if it has none."""
        found = [each for each in self.outcomes if each.task == task and host in (None, each.host)]
        assert len(found) == 1, (task, host, [(each.task, each.host, each.status) for each in self.outcomes])
        return found[0]


class Started:
    """ansible-playbook, running on the controller."""

    def __init__(self, process: HostProcess, play: Path, record: Path) -> None:
        self.process, self.play, self.record = process, play, record
        self.began = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self.errors: list[str] = []
        self._readers = [threading.Thread(target=reader, daemon=True) for reader in (self._hear, self._hear_errors)]
        for reader in self._readers:
            reader.start()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line))

    def _hear_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def events(self) -> list[dict[str, Any]]:
        """What has been recorded so far."""
        if not self.record.exists():
            return []
        whole, _newline, _unfinished = self.record.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.split("\n") if line]

    def wait_for_line(self, text: str, timeout: float = 60) -> str:
        """The first line of standard output with this text in it, as soon as it is there."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            for _at, line in list(self.lines):
                if text in line:
                    return line
            assert not ended, f"ansible-playbook has ended without {text!r}:\n{self.said()}"
            time.sleep(0.02)
        raise AssertionError(f"no {text!r} within {timeout} s:\n{self.said()}")

    def outcomes(self, play: str | None = None) -> list[Outcome]:
        """What has come to its end so far, retries included; of all plays, or of the one with this name."""
        outcomes: list[Outcome] = []
        started: dict[tuple[str, str], float] = {}
        for event in self.events():
            if play not in (None, event["play"]):
                continue
            key = (event["task"], event["host"])
            if event["event"] == "start":
                started[key] = event["at"]
                continue
            outcomes.append(
                Outcome(
                    task=event["task"],
                    host=event["host"],
                    status=event["event"],
                    result=event["result"],
                    at=event["at"],
                    started=started.get(key, self.began),
                    ignored=event.get("ignored", False),
                )
            )
        return outcomes

    def said(self) -> str:
        return "".join(line for _at, line in list(self.lines)) + "".join(self.errors)

    def kill(self, number: int = signal.SIGKILL, group: bool = False) -> None:
        """A signal for ansible-playbook, or for its whole process group as Ctrl-C gives it."""
        if group:
            self.process.signal_group(number)
        else:
            self.process.send_signal(number)

    def wait(self, timeout: float = 120) -> Done:
        """Until it is over, at most so long; then it is killed with its group, and the test fails."""
        try:
            rc = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.signal_group(signal.SIGKILL)
            self.process.wait(10)
            raise AssertionError(f"ansible-playbook took longer than {timeout} s:\n{self.said()}") from None
        for reader in self._readers:
            reader.join(5)  # what outlives ansible-playbook may hold its output open: that is for the tests to see
        outcomes = self.outcomes()
        return Done(
            rc=rc,
            lines=list(self.lines),
            stderr="".join(self.errors),
            outcomes=[outcome for outcome in outcomes if outcome.status != "retry"],
            retries=[outcome for outcome in outcomes if outcome.status == "retry"],
        )


def directory(fleet: Fleet) -> Path:
    """Where plays, records and Ansible's own files of this fleet are; the hosts see it too."""
    path = fleet.directory / "plays"
    path.mkdir(exist_ok=True)
    return path


def ansible_home(fleet: Fleet) -> Path:
    return directory(fleet) / "home"


def start(
    fleet: Fleet,
    tasks: Task | Sequence[Task] | None = None,
    *,
    hosts: str = "h1",
    inventory: Path | Mapping[str, Mapping[str, Any]] | None = None,
    play: Mapping[str, Any] | None = None,
    plays: Sequence[Mapping[str, Any]] | None = None,
    ignore_errors: bool = False,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Started:
    """Starts ansible-playbook on the controller with one play of these tasks, or with whole `plays`.

    `inventory` is a file, or variables by host or group that extend or (None) remove the fleet's own;
    `play` has further keywords for the play; `args` are ansible-playbook's (["--check"], ["-vvv"]).
    """
    given: list[Task] = [tasks] if isinstance(tasks, Mapping) else list(tasks or ())
    named = [{"name": f"task {number}", **task} for number, task in enumerate(given, start=1)]
    if ignore_errors:
        named = [{"ignore_errors": True, **task} for task in named]
    content = plays or [{"hosts": hosts, "gather_facts": False, **(play or {}), "tasks": named}]
    number = next(_numbers)
    path = directory(fleet) / f"play{number}.yml"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    record = directory(fleet) / f"record{number}.jsonl"
    sources = inventory if isinstance(inventory, Path) else fleet.inventory(inventory)
    config = directory(fleet) / "ansible.cfg"
    config.write_text(CONFIG, encoding="ascii")  # so that the machine's own does not count
    environment = {
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_COLLECTIONS_PATH": str(collections()),
        "ANSIBLE_HOME": str(ansible_home(fleet)),
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "record",
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONUNBUFFERED": "1",  # into a pipe, Ansible's lines would come when the play is over
        "SOCKETPIPE_TEST_RECORD": str(record),
        **(env or {}),
    }
    process = fleet.controller.popen(
        [ansible_playbook(), "-i", sources, *args, path],
        env=environment,
        cwd=str(directory(fleet)),
        user=user,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=1,
    )
    return Started(process, path, record)


def run(
    fleet: Fleet,
    tasks: Task | Sequence[Task] | None = None,
    *,
    rc: int | None = 0,
    timeout: float = 120,
    **options: Any,
) -> Done:
    """The same, to its end. Fails when the exit status is not `rc` (2: a task failed, 4: unreachable; None: any)."""
    done = start(fleet, tasks, **options).wait(timeout)
    if rc is not None and done.rc != rc:
        raise AssertionError(f"ansible-playbook ended with {done.rc}, not {rc}:\n{done.output}")
    return done
