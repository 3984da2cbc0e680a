# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs of life of a link, and the looks at a reader that sleeps, by a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import reads
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.pulse import Pulse

STALLED, DEAD = {"kind": "stalled", "seconds": 10}, {"kind": "dead peer", "seconds": 20}
BOTH = {"stall_timeout": 10, "dead_peer": 20}


@pytest.mark.parametrize(
    ("spec", "now", "may_rest", "problem"),
    [
        (BOTH, 110.0, False, None),
        (BOTH, 110.5, False, STALLED),
        (BOTH, 110.5, True, None),
        (BOTH, 120.0, True, None),
        (BOTH, 120.5, True, DEAD),
        (BOTH, 120.5, False, STALLED),
        ({**BOTH, "stall_timeout": 0}, 120.5, False, DEAD),
        ({**BOTH, "dead_peer": 0}, 1000.0, True, None),
        ({"stall_timeout": 1, "dead_peer": 1}, 101.5, False, {"kind": "stalled", "seconds": 1}),
        ({"stall_timeout": 0, "dead_peer": 0}, 1000.0, False, None),
        ({}, 1000.0, False, None),
    ],
)
def test_a_link_without_a_sign(spec: Any, now: float, may_rest: bool, problem: Any) -> None:
    assert Pulse(spec, 100.0).problem(now, may_rest) == problem


@pytest.mark.parametrize(
    ("signs", "stalled_after", "dead_after"),
    [
        # (bytes, packets, time, whether it rests)
        ([(0, 0, 105.0, False)], 110.0, 120.0),
        ([(5, 0, 105.0, False)], 115.0, 120.0),
        ([(0, 5, 105.0, False)], 110.0, 125.0),
        ([(5, 5, 101.0, False), (5, 5, 105.0, False)], 111.0, 121.0),
        ([(5, 5, 101.0, False), (4, 6, 105.0, False)], 115.0, 125.0),
        ([(0, 0, 105.0, True)], 115.0, 120.0),
        ([(5, None, 105.0, False)], 115.0, None),
        ([(5, None, 105.0, False), (6, 0, 106.0, False)], 116.0, 120.0),
        ([(5, None, 105.0, False), (6, 1, 106.0, False)], 116.0, 126.0),
    ],
)
def test_each_sign_counts(signs: list[Any], stalled_after: float, dead_after: float | None) -> None:
    """A kernel that does not count packets says nothing about its peer."""
    pulse = Pulse(cast(Any, BOTH), 100.0)
    for count, packets, now, rests in signs:
        pulse.feel(count, packets, now, rests)
    assert pulse.problem(stalled_after, False) is None and pulse.problem(stalled_after + 0.5, False) == STALLED
    if dead_after is None:
        assert pulse.problem(1000.0, True) is None
    else:
        assert pulse.problem(dead_after, True) is None and pulse.problem(dead_after + 0.5, True) == DEAD


@pytest.mark.parametrize("unread", [0, 1, 5])
def test_a_reader_that_sleeps_is_looked_after(monkeypatch: pytest.MonkeyPatch, unread: int) -> None:
    """Often while little comes, rarely while nothing comes, or so much that it wakes up by itself."""
    monkeypatch.setattr(reads, "LOOK", (1.0, 3.0))
    monkeypatch.setattr(reads, "time", SimpleNamespace(monotonic=lambda: 100.0))
    monkeypatch.setattr(reads, "full_reads", lambda *words: words)
    monkeypatch.setattr(reads, "unread", lambda _sock: unread)
    woken: list[Any] = []
    monkeypatch.setattr(reads, "wake_readers", woken.append)
    made = reads.WholeReads(cast(Any, "socket"), 1000, True)
    assert made.granted == cast(Any, ("socket", 1000, True)) and made.look_at == 101.0
    made.look(100.5, 10)
    assert made.look_at == 101.0 and woken == []
    times = []
    now = 101.0
    for count in (0, 0, 0, 0, 1, 1000, 2000, 2999, 3000):
        made.look(now, count)
        times.append(made.look_at - now)
        now = made.look_at
    assert times == [1.5, 2.25, 3.0, 3.0, 1.0, 1.0, 1.5, 1.0, 1.0]
    assert woken == ["socket"] * (9 if unread else 0)
