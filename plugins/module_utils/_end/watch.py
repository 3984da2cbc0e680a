# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches for signals, and for the loss of the controller.

The end writes its report to its standard output, which is Ansible's connection.  If that breaks (ssh or its session
died, ansible-playbook was killed), poll(2) reports POLLERR at once, and everything that the end started must stop.

An end that has detached (see detach) writes to its control connection instead, or to the process that keeps the job.
"""

import time

from .kernel import FIN, HANGUP, events, signal_name
from .lean import signal
from .system import os
from .wire import MARK, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from .control import Control
    from .records import Stop

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # signals that tell this process to stop


def catch(handler: "Callable[[int, Any], Any]") -> None:
    """Handle the signals to stop, except ignored ones, as under nohup or in the background of a script."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


class Cancelled(Exception):
    """This end must stop; ``stop`` is the reason."""

    def __init__(self, stop: "Stop") -> None:
        super().__init__()
        self.stop = stop


class Watch:
    """Wakes up poll(2) on signals, detects a lost controller, keeps an idle ssh alive."""

    def __init__(self, heartbeat: float, out: int = 1):
        self.out = out
        self.heartbeat = heartbeat
        self.beat_at = time.monotonic() + heartbeat
        self.signal: "int | None" = None  # the first signal to stop
        self.obeyed = False  # whether Cancelled was raised for it
        self.lost = False
        self.asked = False  # whether home has asked this end to stop
        self.control: "Control | None" = None  # the control connection, if it is what it writes to
        self.wake, wake_in = os.pipe()
        for fd in (self.wake, wake_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_in)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS + (signal.SIGCHLD,))  # they may be blocked at our start
        catch(self._signalled)
        signal.signal(signal.SIGTERM, self._signalled)  # even if ignored, because this is how an end gets stopped
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def wanted(self) -> "dict[int, int]":
        """{fd: poll(2) events}: each of them says to stop, and so do errors and hang-ups."""
        found = {self.out: 0}
        if self.control:
            found[self.control.sock.fileno()] = 0 if self.asked else FIN
        return found

    def attend(self, control: "Control") -> None:
        """Write to this control connection from now on."""
        self.control, self.out = control, control.out

    def finish(self) -> None:
        """After the last message: let it arrive although this process ends."""
        if self.control:
            self.control.finish()

    def _signalled(self, number: int, frame: "Any") -> None:
        if self.signal is None:
            self.signal = number

    def poll(self, fds: "dict[int, int]", timeout: float) -> "dict[int, int]":
        """poll(2) over ``fds`` and the own descriptors; raises Cancelled, once, if this end must stop."""
        wanted = dict(fds)
        wanted[self.wake] = 1  # POLLIN
        if not self.lost:
            wanted.update(self.wanted())
        found = events(wanted, min(timeout, max(0.0, self.beat_at - time.monotonic())))
        if found.pop(self.wake, 0):
            try:
                os.read(self.wake, 4096)
            except BlockingIOError:
                pass
        seen = 0
        for fd in self.wanted():
            seen |= found.pop(fd, 0)
        if seen & HANGUP:
            self._lose()
        if seen & FIN:
            self.asked = True
            raise Cancelled({"kind": "home"})
        if time.monotonic() >= self.beat_at:
            self.beat_at = time.monotonic() + self.heartbeat
            self._write(b"\n")
        if self.signal is not None and not self.obeyed:
            self.obeyed = True
            raise Cancelled({"kind": "signal", "signal": signal_name(self.signal)})
        return found

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            raise Cancelled({"kind": "home"} if self.control else {"kind": "controller"})

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self.out, data) :]
        except OSError:
            self._lose()

    def say(self, message: "Mapping[str, object]") -> None:
        """Write one marked line of JSON for the controller, in ASCII whatever the locale."""
        if not self.lost:
            self._write(b"\n" + MARK.encode() + to_json(message).encode("ascii") + b"\n")
