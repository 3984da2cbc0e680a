# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promise: ok means that the sink has every byte and everything succeeded; else the sink saw an error.

All cases run at once in one ansible-playbook (see batch); each test looks at what its own have come to. A case is
pushed (from the controller to the host) and pulled (from the host to the controller), with OUT and DATA for its files.
"""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import anatomy, batch
from .batch import Case
from .playbook import Outcome, pipe
from .traces import leaves_nothing

MIB = 1024 * 1024
SIDES = ("push", "pull")
SIZE = 6 * MIB  # of DATA, somewhat more: it is a tar archive of a file of that size
SMALL = "/run/small"  # a file system of 1 MiB on the hosts

# sinks that report what becomes of their input
SINKS: dict[str, Any] = {
    "dd": "dd of=OUT obs=32k status=none",
    "cat": {"shell": "cat > OUT"},
    "gzip": {"shell": "exec gzip -1 > OUT"},
    "zstd": "zstd -q -f -1 -o OUT",
    "tar": {"shell": "mkdir OUT.d && exec tar xf - -C OUT.d"},
    "python": anatomy.probe("OUT", "guarantees"),
}
if shutil.which("mbuffer"):
    SINKS["mbuffer"] = "mbuffer -q -m 1M -o OUT"
# and some that do not: the error is delivered once, and they do not look
SWALLOWERS: dict[str, Any] = {
    "shell": {"shell": "while read -r line; do :; done; exit 0"},
    "perl": ["perl", "-e", "while (<STDIN>) {} exit 0"],
    "subshell": {"shell": "cat > /dev/null; cat > OUT"},
}
SOURCES: dict[str, Any] = {
    "whole": "cat DATA",
    "killed": {"shell": "head -c 4M DATA; kill -9 $$"},
    "terminated": {"shell": "head -c 4M DATA; kill $$"},
    "lying": {"shell": "cat DATA; exit 1"},  # all bytes, and then it says that it failed
}

SWALLOWED: dict[str, Any] = {  # little, for a shell reads byte by byte
    "killed": {"shell": "head -c 100k DATA; kill -9 $$"},
    "lying": {"shell": "head -c 100k DATA; exit 1"},
}

# what else there is: name -> (source, sink)
PAIRS: dict[str, tuple[Any, Any]] = {
    "empty": ("true", {"shell": "cat > OUT"}),
    "nothing-then-killed": ({"shell": "kill -9 $$"}, {"shell": "cat > OUT"}),
    "nothing-then-1": ("false", "dd of=OUT status=none"),
    "sink-fails": ("cat DATA", {"shell": "head -c 1M > OUT; echo tape broken >&2; exit 3"}),
    "sink-killed": ("cat DATA", {"shell": "head -c 1M > OUT; kill -9 $$"}),
    "sink-fails-late": ("cat DATA", {"shell": "cat > OUT; echo no label >&2; exit 4"}),
    "sink-early": ("cat DATA", "head -c 1M"),
    "sink-early-allowed": ("cat DATA", {"cmd": "head -c 1000", "early_exit": True}),
    "sink-blind": ("cat DATA", "true"),
    "padding": ({"shell": "cat DATA; head -c 900K /dev/zero"}, SINKS["tar"]),
    "image": (  # the sink waits, so that what it leaves has arrived
        {"shell": "head -c 1M DATA; head -c 20M /dev/zero"},
        {"shell": "dd bs=1M count=1 of=OUT status=none; sleep 1"},
    ),
    "padding-then-data": ({"shell": "cat DATA; head -c 1M /dev/zero; echo more"}, SINKS["tar"]),
    "two-archives": ({"shell": "cat DATA DATA"}, SINKS["tar"]),
    "held": ({"shell": f"cat DATA; sleep 7101 & {anatomy.ASLEEP}; exit 0"}, SINKS["python"]),
    "held-briefly": ({"shell": "cat DATA; (sleep 2; cat DATA) & exit 0"}, SINKS["python"]),
    "closes-early-then-0": ({"shell": "cat DATA; exec >&-; sleep 2"}, SINKS["python"]),
    "closes-early-then-1": ({"shell": "cat DATA; exec >&-; sleep 2; exit 1"}, SINKS["python"]),
    "full-dd": ("cat DATA", f"dd of={SMALL}/NAME obs=32k status=none"),
    "full-cat": ("cat DATA", {"shell": f"cat > {SMALL}/NAME"}),
    "full-gzip": ("cat DATA", {"shell": f"exec gzip -1 > {SMALL}/NAME"}),
    "full-tar": ("cat DATA", f"tar xf - -C {SMALL}"),
    "missing-source": ("no-such-program --at-all", {"shell": "cat > OUT"}),
    "missing-sink": ("cat DATA", "no-such-program --at-all"),
    "not-executable": ("cat DATA", "/etc/passwd"),
    "no-interpreter": ("cat DATA", ["SCRIPT"]),
    "slow-sink": ({"shell": "cat DATA DATA DATA DATA"}, anatomy.probe("OUT", "guarantees", "pause=20")),
    "accepted-rc": ({"shell": "cat DATA; exit 1", "ok_rc": [0, 1]}, SINKS["cat"]),
    "orphan-source": ({"shell": "setsid sleep 7201 & cat DATA; exit 1"}, SINKS["python"]),
    "orphan-sink": ("cat DATA", {"shell": "setsid sleep 7202 & head -c 1M > OUT; exit 1"}),
    "orphan-stubborn": (
        {"shell": "(trap '' TERM; while :; do sleep 7203; done) & cat DATA; exit 1"},
        SINKS["python"],
    ),
    "agent-source": (
        {"shell": f"setsid sleep 7301 < /dev/null > /dev/null 2>&1 & {anatomy.ASLEEP}; cat DATA"},
        SINKS["python"],
    ),
    "agent-sink": (
        "cat DATA",
        # still has standard error
        {"shell": f"setsid sleep 7302 < /dev/null > /dev/null & {anatomy.ASLEEP}; exec cat > OUT"},
    ),
}
AGENTS = {"source": "7301", "sink": "7302"}  # how long they sleep
# options of a few
OPTIONS: dict[str, dict[str, Any]] = {"slow-sink": {"dead_peer": 6}}
MIDDLE = {"shell": "head -c 2M; kill -9 $$"}


def fill(value: Any, words: dict[str, str]) -> Any:
    """A command with the names of this case's files in place of the words."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
        return value
    if isinstance(value, list):
        return [fill(item, words) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, words) for key, item in value.items()}
    return value


def directed(side: str, source: Any, sink: Any) -> dict[str, Any]:
    return {"input": source, "remote": sink} if side == "push" else {"remote": source, "output": sink}


def all_cases() -> dict[str, dict[str, Any]]:
    """{name: the options of its task}."""
    cases: dict[str, dict[str, Any]] = {}
    for side in SIDES:
        for name, (source, sink) in PAIRS.items():
            cases[f"{name}-{side}"] = {**directed(side, source, sink), **OPTIONS.get(name, {})}
        for kind, source in SOURCES.items():
            for name, sink in SINKS.items():
                cases[f"{kind}-{name}-{side}"] = directed(side, source, sink)
        for kind, source in SWALLOWED.items():
            for name, sink in SWALLOWERS.items():
                cases[f"{kind}-{name}-{side}"] = directed(side, source, sink)
        # a middle stage on the source's host: its neighbour writes to it over a socketpair
        for name, sink in SINKS.items():
            chain = [{"cmd": "cat DATA"}, MIDDLE]
            cases[f"chain-{name}-{side}"] = directed(side, chain, sink)
        cases[f"last-chain-{side}"] = directed(side, SOURCES["killed"], [{"cmd": "cat"}, {"argv": SINKS["python"]}])
    for name, sink in SINKS.items():
        cases[f"middle-{name}"] = {"input": "cat DATA", "remote": MIDDLE, "output": sink}
    cases["middle-early"] = {
        "input": "cat DATA",
        "remote": {"cmd": "head -c 1M", "early_exit": True},
        "output": SINKS["python"],
    }
    cases["middle-whole"] = {"input": "cat DATA", "remote": "gzip -1", "output": {"shell": "gzip -d > OUT"}}
    cases["middle-two-hosts"] = {
        "input": SOURCES["killed"],
        "remote": "gzip -1",
        "output": {"shell": "exec gzip -d > OUT"},
        "peer": "h2",
    }
    return cases


CASES = all_cases()


class Results:
    """What all cases have come to, and the files that they have written."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        self.fleet, self.directory = fleet, directory
        self.data = directory / "data.tar"
        self.outcomes: dict[str, Outcome] = {}

    def out(self, name: str) -> Path:
        return self.directory / name

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.outcomes[name].result

    def seen(self, name: str) -> dict[str, Any]:
        """What the probe says of its input, {} when it was never started."""
        return anatomy.seen(self.out(name))

    def stage(self, name: str, stage: str) -> dict[str, Any]:
        return next(each for each in self[name]["stages"] if each["name"] == stage)


@pytest.fixture(scope="module")
def results(fleet: Fleet) -> Iterator[Results]:
    directory = fleet.directory / "work"
    directory.mkdir()
    made = Results(fleet, directory)
    content = directory / "content"
    content.write_bytes(os.urandom(SIZE))
    with tarfile.open(made.data, "w") as archive:
        archive.add(content, "content")
    script = directory / "script"
    script.write_text("#!/no/such/interpreter\n", encoding="ascii")
    script.chmod(0o755)
    for name in CASES:
        if name.startswith("nothing-then"):
            made.out(name).write_text("last week's backup", encoding="ascii")
    hosts = (fleet.controller, fleet["h1"])
    for host in hosts:
        host.run(["mkdir", SMALL])
        host.run(["mount", "-n", "-t", "tmpfs", "-o", "size=1M", "none", SMALL])
    cases = {}
    for name, options in CASES.items():
        words = {"OUT": str(made.out(name)), "DATA": str(made.data), "NAME": name, "SCRIPT": str(script)}
        cases[name] = Case(pipe(**fill(options, words)))
    made.outcomes = batch.run(fleet, cases, forks=16, timeout=180)
    yield made
    for host in hosts:
        for proc in anatomy.processes(host):
            if proc.argv[:1] == ("sleep",) and set(proc.argv) & set(AGENTS.values()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(proc.pid, 9)
        host.run(["umount", "-n", SMALL])
        host.run(["rmdir", SMALL])


@pytest.fixture(scope="module", autouse=True)
def clean(fleet: Fleet) -> Iterator[None]:
    """conftest's check, once for all; ``results`` ends the agents, whose own tests only find them."""
    with leaves_nothing(fleet):
        yield


def assert_ok(outcome: Outcome) -> None:
    result = outcome.result
    assert outcome.status == "ok", result.get("msg")
    assert result["cause"] is None


def assert_blames(outcome: Outcome, stage: str, kind: str, *words: str) -> None:
    """It has failed, says who is to blame, and says it in one sentence."""
    result = outcome.result
    assert outcome.status == "failed", result
    assert result["changed"] or kind in ("refused", "not started")
    cause = result["cause"]
    host = outcome.host if stage.startswith("remote") else result["peer"]
    assert (cause.get("stage"), cause["kind"], cause["host"]) == (stage, kind, host), cause
    message = result["msg"]
    assert message == cause["msg"]
    for word in (stage, host, *words):
        assert word in message, message
    assert "\n" not in message
    assert len(message) < 400, message
    assert "Traceback" not in message


def names(side: str) -> tuple[str, str]:
    """The source's and the sink's stage."""
    return ("input", "remote") if side == "push" else ("remote", "output")


def content_of(results: Results, sink: str, name: str) -> bytes:
    """What this sink has made of its input, undone."""
    path = results.out(name)
    if sink == "gzip":
        return subprocess.run(["gzip", "-dc"], input=path.read_bytes(), capture_output=True, check=True).stdout
    if sink == "zstd":
        return subprocess.run(["zstd", "-dc"], input=path.read_bytes(), capture_output=True, check=True).stdout
    return path.read_bytes()


def assert_same(results: Results, sink: str, name: str) -> None:
    if sink == "tar":
        assert filecmp.cmp(results.directory / "content", Path(f"{results.out(name)}.d/content"), shallow=False)
    elif sink == "python":
        whole = results.data.read_bytes()
        digest = hashlib.sha256(whole).hexdigest()
        assert results.seen(name) == {"bytes": len(whole), "sha256": digest, "end": "eof"}
    else:
        assert content_of(results, sink, name) == results.data.read_bytes()


def assert_sink_saw_an_error(results: Results, name: str, sink_stage: str) -> None:
    """A sink that reports errors has not ended well, neither by its status nor by what it saw of its input."""
    assert results.stage(name, sink_stage)["rc"] not in (0, None), results.stage(name, sink_stage)
    if SINKS["python"] in (CASES[name].get("output"), CASES[name]["remote"]):
        assert results.seen(name)["end"] == "ECONNRESET"


# -- all sinks


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("sink", SINKS)
def test_ok_means_every_byte(results: Results, sink: str, side: str) -> None:
    name = f"whole-{sink}-{side}"
    assert_ok(results.outcomes[name])
    assert [stage["rc"] for stage in results[name]["stages"]] == [0, 0]
    assert not results[name]["links"][0]["unread"]
    assert results[name]["bytes"] == results.data.stat().st_size
    assert_same(results, sink, name)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize(
    ("fault", "words"), [("killed", "SIGKILL"), ("terminated", "SIGTERM"), ("lying", "exit status 1")]
)
def test_a_failed_source_is_an_error_for_the_sink(
    results: Results, fault: str, words: str, sink: str, side: str
) -> None:
    name = f"{fault}-{sink}-{side}"
    source, sink_stage = names(side)
    assert_blames(results.outcomes[name], source, "failed", words)
    if (fault, sink) != ("lying", "tar"):  # tar stops at the archive's end, and need not see what comes after it
        assert_sink_saw_an_error(results, name, sink_stage)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("sink", SINKS)
def test_a_killed_middle_on_the_same_host(results: Results, sink: str, side: str) -> None:
    name = f"chain-{sink}-{side}"
    source, sink_stage = names(side)
    assert_blames(results.outcomes[name], f"{source}[1]", "failed", "SIGKILL")
    assert_sink_saw_an_error(results, name, sink_stage)
    assert results.stage(name, f"{source}[0]")["rc"] not in (0, None)


@pytest.mark.parametrize("sink", SINKS)
def test_a_killed_middle_on_the_other_host(results: Results, sink: str) -> None:
    name = f"middle-{sink}"
    assert_blames(results.outcomes[name], "remote", "failed", "SIGKILL")
    assert_sink_saw_an_error(results, name, "output")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("sink", SWALLOWERS)
@pytest.mark.parametrize("fault", SWALLOWED)
def test_a_sink_that_swallows_errors_does_not_decide(results: Results, fault: str, sink: str, side: str) -> None:
    name = f"{fault}-{sink}-{side}"
    source, sink_stage = names(side)
    assert_blames(results.outcomes[name], source, "failed")
    if sink != "subshell":  # None: the news came before the first byte
        assert results.stage(name, sink_stage)["rc"] in (0, None), "it has found out: it is no example any more"


@pytest.mark.parametrize("side", SIDES)
def test_the_second_of_two_stages_on_a_host_sees_the_error_too(results: Results, side: str) -> None:
    name = f"last-chain-{side}"
    source, sink_stage = names(side)
    assert_blames(results.outcomes[name], source, "failed", "SIGKILL")
    assert_sink_saw_an_error(results, name, f"{sink_stage}[1]")
    assert results.seen(name)["end"] == "ECONNRESET"


# -- sources


@pytest.mark.parametrize("side", SIDES)
def test_an_empty_stream_is_a_stream(results: Results, side: str) -> None:
    name = f"empty-{side}"
    assert_ok(results.outcomes[name])
    assert results[name]["bytes"] == 0
    assert results.out(name).read_bytes() == b""


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("fault", ["nothing-then-killed", "nothing-then-1"])
def test_a_dead_source_leaves_the_old_file_alone(results: Results, fault: str, side: str) -> None:
    name = f"{fault}-{side}"
    source, sink_stage = names(side)
    assert_blames(results.outcomes[name], source, "failed")
    assert results.out(name).read_text(encoding="ascii") == "last week's backup"
    sink = results.stage(name, sink_stage)
    assert (sink["rc"], sink["elapsed"]) == (None, None)


@pytest.mark.parametrize("side", SIDES)
def test_a_status_that_is_accepted(results: Results, side: str) -> None:
    name = f"accepted-rc-{side}"
    assert_ok(results.outcomes[name])
    assert results.stage(name, names(side)[0])["rc"] == 1
    assert_same(results, "cat", name)


@pytest.mark.parametrize("side", SIDES)
def test_a_background_child_that_holds_the_link(results: Results, side: str) -> None:
    name = f"held-{side}"
    source, sink_stage = names(side)
    assert_blames(results.outcomes[name], source, "held", "sleep (pid ")
    assert results.stage(name, source)["rc"] == 0
    assert_sink_saw_an_error(results, f"{name}", sink_stage)
    assert results.seen(name)["end"] == "ECONNRESET"


@pytest.mark.parametrize("side", SIDES)
def test_a_background_child_that_ends_soon_is_waited_for(results: Results, side: str) -> None:
    name = f"held-briefly-{side}"
    assert_ok(results.outcomes[name])
    assert results.seen(name)["bytes"] == 2 * results.data.stat().st_size
    assert results.seen(name)["end"] == "eof"


@pytest.mark.parametrize("side", SIDES)
def test_a_source_that_closes_its_output_and_works_on(results: Results, side: str) -> None:
    assert_ok(results.outcomes[f"closes-early-then-0-{side}"])
    assert_same(results, "python", f"closes-early-then-0-{side}")
    name = f"closes-early-then-1-{side}"
    source, sink_stage = names(side)
    assert_blames(results.outcomes[name], source, "failed", "exit status 1")
    assert results.seen(name)["end"] == "ECONNRESET"
    assert results.stage(name, sink_stage)["rc"] == 3


# -- sinks


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("fault", "words"),
    [("sink-fails", "exit status 3: tape broken"), ("sink-fails-late", "exit status 4: no label")],
)
def test_a_sink_that_fails_is_the_cause(results: Results, fault: str, words: str, side: str) -> None:
    assert_blames(results.outcomes[f"{fault}-{side}"], names(side)[1], "failed", words)


@pytest.mark.parametrize("side", SIDES)
def test_a_sink_that_is_killed_is_the_cause(results: Results, side: str) -> None:
    assert_blames(results.outcomes[f"sink-killed-{side}"], names(side)[1], "failed", "SIGKILL")


@pytest.mark.parametrize("side", SIDES)
def test_a_sink_must_read_to_the_end(results: Results, side: str) -> None:
    name = f"sink-early-{side}"
    words = ("stopped reading after 1048576 bytes with exit status 0", "left unread", "early_exit")
    assert_blames(results.outcomes[name], names(side)[1], "stopped reading", *words)
    assert_blames(results.outcomes[f"sink-blind-{side}"], names(side)[1], "stopped reading", "after 0 bytes")


@pytest.mark.parametrize("side", SIDES)
def test_unless_it_may_stop_early(results: Results, side: str) -> None:
    assert_ok(results.outcomes[f"sink-early-allowed-{side}"])


@pytest.mark.parametrize("side", SIDES)
def test_padding_need_not_be_read(results: Results, side: str) -> None:
    """GNU tar stops at the archive's end; what comes behind it is NUL only."""
    name = f"padding-{side}"
    assert_ok(results.outcomes[name])
    assert_same(results, "tar", name)
    assert results[name]["bytes"] == results.data.stat().st_size + 900 * 1024
    assert 890 * 1024 < results[name]["links"][0]["padding"] <= 900 * 1024


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("fault", ["padding-then-data", "two-archives", "image"])
def test_but_data_must(results: Results, fault: str, side: str) -> None:
    assert_blames(results.outcomes[f"{fault}-{side}"], names(side)[1], "stopped reading", "left unread")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("sink", ["dd", "cat", "gzip", "tar"])
def test_a_full_disk(results: Results, sink: str, side: str) -> None:
    name = f"full-{sink}-{side}"
    assert_blames(results.outcomes[name], names(side)[1], "failed")
    assert "No space left on device" in results.stage(name, names(side)[1])["stderr"]
    assert "No space left" in results[name]["msg"] or sink == "tar", results[name]["msg"]


@pytest.mark.parametrize("side", SIDES)
def test_a_sink_that_pauses_is_not_a_dead_one(results: Results, side: str) -> None:
    """Four times as long as dead_peer: a tape is being changed, and the other host is there all the time."""
    name = f"slow-sink-{side}"
    assert_ok(results.outcomes[name])
    assert results.seen(name)["bytes"] == 4 * results.data.stat().st_size
    assert results[name]["elapsed"] >= 20


# -- commands that cannot be run


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("which", [0, 1])
def test_a_command_that_is_not_there(results: Results, which: int, side: str) -> None:
    name = f"missing-{('source', 'sink')[which]}-{side}"
    assert_blames(results.outcomes[name], names(side)[which], "refused", "no-such-program", "PATH")
    assert not results[name]["changed"]
    assert not results.out(name).exists()
    assert [stage["rc"] for stage in results[name]["stages"]] == [None, None]


@pytest.mark.parametrize("side", SIDES)
def test_a_command_that_cannot_be_executed(results: Results, side: str) -> None:
    assert_blames(results.outcomes[f"not-executable-{side}"], names(side)[1], "refused", "is not executable")
    assert_blames(results.outcomes[f"no-interpreter-{side}"], names(side)[1], "not started", "its interpreter")


# -- the middle


def test_a_middle_that_may_stop_early(results: Results) -> None:
    assert_ok(results.outcomes["middle-early"])
    assert (results.seen("middle-early")["bytes"], results.seen("middle-early")["end"]) == (MIB, "eof")


def test_both_links_at_once(results: Results) -> None:
    assert_ok(results.outcomes["middle-whole"])
    assert results.out("middle-whole").read_bytes() == results.data.read_bytes()


def test_a_middle_passes_the_error_on(results: Results) -> None:
    name = "middle-two-hosts"
    assert_blames(results.outcomes[name], "input", "failed", "SIGKILL", "h2")
    assert results.stage(name, "output")["rc"] not in (0, None)


# -- what is left running


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("kind", "number"), [("source", "7201"), ("sink", "7202"), ("stubborn", "7203")])
def test_what_a_failed_stage_started_goes_with_it(results: Results, kind: str, number: str, side: str) -> None:
    name = f"orphan-{kind}-{side}"
    assert_blames(results.outcomes[name], names(side)[kind == "sink"], "failed")
    assert results[name]["left_running"] == []
    assert not [proc for proc in anatomy.left(results.fleet, [number]) if number in proc.argv]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("kind", "number"), AGENTS.items())
def test_an_agent_without_the_link_is_left_alone(results: Results, kind: str, number: str, side: str) -> None:
    name = f"agent-{kind}-{side}"
    assert_ok(results.outcomes[name])
    (said,) = results[name]["left_running"]
    host, _colon, process = said.partition(": ")
    remote = names(side)[kind == "sink"] == "remote"
    assert (host, process.split(" ")[1]) == (name if remote else "localhost", "sleep")
    where = results.fleet["h1"] if remote else results.fleet.controller
    agents = [proc for proc in anatomy.processes(where) if number in proc.argv]
    assert len(agents) == 1
