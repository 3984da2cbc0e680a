# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that reads an archive only up to the last requested file: it has each of them whole, or it fails."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Archive, Host, tree

BLOCK = 512


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def members(archive: Archive) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive.data)) as opened:
        return opened.getmembers()


def end_of(archive: Archive, path: Path) -> int:
    """Where the last entry of this name ends."""
    (*_earlier, found) = [each for each in members(archive) if each.name == f".{path}"]
    stored = int(found.pax_headers.get("size", found.size)) if found.isreg() else 0
    return found.offset_data + -(-stored // BLOCK) * BLOCK


def words(number: int, *paths: Path | str) -> list[str]:
    return [f"--early-exit={number}", "--may-repeat", "--", *map(str, paths)]


def cut(archive: Archive, end: int) -> Archive:
    """The first bytes of its stream, with the checksum of the whole."""
    return CutArchive(archive.data, archive.facts, archive.names, end)


class CutArchive(Archive):
    def __init__(self, data: bytes, facts: dict[str, object], names: list[str], end: int) -> None:
        super().__init__(data[:end], facts, names)
        self.whole = Archive(data, facts, names)

    @property
    def expected(self) -> list[str]:
        return self.whole.expected


def refused(host: Host, archive: Archive, number: int, *paths: Path | str) -> str:
    to = host.top / "refused"
    shutil.rmtree(to, ignore_errors=True)
    said = host.said("extract", "--to", str(to), *archive.expected, *words(number, *paths), data=archive.data)
    return said.replace(str(to), "TO")


UNTRUSTED = "; do not trust the files in TO"


def test_nothing_after_the_last_requested_file_is_needed(host: Host) -> None:
    """One byte less of it fails: tar would take an end between two entries for the end of the archive."""
    for name in ("one", "two", "z"):
        host.file(name, name * 1000)
    archive = host.create()
    one, two = host.root / "one", host.root / "two"
    end = max(end_of(archive, one), end_of(archive, two))
    done = host.extract(cut(archive, end), host.top / "back", *words(2, one, two))
    assert (done["files"], done["missing"], done["whole"], done["errors"]) == (2, [], False, [])
    assert done["warnings"] == []
    back = tree(host.restored_as(host.top / "back"))
    assert {name: back[name] for name in (b"one", b"two")} == {name: tree(host.root)[name] for name in (b"one", b"two")}
    for missing in (1, BLOCK, 3000):
        said = refused(host, cut(archive, end - missing), 2, one, two)
        assert (
            said == f"archiver extract: the archive was cut off: it ended after 1 of the 2 requested entries{UNTRUSTED}"
        )
    said = refused(host, cut(archive, 0), 2, one, two)
    assert said == f"archiver extract: the archive was cut off: it ended after 0 of the 2 requested entries{UNTRUSTED}"


def test_with_the_whole_archive_it_is_the_same(host: Host) -> None:
    for name in ("dir/one", "dir/sub/two", "other"):
        host.file(name, name)
    archive = host.create()
    done = host.extract(archive, host.top / "back", *words(4, host.root / "dir"))
    assert (done["files"], done["missing"], done["whole"]) == (4, [], False)
    assert tree(host.restored_as(host.top / "back/") / "dir") == tree(host.root / "dir")
    said = refused(host, archive, 5, host.root / "dir")
    assert said == f"archiver extract: the archive was cut off: it ended after 4 of the 5 requested entries{UNTRUSTED}"


def test_what_the_archive_does_not_have_is_missing(host: Host) -> None:
    host.file("one", "1")
    archive = host.create()
    done = host.extract(archive, host.top / "back", *words(1, host.root / "one", "/nowhere"))
    assert (done["files"], done["missing"], done["whole"]) == (1, ["/nowhere"], False)
    done = host.extract(cut(archive, 0), host.top / "none", *words(0, "/nowhere"))
    assert (done["files"], done["missing"], done["whole"]) == (0, ["/nowhere"], False)


def test_a_file_with_holes(host: Host) -> None:
    """Its length is not that of its data in the archive."""
    with open(host.root / "a", "wb") as file:
        for place in range(0, 40 << 20, 8 << 20):
            file.seek(place)
            file.write(os.urandom(70000))
        file.truncate(64 << 20)
    host.file("b", "b")
    host.file("c", "c" * 100000)
    archive = host.create()
    assert len(archive.data) < 2 << 20
    done = host.extract(archive, host.top / "back", *words(2, host.root / "a", host.root / "b"))
    assert (done["files"], done["whole"]) == (2, False)
    back = host.restored_as(host.top / "back")
    assert (back / "a").read_bytes() == (host.root / "a").read_bytes() and (back / "b").read_text() == "b"


def test_a_name_that_is_in_the_archive_twice(host: Host) -> None:
    """The later one counts, and comes last."""
    host.file("a", "old")
    first = host.create("R0")
    host.file("a", "new" * 1000)
    second = host.create("R1")
    head = first.data[: end_of(first, host.root / "a")]
    both = Archive(head + second.data, second.facts, first.names + second.names)
    done = host.extract(both, host.top / "back", *words(2, host.root / "a"))
    assert (done["files"], done["missing"]) == (2, [])
    assert (host.restored_as(host.top / "back") / "a").read_text() == "new" * 1000
    end = len(head) + end_of(second, host.root / "a")
    assert refused(host, cut(both, end - 1), 2, host.root / "a").endswith(f"1 of the 2 requested entries{UNTRUSTED}")


def test_a_name_whose_data_is_under_another_one(host: Host) -> None:
    """The second pass is for all of the archive, with its checksum."""
    host.file("a", "x" * 5000)
    os.link(host.root / "a", host.root / "b")
    archive = host.create()
    link = next(Path(each.name[1:]) for each in members(archive) if each.islnk())
    to = host.top / "back"
    done = host.extract(archive, to, *words(1, link))
    assert (done["again"], done["whole"]) == (True, False)
    done = host.extract(archive, to, "--again", "--", str(link))
    assert (done["again"], done["whole"]) == (False, True)
    assert [name for name in os.listdir(host.restored_as(to)) if name in "ab"] == [link.name]
    assert (host.restored_as(to) / link.name).read_text() == "x" * 5000


def test_an_increment_that_has_only_directories_to_say(host: Host) -> None:
    """That a file is gone is in its directory, and all of these come first."""
    for name in ("d/gone", "d/stays"):
        host.file(name, name)
    full = host.create("R0")
    (host.root / "d/gone").unlink()
    for number in range(5):
        host.file(f"e/{number}", "x" * 50000)
    one = host.create("R1", 1, "R0")
    paths = [host.root / "d/gone", host.root / "d/stays"]
    to = host.top / "back"
    first = min(each.offset for each in members(one) if each.isreg())
    assert host.extract(full, to, "--more", *words(2, *paths))["whole"] is False
    done = host.extract(cut(one, first + BLOCK * 200), to, "--incremental", *words(0, *paths))
    assert (done["deleted"], done["gone"], done["whole"]) == (1, [str(paths[0])], False)
    assert os.listdir(host.restored_as(to) / "d") == ["stays"]
    to = host.top / "again"
    host.extract(full, to, "--more", *words(2, *paths))
    part = cut(one, first)
    said = host.said("extract", "--to", str(to), *part.expected, "--incremental", *words(0, *paths), data=part.data)
    assert "the archive was cut off: it ended after 0 of the 0 requested entries" in said


def test_an_entry_of_an_unknown_kind(host: Host) -> None:
    """Its length is unknown, too, so nothing after it can be counted."""
    host.file("a", "x")
    archive = host.create()
    data = bytearray(archive.data)
    at = next(each.offset_data - BLOCK for each in members(archive) if each.isreg())
    data[at + 156 : at + 157] = b"S"
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + BLOCK])
    said = refused(host, Archive(bytes(data), archive.facts, archive.names), 1, host.root / "a")
    what = "an entry of an unknown kind came after 0 of the 1 requested ones: restore without tape_early_exit"
    assert said == f"archiver extract: the archive was cut off: {what}{UNTRUSTED}"


@pytest.mark.parametrize("more", [["--delete", "--", "/a"], ["--drill=x", "--", "/a"], ["--"], ["--", "/"]])
def test_used_wrongly(host: Host, more: list[str]) -> None:
    host.file("a", "x")
    archive = host.create()
    said = host.said("extract", "--to", "/nowhere", *archive.expected, "--early-exit=1", *more, rc=2)
    assert said == "archiver extract: --early-exit needs PATHs, and excludes --delete, --drill and --again"
