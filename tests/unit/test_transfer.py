# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of a transfer: its look, its sender and its sink, on real files and sockets."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import (
    files,
    look,
    place,
    selinux,
    sender,
    sink,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer.frames import HEAD
from ansible_collections.plumbing.socketpipe.tests.unit.transfers import (
    MODE,
    OLD,
    PLAIN,
    STREAM,
    asked,
    facts,
    opened,
    receive,
    request,
    sent,
    source,
    whole,
)

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


# -- the stream


def test_a_file_and_its_holes(tmp_path: Path) -> None:
    """Each piece with its place and length; a hole at the end is only in the size."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"a" * 4096)
        file.seek(1024 * 1024)
        file.write(b"b" * 4096)
        file.truncate(8 * 1024 * 1024)
    stream = sent(path)
    if path.stat().st_blocks * 512 > 8192:
        pytest.skip("the file system here has no holes")
    pieces = HEAD.pack(0, 4096) + b"a" * 4096 + HEAD.pack(1024 * 1024, 4096) + b"b" * 4096
    assert stream == pieces + HEAD.pack(8 * 1024 * 1024, 0)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_sendfile_and_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_words: object) -> int:
        raise OSError(number, "no")

    data = os.urandom(3 * files.CHUNK + 5)
    told = source(tmp_path, data)
    monkeypatch.setattr(os, "sendfile", refuse)
    monkeypatch.setattr(os, "lseek", refuse)
    assert sent(tmp_path / "source", told) == HEAD.pack(0, len(data)) + data + HEAD.pack(len(data), 0)


def test_a_whole_stream(tmp_path: Path, folder: Path) -> None:
    """Larger than any buffer; with its time and mode."""
    data = os.urandom(5 * files.CHUNK + 17)
    told = source(tmp_path, data)
    os.utime(tmp_path / "source", ns=(1, 1_234_567_890_123_456_789))
    told = facts(tmp_path / "source")
    answer = receive(request(folder / "dest", told), sent(tmp_path / "source"))
    found = (folder / "dest").stat()
    assert (folder / "dest").read_bytes() == data
    assert (found.st_mtime_ns, stat.S_IMODE(found.st_mode)) == (1_234_567_890_123_456_789, MODE)
    assert (answer["size"], answer["mtime"], answer["inode"]) == (len(data), found.st_mtime_ns, found.st_ino)
    assert os.listdir(folder) == ["dest"]


@pytest.mark.parametrize("length", range(len(STREAM)))
def test_a_stream_that_ends_early_never_replaces_anything(tmp_path: Path, folder: Path, length: int) -> None:
    """With a clean end of file after each of its bytes."""
    told = {**source(tmp_path), "size": 200}
    (folder / "dest").write_bytes(OLD)
    with pytest.raises(Problem) as caught:
        receive(request(folder / "dest", told), STREAM[:length])
    assert (str(caught.value), caught.value.kind) == ("the stream ended before the end of the file", "incomplete")
    assert (folder / "dest").read_bytes() == OLD and os.listdir(folder) == ["dest"]


@pytest.mark.parametrize(("stream", "sentence"), [
    (STREAM + b"x", "the stream goes on after its end"),
    (HEAD.pack(0, 3) + b"new" + HEAD.pack(199, 0), "the stream has 199 bytes of the file, not 200"),
    (HEAD.pack(0, 3) + b"new" + HEAD.pack(201, 0), "the stream has 201 bytes of the file, not 200"),
    (HEAD.pack(0, 201) + b"x" * 201 + HEAD.pack(200, 0), "the stream is not that of this file"),
    (HEAD.pack(2**63, 2**63) + STREAM, "the stream is not that of this file"),
    (HEAD.pack(100, 3) + b"end" + HEAD.pack(0, 3) + b"new", "the stream is not that of this file"),
])  # fmt: skip
def test_a_stream_of_another_file(tmp_path: Path, folder: Path, stream: bytes, sentence: str) -> None:
    told = {**source(tmp_path), "size": 200}
    (folder / "dest").write_bytes(OLD)
    with pytest.raises(Problem) as caught:
        receive(request(folder / "dest", told), stream)
    assert str(caught.value) == sentence
    assert (folder / "dest").read_bytes() == OLD and os.listdir(folder) == ["dest"]


# -- a source that changes


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    path.rename(path.with_name("gone"))
    path.write_bytes(b"x" * 3000)
    found = path.with_name("gone").stat()
    os.utime(path, ns=(1, found.st_mtime_ns))


@pytest.mark.parametrize(("change", "how"), [
    (grow, "size 3000, now 3004"),
    (lambda path: os.truncate(path, 10), "size 3000, now 10"),
    (touch, "its mtime is another"),
])  # fmt: skip
def test_a_source_that_changes_while_it_is_read(tmp_path: Path, change: Callable[[Path], None], how: str) -> None:
    told, path = source(tmp_path), tmp_path / "source"

    def before(made: sender.Sender) -> None:
        check = made.check

        def then() -> None:  # the first look is still right
            made.check = check
            check()
            change(path)

        made.check = then

    with pytest.raises(Problem) as caught:
        sent(path, told, before)
    hint = "stop what writes to it, or transfer a snapshot"
    assert (str(caught.value), caught.value.kind) == (f"{path} changed while it was read ({how}): {hint}", "changed")


def test_a_source_without_data_that_changes(tmp_path: Path) -> None:
    """What is written into a hole that has been passed would be missing."""
    path = tmp_path / "source"
    path.touch()
    os.truncate(path, 1024 * 1024)
    told = facts(path)

    def before(made: sender.Sender) -> None:
        check = made.check

        def then() -> None:  # the first look is still right
            check()
            touch(path)

        made.check = then

    with pytest.raises(Problem) as caught:
        sent(path, told, before)
    assert caught.value.kind == "changed"


@pytest.mark.parametrize("change", [grow, touch, replace])
def test_a_source_that_changes_after_the_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """Nothing of it is sent."""
    told = source(tmp_path)
    change(tmp_path / "source")
    monkeypatch.setattr(os, "sendfile", lambda *_words: pytest.fail("it is sent"))
    with pytest.raises(Problem) as caught:
        sent(tmp_path / "source", told)
    assert caught.value.kind == "changed"


# -- the sink


def test_a_backup(tmp_path: Path, folder: Path) -> None:
    told, dest = source(tmp_path), folder / "dest"
    assert receive(request(dest, told, backup=True), whole(told))["backup"] == "", "there was no old file"
    inode = dest.stat().st_ino
    backups = [receive(request(dest, told, backup=True), whole(told))["backup"] for _again in range(2)]
    assert os.stat(backups[0]).st_ino == inode and backups[0] != backups[1]
    assert sorted(os.listdir(folder)) == sorted(["dest", *map(os.path.basename, backups)])


@pytest.mark.parametrize(("command", "sentence", "kind"), [
    ("false %s", "validate: false %s failed with exit status 1: with no output", "validation"),
    ("sh -c 'echo bad >&2; exit 3' sh %s",
     "validate: sh -c 'echo bad >&2; exit 3' sh %s failed with exit status 3: bad", "validation"),
    ("sh -c 'kill -9 $$' sh %s", "validate: sh -c 'kill -9 $$' sh %s was killed by SIGKILL: with no output",
     "validation"),
    ("no-such-program %s", "there is no no-such-program on this host: install it", "no tool"),
    ("'%s", "validate: unbalanced quotes in \"'%s\" (No closing quotation)", "settings"),
])  # fmt: skip
def test_a_file_that_is_refused(tmp_path: Path, folder: Path, command: str, sentence: str, kind: str) -> None:
    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(OLD)
    with pytest.raises(Problem) as caught:
        receive(request(dest, told, validate=command), whole(told))
    assert (str(caught.value), caught.value.kind) == (sentence, kind)
    assert dest.read_bytes() == OLD and os.listdir(folder) == ["dest"]


@pytest.mark.parametrize("end", ["kill -40 $$", "exit 0"])
def test_a_program_that_says_much_and_leaves_something_behind(tmp_path: Path, folder: Path, end: str) -> None:
    """Only the end of its output is kept; nothing is left running, also if the file is accepted."""
    told, behind, dest = source(tmp_path), tmp_path / "behind", folder / "dest"
    script = f'sleep 1000 & echo $! > "$2"; head -c 1000000 /dev/zero | tr "\\0" x; echo the end; {end}'
    given = request(dest, told, validate=f"sh -c '{script}' sh %s {behind}")
    if end == "exit 0":
        receive(given, whole(told))
    else:
        with pytest.raises(Problem) as caught:
            receive(given, whole(told))
        command, said = str(caught.value).split(" was killed by ")
        assert command.startswith("validate: ") and said.startswith("signal 40: xxx") and said.endswith("xthe end")
    pid = int(behind.read_text(encoding="ascii"))
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid}") and status_of(pid) != "Z":  # it may be that nobody waits for it here
        assert time.monotonic() < deadline, "it is still running"
        time.sleep(0.01)
    assert os.listdir(folder) == (["dest"] if end == "exit 0" else [])


def status_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_what_is_validated_is_the_new_file(tmp_path: Path, folder: Path) -> None:
    told = source(tmp_path)
    receive(request(folder / "dest", told, validate=f"cmp %s {told['path']}"), whole(told))


@pytest.mark.parametrize("step", ["pwrite", "ftruncate", "fsync", "chmod", "utime", "rename", "link"])
@pytest.mark.parametrize(("number", "kind"), [
    (errno.ENOSPC, "no room"), (errno.EDQUOT, "no room"), (errno.EIO, "failed"), (errno.EPERM, "not permitted"),
    (errno.EROFS, "read only"), (errno.EBUSY, "busy"),
])  # fmt: skip
def test_each_step_may_fail(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, kind: str
) -> None:
    """The old file stays, and nothing else."""

    def refuse(*_words: object, **_more: object) -> None:
        raise OSError(number, os.strerror(number))

    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(OLD)
    stream = whole(told)
    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(Problem) as caught:
        receive(request(dest, told, backup=True), stream)
    assert caught.value.kind == kind and str(caught.value).startswith(f"{dest} cannot be ")
    assert dest.read_bytes() == OLD and os.listdir(folder) == ["dest"]


def test_two_sinks_of_one_destination(tmp_path: Path, folder: Path) -> None:
    """Whatever their sources are; the second fails, and the first is not disturbed."""
    told, dest = source(tmp_path), folder / "dest"
    for other in (told, {**told, "inode": 7}):
        with opened(dest, told) as first:
            with pytest.raises(Problem) as caught, opened(dest, other):
                pass
            assert caught.value.kind == "busy"
            text = f"another transfer is writing {dest} (its file is {first.part.decode()}): wait for it"
            assert str(caught.value) == text
            assert os.listdir(folder) == [os.path.basename(first.part.decode())]
            with opened(folder / "dest2", told):
                pass
    assert os.listdir(folder) == []


def test_what_a_killed_one_has_left_is_removed(tmp_path: Path, folder: Path) -> None:
    told, dest = source(tmp_path), folder / "dest"
    path = os.fsencode(dest)
    for inode in (told["inode"], 5):
        Path(os.fsdecode(place.temporary(path, {**told, "inode": inode}))).write_bytes(b"half")
    for kept in (".dest.socketpipe", ".dest.mine.socketpipe", ".dest2.1-2-3.socketpipe", ".dest.1-2-3"):
        (folder / kept).write_bytes(b"not ours")
    receive(request(dest, told), whole(told))
    assert sorted(os.listdir(folder)) == [
        ".dest.1-2-3", ".dest.mine.socketpipe", ".dest.socketpipe", ".dest2.1-2-3.socketpipe", "dest",
    ]  # fmt: skip


def test_the_temporary_file(tmp_path: Path) -> None:
    """Its name says what it is; that of a long one fits; nobody else can read it."""
    told = source(tmp_path)
    name = os.path.basename(place.temporary(b"/x/dest", told))
    assert name == b".dest.%d-%d-%d.socketpipe" % (told["size"], told["mtime"], told["inode"])
    long = [bytes([letter]) * 200 + end for letter in b"ab" for end in (b"1", b"2")]
    found = {
        os.path.basename(place.temporary(b"/x/" + each, {**told, "size": 2**63, "inode": 2**64 - 1})) for each in long
    }
    assert len(found) == 4 and max(map(len, found)) <= 255
    with opened(tmp_path / "dest", told) as made:
        assert stat.S_IMODE(os.fstat(made.fd).st_mode) == 0o600
        with open(made.part, "rb") as second, pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


# -- other users who may write in the directory


@ROOT
def test_an_owner_is_that_of_the_look(tmp_path: Path, folder: Path) -> None:
    """A file that somebody puts there meanwhile does not give the new one to him."""
    told, dest = source(tmp_path), folder / "dest"

    def plant() -> None:
        dest.write_bytes(b"trap")
        os.chown(dest, 12, 34)

    receive(request(dest, told), whole(told), plant)
    assert (dest.stat().st_uid, dest.stat().st_gid) == (os.geteuid(), os.getegid())
    assert dest.read_bytes() == Path(told["path"]).read_bytes()


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_a_directory_that_is_exchanged(tmp_path: Path, folder: Path, moment: str) -> None:
    """Nothing is written where the new way leads, and nothing is left in the old directory."""
    told, target = source(tmp_path), tmp_path / "target"
    target.mkdir()
    (target / "dest").write_bytes(OLD)
    given = request(folder / "dest", told)

    def exchange() -> None:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(target)

    if moment == "before":
        exchange()
        with pytest.raises(Problem):
            receive(given, whole(told))
        assert os.listdir(tmp_path / "moved") == []
    else:
        receive(given, whole(told), exchange)
        assert os.listdir(tmp_path / "moved") == ["dest"]
    assert os.listdir(target) == ["dest"] and (target / "dest").read_bytes() == OLD


def test_a_directory_that_is_another(tmp_path: Path, folder: Path) -> None:
    told = source(tmp_path)
    given = request(folder / "dest", told)
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    with pytest.raises(Problem) as caught:
        receive(given, whole(told))
    assert caught.value.kind == "changed" and os.listdir(folder) == []


@ROOT
def test_links_in_a_directory_of_all(tmp_path: Path, folder: Path) -> None:
    """Those of others are not followed, in any place of the path; one's own and root's are."""
    told, target = source(tmp_path), tmp_path / "target"
    target.mkdir()
    folder.chmod(0o1777)
    for name, to in (("file", target / "file"), ("way", target)):
        (folder / name).symlink_to(to)
    paths = {folder / "file": target / "file", folder / "way" / "x": target / "x"}
    for path, leads in paths.items():
        assert place.without_links(os.fsencode(path)) == os.fsencode(leads)
        assert look.look_destination(asked(path, told))["path"] == str(leads)
    for name in ("file", "way"):
        os.chown(folder / name, 12, 34, follow_symlinks=False)
    for path in paths:
        with pytest.raises(Problem) as caught:
            look.look_destination(asked(path, told))
        assert caught.value.kind == "not permitted"
        with pytest.raises(Problem) as caught:
            place.without_links(os.fsencode(path))
        link = folder / path.relative_to(folder).parts[0]
        text = f"{link} is a symbolic link of user {files.name_of_user(12)} in a directory where everybody may write"
        assert str(caught.value) == f"{text}: give the path without it"
    assert os.listdir(target) == []


def test_links_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to("../b")
    (tmp_path / "b").symlink_to("./c//d/../e")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "c").mkdir()
    for given in ("a/up", "a/up/x", "a/./up/../y", "none/../z", "c"):
        path = os.fsencode(tmp_path / given) + b"/."
        assert place.without_links(path) == os.path.realpath(path), given
    with pytest.raises(Problem) as caught:
        place.without_links(os.fsencode(tmp_path / "loop"))
    assert caught.value.kind == "not a file"


def test_a_temporary_file_that_is_exchanged(tmp_path: Path, folder: Path) -> None:
    """As who owns the directory can do; it does not become the destination."""
    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(OLD)

    def exchange() -> None:
        part = next(path for path in folder.iterdir() if path != dest)
        part.unlink()
        part.write_bytes(b"trap")

    with pytest.raises(Problem) as caught:
        receive(request(dest, told), whole(told), exchange)
    assert caught.value.kind == "changed" and dest.read_bytes() == OLD


def test_without_force_nothing_is_replaced(tmp_path: Path, folder: Path) -> None:
    """Not even what somebody has created after the look."""
    told, dest = source(tmp_path), folder / "dest"
    with pytest.raises(Problem) as caught:
        receive(request(dest, told, force=False), whole(told), lambda: dest.write_bytes(OLD))
    assert caught.value.kind == "changed" and str(caught.value).startswith(f"{dest} was created by another program")
    assert dest.read_bytes() == OLD and os.listdir(folder) == ["dest"]
    dest.unlink()
    receive(request(dest, told, force=False), whole(told))
    assert (os.listdir(folder), dest.stat().st_nlink, dest.stat().st_size) == (["dest"], 1, told["size"])


def test_a_file_that_is_exchanged_before_its_attributes_change(tmp_path: Path, folder: Path) -> None:
    """Such as for a hard link to a file of the system."""
    dest, target = folder / "dest", tmp_path / "target"
    for path in (dest, target):
        path.write_bytes(OLD)
        path.chmod(0o600)
    given = request(dest, source(tmp_path), wanted={**PLAIN, "mode": 0o666})
    dest.unlink()
    os.link(target, dest)
    with pytest.raises(Problem) as caught:
        sink.settle(given)
    assert caught.value.kind == "changed" and stat.S_IMODE(target.stat().st_mode) == 0o600
    sink.settle({**given, "current": files.facts(dest.stat())})
    assert stat.S_IMODE(target.stat().st_mode) == 0o666


@ROOT
def test_modes_on_the_way(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new group gets at no moment more than it shall have."""
    dest, seen = folder / "dest", []
    dest.write_bytes(OLD)
    dest.chmod(0o660)
    chown = os.chown

    def watched(fd: int, *to: int) -> None:
        chown(fd, *to)
        seen.append(os.fstat(fd).st_mode & 0o777)

    monkeypatch.setattr(os, "chown", watched)
    given = request(dest, source(tmp_path), wanted={"uid": None, "gid": 34, "mode": 0o646})
    answer = sink.settle(given)
    assert (seen, answer["mode"], answer["gid"]) == ([0o640], 0o646, 34)

    def refuse(*_words: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(Problem):
        sink.settle({**given, "wanted": {**given["wanted"], "mode": 0o600}, "current": files.facts(dest.stat())})
    assert stat.S_IMODE(dest.stat().st_mode) == 0o646, "as it was"


@ROOT
def test_who_runs_as_root(tmp_path: Path, folder: Path) -> None:
    """Another user's file is not made root's: neither its content, nor what runs as its owner."""
    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(b"bad" * 1000)
    os.utime(dest, ns=(1, told["mtime"]))
    os.chown(dest, 12, 34)
    dest.chmod(0o6755)
    found = look.look_destination(asked(dest, told, owner="0"))
    assert (found["do"], found["wanted"]["mode"]) == ("move", 0o755)
    assert look.look_destination(asked(dest, told, group="0"))["wanted"]["mode"] == 0o755
    assert look.look_destination(asked(dest, told))["do"] == "nothing"
    assert look.look_destination(asked(dest, told, owner="0", mode=0o4755))["wanted"]["mode"] == 0o4755
    assert look.look_destination(asked(dest, told, owner="0", force=False))["do"] == "nothing"
    os.chown(dest, 0, 0)
    dest.chmod(0o755)
    assert look.look_destination(asked(dest, told, owner="12"))["do"] == "settle", "root's own"


@ROOT
def test_a_lock_that_somebody_keeps(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can read the directory can lock it."""
    monkeypatch.setattr(place, "LOCK_MOST", 0.0)
    told = source(tmp_path)
    fd = os.open(folder, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    try:
        with pytest.raises(Problem) as caught:
            receive(request(folder / "dest", told), whole(told))
    finally:
        os.close(fd)
    text = f"another program keeps a lock on the directory {folder}: see lslocks"
    assert (str(caught.value), caught.value.kind) == (text, "busy")


@ROOT
def test_an_owner_that_is_kept(tmp_path: Path, folder: Path) -> None:
    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(OLD)
    os.chown(dest, 12, 34)
    receive(request(dest, told), whole(told))
    assert (dest.stat().st_uid, dest.stat().st_gid) == (12, 34)
    receive(request(dest, told, wanted={"uid": 56, "gid": None, "mode": 0o4755}), whole(told))
    assert (dest.stat().st_uid, dest.stat().st_gid, stat.S_IMODE(dest.stat().st_mode)) == (56, 34, 0o4755)


def test_a_context_of_selinux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the old file, or that of the policy for the name; nothing if SELinux is off."""
    given: list[object] = []
    monkeypatch.setattr(os, "setxattr", lambda fd, name, value: given.append((name, value)))
    monkeypatch.setattr(os, "getxattr", lambda path, name, follow_symlinks: b"old_t\0")
    monkeypatch.setattr(selinux, "of_policy", lambda path, mode: b"policy_t %o" % mode)
    selinux.label(0, b"/x", MODE, replaces=True)
    assert given == []
    monkeypatch.setattr(selinux, "ENABLED", str(tmp_path))
    selinux.label(0, b"/x", MODE, replaces=True)
    selinux.label(0, b"/x", MODE, replaces=False)
    assert given == [("security.selinux", b"old_t\0"), ("security.selinux", b"policy_t 100640\0")]


# -- the look


def test_what_has_to_be_done(tmp_path: Path, folder: Path) -> None:
    told, dest = source(tmp_path), folder / "dest"
    umask = look.umask()
    found = look.look_destination(asked(dest, told))
    assert (found["do"], found["current"], found["path"]) == ("move", None, str(dest))
    assert found["wanted"] == {"uid": None, "gid": None, "mode": 0o600 & ~umask}
    dest.write_bytes(b"x" * 3000)
    dest.chmod(0o604)
    assert look.look_destination(asked(dest, told))["do"] == "move", "another time"
    assert look.look_destination(asked(dest, told, force=False))["do"] == "nothing"
    assert look.look_destination(asked(dest, told, force=False, mode=0o600))["do"] == "nothing"
    os.utime(dest, ns=(1, told["mtime"]))
    found = look.look_destination(asked(dest, told))
    assert (found["do"], found["wanted"]["mode"]) == ("nothing", 0o604)
    assert look.look_destination(asked(dest, told, mode="preserve"))["do"] == "settle"
    assert look.look_destination(asked(dest, {**told, "sha256": "another"}))["do"] == "move"
    assert look.look_destination(asked(dest, {**told, "size": 2999}))["do"] == "move"
    summed = look.look_source({"path": str(dest), "checksum": True})
    os.utime(dest, ns=(1, 1))
    assert look.look_destination(asked(dest, summed))["do"] == "nothing", "the same checksum"


@pytest.mark.parametrize(("one", "other", "same"), [
    (5_000_000_001, 5_000_000_001, True), (5_000_000_000, 5_000_000_001, True), (5_999_999_999, 5_000_000_000, True),
    (5_000_000_002, 5_000_000_001, False), (5_000_000_000, 6_000_000_000, False),
    (4_000_000_000, 5_999_999_999, True), (4_000_000_001, 5_999_999_999, False), (4_000_000_000, 6_000_000_000, False),
    (5_123_456_700, 5_123_456_789, True), (5_120_000_000, 5_123_456_789, True), (5_123_456_780, 5_123_456_789, False),
])  # fmt: skip
def test_times_of_coarse_file_systems(one: int, other: int, same: bool) -> None:
    assert [look.same_time(*pair) for pair in ((one, other), (other, one))] == [same, same]


@ROOT
def test_attributes_that_cannot_be_changed(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check mode says so, too."""
    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(b"x" * 3000)
    os.utime(dest, ns=(1, told["mtime"]))
    os.chown(dest, 12, 34)
    given = asked(dest, told, mode=0o600)
    assert look.look_destination(given)["do"] == "settle"
    monkeypatch.setattr(os, "geteuid", lambda: 13)
    with pytest.raises(Problem) as caught:
        look.look_destination(given)
    assert caught.value.kind == "not permitted" and "only that user may change its attributes" in str(caught.value)
    monkeypatch.setattr(os, "geteuid", lambda: 12)
    assert look.look_destination(given)["do"] == "settle"
    for number, flag in ((0x10, "immutable"), (0x20, "append-only")):
        monkeypatch.setattr(fcntl, "ioctl", lambda _fd, _what, flags, number=number: flags.__setitem__(0, number))
        with pytest.raises(Problem) as caught:
            look.look_destination(given)
        assert str(caught.value) == f"{dest} has the attribute {flag}: see lsattr and chattr"


def test_a_backup_that_cannot_be_made(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before anything moves."""
    told = source(tmp_path)
    for length, kind in ((234, ""), (235, "failed")):
        dest = folder / ("x" * length)
        assert look.look_destination(asked(dest, told, backup=True))["do"] == "move", "there is no old file"
        dest.write_bytes(OLD)
        assert look.look_destination(asked(dest, told))["do"] == "move"
        if kind:
            with pytest.raises(Problem) as caught:
                look.look_destination(asked(dest, told, backup=True))
            assert caught.value.kind == kind and "longer than 255 bytes" in str(caught.value)
        else:
            receive(request(dest, told, backup=True), whole(told))
    found = (folder / ("x" * 234)).stat()
    monkeypatch.setattr(os, "geteuid", lambda: found.st_uid + 13)
    monkeypatch.setattr(os, "access", lambda path, mode: not os.path.isfile(path))
    with pytest.raises(Problem) as caught:
        look.look_destination(asked(folder / ("x" * 234), {**told, "size": 1}, backup=True))
    assert caught.value.kind == "not permitted" and "may not keep it under a second name" in str(caught.value)


@ROOT
def test_what_a_user_cannot_keep(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check mode tells the owner and group; the old group's permissions are not given to another group."""
    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(OLD)
    os.chown(dest, 12, 34)
    dest.chmod(0o6754)
    folder.chmod(0o777)
    monkeypatch.setattr(os, "geteuid", lambda: 13)
    monkeypatch.setattr(os, "getegid", lambda: 14)
    monkeypatch.setattr(os, "getgroups", lambda: [14])

    def found(**more: Any) -> tuple[str, str, int]:
        after = look.look_destination(asked(dest, told, **more))["after"]
        return after["owner"], after["group"], after["mode"]

    me, mine = files.name_of_user(13), files.name_of_group(14)
    assert found() == (me, mine, 0o744)
    assert found(group="14") == (me, mine, 0o754), "the task's wish"
    monkeypatch.setattr(os, "getgroups", lambda: [14, 34])
    assert found() == (me, files.name_of_group(34), 0o754)
    dest.unlink()
    assert found(mode=0o600) == (me, mine, 0o600)
    os.chown(folder, 0, 35)
    folder.chmod(0o2777)
    assert found(mode=0o600) == (me, files.name_of_group(35), 0o600)


@pytest.mark.parametrize("given", ["", "4294967295", "99999999999999999999", "\u00b2", "-1", "\ud800", "no one"])
def test_what_is_no_user(tmp_path: Path, folder: Path, given: str) -> None:
    for option in ("user", "group"):
        with pytest.raises(Problem) as caught:
            look.number_of(given, option)
        assert (str(caught.value), caught.value.kind) == (f"there is no {option} {given}", "settings")


def test_names_of_destinations(tmp_path: Path, folder: Path) -> None:
    told = source(tmp_path)
    (folder / "link").symlink_to("target")
    (tmp_path / "way").symlink_to("folder")
    for given, path in {
        str(folder): "folder/source",
        f"{folder}/": "folder/source",
        f"{tmp_path}/way": "folder/source",
        f"{tmp_path}/way/x": "folder/x",
        f"{folder}/link": "folder/target",
    }.items():
        assert look.look_destination(asked(given, told))["path"] == str(tmp_path / path), given
    other = {**told, "path": "/x/authorized_keys"}
    found = look.look_destination(asked(folder, other, name="source"))["path"]
    assert found == str(folder / "source"), "the task names the file, not the source"


@pytest.mark.parametrize(("name", "sentence", "kind"), [
    ("fifo", "fifo is a FIFO: only regular files can be copied or replaced", "not a file"),
    ("socket", "socket is a socket: only regular files can be copied or replaced", "not a file"),
    ("loop", "loop is a loop of symbolic links", "not a file"),
    ("file/x", "file is not a directory", "not a file"),
    ("none/x", "none: create it first", "not found"),
    ("none/", "none: create it first", "not found"),
])  # fmt: skip
def test_bad_destinations(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str, kind: str
) -> None:
    told = source(tmp_path)
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    (folder / "file").touch()
    monkeypatch.chdir(folder)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        with pytest.raises(Problem) as caught:
            look.look_destination(asked(f"{folder}/{name}", told))
    assert str(caught.value).endswith(f"{folder}/{sentence}") and caught.value.kind == kind


def test_room(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the file that is there, if it is the same, nothing is needed."""
    told, dest = source(tmp_path), folder / "dest"
    told["allocated"] = 2**60
    with pytest.raises(Problem) as caught:
        look.look_destination(asked(dest, told))
    assert caught.value.kind == "no room"
    text = f"there is no room in {folder}: the file needs {2**60} bytes, and "
    assert str(caught.value).startswith(text)
    dest.write_bytes(b"x" * 3000)
    os.utime(dest, ns=(1, told["mtime"]))
    assert look.look_destination(asked(dest, told))["do"] == "nothing"


@pytest.mark.parametrize("name", ["dest", ""])
@pytest.mark.parametrize(("flag", "attribute"), [("i", "immutable"), ("a", "append-only")])
@ROOT
def test_attributes_that_forbid_it(tmp_path: Path, folder: Path, name: str, flag: str, attribute: str) -> None:
    told, path = source(tmp_path), folder / name
    (folder / "dest").touch()
    try:
        done = subprocess.run(["chattr", f"+{flag}", path], check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("chattr is not installed")
    if done.returncode:
        pytest.skip("the file system here has no such attributes")
    try:
        with pytest.raises(Problem) as caught:
            look.look_destination(asked(folder / "dest", told))
    finally:
        subprocess.run(["chattr", f"-{flag}", path], check=True)
    assert (str(caught.value), caught.value.kind) == (
        f"{path} has the attribute {attribute}: see lsattr and chattr", "read only",
    )  # fmt: skip


# -- the whole program, with each Python


def program(tmp_path: Path, command: str, given: dict[str, Any]) -> list[str]:
    pytest.importorskip("ansible", reason="ansible-core is not installed")
    from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._program_run import with_request
    from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._transfer_run import PROGRAM

    path = tmp_path / f"{command}.zip"
    path.write_bytes(with_request(PROGRAM, {"words": [command], "settings": {}, "input": given, "controller": None}))
    return [sys.executable, "-I", str(path)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing(tmp_path: Path, folder: Path, number: int) -> None:
    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(OLD)
    with subprocess.Popen(
        program(tmp_path, "receive", request(dest, told)), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(STREAM[:10])
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while len(os.listdir(folder)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        said = json.loads(process.stderr.read().splitlines()[-1])
    assert process.returncode == 128 + number
    assert said["problem"]["kind"] == "failed"
    assert dest.read_bytes() == OLD and os.listdir(folder) == ["dest"]


KILLED_LATE = """
import json, os, signal, sys
sys.path[:0] = json.loads(sys.argv[1])
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.process import end_on_signals
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import sink
rename, fsync = os.rename, os.fsync

def late(*names, **more):
    os.kill(os.getpid(), signal.SIGTERM)
    rename(*names, **more)

os.rename = late
if sys.argv[3] == "early":
    os.fsync = lambda fd: (os.kill(os.getpid(), signal.SIGTERM), fsync(fd))
end_on_signals()
print(json.dumps(sink.receive(json.loads(sys.argv[2]))))
"""


@pytest.mark.parametrize("moment", ["early", "late"])
def test_a_signal_never_hides_that_the_file_is_replaced(tmp_path: Path, folder: Path, moment: str) -> None:
    """It comes before, and all is as it was; or too late, and the report says that it is done."""
    told, dest = source(tmp_path), folder / "dest"
    dest.write_bytes(OLD)
    words = [json.dumps(sys.path), json.dumps(request(dest, told)), moment]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_LATE, *words], input=whole(told), capture_output=True, check=False
    )
    if moment == "early":
        assert done.returncode and dest.read_bytes() == OLD, done.stderr
    else:
        assert json.loads(done.stdout)["size"] == told["size"] == dest.stat().st_size, done.stderr
    assert os.listdir(folder) == ["dest"]


def test_a_directory_that_cannot_be_synced(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file is there, and the failure says so by its kind."""
    told = source(tmp_path)
    fsync = os.fsync

    def refuse(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "no")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(Problem) as caught:
        receive(request(folder / "dest", told), whole(told))
    assert caught.value.kind == "replaced" and os.listdir(folder) == ["dest"]


@ROOT
def test_names_that_are_not_ascii_in_the_locale_c(tmp_path: Path) -> None:
    path = tmp_path / "bücher"
    path.write_bytes(b"x")
    env = {"LC_ALL": "C", "PATH": os.environ["PATH"]}
    given = {"path": str(path), "checksum": True}
    done = subprocess.run(program(tmp_path, "look-source", given), env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        program(tmp_path, "look-source", {**given, "path": f"{path}2"}), env=env, capture_output=True, check=False
    )
    assert json.loads(done.stderr)["problem"] == {"kind": "not found", "msg": f"there is no file {path}2"}
