# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command and the original, on either side; and that nobody else gets in who speaks as the original does."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.hosts import Fleet

from . import anatomy
from .shell import Shell, build, find, gate, stats

ORIGINAL = Path(__file__).with_name("original.py")
NUMBERS = "".join(f"{number}\n" for number in range(1, 100_001))
PORT = 23005
BATCH = ["", "-b"]


@pytest.fixture
def far(work: Path) -> str:
    """A login to a host where the original is in the PATH; through a shell, which knows SSH_CLIENT."""
    (work / "bin").mkdir()
    program = work / "bin" / "socketpipe"
    program.write_text(f'#!/bin/sh\nexec /usr/bin/python3 -IS {ORIGINAL} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return f"ssh h1 env PATH={program.parent}:/usr/bin:/bin"


@pytest.fixture
def ours(work: Path) -> str:
    """The same with our program in its place."""
    build(work / "bin" / "socketpipe")
    return f"ssh h1 env PATH={work}/bin:/usr/bin:/bin"


# -- ours here, the original there


@pytest.mark.parametrize("batch", BATCH)
def test_plain_drives_an_original(shell: Shell, far: str, work: Path, batch: str) -> None:
    """There, back, and through; and a status."""
    line = f"socketpipe --plain {batch} -l {{ {far} }}"
    ended = shell.run(f"{line} -i {{ seq 1 100000 }} -r {{ dd of={work}/out status=none }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert (work / "out").read_text(encoding="ascii") == NUMBERS
    ended = shell.run(f"{line} -r {{ seq 1 100000 }} -o {{ cat }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, NUMBERS, "")
    ended = shell.run(f"{line} -i {{ seq 1 100000 }} -r {{ tr 0-9 1-90 }} -o {{ tr 1-90 0-9 }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, NUMBERS, "")
    ended = shell.run(f"{line} -i {{ echo x }} -r {{ sh -c '\"cat >&2; exit 7\"' }}")
    assert ended.returncode == 7
    ended = shell.run(f"{line} -i {{ echo x }} -r {{ cat }} -o {{ sh -c 'cat; exit 9' }}")
    assert ended.returncode == 9
    ended = shell.run(f"{line} -i {{ echo x }} -r {{ cat }} -o {{ sh -c 'cat; kill $$' }}")
    assert ended.returncode == 143


@pytest.mark.parametrize("batch", BATCH)
def test_plain_leaves_the_streams_alone(shell: Shell, far: str, work: Path, batch: str) -> None:
    """Standard input is the input command's alone, though here the login command needs nothing on its own."""
    data = work / "data"
    data.write_bytes(os.urandom(300_000))
    line = f"socketpipe --plain {batch} -l {{ {far} }} -r {{ cat }} -o {{ cat }}"
    ended = shell.run(f"{line} -i {{ cat }} < {data} | cmp - {data}")
    assert (ended.returncode, ended.stderr) == (0, "")
    ended = shell.run(f"cat {data} | {{ {line} -i {{ head -c 1000 }}; cat; }} | cmp - {data}")
    assert (ended.returncode, ended.stderr) == (0, "")
    ended = shell.run(f"cat {data} | {{ {line} >/dev/null; cat; }} | cmp - {data}")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_plain_with_a_host_needs_no_shell_there(fleet: Fleet, shell: Shell, far: str, work: Path) -> None:
    login = f"env PATH={work}/bin:/usr/bin:/bin"
    ended = shell.run(f"socketpipe --plain -h 127.0.0.1 -i {{ seq 3 }} -l {{ {login} }} -r {{ cat }} -o {{ cat }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1\n2\n3\n", "")


@pytest.mark.parametrize("batch", BATCH)
def test_plain_tells_the_far_side_that_the_input_failed(shell: Shell, far: str, work: Path, batch: str) -> None:
    """This much can be kept: a reset in place of an end of file."""
    probe = " ".join(anatomy.probe(str(work / "seen"), "sink"))
    source = f"sh -c 'head -c 4M /dev/zero; while [ ! -e {work}/seen ]; do sleep 0.1; done; exit 5'"
    ended = shell.run(f"socketpipe --plain {batch} -i {{ {source} }} -l {{ {far} }} -r {{ {probe} }}")
    assert ended.returncode == 2  # not the probe's, which may or may not have failed before
    assert anatomy.seen(work / "seen")["end"] == "ECONNRESET"
    message = "socketpipe: input ended with exit status 5; to accept this status, use --ok-rc input=0,5"
    assert message in ended.stderr.splitlines()


@pytest.mark.parametrize("batch", BATCH)
def test_plain_takes_a_status_for_success(shell: Shell, far: str, batch: str) -> None:
    line = f"socketpipe --plain {batch} --ok-rc input=0,1 -l {{ {far} }} -r {{ cat }} -o {{ cat }}"
    ended = shell.run(f"{line} -i {{ sh -c 'seq 1 100000; exit 1' }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, NUMBERS, "")


@pytest.mark.parametrize("source", ["", "-i { yes }", "-i { sh -c 'yes; exit 0' }"])
def test_plain_when_the_output_has_had_enough(shell: Shell, far: str, source: str) -> None:
    """The far side hears of it and ends; with the original's own client it would hang."""
    remote = "cat" if source else "yes"
    ended = shell.run(f"socketpipe --plain {source} -l {{ {far} }} -r {{ {remote} }} -o {{ head -1 }}")
    assert (ended.returncode, ended.stdout) == (0, "y\n"), ended.stderr
    assert "socketpipe: " not in ended.stderr


def test_plain_when_the_remote_command_has_had_enough(shell: Shell, far: str) -> None:
    """No failure of the input command; what it wrote in vain resets the one socket, and cat may still meet that."""
    ended = shell.run(f"socketpipe --plain -i {{ yes }} -l {{ {far} }} -r {{ head -1 }} -o {{ cat }}")
    assert ended.stdout == "y\n", ended.stderr
    said = [line for line in ended.stderr.splitlines() if line.startswith("socketpipe: ")]
    reset = (
        ["socketpipe: output ended with exit status 1"] if "cat: -: Connection reset by peer" in ended.stderr else []
    )
    assert (ended.returncode, said) == (len(reset), reset)


def test_plain_without_a_reader_still_gets_all_there(shell: Shell, far: str, work: Path) -> None:
    """An output command that ends at once, while the remote one writes a little or nothing, and reads everything."""
    remote = f"sh -c '\"echo begun; sleep 1; cat >{work}/out; echo done\"'"
    line = f"socketpipe --plain -l {{ {far} }} -r {{ {remote} }} -o {{ true }}"
    ended = shell.run(f"{line} -i {{ sh -c 'seq 1 50000; sleep 2; seq 50001 100000' }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert (work / "out").read_text(encoding="ascii") == NUMBERS


def test_plain_gives_the_terminal_to_the_input_command_alone(shell: Shell, far: str) -> None:
    """The login command would take some of what is typed for it, or wait for it."""
    login = f"sh -c 'cat >/dev/null; exec \"$@\"' - {far}"
    with shell.terminal(f"socketpipe --plain -i {{ head -2 }} -l {{ {login} }} -r {{ tac }} -o {{ cat }}") as terminal:
        terminal.type("one\ntwo\n")
        assert terminal.wait() == 0, terminal.shown
        assert terminal.shown.endswith("two\r\none\r\n")


@pytest.mark.parametrize("batch", BATCH)
@pytest.mark.parametrize("side", ["push", "pull"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_plain_is_ended(fleet: Fleet, shell: Shell, far: str, work: Path, number: int, side: str, batch: str) -> None:
    """An error at the sink, even here: and nothing is left."""
    probe = " ".join(anatomy.probe(str(work / "seen"), "sink", *(["stubborn"] if side == "push" else [])))
    commands = f"-i {{ yes }} -r {{ {probe} }}" if side == "push" else f"-r {{ yes }} -o {{ {probe} }}"
    process = shell.start(f"exec socketpipe --plain {batch} -l {{ {far} }} {commands}")
    anatomy.until("bytes at the sink", lambda: anatomy.seen(work / "seen"))
    process.send_signal(number)
    assert shell.finish(process).returncode == -number
    if side == "push":
        assert anatomy.until("the sink's end", lambda: anatomy.seen(work / "seen")["end"]) == "ECONNRESET"
    anatomy.until("nothing runs", lambda: not find(fleet, lambda proc: "sink" in proc.argv or "yes" in proc.argv), 10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_plain_is_ended_while_it_waits(shell: Shell, work: Path, number: int) -> None:
    process = shell.start(
        f"exec socketpipe --plain -i {{ echo }} -l {{ sh -c 'touch {work}/here; sleep 7421' }} -r {{ cat }}"
    )
    anatomy.until("the login command runs", (work / "here").exists)
    process.send_signal(number)
    assert shell.finish(process).returncode == -number


PLAIN_FAILURES = {
    "-i { echo } -l { no-such-login } -r { cat }": "-l/--login: there is no 'no-such-login' in PATH ",
    "-i { no-such-input } -l { true } -r { cat }": "-i/--input: there is no 'no-such-input' in PATH ",
    "-o { /etc/passwd } -l { true } -r { cat }": "-o/--output: '/etc/passwd' is not executable",
    "-i { echo } -l { false } -r { cat }": "the far side did not connect: the login command ended with exit status 1",
    "-t 1 -i { echo } -l { sh -c 'sleep 7431; :' } -r { cat }": (
        "the far side did not connect within 1 s (-t/--timeout): try -h, or --ports"
    ),
}


@pytest.mark.parametrize("options", PLAIN_FAILURES)
def test_plain_fails_with_2(shell: Shell, options: str) -> None:
    ended = shell.run(f"socketpipe --plain {options}")
    assert ended.returncode == 2
    assert ended.said.startswith(PLAIN_FAILURES[options])


# -- the original here, ours there


def test_an_original_client_is_answered(fleet: Fleet, shell: Shell, ours: str, work: Path) -> None:
    """It starts `socketpipe -s host port command…` there: there, back, through, and a status."""
    client = ["/usr/bin/python3", "-IS", str(ORIGINAL), fleet.controller.address]
    ended = shell.run([*client, "seq 1 100000", "", f"dd of={work}/out status=none", *ours.split()])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (work / "out").read_text(encoding="ascii") == NUMBERS
    ended = shell.run([*client, "", "cat", "seq 1 100000", *ours.split()])
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, NUMBERS, "")
    ended = shell.run([*client, "seq 1 100000", "cat", "tac", *ours.split()])
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "".join(reversed(NUMBERS.splitlines(True))), "")
    ended = shell.run([*client, "echo x", "", "grep y", *ours.split()])
    assert ended.returncode == 1


def test_what_is_answered_inherits_the_login_only(fleet: Fleet, shell: Shell, ours: str) -> None:
    """Not the locale that our own Python has set where there was none (PEP 538)."""
    client = ["/usr/bin/python3", "-IS", str(ORIGINAL), fleet.controller.address]
    look = "grep -zo ^LC_.* /proc/self/environ"
    ended = shell.run([*client, "", "cat", look, *ours.split()])
    assert (ended.returncode, ended.stdout) == (0, "")
    ended = shell.run([*client, "", "cat", look, *ours.split(), "LC_CTYPE=C"])
    assert ended.stdout == "LC_CTYPE=C\0"


ANSWERS = {
    "-s": (1, "-s: needs a host, a port and a command"),
    "-s host 1": (1, "-s: needs a host, a port and a command"),
    "-s host port cat": (1, "-s: 'port' is not a port number"),
    "-s host 70000 cat": (1, "-s: '70000' is not a port number"),
    "-s 127.0.0.1 9 cat": (2, "-s: cannot connect to 127.0.0.1 port 9: Connection refused"),
    "-s no-such-host 9 cat": (2, "-s: cannot connect to no-such-host port 9: "),
}


@pytest.mark.parametrize("options", ANSWERS)
def test_what_is_answered_to_a_wrong_call(shell: Shell, options: str) -> None:
    ended = shell.run(f"socketpipe {options}")
    assert ended.returncode == ANSWERS[options][0]
    assert ended.said.startswith(ANSWERS[options][1])


# -- without --plain nobody is let in who proves nothing


def test_without_plain_an_original_is_not_taken(fleet: Fleet, shell: Shell, work: Path) -> None:
    """Strangers who call as the original does get not one byte and deliver none; the run goes on and counts them."""
    late = f"sh -c '{gate(work / 'go')}; exec \"$@\"' - ssh h1"
    line = f"-i {{ seq 1 100000 }} -l {{ {late} }} -r {{ dd of={work}/out status=none }}"
    process = shell.start(f"exec socketpipe -b --ports={PORT} --stats={work}/stats {line}")
    anatomy.until("it listens", lambda: any(f":{PORT} " in each for each in fleet.controller.listeners()))
    call = ["/usr/bin/python3", "-IS", str(ORIGINAL), "-s", fleet.controller.address, str(PORT)]
    strangers = [
        fleet["h2"].popen([*call, "sh", "-c", script, str(work)], stderr=subprocess.PIPE)
        for script in ('echo forged; cat > "$0/stolen"; :', 'cat > "$0/stolen2"; :')
    ]
    for stranger in strangers:
        stranger.communicate(timeout=30)  # it is hung up on
    assert process.poll() is None
    (work / "go").touch()
    assert shell.finish(process).returncode == 0
    assert (work / "out").read_text(encoding="ascii") == NUMBERS
    assert (work / "stolen").read_bytes() == (work / "stolen2").read_bytes() == b""
    assert stats(work / "stats")["strangers"] == 2
