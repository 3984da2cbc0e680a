# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""What the role's programs rely on: how st, mt-st, mtx and dd behave. A table of facts, each tried."""

from __future__ import annotations

import re
import signal
import time
import typing as t

import pytest

from tests.hosts.process import command_line, pids

from .conftest import Site
from .guest import Guest
from .library import Library
from .medium import MEDIUM_ERROR, Tape, sense

BLOCK = 262144
WRITE = "dd of=/dev/nst0 bs=256k iflag=fullblock"
READ = "dd if=/dev/nst0 bs=256k count=1"
FULL = "dd: error writing '/dev/nst0': No space left on device"


def filled(library: Library, *files: int, **knobs: t.Any) -> Tape:
    """A tape in drive 0 with files of so many blocks each, and the marks behind them."""
    tape = library.tape("A00001L6", drive=0, **knobs)
    for blocks in files:
        tape.records += [bytes(BLOCK)] * blocks + [None]
    return tape


def status(guest: Guest, drive: int = 0) -> tuple[int, int, set[str]]:
    """File number, block number and the general status bits."""
    text = guest.mt("status", drive=drive).stdout
    found = re.search(r"^File number=(-?\d+), block number=(-?\d+)", text, re.MULTILINE)
    assert found, text
    bits = text.strip().splitlines()[-1].split()
    return int(found[1]), int(found[2]), set(bits) - {"IM_REP_EN"}


def blocks(tape: Tape) -> list[int]:
    assert all(len(record) == BLOCK for record in tape.records if record is not None)
    return [len(file) for file in tape.files()]


def at(guest: Guest, file: int) -> None:
    guest.mt("rewind")
    guest.mt("fsf", str(file))


def write(guest: Guest, count: int, check: bool = True) -> str:
    return guest.sh(f"{WRITE} if=/dev/zero count={count}", check=check).stderr


def test_an_empty_drive_says_so_without_waiting_for_a_tape(guest: Guest) -> None:
    assert status(guest) == (-1, -1, {"DR_OPEN"})


def test_an_open_waits_for_a_tape_and_goes_on_when_one_is_put_in(guest: Guest, library: Library) -> None:
    command = guest.start(["dd", "if=/dev/zero", "of=/dev/nst0", "bs=256k", "count=1"])
    time.sleep(1)
    tape = library.tape("A00001L6", drive=0)
    assert command.wait() == 0
    assert blocks(tape) == [1, 0]


def test_an_open_that_waits_for_a_tape_can_be_ended(guest: Guest) -> None:
    command = guest.start(["dd", "if=/dev/zero", "of=/dev/nst0", "bs=256k", "count=1"])
    time.sleep(0.5)
    command.signal(signal.SIGTERM)
    assert command.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["mt-st", "-f", "/dev/nst0", "status"], "/dev/nst0: Device or resource busy"),
        (["dd", "if=/dev/zero", "of=/dev/nst0", "bs=256k"], "dd: failed to open '/dev/nst0': Device or resource busy"),
    ],
)
def test_a_drive_in_use_is_busy(guest: Guest, library: Library, argv: list[str], error: str) -> None:
    filled(library, 1)
    user = guest.start(["sh", "-c", "exec 3< /dev/nst0; echo; exec sleep 60"])
    while not user.stdout:
        time.sleep(0.05)
    done = guest.run(argv, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, error)
    assert status(guest, drive=1) == (-1, -1, {"DR_OPEN"})
    user.signal()
    assert user.wait() == -signal.SIGKILL
    assert status(guest) == (0, 0, {"BOT", "ONLINE"})


def test_a_write_protected_tape(guest: Guest, library: Library) -> None:
    tape = filled(library, 1, write_protected=True)
    assert status(guest) == (0, 0, {"BOT", "WR_PROT", "ONLINE"})
    assert "dd: failed to open '/dev/nst0': Read-only file system" in write(guest, 1, check=False)
    assert guest.mt("weof", "1", check=False).stderr.strip() == "/dev/nst0: Read-only file system"
    assert guest.sh(f"{READ} | wc -c").stdout.strip() == str(BLOCK)
    assert blocks(tape) == [1, 0]


def test_a_blank_tape(guest: Guest, library: Library) -> None:
    tape = library.tape("A00001L6", drive=0)
    assert status(guest) == (0, 0, {"BOT", "ONLINE"})
    done = guest.sh(READ, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "dd: error reading '/dev/nst0': Input/output error")
    guest.mt("rewind")
    guest.mt("eod")
    assert status(guest) == (0, -1, {"EOD", "ONLINE"})  # as a tape without marks
    assert guest.mt("tell").stdout == "At block 0.\n"  # as no other
    write(guest, 2)
    assert status(guest) == (1, 0, {"EOF", "ONLINE"})
    assert blocks(tape) == [2, 0]


def test_a_tape_whose_beginning_cannot_be_read_is_not_blank(guest: Guest, library: Library) -> None:
    filled(library, 1)
    library.drives[0].trouble = lambda cdb: sense(MEDIUM_ERROR, 0x1100) if cdb[0] == 0x08 else None
    done = guest.sh(READ, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "dd: error reading '/dev/nst0': Input/output error")
    guest.mt("rewind")
    guest.mt("eod")
    assert status(guest) == (1, -1, {"EOD", "ONLINE"})
    assert guest.mt("tell").stdout == "At block 2.\n"


def test_moving_to_a_file_and_beyond_the_last(guest: Guest, library: Library) -> None:
    filled(library, 1, 2, 1)
    for file in (1, 3):  # the second is where the next one will be
        at(guest, file)
        assert status(guest) == (file, 0, {"EOF", "ONLINE"})
    guest.mt("rewind")
    done = guest.mt("fsf", "7", check=False)
    assert (done.returncode, done.stderr.strip()) == (2, "/dev/nst0: Input/output error")
    assert status(guest) == (3, -1, {"EOD", "ONLINE"})


def test_a_read_at_the_end_of_data_gives_nothing_and_once_no_error(guest: Guest, library: Library) -> None:
    tape = filled(library, 1)
    at(guest, 1)
    first, second = (guest.sh(READ, check=False) for _try in range(2))
    assert (first.returncode, first.stdout, first.stderr.splitlines()[0]) == (0, "", "0+0 records in")
    assert (second.returncode, second.stdout) == (1, "")
    assert status(guest) == (1, -1, {"EOD", "ONLINE"})
    write(guest, 3)
    assert status(guest) == (2, 0, {"EOF", "ONLINE"})
    assert blocks(tape) == [1, 3, 0]


@pytest.mark.parametrize(
    ("size", "rc", "error"),
    [("1M", 0, "0+1 records in"), ("32k", 1, "dd: error reading '/dev/nst0': Cannot allocate memory")],
)
def test_reading_with_another_size(guest: Guest, library: Library, size: str, rc: int, error: str) -> None:
    filled(library, 1)
    done = guest.sh(f"dd if=/dev/nst0 bs={size} count=1 | wc -c", check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (rc, error)
    assert done.stdout.strip() == ("0" if rc else str(BLOCK))


def test_writing_in_the_middle_ends_the_tape_there(guest: Guest, library: Library) -> None:
    tape = filled(library, 1, 2, 3)
    at(guest, 1)
    write(guest, 1)
    assert blocks(tape) == [1, 1, 0]


def test_a_writer_that_is_killed_leaves_a_file_like_any_other(guest: Guest, library: Library) -> None:
    tape = filled(library, 1)
    at(guest, 1)
    library.drives[0].hold(3)
    writer = guest.start(["dd", "if=/dev/zero", "of=/dev/nst0", "bs=256k"])
    assert library.drives[0].holding.wait(10)
    writer.signal(signal.SIGKILL)
    library.drives[0].go_on()
    assert writer.wait() == -signal.SIGKILL
    assert status(guest) == (2, 0, {"EOF", "ONLINE"})
    assert blocks(tape) == [1, 4, 0]


def test_a_power_cut_leaves_a_file_without_a_mark_and_a_driver_that_lies(guest: Guest, library: Library) -> None:
    tape = filled(library, 1)
    at(guest, 1)
    library.drives[0].hold(3)
    guest.start(["dd", "if=/dev/zero", "of=/dev/nst0", "bs=256k"])
    assert library.drives[0].holding.wait(10)
    guest.power_off()
    assert blocks(tape) == [1, 4]
    guest.power_on()
    assert status(guest) == (0, 0, {"BOT", "ONLINE"})
    assert library.drives[0].position == 6
    guest.mt("rewind")
    assert guest.mt("fsf", "2", check=False).returncode == 2
    assert status(guest) == (1, -1, {"EOD", "ONLINE"})
    guest.mt("weof", "1")
    assert status(guest) == (2, 0, {"EOF", "ONLINE"})
    assert blocks(tape) == [1, 4, 0]


def test_the_end_of_a_tape_comes_with_a_warning_and_room_for_one_more_record(guest: Guest, library: Library) -> None:
    tape = filled(library, 1, capacity=8 * BLOCK, reserve=4 * BLOCK)
    at(guest, 1)
    assert write(guest, 10, check=False).splitlines()[:3] == [FULL, "5+0 records in", "4+0 records out"]
    assert status(guest) == (2, 0, {"EOF", "ONLINE"})
    assert write(guest, 2, check=False).splitlines()[:3] == [FULL, "2+0 records in", "1+0 records out"]
    write(guest, 1)
    assert blocks(tape) == [1, 4, 1, 1, 0]


def test_the_end_of_a_tape_without_a_warning(guest: Guest, library: Library) -> None:
    tape = filled(library, 1, capacity=4 * BLOCK, reserve=0)
    at(guest, 1)
    assert write(guest, 10, check=False).splitlines()[:3] == [FULL, "4+0 records in", "3+0 records out"]
    assert blocks(tape) == [1, 3, 0]


def test_another_tape_is_at_its_beginning(guest: Guest, library: Library) -> None:
    filled(library, 1)
    at(guest, 1)
    filled(library, 1, 1)
    assert status(guest) == (0, 0, {"BOT", "ONLINE"})


def test_fixed_blocks_that_somebody_left_are_seen_and_undone(guest: Guest, library: Library) -> None:
    tape = filled(library)
    guest.mt("setblk", "512")
    assert "Tape block size 512 bytes." in guest.mt("status").stdout
    write(guest, 1)
    assert len(tape.files()[0]) == 512
    guest.mt("setblk", "0")
    guest.mt("rewind")
    write(guest, 1)
    assert blocks(tape) == [1, 0]


def test_the_changer(guest: Guest, library: Library) -> None:
    library.tape("A00001L6", slot=1)
    library.tape("B00002L6", slot=2).records += [bytes(BLOCK), None]
    guest.mtx("load", "2", "1")
    shown = guest.mtx("status").stdout.splitlines()
    assert shown[0].strip() == "Storage Changer /dev/sg2:2 Drives, 8 Slots ( 0 Import/Export )"
    assert [line.strip() for line in shown[1:5]] == [
        "Data Transfer Element 0:Empty",
        "Data Transfer Element 1:Full (Storage Element 2 Loaded):VolumeTag = B00002L6",
        "Storage Element 1:Full :VolumeTag=A00001L6",
        "Storage Element 2:Empty:VolumeTag=",
    ]
    assert status(guest, drive=1) == (0, 0, {"BOT", "ONLINE"})
    done = guest.mtx("load", "1", "1", check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "Drive 1 Full (Storage Element 2 loaded)")
    guest.mtx("unload", "2", "1")
    assert status(guest, drive=1) == (-1, -1, {"DR_OPEN"})


def test_alerts_are_read_once(guest: Guest, library: Library) -> None:
    library.drives[0].alerts = {20}
    lines = [guest.run(["sg_logs", "-p", "0x2e", "/dev/sg0"]).stdout.splitlines() for _try in range(2)]
    assert [line.strip() for line in lines[0] if line.endswith(": 1")] == ["Cleaning required: 1"]
    assert not [line for line in lines[1] if line.endswith(": 1")]


def test_nothing_of_the_guest_is_left_when_its_power_has_gone(guest: Guest) -> None:
    guest.power_off()
    config = str(guest.directory / "config.json")  # a word of its command line
    assert not [pid for pid in pids() if config in command_line(pid)]


def test_the_tape_host_of_a_fleet_is_reached_by_ssh(site: Site) -> None:
    site.tape1.library.tape("A00001L6", drive=0)
    ssh = ["ssh", "-F", str(site.fleet.ssh_config), "tape1", "hostname; mt-st -f /dev/nst0 status"]
    lines = site.fleet.controller.run(ssh).stdout.splitlines()
    assert (lines[0], lines[-1].split()[0]) == ("tape1", "BOT")
