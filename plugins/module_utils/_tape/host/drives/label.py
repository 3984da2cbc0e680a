# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The label of a tape: its first tape file, one block of LABEL_BLOCK bytes, readable for programs and people."""

import hashlib
import json
import os

from ...common import filters, names
from ...common.problem import NEWER, UPGRADE, Problem
from ...common.units import now_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LABEL_BLOCK = 8192  # bytes; never changes, because a reader knows nothing of the tape yet
FORMAT = 1  # of a label; without a version it is format 1
OURS = b"socketpipe tape label "
MAGIC = OURS + b"%d\n" % FORMAT
TEXTS = ("label", "id", "barcode", "labelled", "host")

WHEN = ". When this\ntape was labelled, these were"
RECIPE = """
This tape was written by plumbing.socketpipe, but can be read without it.
Tape file 0 is this label, one block of 8192 bytes. Each other tape file is one
archive of GNU tar, in blocks of %(block_size)d bytes. Tape files are counted from 0. With
the packages mt-st (some call it mt), tar and coreutils, and DEV as the non-rewinding
device of the drive, such as /dev/nst0:

  mt-st -f DEV rewind
  mt-st -f DEV setblk 0
  mt-st -f DEV fsf 3                                 to tape file 3
  dd if=DEV bs=%(block_size)d | tar -tvf -                 list its contents
  mt-st -f DEV rewind; mt-st -f DEV fsf 3
  dd if=DEV bs=%(block_size)d | tar -xpf - -C /some/where  restore it

Each archive begins with its name: run, host, level, date. Level 0 is a full archive,
other levels have the changes since the last lower level. Extract level 0 first, then
the others in the order of their dates, each with --listed-incremental=/dev/null. An
archive whose name begins with "catalog" lists the contents of this and of other tapes
(JSON). If it has "filters" for an archive, that one was compressed or encrypted: put the
commands that undo it between dd and tar, the last filter first%(when)s:

  dd if=DEV bs=%(block_size)d | %(unpack)s | tar -xpf - -C /some/where

An incomplete archive looks like any other, so check the catalog, or whether
tar reports an unexpected end of file.
"""

LTFS = (
    "an LTFS volume with two partitions, of which only the small first one would be used: remove the partitions first "
    "with mkltfs --wipe"
)
FOREIGN = (
    (OURS, 0, "a damaged label of this collection"),
    (b"AMANDA: TAPESTART", 0, "a tape of Amanda"),
    (b"Bacula", 0, "a tape of Bacula or Bareos"),
    (b"BB02", 12, "a tape of Bacula or Bareos"),
    (b"LTFS ", 24, LTFS),  # the implementation identifier in its VOL1 label
    (b"VOL1", 0, "a tape with an ANSI label"),
    (b"ustar", 257, "a tar archive without a label"),
    (b"070701", 0, "a cpio archive"),
)


def make(label: str, block_size: int, barcode: str, host: str, unpack: str = "") -> "dict[str, Any]":
    """The fields of a new label, with a new identity each time; ``unpack``: commands that undo the filters in use."""
    made = {
        "format": FORMAT,
        "label": label,
        "id": os.urandom(8).hex(),
        "barcode": barcode,
        "block_size": block_size,
        "labelled": now_iso(),
        "host": host,
    }
    return {**made, "unpack": unpack} if unpack else made


def block_of(label: "dict[str, Any]") -> bytes:
    """The label as written on the tape, LABEL_BLOCK bytes of ASCII."""
    unpack = label.get("unpack")
    told = {**label, "unpack": unpack or filters.EXAMPLE, "when": WHEN if unpack else ", such as"}
    text = MAGIC + json.dumps(label, sort_keys=True).encode() + b"\n" + (RECIPE % told).encode()
    if len(text) > LABEL_BLOCK:
        raise Problem(
            "the label does not fit in %d bytes" % LABEL_BLOCK,
            "give a shorter name, or shorter commands in tape_filter",
        )
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
        names.checked("tape", label["label"])  # anybody may have written this tape
        number = label.get("format", 1)
        whole = all(isinstance(label[key], str) for key in TEXTS) and isinstance(label["block_size"], int)
        if (
            whole
            and isinstance(number, int)
            and number is not True
            and number > 0
            and label["id"]
            and label["block_size"] > 0
        ):
            check_format(number)
            return dict(label)
    except Problem as exc:
        if exc.kind == NEWER:
            raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        pass
    return None


def check_format(number: int) -> None:
    """Raises Problem for a label with a format of a later version of the collection."""
    if number > FORMAT:
        raise Problem(
            "the tape has a label of format %d, but this version of the collection reads only formats up to %d"
            % (number, FORMAT),
            UPGRADE,
            kind=NEWER,
        )


def describe(block: bytes) -> str:
    """A description of a first block that is not a label of this collection."""
    for magic, offset, name in FOREIGN:
        if block[offset : offset + len(magic)] == magic:
            return name
    return "data without a label"


def fingerprint(block: bytes) -> str:
    """The fingerprint of a first block, with which a user confirms overwriting exactly this content."""
    return hashlib.sha256(block[:512]).hexdigest()[:12]
