# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the tape programs that are whole or absent, and locks; for the queue see test_tapehost_queue.py, too."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import files


def opened() -> set[str]:
    return {os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if exists(name)}


def exists(name: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{name}")


@pytest.fixture(autouse=True)
def nothing_stays_open(tmp_path: Path) -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)
    assert not [path for path in opened() if path.startswith(str(tmp_path))]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(name, size) of what was written to the disk; of folders the size is -1."""
    found: list[tuple[str, int]] = []

    def fsync(fd: int) -> None:
        at = os.fstat(fd)
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        found.append((name, -1 if stat.S_ISDIR(at.st_mode) else at.st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced(tmp_path: Path, synced: list[tuple[str, int]]) -> None:
    """It and its folder are its owner's alone; both are on the disk before and after it gets its name."""
    path = tmp_path / "new/folder/file"
    for data in (b"old one", b"new"):
        files.write_whole(str(path), data)
        part = f"file.{os.getpid()}.part"
        assert path.read_bytes() == data and synced[-2:] == [(part, len(data)), ("folder", -1)]
    assert (mode(path), mode(path.parent), os.listdir(path.parent)) == (0o600, 0o700, ["file"])


def test_a_file_is_published(tmp_path: Path, synced: list[tuple[str, int]]) -> None:
    path = tmp_path / "file"
    for data, wanted in ((b"old one", 0o640), (b"new", 0o604)):
        files.publish(str(path), data, wanted)
        assert (path.read_bytes(), mode(path), os.listdir(tmp_path)) == (data, wanted, ["file"])
        assert [size for _name, size in synced] == [len(data)] and synced.pop()[0].startswith(".file.")


@pytest.mark.parametrize(
    "write", [files.write_whole, lambda path, data: files.publish(path, data, 0o600)], ids=["whole", "public"]
)
def test_a_failure_leaves_nothing(tmp_path: Path, write: Callable[[str, bytes], None]) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write(str(tmp_path / "folder"), b"data")
    assert os.listdir(tmp_path) == ["folder"] and str(tmp_path / "folder") in (
        caught.value.filename,
        caught.value.filename2,
    )


def test_the_name_of_a_file_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space") as caught:
        files.write_whole(str(tmp_path / "x"), b"data")
    assert caught.value.filename == str(tmp_path / "x") and not os.listdir(tmp_path)


def test_json(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    assert files.read_json(path) is None
    files.write_json(path, {"b": "ü", "a": [1]})
    assert Path(path).read_text() == '{\n "a": [\n  1\n ],\n "b": "\\u00fc"\n}\n'
    assert files.read_json(path) == {"a": [1], "b": "ü"}


# -- locks


def test_a_lock(tmp_path: Path) -> None:
    """It names who has it, and nobody after it is free."""
    path = tmp_path / "new/lock"
    first, second = files.Lock(str(path)), files.Lock(str(path))
    assert first.fd == -1 and first.holder() == {}
    first.release()
    assert first.take({"run": "a long name"}) is True and first.fd >= 0
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert second.take({}) is False and second.fd == -1
    assert second.holder() == {"run": "a long name"}
    first.release()
    assert (first.fd, second.holder(), path.read_bytes()) == (-1, {}, b"")
    path.write_text('{"run": "somebody who died"}')
    assert second.take({"a": 1}) is True
    assert path.read_bytes() == b'{"a": 1}'
    assert first.holder() == {"a": 1}
    second.release()
    path.write_text("null")
    assert first.holder() == {}


@pytest.mark.parametrize(("number", "taken"), [(errno.EAGAIN, False), (errno.EACCES, False), (errno.ENOLCK, None)])
def test_a_lock_that_is_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, taken: bool | None
) -> None:
    """File systems say it in different ways; anything else is an error."""

    def flock(_fd: int, how: int) -> None:
        assert how == fcntl.LOCK_EX | fcntl.LOCK_NB
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = files.Lock(str(tmp_path / "lock"))
    if taken is None:
        with pytest.raises(OSError, match="No locks available"):
            lock.take({})
        return
    assert lock.take({}) is taken


def test_a_short_lock(tmp_path: Path) -> None:
    path = tmp_path / "new/lock"
    lock = files.Lock(str(path))
    with files.locked(str(path)):
        assert not lock.take({})
        assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert lock.take({})
    lock.release()


# -- tickets


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times to come, of which the last one stays."""
    found = [5.0]
    monkeypatch.setattr(time, "monotonic", lambda: found.pop(0) if len(found) > 1 else found[0])
    return found


def ticket(folder: Path, kind: str = "write", run: str = "R1") -> Any:
    return files.Ticket(str(folder), kind, run)


def test_the_name_of_a_ticket(tmp_path: Path, clock: list[float]) -> None:
    """It has the time in microseconds, with leading zeros, so that names are in the order of their times."""
    clock[:] = [5.25]
    made = ticket(tmp_path)
    assert made.name == f"write,00000000000005250000,{os.getpid()},R1" and os.listdir(tmp_path) == [made.name]
    made.drop()
    assert os.listdir(tmp_path) == []
    made.drop()


def test_a_ticket_that_is_there_already(tmp_path: Path, clock: list[float]) -> None:
    first = ticket(tmp_path)
    clock[:] = [5.0, 5.0, 6.0]
    second = ticket(tmp_path)
    assert ",00000000000006000000," in second.name and second.lock.fd >= 0
    assert (first.first(False), second.first(False)) == (True, False)
    for each in (first, second):
        each.drop()


def test_a_ticket_whose_file_is_replaced_while_it_is_locked(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def replace(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        (name,) = os.listdir(tmp_path)
        os.rename(tmp_path / name, tmp_path / "gone")
        (tmp_path / name).touch()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", replace)
    clock[:] = [5.0, 6.0]
    made = ticket(tmp_path)
    assert ",00000000000006000000," in made.name
    made.drop()


def test_who_is_first(tmp_path: Path, clock: list[float]) -> None:
    """Of all that write, or of those of a run; what is no ticket does not count, and what is of a dead one goes."""
    (tmp_path / ".nfs,5,6").touch()
    (tmp_path / "read,00000000000000000001,1,R1").touch()
    (tmp_path / "write,00000000000000000001,1,R1").touch()
    first = ticket(tmp_path, run="a,b")
    clock[:] = [6.0]
    second = ticket(tmp_path, run="R2")
    assert (first.first(False), first.first(True)) == (True, True)
    assert (second.first(False), second.first(True)) == (False, True)
    names = {".nfs,5,6", "read,00000000000000000001,1,R1", first.name, second.name}
    assert set(os.listdir(tmp_path)) == names
    os.unlink(tmp_path / second.name)
    first.drop()
    assert second.first(False) is True
    second.drop()
