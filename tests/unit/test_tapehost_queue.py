# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several at once: never interleaved, first come first served, and nobody waits for the dead or for ever."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import files
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost, kill, wait_for

Maker = Callable[..., TapeHost]
LIMIT = "; for up to 0:01:00 (tape_wait)\n"
BELONGS = "its tape A belongs to run R1 until 20"


def begin(host: TapeHost, run: str, name: str, **settings: Any) -> subprocess.Popen[bytes]:
    """A sink that has a drive or a place in the queue, and none of its data yet."""
    queue = host.catalog_dir / "queue"
    before = waiting(queue)
    process = host.start("sink", "--run", run, "--host", name, **settings)
    wait_for(lambda: waiting(queue) - before or (name, "writing") in written(host) or process.poll() is not None)
    return process


def waiting(queue: Path) -> set[str]:
    return set(os.listdir(queue)) if queue.exists() else set()


def written(host: TapeHost) -> list[tuple[str, str]]:
    return [(name, state) for tape in host.tapes for _file, name, state in host.states(tape.name)]


@pytest.mark.parametrize("tapes", [1, 2])
def test_ten_at_once(tapes: int, tape_host: Maker) -> None:
    host = tape_host(tapes, wait=60)
    names = ["h%d" % number for number in range(10)]
    streams = {name: archive("R1", name, size=100_000) for name in names}
    started = {name: host.start("sink", "--run", "R1", "--host", name) for name in names}
    for name, process in started.items():  # all at once, a piece each
        assert process.stdin
        process.stdin.write(streams[name][:30_000])
        process.stdin.flush()
    with ThreadPoolExecutor(len(names)) as pool:
        for done in pool.map(lambda name: host.end(started[name], streams[name][30_000:]), names):
            assert done.answer["state"] == "written"
    assert sorted(written(host)) == [(name, "written") for name in names]
    for tape in host.tapes:
        found = host.files(tape.name)
        assert found == [streams[name] for _file, name, _state in host.states(tape.name)]
        assert len(found) >= 1
    assert waiting(host.catalog_dir / "queue") == set()


def test_first_come_first_served(tape_host: Maker) -> None:
    host = tape_host(wait=60)
    names = ["h1", "h2", "h3", "h4"]
    started = [begin(host, "R1", name) for name in names]
    wait_for(lambda: "waiting for a drive" in host.said(started[3]))
    assert host.said(started[1]).startswith(
        "waiting for a drive: drive %s is in use for the archive of h1 in run R1, since 20" % host.tapes[0]
    )
    assert host.said(started[1]).endswith("(process %d)%s" % (started[0].pid, LIMIT))
    assert host.said(started[3]) == "waiting for a drive: others have been waiting for longer" + LIMIT
    for name, process in list(zip(names, started))[::-1]:  # their data comes in another order
        if name != "h1":
            assert process.stdin
            process.stdin.write(archive("R1", name))
            process.stdin.flush()
    host.end(started[0], archive("R1", "h1"))
    for process in started[1:]:
        assert host.end(process).status == 0
    assert [name for _file, name, _state in host.states()] == names
    host.never_wrong()


def test_whoever_dies_in_the_queue_holds_nobody_up(tape_host: Maker) -> None:
    host = tape_host(wait=60)
    first, second, third = [begin(host, "R1", name) for name in ("h1", "h2", "h3")]
    kill(second.pid)
    second.wait()
    assert host.end(first, archive("R1", "h1")).status == 0
    assert host.end(third, archive("R1", "h3")).answer["file"] == 2
    assert waiting(host.catalog_dir / "queue") == set()


def test_what_is_no_place_in_the_queue(tape_host: Maker) -> None:
    """NFS has such a file for as long as somebody has the removed one open."""
    host = tape_host()
    host.backup("R1", "h1")
    (host.catalog_dir / "queue" / ".nfs000000000001").touch()
    assert host.sink("R1", "h2").answer["file"] == 2


def test_nobody_waits_for_longer_than_asked(tape_host: Maker) -> None:
    host = tape_host()
    first = begin(host, "R1", "h1")
    assert host.sink("R1", "h2", wait=0).said.startswith("no drive became free: drive ")
    assert host.end(first, archive("R1", "h1")).status == 0
    assert host.states() == [(1, "h1", "written")]


def test_writing_waits_for_a_person(tape_host: Maker) -> None:
    """A full tape is changed by hand; meanwhile whoever has a tape that will do is not held up."""
    host = tape_host(3, lease=0)
    slot = host.folder / "slot"
    slot.symlink_to(host.tapes[0])
    host.edit("A", lambda tape: tape.update(full=True))
    settings = {"labels": ["A", "B"], "devices": [str(slot), str(host.tapes[2])]}
    waits = host.start("sink", "--run", "R1", "--host", "h1", wait=60, **settings)
    wait_for(lambda: "waiting for a tape: " in host.said(waits))
    assert host.said(waits).endswith("its tape C is not one of tape_labels (A, B); writable tapes: B" + LIMIT)
    assert host.sink("R2", "x1", labels=["C"], wait=60, devices=settings["devices"]).answer["tape"] == "C"
    slot.unlink()
    slot.symlink_to(host.tapes[1])
    assert host.end(waits, archive("R1", "h1")).answer["tape"] == "B"
    assert waiting(host.catalog_dir / "queue") == set()
    host.edit("B", lambda tape: tape.update(full=True))
    said = host.sink("R3", "h1", wait=1, **settings).said
    assert said.startswith("no drive has a writable tape within 0:00:01: drive %s: its tape B is full" % slot)


def test_a_run_is_not_held_up_by_those_who_wait_for_its_tape(tape_host: Maker) -> None:
    host = tape_host(wait=60)
    host.sink("R1", "h1")
    other = begin(host, "R2", "x1")
    wait_for(lambda: BELONGS in host.said(other))
    host.sink("R1", "h2").answer["waited"]
    assert other.poll() is None
    host.ok("finish", "--run", "R1")
    assert host.end(other, archive("R2", "x1")).answer["file"] == 4  # the third is a copy of the catalog
    host.never_wrong()


def test_two_runs_and_two_tapes(tape_host: Maker) -> None:
    """Each has a tape, and each waits for both: of their own ones they get the next place at once."""
    host = tape_host(2, wait=60)
    first = begin(host, "R1", "h1")
    second = begin(host, "R2", "x1")
    assert host.end(first, archive("R1", "h1")).answer["tape"] == "A"
    assert host.end(second, archive("R2", "x1")).answer["tape"] == "B"
    third = begin(host, "R3", "y1")
    wait_for(lambda: "its tape B belongs to run R2" in host.said(third))
    for run, name, tape in (("R2", "x2", "B"), ("R1", "h2", "A"), ("R1", "h3", "A")):
        assert host.sink(run, name).answer["tape"] == tape
    host.ok("finish", "--run", "R2")
    assert host.end(third, archive("R3", "y1")).answer["tape"] == "B"
    host.never_wrong()


def test_a_job_with_another_catalog_is_kept_out(tape_host: Maker) -> None:
    host = tape_host()
    other = str(host.folder / "another")
    process = begin(host, "R1", "h1")
    said = host.fails("label", "--label", "B", catalog_dir=other)
    assert said == "the virtual tape %s is in use by a job with another catalog: fuser -v %s shows which" % (
        host.tapes[0],
        host.tapes[0],
    )
    assert host.end(process, archive("R1", "h1")).status == 0
    assert "holds tape A, which is not in this catalog" in host.fails("label", "--label", "B", catalog_dir=other)


def test_a_full_disk_is_not_a_full_tape(tape_host: Maker) -> None:
    """The sentence has the file that could not be written: write(2) itself says none."""
    host = tape_host()
    host.backup("R1", "h1")

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))  # a lease has less, and a tape of the catalog more
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = host.run("sink", "--run", "R1", "--host", "h2", data=archive("R1", "h2"), before=full)
    assert (done.status, done.said) == (1, f"{host.catalog_dir}/tapes/A.json: File too large")
    assert host.states() == [(1, "h1", "good")]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_system_without_fsync_of_directories(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CIFS; any other error is one."""

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", fsync)
    if number == errno.EINVAL:
        files.write_json(str(tmp_path / "x"), [1])
        assert files.read_json(str(tmp_path / "x")) == [1]
    else:
        with pytest.raises(OSError, match="Input/output error"):
            files.write_json(str(tmp_path / "x"), [1])


def test_a_lease_ends_by_itself(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1")
    assert BELONGS in host.sink("R2", "x1").said
    assert host.ok("inventory")["tapes"][0]["run"] == "R1"
    path = host.catalog_dir / "leases" / "A.json"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), until=1.0)))
    assert host.sink("R2", "x1").answer["file"] == 2
    assert "its tape A belongs to run R2 until 20" in host.sink("R1", "h2").said


def test_a_lease_is_stolen(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1")
    assert host.sink("R2", "x1", steal=True).answer["file"] == 2
    assert "its tape A belongs to run R2 until 20" in host.sink("R1", "h2").said
    host.ok("finish", "--run", "R1")
    assert host.ok("inventory")["tapes"][0]["run"] == "R2"  # it is not for R1 to end


def test_the_tape_of_the_run_is_the_best(tape_host: Maker) -> None:
    host = tape_host(2)
    assert host.sink("R1", "h1", labels=["B"]).answer["tape"] == "B"
    assert host.sink("R1", "h2").answer["tape"] == "B"
    host.ok("finish", "--run", "R1")
    assert host.sink("R2", "x1").answer["tape"] == "B"  # one that is begun before an empty one


def test_a_drive_that_is_not_there_hinders_no_other(tape_host: Maker) -> None:
    host = tape_host(2)
    devices = [str(host.folder / "nowhere"), "/dev/null", *map(str, host.tapes)]
    assert host.sink("R1", "h1", devices=devices).answer["tape"] == "A"
    said = host.sink("R1", "h1", devices=devices[:2]).said
    assert said.startswith("no drive has a writable tape: drive %s: No such file or directory" % devices[0])


def test_one_drive_by_two_names(tape_host: Maker) -> None:
    """A link, or the same path twice: it is held once."""
    host = tape_host()
    link = host.folder / "link"
    link.symlink_to(host.tapes[0])
    assert host.sink("R1", "h1", devices=[str(host.tapes[0]), str(link)]).answer["file"] == 1
    host.never_wrong()


def ticket(folder: Path, kind: str = "write", run: str = "R1") -> Any:
    return files.Ticket(str(folder), kind, run)


def test_tickets(tmp_path: Path) -> None:
    first, second, reader = ticket(tmp_path), ticket(tmp_path, run="R2"), ticket(tmp_path, "read-A")
    assert [each.first(of_run=False) for each in (first, second, reader)] == [True, False, True]
    assert second.first(of_run=True)  # of its run it is the first
    first.drop()
    assert second.first(of_run=False)
    os.close(second.lock.fd)  # it dies
    third = ticket(tmp_path)
    assert third.first(of_run=False)
    assert sorted(os.listdir(tmp_path)) == sorted([third.name, reader.name])


def test_a_ticket_is_not_taken_for_one_of_the_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one looks at the queue between the making of its file and its lock."""
    flock, seen = files.fcntl.flock, []

    def look_first(fd: int, how: int) -> None:
        monkeypatch.setattr(files.fcntl, "flock", flock)
        seen.append(ticket(tmp_path))
        assert seen[0].first(of_run=False)
        flock(fd, how)

    monkeypatch.setattr(files.fcntl, "flock", look_first)
    slow = ticket(tmp_path)
    assert slow.lock.fd >= 0
    assert slow.name in os.listdir(tmp_path)
    assert [slow.first(of_run=False), seen[0].first(of_run=False)] == [False, True]
