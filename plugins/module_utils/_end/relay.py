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

This module and tls are shipped, and ``ssl`` imported, only if a plan needs relays.
"""

import errno
import os
import select

from .kernel import c_prctl, events, hide_memory
from .lean import signal, socket
from .tls import BUFFER, CHANGED, CUT, END, GONE, STREAM, Failed, Tls, reason
from .wire import to_json

try:
    import ssl
except ImportError:  # tls.missing() reports it
    ssl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn

    from .records import Encryption

RECORD = 16384  # bytes of data in a TLS record, at most
STEP = 1 << 30  # bytes: a session may end after a multiple of this
BUDGET = 1 << 33  # blocks of AES (16 bytes) that one key may seal: 128 GiB in full records
PR_SET_NAME = 15  # linux/prctl.h
BACK_FD = 3  # the descriptor of a relay, open, with a message to pass back


def counters(page: "Any") -> memoryview:
    """[bytes of data, records] in a page that the relay shares with its end.

    Each is read and written at once.  struct would clear all of it before, and go on byte by byte.
    """
    return memoryview(page).cast("Q")


def counting(page: "Any") -> "Callable[[int, int], None]":
    """A function that sets both."""
    shared = counters(page)

    def count(total: int, records: int) -> None:
        shared[1] = records
        shared[0] = total

    return count


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
            tls.begin(again=True)
            sent = used = 0
            write, read = tls.session.write, tls.leaving.read
    if sent and sent % step == 0:  # here another session must follow, even without any data
        tls.end()
        tls.begin(again=True)
    tls.end()


def unseal(tls: Tls, plain: "socket.socket", count: "Callable[[int, int], Any]", step: int, budget: int) -> None:
    """Relay from the link to the stage, until the end of the last session and of the link."""
    clear = memoryview(bytearray(BUFFER + RECORD))
    total = records = sent = 0
    while True:
        filled, empty, ended, read = 0, False, False, tls.read
        try:
            while filled <= BUFFER:  # there is room for one more record
                size = read(RECORD, clear[filled:])
                if not size:
                    ended = True
                    break
                filled, records = filled + size, records + 1
        except ssl.SSLWantReadError:
            empty = True
        except ssl.SSLZeroReturnError:
            ended = True
        except ssl.SSLError as exc:
            raise Failed(CHANGED, STREAM, reason(exc)) from None
        if filled:
            deliver(plain, clear[:filled], total, records, count)
            total, sent = total + filled, sent + filled
        if ended:
            tls.gather(False)
            tls.expect_nothing()
            if not sent or sent % step:
                break
            tls.begin(again=True)
            sent = 0
        elif empty:
            tls.fill_much()
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
        if "back" in spec:
            pass_back(tls, spec["back"], tell)
        work = ROLES[role]
        work(tls, inward if server else outward, count, spec.get("step", STEP), spec.get("budget", BUDGET))
    except Failed as exc:
        tell(exc.problem)
    except Exception as exc:  # OpenSSL outside a handshake, a limited Python, a broken neighbour: the end knows which
        tell({"kind": "", "error": reason(exc) if isinstance(exc, ssl.SSLError) else str(exc) or type(exc).__name__})
    else:
        return 0
    return 1


def pass_back(tls: Tls, size: int, tell: "Callable[[dict[str, str]], Any]") -> None:
    """Pass on one message of the reader's end to the writer's end; raises OSError if the reader's end dies before."""
    if tls.server:
        try:
            tell({"back": tls.receive(size).hex()})
        except Failed as exc:
            if exc.problem["kind"] == CUT:
                exc.problem["kind"] = GONE  # an end that gives up closes its direction before it resets both
            raise
        return
    message = os.read(BACK_FD, size)
    if len(message) != size:
        raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
    tls.session.write(message)
    tls.flush()


def become(role: str, spec: "Encryption", patience: float, page: "Any") -> "NoReturn":
    """Run a relay in this forked process; never returns.

    0 and 1 are its sockets, 2 is a pipe to the end; BACK_FD is one from it, for a message to pass back.
    """
    last = BACK_FD if "back" in spec and role == "open" else 2
    for name in os.listdir("/proc/self/fd"):
        if int(name) > last:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor of the listing itself
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    c_prctl(PR_SET_NAME, b"socketpipe-" + role.encode("ascii") + b"\0", 0, 0, 0)  # at most 15 bytes
    hide_memory()
    inward, outward = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd) for fd in (0, 1))
    status = serve(
        role,
        inward,
        outward,
        spec,
        patience,
        counting(page),
        lambda message: os.write(2, to_json(message).encode("ascii") + b"\n"),
    )
    os._exit(status)
