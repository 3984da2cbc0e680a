# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login of the command: its program as a word, the secrets that the far side makes, and one that fails at once."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
import tty
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import login as login_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.login import (
    DEAF,
    ISOLATED,
    LATE,
    MUTE,
    NO_TERMINAL,
    NOTHING,
    OBSTACLES,
    TERMINAL,
    WORD,
    ForkLaunch,
    LoginLaunch,
    are_secrets,
    words_of,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import main as end_main
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import events
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import MARK
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.heard import PipedLaunch
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.launch import FOLLOW, Run
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.marked import read_marked
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.tests.unit import pythons
from ansible_collections.plumbing.socketpipe.tests.unit.fails import fail

SAYS = 'import sys;sys.stdout.write("%s %s" % (sys.argv[1], (sys.version_info > (3, 6))))'
KEY = "0123456789abcdef" * 4


def plan() -> dict[str, Any]:
    made = Plan({})
    for name in ("here", "there"):
        made.add_end(name)
    stages = [("here", "input"), ("there", "remote"), ("here", "output")]
    made.chain([(end, {"name": name, "argv": ["cat"]}) for end, name in stages])
    return made.for_end("there")


@pytest.mark.parametrize("version", ["2.7", *pythons.TARGETS])
def test_a_word_is_the_same_with_a_shell_and_without(version: str) -> None:
    argv = [pythons.needed(version), ISOLATED, "-c", WORD % SAYS, "label"]
    shell = ["sh", "-c", " ".join([shlex.quote(argv[0]), *argv[1:]])]  # as ssh does it: nothing is quoted
    for words in (argv, shell):
        done = subprocess.run(words, capture_output=True, check=False, timeout=20)
        assert (done.stdout.decode(), done.stderr) == (f"label {version != '2.7'}", b"")


@pytest.mark.parametrize(
    ("found", "good"),
    [
        ({"input → remote": KEY, "remote → output": KEY[::-1]}, True),
        ({"input → remote": KEY}, False),
        ({"input → remote": KEY, "remote → output": KEY, "other": KEY}, False),
        ({"input → remote": KEY, "remote → output": KEY[1:]}, False),
        ({"input → remote": KEY, "remote → output": "x" + KEY[1:]}, False),
        ({"input → remote": KEY, "remote → output": None}, False),
        ([KEY, KEY], False),
        (None, False),
    ],
)
def test_secrets_that_the_far_side_has_made(found: Any, good: bool) -> None:
    assert are_secrets(found, plan()) is good
    launch = LoginLaunch(plan(), ["login"], "python3", False, TERMINAL)
    assert launch.parse({"secrets": found}) is None
    assert launch.secrets == (found if good else {})


def test_secrets_that_nobody_has_asked_for() -> None:
    """The program has gone through its standard input, with ours."""
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    assert launch.parse({"secrets": {"input → remote": KEY, "remote → output": KEY}}) is None
    assert launch.secrets == {}


def test_nobody_is_waited_for_after_a_login_that_has_begun_nothing() -> None:
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    launch.conclude(1, "", "")
    assert Run.patience(launch, []) == 0.0
    launch.parse({"begun": 1})
    assert Run.patience(launch, []) > 0.0


@pytest.mark.parametrize(("stages", "patience"), [
    ([], 0.0),
    ([{"name": "input", "rc": None, "started_at": None, "problem": None}], 0.0),
    ([{"name": "input", "rc": 0, "started_at": 0.1, "problem": None}], float("inf")),
    ([{"name": "input", "rc": 3, "started_at": 0.1, "problem": {"kind": "failed", "signal": ""}}], FOLLOW),
])  # fmt: skip
def test_stages_on_several_hosts_without_links(stages: list[Any], patience: float) -> None:
    """They need not end together; but if one fails, the results of the others are of no use."""
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    launch.report = {"stages": stages, "links": []}
    assert Run.patience(launch, []) == patience


def test_an_end_that_stays_in_its_login_when_the_others_have_left() -> None:
    """Its host has become unreachable, and no login notices that for hours."""
    home: Any = LoginLaunch(plan(), ["login"], "python3", False)
    peer: Any = LoginLaunch(plan(), ["login"], "python3", False)
    run = Run({"there": home, "here": peer}, lambda sample: None)
    peer.report, peer.ready, peer.ended = {"detached": True}, True, time.monotonic()
    run.overdue()
    assert not home.silent
    peer.ended -= home.late
    run.overdue()
    assert home.silent == "no report within 30 s after the others left their logins"


def test_an_end_on_this_host_is_stopped() -> None:
    """Until it is gone; one that was not started is gone at once."""
    launch = ForkLaunch(plan(), LoginLaunch(plan(), ["login"], "python3", False))
    assert launch.wanted() == {} and not launch.cancel(0.0) and launch.ready
    launch = ForkLaunch(plan(), LoginLaunch(plan(), ["login"], "python3", False))
    with subprocess.Popen(["sleep", "1000"]) as process:
        launch.pid = process.pid
        assert launch.processes() == {process.pid: os.getpid()}
        assert launch.cancel(0.0) and not launch.ready
        assert process.wait() == -15
    assert launch.processes() == {} and not launch.cancel(0.1)


@pytest.mark.parametrize(
    ("at", "timeout", "begun", "hopeless"),
    [
        (0.5, 1, False, ""),
        (2.0, 1, False, "the login command did not reach the far side within 1 s (-t/--timeout)"),
        (2.0, 1, True, ""),
        (3000.0, 0, False, ""),
    ],
)
def test_how_long_a_login_may_take(at: float, timeout: int, begun: bool, hopeless: str) -> None:
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    launch.pending, launch.begun = b"the program", begun
    assert launch.hopeless(launch.began + at, timeout) == hopeless


def test_a_login_that_takes_everything_and_begins_nothing() -> None:
    launch = LoginLaunch(plan(), ["sh", "-c", "cat >/dev/null; sleep 60"], "python3", False)
    launch.start()
    try:
        while launch.pending:
            launch.feed()
        patience = 60.0
        assert launch.hopeless(launch.taken_at + patience - 1, 0) == ""
        while events({launch.taken: select.POLLIN})[launch.taken] & select.POLLIN:
            time.sleep(0.01)
        text = launch.hopeless(launch.taken_at + patience + 1, 0)
        assert text.startswith("the login command read the program, but nothing started in 60 s: ")
    finally:
        launch.cancel(9)
        launch.wait()


@pytest.mark.parametrize("version", ["2.7", *pythons.TARGETS])
def test_a_program_that_is_typed_says_so(version: str) -> None:
    """Where the terminal does not show what is typed; and its Python may not, either."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    words = [pythons.needed(version), ISOLATED, "-"]
    with subprocess.Popen(words, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        os.write(master, (NO_TERMINAL % MARK + "sys.stdout.write('not this')\n").encode())
        said = process.communicate(timeout=20)[0].decode()
    os.close(master)
    os.close(slave)
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    message = read_marked(said)
    assert message and launch.parse(message) is None and "not this" not in said
    launch.conclude(process.returncode, said, "")
    assert (launch.obstacle, launch.begun, process.returncode) == (TERMINAL, False, 0)


# -- each step of a login, and of the end on this host, without a process


def login(obstacle: str = "", batch: bool = False) -> LoginLaunch:
    return LoginLaunch(plan(), ["ssh", "h1"], "python3", batch, obstacle)


def test_the_command_line_of_a_login() -> None:
    """The program comes through its standard input, or is among the words, without a secret."""
    made = login()
    assert made.command == ["ssh", "h1", "python3", "-ESs", "-", made.label] and not made.in_words
    secrets = [link["secret"] for link in made.plan["links"]]
    for link in made.plan["links"]:
        link["secret"] = ""
    made = LoginLaunch(made.plan, ["ssh", "h1"], "python3", False, DEAF)
    *first, word, program, label = made.command
    assert first == ["ssh", "h1", "python3", "-ESs", "-c"] and label == made.label and made.in_words
    assert word.startswith("0#'\\\nimport sys;") and not any(secret in program for secret in secrets)


class Login:
    """What a login starts: ``spawned`` is how, ``fails`` why not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spawned: list[Any] = []
        self.fails: Exception | None = None
        self.problem: Any = None
        monkeypatch.setattr(login_module, "find_command", lambda *words: self.problem)
        monkeypatch.setattr(login_module, "own_description", os.dup)
        monkeypatch.setattr(login_module, "spawn", self.spawn)

    def spawn(self, argv: list[str], environment: Any, *words: Any) -> int:
        chdir, fds, batch, orphaned = words
        assert (chdir, orphaned, environment) == (None, signal.SIGTERM, login_module.full_environment({}))
        self.spawned = [argv, {fd: os.fstat(ours).st_ino for fd, ours in fds.items()}, batch, fds]
        if self.fails:
            fail(self.fails)
        return 77


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Login:
    return Login(monkeypatch)


def closed(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False


@pytest.mark.parametrize("batch", [True, False])
def test_a_login_gets_the_program_and_its_output_is_read(world: Login, batch: bool) -> None:
    """Our ends of its pipes block nobody, and its ends are its own."""
    made = login(batch=batch)
    made.start()
    try:
        argv, inodes, session, fds = world.spawned
        assert (argv, session, made.pid) == (made.command, batch, 77)
        assert inodes == {fd: os.fstat(ours).st_ino for fd, ours in ((0, made.into), (1, made.out), (2, 2))}
        assert [os.get_blocking(fd) for fd in (made.into, made.out, made.taken)] == [False, False, True]
        assert closed(fds[1]) and closed(fds[2]) and fds[0] == made.taken
        text = made.pending.decode()
        assert text.startswith(NO_TERMINAL % MARK + "import sys;") and text.endswith('")).read;exec(r(int(r(8))))\n')
        assert all(link["secret"] for link in made.plan["links"])
    finally:
        os.close(made.out)
        made.over()
    assert (made.into, made.taken) == (-1, -1) and closed(fds[0])


def test_a_login_with_the_program_among_its_words_gets_no_other(world: Login) -> None:
    made = login(DEAF)
    made.start()
    assert made.pending == b"" and made.pid == 77
    made.feed()
    assert made.into == -1, "the end of its input"
    os.close(made.out)
    made.over()


@pytest.mark.parametrize(
    ("problem", "fails", "error"),
    [
        ({"kind": "not executable", "path": "/x"}, None, "the login command: '/x' is not executable"),
        (None, NotStarted(13, "Permission denied"), "the login command Permission denied"),
        (None, OSError(11, "no more processes"), "the login command: no more processes"),
    ],
)
def test_a_login_that_cannot_be_started(world: Login, problem: Any, fails: Any, error: str) -> None:
    world.problem, world.fails = problem, fails
    made = login()
    made.start()
    assert (made.error, made.ready, made.pid) == (error, True, 0)
    assert (made.into, made.taken) == (-1, -1)
    if fails:
        assert closed(world.spawned[3][1]) and closed(world.spawned[3][2])
        os.close(made.out)


def test_what_a_login_is_asked_for(world: Login) -> None:
    """Whether it takes more of the program, as long as there is more; and what it says."""
    made = login()
    assert made.wanted() == {}
    made.start()
    out, into = made.out, made.into
    assert made.wanted() == {out: select.POLLIN, into: select.POLLOUT}
    size = len(made.pending)
    assert made.serve(into) == [] and len(made.pending) < size, "as much as fits"
    rest = made.pending
    made.feed()
    assert made.pending == rest, "there is no room"
    made.ready = True
    assert made.wanted() == {}
    made.ready = False
    while made.pending:
        os.read(made.taken, 1 << 20)
        made.feed()
    assert made.into == -1 and made.taken_at > made.began and made.wanted() == {out: select.POLLIN}
    made.over()
    os.close(out)


def test_a_login_that_reads_no_more_says_why_itself(world: Login) -> None:
    made = login()
    made.start()
    os.close(made.taken)
    made.taken = -1
    made.feed()
    assert (made.pending, made.into) == (b"", -1)
    os.close(made.out)


@pytest.mark.parametrize("begun", [True, False])
def test_a_terminal_that_shows_what_is_typed(begun: bool) -> None:
    made = login()
    source, target = os.pipe()
    made.out, made.begun = source, begun
    os.write(target, b"> " + NO_TERMINAL.encode() + b"\n")
    assert made.serve(9999) == [] and made.obstacle == ""
    assert made.serve(source) == [] and made.obstacle == ("" if begun else TERMINAL)
    os.write(target, f'{MARK}{{"at": 1.0, "sample": [], "told": {{}}}}\n'.encode())
    os.close(target)
    assert made.serve(source) == [{"at": 1.0, "sample": [], "told": {}}]
    os.close(source)


@pytest.mark.parametrize(
    ("facts", "late", "hopeless"),
    [
        ({}, 60.0, ""),
        ({}, 60.5, MUTE % 60),
        ({"ready": True}, 1000.0, ""),
        ({"begun": True}, 1000.0, ""),
        ({"in_words": True}, 1000.0, ""),
        ({"pending": b"x"}, 1000.0, ""),
        ({"unread": b"x"}, 1000.0, ""),  # it is in the pipe
    ],
)
def test_how_long_an_end_may_take_to_begin(facts: dict[str, Any], late: float, hopeless: str) -> None:
    """From when the login command has taken the whole program."""
    made = login()
    made.taken, into = os.pipe()
    os.write(into, facts.pop("unread", b""))
    made.__dict__.update(facts)
    made.taken_at = 1000.0
    assert made.hopeless(1000.0 + late, 0) == hopeless
    assert made.taken_at == (1000.0 if hopeless or late == 60.0 or made.begun or made.ready else 1000.0 + late)
    made.began = 1000.0
    assert made.hopeless(1007.0, 7) == ""
    assert made.hopeless(1007.5, 7) == ("" if made.begun or made.ready else LATE % 7)
    os.close(made.taken)
    os.close(into)


class Clock:
    """A process that exits at the given look, or never; ``sent``: the signals."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, exits_at: float) -> None:
        self.now, self.exits_at = 100.0, exits_at
        self.sent: list[Any] = []
        fake = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(login_module, "time", fake)
        monkeypatch.setattr(login_module, "os", SimpleNamespace(**{**vars(os), "waitpid": self.waitpid}))
        monkeypatch.setattr(login_module, "kill", lambda pids, number: self.sent.append((list(pids), number)))

    def sleep(self, seconds: float) -> None:
        assert seconds == 0.005
        self.now += 0.5

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        assert (pid, options) == (77, os.WNOHANG)
        return (77, 768) if self.now >= self.exits_at else (0, 0)


@pytest.mark.parametrize(
    ("exits_at", "status", "signals"),
    [
        (100.0, 3, [0]),
        (102.5, 3, [0]),
        (103.0, 3, [0, signal.SIGTERM]),
        (106.0, 3, [0, signal.SIGTERM, signal.SIGKILL]),
        (109.0, -9, [0, signal.SIGTERM, signal.SIGKILL]),
    ],
)
def test_a_login_that_has_closed_its_output_must_end(
    monkeypatch: pytest.MonkeyPatch, exits_at: float, status: int, signals: list[int]
) -> None:
    clock = Clock(monkeypatch, exits_at)
    made = login()
    made.pid = 77
    monkeypatch.setattr(made, "everyone", lambda: {77, 78})
    assert made.wait() == (status, "")
    assert clock.sent == [([77, 78] if number else [], number) for number in signals]


@pytest.mark.parametrize(
    ("rc", "begun", "obstacle", "kind", "found", "error"),
    [
        (0, False, "", "launch", DEAF, NOTHING % (0, OBSTACLES[DEAF])),
        (3, False, "", "launch", "", "it says so"),
        (3, False, TERMINAL, "launch", TERMINAL, NOTHING % (3, OBSTACLES[TERMINAL])),
        (0, True, "", "launch", "", "it says so"),
        (0, False, "", "no python", "", "it says so"),
    ],
)
def test_what_a_login_says_that_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, rc: int, begun: bool, obstacle: str, kind: str, found: str, error: str
) -> None:
    def conclude(launch: Any, *_words: Any) -> None:
        launch.error, launch.kind = "it says so", kind

    monkeypatch.setattr(PipedLaunch, "conclude", conclude)
    made = login()
    made.begun, made.obstacle = begun, obstacle
    made.conclude(rc, "", "")
    assert (made.obstacle, made.error) == (found, error)


@pytest.mark.parametrize("ended", [True, False])
def test_a_python_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch, ended: bool) -> None:
    made = login()
    refusal = {"refused": {"kind": "old python", "version": "3.5"}}
    made.report = cast(Any, {**refusal, "end": "there"} if ended else refusal)
    made.begun = True
    monkeypatch.setattr(PipedLaunch, "conclude", lambda *_words: None)
    monkeypatch.setattr(login_module.sentences, "refusal", lambda found: found["version"])
    made.conclude(0, "", "")
    if ended:
        assert made.report and made.error == ""
    else:
        assert made.report is None and made.kind == "no python"
        assert made.error == "no usable Python (3.5): install Python 3.6 or later there, or give its path with --python"


@pytest.mark.parametrize("own", [True, False])
def test_all_processes_of_a_login(monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    """Those of a script, too; none when it is gone, for its pid may be another's."""
    monkeypatch.setattr(login_module, "children", lambda pid: [77] if own and pid == os.getpid() else [])
    monkeypatch.setattr(login_module, "descendants", lambda pid: {pid + 1: "sleep"})
    made = login()
    made.pid = 77
    assert made.everyone() == ({77, 78} if own else set())


@pytest.mark.parametrize(
    ("labelled", "everyone", "meant", "refused", "left", "over"),
    [
        ({5: 77}, {77, 78}, 1, [], True, False),
        ({}, {77, 78}, 2, [], True, False),
        ({}, set(), 0, [], False, False),
        ({}, {77}, 1, [77], False, True),
        ({}, {77, 78}, 2, [77], True, True),
    ],
)
def test_a_login_is_stopped_with_all_that_it_runs(
    monkeypatch: pytest.MonkeyPatch,
    labelled: dict[int, int],
    everyone: set[int],
    meant: int,
    refused: list[int],
    left: bool,
    over: bool,
) -> None:
    """sudo runs as another user: it notices that nobody reads its output."""
    made = login()
    pressed: list[Any] = []

    def press(*words: Any) -> tuple[int, list[int]]:
        pressed.append(words)
        return meant, refused

    monkeypatch.setattr(made, "everyone", lambda: everyone)
    monkeypatch.setattr(made, "processes", lambda: labelled)
    monkeypatch.setattr(made, "ending", SimpleNamespace(press=press))
    made.out, target = os.pipe()
    assert made.cancel(0.25) is left
    found = labelled or dict.fromkeys(everyone, 0)
    assert pressed == [(found, 0.25, everyone | set(labelled))] and made.cancelled
    assert made.ready is over and closed(made.out) is over
    assert bool(made.error) is over
    made.ready = True
    if not over:
        os.close(made.out)
    os.close(target)


# -- the end on this host


@pytest.mark.parametrize("secret", [True, False])
def test_the_end_on_this_host_waits_for_secrets(monkeypatch: pytest.MonkeyPatch, secret: bool) -> None:
    """Unless they are ours."""
    made = ForkLaunch(plan(), login())
    forked: list[int] = []
    monkeypatch.setattr(made, "fork", lambda: forked.append(1))
    if not secret:
        made.plan["links"][1]["secret"] = ""
    made.start()
    assert forked == [1] * secret
    keys = {link["id"]: KEY + str(number) for number, link in enumerate(made.plan["links"])}
    made.learn(keys)
    assert {link["id"]: link["secret"] for link in made.plan["links"]} == keys and forked == [1] * (1 + secret)


RAISES = {"none": None, "of the system": OSError(24, "Too many open files"), "another": ValueError("a bug")}


@pytest.mark.parametrize("error", RAISES)
def test_the_end_on_this_host_is_a_fork(monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    """Its standard output is ours to read, and it has none of our other pipes."""
    made = ForkLaunch(plan(), login())
    pipes = [*os.pipe(), *os.pipe()]
    made.login.out, made.login.into, made.login.taken = pipes[:3]

    def main(told: Any) -> None:
        raised = RAISES[error]
        facts = [told["end"], [closed(fd) for fd in [*pipes, made.out]]]
        os.write(1, json.dumps(facts).encode())
        if raised:
            raise raised

    monkeypatch.setattr(end_main, "main", main)
    monkeypatch.setattr(login_module, "say", lambda text: os.write(1, text.encode()))
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_words: os.write(1, kind.__name__.encode()))
    made.fork()
    assert os.get_blocking(made.out) is False and made.wanted() == {made.out: select.POLLIN}
    assert made.wait() == (1, "")
    said = os.read(made.out, 10_000).decode()
    facts, end = json.JSONDecoder().raw_decode(said)
    assert facts == ["there", [True, True, True, False, True]]
    assert (
        said[end:]
        == {
            "none": "",
            "of the system": "the end on this host failed: [Errno 24] Too many open files",
            "another": "ValueError",
        }[error]
    )
    assert os.read(made.out, 1) == b"", "nobody else has the other end of it"
    for fd in [*pipes, made.out]:
        os.close(fd)


@pytest.mark.parametrize(
    ("alive", "words", "found"),
    [
        (True, {77: b"a", 78: b"a", 79: b"b"}, [77, 78]),
        (True, {77: b"", 78: b"", 79: b"a"}, [77]),
        (False, {77: b"a", 78: b"a"}, []),
    ],
)
def test_the_end_on_this_host_and_its_guard(
    monkeypatch: pytest.MonkeyPatch, alive: bool, words: dict[int, bytes], found: list[int]
) -> None:
    """The guard has the same command line; what the stages have is their own."""
    known = {os.getpid(): [77] if alive else [], 77: [78, 79]}
    monkeypatch.setattr(login_module, "children", known.get)
    monkeypatch.setattr(login_module, "words_of", lambda pid: words.get(pid, b""))
    made = ForkLaunch(plan(), login())
    made.pid = 77
    assert made.processes() == {pid: os.getpid() if pid == 77 else 77 for pid in found}


def test_the_command_line_of_a_process() -> None:
    with open("/proc/self/cmdline", "rb") as own:
        assert words_of(os.getpid()) == own.read() != b""
    assert words_of(2**22 + 1) == b"", "there is none"
