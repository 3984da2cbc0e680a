# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""A tape drive as the SCSI standards (SSC-4, SPC-4) and LTO drives have it.

Tests turn its knobs: they make it slow or broken, or stop it at a record to see what happens in the middle of things.
"""

from __future__ import annotations

import struct
import threading
import time
import typing as t

from .cable import Answer
from .encryption import Encryption
from .medium import (
    BLANK_CHECK,
    DATA_PROTECT,
    END_OF_MEDIUM,
    FILE_MARK,
    ILLEGAL_REQUEST,
    NO_SENSE,
    NOT_READY,
    UNIT_ATTENTION,
    VOLUME_OVERFLOW,
    WRONG_LENGTH,
    Tape,
    sense,
)

Trouble = t.Callable[[bytes], Answer | None]


def signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


class Drive:
    """A device of a Cable."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.holding = threading.Event()  # it has stopped, see hold()
        self._go_on = threading.Event()
        self.clear()

    def clear(self) -> None:
        """As from the factory, and empty."""
        self.tape: Tape | None = None
        self.position = 0  # in tape.records
        self.ejected = False  # the tape is in its mouth
        self.block_length = 0
        self.buffered = True
        self.compression = True
        self.encryption = Encryption()
        self.alerts: set[int] = set()  # TapeAlert flags; reading them clears them
        self.rate = 0.0  # bytes in a second; 0 is as fast as it goes
        self.trouble: Trouble | None = None  # asked first, with the CDB; its answer is the drive's
        self.commands: list[int] = []  # operation codes, for a test to look at
        self._attention = 0
        self.go_on()

    def insert(self, tape: Tape | None) -> None:
        self.tape, self.position, self.ejected = tape, 0, False
        if tape is not None:
            tape.loads += 1
            self._attention = 0x2800

    def reset(self, rewinds: bool = False) -> None:
        """It keeps its tape, and its position unless it ``rewinds``, as some do."""
        self._attention = 0x2900
        self.position = 0 if rewinds else self.position

    def hold(self, records: int) -> None:
        """Takes this many records and answers the next write only after go_on(); `holding` says that it has come."""
        self._hold_after = records
        self.holding.clear()
        self._go_on.clear()

    def go_on(self) -> None:
        self._hold_after = -1
        self._go_on.set()

    def command(self, cdb: bytes, data: bytes) -> Answer:
        self.commands.append(cdb[0])
        if self.trouble is not None:
            answer = self.trouble(cdb)
            if answer is not None:
                return answer
        if cdb[0] == 0x12:
            return self._inquiry(cdb)
        if cdb[0] == 0x03:
            return Answer(sense(NO_SENSE).sense)
        if cdb[0] == 0xA0:
            return Answer(struct.pack(">IIQ", 8, 0, 0))
        if self._attention:
            code, self._attention = self._attention, 0
            return sense(UNIT_ATTENTION, code)
        anytime = {0x15: self._mode_select, 0x1A: self._mode_sense, 0x1B: self._load, 0x1E: self._nothing}
        anytime |= {0x05: self._limits, 0x4D: self._log_sense, 0xA2: self._spin, 0xB5: self.encryption.spout}
        if cdb[0] in anytime:
            return anytime[cdb[0]](cdb, data)
        with_tape = {0x00: self._nothing, 0x01: self._rewind, 0x08: self._read, 0x0A: self._write, 0x10: self._marks}
        with_tape |= {0x8C: self._chip, 0x11: self._space, 0x19: self._erase, 0x2B: self._locate, 0x34: self._where}
        if cdb[0] not in with_tape:
            return sense(ILLEGAL_REQUEST, 0x2000)
        if self.tape is None or self.ejected:
            return sense(NOT_READY, 0x3A00)
        return with_tape[cdb[0]](cdb, data)

    def _chip(self, cdb: bytes, data: bytes) -> Answer:
        """READ ATTRIBUTE: how often it was loaded, and its serial number."""
        assert self.tape is not None
        values = [(0x0003, 0, struct.pack(">Q", self.tape.loads)), (0x0401, 1, self.tape.serial.encode().ljust(32))]
        if cdb[1] & 0x1F or not self.tape.serial:
            return sense(ILLEGAL_REQUEST, 0x2400)
        found = b"".join(struct.pack(">HBH", number, form, len(value)) + value for number, form, value in values)
        return Answer((struct.pack(">I", len(found)) + found)[: struct.unpack_from(">I", cdb, 10)[0]])

    # What does not need a tape

    def _nothing(self, cdb: bytes, data: bytes) -> Answer:
        return Answer()

    def _inquiry(self, cdb: bytes) -> Answer:
        if not cdb[1] & 1:
            return Answer(b"\x01\x80\x06\x02\x1f\0\0\0SOCKETPI" + b"Ultrium 6-SCSI  " + b"1.0 ")
        pages = {0x00: b"\x00\x80\x83", 0x80: self.serial.encode()}
        pages[0x83] = b"\x02\x01\0" + bytes([8 + len(self.serial)]) + b"SOCKETPI" + self.serial.encode()
        if cdb[2] not in pages:
            return sense(ILLEGAL_REQUEST, 0x2400)
        content = pages[cdb[2]]
        return Answer(struct.pack(">BBH", 1, cdb[2], len(content)) + content)

    def _limits(self, cdb: bytes, data: bytes) -> Answer:
        return Answer(b"\0" + (8 << 20).to_bytes(3, "big") + b"\0\x01")

    def _mode_sense(self, cdb: bytes, data: bytes) -> Answer:
        compression = bytes([0x0F, 14, 0xC0 if self.compression else 0x40, 0x80]) + struct.pack(">II", 1, 1) + bytes(4)
        pages = {0x00: b"", 0x0F: compression, 0x10: b"\x10\x0e" + bytes(14), 0x3F: compression}
        page = cdb[2] & 0x3F
        if page not in pages:
            return sense(ILLEGAL_REQUEST, 0x2400)
        protected = self.tape is not None and self.tape.write_protected
        state = (0x80 if protected else 0) | (0x10 if self.buffered else 0)
        content = bytes([0, state, 8, 0x5A]) + bytes(4) + self.block_length.to_bytes(3, "big") + pages[page]
        return Answer(bytes([len(content)]) + content)

    def _mode_select(self, cdb: bytes, data: bytes) -> Answer:
        self.buffered = bool(data[2] & 0x70)
        start = 4 + data[3]
        if data[3] == 8:
            self.block_length = int.from_bytes(data[9:12], "big")
        if len(data) > start and data[start] & 0x3F == 0x0F:
            self.compression = bool(data[start + 2] & 0x80)
        return Answer()

    def _log_sense(self, cdb: bytes, data: bytes) -> Answer:
        page = cdb[2] & 0x3F
        if page == 0x2E:
            content = b"".join(struct.pack(">HBBB", flag, 0x60, 1, flag in self.alerts) for flag in range(1, 65))
            if int.from_bytes(cdb[7:9], "big") >= 4 + len(content):  # sg_logs asks for the first bytes, then for all
                self.alerts = set()
        elif page == 0:
            content = b"\x00\x2e"
        else:
            return sense(ILLEGAL_REQUEST, 0x2400)
        return Answer(struct.pack(">BBH", page, 0, len(content)) + content)

    def _spin(self, cdb: bytes, data: bytes) -> Answer:
        rest = self.tape.records[self.position :] if self.tape else []
        return self.encryption.spin(cdb, rest[0] if rest else None)

    def _load(self, cdb: bytes, data: bytes) -> Answer:
        if self.tape is None:
            return sense(NOT_READY, 0x3A00)
        self.position, self.ejected = 0, not cdb[4] & 1
        return Answer()

    # What does

    def _loaded(self) -> Tape:
        assert self.tape is not None
        return self.tape

    def _rewind(self, cdb: bytes, data: bytes) -> Answer:
        self.position = 0
        return Answer()

    def _where(self, cdb: bytes, data: bytes) -> Answer:
        return Answer(struct.pack(">BBHIIII", 0 if self.position else 0x80, 0, 0, self.position, self.position, 0, 0))

    def _locate(self, cdb: bytes, data: bytes) -> Answer:
        end = len(self._loaded().records)
        self.position = min(int.from_bytes(cdb[3:7], "big"), end)
        return Answer() if self.position == int.from_bytes(cdb[3:7], "big") else sense(BLANK_CHECK, 0x0005)

    def _read(self, cdb: bytes, data: bytes) -> Answer:
        fixed = cdb[1] & 1
        length = int.from_bytes(cdb[2:5], "big")
        found = b""
        for done in range(length if fixed else 1):
            asked = self.block_length if fixed else length
            left = length - done if fixed else length
            records = self._loaded().records
            if self.position >= len(records):
                return sense(BLANK_CHECK, 0x0005, 0, left)._replace(data=found)
            record = records[self.position]
            self.position += 1
            if record is None:
                return sense(NO_SENSE, 0x0001, FILE_MARK, left)._replace(data=found)
            refusal = self.encryption.refusal(record)
            if refusal is not None:
                self.position -= 1
                return refusal
            self._take_time(len(record))
            found += record[:asked]
            if len(record) != asked and not cdb[1] & 2:
                difference = left if fixed else asked - len(record)
                return sense(NO_SENSE, 0, WRONG_LENGTH, difference)._replace(data=found)
        return Answer(found)

    def _may_write(self) -> Answer | None:
        tape = self._loaded()
        if tape.write_protected:
            return sense(DATA_PROTECT, 0x2700)
        if tape.worm and self.position < len(tape.records):
            return sense(DATA_PROTECT, 0x300C)
        return None

    def _write(self, cdb: bytes, data: bytes) -> Answer:
        refusal = self._may_write()
        if refusal is not None:
            return refusal
        tape = self._loaded()
        size = self.block_length if cdb[1] & 1 else len(data)
        for start in range(0, len(data), size or 1):
            if self._hold_after == 0:
                self.holding.set()
                self._go_on.wait()
            self._hold_after -= self._hold_after > 0
            self._take_time(size)
            del tape.records[self.position :]
            if tape.used() + size > tape.capacity:
                left = (len(data) - start) // (size if cdb[1] & 1 else 1)
                return sense(VOLUME_OVERFLOW, 0x0002, END_OF_MEDIUM, left)
            tape.records.append(self.encryption.seal(data[start : start + size]))
            self.position += 1
        return self._early_warning()

    def _early_warning(self) -> Answer:
        tape = self._loaded()
        near = tape.used() > tape.capacity - tape.reserve
        return sense(NO_SENSE, 0x0002, END_OF_MEDIUM, 0) if near else Answer()

    def _marks(self, cdb: bytes, data: bytes) -> Answer:
        count = int.from_bytes(cdb[2:5], "big")
        if not count:  # "write what you still have in your buffer"
            return Answer()
        refusal = self._may_write()
        if refusal is not None:
            return refusal
        self._loaded().records[self.position :] = [None] * count
        self.position += count
        return self._early_warning()

    def _erase(self, cdb: bytes, data: bytes) -> Answer:
        refusal = self._may_write()
        if refusal is None:
            del self._loaded().records[self.position :]
        return refusal or Answer()

    def _space(self, cdb: bytes, data: bytes) -> Answer:
        count, what = signed(cdb[2:5]), cdb[1] & 0xF
        records = self._loaded().records
        if what == 3:
            self.position = len(records)
            return Answer()
        if what > 1:
            return sense(ILLEGAL_REQUEST, 0x2400)
        step = 1 if count > 0 else -1
        left = abs(count)
        while left:
            if step > 0 and self.position >= len(records):
                return sense(BLANK_CHECK, 0x0005, 0, left)
            if step < 0 and self.position == 0:
                return sense(NO_SENSE, 0x0004, END_OF_MEDIUM, left)
            mark = records[self.position - (step < 0)] is None
            self.position += step
            if mark and what == 0:
                return sense(NO_SENSE, 0x0001, FILE_MARK, left)
            left -= mark if what == 1 else 1
        return Answer()

    def _take_time(self, size: int) -> None:
        if self.rate:
            time.sleep(size / self.rate)
