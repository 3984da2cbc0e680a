# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a result says of files that are written, and of branches that are lost; numbers of things in sentences."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import branches, counts, written
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.branches import Losses

# -- files


KILLED, EXITED, OK = {"rc": None, "signal": 9}, {"rc": 1, "signal": None}, {"rc": 0, "signal": None}
MAYBE, DONE = ". /a\\x07 on h1 may have been replaced", ". But /a\\x07 on h1 has been replaced"


def verdict_of(found: Any, side: Any, started: bool = True, **more: Any) -> Any:
    """On a run whose stage ``a`` writes a file, and so does ``b``, of which nothing is known."""
    stages = {name: {"fds": {"0": f"to {name}"}} for name in "ab"}
    given = {
        "stages": {"a": found} if found else {},
        "sides": {("to a", "R"): {"state": side}} if side else {},
        "started": started,
        "hosts": {"one": "h1", "two": "h2"},
        "end_of": {"a": "one", "b": "two"},
        "plan": SimpleNamespace(stage=stages.__getitem__),
    }
    return SimpleNamespace(**{**given, **more})


@pytest.mark.parametrize(
    ("found", "side", "started", "said"),
    [
        (OK, "read", True, DONE),
        (OK, None, False, DONE),
        (EXITED, "read", True, ""),
        (KILLED, "read", True, MAYBE),
        (KILLED, "read", False, ""),
        (KILLED, "reset", True, ""),
        (KILLED, None, True, ""),
        (None, None, True, MAYBE),
        (None, "reset", True, MAYBE),
        (None, None, False, ""),
    ],
)
def test_what_a_failure_says_of_a_file(found: Any, side: Any, started: bool, said: str) -> None:
    """A program that was killed may have replaced it only after the end of its input."""
    assert written.after_failure(verdict_of(found, side, started), {"a": "/a\x07"}) == said


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (None, DONE + ". /b on h2 may have been replaced"),
        (["a"], DONE),
        (["b"], ". /b on h2 may have been replaced"),
        ([], ""),
    ],
)
def test_of_which_files_it_speaks(stages: Any, said: str) -> None:
    assert written.after_failure(verdict_of(OK, "read"), {"a": "/a\x07", "b": "/b"}, stages) == said


LOST = {"name": "x", "host": "h1", "ok": False, "cause": {"msg": "it failed"}}
WARNING = "the branch x on h1 failed, and the others went on (branches_required: 1): "


@pytest.mark.parametrize(
    ("ok", "found", "cause", "warnings"),
    [
        (True, {**LOST}, "it failed" + DONE, [WARNING + "it failed" + DONE]),
        (True, {**LOST, "cause": None}, None, [WARNING]),
        (True, {**LOST, "ok": True, "cause": None}, None, []),
        (False, {**LOST}, "it failed", []),
    ],
)
def test_a_branch_that_writes_a_file(
    monkeypatch: pytest.MonkeyPatch, ok: bool, found: Any, cause: Any, warnings: list[str]
) -> None:
    """Its failure is a warning if the run went on without it."""
    verdict = verdict_of(OK, "read", ok=ok, cause=None)
    plan: Any = SimpleNamespace(branches=[{"name": "x", "stages": ["a"]}], branches_required=1)
    monkeypatch.setattr(written, "concluded", lambda *_given: {"branches": [found]})
    result, said = written.pipeline_result(plan, {}, verdict, 1.0, {"a": "/a\x07", "b": "/b"})
    (branch,) = result["branches"]
    assert ((branch["cause"] or {}).get("msg"), said) == (cause, warnings)
    assert LOST["cause"] == {"msg": "it failed"}


def test_a_pipeline_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = verdict_of(OK, "read", ok=False, cause={"msg": "it failed"})
    monkeypatch.setattr(written, "concluded", lambda _plan, _hosts, judged, _elapsed: dict(judged.cause))
    none: Any = None
    assert written.pipeline_result(none, {}, verdict, 1.0, {"a": "/a\x07"}) == ({"msg": "it failed" + DONE}, [])


# -- branches


def plan_of(required: int, names: str = "xyz") -> Any:
    found = [{"name": name, "end": name} for name in names]
    return SimpleNamespace(branches=found, branches_required=required)


def cause(text: str) -> Any:
    return {"kind": "failed", "msg": text}


@pytest.mark.parametrize(
    ("required", "failures", "message", "lost"),
    [
        (0, [], None, ""),
        (1, ["x", "y"], None, "xy"),
        (1, ["x", "x", "y"], None, "xy"),
        (1, ["x", "y", "z"], "3; 0 of 3 branches are left, and branches_required is 1", "xy"),
        (2, ["x", "y"], "2; 1 of 3 branches are left, and branches_required is 2", "x"),
        (2, ["xy"], "1; 1 of 3 branches are left, and branches_required is 2", ""),
        (2, ["x", "xy"], "2; 1 of 3 branches are left, and branches_required is 2", "x"),
        (3, ["x"], "1", ""),
        (1, ["x", ""], "2", "x"),
        (0, ["xyz"], None, "xyz"),
    ],
)
def test_branches_that_may_be_lost(required: int, failures: list[str], message: Any, lost: str) -> None:
    """In the order of the failures; each with its first one."""
    losses = Losses(plan_of(required))
    told = [(cause(str(number)), set(where) or {""}) for number, where in enumerate(failures, start=1)]
    found = losses.too_many(told)
    assert (found and found["msg"]) == message
    assert "".join(sorted(losses.lost)) == lost
    assert all(losses.lost[name]["msg"] == str(1 + [name in each for each in failures].index(True)) for name in lost)


@pytest.mark.parametrize(
    ("stdout", "fan", "count"),
    [("0 17\n", True, 17), ("0 17", False, None), ("0", True, None), ("1 17", True, None), ("", True, None)]
    + [("0 x", True, None), ("0 -1", True, None), ("0 17 x", True, 17)],
)
def test_what_a_fan_out_has_read(stdout: str, fan: bool, count: int | None) -> None:
    stages = {"w": {"stdout": stdout}}
    plan = SimpleNamespace(stage={"w": {"fan": {}} if fan else {}}.__getitem__)
    link: Any = {"source": "w"}
    verdict: Any = SimpleNamespace(stages=stages, plan=plan)
    assert branches.read_by_fan_out(verdict, link) == count
    verdict.stages = {}
    assert branches.read_by_fan_out(verdict, link) is None


@pytest.mark.parametrize(
    ("ran", "skipped", "expected"),
    [
        (True, False, [(False, "lost"), (True, None)]),
        (True, True, [(None, None)] * 2),
        (False, False, [(None, None)] * 2),
    ],
)
def test_the_results_of_branches(ran: bool, skipped: bool, expected: Any) -> None:
    verdict: Any = SimpleNamespace(skipped=skipped, causes_of_branches=lambda: {"x": "lost"}) if ran else None
    found = branches.branch_results(plan_of(1, "xy"), {"x": "h1", "y": "h2"}, verdict)
    assert [(each["name"], each["host"]) for each in found] == [("x", "h1"), ("y", "h2")]
    assert [(each["ok"], each["cause"]) for each in found] == expected


# -- numbers of things


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [(0, ["file"], "0 files"), (1, ["file"], "1 file"), (2, ["file"], "2 files"), (2, ["copy", "copies"], "2 copies")]
    + [(1, ["copy", "copies"], "1 copy")],
)
def test_counts(number: int, words: list[str], text: str) -> None:
    assert counts.count(number, *words) == text


@pytest.mark.parametrize(
    ("names", "more", "text"),
    [
        ("", {}, ""),
        ("a", {}, "a"),
        ("abc", {}, "a, b, c"),
        ("abcd", {}, "a, b, c and 1 more"),
        ("abcd", {"most": 1}, "a and 3 more"),
        ("ab", {"total": 2}, "a, b"),
        ("ab", {"total": 9}, "a, b and 7 more"),
        ("abcd", {"total": 9}, "a, b, c and 6 more"),
    ],
)
def test_a_few(names: str, more: dict[str, int], text: str) -> None:
    assert counts.few(names, **more) == text
