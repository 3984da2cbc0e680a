# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening, dialling and the handshakes on all connections of one end, in parallel.

Wrong addresses and strangers do no harm: a connection that does not prove itself is closed, and the reason recorded.
"""

import select
import time

from .connect import Connection, listen_on
from .dialler import Attempt, Dialler, reason
from .handshake import FALSE, READER, WRITER, Key, Stranger, dial, listen
from .kernel import accept
from .lean import socket
from .names import numbers, ssh_client
from .patience import Patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .handshake import Conversation
    from .records import ConnectReport, EndPlan, LinkSpec, Outcome

    Poll = Callable[[dict[int, int], float], dict[int, int]]

HALF_OPEN = 200  # connections that have not proved themselves; beyond this, the oldest is closed
BIND = 0.25  # seconds: polling interval for a free port
# reasons to refuse callers that are no strangers.  Same side: this end itself, if both ends are on one host with the
# same ports; other run: it listens on another of them; wordless: an attempt that was no longer needed
OURS = ("same side", "made", "other run", "wordless")


class Exchange:
    """The base of a meeting and a preflight: a listener, diallers, and the handshakes on their connections."""

    def __init__(self, plan: "EndPlan", can: int = 0):
        """``can``: the capabilities of this end for encrypted links (see keys)."""
        self.plan, self.patience, self.can = plan, Patience(plan["patience"]), can
        self.links = {link["id"]: link for link in plan["links"] if link["side"] != "local"}
        run = bytes.fromhex(plan["run"])
        self.keys = {n: Key(run, link["index"], bytes.fromhex(link["secret"])) for n, link in self.links.items()}
        self.by_index = {link["index"]: name for name, link in self.links.items()}
        self.run_id = run
        self.listeners: "dict[int, socket.socket]" = {}
        self.taken: "dict[int, str]" = {}
        self.bind_at = 0.0
        self.connections: "list[Connection]" = []
        # one for each address, so that one without an answer does not delay the others
        self.diallers = {name: self._diallers(link) for name, link in self.links.items()}
        self.strangers = 0  # callers that did not prove themselves
        self.large = 0  # connections on which large packets got lost

    def _diallers(self, link: "LinkSpec") -> "list[Dialler]":
        target = self.plan["dial"].get(link["end"])
        if not target or not target["ports"]:
            return []
        client = ssh_client() if target["ssh_client"] else ""
        addresses = ([client] if client else []) + target["addresses"]
        numeric = dict.fromkeys(found for address in addresses for found in numbers(address))
        patience, ports = self.patience.dial, target["ports"]
        return [Dialler(link["end"], link["id"], each, ports, rank, patience) for rank, each in enumerate(numeric)]

    def all_diallers(self) -> "list[Dialler]":
        return [dialler for diallers in self.diallers.values() for dialler in diallers]

    def bind(self, now: float, most: int = 1) -> None:
        """Listen on the first free ports of the list; try again later if none is free."""
        if not self.plan["listen"] or self.listeners or now < self.bind_at:
            return
        self.bind_at = now + BIND
        for port in self.plan["ports"]:
            if len(self.listeners) < most:
                try:
                    self.listeners[port] = listen_on(port)
                except OSError as exc:
                    self.taken[port] = str(exc) if exc.strerror is None else exc.strerror

    def fds(self) -> "dict[int, int]":
        wanted = {sock.fileno(): select.POLLIN for sock in self.listeners.values()}
        for connection in self.connections:
            wanted[connection.sock.fileno()] = connection.wanted()
        for dialler in self.all_diallers():
            wanted.update((a.sock.fileno(), select.POLLOUT) for a in dialler.attempts if a.sock)
        return wanted

    def serve(self, found: "dict[int, int]", now: float) -> None:
        """Handle the events from poll(2): callers, finished attempts, messages."""
        for port, listener in self.listeners.items():
            if listener.fileno() in found:
                self._accept(listener, port)
        for name, diallers in self.diallers.items():
            for dialler in diallers:
                for attempt in dialler.attempts:
                    if attempt.sock and attempt.sock.fileno() in found:
                        self._connected(name, attempt)
        for connection in list(self.connections):
            fd = connection.sock.fileno()  # -1: closed since
            if fd in found:
                self._talk(connection, connection.advance)
            elif fd >= 0 and not connection.known and now - connection.born > self.patience.handshake:
                self.drop(connection, "silent", "%d" % self.patience.handshake)
            if connection.is_stuck(self.patience.fill):
                self.drop(connection, "large packets", small=True)

    def _accept(self, listener: socket.socket, port: int) -> None:
        while True:
            try:
                sock = accept(listener)
            except BlockingIOError:
                return
            except OSError:  # the caller has disconnected, or no descriptors are left
                self._make_room(0)
                return
            self._make_room(HALF_OPEN)
            sock.setblocking(False)
            self._begin(sock, listen(self.find_key, port, self.can), None)

    def _make_room(self, most: int) -> None:
        half_open = [c for c in self.connections if not c.known and c.attempt is None]
        if len(half_open) > most:
            self.drop(half_open[0], "too many")

    def _connected(self, link: str, attempt: Attempt) -> None:
        try:
            sock = attempt.finish()
        except OSError as exc:
            attempt.fail(exc)
            return
        talk = dial(self.keys[link], self.links[link]["side"].encode(), attempt.port, self.can)
        self._begin(sock, talk, attempt, link)

    def _begin(self, sock: socket.socket, talk: "Conversation", attempt: "Attempt | None", link: str = "") -> None:
        connection = Connection(sock, talk, attempt, link)
        self.connections.append(connection)
        if attempt is not None:
            attempt.talk = connection
        self._talk(connection, connection.start)

    def _talk(self, connection: Connection, step: "Callable[[], None]") -> None:
        try:
            step()
        except Stranger as exc:
            self.drop(connection, exc.kind, exc.detail)
        except OSError as exc:
            self.drop(connection, *reason(exc))

    def find_key(self, run: bytes, index: int, side: bytes) -> "tuple[Key, bytes, str]":
        """For the hello of a caller: the key of the link, the own side and the name of the link; raises Stranger."""
        name = self.by_index.get(index, "")
        if run != self.run_id:
            raise Stranger("other run")
        if not name or side not in (WRITER, READER):
            raise Stranger("other link")
        own = WRITER if side == READER else READER
        if own.decode() != self.links[name]["side"]:
            raise Stranger("same side")
        if not self.wants(name):
            raise Stranger("made")
        return self.keys[name], own, name

    def wants(self, link: str) -> bool:
        """Whether this link still accepts callers."""
        return True

    def drop(self, connection: Connection, why: "Outcome", detail: str = "", small: bool = False) -> None:
        """Close a connection that did not become a link, and record the reason.

        ``small``: only small packets get through.  A reader cannot detect that itself; its writer, already proved,
        gives up after a while.  The other end may also give up first.
        """
        attempt, reads = connection.attempt, connection.known and self.links[connection.link]["side"] == "R"
        waited = (
            reads and attempt and not connection.done and time.monotonic() - connection.born > self.patience.fill - 1
        )
        if waited or connection.is_stuck(self.patience.stuck):
            why, detail, small = "large packets", "", True
        self.large += small
        if attempt is not None:
            attempt.end_as(why, detail, met=True)
            for dialler in self.diallers[connection.link]:
                if attempt in dialler.attempts:
                    dialler.ended(attempt, small)
        elif not connection.known and why not in OURS and (not connection.link or why in FALSE):
            self.strangers += 1
        connection.sock.close()
        self.connections.remove(connection)

    def close(self) -> None:
        """Stop listening and dialling, and close unfinished handshakes."""
        for listener in self.listeners.values():
            listener.close()
        for dialler in self.all_diallers():
            dialler.drop()
        for connection in self.connections:
            connection.sock.close()
        self.connections = []

    def last_word(self, one: Attempt, other: Attempt) -> Attempt:
        """The attempt to report, if two links have dialled the same address and port."""
        return one if one.outcome == "connected" else other

    def report(self) -> "ConnectReport":
        tried: "dict[tuple[str, str, int], Attempt]" = {}
        for dialler in self.all_diallers():
            for attempt in dialler.attempts:
                if attempt.outcome != "not tried":
                    place = (attempt.end, attempt.host, attempt.port)
                    tried[place] = self.last_word(tried.get(place, attempt), attempt)
        return {
            "listening": sorted(self.listeners),
            "taken": [{"port": port, "error": error} for port, error in sorted(self.taken.items())],
            "dialled": [
                {
                    "end": attempt.end,
                    "address": attempt.host,
                    "port": attempt.port,
                    "met": attempt.met,
                    "outcome": attempt.outcome,
                    "detail": attempt.detail,
                }
                for _place, attempt in sorted(tried.items(), key=lambda item: item[0])
            ],
            "dials": bool(self.plan["dial"]),
            "strangers": self.strangers,
            "large": self.large,
        }
