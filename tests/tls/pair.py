# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Both sides of one encrypted connection over loopback, with commands on them and us in between if need be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import typing as t

from tests.unit.conftest import collection_tree

assert collection_tree()  # from here on Python finds the collection
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import keys, ktls, ktls_trial  # noqa: E402
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import disconnect, set_linger, tcp_info  # noqa: E402
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.ktls_transport import KernelTls  # noqa: E402

LONG = 20.0
# reads as told, and prints how that ended: bytes and "eof" or the error; a second read shows whether an error lasts
READS = """
import errno, os, sys
count, hows = 0, []
while len(hows) < 2:
    try:
        chunk = os.read(0, int(sys.argv[1]))
    except OSError as exc:
        hows.append(errno.errorcode[exc.errno])
        continue
    count += len(chunk)
    if not chunk:
        hows.append("eof")
print(count, *hows)
"""
WRITES = "import os\nwhile True: os.write(1, b'x' * 65536)"


def why_not() -> str:
    """Why the kernel of this machine does not encrypt, "" if it does."""
    _can, problem = ktls_trial.trial()
    return sentences.kernel_tls(problem) if problem else ""


def tcp() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other = listener.accept()[0]
    for sock in (one, other):
        set_linger(sock, True)
    return one, other


from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences  # noqa: E402
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._certificates import make_certificate  # noqa: E402

__all__ = ["LONG", "Pair", "disconnect", "keys", "ktls", "make_certificate"]
__all__ += ["said", "sealed", "tcp", "tcp_info", "why_not"]


class Pair:
    """`writer` and `reader` as an end has them; their sockets are `w` and `r`.

    After `tap` what the writer sends comes to `wire`, a plain socket, and the reader gets what is sent on `inject`.
    """

    def __init__(self, cipher: str) -> None:
        self.cipher = keys.named(cipher)
        self.agreed = os.urandom(32)
        self.children: list[subprocess.Popen[bytes]] = []
        self.w, self.r = tcp()
        self.others: list[socket.socket] = []
        self.arm()

    def arm(self) -> None:
        counted = tcp_info(self.w), tcp_info(self.r)
        for writer, sock in ((True, self.w), (False, self.r)):
            ktls.arm(sock, self.cipher, *keys.both(self.agreed, self.cipher, writer))
        self.writer = KernelTls(self.w, True, counted[0], self.cipher)
        self.reader = KernelTls(self.r, False, counted[1], self.cipher)

    def tapped(self) -> tuple[socket.socket, socket.socket]:
        """(wire, inject): start again with us in between."""
        for sock in (self.w, self.r):
            sock.close()
        (self.w, wire), (inject, self.r) = tcp(), tcp()
        self.others += [wire, inject]
        self.arm()
        return wire, inject

    @property
    def records(self) -> tuple[int | None, int | None]:
        return self.writer.records(), self.reader.records()

    def reads(self, size: int = 65536) -> subprocess.Popen[bytes]:
        """A stage on the reader's side."""
        return self.start([sys.executable, "-ISc", READS, str(size)], stdin=self.r, stdout=subprocess.PIPE)

    def writes(self, script: str = WRITES) -> subprocess.Popen[bytes]:
        return self.start([sys.executable, "-ISc", script], stdout=self.w)

    def start(self, argv: list[str], **files: t.Any) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(argv, stderr=subprocess.DEVNULL, **{"stdin": subprocess.DEVNULL, **files})
        self.children.append(child)
        return child

    def close(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
        for sock in (self.w, self.r, *self.others):
            sock.close()


def said(child: subprocess.Popen[bytes]) -> list[str]:
    """What a child that reads has printed: bytes, and how its input ended, twice."""
    out, _err = child.communicate(timeout=LONG)
    return out.decode().split()


def sealed(pair: Pair, *data: bytes) -> bytes:
    """What goes over a wire for that; call it on a tapped pair, whose writer has sent nothing yet."""
    for each in data:
        pair.w.sendall(each)
    size = sum(len(each) + ktls.OVERHEAD * -(-len(each) // ktls.RECORD) for each in data)
    got = b""
    while len(got) < size:
        got += pair.others[0].recv(size - len(got))
    return got
