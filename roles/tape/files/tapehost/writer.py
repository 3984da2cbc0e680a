# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program between the link and the drive: dd, or mbuffer. No byte goes through this one."""

import os
import re
import resource
import socket
import struct
import subprocess

from problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Copied(NamedTuple):
        ok: bool
        bytes: "int | None"
        full: bool
        message: str

else:
    from collections import namedtuple

    Copied = namedtuple("Copied", "ok bytes full message")

BUFFER_START = 80  # per cent that mbuffer collects before the drive starts: once it runs it should not have to stop
FULL = ("No space left on device", "File too large")
BYTES_RECEIVED = 128  # offset of tcpi_bytes_received, 64 bits, in struct tcp_info (linux/tcp.h)


def write_command(path: str, block: int, buffer: int) -> "list[str]":
    """Writes its standard input in whole blocks, however the reads come."""
    if buffer:
        return ["mbuffer", "-q", "-m", str(buffer), "-s", str(block), "-P", str(BUFFER_START), "-f", "-o", path]
    return ["dd", "ibs=%d" % max(block, 2**20), "obs=%d" % block, "of=" + path]


def read_command(path: str, block: int) -> "list[str]":
    return ["dd", "bs=%d" % block, "if=" + path]


def run(
    command: "list[str]", lock: int, stdin: int = 0, stdout: "int | None" = None, limit: "int | None" = None
) -> "Copied":
    """Run it to its end; it holds the lock for as long as it lives.

    ``limit``: the most bytes that a file may get (RLIMIT_FSIZE), for a tape that is a directory.
    """

    def confine() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    out = subprocess.DEVNULL if stdout is None else stdout
    try:
        child = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=out,
            stderr=subprocess.PIPE,
            pass_fds=[lock],
            preexec_fn=confine,
            env=dict(os.environ, LC_ALL="C"),
        )
    except FileNotFoundError:
        raise Problem("there is no %s on this host" % command[0], "install it, or leave tape_buffer empty") from None
    try:
        said = child.communicate()[1].decode("utf-8", "replace").strip()
    except BaseException:
        child.kill()
        child.wait()
        raise
    return judge(command, child.returncode, said, stdin)


def judge(command: "list[str]", status: int, said: str, stdin: int) -> "Copied":
    """What a copy came to, from its exit status and what it said on standard error."""
    lines = said.splitlines()
    count = None
    for line in lines:
        match = re.match(r"(\d+) bytes", line)  # dd's last line
        if match:
            count = int(match.group(1))
    if command[0] == "mbuffer":
        count = received(stdin)
        if status == 0 and any("error" in line.lower() for line in lines):
            status = 1
    odd = re.search(r"^\d+\+([1-9]\d*) records out", said, re.MULTILINE)
    full = any(text in said for text in FULL) or status == -25  # SIGXFSZ
    if status == 0 and odd and command[0] == "dd" and any(word.startswith("obs=") for word in command):
        return Copied(
            False, count, False, "the last block is not whole: the archive is not in blocks of tape_block_size"
        )
    reasons = [line for line in lines if not re.match(r"\d+(\+\d+ records| bytes)", line)]
    message = reasons[-1] if reasons else "%s ended with %s" % (command[0], say_status(status))
    if "Connection reset by peer" in message:
        message = "it was broken off at its source, or on its way"
    return Copied(status == 0, count, full, "" if status == 0 else message)


def say_status(status: int) -> str:
    return "signal %d" % -status if status < 0 else "exit status %d" % status


def received(fd: int) -> "int | None":
    """Bytes that a TCP connection has received, None if this is none (tcp(7), TCP_INFO)."""
    try:
        link = socket.socket(fileno=os.dup(fd))
    except OSError:
        return None
    with link:
        try:
            info = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:
            return None
    if len(info) < BYTES_RECEIVED + 8:
        return None
    state = info[0]
    count = struct.unpack_from("=Q", info, BYTES_RECEIVED)[0]
    return count - (
        1 if state in (7, 8, 9, 10, 11) else 0
    )  # TCP_CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING: a FIN counts
