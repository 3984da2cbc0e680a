# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tape that is lost or lies somewhere: what counts no more, and what is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import increments, records
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
TODAY = time.strftime("%Y-%m-%d", time.gmtime())


@pytest.fixture
def host(tape_host: Maker) -> TapeHost:
    """A full archive on B, then one on A with an increment on C; and another host on C."""
    made = tape_host(3, lease=0)
    made.backup("R1", "h1", on="B")
    made.backup("R2", "h1", on="A")
    made.backup("R3", "h1", level=1, base="R2", on="C")
    made.backup("R3", "h2", on="A")
    return made


def planned(host: TapeHost, level: int = 1, name: str = "h1") -> dict[str, Any]:
    return host.ok("plan", data=json.dumps({"hosts": {name: {"level": level}}}).encode())


def chain(host: TapeHost, *words: str, name: str = "h1") -> list[str]:
    return [each["run"] for each in host.ok("chain", "--host", name, *words)["archives"]]


def test_a_retired_tape_counts_no_more(host: TapeHost) -> None:
    assert planned(host)["hosts"]["h1"]["base"] == "R2"
    told = host.ok("mark", "--label", "A", "--reason", "water  damage")
    assert told == {
        "label": "A",
        "changed": True,
        "archives": 3,
        "increments": 1,
        "hosts": ["h2"],
        "warnings": [],
    }
    assert host.tape("A")["retired"]["reason"] == "water damage"
    # no increment is based on it, nor on what is based on it
    plan = planned(host, level=2)
    assert (plan["hosts"]["h1"]["level"], plan["hosts"]["h1"]["base"]) == (2, "R1")
    plan = planned(host, name="h2")
    assert plan["hosts"]["h2"]["level"] == 0
    assert plan["warnings"] == [
        "h2: level 0 instead of 1, because there is no archive to base it on without the retired A"
    ]
    # a restore says what is lost, and what is left
    when = host.tape("C")["archives"][0]["time"]
    first = host.tape("B")["archives"][0]["time"]
    assert host.fails("chain", "--host", "h1") == (
        f"the archive of h1 of {when} (run R3) needs that of run R2, which was on tape A, and that was retired {TODAY} "
        f"(water damage): without it, the newest state is of {first}: restore that with restore_as_of=R1"
    )
    assert chain(host, "--as-of", "R1") == ["R1"]
    said = host.fails("chain", "--host", "h2")
    assert said.startswith("there is no good archive of h2 (set all): ")
    assert "; its archives on the retired tape A count no more" in said
    # nor is it written, read or expired
    refused = host.sink("R4", "h1", labels=["A"], reuse="expired", accept_clock=True)
    assert refused.status == 1 and f"its tape A was retired {TODAY} (water damage)" in refused.said
    assert [each["tape"] for each in host.ok("verify")["verified"]] == ["B", "C"]
    seen = {each["label"]: each for each in host.ok("info")["tapes"]}["A"]
    assert (seen["good"], seen["expired"], seen["retired"]["reason"]) == (0, False, "water damage")
    assert [each["state"] for each in host.ok("info", "--tape", "A")["archives"]] == ["lost", "lost"]
    assert "A" not in [each["label"] for each in host.ok("info")["wanted"]]


def test_the_last_archive_itself_is_lost(host: TapeHost) -> None:
    """Never an older state in its place without a word."""
    host.backup("R4", "h1", on="A")
    when = host.tape("A")["archives"][-1]["time"]
    host.ok("mark", "--label", "A", "--reason", "fire")
    assert host.fails("chain", "--host", "h1").startswith(
        f"the archive of h1 of {when} (run R4) was on tape A, and that was retired {TODAY} (fire): without it, "
    )
    host.ok("mark", "--label", "B", "--reason", "fire")
    assert host.fails("chain", "--host", "h1").endswith(
        "nothing else is left of this host; if the tape is there again, run tape_retire with tape_found"
    )
    host.ok("mark", "--label", "A", "--found")
    assert chain(host) == ["R4"]
    assert chain(host, "--as-of", "R3") == ["R2", "R3"]


def test_an_increment_that_does_not_name_its_base(host: TapeHost) -> None:
    """Known only from its tape: its base was the newest one then, and is not another one now."""
    host.edit("C", lambda tape: tape["archives"][0].update(base=None))
    assert chain(host) == ["R2", "R3"]
    host.ok("mark", "--label", "A", "--reason", "fire")
    assert "needs that of run R2, which was on tape A" in host.fails("chain", "--host", "h1")
    plan = planned(host, level=2)
    assert plan["hosts"]["h1"]["base"] == "R1", "and not R3"


def known(number: int, level: int, base: int | None = None, **more: Any) -> dict[str, Any]:
    run = "R%d" % number
    plain = {"run": run, "host": "h1", "set": "all", "level": level, "base": base and "R%d" % base, "state": "good"}
    return {**plain, "time": "2026-11-%02dT00:00:00Z" % number, "kind": "archive", "keep_until": 0, **more}


GONE = {"state": records.LOST}


@pytest.mark.parametrize(
    ("archives", "expected"),
    [
        ([known(1, 0, **GONE)], []),
        ([known(1, 0), known(2, 1, 1, **GONE), known(3, 2, 2)], [1]),
        ([known(1, 0), known(2, 1, 1, **GONE), known(3, 1, 1)], [1, 3]),
        ([known(1, 0), known(2, 0, **GONE), known(3, 1)], [1]),
        ([known(1, 0, **GONE), known(1, 0), known(2, 1, 1)], [1, 2]),  # written again on another tape
        ([known(1, 0), known(1, 0, **GONE), known(2, 1, 1)], [1, 2]),
    ],
)
def test_complete(archives: list[dict[str, Any]], expected: list[int]) -> None:
    assert [each["run"] for each in increments.complete(archives)] == ["R%d" % number for number in expected]


def test_it_is_there_again(host: TapeHost) -> None:
    host.ok("mark", "--label", "A", "--reason", "lost")
    since = host.tape("A")["retired"]["time"]
    assert host.ok("mark", "--label", "A", "--reason", "lost")["changed"] is False
    host.ok("mark", "--label", "A", "--reason", "stolen")
    assert host.tape("A")["retired"] == {"time": since, "reason": "stolen"}
    assert host.ok("mark", "--label", "A", "--found")["changed"] is True
    assert "retired" not in host.tape("A") and chain(host) == ["R2", "R3"]
    assert host.ok("mark", "--label", "A", "--found")["changed"] is False


def test_a_dry_run_changes_nothing(host: TapeHost) -> None:
    before = host.tape("A")
    told = host.ok("mark", "--label", "A", "--reason", "fire", "--dry")
    assert (told["changed"], told["archives"], told["hosts"]) == (True, 3, ["h2"])
    assert host.tape("A") == before


def test_where_it_lies(host: TapeHost) -> None:
    """Whoever waits for a tape says where it is."""
    host.ok("mark", "--label", "A", "--location", "vault")
    assert host.ok("chain", "--host", "h1")["places"] == {"A": "vault"}
    host.settings["devices"] = [str(host.tapes[1])]
    assert host.fails("source", "--tape", "A", "--file", "1").startswith("tape A (location: vault) is in no drive: ")
    host.edit("B", lambda tape: tape.update(full=True))
    refused = host.sink("R4", "h1", archive("R4", "h1"))
    assert "writable tapes: A (location: vault), C" in refused.said
    wanted = host.ok("info")["wanted"]
    assert [(each["label"], each["location"]) for each in wanted] == [("A", "vault"), ("C", "")]


REFUSED = [
    (["--label", "Z", "--reason", "fire"], "tape Z is not in the catalog "),
    (["--label", "A"], "nothing to record of tape A: set tape_reason to retire it, "),
    (["--label", "A", "--reason", " "], "nothing to record of tape A: "),
    (["--label", "A", "--reason", "x", "--found"], "a tape cannot be retired and found: "),
    (["--label", "A", "--reason", "x" * 201], "tape_reason must be one line of at most 200 characters"),
    (["--label", "A", "--reason", "\x1b[2J"], "tape_reason must be one line of at most 200 characters"),
    (["--label", "A", "--location", "the vault"], "'the vault' cannot be the name of a location: "),
]


@pytest.mark.parametrize(("words", "why"), REFUSED)
def test_refused(words: list[str], why: str, tape_host: Maker) -> None:
    host = tape_host()
    before = host.tape()
    assert host.fails("mark", *words).startswith(why)
    assert host.tape() == before


@pytest.mark.parametrize("retired", [None, {}, {"time": "now"}, {"time": 1, "reason": "fire"}])
def test_a_damaged_entry(retired: Any, tape_host: Maker) -> None:
    """Whether it counts is not known, so nothing of this tape is used."""
    host = tape_host()
    host.edit("A", lambda tape: tape.update(retired=retired))
    assert "is damaged" in host.ok("info")["warnings"][0]


def test_a_retired_tape_is_labelled_again(host: TapeHost) -> None:
    """Only with its fingerprint, and then it is a new tape."""
    host.ok("mark", "--label", "A", "--reason", "doubtful")
    words = ["label", "--label", "A", "--device", str(host.tapes[0])]
    said = host.fails(*words)
    assert f"2 archives of tape A, which was retired {TODAY} (doubtful)" in said
    proof = said.partition("tape_overwrite=")[2].split(",")[0].split()[0]
    host.ok(*words, "--overwrite", proof)
    assert "retired" not in host.tape("A") and host.tape("A")["archives"] == []
