# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The label of a tape: its first tape file, one block of LABEL_BLOCK bytes, for programs and for people."""

import hashlib
import json
import os

from ...common import names
from ...common.problem import NEWER, UPGRADE, Problem
from ...common.units import now_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LABEL_BLOCK = 8192  # bytes; fixed for ever, as whoever reads it knows nothing of the tape yet
FORMAT = 1  # of a label; one without a version is of format 1
OURS = b"socketpipe tape label "
MAGIC = OURS + b"%d\n" % FORMAT
TEXTS = ("label", "id", "barcode", "labelled", "host")

RECIPE = """
This tape was written by plumbing.socketpipe, but it needs nothing of it to be read.
Tape file 0 is this label, one block of 8192 bytes. Each of the others is one
archive of GNU tar, in blocks of %(block_size)d bytes. Tape files are counted from 0. With
the packages mt-st (some call it mt), tar and coreutils, and DEV the drive that does
not rewind, such as /dev/nst0:

  mt-st -f DEV rewind
  mt-st -f DEV setblk 0
  mt-st -f DEV fsf 3                                 to tape file 3
  dd if=DEV bs=%(block_size)d | tar -tvf -                 what is in it
  mt-st -f DEV rewind; mt-st -f DEV fsf 3
  dd if=DEV bs=%(block_size)d | tar -xpf - -C /some/where  get it back

Each archive begins with its name: run, host, level, date. Level 0 is whole, another
level has what changed since the last lower one: extract level 0 first, then the
others in the order of their dates, each with --listed-incremental=/dev/null. An
archive whose name begins with "catalog" is a list of what is on this and on other
tapes (JSON). An archive that was broken off looks like any other, so trust
the catalog, or tar's own complaint about an unexpected end of file.
"""

LTFS = (
    "an LTFS volume, which has two partitions: labelled as it is, only the small first one of them would be used, so "
    "make it one again first with mkltfs --wipe"
)
FOREIGN = (
    (OURS, 0, "a damaged label of this collection"),
    (b"AMANDA: TAPESTART", 0, "a tape of Amanda"),
    (b"Bacula", 0, "a tape of Bacula or Bareos"),
    (b"BB02", 12, "a tape of Bacula or Bareos"),
    (b"LTFS ", 24, LTFS),  # in its VOL1 label, the implementation identifier
    (b"VOL1", 0, "a tape with an ANSI label"),
    (b"ustar", 257, "a tar archive without a label"),
    (b"070701", 0, "a cpio archive"),
)


def make(label: str, block_size: int, barcode: str, host: str) -> "dict[str, Any]":
    """What a label says: a fresh identity each time that a tape is labelled."""
    return {
        "format": FORMAT,
        "label": label,
        "id": os.urandom(8).hex(),
        "barcode": barcode,
        "block_size": block_size,
        "labelled": now_iso(),
        "host": host,
    }


def block_of(label: "dict[str, Any]") -> bytes:
    """The label as it is on the tape, LABEL_BLOCK bytes of ASCII."""
    text = MAGIC + json.dumps(label, sort_keys=True).encode() + b"\n" + (RECIPE % label).encode()
    if len(text) > LABEL_BLOCK:
        raise Problem("the label does not fit in %d bytes" % LABEL_BLOCK, "give a shorter name")
    return text + b"\n" * (LABEL_BLOCK - len(text))


def parse(block: bytes) -> "dict[str, Any] | None":
    """The label in the first block of a tape, None if it has none, or a damaged one; raises Problem if it is newer."""
    if not block.startswith(OURS):
        return None
    lines = block[len(OURS) :].split(b"\n", 2)
    check_format(int(lines[0]) if lines[0].isdigit() else 0)
    if not block.startswith(MAGIC):
        return None
    try:
        label = json.loads(lines[1].decode())
        names.checked("tape", label["label"])  # it may be anybody's tape
        number = label.get("format", 1)
        whole = all(isinstance(label[key], str) for key in TEXTS) and isinstance(label["block_size"], int)
        if whole and type(number) is int and number > 0 and label["id"] and label["block_size"] > 0:
            check_format(number)
            return dict(label)
    except Problem as exc:
        if exc.kind == NEWER:
            raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        pass
    return None


def check_format(number: int) -> None:
    """Raises Problem for a label that only a later version of the collection can read."""
    if number > FORMAT:
        raise Problem(
            "the tape has a label of format %d, and this version of the collection reads formats up to %d"
            % (number, FORMAT),
            UPGRADE,
            kind=NEWER,
        )


def describe(block: bytes) -> str:
    """What a first block that is not our label looks like."""
    for magic, offset, name in FOREIGN:
        if block[offset : offset + len(magic)] == magic:
            return name
    return "data without a label"


def fingerprint(block: bytes) -> str:
    """What a person repeats to say that just this content may be overwritten."""
    return hashlib.sha256(block[:512]).hexdigest()[:12]
