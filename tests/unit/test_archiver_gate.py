# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore into a directory with files checks and removes there, entry by entry, and what is ours there."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import gate as module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import header
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.gate import Gate, Selection
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.record import HIDDEN, Record
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import LEADS_OUT, Problem

WHEN = 1_234_567_890_123_456_789


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """The target, with one folder."""
    (tmp_path / "to/d").mkdir(parents=True)
    return tmp_path / "to"


def ours(*names: bytes) -> Any:
    """A record of these files and folders, which an earlier archive had."""
    return SimpleNamespace(is_there=True, has=lambda name, is_directory: name + b"/" * is_directory in names)


def gate_of(to: Path, *names: bytes, delete: bool = False, asked: tuple[bytes, ...] = ()) -> Gate:
    return Gate(os.fsencode(to), Selection(list(asked)), ours(*names) if names else None, delete)


def folder(name: bytes, *entries: bytes) -> header.Member:
    return header.Member(name, True, 0, b"".join(entry + b"\0" for entry in entries) + b"\0")


def file(name: bytes, size: int = 0) -> header.Member:
    return header.Member(name, False, size, None)


# -- one entry of a directory


def make(path: Path, kind: str) -> None:
    if kind == "file":
        path.touch()
    elif kind == "link":
        (path.parent / "target").mkdir()
        path.symlink_to("target")
    else:
        path.mkdir()
        (path / "y").touch()


FILE, FOLDER = b"./d/x", b"./d/x/"
NOTHING, STAYS, GOES, LATER = [], [[], []], [["/d/x"], []], [[], [FILE]]  # type: ignore[var-annotated]
BOTH = [["/d/x/y", "/d/x"], []]
ENTRIES: list[tuple[str, bytes, tuple[bytes, ...], bool, list[Any]]] = [
    # what is there, what the archive says, what is ours, whether everything else goes, too: (removed; to be removed)
    ("file", b"", (FILE,), False, GOES),
    ("file", b"", (FOLDER,), False, STAYS),
    ("file", b"", (b"other",), True, LATER),
    ("file", b"", (), True, LATER),
    ("file", b"", (FILE,), True, GOES),
    ("file", b"Y", (FILE,), True, STAYS),
    ("file", b"N", (FILE,), True, STAYS),
    ("file", b"D", (FILE,), False, GOES),
    ("file", b"D", (FOLDER,), False, STAYS),
    ("file", b"D", (FOLDER,), True, GOES),
    ("folder", b"", (FOLDER, b"./d/x/y"), False, BOTH),
    ("folder", b"", (FOLDER,), False, STAYS),
    ("folder", b"", (b"./d/x/y",), False, [["/d/x/y"], []]),
    ("folder", b"", (b"./d/x/y",), True, [["/d/x/y"], [FILE]]),
    ("folder", b"Y", (FOLDER, b"./d/x/y"), False, BOTH),
    ("folder", b"Y", (FOLDER,), False, STAYS),
    ("folder", b"Y", (FOLDER,), True, BOTH),
    ("folder", b"D", (FOLDER, b"./d/x/y"), True, STAYS),
    ("folder", b"N", (FOLDER, b"./d/x/y"), True, STAYS),
    ("link", b"", (FILE,), False, GOES),
    ("link", b"Y", (FILE,), True, STAYS),
    ("link", b"D", (FILE,), False, GOES),
    ("link", b"D", (FOLDER,), True, STAYS),  # it stays a link to a directory
]


@pytest.mark.parametrize(("kind", "letter", "known", "delete", "done"), ENTRIES)
def test_an_entry(to: Path, kind: str, letter: bytes, known: tuple[bytes, ...], delete: bool, done: list[Any]) -> None:
    make(to / "d/x", kind)
    gate = gate_of(to, *known, delete=delete)
    gate.judge(folder(b"./d", *([letter + b"x"] if letter else []), b"Ytarget", b"Dtarget"))
    assert [gate.deleted, gate.later] == done and gate.count == len(gate.deleted)
    assert os.path.lexists(to / "d/x") is ("/d/x" not in gate.deleted)
    assert os.path.lexists(to / "d/x/y") is (kind == "folder" and "/d/x/y" not in gate.deleted)


def test_the_time_of_a_directory_stays(to: Path) -> None:
    for name in ("a", "b"):
        (to / "d" / name).touch()
    os.utime(to / "d", ns=(WHEN + 1, WHEN))
    gate = gate_of(to, b"./d/a", delete=True)
    gate.judge(folder(b"./d"))
    assert (gate.deleted, gate.later, (to / "d").stat().st_mtime_ns) == (["/d/a"], [b"./d/b"], WHEN)
    gate.remove_now(gate.later)
    assert (gate.deleted, os.listdir(to / "d"), (to / "d").stat().st_mtime_ns) == (["/d/a", "/d/b"], [], WHEN)


def test_all_of_a_folder_is_removed_later(to: Path) -> None:
    make(to / "d/x", "folder")
    gate = gate_of(to, delete=True)
    gate.remove_now([b"./d/x"])
    assert gate.deleted == ["/d/x/y", "/d/x"] and os.listdir(to / "d") == []


def test_another_file_system_is_left_alone(to: Path) -> None:
    (to / "d/x").touch()
    gate = gate_of(to, b"./d/x", delete=True)
    gate.remove(b"./d/x", to.stat().st_dev + 1, True)
    assert (gate.count, os.listdir(to / "d")) == (0, ["x"])


def test_without_a_record_nothing_is_removed(to: Path) -> None:
    (to / "d/x").touch()
    record: Any = SimpleNamespace(is_there=False)
    gate = Gate(os.fsencode(to), Selection([]), record, False)
    assert gate.record is None
    gate.judge(folder(b"./d"))
    gate.remove(b"./d/x", to.stat().st_dev, False)
    assert gate.count == 0 and os.listdir(to / "d") == ["x"]


def test_a_directory_that_is_not_there(to: Path) -> None:
    gate = gate_of(to, b"x", delete=True)
    (to / "file").touch()
    for name in (b"./none", b"./file"):
        gate.judge(folder(name))
    assert gate.later == []


def test_the_record_is_not_removed(to: Path) -> None:
    (to / os.fsdecode(HIDDEN)).mkdir()
    gate = gate_of(to, delete=True)
    gate.judge(folder(b"."))
    assert gate.later == [b"./d"]


def test_the_first_names_are_told(to: Path) -> None:
    names = [b"%03d" % number for number in range(101)]
    for name in names:
        (to / "d" / name.decode()).touch()
    gate = gate_of(to, *[b"./d/" + name for name in names])
    gate.judge(folder(b"./d"))
    assert (gate.count, gate.deleted) == (101, [f"/d/{number:03}" for number in range(100)])


def test_a_name_for_people() -> None:
    assert module.told(b"./\xff" + b"x" * 1000) == "/\\xff" + "x" * 995
    assert module.names({b"b", b"\xff", b"a"}) == ["a", "b", "\udcff"]


# -- only some paths


def test_a_requested_path_that_is_gone(to: Path) -> None:
    """The others in its directory are no concern of this restore."""
    for name in ("x", "y", "z"):
        (to / "d" / name).touch()
    gate = gate_of(to, b"./d/x", b"./d/y", b"./d/z", asked=(b"./d/x", b"./d/y"))
    gate.judge(folder(b"./d", b"Yx"))
    assert (gate.gone, gate.deleted) == ({b"./d/y"}, ["/d/y"])
    gate.judge(folder(b"./other", b"Ya"))
    gate.judge(file(b"./other/a"))
    assert gate.placed == {b"./d"}
    gate.judge(folder(b".", b"Ya"))
    assert gate.gone == {b"./d/y", b"./d/x"} and os.listdir(to) == ["d"]


def test_a_requested_directory(to: Path) -> None:
    (to / "d/x").touch()
    gate = gate_of(to, b"./d/x", asked=(b"./d",))
    gate.judge(folder(b"./d"))
    assert (gate.gone, gate.deleted) == (set(), ["/d/x"])


# -- links in place of directories


def test_a_link_within_the_target(to: Path) -> None:
    """What is missing under one of its names may belong to the other, so it stays."""
    (to / "link").symlink_to("d")
    for name in ("x", "y"):
        (to / "d" / name).touch()
    gate = gate_of(to, b"z", delete=True)
    gate.judge(folder(b"./link/sub"))
    assert gate.kept == {b"./link": os.fsencode(to / "d")} and gate.placed == {b"./link", b"./link/sub"}
    gate.judge(folder(b"./link", b"Dx"))
    assert (gate.deleted, gate.later) == ([], [b"./link/y"])
    assert gate.is_shared(b"./link/y") and gate.is_shared(b"./d/y") and gate.is_shared(b"./d/y/z")
    assert not gate.is_shared(b"./d") and not gate.is_shared(b"./dd/y")
    gate.judge(folder(b"."))
    assert answer_of(lambda answer: gate.watched(lambda: None, answer)) == {
        "gone": [],
        "later": ["./d", "./link"],
        "kept": ["/link"],
        "count": 0,
        "deleted": [],
    }


@pytest.mark.parametrize(
    ("link", "top", "out"),
    [
        ("../to", "to", False),
        ("/nowhere", "to", False),
        ("../other/file", "to", False),
        ("../other", "to", True),
        ("../to2", "to", True),
        ("..", "to", True),
        ("../other", "/", False),
    ],
)
def test_where_a_link_leads(to: Path, link: str, top: str, out: bool) -> None:
    """Out of the target no directory may lead; /lib is one that is a link within."""
    for name in ("other", "to2"):
        (to.parent / name).mkdir()
    (to.parent / "other/file").touch()
    (to / "link").symlink_to(link)
    inside = b"./link" if top == "to" else b"." + os.fsencode(to / "link")
    gate = gate_of(to if top == "to" else Path("/"), b"x")
    if not out:
        gate.judge(file(inside + b"/x"))
        assert inside in gate.placed and bool(gate.kept) is (to / "link").is_dir()
        return
    with pytest.raises(Problem) as caught:
        gate.judge(file(b"./link/x"))
    assert caught.value.kind == LEADS_OUT and str(caught.value) == (
        f"{to}/link is a symbolic link that leads out of {to}, to {os.path.realpath(to / link)}, "
        "but the archive has a directory with this name"
    )


def test_the_directories_above_are_checked_first(to: Path) -> None:
    gate = gate_of(to, b"x")
    gate.judge(file(b"./d/e/f"))
    assert gate.placed == {b"./d", b"./d/e"} and gate.kept == {}
    gate.judge(file(b"./d/../../x"))
    gate.judge(folder(b"./d/.."))
    assert gate.placed == {b"./d", b"./d/e"}


@pytest.mark.parametrize(("count", "forgotten"), [(100_000, False), (100_001, True)])
def test_only_so_many_places_are_remembered(to: Path, count: int, forgotten: bool) -> None:
    gate = gate_of(to, b"x")
    gate.placed = set(map(b"%d".__mod__, range(count)))
    gate.place(b"./d")
    assert len(gate.placed) == (1 if forgotten else count + 1) and b"./d" in gate.placed


# -- where the directories end


def test_the_first_file_is_one_that_a_directory_lists(to: Path) -> None:
    gate = gate_of(to, b"x")
    gate.judge(folder(b"./d", b"Yx", b"Nold", b"Dfolder", b"R", b"Txyz"))
    gate.judge(header.Member(b"./e", True, 0, None))
    assert gate.expected == {b"./d/x"}
    assert gate.is_past(file(b"./d/x")) is True
    assert gate.is_past(file(b"./d/old")) is gate.is_past(folder(b"./d/x")) is False


def test_some_names_are_enough(to: Path) -> None:
    names = [b"Y%d" % number for number in range(150)]
    for first, found in ((0, 100), (99, 199), (100, 100), (150, 100)):
        gate = gate_of(to, b"x")
        gate.judge(folder(b"./a", *names[:first]))
        gate.judge(folder(b"./b", *names))
        assert len(gate.expected) == found


class Stream:
    """A mover, and the headers of an archive that it moves."""

    def __init__(self, *members: header.Member):
        self.members, self.raw, self.done = iter(members), b"", []  # type: ignore[var-annotated]

    def take(self, count: int) -> bytes:
        raise NotImplementedError

    def next(self) -> header.Member | None:
        found = next(self.members, None)
        self.raw = found.name if found else b"end"
        return found

    def give(self, data: bytes) -> None:
        self.done.append(data)

    def move(self, count: int) -> bool:
        self.done.append(count)
        return True


@pytest.mark.parametrize(("whole", "done"), [(True, []), (False, [512, b"end"])])
def test_directories_are_passed_on(to: Path, monkeypatch: pytest.MonkeyPatch, whole: bool, done: list[object]) -> None:
    """Up to the header of the first file, or to the end; each is checked before it is passed on."""
    members = [folder(b"./d", *[b"Yx"] * whole), file(b"./d/between", 1024), file(b"./d/x", 512)]
    stream: Any = Stream(*members)
    gate = gate_of(to, b"x")
    seen: list[object] = []

    def judge(member: header.Member) -> None:
        seen.append((member, list(stream.done)))
        Gate.judge(gate, member)

    monkeypatch.setattr(gate, "judge", judge)
    monkeypatch.setattr(module.header, "Headers", lambda take: stream if take == stream.take else None)
    gate.pass_on(stream)
    assert stream.done == [b"./d", 0, b"./d/between", 1024, b"./d/x", *done]
    assert seen[1:2] == [(members[1], [b"./d", 0])] and len(seen) == 3


def answer_of(work: Callable[[int], object]) -> Any:
    read, write = os.pipe()
    work(write)
    with os.fdopen(read) as text:
        return json.load(text)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    found: list[int] = []
    monkeypatch.setattr(sys, "setrecursionlimit", found.append)
    yield found


def test_the_findings(to: Path, limits: list[int]) -> None:
    gate = gate_of(to, b"x")
    gate.gone, gate.later, gate.count, gate.deleted = {b"./b", b"./a"}, [b"./x"], 3, ["/d"]
    gate.kept = {b"./%03d" % number: b"/real" for number in range(100, -1, -1)}
    called: list[int] = []
    assert answer_of(lambda answer: gate.watched(lambda: called.append(1), answer)) == {
        "gone": ["./a", "./b"],
        "later": ["./x"],
        "kept": [f"/{number:03}" for number in range(100)],
        "count": 3,
        "deleted": ["/d"],
    }
    assert (called, limits) == ([1], [10_000])


def test_a_refusal_is_told(to: Path, limits: list[int]) -> None:
    def refuse() -> None:
        raise Problem("no")

    def work(answer: int) -> None:
        with pytest.raises(Problem, match="^no$"):
            gate_of(to, b"x").watched(refuse, answer)

    assert answer_of(work) == {"refused": "no", "count": 0, "deleted": []}


# -- the record of what is ours


def record_of(to: Path, begins: bool = False) -> Record:
    return Record(os.fsencode(to), begins)


def test_a_record_of_everything(to: Path) -> None:
    """In a directory that was empty."""
    record = record_of(to)
    assert not record.is_there and not record.has(b"./x", False)
    assert record.start(True) is None
    hidden = to / os.fsdecode(HIDDEN)
    assert stat.S_IMODE(hidden.stat().st_mode) == 0o700 and os.listdir(hidden) == ["all"]
    again = record_of(to)
    assert again.is_there and again.has(b"./x", False) is True and again.has(b"./y", True) is True
    assert again.start(False) is None
    again.remove()
    assert not hidden.exists()
    again.remove()


def test_a_record_of_names(to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a directory are different entries."""
    record = record_of(to)
    names = record.start(False)
    assert names
    long = b"./" + b"x" * 2**20
    names.write(b"./file\0./folder/\0" + long + b"\0./last\0./cut")
    names.close()
    again = record_of(to)
    wanted = ((b"./file", False), (b"./folder", True), (long, False), (b"./last", False))
    assert [again.has(*each) for each in wanted] == [True] * 4
    assert [again.has(*each) for each in ((b"./file", True), (b"./folder", False), (b"./cut", False))] == [False] * 3
    more = again.start(True)
    assert more and more.tell() == os.path.getsize(more.name)
    more.close()
    os.unlink(again.file(b"names"))
    assert again.has(b"./file", False)  # they are read once


def test_a_record_that_a_killed_restore_has_left(to: Path) -> None:
    record_of(to).start(True)
    assert not record_of(to, begins=True).is_there and os.listdir(to) == ["d"]


@pytest.mark.parametrize("how", ["mode", "group", "link", "file", "owner"])
def test_a_record_of_somebody_else(to: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    hidden = to / os.fsdecode(HIDDEN)
    if how == "file":
        hidden.touch(0o600)
    elif how == "link":
        hidden.symlink_to(to / "d")
    else:
        hidden.mkdir(0o700)
        hidden.chmod({"mode": 0o701, "group": 0o710}.get(how, 0o700))
    if how == "owner":
        user = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    for begins in (True, False):
        with pytest.raises(Problem) as caught:
            record_of(to, begins)
        assert str(caught.value) == f"{hidden} was not made by a restore of this collection: remove it"
    assert os.path.lexists(hidden)


def test_the_drill_of_a_record(to: Path) -> None:
    record = record_of(to)
    record.start(True)
    assert not record_of(to).is_of("7")
    record.mark("7")
    assert not record.is_of("7"), "it was not there before"
    assert [record_of(to).is_of(drill) for drill in ("7", "8", "")] == [True, False, False]
    record.mark("")
    assert record_of(to).is_of("") is False
