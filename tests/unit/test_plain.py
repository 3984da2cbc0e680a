# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The original's protocol without processes: who is started with what, and what becomes of each end of each command."""

from __future__ import annotations

import os
import signal
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import plain
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.plain import FIN, Processes
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted

GONE = OSError(107, "it is gone")


class World:
    """What plain calls; ``did`` is what was done. ``exits``: what waitpid(2) finds, one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.did: list[Any] = []
        self.exits: list[tuple[int, int]] = []
        self.flags: list[int] = []
        self.now, self.calls = 100.0, False
        self.closed, self.unread, self.broken = False, 0, False
        fake = SimpleNamespace(
            waitpid=self.waitpid, getpid=lambda: 50, **{n: getattr(os, n) for n in ("WNOHANG", "O_RDWR", "devnull")}
        )
        fake.open = lambda path, flags: self.note("open", path, flags, back=31)
        fake.close = lambda fd: self.note("close", fd)
        alarms = SimpleNamespace(
            **{name: getattr(signal, name) for name in dir(signal) if name.startswith("SIG")},
            signal=lambda number, handler: self.note("signal", number, handler),
            alarm=lambda seconds: self.note("alarm", seconds),
        )
        changes: dict[str, Any] = {
            "os": fake,
            "signal": alarms,
            "time": SimpleNamespace(monotonic=self.monotonic, sleep=lambda seconds: self.note("sleep", seconds)),
            "select": SimpleNamespace(select=self.select),
            "catch": lambda handler: self.note("catch", handler.__name__),
            "kill": lambda pids, number: self.note("kill", sorted(pids), number),
            "descendants": lambda pid: {pid + 1: "a", pid + 2: "b"},
            "say": lambda text, status=0: self.note("say", text),
            "die": lambda number: 1000 + number,
            "spawn": self.spawn,
            "keep": lambda fd: fd + 10,
            "own_description": lambda fd: fd + 20,
            "disconnect": lambda _sock: self.note("reset"),
            "set_linger": lambda _sock, on: self.note("linger", on),
            "unread": lambda _sock: self.unread,
            "events": lambda wanted: wanted if self.closed else {},
            "accept": lambda listener: self.note("accept", listener, back=self.sock),
        }
        for name, value in changes.items():
            monkeypatch.setattr(plain, name, value)
        self.sock: Any = SimpleNamespace(
            fileno=lambda: 7,
            shutdown=self.shutdown,
            setsockopt=lambda *words: self.note("option", *words),
            setblocking=lambda on: self.note("blocking", on),
        )
        self.listener: Any = SimpleNamespace(close=lambda: self.note("close listener"))
        self.starts: list[int | Exception] = []

    def note(self, *what: object, back: Any = None) -> Any:
        self.did.append(what[0] if len(what) == 1 else what)
        return back

    def waitpid(self, pid: int, flags: int) -> tuple[int, int]:
        assert pid == -1
        self.flags.append(flags)
        return self.exits.pop(0)

    def monotonic(self) -> float:
        return self.now

    def select(self, readers: list[Any], *more: Any) -> tuple[list[Any], list[Any], list[Any]]:
        assert (readers, more) == ([self.listener], ([], [], 0.1))
        self.now += 1
        return (readers if self.calls else []), [], []

    def spawn(self, argv: list[str], _environment: Any, chdir: Any, fds: Any, session: bool, orphaned: int) -> int:
        assert (chdir, orphaned) == (None, signal.SIGTERM)
        self.note("spawn", argv, fds, session)
        found = self.starts.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def shutdown(self, how: int) -> None:
        self.note("shutdown", how)
        if self.broken:
            raise GONE


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


# -- the processes


def test_the_first_signal_counts_and_each_ends_all(world: World) -> None:
    processes = Processes({})
    assert world.did == [("catch", "signalled")]
    world.did = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        processes.signalled(number, None)
    ends = [("kill", [51, 52], signal.SIGTERM), ("signal", signal.SIGALRM, processes.end), ("alarm", 5)]
    assert world.did == ends * 2 and processes.signal == signal.SIGTERM
    world.did = []
    processes.end(signal.SIGALRM, None)
    assert world.did == [("kill", [51, 52], signal.SIGKILL), *ends[1:]]


@pytest.mark.parametrize(("number", "text", "status"), [(0, "why", 2), (15, "interrupted", 1015)])
def test_who_gives_up_waits_for_all(world: World, number: int, text: str, status: int) -> None:
    processes = Processes({})
    processes.alive, processes.signal = {5: "remote", 6: "input"}, number
    world.exits, world.did = [(6, 0), (99, 0), (5, 0)], []
    assert processes.give_up("why") == status
    assert world.did[0] == ("kill", [51, 52], signal.SIGTERM) and world.did[-1] == ("say", text)
    assert world.exits == [] and world.flags == [0, 0, 0]


@pytest.mark.parametrize(
    ("pid", "status", "name", "kept"),
    [
        (5, 0, "input", {"input": 0}),
        (5, 256, "input", {"input": 0}),
        (5, 512, "input", {"input": 2}),
        (5, 9, "input", {"input": 137}),
        (6, 256, "remote", {"remote": 1}),
        (7, 256, "", {}),
        (0, 0, "", {}),
    ],
)
def test_the_status_of_each(world: World, pid: int, status: int, name: str, kept: dict[str, int]) -> None:
    processes = Processes({"input": [0, 1]})
    processes.alive = {5: "input", 6: "remote"}
    world.exits = [(pid, status)]
    assert processes.reap(os.WNOHANG) == name and world.flags == [os.WNOHANG]
    assert processes.status == kept and pid not in processes.alive
    assert len(processes.alive) == 2 - bool(name)


# -- the connection


@pytest.mark.parametrize(
    ("given", "tried"), [([4, 5, 6, 7], [4, 5, 6]), ([4, 5], None), ([], [20000, 20001, 20002])], ids=str
)
def test_the_first_free_port_is_listened_on(
    monkeypatch: pytest.MonkeyPatch, given: list[int], tried: list[int] | None
) -> None:
    asked: list[int] = []

    def listen(port: int) -> Any:
        asked.append(port)
        if len(asked) < 3:
            raise OSError(98, "taken")
        return "listener"

    monkeypatch.setattr(plain, "listen_on", listen)
    monkeypatch.setattr(plain, "DEFAULT_PORTS", [20000, 20001, 20002, 20003])
    if tried is None:
        with pytest.raises(OSError, match="^all ports are taken$"):
            plain.open_listener(given)
    else:
        assert plain.open_listener(given) == ("listener", tried[-1]) and asked == tried


def test_the_first_who_calls_is_taken(world: World) -> None:
    world.calls = True
    processes = Processes({})
    world.did = []
    assert plain.wait_for_call(world.listener, processes, 5) is world.sock
    options = ("option", socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert world.did == [("accept", world.listener), "close listener", options, ("blocking", True)]


@pytest.mark.parametrize(
    ("timeout", "number", "exits", "text", "looks"),
    [
        (3, 0, [], "within 3 s (-t/--timeout): try -h, or --ports", 4),
        (0, 0, [(0, 0)] * 50 + [(5, 768)], "the login command ended with exit status 3", 51),
        (9, 0, [(0, 0), (6, 0)], "the login command ended with exit status 128", 2),
        (9, 15, [], "the login command ended with exit status 143", 1),
    ],
)
def test_nobody_calls(
    world: World, timeout: int, number: int, exits: list[tuple[int, int]], text: str, looks: int
) -> None:
    processes = Processes({})
    processes.alive, processes.signal = {5: "remote", 6: "input"}, number
    world.exits = exits or [(0, 0)] * 10
    with pytest.raises(OSError) as caught:
        plain.wait_for_call(world.listener, processes, timeout)
    assert str(caught.value).startswith("the far side did not connect") and str(caught.value).endswith(text)
    assert world.now == 100.0 + looks
    assert set(world.flags) <= {os.WNOHANG}


@pytest.mark.parametrize(("closed", "unread", "end"), [(True, 0, True), (True, 1, False), (False, 0, False)])
def test_the_end_of_the_output_of_the_far_side(world: World, closed: bool, unread: int, end: bool) -> None:
    world.closed, world.unread = closed, unread
    assert plain.has_closed(world.sock) is closed
    assert plain.at_end(world.sock) is end


def test_a_close_is_an_event_of_its_own(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(plain, "events", asked.append)
    assert plain.has_closed(world.sock) is False and asked == [{7: FIN}]


# -- the end of each command

NAMES = {"remote": 5, "input": 6, "output": 7}
SHUT, LINGER, NAP = ("shutdown", socket.SHUT_WR), ("linger", False), ("sleep", 0.1)
ACCEPT = "; to accept this status, use --ok-rc input="


def said(name: str, status: int, more: str = "") -> tuple[str, str]:
    return "say", f"{name} ended with exit status {status}{more}"


@pytest.mark.parametrize(
    ("steps", "facts", "did", "status"),
    [
        # all is well
        ("input 0, output 0, remote 0", {"closed": True}, [SHUT, LINGER], 0),
        ("input 0, output 0, remote 0", {"closed": True, "broken": True}, [SHUT, LINGER], 0),
        ("remote 0, other 0, input 0", {}, [SHUT, LINGER], 0),
        # the input fails
        ("input 3, remote 0", {}, ["reset", LINGER, said("input", 3, ACCEPT + "0,3")], 2),
        ("input 127, remote 0", {}, ["reset", LINGER, said("input", 127, ACCEPT + "0,127")], 2),
        ("input 128, remote 0", {}, ["reset", LINGER, said("input", 128)], 2),
        ("input 3, remote 0", {"ok": [0, 1]}, ["reset", LINGER, said("input", 3, ACCEPT + "0,1,3")], 2),
        ("input 3, remote 4", {}, ["reset", LINGER, said("input", 3, ACCEPT + "0,3"), said("remote", 4)], 2),
        (
            "input 3, remote 0, output 5",
            {},
            ["reset", "reset", LINGER, said("input", 3, ACCEPT + "0,3"), said("output", 5)],
            2,
        ),
        ("remote 0, input 3", {"closed": True}, [LINGER], 0),  # because the remote command had ended
        ("remote 4, input 3", {"closed": True}, [LINGER, said("remote", 4)], 4),
        # the last one fails
        ("remote 4", {}, [LINGER, said("remote", 4)], 4),
        ("remote 0, output 5", {"closed": True}, [LINGER, said("output", 5)], 5),
        ("remote 4, output 0", {"closed": True}, [LINGER, said("remote", 4)], 2),
        # the output stops early
        ("output 0, remote 4", {}, ["reset", LINGER], 0),
        ("output 0, remote 4", {"closed": True, "unread": 1}, ["reset", LINGER], 0),
        ("output 5, remote 4", {}, ["reset", LINGER, said("output", 5)], 5),
        ("output 0, , , input 0, , remote 0", {}, [NAP, NAP, SHUT, NAP, LINGER], 0),
        ("output 0, , remote 4, input 0", {"unread": 32768}, [NAP, SHUT, LINGER, said("remote", 4)], 2),
        ("output 0, , remote 4, input 141", {"unread": 32769}, ["reset", "reset", LINGER], 0),
        # it was stopped
        ("remote 143, input 143", {"signal": 15}, ["reset", LINGER, ("say", "interrupted")], 1015),
    ],
)
def test_what_becomes_of_it(world: World, steps: str, facts: dict[str, Any], did: list[Any], status: int) -> None:
    """``steps``: who ends with what; nothing is a look while nobody ends."""
    words = [step.split() for step in steps.split(",")]
    names = [each[0] for each in words if each]
    world.exits = [(NAMES.get(each[0], 99), int(each[1]) << 8) if each else (0, 0) for each in words]
    processes = Processes({"input": facts.pop("ok")} if "ok" in facts else {})
    processes.alive = {pid: name for name, pid in NAMES.items() if name in names}
    processes.signal = facts.pop("signal", 0)
    world.__dict__.update(facts)
    world.did = []
    assert plain.conclude(processes, world.sock, "output" if "output" in names else "remote") == status
    assert world.did == did and world.exits == []
    deserted = "output 0, ," in steps
    assert world.flags[0] == 0 and (world.flags[1:2] == [os.WNOHANG]) is deserted


# -- all of it


def options(**given: Any) -> Any:
    plain_ones: dict[str, Any] = {"ok_rc": {}, "ports": [4], "host": None, "timeout": 9, "batch": True}
    return SimpleNamespace(
        **{**plain_ones, "login": ["ssh", "h"], "remote": ["cat", "x"], "input": None, "output": None, **given}
    )


@pytest.fixture
def driven(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Somebody calls, and how all ends is told by the number 77."""

    def wait(listener: Any, processes: Processes, timeout: int) -> Any:
        world.note("wait", listener, sorted(processes.alive.values()), timeout)
        if world.broken:
            raise GONE
        return world.sock

    monkeypatch.setattr(plain, "open_listener", lambda ports: (f"listener {ports}", 4))
    monkeypatch.setattr(
        plain,
        "find_command",
        lambda name, _environment, _chdir: {"kind": "not executable", "path": name} if name == "none" else None,
    )
    monkeypatch.setattr(plain, "wait_for_call", wait)
    monkeypatch.setattr(plain, "conclude", lambda processes, sock, last: world.note("conclude", sock, last, back=77))
    monkeypatch.setattr(Processes, "give_up", lambda _self, why: world.note("give up", why, back=66))
    world.starts = [5, 6, 7]
    return world


def far(host: str) -> list[Any]:
    argv = ["ssh", "h", "socketpipe", "-s", host, "4", "cat", "x"]
    opened = ("open", "/dev/null", os.O_RDWR)
    return [("catch", "signalled"), opened, ("spawn", argv, {0: 31, 1: 31, 2: 22}, True), ("close", 22)]


WAIT = ("wait", "listener [4]", ["remote"], 9)


@pytest.mark.parametrize("host", [None, "h2"])
@pytest.mark.parametrize(("inward", "outward"), [(["a"], ["b"]), (["a"], None), (None, ["b"])])
def test_each_command_gets_its_side_of_the_connection(driven: World, host: Any, inward: Any, outward: Any) -> None:
    assert plain.drive(options(host=host, input=inward, output=outward)) == 77
    first = ("spawn", inward, {0: 10, 1: 7, 2: 2}, True) if inward else SHUT
    second = [("spawn", outward, {0: 7, 1: 11, 2: 2}, True)] if outward else []
    last = ("conclude", driven.sock, "output" if outward else "remote")
    assert driven.did == [*far(host or "${SSH_CLIENT%% *}"), WAIT, first, *second, last]


@pytest.mark.parametrize(
    ("name", "option"), [("login", "-l/--login"), ("input", "-i/--input"), ("output", "-o/--output")]
)
def test_a_command_that_is_not_there_starts_nothing(driven: World, name: str, option: str) -> None:
    assert plain.drive(options(**{name: ["none"]})) == 66
    assert driven.did == [("catch", "signalled"), ("give up", f"{option}: 'none' is not executable")]


def test_nobody_has_called(driven: World) -> None:
    driven.broken = True
    assert plain.drive(options(input=["a"])) == 66
    assert driven.did == [*far("${SSH_CLIENT%% *}"), WAIT, ("give up", str(GONE))]


@pytest.mark.parametrize(
    ("error", "text"),
    [(NotStarted(13, "Permission denied", "run", "x"), "Permission denied"), (OSError(24, "no more"), "no more")],
)
@pytest.mark.parametrize("good", [0, 1, 2])
def test_a_command_that_cannot_be_started(driven: World, good: int, error: Exception, text: str) -> None:
    """The far side then sees its connection break."""
    driven.starts = [*driven.starts[:good], error]
    assert plain.drive(options(input=["a"], output=["b"])) == 66
    what, why = cast(Any, driven.did[-1])
    assert what == "give up" and text in why
    assert driven.did.count("reset") == bool(good)
