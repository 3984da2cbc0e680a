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

from . import batch
from .batch import Case
from .conftest import make_fleet
from .playbook import Outcome, pipe
from .traces import leaves_nothing

HOWS = {"drop": "timed out", "reject": "refused", "unreachable": "refused|no route"}
WALLS = tuple(f"{direction}-{how}" for direction in ("in", "out") for how in HOWS)
SHUT = {"drop": "timed out", "reject": "refused"}  # in both directions
PORTS = range(21000, 21004)  # those in the middle are blocked on the controller and on the host of this name


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A host for each kind of firewall."""
    names = ["h1", "h2", "ports", "guarded", *WALLS, *(f"shut-{how}" for how in SHUT)]
    for made in make_fleet(names, tmp_path_factory.mktemp("fleet")):
        for wall in WALLS:
            direction, how = wall.split("-")
            made[wall].block(direction, how)  # type: ignore[arg-type]
        for how in SHUT:
            made[f"shut-{how}"].block("both", how)  # type: ignore[arg-type]
        for host in (made["ports"], made.controller):
            host.block("in", "reject", ports=[f"{PORTS[1]}-{PORTS[2]}"])
        made["guarded"].block("in", "reject")
        yield made


def marks(fleet: Fleet) -> Path:
    return fleet.directory / "marks"


def check(fleet: Fleet, name: str, host: str = "h1", **options: Any) -> Case:
    """One preflight whose commands would leave a mark."""
    touch = {"shell": f"touch {marks(fleet)}/{name}; cat"}
    options = {"input": touch, "remote": touch, "output": touch, "connect_timeout": 6, **options}
    return Case(pipe(preflight=True, **options), host=host)


@pytest.fixture(scope="module")
def outcomes(fleet: Fleet) -> dict[str, Outcome]:
    """All at once."""
    h1 = fleet["h1"]
    options: dict[str, dict[str, Any]] = {
        "open": {},
        "between": {"peer": "h2", "ports": f"{PORTS[0]}-{PORTS[-1]}"},
        **{wall: {"host": wall} for wall in WALLS},
        **{f"shut-{how}": {"host": f"shut-{how}"} for how in SHUT},
        "ports": {"host": "ports", "ports": f"{PORTS[0]}-{PORTS[-1]}"},
        "listening": {"listen": "remote", "address": [h1.v4, h1.v6, "192.0.2.77"]},
    }
    cases = {name: check(fleet, name, **own) for name, own in options.items()}
    plain: dict[str, Any] = {"input": "true", "remote": "cat", "preflight": True}
    cases["no-command"] = Case(pipe(**{**plain, "remote": "no-such-command"}))
    cases["no-python"] = Case(pipe(**plain, peer="pythonless"))
    cases["unreachable"] = Case(pipe(**plain), variables={"ansible_port": 1})
    cases["relay"] = check(fleet, "relay", encryption="relay")
    cases["kernel"] = check(fleet, "kernel", encryption="kernel")
    cases["free"] = Case(pipe(**plain, peer="controller"))
    cases["guarded"] = Case(pipe(**plain, peer="controller"), host="guarded")
    marks(fleet).mkdir()
    more = {"pythonless": {"ansible_host": fleet["h2"].address, "ansible_python_interpreter": "/no/such/python"}}
    with leaves_nothing(fleet):
        return batch.run(fleet, cases, more=more)


def expect(fleet: Fleet, outcome: Outcome, status: str = "ok") -> Outcome:
    """No command was run."""
    assert list(marks(fleet).iterdir()) == [], "a command was run"
    assert outcome.status == status, outcome.result.get("msg")
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


def test_both_directions(fleet: Fleet, outcomes: dict[str, Outcome]) -> None:
    outcome = expect(fleet, outcomes["open"])
    assert ways(outcome) == {("localhost", "open"): {"ok"}, ("open", "localhost"): {"ok"}}
    here, there = fleet.controller.address, fleet["h1"].address
    assert {(tried["from"], tried["address"]) for tried in outcome.result["preflight"]} == {
        ("localhost", there),
        ("open", here),
    }
    assert f"open reaches localhost at {here}" in outcome.result["msg"]
    assert f"localhost reaches open at {there}" in outcome.result["msg"]
    assert outcome.result["cause"] is None


def test_a_peer_host(fleet: Fleet, outcomes: dict[str, Outcome]) -> None:
    outcome = expect(fleet, outcomes["between"])
    assert ways(outcome) == {("h2", "between"): {"ok"}, ("between", "h2"): {"ok"}}
    assert {tried["port"] for tried in outcome.result["preflight"]} == set(PORTS)


@pytest.mark.parametrize(("how", "words"), HOWS.items())
def test_one_direction_is_blocked(fleet: Fleet, outcomes: dict[str, Outcome], how: str, words: str) -> None:
    name = f"in-{how}"
    outcome = expect(fleet, outcomes[name])
    found = ways(outcome)
    assert found[(name, "localhost")] == {"ok"}
    assert all(re.fullmatch(words, each) for each in found[("localhost", name)])
    assert re.search(rf"localhost to {name} at {fleet[name].address}: ({words})", outcome.result["msg"])
    name = f"out-{how}"
    outcome = expect(fleet, outcomes[name])
    found = ways(outcome)
    assert found[("localhost", name)] == {"ok"}
    assert found[(name, "localhost")] and "ok" not in found[(name, "localhost")]


@pytest.mark.parametrize(("how", "words"), SHUT.items())
def test_all_is_blocked(fleet: Fleet, outcomes: dict[str, Outcome], how: str, words: str) -> None:
    name = f"shut-{how}"
    outcome = expect(fleet, outcomes[name], "failed")
    here, there = fleet.controller.address, fleet[name].address
    told = rf"{name} listened on port [\d, ]+, dialled localhost at {here} port [\d, ]+ \({words}\)\. "
    told += rf"localhost listened on port [\d, ]+, dialled {name} at {there} port [\d, ]+ \({words}\)\."
    assert re.fullmatch(rf"neither host can reach the other\. {told}", outcome.result["msg"]), outcome.result["msg"]
    assert outcome.result["cause"]["kind"] == "not connected"
    assert outcome.result["cause"]["msg"] == outcome.result["msg"]


def test_some_ports_are_blocked(fleet: Fleet, outcomes: dict[str, Outcome]) -> None:
    outcome = expect(fleet, outcomes["ports"])
    by_port = {
        port: {tried["outcome"] for tried in outcome.result["preflight"] if tried["port"] == port} for port in PORTS
    }
    assert list(by_port.values()) == [{"ok"}, {"refused"}, {"refused"}, {"ok"}]


def test_addresses_and_listen(fleet: Fleet, outcomes: dict[str, Outcome]) -> None:
    h1 = fleet["h1"]
    outcome = expect(fleet, outcomes["listening"])
    assert set(ways(outcome)) == {("localhost", "listening")}, "the peer does not listen"
    by_address: dict[str, set[bool]] = {}
    for tried in outcome.result["preflight"]:
        by_address.setdefault(tried["address"], set()).add(tried["ok"])
    assert by_address == {h1.v4: {True}, h1.v6: {True}, "192.0.2.77": {False}}
    assert re.search(r"localhost to listening at 192\.0\.2\.77: (no route|timed out)", outcome.result["msg"])


def test_what_else_is_found_before_anything_runs(fleet: Fleet, outcomes: dict[str, Outcome]) -> None:
    """Commands are looked up; a host without Python and an unreachable one are what they always are."""
    outcome = outcomes["no-command"]
    assert outcome.status == "failed"
    assert outcome.result["msg"].startswith("remote on no-command: there is no 'no-such-command' in PATH")
    assert outcome.result["cause"]["kind"] == "refused" and outcome.result["changed"] is False
    outcome = outcomes["no-python"]
    assert outcome.status == "failed"
    assert outcome.result["cause"]["kind"] == "no python" and outcome.result["changed"] is False
    assert outcomes["unreachable"].status == "unreachable"


def test_the_encryption(fleet: Fleet, outcomes: dict[str, Outcome]) -> None:
    """Whether kernel TLS works depends on this machine; a Python with ssl is on all hosts."""
    for name in ("open", "relay", "kernel"):
        outcome = outcomes[name]
        found = outcome.result["encryption"]
        assert [host["host"] for host in found["hosts"]] == [name, "localhost"]
        for host in found["hosts"]:
            assert host["ssl"].startswith("OpenSSL ") and f"{host['host']} has " in outcome.result["msg"]
            assert host["kernel_tls"] is (host["problem"] is None)
            assert not host["problem"] or host["problem"]["msg"] in outcome.result["msg"]
        can = all(host["kernel_tls"] for host in found["hosts"])
        if name == "kernel" and not can:
            expect(fleet, outcome, "failed")
            assert found["how"] is None and outcome.result["cause"]["kind"] == "refused"
            said = f"{found['refused']['host']}: {found['refused']['msg']}"
            assert outcome.result["msg"].startswith(said) and outcome.result["cause"]["msg"] == said
            assert "its links are to be encrypted by the kernel: " in said
        else:
            expect(fleet, outcome)
            assert found["how"] == {"open": None, "relay": "relay", "kernel": "kernel"}[name]
            assert found["refused"] is None


def test_a_fleet_at_once(fleet: Fleet, outcomes: dict[str, Outcome]) -> None:
    for host, into in (("free", {"ok"}), ("guarded", {"refused"})):
        found = ways(outcomes[host])
        assert found[("controller", host)] == into and found[(host, "controller")] == {"ok"}
