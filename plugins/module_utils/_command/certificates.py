# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary certificates for both sides of an encrypted link, made for one run by the program openssl."""

import binascii
import os

from .._end.execute import execute, find_command, full_environment
from .._end.kernel import exit_status
from .._end.spawn import NotStarted, spawn
from .._run import sentences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Match

    from .._run.records import Certificate

# key and certificate go to standard output, never into a file
OPENSSL = [
    *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"],
    *["-subj", "/CN=socketpipe", "-days", "36500", "-keyout", "/dev/stdout", "-config", "/dev/stdin"],
]
# not that of this host, which may be missing, or restrict what the certificate is for
CONFIG = b"""[req]
distinguished_name = name
x509_extensions = extensions
[name]
[extensions]
basicConstraints = critical, CA:TRUE
"""
KEY, CERTIFICATE = "PRIVATE KEY", "CERTIFICATE"
VALID_FROM = rb"\x17\r[0-9]{12}Z|\x18\x0f[0-9]{14}Z"  # the first of two times (RFC 5280, 4.1.2.5)


class NotMade(Exception):
    """The certificates could not be made; the text gives the reason."""


def make_certificate() -> "Certificate":
    """A key of the curve P-256 and its self-signed certificate, both as PEM; raises NotMade."""
    text = output_of_openssl()
    parts = text.split("-----BEGIN ")[1:]
    key, certificate = ([part for part in parts if kind in part.partition("-----")[0]] for kind in (KEY, CERTIFICATE))
    if len(key) != 1 or len(certificate) != 1:
        raise NotMade("openssl wrote no key and certificate")
    return {"key": "-----BEGIN " + key[0], "certificate": begin_early("-----BEGIN " + certificate[0])}


def begin_early(certificate: str) -> str:
    """The same certificate, valid from 1950: OpenSSL before 1.1 cannot ignore the clock of a host, which may be wrong.

    openssl req has no option for that before 3.4.  The certificate's signature of itself no longer fits.  OpenSSL does
    not check it, because whoever trusts this very certificate needs no proof (-check_ss_sig in openssl-verify(1)).
    """
    import re  # slow to load, and rarely needed

    encoded, end = certificate.partition("-\n")[2].split("-----END", 1)
    data, found = re.subn(VALID_FROM, early, binascii.a2b_base64(encoded), count=1)
    if not found:
        raise NotMade("openssl wrote a certificate without dates")
    encoded = binascii.b2a_base64(data, newline=False).decode("ascii")
    lines = [encoded[at : at + 64] for at in range(0, len(encoded), 64)]
    return "%s-\n%s\n-----END%s" % (certificate.partition("-\n")[0], "\n".join(lines), end)


def early(found: "Match[bytes]") -> bytes:
    """The earliest time of the same type and size (X.690): UTCTime of two digits for the year, or GeneralizedTime."""
    return b"\x17\r500101000000Z" if found.group().startswith(b"\x17") else b"\x18\x0f19500101000000Z"


def start_openssl() -> None:
    execute(OPENSSL, full_environment({}))


def output_of_openssl() -> str:
    problem = find_command(OPENSSL[0], full_environment({}), None)
    if problem:
        raise NotMade(sentences.unusable(problem))
    null = os.open(os.devnull, os.O_WRONLY)
    config, into = os.pipe()
    os.write(into, CONFIG)
    os.close(into)
    source, target = os.pipe()
    try:
        # not as a command, which would get back the core dumps of this process (see keep_out_of_dumps): it has the key
        pid = spawn(OPENSSL, {}, None, {0: config, 1: target, 2: null}, become=start_openssl)
    except NotStarted as exc:
        os.close(source)
        raise NotMade("openssl %s" % sentences.not_started(exc.problem)) from None
    finally:
        for fd in (target, null, config):
            os.close(fd)
    with os.fdopen(source, "rb") as output:
        text = output.read().decode("ascii", "replace")
    status = exit_status(os.waitpid(pid, 0)[1])
    if status:
        raise NotMade("openssl failed with exit status %d: openssl req -x509 -newkey ec" % status)
    return text
