# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: what an end is told, and what it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.patience import Patience
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import (
    CANDIDATES,
    CHECKED,
    DEFAULT_PORTS,
    FULL_READS,
    Plan,
    parse_ports,
)


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("5000", [5000]),
        ("1", [1]),
        ("65535", [65535]),
        ("5000-5002", [5000, 5001, 5002]),
        ("5000-5000", [5000]),
        (" 5000 - 5002 ", [5000, 5001, 5002]),
        ("5000,6000-6001, 7000", [5000, 6000, 6001, 7000]),
        ("5001,5000-5002", [5001, 5000, 5002]),
    ],
)
def test_ports(text: str, ports: list[int]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is neither a port (5000) nor a range of ports (5000-5010)"),
        ("a", "'a' is neither a port (5000) nor a range of ports (5000-5010)"),
        ("5000-", "'5000-' is neither a port (5000) nor a range of ports (5000-5010)"),
        ("-5000", "'-5000' is neither a port (5000) nor a range of ports (5000-5010)"),
        ("5000,,5001", "'' is neither a port (5000) nor a range of ports (5000-5010)"),
        ("50.00", "'50.00' is neither a port (5000) nor a range of ports (5000-5010)"),
        ("5000-5001-5002", "'5000-5001-5002' is neither a port (5000) nor a range of ports (5000-5010)"),
        ("²", "'²' is neither a port (5000) nor a range of ports (5000-5010)"),
        ("0", "'0' is not within 1-65535, lowest first"),
        ("65536", "'65536' is not within 1-65535, lowest first"),
        ("5010-5000", "'5010-5000' is not within 1-65535, lowest first"),
        ("0-10", "'0-10' is not within 1-65535, lowest first"),
    ],
)
def test_ports_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_ports(text)
    assert str(caught.value) == message


def stage(name: str) -> dict[str, Any]:
    return {"name": name, "argv": ["true"], "ok_rc": [0], "early_exit": False, "environment": {}}


def pipe(listen: tuple[bool, bool] = (True, True), **options: Any) -> Plan:
    """input and output on the peer, remote on the remote: as the pipe task has it."""
    plan = Plan(options)
    plan.add_end("remote", listen=listen[0])
    plan.add_end("peer", listen=listen[1], sample=1.0)
    plan.chain([("peer", stage("input")), ("remote", stage("remote")), ("peer", stage("output"))])
    plan.reach("remote", "peer", ["192.0.2.1"], ssh_client=True)
    plan.reach("peer", "remote", ["192.0.2.2", "2001:db8::2"])
    return plan


# chains, with "," between them: an end's letter and a number of its own for each stage
@pytest.mark.parametrize(
    ("chains", "barrier"),
    [
        ("a1-b1", ""),
        ("a1-b1-a2", ""),
        ("a1-a2-b1-b2", ""),
        ("a1-b1,a1-b2", ""),
        ("a1-b1-c1", "a1-b1 b1-c1"),
        ("a1-b1,a1-c1-d1", "a1-b1 a1-c1 c1-d1"),
        ("a1-b1-a2-c1", "a1-b1 a2-c1"),
        ("a1-a2-b1-b2-c1", "a2-b1 b2-c1"),
        ("a1-b1-c1-b2-a2-d1", "a1-b1 b1-c1 a2-d1"),
        ("c1-b1-a1", "c1-b1 b1-a1"),
    ],
)
def test_the_links_of_the_barrier(chains: str, barrier: str) -> None:
    """A path to each end from the source; none in a plan of two ends, which is as it was on the wire."""
    plan = Plan({})
    links = [pair for chain in chains.split(",") for pair in zip(chain.split("-"), chain.split("-")[1:])]
    for name in sorted({name for pair in links for name in pair}):
        if name[0] not in plan.ends:
            plan.add_end(name[0])
        plan.add_stage(name[0], stage(name))
    for number, (writer, reader) in enumerate(links, 1):
        plan.connect(writer, reader, number)
    wanted = {word.replace("-", " \u2192 ") for word in barrier.split()}
    assert plan.barrier() == wanted
    told = [(link["id"], link["barrier"]) for end in plan.ends for link in plan.for_end(end)["links"]]
    assert {name for name, set_ in told if set_} == wanted
    # each end but the first has one link above it, that of a writer which it reaches
    above = [link["reader"] for link in plan.links if link["id"] in wanted]
    assert len(above) == len(set(above)) == (len(plan.ends) - 1 if wanted else 0)


def test_an_end_is_told_its_own_part() -> None:
    plan = pipe(connect_timeout=7)
    told = plan.for_end("peer")
    assert [each["name"] for each in told["stages"]] == ["input", "output"]
    assert [(link["side"], link["end"]) for link in told["links"]] == [("W", "remote"), ("R", "remote")]
    assert [each["fds"] for each in told["stages"]] == [{"1": "input → remote"}, {"0": "remote → output"}]
    assert told["dial"] == {
        "remote": {
            "addresses": ["192.0.2.2", "2001:db8::2"],
            "ssh_client": False,
            "ports": plan.ends["remote"]["ports"],
        }
    }
    assert (told["end"], told["run"], told["connect_timeout"], told["preflight"]) == ("peer", plan.run, 7, False)
    assert (told["sample"], plan.for_end("remote")["sample"]) == (1.0, 0.0)


def test_both_ends_are_told_the_same_of_a_link() -> None:
    plan = pipe()
    for mine, theirs in zip(plan.for_end("peer")["links"], plan.for_end("remote")["links"]):
        same = ("id", "index", "secret", "full_reads", "rate_limit", "congestion_control", "stall_timeout", "dead_peer")
        assert {key: mine[key] for key in same} == {key: theirs[key] for key in same}
        assert {mine["side"], theirs["side"]} == {"W", "R"}


def test_an_end_is_told_nothing_of_links_that_are_not_its_own() -> None:
    plan = Plan({})
    for end in "abc":
        plan.add_end(end)
    plan.chain([("a", stage("one")), ("b", stage("two")), ("c", stage("three"))])
    for dialler, target in (("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")):
        plan.reach(dialler, target, ["192.0.2.1"])
    assert plan.links[1]["secret"] not in json.dumps(plan.for_end("a"))
    assert plan.links[0]["secret"] not in json.dumps(plan.for_end("c"))
    assert list(plan.for_end("a")["dial"]) == ["b"]
    assert [link["secret"] for link in plan.for_end("b")["links"]] == [link["secret"] for link in plan.links]


def test_neighbours_on_one_end_are_joined_there() -> None:
    plan = Plan({})
    plan.add_end("a")
    plan.chain([("a", stage("one")), ("a", stage("two"))])
    assert [link["side"] for link in plan.for_end("a")["links"]] == ["local"]
    assert plan.neighbours() == {"one → two": ("one", "two")}


@pytest.mark.parametrize("listen", [(True, True), (True, False), (False, True)])
def test_who_does_not_listen_is_not_dialled(listen: tuple[bool, bool]) -> None:
    plan = pipe(listen)
    assert (list(plan.for_end("peer")["dial"]), list(plan.for_end("remote")["dial"])) == (
        ["remote"] if listen[0] else [],
        ["peer"] if listen[1] else [],
    )
    assert [plan.for_end(end)["listen"] for end in ("remote", "peer")] == list(listen)


def test_secrets_and_runs_are_fresh() -> None:
    secrets = [link["secret"] for _time in range(50) for link in pipe().links]
    assert len(set(secrets)) == 100 and {len(bytes.fromhex(secret)) for secret in secrets} == {32}
    assert len({pipe().run for _time in range(50)}) == 50 and len(bytes.fromhex(pipe().run)) == 16


@pytest.mark.parametrize(
    ("options", "count", "pool"),
    [
        ({}, CANDIDATES, DEFAULT_PORTS),
        ({"ports": [5000]}, 1, [5000]),
        ({"ports": list(range(5000, 5100))}, CANDIDATES, range(5000, 5100)),
        ({"preflight": True}, CHECKED, DEFAULT_PORTS),
        ({"preflight": True, "ports": list(range(5000, 5005))}, 5, range(5000, 5005)),
    ],
)
def test_candidate_ports(options: dict[str, Any], count: int, pool: Any) -> None:
    plan = pipe(**options)
    for end in plan.ends.values():
        assert len(end["ports"]) == len(set(end["ports"])) == count
        assert set(end["ports"]) <= set(pool)


def test_candidate_ports_are_in_no_order() -> None:
    """Or else many runs at once would all try the same port first."""
    assert len({pipe().ends["peer"]["ports"][0] for _time in range(20)}) > 10


def test_default_ports_are_not_those_of_clients() -> None:
    """Below ip_local_port_range: a dialler's own port is never one that it dials."""
    assert DEFAULT_PORTS.start >= 1024 and DEFAULT_PORTS.stop <= 32768


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        ({"full_reads": True}, "full_reads", FULL_READS),
        ({"full_reads": False}, "full_reads", 0),
        ({"rate_limit": 5}, "rate_limit", 5),
        ({}, "congestion_control", ""),
        ({"congestion_control": "reno"}, "congestion_control", "reno"),
        ({}, "stall_timeout", 0),
        ({"stall_timeout": 9}, "stall_timeout", 9),
        ({}, "dead_peer", 120),
        ({"dead_peer": 0}, "dead_peer", 0),
    ],
)
def test_settings_of_links(options: dict[str, Any], key: str, value: Any) -> None:
    assert {link[key] for end in ("remote", "peer") for link in pipe(**options).for_end(end)["links"]} == {value}


@pytest.mark.parametrize(
    ("argv", "blocks"),
    [
        (["dd", "of=/dev/nst0", "bs=32k"], True),
        (["/usr/bin/dd"], True),
        (["sudo", "-n", "dd", "of=/dev/nst0"], True),
        (["busybox", "dd"], True),
        (["gdd"], True),
        (["/bin/sh", "-c", "set -e; exec >&2; (dd bs=$BS of=x)"], True),
        (["/bin/sh", "-c", "x=`/bin/dd`"], True),
        (["cat"], False),
        (["tar", "xf", "-", "-C", "/srv/dd.old"], False),
        (["git", "add", "-p"], False),
        (["sh", "-c", "read a; echo b"], False),
        (["ddrescue", "--dd"], False),
    ],
)
def test_who_gets_whole_blocks(argv: list[str], blocks: bool) -> None:
    """dd does, for a short read is a short block to it; whoever else reads may have to answer what has come."""
    for given, size in ((None, FULL_READS * blocks), (True, FULL_READS), (False, 0)):
        plan = Plan({"full_reads": given})
        for end in "ab":
            plan.add_end(end)
        plan.chain([("a", stage("one")), ("b", {**stage("two"), "argv": argv})])
        assert [(link["full_reads"], link["polled"]) for link in plan.for_end("b")["links"]] == [(size, not blocks)]


@pytest.mark.parametrize(
    ("argv", "most"),
    [
        (["tar", "xf", "-"], 1024 * 1024),
        (["/bin/sh", "-c", "dd bs=512 count=1 of=label; exec tar xf -"], 1024 * 1024),
        (["sudo", "cpio", "-i"], 1024 * 1024),
        (["dd", "count=1"], 0),
        (["python3", "unpack.py"], 10240),
        (["sh", "-c", "cat > lastweek.tar"], 10240),
    ],
)
def test_how_much_padding_may_stay_unread(argv: list[str], most: int) -> None:
    plan = Plan({})
    plan.add_end("a")
    plan.add_stage("a", {**stage("one"), "argv": argv})
    assert plan.stage("one")["padding"] == most


def test_how_patient_an_end_is() -> None:
    """As the program has it, unless a test says otherwise; nothing else can be told by that name."""
    assert pipe().for_end("remote")["patience"] == {}
    assert pipe(patience={"term": 1, "dial": 0.5}).for_end("peer")["patience"] == {"term": 1, "dial": 0.5}
    hasty, patient = Patience({"term": 1.0}), Patience()
    assert (hasty.term, hasty.kill, patient.term) == (1.0, patient.kill, 5.0)
    assert (hasty.stop, Patience({"stop": 3.0}).stop) == (2 + patient.kill + 2, 3.0)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"terms": 1}, "patience: there is no 'terms': there are dial, drain, fill, "),
        ({"__class__": 1}, "patience: there is no '__class__': there are "),
        ({"term": -1}, "patience: term must be a number of seconds, not -1"),
        ({"term": "1"}, "patience: term must be a number of seconds, not '1'"),
        ({"term": True}, "patience: term must be a number of seconds, not True"),
        ({"term": float("inf")}, "patience: term must be a number of seconds, not inf"),
        ({"term": float("nan")}, "patience: term must be a number of seconds, not nan"),
    ],
)
def test_what_no_end_may_be_told(told: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as raised:
        pipe(patience=told).for_end("remote")
    assert str(raised.value).startswith(sentence)


def test_a_plan_is_plain_data() -> None:
    told = pipe().for_end("remote")
    assert json.loads(json.dumps(told)) == told


def test_two_outputs() -> None:
    plan = Plan({})
    for end in "abc":
        plan.add_end(end)
    for end, name in (("a", "source"), ("b", "left"), ("c", "right")):
        plan.add_stage(end, stage(name))
    plan.connect("source", "left")
    plan.connect("source", "right", fd=3)
    assert plan.stage("source")["fds"] == {"1": "source → left", "3": "source → right"}
    assert [link["index"] for link in plan.links] == [0, 1]


def test_there_is_no_such_stage() -> None:
    with pytest.raises(KeyError):
        pipe().stage("nobody")
