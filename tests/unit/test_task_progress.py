# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the lines of a run are shown by its worker, and what is asked for them."""

from __future__ import annotations

import copy
import json
import mmap
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.wire import MARK
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.progress import QUIET, Progress, line_of_job
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import STATE
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _task_progress as product
from ansible_collections.plumbing.socketpipe.tests.unit.clock import Clock
from ansible_collections.plumbing.socketpipe.tests.unit.ends import make_plan, stage
from ansible_collections.plumbing.socketpipe.tests.unit.said import real

LINK = "input \u2192 remote"
HOSTS, TEN_HOURS, STEP = 50, 36_000, 5
EVENTS_MOST = 60_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(1000.0)
    monkeypatch.setattr(product, "time", made)
    monkeypatch.setattr(product, "SHOWN", mmap.mmap(-1, 8))
    return made


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(product, "show_line", lines.append)
    return lines


def lines_of(host: str = "h1", first: int = 1000, quiet: int = QUIET) -> product.Lines:
    """Of a run with an end on the controller."""
    plan: Any = SimpleNamespace(ends={"peer": {"sample": 1.0, "stages": []}})
    return product.Lines(Progress(host, first, {LINK: ("input", "remote")}, quiet=quiet), plan, {})


def sample(count: int, at: float, told: str = "") -> Any:
    waited = dict.fromkeys(("receiver", "buffer", "busy"))
    return {
        "sample": [{"id": LINK, "side": "W", "bytes": count, "unread": None, "waited": waited}],
        "at": at,
        "told": {"sink": told} if told else {},
    }


def test_a_line_whenever_it_has_been_quiet(clock: Clock, shown: list[str]) -> None:
    """Also before the first figures, and if none come any more."""
    lines = lines_of()
    for _second in range(200):
        clock.now += 1
        lines.beat()
        if 61 <= lines.quiet.elapsed <= 130:
            lines.feed(sample(1024, 61.0))
    assert shown == [
        "h1: no figures yet, 0:01:00 after the start",
        f"h1: {LINK} 1.0 KiB, 16 bytes/s",
        f"h1: {LINK} 1.0 KiB, 0 bytes/s",
    ]


def test_none_if_that_is_off(clock: Clock, shown: list[str]) -> None:
    lines = lines_of(quiet=0)
    clock.now += 10_000
    lines.beat()
    assert not shown


def test_the_line_of_one_host_is_enough(clock: Clock, shown: list[str]) -> None:
    """Whatever worker shows it."""
    lines = [lines_of(f"h{number}") for number in range(HOSTS)]
    for _second in range(180):
        clock.now += 1
        for each in lines:
            each.beat()
    assert len(shown) == 3


def test_ten_hours_of_a_fleet(clock: Clock, shown: list[str]) -> None:
    """The system test of a job knows how large the event of a line is; here are the lines of 50 hosts.

    A tape change each hour stops them all.
    """
    fleet = [lines_of(f"a-host-{number}.of.some.example", first=30) for number in range(HOSTS)]
    count = 0
    for second in range(0, TEN_HOURS, STEP):
        clock.now += STEP
        count += 100_000_000 if second % 3600 <= 3480 else 0
        for each in fleet:
            each.feed(sample(count, float(second)))
            each.beat()
    fits(shown)


def fits(shown: list[str]) -> None:
    assert 0.9 * TEN_HOURS / QUIET < len(shown) < EVENTS_MOST
    assert sum(2000 + len(line) for line in shown) < 10 * 1024 * 1024


def test_ten_hours_of_a_fleet_that_waits(clock: Clock, shown: list[str]) -> None:
    """For one drive, each with the longest text; the end is on the controller, and says so with each sample."""
    fleet = [lines_of(f"a-host-{number}.of.some.example", first=30) for number in range(HOSTS)]
    for second in range(0, TEN_HOURS, STEP):
        clock.now += STEP
        for each in fleet:
            each.feed(sample(0, float(second), "x" * STATE))
            each.beat()
    fits(shown)


def test_ten_hours_of_a_fleet_that_is_asked(clock: Clock, shown: list[str]) -> None:
    """The same, if the ends are on other hosts."""
    threads = []
    for number in range(HOSTS):
        name = f"a-host-{number}.of.some.example"
        progress = Progress(name, 30, {LINK: ("input", "remote")})

        def ask(must: bool, progress: Progress = progress) -> list[str]:
            return progress.feed(sample(0, clock.now)["sample"], clock.now, due=True, told=["x" * STATE])

        threads.append(product.Asking(30, product.Quiet(QUIET), ask, name))
    for _second in range(0, TEN_HOURS, STEP):
        clock.now += STEP
        for thread in threads:
            thread.step()
    fits(shown)


def asking(answers: list[Any], clock: Clock, first: float, quiet: int) -> list[bool]:
    """Do as the thread does, with these answers, one for each time that it asks; returns whether a line had to come."""
    asked: list[bool] = []

    def ask(must: bool) -> Any:
        asked.append(must)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    class Stopped:
        def wait(self, seconds: float) -> bool:
            clock.now += seconds
            return not answers

        def is_set(self) -> bool:
            return False

    thread = product.Asking(first, product.Quiet(quiet), ask, "h1")
    stopped: Any = Stopped()
    thread.stopped = stopped
    thread.run()
    return asked


def test_who_asks_does_so_when_a_line_is_due(clock: Clock, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[], ["one"], ["two"], ConnectionError("no route\nto h1"), ["three"]]
    assert asking(answers, clock, 30, 60) == [False, False, True, True, True]
    assert shown == ["one", "two", "h1: no figures yet, 0:02:37 after the start: no route to h1", "three"]


def test_the_end_of_a_job_is_the_end_of_asking(clock: Clock, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [["one"], None, ["two"]]
    asking(answers, clock, 1, 60)
    assert shown == ["one"] and answers == [["two"]]


def test_a_thread_that_is_stopped_ends(clock: Clock) -> None:
    asked = product.Asking(1e9, product.Quiet(0), lambda must: [], "h1")
    asked.thread.start()
    asked.stopped.set()
    asked.thread.join()


def test_a_connection_of_its_own() -> None:
    class Connection:
        def __init__(self) -> None:
            self._shell, self.become = SimpleNamespace(tmpdir=None), SimpleNamespace(prompt="")

        def set_become_plugin(self, plugin: Any) -> None:
            self.become = plugin

    host: Any = SimpleNamespace(executor=SimpleNamespace(_connection=Connection()), name="h1")
    other: Any = product.beside(host)
    before = copy.deepcopy(host.executor._connection._shell), copy.deepcopy(host.executor._connection.become)
    other.executor._connection._shell.tmpdir = "/x"
    other.executor._connection.become.prompt = "y"
    assert (host.executor._connection._shell, host.executor._connection.become) == before
    assert other.name == "h1" and other.executor._connection is not host.executor._connection


@pytest.mark.parametrize(
    ("reporting", "telling", "asked"),
    [("", "", "b"), ("", "c", "bc"), ("", "ab", "ba"), ("a", "", ""), ("a", "ac", "c"), ("ac", "ac", "")],
)
def test_who_is_asked(reporting: str, telling: str, asked: str) -> None:
    """The end with most links, unless one reports by itself; and all that tell something, but do not report it."""
    plan = make_plan(*[(end, stage(name, ["cat"])) for end, name in zip("aabc", "stuv")])
    for end in reporting:
        plan.ends[end]["sample"] = 1.0
    for end in telling:
        plan.ends[end]["stages"][0]["tells"] = True
    assert product.ends_to_ask(plan) == list(asked)


class Answers:
    """In place of the login to an end."""

    def __init__(self, _host: Any, plan: Any, _wake: Any) -> None:
        self.plan, self.label, self.answer = plan, plan["end"], ""

    def _execute(self, label: str, _program: bytes, whom: dict[str, str]) -> dict[str, str]:
        assert (label, whom["end"]) == (f"{self.label}:status", self.label)
        return {"stdout": self.answer}

    def tell(self, text: str, sides: Any = ()) -> None:
        told = {stage["name"]: text for stage in self.plan["stages"]}
        self.answer = MARK + json.dumps({"sample": [*sides], "at": 5.0, "told": told})


def test_whoever_waits_is_asked_each_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another end reports the figures.  A line comes only if there is something to tell, or if it must."""
    monkeypatch.setattr(product, "ExecLaunch", Answers)
    monkeypatch.setattr(product, "beside", lambda host: host)
    source: Any = {**stage("input", ["cat"]), "tells": True}
    plan = make_plan(("a", source), ("b", stage("output", ["cat"])))
    plan.ends["b"]["sample"] = 1.0
    lines = product.Lines(Progress("h1", 1000, {LINK: ("input", "output")}), plan, {"a": Any, "b": Any})
    launches: Any = lines.launches
    assert [launch.label for launch in launches] == ["a"]
    launches[0].tell("waiting for a drive")
    assert lines.ask(False) == ["h1: waiting for a drive"]
    launches[0].tell("")
    assert lines.ask(False) == []
    assert lines.ask(True) == ["h1: no figures yet, 0:00:00 after the start"]
    lines.close()


def test_an_end_that_is_over_leaves_the_figures_to_others(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """All data is on its way to the tape, which is waited for."""
    monkeypatch.setattr(product, "ExecLaunch", Answers)
    monkeypatch.setattr(product, "beside", lambda host: host)
    plan = make_plan(*((end, {**stage(end, ["cat"]), "tells": True}) for end in ("input", "output")))
    progress = Progress("h1", 1000, plan.neighbours())
    lines = product.Lines(progress, plan, {"input": Any, "output": Any})
    launches: Any = lines.launches
    (side,) = real()["ok"]["remote"]["links"]
    launches[1].tell("waiting", [{**side, "id": plan.links[0]["id"], "bytes": 1024}])
    assert lines.ask(False)[0].startswith("h1: input \u2192 output 1.0 KiB, ")
    launches[0].tell("", [{**side, "id": plan.links[0]["id"], "bytes": 2048, "side": "W"}])
    assert lines.ask(True)[0].startswith("h1: input \u2192 output 2.0 KiB, ")
    lines.close()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "1.0 GiB, 81.9 MiB/s"),
        ({"slow": "tar is slow"}, "1.0 GiB, 81.9 MiB/s, tar is slow"),
        ({"expected": 4 << 30, "percent": 25, "left": 37.5}, "1.0 GiB of 4.0 GiB (25 %), 81.9 MiB/s, 0:00:37 left"),
        ({"expected": 1 << 30, "percent": 100, "left": 0.0}, "1.0 GiB of 1.0 GiB (100 %), 81.9 MiB/s"),
    ],
)
def test_the_line_of_a_job(more: dict[str, Any], text: str) -> None:
    plain: Any = dict.fromkeys(("expected", "percent", "left"))
    plain.update(bytes=1 << 30, elapsed=12.5, rate=85899345, slow="")
    assert line_of_job("h1", {**plain, **more}) == f"h1: {text}"
