# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two relays of an encrypted link as processes, between sockets of a test, with somebody in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import disconnect
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import PROGRAM_FD, PROGRAM_START
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.transport import local_pair
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._certificates import make_certificate

from .changes import Change, changed

LONG = 60.0
MODULES = ["_end.lean", "_end.system", "_end.kernel", "_end.wire", "_end.tls", "_end.relay"]
# the page that a relay shares with its end is a file of the test's here
DRIVER = """
import mmap, os
from .relay import become
def main(plan):
    with open(plan["page"], "r+b") as file:
        page = mmap.mmap(file.fileno(), 0)
    become(plan["role"], plan["spec"], plan["patience"], page)
"""

WRITER, READER, OTHER = (make_certificate() for _name in "WRX")


def known(own: dict[str, str], peer: dict[str, str], **more: Any) -> dict[str, Any]:
    """What a relay is told: its own certificate and key, and the certificate that the other side must have."""
    return {**own, "peer": peer["certificate"], **more}


class Relay:
    """One of the two, between two sockets."""

    def __init__(
        self,
        role: str,
        inward: socket.socket,
        outward: socket.socket,
        spec: dict[str, Any],
        folder: Path,
        python: str = sys.executable,
        changes: Iterable[Change] = (),
        environment: dict[str, str] | None = None,
        patience: float = LONG,
    ) -> None:
        self.page = folder / (role + ".page")
        self.page.write_bytes(bytes(16))
        sources = changed(dict(bootstrap.sources(MODULES)), changes)
        program = bootstrap.program([*sources.items(), ("_end.driver", DRIVER)])
        told = {"role": role, "spec": spec, "patience": patience, "page": str(self.page)}
        source, target = os.pipe()
        self.process = subprocess.Popen(
            [python, "-IS", "-c", PROGRAM_START, role],
            stdin=inward.fileno(),
            stdout=outward.fileno(),
            stderr=subprocess.PIPE,
            pass_fds=[PROGRAM_FD],
            preexec_fn=lambda: placed(source),
            env={**os.environ, **(environment or {})},
        )
        os.close(source)
        os.write(target, bootstrap.stream(program, told))
        os.close(target)

    def wait(self, timeout: float = LONG) -> Relay:
        assert self.process.stderr
        self.status = self.process.wait(timeout)
        text = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.said: dict[str, Any] = {}
        for line in text.splitlines():
            self.said.update(json.loads(line))
        self.bytes, self.records = struct.unpack("=QQ", self.page.read_bytes())
        return self


def placed(source: int) -> None:
    os.dup2(source, PROGRAM_FD)


def connection() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dialled = socket.create_connection(listener.getsockname())
        return dialled, listener.accept()[0]


# what somebody in between makes of the bytes that come: (bytes, how many came before) -> bytes to pass on,
# an exception to raise at that place: EOFError for an end of file, ConnectionResetError for a reset
Mangle = Callable[[bytes, int], bytes]


def pump(source: socket.socket, target: socket.socket, mangle: Mangle, last: bytes = b"") -> None:
    count = 0
    try:
        while chunk := source.recv(65536):
            target.sendall(mangle(chunk, count))
            count += len(chunk)
        target.sendall(last)
        target.shutdown(socket.SHUT_WR)
    except EOFError:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for sock in (source, target):
            with contextlib.suppress(OSError):  # the test is over
                disconnect(sock)


def unchanged(chunk: bytes, count: int) -> bytes:
    return chunk


class Link:
    """A source and a sink of this process, and between them: seal, perhaps a proxy, open."""

    def __init__(
        self,
        folder: Path,
        seal: dict[str, Any] | None = None,
        unseal: dict[str, Any] | None = None,
        mangle: Mangle | None = None,
        back: Mangle = unchanged,
        last: bytes = b"",
        **options: Any,
    ) -> None:
        """``mangle``: there is a proxy, and this is what it does; ``back``: the other way; ``last``: what it adds.

        ``options`` are of both relays, or begin with ``seal_`` or ``open_``.
        """
        self.following: list[threading.Thread] = []
        self.link, far = connection()
        middle = []
        if mangle:
            middle = [far, *connection()]
            far = middle.pop()
            for way in ((middle[0], middle[1], mangle, last), (middle[1], middle[0], back)):
                threading.Thread(target=pump, args=way, daemon=True).start()
        self.middle = middle
        self.writer, sealing = local_pair()
        opening, self.reader = local_pair()
        self.source, self.sink = self.writer.sock, socket.socket(fileno=os.dup(self.reader.sock.fileno()))
        own: dict[str, dict[str, Any]] = {"seal": {}, "open": {}}
        for name in [name for name in options if name.startswith(("seal_", "open_"))]:
            role, _line, option = name.partition("_")
            own[role][option] = options.pop(name)
        sealing_options, opening_options = ({"folder": folder, **options, **own[role]} for role in ("seal", "open"))
        self.seal = Relay("seal", wrap(sealing.sock), self.link, seal or known(WRITER, READER), **sealing_options)
        self.open = Relay("open", far, wrap(opening.sock), unseal or known(READER, WRITER), **opening_options)
        self.opening = opening
        self.far = far
        sealing.sock.close()
        self.sink.settimeout(LONG)

    def follow(self) -> None:
        """As their ends do: who exits with 0 is committed, who does not is broken."""
        threads = [threading.Thread(target=each, daemon=True) for each in (self._follow_seal, self._follow_open)]
        self.following += threads
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _follow_seal(self) -> None:
        if self.seal.wait().status == 0:
            with contextlib.suppress(OSError):  # it may have been broken since
                self.link.shutdown(socket.SHUT_WR)
        else:
            disconnect(self.link)

    def _follow_open(self) -> None:
        if self.open.wait().status == 0:
            self.opening.commit()
        else:
            self.opening.abort()
            disconnect(self.far)

    def read(self) -> bytes:
        """All that the sink gets; an end that is not clean is a ConnectionResetError."""
        parts = []
        while chunk := self.sink.recv(1 << 20):
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        for relay in (self.seal, self.open):
            relay.process.kill()
            relay.process.wait()
        for thread in self.following:
            thread.join(LONG)
        for sock in [self.link, self.far, self.source, self.sink, self.opening.sock, self.reader.sock, *self.middle]:
            sock.close()
        for relay in (self.seal, self.open):
            if relay.process.stderr:
                relay.process.stderr.close()


def wrap(sock: Any) -> socket.socket:
    """A socket of Python's, with what it can do more, for one of _socket's."""
    return socket.socket(fileno=os.dup(sock.fileno()))
