# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiver of the role tape in a restore drill: the restored files are compared, and then removed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Archive, Host

ODD = ['with "quotes" -> and link to', "line\nbreak", "tab\tand \\", "gr\udcfcn", "Größe", " blanks ", "-dash", "{}"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def drill(host: Host, to: Path, *archives: Archive) -> list[dict[str, Any]]:
    """The answer of each pass."""
    answers = []
    for number, archive in enumerate(archives):
        more = ["--more"] if archive is not archives[-1] else []
        more += ["--incremental"] if number else []
        answers.append(host.extract(archive, to, "--drill=1", "--keep-going", *more))
    return answers


def fill(host: Host) -> None:
    """Something of each kind, with names and times that are hard to read back."""
    for number, name in enumerate(ODD):
        path = os.path.join(os.fsencode(host.root), os.fsencode(name))
        with open(path, "wb") as out:
            out.write(b"x" * number)
    plain = host.file("folder/plain", "content")
    plain.chmod(0o640)
    os.utime(plain, ns=(1, 1_234_567_890_123_456_789))
    old = host.file("folder/old", "1969")
    os.utime(old, ns=(-1_000_000_000, -1_500_000_000))
    special = host.file("special")
    special.chmod(0o4755)
    (host.root / "shared").mkdir()
    (host.root / "shared").chmod(0o3777)
    (host.root / "link").symlink_to("folder/pl ain")
    (host.root / "odd link").symlink_to('a "b" -> c\n')
    os.link(plain, host.root / "second name")
    os.mkfifo(host.root / "fifo", 0o600)
    with open(host.root / "sparse", "wb") as out:
        out.truncate(10 * 2**20)
        out.seek(5 * 2**20)
        out.write(b"data")


def test_nothing_differs(host: Host) -> None:
    fill(host)
    archive = host.create()
    (answer,) = drill(host, host.top / "to", archive)
    assert answer["differences"] == []
    assert (answer["difference_count"], answer["absent"]) == (0, 0)
    assert answer["compared"] == answer["files"] == archive.facts["files"]
    assert host.restored_as(host.top / "to").is_dir()
    # the directory is the drill's own, and goes with it
    assert host.run("discard", "--drill=1", "--to", str(host.top / "to")).returncode == 0
    assert not (host.top / "to").exists()
    assert host.run("discard", "--drill=1", "--to", str(host.top / "to")).returncode == 0, "nothing is left to remove"


def test_levels(host: Host) -> None:
    """A file that an increment records as deleted is gone, and no difference."""
    for name in ("a/one", "a/two", "b/three", "b/c/four"):
        host.file(name, name)
    full = host.create("R0")
    host.file("a/two", "changed")
    (host.root / "a/one").unlink()
    (host.root / "b/c/four").unlink()
    (host.root / "b/c").rmdir()
    increment = host.create("R1", 1, "R0")
    first, second = drill(host, host.top / "to", full, increment)
    assert first["difference_count"] == second["difference_count"] == first["absent"] == 0
    assert second["absent"] == second["deleted"] == 3


def test_its_own_directory(host: Host) -> None:
    """A drill removes only what a drill made."""
    host.file("one", "1")
    archive = host.create()
    there = host.top / "there"
    there.mkdir()
    words = ["extract", "--to", str(there), *archive.expected, "--drill=1"]
    assert host.said(*words, data=archive.data, rc=2) == (
        f"archiver extract: {there} exists, but a restore drill makes and removes its own directory: choose a new one"
    )
    restored = host.top / "restored"
    host.extract(archive, restored)
    for folder in (there, restored, host.root):
        said = host.said("discard", "--drill=1", "--to", str(folder), rc=2)
        assert said.startswith(f"archiver discard: {folder} was not made by this restore drill: it stays, ")
        assert folder.is_dir()
    assert "is no directory of a drill" in host.said("discard", "--drill=1", "--to", "/", rc=2)
    drill(host, host.top / "to", archive)
    (host.top / "alias").symlink_to(host.top / "to")
    assert "was not made by this restore drill" in host.said(
        "discard", "--drill=1", "--to", str(host.top / "alias"), rc=2
    )
    # another drill runs there, or such a directory was restored from an archive
    for other in ("--drill=2", "--drill="):
        said = host.said("discard", other, "--to", str(host.top / "to"), rc=2)
        assert "was not made by this restore drill" in said and (host.top / "to").is_dir()


def test_a_damaged_archive(host: Host) -> None:
    """It fails as a restore does, and what it wrote can be removed."""
    host.file("one", "1" * 5000)
    archive = host.create()
    data = bytearray(archive.data)
    data[-2048] ^= 1
    to = host.top / "to"
    said = host.said("extract", "--to", str(to), *archive.expected, "--drill=1", data=bytes(data))
    assert "their SHA-256 is " in said
    assert json.loads(host.run("discard", "--drill=1", "--to", str(to)).stdout) == {} and not to.exists()
