# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control connection between home and another end of a run that outlives its controller (see detach).

It is made and authenticated like a link, and encrypted like one.  Home reads it itself.  On the other host two
processes write to it, the end and its guard, so a relay in between has the TLS session.  It exits when both have, and
resets the connection unless one of them has ended the stream.
"""

import errno
import os

from .guard import fork
from .kernel import c_prctl, hide_memory, keep_alive, set_linger
from .lean import compare_digest, signal, socket
from .processes import RELAYS
from .transport import local_pair
from .watch import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .connect import Connection
    from .records import Encryption, EndPlan, LinkSpec, Refusal
    from .transport import Local

SIZE = 32  # bytes of each message
DEAD_PEER = 120  # seconds without a packet after which a control connection is lost, unless the plan has another limit
CHUNK = 64 * 1024  # bytes of one read


class Control:
    """A control connection in clear, or encrypted by the kernel."""

    def __init__(self, connection: "Connection", spec: "LinkSpec"):
        self.sock, self.prove = connection.sock, connection.prove
        self.out = self.sock.fileno()  # where this end writes its report, once it has left its login
        self.received = b""
        keep_alive(self.sock, spec["dead_peer"] or DEAD_PEER)

    def proof(self, label: bytes) -> bytes:
        """The message with this label: a MAC with the secret of this connection."""
        return self.prove(label) if self.prove else b""

    def say(self, label: bytes) -> None:
        """Send a message; it fits into the empty queue of its connection.  A broken one is noticed later."""
        try:
            self.send(self.proof(label))
        except OSError:
            pass

    def hear(self, label: bytes) -> bool:
        """Whether this message has arrived; raises OSError if another one has, or the connection is lost."""
        try:
            chunk = self.receive()
        except BlockingIOError:
            return False
        self.received += chunk
        if not chunk or len(self.received) > SIZE:
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        if len(self.received) < SIZE:
            return False
        if not compare_digest(self.received, self.proof(label)):
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        return True

    def send(self, data: bytes) -> None:
        self.sock.send(data)

    def receive(self) -> bytes:
        """Some of what has arrived, b"" for the end; raises OSError, and BlockingIOError if there is nothing yet."""
        return self.sock.recv(CHUNK, socket.MSG_DONTWAIT)

    def part(self) -> None:
        """In an end that leaves its login: prepare for reports; raises OSError."""
        self.sock.setblocking(True)

    def finish(self) -> None:
        """After the last message: let it arrive although this process ends."""
        set_linger(self.sock, False)


class Sealed(Control):
    """A control connection with a TLS session of this process, or of a relay."""

    def __init__(self, connection: "Connection", spec: "LinkSpec", encryption: "Encryption", patience: float):
        """Makes the TLS handshake; raises tls.Failed, and OSError."""
        from .tls import Failed, Tls  # shipped only for encryption

        super().__init__(connection, spec)
        # the writer is the server, as on links: nothing flows back after the handshake
        self.tls = Tls(self.sock, spec["side"] == "W", encryption, patience)
        self.failed = Failed
        self.plain: "Local | None" = None  # leads to the relay

    def send(self, data: bytes) -> None:
        self.tls.session.write(data)
        self.tls.flush()

    def receive(self) -> bytes:
        arrived = super().receive()
        if not arrived:  # also without an end of the session: all before is authentic nevertheless
            return b""
        try:
            found = self.tls.take(arrived)
        except self.failed as exc:
            raise OSError(errno.EBADMSG, "%(kind)s (%(error)s)" % exc.problem) from None
        if not found:
            raise BlockingIOError
        return found

    def part(self) -> None:
        """The relay is the parent of the process that goes on, because a guard kills all its descendants."""
        super().part()
        self.plain, reader = local_pair()
        if fork():
            self.be_relay(reader)
        reader.sock.close()
        self.out = self.plain.sock.fileno()

    def be_relay(self, plain: "Local") -> "NoReturn":
        from .relay import BUDGET, PR_SET_NAME, STEP, seal

        signal.set_wakeup_fd(-1)
        for number in (*SIGNALS, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)  # it ends when those who write to it have
        kept = (self.sock.fileno(), plain.sock.fileno())
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd > 2 and fd not in kept:
                try:
                    os.close(fd)
                except OSError:
                    pass  # the descriptor of the listing itself
        c_prctl(PR_SET_NAME, RELAYS[0].encode("ascii") + b"\0", 0, 0, 0)
        hide_memory()
        try:
            seal(self.tls, plain.sock, lambda total, records: None, STEP, BUDGET)
            set_linger(self.sock, False)
        finally:
            os._exit(0)

    def finish(self) -> None:
        if self.plain:
            self.plain.commit()


def make_control(
    plan: "EndPlan", spec: "LinkSpec", connection: "Connection", patience: float
) -> "tuple[Control | None, Refusal | None]":
    """(the control connection, encrypted if links are; the reason if that is not possible)."""
    if connection.cipher or not (plan["kernel_tls"] or any(link["encryption"] for link in plan["links"])):
        return Control(connection, spec), None
    if not spec["encryption"] or plan["kernel_tls"] == "must":
        return None, {"kind": "no common cipher"}
    from .tls import CUT, HANDSHAKE, Failed  # shipped only for encryption

    try:
        return Sealed(connection, spec, spec["encryption"], patience), None
    except Failed as exc:
        problem: "Any" = exc.problem
        lost = problem["kind"] == CUT and problem["where"] == HANDSHAKE  # the other end has ended
    except OSError:
        lost = True
    if lost:
        return None, {"kind": "not detached", "end": spec["end"]}
    return None, {"kind": "control not encrypted", "end": spec["end"], "problem": problem}
