# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""transfer with hosts and async, over ssh: the chain outlives its controller, and the task's host keeps the result."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .conftest import make_fleet
from .playbook import Started, pipe
from .test_async import Jobs, clear_up, cut_off, kill
from .test_transfer import OLD, TRANSFER
from .test_transfer_hosts import DEST, FOLDER, GONE, MIB, NEW, SAME, hold, inside, large, same, sinks, told
from .together import Play, alone

NAMES = ["h2", "h3", "h4"]
VOLATILE = {"elapsed", "run", "link", "started", "finished", "ansible_job_id", "results_file", "diff", "warnings"}
SLOW = "20k"  # bytes a second: it does not end by itself while a test looks at it


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    yield from make_fleet(["h1", *NAMES], tmp_path_factory.mktemp("fleet"))


class Chains(Jobs):
    """From h1 to the others, with an old file on each of them; the task's host is ``home``."""

    home = "h1"

    def __init__(self, fleet: Fleet, work: Path) -> None:
        super().__init__(fleet, work)
        self.path = large(work, 8 * MIB)
        for name in NAMES:
            fleet[name].run(["sh", "-c", f"mkdir -p {FOLDER}; printf %s '{OLD}' >{DEST}"])

    def task(self, seconds: int = 600, poll: int = 0, **options: Any) -> dict[str, Any]:
        more = {key[1:]: value for key, value in options.items() if key.startswith("_")}
        given = {key: value for key, value in options.items() if not key.startswith("_")}
        given = {"src": str(self.path), "dest": DEST, "peer": "h1", "hosts": NAMES, **given}
        return {"run_once": True, "vars": self.vars, "async": seconds, "poll": poll, TRANSFER: given, **more}

    def start(self, **options: Any) -> str:
        """The job of such a task, which the playbook has left running."""
        result = playbook.run(self.fleet, self.task(**options), hosts=self.home).result
        assert (result["changed"], result["started"], result["finished"]) == (True, True, False)
        return str(result["ansible_job_id"])

    def old(self, *names: str) -> bool:
        """Whether these hosts have the old file, and nothing else that a transfer leaves."""
        hosts = [self.fleet[name] for name in names]
        return all(host.run(["cat", DEST]).stdout == OLD and inside(host) == ["dest"] for host in hosts)

    def new(self, *names: str) -> bool:
        return all(same(self.fleet[name], self.path) for name in names)


@pytest.fixture
def jobs(fleet: Fleet, work: Path) -> Chains:
    return Chains(fleet, work)


def lasting(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in VOLATILE and not key.startswith("_ansible")}


# the task's host: the source, one in the middle of the chain, and one that is neither; and the hosts of the task
HOMES = {"source": ("h1", NAMES), "middle": ("h3", NAMES), "apart": ("h4", ["h2", "h3"])}


@pytest.mark.parametrize(("where", "encryption"), [("source", "none"), ("middle", "required"), ("apart", "none")])
def test_the_result_is_that_of_an_attached_run(jobs: Chains, where: str, encryption: str) -> None:
    """With a host that cannot be reached, and one that only needs another mode; then there is nothing to do."""
    home, hosts = HOMES[where]
    jobs.fleet["h2"].run(["cp", "-p", str(jobs.path), DEST])
    for name in hosts:
        jobs.fleet[name].run(["cp", "-p", DEST, f"{FOLDER}/other"])
    options: dict[str, Any] = {"mode": "0604", "encryption": encryption, "backup": True}
    whole = {**options, "hosts": hosts}
    attached = {**jobs.task(**options, hosts=[*hosts, "gone"], dest=f"{FOLDER}/other"), "async": 0, "diff": True}
    done = alone(jobs.fleet, Play([
        {"name": "attached", **attached},
        {"name": "detached", **jobs.task(**options, hosts=[*hosts, "gone"], poll=1), "diff": True},
        {"name": "again", **jobs.task(**whole, poll=1)},
    ], hosts=home, more=GONE, rc=None))  # fmt: skip
    first, second, again = (done.of(name) for name in ("attached", "detached", "again"))
    assert (first.status, second.status, again.status) == ("failed", "failed", "ok")
    wanted = {**dict.fromkeys(hosts, NEW), "gone": (False, False, "unreachable")}
    assert told(second.result) == wanted and second.result["finished"] and second.result["run"], second.result
    backups = [
        {name: bool(each.pop("backup_file")) for name, each in found.result["hosts"].items()}
        for found in (first, second)
    ]
    assert backups[0] == backups[1] == {**dict.fromkeys(hosts, True), "h2": False, "gone": False}
    assert lasting(first.result) == {key: second.result[key] for key in lasting(first.result)}
    shown = [json.loads(json.dumps(each.result["diff"]).replace(f"{FOLDER}/other", DEST)) for each in (first, second)]
    assert [each["after"] for each in shown[0]] == [each["after"] for each in shown[1]] and len(shown[0]) == len(hosts)
    assert (told(again.result), again.result["changed"]) == (dict.fromkeys(hosts, SAME), False)
    assert again.result["finished"] and again.result["run"] is None and again.result["msg"] == "ok"
    assert jobs.new(*hosts) and not list(jobs.folder.iterdir())


def held(jobs: Chains, **options: Any) -> tuple[Started, int, list[int]]:
    """A job whose sender is stopped before it has sent all: (the playbook that polls, the sender, the sinks)."""
    play = playbook.start(jobs.fleet, jobs.task(poll=1, rate_limit="1M", **options), hosts=jobs.home)
    sender = hold(play, jobs.fleet["h1"], jobs.path)
    while True:
        found = [pid for name in NAMES for pid in sinks(jobs.fleet[name])]
        if len(found) == len(NAMES):
            return play, sender, found
        assert play.process.poll() is None, play.said()
        os.kill(sender, signal.SIGCONT)  # a sink starts with the first byte
        time.sleep(0.02)
        os.kill(sender, signal.SIGSTOP)


@pytest.mark.parametrize("who", ["program", "end", "both"])
def test_a_host_in_the_middle_that_dies(jobs: Chains, who: str) -> None:
    """Those before it get the file, those behind it do not: its program, its end, or that and its guard are killed."""
    jobs.home = "h4"
    play, sender, sinks = held(jobs)
    (job,) = [path.name for path in jobs.folder.iterdir() if not path.suffix]
    ends = jobs.processes(job, "destination 2")
    victims = {"program": [sinks[1]], "end": ends[-1:], "both": ends}[who]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in victims:
            os.kill(pid, number)
    os.kill(sender, signal.SIGCONT)
    result = play.wait(240).result
    kind = "failed" if who == "program" else "end"
    # its end is killed with all that it runs: then nobody knows what that has done
    dead, stopped = (False, result["hosts"]["h3"]["changed"], kind), (False, False, "stopped")
    assert told(result) == {"h2": NEW, "h3": dead, "h4": stopped}, result
    assert dead[1] is False or who != "program"
    assert (result["cause"]["kind"], result["cause"]["host"], result["changed"]) == (kind, "h3", True)
    assert result["msg"].startswith(f"2 of 3 hosts failed, h3 ({kind}), h4 (stopped): ")
    assert result["hosts"]["h4"]["cause"]["msg"] == "the file did not arrive, because h3 failed"
    assert jobs.new("h2") and jobs.old("h4") and jobs.fleet["h3"].run(["cat", DEST]).stdout == OLD
    again = playbook.run(jobs.fleet, jobs.task(poll=1), hosts=jobs.home).result
    assert told(again) == {"h2": SAME, "h3": NEW, "h4": NEW} and jobs.new(*NAMES)
    assert all(inside(jobs.fleet[name]) == ["dest"] for name in NAMES)


def test_it_outlives_the_playbook_and_its_logins(jobs: Chains) -> None:
    """Killed with -9 while it polls, and all logins with it, in the middle of the file."""
    play, sender, _sinks = held(jobs)
    (job,) = [path.name for path in jobs.folder.iterdir() if not path.suffix]
    cut_off(jobs.fleet, play)
    os.kill(sender, signal.SIGCONT)
    result = jobs.result(job, 240)
    clear_up(jobs.fleet)
    assert (result["msg"], told(result)) == ("ok", dict.fromkeys(NAMES, NEW)) and jobs.new(*NAMES)
    assert all(inside(jobs.fleet[name]) == ["dest"] for name in NAMES)


def test_what_keeps_the_job_is_killed(jobs: Chains) -> None:
    """All stop, and what is beside it writes the result."""
    job = jobs.start(rate_limit=SLOW)
    kill(jobs.processes(job, "home")[0])
    result = jobs.result(job, 240)
    assert told(result) == dict.fromkeys(NAMES, (False, True, "end"))
    assert result["cause"]["msg"] == "on h1: the process that keeps the job was killed" and result["changed"]
    deadline = time.monotonic() + 60
    while not jobs.old(*NAMES):
        assert time.monotonic() < deadline, [inside(jobs.fleet[name]) for name in NAMES]
        time.sleep(0.05)


@pytest.mark.parametrize("home", ["h1", "h3"])
def test_pipe_cancels_it(jobs: Chains, home: str) -> None:
    """Its progress is that of the source.  No host is to blame, though one of them may also be the task's."""
    jobs.home = home
    job = jobs.start(rate_limit=SLOW)
    deadline = time.monotonic() + 60
    while "progress" not in jobs.state(job):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    progress = jobs.state(job)["progress"]
    assert progress["expected"] == 8 * MIB and progress["percent"] is not None and progress["bytes"]
    done = playbook.run(jobs.fleet, pipe(cancel=job, _vars=jobs.vars), hosts=home).result
    assert (done["changed"], done["msg"]) == (True, f"the job {job} on {home} was stopped")
    result = jobs.result(job, 240)
    assert told(result) == dict.fromkeys(NAMES, (False, False, "stopped"))
    assert (result["cause"]["kind"], result["cause"]["host"]) == ("stopped", home)
    assert result["cause"]["msg"].startswith(f"on {home}: the job was stopped by SIGTERM")
    assert {each["cause"]["msg"] for each in result["hosts"].values()} == {result["cause"]["msg"]}
    assert jobs.old(*NAMES)


def test_check_mode_leaves_a_finished_job(jobs: Chains) -> None:
    task = {**jobs.task(poll=1), "check_mode": True}
    done = playbook.run(jobs.fleet, task, hosts="h3", rc=None)
    if done.only.status == "failed":  # ansible-core 2.16
        assert done.result["msg"] == "check mode and async cannot be used on same task."
    else:
        assert done.result["msg"] == "would transfer it to 3 of 3 hosts" and not list(jobs.folder.iterdir())
        assert told(done.result) == dict.fromkeys(NAMES, NEW)
    assert jobs.old(*NAMES)


def test_what_starts_nothing_is_not_polled(jobs: Chains) -> None:
    """A missing source; a task's host that cannot be reached, which stays in the play; no place for the result."""
    jobs.folder.touch()
    missing = jobs.task(poll=1, src=f"{jobs.work}/not-there")
    done = alone(jobs.fleet, Play([
        {"name": "missing", **missing},
        {"name": "no folder", **jobs.task(poll=1)},
    ], rc=None))  # fmt: skip
    gone = alone(jobs.fleet, Play([{"name": "gone", **jobs.task(poll=1)}], hosts="gone", more=GONE, rc=2)).of("gone")
    first, second = done.of("missing").result, done.of("no folder").result
    assert (first["cause"]["kind"], first["cause"]["host"]) == ("not found", "h1")
    assert second["msg"].startswith("3 of 3 hosts failed, h2 (stopped), ") and "async_dir" in second["msg"]
    assert (second["cause"]["kind"], second["cause"]["host"], second["changed"]) == ("refused", "h1", False)
    assert gone.status == "failed" and gone.result["cause"]["host"] == "gone" and not gone.result["changed"]
    assert jobs.old(*NAMES)
