# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the program of transfer that need no stream: names, owners, modes, times, and the new file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import SETTINGS, Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import (
    files,
    look,
    part,
    place,
    sender,
    sink,
)

OWNER, GROUP = os.geteuid(), os.getegid()

# -- names


@pytest.mark.parametrize("length", [1, 127, 128])
def test_a_temporary_name_begins_like_its_destination(length: int) -> None:
    name = b"x" * length
    source = {"size": 1, "mtime": 2, "inode": 3}
    assert place.stem(b"/a/" + name) == b"." + name + b"."
    assert place.temporary(b"/a/" + name, source) == b"/a/." + name + b".1-2-3" + place.SUFFIX


def test_long_names_stay_different() -> None:
    stems = [place.stem(b"/a/" + b"x" * 128 + last) for last in (b"y", b"z")]
    assert [each[:102] for each in stems] == [b"." + b"x" * 100 + b"~"] * 2 and stems[0] != stems[1]
    assert {len(each) for each in stems} == {119}


# -- a look


@pytest.mark.parametrize(
    ("needed", "blocks", "refused"), [(10 * 512, 100, False), (10 * 512 + 1, 100, True), (10 * 512 + 1, 0, False)]
)
def test_room(monkeypatch: pytest.MonkeyPatch, needed: int, blocks: int, refused: bool) -> None:
    found = SimpleNamespace(f_bfree=10, f_bavail=10, f_blocks=blocks, f_frsize=512)
    monkeypatch.setattr(look.os, "statvfs", lambda _folder: found)
    if not refused:
        look.check_room(b"/a/b", needed)
        return
    text = "^there is no room in /a: the file needs 5121 bytes, and 5120 are free$"
    with pytest.raises(Problem, match=text) as caught:
        look.check_room(b"/a/b", needed)
    assert caught.value.kind == files.NO_ROOM


@pytest.mark.parametrize(
    ("given", "found"),
    [(None, None), ("root", 0), ("0", 0), ("4711", 4711), ("4294967294", 2**32 - 2)]
    + [(each, "none") for each in ("4294967295", "-1", "no such", "\u0664", "\udcff", "")],
)
@pytest.mark.parametrize("database", ["user", "group"])
def test_users_and_groups(given: str | None, found: object, database: str) -> None:
    if found != "none":
        assert look.number_of(given, database) == found
        return
    with pytest.raises(Problem, match=f"^there is no {database} ") as caught:
        look.number_of(given, database)
    assert caught.value.kind == SETTINGS


def status(uid: int = 1000, gid: int = 100, mode: int = 0o644) -> Any:
    return SimpleNamespace(st_uid=uid, st_gid=gid, st_mode=stat.S_IFREG | mode)


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """User 1000 in the groups 100 and 200."""
    for name, value in (("geteuid", 1000), ("getegid", 100), ("getgroups", [200])):
        monkeypatch.setattr(look.os, name, lambda value=value: value)
    yield


@pytest.mark.usefixtures("as_user")
@pytest.mark.parametrize(
    ("uid", "gid", "of_file", "refused"),
    [
        (None, None, None, ""),
        (1000, 100, None, ""),
        (1000, 200, None, ""),
        (1001, None, None, "only root may give a file to user "),
        (None, 300, None, " is not in the group "),
        (1001, 300, status(1001, 300), ""),
        (1000, None, status(1001), "only root may give a file to user "),
    ],
)
def test_who_may_own_a_file(uid: int | None, gid: int | None, of_file: Any, refused: str) -> None:
    if not refused:
        look.check_owner(uid, gid, of_file)
        return
    with pytest.raises(Problem, match=refused) as caught:
        look.check_owner(uid, gid, of_file)
    assert caught.value.kind == files.NOT_PERMITTED


@pytest.mark.usefixtures("as_user")
@pytest.mark.parametrize(
    ("asked", "current", "folder", "found"),
    [
        ((None, None), None, 0o755, (1000, 100)),
        ((None, None), None, stat.S_ISGID | 0o755, (1000, 500)),
        ((7, 8), status(), stat.S_ISGID | 0o755, (7, 8)),
        ((None, None), status(7, 200), 0o755, (1000, 200)),
        ((None, None), status(7, 300), 0o755, (1000, 100)),
    ],
)
def test_owners_of_a_new_file(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[Any, Any], current: Any, folder: int, found: tuple[int, int]
) -> None:
    monkeypatch.setattr(look.os, "stat", lambda _path: SimpleNamespace(st_mode=folder, st_gid=500))
    assert look.owners(*asked, current, b"/a") == found
    monkeypatch.setattr(look.os, "geteuid", lambda: 0)  # root keeps the owners of the old file
    if current and asked == (None, None):
        assert look.owners(*asked, current, b"/a") == (current.st_uid, current.st_gid)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "group", "kept"),
    [
        (0o6755, 1000, 100, False, 0o6755),
        (0o6755, 1001, 100, False, 0o755),
        (0o6755, 1000, 200, True, 0o755),
        (0o1664, 1000, 200, False, 0o1644),  # the new group has what all others have
        (0o660, 1000, 200, False, 0o600),
        (0o677, 1000, 200, False, 0o677),
        (0o660, 1000, 200, True, 0o660),
    ],
)
def test_the_mode_of_the_old_file(mode: int, uid: int, gid: int, group: bool, kept: int) -> None:
    assert look.kept_mode(status(mode=mode), uid, gid, group) == kept


@pytest.mark.parametrize(
    ("asked", "current", "mode"),
    [
        ("preserve", None, 0o4777),
        (0o600, status(), 0o600),
        (None, status(mode=0o640), 0o640),
        (None, None, 0o755),
    ],
)
def test_the_mode_of_a_new_file(monkeypatch: pytest.MonkeyPatch, asked: Any, current: Any, mode: int) -> None:
    monkeypatch.setattr(look, "umask", lambda: 0o022)
    given = {"mode": asked, "source": {"mode": 0o4777}}
    assert look.wanted(given, None, 100, current, (1000, 100)) == {"uid": None, "gid": 100, "mode": mode}


def test_the_umask_stays() -> None:
    old = os.umask(0o027)
    try:
        assert look.umask() == look.umask() == 0o027
    finally:
        os.umask(old)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1_234_567_891, 1_234_567_891, True),
        (1_234_567_800, 1_234_567_891, True),
        (1_234_567_891, 1_234_567_000, True),
        (1_000_000_000, 1_234_567_891, True),
        (1_234_567_890, 1_234_567_891, False),
        (0, 1_234_567_891, True),
        (0, 2_234_567_891, False),
        (1_234_500_000, 1_234_567_891, False),
    ],
)
def test_coarser_clocks(one: int, other: int, same: bool) -> None:
    assert [look.same_time(*pair) for pair in itertools.permutations((one, other))] == [same, same]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (SimpleNamespace(st_mode=stat.S_IFREG | 0o600, st_uid=OWNER, st_nlink=1), ""),
        (SimpleNamespace(st_mode=stat.S_IFIFO | 0o600, st_uid=OWNER, st_nlink=1), "it is no regular file"),
        (SimpleNamespace(st_mode=stat.S_IFREG | 0o600, st_uid=4711, st_nlink=1), "it belongs to user 4711"),
        (SimpleNamespace(st_mode=stat.S_IFREG | 0o640, st_uid=OWNER, st_nlink=1), "its mode is 0640, not 0600"),
        (SimpleNamespace(st_mode=stat.S_IFREG | 0o600, st_uid=OWNER, st_nlink=2), "it has 2 names"),
    ],
)
def test_a_part_that_is_not_used(found: Any, why: str) -> None:
    assert part.refusal(found) == why


# -- a checksum


@pytest.mark.parametrize("size", [None, 0, 1, 5, 6, 100])
def test_the_checksum_of_the_beginning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int | None) -> None:
    monkeypatch.setattr(files, "CHUNK", 4)
    (tmp_path / "x").write_bytes(b"012345")
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        assert files.sha256(fd, b"x", size) == hashlib.sha256(b"012345"[:size]).hexdigest()
    finally:
        os.close(fd)


# -- the sender


def sent(path: Path, start: int = 0) -> tuple[int, bytes]:
    """(the bytes of data that it says, what it has written)."""
    source, target = os.pipe()
    with os.fdopen(source, "rb") as reading:
        try:
            made = sender.Sender(target, os.fsencode(path), files.facts(path.stat()), start)
            count = made.send()
        finally:
            os.close(target)
        return count, reading.read()


def failing(number: int) -> Any:
    def fail(*_given: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [0, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
@pytest.mark.parametrize("start", [0, 400])
def test_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, start: int) -> None:
    """Also where a file system does not know sendfile(2)."""
    if number:
        monkeypatch.setattr(os, "sendfile", failing(number))
    path = tmp_path / "x"
    path.write_bytes(bytes(range(250)) * 4)
    head, rest = sender.HEAD.pack(start, 1000 - start), sender.HEAD.pack(1000, 0)
    assert sent(path, start) == (1000 - start, head + path.read_bytes()[start:] + rest)


def test_an_empty_file_is_sent(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert sent(tmp_path / "x") == (0, sender.HEAD.pack(0, 0))


@pytest.mark.parametrize(
    ("sendfile", "pread", "text"),
    [
        (errno.EIO, 0, "^.*/x cannot be read: Input/output error"),
        (errno.EINVAL, errno.EIO, "^.*/x cannot be read: Input/output error"),
        (errno.EINVAL, errno.ESTALE, "^.*/x cannot be read: Stale file handle"),
        (errno.EPIPE, 0, None),
    ],
)
def test_a_source_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sendfile: int, pread: int, text: str | None
) -> None:
    """Unlike another side that is gone."""
    (tmp_path / "x").write_text("data")
    monkeypatch.setattr(os, "sendfile", failing(sendfile))
    monkeypatch.setattr(os, "pread", failing(pread))
    with pytest.raises(Problem if text else BrokenPipeError, match=text):
        sent(tmp_path / "x")


def test_a_source_without_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("data")
    monkeypatch.setattr(os, "sendfile", lambda *_given: 0)
    with pytest.raises(Problem, match="/x cannot be read: no data at byte 0"):
        sent(tmp_path / "x")


# -- the new file


SOURCE = {"size": 3, "mtime": 1_600_000_000_000_000_000, "inode": 5}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sink.Sink]:
    with sink.opened(os.fsencode(path), dict(SOURCE), place.identity(os.fsencode(path.parent))) as made:
        made.write(memoryview(b"new"), 0)
        yield made


def test_it_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with opened(path) as made:
        made.settle({"uid": None, "gid": None, "mode": 0o640}, None)
        made.commit(backup=False, force=True)
        assert made.part == b""
    found = path.stat()
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["x"]
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o640, OWNER, GROUP)
    assert found.st_mtime_ns == SOURCE["mtime"]


def test_old_files_keep_a_name_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink.time, "strftime", lambda *_given: "2026")
    path = tmp_path / "x"
    names = []
    for number in range(4):
        with opened(path) as made:
            made.write(memoryview(b"%d" % number), 0)
            made.commit(backup=True, force=True)
            names.append(os.path.basename(made.backup))
    assert names == [b"", b"x.2026~", b"x.2026.1~", b"x.2026.2~"]
    assert [(tmp_path / os.fsdecode(name)).read_text() for name in names[1:]] == ["0ew", "1ew", "2ew"]


def test_another_file_with_its_name_does_not_take_the_place(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(Problem, match="^another file has taken the place of ") as caught, opened(path) as made:
        os.unlink(made.part)
        Path(os.fsdecode(made.part)).write_text("forged")
        made.commit(backup=False, force=True)
    assert caught.value.kind == files.CHANGED and path.read_text() == "old"


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with opened(path) as made:
        made.commit(backup=False, force=False)
    with pytest.raises(Problem, match=" was created by another program after the look$"), opened(path) as made:
        made.commit(backup=False, force=False)
    assert os.listdir(tmp_path) == ["x"]


class Feed:
    """A stream of zeros in pieces of a mebibyte, which costs no memory."""

    def __init__(self, *pieces: tuple[int, int]) -> None:
        self.pieces = iter(pieces)
        self.data = memoryview(bytes(1024 * 1024))

    def head(self) -> tuple[int, int]:
        return next(self.pieces)

    def some(self, most: int) -> memoryview:
        return self.data[:most]


def test_how_often_data_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each 64 MiB that have come, wherever they are in the file."""
    mib = 1024 * 1024
    size = 1000 * mib
    made = sink.Sink(b"/x", {"size": size}, keeps=True)
    written = [0]
    synced = []
    monkeypatch.setattr(made, "write", lambda data, _place: written.append(written[-1] + len(data)))
    monkeypatch.setattr(made, "sync", lambda: synced.append(written[-1] // mib))
    monkeypatch.setattr(sink.os, "ftruncate", lambda *_given: None)
    feed: Any = Feed((0, 63 * mib), (100 * mib, 100 * mib), (300 * mib, 28 * mib), (500 * mib, mib), (size, 0))
    made.receive(feed)
    assert (synced, written[-1] // mib, made.keeps) == ([64, 128, 192], 192, False)
