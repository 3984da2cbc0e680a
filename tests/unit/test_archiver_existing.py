# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiver of the role tape: extract into a directory that has something in it, which stays what it was."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import struct
import subprocess
from pathlib import Path
from random import Random

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import kernel, processes
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import gate
from ansible_collections.plumbing.socketpipe.tests.unit.archives import tar_of
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import (
    TIMEOUT,
    Archive,
    Host,
    is_alive,
    tree,
    within,
)

MiB = 1024**2
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")
INTO, MORE, INCREMENTAL = "--into-existing", "--more", "--incremental"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def to(host: Host) -> Path:
    """A directory with somebody's files, where the host's files would be."""
    to = host.top / "back"
    mine = host.restored_as(to)
    for name in ("dir/mine", "mine/a", "gone/mine", "cache/x"):
        path = mine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine", encoding="utf-8")
    return to


def two_levels(host: Host) -> list[Archive]:
    for name in ("dir/old", "dir/same", "gone/a", "gone/b/c", "deleted/d", "file", "turned/x", "cache/x", "link/y"):
        host.file(name, name)
    host.settings["excludes"] = ["cache/*"]
    archives = [host.create("R0")]
    for name in ("gone", "deleted", "turned", "link"):
        shutil.rmtree(host.root / name)
    (host.root / "dir/old").unlink()
    host.file("turned", "a file")
    (host.root / "link").symlink_to("dir")
    host.file("new/n", "n")
    (host.root / "file").unlink()
    host.file("file/in", "a directory")
    archives.append(host.create("R1", 1, "R0"))
    return archives


def texts(top: Path) -> dict[str, str]:
    found = {str(path.relative_to(top)): path for path in top.rglob("*") if path.is_file() and not path.is_symlink()}
    return {name: path.read_text(encoding="utf-8") for name, path in sorted(found.items())}


NOW = {"dir/same": "dir/same", "turned": "a file", "new/n": "n", "file/in": "a directory"}
MINE = {"dir/mine": "mine", "mine/a": "mine", "gone/mine": "mine", "cache/x": "mine"}


def test_what_was_never_backed_up_stays_and_what_was_deleted_does_not_come_back(host: Host, to: Path) -> None:
    first, second = two_levels(host)
    done = host.extract(first, to, INTO, MORE)
    assert (done["deleted"], done["deleted_names"]) == (0, [])
    done = host.extract(second, to, INTO, INCREMENTAL)
    assert texts(host.restored_as(to)) == {**NOW, **MINE}
    assert (host.restored_as(to) / "link").is_symlink()
    names = [name.removeprefix(str(host.root) + "/") for name in done["deleted_names"]]
    assert sorted(names) == [
        *["deleted", "deleted/d", "dir/old", "file", "gone/a", "gone/b", "gone/b/c", "link", "link/y"],
        *["turned", "turned/x"],
    ]
    assert done["deleted"] == len(names)
    assert not (to / ".socketpipe-restore").exists()


def test_only_on_request_the_rest_goes_and_is_counted(host: Host, to: Path) -> None:
    """And never what was left out of the archive, nor what is not below a directory of it."""
    first, second = two_levels(host)
    (to / "beside").write_text("mine", encoding="utf-8")
    host.extract(first, to, INTO, MORE, "--delete")
    assert texts(host.restored_as(to)).items() >= MINE.items(), "it is the last archive that says what there was"
    done = host.extract(second, to, INTO, INCREMENTAL, "--delete")
    assert texts(host.restored_as(to)) == {**NOW, "cache/x": "mine"}
    assert (to / "beside").exists()
    names = {name.removeprefix(str(host.root) + "/") for name in done["deleted_names"]}
    assert names >= {"dir/mine", "mine", "mine/a", "gone", "gone/mine", "dir/old"}
    assert done["deleted"] == len(done["deleted_names"])
    assert host.restored_as(to).stat().st_mtime_ns == host.root.stat().st_mtime_ns


def test_nothing_goes_for_an_archive_that_is_not_right(host: Host, to: Path) -> None:
    first, _second = two_levels(host)
    data = first.data[:-1] + b"\1"
    said = host.said("extract", "--to", str(to), *first.expected, INTO, "--delete", data=data)
    assert "these are not the" in said
    assert texts(host.restored_as(to)).items() >= MINE.items()


@as_root
def test_what_is_mounted_there_is_not_removed(host: Host, to: Path) -> None:
    first, _second = two_levels(host)
    mine = host.restored_as(to) / "mine"
    host.within_mounts(f"mount -t tmpfs none {mine} && touch {mine}/there && trap 'ls {mine} >&2' EXIT")
    around = host.argv[: -len(host.archiver)]
    host.argv = [*around, "sh", "-c", f'"$@"; rc=$?; ls -a {mine} >&2; exit $rc', "sh", *host.archiver]
    done = host.run("extract", "--to", str(to), *first.expected, INTO, "--delete", data=first.data)
    assert (done.returncode, done.stderr.decode().split()) == (0, [".", "..", "there"])


def test_in_the_place_of_a_directory_with_something_in_it(host: Host, to: Path) -> None:
    """A file of the archive does not replace it, all the rest is restored, and nobody is told that all is."""
    host.file("mine", "a file")
    host.file("other", "x")
    archive = host.create()
    said = host.said("extract", "--to", str(to), *archive.expected, INTO, data=archive.data)
    assert said.endswith("; the archive itself is intact")
    assert f"{host.root}/mine: Cannot " in said
    assert texts(host.restored_as(to)) == {**MINE, "other": "x"}
    done = host.extract(archive, to, INTO, "--keep-going")
    assert (done["error_count"], len(done["errors"])) == (1, 1)
    assert f"{host.root}/mine: Cannot " in done["errors"][0]
    host.extract(archive, to, INTO, "--delete")
    assert texts(host.restored_as(to)) == {"mine": "a file", "other": "x"}


@pytest.mark.parametrize("delete", [[], ["--delete"]])
@pytest.mark.parametrize("link", ["usr/lib", "/usr/lib"])
def test_a_directory_that_is_a_link_here_stays_one(host: Host, delete: list[str], link: str) -> None:
    """As /lib is where /usr is merged; the archive is of a host where it was not."""
    host.file("lib/a", "old")
    host.file("usr/lib/b", "b")
    first = host.create("R0")
    host.file("lib/a", "new")
    second = host.create("R1", 1, "R0")
    to = host.top / "back"
    there = host.restored_as(to)
    (there / "usr/lib").mkdir(parents=True)
    (there / "usr/lib/mine").touch()
    (there / "lib").symlink_to(f"{there}{link}" if link.startswith("/") else link)
    done = host.extract(first, to, INTO, MORE, *delete)
    assert done["kept_links"] == [f"{host.root}/lib"]
    host.extract(second, to, INCREMENTAL, *delete)
    assert (there / "lib").is_symlink()
    assert texts(there / "usr/lib") == {"a": "new", "b": "b", "mine": ""}, "what has two names is not missing by one"


def test_a_path_that_is_a_link_itself(host: Host, to: Path) -> None:
    """It may lead anywhere, and is replaced; what is asked for below it may not be written there."""
    (host.root / "link").symlink_to("/nowhere")
    host.file("dir/a", "x")
    archive = host.create()
    (host.top / "outside").mkdir()
    for name in ("link", "dir"):
        path = host.restored_as(to) / name
        shutil.rmtree(path, ignore_errors=True)
        path.symlink_to(host.top / "outside")
    host.extract(archive, to, INTO, "--", f"{host.root}/link")
    assert os.readlink(host.restored_as(to) / "link") == "/nowhere"
    words = [INTO, "--", f"{host.root}/dir/a"]
    assert "leads out of" in host.said("extract", "--to", str(to), *archive.expected, *words, data=archive.data)
    assert os.listdir(host.top / "outside") == []


def test_a_link_that_an_earlier_archive_had_is_none_any_more(host: Host, to: Path) -> None:
    """It led to a place outside, and now there is a directory."""
    victim = host.top / "victim"
    victim.mkdir()
    (host.root / "link").symlink_to(victim)
    first = host.create("R0")
    (host.root / "link").unlink()
    host.file("link/a", "a")
    second = host.create("R1", 1, "R0")
    host.extract(first, to, INTO, MORE)
    host.extract(second, to, INTO, INCREMENTAL)
    assert texts(host.restored_as(to)) == {**MINE, "link/a": "a"}
    assert os.listdir(victim) == []


@pytest.mark.parametrize("size", [10, 5 * MiB])
@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_files_that_are_paths_by_themselves(host: Host, to: Path, size: int, kind: str) -> None:
    """In the archive they are between the directories, all of which are judged nevertheless."""
    for name in ("a/gone", "d/gone", "d/e/x"):
        host.file(name, name)
    for name in ("b.file", "c.file", "d/x.file"):
        host.file(name, os.urandom(size))
    host.settings["paths"] = [f"{host.root}/{name}" for name in ("a", "b.file", "c.file", "d", "d/x.file")]
    first = host.create("R0")
    shutil.rmtree(host.root / "d/e")
    for name in ("b.file", "c.file", "d/x.file"):
        host.file(name, os.urandom(size + 1))
    for name in ("a", "d"):
        (host.root / name / "gone").unlink()
    second = host.create("R1", 1, "R0")
    host.extract(first, to, INTO, MORE)
    argv = [*host.argv, "extract", "--to", str(to), *second.expected, INTO, INCREMENTAL]
    if kind == "pipe":
        done = subprocess.run(argv, env=host.environment(), input=second.data, capture_output=True, check=False)
    elif kind == "file":
        (host.top / "archive").write_bytes(second.data)
        with open(host.top / "archive", "rb") as data:
            done = subprocess.run(argv, env=host.environment(), stdin=data, capture_output=True, check=False)
    else:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(argv, env=host.environment(), stdin=theirs.fileno(), stdout=-1, stderr=-1)
        ours.sendall(second.data)
        ours.close()
        out, said = process.communicate(timeout=TIMEOUT)
        done = subprocess.CompletedProcess(argv, process.returncode, out, said)
    assert done.returncode == 0, done.stderr
    back = host.restored_as(to)
    assert {path.name for path in (back / "d").iterdir()} == {"x.file"}
    assert os.listdir(back / "a") == []
    for name in ("b.file", "c.file", "d/x.file"):
        assert (back / name).read_bytes() == (host.root / name).read_bytes()


def test_a_file_is_in_the_archive_once(host: Host) -> None:
    host.file("d/x", "x")
    host.settings["paths"] = [str(host.root), f"{host.root}/d/x"]
    assert host.create().names == [f".{host.root}/", f".{host.root}/d/", f".{host.root}/d/x"]


def test_no_byte_of_a_file_goes_through_python(host: Host, to: Path) -> None:
    """Not even of a file between the directories."""
    host.file("a/x", os.urandom(16 * MiB))
    host.file("b", os.urandom(16 * MiB))
    host.file("c/x", "x")
    host.settings["paths"] = [f"{host.root}/{name}" for name in "abc"]
    archive = host.create()
    ours, theirs = socket.socketpair()
    argv = [*host.argv, "extract", "--to", str(to), *archive.expected, INTO]
    with theirs:
        process = subprocess.Popen(argv, env=host.environment(), stdin=theirs.fileno(), stdout=-1, stderr=-1)
    ours.sendall(archive.data[: 12 * MiB])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    moved = 0
    for pid in [str(process.pid), *children]:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
        if name not in ("tar", "openssl", "sha256sum"):
            counters = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
            moved += sum(int(line.split()[1]) for line in counters if line.startswith(("rchar:", "wchar:")))
    assert moved < 8 * MiB
    ours.sendall(archive.data[12 * MiB :])
    ours.close()
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def cut(data: bytes) -> list[int]:
    """Where a stream may break off: in a header, between two, in a file, before the end of the last block."""
    return [0, 1, 511, 512, 1000, 1536, 2600, 4096, 5000, 8192, 100000, len(data) - 262144, len(data) - 1]


def test_a_stream_that_breaks_off(host: Host, to: Path) -> None:
    """Wherever it does, nobody is told that it was whole, and nothing of anybody is removed."""
    first, second = two_levels(host)
    host.file("big", os.urandom(150000).hex())
    second = host.create("R2", 1, "R0", keep="R0")
    for size in cut(second.data):
        host.extract(first, to, INTO, MORE, "--delete")
        data = second.data[:size]
        done = host.run("extract", "--to", str(to), *second.expected, INTO, INCREMENTAL, "--delete", data=data)
        assert (done.returncode, done.stdout) == (1, b""), size
        assert texts(host.restored_as(to)).items() >= MINE.items(), size
        assert not (to / ".socketpipe-restore").exists()
    assert "bytes arrived: " not in done.stderr.decode()


@pytest.mark.parametrize("how", ["kill", "terminate", "reset"])
def test_it_ends_at_the_gate(host: Host, to: Path, how: str) -> None:
    """Before the first file: nothing is left running, and nothing is restored."""
    host.file("a", "x")
    archive = host.create()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _address = listener.accept()
    argv = [*host.argv, "extract", "--to", str(to), *archive.expected, INTO, MORE]
    with theirs:
        process = subprocess.Popen(argv, env=host.environment(), stdin=theirs.fileno(), stdout=-1, stderr=-1)
    ours.sendall(archive.data[:700])
    assert within(20, lambda: len(processes.descendants(process.pid)) == 3)
    children = processes.descendants(process.pid)
    if how == "reset":
        assert within(20, lambda: kernel.unsent(ours) == 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ours.close()
    else:
        getattr(process, how)()
    said = process.communicate(timeout=TIMEOUT)[1].decode()
    ours.close()
    assert within(20, lambda: not any(is_alive(pid) for pid in children))
    if how != "kill":
        assert said.startswith(
            {
                "terminate": "archiver extract: ended by SIGTERM\n",
                "reset": f"archiver extract: the archive was cut off: Connection reset by peer; do not trust the "
                f"files in {to}",
            }[how]
        )
        assert not (to / ".socketpipe-restore").exists()
    assert texts(host.restored_as(to)) == MINE


@pytest.mark.parametrize("seed", range(200))
def test_headers_that_are_damaged(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they say, all that is read is passed on, and nothing but what the stream has."""
    random = Random(seed)
    data = bytearray(tar_of("label", 3000, "x" * 150) + tar_of("label", 100, "a", pax=False))
    for _number in range(random.randrange(1, 5)):
        start = random.randrange(0, len(data), 512)
        data[start + random.choice([0, 100, 124, 130, 156, 257, 345])] = random.randrange(256)
        if random.random() < 0.8:  # with a checksum that is right
            data[start + 148 : start + 156] = b" " * 8
            data[start + 148 : start + 156] = b"%07o\0" % sum(data[start : start + 512])
    source, out = io.BytesIO(data), io.BytesIO()
    headers = gate.header.Headers(source.read)
    while True:
        member = headers.next()
        out.write(headers.raw)
        if member is None:
            break
        assert member.size >= 0
        out.write(source.read(min(member.size, len(data))))
    out.write(source.read())
    assert out.getvalue() == data


def test_a_path_that_was_deleted_before_the_last_level(host: Host) -> None:
    """It is not restored, and whoever has asked for it is told so."""
    for name in ("a/x", "a/y", "b/c/z"):
        host.file(name, name)
    first = host.create("R0")
    (host.root / "a/x").unlink()
    shutil.rmtree(host.root / "b/c")
    second = host.create("R1", 1, "R0")
    host.file("a/x", "again")
    third = host.create("R2", 2, "R1")
    asked = [f"{host.root}/a/x", f"{host.root}/b/c/z", f"{host.root}/a/y"]
    to = host.top / "back"
    done = host.extract(first, to, MORE, "--", *asked)
    assert (done["missing"], done["gone"]) == ([], [])
    done = host.extract(second, to, INCREMENTAL, MORE, "--", *asked)
    assert done["gone"] == asked[:2]
    assert done["deleted"] == 3, "two files, and a directory that is empty then"
    assert texts(host.restored_as(to)) == {"a/y": "a/y"}
    done = host.extract(third, to, INCREMENTAL, "--", *asked)
    assert done["gone"] == asked[1:2]
    assert texts(host.restored_as(to)) == {"a/y": "a/y", "a/x": "again"}


def linked(host: Host) -> Archive:
    host.file("a/f", "archived").chmod(0o640)
    (host.root / "b").mkdir()
    for name in ("b/f", "b/g", "a 'link to' \"x\""):
        os.link(host.root / "a/f", host.root / name)
    return host.create()


def again(host: Host, archive: Archive, to: Path, *words: str) -> None:
    done = host.extract(archive, to, *words[:1], "--may-repeat", *words[1:])
    assert done["again"]
    done = host.extract(archive, to, "--again", *words)
    assert (done["again"], done["errors"]) == (False, [])
    assert not (to / ".socketpipe-restore").exists()


def test_one_name_of_a_file_that_has_several(host: Host) -> None:
    archive = linked(host)
    to = host.top / "back"
    name = f"{host.root}/b/f"
    said = host.said("extract", "--to", str(to), *archive.expected, "--", name, data=archive.data)
    first = archive.names[-4].lstrip(".")
    assert said == (
        f"archiver extract: the data of {name} is in the archive under another name of the same file, "
        f"{first}: request that name as well, or a directory that contains both"
    )
    shutil.rmtree(to)
    again(host, archive, to, INTO, "--", name)
    back = host.restored_as(to)
    assert texts(back) == {"b/f": "archived"}
    assert stat.S_IMODE((back / "b/f").stat().st_mode) == 0o640


def test_what_has_the_other_name_today_is_left_alone(host: Host, to: Path) -> None:
    archive = linked(host)
    back = host.restored_as(to)
    for name in ("a/f", "b/f", "a 'link to' \"x\""):
        (back / name).parent.mkdir(exist_ok=True)
        (back / name).write_text("today", encoding="utf-8")
    (back / "b/f").unlink()
    os.link(back / "a/f", back / "b/f")
    said = host.said("extract", "--to", str(to), *archive.expected, INTO, "--", f"{host.root}/b", data=archive.data)
    assert "is in the archive under another name of the same file" in said
    assert not (back / "b/f").exists(), "what it has today is not what was archived"
    again(host, archive, to, INTO, "--", f"{host.root}/b")
    today = {"a/f": "today", "a 'link to' \"x\"": "today"}
    assert texts(back) == {**today, "b/f": "archived", "b/g": "archived", **MINE}
    assert (back / "b/f").samefile(back / "b/g")
    assert (back / "a/f").stat().st_nlink == 1


@as_root
def test_names_of_a_file_on_another_file_system(host: Host, to: Path) -> None:
    archive = linked(host)
    back = host.restored_as(to)
    (back / "b").mkdir()
    image = host.top / "image"
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    host.within_mounts(f"mount -o loop {image} {back}/b")
    again(host, archive, to, INTO, "--", f"{host.root}/b")
    host.argv = [*host.argv[: -len(host.archiver)], "cat"]
    assert host.run(f"{back}/b/f", f"{back}/b/g").stdout == b"archivedarchived"
    host.argv[-1:] = ["stat", "--format=%h"]
    assert host.run(f"{back}/b/f").stdout == b"2\n"


def test_a_name_that_is_new_in_an_increment(host: Host) -> None:
    """Each level has data and links of its own."""
    first = linked(host)
    host.file("a/f", "changed")
    second = host.create("R1", 1, "R0")
    to = host.top / "back"
    for archive, words in ((first, [MORE]), (second, [INCREMENTAL])):
        done = host.extract(archive, to, *words, "--may-repeat", "--", f"{host.root}/b")
        assert done["again"]
        host.extract(archive, to, *words, "--again", "--", f"{host.root}/b")
    assert texts(host.restored_as(to)) == {"b/f": "changed", "b/g": "changed"}
    assert not (to / ".socketpipe-restore").exists()


@as_root
def test_in_a_container_that_may_not_do_all_of_it(host: Host) -> None:
    """What cannot be made or owned is named; the rest is there, and the next archive is extracted as well."""
    os.mknod(host.root / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.chown(host.file("foreign", "x"), 4000, 4000)
    host.file("plain", "x")
    first = host.create("R0")
    host.file("plain", "y")
    second = host.create("R1", 1, "R0")
    within = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace can be made here")
    host.argv = within + host.argv
    to = host.top / "back"
    said = host.said("extract", "--to", str(to), *first.expected, data=first.data)
    assert said.endswith("(the last of 2 lines); the archive itself is intact")
    shutil.rmtree(to)
    done = host.extract(first, to, "--keep-going", MORE)
    assert done["error_count"] == 2
    assert sorted(line.split(": ")[2].partition(" ")[0] for line in done["errors"]) == ["Cannot", "Cannot"]
    done = host.extract(second, to, "--keep-going", INCREMENTAL)
    assert (done["errors"], done["error_count"]) == ([], 0)
    assert texts(host.restored_as(to)) == {"foreign": "x", "plain": "y"}


@as_root
@pytest.mark.parametrize("trap", ["a symbolic link", "of user 65534"])
def test_a_trap_in_a_directory_of_all(host: Host, trap: str) -> None:
    """Somebody has guessed the name, and has been there before."""
    host.file("a", "x")
    archive = host.create()
    temporary = host.top / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    to = temporary / "restore"
    if trap == "a symbolic link":
        (host.top / "his").mkdir()
        to.symlink_to(host.top / "his")
    else:
        to.mkdir()
        os.chown(to, 65534, 65534)
    for path in (to, to / "below"):
        said = host.said("extract", "--to", str(path), *archive.expected, INTO, data=archive.data)
        assert said == (f"archiver extract: {to} is {trap}, in a world-writable directory: choose another directory")
    assert os.listdir(to) == []
    host.extract(archive, temporary / "other")


@as_root
def test_a_disk_without_room(host: Host) -> None:
    host.file("a", os.urandom(3 * MiB))
    archive = host.create()
    small = host.top / "small"
    small.mkdir()
    host.within_mounts(f"mount -t tmpfs -o size=2m none {small}")
    for words, path in (([], small / "new"), ([INTO], small)):
        said = host.said("extract", "--to", str(path), *archive.expected, *words, data=archive.data)
        assert said == (
            f"archiver extract: the archive has 0.0 GiB, but {path} has room for only 0.0 GiB: choose another directory"
        )


def test_what_a_restore_that_was_killed_has_left(host: Host, to: Path) -> None:
    """Nothing of it is ours in the next one."""
    first, second = two_levels(host)
    host.extract(first, to, INTO, MORE)
    (host.restored_as(to) / "dir/old").write_text("mine", encoding="utf-8")
    host.file("other", "x")
    (host.root / "dir/old").unlink(missing_ok=True)
    other = host.create("R5")
    host.extract(other, to, INTO, "--keep-going")
    assert not (to / ".socketpipe-restore").exists()
    assert (host.restored_as(to) / "dir/old").exists()
    for _attempt in range(2):
        host.extract(other, to, INTO, MORE, "--keep-going")
    host.extract(other, to, INTO, "--keep-going")
    said = host.said("extract", "--to", str(to), *second.expected, INTO, INCREMENTAL, data=second.data, rc=2)
    assert said.startswith(f"archiver extract: {to} has no record of an earlier archive to continue from: ")


@as_root
def test_a_record_that_somebody_else_has_made(host: Host, to: Path) -> None:
    host.file("a", "x")
    archive = host.create()
    record = to / ".socketpipe-restore"
    record.mkdir(mode=0o700)
    os.chown(record, 65534, 65534)
    said = host.said("extract", "--to", str(to), *archive.expected, INTO, data=archive.data)
    assert said == f"archiver extract: {record} was not made by a restore of this collection: remove it"


def test_over_root_takes_both_consents(host: Host) -> None:
    expected = ["--bytes", "512", "--sha256", "0" * 64]
    for consent in ("--allow-root", INTO):
        said = host.said("extract", "--to", "/", *expected, consent, rc=2)
        assert said.startswith(
            "archiver extract: restoring over this host's own / needs restore_allow_root and restore_into_existing: "
        )


def test_a_tree_restored_over_itself_is_the_same(host: Host) -> None:
    first, second = two_levels(host)
    to = host.top / "back"
    host.extract(first, to, MORE)
    host.extract(second, to, INCREMENTAL)
    before = tree(to)
    host.extract(first, to, INTO, MORE, "--delete")
    host.extract(second, to, INCREMENTAL, "--delete")
    assert tree(to) == before
