# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is somebody still waiting for us?  Signals, and whether our standard output has a reader.

The end writes its report to its standard output, which is Ansible's connection.
When that is gone (ssh or its session died, ansible-playbook was killed), poll(2)
says POLLERR on it at once, and nothing that we started may outlive that.
"""

import os
import time

from .kernel import HANGUP, events, signal_name
from .lean import signal
from .wire import MARK, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from .records import Stop

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # that ask us to stop


def catch(handler: "Callable[[int, Any], Any]") -> None:
    """Have the signals that ask us to stop handled; not those ignored, as under nohup or in a script's background."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


class Cancelled(Exception):
    """Somebody wants us to stop: ``stop`` says who."""

    def __init__(self, stop: "Stop") -> None:
        super().__init__()
        self.stop = stop


class Watch:
    """Wakes poll(2) up for signals, notices a lost controller, keeps an idle ssh alive."""

    def __init__(self, heartbeat: float, out: int = 1):
        self.out = out
        self.heartbeat = heartbeat
        self.beat_at = time.monotonic() + heartbeat
        self.signal: "int | None" = None  # the first one that asked us to stop
        self.obeyed = False  # ... and Cancelled was raised for it
        self.lost = False
        self.wake, wake_in = os.pipe()
        for fd in (self.wake, wake_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_in)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS + (signal.SIGCHLD,))  # whoever started us may block them
        catch(self._signalled)
        signal.signal(signal.SIGTERM, self._signalled)  # even if it was ignored: it is how we are ended
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _signalled(self, number: int, frame: "Any") -> None:
        if self.signal is None:
            self.signal = number

    def poll(self, fds: "dict[int, int]", timeout: float) -> "dict[int, int]":
        """poll(2) over ``fds`` and our own; raises Cancelled, once, when we are to stop."""
        wanted = dict(fds)
        wanted[self.wake] = 1  # POLLIN
        if not self.lost:
            wanted[self.out] = 0
        found = events(wanted, min(timeout, max(0.0, self.beat_at - time.monotonic())))
        if found.pop(self.wake, 0):
            try:
                os.read(self.wake, 4096)
            except BlockingIOError:
                pass
        if found.pop(self.out, 0) & HANGUP:
            self._lose()
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
            raise Cancelled({"kind": "controller"})

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self.out, data) :]
        except OSError:
            self._lose()

    def say(self, message: "Mapping[str, object]") -> None:
        """One marked JSON line for the controller, ASCII whatever the locale."""
        if not self.lost:
            self._write(b"\n" + MARK.encode() + to_json(message).encode("ascii") + b"\n")
