# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP connection that the kernel encrypts: what is done to its socket differs from what is done to a plain one.

* No reset at once: the kernel does not disconnect such a socket, and a read that
  waits with a part of its bytes takes a reset for an end of file.  So a writer's
  abort is a fatal alert first, which no read gets past, and the reset follows: by
  netlink where we may, else when all holders have been ended.
* poll(2) and SIOCINQ show ciphertext.  What a stage would read is seen by MSG_PEEK,
  before it starts and after it has ended; while it runs, an error met by us would
  not be there for the stage.
* Whoever is in between can send a FIN, or a reset: only the numbers of records that
  one side has sealed and the other has opened, compared by the controller, tell
  that a stream is whole (see verdict).
"""

import select
import time

from . import ktls
from .kernel import events, set_linger
from .lean import socket
from .transport import FORGED, Tcp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kernel import Counters
    from .keys import Cipher
    from .records import Encrypted

QUIET = 0.012  # seconds: what the kernel has yet to push into TCP's queue it pushes after a tick of its clock (4-10 ms)
SMALL = 4096  # bytes: the send buffer takes more than that without being full once
TELLING = 5.0  # seconds for an alert to get to the other host; while its reader stalls it does not
LOOK = 1 << 20  # bytes of data that are looked at


class KernelTls(Tcp):
    """One side of an encrypted connection to another end."""

    def __init__(self, sock: socket.socket, writer: bool, counted: "Counters", cipher: "Cipher"):
        super().__init__(sock, writer, counted)
        self.cipher = cipher
        self.guarded = writer  # a reader's side is broken when all have closed it
        self.way = ktls.TLS_TX if writer else ktls.TLS_RX
        self.in_use = False  # a stage may be reading it
        self.quiet_at = self.broken_at = 0.0
        self.alerted = self.reset = False

    # -- the end of file

    def flushed(self) -> bool:
        """Whether all that the stage has written is with TCP, so that a FIN comes after it.

        A writer that does not wait leaves the end of a record, and splice(2) a whole one, with the kernel's TLS.
        """
        self.sock.setblocking(True)
        try:
            # no record comes of this, but an open one is closed (tls_handle_open_record)
            self.sock.sendmsg([], [(ktls.SOL_TLS, ktls.TLS_SET_RECORD_TYPE, ktls.DATA_RECORD)], socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True  # it is broken: the commit says so
        if self.unsent() or not self._writable():
            self.quiet_at = 0.0
            return False
        if (self.count(self.info(), False) or SMALL) < SMALL:
            return True
        now = time.monotonic()
        self.quiet_at = self.quiet_at or now
        return now - self.quiet_at >= QUIET

    def _writable(self) -> bool:
        fd = self.sock.fileno()
        return bool(events({fd: select.POLLOUT}).get(fd, 0) & select.POLLOUT)

    # -- a break

    def abort(self) -> None:
        set_linger(self.sock, True)
        self.broken_at = time.monotonic()
        if self.writer:
            self.insist()
            return
        self._shut(socket.SHUT_WR)  # a reset after that is a SIGPIPE for the writer's stage, as in a shell
        # a stage that reads would take a reset by us for an end of file: it must go, and then it is closed by all
        self.pending = self.in_use
        if not self.in_use:
            ktls.destroy(self.sock)  # whatever the stage has left running may still hold it
        self.sock.close()

    def insist(self) -> None:
        """Writer: alert the reader, and when it has that, reset the connection.

        ``pending``: that needs the end of those who hold it.  Where there is no space in the queue somebody may sleep
        in a write, and an alert of ours would sleep behind it (tx_lock).
        """
        if not self.writer or not self.broken_at or self.reset:
            return
        if not self.alerted and self._writable():
            self.alerted = ktls.alert(self.sock)
        if self.is_closed() or self.alerted and not self.unsent():
            self.reset = ktls.destroy(self.sock)
            self.pending = not self.reset
        else:
            self.pending = not self.alerted

    def is_telling(self, now: float) -> bool:
        """Whether the reader's host has yet to be told of an abort, and can still be."""
        if not self.writer or not self.broken_at or self.reset or now - self.broken_at > TELLING:
            return False
        return not self.alerted or bool(self.unsent())

    # -- what it has come to

    def look(self) -> str:
        kind, _size = ktls.peek(self.sock)
        return kind if kind in (ktls.ALERTED, FORGED, ktls.BROKEN) else ""

    def worn_out(self) -> str:
        return self.cipher.name if (self.records() or 0) >= self.cipher.most else ""

    def records(self) -> "int | None":
        """Sealed here (writer), or opened here and authentic (reader)."""
        try:
            return ktls.records(self.sock, self.way, self.cipher)
        except OSError:
            return None

    def unread(self) -> int:
        """Not exact while the stage runs, or when there is more than we look at: then it is what TCP has, sealed."""
        sealed = super().unread()
        if self._last is not None or self.in_use or sealed > LOOK:
            return sealed
        return ktls.peek(self.sock, LOOK)[1]

    def info(self) -> "Counters":
        found = super().info()
        found["records"] = self.records()
        return found

    def encrypted(self, info: "Counters") -> "Encrypted":
        return {"how": "kernel", "cipher": self.cipher.name, "records": info.get("records")}

    def count(self, info: "Counters", ended: bool) -> "int | None":
        total, records = super().count(info, ended), info["records"]
        if total is None or records is None:
            return None
        return max(0, total - ktls.OVERHEAD * records)
