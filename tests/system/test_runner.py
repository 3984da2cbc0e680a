# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs by ansible-runner, from a private data directory as AWX lays it out, with a project of a few lines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils._run.progress import QUIET, Progress
from tests.hosts import Fleet

from .conftest import make_fleet
from .jobs import Job, need_runner, start
from .traces import SCRATCH, leaves_nothing

HOSTS_OF_A_JOB = 50
TEN_HOURS = 36_000
EVENTS_OF_A_JOB = 60_000
IDLE = 20  # seconds without a line, after which a job is ended
LOG_OF_A_POD = 10 * 1024 * 1024  # bytes: where the log of a pod of AWX breaks
EVENT = 200_000  # bytes of one event at most; AWX drops those over 700,000
# all of the project: AWX lists only playbooks that are files of the project itself
BACKUP = """---
- name: Back up
  ansible.builtin.import_playbook: plumbing.socketpipe.backup
"""
ARCHIVE = """---
- name: An archive on the controller
  hosts: h1
  gather_facts: false
  tasks:
    - name: Back up the directory
      plumbing.socketpipe.pipe:
        remote: tar cf - -C {{ the_source }} .
        output: dd of={{ the_archive }} obs=32k
        fact: true
"""
LOUD = """---
- name: Commands that say as much as they can
  hosts: all
  gather_facts: false
  vars:
    the_flood: cat >/dev/null; {{ the_noise }} >&2; {{ the_noise }}
    the_words: [sh, -c, "{{ the_flood }}; exit {{ the_status }}", "{{ 'x' * 100000 }}"]
  tasks:
"""
LOUD_TASK = """
    - name: {noise} {status}
      plumbing.socketpipe.pipe:
        input: "{{{{ [{{'argv': the_words, 'ok_rc': [0, 1]}}] * 6 }}}}"
        remote: "{{{{ the_words }}}}"
      vars:
        the_noise: "{{{{ the_noises.{noise} }}}}"
        the_status: {status}
      ignore_errors: true
"""
SILENT = """---
- name: Commands that say nothing, and move nothing, for longer than the job may be silent
  hosts: h1
  gather_facts: false
  tasks:
    - name: Wait
      plumbing.socketpipe.pipe:
        remote: sh -c 'echo x; sleep {seconds}; echo y'
        output: wc -c
        peer: "{{{{ the_peer }}}}"
        progress: "{{{{ the_first }}}}"
        progress_quiet: 1
      async: "{{{{ the_async }}}}"
      poll: 5
"""
LONG = """---
- name: Never ends by itself
  hosts: all
  gather_facts: false
  tasks:
    - name: Two hosts and the controller
      plumbing.socketpipe.pipe:
        remote: sh -c 'while echo still here; do sleep 0.1; done'
        output: dd of=/dev/null
        peer: "{{ the_peer }}"
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    need_runner()
    yield from make_fleet(["h1", "h2"], tmp_path_factory.mktemp("fleet"))


def test_an_archive_as_a_job(fleet: Fleet, work: Path) -> None:
    """The archive is a FIFO that nobody reads for a while, so that there is something to say on the way."""
    for host in fleet:
        host.run(["sh", "-c", f"mkdir {SCRATCH}/data && head -c 20000000 /dev/zero >{SCRATCH}/data/zeroes"])
    archive = work / "archive"
    os.mkfifo(archive)
    job = start(fleet, work / "job", ARCHIVE, the_source=f"{SCRATCH}/data", the_archive=str(archive))
    deadline = time.monotonic() + 60
    while not lines(job) and job.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    stalled = lines(job)
    reader = fleet.controller.popen(["sh", "-c", f"(head -c 5000000; sleep 3; cat) <{archive} | wc -c"], stdout=-1)
    assert job.finish() == "successful"
    size = int(reader.communicate(timeout=20)[0])

    # progress, as it happened
    assert [line.split(", remote ")[0] for line in stalled] == ["h1: stalled"]
    assert any(line.startswith("h1: resumed, remote → output") for line in lines(job))
    # the result, and the fact
    (result,) = [data["res"] for data in job.of("runner_on_ok", "Back up the directory") if "run" in data["res"]]
    assert result["bytes"] == size and size > 20_000_000
    assert result["ansible_facts"]["socketpipe"]["bytes"] == size
    (cache,) = job.folder.glob("artifacts/1/facts/*h1")
    cached = json.loads(cache.read_text(encoding="utf-8"))
    assert result["run"] in json.dumps(cached)

    # ten hours of such lines, from many hosts: an event of a line is so large, and has the line in it
    (line,) = [event for event in job.events() if event["stdout"] == stalled[0]]
    own = len(json.dumps(line)) - len(line["stdout"])
    quiet = TEN_HOURS // QUIET  # lines of a job that would otherwise be silent, if all others came at the wrong times
    for moves in STREAMS.values():
        said = ten_hours(moves)
        size = sum(own + len(text) for text in said)
        assert HOSTS_OF_A_JOB * size + quiet * (own + max(map(len, said))) < LOG_OF_A_POD
        assert HOSTS_OF_A_JOB * len(said) + quiet < EVENTS_OF_A_JOB


def lines(job: Job) -> list[str]:
    """The lines of progress; a person at a terminal sees the same."""
    return [event["stdout"] for event in job.events() if event["stdout"].startswith("h1: ")]


# {name: whether bytes move in this second, told whether the last line said that the stream had stalled}
STREAMS: dict[str, Callable[[int, bool], bool]] = {
    "steady, with a tape change an hour": lambda second, stalled: second % 3600 <= 3480,
    "never a byte": lambda second, stalled: False,
    "a byte for each line that says stalled": lambda second, stalled: stalled,
}


def ten_hours(moves: Callable[[int, bool], bool]) -> list[str]:
    """What one host says in that time."""
    progress = Progress("a-host.of.some.example", 30, {"remote → output": ("remote", "output")})
    waited = {"receiver": 0.0, "buffer": 0.0, "busy": 0.0}
    said: list[str] = []
    count = 0
    for second in range(TEN_HOURS):
        count += 100_000_000 if moves(second, bool(said) and ": stalled, " in said[-1]) else 0
        side: Any = {"id": "remote → output", "side": "R", "bytes": count, "unread": 0, "waited": waited}
        said += progress.feed([side], float(second))
    return said


# a command whose output goes to a tape
TAPED = ["sh", "-c", f"echo x; sleep {IDLE + 10}; echo y"]
# {name: (the peer, when the first line is due by itself, the time limit of a run that outlives its controller)}
SILENCES = {
    "an end here reports by itself": ("localhost", 1000, 0),
    "an end is asked": ("h2", 1000, 0),
    "the file of the job is asked": ("h2", 1000, 600),
    "no lines": ("h2", 0, 0),
}


# {name: the option tape_progress_quiet}
TAPES = {"a backup to tape": 10, "a backup to tape, no lines": 0}


def start_taping(fleet: Fleet, name: str, quiet: int) -> Job:
    """A backup of h1 to a tape of h2, of the output of a command that says nothing for a while."""
    folder = fleet.directory / name
    (folder / "tape").mkdir(parents=True)
    tape: dict[str, Any] = {
        "tape_host": "h2",
        "tape_hosts": "h1",
        "tape_devices": [str(folder / "tape")],
        "tape_catalog_dir": str(folder / "catalog"),
        "tape_state_dir": str(folder / "state"),
        "tape_sources": [{"name": "dump", "cmd": TAPED, "restore": "cat"}],
        "tape_progress_quiet": quiet,
    }
    label = start(fleet, folder / "label", BACKUP.replace("backup", "tape_label"), tape_label="WEEK01", **tape)
    assert label.finish() == "successful"
    return start(fleet, folder / "job", BACKUP, IDLE, **tape)


@pytest.fixture(scope="module")
def silences(fleet: Fleet) -> dict[str, tuple[str, list[str]]]:
    """{name: (the status of the job, its lines)}; all jobs wait at the same time."""
    jobs = {}
    with leaves_nothing(fleet):
        for number, (name, (peer, first, limit)) in enumerate(SILENCES.items()):
            variables: dict[str, Any] = {"the_peer": peer, "the_first": first, "the_async": limit}
            variables["ansible_async_dir"] = str(fleet.directory / "async")
            project = SILENT.format(seconds=IDLE + 10)
            jobs[name] = start(fleet, fleet.directory / f"silence{number}", project, IDLE, **variables)
        for name, quiet in TAPES.items():
            jobs[name] = start_taping(fleet, name, quiet)
        return {name: (job.finish(300), lines(job)) for name, job in jobs.items()}


@pytest.mark.parametrize("name", [*SILENCES, *TAPES])
def test_a_job_is_not_idle(silences: dict[str, tuple[str, list[str]]], name: str) -> None:
    """Nor does it end for that, unless its lines are off."""
    status, said = silences[name]
    if name.endswith("no lines"):
        assert (status, said) == ("timeout", [])
        return
    if name in TAPES:
        assert status == "successful" and any(line.startswith("h1: the host → the tape ") for line in said), said
        return
    assert status == "successful" and len(said) >= IDLE / 5
    start_of_line = "h1: 2 bytes, " if "job" in name else "h1: remote → output 2 bytes, "
    assert any(line.startswith(start_of_line) for line in said), said


def test_a_backup_of_the_fleet_as_a_job(fleet: Fleet, work: Path) -> None:
    """The tape is the controller's. The host that failed is in the artifacts, too, for the next job of the workflow."""
    fleet["h1"].run(["mkdir", f"{SCRATCH}/data"])
    (work / "tape").mkdir()
    tape: dict[str, Any] = {
        "tape_host": "localhost",
        "tape_devices": [str(work / "tape")],
        "tape_catalog_dir": str(work / "catalog"),
        "tape_state_dir": str(work / "state" / "{{ inventory_hostname }}"),
        "tape_paths": [f"{SCRATCH}/data"],
    }
    job = start(fleet, work / "label", BACKUP.replace("backup", "tape_label"), tape_label="WEEK01", **tape)
    assert job.finish() == "successful"
    job = start(fleet, work / "job", BACKUP, **tape)
    assert job.finish() == "failed"
    (stats,) = job.of("playbook_on_stats")
    told = stats["artifact_data"]["tape_backup"]
    assert (told["good"], told["failed"], told["bytes"], told["tapes"]) == (1, 1, 262144, ["WEEK01"])
    good, bad = told["hosts"]["h1"], told["hosts"]["h2"]
    assert (good["ok"], good["level"], good["bytes"], good["tape"]) == (True, 0, 262144, "WEEK01")
    assert not bad["ok"] and bad["note"].startswith("not on this host: /var/tmp/scratch/data")
    assert told["resume"].startswith("ansible-playbook -i ")
    assert told["resume"].endswith(f"/env/extravars -e tape_resume={told['run']} --limit h2")
    assert stats["ok"]["h1"] and stats["failures"] == {"h2": 1}


@pytest.mark.parametrize("peer", ["localhost", "h2"])
def test_a_cancelled_job_leaves_nothing_running(fleet: Fleet, work: Path, peer: str) -> None:
    """The runner's cancel is SIGKILL for ansible-playbook's process group; that nothing is left the fixture checks."""
    job = start(fleet, work / "job", LONG, the_peer=peer)
    deadline = time.monotonic() + 60
    while not running(fleet) and time.monotonic() < deadline and job.process.poll() is None:
        time.sleep(0.1)
    assert running(fleet), job.process.communicate(timeout=5)
    (job.folder / "cancel").touch()
    assert job.finish() == "canceled"
    # a killed ansible-playbook cannot remove its own temporary directory, but there is nothing in it
    assert [path for path in job.folder.glob("home/tmp/**/*") if path.is_file()] == []


def running(fleet: Fleet) -> bool:
    """Whether a stage runs on both hosts."""
    return all(any("still here" in process.cmdline for process in host.processes()) for host in fleet)


# each is the costliest in one respect: JSON within JSON, characters that JSON spells in six, and plain ones
NOISE = {
    "backslashes": "head -c 200000 /dev/zero | tr '\\0' '\\134'",
    "quotes": "head -c 200000 /dev/zero | tr '\\0' '\\042'",
    "zeroes": "head -c 200000 /dev/zero",
    "letters": "head -c 200000 /dev/zero | tr '\\0' x",
}


STATUSES = (0, 1)


@pytest.fixture(scope="module")
def loud(fleet: Fleet) -> Job:
    """All commands flood their standard error, the last one its standard output, too: a task for each case."""
    tasks = [LOUD_TASK.format(noise=noise, status=status) for noise in NOISE for status in STATUSES]
    folder = fleet.directory / "loud"
    job = start(fleet, folder, LOUD + "".join(tasks), the_noises=NOISE)
    with leaves_nothing(fleet):
        assert job.finish(300) == "successful"
    return job


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("noise", NOISE)
def test_no_event_is_too_large(fleet: Fleet, loud: Job, noise: str, status: int) -> None:
    task = f"{noise} {status}"
    results = [data["res"] for kind in ("runner_on_ok", "runner_on_failed") for data in loud.of(kind, task)]
    assert [[stage["rc"] for stage in result["stages"]] for result in results] == [[status] * 7] * len(list(fleet))
    files = [path for path in loud.files() if task in path.read_text(encoding="utf-8")]
    assert max(path.stat().st_size for path in files) < EVENT


def test_no_other_event_is_too_large(loud: Job) -> None:
    large = max(loud.files(), key=lambda path: path.stat().st_size)
    assert large.stat().st_size < EVENT
