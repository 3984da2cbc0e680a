# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands around an archive: one that a killed backup has left runs only if its own user wrote it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.hooks import Hooks
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem

by_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


def hooks_of(folder: Path) -> tuple[Hooks, Path]:
    """Hooks of an archive, and the file that their last command makes."""
    states: Any = SimpleNamespace(folder=os.fsencode(folder))
    settings: Any = SimpleNamespace(before=[], after=["touch", str(folder / "ran")], hook_timeout=60)
    return Hooks(states, settings), folder / "ran"


def test_a_command_that_was_left(tmp_path: Path) -> None:
    hooks, ran = hooks_of(tmp_path)
    hooks.remember()
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
    hooks.remember()
    change(tmp_path / "after")
    with pytest.raises(Problem, match="another user could have written the command in .*/after: check and remove it"):
        hooks.overdue()
    assert not ran.exists()


def test_a_link_to_another_file(tmp_path: Path) -> None:
    hooks, ran = hooks_of(tmp_path)
    hooks.remember()
    (tmp_path / "after").rename(tmp_path / "elsewhere")
    (tmp_path / "after").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        hooks.overdue()
    assert not ran.exists()
