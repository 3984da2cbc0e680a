# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there: ages, expiry, runs, the next tapes, and the last test of each host."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import restores
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
DAY = 86400


def stamp(days: float) -> str:
    """A time so many days ago."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * DAY))


def written(host: TapeHost, label: str, *days: float, keep: float = 28) -> None:
    """Let the archives of a tape be so many days old, and be kept for some days."""

    def change(tape: dict[str, Any]) -> None:
        for archive, ago in zip(tape["archives"], days):
            archive.update(time=stamp(ago), keep_until=time.time() + (keep - ago) * DAY)

    host.edit(label, change)


def test_age_of_the_last_good_archive(tape_host: Maker) -> None:
    """One host is late, one is not, and one has never had a good archive."""
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.backup("R2", "h2")
    host.sink("R3", "h3", b"")  # no data arrives
    written(host, "A", 5, 1)
    told = host.ok("info", max_age="3d")
    assert [(each["host"], each["age"] // DAY, each["late"]) for each in told["hosts"]] == [
        ("h1", 5, True),
        ("h2", 1, False),
    ]
    (warning,) = told["warnings"]
    when = told["hosts"][0]["time"]
    assert warning == f"the last good archive of h1 (set all) is of {when}, which is older than tape_max_age (3d)"
    assert [each["late"] for each in host.ok("info")["hosts"]] == [False, False], "no limit"
    assert host.ok("info", "--host", "h2", max_age="3d")["warnings"] == []
    assert "tape_max_age: 'soon' is not a duration" in host.fails("info", max_age="soon")


def test_a_host_without_a_good_archive(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.sink("R2", "h2")  # which does not report
    told = host.ok("info")
    assert told["without"] == [{"host": "h2", "set": "all"}]
    assert [each["host"] for each in told["hosts"]] == ["h1"]


def test_when_a_tape_expires(tape_host: Maker) -> None:
    """An increment on another tape keeps the base, and the last good archive does not expire by itself."""
    host = tape_host(3, lease=0)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h1", level=1, base="R1", on="B")
    host.backup("R3", "h1", on="C")
    written(host, "A", 20, keep=21)
    written(host, "B", 10, keep=21)
    written(host, "C", 0, keep=21)
    base, increment, full = host.ok("info")["tapes"]
    assert base["keep_until"] < base["expires"] == increment["expires"] == increment["keep_until"]
    assert (base["last_of"], increment["last_of"], full["last_of"]) == ([], [], ["h1"])
    host.edit("C", lambda tape: tape.update(archives=[]))
    told = host.ok("info")["tapes"]
    assert [each["last_of"] for each in told] == [["h1"], ["h1"], []]
    assert told[2]["expires"] is None
    assert [each["last_of"] for each in host.ok("info", expire_last=True)["tapes"]] == [[], [], []]


def test_the_next_tapes(tape_host: Maker) -> None:
    """In the order in which backups use them: to append, empty, expired."""
    host = tape_host(4, lease=0)
    for label in "ABD":
        host.backup("R1", "h1", on=label)
    host.edit("A", lambda tape: tape.update(full=True))
    host.edit("D", lambda tape: tape.update(full=True))
    written(host, "A", 40)
    written(host, "B", 3)
    written(host, "D", 2)
    told = host.ok("info", reuse="expired", accept_clock=True)
    assert told["wanted"] == [
        {"label": "B", "state": "append", "location": ""},
        {"label": "C", "state": "empty", "location": ""},
    ], "an archive of the same run, host and set is still needed"
    host.edit("A", lambda tape: tape["archives"][0].update(run="R0"))
    told = host.ok("info", reuse="expired", accept_clock=True)
    assert told["wanted"][2:] == [{"label": "A", "state": "expired", "location": ""}] and told["next"] == "B"
    assert [each["label"] for each in host.ok("info")["wanted"]] == ["B", "C"], "scratch"
    assert [each["label"] for each in host.ok("info", labels=["C"])["wanted"]] == ["C"]
    assert host.ok("info", labels=["X*"])["next"] is None


def test_runs_and_filters(tape_host: Maker) -> None:
    host = tape_host(2, lease=0)
    first = host.backup("R1", "h1", on="A")
    host.sink("R2", "h1", b"", labels=["B"])
    host.sink("R2", "h2", labels=["B"])
    host.backup("R2", "h1", on="B")
    told = host.ok("info")
    assert [(each["run"], each["good"], each["failed"], each["tapes"]) for each in told["runs"]] == [
        ("R2", 1, 1, ["B"]),
        ("R1", 1, 0, ["A"]),
    ]
    assert told["runs"][1]["bytes"] == first["bytes"]
    for words, tapes in (
        (["--host", "h2"], ["B"]),
        (["--run", "R1"], ["A"]),
        (["--tape", "B", "--host", "h1"], ["B"]),
        (["--tape", "B", "--run", "R1"], []),
    ):
        some = host.ok("info", *words)
        assert sorted({each["tape"] for each in some["archives"]}) == tapes
        assert [each["tapes"] for each in some["runs"]] == [[each] for each in tapes]


def test_the_last_tests_of_a_host(tape_host: Maker) -> None:
    """The newest verification of its archives; the last restore outlives them, and comes back with the catalog."""
    host = tape_host(lease=0)
    host.backup("20260101T000000Z", "h1")
    told = host.ok("info")["hosts"][0]
    assert (told["last_verified"], told["last_restored"]) == (None, None)
    host.ok("verify")
    host.ok("restored", "--host", "h1")
    host.backup("20260102T000000Z", "h1")
    host.ok("finish", "--run", "20260102T000000Z")
    told = host.ok("info")["hosts"][0]
    assert told["run"] == "20260102T000000Z" and told["last_verified"]["ok"] and told["last_restored"]["ok"]
    assert host.ok("info", set="other")["hosts"][0]["last_restored"], "of the archive's own set"
    kept = (host.catalog_dir / "restores.json").read_bytes()
    shutil.rmtree(host.catalog_dir)
    host.ok("inventory", "--rebuild")
    assert (host.catalog_dir / "restores.json").read_bytes() == kept


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"hosts": {}}', '{"format": 1, "hosts": {"h1": {"all": {"restored": {"time": 1}}}}}']
)
def test_a_damaged_record_of_restores(content: str, tape_host: Maker) -> None:
    """It is no reason to hide the archives, and the next restore replaces it."""
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    path = host.catalog_dir / restores.NAME
    path.write_text(content)
    assert host.ok("info")["hosts"][0]["last_restored"] is None
    host.ok("restored", "--host", "h1")
    assert json.loads(path.read_text())["format"] == restores.FORMAT
    assert host.ok("info")["hosts"][0]["last_restored"]["ok"]


def test_a_newer_record_of_restores(tape_host: Maker) -> None:
    """It is neither read nor overwritten."""
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    path = host.catalog_dir / restores.NAME
    path.write_text('{"format": 2}')
    for words in (["info"], ["restored", "--host", "h1"]):
        assert host.fails(*words) == (
            f"{path} has format 2, but this version of the collection reads only formats up to 1: "
            "upgrade the collection plumbing.socketpipe on the controller; nothing was changed"
        )
    assert path.read_text() == '{"format": 2}'
