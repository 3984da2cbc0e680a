# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of a transfer on real files: requests for it, its streams, and its sink."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.process import ENDING
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import files, look, place, sender, sink
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer.frames import HEAD, Reader

OLD = b"old"
MODE = 0o640
# of a file of 200 bytes with two holes
STREAM = HEAD.pack(0, 3) + b"new" + HEAD.pack(100, 3) + b"end" + HEAD.pack(200, 0)
PLAIN: dict[str, Any] = {"uid": None, "gid": None, "mode": MODE}


def facts(path: Path) -> dict[str, Any]:
    return look.look_source({"path": str(path), "checksum": False})


def source(tmp_path: Path, data: bytes = b"new" * 1000) -> dict[str, Any]:
    path = tmp_path / "source"
    path.write_bytes(data)
    path.chmod(0o600)
    return facts(path)


def asked(path: Path | str, of: dict[str, Any], **more: Any) -> dict[str, Any]:
    name = os.path.basename(of["path"])
    given = {"path": str(path), "name": name, "source": of, "force": True}
    return {**given, "owner": None, "group": None, "mode": None, "backup": False, "resume": False, **more}


def request(path: Path, of: dict[str, Any], **more: Any) -> dict[str, Any]:
    """With the answer of the look, as it would be now."""
    current = files.facts(path.stat()) if path.exists() else None
    given = {"path": str(path), "source": of, "wanted": PLAIN, "current": current, "folder": identity(path)}
    return {**given, "validate": None, "backup": False, "force": True, "resume": False, "part": None, **more}


def identity(path: Path) -> dict[str, int]:
    return place.identity(os.fsencode(path.parent))


def opened(path: Path, of: dict[str, Any]) -> contextlib.AbstractContextManager[sink.Sink]:
    return sink.opened(os.fsencode(path), of, identity(path))


@contextlib.contextmanager
def feeding(stream: bytes) -> Iterator[int]:
    """The descriptor of a reader, to which a thread writes this, and then the end."""
    ours, theirs = socket.socketpair()

    def feed() -> None:
        with ours, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            ours.sendall(stream)

    writer = threading.Thread(target=feed)
    writer.start()
    try:
        yield theirs.fileno()
    finally:
        theirs.close()  # a writer that still has something to send fails, and ends
        writer.join()


@contextlib.contextmanager
def collecting() -> Iterator[tuple[int, bytearray]]:
    """(the descriptor of a writer, what it has written), whole at the end of the block."""
    ours, theirs = socket.socketpair()
    found = bytearray()

    def collect() -> None:
        while True:
            data = theirs.recv(1024 * 1024)
            if not data:
                return
            found.extend(data)

    reader = threading.Thread(target=collect)
    reader.start()
    try:
        yield ours.fileno(), found
    finally:
        ours.close()
        reader.join()
        theirs.close()


def receive(told: dict[str, Any], stream: bytes, meanwhile: Callable[[], object] | None = None) -> dict[str, Any]:
    """The sink with this on its standard input, up to a clean end; ``meanwhile``: what others do."""
    real = sink.Sink.receive

    def received(made: sink.Sink, reader: Reader) -> None:
        real(made, reader)
        if meanwhile:
            meanwhile()

    try:
        with feeding(stream) as stdin, mock.patch.object(sink.Sink, "receive", received):
            return sink.receive(told, stdin)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # they are blocked until the exit


def sent(
    path: Path,
    told: dict[str, Any] | None = None,
    before: Callable[[sender.Sender], None] | None = None,
    start: int = 0,
) -> bytes:
    """The stream of a file; ``start``: what the other side does not have yet."""
    with collecting() as (stdout, found):
        made = sender.Sender(stdout, os.fsencode(path), told or facts(path), start)
        try:
            if before:
                before(made)
            made.send()
        finally:
            os.close(made.fd)
    return bytes(found)


def whole(of: dict[str, Any]) -> bytes:
    return sent(Path(of["path"]), of)
