# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command has beyond the original: figures, progress, who listens where, limits."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.hosts import Fleet

from .shell import Shell, stats

SSH = "-l { ssh h1 }"
THROUGH = f"-i {{ seq 1 10000 }} {SSH} -r {{ sort -rn }} -o {{ tail -1 }}"
SIZE = 48894  # of `seq 1 10000`
BAR = r"\r(?:\[[# ]{5,20}\] )?0:00:\d\d  (\S+ → \S+ [\d.]+ (bytes|KiB|MiB) [\d.]+ (bytes|KiB|MiB)/s(, )?)+\x1b\[K"


# -- --stats


def test_stats_of_a_run_that_was_ok(fleet: Fleet, shell: Shell, work: Path) -> None:
    """Every exit status and every count; a line of JSON, and nothing on the standard streams."""
    ended = shell.run(f"socketpipe -b --stats={work}/stats {THROUGH}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1\n", "")
    found = stats(work / "stats")
    assert (found["ok"], found["exit_status"], found["msg"], found["bytes"]) == (True, 0, "ok", SIZE)
    assert [(stage["name"], stage["rc"]) for stage in found["stages"]] == [("input", 0), ("remote", 0), ("output", 0)]
    assert [stage["host"] for stage in found["stages"]] == ["this host", "the far side (ssh h1)", "this host"]
    assert [stage["argv"] for stage in found["stages"]] == [["seq", "1", "10000"], ["sort", "-rn"], ["tail", "-1"]]
    assert [(link["source"], link["destination"], link["bytes"], link["unread"]) for link in found["links"]] == [
        ("input", "remote", SIZE, 0),
        ("remote", "output", SIZE, 0),
    ]
    h1, here = fleet["h1"], fleet.controller
    first = found["links"][0]
    assert first["source_address"].rpartition(":")[0] in (here.v4, f"[{here.v6}]")
    assert first["destination_address"].rpartition(":")[0] in (h1.v4, f"[{h1.v6}]")


def test_stats_on_standard_error(shell: Shell) -> None:
    ended = shell.run(f"socketpipe -b {THROUGH} --stats")
    assert (ended.returncode, ended.stdout) == (0, "1\n")
    assert json.loads(ended.stderr)["ok"] is True


def test_stats_of_a_failure(shell: Shell) -> None:
    """The sentence, then the figures, which tell whose status it is."""
    ended = shell.run(f"socketpipe -b --stats -i {{ echo x }} {SSH} -r {{ sh -c 'cat >&2; exit 2' }}")
    assert ended.returncode == 2
    said, sentence, line = ended.stderr.splitlines()
    assert said == "x" and sentence == "socketpipe: remote (sh) on the far side (ssh h1) failed with exit status 2"
    found = json.loads(line)
    assert (found["ok"], found["exit_status"], found["msg"]) == (False, 2, sentence.removeprefix("socketpipe: "))
    assert (found["cause"]["stage"], found["cause"]["rc"]) == ("remote", 2)


def test_stats_have_what_the_remote_command_wrote_to_nobody(shell: Shell, work: Path) -> None:
    ended = shell.run(f"socketpipe -b --stats={work}/stats -i {{ seq 1 10000 }} {SSH} -r {{ wc -c }}")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert stats(work / "stats")["stages"][1]["stdout"] == f"{SIZE}\n"


def test_stats_that_cannot_be_written(shell: Shell) -> None:
    ended = shell.run(f"socketpipe -b --stats=/no/such/file {THROUGH}")
    assert (ended.returncode, ended.stdout) == (2, "1\n")
    assert ended.said == "--stats: /no/such/file: No such file or directory"


# -- progress


def watching(work: Path, more: str) -> str:
    """A run that goes on until the test has seen enough."""
    source = f"sh -c 'until [ -e {work}/go ]; do echo x; sleep 0.2; done'"
    return f"socketpipe {more} -i {{ {source} }} {SSH} -r {{ cat }} -o {{ wc -l }}"


@pytest.mark.parametrize("batch", ["", "-b"])
def test_progress_on_a_terminal(shell: Shell, work: Path, batch: str) -> None:
    """One line that is written over, and gone in the end."""
    with shell.terminal(f"{watching(work, batch)} >{work}/out") as terminal:
        terminal.expect(BAR)
        terminal.expect(BAR + BAR)
        assert "input → remote" in terminal.shown and "remote → output" in terminal.shown
        (work / "go").touch()
        assert terminal.wait() == 0
        assert terminal.shown.endswith("\r\x1b[K"), terminal.shown


QUIET = {
    "-q": ("-q", ">out"),
    "to a file": ("", ">out 2>error"),
    "in the background": ("", ">out &"),
    "nested": ("", ""),
    "beside the output": ("", ""),  # whose text it would mix into
}


@pytest.mark.parametrize("case", QUIET)
def test_no_progress(shell: Shell, work: Path, case: str) -> None:
    """Where nobody would look at it, or wants to. The run lasts for three samples."""
    option, redirection = QUIET[case]
    source = "sh -c 'for n in 1 2 3 4 5 6 7; do echo x; sleep 0.5; done'"
    line = f"socketpipe {option} -i {{ {source} }} {SSH} -r {{ cat }} -o {{ wc -c }}"
    if case == "nested":
        line = f"socketpipe -q -i {{ {line} }} -l {{ ssh h2 }} -r {{ cat }} -o {{ wc -c }}"
    with shell.terminal(["bash", "--norc", "-i"]) as terminal:
        terminal.expect(r"\$ ")
        terminal.type(f"cd {work}; {line} {redirection}\n")
        terminal.type("wait; echo all=over\n")
        terminal.expect(r"all=over\r")
        terminal.type("exit\n")
        terminal.wait()
        assert "→" not in terminal.shown and "[ " not in terminal.shown
    assert case != "to a file" or (work / "error").read_bytes() == b""


def test_progress_waits_while_somebody_is_asked(shell: Shell, work: Path) -> None:
    """Before the first byte, and when none moves: what a command writes to the terminal stays as it is."""
    ask = 'printf "%s: " >/dev/tty; read -r answer </dev/tty'
    source = f"sh -c '{ask % 'passphrase'}; echo x; sleep 3; {ask % 'next tape'}; echo y'"
    line = f"socketpipe -b -i {{ {source} }} {SSH} -r {{ cat }} -o {{ cat }} >{work}/out"
    with shell.terminal(f"stty -echo; {line}") as terminal:
        terminal.expect("passphrase: ")
        time.sleep(2.5)  # of samples
        assert terminal.shown == "passphrase: "
        terminal.type("one\n")
        terminal.expect(BAR)
        terminal.expect("next tape: ")
        time.sleep(2.5)
        assert terminal.shown.endswith("next tape: ")
        terminal.type("two\n")
        assert terminal.wait() == 0
    assert (work / "out").read_text(encoding="ascii") == "x\ny\n"


@pytest.mark.parametrize("columns", [80, 40])
def test_progress_of_two_links_stays_on_one_line(shell: Shell, work: Path, columns: int) -> None:
    with shell.terminal(f"stty columns {columns}; {watching(work, '')} >{work}/out") as terminal:
        terminal.expect("\r[^\r]+\x1b\\[K\r[^\r]+\x1b\\[K")
        (work / "go").touch()
        assert terminal.wait() == 0
        lines = re.findall("\r([^\r]*?)\x1b\\[K", terminal.shown)
        assert max(map(len, lines)) <= columns - 1 and "input → remote" in terminal.shown
        assert columns < 80 or "remote → output" in terminal.shown


# -- who listens, and where


@pytest.mark.parametrize("ports", ["23010", "23010-23011", "9,23010"])
def test_listening_here(fleet: Fleet, shell: Shell, work: Path, ports: str) -> None:
    """On one of the ports, this side only; a firewall that lets nothing else through is no matter."""
    fleet["h1"].block("in", "drop")
    try:
        ended = shell.run(f"socketpipe -b --ports {ports} --stats={work}/stats {THROUGH}")
    finally:
        fleet["h1"].unblock()
    assert ended.returncode == 0, ended.stderr
    for link, side in zip(stats(work / "stats")["links"], ("source", "destination"), strict=True):
        assert link[f"{side}_address"].rpartition(":")[2] in ("9", "23010", "23011")


@pytest.mark.parametrize("host", ["h1", "192.0.2.1,h1", "{v6}"])
def test_listening_there(fleet: Fleet, shell: Shell, work: Path, host: str) -> None:
    """Where this host cannot be reached; -h is then the far side's."""
    fleet.controller.block("in", "drop")
    try:
        host = host.format(v6=fleet["h1"].v6)
        line = f"socketpipe -b --listen=remote -h {host} --ports=23012 --stats={work}/stats {THROUGH}"
        ended = shell.run(line)
    finally:
        fleet.controller.unblock()
    assert ended.returncode == 0, ended.stderr
    for link, side in zip(stats(work / "stats")["links"], ("destination", "source"), strict=True):
        address, _colon, port = link[f"{side}_address"].rpartition(":")
        assert port == "23012"
        assert address in ([f"[{host}]"] if ":" in host else [fleet["h1"].v4, f"[{fleet['h1'].v6}]"])


def test_the_host_is_what_is_dialled(fleet: Fleet, shell: Shell) -> None:
    """And nothing else, though the login's own address would do."""
    ended = shell.run(f"socketpipe -b -t 2 -h 192.0.2.77 {THROUGH}")
    assert ended.returncode == 2
    dialled = re.findall(r"dialled this host at (\S+)", ended.said)
    assert set(dialled) == {"192.0.2.77"}


def test_ports_that_are_taken(fleet: Fleet, shell: Shell) -> None:
    ended = shell.run(f"socketpipe -b -t 2 --ports 22 {THROUGH}")
    assert ended.returncode == 2
    assert "this host could not listen, all its ports are taken (22: Address already in use)" in ended.said


# -- limits


def test_a_stream_that_stalls_is_given_up(shell: Shell, work: Path) -> None:
    line = f"-i {{ sh -c 'echo x; sleep 7441' }} {SSH} -r {{ dd of={work}/out status=none }}"
    ended = shell.run(f"socketpipe -b --stall-timeout 2 --stats={work}/stats {line}")
    assert ended.returncode != 0
    assert re.search(r"^socketpipe: the link input → remote .* was aborted: no byte moved for 2 s", ended.stderr, re.M)
    assert stats(work / "stats")["cause"]["kind"] == "stalled"


def test_who_asks_for_little_gets_it(shell: Shell, work: Path) -> None:
    """While the source works on: it ends when dd has its two blocks."""
    source = f"sh -c 'printf aaaa; sleep 1; printf bbbb; until test -s {work}/out.8; do sleep 0.1; done'"
    sink = f"sh -c 'dd bs=4 count=2 of={work}/out status=none; mv {work}/out {work}/out.8'"
    ended = shell.run(f"socketpipe -b -i {{ {source} }} {SSH} -r {{ {sink} }}")
    assert (work / "out.8").read_text(encoding="ascii") == "aaaabbbb"
    assert ended.returncode == 0, ended.stderr


READS = "/usr/bin/python3 -c 'import os; os.write(1, os.read(0, 10000))'"


@pytest.mark.parametrize(
    ("option", "reader", "size"),
    [
        ("", "dd bs=10000 count=1 status=none", 10000),
        ("--live", "dd bs=10000 count=1 status=none", 5000),
        ("", READS, 5000),
        ("--full-reads", READS, 10000),
    ],
)
def test_who_gets_whole_blocks(shell: Shell, option: str, reader: str, size: int) -> None:
    """One read, from a source that pauses."""
    pieces = "sh -c 'for i in 1 2 3; do dd if=/dev/zero bs=5000 count=1 status=none; sleep 0.5; done'"
    ended = shell.run(f"socketpipe {option} -b {SSH} -r {{ {pieces} }} -o {{ {reader} }}")
    assert (ended.returncode, len(ended.stdout)) == (0, size), ended.stderr


def test_commands_that_answer_each_other(shell: Shell, work: Path) -> None:
    """Through a cat with a large buffer: no line is sent before the last one was read."""
    source = f"sh -c 'for i in 1 2 3; do echo $i; until test -e {work}/$i; do sleep 0.1; done; done'"
    sink = f"sh -c 'while read line; do touch {work}/$line; done'"
    ended = shell.run(f"socketpipe -b -i {{ {source} }} {SSH} -r {{ cat }} -o {{ {sink} }}")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("option", ["", "--full-reads"])
def test_an_output_that_has_had_enough_ends_the_rest_without_a_word(shell: Shell, option: str) -> None:
    """By SIGPIPE, as in a shell's pipeline: no command complains of a connection."""
    line = f"{option} {SSH} -r {{ dd if=/dev/zero bs=64k status=none }} -o {{ head -c 10 }}"
    ended = shell.run(f"socketpipe -b {line}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "\0" * 10, "")
    ended = shell.run(f"socketpipe -b -i {{ yes }} {SSH} -r {{ cat }} -o {{ head -n 1 }}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "y\n", "")


def test_live_streams_flow(shell: Shell, work: Path) -> None:
    """The source says no more until its first line was read by a dd, which would wait for a block."""
    source = f"sh -c 'sleep 1; echo one; until test -e {work}/read; do sleep 0.1; done; echo two'"
    sink = f"sh -c 'dd bs=1k count=1 status=none; touch {work}/read; cat'"
    ended = shell.run(f"socketpipe --live {SSH} -r {{ {source} }} -o {{ {sink} }}")
    assert (ended.returncode, ended.stdout) == (0, "one\ntwo\n")


def test_a_rate_limit_limits(shell: Shell, work: Path) -> None:
    """Of both links, by the kernel: the figures can only be lower on a slow machine."""
    line = f"-i {{ head -c 6M /dev/zero }} {SSH} -r {{ cat }} -o {{ wc -c }}"
    ended = shell.run(f"socketpipe -b --rate-limit=2M --stats={work}/stats {line}")
    assert (ended.returncode, ended.stdout) == (0, f"{6 * 1024 * 1024}\n"), ended.stderr
    assert all(link["rate"] < 3.5 * 1024 * 1024 for link in stats(work / "stats")["links"])
