# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A listening socket, and the handshake over one connection."""

import errno
import select
import time

from .handshake import CHOSEN, DONE, ENDING, FILL_MOST, PARKED, STRANGE, Stranger
from .kernel import FIN, set_linger, tcp_info, unsent
from .lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .dialler import Attempt
    from .handshake import Conversation, Prove, Step, Terms
    from .keys import Cipher


class Connection:
    """One TCP connection in its handshake, non-blocking."""

    def __init__(self, sock: socket.socket, talk: "Conversation", attempt: "Attempt | None", link: str = ""):
        self.sock, self.talk, self.link, self.attempt = sock, talk, link, attempt
        self.born = time.monotonic()
        self.out = b""
        self.read = b""
        self.phase = STRANGE
        self.want = 0  # bytes of the message it waits for
        self.chosen_at = 0.0  # when it was chosen, and large packets were first sent
        self.counted: "dict[str, int | None]" = {}
        self.terms: "Terms | None" = None  # for a socket that is to be armed once all before is sent
        self.cipher: "Cipher | None" = None  # of the kernel's TLS on this connection
        self.prove: "Prove | None" = None  # for messages after the handshake (see barrier)

    @property
    def known(self) -> bool:
        """Whether the other side has proved itself."""
        return self.phase != STRANGE

    @property
    def done(self) -> bool:
        return self.phase == DONE

    def start(self) -> None:
        # for small messages, and then for the data: otherwise the incomplete last packet of each write waits for an
        # acknowledgement (RFC 896), and writes of 10 KiB, as tar makes them, have an eighth of the rate
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._take(next(self.talk))

    def _take(self, step: "Step") -> None:
        self.terms, self.prove = step.terms, step.prove
        if self.terms and not self.terms.writer:
            self._arm(self.terms)
        self.out += step.send
        self.phase, self.want, self.link = step.phase, step.want, step.link or self.link
        self.flush()

    def wanted(self) -> int:
        hears = self.phase not in (ENDING, DONE)  # a parked connection may be closed, too
        return (select.POLLIN | FIN if hears else 0) | (select.POLLOUT if self.out else 0)

    def flush(self) -> None:
        """Send pending data; after the last message, the handshake is done."""
        while self.out:
            try:
                self.out = self.out[self.sock.send(self.out) :]
            except BlockingIOError:
                return
        if self.terms:
            self._arm(self.terms)
        if self.phase == ENDING:
            self.phase = DONE

    def _arm(self, terms: "Terms") -> None:
        """Let the kernel encrypt and decrypt from here on; raises OSError if it cannot."""
        from . import keys, ktls  # shipped only for encryption

        self.terms = None
        cipher = keys.common(terms.common, terms.common)
        if cipher:
            ktls.arm(self.sock, cipher, *keys.both(terms.agreed, cipher, terms.writer))
            self.cipher = cipher

    def advance(self) -> None:
        """Read the next message; raises Stranger or OSError if the handshake has failed."""
        if self.out:
            self.flush()
        if self.phase == PARKED:
            raise Stranger("out of turn")
        while self.want:
            try:
                chunk = self.sock.recv(self.want - len(self.read))
            except BlockingIOError:
                return
            except ConnectionResetError:  # the other end closed a connection that it does not need
                chunk = b""
            if not chunk:
                raise Stranger("cut off" if self.read or self.known else "wordless")
            self.read += chunk
            if len(self.read) == self.want:
                self.resume(self.read)

    def choose(self) -> None:
        """Make this parked connection the link: tell the other side, with a packet of the maximum size."""
        self.chosen_at = time.monotonic()
        segment = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        self.resume(bytes(min(2 * segment, FILL_MOST)))

    def is_stuck(self, patience: float) -> bool:
        """Whether large packets have stayed unacknowledged for this long, although small messages arrived."""
        waits = self.phase == CHOSEN and self.sock.fileno() >= 0
        return waits and time.monotonic() - self.chosen_at > patience and unsent(self.sock) > 0

    def resume(self, message: bytes) -> None:
        # bytes so far belong to the handshake: the other side sends no data before the answer
        self.counted = tcp_info(self.sock)
        self.read = b""
        try:
            self._take(self.talk.send(message))
        except StopIteration:
            self.phase, self.want = DONE, 0


def listen_on(port: int) -> socket.socket:
    """A listening socket for both address families; raises OSError if the port is taken."""
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # a kernel without this family
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            set_linger(sock, True)  # connections inherit it, so it applies from their first moment
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, port))
            sock.listen(128)
            sock.setblocking(False)
            return sock
        except OSError as exc:
            sock.close()
            if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    raise OSError(errno.EAFNOSUPPORT, "")  # neither IPv6 nor IPv4 works here
