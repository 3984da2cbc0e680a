# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may connect: both sides of a link prove that they have its secret.

The conversations are generators that know nothing of sockets: each ``yield``
hands out a Step (bytes to send, the phase that this leads to, number of bytes to
read next, the link once it is known) and gets those bytes back, exactly that many.  Every message has a fixed size::

    dialler                          listener
    hello:  magic plan link side nonce  ->
                                     <- nonce, MAC "listener"
    MAC "dialler"                    ->
    now both know each other; then, whoever dialled:
    writer                           reader
    size, MAC "confirm", size NULs   ->     this connection is the link
                                     <- MAC "taken"   data may follow

Each MAC is HMAC-SHA256 with the link's secret over its own label, the plan, the
link, the dialler's side, both nonces and the listener's port (and the size), so
that none can be replayed, echoed or moved to another place: whoever listens on
another port of the same host cannot pass a conversation on and be in the middle
of the link.  (Addresses are not in it: behind NAT the two sides see different
ones.)  A conversation that goes wrong raises Stranger.

The NULs fill the largest packet that the connection has, in the direction of the
data.  Where a router drops such packets, and what it says of it (ICMP) is lost,
small messages and keepalives pass, and data does not: a path like that is never
taken.  They come from and go to an end that has proved itself; nobody else can
make us send, or wait for, more than the messages above.
"""

import os
import struct

from .lean import compare_digest, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Generator

    from .records import Outcome

    Conversation = Generator["Step", bytes, None]

MAGIC = b"SKTPIPE1"
WRITER, READER = b"W", b"R"
HELLO = struct.Struct("!8s16sI1s32s")
CONFIRM = struct.Struct("!I32s")
PORT = struct.Struct("!H")
NONCE = MAC = 32
FILL_MOST = 64 * 1024  # bytes of filling: no packet of IP is larger
FALSE = ("wrong proof", "wrong filling")  # kinds of strangers that know of the link

# the phases of a conversation; in all but the first the other side has proved itself
STRANGE = "strange"
KNOWN = "known"
PARKED = "parked"  # the writer's end resumes this one if it chooses it; until then there is nothing to read
CHOSEN = "chosen"  # writer: the other side has been told that this connection is the link
ENDING = "ending"  # reader: it is the link once the last message is out
DONE = "done"


class Step:
    """What a conversation hands out: bytes to send, its phase from then on, how many bytes to read next."""

    __slots__ = ("send", "phase", "want", "link")

    def __init__(self, send: bytes, phase: str, want: int = 0, link: str = "") -> None:
        self.send, self.phase, self.want, self.link = send, phase, want, link


class Stranger(Exception):
    """Whoever is at the other side of this connection is not ours."""

    def __init__(self, kind: "Outcome", detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


INNER, OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) with a key of at most 64 bytes, the hash's block."""
    block = key.ljust(64, b"\0")
    return bytes(sha256(block.translate(OUTER) + sha256(block.translate(INNER) + text).digest()).digest())


class Key:
    """One link's secret and the only place that uses it."""

    def __init__(self, plan: bytes, link: int, secret: bytes) -> None:
        self.plan, self.link, self._secret = plan, link, secret

    def prove(self, label: bytes, side: bytes, nonces: bytes, size: int = 0) -> bytes:
        text = struct.pack("!16s16sI1sI", label, self.plan, self.link, side, size) + nonces
        return hmac_sha256(self._secret, text)

    def check(self, label: bytes, side: bytes, nonces: bytes, proof: bytes, size: int = 0) -> None:
        if not compare_digest(proof, self.prove(label, side, nonces, size)):
            raise Stranger("wrong proof", label.decode())

    def agree(self, side: bytes, nonces: bytes) -> bytes:
        """What the keys of an encrypted link are made of (see keys); both sides' nonces make it this connection's."""
        text = struct.pack("!16s16sI1s", b"encrypt", self.plan, self.link, side) + nonces[: 2 * NONCE]
        return hmac_sha256(self._secret, text)


def dial(key: "Key", side: bytes, port: int = 0) -> "Conversation":
    """The side that connected, to this port; ``side`` says whether it is the link's writer or its reader."""
    mine = os.urandom(NONCE)
    answer = yield Step(HELLO.pack(MAGIC, key.plan, key.link, side, mine), STRANGE, NONCE + MAC)
    nonces = mine + answer[:NONCE] + PORT.pack(port)
    key.check(b"listener", side, nonces, answer[NONCE:])
    yield from _settle(key, side, side, nonces, key.prove(b"dialler", side, nonces))


def listen(find_key: "Callable[[bytes, int, bytes], tuple[Key, bytes, str]]", port: int = 0) -> "Conversation":
    """The side that was connected to, on this port.

    ``find_key(plan, link, dialler's side)`` gives the key, our own side and the
    link's name, or raises Stranger: one listener serves all links of an end.
    """
    magic, plan, link, side, theirs = HELLO.unpack((yield Step(b"", STRANGE, HELLO.size)))
    if magic != MAGIC:
        raise Stranger("no hello")
    key, own_side, name = find_key(plan, link, side)
    mine = os.urandom(NONCE)
    nonces = theirs + mine + PORT.pack(port)
    proof = yield Step(mine + key.prove(b"listener", side, nonces), STRANGE, MAC, name)
    key.check(b"dialler", side, nonces, proof)
    yield from _settle(key, own_side, side, nonces, b"")


def _settle(key: "Key", own_side: bytes, side: bytes, nonces: bytes, last: bytes) -> "Conversation":
    """Both know each other: the writer says which connection is the link, the reader agrees."""
    if own_side == WRITER:
        filling = yield Step(last, PARKED)
        size = len(filling)
        confirm = CONFIRM.pack(size, key.prove(b"confirm", side, nonces, size))
        taken = yield Step(confirm + filling, CHOSEN, MAC)
        key.check(b"taken", side, nonces, taken)
    else:
        size, proof = CONFIRM.unpack((yield Step(last, KNOWN, CONFIRM.size)))
        key.check(b"confirm", side, nonces, proof, size)
        if size > FILL_MOST:
            raise Stranger("wrong filling")
        if size and (yield Step(b"", KNOWN, size)).strip(b"\0"):
            raise Stranger("wrong filling")
        yield Step(key.prove(b"taken", side, nonces), ENDING)
