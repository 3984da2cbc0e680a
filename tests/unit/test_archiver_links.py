# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requested names whose data an archive has under other names: which are fetched, and where they are put."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import links
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.crew import Lines
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import tools
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem

WHEN = 1_234_567_890_123_456_789


def target_of(to: Path) -> Any:
    """A directory that files are restored to, with a record."""
    (to / ".record").mkdir(parents=True, exist_ok=True)
    record = SimpleNamespace(file=lambda name: os.path.join(os.fsencode(to), b".record", name))
    return SimpleNamespace(real=os.fsencode(to), record=record)


REPEAT: Any = SimpleNamespace(may_repeat=True, keep_going=False)
ONCE: Any = SimpleNamespace(may_repeat=False)


def test_names_are_remembered(tmp_path: Path) -> None:
    """A link to what has the other name today is removed: it is not what the archive has."""
    target = target_of(tmp_path)
    assert links.remember(REPEAT, target, {}) is False and not os.listdir(tmp_path / ".record")
    for name in ("other", "separate", "third"):
        (tmp_path / name).touch()
    os.link(tmp_path / "other", tmp_path / "link")
    found = {b"./link": b"./other", b"./separate": b"./third", b"./gone": b"./other"}
    assert links.remember(REPEAT, target, found) is True
    assert (tmp_path / ".record/links").read_bytes() == (b"./link\0./other\0./separate\0./third\0./gone\0./other\0")
    assert sorted(os.listdir(tmp_path)) == [".record", "other", "separate", "third"]


TEXT = (
    "the data of /a is in the archive under another name of the same file, /x%s: request that name as well, or a "
    "directory that contains both"
)


def test_names_that_cannot_be_fetched(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    for found, more in (({b"./a": b"./x"}, ""), ({b"./b": b"./x", b"./a": b"./x"}, " (the first of 2)")):
        with pytest.raises(Problem) as caught:
            links.remember(ONCE, target, found)
        assert str(caught.value) == TEXT % more and not os.listdir(tmp_path / ".record")


@pytest.mark.parametrize(("count", "good"), [(10_000, True), (10_001, False)])
def test_only_so_many_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, good: bool) -> None:
    monkeypatch.setattr(links, "forget", lambda path, other: None)
    found = {b"./%d" % number: b"./x%d" % min(number, count - 1) for number in range(count + 5)}
    if good:
        assert links.remember(REPEAT, target_of(tmp_path), found)
        return
    with pytest.raises(Problem, match=r" \(the first of 10006\): request that name"):
        links.remember(REPEAT, target_of(tmp_path), found)


class Read:
    """The second pass over an archive, which has these names."""

    names: list[str] = []
    wrong: list[str] = []

    def __init__(self, words: object, target: object, members: list[bytes]):
        self.members, self.status, self.says = members, 2 if self.wrong else 0, Lines()
        for line in self.wrong:
            self.says.add(line)
        self.has_errors = bool(self.wrong)

    def read(self, found: Any, scratch: bytes, gate: object) -> None:
        assert found.asked == set(self.members) and gate is None and self.members == sorted(set(self.members))
        assert stat.S_IMODE(os.stat(scratch).st_mode) == 0o700
        for name in self.names:
            Path(os.fsdecode(scratch), name).write_text(name, encoding="utf-8")


@pytest.mark.parametrize("wrong", [[], ["tar: wrong"]])
def test_names_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[str]) -> None:
    """What cannot be put in its place is an error of that file alone."""
    old = os.umask(0o022)
    target = target_of(tmp_path)
    monkeypatch.setattr(links, "Extraction", Read)
    monkeypatch.setattr(Read, "names", ["x"])
    monkeypatch.setattr(Read, "wrong", wrong)
    assert links.remember(REPEAT, target, {b"./d/a": b"./x", b"./b": b"./x"})
    if not wrong:
        assert links.fetch(REPEAT, target) == {"tar": 0, "errors": [], "error_count": 0}
    else:
        going: Any = SimpleNamespace(keep_going=True)
        assert links.fetch(going, target) == {"tar": 2, "errors": wrong, "error_count": 1}
    os.umask(old)
    assert (tmp_path / "d/a").read_text() == "x" and os.path.samefile(tmp_path / "d/a", tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == [".record", "b", "d"] and not os.listdir(tmp_path / ".record")
    many = [f"tar: {number}" for number in range(21)]
    monkeypatch.setattr(Read, "wrong", many)
    assert links.remember(REPEAT, target, {b"./d/c": b"./none"})
    with pytest.raises(Problem) as caught:
        links.fetch(REPEAT, target)
    assert str(caught.value) == "some files could not be restored: tar: 0"
    assert list(caught.value.output) == [*many[1:20], "/d/c: No such file or directory"]
    keep: Any = SimpleNamespace(may_repeat=True, keep_going=True)
    assert links.remember(keep, target, {b"./d/c": b"./none"})
    assert links.fetch(keep, target) == {"tar": 2, "errors": many[:20], "error_count": 22}


def placing_of(tmp_path: Path) -> tuple[links.Placing, Path, Path]:
    to, scratch = tmp_path / "to", tmp_path / "scratch"
    to.mkdir()
    scratch.mkdir()
    (scratch / "x").write_text("x")
    return links.Placing(os.fsencode(to), os.fsencode(scratch)), to, scratch


def test_a_file_is_put_in_its_place(tmp_path: Path) -> None:
    """In that of what is there; the time of the folder stays."""
    placing, to, scratch = placing_of(tmp_path)
    (to / "a").write_text("old")
    os.utime(to, ns=(WHEN + 1, WHEN))
    placing.place(b"./a", b"./x")
    assert (to / "a").read_text() == "x" and os.path.samefile(to / "a", scratch / "x")
    assert os.listdir(to) == ["a"] and to.stat().st_mtime_ns == WHEN
    (to / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        placing.place(b"./folder", b"./x")
    assert sorted(os.listdir(to)) == ["a", "folder"]
    (to / "out").symlink_to(tmp_path)
    with pytest.raises(Problem, match="is a symbolic link that leads out of"):
        placing.place(b"./out/a", b"./x")
    (scratch / "link").symlink_to("x")
    placing.place(b"./link", b"./link")
    assert os.readlink(to / "link") == "x"


def test_on_another_file_system_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and the other names of it are links to the copy."""
    placing, to, scratch = placing_of(tmp_path)
    lstat = os.lstat

    def elsewhere(path: Any) -> Any:
        at = lstat(path)
        inside = os.fsencode(path).startswith(os.fsencode(scratch))
        return SimpleNamespace(st_dev=at.st_dev + 1, st_mode=at.st_mode) if inside else at

    monkeypatch.setattr(os, "lstat", elsewhere)
    copies: list[list[bytes]] = []
    call: Any = tools.call

    def copy(argv: list[bytes]) -> int:
        copies.append(argv)
        return int(call(argv))

    monkeypatch.setattr(tools, "call", copy)
    for name in (b"./a", b"./b"):
        placing.place(name, b"./x")
    monkeypatch.undo()
    assert len(copies) == 1 and os.path.samefile(to / "a", to / "b") and not os.path.samefile(to / "a", scratch / "x")
    monkeypatch.setattr(os, "lstat", elsewhere)
    monkeypatch.setattr(tools, "call", lambda argv: 1)
    with pytest.raises(OSError, match="cannot be copied to another file system") as caught:
        placing.place(b"./c", b"./y" if (scratch / "y").write_text("y") else b"")
    assert caught.value.errno == 0
