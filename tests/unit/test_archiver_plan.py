# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive is to contain, the command line of tar for it, and which end of its programs is the cause."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import create, plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.crew import Child, Lines
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.settings import Settings
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import (
    NO_BASE,
    SETTINGS,
    Problem,
)


class States:
    """The states of a host, which say what is to be said."""

    def __init__(self, problem: Problem | None = None):
        self.problem, self.asked, self.lines = problem, [], []  # type: ignore[var-annotated]
        self.descriptors = (5,)

    def check(self, *asked: object) -> None:
        self.asked.append(asked)

    def copy(self, base: str, target: Any, ahead: int) -> None:
        self.asked.append((base, ahead))
        target.write(b"begun")
        if self.problem:
            raise self.problem

    def unnamed(self, lines: list[bytes]) -> bytes:
        self.lines.append(lines)
        return b"/list%d" % len(self.lines)


def plan_of(
    paths: list[str], states: States | None = None, words: dict[str, Any] | None = None, **given: Any
) -> plan.Plan:
    wanted = {"level": 0, "base": None, "base_sha256": None, "ahead": 0, **(words or {})}
    return plan.Plan(Settings({"paths": paths, **given}), SimpleNamespace(**wanted), states)


@pytest.mark.parametrize(
    ("level", "base", "text"),
    [
        (0, "R", "level 0 does not take a --base"),
        (1, None, "level 1 needs a --base"),
        (9, "", "level 9 needs a --base"),
    ],
)
def test_a_level_and_its_base(tmp_path: Path, level: int, base: str | None, text: str) -> None:
    with pytest.raises(Problem) as caught:
        plan_of([str(tmp_path)], words={"level": level, "base": base})
    assert (str(caught.value), caught.value.kind) == (text, SETTINGS)
    for good in ((0, None), (0, ""), (1, "R")):
        made = plan_of([str(tmp_path)], words={"level": good[0], "base": good[1]})
        assert (made.level, made.base) == (good[0], good[1] or None)


INCREMENT = {"level": 2, "base": "R", "base_sha256": "ab", "ahead": 7, "host": "h"}


def test_the_snapshot_of_a_base(tmp_path: Path) -> None:
    states = States()
    made = plan_of([str(tmp_path)], states, INCREMENT, excludes=["*.o"])
    target = io.BytesIO()
    made.write_snapshot(target)
    assert states.asked == [("R", 2, made.now, made.file_systems, made.wanted, "ab"), ("R", 7)]
    assert (target.getvalue(), made.level, made.base, made.level_problem) == (b"begun", 2, "R", "")
    assert made.wanted == {
        "host": "h",
        "paths": [str(tmp_path)],
        "excludes": ["*.o"],
        "excludes_sha256": plan.excludes.fingerprint(made.rules),
        "one_file_system": True,
    }
    full = plan_of([str(tmp_path)], states)
    full.write_snapshot(None)
    assert len(states.asked) == 2 and full.wanted["host"] == "" and full.states is states


def test_a_base_that_is_none(tmp_path: Path) -> None:
    """Then it is a full archive, and says why."""
    made = plan_of([str(tmp_path)], States(Problem("no state", kind=NO_BASE)), INCREMENT)
    target = io.BytesIO()
    made.write_snapshot(target)
    assert (target.getvalue(), made.level, made.base) == (b"", 0, None)
    assert made.level_problem == "level 0 instead of 2: no state"
    made = plan_of([str(tmp_path)], States(Problem("wrong", kind=SETTINGS)), INCREMENT)
    with pytest.raises(Problem, match="^wrong$"):
        made.write_snapshot(target)


def test_lists_in_a_report() -> None:
    """Not cut: up to 64 Ki characters, of which each text needs four more."""
    texts = ["x" * 12] * 4096
    assert plan.bounded(texts) == texts
    assert plan.bounded([*texts, ""]) == [*texts, "and 1 more"]


def test_other_file_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = plan_of([str(tmp_path)])
    made.out_of_reach = [b"/far", os.fsencode(tmp_path)]
    monkeypatch.setattr(plan.mounts, "with_files", lambda points: [each for each in points if each != "/empty"])
    assert plan.other_file_systems(made, ["./mnt", "./empty", "./far"]) == ["/far", "/mnt"]


@pytest.mark.parametrize(("one", "more"), [(True, ["--one-file-system"]), (False, [])])
def test_the_command_line_of_tar(tmp_path: Path, one: bool, more: list[str]) -> None:
    (tmp_path / "a").touch()
    states = States()
    made = plan_of([str(tmp_path), str(tmp_path / "a"), "/"], states, one_file_system=one, block_size="1M")
    tar: Any = SimpleNamespace(argv=lambda *words: list(words))
    found = plan.tar_argv(tar, made, b"/snar", "--verbose")
    options: Any = ["--create", "--format=posix", "--pax-option=delete=atime,delete=ctime", "--sparse"]
    options += ["--blocking-factor=2048", b"--listed-incremental=/snar", "--no-check-device", "--verbose"]
    options += ["--warning=no-new-directory", "--warning=no-rename-directory", "--warning=no-file-ignored", *more]
    options += [b"--anchored", b"--exclude-from=/list1"]
    assert found[: len(options)] == options
    assert found[-4:] == [b"--no-anchored", b"--exclude-from=/list2", "--null", b"--files-from=/list3"]
    assert states.lines[-1] == [b"." + os.fsencode(tmp_path) + b"\0", b".\0"]


def test_a_path_within_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file is archived once; a directory is one that tar knows itself, and a file on another file system is not."""
    top = os.fsencode(tmp_path)
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/e/file").touch()
    lstat = os.lstat

    def elsewhere(path: Any, **how: Any) -> Any:
        at = lstat(path, **how)
        return SimpleNamespace(st_dev=at.st_dev + 1, st_mode=at.st_mode) if path == top + b"/d" else at

    paths = [str(tmp_path), str(tmp_path / "d/e"), str(tmp_path / "d/e/file")]
    both = [top, top + b"/d/e"]
    for one in (True, False):
        settings = Settings({"paths": paths, "one_file_system": one})
        assert plan.named(settings) == both
        assert plan.reaches(settings, top, top + b"/d/e/file") is True
        assert plan.reaches(settings, top, top) is plan.reaches(settings, top + b"/x", top + b"/d") is False
    monkeypatch.setattr(os, "lstat", elsewhere)
    for one in (True, False):
        settings = Settings({"paths": paths, "one_file_system": one})
        assert plan.reaches(settings, top, top + b"/d/e/file") is not one
    lonely = Settings({"paths": [paths[0], paths[2]]})
    assert plan.named(lonely) == [top, top + b"/d/e/file"]


# -- which end is the cause


def child(name: str, status: int = 0, says: str = "") -> Child:
    process: Any = SimpleNamespace(returncode=status)
    lines = Lines()
    for line in says.splitlines():
        lines.add(line)
    made = Child(name, process, (0, 1), lines)
    made.killed = status == -9
    return made


GONE = "the reader of the archive has gone, so the archive is incomplete: the reason is on the other host"
GOOD, SUM, TEE, TWO = child("x"), child("sum", 3, "a\nb"), child("tee", 3, "a\nb"), "tar: one\ntar: two"
TAR = "tar failed with status %d: two (the last of 2 lines)"
CAUSES: list[tuple[tuple[Child, Child, Child, bool], int, int, str]] = [
    ((GOOD, GOOD, GOOD, False), 512, 0, ""),
    ((child("tar", 1), GOOD, GOOD, False), 1, 0, ""),
    ((child("tar", 3, TWO), TEE, SUM, True), 512, 0, "the checksum program failed with status 3: a b"),
    ((child("tar", 3, TWO), TEE, child("sum", -9), True), 512, 0, TAR % 3),
    ((child("tar", 3, TWO), GOOD, GOOD, False), 512, 1, TAR % 3 + " (not as root: become: true?)"),
    ((child("tar", 2, TWO), GOOD, GOOD, False), 512, 0, TAR % 2 + create.KEEPING),
    ((child("tar", 2, TWO), GOOD, GOOD, False), 0, 0, TAR % 2),
    ((child("tar", 3, TWO), GOOD, GOOD, False), -1, 1000, TAR % 3 + " (not as root: become: true?)"),
    ((GOOD, GOOD, GOOD, False), 0, 0, "tar failed with status 0: it gave no reason"),
    ((child("tar", -13, TWO), TEE, GOOD, False), 0, 0, GONE + " (a b)"),
    ((child("tar", -9, TWO), GOOD, GOOD, True), 0, 0, GONE),
    ((child("tar", 0, TWO), GOOD, GOOD, True), 512, 0, GONE),
    ((child("tar", 0, TWO), child("tee", -9), GOOD, False), 512, 0, GONE),
]


@pytest.mark.parametrize(("ends", "total", "user", "text"), CAUSES)
def test_the_cause_of_a_failure(
    monkeypatch: pytest.MonkeyPatch, ends: tuple[Child, Child, Child, bool], total: int, user: int, text: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    nothing: Any = None
    made = create.Creation(nothing, nothing, "R", "h")
    made.says.total = total
    if not text:
        made.judge(*ends)
        return
    with pytest.raises(Problem) as caught:
        made.judge(*ends)
    assert str(caught.value) == text
    assert list(caught.value.output) == (["tar: one"] if "tar failed" in text and "two" in text else [])


def test_the_name_of_an_attempt() -> None:
    assert create.attempted({"a": 1}, "A") == {"a": 1, "attempt": "A"}
    assert create.attempted({"a": 1}, "") == {"a": 1}
