# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report with anything in it: there is always a verdict, and a result of bounded size."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import KEPT
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.result import preflight_result, shape
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.run import Run
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.verdict import Verdict
from ansible_collections.plumbing.socketpipe.tests.unit.said import (
    MEGA,
    NAMES,
    PLAN,
    anything,
    launch_of,
    marked,
    places,
    real,
)
from hypothesis import given, settings
from hypothesis import strategies as st

MISSING = object()


def judge(reports: dict[str, str]) -> tuple[Verdict, dict[str, Any]]:
    """From the ends' output to the task's result, as the action does it."""
    outcomes = {}
    for end in PLAN.ends:
        launch = launch_of(end)
        launch.conclude(0, reports.get(end, ""), "")
        Run.patience(launch, [])
        outcomes[end] = launch.outcome()
    verdict = Verdict(PLAN, outcomes, NAMES)
    result = shape(PLAN, NAMES, verdict, 1.0)
    preflight_result(NAMES, verdict.reports)
    verdict.who_tried_what()
    return verdict, result


def test_real_reports_are_taken() -> None:
    for kind, reports in real().items():
        for end, report in reports.items():
            launch = launch_of(end)
            launch.conclude(0, marked(report), "")
            assert (launch.report, launch.error) == (report, ""), kind
    verdict, result = judge({end: marked(report) for end, report in real()["ok"].items()})
    assert verdict.ok and result["bytes"] == 6


@st.composite
def spoiled(draw: st.DrawFn) -> dict[str, Any]:
    """Real reports in which some things are missing, or are others."""
    reports = copy.deepcopy(real()[draw(st.sampled_from(sorted(real())))])
    for _time in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from([*places(reports)] or [(reports, "remote")]))
        if draw(st.booleans()) and isinstance(container, dict):
            container.pop(key, None)
        else:
            container[key] = copy.deepcopy(draw(anything))
    return reports


@settings(max_examples=250, deadline=None)
@given(spoiled())
def test_a_report_may_have_anything_in_it(reports: dict[str, Any]) -> None:
    """There is always a verdict and a result, of bounded size; what an end says that is no report is a failure."""
    verdict, result = judge({end: marked(report) for end, report in reports.items()})
    assert len(json.dumps(result)) < MEGA
    if any(outcome["report"] is None for outcome in verdict.outcomes.values()):
        assert not verdict.ok
    assert verdict.ok or verdict.skipped or verdict.cause and verdict.cause["msg"]


def changed(report: dict[str, Any], *path: Any) -> dict[str, Any]:
    *way, key, value = path
    report = copy.deepcopy(report)
    at: Any = report
    for step in way:
        at = at[step]
    if value is MISSING:
        del at[key]
    else:
        at[key] = value
    return report


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (("stages", 0, "rc", MISSING), "its stages[0].rc is not as it should be"),
        (("stages", 0, "stderr", "x" * MEGA), "its stages[0].stderr is not as it should be"),
        (("links", 0, "waited", []), "its links[0].waited is not as it should be"),
        (("links", 0, "elapsed", float("nan")), "its links[0].elapsed is not as it should be"),
        (("connect", "strangers", None), "its connect.strangers is not as it should be"),
        (("left", {}), "its left is not as it should be"),
        (("end", "peer"), "it is another end's"),
        (("stages", 0, "name", "input"), "it is of a stage that is not this end's"),
        (("stages", 0, "stdout", "x" * (KEPT + 1)), "it has more of an output than was to be kept"),
        (("links", 0, "id", "x"), "it is of a link that is not this end's"),
        (("links", 0, "side", "W"), "it is of a link that is not this end's"),
        (
            ("connect", "dialled", [{"end": "x", "address": "", "port": 1, "outcome": ""}]),
            "it is of an end that this one was not to dial",
        ),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else value,
)
def test_what_is_wrong_with_it_is_said(path: tuple[Any, ...], why: str) -> None:
    reports = {**real()["ok"], "remote": changed(real()["ok"]["remote"], *path)}
    verdict, result = judge({end: marked(report) for end, report in reports.items()})
    assert not verdict.ok and result["changed"]
    assert verdict.cause and verdict.cause["msg"] == "on db1: its end was lost: its report cannot be used, " + why
