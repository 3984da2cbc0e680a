# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the number that a drive in tape_devices has in the changer.

With a wrong one, the changer would load another drive than the one that was ejected.  The changer reports the serial
numbers of its drives (READ ELEMENT STATUS with the bit DVCID, SMC-3), and the kernel knows that of each device.  If a
changer does not report them, the drives must be in its order, and agree with it on which of them are full.
"""

import re

from ...common import tools
from ...common.problem import SETTINGS, Problem
from ...common.process import Missing
from . import hardware
from .serials import serial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..reserve.reservation import Reservation
    from .changer import Inventory

# READ ELEMENT STATUS for up to 255 data transfer elements, without volume tags, with the identifiers of drives
ASKED = ("b8", "04", "00", "00", "00", "ff", "01", "00", "40", "00", "00", "00")
ANSWER_SIZE = 0x4000
DRIVES = 4  # the type of element
DUMP = re.compile(r"^ *[0-9a-f]+ {2,}((?:[0-9a-f]{2}[ -]{1,2}){1,16})", re.MULTILINE)  # a line in the output of sg_raw


def number_of(held: "Reservation", found: "Inventory") -> int:
    """The number of a drive in the changer; raises Problem if it has none, or if that is unknown."""
    settings = held.settings
    known = identifiers(settings.changer)
    own = serial(held.drive.path)
    numbers = [number for number, text in known.items() if own and text.endswith(own)]
    exact = [number for number in numbers if text_of(known[number]) == own]
    if len(exact or numbers) == 1:
        return (exact or numbers)[0]
    if own and held.index in known:
        drives = "; ".join("%d: %s" % each for each in sorted(known.items()))
        raise Problem(
            "changer %s has no drive with the serial number of %s, %s" % (settings.changer, held.drive.path, own),
            "is it another library's? the drives of the changer are %s" % drives,
            kind=SETTINGS,
        )
    return by_what_is_full(settings.changer, held, found["drives"])


def text_of(identifier: str) -> str:
    """The serial number, if vendor and model come before it."""
    return identifier.rpartition(" ")[2]


def by_what_is_full(changer: str, held: "Reservation", drives: "dict[int, dict[str, Any]]") -> int:
    """number_of() for a changer that does not report the identifiers of its drives: they are in its order."""
    there = drives.get(held.index)
    if there is None or len(drives) == 1:
        return held.index
    if held.drive.status().loaded != there["full"]:
        raise Problem(
            "changer %s reports that its drive %d is %s, but %s is not"
            % (changer, held.index, "full" if there["full"] else "empty", held.drive.path),
            "tape_devices must name the drives in the changer's order; or remove an ejected tape first",
            kind=SETTINGS,
        )
    barcode = held.label.get("barcode")
    others = [number for number, drive in drives.items() if drive["full"] and number != held.index]
    if there["full"] and others and (not barcode or there["barcode"] != barcode):
        raise Problem(
            "changer %s does not report which of its drives is %s, nor does the label of the tape in it"
            % (changer, held.drive.path),
            "unload it by hand (mtx -f %s unload SLOT %d); is sg_raw (package sg3-utils) installed on this host?"
            % (changer, held.index),
            kind=SETTINGS,
        )
    return held.index


def identifiers(changer: str) -> "dict[int, str]":
    """{number of a drive: its identifier}: the serial number, in some changers after vendor and model."""
    try:
        status, out, err = hardware.ask(["sg_raw", "-r", str(ANSWER_SIZE), changer, *ASKED])
    except (Missing, tools.TooLong):
        return {}
    lines = DUMP.findall(out) or DUMP.findall(err)
    return {} if status else parse(bytes.fromhex("".join(lines).replace(" ", "").replace("-", "")))


def parse(data: bytes) -> "dict[int, str]":
    """The identifiers in the answer to READ ELEMENT STATUS, by the order of the elements (SMC-3, 6.11)."""
    found: "dict[int, str]" = {}
    start = 8  # after the header
    while start + 8 <= len(data):
        kind, flags = data[start], data[start + 1]
        size = int.from_bytes(data[start + 2 : start + 4], "big")
        end = start + 8 + int.from_bytes(data[start + 5 : start + 8], "big")
        at = 12 + 36 * bool(flags & 0x80) + 36 * bool(flags & 0x40)  # after the two volume tags
        for place in range(start + 8, min(end, len(data)) - size + 1, size) if size > at + 4 else ():
            element = data[place : place + size]
            text = element[at + 4 : at + 4 + element[at + 3]].decode("ascii", "replace").strip("\0 ")
            if kind == DRIVES:
                found[len(found)] = " ".join(text.split())
        start = end
    return {number: text for number, text in found.items() if text}
