# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What drives and cartridges tell beyond st(4): TapeAlert, and the memory chip.  Nothing here can fail a job.

They are asked through sg, as st's device is open.  A drive says once that there is another tape in it, or that it was
reset (unit attention), to whoever asks next.  If that is sg, st never hears of it, and goes on with the file number of
before at the beginning of the tape (seen with Linux 6.1): so nothing here is asked between the check of a tape's
position and the mark of an archive, and device.Device believes the drive alone.
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

NO_SG = "the host has no generic device of this drive, and the other one is open: load the kernel's module sg"
LIMIT = 120.0  # seconds: a drive that is loading answers late
PAGE = "0x2e"  # the log page TapeAlert
SEVERITY = {"C": "critical", "W": "warning", "I": "information"}

# The flags of TapeAlert 1 to 64, with the severity that SSC-4 (table "TapeAlert flags") gives them; 40 to 46 are of
# TapeAlert 3.0, where the drive spoke for its loader.  The names are those of sg_logs where it has one.
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
    """The flags that are up, of what `sg_logs -p 0x2e` prints: names and 0 or 1 (its versions have 60 names in common).

    A drive has all 64 in their order (SSC-4), so that a name that is not known yet still has its number.
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
    """The flags of TapeAlert that are up in this drive, and why there are none to be had ("" if they could be read).

    Reading may clear them in the drive (SSC-4 leaves it to the maker): who calls this records what it returns.
    """
    text, note = _ask(["sg_logs", "-p", PAGE, generic(device) or device], "TapeAlert of %s" % device)
    if not note and "apealert" not in text.replace(" ", "").lower():
        note = "TapeAlert of %s is not known: this drive does not have it" % device
    return parse_alerts(text), note


def fatal(found: "Alerts") -> "Alerts":
    """Those that must stop a job: what has been or will be written with this tape in this drive cannot be relied on.

    Critical, and not among them: write protect (the write fails by itself), what concerns cleaning cartridges and
    loaders (the tape is none the worse), cleaning required (the standard has the job finish first, and a drive that
    cannot write any more says so with "write failure"), predictive failure (a drive that may fail one day is better
    used tonight than left: it is shown as all others are).  Warnings never are: their errors have been corrected.
    """
    return [alert for alert in found if alert["flag"] in FATAL]


def say(alert: "Alert") -> str:
    """ "TapeAlert 20, critical: cleaning required"."""
    return "TapeAlert %(flag)d, %(severity)s: %(name)s" % alert


def generic(device: str, sysfs: str = "/sys", dev: str = "/dev") -> str:
    """The sg device of a tape drive by the number of its device, "" if there is none.

    It can be asked while the drive is open, which st allows one process only.
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
    """The barcode, the serial number and how often it was loaded, as far as they are in what `sg_read_attr` prints."""
    found = {}
    for key, name in (("barcode", "Barcode"), ("serial", "Medium serial number"), ("loads", "Load count")):
        match = re.search(r"^\s*%s:[ \t]*([^\s\0].*?)[\s\0]*$" % name, text, re.MULTILINE)
        if match:
            found[key] = match.group(1)
    return found


def cartridge(device: str) -> "dict[str, str]":
    """{"barcode", "serial", "loads"} of the cartridge in a drive, from its memory chip; what is not known is not there.

    The barcode is there only if somebody's software has written it; the serial number is the maker's.
    """
    text, _note = _ask(["sg_read_attr", generic(device) or device], "")
    return parse_cartridge(text)


def _ask(argv: "list[str]", what: str) -> "tuple[str, str]":
    """What a tool of sg3-utils prints, and why it does not."""
    try:
        status, out, err = ask(argv)
    except Missing:
        return "", "%s is not known: there is no %s on this host (package sg3-utils)" % (what, argv[0])
    except tools.TooLong:
        return "", "%s is not known: %s has not answered within %s" % (what, argv[0], say_duration(LIMIT))
    if status:
        text = "%s is not known: %s" % (what, tools.last_lines(err, 2) or "%s: status %d" % (argv[0], status))
        return "", text + (" (%s)" % NO_SG if is_busy(err) else "")
    return out, ""


def is_busy(err: str) -> bool:
    """Whether a tool (sg3-utils, stenc) says that the device is open: it was given st's, as there is none of sg."""
    return "resource busy" in err or "Device Busy" in err


def ask(argv: "list[str]") -> "tuple[int, str, str]":
    """What a tool says, at last: a drive that has news (unit attention) does not do what it was asked for."""
    for _time in range(3):
        status, out, err = tools.ask(argv, LIMIT)
        if "unit attention" not in err.lower():
            break
    return status, out, err
