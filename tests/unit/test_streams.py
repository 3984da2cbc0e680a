# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command's own standard streams: ssh makes its standard error non-blocking, and nobody else's may become so."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import streams
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.streams import (
    hold_places,
    keep,
    own_description,
    say,
    shell_status,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import SIGNALS
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


# -- what is done, one by one


class Over(BaseException):
    """The process has ended."""


def test_a_death_by_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[Any] = []
    monkeypatch.setattr(streams, "signal", SimpleNamespace(SIG_DFL=0, signal=lambda *words: did.append(words)))
    monkeypatch.setattr(streams, "os", SimpleNamespace(getpid=lambda: 50, kill=lambda *words: did.append(words)))
    assert streams.die(15) == 143
    assert did == [(15, 0), (50, 15)]


@pytest.mark.parametrize(
    ("terminal", "group", "shown"), [(True, 50, True), (True, 51, False), (False, 50, False), (True, None, False)]
)
def test_whether_a_person_reads_the_errors(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, group: int | None, shown: bool
) -> None:
    """Not in the background, nor at the terminal of another session."""

    def foreground(fd: int) -> int:
        assert fd == 2
        if group is None:
            raise OSError(25, "not ours")
        return group

    fake = SimpleNamespace(isatty=lambda fd: terminal and fd == 2, tcgetpgrp=foreground, getpgrp=lambda: 50)
    monkeypatch.setattr(streams, "os", fake)
    assert streams.at_terminal() is shown


@pytest.mark.parametrize(("error", "told"), [(errno.EINVAL, errno.EMFILE), (errno.EBADF, errno.EBADF)])
def test_too_few_descriptors_for_a_copy(monkeypatch: pytest.MonkeyPatch, error: int, told: int) -> None:
    def refuse(*words: int) -> int:
        assert words == (5, fcntl.F_DUPFD_CLOEXEC, 10)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(streams, "fcntl", SimpleNamespace(F_DUPFD_CLOEXEC=fcntl.F_DUPFD_CLOEXEC, fcntl=refuse))
    with pytest.raises(OSError) as caught:
        keep(5)
    assert (caught.value.errno, caught.value.strerror) == (told, os.strerror(told))


def test_nobody_reads_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, data: bytes) -> int:
        assert (fd, data) == (2, b"socketpipe: text\n")
        raise BrokenPipeError

    monkeypatch.setattr(streams, "os", SimpleNamespace(write=refuse))
    assert say("text", 3) == 3 and say("text") == 0


def test_what_is_opened_again_blocks_and_is_no_terminal_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def reopen(path: str, flags: int) -> int:
        asked.append((path, flags))
        return os.open(path, flags)

    monkeypatch.setattr(streams, "os", SimpleNamespace(**{**vars(os), "open": reopen}))
    reader, writer = os.pipe()
    own = own_description(writer)
    assert asked == [(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)] and os.get_blocking(own)
    for fd in (reader, writer, own):
        os.close(fd)


@pytest.mark.parametrize("breaks", [False, True])
def test_the_process_that_copies(monkeypatch: pytest.MonkeyPatch, breaks: bool) -> None:
    """It has only its input and its output, outlives Ctrl-C, and ends with its input or its output."""
    did: list[Any] = []
    reads = [b"hello", b"again", b""]

    def write(fd: int, data: bytes) -> int:
        did.append((fd, data))
        if breaks:
            raise BrokenPipeError
        return min(len(data), 3)

    def read(fd: int, size: int) -> bytes:
        assert (fd, size) == (0, 65536)
        return reads.pop(0)

    def end(status: int) -> None:
        raise Over(status)

    fake = SimpleNamespace(
        pipe=lambda: (31, 32),
        fork=lambda: 0,
        dup2=lambda *words: did.append(words),
        closerange=lambda *words: did.append(words),
        read=read,
        write=write,
        _exit=end,
    )
    monkeypatch.setattr(streams, "os", fake)
    monkeypatch.setattr(streams, "signal", SimpleNamespace(SIG_IGN=1, signal=lambda *words: did.append(words)))
    with pytest.raises(Over) as caught:
        streams.relay(7)
    written = [(1, b"hello")] if breaks else [(1, b"hello"), (1, b"lo"), (1, b"again"), (1, b"in")]
    assert did == [*((number, 1) for number in SIGNALS), (31, 0), (7, 1), (2, 128), *written]
    assert caught.value.args == (0,)
