# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A firewall check: which address and port works in which direction, and how the others fail.

Each end listens on every free port of its list, dials every address and port of
the others, and proves itself on each connection.  No stage runs.
"""

import time

from .meeting import DIAL_TIME, Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from .connect import Attempt, Connection
    from .meeting import Poll
else:
    import _socket as socket

OK = "ok"
RETRY = 0.25  # seconds between attempts while the other end may not be up yet


class Preflight(Exchange):
    """One end of a preflight: dials everything, answers everything, reports what came of it."""

    def __init__(self, plan: "dict[str, Any]"):
        one_each = {link["end"]: link for link in plan["links"] if link["side"] != "local"}
        super().__init__(dict(plan, links=list(one_each.values())))
        self.attempts: "list[Attempt]" = [a for d in self.all_diallers() for a in d.attempts]
        self.over: "list[Connection]" = []  # the other end has said that it is done
        self.end_of: "dict[str, str]" = {link["id"]: end for end, link in one_each.items()}
        self.met_at: "dict[str, float]" = {}  # each of the other ends, when it was first heard of
        self.retry_at = 0.0

    def run(self, poll: "Poll", deadline: float) -> "dict[str, Any]":
        """Returns {"preflight": True, "connect": what was tried}; never raises NotConnected."""
        said_goodbye = False
        while time.monotonic() < deadline:
            now = time.monotonic()
            self.bind(now, len(self.plan["ports"]))
            self.dial_all(now)
            self.serve(poll(self.fds(), 0.05), time.monotonic())
            self.note_known(time.monotonic())
            if self.met_at and self.done() and not said_goodbye:
                said_goodbye = True
                for connection in self.known():
                    self.say_goodbye(connection)
            if said_goodbye and all(c in self.over for c in self.known()):
                break
        report = self.report()
        self.close()
        return {"preflight": True, "connect": report}

    def dial_all(self, now: float) -> None:
        """Start what has no answer yet; after the first contact with an end each once more, for its last word."""
        for attempt in self.attempts:
            if attempt.sock and now - attempt.started > DIAL_TIME:
                attempt.drop()
        if now < self.retry_at:
            return
        self.retry_at = now + RETRY
        for attempt in self.attempts:
            if attempt.sock or attempt.outcome == OK or self.is_final(attempt):
                continue
            try:
                attempt.start()
            except OSError as exc:
                attempt.fail(exc)

    def is_final(self, attempt: "Attempt") -> bool:
        met_at = self.met_at.get(attempt.end)
        return met_at is not None and attempt.sock is None and attempt.started > met_at

    def done(self) -> bool:
        talking = any(c.attempt is not None and not c.known for c in self.connections)
        return not talking and all(a.outcome == OK or self.is_final(a) for a in self.attempts)

    def known(self) -> "list[Connection]":
        return [connection for connection in self.connections if connection.known]

    def note_known(self, now: float) -> None:
        for connection in self.known():
            if connection.attempt is not None:
                connection.attempt.outcome = OK
            self.met_at.setdefault(self.end_of[connection.link], now)

    def fds(self) -> "dict[int, int]":
        wanted = super().fds()
        for connection in self.over:
            wanted.pop(connection.sock.fileno(), None)
        return wanted

    def say_goodbye(self, connection: "Connection") -> None:
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def drop(self, connection: "Connection", why: str) -> None:
        if connection.known:
            self.over.append(connection)  # stays open: closing it would say that we are done too
        else:
            super().drop(connection, why)
