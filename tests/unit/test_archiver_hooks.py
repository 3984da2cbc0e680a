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
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.hooks import Hooks
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Host

by_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


def hooks_of(folder: Path) -> tuple[Hooks, Path]:
    """Hooks of an archive, and the file that their last command makes."""
    states: Any = SimpleNamespace(folder=os.fsencode(folder))
    settings: Any = SimpleNamespace(before=[], after=["touch", str(folder / "ran")], hook_timeout=60, undone=False)
    return Hooks(states, settings), folder / "ran"


def test_a_command_that_was_left(tmp_path: Path) -> None:
    hooks, ran = hooks_of(tmp_path)
    hooks.remember(hooks.after, hooks.limit)
    hooks.overdue()
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
    hooks, ran = hooks_of(tmp_path)
    hooks.remember(hooks.after, hooks.limit)
    change(tmp_path / "after")
    with pytest.raises(Problem, match="another user could have written the command in .*/after: check and remove it"):
        hooks.overdue()
    assert not ran.exists()


def test_a_link_to_another_file(tmp_path: Path) -> None:
    hooks, ran = hooks_of(tmp_path)
    hooks.remember(hooks.after, hooks.limit)
    (tmp_path / "after").rename(tmp_path / "elsewhere")
    (tmp_path / "after").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        hooks.overdue()
    assert not ran.exists()


def test_on_a_full_disk_the_failure_is_that_of_the_command(tmp_path: Path) -> None:
    hooks, _ran = hooks_of(tmp_path / "none")
    with pytest.raises(Problem, match="the command after .touch. failed with status 1"):
        hooks.finish()


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
