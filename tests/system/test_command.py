# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command socketpipe: its whole synopsis, what its exit statuses say, and how words get to the far side."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.hosts import Fleet

from . import anatomy
from .shell import Shell, stats

SSH = "-l { ssh h1 }"


# -- the synopsis

# what is typed: the option that the message names; tests/unit/test_arguments.py has the sentences
MISTAKES = {
    "": "-l/--login",
    "-l { ssh h1 } -i { x }": "-r/--remote",
    "-l { ssh h1 } -r { x }": "-i/--input or -o/--output",
    "-i x": "-i/--input",
    "-r {x }": "-r/--remote",
    "-l": "-l/--login",
    "--output": "-o/--output",
    "-i { x { y }": "-i/--input",
    "-o { }": "-o/--output",
    "-i { x } -i { y }": "-i/--input",
    "-i { x } -l { y } -r { z } -x": "-x",
    "-i { x } -l { y } -r { z } word": "unexpected word 'word'",
    "-t soon": "-t/--timeout",
    "-t": "-t/--timeout",
    "-h": "-h/--host",
    "-i { x } -l { y } -r { z } -h ''": "-h/--host",
    "--ports 70000": "--ports",
    "--rate-limit fast": "--rate-limit",
    "--stall-timeout=-1": "--stall-timeout",
    "-i { x } -l { y } -r { z } --dead-peer 2": "--dead-peer",
    "-i { x } -l { y } -r { z } --listen=remote": "--listen",
}


@pytest.mark.parametrize("options", MISTAKES)
def test_a_mistake_is_one_line_and_1(shell: Shell, options: str) -> None:
    ended = shell.run(f"socketpipe {options}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.said.startswith(MISTAKES[options]) and ended.said.count("\n") == 0


def test_a_mistake_starts_nothing(shell: Shell, work: Path) -> None:
    touch = f"{{ touch {work}/ran }}"
    assert shell.run(f"socketpipe -i {touch} -l {touch} -r {touch} --nonsense").returncode == 1
    assert list(work.iterdir()) == []


def test_the_whole_synopsis(fleet: Fleet, shell: Shell, work: Path) -> None:
    """Every option of the original in one line, and the same with the long ones."""
    address = fleet.controller.address
    for number, line in enumerate(
        (
            f"socketpipe -b -h {address} -t 20 -i {{ seq 1 10000 }} {SSH} -r {{ sort -rn }} -o {{ dd of=OUT }}",
            f"socketpipe --output {{ dd of=OUT }} --remote {{ sort -rn }} --login {{ ssh h1 }} "
            f"--input {{ seq 1 10000 }} --timeout=20 --host={address} --batch",
        )
    ):
        out = work / str(number)
        ended = shell.run(line.replace("OUT", str(out)))
        assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
        assert out.read_text(encoding="ascii").split() == [str(each) for each in range(10000, 0, -1)]


@pytest.mark.parametrize("option", ["--help", "--version", "--manual"])
def test_what_tells_about_the_command(shell: Shell, option: str) -> None:
    ended = shell.run(f"socketpipe {option}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "socketpipe" in ended.stdout


# -- the exit status: that of the last command, 2 where that would hide a failure

STATUSES = {
    "push": ("-i { seq 1 100000 } -r { dd of=/dev/null status=none }", 0, ""),
    "pull": ("-r { seq 1 100000 } -o { dd of=/dev/null status=none }", 0, ""),
    "remote, last": ("-i { echo x } -r { sh -c 'cat; exit 7' }", 7, "remote (sh) on FAR failed with exit status 7"),
    "output": ("-r { echo x } -o { sh -c 'cat; exit 9' }", 9, "output (sh) on this host failed with exit status 9"),
    "output, 1": ("-r { echo x } -o { sh -c 'cat; exit 1' }", 1, "output (sh) on this host failed with exit status 1"),
    "remote killed": (
        "-i { echo x } -r { sh -c 'cat; kill -9 $$' }",
        137,
        "remote (sh) on FAR was killed by SIGKILL (was the host out of memory?)",
    ),
    "output killed": (
        "-r { echo x } -o { sh -c 'cat; kill $$' }",
        143,
        "output (sh) on this host was killed by SIGTERM",
    ),
    "remote, not last": (
        "-r { sh -c 'echo x; exit 7' } -o { sh -c 'cat; exit 0' }",
        2,
        "remote (sh) on FAR failed with exit status 7; to accept this status, use --ok-rc remote=0,7",
    ),
    "input, swallowed": (
        "-i { sh -c 'echo x; exit 5' } -r { sh -c 'cat; exit 0' }",
        2,
        "input (sh) on this host failed with exit status 5; to accept this status, use --ok-rc input=0,5",
    ),
    "input, noticed": (
        "-i { sh -c 'head -c 30M /dev/zero; exit 5' } -r { sh -c 'cat 2>&-' }",
        2,
        "input (sh) on this host failed with exit status 5; to accept this status, use --ok-rc input=0,5",
    ),
    "input, ok otherwise": (
        "--ok-rc input=0,2 -i { sh -c 'head -c 30M /dev/zero; exit 1' } -r { sh -c 'cat 2>&-; exit 3' }",
        2,
        "input (sh) on this host failed with exit status 1; to accept this status, use --ok-rc input=0,1,2",
    ),
    "input killed": (
        "-i { sh -c 'head -c 30M /dev/zero; kill $$' } -r { sh -c 'cat 2>&-' }",
        2,
        "input (sh) on this host was killed by SIGTERM",
    ),
    "input, nothing begun": (
        "-i { false } -r { cat }",
        2,
        "input (false) on this host failed with exit status 1; to accept this status, use --ok-rc input=0,1",
    ),
    "had enough": ("-r { seq 1 1000000 } -o { head -1 }", 0, ""),
    "had enough there": ("-i { seq 1 1000000 } -r { head -1 }", 0, ""),
    "no input": (
        "-i { no-such-program } -r { cat }",
        2,
        "input on this host: there is no 'no-such-program' in PATH PATH_HERE",
    ),
    "no remote": ("-i { echo } -r { /etc/passwd }", 2, "remote on FAR: '/etc/passwd' is not executable"),
    "no output": ("-r { echo } -o { no/such }", 2, "output on this host: there is no 'no/such'"),
}


@pytest.mark.parametrize("case", STATUSES)
def test_the_exit_status(shell: Shell, case: str) -> None:
    options, status, message = STATUSES[case]
    ended = shell.run(f"socketpipe {SSH} {options}")
    assert ended.returncode == status, ended.stderr
    # the commands may have said something before, such as that a write has failed
    said = [line for line in ended.stderr.splitlines() if line.startswith("socketpipe: ")]
    message = message.replace("FAR", "the far side (ssh h1)").replace("PATH_HERE", "")
    whole = f"socketpipe: {message}"
    assert said == ([whole] if message else []) or message.endswith("PATH ") and said[0].startswith(whole)


def test_whole_takes_no_less(shell: Shell) -> None:
    ended = shell.run(f"socketpipe --whole -r {{ seq 1 1000000 }} {SSH} -o {{ sh -c 'head -1 >&-; exit 0' }}")
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]
    assert re.match(r"socketpipe: output \(sh\) on this host stopped reading .*; leave out --whole", said)


def test_no_connection_in_time(fleet: Fleet, shell: Shell) -> None:
    """The sentence says what was tried and what to try."""
    fleet.controller.block("in", "drop", ports="20000-40000")
    try:
        ended = shell.run(f"socketpipe -t 2 -i {{ echo }} {SSH} -r {{ cat }}")
    finally:
        fleet.controller.unblock()
    assert ended.returncode == 2
    assert ended.said.startswith(
        "no connection between the far side (ssh h1) and this host within 2 s (-t/--timeout). this host listened on "
    )
    assert f"dialled this host at {fleet.controller.address} port" in ended.said
    assert ended.said.endswith("--listen (which side listens).")


# -- end of file means success, and nothing else does


@pytest.mark.parametrize("fault", ["exit 5", "kill -9 $$"])
@pytest.mark.parametrize("side", ["push", "pull", "through"])
def test_a_source_that_fails_is_an_error_at_the_sink(shell: Shell, work: Path, side: str, fault: str) -> None:
    """Whatever the sink's own exit status is: the shell's `|| exit 0` swallows it."""
    source = f"sh -c 'head -c 4M /dev/zero; while [ ! -e {work}/seen ]; do sleep 0.1; done; {fault}'"
    probe = f"sh -c '{' '.join(anatomy.probe(f'{work}/seen', 'sink'))} || exit 0'"
    line = {
        "push": f"-i {{ {source} }} -r {{ {probe} }}",
        "pull": f"-r {{ {source} }} -o {{ {probe} }}",
        "through": f"-i {{ {source} }} -r {{ cat }} -o {{ {probe} }}",
    }[side]
    ended = shell.run(f"socketpipe -b {SSH} {line} --stats={work}/stats")
    assert anatomy.seen(work / "seen")["end"] == "ECONNRESET"
    assert ended.returncode == 2, ended.stderr
    found = stats(work / "stats")
    assert (found["ok"], found["exit_status"]) == (False, 2)
    assert found["stages"][0]["rc"] == (5 if fault == "exit 5" else -9)
    assert found["cause"]["stage"] == found["stages"][0]["name"]
    assert found["msg"] in ended.stderr
