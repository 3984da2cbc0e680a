# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dialling: single attempts to connect, and all attempts at one address."""

import errno
import time

from .kernel import set_linger
from .lean import socket
from .names import Undialable, is_number, socket_name
from .system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .records import Outcome

HEAD_START = 0.1  # seconds between the first and the second address, then growing
STAGGER = 0.2  # seconds before another port is tried in parallel with one that does not answer; grows
REDIAL = (0.01, 2.0)  # seconds between rounds of attempts: first and last value
GROWTH = 1.15  # so the pause is about a seventh of the time since the first attempt
WIDEN = (0.5, 4.0)  # seconds before one more port is tried on a host that refuses: first and last value
SMALL = 1220  # bytes in a segment (TCP_MAXSEG): with headers it fits the minimum MTU of IPv6, and so passes tunnels


class Attempt:
    """One address and port of another end, and the outcome of dialling it."""

    def __init__(self, end: str, link: str, host: str, port: int):
        self.end, self.link, self.host, self.port = end, link, host, port
        self.sock: "socket.socket | None" = None
        self.started = 0.0
        self.outcome: "Outcome" = "not tried"
        self.detail = ""  # detail of the outcome
        self.met = False  # something answered there
        self.talk: "Any" = None  # a Connection, if something answered
        self.segment = 0
        self.lossy = False  # the other side answers, but large packets get lost

    @property
    def busy(self) -> bool:
        return self.sock is not None or self.talk is not None

    def start(self, segment: int = 0) -> None:
        """Begin to connect, with this maximum segment size; raises OSError if the kernel refuses at once."""
        self.started = time.monotonic()
        self.end_as("timed out")
        if not is_number(self.host):  # numbers() resolves names, once, because a resolver can be slow
            raise Undialable("unknown name")
        family, name = socket_name(self.host, self.port)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        set_linger(self.sock, True)  # from the beginning: until a commit, death causes a reset and never an end of file
        self.sock.setblocking(False)
        self.segment = segment
        if segment:  # for both directions: it is announced to the other side and limits our own segments
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        code = self.sock.connect_ex(name)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def finish(self) -> socket.socket:
        """The connected socket; raises OSError with the reason if it is not connected."""
        sock, self.sock = self.sock, None
        if sock is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            sock.close()
            raise OSError(code, os.strerror(code))
        if sock.getsockname()[:2] == sock.getpeername()[:2]:
            sock.close()
            raise OSError(errno.ECONNREFUSED, "connected to itself")
        self.end_as("connected")
        return sock

    def fail(self, error: OSError) -> None:
        self.drop()
        self.end_as(*reason(error))

    def end_as(self, outcome: "Outcome", detail: str = "", met: bool = False) -> None:
        self.outcome, self.detail, self.met = outcome, detail, met

    def drop(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def reason(error: OSError) -> "tuple[Outcome, str]":
    """The outcome and its detail for a failed connection."""
    if isinstance(error, Undialable):
        return error.outcome, error.detail
    known: "dict[int, Outcome]" = {
        errno.ECONNREFUSED: "refused",
        errno.ETIMEDOUT: "timed out",
        errno.EHOSTUNREACH: "no route",
        errno.ENETUNREACH: "no route",
        errno.ECONNRESET: "reset",
        errno.EADDRNOTAVAIL: "no family",
        errno.EACCES: "forbidden",
        errno.EPERM: "forbidden",
    }
    outcome = known.get(error.errno or 0)
    return (outcome, "") if outcome else ("error", error.strerror or str(error))


class Dialler:
    """All attempts to reach the other side of one link at one address, port by port.

    The other side listens on its first free port, nearly always the first of the list.  The others are dialled if a
    stranger answered there, in parallel with a port that does not answer, and occasionally if all have refused.
    Dialling all ports each time would look like a port scan.
    """

    def __init__(self, end: str, link: str, address: str, ports: "list[int]", rank: int, dial_time: float):
        self.link, self.rank, self.dial_time = link, rank, dial_time
        self.attempts = [Attempt(end, link, address, port) for port in ports]
        self.reach, self.cursor = 1, 0  # number of ports in a round, index of the next one
        self.last: "Attempt | None" = None  # the last attempt, while it may still succeed
        self.strange = False  # a stranger answered in this round
        self.segment = 0
        self.next_at: "float | None" = None  # None: not begun
        self.pause, self.stagger = REDIAL[0], STAGGER
        self.widen_after, self.widen_at = WIDEN[0], 0.0

    def step(self, now: float) -> None:
        """Give up slow attempts, and dial the next port when it is due."""
        for attempt in self.attempts:
            if attempt.sock and now - attempt.started > self.dial_time:
                attempt.drop()
        if self.next_at is None:
            self.next_at = now + HEAD_START * self.rank.bit_length()
            self.widen_at = self.next_at + self.widen_after
        if self.last and not self.busy():
            self._go_on(now)
        if self.has_met() or now < self.next_at:
            return
        if self.last and self.cursor == 0:  # the first port has not answered yet
            self._widen()
        attempt = self.last = self.attempts[self.cursor]
        self.cursor = (self.cursor + 1) % self.reach
        if not attempt.busy:
            try:
                attempt.start(self.segment)
            except OSError as exc:
                attempt.fail(exc)
        self.next_at = now + self.stagger
        self.stagger = min(self.dial_time, self.stagger * 2)

    def _go_on(self, now: float) -> None:
        """Continue after a failed attempt: the next port of this round at once, the next round after a pause."""
        self.last, self.stagger = None, STAGGER
        if self.cursor == 0 and self.strange:
            self._widen()
        self.strange = False
        if self.cursor:
            self.next_at = now
            return
        self.next_at = now + self.pause
        self.pause = min(REDIAL[1], self.pause * GROWTH)
        if now >= self.widen_at:
            self._widen()
            self.cursor = 0
            self.widen_after = min(WIDEN[1], self.widen_after * 2)
            self.widen_at = now + self.widen_after

    def _widen(self) -> None:
        """Add one port to each round, and dial it next."""
        if self.reach < len(self.attempts):
            self.cursor = self.reach
            self.reach += 1

    def busy(self) -> bool:
        return any(attempt.busy for attempt in self.attempts)

    def has_met(self) -> bool:
        """Whether the other side has proved itself, so that nothing needs to be dialled."""
        return any(attempt.talk is not None and attempt.talk.known for attempt in self.attempts)

    def wait(self, now: float) -> float:
        """Seconds until the next action, unless an event comes first."""
        if self.next_at is None or self.last and not self.busy():
            return 0.0
        return STAGGER if self.has_met() else self.next_at - now

    def ended(self, attempt: Attempt, small: bool) -> None:
        """Continue after a failed handshake; ``small``: retry with small packets, because large ones get lost."""
        attempt.talk = None
        if small:
            attempt.lossy = True
            self.segment, self.pause = SMALL, REDIAL[0]
        else:
            self.strange = True

    def drop(self) -> None:
        for attempt in self.attempts:
            attempt.drop()
