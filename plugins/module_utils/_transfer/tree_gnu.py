# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory sent and received by GNU tar, which reads and writes the link itself."""

import os
import subprocess
import tempfile

from .._tape.common.problem import Problem
from .._tape.common.process import Children
from .files import CHANGED, INCOMPLETE, shown
from .frames import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._tape.common.gnutar import Tar

BLOCKS = "--blocking-factor=128"  # 64 KiB
CHANGES = 1  # tar's exit status: a file changed as it was read, or was removed
KEPT = 64 * 1024  # bytes of messages
MOST_WARNINGS = 5
# not of interest: its total, and that there were errors
SILENT = ("Total bytes ", "tar: Exiting with failure status", "tar: Error is not recoverable")
NO_TIMES = "--pax-option=delete=atime,delete=ctime"


def run(argv: "list[bytes]", folder: int, **files: "Any") -> "tuple[int, list[str]]":
    """(exit status, messages) of tar in this directory."""
    said = b""
    with Children() as children:
        child = children.start(argv, before=lambda: os.fchdir(folder), stderr=subprocess.PIPE, **files)
        stream: "Any" = child.stderr
        while True:
            data = os.read(stream.fileno(), KEPT)
            if not data:
                break
            said = (said + data)[-KEPT:]
        status = child.wait()
    lines = [shown(line) for line in said.split(b"\n") if line]
    return status, [line for line in lines if not line.startswith(SILENT)]


def last(lines: "list[str]") -> str:
    """Its last message."""
    text = (lines or ["it gave no reason"])[-1][:400]
    more = " (the last of %d messages)" % len(lines) if len(lines) > 1 else ""
    return (text[5:] if text.startswith("tar: ") else text) + more


def how(status: int) -> str:
    return "was killed by signal %d" % -status if status < 0 else "failed with exit status %d" % status


def send(tar: "Tar", folder: int, members: "list[bytes]", path: bytes, out: int = 1) -> None:
    """Write an archive of these members of a directory; raises Problem."""
    argv = tar.argv(
        "--create",
        "--format=posix",
        NO_TIMES,
        "--sparse",
        BLOCKS,
        "--warning=no-file-ignored",  # sockets
        "--null",
        "--files-from=-",
        "--file=-",
    )
    with tempfile.TemporaryFile() as names:
        names.write(b"".join(each + b"\0" for each in members))
        names.seek(0)
        status, lines = run(argv, folder, stdin=names, stdout=out)
    if status == CHANGES:
        hint = "stop what writes to it, or transfer a snapshot"
        raise Problem("%s changed while it was read (%s)" % (shown(path), last(lines)), hint, CHANGED, lines[:-1])
    if status:
        hint = "" if os.geteuid() == 0 else "try become"
        text = "%s cannot be read completely: tar %s: %s" % (shown(path), how(status), last(lines))
        raise Problem(text, hint, output=lines[:-1])


def receive(tar: "Tar", folder: int, stream: int, path: bytes) -> "list[str]":
    """Extract an archive into a directory; returns warnings; raises Problem."""
    root = os.geteuid() == 0
    argv = tar.argv(
        "--extract",
        "--preserve-permissions",
        BLOCKS,
        "--warning=no-timestamp",  # a slow clock
        "--warning=no-unknown-keyword",  # extensions of other programs
        *(["--same-owner"] if root else []),
        # without this tar restores only user attributes, and no capabilities
        *(["--xattrs-include=*"] if root and "xattrs" in tar.metadata else []),
        "--file=-",
    )
    status, lines = run(argv, folder, stdin=stream)
    if status:
        text = "the files cannot be extracted into %s: tar %s: %s" % (shown(path), how(status), last(lines))
        raise Problem(text, kind=INCOMPLETE, output=lines[:-1])
    drain(stream)
    return lines[:MOST_WARNINGS]


def drain(stream: int) -> None:
    """Read what is left after the end of the archive, only padding, up to the end of the stream; raises Problem."""
    reader = Reader(stream)
    while True:
        data = bytes(reader.some(KEPT))
        if not data:
            return
        if data.strip(b"\0"):
            raise Problem("the stream goes on after the end of the archive", kind=INCOMPLETE)
