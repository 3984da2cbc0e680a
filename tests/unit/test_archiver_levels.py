# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiver of the role tape: incremental archives, their states, and all levels restored one after the other."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import state
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Archive, Host, tree


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def short(host: Host, archive: Archive) -> list[str]:
    return sorted(name.removeprefix(f".{host.root}/") for name in archive.names)


def restore(host: Host, to: Path, archives: list[Archive]) -> Path:
    for number, archive in enumerate(archives):
        more = ["--more"] if archive is not archives[-1] else []
        host.extract(archive, to, *more, *(["--incremental"] if number else []))
    assert not (to / ".socketpipe-restore").exists()
    return host.restored_as(to)


def test_only_what_has_changed(host: Host) -> None:
    for name in ("a/one", "a/two", "b/three"):
        host.file(name, name)
    full = host.create("R0")
    host.file("a/two", "changed")
    host.file("a/new", "new")
    (host.root / "b/three").unlink()
    one = host.create("R1", 1, "R0")
    assert short(host, one) == ["", "a/", "a/new", "a/two", "b/"]
    assert (one.facts["base"], one.facts["level"]) == ("R0", 1)
    host.file("b/four", "4")
    two = host.create("R2", 2, "R1", keep="R0")
    assert short(host, two) == ["", "a/", "b/", "b/four"]
    other = host.create("R3", 1, "R0")  # dump's levels: relative to the lower level, whatever was between
    assert short(host, other) == ["", "a/", "a/new", "a/two", "b/", "b/four"]
    assert tree(restore(host, host.top / "back", [full, one, two])) == tree(host.root)
    assert tree(restore(host, host.top / "again", [full, other])) == tree(host.root)


def test_what_was_moved_in_with_an_old_time_is_new(host: Host) -> None:
    old = host.top / "old"
    old.write_text("x", encoding="utf-8")
    os.utime(old, (1, 1))
    time.sleep(0.1)
    host.create("R0")
    old.rename(host.root / "old")
    assert short(host, host.create("R1", 1, "R0")) == ["", "old"]


@pytest.mark.parametrize(
    ("before", "now", "problem"),
    [
        ({"paths": ["one"]}, {"paths": ["one", "d"]}, "run R0 did not include TOP/d of tape_paths"),
        ({"paths": ["one"]}, {"paths": ["one", "d/two"]}, "run R0 did not include TOP/d/two of tape_paths"),
        (
            {"excludes": ["*.tmp", "two"]},
            {"excludes": ["*.tmp"]},
            "run R0 left out two, which is in neither tape_excludes nor tape_exclude_files any more",
        ),
        (
            {"one_file_system": True},
            {"one_file_system": False},
            "run R0 left out other file systems, and tape_one_file_system is false now",
        ),
    ],
)
def test_what_the_base_left_out_is_there(host: Host, before: dict[str, Any], now: dict[str, Any], problem: str) -> None:
    """tar takes a file that is older than the base for one that the base has."""
    host.file("one", "1")
    host.file("d/two", "2")
    usual = dict(host.settings)

    def settings(given: dict[str, Any]) -> dict[str, Any]:
        paths = [str(host.root / path) for path in given.get("paths", ["."])]
        return {**usual, **given, "paths": paths}

    while os.stat(host.root / "d/two").st_ctime_ns // 10**9 >= time.time_ns() // 10**9:
        time.sleep(0.05)
    host.settings = settings(before)
    full = host.create("R0")
    host.settings = settings(now)
    one = host.create("R1", 1, "R0")
    assert f".{host.root}/d/two" in full.names + one.names
    assert one.facts["level_problem"] == f"level 0 instead of 1: {problem.replace('TOP', str(host.root))}"
    assert host.create("R2", 1, "R1").facts["level_problem"] == ""


def test_what_is_left_out_from_now_on_needs_no_full_archive(host: Host) -> None:
    host.file("one", "1")
    more = host.top / "more"
    more.mkdir()
    host.settings.update(paths=[str(host.root), str(more)], one_file_system=False)
    host.create("R0")
    host.settings.update(paths=[str(host.root)], excludes=["*.tmp"], one_file_system=True)
    said = json.loads(host.run("estimate", "--level", "1", "--base", "R0").stdout)
    assert (said["level"], said["level_problem"]) == (1, "")
    assert host.create("R1", 1, "R0").facts["level"] == 1


def test_two_names_for_one_machine(host: Host) -> None:
    """Both are in one run: the state of the second would miss what has changed since the first one's archive."""
    host.file("one", "1")
    host.create("R0")
    path = host.state_dir / "R0.json"
    path.write_text(path.read_text().replace('"host": "h1"', '"host": "www"'))
    problem = "level 0 instead of 1: run R0 was an archive of www: do both names refer to this machine?"
    assert_full(host, host.create("R1", 1, "R0"), problem)


def change_everything(root: Path, victim: Path) -> None:
    """Renames, also in a circle, and what was of one type is of another."""
    (root / "old").rename(root / "new")
    (root / "swap1").rename(root / "t")
    (root / "swap2").rename(root / "swap1")
    (root / "t").rename(root / "swap2")
    shutil.rmtree(root / "to_link")
    (root / "to_link").symlink_to(victim)
    (root / "to_directory").unlink()
    (root / "to_directory/in").mkdir(parents=True)
    (root / "link").unlink()
    (root / "link").mkdir()
    (root / "link/victim").write_text("safe", encoding="utf-8")
    shutil.rmtree(root / "gone")
    (root / "chain").mkdir()
    (root / "keep").rename(root / "chain/keep")


def test_renames_deletions_and_other_types_over_three_levels(host: Host) -> None:
    victim = host.top / "victim"
    victim.mkdir()
    (victim / "victim").write_text("mine", encoding="utf-8")
    for name in ("old/deep/a", "swap1/one", "swap2/two", "to_link/x", "to_directory", "gone/y", "keep/k"):
        host.file(name, name)
    (host.root / "link").symlink_to(victim)
    archives = [host.create("R0")]
    change_everything(host.root, victim)
    archives.append(host.create("R1", 1, "R0"))
    (host.root / "new").rename(host.root / "newer")
    host.file("newer/deep/b", "b")
    (host.root / "swap1/two").unlink()
    archives.append(host.create("R2", 2, "R1"))
    assert archives[2].facts["warnings"] == []
    before = tree(host.root)
    # in a folder where the names of the archive mean something else
    done = restore(host, host.top / "back", archives)
    assert tree(done) == before == tree(host.root)
    assert (victim / "victim").read_text(encoding="utf-8") == "mine"
    assert sorted(os.listdir(victim)) == ["victim"]


def test_a_renamed_directory_is_no_warning(host: Host) -> None:
    host.file("a/x", "x")
    host.create("R0")
    (host.root / "a").rename(host.root / "b")
    facts = host.create("R1", 1, "R0").facts
    assert (facts["tar"], facts["warnings"]) == (0, [])


@pytest.mark.parametrize("missing", [".json", ".snar", "all"])
def test_a_base_that_is_not_here(host: Host, missing: str) -> None:
    host.create("R0")
    if missing == "all":
        shutil.rmtree(host.state)
    else:
        (host.state_dir / f"R0{missing}").unlink()
    host.file("a", "x")
    problem = (
        f"level 0 instead of 1: this host has no state of run R0 in {host.state_dir} "
        "(it was reinstalled, or the state was removed)"
    )
    said = json.loads(host.run("estimate", "--level", "1", "--base", "R0").stdout)
    assert (said["level"], said["level_problem"]) == (0, problem)
    assert_full(host, host.create("R1", 1, "R0"), problem)
    assert host.create("R2", 1, "R1").facts["level"] == 1


def test_a_base_that_was_written_again_after_the_one_on_tape(host: Host) -> None:
    """As by two jobs that have resumed the same run: no archive on tape has what changed between the two."""
    host.file("a", "x")
    on_tape = host.create("R0")
    host.file("a", "changed")
    again = host.create("R0")
    host.file("b", "x")
    known = ["--base-sha256", on_tape.facts["sha256"]]
    said = host.run(*host.words("R1", 1, "R0", keep="R0"), *known)
    problem = (
        "level 0 instead of 1: this host wrote run R0 again later, and its state is not that of the archive on tape"
    )
    assert_full(host, Archive(said.stdout, *host.report("R1")), problem)
    assert json.loads(host.run("estimate", "--level", "1", "--base", "R0", *known).stdout)["level_problem"] == problem
    known[-1] = again.facts["sha256"]
    host.run(*host.words("R2", 1, "R0", keep="R0"), *known)
    assert host.report("R2")[0]["level"] == 1


def assert_full(host: Host, archive: Archive, problem: str) -> None:
    """It has everything, says so wherever its level stands, and why."""
    facts = archive.facts
    assert (facts["level"], facts["base"], facts["level_problem"]) == (0, None, problem)
    assert facts["label"].split(" ")[2] == "0"
    assert (facts["warnings"], facts["warning_count"]) == ([], 0), "these are of tar"
    files = [str(path) for path in host.root.rglob("*") if path.is_file()]
    assert {name.lstrip(".") for name in archive.names if not name.endswith("/")} == set(files)


def test_a_base_of_the_same_level(host: Host) -> None:
    host.create("R0")
    host.create("R1", 1, "R0")
    assert host.said(*host.words("R2", 1, "R1"), rc=2) == (
        "archiver create: run R1 was level 1, which cannot be the base of level 1"
    )


def test_a_run_is_not_its_own_base(host: Host) -> None:
    host.create("R0")
    assert host.said(*host.words("R0", 1, "R0"), rc=2) == "archiver create: run R0 cannot be its own base"
    assert "R0.json" in host.states()


def test_a_clock_that_was_set_back(host: Host) -> None:
    host.create("R0")
    path = host.state_dir / "R0.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["time"] = "2999-01-01T00:00:00Z"
    path.write_text(json.dumps(facts), encoding="utf-8")
    archive = host.create("R1", 1, "R0")
    assert archive.facts["level_problem"] == (
        "level 0 instead of 1: run R0 was made at 2999-01-01T00:00:00Z, "
        f"but this host's clock shows {archive.facts['time']}: changes since then would be missed"
    )
    assert_full(host, archive, archive.facts["level_problem"])


@pytest.mark.parametrize(("words", "found"), [([], False), (["--ahead", "3600"], True)])
def test_a_clock_that_was_ahead_and_is_right_now(host: Host, words: list[str], found: bool) -> None:
    """What changed in that hour would be older than the base."""
    changed = host.file("one", "1")
    host.create("R0")
    path = host.state_dir / "R0.snar"
    head, seconds, rest = re.split(rb"(?<=\n)(\d+)", path.read_bytes(), maxsplit=1)
    path.write_bytes(head + b"%d" % (int(seconds) + 3600) + rest)
    changed.write_text("changed", encoding="utf-8")
    assert host.run(*host.words("R1", 1, "R0"), *words).returncode == 0
    facts, names = host.report("R1")
    assert (facts["level"], f".{changed}" in names) == (1, found)


def test_other_states_go_and_only_theirs(host: Host) -> None:
    for run in ("R0", "R1", "R2"):
        host.create(run, keep="R0,R1,R2")
    host.create("R3", 1, "R2", keep="R0")
    (host.state_dir / "notes").write_text("x", encoding="utf-8")
    runs = {name.partition(".")[0] for name in host.states()}
    assert runs == {"R0", "R2", "R3", "lock", "notes"}
    host.create("R4")
    assert {name.partition(".")[0] for name in host.states()} == {"R4", "lock", "notes"}


def test_a_failure_leaves_the_base_as_it_was(host: Host) -> None:
    """A tar that fails has already changed its state file."""
    host.create("R0")
    before = {name: (host.state_dir / name).read_bytes() for name in host.states() if name != "lock"}
    host.file("a", "a")
    host.program("tar", 'REAL "$@"; case $* in *--create*) echo "tar: no" >&2; exit 2;; esac')
    assert "tar failed with status 2: no" in host.said(*host.words("R1", 1, "R0"))
    host.path = os.environ["PATH"]
    assert {name: (host.state_dir / name).read_bytes() for name in host.states() if name != "lock"} == before
    assert short(host, host.create("R1", 1, "R0")) == ["", "a"]


def test_a_run_that_is_made_again_counts_for_nothing_until_it_is_whole(host: Host) -> None:
    host.create("R0")
    host.program("tar", 'case $* in *--create*) exit 2;; esac; exec REAL "$@"')
    host.said(*host.words("R0"))
    assert "run R0 has no complete archive" in host.said("report", "--run", "R0")


def snapshot(host: Host, run: str) -> bytes:
    return (host.state_dir / f"{run}.snar").read_bytes()


def test_other_device_numbers_after_a_reboot(host: Host) -> None:
    host.file("a/one", "1")
    host.file("b/two", "2")
    host.create("R0")
    device = b"\0%d\0" % host.root.stat().st_dev
    assert snapshot(host, "R0").count(device) == 3
    (host.state_dir / "R0.snar").write_bytes(snapshot(host, "R0").replace(device, b"\00064999\0"))
    host.file("b/new", "n")
    assert short(host, host.create("R1", 1, "R0")) == ["", "a/", "b/", "b/new"]


def test_a_new_directory_with_the_inode_of_one_that_has_gone(host: Host) -> None:
    """ext4 gives it to the next one; tar would take it for the old one, renamed, and could then not restore it."""
    host.file("gone/a", "a")
    host.file("file", "f")
    archives = [host.create("R0")]
    inode = (host.root / "gone").stat().st_ino
    (host.root / "file").unlink()
    (host.root / "file").mkdir()
    shutil.rmtree(host.root / "gone")
    (host.root / "file/new").mkdir()
    now = (host.root / "file/new").stat().st_ino
    # on a file system that is not like ext4: as if it were
    (host.state_dir / "R0.snar").write_bytes(snapshot(host, "R0").replace(b"\0%d\0" % inode, b"\0%d\0" % now))
    archives.append(host.create("R1", 1, "R0"))
    assert b"GNU.dumpdir=R" not in archives[1].data
    assert tree(restore(host, host.top / "back", archives)) == tree(host.root)


def test_a_copy_without_devices_is_the_same_otherwise(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/one", "a/\n", "b/-2\n", "c/d/e/f"):
        host.file(name, "x")
    for number in range(20):
        (host.root / f"empty{number}").mkdir()
    host.create("R0")
    before = snapshot(host, "R0")
    expected = before.replace(b"\0%d\0" % host.root.stat().st_dev, b"\0" + b"0" + b"\0")
    for size in (2**20, 64, 65, 66, 67):
        monkeypatch.setattr(state, "CHUNK", size)
        target = io.BytesIO()
        state.copied(io.BytesIO(before), target)
        assert target.getvalue() == expected


@pytest.mark.parametrize(
    ("name", "cut", "said"),
    [
        ("R0.snar", lambda data: b"", "the state of the base was not written by tar 1.16 or later"),
        ("R0.snar", lambda data: data[:-7], "the state of the base is damaged"),
        ("R0.snar", lambda data: data[:30] + b"\0\0\0" + data[30:], "the state of the base is damaged"),
        ("R0.json", lambda data: data[:30], "this host has no state of run R0 in STATE "),
        ("R0.json", lambda data: b"[]", "this host has no state of run R0 in STATE "),
        ("R0.json", lambda data: b'{"time": "2026"}', "this host has no state of run R0 in STATE "),
    ],
)
def test_a_state_that_is_damaged(host: Host, name: str, cut: Callable[[bytes], bytes], said: str) -> None:
    host.file("a/b", "x")
    host.create("R0")
    path = host.state_dir / name
    path.write_bytes(cut(path.read_bytes()))
    archive = host.create("R1", 1, "R0")
    problem = archive.facts["level_problem"]
    assert problem.startswith("level 0 instead of 1: " + said.replace("STATE", str(host.state_dir)))
    assert_full(host, archive, problem)


def test_each_tape_host_has_states_of_its_own(host: Host) -> None:
    """A run of one tape host is no base for another one's tapes, though both call it the same."""
    host.file("a", "x")
    host.settings["tape_host"] = "tapes.example.org"
    host.create("R0")
    for name in ("../tapes", "tapes:2", ".."):
        host.settings["tape_host"] = name
        assert host.create("R1", 1, "R0").facts["level"] == 0
    assert sorted(os.listdir(host.state)) == ["%2e.", "%2e.%2ftapes", "tapes%3a2", "tapes.example.org"]
    host.settings["tape_host"] = "tapes.example.org"
    assert host.create("R1", 1, "R0").facts["level"] == 1, "and none of the others has removed it"


def test_another_file_system_at_the_same_place(host: Host) -> None:
    """Its directories may well have the same inodes; as far as udev says which file system is which."""
    host.create("R0")
    path = host.state_dir / "R0.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    if not facts["file_systems"]:
        pytest.skip("no UUID is known of the file system of the tests")
    uuid = facts["file_systems"][str(host.root)]
    facts["file_systems"][str(host.root)] = "1234-5678"
    path.write_text(json.dumps(facts), encoding="utf-8")
    problem = f"level 0 instead of 1: {host.root} is another file system ({uuid}) than in run R0 (1234-5678)"
    assert_full(host, host.create("R1", 1, "R0"), problem)


def test_which_file_system_is_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    states = state.States(os.fsencode(tmp_path))
    facts = {"level": 0, "time": "2026", "file_systems": {"/a": "one", "/b": "two"}}
    (tmp_path / "R0.json").write_text(json.dumps(facts), encoding="utf-8")
    (tmp_path / "R0.snar").touch()
    wanted = {"host": "h1", "paths": [], "excludes": [], "one_file_system": True}
    for good in ({}, {"/a": "one"}, {"/a": "one", "/b": "two", "/c": "two"}):
        states.check("R0", 1, "2027", good, wanted)
    with pytest.raises(Exception, match="/b is another file system .three. than in run R0 .two."):
        states.check("R0", 1, "2027", {"/a": "one", "/b": "three"}, wanted)
