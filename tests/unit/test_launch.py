# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ends of a run, as the controller sees them: what came of each, and how long the others are waited for."""

from __future__ import annotations

import os
import select
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import KEPT
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import launch as launches
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.launch import (
    AFTER,
    FOLLOW,
    LATE,
    LOST,
    NOISE_MOST,
    REPORT_MOST,
    UNAWARE,
    Launch,
    Run,
)
from ansible_collections.plumbing.socketpipe.tests.unit.clock import Clock

EVER = float("inf")


def plan_of(name: str, *others: str, **more: Any) -> Any:
    """The part of an end with a link to each of these."""
    links = [{"id": f"{name} {other}", "end": other, "side": "W", "control": False, "branch": None} for other in others]
    return {"run": "R1", "end": name, "stages": [], "links": links, "connect_timeout": 30.0, **more}


def launch_of(name: str = "a", *others: str, **more: Any) -> Any:
    return Launch(plan_of(name, *others, **more), ["python3"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(1000.0)
    monkeypatch.setattr(launches, "time", made)
    return made


# -- one end


@pytest.mark.parametrize(
    ("stages", "more"),
    [([], 0), ([{}], 3 * KEPT), ([{"keep": 7}], 2 * KEPT + 7), ([{"keep": 7}, {}], 5 * KEPT + 7)],
)
def test_how_long_a_report_may_be(stages: list[Any], more: int) -> None:
    assert launches.report_most(plan_of("a", stages=stages)) == REPORT_MOST + more
    assert (REPORT_MOST, NOISE_MOST) == (1048576, 65536)


def test_a_launch_that_has_not_ended(clock: Clock) -> None:
    made = launch_of(stages=[{"afterwards": {"limit": 5.0}}, {}, {"afterwards": {"limit": 2.0}}])
    assert made.wanted() == {} and made.serve(7) == []
    assert (made.label, made.ready, made.begun, made.late, made.lived) == ("socketpipe:R1:a", False, True, LATE + 7, 0)
    expected = {"report": None, "error": "", "kind": "launch", "cancelled": False, "lost": False}
    assert made.outcome() == expected
    clock.now += 3
    made.over()
    assert (made.ready, made.lived) == (True, 3.0)


@pytest.mark.parametrize(
    ("silent", "cancelled", "lost", "expected"),
    [
        ("", False, False, ("an error", False, False)),
        ("", True, False, ("an error", True, False)),
        ("", False, True, ("an error", False, True)),
        ("", True, True, ("an error", True, False)),
        ("no word", False, False, ("no word", False, True)),
        ("no word", True, False, ("no word", False, True)),
        ("no word", True, True, ("no word", False, True)),
    ],
)
def test_an_outcome(silent: str, cancelled: bool, lost: bool, expected: tuple[Any, ...]) -> None:
    """Silence is a failure of its own; of an end that was stopped nobody asks for a report."""
    made = launch_of()
    made.silent, made.cancelled, made.lost, made.error = silent, cancelled, lost, "an error"
    found = made.outcome()
    assert (found["error"], found["cancelled"], found["lost"]) == expected


@pytest.mark.parametrize(
    ("report", "kind", "lost", "lived", "never"),
    [
        (None, "launch", False, 60.0, True),
        (None, "launch", True, 1.0, False),
        (None, "no python", False, 60.0, True),
        (None, "unreachable", False, 2.9, True),
        (None, "unreachable", False, 3.0, False),
        (None, "unreachable", True, 1.0, False),
        ({"links": [{"id": "x"}]}, "launch", False, 1.0, False),
        ({"links": []}, "launch", False, 1.0, True),
        ({}, "launch", False, 1.0, True),
        ({"died": {"kind": "unknown"}}, "launch", False, 1.0, False),
        ({"links": [{"id": "x"}], "died": {"kind": "unknown"}}, "launch", False, 1.0, False),
    ],
)
def test_an_end_that_never_began(report: Any, kind: str, lost: bool, lived: float, never: bool) -> None:
    made = launch_of()
    made.report, made.kind, made.lost, made.ended = report, kind, lost, made.began + lived
    assert made.never_began() is never


SUDO = "become needs sudo, which is not installed: install it there, or set another ansible_become_method"
PYTHON = "no usable Python (python3): install Python 3.6 or later there, or set ansible_python_interpreter"
MISSING = "sh: 1: sudo: not found"


@pytest.mark.parametrize(
    ("rc", "become", "stderr", "error", "kind", "lost"),
    [
        (127, "sudo", MISSING, SUDO, "no become", False),
        (126, "sudo", MISSING, PYTHON, "no python", False),
        (127, "sudo", "bash: sudo: command not found", SUDO, "no become", False),
        (127, "", MISSING, PYTHON, "no python", False),
        (127, "sudo", "sh: 1: python3: not found", PYTHON, "no python", False),
        (126, "", "", PYTHON, "no python", False),
        (2, "", "Unknown option: -I\nusage: python", PYTHON, "no python", False),
        (2, "", "", "it ended without a report (exit status 2)", "launch", True),
        (1, "", " one \n\n two ", "it ended without a report (exit status 1): out one two", "launch", True),
        (1, "", "1\n2\n3\n4\n5", "it ended without a report (exit status 1): 2 3 4 5", "launch", True),
        (1, "", "x" * 500, "it ended without a report (exit status 1): " + "x" * 400, "launch", True),
    ],
)
def test_an_end_without_a_report(rc: int, become: str, stderr: str, error: str, kind: str, lost: bool) -> None:
    made = launch_of()
    made.become = become
    made.conclude(rc, "out\n" if ": out" in error else "", stderr)
    assert (made.error, made.kind, made.lost, made.report) == (error, kind, lost, None)


@pytest.mark.parametrize(
    ("message", "report", "error"),
    [
        ({"end": "a", "died": {"kind": "unknown"}, "killed": [], "left": []}, True, ""),
        ({"end": "a", "died": 5, "killed": [], "left": []}, False, "its report is invalid: invalid value in died"),
        ({"begun": 1}, False, "it ended without a report (exit status 0): said"),
    ],
)
def test_a_report(monkeypatch: pytest.MonkeyPatch, message: Any, report: bool, error: str) -> None:
    made = launch_of()
    monkeypatch.setattr(launches, "read_marked", lambda text: message if text == "said" else None)
    made.conclude(0, "said", "")
    assert (made.report is not None, made.error, made.lost) == (report, error, not report)


FAN = {"name": "fan", "rc": 0, "problem": None}


@pytest.mark.parametrize(
    ("stages", "reported", "found"),
    [
        ([{"name": "fan", "fan": {}}], [FAN], ["common"]),
        ([{"name": "fan", "fan": {}}], [{**FAN, "rc": 1}], ["common", "branch"]),
        ([{"name": "fan", "fan": {}}], [{**FAN, "problem": {"kind": "failed"}}], ["common", "branch"]),
        ([{"name": "fan", "fan": {}}], [{**FAN, "name": "other"}], ["common", "branch"]),
        ([{"name": "fan"}], [FAN], ["common", "branch"]),
    ],
)
def test_links_of_branches_that_are_lost(stages: Any, reported: Any, found: list[str]) -> None:
    """Its fan-out has gone on without them if it ended well."""
    links = [{"id": "common", "branch": None}, {"id": "branch", "branch": "b1"}]
    made = launch_of(stages=stages, links=links)
    assert made.links() == []
    made.report = {"stages": reported, "links": [{"id": "common"}, {"id": "branch"}]}
    assert [side["id"] for side in made.links()] == found


@pytest.mark.parametrize(
    ("processes", "meant", "refused", "left"),
    [({}, 0, [], False), ({7: 1}, 1, [], True), ({7: 1}, 1, [7], False), ({7: 1, 8: 1}, 2, [7], True)],
)
def test_stopping_an_end(
    monkeypatch: pytest.MonkeyPatch, processes: Any, meant: int, refused: list[int], left: bool
) -> None:
    """Until no process is left that we may signal."""
    made, asked = launch_of(), []
    monkeypatch.setattr(launches, "labelled", lambda labels: processes if labels == [made.label] else {})

    def press(found: Any, age: float) -> tuple[int, list[int]]:
        asked.append((found, age))
        return meant, refused

    made.ending = SimpleNamespace(press=press)
    assert made.cancel(3.0) is left
    assert made.cancelled and asked == [(processes, 3.0)]


@pytest.mark.parametrize("names", ["a", "ab"])
def test_stopping_ends(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    """Of several ends, the processes are searched for once."""
    looks: list[list[str]] = []

    def by_label(labels: list[str]) -> dict[str, Any]:
        looks.append(labels)
        return {label: {} for label in labels}

    monkeypatch.setattr(launches, "by_label", by_label)
    alone: list[list[str]] = []

    def labelled(labels: list[str]) -> dict[int, int]:
        alone.append(labels)
        return {}

    monkeypatch.setattr(launches, "labelled", labelled)
    made = [launch_of(name) for name in names]
    for number in (1, 2):  # what was found is used once
        assert launches.cancel(made, 0.0) == [False] * len(names)
        assert (looks if len(names) > 1 else alone) == [[each.label for each in made]] * number
    assert (alone if len(names) > 1 else looks) == []


# -- all ends of a run


def run_of(*made: Any) -> Any:
    return Run({each.plan["end"]: each for each in made}, lambda _sample: None)


SIDE = {"id": "x", "state": "done", "problem": None}
RAN = {"name": "s", "rc": 0, "started_at": 1.0, "problem": None}


@pytest.mark.parametrize(
    ("report", "patience"),
    [
        ({"preflight": True}, EVER),
        ({"detached": True, "not_connected": ["x"]}, EVER),
        ({"not_connected": ["x"]}, AFTER),
        ({"refused": {"kind": "not detached"}}, AFTER),
        ({"refused": {"kind": "foreign proc"}}, 0.0),
        ({"links": [{**SIDE, "problem": {"kind": "dead peer"}}]}, AFTER),
        ({"links": [{**SIDE, "problem": {"kind": "stalled"}}]}, EVER),
        ({"died": {"kind": "unknown"}}, FOLLOW),
        ({"links": [SIDE, {**SIDE, "state": "reset"}]}, FOLLOW),
        ({"links": [SIDE, {**SIDE, "state": "aborted"}]}, FOLLOW),
        ({"links": [SIDE], "stages": [RAN]}, EVER),
        ({"stages": []}, 0.0),
        ({"stages": [{**RAN, "started_at": None}]}, 0.0),
        ({"stages": [RAN]}, EVER),
        ({"stages": [RAN, {**RAN, "problem": {"kind": "failed"}}]}, FOLLOW),
    ],
)
def test_patience_after_a_report(report: Any, patience: float) -> None:
    made = launch_of("a", "b")
    made.report = report
    assert Run.patience(made, []) == patience


@pytest.mark.parametrize(
    ("begun", "lived", "threaded", "patience"),
    [
        (False, 1.0, True, 0.0),
        (True, 2.9, True, LOST),
        (True, 3.0, True, UNAWARE),
        (True, 3.0, False, LOST),
    ],
)
def test_patience_without_a_report(begun: bool, lived: float, threaded: bool, patience: float) -> None:
    made, other = launch_of("a", "b"), launch_of("b", "a")
    made.begun, made.ended, other.threaded = begun, made.began + lived, threaded
    assert Run.patience(made, [launch_of("c"), other]) == patience


def ended(made: Any, at: float, **report: Any) -> None:
    made.ready, made.ended, made.report = True, at, report or None


def test_the_last_contact_of_an_end(clock: Clock) -> None:
    """The ends at its links have finished, or all others have left their logins."""
    a, b, c, d = launch_of("a", "b", "c"), launch_of("b", "a"), launch_of("c", "a"), launch_of("d")
    a.plan["links"] += [
        {"id": "here", "end": "a", "side": "local", "control": False},
        {"id": "control", "end": "d", "side": "W", "control": True},
    ]
    run = run_of(a, b, c, d)
    assert run.last_contact(a) == run.last_contact(d) == EVER
    ended(b, 5.0, links=[SIDE])
    assert run.last_contact(a) == EVER
    ended(c, 7.0)
    assert run.last_contact(a) == EVER, "it has no report"
    ended(c, 7.0, links=[])
    assert run.last_contact(a) == EVER, "nor links"
    ended(c, 7.0, links=[SIDE])
    assert run.last_contact(a) == 7.0
    c.ready = False
    assert run.last_contact(a) == EVER
    for each, at in ((b, 5.0), (c, 7.0), (d, 9.0)):
        ended(each, at, detached=True)
        assert run.all_left(a) == ([b, c, d] if each is d else [])
    assert run.last_contact(a) == 9.0 and run_of(a).all_left(a) == []


def test_an_end_that_is_given_up(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of its limits counts, and that those who undo something get the time for it."""
    a, b = launch_of("a"), launch_of("b", stages=[{"afterwards": {"limit": 5.0}}])
    run = run_of(a, b)
    run.give_up(["a", "b"], 10.0)
    assert (a.give_up_at, b.give_up_at) == (10.0, 10.0)
    run.give_up(["b"], 20.0)
    run.give_up(["b"], 4.0, begun=True)
    assert (run.limit(a), run.limit(b)) == (10.0, 9.0)
    run.give_up_at = 3.0
    assert (run.limit(a), run.limit(b)) == (3.0, 3.0)


def test_an_end_is_silent(clock: Clock) -> None:
    """After its connections have closed; then it is given up, and with it all that depend on it."""
    a, b = launch_of("a", "b"), launch_of("b", "a")
    run = run_of(a, b)
    ended(b, clock.now, links=[SIDE])
    clock.now += LATE
    assert run.overdue() is False and a.silent == ""
    clock.now += 1
    a.cancel = lambda age: False
    run.overdue()
    assert a.silent == "no report within 30 s after its connections closed" and a.give_up_at == clock.now


@pytest.mark.parametrize(
    ("report", "others", "begun"),
    [
        (None, LOST, False),
        ({"not_connected": ["x"]}, AFTER, True),
        ({"died": {"kind": "unknown"}}, FOLLOW, True),
        ({"links": [SIDE]}, EVER, True),
    ],
)
def test_others_are_given_up_after_a_failure(clock: Clock, report: Any, others: float, begun: bool) -> None:
    """They also get the time to undo something, unless nobody has begun anything."""
    a, b = launch_of("a", "b"), launch_of("b", "a", stages=[{"afterwards": {"limit": 5.0}}])
    b.cancel = lambda age: True
    run = run_of(a, b)
    ended(a, clock.now, **(report or {}))
    a.lost = True
    assert run.overdue() is False
    assert b.give_up_at == clock.now + others + 5.0 * begun


@pytest.mark.parametrize(("died", "threaded", "late"), [(3.0, True, UNAWARE), (3.0, False, LOST), (1.0, True, LOST)])
def test_others_that_may_not_notice_a_death(clock: Clock, died: float, threaded: bool, late: float) -> None:
    """Whose output comes only at their end: not that of the dead one."""
    a, b = launch_of("a", "b"), launch_of("b", "a")
    clock.now += died
    ended(a, clock.now)
    a.lost, a.threaded, b.threaded = True, not threaded, threaded
    run_of(a, b).overdue()
    assert b.give_up_at == clock.now + late


@pytest.mark.parametrize(("report", "given_up"), [({"links": []}, "abc"), ({"died": {"kind": "unknown"}}, "b")])
def test_who_is_given_up(clock: Clock, report: Any, given_up: str) -> None:
    """Those that depend on it; all of them if it was never started."""
    made = [launch_of(name) for name in "abc"]
    run = run_of(*made)
    run.depending = lambda end: {"a": ["b"]}[end]
    ended(made[0], clock.now, **report)
    for each in made:
        each.cancel = lambda age: True
    run.overdue()
    assert "".join(each.plan["end"] for each in made if each.give_up_at < EVER) == given_up


@pytest.mark.parametrize(
    ("age", "left", "over"),
    [
        (-0.1, (False, False), False),
        (0.0, (False, False), False),
        (launches.LOST - 0.1, (False, False), False),
        (launches.LOST, (False, False), True),
        (launches.LOST, (True, False), False),
        (launches.OVER - 0.1, (True, True), False),
        (launches.OVER, (True, True), True),
        (launches.OVER, (True, False), True),
    ],
)
def test_when_there_is_nothing_left_to_wait_for(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, age: float, left: tuple[bool, bool], over: bool
) -> None:
    """Those that are given up are stopped, until they are gone or too much time has passed."""
    made = [launch_of(name) for name in "ab"]
    run = run_of(*made)
    asked: list[Any] = []

    def cancel(late: list[Any], since: float) -> list[bool]:
        asked.append((late, since))
        return list(left)

    monkeypatch.setattr(launches, "cancel", cancel)
    run.give_up_at = clock.now
    clock.now += age
    assert run.overdue() is over
    assert asked == ([(made, pytest.approx(age))] if age >= 0 else [])


def test_only_those_that_are_late_are_stopped(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = launch_of("a"), launch_of("b")
    run = run_of(a, b)
    asked: list[Any] = []

    def cancel(late: list[Any], _age: float) -> list[bool]:
        asked.append(late)
        return [False]

    monkeypatch.setattr(launches, "cancel", cancel)
    a.give_up_at = clock.now - launches.OVER
    assert run.overdue() is False and asked == [[a]]
    ended(a, clock.now, preflight=True)
    b.give_up_at = clock.now - launches.OVER
    assert run.overdue() is True and asked == [[a], [b]]


@pytest.mark.parametrize(("until", "calls", "slept"), [(0, 1, 0.0), (3, 4, 0.3), (10**9, 342, 34.1)])
def test_all_are_stopped_at_the_end(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, until: int, calls: int, slept: float
) -> None:
    """Again and again, for as long as that may take; but not those that have ended."""
    a, b = launch_of("a"), launch_of("b")
    ended(a, clock.now)
    asked: list[Any] = []

    def cancel(waiting: list[Any], age: float) -> list[bool]:
        asked.append((waiting, age))
        return [len(asked) <= until]

    monkeypatch.setattr(launches, "cancel", cancel)
    run_of(a, b).cancel_all()
    assert all(waiting == [b] for waiting, _age in asked)
    assert (len(asked), asked[-1][1]) == (calls, pytest.approx(slept))


# -- the start


class Starting(Launch):
    """Notes when it was started, and what it may take."""

    log: list[Any] = []
    clock: Clock

    def start(self) -> None:
        self.log.append((self.plan["end"], round(self.clock.now - 1000, 3), round(self.plan["connect_timeout"], 3)))


def starting(clock: Clock, count: int, threaded: str = "") -> tuple[Any, list[Any]]:
    """A run of so many ends, whose listening takes as long as it may."""
    made: list[Any] = []
    for number in range(count):
        each = Starting(plan_of(str(number)), [])
        each.log, each.clock, each.threaded = (made[0].log if made else []), clock, str(number) == threaded
        made.append(each)
    run = run_of(*made)
    run.listen = lambda most=0.5: clock.sleep(most)
    return run, made[0].log


def test_eight_logins_at_once(clock: Clock) -> None:
    """And each further one a little later; the first ones wait longer for the last."""
    run, log = starting(clock, 10, threaded="9")
    done: list[str] = []
    run.beat, run.overdue = (lambda: done.append("beat")), (lambda: done.append("overdue"))
    run.start()
    assert done == ["beat", "overdue"] * 2
    assert log == [
        ("9", 0.0, 30.1),  # a thread first
        *((str(number), 0.0, 30.1) for number in range(7)),
        ("7", 0.05, 30.05),
        ("8", 0.1, 30.0),
    ]
    run, log = starting(clock, 8)
    run.start()
    assert {timeout for _name, _at, timeout in log} == {30.0}


def test_a_run_that_fails_while_it_starts(clock: Clock) -> None:
    """No more logins are begun then."""
    run, log = starting(clock, 10)
    run.overdue = lambda: None
    run.launches["3"].give_up_at = clock.now + 0.09
    run.start()
    assert [name for name, _at, _timeout in log] == [str(number) for number in range(9)]


def test_for_how_long_a_run_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second, unless somebody says so."""
    asked: list[float] = []
    poller = SimpleNamespace(register=lambda *_given: None, poll=lambda most: asked.append(most) or [])  # type: ignore[func-returns-value]
    monkeypatch.setattr(launches, "select", SimpleNamespace(poll=lambda: poller, POLLIN=1))
    run = run_of(launch_of())
    run.listen()
    run.listen(0.05)
    assert asked == [500.0, 50.0]


def test_a_run_listens() -> None:
    """To each end that has something to say, to whoever wakes it up, and not for longer than asked."""
    out, into = os.pipe()
    heard: list[Any] = []
    a, b = launch_of("a"), launch_of("b")
    a.wanted, a.serve = (lambda: {out: select.POLLIN}), (lambda fd: [fd, os.read(fd, 10)])
    run = Run({"a": a, "b": b}, heard.append)
    try:
        run.listen(0.0)
        assert heard == []
        os.write(into, b"x")
        os.write(run.wake_in, b"y")
        run.listen(60.0)
        assert heard == [out, b"x"]
        run.listen(0.0)
        assert not os.get_blocking(run.wake_in) and not os.get_blocking(run.wake_out)
        with pytest.raises(BlockingIOError):
            os.read(run.wake_out, 1)
    finally:
        for fd in (out, into, run.wake_in, run.wake_out):
            os.close(fd)


@pytest.mark.parametrize("how", ["ready", "overdue", "error"])
def test_a_run_leaves_nothing(how: str) -> None:
    """However it ends, all ends are stopped, and then it is dismissed."""
    a = launch_of("a")
    done: list[str] = []

    class Told(Run):
        def start(self) -> None:
            done.append("start")

        def listen(self, most: float = 0.5) -> None:
            done.append("listen")
            a.ready = how == "ready"

        def beat(self) -> None:
            done.append("beat")
            if how == "error":
                raise KeyboardInterrupt

        def overdue(self) -> bool:
            return how == "overdue"

        def cancel_all(self) -> None:
            done.append("cancel")

        def dismiss(self) -> None:
            done.append("dismiss")

    run = Told({"a": a}, lambda _sample: None)
    if how == "error":
        with pytest.raises(KeyboardInterrupt):
            run.outcomes()
    else:
        assert run.outcomes() == {"a": a.outcome()}
    assert done == ["start", "listen", "beat", "cancel", "dismiss"]
    assert list(run.depending("a")) == ["a"]
