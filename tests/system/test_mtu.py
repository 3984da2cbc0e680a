# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A path that loses large packets without a word: small messages pass, keepalives pass, and data does not.

Two hosts with an MTU of 9000 have two routers between them whose cable takes 1500, and whose ICMP is dropped.
The way by the fleet's own switch stays as it is.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet, Host
from tests.hosts.layout import SANE_PATH

from . import playbook
from .conftest import make_fleet
from .playbook import Done, pipe
from .shell import Shell
from .together import At, Play, together

ADDRESSES = {"h1": ("10.77.1.1", "fd77:1::1"), "h2": ("10.77.2.1", "fd77:2::1")}
HOLE = """
table inet hole {
  chain output {
    type filter hook output priority 0
    icmp type destination-unreachable drop
    icmpv6 type packet-too-big drop
  }
  chain forward { type filter hook forward priority 0; }
}
"""
# of h1, of its router, between the routers, of the other router, of h2
CABLES = [
    ("h1", "r1", 9000, "1"),
    ("r1", "r2", 1500, "0"),
    ("r2", "h2", 9000, "2"),
]
MIB = 1024 * 1024
BIG: dict[str, Any] = {"input": "head -c 20M /dev/zero", "remote": "cat", "output": "wc -c", "peer": "h2"}
MTU = "large packets get lost, so this link uses small ones (1220 bytes): check the MTU"
CAUSE = (
    "They can reach each other, but large packets get lost on the way: probably a router or tunnel between them has a "
    "smaller MTU than the hosts, and a firewall drops the ICMP that says so. Let that pass, or lower the hosts' MTU."
)


def within(host: Host, argv: list[str], text: str = "") -> None:
    """In the network of a host, as whoever made it may do."""
    argv = ["nsenter", "-n", "-t", str(host.pid), *argv]
    subprocess.run(argv, input=text, text=True, check=True, capture_output=True, env={"PATH": SANE_PATH})


def cable(fleet: Fleet, one: str, other: str, mtu: int, net: str) -> None:
    """Its interfaces are called by who is at the other end; .1 is nearer to the host, or to h1."""
    ends = [(one, other, 1), (other, one, 2)]
    if other == "h2":
        ends = [(one, other, 2), (other, one, 1)]
    at = [f"to-{far}" for _near, far, _number in ends]
    peer = ["peer", "name", at[1], "mtu", str(mtu), "netns", str(fleet[other].pid)]
    within(fleet[one], ["ip", "link", "add", at[0], "mtu", str(mtu), "type", "veth", *peer])
    for near, far, number in ends:
        lines = [f"address add 10.77.{net}.{number}/24 dev to-{far}", f"link set to-{far} up"]
        lines.append(f"address add fd77:{net}::{number}/64 dev to-{far} nodad")
        within(fleet[near], ["ip", "-batch", "-"], "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    for made in make_fleet(["h1", "h2", "r1", "r2"], tmp_path_factory.mktemp("fleet")):
        for one, other, mtu, net in CABLES:
            cable(made, one, other, mtu, net)
        for name, nets, by in (("h1", "20", "1"), ("h2", "10", "2"), ("r1", "2", "0"), ("r2", "1", "0")):
            last = {"h1": 2, "h2": 2, "r1": 2, "r2": 1}[name]
            for net in nets:
                for route in (f"10.77.{net}.0/24 via 10.77.{by}.{last}", f"fd77:{net}::/64 via fd77:{by}::{last}"):
                    within(made[name], ["ip", "route", "add", *route.split()])
        for name in ("r1", "r2"):
            within(made[name], ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
            within(made[name], ["nft", "-f", "-"], HOLE)
        yield made


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("listen", ["peer", "remote"])
def test_a_path_that_loses_large_packets(fleet: Fleet, listen: str, family: int) -> None:
    """It is dialled again with small ones, in whose headers TCP says so to both sides: no router has to cut them."""
    address = ADDRESSES["h2" if listen == "peer" else "h1"][family]
    done = playbook.run(fleet, pipe(**BIG, listen=listen, address=address))
    result = done.result
    assert result["stages"][-1]["stdout"] == f"{20 * MIB}\n"
    here = (f"[{ADDRESSES['h2'][1]}]" if family else ADDRESSES["h2"][0]) + ":"
    assert all(here in link["source_address"] + link["destination_address"] for link in result["links"])
    assert re.sub(r"\s+", " ", done.output).count(MTU) == 2, "a warning a link"


def test_another_path_is_taken(fleet: Fleet) -> None:
    """The good one, though the other is the first."""
    h2 = fleet["h2"]
    done = playbook.run(fleet, pipe(**BIG, listen="peer", address=[ADDRESSES["h2"][0], h2.address]))
    assert done.result["stages"][-1]["stdout"] == f"{20 * MIB}\n"
    for link in done.result["links"]:
        assert h2.address in (link[f"{side}_address"].rpartition(":")[0] for side in ("source", "destination"))
    assert "MTU" not in done.output


def test_nothing_but_small_messages_passes(fleet: Fleet) -> None:
    """Then the MTU is named, whoever dials, and however short the time is."""
    within(fleet["r1"], ["nft", "add", "rule", "inet", "hole", "forward", "meta", "length", ">", "600", "drop"])
    try:
        tasks = [
            pipe(input="echo x", remote="cat", peer="h2", listen=listen, address=address, connect_timeout=timeout)
            for listen, address in (("peer", ADDRESSES["h2"][0]), ("remote", ADDRESSES["h1"][1]))
            for timeout in (2, 9)
        ]
        done = playbook.run(fleet, tasks, ignore_errors=True)
    finally:
        within(fleet["r1"], ["nft", "flush", "chain", "inet", "hole", "forward"])
    for result in done.results:
        assert result["cause"]["kind"] == "not connected" and not result["changed"], result["msg"]
        assert re.match(r"no connection between h1 and h2 within [29] s \(connect_timeout\)\. ", result["msg"])
        assert result["msg"].endswith(f" {CAUSE}"), result["msg"]


LARGE = {"auto": ADDRESSES["h2"][0], "peer": ADDRESSES["h2"][0], "remote": ADDRESSES["h1"][0]}


def preflight(at: At) -> Play:
    listen = at.params["listen"]
    touch = {"shell": f"touch {at.work}/ran; cat"}
    task = pipe(input=touch, remote=touch, peer="h2", preflight=True, listen=listen, address=LARGE[listen])
    return Play([task], rc=0 if listen == "auto" else 2)


@pytest.mark.parametrize("listen", LARGE)
@together(preflight)
def test_preflight_finds_it(work: Path, listen: str, done: Done) -> None:
    address = LARGE[listen]
    bad = [tried for tried in done.result["preflight"] if tried["address"] == address]
    assert {tried["outcome"] for tried in bad} == {"connected, then large packets did not arrive: check the MTU"}
    assert not any(tried["ok"] for tried in bad)
    assert all(tried["ok"] for tried in done.result["preflight"] if tried not in bad), "by the switch all is well"
    assert "check the MTU" in done.result["msg"] and list(work.iterdir()) == []


def test_the_command(shell: Shell, fleet: Fleet) -> None:
    """From h2's side of the hole to h1's, by the same path."""
    program = (fleet.controller.directory / "root" / "bin" / "socketpipe").read_bytes()
    copy = fleet["h2"].directory / "root" / "the-command"  # not socketpipe: the repository may be there
    copy.write_bytes(program)
    argv = ["python3", "/root/the-command", "-b", "-t", "20", "-h", ADDRESSES["h2"][0], "--stats"]
    argv += ["-i", "{", "head", "-c", "5M", "/dev/zero", "}", "-l", "{", "ssh", "h1", "}", "-r", "{", "wc", "-c", "}"]
    ended = fleet["h2"].run([*argv, "-o", "{", "cat", "}"])
    copy.unlink()
    assert ended.stdout == f"{5 * MIB}\n"
    assert json.loads(ended.stderr)["links"][0]["bytes"] == 5 * MIB
