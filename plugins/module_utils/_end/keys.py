# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of an encrypted link: its ciphers, and one key and nonce for each direction of one connection.

They are derived from the result of the handshake (``Key.agree``): the secret of the link and the fresh nonces of both
sides, so no two connections share keys.  Each is one block of HKDF-Expand (RFC 5869) with its own text.
"""

from .handshake import hmac_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

WRITER_TO_READER, READER_TO_WRITER = b"W>R", b"R>W"


class Cipher:
    """An AEAD of TLS 1.3 in Linux: its number and the sizes of its parts in linux/tls.h."""

    __slots__ = ("name", "bit", "number", "iv", "key", "salt", "most")

    def __init__(self, name: str, bit: int, number: int, iv: int, key: int, salt: int, most: int) -> None:
        """``bit``: its bit in the capabilities; ``most``: the records after which a link is aborted, 0 for no limit."""
        self.name, self.bit, self.number = name, bit, number
        self.iv, self.key, self.salt, self.most = iv, key, salt, most


# RFC 8446, 5.5: one key of AES-GCM may encrypt 2 ** 24.5 records; ChaCha20-Poly1305 would wrap its counter first
GCM_RECORDS = 23726566
UNCHECKED = 1 << 20  # records: more than a kernel encrypts between two checks (Patience.tick)
CHACHA20 = Cipher("chacha20-poly1305", 1, 54, 12, 32, 0, 0)
AES = Cipher("aes-256-gcm", 2, 52, 8, 32, 4, GCM_RECORDS - UNCHECKED)
CIPHERS = (CHACHA20, AES)  # the first common one is used


def named(name: str) -> "Cipher":
    return next(cipher for cipher in CIPHERS if cipher.name == name)


def bits(ciphers: "Iterable[Cipher]") -> int:
    """The capabilities of a side, as a number for the handshake."""
    return sum(cipher.bit for cipher in ciphers)


def unlimited(can: int) -> int:
    """Those of these capabilities with which a link may carry any amount."""
    return can & bits(cipher for cipher in CIPHERS if not cipher.most)


def common(own: int, other: int) -> "Cipher | None":
    """The cipher for two sides with these capabilities, None if they have none in common."""
    return next((cipher for cipher in CIPHERS if cipher.bit & own & other), None)


def direction(agreed: bytes, cipher: "Cipher", way: bytes) -> "tuple[bytes, bytes]":
    """(key, nonce) for one direction."""
    context = b"socketpipe link 1 " + cipher.name.encode() + b" " + way
    key = hmac_sha256(agreed, b"key " + context + b"\x01")[: cipher.key]
    return key, hmac_sha256(agreed, b"nonce " + context + b"\x01")[: cipher.salt + cipher.iv]


def both(agreed: bytes, cipher: "Cipher", writer: bool) -> "tuple[tuple[bytes, bytes], tuple[bytes, bytes]]":
    """(key, nonce) for sending, and for receiving."""
    ways = [WRITER_TO_READER, READER_TO_WRITER][:: 1 if writer else -1]
    sends, receives = (direction(agreed, cipher, way) for way in ways)
    return sends, receives
