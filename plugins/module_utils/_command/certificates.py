# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary certificates for both sides of an encrypted link, made for one run by the program openssl."""

import os

from .._end.kernel import exit_status
from .._end.spawn import NotStarted, find_command, full_environment, spawn
from .._run import sentences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._run.records import Certificate

# key and certificate go to standard output, never into a file
OPENSSL = [
    *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"],
    *["-subj", "/CN=socketpipe", "-days", "36500", "-keyout", "/dev/stdout"],
]
KEY, CERTIFICATE = "PRIVATE KEY", "CERTIFICATE"


class NotMade(Exception):
    """The certificates could not be made; the text gives the reason."""


def make_certificate() -> "Certificate":
    """A key of the curve P-256 and its self-signed certificate, both as PEM; raises NotMade."""
    text = output_of_openssl()
    parts = text.split("-----BEGIN ")[1:]
    key, certificate = ([part for part in parts if kind in part.partition("-----")[0]] for kind in (KEY, CERTIFICATE))
    if len(key) != 1 or len(certificate) != 1:
        raise NotMade("openssl wrote no key and certificate")
    return {"key": "-----BEGIN " + key[0], "certificate": "-----BEGIN " + certificate[0]}


def output_of_openssl() -> str:
    problem = find_command(OPENSSL[0], full_environment({}), None)
    if problem:
        raise NotMade(sentences.unusable(problem))
    null = os.open(os.devnull, os.O_RDWR)
    source, target = os.pipe()
    try:
        pid = spawn(OPENSSL, full_environment({}), None, {0: null, 1: target, 2: null})
    except NotStarted as exc:
        os.close(source)
        raise NotMade("openssl %s" % sentences.not_started(exc.problem)) from None
    finally:
        os.close(target)
        os.close(null)
    with os.fdopen(source, "rb") as output:
        text = output.read().decode("ascii", "replace")
    status = exit_status(os.waitpid(pid, 0)[1])
    if status:
        raise NotMade("openssl failed with exit status %d: openssl req -x509 -newkey ec" % status)
    return text
