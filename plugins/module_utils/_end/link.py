# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One side of a link, as the end sees it: its state, from open to settled.

The socket itself belongs to the stages; the end keeps a copy of it and never
reads or writes a byte of data.  What is done to it is in transport.
"""

import select
import time

from .kernel import FIN, HANGUP, full_reads
from .lean import socket
from .pulse import Pulse
from .reads import WholeReads
from .transport import FORGED, local_pair, make_ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .connect import Connection
    from .encrypted import Relay
    from .kernel import Counters
    from .records import EndWarning, LinkSpec, SideProblem, SideReport
    from .transport import Transport

# what a side can be; "open" is the only one that is not settled, but for "committed" and "eof",
# which wait for the last bytes to arrive and to be read
OPEN = "open"
COMMITTED = "committed"  # writer: we have said end of file
DONE = "done"  # writer: and the other side has acknowledged every byte and the end
EOF = "eof"  # reader: the writer has said end of file
READ = "read"  # reader: and every byte of it was read
LEFT = "left"  # reader: the stage was allowed to stop early, and did
RESET = "reset"  # the other side, or something between, has broken the link
ABORTED = "aborted"  # we have broken it
BROKEN = (RESET, ABORTED)


class Side:
    """The writer's or the reader's side of one link."""

    def __init__(self, spec: "LinkSpec", transport: "Transport"):
        self.spec, self.transport = spec, transport
        self.id = spec["id"]
        self.sock, self.writer, self.tcp, self.inode = transport.sock, transport.writer, transport.tcp, transport.inode
        self.twin: "Side | None" = None  # the other side of a link that stays on this host
        self.relay: "Relay | None" = None  # between this and the stage, where the link is encrypted
        self.hidden = False  # between a relay and the stage
        self.faces = False  # reader: and the stage reads from it
        self.handed_over: "Callable[[], int] | None" = None  # bytes, by a relay, where the kernel does not count
        self.state = OPEN
        self.problem: "SideProblem | None" = None
        self.warnings: "list[EndWarning]" = []
        self.padding = self.spilled = 0  # bytes that we read in the stage's place: NUL, and others
        self.since = time.monotonic()
        self.pulse = Pulse(spec, self.since)
        self.ended_at: "float | None" = None
        self.reads: "WholeReads | None" = None
        self.halved = False  # writer: the reader's stage has shut down its own sending side, so that nobody parts later
        self.parted = False  # writer: the reader's whole host has come to its end
        self.fin = False  # the end of file has been received (reader) or acknowledged (writer)
        self.flushing = False  # writer: its stage is over, but not all that it wrote is on its way

    # -- what the kernel tells

    def wanted(self) -> "int | None":
        """The poll(2) events that matter now, beside errors and hang-ups; None when none at all do."""
        if self.twin or not (self.state in (OPEN, COMMITTED) or self.lingers):
            return None
        if self.state == COMMITTED and self.halved:
            return None  # poll(2) would say no more than that it is: ``drained`` looks
        return 0 if self.writer else FIN

    def _closed(self, found: int) -> bool:
        """Reader: whether a hang-up without an error is the end of both directions, and not a reset.

        A stage may have shut down its own sending side, which it has no use for.  The same events come when it has
        eaten the error of a reset; but only a connection that was closed by both stays in TIME_WAIT.
        """
        return not found & select.POLLERR and self.transport.was_closed_in_order()

    @property
    def lingers(self) -> bool:
        """Writer: all has arrived, but the reader still works, and only this connection tells that it lives."""
        return self.tcp and self.writer and self.state == DONE and not self.parted

    def notice(self, found: int) -> None:
        """Latch the first event: a FIN is RDHUP alone; anything with HUP or ERR is a reset.

        A child that reads the error clears POLLERR, and then HUP is all there is; reading SO_ERROR
        here would take the error away from the child.
        """
        if self.state == OPEN and not self.writer and found & FIN and (not found & HANGUP or self._closed(found)):
            self._settle(EOF)
        elif self.state == COMMITTED and found & select.POLLHUP and not found & select.POLLERR:
            if self.transport.unsent():
                self.halved = True  # both directions are shut, but not all has arrived
                return
            self._settle(DONE)
        elif found & HANGUP and self.state in (OPEN, COMMITTED):
            self._settle(RESET)
        if found & HANGUP:
            self.parted = True  # how it went there, the reader's end tells

    def look(self) -> None:
        """Reader, while its stage does not run: latch an error that poll(2) does not show."""
        if self.writer or self.state not in (OPEN, EOF):
            return
        found = self.transport.look()
        if found == FORGED:
            self.problem = {"kind": "changed on the way", "where": "record", "error": ""}
        if found:
            self._settle(RESET)
            self._break()  # its connection stands, and its writer is to hear of it

    def readable(self) -> bool:
        """A first byte, or a settled end, is there."""
        if self.state != OPEN:
            return True
        return self.unread() > 0

    def unread(self) -> int:
        return self.transport.unread()

    def bytes(self, info: "Counters | None" = None) -> "int | None":
        """Bytes acknowledged (writer) or received (reader); None where the kernel does not count."""
        if self.handed_over:
            return self.handed_over()
        info = info or self.transport.last_info()
        if not info:
            return None
        fin = self.fin or (self.state == COMMITTED and self.transport.end_is_acknowledged(info))
        return self.transport.count(info, fin)

    def check(self, now: float) -> None:
        """Break the link when its peer is dead or, if that is asked for, when nothing moves."""
        if not self.tcp or not (self.state in (OPEN, COMMITTED) or self.lingers):
            return
        info = self.transport.info()
        self.pulse.feel(self.bytes(info) or 0, info["segs_in"], now)
        problem = self.pulse.problem(now, may_rest=self.lingers)
        cipher = self.transport.worn_out() if self.state == OPEN else ""
        if cipher:
            problem = {"kind": "key used up", "cipher": cipher}
        if problem:
            self.abort(problem)

    # -- what the end decides

    def start_reading(self) -> None:
        """The reader is about to start: from now on its reads are whole ones.

        Not for neighbours on one host: a read of a unix socket that waits with a part of its bytes
        returns them and loses the writer's reset (unix_stream_read_generic clears it), and the next
        read is an end of file.
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
        """When to look whether the reader sleeps on what it asked for; the end wakes it by itself."""
        return self.reads.look_at if self.reads and self.state == OPEN else None

    def wake(self, now: float) -> None:
        """Wake a reader that sleeps although all that it asked for is there, because it asked for little."""
        if self.reads and self.look_at is not None and self.look_at <= now:
            self.reads.look(now, self.bytes() or 0)

    @property
    def busy(self) -> bool:
        """Whether it is broken, and the kernel has not let us reset it yet."""
        return self.transport.pending

    def flushed(self) -> bool:
        """Whether it can be committed now."""
        self.flushing = not self.transport.flushed()
        return not self.flushing

    def commit(self) -> None:
        """Say end of file."""
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
        """After a commit: is everything acknowledged, the end included?"""
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
        """The stage may stop early and did: its writer is told, and not blamed."""
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
        """Reset what the kernel did not let us reset while somebody slept in it."""
        self.transport.insist()

    def is_telling(self, now: float) -> bool:
        """Whether it is broken, and the other host has yet to be told."""
        return self.state == ABORTED and self.transport.is_telling(now)

    def drain(self, most: int) -> "bool | None":
        """Read what a stage left: True at the end after NUL, ``most`` bytes; False after more, None for not yet."""
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
        """The stage has read it all: an orderly close is due."""
        self._settle(READ)
        self.transport.keep_figures()
        self.transport.release()

    def part(self) -> None:
        """Close what was read, now that all of this host's stages are over: the writer's host has waited for that."""
        if self.state == READ:
            self.transport.part()

    def _settle(self, state: str) -> None:
        self.state = state
        self.fin = self.fin or state in (EOF, DONE)
        self.ended_at = time.monotonic()

    def report(self, start: float) -> "SideReport":
        """What the controller is told; seconds, bytes; what the kernel does not count is None."""
        info = self.transport.last_info()
        micro = {name: None if value is None else value / 1e6 for name, value in info.items()}
        report: "SideReport" = {
            "id": self.id,
            "side": "W" if self.writer else "R",
            "state": self.state,
            "problem": self.problem,
            "bytes": self.bytes(info),
            "unread": None if self.writer else self._left_over(),
            "ended": self.fin,
            "padding": self.padding,
            "elapsed": (self.ended_at or time.monotonic()) - self.since,
            "ended_at": None if self.ended_at is None else self.ended_at - start,
            "rtt": micro.get("rtt"),
            "retransmits": info.get("retransmits"),
            "waited": {
                "receiver": micro.get("rwnd_limited"),
                "buffer": micro.get("sndbuf_limited"),
                "busy": micro.get("busy_time"),
            },
            "address": self.spec.get("address", ""),
            "peer": self.spec.get("peer", ""),
            "encryption": self.transport.encrypted(info),
        }
        return self.relay.cover(report) if self.relay else report

    def _left_over(self) -> "int | None":
        try:
            return self.unread() + self.spilled
        except (OSError, ValueError):
            return None


def tcp_side(spec: "LinkSpec", connection: "Connection") -> Side:
    """An authenticated connection becomes a link."""
    return Side(spec, make_ready(spec, connection))


def local_sides(spec: "LinkSpec") -> "tuple[Side, Side]":
    """The writer's and the reader's side of a link between two neighbours on one host."""
    writer, reader = (Side(spec, transport) for transport in local_pair())
    writer.twin, reader.twin = reader, writer
    return writer, reader
