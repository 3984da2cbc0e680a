# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""What an LTO drive does with the keys that stenc gives it: security protocol 20h (SSC-4, tape data encryption).

Nothing is enciphered: a record remembers its key, and is not given to whoever has another.
"""

from __future__ import annotations

import struct

from .cable import Answer
from .medium import DATA_PROTECT, ILLEGAL_REQUEST, Record, sense

OFF, ENCRYPT = 0, 2
DECRYPT, MIXED = 2, 3  # of reading: encrypted records only, all


class Sealed(bytes):
    """A record that was written with a key."""

    key = b""


class Encryption:
    def __init__(self) -> None:
        self.writing = self.reading = OFF
        self.key = b""
        self.description = b""  # as it came, with its header
        self.instance = 0

    def spout(self, cdb: bytes, data: bytes) -> Answer:
        if cdb[1:4] != b"\x20\0\x10":
            return sense(ILLEGAL_REQUEST, 0x2400)
        self.writing, self.reading = data[6], data[7]
        length = int.from_bytes(data[18:20], "big")
        self.key = data[20 : 20 + length] if self.writing else b""
        self.description = data[20 + length :] if self.writing else b""
        self.instance += 1
        return Answer()

    def spin(self, cdb: bytes, following: Record) -> Answer:
        if cdb[1:4] == b"\x20\0\x20":
            state = bytes([0x42, self.writing, self.reading, 1]) + struct.pack(">I", self.instance) + bytes(12)
            content = state + self.description
        elif cdb[1:4] == b"\x20\0\x21":
            known = 3 if following is not None else 2  # not encrypted; a mark, or nothing
            if isinstance(following, Sealed):
                known = 5 if following.key == self.key else 6
            content = bytes(8) + bytes([known, 1, 0, 0])
        else:
            return sense(ILLEGAL_REQUEST, 0x2400)
        return Answer(cdb[2:4] + struct.pack(">H", len(content)) + content)

    def seal(self, record: bytes) -> bytes:
        if self.writing != ENCRYPT:
            return record
        sealed = Sealed(record)
        sealed.key = self.key
        return sealed

    def refusal(self, record: bytes) -> Answer | None:
        """What is said instead of this record, if the drive does not give it."""
        if isinstance(record, Sealed):
            readable = self.reading in (DECRYPT, MIXED) and record.key == self.key
            return None if readable else sense(DATA_PROTECT, 0x7401)
        return sense(DATA_PROTECT, 0x7402) if self.reading == DECRYPT else None
