# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first and last stage of a pipeline, on real files and sockets."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.process import ENDING
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import files, place, stream
from ansible_collections.plumbing.socketpipe.tests.unit.pythons import TARGETS, needed

OLD = b"old"
LARGE = os.urandom(1000) * (3 * files.CHUNK // 1000 + 1)
ABORT = struct.pack("ii", 1, 0)  # a reset in place of an end of file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def written(path: Path, data: bytes, abort: bool = False) -> None:
    """The sink with this on its standard input, over TCP; then an end of file or a reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _address = listener.accept()

    def feed() -> None:
        with ours:
            ours.sendall(data)
            while abort and len(os.listdir(path.parent)) < 2:  # it has opened its file
                time.sleep(0.01)
            if abort:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)

    writer = threading.Thread(target=feed)
    writer.start()
    try:
        with theirs:
            stream.write(os.fsencode(path), theirs.fileno())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # they are blocked until the exit
        writer.join()


def read(path: Path, end: Any = None) -> bytes:
    """What the source writes; ``end``: done when its first bytes have come."""
    ours, theirs = socket.socketpair()
    found = bytearray()

    def collect() -> None:
        with theirs:
            while data := theirs.recv(1024 * 1024):
                if end and not found:
                    end()
                found.extend(data)

    reader = threading.Thread(target=collect)
    reader.start()
    try:
        with ours:
            stream.read(os.fsencode(path), ours.fileno())
    finally:
        reader.join()
    return bytes(found)


# -- reading


@pytest.mark.parametrize("data", [b"", b"x", LARGE])
def test_all_is_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "source").write_bytes(data)
    assert read(tmp_path / "source") == data


def test_holes_are_read_as_zeros(tmp_path: Path) -> None:
    os.truncate(tmp_path / "source", 3) if (tmp_path / "source").write_bytes(b"abcd") else None
    os.truncate(tmp_path / "source", 2 * files.CHUNK)
    assert read(tmp_path / "source") == b"abc" + bytes(2 * files.CHUNK - 3)


def test_a_file_system_without_sendfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> int:
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "sendfile", refuse)
    (tmp_path / "source").write_bytes(LARGE)
    assert read(tmp_path / "source") == LARGE


@pytest.mark.parametrize("change", ["append", "truncate"])
def test_a_file_that_changes(tmp_path: Path, change: str) -> None:
    path = tmp_path / "source"
    path.write_bytes(LARGE)

    def meanwhile() -> None:
        os.truncate(path, len(LARGE) + 1 if change == "append" else 0)

    with pytest.raises(Problem) as caught:
        read(path, meanwhile)
    assert (caught.value.kind, "changed while it was read" in str(caught.value)) == ("changed", True)


# -- writing


@pytest.mark.parametrize("data", [b"", b"x", LARGE])
def test_all_is_written(folder: Path, data: bytes) -> None:
    before = os.umask(0o027)
    try:
        written(folder / "dest", data)
    finally:
        os.umask(before)
    assert (folder / "dest").read_bytes() == data and os.listdir(folder) == ["dest"]
    assert stat.S_IMODE((folder / "dest").stat().st_mode) == 0o640


def test_what_is_replaced(folder: Path) -> None:
    """Through a link; its mode stays, its time does not."""
    (folder / "old").write_bytes(OLD)
    (folder / "old").chmod(0o604)
    os.utime(folder / "old", (1, 1))
    (folder / "link").symlink_to("old")
    written(folder / "link", LARGE)
    found = (folder / "old").stat()
    assert (folder / "link").is_symlink() and (folder / "old").read_bytes() == LARGE
    assert stat.S_IMODE(found.st_mode) == 0o604 and found.st_mtime > 1_000_000
    assert sorted(os.listdir(folder)) == ["link", "old"]


@pytest.mark.parametrize("data", [b"x", LARGE])
def test_a_reset_replaces_nothing(folder: Path, data: bytes) -> None:
    (folder / "dest").write_bytes(OLD)
    with pytest.raises(ConnectionResetError):
        written(folder / "dest", data, abort=True)
    assert (folder / "dest").read_bytes() == OLD and os.listdir(folder) == ["dest"]


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_words: object) -> int:
        raise OSError(errno.ENOSPC, "no")

    (folder / "dest").write_bytes(OLD)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Problem) as caught:
        written(folder / "dest", b"x")
    assert (str(caught.value), caught.value.kind) == (
        f"{folder}/dest cannot be written: there is no room left",
        "no room",
    )
    assert (folder / "dest").read_bytes() == OLD and os.listdir(folder) == ["dest"]


def test_one_at_a_time(folder: Path) -> None:
    """Whoever writes has a lock on its temporary file; what a killed one has left is removed."""
    dest = os.fsencode(folder / "dest")
    part = Path(os.fsdecode(place.temporary(dest, {"size": 0, "mtime": 17, "inode": 4711})))
    part.write_bytes(b"half")
    with part.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Problem) as caught:
            written(folder / "dest", b"x")
        assert (caught.value.kind, os.listdir(folder)) == ("busy", [part.name])
    written(folder / "dest", b"x")
    assert os.listdir(folder) == ["dest"]


# -- as a program


def program(tmp_path: Path, command: str, path: Path, python: str = sys.executable) -> list[str]:
    pytest.importorskip("ansible", reason="ansible-core is not installed")
    from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._pipeline_path import program as packed
    from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._program_run import with_request

    archive = tmp_path / f"{command}.zip"
    given = {"words": [command], "settings": {}, "input": {"path": str(path)}, "controller": None}
    archive.write_bytes(with_request(packed(), given))
    return [python, "-I", str(archive)]


@pytest.mark.parametrize("version", TARGETS)
def test_on_each_python(tmp_path: Path, folder: Path, version: str) -> None:
    python = needed(version)
    (tmp_path / "source").write_bytes(LARGE)
    with subprocess.Popen(program(tmp_path, "read", tmp_path / "source", python), stdout=subprocess.PIPE) as source:
        sink = subprocess.run(program(tmp_path, "write", folder / "dest", python), stdin=source.stdout, check=False)
    assert (source.returncode, sink.returncode) == (0, 0)
    assert (folder / "dest").read_bytes() == LARGE


def test_a_problem_is_a_sentence_for_people(tmp_path: Path) -> None:
    for command, path, sentence in (
        ("read", tmp_path / "none", f"there is no file {tmp_path}/none"),
        ("read", tmp_path, f"{tmp_path} is a directory: {stream.HINT}"),
        ("write", tmp_path / "none" / "x", f"there is no directory {tmp_path}/none: create it first"),
    ):
        done = subprocess.run(
            program(tmp_path, command, path), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence + "\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing(tmp_path: Path, folder: Path, number: int) -> None:
    (folder / "dest").write_bytes(OLD)
    with subprocess.Popen(
        program(tmp_path, "write", folder / "dest"), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while len(os.listdir(folder)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        said = process.stderr.read().decode()
    assert process.returncode == 128 + number and said == f"ended by {signal.Signals(number).name}\n"
    assert (folder / "dest").read_bytes() == OLD and os.listdir(folder) == ["dest"]
