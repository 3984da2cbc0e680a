# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two relays of an encrypted link: ``seal`` beside its writer, ``open`` beside its reader.

Each is a process between the stage and the link, and uses TLS (RFC 8446) over the link.  The writer's relay is the TLS
server, because a server may send messages unasked, such as session tickets.  They then go in the direction of the data,
and nothing goes back after a handshake (closing a socket with unread bytes resets its connection).

A clean end is the writer's close_notify, followed by the end of file of the link.  An end of file alone means that the
stream was cut; anything after close_notify is forged.

The amount of data for one key is limited (RFC 8446, 5.5).  So the writer may end a session after a multiple of ``step``
bytes, and another session follows on the same connection.  After such a multiple another session always follows, so the
stream never ends there, and a cut at this point is detected.

This module is shipped, and ``ssl`` imported, only if a plan needs relays.
"""

import os
import select
import struct
import time

from .kernel import c_prctl, events
from .lean import signal, socket
from .wire import to_json

try:
    import ssl
except ImportError:  # a Python built without it
    ssl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn

    from .records import Encryption

BUFFER = 1 << 20  # bytes of one read or write
RECORD = 16384  # bytes of data in a TLS record, at most
STEP = 1 << 30  # bytes: a session may end after a multiple of this
BUDGET = 1 << 33  # blocks of AES (16 bytes) that one key may seal: 128 GiB in full records
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"  # of TLS 1.2; those of TLS 1.3 are all good
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: a certificate of this run needs no clock
PR_SET_DUMPABLE, PR_SET_NAME = 4, 15  # linux/prctl.h
COUNTERS = struct.Struct("=QQ")  # bytes of data, records: in a page that the relay shares with its end

# the kinds of failures of a relay itself (see records)
CUT, CHANGED, NO_TLS = "cut on the way", "changed on the way", "no tls"
HANDSHAKE, TIME, CERTIFICATE, STREAM, END = "handshake", "time", "certificate", "stream", "end"
NO_COMMON = ("NO_SHARED_CIPHER", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE")  # the error texts of OpenSSL


class Failed(Exception):
    """The link cannot be trusted, or cannot be encrypted."""

    def __init__(self, kind: str, where: str, error: str = ""):
        super().__init__(kind)
        self.problem = {"kind": kind, "where": where, "error": error}


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
        self.link, self.server = link, server
        self.context = make_context(server, pem)
        self.peer = ssl.PEM_cert_to_DER_cert(pem["peer"])
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)
        try:
            self.begin(patience)
        except socket.timeout:
            raise Failed(CUT, TIME, "%g" % patience) from None

    def begin(self, patience: "float | None" = None) -> None:
        """The handshake of a new session, with fresh keys; ``patience``: its limit in seconds."""
        self.made = False
        self.arrived, self.leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = self.context.wrap_bio(self.arrived, self.leaving, server_side=self.server)
        self.read: "Callable[[int, memoryview], Any]" = self.session.read
        deadline = None if patience is None else time.monotonic() + patience
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

    def fill(self) -> None:
        count = self.link.recv_into(self.buffer)
        if not count:
            raise Failed(CUT, STREAM if self.made else HANDSHAKE)
        self.arrived.write(self.view[:count])

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


def seal(tls: Tls, plain: "socket.socket", count: "Callable[[int, int], Any]", step: int, budget: int) -> None:
    """Relay from the stage to the link until the stage commits; raises OSError (ECONNRESET) if it breaks."""
    receive, view, read, send = plain.recv_into, tls.view, tls.leaving.read, tls.link.sendall
    write = tls.session.write
    total = records = sent = used = 0  # the last two: in this session
    while True:
        size = receive(view[: min(BUFFER, step - sent % step)])
        if not size:
            break
        done = write(view[:size])
        while done < size:
            done += write(view[done:size])
        send(read())
        pieces = -(-size // RECORD)
        total, sent, records, used = total + size, sent + size, records + pieces, used + size // 16 + 2 * pieces
        count(total, records)
        if sent % step == 0 and used >= budget:
            tls.end()
            tls.begin()
            sent = used = 0
            write, read = tls.session.write, tls.leaving.read
    if sent and sent % step == 0:  # here another session must follow, even without any data
        tls.end()
        tls.begin()
    tls.end()


def unseal(tls: Tls, plain: "socket.socket", count: "Callable[[int, int], Any]", step: int, budget: int) -> None:
    """Relay from the link to the stage, until the end of the last session and of the link."""
    clear = bytearray(BUFFER + RECORD)
    view, room = memoryview(clear), len(clear)
    total = records = sent = filled = 0
    while True:
        try:
            size = tls.read(room - filled, view[filled:])
        except ssl.SSLWantReadError:
            size = -1
        except ssl.SSLZeroReturnError:
            size = 0
        except ssl.SSLError as exc:
            raise Failed(CHANGED, STREAM, reason(exc)) from None
        if size > 0:
            total, sent, records, filled = total + size, sent + size, records + 1, filled + size
        if filled and (size <= 0 or room - filled < RECORD):
            deliver(plain, view[:filled], total - filled, records, count)
            filled = 0
        if size == 0:
            tls.expect_nothing()
            if not sent or sent % step:
                break
            tls.begin()
            sent = 0
        elif size < 0:
            tls.fill()
    if tls.link.recv(1):  # it ends when the writer's end has committed
        raise Failed(CHANGED, END)


def deliver(
    plain: "socket.socket", data: memoryview, before: int, records: int, count: "Callable[[int, int], Any]"
) -> None:
    """Write data to the stage; the count shows the bytes handed over, even while the stage does not read."""
    done = 0
    while done < len(data):
        try:
            done += plain.send(data[done:], socket.MSG_DONTWAIT)
            count(before + done, records)
        except BlockingIOError:
            events({plain.fileno(): select.POLLOUT}, None)


ROLES = {"seal": seal, "open": unseal}


def serve(
    role: str,
    inward: "socket.socket",
    outward: "socket.socket",
    spec: "Encryption",
    patience: float,
    count: "Callable[[int, int], Any]",
    tell: "Callable[[dict[str, str]], Any]",
) -> int:
    """Run one relay; returns its exit status, 0 for a clean end.

    ``spec``: the argument of make_context, optionally with ``step`` and ``budget``; ``count`` is called with the bytes
    of data and the records so far; ``tell`` is called with version and cipher of the session, and with a failure.
    """
    server = role == "seal"
    try:
        tls = Tls(outward if server else inward, server, spec, patience)
        name, version, _bits = tls.session.cipher() or ("", "", 0)
        tell({"cipher": name, "version": tls.session.version() or version})
        work = ROLES[role]
        work(tls, inward if server else outward, count, spec.get("step", STEP), spec.get("budget", BUDGET))
    except Failed as exc:
        tell(exc.problem)
    except Exception as exc:  # OpenSSL outside a handshake, a limited Python, a broken neighbour: the end knows which
        tell({"kind": "", "error": reason(exc) if isinstance(exc, ssl.SSLError) else str(exc) or type(exc).__name__})
    else:
        return 0
    return 1


def hide_memory(name: str) -> None:
    """Take this name (at most 15 bytes), and allow neither core dumps nor access to memory by the same user."""
    c_prctl(PR_SET_NAME, name.encode("ascii") + b"\0", 0, 0, 0)
    c_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def become(role: str, spec: "Encryption", patience: float, page: "Any") -> "NoReturn":
    """Run a relay in this forked process; 0 and 1 are its sockets, 2 is a pipe to the end; never returns."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor of the listing itself
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    hide_memory("socketpipe-" + role)
    inward, outward = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd) for fd in (0, 1))
    status = serve(
        role,
        inward,
        outward,
        spec,
        patience,
        lambda total, records: COUNTERS.pack_into(page, 0, total, records),
        lambda message: os.write(2, to_json(message).encode("ascii") + b"\n"),
    )
    os._exit(status)
