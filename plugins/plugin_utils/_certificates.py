# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary certificates for both sides of an encrypted link, made for one run by the package cryptography."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..module_utils._run.records import Certificate

# dates are not needed, because the exact certificate is known, and the clocks of the hosts may be wrong; OpenSSL before
# 1.1 compares them all the same, and 1950 is the earliest that a certificate can have
BEGIN = datetime.datetime(1950, 1, 1)
NEVER = datetime.datetime(9999, 12, 31, 23, 59, 59)  # RFC 5280, 4.1.2.5


def make_certificate() -> Certificate:
    """A key of the curve P-256 and its self-signed certificate, both as PEM."""
    # ansible-core needs this package, but nobody else does who only imports this module
    from cryptography import x509
    from cryptography.hazmat.backends import default_backend  # optional since cryptography 3.1
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1(), default_backend())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "socketpipe")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), BEGIN, NEVER)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.sign(key, hashes.SHA256(), default_backend())
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    return {
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
        "key": key.private_bytes(serialization.Encoding.PEM, form, plain).decode("ascii"),
    }
