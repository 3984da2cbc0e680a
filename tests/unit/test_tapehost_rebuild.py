# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog from the tapes alone, and from the copies of it that are on them."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem as problems
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.commands import rebuild as rebuilds
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import mtio, virtual
from ansible_collections.plumbing.socketpipe.tests.unit.archives import BLOCK, archive, tar_of
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
LABEL = {"label": "A", "block_size": 4096, "host": "tape1"}
NAMED = [
    ("R1 h1 0 2026-11-01T01:00:00Z", ("archive", "R1", "h1", "all", 0, "2026-11-01T01:00:00Z", "written")),
    ("R1 h1 2 2026-11-01T01:00:00Z www", ("archive", "R1", "h1", "www", 2, "2026-11-01T01:00:00Z", "written")),
    ("R1 bücher 0 2026-11-01T01:00:00Z", ("archive", "R1", "bücher", "all", 0, "2026-11-01T01:00:00Z", "written")),
    ("catalog R1 2026-11-01T01:00:00Z", ("catalog", "R1", "tape1", "all", 0, "2026-11-01T01:00:00Z", "written")),
]
UNKNOWN = [
    "",
    "backup of monday",
    "R1 h1 0",
    "R1 h1 10 2026-11-01T01:00:00Z",
    "R1 h1 x 2026-11-01T01:00:00Z",
    "R1 h1 ² 2026-11-01T01:00:00Z",
    "R1 h1  2026-11-01T01:00:00Z",
    "R1 h1 0 yesterday",
    "../R1 h1 0 2026-11-01T01:00:00Z",
    "R1 ../h1 0 2026-11-01T01:00:00Z",
    "R1 h1 0 2026-11-01T01:00:00Z ../www",
]


@pytest.mark.parametrize("pax", [True, False], ids=["posix", "gnu"])
@pytest.mark.parametrize(("name", "expected"), NAMED)
def test_what_an_archive_says_of_itself(name: str, expected: tuple[Any, ...], pax: bool) -> None:
    entry = rebuilds.archive_of(tar_of(name, pax=pax)[:BLOCK], 3, LABEL)
    assert tuple(entry[key] for key in ("kind", "run", "host", "set", "level", "time", "state")) == expected
    assert (entry["file"], entry["block_size"], entry["bytes"], entry["base"]) == (3, BLOCK, None, None)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_archive_that_is_not_ours(name: str) -> None:
    entry = rebuilds.archive_of(tar_of(name)[:BLOCK] if name else b"what is this?", 3, LABEL)
    assert (entry["run"], entry["host"], entry["state"]) == ("unknown", "unknown", "failed")


def test_a_drive_without_a_tape_is_not_read() -> None:
    """It would be waited for, for two minutes."""
    empty = mtio.Status(False, False, -1, -1, False, True)
    drive = SimpleNamespace(path="/dev/nst0", status=lambda: empty)  # and no more may be asked of it
    with pytest.raises(problems.Problem) as raised:
        rebuilds.rebuild(SimpleNamespace(drive=drive, catalog=None))
    assert str(raised.value) == "there is no tape in /dev/nst0"


def sure(host: TapeHost, **more: Any) -> dict[str, Any]:
    answer = host.ok("inventory", "--rebuild", **more)
    assert [drive["message"] for drive in answer["drives"]] == [""] * len(host.tapes)
    return answer


@pytest.mark.parametrize("pax", [True, False], ids=["posix", "gnu"])
def test_from_the_tape_alone(pax: bool, tape_host: Maker) -> None:
    host = tape_host(lease=0)
    datas = {run: archive(run, "h1", level, pax=pax) for run, level in (("R1", 0), ("R2", 1), ("R4", 2), ("R5", 1))}
    host.sink("R1", "h1", datas["R1"])
    host.sink("R2", "h1", datas["R2"], 1, "R1")
    host.sink("R3", "h1", archive("R3", "h1", size=50_000)[:20_000])  # a whole one that failed on its way
    host.sink("R4", "h1", datas["R4"], 2, "R2")
    host.sink("R5", "h1", datas["R5"], 1, "R1")
    host.sink("R5", "h2", b"garbage")
    host.forget()
    assert sure(host)["rebuilt"] == [{"label": "A", "archives": 6, "added": 6}]
    assert [state for _file, _host, state in host.states()] == ["written"] * 5 + ["failed"]
    assert {each["block_size"] for each in host.tape()["archives"]} == {BLOCK}
    assert "has archives of: no host; h1 has 5 archives to be verified first: run verify" in host.fails(
        "chain", "--host", "h1"
    )
    answer = host.ok("verify")
    assert [each["run"] for each in answer["failed"]] == ["R3"]
    assert [state for _file, _host, state in host.states()] == ["good", "good", "written", "good", "good", "failed"]
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R1", "R5"]
    assert [each["run"] for each in host.ok("chain", "--host", "h1", "--as-of", "R4")["archives"]] == ["R1", "R2", "R4"]
    assert host.run("source", "--tape", "A", "--file", 4).out == datas["R4"]
    assert sure(host)["rebuilt"] == [{"label": "A", "archives": 6, "added": 0}]
    assert host.sink("R6", "h1").answer["file"] == 7
    assert host.ok("inventory", reuse="expired")["tapes"][0]["expired"] is False


def test_from_the_copy_on_the_tape(tape_host: Maker) -> None:
    """What the copy knows is all there again, the failed ones too; of what came after it the tape tells."""
    host = tape_host(2, lease=0)
    host.backup("R1", "h1", names=[b"./etc/first"])
    host.sink("R1", "h2", archive("R1", "h2")[:-1])
    host.ok("finish", "--run", "R1")
    host.backup("R2", "h1", 1, "R1", names=[b"./etc/second"])
    host.backup("R2", "h3", on="B")
    host.ok("finish", "--run", "R2")
    host.sink("R3", "h1", level=2, base="R2")
    before = {label: host.tape(label) for label in "AB"}
    host.forget()
    sure(host)
    for label in "AB":
        after = host.tape(label)
        for old, new in zip(before[label]["archives"], after["archives"], strict=True):
            if old["run"] != "R3" and (old["kind"] != "catalog" or old["run"] == "R1"):
                assert new == old
    assert host.states("A") == [
        (1, "h1", "good"),
        (2, "h2", "failed"),
        (3, before["A"]["archives"][2]["host"], "good"),
        (4, "h1", "good"),
        (5, before["A"]["archives"][4]["host"], "written"),
        (6, "h1", "written"),
    ]
    assert [each["file"] for each in host.ok("find", "--path", "/etc/first")["found"]] == [1]
    assert [each["file"] for each in host.ok("find", "--path", "/etc/second")["found"]] == [4]
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R1", "R2"]
    host.ok("verify")
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R1", "R2", "R3"]


def test_one_tape_tells_of_the_others(tape_host: Maker) -> None:
    host = tape_host(2, lease=0)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h1", 1, "R1", on="B")
    host.ok("finish", "--run", "R2")
    before = host.tape("A")
    host.forget()
    host.ok("inventory", "--rebuild", devices=[str(host.tapes[1])])
    assert host.tape("A") == before
    assert host.ok("chain", "--host", "h1")["tapes"] == ["A", "B"]


@pytest.mark.parametrize("order", ["AB", "BA"])
def test_a_base_on_another_tape(order: str, tape_host: Maker) -> None:
    host = tape_host(2, lease=0)
    for run, level, label in (("R1", 0, "A"), ("R2", 1, "B"), ("R3", 2, "A"), ("R4", 2, "B")):
        assert host.sink(run, "h1", archive(run, "h1", level), level, "R0", labels=[label]).status == 0
    host.forget()
    for label in order:
        host.ok("inventory", "--rebuild", devices=[str(host.folder / label)])
    host.ok("verify")
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R1", "R2", "R4"]


def test_what_the_catalog_did_not_know(tape_host: Maker) -> None:
    """An archive that was written with another catalog: after a rebuild the next one follows it."""
    host = tape_host()
    host.backup("R1", "h1")
    (host.tapes[0] / "000002").write_bytes(archive("R2", "h2"))
    assert host.sink("R1", "h3").said.startswith("tape A has more data than the catalog knows")
    assert sure(host)["rebuilt"] == [{"label": "A", "archives": 2, "added": 1}]
    assert host.states() == [(1, "h1", "good"), (2, "h2", "written")]
    assert host.sink("R1", "h3").answer["file"] == 3


def test_a_catalog_that_is_damaged(tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R1", "h1")
    path = host.catalog_dir / "tapes" / "A.json"
    path.write_text("{")
    sure(host)
    assert host.states() == [(1, "h1", "written")]
    assert path.with_name("A.json.damaged").read_text() == "{"


def copy_of(files: dict[str, bytes]) -> bytes:
    """A copy of a catalog, as it is on a tape."""
    out = io.BytesIO()
    headers = {"GNU.volume.label": "catalog R1 2026-11-01T01:00:00Z"}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as made:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def other(**change: Any) -> bytes:
    """What a catalog says of a tape."""
    entry = {
        "kind": "archive",
        "run": "R1",
        "host": "h1",
        "set": "all",
        "level": 0,
        "time": "2026-11-01T01:00:00Z",
        "file": 1,
        "state": "good",
        "block_size": 4096,
        "keep_until": 0,
        "bytes": 5,
        "sha256": None,
        "base": None,
    }
    entry.update(change.pop("entry", {}))
    tape = {"label": "X", "id": "1", "barcode": "", "block_size": 4096, "labelled": "", "full": False}
    return json.dumps({**tape, "archives": [entry], **change}).encode()


COPIES = [
    (copy_of({"tapes/X.json": other()}), ["A", "X"]),
    (copy_of({"tapes/X.json": other()})[:1700], ["A"]),
    (copy_of({"tapes/X.json": b"x" * 9000})[:5000], ["A"]),
    (copy_of({"tapes/X.json": b"{"}), ["A"]),
    (copy_of({"tapes/X.json": b"[]"}), ["A"]),
    (copy_of({"tapes/X.json": b"[" * 100_000}), ["A"]),
    (copy_of({"tapes/X.json": other(label="../../X")}), ["A"]),
    (copy_of({"tapes/X.json": other(archives=5)}), ["A"]),
    (copy_of({"tapes/X.json": other(archives=[5])}), ["A"]),
    (copy_of({"tapes/X.json": other(entry={"run": "../R"})}), ["A"]),
    (copy_of({"tapes/X.json": other(entry={"time": "then"})}), ["A"]),
    (copy_of({"tapes/X.json": other(entry={"bytes": "5"})}), ["A"]),
    (copy_of({"lists/../x.gz": b"x", "lists/../../x": b"x", "lists/R1/../../x": b"x", "/lists/R1/x": b"x"}), ["A"]),
]


@pytest.mark.parametrize(("data", "tapes"), COPIES)
def test_a_copy_that_is_damaged_or_anybodys(data: bytes, tapes: list[str], tape_host: Maker) -> None:
    host = tape_host()
    (host.tapes[0] / "000001").write_bytes(data)
    (host.tapes[0] / "000002").write_bytes(archive("R1", "h1"))
    sure(host)
    assert [tape["label"] for tape in host.ok("inventory")["tapes"]] == tapes
    assert [each["kind"] for each in host.tape()["archives"]] == ["catalog", "archive"]
    outside = {path.name for path in (*host.folder.iterdir(), *host.catalog_dir.iterdir())}
    assert not outside & {"x", "x.gz", "X.json"}


def test_a_copy_that_knows_of_itself(tape_host: Maker) -> None:
    """It was being written when it was made; it may know of its own entry, or not."""
    host = tape_host()
    own = host.tape()["id"]
    data = other(label="A", id=own, entry={"kind": "catalog", "state": "writing", "problem": "?"})
    (host.tapes[0] / "000001").write_bytes(copy_of({"tapes/A.json": data}))
    host.forget()
    sure(host)
    assert [(each["kind"], each["state"]) for each in host.tape()["archives"]] == [("catalog", "written")]


def test_what_is_known_is_not_replaced(tape_host: Maker) -> None:
    """A copy is older than the catalog."""
    host = tape_host(2, lease=0)
    host.backup("R1", "h1", names=[b"./old"])
    host.backup("R1", "h2", on="B")
    host.ok("finish", "--run", "R1")
    before = host.tape("A"), host.tape("B")
    host.edit("B", lambda tape: tape["archives"][0].update(state="failed"))
    host.edit("A", lambda tape: tape["archives"][0].update(verified={"time": "", "ok": False}))
    changed = host.tape("A"), host.tape("B")
    assert changed != before
    sure(host)
    assert (host.tape("A"), host.tape("B")) == changed


# what an older catalog, an older copy, or a bad spot on the tape must not take away


def test_of_several_copies_the_newest_counts(tape_host: Maker) -> None:
    """A has copies of three states of B; what B's own catalog file has is not taken away by any of them."""
    host = tape_host(2, lease=0)
    files = []
    for run in ("R1", "R2", "R3"):
        host.backup(run, "h1", on="B")
        host.backup(run, "h2", on="A")
        files.append((host.catalog_dir / "tapes" / "B.json").read_text())
        host.ok("finish", "--run", run, devices=[str(host.tapes[0])])
    last = host.tape("B")
    for known, first in ((None, 0), (files[0], 1), (files[1], 2)):
        host.forget()
        if known:
            (host.catalog_dir / "tapes").mkdir(parents=True)
            (host.catalog_dir / "tapes" / "B.json").write_text(known)
            host.edit("B", lambda tape: tape["archives"][0].update(verified={"time": "", "ok": False}))
        host.ok("inventory", "--rebuild", devices=[str(host.tapes[0])])
        assert host.tape("B")["archives"][first:] == last["archives"][first:]
        assert host.states("B") == [(1, "h1", "good"), (2, "h1", "good"), (3, "h1", "good")]
        assert ("verified" in host.tape("B")["archives"][0]) == (known is not None)
        assert len(host.ok("find", "--path", "/etc/hosts")["found"]) == 6


def unreadable(numbers: tuple[int, ...], how: str) -> Callable[[], None]:
    """Have the first records of these tape files unreadable, as a drive tells it."""

    def patch() -> None:
        read_first = virtual.VirtualTape.read_first

        def read(self: Any, number: int) -> Any:
            if number not in numbers:
                return read_first(self, number)
            if how == "problem":
                raise problem.Problem("drive %s returns an input/output error" % self.path)
            if how == "error":
                raise OSError(5, "Input/output error")
            return b""

        virtual.VirtualTape.read_first = read

    return patch


@pytest.mark.parametrize("how", ["problem", "error", "nothing"])
@pytest.mark.parametrize("numbers", [(1,), (3,), (5,), (3, 4), (3, 4, 5)])
@pytest.mark.parametrize("known", [True, False])
def test_a_read_error_is_not_the_end(known: bool, numbers: tuple[int, ...], how: str, tape_host: Maker) -> None:
    host = tape_host(lease=0)
    for number in range(1, 6):
        host.backup("R%d" % number, "h1")
    before = host.tape()
    if not known:
        host.forget()
    done = host.run("inventory", "--rebuild", before=unreadable(numbers, how))
    assert (done.status, done.out) == (1, b"")
    assert done.said.startswith("tape A could not be read: tape file %d: " % numbers[0])
    assert "the catalog keeps its entries (added: " in done.said
    if known:
        assert host.tape() == before
        return
    read = [number for number in range(1, 6) if number not in numbers and (len(numbers) == 1 or number < numbers[0])]
    states = {each["file"]: each["state"] for each in host.tape()["archives"]}
    assert [number for number, state in states.items() if state == "written"] == read
    assert list(states) == list(range(1, len(states) + 1))  # one that cannot be read has its place
    # where the end was not seen, nothing is appended before it is
    said = host.sink("R9", "h9")
    assert said.status == 0 if len(states) == 5 else "tape A has more data than the catalog knows" in said.said


def test_an_archive_that_another_one_has_replaced(tape_host: Maker) -> None:
    """Two catalogs have written to one tape: what is on it counts, and what is not is named."""
    host = tape_host(lease=0)
    for number in (1, 2, 3):
        host.backup("R%d" % number, "h1")
    other = archive("R7", "h7")
    (host.tapes[0] / "000002").write_bytes(other)
    (host.tapes[0] / "000003").unlink()
    answer = sure(host)
    assert host.states() == [(1, "h1", "good"), (2, "h7", "written")]
    gone = "tape A no longer has the archive of h1 (set all) of run R%d in tape file %d: it was overwritten elsewhere"
    assert answer["warnings"] == [
        gone % (2, 2),
        gone % (3, 3),
        "1 archive of tape A is not known to be good until verify has read it: tape_of_tape=A",
    ]
    assert [each["run"] for each in host.tape()["lost"]] == ["R2", "R3"]
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R1"]
    assert host.sink("R8", "h8").answer["file"] == 3


def test_a_run_that_was_not_finished(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.backup("R1", "h2")
    host.forget()
    text = "2 archives of tape A are not known to be good until verify has read them: tape_of_tape=A"
    assert sure(host)["warnings"] == [text]
    assert "h1 has 1 archive to be verified first: run verify with tape_of_host=h1" in host.fails(
        "chain", "--host", "h1"
    )
    host.ok("verify")
    assert sure(host)["warnings"] == []


def test_there_is_nothing_to_rebuild_from(tape_host: Maker) -> None:
    host = tape_host(2, labelled=False)
    (host.tapes[1] / "000000").write_bytes(b"VOL1")
    messages = [drive["message"] for drive in host.ok("inventory", "--rebuild")["drives"]]
    end = "has no label of this collection: there is nothing to rebuild from"
    assert messages == ["the tape in %s %s" % (tape, end) for tape in host.tapes]
    shutil.rmtree(host.tapes[0])
    assert "No such file" in host.ok("inventory", "--rebuild")["drives"][0]["message"]
