# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the catalog: a damaged one is one tape missing, and hinders nobody who does not need it."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import catalog as catalogs
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import lists, records
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve import leases
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive, report
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
DAMAGED = ["", "{", "[]", "{}", "[" * 100_000, '{"label": "A", "archives": 5}']


def request(level: int = 0) -> bytes:
    return json.dumps({"run": "R9", "hosts": {"h1": {"level": level}}}).encode()


def warning(host: TapeHost, label: str) -> str:
    return "%s is damaged (" % (host.catalog_dir / "tapes" / (label + ".json"))


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_one_tape_missing(text: str, tape_host: Maker) -> None:
    host = tape_host(2, lease=0)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h1", on="B")
    (host.catalog_dir / "tapes" / "A.json").write_text(text)
    told = [
        host.ok("chain", "--host", "h1"),
        host.ok("find", "--path", "/etc/hosts"),
        host.ok("plan", data=request()),
        host.ok("inventory"),
        host.ok("verify"),
        host.ok("finish", "--run", "R2"),
    ]
    for answer in told:
        assert [each.startswith(warning(host, "A")) for each in answer["warnings"]].count(True) == 1
    assert [each["run"] for each in told[0]["archives"]] == ["R2"]
    assert [tape["label"] for tape in told[3]["tapes"]] == ["B"]
    assert host.backup("R3", "h1")["tape"] == "B"
    said = host.fails("sink", "--run", "R4", "--host", "h1", devices=[str(host.tapes[0])])
    assert "so the catalog has no entries of tape A: load the tape and run tape_inventory with tape_reb" in said
    # and that it is what mends it
    assert [each[:17] for each in host.ok("inventory", "--rebuild")["warnings"]] == ["1 archive of tape"]
    assert host.states("A")[0] == (1, "h1", "written")


def test_an_entry_that_is_not_whole(tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R1", "h1")
    for key in host.tape()["archives"][0]:
        if key in ("kind", "run", "host", "set", "level", "base", "time", "file", "state", "bytes", "sha256"):
            path = host.catalog_dir / "tapes" / "A.json"
            before = path.read_text()
            host.edit("A", lambda tape, key=key: tape["archives"][0].pop(key))
            assert host.ok("inventory")["warnings"][0].startswith(warning(host, "A"))
            path.write_text(before)


def test_what_a_damaged_file_may_need_is_not_overwritten(tape_host: Maker) -> None:
    """An increment to an archive on the tape that has expired may be in it."""
    host = tape_host(2, lease=0, reuse="expired", expire_last=True)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h2", on="A")
    for each in ("A", "B"):
        host.edit(each, lambda tape: tape.update(full=True))
    host.edit("A", lambda tape: [archive.update(keep_until=0) for archive in tape["archives"]])
    path = host.catalog_dir / "tapes" / "B.json"
    whole = path.read_text()
    path.write_text("{")
    said = host.fails("sink", "--run", "R3", "--host", "h1", data=archive("R3", "h1"))
    text = "its tape A is full, and is not reused while the catalog is damaged (%s" % warning(host, "B")
    assert text in said
    path.write_text(whole)
    assert host.sink("R3", "h1").answer["file"] == 1


def test_waiting_reads_no_catalog(tape_host: Maker, monkeypatch: Any) -> None:
    """A run that has a tape is looked up in the leases, five times a second."""
    host = tape_host()
    host.sink("R1", "h1")
    catalog = catalogs.Catalog(str(host.catalog_dir))
    monkeypatch.setattr(catalog, "tapes", None)
    assert [leases.of_run(catalog, run) for run in ("R1", "R2")] == [["A"], []]


# the lists of files


def lists_of(host: TapeHost) -> list[str]:
    top = host.catalog_dir / "lists"
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def test_no_two_archives_have_one_list(tape_host: Maker) -> None:
    host = tape_host()
    for name, which, line in (("web.x", "all", b"./first"), ("web", "x.all", b"./second"), ("a,b", "c", b"./third")):
        data = archive("R1", name)
        assert host.sink("R1", name, data, set=which).status == 0
        words = ["commit", "--run", "R1", "--host", name]
        assert host.run(*words, data=report("R1", name, data, names=[line], set=which), set=which).status == 0
    assert lists_of(host) == ["R1/all,web.x.gz", "R1/c,a,b.gz", "R1/x.all,web.gz"]
    found = [(each["host"], each["set"], each["path"]) for each in host.ok("find", "--path", "/*")["found"]]
    assert sorted(found) == [("a,b", "c", "/third"), ("web", "x.all", "/second"), ("web.x", "all", "/first")]


def test_a_list_of_the_first_catalogs(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    folder = host.catalog_dir / "lists" / "R1"
    (folder / "all,h1.gz").rename(folder / "h1.all.gz")
    host.backup("R2", "h2")
    assert [each["run"] for each in host.ok("find", "--path", "/etc/hosts")["found"]] == ["R2", "R1"]


@pytest.mark.parametrize("how", ["label", "expired"])
def test_a_list_goes_with_its_archive(how: str, tape_host: Maker) -> None:
    host = tape_host(2, lease=0, reuse="expired", expire_last=True)
    host.backup("R1", "h1", on="A")
    host.backup("R1", "h2", on="B")
    host.backup("R2", "h1", on="A")
    (host.catalog_dir / "lists" / "R1" / "h1.all.gz").write_bytes(b"")
    (host.catalog_dir / "lists" / "R0").mkdir()
    every = ["R1/all,h1.gz", "R1/all,h2.gz", "R1/h1.all.gz", "R2/all,h1.gz"]
    assert lists_of(host) == every

    def begin_afresh() -> None:
        host.edit("A", lambda tape: [each.update(keep_until=0) for each in tape["archives"]])
        if how == "expired":
            assert host.sink("R3", "h3", labels=["A"]).answer["file"] == 1
        else:
            words = ["label", "--label", "NEW", "--device", host.tapes[0]]
            host.ok(*words, "--overwrite", host.fails(*words).split("tape_overwrite=")[1].split(",")[0])

    whole = (host.catalog_dir / "tapes" / "B.json").read_text()
    if how == "label":  # with a damaged file nobody knows which archives there are
        (host.catalog_dir / "tapes" / "B.json").write_text("{")
        begin_afresh()
        assert lists_of(host) == every
        (host.catalog_dir / "tapes" / "B.json").write_text(whole)
        host.ok("label", "--label", "NEW", "--device", host.tapes[0])
    else:
        begin_afresh()
    assert lists_of(host) == ["R1/all,h2.gz"]
    assert sorted(path.name for path in (host.catalog_dir / "lists").iterdir()) == ["R1"]


@pytest.mark.parametrize(
    "change",
    [{"keep_until": float("nan")}, {"keep_until": float("inf")}, {"keep_until": -1}, {"verified": "yes"}],
)
def test_an_entry_that_makes_no_sense(change: dict[str, Any], tape_host: Maker) -> None:
    """As a catalog that somebody else has written may have one: it is a damaged file, and no traceback."""
    host = tape_host()
    host.backup("R1", "h1")
    host.edit("A", lambda tape: tape["archives"][0].update(change))
    assert warning(host, "A") in host.ok("inventory")["warnings"][0]
    assert host.fails("chain", "--host", "h1").startswith("there is no good archive of h1")


# the index in memory


def aged(path: Path) -> None:
    """Let a file be old enough that a change of it has another time."""
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the tapes whose files have been parsed."""
    seen: list[str] = []
    parse = records.parse

    def counted(data: bytes, label: str, path: str) -> dict[str, Any]:
        seen.append(label)
        return parse(data, label, path)

    monkeypatch.setattr(records, "parse", counted)
    return seen


def test_a_file_is_read_again_when_it_has_changed(tape_host: Maker, parsed: list[str]) -> None:
    host = tape_host(3)
    paths = {label: host.catalog_dir / "tapes" / (label + ".json") for label in "ABC"}
    for path in paths.values():
        aged(path)
    catalog = catalogs.Catalog(str(host.catalog_dir))
    for _time in range(3):
        assert [tape["label"] for tape in catalog.tapes()] == ["A", "B", "C"]
        assert catalog.tape("B") == host.tape("B")
        assert catalog.archives() == []
    assert parsed == ["A", "B", "C"]
    # of the same time and size, in another inode
    text = paths["B"].read_text()
    (host.folder / "new").write_text(text.replace('"barcode": ""', '"barcode":"x"'))
    aged(host.folder / "new")
    (host.folder / "new").rename(paths["B"])
    assert len(text) == paths["B"].stat().st_size
    # in the same inode, of another time, or of another size
    paths["C"].write_text(paths["C"].read_text().replace('"full": false', '"full":  true'))
    os.utime(paths["C"], (1_700_000_001, 1_700_000_001))
    with open(paths["A"], "a") as out:
        out.write("!")
    aged(paths["A"])
    del parsed[:]
    for _time in range(3):
        assert [(tape["barcode"], tape["full"]) for tape in catalog.tapes()] == [("x", False), ("", True)]
        assert len(catalog.warnings()) == 1
        assert "is damaged (Extra data" in catalog.warnings()[0]
    assert parsed == ["A", "B", "C"]
    paths["C"].unlink()
    assert [tape["label"] for tape in catalog.tapes()] == ["B"]


def test_a_young_file_is_read_again(tape_host: Maker, parsed: list[str]) -> None:
    """Two changes of one may have the same time."""
    catalog = catalogs.Catalog(str(tape_host().catalog_dir))
    for _time in range(3):
        assert catalog.archives() == []
    assert parsed == ["A"] * 3


def test_what_a_caller_does_to_a_tape_is_its_own_affair(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1")
    aged(host.catalog_dir / "tapes" / "A.json")
    catalog = catalogs.Catalog(str(host.catalog_dir))
    tape = catalog.tape("A")
    assert tape
    tape["archives"][0]["state"] = "failed"
    tape["archives"].clear()
    assert catalog.tapes() == [host.tape("A")]
    assert [each["state"] for each in catalog.archives()] == ["written"]
    assert catalog.tape("A") == host.tape("A")


def test_the_archives_of_one_host(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    for run, name in (("R1", "h1"), ("R2", "h2"), ("R3", "h1")):
        host.backup(run, name)
    catalog = catalogs.Catalog(str(host.catalog_dir))
    every = catalog.archives()
    assert [each["run"] for each in every] == ["R1", "R2", "R3"]
    assert catalog.archives("h1") == [every[0], every[2]]
    assert catalogs.by_host(every) == {"h1": [every[0], every[2]], "h2": [every[1]]}


# searching lists of files

LINES = [
    b"./",
    b"./etc/",
    b"./etc/hosts",
    b"./etc/hosts.allow",
    b"./srv/a [b]/x*y",
    b"./srv/b\\303\\274cher/\\\\n",
    b"./srv/new\\nline",
    b"./etc/hosts",
]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (b"etc/hosts", [b"etc/hosts"]),
        (b"etc", [b"etc"]),
        (b"hosts", []),
        (b"etc/host", []),
        (b"etc/hosts*", [b"etc/hosts", b"etc/hosts.allow", b"etc/hosts"]),
        (b"etc/ho?ts", [b"etc/hosts"] * 2),
        (b"*.allow", [b"etc/hosts.allow"]),
        (b"e[st]c", [b"etc"]),
        (b"[e]tc", [b"etc"]),
        (b"e[]t]c", [b"etc"]),
        (b"srv/a [b]/x*y", [b"srv/a [b]/x*y"]),  # the path itself, also where it is a pattern
        ("srv/bücher/\\n".encode(), ["srv/bücher/\\n".encode()]),
        (b"srv/b*cher/*", ["srv/bücher/\\n".encode()]),
        (b"srv/new\nline", [b"srv/new\nline"]),
        (b"?tc", [b"etc"]),
    ],
)
@pytest.mark.parametrize("piece", [2**20, 7])
def test_searching_a_list(
    wanted: bytes, expected: list[bytes], piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PIECE", piece)
    catalog = catalogs.Catalog(str(tmp_path))
    archive = {"run": "R1", "host": "h1", "set": "all"}
    path = Path(lists.path(catalog, archive))
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in LINES)))
    assert list(lists.search(catalog, archive, wanted)) == expected
    assert len(list(lists.search(catalog, archive, b"*"))) == len(LINES)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises((EOFError, zlib.error)):
        list(lists.search(catalog, archive, b"*"))


def test_few_lines_are_looked_at(monkeypatch: pytest.MonkeyPatch, tape_host: Maker) -> None:
    """Of a million names, in all lists."""
    host = tape_host()
    host.backup("R1", "h1", names=[b"./srv/%d" % number for number in range(3000)])
    looked: list[bytes] = []
    path_of = lists.path_of

    def counted(line: bytes) -> bytes:
        looked.append(line)
        return path_of(line)

    monkeypatch.setattr(lists, "path_of", counted)
    catalog = catalogs.Catalog(str(host.catalog_dir))
    assert list(lists.search(catalog, catalog.archives()[0], b"srv/1234")) == [b"srv/1234"]
    assert looked == [b"./srv/1234"]


def test_more_is_found_than_can_be_read(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    for run in ("R1", "R2", "R3"):
        host.backup(run, "h1", names=[b"./srv/%d" % number for number in range(150)])
    found = host.ok("find", "--path", "/srv/*")
    assert (found["more"], [each["run"] for each in found["found"]]) == (True, ["R3"] * 150 + ["R2"] * 50)
    assert host.ok("find", "--path", "/srv/1")["more"] is False
