# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels: what is never written over, what may be by whom, and tapes that expire."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem as problems
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import label as labels
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import virtual
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
MAGIC = b"socketpipe tape label "


def mark(data: bytes) -> str:
    return hashlib.sha256(data[:512]).hexdigest()[:12]


def test_a_label_says_how_to_do_without_us() -> None:
    made = labels.make("WEEK01", 262144, "X1L6", "tape1")
    block = labels.block_of(made)
    assert len(block) == 8192
    assert labels.parse(block) == made
    text = block.decode("ascii")
    for words in ("mt-st -f DEV fsf 3", "dd if=DEV bs=262144 | tar -tvf -", "--listed-incremental=/dev/null"):
        assert words in text
    assert made["id"] != labels.make("WEEK01", 262144, "X1L6", "tape1")["id"]
    with pytest.raises(problems.Problem, match="the label does not fit in 8192 bytes: give a shorter name"):
        labels.block_of(labels.make("W", 512, "x" * 9000, "h"))


GOOD: dict[str, Any] = {"format": 1, "label": "A", "id": "0123", "block_size": 512, "barcode": ""}
GOOD.update(labelled="2026-11-01T00:00:00Z", host="tape1")


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\0" * 8192,
        MAGIC + b"1\n",
        MAGIC + b"1\n{",
        MAGIC + b"1\n[]\n",
        MAGIC + b"1\n\xff\n",
        MAGIC + b"1\n" + b"[" * 8000,
        *(
            MAGIC + b"1\n" + json.dumps({**GOOD, **change}).encode() + b"\n"
            for change in (
                {"format": 0},
                {"label": ""},
                {"label": "../../etc/x"},
                {"label": 5},
                {"id": ""},
                {"block_size": 0},
                {"block_size": "many"},
                {"block_size": "512"},
                {"id": ["0123"]},
                {"barcode": None},
                {"labelled": 5},
                {"host": None},
            )
        ),
        *(
            MAGIC + b"1\n" + json.dumps({key: GOOD[key] for key in GOOD if key != missing}).encode() + b"\n"
            for missing in GOOD
            if missing != "format"
        ),
    ],
)
def test_what_is_no_label_of_ours(block: bytes) -> None:
    assert labels.parse(block) is None
    assert labels.parse(MAGIC + b"1\n" + json.dumps(GOOD).encode() + b"\n") == GOOD


LTFS = (
    "an LTFS volume with two partitions, of which only the small first one would be used: remove the partitions first "
    "with mkltfs --wipe"
)
FOREIGN = [
    (b"AMANDA: TAPESTART DATE 20260101 TAPE DAILY-1\n", "a tape of Amanda"),
    (b"\0" * 12 + b"BB02" + b"\0" * 900, "a tape of Bacula or Bareos"),
    (b"VOL1WEEK01", "a tape with an ANSI label"),
    (b"VOL1A00001L" + b" " * 13 + b"LTFS" + b" " * 51 + b"4", LTFS),
    (archive("R1", "h1", pax=False), "a tar archive without a label"),
    (b"070701" + b"0" * 100, "a cpio archive"),
    (b"what is this", "data without a label"),
    (b"\0", "data without a label"),
    (MAGIC + b"1\n{damaged", "a damaged label of this collection"),
]


@pytest.mark.parametrize(("data", "name"), FOREIGN, ids=[name for _data, name in FOREIGN])
def test_a_foreign_tape(data: bytes, name: str, tape_host: Maker) -> None:
    host = tape_host(labelled=False)
    (host.tapes[0] / "000000").write_bytes(data)
    device = str(host.tapes[0])
    refused = "drive %s: its tape holds %s (fingerprint %s); nothing is written to it unless tape_label overwrites it"
    assert host.sink("R1", "h1").said == ("no drive has a writable tape: " + refused % (device, name, mark(data)))
    assert host.ok("inventory")["drives"][0]["message"] == (refused % (device, name, mark(data))).split(": ", 1)[1]
    ask = "to overwrite it, set tape_overwrite=" + mark(data)
    words = ["label", "--label", "A"]
    assert host.fails(*words) == "the tape in %s holds %s: %s" % (device, name, ask)
    for proof in ("yes", mark(data).upper(), mark(data)[:-1], mark(data) + " ", "A"):
        said = host.fails(*words, "--overwrite", proof)
        assert said.endswith("%s is neither its fingerprint nor its barcode; %s" % (proof, ask))
    assert (host.tapes[0] / "000000").read_bytes() == data
    assert host.ok(*words, "--overwrite", mark(data))["label"] == "A"
    assert host.sink("R1", "h1").answer["file"] == 1


@pytest.mark.parametrize("names", [["000001"], ["notes.txt"], ["000000", "000001"]])
def test_a_directory_that_has_something_and_no_label(names: list[str], tape_host: Maker) -> None:
    host = tape_host(labelled=False)
    for name in names:
        (host.tapes[0] / name).write_bytes(b"")
    said = host.fails("label", "--label", "A")
    assert said.startswith("the tape in %s holds data without a label: " % host.tapes[0])
    assert "holds data without a label" in host.sink("R1", "h1").said
    # what lets this one be overwritten is no proof for the next
    proof = said.split("tape_overwrite=")[1]
    (host.tapes[0] / "000007").write_bytes(b"")
    assert "is neither its fingerprint" in host.fails("label", "--label", "A", "--overwrite", proof)


def test_a_blank_tape(tape_host: Maker) -> None:
    host = tape_host(labelled=False)
    assert host.sink("R1", "h1").said.endswith("its tape is blank: label it with tape_label")
    made = host.ok("label", "--label", "A", "--barcode", "X1L6")
    assert {key: made[key] for key in ("label", "barcode", "block_size")} == {
        "label": "A",
        "barcode": "X1L6",
        "block_size": 4096,
    }
    assert host.ok("label", "--label", "A")["barcode"] == "X1L6"  # there is nothing on it, and it keeps its barcode
    assert host.tape()["id"] != made["id"]


def archives_of(tape: str) -> str:
    return "1 archive of tape %s, some of which are within their retention" % tape


@pytest.mark.parametrize("reuse", ["scratch", "expired", "never"])
@pytest.mark.parametrize("name", ["A", "NEW"])
def test_a_tape_with_archives(name: str, reuse: str, tape_host: Maker) -> None:
    host = tape_host(labelled=False, reuse=reuse)
    host.ok("label", "--label", "A", "--barcode", "X1L6")
    host.backup("R1", "h1")
    words = ["label", "--label", name]
    if reuse == "never":
        assert host.fails(*words, "--overwrite", "X1L6") == "tape A contains archives, and tape_reuse is never"
        return
    block = (host.tapes[0] / "000000").read_bytes()
    ask = "to overwrite it, set tape_overwrite=%s, or its barcode X1L6" % mark(block)
    assert host.fails(*words) == "the tape in %s holds %s: %s" % (host.tapes[0], archives_of("A"), ask)
    host.ok(*words, "--overwrite", "X1L6" if name == "A" else mark(block))
    assert [tape["label"] for tape in host.ok("inventory")["tapes"]] == [name]
    assert (host.tape(name)["archives"], host.ok("inventory")["drives"][0]["message"]) == ([], "")
    assert host.fails("chain", "--host", "h1").endswith("has archives of: no host")
    assert not (host.tapes[0] / "000001").exists()


def two_hosts(tape_host: Maker) -> tuple[TapeHost, TapeHost]:
    """Two catalogs that know nothing of each other, each of which has a tape A with an archive."""
    ours, theirs = tape_host(labelled=False), tape_host(labelled=False)
    for host, barcode in ((ours, "OURS"), (theirs, "THEIRS")):
        host.ok("label", "--label", "A", "--barcode", barcode)
        host.backup("R1", "h1")
    return ours, theirs


def test_a_tape_of_another_catalog(tape_host: Maker) -> None:
    ours, theirs = tape_host(tapes=1, labelled=False), tape_host()
    theirs.backup("R1", "h1")
    device = str(theirs.tapes[0])
    assert ours.sink("R1", "h1", devices=[device]).said.endswith(
        "its tape A is not in the catalog %s: tape_inventory with tape_rebuild adds it to the catalog"
        % ours.catalog_dir
    )
    said = ours.fails("label", "--label", "B", devices=[device])
    assert said.startswith("the tape in %s holds tape A, which is not in this catalog: to overwrite it, " % device)


def test_another_tape_of_the_same_name(tape_host: Maker) -> None:
    """The known one is on the shelf: nothing that is done to this one touches what the catalog has of it."""
    ours, theirs = two_hosts(tape_host)
    before = ours.tape()
    device = str(theirs.tapes[0])
    ours.settings["devices"] = [device]
    assert "its tape is labelled A, but is not the A of the catalog (labelled 20" in ours.sink("R2", "h1").said
    assert ours.fails("source", "--tape", "A", "--file", "1").startswith("tape A (barcode OURS) is in no drive: ")
    proof = mark((theirs.tapes[0] / "000000").read_bytes())
    taken = "the catalog already has another tape A, labelled %s: choose another name, or remove %s"
    assert ours.fails("label", "--label", "A", "--overwrite", proof).startswith(
        taken % (before["labelled"], ours.catalog_dir / "tapes" / "A.json")
    )
    # the barcode of the one on the shelf says nothing of this one
    assert "OURS is neither its fingerprint" in ours.fails("label", "--label", "B", "--overwrite", "OURS")
    rebuilt = ours.ok("inventory", "--rebuild")
    assert rebuilt["drives"][0]["message"].startswith("the catalog has another tape A, labelled ")
    assert ours.ok("label", "--label", "B", "--overwrite", "THEIRS")["barcode"] == "THEIRS"
    assert ours.tape() == before
    assert [each["tape"] for each in ours.ok("chain", "--host", "h1")["archives"]] == ["A"]


def past(host: TapeHost, label: str = "A", runs: tuple[str, ...] = ()) -> None:
    """Let the archives of these runs be past their retention, of all if none are named."""

    def change(tape: dict[str, Any]) -> None:
        for each in tape["archives"]:
            if not runs or each["run"] in runs:
                each["keep_until"] = time.time() - 1

    host.edit(label, change)


@pytest.mark.parametrize("reuse", ["scratch", "never", "expired"])
def test_an_expired_tape(reuse: str, tape_host: Maker) -> None:
    host = tape_host(reuse=reuse, lease=0, expire_last=True)
    host.backup("R1", "h1")
    host.backup("R2", "h1")
    past(host, runs=("R1",))
    assert host.ok("inventory")["tapes"][0]["expired"] is False
    host.backup("R3", "h1")
    past(host)
    assert host.ok("inventory")["tapes"][0]["expired"] is True
    before = host.tape()
    entry = host.sink("R4", "h2").answer
    if reuse == "expired":
        assert (entry["file"], host.states()) == (1, [(1, "h2", "written")])
        assert host.tape()["id"] != before["id"]
        assert host.files() == [archive("R4", "h2")]
    else:
        assert (entry["file"], host.tape()["id"]) == (4, before["id"])


def test_the_last_good_archive_of_a_host_does_not_expire(tape_host: Maker) -> None:
    """Whatever came of the backups of the last weeks; and a sentence says why the tape is not written."""
    host = tape_host(2, reuse="expired", lease=0, capacity=8192 + 3 * 4096)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h2", on="B")
    past(host)
    tapes = host.ok("inventory")["tapes"]
    assert [(tape["expired"], tape["last_of"]) for tape in tapes] == [(False, ["h1"]), (False, [])]
    host.edit("A", lambda tape: tape.update(full=True))
    said = host.sink("R3", "h2", labels=["A"]).said
    assert "its tape A is full, and has the last good archive of h1 (set tape_expire_last to reuse it); drive " in said
    host.edit("A", lambda tape: tape.update(full=False))
    said = host.run("sink", "--run", "R3", "--host", "h2", "--expect", 5000, labels=["A"]).said
    assert "its tape A has less than 4.9 KiB left, and has the last good archive of h1 (set tape_exp" in said
    said = host.fails("label", "--label", "A", "--device", host.tapes[0])
    assert "holds 1 archive of tape A, among them the last good one of h1: to overwrite it, " in said
    assert host.sink("R3", "h2", labels=["A"], expire_last=True).answer["file"] == 1
    # as soon as there is another one it goes
    host = tape_host(2, reuse="expired", lease=0)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h1", on="B")
    past(host)
    assert host.sink("R3", "h1", labels=["A"]).answer["file"] == 1


def test_a_base_is_kept_for_its_increments(tape_host: Maker) -> None:
    host = tape_host(2, reuse="expired", lease=0, expire_last=True)
    host.backup("R1", "h1", on="A")
    host.backup("R2", "h1", 1, "R1", on="B")
    past(host, "A")
    assert [tape["expired"] for tape in host.ok("inventory")["tapes"]] == [False, False]
    assert host.sink("R3", "h2", labels=["A"]).answer["file"] == 2
    past(host, "A")
    past(host, "B")
    assert [tape["expired"] for tape in host.ok("inventory")["tapes"]] == [True, True]


def test_a_run_does_not_write_over_itself(tape_host: Maker) -> None:
    """However short the retention is, and whatever comes of the archives."""
    host = tape_host(reuse="expired", retention="0d", expire_last=True)
    for number, data in enumerate((archive("R1", "h1"), b"x", archive("R1", "h3")), 1):
        host.sink("R1", "h%d" % number, data)
    assert host.states() == [(1, "h1", "written"), (2, "h2", "failed"), (3, "h3", "written")]
    assert host.ok("finish", "--run", "R1")["warnings"] == []
    assert len(host.states()) == 4
    assert host.sink("R2", "h1").answer["file"] == 1


def test_a_full_tape_that_expires(tape_host: Maker) -> None:
    host = tape_host(reuse="expired", expire_last=True, lease=0, capacity=8192 + 3 * 4096)
    host.backup("R1", "h1")
    assert host.sink("R2", "h2").status == 1
    assert host.tape()["full"]
    past(host)
    assert host.sink("R3", "h2").answer["file"] == 1
    assert not host.tape()["full"]


# the catalog is an old one: whoever begins a tape afresh looks at it first

MORE = "tape A has more data than the catalog knows: there is data at tape file %d"


def older(host: TapeHost, number: int) -> None:
    """Bring a catalog back that is older than so many archives of tape A, all of which have expired."""
    host.edit("A", lambda tape: tape["archives"].__delitem__(slice(-number, None)))
    past(host)


@pytest.mark.parametrize("forgotten", [1, 2])
@pytest.mark.parametrize("how", ["expired", "empty", "named", "interrupted", "reclaim"])
def test_what_an_old_catalog_does_not_know_is_not_overwritten(how: str, forgotten: int, tape_host: Maker) -> None:
    host = tape_host(labelled=False, reuse="expired", expire_last=True, lease=0)
    host.ok("label", "--label", "A", "--barcode", "X1L6")
    for number in range(1, 4):
        host.backup("R%d" % number, "h1")
    older(host, forgotten if how != "empty" else 3)
    first = 4 - forgotten if how != "empty" else 1
    before = host.files()
    words = ["label", "--label", "A"]
    if how == "expired":
        said = host.sink("R9", "h9").said
        assert said == MORE % first + ": nothing was written; tape_inventory with tape_rebuild adds it to the catalog"
    elif how == "interrupted":  # somebody has begun to begin it afresh, and has not looked
        relabelling = {"id": "0123456789abcdef", "labelled": ""}
        host.edit("A", lambda tape: tape.update(archives=[], relabelling=relabelling, former_end=first))
        assert host.sink("R9", "h9").said.startswith(MORE % first)
    elif how == "reclaim":
        host.edit("A", lambda tape: tape["archives"][-1].update(state="failed", keep_until=2**40))
        assert host.sink("R9", "h9", reclaim=True, reuse="scratch").said.startswith(MORE % first)
    else:
        said = host.fails(*words)
        assert (
            MORE % first + ": tape_inventory with tape_rebuild adds it to the catalog; to overwrite it, set tape_over"
            in said
        )
        assert "X1L6 is neither its fingerprint nor its barcode" in host.fails(*words, "--overwrite", "X1L6")
        known = mark((host.tapes[0] / "000000").read_bytes())
        assert " is neither its fingerprint nor its barcode" in host.fails(*words, "--overwrite", known)
        assert host.fails(*words, reuse="never") == "tape A contains archives, and tape_reuse is never"
    assert host.files() == before
    # what a rebuild has read in is a tape like any other; and whoever has read that there is more may have his way
    if how == "named":
        host.ok(*words, "--overwrite", said.split("tape_overwrite=")[1].split(",")[0])
        assert host.files() == []
    elif how != "reclaim":
        host.ok("inventory", "--rebuild")
        assert [each["run"] for each in host.tape()["archives"]] == ["R1", "R2", "R3"]
        assert host.sink("R9", "h9").answer["file"] == 4


def test_a_tape_that_has_less_than_the_catalog_knows_may_go(tape_host: Maker) -> None:
    host = tape_host(reuse="expired", expire_last=True, lease=0)
    for number in range(1, 4):
        host.backup("R%d" % number, "h1")
    past(host)
    (host.tapes[0] / "000003").unlink()
    assert host.sink("R9", "h9").answer["file"] == 1


def test_a_tape_of_which_nobody_knows_where_it_ends(tape_host: Maker) -> None:
    """It takes the word of somebody who has read that."""
    host = tape_host(lease=0)

    def patch() -> None:

        def at_end(self: Any, number: int) -> bool:
            raise problem.Problem("drive x cannot read", kind=problem.UNREADABLE)

        virtual.VirtualTape.at_end = at_end

    words = ["label", "--label", "A"]
    done = host.run(*words, before=patch)
    assert (done.status, "; but the end of its data cannot be found (drive x cannot read)" in done.said) == (1, True)
    host.ok(*words, "--overwrite", done.said.split("tape_overwrite=")[1])


def test_two_tapes_of_one_name_at_once(tape_host: Maker, tmp_path: Path) -> None:
    host = tape_host(2, labelled=False)
    host.ok("label", "--label", "A", "--device", host.tapes[0])
    said = host.fails("label", "--label", "A", "--device", host.tapes[1])
    assert said.startswith("the catalog already has another tape A, labelled ")
    assert list(host.tapes[1].iterdir()) == []
    assert host.fails("label", "--label", "B").startswith("tape_device is required: set it to one of: ")
