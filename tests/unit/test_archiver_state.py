# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a host, file by file, and waiting for another backup of the same set."""

from __future__ import annotations

import fcntl
import io
import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import state
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.state import States
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import NO_BASE, Problem


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "host/set"


@pytest.fixture
def states(folder: Path) -> Iterator[States]:
    made = States(os.fsencode(folder))
    assert made.lock == -1
    made.open(1)
    yield made
    os.close(made.lock)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_its_owner_s_alone(folder: Path, states: States) -> None:
    assert (mode(folder), mode(folder / "lock"), mode(folder.parent)) == (0o700, 0o600, 0o755)
    assert (folder / "lock").read_bytes() == b"%d" % os.getpid()
    again = States(states.folder)
    assert again.free() is False
    fcntl.flock(states.lock, fcntl.LOCK_UN)
    folder.chmod(0o755)
    (folder / "lock").write_bytes(b"x" * 30)
    for _number in range(2):
        os.close(again.lock)
        again.open(1)
        assert mode(folder) == 0o700 and (folder / "lock").read_bytes() == b"%d" % os.getpid()
    assert states.locked() is False
    os.close(again.lock)
    assert again.free() is True and states.free() is False
    os.close(again.lock)
    assert States(states.folder + b"/none").free() is False


@pytest.mark.parametrize(("owner", "text"), [("1234567890123456789012", "12345678901234567890"), ("", "?")])
@pytest.mark.parametrize("gone", [False, True])
def test_another_backup_is_waited_for(
    folder: Path, states: States, monkeypatch: pytest.MonkeyPatch, owner: str, text: str, gone: bool
) -> None:
    """Until it has ended, or the reader has."""
    (folder / "lock").write_text(owner)
    told: list[str] = []
    looked: list[int] = []

    def reader_gone(out: int) -> bool:
        looked.append(out)
        if len(looked) == 2:
            fcntl.flock(states.lock, fcntl.LOCK_UN)
        return gone

    monkeypatch.setattr(state, "tell", told.append)
    monkeypatch.setattr(state, "reader_gone", reader_gone)
    second = States(states.folder)
    first = f"waiting for process {text}, another backup of this set on this host (it holds {folder}/lock)"
    if gone:
        with pytest.raises(
            Problem, match="^the reader of the archive has gone before it was begun: another backup was"
        ):
            second.open(7)
        assert (told, looked) == ([first], [7])
    else:
        second.open(7)
        assert (told, looked) == ([first, ""], [7, 7])
    os.close(second.lock)


def test_whether_the_reader_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for while time passes, and what it may have sent does not matter."""
    calls: list[Any] = []
    found: list[int] = []

    class Poller:
        def register(self, *what: int) -> None:
            calls.append(what)

        def poll(self, limit: int) -> list[Any]:
            calls.append(limit)
            return [(5, event) for event in found]

    monkeypatch.setattr(select, "poll", Poller)
    for event, gone in ((0, False), (select.POLLIN, False), (select.POLLERR, True), (select.POLLHUP, True)):
        found[:] = [event] if event else []
        assert state.reader_gone(5) is gone
    assert calls == [(5, 0), 500] * 4


def test_which_states_stay(folder: Path, states: States) -> None:
    """Those that are to be kept, those whose report may still be fetched, and what is no state."""
    now = time.time()
    for run in ("kept", "reported", "new", "old", "half"):
        for suffix in (".json", ".snar", ".list.gz", ".seal")[run == "half" :]:
            (folder / (run + suffix)).touch()
    for name in ("reported.reported", "kept.snar.tmp", "new.json.tmp", "after", "other.txt", "x.reported"):
        (folder / name).touch()
    for run, age in (("new", 86390), ("old", 86410)):
        os.utime(folder / (run + ".json"), (now - age, now - age))
    states.prune(["kept"])
    found = {f"{run}{suffix}" for run in ("kept", "new") for suffix in (".json", ".snar", ".list.gz", ".seal")}
    assert set(os.listdir(folder)) == {*found, "lock", "after", "other.txt"}


def test_a_day(folder: Path, states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    """So long a report may be fetched, and not a second longer."""
    monkeypatch.setattr(time, "time", lambda: 100_000.0)
    for age, stays in ((86399, True), (86400, False)):
        (folder / "R.json").touch()
        os.utime(folder / "R.json", (100_000 - age, 100_000 - age))
        states.prune([])
        assert (folder / "R.json").exists() is stays


def test_a_state_is_saved(folder: Path, states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    states.save("R", {"a": "ü"})
    assert synced == [f"{folder}/R.json.tmp", str(folder)] and mode(folder / "R.json") == 0o600
    assert states.facts("R") == {"a": "ü"} and states.path("R", ".x") == os.fsencode(folder / "R.x")
    assert states.unfinished("R", ".snar") == os.fsencode(folder / "R.snar.tmp")
    states.reported("R")
    assert sorted(os.listdir(folder)) == ["R.json", "R.reported", "lock"] and mode(folder / "R.reported") == 0o600
    for _again in range(2):
        states.forget("R")
        assert os.listdir(folder) == ["lock"]


def test_a_snapshot_is_copied(folder: Path, states: States) -> None:
    head = b"GNU tar-1.34-2\n1000\0000\0"
    (folder / "R.snar").write_bytes(head + b"0\0005\0006\0007\0008\0./a\0Yb\0\0\0")
    for ahead, begins in ((None, b"1000"), (400, b"600"), (1000, b"0"), (1001, b"0")):
        out = io.BytesIO()
        flushed: list[bytes] = []
        out.flush = lambda out=out, flushed=flushed: flushed.append(out.getvalue())  # type: ignore[method-assign,misc]
        states.copy("R", out, *([] if ahead is None else [ahead]))
        assert out.getvalue() == head.replace(b"1000", begins) + b"0\0005\0006\0000\0008\0./a\0Yb\0\0\0"
        assert flushed == [out.getvalue()]
    out = io.BytesIO()
    state.copied(io.BytesIO(head), out)
    assert out.getvalue() == head


def test_files_without_a_name(folder: Path, states: States) -> None:
    """On the disk of the states, if that is there, else where such files are."""
    assert states.descriptors == ()
    paths = [states.unnamed(lines) for lines in ([b"a\n", b"b\n"], [])]
    assert [Path(os.fsdecode(path)).read_bytes() for path in paths] == [b"a\nb\n", b""]
    assert paths == [b"/proc/self/fd/%d" % fd for fd in states.descriptors]
    assert os.readlink(paths[0]).startswith(os.fsencode(folder)) and os.listdir(folder) == ["lock"]
    for file in states.files:
        file.close()
    with States(states.folder + b"/none").scratch() as scratch:
        assert not os.readlink(f"/proc/self/fd/{scratch.fileno()}").startswith(str(folder))


FACTS = {"host": "h", "paths": ["/a"], "excludes": [], "one_file_system": True}
BASE = {**FACTS, "level": 0, "time": "2026-11-26T09:17:00Z", "file_systems": {}, "sha256": "ab"}
AGAIN = "this host wrote run R again later, and its state is not that of the archive on tape"


@pytest.mark.parametrize(("given", "text"), [(None, ""), ("", ""), ("ab", ""), ("cd", AGAIN)])
def test_the_archive_of_a_base(folder: Path, states: States, given: str | None, text: str) -> None:
    states.save("R", BASE)
    (folder / "R.snar").touch()
    if not text:
        states.check("R", 1, "2026-11-27T00:00:00Z", {}, FACTS, given)
        return
    with pytest.raises(Problem) as caught:
        states.check("R", 1, "2026-11-27T00:00:00Z", {}, FACTS, given)
    assert (str(caught.value), caught.value.kind) == (text, NO_BASE)


def test_a_base_without_a_snapshot(folder: Path, states: States) -> None:
    states.save("R", BASE)
    with pytest.raises(Problem) as caught:
        states.check("R", 1, "2026-11-27T00:00:00Z", {}, FACTS)
    assert caught.value.kind == NO_BASE and str(caught.value) == (
        f"this host has no state of run R in {folder} (it was reinstalled, or the state was removed)"
    )
    (folder / "R.snar").touch()
    with pytest.raises(Problem, match="^run R did not include /b of tape_paths$"):
        states.check("R", 1, "2026-11-27T00:00:00Z", {}, {**FACTS, "paths": ["/b", "/c"]})


def test_a_long_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read in pieces."""
    sizes: list[int] = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size or 0)
            return super().read(size)

    record = b"0\0005\0006\0007\0008\0./a\0" + b"Yb\0" * 10**6 + b"\0\0"
    found = list(state.read_snapshot(Source(b"GNU tar-1.34-2\n1000\0000\0" + record)))
    assert found[1] == record[: -len(state.BETWEEN)] and set(sizes) == {2**20}
