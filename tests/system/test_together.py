# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test sees of a run that it shares with others: its own play, judged as if it had been alone. Needs no host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .playbook import Done, Started
from .together import Play, Run, part

TASK: dict[str, Any] = {"ansible.builtin.debug": {"msg": "x"}}
IGNORED = {**TASK, "ignore_errors": True}
LINES = [
    "PLAY [one] ***\n",
    "ok: [h1]\n",
    "PLAY [other] ***\n",
    "fatal: [h1]: FAILED!\n",
    "PLAY RECAP ***\n",
    "h1 : ok=1\n",
]


@pytest.fixture(autouse=True)
def clean() -> None:
    """Nothing runs here that could leave anything."""


def over(path: Path, *events: tuple[str, str, str]) -> Run:
    """A run with these events: play, task, and what it came to; ansible-playbook itself ends well in any case."""
    started = object.__new__(Started)
    started.record, started.began = path / "record", 0.0
    rows = [{"play": p, "task": t, "event": e, "host": "h1", "at": 1.0, "result": {"of": p}} for p, t, e in events]
    started.record.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Run(started, Done(rc=0, lines=[(0.0, line) for line in LINES], stderr="all", outcomes=[], retries=[]))


@pytest.mark.parametrize(
    ("event", "play", "rc"),
    [
        ("ok", Play([TASK]), 0),
        ("skipped", Play([TASK]), 0),
        ("failed", Play([TASK]), 2),
        ("failed", Play([IGNORED]), 0),
        ("failed", Play([TASK], ignore_errors=True), 0),
        ("unreachable", Play([TASK]), 4),
        ("unreachable", Play([IGNORED]), 4),
        ("unreachable", Play([TASK], ignore_errors=True), 4),
        ("unreachable", Play([{**TASK, "ignore_unreachable": True}]), 0),
    ],
)
def test_a_play_is_judged_as_if_it_had_been_alone(tmp_path: Path, event: str, play: Play, rc: int) -> None:
    """Of the other plays it does not matter what they came to."""
    run = over(tmp_path, ("other", "task 1", "failed"), ("one", "task 1", event), ("other", "task 2", "unreachable"))
    for expected in (0, 2, 4, None):
        asked = Play(play.tasks, ignore_errors=play.ignore_errors, rc=expected)
        if expected in (rc, None):
            done = part(run, "one", asked)
            assert (done.rc, done.only.status, done.result) == (rc, event, {"of": "one"})
        else:
            with pytest.raises(AssertionError, match=f"would have ended with {rc}, not {expected}:\nPLAY .one."):
                part(run, "one", asked)


def test_only_its_own_lines_are_shown(tmp_path: Path) -> None:
    run = over(tmp_path, ("one", "task 1", "ok"), ("other", "task 1", "failed"))
    assert part(run, "one", Play([TASK])).stdout == "PLAY [one] ***\nok: [h1]\n"
    assert part(run, "other", Play([TASK], rc=2)).stdout == "PLAY [other] ***\nfatal: [h1]: FAILED!\n"


def test_retries_are_no_outcomes(tmp_path: Path) -> None:
    run = over(tmp_path, ("one", "task 1", "retry"), ("one", "task 1", "ok"))
    done = part(run, "one", Play([TASK]))
    assert [each.status for each in done.outcomes] == ["ok"] and len(done.retries) == 1


def test_a_task_that_has_not_run_is_named(tmp_path: Path) -> None:
    """A test that looks at each of its results would else be content with none."""
    run = over(tmp_path, ("one", "task 1", "ok"), ("other", "task 2", "ok"))
    with pytest.raises(AssertionError, match="not run: {'task 2'}"):
        part(run, "one", Play([TASK, TASK]))


def test_two_tasks_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the same name"):
        part(over(tmp_path), "one", Play([{"name": "it", **TASK}] * 2))


def test_what_ended_the_run_is_told_to_each(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="too long"):
        part(TimeoutError("too long"), "one", Play([TASK]))
