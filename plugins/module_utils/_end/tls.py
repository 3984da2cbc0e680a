# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS sessions of a relay, with the pinned certificates of a run."""

import os
import select
import time

from .kernel import events, full_reads
from .lean import socket

try:
    import ssl
except ImportError:  # a Python built without it
    ssl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .records import Encryption

BUFFER = 1 << 19  # bytes of one read or write
GATHER = 0.002  # seconds that a read waits for a full buffer while data flows
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"  # of TLS 1.2; those of TLS 1.3 are all good
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: a certificate of this run needs no clock
# the kinds of failures of a relay itself (see records)
CUT, CHANGED, NO_TLS, GONE = "cut on the way", "changed on the way", "no tls", "gone"
HANDSHAKE, TIME, CERTIFICATE, STREAM, END = "handshake", "time", "certificate", "stream", "end"
# the reasons of OpenSSL for a failed handshake if the settings of the hosts exclude each other
NO_COMMON = (
    *("NO_SHARED_CIPHER", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"),
    *("NO_SHARED_GROUPS", "NO_SUITABLE_GROUPS", "NO_SUITABLE_KEY_SHARE"),
    *("NO_SHARED_SIGNATURE_ALGORITHMS", "NO_SUITABLE_SIGNATURE_ALGORITHM"),
)


class Failed(Exception):
    """The link cannot be trusted, or cannot be encrypted."""

    def __init__(self, kind: str, where: str, error: str = ""):
        super().__init__(kind)
        self.problem = {"kind": kind, "where": where, "error": error}


def version() -> str:
    """That of OpenSSL, "" if this Python has no module for it."""
    return str(ssl.OPENSSL_VERSION) if ssl else ""


def missing() -> str:
    """Why the TLS of this Python cannot be used for relays, "" if it can."""
    if ssl is None:
        return "no ssl module"
    return "" if ssl.OPENSSL_VERSION_INFO >= (1, 0, 2) else str(ssl.OPENSSL_VERSION)


def in_file(text: str) -> int:
    """A descriptor of a file with this text.  OpenSSL reads keys only from files, and this one has no name on disk."""
    try:
        fd = os.memfd_create("socketpipe")
        os.write(fd, text.encode("ascii"))
        return fd
    except (AttributeError, OSError):
        pass  # Python before 3.8, Linux before 3.17, or a sandbox (seccomp)
    fd, target = os.pipe()
    os.write(target, text.encode("ascii"))  # fits into the smallest pipe
    os.close(target)
    return fd


def make_context(server: bool, pem: "Encryption") -> "ssl.SSLContext":
    """``pem``: certificate and key of this side, and the only valid certificate of the other side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the exact certificate is known
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= NO_CHECK_TIME
    context.load_verify_locations(cadata=pem["peer"])
    fds = [in_file(text) for text in (pem["certificate"], pem["key"])]
    try:
        context.load_cert_chain(*["/proc/self/fd/%d" % fd for fd in fds])
    finally:
        for fd in fds:
            os.close(fd)
    if hasattr(context, "minimum_version"):
        if context.minimum_version < ssl.TLSVersion.TLSv1_2:  # the host may ask for more
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        old = []  # type: list[str]
    else:  # Python 3.6
        old = ["NO_SSLv2", "NO_SSLv3", "NO_TLSv1", "NO_TLSv1_1"]
    for name in old + ["NO_COMPRESSION", "NO_TICKET", "NO_RENEGOTIATION"]:
        context.options |= getattr(ssl, "OP_" + name, 0)
    if server and hasattr(context, "num_tickets"):
        context.num_tickets = 0
    context.set_ciphers(CIPHERS)
    return context


class Tls:
    """TLS sessions over a blocking socket, through memory buffers: one system call for many records."""

    def __init__(self, link: "socket.socket", server: bool, pem: "Encryption", patience: float):
        self.link, self.server, self.patience = link, server, patience
        self.context = make_context(server, pem)
        self.peer = ssl.PEM_cert_to_DER_cert(pem["peer"])
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)
        self.gathers = False
        self.begin()

    def begin(self, again: bool = False) -> None:
        """The handshake of a new session, with fresh keys, in limited time.

        ``again``: after another session.  Then the client begins once its stage has read all before.
        """
        try:
            self._begin(waits=again and self.server)
        except socket.timeout:
            raise Failed(CUT, TIME, "%g" % self.patience) from None

    def _begin(self, waits: bool) -> None:
        """``waits``: count the time from the first byte of the other side; before, only ``stall_timeout`` limits it."""
        self.made = False
        self.arrived, self.leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = self.context.wrap_bio(self.arrived, self.leaving, server_side=self.server)
        self.read: "Callable[[int, memoryview], Any]" = self.session.read
        deadline = None if waits else time.monotonic() + self.patience
        while True:
            try:
                self.session.do_handshake()
                break
            except ssl.SSLWantReadError:
                if deadline is not None:
                    left = deadline - time.monotonic()
                    if left <= 0:  # also with bytes arriving all the time
                        raise socket.timeout from None
                    self.link.settimeout(left)
                self.flush()
                self.fill()
                deadline = deadline or time.monotonic() + self.patience
            except ssl.SSLError as exc:
                raise Failed(NO_TLS if exc.reason in NO_COMMON else CHANGED, HANDSHAKE, reason(exc)) from None
        self.flush()
        self.link.settimeout(None)
        if self.session.getpeercert(True) != self.peer:
            raise Failed(CHANGED, CERTIFICATE)
        self.made = True

    def flush(self) -> None:
        if self.leaving.pending > 0:
            self.link.sendall(self.leaving.read())

    def gather(self, on: bool) -> None:
        """Let poll(2) of the link wait for a full buffer, instead of the first byte."""
        if on != self.gathers:
            self.gathers = on
            full_reads(self.link, BUFFER if on else 1, polled=True)

    def fill_much(self) -> None:
        """Like ``fill``, with a full buffer while data flows, because each packet alone would wake this process."""
        if self.gathers:
            events({self.link.fileno(): select.POLLIN}, GATHER)
            try:
                self._take(self.link.recv_into(self.buffer, 0, socket.MSG_DONTWAIT))
                return
            except BlockingIOError:
                self.gather(False)
        self.fill()
        self.gather(True)

    def fill(self) -> None:
        self._take(self.link.recv_into(self.buffer))

    def _take(self, count: int) -> None:
        if not count:
            raise Failed(CUT, STREAM if self.made else HANDSHAKE)
        self.arrived.write(self.view[:count])

    def receive(self, size: int) -> bytes:
        """Read exactly so many bytes of data; raises Failed, also if the session ends before."""
        found = b""
        while len(found) < size:
            try:
                chunk = self.session.read(size - len(found))
            except ssl.SSLWantReadError:
                self.fill()
                continue
            except ssl.SSLError as exc:
                raise Failed(CHANGED, STREAM, reason(exc)) from None
            if not chunk:
                raise Failed(CUT, STREAM)
            found += chunk
        return found

    def take(self, arrived: bytes) -> bytes:
        """Decrypt some bytes of the link; returns all data that is complete now.  Raises Failed."""
        self.arrived.write(arrived)
        found = b""
        try:
            while True:
                chunk = self.session.read(BUFFER)
                if not chunk:
                    return found
                found += chunk
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            return found
        except ssl.SSLError as exc:
            raise Failed(CHANGED, STREAM, reason(exc)) from None

    def end(self) -> None:
        """End this session with close_notify."""
        try:
            self.session.unwrap()
        except ssl.SSLWantReadError:
            pass  # the other side does not answer with one
        self.flush()

    def expect_nothing(self) -> None:
        """Raises Failed if data follows the end of the session, because it is forged."""
        if self.arrived.pending > 0:
            raise Failed(CHANGED, END)


def reason(exc: "ssl.SSLError") -> str:
    """The error text of OpenSSL, such as "certificate verify failed"."""
    return (getattr(exc, "reason", "") or str(exc)).replace("_", " ").lower()
