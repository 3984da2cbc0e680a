# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The size that a stream should have: what a task may say of it, and what its command does."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.words import forecast
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _task_expect as expect
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._hosts import Host
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._script import read_program
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import OptionError


def parse(count: str | None, command: Any) -> tuple[expect.Expectation, list[str]]:
    args: Any = {"expect_bytes": count, "expect": command}
    return expect.parse_expectation(args, read_program)


@pytest.mark.parametrize(("count", "found"), [(None, None), ("4711", 4711), ("1.5G", 1610612736), ("0", 0)])
def test_a_size(count: str | None, found: int | None) -> None:
    assert parse(count, None) == (expect.Expectation(found), [])


@pytest.mark.parametrize(
    ("count", "command", "message"),
    [
        ("much", None, "expect_bytes: 'much' is not a number of bytes, such as 500K, 10M or 1.5G"),
        ("-1", None, "expect_bytes: '-1' is not a number of bytes, such as 500K, 10M or 1.5G"),
        ("5", "wc", "expect: leave it out, since expect_bytes gives the size"),
        (None, [{"cmd": "a"}, {"cmd": "b"}], "expect: give one command, not 2"),
        (None, "", "expect: the command is empty"),
        (None, {"cmd": "a", "host": "b"}, "expect: unknown setting host; valid settings: cmd, argv, shell, script, "),
    ],
)
def test_sizes_that_cannot_be_meant(count: str | None, command: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(count, command)
    assert str(caught.value)[: len(message)] == message


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("size\t1234567\n", 1234567),
        ("full\tpool/fs@b\t999\nsize\t1234567\n", 1234567),  # zfs send -nP
        ("4096\t/srv\n", 4096),  # du
        ("10 a\n20 b\n30 total\n", 30),  # wc, du -c
        (" size \n------\n 4711\n(1 row)\n\n", 4711),  # psql
        ("0\n", 0),
        ("1.5G\n", None),
        ("-5\n", None),
        ("", None),
        ("\u0664\u0662", None),
        ("9" * 5000, None),
        (str(2**63), None),
    ],
)
def test_the_number_in_an_output(text: str, number: int | None) -> None:
    assert expect.number_in(text) == number


@pytest.mark.parametrize(
    ("count", "expected", "elapsed", "found"),
    [
        (25, 100, 10.0, (25, 30.0)),
        (0, 100, 10.0, (0, None)),
        (0, 0, 10.0, (100, 0.0)),
        (100, 100, 10.0, (100, 0.0)),
        (150, 100, 10.0, (100, 0.0)),
        (999, 1000, 1.0, (99, 1 / 999)),
    ],
)
def test_how_much_is_left(count: int, expected: int, elapsed: float, found: tuple[int, float | None]) -> None:
    assert forecast(count, expected, elapsed) == found


PREFIX = "expect: the size of the stream is unknown: "
# a command, the size that it says, and the warning
ASKED: dict[str, tuple[Any, int | None, str]] = {
    "a number": ("echo size 4711", 4711, ""),
    "the environment of the task": ({"shell": "echo $SIZE"}, 12, ""),
    "no number": ("echo much", None, "the output of the command on h has no line with a number of bytes"),
    "a failure": ({"shell": "echo 5; echo x >&2; exit 3"}, None, "expect (/bin/sh) on h failed with exit status 3: x"),
    "no such command": ("not-there -x", None, "expect on h: there is no 'not-there' in PATH"),
    "more than is kept of others": ({"shell": "seq 100000"}, 100_000, ""),
    "an accepted status": ({"shell": "echo 5; exit 3", "ok_rc": [3]}, 5, ""),
    "nothing to do": ({"cmd": "echo 5", "creates": "/"}, None, ""),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_command_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, count, warning = ASKED[name]
    found, warnings = ask(command, monkeypatch)
    assert found == count
    assert [each[: len(PREFIX + warning)] for each in warnings] == ([PREFIX + warning] if warning else [])


def ask(command: Any, monkeypatch: pytest.MonkeyPatch, no_log: bool = False) -> tuple[int | None, list[str]]:
    warnings: list[str] = []
    monkeypatch.setattr(expect.display, "warning", warnings.append)
    expectation, _more = parse(None, command)
    host = Host("h", None, [sys.executable], "localhost")
    return expectation.ask(host, {"SIZE": "12"}, no_log), warnings


def test_a_command_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expect, "LIMIT", 0.0)
    assert ask("sleep 600", monkeypatch) == (None, [PREFIX + "the command on h took more than 0 s"])


def test_no_log_hides_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    command = {"shell": "echo secret >&2; exit 3"}
    assert ask(command, monkeypatch, no_log=True) == (None, [PREFIX + "failed (no_log hides the rest)"])
