# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user gets: one shape whatever came of it, of bounded size."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import KEPT
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.result import (
    TAIL,
    clipped,
    left_running,
    plan_order,
    shape,
    summary,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.verdict import Verdict
from ansible_collections.plumbing.socketpipe.tests.unit.ends import make_plan, stage

ARGV = 2048  # characters of a command, as the result shows it
HOSTS = {"a": "tape1", "b": "db1"}
MOST = 200_000  # AWX drops events of more than 700,000 bytes, and a result is in several of them


def pipe(argv: tuple[str, ...] = ("cat",), count: int = 1) -> Plan:
    """input on a, remote on b, output on a; ``count`` stages in each."""
    stages = [(end, stage("%s[%d]" % (name, n), argv)) for end, name in PARTS for n in range(count)]
    return make_plan(*stages)


PARTS = (("a", "input"), ("b", "remote"), ("a", "output"))


def reports(plan: Plan, text: str = "", failing: str = "") -> dict[str, dict[str, Any]]:
    """All went well, or this stage failed; each has said ``text`` on its standard error."""
    found: dict[str, dict[str, Any]] = {}
    for end, spec in plan.ends.items():
        stages = []
        for each in spec["stages"]:
            problem = {"kind": "failed", "signal": ""} if each["name"] == failing else None
            said: dict[str, Any] = {
                "name": each["name"],
                "argv": each["argv"],
                "rc": 1 if problem else 0,
                "signal": None,
                "blame": [],
            }
            said.update(elapsed=1.23456, started_at=0.0, ended_at=1.0, cpu=0.98765, problem=problem, stderr=text)
            said.update(stdout=text, stdout_truncated=bool(text))
            stages.append(said)
        links = []
        for link in plan.links:
            for side, owner in (("W", "writer"), ("R", "reader")):
                if link[owner] == end:
                    links.append(side_of(link["id"], side, local=link["writer"] == link["reader"]))
        report = {"end": end, "cancelled": None, "stages": stages, "links": links, "left": [], "killed": []}
        found[end] = {"report": report, "error": "", "kind": "launch", "cancelled": False}
    return found


def side_of(link: str, side: str, local: bool) -> dict[str, Any]:
    waited = dict.fromkeys(("receiver", "buffer", "busy"), None if local else 0.5)
    said: dict[str, Any] = {
        "id": link,
        "side": side,
        "state": "done" if side == "W" else "read",
        "problem": None,
    }
    said.update(ended=side == "R", encryption=None)
    said.update(bytes=None if local else 5000, unread=None if side == "W" else 0, padding=0, elapsed=2.0, ended_at=2.0)
    said.update(rtt=None if local else 0.0001, retransmits=None if local else 0, waited=waited)
    return {**said, "address": "192.0.2.1:5", "peer": "192.0.2.2:6", "encryption": None}


def result_of(plan: Plan, outcomes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return shape(plan, HOSTS, Verdict(plan, outcomes, HOSTS), 2.5)


def keys(value: Any) -> Any:
    """The names in a result, without what they stand for."""
    if isinstance(value, dict):
        return {name: keys(each) for name, each in value.items()}
    return [keys(each) for each in value] if isinstance(value, list) else None


def test_one_shape() -> None:
    """In check mode, after success, after failure: the same names in the same places."""
    plan = pipe()
    after = result_of(plan, reports(plan))
    assert keys(shape(plan, HOSTS, None, None)) == keys(after)
    failed = result_of(plan, reports(plan, failing="remote[0]"))
    assert keys({**failed, "cause": None}) == keys(after) and failed["cause"]["stage"] == "remote[0]"


@pytest.mark.parametrize(("failing", "count", "step"), [("", 100, 1), ("remote[0]", 10, 10)])
def test_samples(failing: str, count: int, step: int) -> None:
    """Those of a link that has ended are there once; a failed run, whose event has the result twice, has fewer."""
    plan = pipe()
    found = reports(plan, failing=failing)
    there, back = (link["id"] for link in plan.links)
    course = [[there, n + 0.00049, 1000 * n, 0.0002125, n, None] for n in range(1, 101)]
    found["a"]["report"]["points"] = [[each] for each in course] + [[course[-1]]] * 5
    found["b"]["report"]["points"] = [[[back, 0.5, 7, None, None, 0.25]]]
    first, second = (link["samples"] for link in result_of(plan, found)["links"])
    assert len(first) == count and first[-1] == [100.0, 100_000, 0.000212, 100, None]
    assert [after[0] - before[0] for before, after in zip(first, first[1:])] == [step] * (count - 1)
    assert second == [[0.5, 7, None, None, 0.25]]
    assert len(json.dumps(first)) < 5000


def test_the_order_is_the_streams() -> None:
    plan = pipe(count=2)
    names = ["%s[%d]" % (name, n) for _end, name in PARTS for n in (0, 1)]
    assert plan_order(plan) == names
    assert [each["name"] for each in result_of(plan, reports(plan))["stages"]] == names


def forked() -> Plan:
    """a writes to b, which writes to c on its host, and to d, which writes to e."""
    plan = make_plan(("1", stage("a", ["cat"])), ("2", stage("b", ["cat"])), ("2", stage("c", ["cat"])))
    for end, name in (("3", "d"), ("4", "e")):
        plan.add_end(end)
        plan.add_stage(end, stage(name, ["cat"]))
    plan.connect("d", "e")
    plan.connect("a", "d", fd=3)
    return plan


def test_the_order_of_a_tree_is_branch_by_branch() -> None:
    plan = forked()
    hosts = {end: "host" + end for end in plan.ends}
    assert plan_order(plan) == ["a", "b", "c", "d", "e"]
    result = shape(plan, hosts, Verdict(plan, reports(plan), hosts), 2.5)
    assert [each["name"] for each in result["stages"]] == ["a", "b", "c", "d", "e"]
    assert [each["destination"] for each in result["links"]] == ["b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("counts", "total"),
    [
        ({"a → b": 7, "b → c": None, "a → d": 7, "d → e": 3}, 7),
        ({"a → b": 7, "b → c": None, "a → d": 9, "d → e": 8}, 8),
        ({"a → b": None, "b → c": None, "a → d": 9, "d → e": None}, 9),
        ({"a → b": None, "b → c": None, "a → d": None, "d → e": None}, None),
    ],
)
def test_the_bytes_of_a_tree(counts: dict[str, int | None], total: int | None) -> None:
    """Those of the last stage that has read most."""
    plan = forked()
    hosts = {end: "host" + end for end in plan.ends}
    outcomes = reports(plan)
    for outcome in outcomes.values():
        for side in outcome["report"]["links"]:
            side["bytes"] = counts[side["id"]]
    assert shape(plan, hosts, Verdict(plan, outcomes, hosts), 2.5)["bytes"] == total


def chain(count: int, **options: Any) -> tuple[Plan, dict[str, str]]:
    """A chain of so many hosts, with a stage on each."""
    names = ["web-%03d.example.com" % number for number in range(count)]
    plan = make_plan(*[("end%d" % n, stage("host[%d]" % n, ["/usr/bin/cat", "-u"])) for n in range(count)], **options)
    return plan, dict(zip(plan.ends, names))


@pytest.mark.parametrize("failing", ["", "host[150]", "all"])
def test_a_result_of_300_hosts_is_bounded(failing: str) -> None:
    plan, hosts = chain(300)
    outcomes = reports(plan, text="x" * KEPT, failing=failing)
    if failing == "all":
        for outcome in outcomes.values():
            for said in outcome["report"]["stages"]:
                said["problem"], said["rc"] = {"kind": "failed", "signal": ""}, 1
    if failing:
        for outcome in outcomes.values():
            for side in outcome["report"]["links"]:
                side["state"] = "reset"
    result: Any = shape(plan, hosts, Verdict(plan, outcomes, hosts), 2.5)
    result["ansible_facts"] = {"socketpipe": summary({**result, "peer": ""})}
    assert len(result["stages"]) == 300 and len(result["links"]) == 299
    assert len(json.dumps(result)) < MOST
    whole = [each for each in result["stages"] if "argv" in each]
    assert len(whole) == (1 if not failing else 2 if failing != "all" else 9), "and the last one, with its output"
    if failing:
        assert result["cause"]["stage"] in [each["name"] for each in whole]
        assert len([each for each in result["links"] if "rtt" in each]) == 8
    assert set(result["stages"][7]) >= {"name", "host", "rc", "elapsed"}


def test_a_result_of_eight_hosts_is_whole() -> None:
    for count, fields in ((8, True), (9, False)):
        plan, hosts = chain(count)
        result = shape(plan, hosts, Verdict(plan, reports(plan), hosts), 2.5)
        assert ("argv" in result["stages"][0]) is ("rtt" in result["links"][0]) is fields


def test_figures() -> None:
    plan = pipe()
    result = result_of(plan, reports(plan))
    first, _second = result["links"]
    assert (first["source_host"], first["destination_host"]) == ("tape1", "db1")
    assert (first["bytes"], first["rate"], first["elapsed"]) == (5000, 2500, 2.0)
    assert result["bytes"] == 5000 and result["elapsed"] == 2.5 and result["changed"] is True
    assert result["stages"][0]["elapsed"] == 1.235 and "stdout" not in result["stages"][0]
    assert result["stages"][-1]["stdout"] == "" and result["stages"][-1]["stdout_truncated"] is False


def test_what_is_not_counted_is_none() -> None:
    plan = pipe(count=2)
    local = result_of(plan, reports(plan))["links"][0]
    assert (local["bytes"], local["rate"], local["rtt"], local["retransmits"]) == (None, None, None, None)


def test_only_the_cause_tells_all_it_said() -> None:
    plan = pipe()
    result = result_of(plan, reports(plan, text="x" * KEPT, failing="remote[0]"))
    assert [len(each["stderr"]) for each in result["stages"]] == [TAIL, KEPT, TAIL]
    assert len(result["stages"][-1]["stdout"]) == TAIL and result["stages"][-1]["stdout_truncated"] is True


def test_what_the_last_command_wrote_is_whole_in_a_success() -> None:
    plan = pipe()
    assert len(result_of(plan, reports(plan, text="x" * KEPT))["stages"][-1]["stdout"]) == KEPT


@pytest.mark.parametrize(
    ("character", "kept", "count"),
    [
        ("x", KEPT, 1),
        ("x", KEPT, 3),
        ("x", KEPT, 4),
        ('"', KEPT // 2, 1),
        ("\n", KEPT // 2, 1),
        ("\0", KEPT // 6, 1),
        ("\0", KEPT // 6, 3),
        ("\U0001f4a9", KEPT // 12, 1),
    ],
)
def test_a_result_is_bounded(character: str, kept: int, count: int) -> None:
    """With as much as an end may report of each stage, and with long commands."""
    plan = pipe(argv=("sh", "-c", "x" * 200_000, *["word"] * 5000), count=count)
    name = "output[%d]" % (count - 1)
    result = result_of(plan, reports(plan, text=character * kept, failing=name))
    assert result["cause"]["stage"] == name
    event = {"res": result, "stdout": "fatal: [%s]: FAILED! => %s" % ("h" * 60, json.dumps(result))}
    assert len(json.dumps(event)) < MOST


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["tar", "cf"], ["tar", "cf"]),
        (["x" * ARGV], ["x" * ARGV]),
        (["x" * (ARGV + 5)], ["x" * ARGV + "… 5 more characters"]),
        (["a" * ARGV, "b", "c"], ["a" * ARGV, "… 2 more words"]),
        ([], []),
    ],
)
def test_clipped(argv: list[str], words: list[str]) -> None:
    assert clipped(argv) == words


def test_the_fact_is_a_summary() -> None:
    """It may be cached on a disk: no command, no word of what was said, no environment."""
    plan = pipe(argv=("secret-command",))
    result = {**result_of(plan, reports(plan, text="secret-text")), "peer": "tape1"}
    fact = summary(result)
    assert "secret" not in json.dumps(fact) and fact["ok"] is True
    assert fact["rc"] == {"input[0]": 0, "remote[0]": 0, "output[0]": 0}
    assert set(fact) == {"run", "time", "ok", "bytes", "elapsed", "peer", "rc"}


@pytest.mark.parametrize(
    ("count", "last"), [(1, "db1: 1 agent"), (10, "db1: 10 agent"), (11, "1 more"), (30, "20 more")]
)
def test_up_to_ten_processes_that_are_left_are_named(count: int, last: str) -> None:
    said: Any = {"b": {"left": [{"pid": number, "name": "agent"} for number in range(1, count + 1)]}}
    found = left_running(HOSTS, said)
    assert len(found) == min(count, 11) and found[-1] == last and found[0] == "db1: 1 agent"
