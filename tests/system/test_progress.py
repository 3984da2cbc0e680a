# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown while a task runs: few lines, as it happens, with figures and no words of the commands."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from tests.hosts import Fleet

from . import batch
from .batch import Case
from .playbook import Done, Outcome, pipe
from .traces import leaves_nothing

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
    "back": pipe(
        remote="head -c 5M /dev/zero",
        output="wc -c",
        rate_limit="1M",
        progress=1,
        expect={"shell": "echo $SIZE"},
        _environment={"SIZE": str(5 * 1024 * 1024)},
    ),
    "unknown": pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="1M", progress=1, expect="false"),
    "both": pipe(input="head -c 5M /dev/zero", remote="cat", output="wc -c", rate_limit="1M", progress=1),
    "slow-source": pipe(input=source(SLOWLY), remote="wc -c", progress=3, full_reads=False),
    "slow-sink": pipe(
        input="head -c 60M /dev/zero",
        remote=source("for i in $(seq 50); do head -c 100000 >/dev/null; sleep 0.1; done; cat >/dev/null"),
        progress=3,
    ),
    "silent": pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="1M", progress=0),
    "short": pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="1M"),
    "peers": pipe(input="head -c 12M /dev/zero", remote="wc -c", rate_limit="1M", progress=1, peer="h2"),
    **{
        name: pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="1M", progress=1) for name in ("one", "two")
    },
}


@dataclasses.dataclass(frozen=True)
class Runs:
    """What each task came to, by its name, which is that of its host; and all that was shown."""

    outcomes: dict[str, Outcome]
    done: Done

    def lines(self, name: str) -> list[tuple[float, str]]:
        """The lines of progress, each with when it came."""
        return [(at, line.rstrip("\n")) for at, line in self.done.lines if line.startswith(f"{name}: ")]

    def only_line(self, name: str) -> tuple[float, str]:
        found = self.lines(name)
        assert len(found) == 1, self.done.stdout
        return found[0]

    def well(self, name: str) -> Outcome:
        outcome = self.outcomes[name]
        assert outcome.status == "ok", outcome.result
        return outcome


@pytest.fixture(scope="module")
def runs(fleet: Fleet) -> Runs:
    """All of them at once: they sleep most of the time."""
    cases = {name: Case(task, host="h2" if name == "two" else "h1") for name, task in TASKS.items()}
    source = fleet.directory / "source"
    source.write_bytes(bytes(12 * 1024 * 1024))
    options = {"src": str(source), "dest": f"{source}.copy", "peer": "h2", "rate_limit": "1M", "progress": 1}
    cases["moved"] = Case({"plumbing.socketpipe.transfer": options})
    with leaves_nothing(fleet):
        started = batch.start(fleet, cases)
        done = started.wait()
    assert done.rc == 0, done.output
    return Runs(batch.outcomes(started), done)


def test_a_line_while_it_runs(runs: Runs) -> None:
    """One after `progress` seconds; the next would come a minute later."""
    outcome = runs.well("limited")
    at, line = runs.only_line("limited")
    assert outcome.started + 1 <= at < outcome.at - 1
    assert re.fullmatch(rf"limited: input → remote {AMOUNT}, {SPEED}(, .+)?", line)
    amount = re.search(r"remote ([\d.]+) (KiB|MiB)", line)
    assert amount and 0 < float(amount[1]) < (7 if amount[2] == "MiB" else 1024), line
    at, line = runs.only_line("back")
    assert re.fullmatch(rf"back: remote → output {AMOUNT} of 5.0 MiB \(\d+ %\), {SPEED}, 0:00:\d\d left(, .+)?", line)
    assert at < runs.well("back").at


def test_every_link_is_in_the_line(runs: Runs) -> None:
    _at, line = runs.only_line("both")
    assert re.fullmatch(
        rf"both: input → remote {AMOUNT}, {SPEED}(, [^;]+)?; remote → output {AMOUNT}, {SPEED}(, [^;]+)?", line
    )


def test_who_is_slow(runs: Runs) -> None:
    _at, line = runs.only_line("slow-source")
    assert re.search(r", input is slow \(nothing to send \d+ % of the time\)$", line), line
    _at, line = runs.only_line("slow-sink")
    assert re.search(r", remote is slow \(receive window full \d+ % of the time\)$", line), line
    for name in ("slow-source", "slow-sink"):
        assert re.match(r"(input|remote) is slow \(", runs.well(name).result["links"][0]["slow"])


def test_a_size_that_is_unknown(runs: Runs) -> None:
    runs.well("unknown")
    assert " %)" not in runs.only_line("unknown")[1]
    warning = "expect: the size of the stream is unknown: expect (false) on localhost failed with exit status 1"
    assert warning in " ".join(runs.done.output.split())


def test_a_rate_limit_is_not_called_a_slow_network(runs: Runs) -> None:
    _at, line = runs.only_line("limited")
    assert "network is slow" not in line
    assert "network is slow" not in runs.well("limited").result["links"][0]["slow"]


def test_a_stream_that_stalls_and_resumes(runs: Runs) -> None:
    outcome = runs.well("stalls")
    found = runs.lines("stalls")
    assert len(found) == 3, runs.done.stdout
    first, stalled, resumed = found
    assert re.match(rf"stalls: input → remote {AMOUNT}, ", first[1])
    assert re.match(r"stalls: stalled, input → remote 1\.0 MiB, 0 bytes/s", stalled[1]), stalled[1]
    assert re.match(rf"stalls: resumed, input → remote {AMOUNT}, {SPEED}", resumed[1]), resumed[1]
    assert first[0] < stalled[0] < resumed[0] < outcome.at
    assert stalled[0] - outcome.started >= 10 and resumed[0] - outcome.started >= 13


def test_two_hosts_of_the_inventory(runs: Runs) -> None:
    """Both ends are behind a login that returns their output at the end, so one of them is asked."""
    runs.well("peers")
    at, line = runs.only_line("peers")
    assert re.fullmatch(rf"peers: input → remote {AMOUNT}, {SPEED}(, .+)?", line) and at < runs.well("peers").at


def test_a_file_has_a_size(runs: Runs) -> None:
    """Its look knows it."""
    runs.well("moved")
    _at, line = runs.only_line("moved")
    assert re.fullmatch(
        rf"moved: source → destination {AMOUNT} of 12.0 MiB \(\d+ %\), {SPEED}(, 0:00:\d\d left)?(, .+)?", line
    )


def test_none_where_none_is_asked_for_or_due(runs: Runs) -> None:
    """progress: 0; a run that is over before the default's 30 s."""
    for name in ("silent", "short"):
        runs.well(name)
        assert runs.lines(name) == [], name


def test_each_host_has_its_own_line(runs: Runs) -> None:
    for name in ("one", "two"):
        runs.well(name)
        runs.only_line(name)


def test_many_hosts_are_as_quiet_as_one(fleet: Fleet) -> None:
    """The workers share the time of the last line: a line of any of them is enough."""
    quiet, hosts = 2, 8
    task = pipe(remote="sh -c 'echo x; sleep 15; echo y'", output="wc -c", progress=1000, progress_quiet=quiet)
    started = batch.start(fleet, {f"quiet{number}": Case(task, host="h1") for number in range(hosts)})
    done = started.wait()
    found = [line for _at, line in done.lines if re.match(r"quiet\d: ", line) and "stalled" not in line]
    outcomes = batch.outcomes(started).values()
    assert {outcome.status for outcome in outcomes} == {"ok"}
    began, ended = min(each.started for each in outcomes), max(each.at for each in outcomes)
    each_by_itself = hosts * (ended - began) / quiet
    assert 1 <= len(found) < each_by_itself / 2


def test_no_words_of_the_commands(runs: Runs) -> None:
    for name in TASKS:
        for _at, line in runs.lines(name):
            assert "word" not in line and "zero" not in line, name
    assert "stderr-word" not in runs.done.output
