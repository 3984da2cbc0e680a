# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of an end, step by step: stages, sides and a clock that are told what to be; few processes, no link."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import afterwards, figures, link
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import end as end_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.end import LINKS, POINTS, End, make_stage
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.fan import Fan, Passing
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.later import Later
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import (
    DRAINING,
    ENDED,
    HELD,
    KILLED,
    RUNNING,
    SETTLED,
    WAITING,
    Stage,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.telling import Telling
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import Cancelled
from ansible_collections.plumbing.socketpipe.tests.unit.clock import Clock

GUARD = 90  # its descriptor
CALLS = ("abort", "begin", "part", "drained", "insist", "wake", "check", "notice", "stop_reading")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(100.0)
    monkeypatch.setattr(end_module, "time", made)
    return made


def side(fd: int, **more: Any) -> Any:
    """Whatever is called is noted in ``log``."""
    plain: dict[str, Any] = {
        "id": "link%d" % fd,
        "writer": True,
        "state": link.OPEN,
        "relay": None,
        "lingers": False,
        "busy": False,
    }
    plain |= {"hidden": False, "telling": False, "flushing": False, "look_at": None, "wants": 0}
    plain["warnings"] = []
    made = SimpleNamespace(**{**plain, **more}, log=[])
    made.sock = SimpleNamespace(fileno=lambda: fd)
    made.transport = SimpleNamespace(released=False, guarded=False)
    made.is_telling = lambda now: made.telling
    made.wanted = lambda: made.wants
    for name in CALLS:
        setattr(made, name, lambda *args, name=name: made.log.append((name, *args)))
    return made


def stage(phase: str, **more: Any) -> Any:
    spec = {"name": "stage", "fds": {}, "argv": ["cat"], "ok_rc": [0], **more.pop("spec", {})}
    made: Any = Stage(cast(Any, spec), {})
    made.enter(phase)
    for name, value in more.items():
        setattr(made, name, value)
    return made


class Watching:
    """In place of the watch."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.polled: list[Any] = []

    def say(self, message: Any) -> None:
        self.said.append(message)

    def poll(self, fds: dict[int, int], timeout: float) -> dict[int, int]:
        self.polled.append((fds, timeout))
        return {}


def end_of(
    *sides: Any, stages: tuple[Any, ...] = (), barrier: Any = None, specs: tuple[Any, ...] = (), **plan: Any
) -> Any:
    """``stages`` are there beside those that it makes of ``specs``."""
    told = {"end": "a", "stages": specs, "patience": {"tick": 1.0, "term": 5.0}, "sample": 0, **plan}
    guard: Any = SimpleNamespace(fileno=lambda: GUARD)
    made: Any = End(cast(Any, told), list(sides), cast(Any, Watching()), guard, barrier)
    made.stages += stages
    return made


def calls(sides: Any, name: str) -> list[Any]:
    return [call[1:] for each in sides for call in each.log if call[0] == name]


# -- making it


def test_the_kinds_of_stages() -> None:
    plain: dict[str, Any] = {"name": "x", "fds": {}, "argv": ["cat"], "ok_rc": [0]}
    first = Stage(cast(Any, {**plain, "name": "first"}), {})
    kinds: list[tuple[Any, dict[str, Any]]] = [
        (Stage, {}),
        (Stage, {"tells": False}),
        (Telling, {"tells": True}),
        (Later, {"after": "first"}),
        (Fan, {"fan": {"required": 1, "leaving": []}}),
        (Passing, {"fan": {"required": 0, "leaving": []}}),
    ]
    for kind, more in kinds:
        assert make_stage(cast(Any, {**plain, **more}), {}, [first]).__class__ is kind


def test_relays_come_before_the_stages_of_the_plan(clock: Clock) -> None:
    relay: Any = SimpleNamespace(relay=True)
    relay.relay = SimpleNamespace(link=None)
    plain = {"argv": ["cat"], "ok_rc": [0]}
    one, two = {**plain, "name": "one", "fds": {"1": "link5"}}, {**plain, "name": "two", "fds": {}, "tells": True}
    made = end_of(side(5), side(6, relay=relay), specs=(one, two))
    assert made.stages[0] is relay and [each.name for each in made.stages[1:]] == ["one", "two"]
    assert made.stages[1].outs == made.sides[:1]
    assert (made.began, made.tick_at, made.sample_at, made.ticks, made.step) == (100.0, 100.0, None, 0, 1)
    assert end_of(sample=3).sample_at == 103.0
    assert (POINTS, LINKS) == (100, 8)


# -- the loop


def test_it_goes_round_until_all_is_settled(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Told to stop meanwhile, it goes on until that is done."""
    made, log, settled = end_of(), list[Any](), [False, False, True]

    def poll(fds: Any, timeout: Any) -> Any:
        if log:
            raise Cancelled({"kind": "controller"})
        return (fds, timeout)

    made.watch.poll = poll
    answers: dict[str, Callable[..., Any]] = {
        "settled": lambda: settled.pop(0),
        "fds": lambda: "fds",
        "pause": lambda: "pause",
    }
    for name in ("notice", "tick", "reap", "clear_up"):
        answers[name] = lambda *args, name=name: log.append((name, *args))
    answers["report"] = lambda: "the report"
    for name, answer in answers.items():
        monkeypatch.setattr(made, name, answer)
    assert made.run() == "the report"
    assert log == [("notice", ("fds", "pause")), ("tick", 100.0), ("reap",), ("reap",), ("clear_up",)]
    assert made.rules.cancelled == {"kind": "controller"}


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("passes", [True, False])
def test_the_start_of_all_links(monkeypatch: pytest.MonkeyPatch, clock: Clock, sealed: bool, passes: bool) -> None:
    """Encrypted first; then the barrier decides, from which on times count."""
    barrier = SimpleNamespace(step=lambda: passes, passed=False)
    made = end_of(side(5), stages=(stage(RUNNING),), barrier=barrier)
    monkeypatch.setattr(made.rules, "sealed", lambda: sealed)
    applied: list[Any] = []
    monkeypatch.setattr(made.rules, "apply", lambda stage, now: applied.append((stage, now)))
    clock.now = 107.0
    assert made.settled() is False
    assert applied == [(made.stages[0], 107.0)] and not calls(made.sides, "part")
    begins = sealed and passes
    assert made.began == (107.0 if begins else 100.0) and calls(made.sides, "begin") == ([(107.0,)] if begins else [])


@pytest.mark.parametrize(("phase", "over"), [(SETTLED, True), (ENDED, False)])
@pytest.mark.parametrize(
    ("more", "waits"),
    [({}, False), ({"state": link.COMMITTED}, True), ({"telling": True}, True), ({"state": link.DONE}, False)],
)
def test_whether_nothing_is_left_to_do(phase: str, over: bool, more: Any, waits: bool) -> None:
    made = end_of(side(5), side(6, **more), stages=(stage(SETTLED), stage(phase)))
    assert made.over() is (over and not waits)


@pytest.mark.parametrize(
    ("lingers", "failed", "settled"),
    [(False, False, True), (True, False, False), (True, True, True), (False, True, True)],
)
def test_a_writer_waits_for_readers_unless_all_has_failed(lingers: bool, failed: bool, settled: bool) -> None:
    made = end_of(side(5, state=link.DONE), side(6, state=link.DONE, lingers=lingers))
    made.rules.cancelled = {"kind": "guard"} if failed else None
    assert made.settled() is settled and calls(made.sides, "part") == [(), ()]


# -- what it waits for


@pytest.mark.parametrize(
    ("phase", "state", "ready", "turn", "waits"),
    [
        (WAITING, link.OPEN, True, True, True),
        (WAITING, link.OPEN, False, True, False),
        (WAITING, link.OPEN, True, False, False),
        (WAITING, link.EOF, True, True, False),
        (RUNNING, link.OPEN, True, True, False),
        (DRAINING, link.OPEN, True, True, True),
        (DRAINING, link.EOF, False, False, True),
    ],
)
@pytest.mark.parametrize("wants", [None, 4])
def test_input_is_waited_for_before_the_start_and_at_the_end(
    phase: str, state: str, ready: bool, turn: bool, waits: bool, wants: int | None
) -> None:
    reads = side(5, writer=False, state=state, wants=wants)
    barrier = SimpleNamespace(passed=ready, fds=list)
    made = end_of(reads, stages=(stage(phase, ins=[reads], waits=not turn),), barrier=barrier)
    wanted = {GUARD: select.POLLIN}
    if waits or wants is not None:
        wanted[5] = (wants or 0) | (select.POLLIN if waits else 0)
    assert made.fds() == wanted
    made.rules.cancelled = {"kind": "guard"}
    del wanted[GUARD]
    assert made.fds() == wanted


def test_the_other_descriptors_that_are_waited_for() -> None:
    """Output of stages, links, and messages of the barrier on links and on others."""
    kept = [SimpleNamespace(fd=20), SimpleNamespace(fd=21)]
    barrier = SimpleNamespace(passed=False, fds=lambda: [6, 30])
    made = end_of(side(5, wants=0), side(6, wants=4), side(7, wants=None), barrier=barrier)
    made.stages.append(stage(RUNNING, pipes=lambda: kept))
    assert made.links() == {5: 0, 6: 4}
    reads = select.POLLIN
    assert made.fds() == {GUARD: reads, 5: 0, 6: 4 | reads, 20: reads, 21: reads, 30: reads}


@pytest.mark.parametrize(
    ("more", "phase", "until", "pause"),
    [
        ({}, RUNNING, None, 7.0),
        ({"look_at": 103.0}, RUNNING, None, 3.0),
        ({}, RUNNING, 102.0, 2.0),
        ({}, RUNNING, 99.0, 0.0),
        ({}, KILLED, 102.0, 0.01),
        ({}, HELD, 102.0, 0.05),
        ({"flushing": True}, KILLED, None, 0.005),
        ({"telling": True}, KILLED, None, 0.005),
        ({"busy": True, "telling": True}, KILLED, None, 0.02),
    ],
)
def test_how_long_it_sleeps(clock: Clock, more: Any, phase: str, until: float | None, pause: float) -> None:
    made = end_of(side(5), side(6, **more), stages=(stage(RUNNING), stage(phase)))
    made.stages[1].until = until
    made.tick_at = 107.0
    assert made.pause() == pause
    made.sample_at = 101.0
    assert made.pause() == (pause if pause < 1 else 1.0)


def test_a_commit_is_looked_at_ever_more_rarely() -> None:
    made = end_of(side(5, state=link.COMMITTED, busy=True))
    pauses = [made.pause() for _time in range(20)]
    assert pauses[:2] == pytest.approx([0.0015, 0.00225]) and pauses[-1] == 0.25


# -- what comes


def test_events_reach_those_they_are_for(clock: Clock) -> None:
    reads: list[str] = []
    kept = [SimpleNamespace(fd=fd, read=lambda fd=fd: reads.append(fd)) for fd in (20, 21)]
    made = end_of(side(5), side(6), stages=(stage(RUNNING, pipes=lambda: kept),))
    made.notice({6: 16, 21: 1})
    assert calls(made.sides, "notice") == [(0,), (16,)] and reads == [21] and made.rules.cancelled is None
    stopped: list[Any] = []
    made.rules.cancel = lambda stop, now: stopped.append((stop, now))
    made.notice({GUARD: 1})
    assert len(stopped) == 1
    made.rules.cancelled = {"kind": "signal"}
    made.notice({GUARD: 1})
    assert stopped == [({"kind": "guard"}, 100.0)]


def test_the_exit_of_a_stage_is_judged_after_the_events_on_its_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orphans are collected, too, and a pid that is used again is another's."""
    found = [(7, 0x100, "usage"), (8, 0, "usage"), (9, 9, "usage"), (0, 0, None)]
    asked: list[Any] = []

    def wait4(pid: int, options: int) -> Any:
        asked.append((pid, options))
        return found.pop(0)

    monkeypatch.setattr(end_module.os, "wait4", wait4)
    monkeypatch.setattr(end_module, "events", lambda wanted: {5: 16} if wanted == {5: 4, 6: 4} else {})
    log: list[Any] = []
    sides = [side(5, wants=4, writer=False), side(6, wants=4)]
    stages = [
        stage(phase, pid=pid, reaped=lambda *args, name=name: log.append((name, *args)), ins=sides[:1])
        for name, pid, phase in (("one", 7, RUNNING), ("other", 6, RUNNING), ("old", 9, ENDED))
    ]
    made = end_of(*sides, stages=tuple(stages))
    made.reap()
    assert log == [("one", 0x100, "usage")] and asked == [(-1, os.WNOHANG)] * 4
    assert sides[0].log == [("notice", 16), ("stop_reading",)] and sides[1].log == [("notice", 0)]


def test_nobody_is_left_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait4(pid: int, options: int) -> Any:
        raise ChildProcessError

    monkeypatch.setattr(end_module.os, "wait4", wait4)
    end_of().reap()


# -- the clock ticks


def test_what_is_done_each_time_and_what_at_each_tick() -> None:
    made = end_of(side(5))
    made.tick_at, made.point = 107.0, list
    always = [("drained",), ("insist",)]
    for now, checks in ((106.9, []), (107.0, [("check", 107.0)]), (107.9, []), (108.1, [("check", 108.1)])):
        made.tick(now)
        assert made.sides[0].log == [*always, ("wake", now), *checks]
        made.sides[0].log.clear()
    assert (made.ticks, made.tick_at) == (2, 109.1)


@pytest.mark.parametrize(("released", "guarded"), [(True, True), (True, False), (False, True)])
def test_the_guard_lets_go_of_a_released_link_once(
    monkeypatch: pytest.MonkeyPatch, released: bool, guarded: bool
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(end_module, "release", lambda guard, transport: told.append((guard, transport)))
    made = end_of(side(5))
    transport, made.point = made.sides[0].transport, list
    transport.released, transport.guarded = released, guarded
    for now in (1.0, 2.0):
        made.tick(now)
    assert told == ([(made.guard, transport)] if released and guarded else [])
    assert transport.guarded is (guarded and not released)


@pytest.mark.parametrize("passed", [None, True, False])
def test_before_the_start_links_rest(passed: bool | None) -> None:
    rested: list[float] = []
    barrier = None if passed is None else SimpleNamespace(passed=passed, rest=rested.append)
    made = end_of(barrier=barrier)
    made.tick_at = 107.0
    made.tick(107.0)
    assert rested == ([107.0] if passed is False else [])
    assert len(made.points) == (0 if passed is False else 1)


def test_points_are_at_even_distances_and_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    made = end_of()
    made.tick_at = 0.0
    monkeypatch.setattr(made, "point", lambda: [made.ticks])
    for now in range(100, 100 + 99):
        made.tick(float(now))
    assert made.points == [[tick] for tick in range(1, 100)] and made.step == 1
    made.tick(199.0)
    assert made.points == [[tick] for tick in range(2, 101, 2)] and made.step == 2
    for now in range(200, 300):
        made.tick(float(now))
    assert made.points == [[tick] for tick in range(4, 201, 4)] and made.step == 4


@pytest.mark.parametrize("idle", ["", "over", "waiting"])
def test_samples(monkeypatch: pytest.MonkeyPatch, clock: Clock, idle: str) -> None:
    """They come at their time, while bytes may move."""
    made = end_of(stages=(stage(RUNNING, doing="x", spec={"tells": True}), stage(RUNNING)), sample=3)
    made.stages[1].spec["name"] = made.stages[1].name = "silent"
    monkeypatch.setattr(made, "side_reports", lambda: ["side"])
    monkeypatch.setattr(made, "point", list)
    monkeypatch.setattr(made, "over", lambda: idle == "over")
    monkeypatch.setattr(made.rules, "waiting", lambda: idle == "waiting")
    said = [] if idle else [{"sample": ["side"], "told": {"stage": "x"}}]
    for now, count in ((102.9, 0), (103.0, 1), (105.9, 1), (106.5, 2)):
        made.tick(now)
        assert [{key: each[key] for key in ("sample", "told")} for each in made.watch.said] == said * count
    assert [each["at"] for each in made.watch.said] == ([] if idle else [3.0, 6.5]) and made.sample_at == 109.5


# -- the end


class Processes:
    """Those below an end, each with the time of its death; signals bring that forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, made: Any, clock: Clock, alive: dict[int, str]) -> None:
        self.dies_by = int(signal.SIGTERM)
        self.alive, self.sent, self.refuses = alive, list[Any](), set[int]()
        self.hidden = self.reaped = 0
        self.clock = clock
        monkeypatch.setattr(end_module, "has_children", lambda: bool(self.alive or self.hidden))
        monkeypatch.setattr(end_module, "descendants", lambda pid: dict(self.alive))
        monkeypatch.setattr(end_module, "blind", lambda: bool(self.hidden))
        monkeypatch.setattr(end_module, "kill_with_groups", self.kill)
        monkeypatch.setattr(made, "reap", self.reap)

    def kill(self, pids: dict[int, str], number: int) -> list[int]:
        self.sent.append((round(self.clock.now - 100.0, 2), sorted(pids), number))
        if number == self.dies_by:
            self.alive = {pid: name for pid, name in self.alive.items() if pid in self.refuses}
        return sorted(self.refuses & set(pids))

    def reap(self) -> None:
        self.reaped += 1


def test_nothing_is_killed_after_a_success(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    made = end_of(side(5, state=link.DONE))
    below = Processes(monkeypatch, made, clock, {5: "agent"})
    made.clear_up()
    assert (below.sent, made.left, made.rules.killed) == ([], {5: "agent"}, {})


@pytest.mark.parametrize("why", ["cancelled", "broken"])
@pytest.mark.parametrize("dies_by", [signal.SIGTERM, signal.SIGKILL])
def test_all_are_killed_after_a_failure(monkeypatch: pytest.MonkeyPatch, clock: Clock, why: str, dies_by: int) -> None:
    """SIGTERM for a fifth of the time, then SIGKILL."""
    made = end_of(side(5, state=link.RESET if why == "broken" else link.DONE))
    made.rules.cancelled = {"kind": "guard"} if why == "cancelled" else None
    below = Processes(monkeypatch, made, clock, {5: "sleep", 6: "cat"})
    below.dies_by = dies_by
    made.clear_up()
    first = [each for each in below.sent if each[2] == signal.SIGTERM]
    rest = below.sent[len(first) :]
    assert first[0] == (0.0, [5, 6], signal.SIGTERM)
    assert len(first) == (1 if dies_by == signal.SIGTERM else 20) and all(each[0] < 1.0 for each in first)
    assert rest == ([] if dies_by == signal.SIGTERM else [(1.0, [5, 6], signal.SIGKILL)])
    assert below.reaped == len(below.sent)
    assert (made.left, made.rules.killed) == ({}, {5: "sleep", 6: "cat"})


def test_who_may_not_be_signalled_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    made = end_of(side(5, state=link.RESET))
    below = Processes(monkeypatch, made, clock, {5: "root's", 6: "cat"})
    below.refuses = {5}
    made.clear_up()
    assert [each[1] for each in below.sent] == [[5, 6], [5]] and made.left == {5: "root's"}


def test_who_lives_on_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    made = end_of(side(5, state=link.RESET))
    below = Processes(monkeypatch, made, clock, {5: "D"})
    below.dies_by = 0
    made.clear_up()
    assert below.sent[-1][0] == 4.95 and made.left == {5: "D"}


def test_programs_that_undo_run_for_stages_that_have_begun(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    warnings = [{"kind": "afterwards", "stage": "begun", "error": "why"}]
    ran: list[Any] = []

    def run_all(specs: Any, watch: Any) -> Any:
        ran.append(([spec["name"] for spec in specs], watch))
        return warnings

    monkeypatch.setattr(afterwards, "run_all", run_all)
    undo = {"afterwards": {"words": [], "limit": 1}}
    stages = [
        stage(SETTLED, pid=pid, status=0x100, spec={"name": name, **more})
        for name, pid, more in (("begun", 5, undo), ("never", 0, undo), ("plain", 6, {}))
    ]
    made = end_of(stages=tuple(stages))
    Processes(monkeypatch, made, clock, {})
    made.clear_up()
    assert ran == [(["begun"], made.watch)] and made.warnings == warnings
    stages[0].pid = 0
    made.clear_up()
    assert len(ran) == 1


def test_who_lives_on_may_be_hidden(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    made = end_of()
    below = Processes(monkeypatch, made, clock, {})
    assert made.alive() == {} and not below.reaped
    below.hidden = 1
    assert made.alive() == {0: ""}
    children = [True, True, False]
    monkeypatch.setattr(end_module, "has_children", lambda: children.pop(0))
    below.hidden = 0  # dead, and not yet collected
    assert made.alive() == {} and below.reaped == 2


# -- the report


def figure(each: Any, start: float) -> dict[str, Any]:
    plain = {"elapsed": 1.0, "bytes": 10, "rtt": 0.5, "retransmits": 3, "waited": {"receiver": 0.25}}
    return {"id": each.id, "side": "W" if each.writer else "R", "start": start, **plain, **each.figures}


def test_a_report(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(figures, "report", figure)
    writer = side(5, figures={}, warnings=["first"])
    sides = [
        writer,
        side(6, writer=False, figures={}),
        side(7, figures={"bytes": None}),
        side(8, hidden=True, figures={}),
    ]
    relay = stage(SETTLED, relay=True)
    made = end_of(*sides, stages=(relay, stage(SETTLED, status=0)))
    made.points.append(["before"])
    made.warnings.append("second")
    made.rules.killed, made.left, made.rules.cancelled = {5: "cat", 6: "tee"}, {6: "tee"}, {"kind": "guard"}
    found = made.report()
    assert (found["end"], found["cancelled"], found["warnings"]) == ("a", {"kind": "guard"}, ["first", "second"])
    assert [each["id"] for each in found["links"]] == ["link5", "link6", "link7"]
    assert [each["start"] for each in found["links"]] == [100.0] * 3 and len(found["stages"]) == 1
    assert found["points"] == [["before"], [["link5", 1.0, 10, 0.5, 3, 0.25]]]
    assert (found["killed"], found["left"]) == ([{"pid": 5, "name": "cat"}], [{"pid": 6, "name": "tee"}])


def test_a_point_has_so_many_links_and_no_more(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(figures, "report", figure)
    made = end_of(*(side(fd, figures={}) for fd in range(20)))
    assert [each[0] for each in made.point()] == ["link%d" % fd for fd in range(8)]


@pytest.mark.parametrize(("passed", "began"), [(None, 100.0), (True, 100.0), (False, 107.0)])
def test_a_run_that_never_started_began_at_its_end(clock: Clock, passed: bool | None, began: float) -> None:
    made = end_of(barrier=None if passed is None else SimpleNamespace(passed=passed))
    clock.now = 107.0
    made.report()
    assert made.began == began
