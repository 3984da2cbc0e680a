# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a line is shown, and which."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.progress import STALLED, Progress

LINK = "input → remote"
MEGA = 1024 * 1024


def side(count: int | None, name: str = LINK, writer: bool = True, **more: Any) -> dict[str, Any]:
    """What an end's sample says of one side; ``receiver`` and ``busy`` in seconds since the start."""
    waited = {"receiver": more.pop("receiver", 0.0), "busy": more.pop("busy", None), "buffer": 0.0}
    found = {"id": name, "side": "W" if writer else "R", "bytes": count, "unread": None if writer else 0}
    return {**found, "waited": waited, **more}


def progress(first: float = 30) -> Progress:
    return Progress("tape1", first, {LINK: ("input", "remote"), "remote → output": ("remote", "output")})


def times(shown: Progress, until: int, rate: int = MEGA) -> list[int]:
    return [at for at in range(1, until) if shown.feed([side(at * rate)], at)]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (30, [30, 90, 210, 510, 1110, 1710, 2310]),
        (1, [1, 61, 181, 481, 1081, 1681, 2281]),
        (100, [100, 160, 280, 580, 1180, 1780, 2380]),
    ],
)
def test_ever_more_rarely(first: int, expected: list[int]) -> None:
    assert times(progress(first), 2400) == expected


def test_the_line() -> None:
    shown = progress()
    shown.feed([side(MEGA)], 1)
    lines = shown.feed([side(int(12.4 * 1024**3), receiver=24.9, busy=29.9)], 30.0)
    assert lines == [
        "tape1: input → remote 12.4 GiB, 423.3 MiB/s, remote is slow (receive window full 83 % of the time)"
    ]


def test_rates_are_since_the_last_line() -> None:
    shown = progress()
    assert "976.6 KiB/s" in shown.feed([side(30_000_000, busy=30.0)], 30)[0]
    (line,) = shown.feed([side(30_000_000 + 120_000_000, busy=90.0)], 90)
    assert "1.9 MiB/s" in line and line.startswith("tape1: input → remote 143.1 MiB, ")


def test_what_it_waited_for_is_since_the_last_line() -> None:
    shown = progress()
    assert "remote is slow" in shown.feed([side(1, receiver=30.0, busy=30.0)], 30)[0]
    assert "input is slow (nothing to send 100 % of the time)" in shown.feed([side(2, receiver=30.0, busy=30.0)], 90)[0]


def test_stalls_and_resumes_are_said_at_once() -> None:
    shown = progress()
    said = []
    for at in range(1, 30):
        count = min(at, 5) if at < 20 else at
        said += [(at, line) for line in shown.feed([side(count * MEGA, busy=float(at))], at)]
    assert [at for at, _line in said] == [5 + STALLED, 20]
    assert said[0][1].startswith("tape1: stalled, input → remote 5.0 MiB")
    assert said[1][1].startswith("tape1: resumed, input → remote 20.0 MiB")


def test_a_stream_that_has_not_begun_is_stalled() -> None:
    shown = progress()
    said = [at for at in range(29) if shown.feed([side(0)], at)]
    assert said == [STALLED]


def test_percent_and_time_left() -> None:
    """Of the link that was named only; at the average rate since the start."""
    links = {LINK: ("input", "remote"), "remote → output": ("remote", "output")}
    shown = Progress("tape1", 30, links, expected=(LINK, 100 * MEGA))
    sample = [side(25 * MEGA), side(2 * MEGA, "remote → output", writer=False)]
    (line,) = shown.feed(sample, 30)
    start = "tape1: input → remote 25.0 MiB of 100.0 MiB (25 %), 853.3 KiB/s, 0:01:30 left; remote → output 2.0 MiB, "
    assert line.startswith(start)
    (line,) = shown.feed([side(100 * MEGA)], 90)
    assert line == "tape1: input → remote 100.0 MiB of 100.0 MiB (100 %), 1.2 MiB/s"
    (line,) = Progress("tape1", 30, links, expected=(LINK, 5)).feed([side(0)], 30)
    assert line == "tape1: input → remote 0 bytes of 5 bytes (0 %), 0 bytes/s"


def test_what_a_host_waits_for_is_on_the_same_line() -> None:
    """Also if no link is counted, or there is none; then nothing is stalled."""
    shown = progress()
    shown.feed([side(0)], 1)
    (line,) = shown.feed([side(0)], 30, told=["", "waiting for a drive"])
    assert line == "tape1: stalled, input → remote 0 bytes, 0 bytes/s; waiting for a drive"
    shown = progress()
    assert [shown.feed([], at, told=["verifying"]) for at in (10, 30, 60)] == [[], ["tape1: verifying"], []]
    assert shown.feed([], 61, due=True, told=[""]) == []


def test_two_links_one_line() -> None:
    shown = progress()
    sample = [side(MEGA, busy=30.0), side(2 * MEGA, "remote → output", writer=False, unread=1024)]
    (line,) = shown.feed(sample, 30)
    assert line.startswith("tape1: input → remote 1.0 MiB, ")
    assert "; remote → output 2.0 MiB, " in line and line.endswith("output has 1.0 KiB to read")


@pytest.mark.parametrize(
    ("unread", "text"), [(0, "output has nothing to read"), (1, "output has 1 byte to read"), (None, "nothing to read")]
)
def test_the_readers_side(unread: int | None, text: str) -> None:
    sample = [side(MEGA, "remote → output", writer=False, unread=unread)]
    assert text in progress().feed(sample, 30)[0]


def test_links_that_are_not_counted_are_not_shown() -> None:
    """Within a host the kernel does not count, nor does an old one."""
    shown = progress()
    assert [shown.feed([side(None)], at) for at in (1, 30, 60)] == [[], [], []]
    assert shown.feed([], 90) == []


def test_counters_that_are_not_there() -> None:
    (line,) = progress().feed([side(MEGA, receiver=None, busy=None)], 30)
    assert line == "tape1: input → remote 1.0 MiB, 34.1 KiB/s"


def test_a_link_that_comes_later() -> None:
    shown = progress()
    shown.feed([side(MEGA)], 30)
    (line,) = shown.feed([side(MEGA), side(60, "remote → output")], 90)
    assert "; remote → output 60 bytes, 1 byte/s" in line


def test_a_count_that_goes_back_for_a_moment() -> None:
    """As that of a reader whose kernel has yet to decrypt a part of what it has received."""
    shown = progress()
    assert "input → remote 1.0 KiB, " in shown.feed([side(1024, writer=False)], 30)[0]
    (line,) = shown.feed([side(1000, writer=False)], 90)
    assert line == "tape1: input → remote 1.0 KiB, 0 bytes/s, remote has nothing to read"
    assert "input → remote 2.0 KiB, 8 bytes/s" in shown.feed([side(2048, writer=False)], 210)[0]
