# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of archives: the options, the stages that they become, and what the two programs make of such an archive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import filters
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_filters
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive, report
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Host
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
ZSTD: Any = {"kind": "command", "write": ["zstd", "-3"], "read": ["zstd", "-d"]}
GPG: Any = {"kind": "command", "write": ["gpg", "-e"], "read": ["gpg", "-d"], "encrypts": True}
KEY = "age1" + "q" * 58
AGE: Any = {"kind": "age", "recipients": [KEY]}
PACKED = b"what a program made of it, in no whole block"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, []),
        ({"tape_filter": [], "tape_recipients": []}, []),
        ({"tape_filter": {"write": "zstd -3", "read": "zstd -d"}}, [ZSTD]),
        ({"tape_filter": {"write": ["zstd", "-3"], "read": ["zstd", "-d"], "encrypts": False}}, [ZSTD]),
        ({"tape_filter": [{"write": "zstd -3", "read": "zstd -d"}], "tape_recipients": [KEY]}, [ZSTD, AGE]),
        ({"tape_filter": {"write": "gpg -e", "read": "gpg -d", "encrypts": True}}, [GPG]),
    ],
)
def test_options(given: dict[str, Any], found: list[Any]) -> None:
    assert _tape_filters.filters_of(given) == found
    filters.check(found, "this archive")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("zstd", "must be a mapping with write and read, or a list of these, not 'zstd'"),
        ({"write": "zstd"}, "read is required: the command that undoes what write does"),
        ({"read": "zstd -d"}, "write is required: the command that packs"),
        ({"write": "zstd", "read": "zstd -d", "level": 3}, "has no 'level': its keys are write, read and encrypts"),
        ({"write": "zstd", "read": "zstd -d", "encrypts": "maybe"}, "encrypts must be true or false"),
        ({"write": "zstd '", "read": "zstd -d"}, "write: No closing quotation"),
        ({"write": 5, "read": "zstd -d"}, "write must be a command, not 5"),
        (
            {"write": "zstd | age -r x", "read": "zstd -d"},
            "write: no shell runs '|': give a list of filters, each with its own write and read",
        ),
        (
            {"write": "x" * 600, "read": "x" * 600},
            "the commands have more than 1000 characters: put them into a script on the hosts",
        ),
    ],
)
def test_a_filter_that_is_refused(given: Any, said: str) -> None:
    with pytest.raises(Failure) as caught:
        _tape_filters.filters_of({"tape_filter": given})
    assert (caught.value.kind, caught.value.msg) == ("settings", f"tape_filter: {said}")


@pytest.mark.parametrize("recipient", ["", "bob", "age1", "AGE-SECRET-KEY-1QQQ", "-R /etc/shadow", f"{KEY}\n-x"])
def test_a_recipient_that_is_refused(recipient: str) -> None:
    with pytest.raises(Failure) as caught:
        _tape_filters.filters_of({"tape_recipients": [recipient]})
    assert caught.value.msg == (
        f"tape_recipients: {recipient!r} is not a recipient of age: give a public key, age1… of age-keygen or "
        "ssh-ed25519 … of ssh-keygen"
    )


def test_stages() -> None:
    written = _tape_filters.writing([ZSTD, AGE], {"A": "1"})
    assert [(each["name"], each["argv"]) for each in written] == [
        ("filter 1", ["zstd", "-3"]),
        ("filter 2", ["age", "-r", KEY]),
    ]
    entry: Any = {"host": "h1", "run": "R1", "filters": [ZSTD, AGE]}
    read = _tape_filters.reading(entry, [], "/root/key", {})
    assert [each["argv"] for each in read] == [["age", "-d", "-i", "/root/key"], ["zstd", "-d"]]
    assert filters.recipe([ZSTD, AGE]) == "age -d -i IDENTITY | zstd -d"
    assert [each["name"] for each in _tape_filters.writing([ZSTD], {})] == ["filter"]
    assert _tape_filters.reading({**entry, "filters": None}, [], "", {}) == []


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        (["zstd", "-d"], True),
        (["zstd", "-dc", "-T0", "--long=31"], True),
        (["xz", "--decompress", "--stdout"], True),
        (["pigz", "-dc"], True),
        (["zstd", "-d", "-o", "/etc/passwd"], False),
        (["zstd", "-D", "/etc/passwd"], False),
        (["gzip", "-d", "/etc/passwd"], False),
        (["/tmp/zstd", "-d"], False),
        (["sh", "-c", "zstd -d"], False),
        (["gpg", "-d"], False),
    ],
)
def test_what_a_catalog_may_run(words: list[str], runs: bool) -> None:
    """Anything else only if the task gives the same command."""
    entry: Any = {"host": "h1", "run": "R1", "filters": [{**ZSTD, "read": words}]}
    own: Any = [{**ZSTD, "read": words}]
    assert [each["argv"] for each in _tape_filters.reading(entry, own, "", {})] == [words]
    if runs:
        assert [each["argv"] for each in _tape_filters.reading(entry, [], "", {})] == [words]
    else:
        with pytest.raises(Failure, match="which only the catalog names"):
            _tape_filters.reading(entry, [], "", {})


# -- the program on the tape host


def clear(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def packed_archive(host: TapeHost, run: str, which: list[Any], **more: Any) -> Any:
    data = archive(run, "h1")
    assert host.sink(run, "h1", PACKED, filters=which).status == 0
    fields = {"filters": which, "clear": clear(data), **more}
    return host.run("commit", "--run", run, "--host", "h1", data=report(run, "h1", PACKED, **fields))


def test_a_packed_archive(tape_host: Maker) -> None:
    """Its last block is as short as it is; what is compared at a verification is the checksum of its host."""
    host = tape_host(lease=0)
    assert host.sink("R0", "h1", PACKED).said.endswith(
        "does not consist of blocks of tape_block_size: run the backup again"
    )
    assert packed_archive(host, "R1", [ZSTD]).status == 0
    (entry,) = [each for each in host.tape()["archives"] if each["state"] == "good"]
    assert (entry["bytes"], entry["clear"], entry["filters"]) == (len(PACKED), clear(archive("R1", "h1")), [ZSTD])
    assert host.ok("verify")["verified"][0]["bytes"] == len(PACKED)
    (link,) = host.ok("chain", "--host", "h1")["archives"]
    assert (link["filters"], link["unfiltered"]) == ([ZSTD], entry["clear"])
    path = host.tapes[0] / ("%06d" % entry["file"])
    path.write_bytes(PACKED[::-1])
    assert "its SHA-256 is " in host.ok("verify")["failed"][0]["problem"]
    assert host.ok("find", "--path", "etc/hosts")["found"]


def test_an_encrypted_archive_has_no_list(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    for which in ([AGE], [GPG]):
        assert "unlisted" in packed_archive(host, "R1", which).said  # a report with the names of its files
        done = packed_archive(host, "R1", which, unlisted=True, listing=b"")
        assert done.status == 0, done.err
        assert not list(host.catalog_dir.glob("lists/R1/*"))
        assert "h1 of run R1 (it is encrypted)" in host.ok("find", "--path", "etc/hosts")["unread"]


@pytest.mark.parametrize(
    "change",
    [
        {"clear": None},
        {"clear": {"bytes": 0, "sha256": "0" * 64}},
        {"clear": {"bytes": 1, "sha256": "0"}},
        {"filters": "zstd"},
        {"filters": [{"kind": "sealed"}]},
        {"filters": [{**ZSTD, "read": []}]},
        {"filters": [{**ZSTD, "more": 1}]},
        {"unlisted": True, "listing": b""},
    ],
)
def test_a_report_that_is_refused(change: dict[str, Any], tape_host: Maker) -> None:
    host = tape_host()
    done = packed_archive(host, "R1", [ZSTD], **change)
    assert done.status == 1 and done.said.startswith("the report of h1 for run R1 cannot be read: ")
    assert host.states() == [(1, "h1", "written")]


def test_an_archive_whose_host_was_lost(tape_host: Maker) -> None:
    """Nobody knows its checksum, and tar cannot list it: it is neither good nor bad."""
    host = tape_host()
    host.sink("R1", "h1", PACKED, filters=[ZSTD])
    (found,) = host.ok("verify")["not_verified"]
    assert found["problem"].startswith("tape A, file 1: its host has not reported its checksum, and it is no plain")
    assert host.states() == [(1, "h1", "written")]


def test_a_filter_of_a_later_version(tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R1", "h1")
    host.edit("A", lambda tape: tape["archives"][0].update(filters=[{"kind": "sealed"}]))
    assert host.fails("chain", "--host", "h1") == (
        "the archive of h1 of run R1 on tape A was written through the filter 'sealed', which this version of the "
        "collection does not know: upgrade the collection plumbing.socketpipe on the controller; nothing was changed"
    )


def test_the_label_has_the_commands(tape_host: Maker) -> None:
    host = tape_host(labelled=False)
    for which, line in (
        ([], b"dd if=DEV bs=4096 | age -d -i IDENTITY | zstd -d | tar -xpf - -C /some/where"),
        ([GPG], b"dd if=DEV bs=4096 | gpg -d | tar -xpf - -C /some/where"),
    ):
        host.ok("label", "--label", "A", filters=which)
        assert line in (host.tapes[0] / "000000").read_bytes()


# -- the program on the host


def test_sealed(tmp_path: Path) -> None:
    """The report has what went to the tape; without it there is none, and of what is encrypted no name is in it."""
    host = Host(tmp_path)
    host.file("of-a-secret-name", "content")
    host.settings["filters"] = [ZSTD]
    done = host.run(*host.words())
    assert done.returncode == 0, done.stderr
    assert "has no complete archive on this host" in host.said("report", "--run", "R0")
    sealed = host.run("seal", "--run", "R0", data=PACKED)
    assert (sealed.returncode, sealed.stdout) == (0, PACKED)
    facts, names = host.report()
    assert {key: facts[key] for key in ("bytes", "sha256")} == clear(PACKED)
    assert facts["clear"] == clear(done.stdout) and names[-1].endswith("of-a-secret-name")
    path = host.state_dir / "R0.json"
    facts = {**json.loads(path.read_text()), "filters": [AGE], "warnings": ["tar: of-a-secret-name: changed"]}
    path.write_text(json.dumps(facts))
    said = host.run("report", "--run", "R0").stdout
    assert json.loads(said)["unlisted"] and b"secret" not in said.replace(str(tmp_path).encode(), b"")
    host.run(*host.words())  # the same run once more: the seal was of the attempt before
    assert "has no complete archive on this host" in host.said("report", "--run", "R0")


def test_a_seal_whose_reader_has_gone_or_whose_input_breaks(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.state_dir.mkdir(parents=True)
    host.program("tee", "REAL >/dev/null; echo tee: read error >&2; exit 1")
    assert host.said("seal", "--run", "R0", data=PACKED) == "archiver seal: the archive was cut off: tee: read error"
    assert host.states() == []
