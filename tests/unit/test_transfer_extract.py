# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory received without GNU tar: the end of its stream, its directories, and each kind of file."""

from __future__ import annotations

import errno
import grp
import io
import os
import pwd
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import files, tree_extract
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer.tree_extract import Tail, Target

OWNER, GROUP = os.geteuid(), os.getegid()
WHEN = "1234567890.123456789"


def descriptors() -> set[str]:
    """Those that are open, without that of the look itself."""
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """An open directory; afterwards no other descriptor is left."""
    folder, umask = os.open(tmp_path, os.O_RDONLY), os.umask(0)
    before = descriptors()
    made = Target(folder, os.fsencode(tmp_path))
    yield made
    made.leave()
    os.umask(umask)
    assert descriptors() == before
    os.close(folder)


def member(name: str, kind: bytes = tarfile.REGTYPE, **more: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.uid, made.gid, made.pax_headers = kind, 0o642, OWNER, GROUP, {"mtime": WHEN}
    for key, value in more.items():
        setattr(made, key, value)
    return made


# -- the end of the stream


class Slow(io.BytesIO):
    """A stream that comes in pieces of seven bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(7, size or 7))


DAMAGED, EARLY = "the archive is damaged at byte 100", "the stream ended before the end of the archive"


@pytest.mark.parametrize(
    ("read", "rest", "problem"),
    [
        (100, bytes(1024), ""),
        (100, bytes(1023), EARLY),
        (100, b"", EARLY),
        (100, bytes(5000), ""),
        (100, bytes(5000) + b"x", DAMAGED),
        (100, b"x" + bytes(5000), DAMAGED),
        (101, bytes(1024), ""),
        (101, b"x" + bytes(1023), DAMAGED),
        (164, bytes(1024), ""),  # all that is remembered
        (164, b"x" + bytes(1023), DAMAGED),
        (165, bytes(1024), DAMAGED),  # and less than would have to be
    ],
)
def test_the_end_of_an_archive(monkeypatch: pytest.MonkeyPatch, read: int, rest: bytes, problem: str) -> None:
    """After 100 bytes, of which the last 64 are remembered; so many had been read when the end was found."""
    monkeypatch.setattr(tree_extract, "BUFFER", 16)
    tail = Tail(Slow(b"a" * 100 + rest))
    while tail.total < read:
        tail.read(min(7, read - tail.total))
    assert (tail.total, len(tail.window)) == (read, 64)
    if not problem:
        tail.check_end(100)
        return
    with pytest.raises(Problem) as caught:
        tail.check_end(100)
    assert (str(caught.value), caught.value.kind) == (problem, files.INCOMPLETE)


def test_a_stream_that_breaks_off() -> None:
    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(errno.ECONNRESET, "Connection reset by peer")

    with pytest.raises(Problem) as caught:
        Tail(Broken()).read(1)
    assert (str(caught.value), caught.value.kind) == (
        "the archive was broken off (Connection reset by peer)",
        files.INCOMPLETE,
    )


def test_after_a_directory_everything_is_as_before(tmp_path: Path) -> None:
    """The descriptors and the umask, whether it has come or not."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(member("a/b", size=3), io.BytesIO(b"new"))
    umask = os.umask(0o027)
    folder, (reader, writer) = os.open(tmp_path, os.O_RDONLY), os.pipe()
    before = descriptors()
    try:
        os.write(writer, data.getvalue())
        os.close(writer)
        tree_extract.receive(folder, reader, os.fsencode(tmp_path))
        with pytest.raises(Problem, match="^the archive is incomplete or damaged "):
            tree_extract.receive(folder, reader, os.fsencode(tmp_path))
        assert {*descriptors(), str(writer)} == before
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(umask)
        os.close(reader)
        os.close(folder)
    assert (tmp_path / "a/b").read_bytes() == b"new"
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o642]


# -- directories


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (".", []),
        ("", []),
        ("./a", [b"a"]),
        ("a//b/./c/", [b"a", b"b", b"c"]),
        ("a..", [b"a.."]),
        ("\udcff", [b"\xff"]),
        ("/a", None),
        ("..", None),
        ("a/../b", None),
    ],
)
def test_names(target: Target, name: str, parts: list[bytes] | None) -> None:
    if parts is not None:
        assert target.parts(name) == parts
        return
    with pytest.raises(Problem) as caught:
        target.parts(name)
    assert (str(caught.value), caught.value.kind) == (
        f"the archive has a file {name} outside of its directory",
        files.INCOMPLETE,
    )


def test_directories_on_the_way(target: Target, tmp_path: Path) -> None:
    """They are made for nobody else, and stay open until another one is needed."""
    fd = target.enter([b"a", b"b"])
    assert os.path.samestat(os.fstat(fd), (tmp_path / "a/b").stat()) and not os.get_inheritable(fd)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]
    (tmp_path / "a").rename(tmp_path / "moved")
    assert target.enter([b"a", b"b"]) == fd and os.path.samestat(os.fstat(fd), (tmp_path / "moved/b").stat())
    assert os.path.samestat(os.fstat(target.enter([])), tmp_path.stat())
    assert os.path.samestat(os.fstat(target.enter([b"moved"])), (tmp_path / "moved").stat())
    for _again in range(2):
        target.leave()
        assert target.fd == -1
    assert os.path.samestat(os.fstat(target.enter([b"moved"])), (tmp_path / "moved").stat())


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_directory_on_the_way(target: Target, tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        target.enter([os.fsencode(kind), b"b"])
    assert os.listdir(tmp_path / "real") == [] and target.fd == -1


@pytest.mark.parametrize("there", ["none", "directory", "file", "link"])
def test_a_directory_that_is_made(target: Target, tmp_path: Path, there: str) -> None:
    (tmp_path / "other").mkdir()
    {
        "none": lambda path: None,
        "directory": lambda path: path.mkdir(mode=0o750),
        "file": lambda path: path.touch(),
        "link": lambda path: path.symlink_to("other"),
    }[there](tmp_path / "x")
    target.make_directory(target.folder, b"x")
    found = os.lstat(tmp_path / "x")
    assert stat.S_ISDIR(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == (0o750 if there == "directory" else 0o700)


def test_attributes_of_directories_come_last(target: Target, tmp_path: Path) -> None:
    """From the innermost one on, and also those of the target itself."""
    archive: Any = None
    for name in (".", "a", "a/b"):
        target.add(archive, member(name, tarfile.DIRTYPE, mode=0o750))
    os.mkfifo(tmp_path / "a/b/late")
    target.finish()
    for path in (tmp_path, tmp_path / "a", tmp_path / "a/b"):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime_ns) == (0o750, 1234567890123456789)
    (tmp_path / "a/b/late").unlink()
    (tmp_path / "a/b").rmdir()
    (tmp_path / "a/b").touch()
    with pytest.raises(Problem, match=f"^{tmp_path}/a/b cannot be given its owner, mode and time: Not a directory"):
        target.finish()


# -- files


@pytest.mark.parametrize("there", ["none", "file", "link", "empty", "full"])
def test_what_is_in_the_place_of_a_file(target: Target, tmp_path: Path, there: str) -> None:
    path, other = tmp_path / "x", tmp_path / "other"
    other.touch()
    {
        "none": lambda: None,
        "file": path.touch,
        "link": lambda: path.symlink_to(other),
        "empty": path.mkdir,
        "full": lambda: (path / "y").mkdir(parents=True),
    }[there]()
    if there == "full":
        with pytest.raises(OSError) as caught:
            tree_extract.remove(target.folder, b"x")
        assert caught.value.errno == errno.ENOTEMPTY
        return
    tree_extract.remove(target.folder, b"x")
    assert os.listdir(tmp_path) == ["other"]


def test_what_cannot_be_removed(target: Target) -> None:
    with pytest.raises(OSError) as caught:
        tree_extract.remove(target.folder, b"x" * 300)
    assert caught.value.errno == errno.ENAMETOOLONG


def failing(number: int) -> Any:
    def fail(*_given: object, **_more: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_directory_in_the_place_of_a_file_of_other_systems(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For which POSIX has EPERM, and Linux EISDIR."""
    (tmp_path / "x").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", failing(errno.EPERM))
        tree_extract.remove(target.folder, b"x")
    assert os.listdir(tmp_path) == []


def test_a_file(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose data arrive in parts, and which nobody else can open before they are there."""
    monkeypatch.setattr(tree_extract, "BUFFER", 4)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(member("x", size=11), io.BytesIO(b"0000111" + bytes(4)))
    data.seek(0)
    modes = []
    real = target.settle

    def settle(fd: int, told: tarfile.TarInfo) -> None:
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        real(fd, told)

    monkeypatch.setattr(target, "settle", settle)
    with tarfile.open(fileobj=data) as archive:
        target.add(archive, archive.getmembers()[0])
    found = (tmp_path / "x").stat()
    assert (tmp_path / "x").read_bytes() == b"0000111" + bytes(4) and modes == [0o600]
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o642, 1234567890123456789)


def test_a_file_that_cannot_be_written(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    archive: Any = None
    monkeypatch.setattr(target, "write", failing(errno.ENOSPC))
    with pytest.raises(Problem, match=r"/a/x cannot be written: there is no room left$") as caught:
        target.add(archive, member("a/x"))
    assert caught.value.kind == files.NO_ROOM


def test_a_hard_link(target: Target, tmp_path: Path) -> None:
    """Also to a symbolic link, which is not followed."""
    archive: Any = None
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").symlink_to("nowhere")
    target.add(archive, member("b/y", tarfile.LNKTYPE, linkname="./a/x"))
    assert os.path.samestat(os.lstat(tmp_path / "a/x"), os.lstat(tmp_path / "b/y"))
    with pytest.raises(Problem, match=r"^the archive has a file \.\./x outside of its directory$"):
        target.add(archive, member("b/z", tarfile.LNKTYPE, linkname="../x"))


@pytest.mark.parametrize(
    ("kind", "mode", "device"),
    [
        (tarfile.SYMTYPE, stat.S_IFLNK, None),
        (tarfile.FIFOTYPE, stat.S_IFIFO | 0o642, None),
        (tarfile.CHRTYPE, stat.S_IFCHR | 0o642, (5, 7)),
        (tarfile.BLKTYPE, stat.S_IFBLK | 0o642, (5, 7)),
    ],
)
@pytest.mark.parametrize("root", [False, True])
def test_special_files(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes, mode: int, device: Any, root: bool
) -> None:
    """Only root may set their owner, and make devices: here a FIFO in their place."""
    nodes, owners = [], []

    def mknod(name: bytes, mode: int, device: int, dir_fd: int) -> None:
        nodes.append((mode, (os.major(device), os.minor(device))))
        os.mkfifo(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mknod", mknod)
    monkeypatch.setattr(os, "chown", lambda _name, *owner, dir_fd, follow_symlinks: owners.append(owner))
    target.root = root
    archive: Any = None
    target.add(archive, member("x", kind, linkname="some/where", devmajor=5, devminor=7))
    found = os.lstat(tmp_path / "x")
    assert nodes == ([(mode, device)] if device else [])
    if stat.S_ISLNK(mode):
        assert os.readlink(tmp_path / "x") == "some/where"
    elif not device:
        assert found.st_mode == mode
    assert found.st_mtime_ns == 1234567890123456789 and owners == [(OWNER, GROUP)] * root


def test_a_file_of_unknown_type(target: Target) -> None:
    archive: Any = None
    with pytest.raises(Problem) as caught:
        target.add(archive, member("x", b"?"))
    assert (str(caught.value), caught.value.kind) == (
        "the archive has a file of unknown type, x",
        files.INCOMPLETE,
    )


# -- attributes


@pytest.mark.parametrize("root", [False, True])
def test_who_sets_the_owner(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bool) -> None:
    """Before the mode, because a new owner clears some bits of it."""
    done: list[Any] = []
    monkeypatch.setattr(os, "chown", lambda _fd, *owner: done.append(owner))
    monkeypatch.setattr(os, "chmod", lambda _fd, mode: done.append(mode))
    target.root = root
    target.settle(target.folder, member("x", mode=0o104755, uid=5, gid=6))
    assert done == [(5, 6)] * root + [0o4755]
    assert tmp_path.stat().st_mtime_ns == 1234567890123456789


NOBODY = pwd.getpwnam("nobody").pw_uid
GROUPS = [each.gr_name for each in grp.getgrall() if each.gr_gid]


@pytest.mark.parametrize(
    ("name", "database", "found"),
    [
        ("root", "user", 0),
        ("root", "group", 0),
        ("nobody", "user", NOBODY),
        (GROUPS[0], "group", grp.getgrnam(GROUPS[0]).gr_gid),
        ("nobody-here", "user", 7),
        ("nobody-here", "group", 7),
        ("nul\0", "user", 7),
        ("", "user", 7),
        ("", "group", 7),
    ],
)
def test_numbers_of_names(name: str, database: str, found: int) -> None:
    assert tree_extract.number(name, 7, database) == found


@pytest.mark.parametrize(
    ("header", "mtime", "expected"),
    [
        ({"mtime": WHEN}, 5, 1234567890123456789),
        ({"mtime": "-1.5"}, 5, -1500000000),
        ({}, 5, 5 * 10**9),
        ({}, 0.5, 5 * 10**8),
    ],
)
def test_times(header: dict[str, str], mtime: Any, expected: int) -> None:
    made = member("x", pax_headers=header, mtime=mtime)
    assert tree_extract.times(made) == (expected, expected)
