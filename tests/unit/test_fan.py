# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan that forks: each branch has every byte or never sees an end of file, and may be lost without the others."""

from __future__ import annotations

import base64
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import launch as controller
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.fork import fork
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.result import plan_order, shape
from ansible_collections.plumbing.socketpipe.tests.unit import ends as ends_module
from ansible_collections.plumbing.socketpipe.tests.unit import pythons
from ansible_collections.plumbing.socketpipe.tests.unit.ends import (
    HASTY,
    Ends,
    alive,
    eventually,
    py,
    record,
    recorded,
    sh,
    signal_to,
    stage,
)
from ansible_collections.plumbing.socketpipe.tests.unit.test_barrier import DEATHS, told

Launch = Callable[..., Ends]
BOTH = pytest.mark.parametrize("encryption", ["none", "relay"], indirect=True)


@pytest.fixture(autouse=True)
def encryption(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends_module, "ENCRYPTION", getattr(request, "param", "none"))


def forked(
    source: dict[str, Any], *branches: list[tuple[str, dict[str, Any]]], required: int = 0, **options: Any
) -> Plan:
    """The source is at a; all ends are on loopback; encrypted if this pass of the tests is."""
    plan = Plan({"connect_timeout": 30, "kernel_tls": ends_module.KERNEL_TLS, **options})
    for end in ["a", *(end for branch in branches for end, _stage in branch)]:
        if end not in plan.ends:
            plan.add_end(end)
    plan.add_stage("a", source)
    fork(plan, source["name"], branches, required or len(branches))
    for dialler, target in itertools.permutations(plan.ends, 2):
        plan.reach(dialler, target, ["127.0.0.1"])
    if ends_module.ENCRYPTION != "none":
        plan.encrypt(ends_module.make_certificate)
    return plan


@BOTH
@pytest.mark.parametrize("count", [2, 8])
def test_equal_bytes_in_all_branches(launch: Launch, tmp_path: Path, count: int) -> None:
    source = sh("source", "head -c 5000000 /dev/urandom | tee %s/sent" % tmp_path)
    ends = (
        launch(forked(source, *([("b%d" % n, record("sink%d" % n, tmp_path / str(n)))] for n in range(count))))
        .wait()
        .ok()
    )
    assert [recorded(tmp_path / str(n))["bytes"] for n in range(count)] == [5_000_000] * count
    assert len({recorded(tmp_path / str(n))["sha256"] for n in range(count)}) == 1
    ends.gone()


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_on_every_python(launch: Launch, tmp_path: Path, version: str) -> None:
    sinks = [[(end, record(end + "1", tmp_path / end))] for end in "ab"]
    python = pythons.needed(version)
    ends = launch(forked(sh("source", "head -c 3000000 /dev/zero"), *sinks), pythons={"a": python}).wait().ok()
    assert [recorded(tmp_path / end)["bytes"] for end in "ab"] == [3_000_000] * 2
    ends.gone()


# -- a branch is lost

# writes a part, waits for a file, and writes the rest, which no buffer takes, and not before a failure is noticed
HALVES = """
import os, sys, time
for half in range(2):
    for _piece in range(200 if half else 30):
        os.write(1, b"x" * 100_000)
        time.sleep(0.002 * half)
    while half == 0 and not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
raise SystemExit(int(sys.argv[2]))
"""
ALL = 23_000_000


def halves(folder: Path, status: int = 0) -> dict[str, Any]:
    return py("source", HALVES, folder / "go", status)


def results(ends: Ends) -> dict[str, Any]:
    """{name: its entry in the result}."""
    names = {end: "host-" + end for end in ends.plan.ends}
    return {entry["name"]: entry for entry in shape(ends.plan, names, ends.verdict(), 1.0)["branches"]}


def never_whole(path: Path) -> bool:
    """Whether a recording sink has not seen an end of file; its link may have broken before it started."""
    return not Path("%s.started" % path).exists() or recorded(path)["how"] != "eof"


def fails(name: str, folder: Path, how: str = "exit 3") -> dict[str, Any]:
    """A sink that reads a little, lets the source go on, and fails."""
    return sh(name, "head -c 1000 > /dev/null; touch %s/go; %s" % (folder, how))


@BOTH
@pytest.mark.parametrize("end", ["b", "a"])
@pytest.mark.parametrize("how", ["exit 3", "kill -9 $$"])
def test_the_others_go_on_without_a_branch_that_fails(launch: Launch, tmp_path: Path, end: str, how: str) -> None:
    """On a host of its own, or beside the fan-out."""
    plan = forked(
        halves(tmp_path), [(end, fails("bad", tmp_path, how))], [("c", record("good", tmp_path / "good"))], required=1
    )
    ends = launch(plan).wait().ok()
    assert recorded(tmp_path / "good")["bytes"] == ALL and recorded(tmp_path / "good")["how"] == "eof"
    found = results(ends)
    assert found["good"] == {"name": "good", "host": "host-c", "ok": True, "cause": None}
    assert (found["bad"]["ok"], found["bad"]["cause"]["stage"], found["bad"]["cause"]["kind"]) == (
        False,
        "bad",
        "failed",
    )
    fan_out = ends.stage("fan-out")
    # on a link with relays, which take a part of the data, it may have sent everything before it could notice
    assert fan_out["rc"] == 0 and ("bad: " in fan_out["stderr"] or plan.certify and not fan_out["stderr"])
    ends.gone()


@BOTH
@pytest.mark.parametrize("end", ["b", "a"])
def test_a_branch_that_fails_ends_the_others_if_all_are_required(launch: Launch, tmp_path: Path, end: str) -> None:
    plan = forked(halves(tmp_path), [(end, fails("bad", tmp_path))], [("c", record("good", tmp_path / "good"))])
    ends = launch(plan).wait()
    assert never_whole(tmp_path / "good")
    cause = ends.cause()
    assert (cause["stage"], cause["kind"], cause["host"]) == ("bad", "failed", "host-" + end)
    assert [(entry["ok"], entry["cause"]["stage"]) for entry in results(ends).values()] == [(False, "bad")] * 2
    ends.gone()


@pytest.mark.parametrize("bad", [2, 3])
def test_as_many_may_fail_as_are_not_required(launch: Launch, tmp_path: Path, bad: int) -> None:
    branches = [[("b%d" % n, fails("bad%d" % n, tmp_path))] for n in range(bad)]
    branches += [[("c%d" % n, record("good%d" % n, tmp_path / str(n)))] for n in range(4 - bad)]
    ends = launch(forked(halves(tmp_path), *branches, required=2)).wait()
    if bad == 2:
        ends.ok()
        assert [recorded(tmp_path / str(n))["bytes"] for n in range(2)] == [ALL, ALL]
        assert [entry["ok"] for entry in results(ends).values()] == [False, False, True, True]
    else:
        assert never_whole(tmp_path / "0")
        assert ends.cause()["msg"].endswith("; 1 of 4 branches are left, and branches_required is 2")
    ends.gone()


@BOTH
@pytest.mark.parametrize("required", [1, 2])
def test_the_host_of_a_branch_is_killed(launch: Launch, tmp_path: Path, required: int) -> None:
    sinks = {name: record(name, tmp_path / name) for name in ("lost", "good")}
    plan = forked(halves(tmp_path), [("b", sinks["lost"])], [("c", sinks["good"])], required=required)
    ends = launch(plan)
    eventually((tmp_path / "lost.started").exists, "the sink has not started")
    both = ends.guard("b"), ends.end("b")
    for pid in both:
        signal_to(pid, signal.SIGKILL)
    eventually(lambda: not any(map(alive, both)), "they live")
    (tmp_path / "go").touch()
    ends.wait()
    assert not (tmp_path / "lost").exists() or recorded(tmp_path / "lost")["how"] != "eof"  # it may be dead, too
    if required == 1:
        assert ends.verdict().ok, ends.cause()
        assert recorded(tmp_path / "good")["bytes"] == ALL
        assert [entry["ok"] for entry in results(ends).values()] == [False, True]
        assert results(ends)["lost"]["cause"]["host"] == "host-b"
    else:
        assert never_whole(tmp_path / "good") and ends.cause()["host"] == "host-b"
    ends.gone()


@BOTH
@pytest.mark.parametrize("moment", ["begun", "ready"])
def test_until_the_start_every_branch_is_required(launch: Launch, tmp_path: Path, moment: str) -> None:
    """The host of one dies: nothing starts, and it is the cause, not the link that breaks for that reason."""
    sinks = [[(end, record(end, tmp_path / end))] for end in "bc"]
    plan = forked(stage("middle", ["cat"]), *sinks, required=1)
    plan.add_end("s")
    plan.add_stage("s", sh("source", "touch %s/begun; echo" % tmp_path))
    plan.connect("source", "middle")
    for dialler, target in (("s", "a"), ("a", "s")):
        plan.reach(dialler, target, ["127.0.0.1"])
    if ends_module.ENCRYPTION != "none":
        plan.encrypt(ends_module.make_certificate)
    ends = launch(plan, DEATHS, told=told("b", die=moment)).wait()
    assert ends.cause()["msg"] == "on host-b: the end was killed by SIGKILL (was the host out of memory?)"
    assert not (tmp_path / "c").exists() and (moment == "ready" or not (tmp_path / "begun").exists())
    assert [entry["ok"] for entry in results(ends).values()] == [False, False]
    ends.gone()


# -- the common part fails


@BOTH
def test_the_fan_out_is_killed(launch: Launch, tmp_path: Path) -> None:
    sinks = [[(end, record(end + "1", tmp_path / end))] for end in "abc"]
    ends = launch(forked(halves(tmp_path), *sinks, required=1))
    for end in "abc":
        eventually((tmp_path / (end + ".started")).exists, "a sink has not started")
    (pid,) = [pid for pid in ends.running() if b"5=a1" in Path("/proc/%d/cmdline" % pid).read_bytes()]
    os.kill(pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    ends.wait()
    assert all(never_whole(tmp_path / end) for end in "abc")
    assert (ends.cause()["stage"], ends.cause()["kind"]) == ("fan-out", "failed")
    assert [entry["ok"] for entry in results(ends).values()] == [False] * 3
    ends.gone()


@BOTH
@pytest.mark.parametrize("required", [1, 3])
def test_the_source_fails(launch: Launch, tmp_path: Path, required: int) -> None:
    """After its last byte."""
    (tmp_path / "go").touch()
    sinks = [[(end, record(end + "1", tmp_path / end))] for end in "abc"]
    ends = launch(forked(halves(tmp_path, status=4), *sinks, required=required)).wait()
    assert all(never_whole(tmp_path / end) for end in "abc")
    assert (ends.cause()["stage"], ends.cause()["rc"]) == ("source", 4)
    assert [entry["cause"]["stage"] for entry in results(ends).values()] == ["source"] * 3
    ends.gone()


def test_a_source_that_fails_after_a_branch_is_the_cause(launch: Launch, tmp_path: Path) -> None:
    """The run could have gone on without the branch."""
    sinks = [[("b", fails("bad", tmp_path))], [("c", record("good", tmp_path / "good"))]]
    ends = launch(forked(halves(tmp_path, status=4), *sinks, required=1)).wait()
    assert never_whole(tmp_path / "good")
    assert ends.cause()["stage"] == "source"
    found = results(ends)
    assert (found["bad"]["cause"]["stage"], found["good"]["cause"]["stage"]) == ("bad", "source")
    ends.gone()


# -- the end


@BOTH
@pytest.mark.parametrize("required", [1, 2])
def test_a_branch_that_may_stop_early(launch: Launch, tmp_path: Path, required: int) -> None:
    """That is no failure, whatever is required."""
    few = sh("few", "head -c 9 > %s/few; touch %s/go" % (tmp_path, tmp_path), early_exit=True)
    plan = forked(halves(tmp_path), [("b", few)], [("c", record("good", tmp_path / "good"))], required=required)
    ends = launch(plan).wait().ok()
    assert recorded(tmp_path / "good")["bytes"] == ALL and (tmp_path / "few").read_text() == "x" * 9
    assert [entry["ok"] for entry in results(ends).values()] == [True, True]
    ends.gone()


def test_all_branches_may_stop_early(launch: Launch, tmp_path: Path) -> None:
    branches = [[(end, sh("few" + end, "head -c 9 > %s/%s" % (tmp_path, end), early_exit=True))] for end in "ab"]
    ends = launch(forked(sh("source", "exec yes"), *branches)).wait().ok()
    assert [(tmp_path / end).read_text() for end in "ab"] == ["y\n" * 4 + "y"] * 2
    assert [entry["ok"] for entry in results(ends).values()] == [True, True]
    ends.gone()


def test_one_branch_stops_early_and_the_other_fails(launch: Launch, tmp_path: Path) -> None:
    few = sh("few", "head -c 9 > %s/few" % tmp_path, early_exit=True)
    branches = [[("b", few)], [("c", sh("bad", "head -c 9; exit 3"))]]
    ends = launch(forked(sh("source", "exec yes"), *branches, required=1)).wait().ok()
    assert [entry["ok"] for entry in results(ends).values()] == [True, False]
    ends.gone()


@pytest.mark.parametrize("required", [1, 2])
def test_a_branch_that_fails_after_its_end_of_file(launch: Launch, tmp_path: Path, required: int) -> None:
    """The others have seen theirs, and it cannot be undone there."""
    late = sh("late", "cat > /dev/null; exit 3")
    plan = forked(
        sh("source", "echo all"), [("b", late)], [("c", record("good", tmp_path / "good"))], required=required
    )
    ends = launch(plan).wait()
    assert recorded(tmp_path / "good")["how"] == "eof"
    assert ends.verdict().ok == (required == 1)
    found = results(ends)
    assert [entry["ok"] for entry in found.values()] == [False, True]
    assert found["late"]["cause"]["stage"] == "late"
    ends.gone()


@BOTH
def test_an_empty_source(launch: Launch, tmp_path: Path) -> None:
    sinks = [[(end, record(end + "1", tmp_path / end))] for end in "abc"]
    ends = launch(forked(sh("source", "true"), *sinks)).wait().ok()
    assert [recorded(tmp_path / end)["how"] for end in "abc"] == ["eof"] * 3
    ends.gone()


@BOTH
def test_a_branch_of_several_stages_and_hosts(launch: Launch, tmp_path: Path) -> None:
    """One of them fails at its end: the others of the branch are no failures of the rest."""
    long = [("b", stage("copy", ["cat"])), ("c", fails("bad", tmp_path))]
    ends = launch(forked(halves(tmp_path), long, [("d", record("good", tmp_path / "good"))], required=1)).wait().ok()
    assert recorded(tmp_path / "good")["bytes"] == ALL
    assert results(ends)["bad"]["cause"]["stage"] == "bad"
    assert plan_order(ends.plan) == ["source", "fan-out", "copy", "bad", "good"]
    ends.gone()


def test_a_branch_that_stalls_is_dropped(launch: Launch, tmp_path: Path) -> None:
    """It holds all others, whose links stall as well; yet it alone is lost."""
    stuck = sh("stuck", "touch %s/go; exec sleep 600" % tmp_path)
    plan = forked(
        halves(tmp_path), [("b", stuck)], [("c", record("good", tmp_path / "good"))], required=1, stall_timeout=2
    )
    ends = launch(plan, patience={**HASTY, "reset": 20.0}).wait().ok()
    assert recorded(tmp_path / "good")["bytes"] == ALL
    cause = results(ends)["stuck"]["cause"]
    assert (cause["kind"], cause["link"]) == ("stalled", "fan-out \u2192 stuck")
    ends.gone()


# -- the program is wrong

WRONG = {
    "it claims less": ("output.fd, output.written,", "output.fd, output.written - (output.fd == 5),"),
    "it claims nothing": ('os.write(REPORT, "".join(lines)', 'os.write(2, "".join(lines)'),
    "it drops a piece": ("        left = dict", "        data = data[1:]\n        left = dict"),
}


WITHOUT = {
    "what is required": ("fan", "too_few or super().breaks_its_outputs()", "super().breaks_its_outputs()"),
    "which may be lost": ("fan", "too_few = len(self.outs)", "too_few = bool(failed) or len(self.outs)"),
}


@pytest.mark.parametrize(("name", "required"), [("what is required", 2), ("which may be lost", 1)])
def test_without_its_lines_the_rule_does_not_hold(launch: Launch, tmp_path: Path, name: str, required: int) -> None:
    """The tests above would notice."""
    sinks = [[("b", fails("bad", tmp_path))], [("c", record("good", tmp_path / "good"))]]
    launch(forked(halves(tmp_path), *sinks, required=required), [WITHOUT[name]]).wait()
    assert never_whole(tmp_path / "good") == (required == 1)


def test_without_its_report_an_end_of_file_would_be_sent(launch: Launch, tmp_path: Path) -> None:
    sinks = [[(end, record(end + "1", tmp_path / end))] for end in "bc"]
    plan = forked(sh("source", "echo 1234"), *sinks)
    spoil(plan, "it drops a piece")
    ends = launch(plan, [("fan", "        self.check()\n", "")]).wait()
    assert recorded(tmp_path / "b")["bytes"] == 4 and not never_whole(tmp_path / "c")
    assert ends.cause()["msg"] == "b1 received 4 bytes, but the fan-out has read 5"


def spoil(plan: Plan, name: str) -> None:
    old, new = WRONG[name]
    text = base64.b64decode(plan.stage("fan-out")["program"]).decode()
    assert text.count(old) == 1
    plan.stage("fan-out")["program"] = bootstrap.as_text(text.replace(old, new).encode())


@pytest.mark.parametrize("name", WRONG)
def test_no_end_of_file_without_a_report_that_all_was_written(launch: Launch, tmp_path: Path, name: str) -> None:
    sinks = [[(end, record(end + "1", tmp_path / end))] for end in "bc"]
    plan = forked(sh("source", "echo 1234"), *sinks)
    spoil(plan, name)
    ends = launch(plan).wait()
    assert ends.cause()["kind"] == "not written"
    assert never_whole(tmp_path / "b") and never_whole(tmp_path / "c")
    ends.gone()


# -- the run of all ends

ABORTED = {"links": [{"id": "fan-out \u2192 bad", "side": "R", "state": "aborted", "problem": None}]}
FAN_OK = {
    "stages": [{"name": "fan-out", "rc": 0, "problem": None}],
    "links": [{"id": "fan-out \u2192 bad", "side": "W", "state": "reset", "problem": None}],
}
FAN_FAILED = {**FAN_OK, "stages": [{"name": "fan-out", "rc": 1, "problem": {"kind": "failed", "signal": ""}}]}


@pytest.mark.parametrize(
    ("end", "report", "late"),
    [
        ("b", ABORTED, "bd"),  # the branch is lost, and the others may take days
        ("b", {"died": {"kind": "unknown"}}, "bd"),
        ("b", {"refused": {"kind": "foreign proc"}}, "abcd"),  # nothing was started
        ("b", {"not_connected": []}, "abcd"),
        ("b", None, "abcd"),
        ("a", FAN_OK, ""),
        ("a", FAN_FAILED, "abcd"),
    ],
)
def test_who_is_given_up_when_an_end_has_failed(end: str, report: Any, late: str) -> None:
    """a is common to all; b and d have one branch, c the other."""
    plan = forked(sh("source", "true"), [("b", sh("bad", "cat")), ("d", sh("last", "cat"))], [("c", sh("good", "cat"))])
    launches = {name: controller.Launch(plan.for_end(name), []) for name in plan.ends}

    class Forked(controller.Run):
        def depending(self, end: str) -> set[str]:
            return plan.depending(end)

    run = Forked(launches, lambda sample: None)
    launches[end].report, launches[end].ready = report, True
    run.overdue()
    assert "".join(sorted(name for name, each in launches.items() if each.give_up_at < float("inf"))) == late
