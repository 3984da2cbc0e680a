# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process of a run is its guard, and which its end."""

from __future__ import annotations

import pytest

from tests.system.anatomy import Anatomy, Proc

RUN = "0123456789abcdef" * 2
END = ("/usr/bin/python3", "-IS", "-c", "code", f"socketpipe:{RUN}:remote")


def proc(pid: int, parent: int, name: str = "python3", argv: tuple[str, ...] = END) -> Proc:
    return Proc("h1", pid, parent, name, argv)


def parts(*processes: Proc) -> tuple[dict[str, int], dict[str, int]]:
    found = Anatomy(list(processes), RUN)
    return tuple({name: each.pid for name, each in kind.items()} for kind in (found.guards, found.ends))  # type: ignore[return-value]


def test_an_end_is_the_fork_of_its_guard_and_no_fork_of_an_end_is() -> None:
    guard, end, stage = proc(2, 1), proc(3, 2), proc(4, 3)
    assert parts(guard, end, stage) == ({"remote": 2}, {"remote": 3})
    assert parts(stage, end, guard) == ({"remote": 2}, {"remote": 3})


def test_a_shell_in_the_place_of_python_has_no_end_below_it() -> None:
    """It forks, and for a moment its child has its command line."""
    shell, child = proc(2, 1, "run1.python"), proc(3, 2, "run1.python")
    assert parts(shell, child) == ({"remote": 2}, {})


def test_the_relays_of_a_run_are_found_by_name() -> None:
    """They are forks of its ends with their command line, and no ends."""
    guard, end, seal = proc(2, 1), proc(3, 2), proc(4, 3, "socketpipe-seal")
    assert parts(guard, end, seal) == ({"remote": 2}, {"remote": 3})
    found = Anatomy([guard, end, seal], RUN)
    assert found.part("seal") == seal
    with pytest.raises(StopIteration):
        found.part("open")
