# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sides of an end from its connections, and the figures of an end for those who ask."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import encrypted, sides, status, telling
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.patience import Patience
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.telling import Telling
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import Watch

ENCRYPTION = {"key": "a key"}


class Plan:
    """One link to another end, and what comes of it; ``between``: what relays were put in between with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
        self.between: list[Any] = []
        self.refusal: Any = facts.pop("refusal", None)
        self.spec = {"id": "a", "side": "W", "control": False, "barrier": False, "encryption": None}
        self.spec.update({name: facts.pop(name) for name in list(facts) if name in self.spec})
        self.plan: Any = {"links": [self.spec], "kernel_tls": facts.pop("kernel_tls", "")}
        self.sock = SimpleNamespace(name="sock")
        attempt = SimpleNamespace(segment=facts.pop("segment")) if "segment" in facts else None
        self.connection = SimpleNamespace(
            sock=self.sock, cipher=facts.pop("cipher", None), attempt=attempt, prove="prove"
        )
        monkeypatch.setattr(sides, "address_of", lambda _sock, peer=False: "peer:1" if peer else "own:2")
        monkeypatch.setattr(sides, "make_ready", lambda spec, connection: (spec["id"], connection))
        monkeypatch.setattr(sides, "Side", self.side)
        monkeypatch.setattr(encrypted, "between", self.put_between)

    def side(self, spec: Any, transport: Any) -> Any:
        return SimpleNamespace(spec=spec, transport=transport, prove=None, warnings=[])

    def put_between(self, side: Any, encryption: Any, patience: float, made: list[Any]) -> Any:
        self.between.append((side, encryption, patience))
        made.append("within")
        return self.refusal

    def make(self) -> tuple[list[Any], Any]:
        return cast(Any, sides.make_sides(self.plan, cast(Any, {"a": self.connection}), 5.0))


NO_CIPHER = {"kind": "no common cipher"}


@pytest.mark.parametrize(
    ("facts", "made", "relays", "refused"),
    [
        ({}, 1, False, None),
        ({"control": True}, 0, False, None),
        ({"encryption": ENCRYPTION}, 2, True, None),
        ({"encryption": ENCRYPTION, "refusal": {"kind": "no tls"}}, 2, True, {"kind": "no tls"}),
        ({"encryption": ENCRYPTION, "cipher": "C"}, 1, False, None),
        ({"encryption": ENCRYPTION, "kernel_tls": "may"}, 2, True, None),
        ({"encryption": ENCRYPTION, "kernel_tls": "may", "cipher": "C"}, 1, False, None),
        ({"encryption": ENCRYPTION, "kernel_tls": "must"}, 0, False, NO_CIPHER),
        ({"encryption": ENCRYPTION, "kernel_tls": "must", "cipher": "C"}, 1, False, None),
        ({"kernel_tls": "must"}, 0, False, NO_CIPHER),
        ({"kernel_tls": "may"}, 0, False, NO_CIPHER),
        ({"kernel_tls": "must", "cipher": "C"}, 1, False, None),
    ],
)
def test_who_encrypts_a_link(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], made: int, relays: bool, refused: Any
) -> None:
    plan = Plan(monkeypatch, **facts)
    found, refusal = plan.make()
    assert refusal == refused and len(found) == made
    assert plan.between == ([(found[0], ENCRYPTION, 5.0)] if relays else [])


@pytest.mark.parametrize("barrier", [True, False])
@pytest.mark.parametrize("segment", [None, 0, 1220])
def test_a_side_knows_its_connection(monkeypatch: pytest.MonkeyPatch, barrier: bool, segment: int | None) -> None:
    """And warns of packets that had to be small."""
    plan = Plan(monkeypatch, barrier=barrier, **({} if segment is None else {"segment": segment}))
    ((side,), _refusal) = plan.make()
    assert side.spec == {**plan.spec, "address": "own:2", "peer": "peer:1"}
    assert side.transport == ("a", plan.connection) and side.prove == ("prove" if barrier else None)
    warning = {"kind": "small packets", "address": "own:2", "peer": "peer:1", "segment": 1220}
    assert side.warnings == ([warning] if segment else [])


def test_neighbours_on_a_host_have_both_sides() -> None:
    plan: Any = {"links": [{"id": "a", "side": "local", "control": False}], "kernel_tls": "must"}
    (writer, reader), refusal = sides.make_sides(plan, {}, 5.0)
    assert refusal is None and (writer.writer, reader.writer) == (True, False)
    assert writer.twin is reader and reader.twin is writer
    writer.sock.close()
    reader.sock.close()


# -- those who ask


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Starts one that answers, on a plan; its watch finds nothing."""
    made: list[Any] = []

    def begin(watch: Any, heartbeat: float) -> None:
        assert heartbeat == 7.0
        watch.said, watch.asked = [], []

    def poll(watch: Any, fds: Any, timeout: float) -> dict[int, int]:
        watch.asked.append((fds, timeout))
        return dict.fromkeys(fds, 1)

    def start(run: str) -> Any:
        made.append(status.Answering(cast(Any, {"heartbeat": 7.0, "run": run, "end": "a"})))
        return made[-1]

    monkeypatch.setattr(Watch, "__init__", begin)
    monkeypatch.setattr(Watch, "poll", poll)
    monkeypatch.setattr(Watch, "say", lambda watch, message: watch.said.append(message))
    yield start
    for each in made:
        each.listener.close()


def ask(run: str) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(20)
    caller.connect(f"\0socketpipe:{run}:a")
    return caller


def test_who_asks_gets_the_last_sample(answering: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made = answering("of-this-test")
    with ask("of-this-test") as caller:
        made.say({"sample": 1})
        made.say({"sample": "\u00fc"})
        made.say({"report": 2})
        assert made.poll({7: 4}, 3.0) == {7: 1} and made.said == [{"report": 2}]
        assert made.asked == [({7: 4, made.listener.fileno(): 1}, 3.0)]
        assert caller.recv(1000) == b'SOCKETPIPE {"sample": "\\u00fc"}\n' and caller.recv(1000) == b""
    made.answer()  # nobody asks
    monkeypatch.setattr(status, "is_ours", lambda _sock: False)
    with ask("of-this-test") as caller:
        made.answer()
        assert caller.recv(1000) == b""


def test_one_whose_name_is_taken_goes_on(answering: Callable[..., Any]) -> None:
    first, second = answering("taken"), answering("taken")
    assert first.listener.fileno() >= 0 and second.listener.fileno() == -1
    assert second.poll({7: 4}, 3.0) == {7: 1} and second.asked == [({7: 4}, 3.0)]


@pytest.mark.parametrize(("user", "ours"), [(0, True), (50, True), (51, False), (1, False)])
def test_only_this_user_and_root_may_ask(monkeypatch: pytest.MonkeyPatch, user: int, ours: bool) -> None:
    asked: list[Any] = []

    def credentials(*words: int) -> bytes:
        asked.append(words)
        return struct.pack("3i", 50, user, 50)

    monkeypatch.setattr(status, "os", SimpleNamespace(geteuid=lambda: 50))
    assert status.is_ours(cast(Any, SimpleNamespace(getsockopt=credentials))) is ours
    assert asked == [(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)]


@pytest.mark.parametrize(
    ("said", "doing"),
    [
        (None, ""),
        (b"", ""),
        (b"other\nnow: one\nnow: two\nmore\n", "two"),
        (b"now: one\nnow: \n", ""),
        (b"not now: one\n", ""),
        (b"now: \xff", "\ufffd"),
    ],
)
def test_what_a_program_does_now(said: bytes | None, doing: str) -> None:
    made: Any = Telling.__new__(Telling)
    made.stderr = None if said is None else SimpleNamespace(data=said)
    assert made.doing == doing and telling.NOW == "now: "


@pytest.mark.parametrize(
    ("told", "stop"),
    [(None, 22.0), ({}, 22.0), ({"term": 1.0}, 14.0), ({"kill": 20.0}, 32.0), ({"stop": 3.0}, 3.0)],
)
def test_a_guard_waits_longer_than_its_end(told: Any, stop: float) -> None:
    """An end may have to kill a stage, and then what that has left."""
    made = Patience(told)
    assert made.stop == stop
    assert made.__dict__.items() >= (told or {}).items()
