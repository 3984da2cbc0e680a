# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes on the beginning of an archive, up to the last requested entry, and then an end of archive for tar.

The catalog's list of files says how many entries were requested.  tar gets the end only after all of them have arrived
as a whole, and all directories if a gate checks them.  So a stream that breaks off is never taken for the beginning.
"""

from ..common.problem import Problem
from . import header
from .gate import Gate, Selection  # pylint: disable=unused-import  # types
from .mover import Mover

SHORT = "it ended after %d of the %d requested entries"
UNKNOWN = "an entry of an unknown kind came after %d of the %d requested ones: restore without tape_early_exit"
END = 2 * header.BLOCK  # bytes


class Beginning:
    def __init__(self, selection: Selection, wanted: int):
        self.selection, self.wanted = selection, wanted
        self.count = 0
        self.problem = ""

    def run(self, gate: "Gate | None", answer: int, record: int) -> None:
        """Copy from standard input to standard output, in a fork; raises Problem.

        ``answer``: for the findings of the gate; ``record``: bytes that tar reads at once.
        """
        mover = Mover(1)
        if gate is None:
            self.pass_on(mover, None)
        else:
            checked = gate
            gate.watched(lambda: self.pass_on(mover, checked), answer)
        if self.problem:
            raise Problem(self.problem % (self.count, self.wanted))
        room = -mover.count % record
        mover.give(bytes(room if room >= END else room + record))

    def pass_on(self, mover: Mover, gate: "Gate | None") -> None:
        """``gate`` checks the directories, which all come before the first file."""
        headers = header.Headers(mover.take)
        while gate is not None or self.count < self.wanted:
            member = headers.next()
            if member is None:
                if headers.raw != bytes(header.BLOCK) or self.count < self.wanted:
                    whole = len(headers.raw) % header.BLOCK == 0
                    self.problem = UNKNOWN if whole and headers.raw.strip(b"\0") else SHORT
                return
            if gate is not None:
                gate.judge(member)
            mover.give(headers.raw)
            if not mover.move(member.size):
                self.problem = SHORT
                return
            self.count += self.selection.covers(member.name)
            if gate is not None and gate.is_past(member):
                gate = None
