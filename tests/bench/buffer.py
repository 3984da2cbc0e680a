# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tape_buffer against none, with a drive that stops when its memory is empty, in the machine of tests/tape.

The drive is small, as everything there: it writes RATE bytes in a second from a memory of MEMORY bytes and, if that
runs empty before the end, needs REPOSITION seconds to stop, go back and start.  The source prepares BURST bytes, in the
time in which the drive writes them divided by SHARE, and then sends them at once.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from pathlib import Path

from tests.hosts import Fleet
from tests.tape.cable import Answer
from tests.tape.guest import Guest
from tests.tape.needs import requirements
from tests.tape.tapehost import TapeHost

MIB = 1024**2
SIZE, BURST = 128 * MIB, 4 * MIB
RATE, MEMORY, REPOSITION, SHARE = 24 * MIB, 2 * MIB, 1.5, 0.6
BUFFERS = ("", "64M", "128M")
WRITE, MARKS = 0x0A, 0x10  # operation codes
SOURCE = f"""import sys, time
burst = bytes({BURST})
for _number in range({SIZE // BURST}):
    time.sleep({BURST / RATE / SHARE})
    sys.stdout.buffer.write(burst)
    sys.stdout.buffer.flush()
"""


class Streamer:
    """The mechanics of a drive, as its ``trouble``; counts how often it had to stop."""

    def __init__(self) -> None:
        self.level, self.at, self.stops, self.runs = 0.0, time.monotonic(), 0, False

    def __call__(self, cdb: bytes) -> Answer | None:
        if cdb[0] == MARKS:
            self.runs = False  # it stops at the end of a file, with a buffer or without
        if cdb[0] != WRITE:
            return None
        now = time.monotonic()
        self.level -= (now - self.at) * RATE
        if self.level < 0:
            self.stops += self.runs
            time.sleep(REPOSITION if self.runs else 0)
            self.level, self.runs = 0.0, True
        self.level += int.from_bytes(cdb[2:5], "big")  # a block of variable length
        if self.level > MEMORY:
            time.sleep((self.level - MEMORY) / RATE)
            self.level = MEMORY
        self.at = time.monotonic()
        return None


def measure(guest: Guest, number: int, buffer: str) -> tuple[float, int]:
    """MiB/s, and how often the drive stopped."""
    guest.library.clear()
    guest.library.tape("WK0001L6", drive=0)
    host = TapeHost(guest, guest.scratch / str(number), buffer=buffer)
    host.label("WEEK01")
    (guest.scratch / "source.py").write_text(SOURCE, encoding="ascii")
    drive = guest.library.drives[0]
    drive.trouble = streamer = Streamer()
    line = f'python3 -I {guest.scratch}/source.py | exec "$@"'
    words = ["sh", "-c", line, "sh", *host.program, "sink", "--run", f"R{number}", "--host", "h1"]
    began = time.monotonic()
    guest.run(words, env=host.environment({}), timeout=600)
    spent = time.monotonic() - began
    drive.trouble = None
    return SIZE / MIB / spent, streamer.stops


def table(_fleet: Fleet, rounds: int) -> str:
    reason = requirements()
    if reason:
        return f"skipped: {reason}"
    lines = ["| tape_buffer | stops of the drive | MiB/s |", "| --- | --- | --- |"]
    found: dict[str, list[tuple[float, int]]] = {buffer: [] for buffer in BUFFERS}
    with tempfile.TemporaryDirectory() as folder, Guest(Path(folder)) as guest:
        for number, (_round, buffer) in enumerate(itertools.product(range(rounds), BUFFERS)):
            found[buffer].append(measure(guest, number, buffer))
    for buffer, each in found.items():
        rate, stops = (statistics.median(values) for values in zip(*each, strict=True))
        lines.append(f"| {buffer or 'none'} | {stops:.0f} | {rate:.1f} |")
    return "\n".join(lines)
