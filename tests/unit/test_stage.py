# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a stage's output, and starting a command."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import link
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import stage as stage_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.execute import (
    find_command,
    full_environment,
    own_environment,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted, in_memory, spawn
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import (
    ENDED,
    KEPT,
    KEPT_MOST,
    PIPE_MOST,
    RUNNING,
    SETTLED,
    WAITING,
    Kept,
    Stage,
    text_of,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences
from hypothesis import example, given, settings
from hypothesis import strategies as st


def kept(data: bytes, last: bool) -> Kept:
    """What is kept of these bytes, written piece by piece."""
    made = Kept(last)
    try:
        for start in range(0, len(data), 30_000):
            os.write(made.theirs, data[start : start + 30_000])
            made.read()
    finally:
        os.close(made.theirs)
    made.read()
    assert not made.open and made.total == len(data)
    return made


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("size", [0, 1, KEPT - 1, KEPT, KEPT + 1, 3 * KEPT + 5])
def test_kept(size: int, last: bool) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    found = kept(data, last)
    assert found.data == (data[-KEPT:] if last else data[:KEPT])
    assert text_of(found) == found.data.decode()


@given(st.binary(max_size=3000), st.integers(1, 60), st.booleans())
@example('é→\U0001f4a9"\\\n\x7f\0'.encode(), 5000, True)
@settings(max_examples=60, deadline=None)
def test_text_fits_its_budget(data: bytes, times: int, last: bool) -> None:
    made = Kept(last)
    os.close(made.theirs)
    made.close()
    whole = data * times
    made.data = whole[-KEPT:] if last else whole[:KEPT]
    text = text_of(made)
    assert len(json.dumps(text)) - 2 <= KEPT
    expected = made.data.decode("utf-8", "replace")
    assert expected.endswith(text) if last else expected.startswith(text)


@pytest.mark.parametrize(
    ("status", "signal_", "rc"), [(None, None, None), (0, None, 0), (0x300, None, 3), (15, 15, -15), (9 | 128, 9, -9)]
)
def test_what_wait4_says(status: int | None, signal_: int | None, rc: int | None) -> None:
    stage: Any = SimpleNamespace(status=status)
    assert (Stage.signal.fget(stage), Stage.rc.fget(stage)) == (signal_, rc)


def test_how_much_is_kept_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as a pipe can hold, in pieces of its usual size; a pipe without data holds nobody up."""
    assert (KEPT, KEPT_MOST, PIPE_MOST) == (65536, 4194304, 1048576)
    made, sizes = Kept(last=True), list[int]()
    made.read()
    assert made.open and (made.total, made.data) == (0, b"")

    def read(fd: int, size: int) -> bytes:
        sizes.append(size)
        return b"x" * size

    with monkeypatch.context() as patch:
        patch.setattr(stage_module.os, "read", read)
        made.read()
    assert sizes == [65536] * 16 and (made.total, len(made.data)) == (PIPE_MOST, KEPT)
    os.close(made.theirs)
    made.read()
    with pytest.raises(OSError):
        os.fstat(made.fd)
    made.read()  # its number may be that of something else by now
    made.close()
    assert not made.open and made.total == PIPE_MOST


def test_nothing_kept_is_no_text() -> None:
    assert text_of(None) == ""


def test_a_flood_is_taken_in_portions() -> None:
    """`yes >&2` is never at its end: the end must come back to its other work."""
    made = Kept(last=True)
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                os.write(made.theirs, b"x" * 65536)
        finally:
            os._exit(0)
    try:
        for _time in range(20):
            before = made.total
            made.read()
            assert made.total - before <= PIPE_MOST
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(made.theirs)
        made.close()


@pytest.mark.parametrize(
    ("name", "path", "chdir", "text"),
    [
        ("sh", "/bin", None, ""),
        ("sh", "/no/such:/bin", None, ""),
        ("/bin/sh", "", None, ""),
        ("bin/sh", "", "/", ""),
        ("sh", "bin", "/", ""),
        ("sh", "/no/such", None, "there is no 'sh' in PATH /no/such"),
        ("/no/sh", "/bin", None, "there is no '/no/sh'"),
        ("sh", "/bin", "/no/such", "there is no directory '/no/such' to run it in"),
        ("{tmp}/plain", "", None, "'{tmp}/plain' is not executable"),
        ("plain", "{tmp}", None, "'{tmp}/plain' is not executable"),
        ("plain", "{tmp}:/bin", None, "'{tmp}/plain' is not executable"),
        ("{tmp}", "", None, "there is no '{tmp}'"),
        ("é", "{tmp}", None, ""),
        ("→", "{tmp}", None, "there is no '→' in PATH {tmp}"),
    ],
)
def test_find_command(tmp_path: Path, name: str, path: str, chdir: str | None, text: str) -> None:
    (tmp_path / "plain").touch(0o644)
    (tmp_path / "é").touch(0o755)

    def here(template: str) -> str:
        return template.replace("{tmp}", str(tmp_path))

    environment = full_environment({"PATH": here(path)})
    found = find_command(here(name), environment, chdir)
    assert (sentences.unusable(found) if found else "") == here(text)


def test_an_environment_is_ours_and_the_stages() -> None:
    ours = own_environment()
    found = full_environment({"PATH": "the stage's", "Ö": "ü"})
    assert ours[b"PATH"] == os.environb[b"PATH"] and b"HOME" in ours
    assert found == {**ours, b"PATH": b"the stage's", "Ö".encode(): "ü".encode()}


def descriptors() -> dict[int, int]:
    return {fd: os.open(os.devnull, os.O_RDWR) for fd in (0, 1, 2)}


@pytest.mark.parametrize(
    ("argv", "chdir", "text"),
    [
        (["/no/such"], None, "cannot run '/no/such': "),
        (["/"], None, "cannot run '/': "),
        (["true"], "/no/such", "cannot change to directory '/no/such': "),
        (["x" * 5000], None, "cannot run 'xxx"),
        (["true", "x" * 3_000_000], None, "cannot run 'true': "),  # E2BIG
        (["true", "a\0b"], None, "cannot run 'true': "),
    ],
    ids=["missing", "directory", "chdir", "name", "too big", "nul"],
)
def test_a_command_that_cannot_be_run(argv: list[str], chdir: str | None, text: str) -> None:
    fds = descriptors()
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(NotStarted) as caught:
        spawn(argv, full_environment({}), chdir, fds)
    assert text in sentences.not_started(caught.value.problem)
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    for fd in fds.values():
        os.close(fd)


def output_of(argv: list[str], environment: dict[str, str] | None = None, **more: Any) -> bytes:
    """What a command writes that is run so."""
    reading, writing = os.pipe()
    fds = descriptors()
    pid = spawn(argv, full_environment(environment or {}), None, {**fds, 1: writing}, **more)
    for fd in (writing, *fds.values()):
        os.close(fd)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    assert os.waitpid(pid, 0)[1] == 0
    return said


@pytest.mark.parametrize("by_path", [True, False])
def test_a_script_without_its_first_line(tmp_path: Path, by_path: bool) -> None:
    """As execvp(3) has it, which the original used: the shell runs it."""
    script = tmp_path / "without"
    script.write_text('echo "$0 $1"\n')
    script.chmod(0o755)
    path = "%s:%s" % (tmp_path, os.environ["PATH"])
    assert output_of([str(script) if by_path else "without", "a b"], {"PATH": path}) == b"%s a b\n" % bytes(script)


def test_a_program_for_another_processor_is_no_script(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF" + b"\0" * 100)
    program.chmod(0o755)
    fds = descriptors()
    with pytest.raises(NotStarted) as caught:
        spawn([str(program)], full_environment({}), None, fds)
    text = sentences.not_started(caught.value.problem)
    assert text == "cannot run %r: Exec format error (a program for another kind of processor?)" % str(program)
    for fd in fds.values():
        os.close(fd)


@pytest.mark.parametrize("others", [True, False])
def test_what_we_have_inherited_is_not_the_stages(others: bool) -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    high = fcntl.fcntl(fd, fcntl.F_DUPFD, 200)
    os.set_inheritable(fd, True)
    try:
        found = {int(name) for name in output_of(["ls", "/proc/self/fd"], others=others).split()}
    finally:
        os.close(fd)
        os.close(high)
    assert (fd in found, high in found) == (others, others)
    assert {0, 1, 2} < found


@pytest.mark.parametrize("own", [True, False])
def test_a_session_of_its_own(own: bool) -> None:
    said = output_of([sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid())"], own_session=own)
    assert said == b"%r\n" % own


def test_no_signal_is_blocked() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        said = output_of(["grep", "SigBlk", "/proc/self/status"])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert int(said.split()[1], 16) == 0


def test_descriptors_in_each_others_places() -> None:
    """What becomes 0, 1 and 2 may be anywhere, also crosswise among 0 to 9."""
    reading, writing = os.pipe()
    code = "import os; os.write(3, os.read(0, 10)); os.write(1, b'out'); os.write(2, b'err')"
    first, second = os.pipe()
    third, fourth = os.pipe()
    os.write(fourth, b"in")
    os.close(fourth)
    pid = spawn(
        [sys.executable, "-IS", "-c", code],
        full_environment({}),
        None,
        {0: third, 1: writing, 2: writing, 3: second},
    )
    assert os.waitpid(pid, 0)[1] == 0
    for fd in (writing, second, third):
        os.close(fd)
    assert (os.read(reading, 100), os.read(first, 100)) == (b"outerr", b"in")
    for fd in (reading, first):
        os.close(fd)


# -- a program that came with the plan


@pytest.mark.parametrize("old", [False, True], ids=["memfd_create", "Python before 3.8"])
def test_a_program_is_in_no_directory(monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
    if old:
        monkeypatch.delattr(os, "memfd_create")
    content = os.urandom(3_000_000)
    fd = in_memory(base64.b64encode(content).decode())
    with os.fdopen(fd, "rb") as program:
        assert os.fstat(fd).st_nlink == 0 and not os.get_inheritable(fd)
        assert program.read() == content


# -- the stage of a plan


def side(name: str, state: str = link.OPEN, writer: bool = True, **more: Any) -> Any:
    made = SimpleNamespace(**{"id": name, "state": state, "writer": writer, "problem": None, "log": [], **more})
    made.sock = SimpleNamespace(fileno=lambda: 50)
    for call in ("abort", "commit"):
        setattr(made, call, lambda call=call: made.log.append(call))
    return made


def stage_of(fds: dict[int, Any], **more: Any) -> Stage:
    spec = {"name": "stage", "argv": ["cmd", "word"], "ok_rc": [0, 2], "environment": {"A": "b"}, **more}
    spec["fds"] = {str(fd): each.id for fd, each in fds.items()}
    return Stage(cast(Any, spec), {(each.id, each.writer): each for each in fds.values()})


def test_a_new_stage() -> None:
    reads, writes, more = side("in", writer=False), side("out"), side("more")
    made = stage_of({0: reads, 1: writes, 3: more})
    assert made.fds == {0: reads, 1: writes, 3: more} and (made.ins, made.outs) == ([reads], [writes, more])
    assert (made.phase, made.until, made.pid, made.left_unread, made.waits) == (WAITING, None, 0, 0, False)
    assert not made.settled and not made.pipes() and made.rc is None and not made.accepted()
    made.enter(SETTLED)
    assert made.settled is True


@pytest.mark.parametrize(("until", "due"), [(None, False), (4.9, True), (5.0, True), (5.1, False)])
def test_a_limit_of_time(until: float | None, due: bool) -> None:
    made = stage_of({})
    made.enter(RUNNING, until)
    assert made.is_due(5.0) is due


class Start:
    """What a stage asks of ``spawn``, with the targets of its descriptors at that time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
        self.error = error
        self.argv: list[str] = []
        self.links: dict[int, str] = {}
        self.targets: dict[int, int] = {}
        self.rest: tuple[Any, ...] = ()
        self.program = b""
        monkeypatch.setattr(stage_module, "spawn", self.spawn)

    def spawn(
        self, argv: list[str], environment: Any, chdir: Any, targets: dict[int, int], *own: Any, **more: Any
    ) -> int:
        self.argv, self.targets, self.rest = argv, targets, (environment[b"A"], chdir, *own, more)
        self.links = {fd: os.readlink("/proc/self/fd/%d" % ours) for fd, ours in targets.items() if ours != 50}
        if 3 in targets:
            self.program = os.pread(targets[3], 100, 0)
        if self.error:
            raise self.error
        return 4321


def kinds(links: dict[int, str]) -> dict[int, str]:
    return {fd: text.partition(":")[0] for fd, text in links.items()}


def opened() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


SHAPES: dict[str, tuple[Callable[[], dict[int, Any]], dict[int, str]]] = {
    "source": (lambda: {1: side("out")}, {0: "/dev/null", 2: "pipe"}),
    "middle": (lambda: {0: side("in", writer=False), 1: side("out")}, {2: "pipe"}),
    "sink": (lambda: {0: side("in", writer=False)}, {1: "pipe", 2: "pipe"}),
    "two outputs": (lambda: {0: side("in", writer=False), 1: side("out"), 2: side("other")}, {}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fails", [False, True])
def test_the_descriptors_of_a_stage(monkeypatch: pytest.MonkeyPatch, shape: str, fails: bool) -> None:
    """Its links; what it writes besides is kept; and nothing else stays open here, whether it starts or not."""
    fds, others = SHAPES[shape][0](), SHAPES[shape][1]
    before, made = opened(), stage_of(fds, keep=5)
    asked = Start(monkeypatch, OSError(12, "no memory") if fails else None)
    if fails:
        with pytest.raises(OSError, match="no memory"):
            made.start()
        assert (made.pid, made.phase, made.started_at) == (0, WAITING, None) and made.ended_at
    else:
        made.start()
        assert (made.pid, made.phase, made.ended_at) == (4321, RUNNING, None) and made.started_at
    assert {fd: ours for fd, ours in asked.targets.items() if fd in fds} == dict.fromkeys(fds, 50)
    assert kinds(asked.links) == others and set(asked.targets) == {*fds, *others}
    assert (asked.argv, asked.rest) == (
        ["cmd", "word"],
        (b"b", None, True, {"orphaned": signal.SIGKILL, "others": False}),
    )
    assert (made.stderr is not None, made.stdout is not None) == (2 in others, 1 in others)
    assert not made.stderr or (made.stderr.last, made.stderr.most) == (True, 65536)
    assert not made.stdout or (made.stdout.last, made.stdout.most) == (False, 5)
    for kept in made.pipes():
        kept.read()  # its other side is closed
        assert not kept.open
    assert opened() == before


def test_settings_of_a_stage_and_descriptors_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    before, asked = opened(), Start(monkeypatch)
    given = os.open("/dev/zero", os.O_RDONLY)
    more = {"inherit": {"0": given, "2": given}, "own_session": False, "others": True, "chdir": "/there"}
    made = stage_of({}, **more)
    made.start()
    assert kinds(asked.links) == {0: "/dev/zero", 1: "pipe", 2: "/dev/zero"}
    assert asked.rest == (b"b", "/there", False, {"orphaned": signal.SIGKILL, "others": True})
    assert made.stdout and (made.stdout.most, made.report(0.0)["stderr"]) == (65536, None)
    made.stdout.close()
    os.close(given)
    assert opened() == before


def test_a_program_from_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is open as descriptor 3 in the stage alone; its launcher may be the Python of the end."""
    before, asked = opened(), Start(monkeypatch)
    text = base64.b64encode(b"print(1)").decode()
    made = stage_of({0: side("in", writer=False), 1: side("out")}, program=text, launcher=[None, "-c", "run"])
    made.start()
    assert asked.argv == [sys.executable, "-c", "run", "word"] and b"print(1)" in asked.program
    for kept in made.pipes():
        kept.close()
    assert opened() == before


@pytest.mark.parametrize("out", [False, True])
def test_a_stage_that_has_exited(out: bool) -> None:
    made = stage_of({})
    made.stderr, made.stdout = Kept(last=True), Kept(last=False) if out else None
    for kept in made.pipes():
        os.write(kept.theirs, b"the last words")
        os.close(kept.theirs)
    made.reaped(0x200, SimpleNamespace(ru_utime=1.5, ru_stime=0.25))
    assert (made.phase, made.status, made.cpu, made.rc, made.accepted()) == (ENDED, 0x200, 1.75, 2, True)
    assert made.ended_at and made.stderr.data == b"the last words" and (not out or made.stdout.data == made.stderr.data)
    for kept in made.pipes():
        kept.close()
    made.status = 0x100
    assert not made.accepted()


def test_the_first_problem_and_what_was_broken_before_it() -> None:
    made = stage_of({0: side("in", link.RESET, writer=False), 1: side("out")})
    made.fail({"kind": "not killed", "pid": 5})
    made.outs[0].state = link.RESET
    made.fail({"kind": "failed", "signal": ""})
    assert made.problem == {"kind": "not killed", "pid": 5} and made.blame == ["in"]


@pytest.mark.parametrize(
    ("reads", "writes", "no_more", "breaks"),
    [
        (link.OPEN, link.OPEN, False, False),
        (link.EOF, link.DONE, False, False),
        (link.RESET, link.OPEN, True, True),
        (link.ABORTED, link.OPEN, True, True),
        (link.OPEN, link.RESET, True, False),
        (link.OPEN, link.ABORTED, True, False),
    ],
)
def test_the_links_of_a_stage(reads: str, writes: str, no_more: bool, breaks: bool) -> None:
    made = stage_of({0: side("in", reads, writer=False), 1: side("out", writes)})
    assert (made.fails_with_a_link(), made.breaks_its_outputs()) == (no_more, breaks)
    made.abort_outputs()
    assert [cast(Any, each).log for each in made.fds.values()] == [[], ["abort"]]


@pytest.mark.parametrize(
    ("state", "problem", "broken"),
    [
        (link.OPEN, None, False),
        (link.ABORTED, None, False),
        (link.RESET, None, True),
        (link.ABORTED, {"kind": "stalled"}, True),
        (link.RESET, {"kind": "stalled"}, True),
    ],
)
def test_broken_links_that_explain_a_failure(state: str, problem: Any, broken: bool) -> None:
    made = stage_of({0: side("in", writer=False), 1: side("out", state, problem=problem)})
    assert made.broken_links() == (["out"] if broken else [])


def test_all_outputs_are_committed_in_turn() -> None:
    """As far as their data has left; a broken one stays broken."""
    fits = {"one": True, "two": False, "three": True}
    outs = {1: side("one"), 2: side("lost", link.RESET), 3: side("two"), 4: side("three")}
    for each in outs.values():
        each.flushed = lambda each=each: fits[each.id]
    made = stage_of(outs)
    assert made.commit() is False
    assert [each.log for each in outs.values()] == [["commit"], [], [], []]
    fits["two"] = True
    assert made.commit() is True
    assert [each.log for each in outs.values()] == [["commit", "commit"], [], ["commit"], ["commit"]]


@pytest.mark.parametrize(
    ("begun", "ended", "elapsed", "times"),
    [
        (None, None, None, (None, None)),
        (None, 15.0, None, (None, 5.0)),
        (12.0, None, 88.0, (2.0, None)),
        (12.0, 15.0, 3.0, (2.0, 5.0)),
    ],
)
def test_the_times_in_a_report(
    monkeypatch: pytest.MonkeyPatch, begun: float | None, ended: float | None, elapsed: float | None, times: Any
) -> None:
    monkeypatch.setattr(stage_module, "time", SimpleNamespace(monotonic=lambda: 100.0))
    made = stage_of({})
    made.started_at, made.ended_at, made.cpu, made.status = begun, ended, 1.5, 15
    said = made.report(10.0)
    assert (said["elapsed"], (said["started_at"], said["ended_at"])) == (elapsed, times)
    assert (said["name"], said["rc"], said["signal"], said["cpu"]) == ("stage", -15, 15, 1.5)
    assert (said["stderr"], said["stdout"], said["stdout_truncated"]) == ("", "", False)


@pytest.mark.parametrize(("size", "truncated"), [(4, False), (5, False), (6, True)])
def test_a_report_says_whether_the_output_is_whole(size: int, truncated: bool) -> None:
    made = stage_of({})
    made.stdout = Kept(False, 5)
    os.write(made.stdout.theirs, b"abcdefgh"[:size])
    os.close(made.stdout.theirs)
    made.stdout.read()
    made.stdout.close()
    said = made.report(0.0)
    assert (said["stdout"], said["stdout_truncated"]) == ("abcdefgh"[: min(size, 5)], truncated)
