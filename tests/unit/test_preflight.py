# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall check: what worked in which direction, and how the rest failed; no stage runs."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.dialler import Attempt
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.handshake import PARKED
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import FIN
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.preflight import Preflight
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import CHECKED, Plan
from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends, make_plan, sh

Launch = Callable[..., Ends]


def plan_for(tmp_path: Path, silent: str = "", names: str = "aba", **options: Any) -> Plan:
    """input, remote, output on these ends; ``silent`` does not listen."""
    touch = "touch %s/started; cat" % tmp_path
    stages = [(end, sh(name, touch)) for end, name in zip(names, ("input", "remote", "output", "more"))]
    plan = make_plan(*stages, **{"preflight": True, "connect_timeout": 20, **options})
    if silent:
        plan.ends[silent]["listen"] = False
    return plan


def outcomes(ends: Ends, name: str) -> dict[tuple[str, int], str]:
    """{(whom, port): outcome} of what an end dialled."""
    report = ends.report(name)
    assert report["preflight"] is True
    return {(entry["end"], entry["port"]): sentences.outcome(entry) for entry in report["connect"]["dialled"]}


def nothing_ran(ends: Ends, tmp_path: Path) -> None:
    assert not (tmp_path / "started").exists()
    for name in ends.names:
        assert "stages" not in ends.report(name) and not ends.errors[name]
    ends.gone()


def test_both_directions(launch: Launch, tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    began = time.monotonic()
    ends = launch(plan).wait()
    for name, other in (("a", "b"), ("b", "a")):
        assert outcomes(ends, name) == {(other, port): "ok" for port in plan.ends[other]["ports"]}
        assert ends.report(name)["connect"]["listening"] == sorted(plan.ends[name]["ports"])
        assert len(plan.ends[name]["ports"]) == CHECKED and ends.report(name)["connect"]["strangers"] == 0
    assert time.monotonic() - began < 15  # long before the deadline
    nothing_ran(ends, tmp_path)


@pytest.mark.parametrize("silent", ["a", "b"])
def test_only_one_listens(launch: Launch, tmp_path: Path, silent: str) -> None:
    other = "b" if silent == "a" else "a"
    plan = plan_for(tmp_path, silent)
    ends = launch(plan).wait()
    assert outcomes(ends, other) == {}
    assert outcomes(ends, silent) == {(other, port): "ok" for port in plan.ends[other]["ports"]}
    assert ends.report(silent)["connect"]["listening"] == []
    nothing_ran(ends, tmp_path)


def test_all_given_ports_are_checked(launch: Launch, tmp_path: Path) -> None:
    ports = [28100, 28101, 28102, 28103, 28104]
    plan = plan_for(tmp_path, "b", ports=ports)
    ends = launch(plan).wait()
    assert outcomes(ends, "b") == {("a", port): "ok" for port in ports}


def test_a_closed_port(launch: Launch, tmp_path: Path) -> None:
    """One of the two is not listened on: as if a firewall rejected it."""
    plan = plan_for(tmp_path)
    good, closed = plan.ends["b"]["ports"]

    def told(spec: dict[str, Any]) -> None:
        if spec["end"] == "b":
            spec["ports"] = [good]

    ends = launch(plan, told=told).wait()
    assert outcomes(ends, "a") == {("b", good): "ok", ("b", closed): "refused"}
    assert set(outcomes(ends, "b").values()) == {"ok"}
    nothing_ran(ends, tmp_path)


def test_one_direction_is_closed(launch: Launch, tmp_path: Path) -> None:
    """b listens on other ports than a thinks: nothing of a gets through, b reaches a."""

    def told(spec: dict[str, Any]) -> None:
        if spec["end"] == "b":
            spec["ports"] = [28200, 28201]

    plan = plan_for(tmp_path)
    ends = launch(plan, told=told).wait()
    assert set(outcomes(ends, "a").values()) == {"refused"}
    assert set(outcomes(ends, "b").values()) == {"ok"}
    nothing_ran(ends, tmp_path)


def test_nothing_is_open(launch: Launch, tmp_path: Path) -> None:
    def told(spec: dict[str, Any]) -> None:
        spec["ports"] = [28300 + ord(spec["end"])]

    ends = launch(plan_for(tmp_path, connect_timeout=1.5), told=told).wait()
    for name in "ab":
        assert set(outcomes(ends, name).values()) == {"refused"}
    nothing_ran(ends, tmp_path)


def test_one_end_is_missing(launch: Launch, tmp_path: Path) -> None:
    """The other reports what it has tried, at the deadline."""
    ends = launch(plan_for(tmp_path, connect_timeout=1.5), only=["a"])
    began = time.monotonic()
    ends.wait()
    assert time.monotonic() - began > 1
    assert set(outcomes(ends, "a").values()) == {"refused"}
    assert len(ends.report("a")["connect"]["listening"]) == CHECKED
    nothing_ran(ends, tmp_path)


def test_one_end_is_late(launch: Launch, tmp_path: Path) -> None:
    """What was refused before the other listened is tried again, for its last word."""
    plan = plan_for(tmp_path)
    first = launch(plan, only=["a"])
    time.sleep(1.5)
    second = launch(plan, only=["b"])
    assert set(outcomes(first.wait(), "a").values()) == {"ok"}
    assert set(outcomes(second.wait(), "b").values()) == {"ok"}


def test_a_dead_address_beside_a_good_one(launch: Launch, tmp_path: Path) -> None:
    plan = plan_for(tmp_path, "a")
    plan.reach("a", "b", ["127.0.0.1", "192.0.2.1"])
    ends = launch(plan, patience={"dial": 1.0}).wait()
    found = {(entry["address"], entry["outcome"] == "ok") for entry in ends.report("a")["connect"]["dialled"]}
    assert found == {("127.0.0.1", True), ("192.0.2.1", False)}
    nothing_ran(ends, tmp_path)


def test_a_port_that_somebody_else_has(launch: Launch, tmp_path: Path) -> None:
    """It connects, but not to us: that is not ok, and says what happened."""
    plan = plan_for(tmp_path, "a")
    foreign = socket.create_server(("", plan.ends["b"]["ports"][0]))
    with foreign:
        ends = launch(plan, patience={"handshake": 1.0}).wait()
    taken, good = plan.ends["b"]["ports"]
    found = outcomes(ends, "a")
    assert found[("b", good)] == "ok"
    assert found[("b", taken)].startswith("connected, then said nothing")
    assert ends.report("b")["connect"]["taken"] == [{"port": taken, "error": "Address already in use"}]
    nothing_ran(ends, tmp_path)


def test_different_secrets(launch: Launch, tmp_path: Path) -> None:
    def told(spec: dict[str, Any]) -> None:
        if spec["end"] == "b":
            for link in spec["links"]:
                link["secret"] = "00" * 32

    ends = launch(plan_for(tmp_path, "a", connect_timeout=4), told=told).wait()
    told_of = outcomes(ends, "a").values()  # the last attempt may have been cut off by the end of the time
    assert any("wrong listener proof" in outcome for outcome in told_of) and "ok" not in told_of


def test_three_hosts(launch: Launch, tmp_path: Path) -> None:
    plan = plan_for(tmp_path, names="abc")
    for one, other in (("a", "c"), ("c", "a")):  # they share no link
        plan.dial.pop((one, other))
    ends = launch(plan).wait()
    assert set(outcomes(ends, "b").values()) == {"ok"} and len(outcomes(ends, "b")) == 2 * CHECKED
    assert {key[0] for name in "ac" for key in outcomes(ends, name)} == {"b"}
    nothing_ran(ends, tmp_path)


def test_the_third_host_is_late(launch: Launch, tmp_path: Path) -> None:
    """The one in the middle, which only listens, waits for both of its neighbours."""
    plan = plan_for(tmp_path, names="abc")
    for one, other in (("a", "c"), ("c", "a"), ("b", "a"), ("b", "c")):
        plan.dial.pop((one, other))
    first = launch(plan, only=["a", "b"])
    time.sleep(1.5)
    second = launch(plan, only=["c"])
    assert set(outcomes(second.wait(), "c").values()) == {"ok"}
    assert set(outcomes(first.wait(), "a").values()) == {"ok"}


def test_nobody_to_meet(launch: Launch, tmp_path: Path) -> None:
    """All stages are on one host."""
    plan = plan_for(tmp_path, silent="a", names="aaa", connect_timeout=300)
    assert outcomes(launch(plan).wait(), "a") == {}


def test_a_command_that_is_not_there_is_found(launch: Launch, tmp_path: Path) -> None:
    plan = plan_for(tmp_path, connect_timeout=0.5)
    plan.stage("remote")["argv"] = ["no-such-command"]
    ends = launch(plan).wait()
    assert ends.cause()["kind"] == "refused" and ends.cause()["stage"] == "remote"


def test_what_would_skip_does_not_skip(launch: Launch, tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    plan.stage("remote")["creates"] = "/"
    ends = launch(plan).wait()
    assert set(outcomes(ends, "a").values()) == {"ok"} and not ends.verdict().skipped


# -- without a connection


@pytest.fixture
def preflight(tmp_path: Path) -> Iterator[Preflight]:
    """That of an end that dials two ports of another one, by a clock of the test's own."""
    made = Preflight(plan_for(tmp_path, names="abb").for_end("a"))
    assert len(made.attempts) == CHECKED == 2
    yield made
    made.close()


def test_each_direction_is_checked_once(tmp_path: Path) -> None:
    """There are two links from a to b, and one back."""
    plan = plan_for(tmp_path, names="abab")
    made = Preflight(plan.for_end("a"))
    made.close()
    assert len(made.attempts) == 2 * CHECKED and made.others == {"b"} and len(plan.links) == 3


def test_attempts_become_rarer(preflight: Preflight) -> None:
    """As long as the other end may not be up; there is nothing to dial here."""
    preflight.attempts, now, waits = [], 100.0, []
    for _attempt in range(9):
        preflight.dial_all(now)
        waits.append(round(preflight.retry_at - now, 4))
        preflight.dial_all(preflight.retry_at - 0.01)
        now = preflight.retry_at
    assert waits == [0.25, 0.3125, 0.3906, 0.4883, 0.6104, 0.7629, 0.9537, 1.0, 1.0]


MET = 100.0  # when the other end was met, if it was


@pytest.mark.parametrize(
    ("state", "final", "dialled"),
    [
        ({}, False, True),
        ({"outcome": "ok"}, False, False),
        ({"outcome": "refused"}, False, True),
        ({"sock": True, "started": MET}, False, False),
        ({"talk": True}, False, False),
        ({"lossy": True}, True, False),
        ({"met": True, "started": MET}, False, True),
        ({"met": True, "started": MET + 1}, True, False),
        ({"met": True, "started": MET + 1, "sock": True}, False, False),
        ({"met": True, "started": MET + 1, "talk": True}, False, False),
    ],
)
def test_what_is_dialled_again(
    preflight: Preflight, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], final: bool, dialled: bool
) -> None:
    """What has no answer; and once more after the first contact with that end."""
    preflight.met_at = {"b": MET} if state.pop("met", False) else {}
    attempt, other = preflight.attempts
    other.lossy = True
    attempt.__dict__.update(state)
    attempt.sock = socket.socket() if state.get("sock") else None
    started: list[Attempt] = []

    def start(attempt: Attempt) -> None:
        started.append(attempt)

    monkeypatch.setattr(Attempt, "start", start)
    assert preflight.is_final(attempt) is final
    assert preflight.done() is (final or state.get("outcome") == "ok")
    preflight.dial_all(MET)
    assert started == [attempt] * dialled


def test_an_attempt_that_the_kernel_refuses_is_over(preflight: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(attempt: Attempt) -> None:
        attempt.sock = socket.socket()
        raise OSError(errno.ENETUNREACH, "no route")

    monkeypatch.setattr(Attempt, "start", start)
    preflight.dial_all(MET)
    assert [(attempt.outcome, attempt.sock) for attempt in preflight.attempts] == [("no route", None)] * 2


def test_an_attempt_without_an_answer_is_given_up(preflight: Preflight) -> None:
    """And dialled again only when it is time for that."""
    preflight.retry_at = 1000.0
    preflight.patience.dial = 4.0
    attempt = preflight.attempts[0]
    attempt.started, attempt.sock = MET, socket.socket()
    preflight.dial_all(MET + 4.0)
    assert attempt.sock is not None
    preflight.dial_all(MET + 4.5)
    assert attempt.sock is None


def test_of_two_outcomes_that_count_the_bad_one_is_told(preflight: Preflight) -> None:
    good, bad = preflight.attempts
    good.end_as("ok")
    bad.end_as("refused")
    assert preflight.last_word(good, bad) is preflight.last_word(bad, good) is bad


class Talk:
    """A connection."""

    def __init__(self, attempt: Attempt | None = None, known: bool = False, done: bool = False) -> None:
        self.attempt, self.known, self.done, self.link = attempt, known, done, "input \u2192 remote"
        self.sock = socket.socketpair()[0]
        self.phase = ""

    def wanted(self) -> int:
        return select.POLLOUT


@pytest.mark.parametrize(
    ("dialled", "known", "done", "over"),
    [
        (False, False, False, True),  # a stranger
        (True, False, False, False),
        (False, True, False, False),
        (True, True, True, True),
    ],
)
def test_it_goes_on_while_somebody_talks(
    preflight: Preflight, dialled: bool, known: bool, done: bool, over: bool
) -> None:
    for attempt in preflight.attempts:
        attempt.end_as("ok")
    talk: Any = Talk(preflight.attempts[0] if dialled else None, known, done)
    preflight.connections = [talk]
    assert preflight.done() is over
    assert preflight.proved() == [talk] * done


def test_the_first_contact_is_noted(preflight: Preflight) -> None:
    """Then all is dialled at once, and often again; and what came through is ok."""
    stranger: Any = Talk()
    known: Any = Talk(preflight.attempts[0], known=True)
    done: Any = Talk(preflight.attempts[1], known=True, done=True)
    preflight.connections, preflight.pause, preflight.retry_at = [stranger], 1.0, 200.0
    preflight.note_known(MET)
    assert preflight.met_at == {} and preflight.retry_at == 200.0
    preflight.connections = [stranger, known]
    preflight.note_known(MET)
    assert (preflight.met_at, preflight.retry_at, preflight.pause) == ({"b": MET}, MET, 0.25)
    assert [attempt.outcome for attempt in preflight.attempts] == ["not tried"] * 2
    preflight.connections, preflight.retry_at = [known, done], 200.0
    preflight.note_known(MET + 1)
    assert (preflight.met_at, preflight.retry_at) == ({"b": MET}, 200.0)
    assert [attempt.outcome for attempt in preflight.attempts] == ["not tried", "ok"]


def test_goodbye_is_said_once_and_waited_for(preflight: Preflight) -> None:
    """The other end may say it first."""
    done: Any = Talk(done=True, known=True)
    pending: Any = Talk(known=True)
    preflight.connections = [done, pending]
    assert preflight.fds() == {done.sock.fileno(): select.POLLIN | FIN, pending.sock.fileno(): select.POLLOUT}
    for _again in range(2):
        preflight.say_goodbye()
        assert preflight.told == [done]
    with pytest.raises(BrokenPipeError):
        done.sock.send(b"x")
    preflight._talk(done, lambda: None)
    assert preflight.over == [done] and preflight.fds() == {pending.sock.fileno(): select.POLLOUT}
    done.sock.close()
    preflight.told = []
    preflight.say_goodbye()
    assert preflight.told == [done], "that it is gone is no error"


def test_each_connection_that_is_proved_gets_chosen(preflight: Preflight) -> None:
    did: list[str] = []
    talk: Any = Talk(known=True)
    talk.choose = lambda: did.append("chosen")
    preflight.connections = [talk]
    preflight._talk(talk, lambda: did.append("step"))
    assert did == ["step"]
    talk.phase = PARKED
    preflight._talk(talk, lambda: did.append("step"))
    assert did == ["step", "step", "chosen"]
    preflight.connections = []
    preflight._talk(talk, lambda: did.append("dropped"))
    assert did == ["step", "step", "chosen", "dropped"]
