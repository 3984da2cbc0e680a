# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two ends find each other: real sockets on loopback, a thread for each end."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import exchange
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import meeting as meeting_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.connect import Connection, listen_on
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.dialler import Attempt, Dialler, reason
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.handshake import (
    ANSWER,
    CONFIRM,
    FILL_MOST,
    HELLO,
    MAGIC,
    PARKED,
    READER,
    WRITER,
    Key,
    Stranger,
    dial,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import events
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.meeting import Meeting, NotConnected
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.names import (
    address_of,
    is_number,
    join_address,
    numbers,
    socket_name,
    with_zone,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.patience import Patience
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.tests.unit.ends import KERNEL_TLS

LOCAL = "127.0.0.1"
EVERYBODY = 3 if KERNEL_TLS else 0
CAN: dict[str, int] = {}  # capabilities of ends for kernel TLS, if they are not those of everybody
SOON = 20.0  # seconds in which a meeting that can succeed must have


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def is_reset(sock: socket.socket) -> bool:
    """Whether the other side closes this, and as an end closes what is no link: never with an end of file."""
    sock.settimeout(10)
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, below those that the kernel gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20000, 32768)
        try:
            listen_on(port).close()
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found


def plan_for(
    *links: tuple[str, str],
    ports: dict[str, list[int]] | None = None,
    silent: tuple[str, ...] = (),
    addresses: dict[str, list[str]] | None = None,
    patience: dict[str, float] | None = None,
) -> Plan:
    """A plan with these links (writer's end, reader's end); ``silent`` ends do not listen."""
    plan = Plan({"patience": patience or {}})
    names = list(dict.fromkeys(name for link in links for name in link))
    for name in names:
        plan.add_end(name, listen=name not in silent)
        if ports and name in ports:
            plan.ends[name]["ports"] = ports[name]
    for number, (writer, reader) in enumerate(links):
        for end, name in ((writer, "from"), (reader, "to")):
            plan.add_stage(end, {"name": "%s %d" % (name, number), "argv": ["true"], "ok_rc": [0]})
        plan.connect("from %d" % number, "to %d" % number)
    for dialler in names:
        for target in names:
            if dialler != target:
                plan.reach(dialler, target, (addresses or {}).get(target, [LOCAL]))
    return plan


class Party(threading.Thread):
    """One end's meeting, in a thread."""

    def __init__(self, told: dict[str, Any], timeout: float = SOON, poll: Callable[..., dict[int, int]] = events):
        super().__init__(daemon=True)
        self.meeting = Meeting(told, CAN.get(told["end"], EVERYBODY))
        self.timeout, self.poll = timeout, poll
        self.made: dict[str, Connection] = {}
        self.missing: list[str] = []
        self.error: BaseException | None = None
        self.took = 0.0

    def run(self) -> None:
        began = time.monotonic()
        try:
            self.made = self.meeting.run_until(self.poll, began + self.timeout)
        except NotConnected as exc:
            self.missing = exc.links
        except BaseException as exc:
            self.error = exc
        finally:
            self.took = time.monotonic() - began
            self.meeting.close()

    def over(self) -> Party:
        self.join(self.timeout + 20)
        assert not self.is_alive()
        if self.error:
            raise self.error
        return self

    def listens_on(self) -> int:
        deadline = time.monotonic() + SOON
        while not self.meeting.listeners and time.monotonic() < deadline:
            time.sleep(0.005)
        return next(iter(self.meeting.listeners))


class Meet:
    """Starts parties and, at the end of the test, closes what they have made."""

    def __init__(self) -> None:
        self.parties: list[Party] = []

    def start(self, told: dict[str, Any], **more: Any) -> Party:
        party = Party(told, **more)
        self.parties.append(party)
        party.start()
        return party

    def all(self, plan: Plan) -> list[Party]:
        started = [self.start(plan.for_end(name)) for name in plan.ends]
        return [party.over() for party in started]


@pytest.fixture
def meet() -> Iterator[Meet]:
    meet = Meet()
    yield meet
    for party in meet.parties:
        party.join(60)
        for connection in party.made.values():
            connection.sock.close()


def agree(plan: Plan, parties: list[Party]) -> None:
    """Both sides of each link have the same connection, and nothing else is left open."""
    by_end = dict(zip(plan.ends, parties))
    for link in plan.links:
        writer = by_end[link["writer"]].made[link["id"]].sock
        reader = by_end[link["reader"]].made[link["id"]].sock
        assert writer.getsockname() and address_of(writer) == address_of(reader, peer=True)
        assert address_of(reader) == address_of(writer, peer=True)
        writer.setblocking(True)
        reader.settimeout(10)
        writer.sendall(link["id"].encode())
        assert reader.recv(100) == link["id"].encode()
    for party in parties:
        assert not party.meeting.connections
        assert all(sock.fileno() == -1 for sock in party.meeting.listeners.values())
        assert not any(attempt.sock for dialler in party.meeting.all_diallers() for attempt in dialler.attempts)


SHAPES = {
    "one link": [("a", "b")],
    "there and back": [("a", "b"), ("b", "a")],
    "five links, two ends": [("a", "b"), ("b", "a")] * 2 + [("a", "b")],
    "a chain": [("a", "b"), ("b", "c"), ("c", "d")],
    "a branch": [("a", "b"), ("a", "c"), ("a", "d")],
    "a circle": [("a", "b"), ("b", "c"), ("c", "a")],
}


@pytest.mark.parametrize("links", SHAPES.values(), ids=SHAPES.keys())
def test_everybody_listens(meet: Meet, links: list[tuple[str, str]]) -> None:
    plan = plan_for(*links)
    parties = meet.all(plan)
    agree(plan, parties)


@pytest.mark.parametrize("silent", ["a", "b"])
@pytest.mark.parametrize("links", [SHAPES["one link"], SHAPES["there and back"]], ids=["one", "two"])
def test_only_one_listens(meet: Meet, links: list[tuple[str, str]], silent: str) -> None:
    plan = plan_for(*links, silent=(silent,))
    parties = meet.all(plan)
    agree(plan, parties)
    dumb = parties[list(plan.ends).index(silent)]
    assert not dumb.meeting.report()["listening"]
    assert all(entry["end"] == silent for p in parties if p is not dumb for entry in p.meeting.report()["dialled"]) or (
        not [p for p in parties if p is not dumb and p.meeting.report()["dialled"]]
    )


def test_many_times(meet: Meet) -> None:
    """Who wins the race differs; both always agree on who has."""
    for _time in range(30):
        plan = plan_for(*SHAPES["there and back"])
        agree(plan, meet.all(plan))


@pytest.mark.parametrize("first", ["a", "b"])
def test_one_is_late(meet: Meet, first: str) -> None:
    plan = plan_for(("a", "b"))
    started = {first: meet.start(plan.for_end(first))}
    time.sleep(1.0)
    last = "b" if first == "a" else "a"
    started[last] = meet.start(plan.for_end(last))
    agree(plan, [started["a"].over(), started["b"].over()])


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 loopback on this machine")
@pytest.mark.parametrize("addresses", [["::1"], [LOCAL, "::1"], ["::1", LOCAL]], ids=" ".join)
def test_ipv6(meet: Meet, addresses: list[str]) -> None:
    plan = plan_for(("a", "b"), addresses={"a": addresses, "b": addresses})
    agree(plan, meet.all(plan))


def test_the_first_port_is_taken(meet: Meet) -> None:
    ports = free_ports(2)
    with socket.create_server(("", ports[0])):
        plan = plan_for(("a", "b"), ports={"a": ports}, silent=("b",))
        parties = meet.all(plan)
    agree(plan, parties)
    report = parties[0].meeting.report()
    assert report["listening"] == [ports[1]]
    assert report["taken"] == [{"port": ports[0], "error": os.strerror(errno.EADDRINUSE)}]


class Relay(threading.Thread):
    """Another user of the host: it has the first port, and passes all that it hears on to the second."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__(daemon=True)
        self.server, self.beyond = socket.create_server(("", ports[0])), ports[1]
        self.passed = 0

    def run(self) -> None:
        while True:
            try:
                near = self.server.accept()[0]
                far = socket.create_connection((LOCAL, self.beyond))
            except OSError:
                return
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(source, target), daemon=True).start()

    def copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while chunk := source.recv(65536):
                self.passed += len(chunk)
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_who_passes_everything_on_is_not_in_the_middle(meet: Meet) -> None:
    """It need not know the secret: it would read, and could change, all that goes through the link."""
    ports = free_ports(2)
    relay = Relay(ports)
    plan = plan_for(("a", "b"), ports={"a": ports}, silent=("b",))
    listener = meet.start(plan.for_end("a"))
    assert listener.listens_on() == ports[1]
    relay.start()
    dialler = meet.start(plan.for_end("b"))
    agree(plan, [listener.over(), dialler.over()])
    relay.server.close()
    assert relay.passed  # and in vain
    tried = {tried["port"]: sentences.outcome(tried) for tried in dialler.meeting.report()["dialled"]}
    assert tried == {ports[0]: "connected, then a wrong listener proof", ports[1]: "connected"}


def test_all_ports_are_taken(meet: Meet) -> None:
    ports = free_ports(2)
    with socket.create_server(("", ports[0])), socket.create_server(("", ports[1])):
        plan = plan_for(("a", "b"), ports={"a": ports}, silent=("b",))
        party = meet.start(plan.for_end("a"), timeout=0.5).over()
    assert party.missing == [plan.links[0]["id"]]
    report = party.meeting.report()
    assert report["listening"] == []
    assert [taken["port"] for taken in report["taken"]] == sorted(ports)


def test_ports_that_become_free_are_used(meet: Meet) -> None:
    ports = free_ports(2)
    plan = plan_for(("a", "b"), ports={"a": ports}, silent=("b",))
    with socket.create_server(("", ports[0])), socket.create_server(("", ports[1])):
        parties = [meet.start(plan.for_end(name)) for name in ("a", "b")]
        deadline = time.monotonic() + SOON
        while len(parties[0].meeting.taken) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not parties[0].made
    agree(plan, [party.over() for party in parties])


@pytest.mark.parametrize("dead", ["192.0.2.1", "127.0.0.99", "2001:db8::1", "not an address"])
def test_a_dead_address_beside_a_good_one(meet: Meet, dead: str) -> None:
    """TEST-NET does not answer or has no route; nobody listens on the other; the last is no address at all."""
    plan = plan_for(("a", "b"), addresses={"a": [dead, LOCAL]}, silent=("b",))
    with socket.create_server((LOCAL, free_ports(1)[0])):
        agree(plan, meet.all(plan))


def test_nobody_is_there(meet: Meet) -> None:
    plan = plan_for(("a", "b"))
    plan.ends["b"]["ports"] = free_ports(3)
    party = meet.start(plan.for_end("a"), timeout=1.0).over()
    assert party.missing == [plan.links[0]["id"]] and party.took >= 1.0
    report = party.meeting.report()
    ports, dialled = plan.ends["b"]["ports"], report["dialled"]
    assert {entry["outcome"] for entry in dialled} == {"refused"}
    tried = {entry["port"] for entry in dialled}
    assert ports[0] in tried and tried <= set(ports)
    assert len(report["listening"]) == 1 and report["strangers"] == 0


def test_different_secrets_do_not_meet(meet: Meet) -> None:
    plan = plan_for(("a", "b"))
    other = plan.for_end("b")
    other["links"][0]["secret"] = "00" * 32
    parties = [meet.start(told, timeout=1.0) for told in (plan.for_end("a"), other)]
    for party in parties:
        assert party.over().missing == [plan.links[0]["id"]]
    dialled = [entry for party in parties for entry in party.meeting.report()["dialled"]]
    assert ("wrong proof", "listener") in [(entry["outcome"], entry["detail"]) for entry in dialled], dialled


def test_another_run_does_not_meet(meet: Meet) -> None:
    plan = plan_for(("a", "b"))
    other = plan.for_end("b")
    other["run"] = "00" * 16
    parties = [meet.start(told, timeout=1.0) for told in (plan.for_end("a"), other)]
    assert all(party.over().missing for party in parties)
    assert all(party.meeting.report()["strangers"] == 0 for party in parties)  # it looks for its own, that is all


# -- strangers


def test_strangers_do_not_hold_up_the_true_peer(meet: Meet) -> None:
    """200 say nothing, 200 talk rubbish; a place for the true peer is always left."""
    port = free_ports(1)[0]
    plan = plan_for(("a", "b"), ports={"a": [port]}, silent=("b",))
    writer = meet.start(plan.for_end("a"))
    writer.listens_on()
    strangers = []
    try:
        for number in range(400):
            strangers.append(socket.create_connection((LOCAL, port), timeout=10))
            if number % 2:
                strangers[-1].sendall(os.urandom(HELLO.size + 40))
        reader = meet.start(plan.for_end("b"))
        agree(plan, [writer.over(), reader.over()])
        # less than it would take to wait for the silent ones
        assert reader.took < reader.meeting.patience.handshake - 1
        assert writer.meeting.report()["strangers"] >= 200
    finally:
        for sock in strangers:
            sock.close()


def test_silent_strangers_are_dropped_after_a_while(meet: Meet) -> None:
    plan = plan_for(("a", "b"), patience={"handshake": 0.3})
    party = meet.start(plan.for_end("a"), timeout=1.5)
    with socket.create_connection((LOCAL, party.listens_on())) as stranger:
        assert is_reset(stranger)
    assert party.over().meeting.report()["strangers"] == 1


def test_too_many_strangers_make_room(meet: Meet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "HALF_OPEN", 5)
    plan = plan_for(("a", "b"))
    party = meet.start(plan.for_end("a"), timeout=1.5)
    port = party.listens_on()
    strangers = [socket.create_connection((LOCAL, port)) for _time in range(8)]
    for sock in strangers[:2]:
        assert is_reset(sock)
    assert party.over().meeting.report()["strangers"] >= 2
    for sock in strangers:
        sock.close()


HELLOS = {
    "rubbish": lambda plan: os.urandom(HELLO.size),
    "http": lambda plan: b"GET / HTTP/1.0\r\nHost: example.org\r\nUser-Agent: a scanner of ports\r\n\r\n",
    "another run": lambda plan: HELLO.pack(MAGIC, b"\0" * 16, 0, READER, 0, b"\0" * 32),
    "another link": lambda plan: HELLO.pack(MAGIC, bytes.fromhex(plan.run), 7, READER, 0, b"\0" * 32),
    "the same side": lambda plan: HELLO.pack(MAGIC, bytes.fromhex(plan.run), 0, WRITER, 0, b"\0" * 32),
    "no side": lambda plan: HELLO.pack(MAGIC, bytes.fromhex(plan.run), 0, b"?", 0, b"\0" * 32),
    "another magic": lambda plan: HELLO.pack(b"SKTPIPE2", bytes.fromhex(plan.run), 0, READER, 0, b"\0" * 32),
}


@pytest.mark.parametrize(
    "address", ["192.0.2.7", "2001:db8::7", "no such name", "n\u00e4h.invalid", "a" * 70 + ".invalid", ""]
)
def test_what_cannot_be_resolved_stays(address: str) -> None:
    assert numbers(address) == [address]


def test_a_name_is_resolved() -> None:
    assert set(numbers("localhost")) <= {LOCAL, "::1"}


@pytest.mark.parametrize("name", HELLOS)
def test_strangers_are_counted(meet: Meet, name: str) -> None:
    plan = plan_for(("a", "b"), silent=("b",))
    party = meet.start(plan.for_end("a"))
    with socket.create_connection((LOCAL, party.listens_on())) as stranger:
        stranger.sendall(HELLOS[name](plan))
        assert is_reset(stranger)  # without an answer
    peer = meet.start(plan.for_end("b"))
    agree(plan, [party.over(), peer.over()])
    assert party.meeting.report()["strangers"] == (0 if name in ("the same side", "another run") else 1)


def test_who_knows_the_run_but_not_the_secret_is_a_stranger(meet: Meet) -> None:
    """The run's identity is in every list of processes."""
    plan = plan_for(("a", "b"), silent=("b",))
    party = meet.start(plan.for_end("a"))
    with socket.create_connection((LOCAL, party.listens_on())) as stranger:
        stranger.settimeout(10)
        stranger.sendall(HELLO.pack(MAGIC, bytes.fromhex(plan.run), 0, READER, 0, b"\0" * 32))
        assert len(stranger.recv(ANSWER.size, socket.MSG_WAITALL)) == ANSWER.size
        stranger.sendall(b"\0" * 32)
        assert is_reset(stranger)
    peer = meet.start(plan.for_end("b"))
    agree(plan, [party.over(), peer.over()])
    assert party.meeting.report()["strangers"] == 1


def test_who_closes_without_a_word_is_not_counted(meet: Meet) -> None:
    """It may be an attempt of our peer's that was not needed any more."""
    plan = plan_for(("a", "b"), silent=("b",))
    party = meet.start(plan.for_end("a"))
    port = party.listens_on()
    for _time in range(5):
        socket.create_connection((LOCAL, port)).close()
    peer = meet.start(plan.for_end("b"))
    agree(plan, [party.over(), peer.over()])
    assert party.meeting.report()["strangers"] == 0


def test_a_clean_meeting_has_no_strangers(meet: Meet) -> None:
    """Our own attempts that come too late, or were not needed, are not strangers."""
    for _time in range(20):
        plan = plan_for(*SHAPES["there and back"])
        parties = meet.all(plan)
        assert [party.meeting.report()["strangers"] for party in parties] == [0, 0]
        for party in parties:
            for connection in party.made.values():
                connection.sock.close()


def test_ends_that_share_their_ports_are_no_strangers(meet: Meet) -> None:
    """Two ends on one machine with the same few ports: each also dials itself."""
    ports = free_ports(2)
    plan = plan_for(("a", "b"), ports={"a": ports, "b": ports})
    first = meet.start(plan.for_end("a"))
    first.listens_on()
    time.sleep(0.5)
    parties = [first, meet.start(plan.for_end("b"))]
    agree(plan, [party.over() for party in parties])
    assert [party.meeting.report()["strangers"] for party in parties] == [0, 0]


def test_a_connection_to_itself_is_refused() -> None:
    """A dialler may be given the very port it dials as its own (simultaneous open): then it talks to itself."""
    sock = socket.socket()
    sock.bind((LOCAL, 0))
    sock.connect(sock.getsockname())
    attempt = Attempt("b", "link", *sock.getsockname())
    attempt.sock = sock
    with pytest.raises(OSError, match="connected to itself") as caught:
        attempt.finish()
    assert sock.fileno() == -1 and attempt.sock is None
    assert reason(caught.value) == ("refused", "")


# -- a second launch of the same plan


@pytest.mark.parametrize("again", ["a", "b"])
def test_a_second_launch_afterwards_gets_nothing(meet: Meet, again: str) -> None:
    plan = plan_for(("a", "b"))
    agree(plan, meet.all(plan))
    assert meet.start(plan.for_end(again), timeout=0.5).over().missing == [plan.links[0]["id"]]


@pytest.mark.parametrize("again", ["a", "b"])
def test_of_two_launches_at_once_one_gets_the_link(meet: Meet, again: str) -> None:
    for _time in range(2):
        plan = plan_for(("a", "b"))
        other = meet.start(plan.for_end("b" if again == "a" else "a"))
        twins = [meet.start(plan.for_end(again), timeout=1.0) for _time in range(2)]
        other.over()
        winners = [twin for twin in twins if twin.over().made]
        assert len(winners) == 1
        agree(plan, [winners[0], other] if again == "a" else [other, winners[0]])


class Writer:
    """A writer that dials, step by step."""

    def __init__(self, plan: Plan, port: int, number: int = 0) -> None:
        link = plan.links[number]
        key = Key(bytes.fromhex(plan.run), link["index"], bytes.fromhex(link["secret"]))
        sock = socket.create_connection((LOCAL, port))
        sock.setblocking(False)
        self.connection = Connection(sock, dial(key, WRITER, port), None)
        self.connection.start()

    def move(self, goal: Callable[[Connection], bool]) -> Writer:
        deadline = time.monotonic() + SOON
        while not goal(self.connection) and time.monotonic() < deadline:
            select.select([self.connection.sock], [], [], 0.05)
            self.connection.advance()
        assert goal(self.connection)
        return self


def test_a_reader_says_taken_once(meet: Meet) -> None:
    """Two writers (one plan, launched twice) confirm at the same moment: only one may hear that its link is taken."""
    gate = threading.Event()
    gate.set()

    def poll(fds: dict[int, int], timeout: float) -> dict[int, int]:
        gate.wait(SOON)
        return events(fds, timeout)

    plan = plan_for(("a", "b"), silent=("a",))
    reader = meet.start(plan.for_end("b"), poll=poll)
    port = reader.listens_on()
    writers = [Writer(plan, port).move(lambda c: c.phase == PARKED and not c.out) for _time in range(2)]
    time.sleep(0.3)  # both proofs are with the reader
    gate.clear()
    time.sleep(0.5)  # longer than one poll
    for writer in writers:
        writer.connection.choose()
    time.sleep(0.1)
    gate.set()
    reader.over()
    done = []
    for writer in writers:
        try:
            writer.move(lambda c: c.done)
            done.append(writer)
        except (OSError, Stranger):
            pass
        writer.connection.sock.close()
    assert len(done) == 1


def test_a_second_launch_gets_no_link_that_is_made_while_another_is_pending(meet: Meet) -> None:
    """It knows the secret, but is too late: the link stays whose it is, and the second launch is no stranger."""
    plan = plan_for(("a", "b"), ("a", "b"), silent=("a",))
    reader = meet.start(plan.for_end("b"))
    port = reader.listens_on()

    def take(number: int) -> socket.socket:
        writer = Writer(plan, port, number).move(lambda c: c.phase == PARKED and not c.out)
        writer.connection.choose()
        return writer.move(lambda c: c.done).connection.sock

    first = take(0)
    late = Writer(plan, port, 0)
    with pytest.raises((OSError, Stranger)):
        late.move(lambda c: c.known)
    second = take(1)
    made = reader.over().made
    for sock, link in zip((first, second), plan.links):
        assert address_of(sock) == address_of(made[link["id"]].sock, peer=True)
        sock.close()
    late.connection.sock.close()
    assert reader.meeting.report()["strangers"] == 0


def exactly(sock: socket.socket, size: int) -> bytes:
    """One with a timeout does not block, so MSG_WAITALL does not wait."""
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def chosen(plan: Plan, port: int) -> socket.socket:
    """A reader that has proved itself, and was chosen by the writer who listens there: it has the writer's word."""
    link = plan.links[0]
    key = Key(bytes.fromhex(plan.run), link["index"], bytes.fromhex(link["secret"]))
    sock = socket.create_connection((LOCAL, port), timeout=SOON)
    talk = dial(key, READER, port)
    sock.sendall(next(talk).send)
    sock.sendall(talk.send(exactly(sock, ANSWER.size)).send)
    size, _proof = CONFIRM.unpack(exactly(sock, CONFIRM.size))
    assert exactly(sock, size) == bytes(size)
    assert size >= min(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), FILL_MOST), "a full packet"
    return sock


def test_who_falls_silent_when_it_is_chosen(meet: Meet) -> None:
    """Its host may have lost its power: another one is chosen after a while, and gets the link."""
    plan = plan_for(("a", "b"), silent=("b",), patience={"handshake": 0.5})
    writer = meet.start(plan.for_end("a"))
    with chosen(plan, writer.listens_on()) as silent:
        reader = meet.start(plan.for_end("b"))
        agree(plan, [writer.over(), reader.over()])
        assert is_reset(silent)


@pytest.mark.parametrize("says", [b"", b"x" * 32, b"x" * 8], ids=["nothing", "a wrong word", "half a word"])
def test_who_leaves_when_it_is_chosen(meet: Meet, says: bytes) -> None:
    """At the very moment at which the writer would give it up: another one is chosen, and gets the link."""
    plan = plan_for(("a", "b"), silent=("b",), patience={"fill": 0.0, "stuck": 0.0})
    writer = meet.start(plan.for_end("a"))
    port = writer.listens_on()
    for _time in range(5):
        with chosen(plan, port) as sock:
            sock.sendall(says)
    reader = meet.start(plan.for_end("b"))
    agree(plan, [writer.over(), reader.over()])
    assert writer.meeting.report()["large"] == 0


# -- small parts


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [
        ("192.0.2.1", 5, "192.0.2.1:5"),
        ("::ffff:192.0.2.1", 5, "192.0.2.1:5"),
        ("2001:db8::1", 5, "[2001:db8::1]:5"),
        ("::ffff:5", 5, "[::ffff:5]:5"),
    ],
)
def test_join_address(host: str, port: int, text: str) -> None:
    assert join_address(host, port) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ECONNREFUSED, "x"), "refused"),
        (OSError(errno.ETIMEDOUT, "x"), "timed out"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route"),
        (OSError(errno.ENETUNREACH, "x"), "no route"),
        (OSError(errno.ECONNRESET, "x"), "reset"),
        (OSError(errno.EPERM, "x"), "forbidden"),
        (OSError(errno.EMFILE, "Too many open files"), "error"),
        (OSError("just words"), "error"),
    ],
)
def test_reason(error: OSError, text: str) -> None:
    detail = {errno.EMFILE: "Too many open files", None: "just words"}.get(error.errno, "")
    assert reason(error) == (text, detail)


def test_a_closed_socket_has_no_address() -> None:
    with socket.socket() as sock:
        assert address_of(sock, peer=True) == ""


def test_listen_on_a_taken_port() -> None:
    port = free_ports(1)[0]
    first = listen_on(port)
    with pytest.raises(OSError) as caught:
        listen_on(port)
    first.close()
    assert caught.value.errno == errno.EADDRINUSE


class Host:
    """What is at an address, by a clock of the test's own: {port: what it does with a call}, the others refuse."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **ports: str) -> None:
        self.now, self.calls, self.ports = 0.0, list[tuple[float, int]](), ports
        monkeypatch.setattr(Attempt, "start", lambda attempt, _segment=0: self.start(attempt))
        monkeypatch.setattr(Attempt, "drop", lambda attempt: setattr(attempt, "sock", None))

    def start(self, attempt: Attempt) -> None:
        self.calls.append((self.now, attempt.port))
        attempt.started = self.now
        what = self.ports.get(f"p{attempt.port}", self.ports.get("other", "refuses"))
        if what == "refuses":
            raise ConnectionRefusedError(111, "refused")
        if what == "drops":
            attempt.sock = socket.SocketType.__new__(socket.SocketType)
        if what == "is taken":
            self.dialler.ended(attempt, False)

    def dial(self, seconds: float, count: int = 16, rank: int = 0) -> list[tuple[float, int]]:
        """All calls within so many seconds."""
        self.dialler = Dialler("peer", "link", LOCAL, list(range(count)), rank, Patience().dial)
        while self.now < seconds:
            self.dialler.step(self.now)
            self.now = round(self.now + max(0.001, min(0.05, self.dialler.wait(self.now))), 6)
        return self.calls


def test_a_host_that_refuses_is_not_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """608 calls at 16 ports in 8 s were a port scan to an intrusion detector."""
    calls = Host(monkeypatch).dial(8.0)
    assert len(calls) < 80 and len({port for _at, port in calls}) <= 5
    # a host that comes up is found soon: within a fifth of the time that it has taken, at its first port
    first = [at for at, port in calls if port == 0]
    assert all(later - at < max(0.05, at / 5) for at, later in zip(first, first[1:]))


def test_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command waits while somebody types a password: one round of all ports every two seconds at most."""
    calls = Host(monkeypatch).dial(3600.0)
    assert {port for _at, port in calls} == set(range(16))
    in_the_end = [at for at, port in calls if port == 0 and at > 3000]
    assert min(later - at for at, later in zip(in_the_end, in_the_end[1:])) >= 2.0


def test_a_host_that_does_not_answer_is_not_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Host(monkeypatch, other="drops").dial(8.0)
    assert len(calls) < 10 and [port for _at, port in calls][:3] == [0, 1, 2]


def test_ports_that_others_have_are_passed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another run has the first ports, ours is at the next: it is called within the first moment."""
    calls = Host(monkeypatch, p0="is taken", p1="is taken", p2="is taken").dial(1.0)
    assert [port for _at, port in calls][:4] == [0, 1, 2, 3] and calls[3][0] < 0.05


def test_addresses_have_a_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best one first; the last of a hundred is called within a second."""
    at = [Host(monkeypatch).dial(1.0, rank=rank)[0][0] for rank in (0, 1, 2, 3, 4, 99)]
    assert at == pytest.approx([0.0, 0.1, 0.2, 0.2, 0.3, 0.7], abs=0.06)


def test_a_dead_address_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: the true address is dialled as often as it is without the dead one."""

    def rounds(addresses: list[str]) -> int:
        begun: list[str] = []

        def start(attempt: Attempt, segment: int = 0) -> None:
            attempt.started = now
            begun.append(attempt.host)
            if attempt.host == "192.0.2.1":  # TEST-NET-1: nobody answers there
                attempt.sock = socket.socket()
            else:
                raise ConnectionRefusedError(111, "refused")

        monkeypatch.setattr(Attempt, "start", start)
        diallers = [Dialler("peer", "link", address, list(range(16)), 0, Patience().dial) for address in addresses]
        now = 0.0
        while now < 2.0:
            for dialler in diallers:
                dialler.step(now)
            now += 0.01
        for dialler in diallers:
            dialler.drop()
        return begun.count("127.0.0.1")

    assert rounds(["192.0.2.1", "127.0.0.1"]) == rounds(["127.0.0.1"]) > 10


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("192.0.2.1", (socket.AF_INET, ("192.0.2.1", 5))),
        ("2001:db8::1", (socket.AF_INET6, ("2001:db8::1", 5))),
        ("fe80::1%lo", (socket.AF_INET6, ("fe80::1", 5, 0, socket.if_nametoindex("lo")))),
        ("fe80::1%7", (socket.AF_INET6, ("fe80::1", 5, 0, 7))),
        ("fe80::1%nosuch", "there is no interface nosuch here"),
        ("fe80::1%", "there is no interface  here"),
        ("fe80::1", "a link-local address needs the interface that it is behind, as in fe80::1%eth0"),
        ("febf::1", "a link-local address needs the interface that it is behind, as in febf::1%eth0"),
        ("fec0::1", (socket.AF_INET6, ("fec0::1", 5))),
    ],
)
def test_the_name_of_a_socket(address: str, wanted: object) -> None:
    assert is_number(address)
    if isinstance(wanted, str):
        with pytest.raises(OSError) as caught:
            socket_name(address, 5)
        outcome, detail = reason(caught.value)
        assert sentences.outcome({"outcome": outcome, "detail": detail, "met": False}) == wanted
    else:
        assert socket_name(address, 5) == wanted


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8::1", 5, 0, 0), "2001:db8::1"),
        (("fe80::1", 5, 0, socket.if_nametoindex("lo")), "fe80::1%lo"),
        (("fe80::1%lo", 5, 0, socket.if_nametoindex("lo")), "fe80::1%lo"),  # Python 3.6 has it there already
        (("fe80::1", 5, 0, 99999), "fe80::1%99999"),
    ],
)
def test_an_address_has_its_zone(name: tuple[object, ...], address: str) -> None:
    assert with_zone(name) == address


def test_a_zone_outlives_the_resolver() -> None:
    assert numbers("fe80::1%lo") == ["fe80::1%lo"]


# -- the choice of a connection, by a clock of the test's own


class Talk:
    """A connection of a link; ``did``: that it was chosen."""

    def __init__(self, link: str, phase: str = PARKED, done: bool = False) -> None:
        self.link, self.phase, self.done, self.known = link, phase, done, True
        self.chosen_at, self.did = 0.0, list[str]()
        self.sock: Any = socket.socketpair()[0]
        self.attempt = None
        self.born = 0.0

    def choose(self) -> None:
        self.did.append("chosen")
        self.phase, self.chosen_at = "chosen", 100.0

    def is_stuck(self, _seconds: float) -> bool:
        return False


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Of an end that listens for two links, at the time that ``now`` says."""
    plan = plan_for(("a", "b"), ("a", "b"), silent=("b",))
    made: Any = Meeting(plan.for_end("a"))
    made.now, made.ids = 100.0, [link["id"] for link in plan.links]
    monkeypatch.setattr(meeting_module, "time", SimpleNamespace(monotonic=lambda: made.now))
    yield made
    made.close()


def test_one_connection_of_each_link_is_chosen(meeting: Any) -> None:
    one, two = meeting.ids
    talks = [Talk(one, "strange"), Talk(one), Talk(one), Talk(two)]
    meeting.connections = list(talks)
    for _again in range(2):
        meeting.settle()
        assert [talk.did for talk in talks] == [[], ["chosen"], [], ["chosen"]]
    assert meeting.chosen == {one: talks[1], two: talks[3]}


@pytest.mark.parametrize(("after", "dropped"), [(5.0, False), (5.5, True)])
def test_a_choice_that_falls_silent_is_dropped_for_another(meeting: Any, after: float, dropped: bool) -> None:
    one = meeting.ids[0]
    talks = [Talk(one), Talk(one)]
    meeting.connections = list(talks)
    meeting.settle()
    meeting.now += after
    meeting.settle()
    assert meeting.connections == talks[dropped:] and meeting.chosen == {one: talks[dropped]}
    assert talks[1].did == ["chosen"] * dropped


def test_a_choice_that_is_gone_is_not_dropped_again(meeting: Any) -> None:
    """It has become the link."""
    talk = Talk(meeting.ids[0])
    meeting.chosen, meeting.connections, meeting.now = {talk.link: talk}, [], 1000.0
    meeting.settle()
    assert meeting.chosen == {talk.link: talk}


def test_another_connection_is_dropped_without_a_choice(meeting: Any) -> None:
    chosen, other = Talk(meeting.ids[0]), Talk(meeting.ids[0])
    meeting.chosen, meeting.connections = {chosen.link: chosen}, [chosen, other]
    meeting.drop(other, "silent")
    assert meeting.chosen == {chosen.link: chosen} and meeting.connections == [chosen]
    meeting.drop(chosen, "silent")
    assert meeting.chosen == {} and meeting.connections == []


def test_a_link_that_is_made_ends_its_other_connections(meeting: Any) -> None:
    """Those of another link go on, and no caller is let in any more."""
    one, two = meeting.ids
    talks = [Talk(one), Talk(one), Talk(two)]
    meeting.connections = list(talks)
    dropped: list[str] = []
    meeting.diallers = {name: [SimpleNamespace(drop=lambda name=name: dropped.append(name))] for name in (one, two)}
    assert meeting.wants(one) and meeting.wants(two)
    meeting._talk(talks[0], lambda: None)
    assert meeting.made == {}
    meeting._talk(talks[0], lambda: setattr(talks[0], "done", True))
    assert meeting.made == {one: talks[0]} and meeting.connections == [talks[2]] and dropped == [one]
    assert [talk.sock.fileno() < 0 for talk in talks] == [False, True, False]
    assert not meeting.wants(one) and meeting.wants(two)
    meeting.diallers = {}


def test_a_meeting_ends_at_its_deadline(meeting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the very moment; and connections that lose large packets are counted."""
    asked: list[Any] = []
    stuck = Talk(meeting.ids[0])
    monkeypatch.setattr(stuck, "is_stuck", lambda seconds: seconds == meeting.patience.stuck)
    meeting.made = {meeting.ids[1]: "made"}
    monkeypatch.setattr(meeting, "bind", asked.append)
    monkeypatch.setattr(meeting, "serve", lambda found, now: asked.append((found, now)))
    monkeypatch.setattr(meeting, "fds", lambda: "fds")
    monkeypatch.setattr(meeting, "settle", lambda: meeting.connections.append(stuck))

    def poll(fds: Any, timeout: float) -> Any:
        asked.append((fds, timeout))
        meeting.now += 1.0
        return "found"

    with pytest.raises(NotConnected) as caught:
        meeting.run_until(poll, 101.0)
    assert caught.value.links == [meeting.ids[0]] and meeting.large == 2
    assert asked == [100.0, ("fds", 0.2), ("found", 101.0), 101.0, ("fds", 0.2), ("found", 102.0)]
    meeting.connections = []


@pytest.mark.parametrize(("waits", "timeout"), [([0.1, 0.05], 0.05), ([0.3], 0.2), ([-1.0], 0.0)])
def test_a_meeting_waits_for_its_next_call(
    meeting: Any, monkeypatch: pytest.MonkeyPatch, waits: list[float], timeout: float
) -> None:
    """Those of links that are made no longer count."""
    stepped: list[float] = []
    one, two = meeting.ids
    every = [SimpleNamespace(link=one, wait=lambda _now, wait=wait: wait, step=stepped.append) for wait in waits]
    every.append(SimpleNamespace(link=two, wait=None, step=None))
    meeting.made = {two: "made"}
    monkeypatch.setattr(meeting, "all_diallers", lambda: every)
    monkeypatch.setattr(meeting, "close", lambda: stepped.append(-1.0))
    monkeypatch.setattr(meeting, "fds", dict)
    asked: list[float] = []

    def poll(_fds: Any, seconds: float) -> Any:
        asked.append(seconds)
        meeting.made[one] = "made, too"
        return {}

    assert meeting.run_until(poll, 200.0) == {one: "made, too", two: "made"}
    assert asked == [timeout] and stepped == [100.0] * len(waits) + [-1.0]
    monkeypatch.undo()
