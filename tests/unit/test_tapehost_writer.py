# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dd and mbuffer between the link and the tape: what they say, how much came, and a link that breaks."""

from __future__ import annotations

import shutil
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import writer
from ansible_collections.plumbing.socketpipe.tests.unit.archives import BLOCK, archive
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost, wait_for

Maker = Callable[..., TapeHost]
DD = ["dd", "ibs=1048576", "obs=4096"]
READ = ["dd", "bs=4096"]
MBUFFER = ["mbuffer", "-q", "-m", "1048576", "-s", "4096", "-P", "80"]
ENDED = "2+0 records in\n2+0 records out\n8192 bytes (8.2 kB, 8.0 KiB) copied, 0.2 s, 3.9 MB/s"
NOT_WHOLE = "the last block is incomplete: the archive does not consist of blocks of tape_block_size"
NOISE = "mbuffer: warning: No controlling terminal and no autoloader command specified.\n"
CUT_OFF = "it was cut off at its source, or on its way"
READING = "mbuffer: error: inputThread: error reading at offset 0xc0000: Connection reset by peer"
FULL = "mbuffer: error: outputThread: error writing to <stdout> at offset 0x1000: No space left on device"


@pytest.mark.parametrize(
    ("command", "status", "said", "came", "expected"),
    [
        (DD, 0, ENDED, None, (True, 8192, "", "")),
        (READ, 0, ENDED.replace("8192", "8191"), None, (True, 8191, "", "")),
        (DD, 0, "0+1 records in\n1+1 records out\n4608 bytes copied", None, (False, 4608, "failed", NOT_WHOLE)),
        (DD, 0, "0+1 records in\n0+1 records out\n1 byte copied, 0.1 s, 0 kB/s", None, (False, 1, "failed", NOT_WHOLE)),
        (DD, 0, "0+0 records in\n0+0 records out\n0 bytes copied", None, (True, 0, "", "")),
        (DD, 1, "dd: error writing 'standard output': Input/output error", None,
         (False, None, "failed", "dd: error writing 'standard output': Input/output error")),
        (DD, 1, "dd: error writing 'standard output': No space left on device\n" + ENDED, None,
         (False, 8192, "full", "dd: error writing 'standard output': No space left on device")),
        (DD, 1, "dd: error reading 'standard input': Connection reset by peer\n" + ENDED, None,
         (False, 8192, "broken off", CUT_OFF)),
        (READ, 1, "dd: error reading 'standard input': Cannot allocate memory\n" + ENDED.replace("8192", "0"), None,
         (False, 0, "failed", "dd: error reading 'standard input': Cannot allocate memory")),
        (DD, -25, "", None, (False, None, "full", "dd ended with signal 25")),
        (DD, -9, "", None, (False, None, "failed", "dd ended with signal 9")),
        (DD, 3, "", None, (False, None, "failed", "dd ended with exit status 3")),
        (MBUFFER, 0, NOISE, 8192, (True, 8192, "", "")),
        (MBUFFER, 0, NOISE, None, (True, None, "", "")),
        (MBUFFER, 0, NOISE, 8193, (False, 8193, "failed", NOT_WHOLE)),
        (MBUFFER, 1, NOISE + READING, 8192, (False, 8192, "broken off", CUT_OFF)),
        (MBUFFER, 0, NOISE + READING, 8192, (False, 8192, "broken off", CUT_OFF)),
        (MBUFFER, 1, NOISE + FULL, 9, (False, 9, "full", FULL)),
    ],
)  # fmt: skip
def test_what_a_copy_came_to(
    command: list[str], status: int, said: str, came: int | None, expected: tuple[Any, ...]
) -> None:
    assert tuple(writer.judge(command, status, said, came)) == expected


def connection() -> tuple[socket.socket, socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        far = socket.create_connection(listening.getsockname())
        near, _address = listening.accept()
    return far, near


@pytest.mark.parametrize(
    ("buffer", "words"),
    [
        (0, "dd ibs=1048576 obs=4096"),
        (2**26 - 1, "mbuffer -q -m 67108863 -s 4096"),
        (2**31, "mbuffer -q -m 2147483648 -s 4096 -P 80"),
    ],
)
def test_the_writer(buffer: int, words: str) -> None:
    """A small buffer does not wait to be full, for it may wait for ever: mbuffer's fault."""
    assert writer.write_command(4096, buffer) == words.split()


@pytest.fixture(params=["", "1M", "64M"], ids=["dd", "mbuffer", "waiting"])
def buffer(request: pytest.FixtureRequest) -> str:
    if request.param and not shutil.which("mbuffer"):
        pytest.skip("there is no mbuffer on this machine")
    return str(request.param)


HANDSHAKE = b"who are you?\n"


def through(host: TapeHost, buffer: str, data: bytes, reset: bool) -> Any:
    """Send it through a connection that has had a handshake, to a sink; the connection ends, or is broken off."""
    far, near = connection()
    with far, near:
        far.sendall(HANDSHAKE)
        near.recv(len(HANDSHAKE), socket.MSG_WAITALL)
        process = host.start("sink", "--run", "R1", "--host", "h1", stdin=near, buffer=buffer)
        far.sendall(data)
        if reset:
            # all of it has been read, as a reset takes what has not
            wait_for(lambda: writer.received(near.fileno()) == len(HANDSHAKE) + len(data))
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        return host.end(process)


@pytest.mark.parametrize("size", [0, 3000, 300_000, 3_000_000])
def test_all_of_it_comes_through_a_link(size: int, buffer: str, tape_host: Maker) -> None:
    host = tape_host()
    data = archive("R1", "h1", size=size) if size else b""
    done = through(host, buffer, data, reset=False)
    if not size:
        assert done.said == "tape A, file 1: no data arrived: run the backup again"
        assert (host.states(), host.files()) == ([], [])
        return
    assert (done.answer["bytes"], host.files()) == (len(data), [data])
    assert host.commit("R1", "h1", data).answer["state"] == "good"


@pytest.mark.parametrize("size", [0, 3000, 300_000])
def test_a_link_that_breaks_is_no_end(size: int, buffer: str, tape_host: Maker) -> None:
    host = tape_host()
    data = archive("R1", "h1", size=size) if size else b""
    done = through(host, buffer, data, reset=True)
    assert done.status == 1
    assert done.said == "tape A, file 1: it was cut off at its source, or on its way: run the backup again"
    assert [state for _file, _host, state in host.states()] in ([], ["failed"])
    assert host.sink("R1", "h2", buffer=buffer).status == 0
    host.never_wrong()


def test_a_last_block_that_is_not_whole(buffer: str, tape_host: Maker) -> None:
    host = tape_host()
    done = through(host, buffer, b"x" * (BLOCK + 512), reset=False)
    assert done.said == "tape A, file 1: %s: run the backup again" % NOT_WHOLE
    assert host.tape()["archives"][0]["bytes"] == BLOCK + 512


def test_nothing_from_a_pipe(buffer: str, tape_host: Maker) -> None:
    host = tape_host(buffer=buffer)
    assert host.sink("R1", "h1", b"").said == "tape A, file 1: no data arrived: run the backup again"
    assert host.states() == []


def test_mbuffer_is_not_there(tape_host: Maker) -> None:
    host = tape_host(buffer="1M")
    host.path = str(host.folder)
    said = host.sink("R1", "h1").said
    assert said.startswith("tape A, file 1: there is no mbuffer on this host: install it, or leave tape_buffer empty")


def test_what_has_been_read_of_a_link() -> None:
    far, near = connection()
    with far, near:
        counts = [writer.received(near.fileno())]
        far.sendall(b"12345")
        wait_for(lambda: near.recv(5, socket.MSG_PEEK) == b"12345")
        counts.append(writer.received(near.fileno()))
        near.recv(2)
        counts.append(writer.received(near.fileno()))
        far.close()
        near.recv(10)
        assert near.recv(10) == b""
        counts.append(writer.received(near.fileno()))
    assert counts == [0, 0, 2, 5]


@pytest.mark.parametrize("fd", [-3, 99_999])
def test_nothing_is_read_of_what_is_no_link(fd: int) -> None:
    assert writer.received(fd) is None
    ours, theirs = socket.socketpair()
    with ours, theirs, open("/dev/null") as nothing:
        assert writer.received(ours.fileno()) is None
        assert writer.received(nothing.fileno()) is None
