# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information of drives and cartridges beyond st(4): TapeAlert and the memory chip.  Nothing here can fail a job.

It is read through sg, because the device of st is open.  A drive reports a new tape or a reset (unit attention) only
once, to the next request.  If that comes through sg, st never learns of it, and continues with the old file number at
the beginning of the tape (seen with Linux 6.1).  So none of this is called between the check of the position and the
file mark of an archive, and device.Device trusts only the drive.
"""

import os
import re
import stat

from ...common import tools
from ...common.process import Missing
from ...common.units import say_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

    Alert = Dict[str, Any]  # {"flag": 20, "name": "cleaning required", "severity": "critical"}
    Alerts = List[Alert]

NO_SG = "there is no generic device of this drive, and its other device is open: load the kernel module sg"
LIMIT = 120.0  # seconds: a loading drive responds late
PAGE = "0x2e"  # the log page TapeAlert
SEVERITY = {"C": "critical", "W": "warning", "I": "information"}

# The flags of TapeAlert 1 to 64, with the severity that SSC-4 (table "TapeAlert flags") gives them; 40 to 46 are of
# TapeAlert 3.0, where the drive reported for its loader.  The names are those of sg_logs, if it has one.
FLAGS = """
W read warning            |W write warning            |W hard error                |C media
C read failure            |C write failure            |W media life                |W not data grade
C write protect           |I no removal               |I cleaning media            |I unsupported format
C recoverable mechanical cartridge failure            |C unrecoverable mechanical cartridge failure
W memory chip in cartridge failure                    |C forced eject              |W read only format
W tape directory corrupted on load                    |I nearing media life        |C cleaning required
W cleaning requested      |C expired cleaning media   |C invalid cleaning tape     |W retension requested
W dual port interface error                           |W cooling fan failing       |W power supply failure
W power consumption       |W drive maintenance        |C hardware a                |C hardware b
W interface               |C eject media              |W microcode update fail     |W drive humidity
W drive temperature       |W drive voltage            |C predictive failure        |W diagnostics required
C loader hardware a       |C loader stray tape        |W loader hardware b         |C loader door
C loader hardware c       |C loader magazine          |W loader predictive failure
W external data encryption control - communications failure
W external data encryption control - key manager returned error
W diminished native capacity                          |W lost statistics
W tape directory invalid at unload                    |C tape system area write failure
C tape system area read failure                       |C no start of data          |C loading failure
C unrecoverable unload failure                        |C automation interface failure
W firmware failure                                    |W worm medium - integrity check failed
W worm medium - overwrite attempted                   |W encryption policy violation
I reserved 62             |I reserved 63              |I reserved 64
"""
TABLE = [(each.strip()[2:], SEVERITY[each.strip()[0]]) for each in re.split(r"[|\n]", FLAGS.strip())]
NUMBERS = {name: number for number, (name, _severity) in enumerate(TABLE, 1)}
CODE = re.compile(
    r"(?:\(|0x)([0-9a-f]{2})h?\b", re.IGNORECASE
)  # "Obsolete (28h)", "Reserved parameter code 0x3d, flag"
FLAG = re.compile(r"^[ >]+(\S.*): ([01])\s*$")

# media; read and write failure; both kinds of broken cartridge; forced eject; hardware A and B; eject media;
# system area written and read; no start of data; loading and unloading failed
FATAL = frozenset((4, 5, 6, 13, 14, 16, 30, 31, 33, 52, 53, 54, 55, 56))


def parse_alerts(text: str) -> "Alerts":
    """The set flags in the output of `sg_logs -p 0x2e`: names and 0 or 1 (its versions have 60 names in common).

    A drive reports all 64 in order (SSC-4), so an unknown name still has its number.
    """
    if "apealert" not in text.replace(" ", "").lower() or "Unable to decode" in text:
        return []
    lines = [match.groups() for match in map(FLAG.match, text.splitlines()) if match]
    found = []
    for place, (name, value) in enumerate(lines, 1):
        code = CODE.search(name)
        number = NUMBERS.get(name.lower()) or (int(code.group(1), 16) if code else 0)
        number = number or (place if len(lines) == len(TABLE) else 0)
        if value == "1":
            ours, severity = TABLE[number - 1] if 0 < number <= len(TABLE) else ("", "information")
            known = ours and not ours.startswith("reserved") and (code or name.lower() == ours)
            found.append({"flag": number, "name": ours if known else name.lower(), "severity": severity})
    return found


def alerts(device: str) -> "tuple[Alerts, str]":
    """The set TapeAlert flags of this drive, and why they are unknown ("" if they could be read).

    Reading may clear them in the drive (SSC-4 leaves it to the vendor), so the caller must record the result.
    """
    text, note = _ask(["sg_logs", "-p", PAGE, generic(device) or device], "TapeAlert of %s" % device)
    if not note and "apealert" not in text.replace(" ", "").lower():
        note = "TapeAlert of %s is unknown: this drive does not support it" % device
    return parse_alerts(text), note


def fatal(found: "Alerts") -> "Alerts":
    """The flags that must stop a job, because data written with this tape in this drive cannot be trusted.

    Some critical flags are not among them: write protect (the write fails by itself), flags of cleaning cartridges and
    loaders (the tape is not affected), cleaning required (by the standard, the job finishes first, and a drive that
    cannot write reports "write failure"), predictive failure (a drive that may fail some day is still better than no
    backup).  All flags are shown.  Warnings are never fatal, because their errors were corrected.
    """
    return [alert for alert in found if alert["flag"] in FATAL]


def say(alert: "Alert") -> str:
    """ "TapeAlert 20, critical: cleaning required"."""
    return "TapeAlert %(flag)d, %(severity)s: %(name)s" % alert


def generic(device: str, sysfs: str = "/sys", dev: str = "/dev") -> str:
    """The sg device of a tape drive, by the number of its device; "" if there is none.

    It can be used while the device of st is open, which only one process can open.
    """
    try:
        info = os.stat(device)
        if not stat.S_ISCHR(info.st_mode):
            return ""
        number = "%d:%d" % (os.major(info.st_rdev), os.minor(info.st_rdev))
        target = os.readlink(os.path.join(sysfs, "dev/char", number, "device/generic"))
    except OSError:
        return ""
    path = os.path.join(dev, os.path.basename(target))
    return path if os.path.exists(path) else ""


def parse_cartridge(text: str) -> "dict[str, str]":
    """Barcode, serial number and load count, if they are in the output of `sg_read_attr`."""
    found = {}
    for key, name in (("barcode", "Barcode"), ("serial", "Medium serial number"), ("loads", "Load count")):
        match = re.search(r"^\s*%s:[ \t]*([^\s\0].*?)[\s\0]*$" % name, text, re.MULTILINE)
        if match:
            found[key] = match.group(1)
    return found


def cartridge(device: str) -> "dict[str, str]":
    """{"barcode", "serial", "loads"} of the cartridge in a drive, from its memory chip; unknown ones are missing.

    The barcode exists only if some software has written it; the serial number is from the vendor.
    """
    text, _note = _ask(["sg_read_attr", generic(device) or device], "")
    return parse_cartridge(text)


def _ask(argv: "list[str]", what: str) -> "tuple[str, str]":
    """The output of a tool of sg3-utils, and the reason if there is none."""
    try:
        status, out, err = ask(argv)
    except Missing:
        return "", "%s is unknown: there is no %s on this host (package sg3-utils)" % (what, argv[0])
    except tools.TooLong:
        return "", "%s is unknown: %s did not answer within %s" % (what, argv[0], say_duration(LIMIT))
    if status:
        text = "%s is unknown: %s" % (what, tools.last_lines(err, 2) or "%s: status %d" % (argv[0], status))
        return "", text + (" (%s)" % NO_SG if is_busy(err) else "")
    return out, ""


def is_busy(err: str) -> bool:
    """Whether a tool (sg3-utils, stenc) reports a busy device: that of st, because there is no sg device."""
    return "resource busy" in err or "Device Busy" in err


def ask(argv: "list[str]") -> "tuple[int, str, str]":
    """The result of a tool; repeats it if the drive only reports a unit attention."""
    for _time in range(3):
        status, out, err = tools.ask(argv, LIMIT)
        if "unit attention" not in err.lower():
            break
    return status, out, err
