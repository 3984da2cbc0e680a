# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of progress of the command."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.meter import Meter, clock

IN, OUT = "input \u2192 remote", "remote \u2192 output"
MEGA = 1024 * 1024


@pytest.fixture
def screen() -> tuple[Meter, Callable[[], str]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def shown() -> str:
        try:
            return os.read(reader, 65536).decode()
        except BlockingIOError:
            return ""

    return Meter(writer), shown


def sample(at: float, **counts: int | None) -> dict[str, Any]:
    names = {"into": IN, "out": OUT}
    return {"at": at, "sample": [{"id": names[name], "bytes": count} for name, count in counts.items()]}


def test_nothing_shown_is_nothing_to_clear(screen: tuple[Meter, Callable[[], str]]) -> None:
    meter, shown = screen
    meter.clear()
    assert shown() == ""


def test_a_line_is_written_over_and_cleared(screen: tuple[Meter, Callable[[], str]]) -> None:
    meter, shown = screen
    meter.feed(sample(1.0, into=0))
    assert shown() == f"\r[{' ' * 20}] 0:00:01  {IN} 0 bytes 0 B/s\033[K"
    meter.feed(sample(2.0, into=10 * MEGA))
    assert shown() == f"\r[{'#' * 20}] 0:00:02  {IN} 10.0 MiB 10.5 MB/s\033[K"
    meter.feed(sample(4.0, into=10 * MEGA))
    assert shown() == f"\r[{'#' * 6}{' ' * 14}] 0:00:04  {IN} 10.0 MiB 3.5 MB/s\033[K"
    meter.clear()
    assert shown() == "\r\033[K"
    meter.clear()
    assert shown() == ""


def test_the_rate_is_that_of_the_last_samples(screen: tuple[Meter, Callable[[], str]]) -> None:
    meter, shown = screen
    for second in range(10):
        meter.feed(sample(float(second), into=100_000_000 if second > 2 else 0, out=1000 * second))
    assert shown().endswith(f"0:00:09  {IN} 95.4 MiB 0 B/s, {OUT} 8.8 KiB 1 kB/s\033[K")


def test_a_kernel_that_does_not_count_shows_the_time_only(screen: tuple[Meter, Callable[[], str]]) -> None:
    meter, shown = screen
    meter.feed(sample(3.0, into=None))
    meter.feed(sample(4.0, into=None))
    assert shown().split("\r")[-1] == f"[{' ' * 20}] 0:00:04  \033[K"


def test_a_terminal_that_is_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    meter = Meter(writer)
    meter.feed(sample(1.0, into=0))
    meter.clear()
    os.close(writer)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00:00"), (59.9, "0:00:59"), (3723.0, "1:02:03"), (360000.0, "100:00:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
