# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""socketpipe within socketpipe: chains over several hosts, with nothing installed on any but the first."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts import Fleet

from . import anatomy
from .shell import Shell, find

NUMBERS = "".join(f"{number}\n" for number in range(1, 200_001))
WHERE = "ip -4 -o address show eth0"  # tells the hosts apart


@pytest.fixture(autouse=True)
def nothing_installed(fleet: Fleet) -> None:
    for host in fleet:
        assert host.run(["sh", "-c", "command -v socketpipe"], check=False).returncode != 0


@pytest.mark.parametrize("batch", ["", "-b"])
def test_pushed_through_a_host(shell: Shell, work: Path, batch: str) -> None:
    """The inner command's input is what the outer one sends there."""
    inner = f"socketpipe {batch} -i {{ cat }} -l {{ ssh h2 }} -r {{ dd of={work}/out bs=32k status=none }}"
    ended = shell.run(f"socketpipe {batch} -i {{ seq 1 200000 }} -l {{ ssh h1 }} -r {{ {inner} }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert (work / "out").read_text(encoding="ascii") == NUMBERS


@pytest.mark.parametrize("batch", ["", "-b"])
def test_pulled_through_a_host(shell: Shell, work: Path, batch: str) -> None:
    """The inner command's output is what the outer one receives from there."""
    inner = f"socketpipe {batch} -l {{ ssh h2 }} -r {{ seq 1 200000 }} -o {{ gzip -c }}"
    ended = shell.run(f"socketpipe {batch} -l {{ ssh h1 }} -r {{ {inner} }} -o {{ gzip -dc }} > {work}/out")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (work / "out").read_text(encoding="ascii") == NUMBERS


def test_there_and_back_over_three_hosts(fleet: Fleet, shell: Shell) -> None:
    """Each says where it has run; the innermost one logs in to the first host again."""
    says = f"sh -c '{WHERE} >&2; cat'"
    innermost = f"socketpipe -i {{ {says} }} -l {{ ssh controller }} -r {{ {says} }} -o {{ {says} }}"
    inner = f"socketpipe -i {{ {says} }} -l {{ ssh h2 }} -r {{ {innermost} }} -o {{ {says} }}"
    ended = shell.run(f"socketpipe -i {{ seq 1 200000 }} -l {{ ssh h1 }} -r {{ {inner} }} -o {{ cat }}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == NUMBERS
    places = re.findall(r" inet ([\d.]+)/", ended.stderr)
    h1, h2 = fleet["h1"].address, fleet["h2"].address
    assert sorted(places) == sorted([h1, h1, h2, h2, fleet.controller.address])


def test_nested_here(shell: Shell, work: Path) -> None:
    """This host is in the middle of the chain, or joins two others."""
    pull = "socketpipe -l { ssh h1 } -r { seq 1 200000 } -o { cat }"
    push = f"socketpipe -i {{ cat }} -l {{ ssh h2 }} -r {{ dd of={work}/out bs=32k status=none }}"
    ended = shell.run(f"socketpipe -i {{ {pull} }} -l {{ ssh h2 }} -r {{ dd of={work}/in bs=32k status=none }}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (work / "in").read_text(encoding="ascii") == NUMBERS
    ended = shell.run(f"socketpipe -l {{ ssh h1 }} -r {{ seq 1 200000 }} -o {{ {push} }}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (work / "out").read_text(encoding="ascii") == NUMBERS


def test_words_go_through_two_levels(shell: Shell) -> None:
    words = ["a  b", "'\"", "$HOME", "*", "line\nline", "é", "\udcff", ""]
    echo = "import os, sys; os.write(1, b'\\0'.join(os.fsencode(word) for word in sys.argv[1:]))"
    inner = ["socketpipe", "-l", "{", "ssh", "h2", "}", "-r", "{", "python3", "-c", echo, *words, "}"]
    inner += ["-o", "{", "cat", "}"]
    argv = ["socketpipe", "-l", "{", "ssh", "h1", "}", "-r", "{", *inner, "}", "-o", "{", "cat", "}"]
    ended = shell.run(argv, text=False, errors=None)
    assert ended.returncode == 0 and not ended.stderr
    assert ended.stdout == b"\0".join(word.encode("utf-8", "surrogateescape") for word in words)


# -- a failure goes through all of it


def pushing(work: Path, source: str) -> str:
    probe = " ".join(anatomy.probe(str(work / "seen"), "sink", "stubborn"))
    inner = f"socketpipe -b --rate-limit=20M -i {{ cat }} -l {{ ssh h2 }} -r {{ {probe} }}"
    return f"exec socketpipe -b --rate-limit=20M -i {{ {source} }} -l {{ ssh h1 }} -r {{ {inner} }}"


def pulling(work: Path, source: str) -> str:
    probe = " ".join(anatomy.probe(str(work / "seen"), "sink", "stubborn"))
    inner = f"socketpipe -b --rate-limit=20M -l {{ ssh h2 }} -r {{ {source} }} -o {{ cat }}"
    return f"exec socketpipe -b --rate-limit=20M -l {{ ssh h1 }} -r {{ {inner} }} -o {{ {probe} }}"


@pytest.mark.parametrize("chain", [pushing, pulling])
def test_a_source_that_fails(shell: Shell, work: Path, chain: Callable[[Path, str], str]) -> None:
    """After the sink has had some of it: what is sent nothing is never started."""
    ended = shell.run(chain(work, f"sh -c 'seq 1 1000000; until test -e {work}/seen; do sleep 0.1; done; exit 5'"))
    assert anatomy.until("the sink's end", lambda: anatomy.seen(work / "seen").get("end"), 12) in anatomy.BROKEN
    assert ended.returncode != 0
    assert re.search(
        r"^socketpipe: (input|remote) \(sh\) on .* failed with exit status 5; ", ended.stderr, re.MULTILINE
    )


@pytest.mark.parametrize("chain", [pushing, pulling])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_is_ended(fleet: Fleet, shell: Shell, work: Path, number: int, chain: Callable[[Path, str], str]) -> None:
    """All of it goes, on all three hosts."""
    process = shell.start(chain(work, "sh -c 'while cat /dev/zero; do :; done' endless"))
    anatomy.until("bytes at the sink", lambda: anatomy.seen(work / "seen"))
    process.send_signal(number)
    assert shell.finish(process).returncode == -number
    assert anatomy.until("the sink's end", lambda: anatomy.seen(work / "seen")["end"], 12) in anatomy.BROKEN
    words = {"sink", "endless", "socketpipe"}
    anatomy.until("nothing runs", lambda: not find(fleet, lambda proc: bool(words & set(proc.argv))), 10)


def test_the_status_of_the_inner_command(shell: Shell) -> None:
    inner = "socketpipe -i { cat } -l { ssh h2 } -r { sh -c 'cat; exit 7' }"
    ended = shell.run(f"socketpipe -i {{ echo x }} -l {{ ssh h1 }} -r {{ {inner} }}")
    assert ended.returncode == 7
    assert ended.stderr.splitlines() == [
        "socketpipe: remote (sh) on the far side (ssh h2) failed with exit status 7",
        "socketpipe: remote (socketpipe) on the far side (ssh h1) failed with exit status 7",
    ]


def test_a_mistake_in_the_inner_command(shell: Shell) -> None:
    ended = shell.run("socketpipe -i { echo x } -l { ssh h1 } -r { socketpipe -i { cat } -l { ssh h2 } }")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == (
        "socketpipe: -r/--remote is required: the command to run on the far side (see socketpipe --help)"
    )
