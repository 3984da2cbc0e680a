# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the archiver that need no tar: headers, names, lines of tar, states, mount points."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import (
    excludes,
    filenames,
    gnutar,
    header,
    machine,
    mounts,
    plan,
    state,
    target,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.crew import Lines
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.gate import Selection
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import (
    MACHINE,
    NO_BASE,
    SETTINGS,
    Problem,
)

# -- headers


@pytest.mark.parametrize(("size", "rounded"), [(0, 0), (1, 512), (511, 512), (512, 512), (513, 1024), (1024, 1024)])
def test_blocks(size: int, rounded: int) -> None:
    assert header.blocks(size) == rounded


@pytest.mark.parametrize(
    ("field", "found"),
    [(b"0000644\0", 0o644), (b"  ", 0), (b"\0\0", 0), (b"17 \0", 15), (b"\x80\0\0\x01\0", 256), (b"\x81\x02", 258)],
)
def test_numbers(field: bytes, found: int) -> None:
    assert header.number(field) == found


@pytest.mark.parametrize("field", [b"8", b"-1x", b"1 2"])
def test_numbers_that_are_none(field: bytes) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        header.number(field)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", {}),
        (b"9 path=a\n", {b"path": b"a"}),
        (b"10 a=b\nc=\n5 x=\n", {b"a": b"b\nc=", b"x": b""}),
        (b"6 key\n", {}),
        (b"9 path=a\n9 path=b\n", {b"path": b"b"}),
    ],
)
def test_extended_headers(body: bytes, found: dict[bytes, bytes]) -> None:
    assert header.records(body) == found


@pytest.mark.parametrize(
    "body", [b"path=a\n", b"11 path=a\n", b"2 \n", b"1 a=b\n", b"9 path=a\n\0", b"9999999999999 a=b\n"]
)
def test_extended_headers_that_are_none(body: bytes) -> None:
    with pytest.raises(ValueError, match="^no extended header$"):
        header.records(body)


@pytest.mark.parametrize(
    ("name", "found"),
    [(b"a", b"./a"), (b"./a", b"./a"), (b"/a//b/./c/", b"./a/b/c"), (b".", b"."), (b"", b"."), (b"../a", b"./../a")],
)
def test_normal_names(name: bytes, found: bytes) -> None:
    assert header.normal(name) == found


def block(name: bytes, prefix: bytes = b"", magic: bytes = b"ustar\0") -> bytes:
    text = name.ljust(257, b"\0") + magic.ljust(88, b"\0") + prefix
    return text.ljust(512, b"\0")


@pytest.mark.parametrize(
    ("text", "kind", "more", "found"),
    [
        (block(b"a"), b"0", {}, (b"./a", False, 1024)),
        (block(b"a"), b"5", {}, (b"./a", True, 1024)),
        (block(b"a/"), b"0", {}, (b"./a", True, 1024)),  # of an old tar
        (block(b"a"), b"1", {b"size": b"5"}, (b"./a", False, 0)),
        (block(b"b", b"./a"), b"0", {}, (b"./a/b", False, 1024)),
        (block(b"b", b"a", b"ustar "), b"0", {}, (b"./b", False, 1024)),  # GNU's has other fields there
        (block(b"a"), b"0", {b"path": b"long", b"size": b"5"}, (b"./long", False, 512)),
        (block(b"a"), b"0", {b"path": b"x", b"GNU.sparse.name": b"holes"}, (b"./holes", False, 1024)),
    ],
)
def test_a_member(text: bytes, kind: bytes, more: dict[bytes, bytes], found: tuple[bytes, bool, int]) -> None:
    member = header.member(text, kind, 600, more)
    assert (member.name, member.is_directory, member.size) == found and member.dumpdir is None
    assert header.member(text, kind, 600, {**more, header.DUMPDIR: b"Yx\0"}).dumpdir == b"Yx\0"


def test_a_member_with_a_negative_size() -> None:
    with pytest.raises(ValueError, match="^no size$"):
        header.member(block(b"a"), b"0", 0, {b"size": b"-1"})


# -- names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"a/b/c", {b"a", b"a/b/c"}),
        (b"a/b", {b"a"}),
        (b"a", {b"a"}),
        (b"ab", set()),
        (b"x/a", set()),
        (b"", set()),
    ],
)
def test_names_above(name: bytes, found: set[bytes]) -> None:
    assert filenames.above(name, {b"a", b"a/b/c"}) == found


EVERY = bytes(range(1, 256))


def test_escapes_are_undone() -> None:
    assert filenames.unescaped(gnutar.escaped(EVERY)) == EVERY
    assert gnutar.escaped(b"a b\n\\\x7f\xff") == b"a b\\n\\\\\\177\\377"
    assert filenames.unescaped(b'\\"\\ \\?') == b'" ?'


def test_found_names_of_all() -> None:
    kept = io.BytesIO()
    found = filenames.Found([], kept)
    for chunk in (b"label\n./a\\n", b"b\n./c\n./unfinished"):
        found(chunk)
    assert (found.count, kept.getvalue(), found.rest) == (2, b"./a\nb\0./c\0", b"./unfinished")


LINES = rb"""
drwxr-xr-x            Creating directory: "./b"
drwxr-xr-x 0/0         0 2026-11-26 09:17 "./a/"
-rw-r--r-- 0/0         5 2026-11-26 09:17 "./a/x \"y\""
hrw-r--r-- 0/0         0 2026-11-26 09:17 "./a/one" link to "./other/one"
hrw-r--r-- 0/0         0 2026-11-26 09:17 "./a/two" link to "./a/one"
lrwxrwxrwx SHOP\\ann/domain users 0 2026-11-26 09:17 "./a/link" -> "/etc"
V--------- 0/0               0 2026-11-26 09:17 "label"--Volume Header--
"""


def test_found_names_of_some() -> None:
    """Of hard links those whose data was not requested."""
    found = filenames.Found([b"./a", b"./b"])
    found(LINES)
    assert (found.count, found.missing) == (5, {b"./b"})
    assert found.links == {b"./a/one": b"./other/one"}


@pytest.mark.parametrize(
    ("asked", "covered", "not_covered"),
    [
        ([], [b"./a", b"."], []),
        ([b"./a/b"], [b"./a/b", b"./a/b/c/d"], [b"./a", b"./a/bc", b"."]),
        ([b"."], [b"./a", b"."], []),
    ],
)
def test_selections(asked: list[bytes], covered: list[bytes], not_covered: list[bytes]) -> None:
    selection = Selection(asked)
    assert [name for name in covered + not_covered if selection.covers(name)] == covered


def test_the_steps_of_a_selection() -> None:
    steps = Selection([b"./a/b", b"./a/c"]).steps
    assert steps == {b"./a": {b"b": [b"./a/b"], b"c": [b"./a/c"]}, b".": {b"a": [b"./a/b", b"./a/c"]}}


# -- what tar says


def test_lines_of_tar_are_sorted() -> None:
    says = gnutar.TarSays()
    assert (says.total, says.missing) == (-1, 0)
    for line in (
        "tar: ./proc/: file is on a different filesystem; not dumped",
        "tar: ./proc: directory is on a different filesystem; not dumped",
        "tar: ./gone: Not found in archive",
        "tar: ./lost: Not found in archive",
        r'tar: "./a\nb": Cannot hard link to "./c": No such file or directory',
        r'tar: "./d": Cannot hard link to "./c": No such file or directory',
        "Total bytes written: 10240 (10KiB, 1MiB/s)",
        "tar: Exiting with failure status due to previous errors",
        "tar: ./x: Cannot open: Permission denied",
    ):
        says.add(line)
    assert (says.total, says.missing, says.elsewhere, says.count) == (10240, 2, ["./proc"], 1)
    says.resolve_links({b"./a\nb"})
    assert (says.unlinked, says.count, says.last[-1]) == (1, 2, says.links[1][1])


def test_other_file_systems_are_bounded() -> None:
    says = gnutar.TarSays()
    for number in range(150):
        says.add(f"tar: ./{number}: file is on a different filesystem; not dumped")
    assert says.elsewhere == [f"./{number}" for number in range(100)]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "tar failed: it gave no reason"),
        (["tar: no space"], "tar failed: no space"),
        (["one", "strange"], "tar failed: strange (the last of 2 lines)"),
        (["tar: " + "x" * 500], "tar failed: " + "x" * 395),
    ],
)
def test_complaints(lines: list[str], text: str) -> None:
    says = Lines()
    for line in lines:
        says.add(line)
    tar: Any = SimpleNamespace(says=says, how=lambda: "failed")
    assert gnutar.complaint(tar) == text


@pytest.mark.parametrize(("length", "most"), [(96, 10), (97, 9), (6, 100)])
def test_a_report_is_bounded(monkeypatch: pytest.MonkeyPatch, length: int, most: int) -> None:
    """Each text needs four more characters."""
    monkeypatch.setattr(plan, "REPORT_SIZE", 1000)
    texts = ["x" * length] * 101
    assert plan.bounded(texts) == texts[:most] + [f"and {101 - most} more"]
    assert plan.bounded(texts[:most]) == texts[:most]


def test_literal_patterns() -> None:
    assert excludes.literal(rb"a*b?c[d]\e") == rb"a\*b\?c\[d]\\e"


# -- states


HEAD = b"GNU tar-1.34-2\n%d\0000\0"
RECORD = b"0\0%d\0005\0%s\00077\0./a\0Yb\0\0"


def snapshot(time: int, device: bytes, records: int = 2) -> bytes:
    return HEAD % time + b"".join(RECORD % (number, device) + b"\0" for number in range(records))


@pytest.mark.parametrize(("time", "ahead", "begins"), [(1000, 0, 1000), (1000, 60, 940), (1000, 2000, 0)])
def test_a_snapshot_is_copied_without_devices(time: int, ahead: int, begins: int) -> None:
    for chunk in (state.CHUNK, 64):
        out = io.BytesIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state, "CHUNK", chunk)
            state.copied(io.BytesIO(snapshot(time, b"2049")), out, ahead)
        assert out.getvalue() == snapshot(begins, b"0")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the state of the base was not written by tar 1.16 or later"),
        (b"GNU tar-1.15-1\n1\0000\0", "the state of the base was not written by tar 1.16 or later"),
        (snapshot(1, b"5") + b"x\0\0\0", "the state of the base is damaged"),
        (snapshot(1, b"5") + b"x", "the state of the base is damaged"),
    ],
)
def test_a_damaged_snapshot(data: bytes, text: str) -> None:
    with pytest.raises(Problem) as caught:
        state.copied(io.BytesIO(data), io.BytesIO())
    assert (str(caught.value), caught.value.kind) == (text, NO_BASE)


def test_a_state_that_cannot_be_read(tmp_path: Path) -> None:
    states = state.States(os.fsencode(tmp_path))
    with pytest.raises(Problem, match=r"^the state of run R0 cannot be read \(.*No such file or directory") as caught:
        states.copy("R0", io.BytesIO())
    assert caught.value.kind == NO_BASE


LEFT_OUT = "run R left out %s, which is in neither tape_excludes nor tape_exclude_files any more"
MANY = "run R left out thousands of patterns, and they are not the same any more"
FACTS: dict[str, Any] = {"host": "h1", "paths": ["/a"], "excludes": [], "one_file_system": True}


@pytest.mark.parametrize(
    ("before", "wanted", "text"),
    [
        ({}, {}, None),
        ({"host": "h2"}, {"host": ""}, None),
        ({"host": "h2"}, {}, "run R was an archive of h2: do both names refer to this machine?"),
        ({"paths": ["/a", "/b"]}, {}, None),
        ({}, {"paths": ["/a", "/b"]}, "run R did not include /b of tape_paths"),
        ({}, {"excludes": ["*.o"]}, None),
        ({"excludes": ["*.o"]}, {}, LEFT_OUT % "*.o"),
        ({"excludes": ["*.o", "and 9 more"]}, {"excludes": ["and 9 more"]}, LEFT_OUT % "*.o"),
        ({"excludes": ["and 9 more"]}, {"excludes": ["and 9 more"]}, MANY),  # as older versions have recorded it
        ({"excludes": ["and 9 more"], "excludes_sha256": "a"}, {"excludes": ["*.x"], "excludes_sha256": "a"}, None),
        ({"excludes": ["and 9 more"], "excludes_sha256": "a"}, {"excludes": ["x"], "excludes_sha256": "b"}, MANY),
        ({"excludes": ["*.o"], "excludes_sha256": "a"}, {"excludes": [], "excludes_sha256": "b"}, LEFT_OUT % "*.o"),
        ({"one_file_system": False}, {}, None),
        ({}, {"one_file_system": False}, "run R left out other file systems, and tape_one_file_system is false now"),
    ],
)
def test_a_base_has_all_that_is_wanted(before: dict[str, Any], wanted: dict[str, Any], text: str | None) -> None:
    if text is None:
        state.compare("R", {**FACTS, **before}, {**FACTS, **wanted})
        return
    with pytest.raises(Problem) as caught:
        state.compare("R", {**FACTS, **before}, {**FACTS, **wanted})
    assert (str(caught.value), caught.value.kind) == (text, NO_BASE)


CHECKED = {**FACTS, "level": 1, "time": "2026-11-26T09:17:00Z", "file_systems": {"/a": "1234"}}


@pytest.mark.parametrize(
    ("facts", "given", "kind", "text"),
    [
        ({}, {}, None, ""),
        ({}, {"now": CHECKED["time"]}, None, ""),
        ({}, {"systems": {"/a": "1234", "/new": "1"}}, None, ""),
        ({"level": 2}, {}, SETTINGS, "run R was level 2, which cannot be the base of level 2"),
        ({"incomplete": True}, {}, NO_BASE, "the archive of run R has errors"),
        ({"level": None}, {}, NO_BASE, "this host has no state of run R in "),
        (
            {},
            {"now": "2026-11-26T09:16:59Z"},
            NO_BASE,
            "run R was made at 2026-11-26T09:17:00Z, but this host's clock ",
        ),
        ({}, {"systems": {"/a": "5"}}, NO_BASE, "/a is another file system (5) than in run R (1234)"),
    ],
)
def test_a_base_is_checked(
    tmp_path: Path, facts: dict[str, Any], given: dict[str, Any], kind: str | None, text: str
) -> None:
    states = state.States(os.fsencode(tmp_path))
    states.save("R", {**CHECKED, **facts})
    (tmp_path / "R.snar").touch()
    given = {"now": "2026-11-26T10:00:00Z", "systems": {"/a": "1234"}, **given}
    if kind is None:
        states.check("R", 2, given["now"], given["systems"], FACTS)
        return
    with pytest.raises(Problem) as caught:
        states.check("R", 2, given["now"], given["systems"], FACTS)
    assert caught.value.kind == kind and str(caught.value).startswith(text)


# -- mount points, and the target


def test_a_mount() -> None:
    found = mounts.Mount(rb"host:/srv /mnt/a\040b nfs4 rw,user_id=5 0 0")
    assert (found.point, found.kind, found.is_remote, found.is_fuse) == (b"/mnt/a b", "nfs4", True, False)
    assert not found.refuses(7)


@pytest.mark.parametrize(
    ("kind", "options", "refuses"),
    [
        ("fuse.sshfs", "rw,user_id=5", True),
        ("fuse", "rw,user_id=5", True),
        ("fuseblk", "rw,user_id=5,allow_other", False),
        ("fuse.sshfs", "rw,user_id=7", False),
        ("ext4", "rw", False),
    ],
)
def test_a_fuse_file_system_of_another_user(kind: str, options: str, refuses: bool) -> None:
    found = mounts.Mount(f"x /mnt {kind} {options} 0 0".encode())
    assert found.refuses(7) is refuses and found.is_fuse is (kind != "ext4") and not found.is_remote


@pytest.mark.parametrize(
    ("path", "found"), [(b"/a/b", True), (b"/a", False), (b"/ab", False), (b"/c/d/e", True), (b"/", False)]
)
def test_below(path: bytes, found: bool) -> None:
    assert mounts.below(path, [b"/a", b"/c/d/"]) is found


def test_the_room_below_a_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of all file systems there that have files; a remote one may never respond."""
    listed: list[bytes] = []
    monkeypatch.setattr(mounts, "mounted", lambda: [mounts.Mount(line) for line in listed])
    path = os.fsencode(tmp_path)
    free, size = target.room(path)
    assert 0 < free <= size < float("inf")
    listed += [b"x /elsewhere nfs rw 0 0", b"x %s/missing tmpfs rw 0 0" % path]
    assert target.room(path)[1] == size
    listed.append(b"x %s ext4 rw 0 0" % os.path.join(path, b"."))
    assert target.room(path)[1] == size
    listed.append(b"x %s/a nfs rw 0 0" % path)
    assert target.room(path) == (float("inf"), float("inf"))


def test_a_directory_that_another_user_could_control(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "own").mkdir()
    (shared / "link").symlink_to("own")
    for path in (shared, shared / "own", shared / "own/new/deep", shared / "new"):
        target.refuse_a_trap(os.fsencode(path))
    with pytest.raises(Problem) as caught:
        target.refuse_a_trap(os.fsencode(shared / "link/new"))
    assert str(caught.value) == (
        f"{shared}/link is a symbolic link, in a world-writable directory: choose another directory"
    )
    if os.geteuid() == 0:
        os.chown(shared / "own", 4711, -1)
        with pytest.raises(Problem, match=r"/shared/own is of user 4711, in a world-writable directory: "):
            target.refuse_a_trap(os.fsencode(shared / "own"))


@pytest.mark.parametrize(
    ("found", "wanted", "refused"),
    [(None, "a" * 32, False), ("a" * 32, "a" * 32, False), ("b" * 32, "", False), ("b" * 32, "a" * 32, True)],
)
def test_two_machines_of_one_name(
    monkeypatch: pytest.MonkeyPatch, found: str | None, wanted: str, refused: bool
) -> None:
    monkeypatch.setattr(machine, "machine_id", lambda: found)
    if not refused:
        machine.same_machine("db1", wanted)
        return
    with pytest.raises(Problem, match=f"^this is machine {found}, but the last good archive of db1 is ") as caught:
        machine.same_machine("db1", wanted)
    assert caught.value.kind == MACHINE
