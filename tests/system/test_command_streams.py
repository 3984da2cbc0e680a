# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command's standard streams: who reads, who writes, and that terminals and pipes are left as they were."""

from __future__ import annotations

import filecmp
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import anatomy
from .shell import Shell, find, gate, is_nonblocking, marked, named

SSH = "-l { ssh h1 }"
SIZE = 3_000_001
BATCH = ["", "-b"]


@pytest.fixture
def data(work: Path) -> Path:
    """A file of bytes of all kinds."""
    path = work / "data"
    path.write_bytes(os.urandom(SIZE))
    return path


def same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


# -- the examples of the manual; a file stands in for the tape


def tree(work: Path) -> Path:
    """Something to back up, with names that a shell would stumble over."""
    luser = work / "home" / "luser"
    luser.mkdir(parents=True)
    for name in ("plain", "two words", "$HOME", "é\nü", "*"):
        (luser / name).write_bytes(os.urandom(200_000))
    return luser


def test_example_backup(shell: Shell, work: Path) -> None:
    tree(work)
    script = f"cd {work} && socketpipe -b -i {{ tar cf - home }} {SSH} -r {{ dd of={work}/st0 bs=32k status=none }}"
    ended = shell.run(script)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert shell.run(f"cd {work} && tar df st0 && tar cf - home | cmp - st0").returncode == 0


def test_example_restore(shell: Shell, work: Path) -> None:
    luser = tree(work)
    shell.run(f"cd {work} && tar cf st0 home && mv home was")
    script = (
        f"cd {work} && socketpipe -b {SSH} -r {{ dd if={work}/st0 bs=32k status=none }} -o {{ tar xpf - home/luser }}"
    )
    ended = shell.run(script)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    found = filecmp.dircmp(work / "was" / "luser", luser)
    assert len(found.same_files) == 5 and not (found.left_only or found.right_only or found.diff_files)


def test_example_compress_there(shell: Shell, work: Path) -> None:
    tree(work)
    commands = f"-i {{ tar cf - home }} {SSH} -r {{ bzip2 -c }} -o {{ dd of=st0 bs=32k status=none }}"
    ended = shell.run(f"cd {work} && socketpipe -b {commands}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert shell.run(f"cd {work} && tar cf - home | bzip2 -c | cmp - st0").returncode == 0


# -- standard input and output: the input command's and the output command's, and nobody else's


@pytest.mark.parametrize("batch", BATCH)
@pytest.mark.parametrize("stdout", ["file", "terminal"])
@pytest.mark.parametrize("stdin", ["file", "terminal"])
def test_the_four_combinations(shell: Shell, work: Path, data: Path, stdin: str, stdout: str, batch: str) -> None:
    """Redirected or not; what is not redirected is a terminal."""
    out = work / "out"
    source, redirected_in = ("cat", f"< {data}") if stdin == "file" else (f"cat {data}", "")
    sink, redirected_out = ("cat", f"> {out}") if stdout == "file" else (f"dd of={out} status=none", "")
    line = f"socketpipe {batch} -i {{ {source} }} {SSH} -r {{ cat }} -o {{ {sink} }} {redirected_in} {redirected_out}"
    with shell.terminal(f"{line}; echo status=$?") as terminal:
        assert terminal.expect(r"status=(\d+)")[1] == "0", terminal.shown
        assert terminal.wait() == 0
    assert same(out, data)


@pytest.mark.parametrize("batch", BATCH)
def test_what_is_not_read_is_still_there(shell: Shell, work: Path, data: Path, batch: str) -> None:
    """No byte of standard input goes to anybody but the input command, not even ahead."""
    line = f"socketpipe {batch} -i {{ head -c 1000 }} {SSH} -r {{ cat }} -o {{ cat }}"
    ended = shell.run(f"cat {data} | {{ dd bs=1000 count=1 iflag=fullblock status=none; {line}; cat; }} > {work}/out")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert same(work / "out", data)
    # a command without an input command has no use for it at all
    ended = shell.run(f"cat {data} | {{ socketpipe {batch} {SSH} -r {{ true }} -o {{ true }}; cat; }} > {work}/out")
    assert same(work / "out", data)


@pytest.mark.parametrize("batch", BATCH)
def test_nobody_else_writes(shell: Shell, batch: str) -> None:
    """The remote command, without an output command, and the login command do not write to standard output."""
    login = "-l { sh -c 'echo banner; exec \"$@\"' - ssh h1 }"
    ended = shell.run(f"socketpipe {batch} -i {{ echo x }} {login} -r {{ sh -c 'cat; echo noise' }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    ended = shell.run(f"socketpipe {batch} -i {{ echo x }} {login} -r {{ cat }} -o {{ cat }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "x\n", "")


def test_everybody_may_complain(shell: Shell) -> None:
    """Standard error is everybody's."""
    says = "{{ sh -c 'cat; echo {} >&2' }}"
    line = f"-i {says.format('one')} {SSH} -r {says.format('two')} -o {says.format('three')}"
    ended = shell.run(f"socketpipe {line} </dev/null")
    assert sorted(ended.stderr.split()) == ["one", "three", "two"]


CLOSED = {"in": "<&-", "out": ">&-", "error": "2>&-", "in and out": "<&- >&-", "all": "<&- >&- 2>&-"}


@pytest.mark.parametrize("closed", CLOSED)
def test_streams_that_are_closed(shell: Shell, work: Path, data: Path, closed: str) -> None:
    """Their numbers must not fall to something of ours."""
    line = f"socketpipe -i {{ cat {data} }} {SSH} -r {{ cat }} -o {{ dd of={work}/out status=none }} {CLOSED[closed]}"
    assert shell.run(line).returncode == 0
    assert same(work / "out", data)


def test_output_to_a_closed_stream_fails(shell: Shell) -> None:
    """As without socketpipe; it must not be swallowed."""
    ended = shell.run(f"socketpipe -i {{ echo x }} {SSH} -r {{ cat }} -o {{ cat }} >&-")
    assert ended.returncode == 1, ended.stderr
    assert "socketpipe: output (cat) on this host failed with exit status 1" in ended.stderr


def test_output_to_a_full_disk_fails(shell: Shell) -> None:
    ended = shell.run(f"socketpipe -i {{ echo x }} {SSH} -r {{ cat }} -o {{ cat }} > /dev/full")
    assert ended.returncode == 1, ended.stderr


# -- O_NONBLOCK is of the open file, which is shared: ssh sets it on its own standard error


def watched(shell: Shell, fleet: Fleet, work: Path, line: str, **streams: Any) -> None:
    """Runs `line` in a shell; nothing that the shell has open is non-blocking while ssh's standard error is."""
    script = f"{line.replace('GATE', gate(work / 'go'))}; : {work}; read -r nothing < {work}/last"
    os.mkfifo(work / "last")
    process = shell.start(["bash", "-c", script, str(work)], **streams)
    try:
        output = marked(fleet, f"mark-{work.name}")
        (outer,) = find(fleet, lambda proc: proc.name == "bash" and str(work) == proc.argv[-1])
        ssh = named(fleet, "ssh")
        anatomy.until("ssh's standard error is non-blocking", lambda: is_nonblocking(ssh, 2))
        assert not [fd for fd in (0, 1, 2) if is_nonblocking(outer, fd)]
        assert not [fd for fd in (1, 2) if is_nonblocking(output, fd)]
        (work / "go").touch()
        anatomy.until("socketpipe has ended", lambda: not find(fleet, lambda proc: proc.name == "ssh"))
        assert not [fd for fd in (0, 1, 2) if is_nonblocking(outer, fd)]
    finally:
        (work / "go").touch()
        (work / "last").write_text("\n", encoding="ascii")
        process.wait(20)
        if process.stdout:
            process.stdout.close()


@pytest.mark.parametrize("batch", BATCH)
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_shared_stream_stays_blocking(fleet: Fleet, shell: Shell, work: Path, kind: str, batch: str) -> None:
    """`2>&1`: were it not so, the output command would fail with EAGAIN as soon as its reader is slow."""
    remote, output = "sh -c 'echo x; GATE; echo y'", f"sh -c 'cat; :' mark-{work.name}"
    line = f"socketpipe {batch} {SSH} -r {{ {remote} }} -o {{ {output} }}"
    if kind == "socket":
        ours, theirs = socket.socketpair()
        with ours, theirs:
            watched(shell, fleet, work, line, stdin=theirs, stdout=theirs, stderr=theirs)
    else:
        watched(shell, fleet, work, line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("batch", BATCH)
def test_a_terminal_stays_blocking(fleet: Fleet, shell: Shell, work: Path, batch: str) -> None:
    """While ssh runs, and when all is over."""
    line = f"socketpipe {batch} -i {{ sh -c '{gate(work / 'go')}; echo x' }} {SSH} -r {{ cat }} -o {{ cat }}"
    with shell.terminal(["bash", "-c", f"{line}; echo status=$?; read -r nothing", str(work)]) as terminal:
        named(fleet, "ssh")
        (outer,) = find(fleet, lambda proc: proc.name == "bash" and str(work) == proc.argv[-1])
        assert not [fd for fd in (0, 1, 2) if is_nonblocking(outer, fd)]
        (work / "go").touch()
        assert terminal.expect(r"status=(\d+)")[1] == "0"
        assert not [fd for fd in (0, 1, 2) if is_nonblocking(outer, fd)]
        terminal.type("\n")
        assert terminal.wait() == 0


# -- a host with little left


def test_few_descriptors(shell: Shell) -> None:
    """Enough of them are 24, here and there; with fewer there is a sentence, and never a traceback."""
    line = "socketpipe -i { seq 3 } -l { ssh h1 prlimit --nofile=24 } -r { cat } -o { cat }"
    for limit in (64, 24):
        ended = shell.run(f"ulimit -n {limit}; {line}")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1\n2\n3\n", "")
    for limit in range(8, 22):
        ended = shell.run(f"ulimit -n {limit}; {line}")
        assert ended.returncode in (0, 2), ended.stderr
        assert "Traceback" not in ended.stderr
        assert ended.returncode == 0 or "Too many open files" in ended.stderr


# -- in the background of an interactive shell


def test_in_the_background(fleet: Fleet, shell: Shell, work: Path) -> None:
    """-b: whoever wants to ask on the terminal finds none, and nobody is stopped by SIGTTIN."""
    asks = 'head -c 1 </dev/tty; exec "$@"'
    login = f"-l {{ sh -c '{asks}' - ssh h1 }}"
    line = f"socketpipe -b -i {{ seq 1 1000 }} {login} -r {{ dd of={work}/out status=none }}"
    with shell.terminal(["bash", "--norc", "-i"]) as terminal:
        terminal.expect(r"\$ ")
        terminal.type(f"{line} &\n")
        terminal.type("wait %1; echo status=$?\n")
        assert terminal.expect(r"status=(\d+)")[1] == "0", terminal.shown
        terminal.type("exit\n")
        terminal.wait()
        assert "Stopped" not in terminal.shown
    assert (work / "out").read_text(encoding="ascii").endswith("\n1000\n")


@pytest.mark.parametrize("batch", BATCH)
@pytest.mark.parametrize("side", ["input", "output"])
def test_a_command_may_ask_on_the_terminal(shell: Shell, work: Path, side: str, batch: str) -> None:
    """For a tape, a passphrase: with -b, too, where it is the login command alone that cannot."""
    asks = f"sh -c 'printf \"which? \" >/dev/tty; read -r answer </dev/tty; cat; echo $answer >{work}/answer'"
    source, sink = (asks, "cat") if side == "input" else ("echo x", asks)
    login = f"sh -c '(: </dev/tty) 2>/dev/null && touch {work}/terminal; exec \"$@\"' - ssh h1"
    line = f"socketpipe {batch} -i {{ {source} }} -l {{ {login} }} -r {{ cat }} -o {{ {sink} }}"
    with shell.terminal(f"echo x | {line}; echo status=$?") as terminal:
        terminal.expect(r"which\? ")
        terminal.type("tape 7\n")
        assert terminal.expect(r"status=(\d+)")[1] == "0", terminal.shown
        assert terminal.wait() == 0
    assert (work / "answer").read_text(encoding="ascii") == "tape 7\n"
    assert (work / "terminal").exists() is not bool(batch)


def test_many_in_the_background(shell: Shell, work: Path) -> None:
    """Without -b, too, unless a command asks: the login command has no use for the terminal."""
    line = f"socketpipe -i {{ seq 1 1000 }} {SSH} -r {{ dd of={work}/out$n status=none }}"
    with shell.terminal(["bash", "--norc", "-i"]) as terminal:
        terminal.expect(r"\$ ")
        terminal.type(f"for n in 1 2 3; do {line} & done; wait; echo all=over\n")
        terminal.expect(r"all=over\r")
        terminal.type("exit\n")
        terminal.wait()
        assert "Stopped" not in terminal.shown
    assert [path.stat().st_size for path in sorted(work.glob("out?"))] == [3893] * 3
