# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipelines that outlive their controller, over ssh: the task's host keeps the result, with a stage or without."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .playbook import pipe
from .test_async import LINES, Jobs, kill

PIPELINE = "plumbing.socketpipe.pipeline"


FLEET = ["h1", "h2", "h3"]


class Pipelines(Jobs):
    """The same for chains; the task's host is h1."""

    def task(self, seconds: int = 120, poll: int = 0, **options: Any) -> dict[str, Any]:
        given = {key: value for key, value in options.items() if not key.startswith("_")}
        given.setdefault("stages", self.apart())
        more = {key[1:]: value for key, value in options.items() if key.startswith("_")}
        return {**more, "async": seconds, "poll": poll, "vars": self.vars, PIPELINE: given}

    def apart(self, **sink: Any) -> list[Any]:
        """From h2 to h3: no stage is on the task's host."""
        source = {"host": "h2", "name": "source", "cmd": LINES.format(go=self.go)}
        return [source, {"host": "h3", "name": "sink", **(sink or {"cmd": "cat"})}]


@pytest.fixture
def jobs(fleet: Fleet, work: Path) -> Pipelines:
    return Pipelines(fleet, work)


@pytest.mark.parametrize("encryption", ["none", "required"])
def test_a_chain_between_two_other_hosts(jobs: Pipelines, encryption: str) -> None:
    """Its file is replaced by the end of the stream, long after the playbook."""
    target = jobs.work / "target"
    target.write_text("old\n", encoding="utf-8")
    job = jobs.start(stages=jobs.apart(path=str(target)), encryption=encryption, fact="moved")
    assert [len(jobs.processes(job, f"end{number}")) for number in (1, 2, 3)] == [2, 2, 2]
    assert target.read_text(encoding="utf-8") == "old\n"
    jobs.go.touch()
    result = jobs.result(job)
    assert (result["msg"], result["bytes"], result["changed"]) == ("ok", 8, True)
    assert [(stage["name"], stage["host"]) for stage in result["stages"]] == [("source", "h2"), ("sink", "h3")]
    assert result["ansible_facts"]["moved"]["bytes"] == 8 and "peer" not in result
    assert target.read_text(encoding="utf-8") == "one\ntwo\n"


def test_branches_with_a_stage_at_home(jobs: Pipelines) -> None:
    """ansible-core polls; a branch that may fail is a warning."""
    jobs.go.touch()
    branches = [
        [{"host": "h3", "name": "good", "cmd": "cat"}],
        [{"host": "h2", "name": "bad", "cmd": "sh -c 'exit 3'"}],
    ]
    stages = [{"cmd": LINES.format(go=jobs.go)}, {"branches": branches, "branches_required": 1}]
    result = playbook.run(jobs.fleet, jobs.task(poll=1, stages=stages), hosts="h1").result
    assert result["finished"] and [branch["ok"] for branch in result["branches"]] == [True, False]
    assert result["warnings"][0].startswith("the branch bad on h2 failed, and the others went on")
    assert not list(jobs.folder.iterdir())


def test_a_failure_says_what_has_become_of_the_file(jobs: Pipelines) -> None:
    jobs.go.touch()
    target = jobs.work / "target"
    stages = [{"host": "h2", "cmd": "echo x"}, {"cmd": "sh -c 'cat; exit 3'"}, {"host": "h3", "path": str(target)}]
    done = playbook.run(jobs.fleet, jobs.task(poll=1, stages=stages), hosts="h1", rc=2)
    cause = done.result["cause"]
    assert (done.only.status, cause["stage"], cause["host"], cause["rc"]) == ("failed", "stages[1]", "h1", 3)
    assert "ok_rc" not in cause["msg"] and not target.exists()


# who is killed, which of its processes, and what the result says
DEATHS = {
    "an end": ("end1", -1, "h2", "on h2: the end was killed by SIGKILL"),
    "what keeps the job": ("end3", 0, "h1", "on h1: the process that keeps the job was killed"),
}


@pytest.mark.parametrize("name", DEATHS)
def test_who_dies_is_named_by_the_result(jobs: Pipelines, name: str) -> None:
    end, which, host, msg = DEATHS[name]
    job = jobs.start()
    kill(jobs.processes(job, end)[which])
    result = jobs.result(job)
    assert result["failed"] and (result["cause"]["kind"], result["cause"]["host"]) == ("end", host)
    assert result["msg"].startswith(msg)


def test_both_processes_of_an_end_are_killed(jobs: Pipelines) -> None:
    """The task's host only sees that the control connection is lost; something may have been changed."""
    job = jobs.start()
    pids = jobs.processes(job, "end2")
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    result = jobs.result(job)
    assert result["failed"] and result["cause"]["host"] == "h3" and result["changed"]
    assert "its control connection was lost" in result["msg"]


def test_pipe_cancels_it(jobs: Pipelines) -> None:
    job = jobs.start()
    done = playbook.run(jobs.fleet, pipe(cancel=job, _vars=jobs.vars), hosts="h1").result
    assert (done["changed"], done["msg"]) == (True, f"the job {job} on h1 was stopped")
    result = jobs.state(job)
    assert result["failed"] and result["cause"]["kind"] == "stopped"
    assert result["msg"].startswith("on h1: the job was stopped by SIGTERM")


def test_check_mode_leaves_a_finished_job(jobs: Pipelines) -> None:
    done = playbook.run(jobs.fleet, {**jobs.task(poll=1), "check_mode": True}, hosts="h1", rc=None)
    if done.only.status == "failed":  # ansible-core 2.16
        assert done.result["msg"] == "check mode and async cannot be used on same task."
    else:
        assert done.result["msg"] == "would run source on h2, sink on h3" and not list(jobs.folder.iterdir())


def test_what_starts_nothing_is_not_polled(jobs: Pipelines) -> None:
    stages = jobs.apart(cmd="not-there")
    done = playbook.run(jobs.fleet, jobs.task(poll=1, stages=stages), hosts="h1", rc=2)
    assert done.result["msg"].startswith("sink on h3: there is no 'not-there' in PATH ")
    assert not jobs.folder.exists() or not list(jobs.folder.iterdir())
