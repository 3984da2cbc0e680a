# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program between the link and the drive: dd or mbuffer.  This process touches no byte of the data."""

import fcntl
import os
import re
import resource
import socket
import stat
import struct
import subprocess
import termios

from ...common.problem import Problem
from ...common.process import Children, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Copied(NamedTuple):
        ok: bool
        bytes: "int | None"
        why: str  # OK, FULL, BROKEN or FAILED
        message: str

else:
    from collections import namedtuple

    Copied = namedtuple("Copied", "ok bytes why message")

OK = ""
FULL = "full"  # the tape
BROKEN = "broken off"  # the input
FAILED = "failed"

BUFFER_START = 80  # percentage that mbuffer collects before it starts the drive, so that the drive need not stop again
# bytes: the writer of mbuffer waits for this signal without checking whether it was already given, and so forever if
# the buffer filled up first (R20230301: with 1M one in forty hung, with 64M none)
LEAST_TO_WAIT = 2**26
SAID_FULL = ("No space left on device", "File too large")
BYTES_RECEIVED = 128  # offset of tcpi_bytes_received, 64 bits, in struct tcp_info (linux/tcp.h)
ENDED = (7, 8, 9, 10, 11)  # TCP_CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING: the count includes a FIN


def write_command(block: int, buffer: int) -> "list[str]":
    """The command that writes its standard input in whole blocks, even after short reads."""
    if buffer:
        start = ["-P", str(BUFFER_START)] if buffer >= LEAST_TO_WAIT else []
        return ["mbuffer", "-q", "-m", str(buffer), "-s", str(block)] + start
    return ["dd", "ibs=%d" % max(block, 2**20), "obs=%d" % block]


def read_command(block: int) -> "list[str]":
    return ["dd", "bs=%d" % block]


def run(
    command: "list[str]",
    locks: "tuple[int, ...]",
    stdin: int,
    stdout: int,
    limit: "int | None" = None,
    whole: bool = True,
) -> "Copied":
    """Run the command to its end; it holds the locks as long as it lives.

    ``limit``: the maximum size of a file in bytes (RLIMIT_FSIZE), for a virtual tape; ``whole``: the last block must be
    a complete one.
    """

    def confine() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    before = received(stdin) if command[0] == "mbuffer" else None
    with Children() as children:
        try:
            child = children.start(
                command, before=confine, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, pass_fds=locks
            )
        except Missing as exc:
            raise Problem(exc.what, "install it, or leave tape_buffer empty", kind=exc.kind) from None
        said = child.communicate()[1].decode("utf-8", "replace").strip()
    after = received(stdin) if before is not None else None
    return judge(command, child.returncode, said, None if before is None or after is None else after - before, whole)


def judge(command: "list[str]", status: int, said: str, came: "int | None" = None, whole: bool = True) -> "Copied":
    """The result of a copy, from its exit status and standard error.

    ``came``: bytes that arrived through the link.
    """
    lines = said.splitlines()
    count = came if command[0] == "mbuffer" else None
    block = 1  # bytes per block written
    for line in lines:
        match = re.match(r"(\d+) bytes?\b", line)  # the last line of dd
        if match:
            count = int(match.group(1))
    for word, following in zip(command, command[1:] + [""]):
        if word.startswith("obs=") or word == "-s":
            block = int(word[4:] or following)
    if status == 0 and command[0] == "mbuffer" and any("error" in line.lower() for line in lines):
        status = 1
    if status == 0 and whole and (count or 0) % block:
        text = "the last block is incomplete: the archive does not consist of blocks of tape_block_size"
        return Copied(False, count, FAILED, text)
    if status == 0:
        return Copied(True, count, OK, "")
    reasons = [line for line in lines if not re.match(r"\d+(\+\d+ records| bytes?\b)", line)]
    message = reasons[-1] if reasons else "%s ended with %s" % (command[0], say_status(status))
    if any(text in said for text in SAID_FULL) or status == -25:  # SIGXFSZ
        return Copied(False, count, FULL, message)
    if "Connection reset by peer" in message:
        return Copied(False, count, BROKEN, "it was cut off at its source, or on its way")
    return Copied(False, count, FAILED, message)


def say_status(status: int) -> str:
    return "signal %d" % -status if status < 0 else "exit status %d" % status


def received(fd: int) -> "int | None":
    """Bytes read from a TCP connection, None for anything else (tcp(7): TCP_INFO and SIOCINQ).

    Bytes before the start of the writer belong to the handshake of the link.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return None
        with socket.socket(fileno=os.dup(fd)) as link:
            while True:
                came = arrived(link)
                waiting = struct.unpack("=i", fcntl.ioctl(link, termios.FIONREAD, b"\0\0\0\0"))[0]
                if came == arrived(link):
                    return came - int(waiting)
    except (OSError, struct.error):
        return None


def arrived(link: "socket.socket") -> int:
    info = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    count: int = struct.unpack_from("=Q", info, BYTES_RECEIVED)[0]
    return count - (1 if info[0] in ENDED else 0)
