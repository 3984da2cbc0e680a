# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of one run that follow each other: the stages of one start when those of the last have settled well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import later, link
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.later import Later
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.link import Side
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import RUNNING, SETTLED, Stage
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.tests.unit import ends as ends_module
from ansible_collections.plumbing.socketpipe.tests.unit.ends import HASTY, Change, Ends, make_plan, sh

Launch = Callable[..., Ends]
MANY = "head -c 3000000 /dev/zero"
READ = "cat > /dev/null"


def plan_of(folder: Path, *chains: tuple[str, str]) -> Plan:
    """Of a source at h1 and a sink at h2 each; all write what they do to one log."""

    def stage(name: str, script: str, after: str) -> dict[str, Any]:
        wrapped = f"echo {name} begins >> {folder}/log; ({script}); status=$?; echo {name} ends >> {folder}/log"
        made = sh(name, f"{wrapped}; exit $status")
        return {**made, **({"after": after} if after else {})}

    plan, before = Plan({}), ("", "")
    for number, (source, sink) in enumerate(chains, start=1):
        names = f"input{number}", f"output{number}"
        stages = [("h1", stage(names[0], source, before[0])), ("h2", stage(names[1], sink, before[1]))]
        if number == 1:
            plan = make_plan(*stages)
        else:
            plan.chain(stages)
        before = names
    if ends_module.ENCRYPTION != "none":
        plan.encrypt(ends_module.make_certificate)
    return plan


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text(encoding="utf-8").splitlines()


def at(folder: Path, line: str) -> int:
    return log(folder).index(line)


@pytest.mark.parametrize("encryption", ["none", "relay"])
def test_one_after_the_other(launch: Launch, tmp_path: Path, encryption: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sink is still busy after all its data has come, and the second source has sent some by then."""
    monkeypatch.setattr(ends_module, "ENCRYPTION", encryption)
    slow = f"{READ}; until grep -q 'input2 begins' {tmp_path}/log; do sleep 0.01; done; sleep 0.3"
    plan = plan_of(tmp_path, (MANY, slow), (MANY, READ), ("echo end", READ))
    ends = launch(plan).wait().ok()
    for number in (1, 2):
        for side in ("input", "output"):
            assert at(tmp_path, f"{side}{number} ends") < at(tmp_path, f"{side}{number + 1} begins")
    assert [ends.side(f"input{number}", "R")["bytes"] for number in (1, 2, 3)] == [3_000_000, 3_000_000, 4]
    ends.gone()


@pytest.mark.parametrize(
    ("first", "cause"),
    [((MANY, f"{READ}; exit 3"), "output1"), ((f"{MANY}; exit 3", READ), "input1"), ((MANY, "exit 0"), "output1")],
    ids=["the sink fails", "the source fails", "the sink stops reading"],
)
def test_after_a_failure_the_next_one_never_starts_or_breaks(
    launch: Launch, tmp_path: Path, first: tuple[str, str], cause: str
) -> None:
    """A source may have started when its predecessor's reader fails; its own reader has not."""
    plan = plan_of(tmp_path, first, (MANY, READ), ("echo never", READ))
    ends = launch(plan, patience=HASTY).wait()
    assert ends.cause()["stage"] == cause
    assert not {"output2 begins", "input3 begins", "output3 begins"} & {*log(tmp_path)}
    assert ends.stage("output2")["started_at"] is None
    ends.gone()


def test_a_reader_that_may_stop_early_is_followed(launch: Launch, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ("exec cat /dev/zero", "head -c 10 > /dev/null"), ("echo end", READ))
    plan.stage("output1")["early_exit"] = True
    ends = launch(plan, patience=HASTY).wait()
    assert ends.verdict().ok, ends.output
    assert ends.side("input2", "R")["bytes"] == 4 and at(tmp_path, "output1 ends") < at(tmp_path, "output2 begins")


def test_a_link_does_not_stall_before_its_turn() -> None:
    transport: Any = SimpleNamespace(sock=None, writer=True, tcp=True, inode=1)
    transport.info, transport.unsent, transport.worn_out = lambda: {"segs_in": 1}, lambda: 0, lambda: ""
    spec: Any = {"id": "a", "stall_timeout": 5, "dead_peer": 0}
    side, problems = Side(spec, transport), list[Any]()
    side.handed_over, side.abort = lambda: 0, problems.append
    side.rests = True
    side.check(side.since + 100)
    assert not problems
    side.rests = False
    side.check(side.since + 104)
    assert not problems
    side.check(side.since + 106)
    assert problems == [{"kind": "stalled", "seconds": 5}]


# without these lines a reader starts although the one before it has not settled, or has failed
WITHOUT: dict[str, Change] = {
    "its turn": ("rules", "            if self.waiting() or stage.waits:\n", "            if self.waiting():\n"),
    "a failure": (
        "later",
        "        return self.other.settled and not self.may_follow() or super()",
        "        return super()",
    ),
}


@pytest.mark.parametrize("change", WITHOUT)
def test_the_tests_above_would_notice(launch: Launch, tmp_path: Path, change: str) -> None:
    slow = f"{READ}; sleep 1; exit 3"
    ends = launch(plan_of(tmp_path, (MANY, slow), (MANY, READ)), (WITHOUT[change],), patience=HASTY).wait()
    assert ends.stage("output2")["started_at"] is not None


# -- the stage alone


def side(name: str, state: str = link.OPEN) -> Any:
    return SimpleNamespace(id=name, writer=True, state=state, rests=False, pulse=SimpleNamespace(moved_at=0.0))


def stage_of(name: str, **more: Any) -> Any:
    return Stage(cast(Any, {"name": name, "fds": {}, "argv": ["cat"], "ok_rc": [0], **more}), {})


def later_of(output: Any, *others: Any) -> Later:
    spec = {"name": "next", "fds": {"1": output.id}, "argv": ["cat"], "ok_rc": [0], "after": "first"}
    return Later(cast(Any, spec), {(output.id, True): output}, list(others))


def test_its_links_rest_until_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """That to its relay, and that of the relay; no other."""
    own, beyond, foreign, started = side("link"), side("link"), side("other"), list[Any]()
    relays = [SimpleNamespace(name="seal", relay=SimpleNamespace(link=each)) for each in (beyond, foreign)]
    made = later_of(own, *relays, stage_of("zeroth"), stage_of("first"))
    assert made.other.name == "first" and [each.rests for each in (own, beyond, foreign)] == [True, True, False]

    def start(stage: Any) -> None:
        started.append(stage)

    monkeypatch.setattr(Stage, "start", start)
    monkeypatch.setattr(later, "time", SimpleNamespace(monotonic=lambda: 77.0))
    made.start()
    assert started == [made] and not own.rests and not beyond.rests
    assert [each.pulse.moved_at for each in (own, beyond, foreign)] == [77.0, 77.0, 0.0]


@pytest.mark.parametrize(
    ("status", "problem", "blame", "pid", "reads", "follows"),
    [
        (0, None, [], 5, False, True),
        (0, None, [], 5, True, True),
        (0x100, None, [], 5, False, False),
        (0, {"kind": "held"}, [], 5, False, False),
        (None, None, [], 0, False, False),
        (13, {"kind": "failed"}, ["link"], 5, False, True),  # a source whose reader has left
        (0, None, ["link"], 5, False, True),
        (0, None, ["link"], 5, True, False),
        (None, None, ["link"], 0, False, False),  # it never ran
    ],
)
def test_what_a_stage_may_follow(
    status: int | None, problem: Any, blame: list[str], pid: int, reads: bool, follows: bool
) -> None:
    other = stage_of("first")
    made = later_of(side("link"), other)
    other.status, other.problem, other.blame, other.pid = status, problem, blame, pid
    other.ins = [side("in")] if reads else []
    other.phase = RUNNING
    assert made.waits is True and made.fails_with_a_link() is False
    other.phase = SETTLED
    assert (made.waits, made.may_follow(), made.fails_with_a_link()) == (False, follows, not follows)
    made.outs[0].state = link.RESET
    other.phase = RUNNING
    assert made.fails_with_a_link() is True
