# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command's own standard streams: ssh makes its standard error non-blocking, and nobody else's may become so."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.streams import (
    hold_places,
    keep,
    own_description,
    say,
    shell_status,
)
from ansible_collections.plumbing.socketpipe.tests.unit.ends import LONG


@pytest.fixture
def opened() -> Iterator[list[int]]:
    """Descriptors to close."""
    fds: list[int] = []
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_flags_are_not_shared(kind: str, opened: list[int]) -> None:
    reader, writer = os.pipe() if kind == "pipe" else pty.openpty()
    opened += [reader, writer]
    own = own_description(writer)
    opened.append(own)
    os.set_blocking(own, False)
    assert os.get_blocking(writer)
    os.write(own, b"hello")
    assert os.read(reader, 100) == b"hello"


def test_a_socket_cannot_be_opened_again(opened: list[int]) -> None:
    """As under sshd: a process copies to it, until the last writer is gone."""
    reader, writer = socket.socketpair()
    reader.settimeout(LONG)
    with reader, writer:
        own = own_description(writer.fileno())
        for data in (b"hello", b"again"):
            os.write(own, data)
            assert reader.recv(100) == data
        os.set_blocking(own, False)
        assert os.get_blocking(writer.fileno())
        os.close(own)
        writer.close()
        assert reader.recv(100) == b""


@pytest.mark.parametrize(("rc", "status"), [(0, 0), (3, 3), (-1, 129), (-15, 143)])
def test_an_exit_status_as_in_a_shell(rc: int, status: int) -> None:
    assert shell_status(rc) == status


def test_a_fifo_that_nobody_reads_is_not_waited_for(tmp_path: Path, opened: list[int]) -> None:
    os.mkfifo(tmp_path / "errors")
    reader = os.open(tmp_path / "errors", os.O_RDONLY | os.O_NONBLOCK)
    opened.append(os.open(tmp_path / "errors", os.O_WRONLY))
    os.close(reader)
    opened.append(own_description(opened[0]))


def test_a_file_keeps_its_one_offset(tmp_path: Path, opened: list[int]) -> None:
    """Else what two write to it would be written over."""
    path = tmp_path / "errors"
    opened.append(os.open(path, os.O_WRONLY | os.O_CREAT))
    own = own_description(opened[0])
    opened.append(own)
    for fd, text in ((opened[0], b"one "), (own, b"two "), (opened[0], b"three")):
        os.write(fd, text)
    assert path.read_bytes() == b"one two three"


def test_a_kept_one_is_the_same_file_and_nobody_gets_it(opened: list[int]) -> None:
    opened += os.pipe()
    kept = keep(opened[1])
    opened.append(kept)
    assert kept >= 10 and os.path.sameopenfile(kept, opened[1])
    assert fcntl.fcntl(kept, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_those_that_we_were_started_without_stay_unusable() -> None:
    """And nothing that is opened later gets their numbers: it would be written to as if it were the user's."""
    process = os.fork()
    if process == 0:
        try:
            for fd in (0, 1, 2):
                os.close(fd)
            hold_places()
            usable = []
            for use in (lambda: os.read(0, 1), lambda: os.write(1, b"x"), lambda: os.write(2, b"x")):
                try:
                    usable.append(use())
                except OSError:
                    pass
            os._exit(100 + len(usable) if os.open(os.devnull, os.O_RDONLY) > 2 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 100


@pytest.mark.parametrize(
    ("text", "shown"),
    [("no", "socketpipe: no\n"), ("h\u00e9", "socketpipe: h\u00e9\n"), ("\udcff", "socketpipe: \\udcff\n")],
)
def test_say(text: str, shown: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert say(text, 2) == 2
    assert capfd.readouterr().err == shown
