# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule of an end alone: what it does to a stage and links that are told what to be; no process, no socket."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import link, rules
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.processes import HAS, MAY, Changed
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.rules import Rules, at_rest, holding
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import (
    ALIVE,
    DRAINING,
    ENDED,
    HELD,
    KILLED,
    RUNNING,
    SETTLED,
    STOPPING,
    TERMINATED,
    WAITING,
    Stage,
)
from ansible_collections.plumbing.socketpipe.tests.unit.test_phases import PATIENCE, PID, side, stage

NOT_STARTED: Any = {"kind": "not started", "what": "run", "name": "cat", "errno": 2, "error": "none"}


def decides(*stages: Stage, barrier: Any = None) -> Rules:
    return Rules(list(stages), PATIENCE, barrier)


def calls(made: Any, name: str, answer: Any = None) -> list[Any]:
    """The arguments of all calls of this method from now on; it does no more than answer."""
    found: list[Any] = []

    def method(*args: Any) -> Any:
        found.append(args)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    setattr(made, name, method)
    return found


def relay(phase: str = RUNNING, **more: Any) -> Any:
    """The relay of an encrypted link, as a stage."""
    made: Any = stage(phase, writes=side())
    made.relay = made
    made.ready, made.failed_early = more.get("ready", True), more.get("failed_early", False)
    return made


# -- what is asked of all stages


@pytest.mark.parametrize(
    ("counts", "unread", "found", "looks"),
    [
        ([5, 5], [3], (5, 3), 2),
        ([5, 6, 6], [3, 4], (6, 4), 3),
        ([None, None], [3], (None, 3), 2),
        (list(range(200)), list(range(200)), (100, 99), 101),  # it never rests
    ],
)
def test_bytes_received_and_unread_are_of_one_moment(
    counts: list[Any], unread: list[int], found: tuple[Any, int], looks: int
) -> None:
    seen: list[Any] = []

    def bytes_() -> Any:
        seen.append(counts.pop(0))
        return seen[-1]

    assert at_rest(cast(Any, SimpleNamespace(bytes=bytes_, unread=lambda: unread.pop(0)))) == found
    assert len(seen) == looks


@pytest.mark.parametrize(
    ("found", "pids", "sure"),
    [
        ({5: ("cat", HAS), 6: ("tee", MAY)}, [5], True),
        ({7: ("", MAY), 6: ("tee", MAY)}, [6, 7], False),
        ({}, [], False),
    ],
)
def test_who_holds_a_link(found: dict[int, tuple[str, str]], pids: list[int], sure: bool) -> None:
    told = holding(found)
    assert told == {"kind": "held", "processes": [{"pid": pid, "name": found[pid][0]} for pid in pids], "sure": sure}


@pytest.mark.parametrize(
    ("problem", "status", "failed"),
    [(None, 0, False), (None, 0x300, True), (None, None, True), ({"kind": "held"}, 0, True), (None, 9, True)],
)
def test_what_is_a_failure(problem: Any, status: int | None, failed: bool) -> None:
    """Relays have none of their own: that of their link is another's."""
    other, bad = stage(ENDED), stage(SETTLED)
    bad.problem, bad.status = problem, status
    assert decides(other, bad).failed() is failed
    broken = relay(SETTLED)
    broken.problem, broken.status = problem, status
    assert not decides(other, broken).failed()
    stopped = decides(other)
    stopped.cancelled = {"kind": "guard"}
    assert stopped.failed() is True


@pytest.mark.parametrize("ready", [[], [True], [True, False]])
@pytest.mark.parametrize("passed", [None, True, False])
def test_no_stage_starts_before_all_links_are_ready(ready: list[bool], passed: bool | None) -> None:
    """Encrypted, and those of the other ends of a plan that has a barrier."""
    barrier = None if passed is None else SimpleNamespace(passed=passed, failed=False)
    made = decides(stage(WAITING), *(relay(ready=each) for each in ready), barrier=barrier)
    assert made.sealed() is all(ready)
    assert made.waiting() is (False in ready or passed is False)


def test_the_other_stages_have_their_own_links() -> None:
    first, second, third = stage(RUNNING), stage(RUNNING), stage(WAITING)
    second.pid = PID + 1
    assert decides(first, second, third).others(first) == {PID + 1}
    assert decides(first, second, third).others(third) == {PID, PID + 1}


# -- the start


@pytest.mark.parametrize(
    ("waiting", "turn", "readable", "starts"),
    [
        (False, True, [True, True], True),
        (False, True, [True, False], False),
        (True, True, [True, True], False),
        (False, False, [True, True], False),
    ],
)
def test_a_stage_starts_with_its_input(waiting: bool, turn: bool, readable: list[bool], starts: bool) -> None:
    made: Any = stage(WAITING)
    made.ins = [side(writer=False, readable=lambda each=each: each) for each in readable]
    made.waits = not turn
    looks, reads = [calls(each, "look") for each in made.ins], [calls(each, "start_reading") for each in made.ins]
    begun = calls(made, "start")
    barrier = SimpleNamespace(passed=not waiting, failed=False)
    decides(made, barrier=barrier).begin(made, 0.0)
    assert (looks, reads) == ([[()]] * 2, [[()] if starts else []] * 2)
    assert begun == ([()] if starts else []) and made.phase == WAITING


def test_a_relay_starts_before_all_links_are_ready() -> None:
    made = relay(WAITING, ready=False)
    begun = calls(made, "start")
    decides(made).begin(made, 0.0)
    assert begun == [()]


@pytest.mark.parametrize("why", ["a link", "cancelled", "a relay", "the barrier"])
def test_a_stage_that_will_never_start_breaks_its_links(why: str) -> None:
    reads, writes = side(link.RESET if why == "a link" else link.EOF, writer=False), side()
    reads.readable = lambda: True
    made: Any = stage(WAITING, reads=reads, writes=writes)
    begun = calls(made, "start")
    barrier = SimpleNamespace(passed=False, failed=True) if why == "the barrier" else None
    all_of_them = decides(made, relay(failed_early=why == "a relay"), barrier=barrier)
    all_of_them.cancelled = {"kind": "guard"} if why == "cancelled" else None
    all_of_them.begin(made, 0.0)
    assert (made.phase, made.problem, begun) == (SETTLED, None, [])
    assert made.blame == (["link"] if why == "a link" else []) and writes.state == link.ABORTED


@pytest.mark.parametrize(
    ("error", "number", "text"),
    [
        (NotStarted(7, "why"), 7, "why"),
        (OSError(24, "Too many open files"), 24, "Too many open files"),
        (OSError("no number"), 0, "no number"),
    ],
)
def test_a_stage_that_cannot_be_started(error: OSError, number: int, text: str) -> None:
    reads, writes = side(link.EOF, writer=False, readable=lambda: True, start_reading=lambda: None), side()
    made: Any = stage(WAITING, reads=reads, writes=writes)
    calls(made, "start", error)
    decides(made).begin(made, 0.0)
    assert made.problem == NotStarted(number, text).problem
    assert (made.phase, reads.state, writes.state) == (SETTLED, link.ABORTED, link.ABORTED)


# -- while it runs


def test_a_relay_whose_link_is_broken_gives_up() -> None:
    made = relay()
    made.outs[0].state = link.RESET
    given_up, aborted = calls(made, "give_up"), calls(made, "abort_outputs")
    decides(made).supervise(made, 1.0)
    assert (given_up, aborted, made.phase, made.until) == ([()], [], STOPPING, 1.0 + PATIENCE.reset)


@pytest.mark.parametrize("broken", ["input", "output", "nothing"])
def test_only_a_broken_input_breaks_the_outputs(broken: str) -> None:
    """A stage may go on without an output; whether it did well is for later."""
    reads = side(link.RESET if broken == "input" else link.OPEN, writer=False)
    lost, other = side(link.RESET if broken == "output" else link.OPEN), side()
    made = stage(RUNNING, reads=reads, writes=lost)
    made.outs.append(other)
    made.fds[2] = other
    decides(made).supervise(made, 1.0)
    assert other.state == (link.ABORTED if broken == "input" else link.OPEN)
    assert made.phase == (RUNNING if broken == "nothing" else STOPPING)


@pytest.mark.parametrize("phase", ALIVE)
@pytest.mark.parametrize("busy", [False, True])
def test_who_sleeps_in_a_broken_link_gets_sigterm_at_once(
    phase: str, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: after that it has its time, whatever it sleeps in."""
    made = stage(phase, writes=side(link.ABORTED, busy=busy))
    made.until = 100.0
    sent: list[int] = []
    all_of_them = decides(made)
    monkeypatch.setattr(all_of_them, "signal_tree", lambda stage, number: sent.append(number))
    all_of_them.supervise(made, 1.0)
    after = {RUNNING: STOPPING, STOPPING: STOPPING, TERMINATED: TERMINATED, KILLED: KILLED}
    if busy and phase in (RUNNING, STOPPING):
        assert (made.phase, sent) == (TERMINATED, [signal.SIGTERM])
    else:
        assert (made.phase, sent) == (after[phase], [signal.SIGKILL] if phase == KILLED else [])
        assert made.until == (1.0 + PATIENCE.reset if phase == RUNNING else 100.0)


def test_who_is_not_killed_leaves_broken_links() -> None:
    made = stage(KILLED, writes=side())
    made.until = 1.0
    all_of_them: Any = decides(made)
    calls(all_of_them, "signal_tree")
    all_of_them.supervise(made, 1.0)
    assert made.problem == {"kind": "not killed", "pid": PID}
    assert (made.phase, made.outs[0].state) == (SETTLED, link.ABORTED)


def test_a_signal_is_for_all_that_a_stage_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    made, sent = stage(RUNNING), list[Any]()
    monkeypatch.setattr(rules, "descendants", lambda pid: {PID + 1: "tee"} if pid == PID else {})
    monkeypatch.setattr(rules, "kill", lambda pids, number: sent.append((sorted(pids), number)))
    all_of_them = decides(made)
    all_of_them.killed[3] = "before"
    all_of_them.signal_tree(made, signal.SIGTERM)
    assert sent == [([PID, PID + 1], signal.SIGTERM), ([PID, PID + 1], signal.SIGCONT)]
    assert all_of_them.killed == {3: "before", PID: "cat", PID + 1: "tee"}


# -- a run is stopped


@pytest.mark.parametrize("state", [link.OPEN, link.COMMITTED, link.EOF, link.DONE, link.READ, link.LEFT, link.RESET])
def test_a_stop_breaks_all_links_that_are_not_settled(state: str) -> None:
    made = stage(RUNNING, writes=side(state))
    aborted = calls(made.outs[0], "abort")
    all_of_them = decides(made)
    all_of_them.cancel({"kind": "guard"}, 1.0)
    assert aborted == ([({"kind": "cancelled"},)] if state in (link.OPEN, link.COMMITTED, link.EOF) else [])
    all_of_them.cancel({"kind": "signal", "signal": "SIGTERM"}, 2.0)
    assert all_of_them.cancelled == {"kind": "guard"} and (made.phase, made.until) == (STOPPING, 2.0)


@pytest.mark.parametrize(
    ("writer", "state", "twin"),
    [(False, link.OPEN, True), (False, link.EOF, False), (True, link.OPEN, False)],
)
def test_an_open_link_within_this_host_is_broken_at_its_writer(writer: bool, state: str, twin: bool) -> None:
    """A reader would see an end of file otherwise."""
    other = side()
    own = side(state, writer=writer, twin=other)
    made = stage(RUNNING, reads=own)
    aborted = calls(own, "abort"), calls(other, "abort")
    decides(made).cancel({"kind": "guard"}, 1.0)
    assert [len(each) for each in aborted] == ([0, 1] if twin else [1, 0])


# -- it has exited


def test_a_relay_judges_itself() -> None:
    made = relay(ENDED)
    made.status = 9
    concluded = calls(made, "conclude")
    decides(made).judge(made, 1.0)
    assert (concluded, made.problem) == ([()], None)


@pytest.mark.parametrize(("status", "name"), [(0x300, ""), (9, "SIGKILL")])
def test_a_failed_stage_breaks_its_links(status: int, name: str) -> None:
    reads, writes = side(link.EOF, writer=False), side()
    made = stage(ENDED, reads=reads, writes=writes)
    made.status = status
    decides(made).judge(made, 1.0)
    assert made.problem == {"kind": "failed", "signal": name} and made.phase == SETTLED
    assert (reads.state, writes.state) == (link.ABORTED, link.ABORTED)


@pytest.mark.parametrize("blame", [[], ["before"]])
def test_a_stage_that_did_well_on_a_broken_input(blame: list[str]) -> None:
    """It has not failed, but what it wrote is not whole."""
    reads, writes = side(link.RESET, writer=False), side()
    made = stage(ENDED, reads=reads, writes=writes)
    made.blame = blame
    decides(made).judge(made, 1.0)
    assert (made.problem, made.phase, made.blame) == (None, SETTLED, blame or ["link"])
    assert writes.state == link.ABORTED


@pytest.mark.parametrize(
    ("writes", "left_running", "committed", "phase"),
    [
        (link.OPEN, False, True, SETTLED),
        (link.OPEN, False, False, ENDED),
        (link.OPEN, True, True, HELD),
        (link.RESET, True, True, SETTLED),  # who still writes there writes to nobody
    ],
)
def test_an_output_is_committed_when_nobody_can_write_any_more(
    monkeypatch: pytest.MonkeyPatch, writes: str, left_running: bool, committed: bool, phase: str
) -> None:
    made: Any = stage(ENDED, writes=side(writes))
    monkeypatch.setattr(rules, "holders", lambda inodes, others: {5: ("cat", HAS)} if left_running else {})
    asked = calls(made, "commit", committed)
    decides(made).judge(made, 1.0)
    assert (made.phase, made.problem, len(asked)) == (phase, None, 0 if phase == HELD else 1)


@pytest.mark.parametrize(
    ("state", "unread", "early", "after", "settled"),
    [
        (link.RESET, 5, False, link.RESET, True),
        (link.ABORTED, 0, False, link.ABORTED, True),
        (link.EOF, 0, False, link.READ, True),
        (link.EOF, 0, True, link.READ, True),
        (link.EOF, 1, True, link.LEFT, True),
        (link.OPEN, 0, True, link.LEFT, True),
        (link.EOF, 1, False, link.EOF, False),
        (link.OPEN, 0, False, link.OPEN, False),
    ],
)
def test_an_input_that_has_ended_or_may_be_left(
    monkeypatch: pytest.MonkeyPatch, state: str, unread: int, early: bool, after: str, settled: bool
) -> None:
    reads = side(state, writer=False, unread=lambda: unread, bytes=lambda: 7, drain=lambda most: None)
    reads.leave = lambda: setattr(reads, "state", link.LEFT)
    looks = calls(reads, "look")
    made = stage(ENDED, reads=reads)
    made.spec["early_exit"] = early
    monkeypatch.setattr(rules, "holders", lambda inodes, others: {})
    assert decides(made).settle_reader(made, reads, 1.0) is settled
    assert (reads.state, looks, made.problem) == (after, [()], None)
    assert (made.phase, made.until) == ((ENDED, None) if settled else (DRAINING, 1.0 + PATIENCE.drain))


@pytest.mark.parametrize(
    ("at_end", "now", "state", "count", "settled", "problem"),
    [
        (True, 1.0, link.EOF, 9, True, None),
        (None, 1.0, link.OPEN, 9, False, None),
        (None, 9.0, link.OPEN, 9, True, {"consumed": 4, "unread": 5}),
        (None, 9.0, link.OPEN, None, True, {"consumed": None, "unread": 5}),
        (False, 1.0, link.OPEN, 9, True, {"consumed": 4, "unread": 7}),
        (False, 1.0, link.RESET, 9, True, None),
    ],
)
def test_what_a_stage_has_left_unread(
    monkeypatch: pytest.MonkeyPatch, at_end: Any, now: float, state: str, count: Any, settled: bool, problem: Any
) -> None:
    """It is drained at 0.0 for the first time; padding may be left, and nothing else."""
    answers: list[Any] = [None, at_end]
    reads = side(writer=False, unread=lambda: 5, bytes=lambda: count, padding=4, spilled=3)
    drained = []

    def drain(most: int) -> Any:
        drained.append(most)
        if len(drained) == 2:
            reads.state = state
        return answers.pop(0)

    reads.drain = drain
    made = stage(ENDED, reads=reads)
    made.spec["padding"] = 10
    monkeypatch.setattr(rules, "holders", lambda inodes, others: {})
    all_of_them = decides(made)
    assert all_of_them.settle_reader(made, reads, 0.0) is False
    assert (made.phase, made.until) == (DRAINING, PATIENCE.drain)
    monkeypatch.setattr(rules, "holders", lambda inodes, others: {5: ("cat", HAS)})  # not asked again
    assert all_of_them.settle_reader(made, reads, now) is settled
    assert made.problem == (problem and {"kind": "stopped reading", **problem}) and drained == [10, 10]
    assert reads.state == (link.READ if at_end is True else state)


def test_a_reader_is_not_drained_while_another_still_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = side(writer=False, unread=lambda: 5, bytes=lambda: 9)
    drained = calls(reads, "drain")
    made = stage(ENDED, reads=reads)
    monkeypatch.setattr(rules, "holders", lambda inodes, others: {5: ("cat", HAS)})
    all_of_them = decides(made)
    assert all_of_them.settle_reader(made, reads, 0.0) is False
    assert all_of_them.settle_reader(made, reads, PATIENCE.hold) is True
    assert made.problem and made.problem["kind"] == "held" and not drained


def test_processes_that_change_too_fast_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage(ENDED, writes=side())

    def holders(inodes: set[int], others: set[int]) -> dict[int, tuple[str, str]]:
        assert (inodes, others) == ({7}, set())
        raise Changed

    monkeypatch.setattr(rules, "holders", holders)
    all_of_them = decides(made)
    assert all_of_them.held(made, made.outs, 1.0) is True
    assert (made.phase, made.until) == (HELD, 1.0 + PATIENCE.hold)
    assert all_of_them.held(made, made.outs, 1.0 + PATIENCE.hold) is False
    assert made.problem == {"kind": "held", "processes": [], "sure": False}


@pytest.mark.parametrize("phase", [ENDED, HELD, DRAINING])
def test_nobody_holds_it_any_more(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    made = stage(phase, writes=side())
    made.until = 100.0
    monkeypatch.setattr(rules, "holders", lambda inodes, others: {})
    assert decides(made).held(made, made.outs, 1.0) is False
    assert (made.phase, made.until) == ((ENDED, None) if phase == HELD else (phase, 100.0))


# -- it is settled


@pytest.mark.parametrize(
    ("found", "killed", "freed"),
    [
        ({}, {}, True),
        ({5: ("cat", HAS), 6: ("tee", MAY)}, {5: "cat"}, False),
        ({6: ("tee", MAY)}, {}, False),
        (Changed(), {}, False),
    ],
)
def test_what_keeps_a_broken_link_from_being_reset_is_killed(
    monkeypatch: pytest.MonkeyPatch, found: Any, killed: dict[int, str], freed: bool
) -> None:
    stuck, other = side(link.ABORTED, busy=True), side(link.DONE, inode=8)
    made = stage(SETTLED, reads=other, writes=stuck)
    sent: list[Any] = []

    def holders(inodes: set[int], others: set[int]) -> Any:
        assert (inodes, others) == ({7}, set())
        if isinstance(found, Changed):
            raise found
        return found

    monkeypatch.setattr(rules, "holders", holders)
    monkeypatch.setattr(rules, "kill", lambda pids, number: sent.append((dict(pids), number)))
    freeing = calls(stuck, "freed")
    calls(other, "freed", AssertionError("nobody is stuck there"))
    all_of_them = decides(made)
    all_of_them.apply(made, 1.0)
    assert all_of_them.killed == killed and freeing == ([()] if freed else [])
    assert [each for each in sent if each[0]] == ([(killed, signal.SIGKILL)] if killed else [])


def test_nobody_is_looked_for_without_a_broken_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "holders", lambda inodes, others: pytest.fail("why?"))
    made = stage(SETTLED, writes=side(link.DONE))
    decides(made).apply(made, 1.0)
    assert made.phase == SETTLED
