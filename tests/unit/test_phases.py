# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases of a stage, each with its deadline: the rules alone, with a clock of the test's and no process."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import link, processes, rules
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.patience import Patience
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.rules import Rules
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import (
    ALIVE,
    DRAINING,
    ENDED,
    EXITED,
    HELD,
    KILLED,
    RUNNING,
    SETTLED,
    STOPPING,
    TERMINATED,
    WAITING,
    Stage,
)

PATIENCE = Patience({"reset": 5.0, "term": 5.0, "kill": 10.0, "hold": 5.0, "drain": 8.0})
PID = 2**22 + 1  # no process has it
Case = tuple[float, str, list[int]]  # now, the phase that is reached, the signals that are sent


def side(state: str = link.OPEN, **more: Any) -> Any:
    """A side that is told what to do, and does nothing by itself."""
    plain = {"id": "link", "state": state, "writer": True, "busy": False, "problem": "", "inode": 7, "twin": None}
    made = SimpleNamespace(**{**plain, **more})

    def abort(*why: Any) -> None:
        if made.state in (link.OPEN, link.EOF, link.COMMITTED):
            made.state = link.ABORTED

    made.abort = abort
    made.look = lambda: None
    made.flushed = lambda: True
    made.commit = lambda: setattr(made, "state", link.COMMITTED)
    made.finish = lambda: setattr(made, "state", link.READ)
    return made


def stage(phase: str, **sides: Any) -> Stage:
    spec = {"name": "stage", "fds": {}, "argv": ["cat"], "ok_rc": [0], "early_exit": False, "padding": 0}
    made = Stage(cast(Any, spec), {})
    made.ins = [sides["reads"]] if "reads" in sides else []
    made.outs = [sides["writes"]] if "writes" in sides else []
    made.fds = dict(enumerate(made.ins + made.outs))
    made.enter(phase)
    if phase != WAITING:
        made.pid, made.started_at = PID, 0.0
    if phase in EXITED:
        made.status = 0
    return made


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that the rules send, but for that which wakes a stopped process."""
    numbers: list[int] = []
    monkeypatch.setattr(rules, "descendants", lambda pid: {})
    monkeypatch.setattr(rules, "kill", lambda pids, number: numbers.append(number))
    return numbers


def follow(made: Stage, decides: Rules, sent: list[int], cases: list[Case]) -> None:
    for now, phase, signals in cases:
        decides.apply(made, now)
        found = [number for number in sent if number != signal.SIGCONT]
        assert (now, made.phase, found) == (now, phase, signals)
        sent.clear()


def test_a_stage_that_notices_nothing_is_stopped_step_by_step(sent: list[int]) -> None:
    reads, writes = side(link.RESET, writer=False), side()
    made = stage(RUNNING, reads=reads, writes=writes)
    term, kill = int(signal.SIGTERM), int(signal.SIGKILL)
    follow(made, Rules([made], PATIENCE), sent, [(0.0, STOPPING, []), (4.9, STOPPING, [])])
    assert writes.state == link.ABORTED  # at once
    cases: list[Case] = [
        (5.0, TERMINATED, [term]),
        (9.9, TERMINATED, []),
        (10.0, KILLED, [kill]),
        (10.01, KILLED, [kill]),  # whoever was forked meanwhile, too
        (20.0, SETTLED, [kill]),
    ]
    follow(made, Rules([made], PATIENCE), sent, cases)
    assert made.problem is not None and made.problem["kind"] == "not killed"
    assert made.until is None


def test_a_stage_that_sleeps_in_a_link_is_not_waited_for(sent: list[int]) -> None:
    made = stage(RUNNING, writes=side(link.ABORTED, busy=True))
    follow(made, Rules([made], PATIENCE), sent, [(3.0, TERMINATED, [signal.SIGTERM])])
    assert made.until == 3.0 + PATIENCE.term


@pytest.mark.parametrize(
    ("phase", "until", "after"),
    [
        (WAITING, None, SETTLED),
        (RUNNING, None, TERMINATED),
        (STOPPING, 100.0, TERMINATED),  # its time to notice is over
        (TERMINATED, 100.0, TERMINATED),
        (KILLED, 100.0, KILLED),
        (ENDED, None, SETTLED),
        (SETTLED, None, SETTLED),
    ],
)
def test_cancelled(sent: list[int], phase: str, until: float | None, after: str) -> None:
    reads, writes = side(writer=False), side()
    made = stage(phase, reads=reads, writes=writes)
    made.enter(phase, until)
    decides = Rules([made], PATIENCE)
    decides.cancel(cast(Any, "why"), 1.0)
    assert decides.failed() and (reads.state, writes.state) == (link.ABORTED, link.ABORTED)
    decides.apply(made, 1.0)
    assert made.phase == after
    if after in (TERMINATED, KILLED):
        assert made.until == (until if phase == after else 1.0 + PATIENCE.term)


@pytest.mark.parametrize(
    ("found", "cases", "spilled", "unread"),
    [
        ([None, None, True], [(0.0, DRAINING, []), (7.9, DRAINING, []), (7.95, SETTLED, [])], 0, None),
        ([None, None], [(0.0, DRAINING, []), (8.0, SETTLED, [])], 0, 5),
        ([False], [(0.0, SETTLED, [])], 1, 5),
        ([None, False], [(0.0, DRAINING, []), (7.9, SETTLED, [])], 9, 12),
    ],
    ids=["only padding", "no end", "more than padding", "more comes"],
)
def test_an_input_that_was_not_read_to_its_end(
    sent: list[int],
    monkeypatch: pytest.MonkeyPatch,
    found: list[bool | None],
    cases: list[Case],
    spilled: int,
    unread: int | None,
) -> None:
    monkeypatch.setattr(rules, "holders", lambda inodes, others: {})
    reads = side(writer=False, unread=lambda: 5, bytes=lambda: 10, drain=lambda most: found.pop(0), leave=lambda: None)
    reads.padding, reads.spilled = 3, spilled
    writes = side()
    made = stage(ENDED, reads=reads, writes=writes)
    follow(made, Rules([made], PATIENCE), sent, cases)
    failed = {"kind": "stopped reading", "consumed": 5, "unread": unread}
    assert made.problem == (None if unread is None else failed)
    assert writes.state == (link.COMMITTED if unread is None else link.ABORTED)


def test_what_it_has_left_running_has_its_time_for_each_link(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    holding: dict[int, dict[int, tuple[str, str]]] = {1: {5: ("cat", processes.HAS)}, 2: {}}
    monkeypatch.setattr(rules, "holders", lambda inodes, others: holding[min(inodes)])
    at_end: list[bool | None] = [None, None, True]
    reads = side(writer=False, inode=1, unread=lambda: 5, bytes=lambda: 10, drain=lambda most: at_end.pop(0))
    writes = side(inode=2)
    made = stage(ENDED, reads=reads, writes=writes)
    decides = Rules([made], PATIENCE)
    follow(made, decides, sent, [(0.0, HELD, []), (4.9, HELD, [])])
    cat, holding[1] = holding[1], {}
    follow(made, decides, sent, [(4.95, DRAINING, [])])
    holding[1], holding[2] = cat, {6: ("tee", processes.HAS)}  # what is drained is not looked at again
    follow(made, decides, sent, [(5.0, DRAINING, []), (6.0, HELD, []), (10.9, HELD, [])])
    assert made.until == 6.0 + PATIENCE.hold and reads.state == link.READ
    holding[2] = {}
    follow(made, decides, sent, [(10.95, SETTLED, [])])
    assert writes.state == link.COMMITTED and made.problem is None


def test_what_holds_a_link_for_too_long_is_a_failure(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "holders", lambda inodes, others: {6: ("tee", processes.HAS)})
    writes = side()
    made = stage(ENDED, writes=writes)
    follow(made, Rules([made], PATIENCE), sent, [(0.0, HELD, []), (4.9, HELD, []), (5.0, SETTLED, [])])
    assert made.problem is not None and made.problem["kind"] == "held" and writes.state == link.ABORTED


def test_the_phases_are_different() -> None:
    phases = (WAITING, *ALIVE, *EXITED, SETTLED)
    assert len(set(phases)) == len(phases)
