# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""A cartridge, and the words in which a SCSI device says that something is wrong."""

from __future__ import annotations

import dataclasses
import struct

from .cable import Answer

NO_SENSE, NOT_READY, MEDIUM_ERROR, HARDWARE_ERROR, ILLEGAL_REQUEST, UNIT_ATTENTION = 0, 2, 3, 4, 5, 6
DATA_PROTECT, BLANK_CHECK, VOLUME_OVERFLOW = 7, 8, 13
FILE_MARK, END_OF_MEDIUM, WRONG_LENGTH = 0x80, 0x40, 0x20  # flags beside the key

Record = bytes | None


def sense(key: int, code: int = 0, flags: int = 0, information: int | None = None) -> Answer:
    """An answer with fixed-format sense data; `code` is the additional sense code and its qualifier, 0x3A00."""
    valid, value = (0xF0, information & 0xFFFFFFFF) if information is not None else (0x70, 0)
    return Answer(sense=struct.pack(">BBBIBIHBBI", valid, 0, key | flags, value, 10, 0, code, 0, 0, 0)[:18])


@dataclasses.dataclass
class Tape:
    """Its records in a list: their bytes, or None for a file mark. What is written ends it there.

    Beyond `capacity` less `reserve` each write is answered with an early warning.
    """

    barcode: str
    capacity: int = 1 << 40
    reserve: int = 1 << 20
    write_protected: bool = False
    worm: bool = False
    serial: str = ""  # in its chip; a tape without has none
    loads: int = 0
    records: list[Record] = dataclasses.field(default_factory=list)

    def files(self) -> list[list[bytes]]:
        """Its records, by file; the last one is what stands behind the last mark."""
        found: list[list[bytes]] = [[]]
        for record in self.records:
            if record is None:
                found.append([])
            else:
                found[-1].append(record)
        return found

    def used(self) -> int:
        return sum(len(record) for record in self.records if record is not None)

    def end(self) -> bool:
        """Does it end in a file mark?"""
        return bool(self.records) and self.records[-1] is None
