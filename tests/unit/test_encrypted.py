# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An encrypted link in its end: its relay as a stage, and the connection within a host to a reader of whole blocks."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import encrypted as encrypted_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import stage as stage_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.encrypted import Relay
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import TCP_NOTSENT_LOWAT, UNSENT_MOST
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.link import (
    ABORTED,
    DONE,
    EOF,
    LEFT,
    OPEN,
    READ,
    RESET,
    Side,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import (
    ENDED,
    HELD,
    KILLED,
    RUNNING,
    SETTLED,
    WAITING,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.transport import local_pair
from ansible_collections.plumbing.socketpipe.tests.unit import ends
from ansible_collections.plumbing.socketpipe.tests.unit.changes import Change
from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends, make_plan, sh

Launch = Callable[..., Ends]
LISTENS = "        listener.listen(8)\n"
# users of this host who have connected first: some wait, one has gone already, and for more there is no room
STRANGERS = """        listener.listen(3)
        strangers = [socket.socket(family, socket.SOCK_STREAM) for _number in range(6)]
        for number, stranger in enumerate(strangers):
            set_linger(stranger, True)
            stranger.setblocking(False)
            stranger.connect_ex(listener.getsockname())
            if number == 1:
                stranger.close()
"""
DIALS = "        code = dialler.connect_ex(listener.getsockname())\n"


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "ENCRYPTION", "relay")


def run(launch: Launch, *changes: Change, **patience: float) -> Ends:
    plan = make_plan(("a", sh("input", "echo data")), ("b", sh("output", "cat")), full_reads=True)
    return launch(plan, changes, patience=patience).wait()


def test_other_users_of_the_host_who_connect_first_are_no_reader(launch: Launch) -> None:
    assert run(launch, ("loopback", LISTENS, STRANGERS)).ok().stage("output")["stdout"] == "data\n"


@pytest.mark.parametrize(
    ("dials", "error"),
    [
        pytest.param("        code = 0\n", "timed out", id="its packets are dropped"),
        pytest.param("        code = errno.ENETUNREACH\n", "Network is unreachable", id="lo is down"),
    ],
)
def test_without_that_connection_nothing_starts(launch: Launch, dials: str, error: str) -> None:
    made = run(launch, ("loopback", DIALS, dials), tls=0.5)
    assert made.report("b")["refused"] == {"kind": "no loopback", "error": error}
    assert made.stage("input")["started_at"] is None and not made.verdict().ok
    made.gone()


# -- the relay as a stage, without a process

BOTH = pytest.mark.parametrize("writer", [True, False], ids=["seal", "open"])
ENCRYPTION: Any = {"key": "a key"}


class Made:
    """A relay, and what it has done with its sides and with signals."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, writer: bool, **encryption: Any) -> None:
        self.did: list[Any] = []
        self.socks = local_pair()
        spec: Any = {"id": "link", "side": "W" if writer else "R", "full_reads": 0, "encryption": ENCRYPTION}
        self.link = Side(spec, self.socks[not writer])
        self.relay = Relay(self.link, {**ENCRYPTION, **encryption}, 5.0)
        self.stage, self.other = self.relay.within if writer else self.relay.within[::-1]
        sides = {"link": self.link, "facing": self.stage, "other": self.other}
        for name, side in sides.items():
            for method in ("abort", "commit", "finish", "leave"):
                monkeypatch.setattr(side, method, self.noting(f"{method} {name}"))
        kill = self.noting("kill")
        monkeypatch.setattr(encrypted_module, "os", SimpleNamespace(**{**vars(os), "kill": kill}))

    def noting(self, what: str) -> Callable[..., None]:
        return lambda *words: self.did.append((what, *words) if words else what)

    def say(self, *lines: str) -> None:
        self.relay.stderr = stage_module.Kept(last=True)
        os.close(self.relay.stderr.theirs)
        self.relay.stderr.close()
        self.relay.stderr.data = "".join(line + "\n" for line in lines).encode()

    def close(self) -> None:
        for side in (*self.socks, *self.relay.within):
            side.sock.close()
        if self.relay.stderr:
            self.relay.stderr.close()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Made]]:
    made: list[Made] = []

    def start(writer: bool = True, **encryption: Any) -> Made:
        made.append(Made(monkeypatch, writer, **encryption))
        return made[-1]

    yield start
    for each in made:
        each.close()


@BOTH
def test_a_relay_is_a_stage_between_the_link_and_the_stage(make: Callable[..., Made], writer: bool) -> None:
    made = make(writer)
    relay, name = made.relay, "seal" if writer else "open"
    assert (relay.name, relay.spec["argv"]) == (name, [name])
    assert {name: relay.spec.get(name) for name in ("ok_rc", "early_exit", "environment", "end", "padding")} == {
        "ok_rc": [0],
        "early_exit": False,
        "environment": {},
        "end": "",
        "padding": 0,
    }
    assert relay.relay is relay and made.link.relay is relay
    assert relay.fds == ({0: made.other, 1: made.link} if writer else {0: made.link, 1: made.other})
    assert relay.facing is made.stage and made.stage.writer is writer
    assert all(side.hidden for side in relay.within) and not made.link.hidden
    assert made.stage.twin is made.other and made.other.twin is made.stage
    assert [side.faces for side in relay.within] == [False, not writer]
    for side in relay.within:
        assert side.spec == {**made.link.spec, "rate_limit": 0, "stall_timeout": 0, "dead_peer": 0, "encryption": None}
        assert (side.handed_over == relay.count) is (not writer and not side.writer)


def test_what_the_ends_exchange_before_is_no_data(make: Callable[..., Made]) -> None:
    relay = make().relay
    relay.counters[0], relay.uncounted = 100, 30
    assert relay.count() == 70
    relay.counters[0] = 20
    assert relay.count() == 0


@BOTH
@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("starts", [True, False])
def test_the_process_of_a_relay(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch, writer: bool, back: bool, starts: bool
) -> None:
    """It is killed with its end, and only it has its ends of the pipes."""
    made = make(writer, **({"back": 32} if back else {}))
    relay, told, became = made.relay, list[Any](), list[Any]()

    def spawn(argv: list[str], environment: Any, chdir: Any, targets: dict[int, int], **more: Any) -> int:
        told.append((argv, environment, chdir, more.pop("orphaned"), list(more)))
        told.append({fd: os.fstat(ours).st_ino for fd, ours in targets.items()})
        told.append([ours for fd, ours in targets.items() if fd > 1])
        more["become"]()
        if not starts:
            raise NotStarted(11, "no more processes")
        return 77

    monkeypatch.setattr(encrypted_module, "spawn", spawn)
    monkeypatch.setattr(encrypted_module, "become", lambda *words: became.append(words))
    if starts:
        relay.start()
        assert (relay.pid, relay.phase) == (77, RUNNING) and relay.started_at
    else:
        with pytest.raises(NotStarted):
            relay.start()
        assert relay.phase != RUNNING
    assert told[0] == ([relay.name], {}, None, signal.SIGKILL, ["become"])
    source, target = (made.other, made.link) if writer else (made.link, made.other)
    assert relay.stderr and relay.stderr.last
    pipes = {2: os.fstat(relay.stderr.fd).st_ino}
    if back and not writer:
        assert relay.back is not None
        pipes[3] = os.fstat(relay.back).st_ino
        os.close(relay.back)
    else:
        assert relay.back is None
    assert told[1] == {0: source.inode, 1: target.inode, **pipes}
    for fd in told[2]:
        with pytest.raises(OSError):
            os.fstat(fd)
    assert became == [(relay.name, relay.encryption, 5.0, relay.page)]


def test_a_message_is_passed_back_once(make: Callable[..., Made]) -> None:
    relay = make(False).relay
    relay.pass_back(b"nobody asks for it")
    reader, relay.back = os.pipe()
    relay.pass_back(b"message")
    relay.pass_back(b"again")
    with open(reader, "rb") as pipe:
        assert pipe.read() == b"message"


def test_what_a_relay_has_said(make: Callable[..., Made]) -> None:
    """Its libraries may write something, too."""
    made = make()
    assert made.relay.said() == {} and made.relay.passed_back() == b"" and not made.relay.ready
    made.say("a warning \u00e9", '{"cipher": "C"}', "[", '{"back": "0aff"}')
    assert made.relay.said() == {"cipher": "C", "back": "0aff"}
    assert made.relay.passed_back() == b"\x0a\xff"


def test_a_relay_is_ready_when_it_has_named_its_cipher(make: Callable[..., Made]) -> None:
    made = make()
    made.say('{"back": ""}')
    assert not made.relay.ready
    made.say()
    assert made.relay.stderr
    made.relay.stderr.data = b'{"cipher": "C"}'
    assert not made.relay.ready, "the line is not whole"
    made.say('{"cipher": "C"}')
    assert made.relay.ready and made.relay.cipher == "C"
    made.say('{"cipher": "D"}')
    assert made.relay.ready and made.relay.cipher == "C"


@pytest.mark.parametrize(
    ("phase", "failed"),
    [(WAITING, False), (RUNNING, False), (KILLED, False), (ENDED, True), (HELD, True), (SETTLED, True)],
)
def test_a_relay_that_ends_before_it_is_ready_has_failed(make: Callable[..., Made], phase: str, failed: bool) -> None:
    relay = make().relay
    relay.enter(phase)
    assert relay.failed_early is failed
    relay.cipher = "C"
    assert relay.failed_early is False


@BOTH
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("phase", [RUNNING, ENDED])
def test_both_links_of_a_relay_break_together(make: Callable[..., Made], writer: bool, left: bool, phase: str) -> None:
    """It is killed before what it reads from could end."""
    made = make(writer)
    made.relay.pid = 77
    made.stage.state = LEFT if left else OPEN
    made.relay.enter(phase)
    made.relay.give_up()
    ends: list[Any] = [("kill", 77, signal.SIGKILL)]
    if phase == ENDED:
        ends = ["abort other", "abort link"] if writer else ["abort link", "abort other"]
    assert made.did == [*(["leave link"] if left else []), "abort link", *ends]


@BOTH
@pytest.mark.parametrize(
    ("status", "source", "target", "clean", "blamed"),
    [
        (0, EOF, OPEN, True, False),
        (256, EOF, OPEN, False, True),
        (0, OPEN, OPEN, False, True),
        (0, EOF, DONE, False, True),
        (256, RESET, OPEN, False, False),
        (256, OPEN, ABORTED, False, False),
        (256, LEFT, OPEN, False, False),
        (0, EOF, RESET, False, False),
    ],
)
def test_only_a_clean_end_is_one(
    make: Callable[..., Made], writer: bool, status: int, source: str, target: str, clean: bool, blamed: bool
) -> None:
    """Its own failure is told, that of a neighbour is not its own."""
    made = make(writer)
    relay = made.relay
    names = ["other", "link"] if writer else ["link", "other"]
    relay.status, relay.ins[0].state, relay.outs[0].state = status, source, target
    relay.enter(ENDED)
    relay.conclude()
    assert relay.settled
    if clean:
        assert made.did == [f"finish {names[0]}", f"commit {names[1]}"]
    else:
        why: Any = {"kind": "relay", "name": relay.name, "signal": "", "error": f"exit status {status >> 8}"}
        broken = [("abort link", why)] if blamed else []
        assert made.did == [*broken, "abort link", *(f"abort {name}" for name in names)]


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ({"kind": "gone"}, 256, None),
        *(
            ({"kind": kind, "where": "stream", "error": "bad"}, 256, {"kind": kind, "where": "stream", "error": "bad"})
            for kind in ("cut on the way", "changed on the way", "no tls")
        ),
        ({"kind": "no tls"}, 256, {"kind": "no tls", "where": "", "error": ""}),
        ({"kind": "", "error": "bad"}, 256, {"kind": "relay", "name": "seal", "signal": "", "error": "bad"}),
        ({}, 768, {"kind": "relay", "name": "seal", "signal": "", "error": "exit status 3"}),
        ({}, 9, {"kind": "relay", "name": "seal", "signal": "SIGKILL", "error": "exit status -9"}),
    ],
)
def test_why_a_relay_has_failed(make: Callable[..., Made], said: Any, status: int, why: Any) -> None:
    made = make()
    made.say(json.dumps(said))
    made.relay.status = status
    assert made.relay.why() == why


@BOTH
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize(
    ("state", "facing", "told"),
    [
        ("open", OPEN, "open"),
        ("open", LEFT, "left"),
        ("read", OPEN, "open"),
        ("read", READ, "read"),
        ("eof", READ, "eof"),
    ],
)
def test_the_report_of_its_link_is_that_of_the_data(
    make: Callable[..., Made], writer: bool, ready: bool, state: str, facing: str, told: str
) -> None:
    """For the reader it is what the stage has done that counts."""
    made = make(writer)
    relay = made.relay
    relay.counters[0], relay.counters[1], relay.counters[2] = 1000, 3, 4
    relay.cipher, made.stage.state, made.stage.padding = "C" if ready else "", facing, 5
    if not writer:
        made.other.sock.send(b"1234567")
    before: Any = {"bytes": 1, "unread": 2, "padding": 3, "state": state, "encryption": None}
    encryption = {"how": "relay", "cipher": "C", "records": 3} if ready else None
    after = {**before, "bytes": 1000, "encryption": encryption}
    if not writer:
        after.update(unread=7, padding=5, state=told)
    assert relay.cover(before) == after


@pytest.mark.parametrize("error", ["", "no ssl module"])
def test_a_relay_needs_tls(monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    refusal = {"kind": "no tls", "error": error} if error else None
    monkeypatch.setattr(encrypted_module, "missing", lambda: error)
    assert encrypted_module.unusable() == refusal
    sides: list[Any] = []
    monkeypatch.setattr(encrypted_module, "Relay", lambda *words: SimpleNamespace(within=list(words)))
    assert encrypted_module.between(cast(Any, 1), cast(Any, 2), 3.0, sides) == refusal
    assert sides == [1, 2, 3.0]


@pytest.mark.parametrize(("error", "text"), [(OSError(98, "no port"), "no port"), (OSError("words"), "words")])
def test_a_relay_needs_loopback(monkeypatch: pytest.MonkeyPatch, error: OSError, text: str) -> None:
    def refuse(*_words: object) -> None:
        raise error

    monkeypatch.setattr(encrypted_module, "Relay", refuse)
    refusal = {"kind": "no loopback", "error": text}
    assert encrypted_module.between(cast(Any, 1), cast(Any, 2), 3.0, []) == refusal


@pytest.mark.parametrize(
    ("full_reads", "writes", "whole"), [(0, False, False), (4096, True, False), (4096, False, True)]
)
def test_only_a_reader_of_whole_blocks_needs_tcp(full_reads: int, writes: bool, whole: bool) -> None:
    spec: Any = {"id": "link", "side": "W" if writes else "R", "full_reads": full_reads}
    sides = encrypted_module.sides_within(spec, writes, 10.0)
    assert [side.tcp for side in sides] == [whole] * 2 and [side.writer for side in sides] == [True, False]
    assert [side.twin for side in sides] == ([None, None] if whole else [sides[1], sides[0]])
    assert all(side.hidden for side in sides)
    if whole:
        for side in sides:
            control = side.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            assert control.rstrip(b"\0") == b"reno"
        assert sides[0].sock.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == UNSENT_MOST
    for side in sides:
        side.sock.close()
