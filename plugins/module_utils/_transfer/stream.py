# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first and last stage of a pipeline: they read a file into a stream, or write a stream into a file.

Unlike between the two sides of a transfer, the stream has nothing but the data, since other commands read and write it.
"""

import os
import signal
import time

from .._tape.common.call import Call, served
from .._tape.common.problem import Problem
from .._tape.common.process import ENDING, end_on_signals
from .files import CHUNK, NOT_A_FILE, check_regular, facts, raw, shown, stat_of
from .look import check_place, kept_mode, owners, umask
from .place import identity, without_links
from .sender import CHECKED, Sender
from .sink import Sink, opened

HINT = "path is for regular files; for anything else give a command, such as dd or tar"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read(path: bytes, out: int = 1) -> None:
    """Write a file to a descriptor; raises Problem, also if the file changes meanwhile."""
    sender = Sender(out, path, {})
    sender.told = dict(facts(os.fstat(sender.fd)))
    size = sender.told["size"]
    for at in range(0, size, CHECKED):
        sender.copy(at, min(size, at + CHECKED))
        sender.check()
    sender.check()


def write(path: bytes, stream: int = 0) -> None:
    """Write all of a stream to a new file, which replaces the old one at the end of the stream; raises Problem."""
    if path.endswith(b"/"):
        raise Problem("%s is not the name of a file" % shown(path), kind=NOT_A_FILE)
    stat_of(path)  # refuses a loop of links
    path = without_links(path)
    found = stat_of(path, follow=False)
    if found:
        check_regular(path, found)
    check_place(path, found)
    current = dict(facts(found)) if found else None
    uid, gid = owners(None, None, found, os.path.dirname(path))
    mode = kept_mode(found, uid, gid, False) if found else 0o666 & ~umask()
    now = int(time.time() * 1e9)
    source = {"size": 0, "mtime": now, "inode": os.getpid()}  # names the temporary file
    with opened(path, source, identity(os.path.dirname(path))) as sink:
        receive(sink, stream)
        sink.source["mtime"] = int(time.time() * 1e9)
        sink.settle({"uid": None, "gid": None, "mode": mode}, current)
        sink.flush()
        # until the exit: a signal to stop comes before it is replaced, or too late
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        sink.commit(backup=False, force=True)


def receive(sink: Sink, stream: int) -> None:
    """Raises Problem, and OSError if the stream was broken."""
    buffer, at, synced = bytearray(CHUNK), 0, 0
    view = memoryview(buffer)
    while True:
        count = os.readv(stream, [buffer])
        if not count:
            return
        sink.write(view[:count], at)
        at += count
        if at - synced >= CHECKED:
            sink.sync()
            synced = at


def run(call: Call) -> None:
    given: "dict[str, Any]" = call.input or {}
    try:
        {"read": read, "write": write}[call.words[0]](raw(given["path"]))
    except Problem as exc:
        if exc.kind == NOT_A_FILE and exc.hint:  # it speaks of transfer
            exc.hint = HINT
        raise


def main() -> int:
    """Returns the exit status, see served(); the last line of standard error is a sentence for people."""
    call = Call()
    call.by_module = False
    end_on_signals()
    return served(call, lambda: run(call), "the transfer")
