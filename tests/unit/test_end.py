# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs on loopback: what passes through, what a stage is given, what is reported."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.wire import MARK
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import FULL_READS, Plan
from ansible_collections.plumbing.socketpipe.tests.unit import pythons
from ansible_collections.plumbing.socketpipe.tests.unit.ends import (
    HASTY,
    Ends,
    eventually,
    make_plan,
    py,
    record,
    recorded,
    sh,
    stage,
    started,
    written,
)

Launch = Callable[..., Ends]
MEGA = 1 << 20
KEPT = 64 * 1024


def two(source: dict[str, Any], sink: dict[str, Any], **options: Any) -> Plan:
    """The plainest plan: a source on one end, a sink on another."""
    return make_plan(("a", source), ("b", sink), **options)


def random_file(path: Path, size: int) -> Path:
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- what goes in comes out


@pytest.mark.parametrize("size", [0, 1, 10 * MEGA])
def test_bytes_are_equal_and_counted(launch: Launch, tmp_path: Path, size: int) -> None:
    data = random_file(tmp_path / "data", size)
    ends = launch(two(stage("input", ["cat", str(data)]), record("output", tmp_path / "seen"))).wait().ok()
    assert recorded(tmp_path / "seen") == {"how": "eof", "bytes": size, "sha256": digest(data)}
    writer, reader = ends.side("input", "W"), ends.side("input", "R")
    assert (writer["state"], writer["bytes"], writer["unread"]) == ("done", size, None)
    assert (reader["state"], reader["bytes"], reader["unread"]) == ("read", size, 0)
    assert writer["address"] == reader["peer"] and writer["peer"] == reader["address"]
    for name in ("input", "output"):
        said = ends.stage(name)
        assert (said["rc"], said["signal"], said["problem"], said["blame"]) == (0, None, None, [])
        assert said["elapsed"] >= 0 and said["cpu"] >= 0
    ends.gone()


def test_a_run_loads_little_of_the_standard_library(launch: Launch) -> None:
    """Every task pays on both hosts for each of these, also where Python itself loads it (the codec of a name)."""
    dear = {
        "asyncio",
        "collections",
        "ctypes",
        "encodings.idna",
        "enum",
        "hashlib",
        "json",
        "os",
        "random",
        "re",
        "socket",
    }
    line = '    report["connect"] = meeting.report()\n'
    told = ("main", line, line + '    report["loaded"] = sorted(sys.modules)\n')
    ends = launch(two(sh("input", "echo 1"), sh("output", "cat")), changes=[told]).wait().ok()
    for name in ends.names:
        loaded = set(ends.report(name)["loaded"])
        assert "socketpipe._end.end" in loaded and not loaded & dear, loaded & dear


@pytest.mark.parametrize("version", [v for v in pythons.TARGETS if v != pythons.OWN])
@pytest.mark.parametrize("where", ["a", "b"])
def test_other_pythons(launch: Launch, tmp_path: Path, version: str, where: str) -> None:
    """An end on another Python, on either side; with the stage list of both kinds of link."""
    data = random_file(tmp_path / "data", 3 * MEGA)
    plan = make_plan(
        ("a", stage("one", ["cat", str(data)])),
        ("a", stage("two", ["cat"])),
        ("b", stage("three", ["cat"])),
        ("b", record("four", tmp_path / "seen")),
    )
    ends = launch(plan, pythons={where: pythons.needed(version)}).wait().ok()
    assert recorded(tmp_path / "seen") == {"how": "eof", "bytes": 3 * MEGA, "sha256": digest(data)}
    assert ends.report(where)["python"].startswith(version + ".")
    ends.gone()


@pytest.mark.parametrize("version", [v for v in pythons.TARGETS if v != pythons.OWN])
def test_failure_on_other_pythons(launch: Launch, tmp_path: Path, version: str) -> None:
    python = pythons.needed(version)
    script = "echo data; sleep 600 & " + started(tmp_path / "seen") + "echo it is broken >&2; exit 5"
    failing = sh("input", script)
    ends = launch(two(failing, record("output", tmp_path / "seen")), python=python).wait()
    assert recorded(tmp_path / "seen")["how"] == "ECONNRESET"
    cause = ends.cause()
    assert (cause["stage"], cause["rc"]) == ("input", 5) and "it is broken" in cause["msg"]
    ends.gone()


def test_both_links_are_busy_at_once(launch: Launch, tmp_path: Path) -> None:
    """The third example of the manual: the source waits, half-way, for the sink to have seen something."""
    seen = tmp_path / "first"
    source = py(
        "input",
        """
import os, sys, time
os.write(1, b"a" * 100)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
os.write(1, b"b" * 100)
""",
        seen,
    )
    sink = sh("output", 'head -c 100 > "%s.new"; mv "%s.new" "%s"; cat > "%s"' % (seen, seen, seen, tmp_path / "rest"))
    plan = make_plan(("a", source), ("b", stage("remote", ["tr", "ab", "xy"])), ("a", sink), full_reads=False)
    # tr reads all that is there and writes it on at its end of input, or when its buffer is full
    plan.stage("remote")["argv"] = [sys.executable, "-IS", "-c", UNBUFFERED]
    ends = launch(plan).wait().ok()
    assert (seen.read_bytes(), (tmp_path / "rest").read_bytes()) == (b"A" * 100, b"B" * 100)
    assert [ends.side(name, side)["bytes"] for name in ("input", "remote") for side in "WR"] == [200] * 4


UNBUFFERED = """
import os
while True:
    chunk = os.read(0, 65536)
    if not chunk:
        break
    os.write(1, chunk.upper())
"""


def test_neighbours_on_a_host_are_judged_one_by_one(launch: Launch, tmp_path: Path) -> None:
    data = random_file(tmp_path / "data", MEGA)
    plan = make_plan(
        ("a", stage("input[0]", ["cat", str(data)])),
        ("a", stage("input[1]", ["gzip", "-1"])),
        ("a", sh("input[2]", "cat; exit 2", ok_rc=[0, 2])),
        ("b", stage("output[0]", ["gzip", "-d"])),
        ("b", record("output[1]", tmp_path / "seen")),
    )
    ends = launch(plan).wait().ok()
    assert recorded(tmp_path / "seen")["sha256"] == digest(data)
    assert [ends.stage(name)["rc"] for name in ("input[0]", "input[1]", "input[2]", "output[0]")] == [0, 0, 2, 0]
    local = ends.side("input[0]", "R")
    assert local["bytes"] is None and local["state"] == "read"


def test_all_on_one_end(launch: Launch, tmp_path: Path) -> None:
    """A peer that is the task's own host is still two ends; but a plan of a single end is a plan."""
    plan = make_plan(("a", sh("one", "printf abc")), ("a", record("two", tmp_path / "seen")))
    ends = launch(plan).wait().ok()
    assert recorded(tmp_path / "seen")["bytes"] == 3
    assert list(ends.plan.ends) == ["a"]


def test_a_stage_with_two_outputs(launch: Launch, tmp_path: Path) -> None:
    """A branch: the engine takes any number of stages and links, over any number of hosts."""
    plan = make_plan(("a", sh("source", "echo one; echo two >&3; echo three")), ("b", record("left", tmp_path / "l")))
    plan.add_end("c")
    plan.add_stage("c", record("right", tmp_path / "r"))
    plan.connect("source", "right", fd=3)
    plan.reach("a", "c", ["127.0.0.1"])
    plan.reach("c", "a", ["127.0.0.1"])
    launch(plan).wait().ok()
    assert recorded(tmp_path / "l")["bytes"] == len("one\nthree\n")
    assert recorded(tmp_path / "r")["bytes"] == len("two\n")


def test_five_hosts_in_a_row(launch: Launch, tmp_path: Path) -> None:
    data = random_file(tmp_path / "data", MEGA)
    middle = [(name, stage(name, ["cat"])) for name in "bcd"]
    plan = make_plan(("a", stage("a", ["cat", str(data)])), *middle, ("e", record("e", tmp_path / "seen")))
    launch(plan).wait().ok()
    assert recorded(tmp_path / "seen")["sha256"] == digest(data)


# -- what a stage is given

LOOK = """
import fcntl, json, os, sys
fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))
fds = [fd for fd in fds if os.path.exists("/proc/self/fd/%d" % fd)]
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
facts = {
    "fds": fds,
    "links": [os.readlink("/proc/self/fd/%d" % fd).partition(":")[0] for fd in fds],
    "nonblocking": [fd for fd in fds if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK],
    "ignored": int(status["SigIgn"], 16),
    "blocked": int(status["SigBlk"], 16),
    "session": os.getsid(0) == os.getpid(),
    "cwd": os.getcwd(),
    "environment": dict(os.environ),
    "argv": sys.argv[2:],
}
with open(sys.argv[1] + ".new", "w") as out:
    json.dump(facts, out)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""
# without -I or a site: Python itself ignores SIGPIPE and SIGXFSZ, which a shell does not
SIGNALS = "sed -n 's/^Sig\\(Ign\\|Blk\\):[[:space:]]*//p' /proc/self/status"


def looks(launch: Launch, tmp_path: Path, *words: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a source and a sink see of themselves."""
    source = py("input", LOOK, tmp_path / "source", *words, **more)
    sink = py("output", LOOK + "\nsys.stdin.read()\n", tmp_path / "sink", *words, **more)
    launch(two(source, sink)).wait().ok()
    return json.loads((tmp_path / "source").read_text()), json.loads((tmp_path / "sink").read_text())


def test_a_stage_has_three_descriptors_all_blocking(launch: Launch, tmp_path: Path) -> None:
    for facts, kinds in zip(
        looks(launch, tmp_path), (["/dev/null", "socket", "pipe"], ["socket", "pipe", "pipe"]), strict=True
    ):
        assert (facts["fds"], facts["links"]) == ([0, 1, 2], kinds)
        assert facts["nonblocking"] == []
        assert facts["session"]


def test_a_stage_has_default_signals(launch: Launch, tmp_path: Path) -> None:
    plan = two(sh("input", "%s > %s/input" % (SIGNALS, tmp_path)), sh("output", SIGNALS + "; cat"))
    ignored = [signal.SIGINT, signal.SIGQUIT]  # as a shell has it for what it runs in the background
    before = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1})
    try:
        ends = launch(plan).wait().ok()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in zip(ignored, before):
            signal.signal(number, handler)
    masks = [int(line, 16) for line in ends.stage("output")["stdout"].split()]
    # 32 and 33 are the C library's own: some Pythons' subprocess leaves them ignored
    assert [mask & 0x7FFFFFFF for mask in masks] == [0, 0]
    assert [int(line, 16) & 0x7FFFFFFF for line in (tmp_path / "input").read_text().split()] == [0, 0]


def test_words_and_settings_arrive_as_they_are(launch: Launch, tmp_path: Path) -> None:
    words = ["", " ", "a b", "'", '"', "$HOME", "*", "\n", "é", "→", "\udcff", "-c"]
    (tmp_path / "föld er").mkdir()
    environment = {"A": "1", "PATH": os.environ["PATH"], "Ö": "ü"}
    for facts in looks(launch, tmp_path, *words, chdir=str(tmp_path / "föld er"), environment=environment):
        assert facts["argv"] == words
        assert facts["cwd"] == str(tmp_path / "föld er")
        assert {name: facts["environment"][name] for name in environment} == environment
        assert facts["environment"]["HOME"] == os.environ["HOME"]


@pytest.mark.parametrize("version", ["3.6", pythons.OWN])
def test_words_arrive_in_any_locale(launch: Launch, tmp_path: Path, version: str, monkeypatch: Any) -> None:
    for name in ("LANG", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "POSIX")
    target = tmp_path / "é→"
    sink = stage("output", ["/bin/sh", "-c", 'cat > "$0"; echo "ü$A"', str(target)], environment={"A": "ß"})
    plan = two(stage("input", ["echo", "é→"]), sink)
    ends = launch(plan, python=pythons.needed(version)).wait().ok()
    assert target.read_text("utf-8") == "é→\n"
    assert ends.stage("output")["stdout"] == "üß\n"


def test_whole_blocks_for_programs_that_do_not_loop(launch: Launch, tmp_path: Path) -> None:
    """`dd bs=32k` from a source that writes odd pieces, and pauses: only its last block may be short."""
    pieces = "import os, time\nfor n in range(1500):\n os.write(1, b'x' * 5000)\n n % 150 or time.sleep(0.15)"
    counts = {}
    for whole in (None, True, False):
        plan = two(py("input", pieces), stage("output", ["dd", "of=/dev/null", "bs=32k"]), full_reads=whole)
        ends = launch(plan).wait().ok()
        line = next(line for line in ends.stage("output")["stderr"].splitlines() if "records in" in line)
        counts[whole] = [int(number) for number in line.split()[0].split("+")]
        asked = 0 if whole is False else FULL_READS
        assert ends.report("b")["warnings"] == ungranted(asked)
    assert counts[None] == counts[True] == [1500 * 5000 // 32768, 1]
    assert counts[False][1] > 1


def ungranted(asked: int) -> list[dict[str, Any]]:
    """The warning that the kernel grants no such reads: half of the largest receive buffer is the most."""
    most = int(Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()[2]) // 2
    return [{"kind": "full reads", "granted": most, "asked": asked}] if most < asked else []


def test_reads_that_the_kernel_does_not_grant_are_told(launch: Launch) -> None:
    asked = 1 << 30
    plan = two(sh("input", "echo"), stage("output", ["dd", "of=/dev/null"]), full_reads=True)
    ends = launch(plan, told=lambda spec: spec["links"][0].update(full_reads=asked)).wait().ok()
    assert ends.report("a")["warnings"] == [] and ends.report("b")["warnings"] == ungranted(asked) != []


def wait_for(path: Path) -> str:
    """Shell: wait until this file is there."""
    return "while [ ! -e %s ]; do sleep 0.01; done; " % path


@pytest.mark.parametrize("whole", [None, True])
@pytest.mark.parametrize("pieces", [["aaaa"], ["aa", "aa"], ["a", "aa", "abbb"]])
def test_who_asks_for_little_does_not_wait_for_more(
    launch: Launch, tmp_path: Path, pieces: list[str], whole: bool | None
) -> None:
    """Its block is there, whole, while the source waits; and no more than a block when more has come."""
    block = tmp_path / "block"
    source = "sleep 0.2; ".join("printf %s; " % piece for piece in pieces) + wait_for(block) + "printf cccc"
    sink = "dd bs=4 count=1 of=%s.new; mv %s.new %s; dd bs=4 of=%s" % (block, block, block, tmp_path / "rest")
    launch(two(sh("input", source), sh("output", sink), full_reads=whole)).wait().ok()
    assert block.read_text() == "aaaa"
    assert (tmp_path / "rest").read_text() == "".join(pieces)[4:] + "cccc"


def test_programs_that_answer_each_other(launch: Launch, tmp_path: Path) -> None:
    """They read what has come, through large buffers of their own and through a cat between."""
    answers = "import sys\nfor line in sys.stdin: open('%s/%%d' %% int(line), 'w').close()" % tmp_path
    asks = "".join("echo %d; %s" % (number, wait_for(tmp_path / str(number))) for number in range(5))
    launch(
        make_plan(("a", sh("input", asks)), ("b", stage("remote", ["cat"])), ("a", py("output", answers)))
    ).wait().ok()


def test_looking_costs_little(launch: Launch, tmp_path: Path) -> None:
    """A link with a dd behind it that is idle for hours, the tape being changed, is looked at four times a second."""
    source = sh("input", "echo data; " + wait_for(tmp_path / "go"))
    ends = launch(two(source, stage("output", ["dd", "of=%s" % (tmp_path / "data")])))
    eventually((tmp_path / "data").exists, "it has not started")
    time.sleep(1)  # the looks have become rare
    end = Path("/proc/%d/status" % ends.end("b"))
    before = sleeps(end)
    time.sleep(2)
    assert sleeps(end) - before < 20
    (tmp_path / "go").touch()
    ends.wait().ok()


def sleeps(status: Path) -> int:
    """How often this process went to sleep so far."""
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def test_a_live_stream_is_seen_as_it_comes(launch: Launch, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    source = sh("input", 'echo line; while [ ! -e "%s" ]; do sleep 0.01; done' % seen)
    sink = sh("output", 'read line; echo "$line" > "%s"; cat' % seen)
    launch(two(source, sink, full_reads=False)).wait().ok()
    assert seen.read_text() == "line\n"


def test_rate_limit(launch: Launch, tmp_path: Path) -> None:
    """The kernel paces; only the order of magnitude is asked for, and that it makes a difference."""
    size, limit = 2 * MEGA, MEGA
    data = random_file(tmp_path / "data", size)
    rates = {}
    for rate in (limit, 0):
        ends = launch(two(stage("input", ["cat", str(data)]), stage("output", ["sha256sum"]), rate_limit=rate))
        ends.wait().ok()
        side = ends.side("input", "W")
        rates[rate] = side["bytes"] / side["elapsed"]
    assert rates[limit] < 1.6 * limit
    assert rates[0] > 2 * rates[limit]


# -- what is reported


@pytest.mark.parametrize(
    ("command", "rc", "number"),
    [
        ("exit 1", 1, None),
        ("exit 3", 3, None),
        ("exit 255", 255, None),
        ("kill -TERM $$", -15, 15),
        ("kill -KILL $$", -9, 9),
        ("kill -SEGV $$", -11, 11),
    ],
)
def test_status_of_a_failed_stage(launch: Launch, tmp_path: Path, command: str, rc: int, number: int | None) -> None:
    ends = launch(two(sh("input", "echo first >&2; echo last words >&2; " + command), record("output", tmp_path / "s")))
    ends.wait()
    said = ends.stage("input")
    assert (said["rc"], said["signal"], said["problem"]["kind"]) == (rc, number, "failed")
    cause = ends.cause()
    assert (cause["stage"], cause["host"], cause["rc"]) == ("input", "host-a", rc)
    assert cause["msg"].startswith("input (/bin/sh) on host-a ") and "last words" in cause["msg"]
    if number is None:
        assert "failed with exit status %d: first; last words" % rc in cause["msg"]


@pytest.mark.parametrize("position", ["input", "remote", "output"])
def test_an_accepted_status_is_no_failure(launch: Launch, tmp_path: Path, position: str) -> None:
    status = {name: "exit 1" if name == position else "exit 0" for name in ("input", "remote", "output")}
    more = {name: {"ok_rc": [0, 1]} if name == position else {} for name in status}
    plan = make_plan(
        ("a", sh("input", "echo data; " + status["input"], **more["input"])),
        ("b", sh("remote", "cat; " + status["remote"], **more["remote"])),
        ("a", sh("output", "cat; " + status["output"], **more["output"])),
    )
    ends = launch(plan).wait().ok()
    assert ends.stage(position)["rc"] == 1
    assert ends.stage("output")["stdout"] == "data\n"


JUNK = {
    "letters": "b'x' * 100",
    "bytes": "bytes(range(256))",
    "emoji": "'\\U0001f4a9'.encode() * 50",
    "quotes": "b'\\\"' * 100",
    "nul": "bytes(100)",
    "lines": "b'line\\n' * 30",
    "delete": "b'\\x7f' * 100",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_a_report_is_bounded(launch: Launch, tmp_path: Path, junk: str) -> None:
    """1 MB of anything on standard error and standard output: the last of one, the first of the other."""
    noise = "import os, sys\nfor n in range(%d // len(%s)): os.write(%%d, %s)\n" % (MEGA, junk, junk)
    sink = (
        "import os, sys\nwhile os.read(0, 65536): pass\nos.write(1, b'begin')\n"
        + noise % 1
        + noise % 2
        + "os.write(2, b'end'); sys.exit(1)"
    )
    ends = launch(two(sh("input", "echo"), py("output", sink))).wait()
    assert len(ends.output["b"]) < 200_000
    said = ends.stage("output")
    assert said["stdout"].startswith("begin") and said["stderr"].endswith("end")
    assert said["stdout_truncated"] is True
    assert ends.cause()["stage"] == "output"
    for text in (said["stdout"], said["stderr"]):
        assert len(json.dumps(text)) <= KEPT + 20 and len(text) >= KEPT // 12 - 100


@pytest.mark.parametrize(
    ("size", "kept", "truncated"),
    [(0, 0, False), (1, 1, False), (KEPT, KEPT, False), (KEPT + 1, KEPT, True), (10 * MEGA, KEPT, True)],
)
def test_standard_output_of_the_last_stage(
    launch: Launch, tmp_path: Path, size: int, kept: int, truncated: bool
) -> None:
    ends = launch(two(sh("input", "exit 0"), sh("output", "cat; head -c %d /dev/zero | tr '\\0' x" % size))).wait().ok()
    said = ends.stage("output")
    assert (len(said["stdout"]), said["stdout_truncated"]) == (kept, truncated)
    assert ends.stage("input")["stdout"] == ""


def test_an_end_alone_whose_output_is_kept_as_asked(launch: Launch) -> None:
    """A question to a host: no link, and an answer that is longer than what is kept of other commands."""
    plan = make_plan(("a", sh("answer", "head -c 1000000 /dev/zero | tr '\\0' x", keep=MEGA)))
    said = launch(plan).wait().ok().stage("answer")
    assert (len(said["stdout"]), said["stdout_truncated"]) == (1000000, False)
    cause = launch(make_plan(("a", sh("answer", "echo why >&2; exit 3", keep=MEGA)))).wait().cause()
    assert (cause["kind"], cause["rc"]) == ("failed", 3) and cause["msg"].endswith("exit status 3: why")


def test_samples_come_while_it_runs(launch: Launch, tmp_path: Path) -> None:
    plan = two(sh("input", "for n in 1 2 3 4 5 6 7 8; do echo x; sleep 0.1; done"), stage("output", ["wc", "-c"]))
    plan.ends["a"]["sample"] = 0.2
    ends = launch(plan).wait().ok()
    samples = [json.loads(line[len(MARK) :]) for line in ends.output["a"].splitlines() if "sample" in line]
    assert len(samples) >= 2
    counts = [side["bytes"] for message in samples for side in message["sample"]]
    assert counts == sorted(counts) and 0 < counts[-1] <= 16
    assert [message["at"] for message in samples] == sorted(message["at"] for message in samples)
    assert not any("sample" in line for line in ends.output["b"].splitlines())


def test_the_figures_over_time(launch: Launch, tmp_path: Path) -> None:
    """From the writer: of many, those that fit, at even distances, and the end.  Without a pause there are many."""
    source = sh("input", "echo x; sleep 0.7; echo y")
    ends = launch(two(source, stage("output", ["cat"])), patience={"tick": 0.0}).wait().ok()
    assert ends.report("b")["points"] == [[]] * len(ends.report("b")["points"])
    found = [point for (point,) in ends.report("a")["points"]]
    assert 50 <= len(found) <= 100
    assert found[-1][:3] == ["input \u2192 output", ends.side("input \u2192 output", "W")["elapsed"], 4]
    for column in (1, 2, 4):
        values = [point[column] for point in found]
        assert values == sorted(values)
    assert {2, 4} <= {point[2] for point in found} <= {0, 2, 4} and found[0][1] < 0.5 * found[-1][1]


def test_a_silent_end_beats(launch: Launch, tmp_path: Path) -> None:
    """Newlines, so that nothing between drops an ssh that says nothing."""

    def told(spec: dict[str, Any]) -> None:
        spec["heartbeat"] = 0.1

    ends = launch(two(sh("input", "sleep 1"), stage("output", ["cat"])), told=told).wait().ok()
    for name in ("a", "b"):
        assert ends.output[name].startswith("\n\n\n")


def test_the_end_ends_with_status_0_and_the_report_is_its_last_line(launch: Launch, tmp_path: Path) -> None:
    ends = launch(two(sh("input", "exit 7"), stage("output", ["cat"]))).wait()
    for name in ("a", "b"):
        assert ends.processes[name].returncode == 0
        assert ends.output[name].splitlines()[-1].startswith(MARK)
        assert ends.report(name)["end"] == name
        assert ends.report(name)["connect"]["strangers"] == 0


def test_no_secret_is_left_behind(launch: Launch, tmp_path: Path) -> None:
    """Not in a command line, not in an environment, not in what is said."""
    plan = two(sh("input", "sleep 600"), stage("output", ["cat"]))
    ends = launch(plan)
    ends.end("a"), ends.end("b")
    secret = plan.links[0]["secret"].encode()
    for pid in ends.running():
        for name in ("cmdline", "environ"):
            try:
                text = Path("/proc/%d/%s" % (pid, name)).read_bytes()
            except OSError:
                continue
            assert secret not in text and bytes.fromhex(plan.links[0]["secret"]) not in text
    os.kill(ends.end("a"), 15)
    ends.wait()
    assert not any(secret.decode() in text for text in [*ends.output.values(), *ends.errors.values()])


# -- before anything starts


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


REFUSED: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "not found": (["no-such-command"], {}, "there is no 'no-such-command' in PATH"),
    "not found there": (["/no/such/command"], {}, "there is no '/no/such/command'"),
    "not found in its own path": (["cat"], {"environment": {"PATH": "/no/such"}}, "there is no 'cat' in PATH /no/such"),
    "not executable": (["{tmp}/plain"], {}, "'{tmp}/plain' is not executable"),
    "a directory": (["{tmp}"], {}, "there is no '{tmp}'"),
    "no directory": (["cat"], {"chdir": "/no/such/directory"}, "there is no directory '/no/such/directory'"),
    "relative": (["./plain"], {"chdir": "{tmp}"}, "'{tmp}/./plain' is not executable"),
}


@pytest.mark.parametrize("position", ["input", "output"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_starts(launch: Launch, tmp_path: Path, name: str, position: str) -> None:
    script(tmp_path / "plain", "", mode=0o644)
    argv, more, text = REFUSED[name]
    tmp = str(tmp_path)
    bad = stage(position, [word.replace("{tmp}", tmp) for word in argv])
    bad.update({key: value.replace("{tmp}", tmp) if isinstance(value, str) else value for key, value in more.items()})
    good = sh("output" if position == "input" else "input", "touch %s/started; cat" % tmp)
    plan = two(bad, good, connect_timeout=0.3) if position == "input" else two(good, bad, connect_timeout=0.3)
    ends = launch(plan).wait()
    cause = ends.cause()
    assert (cause["kind"], cause["stage"]) == ("refused", position)
    assert text.replace("{tmp}", tmp) in cause["msg"] and position in cause["msg"]
    assert not ends.verdict().started
    assert not (tmp_path / "started").exists()
    ends.gone()


def test_refused_where_no_process_can_be_started(launch: Launch, tmp_path: Path) -> None:
    full = ("guard", "    pid = os.fork()\n", "    raise OSError(11, os.strerror(11))\n")
    ends = launch(two(sh("input", "echo data"), sh("output", "touch %s/started" % tmp_path)), (full,)).wait()
    assert not any(ends.errors.values()) and not ends.verdict().started and not (tmp_path / "started").exists()
    text = "it cannot start a process: Resource temporarily unavailable; is there a limit (ulimit -u, "
    assert ends.cause()["kind"] == "refused" and text in ends.cause()["msg"]


@pytest.mark.parametrize("preflight", [False, True])
def test_refused_where_the_kernel_lacks_the_congestion_control(launch: Launch, tmp_path: Path, preflight: bool) -> None:
    started = tmp_path / "started"
    stages = sh("input", "touch %s; echo data" % started), sh("output", "touch %s; cat" % started)
    ends = launch(two(*stages, connect_timeout=0.3, congestion_control="none_such", preflight=preflight)).wait()
    assert not any(ends.errors.values()) and not started.exists()
    refused = ends.report("a")["refused"]
    assert (refused["kind"], refused["name"], refused["errno"]) == ("no congestion control", "none_such", 2)
    assert "reno" in refused["others"].split()
    if not preflight:
        assert "the kernel there has no none_such; modprobe tcp_none_such may load it" in ends.cause()["msg"]


def test_a_congestion_control_of_the_kernel(launch: Launch) -> None:
    assert launch(two(sh("input", "echo data"), sh("output", "cat"), congestion_control="reno")).wait().ok()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: a PID namespace")
def test_refused_where_proc_is_of_another_pid_namespace(launch: Launch) -> None:
    """It would tell of others' processes: what the source has left running would be overlooked, and others killed."""
    source = sh("input", "(sleep 1; echo late) & echo early")
    plan = two(source, sh("output", "cat"), connect_timeout=0.3)
    ends = launch(plan, inside=["unshare", "--fork", "--pid", "--kill-child"]).wait()
    assert not ends.verdict().ok and not ends.verdict().started
    assert "/proc does not show the processes of this PID namespace" in ends.cause()["msg"]
    ends.gone()
    mounted = ["unshare", "--fork", "--pid", "--kill-child", "--mount-proc"]
    here = launch(two(source, sh("output", "cat")), inside=mounted).wait().ok()
    assert here.stage("output")["stdout"] == "early\nlate\n"


def test_a_command_is_found_as_execvp_does(launch: Launch, tmp_path: Path) -> None:
    """Not the first of that name, but the first that can be executed; relative to where it runs."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    script(tmp_path / "first" / "program", "", mode=0o644)
    script(tmp_path / "second" / "program", "#!/bin/sh\necho second\n")
    path = "%s:%s" % (tmp_path / "first", tmp_path / "second")
    for argv, more in (
        (["program"], {"environment": {"PATH": path}}),
        (["./program"], {"chdir": str(tmp_path / "second")}),
        (["second/program"], {"chdir": str(tmp_path)}),
    ):
        ends = launch(two(stage("input", argv, **more), stage("output", ["cat"]))).wait().ok()
        assert ends.stage("output")["stdout"] == "second\n"


@pytest.mark.parametrize("position", ["input", "output"])
def test_a_missing_interpreter_is_no_start(launch: Launch, tmp_path: Path, position: str) -> None:
    """It is there and executable, but exec says ENOENT."""
    path = script(tmp_path / "script", "#!/no/such/interpreter\n")
    bad, good = stage(position, [str(path)]), stage("output" if position == "input" else "input", ["cat"])
    if position == "output":
        good = sh("input", "echo; sleep 600")
    plan = two(bad, good) if position == "input" else two(good, bad)
    ends = launch(plan, patience=HASTY).wait()
    cause = ends.cause()
    assert (cause["kind"], cause["stage"]) == ("not started", position)
    assert "could not be started" in cause["msg"] and "#! line" in cause["msg"]
    said = ends.stage(position)
    assert said["rc"] is None and said["started_at"] is None
    ends.gone()


@pytest.mark.parametrize("position", ["input", "output"])
@pytest.mark.parametrize(
    ("key", "value", "skipped"),
    [
        ("creates", "{tmp}/there", True),
        ("creates", "{tmp}/not", False),
        ("creates", "{tmp}/th*", True),
        ("creates", "there", True),
        ("removes", "{tmp}/there", False),
        ("removes", "{tmp}/not", True),
        ("removes", "th*", False),
    ],
)
def test_creates_and_removes(
    launch: Launch, tmp_path: Path, position: str, key: str, value: str, skipped: bool
) -> None:
    (tmp_path / "there").touch()
    source, sink = sh("input", "echo"), sh("output", "cat; touch %s/started" % tmp_path)
    conditional = source if position == "input" else sink
    conditional.update({key: value.replace("{tmp}", str(tmp_path)), "chdir": str(tmp_path)})
    ends = launch(two(source, sink, connect_timeout=0.3 if skipped else 30)).wait()
    verdict = ends.verdict()
    assert bool(verdict.skipped) is skipped and verdict.ok is not skipped
    assert (tmp_path / "started").exists() is not skipped
    if skipped:
        assert verdict.skipped.startswith("%s: " % position) and not verdict.started
        assert verdict.skipped.endswith("exists" if key == "creates" else "does not exist")


# -- a second launch


@pytest.mark.parametrize("again", ["a", "b"])
def test_a_second_launch_starts_nothing(launch: Launch, tmp_path: Path, again: str) -> None:
    """Ansible may run a command again whose ssh has died: each stage must run once."""
    count = tmp_path / "count"
    count.touch()
    plan = two(
        sh("input", "echo input >> %s; sleep 1" % count),
        sh("output", "echo output >> %s; cat" % count),
        connect_timeout=4,
    )
    first = launch(plan)
    second = launch(plan, only=[again])
    first.wait(), second.wait()
    third = launch(plan, only=[again]).wait()
    reports = [ends.report(again) for ends in (first, second, third)]
    assert ["not_connected" in report for report in reports].count(True) == 2
    assert "not_connected" in reports[2]
    # a source starts as soon as its link is made, and so would one of a second launch
    assert sorted(count.read_text().split()) == ["input", "output"]


def test_a_plan_starts_no_stage_before_all_of_its_links_are_made(launch: Launch, tmp_path: Path) -> None:
    plan = make_plan(
        ("a", sh("one", "touch %s/one; echo" % tmp_path)),
        ("b", stage("two", ["cat"])),
        ("c", stage("three", ["cat"])),
        connect_timeout=1,
    )
    # c never comes: b cannot start; a's only link is made, and broken when b gives up
    ends = launch(plan, only=["a", "b"]).wait()
    assert ends.report("b")["not_connected"] == [plan.links[1]["id"]]
    assert not ends.verdict().ok
    ends.gone()


# -- unprivileged ends


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an end as somebody else")
@pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="there is no Python that others can run")
def test_a_neighbour_that_we_may_not_look_at_is_not_a_holder(launch: Launch, tmp_path: Path) -> None:
    """As with sudo in the second of two stages: its descriptors cannot be read, and it waits for the first."""
    hidden = "import ctypes, os, sys\nctypes.CDLL(None).prctl(4, 0)\nwhile os.read(0, 65536): pass\nprint('done')"
    plan = make_plan(
        ("a", sh("first", "echo data; sleep 1")),
        ("a", stage("second", ["/usr/bin/python3", "-IS", "-c", hidden])),
    )
    ends = launch(plan, patience=HASTY, python="/usr/bin/python3", user=65534).wait()
    assert ends.verdict().ok, ends.cause()
    assert ends.stage("second")["stdout"] == "done\n"


# -- the interpreter that runs it


def test_an_end_needs_no_home_and_no_locale(launch: Launch, tmp_path: Path) -> None:
    plan = two(sh("input", "echo data"), stage("output", ["cat"]))
    ends = Ends(plan)
    environment = {"PATH": "/usr/bin:/bin", "SOCKETPIPE_TEST": ends.marker}
    from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap

    processes = []
    for name in plan.ends:
        process = subprocess.Popen(
            [sys.executable, "-IS", "-c", bootstrap.START, "label"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        assert process.stdin is not None
        process.stdin.write(bootstrap.stream(ends.program, plan.for_end(name)))
        process.stdin.close()
        process.stdin = None
        processes.append(process)
    for name, process in zip(plan.ends, processes):
        out, err = process.communicate(timeout=60)
        ends.output[name], ends.errors[name] = out.decode(), err.decode()
    ends.ok()


def test_its_own_files_are_untouched(launch: Launch, tmp_path: Path) -> None:
    """One exec, nothing on a disk: no file of the folder it runs in, or of TMPDIR, is new afterwards."""
    marker = time.time()
    home = tmp_path / "home"
    home.mkdir()
    plan = two(sh("input", "echo data"), stage("output", ["cat"]))
    os.environ["TMPDIR"] = str(home)
    try:
        launch(plan).wait().ok()
    finally:
        del os.environ["TMPDIR"]
    assert list(home.iterdir()) == []
    assert stat.S_ISDIR(home.stat().st_mode) and home.stat().st_mtime <= marker + 1


def test_eventually_tells_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match="complaint"):
        eventually(lambda: False, "complaint", 0.0)
    assert written.__doc__
