# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in the kernel without such a kernel: what it would be told, byte for byte, and what its answers mean."""

from __future__ import annotations

import _socket
import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import ktls, ktls_trial
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import loopback as loopback_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import TCP_CLOSE, tcp_info
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.keys import AES, CHACHA20, both
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.ktls_transport import KernelTls
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.transport import FORGED
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences

KEY, NONCE = bytes(range(0x40, 0x60)), bytes(range(0xA0, 0xAC))
VERSION, SIXTEEN = 0x0304, sys.byteorder


def u16(value: int) -> bytes:
    return value.to_bytes(2, SIXTEEN)


class Kernel:
    """A socket that keeps what it is told, and answers as told: an exception by (level, option) or call."""

    def __init__(self, **fails: int) -> None:
        self.fails, self.answer = fails, b""
        self.told: list[tuple[Any, ...]] = []

    def _do(self, name: str, *words: Any) -> None:
        self.told.append((name, *words))
        if name in self.fails:
            raise OSError(self.fails[name], os.strerror(self.fails[name]))

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        name = {(6, 31): "attach", (282, 1): "tx", (282, 2): "rx"}[(level, option)]
        self._do(name, value)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        self._do("get", level, option, size)
        return self.answer

    def sendmsg(self, *words: Any) -> None:
        self._do("sendmsg", *words)

    def recv(self, size: int, flags: int) -> bytes:
        self._do("recv", size, flags)
        return self.answer


# struct tls12_crypto_info_chacha20_poly1305 and _aes_gcm_256 of linux/tls.h, written by hand
CHACHA20_INFO = u16(VERSION) + u16(54) + NONCE + KEY + bytes(8)
AES_INFO = u16(VERSION) + u16(52) + NONCE[4:] + KEY + NONCE[:4] + bytes(8)


@pytest.mark.parametrize(
    ("cipher", "info", "size"), [(CHACHA20, CHACHA20_INFO, 56), (AES, AES_INFO, 56)], ids=["chacha20", "aes"]
)
def test_what_the_kernel_is_told_of_the_keys(cipher: Any, info: bytes, size: int) -> None:
    assert ktls.crypto_info(cipher, (KEY, NONCE)) == info and len(info) == size


def test_both_directions_are_armed_in_order() -> None:
    sock = Kernel()
    sends, receives = both(bytes(32), CHACHA20, writer=True)
    ktls.arm(sock, CHACHA20, sends, receives)
    tx, rx = (ktls.crypto_info(CHACHA20, keys) for keys in (sends, receives))
    assert sock.told == [("attach", b"tls"), ("tx", tx), ("rx", rx)] and tx != rx


@pytest.mark.parametrize(("cipher", "size"), [(CHACHA20, 56), (AES, 56)], ids=["chacha20", "aes"])
@pytest.mark.parametrize("way", [ktls.TLS_TX, ktls.TLS_RX])
def test_records_are_the_last_eight_bytes(cipher: Any, size: int, way: int) -> None:
    sock = Kernel()
    sock.answer = b"\xee" * 48 + (2**40 + 3).to_bytes(8, "big")
    assert ktls.records(sock, way, cipher) == 2**40 + 3
    assert sock.told == [("get", 282, way, size)]


@pytest.mark.parametrize(("fails", "sent"), [({}, True), ({"sendmsg": errno.EAGAIN}, False)])
def test_an_alert_is_a_record_of_its_own_type_and_waits_for_nothing(fails: dict[str, int], sent: bool) -> None:
    sock = Kernel(**fails)
    assert ktls.alert(sock) is sent
    assert sock.told == [("sendmsg", [b"\x02\x50"], [(282, 1, b"\x15")], socket.MSG_DONTWAIT)]


def test_an_alert_on_a_broken_connection_is_no_error() -> None:
    assert ktls.alert(Kernel(sendmsg=errno.EPIPE))


@pytest.mark.parametrize(
    ("answer", "code", "found"),
    [
        (b"abc", 0, (ktls.DATA, 3)),
        (b"", 0, (ktls.END, 0)),
        (b"", errno.EAGAIN, (ktls.NOTHING, 0)),
        (b"", errno.EIO, (ktls.ALERTED, 0)),
        (b"", errno.EBADMSG, (FORGED, 0)),
        (b"", errno.EMSGSIZE, (FORGED, 0)),
        (b"", errno.EINVAL, (FORGED, 0)),
        (b"", errno.ECONNRESET, (ktls.BROKEN, 0)),
    ],
)
def test_a_look_at_what_the_next_read_would_find(answer: bytes, code: int, found: tuple[str, int]) -> None:
    sock = Kernel(**({"recv": code} if code else {}))
    sock.answer = answer
    assert ktls.peek(sock, 10) == found
    assert sock.told == [("recv", 10, socket.MSG_PEEK | socket.MSG_DONTWAIT)]


# -- a reset, by netlink


def test_the_request_for_a_reset_names_one_connection() -> None:
    request = ktls.diag_request(socket.AF_INET, ("192.0.2.1", 258), ("192.0.2.2", 772))
    own, peer = bytes([192, 0, 2, 1]) + bytes(12), bytes([192, 0, 2, 2]) + bytes(12)
    native = {size: (lambda value, size=size: value.to_bytes(size, SIXTEEN)) for size in (2, 4)}
    head = native[4](72) + native[2](21) + native[2](5) + native[4](1) + native[4](0)
    body = bytes([2, 6, 0, 0]) + b"\xff\xff\xff\xff" + bytes([1, 2, 3, 4]) + own + peer + bytes(4) + b"\xff" * 8
    assert request == head + body


def test_the_request_for_a_link_local_address_has_its_interface() -> None:
    request = ktls.diag_request(socket.AF_INET6, ("fe80::1%eth0", 1, 0, 7), ("fe80::2%eth0", 2, 0, 7))
    assert request[28:44] == socket.inet_pton(socket.AF_INET6, "fe80::1") and request[60:64] == (7).to_bytes(4, SIXTEEN)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may reset connections (CAP_NET_ADMIN)")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_is_reset_while_others_hold_it(family: int) -> None:
    if not ktls_destroys():
        pytest.skip("this kernel resets no connections by netlink (CONFIG_INET_DIAG_DESTROY)")
    with loopback(family) as (one, other):
        held = one.dup()
        assert ktls.destroy(one) and tcp_info(one)["state"] == TCP_CLOSE
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        assert ktls.destroy(one), "it is reset already"
        held.close()


def ktls_destroys() -> bool:
    with loopback(socket.AF_INET) as (one, _other):
        return ktls.destroy(one)


class loopback:
    def __init__(self, family: int) -> None:
        self.family = family

    def __enter__(self) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(
            ("::1" if self.family == socket.AF_INET6 else "127.0.0.1", 0), family=self.family
        ) as s:
            self.one = socket.create_connection(s.getsockname()[:2])
            self.other = s.accept()[0]
        self.other.settimeout(20)
        return self.one, self.other

    def __exit__(self, *_exception: object) -> None:
        self.one.close()
        self.other.close()


def test_what_is_counted_while_records_wait_for_their_acknowledgement() -> None:
    """Records are counted when they are encrypted, bytes when they are acknowledged."""
    found = {}
    for writer in (True, False):
        with loopback(socket.AF_INET) as (one, _other):
            side = KernelTls(one, writer, {"bytes_acked": 100, "bytes_received": 100}, AES)
            moments = [(100, 0), (126, 1), (126, 2), (126, 3), (178, 3)]
            infos = [{"bytes_acked": total, "bytes_received": total, "records": n} for total, n in moments]
            found[writer] = [side.count(info, False) for info in infos]
    assert found == {True: [0, 4, 4, 4, 12], False: [0, 4, 0, 0, 12]}


# -- the trial: what the kernel says, and what a person is told


RELEASE = os.uname().release
ROOT, USER = "CapEff:\t000001ffffffffff\n", "CapEff:\t0000000000000000\n"
ALL, MAPPED = "         0          0 4294967295\n", "         0       1000          1\n"
LISTED, UNLISTED = "kernel/net/tls/tls.ko.xz: \n", "kernel/net/sched/sch_fq.ko:\n"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What stands in the files that tell why; nothing in those that are not there."""
    shown: dict[str, str] = {"/proc/self/status": ROOT, "/proc/self/uid_map": ALL}
    monkeypatch.setattr(ktls_trial, "content", lambda path: shown.get(path, ""))
    return shown


@pytest.mark.parametrize(
    ("modules", "status", "ids", "locked", "kind"),
    [
        (UNLISTED, ROOT, ALL, "0", "no module"),
        (UNLISTED, USER, ALL, "0", "no module"),
        (LISTED, USER, ALL, "0", "not loaded"),
        (LISTED, ROOT, MAPPED, "0", "not loaded"),
        ("", USER, ALL, "0", "not loaded outside"),
        ("", ROOT, MAPPED, "0", "not loaded outside"),
        (LISTED, ROOT, ALL, "1", "modules disabled"),
        (LISTED, ROOT, ALL, "0", "module failed"),
    ],
)
def test_why_there_is_no_module(
    files: dict[str, str], modules: str, status: str, ids: str, locked: str, kind: str
) -> None:
    files[f"/usr/lib/modules/{RELEASE}/modules.dep"] = modules
    files.update({"/proc/self/status": status, "/proc/self/uid_map": ids})
    files["/proc/sys/kernel/modules_disabled"] = locked + "\n"
    assert ktls_trial.reason("attach", error(errno.ENOENT)) == {"kind": kind, "release": RELEASE, "error": ""}


@pytest.mark.parametrize(
    ("step", "code", "kind", "why"),
    [
        ("arm", errno.ENOENT, "no cipher", ""),
        ("arm", errno.EINVAL, "old kernel", ""),
        ("attach", errno.ENOPROTOOPT, "old kernel", ""),
        ("count", errno.ENOPROTOOPT, "old kernel", ""),
        ("attach", errno.EPERM, "broken", "Operation not permitted"),
        ("send", errno.EBADMSG, "broken", "Bad message"),
    ],
)
def test_what_the_kernel_says_means(step: str, code: int, kind: str, why: str) -> None:
    assert ktls_trial.reason(step, error(code)) == {"kind": kind, "release": RELEASE, "error": why}


# in words, for the controller
TEXTS = {
    "no module": "this kernel (6.1) has no module tls: install the rest of its modules, or another kernel",
    "modules disabled": "the kernel module tls is not loaded, and this kernel loads no more modules "
    "(kernel.modules_disabled)",
    "module failed": "the kernel module tls could not be loaded: modprobe tls shows the reason",
    "not loaded": "the kernel module tls is not loaded, and only root may load it. As root on that host: modprobe tls; "
    "and to load it at each boot: echo tls >/etc/modules-load.d/tls.conf "
    "(the role plumbing.socketpipe.kernel_tls does both)",
    "not loaded outside": "the kernel module tls is not loaded. As root on the host that this container runs on: "
    "modprobe tls; and to load it at each boot: echo tls >/etc/modules-load.d/tls.conf "
    "(the role plumbing.socketpipe.kernel_tls does both)",
    "no cipher": "this kernel's TLS lacks the ciphers: try modprobe -a chacha20poly1305 gcm ctr ghash-generic",
    "old kernel": "this kernel (6.1) has no TLS 1.3 (Linux 5.1 and later can have it)",
    "untried": "kernel TLS could not be tried over loopback: No route",
    "broken": "kernel TLS does not work: No route",
}


@pytest.mark.parametrize("kind", sentences.KERNEL_TLS)
def test_what_a_person_is_told(kind: Any) -> None:
    assert sentences.kernel_tls({"kind": kind, "release": "6.1", "error": "No route"}) == TEXTS[kind]


def error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[str, OSError] | None]]:
    """What comes of trying each cipher, by its name: None for success."""
    told: dict[str, tuple[str, OSError] | None] = {}
    monkeypatch.setattr(ktls_trial, "pair", lambda _patience: ())
    monkeypatch.setattr(ktls_trial, "attempt", lambda cipher, _sides: told[cipher.name])
    yield told


@pytest.mark.parametrize(
    ("chacha20", "aes", "can", "kind"),
    [
        (None, None, 3, ""),
        (("arm", error(errno.EINVAL)), None, 2, ""),  # Linux 5.1 to 5.10
        (("arm", error(errno.ENOENT)), None, 2, ""),  # FIPS
        (None, ("arm", error(errno.ENOENT)), 1, ""),
        (("arm", error(errno.ENOENT)), ("arm", error(errno.ENOENT)), 0, "no cipher"),
    ],
)
def test_what_works_is_found_out_for_each_cipher(
    trials: dict[str, Any], chacha20: Any, aes: Any, can: int, kind: str
) -> None:
    trials.update({"chacha20-poly1305": chacha20, "aes-256-gcm": aes})
    found, problem = ktls_trial.trial()
    assert (found, problem["kind"] if problem else "") == (can, kind)


def test_without_loopback_it_cannot_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unconnected(_socket.socket):
        def connect_ex(self, _address: object) -> int:
            return errno.ENETUNREACH

    own_socket(monkeypatch, Unconnected)
    told = {"kind": "untried", "release": RELEASE, "error": "Network is unreachable"}
    before = os.listdir("/proc/self/fd")
    assert ktls_trial.trial() == (0, told)
    assert os.listdir("/proc/self/fd") == before


def own_socket(monkeypatch: pytest.MonkeyPatch, kind: type[_socket.socket]) -> None:
    """Sockets of this kind are used for connections within this host."""
    known = {name: getattr(_socket, name) for name in dir(_socket)}
    monkeypatch.setattr(loopback_module, "socket", SimpleNamespace(**{**known, "socket": kind}))


@pytest.mark.parametrize("family", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_other_users_of_the_host_who_connect_first_are_not_tried(
    monkeypatch: pytest.MonkeyPatch, family: tuple[int, str]
) -> None:
    """Some wait, one has gone already, and for more there is no room."""
    strangers: list[_socket.socket] = []

    class Crowded(_socket.socket):
        def listen(self, _backlog: int = 0, /) -> None:
            super().listen(3)
            for number in range(6):
                strangers.append(_socket.socket(self.family, self.type))
                strangers[-1].setblocking(False)
                strangers[-1].connect_ex(self.getsockname())
                if number == 1:
                    strangers[-1].close()

    own_socket(monkeypatch, Crowded)
    sides = loopback_module.connected(*family, time.monotonic() + 60)
    try:
        assert sides[0].getsockname() == sides[1].getpeername() and len(strangers) == 6
        ktls_trial.exchange(*sides)
        ktls_trial.exchange(*sides[::-1])
    finally:
        for sock in (*sides, *strangers):
            sock.close()


def test_the_real_trial_says_one_or_the_other() -> None:
    """Whatever this kernel can: it leaves no descriptor open, and says why when it says no."""
    before = os.listdir("/proc/self/fd")
    can, problem = ktls_trial.trial()
    assert os.listdir("/proc/self/fd") == before
    assert bool(can) == (problem is None)


# -- one trial, step by step


class Tried:
    """Both sides of a connection, and what is done with them; ``fails``: at which call, by its number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: int = 99) -> None:
        self.did: list[Any] = []
        self.fails, self.problem = fails, error(errno.EINVAL)
        self.sides: Any = tuple(
            SimpleNamespace(settimeout=self.noting(name, "limit"), close=self.noting(name, "close")) for name in "ab"
        )
        self.names = dict(zip(map(id, self.sides), "ab"))
        monkeypatch.setattr(ktls, "attach", self.step("attach"))
        monkeypatch.setattr(ktls, "put_keys", self.step("arm"))
        monkeypatch.setattr(ktls_trial, "exchange", self.step("send"))
        monkeypatch.setattr(ktls_trial, "count", self.step("count"))
        monkeypatch.setattr(ktls_trial, "both", lambda _agreed, cipher, writer: (cipher, writer))

    def noting(self, name: str, what: str) -> Any:
        return lambda *words: self.did.append((what, name, *words))

    def step(self, name: str) -> Any:
        def do(sock: Any, *words: Any) -> None:
            self.did.append((name, self.names[id(sock)], *(self.names.get(id(word), word) for word in words)))
            if len([each for each in self.did if each[0] not in ("limit", "close")]) == self.fails:
                raise self.problem

        return do


BEGIN, CLOSED = [("limit", "a", 5.0), ("limit", "b", 5.0)], [("close", "a"), ("close", "b")]
STEPS = [
    *[("attach", "a"), ("attach", "b")],
    *[("arm", "a", AES, AES, True), ("arm", "b", AES, AES, False)],
    *[("send", "a", "b"), ("send", "b", "a")],
    *[("count", "a", "b", AES), ("count", "b", "a", AES)],
]


@pytest.mark.parametrize("fails", [1, 2, 3, 4, 5, 6, 7, 8, 99])
def test_each_step_is_done_on_both_sides(monkeypatch: pytest.MonkeyPatch, fails: int) -> None:
    """As writer and as reader; afterwards both are closed."""
    made = Tried(monkeypatch, fails)
    found = ktls_trial.attempt(AES, made.sides)
    assert found == (None if fails == 99 else (STEPS[fails - 1][0], made.problem))
    assert made.did == [*BEGIN, *STEPS[:fails], *CLOSED]


@pytest.mark.parametrize("changed", [False, True])
def test_a_word_must_come_as_it_was_sent(changed: bool) -> None:
    one, other = socket.socketpair()
    with one, other:
        if not changed:
            ktls_trial.exchange(one, other)
            return
        one.send(b"x")  # before it
        with pytest.raises(OSError) as caught:
            ktls_trial.exchange(one, other)
        assert (caught.value.errno, caught.value.strerror) == (errno.EBADMSG, os.strerror(errno.EBADMSG))


@pytest.mark.parametrize("counts", [(1, 1), (0, 1), (1, 0), (2, 2), (1, 2)])
def test_both_sides_must_count_one_record(monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int]) -> None:
    found = {("one", ktls.TLS_TX): counts[0], ("other", ktls.TLS_RX): counts[1]}
    monkeypatch.setattr(ktls, "records", lambda sock, way, _cipher: found[sock, way])
    sides: Any = ("one", "other")
    if counts == (1, 1):
        ktls_trial.count(*sides, AES)
        return
    with pytest.raises(OSError) as caught:
        ktls_trial.count(*sides, AES)
    assert (caught.value.errno, caught.value.strerror) == (errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.mark.parametrize(
    ("code", "kind", "why"), [(errno.EACCES, "untried", os.strerror(errno.EACCES)), (0, "untried", "just words")]
)
def test_why_it_could_not_be_tried(monkeypatch: pytest.MonkeyPatch, code: int, kind: str, why: str) -> None:
    def refuse(patience: float) -> Any:
        assert patience == 5.0
        raise error(code) if code else OSError("just words")

    monkeypatch.setattr(ktls_trial, "pair", refuse)
    assert ktls_trial.trial() == (0, {"kind": kind, "release": RELEASE, "error": why})


@pytest.mark.parametrize(
    ("first", "second", "there"),
    [("", "", None), (LISTED, "", True), ("", LISTED, True), (UNLISTED, LISTED, False), ("", UNLISTED, False)],
)
def test_modules_may_be_in_two_places(files: dict[str, str], first: str, second: str, there: bool | None) -> None:
    files["/lib/modules/6.1/modules.dep"] = first
    files["/usr/lib/modules/6.1/modules.dep"] = second
    assert ktls_trial.on_disk("6.1") is there


@pytest.mark.parametrize(
    ("status", "ids", "may"),
    [
        ("Name:\ta\nCapPrm:\t0\nCapEff:\t0000000000001000\nCapBnd:\t0\n", ALL, True),
        ("CapPrm:\t0000000000001000\nCapEff:\tfffffffffffff0ff\n", ALL, True),
        ("CapEff:\tffffffffffffefff\n", ALL, False),
        ("CapEff:\t0000000000001000\n", MAPPED, False),
        ("CapEff:\t0000000000001000\n", "", False),
        ("", ALL, True),
    ],
)
def test_who_may_load_modules(files: dict[str, str], status: str, ids: str, may: bool) -> None:
    files.update({"/proc/self/status": status, "/proc/self/uid_map": ids})
    assert ktls_trial.may_load() is may


def test_a_file_that_is_not_there_has_nothing(tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(b"text\xff")
    assert ktls_trial.content(f"{tmp_path}/file") == "text\ufffd" and ktls_trial.content(f"{tmp_path}/none") == ""
