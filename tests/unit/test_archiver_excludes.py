# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for files that an archive leaves out: with tar, over several levels, and counted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Archive, Host, tree

from tests.workshop import guides

SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n"
TAG = "CACHEDIR.TAG"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def short(host: Host, archive: Archive) -> list[str]:
    return sorted(name.removeprefix(f".{host.root}/") for name in archive.names)


def settle(host: Host, name: str) -> None:
    """Until a file is older than an archive that begins now, by the seconds of a snapshot file."""
    while os.stat(host.root / name).st_ctime_ns // 10**9 >= time.time_ns() // 10**9:
        time.sleep(0.05)


def restored(host: Host, archives: list[Archive]) -> Path:
    to = host.top / f"back{len(list(host.top.iterdir()))}"
    for number, archive in enumerate(archives):
        more = ["--more"] if archive is not archives[-1] else []
        host.extract(archive, to, *more, *(["--incremental"] if number else []))
    return host.restored_as(to)


def test_marked_directories(host: Host) -> None:
    for name in ("cache/one", "cache/sub/two", "other/three", "plain/four", "not/five"):
        host.file(name, "x")
    host.file(f"cache/{TAG}", SIGNATURE)
    host.file(f"not/{TAG}", "no signature")
    host.file("other/.nobackup")
    host.settings.update(exclude_caches=True, exclude_tag=[".nobackup", ".none"])
    found = host.create()
    left = {"cache/one", "cache/sub/", "cache/sub/two", "other/three"}
    assert not left & set(short(host, found))
    assert {"cache/", f"cache/{TAG}", "other/", "other/.nobackup", "not/five", "plain/four"} <= set(short(host, found))
    assert found.facts["left_out"] == {
        "tape_exclude_caches": 1,
        "tape_exclude_tag: .nobackup": 1,
        "tape_exclude_tag: .none": 0,
    }
    assert (found.facts["warnings"], found.facts["warning_count"]) == ([], 0)
    assert host.estimate() == len(found.data)
    host.settings.update(exclude_caches=False, exclude_tag=[])
    assert left <= set(short(host, host.create("R1")))


@pytest.mark.parametrize("gone", ["tag", "rule"])
def test_a_directory_that_is_no_longer_marked_is_archived_whole(host: Host, gone: str) -> None:
    """All its files are older than the base, which does not have them."""
    for name in ("d/old", "d/sub/older", "d/.nobackup", f"e/{TAG}", "e/f", "x"):
        host.file(name, SIGNATURE if name.endswith(TAG) else name)
    host.settings.update(exclude_caches=True, exclude_tag=[".nobackup"])
    settle(host, "x")
    full = host.create("R0")
    assert not {"d/old", "d/sub/older", "e/f"} & set(short(host, full))
    if gone == "tag":
        (host.root / "d/.nobackup").unlink()
        (host.root / "e" / TAG).unlink()
    else:
        host.settings.update(exclude_caches=False, exclude_tag=[])
    one = host.create("R1", 1, "R0")
    assert (one.facts["level"], one.facts["level_problem"]) == (1, "")
    assert "x" not in short(host, one)
    assert tree(restored(host, [full, one])) == tree(host.root)


def test_a_directory_that_is_marked_between_two_levels(host: Host) -> None:
    """It is restored as a level 0 of then would have it: without its contents. Later levels have them again."""
    for name in ("d/old", "d/sub/older", "x"):
        host.file(name, name)
    host.settings.update(exclude_tag=[".nobackup"])
    settle(host, "x")
    full = host.create("R0")
    host.file("d/.nobackup")
    settle(host, "d/.nobackup")
    one = host.create("R1", 1, "R0")
    zero = host.create("R2")
    assert tree(restored(host, [full, one])) == tree(restored(host, [zero]))
    (host.root / "d/.nobackup").unlink()
    two = host.create("R3", 2, "R1")
    assert tree(restored(host, [full, one, two])) == tree(host.root)
    assert tree(restored(host, [full, host.create("R4", 1, "R0")])) == tree(host.root)


def test_a_new_pattern_keeps_what_the_base_has(host: Host) -> None:
    """Nobody looks at the file any more, so it is neither newer nor gone."""
    for name in ("a.tmp", "x"):
        host.file(name, name)
    settle(host, "x")
    full = host.create("R0")
    host.file("a.tmp", "changed")
    host.settings["excludes"] = ["*.tmp"]
    one = host.create("R1", 1, "R0")
    assert one.facts["level"] == 1 and "a.tmp" not in short(host, one)
    assert one.facts["left_out"] == {"tape_excludes: *.tmp": 1}
    assert (restored(host, [full, one]) / "a.tmp").read_text() == "a.tmp"


def test_the_count_of_an_increment_is_that_of_a_full_archive(host: Host) -> None:
    """In a snapshot, unchanged files look like those that were left out."""
    for name in ("a.tmp", "b.tmp/c", "d/e.tmp", "d/f", "g"):
        host.file(name)
    host.settings["excludes"] = ["*.tmp", "g"]
    settle(host, "g")
    full = host.create("R0")
    one = host.create("R1", 1, "R0")
    assert full.facts["left_out"] == one.facts["left_out"] == {"tape_excludes: *.tmp": 3, "tape_excludes: g": 1}


def test_a_path_of_its_own_that_a_pattern_leaves_out(host: Host) -> None:
    for name in ("deep/cache/one", "keep"):
        host.file(name)
    host.settings.update(paths=[str(host.root / "keep"), str(host.root / "deep/cache/one")], excludes=["cache"])
    found = host.create()
    assert short(host, found) == ["keep"]
    assert found.facts["left_out"] == {"tape_excludes: cache": 1}


def rows_of_the_guide() -> list[tuple[str, str]]:
    """Each pattern, and what it leaves out."""
    (table,) = [block for block in guides.blocks(guides.read("tape"), "text") if block.text.startswith("PATTERN ")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in table.text.splitlines()[1:]]


def test_the_table_of_the_guide(host: Host) -> None:
    """In place of /srv there is the directory of the test."""
    for name in ("a.tmp", "d/b.tmp", "d/cache/x", "cache/y"):
        host.file(name)
    every = set(short(host, host.create()))
    rows = rows_of_the_guide()
    assert len(rows) > 8
    for number, (pattern, told) in enumerate(rows, start=1):
        host.settings["excludes"] = [pattern.replace("/srv", str(host.root))]
        left = every - set(short(host, host.create(f"R{number}")))
        below = {name for name in left for top in left if top.endswith("/") and name.startswith(top) and name != top}
        assert left - below == (set() if told == "nothing" else set(told.split(", "))), pattern


def test_patterns_of_files(host: Host) -> None:
    for name in ("a.tmp", "#b#", "c/d", "keep"):
        host.file(name)
    patterns = host.top / "patterns"
    patterns.write_text(f"*.tmp \n\n#*#\n{host.root}/c/\n", encoding="utf-8")
    host.settings.update(excludes=["*.tmp"], exclude_files=[str(patterns)])
    settle(host, "keep")
    found = host.create()
    assert short(host, found) == ["", "keep"]
    assert found.facts["left_out"] == {
        "tape_excludes: *.tmp": 1,
        "tape_exclude_files: #*#": 1,
        f"tape_exclude_files: {host.root}/c": 1,
    }
    patterns.write_text("#*#\n", encoding="utf-8")
    one = host.create("R1", 1, "R0")
    problem = f"run R0 left out {host.root}/c, which is in neither tape_excludes nor tape_exclude_files any more"
    assert one.facts["level_problem"] == f"level 0 instead of 1: {problem}"
    assert short(host, one) == ["", "c/", "c/d", "keep"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"a\0b\n", "is not a text"),
        (b"a\n/\n", "contains the pattern /"),
        (b"a\n/ //\n//\n", "contains the pattern /"),
    ],
)
def test_a_file_of_patterns_that_is_none(host: Host, content: bytes | None, said: str) -> None:
    path = host.top / "patterns"
    if content is not None:
        path.write_bytes(content)
    host.settings["exclude_files"] = [str(path)]
    assert host.said(*host.words(), rc=2) == f"archiver create: {path} of tape_exclude_files {said}"


def test_a_change_in_a_list_that_is_too_long_for_the_report(host: Host) -> None:
    """The file is old, and the base does not have it: only a full archive can have it."""
    host.file("last", "x")
    many = [f"/srv/{'x' * 200}/{number}" for number in range(400)]
    host.settings["excludes"] = [*many, "last"]
    settle(host, "last")
    full = host.create("R0")
    assert full.facts["excludes"][-1].startswith("and ")
    assert len(full.facts["left_out"]) == 50 and full.facts["left_out"]["tape_excludes: last"] == 1
    host.settings["excludes"] = ["last", *many]
    assert host.create("R1", 1, "R0").facts["level"] == 1
    host.settings["excludes"] = [*many, "other"]
    one = host.create("R2", 1, "R0")
    assert "last" in short(host, one)
    problem = "run R0 left out thousands of patterns, and they are not the same any more"
    assert one.facts["level_problem"] == f"level 0 instead of 1: {problem}"


def test_patterns_stay_on_a_host_that_encrypts(host: Host) -> None:
    host.file("secret.tmp")
    host.settings.update(excludes=["secret*", "x"], exclude_caches=True)
    host.settings["filters"] = [{"kind": "command", "write": ["cat"], "read": ["cat"], "encrypts": True}]
    done = host.run(*host.words())
    assert host.run("seal", "--run", "R0", data=done.stdout).stdout == done.stdout
    line = host.run("report", "--run", "R0").stdout
    assert b'"left_out": {"tape_excludes": 1, "tape_exclude_caches": 0}' in line
