# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An encrypted link in its end: a relay between the link and the stage, which reports do not show.

The stage writes to, or reads from, a link within this host, with the relay (see relay) at the other side.  For the
rules the relay is a stage like the others: its link is committed after a clean end, and broken in any other case.
"""

import mmap
import os
import time

from . import figures
from .kernel import limit_unsent, signal_name, tcp_info
from .lean import signal, socket
from .link import BROKEN, EOF, LEFT, OPEN, READ, Side
from .loopback import pair
from .relay import BACK_FD, become, counters
from .spawn import spawn
from .stage import ALIVE, EXITED, RUNNING, SETTLED, Kept, Stage
from .tls import BUFFER, GONE, missing
from .transport import Tcp, local_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Encryption, LinkSpec, Refusal, RelayWords, SideProblem, SideReport, StageSpec


class Relay(Stage):
    """A relay, seal or open, in a fork of the end."""

    def __init__(self, link: Side, encryption: "Encryption", patience: float):
        """``link``: the side of the encrypted link on this host."""
        self.link, self.encryption, self.patience = link, encryption, patience
        writer, reader = sides_within(link.spec, link.writer, patience)
        self.within = [writer, reader]
        # the side that the stage holds
        self.facing = writer if link.writer else reader
        spec: "StageSpec" = {
            "name": "seal" if link.writer else "open",
            "argv": ["seal" if link.writer else "open"],
            "ok_rc": [0],
            "early_exit": False,
            "environment": {},
            "end": "",
            "fds": {"0": "", "1": ""},
            "padding": 0,
        }
        ends = (reader, link) if link.writer else (link, writer)
        super().__init__(spec, {("", side.writer): side for side in ends})
        self.relay = link.relay = self
        self.page = mmap.mmap(-1, mmap.PAGESIZE)  # shared with the relay
        self.counters = counters(self.page)
        self.cipher = ""
        reader.faces = not link.writer
        self.uncounted = 0  # bytes that the ends exchange before the data
        self.back: "int | None" = None  # a pipe to the relay, for a message that it passes back
        if not link.writer and reader.twin:
            reader.handed_over = self.count

    def count(self) -> int:
        """Bytes of data so far."""
        return max(0, int(self.counters[0]) - self.uncounted)

    def start(self) -> None:
        self.stderr = Kept(last=True)
        theirs = [self.stderr.theirs]
        targets = {0: self.ins[0].sock.fileno(), 1: self.outs[0].sock.fileno(), 2: self.stderr.theirs}
        if "back" in self.encryption and not self.link.writer:
            targets[BACK_FD], self.back = os.pipe()
            theirs.append(targets[BACK_FD])

        def run() -> None:
            become(self.name, self.encryption, self.patience, self.page)

        try:
            self.pid = spawn([self.name], {}, None, targets, orphaned=signal.SIGKILL, become=run)
            self.started_at = time.monotonic()
            self.enter(RUNNING)
        finally:
            for fd in theirs:
                os.close(fd)

    def pass_back(self, message: bytes) -> None:
        """Reader: send a message to the writer's end, against the direction of the data; raises OSError."""
        if self.back is not None:
            os.write(self.back, message)
            os.close(self.back)
            self.back = None

    def passed_back(self) -> bytes:
        """Writer: the message of the reader's end, b"" before its arrival."""
        return bytes.fromhex(self.said().get("back", ""))

    def said(self) -> "RelayWords":
        """The messages of the relay to the end so far."""
        import json  # ssl imports more than this

        found: "RelayWords" = {}
        for line in (self.stderr.data if self.stderr else b"").splitlines():
            try:
                found.update(json.loads(line.decode("ascii")))
            except ValueError:
                pass  # output of one of its libraries
        return found

    @property
    def ready(self) -> bool:
        """Whether its TLS handshake is complete."""
        if not self.cipher and self.stderr and b"\n" in self.stderr.data:
            self.cipher = self.said().get("cipher", "")
        return bool(self.cipher)

    @property
    def failed_early(self) -> bool:
        """Whether it failed before its link was encrypted; then no stage starts."""
        return not self.ready and (self.phase in EXITED or self.settled)

    def give_up(self) -> None:
        """Break both links of the relay, because it passes on only data."""
        if self.facing.state == LEFT:
            self.link.leave()  # its stage may
        self.link.abort()
        if self.phase in ALIVE:
            # before its link within this host is broken: what it reads from there would end, and no error
            os.kill(self.pid, signal.SIGKILL)
            return
        for side in self.fds.values():
            side.abort()

    def conclude(self) -> None:
        """Judge an exited relay: 0 means a clean end."""
        states = [side.state for side in self.fds.values()]
        if self.accepted() and states == [EOF, OPEN]:
            self.ins[0].finish()
            self.outs[0].commit()
        else:
            if not set(states) & {*BROKEN, LEFT}:
                self.link.abort(self.why())
            self.give_up()
        self.enter(SETTLED)

    def why(self) -> "SideProblem | None":
        """The reason of its own failure; None if a neighbour failed."""
        said = self.said()
        kind = said.get("kind")
        if kind == GONE:
            return None
        if kind == "cut on the way" or kind == "changed on the way" or kind == "no tls":
            return {"kind": kind, "where": said.get("where", ""), "error": said.get("error", "")}
        killed = signal_name(self.signal) if self.signal else ""
        error = said.get("error") or "exit status %s" % self.rc
        return {"kind": "relay", "name": self.name, "signal": killed, "error": error}

    def cover(self, report: "SideReport") -> "SideReport":
        """The report of its link, with the bytes of data instead of the encrypted bytes."""
        report["bytes"] = self.count()
        if self.ready:
            report["encryption"] = {"how": "relay", "cipher": self.cipher, "records": int(self.counters[1])}
        if not self.link.writer:
            stage = figures.report(self.facing, 0.0)
            report["unread"], report["padding"] = stage["unread"], stage["padding"]
            if self.facing.state == LEFT or report["state"] == READ:
                report["state"] = self.facing.state
        return report


def unusable() -> "Refusal | None":
    """Why no relay can run here, None if it can."""
    error = missing()
    return {"kind": "no tls", "error": error} if error else None


def between(link: Side, encryption: "Encryption", patience: float, sides: "list[Side]") -> "Refusal | None":
    """Put a relay between a link and its stage; adds the sides within this host to ``sides``."""
    try:
        sides += Relay(link, encryption, patience).within
    except OSError as exc:
        return {"kind": "no loopback", "error": exc.strerror or str(exc)}
    return unusable()


def loopback_pair(patience: float) -> "tuple[Tcp, Tcp]":
    """(writer, reader): a TCP connection within this host, for a reader that needs whole blocks; raises OSError."""
    writer, reader = pair(patience)
    for sock in (writer, reader):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")  # it needs no pacing
        except OSError:
            pass
    limit_unsent(writer)
    return Tcp(writer, True, tcp_info(writer)), Tcp(reader, False, tcp_info(reader))


def sides_within(spec: "LinkSpec", writes: bool, patience: float) -> "tuple[Side, Side]":
    """(writer, reader): the link within this host between a relay and its stage.

    A stage that needs whole blocks needs TCP for them (see Side.start_reading).
    """
    inner: "LinkSpec" = {**spec, "rate_limit": 0, "stall_timeout": 0, "dead_peer": 0, "encryption": None}
    whole = inner["full_reads"] and not writes
    writer, reader = (Side(inner, transport) for transport in (loopback_pair(patience) if whole else local_pair()))
    if not whole:
        # the default is less than a block of 256 KiB, so both would wait for each other within each block; this is
        # doubled, and limited by net.core.wmem_max
        writer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        writer.twin, reader.twin = reader, writer
    writer.hidden = reader.hidden = True
    return writer, reader
