# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of the format of labels and of catalog files: older ones are read, and newer ones are left alone."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import NEWER, Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import records
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import label as labels
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
NEXT = records.FORMAT + 1
READS = f" has format {NEXT}, but this version of the collection reads only formats up to {records.FORMAT}: "
READS_LABEL = "the tape has a label of format %d, but this version of the collection reads only formats up to 1: "
UPGRADE = "upgrade the collection plumbing.socketpipe on the controller; nothing was changed"


def catalog_file(host: TapeHost, label: str = "A") -> Path:
    return host.catalog_dir / "tapes" / (label + ".json")


def newer(host: TapeHost, label: str = "A") -> str:
    """Let a later version have written the file of a tape, in a way that nobody can read today."""
    catalog_file(host, label).write_text('{"format": %d, "tape": "%s", "entries": {}}' % (NEXT, label))
    return "%s%s%s" % (catalog_file(host, label), READS, UPGRADE)


@pytest.mark.parametrize("change", [lambda tape: tape.pop("format"), lambda tape: tape.update(format=2)])
def test_a_catalog_of_an_older_version(change: Callable[[dict[str, Any]], object], tape_host: Maker) -> None:
    """The first ones had none.  It is read, and has the newest format after the next change."""
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.edit("A", lambda tape: change(tape) and None)
    before = catalog_file(host).read_bytes()
    assert host.ok("chain", "--host", "h1")["archives"][0]["run"] == "R1"
    assert host.ok("inventory")["warnings"] == []
    assert catalog_file(host).read_bytes() == before  # whoever only reads changes nothing
    host.sink("R2", "h1")
    assert host.tape()["format"] == records.FORMAT == 3


@pytest.mark.parametrize("number", [0, -1, 1.0, True, "1", None])
def test_a_version_that_is_none(number: Any, tape_host: Maker) -> None:
    host = tape_host()
    host.edit("A", lambda tape: tape.update(format=number))
    assert "is damaged (it has no valid format)" in host.ok("inventory")["warnings"][0]


def test_a_newer_catalog_is_read_by_nobody(tape_host: Maker) -> None:
    host = tape_host(2, lease=0)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h1", on="B")
    said = newer(host)
    request = json.dumps({"run": "R9", "hosts": {"h1": {}}}).encode()
    for words, data in (["inventory"], b""), (["plan"], request), (["chain", "--host", "h1"], b""), (["info"], b""):
        assert said in host.ok(*words, data=data)["warnings"]
    assert host.backup("R3", "h1")["tape"] == "B"


def test_a_newer_catalog_is_overwritten_by_nobody(tape_host: Maker) -> None:
    host = tape_host(2, lease=0, reuse="expired", retention="0d", expire_last=True)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h1", on="B")
    for run in ("R1", "R2"):  # copies of the catalog are on both tapes
        host.ok("finish", "--run", run)
    drive = {"devices": [str(host.tapes[0])]}
    said = newer(host)
    before = catalog_file(host).read_bytes(), host.files("A")
    assert said in host.fails("sink", "--run", "R4", "--host", "h1", data=archive("R4", "h1"), **drive)
    for name in ("A", "NEW"):
        for proof in ([], ["--overwrite", labels.fingerprint((host.tapes[0] / "000000").read_bytes())]):
            assert host.fails("label", "--label", name, "--device", host.tapes[0], *proof) == said
    assert host.ok("inventory", "--rebuild", **drive)["drives"][0]["message"] == said
    assert said in host.fails("source", "--tape", "A", "--file", 1)
    # and by no copy of it that another tape has
    assert host.ok("inventory", "--rebuild", devices=[str(host.tapes[1])])["drives"][0]["message"] == said
    assert (catalog_file(host).read_bytes(), host.files("A")) == before
    assert not list(catalog_file(host).parent.glob("*.damaged"))


def sent(host: TapeHost) -> bytes:
    """The catalog of a host, as it is sent to others."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(host.catalog_dir / "tapes", "tapes")
    return out.getvalue()


def test_a_newer_catalog_is_not_taken_from_others(tape_host: Maker) -> None:
    host = tape_host(2, lease=0)
    whole = sent(host)
    newer(host)
    words = ["keep", "--of", "tape1"]
    assert (READS + UPGRADE) in host.fails(*words, data=sent(host), accept_catalog=True)
    answer = host.ok(*words, data=whole)
    copy = Path(answer["copy"]) / "tapes" / "A.json"
    copy.write_bytes(catalog_file(host).read_bytes())
    # nor does one that this version understands take the place of its copy
    assert host.fails(*words, data=whole, accept_catalog=True) == "%s%s%s" % (copy, READS, UPGRADE)
    assert host.ok("inventory")["warnings"]
    data = sent(host)
    host.forget()
    assert (READS + UPGRADE) in host.fails("import", data=data)
    assert not (host.catalog_dir / "tapes").exists()


def test_a_copy_on_a_tape_that_is_newer(tape_host: Maker) -> None:
    host = tape_host(2, lease=0)
    host.backup("R1", "h1", on="A")
    newer(host, "B")
    host.ok("finish", "--run", "R1")
    catalog_file(host, "A").unlink()
    catalog_file(host, "B").unlink()
    said = host.ok("inventory", "--rebuild", devices=[str(host.tapes[0])])["drives"][0]["message"]
    assert said == "the copy of a catalog on this tape%s%s" % (READS, UPGRADE)
    assert not list(catalog_file(host).parent.iterdir())


@pytest.mark.parametrize("where", ["magic", "json"])
def test_a_newer_label(where: str, tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    path = host.tapes[0] / "000000"
    old, new = (labels.MAGIC, labels.OURS + b"12\n") if where == "magic" else (b'"format": 1', b'"format": 9')
    block = path.read_bytes().replace(old, new)
    path.write_bytes(block)
    said = READS_LABEL % (12 if where == "magic" else 9) + UPGRADE
    assert said in host.fails("sink", "--run", "R2", "--host", "h1", data=archive("R2", "h1"))
    for proof in ([], ["--overwrite", labels.fingerprint(block)]):
        assert host.fails("label", "--label", "A", *proof) == said
    assert host.ok("inventory", "--rebuild")["drives"][0]["message"] == said
    assert path.read_bytes() == block


@pytest.mark.parametrize("change", [lambda label: label.pop("format"), lambda label: label.update(format=1)])
def test_an_older_label(change: Callable[[dict[str, Any]], object]) -> None:
    label = labels.make("A", 4096, "", "h1")
    change(label)
    assert labels.parse(labels.block_of(label)) == label


@pytest.mark.parametrize(
    "block",
    [
        labels.OURS,
        labels.OURS + b"1",
        labels.OURS + b"1\n",
        labels.OURS + b"0\n{}\n",
        labels.OURS + b"x\n{}\n",
        labels.MAGIC + b"5\n",
        labels.block_of(dict(labels.make("A", 4096, "", "h1"), format="2")),
        labels.block_of(dict(labels.make("A", 4096, "", "h1"), format=True)),
        labels.block_of(dict(labels.make("A", 4096, "", "h1"), format=0)),
        labels.block_of(dict(labels.make("A", 4096, "", "h1"), label="../A")),
    ],
)
def test_a_damaged_label(block: bytes) -> None:
    assert labels.parse(block) is None
    assert labels.describe(block) == "a damaged label of this collection"


def test_the_kind_of_it() -> None:
    for call in (
        lambda: labels.parse(labels.block_of(dict(labels.make("A", 4096, "", "h1"), format=2))),
        lambda: records.parse(b'{"format": 99}', "A", "A.json"),
    ):
        with pytest.raises(Problem) as caught:
            call()
        assert caught.value.kind == NEWER
