# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the variables of hosts say about dialling them, and what a task says instead."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import DEFAULT_PORTS, Plan
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._connections import HostError
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._host_variables import Reachable, reachable
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._hosts import Host, reach
from ansible_collections.plumbing.socketpipe.tests.unit.ends import sh


@pytest.mark.parametrize(("variables", "expected"), [
    ({}, Reachable()),
    ({"socketpipe_address": None, "socketpipe_ports": "", "socketpipe_listen": ""}, Reachable()),
    ({"socketpipe_address": [], "socketpipe_ports": [], "socketpipe_listen": "yes"}, Reachable()),
    ({"socketpipe_address": "10.1.0.5"}, Reachable(["10.1.0.5"])),
    ({"socketpipe_address": "fe80::1%eth0, tape-storage.example"}, Reachable(["fe80::1%eth0", "tape-storage.example"])),
    ({"socketpipe_address": ["bücher.example"]}, Reachable(["bücher.example"])),
    ({"socketpipe_ports": 5000}, Reachable(ports=[5000])),
    ({"socketpipe_ports": [5000, "5010-5012"]}, Reachable(ports=[5000, 5010, 5011, 5012])),
    ({"socketpipe_ports": "5000, 5010"}, Reachable(ports=[5000, 5010])),
    ({"socketpipe_listen": False}, Reachable(listens=False)),
    ({"socketpipe_listen": "no"}, Reachable(listens=False)),
])  # fmt: skip
def test_what_a_host_says(variables: dict[str, Any], expected: Reachable) -> None:
    assert reachable("h1", variables) == expected


@pytest.mark.parametrize(("variables", "sentence"), [
    ({"socketpipe_address": "{{ nobody }}"}, "socketpipe_address: '{{ nobody }}' is neither an address nor a name"),
    ({"socketpipe_address": ["10.1.0.5", 7]}, "socketpipe_address: 7 is neither an address nor a name"),
    ({"socketpipe_address": {"v4": "a"}}, "socketpipe_address: {'v4': 'a'} is neither an address nor a name"),
    ({"socketpipe_address": "a,,b"}, "socketpipe_address: '' is neither an address nor a name"),
    (
        {"socketpipe_ports": "http"},
        "socketpipe_ports: 'http' is neither a port (5000) nor a range of ports (5000-5010)",
    ),
    ({"socketpipe_ports": [0]}, "socketpipe_ports: '0' is not within 1-65535, lowest first"),
    ({"socketpipe_listen": "peer"}, "socketpipe_listen: 'peer' is neither true nor false"),
    ({"socketpipe_listen": []}, "socketpipe_listen: [] is neither true nor false"),
])  # fmt: skip
def test_what_it_cannot_mean(variables: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HostError) as caught:
        reachable("h1", variables)
    assert str(caught.value) == f"h1: {sentence}"


def made(listen: str = "auto", remote: Reachable | None = None, peer: Reachable | None = None, **options: Any) -> Plan:
    """A plan whose two hosts say this of themselves; ``address`` among the options is that of the task."""
    given = options.pop("address", [])
    plan = Plan(options)
    hosts = {}
    for end, said in (("remote", remote), ("peer", peer)):
        plan.add_end(end, listen=listen in ("auto", end))
        hosts[end] = Host(end, None, [], end, said or Reachable())
        hosts[end].on_controller, hosts[end].addresses = False, [f"{end}.detected"]
    plan.chain([("remote", sh("remote", "")), ("peer", sh("peer", ""))])
    reach(plan, hosts, "remote" if listen == "remote" else "peer", given)
    return plan


def test_both_hosts_say_where_they_are_dialled() -> None:
    plan = made(remote=Reachable(["remote.said"], [5000]), peer=Reachable(["peer.said"], [6000, 6001]))
    told = plan.for_end("remote")
    assert told["dial"]["peer"] == {
        "addresses": ["peer.said"],
        "ssh_client": False,
        "ports": plan.ends["peer"]["ports"],
    }
    assert (told["ports"], sorted(plan.ends["peer"]["ports"])) == ([5000], [6000, 6001])
    assert plan.dial["peer", "remote"]["addresses"] == ["remote.said"]


def test_one_says_nothing() -> None:
    plan = made(peer=Reachable(["peer.said"], [6000]))
    assert plan.dial["peer", "remote"]["addresses"] == ["remote.detected"]
    assert set(plan.ends["remote"]["ports"]) <= set(DEFAULT_PORTS)


def test_a_task_takes_precedence() -> None:
    said = Reachable(["remote.said"], [5000]), Reachable(["peer.said"], [6000], listens=False)
    plan = made("peer", *said, ports=[7000], address=["peer.task"])
    assert [plan.ends[end]["ports"] for end in ("remote", "peer")] == [[7000], [7000]]
    assert [plan.ends[end]["listen"] for end in ("remote", "peer")] == [False, True]
    assert plan.dial["remote", "peer"]["addresses"] == ["peer.task"]
    assert plan.dial["peer", "remote"]["addresses"] == ["remote.said"], "the task's are those of the other host"


def test_a_preflight_tries_all_ports_of_a_host() -> None:
    plan = made(peer=Reachable(ports=[*range(6000, 6005)]), preflight=True)
    assert [len(plan.ends[end]["ports"]) for end in ("remote", "peer")] == [2, 5]


def test_a_host_dials_itself_over_loopback() -> None:
    """Its own address may be that of a NAT, which need not lead back."""
    plan = Plan({})
    plan.add_end("remote")
    plan.add_end("peer")
    plan.chain([("remote", sh("remote", "")), ("peer", sh("peer", ""))])
    reach(plan, {end: Host("h1", None, [], "h1", Reachable(["192.0.2.1"])) for end in ("remote", "peer")}, "peer", [])
    assert plan.dial["peer", "remote"]["addresses"] == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(("listen", "ends"), [("auto", [True, False]), ("peer", [False, True])])
def test_who_listens(listen: str, ends: list[bool]) -> None:
    plan = made(listen, peer=Reachable(listens=False))
    assert [plan.ends[end]["listen"] for end in ("remote", "peer")] == ends


def test_somebody_has_to() -> None:
    with pytest.raises(HostError) as caught:
        made(remote=Reachable(listens=False), peer=Reachable(listens=False))
    assert str(caught.value) == "neither of peer and remote may listen: set socketpipe_listen to true for one of them"


@pytest.mark.parametrize(
    ("b", "text"),
    [
        (Reachable(["b.said"]), ""),
        (
            Reachable(["b.said"], listens=False),
            "neither of home and b may listen: set socketpipe_listen to true for one of them",
        ),
    ],
)
def test_home_and_each_end_must_meet(b: Reachable, text: str) -> None:
    """It has no stage, and no link: a run that outlives its task needs a connection all the same."""
    said = {"a": Reachable(["a.said"]), "b": b, "home": Reachable(["home.said"], listens=False)}
    if text:
        with pytest.raises(HostError) as caught:
            chain_of(said, "home")
        assert str(caught.value) == text
        return
    plan = chain_of(said, "home")
    assert plan.dial["home", "a"]["addresses"] == ["a.said"] and plan.dial["home", "b"]["addresses"] == ["b.said"]


def chain_of(said: dict[str, Reachable], home: str = "") -> Plan:
    """A plan with a link from each host to the next; ``home`` has no stage, and keeps the result."""
    plan = Plan({})
    hosts = {}
    for end, each in said.items():
        plan.add_end(end)
        hosts[end] = Host(end, None, [], end, each)
        hosts[end].on_controller, hosts[end].addresses = False, [f"{end}.detected"]
    plan.chain([(end, sh(end, "")) for end in said if end != home])
    if home:
        job: Any = {}
        plan.detach(home, job)
    reach(plan, hosts)
    return plan


def test_only_neighbours_are_dialled() -> None:
    plan = chain_of({"a": Reachable(["a.said"], [5000]), "b": Reachable(), "c": Reachable(listens=False)})
    assert {pair: where["addresses"] for pair, where in plan.dial.items()} == {
        ("a", "b"): ["b.detected"],
        ("b", "a"): ["a.said"],
        ("b", "c"): ["c.detected"],
        ("c", "b"): ["b.detected"],
    }
    assert [end["listen"] for end in plan.ends.values()] == [True, True, False]
    assert plan.ends["a"]["ports"] == [5000]
    assert "c" not in plan.for_end("b")["dial"], "it does not listen"


@pytest.mark.parametrize(("b", "c", "sentence"), [
    (Reachable(listens=False), Reachable(), ""),
    (
        Reachable(listens=False),
        Reachable(listens=False),
        "neither of c and b may listen: set socketpipe_listen to true for one of them",
    ),
])  # fmt: skip
def test_each_link_needs_a_listener(b: Reachable, c: Reachable, sentence: str) -> None:
    """It is not enough that another host of the chain listens."""
    if not sentence:
        assert chain_of({"a": Reachable(), "b": b, "c": c}).links
        return
    with pytest.raises(HostError) as caught:
        chain_of({"a": Reachable(), "b": b, "c": c})
    assert str(caught.value) == sentence
