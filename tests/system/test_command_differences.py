# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each difference from the original that the guide tells of, by the first words of its sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.hosts import Fleet

from .playbook import REPOSITORY
from .shell import Shell, stats

SSH = "-l { ssh h1 }"
FAILED = "input (sh) on this host failed with exit status 1; to accept this status, use --ok-rc input=0,1"
TWICE = "-i/--input: given twice (see socketpipe --help)"
NUMBER = "-t/--timeout: 'soon' is not a whole number of seconds from 0 to 1000000000 (see socketpipe --help)"
# the words: lines, each with its exit status, its output and, in the end, what is said
LINES: dict[str, list[tuple[str, int, str, str]]] = {
    "The far side": [("-r { sh -c 'command -v socketpipe || echo none' } -o { cat }", 0, "none\n", "")],
    "No shell on": [("-r { printf [%s] '*' '$HOME' '' } -o { cat }", 0, "[*][$HOME][]", "")],
    "Each direction uses": [
        # the two ends of a two-way connection would be the same
        (
            "-i { echo x } -r { sh -c 'cat; [ /dev/fd/0 -ef /dev/fd/1 ] || echo two' } -o { cat }",
            0,
            "x\ntwo\n",
            "",
        )
    ],
    "The failure of": [
        # the sink has begun, or it would never be started
        (
            "-i { sh -c 'echo x; until [ -e seen ]; do sleep 0.1; done; exit 1' } -r { cat } "
            "-o { sh -c 'read -r line; touch seen; cat || echo error' }",
            2,
            "error\n",
            FAILED,
        ),
        ("--ok-rc input=0,1 -i { sh -c 'echo x; exit 1' } -r { cat } -o { cat }", 0, "x\n", ""),
    ],
    "A command's output": [
        ("-i { sh -c '(sleep 2; echo late) & echo early' } -r { cat } -o { cat }", 0, "early\nlate\n", ""),
    ],
    "If a command": [
        ("-i { touch ran } -r { cat } -o { no/such }", 2, "", "output on this host: there is no 'no/such'"),
        ("-i { touch ran } -r { no/such } -o { cat }", 2, "", "remote on the far side (ssh h1): there is no 'no/such'"),
    ],
    "Without -i the": [("-r { cat } -o { cat }", 0, "", ""), ("-i { echo x } -r { cat }", 0, "", "")],
    "Only the far": [],  # tests/system/test_command_plain.py: test_without_plain_an_original_is_not_taken
    "This host listens": [],
    "It supports IPv6.": [("-h HERE6 -i { echo x } -r { cat } -o { cat }", 0, "x\n", "")],
    "There is one": [],
    "A signal stops": [],  # test_command_signals.py
    "dd reads whole": [
        (
            "-r { sh -c 'for n in 1 2 3 4; do printf aaaa; sleep 0.2; done' } -o { sh -c 'dd bs=16 2>&1 >/dev/null' }",
            0,
            "1+0 records in\n1+0 records out\n",
            "",
        )
    ],
    "Commands start with": [
        ("-i { sh -c 'grep SigIgn /proc/self/status' } -r { cat } -o { sed s/.*0000$/none/ }", 0, "none\n", "")
    ],
    "At a terminal": [],  # test_command_options.py
    "No command can": [
        ("-i { true } -i { true } -r { cat }", 1, "", TWICE),
        ("-t soon -i { true } -r { cat }", 1, "", NUMBER),
    ],
}


def told() -> list[str]:
    """The sentences of the guide."""
    guide = (REPOSITORY / "docs/docsite/rst/command.rst").read_text(encoding="utf-8").replace("``", "")
    part = guide.partition("Differences from the original\n")[2].partition("Working with an original\n")[0]
    return [" ".join(line.split()[:3]) for line in re.findall(r"^- (.*)", part, re.MULTILINE)]


def test_every_difference_is_tried() -> None:
    assert told() == list(LINES)


@pytest.mark.parametrize(
    ("line", "status", "out", "said"),
    [pytest.param(*each, id=f"{words} {number}") for words in LINES for number, each in enumerate(LINES[words])],
)
def test_a_difference(fleet: Fleet, shell: Shell, work: Path, line: str, status: int, out: str, said: str) -> None:
    line = line.replace("HERE6", str(fleet.controller.v6))
    ended = shell.run(f"cd {work}; trap '' PIPE; socketpipe -b {SSH} {line}")
    assert (ended.returncode, re.sub(r"\d+ bytes.*\n", "", ended.stdout)) == (status, out), ended.stderr
    assert (ended.stderr.splitlines() or [""])[-1] == (said and f"socketpipe: {said}")
    assert not (work / "ran").exists()


def test_it_listens_on_a_port_that_a_firewall_can_know(shell: Shell, work: Path) -> None:
    ended = shell.run(f"socketpipe -b {SSH} --stats={work}/stats -i {{ echo x }} -r {{ cat }} -o {{ cat }}")
    assert ended.returncode == 0
    for link, side in zip(stats(work / "stats")["links"], ("source", "destination"), strict=True):
        assert 20000 <= int(link[f"{side}_address"].rpartition(":")[2]) < 32768


def test_there_is_one_login_whose_input_is_the_program(shell: Shell, work: Path) -> None:
    login = f"sh -c 'echo >>{work}/logins; tee {work}/input | \"$@\"' - ssh h1"
    ended = shell.run(f"echo secret | socketpipe -b -l {{ {login} }} -i {{ cat }} -r {{ cat }} -o {{ cat }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "secret\n", "")
    assert (work / "logins").read_text(encoding="ascii") == "\n"
    assert (work / "input").read_text(encoding="ascii").startswith("import sys;")
