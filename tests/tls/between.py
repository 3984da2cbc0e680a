# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Somebody in between, at the address and port that the dialling end takes for the other host's, as a router could be.

The handshake is over the port, so it must be the same one: the other host is a network namespace.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import typing as t

from .pair import set_linger

# takes what the writer sends from `at` bytes on, and returns what the reader gets; None ends it, as told by `ends`
Meddle = t.Callable[[bytes, int], "bytes | None"]


OWN, THEIRS = "192.0.2.1", "192.0.2.2"
NAMESPACE = "other"
# runs an end, and the one that listens in the namespace
INSIDE = [
    "/bin/sh",
    "-c",
    f'case "$3" in *LISTENS*) exec ip netns exec {NAMESPACE} "$@" ;; *) exec "$@" ;; esac',
    "sh",
]


def network() -> None:
    """The other host, unless another test has made it."""
    if NAMESPACE in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split():
        return
    lines = [f"netns add {NAMESPACE}", f"link add name near type veth peer name far netns {NAMESPACE}"]
    lines += [f"address add {OWN}/24 dev near", "link set near up"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines).encode(), check=True)
    lines = ["link set lo up", f"address add {THEIRS}/24 dev far", "link set far up"]
    subprocess.run(["ip", "-n", NAMESPACE, "-batch", "-"], input="\n".join(lines).encode(), check=True)


class Between:
    """Listens here on the ports of the end in the namespace, and passes on what both say, but for what `meddle` does.

    `seen` is all that the writer has sent.
    """

    def __init__(self, ports: list[int], writer_dials: bool, meddle: Meddle, ends: str = "") -> None:
        self.meddle, self.ends, self.writer_dials = meddle, ends, writer_dials
        self.seen = b""
        self.socks: list[socket.socket] = []
        self.listeners = [socket.create_server((OWN, port)) for port in ports]
        for listener in self.listeners:
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        while True:
            try:
                caller = listener.accept()[0]
            except OSError:
                return
            try:
                called = socket.create_connection((THEIRS, port))
            except OSError:
                reset(caller)  # that end does not listen there, or not yet
                continue
            self.socks += [caller, called]
            writer, reader = (caller, called) if self.writer_dials else (called, caller)
            for source, target, data in ((writer, reader, True), (reader, writer, False)):
                threading.Thread(target=self._pass_on, args=(source, target, data), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, data: bool) -> None:
        count = 0
        try:
            while piece := source.recv(16384):
                if data:
                    self.seen += piece
                    changed = self.meddle(piece, count)
                    count += len(piece)
                    if changed is None:
                        self._end(source, target)
                        return
                    piece = changed
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # the other thread may have met the error of a reset, and this one an end of file
            reset(target)
            reset(source)

    def _end(self, source: socket.socket, target: socket.socket) -> None:
        if self.ends == "fin":
            target.shutdown(socket.SHUT_WR)
        else:
            reset(target)
        if self.ends == "both reset":
            reset(source)
        else:
            while source.recv(65536):  # and the writer goes on
                pass

    def close(self) -> None:
        for sock in [*self.listeners, *self.socks]:
            reset(sock)


def reset(sock: socket.socket) -> None:
    try:
        set_linger(sock, True)
        sock.shutdown(socket.SHUT_RD)  # wakes the thread that sleeps in it
    except OSError:
        pass
    sock.close()
