# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may connect: both sides of a link prove that they have its secret.

The conversations are generators without sockets: each ``yield`` hands out a Step (bytes to send, the resulting phase,
the number of bytes to read next, and the link once it is known) and receives exactly that many bytes.  Every message
has a fixed size::

    dialler                          listener
    hello:  magic plan link side capabilities nonce  ->
                                     <- capabilities nonce, MAC "listener"
    MAC "dialler"                    ->
    now both have proved themselves; then, whichever side dialled:
    writer                           reader
    size, MAC "confirm", size NULs   ->     this connection is the link
                                     <- MAC "taken"   data may follow

Each MAC is HMAC-SHA256 with the secret of the link over its own label, the plan, the link, the dialler's side, both
nonces and capabilities, and the listener's port (and the size).  So none can be replayed, echoed or moved: a listener
on another port of the same host cannot relay a handshake and sit in the middle of the link.  (Addresses are not
included, because the two sides see different ones behind NAT.)  A failed handshake raises Stranger.

On an encrypted link (see keys, ktls) the writer arms its socket after "confirm", and "taken" is the first record of the
reader.  So a stranger never reaches the record parser of the kernel, and the writer knows that the reader has the keys
before any stage starts.  The plan of both ends decides whether links are encrypted; capabilities only decide how.

The NULs fill the largest packet of the connection, in the direction of the data.  If a router drops such packets and
its ICMP messages are lost, small messages and keepalives pass, but data does not; such a path is never used.  The NULs
are exchanged only between ends that have proved themselves.  A stranger cannot make an end send or await more than the
messages above.
"""

from .lean import compare_digest, sha256, struct
from .system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Generator

    from .records import Outcome

    FindKey = Callable[[bytes, int, bytes], tuple["Key", bytes, str]]
    Conversation = Generator["Step", bytes, None]
    Prove = Callable[[bytes], bytes]  # the MAC of a later message on the same connection, by its label

MAGIC = b"SKTPIPE1"
WRITER, READER = b"W", b"R"
HELLO = struct.Struct("!8s16sI1sB32s")
ANSWER = struct.Struct("!B32s32s")
CONFIRM = struct.Struct("!I32s")
TERMS = struct.Struct("!HBB")  # the listener's port; the capabilities of the dialler and of the listener
NONCE = MAC = 32
FILL_MOST = 64 * 1024  # bytes of filling: the maximum size of an IP packet
FALSE = ("wrong proof", "wrong filling")  # kinds of strangers that know the link

# the phases of a conversation; in all but the first the other side has proved itself
STRANGE = "strange"
KNOWN = "known"
PARKED = "parked"  # the writer resumes it if it chooses this connection; until then there is nothing to read
CHOSEN = "chosen"  # writer: the other side has been told that this connection is the link
ENDING = "ending"  # reader: it becomes the link when the last message is sent
DONE = "done"


class Step:
    """One step of a handshake: bytes to send, the resulting phase, the number of bytes to read next."""

    __slots__ = ("send", "phase", "want", "link", "terms", "prove")

    def __init__(
        self,
        send: bytes,
        phase: str,
        want: int = 0,
        link: str = "",
        terms: "Terms | None" = None,
        prove: "Prove | None" = None,
    ) -> None:
        self.send, self.phase, self.want, self.link, self.terms, self.prove = send, phase, want, link, terms, prove


class Terms:
    """How both sides encrypt a link: ``common`` capabilities, and ``agreed``, the input for the keys.

    The writer arms its socket after sending the data of this step, the reader before.
    """

    __slots__ = ("agreed", "common", "writer")

    def __init__(self, agreed: bytes, common: int, writer: bool) -> None:
        self.agreed, self.common, self.writer = agreed, common, writer


class Stranger(Exception):
    """The other side of this connection is not the expected end."""

    def __init__(self, kind: "Outcome", detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


INNER, OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) with a key of at most 64 bytes, the block size of the hash."""
    block = key.ljust(64, b"\0")
    return bytes(sha256(block.translate(OUTER) + sha256(block.translate(INNER) + text).digest()).digest())


class Key:
    """The secret of one link, used only here."""

    def __init__(self, plan: bytes, link: int, secret: bytes) -> None:
        self.plan, self.link, self._secret = plan, link, secret

    def prove(self, label: bytes, side: bytes, nonces: bytes, size: int = 0) -> bytes:
        text = struct.pack("!16s16sI1sI", label, self.plan, self.link, side, size) + nonces
        return hmac_sha256(self._secret, text)

    def check(self, label: bytes, side: bytes, nonces: bytes, proof: bytes, size: int = 0) -> None:
        if not compare_digest(proof, self.prove(label, side, nonces, size)):
            raise Stranger("wrong proof", label.decode())

    def agree(self, side: bytes, nonces: bytes) -> bytes:
        """The input for the keys of an encrypted link (see keys); the nonces make it unique to this connection."""
        text = struct.pack("!16s16sI1s", b"encrypt", self.plan, self.link, side) + nonces[: 2 * NONCE]
        return hmac_sha256(self._secret, text)


def dial(key: "Key", side: bytes, port: int = 0, can: int = 0) -> "Conversation":
    """The handshake of the dialling side; ``port``: the dialled port; ``side``: writer or reader of the link.

    ``can``: its capabilities (see keys), 0 for an unencrypted link.
    """
    mine = os.urandom(NONCE)
    answer = yield Step(HELLO.pack(MAGIC, key.plan, key.link, side, can, mine), STRANGE, ANSWER.size)
    theirs, nonce, proof = ANSWER.unpack(answer)
    nonces = mine + nonce + TERMS.pack(port, can, theirs)
    key.check(b"listener", side, nonces, proof)
    yield from _settle(key, side, side, nonces, key.prove(b"dialler", side, nonces), can & theirs)


def listen(
    find_key: "Callable[[bytes, int, bytes], tuple[Key, bytes, str]]", port: int = 0, can: int = 0
) -> "Conversation":
    """The handshake of the listening side, on this port.

    ``find_key(plan, link, dialler's side)`` returns the key, the own side and the name of the link, or raises Stranger.
    One listener serves all links of an end.
    """
    magic, plan, link, side, theirs, nonce = HELLO.unpack((yield Step(b"", STRANGE, HELLO.size)))
    if magic != MAGIC:
        raise Stranger("no hello")
    key, own_side, name = find_key(plan, link, side)
    mine = os.urandom(NONCE)
    nonces = nonce + mine + TERMS.pack(port, theirs, can)
    proof = yield Step(ANSWER.pack(can, mine, key.prove(b"listener", side, nonces)), STRANGE, MAC, name)
    key.check(b"dialler", side, nonces, proof)
    yield from _settle(key, own_side, side, nonces, b"", can & theirs)


def _settle(key: "Key", own_side: bytes, side: bytes, nonces: bytes, last: bytes, common: int) -> "Conversation":
    """The last part, after both proofs: the writer chooses the connection for the link, and the reader confirms it."""
    terms = Terms(key.agree(side, nonces), common, own_side == WRITER) if common else None

    def prove(label: bytes) -> bytes:
        return key.prove(label, side, nonces)

    if own_side == WRITER:
        filling = yield Step(last, PARKED)
        size = len(filling)
        confirm = CONFIRM.pack(size, key.prove(b"confirm", side, nonces, size))
        taken = yield Step(confirm + filling, CHOSEN, MAC, terms=terms, prove=prove)
        key.check(b"taken", side, nonces, taken)
    else:
        size, proof = CONFIRM.unpack((yield Step(last, KNOWN, CONFIRM.size)))
        key.check(b"confirm", side, nonces, proof, size)
        if size > FILL_MOST:
            raise Stranger("wrong filling")
        if size and (yield Step(b"", KNOWN, size)).strip(b"\0"):
            raise Stranger("wrong filling")
        yield Step(prove(b"taken"), ENDING, terms=terms, prove=prove)
