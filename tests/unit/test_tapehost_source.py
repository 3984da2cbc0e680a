# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading archives back: all of one, or a failure; and verifying, which tells a bad one from one that is not here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive, tar_of
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost, command, wait_for

Maker = Callable[..., TapeHost]
DATA = archive("R1", "h1", size=20_000)
SOURCE = ["source", "--tape", "A", "--file", "1"]


@pytest.fixture
def host(tape_host: Maker) -> TapeHost:
    made: TapeHost = tape_host()
    made.backup("R1", "h1", data=DATA)
    return made


def path(host: TapeHost) -> Path:
    return host.tapes[0] / "000001"


def test_all_of_it(host: TapeHost) -> None:
    done = host.run(*SOURCE)
    assert (done.status, done.out) == (0, DATA)


@pytest.mark.parametrize("size", [512, 1024, 10_240, 65536])
def test_an_archive_of_another_block_size(size: int, tape_host: Maker) -> None:
    host = tape_host()
    data = archive("R1", "h1", block=size)
    assert host.sink("R1", "h1", data, block_size=size).answer["block_size"] == size
    assert host.commit("R1", "h1", data).status == 0
    assert host.run(*SOURCE).out == data
    assert host.ok("chain", "--host", "h1")["archives"][0]["block_size"] == size
    assert host.ok("verify")["failed"] == []


BAD: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda data: b"", "tape A, file 1: there is no data: is this the right tape, or was it overwritten "),
    (lambda data: data[:-4096], "tape A, file 1 has %d bytes, but %d were written: it is damaged"),
    (lambda data: data[:-1], "tape A, file 1 has %d bytes, but %d were written: it is damaged"),
    (lambda data: data + b"\0" * 4096, "tape A, file 1 has %d bytes, but %d were written: it is damaged"),
]


@pytest.mark.parametrize(("change", "sentence"), BAD)
def test_not_just_what_was_written(change: Callable[[bytes], bytes], sentence: str, host: TapeHost) -> None:
    left = change(DATA)
    path(host).write_bytes(left)
    said = sentence % (len(left), len(DATA)) if "%" in sentence else sentence
    assert host.run(*SOURCE).said.startswith(said)
    assert host.run(*SOURCE).status == 1
    failed = host.ok("verify")["failed"]
    assert [each["problem"].startswith(said) for each in failed] == [True]
    assert host.tape()["archives"][0]["verified"]["ok"] is False


def test_it_is_not_there(host: TapeHost) -> None:
    path(host).unlink()
    assert host.run(*SOURCE).said == "the virtual tape %s has no tape file 1: was it removed?" % host.tapes[0]
    for number in (0, 2, -1):
        said = host.fails("source", "--tape", "A", "--file", number)
        assert said == "tape A has no file %d in the catalog: tape_inventory lists its archives" % number


def test_whoever_reads_is_gone(host: TapeHost) -> None:
    """A restore that has failed on its host: not more than a sentence, and the drive is free."""
    environment = host.environment({})
    with subprocess.Popen(command(*SOURCE), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 1
    assert said.startswith("tape A, file 1 cannot be read: ")
    assert host.run(*SOURCE).status == 0


def test_a_tape_that_is_in_no_drive(host: TapeHost, tape_host: Maker) -> None:
    other = tape_host(labelled=False)
    other.ok("label", "--label", "B")
    devices = {"devices": [str(other.tapes[0])]}
    said = host.run(*SOURCE, **devices).said
    assert said.startswith("tape A is in no drive: drive %s: its tape B is not in " % other.tapes[0])
    # a person brings it
    (host.folder / "slot").symlink_to(other.tapes[0])
    process = host.start(*SOURCE, devices=[str(host.folder / "slot")], wait=30)
    wait_for(lambda: "waiting for tape A: drive " in host.said(process))
    (host.folder / "slot").unlink()
    (host.folder / "slot").symlink_to(host.tapes[0])
    done = host.end(process)
    assert (done.status, done.out) == (0, DATA)


def test_the_drive_is_busy(host: TapeHost) -> None:
    writing = host.start("sink", "--run", "R1", "--host", "h2")
    wait_for(lambda: len(host.states()) == 2)
    assert "is in use for the archive of h2 in run R1, since" in host.run(*SOURCE).said
    reading = host.start(*SOURCE, wait=30)
    wait_for(lambda: "waiting for tape A: " in host.said(reading))
    assert host.end(writing, archive("R1", "h2")).status == 0
    assert host.end(reading).out == DATA


# verify


def test_verify(host: TapeHost) -> None:
    host.sink("R2", "h2", steal=True)
    host.sink("R2", "h3", b"x")
    answer = host.ok("verify")
    assert [(each["host"], each["file"]) for each in answer["verified"]] == [("h1", 1), ("h2", 2)]
    assert answer["failed"] == []
    # one whose host has never reported is good now; one that failed is not looked at
    assert host.states() == [(1, "h1", "good"), (2, "h2", "good"), (3, "h3", "failed")]
    kept = host.tape()["archives"]
    assert [each.get("verified", {}).get("ok") for each in kept] == [True, True, None]
    assert kept[1]["sha256"] and kept[1]["bytes"] == 8192


@pytest.mark.parametrize(
    ("words", "hosts"),
    [
        ([], ["h1", "h1", "h2"]),
        (["--run", "R1"], ["h1"]),
        (["--host", "h1"], ["h1", "h1"]),
        (["--run", "R2", "--host", "h2"], ["h2"]),
        (["--tape", "A"], ["h1", "h1", "h2"]),
        (["--tape", "B"], []),
    ],
)
def test_verify_some(words: list[str], hosts: list[str], host: TapeHost) -> None:
    host.settings["steal"] = True
    host.backup("R2", "h1")
    host.backup("R2", "h2")
    assert [each["host"] for each in host.ok("verify", *words)["verified"]] == hosts


def test_damaged_bytes(host: TapeHost) -> None:
    data = bytearray(DATA)
    data[9000] ^= 1
    path(host).write_bytes(data)
    assert host.run(*SOURCE).status == 0  # extract compares it with the checksum
    problem = host.ok("verify")["failed"][0]["problem"]
    assert problem.startswith("tape A, file 1: its SHA-256 is ")
    assert problem.endswith(" at the source: it is damaged")
    assert host.states() == [(1, "h1", "good")]


def test_a_tape_on_the_shelf_is_not_a_bad_one(host: TapeHost, tape_host: Maker) -> None:
    other = tape_host()
    answer = host.ok("verify", devices=[str(other.tapes[0])])
    assert (answer["verified"], answer["failed"]) == ([], [])
    assert answer["not_verified"][0]["problem"].startswith("tape A is in no drive: ")
    assert "verified" not in host.tape()["archives"][0]


def test_a_tape_is_waited_for_once(tape_host: Maker) -> None:
    host = tape_host(2, lease=0)
    for run, tape in (("R1", "A"), ("R2", "A"), ("R3", "B")):
        host.backup(run, "h1", on=tape)
    done = host.run("verify", wait=1, devices=[str(host.tapes[1])])
    assert [each["run"] for each in done.answer["verified"]] == ["R3"]
    assert (done.answer["failed"], [each["run"] for each in done.answer["not_verified"]]) == ([], ["R1", "R2"])
    assert "tape A is in no drive within 0:00:01: " in done.answer["not_verified"][1]["problem"]
    # what is there is not kept waiting by what is not
    told, verified, waiting = done.err.splitlines()
    assert told == "verifying tape B, file 1: 0 of 3 archives were read before, 0 B"
    assert verified == "verified tape B, file 1" and waiting.startswith("waiting for tape A: drive ")
    assert waiting.endswith("; for up to 0:00:01 (tape_wait)")


def rewrite(host: TapeHost, data: bytes) -> None:
    """An archive of which only the tape says anything."""
    path(host).write_bytes(data)
    host.edit("A", lambda tape: tape["archives"][0].update(bytes=None, sha256=None, state="written"))


CUT = tar_of("R1 h1 0 2026-11-01T01:00:00Z all", size=3072)  # two heads, 3072 bytes, and an end


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (DATA[:8192], "tar cannot list it: tar: Unexpected EOF in archive: it was cut off"),
        (b"what is this? " * 1000, "tar cannot list it: tar: "),
        (CUT.rstrip(b"\0") + b"\0" * (-len(CUT.rstrip(b"\0")) % 512), "does not end like an archive"),
        (DATA, ""),
    ],
)
def test_an_archive_of_which_nothing_is_known(data: bytes, problem: str, host: TapeHost) -> None:
    rewrite(host, data)
    answer = host.ok("verify")
    failed = answer["failed"]
    assert [problem in each["problem"] for each in failed] == ([True] if problem else [])
    assert host.states() == [(1, "h1", "written" if problem else "good")]
    assert [each["bytes"] for each in answer["verified"]] == ([] if problem else [len(data)])


def test_the_options_of_an_environment_are_not_those_of_our_programs(host: TapeHost) -> None:
    def options() -> None:
        os.environ["TAR_OPTIONS"] = "--no-such-option"

    assert host.run("verify", before=options).answer["failed"] == []
    assert host.run("finish", "--run", "R1", before=options).answer["warnings"] == []


def test_tar_has_much_to_say(host: TapeHost) -> None:
    host.tool("tar", "cat > /dev/null; yes 'tar: Ignoring unknown extended header keyword' | head -c 300000 >&2")
    assert host.ok("verify")["failed"] == []


@pytest.mark.parametrize("tool", ["tar", "sha256sum", "tee", "tail"])
def test_a_tool_that_fails(tool: str, host: TapeHost) -> None:
    host.tool(tool, "cat > /dev/null; exit 3")
    assert len(host.ok("verify")["failed"]) == 1
    assert host.states() == [(1, "h1", "good")]


def test_a_tool_that_is_not_there(host: TapeHost, monkeypatch: Any) -> None:
    host.path = str(host.folder)
    answer = host.ok("verify")
    assert answer["not_verified"][0]["problem"] == "there is no sha256sum on this host: install it"
    assert (answer["failed"], "verified" in host.tape()["archives"][0]) == ([], False)
