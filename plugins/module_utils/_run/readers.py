# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs with special ways of reading, recognized by name: dd and archivers."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

BLOCKWISE = {"dd", "gdd"}  # they turn a short read into a short block
ARCHIVERS = {
    "tar",
    "gtar",
    "bsdtar",
    "star",
    "cpio",
    "pax",
}  # they stop at the end of the archive, not of the input
RECORD = 20 * 512  # bytes: tar pads an archive with NUL to a multiple of the record size, by default this one
LARGEST_RECORD = 1024 * 1024  # bytes: a common limit of tape drives, and so of --blocking-factor


def programs(argv: "Iterable[str]") -> "set[str]":
    """The names of all possible programs in these words, which may contain shell scripts."""
    found: "set[str]" = set()
    for text in argv:  # not by the module re, which would take a tenth of the start-up
        words = "".join(letter if letter.isalnum() or letter in "_./+-" else " " for letter in text).split(" ")
        found.update(word.rpartition("/")[2] for word in words)
    return found


def reads_blocks(argv: "Iterable[str]") -> bool:
    return bool(programs(argv) & BLOCKWISE)


def padding(argv: "Iterable[str]") -> int:
    """How many NUL bytes a command may leave unread at the end of its input: one record, but none for dd."""
    found = programs(argv)
    return LARGEST_RECORD if found & ARCHIVERS else 0 if found & BLOCKWISE else RECORD
