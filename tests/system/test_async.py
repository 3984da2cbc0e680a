# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that outlive their controller, over ssh."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .anatomy import RELAYS, processes
from .between import sniffing
from .playbook import Started, pipe
from .traces import everyone

LINES = "sh -c 'echo one; while [ ! -e {go} ]; do sleep 0.05; done; echo two'"
STATUS = "ansible.builtin.async_status"


class Jobs:
    """Runs with async on h1, whose peer is h2, and their files, in a directory that only this test uses."""

    def __init__(self, fleet: Fleet, work: Path) -> None:
        self.fleet, self.work, self.folder = fleet, work, work / "jobs"
        self.go = work / "go"
        self.vars = {"ansible_async_dir": str(self.folder)}

    def task(self, seconds: int = 120, poll: int = 0, **options: Any) -> dict[str, Any]:
        given = {"input": LINES.format(go=self.go), "remote": "cat", "peer": "h2", "fact": True, **options}
        return pipe(_async=seconds, _poll=poll, _vars=self.vars, **given)

    def start(self, **options: Any) -> str:
        """The job of such a task, which the playbook has left running."""
        result = playbook.run(self.fleet, self.task(**options), hosts="h1").result
        assert (result["changed"], result["started"], result["finished"]) == (True, True, False)
        assert result["results_file"] == str(self.folder / result["ansible_job_id"])
        return str(result["ansible_job_id"])

    def state(self, job: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / job).read_text(encoding="utf-8")))

    def result(self, job: str, seconds: float = 60.0) -> dict[str, Any]:
        """What the job has come to, as its host knows it; waits for it."""
        deadline = time.monotonic() + seconds
        while not self.state(job)["finished"]:
            assert time.monotonic() < deadline, self.state(job)
            time.sleep(0.05)
        found = self.state(job)
        assert (found["started"], found["ansible_job_id"], found["run"]) == (True, job, job)
        return found

    def processes(self, job: str, end: str) -> list[int]:
        """pids of an end, from the outermost: at home what keeps the job, then the guard and the end."""
        all_of_them = processes(*everyone(self.fleet))
        own = [each for each in all_of_them if each.label == f"{job}:{end}" and each.name not in RELAYS]
        found = {each.pid: each.ppid for each in own if each.is_python}
        return sorted(found, key=lambda pid: depth(pid, found))


def depth(pid: int, parents: dict[int, int]) -> int:
    return 1 + depth(parents[pid], parents) if pid in parents else 0


@pytest.fixture
def jobs(fleet: Fleet, work: Path) -> Jobs:
    return Jobs(fleet, work)


def test_ansible_polls_for_the_result(jobs: Jobs) -> None:
    jobs.go.touch()
    result = playbook.run(jobs.fleet, jobs.task(poll=1), hosts="h1").result
    assert (result["stages"][-1]["stdout"], result["bytes"]) == ("one\ntwo\n", 8)
    assert result["finished"] and result["ansible_job_id"] == result["run"]
    assert result["ansible_facts"]["socketpipe"]["bytes"] == 8
    assert not list(jobs.folder.iterdir())


def test_another_playbook_takes_the_result(jobs: Jobs) -> None:
    job = jobs.start()
    status = {STATUS: {"jid": job}, "vars": jobs.vars}
    assert not playbook.run(jobs.fleet, status, hosts="h1").result["finished"]
    assert (jobs.folder / job).stat().st_mode & 0o777 == 0o600
    jobs.go.touch()
    jobs.result(job)
    result = playbook.run(jobs.fleet, status, hosts="h1").result
    assert result["finished"] and result["stages"][-1]["stdout"] == "one\ntwo\n" and result["msg"] == "ok"


def test_it_outlives_the_playbook_and_its_logins(jobs: Jobs) -> None:
    """Killed with -9 while it polls, and the masters of ssh with it: not a byte is missing."""
    fleet = jobs.fleet
    size = 3_000_000
    source = (
        f"sh -c 'head -c {size} /dev/zero; while [ ! -e {jobs.go} ]; do sleep 0.05; done; head -c {size} /dev/zero'"
    )
    play = playbook.start(fleet, jobs.task(poll=1, input=source, remote="wc -c"), hosts="h1")
    deadline = time.monotonic() + 60
    while not (jobs.folder.exists() and list(jobs.folder.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (job,) = [path.name for path in jobs.folder.iterdir()]
    cut_off(fleet, play)
    jobs.go.touch()
    result = jobs.result(job)
    clear_up(fleet)
    assert result["stages"][-1]["stdout"] == f"{2 * size}\n" and result["bytes"] == 2 * size and result["msg"] == "ok"


def cut_off(fleet: Fleet, play: Started) -> None:
    """Kill a playbook, and all logins."""
    for each in processes(*everyone(fleet)):
        if each.host == fleet.controller.name and each.name in ("ansible-playboo", "ssh", "python3"):
            kill(each.pid)
    play.wait()
    for left in (fleet.directory / "plays" / "home" / "tmp").glob("ansible-local-*"):
        shutil.rmtree(left)  # ansible-playbook had no time for that
    for each in processes(*everyone(fleet)):
        if each.name == "sshd" and "@" in each.argv[0] or each.name.startswith("sshd-session"):
            kill(each.pid)


def clear_up(fleet: Fleet) -> None:
    """Remove what a killed playbook had no time to: the directory of the module that asked for the result just then."""
    for host in fleet:
        host.run(["sh", "-c", "rm -rf /root/.ansible/tmp/ansible-tmp-*"])


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


# who is killed, which of its processes, and what the result says
DEATHS = {
    "the end afar": ("peer", -1, "end", "h2", "on h2: the end was killed by SIGKILL"),
    "the guard afar": ("peer", 0, "end", "h2", "on h2: the guard was killed"),
    "the end at home": ("remote", -1, "end", "h1", "on h1: the end was killed by SIGKILL"),
    "the guard at home": ("remote", 1, "end", "h1", "on h1: the guard was killed"),
    "what keeps the job": ("remote", 0, "end", "h1", "on h1: the process that keeps the job was killed"),
}


AFAR = [name for name in DEATHS if name.endswith("afar")]


@pytest.mark.parametrize(("name", "encryption"), [*((name, "none") for name in DEATHS), *((n, "relay") for n in AFAR)])
def test_who_dies_is_named_by_the_result(jobs: Jobs, name: str, encryption: str) -> None:
    """Also if what an end afar and its guard report goes through a relay."""
    end, which, kind, host, msg = DEATHS[name]
    job = jobs.start(encryption=encryption)
    found = {each: jobs.processes(job, each) for each in ("remote", "peer")}
    assert [len(pids) for pids in found.values()] == [3, 2]
    kill(found[end][which])
    result = jobs.result(job)
    assert result["failed"] and (result["cause"]["kind"], result["cause"]["host"]) == (kind, host)
    assert result["msg"].startswith(msg)


@pytest.mark.parametrize("encryption", ["none", "relay"])
def test_both_processes_of_the_other_end_are_killed(jobs: Jobs, encryption: str) -> None:
    """Nobody there can report: the loss of the control connection tells."""
    job = jobs.start(encryption=encryption)
    pids = jobs.processes(job, "peer")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        kill(pid)
    result = jobs.result(job)
    assert result["failed"] and result["cause"]["host"] == "h2" and "control connection" in result["msg"]


# which processes of home are killed at once, and what the one that is left says
TOGETHER = {
    "all but the guard": ((0, 2), "on h1: the process that keeps the job was killed"),
    "all but what keeps the job": ((1, 2), "on h1: its end was lost: it ended without a report"),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_who_is_left_writes_the_result(jobs: Jobs, name: str) -> None:
    which, msg = TOGETHER[name]
    job = jobs.start()
    found = jobs.processes(job, "remote")
    for each in which:
        os.kill(found[each], signal.SIGSTOP)
    for each in which:
        with contextlib.suppress(ProcessLookupError):  # who is left may be first
            os.kill(found[each], signal.SIGKILL)
    result = jobs.result(job)
    assert (result["cause"]["kind"], result["cause"]["host"], result["msg"][: len(msg)]) == ("end", "h1", msg)


# options of the task; and what its result is
NOT_STARTED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no such command": ({"remote": "not-there"}, "failed", "remote on h1: there is no 'not-there' in PATH "),
    "no such command afar": ({"input": "not-there"}, "failed", "input on h2: there is no 'not-there' in PATH "),
    "skipped": ({"remote": {"cmd": "cat", "creates": "/etc/passwd"}}, "skipped", "skipped, since remote: /etc/passwd"),
    "preflight": ({"preflight": True}, "failed", "preflight: it starts nothing, so leave out async"),
}


@pytest.mark.parametrize("name", NOT_STARTED)
def test_what_fails_or_is_skipped_before_the_start_is_not_polled(jobs: Jobs, name: str) -> None:
    options, status, msg = NOT_STARTED[name]
    done = playbook.run(jobs.fleet, jobs.task(poll=1, **options), hosts="h1", rc=None)
    assert (done.only.status, done.result["msg"][: len(msg)]) == (status, msg)
    assert not jobs.folder.exists() or not list(jobs.folder.iterdir())


def test_a_directory_that_cannot_be_made(jobs: Jobs) -> None:
    jobs.folder.touch()
    done = playbook.run(jobs.fleet, jobs.task(), hosts="h1", rc=2)
    assert f"h1: the file of the job, {jobs.folder}/" in done.result["msg"] and "async_dir" in done.result["msg"]
    assert "Not a directory" in done.result["msg"] or "File exists" in done.result["msg"]


def test_a_failure_is_a_failed_task(jobs: Jobs) -> None:
    done = playbook.run(jobs.fleet, jobs.task(poll=1, input="sh -c 'echo x; echo why >&2; exit 3'"), hosts="h1", rc=2)
    result = done.result
    assert done.only.status == "failed" and result["finished"]
    assert result["cause"]["stage"] == "input" and result["msg"].endswith("failed with exit status 3: why")


@pytest.mark.parametrize("encryption", ["required", "none"])
def test_no_byte_of_an_encrypted_job_is_on_the_wire_in_clear(jobs: Jobs, encryption: str) -> None:
    """What commands have said comes over the control connection, to the host that keeps the result."""
    stream, said = "MARK-OF-THE-DATA", "MARK-OF-THE-REPORT"
    source = f"sh -c 'yes {stream} | head -n 100000; echo {said.lower()} | tr a-z A-Z >&2; exit 3'"
    with sniffing(jobs.fleet, [stream, said]) as sniffer:
        result = jobs.result(jobs.start(input=source, encryption=encryption))
    assert sniffer.frames > 100
    assert result["stages"][0]["rc"] == 3 and said in result["stages"][0]["stderr"]
    assert result["links"][0]["encryption"] is None or encryption != "none"
    assert [sniffer.found[marker] > 0 for marker in (stream, said)] == [encryption == "none"] * 2


def test_an_encrypted_job_outlives_its_logins(jobs: Jobs) -> None:
    job = jobs.start(encryption="required")
    jobs.go.touch()
    result = jobs.result(job)
    assert result["msg"] == "ok" and result["links"][0]["encryption"]["how"] in ("relay", "kernel")
    assert result["stages"][-1]["stdout"] == "one\ntwo\n"


def test_its_time_is_limited_by_async(jobs: Jobs) -> None:
    result = jobs.result(jobs.start(seconds=2))
    assert result["failed"] and result["cause"]["kind"] == "stopped"
    assert result["msg"] == "on h1: the job was stopped after 2 s, the limit that its task sets (async)"


def test_a_job_is_cancelled(jobs: Jobs) -> None:
    fleet = jobs.fleet
    job = jobs.start()
    cancel = pipe(cancel=job, _vars=jobs.vars)
    first, second, other, wrong = (
        playbook.run(fleet, each, hosts="h1", rc=None).result
        for each in (cancel, cancel, pipe(cancel="ab" * 16, _vars=jobs.vars), pipe(cancel="../x", _vars=jobs.vars))
    )
    assert (first["changed"], first["msg"]) == (True, f"the job {job} on h1 was stopped")
    result = jobs.state(job)
    assert result["failed"] and (result["cause"]["kind"], result["cause"]["host"]) == ("stopped", "h1")
    assert result["msg"].startswith("on h1: the job was stopped by SIGTERM")
    assert (second["changed"], second["msg"]) == (False, f"the job {job} on h1 has ended before")
    assert other["msg"].startswith(f"there is no job {'ab' * 16} on h1: is it another host")
    assert wrong["msg"].startswith("cancel: '../x' is no ansible_job_id of a run")


def test_no_log_hides_what_commands_have_said(jobs: Jobs) -> None:
    task = {**jobs.task(input="sh -c 'echo x; echo secret >&2; exit 3'"), "no_log": True}
    playbook.run(jobs.fleet, task, hosts="h1")
    (path,) = jobs.folder.iterdir()
    result = jobs.result(path.name)
    assert result["failed"] and "secret" not in path.read_text(encoding="utf-8")
    assert result["msg"] == "input on h2: failed (no_log hides the rest)"
    assert result["stages"][0]["rc"] == 3


@pytest.mark.parametrize(
    ("options", "expected", "percent"), [({}, None, None), ({"expect": {"shell": "echo size 16"}}, 16, 25)]
)
def test_progress_is_in_the_file(
    jobs: Jobs, options: dict[str, Any], expected: int | None, percent: int | None
) -> None:
    job = jobs.start(**options)
    deadline = time.monotonic() + 60
    while "progress" not in jobs.state(job):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    progress = jobs.state(job)["progress"]
    assert (progress["bytes"], progress["expected"], progress["percent"]) == (4, expected, percent)
    assert progress["elapsed"] > 0 and (percent is None or progress["left"] > progress["elapsed"])
    jobs.go.touch()
    assert jobs.result(job)["bytes"] == 8


def test_become(jobs: Jobs) -> None:
    """The file belongs to that user, in the directory of that user."""
    jobs.go.touch()
    task = pipe(input=LINES.format(go="/"), remote="sh -c 'id -un; cat'", peer="h2", _async=60, _poll=1, _become=True)
    task["become_user"] = "backup1"
    task["vars"] = {"ansible_async_dir": "~/jobs"}
    result = playbook.run(jobs.fleet, task, hosts="h1").result
    assert result["stages"][-1]["stdout"].split() == ["backup1", "one", "two"]
    assert result["results_file"].endswith("/backup1/jobs/" + result["run"])
    jobs.fleet["h1"].run(["rm", "-r", os.path.dirname(result["results_file"])])


def test_check_mode_leaves_a_finished_job(jobs: Jobs) -> None:
    """ansible-core polls in check mode, too."""
    done = playbook.run(jobs.fleet, {**jobs.task(poll=1), "check_mode": True}, hosts="h1", rc=None)
    if done.only.status == "failed":  # ansible-core 2.16
        assert done.result["msg"] == "check mode and async cannot be used on same task."
    else:
        assert done.result["msg"] == "would run input on h2, remote on h1" and not list(jobs.folder.iterdir())
