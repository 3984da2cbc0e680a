# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command is interrupted, hung up or killed: an error at the sink, nothing left, and a status that says so.

That nothing is left, on no host, is what conftest's `clean` looks for after each test.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.hosts import Fleet

from . import anatomy
from .shell import Shell, find, gate, named

BATCH = ["", "-b"]
FAR = "ssh h1"
WRAPPED = "sh -c 'ssh h1 \"$@\"; exit $?' -"  # the shell that is signalled is not the login itself
ENDLESS = "sh -c 'cat /dev/zero; :' endless"
SIDES = ["push", "pull"]


def line(work: Path, side: str, batch: str, login: str = FAR, more: str = "--rate-limit=1M") -> str:
    """A stream that does not end by itself, and a sink that says how it ended."""
    probe = " ".join(anatomy.probe(str(work / "seen"), "sink", "deaf"))
    commands = f"-i {{ {ENDLESS} }} -r {{ {probe} }}" if side == "push" else f"-r {{ {ENDLESS} }} -o {{ {probe} }}"
    return f"exec socketpipe {more} {batch} -l {{ {login} }} {commands}"


def flows(work: Path) -> None:
    anatomy.until("bytes at the sink", lambda: anatomy.seen(work / "seen"))


def sink_saw(work: Path) -> str:
    return str(anatomy.until("the sink's end", lambda: anatomy.seen(work / "seen")["end"], 12))


def nothing_runs(fleet: Fleet) -> bool:
    words = ("endless", "sink", "/root/bin/socketpipe")
    return not find(fleet, lambda proc: any(word in proc.argv for word in words) or bool(proc.label))


@pytest.mark.parametrize("login", [FAR, WRAPPED])
@pytest.mark.parametrize("batch", BATCH)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_a_signal(fleet: Fleet, shell: Shell, work: Path, number: int, side: str, batch: str, login: str) -> None:
    """To the command alone."""
    process = shell.start(line(work, side, batch, login))
    flows(work)
    process.send_signal(number)
    ended = shell.finish(process)
    assert ended.returncode == -number
    assert sink_saw(work) in anatomy.BROKEN
    anatomy.until("nothing runs any more", lambda: nothing_runs(fleet), 10)
    if number != signal.SIGKILL:
        assert "socketpipe: interrupted: " in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("batch", BATCH)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("key", ["\x03", "\x1c", "hang up"])
def test_a_key(fleet: Fleet, shell: Shell, work: Path, key: str, side: str, batch: str) -> None:
    """Ctrl-C, Ctrl-\\ and the end of the terminal itself go to the whole foreground process group."""
    number = {"\x03": signal.SIGINT, "\x1c": signal.SIGQUIT, "hang up": signal.SIGHUP}[key]
    with shell.terminal(line(work, side, batch)) as terminal:
        flows(work)
        if key == "hang up":
            terminal.hang_up()
        else:
            terminal.type(key)
        assert terminal.wait() == -number, terminal.shown
    assert sink_saw(work) in anatomy.BROKEN
    anatomy.until("nothing runs any more", lambda: nothing_runs(fleet), 10)
    assert "Traceback" not in terminal.shown


@pytest.mark.parametrize(
    ("number", "login"),
    [
        (signal.SIGTERM, "sh -c 'sleep 7411; :'"),
        (signal.SIGINT, "sh -c 'sleep 7411; :'"),
        (signal.SIGKILL, "sh -c 'exec sleep 7411'"),  # then there is nobody who could end more than the login itself
    ],
)
@pytest.mark.parametrize("batch", BATCH)
def test_while_it_connects(fleet: Fleet, shell: Shell, work: Path, number: int, login: str, batch: str) -> None:
    """No stage has begun, the login is under way."""
    process = shell.start(line(work, "push", batch, login))
    named(fleet, "sleep")
    process.send_signal(number)
    assert shell.finish(process).returncode == -number
    assert not (work / "seen").exists()


def test_ctrl_c_ends_a_stubborn_pair(fleet: Fleet, shell: Shell, work: Path) -> None:
    """Both ignore SIGTERM and SIGPIPE, and neither reads nor writes."""
    stubborn = "sh -c 'trap \"\" TERM INT HUP PIPE; echo x; touch {}; while :; do sleep 1; done' endless"
    here, there = (stubborn.format(work / name) for name in ("here", "there"))
    with shell.terminal(f"exec socketpipe -b -i {{ {here} }} -l {{ ssh h1 }} -r {{ {there} }}") as terminal:
        anatomy.until("both run", lambda: (work / "here").exists() and (work / "there").exists())
        terminal.type("\x03")
        assert terminal.wait(60) == -signal.SIGINT
    anatomy.until("nothing runs any more", lambda: nothing_runs(fleet), 10)


def test_under_nohup_it_goes_on(shell: Shell, work: Path) -> None:
    """SIGHUP, ignored when it starts, stays ignored: for the command, for all that it starts, and far away."""
    source = f"sh -c 'echo one; touch {work}/runs; {gate(work / 'go')}; echo two'"
    process = shell.start(f"exec nohup socketpipe -i {{ {source} }} -l {{ ssh h1 }} -r {{ cat }} -o {{ cat }}")
    anatomy.until("it runs", (work / "runs").exists)
    process.signal_group(signal.SIGHUP)
    process.signal_group(signal.SIGHUP)
    (work / "go").touch()
    ended = shell.finish(process)
    assert (ended.returncode, ended.stdout) == (0, "one\ntwo\n"), ended.stderr


@pytest.mark.parametrize("batch", BATCH)
def test_in_the_background_of_a_script_it_goes_on(shell: Shell, work: Path, batch: str) -> None:
    """There SIGINT and SIGQUIT are ignored (POSIX, asynchronous lists): Ctrl-C ends the script only."""
    source = f"sh -c 'echo one; touch {work}/runs; {gate(work / 'go')}; echo two'"
    started = f"socketpipe {batch} -i {{ {source} }} -l {{ ssh h1 }} -r {{ cat }} -o {{ dd of={work}/out status=none }}"
    process = shell.start(f"{started} & trap : INT QUIT; wait $!; wait $!; echo status=$?")
    anatomy.until("it runs", (work / "runs").exists)
    process.signal_group(signal.SIGINT)
    (work / "go").touch()
    ended = shell.finish(process)
    assert ended.stdout == "status=0\n", ended.stderr
    assert (work / "out").read_text(encoding="ascii") == "one\ntwo\n"


@pytest.mark.parametrize("part", ["login", "session", "end here", "guard here", "end there", "guard there"])
@pytest.mark.parametrize("side", SIDES)
def test_a_part_of_it_is_killed(fleet: Fleet, shell: Shell, work: Path, side: str, part: str) -> None:
    """Whichever: the sink sees an error, the command says what it was, in one line and with status 2 or the sink's."""
    process = shell.start(line(work, side, "-b"))
    flows(work)
    anatomy.send(find_part(fleet, part))
    ended = shell.finish(process)
    sinks = "end there" if side == "push" else "end here"
    if part == sinks:  # its guard may have killed the sink before it could say
        assert anatomy.seen(work / "seen")["end"] in ("", *anatomy.BROKEN)
    else:
        assert sink_saw(work) in anatomy.BROKEN, ended.stderr
    assert ended.returncode in (2, 3), ended.stderr
    # a program that dies with it may be in the middle of its own line: "cat: socketpipe: on ...", "write error: ..."
    assert len(re.findall("socketpipe: on .", ended.stderr)) == 1, ended.stderr


def find_part(fleet: Fleet, part: str) -> anatomy.Proc:
    if part == "login":
        return named(fleet, "ssh")
    everything = anatomy.processes(fleet.controller, *fleet)
    by_pid = {proc.pid: proc for proc in everything}
    if part.endswith(" here"):
        chain = [proc for proc in everything if "/root/bin/socketpipe" in proc.argv]
    else:
        chain = [proc for proc in everything if proc.label and proc.name.startswith("python")]
    parents = {proc.ppid for proc in chain}
    end = next(proc for proc in chain if proc.pid not in parents)
    part, guard = part.split(" ")[0], by_pid[end.ppid]
    while part == "session" and not guard.name.startswith("sshd"):
        guard = by_pid[guard.ppid]
    return end if part == "end" else guard


def test_children_were_ignored_when_it_was_started(shell: Shell) -> None:
    """Some daemons leave SIGCHLD so: the kernel then keeps no exit status for anybody."""
    line = "-b -l { ssh h1 } -r { echo hello } -o { cat }"
    ended = shell.run(f"env --ignore-signal=CHLD socketpipe {line}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hello\n", "")


def test_descriptors_of_the_shell_are_for_the_commands_here(shell: Shell, work: Path) -> None:
    (work / "three").write_text("three", encoding="ascii")
    line = "-i { sh -c 'cat <&3' } -l { ssh h1 } -r { cat } -o { sh -c 'cat; cat /proc/self/fd/3' }"
    ended = shell.run(f"socketpipe -b {line} 3<{work}/three")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "threethree", "")
