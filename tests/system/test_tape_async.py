# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores and verifications that outlive their job: what has come back is compared, also when nobody waits for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook, taping
from .anatomy import processes
from .playbook import pipe
from .taping import BLOCK
from .test_tape_detach import Gated, eventually, files_of
from .traces import everyone

RESTORE, VERIFY = "plumbing.socketpipe.tape_restore", "plumbing.socketpipe.tape_verify"
OF_JOB = {"started", "finished", "ansible_job_id", "results_file", "stdout", "stderr", "stdout_lines", "stderr_lines"}
NOT_RECORDED = "a restore with async is not recorded in the catalog as the last one of its host"


FLEET = taping.HOSTS


class Jobs(Gated):
    """Archives of h1 on a tape: a level 0, which a restore reads up to its middle until `go` exists, and a level 1."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(taping.make_site(fleet))
        waits = f"head -c {6 * BLOCK}; while [ ! -e {self.go} ]; do sleep 0.05; done; exec cat"
        self.own["h1"]["tape_filter"] = {"write": "cat", "read": ["sh", "-c", waits]}
        self.back = self.site.top / "back"
        shutil.rmtree(self.back, ignore_errors=True)
        self.run()
        taping.next_second()
        self.site.fill("h1", one=None, more="new")
        self.own["h1"]["tape_level"] = 1
        self.run()
        assert self.site.states() == [("h1", 0, "good"), ("h1", 1, "good")]

    def restore(self, **options: Any) -> dict[str, Any]:
        given = {"restore_host": "h1", "restore_to": str(self.back), "tape_filter": "{{ tape_filter }}", **options}
        return {RESTORE: given, "name": "restore"}

    def playbook(self, *tasks: dict[str, Any], hosts: str = "h1", rc: int = 0) -> playbook.Done:
        return playbook.run(self.site.fleet, tasks, hosts=hosts, inventory=self.site.variables(self.own), rc=rc)

    def begin(self, task: dict[str, Any]) -> Path:
        """The file of the job of a task that the playbook has left running."""
        result = self.playbook({**task, "async": 120, "poll": 0}).result
        assert (result["changed"], result["started"], result["finished"]) == (True, True, False)
        return Path(result["results_file"])

    def result(self, job: Path) -> dict[str, Any]:
        eventually(lambda: bool(json.loads(job.read_text())["finished"]))
        found = dict(json.loads(job.read_text()))
        job.unlink()
        return found

    def damage(self, number: int) -> None:
        """One byte of one of the archives."""
        path = self.site.tape() / f"{self.site.archives()[number]['file']:06d}"
        content = bytearray(path.read_bytes())
        content[-5000] ^= 1
        path.write_bytes(content)

    def restored(self) -> dict[str, str]:
        return taping.read(self.back / self.site.data("h1").relative_to("/"))


@pytest.fixture
def jobs(fleet: Fleet) -> Jobs:
    return Jobs(fleet)


def plain(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in OF_JOB and not key.startswith("_")}


def test_a_restore_is_what_it_would_be_without_async(jobs: Jobs) -> None:
    """Of two archives, one after the other."""
    jobs.go.touch()
    first = jobs.playbook(jobs.restore(restore_to=f"{jobs.back}/first")).result
    limit = {"async": 120, "poll": 1}
    second = jobs.playbook({**jobs.restore(restore_to=f"{jobs.back}/other"), **limit}).result
    assert second["finished"] and second["notes"] == [NOT_RECORDED] and not files_of(jobs.jobs)
    told = json.loads(json.dumps(plain(second)).replace(f"{jobs.back}/other", f"{jobs.back}/first"))
    assert told == {**plain(first), "notes": [NOT_RECORDED]}
    jobs.back /= "other"
    assert jobs.restored() == taping.read(jobs.site.data("h1")) and "one" not in jobs.restored()
    done = jobs.playbook({**jobs.restore(restore_drill=True), **limit}, rc=2)
    why = "restore_drill removes its files and records its date at its end, which takes this task: leave out async"
    assert (done.result["kind"], done.result["msg"]) == ("settings", why)


def test_the_job_is_killed_and_the_restore_goes_on(jobs: Jobs) -> None:
    tasks = [{**jobs.restore(), "async": 120, "poll": 60}]  # core has no module of its own on the host meanwhile
    play = playbook.start(jobs.site.fleet, tasks, hosts="h1", inventory=jobs.site.variables(jobs.own))
    eventually(jobs.back.exists)  # a part was read, so all have left their logins
    (job,) = jobs.jobs.iterdir()
    jobs.kill_job(play)
    assert not json.loads(job.read_text())["finished"]
    jobs.go.touch()
    result = jobs.result(job)
    assert not result.get("failed"), result
    assert result["msg"] == f"{result['files']} files in {jobs.back} of h1" and result["verified"]
    assert [each["compared"] for each in result["archives"]] == [True, True]
    assert jobs.restored() == taping.read(jobs.site.data("h1"))


def test_a_damaged_archive_and_one_that_is_stopped(jobs: Jobs) -> None:
    """Nobody waits, and the second archive is not read."""
    jobs.damage(0)
    job = jobs.begin(jobs.restore())
    done = jobs.playbook(pipe(cancel=job.name))
    assert done.result["msg"] == f"the job {job.name} on h1 was stopped"
    stopped = jobs.result(job)
    assert stopped["failed"] and stopped["kind"] == "stopped" and "SIGTERM" in stopped["msg"]
    assert stopped["msg"].endswith("This restore is incomplete: start again with another restore_to")
    jobs.go.touch()
    jobs.back /= "second"
    result = jobs.result(jobs.begin(jobs.restore()))
    assert result["failed"] and result["changed"] and result["kind"] == "failed", result
    assert (
        result["msg"].startswith("h1: these are not the ") and f"do not trust the files in {jobs.back}" in result["msg"]
    )
    assert "more" not in jobs.restored() and not {"verified", "files"} & {*result}
    eventually(lambda: not [each for each in processes(*everyone(jobs.site.fleet)) if each.label])


def test_the_output_of_a_command(jobs: Jobs) -> None:
    """Its reader sees no end of file unless all of it was right."""
    target = jobs.site.top / "target"
    reads = ["sh", "-c", f"cat > {target}.part && mv {target}.part {target}"]
    sources = [{"name": "shop", "cmd": "head -c 3000000 /dev/zero", "restore": reads}]
    jobs.own["h1"].update(tape_sources=sources, tape_paths=[], tape_filter=[])
    jobs.run()
    task = {RESTORE: {"restore_host": "h1", "restore_source": "shop", "tape_sources": sources}}
    done = jobs.playbook({**task, "async": 120, "poll": 1})
    assert done.result["verified"] and done.result["msg"] == "2.9 MiB of shop to sh of h1"
    assert target.stat().st_size == 3_000_000
    target.unlink()
    jobs.damage(2)
    result = jobs.result(jobs.begin(task))
    assert result["failed"] and "these are not the 3000000 bytes in the catalog" in result["msg"]
    assert not target.exists() and "verified" not in result


def test_a_verification(jobs: Jobs) -> None:
    """The task's host keeps the result, whether it is the tape host or not."""
    jobs.go.touch()
    task = {VERIFY: {"tape_of_host": "h1"}}
    good = jobs.result(jobs.begin(task))
    assert good["msg"].startswith("VERIFY 2 good, 0 failed") and len(good["verified"]) == 2
    jobs.damage(1)
    first = jobs.playbook(task, hosts="tape1", rc=2).result
    for host in ("tape1", "h1"):
        other = jobs.playbook({**task, "async": 120, "poll": 1}, hosts=host, rc=2).result
        assert other["finished"] and (other["kind"], other["msg"]) == ("damaged", first["msg"])
        assert other["damaged"] == first["damaged"]
    assert [each["verified"]["ok"] for each in jobs.site.archives()] == [True, False] and not files_of(jobs.jobs)
