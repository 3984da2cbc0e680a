# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens, who dials, through which firewall, at which address - and what is said when nobody gets through.

Most cases run at once in one ansible-playbook (see batch) on hosts of their own: a host for each kind of firewall.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet, Host, HostProcess, HostSpec, requirements

from . import anatomy, batch, playbook
from .batch import OWN_LOGIN, Case
from .conftest import make_fleet
from .playbook import Outcome, pipe
from .traces import leaves_nothing

HOWS = {"drop": "timed out", "reject": "refused", "unreachable": "no route"}
DIRECTIONS = ("in", "out")
WALLS = tuple(f"{direction}-{how}" for direction in DIRECTIONS for how in HOWS)
PEERS = ("localhost", "h2")
LISTEN = ("auto", "peer", "remote")
DEAD = "10.203.0.250"  # nobody has this address
SHORT = 4  # seconds, connect_timeout of what shall fail
ADVICE = ("address", "ports", "listen", "preflight: true")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    reason = requirements()
    if reason:
        pytest.skip(reason)
    many = [HostSpec(name, max_startups="200") for name in ("h1", "h2", "wall", *WALLS)]
    odd = [HostSpec("four", v6=False), HostSpec("six", v4=False), HostSpec("busy", max_startups="2:50:5")]
    yield from make_fleet([*many, *odd], tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module", autouse=True)
def clean(fleet: Fleet) -> Iterator[None]:
    """conftest's check, once for all."""
    with leaves_nothing(fleet):
        yield


@pytest.fixture(scope="module")
def walls(fleet: Fleet) -> None:
    """The hosts with a firewall get it; ssh is spared."""
    for name in WALLS:
        direction, how = name.split("-")
        fleet[name].block(direction, how)  # type: ignore[arg-type]
    fleet["wall"].block("both", "drop")


# -- firewalls, ports and addresses: the batch


def opened(wall: str, listen: str) -> bool:
    """Whether it can work: the peer dials in, the task's host dials out."""
    return listen == "auto" or (listen == "remote") == (wall.split("-")[0] == "out")


def wall_cases() -> dict[str, Case]:
    cases = {}
    for wall in WALLS:
        for peer in PEERS:
            for listen in LISTEN:
                more = {} if opened(wall, listen) else {"connect_timeout": SHORT}
                task = pipe(input="echo hello", remote="cat", peer=peer, listen=listen, **more)
                cases[f"{wall}-{listen}-{peer}"] = Case(task, host=wall)
    for peer in PEERS:
        task = pipe(input="echo hello", remote="cat", peer=peer, connect_timeout=SHORT)
        cases[f"wall-{peer}"] = Case(task, host="wall")
        for wall in (*WALLS, "wall"):
            more = {"connect_timeout": 6} if wall == "wall" else {}
            task = pipe(input="touch /tmp/started", remote="touch /tmp/started", peer=peer, preflight=True, **more)
            cases[f"preflight-{wall}-{peer}"] = Case(task, host=wall)
    return cases


PORTS = {"single": [21001], "range": [*range(21010, 21020)], "list": [21021, 21030, 21031]}


def written(kind: str, ports: list[int]) -> str:
    """As a user writes them."""
    return f"{ports[0]}-{ports[-1]}" if kind == "range" else ",".join(map(str, ports))


def shift(listen: str, peer: str) -> int:
    """Where the ports of a case begin, in place of 21000: no other case uses them."""
    return LISTEN.index(listen) * 100 + PEERS.index(peer) * 1000


def open_cases(fleet: Fleet) -> dict[str, Case]:
    cases = {}
    for peer in PEERS:
        for listen in LISTEN:
            for kind, ports in PORTS.items():
                own = written(kind, [port + shift(listen, peer) for port in ports])
                task = pipe(input="echo hello", remote="cat", peer=peer, listen=listen, ports=own)
                cases[f"ports-{kind}-{listen}-{peer}"] = Case(task)
        cases[f"preflight-open-{peer}"] = Case(
            pipe(input="touch /tmp/started", remote="touch /tmp/started", peer=peer, preflight=True)
        )
    for listen in LISTEN:
        v6 = {"ansible_host": fleet["h1"].v6}
        options = {"input": "echo hello", "remote": "cat", "listen": listen}
        cases[f"v6-address-{listen}"] = Case(pipe(**options), variables=v6)
        cases[f"v6-address-{listen}-h2"] = Case(pipe(**options, peer="h2-v6"), variables=v6)
        for family in ("four", "six"):
            cases[f"only-{family}-{listen}"] = Case(pipe(**options), host=family)
            cases[f"only-{family}-{listen}-h2"] = Case(pipe(**options, peer=f"h2-{family}"), host=family)
    for one, other in (("four", "six"), ("six", "four")):
        task = pipe(input="echo hello", remote="cat", peer=other, connect_timeout=SHORT)
        cases[f"no-family-{one}"] = Case(task, host=one)
    task = pipe(input="echo hello", remote="cat", listen="peer", address="no-such-name", connect_timeout=SHORT)
    cases["address-unknown"] = Case(task)
    # something else listens on 24001 on all three
    busy = {"input": "echo hello", "remote": "cat"}
    for peer in PEERS:
        cases[f"taken-{peer}"] = Case(pipe(**busy, peer=peer, ports="24001", connect_timeout=SHORT))
        cases[f"next-{peer}"] = Case(pipe(**busy, peer=peer, ports=f"24001,2401{PEERS.index(peer)}"))
    slow = {"ansible_python_interpreter": f"{fleet.directory}/slow-python"}
    cases["slow-remote"] = Case(pipe(**busy), variables=slow)
    cases["slow-peer"] = Case(pipe(**busy, peer="h2-slow"))
    cases["too-slow"] = Case(pipe(**busy, connect_timeout=1), variables=slow)
    return cases


# what the inventory says of h1 and of a peer: nobody is there at the second, so it must be the other that is dialled
SAID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dialled": ({"socketpipe_ports": "{{ said }}1", "said": 2190}, {"socketpipe_address": DEAD}),
    "dials": (
        {"socketpipe_listen": "{{ not true }}", "socketpipe_address": DEAD},
        {"socketpipe_ports": [21911, "21912-{{ said }}"], "said": 21913, "socketpipe_address": "storage-peer"},
    ),
    "overruled": ({"socketpipe_ports": 21921}, {"socketpipe_address": DEAD, "socketpipe_listen": "no"}),
    "bad-ports": ({"socketpipe_ports": "{{ said }}", "said": "http"}, {}),
    "bad-address": ({}, {"socketpipe_address": "10.1.0.5 or so"}),
    "nobody": ({"socketpipe_listen": False}, {"socketpipe_listen": "off"}),
}


def said_cases(fleet: Fleet) -> tuple[dict[str, Case], dict[str, Any]]:
    """Cases with inventory variables, and their peers."""
    cases, more = {}, {}
    for name, (own, of_peer) in SAID.items():
        options: dict[str, Any] = {"input": "echo hello", "remote": "cat", "peer": f"h2-{name}"}
        if name == "overruled":
            options |= {"listen": "peer", "ports": [21931], "address": fleet["h2"].address}
        cases[f"said-{name}"] = Case(pipe(**options), variables=own)
        more[f"h2-{name}"] = {"ansible_host": fleet["h2"].address, **of_peer}
    return cases, more


LISTENER = """
import contextlib, socket, sys
server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
kept = []
while True:
    with contextlib.suppress(ConnectionError):  # who called may have hung up
        kept.append(server.accept()[0])
        kept[-1].sendall(b"220 something else\\r\\n" * 20)
"""


def listen_on(host: Host, port: int) -> HostProcess:
    """Something that has this port and is not ours."""
    argv = ["/usr/bin/python3", "-c", LISTENER, str(port)]
    process = host.popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: HostProcess) -> None:
    process.kill()
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()


def script(fleet: Fleet, name: str, text: str) -> Path:
    path = fleet.directory / name
    path.write_text(text, encoding="ascii")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def outcomes(fleet: Fleet, walls: None) -> dict[str, Outcome]:
    script(fleet, "slow-python", '#!/bin/sh\nsleep 4\nexec /usr/bin/python3 "$@"\n')
    for host in (fleet["h1"], fleet["h2"]):
        hosts = host.directory / "etc" / "hosts"
        with hosts.open("a", encoding="ascii") as lines:
            lines.write(f"{DEAD} storage-peer\n{fleet['h2'].address} storage-peer\n")
    with (fleet.controller.directory / "etc" / "hosts").open("a", encoding="ascii") as lines:
        lines.write(f"{DEAD} storage-peer storage-h1\n{fleet['h2'].address} storage-peer\n")
        lines.write(f"{fleet['h1'].address} storage-h1\n")
    others = [listen_on(host, 24001) for host in (fleet.controller, fleet["h1"], fleet["h2"])]
    h2 = fleet["h2"]
    more = {
        "h2-v6": {"ansible_host": h2.v6},
        "h2-four": {"ansible_host": h2.v4},
        "h2-six": {"ansible_host": h2.v6},
        "h2-slow": {"ansible_host": h2.v4, "ansible_python_interpreter": f"{fleet.directory}/slow-python"},
    }
    said, peers = said_cases(fleet)
    more.update(peers)
    cases = {**wall_cases(), **open_cases(fleet), **said}
    try:
        return batch.run(fleet, cases, forks=20, more=more)
    finally:
        for process in others:
            end(process)


def assert_ok(outcome: Outcome) -> dict[str, Any]:
    assert outcome.status == "ok", outcome.result.get("msg")
    assert outcome.result["bytes"] == 6
    assert outcome.result["stages"][-1]["stdout"] == "hello\n"
    link: dict[str, Any] = outcome.result["links"][0]
    return link


def assert_not_connected(outcome: Outcome, *words: str, timeout: int = SHORT) -> str:
    """It has failed when it should, and says in a few sentences what was tried and what to try."""
    assert outcome.status == "failed", outcome
    result = outcome.result
    assert result["cause"]["kind"] == "not connected"
    message: str = result["msg"]
    assert message == result["cause"]["msg"]
    assert f"within {timeout} s (connect_timeout)" in message
    for word in (*words, *ADVICE):
        assert word in message, message
    assert "\n" not in message
    assert len(message) < 900, message
    assert not result["changed"]
    assert [stage["rc"] for stage in result["stages"]] == [None, None]
    assert outcome.at - outcome.started < timeout + 60  # beside many others
    return message


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("wall", WALLS)
def test_auto_finds_the_way_that_is_open(outcomes: dict[str, Outcome], wall: str, peer: str) -> None:
    assert_ok(outcomes[f"{wall}-auto-{peer}"])


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize("listen", ["peer", "remote"])
def test_one_way_only(fleet: Fleet, outcomes: dict[str, Outcome], listen: str, wall: str, peer: str) -> None:
    name = f"{wall}-{listen}-{peer}"
    if opened(wall, listen):
        assert_ok(outcomes[name])
        return
    direction, how = wall.split("-")
    listener, dialler = (peer, name) if listen == "peer" else (name, peer)
    address = fleet[wall] if listen == "remote" else fleet.controller if peer == "localhost" else fleet["h2"]
    message = assert_not_connected(outcomes[name], f"{listener} listened on port", f"{dialler} did not listen")
    assert re.search(
        rf"dialled {listener} at {address.v4} port \d+(, \d+)*( and \d+ more)? \({HOWS[how]}\)", message
    ), message


@pytest.mark.parametrize("peer", PEERS)
def test_no_way_at_all(outcomes: dict[str, Outcome], peer: str) -> None:
    name = f"wall-{peer}"
    message = assert_not_connected(outcomes[name], f"{peer} listened on port", f"{name} listened on port")
    assert message.count("(timed out)") == 2


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("listen", LISTEN)
@pytest.mark.parametrize("kind", PORTS)
def test_ports(outcomes: dict[str, Outcome], kind: str, listen: str, peer: str) -> None:
    link = assert_ok(outcomes[f"ports-{kind}-{listen}-{peer}"])
    allowed = {port + shift(listen, peer) for port in PORTS[kind]}
    used = {
        "peer": int(link["source_address"].rpartition(":")[2]),
        "remote": int(link["destination_address"].rpartition(":")[2]),
    }
    if listen == "auto":
        assert set(used.values()) & allowed
    else:
        assert used[listen] in allowed


@pytest.mark.parametrize(
    ("case", "listener", "ports"),
    [
        ("dialled", "destination_address", [21901]),
        ("dials", "source_address", [21911, 21912, 21913]),
        ("overruled", "source_address", [21931]),
    ],
)
def test_the_inventory_says_how_a_host_is_dialled(
    outcomes: dict[str, Outcome], case: str, listener: str, ports: list[int]
) -> None:
    """Each host in its own variables, as far as the task says nothing; the writer is the peer."""
    assert int(assert_ok(outcomes[f"said-{case}"])[listener].rpartition(":")[2]) in ports


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "bad-ports",
            "said-bad-ports: socketpipe_ports: 'http' is neither a port (5000) nor a range of ports (5000-5010)",
        ),
        ("bad-address", "h2-bad-address: socketpipe_address: '10.1.0.5 or so' is neither an address nor a name"),
        ("nobody", "neither of h2-nobody and said-nobody may listen: set socketpipe_listen to true for one of them"),
    ],
)
def test_the_inventory_says_nonsense(outcomes: dict[str, Outcome], case: str, message: str) -> None:
    outcome = outcomes[f"said-{case}"]
    assert (outcome.status, outcome.result["msg"], outcome.result["cause"]["kind"]) == ("failed", message, "options")


@pytest.mark.parametrize("peer", ["", "-h2"])
@pytest.mark.parametrize("listen", LISTEN)
@pytest.mark.parametrize("case", ["v6-address", "only-six", "only-four"])
def test_address_families(outcomes: dict[str, Outcome], case: str, listen: str, peer: str) -> None:
    link = assert_ok(outcomes[f"{case}-{listen}{peer}"])
    for side in ("source_address", "destination_address"):
        assert link[side].startswith("10.203." if case == "only-four" else "[fd53:"), link


@pytest.mark.parametrize("one", ["four", "six"])
def test_no_common_family(outcomes: dict[str, Outcome], one: str) -> None:
    other = "six" if one == "four" else "four"
    assert_not_connected(outcomes[f"no-family-{one}"], f"dialled {other} at", "listened on port")


@pytest.fixture(scope="module")
def addresses(fleet: Fleet, outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Runs with an address that nobody has, when little else is going on: they are compared with others."""
    hello: dict[str, Any] = {"input": "echo hello", "remote": "cat"}
    cases = {}
    for peer in PEERS:
        true = fleet.controller.address if peer == "localhost" else fleet["h2"].address
        for name, address in {"first": [DEAD, true], "second": [true, DEAD]}.items():
            for again in range(3):
                cases[f"{name}-{peer}-{again}"] = Case(pipe(**hello, peer=peer, listen="peer", address=address))
    for again in range(3):
        cases[f"name-h2-{again}"] = Case(pipe(**hello, peer="h2", listen="peer", address="storage-peer"))
        cases[f"name-of-remote-{again}"] = Case(pipe(**hello, listen="remote", address="storage-h1"))
    return batch.run(fleet, cases, forks=3)


@pytest.mark.parametrize(
    "name", [f"{n}-{p}" for n in ("first", "second") for p in PEERS] + ["name-h2", "name-of-remote"]
)
def test_an_address_that_nobody_has_costs_little(addresses: dict[str, Outcome], name: str) -> None:
    for again in range(3):
        outcome = addresses[f"{name}-{again}"]
        assert_ok(outcome)
        assert outcome.result["elapsed"] < 15, "it was waited for: connect_timeout is 30 s"


def test_an_address_that_nobody_knows(outcomes: dict[str, Outcome]) -> None:
    assert_not_connected(outcomes["address-unknown"], "no-such-name")


@pytest.mark.parametrize("peer", PEERS)
def test_all_ports_taken(outcomes: dict[str, Outcome], peer: str) -> None:
    name = f"taken-{peer}"
    words = "could not listen, all its ports are taken (24001: "
    assert_not_connected(outcomes[name], f"{name} {words}", f"{peer} {words}")


@pytest.mark.parametrize("peer", PEERS)
def test_the_next_port_is_taken(outcomes: dict[str, Outcome], peer: str) -> None:
    link = assert_ok(outcomes[f"next-{peer}"])
    own = f":2401{PEERS.index(peer)}"
    assert link["source_address"].endswith(own) or link["destination_address"].endswith(own)


def test_a_host_that_comes_late(outcomes: dict[str, Outcome]) -> None:
    assert_ok(outcomes["slow-remote"])
    assert_ok(outcomes["slow-peer"])
    assert_not_connected(outcomes["too-slow"], "localhost listened on port", timeout=1)


# -- preflight


def tried(outcome: Outcome, start: str, to: str) -> list[dict[str, Any]]:
    return [entry for entry in outcome.result["preflight"] if (entry["from"], entry["to"]) == (start, to)]


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("wall", ["open", *WALLS, "wall"])
def test_preflight(fleet: Fleet, outcomes: dict[str, Outcome], wall: str, peer: str) -> None:
    name = f"preflight-{wall}-{peer}"
    outcome = outcomes[name]
    result = outcome.result
    ways = {"in": tried(outcome, peer, name), "out": tried(outcome, name, peer)}
    blocked = {"open": (), "wall": DIRECTIONS}.get(wall, (wall.split("-")[0],))
    how = "drop" if wall == "wall" else wall.split("-")[-1]
    for way, entries in ways.items():
        assert entries
        for entry in entries:
            assert entry["ok"] == (way not in blocked)
            assert entry["outcome"] == (HOWS[how] if way in blocked else "ok")
            assert isinstance(entry["port"], int)
            assert entry["address"].startswith(("10.203.", "fd53:"))
    assert outcome.status == ("failed" if len(blocked) == 2 else "ok")
    assert not result["changed"]
    assert "ansible_facts" not in result
    for host in (fleet.controller, fleet["h2"], fleet["h1" if wall == "open" else wall]):
        assert not (host.directory / "tmp" / "started").exists()
    if len(blocked) == 1:
        assert HOWS[how] in result["msg"] and " reaches " in result["msg"]


# -- the rest


@pytest.mark.parametrize("peer", PEERS)
def test_nobody_listens_once_the_links_are_made(fleet: Fleet, peer: str) -> None:
    before = {host.name: host.listeners() for host in (fleet.controller, fleet["h1"], fleet["h2"])}
    name = f"mark-listeners-{peer}"
    source = ["sh", "-c", "head -c 10M /dev/zero; sleep 4", name]
    started = playbook.start(fleet, pipe(input=source, remote="cat", output={"shell": "cat > /dev/null"}, peer=peer))
    anatomy.running(fleet, [name])
    during = {host.name: host.listeners() for host in (fleet.controller, fleet["h1"], fleet["h2"])}
    assert during == before
    assert started.wait().only.status == "ok"


def test_many_logins_at_once(fleet: Fleet) -> None:
    """sshd turns away what exceeds its MaxStartups: those logins come again, and nothing is unreachable."""
    task = pipe(input="echo hello", remote="cat")
    cases = {f"login{number}": Case(task, host="busy", variables=OWN_LOGIN) for number in range(12)}
    done = batch.run(fleet, cases, forks=12)
    for outcome in done.values():
        assert_ok(outcome)
    log = fleet["busy"].log.read_text(encoding="utf-8", errors="replace")
    assert "maxstartups" in log.lower(), "sshd has turned away nobody: this proves nothing"


@pytest.mark.parametrize("peer", PEERS)
def test_connect_timeout_ends_in_time(fleet: Fleet, walls: None, peer: str) -> None:
    began = time.monotonic()
    done = playbook.run(fleet, pipe(input="true", remote="cat", peer=peer, connect_timeout=3), hosts="wall", rc=2)
    assert time.monotonic() - began < 25  # with the default it would be 30 and more
    assert "within 3 s" in done.result["msg"]
