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
NOT_WHOLE = "the list of files in the report of h1 for run R1 is incomplete: run the backup again"
WORDS = ["commit", "--run", "R1", "--host", "h1"]


def packed(lines: int) -> bytes:
    return gzip.compress(b"./a name\n" * lines)


def test_a_report_makes_an_archive_good(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R0", "h1")
    host.sink("R1", "h1", DATA)
    told = {"warnings": ["tar: it changed"], "warning_count": 1, "left_out": {"tape_excludes: *.o": 3}}
    said = host.commit("R1", "h1", DATA, level=1, base="R0", tar=1, **told)
    kept = host.tape()["archives"][1]
    more = {"left_out": told["left_out"]}  # which the catalog does not need
    assert said.answer == {**kept, "tape": "A", "paths": [], "mounted": 0, **more}  # which may be long
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
    ({"run": "R2"}, "this is the report of run R2 of h1, set all: it belongs to another archive"),
    ({"host": "h2"}, "this is the report of run R1 of h2, set all: it belongs to another archive"),
    ({"set": "www"}, "this is the report of run R1 of h1, set www: it belongs to another archive"),
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
    ({"machine_id": "db1"}, UNREADABLE),
    ({"machine_id": 5}, UNREADABLE),
    ({"incomplete": "no"}, UNREADABLE),
    ({"level_problem": None}, UNREADABLE),
    ({"left_out": []}, UNREADABLE),
    ({"left_out": {"x": -1}}, UNREADABLE),
    ({"left_out": {"x": "1"}}, UNREADABLE),
    ({"left_out": {"x": True}}, UNREADABLE),
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
    assert said == "tape A, file 1: the host sent 8704 bytes, but 8192 are on the tape: run the backup again"
    assert host.states() == [(1, "h1", "failed")]
    assert host.commit("R1", "h1", DATA).said.startswith("run R1 has no complete archive of h1 in the catalog ")


def test_a_report_of_another_attempt_does_no_harm(tape_host: Maker) -> None:
    """An archive that outlived its job is committed by the next one, and the host may have made another since."""
    host = tape_host()
    words = ("--run", "R1", "--host", "h1", "--level", 0)
    assert host.run("sink", *words, "--attempt", "a1", data=DATA).status == 0
    assert host.run("base", *words).answer["planned"]["written"]
    sentence = "tape A, file 1: the archive of h1 is of another attempt than its report: run the backup again"
    for attempt in ({}, {"attempt": "a2"}):
        assert host.fails(*WORDS, data=report("R1", "h1", DATA, **attempt)) == sentence
    assert host.states() == [(1, "h1", "written")]
    assert host.commit("R1", "h1", DATA, attempt="a1").answer["state"] == "good"
    assert not host.run("base", *words).answer["planned"]["written"]
    # of one that a job has seen written, or of another attempt that followed, nothing is said
    host.sink("R2", "h1", DATA)
    host.run("sink", "--run", "R3", "--host", "h1", "--attempt", "a3", data=DATA)
    host.sink("R3", "h1", DATA)
    for run in ("R2", "R3"):
        assert not host.run("base", "--run", run, *words[2:]).answer["planned"]["written"]


def test_a_report_of_another_archive_does_no_harm(tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R1", "h1", data=DATA)
    sentence = (
        "tape A, file 1: the archive of h1 is already good, but this report is of another one: run the backup again"
    )
    for data in (DATA + b"x" * 512, DATA[::-1]):
        assert host.commit("R1", "h1", data).said == sentence
    assert host.states() == [(1, "h1", "good")]


def test_there_is_no_archive(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1", b"x")
    host.sink("R2", "h1")
    host.sink("R1", "h2")
    sentence = "run R1 has no complete archive of h1 in the catalog %s" % host.catalog_dir
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


OLD, NEW = "0" * 32, "1" * 32


def test_another_machine_of_the_same_name(tape_host: Maker) -> None:
    """It is refused until somebody says that it is the host's now; and then it is the other one that is refused."""
    host = tape_host(lease=0)
    host.backup("R1", "h1", machine_id=OLD)
    host.backup("R2", "h1", machine_id=None)  # of an older archiver, or of a container that has none
    host.backup("R3", "h1", machine_id=OLD)
    host.backup("R3", "h2", machine_id=NEW)
    data = archive("R4", "h1")
    host.sink("R4", "h1", data)
    assert host.commit("R4", "h1", data, machine_id=NEW).said == (
        "tape A, file 5: it is of machine %s, but the last good archive of h1 is of machine %s "
        "(/etc/machine-id): two hosts with the same name must not share a tape host; after a reinstallation "
        "set tape_accept_new_machine once" % (NEW, OLD)
    )
    assert host.states()[-1] == (5, "h1", "failed")
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R3"]
    host.backup("R5", "h1", machine_id=OLD)
    host.settings["accept_new_machine"] = True
    host.backup("R7", "h1", machine_id=NEW)
    host.settings["accept_new_machine"] = False
    host.backup("R8", "h1", machine_id=NEW)
    data = archive("R9", "h1")
    host.sink("R9", "h1", data)
    assert "it is of machine %s, but" % OLD in host.commit("R9", "h1", data, machine_id=OLD).said
    # the archiver is told before anything is read
    request = json.dumps({"run": "R10", "hosts": {name: {"level": 0} for name in ("h1", "h2", "h3")}}).encode()
    hosts = host.ok("plan", data=request)["hosts"]
    assert [hosts[name]["machine_id"] for name in ("h1", "h2", "h3")] == [NEW, NEW, None]
    assert host.ok("plan", data=request, accept_new_machine=True)["hosts"]["h1"]["machine_id"] is None


def test_a_level_that_the_host_could_not_make(tape_host: Maker) -> None:
    """Its state was lost: it says so, and the next archive is based on the new level 0."""
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    data = archive("R2", "h1")
    host.sink("R2", "h1", data, 1, "R1")
    why = "level 0 instead of 1: no state of run R1 is on this host"
    done = host.commit("R2", "h1", data, level=0, base=None, level_problem=why)
    assert (done.answer["level"], done.answer["base"], done.answer["level_problem"]) == (0, None, why)
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R2"]
    request = json.dumps({"run": "R3", "hosts": {"h1": {"level": 1}}}).encode()
    assert host.ok("plan", data=request)["hosts"]["h1"]["base"] == "R2"


def test_an_increment_to_what_is_not_known(tape_host: Maker) -> None:
    """The catalog was lost between the plan and the report, or the base's tape was begun afresh."""
    host = tape_host(lease=0)
    data = archive("R2", "h1", 1)
    host.sink("R2", "h1", data, 1, "R1")
    answer = host.commit("R2", "h1", data, level=1, base="R1", warnings=["x"], warning_count=1).answer
    text = "its base, run R1, is not in the catalog: run level 0"
    assert (answer["base_problem"], answer["warnings"], answer["warning_count"]) == (text, ["x"], 1)
    request = json.dumps({"run": "R3", "hosts": {"h1": {"level": 1}}}).encode()
    answer = host.ok("plan", data=request)
    assert answer["hosts"]["h1"]["level"] == 0
    why = "level 0 instead of 1, because there is no archive to base it on"
    assert answer["warnings"] == [f"h1: {why}"]
    assert host.ok("plan", data=request, set="all.shop")["warnings"] == [f"h1 (set all.shop): {why}"]


def test_an_archive_with_errors_is_no_base(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.backup("R2", "h1", incomplete=True)
    request = json.dumps({"run": "R3", "hosts": {"h1": {"level": 1}}}).encode()
    assert host.ok("plan", data=request)["hosts"]["h1"]["base"] == "R1"
    (found,) = host.ok("chain", "--host", "h1")["archives"]
    assert (found["run"], found["incomplete"]) == ("R2", True)
