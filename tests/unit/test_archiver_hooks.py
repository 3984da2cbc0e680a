# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands around an archive: who runs the last one, and that it runs once, and only if its own user wrote it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import hooks
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.hooks import Hooks
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import tools
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import FAILED, NO_TOOL, Problem
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Host

by_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


def hooks_of(folder: Path) -> tuple[Hooks, Path]:
    """Hooks of an archive, and the file that their last command makes."""
    states: Any = SimpleNamespace(folder=os.fsencode(folder))
    settings: Any = SimpleNamespace(before=[], after=["touch", str(folder / "ran")], hook_timeout=60, undone=False)
    return Hooks(states, settings), folder / "ran"


def test_a_command_that_was_left(tmp_path: Path) -> None:
    made, ran = hooks_of(tmp_path)
    made.remember(made.after, made.limit)
    made.overdue()
    assert ran.exists() and not (tmp_path / "after").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.chmod(0o666),
        lambda path: path.chmod(0o620),
        pytest.param(lambda path: os.chown(path, 1, -1), marks=by_root),
    ],
)
def test_a_command_of_another_user(tmp_path: Path, change: Callable[[Path], None]) -> None:
    made, ran = hooks_of(tmp_path)
    made.remember(made.after, made.limit)
    change(tmp_path / "after")
    with pytest.raises(Problem, match="another user could have written the command in .*/after: check and remove it"):
        made.overdue()
    assert not ran.exists()


def test_a_link_to_another_file(tmp_path: Path) -> None:
    made, ran = hooks_of(tmp_path)
    made.remember(made.after, made.limit)
    (tmp_path / "after").rename(tmp_path / "elsewhere")
    (tmp_path / "after").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        made.overdue()
    assert not ran.exists()


def test_on_a_full_disk_the_failure_is_that_of_the_command(tmp_path: Path) -> None:
    made, _ran = hooks_of(tmp_path / "none")
    with pytest.raises(Problem, match="the command after .touch. failed with status 1"):
        made.finish()


@pytest.mark.parametrize(
    ("argv", "limit", "text"),
    [
        (["true"], 30, ""),
        (["sh", "-c", "echo out; echo wrong >&2; exit 3"], 30, "the command before (sh) failed with status 3: wrong"),
        (["sh", "-c", "echo out; exit 1"], 30, "the command before (sh) failed with status 1: out"),
        (["sh", "-c", "kill -9 $$"], 30, "the command before (sh) was killed by signal 9: it gave no reason"),
        (["/no/such"], 30, "the command before (/no/such): there is no /no/such on this host: install it"),
        (["sleep", "600"], 0.1, "the command before (sleep) was killed after 0.1 seconds, its timeout"),
    ],
)
def test_a_command(argv: list[str], limit: float, text: str) -> None:
    if not text:
        hooks.run("before", argv, limit)
        return
    with pytest.raises(Problem) as caught:
        hooks.run("before", argv, limit)
    assert str(caught.value) == text and caught.value.kind == (NO_TOOL if "/no/such" in text else FAILED)


def test_what_a_command_said_until_its_time_was_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_arguments: object) -> None:
        raise tools.TooLong("last words")

    monkeypatch.setattr(tools, "run", late)
    with pytest.raises(Problem, match=r"^the command x \(y\) was killed after 60 seconds, its timeout: last words$"):
        hooks.run("x", ["y"], 60)


class Ran:
    """What hooks have run, and what becomes of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failing: str):
        self.done: list[str] = []
        self.failing = failing
        monkeypatch.setattr(hooks, "run", self.run)

    def run(self, which: str, argv: list[str], limit: float) -> None:
        self.done.append(f"{which} {argv[0]} {limit}")
        if which in self.failing:
            raise Problem(f"{which} failed", kind=NO_TOOL, output=["its output"])


def around(folder: Path, fails: BaseException | None = None, **given: Any) -> tuple[str, dict[str, Any] | None]:
    """(the problem of an archive with its hooks, what is left to run)."""
    states: Any = SimpleNamespace(folder=os.fsencode(folder))
    settings: Any = SimpleNamespace(**{"before": ["b"], "after": ["a"], "hook_timeout": 5, "undone": False, **given})
    made, said = Hooks(states, settings), ""
    try:
        with made.around():
            assert made.pending() == (dict(LEFT, tried=False) if settings.after else None)
            if fails:
                raise fails
    except (Problem, ValueError) as exc:
        said = str(exc)
        assert not isinstance(exc, Problem) or (exc.kind, list(exc.output)) in (
            (NO_TOOL, ["its output"]),
            (FAILED, ["x"]),
        )
    return said, made.pending()


LEFT = {"after": ["a"], "limit": 5}
BAD = Problem("bad", output=["x"])
AROUND: list[tuple[tuple[str, ...], BaseException | None, dict[str, Any], str, list[str], bool | None]] = [
    # what fails; why the archive does; options: the problem, what ran, whether what is left has been tried
    ((), None, {}, "", ["before b 5", "after a 5"], None),
    ((), None, {"after": []}, "", ["before b 5"], None),
    ((), None, {"before": []}, "", ["after a 5"], None),
    (("before",), None, {}, "before failed", ["before b 5", "after a 5"], None),
    (("before",), None, {"undone": True}, "before failed", ["before b 5"], False),
    ((), BAD, {}, "bad", ["before b 5", "after a 5"], None),
    ((), BAD, {"undone": True}, "bad", ["before b 5"], False),
    (("after",), None, {}, "after failed", ["before b 5", "after a 5"], True),
    (("after",), BAD, {}, "bad; and then: after failed", ["before b 5", "after a 5"], True),
    (("after",), ValueError("odd"), {}, "odd", ["before b 5", "after a 5"], True),
]


@pytest.mark.parametrize(("failing", "fails", "given", "said", "done", "tried"), AROUND)
def test_around_an_archive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: tuple[str, ...],
    fails: BaseException | None,
    given: dict[str, Any],
    said: str,
    done: list[str],
    tried: bool | None,
) -> None:
    ran = Ran(monkeypatch, *failing)
    assert around(tmp_path, fails, **given) == (said, None if tried is None else dict(LEFT, tried=tried))
    assert ran.done == done and capsys.readouterr().err == ("after failed\n" if said == "odd" else "")


def test_the_next_backup_does_what_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    made, _ran = hooks_of(tmp_path)
    made.remember(["a"], 5)
    assert synced == [f"{tmp_path}/after.tmp", str(tmp_path)] and (tmp_path / "after").stat().st_mode & 0o777 == 0o600
    ran = Ran(monkeypatch, "after, left from a killed backup,")
    said, left = around(tmp_path)
    assert said == "after, left from a killed backup, failed" and left == dict(LEFT, tried=True)
    assert capsys.readouterr().err == "the backup before was killed: its command after the archive runs now\n"
    ran.failing = ()
    assert around(tmp_path) == ("", None)
    assert ran.done[1:] == ["after, left from a killed backup, a 5", "before b 5", "after a 5"]


# -- the program itself: with undo, as an end starts it after a failure, or for a person, without


class Hooked(Host):
    """A host whose last command writes a line."""

    def __init__(self, top: Path, undone: bool = True):
        super().__init__(top)
        self.log = top / "log"
        self.settings["undone"] = undone
        self.last(0)

    def last(self, status: int) -> None:
        self.settings["after"] = ["sh", "-c", f"echo {status} >> {self.log}; exit {status}"]

    def fail(self) -> str:
        """An archive that fails."""
        before = self.settings["paths"]
        self.settings["paths"] = [str(self.top / "none")]
        try:
            return self.said(*self.words())
        finally:
            self.settings["paths"] = before

    def undo(self) -> None:
        self.run("undo")

    @property
    def lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").split() if self.log.exists() else []


def test_for_a_person_the_archiver_runs_it(tmp_path: Path) -> None:
    host = Hooked(tmp_path, undone=False)
    host.last(5)
    said = host.fail()
    assert "not on this host" in said and "; and then: the command after (sh) failed with status 5" in said
    assert host.lines == ["5"]


def test_undo_runs_what_a_failed_archive_has_left(tmp_path: Path) -> None:
    """Once; if it fails, the next backup tries it again."""
    host = Hooked(tmp_path)
    host.undo()
    assert not host.lines, "there was no backup"
    host.fail()
    assert not host.lines, "not before nothing is left of the archive"
    for _again in range(2):
        host.undo()
    assert host.lines == ["0"]
    host.last(5)
    assert "the command after (sh) failed with status 5" in host.said(*host.words())
    host.undo()
    assert host.lines == ["0", "5"], "its status was a reason for the failure already"
    host.last(6)
    assert "the command after, left from a killed backup, (sh) failed with status 5" in host.said(*host.words())
    assert host.lines == ["0", "5", "5"]


def test_a_full_disk_does_not_keep_undo_from_it(tmp_path: Path) -> None:
    """The command may remove what has filled the disk."""
    host = Hooked(tmp_path)
    host.fail()
    (host.state_dir / "after.tmp").mkdir()  # now nothing can be noted
    host.undo()
    assert host.lines == ["0"] and not (host.state_dir / "after").exists()


def test_a_left_command_that_fails_before_a_backup_runs_once(tmp_path: Path) -> None:
    host = Hooked(tmp_path)
    host.last(5)
    host.fail()  # as before a power failure: nobody has run it
    assert "the command after, left from a killed backup, (sh) failed with status 5" in host.said(*host.words())
    host.undo()
    assert host.lines == ["5"]


def test_undo_leaves_it_to_a_backup_that_has_begun(tmp_path: Path) -> None:
    host = Hooked(tmp_path)
    host.fail()
    lock = os.open(host.state_dir / "lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        host.undo()
    finally:
        os.close(lock)
    assert not host.lines
    host.create()
    assert host.lines == ["0", "0"]  # what was left, and its own
