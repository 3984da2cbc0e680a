# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of a catalog on other hosts: generations, and none that knows less than the last one."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_copies import COPIED
from ansible_collections.plumbing.socketpipe.tests.unit.tape import sources
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]


def sent(host: TapeHost) -> bytes:
    """Its catalog, as it goes to the other hosts."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name in ("tapes", "lists"):
            if (host.catalog_dir / name).exists():
                made.add(host.catalog_dir / name, name)
    return out.getvalue()


def test_only_what_another_host_needs_is_copied(tmp_path: Path) -> None:
    """Whatever else the program keeps beside the tapes and the lists is of this host, this boot, or this moment."""
    texts = [path.read_text() for path in sources("host")]
    names = {name for text in texts for name in re.findall(r'folder, "([A-Za-z_.]+)"', text)}
    assert names >= {"tapes", "lists", "positions", "clock.json"}
    for name in names:
        (tmp_path / name).mkdir()
    command = ["tar", "--create", "--file=-", f"--directory={tmp_path}", *COPIED, "."]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as copy:
        assert sorted(copy.getnames()) == [".", "./lists", "./tapes"]


@pytest.fixture
def host(tape_host: Maker) -> TapeHost:
    made: TapeHost = tape_host(3, lease=0)
    made.backup("R1", "h1", on="A")
    made.backup("R1", "h2", on="B")
    return made


@pytest.fixture
def copies(tape_host: Maker) -> TapeHost:
    """The host that keeps the copies; it has no drives."""
    return tape_host(0)


def copy(copies: TapeHost) -> Path:
    return copies.folder / "catalog-of-tape1"


def take(copies: TapeHost, data: bytes, **settings: Any) -> dict[str, Any]:
    return copies.ok("keep", "--of", "tape1", data=data, **settings)


def refused(copies: TapeHost, data: bytes) -> str:
    """And the last copy is as it was, and nothing else is there."""
    before = os.readlink(copy(copies)), sorted(os.listdir(copies.folder))
    said = copies.fails("keep", "--of", "tape1", data=data)
    assert (os.readlink(copy(copies)), sorted(os.listdir(copies.folder))) == before
    return said


def test_generations(host: TapeHost, copies: TapeHost) -> None:
    names = []
    for number in range(2, 15):
        answer = take(copies, sent(host))
        names.append(answer["generation"])
        assert answer["copy"] == str(copy(copies))
        assert copy(copies).resolve() == Path(answer["generation"])
        assert (copy(copies) / "tapes" / "A.json").read_bytes() == (host.catalog_dir / "tapes/A.json").read_bytes()
        host.backup("R%d" % number, "h1", on="A")
    assert names == sorted(set(names))  # however many there are in a second
    there = sorted(str(path) for path in copies.folder.glob("catalog-of-tape1.*Z"))
    assert there == names[-10:]
    assert answer["generations"] == [name.rpartition(".")[2] for name in there]
    # a list of files is there once
    lists = [Path(name) / "lists" / "R1" / "all,h1.gz" for name in there]
    assert len({path.stat().st_ino for path in lists}) == 1
    assert {path.stat().st_mode & 0o077 for path in copies.folder.rglob("*") if "of-tape1" in str(path)} == {0}
    # and one of them is brought back as any copy is
    shutil.copytree(there[0], copies.folder / "back")
    assert (copies.folder / "back" / "tapes" / "A.json").exists()


def test_the_clock_of_the_host_that_keeps_it(host: TapeHost, copies: TapeHost) -> None:
    take(copies, sent(host))
    old = copies.folder / "catalog-of-tape1.20360101T000000Z"
    os.rename(copy(copies).resolve(), old)
    copy(copies).unlink()
    copy(copies).symlink_to(old.name)
    assert take(copies, sent(host))["generation"].endswith(".20360101T000001Z")


def test_a_copy_of_the_first_version(host: TapeHost, copies: TapeHost) -> None:
    """One directory with a number for a name: it is a generation as well, the oldest one."""
    take(copies, sent(host))
    os.rename(copy(copies).resolve(), copies.folder / "catalog-of-tape1.4711")
    copy(copies).unlink()
    copy(copies).symlink_to("catalog-of-tape1.4711")
    assert len(take(copies, sent(host))["generations"]) == 2
    for _each in range(9):
        take(copies, sent(host))
    assert not (copies.folder / "catalog-of-tape1.4711").exists()


def forget_tape(host: TapeHost) -> None:
    (host.catalog_dir / "tapes" / "B.json").unlink()


def begin_anew(host: TapeHost) -> None:
    """A new, almost empty catalog."""
    host.forget()
    host.ok("label", "--label", "NEW", "--device", host.tapes[2], "--overwrite", proof(host, "NEW", 2))


def proof(host: TapeHost, label: str, tape: int) -> str:
    said = host.fails("label", "--label", label, "--device", host.tapes[tape])
    return said.split("tape_overwrite=")[1].split(",")[0]


def bring_back_an_old_one(host: TapeHost) -> None:
    host.edit("A", lambda tape: tape["archives"].pop())


def damage(host: TapeHost) -> None:
    (host.catalog_dir / "tapes" / "A.json").write_text("{")


LESS: list[tuple[Callable[[TapeHost], None], str]] = [
    (
        forget_tape,
        "has tape B, but the catalog that was sent does not: the copy was not changed: was the catalog lost, or",
    ),
    (
        begin_anew,
        "has the tapes A, B, but the catalog that was sent does not: the copy was not changed: was the catalo",
    ),
    (bring_back_an_old_one, "has 1 archive of tape A, but the catalog that was sent does not: "),
    (damage, "A.json is damaged ("),
]


@pytest.mark.parametrize(("change", "text"), LESS)
def test_a_catalog_that_knows_less(
    change: Callable[[TapeHost], None], text: str, host: TapeHost, copies: TapeHost
) -> None:
    take(copies, sent(host))
    change(host)
    assert text in refused(copies, sent(host))
    take(copies, sent(host), accept_catalog=True)
    take(copies, sent(host))


def label_again(host: TapeHost) -> None:
    host.ok("label", "--label", "A", "--device", host.tapes[0], "--overwrite", proof(host, "A", 0))


def label_otherwise(host: TapeHost) -> None:
    host.ok("label", "--label", "NEW", "--device", host.tapes[0], "--overwrite", proof(host, "NEW", 0))
    host.ok("label", "--label", "NEWER", "--device", host.tapes[0])


def let_it_expire(host: TapeHost) -> None:
    host.edit("A", lambda tape: [each.update(keep_until=0) for each in tape["archives"]])
    assert host.sink("R3", "h3", labels=["A"], reuse="expired", expire_last=True).answer["file"] == 1


def interrupt(host: TapeHost) -> None:
    """It is being begun afresh while the copy is made."""
    host.edit("A", lambda tape: tape.update(archives=[], relabelling={"id": "1"}))


def fail(host: TapeHost) -> None:
    host.sink("R3", "h3", b"x", labels=["A"])


def lose(host: TapeHost) -> None:
    """Overwritten elsewhere, as a rebuild has found."""
    (host.tapes[0] / "000001").unlink()
    host.ok("inventory", "--rebuild", devices=[str(host.tapes[0])])
    assert host.states("A") == []


@pytest.mark.parametrize("change", [label_again, label_otherwise, let_it_expire, interrupt, fail, lose])
def test_what_went_with_its_tape_is_not_missed(
    change: Callable[[TapeHost], None], host: TapeHost, copies: TapeHost
) -> None:
    take(copies, sent(host))
    change(host)
    take(copies, sent(host))


@pytest.mark.parametrize(
    ("cut", "text"),
    [
        (lambda data: b"", "the received catalog is incomplete (tar: This does not look like a tar archive)"),
        (lambda data: data[: data.index(b'"archives"')], "the received catalog is incomplete (tar: "),
        (
            lambda data: b"garbage" * 1000,
            "the received catalog is incomplete (tar: This does not look like a tar archive)",
        ),
        (lambda data: b"\0" * 10240, "the received catalog is incomplete (it has no tapes): nothing was changed"),
    ],
)
def test_what_is_no_catalog(cut: Callable[[bytes], bytes], text: str, host: TapeHost, copies: TapeHost) -> None:
    take(copies, sent(host))
    assert text in refused(copies, cut(sent(host)))


def test_what_is_no_copy_is_not_touched(host: TapeHost, copies: TapeHost) -> None:
    copy(copies).mkdir()
    said = copies.fails("keep", "--of", "tape1", data=sent(host))
    assert said == "%s exists, but is not a copy of a catalog: move it away" % copy(copies)
    assert "cannot be the name of a host" in copies.fails("keep", "--of", "../x", data=sent(host))


def test_a_copy_becomes_the_catalog(host: TapeHost, copies: TapeHost) -> None:
    """Of a tape host that has none: all of it is there, or nothing."""
    data = sent(host)
    lists = sorted(path.name for path in (host.catalog_dir / "lists" / "R1").iterdir())
    assert host.fails("import", data=data) == (
        f"{host.catalog_dir} already has a catalog: move {host.catalog_dir}/tapes away to replace it"
    )
    host.forget()
    assert host.fails("import", data=data[:-30000]).startswith("the received catalog is incomplete (")
    assert not (host.catalog_dir / "tapes").exists()
    assert host.ok("import", data=data) == {"catalog": str(host.catalog_dir)}
    assert host.states("A") == [(1, "h1", "good")] and host.states("B") == [(1, "h2", "good")]
    assert sorted(path.name for path in (host.catalog_dir / "lists" / "R1").iterdir()) == lists
    assert sorted(path.name for path in host.folder.glob("catalog*")) == ["catalog"]


def test_a_copy_that_is_damaged_is_not_replaced_by_less(host: TapeHost, copies: TapeHost) -> None:
    """Nobody knows which archives it had, but which tape."""
    take(copies, sent(host))
    (copy(copies) / "tapes" / "B.json").write_text("{")
    take(copies, sent(host))  # it is whole again
    (copy(copies) / "tapes" / "B.json").write_text("{")
    (host.catalog_dir / "tapes" / "B.json").unlink()
    said = refused(copies, sent(host))
    assert said.startswith("the copy of tape1's catalog has tape B, but the catalog that was sent does not: ")
    take(copies, sent(host), accept_catalog=True)
