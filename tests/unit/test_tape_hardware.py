# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What drives say beyond st: TapeAlert, the memory chip, encryption.

No drive of a maker is on the machines where these tests were written, and tgt's fails LOG SENSE and has no encryption:
nothing here was recorded from a drive by us.  Each text says where it is from.  Those of sg3-utils 1.46 (Debian 12)
were printed by the tools here, from pages that were made up (their option --in); where they are installed, a test
repeats it.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem as problems
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import process
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import encryption, hardware
from ansible_collections.plumbing.socketpipe.tests.unit.tape import exact, script

Problem = problems.Problem

# sg_logs 1.46 of a made-up page (its table is the same from 1.33 to 1.47); the line of the inquiry is of an IBM drive
# of LTO-8, as published
NAMES_146 = (
    """\
Read warning|Write warning|Hard error|Media|Read failure|Write failure|Media life|Not data grade|Write protect
No removal|Cleaning media|Unsupported format|Recoverable mechanical cartridge failure
Unrecoverable mechanical cartridge failure|Memory chip in cartridge failure|Forced eject|Read only format
Tape directory corrupted on load|Nearing media life
Cleaning required|Cleaning requested|Expired cleaning media|Invalid cleaning tape|Retension requested
Dual port interface error|Cooling fan failing|Power supply failure|Power consumption|Drive maintenance|Hardware A
Hardware B|Interface|Eject media|Microcode update fail|Drive humidity|Drive temperature|Drive voltage|Predictive failure
Diagnostics required|Obsolete (28h)|Obsolete (29h)|Obsolete (2Ah)|Obsolete (2Bh)|Obsolete (2Ch)|Obsolete (2Dh)
Obsolete (2Eh)|Reserved (2Fh)|Reserved (30h)|Reserved (31h)|Lost statistics|Tape directory invalid at unload
Tape system area write failure|Tape system area read failure|No start of data|Loading failure
Unrecoverable unload failure|Automation interface failure|Firmware failure|WORM medium - integrity check failed
WORM medium - overwrite attempted|Reserved parameter code 0x3d, flag|Reserved parameter code 0x3e, flag
Reserved parameter code 0x3f, flag|Reserved parameter code 0x40, flag
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
# what the source of sg_logs 1.49 has in their place
CHANGED_149 = {40 + n: "Reserved (%Xh)" % (40 + n) for n in range(7)}
CHANGED_149.update({62: "Reserved (3Eh)", 63: "Reserved (3Fh)", 64: "Reserved (40h)"})
CHANGED_149[47] = "External data encryption control - communications failure"
CHANGED_149[48] = "External data encryption control - key manager returned error"
CHANGED_149[49] = "Diminished native capacity"
CHANGED_149[61] = "Encryption policy violation"
NAMES_149 = [CHANGED_149.get(number, name) for number, name in enumerate(NAMES_146, 1)]


def page_146(*up: int, names: list[str] = NAMES_146) -> str:
    lines = ["    IBM       ULT3580-TD8       HB81", "Tape alert page (ssc-3) [0x2e]"]
    lines += ["  %s: %d" % (name, number in up) for number, name in enumerate(names, 1)]
    return "\n".join(lines) + "\n"


def page_149(*up: int) -> str:
    return page_146(*up, names=NAMES_149).replace("Tape alert page", "TapeAlert log page")


def alert(flag: int, name: str, severity: str) -> dict[str, Any]:
    return {"flag": flag, "name": name, "severity": severity}


# sg_logs 1.46 of Debian 12, as published: a drive of a changer's page; and what it says of a page that is not there
UNDECODED = """\
    QUANTUM   QUANTUM Scalar    0108
Unable to decode page = 0x2e, here is hex:
 00     2e 00 01 40 00 01 c0 01  00 00 02 c0 01 00 00 03
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (UNDECODED, []),
        ("    IBM       ULT3580-TD8       HB81\n", []),
        (page_146(), []),
        (page_149(), []),
        (
            page_146(3, 20, 61),
            [
                alert(3, "hard error", "warning"),
                alert(20, "cleaning required", "critical"),
                alert(61, "encryption policy violation", "warning"),  # sg_logs had no name for it yet
            ],
        ),
        (page_149(48), [alert(48, "external data encryption control - key manager returned error", "warning")]),
        (
            page_146(40, 64),
            [
                alert(40, "loader hardware a", "critical"),
                alert(64, "reserved parameter code 0x40, flag", "information"),
            ],
        ),
        (  # with its option --verbose
            page_146(4).replace("  Media: 1", "  >>>>   Media: 1"),
            [alert(4, "media", "critical")],
        ),
        (  # a drive that has some of them only: by their names
            "Tape alert page (ssc-3) [0x2e]\n  Write failure: 1\n  Media life: 1\n  Something new: 1\n",
            [
                alert(6, "write failure", "critical"),
                alert(7, "media life", "warning"),
                alert(0, "something new", "information"),
            ],
        ),
        (  # and a name that changes has its place
            page_146(8, names=[name.replace("Not data grade", "Poor grade") for name in NAMES_146]),
            [alert(8, "poor grade", "warning")],
        ),
    ],
)
def test_alerts(text: str, found: list[dict[str, Any]]) -> None:
    assert hardware.parse_alerts(text) == found


@pytest.mark.parametrize("page", [page_146, page_149])
@pytest.mark.parametrize("number", range(1, 65))
def test_every_alert(page: Any, number: int) -> None:
    assert [found["flag"] for found in hardware.parse_alerts(page(number))] == [number]


def test_table() -> None:
    assert len(hardware.TABLE) == 64 == len(hardware.NUMBERS)
    critical = {n for n, (_name, severity) in enumerate(hardware.TABLE, 1) if severity == "critical"}
    assert critical == {4, 5, 6, 9, 13, 14, 16, 20, 22, 23, 30, 31, 33, 38, 40, 41, 43, 44, 45, 52, 53, 54, 55, 56, 57}
    assert critical > hardware.FATAL
    assert critical - hardware.FATAL == {9, 20, 22, 23, 38, 40, 41, 43, 44, 45, 57}


def test_fatal() -> None:
    found = hardware.parse_alerts(page_146(1, 6, 20, 31))
    assert [hardware.say(each) for each in hardware.fatal(found)] == [
        "TapeAlert 6, critical: write failure",
        "TapeAlert 31, critical: hardware b",
    ]


def as_hex(data: bytes) -> str:
    return "".join(" ".join("%02x" % byte for byte in data[n : n + 16]) + "\n" for n in range(0, len(data), 16))


@pytest.mark.skipif(not shutil.which("sg_logs"), reason="sg3-utils are not installed")
def test_alerts_as_sg_logs_prints_them(tmp_path: Path) -> None:
    page = b"".join(bytes((0, n, 0x40, 1, n in (5, 33, 59))) for n in range(1, 65))
    (tmp_path / "page").write_text(as_hex(struct.pack(">BxH", 0x2E, len(page)) + page))
    argv = ["sg_logs", "--in=%s" % (tmp_path / "page"), "--pdt=1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert [found["flag"] for found in hardware.parse_alerts(done.stdout)] == [5, 33, 59]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is the only one with tools of the drive."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cat", "echo", "rm", "sh"):
        (folder / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(process, "SBIN", "/nowhere")
    return folder


def test_no_sg_logs(tools: Path) -> None:
    note = "TapeAlert of /dev/nst0 is unknown: there is no sg_logs on this host (package sg3-utils)"
    assert hardware.alerts("/dev/nst0") == ([], note)
    assert hardware.cartridge("/dev/nst0") == {}


@pytest.mark.parametrize(
    ("said", "note"),
    [
        # of 1.46, for a page that a drive does not have (as published), and for a device that is none (here)
        (
            "echo 'log_sense: field in cdb illegal\nsg_logs failed: Illegal request' >&2; exit 5",
            "log_sense: field in cdb illegal / sg_logs failed: Illegal request",
        ),
        (
            "echo 'error opening file: /dev/x: No such file or directory\nsg_logs failed: No such file' >&2; exit 52",
            "error opening file: /dev/x: No such file or directory / sg_logs failed: No such file",
        ),
        (
            "echo 'sg_logs failed: Device or resource busy' >&2; exit 66",
            "sg_logs failed: Device or resource busy (%s)" % hardware.NO_SG,
        ),
        ("exit 99", "sg_logs: status 99"),
        ("echo '    QUANTUM   X   1'", "this drive does not support it"),
    ],
)
def test_no_alerts_to_be_had(tools: Path, said: str, note: str) -> None:
    script(tools, "sg_logs", "#!/bin/sh\n%s\n" % said)
    found, why = hardware.alerts("/dev/x")
    assert found == [] and why.startswith("TapeAlert of /dev/x is unknown: ") and why.endswith(note)


def test_slow_drive(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "LIMIT", 0.2)
    script(tools, "sg_logs", "#!/bin/sh\nexec %s 60\n" % shutil.which("sleep", path=os.defpath))
    assert hardware.alerts("/dev/x") == (
        [],
        "TapeAlert of /dev/x is unknown: sg_logs did not answer within 0:00:00",
    )


def test_alerts_of_a_drive(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page").write_text(page_146(20))
    script(tools, "sg_logs", '#!/bin/sh\necho "$*" > %s/asked\ncat %s/page\n' % (tmp_path, tmp_path))
    monkeypatch.setattr(hardware, "generic", lambda device: "/dev/sg7" if device == "/dev/nst0" else "")
    assert hardware.alerts("/dev/nst0") == ([alert(20, "cleaning required", "critical")], "")
    assert (tmp_path / "asked").read_text() == "-p 0x2e /dev/sg7\n"


def test_news_first(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What sg is told before it is answered (1.46, Linux 6.1) is asked again."""
    log = tmp_path / "log"
    monkeypatch.setattr(hardware, "generic", lambda _device: "/dev/sg7")
    news = "echo 'log_sense: unit attention\nsg_logs failed: Unit attention' >&2; exit 6"
    script(tools, "sg_logs", "#!/bin/sh\necho sg_logs $* >> %s\n%s\n" % (log, news))
    note = "TapeAlert of /dev/nst0 is unknown: log_sense: unit attention / sg_logs failed: Unit attention"
    assert hardware.alerts("/dev/nst0") == ([], note)
    assert log.read_text() == "sg_logs -p 0x2e /dev/sg7\n" * 3


def test_generic(tmp_path: Path) -> None:
    """By the number of the device, as st and sg have it in /sys (Linux 6.1): here that of /dev/null."""
    device = tmp_path / "my-drive"
    device.symlink_to("/dev/null")
    assert hardware.generic(str(device), str(tmp_path), str(tmp_path)) == ""
    folder = tmp_path / "dev" / "char" / "1:3" / "device"
    folder.mkdir(parents=True)
    (folder / "generic").symlink_to("scsi_generic/sg7")
    assert hardware.generic(str(device), str(tmp_path), str(tmp_path)) == ""  # sg is loaded, and has no device
    (tmp_path / "sg7").write_text("")
    assert hardware.generic(str(device), str(tmp_path), str(tmp_path)) == str(tmp_path / "sg7")
    assert hardware.generic(str(tmp_path)) == "" == hardware.generic("/no/such")


# sg_read_attr 1.46, as published: a drive HP Ultrium 6 (LTO-6), and mhvtl's; and of here, with a barcode
HP = exact("""\
Attribute values:
  Remaining capacity in partition [MiB]: 2384185
  Load count: 1
  Density vendor/serial number at last load: HP      HUJ808A5L4                      $
  Medium manufacturer: FUJIFILM
  Medium serial number: EW7VWMVKF6                      $
  Vendor specific medium attribute 0x1000: $
 00     02 73 1d 28 47 36 41 43  56 32 58 31 46 55 4a 49    .s.(G6ACV2X1FUJI
""")
MHVTL = """\
Attribute values:
  TapeAlert flags: 0
  Medium serial number: F01030L6_1775794349
"""
BARCODE = exact("""\
Attribute values:
  Medium serial number: EW7VWMVKF6                      $
  Barcode: ABC123L6                        $
""")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (HP, {"serial": "EW7VWMVKF6", "loads": "1"}),
        (MHVTL, {"serial": "F01030L6_1775794349"}),
        (BARCODE, {"serial": "EW7VWMVKF6", "barcode": "ABC123L6"}),
        ("  Barcode:       \n  Medium serial number: \0\0\0\n", {}),
    ],
)
def test_cartridge(text: str, found: dict[str, str]) -> None:
    assert hardware.parse_cartridge(text) == found


@pytest.mark.skipif(not shutil.which("sg_read_attr"), reason="sg3-utils are not installed")
def test_cartridge_as_sg_read_attr_prints_it(tmp_path: Path) -> None:
    attributes = [(0x400, b"FUJIFILM"), (0x401, b"EW7VWMVKF6".ljust(32)), (0x806, b"ABC123L6".ljust(32))]
    data = b"".join(struct.pack(">HBH", code, 1, len(value)) + value for code, value in attributes)
    (tmp_path / "page").write_text(as_hex(struct.pack(">I", len(data)) + data))
    argv = ["sg_read_attr", "--in=%s" % (tmp_path / "page")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert hardware.parse_cartridge(done.stdout) == {"serial": "EW7VWMVKF6", "barcode": "ABC123L6"}


# encryption

# stenc 1.0.7: with an IBM drive ULT3580-HH8 (scsitape/stenc issue 27, there with --detail); of its source, main.cpp
V1 = "Status for /dev/nst0\n--------------------------------------------------\n"
V1_ON = V1 + "Drive Encryption:        on\nDrive Key Desc.(uKAD):   tape_key\n"
V1_DETAIL = (
    V1
    + """\
Device Mfg:              IBM
Product ID:              ULT3580-HH8
Drive Encryption:        on
Drive Output:            Decrypting
                         Unencrypted data not outputted
Drive Input:             Encrypting
Key Instance Counter:    3
Encryption Algorithm:    1
Drive Key Desc.(uKAD):   tape_key
Volume Encryption:       Unable to determine
"""
)
# stenc 2.0.0: its README, with a drive Tandberg LTO-6 HH; its tests (output.cpp), whose pages are of no drive
V2 = "Status for /dev/nst0 (TANDBERG LTO-6 HH 3579)\n--------------------------------------------------\n"
V2_MIXED = (
    V2
    + """\
Reading:                         Decrypting (AES-256-GCM-128)
Writing:                         Encrypting (AES-256-GCM-128)
                                 Protecting from raw read
Key instance counter:            1
Drive key desc. (U-KAD):         mykey20170113
Supported algorithms:
1    AES-256-GCM-128
     Key descriptors allowed, maximum 32 bytes
     Raw decryption mode allowed, raw read enabled by default
"""
)
V2_ON = (
    V2
    + """\
Reading:                         Decrypting (AES-256-GCM-128)
                                 Unencrypted blocks not readable
Writing:                         Encrypting (AES-256-GCM-128)
Key instance counter:            1
Drive key desc. (U-KAD):         Hello world!
Current block status:            Not encrypted
"""
)
V2_OFF = (
    V2
    + """\
Reading:                         Not decrypting
Writing:                         Not encrypting
Key instance counter:            0
"""
)


def said(mode: str, algorithm: str | None = None, key: str | None = None) -> dict[str, Any]:
    return {"mode": mode, "algorithm": algorithm, "key": key}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        (V1, None),  # a drive without encryption: 1.0.7 ends so with status 0
        (V1_ON, said("on", None, "tape_key")),
        (V1_DETAIL, said("on", None, "tape_key")),
        (V1 + "Drive Encryption:        mixed\n", said("mixed")),
        (V1 + "Drive Encryption:        rawread\n", said("rawread")),
        (V1 + "Drive Encryption:        off\n", said("off")),
        (V1 + "Drive Encryption:        unknown\n", said("unknown")),
        (V2, None),
        (V2_MIXED, said("mixed", "AES-256-GCM-128", "mykey20170113")),
        (V2_ON, said("on", "AES-256-GCM-128", "Hello world!")),
        (V2_OFF, said("off")),
        (V2_OFF.replace("Not decrypting", "Decrypting (algorithm 1)"), said("off")),  # it writes plain text
        (
            V2_MIXED.replace("Decrypting (AES-256-GCM-128)", "Not decrypting"),
            said("rawread", "AES-256-GCM-128", "mykey20170113"),
        ),
        (V2_OFF.replace("Not encrypting", "Unknown result '0x1'"), said("unknown")),
    ],
)
def test_encryption_status(text: str, found: dict[str, Any] | None) -> None:
    assert encryption.parse_status(text) == found


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("stenc v1.0.7 - SCSI Tape Encryption Manager\nhttp://sourceforge.net/projects/stenc/\n", 1),  # Debian 12
        ("stenc v1.1.1 - SCSI Tape Encryption Manager\nhttps://github.com/scsitape/stenc \n", 1),
        ("stenc 2.0.0 - SCSI Tape Encryption Manager\nhttps://github.com/scsitape/stenc\n", 2),
        ("", 1),
    ],
)
def test_stenc_version(text: str, version: int) -> None:
    assert encryption.parse_version(text) == version


# what 1.0.7 says when it fails: of scsitape/stenc issue 11, and here ("found in key" is of its source)
FAILED = """\
Error: Turning encryption on for '/dev/nst0' failed!
Sense Code:              Illegal Request (0x05)
 ASC:                    0x26
 ASCQ:                   0x00
 Additional data:        0x00000000000000000000000000000000
Error: Invalid character 'x' found in key!
Key checksum is 7a43.
"""


def test_what_is_repeated() -> None:
    assert encryption._said(FAILED) == (
        "Error: Turning encryption on for '/dev/nst0' failed!, "
        "Sense Code: Illegal Request (0x05), ASC: 0x26, ASCQ: 0x00"
    )


# a stenc whose drive is a file: "MODE KEY", empty for a drive without encryption; of version 1 or 2
STENC = """#!/bin/sh
drive=%(folder)s/drive
case $* in --version) echo "stenc %(version)s - SCSI Tape Encryption Manager"; exit 0;; esac
echo "$*" >> %(folder)s/log
if [ $# -gt 2 ]; then
    echo "Key checksum is 7a43."
    if [ -e %(folder)s/fails ]; then cat %(folder)s/fails >&2; exit 1; fi
    case $* in *"-e off"*) m=off;; *mixed*) m=mixed;; *) m=on;; esac
    [ -e %(folder)s/stuck ] || echo "$m September" > $drive
    exit 0
fi
if [ -e %(folder)s/news ]; then rm %(folder)s/news; echo "Sense Code:    Unit Attention (0x06)" >&2; exit 0; fi
[ -e %(folder)s/says ] && cat %(folder)s/says >&2
read mode key < $drive
echo "Status for $2"; echo ------
[ -n "$mode" ] || exit 0
if [ %(version)s = v1.0.7 ]; then
    echo "Drive Encryption:        $mode"
    [ $mode = off ] || echo "Drive Key Desc.(uKAD):   $key"
else
    case $mode in
    off) echo "Reading:       Not decrypting"; echo "Writing:       Not encrypting";;
    *) echo "Reading:       Decrypting (AES-256-GCM-128)"
       [ $mode = mixed ] || echo "               Unencrypted blocks not readable"
       echo "Writing:       Encrypting (AES-256-GCM-128)"
       echo "Drive key desc. (U-KAD):         $key";;
    esac
fi
"""


class Drive:
    """A drive with stenc, of one of its versions; and a key."""

    def __init__(self, tools: Path, folder: Path, version: str) -> None:
        self.folder, self.version = folder, version
        script(tools, "stenc", STENC % {"folder": folder, "version": version})
        self.key = folder / "key"
        self.key.write_text("00" * 32 + "\nSeptember\n")
        self.key.chmod(0o600)
        self.state("off")

    def state(self, text: str) -> None:
        (self.folder / "drive").write_text(text + "\n")

    def asked(self) -> list[str]:
        lines = (self.folder / "log").read_text().splitlines()
        return [line for line in lines if len(line.split()) > 2]

    def setting(self, **more: Any) -> dict[str, Any]:
        return {"key_file": str(self.key), **more}


@pytest.fixture(params=["v1.0.7", "2.0.0"])
def drive(request: pytest.FixtureRequest, tools: Path, tmp_path: Path) -> Drive:
    return Drive(tools, tmp_path, request.param)


def refusal(*args: Any, **options: Any) -> Any:
    with pytest.raises(Problem) as caught:
        encryption.encryption(*args, **options)
    return caught.value


def test_left_on(drive: Drive) -> None:
    """By a former user: what we would write, nobody could read later."""
    drive.state("on August")
    problem = refusal("/dev/nst0", None)
    assert problem.what == (
        "drive /dev/nst0 encrypts data with the key 'August' (mode on), but tape_encryption does not request it"
    )
    assert problem.hint == (
        "set tape_encryption to {mode: off}, to {mode: keep} if the library manages keys, or to your key"
    )
    assert drive.asked() == []
    assert encryption.encryption("/dev/nst0", {}, writing=False)["mode"] == "on"  # to read is no harm
    kept = encryption.encryption("/dev/nst0", {"mode": "keep"})
    assert kept["key"] == "August" and drive.asked() == []
    off = encryption.encryption("/dev/nst0", {"mode": False})  # YAML's off
    assert off == {"mode": "off", "algorithm": None, "key": None, "note": ""} and len(drive.asked()) == 1


def test_nothing_asked(drive: Drive) -> None:
    assert encryption.encryption("/dev/nst0", None) == {"mode": "off", "algorithm": None, "key": None, "note": ""}
    drive.state("")
    note = "stenc -f /dev/nst0: no encryption status"
    assert encryption.encryption("/dev/nst0", None) == {"mode": None, "algorithm": None, "key": None, "note": note}
    assert drive.asked() == []


# stenc 1.0.7 with a virtual drive that has no encryption, here: it ends with status 0
NOT_THERE = """\
Sense Code:              Illegal Request (0x05)
 ASC:                    0x20
 ASCQ:                   0x00
 Additional data:        0x00000000000000000000
"""


def test_drive_without(drive: Drive, tools: Path) -> None:
    drive.state("")
    (drive.folder / "says").write_text(NOT_THERE)
    note = "stenc -f /dev/nst0: Sense Code: Illegal Request (0x05), ASC: 0x20, ASCQ: 0x00"
    for setting in (None, {"mode": "off"}, {"mode": "keep"}):
        found = encryption.encryption("/dev/nst0", setting)
        assert found == {"mode": None, "algorithm": None, "key": None, "note": note}
    assert drive.asked() == []


def test_news_hide_nothing(drive: Drive) -> None:
    """What a drive says first after another tape has come (unit attention) is not that it has no encryption."""
    drive.state("on August")
    (drive.folder / "news").touch()
    assert refusal("/dev/nst0", None).what.startswith("drive /dev/nst0 encrypts data with the key 'August'")


def test_without_sg_the_device_is_busy(drive: Drive, tools: Path) -> None:
    """stenc 1.0.7, here: st's device is open, and there is no other one."""
    busy = "Could not open device '/dev/nst0': ERROR: Device Busy"
    script(
        tools, "stenc", '#!/bin/sh\ncase $* in --version) echo stenc v1.0.7;; *) echo "%s" >&2; exit 1;; esac\n' % busy
    )
    note = "stenc -f /dev/nst0: " + hardware.NO_SG
    assert encryption.encryption("/dev/nst0", None) == {"mode": None, "algorithm": None, "key": None, "note": note}
    problem = refusal("/dev/nst0", drive.setting())
    assert problem.what.endswith(": the device is busy") and problem.hint == hardware.NO_SG


def test_no_stenc(tools: Path, tmp_path: Path) -> None:
    found = encryption.encryption("/dev/nst0", None)
    assert found == {"mode": None, "algorithm": None, "key": None, "note": "there is no stenc on this host"}
    key = tmp_path / "key"
    key.write_text("")
    key.chmod(0o600)
    assert str(refusal("/dev/nst0", {"key_file": str(key)})) == (
        "tape_encryption cannot be set: there is no stenc on this host: install the package stenc"
    )


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ({}, {"v1.0.7": "-e mixed -a 1 -k KEY", "2.0.0": "-e on -d mixed -k KEY"}),
        ({"mode": "on"}, {"v1.0.7": "-e on -a 1 -k KEY", "2.0.0": "-e on -d on -k KEY"}),
        ({"mode": True}, {"v1.0.7": "-e on -a 1 -k KEY", "2.0.0": "-e on -d on -k KEY"}),
        ({"algorithm": 2}, {"v1.0.7": "-e mixed -a 2 -k KEY", "2.0.0": "-e on -d mixed -a 2 -k KEY"}),
    ],
)
def test_set(drive: Drive, setting: dict[str, Any], options: dict[str, str]) -> None:
    found = encryption.encryption("/dev/nst0", drive.setting(**setting))
    assert drive.asked() == ["-f /dev/nst0 " + options[drive.version].replace("KEY", str(drive.key))]
    mode = "on" if setting.get("mode") else "mixed"
    names = {"v1.0.7": str(setting["algorithm"]) if "algorithm" in setting else None, "2.0.0": "AES-256-GCM-128"}
    assert found == {"mode": mode, "algorithm": names[drive.version], "key": "September", "note": ""}


def test_drive_refuses(drive: Drive) -> None:
    (drive.folder / "fails").write_text(FAILED)
    problem = refusal("/dev/nst0", drive.setting(algorithm=7))
    assert problem.what.startswith("stenc -f /dev/nst0 -e ")
    assert problem.what.endswith(
        "Error: Turning encryption on for '/dev/nst0' failed!, "
        "Sense Code: Illegal Request (0x05), ASC: 0x26, ASCQ: 0x00"
    )
    assert problem.hint.startswith(
        "not every drive supports every mode and algorithm: set mode (mixed, on, off) and algorithm in tape_encryption"
    )
    assert "7a43" not in str(problem)


def test_not_believed(drive: Drive) -> None:
    """It is read back, whatever stenc's status says."""
    (drive.folder / "stuck").touch()
    assert (
        refusal("/dev/nst0", drive.setting()).what
        == "encryption of drive /dev/nst0 was set to mixed, but it reports off"
    )
    drive.state("")
    assert refusal("/dev/nst0", drive.setting()).what.startswith(
        "encryption of drive /dev/nst0 was set to mixed, but it reports nothing (stenc -f /dev/nst0: "
    )


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"key": "00"}, "tape_encryption: unknown key 'key': valid keys are key_file, mode, algorithm"),
        ({"mode": "rot13"}, "tape_encryption.mode is 'rot13': it must be one of mixed, on, off, keep"),
        (
            {"mode": "on"},
            "tape_encryption has no key_file: set it to a file on the tape host with the key in hexadecimal (stenc(1))",
        ),
        (
            {"key_file": "/no/such"},
            "the key file /no/such: No such file or directory: tape_encryption.key_file must be on the tape host",
        ),
        ({"key_file": "/"}, "the key file / cannot be read: set tape_become, or correct tape_encryption.key_file"),
    ],
)
def test_wrong_setting(setting: dict[str, Any], text: str) -> None:
    assert str(refusal("/dev/nst0", setting)) == text


def test_open_key(drive: Drive) -> None:
    drive.key.chmod(0o604)
    assert str(refusal("/dev/nst0", drive.setting())) == (
        "the key file %s is open to every user of this host: chmod 600 %s" % (drive.key, drive.key)
    )
    assert not (drive.folder / "log").exists()
