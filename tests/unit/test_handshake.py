# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The handshake, message by message, without a socket; and cut short, on one."""

from __future__ import annotations

import hmac
import os
import select
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.connect import Connection
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.handshake import (
    ANSWER,
    CONFIRM,
    DONE,
    ENDING,
    FILL_MOST,
    HELLO,
    KNOWN,
    MAC,
    MAGIC,
    NONCE,
    PARKED,
    READER,
    STRANGE,
    WRITER,
    Key,
    Stranger,
    dial,
    hmac_sha256,
    listen,
)
from hypothesis import given, settings
from hypothesis import strategies as st

PLAN, LINK, SECRET = bytes(range(16)), 5, bytes(range(100, 132))
FILLING = bytes(100)
BOTH = pytest.mark.parametrize("side", [WRITER, READER], ids=["writer dials", "reader dials"])
Mangle = Callable[[int, bytes], bytes]


def key(plan: bytes = PLAN, link: int = LINK, secret: bytes = SECRET) -> Key:
    return Key(plan, link, secret)


def other(side: bytes) -> bytes:
    return READER if side == WRITER else WRITER


def finder(own_side: bytes, own: Key) -> Callable[[bytes, int, bytes], tuple[Key, bytes, str]]:
    """As a Meeting does it: this plan, this link, and a caller of the other side."""

    def find_key(plan: bytes, link: int, side: bytes) -> tuple[Key, bytes, str]:
        if plan != own.plan or link != own.link or side != other(own_side):
            raise Stranger("other link")
        return own, own_side, "name"

    return find_key


class Talker:
    """One side's conversation: what it has sent, what it waits for."""

    def __init__(self, talk: Any) -> None:
        self.talk, self.sent, self.phase = talk, b"", STRANGE
        self.terms: list[tuple[Any, int]] = []  # with the size of the message
        self.names: list[str] = []
        self._take(next(talk))

    def _take(self, step: Any) -> None:
        self.sent += step.send
        self.want, self.phase = step.want, step.phase
        self.names.append(step.link)
        if step.terms:
            self.terms.append((step.terms, len(step.send)))

    @property
    def known(self) -> bool:
        return self.phase != STRANGE

    @property
    def done(self) -> bool:
        """Once its last message is out."""
        return self.phase in (ENDING, DONE)

    def hear(self, message: bytes) -> None:
        try:
            self._take(self.talk.send(message))
        except StopIteration:
            self.phase = DONE

    def take_sent(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent


class Talk:
    """Two sides that talk to each other until nothing moves any more."""

    def __init__(
        self,
        side: bytes,
        dialler_key: Key | None = None,
        listener_key: Key | None = None,
        mangle: Mangle | None = None,
        can: tuple[int, int] = (0, 0),
    ) -> None:
        """``can``: what the dialler and the listener can do."""
        self.dialler = Talker(dial(dialler_key or key(), side, can=can[0]))
        self.listener = Talker(listen(finder(other(side), listener_key or key()), can=can[1]))
        self.writer, self.reader = (self.dialler, self.listener)[:: 1 if side == WRITER else -1]
        self.mangle = mangle or (lambda number, message: message)
        self.messages: list[tuple[str, bytes]] = []

    def run(self) -> Talk:
        moved = True
        while moved:
            moved = False
            for name, source, target in (
                ("dialler", self.dialler, self.listener),
                ("listener", self.listener, self.dialler),
            ):
                if source.phase == PARKED and not source.sent:
                    source.hear(FILLING)  # chosen
                message = source.take_sent()
                if message:
                    self.messages.append((name, message))
                    message = self.mangle(len(self.messages) - 1, message)
                    while message:
                        part = message[: target.want]
                        message = message[len(part) :]
                        target.hear(part)
                    moved = True
        return self

    def of(self, name: str) -> list[bytes]:
        return [message for source, message in self.messages if source == name]


@BOTH
def test_both_become_sure(side: bytes) -> None:
    talk = Talk(side).run()
    assert talk.dialler.done and talk.listener.done
    # the last word is the reader's: data may follow it, and only from the writer
    assert talk.messages[-1][0] == ("dialler" if side == READER else "listener")


@BOTH
def test_messages_have_a_fixed_size(side: bytes) -> None:
    talk = Talk(side).run()
    sizes = [HELLO.size, ANSWER.size, MAC, CONFIRM.size + len(FILLING), MAC]
    assert [len(message) for _name, message in talk.messages] == sizes


# -- what both can do


@BOTH
@pytest.mark.parametrize(("dialler", "listener", "common"), [(3, 3, 3), (3, 2, 2), (1, 3, 1), (255, 129, 129)])
def test_both_agree_on_what_both_can(side: bytes, dialler: int, listener: int, common: int) -> None:
    """On the same keys, and say so once: the writer with its confirmation, the reader with its last word."""
    talk = Talk(side, can=(dialler, listener)).run()
    assert talk.dialler.done and talk.listener.done
    ((writers, confirmed),) = talk.writer.terms
    ((readers, taken),) = talk.reader.terms
    assert (confirmed, taken) == (CONFIRM.size + len(FILLING), MAC)
    assert writers.common == readers.common == common and (writers.writer, readers.writer) == (True, False)
    nonces = talk.messages[0][1][-NONCE:] + talk.messages[1][1][1 : 1 + NONCE]
    assert writers.agreed == readers.agreed == key().agree(side, nonces)


@BOTH
@pytest.mark.parametrize("can", [(0, 0), (3, 0), (0, 3), (1, 2)])
def test_without_anything_in_common_nothing_is_agreed(side: bytes, can: tuple[int, int]) -> None:
    talk = Talk(side, can=can).run()
    assert talk.dialler.done and talk.listener.done and not talk.dialler.terms and not talk.listener.terms


@BOTH
@pytest.mark.parametrize(("number", "at"), [(0, HELLO.size - NONCE - 1), (1, 0)], ids=["dialler's", "listener's"])
def test_nobody_in_between_can_change_what_they_can_do(side: bytes, number: int, at: int) -> None:
    """Else whoever is there could have them use less than they can, or nothing at all."""

    def less(count: int, message: bytes) -> bytes:
        return message[:at] + bytes([message[at] & 2]) + message[at + 1 :] if count == number else message

    talk = Talk(side, mangle=less, can=(3, 3))
    with pytest.raises(Stranger, match="'wrong proof', 'listener'"):
        talk.run()
    assert not talk.dialler.terms and not talk.listener.terms


@BOTH
def test_a_side_is_known_only_after_its_proof(side: bytes) -> None:
    dialler = Talker(dial(key(), side))
    listener = Talker(listen(finder(other(side), key())))
    listener.hear(dialler.take_sent())
    assert not listener.known and not dialler.known
    dialler.hear(listener.take_sent())
    assert dialler.known and not listener.known
    listener.hear(dialler.take_sent()[:MAC])
    assert listener.known


@BOTH
def test_the_writer_waits_to_be_chosen(side: bytes) -> None:
    talk = Talk(side)
    talk.listener.hear(talk.dialler.take_sent())
    talk.dialler.hear(talk.listener.take_sent())
    talk.listener.hear(talk.dialler.take_sent())
    assert (talk.writer.phase, talk.reader.phase, talk.reader.want) == (PARKED, KNOWN, CONFIRM.size)
    assert not talk.writer.sent and not talk.reader.sent


@BOTH
def test_the_listener_learns_the_link_from_the_hello(side: bytes) -> None:
    talk = Talk(side).run()
    assert "name" in talk.listener.names


@BOTH
def test_the_secret_is_never_sent_and_nothing_repeats(side: bytes) -> None:
    first, second = Talk(side).run(), Talk(side).run()
    for talk in (first, second):
        assert not any(SECRET[n : n + 8] in message for _name, message in talk.messages for n in range(24))
    assert not set(first.messages) & set(second.messages)
    assert len(set(first.messages)) == len(first.messages)


@BOTH
@pytest.mark.parametrize(
    "wrong",
    [
        key(secret=b"\0" * 32),
        key(secret=SECRET[:-1] + b"\0"),
        key(plan=b"\1" * 16),
        key(link=LINK + 1),
    ],
    ids=["secret", "last byte of the secret", "plan", "link"],
)
def test_a_wrong_key_is_refused(side: bytes, wrong: Key) -> None:
    for keys in ((wrong, None), (None, wrong)):
        talk = Talk(side, *keys)
        with pytest.raises(Stranger):
            talk.run()
        assert not talk.dialler.done and not talk.listener.done
        assert not talk.dialler.known and not talk.listener.known


@BOTH
def test_the_right_secret_of_another_link_is_refused(side: bytes) -> None:
    """The MAC is over the link: a listener that looked up the wrong key would still notice."""
    talk = Talk(side, key(link=1), key(link=2))
    talk.listener = Talker(listen(lambda plan, link, caller: (key(link=2), other(side), "name")))
    with pytest.raises(Stranger, match="'wrong proof', 'listener'"):
        talk.run()


@BOTH
def test_both_the_same_side_is_refused(side: bytes) -> None:
    talk = Talk(side)
    talk.listener = Talker(listen(finder(side, key())))
    with pytest.raises(Stranger):
        talk.run()


@BOTH
def test_a_listener_does_not_accept_its_own_echo(side: bytes) -> None:
    """A stranger who knows the hello of a link sends the listener its own proof back."""
    listener = Talker(listen(finder(other(side), key())))
    listener.hear(HELLO.pack(MAGIC, PLAN, LINK, side, 0, os.urandom(NONCE)))
    answer = listener.take_sent()
    with pytest.raises(Stranger, match="'wrong proof', 'dialler'"):
        listener.hear(answer[-MAC:])


@BOTH
def test_a_dialler_does_not_accept_its_own_echo(side: bytes) -> None:
    dialler = Talker(dial(key(), side))
    hello = dialler.take_sent()
    with pytest.raises(Stranger, match="'wrong proof', 'listener'"):
        dialler.hear((hello + b"\0" * 64)[: ANSWER.size])


@BOTH
def test_an_end_is_not_its_own_peer(side: bytes) -> None:
    """Both ends dial and listen: a stranger who carries an end's own listener's proof to its dialler fails."""
    dialler = Talker(dial(key(), side))
    nonce = dialler.take_sent()[-NONCE:]
    own_listener = Talker(listen(finder(side, key())))
    own_listener.hear(HELLO.pack(MAGIC, PLAN, LINK, other(side), 0, nonce))
    with pytest.raises(Stranger, match="'wrong proof', 'listener'"):
        dialler.hear(own_listener.take_sent())


@BOTH
def test_a_confirmation_is_not_a_proof_nor_the_other_way_round(side: bytes) -> None:
    talk = Talk(side).run()
    head = CONFIRM.size - MAC
    said = [message for _name, message in talk.messages]
    proofs = [said[1][-MAC:], said[2], said[3][head : head + MAC], said[4]]
    assert len(set(proofs)) == 4
    for wrong in (0, 1, 3):  # the listener's, the dialler's and the reader's, where the writer's is due

        def swap(number: int, message: bytes, proof: bytes = proofs[wrong]) -> bytes:
            return message[:head] + proof + message[CONFIRM.size :] if number == 3 else message

        again = Talk(side, mangle=swap)
        with pytest.raises(Stranger):
            again.run()


@BOTH
def test_a_recorded_dialler_is_refused(side: bytes) -> None:
    recorded = Talk(side).run().of("dialler")
    listener = Talker(listen(finder(other(side), key())))
    listener.hear(recorded[0])
    with pytest.raises(Stranger, match="'wrong proof', 'dialler'"):
        listener.hear(recorded[1])


@BOTH
def test_a_recorded_listener_is_refused(side: bytes) -> None:
    recorded = Talk(side).run().of("listener")
    dialler = Talker(dial(key(), side))
    with pytest.raises(Stranger, match="'wrong proof', 'listener'"):
        dialler.hear(recorded[0])


@BOTH
@pytest.mark.parametrize("number", range(5))
def test_every_changed_bit_is_noticed(side: bytes, number: int) -> None:
    size = len(Talk(side).run().messages[number][1])
    for bit in range(size * 8):

        def flip(count: int, message: bytes, bit: int = bit) -> bytes:
            if count != number:
                return message
            changed = bytearray(message)
            changed[bit // 8] ^= 1 << bit % 8
            return bytes(changed)

        talk = Talk(side, mangle=flip)
        with pytest.raises(Stranger):
            talk.run()
        assert not talk.writer.done  # no byte of data is sent
        assert talk.reader.done == (number == 4)  # who has said its last word cannot know of its fate


@BOTH
@pytest.mark.parametrize("size", [0, 1, FILL_MOST])
def test_any_filling_up_to_the_most(side: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FILLING", bytes(size))
    talk = Talk(side).run()
    assert talk.dialler.done and talk.listener.done


@BOTH
def test_more_filling_is_not_waited_for(side: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for who has proved itself, and with a MAC that is right."""
    monkeypatch.setattr(sys.modules[__name__], "FILLING", bytes(FILL_MOST + 1))
    talk = Talk(side)
    with pytest.raises(Stranger, match="wrong filling"):
        talk.run()
    assert not talk.reader.done and not talk.reader.sent


@BOTH
def test_the_size_of_the_filling_is_proved(side: bytes) -> None:
    """Nothing is waited for that the writer has not said."""
    for size in (0, len(FILLING) - 1, len(FILLING) + 1, FILL_MOST):

        def lie(number: int, message: bytes, size: int = size) -> bytes:
            proof = message[CONFIRM.size - MAC : CONFIRM.size]
            return CONFIRM.pack(size, proof) + bytes(size) if number == 3 else message

        talk = Talk(side, mangle=lie)
        with pytest.raises(Stranger, match="'wrong proof', 'confirm'"):
            talk.run()


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far = server.accept()[0]
    return near, far


@BOTH
def test_cut_short_anywhere(side: bytes) -> None:
    recorded = Talk(side).run().of("dialler")[0]
    for length in range(HELLO.size):
        near, far = pair()
        with near, far:
            far.setblocking(False)
            connection = Connection(far, listen(finder(other(side), key())), None)
            connection.start()
            near.sendall(recorded[:length])
            near.shutdown(socket.SHUT_WR)
            with pytest.raises(Stranger, match="wordless" if length == 0 else "cut off"):
                while True:
                    select.select([far], [], [], 10)
                    connection.advance()


def test_messages_may_come_in_pieces() -> None:
    near, far = pair()
    with near, far:
        for sock in (near, far):
            sock.setblocking(False)
        listener = Connection(far, listen(finder(READER, key())), None)
        listener.start()
        assert far.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1  # nor do they wait for each other
        dialler = Talker(dial(key(), WRITER))
        said = b""
        while not listener.done:
            if dialler.phase == PARKED and not dialler.sent:
                dialler.hear(FILLING)
            for byte in dialler.take_sent():
                near.send(bytes([byte]))
                select.select([far], [], [], 10)
                listener.advance()
            try:
                said += near.recv(4096)
            except BlockingIOError:
                continue
            if not dialler.done and len(said) >= dialler.want > 0:
                message, said = said[: dialler.want], said[dialler.want :]
                dialler.hear(message)
        assert listener.link == "name" and listener.counted["bytes_received"] is not None


@given(st.lists(st.binary(min_size=HELLO.size, max_size=HELLO.size + NONCE), max_size=4), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_nothing_but_stranger_comes_of_rubbish(messages: list[bytes], knows_hello: bool, dials: bool) -> None:
    for side in (WRITER, READER):
        talker = Talker(dial(key(), side) if dials else listen(finder(other(side), key())))
        if knows_hello and not dials:
            talker.hear(HELLO.pack(MAGIC, PLAN, LINK, side, 0, os.urandom(NONCE)))
        try:
            for message in messages:
                talker.hear((message * 2)[: talker.want])
        except Stranger:
            pass
        assert not talker.known and not talker.done


@given(st.binary(min_size=1, max_size=16), st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32))
@settings(max_examples=50, deadline=None)
def test_any_key_works(plan: bytes, link: int, secret: bytes) -> None:
    own = Key(plan.ljust(16, b"\0"), link, secret)
    talk = Talk(WRITER, own, own).run()
    assert talk.dialler.done and talk.listener.done


@given(st.binary(max_size=64), st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_the_mac_is_that_of_the_standard_library(secret: bytes, text: bytes) -> None:
    assert hmac_sha256(secret, text) == hmac.new(secret, text, "sha256").digest()


def test_the_mac_of_rfc_4231() -> None:
    """Its test cases 2 and 3."""
    first = hmac_sha256(b"Jefe", b"what do ya want for nothing?")
    assert first.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    second = hmac_sha256(b"\xaa" * 20, b"\xdd" * 50)
    assert second.hex() == "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
