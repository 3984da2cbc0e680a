# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fork of a pipeline, as a task may have it, and one sentence for each that it may not."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _pipeline_run
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._pipeline_fork import parse_forked
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import OptionError

HERE: dict[str, Any] = {"cmd": "cat"}
TWO = [[{"host": "h1", "cmd": "zstd"}, {"host": "h2", "name": "disk", "path": "/x"}], ["tee /y"]]


def test_what_a_fork_may_be() -> None:
    stages, fork, warnings = parse_forked([HERE, {"branches": TWO, "branches_required": 1}])
    assert [stage.option for stage in stages] == ["stages[0]"] and warnings == []
    assert fork and fork.required == 1
    found = [[(stage.option, stage.command["name"], stage.host) for stage in branch] for branch in fork.branches]
    assert found == [
        [
            ("stages[1].branches[0][0]", "stages[1].branches[0][0]", "h1"),
            ("stages[1].branches[0][1]", "disk", "h2"),
        ],
        [("stages[1].branches[1][0]", "stages[1].branches[1][0]", "")],
    ]


@pytest.mark.parametrize(("value", "required"), [(None, 2), ("all", 2), (1, 1), ("2", 2)])
def test_how_many_branches_are_required(value: Any, required: int) -> None:
    _stages, fork, _warnings = parse_forked([HERE, {"branches": TWO, "branches_required": value}])
    assert fork and fork.required == required


def test_a_chain_without_a_fork() -> None:
    stages, fork, _warnings = parse_forked([HERE, HERE])
    assert (len(stages), fork) == (2, None)


ONLY_LAST = "branches: only the last item of stages can fork, and a branch cannot"


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([{"branches": TWO}], "stages[0]: branches: give a stage before it, whose output the branches get"),
        ([{"branches": TWO}, HERE], f"stages[0]: {ONLY_LAST}"),
        ([HERE, {"branches_required": 1, "cmd": "cat"}],
         "stages[1]: cmd: not valid beside branches; valid settings: branches, branches_required"),
        ([HERE, {"branches": TWO, "host": "h1"}],
         "stages[1]: host: not valid beside branches; valid settings: branches, branches_required"),
        *(
            ([HERE, {"branches": value}],
             "stages[1]: branches: give a list of two branches or more, each a list of stages")
            for value in (None, "cat", [], [[HERE]], {"a": [HERE]})
        ),
        ([HERE, {"branches": [[HERE], HERE]}],
         "stages[1].branches[1]: give a list of stages, not a mapping"),
        ([HERE, {"branches": [[HERE], []]}], "stages[1].branches[1]: give a list of stages, not a list"),
        ([HERE, {"branches": [[HERE], [{"branches": TWO}]]}], f"stages[1].branches[1][0]: {ONLY_LAST}"),
        ([HERE, {"branches": [[HERE], [{"path": "/x"}, HERE]]}],
         "stages[1].branches[1][0]: path: only the first stage can read a file, and only the last can write one"),
        ([{"path": "/x"}, {"path": "/x"}, {"branches": TWO}],
         "stages[1]: path: only the first stage can read a file, and only the last can write one"),
        ([{"cmd": "cat", "name": "disk"}, {"branches": TWO}],
         "stages[1].branches[0][1]: name: 'disk' is already the name of stages[0]"),
        ([{"cmd": "cat", "name": "fan-out"}, {"branches": TWO}],
         "stages[0]: name: 'fan-out' is the name of the program that copies to the branches"),
        *(
            ([HERE, {"branches": TWO, "branches_required": value}],
             f"stages[1]: branches_required: {value!r} is neither all nor a number from 1 to 2")
            for value in (0, 3, -1, "most", True, 1.5, [1])
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(items: list[Any], sentence: str) -> None:
    with pytest.raises(OptionError, match="^" + re.escape(sentence) + "$"):
        parse_forked(items)


def test_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task's environment is for its host, in branches, too; the fan-out runs beside the stage before it."""
    hosts = {name: SimpleNamespace(name=name, user=("", ""), executor=name) for name in ("h0", "h1", "h2")}
    monkeypatch.setattr(_pipeline_run.hosts_of, "as_user", lambda _action, name, *_more: hosts[name])
    ends = _pipeline_run.Ends(None, hosts["h0"], {})
    stages, fork, _warnings = parse_forked([{"host": "h1", "cmd": "cat"}, {"branches": TWO, "branches_required": 1}])
    plan = _pipeline_run.make_plan({}, stages, ends, {"A": "task"}, False, fork)
    where = {stage["name"]: (end, stage["environment"]) for end, spec in plan.ends.items() for stage in spec["stages"]}
    assert where["fan-out"] == where["stages[0]"] == ("end1", {})
    assert where["stages[1].branches[1][0]"][1] == {"A": "task"} and where["disk"][1] == {}
    assert [(branch["name"], ends.hosts[branch["end"]].name) for branch in plan.branches] == [
        ("disk", "h2"),
        ("stages[1].branches[1][0]", "h0"),
    ]
    assert plan.stage("fan-out")["fan"] == {"required": 1, "leaving": []}
