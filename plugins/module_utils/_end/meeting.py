# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the ends of a plan find each other: by listening, if the plan has it, and by dialling.

A Meeting makes every TCP link of one end.  It binds the first free port of the end's list if the end is to listen, and
dials the other ends at the addresses and ports that it has for them, which may be none.  The first connection that
proves itself (see handshake) and is confirmed by the writer becomes the link.
"""

import time

from .dialler import STAGGER
from .exchange import Exchange
from .handshake import PARKED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .connect import Connection
    from .exchange import Poll
    from .records import EndPlan, Outcome


class NotConnected(Exception):
    """These links could not be made in time."""

    def __init__(self, links: "list[str]") -> None:
        super().__init__()
        self.links = links


class Meeting(Exchange):
    """Makes every TCP link of an end, or raises NotConnected at the end of ``connect_timeout``."""

    def __init__(self, plan: "EndPlan", can: int = 0):
        super().__init__(plan, can)
        self.made: "dict[str, Connection]" = {}
        self.chosen: "dict[str, Connection]" = {}

    def wants(self, link: str) -> bool:
        return link not in self.made

    def run_until(self, poll: "Poll", deadline: float) -> "dict[str, Connection]":
        """Returns {link id: its connection}; all are authenticated, and nothing else is left open."""
        while len(self.made) < len(self.links):
            now = time.monotonic()
            if now > deadline:
                self.large += sum(connection.is_stuck(self.patience.stuck) for connection in self.connections)
                raise NotConnected(sorted(set(self.links) - set(self.made)))
            self.bind(now)
            wanted = [dialler for dialler in self.all_diallers() if self.wants(dialler.link)]
            for dialler in wanted:
                dialler.step(now)
            times = [dialler.wait(now) for dialler in wanted]
            found = poll(self.fds(), max(0.0, min(times + [STAGGER])))
            self.serve(found, time.monotonic())
            self.settle()
        self.close()
        return self.made

    def settle(self) -> None:
        """Choose one of the proved connections as the writer, and another one if the choice falls silent."""
        for connection in list(self.chosen.values()):
            if connection in self.connections and time.monotonic() - connection.chosen_at > self.patience.handshake:
                self.drop(connection, "not taken")
        for connection in list(self.connections):
            if connection.phase == PARKED and connection.link not in self.chosen:
                self.chosen[connection.link] = connection
                self._talk(connection, connection.choose)

    def _talk(self, connection: "Connection", step: "Callable[[], None]") -> None:
        super()._talk(connection, step)
        if connection.done:
            self._take(connection)

    def _take(self, connection: "Connection") -> None:
        """Make this connection the link.  A second writer, if a plan was launched twice, must not be confirmed, too."""
        self.made[connection.link] = connection
        for dialler in self.diallers[connection.link]:
            dialler.drop()
        for other in [c for c in self.connections if c.link == connection.link]:
            self.connections.remove(other)
            if other is not connection:
                other.sock.close()

    def drop(self, connection: "Connection", why: "Outcome", detail: str = "", small: bool = False) -> None:
        super().drop(connection, why, detail, small)
        if self.chosen.get(connection.link) is connection:
            del self.chosen[connection.link]
