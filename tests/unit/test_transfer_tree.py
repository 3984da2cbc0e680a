# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""transfer of a directory: by GNU tar, by Python's tarfile, and from each of them to the other."""

from __future__ import annotations

import contextlib
import grp
import io
import os
import pwd
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import (
    tree,
    tree_extract,
    tree_gnu,
    tree_write,
)
from ansible_collections.plumbing.socketpipe.tests.unit.transfers import collecting, feeding

WHEN = 1_234_567_890_123_456_789
PROGRAMS = ("gnu", "python")
BOTH = pytest.mark.parametrize("program", PROGRAMS)
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    real = tree.gnu_tar

    def choose(program: str) -> None:
        monkeypatch.setattr(tree, "gnu_tar", real if program == "gnu" else lambda: None)

    return choose


@pytest.fixture
def www(tmp_path: Path) -> Path:
    """A directory with a file of each kind."""
    top = tmp_path / "www"
    (top / "sub" / "deep").mkdir(parents=True)
    (top / "empty").mkdir()
    for name in ("index", "sub/x", "sub/deep/caf\u00e9", "-x", "new\nline", "x" * 200):
        (top / name).write_bytes(os.urandom(5000))
    Path(os.fsdecode(os.fsencode(top) + b"/\xff")).write_bytes(b"no utf-8")
    (top / "large").write_bytes(os.urandom(1024 * 1024) * 3)
    (top / "null").write_bytes(b"")
    with (top / "sparse").open("wb") as file:
        file.write(b"a" * 4096)
        file.seek(8 * 1024 * 1024)
        file.write(b"b" * 4096)
        file.truncate(16 * 1024 * 1024)
    os.link(top / "index", top / "sub" / "same")
    (top / "link").symlink_to("sub/x")
    (top / "away").symlink_to("/etc/passwd")
    os.mkfifo(top / "fifo", 0o620)
    (top / "index").chmod(0o640)
    (top / "sub" / "x").chmod(0o4755)
    (top / "empty").chmod(0o2750)
    (top / "sub" / "deep").chmod(0o500 if os.geteuid() == 0 else 0o700)  # only root can write there again
    top.chmod(0o751)
    for path in [*top.rglob("*"), top]:
        os.utime(path, ns=(WHEN, WHEN), follow_symlinks=False)
    return top


def content(top: Path) -> dict[bytes, Any]:
    """What is in a directory: the data, attributes and hard links of each file."""
    found: dict[bytes, Any] = {}
    first: dict[int, bytes] = {}
    for folder, directories, files in os.walk(os.fsencode(top)):
        for name in [b"."] if folder == os.fsencode(top) else []:
            directories.append(name)
        for name in directories + files:
            path = os.path.join(folder, name)
            at, short = os.lstat(path), os.path.relpath(path, os.fsencode(top))
            data: Any = None
            if stat.S_ISREG(at.st_mode):
                data = Path(os.fsdecode(path)).read_bytes()
            elif stat.S_ISLNK(at.st_mode):
                data = os.readlink(path)
            twin = first.setdefault(at.st_ino, short) if at.st_nlink > 1 and data is not None else short
            mtime = None if stat.S_ISLNK(at.st_mode) and at.st_mtime_ns // 1000 == WHEN // 1000 else at.st_mtime_ns
            found[short] = (stat.filemode(at.st_mode), at.st_uid, at.st_gid, mtime, data, min(twin, short))
    return found


def sent(path: Path, whole: bool, meanwhile: Callable[[], object] | None = None) -> bytes:
    told = tree.look_source({"path": str(path), "checksum": False})
    if meanwhile:
        meanwhile()
    with collecting() as (stdout, found):
        folder = tree.open_source(os.fsencode(path), told)
        try:
            names = tree.members(folder, whole)
            tar = tree.gnu_tar()
            if tar:
                tree_gnu.send(tar, folder, names, os.fsencode(path), stdout)
            else:
                tree_write.send(folder, names, os.fsencode(path), stdout)
        finally:
            os.close(folder)
    return bytes(found)


def look(dest: Path | str, name: str = "") -> dict[str, Any]:
    return tree.look_destination({"path": str(dest), "name": name})


def receive(told: dict[str, Any], stream: bytes) -> dict[str, Any]:
    with feeding(stream) as stdin:
        return tree.receive(told, stdin)


def copy(source: Path, dest: Path, name: str = "") -> dict[str, Any]:
    told = look(dest, name)
    return receive(told, sent(source, bool(told["make"])))


# -- all kinds of files, in all combinations


@pytest.mark.parametrize("reader", PROGRAMS)
@pytest.mark.parametrize("writer", PROGRAMS)
def test_everything_arrives(tmp_path: Path, www: Path, use: Callable[[str], None], writer: str, reader: str) -> None:
    """Also over itself, where everything is there already."""
    dest = tmp_path / "dest"
    for _again in range(2):
        told = look(dest)
        use(writer)
        stream = sent(www, bool(told["make"]))
        use(reader)
        assert receive(told, stream) == {"warnings": []}
        now, wanted = content(dest), content(www)
        if _again:  # an existing directory keeps its attributes; its time is that of its new files
            now[b"."] = wanted[b"."]
        assert now == wanted
    if writer == "gnu" and (www / "sparse").stat().st_blocks * 512 < 16 * 1024 * 1024:
        assert (dest / "sparse").stat().st_blocks * 512 < 1024 * 1024


@BOTH
def test_what_the_slash_means(tmp_path: Path, www: Path, use: Callable[[str], None], program: str) -> None:
    """As for rsync: with it the content goes to the destination, without it the directory."""
    use(program)
    inside, beside, new = (tmp_path / name for name in ("inside", "beside", "new"))
    for each in (inside, beside):
        each.mkdir(mode=0o700)
        (each / "mine").write_bytes(b"mine")
    copy(www, inside)
    assert set(os.listdir(inside)) == {*os.listdir(www), "mine"}
    assert stat.S_IMODE(inside.stat().st_mode) == 0o700, "an existing directory keeps its mode"
    copy(www, beside, "www")
    assert set(os.listdir(beside)) == {"www", "mine"} and content(beside / "www") == content(www)
    copy(www, new, "www")
    assert os.listdir(new) == ["www"] and content(new / "www") == content(www)
    (beside / "www").chmod(0o700)
    copy(www, beside, "www")
    assert stat.S_IMODE((beside / "www").stat().st_mode) == 0o700


@BOTH
def test_an_empty_directory(tmp_path: Path, use: Callable[[str], None], program: str) -> None:
    use(program)
    (tmp_path / "from").mkdir()
    for _again in range(2):
        copy(tmp_path / "from", tmp_path / "to")
        assert os.listdir(tmp_path / "to") == []


@BOTH
@ROOT
def test_owners_go_by_name(tmp_path: Path, use: Callable[[str], None], program: str) -> None:
    """A user of the archive that does not exist here has the same number."""
    use(program)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, user in (("./known", "daemon"), ("./unknown", "nobody-here")):
            member = tarfile.TarInfo(name)
            member.uid, member.gid, member.uname, member.gname = 2_000_001, 2_000_002, user, user
            archive.addfile(member)
    receive(look(tmp_path / "dest"), data.getvalue())
    known, unknown = [(tmp_path / "dest" / name).stat() for name in ("known", "unknown")]
    daemon = pwd.getpwnam("daemon")
    assert (known.st_uid, known.st_gid) == (daemon.pw_uid, grp.getgrnam("daemon").gr_gid)
    assert (unknown.st_uid, unknown.st_gid) == (2_000_001, 2_000_002)


# -- truncated and damaged archives


@BOTH
def test_a_truncated_archive(tmp_path: Path, www: Path, use: Callable[[str], None], program: str) -> None:
    """In the middle of a file; Python's tarfile also notices it between two files."""
    use("gnu")
    stream = sent(www, whole=True)
    use(program)
    lengths = [512, len(stream) // 2 + 100]
    if program == "python":
        with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
            lengths += [member.offset for member in archive][1:]
        lengths += [0, 1, 1000, lengths[-1] + 512, len(stream.rstrip(b"\0")) // 512 * 512 + 512]
    for number, length in enumerate(lengths):
        with pytest.raises(Problem) as caught:
            receive(look(tmp_path / f"dest{number}"), stream[:length])
        assert caught.value.kind == "incomplete", length


@BOTH
def test_data_after_the_end(tmp_path: Path, www: Path, use: Callable[[str], None], program: str) -> None:
    use(program)
    stream = sent(www, whole=True)
    for more in (b"\0" * 200_000 + b"x", b"x" * 512):
        with pytest.raises(Problem) as caught:
            receive(look(tmp_path / "dest"), stream + more)
        assert caught.value.kind == "incomplete"
        shutil.rmtree(tmp_path / "dest")
    receive(look(tmp_path / "dest"), stream + b"\0" * 500_000)


def test_a_damaged_header(tmp_path: Path, www: Path, use: Callable[[str], None]) -> None:
    """tarfile takes it for the end of the archive."""
    use("python")
    stream = bytearray(sent(www, whole=True))
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        member = [each for each in archive if each.isreg()][3]
    stream[member.offset + 1024 + 150] ^= 0xFF  # its checksum; before it is the header of its time
    with pytest.raises(Problem) as caught:
        receive(look(tmp_path / "dest"), bytes(stream))
    assert caught.value.kind == "incomplete"


# -- what others have set


def archive_of(*members: tuple[str, bytes, str]) -> bytes:
    """An archive of (name, type, target or data)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.gid = kind, 0o755, os.geteuid(), os.getegid()
            if kind == tarfile.REGTYPE:
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
            else:
                member.linkname = text
                archive.addfile(member)
    return data.getvalue()


@BOTH
@pytest.mark.parametrize("members", [
    [("../out", tarfile.REGTYPE, "new")],
    [("a/../../out", tarfile.REGTYPE, "new")],
    [("{outside}/out", tarfile.REGTYPE, "new")],
    [("a", tarfile.SYMTYPE, "{outside}"), ("a/out", tarfile.REGTYPE, "new")],
    [("a", tarfile.SYMTYPE, ".."), ("a/outside/out", tarfile.REGTYPE, "new")],
    [("a", tarfile.LNKTYPE, "../outside/old"), ("a", tarfile.REGTYPE, "new")],
    [("a", tarfile.LNKTYPE, "{outside}/old"), ("a", tarfile.REGTYPE, "new")],
])  # fmt: skip
def test_an_archive_that_leads_out(
    tmp_path: Path, use: Callable[[str], None], program: str, members: list[tuple[str, bytes, str]]
) -> None:
    """Of a host that is not trusted with more than the destination: nothing outside of it changes."""
    use(program)
    outside, dest = tmp_path / "outside", tmp_path / "dest"
    outside.mkdir()
    dest.mkdir()
    (outside / "old").write_bytes(b"old")
    stream = archive_of(*((name.format(outside=outside), kind, text.format(outside=outside))
                          for name, kind, text in members))  # fmt: skip
    with contextlib.suppress(Problem):
        receive(look(dest), stream)
    assert os.listdir(outside) == ["old"] and (outside / "old").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["dest", "outside"]


@BOTH
def test_links_that_are_there(tmp_path: Path, www: Path, use: Callable[[str], None], program: str) -> None:
    """Those in place of a directory or file are replaced, not followed."""
    use(program)
    outside, dest = tmp_path / "outside", tmp_path / "dest"
    outside.mkdir()
    dest.mkdir()
    (outside / "old").write_bytes(b"old")
    (dest / "sub").symlink_to(outside)
    (dest / "index").symlink_to(outside / "old")
    (dest / "null").symlink_to(outside / "new")
    copy(www, dest)
    assert os.listdir(outside) == ["old"] and (outside / "old").read_bytes() == b"old"
    now, wanted = content(dest), content(www)
    now[b"."] = wanted[b"."]
    assert now == wanted


@ROOT
def test_a_link_of_another_user_on_the_way(tmp_path: Path) -> None:
    shared, target = tmp_path / "shared", tmp_path / "target"
    shared.mkdir()
    target.mkdir()
    shared.chmod(0o1777)
    (shared / "way").symlink_to(target)
    assert look(shared / "way")["path"] == str(target)
    os.chown(shared / "way", 12, 34, follow_symlinks=False)
    for dest, name in ((shared / "way", ""), (shared / "way", "www"), (shared, "way")):
        with pytest.raises(Problem) as caught:
            look(dest, name)
        assert caught.value.kind == "not permitted"


@BOTH
@pytest.mark.parametrize("new", [True, False])
def test_a_target_that_is_exchanged(
    tmp_path: Path, www: Path, use: Callable[[str], None], program: str, new: bool
) -> None:
    use(program)
    dest, target = tmp_path / "folder" / "dest", tmp_path / "target"
    (dest.parent if new else dest).mkdir(parents=True)
    target.mkdir()
    told = look(dest)
    if new:
        dest.symlink_to(target)
    else:
        dest.rename(tmp_path / "moved")
        dest.symlink_to(target)
    with pytest.raises(Problem):
        receive(told, sent(www, whole=new))
    assert os.listdir(target) == []
    dest.unlink()
    dest.mkdir()
    with pytest.raises(Problem) as caught:
        receive(told, sent(www, whole=new))
    assert caught.value.kind == "changed" and os.listdir(dest) == []


# -- a source that changes, or cannot be read


def test_a_source_that_changes_while_python_reads_it(
    tmp_path: Path, www: Path, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use("python")
    real = tarfile.TarFile.addfile
    changes: dict[str, Callable[[Path], object]] = {
        "grows": lambda path: path.write_bytes(b"x" * 9000),
        "shrinks": lambda path: os.truncate(path, 10),
        "is touched": lambda path: os.utime(path, ns=(1, 1)),
    }
    for change in changes.values():

        def add(
            self: tarfile.TarFile,
            member: tarfile.TarInfo,
            file: Any = None,
            change: Callable[[Path], object] = change,
        ) -> None:
            if member.name == "./index":
                change(www / "index")
            real(self, member, file)

        monkeypatch.setattr(tarfile.TarFile, "addfile", add)
        with pytest.raises(Problem) as caught:
            sent(www, whole=False)
        assert str(caught.value).startswith(f"{www}/index changed while it was read (")
        assert caught.value.kind == "changed"


def test_a_status_of_tar(tmp_path: Path, www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1: a file changed as it was read; 2: one could not be read."""
    script = tmp_path / "tar"
    monkeypatch.setattr(tree_gnu, "BLOCKS", "--blocking-factor=20")
    tar = tree.gnu_tar()
    assert tar is not None
    folder = os.open(www, os.O_RDONLY)
    name = b"%s" % os.fsencode(script)
    try:
        for status, kind, text in (
            (1, "changed", f"{www} changed while it was read (./x: file changed as we read it)"),
            (2, "failed", f"{www} cannot be read completely: tar failed with exit status 2: ./x: file changed as we"),
        ):
            script.write_text(
                f'#!/bin/sh\necho "Total bytes written: 10240 (10KiB, 1GiB/s)" >&2\n'
                f'echo "tar: ./x: file changed as we read it" >&2\nexit {status}\n',
                encoding="ascii",
            )
            script.chmod(0o755)
            monkeypatch.setattr(tar, "name", name)
            with pytest.raises(Problem) as caught, open(os.devnull, "wb") as nowhere:
                tree_gnu.send(tar, folder, [b"."], os.fsencode(www), nowhere.fileno())
            assert caught.value.kind == kind and str(caught.value).startswith(text)
    finally:
        os.close(folder)


@BOTH
def test_a_source_that_is_exchanged(tmp_path: Path, www: Path, use: Callable[[str], None], program: str) -> None:
    use(program)

    def exchange() -> None:
        www.rename(tmp_path / "moved")
        www.mkdir()

    with pytest.raises(Problem) as caught:
        sent(www, whole=True, meanwhile=exchange)
    assert caught.value.kind == "changed"


# -- the look


def test_a_file_is_looked_at_as_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    told = tree.look_source({"path": str(tmp_path / "file"), "checksum": True})
    assert (told["kind"], told["size"], len(told["sha256"])) == ("file", 1, 64)


@pytest.mark.parametrize(("dest", "name", "sentence", "kind"), [
    ("file", "", "{0}/file is a file, but the source is a directory", "not a file"),
    ("file", "www", "{0}/file is a file, but the source is a directory", "not a file"),
    ("", "file", "{0}/file is a file, but the source is a directory", "not a file"),
    ("fifo", "", "{0}/fifo is a FIFO, but the source is a directory", "not a file"),
    ("loop", "", "{0}/loop is a loop of symbolic links", "not a file"),
    ("none/x", "", "there is no directory {0}/none: create it first", "not found"),
    ("none/x", "www", "there is no directory {0}/none: create it first", "not found"),
])  # fmt: skip
def test_bad_destinations(tmp_path: Path, dest: str, name: str, sentence: str, kind: str) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(Problem) as caught:
        look(tmp_path / dest, name)
    assert (str(caught.value), caught.value.kind) == (sentence.format(tmp_path), kind)


def test_a_host_without_any_archiver(www: Path, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    told = tree.look_source({"path": str(www), "checksum": False})
    version = subprocess.run(["tar", "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    assert told["archiver"] == f"GNU tar {version}"
    use("python")
    assert tree.archiver().startswith("tarfile of Python 3.")
    monkeypatch.setattr(tree.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(Problem) as caught:
        tree.archiver()
    text = (
        "this host has neither GNU tar nor Python's tarfile, and a directory needs one of them: install the package tar"
    )
    assert (str(caught.value), caught.value.kind) == (text, "no tool")


def test_names_and_numbers() -> None:
    assert tree_extract.number("root", 7, "user") == 0
    assert tree_extract.number("nobody-here", 7, "user") == 7
    assert tree_extract.number("", 7, "group") == 7
