# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One side of a link in the end: its state, from open to settled.

The socket belongs to the stages.  The end keeps a copy and never reads or writes a byte of data.  The operations on it
are in transport; sides are made in sides, and their reports in figures.
"""

import select
import time

from .kernel import FIN, HANGUP, full_reads
from .lean import socket
from .pulse import Pulse
from .reads import WholeReads
from .transport import FORGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .encrypted import Relay
    from .handshake import Prove
    from .kernel import Counters
    from .records import EndWarning, LinkSpec, SideProblem
    from .transport import Transport

# the states of a side; all are settled except "open", and "committed" and "eof", which wait until the last bytes have
# arrived and are read
OPEN = "open"
COMMITTED = "committed"  # writer: the end of file was sent
DONE = "done"  # writer: and the other side has acknowledged all bytes and the end
EOF = "eof"  # reader: the end of file was received
READ = "read"  # reader: and all bytes were read
LEFT = "left"  # reader: the stage stopped early, as allowed
RESET = "reset"  # broken by the other side, or by something in between
ABORTED = "aborted"  # broken by this end
BROKEN = (RESET, ABORTED)


class Side:
    """One side of a link, that of the writer or the reader."""

    def __init__(self, spec: "LinkSpec", transport: "Transport"):
        self.spec, self.transport = spec, transport
        self.id = spec["id"]
        self.sock, self.writer, self.tcp, self.inode = transport.sock, transport.writer, transport.tcp, transport.inode
        self.twin: "Side | None" = None  # the other side of a link within this host
        self.relay: "Relay | None" = None  # between this side and the stage, if the link is encrypted by relays
        self.rests = False  # whether no byte needs to move
        self.hidden = False  # whether it is between a relay and the stage
        self.faces = False  # reader: whether the stage itself reads from it
        self.handed_over: "Callable[[], int] | None" = None  # counts bytes of a relay, if the kernel cannot
        self.prove: "Prove | None" = None  # for the messages of the barrier, if the link is part of it
        self.state = OPEN
        self.problem: "SideProblem | None" = None
        self.warnings: "list[EndWarning]" = []
        self.padding = self.spilled = 0  # bytes read in place of the stage: NUL bytes, and others
        self.since = time.monotonic()
        self.pulse = Pulse(spec, self.since)
        self.ended_at: "float | None" = None
        self.reads: "WholeReads | None" = None
        # writer: the reader's stage has shut down its sending side, so its host will not part later
        self.halved = False
        self.parted = False  # writer: all stages on the reader's host have ended
        self.fin = False  # the end of file has been received (reader) or acknowledged (writer)
        self.flushing = False  # writer: its stage has ended, but not all its data is sent

    # -- events and counters

    def wanted(self) -> "int | None":
        """The poll(2) events to wait for, besides errors and hang-ups; None for none at all."""
        if self.twin or not (self.state in (OPEN, COMMITTED) or self.lingers):
            return None
        if self.state == COMMITTED and self.halved:
            return None  # poll(2) would show nothing new; ``drained`` checks it
        return 0 if self.writer else FIN

    def _closed(self, found: int) -> bool:
        """Reader: whether a hang-up without an error is the end of both directions, and not a reset.

        A stage may have shut down its own unused sending side.  The events are the same after it has read the error of
        a reset; but only a connection closed by both sides stays in TIME_WAIT.
        """
        return not found & select.POLLERR and self.transport.was_closed_in_order()

    @property
    def lingers(self) -> bool:
        """Writer: whether all data has arrived, but the reader still runs, which only this connection shows."""
        return self.tcp and self.writer and self.state == DONE and not self.parted

    def notice(self, found: int) -> None:
        """Record the first event: RDHUP alone is a FIN, anything with HUP or ERR is a reset.

        A child that reads the error clears POLLERR, and only HUP is left.  Reading SO_ERROR here would take the error
        away from the child.
        """
        if self.state == OPEN and not self.writer and found & FIN and (not found & HANGUP or self._closed(found)):
            self._settle(EOF)
        elif self.state == COMMITTED and found & select.POLLHUP and not found & select.POLLERR:
            if self.transport.unsent():
                self.halved = True  # both directions are shut down, but not all data has arrived
                return
            self._settle(DONE)
        elif found & HANGUP and self.state in (OPEN, COMMITTED):
            self._settle(RESET)
        if found & HANGUP:
            self.parted = True  # the reader's end reports the outcome

    def look(self) -> None:
        """Reader, while its stage does not run: record an error that poll(2) does not show."""
        if self.writer or self.state not in (OPEN, EOF):
            return
        found = self.transport.look()
        if found == FORGED:
            self.problem = {"kind": "changed on the way", "where": "record", "error": ""}
        if found:
            self._settle(RESET)
            self._break()  # the connection still exists, and its writer must learn of it

    def readable(self) -> bool:
        """Whether a first byte or a settled end has arrived."""
        if self.state != OPEN:
            return True
        return self.unread() > 0

    def unread(self) -> int:
        return self.transport.unread()

    def bytes(self, info: "Counters | None" = None) -> "int | None":
        """Bytes acknowledged (writer) or received (reader); None if the kernel does not count."""
        if self.handed_over:
            return self.handed_over()
        info = info or self.transport.last_info()
        if not info:
            return None
        fin = self.fin or (self.state == COMMITTED and self.transport.end_is_acknowledged(info))
        return self.transport.count(info, fin)

    def check(self, now: float) -> None:
        """Break the link if the other host is dead or, with stall_timeout, if no byte moves."""
        if not self.tcp or not (self.state in (OPEN, COMMITTED) or self.lingers):
            return
        info = self.transport.info()
        rests = self.rests or self.spec.get("branch", False) and not (self.writer and self.transport.unsent())
        self.pulse.feel(self.bytes(info) or 0, info["segs_in"], now, rests)
        problem = self.pulse.problem(now, may_rest=self.lingers)
        if self.state == OPEN:
            problem = self.used_up() or problem
        if problem:
            self.abort(problem)

    def used_up(self) -> "SideProblem | None":
        """Whether the key of an encrypted link may encrypt no more."""
        cipher = self.transport.worn_out()
        return {"kind": "key used up", "cipher": cipher} if cipher else None

    # -- operations

    def begin(self, now: float) -> None:
        """Count time from now: before, the stages of the plan could not start."""
        self.since = self.pulse.moved_at = now

    def start_reading(self) -> None:
        """Enable whole reads, before the reader starts.

        Not for neighbours on one host: a read of a unix socket that waits with a part of its bytes returns them and
        loses the reset of the writer (unix_stream_read_generic clears it), and the next read is an end of file.
        """
        self.transport.in_use = True
        size = self.spec.get("full_reads") or 0
        if size and self.tcp:
            self.reads = WholeReads(self.sock, size, bool(self.spec.get("polled")))
            if self.reads.granted < size:
                self.warnings.append({"kind": "full reads", "granted": self.reads.granted, "asked": size})

    def stop_reading(self) -> None:
        """The reader has ended."""
        self.transport.in_use = False
        self.look()

    @property
    def look_at(self) -> "float | None":
        """When to check for a reader that sleeps although its bytes are there."""
        return self.reads.look_at if self.reads and self.state == OPEN else None

    def wake(self, now: float) -> None:
        """Wake a reader that sleeps although its bytes are there, because it asked for few."""
        if self.reads and self.look_at is not None and self.look_at <= now:
            self.reads.look(now, self.bytes() or 0)

    @property
    def busy(self) -> bool:
        """Whether it is broken, but the kernel has not allowed the reset yet."""
        return self.transport.pending

    def flushed(self) -> bool:
        """Whether it can be committed now."""
        self.flushing = not self.transport.flushed()
        return not self.flushing

    def commit(self) -> None:
        """Send the end of file, unless more has been sent than one key may encrypt."""
        problem = self.used_up()
        if problem:
            self.abort(problem)
            return
        try:
            self.transport.commit()
        except OSError:
            self._settle(RESET)
            return
        if self.twin is None:
            self._settle(COMMITTED)
            self.ended_at = None
        else:
            self._settle(DONE)
            if self.twin.state == OPEN:
                self.twin._settle(EOF)

    def drained(self) -> None:
        """After a commit: check whether everything is acknowledged, including the end."""
        if self.state != COMMITTED:
            return
        if self.transport.unsent() == 0:
            self._settle(DONE)
        elif self.halved and self.transport.is_closed():
            self._settle(RESET)

    def abort(self, problem: "SideProblem | None" = None) -> None:
        """Break the link: the other side gets an error, not an end of file."""
        if self.state not in (OPEN, COMMITTED, EOF) and not self.lingers:
            return
        self.parted, self.flushing = True, False
        if problem:
            self.problem = problem
        self._settle(ABORTED)
        self._break()

    def leave(self) -> None:
        """Tell the writer that the stage has stopped early, as allowed; the writer is not blamed."""
        self._settle(LEFT)
        self._break()

    def _break(self) -> None:
        self.transport.keep_figures()
        if self.faces and self.twin:
            self.twin.transport.abort()  # and the relay is killed: who still reads here gets an error
        else:
            self.transport.abort()
        if self.twin is not None and self.twin.state == OPEN:
            self.twin._settle(RESET)

    def insist(self) -> None:
        """Retry a reset that the kernel refused while a process slept in the socket."""
        self.transport.insist()

    def is_telling(self, now: float) -> bool:
        """Whether it is broken, and the other host does not know yet."""
        return self.state in (ABORTED, LEFT) and self.transport.is_telling(now)

    def freed(self) -> None:
        """No process holds it any more: what an abort has closed here is reset now."""
        self.transport.pending = self.transport.pending and not self.transport.released

    def drain(self, most: int) -> "bool | None":
        """Read the rest left by a stage: True after at most ``most`` NUL bytes, False for others, None for not yet."""
        if self.tcp:
            full_reads(self.sock, 1)
        while self.padding <= most:
            try:
                chunk = self.sock.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError:
                self._settle(RESET)
                return False
            if not chunk:
                if self.state == OPEN:
                    self._settle(EOF)
                return True
            if chunk.count(0) != len(chunk):
                self.spilled = len(chunk)
                return False
            self.padding += len(chunk)
        return False

    def finish(self) -> None:
        """Close in order, after the stage has read everything."""
        self._settle(READ)
        self.transport.keep_figures()
        self.transport.release()

    def part(self) -> None:
        """Close a fully read link after all stages on this host have ended, for which the writer's host waits."""
        if self.state == READ:
            self.transport.part()

    def _settle(self, state: str) -> None:
        self.state = state
        self.fin = self.fin or state in (EOF, DONE)
        self.ended_at = time.monotonic()
