# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another tape into a drive: what mtx says of changers, how tapes are moved, and every sentence when they are not.

No changer of a maker is on the machines where these tests were written.  What `mtx status` prints is given here as it
was published, with other barcodes, by users of mtx 1.3.12 with the changers that are named (the blanks, the numbers
and the order are theirs); what it prints when it fails is of its source, mtx.c and mtxl.c of 1.3.12, of which Debian's
binary has the same strings.  The one that moves here is a script.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem as problems
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import process
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import changer
from ansible_collections.plumbing.socketpipe.tests.unit.tape import MODULE_UTILS, exact, script

Problem = problems.Problem


def drive(barcode: str | None = None, slot: int | None = None, full: bool | None = None) -> dict[str, Any]:
    return {"full": bool(barcode) if full is None else full, "barcode": barcode, "slot": slot}


def slot(barcode: str | None = None, full: bool | None = None, port: bool = False) -> dict[str, Any]:
    return {"full": bool(barcode) if full is None else full, "barcode": barcode, "import_export": port}


# ADIC, 3 drives of Quantum SDLT 320 (a virtual one of FalconStor): barcodes with 32 characters, padded
ADIC = exact("""\
  Storage Changer /dev/sg3:3 Drives, 6 Slots ( 2 Import/Export )
Data Transfer Element 0:Full (Storage Element 1 Loaded):VolumeTag = TEST55                          $
Data Transfer Element 1:Empty
Data Transfer Element 2:Empty
      Storage Element 1:Empty
      Storage Element 2:Full :VolumeTag=TEST66S                         $
      Storage Element 3:Full :VolumeTag=TEST67S                         $
      Storage Element 4:Empty
      Storage Element 5 IMPORT/EXPORT:Empty
      Storage Element 6 IMPORT/EXPORT:Full :VolumeTag=TEST68S                         $
""")
# a library of 24 slots with 2 drives of LTO-9: both drives name slot 8, which is empty, as mtx makes up what the
# changer does not know; a cleaning cartridge; the mail slot is the last
LTO9 = """\
  Storage Changer /dev/sg25:2 Drives, 5 Slots ( 1 Import/Export )
Data Transfer Element 0:Full (Storage Element 8 Loaded):VolumeTag = 042142L9
Data Transfer Element 1:Full (Storage Element 8 Loaded):VolumeTag = HER002L9
      Storage Element 1:Full :VolumeTag=HER006L9
      Storage Element 8:Empty
      Storage Element 12:Full :VolumeTag=CLN003L1
      Storage Element 23:Full :VolumeTag=HER013L9
      Storage Element 24 IMPORT/EXPORT:Full :VolumeTag=HER003L9
"""
# IBM 3614LX, 2 drives of LTO-3: most slots are load ports; a cartridge without a label has a blank, and no tag
IBM = exact("""\
  Storage Changer /dev/pass2:2 Drives, 5 Slots ( 3 Import/Export )
Data Transfer Element 0:Empty
Data Transfer Element 1:Empty
      Storage Element 1:Empty
      Storage Element 2:Empty
      Storage Element 3 IMPORT/EXPORT:Full :VolumeTag=UN0101L3                        $
      Storage Element 4 IMPORT/EXPORT:Full $
      Storage Element 5 IMPORT/EXPORT:Empty
""")
# Tandberg StorageLoader with a drive HP Ultrium 5: the news (unit attention) that it has first come on standard error
TANDBERG = exact("""\
  Storage Changer /dev/sg5:1 Drives, 2 Slots ( 0 Import/Export )
Data Transfer Element 0:Empty
      Storage Element 1:Full :VolumeTag=000711L4                        $
      Storage Element 2:Full :VolumeTag=A00008L5                        $
""")
# of the source of mtx: a drive whose tape came from nowhere, a second tag; and labels that cannot be read
SOURCE = exact("""\
  Storage Changer /dev/sg1:2 Drives, 4 Slots ( 0 Import/Export )
Data Transfer Element 0:Full (Unknown Storage Element Loaded):VolumeTag = ABC001L6:AlternateVolumeTag = X
Data Transfer Element 1:Full (Unknown Storage Element Loaded)
      Storage Element 1:Full :VolumeTag=ABC002L6:AlternateVolumeTag=Y
      Storage Element 2:Full :VolumeTag=UNKNOWN                         $
      Storage Element 3:Full :VolumeTag=--------                        $
      Storage Element 4:Empty:VolumeTag=
""")
# mtx 1.3.12 of Debian 12 with a virtual changer, here: a slot that is empty has a label of blanks
VIRTUAL = exact("""\
  Storage Changer /dev/sg2:2 Drives, 3 Slots ( 0 Import/Export )
Data Transfer Element 0:Full (Storage Element 1 Loaded):VolumeTag = A00001L6                        $
Data Transfer Element 1:Empty
      Storage Element 1:Empty:VolumeTag=                                $
      Storage Element 2:Full :VolumeTag=A00002L6                        $
      Storage Element 3:Full :VolumeTag=CLN001L1                        $
""")
# of mtx 1.2 with one drive: it has no number
OLD = """\
  Storage Changer /dev/sga:1 Drives, 1 Slots ( 0 Import/Export )
Data Transfer Element:Full (Storage Element 1 Loaded):VolumeTag = B0000009H
      Storage Element 1:Empty
"""


@pytest.mark.parametrize(
    ("text", "drives", "slots"),
    [
        (
            ADIC,
            {0: drive("TEST55", 1), 1: drive(), 2: drive()},
            {
                1: slot(),
                2: slot("TEST66S"),
                3: slot("TEST67S"),
                4: slot(),
                5: slot(port=True),
                6: slot("TEST68S", port=True),
            },
        ),
        (
            LTO9,
            {0: drive("042142L9", 8), 1: drive("HER002L9", 8)},
            {
                1: slot("HER006L9"),
                8: slot(),
                12: slot("CLN003L1"),
                23: slot("HER013L9"),
                24: slot("HER003L9", port=True),
            },
        ),
        (
            IBM,
            {0: drive(), 1: drive()},
            {
                1: slot(),
                2: slot(),
                3: slot("UN0101L3", port=True),
                4: slot(full=True, port=True),
                5: slot(port=True),
            },
        ),
        (TANDBERG, {0: drive()}, {1: slot("000711L4"), 2: slot("A00008L5")}),
        (
            SOURCE,
            {0: drive("ABC001L6"), 1: drive(full=True)},
            {1: slot("ABC002L6"), 2: slot(full=True), 3: slot(full=True), 4: slot()},
        ),
        (VIRTUAL, {0: drive("A00001L6", 1), 1: drive()}, {1: slot(), 2: slot("A00002L6"), 3: slot("CLN001L1")}),
        (OLD, {0: drive("B0000009H", 1)}, {1: slot()}),
        ("", {}, {}),
        ("Unknown command\n", {}, {}),
    ],
)
def test_status(text: str, drives: dict[int, Any], slots: dict[int, Any]) -> None:
    assert changer.parse_status(text) == {"drives": drives, "slots": slots}


REFUSED = """\
mtx: Request Sense: Long Report=yes
mtx: Request Sense: Valid Residual=no
mtx: Request Sense: Error Code=70 (Current)
mtx: Request Sense: Sense Key=%s
mtx: Request Sense: FileMark=no
mtx: Request Sense: EOM=no
mtx: Request Sense: ILI=no
mtx: Request Sense: Additional Sense Code = %s
mtx: Request Sense: Additional Sense Qualifier = %s
mtx: Request Sense: BPV=no
mtx: Request Sense: Error in CDB=no
mtx: Request Sense: SKSV=no
%s
"""


@pytest.mark.parametrize(
    ("text", "sense"),
    [
        ("", ("", "")),
        (REFUSED % ("Illegal Request", "53", "03", ""), ("Illegal Request", "53/03")),
        (  # the last counts: mode sense fails first, and the changer is no readier for the question itself
            REFUSED % ("Unit Attention", "28", "00", "Mode sense (0x1A) for Page 0x1D failed")
            + REFUSED % ("Not Ready", "04", "0a", "READ ELEMENT STATUS Command Failed"),
            ("Not Ready", "04/0A"),
        ),
    ],
)
def test_sense(text: str, sense: tuple[str, str]) -> None:
    assert changer.parse_sense(text) == sense


# a changer that is a file: {"drives": [[barcode, home] | null], "slots": [barcode | null], "ports": first port,
# "fail": {"status" | "load" | "unload": [text, ...]}, "loads": what it puts in the drive instead}
MTX = """
import json, sys
path, words = sys.argv[2], sys.argv[3:]
state = json.load(open(path))
state["log"].append(" ".join(words))
failures = state["fail"].get(words[0]) or []
text = failures.pop(0) if failures else ""
if not text and words[0] == "status":
    counts = len(state["drives"]), len(state["slots"])
    print("  Storage Changer %s:%d Drives, %d Slots ( 1 Import/Export )" % ((path,) + counts))
    for n, tape in enumerate(state["drives"]):
        say = "Full (Storage Element %d Loaded):VolumeTag = %-32s" % (tape[1], tape[0]) if tape else "Empty"
        print("Data Transfer Element %d:%s" % (n, say))
    for n, tape in enumerate(state["slots"], 1):
        port = " IMPORT/EXPORT" if n >= state["ports"] else ""
        print("      Storage Element %d%s:%s" % (n, port, "Full :VolumeTag=%-32s" % tape if tape else "Empty"))
elif not text:
    n, d = int(words[1]) - 1, int(words[2])
    if words[0] == "load":
        assert state["slots"][n] and not state["drives"][d]
        state["drives"][d], state["slots"][n] = [state.get("loads", state["slots"][n]), n + 1], None
    else:
        assert state["drives"][d] and not state["slots"][n], "already full"
        state["drives"][d], state["slots"][n] = None, state["drives"][d][0]
json.dump(state, open(path, "w"))
sys.stderr.write(text)
sys.exit(1 if text else 0)
"""


class Library:
    """A changer that is a file, with an mtx of its own on the PATH."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = folder / "changer"
        self.locks = folder / "locks"
        self.bin = folder / "bin"
        script(self.bin, "mtx", "#!%s%s" % (sys.executable, MTX))
        self.ejected: list[list[str]] = []  # what had been moved, each time that a drive was told to eject
        patch.setenv("PATH", "%s:%s" % (self.bin, os.environ["PATH"]))
        patch.setattr(changer, "BUSY_POLL", 0.01)
        self.set()

    def set(self, **more: Any) -> None:
        state: dict[str, Any] = {
            "drives": [["ABC001L6", 1], None],
            "slots": [None, "ABC002L6", "CLN001L1", None, "ABC003L6"],
            "ports": 5,
            "fail": {},
            "log": [],
        }
        self.path.write_text(json.dumps({**state, **more}))

    @property
    def state(self) -> Any:
        return json.loads(self.path.read_text())

    def moves(self) -> list[str]:
        return [line for line in self.state["log"] if line != "status"]

    def eject(self) -> None:
        self.ejected.append(self.moves())

    def open(self, wait: float = 5.0) -> Any:
        return changer.Changer(str(self.path), str(self.locks), wait)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    return Library(tmp_path, monkeypatch)


def refusal(function: Any, *args: Any, **options: Any) -> Any:
    with pytest.raises(Problem) as caught:
        function(*args, **options)
    return caught.value


def test_unknown_barcode(library: Library) -> None:
    problem = refusal(library.open().load, "ABC009L6", 0, library.eject)
    assert problem.what == (
        "changer %s has no tape with the barcode ABC009L6; it has ABC002L6, ABC003L6" % library.path
    )
    assert problem.hint == "insert it, or correct tape_barcodes" and problem.kind != problems.BUSY
    assert library.moves() == []  # what is in the drive stays there


def test_many_barcodes(library: Library) -> None:
    library.set(slots=["T%05d" % number for number in range(40)] + [""] * 3, ports=99)
    slots = changer.parse_status("".join("Storage Element %d:Full :VolumeTag=T%d\n" % (n, n) for n in range(30)))
    assert changer._named(slots).endswith("T22, T23, 6 more")
    slots = changer.parse_status(SOURCE)
    assert changer._named(slots) == "ABC002L6, 2 without a readable barcode"
    assert changer._named(changer.parse_status("")) == "no tape in its slots"


def test_cleaner(library: Library) -> None:
    problem = refusal(library.open().load, "CLN001L1", 0, library.eject)
    assert problem.what == "CLN001L1 is a cleaning cartridge, not a tape"
    assert library.moves() == []


def test_in_another_drive(library: Library) -> None:
    problem = refusal(library.open().load, "ABC001L6", 1, library.eject)
    assert problem.what == "tape ABC001L6 is in drive 0 of changer %s" % library.path
    assert problem.kind == problems.BUSY and library.moves() == []


def test_no_such_drive(library: Library) -> None:
    problem = refusal(library.open().load, "ABC002L6", 7, "/dev/nst7")
    assert problem.what == "changer %s has no drive 7: mtx numbers its drives 0, 1" % library.path


@pytest.mark.parametrize(
    ("free", "hint"),
    [
        ("ABC003L6", "remove a tape"),
        (None, "remove a tape (import/export slot 5 is free, but is not used for this)"),
    ],
)
def test_no_free_slot(library: Library, free: str | None, hint: str) -> None:
    library.set(slots=["ABC004L6", "ABC002L6", "CLN001L1", "ABC005L6", free])
    problem = refusal(library.open().load, "ABC002L6", 0, library.eject)
    assert problem.what == "drive 0 of changer %s has tape ABC001L6 in it, but no slot is free" % library.path
    assert problem.hint == hint and library.moves() == []


def test_no_mtx(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    (library.bin / "mtx").unlink()
    monkeypatch.setenv("PATH", str(library.bin))
    monkeypatch.setattr(process, "SBIN", "/nowhere")
    assert str(refusal(library.open().inventory)) == "there is no mtx on this host: install the package mtx"


@pytest.mark.parametrize(
    ("said", "sense", "hint"),
    [
        # both of mtx 1.3.12-14 of Debian 12, as it says them here
        (
            "cannot open SCSI device '/dev/sg9' - No such file or directory\n",
            "",
            "tape_changer must be the generic device of the changer: lsscsi -g shows it in the line mediumx",
        ),
        (
            "/dev/null is not an sg device, or old sg driver\n",
            "",
            "tape_changer must be the generic device of the changer: lsscsi -g shows it in the line mediumx",
        ),
        (
            "cannot open SCSI device '/dev/sg9' - Permission denied\n",
            "",
            "set tape_become, or give this user read and write access",
        ),
        (
            REFUSED % ("Not Ready", "04", "12", "READ ELEMENT STATUS Command Failed"),
            " (Not Ready, 04/12)",
            "it is offline: check its panel",
        ),
        (
            REFUSED % ("Hardware Error", "15", "01", "READ ELEMENT STATUS Command Failed"),
            " (Hardware Error, 15/01)",
            "",
        ),
    ],
)
def test_failure(library: Library, said: str, sense: str, hint: str) -> None:
    library.set(fail={"status": [said]})
    problem = refusal(library.open().inventory)
    last = said.strip().splitlines()[-1]
    assert problem.what == "mtx -f %s status: %s%s" % (library.path, last, sense)
    assert problem.hint == hint and problem.kind != problems.BUSY


def test_not_a_changer(library: Library) -> None:
    library.set(drives=[], slots=[])
    problem = refusal(library.open().inventory)
    assert problem.what.startswith("mtx -f %s status lists no drive: " % library.path)


def test_failed_unload(library: Library) -> None:
    """mtx 1.3.12 of Debian 12 with a virtual changer, whose drive had not let go of the tape; asked once only."""
    said = "Unloading drive 0 into Storage Element 1..." + REFUSED % (
        "Not Ready",
        "53",
        "02",
        "MOVE MEDIUM from Element Address 256 to 4096 Failed",
    )
    library.set(fail={"unload": [said]})
    problem = refusal(library.open().unload, 0, library.eject)
    assert str(problem) == (
        "mtx -f %s unload 1 0: MOVE MEDIUM from Element Address 256 to 4096 Failed (Not Ready, 53/02): "
        "the tape is locked in the drive (mt-st unlock)" % library.path
    )


def test_failed_move(library: Library) -> None:
    said = "Loading media from Storage Element 2 into drive 1..." + REFUSED % (
        "Illegal Request",
        "30",
        "00",
        "MOVE MEDIUM from Element Address 1001 to 501 Failed",
    )
    library.set(fail={"load": [said]})
    problem = refusal(library.open().load, "ABC002L6", 1, library.eject)
    assert str(problem) == (
        "mtx -f %s load 2 1: MOVE MEDIUM from Element Address 1001 to 501 Failed (Illegal Request, 30/00): "
        "this drive cannot use this kind of cartridge" % library.path
    )


def test_busy_for_ever(library: Library) -> None:
    library.set(fail={"status": [REFUSED % ("Not Ready", "04", "01", "READ ELEMENT STATUS Command Failed")] * 99})
    problem = refusal(library.open(wait=0.2).inventory)
    assert problem.kind == problems.BUSY and problem.hint == "it has been busy for 0:00:00: check its panel"


def test_busy_for_a_while(library: Library) -> None:
    wait = REFUSED % ("Not Ready", "04", "01", "MOVE MEDIUM from Element Address 1001 to 501 Failed")
    news = REFUSED % ("Unit Attention", "28", "00", "READ ELEMENT STATUS Command Failed")
    library.set(fail={"load": [wait, wait], "status": [news]})
    assert library.open().load("ABC002L6", 1, library.eject)["moved"]
    assert library.moves() == ["load 2 1"] * 3


def test_wrong_tape_arrives(library: Library) -> None:
    library.set(loads="XYZ999L6")
    problem = refusal(library.open().load, "ABC002L6", 1, library.eject)
    assert problem.what == (
        "changer %s should have loaded ABC002L6, but reports that drive 1 has XYZ999L6" % library.path
    )


def test_load(library: Library) -> None:
    """Into a drive that is full: its tape goes home first, and leaves the drive's mechanics before that."""
    ready: list[str] = []
    moved = library.open().load("ABC002L6", 0, library.eject, lambda: ready.append("ready"))
    assert moved == {
        "barcode": "ABC002L6",
        "slot": 2,
        "moved": True,
        "unloaded": {"barcode": "ABC001L6", "slot": 1, "port": False},
    }
    assert library.moves() == ["unload 1 0", "load 2 0"] and ready == ["ready"]
    assert library.ejected == [[]]  # before the first move
    assert library.state["slots"] == ["ABC001L6", None, "CLN001L1", None, "ABC003L6"]


def test_load_into_empty(library: Library) -> None:
    assert library.open().load("ABC003L6", 1, library.eject)["unloaded"] is None
    assert library.moves() == ["load 5 1"] and library.ejected == []


def test_load_what_is_there(library: Library) -> None:
    moved = library.open().load("ABC001L6", 0, library.eject)
    assert moved == {"barcode": "ABC001L6", "slot": None, "moved": False, "unloaded": None}
    assert library.moves() == []


@pytest.mark.parametrize(
    ("home", "slots", "to"),
    [
        (1, [None, None, None], 1),
        (2, ["ABC009L6", "ABC008L6", None], 3),  # mtx has made it up
        (9, ["ABC009L6", None, None], 2),  # no such slot
        (4, ["ABC009L6", None, None, None], 4),  # it came in through the port
    ],
)
def test_where_it_goes(library: Library, home: int, slots: list[str | None], to: int) -> None:
    library.set(drives=[["ABC001L6", home]], slots=slots, ports=4)
    assert library.open().unload(0, library.eject) == {"barcode": "ABC001L6", "slot": to, "port": False}
    assert library.moves() == ["unload %d 0" % to]
    assert library.open().unload(0, library.eject) is None


@pytest.mark.parametrize(
    ("slots", "to"),
    [
        ([None, None, None, None], 4),
        (["ABC009L6", "ABC008L6", "ABC007L6", None], 4),  # no other slot is free
        ([None, None, None, "ABC009L6"], 1),
    ],
)
def test_a_port_on_request(library: Library, slots: list[str | None], to: int) -> None:
    library.set(drives=[["ABC001L6", 1]], slots=slots, ports=4)
    moved = library.open().unload(0, library.eject, to_port=True)
    assert moved == {"barcode": "ABC001L6", "slot": to, "port": to == 4} and library.moves() == ["unload %d 0" % to]


def test_lock(library: Library) -> None:
    library.locks.mkdir()
    with open(library.locks / "changer.changer", "w") as other:
        other.write("process 7 to load X")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        problem = refusal(library.open(wait=0.1).load, "ABC002L6", 1, library.eject)
        assert problem.what == "changer %s is in use: process 7 to load X has had it for 0:00:00" % library.path
        assert problem.kind == problems.BUSY and library.moves() == []
    link = library.path.with_name("link")
    link.symlink_to(library.path)
    assert changer.Changer(str(link), str(library.locks)).lock == library.open().lock


# a command of the site


def test_next_command_fails(tmp_path: Path) -> None:
    command = "echo one >&2; echo two; echo >&2; echo three >&2; echo four >&2; echo five >&2; exit 3"
    problem = refusal(changer.next_command, command, "/dev/nst0", "", "full", 10.0)
    assert problem.what == "tape_next_command did not load a writable tape in /dev/nst0: exit status 3"
    assert problem.hint == "three / four / five"
    problem = refusal(changer.next_command, "kill -9 $$", "/dev/nst0", "SET-01", "verify", 10.0)
    assert problem.what == "tape_next_command did not load tape SET-01 in /dev/nst0: killed by signal 9"
    problem = refusal(changer.next_command, "/no/such", "/dev/nst0", "SET-01", "verify", 10.0)
    assert "/no/such: not found" in problem.hint


def test_next_command_is_told(tmp_path: Path) -> None:
    told = tmp_path / "told"
    changer.next_command(
        'echo "$TAPE_DEVICE,$TAPE_LABEL,$TAPE_REASON" > %s; cat' % told, "/dev/nst0", "SET-01", "restore", 10.0
    )
    assert told.read_text() == "/dev/nst0,SET-01,restore\n"


def alive(path: Path) -> bool:
    """Whether the process whose number is in this file lives."""
    try:
        with open("/proc/%s/stat" % path.read_text().strip()) as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def soon(true: Any, within: float = 10.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_next_command_takes_too_long(tmp_path: Path) -> None:
    child = tmp_path / "child"
    command = "sleep 60 & echo $! > %s; echo robot is stuck >&2; wait" % child
    began = time.monotonic()
    problem = refusal(changer.next_command, command, "/dev/nst0", "", "full", 0.5)
    assert problem.what.endswith("it did not finish within 0:00:00") and problem.hint == "robot is stuck"
    assert time.monotonic() - began < 10 and soon(lambda: not alive(child))


def test_next_command_leaves_nothing(tmp_path: Path) -> None:
    child = tmp_path / "child"
    changer.next_command("sleep 60 & echo $! > %s" % child, "/dev/nst0", "", "full", 10.0)
    assert soon(lambda: not alive(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_next_command_ends_with_us(tmp_path: Path, number: int) -> None:
    """However we end; and no descriptor of ours stays open in what ends it."""
    child, heard = tmp_path / "child", os.pipe()
    code = "import sys; sys.path.insert(0, sys.argv[1]); from _tape.host.drives import changer"
    code += "; changer.next_command(*sys.argv[2:6], 60)"
    command = "trap '' TERM; sleep 60 & echo $! > %s; wait; wait" % child
    argv = [sys.executable, "-IB", "-c", code, str(MODULE_UTILS), command, "/dev/nst0", "", "full"]
    ours = subprocess.Popen(argv, pass_fds=[heard[1]], start_new_session=True)
    os.close(heard[1])
    assert soon(lambda: child.exists() and child.read_text().strip() != "")
    os.killpg(ours.pid, number)
    ours.wait()
    assert os.read(heard[0], 1) == b""
    os.close(heard[0])
    assert soon(lambda: not alive(child))
