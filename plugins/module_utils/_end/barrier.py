# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of a plan of more than two ends: no stage starts before all links of the plan are made.

The ends form a tree along the direction of the data.  When all links of an end are made, and "ready" has come from all
ends below it, it sends "ready" upwards, from the reader of a link to its writer.  At the first end "ready" means that
all links are made; it sends "go" downwards, and starts its stages, as does each end that gets "go".  Until then every
death resets the links of that end, the neighbours reset theirs, and nothing is started anywhere.

Both messages are MACs with the secret of their link, for its connection (see handshake).  On an encrypted link they are
part of the encrypted stream: records of the kernel's TLS, or data of the relays after their TLS handshake.
"""

import time

from .lean import compare_digest, socket
from .link import BROKEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .handshake import Prove
    from .link import Side

READY, GO = b"ready", b"go"
SIZE = 32  # bytes of each message


class Gate:
    """One link of the barrier: sends one message on it, and receives the other."""

    def __init__(self, side: "Side", prove: "Prove"):
        self.side, self.relay = side, side.relay
        # a relay passes on what the end writes or reads in place of the stage
        self.near = self.relay.facing if self.relay else side
        says, hears = (GO, READY) if side.writer else (READY, GO)
        self.says, self.hears = prove(says), prove(hears)
        self.received = b""
        self.heard = self.said = False
        self.near.transport.skip(SIZE)
        if self.relay:
            self.relay.uncounted = SIZE
            self.relay.encryption = {**self.relay.encryption, "back": SIZE}

    def say(self) -> None:
        """Send the message, once.  It fits into the empty queue of its connection."""
        if self.said:
            return
        self.said = True
        try:
            if self.relay and not self.side.writer:
                self.relay.pass_back(self.says)
            elif self.near.sock.send(self.says, socket.MSG_DONTWAIT) != SIZE:
                self.side.abort()
        except OSError:
            self.fail()

    def hear(self) -> bool:
        """Whether the message of the other end has arrived; a wrong one breaks the link."""
        if self.heard:
            return True
        if self.relay and self.side.writer:
            self.received = self.relay.passed_back()
        else:
            try:
                chunk = self.near.sock.recv(SIZE - len(self.received), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                self.fail()
                return False
            if not chunk:
                self.near.abort()
                self.side.abort()
            self.received += chunk
        if len(self.received) >= SIZE:  # it is at most that
            self.heard = compare_digest(self.received, self.hears)
            if not self.heard:
                self.side.abort({"kind": "changed on the way", "where": "start", "error": ""})
        return self.heard

    def fail(self) -> None:
        """The connection is broken; if a relay has broken it, the relay knows the reason and breaks the link itself."""
        if not self.relay:
            self.side.abort()


def hear(gates: "list[Gate]") -> bool:
    """Whether the messages of all have arrived."""
    heard = [gate.hear() for gate in gates]  # of each, because poll(2) reports all that is unread
    return all(heard)


class Barrier:
    """The barrier as seen by one end."""

    def __init__(self, sides: "list[Side]", patience: float):
        """``patience``: seconds for other ends to make their links."""
        self.sides = sides
        self.patience, self.rests_until = patience, time.monotonic() + patience
        gates = [Gate(side, side.prove) for side in sides if side.prove]
        self.above = [gate for gate in gates if not gate.side.writer]  # none or one
        self.below = [gate for gate in gates if gate.side.writer]
        self.passed = False

    def rest(self, now: float) -> None:
        """Before the start no byte has to move on these links, except for a message that is late.

        Then its silence is a stall, as somebody in between could hold the message.  Those who wait for "go" wait longer
        than those above, who know better which end is silent.
        """
        late = [gate.side for gate in self.below if not gate.heard and now >= self.rests_until]
        if now >= self.rests_until + self.patience:
            late += [gate.side for gate in self.above if not gate.heard]
        for side in self.sides:
            if side not in late:
                side.begin(now)

    @property
    def failed(self) -> bool:
        """Whether no stage will ever start, because a link of this end has broken before."""
        return not self.passed and any(side.state in BROKEN for side in self.sides)

    def step(self) -> bool:
        """Exchange messages as far as possible, once all links of this end are made; True when it is passed."""
        if self.passed or self.failed or not hear(self.below):
            return False
        for gate in self.above:
            gate.say()
        if self.failed or not hear(self.above):
            return False
        for gate in self.below:
            gate.say()
        if self.failed:
            return False
        self.passed = True
        return True

    def fds(self) -> "list[int]":
        """The descriptors on which a message is expected."""
        if self.passed or self.failed:
            return []
        waits = [gate for gate in self.below if not gate.relay] + [gate for gate in self.above if gate.said]
        return [gate.near.sock.fileno() for gate in waits if not gate.heard]
