# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of the catalog that cannot be read is one tape missing: with a warning, and nothing unknown counts as free."""

from __future__ import annotations

import builtins
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import records
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive, report
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
Damage = Callable[[Path], Callable[[], object]]


def catalog_file(host: TapeHost, label: str = "A") -> Path:
    return host.catalog_dir / "tapes" / (label + ".json")


def content(change: Callable[[bytes], bytes]) -> Damage:
    def damage(path: Path) -> Callable[[], object]:
        path.write_bytes(change(path.read_bytes()))
        return lambda: None

    return damage


def value(**changes: Any) -> Damage:
    def change(data: bytes) -> bytes:
        tape = json.loads(data)
        tape["archives"][0].update(changes)
        return json.dumps(tape).encode()

    return content(change)


def error(number: int) -> Damage:
    """The kernel says so when the file is opened, also to root."""

    def damage(path: Path) -> Callable[[], object]:
        def before() -> None:
            really = builtins.open

            def opened(name: Any, *args: Any, **options: Any) -> Any:
                if name == str(path):
                    raise OSError(number, os.strerror(number), name)
                return really(name, *args, **options)

            builtins.open = opened  # type: ignore[assignment] # it ends with this process

        return before

    return damage


def folder(path: Path) -> Callable[[], object]:
    path.unlink()
    path.mkdir()
    return lambda: None


def link(path: Path) -> Callable[[], object]:
    path.unlink()
    path.symlink_to("nowhere")
    return lambda: None


DAMAGES: dict[str, tuple[Damage, str]] = {
    "truncated": (content(lambda data: data[: len(data) // 2]), " is damaged ("),
    "empty": (content(lambda data: b""), " is damaged (Expecting value"),
    "binary": (content(lambda data: b"\x00\xff\xfe" * 100), " is damaged ('utf-8' codec"),
    "zeros": (content(lambda data: b"\x00" * len(data)), " is damaged ("),
    "not a tape": (content(lambda data: b'{"archives": {}}'), " is damaged (it belongs to another tape than A)"),
    "of another": (
        content(lambda data: data.replace(b'"A"', b'"B"')),
        " is damaged (it belongs to another tape than A)",
    ),
    "a state": (value(state="gud"), " is damaged (it belongs to another tape than A)"),
    "a kind": (value(kind="archiv"), " is damaged (it belongs to another tape than A)"),
    "a type": (value(level="0"), " is damaged (it belongs to another tape than A)"),
    "EIO": (error(errno.EIO), " is damaged (Input/output error)"),
    "EACCES": (
        error(errno.EACCES),
        ": Permission denied, so the catalog has no entries of tape A: this program runs as",
    ),
    "a folder": (folder, " is damaged (Is a directory)"),
    "a link": (link, " is damaged (No such file or directory)"),
}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, tape_host: Maker) -> tuple[TapeHost, Callable[[], object], str]:
    """Level 0 on A, level 1 on B, and of both nothing must be kept; A's file is damaged: how, and the warning."""
    host = tape_host(2, lease=0, reuse="expired", expire_last=True)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h1", 1, "R1", on="B")
    host.edit("A", lambda tape: tape.update(full=True))
    host.edit("B", lambda tape: [tape.update(full=True), tape["archives"][0].update(keep_until=0)])
    damage, text = DAMAGES[request.param]
    return host, damage(catalog_file(host)), str(catalog_file(host)) + text


def test_it_is_one_tape_missing(damaged: tuple[TapeHost, Callable[[], object], str]) -> None:
    host, before, warning = damaged

    def answer(*words: object, **more: Any) -> dict[str, Any]:
        found = host.run(*words, before=before, **more).answer
        assert [each.startswith(warning) for each in found["warnings"]].count(True) == 1
        return found

    request = json.dumps({"run": "R9", "hosts": {"h1": {"level": 1}}}).encode()
    planned = answer("plan", data=request, wait="1h")
    assert {(each["label"], each["state"]) for each in planned["drives"]} == {("B", "unfit"), (None, "unknown")}
    assert planned["hosts"]["h1"]["level"] == 0  # there is nothing that it could be based on
    seen = answer("info")
    assert [(tape["label"], tape["expired"]) for tape in seen["tapes"]] == [("B", False)]
    assert (seen["next"], [each["tape"] for each in seen["archives"]]) == (None, ["B"])
    assert [each["tape"] for each in answer("find", "--path", "/etc/hosts")["found"]] == ["B"]
    assert answer("inventory")["tapes"][0]["expired"] is False
    assert [each["tape"] for each in answer("verify")["verified"]] == ["B"]
    assert [each["tape"] for each in answer("finish", "--run", "R2")["archives"]] == ["B"]
    broken = host.run("chain", "--host", "h1", before=before)
    assert broken.status == 1
    assert broken.said.startswith("the archive of h1 in run R2 is based on that of run R1, which is not in the")
    assert warning in broken.said


def test_it_is_never_written_to(damaged: tuple[TapeHost, Callable[[], object], str]) -> None:
    host, before, warning = damaged
    tape = host.files("A"), host.files("B")
    path = catalog_file(host)
    kept = os.lstat(path).st_ino, os.lstat(path).st_mtime_ns
    data = archive("R3", "h1")
    # neither to that tape, nor to one on which something may be based of what is there
    refused = host.run("sink", "--run", "R3", "--host", "h1", data=data, before=before)
    assert refused.status == 1
    assert warning in refused.said
    assert "its tape B is full, and is not reused while the catalog is damaged (" in refused.said
    words = ["label", "--label", "NEW", "--device", host.tapes[0]]
    assert host.run(*words, before=before).said.startswith(warning)
    assert host.run("label", "--label", "A", "--device", host.tapes[1], before=before).said.startswith(warning)
    asked = host.run("label", "--label", "B", "--device", host.tapes[1], before=before)
    assert "; archives in unreadable files may be based on them (" + warning in asked.said
    assert host.run("source", "--tape", "A", "--file", 1, before=before).said.startswith(warning)
    lost = host.run(
        "commit", "--run", "R1", "--host", "h1", data=report("R1", "h1", archive("R1", "h1")), before=before
    )
    assert (lost.status, warning in lost.said) == (1, True)
    assert (host.files("A"), host.files("B")) == tape
    assert (os.lstat(path).st_ino, os.lstat(path).st_mtime_ns) == kept


def test_a_rebuild_mends_it(damaged: tuple[TapeHost, Callable[[], object], str]) -> None:
    host, before, warning = damaged
    path = catalog_file(host)
    answer = host.run("inventory", "--rebuild", devices=[str(host.tapes[0])], before=before).answer
    if "Permission denied" in warning:  # it is not damaged
        assert answer["drives"][0]["message"].startswith(warning)
        assert host.states("A") == [(1, "h1", "good")]
        return
    assert host.states("A") == [(1, "h1", "written")]
    assert os.path.lexists(str(path) + ".damaged")


GOOD: dict[str, Any] = {
    "kind": "archive",
    "run": "R1",
    "host": "h1",
    "set": "all",
    "level": 0,
    "base": None,
    "time": "2026-11-01T01:00:00Z",
    "host_time": "2026-11-01T01:00:00Z",
    "file": 1,
    "block_size": 4096,
    "bytes": 8192,
    "sha256": None,
    "state": "good",
    "keep_until": 1.5,
}
MORE: dict[str, Any] = {
    "order": "2026-11-01T01:00:00Z",
    "machine_id": None,
    "incomplete": False,
    "verified": {"ok": True},
    "elapsed": 1.5,
    "rate": 5,
    "problem": "",
}
TAPE: dict[str, Any] = {
    "format": 2,
    "label": "A",
    "id": "1",
    "barcode": "",
    "block_size": 4096,
    "labelled": "",
    "archives": [],
    "full": False,
}
MORE_TAPE: dict[str, Any] = {"former": ["0"], "former_end": 5, "relabelling": {"id": "2"}, "lost": [GOOD], "medium": ""}
WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "x",
    "../x",
    "2026-02-30T00:00:00Z",
    [],
    [5],
]
WRONG += [{}, {"ok": 1}, {"id": 5}]
# what is right beside the one above
RIGHT: dict[str, list[Any]] = {
    "run": ["x"],
    "host": ["x", "2026-02-30T00:00:00Z"],
    "set": ["x"],
    "level": [0],
    "base": [None, "", "x", "../x", "2026-02-30T00:00:00Z"],
    "host_time": [None, ""],
    "order": [""],
    "file": [10**30],
    "block_size": [10**30],
    "bytes": [None, 0, 10**30],
    "sha256": [None, "", "x", "../x", "2026-02-30T00:00:00Z"],
    "keep_until": [0, 1.5],
    "machine_id": [None, "", "x", "../x", "2026-02-30T00:00:00Z"],
    "incomplete": [True],
    "elapsed": [None, 0, 1.5],
    "rate": [None, 0, 1.5],
    "problem": ["", "x", "../x", "2026-02-30T00:00:00Z"],
    "id": ["", "x", "../x", "2026-02-30T00:00:00Z"],
    "barcode": ["", "x", "../x", "2026-02-30T00:00:00Z"],
    "labelled": ["", "x", "../x", "2026-02-30T00:00:00Z"],
    "medium": ["", "x", "../x", "2026-02-30T00:00:00Z"],
    "archives": [[]],
    "full": [True],
    "former": [[]],
    "former_end": [None, -1, 0, 10**30],
    "lost": [[]],
}


def same(one: Any, other: Any) -> bool:
    return json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("which", ["archive", "tape", "lost"])
def test_each_value_of_a_wrong_type(which: str) -> None:
    entry, more = (TAPE, MORE_TAPE) if which == "tape" else (GOOD, MORE)

    def parses(changed: dict[str, Any]) -> bool:
        tape = changed if which == "tape" else {**TAPE, {"archive": "archives"}.get(which, which): [changed]}
        try:
            return records.parse(json.dumps(tape).encode(), "A", "A.json")["label"] == "A"
        except ValueError:
            return False

    assert parses(entry)
    assert parses({**entry, **more})
    for key in entry:
        if key != "format":
            assert not parses({name: entry[name] for name in entry if name != key}), key
    for key, usual in {**entry, **more}.items():
        if key != "format":
            for wrong in WRONG:
                right = any(same(wrong, each) for each in [usual, *RIGHT.get(key, [])])
                assert parses({**entry, **more, key: wrong}) == right, (key, wrong)


ODD: list[Any] = [None, 5, "x", [[]], {"x": 5}]


def test_what_is_only_shown_may_be_anything(tape_host: Maker) -> None:
    """Nothing is decided by it: it may be of a later version, or of another program."""
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    for odd in ODD:
        host.edit("A", lambda tape, odd=odd: tape["archives"][0].update(dict.fromkeys(["alerts", "tar", "new"], odd)))
        host.edit("A", lambda tape, odd=odd: tape.update(new=odd))
        request = json.dumps({"run": "R9", "hosts": {"h1": {"level": 1}}}).encode()
        for words in ["plan"], ["info"], ["inventory"], ["chain", "--host", "h1"], ["finish", "--run", "R1"]:
            assert host.ok(*words, data=request)["warnings"] == []


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"run": "R1"}', '{"until": "soon", "run": "R1"}', "[" * 100_000])
def test_a_damaged_lease(text: str, tape_host: Maker) -> None:
    host = tape_host()
    (host.catalog_dir / "leases").mkdir()
    (host.catalog_dir / "leases" / "A.json").write_text(text)
    assert host.ok("info")["tapes"][0]["run"] is None
    assert host.sink("R1", "h1").answer["file"] == 1
