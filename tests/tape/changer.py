# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""A medium changer (SMC-3): slots with tapes that have barcodes, and the drives it serves."""

from __future__ import annotations

import struct
import typing as t

from .cable import Answer
from .drive import Drive
from .medium import ILLEGAL_REQUEST, NO_SENSE, NOT_READY, UNIT_ATTENTION, Tape, sense

ROBOT, SLOT, DOOR, DRIVE = 1, 2, 3, 4  # types of elements
FIRST = {ROBOT: 0, DOOR: 16, DRIVE: 256, SLOT: 4096}  # where their addresses begin


class Changer:
    """A device of a Cable. Slots are counted from 1, drives from 0, as mtx does."""

    def __init__(self, drives: t.Sequence[Drive], slots: int) -> None:
        self.drives = drives
        self.slots: list[Tape | None] = [None] * slots
        self._attention = False
        self.clear()

    def clear(self) -> None:
        self.slots[:] = [None] * len(self.slots)
        self.doors: list[Tape | None] = []  # import/export slots; mtx counts them after the others
        self.in_order = self.drives  # as it numbers them
        self.identifies = True  # it says which drives it serves
        self.unloads = True  # a tape that is still loaded is unloaded before it is moved, as most libraries do
        self.moves: list[tuple[int, int]] = []
        self._from: dict[int, int] = {}  # address of a drive, the slot that its tape has come from

    def reset(self) -> None:
        self._attention = True

    def command(self, cdb: bytes, data: bytes) -> Answer:
        if cdb[0] == 0x12:
            return Answer(b"\x08\x80\x06\x02\x1f\0\0\0SOCKETPI" + b"Changer         " + b"1.0 ")
        if cdb[0] == 0x03:
            return Answer(sense(NO_SENSE).sense)
        if cdb[0] == 0xA0:
            return Answer(struct.pack(">IIQ", 8, 0, 0))
        if self._attention:
            self._attention = False
            return sense(UNIT_ATTENTION, 0x2900)
        if cdb[0] in (0x00, 0x07, 0x1E):
            return Answer()
        if cdb[0] == 0x1A and cdb[2] & 0x3F in (0x1D, 0x3F):
            return self._addresses()
        if cdb[0] == 0xB8:
            return self._status(cdb)
        if cdb[0] == 0xA5:
            return self._move(*struct.unpack_from(">HH", cdb, 4))
        return sense(ILLEGAL_REQUEST, 0x2000)

    def _counts(self) -> dict[int, int]:
        return {ROBOT: 1, SLOT: len(self.slots), DOOR: len(self.doors), DRIVE: len(self.drives)}

    def _addresses(self) -> Answer:
        page = b"\x1d\x12"
        for kind in (ROBOT, SLOT, DOOR, DRIVE):
            page += struct.pack(">HH", FIRST[kind], self._counts()[kind])
        return Answer(bytes([3 + len(page) + 2, 0, 0, 0]) + page + b"\0\0")

    def _status(self, cdb: bytes) -> Answer:
        with_barcodes, wanted = cdb[1] & 0x10, cdb[1] & 0x0F
        with_drives = bool(cdb[6] & 1) and self.identifies
        start, count = struct.unpack_from(">HH", cdb, 2)
        pages = b""
        first, number = 0xFFFF, 0
        for kind in (ROBOT, SLOT, DOOR, DRIVE):
            if wanted not in (0, kind):
                continue
            elements = b""
            for address in range(FIRST[kind], FIRST[kind] + self._counts()[kind]):
                if address >= start and number < count:
                    first, number = min(first, address), number + 1
                    name = self._identifier(address) if with_drives and kind == DRIVE else b""
                    element = self._element(address, bool(with_barcodes), name)
                    elements += element
            if elements:
                flags = 0x80 if with_barcodes else 0
                pages += struct.pack(">BBHI", kind, flags, len(element), len(elements)) + elements
        return Answer(struct.pack(">HHI", first, number, len(pages)) + pages)

    def _element(self, address: int, with_barcode: bool, name: bytes) -> bytes:
        tape = self._at(address)
        came_from = self._from.get(address)
        element = struct.pack(">HBB", address, 8 | (tape is not None), 0) + bytes(5)
        element += struct.pack(">BH", 0x80 if came_from else 0, came_from or 0)
        if with_barcode:
            element += (tape.barcode if tape else "").encode().ljust(32) + bytes(4)
        return element + (struct.pack(">BBBB", 2, 1, 0, len(name)) if name else bytes(4)) + name

    def _identifier(self, address: int) -> bytes:
        """Maker, model and serial number of a drive."""
        return b"SOCKETPIUltrium 6-SCSI  " + self.in_order[address - FIRST[DRIVE]].serial.encode()

    def _at(self, address: int) -> Tape | None:
        if address >= FIRST[SLOT]:
            return self.slots[address - FIRST[SLOT]]
        if address >= FIRST[DRIVE]:
            return self.in_order[address - FIRST[DRIVE]].tape
        return self.doors[address - FIRST[DOOR]] if address >= FIRST[DOOR] else None

    def _put(self, address: int, tape: Tape | None) -> None:
        if address >= FIRST[SLOT]:
            self.slots[address - FIRST[SLOT]] = tape
        elif address < FIRST[DRIVE]:
            self.doors[address - FIRST[DOOR]] = tape
        else:
            self.in_order[address - FIRST[DRIVE]].insert(tape)

    def _move(self, source: int, target: int) -> Answer:
        known = [range(FIRST[kind], FIRST[kind] + self._counts()[kind]) for kind in (SLOT, DOOR, DRIVE)]
        if not all(any(address in each for each in known) for address in (source, target)):
            return sense(ILLEGAL_REQUEST, 0x2101)
        tape = self._at(source)
        if tape is None:
            return sense(ILLEGAL_REQUEST, 0x3B0E)
        if self._at(target) is not None:
            return sense(ILLEGAL_REQUEST, 0x3B0D)
        if (
            FIRST[DRIVE] <= source < FIRST[SLOT]
            and not self.unloads
            and not self.in_order[source - FIRST[DRIVE]].ejected
        ):
            return sense(NOT_READY, 0x5302)
        self.moves.append((source, target))
        self._put(source, None)
        self._put(target, tape)
        self._from.pop(source, None)
        if FIRST[DRIVE] <= target < FIRST[SLOT]:
            self._from[target] = source
        return Answer()
