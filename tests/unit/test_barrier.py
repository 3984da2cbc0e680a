# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No stage of a plan of more than two ends starts before all of its links are made; then one clock for all of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.result import plan_order, shape
from ansible_collections.plumbing.socketpipe.tests.unit import ends as ends_module
from ansible_collections.plumbing.socketpipe.tests.unit.ends import (
    HASTY,
    LONG,
    Change,
    Ends,
    make_plan,
    py,
    record,
    recorded,
    sh,
    stage,
)

Launch = Callable[..., Ends]
BOTH = pytest.mark.parametrize("encryption", ["none", "relay"], indirect=True)
OLD = "last week's archive"
MEMORY = " (was the host out of memory?)"
# writes to each of its outputs, and says that it has started
FEED = """
import os, sys
open(sys.argv[1], "w").close()
for fd in (1, 3):
    os.write(fd, b"x" * 100_000)
"""


# moments of an end at which it may be killed, or held up
DYING = """
def die(sides, when):
    import os, time
    for side in sides:
        if side.spec.get("die") == when:
            os.kill(os.getpid(), 9)
        while when == "begun" and side.spec.get("hold") and not os.path.exists(side.spec["hold"]):
            time.sleep(0.01)
"""
SPLIT = "    try:\n        channel = split("
STEP = "        if self.passed or self.failed or not hear(self.below):\n"
SAY = "        for gate in self.below:\n            gate.say()\n"
ASK = "        if self.failed or not hear(self.above):\n"
DEATHS: list[Change] = [
    ("main", SPLIT, "    die(sides, 'made')\n" + SPLIT),
    ("main", "\ndef connect_and_run", DYING + "\n\ndef connect_and_run"),
    ("barrier", "class Barrier:\n", DYING + "class Barrier:\n"),
    ("barrier", STEP, "        die(self.sides, 'begun')\n" + STEP),
    ("barrier", ASK, "        die(self.sides, 'ready')\n" + ASK),
    ("barrier", SAY, "        die(self.sides, 'go')\n" + SAY + "            die(self.sides, 'half')\n"),
]


@pytest.fixture(autouse=True)
def encryption(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends_module, "ENCRYPTION", getattr(request, "param", "none"))


def reachable(plan: Plan) -> Plan:
    """All ends on loopback; encrypted if this pass of the tests is."""
    for dialler, target in itertools.permutations(plan.ends, 2):
        plan.reach(dialler, target, ["127.0.0.1"])
    if ends_module.ENCRYPTION != "none":
        plan.encrypt(ends_module.make_certificate)
    return plan


def on_ends(plan: Plan, stages: dict[str, Any]) -> None:
    for end, command in stages.items():
        plan.add_end(end)
        plan.add_stage(end, command)


def tree(folder: Path, **options: Any) -> Plan:
    """a writes to b, a tape, and to c, which writes to d."""
    plan = Plan({"connect_timeout": 30, "kernel_tls": ends_module.KERNEL_TLS, **options})
    (folder / "tape").write_text(OLD)
    stages = {
        "a": py("source", FEED, folder / "source"),
        "b": sh("tape", "cat > %s/tape" % folder),
        "c": stage("middle", ["cat"]),
        "d": record("sink", folder / "sink"),
    }
    on_ends(plan, stages)
    plan.connect("source", "tape")
    plan.connect("source", "middle", fd=3)
    plan.connect("middle", "sink")
    return reachable(plan)


def nothing_started(ends: Ends, folder: Path) -> bool:
    """Whether no stage has run anywhere, and the tape is as it was."""
    reports = [outcome["report"] for outcome in ends.outcomes().values() if outcome["report"]]
    stages = [said for report in reports for said in report.get("stages", ())]
    assert (folder / "source").exists() or all(said["started_at"] is None for said in stages)
    return (folder / "tape").read_text() == OLD and not (folder / "source").exists()


def told(end: str, **link: Any) -> Callable[[dict[str, Any]], None]:
    """This end gets different values for all of its links."""

    def alter(spec: dict[str, Any]) -> None:
        for each in spec["links"] if spec["end"] == end else ():
            each.update(link)

    return alter


# -- all is well


@BOTH
def test_a_tree(launch: Launch, tmp_path: Path) -> None:
    """Every byte is counted, and none of those that the ends exchange before."""
    ends = launch(tree(tmp_path)).wait().ok()
    assert (tmp_path / "tape").read_text() == "x" * 100_000
    assert recorded(tmp_path / "sink")["bytes"] == 100_000
    assert {side["bytes"] for end in "abcd" for side in ends.report(end)["links"]} == {100_000}
    result = shape(ends.plan, dict.fromkeys("abcd", "host"), ends.verdict(), 1.0)
    assert [each["name"] for each in result["stages"]] == ["source", "tape", "middle", "sink"]
    assert [each["destination"] for each in result["links"]] == ["tape", "middle", "sink"]
    assert result["bytes"] == 100_000
    ends.gone()


@BOTH
@pytest.mark.parametrize("source", ["true", "head -c 300000 /dev/zero"])
def test_an_end_between_two_stages_of_another(launch: Launch, tmp_path: Path, source: str) -> None:
    """a writes to b and reads from it: there are two ways between them, and one of them has the messages."""
    plan = make_plan(
        ("a", sh("source", source)),
        ("b", stage("middle", ["cat"])),
        ("a", stage("back", ["cat"])),
        ("c", record("sink", tmp_path / "sink")),
    )
    ends = launch(plan).wait().ok()
    assert (
        recorded(tmp_path / "sink")["bytes"] == ends.side("source", "W")["bytes"] == (300_000 if "h" in source else 0)
    )


def test_time_before_the_start_is_no_stall(launch: Launch, tmp_path: Path) -> None:
    """The last end comes when the link between the others has existed for longer than it may stall."""
    plan = make_plan(
        ("a", sh("source", "echo")),
        ("b", stage("middle", ["cat"])),
        ("c", record("sink", tmp_path / "sink")),
        stall_timeout=1,
    )
    first = launch(plan, only=["a", "b"], patience=HASTY)
    first.end("a")  # it has its guard, so its link is made
    time.sleep(2.5)
    together(first, launch(plan, only=["c"])).ok()
    assert first.side("source", "W")["elapsed"] < first.side("source", "W")["ended_at"] + 0.001


@BOTH
def test_an_end_that_falls_silent_before_the_start_is_a_stall(launch: Launch, tmp_path: Path) -> None:
    """It has made its links and says nothing, or somebody in between holds what it says."""
    hold = tmp_path / "hold"
    late = "not gate.heard and now >= self.rests_until"
    limits: list[Change] = [
        ("barrier", "time.monotonic() + patience", "time.monotonic() + 0.5"),
        ("barrier", late, late + " and any(each.heard for each in self.below)"),  # however slow the others are
    ]
    told_to = told("c", hold=str(hold))
    ends = launch(tree(tmp_path, stall_timeout=1), [*DEATHS, *limits], patience=HASTY, told=told_to)
    ends.processes["a"].wait(LONG)
    hold.touch()
    cause = ends.wait().cause()
    assert (cause["kind"], cause["link"], cause["host"]) == ("stalled", "source \u2192 middle", "host-a")
    assert nothing_started(ends, tmp_path)
    ends.gone()


def together(first: Ends, late: Ends) -> Ends:
    """Ends of one plan that were launched apart."""
    first.wait(), late.wait()
    first.names += late.names
    first.output.update(late.output)
    first.errors.update(late.errors)
    return first


# -- a link is not made


def deaf(spec: dict[str, Any]) -> None:
    """d runs, but can neither dial nor be dialled."""
    if spec["end"] == "d":
        spec.update(listen=False, dial={})


@BOTH
def test_a_link_that_cannot_be_made(launch: Launch, tmp_path: Path) -> None:
    ends = launch(tree(tmp_path, connect_timeout=12), told=deaf).wait()
    assert nothing_started(ends, tmp_path)
    cause = ends.cause()
    assert (cause["kind"], cause["link"], cause["host"]) == ("not connected", "middle \u2192 sink", "host-c")
    begins = (
        "no connection between host-c and host-d for the link middle \u2192 sink within 12 s (connect_timeout). host-c "
    )
    assert cause["msg"].startswith(begins) and "host-b" not in cause["msg"]
    assert not ends.verdict().started
    ends.gone()


def test_without_the_barrier_the_others_start(launch: Launch, tmp_path: Path) -> None:
    """The test above would notice."""
    change = ("rules", " or self.barrier is not None and not self.barrier.passed", "")
    ends = launch(tree(tmp_path, connect_timeout=12), [change], told=deaf).wait()
    assert not nothing_started(ends, tmp_path)


def test_an_end_that_refuses_its_plan(launch: Launch, tmp_path: Path) -> None:
    plan = tree(tmp_path, connect_timeout=12)
    plan.stage("sink")["argv"] = ["/no/such/command"]
    ends = launch(plan).wait()
    assert nothing_started(ends, tmp_path)
    assert (ends.cause()["kind"], ends.cause()["stage"]) == ("refused", "sink")
    ends.gone()


def test_a_plan_is_skipped_as_a_whole(launch: Launch, tmp_path: Path) -> None:
    """Although a and b have made the link between them."""
    plan = tree(tmp_path, connect_timeout=12)
    plan.stage("sink")["creates"] = str(tmp_path)
    ends = launch(plan).wait()
    assert nothing_started(ends, tmp_path)
    assert ends.report("b")["links"] and ends.verdict().skipped and not ends.verdict().started
    ends.gone()


@pytest.mark.parametrize("encryption", ["relay"], indirect=True)
def test_a_link_that_cannot_be_encrypted(launch: Launch, tmp_path: Path) -> None:
    """Connected and proved, but the relays of one link do not accept each other."""

    def alter(spec: dict[str, Any]) -> None:
        if spec["end"] == "d":
            spec["links"][0]["encryption"]["peer"] = ends_module.make_certificate()["certificate"]

    ends = launch(tree(tmp_path), told=alter).wait()
    assert nothing_started(ends, tmp_path)
    assert ends.cause()["link"] == "middle \u2192 sink"
    assert ends.cause()["kind"] in ("changed on the way", "cut on the way")  # as the one or the other has seen it
    ends.gone()


@pytest.mark.parametrize("link", [0, 1])
def test_two_ends_need_no_messages_for_this(launch: Launch, tmp_path: Path, link: int) -> None:
    """One of the two links between them is not made, here for a different secret: neither starts anything."""
    plan = make_plan(
        ("a", sh("source", "touch %s/source; echo" % tmp_path)),
        ("b", sh("middle", "touch %s/middle; cat" % tmp_path)),
        ("a", sh("sink", "touch %s/sink; cat" % tmp_path)),
        connect_timeout=3,
    )

    def alter(spec: dict[str, Any]) -> None:
        assert not any(each["barrier"] for each in spec["links"])
        if spec["end"] == "b":
            spec["links"][link]["secret"] = "5a" * 32

    ends = launch(plan, told=alter).wait()
    assert not {path.name for path in tmp_path.iterdir()} & {"source", "middle", "sink"}
    assert ends.cause()["kind"] == "not connected"
    ends.gone()


# -- deaths


@pytest.mark.parametrize(
    ("end", "moment", "encryption"),
    [
        *((end, moment, "none") for end in "abcd" for moment in ("made", "begun")),
        ("a", "ready", "none"),
        ("a", "go", "none"),
        *((end, "begun", "relay") for end in "abcd"),
        ("a", "go", "relay"),
    ],
    indirect=["encryption"],
)
def test_a_death_before_the_start_starts_nothing(launch: Launch, tmp_path: Path, end: str, moment: str) -> None:
    ends = launch(tree(tmp_path, connect_timeout=12), DEATHS, told=told(end, die=moment)).wait()
    assert nothing_started(ends, tmp_path)
    assert ends.cause()["host"] == "host-" + end and not ends.verdict().ok
    assert moment == "made" or ends.cause()["msg"] == "on host-%s: the end was killed by SIGKILL%s" % (end, MEMORY)
    ends.gone()


@BOTH
@pytest.mark.parametrize(("end", "other"), [("b", "d"), ("c", "b"), ("d", "b")])
def test_a_death_of_an_end_that_is_ready(launch: Launch, tmp_path: Path, end: str, other: str) -> None:
    """While another end is not ready yet; when that gets ready, nothing starts any more."""
    flag = tmp_path / "flag"

    def alter(spec: dict[str, Any]) -> None:
        told(end, die="ready")(spec)
        told(other, hold=str(flag))(spec)

    ends = launch(tree(tmp_path), DEATHS, told=alter)
    ends.processes["a"].wait(LONG)  # it has lost a link
    flag.touch()
    ends.wait()
    assert nothing_started(ends, tmp_path)
    assert ends.cause()["msg"] == "on host-%s: the end was killed by SIGKILL%s" % (end, MEMORY)
    ends.gone()


@BOTH
@pytest.mark.parametrize(
    ("end", "moment"),
    [("b", "ready"), ("d", "ready"), ("a", "half"), ("b", "go"), ("c", "go"), ("c", "half"), ("d", "go")],
)
def test_a_death_between_go_here_and_go_there(launch: Launch, tmp_path: Path, end: str, moment: str) -> None:
    """Some may have started, and some not: no input ends as if it were whole, and the dead end is the cause."""
    ends = launch(tree(tmp_path), DEATHS, told=told(end, die=moment)).wait()
    assert ends.cause()["msg"] == "on host-%s: the end was killed by SIGKILL%s" % (end, MEMORY)
    if (tmp_path / "sink").exists():  # it had all of the stream when b died, or it knows that it had not
        seen = recorded(tmp_path / "sink")
        assert seen["how"] != "eof" or (end, seen["bytes"]) == ("b", 100_000)
    assert moment == "ready" or (tmp_path / "source").exists() == (end != "a")
    ends.gone()


@BOTH
def test_a_wrong_message_starts_nothing(launch: Launch, tmp_path: Path) -> None:
    lie = "prove(says), prove(hears)\n"
    change = ("barrier", lie, lie + "        if side.spec.get('die'):\n            self.says = self.says[::-1]\n")
    ends = launch(tree(tmp_path), [change], told=told("c", die="lie")).wait()
    assert nothing_started(ends, tmp_path)
    assert (ends.cause()["kind"], ends.cause()["link"]) == ("changed on the way", "source \u2192 middle")
    ends.gone()


# -- several outputs


@BOTH
def test_a_branch_that_may_stop_does_not_excuse_the_end_of_the_others(launch: Launch, tmp_path: Path) -> None:
    """The source dies of it, so the other branch has not got everything, and no firewall is to blame."""
    plan = Plan({"connect_timeout": 30, "kernel_tls": ends_module.KERNEL_TLS})
    stages = {
        "a": sh("source", "printf x >&3; while echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; do :; done; exit 1"),
        "b": stage("few", ["head", "-c", "9"], early_exit=True),
        "c": record("all", tmp_path / "all"),
    }
    on_ends(plan, stages)
    plan.connect("source", "few")
    plan.connect("source", "all", fd=3)
    ends = launch(reachable(plan)).wait()
    cause = ends.cause()
    assert (cause["kind"], cause["link"]) == ("link", "source \u2192 all")
    assert cause["msg"].startswith(
        "source on host-a ended when few had stopped reading, and so before all had everything"
    )
    assert not (tmp_path / "all").exists() or recorded(tmp_path / "all")["how"] != "eof"
    assert plan_order(plan) == ["source", "few", "all"]
    ends.gone()


# -- one clock

FIRST = """
import os, sys, time
folder = sys.argv[1]
os.read(0, 1)
while not os.path.exists(folder + "/second"):
    time.sleep(0.01)
with open(folder + "/new", "w") as file:
    file.write("%d\\n" % os.getpid())
os.rename(folder + "/new", folder + "/first")
raise SystemExit(4)
"""
# fails after the first by more time than the starts of the two ends can differ
SECOND = """
import os, sys, time
folder = sys.argv[1]
started = time.monotonic()
open(folder + "/second", "w").close()
launched = float(open(folder + "/launched").read())
while not os.path.exists(folder + "/first"):
    time.sleep(0.01)
pid = int(open(folder + "/first").read())
while os.path.exists("/proc/%d" % pid):
    time.sleep(0.01)
time.sleep(started - launched)
raise SystemExit(5)
"""
# holds its outputs until both are broken
SOURCE = """
import os, select
poll = select.poll()
for fd in (1, 3):
    os.write(fd, b"x")
    poll.register(fd, 0)
broken = set()
while len(broken) < 2:
    for fd, _event in poll.poll():
        broken.add(fd)
        poll.unregister(fd)
raise SystemExit(1)
"""


def test_an_end_that_starts_late_does_not_change_the_cause(launch: Launch, tmp_path: Path) -> None:
    """Two fail by themselves.  That of the late end is second, but its end has been running for less time."""
    plan = Plan({"connect_timeout": 60, "kernel_tls": ends_module.KERNEL_TLS})
    for end, command in {
        "a": py("source", SOURCE),
        "b": py("first", FIRST, tmp_path),
        "c": py("second", SECOND, tmp_path),
    }.items():
        plan.add_end(end)
        plan.add_stage(end, command)
    plan.connect("source", "first")
    plan.connect("source", "second", fd=3)
    reachable(plan)
    first = launch(plan, only=["a", "b"], patience={"reset": 60.0})
    first.end("b")  # it has its guard, so its link is made
    time.sleep(2)
    (tmp_path / "launched").write_text(repr(time.monotonic()))
    together(first, launch(plan, only=["c"]))
    assert first.cause()["stage"] == "first", first.output
    assert first.stage("second")["problem"] and not first.stage("second")["blame"]
    first.gone()
