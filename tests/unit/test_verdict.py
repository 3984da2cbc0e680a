# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is the cause?  Tables of reports as ends could have made them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.verdict import Verdict
from ansible_collections.plumbing.socketpipe.tests.unit.ends import make_plan, stage

ONE, TWO = "input → remote", "remote → output"
HOSTS = {"remote": "db1", "peer": "tape1"}
ARGV = {"input": "tar", "remote": "bzip2", "output": "dd"}
FAILED = {"kind": "failed", "signal": ""}
SIGKILL, SIGTERM = {"kind": "signal", "signal": "SIGKILL"}, {"kind": "signal", "signal": "SIGTERM"}
UNSTARTED = {"kind": "not started", "step": "run", "name": "dd", "errno": 13, "error": "Permission denied"}
STALLED = {"kind": "stalled", "seconds": 5}
RESET, ABORTED, LEFT = {"state": "reset"}, {"state": "aborted"}, {"state": "left"}


def pipe(**options: Any) -> Plan:
    return make_plan(
        ("peer", stage("input", ["tar"])),
        ("remote", stage("remote", ["bzip2"])),
        ("peer", stage("output", ["dd"])),
        **options,
    )


def said_stage(name: str, **more: Any) -> dict[str, Any]:
    plain = {"name": name, "rc": 0, "signal": None, "problem": None, "blame": [], "stderr": ""}
    return {**plain, "argv": [ARGV.get(name, name)], "started_at": 0.1, "ended_at": 1.0, **more}


def said_side(link: str, side: str, **more: Any) -> dict[str, Any]:
    state = "done" if side == "W" else "read"
    plain = {"ended": state == "read", "unread": 0, "encryption": None}
    return {**plain, "id": link, "side": side, "state": state, "problem": None, "bytes": 1000, "ended_at": 1.0, **more}


def broken(**more: Any) -> dict[str, Any]:
    return {"state": "reset", "bytes": 500, "ended": False, **more}


def reports(
    plan: Plan,
    stages: dict[str, dict[str, Any]] | None = None,
    sides: dict[tuple[str, str], dict[str, Any]] | None = None,
    ends: dict[str, dict[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """All is well, but for what is given: of stages by name, of (link, side), of ends."""
    found: dict[str, dict[str, Any]] = {}
    for end, spec in plan.ends.items():
        listed = [said_stage(s["name"], **(stages or {}).get(s["name"], {})) for s in spec["stages"]]
        links = []
        for link in plan.links:
            for side, owner in (("W", link["writer"]), ("R", link["reader"])):
                if owner == end:
                    links.append(said_side(link["id"], side, **(sides or {}).get((link["id"], side), {})))
        found[end] = {"end": end, "cancelled": None, "stages": listed, "links": links, **(ends or {}).get(end, {})}
    return found


def outcome(report: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"report": report, "error": "", "kind": "launch", "cancelled": False, **more}


def judge(plan: Plan, said: dict[str, dict[str, Any]], **outcomes: dict[str, Any]) -> Verdict:
    return Verdict(plan, {**{end: outcome(report) for end, report in said.items()}, **outcomes}, HOSTS)


def test_all_is_well() -> None:
    verdict = judge(pipe(), reports(pipe()))
    assert verdict.ok and verdict.cause is None and not verdict.skipped and verdict.started
    assert verdict.cause_of_launch is None
    assert set(verdict.stages) == {"input", "remote", "output"} and len(verdict.sides) == 4


# name: (stages, sides, ends, expected kind, expected stage or link or host, part of the sentence)
Case = tuple[dict[str, Any], dict[tuple[str, str], Any], dict[str, Any], str, str, str]
CASES: dict[str, Case] = {
    "the source fails": (
        {
            "input": {"rc": 1, "problem": FAILED, "stderr": "tar: /: cannot read\n"},
            "remote": {"rc": 1, "problem": FAILED, "blame": [ONE]},
            "output": {"rc": 1, "problem": FAILED, "blame": [TWO]},
        },
        {(ONE, "W"): ABORTED, (ONE, "R"): broken(), (TWO, "W"): ABORTED, (TWO, "R"): broken()},
        {},
        "failed",
        "input",
        "input (tar) on tape1 failed with exit status 1: tar: /: cannot read",
    ),
    "the source fails, and its victims exit 0": (
        {"input": {"rc": 1, "problem": FAILED}, "remote": {"blame": [ONE]}, "output": {"blame": [TWO]}},
        {(ONE, "W"): ABORTED, (ONE, "R"): broken(), (TWO, "W"): ABORTED, (TWO, "R"): broken()},
        {},
        "failed",
        "input",
        "with no output on standard error",
    ),
    "the middle is killed": (
        {
            "input": {"rc": -13, "signal": 13, "problem": FAILED, "blame": [ONE], "ended_at": 0.5},
            "remote": {
                "rc": -9,
                "signal": 9,
                "problem": {"kind": "failed", "signal": "SIGKILL"},
            },
            "output": {"rc": 1, "problem": FAILED, "blame": [TWO], "ended_at": 0.4},
        },
        {(ONE, "W"): broken(), (ONE, "R"): ABORTED, (TWO, "W"): ABORTED, (TWO, "R"): broken()},
        {},
        "failed",
        "remote",
        "remote (bzip2) on db1 was killed by SIGKILL (was the host out of memory?), with no output on standard error",
    ),
    "the sink fails": (
        {
            "input": {"rc": -13, "signal": 13, "problem": FAILED, "blame": [ONE]},
            "remote": {"rc": -13, "signal": 13, "problem": FAILED, "blame": [TWO]},
            "output": {"rc": 1, "problem": FAILED, "stderr": "dd: no space left\n"},
        },
        {(ONE, "W"): broken(), (ONE, "R"): ABORTED, (TWO, "W"): broken(), (TWO, "R"): ABORTED},
        {},
        "failed",
        "output",
        "output (dd) on tape1 failed with exit status 1: dd: no space left",
    ),
    "two fail by themselves: the first": (
        {
            "input": {"rc": 1, "problem": FAILED, "ended_at": 5.0},
            "remote": {"rc": 1, "problem": FAILED, "ended_at": 4.0},
            "output": {"blame": [TWO]},
        },
        {(ONE, "W"): ABORTED, (ONE, "R"): ABORTED, (TWO, "W"): ABORTED, (TWO, "R"): broken()},
        {},
        "failed",
        "remote",
        "",
    ),
    "one that never began": (
        {
            "output": {
                "rc": None,
                "started_at": None,
                "ended_at": 0.7,
                "problem": {
                    "kind": "not started",
                    "step": "run",
                    "name": "dd",
                    "errno": 13,
                    "error": "Permission denied",
                },
            },
            "remote": {"rc": -13, "problem": FAILED, "blame": [TWO]},
            "input": {"rc": -13, "problem": FAILED, "blame": [ONE]},
        },
        {(ONE, "W"): broken(), (ONE, "R"): ABORTED, (TWO, "W"): broken(), (TWO, "R"): ABORTED},
        {},
        "not started",
        "output",
        "output (dd) on tape1 could not be started: cannot run 'dd': Permission denied",
    ),
    "the sink stops reading": (
        {
            "output": {"problem": {"kind": "stopped reading", "consumed": 9, "unread": 0}},
            "remote": {"rc": -13, "problem": FAILED, "blame": [TWO], "ended_at": 0.9},
            "input": {"rc": -13, "problem": FAILED, "blame": [ONE], "ended_at": 0.8},
        },
        {(ONE, "W"): broken(), (ONE, "R"): ABORTED, (TWO, "W"): broken(), (TWO, "R"): ABORTED},
        {},
        "stopped reading",
        "output",
        "output (dd) on tape1 stopped reading after 9 bytes with exit status 0, and its input had not ended; "
        "if that is what you want, set early_exit for it",
    ),
    "something holds the link": (
        {"input": {"problem": {"kind": "held", "processes": [{"pid": 5, "name": "sleep"}], "sure": True}}},
        {(ONE, "W"): ABORTED, (ONE, "R"): broken()},
        {},
        "held",
        "input",
        "sleep (pid 5), which it started, still has the link open; make it wait for that process, or close the output",
    ),
    "a link stalls": (
        {name: {"rc": -15, "problem": FAILED, "blame": [ONE]} for name in ("input", "remote")},
        {(ONE, "W"): {"state": "aborted", "problem": STALLED}, (ONE, "R"): broken()},
        {},
        "stalled",
        ONE,
        "the link input → remote between tape1 and db1 was aborted: no byte moved for 5 s (stall_timeout)",
    ),
    "a peer is dead": (
        {name: {"rc": -15, "problem": FAILED, "blame": [TWO]} for name in ("remote", "output")},
        {
            (TWO, "W"): {"state": "aborted", "problem": {"kind": "dead peer", "seconds": 6}, "ended_at": 3.0},
            (TWO, "R"): {"state": "aborted", "problem": {"kind": "dead peer", "seconds": 6}, "ended_at": 2.0},
        },
        {},
        "dead peer",
        TWO,
        "between db1 and tape1 was aborted: the other host did not respond",
    ),
    "a stall after a failure is a consequence": (
        {"input": {"rc": 1, "problem": FAILED, "ended_at": 1.0}},
        {
            (ONE, "W"): ABORTED,
            (ONE, "R"): broken(),
            (TWO, "R"): {"state": "aborted", "problem": STALLED, "ended_at": 9.0},
        },
        {},
        "failed",
        "input",
        "",
    ),
    "an end was ended": (
        {
            "remote": {"rc": -15, "problem": FAILED, "blame": [ONE, TWO]},
            "input": {"rc": -13, "problem": FAILED, "blame": [ONE]},
            "output": {"rc": 1, "problem": FAILED, "blame": [TWO]},
        },
        {
            (ONE, "W"): broken(),
            (ONE, "R"): {"state": "aborted", "problem": {"kind": "cancelled"}},
            (TWO, "W"): {"state": "aborted", "problem": {"kind": "cancelled"}},
            (TWO, "R"): broken(),
        },
        {"remote": {"cancelled": SIGTERM}},
        "end",
        "db1",
        "on db1: the end was killed by SIGTERM",
    ),
    "a firewall between them": (
        {
            "input": {"rc": -13, "problem": FAILED, "blame": [ONE]},
            "remote": {"rc": 1, "problem": FAILED, "blame": [ONE]},
            "output": {"rc": 1, "problem": FAILED, "blame": [TWO]},
        },
        {(ONE, "W"): broken(), (ONE, "R"): broken(), (TWO, "W"): ABORTED, (TWO, "R"): broken()},
        {},
        "link",
        ONE,
        "the link input → remote between tape1 and db1 broke, but neither host closed it (writer: reset, reader: reset",
    ),
    "they count differently": (
        {},
        {(TWO, "R"): {"bytes": 999}},
        {},
        "link",
        TWO,
        "on the link remote → output, db1 sent 1000 bytes and tape1 received 999",
    ),
    "a reader that did not read it all": (
        {},
        {(TWO, "R"): {"state": "eof"}},
        {},
        "link",
        TWO,
        "(writer: done, reader: eof)",
    ),
    "a stage that has no status": (
        {"remote": {"rc": None}},
        {},
        {},
        "stage",
        "remote",
        "remote on db1 did not finish",
    ),
    "a problem that blames a link which is well": (
        {"remote": {"rc": 1, "problem": FAILED, "blame": [ONE]}},
        {},
        {},
        "stage",
        "remote",
        "did not finish",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_cause(name: str) -> None:
    stages, sides, ends, kind, where, text = CASES[name]
    verdict = judge(pipe(), reports(pipe(), stages, sides, ends))
    assert not verdict.ok and verdict.cause is not None
    found = verdict.cause
    assert found["kind"] == kind
    assert where in (found.get("stage"), found.get("link"), found["host"])
    assert text in found["msg"]
    assert found["host"] in HOSTS.values() and verdict.started


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_reports_does_not_matter(name: str) -> None:
    stages, sides, ends, kind, _where, _text = CASES[name]
    said = reports(pipe(), stages, sides, ends)
    turned = dict(reversed([(end, outcome(report)) for end, report in said.items()]))
    assert Verdict(pipe(), turned, HOSTS).cause == judge(pipe(), said).cause


# -- excused


EARLY: dict[str, tuple[dict[str, Any], dict[tuple[str, str], Any], bool]] = {
    "through both links": (
        {
            "remote": {"rc": -13, "signal": 13, "problem": FAILED, "blame": [TWO]},
            "input": {"rc": 2, "problem": FAILED, "blame": [ONE]},
        },
        {(ONE, "W"): broken(), (ONE, "R"): ABORTED, (TWO, "W"): broken(), (TWO, "R"): LEFT},
        True,
    ),
    "a middle that stopped reading for it": (
        {
            "remote": {"problem": {"kind": "stopped reading", "consumed": 9, "unread": 1}, "blame": [TWO]},
            "input": {"rc": -13, "problem": FAILED, "blame": [ONE]},
        },
        {(ONE, "W"): broken(), (ONE, "R"): ABORTED, (TWO, "W"): broken(), (TWO, "R"): LEFT},
        True,
    ),
    "a middle that had written it all": (
        {},
        {(TWO, "W"): broken(), (TWO, "R"): LEFT},
        True,
    ),
    "all was sent when it left": (
        {},
        {(TWO, "R"): LEFT},
        True,
    ),
    "never started since it had left": (
        {"input": {"blame": [ONE], "rc": None, "started_at": None, "ended_at": None}, "remote": {"blame": [TWO]}},
        {(ONE, "W"): broken(), (ONE, "R"): ABORTED, (TWO, "W"): broken(), (TWO, "R"): LEFT},
        True,
    ),
    "a source that failed by itself": (
        {"input": {"rc": 1, "problem": FAILED}, "remote": {"problem": FAILED, "blame": [ONE]}},
        {(ONE, "W"): ABORTED, (ONE, "R"): broken(), (TWO, "W"): ABORTED, (TWO, "R"): LEFT},
        False,
    ),
    "a middle that failed by itself": (
        {"remote": {"rc": 1, "problem": FAILED}, "input": {"rc": -13, "problem": FAILED, "blame": [ONE]}},
        {(ONE, "W"): broken(), (ONE, "R"): ABORTED, (TWO, "W"): ABORTED, (TWO, "R"): LEFT},
        False,
    ),
    "a link that stalled before": (
        {"input": {"rc": -15, "problem": FAILED, "blame": [ONE]}, "remote": {"problem": FAILED, "blame": [ONE]}},
        {
            (ONE, "W"): {"state": "aborted", "problem": STALLED},
            (ONE, "R"): broken(),
            (TWO, "R"): LEFT,
        },
        False,
    ),
}


@pytest.mark.parametrize("name", EARLY)
def test_early_exit(name: str) -> None:
    stages, sides, ok = EARLY[name]
    verdict = judge(pipe(), reports(pipe(), stages, sides))
    assert verdict.ok is ok, verdict.cause
    if not ok:
        assert verdict.cause is not None and verdict.cause["kind"] in ("failed", "stalled")


def test_a_front_end_without_advice_on_early_exits() -> None:
    """The tape modules have no such option, so the sentence ends before it."""
    said = reports(pipe(), {"output": {"problem": {"kind": "stopped reading", "consumed": 9, "unread": 3}}})
    cause = Verdict(
        pipe(), {end: outcome(report) for end, report in said.items()}, HOSTS, {"timeout": "x", "not_connected": "y"}
    ).cause
    assert cause is not None and cause["msg"].endswith("with exit status 0, 3 left unread")


# -- reports that are missing, or of another kind


def test_an_end_died() -> None:
    said = reports(
        pipe(),
        {name: {"rc": -13, "problem": FAILED, "blame": [link]} for name, link in (("input", ONE), ("output", TWO))},
        {(ONE, "W"): broken(), (TWO, "R"): broken()},
    )
    died = {"end": "remote", "died": SIGKILL, "killed": [], "left": []}
    verdict = judge(pipe(), {**said, "remote": died})
    assert (
        verdict.cause is not None
        and verdict.cause["msg"] == "on db1: the end was killed by SIGKILL (was the host out of memory?)"
    )
    assert verdict.cause["kind"] == "end" and verdict.started


def test_an_end_died_before_the_others_started_anything() -> None:
    """What its stages have done nobody can say: something may have changed."""
    idle = {"rc": None, "started_at": None, "ended_at": None}
    plan = make_plan(("peer", stage("input", ["tar"])), ("remote", stage("remote", ["dd"])))
    said = reports(plan, {"remote": {**idle, "blame": [ONE]}}, {(ONE, "R"): broken()})
    died = {"end": "peer", "died": SIGKILL, "killed": [], "left": []}
    verdict = judge(plan, {**said, "peer": died})
    assert verdict.cause is not None and verdict.cause["host"] == "tape1" and verdict.started


def test_a_lost_end() -> None:
    said = reports(
        pipe(),
        {name: {"rc": -13, "problem": FAILED, "blame": [link]} for name, link in (("input", ONE), ("output", TWO))},
        {(ONE, "W"): broken(), (TWO, "R"): broken()},
    )
    verdict = judge(pipe(), said, remote=outcome(None, error="ssh said goodbye"))
    assert verdict.cause is not None
    assert verdict.cause["msg"] == "on db1: its end was lost: ssh said goodbye" and verdict.started


@pytest.mark.parametrize("kind", ["launch", "unreachable", "no python"])
def test_not_launched(kind: str) -> None:
    late = {"end": "peer", "not_connected": [ONE], "connect": connect(listening=[5000])}
    verdict = judge(pipe(), {"peer": late}, remote=outcome(None, error="no route to host", kind=kind))
    assert verdict.cause == verdict.cause_of_launch
    assert verdict.cause == {
        "kind": kind,
        "host": "db1",
        "msg": "no end could be started on db1: no route to host",
    }


def connect(**more: Any) -> dict[str, Any]:
    return {"listening": [], "taken": [], "dialled": [], "dials": True, "strangers": 0, "large": 0, **more}


def tried(end: str, address: str, port: int, how: str) -> dict[str, Any]:
    return {"end": end, "address": address, "port": port, "met": False, "outcome": how, "detail": ""}


def test_refused_before_the_others_gave_up() -> None:
    refused = {"end": "remote", "refused": {"kind": "not found", "name": "bzip2", "path": "/bin"}, "stage": "remote"}
    late = {"end": "peer", "not_connected": [ONE], "connect": connect()}
    verdict = judge(pipe(), {"remote": refused, "peer": late})
    assert verdict.cause is not None and verdict.cause["kind"] == "refused"
    assert verdict.cause["stage"] == "remote" and not verdict.started
    assert verdict.cause["msg"] == "remote on db1: there is no 'bzip2' in PATH /bin"
    assert verdict.cause_of_launch == verdict.cause


def test_a_host_that_cannot_run_an_end() -> None:
    refused = {"refused": {"kind": "old python", "version": "3.5.3"}}
    verdict = judge(pipe(), {"remote": refused}, peer=outcome(None, cancelled=True))
    assert verdict.cause == {
        "kind": "refused",
        "host": "db1",
        "msg": "db1: Python 3.6 or later is needed, this is 3.5.3",
    }


@pytest.mark.parametrize("fate", ["broken", "whole", "died"])
def test_a_login_that_is_run_again_is_not_skipped(fate: str) -> None:
    """The connection was lost and Ansible has run it again: its sink's file, half of it perhaps, is there by then."""
    skipped = {"end": "remote", "skipped": {"stage": "remote", "path": "/there", "exists": True}}
    others = reports(pipe(), sides={(ONE, "W"): RESET, (TWO, "R"): RESET} if fate == "broken" else {})["peer"]
    if fate == "died":
        others = {"end": "peer", "died": SIGKILL, "killed": [], "left": []}
    verdict = judge(pipe(), {"remote": skipped, "peer": others})
    assert not verdict.skipped and not verdict.ok and verdict.started
    assert verdict.cause is not None and verdict.cause["kind"] == "end"
    if fate != "died":
        assert verdict.cause["msg"].startswith("on db1: the connection was lost; Ansible connected again")


def test_skipped() -> None:
    skipped = {"end": "remote", "skipped": {"stage": "remote", "path": "/there", "exists": True}}
    late = {"end": "peer", "not_connected": [ONE], "connect": connect()}
    verdict = judge(pipe(), {"remote": skipped, "peer": late})
    assert verdict.skipped == "remote: /there exists" and verdict.cause is None and not verdict.ok
    assert not verdict.started


def test_not_connected_tells_who_tried_what() -> None:
    ports = [tried("peer", "192.0.2.1", port, "timed out") for port in range(6000, 6005)]
    said: dict[str, dict[str, Any]] = {
        "remote": {"end": "remote", "not_connected": [ONE], "connect": connect(listening=[5000], dialled=ports)},
        "peer": {
            "end": "peer",
            "not_connected": [ONE],
            "connect": connect(
                taken=[{"port": port, "error": "in use"} for port in (6000, 6001)],
                dialled=[tried("remote", "::1", 5000, "refused")],
            ),
        },
    }
    verdict = judge(pipe(connect_timeout=7), said)
    assert verdict.cause is not None and verdict.cause["kind"] == "not connected" and not verdict.started
    text = verdict.cause["msg"]
    assert text.startswith("no connection between db1 and tape1 within 7 s (connect_timeout). ")
    assert "db1 listened on port 5000, dialled tape1 at 192.0.2.1 port 6000, 6001, 6002 and 2 more (timed out)." in text
    assert "tape1 could not listen, all its ports are taken (6000: in use; 6001: in use)" in text
    assert "dialled db1 at ::1 port 5000 (refused)." in text
    for word in ("address", "ports", "firewall", "listen", "preflight: true"):
        assert word in text.partition("Try")[2]


@pytest.mark.parametrize(("remote", "peer"), [(1, 0), (0, 3)])
def test_large_packets_that_get_lost_are_the_cause(remote: int, peer: int) -> None:
    """Whichever end has seen it; then nothing else is to be tried."""
    said: dict[str, dict[str, Any]] = {
        name: {"end": name, "not_connected": [ONE], "connect": connect(listening=[1], large=large)}
        for name, large in (("remote", remote), ("peer", peer))
    }
    cause = judge(pipe(connect_timeout=7), said).cause
    assert cause is not None and cause["kind"] == "not connected"
    assert (
        "large packets get lost on the way: probably a router or tunnel between them has a smaller MTU" in cause["msg"]
    )
    assert "preflight" not in cause["msg"]


def test_nothing_to_dial() -> None:
    said = {"remote": {"end": "remote", "not_connected": [ONE], "connect": connect()}}
    said["peer"] = {"end": "peer", "not_connected": [ONE], "connect": connect(listening=[1], dials=False)}
    cause = judge(pipe(), said).cause
    assert cause is not None
    assert "db1 did not listen, had no address to dial." in cause["msg"]
    assert "tape1 listened on port 1, did not dial." in cause["msg"]


def test_an_end_that_was_ended_while_it_connected() -> None:
    """The other could not connect since this one was gone: that is not a matter of firewalls."""
    said: dict[str, dict[str, Any]] = {
        "remote": {"end": "remote", "cancelled": SIGTERM},
        "peer": {"end": "peer", "not_connected": [ONE], "connect": connect(listening=[1])},
    }
    cause = judge(pipe(), said).cause
    assert cause is not None
    assert (cause["kind"], cause["msg"]) == ("end", "on db1: the end was killed by SIGTERM")


def test_an_end_that_we_have_ended_while_it_connected() -> None:
    """We did so because the other had given up."""
    said = {"peer": {"end": "peer", "not_connected": [ONE], "connect": connect(listening=[1])}}
    cancelled = outcome({"end": "remote", "cancelled": SIGTERM}, cancelled=True)
    cause = judge(pipe(), said, remote=cancelled).cause
    assert cause is not None and cause["kind"] == "not connected"


@pytest.mark.parametrize("by_us", [True, False])
def test_a_stage_that_failed_before_its_end_was_ended(by_us: bool) -> None:
    """It took its time to clean up, and was ended: what failed first stays the cause."""
    said = reports(
        pipe(),
        {"remote": {"rc": 3, "problem": FAILED}, "output": {"rc": 1, "problem": FAILED, "blame": [TWO]}},
        {(ONE, "W"): broken(ended_at=0.9), (ONE, "R"): ABORTED, (TWO, "W"): ABORTED, (TWO, "R"): broken(ended_at=0.9)},
        {"remote": {"cancelled": SIGTERM}},
    )
    cause = judge(pipe(), said, remote=outcome(said["remote"], cancelled=by_us)).cause
    assert cause is not None and (cause["kind"], cause.get("stage")) == ("failed", "remote")


def test_a_died_end_while_others_connected_is_no_firewall() -> None:
    said: dict[str, dict[str, Any]] = {
        "remote": {"end": "remote", "died": SIGKILL, "killed": [], "left": []},
        "peer": {"end": "peer", "not_connected": [ONE], "connect": connect()},
    }
    cause = judge(pipe(), said).cause
    assert cause is not None and cause["kind"] == "end" and cause["host"] == "db1"


def test_no_report_at_all() -> None:
    verdict = judge(pipe(), {}, remote=outcome(None, cancelled=True), peer=outcome(None, cancelled=True))
    assert not verdict.ok and verdict.cause is not None
    assert "there is no report of the link" in verdict.cause["msg"]


def test_one_report_is_missing_all_else_is_well() -> None:
    """ "ok" takes every end."""
    said = reports(pipe())
    verdict = judge(pipe(), {"peer": said["peer"]}, remote=outcome(None, error="lost"))
    assert not verdict.ok and verdict.cause is not None and verdict.cause["host"] == "db1"


def test_counts_that_are_not_there_do_not_disagree() -> None:
    """Links within a host are not counted; nor does a kernel before 4.1 count."""
    sides: dict[tuple[str, str], Any] = {(link, side): {"bytes": None} for link in (ONE, TWO) for side in "WR"}
    assert judge(pipe(), reports(pipe(), None, sides)).ok


def test_a_count_on_one_side_only_does_not_disagree() -> None:
    assert judge(pipe(), reports(pipe(), None, {(ONE, "W"): {"bytes": None}})).ok


@pytest.mark.parametrize("missing", [1, 2, 5, 6, 30])
def test_not_connected_names_five_links(missing: int) -> None:
    plan = make_plan(*[("e%d" % n, stage("s%d" % n, ["cat"])) for n in range(missing + 2)], connect_timeout=7)
    links = [link["id"] for link in plan.links]
    said: dict[str, Any] = {}
    for number, end in enumerate(plan.ends):
        lost = [link for link in links[max(0, number - 1) : number + 1] if link != links[0]]
        said[end] = {"end": end, "not_connected": lost, "connect": connect(listening=[5000 + number])}
        if not lost:
            said[end] = {"end": end, "stages": [], "links": [said_side(links[0], "W", **ABORTED)]}
    hosts = {end: "host" + end for end in plan.ends}
    cause = Verdict(plan, {end: outcome(each) for end, each in said.items()}, hosts).cause
    assert cause is not None and (cause["kind"], cause["link"]) == ("not connected", links[1])
    assert cause["msg"].count(" for the link ") == min(missing, 5)
    assert cause["msg"].count("listened on port") == min(missing, 5) + 1
    assert (" and for %d more links within 7 s" % (missing - 5) in cause["msg"]) == (missing > 5)


def test_three_hosts() -> None:
    plan = make_plan(*[(end, stage(end, ["cat"])) for end in "abcd"])
    hosts = {end: "host-" + end for end in "abcd"}
    links = [link["id"] for link in plan.links]
    said = reports(
        plan,
        {
            "a": {"problem": FAILED, "rc": -13, "blame": [links[0]]},
            "b": {"problem": FAILED, "rc": -13, "blame": [links[1]]},
            "c": {"problem": FAILED, "rc": 4},
            "d": {"problem": FAILED, "rc": 1, "blame": [links[2]], "ended_at": 0.2},
        },
        {(link, side): broken() for link in links for side in "WR"},
    )
    cause = Verdict(plan, {end: outcome(report) for end, report in said.items()}, hosts).cause
    assert cause is not None and (cause["stage"], cause["host"]) == ("c", "host-c")


# -- links that the kernels have encrypted: the numbers of their records tell


def encrypted(records: int | None, cipher: str = "chacha20-poly1305", **more: Any) -> dict[str, Any]:
    return {"encryption": {"how": "kernel", "cipher": cipher, "records": records}, **more}


CUT = (
    "the link %s between tape1 and db1 was cut on the way: tape1 sent %s records, db1 received %s; "
    "is somebody in between?"
)
FORGED = {"kind": "changed on the way", "where": "record", "error": ""}
FAILED_SINK = {"remote": {"rc": 2, "problem": FAILED}}


@pytest.mark.parametrize(
    ("stages", "writer", "reader", "kind", "text"),
    [
        ({}, encrypted(7), encrypted(6), "cut on the way", CUT % (ONE, 7, 6)),
        # a forged end of file, at which the sink failed: it is not to blame
        (FAILED_SINK, encrypted(7), encrypted(6, state="aborted"), "cut on the way", CUT % (ONE, 7, 6)),
        (
            {},
            encrypted(7, state="reset"),
            encrypted(6, state="reset", ended=False),
            "cut on the way",
            CUT % (ONE, 7, 6),
        ),
        ({}, encrypted(7), encrypted(7, state="reset", ended=False), "cut on the way", CUT % (ONE, 7, 7)),
        ({}, encrypted(None), encrypted(None), "cut on the way", CUT % (ONE, None, None)),
        (
            {"remote": {"rc": 2, "problem": FAILED, "blame": [ONE]}},
            encrypted(7, state="reset"),
            encrypted(5, state="reset", problem=FORGED),
            "changed on the way",
            f"the link {ONE} between tape1 and db1 was aborted: the stream was changed on the way "
            "(a record is not authentic)",
        ),
        (
            {},
            encrypted(7),
            encrypted(7, "aes-256-gcm"),
            "link",
            f"on the link {ONE}, tape1 and db1 did not encrypt in the same way",
        ),
        ({}, encrypted(7), {}, "link", f"on the link {ONE}, tape1 and db1 did not encrypt in the same way"),
        ({}, {}, encrypted(7), "link", f"on the link {ONE}, tape1 and db1 did not encrypt in the same way"),
        # its own fault: it left the rest of its input unread
        (FAILED_SINK, encrypted(7), encrypted(6, state="aborted", unread=5), "failed", ""),
        (FAILED_SINK, encrypted(7, state="reset"), encrypted(6, state="aborted", ended=False), "failed", ""),
    ],
)
def test_an_encrypted_link(
    stages: dict[str, Any], writer: dict[str, Any], reader: dict[str, Any], kind: str, text: str
) -> None:
    plan = pipe()
    cause = judge(plan, reports(plan, stages, {(ONE, "W"): writer, (ONE, "R"): reader})).cause
    assert cause and cause["kind"] == kind and (not text or cause["msg"] == text)


def test_an_encrypted_link_is_ok_when_the_records_agree() -> None:
    plan = pipe()
    assert judge(plan, reports(plan, {}, {(ONE, "W"): encrypted(7), (ONE, "R"): encrypted(7)})).ok


def test_a_reader_that_may_leave_has_not_opened_all_records() -> None:
    plan = pipe()
    left = encrypted(3, state="left", ended=True)
    assert judge(plan, reports(plan, {}, {(ONE, "W"): encrypted(7, state="reset"), (ONE, "R"): left})).ok
