# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequence of an end, step by step: what each step returns, and what the next one makes of it; nothing starts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import (
    afterwards,
    congestion,
    encrypted,
    keys,
    ktls_trial,
    main,
    preflight,
    status,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.guard import NotForked
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.meeting import NotConnected
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import Cancelled

SPEC = {"name": "stage", "argv": ["sh"], "environment": {}}


def plan_of(*links: dict[str, Any], **more: Any) -> Any:
    plain = {"encryption": None, "side": "W", "secret": "00" * 32}
    told: dict[str, Any] = {"end": "a", "heartbeat": 30.0, "connect_timeout": 5.0, "kernel_tls": "", "preflight": False}
    told.update(detach=False, stages=[SPEC], patience={}, **more)
    return {**told, "links": [{"id": "link%d" % number, **plain, **link} for number, link in enumerate(links)]}


class Watching:
    def __init__(self) -> None:
        self.said: list[Any] = []
        self.finished = 0
        self.poll = "the poll"

    def say(self, message: Any) -> None:
        self.said.append(message)

    def finish(self) -> None:
        self.finished += 1


# -- from the start to the exit


class Exit(BaseException):
    """The process would exit here."""


class Sequence:
    """What ``main`` does, with steps that are told what to return."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
        self.watch, self.log = Watching(), list[Any]()
        self.exits: list[int] = []

        def exit_(status: int) -> None:
            self.exits.append(status)
            raise Exit

        def run(plan: Any, watch: Any, home: Any) -> Any:
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr(main, "make_watch", lambda plan: self.watch)
        monkeypatch.setattr(main, "make_secrets", lambda plan, watch: self.log.append("secrets"))
        monkeypatch.setattr(main, "keep_out_of_dumps", lambda: self.log.append("no dumps"))
        monkeypatch.setattr(main, "dismiss", lambda guard: self.log.append(("dismiss", guard)))
        monkeypatch.setattr(main, "run", run)
        monkeypatch.setattr(main.os, "open", lambda path, flags: 77)
        monkeypatch.setattr(main.os, "dup2", lambda old, new: self.log.append(("dup2", old, new)))
        monkeypatch.setattr(main.os, "_exit", exit_)
        self.home = SimpleNamespace(witness=lambda: self.log.append("witness"))

    def go(self, plan: Any, home: Any = None) -> list[Any]:
        with pytest.raises(Exit):
            main.main(plan, home)
        assert self.exits == [0] and self.log[0] == ("dup2", 77, 0)
        return self.log[1:]


VERSION = "%d.%d.%d" % sys.version_info[:3]


@pytest.mark.parametrize("home", [False, True])
def test_an_end_reports_and_dismisses_its_guard(monkeypatch: pytest.MonkeyPatch, home: bool) -> None:
    made = Sequence(monkeypatch, ({"x": 1}, "guard"))
    assert made.go(plan_of({}), made.home if home else None) == ["secrets", ("dismiss", "guard")]
    assert made.watch.said == [{"x": 1, "end": "a", "python": VERSION}] and made.watch.finished == 1


@pytest.mark.parametrize("home", [False, True])
def test_an_end_without_a_guard_reports(monkeypatch: pytest.MonkeyPatch, home: bool) -> None:
    made = Sequence(monkeypatch, ({"refused": 1}, None))
    assert made.go(plan_of({}), made.home if home else None) == ["secrets"]
    assert len(made.watch.said) == made.watch.finished == 1


@pytest.mark.parametrize("home", [False, True])
def test_a_guard_says_nothing_here(monkeypatch: pytest.MonkeyPatch, home: bool) -> None:
    made = Sequence(monkeypatch, (None, None))
    assert made.go(plan_of({}), made.home if home else None) == ["secrets"] + ["witness"] * home
    assert not made.watch.said and not made.watch.finished


def test_an_end_that_is_stopped_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Sequence(monkeypatch, Cancelled({"kind": "controller"}))
    assert made.go(plan_of({})) == ["secrets"]
    assert made.watch.said == [{"cancelled": {"kind": "controller"}, "end": "a", "python": VERSION}]


@pytest.mark.parametrize(
    ("kernel_tls", "encryption", "kept_out"), [("", None, False), ("try", None, True), ("", {"x": 1}, True)]
)
def test_keys_are_kept_out_of_dumps(
    monkeypatch: pytest.MonkeyPatch, kernel_tls: str, encryption: Any, kept_out: bool
) -> None:
    made = Sequence(monkeypatch, ({}, None))
    assert made.go(plan_of({"encryption": encryption}, kernel_tls=kernel_tls)) == ["no dumps"] * kept_out + ["secrets"]


def test_the_watch_of_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers questions is shipped only to an end that gets them."""
    monkeypatch.setattr(main, "Watch", lambda heartbeat: ("silent", heartbeat))
    monkeypatch.setattr(status, "Answering", lambda plan: ("answers", plan["answers"]))
    assert cast(Any, main.make_watch(plan_of())) == ("silent", 30.0)
    assert cast(Any, main.make_watch(plan_of(answers="here"))) == ("answers", "here")


def test_missing_secrets_are_made_and_told() -> None:
    watch, plan = Watching(), plan_of({"secret": ""}, {}, {"secret": ""})
    main.make_secrets(plan, cast(Any, watch))
    secrets = [link["secret"] for link in plan["links"]]
    assert [len(bytes.fromhex(secret)) for secret in secrets] == [32, 32, 32] and len(set(secrets)) == 3
    assert secrets[1] == "00" * 32 and watch.said == [{"secrets": {"link0": secrets[0], "link2": secrets[2]}}]
    main.make_secrets(plan, cast(Any, watch))
    assert len(watch.said) == 1


def test_which_way_an_end_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, refused = cast(Any, Watching()), dict[str, Any]()
    looked: list[Any] = []

    class Look:
        def __init__(self, plan: Any) -> None:
            self.plan = plan

        def run(self, poll: Any, deadline: float) -> Any:
            looked.append((poll, deadline - time.monotonic()))
            return {"preflight": self.plan["end"]}

    monkeypatch.setattr(main, "before", lambda plan: refused)
    monkeypatch.setattr(main, "connect_and_run", lambda plan, watch, home: ("ran", home))
    monkeypatch.setattr(preflight, "Preflight", Look)
    assert main.run(plan_of(), watch, cast(Any, "home")) == ("ran", "home")
    assert main.run(plan_of(preflight=True), watch, None) == ({"preflight": "a"}, None)
    ((poll, left),) = looked
    assert poll == "the poll" and 0 < left <= 5
    refused["refused"] = "why"
    assert main.run(plan_of(preflight=True), watch, None) == (refused, None)


# -- reasons not to start


@pytest.mark.parametrize(
    ("platform", "proc", "refused"), [("linux", True, False), ("linux", False, True), ("aix", True, True)]
)
def test_only_linux_with_proc(monkeypatch: pytest.MonkeyPatch, platform: str, proc: bool, refused: bool) -> None:
    monkeypatch.setattr(main, "proc_is_ours", lambda: True)
    monkeypatch.setattr(main.sys, "platform", platform)
    exists = main.os.path.exists
    monkeypatch.setattr(main.os.path, "exists", lambda path: proc if path == "/proc/self/stat" else exists(path))
    assert main.before(plan_of()) == ({"refused": {"kind": "platform", "platform": platform}} if refused else {})


def test_only_with_the_proc_of_this_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "proc_is_ours", lambda: False)
    assert main.before(plan_of()) == {"refused": {"kind": "foreign proc"}}


@pytest.mark.parametrize(
    ("encryption", "kernel_tls", "look", "asked"),
    [
        ({"x": 1}, "", False, True),
        (None, "", False, False),
        ({"x": 1}, "must", False, False),
        ({"x": 1}, "", True, False),
    ],
)
def test_relays_need_tls(
    monkeypatch: pytest.MonkeyPatch, encryption: Any, kernel_tls: str, look: bool, asked: bool
) -> None:
    """Not where the kernel encrypts; and a preflight tells what there is, and does not refuse."""
    problem: list[Any] = [{"kind": "no tls", "error": "why"}, None]
    monkeypatch.setattr(encrypted, "unusable", lambda: problem[0])
    plan = plan_of({"encryption": encryption}, {}, kernel_tls=kernel_tls, preflight=look)
    assert main.before(plan) == ({"refused": problem[0]} if asked else {})
    problem.pop(0)
    assert main.before(plan) == {}


def test_the_congestion_control_of_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    problem: list[Any] = [{"kind": "no congestion control"}]
    monkeypatch.setattr(congestion, "missing", lambda links: problem[0] if len(links) == 2 else "what?")
    plan = plan_of({"congestion_control": "bbr"}, {"congestion_control": ""})
    assert main.before(plan) == {"refused": problem[0]}
    problem[0] = None
    assert main.before(plan) == {}
    problem[0] = "not asked for"
    assert main.before(plan_of({"congestion_control": ""}, {})) == {}


@pytest.mark.parametrize(
    ("more", "skipped"),
    [
        ({"creates": "{tmp}/there"}, ("{tmp}/there", True)),
        ({"creates": "there", "chdir": "{tmp}"}, ("there", True)),
        ({"creates": "th*", "chdir": "{tmp}"}, ("th*", True)),
        ({"creates": "{tmp}/not"}, None),
        ({"removes": "{tmp}/there"}, None),
        ({"removes": "{tmp}/not"}, ("{tmp}/not", False)),
        ({"removes": "{tmp}/n*"}, ("{tmp}/n*", False)),
        ({}, None),
    ],
)
def test_what_is_there_already(tmp_path: Path, more: dict[str, str], skipped: tuple[str, bool] | None) -> None:
    """A preflight moves nothing, so it skips nothing."""
    (tmp_path / "there").symlink_to("nowhere")
    spec = {**SPEC, **{key: value.replace("{tmp}", str(tmp_path)) for key, value in more.items()}}
    plan = plan_of()
    plan["stages"] = [SPEC, spec]
    found: dict[str, Any] = {}
    if skipped:
        path = skipped[0].replace("{tmp}", str(tmp_path))
        found = {"skipped": {"stage": "stage", "path": path, "exists": skipped[1]}}
    assert main.before(plan) == found
    assert main.before({**plan, "preflight": True}) == {}


def test_every_command_must_be_there() -> None:
    plan = plan_of()
    plan["stages"] = [SPEC, {**SPEC, "name": "bad", "argv": ["/no/such", "sh"], "chdir": "/"}]
    not_found = {"kind": "not found", "name": "/no/such", "path": ""}
    assert main.before(plan) == {"refused": not_found, "stage": "bad"} == main.before({**plan, "preflight": True})
    plan["stages"][1].update(launcher=[None, "/no/such"])  # our own Python, whatever its name is
    assert main.before(plan) == {}
    plan["stages"][1].update(launcher=["/no/such", "sh"], argv=["sh"])
    assert main.before(plan)["refused"] == not_found
    plan["stages"][1].update(launcher=["sh"], chdir="/no/such")
    assert main.before(plan)["refused"] == {"kind": "no directory", "path": "/no/such"}


@pytest.mark.parametrize(
    ("kernel_tls", "sides", "problem", "can", "refuses"),
    [
        ("", ["W"], None, 0, False),
        ("try", ["local", "local"], None, 0, False),
        ("try", ["local", "W"], None, 1, False),
        ("try", ["W"], "why", 1, False),
        ("must", ["W"], None, 3, False),
        ("must", ["W"], "why", 3, True),
        ("must", [], None, 0, False),
    ],
)
def test_what_the_kernel_can_encrypt(
    monkeypatch: pytest.MonkeyPatch, kernel_tls: str, sides: list[str], problem: Any, can: int, refuses: bool
) -> None:
    """Relays do it in its place where they may, also for more than one key may encrypt."""
    monkeypatch.setattr(ktls_trial, "trial", lambda: (3, problem))
    assert keys.unlimited(3) == 1
    plan = plan_of(*({"side": side} for side in sides), kernel_tls=kernel_tls)
    refused = {"kind": "no kernel tls", "problem": "why"} if refuses else None
    assert main.abilities(plan) == (can, refused)


@pytest.mark.parametrize("proves", [[], [None, None], [None, "prove"]])
def test_a_barrier_is_for_links_that_are_part_of_it(monkeypatch: pytest.MonkeyPatch, proves: list[Any]) -> None:
    from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import barrier

    monkeypatch.setattr(barrier, "Barrier", lambda sides, patience: (len(sides), patience))
    sides: Any = [SimpleNamespace(prove=prove) for prove in proves]
    assert main.make_barrier(plan_of(), sides) == ((2, 5.0) if any(proves) else None)


# -- the links, the guard, the end


class Steps:
    """The steps of ``connect_and_run``, each of which can be told to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
        self.log: list[str] = []
        self.fails = fails
        self.stop, self.left, self.undo = 20.0, 0.0, list[str]()
        self.channel: Any = "channel"
        for name in ("abilities", "Meeting", "make_sides", "split", "End", "confess", "make_barrier"):
            monkeypatch.setattr(main, name, getattr(self, name.lower()))
        monkeypatch.setattr("%s.detach.detach" % main.__package__, self.detach)
        self.patience = SimpleNamespace(tls=30.0, stop=self.stop)

    def step(self, name: str) -> bool:
        self.log.append(name)
        return self.fails == name

    def abilities(self, plan: Any) -> Any:
        return 3, "why" if self.step("abilities") else None

    def meeting(self, plan: Any, can: int) -> Any:
        def run_until(poll: Any, deadline: float) -> Any:
            self.left = deadline - time.monotonic()
            if self.step("meet"):
                raise NotConnected(["link0"])
            return (poll, can)

        close: Callable[[], Any] = lambda: self.log.append("close")  # noqa: E731
        return SimpleNamespace(run_until=run_until, close=close, report=lambda: "met", patience=self.patience)

    def detach(self, plan: Any, made: Any, watch: Any, deadline: float, home: Any) -> Any:
        return "why" if self.step("detach") else None

    def make_sides(self, plan: Any, made: Any, patience: float) -> Any:
        assert (made, patience) == (("the poll", 3), 30.0)
        return [SimpleNamespace(transport="socket")], "why" if self.step("sides") else None

    def split(self, name: str, links: Any, watch: Any, patience: Any, undo: Any) -> Any:
        assert (name, links) == ("a", ["socket"])
        self.stop, self.undo = patience.stop, [spec["name"] for spec in undo]
        if self.step("split"):
            raise NotForked("why")
        return self.channel

    def make_barrier(self, plan: Any, sides: Any) -> str:
        return "barrier"

    def end(self, plan: Any, sides: Any, watch: Any, channel: Any, barrier: Any) -> Any:
        assert (channel, barrier) == ("channel", "barrier")

        def run() -> Any:
            if self.step("end"):
                raise KeyError("ours")
            return {"x": 1}

        return SimpleNamespace(run=run)

    def confess(self, channel: Any, error: Any) -> None:
        self.log.append("confess %r" % error)


ALL = ["abilities", "meet", "close", "sides", "split", "end"]
RETURNS: dict[str, tuple[Any, list[str]]] = {
    "": (({"x": 1, "connect": "met"}, "channel"), ALL),
    "abilities": (({"refused": "why"}, None), ALL[:1]),
    "meet": (({"not_connected": ["link0"], "connect": "met"}, None), ALL[:3]),
    "sides": (({"refused": "why"}, None), ALL[:4]),
    "split": (({"refused": {"kind": "no fork", "error": "why"}}, None), ALL[:5]),
}


@pytest.mark.parametrize("fails", RETURNS)
def test_the_steps_of_a_run(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    steps, (result, log) = Steps(monkeypatch, fails), RETURNS[fails]
    assert main.connect_and_run(plan_of(), cast(Any, Watching()), None) == result
    assert steps.log == log and (fails == "abilities" or 0 < steps.left <= 5) and steps.stop == 20.0


@pytest.mark.parametrize("fails", ["", "detach"])
def test_a_run_that_detaches(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    steps, plan = Steps(monkeypatch, fails), plan_of()
    plan["detach"] = True
    result = main.connect_and_run(plan, cast(Any, Watching()), None)
    refused: Any = ({"refused": "why", "connect": "met"}, None)
    assert result == (refused if fails else RETURNS[""][0])
    assert steps.log == (ALL[:3] + ["detach"] + ([] if fails else ALL[3:]))


def test_the_guard_returns_without_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, "")
    steps.channel = None
    assert main.connect_and_run(plan_of(), cast(Any, Watching()), None) == (None, None)
    assert steps.log == ALL[:5]


def test_an_error_of_ours_is_told_to_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, "end")
    with pytest.raises(KeyError):
        main.connect_and_run(plan_of(), cast(Any, Watching()), None)
    assert steps.log == [*ALL, "confess KeyError('ours')"]


def test_the_guard_waits_longer_for_programs_that_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, plan = Steps(monkeypatch, ""), plan_of()
    monkeypatch.setattr(afterwards, "limit", lambda specs: 7.0 * len(specs))
    plan["stages"] = [SPEC, {**SPEC, "name": "begun", "afterwards": {}}]
    main.connect_and_run(plan, cast(Any, Watching()), None)
    assert (steps.stop, steps.undo) == (27.0, ["begun"])
