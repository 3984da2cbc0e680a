# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fan-out in its end: a stage with several outputs, which goes on without those that break (see fan_out).

The truth that must hold: no branch that missed a byte ever sees an end of file.  An output is committed only if the
program has reported that it wrote everything there, and that the link is whole.  All outputs are committed at the same
time: when the input has ended well, the program has exited with 0, and the last byte has left for every branch.

It fails if its input breaks, if fewer outputs than required are left, or if none is left at all.  A reader that may
stop early breaks its link, too, and does not count as a failure here; the controller knows why it has stopped.
"""

import os
import time

from .link import BROKEN, OPEN
from .stage import Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .link import Side
    from .records import SideProblem, StageSpec

CONTROL = 4  # the descriptor of the program on which its end names outputs that are broken; 3 is the program itself
PAUSE_MOST = 0.5  # seconds


class Fan(Stage):
    """A fan-out of the plan and its outcome."""

    def __init__(self, spec: "StageSpec", sides: "dict[tuple[str, bool], Side]"):
        super().__init__(spec, sides)
        self.required, self.leaving = spec["fan"]["required"], spec["fan"]["leaving"]
        self.control: "int | None" = None
        self.told: "set[int]" = set()  # outputs
        self.pause = 0.001

    def start(self) -> None:
        theirs, self.control = os.pipe()
        every = self.fds
        # an abort may have closed an output
        self.fds = {fd: side for fd, side in every.items() if side.sock.fileno() >= 0}
        self.spec["inherit"] = {str(CONTROL): theirs}
        try:
            super().start()
        finally:
            self.fds = every
            os.close(theirs)

    def fails_with_a_link(self) -> bool:
        self.tell()
        broken = [fd for fd, side in self.fds.items() if side.writer and side.state in BROKEN]
        failed = [fd for fd in broken if fd not in self.leaving]
        too_few = len(self.outs) - len(failed) < self.required or len(broken) == len(self.outs)
        return too_few or super().breaks_its_outputs()

    def breaks_its_outputs(self) -> bool:
        return self.fails_with_a_link()

    def abort_outputs(self) -> None:
        super().abort_outputs()
        self.tell()

    def broken_links(self) -> "list[str]":
        """Those that made it fail; a broken output is no explanation while enough others are left."""
        return super().broken_links() if self.fails_with_a_link() else []

    def tell(self) -> None:
        """Tell the program which outputs are broken, because not every break shows at its descriptor."""
        broken = {fd for fd, side in self.fds.items() if side.writer and side.state in BROKEN}
        if self.control is None or broken <= self.told:
            return
        try:
            os.write(self.control, b"".join(b"%d\n" % fd for fd in sorted(broken - self.told)))
        except OSError:
            pass  # it has exited
        self.told |= broken

    def commit(self) -> bool:
        """Commit all outputs together, after the last byte has left for each of them."""
        self.check()
        if self.fails_with_a_link():
            self.blame = self.blame or self.broken_links()
            for side in self.fds.values():
                side.abort()
            return True
        waiting = [side for side in self.outs if side.state == OPEN]
        if [side for side in waiting if not side.flushed() or side.transport.unsent()]:
            self.until = time.monotonic() + self.pause  # wakes up the end
            self.pause = min(PAUSE_MOST, self.pause * 1.5)
            return False
        for side in waiting:
            side.commit()
        return True

    def check(self) -> None:
        """Break the outputs to which the program has not written everything."""
        found = parse(self.stdout.data if self.stdout else b"")
        total, _error = found.get(0, (None, ""))
        for fd, side in self.fds.items():
            written, error = found.get(fd, (0, ""))
            if side.writer and side.state == OPEN and (written != total or error):
                problem: "SideProblem" = {"kind": "not written", "bytes": written, "error": error}
                side.abort(problem)


class Passing(Fan):
    """A stage that keeps what it reads, and also passes it on: it goes on without its output if that breaks.

    Its output is committed as that of any stage: after its own success, and the clean end of its input.
    """

    def fails_with_a_link(self) -> bool:
        self.tell()
        return any(side.state in BROKEN for side in self.ins)

    def commit(self) -> bool:
        return Stage.commit(self)


def parse(said: bytes) -> "dict[int, tuple[int, str]]":
    """{descriptor: (bytes read or written, error)} from the output of the program."""
    found = {}
    for line in said.decode("utf-8", "replace").splitlines():
        fd, count, error = (line + "  ").split(" ", 2)
        if fd.isdigit() and count.isdigit():
            found[int(fd)] = int(count), error.strip()
    return found
