# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.words import (
    last_line,
    parse_size,
    share,
    size,
    speed,
    who_is_slow,
)

GIGA = 1024.0**3


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "? bytes"),
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (12.4 * GIGA, "12.4 GiB"),
        (1024**4, "1.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_size(count: float | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, "? MB/s"),
        (0, "0 B/s"),
        (999, "999 B/s"),
        (1000, "1 kB/s"),
        (1234, "1.23 kB/s"),
        (410e6, "410 MB/s"),
        (12.34e6, "12.3 MB/s"),
        (99.96e6, "100 MB/s"),
        (999.9e6, "1000 MB/s"),
        (2.5e9, "2.5 GB/s"),
        (250e9, "250 GB/s"),
    ],
)
def test_speed(rate: float | None, text: str) -> None:
    assert speed(rate) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("64K", 65536),
        ("64k", 65536),
        ("64 KB", 65536),
        ("64KiB", 65536),
        ("10M", 10 * 1024**2),
        ("1.5G", 1536 * 1024**2),
        (" 2T ", 2 * 1024**4),
    ],
)
def test_parse_size(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "text",
    ["", "K", "B", "iB", "-1", "-1K", "ten", "1X", "1KM", "inf", "nan", "1e999", "0x10"]
    + ["1e307T", "8388608T"],  # more than the kernel can count
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one", "one"),
        ("one\ntwo\n", "two"),
        ("one\r\n  two  \r\n\r\n", "two"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_last_line(text: str, line: str) -> None:
    assert last_line(text) == line


@pytest.mark.parametrize(
    ("part", "whole", "result"),
    [(None, 1.0, None), (1.0, None, None), (1.0, 0.0, None), (1.0, 2.0, 0.5), (3.0, 2.0, 1.0), (0.0, 2.0, 0.0)],
)
def test_share(part: float | None, whole: float | None, result: float | None) -> None:
    assert share(part, whole) == result


@pytest.mark.parametrize(
    ("receiver", "busy", "elapsed", "text"),
    [
        (8.3, 10.0, 10.0, "sink is slow (receive window full 83 % of the time)"),
        (0.0, 4.0, 10.0, "source is slow (nothing to send 60 % of the time)"),
        (3.0, 9.0, 10.0, "sink is slow (receive window full 30 % of the time)"),
        (0.0, 10.0, 10.0, "the network is slow"),
        (0.0, 0.5, 0.5, ""),
        (None, 10.0, 10.0, ""),
        (0.0, None, 10.0, ""),
        (None, None, 10.0, ""),
        (0.0, 0.0, 0.0, ""),
        (12.0, 12.0, 10.0, "sink is slow (receive window full 100 % of the time)"),
    ],
)
def test_who_is_slow(receiver: Any, busy: Any, elapsed: float, text: str) -> None:
    waited = {"receiver": receiver, "busy": busy, "buffer": 0.0}
    link = {"waited": waited, "elapsed": elapsed, "reader": "sink", "writer": "source"}
    assert who_is_slow(link) == text
