# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that outlive their controller, by every kind of login, and with the keywords of tasks."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import ROOT_PASSWORD, Fleet

from . import batch
from .anatomy import AnatomyOfJob, gone, processes, until
from .batch import OWN_LOGIN, Case
from .conftest import empty_scratch, sudo_requires_a_tty
from .playbook import Done, pipe
from .test_async import LINES, STATUS, Jobs
from .together import At, Play, together
from .traces import SCRATCH, everyone

SUDO = pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed")
LOCAL = {"ansible_connection": "local"}
SU = {"ansible_user": "backup1", "ansible_become_method": "su", "ansible_become_password": ROOT_PASSWORD}
TT = {"ansible_ssh_extra_args": "-tt", **OWN_LOGIN}  # of a master connection, ssh asks for a terminal in vain
FORCED = {"ansible_ssh_extra_args": "-o RequestTTY=force", **OWN_LOGIN}
# how to log in to the task's host, and to its peer, if that is not the same; whether to become root; who it is then
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, bool, str]] = {
    "tt": (TT, None, False, "root"),
    "forced": (FORCED, None, False, "root"),
    "requiretty": ({"ansible_user": "backup1"}, None, True, "root"),
    "requiretty-tt": ({"ansible_user": "backup1", **TT}, None, True, "root"),
    "su": (SU, None, True, "root"),
    "su-tt": ({**SU, **TT}, None, True, "root"),
    "local": (LOCAL, {}, False, "root"),
    "other": ({}, LOCAL, False, "root"),
    "user": ({"ansible_user": "backup2"}, {}, False, "backup2"),
}
WITH_SUDO = ("requiretty", "requiretty-tt")


# -- by every kind of login


@pytest.fixture(scope="module")
def requiretty(fleet: Fleet) -> Iterator[None]:
    yield from sudo_requires_a_tty(fleet)


@pytest.fixture(scope="module")
def results(fleet: Fleet, requiretty: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What their jobs have come to.  They go on only when the tasks, and with them the logins, are over."""
    empty_scratch(fleet)
    go = fleet.directory / "work" / "go"
    go.parent.mkdir(exist_ok=True)
    cases, peers = {}, {}
    for name, (own, other, become, _user) in WAYS.items():
        if name in WITH_SUDO and not shutil.which("sudo"):
            continue
        task = pipe(
            input=LINES.format(go=go),
            remote={"shell": "cat; id -un"},
            peer=f"{name}-peer",
            peer_become=become and other is None,
            _become=become,
            _async=300,
            _poll=0,
        )
        cases[name] = Case(task, variables={**own, "ansible_async_dir": f"{SCRATCH}/{name}"})
        peers[f"{name}-peer"] = {"ansible_host": fleet["h2"].address, **(own if other is None else other)}
    started = batch.run(fleet, cases, more=peers)
    assert {name for name, outcome in started.items() if not outcome.result.get("started")} == set(), started
    assert not [proc for proc in processes(fleet.controller) if proc.name == "ssh" and proc.label]
    go.touch()
    found = {}
    for name, outcome in started.items():
        assert outcome.result["results_file"] == f"{SCRATCH}/{name}/{outcome.result['ansible_job_id']}"
        home = fleet.controller if name == "local" else fleet["h1"]
        found[name] = wait_for(home.outside(outcome.result["results_file"]))
    runs = [result["run"] for result in found.values()]
    assert gone(fleet, runs=runs, timeout=30) == []
    return found


def wait_for(path: Path) -> dict[str, Any]:
    """The result of a job."""

    def result() -> dict[str, Any]:
        state = dict(json.loads(path.read_text(encoding="utf-8")))
        return state if state["finished"] else {}

    return dict(until(f"the result {path}", result, 120))


@pytest.mark.parametrize("name", WAYS)
def test_a_job_outlives_each_kind_of_login(results: dict[str, dict[str, Any]], name: str) -> None:
    if name not in results:
        pytest.skip("sudo is not installed")
    result = results[name]
    assert (result["msg"], result["stages"][-1]["stdout"]) == ("ok", f"one\ntwo\n{WAYS[name][3]}\n")


# -- keywords of tasks


def play(at: At, **options: Any) -> Play:
    folder = at.work / "jobs"
    return Play(keywords={"vars": {"ansible_async_dir": str(folder)}}, **options)


def polled(**options: Any) -> dict[str, Any]:
    return pipe(_async=120, _poll=1, peer="h2", **options)


@together(
    lambda at: play(
        at,
        tasks=[
            polled(input="echo {{ item }}", remote="cat", _loop=["a", "b"]),
            {**pipe(input="echo {{ item }}", remote="cat", peer="h2", _async=120, _poll=0), "loop": ["c", "d"]},
        ],
    )
)
def test_a_loop(done: Done) -> None:
    """Each has a job of its own."""
    both, left = (result["results"] for result in done.results)
    assert [each["stages"][-1]["stdout"] for each in both] == ["a\n", "b\n"]
    assert len({each["ansible_job_id"] for each in (*both, *left)}) == 4


@together(
    lambda at: play(
        at,
        tasks=[
            {
                **pipe(input="echo {{ item }}", remote="cat", peer="h2", _async=120, _poll=0),
                "loop": ["c", "d"],
                "register": "started",
            },
            {
                STATUS: {"jid": "{{ item.ansible_job_id }}"},
                "loop": "{{ started.results }}",
                "loop_control": {"label": "{{ item.item }}"},
                "register": "jobs",
                "until": "jobs is finished",
                "retries": 600,
                "delay": 0.2,
            },
        ],
    )
)
def test_jobs_of_a_loop_are_waited_for(done: Done) -> None:
    said = [each["stages"][-1]["stdout"] for each in done.results[1]["results"]]
    assert said == ["c\n", "d\n"]


@together(
    lambda at: play(
        at,
        tasks=[
            {
                **polled(input={"shell": f"echo x >>{at.work}/tries; cat {at.work}/tries"}, remote="cat"),
                "register": "tried",
                "until": "tried.bytes | default(0) == 4",
                "retries": 5,
                "delay": 0,
            }
        ],
    )
)
def test_until(done: Done) -> None:
    """Each attempt is another job."""
    assert (done.result["attempts"], done.result["stages"][-1]["stdout"]) == (2, "x\nx\n")
    assert len({each.result["ansible_job_id"] for each in (*done.outcomes, *done.retries)}) == 2


@together(
    lambda at: play(
        at,
        tasks=[
            polled(input="echo x", remote="cat", _register="said", _failed_when="said.bytes == 2"),
            polled(input="false", remote="cat", _register="said", _failed_when=False, _changed_when=False),
        ],
        ignore_errors=True,
    )
)
def test_failed_when(done: Done) -> None:
    """It is asked about the result of the job."""
    first, second = done.outcomes
    assert (first.status, first.result["failed_when_result"], first.result["msg"]) == ("failed", True, "ok")
    assert (second.status, second.result["changed"], second.result["cause"]["stage"]) == ("ok", False, "input")


@together(
    lambda at: play(
        at,
        tasks=[
            pipe(input="hostname", remote={"shell": "cat; hostname"}, _async=60, _poll=1, _delegate_to="h2", peer="h1"),
            pipe(input="true", remote="hostname", _async=60, _poll=1, _delegate_to="localhost", peer="h1"),
        ],
    )
)
def test_delegate_to(fleet: Fleet, done: Done) -> None:
    """That host is home, and polled."""
    first, second = done.results
    assert first["stages"][-1]["stdout"] == "h1\nh2\n" and first["stages"][-1]["host"] == "h2"
    assert second["stages"][-1]["stdout"].strip() == fleet.controller.run(["hostname"]).stdout.strip()


@together(
    lambda at: play(
        at, tasks=[pipe(input="echo x", remote="cat", _async=60, _poll=1, **more) for more in ({}, {"peer": "h2"})]
    )
)
def test_a_side_on_the_controller_is_warned_of(done: Done) -> None:
    """In a container it ends with the job."""
    warned = "[WARNING]: async: one side of this run is on the controller."
    assert [result["msg"] for result in done.results] == ["ok", "ok"]
    assert " ".join(done.stderr.split()).count(warned) == 1


# -- systemd


CGROUPS = [Path("/sys/fs/cgroup", name) for name in ("", "unified", "systemd")]


@pytest.fixture
def scope() -> Iterator[Path]:
    """A cgroup with a name that systemd gives to that of a login."""
    parent = next((each for each in CGROUPS if (each / "cgroup.procs").exists() and os.access(each, os.W_OK)), None)
    if not parent:
        pytest.skip("no cgroup can be made here")
    made = parent / f"session-{os.getpid()}.scope"
    made.mkdir()
    yield made
    until("the end of its processes", lambda: not (made / "cgroup.procs").read_text(encoding="ascii"), 60)
    made.rmdir()


@pytest.mark.parametrize("inside", [True, False])
def test_the_end_of_a_login_is_named(fleet: Fleet, work: Path, scope: Path, inside: bool) -> None:
    """As systemd ends the processes of a user who logs out; to a process elsewhere it would not do that."""
    jobs = Jobs(fleet, work)
    job = jobs.start()
    keeper = AnatomyOfJob(processes(*everyone(fleet)), job).part("remote keeper")
    if inside:
        (scope / "cgroup.procs").write_text(str(keeper.pid), encoding="ascii")
    os.kill(keeper.pid, signal.SIGTERM)
    result = jobs.result(job)
    assert result["cause"]["kind"] == "stopped" and result["msg"].startswith("on h1: the job was stopped by SIGTERM")
    assert ("KillUserProcesses" in result["msg"]) == inside, result["msg"]
