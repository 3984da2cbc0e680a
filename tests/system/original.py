# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the original socketpipe, which speaks its protocol and does no more. Run on a host, in both roles.

original.py -s HOST PORT COMMAND...                         the far side
original.py ADDRESS INPUT OUTPUT REMOTE LOGIN...            this side; what may have spaces is one word each
"""

import contextlib
import os
import shlex
import socket
import subprocess
import sys


def far(host: str, port: str, command: "list[str]") -> None:
    """Connect, be the command."""
    sock = socket.create_connection((host, int(port)))
    os.dup2(sock.fileno(), 0)
    os.dup2(sock.fileno(), 1)
    os.execvp(command[0], command)


def near(address: str, source: str, sink: str, remote: str, *login: str) -> int:
    """Log in, take the first who calls, run ours on that socket; the status is that of the last in the pipeline."""
    listener = socket.create_server((address, 0))
    words = [*login, "socketpipe", "-s", address, str(listener.getsockname()[1]), *shlex.split(remote)]
    last = there = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    listener.settimeout(20)
    sock = listener.accept()[0]
    sock.setblocking(True)
    ours: dict[int, subprocess.Popen[bytes]] = {}
    if source:
        ours[socket.SHUT_WR] = subprocess.Popen(shlex.split(source), stdout=sock.fileno())
    if sink:
        last = ours[socket.SHUT_RD] = subprocess.Popen(shlex.split(sink), stdin=sock.fileno())
    for how, process in ours.items():
        process.wait()
        with contextlib.suppress(OSError):  # the far side has gone before
            sock.shutdown(how)
    there.wait()
    return 128 - last.returncode if last.returncode < 0 else last.returncode


if __name__ == "__main__":
    if sys.argv[1] == "-s":
        far(sys.argv[2], sys.argv[3], sys.argv[4:])
    sys.exit(near(*sys.argv[1:]))
