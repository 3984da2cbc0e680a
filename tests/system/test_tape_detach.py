# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that is written to its end although its job has died, and the next job, which commits it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook, taping
from .anatomy import processes
from .taping import BLOCK, Site
from .traces import everyone

PLAN, BACKUP = "plumbing.socketpipe.tape_plan", "plumbing.socketpipe.tape_backup"
FAILED = "Fail if there is no good archive"


FLEET = taping.HOSTS


class Gated:
    """A site where the archive of h1 waits in its middle until the file `go` is there."""

    def __init__(self, site: Site) -> None:
        self.site, self.go, self.jobs = site, site.top / "go", site.top / "jobs"
        self.go.unlink(missing_ok=True)
        shutil.rmtree(self.jobs, ignore_errors=True)
        site.label()
        site.fill("h1", large="x" * 12 * BLOCK)
        waits = f"head -c {6 * BLOCK}; while [ ! -e {self.go} ]; do sleep 0.05; done; exec cat"
        self.own: dict[str, dict[str, Any]] = {
            "all": {"ansible_async_dir": str(self.jobs), "tape_wait": "120s"},
            "h1": {"tape_filter": {"write": ["sh", "-c", waits], "read": "cat"}},
        }

    def start(self, **extra: Any) -> playbook.Started:
        return self.site.start("backup", own=self.own, args=["--limit", "h1"], **extra)

    def run(self, **extra: Any) -> playbook.Done:
        done = self.start(**extra).wait()
        assert done.rc == 0, done.output
        return done

    def half(self) -> str:
        """Wait until a part of the archive is on the tape, and the rest waits; returns its run."""
        tape = self.site.tape() / "000001.part"
        eventually(lambda: bool(self.site.archives()) and tape.exists() and tape.stat().st_size > 0)
        (archive,) = self.site.archives()
        assert archive["state"] == "writing"
        return str(archive["run"])

    def kill_job(self, play: playbook.Started) -> None:
        """Ansible-playbook, its workers and all of ssh on the controller, with -9."""
        fleet = self.site.fleet
        for each in processes(*everyone(fleet)):
            if each.host == fleet.controller.name and each.name in ("ansible-playboo", "ssh", "python3"):
                try:
                    os.kill(each.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it has ended with another of them
        play.wait()
        # ansible-playbook had no time for that
        for left in (playbook.ansible_home(fleet) / "tmp").glob("ansible-local-*"):
            shutil.rmtree(left)


def eventually(true: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def gated(fleet: Fleet) -> Gated:
    return Gated(taping.make_site(fleet))


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_job_is_killed_and_the_next_one_commits_its_archive(gated: Gated) -> None:
    site = gated.site
    job = gated.start(tape_detach=True)
    run = gated.half()
    gated.kill_job(job)
    gated.go.touch()
    eventually(lambda: site.states() == [("h1", 0, "written")])
    (state,) = gated.jobs.iterdir()
    eventually(lambda: json.loads(state.read_text())["finished"])
    done = gated.run(tape_resume=run)
    assert site.states() == [("h1", 0, "good")], "and not a second one"
    (row,) = [row for row in taping.table(done, "BACKUP") if row[0] == "h1"]
    assert (row[1], row[6]) == ("good", "WEEK01:1")
    told = taping.statistic(done)
    assert (told["run"], told["good"], told["failed"]) == (run, 1, 0)
    assert not files_of(gated.jobs)
    back = site.top / "back"
    site.run("restore", restore_host="h1", restore_to=str(back), own=gated.own)
    assert taping.read(back / site.data("h1").relative_to("/")) == taping.read(site.data("h1"))


def test_the_next_job_waits_for_an_archive_that_is_being_written(gated: Gated) -> None:
    """Also if its own does not detach."""
    site = gated.site
    job = gated.start(tape_detach=True)
    run = gated.half()
    gated.kill_job(job)
    following = gated.start(tape_resume=run)
    following.wait_for_line("h1: an earlier job is writing its archive, so this one waits")
    assert site.states() == [("h1", 0, "writing")]
    gated.go.touch()
    done = following.wait()
    assert done.rc == 0 and site.states() == [("h1", 0, "good")], done.output
    assert taping.statistic(done)["good"] == 1 and not files_of(gated.jobs)


def test_two_jobs_wait_for_the_same_archive(gated: Gated) -> None:
    """The first was not dead, only slow: the second has committed the archive before it looks again."""
    site = gated.site
    first = gated.start(tape_detach=True)
    run = gated.half()
    stopped = [each.pid for each in processes(*everyone(site.fleet)) if each.name == "ansible-playboo"]
    assert len(stopped) > 1
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        second = gated.start(tape_resume=run)
        second.wait_for_line("h1: an earlier job is writing its archive, so this one waits")
        gated.go.touch()
        jobs = [second.wait()]
    finally:
        for pid in (*stopped, first.process.pid):  # nsenter stops with its child
            os.kill(pid, signal.SIGCONT)
    for done in (*jobs, first.wait()):
        assert done.rc == 0 and taping.statistic(done)["good"] == 1, done.output
    assert site.states() == [("h1", 0, "good")] and not files_of(gated.jobs)


def test_an_archive_that_had_no_room_is_failed_and_written_again(gated: Gated) -> None:
    site = gated.site
    site.label("WEEK02", "B")
    tapes = {"tape_devices": [str(site.tape("A")), str(site.tape("B"))]}
    gated.own["tape1"] = {"tape_capacity": str(7 * BLOCK)}
    job = gated.start(tape_detach=True)
    run = gated.half()
    gated.kill_job(job)
    gated.go.touch()
    eventually(lambda: site.states() == [("h1", 0, "failed")])
    (state,) = gated.jobs.iterdir()
    eventually(lambda: json.loads(state.read_text())["finished"])
    assert json.loads(state.read_text())["kind"] == "full"
    gated.own["tape1"] = {"tape_capacity": str(40 * BLOCK), **tapes}
    done = gated.run(tape_resume=run, tape_detach=True)
    why = "tape1: tape WEEK01, file 1: the tape is full: run the backup again, and it uses the next tape"
    assert f"h1: the archive of an earlier job is written again: {why}" in done.stdout
    assert (site.states(), site.states("WEEK02")) == ([("h1", 0, "failed")], [("h1", 0, "good")])
    assert not files_of(gated.jobs)


def test_without_tape_detach_all_ends_with_the_job(gated: Gated) -> None:
    site = gated.site
    job = gated.start()
    run = gated.half()
    gated.kill_job(job)
    eventually(lambda: not [each for each in processes(*everyone(site.fleet)) if each.label])
    gated.go.touch()
    done = gated.run(tape_resume=run)
    assert site.states() == [("h1", 0, "failed"), ("h1", 0, "good")], done.output
    assert not gated.jobs.exists() or not files_of(gated.jobs)


def test_async(gated: Gated) -> None:
    """The archive is written without a controller; a second task commits it."""
    site, gate = gated.site, gated.go
    own = site.variables(gated.own)
    options = {name: "{{ %s | default(omit) }}" % name for name in ("tape_paths", "tape_filter", "tape_state_dir")}
    limit = {"async": 120, "poll": 1}

    def tasks(resume: str, **keywords: Any) -> list[dict[str, Any]]:
        plan = {"hosts": [{"host": "h1", "tape_paths": "{{ tape_paths }}"}], "tape_resume": resume}
        return [
            {"name": "plan", PLAN: plan, "register": "planned"},
            {"name": "back up", BACKUP: {"plan": "{{ planned }}", **options}, **keywords},
        ]

    started = playbook.start(site.fleet, tasks("", **limit), hosts="h1", inventory=own)
    run = gated.half()
    gate.touch()
    done = started.wait()
    result = done.of("back up").result
    assert (done.rc, result["state"], result["finished"], result["run"]) == (0, "written", True, run), done.output
    assert (
        result["msg"]
        == f"on tape WEEK01, but it is good only after its host has reported it: resume the run (tape_resume={run})"
    )
    assert (result["tape"], result["file"], result["host"]) == ("WEEK01", 1, "h1") and result["bytes"] > 12 * BLOCK
    assert site.states() == [("h1", 0, "written")]
    done = playbook.run(site.fleet, tasks(run, **limit), hosts="h1", inventory=own)
    result = done.of("back up").result
    assert (result["state"], result["attempts"]) == ("good", 0) and site.states() == [("h1", 0, "good")]
    # nothing is to be written, but ansible-core polls
    done = playbook.run(site.fleet, tasks(run, **limit), hosts="h1", inventory=own)
    assert done.of("back up").result["state"] == "good before" and not files_of(gated.jobs)
