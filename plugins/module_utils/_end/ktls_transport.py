# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP connection encrypted by the kernel.  Operations on its socket differ from those on a plain one:

* There is no immediate reset: the kernel does not disconnect such a socket, and a read that waits with a part of its
  bytes treats a reset as an end of file.  So the writer aborts with a fatal alert, which stops every read.  The reset
  follows, by netlink if permitted, otherwise when all have closed it: this end, its guard, and the holders, killed.
* poll(2) and SIOCINQ show ciphertext.  Only MSG_PEEK shows the data for a stage, and it is used before the stage starts
  and after it has ended; while it runs, an error consumed here would be lost for the stage.
* Anybody in between can send a FIN or a reset.  Only the numbers of records, encrypted at one side and decrypted at the
  other and compared by the controller, prove that a stream is complete (see verdict).
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

QUIET = 0.012  # seconds: the kernel pushes pending data into the queue of TCP after a tick of its clock (4-10 ms)
SMALL = 4096  # bytes: the send buffer has room for more than this
TELLING = 5.0  # seconds for an alert to reach the other host, which it does not while the reader stalls
LOOK = 1 << 20  # bytes of data to peek at


class KernelTls(Tcp):
    """One side of an encrypted connection to another end."""

    def __init__(self, sock: socket.socket, writer: bool, counted: "Counters", cipher: "Cipher"):
        super().__init__(sock, writer, counted)
        self.cipher = cipher
        self.guarded = writer  # the reader's side breaks when all have closed it
        self.way = ktls.TLS_TX if writer else ktls.TLS_RX
        self.quiet_at = self.broken_at = 0.0
        self.alerted = self.reset = False
        self.counted = 0  # writer: bytes

    # -- the end of file

    def flushed(self) -> bool:
        """Whether all data of the stage is in the queue of TCP, so that a FIN would follow it.

        A non-blocking writer leaves the end of a record, and splice(2) a whole one, in the TLS layer of the kernel.
        """
        self.sock.setblocking(True)
        try:
            # this creates no record, but closes an open one (tls_handle_open_record)
            self.sock.sendmsg([], [(ktls.SOL_TLS, ktls.TLS_SET_RECORD_TYPE, ktls.DATA_RECORD)], socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True  # it is broken, which the commit will report
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
        self._shut(socket.SHUT_WR)  # a later reset then causes SIGPIPE in the writer's stage, as in a shell
        # a reading stage would treat our reset as an end of file, so it must be killed first, which closes the socket
        self.pending = self.in_use or not ktls.destroy(self.sock)
        self._release()

    def _release(self) -> None:
        """Leave the reset to the last close, by a process that the stage has started."""
        self.released = True
        self.sock.close()

    def insist(self) -> None:
        """Writer: alert the reader, then reset the connection.

        ``pending``: the holders must be killed first.  If the queue is full, a process may sleep in a write, and an
        alert would wait behind it (tx_lock).  And where we may not reset a connection, the last close does.
        """
        if not self.writer or not self.broken_at or self.reset or self.released:
            return
        if not self.alerted and self._writable():
            self.alerted = ktls.alert(self.sock)
        if self.is_closed() or self.alerted and not self.unsent():
            self.reset = ktls.destroy(self.sock)
            self.pending = not self.reset
            if not self.reset:
                self._release()
        else:
            self.pending = not self.alerted

    def is_telling(self, now: float) -> bool:
        """Whether the reader's host does not know of an abort yet, and can still be told."""
        if not self.broken_at or self.reset or now - self.broken_at > TELLING:
            return False
        if self.released:
            return self.pending
        return not self.alerted or bool(self.unsent())

    # -- figures

    def look(self) -> str:
        kind, _size = ktls.peek(self.sock)
        return kind if kind in (ktls.ALERTED, FORGED, ktls.BROKEN) else ""

    def worn_out(self) -> str:
        most = self.cipher.most if self.writer else 0  # a reader would have to be killed
        return self.cipher.name if most and (self.records() or 0) >= most else ""

    def records(self) -> "int | None":
        """The records encrypted here (writer), or decrypted and authenticated here (reader)."""
        try:
            return ktls.records(self.sock, self.way, self.cipher)
        except OSError:
            return None

    def unread(self) -> int:
        """The unread bytes; while the stage runs, or beyond LOOK, only the ciphertext in the queue of TCP."""
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
        found = max(0, total - ktls.OVERHEAD * records)
        if self.writer:  # records that are not acknowledged yet make it too low for a moment
            found = self.counted = max(self.counted, found)
        return found
