# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of progress of the command."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import termios
import tty
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.meter import Meter
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.words import clock

IN, OUT = "input \u2192 remote", "remote \u2192 output"
MEGA = 1024 * 1024


class Screen:
    """A terminal, as wide as it is told to be, and a meter on it."""

    def __init__(self, columns: int) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.resize(columns)
        self.allowed = True
        self.meter = Meter(self.slave, lambda: self.allowed)
        self.feed, self.clear = self.meter.feed, self.meter.clear

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def shown(self) -> str:
        data = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(self.master, 65536)
        return data.decode()


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen(120)
    yield made
    os.close(made.master)
    os.close(made.slave)


def sample(at: float, **counts: int | None) -> dict[str, Any]:
    names = {"into": IN, "out": OUT}
    return {"at": at, "sample": [{"id": names[name], "bytes": count} for name, count in counts.items()]}


def test_nothing_shown_is_nothing_to_clear(screen: Screen) -> None:
    screen.clear()
    assert screen.shown() == ""


def test_a_line_is_written_over_and_cleared(screen: Screen) -> None:
    screen.feed(sample(1.0, into=1))
    assert screen.shown() == f"\r[{' ' * 20}] 0:00:01  {IN} 1 byte 0 bytes/s\033[K"
    screen.feed(sample(2.0, into=10 * MEGA + 1))
    assert screen.shown() == f"\r[{'#' * 20}] 0:00:02  {IN} 10.0 MiB 10.0 MiB/s\033[K"
    screen.feed(sample(4.0, into=10 * MEGA + 2))
    assert screen.shown() == f"\r[{'#' * 6}{' ' * 14}] 0:00:04  {IN} 10.0 MiB 3.3 MiB/s\033[K"
    screen.clear()
    assert screen.shown() == "\r\033[K"
    screen.clear()
    assert screen.shown() == ""


def test_the_rate_is_that_of_the_last_samples(screen: Screen) -> None:
    for second in range(10):
        screen.feed(sample(float(second), into=100_000_000 if second > 4 else 0, out=1000 * second))
    assert screen.shown().endswith(f"0:00:09  {IN} 95.4 MiB 0 bytes/s, {OUT} 8.8 KiB 1000 bytes/s\033[K")


def test_nothing_is_shown_before_the_first_byte_nor_while_none_moves(screen: Screen) -> None:
    """Somebody may be asked for a passphrase, or for the next tape."""
    for second in range(3):
        screen.feed(sample(float(second), into=0, out=0))
    assert screen.shown() == ""
    screen.feed(sample(3.0, into=500, out=0))
    assert screen.shown().endswith(f"0:00:03  {IN} 500 bytes 166 bytes/s, {OUT} 0 bytes 0 bytes/s\033[K")
    for second in range(4, 9):
        screen.feed(sample(float(second), into=500, out=0))
    assert screen.shown() == ""
    screen.feed(sample(9.0, into=500, out=500))
    assert f"0:00:09  {IN} 500 bytes 0 bytes/s, {OUT} 500 bytes " in screen.shown()


def test_nothing_is_shown_while_it_may_not(screen: Screen) -> None:
    """It was put into the background."""
    screen.allowed = False
    screen.feed(sample(1.0, into=1))
    assert screen.shown() == ""
    screen.allowed = True
    screen.feed(sample(2.0, into=2))
    assert screen.shown() != ""


BOTH = f"0:00:02  {IN} 10.0 MiB 10.0 MiB/s, {OUT} 5.0 MiB 5.0 MiB/s"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (200, f"[{'#' * 20}] {BOTH}"),
        (0, BOTH),  # a terminal that does not know its size has 80
        (80, BOTH),
        (len(BOTH) + 10, f"[{'#' * 6}] {BOTH}"),
        (len(BOTH) + 8, BOTH),
        (len(BOTH) + 1, BOTH),
        (len(BOTH), BOTH[:-1]),
        (40, BOTH[:39]),
        (3, BOTH[:2]),
        (1, ""),
    ],
)
def test_a_line_is_never_wider_than_the_terminal(screen: Screen, columns: int, line: str) -> None:
    """Else it could not be written over. The window may change its size."""
    screen.feed(sample(1.0, into=0, out=0))
    screen.resize(columns)
    screen.feed(sample(2.0, into=10 * MEGA, out=5 * MEGA))
    assert screen.shown() == f"\r{line}\033[K"


def test_a_kernel_that_does_not_count_shows_nothing(screen: Screen) -> None:
    screen.feed(sample(3.0, into=None))
    screen.feed(sample(4.0, into=None))
    assert screen.shown() == ""


def test_a_terminal_that_is_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    meter = Meter(writer, lambda: True)
    meter.feed(sample(1.0, into=1))
    assert meter.shown
    meter.clear()
    assert not meter.shown
    os.close(writer)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00:00"), (59.9, "0:00:59"), (3723.0, "1:02:03"), (360000.0, "100:00:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_count_that_goes_back_for_a_moment(screen: Screen) -> None:
    screen.feed(sample(1.0, into=10 * MEGA, out=1000))
    screen.feed(sample(2.0, into=20 * MEGA, out=978))
    assert f"{IN} 20.0 MiB 10.0 MiB/s, {OUT} 978 bytes 0 bytes/s" in screen.shown()
