# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers that outlive their controller, over ssh: the task's host keeps the result, as source or destination."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .playbook import pipe
from .test_async import Jobs, kill

TRANSFER = "plumbing.socketpipe.transfer"
SIZE = 3_000_000
SLOW = "20k"  # bytes a second: it does not end by itself while a test looks at it


class Transfers(Jobs):
    """From h2 to h1, or back; the task's host is h1."""

    def __init__(self, fleet: Fleet, work: Path) -> None:
        super().__init__(fleet, work)
        self.source, self.target = work / "source", work / "target"
        self.source.write_bytes(b"new data\n" * (SIZE // 9))
        self.target.write_text("old\n", encoding="utf-8")

    def task(self, seconds: int = 120, poll: int = 0, **options: Any) -> dict[str, Any]:
        given = {key: value for key, value in options.items() if not key.startswith("_")}
        given = {"src": str(self.source), "dest": str(self.target), "peer": "h2", **given}
        more = {key[1:]: value for key, value in options.items() if key.startswith("_")}
        return {**more, "async": seconds, "poll": poll, "vars": self.vars, TRANSFER: given}

    def is_old(self, temporary: bool = False) -> bool:
        """Whether the old file is there, and nothing else that a transfer leaves, but for a ``temporary`` file."""
        left = {path.name for path in self.work.iterdir()} - {"source", "target", "jobs"}
        allowed = {name for name in left if temporary and name.startswith(".")}
        return self.target.read_text(encoding="utf-8") == "old\n" and left == allowed


@pytest.fixture
def jobs(fleet: Fleet, work: Path) -> Transfers:
    return Transfers(fleet, work)


@pytest.mark.parametrize("encryption", ["none", "required"])
def test_a_file_arrives_after_the_playbook(jobs: Transfers, encryption: str) -> None:
    job = jobs.start(rate_limit="1M", mode="0640", backup=True, encryption=encryption)
    result = jobs.result(job)
    assert (result["msg"], result["changed"], result["size"]) == ("ok", True, SIZE // 9 * 9)
    assert result["bytes"] >= result["size"]
    assert jobs.target.read_bytes() == jobs.source.read_bytes() and jobs.target.stat().st_mode & 0o777 == 0o640
    assert (result["mode"], result["owner"], result["peer"], result["source_host"]) == ("0640", "root", "h2", "h2")
    assert Path(result["backup_file"]).read_text(encoding="utf-8") == "old\n"
    assert result["link"]["destination_host"] == "h1" and result["cause"] is None


@pytest.mark.parametrize("direction", ["push", "pull"])
def test_ansible_polls_and_a_second_task_changes_nothing(jobs: Transfers, direction: str) -> None:
    task = jobs.task(poll=1, direction=direction)
    first, second = (playbook.run(jobs.fleet, task, hosts="h1").result for _number in range(2))
    assert first["changed"] and first["finished"] and first["bytes"] >= SIZE - 9
    assert first["destination_host"] == {"push": "h1", "pull": "h2"}[direction]
    assert not second["changed"] and second["finished"] and second["run"] is None and second["size"] == first["size"]
    assert not list(jobs.folder.iterdir())


def test_its_progress_is_shown_while_ansible_polls(jobs: Transfers) -> None:
    """In percent, because the size is known.  Then it is stopped."""
    play = playbook.start(jobs.fleet, jobs.task(poll=1, rate_limit=SLOW, progress=1), hosts="h1")
    line = play.wait_for_line(" %), ").rstrip("\n")
    (job,) = [path.name for path in jobs.folder.iterdir() if not path.suffix]
    playbook.run(jobs.fleet, pipe(cancel=job, _vars=jobs.vars), hosts="h1")
    assert play.wait().rc == 2
    assert re.match(r"h1: [\d.]+ (KiB|bytes) of 2\.9 MiB \(\d+ %\), [\d.]+ (KiB|bytes)/s", line), line


def test_a_directory(jobs: Transfers) -> None:
    tree = jobs.work / "tree"
    tree.mkdir()
    (tree / "file").write_text("x", encoding="utf-8")
    (jobs.work / "copy").mkdir()
    task = jobs.task(poll=1, src=str(tree), dest=str(jobs.work / "copy") + "/")
    result = playbook.run(jobs.fleet, task, hosts="h1").result
    assert result["msg"] == "ok" and result["finished"] and set(result["archivers"]) == {"source", "destination"}
    assert (jobs.work / "copy" / "tree" / "file").read_text(encoding="utf-8") == "x"


# the end that is killed, which of its processes, and what the result says
DEATHS = {
    "the end afar": ("source", -1, "on h2: the end was killed by SIGKILL"),
    "the end at home": ("destination", -1, "on h1: the end was killed by SIGKILL"),
    "what keeps the job": ("destination", 0, "on h1: the process that keeps the job was killed"),
}


@pytest.mark.parametrize("name", DEATHS)
def test_who_dies_is_named_by_the_result(jobs: Transfers, name: str) -> None:
    end, which, msg = DEATHS[name]
    job = jobs.start(rate_limit=SLOW)
    kill(jobs.processes(job, end)[which])
    result = jobs.result(job)
    assert result["failed"] and result["cause"]["kind"] == "end" and result["msg"].startswith(msg)
    assert set(result) >= {"src", "dest", "size", "link", "peer", "resumed"}
    assert jobs.is_old(temporary=name == "the end at home")  # its guard kills the program at once, with -9


def test_pipe_cancels_it(jobs: Transfers) -> None:
    job = jobs.start(rate_limit=SLOW)
    done = playbook.run(jobs.fleet, pipe(cancel=job, _vars=jobs.vars), hosts="h1").result
    assert (done["changed"], done["msg"]) == (True, f"the job {job} on h1 was stopped")
    result = jobs.state(job)
    assert result["failed"] and result["cause"]["kind"] == "stopped" and "SIGTERM" in result["msg"] and jobs.is_old()


def test_what_starts_nothing_is_not_polled(jobs: Transfers) -> None:
    missing = jobs.task(poll=1, src=str(jobs.work / "not-there"))
    found = playbook.run(jobs.fleet, missing, hosts="h1", rc=2).result
    assert found["cause"]["host"] == "h2" and "not-there" in found["msg"]
    assert jobs.is_old() and (not jobs.folder.exists() or not list(jobs.folder.iterdir()))


# what is copied, and what the result of check mode says
CHECKED = {
    "file": ("source", "target", ("would transfer it", True)),
    "directory": ("tree", "copy/", ("would transfer it", True)),
    "nothing": ("source", "source.same", ("ok", False)),
}


@pytest.mark.parametrize("name", CHECKED)
def test_check_mode_leaves_a_finished_job(jobs: Transfers, name: str) -> None:
    """The same as without async, and nothing is copied."""
    src, dest, expected = CHECKED[name]
    for folder in ("tree", "copy"):
        (jobs.work / folder).mkdir()
    shutil.copy2(jobs.source, jobs.work / "source.same")
    before = sorted((path, path.stat().st_mtime_ns) for path in jobs.work.rglob("*"))
    task = {**jobs.task(poll=1, src=f"{jobs.work}/{src}", dest=f"{jobs.work}/{dest}"), "check_mode": True}
    plain = playbook.run(jobs.fleet, {**task, "async": 0}, hosts="h1").result
    done = playbook.run(jobs.fleet, task, hosts="h1", rc=None)
    if done.only.status == "failed":  # ansible-core 2.16
        assert done.result["msg"] == "check mode and async cannot be used on same task."
    else:
        assert (done.result["msg"], done.result["changed"]) == expected and done.result["finished"]
        of_transfer = {key: value for key, value in plain.items() if key in done.result and not key.startswith("_")}
        assert {key: done.result[key] for key in of_transfer if key != "elapsed"} == {
            key: value for key, value in of_transfer.items() if key != "elapsed"
        }
        assert not list(jobs.folder.iterdir())
        jobs.folder.rmdir()
    assert sorted((path, path.stat().st_mtime_ns) for path in jobs.work.rglob("*")) == before


def test_a_problem_at_the_destination_is_that_of_its_program(jobs: Transfers) -> None:
    task = jobs.task(poll=1, validate="false %s")
    done = playbook.run(jobs.fleet, task, hosts="h1", rc=2)
    assert done.only.status == "failed" and done.result["cause"]["kind"] == "validation" and jobs.is_old()
