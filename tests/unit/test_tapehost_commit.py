# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of its archive makes it good, if it is of this archive, and whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive, report
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
DATA = archive("R1", "h1")
UNREADABLE = "the report of h1 for run R1 cannot be read: "
NOT_WHOLE = "the list of files in the report of h1 for run R1 is not whole: run it again"
WORDS = ["commit", "--run", "R1", "--host", "h1"]


def packed(lines: int) -> bytes:
    return gzip.compress(b"./a name\n" * lines)


def test_a_report_makes_an_archive_good(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1", DATA)
    said = host.commit("R1", "h1", DATA, level=1, base="R0", tar=1, warnings=["tar: it changed"], warning_count=1)
    kept = host.tape()["archives"][0]
    assert said.answer == {**kept, "tape": "A", "paths": [], "mounted": 0}  # which may be long
    assert (kept["state"], kept["level"], kept["base"], kept["tar"], kept["files"]) == ("good", 1, "R0", 1, 2)
    listing = (host.catalog_dir / "lists" / "R1" / "all,h1.gz").read_bytes()
    assert gzip.decompress(listing) == b"./etc/\n./etc/hosts\n"
    assert host.commit("R1", "h1", DATA, level=1, base="R0").answer["state"] == "good"  # once more is harmless


def test_what_is_mounted_below_the_paths(tape_host: Maker) -> None:
    """The catalog has all of it, the answer the first ones: a task's result has its limits."""
    host = tape_host()
    host.sink("R1", "h1", DATA)
    mounted = [f"/{number}/{'x' * 2000}" for number in range(5)]
    answer = host.commit("R1", "h1", DATA, other_file_systems=mounted).answer
    assert answer["mounted"] == 5
    assert answer["other_file_systems"] == [each[:1000] for each in mounted[:3]]
    assert host.tape()["archives"][0]["other_file_systems"] == mounted


def test_a_list_of_many_names(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1", DATA)
    done = host.run(*WORDS, data=report("R1", "h1", DATA, listing=packed(400_000), files=400_000))
    assert done.answer["files"] == 400_000


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"run": "R2"}, "this is the report of run R2 of h1, set all: it does not belong here"),
    ({"host": "h2"}, "this is the report of run R1 of h2, set all: it does not belong here"),
    ({"set": "www"}, "this is the report of run R1 of h1, set www: it does not belong here"),
    ({"run": 5}, UNREADABLE),
    ({"bytes": "8192"}, UNREADABLE),
    ({"bytes": True}, UNREADABLE),
    ({"bytes": 0}, UNREADABLE),
    ({"bytes": -8192}, UNREADABLE),
    ({"bytes": 8192.0}, UNREADABLE),
    ({"sha256": None}, UNREADABLE),
    ({"sha256": "0" * 63}, UNREADABLE),
    ({"level": 10, "base": "R0"}, UNREADABLE),
    ({"level": 1}, UNREADABLE),
    ({"base": "R0"}, UNREADABLE),
    ({"time": "yesterday"}, UNREADABLE),
    ({"time": None}, UNREADABLE),
    ({"paths": "/etc"}, UNREADABLE),
    ({"warnings": [1]}, UNREADABLE),
    ({"other_file_systems": "/home"}, UNREADABLE),
    ({"files": None}, UNREADABLE),
    ({"files": 3}, NOT_WHOLE),
    ({"listing": b""}, NOT_WHOLE),
    ({"listing": b"garbage"}, NOT_WHOLE),
    ({"listing": packed(2)[:-1]}, NOT_WHOLE),
    ({"listing": packed(2) + b"more"}, NOT_WHOLE),
    ({"listing": packed(1)}, NOT_WHOLE),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_a_report_that_is_refused(change: dict[str, Any], sentence: str, tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1", DATA)
    before = host.tape()
    assert host.fails(*WORDS, data=report("R1", "h1", DATA, **change)).startswith(sentence)
    assert host.tape() == before


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"5\n", b"\xff\n", b"[" * 100_000, b"x" * 3_000_000, b'{"run": "R1"'],
)
def test_what_is_no_report(text: bytes, tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1", DATA)
    assert host.fails(*WORDS, data=text).startswith(UNREADABLE)
    assert host.states() == [(1, "h1", "written")]


def test_other_bytes_than_on_the_tape(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1", DATA)
    said = host.fails(*WORDS, data=report("R1", "h1", DATA + b"x" * 512))
    assert said == "tape A, file 1: the host sent 8704 bytes, and 8192 are on the tape: run it again"
    assert host.states() == [(1, "h1", "failed")]
    assert host.commit("R1", "h1", DATA).said.startswith("run R1 has no whole archive of h1 in the catalog ")


def test_a_report_of_another_archive_does_no_harm(tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R1", "h1", data=DATA)
    sentence = "tape A, file 1: the archive of h1 is good already, and this is the report of another one: run it again"
    for data in (DATA + b"x" * 512, DATA[::-1]):
        assert host.commit("R1", "h1", data).said == sentence
    assert host.states() == [(1, "h1", "good")]


def test_there_is_no_archive(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1", b"x")
    host.sink("R2", "h1")
    host.sink("R1", "h2")
    sentence = "run R1 has no whole archive of h1 in the catalog %s" % host.catalog_dir
    assert host.commit("R1", "h1", DATA).said == sentence


@pytest.mark.parametrize("failed_on", ["A", "B"])
def test_of_several_attempts_the_one_that_succeeded(failed_on: str, tape_host: Maker) -> None:
    host = tape_host(2)
    host.sink("R1", "h1", b"x", labels=[failed_on])
    other = "B" if failed_on == "A" else "A"
    host.sink("R1", "h1", DATA, labels=[other], steal=True)
    assert host.commit("R1", "h1", DATA).answer["tape"] == other
    assert (host.states(failed_on), host.states(other)) == ([(1, "h1", "failed")], [(1, "h1", "good")])


@pytest.mark.parametrize("first", ["A", "B"])
def test_of_several_attempts_the_last(first: str, tape_host: Maker) -> None:
    """Of the first no report has come."""
    host = tape_host(2)
    second = "B" if first == "A" else "A"
    host.sink("R1", "h1", DATA, labels=[first])
    host.edit(first, lambda tape: tape["archives"][0].update(time="2001-01-01T00:00:00Z"))
    host.sink("R1", "h1", DATA, labels=[second])
    assert host.commit("R1", "h1", DATA).answer["tape"] == second
    assert (host.states(first), host.states(second)) == ([(1, "h1", "written")], [(1, "h1", "good")])


def test_of_several_archives_the_last(tape_host: Maker) -> None:
    """A job that is relaunched without tape_resume makes all of them again."""
    host = tape_host()
    host.backup("R1", "h1", data=DATA)
    data = archive("R1", "h1", size=9000)
    host.sink("R1", "h1", data)
    assert host.commit("R1", "h1", data).answer["file"] == 2
    assert host.states() == [(1, "h1", "good"), (2, "h1", "good")]


def test_the_catalog_that_it_makes(tape_host: Maker) -> None:
    """What others read: keys only come, they do not go."""
    host = tape_host()
    host.backup("R1", "h1", data=DATA)
    tape = json.loads((host.catalog_dir / "tapes" / "A.json").read_text())
    assert set(tape) >= {"label", "id", "barcode", "block_size", "labelled", "archives", "full", "medium"}
    assert set(tape["archives"][0]) >= {
        *("kind", "run", "host", "set", "level", "base", "time", "paths", "file", "block_size", "bytes", "sha256"),
        *("state", "keep_until", "elapsed", "rate", "tar", "warnings", "warning_count", "files"),
        "other_file_systems",
    }
