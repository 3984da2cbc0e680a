# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that read in a way of their own: dd, and those that unpack archives.  A program is known by its name."""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

BLOCKWISE = {"dd", "gdd"}  # a short read is a short block to them
ARCHIVERS = {
    "tar",
    "gtar",
    "bsdtar",
    "star",
    "cpio",
    "pax",
}  # stop at the archive's own end, not at that of their input
RECORD = 20 * 512  # bytes: an archive is padded with NUL to a whole number of records, of this size if tar is not told
LARGEST_RECORD = 1024 * 1024  # bytes: what tape drives commonly take at once, so what --blocking-factor asks for


def programs(argv: "Iterable[str]") -> "set[str]":
    """The names of all programs that may be among these words, or those of a shell's script within them."""
    return {word.rpartition("/")[2] for text in argv for word in re.split(r"[^\w./+-]+", text)}


def reads_blocks(argv: "Iterable[str]") -> bool:
    return bool(programs(argv) & BLOCKWISE)


def padding(argv: "Iterable[str]") -> int:
    """The most bytes of NUL at the end of its input that it may leave unread: a record, and what dd leaves is data."""
    found = programs(argv)
    return LARGEST_RECORD if found & ARCHIVERS else 0 if found & BLOCKWISE else RECORD
