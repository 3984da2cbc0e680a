# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""transfer with resume: what an interrupted one leaves, and when that is used again."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import look, part, place
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer.frames import HEAD
from ansible_collections.plumbing.socketpipe.tests.unit.transfers import (
    asked,
    facts,
    receive,
    request,
    sent,
    source,
    whole,
)

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
DATA = b"0123456789" * 300
CUT = 1234  # bytes of DATA that have arrived


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def part_of(dest: Path, told: dict[str, Any]) -> Path:
    return Path(os.fsdecode(place.temporary(os.fsencode(dest), told)))


def interrupted(dest: Path, told: dict[str, Any]) -> Path:
    """The part that a stream leaves that ends early."""
    with pytest.raises(Problem) as caught:
        receive(request(dest, told, resume=True), HEAD.pack(0, len(DATA)) + DATA[:CUT])
    assert caught.value.kind == "incomplete"
    return part_of(dest, told)


def found(dest: Path, told: dict[str, Any]) -> dict[str, Any]:
    return look.look_destination(asked(dest, told, resume=True))


def again(dest: Path, told: dict[str, Any], meanwhile: Callable[[], object] | None = None) -> bytes:
    """Continue with what the look finds; returns the stream."""
    there = found(dest, told)["part"]
    start = there["size"] if there else 0
    stream = sent(Path(told["path"]), told, start=start)
    receive(request(dest, told, resume=True, part=there), stream, meanwhile)
    return stream


def test_only_the_rest_is_sent(tmp_path: Path, folder: Path) -> None:
    told, dest = source(tmp_path, DATA), folder / "dest"
    left = interrupted(dest, told)
    assert os.listdir(folder) == [left.name] and left.read_bytes() == DATA[:CUT]
    assert left.stat().st_mode & 0o7777 == 0o600
    inode = left.stat().st_ino
    stream = again(dest, told)
    assert stream == HEAD.pack(CUT, len(DATA) - CUT) + DATA[CUT:] + HEAD.pack(len(DATA), 0)
    assert dest.read_bytes() == DATA and os.listdir(folder) == ["dest"]
    assert dest.stat().st_ino == inode and found(dest, told)["do"] == "nothing"


def test_it_may_be_interrupted_at_any_byte(tmp_path: Path, folder: Path) -> None:
    """Also twice, also when everything but the end had arrived."""
    told, dest = source(tmp_path, DATA), folder / "dest"
    stream = sent(Path(told["path"]), told)
    for length in (HEAD.size, HEAD.size + 1, HEAD.size + 2000, len(stream) - HEAD.size, len(stream) - 1):
        with pytest.raises(Problem):
            receive(request(dest, told, resume=True), stream[:length])
        there = found(dest, told)["part"]
        assert (there["size"] if there else 0) == min(length - HEAD.size, len(DATA))
        if there and there["size"] < len(DATA):
            rest = sent(Path(told["path"]), told, start=there["size"])
            with pytest.raises(Problem):
                receive(request(dest, told, resume=True, part=there), rest[: HEAD.size + 1])
            assert found(dest, told)["part"]["size"] == there["size"] + 1
        again(dest, told)
        assert dest.read_bytes() == DATA and os.listdir(folder) == ["dest"]
        dest.unlink()


def test_holes(tmp_path: Path, folder: Path) -> None:
    """Before and after the place where it broke off."""
    path, dest = tmp_path / "sparse", folder / "dest"
    with path.open("wb") as file:
        for start in (0, 1024 * 1024, 3 * 1024 * 1024):
            file.seek(start)
            file.write(b"a" * 8192)
        file.truncate(8 * 1024 * 1024)
    told = facts(path)
    stream = sent(path)
    with pytest.raises(Problem):
        receive(request(dest, told, resume=True), stream[: 3 * HEAD.size + 8192 + 100])
    rest = again(dest, told)
    assert len(rest) < len(stream)
    assert dest.read_bytes() == path.read_bytes() and dest.stat().st_blocks == path.stat().st_blocks


def test_without_resume_nothing_stays(tmp_path: Path, folder: Path) -> None:
    """Nor does the part of an earlier run with it."""
    told, dest = source(tmp_path, DATA), folder / "dest"
    interrupted(dest, told)
    with pytest.raises(Problem):
        receive(request(dest, told), HEAD.pack(0, len(DATA)) + DATA[:CUT])
    assert os.listdir(folder) == []


def test_a_part_of_another_source_is_removed(tmp_path: Path, folder: Path) -> None:
    """So there is one at most."""
    told, dest = source(tmp_path, DATA), folder / "dest"
    interrupted(dest, told)
    os.utime(told["path"], ns=(1, 1))
    told = facts(Path(told["path"]))
    assert found(dest, told)["part"] is None
    left = interrupted(dest, told)
    assert os.listdir(folder) == [left.name]


@pytest.mark.parametrize("step", ["chmod", "utime", "fsync", "rename"])
def test_a_complete_file_that_fails_later_does_not_stay(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The new owner may have opened it for writing."""
    told, dest = source(tmp_path, DATA), folder / "dest"

    def refuse(*_words: object, **_more: object) -> None:
        raise OSError(errno.EIO, "no")

    stream = whole(told)
    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(Problem):
        receive(request(dest, told, resume=True), stream)
    assert os.listdir(folder) == []


@pytest.mark.parametrize("step", ["pwrite", "ftruncate"])
def test_a_full_disk(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """What has arrived stays; without a byte of data there is nothing to keep."""
    told, dest = source(tmp_path, DATA), folder / "dest"

    def refuse(*_words: object) -> None:
        raise OSError(errno.ENOSPC, "no")

    stream = whole(told)
    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(Problem) as caught:
        receive(request(dest, told, resume=True), stream)
    assert caught.value.kind == "no room"
    assert os.listdir(folder) == ([] if step == "pwrite" else [part_of(dest, told).name])


# -- what is not trusted


def two_names(left: Path) -> None:
    os.link(left, left.with_name("second"))


def to_a_link(left: Path) -> None:
    left.rename(left.with_name("target"))
    left.symlink_to("target")


def to_a_fifo(left: Path) -> None:
    left.unlink()
    os.mkfifo(left, 0o600)


@pytest.mark.parametrize(("change", "why"), [
    (lambda left: left.chmod(0o640), "its mode is 0640, not 0600"),
    (two_names, "it has 2 names"),
    (to_a_link, "it is a link"),
    (to_a_fifo, "it is no regular file"),
    pytest.param(lambda left: os.chown(left, 12, 34), "it belongs to user", marks=ROOT),
])  # fmt: skip
def test_a_part_that_is_not_ours(tmp_path: Path, folder: Path, change: Callable[[Path], None], why: str) -> None:
    """It is named, not used and removed; what it leads to is left alone."""
    told, dest = source(tmp_path, DATA), folder / "dest"
    left = interrupted(dest, told)
    change(left)
    others = {path.name: path.read_bytes() for path in folder.iterdir() if path != left}
    said = found(dest, told)
    assert said["part"] is None and said["refused"].startswith(f"{left} is not used: {why}")
    assert again(dest, told) == whole(told)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {**others, "dest": DATA}


def more(left: Path) -> None:
    with left.open("ab") as file:
        file.write(b"x")


def other(left: Path) -> None:
    content = left.read_bytes()
    left.rename(left.with_name("second"))
    left.write_bytes(content)
    left.chmod(0o600)


@pytest.mark.parametrize("change", [
    more, other, lambda left: os.utime(left, ns=(1, 1)), Path.unlink, to_a_link, lambda left: left.chmod(0o666),
])  # fmt: skip
def test_a_part_that_changes_after_it_was_compared(
    tmp_path: Path, folder: Path, change: Callable[[Path], None]
) -> None:
    told, dest = source(tmp_path, DATA), folder / "dest"
    dest.write_bytes(b"old")
    left = interrupted(dest, told)
    there = found(dest, told)["part"]
    change(left)
    before = sorted(os.listdir(folder))
    stream = sent(Path(told["path"]), told, start=CUT)
    with pytest.raises(Problem) as caught:
        receive(request(dest, told, resume=True, part=there), stream)
    assert (str(caught.value), caught.value.kind) == (f"{left} was changed after the look: run it again", "changed")
    assert dest.read_bytes() == b"old" and sorted(os.listdir(folder)) == before
    with pytest.raises(Problem) as caught:
        part.checksum({"path": str(dest), "source": None, "part": there})
    assert caught.value.kind == "changed"


def test_a_part_that_is_being_written(tmp_path: Path, folder: Path) -> None:
    told, dest = source(tmp_path, DATA), folder / "dest"
    left = interrupted(dest, told)
    there = found(dest, told)["part"]
    with left.open("rb+") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        for use in (
            lambda: found(dest, told),
            lambda: receive(request(dest, told, resume=True, part=there), whole(told)),
        ):
            with pytest.raises(Problem) as caught:
                use()
            assert caught.value.kind == "busy" and str(left) in str(caught.value)
    assert left.read_bytes() == DATA[:CUT]


def test_the_checksums_of_both_sides(tmp_path: Path, folder: Path) -> None:
    """Of the bytes that the part has."""
    told, dest = source(tmp_path, DATA), folder / "dest"
    left = interrupted(dest, told)
    there = found(dest, told)["part"]
    sums = [
        part.checksum({"path": told["path"], "source": told, "part": there}),
        part.checksum({"path": str(dest), "source": None, "part": there}),
    ]
    assert sums == [{"sha256": hashlib.sha256(DATA[:CUT]).hexdigest()}] * 2
    left.write_bytes(b"x" * CUT)
    there = found(dest, told)["part"]
    assert part.checksum({"path": str(dest), "source": None, "part": there}) != sums[0]
    os.utime(told["path"], ns=(1, 1))
    with pytest.raises(Problem) as caught:
        part.checksum({"path": told["path"], "source": told, "part": there})
    assert caught.value.kind == "changed"


def test_a_source_that_changed_is_not_continued(tmp_path: Path) -> None:
    told = source(tmp_path, DATA)
    os.utime(told["path"], ns=(1, 1))
    with pytest.raises(Problem) as caught:
        sent(Path(told["path"]), told, start=CUT)
    assert caught.value.kind == "changed"


def test_a_stream_from_another_place(tmp_path: Path, folder: Path) -> None:
    """The part is not overwritten."""
    told, dest = source(tmp_path, DATA), folder / "dest"
    left = interrupted(dest, told)
    there = found(dest, told)["part"]
    with pytest.raises(Problem) as caught:
        receive(request(dest, told, resume=True, part=there), whole(told))
    assert str(caught.value) == "the stream is not that of this file"
    assert left.read_bytes() == DATA[:CUT]


def test_room_for_the_rest(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, dest = source(tmp_path, DATA), folder / "dest"
    left = interrupted(dest, told)
    needed: list[int] = []
    monkeypatch.setattr(look, "check_room", lambda _path, needs: needed.append(needs))
    found(dest, told)
    look.look_destination(asked(dest, told))
    assert needed == [told["allocated"] - left.stat().st_blocks * 512, told["allocated"]]
