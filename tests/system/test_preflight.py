# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""preflight: which address and port works in which direction, and how the others fail; no command runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .playbook import Outcome, pipe


@pytest.fixture(autouse=True)
def open_again(fleet: Fleet) -> Iterator[None]:
    """Whatever a test blocks."""
    yield
    for host in (fleet.controller, *fleet):
        host.unblock()


def check(fleet: Fleet, work: Path, rc: int = 0, hosts: str = "h1", **options: Any) -> Outcome:
    """One preflight whose commands would leave a mark."""
    touch = {"shell": f"touch {work}/ran; cat"}
    options = {"input": touch, "remote": touch, "output": touch, "connect_timeout": 6, **options}
    outcome = playbook.run(fleet, pipe(preflight=True, **options), hosts=hosts, rc=rc).only
    assert list(work.iterdir()) == [], "a command was run"
    assert outcome.result["changed"] is False
    assert "ansible_facts" not in outcome.result
    assert all(stage["rc"] is None for stage in outcome.result["stages"])
    return outcome


def ways(outcome: Outcome) -> dict[tuple[str, str], set[str]]:
    """{(from, to): what came of it, over all addresses and ports}."""
    found: dict[tuple[str, str], set[str]] = {}
    for tried in outcome.result["preflight"]:
        assert tried["ok"] is (tried["outcome"] == "ok")
        found.setdefault((tried["from"], tried["to"]), set()).add(tried["outcome"])
    return found


def test_both_directions(fleet: Fleet, work: Path) -> None:
    outcome = check(fleet, work)
    assert ways(outcome) == {("localhost", "h1"): {"ok"}, ("h1", "localhost"): {"ok"}}
    here, there = fleet.controller.address, fleet["h1"].address
    assert {(tried["from"], tried["address"]) for tried in outcome.result["preflight"]} == {
        ("localhost", there),
        ("h1", here),
    }
    assert f"h1 reaches localhost at {here}" in outcome.result["msg"]
    assert f"localhost reaches h1 at {there}" in outcome.result["msg"]
    assert outcome.result["cause"] is None


def test_a_peer_host(fleet: Fleet, work: Path) -> None:
    outcome = check(fleet, work, peer="h2", ports="41000-41003")
    assert ways(outcome) == {("h2", "h1"): {"ok"}, ("h1", "h2"): {"ok"}}
    assert {tried["port"] for tried in outcome.result["preflight"]} == {41000, 41001, 41002, 41003}


@pytest.mark.parametrize(
    ("how", "words"), [("drop", "timed out"), ("reject", "refused"), ("unreachable", "refused|no route")]
)
def test_one_direction_is_blocked(fleet: Fleet, work: Path, how: Any, words: str) -> None:
    fleet["h1"].block("in", how=how)
    outcome = check(fleet, work)
    found = ways(outcome)
    assert found[("h1", "localhost")] == {"ok"}
    assert all(re.fullmatch(words, each) for each in found[("localhost", "h1")])
    assert re.search(rf"localhost to h1 at {fleet['h1'].address}: ({words})", outcome.result["msg"])
    fleet["h1"].unblock()
    fleet["h1"].block("out", how=how)
    outcome = check(fleet, work)
    found = ways(outcome)
    assert found[("localhost", "h1")] == {"ok"}
    assert found[("h1", "localhost")] and "ok" not in found[("h1", "localhost")]


@pytest.mark.parametrize("how", ["drop", "reject"])
def test_all_is_blocked(fleet: Fleet, work: Path, how: Any) -> None:
    fleet["h1"].block("both", how=how)
    outcome = check(fleet, work, rc=2)
    words = {"drop": "timed out", "reject": "refused"}[how]
    here, there = fleet.controller.address, fleet["h1"].address
    told = rf"h1 listened on port [\d, ]+, dialled localhost at {here} port [\d, ]+ \({words}\)\. "
    told += rf"localhost listened on port [\d, ]+, dialled h1 at {there} port [\d, ]+ \({words}\)\."
    assert re.fullmatch(rf"neither host can reach the other\. {told}", outcome.result["msg"]), outcome.result["msg"]
    assert outcome.result["cause"]["kind"] == "not connected"
    assert outcome.result["cause"]["msg"] == outcome.result["msg"]


def test_some_ports_are_blocked(fleet: Fleet, work: Path) -> None:
    for host in (fleet["h1"], fleet.controller):
        host.block("in", how="reject", ports=["41001-41002"])
    outcome = check(fleet, work, ports="41000-41003")
    by_port = {
        port: {tried["outcome"] for tried in outcome.result["preflight"] if tried["port"] == port}
        for port in range(41000, 41004)
    }
    assert by_port == {41000: {"ok"}, 41001: {"refused"}, 41002: {"refused"}, 41003: {"ok"}}


def test_addresses_and_listen(fleet: Fleet, work: Path) -> None:
    h1 = fleet["h1"]
    outcome = check(fleet, work, listen="remote", address=[h1.v4, h1.v6, "192.0.2.77"])
    assert set(ways(outcome)) == {("localhost", "h1")}, "the peer does not listen"
    by_address: dict[str, set[bool]] = {}
    for tried in outcome.result["preflight"]:
        by_address.setdefault(tried["address"], set()).add(tried["ok"])
    assert by_address == {h1.v4: {True}, h1.v6: {True}, "192.0.2.77": {False}}
    assert re.search(r"localhost to h1 at 192\.0\.2\.77: (no route|timed out)", outcome.result["msg"])


def test_what_else_is_found_before_anything_runs(fleet: Fleet, work: Path) -> None:
    """Commands are looked up; a host without Python and an unreachable one are what they always are."""
    outcome = playbook.run(fleet, pipe(input="true", remote="no-such-command", preflight=True), rc=2).only
    assert outcome.result["msg"].startswith("remote on h1: there is no 'no-such-command' in PATH")
    assert outcome.result["cause"]["kind"] == "refused" and outcome.result["changed"] is False
    unusable = {"h2": {"ansible_python_interpreter": "/no/such/python"}}
    outcome = playbook.run(
        fleet, pipe(input="true", remote="cat", preflight=True, peer="h2"), inventory=unusable, rc=2
    ).only
    assert outcome.result["cause"]["kind"] == "no python" and outcome.result["changed"] is False
    off = {"h1": {"ansible_port": 1}}
    outcome = playbook.run(fleet, pipe(input="true", remote="cat", preflight=True), inventory=off, rc=4).only
    assert outcome.status == "unreachable"


def test_a_fleet_at_once(fleet: Fleet, work: Path) -> None:
    fleet["h2"].block("in", how="reject")
    done = playbook.run(fleet, pipe(input="true", remote="cat", preflight=True, peer="controller"), hosts="fleet")
    for host, into in (("h1", {"ok"}), ("h2", {"refused"})):
        found = ways(done.of("task 1", host))
        assert found[("controller", host)] == into and found[(host, "controller")] == {"ok"}
