# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""A tape library: drives, a changer and tapes, on one cable."""

from __future__ import annotations

import typing as t
from pathlib import Path

from .cable import Cable
from .changer import Changer
from .drive import Drive
from .medium import Tape

DRIVES, SLOTS = 2, 8


class Library:
    def __init__(self, socket: Path) -> None:
        self.drives = [Drive(f"DRIVE{number:05d}") for number in range(DRIVES)]
        self.changer = Changer(self.drives, SLOTS)
        self.cable = Cable(socket, [*self.drives, self.changer])
        self.devices = [f"/dev/nst{number}" for number in range(DRIVES)]
        self.robot = f"/dev/sg{DRIVES}"  # the changer's, for mtx

    def tape(self, barcode: str, slot: int | None = None, drive: int | None = None, **knobs: t.Any) -> Tape:
        """A new, empty tape; in a slot of the changer (from 1) or in a drive (from 0) if one is given."""
        tape = Tape(barcode, **knobs)
        if slot is not None:
            self.changer.slots[slot - 1] = tape
        if drive is not None:
            self.load(drive, tape)
        return tape

    def load(self, drive: int, tape: Tape | None) -> None:
        """By hand; None empties the drive."""
        self.drives[drive].insert(tape)

    def clear(self) -> None:
        """As it was in the beginning: no tapes, no knob turned. What a device could not do is an error here."""
        for drive in self.drives:
            drive.clear()
        self.changer.clear()
        errors, self.cable.errors[:] = list(self.cable.errors), []
        if errors:
            raise RuntimeError("the library: %s" % "; ".join(map(repr, errors))) from errors[0]

    def settle(self) -> None:
        """After the guest's power has gone: what the drives had taken they finish."""
        for drive in self.drives:
            drive.go_on()
        if not self.cable.idle.wait(10):
            raise TimeoutError("the drives are still busy 10 s after the guest has ended")
