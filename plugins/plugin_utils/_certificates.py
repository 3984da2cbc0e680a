# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary certificates for both sides of an encrypted link, made for one run with the package cryptography.

Its module x509 is not used, because each worker would load it for 20 ms.  ansible-core has loaded the rest already.
"""

from __future__ import annotations

import binascii
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..module_utils._run.records import Certificate

# RFC 5280 in DER (X.690): the tags, and all that is the same in every certificate
INTEGER, BITS, OCTETS, OID, TEXT, TIME, LONG_TIME, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x06, 0x0C, 0x17, 0x18, 0x30, 0x31
VERSION, EXTENSIONS = 0xA0, 0xA3
TRUE = b"\x01\x01\xff"
ECDSA_SHA256 = bytes.fromhex("2a8648ce3d040302")
COMMON_NAME, BASIC_CONSTRAINTS = bytes.fromhex("550403"), bytes.fromhex("551d13")


def der(tag: int, *parts: bytes) -> bytes:
    """A value of at most 65535 bytes."""
    value = b"".join(parts)
    size = len(value)
    head = [size] if size < 0x80 else [0x81, size] if size < 0x100 else [0x82, size >> 8, size & 0xFF]
    return bytes([tag, *head]) + value


def to_be_signed(public_key: bytes) -> bytes:
    """The body of a certificate for this key (SubjectPublicKeyInfo), which is its own issuer."""
    name = der(SEQUENCE, der(SET, der(SEQUENCE, der(OID, COMMON_NAME), der(TEXT, b"socketpipe"))))
    # dates are not needed, because the exact certificate is known, and the clocks of the hosts may be wrong; OpenSSL
    # before 1.1 compares them all the same, and 1950 is the earliest that a certificate can have
    ever = der(SEQUENCE, der(TIME, b"500101000000Z"), der(LONG_TIME, b"99991231235959Z"))
    authority = der(OCTETS, der(SEQUENCE, TRUE, der(INTEGER, b"\0")))  # a CA, with no other below it
    return der(
        SEQUENCE,
        der(VERSION, der(INTEGER, b"\2")),
        der(INTEGER, b"\1" + secrets.token_bytes(15)),  # a serial number is positive
        der(SEQUENCE, der(OID, ECDSA_SHA256)),
        name,
        ever,
        name,
        public_key,
        der(EXTENSIONS, der(SEQUENCE, der(SEQUENCE, der(OID, BASIC_CONSTRAINTS), TRUE, authority))),
    )


def pem(data: bytes) -> str:
    text = binascii.b2a_base64(data, newline=False).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def make_certificate() -> Certificate:
    """A key of the curve P-256 and its self-signed certificate, both as PEM."""
    # ansible-core needs this package, but nobody else does who only imports this module
    from cryptography.hazmat.backends import default_backend  # optional since cryptography 3.1
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1(), default_backend())
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    body = to_be_signed(key.public_key().public_bytes(serialization.Encoding.DER, public))
    signature = key.sign(body, ec.ECDSA(hashes.SHA256()))
    certificate = der(SEQUENCE, body, der(SEQUENCE, der(OID, ECDSA_SHA256)), der(BITS, b"\0", signature))
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    return {
        "certificate": pem(certificate),
        "key": key.private_bytes(serialization.Encoding.PEM, form, plain).decode("ascii"),
    }
