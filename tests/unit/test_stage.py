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
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.execute import (
    find_command,
    full_environment,
    own_environment,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted, in_memory, spawn
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import (
    CHUNK,
    KEPT,
    PIPE_MOST,
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


def test_nothing_kept_is_no_text() -> None:
    assert text_of(None) == ""


def test_a_flood_is_taken_in_portions() -> None:
    """`yes >&2` is never at its end: the end must come back to its other work."""
    assert PIPE_MOST >= CHUNK
    made = Kept(last=True)
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                os.write(made.theirs, b"x" * CHUNK)
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
