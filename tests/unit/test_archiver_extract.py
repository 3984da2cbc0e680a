# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiver of the role tape: extract.  What is restored is what was there, or nobody is told that it is."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import kernel, processes
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import TIMEOUT, Archive, Host, tree, within
from ansible_collections.plumbing.socketpipe.tests.unit.tape import TAPE, start

MiB = 1024**2
OVER_ROOT = (
    "restoring over this host's own / needs restore_allow_root and restore_into_existing: set both, or choose "
    "another directory"
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def archive(host: Host) -> Archive:
    host.file("etc/a", "one")
    host.file("etc/b", "two")
    host.file("data", os.urandom(3 * MiB))
    return host.create()


def other(data: bytes) -> Archive:
    """An archive that somebody else has made."""
    return Archive(data, {}, [])


def test_everything_into_a_new_directory(host: Host, archive: Archive) -> None:
    to = host.top / "new/back"
    assert host.extract(archive, to) == {
        "to": str(to),
        "bytes": len(archive.data),
        "sha256": archive.facts["sha256"],
        "tar": 0,
        "files": archive.facts["files"],
        "deleted": 0,
        "deleted_names": [],
        "kept_links": [],
        "missing": [],
        "gone": [],
        "warnings": [],
        "errors": [],
        "error_count": 0,
        "again": False,
        "whole": True,
    }
    assert tree(host.restored_as(to)) == tree(host.root)
    assert stat.S_IMODE(to.stat().st_mode) == 0o700


def test_into_a_directory_that_is_there(host: Host, archive: Archive) -> None:
    to = host.top / "back"
    to.mkdir(mode=0o750)
    host.extract(archive, to)
    assert stat.S_IMODE(to.stat().st_mode) == 0o750
    said = host.said("extract", "--to", str(to), *archive.expected, data=archive.data)
    assert said == (
        f"archiver extract: {to} is not empty, so restored files would be mixed with existing ones: "
        "choose a new directory, or set restore_into_existing"
    )
    shutil.rmtree(to / str(host.top.parts[1]))
    (to / "mine").touch()
    host.extract(archive, to, "--into-existing")
    assert (to / "mine").exists()
    assert tree(host.restored_as(to)) == tree(host.root)


@pytest.mark.parametrize(
    ("words", "rc", "said"),
    [
        (["--to", "/"], 2, OVER_ROOT),
        (["--to", "/tmp/.."], 2, OVER_ROOT),
        (["--to", "back"], 2, "'back': the directory to restore to must begin with /"),
        (["--to", "/dev/null"], 1, "/dev/null exists and is not a directory"),
        (["--to", "TOP/x", "--bytes", "0"], 2, "--bytes and --sha256 must be those of the archive in the catalog"),
        (["--to", "TOP/x", "--sha256", "abc"], 2, "--bytes and --sha256 must be those of the archive in the catalog"),
        (["--to", "TOP/x", "--", "../x"], 2, "'../x': a path to restore must not contain '..'"),
    ],
)  # fmt: skip
def test_used_wrongly(host: Host, words: list[str], rc: int, said: str) -> None:
    words = [word.replace("TOP", str(host.top)) for word in words]
    expected = ["--bytes", "512", "--sha256", "0" * 64]
    assert host.said("extract", *expected, *words, rc=rc) == "archiver extract: " + said
    assert not (host.top / "x").exists()


def test_not_one_byte(host: Host, archive: Archive) -> None:
    """As from a tape that stands at the end of its data: no error, no byte."""
    said = host.said("extract", "--to", str(host.top / "back"), *archive.expected)
    assert said == (
        f"archiver extract: none of {len(archive.data)} bytes arrived: "
        "the tape was at the end of its data, or the source sent none"
    )


def damaged(data: bytes, how: str) -> bytes:
    if how == "longer":
        return data + b"\0" * 262144
    if how == "much longer":
        return data + b"\1" * (4 * MiB)
    if how == "changed":
        return data[:1000000] + bytes([data[1000000] ^ 1]) + data[1000001:]
    return data[: {"shorter": -1, "a block short": -262144, "short": 262144}[how]]


@pytest.mark.parametrize("how", ["longer", "much longer", "changed", "shorter", "a block short", "short"])
def test_another_stream(host: Host, archive: Archive, how: str) -> None:
    to = host.top / "back"
    data = damaged(archive.data, how)
    said = host.said("extract", "--to", str(to), *archive.expected, data=data).splitlines()[-1]
    start, _number, rest = said.partition(" (tar read")
    assert (start if rest else said.partition(": their")[0]) == (
        f"archiver extract: these are not the {len(archive.data)} bytes in the catalog"
    )
    assert f"their SHA-256 is {hashlib.sha256(data).hexdigest()}, not {archive.facts['sha256']}; " in said
    assert f"do not trust the files in {to}" in said


def test_what_is_no_archive(host: Host) -> None:
    junk = other(os.urandom(2 * MiB))
    said = host.said("extract", "--to", str(host.top / "back"), *junk.expected, data=junk.data)
    assert said.startswith("tar: This does not look like a tar archive\n")
    assert "archiver extract: tar failed with status 2: " in said
    assert said.endswith("; the archive itself is intact")


@pytest.mark.parametrize(
    ("asked", "found", "missing"),
    [
        (["ROOT/etc"], ["etc", "etc/a", "etc/b"], []),
        (["ROOT/etc/"], ["etc", "etc/a", "etc/b"], []),
        (["ROOT/etc/a"], ["etc", "etc/a"], []),
        (["ROOT//etc/./a", "/nowhere"], ["etc", "etc/a"], ["/nowhere"]),
        (["ROOT/et", "ROOT/etc/"], ["etc", "etc/a", "etc/b"], ["ROOT/et"]),
        (["ROOT/e*"], [], ["ROOT/e*"]),
        (["/nowhere", "/no:where\n"], [], ["/nowhere", "/no:where\n"]),
        (["/"], ["data", "etc", "etc/a", "etc/b"], []),
        (["ROOT"], ["data", "etc", "etc/a", "etc/b"], []),
    ],
)
@pytest.mark.parametrize("slash", [True, False])
def test_only_some_paths(
    host: Host, archive: Archive, asked: list[str], found: list[str], missing: list[str], slash: bool
) -> None:
    words = [name.replace("ROOT", str(host.root)) for name in asked]
    words = words if slash else [word.lstrip("/") or "/" for word in words]
    to = host.top / "back"
    done = host.extract(archive, to, "--", *words)
    assert done["missing"] == [word for word, name in zip(words, asked, strict=True) if name in missing]
    assert sorted(os.fsdecode(name) for name in tree(host.restored_as(to))) == found
    if missing:
        shutil.rmtree(to)
        said = host.said(
            "extract", "--strict-paths", "--to", str(to), *archive.expected, "--", *words, data=archive.data
        )
        assert said == "archiver extract: not in this archive: " + ", ".join(done["missing"]).replace("\n", "\\n")


def test_a_path_with_any_name(host: Host) -> None:
    names = [b"a\nb", b"a\\nb", b"\xff", "ü".encode(), b" ", b"*", b"a:b"]
    for name in [*names, b"other"]:
        host.file(os.fsdecode(name), name)
    archive = host.create()
    to = host.top / "back"
    done = host.extract(archive, to, "--strict-paths", "--", *[f"{host.root}/{os.fsdecode(name)}" for name in names])
    assert (done["missing"], done["files"]) == ([], len(names))
    assert sorted(tree(host.restored_as(to))) == sorted(names)


def test_tar_cannot_write(host: Host, archive: Archive) -> None:
    """A right archive, and not all of it is there now: that is not a restore."""
    host.program(
        "tar",
        'case $* in *--extract*) REAL "$@"; echo "tar: ./x: Cannot write: No space left on device" >&2; exit 2;; esac; '
        'exec REAL "$@"',
    )
    for words in ([], ["--", "/nowhere"], ["--keep-going"]):
        to = str(host.top / f"back{len(words)}")
        if words == ["--keep-going"]:
            done = host.extract(archive, Path(to), *words)
            assert (done["errors"], done["error_count"]) == (["tar: ./x: Cannot write: No space left on device"], 1)
            continue
        said = host.said("extract", "--to", to, *archive.expected, *words, data=archive.data)
        assert "archiver extract: tar failed with status 2: ./x: Cannot write: No space left on device" in said
        assert said.endswith("; the archive itself is intact")


@pytest.mark.parametrize("name", ["tar", "tee", "sum"])
def test_a_program_of_ours_is_killed(host: Host, archive: Archive, name: str) -> None:
    ours, theirs = socket.socketpair()
    argv = [*host.argv, "extract", "--to", str(host.top / "back"), *archive.expected]
    with theirs:
        process = subprocess.Popen(argv, env=host.environment(), stdin=theirs.fileno(), stdout=-1, stderr=-1)
    ours.sendall(archive.data[:MiB])
    names = {"sum": {"openssl", "sha256sum"}}.get(name, {name})
    assert within(20, lambda: len(processes.descendants(process.pid)) == 3)
    assert within(20, lambda: bool(names & set(processes.descendants(process.pid).values())))
    os.kill(next(pid for pid, found in processes.descendants(process.pid).items() if found in names), signal.SIGKILL)
    out, said = process.communicate(timeout=TIMEOUT)  # although the stream has not ended
    ours.close()
    assert (process.returncode, out) == (1, b"")
    expected = {
        "tar": b"tar was killed by SIGKILL: it gave no reason",
        "tee": b"the archive was cut off: tee was killed by SIGKILL",
        "sum": b"the checksum program was killed by SIGKILL: ",
    }
    assert said.startswith(b"archiver extract: " + expected[name])
    assert b"; do not trust the files in " in said


def test_the_link_is_reset(host: Host, archive: Archive) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _address = listener.accept()
    argv = [*host.argv, "extract", "--to", str(host.top / "back"), *archive.expected]
    with theirs:
        process = subprocess.Popen(argv, env=host.environment(), stdin=theirs.fileno(), stdout=-1, stderr=-1)
    ours.sendall(archive.data[:MiB])
    assert within(20, lambda: kernel.unsent(ours) == 0)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ours.close()
    out, said = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (1, b"")
    assert said.splitlines()[-1].startswith(b"archiver extract: the archive was cut off: tee: ")
    assert b"Connection reset by peer" in said


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> Archive:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as target:
        for member, content in members:
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return other(data.getvalue())


def entry(name: str, link: str = "", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, link, 0o644
    return found


@pytest.mark.parametrize("before", [False, True])
def test_nothing_is_written_outside_of_the_directory(host: Host, before: bool) -> None:
    victim = host.top / "victim"
    victim.mkdir()
    to = host.top / "back"
    hostile = packed(
        (entry("../victim/a"), b"evil"),
        (entry(f"{victim}/b"), b"evil"),
        (entry("link", str(victim), tarfile.SYMTYPE), b""),
        (entry("link/c"), b"evil"),
        (entry("up", "../victim", tarfile.SYMTYPE), b""),
        (entry("up/d"), b"evil"),
    )
    if before:  # the directory that a link stands for is in this archive a directory
        to.mkdir()
        (to / "link").symlink_to(victim)
        hostile = packed((entry("link", kind=tarfile.DIRTYPE), b""), (entry("link/c"), b"evil"))
        said = host.said("extract", "--to", str(to), *hostile.expected, "--into-existing", data=hostile.data)
        assert said == (
            f"archiver extract: {to}/link is a symbolic link that leads out of {to}, to {victim}, but the archive has "
            "a directory with this name: remove it, or choose another directory; "
            f"do not trust the files in {to}"
        )
        assert (to / "link").is_symlink()
        hostile = packed((entry("link/c"), b"evil"))
        assert "leads out of" in host.said(
            "extract", "--to", str(to), *hostile.expected, "--into-existing", data=hostile.data
        )
    else:
        host.run("extract", "--to", str(to), *hostile.expected, data=hostile.data)
    assert os.listdir(victim) == []


def test_what_a_file_has_beside_its_data(host: Host) -> None:
    plain = host.file("plain", "x")
    os.utime(plain, ns=(1, 1600000000_123456789))
    plain.chmod(0o4750)
    os.link(plain, host.root / "hard")
    (host.root / "soft").symlink_to("nowhere")
    os.mkfifo(host.root / "fifo")
    deep = host.root
    for _number in range(5):
        deep /= "d" * 200
    deep.mkdir(parents=True)
    sparse = host.file("sparse")
    os.truncate(sparse, 9 * 1024**3)  # more than an octal field of a header holds
    try:
        os.setxattr(plain, "user.color", b"\0red")
    except OSError:
        pytest.skip("there are no extended attributes in the file system of the tests")
    archive = host.create()
    assert len(archive.data) < MiB
    to = host.top / "back"
    host.extract(archive, to)
    back = host.restored_as(to)
    assert (back / "sparse").stat().st_size == 9 * 1024**3
    assert (back / "sparse").stat().st_blocks < 100
    for folder in (host.root, back):
        (folder / "sparse").unlink()
    assert tree(back) == tree(host.root)
    assert os.getxattr(back / "plain", "user.color") == b"\0red"


@as_root
def test_what_only_root_can_give_a_file(host: Host) -> None:
    plain = host.file("plain", "x")
    os.chown(plain, 4000000000, 3999999999)
    capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    os.setxattr(plain, "security.capability", capability)
    os.mknod(host.root / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    if shutil.which("setfacl"):
        subprocess.run(["setfacl", "-m", "u:12345:r", host.file("acl", "x")], check=True)
    to = host.top / "back"
    host.extract(host.create(), to)
    back = host.restored_as(to)
    assert tree(back) == tree(host.root)
    assert os.getxattr(back / "plain", "security.capability") == capability
    assert (back / "device").stat().st_rdev == os.makedev(1, 3)
    if shutil.which("setfacl"):
        name = "system.posix_acl_access"
        assert os.getxattr(back / "acl", name) == os.getxattr(host.root / "acl", name)


@as_root
@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize(
    ("words", "name", "owner"),
    [([], "root", 12345), (["--owners-by-name"], "root", 0), (["--owners-by-name"], "of another host 5", 12345)],
)
def test_the_owner_is_a_number_or_a_name(host: Host, words: list[str], name: str, owner: int, some: bool) -> None:
    """A user of this name may have another number on this host."""
    found = entry("./a")
    found.uid, found.gid, found.uname, found.gname = 12345, 12345, name, name
    done = host.extract(packed((found, b"x")), host.top / "back", *words, *(["--", "/a"] if some else []))
    at = (host.top / "back/a").stat()
    assert (at.st_uid, at.st_gid, done["files"], done["missing"]) == (owner, owner, 1, [])


@as_root
def test_as_somebody_else(host: Host) -> None:
    host.file("etc/a", "one")
    python = shutil.which("python3", path="/usr/bin:/bin")
    if not python:
        pytest.skip("there is no Python that others can run")
    shutil.copytree(TAPE, host.top / "program" / "_tape")
    for folder in [host.top, *host.top.parents]:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o711)
    (host.root / "etc/a").chmod(0o666)
    archive = host.create()
    (host.top / "his").mkdir()
    os.chown(host.top / "his", 65534, 65534)
    # with ACLs every mode is restored as one
    host.program("tar", 'for word; do case $word in --acls) exit 64;; esac; done; exec REAL "$@"')
    drop = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"
    host.argv = [sys.executable, "-c", drop, python, "-I", "-B", *start("archiver", host.top / "program")]
    to = host.top / "his/back"
    host.extract(archive, to)
    restored = host.restored_as(to) / "etc/a"
    assert (restored.read_text(encoding="utf-8"), restored.stat().st_uid) == ("one", 65534)
    assert stat.S_IMODE(restored.stat().st_mode) == 0o666


def test_an_archive_of_slash_does_not_open_the_directory(host: Host) -> None:
    found = entry(".", kind=tarfile.DIRTYPE)
    found.mode, found.uid = 0o755, 0
    archive = packed((found, b""), (entry("./a"), b"x"))
    to = host.top / "back"
    host.extract(archive, to)
    assert (to / "a").read_bytes() == b"x"
    assert stat.S_IMODE(to.stat().st_mode) == 0o700


@pytest.mark.parametrize("block", ["512", "10K", "96K", "768K", "4M"])
def test_an_archive_of_another_block_size(host: Host, block: str) -> None:
    host.settings["block_size"] = block
    host.file("a", os.urandom(300000))
    archive = host.create()
    host.settings.pop("block_size")
    to = host.top / "back"
    host.extract(archive, to)
    assert tree(host.restored_as(to)) == tree(host.root)


def test_no_byte_of_the_archive_goes_through_python(host: Host) -> None:
    host.file("a", os.urandom(32 * MiB))
    archive = host.create()
    ours, theirs = socket.socketpair()
    argv = [*host.argv, "extract", "--to", str(host.top / "back"), *archive.expected]
    with theirs:
        process = subprocess.Popen(argv, env=host.environment(), stdin=theirs.fileno(), stdout=-1, stderr=-1)
    ours.sendall(archive.data[: 30 * MiB])
    with open(f"/proc/{process.pid}/io", encoding="ascii") as counters:
        moved = sum(int(line.split()[1]) for line in counters if line.startswith(("rchar:", "wchar:")))
    ours.sendall(archive.data[30 * MiB :])
    ours.close()
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert moved < 8 * MiB
