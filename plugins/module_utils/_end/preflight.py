# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network check: which addresses and ports work in each direction, and how the others fail.

Each end listens on every free port of its list, dials every address and port of the others, and completes the handshake
on each connection.  No stage runs.  The report also has what this host could use for encrypted links.
"""

import select
import time

from .capabilities import capabilities
from .connect import Connection
from .dialler import Attempt
from .exchange import Exchange
from .handshake import PARKED
from .kernel import FIN
from .lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .exchange import Poll
    from .records import EndPlan, Report

RETRY = (0.25, 1.0)  # seconds between attempts while the other end may not be up yet: first and last value


class Preflight(Exchange):
    """One end of a preflight: dials everything, answers everything, reports the outcomes."""

    def __init__(self, plan: "EndPlan"):
        # each direction is checked once, whatever the number of links
        one_each = {(link["end"], link["side"]): link for link in plan["links"] if link["side"] != "local"}
        checked = plan.copy()
        checked["links"] = list(one_each.values())
        super().__init__(checked)
        self.others = {link["end"] for link in checked["links"]}
        self.attempts: "list[Attempt]" = [a for d in self.all_diallers() for a in d.attempts]
        self.over: "list[Connection]" = []  # whose other end has reported that it is done
        self.told: "list[Connection]" = []  # to which this end has reported that it is done
        self.met_at: "dict[str, float]" = {}  # {other end: time of the first contact}
        self.retry_at, self.pause = 0.0, RETRY[0]

    def run(self, poll: "Poll", deadline: float) -> "Report":
        """Returns what was tried, and the capabilities of this host; does not raise NotConnected."""
        while time.monotonic() < deadline:
            now = time.monotonic()
            self.bind(now, len(self.plan["ports"]))
            self.dial_all(now)
            self.serve(poll(self.fds(), 0.05), time.monotonic())
            self.note_known(time.monotonic())
            if self.others <= set(self.met_at) and self.done():
                self.say_goodbye()
                if all(connection in self.over for connection in self.proved()):
                    break
        report = self.report()
        self.close()
        return {"preflight": True, "connect": report, "encryption": capabilities()}

    def dial_all(self, now: float) -> None:
        """Dial everything without an answer; after the first contact with an end, once more for its final outcome."""
        for attempt in self.attempts:
            if attempt.sock and now - attempt.started > self.patience.dial:
                attempt.drop()
        if now < self.retry_at:
            return
        self.retry_at, self.pause = now + self.pause, min(RETRY[1], self.pause * 1.25)
        for attempt in self.attempts:
            if attempt.busy or attempt.outcome == "ok" or self.is_final(attempt):
                continue
            try:
                attempt.start()
            except OSError as exc:
                attempt.fail(exc)

    def is_final(self, attempt: Attempt) -> bool:
        met_at = self.met_at.get(attempt.end)
        return attempt.lossy or met_at is not None and not attempt.busy and attempt.started > met_at

    def done(self) -> bool:
        """Whether each attempt has its final outcome, and no handshake with an end is in progress."""
        talking = any((c.attempt is not None or c.known) and not c.done for c in self.connections)
        return not talking and all(a.outcome == "ok" or self.is_final(a) for a in self.attempts)

    def proved(self) -> "list[Connection]":
        """Connections that could be a link."""
        return [connection for connection in self.connections if connection.done]

    def note_known(self, now: float) -> None:
        for connection in self.connections:
            if connection.known and self.links[connection.link]["end"] not in self.met_at:
                self.met_at[self.links[connection.link]["end"]] = now
                self.retry_at, self.pause = now, RETRY[0]
            if connection.done and connection.attempt is not None:
                connection.attempt.end_as("ok")

    def last_word(self, one: Attempt, other: Attempt) -> Attempt:
        return other if one.outcome == "ok" else one

    def fds(self) -> "dict[int, int]":
        wanted = super().fds()
        for connection in self.proved():
            wanted[connection.sock.fileno()] = select.POLLIN | FIN
        for connection in self.over:
            wanted.pop(connection.sock.fileno(), None)
        return wanted

    def say_goodbye(self) -> None:
        """Report to other ends that this one is done.  Closing would say the same, but end the reception, too."""
        for connection in self.proved():
            if connection not in self.told:
                self.told.append(connection)
                try:
                    connection.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    def _talk(self, connection: Connection, step: "Callable[[], None]") -> None:
        if connection.done:
            self.over.append(connection)
            return
        super()._talk(connection, step)
        if connection in self.connections and connection.phase == PARKED:
            super()._talk(connection, connection.choose)
