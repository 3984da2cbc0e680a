# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs with relays and somebody in between, who takes the stream apart record by record.

tests/tls has the same for links that the kernel encrypts, test_relay has two relays alone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.handshake import ANSWER, CONFIRM, HELLO, MAC
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import disconnect
from ansible_collections.plumbing.socketpipe.tests.unit import ends
from ansible_collections.plumbing.socketpipe.tests.unit.ends import (
    LONG,
    Ends,
    eventually,
    make_plan,
    record,
    recorded,
    sh,
    stage,
)

Launch = Callable[..., Ends]
OWN, THEIRS = "127.0.0.2", "127.0.0.1"
# the end that listens, only at its own address, so that somebody can listen at another with the same port
LISTENS = ("connect", '((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0"))', f'((socket.AF_INET, "{THEIRS}"),)')
SIZE = 3_000_000
DATA = f"yes marker-of-the-data | head -c {SIZE}"
FULL, END = 16384 + 17, 2 + 17  # bytes of a record of data in TLS 1.3, and of close_notify
NUMBER = 50  # the full record that something is done to, in the middle of the data


class Between:
    """Passes on what a writer that dials and a reader that listens say, but for what ``meddle`` does to records.

    ``meddle`` takes the index of a link, a record of the writer and its number among the full ones, and returns what
    the reader gets.  EOFError ends the stream there; ConnectionResetError breaks the connection.
    ``crossed``: the connections of two links are joined to each other after the meeting.  ``seen``: all records.
    """

    def __init__(self, meddle: Callable[[int, bytes, int], bytes], crossed: bool = False) -> None:
        self.meddle, self.crossed = meddle, crossed
        self.seen = b""
        self.all_met = threading.Barrier(4)  # both directions of both links
        self.met: dict[int, tuple[socket.socket, socket.socket]] = {}
        self.socks: list[socket.socket] = []
        self.listeners = [socket.create_server((OWN, 0)) for _port in range(3)]
        self.ports = [listener.getsockname()[1] for listener in self.listeners]
        for listener in self.listeners:
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                writer = listener.accept()[0]
            except OSError:
                return
            try:
                reader = socket.create_connection((THEIRS, listener.getsockname()[1]))
            except OSError:
                disconnect(writer)  # that end does not listen there, or not yet
                continue
            self.socks += [writer, reader]
            hello = threading.Event()
            for way in (self._there, self._back):
                threading.Thread(target=self._run, args=(way, writer, reader, hello), daemon=True).start()

    def _run(self, way: Callable[..., None], *words: Any) -> None:
        try:
            way(*words)
        except (EOFError, OSError, threading.BrokenBarrierError):
            for sock in words[:2]:
                with contextlib.suppress(OSError):
                    disconnect(sock)

    def _there(self, writer: socket.socket, reader: socket.socket, hello: threading.Event) -> None:
        pieces = [exactly(writer, HELLO.size)]
        index = HELLO.unpack(pieces[0])[2]
        reader.sendall(pieces[0])
        reader.sendall(exactly(writer, MAC))
        confirm = exactly(writer, CONFIRM.size)
        reader.sendall(confirm + exactly(writer, CONFIRM.unpack(confirm)[0]))
        self.met[index] = writer, reader
        hello.set()
        if self.crossed:
            self.all_met.wait(LONG)
            reader = self.met[1 - index][1]
        number = 0
        while head := writer.recv(5, socket.MSG_WAITALL):
            piece = head + exactly(writer, int.from_bytes(head[3:5], "big"))
            self.seen += piece
            number += len(piece) == 5 + FULL
            try:
                reader.sendall(self.meddle(index, piece, number))
            except EOFError:
                break
        reader.shutdown(socket.SHUT_WR)
        while writer.recv(65536):  # which goes on
            pass

    def _back(self, writer: socket.socket, reader: socket.socket, hello: threading.Event) -> None:
        writer.sendall(exactly(reader, ANSWER.size))
        writer.sendall(exactly(reader, MAC))
        if self.crossed:
            hello.wait(LONG)
            (index,) = [index for index, pair in list(self.met.items()) if pair[1] is reader]
            self.all_met.wait(LONG)
            writer = self.met[1 - index][0]
        while chunk := reader.recv(65536):
            writer.sendall(chunk)
        writer.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.all_met.abort()
        for sock in [*self.listeners, *self.socks]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that sleeps in it
            sock.close()


def exactly(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = sock.recv(size - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return found


def pass_on(index: int, piece: bytes, number: int) -> bytes:
    return piece


def only(change: Callable[[bytes], bytes]) -> Callable[[int, bytes, int], bytes]:
    """Of the full records this one is changed."""
    return lambda index, piece, number: change(piece) if is_full(piece) and number == NUMBER else piece


def is_full(piece: bytes) -> bool:
    return len(piece) == 5 + FULL


def stop(error: type[Exception]) -> Callable[[int, bytes, int], bytes]:
    def meddle(index: int, piece: bytes, number: int) -> bytes:
        if number == NUMBER:
            raise error
        return piece

    return meddle


class Reorder:
    held = b""

    def __call__(self, index: int, piece: bytes, number: int) -> bytes:
        if is_full(piece) and number == NUMBER:
            self.held, piece = piece, b""
        elif self.held:
            self.held, piece = b"", piece + self.held
        return piece


def without_its_end(index: int, piece: bytes, number: int) -> bytes:
    return b"" if len(piece) == 5 + END else piece


def after_a_session(index: int, piece: bytes, number: int) -> bytes:
    """The first close_notify arrives, but no other session."""
    if number > SESSION // 16384 or piece[0] == HANDSHAKE and number:
        raise EOFError
    return piece


CUT, CHANGED, ANY = {"cut on the way"}, {"changed on the way"}, {"changed on the way", "cut on the way"}
HANDSHAKE, SESSION = 22, 1 << 20  # the type of a record; bytes
MEDDLERS: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "a bit": (lambda: only(lambda piece: piece[:90] + bytes([piece[90] ^ 1]) + piece[91:]), CHANGED),
    "a gap": (lambda: only(lambda piece: b""), CHANGED),
    "a repetition": (lambda: only(lambda piece: piece * 2), CHANGED),
    "another order": (Reorder, CHANGED),
    "an end of file between records": (lambda: stop(EOFError), CUT),
    "a reset between records": (lambda: stop(ConnectionResetError), ANY),
    "no close_notify": (lambda: without_its_end, CUT),
    "an end of file between sessions": (lambda: after_a_session, CUT),
}


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "ENCRYPTION", "relay")


@pytest.fixture
def between() -> Iterator[Callable[..., Between]]:
    made: list[Between] = []

    def make(*words: Any, **more: Any) -> Between:
        made.append(Between(*words, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


def run(launch: Launch, somebody: Between, source: dict[str, Any], sinks: list[dict[str, Any]], **options: Any) -> Ends:
    """The source on a writes to each of these on b, as the descriptors 1 and 3; a dials somebody."""
    plan = make_plan(("a", source), ("b", sinks[0]), **options)
    for sink in sinks[1:]:
        plan.add_stage("b", sink)
        plan.connect(source["name"], sink["name"], fd=3)
    if ends.ENCRYPTION != "none":
        plan.encrypt(ends.make_certificate)
    plan.ends["a"]["listen"], plan.ends["b"]["ports"] = False, somebody.ports
    plan.dial = {("a", "b"): {"addresses": [OWN], "ssh_client": False}}
    return launch(plan, [LISTENS], patience={"drain": 1.0, "hold": 0.5}).wait()


def test_who_passes_all_on_learns_nothing(launch: Launch, between: Callable[..., Between], tmp_path: Path) -> None:
    somebody = between(pass_on)
    made = run(launch, somebody, sh("input", DATA), [record("output", tmp_path / "seen")]).ok()
    found = recorded(tmp_path / "seen")
    assert (found["how"], found["bytes"]) == ("eof", SIZE)
    assert made.side("input", "R")["encryption"]["cipher"].startswith("TLS_")
    assert len(somebody.seen) > SIZE and b"marker" not in somebody.seen


@pytest.mark.parametrize("status", [0, 3])
@pytest.mark.parametrize("name", MEDDLERS)
def test_what_is_done_to_the_stream_is_found_out(
    launch: Launch, between: Callable[..., Between], tmp_path: Path, name: str, status: int
) -> None:
    """The sink sees no end of file, whatever it makes of the error."""
    make, kinds = MEDDLERS[name]
    somebody = between(make())
    options = {"sessions": {"step": SESSION, "budget": 1}} if "sessions" in name else {}
    made = run(launch, somebody, sh("input", DATA), [record("output", tmp_path / "seen", status)], **options)
    cause = made.cause()
    assert not made.verdict().ok and cause["kind"] in kinds, cause
    assert b"marker" not in somebody.seen
    said = made.stage("output")
    if said["started_at"] is not None and said["signal"] is None:  # on a slow machine the error can come before it
        found = recorded(tmp_path / "seen")
        assert found["how"] != "eof" and 0 < found["bytes"] <= SIZE
        assert found["bytes"] < SIZE or name == "no close_notify"
    made.gone()


def two(launch: Launch, somebody: Between, folder: Path) -> Ends:
    source = sh("source", f"{DATA} >&3 & {DATA}; wait")
    return run(launch, somebody, source, [record(name, folder / name) for name in ("left", "right")])


def test_links_that_are_taken_for_each_other_from_the_start(
    launch: Launch, between: Callable[..., Between], tmp_path: Path
) -> None:
    """Each has proved itself; the relays of the one then talk to those of the other."""
    somebody = between(pass_on, crossed=True)
    made = two(launch, somebody, tmp_path)
    assert made.cause()["kind"] in ANY and set(somebody.met) == {0, 1}
    for name in ("source", "left", "right"):
        assert made.stage(name)["started_at"] is None
    made.gone()


def test_links_that_are_taken_for_each_other_in_the_middle(
    launch: Launch, between: Callable[..., Between], tmp_path: Path
) -> None:
    """A record of each comes to the other."""
    both, held = threading.Barrier(2), {}

    def swap(index: int, piece: bytes, number: int) -> bytes:
        if is_full(piece) and number == NUMBER:
            held[index] = piece
            both.wait(LONG)
            return held[1 - index]
        return piece

    made = two(launch, between(swap), tmp_path)
    assert made.cause()["kind"] in CHANGED and set(held) == {0, 1}
    for name in ("left", "right"):
        found = recorded(tmp_path / name)
        assert found["how"] != "eof" and found["bytes"] < SIZE
    made.gone()


CONTROL = 1  # the index of the control connection, after that of the link


@pytest.mark.parametrize("how", ["pass", "flip", "cut", "drop"])
def test_what_is_done_to_the_report_of_a_job(
    launch: Launch, between: Callable[..., Between], tmp_path: Path, how: str
) -> None:
    """Home, at the other end of the control connection, never takes it for a success."""
    go = tmp_path / "go"

    def meddle(index: int, piece: bytes, number: int) -> bytes:
        if index != CONTROL or not go.exists() or how == "pass":
            return piece
        if how == "cut":
            raise EOFError
        return b"" if how == "drop" else piece[:-1] + bytes([piece[-1] ^ 1])

    somebody = between(meddle)
    wait = f"while [ ! -e {go} ]; do sleep 0.01; done"
    plan = make_plan(("a", sh("input", f"{wait}; echo marker-of-the-report >&2")), ("b", stage("output", ["cat"])))
    plan.detach("b", job_in(tmp_path / "jobs"))
    plan.ends["a"]["listen"], plan.ends["b"]["ports"] = False, somebody.ports
    plan.dial = {("a", "b"): {"addresses": [OWN], "ssh_client": False}}
    launch(plan, [LISTENS]).wait()
    file = tmp_path / "jobs" / plan.run
    go.touch()
    result = eventually(lambda: finished(file), "the job does not end")
    assert b"marker-of-the-report" not in somebody.seen
    if how == "pass":
        assert result["msg"] == "ok" and "marker-of-the-report" in result["stages"][0]["stderr"]
    else:
        assert result["failed"] and result["cause"]["host"] == "host-a"
        assert "its control connection was lost" in result["msg"]


def job_in(directory: Path) -> Any:
    hosts = {"a": "host-a", "b": "host-b"}
    words = {"directory": str(directory), "hosts": hosts, "peer": "host-a", "advice": None, "writes": {}, "fact": ""}
    return {**words, "no_log": False, "limit": LONG}


def finished(file: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return state if state["finished"] else {}
