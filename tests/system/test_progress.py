# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown while a task runs: few lines, as it happens, with figures and no words of the commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .conftest import make_fleet
from .playbook import Done, Outcome, pipe

AMOUNT = r"[\d.]+ (bytes|KiB|MiB)"
SPEED = r"[\d.]+ (bytes|KiB|MiB|GiB)/s"
QUIET = "argv-word; echo stderr-word >&2; "


def source(command: str) -> dict[str, str]:
    return {"shell": f": {QUIET}{command}"}


SLOWLY = "for i in $(seq 60); do head -c 20000 /dev/zero; sleep 0.1; done"
TASKS: dict[str, dict[str, Any]] = {
    "limited": pipe(input=source("head -c 7M /dev/zero"), remote=source("cat >/dev/null"), rate_limit="1M", progress=1),
    "stalls": pipe(
        input=source("head -c 1M /dev/zero; sleep 13; head -c 1M /dev/zero; sleep 4"),
        remote=source("wc -c"),
        progress=1,
    ),
    "back": pipe(remote="head -c 5M /dev/zero", output="wc -c", rate_limit="1M", progress=1),
    "both": pipe(input="head -c 5M /dev/zero", remote="cat", output="wc -c", rate_limit="1M", progress=1),
    "slow source": pipe(input=source(SLOWLY), remote="wc -c", progress=3, full_reads=False),
    "slow sink": pipe(
        input="head -c 60M /dev/zero",
        remote=source("for i in $(seq 50); do head -c 100000 >/dev/null; sleep 0.1; done; cat >/dev/null"),
        progress=3,
    ),
    "silent": pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="1M", progress=0),
    "short": pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="1M"),
    "peers": pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="1M", progress=1, peer="h2"),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    yield from make_fleet(["h1", "h2"], tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def runs(fleet: Fleet) -> dict[str, Done]:
    """All of them at once: they sleep most of the time."""
    started = {name: playbook.start(fleet, task) for name, task in TASKS.items()}
    started["two hosts"] = playbook.start(
        fleet, pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="1M", progress=1), hosts="fleet"
    )
    return {name: each.wait() for name, each in started.items()}


def lines(done: Done) -> list[tuple[float, str]]:
    """The lines of progress, each with when it came."""
    return [(at, line.rstrip("\n")) for at, line in done.lines if re.match(r"h\d: ", line)]


def only_line(done: Done) -> tuple[float, str]:
    found = lines(done)
    assert len(found) == 1, done.stdout
    return found[0]


def well(done: Done) -> Outcome:
    assert done.rc == 0, done.output
    return done.only


def test_a_line_while_it_runs(runs: dict[str, Done]) -> None:
    """One after `progress` seconds; the next would come a minute later."""
    outcome = well(runs["limited"])
    at, line = only_line(runs["limited"])
    assert outcome.started + 1 <= at < outcome.at - 1
    assert re.fullmatch(rf"h1: input → remote {AMOUNT}, {SPEED}(, .+)?", line)
    amount = re.search(r"remote ([\d.]+) (KiB|MiB)", line)
    assert amount and 0 < float(amount[1]) < (7 if amount[2] == "MiB" else 1024), line
    at, line = only_line(runs["back"])
    assert re.fullmatch(rf"h1: remote → output {AMOUNT}, {SPEED}(, .+)?", line)
    assert at < well(runs["back"]).at


def test_every_link_is_in_the_line(runs: dict[str, Done]) -> None:
    _at, line = only_line(runs["both"])
    assert re.fullmatch(
        rf"h1: input → remote {AMOUNT}, {SPEED}(, [^;]+)?; remote → output {AMOUNT}, {SPEED}(, [^;]+)?", line
    )


def test_who_is_slow(runs: dict[str, Done]) -> None:
    _at, line = only_line(runs["slow source"])
    assert re.search(r", input is slow \(nothing to send \d+ % of the time\)$", line), line
    _at, line = only_line(runs["slow sink"])
    assert re.search(r", remote is slow \(receive window full \d+ % of the time\)$", line), line
    for name in ("slow source", "slow sink"):
        assert re.match(r"(input|remote) is slow \(", well(runs[name]).result["links"][0]["slow"])


def test_a_rate_limit_is_not_called_a_slow_network(runs: dict[str, Done]) -> None:
    _at, line = only_line(runs["limited"])
    assert "network is slow" not in line
    assert "network is slow" not in well(runs["limited"]).result["links"][0]["slow"]


def test_a_stream_that_stalls_and_resumes(runs: dict[str, Done]) -> None:
    outcome = well(runs["stalls"])
    found = lines(runs["stalls"])
    assert len(found) == 3, runs["stalls"].stdout
    first, stalled, resumed = found
    assert re.match(rf"h1: input → remote {AMOUNT}, ", first[1])
    assert re.match(r"h1: stalled, input → remote 1\.0 MiB, 0 bytes/s", stalled[1]), stalled[1]
    assert re.match(rf"h1: resumed, input → remote {AMOUNT}, {SPEED}", resumed[1]), resumed[1]
    assert first[0] < stalled[0] < resumed[0] < outcome.at
    assert stalled[0] - outcome.started >= 10 and resumed[0] - outcome.started >= 13


def test_none_where_none_is_asked_for_or_due(runs: dict[str, Done]) -> None:
    """progress: 0; a run that is over before the default's 30 s; two hosts of the inventory."""
    for name in ("silent", "short", "peers"):
        well(runs[name])
        assert lines(runs[name]) == [], name


def test_each_host_has_its_own_line(runs: dict[str, Done]) -> None:
    done = runs["two hosts"]
    assert done.rc == 0
    assert sorted(line[:3] for _at, line in lines(done)) == ["h1:", "h2:"]


def test_no_words_of_the_commands(runs: dict[str, Done]) -> None:
    for name, done in runs.items():
        for _at, line in lines(done):
            assert "word" not in line and "zero" not in line, name
        assert "stderr-word" not in done.output, name
