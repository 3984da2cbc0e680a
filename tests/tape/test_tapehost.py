# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The program of the tape host on a real drive: whatever happens, the catalog is right and nothing is overwritten."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from tests.unit import pythons
from tests.unit.archives import archive

from .encryption import OFF, Sealed
from .guest import Guest
from .library import Library
from .medium import MEDIUM_ERROR, sense
from .tapehost import BLOCK, TapeHost, blocks

READ = 0x08


@pytest.fixture
def tapehost(guest: Guest, scratch: Path) -> TapeHost:
    return TapeHost(guest, scratch)


def sizes(library: Library, drive: int = 0) -> list[list[int]]:
    """Of the records of the tape in a drive, by tape file."""
    tape = library.drives[drive].tape
    assert tape is not None
    return [[len(record) for record in file] for file in tape.files()]


@pytest.mark.parametrize("version", ["", "3.6"], ids=["own", "3.6"])
def test_archives_follow_each_other_and_come_back(guest: Guest, scratch: Path, library: Library, version: str) -> None:
    """With the oldest Python, too: what the ioctls are given and give is bytes."""
    tapehost = TapeHost(guest, scratch, pythons.needed(version) if version else "")
    library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    first, second = blocks(3), blocks(2, fill=2)
    assert tapehost.sink("R1", "h1", first)["file"] == 1
    tapehost.commit("R1", "h1", first)
    assert tapehost.sink("R1", "h2", second)["bytes"] == len(second)
    tapehost.commit("R1", "h2", second)
    assert sizes(library) == [[8192], [BLOCK] * 3, [BLOCK] * 2, []]
    tapehost.ask("finish", "--run", "R1")
    read = tapehost.run("source", "--tape", "ONE", "--file", "2").stdout
    assert hashlib.sha256(read.encode()).digest() == hashlib.sha256(second).digest()
    assert [each["host"] for each in tapehost.ask("chain", "--host", "h1")["archives"]] == ["h1"]
    # its last file is a copy of the catalog, which tar alone can read
    mt = "mt-st -f /dev/nst0"
    names = tapehost.guest.sh(
        f"{mt} rewind && {mt} fsf 3 && dd if=/dev/nst0 bs=256k | (tar -tf -; cat > /dev/null)"
    ).stdout
    assert "tapes/ONE.json" in names.splitlines()


def test_no_mt_is_needed_whatever_it_is_called(tapehost: TapeHost, library: Library) -> None:
    library.tape("A00001L6", drive=0)
    tapehost.guest.sh("mkdir -p /dev/shm/bin && ln -sf /usr/bin/dd /dev/shm/bin/dd")
    tapehost.path = "/dev/shm/bin"
    tapehost.label("ONE")
    assert tapehost.sink("R1", "h1", blocks(1))["file"] == 1
    assert len(tapehost.run("source", "--tape", "ONE", "--file", "1").stdout) == BLOCK


def test_the_label_says_to_a_person_how_to_get_the_data_back(tapehost: TapeHost, library: Library) -> None:
    library.tape("A00001L6", drive=0)
    tapehost.label("ONE", block_size="64K")
    text = tapehost.guest.sh("mt-st -f /dev/nst0 rewind && dd if=/dev/nst0 bs=1M count=1").stdout
    assert "dd if=DEV bs=65536 | tar -xpf -" in text


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (b"AMANDA: TAPESTART DATE X TAPE daily-1".ljust(32768, b"\0"), "a tape of Amanda"),
        (bytes(512), "data without a label"),
        (bytes(1 << 20), "data without a label"),
    ],
)
def test_what_is_not_ours_is_never_written(tapehost: TapeHost, library: Library, first: bytes, said: str) -> None:
    tape = library.tape("A00001L6", drive=0)
    tape.records += [first, None]
    assert said in tapehost.refused("sink", "--run", "R1", "--host", "h1", input=blocks(1))
    refusal = tapehost.refused("label", "--label", "ONE")
    assert said in refusal
    assert tape.records == [first, None]
    proof = refusal.split("tape_overwrite=")[1].split(",")[0]
    assert "is neither" in tapehost.refused("label", "--label", "ONE", "--overwrite", "wrong")
    tapehost.label("ONE", "--overwrite", proof)
    assert sizes(library) == [[8192], []]


def test_a_first_record_that_cannot_be_read_is_not_a_blank_tape(tapehost: TapeHost, library: Library) -> None:
    tape = library.tape("A00001L6", drive=0)
    tape.records += [bytes(8192), None, bytes(BLOCK), None]
    library.drives[0].trouble = lambda cdb: sense(MEDIUM_ERROR, 0x1100) if cdb[0] == READ else None
    refusal = tapehost.refused("label", "--label", "ONE")
    assert "the beginning of the tape in /dev/nst0 cannot be read" in refusal
    assert "tape_overwrite=" not in refusal, "whoever repeats what it says of this tape would lose the next one"
    assert "cannot be read" in tapehost.refused("sink", "--run", "R1", "--host", "h1", input=blocks(1))
    assert len(tape.records) == 4


def test_the_blocks_that_the_last_user_has_set_hide_no_label(tapehost: TapeHost, library: Library) -> None:
    library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tapehost.guest.mt("setblk", "512")
    assert tapehost.ask("inventory")["drives"][0]["label"] == "ONE"
    tapehost.guest.mt("setblk", "512")
    assert tapehost.sink("R1", "h1", blocks(2))["file"] == 1
    tapehost.guest.mt("setblk", "512")
    assert tapehost.sink("R1", "h2", blocks(1))["file"] == 2
    assert sizes(library) == [[8192], [BLOCK] * 2, [BLOCK], []]


def test_a_tape_that_begins_with_a_mark_is_not_blank(tapehost: TapeHost, library: Library) -> None:
    tape = library.tape("A00001L6", drive=0)
    tape.records += [None, None, b"what is this?".ljust(512), None]
    assert "holds data without a label" in tapehost.refused("label", "--label", "ONE")
    tape.records[2:] = []
    library.load(0, tape)
    assert tapehost.label("ONE")["label"] == "ONE"  # marks alone are nothing


def test_a_blank_tape_wants_a_label_first(tapehost: TapeHost, library: Library) -> None:
    tape = library.tape("A00001L6", drive=0)
    assert "is blank" in tapehost.refused("sink", "--run", "R1", "--host", "h1", input=blocks(1))
    assert tape.records == []


def test_a_drive_that_rewinds_is_refused_whatever_it_is_called(tapehost: TapeHost, library: Library) -> None:
    library.tape("A00001L6", drive=0)
    tapehost.guest.sh("ln -sf /dev/st0 /dev/shm/mytape && ln -sf /dev/nst0 /dev/shm/good")
    refusal = tapehost.refused("label", "--label", "ONE", devices=["/dev/shm/mytape"])
    assert "/dev/shm/mytape rewinds its tape" in refusal
    assert "/dev/nst0" in refusal
    assert tapehost.label("ONE", devices=["/dev/shm/good"])["label"] == "ONE"
    assert "is not a tape drive" in tapehost.refused("label", "--label", "TWO", devices=["/dev/null"])


def test_what_cannot_be_written_is_said_before(tapehost: TapeHost, library: Library) -> None:
    request = json.dumps({"run": "R1", "hosts": {"h1": {"level": 0}}}).encode()
    assert "there is no tape in it" in tapehost.refused("plan", input=request)
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tape.write_protected = True
    library.load(0, tape)
    assert "its tape ONE is write-protected" in tapehost.refused("plan", input=request)
    assert "write-protected" in tapehost.refused("label", "--label", "ONE")
    tape.write_protected = False
    library.load(0, tape)
    # again and again: our own look at the drive may keep it from opening it
    other = tapehost.guest.start(["bash", "-c", "until sleep 60 < /dev/nst0; do sleep 0.2; done"])
    deadline = time.monotonic() + 30
    while "busy" not in tapehost.guest.mt("status", check=False).stderr:
        assert time.monotonic() < deadline, "nobody has opened the drive"
        time.sleep(0.1)
    assert "is in use by another program" in tapehost.refused("plan", input=request)
    other.signal()
    other.wait()
    assert tapehost.ask("plan", input=request)["drives"][0]["state"] == "empty"


def test_a_tape_that_becomes_full_says_so_and_takes_no_more(tapehost: TapeHost, library: Library) -> None:
    library.tape("A00001L6", drive=0, capacity=12 * BLOCK)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(4))
    assert "the tape is full" in tapehost.refused("sink", "--run", "R1", "--host", "h2", input=blocks(20))
    assert tapehost.archives("ONE") == [(1, "h1", "written"), (2, "h2", "failed")]
    assert "its tape ONE is full" in tapehost.refused("sink", "--run", "R1", "--host", "h2", input=blocks(1))


def test_more_on_the_tape_than_the_catalog_knows_stops_it(tapehost: TapeHost, library: Library) -> None:
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(1))
    tape.records += [bytes(BLOCK), None]
    library.load(0, tape)
    before = list(tape.records)
    assert "more data than the catalog knows" in tapehost.refused(
        "sink", "--run", "R2", "--host", "h1", input=blocks(1), steal=True
    )
    assert tape.records == before
    del tape.records[2:]
    library.load(0, tape)
    assert "fewer than" in tapehost.refused("sink", "--run", "R2", "--host", "h1", input=blocks(1), steal=True)


def test_an_old_catalog_costs_no_archive(tapehost: TapeHost, library: Library) -> None:
    """It calls the tape empty, or expired: whoever would begin it afresh looks first, and a rebuild reads it in."""
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    old = tapehost.guest.run(["cat", tapehost.catalog / "tapes" / "ONE.json"]).stdout
    for number in (1, 2):
        data = archive(f"R{number}", "h1", block=BLOCK)
        tapehost.sink(f"R{number}", "h1", data, steal=True)
        tapehost.commit(f"R{number}", "h1", data)
    before = list(tape.records)
    known = json.loads(old)
    entry = {"kind": "archive", "run": "R1", "host": "h1", "set": "all", "level": 0, "time": "2026-11-01T01:00:00Z"}
    entry.update(file=1, state="good", block_size=BLOCK, keep_until=0, bytes=BLOCK, sha256=None, base=None)
    entry.update(host_time=None, paths=[])
    for archives in ([], [entry]):
        text = json.dumps({**known, "archives": archives})
        tapehost.guest.run(["tee", tapehost.catalog / "tapes" / "ONE.json"], input=text.encode())
        more = f"more data than the catalog knows: there is data at tape file {len(archives) + 1}"
        refusal = tapehost.refused("label", "--label", "ONE")
        assert more in refusal and "tape_overwrite=" in refusal
        words = ("sink", "--run", "R9", "--host", "h9")
        options = {"steal": True, "reuse": "expired", "expire_last": True}
        assert more in tapehost.refused(*words, input=blocks(1), **options)
        assert tape.records == before
    tapehost.ask("inventory", "--rebuild")
    assert tapehost.archives("ONE") == [(1, "h1", "good"), (2, "h1", "written")]


def test_a_spot_that_cannot_be_read_is_not_the_end_of_the_tape(tapehost: TapeHost, library: Library) -> None:
    """A rebuild reads on behind it, keeps what was known, and fails; without a bad spot nothing is wrong."""
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    for number in range(1, 5):
        data = archive(f"R{number}", "h1", block=BLOCK)
        tapehost.sink(f"R{number}", "h1", data, steal=True)
        tapehost.commit(f"R{number}", "h1", data)
    before = tapehost.archives("ONE")
    drive = library.drives[0]
    bad = tape.records.index(None, tape.records.index(None) + 1) + 1  # the first record of tape file 2

    def trouble(cdb: bytes) -> object:
        return sense(MEDIUM_ERROR, 0x1100) if cdb[0] == READ and drive.position == bad else None

    drive.trouble = trouble  # type: ignore[assignment]
    said = tapehost.refused("inventory", "--rebuild")
    assert said.startswith("tape ONE could not be read: tape file 2: "), said
    assert tapehost.archives("ONE") == before
    tapehost.guest.run(["rm", "-r", tapehost.catalog])
    assert "added: 4 archives of ONE" in tapehost.refused("inventory", "--rebuild")
    states = [(1, "h1", "written"), (2, "unknown", "failed"), (3, "h1", "written"), (4, "h1", "written")]
    assert tapehost.archives("ONE") == states
    drive.trouble = None
    answer = tapehost.ask("inventory", "--rebuild")
    assert answer["rebuilt"] == [{"label": "ONE", "archives": 4, "added": 0}]
    assert tapehost.sink("R5", "h1", blocks(1))["file"] == 5


def test_archives_are_encrypted_and_labels_are_not(tapehost: TapeHost, library: Library) -> None:
    """Also when a tape is begun afresh between two archives; in between the drive encrypts for nobody."""
    tape = library.tape("A00001L6", drive=0)
    drive = library.drives[0].encryption
    tapehost.guest.sh("umask 077; printf '%064d\\nbackup2026\\n' 7 > /dev/shm/key")
    tapehost.settings["encryption"] = {"key_file": "/dev/shm/key"}

    def sealed() -> list[list[bool]]:
        assert drive.writing == OFF
        return [[isinstance(record, Sealed) for record in file] for file in tape.files()]

    tapehost.label("ONE")
    assert sealed() == [[False], []]
    entry = tapehost.sink("R1", "h1", blocks(2))
    assert (entry["encryption"]["mode"], entry["encryption"]["key"]) == ("mixed", "backup2026")
    assert sealed() == [[False], [True, True], []]
    tapehost.commit("R1", "h1", blocks(2))
    tapehost.ask("finish", "--run", "R1")
    assert sealed()[:2] == [[False], [True, True]] and set(sealed()[2]) == {True}
    again = {"retention": "0d", "reuse": "expired", "expire_last": True, "steal": True}
    tapehost.guest.sh(f"rm -r {tapehost.catalog}")
    assert tapehost.ask("inventory", "--rebuild")["rebuilt"] == [{"label": "ONE", "archives": 2, "added": 2}]
    assert tapehost.archives("ONE")[0] == (1, "h1", "good")
    assert len(tapehost.run("source", "--tape", "ONE", "--file", "1").stdout) == 2 * BLOCK
    tapehost.guest.sh(f"""sed -i 's/"keep_until": [0-9.]*/"keep_until": 0/g' {tapehost.catalog}/tapes/ONE.json""")
    assert tapehost.sink("R2", "h1", blocks(1), **again)["file"] == 1
    assert sealed() == [[False], [True], []]


def test_another_block_size_restores_all_the_same(tapehost: TapeHost, library: Library) -> None:
    library.tape("A00001L6", drive=0)
    tapehost.label("ONE", block_size="64K")
    data = blocks(2)
    assert tapehost.sink("R1", "h1", data, block_size="64K")["block_size"] == 65536
    assert tapehost.sink("R1", "h2", data)["block_size"] == BLOCK
    assert sizes(library)[1:3] == [[65536] * 8, [BLOCK] * 2]
    for number in ("1", "2"):
        assert tapehost.run("source", "--tape", "ONE", "--file", number, block_size="1M").stdout.encode() == data


def test_a_buffer_before_the_drive(tapehost: TapeHost, library: Library) -> None:
    library.tape("A00001L6", drive=0, capacity=12 * BLOCK)
    tapehost.label("ONE")
    tapehost.sink("R1", "h1", blocks(4), buffer="8M")
    assert sizes(library)[1] == [BLOCK] * 4
    assert "the tape is full" in tapehost.refused("sink", "--run", "R1", "--host", "h2", input=blocks(20), buffer="8M")


def test_alerts_that_mean_trouble_stop_the_job(tapehost: TapeHost, library: Library) -> None:
    tape = library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    library.drives[0].alerts = {20}  # cleaning required: shown, not fatal
    assert tapehost.sink("R1", "h1", blocks(1))["alerts"] == ["TapeAlert 20, critical: cleaning required"]
    before = len(tape.records)
    library.drives[0].alerts = {6}
    assert "TapeAlert 6, critical: write failure" in tapehost.refused(
        "sink", "--run", "R1", "--host", "h2", input=blocks(1)
    )
    assert len(tape.records) == before


def test_the_drive_is_ours_from_the_check_to_the_mark(tapehost: TapeHost, library: Library, scratch: Path) -> None:
    """Nobody can move its tape meanwhile: no other program, and no job with another catalog."""
    library.tape("A00001L6", drive=0)
    tapehost.label("ONE")
    other = TapeHost(tapehost.guest, scratch / "other")
    library.drives[0].hold(3)
    command = tapehost.start_sink("R1", "h1", blocks(8))
    assert library.drives[0].holding.wait(20)
    for words in (["rewind"], ["weof"], ["status"]):
        assert "Device or resource busy" in tapehost.guest.mt(*words, check=False).stderr
    assert "in use by another program, or by a job with another catalog" in other.refused("label", "--label", "TWO")
    assert "is in use for the archive of h1 in run R1" in tapehost.refused("source", "--tape", "ONE", "--file", "1")
    library.drives[0].go_on()
    assert command.wait() == 0
    assert sizes(library) == [[8192], [BLOCK] * 8, []]
    assert other.ask("inventory")["drives"][0]["label"] == "ONE"


def test_nothing_of_ours_goes_past_st_between_the_check_and_the_mark(tapehost: TapeHost, library: Library) -> None:
    """As it might be the first to hear of a reset."""
    library.tape("A00001L6", drive=0, serial="AAA")
    tapehost.label("ONE")
    del library.drives[0].commands[:]
    tapehost.sink("R1", "h1", blocks(4))
    told = bytes(library.drives[0].commands)
    write, mark, where = 0x0A, 0x10, 0x34
    first = told.index(write)
    assert told[first - 1] == where
    assert set(told[first : told.index(mark)]) <= {write, where}
    assert told[told.index(mark) + 1] == where
