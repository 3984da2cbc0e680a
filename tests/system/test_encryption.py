# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted links between real hosts: who listens on the wire reads nothing, who meddles is found out."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import batch
from .batch import Case
from .between import proxying, sniffing
from .playbook import Outcome, pipe
from .shell import Shell
from .traces import leaves_nothing

SIZE = 40_000  # lines with a marker
PORT = 26000
WAYS = ("forward", "delay", "cut", "reset", "flip", "replay", "inject", "drop")
HARMLESS = ("forward", "delay")
# writes as much as nobody in between can hold back, and says how its output ended
SOURCE = "head -c 5000000 /dev/urandom"
RECORD = "sh -c 'cat > /dev/null && echo whole >> {0} || echo broken >> {0}'"


FLEET = ["h1", "h2", "h3"]  # h3 is where somebody else is


@pytest.fixture(scope="module", autouse=True)
def clean(fleet: Fleet, installed: Shell) -> Iterator[None]:
    """conftest's check, once for all; the command was there before."""
    with leaves_nothing(fleet):
        yield


def lines(marker: str, after: str = "") -> dict[str, str]:
    return {"shell": f"yes {marker} | head -n {SIZE}{after}"}


def both_ways(name: str, after: str = "", **more: Any) -> Case:
    """NAME in capitals on the way there, and in small letters on the way back."""
    back = {"shell": "tr A-Z a-z"}
    return Case(pipe(input=lines(f"MARK-{name.upper()}-", after), remote=back, output="wc -c", **more))


CASES = {
    "clear": both_ways("clear"),
    "required": both_ways("required", encryption="required"),
    "relay": both_ways("relay", encryption="relay"),
    "kernel": both_ways("kernel", encryption="kernel"),
    "third": both_ways("third", encryption="required", peer="h2"),
    "listening": both_ways("listening", encryption="required", listen="remote"),
    "blocks": Case(
        pipe(
            input=lines("MARK-BLOCKS-"),
            remote="dd ibs=32k obs=32k",
            output="dd bs=32k of=/dev/null",
            encryption="required",
        )
    ),
    "chain": Case(
        pipe(
            input=[lines("MARK-CHAIN-"), {"cmd": "cat"}],
            remote=[{"cmd": "cat"}, {"cmd": "tr A-Z a-z"}],
            output="wc -c",
            encryption="required",
        )
    ),
    "slow": both_ways("slow", encryption="required", rate_limit="1M", stall_timeout=20),
    "fails": both_ways("fails", "; exit 3", encryption="required"),
    "early": Case(
        pipe(
            input=lines("MARK-EARLY-"),
            remote={"cmd": "head -n 100", "early_exit": True},
            output="wc -c",
            encryption="required",
        )
    ),
    "stops": Case(pipe(input=lines("MARK-STOPS-"), remote={"shell": "head -c 1000"}, encryption="required")),
    "missing": both_ways("missing", encryption="required"),
}
NO_SSL = """#!/bin/sh
shift 2
exec /usr/bin/python3 -IS -c 'import sys; sys.modules["ssl"] = None; exec(sys.argv.pop(1))' "$@"
"""


@pytest.fixture(scope="module")
def outcomes(fleet: Fleet) -> Iterator[tuple[dict[str, Outcome], dict[str, int]]]:
    markers = [f"MARK-{name.upper()}-" for name in CASES]
    python = fleet.directory / "no-ssl"
    python.write_text(NO_SSL)
    python.chmod(0o755)
    cases = dict(CASES)
    cases["missing"] = dataclasses.replace(cases["missing"], variables={"ansible_python_interpreter": str(python)})
    with sniffing(fleet, [*markers, *(marker.lower() for marker in markers)]) as sniffer:
        found = batch.run(fleet, cases, timeout=300)
    assert sniffer.frames > 1000
    yield found, sniffer.found


Outcomes = tuple[dict[str, Outcome], dict[str, int]]
OK = ("clear", "required", "relay", "third", "listening", "blocks", "chain", "slow", "early")


@pytest.mark.parametrize("name", [name for name in CASES if name != "clear"])
def test_nothing_is_on_the_wire_in_clear(outcomes: Outcomes, name: str) -> None:
    marker = f"MARK-{name.upper()}-"
    assert (outcomes[1][marker], outcomes[1][marker.lower()]) == (0, 0)


TRIAL = (
    "import sys; sys.path.insert(0, sys.argv[1]); from module_utils._end import ktls_trial as k; print(k.trial()[0])"
)


@functools.cache
def kernel_can() -> bool:
    """The hosts here have the kernel of this machine."""
    plugins = Path(__file__).resolve().parents[2] / "plugins"
    can = subprocess.run([sys.executable, "-ISc", TRIAL, plugins], capture_output=True, text=True, check=True).stdout
    return bool(int(can))


def test_the_kernels_do_it_or_it_is_refused(outcomes: Outcomes) -> None:
    """Where the kernel has no TLS the message says why, and what to do."""
    outcome = outcomes[0]["kernel"]
    if kernel_can():
        assert outcome.status == "ok" and all(link["encryption"]["how"] == "kernel" for link in outcome.result["links"])
    else:
        assert outcome.status == "failed" and outcome.result["cause"]["kind"] == "refused"
        assert "its links are to be encrypted by the kernel: " in outcome.result["msg"]
        assert all(stage["rc"] is None for stage in outcome.result["stages"])


def test_without_encryption_everything_is(outcomes: Outcomes) -> None:
    """So that the test above can fail."""
    assert outcomes[1]["MARK-CLEAR-"] > 0 and outcomes[1]["mark-clear-"] > 0


@pytest.mark.parametrize("name", OK)
def test_it_is_ok(outcomes: Outcomes, name: str) -> None:
    outcome = outcomes[0][name]
    assert outcome.status == "ok", outcome.result["msg"]
    count = SIZE * len(f"MARK-{name}-\n")
    expected = 100 * len(f"MARK-{name}-\n") if name == "early" else count
    result = outcome.result
    if name != "blocks":
        assert result["stages"][-1]["stdout"] == f"{expected}\n"
    assert result["bytes"] == expected
    apart = [link for link in result["links"] if link["source_host"] != link["destination_host"]]
    for link in apart if name != "early" else apart[1:]:
        assert link["bytes"] == count if name != "early" else expected
        if name == "clear":
            assert link["encryption"] is None
        else:
            assert link["encryption"]["how"] == "relay" and link["encryption"]["records"] > 0
            assert link["encryption"]["cipher"].startswith("TLS_")
    within = [link for link in result["links"] if link not in apart]
    assert all(link["encryption"] is None for link in within)
    names = {stage["name"] for stage in result["stages"]}
    assert not names & {"seal", "open"}
    assert result["left_running"] == []


def test_whole_blocks_reach_a_reader_that_needs_them(outcomes: Outcomes) -> None:
    said = outcomes[0]["blocks"].result["stages"]
    for stage in said[1:]:
        whole, partial = divmod(SIZE * len("MARK-BLOCKS-\n"), 32768)
        assert f"{whole}+{int(bool(partial))} records in" in stage["stderr"]


def test_a_failure_is_the_stages(outcomes: Outcomes) -> None:
    outcome = outcomes[0]["fails"]
    cause = outcome.result["cause"]
    assert outcome.status == "failed" and (cause["kind"], cause["stage"], cause["rc"]) == ("failed", "input", 3)
    stops = outcomes[0]["stops"]
    assert stops.status == "failed" and stops.result["cause"]["kind"] == "stopped reading"
    assert "after 1000 bytes" in stops.result["msg"]


def test_who_cannot_encrypt_runs_nothing(outcomes: Outcomes) -> None:
    result = outcomes[0]["missing"].result
    assert result["cause"]["kind"] == "refused"
    assert "encrypted links need Python's ssl module" in result["msg"]
    assert all(stage["rc"] is None for stage in result["stages"]) and not result["changed"]


# -- the command

HOSTS = ("this host", "the far side (ssh h1)")
TEXT = f"{{ sh -c 'yes MARK-ONE- | head -n {SIZE}' }}"
COMMANDS = {
    # on both ways
    "command": f"socketpipe OPTION -i {TEXT} -l {{ ssh h1 }} -r {{ tr A-Z a-z }} -o {{ wc -c }}",
    # on both ways of both links
    "nested": f"socketpipe OPTION -i {TEXT} -l {{ ssh h1 }} "
    "-r { socketpipe -i { cat } -l { ssh h2 } -r { tr A-Z a-z } -o { cat } } -o { wc -c }",
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["", "--encrypt", "--encrypt=relay"])
def test_the_command(fleet: Fleet, shell: Shell, name: str, option: str) -> None:
    with sniffing(fleet, ["MARK-ONE-", "mark-one-"]) as sniffer:
        ended = shell.run(COMMANDS[name].replace("OPTION", option))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{10 * SIZE}\n", "")
    assert not any(sniffer.found.values()) if option else all(sniffer.found.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_by_the_kernels_or_not_at_all(fleet: Fleet, shell: Shell, work: Path, name: str) -> None:
    """tests/tls shows that it works; here it is refused, with a reason, unless the kernel has TLS."""
    line = COMMANDS[name].replace("OPTION", "--encrypt=kernel").replace("{ sh -c '", f"{{ sh -c 'touch {work}/ran; ")
    with sniffing(fleet, ["MARK-ONE-", "mark-one-"]) as sniffer:
        ended = shell.run(line)
    assert not any(sniffer.found.values())
    if kernel_can():
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{10 * SIZE}\n", "")
    else:
        assert (ended.returncode, ended.stdout) == (2, "") and not (work / "ran").exists()
        assert ended.said.partition(": its links are to be encrypted by the kernel: ")[0] in HOSTS


@pytest.mark.parametrize("login", ["ssh -n h1", "ssh -tt h1"])
def test_the_keys_of_a_command_are_not_in_a_command_line(fleet: Fleet, shell: Shell, login: str) -> None:
    ended = shell.run(f"socketpipe --encrypt -l {{ {login} }} -r {{ touch /tmp/ran }} -o {{ cat }} < /dev/null")
    assert ended.returncode == 2
    assert ended.said.startswith("--encrypt: the login command cannot carry the keys: ")
    assert not fleet["h1"].outside("/tmp/ran").exists()


# -- somebody in between


def seen(fleet: Fleet, way: str) -> Path:
    """Where a sink writes how its input ended."""
    return fleet.directory / f"seen-{way}"


@pytest.fixture(scope="module")
def meddled(fleet: Fleet) -> Iterator[dict[str, Outcome]]:
    """The task's host dials what it is told to: h3, where somebody passes the handshake on, and then meddles."""
    ways = dict(enumerate(WAYS, PORT))
    cases = {}
    for port, way in ways.items():
        record = RECORD.format(seen(fleet, way))
        cases[way] = Case(
            pipe(
                input=SOURCE,
                remote=record,
                encryption="required",
                listen="peer",
                address=fleet["h3"].address,
                ports=str(port),
            )
        )
    with proxying(fleet["h3"], fleet.controller.address, ways):
        yield batch.run(fleet, cases, timeout=300)


@pytest.mark.parametrize("way", WAYS)
def test_who_is_in_between(fleet: Fleet, meddled: dict[str, Outcome], way: str) -> None:
    outcome = meddled[way]
    path = seen(fleet, way)
    ended = path.read_text(encoding="ascii").split() if path.exists() else ["never started"]
    if way in HARMLESS:
        assert outcome.status == "ok", outcome.result["msg"]
        assert ended == ["whole"]
        return
    assert outcome.status == "failed"
    # if all came at once, the relay has met the change before it has passed on anything
    assert ended in (["broken"], ["never started"]), "the sink has seen a clean end"
    kind = "cut on the way" if way in ("cut", "reset") else "changed on the way"
    assert outcome.result["cause"]["kind"] == kind, json.dumps(outcome.result["cause"])
    assert kind in outcome.result["msg"]
