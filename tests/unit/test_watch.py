# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An end's line to the controller, whatever comes around it; and noticing that nobody listens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import watch as watch_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import FIN, HANGUP
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import Cancelled, Watch
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.wire import MARK, to_json
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.marked import read_marked
from ansible_collections.plumbing.socketpipe.tests.unit.ends import default_signals
from hypothesis import given, settings
from hypothesis import strategies as st

REPORT = {"end": "a", "stages": [{"stderr": "line\nother → ü \x1c\u2028 \x85"}]}
LINE = MARK + to_json(REPORT)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN)
@settings(max_examples=60, deadline=None)
def test_to_json(value: Any) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert text.isascii() and "\n" not in text and "\r" not in text


@given(st.dictionaries(st.text(), PLAIN))
@settings(max_examples=30, deadline=None)
def test_a_message_is_read_back(message: dict[str, Any]) -> None:
    assert read_marked("\n" + MARK + to_json(message) + "\n") == message


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_is_no_error(text: str) -> None:
    assert read_marked(text) is None or MARK in text


@given(st.text(), st.integers(0, 200))
@settings(max_examples=300, deadline=None)
def test_any_marked_text_is_no_error(text: str, cut: int) -> None:
    for candidate in (MARK + text, LINE + text, LINE[:cut] + text, text + MARK + text):
        found = read_marked(candidate)
        assert found is None or isinstance(found, dict)


@given(st.text(), st.text())
@settings(max_examples=300, deadline=None)
def test_noise_around_it_does_not_matter(before: str, after: str) -> None:
    """A banner, a warning of a login shell, bytes of a terminal: as long as they have lines of their own."""
    if MARK in after or MARK in before:
        return
    assert read_marked(before + "\n" + LINE + "\n" + after) == REPORT


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("\n\n\n", None),
        (LINE, REPORT),
        ("\n" + LINE + "\n", REPORT),
        ("\r\n" + LINE + "\r\n", REPORT),  # through a terminal
        ("\x1b[0m\r\n  " + LINE + "  \r\nConnection to h closed.\r\n", REPORT),
        (MARK + '{"sample": []}\n\n' + LINE + "\n", REPORT),  # the last one counts
        (LINE + "\n" + MARK + '{"end": "b"}\n', {"end": "b"}),
        (LINE[:-1], None),  # not whole
        (LINE + "\n" + LINE[:40], None),  # the last one is not whole: what came before is older
        (MARK + "[1]", None),
        (MARK + "null", None),
        (MARK + "text", None),
        (MARK, None),
        ("say " + LINE, None),  # in the middle of a line it is quoted, not said
        (LINE.replace("SOCKETPIPE ", "SOCKETPIPE"), None),
        (MARK + "[" * 200_000, None),  # too deep for the parser: RecursionError
        (MARK + '{"a":' * 200_000, None),
    ],
    ids=lambda value: "" if value is None or isinstance(value, dict) else repr(value)[:30],
)
def test_read_marked(text: str, found: dict[str, Any] | None) -> None:
    assert read_marked(text) == found


# -- the watch itself; it changes signal handlers, hence a process of its own

IN_A_PROCESS = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import Cancelled, Watch
watch = Watch(float(sys.argv[2]))
def until_cancelled():
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            watch.poll({}, 1.0)
        except Cancelled as exc:
            sys.stderr.write("%s %s\\n" % (exc.stop["kind"], exc.stop.get("signal")))
            sys.stderr.flush()
            return
    sys.stderr.write("nothing\\n")
sys.stderr.write("ready\\n"); sys.stderr.flush()
"""


@pytest.fixture
def process() -> Iterator[Any]:
    made: list[subprocess.Popen[str]] = []

    def start(code: str, heartbeat: float = 1000) -> subprocess.Popen[str]:
        tree = next(path for path in sys.path if os.path.isdir(os.path.join(path, "ansible_collections/plumbing")))
        command = [sys.executable, "-IS", "-c", IN_A_PROCESS + code, tree, str(heartbeat)]
        made.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=default_signals
            )
        )
        assert made[-1].stderr is not None and made[-1].stderr.readline() == "ready\n"
        return made[-1]

    yield start
    for each in made:
        each.kill()
        each.wait()
        for stream in (each.stdout, each.stderr):
            if stream:
                stream.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_cancels_once(process: Any, number: signal.Signals) -> None:
    started = process("until_cancelled(); watch.poll({}, 0.1); watch.poll({}, 0.1); sys.stderr.write('on\\n')")
    started.send_signal(number)
    assert started.stderr.readline() == "signal %s\n" % number.name
    assert started.stderr.readline() == "on\n"


def test_a_signal_that_was_ignored_stays_ignored(process: Any) -> None:
    """As under nohup; but SIGTERM is how an end is ended."""
    ignore = "for each in watch_signals: signal.signal(each, signal.SIG_IGN)\nwatch = Watch(1000)\n"
    raise_all = "for each in watch_signals: os.kill(os.getpid(), each)\nuntil_cancelled()\nwatch.poll({}, 0.1)\n"
    names = "watch_signals = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)\n"
    started = process(names + ignore + raise_all + "sys.stderr.write('on\\n')")
    assert started.stderr.readline() == "signal SIGTERM\n"
    assert started.stderr.readline() == "on\n"


def test_a_lost_reader_cancels_once(process: Any) -> None:
    started = process("until_cancelled(); watch.poll({}, 0.1); watch.say({}); sys.stderr.write('on\\n')")
    started.stdout.close()
    started.stdout = None
    assert started.stderr.readline() == "controller None\n"
    assert started.stderr.readline() == "on\n"


def test_a_terminal_that_is_gone_cancels(process: Any) -> None:
    """sudo may give an end a terminal: poll(2) says HUP, not ERR."""
    code = (
        "import pty\nleader, follower = pty.openpty()\nos.dup2(follower, 1)\nos.close(follower)\n"
        "os.close(leader)\nuntil_cancelled()"
    )
    assert process(code).stderr.readline() == "controller None\n"


def test_heartbeats(process: Any) -> None:
    started = process("for n in range(5): watch.poll({}, 0.2)", 0.1)
    assert started.stdout.read(3) == "\n\n\n"


def test_a_child_that_exits_wakes_it(process: Any) -> None:
    code = (
        "began = time.monotonic()\n"
        "pid = os.fork()\n"
        "if pid == 0: time.sleep(0.3); os._exit(0)\n"
        "watch.poll({}, 25.0)\n"
        "sys.stderr.write('early\\n' if time.monotonic() - began < 20 else 'late\\n')"
    )
    assert process(code).stderr.readline() == "early\n"


def test_what_is_said_has_lines_of_its_own(process: Any) -> None:
    started = process("os.write(1, b'noise'); watch.say({'a': 'ü'}); os.write(1, b'noise')")
    assert started.stdout.read() == 'noise\n%s{"a": "\\u00fc"}\nnoise' % MARK


def test_cancelled_is_not_swallowed_by_accident() -> None:
    assert not issubclass(Cancelled, (OSError, ValueError)) and watch_module.Watch is Watch


# -- each look, without signals and pipes of this process


class World:
    """A watch whose events, signals and clock are the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.found = 100.0, dict[int, int]()
        self.asked: list[Any] = []
        self.written = b""
        self.takes, self.broken, self.empty = 1000, False, False
        self.signals: dict[Any, Any] = {}
        signals = {name: getattr(signal, name) for name in dir(signal) if name.startswith("SIG")}
        fake = SimpleNamespace(
            **signals,
            set_wakeup_fd=lambda fd: self.signals.update(wakeup=fd),
            pthread_sigmask=lambda *words: self.signals.update(mask=words),
            getsignal=lambda number: signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL,
            signal=lambda number, handler: self.signals.update({number: handler}),
        )
        monkeypatch.setattr(watch_module, "signal", fake)
        monkeypatch.setattr(watch_module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(watch_module, "events", self.events)
        fakes = {"pipe": lambda: (31, 32), "set_blocking": lambda *words: self.asked.append(words)}
        monkeypatch.setattr(
            watch_module, "os", SimpleNamespace(**{**vars(os), **fakes, "read": self.read, "write": self.write})
        )
        self.watch = Watch(10.0, 5)

    def events(self, wanted: dict[int, int], timeout: float) -> dict[int, int]:
        self.asked.append((wanted, timeout))
        return dict(self.found)

    def read(self, fd: int, size: int) -> bytes:
        assert fd == 31 and size > 0
        self.asked.append("woken")
        if self.empty:
            raise BlockingIOError
        return b"x"

    def write(self, fd: int, data: bytes) -> int:
        assert fd == self.watch.out
        if self.broken:
            raise BrokenPipeError
        self.written += data[: self.takes]
        return min(len(data), self.takes)

    def poll(self, **found: int) -> Any:
        """What a look at descriptor 7 finds, or why to stop."""
        self.asked = []
        self.found = {{"wake": 31, "out": 5, "seven": 7, "control": 9}[name]: value for name, value in found.items()}
        try:
            return self.watch.poll({7: 1}, 3.0)
        except Cancelled as exc:
            return exc.stop


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_signals_wake_it_and_those_that_are_ignored_stay_so(world: World) -> None:
    assert world.asked == [(31, False), (32, False)]
    assert world.signals.pop("wakeup") == 32
    assert world.signals.pop("mask") == (
        signal.SIG_UNBLOCK,
        (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD),
    )
    child = world.signals.pop(signal.SIGCHLD)
    assert child(signal.SIGCHLD, None) is None and world.watch.signal is None
    assert set(world.signals) == {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
    world.signals[signal.SIGINT](signal.SIGINT, None)
    world.signals[signal.SIGTERM](signal.SIGTERM, None)
    assert world.watch.signal == signal.SIGINT


def test_what_it_looks_at(world: World) -> None:
    assert world.poll(seven=1) == {7: 1}
    assert world.asked == [({7: 1, 31: 1, 5: 0}, 3.0)]
    world.now = 108.0
    assert world.poll(wake=1) == {} and world.asked == [({7: 1, 31: 1, 5: 0}, 2.0), "woken"]
    world.empty = True
    assert world.poll(wake=1, seven=4) == {7: 4}


def test_a_signal_is_obeyed_once(world: World) -> None:
    world.watch.signal = signal.SIGTERM
    assert world.poll(wake=1) == {"kind": "signal", "signal": "SIGTERM"}
    assert world.poll(wake=1, seven=1) == {7: 1}


@pytest.mark.parametrize("events", [8, 16, 32, 24])
def test_a_controller_is_lost_once(world: World, events: int) -> None:
    """POLLERR, POLLHUP and POLLNVAL say so; then it is no longer looked at, nor written to."""
    assert world.poll(out=4) == {}
    assert world.poll(out=events) == {"kind": "controller"}
    assert world.poll(out=events) == {} and world.asked == [({7: 1, 31: 1}, 3.0)]
    world.watch.say({"a": 1})
    assert world.written == b""


def test_a_heartbeat_is_a_line_every_so_often(world: World) -> None:
    for world.now, beats in ((109.5, 0), (110.0, 1), (110.5, 1), (119.5, 1), (120.5, 2), (140.0, 3)):
        assert world.poll() == {}
        assert world.written == b"\n" * beats
    world.now = 200.0
    world.poll()
    assert world.asked[0][1] == 0.0, "it is late, so it does not wait"


def test_a_controller_that_does_not_take_a_heartbeat_is_lost(world: World) -> None:
    world.broken, world.now = True, 110.0
    assert world.poll() == {"kind": "controller"}
    assert world.poll() == {}
    world.now = 130.0
    assert world.poll() == {}


def test_what_is_said_is_written_whole(world: World) -> None:
    world.takes = 3
    world.watch.say({"a": "\u00fc"})
    assert world.written == b'\nSOCKETPIPE {"a": "\\u00fc"}\n'


def test_a_control_connection_says_when_to_stop(world: World) -> None:
    """By its end, once; and is lost by an error."""
    ended: list[str] = []
    control: Any = SimpleNamespace(sock=SimpleNamespace(fileno=lambda: 9), out=9, finish=lambda: ended.append("now"))
    world.watch.finish()
    assert ended == []
    world.watch.attend(control)
    assert world.poll() == {} and world.asked == [({7: 1, 31: 1, 9: FIN}, 3.0)]
    assert world.poll(control=FIN) == {"kind": "home"}
    assert world.poll() == {} and world.asked == [({7: 1, 31: 1, 9: 0}, 3.0)]
    world.watch.finish()
    assert ended == ["now"]
    assert world.poll(control=HANGUP) == {"kind": "home"}
    assert world.poll(control=HANGUP) == {} and world.asked == [({7: 1, 31: 1}, 3.0)]
