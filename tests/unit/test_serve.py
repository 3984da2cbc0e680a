# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The far side of an original, without one: its connection, and what its command gets."""

from __future__ import annotations

import signal
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import serve


class Connection:
    """``fails``: the addresses that nobody listens at."""

    fails: dict[str, OSError] = {}
    made: list[Any] = []

    def __init__(self, *kind: int) -> None:
        self.kind = kind

    def connect(self, address: tuple[str, int]) -> None:
        if address[0] in self.fails:
            raise self.fails[address[0]]
        self.made.append((self.kind, address))


REFUSED, UNREACHABLE = OSError(111, "Connection refused"), OSError(113, "No route to host")


@pytest.mark.parametrize(
    ("fails", "made", "error"),
    [
        ({}, "a", None),
        ({"a": REFUSED}, "b", None),
        ({"a": REFUSED, "b": UNREACHABLE}, "", UNREACHABLE),
    ],
)
def test_the_first_address_that_answers_is_taken(
    monkeypatch: pytest.MonkeyPatch, fails: Any, made: str, error: OSError | None
) -> None:
    known = [(2, 1, 6, "", ("a", 5)), (10, 1, 6, "", ("b", 5))]
    monkeypatch.setattr(Connection, "fails", fails)
    monkeypatch.setattr(Connection, "made", [])
    monkeypatch.setattr(serve, "addresses", lambda host, port: known if (host, port) == ("h", 5) else [])
    monkeypatch.setattr(serve, "socket", SimpleNamespace(socket=Connection))
    if error:
        with pytest.raises(OSError) as caught:
            serve.connected("h", 5)
        assert caught.value is error
    else:
        assert isinstance(serve.connected("h", 5), Connection)
        assert Connection.made == [(each[:3], each[4]) for each in known if each[4][0] == made]
    with pytest.raises(OSError, match="^it has no address$"):
        serve.connected("other", 5)


@pytest.mark.parametrize(("host", "asked"), [("h1", b"h1"), ("h\u00f6st", b"xn--hst-sna")])
def test_a_host_may_have_any_name(monkeypatch: pytest.MonkeyPatch, host: str, asked: bytes) -> None:
    monkeypatch.setattr(serve, "socket", SimpleNamespace(getaddrinfo=lambda *words: words, SOCK_STREAM=1))
    assert serve.addresses(host, 5) == (asked, 5, 0, 1)


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is done before the command runs; which cannot be run."""
    found: list[Any] = []

    def execute(*words: Any) -> None:
        found.append(words)
        raise OSError(2, "No such file or directory")

    def connected(host: str, port: int) -> Any:
        if host == "none":
            raise REFUSED
        if host == "bad":
            raise UnicodeError("label too long")
        return SimpleNamespace(fileno=lambda: 7, setsockopt=lambda *words: found.append(words))

    signals = {name: getattr(signal, name) for name in dir(signal) if name.startswith("SIG")}
    monkeypatch.setattr(serve, "signal", SimpleNamespace(**signals, signal=lambda *words: found.append(words)))
    monkeypatch.setattr(serve, "os", SimpleNamespace(dup2=lambda *words: found.append(words)))
    monkeypatch.setattr(serve, "hold_places", lambda: found.append("places"))
    monkeypatch.setattr(serve, "own_environment", lambda: "environment")
    monkeypatch.setattr(serve, "connected", connected)
    monkeypatch.setattr(serve, "execute", execute)
    return found


FIRST = ["places", (signal.SIGCHLD, signal.SIG_DFL)]
ALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
DEFAULTS = [(signal.SIGPIPE, signal.SIG_DFL), (signal.SIGXFSZ, signal.SIG_DFL)]


@pytest.mark.parametrize("port", ["1", "65535"])
def test_the_connection_is_the_commands_input_and_output(
    did: list[Any], capfd: pytest.CaptureFixture[str], port: str
) -> None:
    assert serve.serve(["h", port, "cat", "x"]) == 2
    assert did == [*FIRST, ALIVE, (7, 0), (7, 1), *DEFAULTS, (["cat", "x"], "environment")]
    assert capfd.readouterr().err == "socketpipe: -s: cannot run 'cat': No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 1, "needs a host, a port and a command"),
        (["h", "5"], 1, "needs a host, a port and a command"),
        (["h", "5", ""], 1, "needs a host, a port and a command"),
        *((["h", port, "cat"], 1, f"{port!r} is not a port number") for port in ("0", "65536", "x", "-1", "")),
        (["none", "5", "cat"], 2, "cannot connect to none port 5: Connection refused"),
        (["bad", "5", "cat"], 2, "cannot connect to bad port 5: label too long"),
    ],
)
def test_what_does_not_come_so_far(
    did: list[Any], capfd: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert serve.serve(words) == status
    assert capfd.readouterr().err == f"socketpipe: -s: {said}\n" and did == FIRST
