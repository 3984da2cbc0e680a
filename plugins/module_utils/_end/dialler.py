# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dialling: one attempt to connect, and all of those to one address."""

import errno
import os
import time

from .kernel import set_linger
from .lean import socket
from .names import Undialable, is_number, socket_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .records import Outcome

HEAD_START = 0.1  # seconds of an address before the second, twice that before the fourth, and so on
STAGGER = 0.2  # seconds until another port is tried beside one that has not answered: at first, then ever longer
REDIAL = (0.01, 2.0)  # seconds between rounds of attempts: from, growing to
GROWTH = 1.15  # a host that is dialled for so long is dialled again after a seventh of that time, about
WIDEN = (0.5, 4.0)  # seconds until one more port is tried of a host that refuses: from, growing to
SMALL = 1220  # bytes in a segment (TCP_MAXSEG): with its headers it passes wherever IPv6 does, which is tunnels too


class Attempt:
    """One address and port of another end, and how dialling it went."""

    def __init__(self, end: str, link: str, host: str, port: int):
        self.end, self.link, self.host, self.port = end, link, host, port
        self.sock: "socket.socket | None" = None
        self.started = 0.0
        self.outcome: "Outcome" = "not tried"
        self.detail = ""  # of the outcome
        self.met = False  # somebody was there
        self.talk: "Any" = None  # a Connection, with whoever has answered
        self.segment = 0
        self.lossy = False  # the other side is there, but large packets do not arrive

    @property
    def busy(self) -> bool:
        return self.sock is not None or self.talk is not None

    def start(self, segment: int = 0) -> None:
        """Begin to connect, with segments of that size at most; raises OSError when the kernel says no at once."""
        self.started = time.monotonic()
        self.end_as("timed out")
        if not is_number(self.host):  # numbers() has asked, once: a resolver can take longer than we may
            raise Undialable("unknown name")
        family, name = socket_name(self.host, self.port)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        set_linger(self.sock, True)  # from birth: until a commit, our death is a reset and never an end of file
        self.sock.setblocking(False)
        self.segment = segment
        if segment:  # of both directions: we announce it as ours, and send no larger ones
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        code = self.sock.connect_ex(name)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def finish(self) -> socket.socket:
        """The connected socket; raises OSError with the reason when it is not connected."""
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
    """Why a connection could not be made: the outcome, and its detail."""
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

    The other side listens on the first of its ports that is free, and so nearly always on the first.
    The others are dialled when somebody else has answered there, beside one that does not answer, and
    now and then when all have refused.  All of them each time is what a port scan looks like.
    """

    def __init__(self, end: str, link: str, address: str, ports: "list[int]", rank: int, dial_time: float):
        self.link, self.rank, self.dial_time = link, rank, dial_time
        self.attempts = [Attempt(end, link, address, port) for port in ports]
        self.reach, self.cursor = 1, 0  # ports in a round, the next one of them
        self.last: "Attempt | None" = None  # the last one dialled, while it may yet come to something
        self.strange = False  # somebody else has answered in this round
        self.segment = 0
        self.next_at: "float | None" = None  # not begun yet
        self.pause, self.stagger = REDIAL[0], STAGGER
        self.widen_after, self.widen_at = WIDEN[0], 0.0

    def step(self, now: float) -> None:
        """Give up what took too long, dial the next port when it is time."""
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
        if self.last and self.cursor == 0:  # it has not answered yet
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
        """What was dialled has come to nothing: the next port of this round at once, the next round after a pause."""
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
        """One more port in each round, and that one next."""
        if self.reach < len(self.attempts):
            self.cursor = self.reach
            self.reach += 1

    def busy(self) -> bool:
        return any(attempt.busy for attempt in self.attempts)

    def has_met(self) -> bool:
        """Whether the other side is there, and has proved itself: there is nothing to dial."""
        return any(attempt.talk is not None and attempt.talk.known for attempt in self.attempts)

    def wait(self, now: float) -> float:
        """Seconds until there is something to do, if nothing happens before."""
        if self.next_at is None or self.last and not self.busy():
            return 0.0
        return STAGGER if self.has_met() else self.next_at - now

    def ended(self, attempt: Attempt, small: bool) -> None:
        """A conversation has come to nothing; ``small``: large packets get lost on this path, so without them again."""
        attempt.talk = None
        if small:
            attempt.lossy = True
            self.segment, self.pause = SMALL, REDIAL[0]
        else:
            self.strange = True

    def drop(self) -> None:
        for attempt in self.attempts:
            attempt.drop()
