# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls the encryption in a drive with stenc; 1.x (all Debian and Ubuntu releases so far) and 2.x differ.

Only stenc reads the key file; this program does not open it.  Of the output of stenc on the key (1.x prints a checksum)
it repeats only the description, which the drive writes on the tape anyway.
"""

import os
import re
import stat

from ...common import tools
from ...common.problem import Problem
from ...common.process import Missing
from ...common.units import say_duration
from . import hardware

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODES = ("mixed", "on", "off", "keep")
SETTINGS = ("key_file", "mode", "algorithm")
# the default of 1.x is 0, which every LTO drive refuses: https://github.com/scsitape/stenc/pull/28
ALGORITHM = "1"


def parse_version(text: str) -> int:
    """The major version in the output of `stenc --version`; 1 if unknown."""
    match = re.search(r"stenc v?(\d+)\.", text)
    return int(match.group(1)) if match else 1


def parse_status(text: str) -> "dict[str, Any] | None":
    """Parse the output of `stenc -f DEVICE`; None if it has no status (1.x then exits with 0).

    {"mode": on (reads only encrypted data), mixed (reads both), rawread, off or unknown;
    "algorithm": its name, None if missing (1.x); "key": its description, None if missing}
    """
    fields = {}  # type: dict[str, str]
    name = ""
    for line in text.splitlines():
        match = re.match(
            r"((?:Drive Encryption|Reading|Writing|Drive Key Desc\.\(uKAD\)|Drive key desc\. \(U-KAD\)):)\s*(.*)", line
        )
        if match:
            name = match.group(1).rstrip(":")
            fields[name] = match.group(2).strip()
        elif name and line.startswith(" "):  # a continuation line
            fields[name] += "\n" + line.strip()
        else:
            name = ""
    key = fields.get("Drive Key Desc.(uKAD)") or fields.get("Drive key desc. (U-KAD)") or None
    found = {"mode": "unknown", "algorithm": None, "key": key}  # type: dict[str, Any]
    if "Drive Encryption" in fields:
        mode = fields["Drive Encryption"]
        found["mode"] = mode if mode in ("on", "mixed", "rawread", "off") else "unknown"
    elif "Writing" in fields:
        writing, reading = fields["Writing"], fields.get("Reading", "")
        if writing.startswith("Encrypting"):
            decrypts = "on" if "Unencrypted blocks not readable" in reading else "mixed"
            found["mode"] = decrypts if reading.startswith("Decrypting") else "rawread"
            algorithm = re.match(r"Encrypting \((.*)\)", writing)
            found["algorithm"] = algorithm.group(1) if algorithm else None
        elif writing.startswith("Not encrypting"):
            found["mode"] = "off"  # reading does not change a tape
    else:
        return None
    return found


def check(setting: "dict[str, Any]") -> None:
    """Raises Problem if tape_encryption or the key file is invalid."""
    strange = sorted(set(setting) - set(SETTINGS))
    if strange:
        known = "valid keys are " + ", ".join(SETTINGS)
        raise Problem("tape_encryption: unknown key %s" % ", ".join(map(repr, strange)), known)
    if not setting:
        return
    mode = setting.get("mode", "mixed")
    if mode is False or mode is True:  # off and on in YAML
        mode = setting["mode"] = "on" if mode else "off"
    if mode not in MODES:
        raise Problem("tape_encryption.mode is %r" % (mode,), "it must be one of " + ", ".join(MODES))
    if mode in ("off", "keep"):
        return
    path = setting.get("key_file") or ""
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise Problem(
            "tape_encryption has no key_file",
            "set it to a file on the tape host with the key in hexadecimal (stenc(1))",
        )
    try:
        info = os.stat(path)
    except OSError as exc:
        raise Problem(
            "the key file %s: %s" % (path, exc.strerror), "tape_encryption.key_file must be on the tape host"
        ) from None
    if not stat.S_ISREG(info.st_mode) or not os.access(path, os.R_OK):
        raise Problem("the key file %s cannot be read" % path, "set tape_become, or correct tape_encryption.key_file")
    if info.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise Problem("the key file %s is open to every user of this host" % path, "chmod 600 %s" % path)


def encryption(device: str, setting: "dict[str, Any] | None", writing: bool = True) -> "dict[str, Any]":
    """Set the encryption of a drive as in tape_encryption, and check it; raises Problem.

    {"key_file", "mode": mixed (the default: encrypts, and reads old tapes and labels as well) or on, "algorithm"};
    mode off switches it off; mode keep leaves it to others (a library that manages keys).  Without a setting nothing
    is changed.  But before ``writing``, a drive that still encrypts with another key raises Problem, because nobody
    could read the archive later.  Returns, for the catalog, {"mode", "algorithm", "key": its description, "note": why
    the status is unknown}.
    """
    setting = dict(setting or {})
    check(setting)
    asked = setting.get("mode", "mixed") if setting else ""
    path = hardware.generic(device) or device
    found, note, has_none = _look(path)
    if asked == "off" and has_none:
        pass
    elif asked in ("on", "mixed", "off"):
        version = _version()
        if not version:
            raise Problem("tape_encryption cannot be set: " + note, "install the package stenc")
        if asked != "off" or (found or {}).get("mode") != "off":
            _set(path, setting, asked, version)
            found, note, _has_none = _look(path)
        if found is None or found["mode"] != asked:
            said = found["mode"] if found else "nothing (%s)" % note
            raise Problem(
                "encryption of drive %s was set to %s, but it reports %s" % (device, asked, said), _help(version, asked)
            )
    elif not asked and writing and found and found["mode"] != "off":
        key = " with the key %r" % found["key"] if found["key"] else ""
        raise Problem(
            "drive %s encrypts data%s (mode %s), but tape_encryption does not request it"
            % (device, key, found["mode"]),
            "set tape_encryption to {mode: off}, to {mode: keep} if the library manages keys, or to your key",
        )
    result = found or {"mode": None, "algorithm": None, "key": None}
    if result["mode"] in ("on", "mixed") and result["algorithm"] is None and setting.get("algorithm") is not None:
        result["algorithm"] = str(setting["algorithm"])
    return dict(result, note=note)


def _look(path: str) -> "tuple[dict[str, Any] | None, str, bool]":
    """(the status, the reason if there is none, whether the drive has no encryption)."""
    try:
        # without --detail, because 1.x then moves the tape: https://github.com/scsitape/stenc/issues/63
        status, out, err = hardware.ask(["stenc", "-f", path])
    except Missing:
        return None, "there is no stenc on this host", False
    except tools.TooLong:
        return None, "stenc did not answer within %s" % say_duration(hardware.LIMIT), False
    if hardware.is_busy(err):
        return None, "stenc -f %s: %s" % (path, hardware.NO_SG), False
    found = None if status else parse_status(out)
    said = _said(err)
    note = "" if found else "stenc -f %s: %s" % (path, said or "no encryption status")
    return found, note, found is None and "Illegal Request" in said


def _version() -> int:
    """The major version of stenc, 0 if it is not installed."""
    try:
        _status, out, err = hardware.ask(["stenc", "--version"])
    except (Missing, tools.TooLong):
        return 0
    return parse_version(out + err)


def _set(path: str, setting: "dict[str, Any]", mode: str, version: int) -> None:
    argv = ["stenc", "-f", path, "-e", mode]
    if version >= 2:
        argv = ["stenc", "-f", path, "-e", "off" if mode == "off" else "on", "-d", mode]
    algorithm = setting.get("algorithm")
    if algorithm is None and version < 2:
        algorithm = ALGORITHM
    if algorithm is not None:
        argv += ["-a", str(algorithm)]
    if mode != "off":
        argv += ["-k", setting["key_file"]]
    try:
        status, _out, err = hardware.ask(argv)
    except tools.TooLong:
        raise Problem(
            "%s did not finish within %s" % (" ".join(argv), say_duration(hardware.LIMIT)), "is a tape in the drive?"
        ) from None
    if hardware.is_busy(err):
        raise Problem("%s: the device is busy" % " ".join(argv), hardware.NO_SG)
    if status:
        raise Problem("%s: %s" % (" ".join(argv), _said(err) or "exit status %d" % status), _help(version, mode))


def _help(version: int, mode: str) -> str:
    text = (
        "not every drive supports every mode and algorithm: set mode (%s) and algorithm in tape_encryption"
        % ", ".join(MODES[:3])
    )
    return text + (", which stenc -f DEVICE lists" if version >= 2 else " (1 for LTO)")


def _said(err: str) -> str:
    """The error message of stenc without anything that may reveal the key: its checksum, its characters, raw data."""
    kept = []
    for line in err.splitlines():
        words = " ".join(line.split())
        if (
            re.match(r"(Error: |stenc: |ERROR: |Sense Code: |ASC: ?|ASCQ: ?|Could not open )", words)
            and "in key" not in words
        ):
            kept.append(words)
    return ", ".join(kept)[:400]
