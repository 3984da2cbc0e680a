# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both sides of the connection plugin shim: python shims.py server SOCKET, python shims.py client SOCKET COMMAND.

The server runs each client's command in a shell, with what the client has read as its standard input. It reads what
the command writes to its end, whether the client is still there or not.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading


def server(path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(20)
    while True:
        threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()


def run(caller: socket.socket) -> None:
    with caller, caller.makefile("rwb") as file:
        command = file.read(int(file.readline()))
        data = file.read(int(file.readline()))
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(data)
        while chunk := os.read(process.stdout.fileno(), 65536):
            with contextlib.suppress(OSError):
                caller.sendall(chunk)
        process.wait()
        process.stdout.close()


def client(path: str, command: str) -> None:
    data, words = sys.stdin.buffer.read(), command.encode()
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(path)
    caller.sendall(b"%d\n%s%d\n%s" % (len(words), words, len(data), data))
    while chunk := caller.recv(65536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(sys.argv[2])
    client(sys.argv[2], sys.argv[3])
