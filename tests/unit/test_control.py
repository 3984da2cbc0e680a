# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control connection of a run that outlives its controller: its messages, in clear and encrypted, and its relay."""

from __future__ import annotations

import _socket
import errno
import signal
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import control as control_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import kernel, relay, tls
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.control import (
    CHUNK,
    DEAD_PEER,
    SIZE,
    Control,
    Sealed,
    make_control,
)


def prove(label: bytes) -> bytes:
    return label * 32


@pytest.fixture
def both() -> Iterator[tuple[Any, Any]]:
    """(a connection, its other side)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far = server.accept()[0]
    own = _socket.socket(fileno=near.detach())
    own.setblocking(False)
    far.settimeout(10)
    yield SimpleNamespace(sock=own, prove=prove, cipher=None), far
    own.close()
    far.close()


def spec_of(**more: Any) -> Any:
    return {"dead_peer": 0, "side": "W", "encryption": None, "end": "b", **more}


# -- in clear


@pytest.mark.parametrize(("dead_peer", "seconds"), [(0, 20), (60, 10)])
def test_a_control_connection(both: tuple[Any, Any], dead_peer: int, seconds: int) -> None:
    """It is kept alive as links are, and has a limit where they have none."""
    connection, _far = both
    made = Control(connection, spec_of(dead_peer=dead_peer))
    assert (made.out, made.received, made.proof(b"x")) == (connection.sock.fileno(), b"", b"x" * 32)
    assert made.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == seconds
    assert (SIZE, DEAD_PEER, CHUNK) == (32, 120, 65536)
    connection.prove = None
    assert Control(connection, spec_of()).proof(b"x") == b""


def test_a_message_arrives_in_pieces(both: tuple[Any, Any]) -> None:
    connection, far = both
    made = Control(connection, spec_of())
    made.say(b"x")
    assert far.recv(100) == b"x" * 32
    assert made.hear(b"y") is False
    for piece in (b"y", b"y" * 30):
        far.sendall(piece)
        assert made.hear(b"y") is False
    assert len(made.received) == 31
    far.sendall(b"y")
    assert made.hear(b"y") is True


@pytest.mark.parametrize(
    ("sent", "number"), [(b"", errno.EPIPE), (b"y" * 33, errno.EPIPE), (b"y" * 31 + b"x", errno.EBADMSG)]
)
def test_another_message_is_an_error(both: tuple[Any, Any], sent: bytes, number: int) -> None:
    connection, far = both
    made = Control(connection, spec_of())
    far.sendall(sent)
    if not sent:
        far.shutdown(socket.SHUT_WR)
    with pytest.raises(OSError) as caught:
        made.hear(b"y")
    assert caught.value.errno == number


def test_a_broken_connection_is_noticed_later(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made = Control(both[0], spec_of())

    def send(data: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(made, "send", send)
    made.say(b"x")


def test_what_is_on_its_way_arrives_although_the_process_ends(both: tuple[Any, Any]) -> None:
    connection, _far = both
    made = Control(connection, spec_of())
    kernel.set_linger(made.sock, True)
    made.finish()
    assert made.sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == bytes(8)
    made.part()
    assert made.sock.gettimeout() is None


# -- encrypted


class Session:
    """In place of a TLS session: each byte of it is one of the other, but for "-" and what is wrong."""

    def __init__(self, sock: Any, server: bool, encryption: Any, patience: float) -> None:
        self.asked = (sock, server, encryption, patience)
        self.log: list[Any] = []
        self.session = SimpleNamespace(write=self.log.append)

    def flush(self) -> None:
        self.log.append("flush")

    def take(self, arrived: bytes) -> bytes:
        if b"!" in arrived:
            raise tls.Failed("changed on the way", "record", "bad mac")
        return arrived.replace(b"-", b"")


@pytest.fixture
def sealed(both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    monkeypatch.setattr(tls, "Tls", Session)
    return Sealed(both[0], spec_of(), cast(Any, "keys"), 7.0), both[1]


def test_an_encrypted_control_connection(sealed: tuple[Any, Any], both: tuple[Any, Any]) -> None:
    made, far = sealed
    assert made.tls.asked == (made.sock, True, "keys", 7.0) and made.out == made.sock.fileno()
    assert Sealed(both[0], spec_of(side="R"), cast(Any, "keys"), 7.0).tls.asked[1] is False
    made.say(b"x")
    assert made.tls.log == [b"x" * 32, "flush"]
    far.sendall(b"-")
    assert made.hear(b"y") is False  # a record of the handshake
    far.sendall(b"-" + b"y" * 32)
    assert made.hear(b"y") is True
    far.sendall(b"!")
    with pytest.raises(OSError, match=r"changed on the way \(bad mac\)") as caught:
        made.receive()
    assert caught.value.errno == errno.EBADMSG
    far.shutdown(socket.SHUT_WR)
    assert made.receive() == b""


@pytest.mark.parametrize("child", [True, False])
def test_an_end_that_leaves_its_login_has_a_relay(
    sealed: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, child: bool
) -> None:
    """The relay is the parent."""
    made, _far = sealed
    relays: list[Any] = []
    monkeypatch.setattr(control_module, "fork", lambda: 0 if child else 5)
    monkeypatch.setattr(made, "be_relay", relays.append)
    made.finish()  # without a relay there is nothing to end
    made.part()
    assert made.sock.gettimeout() is None and made.out == made.plain.sock.fileno()
    assert len(relays) == (0 if child else 1)
    committed: list[bool] = []
    monkeypatch.setattr(made.plain, "commit", lambda: committed.append(True))
    made.finish()
    assert committed
    made.plain.sock.close()


class Exit(BaseException):
    """The process would exit here."""


@pytest.mark.parametrize("fails", [False, True])
def test_what_the_relay_does(sealed: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """Nothing else of the end stays open in it, and only those who write to it end it."""
    made, _far = sealed
    log: list[Any] = []
    plain: Any = SimpleNamespace(sock=SimpleNamespace(fileno=lambda: 11))
    own = made.sock.fileno()

    def close(fd: int) -> None:
        log.append(("close", fd))
        if fd == 12:
            raise OSError

    def seal(*args: Any) -> None:
        log.append(("seal", args[0], args[1], *args[3:]))
        args[2](5, 1)
        if fails:
            raise OSError("broken")

    def exit_(status: int) -> None:
        log.append(("exit", status))
        raise Exit

    names = ["0", "1", "2", "3", "11", "12", str(own)]
    calls = {"open": lambda path, flags: 99, "dup2": lambda old, new: log.append(("dup2", old, new)), "close": close}
    calls |= {"listdir": lambda path: names, "_exit": exit_}
    monkeypatch.setattr(control_module, "os", SimpleNamespace(**calls, devnull="", O_RDWR=0))
    signals: dict[str, Any] = {"SIG_IGN": signal.SIG_IGN, "SIGPIPE": signal.SIGPIPE}
    signals |= {"set_wakeup_fd": lambda fd: log.append(("wakeup", fd)), "signal": lambda *args: log.append(args)}
    monkeypatch.setattr(control_module, "signal", SimpleNamespace(**signals))
    monkeypatch.setattr(control_module, "c_prctl", lambda *args: log.append(("prctl", *args)))
    monkeypatch.setattr(control_module, "hide_memory", lambda: log.append("hidden"))
    monkeypatch.setattr(control_module, "set_linger", lambda sock, on: log.append(("linger", sock, on)))
    monkeypatch.setattr(relay, "seal", seal)
    with pytest.raises(Exit):
        made.be_relay(plain)
    ignored = [(number, signal.SIG_IGN) for number in (*control_module.SIGNALS, signal.SIGPIPE)]
    wanted: list[Any] = [("wakeup", -1), *ignored, *(("dup2", 99, fd) for fd in range(3)), ("close", 3), ("close", 12)]
    wanted += [("prctl", relay.PR_SET_NAME, b"socketpipe-seal\0", 0, 0, 0), "hidden"]
    wanted += [("seal", made.tls, plain.sock, relay.STEP, relay.BUDGET)]
    assert log == wanted + ([] if fails else [("linger", made.sock, False)]) + [("exit", 0)]


# -- which of them


@pytest.mark.parametrize(
    ("kernel_tls", "links", "own", "cipher", "kind"),
    [
        ("", [None, None], None, None, Control),
        ("", [None, "keys"], "keys", None, Sealed),
        ("try", [None], "keys", None, Sealed),
        ("try", [None], "keys", "aes", Control),  # the kernel encrypts it
        ("must", ["keys"], "keys", "aes", Control),
        ("must", ["keys"], "keys", None, None),
        ("", ["keys"], None, None, None),
        ("try", [None], None, None, None),
    ],
)
def test_it_is_encrypted_if_links_are(
    both: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    kernel_tls: str,
    links: list[Any],
    own: Any,
    cipher: Any,
    kind: Any,
) -> None:
    monkeypatch.setattr(tls, "Tls", Session)
    both[0].cipher = cipher
    plan: Any = {"kernel_tls": kernel_tls, "links": [{"encryption": each} for each in links]}
    made, refused = make_control(plan, spec_of(encryption=own), both[0], 7.0)
    assert (None if made is None else type(made)) is kind
    assert refused == (None if made else {"kind": "no common cipher"})


LOST = {"kind": "not detached", "end": "b"}


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (OSError(), True),
        (tls.Failed(tls.CUT, tls.HANDSHAKE), True),
        (tls.Failed(tls.CHANGED, tls.HANDSHAKE), False),
        (tls.Failed(tls.CUT, "record"), False),
    ],
)
def test_its_tls_handshake_fails(
    both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, error: Any, lost: bool
) -> None:
    """An end that has ended is no fault of encryption."""

    def handshake(*args: Any) -> Any:
        raise error

    monkeypatch.setattr(tls, "Tls", handshake)
    plan: Any = {"kernel_tls": "", "links": [{"encryption": "keys"}]}
    made, refused = make_control(plan, spec_of(encryption="keys"), both[0], 7.0)
    assert made is None
    assert refused == (LOST if lost else {"kind": "control not encrypted", "end": "b", "problem": error.problem})
