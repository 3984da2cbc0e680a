# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report with anything in it: there is always a verdict, and a result of bounded size."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.command import ADVICE, exit_status
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import KEPT
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.beginning import who_tried_what
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.launch import Run, report_most
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import parse_sample
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.result import preflight_result, shape
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.verdict import Verdict
from ansible_collections.plumbing.socketpipe.tests.unit.said import (
    LINK,
    MEGA,
    NAMES,
    PLAN,
    anything,
    kept_of,
    launch_of,
    marked,
    places,
    real,
)
from hypothesis import given, settings
from hypothesis import strategies as st

MISSING = object()
NOBODY = {"address": "", "port": 1, "met": False, "outcome": "refused", "detail": ""}
FAILED = {"kind": "failed", "signal": ""}
EVENT_MOST = 200_000  # characters of the event of a failed task; AWX drops those of more than 700,000


def judge(reports: dict[str, str]) -> tuple[Verdict, dict[str, Any]]:
    """From the ends' output to the task's result, as the action does it."""
    outcomes = {}
    for end in PLAN.ends:
        launch = launch_of(end)
        launch.conclude(0, reports.get(end, ""), "")
        Run.patience(launch, [])
        outcomes[end] = launch.outcome()
    exit_status(Verdict(PLAN, outcomes, NAMES, ADVICE), "output")  # as the command does
    verdict = Verdict(PLAN, outcomes, NAMES)
    result = shape(PLAN, NAMES, verdict, 1.0)
    preflight_result(NAMES, verdict.reports)
    who_tried_what(verdict, PLAN.ends)
    return verdict, result


@pytest.mark.parametrize(("count", "taken"), [(0, 0), (2, 2), (3, 2)])
def test_a_sample_has_at_most_both_sides_of_each_link(count: int, taken: int) -> None:
    """That is a link within a host."""
    (link,) = PLAN.for_end("remote")["links"]
    (side,) = [each for each in real()["ok"]["remote"]["links"] if each["id"] == link["id"]]
    sample = {"sample": [side] * count, "at": 1.0, "told": {}}
    parsed = parse_sample(sample, {**PLAN.for_end("remote"), "links": [link]})
    assert parsed and len(parsed["sample"]) == taken


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ({"sink": "waiting\x1b for a drive", "other": "x"}, {"sink": "waiting\\x1b for a drive"}),
        ({"source": "a command of the user"}, {}),
        ({"sink": "x" * 500}, {"sink": "x" * 400}),
        ({"sink": 5}, None),
        (["sink"], None),
        (None, None),
    ],
)
def test_only_programs_of_this_collection_tell_what_they_do(told: Any, taken: dict[str, str] | None) -> None:
    """A progress line then has their words, and not those of commands."""
    plan: Any = {"stages": [{"name": "source"}, {"name": "sink", "tells": True}], "links": []}
    parsed = parse_sample({"sample": [], "at": 1.0, "told": told}, plan)
    assert (parsed and parsed["told"]) == taken


def test_real_reports_are_taken() -> None:
    for kind, reports in real().items():
        for end, report in reports.items():
            launch = launch_of(end)
            launch.conclude(0, marked(report), "")
            assert launch.report and not launch.error, kind
            assert kept_of(report, launch.report) == launch.report, kind
    verdict, result = judge({end: marked(report) for end, report in real()["ok"].items()})
    assert verdict.ok and result["bytes"] == 6


def texts(value: Any, at: str = "") -> Iterator[str]:
    """All texts of a result that are shown; what the last command wrote is data."""
    if isinstance(value, str) and at != "stdout":
        yield value
    elif isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts(inner, str(key))


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
    event = {"res": result, "stdout": "fatal: [%s]: FAILED! => %s" % ("h" * 60, json.dumps(result))}
    assert len(json.dumps(event)) < (EVENT_MOST if not verdict.ok else MEGA)
    assert all(character.isprintable() or character in "\n\t" for text in texts(result) for character in text)
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
        (("stages", 0, "rc", MISSING), "invalid value in stages[0].rc"),
        (("stages", 0, "stderr", "x" * MEGA), "invalid value in stages[0].stderr"),
        (("links", 0, "waited", []), "invalid value in links[0].waited"),
        (("links", 0, "elapsed", float("nan")), "invalid value in links[0].elapsed"),
        (("connect", "strangers", None), "invalid value in connect.strangers"),
        (("left", {}), "invalid value in left"),
        (("end", "peer"), "it belongs to another end"),
        (("stages", 0, "name", "input"), "it names an unknown stage"),
        (("stages", 0, "stdout", "x" * (KEPT + 1)), "an output is longer than allowed"),
        (("links", 0, "id", "x"), "it names an unknown link"),
        (("links", 0, "side", "W"), "it names an unknown link"),
        (("points", [[[LINK, 1.0, 5, None, None, None]]]), "it has figures of a link that it does not write to"),
        (("points", [[[LINK, 1.0, 5, None, None]]]), "invalid value in points[0][0]"),
        (("points", [[[LINK, 1.0, None, None, None, None]]]), "invalid value in points[0][0][2]"),
        (
            ("connect", "dialled", [{**NOBODY, "end": "x"}]),
            "it names an unknown end",
        ),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else value,
)
def test_what_is_wrong_with_it_is_said(path: tuple[Any, ...], why: str) -> None:
    reports = {**real()["ok"], "remote": changed(real()["ok"]["remote"], *path)}
    verdict, result = judge({end: marked(report) for end, report in reports.items()})
    assert not verdict.ok and result["changed"]
    assert verdict.cause and verdict.cause["msg"] == "on db1: its end was lost: its report is invalid: " + why


@pytest.mark.parametrize("rc", [None, 1, -9, 256, -1000, 2**40, 0.5])
def test_an_exit_status_is_one(rc: Any) -> None:
    """Whatever it is said to be, the command has a verdict, and exits with a status that is not that of success."""
    failed = real()["failed"]
    stage = {**failed["peer"]["stages"][0], "rc": rc, "problem": FAILED, "blame": []}
    reports = {**failed, "peer": {**failed["peer"], "stages": [stage]}}
    verdict, _result = judge({end: marked(report) for end, report in reports.items()})
    assert not verdict.ok and 0 < exit_status(verdict, stage["name"]) < 256


def test_half_a_character_is_none() -> None:
    """JSON can spell it; whoever writes the result, to a terminal or a log, could not."""
    ok = real()["ok"]
    said = {end: marked(report).replace('"stdout": "', '"stdout": "\\ud800') for end, report in ok.items()}
    verdict, result = judge(said)
    assert verdict.ok and result["stages"][-1]["stdout"].startswith("?")
    assert json.dumps(result, ensure_ascii=False).encode("utf-8")


def flooded() -> dict[str, Any]:
    """Of everything that a report may have as much as is read of it, in the dearest characters."""
    dear = '\x1b"\u202e' * 40_000
    short = dear[:300]
    reports = {end: copy.deepcopy(real()["ok"][end]) for end in ("peer", "remote")}
    for end, other in (("peer", "remote"), ("remote", "peer")):
        report = reports[end]
        for stage in report["stages"]:
            stage.update(stderr=dear[:KEPT], stdout=dear[:KEPT], problem={"kind": "failed", "signal": short * 9}, rc=1)
            stage["blame"] = [LINK] * 500 if end == "peer" else []
        for side in report["links"]:
            side.update(problem={"kind": "stalled", "seconds": 2**62}, address=short, peer=short, ended_at=None)
        if end == "peer":
            report["points"] = [[[LINK, 2**62 + n, 2**62 + n, 1 / 3, 2**62, 1e9 / 3]] for n in range(100)]
        dialled = {"end": other, "address": short, "port": 1, "met": True, "outcome": "error", "detail": short}
        report["connect"].update(dialled=[dialled] * 90, taken=[{"port": 1, "error": short}] * 20)
        processes = [{"pid": 7, "name": short}] * 50
        warning = {"kind": "small packets", "address": short, "peer": short, "segment": 1}
        report.update(left=processes, killed=processes, warnings=[warning] * 50)
    return reports


def test_a_hostile_report_is_bounded_and_harmless() -> None:
    verdict, result = judge({end: marked(report) for end, report in flooded().items()})
    event = {"res": result, "stdout": "fatal: [%s]: FAILED! => %s" % ("h" * 60, json.dumps(result))}
    assert verdict.cause and verdict.cause["stage"] == "remote"
    assert len(json.dumps(event)) < EVENT_MOST
    for end, report in verdict.reports.items():
        assert len(json.dumps(report)) <= report_most(PLAN.for_end(end))
        shown = [*texts(result), *map(sentences.warning, report["warnings"]), who_tried_what(verdict, PLAN.ends)]
        assert not any("\x1b" in each or "\u202e" in each for each in shown)
    assert len(result["left_running"]) == 11 and result["left_running"][-1] == "90 more"


def test_no_more_is_read_than_a_report_can_have() -> None:
    """The line of an end with one stage: beyond its bound it is noise."""
    launch = launch_of()
    most = report_most(launch.plan)
    assert most < 2 * MEGA and launch.heard.most == most
    launch.conclude(0, marked({**real()["ok"]["remote"], "x": "y" * most}), "")
    assert launch.report is None and "ended without a report" in launch.error
