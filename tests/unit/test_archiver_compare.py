# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing files with lines of tar, without a tar: each kind of difference, and each that is none."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import compare

WHEN = 1_234_567_890_123_456_789
TOLD = "2009-02-13 23:31:30.123456789"


def line(path: Path, name: str, kind: str = "-", **more: Any) -> bytes:
    """The line of tar for a file as it is now, apart from what is given."""
    at = path.lstat()
    found = {
        "mode": stat.filemode(at.st_mode)[1:],
        "uid": at.st_uid,
        "gid": at.st_gid,
        "size": at.st_size,
        "time": TOLD,
        **more,
    }
    return (kind + "{mode} {uid}/{gid} {size} {time} ".format(**found) + name).encode()


def write(path: Path, text: str = "") -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o640)
    os.utime(path, ns=(WHEN, WHEN))
    return path


def fill(to: Path) -> dict[str, bytes]:
    """{what it is: the line of a file that is as it was}."""
    write(to / "file", "text")
    os.link(to / "file", to / "second")
    (to / "folder").mkdir()
    (to / "link").symlink_to("a b")
    os.mkfifo(to / "fifo")
    for name in ("folder", "link", "fifo"):
        os.utime(to / name, ns=(WHEN, WHEN), follow_symlinks=False)
    return {
        "file": line(to / "file", '"./file"'),
        "contiguous file": line(to / "file", '"./file"', "C"),
        "hard link": line(to / "file", '"./second" link to "./file"', "h"),
        "folder": line(to / "folder", '"./folder/"', "d", size=0),
        "link": line(to / "link", '"./link" -> "a b"', "l", mode="rwxr-xr-x"),
        "fifo": line(to / "fifo", '"./fifo"', "p"),
        "all": line(to / "file", '"./"', "d"),  # the directory itself has an owner and a mode of its own
    }


@pytest.fixture
def by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_what_is_as_it_was(tmp_path: Path, by_root: None) -> None:
    found = {what: compare.different(os.fsencode(tmp_path), told) for what, told in fill(tmp_path).items()}
    assert set(found.values()) == {""}, found


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        (lambda to: write(to / "file", "more text"), "file", "/file: has 9 bytes, not 4"),
        (lambda to: (to / "file").chmod(0o4711), "file", "/file: has mode 4711, not 0640"),
        (lambda to: (to / "folder").chmod(0o700), "folder", "/folder: has mode 0700, not 0755"),
        (lambda to: os.utime(to / "file", (1, 1)), "file", "/file: has another time than 2009-02-13 23:31:30"),
        (lambda to: (to / "file").unlink(), "file", "/file: No such file or directory"),
        (lambda to: (to / "file").rename(to / "moved"), "hard link", "/second: is not the same file as /file"),
        (lambda to: (to / "fifo").replace(to / "file"), "hard link", "/second: is not the same file as /file"),
        (lambda to: (to / "fifo").replace(to / "file"), "file", "/file: is of another type"),
        (lambda to: relink(to / "link", "a"), "link", "/link: leads elsewhere"),
    ],
)
def test_what_is_not_as_it_was(tmp_path: Path, change: Callable[[Path], object], what: str, said: str) -> None:
    old = os.umask(0o022)
    told = fill(tmp_path)[what]
    os.umask(old)
    change(tmp_path)
    assert compare.different(os.fsencode(tmp_path), told) == said


def relink(path: Path, to: str) -> None:
    path.unlink()
    path.symlink_to(to)
    os.utime(path, ns=(WHEN, WHEN), follow_symlinks=False)


def test_several_differences_of_one_file(tmp_path: Path) -> None:
    told = line(write(tmp_path / "ä"), '"./\\303\\244"', mode="rwxrwxrwx", size=7)
    said = compare.different(os.fsencode(tmp_path), told)
    assert said == "/ä: has 0 bytes, not 7, has mode 0640, not 0777"


@pytest.mark.parametrize(("user", "compared"), [(0, True), (1, False), (1000, False)])
def test_only_root_gives_files_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, compared: bool
) -> None:
    at = write(tmp_path / "file").stat()
    monkeypatch.setattr(os, "geteuid", lambda: user)
    owners: list[dict[str, Any]] = [{"uid": 4711}, {"gid": 4712}]
    for owner in owners:
        told = {"uid": at.st_uid, "gid": at.st_gid, **owner}
        said = "/file: has owner %d/%d, not %d/%d" % (at.st_uid, at.st_gid, told["uid"], told["gid"])
        found = compare.different(os.fsencode(tmp_path), line(tmp_path / "file", '"./file"', **owner))
        assert found == (said if compared else "")


TYPES = {
    "-": stat.S_IFREG,
    "d": stat.S_IFDIR,
    "l": stat.S_IFLNK,
    "b": stat.S_IFBLK,
    "c": stat.S_IFCHR,
    "p": stat.S_IFIFO,
}


def test_types(tmp_path: Path, by_root: None) -> None:
    (tmp_path / "x").symlink_to("y")
    for kind in [*TYPES, "C", "M"]:
        entry = compare.ENTRY.match(b'%brw------- 0/0 %b %b "./x" -> "y"' % (kind.encode(), b"8,1", TOLD.encode()))
        entry = compare.ENTRY.match(entry.string.replace(b"8,1", b"0")) if entry and kind in "-C" else entry
        for other, mode in TYPES.items():
            at: Any = SimpleNamespace(st_mode=mode | 0o600, st_size=0, st_mtime_ns=WHEN, st_uid=0, st_gid=0)
            same = kind.replace("C", "-") == other
            assert compare.differences(entry, at, os.fsencode(tmp_path)) == ([] if same else ["is of another type"])


def test_an_entry_that_is_not_understood(tmp_path: Path) -> None:
    """It is a difference: what was not compared is not good."""
    told = b'?rw-r--r-- 0/0 1 someday "./x"'
    assert compare.different(os.fsencode(tmp_path), told) == (
        '?rw-r--r-- 0/0 1 someday "./x": this entry of the archive cannot be compared'
    )


def test_modes() -> None:
    """Each as ls writes it."""
    for mode in range(0o10000):
        assert compare.mode_of(stat.filemode(mode)[1:].encode()) == mode


@pytest.mark.parametrize(
    ("told", "found", "same"),
    [
        (TOLD, WHEN, True),
        (TOLD, WHEN - 999, True),  # a file system with microseconds
        (TOLD, WHEN + 999, True),
        (TOLD, WHEN - 1000, False),
        (TOLD, WHEN + 1000, False),
        (TOLD, WHEN // 10**9 * 10**9, True),  # with seconds
        (TOLD, WHEN // 10**9 * 10**9 + 1, False),
        ("2009-02-13 23:31:30.5", 1_234_567_890_500_000_000, True),
        ("2009-02-13 23:31:30", 1_234_567_890_000_000_000, True),
        ("2009-02-13 23:31:30", 1_234_567_891_000_000_000, False),
        ("1969-12-31 23:59:58.5", -1_500_000_000, True),
        ("1969-12-31 23:59:59.5", -1_500_000_000, True),  # as tar 1.34 lists it
        ("1969-12-31 23:59:57.5", -1_500_000_000, False),
        ("1970-01-01 00:00:00.5", -500_000_000, True),  # and this
        ("1970-01-01 00:00:01.5", 500_000_000, False),
    ],
)
def test_times(told: str, found: int, same: bool) -> None:
    entry = compare.ENTRY.match(b'-rw-r--r-- 0/0 1 %s "./x"' % told.encode())
    assert entry and compare.same_time(entry, found) is same


# -- the entries of all archives of a restore


def listing_of(folder: Path, *lines: bytes) -> compare.Listing:
    record: Any = SimpleNamespace(file=lambda name: os.path.join(os.fsencode(folder), name))
    made = compare.Listing(record)
    for each in lines:
        made(each)
    return made


def test_the_entries_of_two_archives(tmp_path: Path) -> None:
    """What an earlier archive had is counted once if it is gone; of the last one, it is a difference."""
    to = tmp_path / "to"
    to.mkdir()
    for name in ("a", "b", "c", "d"):
        write(to / name)
    (to / "folder").mkdir()
    told = {name: line(to / name, f'"./{name}"') for name in "abcd"}
    told["folder"] = line(to / "folder", '"./folder/"', "d", time=time.strftime("%F %T", time.gmtime(1)))
    os.utime(to / "folder", (1, 1))
    first = listing_of(tmp_path, told["folder"], told["a"], b"no entry", told["a"], told["b"])
    (to / "a").unlink()
    nothing = "/a: No such file or directory"
    differences = [nothing, "no entry: this entry of the archive cannot be compared", nothing]
    found = {"compared": 5, "differences": differences, "difference_count": 3, "absent": 0}
    assert first.compare(os.fsencode(to), more=False) == found
    (to / "folder").rmdir()
    (to / "b").unlink()
    second = listing_of(tmp_path, told["c"], told["d"])
    (to / "c").unlink()
    found = {"compared": 2, "differences": ["/c: No such file or directory"], "difference_count": 1}
    assert second.compare(os.fsencode(to), more=True) == {**found, "absent": 0}
    assert listing_of(tmp_path).compare(os.fsencode(to), more=False)["absent"] == 4  # a, folder, b, c


def test_the_first_differences_are_named(tmp_path: Path) -> None:
    told = line(write(tmp_path / "gone"), '"./gone"')
    (tmp_path / "gone").unlink()
    found = listing_of(tmp_path, *[told] * 21).compare(os.fsencode(tmp_path), more=False)
    assert (len(found["differences"]), found["difference_count"], found["compared"]) == (20, 21, 21)


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(0, None, [b"a", b"", b"b"]), (2, None, [b"", b"b"]), (0, 2, [b"a"]), (0, 3, [b"a", b""]), (3, 99, [b"b"])],
)
def test_lines_between_two_places(tmp_path: Path, start: int, end: int | None, found: list[bytes]) -> None:
    made = listing_of(tmp_path, b"a", b"", b"b")
    made.target.close()
    assert list(made.lines(start, end)) == found
