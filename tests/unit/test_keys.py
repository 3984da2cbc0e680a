# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of encrypted links, beside an independent reference, and the ciphers that two sides have in common."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import keys
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.handshake import READER, TERMS, WRITER, Key
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.keys import AES, CHACHA20, CIPHERS, Cipher

RUN, INDEX, SECRET = bytes(range(16)), 7, bytes(range(200, 232))
NONCES = bytes(range(32)) + bytes(range(100, 132))
CIPHER = pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)


def reference(side: bytes, suite: str, way: str, iv: int) -> tuple[bytes, bytes]:
    """The derivation as it is written down, by the standard library."""

    def mac(key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, hashlib.sha256).digest()

    prk = mac(SECRET, b"encrypt\0\0\0\0\0\0\0\0\0" + RUN + INDEX.to_bytes(4, "big") + side + NONCES)
    context = f"socketpipe link 1 {suite} {way}".encode()
    return mac(prk, b"key " + context + b"\x01"), mac(prk, b"nonce " + context + b"\x01")[:iv]


@pytest.mark.parametrize(("can", "left"), [(0, 0), (CHACHA20.bit, 1), (AES.bit, 0), (3, CHACHA20.bit)])
def test_what_carries_any_amount(can: int, left: int) -> None:
    assert keys.unlimited(can) == left


@CIPHER
@pytest.mark.parametrize("side", [WRITER, READER])
@pytest.mark.parametrize("way", [keys.WRITER_TO_READER, keys.READER_TO_WRITER])
def test_the_derivation_is_the_reference(cipher: Cipher, side: bytes, way: bytes) -> None:
    agreed = Key(RUN, INDEX, SECRET).agree(side, NONCES)
    assert keys.direction(agreed, cipher, way) == reference(side, cipher.name, way.decode(), 12)


def test_one_vector_stands_here() -> None:
    """So that product and reference do not change together."""
    agreed = Key(RUN, INDEX, SECRET).agree(WRITER, NONCES)
    assert agreed.hex() == "ad374ba8c05a7a54e26deb6250d446172cfb94bcba04902a4ff3a2185d5f0c32"
    key, nonce = keys.direction(agreed, CHACHA20, keys.WRITER_TO_READER)
    assert (key.hex(), nonce.hex()) == (
        "8d4345e5e7a238d066a7f7f77c34b826e2dcac782f7d31c6410b1cdb1d8b4405",
        "c2165ff0500ac0b236b0b501",
    )


def test_what_is_behind_the_nonces_is_no_part_of_the_keys() -> None:
    key = Key(RUN, INDEX, SECRET)
    assert key.agree(WRITER, NONCES + TERMS.pack(2000, 3, 3)) == key.agree(WRITER, NONCES)


def test_no_two_keys_are_the_same() -> None:
    """Of another secret, run, link, connection, side, cipher or direction: a key set serves one connection."""
    other = bytes(32)
    made = [
        Key(RUN, INDEX, SECRET).agree(WRITER, NONCES),
        Key(RUN, INDEX, other).agree(WRITER, NONCES),
        Key(other[:16], INDEX, SECRET).agree(WRITER, NONCES),
        Key(RUN, INDEX + 1, SECRET).agree(WRITER, NONCES),
        Key(RUN, INDEX, SECRET).agree(READER, NONCES),
        Key(RUN, INDEX, SECRET).agree(WRITER, NONCES[::-1]),
        Key(RUN, INDEX, SECRET).agree(WRITER, NONCES[:32] + other),
    ]
    assert len(set(made)) == len(made)
    ways = (keys.WRITER_TO_READER, keys.READER_TO_WRITER)
    derived = [keys.direction(agreed, cipher, way) for agreed in made for cipher in CIPHERS for way in ways]
    assert len({key for key, _nonce in derived}) == len({nonce for _key, nonce in derived}) == len(derived)


@CIPHER
def test_each_side_sends_as_the_other_receives(cipher: Cipher) -> None:
    agreed = bytes(range(32))
    writer, reader = keys.both(agreed, cipher, writer=True), keys.both(agreed, cipher, writer=False)
    assert writer == reader[::-1] and writer[0] != writer[1]
    assert writer[0] == keys.direction(agreed, cipher, keys.WRITER_TO_READER)


@pytest.mark.parametrize(
    ("own", "other", "taken"),
    [
        ([CHACHA20, AES], [CHACHA20, AES], CHACHA20),
        ([CHACHA20, AES], [AES], AES),
        ([AES], [CHACHA20, AES], AES),
        ([CHACHA20], [AES], None),
        ([], [CHACHA20, AES], None),
        ([CHACHA20, AES], [], None),
    ],
)
def test_the_first_cipher_that_both_have_is_taken(own: list[Cipher], other: list[Cipher], taken: Cipher | None) -> None:
    assert keys.common(keys.bits(own), keys.bits(other)) is taken


def test_what_an_unknown_side_can_do_does_not_matter() -> None:
    assert keys.common(255, 255) is CHACHA20 and keys.common(keys.bits(CIPHERS), 252) is None


GCM_LIMIT = int(2**24.5)  # records that one key of AES-GCM may encrypt (RFC 8446, 5.5)


@pytest.mark.parametrize(
    ("name", "facts"),
    [("chacha20-poly1305", (1, 54, 12, 32, 0, 0)), ("aes-256-gcm", (2, 52, 8, 32, 4, GCM_LIMIT - 2**20))],
)
def test_ciphers_are_those_of_the_kernel(name: str, facts: tuple[int, ...]) -> None:
    """The own bit; linux/tls.h: number, sizes of the initialization vector, the key and the salt; and the limit.

    It is lower by more records than a kernel encrypts between two looks at it.
    """
    cipher = keys.named(name)
    assert cipher.name == name
    assert (cipher.bit, cipher.number, cipher.iv, cipher.key, cipher.salt, cipher.most) == facts
