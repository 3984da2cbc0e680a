# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiver of the role tape: create, report, estimate.  With this machine's tar, on real files."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_run import pack, with_request
from ansible_collections.plumbing.socketpipe.tests.unit import pythons
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import TIMEOUT, Host, Started, begun, tree
from ansible_collections.plumbing.socketpipe.tests.unit.tape import start

MiB = 1024**2
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def halfway(host: Host) -> Iterator[Started]:
    yield from begun(host)


def test_what_it_needs_is_said(host: Host) -> None:
    host.settings = {"paths": ["relative"]}
    said = host.said(*host.words(), rc=2)
    assert said == "archiver create: tape_paths contains 'relative': each path must begin with /"
    host.settings = {}
    assert host.said(*host.words(), rc=2) == "archiver create: tape_paths is empty: there is nothing to back up"
    host.settings = {"paths": 5}
    assert host.said(*host.words(), rc=2) == "archiver create: tape_paths: 5 is not a list: it must be a list of words"


A_BLOCK = "it must be a multiple of 512, and at most 4M"
A_NAME = "use letters, digits, - _ and ., at most 64 of them"
A_HOST = "use one word without /"
OTHER_TAR = "this host needs GNU tar, but its tar is another one (%s): install the package tar"
BUSYBOX = "tar: unrecognized option: version"


@pytest.mark.parametrize(
    ("settings", "words", "said"),
    [
        ({"block_size": "1000"}, [], f"tape_block_size: 1000 bytes: {A_BLOCK}"),
        ({"block_size": "32M"}, [], f"tape_block_size: 33554432 bytes: {A_BLOCK}"),
        ({"state_dir": "var"}, [], "tape_state_dir: 'var' is not a path: it must begin with /"),
        ({"set": "../x"}, [], f"tape_set: '../x' cannot be the name of a set: {A_NAME}"),
        ({"excludes": ["/"]}, [], "tape_excludes contains an empty pattern, or /"),
        ({"exclude_tag": ["a/b"]}, [], "tape_exclude_tag contains 'a/b': it must be the name of a file, without /"),
        ({"exclude_tag": [".."]}, [], "tape_exclude_tag contains '..': it must be the name of a file, without /"),
        ({"exclude_files": ["etc/x"]}, [], "tape_exclude_files contains 'etc/x': each path must begin with /"),
        ({"exclude_caches": "perhaps"}, [], "tape_exclude_caches: 'perhaps': it must be true or false"),
        ({}, ["--run", "a/b"], f"'a/b' cannot be the name of a run: {A_NAME}"),
        ({}, ["--keep", "R1,../x"], f"'../x' cannot be the name of a run: {A_NAME}"),
        ({}, ["--host", "a b"], f"'a b' cannot be the name of a host: {A_HOST}"),
        ({}, ["--host", ""], f"'' cannot be the name of a host: {A_HOST}"),
        ({}, ["--level", "1"], "level 1 needs a --base"),
        ({}, ["--base", "R1"], "level 0 does not take a --base"),
    ],
)
def test_used_wrongly(host: Host, settings: dict[str, Any], words: list[str], said: str) -> None:
    host.settings.update(settings)
    assert host.said(*host.words(), *words, rc=2) == "archiver create: " + said
    assert not host.state.exists()


def test_settings_that_are_no_json(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def environment() -> dict[str, str]:
        return {**os.environ, "SOCKETPIPE_TAPE": text}

    monkeypatch.setattr(host, "environment", environment)
    text = "{"
    assert host.said(*host.words(), rc=2).startswith("archiver create: SOCKETPIPE_TAPE is not JSON: ")
    text = "[]"
    assert host.said(*host.words(), rc=2) == "archiver create: SOCKETPIPE_TAPE is not a JSON object"


def test_a_path_that_is_not_there_is_named(host: Host) -> None:
    host.settings["paths"] += ["/nowhere/a", "/nowhere/b"]
    assert host.said(*host.words()) == (
        "archiver create: not on this host: /nowhere/a, /nowhere/b "
        "(each of tape_paths must exist; set tape_paths for this host if it differs)"
    )


def test_a_path_that_is_a_link_to_a_directory_is_refused(host: Host) -> None:
    link = host.top / "link"
    link.symlink_to(host.root)
    host.settings["paths"] = [f"{link}/"]
    assert host.said(*host.words()) == (
        f"archiver create: {link} of tape_paths is a symbolic link, and tar would store only the link: "
        f"use {host.root} instead"
    )


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'bsdtar 3.7.2 - libarchive 3.7.2'", OTHER_TAR % "bsdtar 3.7.2 - libarchive 3.7.2"),
        (f"echo '{BUSYBOX}' >&2; exit 1", OTHER_TAR % BUSYBOX),
        ("echo 'tar (GNU tar) 1.25'", "this host has tar 1.25, but tar 1.26 or later is required"),
    ],
)
def test_another_tar(host: Host, script: str, said: str) -> None:
    host.program("tar", script)
    assert host.said(*host.words()) == "archiver create: " + said


@pytest.mark.parametrize(
    ("lacks", "has"),
    [("--selinux", ["xattrs", "acls"]), ("--acls", ["xattrs", "selinux"]), ("--xattrs|--acls|--selinux", [])],
)
def test_what_this_tar_can_keep_is_kept(host: Host, lacks: str, has: list[str]) -> None:
    host.program("tar", f'for word; do case $word in {lacks}) echo "tar: no $word" >&2;; esac; done; exec REAL "$@"')
    facts = host.create().facts
    assert (facts["metadata"], facts["warnings"]) == (has, [])


def test_no_tar_at_all(host: Host) -> None:
    host.path = str(host.top)
    assert host.said(*host.words()) == (
        "archiver create: this host needs GNU tar, but it has no tar: install the package tar"
    )


def test_gnu_tar_by_its_other_name(host: Host) -> None:
    host.program("tar", "echo bsdtar 3.7.2")
    host.program("gtar", 'exec tar-of-gnu "$@"')
    (host.top / "bin/tar-of-gnu").symlink_to("/usr/bin/tar" if os.path.exists("/usr/bin/tar") else "/bin/tar")
    host.file("a", "b")
    assert host.create().facts["files"] == 2


def test_an_archive_and_what_is_known_of_it(host: Host) -> None:
    host.file("a/b", "content")
    archive = host.create()
    facts = archive.facts
    assert facts["bytes"] == len(archive.data) == 262144
    assert facts["sha256"] == hashlib.sha256(archive.data).hexdigest()
    assert archive.names == [f".{host.root}/", f".{host.root}/a/", f".{host.root}/a/b"]
    assert facts["files"] == 3
    assert [facts[key] for key in ("run", "host", "set", "level", "base", "tar")] == ["R0", "h1", "all", 0, None, 0]
    assert (facts["paths"], facts["block_size"]) == ([str(host.root)], 262144)
    assert (facts["warnings"], facts["warning_count"], facts["other_file_systems"]) == ([], 0, [])
    assert facts["label"] == f"R0 h1 0 {facts['time']} all"
    assert (
        facts["tar_version"] in subprocess.run(["tar", "--version"], capture_output=True, text=True, check=True).stdout
    )
    assert facts["elapsed"] > 0
    listed = subprocess.run(["tar", "-t"], input=archive.data, capture_output=True, check=True).stdout.decode()
    assert listed.splitlines() == [facts["label"], *archive.names]
    # where a catalog is rebuilt from the tape alone: a header of its own before the first file
    assert archive.data[512:].split(b"\n")[0].split(b" ", 1)[1] == b"GNU.volume.label=" + facts["label"].encode()
    assert b" mtime=" in archive.data
    assert b" atime=" not in archive.data
    assert b" ctime=" not in archive.data


def test_a_host_with_a_very_long_name_has_a_label_too(host: Host) -> None:
    done = host.run("create", "--run", "R0", "--host", "h" * 250, "--level", "0")
    assert done.returncode == 0, done.stderr
    assert b" GNU.volume.label=R0 " + b"h" * 250 + b" 0 20" in done.stdout


def test_its_state_is_for_its_owner_alone(host: Host) -> None:
    host.state_dir.mkdir(mode=0o755, parents=True)
    host.create()
    assert host.states() == ["R0.json", "R0.list.gz", "R0.reported", "R0.snar", "lock"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [host.state_dir, *host.state_dir.glob("*")]}
    assert set(modes.values()) == {0o600, 0o700}
    assert modes["all"] == 0o700


def test_the_program_as_a_zip_that_is_in_memory_only(host: Host) -> None:
    host.file("a", "b")
    packed = host.top / "program.zip"
    packed.write_bytes(pack("archiver"))
    descriptor = os.open(packed, os.O_RDONLY)
    packed.unlink()
    host.argv = [sys.executable, "-I", f"/proc/self/fd/{descriptor}"]
    done = host.run(*host.words(), pass_fds=[descriptor])
    os.close(descriptor)
    assert (done.returncode, len(done.stdout)) == (0, 262144), done.stderr


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_there_and_back_with_each_python(tmp_path: Path, version: str) -> None:
    host = Host(tmp_path, [pythons.needed(version), "-I", "-B", *start("archiver")])
    host.file("a/b", "one")
    host.file(os.fsdecode(b"\xff\n"), "two")
    first = host.create("R0")
    assert first.facts["bytes"] == host.estimate()
    host.file("a/b", "three")
    (host.root / "a/c").symlink_to("b")
    second = host.create("R1", 1, "R0")
    to = host.top / "back"
    host.extract(first, to, "--more")
    host.extract(second, to, "--incremental")
    assert tree(host.restored_as(to)) == tree(host.root)
    said = host.said("extract", "--to", str(to), *first.expected, data=b"x" * 512)
    assert said.startswith(f"archiver extract: {to} is not empty")


@pytest.mark.parametrize("block", ["512", "10K", "64K", "256K", "1M"])
@pytest.mark.parametrize("size", [0, 10239, 3000000])
def test_tar_s_total_is_what_was_sent(host: Host, block: str, size: int) -> None:
    host.settings["block_size"] = block
    host.file("a", os.urandom(size))
    archive = host.create()
    assert archive.facts["bytes"] == len(archive.data) == host.estimate()
    assert len(archive.data) % archive.facts["block_size"] == 0


def test_no_byte_of_the_archive_goes_through_python(host: Host) -> None:
    host.file("a", os.urandom(32 * MiB))
    started = host.start(first=28 * MiB)
    with open(f"/proc/{started.process.pid}/io", encoding="ascii") as counters:
        moved = sum(int(line.split()[1]) for line in counters if line.startswith(("rchar:", "wchar:")))
    assert len(started.read()) > 32 * MiB
    assert started.end()[0] == 0
    assert moved < 8 * MiB  # its own modules, and the names


def test_a_total_that_cannot_be(host: Host) -> None:
    host.program(
        "tar", "REAL \"$@\" 2>&1 >&1 3>&- | cat; case $* in *--create*) echo 'Total bytes written: 1000 (x)' >&2;; esac"
    )
    assert host.said(*host.words()).startswith(
        "archiver create: tar reports that it wrote 1000 bytes, which is not a multiple of the block size "
    )


def test_any_name_survives(host: Host) -> None:
    names = [
        b"new\nline",
        b"\xff\xfe",
        b"back\\slash",
        b"a\\nb",
        b"-rf",
        b" ",
        b"\t",
        b"\x01",
        "ü".encode(),
        b"*",
        b"'\"`",
    ]
    for name in names:
        host.file(os.fsdecode(b"dir/" + name), name)
    archive = host.create()
    prefix = f".{host.root}/dir/"
    assert sorted(name.removeprefix(prefix) for name in archive.names[2:]) == sorted(
        [
            "new\\nline",
            "\\377\\376",
            "back\\\\slash",
            "a\\\\nb",
            "-rf",
            " ",
            "\\t",
            "\\001",
            "\\303\\274",
            "*",
            "'\"`",
        ]
    )
    assert archive.facts["files"] == len(names) + 2
    host.extract(archive, host.top / "back")
    assert tree(host.restored_as(host.top / "back")) == tree(host.root)


def test_a_path_that_is_such_a_name(host: Host) -> None:
    for name in (b"a\\nb", b"a\nb", b"*", b"[", b"\xff"):
        host.file(os.fsdecode(name), name)
    host.file("other", "")
    host.settings["paths"] = [
        f"{host.root}/{os.fsencode(name).decode('utf-8', 'surrogateescape')}"
        for name in ("a\\nb", "*", os.fsdecode(b"\xff"))
    ]
    names = [name.removeprefix(f".{host.root}/") for name in host.create().names]
    assert sorted(names) == sorted(["a\\\\nb", "*", "\\377"])


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        (" a ", [" a "]),
        ("ROOT/ a ", [" a "]),
        ("b\nc", ["b\\nc"]),
        ("ROOT/cache", ["cache/", "cache/x", "cache/y.tmp"]),
        ("ROOT/cache/", ["cache/", "cache/x", "cache/y.tmp"]),
        ("ROOT/cache/*", ["cache/x", "cache/y.tmp"]),
        ("*.tmp", ["cache/y.tmp", "deep/cache/z.tmp"]),
        ("cache", ["cache/", "cache/x", "cache/y.tmp", "deep/cache/", "deep/cache/z.tmp"]),
        ("deep/cache", ["deep/cache/", "deep/cache/z.tmp"]),
        ("/cache", []),
        ("ROOT/*/z.tmp", ["deep/cache/z.tmp"]),
        ("ROOT/*.tmp", ["cache/y.tmp", "deep/cache/z.tmp"]),
        ("ROOT/d*z.tmp", ["deep/cache/z.tmp"]),
        ("d*z.tmp", ["deep/cache/z.tmp"]),
        ("ROOT/deep?cache", ["deep/cache/", "deep/cache/z.tmp"]),
        ("[!a-z./]a *", [" a "]),
        ("[[:alpha:]]", ["b", "c", "cache/x"]),
        ("[]b]", ["b"]),
        ("a[*X]b", ["a*b", "aXb"]),
        ("k?e*", ["keep"]),
        ("*ke?p", ["keep"]),
        ("k*p", ["keep"]),
        ("a\\*b", ["a*b"]),
        ("ROOT/aXb", ["aXb"]),
    ],
)
def test_excludes(host: Host, pattern: str, left_out: list[str]) -> None:
    for name in ("cache/x", "cache/y.tmp", "deep/cache/z.tmp", "keep", "a*b", "aXb", " a ", " a", "b\nc", "b", "c"):
        host.file(name)
    everything = host.create().names
    # whatever is between them does not change what a pattern means
    host.settings["excludes"] = ["/nowhere", "nothing", pattern.replace("ROOT", str(host.root)), "/nowhere", "nothing"]
    prefix = f".{host.root}/"
    found = host.create()
    assert sorted(name.removeprefix(prefix) for name in set(everything) - set(found.names)) == left_out
    assert host.estimate() == len(found.data)
    told = pattern.replace("ROOT", str(host.root)).rstrip("/")
    tops = [
        name for name in left_out if not any(name != top and name.startswith(top) for top in left_out if "/" in top)
    ]
    assert found.facts["left_out"] == {
        "tape_excludes: /nowhere": 0,
        "tape_excludes: nothing": 0,
        f"tape_excludes: {told}": len(tops),
    }


def test_settings_of_any_size(host: Host) -> None:
    """More than one word of a command line may have, and than all of them may."""
    for number in range(40):
        host.file(f"dir/{number}")
        host.file(f"other/{number} ")
    host.settings["excludes"] = [f"{host.root}/dir/{number}" for number in range(1, 40)]
    host.settings["excludes"] += [f"other/{number} " for number in range(1, 40)] + ["a\nb", "\\ ", "[", " "]
    host.settings["excludes"] += [f"/srv/{'x' * 200}/{number}" for number in range(30000)]
    request = {"words": host.words(), "settings": host.settings}
    report = {"words": ["report", "--run", "R0"], "settings": host.settings}
    assert len(json.dumps(request)) > 6 * MiB
    for data in (request, report):
        packed = host.top / "program.zip"
        packed.write_bytes(with_request("archiver", data))
        done = subprocess.run([sys.executable, "-I", packed], capture_output=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, done.stderr
    line, _newline, packed_names = done.stdout.partition(b"\n")
    assert len(line) < 200000, "the report is one line of the catalog"
    assert json.loads(line)["excludes"][-1].startswith("and ")
    names = [name.removeprefix(f".{host.root}/") for name in gzip.decompress(packed_names).decode().splitlines()]
    assert names == ["", "dir/", "other/", "dir/0", "other/0 "]


def test_its_own_state_is_left_out(host: Host) -> None:
    host.settings["state_dir"] = str(host.root / "st*te [x]")
    host.file("stAte [x]/all/kept")
    host.create("R0")
    archive = host.create("R1", 1, "R0")
    assert [name for name in archive.names if "st*te" in name] == [f".{host.root}/st*te [x]/"]
    assert any("stAte" in name for name in host.create("R2").names)
    assert archive.facts["warnings"] == []


@as_root
def test_one_file_system_and_what_is_on_another(host: Host) -> None:
    mount = host.root / "mount"
    mount.mkdir()
    host.file("plain/a")
    image = host.top / "image"
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    (host.root / "plain/in memory").mkdir(parents=True)
    host.within_mounts(
        f"mount -o loop {image} {mount} && rm -rf {mount}/lost+found && touch {mount}/x"
        f" && mount -t tmpfs none '{host.root}/plain/in memory'"
    )
    prefix = f".{host.root}/"

    def names() -> list[str]:
        return sorted(name.removeprefix(prefix) for name in host.create().names)

    assert names() == ["", "mount/", "plain/", "plain/a", "plain/in memory/"]
    assert host.report()[0]["other_file_systems"] == [f"{host.root}/mount"], "and not what is in memory"
    said = json.loads(host.run("estimate", "--level", "0").stdout)
    assert (said["other_file_systems"], said["mounted"]) == ([f"{host.root}/mount"], 1)
    host.settings["paths"].append(str(mount))
    assert names() == ["", "mount/", "mount/x", "plain/", "plain/a", "plain/in memory/"]
    facts = host.report()[0]
    assert facts["other_file_systems"] == []
    host.settings.update(one_file_system=False, paths=[str(host.root)])
    assert names() == ["", "mount/", "mount/x", "plain/", "plain/a", "plain/in memory/"]


def test_a_file_that_changes_is_a_warning(host: Host, halfway: Started) -> None:
    with open(host.root / "big", "ab") as big:
        big.write(b"more")
    halfway.read()
    assert halfway.end()[0] == 0
    facts, names = host.report()
    assert (facts["tar"], facts["warning_count"]) == (1, 1)
    assert facts["warnings"] == [f"tar: .{host.root}/big: file changed as we read it"]
    assert facts["bytes"] == len(halfway.data)


def test_the_first_warnings_are_kept_and_all_are_counted(host: Host) -> None:
    host.program(
        "tar",
        'case $* in *--create*) seq -f "tar: %g" 30 >&2; REAL "$@"; exit 1;; esac; exec REAL "$@"',
    )
    facts = host.create().facts
    assert (facts["warning_count"], facts["tar"]) == (30, 1)
    assert facts["warnings"] == [f"tar: {number}" for number in range(1, 21)]


def test_sockets_are_no_warning(host: Host) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(host.root / "s"))
        facts = host.create().facts
    assert (facts["tar"], facts["warnings"]) == (0, [])


def test_options_of_the_environment_are_not_tar_s(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.file("a")
    monkeypatch.setenv("TAR_OPTIONS", "--exclude=*")
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    monkeypatch.setenv("LANGUAGE", "de")
    assert host.create().facts["files"] == 2


def test_checksums_of_sha256sum_are_the_same(host: Host) -> None:
    host.file("a", os.urandom(100000))
    assert host.create().facts["sha256"]
    host.program("openssl", "echo broken; exit 1")
    archive = host.create()
    assert archive.facts["sha256"] == hashlib.sha256(archive.data).hexdigest()
    host.program("sha256sum", "exit 1")
    assert host.said(*host.words()) == (
        "archiver create: this host has neither a working openssl nor sha256sum (coreutils)"
    )


def test_which_machine_it_is(host: Host) -> None:
    """Two hosts of one name are not one host."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        text = ""
    assert host.create().facts["machine_id"] == (text or None)


@as_root
@pytest.mark.parametrize(
    ("text", "found"),
    [("0123456789abcdef0123456789abcdef\n", "0123456789abcdef0123456789abcdef"), ("", None), ("uninitialized\n", None)],
)
def test_a_machine_s_own_name(host: Host, text: str, found: str | None) -> None:
    file = host.top / "machine-id"
    file.write_text(text, encoding="ascii")
    host.within_mounts(f"[ -e /etc/machine-id ] || exit 77; mount --bind {file} /etc/machine-id")
    assert host.create().facts["machine_id"] == found


@as_root
def test_another_machine_than_the_tape_host_knows(host: Host) -> None:
    """It is refused before anything is read; a machine without such a name is not."""
    mine, other = "0" * 31 + "1", "0" * 31 + "2"
    file = host.top / "machine-id"
    file.write_text(mine + "\n", encoding="ascii")
    host.within_mounts(f"[ -e /etc/machine-id ] || exit 77; mount --bind {file} /etc/machine-id")
    assert host.run(*host.words(), "--machine", mine).returncode == 0
    said = host.said(*host.words(), "--machine", other)
    assert said.startswith(f"archiver create: this is machine {mine}, but the last good archive of ")
    file.write_text("", encoding="ascii")
    assert host.run(*host.words(), "--machine", other).returncode == 0


def test_report_of_a_run_that_was_never_completed(host: Host) -> None:
    host.create("R0")
    (host.state_dir / "R0.json").unlink()
    for run in ("R0", "R1"):
        assert host.said("report", "--run", run) == (
            f"archiver report: run {run} has no complete archive on this host: there is none in {host.state_dir}"
        )


def test_an_estimate_reads_no_data_and_leaves_nothing(host: Host) -> None:
    host.file("big", os.urandom(32 * MiB))

    def read_so_far() -> int:
        """Bytes that we and those that we have waited for have read."""
        with open("/proc/self/io", encoding="ascii") as counters:
            return int(counters.readline().split()[1])

    before = read_so_far()
    estimated = host.estimate()
    assert read_so_far() - before < 16 * MiB
    assert not host.state.exists()
    archive = host.create()
    assert len(archive.data) == estimated
    before_states = {path: path.read_bytes() for path in host.state_dir.glob("*")}
    host.file("small", "x")
    assert host.estimate(1, "R0") == 262144
    assert {path: path.read_bytes() for path in host.state_dir.glob("*")} == before_states
    assert len(host.create("R1", 1, "R0").data) == 262144


def test_an_estimate_of_what_cannot_be_read(host: Host) -> None:
    host.program("tar", "case $* in *--create*) echo 'tar: ./x: Cannot open: No' >&2; exit 2;; esac; exec REAL \"$@\"")
    assert host.said("estimate", "--level", "0").splitlines() == [
        "reading the directories for the estimate",
        "archiver estimate: tar failed with status 2: ./x: Cannot open: No",
    ]


def test_it_does_not_write_an_archive_to_a_terminal(host: Host) -> None:
    master, terminal = os.openpty()
    done = subprocess.run(
        [*host.argv, *host.words()],
        env=host.environment(),
        stdout=terminal,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT,
        check=False,
    )
    os.close(master)
    os.close(terminal)
    assert done.returncode == 2
    assert done.stderr == b"archiver create: standard output is a terminal: redirect it to receive the archive\n"


def test_what_estimate_says_is_one_object(host: Host) -> None:
    assert json.loads(host.run("estimate", "--level", "0").stdout) == {
        "bytes": 262144,
        "level": 0,
        "level_problem": "",
        "warnings": [],
        "warning_count": 0,
        "other_file_systems": [],
        "mounted": 0,
    }
