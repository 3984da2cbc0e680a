# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the command, without a login: its plan, its attempts, its outcome and its exit status."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import arguments, command, plain
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.certificates import NotMade
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.command import HERE, THERE, CommandRun
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.login import DEAF, OBSTACLES, TERMINAL
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import PROGRAM_START
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap, result, verdict
from ansible_collections.plumbing.socketpipe.tests.unit.fails import fail

NEEDED, BOTH = "-l { ssh h1 } -r { cat }", "-i { a } -o { b }"


def noted(did: list[Any], what: object, back: Any) -> Any:
    did.append(what)
    return back


def parsed(line: str = BOTH) -> Any:
    return arguments.parse(f"{NEEDED} {line}".split())


@pytest.fixture(autouse=True)
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is at a terminal, and the standard streams stay as they are."""
    monkeypatch.setattr(command, "at_terminal", lambda: False)
    monkeypatch.setattr(command, "keep", lambda fd: fd + 10)
    monkeypatch.setattr(command, "own_addresses", lambda: ["192.0.2.1", "127.0.0.1"])


# -- the plan


@pytest.mark.parametrize(
    ("line", "stages"),
    [
        (BOTH, [("here", "input"), ("there", "remote"), ("here", "output")]),
        ("-i { a }", [("here", "input"), ("there", "remote")]),
        ("-o { b }", [("there", "remote"), ("here", "output")]),
    ],
)
def test_the_stages_of_a_plan(line: str, stages: list[tuple[str, str]]) -> None:
    plan = command.make_plan(parsed(line))
    names = [name for _end, name in stages]
    assert [(plan.stage(name)["end"], name) for name in names] == stages
    assert [link["id"] for link in plan.links] == [f"{one} \u2192 {two}" for one, two in zip(names, names[1:])]
    assert sum(len(end["stages"]) for end in plan.ends.values()) == len(stages)
    assert all(len(link["secret"]) == 64 for link in plan.links)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        (BOTH, {"connect_timeout": 30, "dead_peer": 120, "rate_limit": 0, "stall_timeout": 0, "full_reads": None}),
        (f"{BOTH} -t 7 --dead-peer 8 --rate-limit 9 --stall-timeout 10 --live", {"connect_timeout": 7, "dead_peer": 8}),
        (
            f"{BOTH} --rate-limit 9 --stall-timeout 10 --live",
            {"rate_limit": 9, "stall_timeout": 10, "full_reads": False},
        ),
        (f"{BOTH} --full-reads --congestion-control reno", {"full_reads": True, "congestion_control": "reno"}),
        (f"{BOTH} --full-reads --live --ports 5-6", {"full_reads": True, "ports": [5, 6]}),
    ],
)
def test_the_options_of_a_plan(line: str, options: dict[str, Any]) -> None:
    found: Any = command.make_plan(parsed(line)).options
    assert {name: found[name] for name in options} == options


YEARS = 10 * 365 * 86400.0


@pytest.mark.parametrize(
    ("line", "terminal", "output", "sample", "timeouts"),
    [
        (BOTH, False, False, 0.0, (YEARS, 30)),
        (BOTH, True, False, 1.0, (YEARS, 30)),
        (BOTH, True, True, 0.0, (YEARS, 30)),
        ("-i { a }", True, True, 1.0, (YEARS, 30)),
        (f"{BOTH} -q -t 7", True, False, 0.0, (7, 7)),
    ],
)
def test_when_the_progress_is_shown(
    monkeypatch: pytest.MonkeyPatch, line: str, terminal: bool, output: bool, sample: float, timeouts: tuple[float, int]
) -> None:
    """Not where the output command may write to the same terminal. The login has time, if it has no limit."""
    monkeypatch.setattr(command, "at_terminal", lambda: terminal)
    fake = SimpleNamespace(**{**vars(os), "isatty": lambda fd: fd == 1 and output})
    monkeypatch.setattr(command, "os", fake)
    plan = command.make_plan(parsed(line))
    assert (plan.ends[HERE]["sample"], plan.ends[THERE]["sample"]) == (sample, 0.0)
    assert (plan.ends[HERE]["connect_timeout"], plan.ends[THERE]["connect_timeout"]) == timeouts


@pytest.mark.parametrize(
    ("line", "listens", "dial"),
    [
        (BOTH, HERE, {(THERE, HERE): (["192.0.2.1", "127.0.0.1"], True)}),
        (f"{BOTH} -h a,b", HERE, {(THERE, HERE): (["a", "b"], False)}),
        (f"{BOTH} -h a --listen remote", THERE, {(HERE, THERE): (["a"], False)}),
    ],
)
def test_who_dials_whom(line: str, listens: str, dial: Any) -> None:
    plan = command.make_plan(parsed(line))
    assert [name for name, end in plan.ends.items() if end["listen"]] == [listens]
    assert {key: (place["addresses"], place["ssh_client"]) for key, place in plan.dial.items()} == dial


@pytest.mark.parametrize(
    ("how", "encrypts", "kernel"),
    [
        ("", False, None),
        ("--encrypt", True, None),
        ("--encrypt=relay", True, None),
        ("--encrypt=kernel", False, "must"),
    ],
)
def test_how_a_plan_is_encrypted(monkeypatch: pytest.MonkeyPatch, how: str, encrypts: bool, kernel: Any) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(command.Plan, "encrypt", lambda _plan, maker: asked.append(maker))
    plan = command.make_plan(parsed(f"{BOTH} {how}"))
    assert asked == [command.make_certificate] * encrypts and plan.options.get("kernel_tls") == kernel


@pytest.mark.parametrize("obstacle", ["", DEAF, TERMINAL])
def test_a_plan_that_everybody_may_read_has_no_secrets(obstacle: str) -> None:
    """And where a terminal mixes both outputs, the errors are in the report."""
    plan = command.make_plan(parsed(), obstacle)
    assert [bool(link["secret"]) for link in plan.links] == [not obstacle] * 2
    assert ("2" in plan.stage("remote")["inherit"]) is (obstacle != TERMINAL)
    assert "2" in plan.stage("input")["inherit"]


@pytest.mark.parametrize(
    ("name", "inherit", "session"),
    [("input", {"2": 2, "0": 10}, False), ("remote", {"2": 2}, True), ("output", {"2": 2, "1": 11}, False)],
)
def test_a_command_as_a_stage(name: str, inherit: dict[str, int], session: bool) -> None:
    argv = {"input": ["a"], "remote": ["cat"], "output": ["b"]}[name]
    plain_one = {"environment": {}, "inherit": inherit, "own_session": session, "others": not session}
    wanted = {"name": name, "argv": argv, "ok_rc": [0], "early_exit": True, **plain_one}
    assert command.stage(parsed(), name) == wanted
    found = command.stage(parsed(f"{BOTH} --whole --ok-rc {name}=0,3"), name)
    assert found == {**wanted, "ok_rc": [0, 3], "early_exit": False}


@pytest.mark.parametrize(
    ("words", "how", "passed"),
    [
        (["socketpipe", "-l", "x"], "", ["-q", "-l", "x"]),
        (["socketpipe", "-l", "x"], "--encrypt=kernel", ["-q", "--encrypt=kernel", "-l", "x"]),
        (["socketpipe", "-s", "h", "1", "x"], "", ["-s", "h", "1", "x"]),
    ],
)
def test_a_socketpipe_as_a_stage(
    monkeypatch: pytest.MonkeyPatch, words: list[str], how: str, passed: list[str]
) -> None:
    """It is sent along, quiet and encrypted as this one is."""
    told: list[Any] = []
    monkeypatch.setattr(bootstrap, "sources", lambda names: names)
    monkeypatch.setattr(bootstrap, "program", lambda sources: sources)
    monkeypatch.setattr(bootstrap, "stream", lambda *words: noted(told, words, b""))
    options = parsed(f"{BOTH} {how}")
    options.remote = words
    found = command.stage(options, "remote")
    assert found["launcher"] == [None, "-IS", "-c", PROGRAM_START, "socketpipe"]
    assert told == [(bootstrap.end_modules(bootstrap.OF_COMMAND) + bootstrap.COMMAND_MODULES, passed)]
    assert found["program"] == bootstrap.as_text(b"")


# -- a run


class Login:
    """The launches of a run, as far as a beat and an attempt look at them."""

    def __init__(self, **facts: Any) -> None:
        self.pid, self.ready, self.begun = 0, False, False
        self.secrets: dict[str, str] = {}
        self.silent, self.obstacle, self.in_words, self.hope = "", "", False, ""
        self.learnt: list[Any] = []
        self.__dict__.update(facts)

    def hopeless(self, now: float, timeout: int) -> str:
        assert timeout == 9 and now > 0
        return self.hope

    def learn(self, secrets: Any) -> None:
        self.learnt.append(secrets)


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a run does with signals."""
    found: list[Any] = []
    monkeypatch.setattr(command, "catch", found.append)
    fake = SimpleNamespace(set_wakeup_fd=found.append)
    monkeypatch.setattr(command, "signal", fake)
    return found


def running(here: Login, login: Login) -> CommandRun:
    run = CommandRun(cast(Any, here), cast(Any, login), lambda sample: None, 9)
    for fd in (run.wake_out, run.wake_in):
        os.close(fd)
    return run


def test_a_signal_ends_a_run(caught: list[Any]) -> None:
    run = running(Login(), Login())
    assert caught == [run.wake_in, run.signalled] and list(run.launches) == [THERE, HERE]
    assert (run.signal, run.give_up_at) == (0, float("inf"))
    run.signalled(signal.SIGTERM, None)
    first = run.give_up_at
    run.signalled(signal.SIGHUP, None)
    assert run.signal == signal.SIGTERM and run.give_up_at == first < float("inf")


@pytest.mark.parametrize(
    ("here", "login", "ends"),
    [
        ({}, {}, False),
        ({}, {"hope": "none"}, True),
        ({}, {"silent": "it was"}, True),
        ({}, {"obstacle": DEAF}, True),
        ({}, {"obstacle": DEAF, "in_words": True}, False),
        ({}, {"in_words": True}, False),
    ],
)
def test_a_login_that_starts_no_end_ends_a_run(caught: list[Any], here: Any, login: Any, ends: bool) -> None:
    made = Login(**login)
    run = running(Login(**here), made)
    run.beat()
    assert (run.give_up_at < float("inf")) is ends
    assert made.silent == login.get("silent", login.get("hope", ""))
    run.give_up_at = 1.0
    run.beat()
    assert run.give_up_at == 1.0


@pytest.mark.parametrize(
    ("here", "secrets", "learns"),
    [({}, {"a": "b"}, True), ({}, {}, False), ({"pid": 5}, {"a": "b"}, False), ({"ready": True}, {"a": "b"}, False)],
)
def test_the_end_on_this_host_learns_the_secrets(caught: list[Any], here: Any, secrets: Any, learns: bool) -> None:
    made = Login(**here)
    running(made, Login(secrets=secrets)).beat()
    assert made.learnt == [secrets] * learns


@pytest.mark.parametrize(
    ("facts", "line", "obstacles"),
    [
        ({}, BOTH, [""]),
        ({"obstacle": DEAF}, BOTH, ["", DEAF]),
        ({"obstacle": DEAF, "begun": True}, BOTH, [""]),
        ({"obstacle": DEAF}, f"{BOTH} --encrypt=kernel", ["", DEAF]),
        ({"obstacle": DEAF}, f"{BOTH} --encrypt", NotMade),
        ({"obstacle": DEAF, "signal": 15}, BOTH, [""]),
    ],
)
def test_a_login_whose_input_goes_nowhere_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, facts: Any, line: str, obstacles: Any
) -> None:
    """In words, which everybody on the host can read: so not with keys in them."""
    tried: list[Any] = []

    class Plan:
        def for_end(self, name: str) -> str:
            return name

    def login(told: str, words: list[str], python: str, batch: bool, obstacle: str) -> Any:
        assert (told, words, python, batch) == (THERE, ["ssh", "h1"], "python3", False)
        tried.append(obstacle)
        return Login(**{name: value for name, value in facts.items() if name != "signal"})

    def run(here: Any, _login: Any, on_sample: Any, timeout: int) -> Any:
        assert (here, on_sample, timeout) == (HERE, "feed", 0)
        outcomes = {THERE: "that", HERE: "this"}
        return SimpleNamespace(outcomes=lambda: outcomes, signal=facts.get("signal", 0))

    monkeypatch.setattr(command, "make_plan", lambda _options, obstacle: Plan())
    monkeypatch.setattr(command, "LoginLaunch", login)
    monkeypatch.setattr(command, "ForkLaunch", lambda told, _login: told)
    monkeypatch.setattr(command, "CommandRun", run)
    meter: Any = SimpleNamespace(feed="feed")
    if obstacles is NotMade:
        with pytest.raises(NotMade) as caught:
            command.attempt(parsed(line), meter)
        assert str(caught.value) == "the login command cannot carry the keys: " + OBSTACLES[DEAF]
        return
    plan, made, outcomes = command.attempt(parsed(line), meter)
    assert tried == obstacles and list(outcomes.items()) == [(HERE, "this"), (THERE, "that")]
    assert isinstance(plan, Plan) and cast(Any, made).signal == facts.get("signal", 0)


# -- the outcome


FAILED = {"stage": "output", "rc": 5, "msg": "output failed"}


@pytest.mark.parametrize(
    ("ok", "cause", "status"),
    [
        (True, None, 0),
        (True, FAILED, 0),
        (False, FAILED, 5),
        (False, {**FAILED, "rc": -9}, 137),
        (False, {**FAILED, "rc": 0}, 2),
        (False, {**FAILED, "rc": None}, 2),
        (False, {**FAILED, "stage": "input"}, 2),
        (False, {"msg": "no connection"}, 2),
        (False, None, 2),
    ],
)
def test_the_status_is_that_of_the_last_command(ok: bool, cause: Any, status: int) -> None:
    assert command.exit_status(cast(Any, SimpleNamespace(ok=ok, cause=cause)), "output") == status


@pytest.mark.parametrize("status", [0, 7])
def test_stats_are_a_line_of_json(tmp_path: Path, capfd: pytest.CaptureFixture[str], status: int) -> None:
    assert command.write_stats("", {"a": "\u00e9"}, status) == status
    assert capfd.readouterr() == ("", '{"a": "\\u00e9"}\n')
    assert command.write_stats(f"{tmp_path}/stats", {"a": 1}, status) == status
    assert (tmp_path / "stats").read_text() == '{"a": 1}\n'
    assert command.write_stats(f"{tmp_path}/none/stats", {}, status) == (status or 2)
    assert capfd.readouterr().err == f"socketpipe: --stats: {tmp_path}/none/stats: No such file or directory\n"


class Outcome:
    """A run that is over; ``did`` is what was said, and what the meter and the signals did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
        self.did: list[Any] = []
        self.facts = {"ok": True, "cause": None, "signal": 0, "left": [], "error": None, **facts}
        shaped = {"left_running": self.facts["left"], "changed": True, "bytes": 6}
        monkeypatch.setattr(command, "keep_out_of_dumps", lambda: self.did.append("no dumps"))
        monkeypatch.setattr(command, "Meter", lambda *_words: SimpleNamespace(clear=lambda: self.did.append("clear")))
        monkeypatch.setattr(command, "attempt", self.attempt)
        monkeypatch.setattr(command, "say", lambda text, status=0: noted(self.did, text, status))
        monkeypatch.setattr(command, "die", lambda number: 1000 + number)
        monkeypatch.setattr(verdict, "Verdict", self.verdict)
        monkeypatch.setattr(result, "shape", lambda *words: self.shape(words, shaped))

    def attempt(self, options: Any, meter: Any) -> Any:
        if self.facts["error"]:
            fail(self.facts["error"])
        return "plan", SimpleNamespace(signal=self.facts["signal"]), "outcomes"

    def verdict(self, plan: str, outcomes: str, names: dict[str, str], advice: Any) -> Any:
        assert (plan, outcomes, advice) == ("plan", "outcomes", command.ADVICE)
        assert names == {HERE: "this host", THERE: "the far side (ssh h1)"}
        self.made = SimpleNamespace(ok=self.facts["ok"], cause=self.facts["cause"])
        return self.made

    def shape(self, words: Any, shaped: dict[str, Any]) -> dict[str, Any]:
        plan, names, judged, elapsed = words
        assert (plan, names[HERE], judged) == ("plan", "this host", self.made) and 0 <= elapsed < 1000
        return shaped


INTERRUPTED = "interrupted: socketpipe was stopped by SIGTERM"


@pytest.mark.parametrize(
    ("line", "facts", "status", "said", "stats"),
    [
        (BOTH, {}, 0, [], {"ok": True, "exit_status": 0, "msg": "ok"}),
        (BOTH, {"left": ["h1: 5 sh"]}, 0, ["left running on h1: 5 sh"], {"ok": True, "exit_status": 0, "msg": "ok"}),
        (BOTH, {"cause": FAILED}, 0, ["output failed"], {"ok": True, "exit_status": 0, "msg": "output failed"}),
        (
            BOTH,
            {"ok": False, "cause": FAILED},
            5,
            ["output failed"],
            {"ok": False, "exit_status": 5, "msg": "output failed"},
        ),
        (
            "-i { a }",
            {"ok": False, "cause": {**FAILED, "stage": "remote"}},
            5,
            ["output failed"],
            {"ok": False, "exit_status": 5, "msg": "output failed"},
        ),
        (BOTH, {"ok": False}, 2, ["ok"], {"ok": False, "exit_status": 2, "msg": "ok"}),
        (BOTH, {"signal": 15}, 1015, [INTERRUPTED], {"ok": False, "exit_status": 143, "msg": INTERRUPTED}),
    ],
)
def test_what_is_said_of_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, facts: Any, status: int, said: list[str], stats: Any
) -> None:
    outcome = Outcome(monkeypatch, **facts)
    assert command.run(parsed(line)) == status
    assert outcome.did == ["clear", *said]
    assert command.run(parsed(f"{line} --stats={tmp_path}/stats")) == status
    assert json.loads((tmp_path / "stats").read_text()) == {"left_running": facts.get("left", []), "bytes": 6, **stats}


def test_a_run_that_is_not_encrypted_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome(monkeypatch, error=NotMade("there is no openssl"))
    assert command.run(parsed(f"{BOTH} --encrypt")) == 2
    assert outcome.did == ["no dumps", "--encrypt: there is no openssl"]


# -- the whole


@pytest.mark.parametrize(
    ("line", "ran"),
    [
        (f"{NEEDED} {BOTH}", "run"),
        (f"{NEEDED} {BOTH} --plain", "drive"),
        ("-s h 1", ["h", "1"]),
    ],
)
def test_which_program_it_is(monkeypatch: pytest.MonkeyPatch, line: str, ran: Any) -> None:
    """With a place for each standard stream, and children that leave their exit status."""
    did: list[Any] = []
    fake = SimpleNamespace(SIGCHLD=signal.SIGCHLD, SIG_DFL=signal.SIG_DFL, signal=lambda *words: did.append(words))
    monkeypatch.setattr(command, "signal", fake)
    monkeypatch.setattr(command, "hold_places", lambda: did.append("places"))
    monkeypatch.setattr(command, "serve", lambda words: noted(did, words, 7))
    monkeypatch.setattr(command, "run", lambda options: noted(did, "run", 7))
    monkeypatch.setattr(plain, "drive", lambda options: noted(did, "drive", 7))
    assert command.main(line.split()) == 7
    first = [] if line.startswith("-s") else ["places", (signal.SIGCHLD, signal.SIG_DFL)]
    assert did == [*first, ran]


@pytest.mark.parametrize(("error", "text"), [(OSError(24, "Too many"), "Too many"), (OSError("words"), "words")])
def test_a_host_without_resources(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: OSError, text: str
) -> None:
    def run(_options: Any) -> int:
        raise error

    monkeypatch.setattr(command, "run", run)
    assert command.main(f"{NEEDED} {BOTH}".split()) == 2
    assert capfd.readouterr().err == f"socketpipe: this host has run out of resources: {text} (see ulimit -a)\n"
