# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that keeps a run without its controller: the progress it writes, why it stops, and its last word."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import home
from ansible_collections.plumbing.socketpipe.tests.unit.clock import Clock

NOW = 1000.0
WAITED = {"receiver": 0.0, "buffer": 0.0, "busy": 10.0}
READ = {"id": "a", "side": "R", "bytes": 100, "waited": WAITED}
WRITTEN = {**READ, "side": "W", "bytes": 90, "waited": {**WAITED, "receiver": 9.0}}
OTHER = {**WRITTEN, "id": "b", "bytes": 300}
PLAN: Any = SimpleNamespace(
    expected=None,
    neighbours=lambda: {"a": ("source", "sink"), "b": ("one", "two")},
    expectation=lambda: None,
    depending=lambda end: {end},
)


def keeping(**more: Any) -> Any:
    """One that has begun 100 s ago, and has shown 50 bytes 10 s ago."""
    made: Any = object.__new__(home.Keeping)
    shown: list[Any] = []
    made.__dict__.update(plan=PLAN, file=SimpleNamespace(running=shown.append), shown=shown, parts=set())
    made.__dict__.update(signal=0, why="", began=NOW - 100, limit_at=NOW + 100, give_up_at=float("inf"))
    made.__dict__.update(shown_at=NOW - 10, shown_bytes=50, **more)
    return made


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "time", Clock(NOW))


def sample(*sides: Any) -> Any:
    return {"at": 10.0, "sample": sides}


@pytest.mark.parametrize(
    ("sides", "parts", "moved", "rate", "slow"),
    [
        ([READ], set(), 100, 5, ""),
        ([WRITTEN, READ], set(), 100, 5, "sink is slow (receive window full 90 % of the time)"),
        ([READ, {**WRITTEN, "bytes": None}], set(), 100, 5, ""),
        ([OTHER, WRITTEN], set(), 300, 25, "two is slow (receive window full 90 % of the time)"),
        ([READ, {**READ, "id": "b"}, {**READ, "id": "c"}], {"a", "b"}, 200, 15, ""),
        ([{**READ, "bytes": 20}], set(), 20, 0, ""),
        ([{**READ, "bytes": 0}], set(), 0, 0, ""),
    ],
)
def test_progress(sides: list[Any], parts: set[str], moved: int, rate: int, slow: str) -> None:
    """The most that one link has moved, or the sum of the parts of one whole; the rate since the last time."""
    made = keeping()
    made.parts = parts
    made.show(sample(*sides))
    told = {"expected": None, "percent": None, "left": None, "slow": slow}
    assert made.shown == [{"bytes": moved, "elapsed": 10.0, "rate": rate, **told}]
    assert (made.shown_at, made.shown_bytes) == (NOW, moved)


@pytest.mark.parametrize(("age", "times"), [(0.0, 0), (home.SHOWN - 0.1, 0), (home.SHOWN, 1)])
def test_progress_is_not_written_too_often(age: float, times: int) -> None:
    made = keeping()
    made.shown_at = NOW - age
    made.show(sample(READ))
    assert len(made.shown) == times and made.shown_at == (NOW if times else NOW - age)


@pytest.mark.parametrize("sides", [[], [{**READ, "bytes": None}]])
def test_no_progress_without_figures(sides: list[Any]) -> None:
    made = keeping()
    made.show(sample(*sides))
    assert made.shown == [] and made.shown_at == NOW - 10


@pytest.mark.parametrize(
    ("parts", "link", "percent", "left"),
    [
        (set(), "a", 25, 30.0),
        (set(), "b", 75, 3.333),
        (set(), "c", None, None),
        ({"a", "b"}, "a", 100, 0.0),
        ({"a", "b"}, "", None, None),
    ],
)
def test_a_forecast(parts: set[str], link: str, percent: int | None, left: float | None) -> None:
    """Of the first link between two hosts, or of all parts, if it is known how much that will be."""
    made = keeping()
    expectation: Any = (lambda: (link, 400)) if link else lambda: None
    made.plan = SimpleNamespace(**{**vars(PLAN), "expectation": expectation, "expected": 400})
    made.parts = parts
    made.show(sample(READ, {**OTHER, "side": "R"}))
    (told,) = made.shown
    assert (told["percent"], told["left"], told["expected"]) == (percent, left, 400)


@pytest.mark.parametrize(
    ("signal", "limit_at", "login", "why"),
    [
        (0, NOW + 1, True, ""),
        (0, NOW, True, "the job was stopped after 100 s, the limit that its task sets (async)"),
        (15, NOW + 1, False, "the job was stopped by SIGTERM"),
        (15, NOW - 1, True, "the job was stopped by SIGTERM" + home.LOGOUT),
    ],
)
def test_why_it_stops(monkeypatch: pytest.MonkeyPatch, signal: int, limit_at: float, login: bool, why: str) -> None:
    monkeypatch.setattr(home, "is_of_a_login", lambda: login)
    made = keeping()
    made.__dict__.update(signal=signal, limit_at=limit_at, began=limit_at - 100)
    made.beat()
    assert made.why == why and made.give_up_at == (NOW if why else float("inf"))
    if why:  # it does not begin anew
        made.give_up_at, made.signal = 5.0, 2
        made.beat()
        assert (made.why, made.give_up_at) == (why, 5.0)


def test_whom_an_end_needs() -> None:
    assert keeping().depending("b") == {"b"}


@pytest.mark.parametrize(
    ("groups", "login"),
    [
        ("0::/user.slice/user-0.slice/session-5.scope\n", True),
        ("1:cpu:/\n0::/user.slice/session-c2.scope\n", True),
        ("0::/user.slice/user@0.service/session-x.slice\n", False),
        ("0::/system.slice/ssh.service.scope\n", False),
        ("", False),
        (None, False),
    ],
)
def test_whether_a_login_may_take_it_along(monkeypatch: pytest.MonkeyPatch, groups: str | None, login: bool) -> None:
    def read(path: str, **_options: str) -> io.StringIO:
        assert path == "/proc/self/cgroup"
        if groups is None:
            raise FileNotFoundError(path)
        return io.StringIO(groups)

    monkeypatch.setattr(home, "open", read, raising=False)
    assert home.is_of_a_login() is login


# -- its last word


def kept_by(**job: Any) -> Any:
    made: Any = object.__new__(home.Home)
    done: list[Any] = []
    file = SimpleNamespace(finish=lambda final, brief: done.append((final, brief)), finished=lambda: bool(done))
    made.job = {"peer": "", "no_log": False, "fact": "", "hosts": {"a": "h1"}, **job}
    made.__dict__.update(told={"end": "a"}, plan=SimpleNamespace(run="R1"), file=file, done=done)
    return made


RESULT: Any = {"changed": True, "msg": "m" * 2000, "run": "R1", "bytes": 5, "stages": []}


@pytest.mark.parametrize(
    ("job", "result", "warnings", "more"),
    [
        ({}, {}, [], {}),
        ({"peer": "h2"}, {}, ["careful"], {"peer": "h2", "warnings": ["careful"]}),
        ({"fact": "copy"}, {}, [], {"ansible_facts": {"copy": "summary"}}),
        ({"fact": "copy"}, {"failed": True}, [], {}),
        ({"fact": "copy"}, {"skipped": True}, [], {}),
    ],
)
def test_a_result(monkeypatch: pytest.MonkeyPatch, job: Any, result: Any, warnings: list[str], more: Any) -> None:
    monkeypatch.setattr(home.results, "summary", lambda _result: "summary")
    made = kept_by(**job)
    made.finish({**RESULT, **result}, warnings)
    ((final, brief),) = made.done
    assert final == {**RESULT, **result, **more}
    assert set(brief) == {"changed", "run", "bytes", "msg", *result} and len(brief["msg"]) == home.MSG_MOST


@pytest.mark.parametrize("tape", [False, True])
def test_a_result_that_must_not_be_seen(monkeypatch: pytest.MonkeyPatch, tape: bool) -> None:
    hidden: list[str] = []
    monkeypatch.setattr(home.kept, "hide", lambda final: hidden.append("all"))
    monkeypatch.setattr(home.tape_jobs, "hide", lambda final, told: hidden.append(told))
    made = kept_by(no_log=True, fact="copy", **({"tape": "told"} if tape else {}))
    made.finish(dict(RESULT), ["careful"])
    assert hidden == ["all", "told"][: 1 + tape]
    assert not {"warnings", "ansible_facts"} & set(made.done[0][0])


def test_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only if there is no result yet."""
    failures: list[Any] = []

    def unknown(job: Any, failure: Any, run: str) -> Any:
        failures.append((failure.kind, failure.text, failure.host, failure.started, run))
        return dict(RESULT)

    monkeypatch.setattr(home.kept, "unknown", unknown)
    made = kept_by()
    made.last_word("why")
    made.last_word("again")
    assert failures == [("end", "on h1: why", "h1", True, "R1")] and len(made.done) == 1
