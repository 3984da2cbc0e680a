# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a command: what it gets from its end, and what it does not; each in a process of its own."""

from __future__ import annotations

import base64
import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import spawn as spawn_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted, spawn
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import SIGNALS

PATH = {b"PATH": os.environb[b"PATH"]}
Run = Callable[..., str]


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs a shell script with a pipe as its standard output; returns what it writes."""
    pids: list[int] = []

    def start(script: str, chdir: str | None = None, fds: dict[int, int] | None = None, **more: Any) -> str:
        source, target = os.pipe()
        try:
            pids.append(spawn(["/bin/sh", "-c", script], PATH, chdir, {1: target, 2: 2, **(fds or {})}, **more))
        finally:
            os.close(target)
        with open(source, encoding="utf-8") as said:
            return said.read()

    yield start
    for pid in pids:
        os.waitpid(pid, 0)


@pytest.mark.parametrize("own_session", [True, False])
def test_a_command_may_have_its_own_session(run: Run, own_session: bool) -> None:
    pid, session = run("echo $$ $(cut -d' ' -f6 /proc/$$/stat)", own_session=own_session).split()
    assert int(session) == (int(pid) if own_session else os.getsid(0))


def test_where_a_command_runs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "\u00e4").mkdir()
    assert run("pwd -P", str(tmp_path / "\u00e4")) == f"{tmp_path.resolve()}/\u00e4\n"
    assert run("pwd -P") == f"{os.getcwd()}\n"


@pytest.mark.parametrize(
    ("argv", "chdir", "problem"),
    [
        (["/nonexistent"], None, {"step": "run", "name": "/nonexistent", "errno": errno.ENOENT}),
        (["/bin/sh"], "/nonexistent", {"step": "chdir", "name": "/nonexistent", "errno": errno.ENOENT}),
    ],
)
def test_a_command_that_cannot_be_run(argv: list[str], chdir: str | None, problem: dict[str, Any]) -> None:
    """It is said at which step, and nothing of it is left."""
    before = os.listdir("/proc/self/fd")
    with pytest.raises(NotStarted) as caught:
        spawn(argv, PATH, chdir, {0: 0, 1: 1, 2: 2})
    text = "No such file or directory"
    assert caught.value.problem == {"kind": "not started", "error": text, **problem} and str(caught.value) == text
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert os.listdir("/proc/self/fd") == before


def test_a_function_in_place_of_a_command(run: Run) -> None:
    """An exception in it is told, and the process ends."""

    def fail() -> None:
        raise ValueError("no more")

    with pytest.raises(NotStarted) as caught:
        spawn(["x"], {}, None, {0: 0, 1: 1, 2: 2}, become=fail)
    assert caught.value.problem == {"kind": "not started", "step": "run", "name": "x", "errno": 0, "error": "no more"}
    assert run("", become=lambda: (os.write(1, b"it is me"), os._exit(0))) == "it is me"


def test_descriptors_may_trade_places(run: Run, tmp_path: Path) -> None:
    """Each may be the number of another one."""
    fds = []
    for name in "abc":
        (tmp_path / name).write_text(f"{name}\n")
        fds.append(os.open(tmp_path / name, os.O_RDONLY))
    try:
        one, other, third = fds
        given = {0: third, one: other, other: one}
        assert run(f"cat /dev/fd/{one} /dev/fd/{other}; cat", fds=given).split() == ["b", "a", "c"]
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("others", [True, False])
def test_other_descriptors_are_inherited_only_on_demand(run: Run, tmp_path: Path, others: bool) -> None:
    fds = [os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)]
    os.set_inheritable(fds[0], True)
    try:
        seen = run("for fd in /proc/$$/fd/*; do echo ${fd##*/}; done", fds={0: 0}, others=others).split()
    finally:
        for fd in fds:
            os.close(fd)
    assert (str(fds[0]) in seen) is others and str(fds[1]) not in seen


def test_what_dies_with_its_end(tmp_path: Path) -> None:
    """It gets the signal, also if its end has died before it could ask for that."""
    for change in (lambda: None, lambda: setattr(spawn_module.os, "getppid", lambda: 1)):
        source, target = os.pipe()
        end = os.fork()
        if end == 0:
            change()
            fds = {0: 0, 1: target, 2: 2}
            script = "echo on; exec sleep 1000"
            spawn(["/bin/sh", "-c", script], PATH, None, fds, True, signal.SIGKILL)
            os._exit(0)
        os.close(target)
        os.waitpid(end, 0)
        with open(source, "rb") as pipe:
            pipe.read()  # to its end: nobody has it any more


# -- signals


@pytest.mark.parametrize("own_session", [True, False])
@pytest.mark.parametrize("ignored", [True, False])
def test_signals_are_those_of_our_start(monkeypatch: pytest.MonkeyPatch, own_session: bool, ignored: bool) -> None:
    """What nohup ignores stays ignored, and Ctrl-C in the background of a script."""
    done: dict[Any, Any] = {}
    every = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, *SIGNALS]
    fake = SimpleNamespace(
        **{name: getattr(signal, name) for name in dir(signal) if name.startswith("SIG")},
        set_wakeup_fd=lambda fd: done.update(wakeup=fd),
        getsignal=lambda number: signal.SIG_IGN if ignored else signal.default_int_handler,
        signal=lambda number, handler: done.update({number: handler}),
        pthread_sigmask=lambda *words: done.update(mask=words),
    )
    monkeypatch.setattr(spawn_module, "signal", fake)
    spawn_module.reset_signals(own_session)
    stay = {signal.SIGHUP} | (set() if own_session else {signal.SIGINT, signal.SIGQUIT})
    changed = [number for number in every if not ignored or number not in stay]
    masks = {"wakeup": -1, "mask": (signal.SIG_SETMASK, ())}
    assert done == {**masks, **dict.fromkeys(changed, signal.SIG_DFL)}


def test_our_own_signals_are_not_blocked_afterwards(run: Run) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert run("exec grep ^SigBlk: /proc/self/status").split() == ["SigBlk:", "0" * 16]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


# -- memory


@pytest.fixture
def dumped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands for the setting of this process."""
    setting = tmp_path / "coredump_filter"
    setting.write_text("00000033\n")
    monkeypatch.setattr(spawn_module, "MEMORY_DUMPED", str(setting))
    monkeypatch.setattr(spawn_module, "_dumped", "")
    return setting


def test_no_memory_is_dumped_and_commands_get_the_setting_back(dumped: Path, run: Run) -> None:
    run("true")
    assert dumped.read_text() == "00000033\n"
    spawn_module.keep_out_of_dumps()
    assert dumped.read_text() == "0x0"
    spawn_module.keep_out_of_dumps()
    run("", become=lambda: os._exit(0))
    assert dumped.read_text() == "0x0", "a relay has keys, too"
    run("true")
    assert dumped.read_text() == "0x00000033"


def test_a_kernel_without_core_dumps(dumped: Path) -> None:
    dumped.unlink()
    spawn_module.keep_out_of_dumps()
    assert spawn_module._dumped == "" and not dumped.exists()
    spawn_module.set_dumped("0x0")
    dumped.unlink()
    dumped.mkdir()
    spawn_module.set_dumped("0x0")


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("refuses", ["nobody", "a kernel", "a Python"])
def test_a_program_is_in_a_file_without_a_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refuses: str, shared: bool
) -> None:
    """Whatever there is for that; and however little is written at once."""
    opened: list[str] = []

    def refuse(_name: str) -> int:
        raise OSError(errno.ENOSYS, "no such call")

    def open_in(path: str, flags: int, mode: int) -> int:
        opened.append(path)
        assert (flags, mode) == (os.O_TMPFILE | os.O_RDWR, 0o600)
        return os.open(tmp_path, flags, mode)

    known: dict[str, Any] = {**vars(os), "open": open_in, "access": lambda path, mode: shared and mode == os.W_OK}
    known["write"] = lambda fd, data: os.write(fd, data[:100_000])
    if refuses == "a kernel":
        known["memfd_create"] = refuse
    if refuses == "a Python":
        del known["memfd_create"]
    monkeypatch.setattr(spawn_module, "os", SimpleNamespace(**known))
    data = os.urandom(250_000)
    fd = spawn_module.in_memory(base64.b64encode(data).decode())
    assert opened == ([] if refuses == "nobody" else ["/dev/shm" if shared else "/tmp"])
    with open(fd, "rb") as file:
        assert file.read() == data


def test_a_pipe_is_read_to_its_end() -> None:
    source, target = os.pipe()
    os.write(target, b"x" * 10_000)
    os.close(target)
    assert spawn_module.read_all(source) == b"x" * 10_000
    with pytest.raises(OSError):
        os.fstat(source)


def test_descriptors_that_the_next_program_gets(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        fds = [os.dup2(0, fd) for fd in (50, 51)]
        spawn_module.close_all_but({0, 1, 2, fds[1]})
        os._exit(10 * os.get_inheritable(fds[0]) + os.get_inheritable(fds[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
