# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever connects may send anything, and an end's host may say anything: any bytes, in any order, cut anywhere.

Nothing but the documented exception is raised, nothing waits for ever, and what is kept is bounded.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.connect import Connection
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.exchange import HALF_OPEN
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.handshake import (
    HELLO,
    MAC,
    MAGIC,
    NONCE,
    PARKED,
    READER,
    WRITER,
    Key,
    Stranger,
    dial,
    listen,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import events
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.meeting import Meeting
from ansible_collections.plumbing.socketpipe.tests.unit.ends import eventually, make_plan, stage
from hypothesis import example, given, settings
from hypothesis import strategies as st

PLAN = make_plan(("a", stage("from", ["true"])), ("b", stage("to", ["true"])))
PLAN.ends["b"]["listen"] = False
RUN, SECRET = bytes.fromhex(PLAN.run), bytes.fromhex(PLAN.links[0]["secret"])
KEY, WRONG_KEY = Key(RUN, 0, SECRET), Key(RUN, 0, b"\0" * 32)
OUR_MOST = HELLO.size + NONCE + 3 * MAC  # bytes: more than either side ever has to send or to read

SOON = 20.0  # seconds in which what can happen must have
few = settings(max_examples=60, deadline=None)
sides = st.sampled_from([WRITER, READER])
cuts = st.lists(st.integers(1, 100), max_size=20)


def hello(side: bytes, nonce: bytes = b"\0" * NONCE) -> bytes:
    return HELLO.pack(MAGIC, RUN, 0, side, 0, nonce)


# what a stranger may send: bytes, what a true caller would say first, proofs with another secret, and what it has heard
ECHO = b"(what was heard)"
messages = st.one_of(
    st.binary(max_size=300),
    sides.map(hello),
    st.sampled_from([hello(b"?"), HELLO.pack(MAGIC, RUN, 7, READER, 0, bytes(NONCE)), MAGIC, b"\0", ECHO]),
    st.builds(
        lambda label, side: WRONG_KEY.prove(label, side, bytes(2 * NONCE)),
        st.sampled_from([b"listener", b"dialler", b"confirm", b"taken"]),
        sides,
    ),
)
calls = st.lists(messages, max_size=6)


@contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection over loopback that do not block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        first = socket.create_connection(server.getsockname())
        second = server.accept()[0]
    with first, second:
        first.setblocking(False)
        second.setblocking(False)
        yield first, second


def find_key(own_side: bytes) -> Callable[[bytes, int, bytes], tuple[Key, bytes, str]]:
    def find(run: bytes, index: int, side: bytes) -> tuple[Key, bytes, str]:
        if (run, index) != (RUN, 0) or side == own_side or side not in (WRITER, READER):
            raise Stranger("not open here")
        return KEY, own_side, "link"

    return find


def pieces(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """The data in parts of these sizes, and then the rest."""
    for size in sizes:
        if data:
            yield data[:size]
            data = data[size:]
    if data:
        yield data


def heard(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""


class Closed(Exception):
    """The stranger was sent away."""


def move(connection: Connection) -> None:
    """What a Meeting does once poll(2) has found something, and what must be true afterwards."""
    try:
        connection.advance()
    except (Stranger, OSError) as exc:
        raise Closed from exc
    finally:
        assert len(connection.read) <= OUR_MOST and len(connection.out) <= OUR_MOST
        assert not connection.done and not connection.known, "a stranger is known"


@few
@given(sides, st.booleans(), calls, cuts)
@example(WRITER, True, [hello(READER), ECHO], [1] * 20)
@example(READER, False, [ECHO, ECHO], [])
def test_a_stranger_gets_nowhere(side: bytes, listens: bool, said: list[bytes], sizes: list[int]) -> None:
    """Listening or dialling, as writer or as reader."""
    with tcp_pair() as (ours, theirs):
        connection = Connection(ours, listen(find_key(side)) if listens else dial(KEY, side), None)
        connection.start()
        try:
            for message in said:
                message = heard(theirs) if message == ECHO else message
                for piece in pieces(message, sizes):
                    theirs.send(piece)
                    move(connection)
            theirs.close()
            deadline = time.monotonic() + SOON
            while time.monotonic() < deadline:
                move(connection)
                events({ours.fileno(): connection.wanted()}, 0.1)
            raise AssertionError("it has not noticed that the stranger has gone")
        except (Closed, ConnectionError, BrokenPipeError):
            pass


def step(connection: Connection) -> None:
    if connection.phase == PARKED and not connection.out:
        connection.resume(b"")
    elif connection.phase != PARKED and not connection.done:
        connection.advance()


@few
@given(sides, cuts, cuts)
@example(WRITER, [1] * 2000, [1] * 2000)
def test_the_true_peer_may_be_cut_anywhere(side: bytes, there: list[int], back: list[int]) -> None:
    """Between both is something that hands on a few bytes at a time."""
    with tcp_pair() as (ours, near), tcp_pair() as (far, theirs):
        dialler = Connection(ours, dial(KEY, side), None)
        listener = Connection(theirs, listen(find_key(READER if side == WRITER else WRITER)), None)
        for connection in (dialler, listener):
            connection.start()
        ways = [(near, far, iter(there)), (far, near, iter(back))]
        deadline = time.monotonic() + SOON
        while not (dialler.done and listener.done):
            assert time.monotonic() < deadline, "they do not come to an end"
            for source, target, sizes in ways:
                try:
                    target.sendall(source.recv(next(sizes, 65536)))
                except BlockingIOError:
                    pass
            for connection in (dialler, listener):
                step(connection)
        assert dialler.known and listener.known and not heard(near) and not heard(far)


# -- many at once, as a Meeting serves them


def serve(meeting: Meeting, now: float) -> None:
    """All that is to be done at this moment; ``now`` may be later than it is."""
    for _time in range(50):
        found = events(meeting.fds(), 0.0)
        meeting.serve(found, now)
        meeting.settle()
        if not found:
            return


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def meeting_of_a() -> Iterator[tuple[Meeting, int]]:
    """The writer's end, which nobody dials but us, and its port."""
    meeting = Meeting(PLAN.for_end("a"))
    meeting.bind(time.monotonic())
    try:
        yield meeting, min(meeting.listeners)
    finally:
        meeting.close()
        for connection in meeting.made.values():
            connection.sock.close()


def comes_through(meeting: Meeting, port: int) -> None:
    """The true peer calls, and gets the link."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setblocking(False)
        peer = Connection(sock, dial(KEY, READER, port), None)
        peer.start()

        def done() -> bool:
            serve(meeting, time.monotonic())
            if not peer.done:
                peer.advance()
            return peer.done and len(meeting.made) == 1

        eventually(done, "the true peer did not get the link", SOON)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(calls, cuts, st.booleans()), max_size=8), st.randoms(use_true_random=False))
def test_many_strangers_at_once(callers: list[tuple[list[bytes], list[int], bool]], order: object) -> None:
    """They talk in turns and some hang up; at the deadline none is left, and the true peer comes through."""
    before = descriptors()
    with meeting_of_a() as (meeting, port):
        socks = [socket.create_connection(("127.0.0.1", port)) for _caller in callers]
        for sock in socks:
            sock.setblocking(False)
        # each has its own cut, and they take turns
        scripts = [[p for m in said for p in pieces(m, sizes)] for said, sizes, _closes in callers]
        turns = [number for number, script in enumerate(scripts) for _piece in script]
        getattr(order, "shuffle")(turns)  # noqa: B009 - hypothesis names the type of its random only to itself
        for number in turns:
            piece = scripts[number].pop(0)
            try:
                socks[number].sendall(heard(socks[number]) if piece == ECHO else piece)
            except OSError:
                pass  # it was sent away
            if callers[number][2] and not scripts[number]:
                socks[number].close()
            serve(meeting, time.monotonic())
            assert not meeting.made and not any(connection.known for connection in meeting.connections)
        serve(meeting, time.monotonic())
        serve(meeting, time.monotonic() + meeting.patience.handshake + 1)
        assert meeting.connections == [], "its time is over"
        comes_through(meeting, port)
        for sock in socks:
            sock.close()
    assert descriptors() == before


def test_only_so_many_strangers_are_kept() -> None:
    """Each costs a descriptor and a conversation; beyond HALF_OPEN the oldest goes."""
    before = descriptors()
    with meeting_of_a() as (meeting, port):
        socks = []
        for _number in range(HALF_OPEN + 100):
            socks.append(socket.create_connection(("127.0.0.1", port)))
            serve(meeting, time.monotonic())
            assert len(meeting.connections) <= HALF_OPEN + 1
        assert meeting.strangers >= 99
        comes_through(meeting, port)
        for sock in socks:
            sock.close()
    assert descriptors() == before
