# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The listeners, diallers and handshakes of an end, function by function: connections that are told what they are."""

from __future__ import annotations

import errno
import select
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import exchange
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.dialler import Attempt
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.exchange import BIND, HALF_OPEN, Exchange
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.handshake import READER, WRITER, Key, Stranger

RUN = "ab" * 16
NOW = 100.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "time", SimpleNamespace(monotonic=lambda: NOW))
    monkeypatch.setattr(exchange, "ssh_client", lambda: "192.0.2.7")
    monkeypatch.setattr(
        exchange, "numbers", lambda address: [address] if address[0].isdigit() else ["192.0.2.1", "::1"]
    )


def plan_of(**more: Any) -> Any:
    """Link "out" is written to b, "in" is read from it; "local" is within this end."""
    links: list[dict[str, Any]] = [
        {"id": "out", "side": "W"},
        {"id": "in", "side": "R"},
        {"id": "local", "side": "local"},
    ]
    links = [{**link, "index": number, "secret": "%02x" % number * 32, "end": "b"} for number, link in enumerate(links)]
    target = {"addresses": ["192.0.2.9"], "ports": [1001, 1002], "ssh_client": False}
    told = {"run": RUN, "links": links, "dial": {"b": target}, "listen": True, "ports": [2001, 2002, 2003]}
    return {**told, "patience": {"handshake": 5.0, "fill": 3.0, "stuck": 0.5, "dial": 7.0}, **more}


def exchange_of(**more: Any) -> Any:
    return Exchange(plan_of(**more))


def socket_of(fd: int) -> Any:
    closed: list[bool] = []
    return SimpleNamespace(fileno=lambda: fd, close=lambda: closed.append(True), closed=closed)


def connection(fd: int = 50, **more: Any) -> Any:
    plain: dict[str, Any] = {"known": False, "done": False, "attempt": None, "link": "", "born": NOW, "stuck": 0.0}
    made = SimpleNamespace(**{**plain, **more}, sock=socket_of(fd), log=[])
    made.is_stuck = lambda patience: made.stuck > patience
    made.advance = lambda: made.log.append("advance")
    made.wanted = lambda: 4
    return made


def attempt(**more: Any) -> Any:
    made: Any = Attempt("b", "out", "192.0.2.9", 1001)
    for name, value in more.items():
        setattr(made, name, value)
    return made


# -- making it


def test_links_of_other_ends_have_keys_and_diallers() -> None:
    made = exchange_of()
    assert list(made.links) == list(made.keys) == list(made.diallers) == ["out", "in"]
    assert made.by_index == {0: "out", 1: "in"} and (made.can, Exchange(plan_of(), 3).can) == (0, 3)
    assert (made.strangers, made.large, made.bind_at, made.connections) == (0, 0, 0.0, [])
    assert made.all_diallers() == [*made.diallers["out"], *made.diallers["in"]] != []
    assert made.wants("out") is True and HALF_OPEN == 200


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        (None, []),
        ({"ports": []}, []),
        ({}, ["192.0.2.9"]),
        ({"ssh_client": True}, ["192.0.2.7", "192.0.2.9"]),
        ({"ssh_client": True, "addresses": ["name", "192.0.2.7"]}, ["192.0.2.7", "192.0.2.1", "::1"]),
    ],
)
@pytest.mark.parametrize("client", ["192.0.2.7", ""])
def test_which_addresses_are_dialled(
    monkeypatch: pytest.MonkeyPatch, target: dict[str, Any] | None, hosts: list[str], client: str
) -> None:
    """Each once, in the order of the plan; first that of the login, if it has one."""
    monkeypatch.setattr(exchange, "ssh_client", lambda: client)
    plan = plan_of()
    plan["dial"] = {} if target is None else {"b": {**plan["dial"]["b"], **target}}
    diallers = Exchange(plan).diallers["in"]
    if target and target.get("ssh_client") and not client:
        hosts = [*hosts[1:], hosts[0]] if "addresses" in target else hosts[1:]
    assert [each.attempts[0].host for each in diallers] == hosts
    assert [each.rank for each in diallers] == list(range(len(hosts)))
    for each in diallers:
        assert ([tried.port for tried in each.attempts], each.dial_time, each.link) == ([1001, 1002], 7.0, "in")
        assert each.attempts[0].end == "b"


# -- listening


def test_it_listens_on_the_first_free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {2001: OSError(98, "in use"), 2002: OSError("odd")}
    asked: list[int] = []

    def listen_on(port: int) -> Any:
        asked.append(port)
        if port in taken:
            raise taken[port]
        return "listener %d" % port

    monkeypatch.setattr(exchange, "listen_on", listen_on)
    made = exchange_of(ports=[2001, 2002])
    made.bind(NOW)
    assert made.listeners == {} and made.taken == {2001: "in use", 2002: "odd"} and asked == [2001, 2002]
    made.bind(NOW + BIND - 0.01)
    assert asked == [2001, 2002]
    made.bind(NOW + BIND)
    assert asked == [2001, 2002] * 2
    taken.clear()
    made.bind(NOW + 2 * BIND)
    made.bind(NOW + 3 * BIND)
    assert made.listeners == {2001: "listener 2001"} and asked == [2001, 2002] * 2 + [2001]
    more = exchange_of()
    more.bind(NOW, most=2)
    assert list(more.listeners) == [2001, 2002]
    silent = exchange_of(listen=False)
    silent.bind(NOW)
    assert not silent.listeners


def accepting(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> Any:
    made, left = exchange_of(), list(answers)

    def accept(listener: Any) -> Any:
        answer = left.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    made.log = []
    monkeypatch.setattr(exchange, "accept", accept)
    monkeypatch.setattr(
        exchange, "listen", lambda find_key, port, can: ("listen", find_key == made.find_key, port, can)
    )
    monkeypatch.setattr(made, "_make_room", made.log.append)
    monkeypatch.setattr(made, "_begin", lambda *args: made.log.append(args))
    return made


def test_callers_are_accepted_as_long_as_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    callers = [SimpleNamespace(blocking=[]) for _number in range(2)]
    for each in callers:
        each.setblocking = each.blocking.append
    made = accepting(monkeypatch, *callers, BlockingIOError())
    made._accept("listener", 2001)
    talk = ("listen", True, 2001, 0)
    assert made.log == [200, (callers[0], talk, None), 200, (callers[1], talk, None)]
    assert [each.blocking for each in callers] == [[False], [False]]


def test_a_process_without_descriptors_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    made = accepting(monkeypatch, OSError(errno.EMFILE, "too many"))
    made._accept("listener", 2001)
    assert made.log == [0]


@pytest.mark.parametrize(("most", "dropped"), [(0, True), (1, True), (2, False), (3, False)])
def test_the_oldest_caller_makes_room(monkeypatch: pytest.MonkeyPatch, most: int, dropped: bool) -> None:
    """Not who has proved itself, nor whom we have called."""
    made, log = exchange_of(), list[Any]()
    monkeypatch.setattr(made, "drop", lambda *args: log.append(args))
    old, new = connection(), connection()
    made.connections = [connection(known=True), connection(attempt="ours"), old, new]
    made._make_room(most)
    assert log == ([(old, "too many")] if dropped else [])


# -- events


def test_what_is_waited_for() -> None:
    made = exchange_of()
    made.listeners = {2001: socket_of(40)}
    made.connections = [connection(50)]
    first, second = made.diallers["out"][0].attempts
    first.sock = socket_of(60)
    assert made.fds() == {40: select.POLLIN, 50: 4, 60: select.POLLOUT} and second.sock is None


def served(monkeypatch: pytest.MonkeyPatch, found: dict[int, int], *connections: Any) -> tuple[Any, list[Any]]:
    made, log = exchange_of(), list[Any]()
    made.listeners = {2001: socket_of(40), 2002: socket_of(41)}
    made.diallers["out"][0].attempts[0].sock = socket_of(60)
    made.diallers["in"][0].attempts[1].sock = socket_of(61)
    made.connections = list(connections)
    for name in ("_accept", "_connected", "drop"):
        monkeypatch.setattr(made, name, lambda *args, name=name, **more: log.append((name, *args, *more.items())))
    made.serve(found, NOW)
    return made, log


def test_events_reach_those_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = connection(50), connection(51)
    made, log = served(monkeypatch, {41: 1, 61: 4, 51: 1}, one, other)
    assert log == [("_accept", made.listeners[2002], 2002), ("_connected", "in", made.diallers["in"][0].attempts[1])]
    assert (one.log, other.log) == ([], ["advance"])


@pytest.mark.parametrize(
    ("fd", "known", "age", "dropped"),
    [
        (50, False, 5.0, False),
        (50, False, 5.1, True),
        (0, False, 5.1, True),
        (50, True, 5.1, False),
        (-1, False, 5.1, False),
    ],
)
def test_a_silent_caller_is_dropped(
    monkeypatch: pytest.MonkeyPatch, fd: int, known: bool, age: float, dropped: bool
) -> None:
    silent = connection(fd, known=known, born=NOW - age)
    _made, log = served(monkeypatch, {}, silent)
    assert log == ([("drop", silent, "silent", "5")] if dropped else [])


@pytest.mark.parametrize("stuck", [3.0, 3.1])
def test_a_connection_on_which_large_packets_get_lost(monkeypatch: pytest.MonkeyPatch, stuck: float) -> None:
    lossy = connection(known=True, stuck=stuck)
    _made, log = served(monkeypatch, {}, lossy)
    assert log == ([("drop", lossy, "large packets", ("small", True))] if stuck > 3 else [])


def test_an_attempt_that_has_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    made, log = exchange_of(), list[Any]()
    monkeypatch.setattr(exchange, "dial", lambda key, side, port, can: (key, side, port, can))
    monkeypatch.setattr(made, "_begin", lambda *args: log.append(args))
    good = attempt(finish=lambda: "socket")
    made._connected("in", good)
    assert log == [("socket", (made.keys["in"], READER, 1001, 0), good, "in")]

    def fails() -> Any:
        raise OSError(errno.ECONNREFUSED, "refused")

    bad = attempt(finish=fails)
    made._connected("out", bad)
    assert len(log) == 1 and bad.outcome == "refused"


@pytest.mark.parametrize("ours", [True, False])
def test_a_handshake_begins(monkeypatch: pytest.MonkeyPatch, ours: bool) -> None:
    made, log = exchange_of(), list[Any]()
    monkeypatch.setattr(exchange, "Connection", lambda *args: SimpleNamespace(args=args, start="its start"))
    monkeypatch.setattr(made, "_talk", lambda connection, step: log.append((connection, step)))
    tried = attempt() if ours else None
    made._begin("socket", "talk", tried, "out")
    (begun,) = made.connections
    assert begun.args == ("socket", "talk", tried, "out") and log == [(begun, "its start")]
    assert tried is None or tried.talk is begun


@pytest.mark.parametrize(
    ("error", "dropped"),
    [
        (None, None),
        (Stranger("wrong proof", "listener"), ("wrong proof", "listener")),
        (OSError(errno.ECONNRESET, "reset"), ("reset", "")),
    ],
)
def test_a_handshake_that_fails(monkeypatch: pytest.MonkeyPatch, error: Exception | None, dropped: Any) -> None:
    made, log, steps = exchange_of(), list[Any](), list[Any]()
    monkeypatch.setattr(made, "drop", lambda *args: log.append(args))

    def step() -> None:
        steps.append(True)
        if error:
            raise error

    made._talk("connection", step)
    assert steps and log == ([("connection", *dropped)] if dropped else [])


@pytest.mark.parametrize(
    ("run", "index", "side", "answer"),
    [
        (RUN, 0, READER, (WRITER, "out")),
        (RUN, 1, WRITER, (READER, "in")),
        ("00" * 16, 0, READER, "other run"),
        (RUN, 7, READER, "other link"),
        (RUN, 2, READER, "other link"),  # within this end
        (RUN, 0, b"?", "other link"),
        (RUN, 0, WRITER, "same side"),
        (RUN, 1, READER, "same side"),
    ],
)
def test_the_key_for_a_caller(run: str, index: int, side: bytes, answer: Any) -> None:
    made = exchange_of()
    if isinstance(answer, str):
        with pytest.raises(Stranger) as caught:
            made.find_key(bytes.fromhex(run), index, side)
        assert caught.value.kind == answer
        return
    key, own, name = made.find_key(bytes.fromhex(run), index, side)
    assert isinstance(key, Key) and (key, own, name) == (made.keys[answer[1]], *answer)
    made.wants = lambda link: link != name
    with pytest.raises(Stranger, match="made"):
        made.find_key(bytes.fromhex(run), index, side)


# -- the end of a connection

SILENT: tuple[Any, ...] = ("silent", "5")
LARGE: tuple[Any, ...] = ("large packets", "")


def drop(made: Any, dropped: Any, why: str = "silent", detail: str = "5", **more: Any) -> Any:
    other = connection()
    made.connections = [other, dropped]
    made.drop(dropped, why, detail, **more)
    assert made.connections == [other] and dropped.sock.closed and not other.sock.closed
    return made


@pytest.mark.parametrize(
    ("more", "small", "found"),
    [
        ({"known": True, "link": "in", "born": NOW - 2.1}, True, LARGE),  # the writer gives up first, after 3 s
        ({"known": True, "link": "in", "born": NOW - 2.0}, False, SILENT),
        ({"known": True, "link": "out", "born": NOW - 2.1}, False, SILENT),
        ({"known": False, "link": "in", "born": NOW - 2.1}, False, SILENT),
        ({"known": True, "link": "in", "born": NOW - 2.1, "done": True}, False, SILENT),
        ({"known": True, "link": "out", "stuck": 0.5}, False, SILENT),
        ({"known": True, "link": "out", "stuck": 0.6}, True, LARGE),
    ],
)
def test_why_a_connection_of_ours_ended(more: Any, small: bool, found: tuple[str, str]) -> None:
    """Its dialler goes on accordingly, and no other."""
    made, log = exchange_of(), list[Any]()
    dialler, elsewhere = made.diallers[more["link"]][0], made.diallers["in" if more["link"] == "out" else "out"][0]
    beside: Any = SimpleNamespace(attempts=[])
    made.diallers[more["link"]].append(beside)
    for each in (dialler, elsewhere, beside):
        each.ended = lambda *args, each=each: log.append((each, *args))
    tried = dialler.attempts[0]
    drop(made, connection(attempt=tried, **more))
    assert (tried.outcome, tried.detail, tried.met) == (*found, True)
    assert log == [(dialler, tried, small)] and (made.large, made.strangers) == (int(small), 0)


def test_a_caller_on_whose_connection_large_packets_get_lost() -> None:
    made = drop(exchange_of(), connection(known=True, link="in", born=NOW - 9.0), small=True)
    assert (made.large, made.strangers) == (1, 0)
    made = drop(exchange_of(), connection(known=True, link="in", born=NOW - 9.0))
    assert made.large == 0  # it may have been too late


@pytest.mark.parametrize(
    ("known", "link", "why", "stranger"),
    [
        (False, "", "silent", True),
        (False, "", "wrong proof", True),
        (False, "", "wordless", False),
        (False, "", "other run", False),
        (False, "out", "cut off", False),  # an end of this run that had no need of it any more
        (False, "out", "wrong proof", True),
        (False, "out", "wrong filling", True),
        (False, "out", "same side", False),
        (True, "out", "wrong proof", False),
    ],
)
def test_who_is_a_stranger(known: bool, link: str, why: str, stranger: bool) -> None:
    assert drop(exchange_of(), connection(known=known, link=link), why).strangers == int(stranger)


def test_everything_is_closed() -> None:
    made, dropped = exchange_of(), list[Any]()
    made.listeners = {2001: socket_of(40)}
    made.connections = kept = [connection()]
    for each in made.all_diallers():
        each.drop = lambda: dropped.append(True)
    made.close()
    assert made.listeners[2001].closed and kept[0].sock.closed and made.connections == [] and len(dropped) == 2


# -- the report


def test_an_address_that_two_links_have_dialled_is_reported_once() -> None:
    """If one of them was made, as connected."""
    made = exchange_of()
    out, in_ = (made.diallers[name][0].attempts for name in ("out", "in"))
    out[0].end_as("connected", met=True)
    in_[0].end_as("refused", "x")
    out[1].end_as("timed out")
    in_[1].end_as("no route")
    made.listeners, made.taken = {2003: None, 2001: None}, {2: "two", 1: "one"}
    made.strangers, made.large = 3, 4
    plain = {"end": "b", "address": "192.0.2.9"}
    assert made.report() == {
        "listening": [2001, 2003],
        "taken": [{"port": 1, "error": "one"}, {"port": 2, "error": "two"}],
        "dialled": [
            {**plain, "port": 1001, "met": True, "outcome": "connected", "detail": ""},
            {**plain, "port": 1002, "met": False, "outcome": "no route", "detail": ""},
        ],
        "dials": True,
        "strangers": 3,
        "large": 4,
    }
    fresh = exchange_of(dial={})
    assert fresh.report()["dialled"] == [] and fresh.report()["dials"] is False
    assert exchange_of().report()["dialled"] == []
