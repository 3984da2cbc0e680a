# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the tape host's program that need no tape: units, chains, lists of files, reports, labels of archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import names, units
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import (
    BUSY,
    DAMAGED,
    NOT_FOUND,
    Problem,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import catalog as catalogs
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import increments, lists, records
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.commands import (
    chain,
    commit,
    host_copy,
    rebuild,
    tape_copy,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives.label import LABEL_BLOCK
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives.virtual import VirtualTape
from ansible_collections.plumbing.socketpipe.tests.unit import archives

# -- units


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20, "1.0 MiB"),
        (2**30, "1.0 GiB"),
        (2**40, "1.0 TiB"),
        (5 * 2**50, "5120.0 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert units.say_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59.9, "0:00:59"), (4180, "1:09:40"), (360000, "100:00:00")]
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert units.say_duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 tapes"), (1, "1 tape"), (2, "2 tapes")])
def test_counts(number: int, text: str) -> None:
    assert units.count(number, "tape") == text


@pytest.mark.parametrize(("count", "text"), [(0, ""), (2, "0, 1"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4, 1 more")])
def test_some(count: int, text: str) -> None:
    assert units.some([str(number) for number in range(count)]) == text


@pytest.mark.parametrize(("name", "good"), [("A", True), ("-_a", True), ("-", False), ("_-_", False), ("", False)])
def test_names(name: str, good: bool) -> None:
    if good:
        assert names.checked("tape", name) == name
        return
    with pytest.raises(Problem, match="cannot be the name of a tape"):
        names.checked("tape", name)


# -- increments


def entry(number: int, level: int = 0, base: int | None = None, **more: Any) -> Any:
    """An archive of h1 in the set all."""
    run = f"R{number}"
    found = {"run": run, "host": "h1", "set": "all", "kind": records.ARCHIVE, "file": number, "level": level}
    found.update(base=None if base is None else f"R{base}", time=archives.iso(run), state=records.GOOD, bytes=10)
    return {**found, **more}


WRITTEN: dict[str, Any] = {"state": records.WRITTEN}
FAILED: dict[str, Any] = {"state": records.FAILED}


def runs(found: Any) -> list[int]:
    return [int(each["run"][1:]) for each in found]


CHAINS: list[tuple[list[Any], list[int]]] = [
    ([], []),
    ([entry(1)], [1]),
    ([entry(1), entry(2)], [2]),
    ([entry(1), entry(2, 1, 1)], [1, 2]),
    ([entry(1), entry(2, 1, 1), entry(3, 2, 2), entry(4, 1, 1)], [1, 4]),
    ([entry(1), entry(2, 1, 1), entry(3, 2, 2)], [1, 2, 3]),
    # a base that is not recorded is the last one of a lower level
    ([entry(1), entry(2, 1, 1), entry(3, 1), entry(4, 2)], [1, 3, 4]),
    ([entry(1, order=archives.iso("R9")), entry(0), entry(2, 1)], [0, 2]),
]


@pytest.mark.parametrize(("good", "chain"), CHAINS)
def test_chains(good: list[Any], chain: list[int]) -> None:
    assert runs(increments.chain(good)) == chain


@pytest.mark.parametrize(
    ("good", "base"),
    [([entry(2, 1, 1)], "run R1"), ([entry(1, 1, 0), entry(2, 1, 1)], "run R1"), ([entry(2, 1)], "an unknown run")],
)
def test_a_chain_without_its_base(good: list[Any], base: str) -> None:
    text = f"^the archive of h1 in run R2 is based on that of {base}, which is not in the catalog"
    with pytest.raises(Problem, match=text):
        increments.chain(good)
    assert increments.complete(good) == []


def test_what_is_complete() -> None:
    good = [entry(1), entry(2, 1, 1), entry(3, 1, 7), entry(4, 2, 3), entry(5, 2, 2)]
    assert runs(increments.complete(good)) == [1, 2, 5]


@pytest.mark.parametrize(
    ("more", "sound"),
    [({}, True), ({"verified": {"ok": False}}, False), ({"incomplete": True}, False), (WRITTEN, False)]
    + [({"verified": {"ok": True}}, True)],
)
def test_what_is_sound(more: dict[str, Any], sound: bool) -> None:
    assert increments.is_sound(entry(1, **more)) is sound


NEEDED: list[tuple[list[Any], bool, set[int]]] = [
    ([entry(1), entry(2)], False, {2}),
    ([entry(1), entry(2)], True, set()),
    ([entry(1, keep_until=5), entry(2)], False, {2}),
    ([entry(1, keep_until=6), entry(2)], True, {1}),
    ([entry(1), entry(2, 1, 1, keep_until=6)], True, {1, 2}),
    ([entry(1), entry(2, **WRITTEN)], False, {1}),
    ([entry(1), entry(2, **WRITTEN, keep_until=6)], False, {1, 2}),
    ([entry(1), entry(2, **FAILED, keep_until=6)], False, {1}),
    ([entry(1), entry(2, verified={"ok": False})], False, {1, 2}),
    ([entry(1), entry(2, 1, 1), entry(3, 1, 9)], False, {1, 2}),
    # not recorded: the last one, and the last that is known to be good
    ([entry(1), entry(2, **WRITTEN), entry(3, 1, keep_until=6)], True, {1, 2, 3}),
]


@pytest.mark.parametrize(("known", "expire_last", "kept"), NEEDED)
def test_what_must_be_kept(known: list[Any], expire_last: bool, kept: set[int]) -> None:
    assert increments.needed(known, 5, expire_last) == {(f"R{run}", "h1", "all") for run in kept}


def test_what_only_the_last_one_keeps() -> None:
    known = [entry(1), entry(2), entry(3, host="h2", keep_until=2**40)]
    assert increments.only_last(known) == {("R2", "h1", "all")}
    tape: Any = {"archives": known}
    assert increments.hosts_on(tape, increments.needed(known)) == ["h1", "h2"]


@pytest.mark.parametrize(
    ("on_tape", "keep", "run", "expired"),
    [
        ([], set(), "", False),
        ([entry(1)], set(), "", True),
        ([entry(1)], {1}, "", False),
        ([entry(1), entry(2)], {2}, "", False),
        ([entry(1)], set(), "R1", False),
        ([entry(1, **FAILED)], {1}, "", True),
        ([entry(1, kind=records.CATALOG)], set(), "", False),
    ],
)
def test_what_has_expired(on_tape: list[Any], keep: set[int], run: str, expired: bool) -> None:
    tape: Any = {"archives": on_tape}
    assert increments.is_expired(tape, {(f"R{each}", "h1", "all") for each in keep}, run) is expired


# -- entries


def test_a_new_archive_is_after_all_others_of_its_host() -> None:
    assert catalogs.after_all([entry(1), entry(5, host="h2")], entry(2)) == {}
    assert catalogs.after_all([], entry(2)) == {}
    assert catalogs.after_all([entry(5)], entry(2)) == {"order": "2026-11-01T05:00:01Z"}
    assert catalogs.after_all([entry(1, order=archives.iso("R7"))], entry(2)) == {"order": "2026-11-01T07:00:01Z"}


def test_the_machine_of_the_last_good_archive() -> None:
    known = [entry(1, machine_id="a"), entry(2, machine_id="b"), entry(3), entry(4, **FAILED, machine_id="c")]
    assert catalogs.machine_of(known, "h1") == "b" and catalogs.machine_of(known, "h2") is None


def test_files_of_a_tape() -> None:
    known = [entry(1), entry(2, **WRITTEN), entry(3, **FAILED), entry(4, run="R1", bytes=None)]
    tape: Any = {"label": "A", "archives": known}
    assert catalogs.next_file(tape) == 5 and catalogs.next_file({**tape, "archives": []}) == 1
    assert catalogs.used(tape) == 30 + LABEL_BLOCK
    assert catalogs.entry_of(tape, 3) is known[2]
    with pytest.raises(Problem, match="^tape A has no file 9 in the catalog") as caught:
        catalogs.entry_of(tape, 9)
    assert caught.value.kind == NOT_FOUND
    assert catalogs.find(tape, "R1", "h1", "all") is known[3] and catalogs.find(tape, "R2", "h1", "all") is known[1]
    assert catalogs.find(tape, "R3", "h1", "all") is None and catalogs.find(tape, "R1", "h1", "etc") is None


@pytest.mark.parametrize(
    ("capacity", "full", "used", "share"),
    [(0, False, 500, None), (1000, False, 500, 50), (1000, True, 500, 100), (1000, False, 5000, 100)],
)
def test_the_used_percentage_of_a_tape(capacity: int, full: bool, used: int, share: int | None) -> None:
    tape: Any = {"full": full, "archives": [entry(1, bytes=used - LABEL_BLOCK)]}
    assert catalogs.percent(tape, capacity) == share and catalogs.percent(None, capacity) is None


# -- lists of files


@pytest.mark.parametrize(
    ("wanted", "literal"),
    [
        (b"etc/hosts", b"etc/hosts"),
        (b"etc/*.conf", b".conf"),
        (b"home/*/a", b"home"),
        (b"a b/longer", b"b/longer"),
        (b"[ab]*", b""),
        (b"x[/longer]", b"x"),
        (b"*", b""),
        ("ä".encode(), b""),
    ],
)
def test_the_literal_part_of_a_pattern(wanted: bytes, literal: bytes) -> None:
    assert lists.literal_of(wanted) == literal


@pytest.mark.parametrize(
    ("literal", "lines"),
    [(b"", [b"./a", b"./ab", b"./b"]), (b"a", [b"./a", b"./ab"]), (b"b", [b"./ab", b"./b"]), (b"x", [])],
)
def test_lines_with_it(literal: bytes, lines: list[bytes]) -> None:
    assert list(lists.lines_with(b"./a\n./ab\n./b", literal)) == lines


@pytest.mark.parametrize(
    ("line", "path"),
    [(b"./etc/\n", b"etc"), (b"etc/hosts", b"etc/hosts"), (rb"./a\n\\\303\244", b"a\n\\\xc3\xa4"), (b"./", b"")],
)
def test_the_path_in_a_line(line: bytes, path: bytes) -> None:
    assert lists.path_of(line) == path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(b"etc/hosts", [b"etc/hosts"]), (b"etc", [b"etc"]), (b"etc/h*", [b"etc/hosts", b"etc/h*"]), (b"x", [])]
    + [(b"etc/h[*]", [b"etc/h*"])],
)
@pytest.mark.parametrize("size", [2**20, 8])
def test_paths_are_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, wanted: bytes, found: list[bytes]
) -> None:
    monkeypatch.setattr(lists, "PIECE", size)
    catalog: Any = SimpleNamespace(folder=str(tmp_path))
    path = Path(lists.path(catalog, entry(1)))
    path.parent.mkdir(parents=True)
    packed = gzip.compress(b"./etc/\n./etc/hosts\n./etc/h*\n./etc/hosts.d/x\n"[:28])
    path.write_bytes(packed)
    assert list(lists.search(catalog, entry(1), wanted)) == found
    path.write_bytes(packed[:-1])  # cut off: even if the path has been found
    with pytest.raises(EOFError):
        list(lists.search(catalog, entry(1), wanted))


@pytest.mark.parametrize(
    ("listing", "count"),
    [
        (gzip.compress(b""), 0),
        (gzip.compress(b"./a\n./b\n"), 2),
        (gzip.compress(b"./a\n" * 300_000), 300_000),
        (gzip.compress(b"./a\n")[:-1], -1),
        (gzip.compress(b"./a\n") + b"x", -1),
        (b"", -1),
        (b"x", -1),
    ],
    ids=["none", "two", "many", "cut off", "more", "nothing", "something else"],  # the bytes have the time in them
)
def test_the_lines_of_a_list(listing: bytes, count: int) -> None:
    assert commit.lines_of(listing) == count


# -- reports


def report(**more: Any) -> bytes:
    return archives.report("R1", "h1", b"data", **more).partition(b"\n")[0]


def test_a_report() -> None:
    found = commit.parse(report(level=1, base="R0", machine_id="a" * 32))
    assert (found["run"], found["level"], found["incomplete"], found["level_problem"]) == ("R1", 1, False, "")
    assert commit.parse(report())["machine_id"] is None


@pytest.mark.parametrize(
    "wrong",
    [{"run": 1}, {"host": None}, {"set": []}]
    + [{key: value} for key in commit.NUMBERS for value in (-1, True, "1", None)]
    + [{"level": 1}, {"base": "R0"}, {"level": 10, "base": "R0"}, {"bytes": 0}, {"sha256": "a" * 63}]
    + [{"machine_id": ""}, {"machine_id": "a" * 33}, {"incomplete": 1}, {"level_problem": None}]
    + [{key: value} for key in commit.LISTS for value in ("x", [1], None)],
)
def test_a_report_with_something_else(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        commit.parse(report(**wrong))


def test_a_report_without_a_time() -> None:
    with pytest.raises(Problem, match="is not a time"):
        commit.parse(report(time="now"))


@pytest.mark.parametrize(
    ("level", "known", "missing"),
    [(0, [], False), (1, [], True), (1, [entry(1)], False), (1, [entry(1, **WRITTEN)], True)]
    + [(1, [entry(1, host="h2")], True), (1, [entry(1, set="etc")], True), (1, [entry(2)], True)],
)
def test_a_base_that_is_missing(level: int, known: list[Any], missing: bool) -> None:
    said = {"level": level, "base": "R1", "host": "h1", "set": "all"}
    text = "its base, run R1, is not in the catalog: run level 0"
    assert commit.without_base(known, said) == (text if missing else "")


@pytest.mark.parametrize(
    ("before", "now", "accepted", "other"),
    [("a", "a", False, False), ("a", "b", False, True), ("a", "b", True, False), (None, "b", False, False)]
    + [("a", None, False, False)],
)
def test_another_machine(before: str | None, now: str | None, accepted: bool, other: bool) -> None:
    settings: Any = SimpleNamespace(accept_new_machine=accepted)
    text = commit.other_machine(settings, [entry(1, machine_id=before)], {"host": "h1", "machine_id": now})
    assert text == ("it is of machine b, but the last good archive of h1 is of machine a (/etc/machine-id)" * other)


# -- archives on a tape


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ("R1 h1 0 2026-11-26T09:17:00Z all", True),
        ("R1 h1 9 2026-11-26T09:17:00Z", True),
        ("R1 h1 10 2026-11-26T09:17:00Z all", False),
        ("R1 h1 x 2026-11-26T09:17:00Z all", False),
        ("R1 h1 0 yesterday all", False),
        ("R1 h1 0", False),
        ("- h1 0 2026-11-26T09:17:00Z all", False),
        ("R1 h1 0 2026-11-26T09:17:00Z -", False),
    ],
)
def test_labels_of_archives(words: str, ours: bool) -> None:
    assert rebuild.is_ours(words.split(" ")) is ours


TAPE_LABEL = {"host": "tape1", "block_size": 4096}


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("R1 h1 2 2026-11-26T09:17:00Z etc", (records.ARCHIVE, "R1", "h1", "etc", 2, records.WRITTEN)),
        ("R1 h1 2 2026-11-26T09:17:00Z", (records.ARCHIVE, "R1", "h1", "all", 2, records.WRITTEN)),
        ("catalog R1 2026-11-26T09:17:00Z", (records.CATALOG, "R1", "tape1", "all", 0, records.WRITTEN)),
        ("something else", (records.ARCHIVE, rebuild.UNKNOWN, rebuild.UNKNOWN, "all", 0, records.FAILED)),
    ],
)
@pytest.mark.parametrize("pax", [True, False])
def test_an_archive_by_its_first_block(label: str, found: tuple[object, ...], pax: bool) -> None:
    block = archives.tar_of(label, pax=pax)
    assert rebuild.volume_label(block) == label
    made: Any = rebuild.archive_of(block, 7, TAPE_LABEL)
    assert tuple(made[key] for key in ("kind", "run", "host", "set", "level", "state")) == found
    assert (made["file"], made["block_size"]) == (7, len(block))
    assert rebuild.archive_of(block[:-1], 7, TAPE_LABEL)["block_size"] == 4096


@pytest.mark.parametrize(
    ("known", "there", "same"),
    [
        ({}, {}, True),
        ({}, {"run": rebuild.UNKNOWN, "host": "?"}, True),
        ({}, {"run": "R2"}, False),
        ({}, {"host": "h2"}, False),
        ({}, {"set": "etc"}, False),
        ({}, {"kind": records.CATALOG}, False),
        ({"kind": records.CATALOG}, {"kind": records.CATALOG, "host": "h2"}, True),
    ],
)
def test_whether_it_is_the_same_archive(known: dict[str, Any], there: dict[str, Any], same: bool) -> None:
    assert rebuild.is_it(entry(1, **known), entry(1, **there)) is same


@pytest.mark.parametrize(
    ("unsure", "said"),
    [
        (0, []),
        (1, ["1 archive of tape A is not known to be good until verify has read it: tape_of_tape=A"]),
        (2, ["2 archives of tape A are not known to be good until verify has read them: tape_of_tape=A"]),
    ],
)
def test_what_is_to_be_done_after_a_rebuild(unsure: int, said: list[str]) -> None:
    assert rebuild.todo("A", unsure) == said


def test_a_copy_of_the_catalog_on_a_tape() -> None:
    """One that is cut off anywhere is none: also where a file in it ends."""
    out = io.BytesIO()
    files = {"tapes/A.json": b"x" * 512, "tapes/B.json": b"x" * 700, "lists/R1/x.gz": b"zip"}
    with tarfile.open(fileobj=out, mode="w") as made:
        folder = tarfile.TarInfo("tapes")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    whole = out.getvalue()
    ends = len(whole.rstrip(b"\0")) + 509  # of the last file; a block of zeros follows
    assert tape_copy.contents(io.BytesIO(whole)) == tape_copy.contents(io.BytesIO(whole[: ends + 512])) == files
    for size in {*range(0, ends + 512, 64), ends, ends + 511}:
        with pytest.raises(tarfile.TarError):
            tape_copy.contents(io.BytesIO(whole[:size]))


# -- the catalog


def recorded(run: int, **more: Any) -> Any:
    """A whole entry."""
    words = f"R{run} h1 0 {archives.iso(f'R{run}')} all"
    made = rebuild.archive_of(archives.tar_of(words), run, TAPE_LABEL)
    return {**made, "state": records.GOOD, "bytes": 4096, "sha256": "0" * 64, "tape": "A", **more}


def new_tape(label: str, *entries: Any) -> Any:
    about = {"label": label, "id": label * 8, "barcode": "", "block_size": 4096, "labelled": archives.iso("R0")}
    return {**catalogs.new_tape(about, "virtual"), "archives": list(entries)}


@pytest.fixture
def catalog(tmp_path: Path) -> catalogs.Catalog:
    made = catalogs.Catalog(str(tmp_path / "catalog"))
    with made.changes("A", "B") as tapes:
        tapes["A"], tapes["B"] = new_tape("A", recorded(1), recorded(2), recorded(3, **FAILED)), new_tape("B")
    return made


def test_good_archives_up_to_a_time(catalog: catalogs.Catalog) -> None:
    at = {run: units.parse_time(archives.iso(f"R{run}")) for run in (1, 2)}
    for until, found in ((None, [1, 2]), (at[2], [1, 2]), (at[2] - 1, [1]), (at[1], [1]), (at[1] - 1, [])):
        assert runs(catalog.good("h1", "all", until)) == found
    assert catalog.good("h2", "all") == catalog.good("h1", "etc") == []
    assert runs(catalog.archives()) == runs(catalog.archives("h1")) == [1, 2, 3]


def session_of(catalog: catalogs.Catalog) -> Any:
    return SimpleNamespace(catalog=catalog, settings=SimpleNamespace(set="all"))


@pytest.mark.parametrize(
    ("as_of", "found"),
    [("", [2]), ("R1", [1]), ("R2", [2]), ("2026-11-01T01:59:59Z", [1]), ("2026-11-01T02:00:00Z", [2])],
)
def test_an_archive_to_restore(catalog: catalogs.Catalog, as_of: str, found: list[int]) -> None:
    args: Any = SimpleNamespace(host="h1", as_of=as_of, path=[], early_exit=False)
    made = chain.chain(session_of(catalog), args)
    assert (runs(made["archives"]), made["tapes"], made["warnings"]) == (found, ["A"], [])


def test_no_archive_to_restore(catalog: catalogs.Catalog) -> None:
    with catalog.changes("B") as tapes:
        tapes["B"] = new_tape("B", recorded(5, **WRITTEN, tape="B"), recorded(7, **WRITTEN, tape="B"))
    has = f"the catalog {catalog.folder} has archives of: h1"
    for host, as_of, hint in (
        ("h2", "", has),
        ("h1", "2026-11-01T00:00:00Z", has),
        ("h1", "2026-11-01T00:59:59Z", has),
    ):
        with pytest.raises(Problem) as caught:
            chain.chain(session_of(catalog), SimpleNamespace(host=host, as_of=as_of))
        told = f" up to {as_of}" if as_of else ""
        assert caught.value.what == f"there is no good archive of {host} (set all){told}"
        assert (caught.value.hint, caught.value.kind) == (hint, NOT_FOUND)
    with catalog.changes("A") as tapes:
        tapes["A"] = new_tape("A")
    for as_of, count in (("", "2 archives"), ("2026-11-01T05:00:00Z", "1 archive")):
        with pytest.raises(Problem) as caught:
            chain.chain(session_of(catalog), SimpleNamespace(host="h1", as_of=as_of, path=[], early_exit=False))
        unsure = f"h1 has {count} to be verified first: run verify with tape_of_host=h1"
        assert caught.value.hint == f"the catalog {catalog.folder} has archives of: no host; {unsure}"


@pytest.mark.parametrize(
    ("known", "more", "refused"),
    [
        (entry(1, **WRITTEN, sha256="a"), {}, ""),
        (entry(1, sha256="a"), {}, ""),
        (
            entry(1, sha256="a"),
            {"sha256": "b"},
            "tape A, file 1: the archive of h1 is already good, but this report is ",
        ),
        (entry(1, **WRITTEN, sha256=None), {"sha256": "b"}, ""),
        (entry(2), {}, "the archive of h1 in run R1 is no longer on tape A"),
    ],
)
def test_the_archive_of_a_report(known: Any, more: dict[str, Any], refused: str) -> None:
    on: Any = {"label": "A", "archives": [known]}
    said = {"run": "R1", "host": "h1", "set": "all", "bytes": 10, "sha256": "a", **more}
    try:
        assert commit.written(on, said) is known and not refused
    except Problem as exc:
        assert refused and str(exc).startswith(refused)


def test_generations_of_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest one has the latest name, even if the clock was set back."""
    times = iter([1000.0, 1000.0, 900.0, 2000.0])
    clock = SimpleNamespace(time=lambda: next(times), strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr(host_copy, "time", clock)
    copy = tmp_path / "catalog-of-tape1"
    made = []
    for number in range(4):
        (tmp_path / "part").mkdir()
        (tmp_path / "part" / str(number)).touch()
        made.append(host_copy.begin(str(copy), str(tmp_path / "part")))
        assert [each.name for each in copy.iterdir()] == [str(number)]
    names_ = [f"19700101T00{minute}{second}Z" for minute, second in ((16, 40), (16, 41), (16, 42), (33, 20))]
    assert made == [f"{copy}.{name}" for name in names_] and host_copy.generations(str(copy)) == names_
    (tmp_path / "catalog-of-tape1.5").mkdir()
    (tmp_path / "catalog-of-tape1.lock").touch()
    assert host_copy.generations(str(copy)) == ["5", *names_]
    assert host_copy.expire(str(copy)) == ["5", *names_][-host_copy.GENERATIONS :]
    assert host_copy.generations(str(copy)) == ["5", *names_][-host_copy.GENERATIONS :]


def test_changes_of_several_tapes(catalog: catalogs.Catalog) -> None:
    with catalog.changes("A", "B", "C") as tapes:
        assert tapes["C"] is None and tapes["A"] and tapes["B"]
        tapes["A"], tapes["C"] = None, new_tape("C")
        tapes["B"]["full"] = True
    again = catalogs.Catalog(catalog.folder)
    assert sorted(each["label"] for each in again.tapes()) == ["B", "C"] and again.tape("A") is None
    found = again.tape("B")
    assert found and found["full"]


def test_a_damaged_file_is_replaced_only_on_demand(catalog: catalogs.Catalog) -> None:
    path = Path(catalog.tape_path("A"))
    path.write_text("{")
    with pytest.raises(Problem) as caught, catalog.changes("A"):
        pass
    assert caught.value.kind == DAMAGED and path.read_text() == "{"
    with catalog.changes("A", anew=True) as tapes:
        assert tapes["A"] is None
    assert path.read_text() == "{"
    with catalog.changes("A", anew=True) as tapes:
        tapes["A"] = new_tape("A")
    assert Path(f"{path}.damaged").read_text() == "{"
    assert catalogs.Catalog(catalog.folder).tape("A") is not None


@pytest.mark.parametrize(
    ("journal", "found", "set_aside"),
    [
        ({"A": None, "C": new_tape("C")}, ["B", "C"], False),
        ({"A": None, "C": {}}, ["A", "B"], True),
        ([], ["A", "B"], True),
    ],
)
def test_an_interrupted_change(catalog: catalogs.Catalog, journal: Any, found: list[str], set_aside: bool) -> None:
    """Is completed by the next one, unless it cannot be read."""
    path = Path(catalog.journal.path)
    path.write_text(json.dumps(journal))
    (path.parent / "A.json.part").touch()
    again = catalogs.Catalog(catalog.folder)
    with again.changes("B"):
        pass
    assert sorted(each["label"] for each in again.tapes()) == found
    assert not path.exists() and not (path.parent / "A.json.part").exists()
    assert Path(f"{path}.damaged").exists() is set_aside


def test_a_virtual_tape(tmp_path: Path) -> None:
    tape, other = VirtualTape(str(tmp_path)), VirtualTape(str(tmp_path))
    assert tape.key == other.key and not tape.status().protected and tape.status().loaded
    tmp_path.chmod(0o555)
    assert tape.status().protected
    tmp_path.chmod(0o755)
    tape.open()
    with pytest.raises(
        Problem, match=f"^the virtual tape {tmp_path} is in use by a job with another catalog"
    ) as caught:
        other.open()
    assert caught.value.kind == BUSY
    tape.close()
    other.open()
    other.close()
    for name in ("000002", "000000", "notes"):
        (tmp_path / name).touch()
    assert tape.numbers() == [0, 2]


# -- what a copy of the catalog lacks


def tape(label: str, *archives_: Any, **more: Any) -> Any:
    return {"label": label, "id": "id of " + label, "archives": list(archives_), **more}


@pytest.mark.parametrize(
    ("new", "tapes", "lost"),
    [
        ([tape("A", entry(1), entry(2))], [], {}),
        ([tape("B", entry(1), entry(2))], ["A"], {}),
        ([tape("B", former=["id of A"])], [], {}),
        ([tape("A", entry(1))], [], {"A": 1}),
        ([tape("A", entry(1), lost=[entry(2)])], [], {}),
        ([tape("A", relabelling={})], [], {}),
        ([tape("A", entry(1), entry(2, **FAILED))], [], {}),
    ],
)
def test_what_a_new_catalog_lacks(new: list[Any], tapes: list[str], lost: dict[str, int]) -> None:
    old = [tape("A", entry(1), entry(2), entry(3, **WRITTEN))]
    assert host_copy.missing(old, new) == (tapes, lost)


def test_a_report_is_one_line_of_json() -> None:
    assert json.loads(report())["run"] == "R1"
