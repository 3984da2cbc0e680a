# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which archives bring a host back as it was, which tapes are needed for that, and where a file is."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem as problems
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import increments
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.commands import rebuild as rebuilds
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive, iso, tar_of
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]


def known(number: int, level: int, base: int | None = None, **more: Any) -> dict[str, Any]:
    """An archive of the catalog, of run R1, R2, …; base: of R1, R2, …"""
    run = "R%d" % number
    plain = {"run": run, "host": "h1", "set": "all", "level": level, "base": base and "R%d" % base, "state": "good"}
    return {**plain, "time": iso(run), "kind": "archive", "keep_until": 0, **more}


FULL = known(1, 0)
CHAINS: list[tuple[list[dict[str, Any]], list[int] | str]] = [
    ([], []),
    ([FULL], [1]),
    ([FULL, known(2, 1, 1)], [1, 2]),
    ([FULL, known(2, 1, 1), known(3, 2, 2), known(4, 1, 1)], [1, 4]),
    ([FULL, known(2, 1, 1), known(3, 2, 2), known(4, 3, 3)], [1, 2, 3, 4]),
    ([FULL, known(2, 1, 1), known(3, 0)], [3]),
    ([FULL, known(2, 0), known(3, 1, 1)], [1, 3]),  # based on what it says, and not on the newest
    ([FULL, known(3, 2, 2)], "R3 is based on that of run R2, which is not in the catalog"),
    ([known(2, 1, 2)], "R2 is based on that of run R2, which is not in the catalog"),
    ([known(1, 1, 2), known(2, 1, 1)], "R2 is based on that of run R1, which is not in the catalog"),
    # of tapes that were read in, which do not say
    ([FULL, known(2, 1), known(3, 2), known(4, 1)], [1, 4]),
    ([FULL, known(2, 1), known(3, 2)], [1, 2, 3]),
    ([FULL, known(2, 1), known(3, 1)], [1, 3]),
    ([FULL, known(2, 2), known(3, 1), known(4, 3, 2)], [1, 2, 4]),
    ([known(2, 1)], "R2 is based on that of an unknown run, which is not in the catalog"),
]


@pytest.mark.parametrize(("good", "expected"), CHAINS)
def test_chain(good: list[dict[str, Any]], expected: list[int] | str) -> None:
    if isinstance(expected, str):
        with pytest.raises(problems.Problem) as raised:
            increments.chain(good)
        assert expected in str(raised.value)
    else:
        assert [each["run"] for each in increments.chain(good)] == ["R%d" % number for number in expected]


KEPT: list[tuple[list[dict[str, Any]], set[int]]] = [
    ([], set()),
    ([FULL, known(2, 1, 1)], set()),
    ([known(1, 0, keep_until=11)], {1}),
    ([known(1, 0, keep_until=10)], set()),
    ([FULL, known(2, 1, 1, keep_until=11)], {1, 2}),
    ([FULL, known(2, 1, 1), known(3, 2, 2, keep_until=11), known(4, 0)], {1, 2, 3}),
    ([FULL, known(2, 1, 1), known(3, 1, 1, keep_until=11)], {1, 3}),
    ([FULL, known(2, 1, 1, keep_until=11, state="failed")], set()),
    ([FULL, known(2, 1, 1, keep_until=11, state="written")], {1, 2}),
    ([FULL, known(2, 1, 1, keep_until=11, host="h2")], {2}),
    ([FULL, known(2, 1, keep_until=11)], {1, 2}),  # it does not say what it is based on
    ([FULL, known(2, 0, state="written"), known(3, 1, keep_until=11)], {1, 2, 3}),  # either may be it
]


@pytest.mark.parametrize(("archives", "expected"), KEPT)
def test_what_must_be_kept(archives: list[dict[str, Any]], expected: set[int]) -> None:
    kept = increments.needed(archives, 10, expire_last=True)
    assert {run for run, _host, _set in kept} == {"R%d" % number for number in expected}


LAST: list[tuple[list[dict[str, Any]], set[int]]] = [
    ([], set()),
    ([FULL], {1}),
    ([FULL, known(2, 0)], {2}),
    ([FULL, known(2, 1, 1)], {1, 2}),
    ([FULL, known(2, 1, 1), known(3, 2, 2), known(4, 1, 1)], {1, 4}),
    ([FULL, known(2, 0, state="written")], {1}),
    ([FULL, known(2, 0, state="failed")], {1}),
    ([FULL, known(3, 1, 2)], {1}),  # its base is gone
    # either may be what is wanted: a drive may be wrong
    ([FULL, known(2, 0, verified={"ok": False})], {1, 2}),
    ([FULL, known(2, 0, incomplete=True)], {1, 2}),
    ([FULL, known(2, 0, host="h2"), known(3, 0, set="www")], {1, 2, 3}),
    ([known(1, 0, keep_until=11), known(2, 0)], {1, 2}),
]


@pytest.mark.parametrize(("archives", "expected"), LAST)
def test_the_last_good_ones_are_kept(archives: list[dict[str, Any]], expected: set[int]) -> None:
    assert {run for run, _host, _set in increments.needed(archives, 10)} == {"R%d" % number for number in expected}


def test_many_archives_take_no_time() -> None:
    """Ten years of a host."""
    archives = [FULL] + [known(number, 1, 1, keep_until=11) for number in range(2, 4000)]
    assert len(increments.needed(archives, 10)) == len(increments.complete(archives)) == 3999
    assert len(increments.complete([FULL, known(2, 1, 1), known(3, 1, 2), known(4, 2, 3), known(5, 2, 2)])) == 3


EXPIRED = [
    ([], "", False),
    ([FULL], "", True),
    ([known(5, 0)], "", False),  # R5 is kept
    ([FULL], "R1", False),  # it is of the run that goes on
    ([known(1, 0, state="failed")], "R1", False),
    ([known(1, 0, state="failed")], "R2", True),
    ([known(5, 0, state="failed")], "", True),  # another archive of this name is kept, on another tape
    ([known(1, 0, kind="catalog")], "", False),
]


@pytest.mark.parametrize(("archives", "run", "expected"), EXPIRED)
def test_is_expired(archives: list[dict[str, Any]], run: str, expected: bool) -> None:
    assert increments.is_expired({"archives": archives}, {("R5", "h1", "all")}, run) is expected


@pytest.fixture
def host(tape_host: Maker) -> TapeHost:
    """R1 is whole, then 1, 2, 1."""
    made = tape_host(lease=0)
    for run, level, base in (("R1", 0, ""), ("R2", 1, "R1"), ("R3", 2, "R2"), ("R4", 1, "R1")):
        made.backup(run, "h1", level, base)
    made.sink("R5", "h1")  # of which its host has not said anything
    return made


@pytest.mark.parametrize(
    ("as_of", "files"),
    [
        ("", [1, 4]),
        ("2026-11-01T04:00:00Z", [1, 4]),
        ("2026-11-01T03:59:59Z", [1, 2, 3]),
        ("2026-11-01T02:00:00Z", [1, 2]),
        ("2026-11-01 01:00", [1]),
        ("2026-11-01", [1, 4]),
        ("R3", [1, 2, 3]),
        ("R1", [1]),
    ],
)
def test_as_of(as_of: str, files: list[int], host: TapeHost) -> None:
    answer = host.ok("chain", "--host", "h1", *(["--as-of", as_of] if as_of else []))
    assert [each["file"] for each in answer["archives"]] == files
    assert answer["tapes"] == ["A"]
    assert set(answer["archives"][0]) >= {"run", "level", "tape", "file", "block_size", "bytes", "sha256"}


@pytest.mark.parametrize("host_time", ["2037-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_the_clock_of_a_host_does_not_say_what_is_newest(host_time: str, host: TapeHost) -> None:
    data = archive("R6", "h1")
    host.sink("R6", "h1", data)
    assert host.commit("R6", "h1", data, time=host_time).status == 0
    host.backup("R7", "h2")
    (found,) = host.ok("chain", "--host", "h1")["archives"]
    assert (found["run"], found["host_time"]) == ("R6", host_time)
    data = archive("R8", "h1", 1)
    host.sink("R8", "h1", data, 1, "R6")
    assert host.commit("R8", "h1", data, level=1, base="R6").status == 0
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R6", "R8"]


def test_what_the_first_catalogs_have_is_the_clock_of_a_host(tape_host: Maker) -> None:
    """Their runs tell when it was, and so do archives that a tape alone knows."""
    host = tape_host(lease=0)
    for run, level, base in (("20261101T010000Z", 0, ""), ("20261102T010000Z", 1, "20261101T010000Z")):
        host.backup(run, "h1", level, base)

    def change(tape: dict[str, Any]) -> None:
        for each, clock in zip(tape["archives"], ("2037-01-01T00:00:00Z", "2026-11-02T01:00:05Z"), strict=True):
            each["time"] = clock
            del each["host_time"]
        del tape["format"]

    host.edit("A", change)
    found = host.ok("chain", "--host", "h1")["archives"]
    assert [(each["time"], each["host_time"]) for each in found] == [
        ("2026-11-01T01:00:00Z", "2037-01-01T00:00:00Z"),
        ("2026-11-02T01:00:00Z", "2026-11-02T01:00:05Z"),
    ]
    entry = rebuilds.archive_of(tar_of("20261101T010000Z h1 0 2037-01-01T00:00:00Z all")[:4096], 1, host.tape())
    assert (entry["time"], entry["host_time"]) == ("2026-11-01T01:00:00Z", "2037-01-01T00:00:00Z")


def test_there_is_nothing(host: TapeHost) -> None:
    end = "the catalog %s has archives of: h1" % host.catalog_dir
    words = ["chain", "--host", "h1", "--as-of"]
    assert host.fails("chain", "--host", "h2") == "there is no good archive of h2 (set all): " + end
    assert host.fails(*words, "2026-11-01 00:59") == (
        "there is no good archive of h1 (set all) up to 2026-11-01 00:59: " + end
    )
    assert host.fails("chain", "--host", "h1", set="www") == "there is no good archive of h1 (set www): " + end


NAMES = [
    rb"./",
    rb"./etc/",
    rb"./etc/hosts",
    rb"./etc/passwd",
    rb"./srv/a b",
    rb"./srv/new\nline",
    rb"./srv/back\\slash",
    rb"./srv/\303\266l",
    rb"./srv/bad\377",
    rb"./srv/*",
    rb"plain/name",
]
FOUND = [
    ("/etc/hosts", ["/etc/hosts"]),
    ("etc/hosts", ["/etc/hosts"]),
    ("/etc", ["/etc"]),
    ("/etc/", ["/etc"]),
    ("/", ["/"]),
    ("/etc/*", ["/etc/hosts", "/etc/passwd"]),
    ("/etc/[hp]*s*", ["/etc/hosts", "/etc/passwd"]),
    ("*/pass??", ["/etc/passwd"]),
    ("/srv/a b", ["/srv/a b"]),
    ("/srv/new\nline", ["/srv/new\nline"]),
    ("/srv/back\\slash", ["/srv/back\\slash"]),
    ("/srv/öl", ["/srv/öl"]),
    ("/srv/bad\udcff", ["/srv/bad\\xff"]),
    ("/srv/bad*", ["/srv/bad\\xff"]),
    ("/plain/name", ["/plain/name"]),
    ("/hosts", []),
    ("/etc/host", []),
    ("", ["/"]),
    ("[", []),
]


@pytest.mark.parametrize(("path", "found"), FOUND)
def test_find(path: str, found: list[str], tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R1", "h1", names=NAMES)
    answer = host.ok("find", "--path", path)
    assert [each["path"] for each in answer["found"]] == found
    assert (answer["more"], answer["unread"]) == (False, [])


def test_find_the_newest_first_and_not_too_many(tape_host: Maker) -> None:
    def listing(names: Iterable[bytes]) -> dict[str, Any]:
        lines = list(names)
        return {"listing": gzip.compress(b"".join(line + b"\n" for line in lines)), "files": len(lines)}

    host = tape_host(lease=0)
    for run, name in (("R1", "h1"), ("R2", "h2"), ("R3", "h1")):
        host.backup(run, name, **listing(b"./etc/%03d" % number for number in range(150)))
    host.sink("R4", "h1")
    one = host.ok("find", "--path", "/etc/001")
    assert [(each["run"], each["host"], each["file"]) for each in one["found"]] == [
        ("R3", "h1", 3),
        ("R2", "h2", 2),
        ("R1", "h1", 1),
    ]
    assert [each["run"] for each in host.ok("find", "--path", "/etc/001", "--host", "h2")["found"]] == ["R2"]
    many = host.ok("find", "--path", "/etc/*")
    assert (len(many["found"]), many["more"]) == (200, True)
    lists = host.catalog_dir / "lists"
    (lists / "R1" / "all,h1.gz").write_bytes((lists / "R1" / "all,h1.gz").read_bytes()[:-9])
    (lists / "R2" / "all,h2.gz").unlink()
    damaged = host.ok("find", "--path", "/etc/149")
    assert ([each["run"] for each in damaged["found"]], damaged["unread"]) == (["R3"], ["h2 of run R2", "h1 of run R1"])


def test_an_archive_of_nothing(tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R1", "h1", names=[])
    assert host.ok("find", "--path", "/etc") == {"found": [], "more": False, "unread": [], "warnings": []}


def test_archives_that_a_file_does_not_need(tape_host: Maker) -> None:
    """The newest one that has each file whole, and all later ones, which tell whether it was deleted."""
    host = tape_host(lease=0)
    every = [b"./etc/", b"./etc/hosts", b"./etc/motd", b"./etc/dir/", b"./etc/dir/one"]
    host.backup("R1", "h1", names=every)
    host.backup("R2", "h1", 1, "R1", names=[b"./etc/", b"./etc/hosts", b"./etc/a\\303\\244", b"./etc/dir/"])
    host.backup("R3", "h1", 2, "R2", names=[b"./etc/", b"./etc/motd"])

    def needed(*paths: str) -> list[str]:
        told = host.ok("chain", "--host", "h1", *[f"--path={path}" for path in paths])
        assert told["skipped"] + len(told["archives"]) == 3
        return [each["run"] for each in told["archives"]]

    assert needed() == ["R1", "R2", "R3"]
    assert needed("/etc/motd") == ["R3"]
    assert needed("/etc/hosts") == needed("etc//hosts") == needed("/etc/./hosts") == ["R2", "R3"]
    assert needed("/etc/motd", "/etc/hosts") == ["R2", "R3"]
    assert needed("/etc/a\u00e4") == ["R2", "R3"]
    for path in ("/etc/dir", "/etc/dir/", "/etc", "/", "/etc/host", "/etc/dir/one", "/nowhere"):
        assert needed(path) == needed("/etc/motd", path) == ["R1", "R2", "R3"], path
    (host.catalog_dir / "lists" / "R3" / "all,h1.gz").write_bytes(b"")
    assert needed("/etc/motd") == ["R1", "R2", "R3"], "the list cannot be read"


def test_how_much_of_an_archive_was_requested(tape_host: Maker) -> None:
    """A name may be in an archive twice; None: it has to be read to its end."""
    host = tape_host(lease=0)
    names = [b"./etc/", b"./etc/dir/", b"./etc/dir/one", b"./etc/b\\303\\244", b"./etc/hosts", b"./etc/hosts"]
    host.backup("R1", "h1", names=names)
    host.backup("R2", "h1", 1, "R1", names=[b"./etc/", b"./etc/dir/"])

    def requested(*paths: str) -> list[int | None]:
        told = host.ok("chain", "--host", "h1", "--early-exit", *[f"--path={path}" for path in paths])
        return [each["requested"] for each in told["archives"]]

    assert requested("/etc/hosts") == [2, 0]
    assert requested("etc//hosts", "/etc/./b\u00e4") == [3, 0]
    assert requested("/etc/dir/", "/etc/dir") == [2, 1]
    assert requested("/etc") == [6, 2]
    assert requested("/host", "/etc/hos") == [0, 0]
    assert requested("/") == requested("/", "/etc") == requested() == [None, None]
    told = host.ok("chain", "--host", "h1", "--path=/etc/hosts")
    assert [each["requested"] for each in told["archives"]] == [None, None]
    (host.catalog_dir / "lists" / "R2" / "all,h1.gz").write_bytes(b"")
    assert requested("/etc") == [6, None]
