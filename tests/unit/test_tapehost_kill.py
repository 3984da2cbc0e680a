# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whenever the program is ended: the catalog is never wrong, and the next archive goes where it belongs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog.catalog import Catalog
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive, report
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost, wait_for

Maker = Callable[..., TapeHost]
CRASH = 77

DD = "PATH=%s; " % os.environ["PATH"]
BEFORE = "kill -%d $PPID; sleep 0.2; exit 1"
MIDDLE = "head -c 4096; kill -%d $PPID; sleep 0.2; exit 1"
AFTER = DD + 'dd "$@" || exit; kill -%d $PPID; sleep 0.2'


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    ("moment", "states"), [(BEFORE, []), (MIDDLE, [(2, "h2", "failed")]), (AFTER, [(2, "h2", "failed")])]
)
def test_a_sink_is_killed(number: int, moment: str, states: list[tuple[int, str, str]], tape_host: Maker) -> None:
    host = tape_host(wait=5)
    host.sink("R1", "h1")
    host.tool("dd", moment % number)
    done = host.end(host.start("sink", "--run", "R1", "--host", "h2"), archive("R1", "h2"))
    assert done.status == (-number if number == signal.SIGKILL else 128 + number)
    host.never_wrong()
    if number == signal.SIGTERM:  # it has had the time to see to it itself
        assert done.said == "ended by SIGTERM"
        assert host.states()[1:] == states
    (host.folder / "bin" / "dd").unlink()
    assert host.sink("R1", "h3").status == 0
    host.never_wrong()
    assert host.states() == [(1, "h1", "written"), *states, (2 + len(states), "h3", "written")]
    assert len(host.files()) == 2 + len(states)


def test_the_drive_is_held_for_as_long_as_the_writer_lives(tape_host: Maker) -> None:
    host = tape_host(wait=0)
    fifo = host.folder / "fifo"
    os.mkfifo(fifo)
    # one that is not killed with the program, as a process that waits for a drive is not
    host.tool("dd", 'exec 3<&0; { read word < %s; %s exec dd "$@" <&3; } & kill -9 $PPID; wait' % (fifo, DD))
    assert host.sink("R1", "h1").status == -signal.SIGKILL
    (host.folder / "bin" / "dd").unlink()
    said = host.sink("R1", "h2").said
    assert said.startswith(
        "no drive became free: drive %s is in use for the archive of h1 in run R1, since 20" % host.tapes[0]
    )
    assert host.files() == []
    fifo.write_text("go on\n")
    assert host.sink("R1", "h2", wait=10).status == 0
    host.never_wrong()
    assert host.states() == [(1, "h1", "failed"), (2, "h2", "written")]


# what changes something that outlives us
STEPS: list[tuple[Any, str]] = [
    (os, "rename"),
    (os, "unlink"),
    (subprocess, "Popen"),
    (subprocess.Popen, "communicate"),
]


def crash_at(step: int) -> None:
    """Let the power fail before the step of this number."""
    left = iter(range(step, -1, -1))

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if next(left, None) == 0:
                os._exit(CRASH)
            return function(*args, **options)

        return call

    for owner, name in STEPS:
        setattr(owner, name, counted(getattr(owner, name)))


def each_step(host: TapeHost, *words: str, data: bytes = b"", **settings: Any) -> Iterator[TapeHost]:
    """The host as a crash has left it, for each step at which that may be."""
    kept = host.folder.parent / "kept"
    shutil.copytree(host.folder, kept)
    for step in range(200):
        shutil.rmtree(host.folder)
        shutil.copytree(kept, host.folder)
        done = host.run(*words, data=data, before=partial(crash_at, step), **settings)
        if done.status != CRASH:
            assert (done.status, step > 1) == (0, True), done.err
            return
        yield host
    raise AssertionError("it never ends")


def goes_on(host: TapeHost, **more: Any) -> list[tuple[int, str, str]]:
    """The next sink just works, and nothing is wrong before or after it."""
    host.never_wrong()
    assert host.sink("R2", "next", wait=5, **more).status == 0
    host.never_wrong()
    assert len(host.states()) == len(host.files())
    assert host.states()[-1][1:] == ("next", "written")
    return host.states()[:-1]


def test_a_sink_crashes_anywhere(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    assert host.sink("R1", "h1").status == 0
    seen = []
    data = archive("R1", "h2")
    for left in each_step(host, "sink", "--run", "R1", "--host", "h2", data=data):
        found = goes_on(left)
        assert found[0] == (1, "h1", "written")
        seen += [state for _file, _host, state in found[1:]]
    assert set(seen) == {"failed", "written"}


def test_a_sink_that_reclaims_crashes_anywhere(tape_host: Maker) -> None:
    host = tape_host(lease=0, reclaim=True)
    assert host.sink("R1", "h1").status == 0
    assert host.sink("R1", "h0", b"x").status == 1
    data = archive("R1", "h2")
    for left in each_step(host, "sink", "--run", "R1", "--host", "h2", data=data):
        found = goes_on(left)
        assert found in ([(1, "h1", "written")], [(1, "h1", "written"), (2, "h2", "written")])


def test_a_tape_that_is_begun_afresh_crashes_anywhere(tape_host: Maker) -> None:
    """The catalog forgets what was on it first; the tape is then begun afresh by whoever comes next."""
    host = tape_host(lease=0, retention="0d", reuse="expired", expire_last=True)
    old = host.tape()["id"]
    host.backup("R1", "h1")
    ids = set()
    data = archive("R3", "h2")
    for left in each_step(host, "sink", "--run", "R3", "--host", "h2", data=data):
        found = goes_on(left)
        assert (1, "h1", "good") not in found
        label = json.loads((left.tapes[0] / "000000").read_bytes().split(b"\n")[1])
        assert label["id"] == left.tape()["id"] != old
        assert "relabelling" not in left.tape()
        ids.add(label["id"])
    assert len(ids) > 3


def test_labelling_crashes_anywhere(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    tape = host.tapes[0]
    print_ = host.fails("label", "--label", "NEW").split("tape_overwrite=")[1]
    left_with: set[str] = set()
    for left in each_step(host, "label", "--label", "NEW", "--overwrite", print_):
        assert_known(left)
        done = left.sink("R2", "next")
        if done.status:
            assert "its tape is blank" in done.said
            again = left.run("label", "--label", "NEW", "--overwrite", print_)
            assert again.answer["label"] == "NEW"
            assert tapes_of(left) == ["NEW"]
            assert left.sink("R2", "next").status == 0
        left_with.update(path.name for path in (left.catalog_dir / "tapes").iterdir() if path.suffix == ".json")
        name = json.loads((tape / "000000").read_bytes().split(b"\n")[1])["label"]
        assert (tape / "000001").read_bytes() == archive("R2", "next") or name == "A"
    assert left_with == {"A.json", "NEW.json"}


def tapes_of(host: TapeHost) -> list[str]:
    return sorted(path.stem for path in (host.catalog_dir / "tapes").glob("*.json"))


def assert_known(host: TapeHost) -> None:
    """The catalog has a tape of the label that is on it, whatever was broken off."""
    block = (host.tapes[0] / "000000").read_bytes() if (host.tapes[0] / "000000").exists() else b""
    if block:
        label = json.loads(block.split(b"\n")[1])
        tape = host.tape(label["label"])
        assert label["id"] in (tape["id"], tape.get("relabelling", {}).get("id"))


def test_a_rebuild_that_changes_several_tapes_crashes_anywhere(tape_host: Maker) -> None:
    """All of them are in the catalog, or none, as soon as somebody else wants to change it."""
    host = tape_host(2, lease=0)
    host.backup("R1", "h1", on="B")
    host.backup("R2", "h1", on="A")
    host.ok("finish", "--run", "R2")
    for path in (host.catalog_dir / "tapes").iterdir():
        path.unlink()
    seen, completed = [], []
    for left in each_step(host, "inventory", "--rebuild", devices=[str(host.tapes[0])]):
        seen.append(tapes_of(left))
        catalog = Catalog(str(left.catalog_dir))
        with catalog.lock():
            completed.append([tape["label"] for tape in catalog.tapes()])
        assert not list((left.catalog_dir / "tapes").glob("change*"))
        assert catalog.warnings() == []
    assert ["A"] in seen
    assert completed == sorted(completed)
    assert {tuple(each) for each in completed} == {(), ("A", "B")}


def test_a_damaged_journal_is_put_aside(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    journal = host.catalog_dir / "tapes" / "change.part"
    for text in ("{", "[]", '{"A": {}}', '{"A": 5}'):
        journal.write_text(text)
        assert host.sink("R1", "h1").status == 0
        assert not journal.exists()
        assert journal.with_suffix(".part.damaged").read_text() == text


def test_the_end_of_a_run_crashes_anywhere(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    for left in each_step(host, "finish", "--run", "R1"):
        assert goes_on(left)[0] == (1, "h1", "good")
        assert left.ok("finish", "--run", "R1")["warnings"] == []


def test_a_commit_crashes_anywhere(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    data = archive("R1", "h1")
    host.sink("R1", "h1", data)
    words = ["commit", "--run", "R1", "--host", "h1"]
    for left in each_step(host, *words, data=report("R1", "h1", data)):
        state = left.states()[0][2]
        assert state in ("written", "good")
        found = left.ok("find", "--path", "/etc/hosts")
        assert (len(found["found"]), found["unread"]) == (1 if state == "good" else 0, [])
        assert left.commit("R1", "h1", data).answer["state"] == "good"


def test_a_waiting_program_is_told_to_stop(tape_host: Maker, tmp_path: Path) -> None:
    host = tape_host(wait=60)
    first = host.start("sink", "--run", "R1", "--host", "h1")
    wait_for(host.states)
    second = host.start("sink", "--run", "R1", "--host", "h2")
    wait_for(lambda: "waiting for a drive: " in host.said(second))
    second.terminate()
    assert host.end(second).status == 143
    assert list((host.catalog_dir / "queue").iterdir()) == []
    assert host.end(first, archive("R1", "h1")).status == 0
    host.never_wrong()
