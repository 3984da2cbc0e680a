# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of a fan-out and its stage, called directly, with sockets of this process in place of all others."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import fan as fan_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import fan_out, link
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.fan import Fan, Passing, parse
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.fan_out import FanOut, Output
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import Stage

BROKEN_PIPE, RESET = os.strerror(errno.EPIPE), os.strerror(errno.ECONNRESET)


class Rig:
    """What a fan-out to these readers has: its source, their sockets, what the end tells it, and what it reports."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.source, self.input = socket.socketpair()
        (told, self.tell), (reports, report) = os.pipe(), os.pipe()
        self.files = [os.fdopen(fd, mode) for fd, mode in ((told, "r"), (reports, "r"), (report, "w"))]
        for name, fd in (("INPUT", self.input.fileno()), ("CONTROL", told), ("REPORT", report)):
            monkeypatch.setattr(fan_out, name, fd)
        pairs = {name: socket.socketpair() for name in names}
        self.readers = {name: pair[1] for name, pair in pairs.items()}
        self.words = ["%d=%s" % (pair[0].detach(), name) for name, pair in pairs.items()]
        self.opened: list[socket.socket] = []

    def open(self) -> FanOut:
        outputs = [Output(word) for word in self.words]
        fan = FanOut(outputs)
        self.input.detach()
        self.opened = [fan.source, *(output.sock for output in outputs)]
        return fan

    def run(self) -> int:
        self.input.detach()
        return fan_out.main(self.words)

    def say(self, text: str) -> None:
        os.write(self.tell, text.encode())

    def die(self) -> None:
        os.close(self.tell)
        self.tell = -1

    def reported(self) -> list[str]:
        return os.read(self.files[1].fileno(), 1000).decode().splitlines()

    def close(self) -> None:
        every: list[Any] = [self.source, *self.opened, *self.readers.values(), *self.files]
        for each in every:
            each.close()
        if self.tell >= 0:
            self.die()


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*names: str) -> Rig:
        made.append(Rig(monkeypatch, *names))
        return made[-1]

    yield make
    for each in made:
        each.close()


def fill(output: Output) -> None:
    while output.write(memoryview(b"x" * 65536)):
        pass


# -- the program


def test_its_descriptors_are_those_of_its_stage() -> None:
    assert (fan_out.INPUT, fan_out.REPORT, fan_out.CONTROL) == (0, 1, fan_module.CONTROL)


def test_a_piece_is_written_as_far_as_it_fits(rig: Callable[..., Rig]) -> None:
    (output,) = rig("one").open().outputs
    assert (output.name, output.written, output.error) == ("one", 0, "")
    assert output.write(memoryview(b"abc")) == 3 == output.written
    fill(output)
    before = output.written
    assert output.write(memoryview(b"abc")) == 0 and output.written == before


def test_an_output_that_broke_before_the_start() -> None:
    output = Output("999999=one")
    assert (output.fd, output.name, output.error) == (999999, "one", os.strerror(errno.EBADF))


def test_why_an_output_is_broken(rig: Callable[..., Rig], capsys: pytest.CaptureFixture[str]) -> None:
    """A reader that closes leaves an error only if there was something that it had not read."""
    made = rig("one", "two")
    one, two = made.open().outputs
    one.write(memoryview(b"abc"))
    for reader in made.readers.values():
        reader.close()
    assert (one.problem(), two.problem()) == (RESET, BROKEN_PIPE)
    one.drop("for this reason")
    assert (one.error, one.sock.fileno()) == ("for this reason", -1)
    assert capsys.readouterr().err == "one: for this reason after 3 bytes\n"


def test_every_piece_is_written_to_all(rig: Callable[..., Rig]) -> None:
    made = rig("one", "two")
    fan, buffer = made.open(), memoryview(bytearray(5))
    made.source.sendall(b"a")
    assert fan.read(buffer) == 1
    made.source.sendall(b"bcdefgh")
    assert fan.read(buffer) == 5 and bytes(buffer) == b"bcdef"
    fan.write(buffer)
    assert [reader.recv(100) for reader in made.readers.values()] == [b"bcdef"] * 2
    assert [output.written for output in fan.outputs] == [5, 5]


def test_it_holds_a_megabyte_and_no_more(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    fan, sizes = rig("one").open(), list[int]()

    def read(buffer: memoryview) -> int:
        sizes.append(len(buffer))
        return 0

    monkeypatch.setattr(fan, "read", read)
    assert fan.run() and sizes == [1048576]


def test_a_full_output_is_waited_for(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what fits, and the rest of the piece when it has room; the others have theirs meanwhile."""
    fan, log = rig("one", "two").open(), list[Any]()
    fits = {"one": [2, 0, 1], "two": [3]}

    def write(output: Output, data: memoryview) -> int:
        log.append((output.name, bytes(data)))
        return fits[output.name].pop(0)

    monkeypatch.setattr(Output, "write", write)
    monkeypatch.setattr(fan, "wait", lambda reading, full: log.append((reading, [each.name for each in full])))
    fan.write(memoryview(b"abc"))
    wait = (False, ["one"])
    assert log == [("one", b"abc"), ("two", b"abc"), wait, ("one", b"c"), wait, ("one", b"c")]


def test_an_output_that_breaks_while_it_is_waited_for(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    fan = rig("one", "two").open()
    fits = {"one": [1], "two": [1, 2]}
    monkeypatch.setattr(Output, "write", lambda output, data: fits[output.name].pop(0))
    monkeypatch.setattr(fan, "wait", lambda reading, full: fan.outputs[0].drop("broken"))
    fan.write(memoryview(b"abc"))
    assert fits == {"one": [], "two": []}


def test_an_output_that_breaks_as_it_is_written(
    rig: Callable[..., Rig], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig("one", "two")
    fan = made.open()
    one, two = fan.outputs
    made.readers["one"].close()
    monkeypatch.setattr(fan, "wait", lambda reading, full: pytest.fail("there is nothing to wait for"))
    fan.write(memoryview(b"abc"))
    assert (one.error, one.written, two.error, two.written) == (BROKEN_PIPE, 0, "", 3)
    assert fan.alive() == [two] and one.sock.fileno() == -1
    assert capsys.readouterr().err == "one: %s after 0 bytes\n" % BROKEN_PIPE


def test_what_it_waits_for(rig: Callable[..., Rig]) -> None:
    """Input only when it reads; room in those outputs that are full; a reader that talks is not listened to."""
    made = rig("one", "two")
    fan = made.open()
    one, two = fan.outputs
    made.source.sendall(b"x")
    made.readers["one"].sendall(b"x")
    assert fan.wait(True, ()) == {fan_out.INPUT}
    assert fan.wait(False, [two]) == {two.fd}
    assert fan.wait(True, [one]) == {fan_out.INPUT, one.fd}
    fill(one)
    assert fan.wait(True, [one]) == {fan_out.INPUT}


@pytest.mark.parametrize("closes", [False, True], ids=["the end alone", "poll(2) as well"])
def test_an_output_that_the_end_names_is_dropped_once(
    rig: Callable[..., Rig], capsys: pytest.CaptureFixture[str], closes: bool
) -> None:
    """Not every break shows at the descriptor, and some show at both."""
    made = rig("one", "two", "three")
    fan = made.open()
    one, two, three = fan.outputs
    if closes:
        made.readers["two"].close()
    made.say("%d\n%d\n" % (two.fd, two.fd))
    assert fan_out.CONTROL in fan.wait(False, ())
    assert [output.error for output in fan.outputs] == ["", BROKEN_PIPE, ""]
    made.say("%d\n" % two.fd)  # it is closed, and not looked at any more
    assert fan.wait(False, ()) == {fan_out.CONTROL}
    assert capsys.readouterr().err == "two: %s after 0 bytes\n" % BROKEN_PIPE
    assert fan.alive() == [one, three]


def test_an_output_whose_break_shows_is_dropped(rig: Callable[..., Rig]) -> None:
    made = rig("one", "two")
    fan = made.open()
    made.source.sendall(b"x")
    made.readers["two"].close()
    assert fan.wait(True, ()) == {fan_out.INPUT, fan.outputs[1].fd}
    assert [output.error for output in fan.outputs] == ["", BROKEN_PIPE]


@pytest.mark.parametrize("how", ["whole", "one is lost", "all are lost", "the input breaks", "the end dies"])
def test_how_it_ends(rig: Callable[..., Rig], capsys: pytest.CaptureFixture[str], how: str) -> None:
    made = rig("one", "two")
    one, two = (int(word.partition("=")[0]) for word in made.words)
    made.source.sendall(b"abc")
    lost = {"one is lost": ["two"], "all are lost": ["one", "two"]}.get(how, [])
    for name in lost:
        made.readers[name].close()
    if how == "the input breaks":
        made.input.sendall(b"what nobody reads")
    if how == "the end dies":
        made.die()
    made.source.close()
    status, said = made.run(), sorted(capsys.readouterr().err.splitlines())
    errors = ["%s: %s after 0 bytes" % (name, BROKEN_PIPE) for name in lost]
    if how == "the end dies":
        assert (status, said) == (1, [])
    elif how == "the input breaks":
        assert (status, said) == (1, ["the input broke after 3 bytes: %s" % RESET])
    else:
        last = ["no output is left after 3 bytes"] if how == "all are lost" else []
        assert (status, said) == (len(last), sorted(errors + last))
        each = {name: "0 " + BROKEN_PIPE if name in lost else "3 " for name in made.readers}
        assert made.reported() == ["%d 3 " % fan_out.INPUT, "%d %s" % (one, each["one"]), "%d %s" % (two, each["two"])]


def test_all_outputs_are_lost_while_nothing_comes(rig: Callable[..., Rig], capsys: pytest.CaptureFixture[str]) -> None:
    made = rig("one")
    made.readers["one"].close()
    assert made.run() == 1
    assert made.reported()[0] == "%d 0 " % fan_out.INPUT
    assert capsys.readouterr().err.endswith("no output is left after 0 bytes\n")


# -- its stage


def side(number: int, state: str, **more: Any) -> Any:
    """A side that is told what to do: number 0 is the input, all others are outputs."""
    plain = {"id": "link%d" % number, "writer": number > 0, "state": state, "problem": None, "unsent": 0, "fits": True}
    made = SimpleNamespace(**{**plain, **more}, aborted=[])

    def abort(*why: Any) -> None:
        made.aborted += why or [None]
        if made.state == link.OPEN:
            made.state = link.ABORTED

    made.sock = SimpleNamespace(fileno=lambda: number)
    made.transport = SimpleNamespace(unsent=lambda: made.unsent)
    made.flushed = lambda: made.fits
    made.abort = abort
    made.commit = lambda: setattr(made, "state", link.COMMITTED)
    return made


def fan_of(*states: str, required: int = 1, leaving: tuple[int, ...] = (), kind: type[Fan] = Fan, **more: Any) -> Fan:
    """A fan-out whose input and outputs, 1 and so on, are in these states."""
    sides = [side(number, state, **more) for number, state in enumerate(states)]
    spec = {"name": "fan", "fan": {"required": required, "leaving": list(leaving)}, "ok_rc": [0], "argv": ["fan"]}
    spec["fds"] = {str(number): each.id for number, each in enumerate(sides)}
    return kind(cast(Any, spec), {(each.id, each.writer): each for each in sides})


OPEN, R, A = link.OPEN, link.RESET, link.ABORTED
FAILS: list[tuple[int, tuple[int, ...], list[str], bool]] = [
    (2, (), [OPEN, OPEN, OPEN, OPEN], False),
    (2, (), [OPEN, R, OPEN, OPEN], False),
    (2, (), [OPEN, R, A, OPEN], True),
    (3, (), [OPEN, OPEN, OPEN, A], True),
    (3, (2,), [OPEN, OPEN, R, OPEN], False),  # its reader may leave
    (3, (2,), [OPEN, R, OPEN, OPEN], True),
    (1, (1, 2), [OPEN, R, R], True),  # nobody is left
    (1, (1, 2), [OPEN, R, OPEN], False),
    (1, (), [R, OPEN, OPEN], True),
    (1, (), [A, OPEN, OPEN], True),
    (1, (), [link.EOF, link.DONE, OPEN], False),
]


@pytest.mark.parametrize(("required", "leaving", "states", "fails"), FAILS)
def test_when_a_fan_out_fails(required: int, leaving: tuple[int, ...], states: list[str], fails: bool) -> None:
    made = fan_of(*states, required=required, leaving=leaving)
    assert (made.fails_with_a_link(), made.breaks_its_outputs()) == (fails, fails)
    reset = ["link%d" % number for number, state in enumerate(states) if state == R]
    assert made.broken_links() == (reset if fails else [])


@pytest.mark.parametrize(
    ("states", "fails"), [([OPEN, R, R], False), ([R, OPEN, OPEN], True), ([A, OPEN], True), ([OPEN, A], False)]
)
def test_who_keeps_what_it_reads_needs_no_output(
    states: list[str], fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fan_of(*states, kind=Passing)
    told = []
    monkeypatch.setattr(made, "tell", lambda: told.append(True))
    assert made.fails_with_a_link() is fails and told
    made.stdout = None
    for each in made.outs:
        each.state = OPEN
    assert made.commit() and all(each.state == link.COMMITTED for each in made.outs)


def test_each_broken_output_is_named_to_the_program_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that broke before its start, too; it may have exited."""
    made = fan_of(OPEN, R, OPEN, A, R)
    written: list[tuple[int, bytes]] = []
    monkeypatch.setattr(fan_module, "os", SimpleNamespace(write=lambda fd, data: written.append((fd, data))))
    made.tell()
    assert not written
    made.control = 0
    for _time in range(2):
        made.tell()
        assert written == [(0, b"1\n3\n4\n")]
    assert not made.fails_with_a_link() and len(written) == 1
    made.outs[1].state = R
    assert made.fails_with_a_link()
    assert written[1:] == [(0, b"2\n")]
    made.told.remove(2)
    written.pop()
    made.abort_outputs()
    assert written[1:] == [(0, b"2\n")] and all(each.aborted for each in made.outs) and not made.ins[0].aborted

    def gone(fd: int, data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(fan_module, "os", SimpleNamespace(write=gone))
    made.told.clear()
    made.tell()
    assert made.told == {1, 2, 3, 4}


@pytest.mark.parametrize("fails", [False, True])
def test_it_starts_with_the_outputs_that_are_left(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    made = fan_of(OPEN, OPEN, A, OPEN)
    made.outs[1].sock.fileno = lambda: -1  # an abort has closed it
    seen: list[Any] = []

    def start(stage: Stage) -> None:
        seen.append((list(stage.fds), stage.spec["inherit"]))
        if fails:
            raise OSError

    monkeypatch.setattr(Stage, "start", start)
    if fails:
        with pytest.raises(OSError):
            made.start()
    else:
        made.start()
    ((fds, inherit),) = seen
    assert fds == [0, 1, 3] and list(made.fds) == [0, 1, 2, 3]
    with pytest.raises(OSError):  # the program alone has it
        os.fstat(inherit["4"])
    os.close(cast(int, made.control))


def said(text: str) -> Any:
    return SimpleNamespace(data=text.encode())


def test_outputs_are_committed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last byte has left for each of them; a broken one stays broken."""
    monkeypatch.setattr(fan_module, "time", SimpleNamespace(monotonic=lambda: 100.0))
    made = fan_of(link.READ, OPEN, OPEN, R)
    made.stdout = said("0 5 \n1 5 \n2 5 \n3 1 Broken pipe\n")
    one, two, three = cast(list[Any], made.outs)
    two.fits = False
    assert not made.commit() and (made.until, made.pause) == (100.001, 0.0015)
    two.fits, two.unsent = True, 1
    made.pause = 0.4
    assert not made.commit() and (made.until, made.pause) == (100.4, 0.5)
    assert (one.state, two.state) == (OPEN, OPEN)
    two.unsent = 0
    assert made.commit() and [each.state for each in made.outs] == [link.COMMITTED, link.COMMITTED, R]
    assert not made.blame and not any(each.aborted for each in made.outs)


@pytest.mark.parametrize("blame", [[], ["what it was before"]])
def test_without_enough_outputs_none_is_committed(blame: list[str]) -> None:
    made = fan_of(link.READ, OPEN, OPEN, R, required=2)
    made.stdout = said("0 5 \n1 5 \n2 4 \n3 1 Broken pipe\n")
    made.blame = blame
    assert made.commit() and [each.state for each in made.outs] == [A, A, R]
    assert made.blame == (blame or ["link3"]) and all(each.aborted for each in made.fds.values())


def missing(count: int, error: str = "") -> list[Any]:
    return [{"kind": "not written", "bytes": count, "error": error}]


@pytest.mark.parametrize(
    ("text", "states", "problems"),
    [
        ("0 5 \n1 5 \n2 5 \n", [OPEN, OPEN], [[], []]),
        ("0 5 \n1 5 \n2 4 \n", [OPEN, OPEN], [[], missing(4)]),
        ("0 5 \n1 6 \n2 5 No space\n", [OPEN, OPEN], [missing(6), missing(5, "No space")]),
        ("0 5 \n1 5 \n2 4 Gone\n", [OPEN, R], [[], []]),
        ("0 0 \n1 0 \n", [OPEN, OPEN], [[], []]),
        ("0 1 \n", [OPEN, OPEN], [missing(0), missing(0)]),
        ("1 0 \n2 0 \n", [OPEN, OPEN], [missing(0), missing(0)]),  # it does not say what it has read
        (None, [OPEN, OPEN], [missing(0), missing(0)]),
    ],
)
def test_outputs_that_miss_a_byte_are_broken(text: str | None, states: list[str], problems: list[list[Any]]) -> None:
    made = fan_of(OPEN, *states)
    made.stdout = None if text is None else said(text)
    made.check()
    assert [cast(Any, each).aborted for each in made.outs] == problems and not cast(Any, made.ins[0]).aborted


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", {}),
        (b"0 5 \n5 4 Broken pipe\n6 5\n", {0: (5, ""), 5: (4, "Broken pipe"), 6: (5, "")}),
        (b"x 5 \n5 y \n7\n\n6 3 \xff\n", {6: (3, "\ufffd")}),
    ],
)
def test_what_the_program_has_said(text: bytes, found: dict[int, tuple[int, str]]) -> None:
    assert parse(text) == found
