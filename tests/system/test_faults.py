# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever dies or is cut off: the sink sees an error, the task says what it was, and nothing stays anywhere.

Each group of faults is one ansible-playbook with a stream for each (see batch), all hit at the same moment. What the
network does is slow: those streams have hosts of their own and run beside the others.
"""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet, HostSpec, requirements

from . import anatomy, batch, playbook
from .anatomy import Anatomy
from .batch import OWN_LOGIN, Case
from .conftest import make_fleet
from .playbook import Done, Outcome, Started, pipe
from .traces import leaves_nothing

NETWORK = ("off", "crash", "cut", "reset", "silent", "deaf", "mute")  # faults, and the hosts that they are for
VICTIMS = (*NETWORK, "blink")
SIGNALS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM}
LOCAL_PARTS = ("remote-end", "remote-guard", "remote-login", "remote-session", "peer-end", "peer-guard")
PARTS = {"localhost": LOCAL_PARTS, "h2": (*LOCAL_PARTS, "peer-login", "peer-session")}
RATE = "1M"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    reason = requirements()
    if reason:
        pytest.skip(reason)
    hosts = [HostSpec(name, max_startups="200") for name in ("h1", "h2", *VICTIMS)]
    yield from make_fleet(hosts, tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module", autouse=True)
def clean(fleet: Fleet) -> Iterator[None]:
    """In place of conftest's check around each test, for other streams run meanwhile: each test looks for its own."""
    (fleet.directory / "work").mkdir()
    with leaves_nothing(fleet, but="controller: file"):  # a killed Ansible leaves its own temporary directory
        yield


def out(fleet: Fleet, name: str) -> Path:
    """Where the probe of this case writes what it saw."""
    return fleet.directory / "work" / name


def mark(name: str) -> str:
    return f"mark-{name}"


def probing(fleet: Fleet, name: str, *flags: str) -> list[str]:
    return anatomy.probe(str(out(fleet, name)), mark(name), *flags)


def endless(name: str) -> list[str]:
    """A source that does not end by itself, with a child that does the work."""
    return ["sh", "-c", "cat /dev/zero; :", mark(name)]


def stubborn(name: str) -> list[str]:
    return ["sh", "-c", "trap '' TERM PIPE; while :; do cat /dev/zero; sleep 1; done", mark(name)]


def stream(
    fleet: Fleet,
    name: str,
    *,
    pull: bool = False,
    source: list[str] | None = None,
    flags: tuple[str, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """A task with a stream from the peer to the task's host, or back (pull), that ends in a probe."""
    source, sink = source or endless(name), probing(fleet, name, *flags)
    ends = {"remote": source, "output": sink} if pull else {"input": source, "remote": sink}
    return pipe(**{"rate_limit": RATE, **ends, **options})


def sleeper(name: str) -> list[str]:
    """A source that says nothing at all."""
    return ["sh", "-c", "sleep 1000; :", mark(name)]


def neighbours(fleet: Fleet, name: str) -> dict[str, Any]:
    """A sink that reads from a stage beside it, over a socketpair."""
    return pipe(input=endless(name), remote=[{"cmd": "cat"}, {"argv": probing(fleet, name)}], rate_limit=RATE)


def late(fleet: Fleet, name: str, **options: Any) -> dict[str, Any]:
    """A sink that has its end of file and still works."""
    source = ["sh", "-c", "head -c 1M /dev/zero", mark(name)]
    return pipe(input=source, remote=probing(fleet, name, "work=1000"), **options)


def committed(fleet: Fleet, name: str) -> dict[str, Any]:
    """A source that has said all and is gone, while most of it still waits on its host to be sent."""
    source = ["sh", "-c", "head -c 40k /dev/zero", mark(name)]
    return pipe(input=source, remote=probing(fleet, name), rate_limit="1K", full_reads=False)


def has_gone(streams: Streams, name: str) -> bool:
    """Whether the source has ended, but its end has not."""
    processes = anatomy.processes(streams.fleet.controller)
    (end,) = [proc for proc in processes if proc.pid == streams.of(name).ends["peer"].pid]
    return not any(proc.ppid == end.pid for proc in processes)


def is_working(streams: Streams, name: str) -> bool:
    return bool(anatomy.seen(out(streams.fleet, name))["end"] == "eof")


class Streams:
    """Cases that are running, and what they came to."""

    def __init__(self, fleet: Fleet, cases: dict[str, Case], **options: Any) -> None:
        self.fleet, self.cases = fleet, cases
        self.started: Started = batch.start(fleet, cases, **options)
        self.parts: dict[str, Anatomy] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.left: list[anatomy.Proc] = []

    def wait_until_running(self, timeout: float = 60.0, idle: tuple[str, ...] = ()) -> None:
        """All have a source and (but for those that are idle) a sink that has read something."""
        try:
            for name in set(self.cases) - set(idle):
                anatomy.until(
                    f"a first byte of {name}", functools.partial(anatomy.seen, out(self.fleet, name)), timeout
                )
            self.parts = anatomy.running(self.fleet, [mark(name) for name in self.cases], timeout)
        except TimeoutError as exc:
            raise AssertionError(f"{exc}\n{self.started.said()}") from exc

    def of(self, name: str) -> Anatomy:
        return self.parts[mark(name)]

    def finish(self, timeout: float, clean: float = 10.0) -> None:
        """Until ansible-playbook is over, and then the time it may take until nothing is left."""
        self.outcomes = batch.finish(self.started, timeout)
        runs = {parts.run for parts in self.parts.values()}
        self.left = anatomy.gone(self.fleet, [mark(name) for name in self.cases], runs, clean)

    def left_of(self, name: str) -> list[anatomy.Proc]:
        run = self.of(name).run
        return [proc for proc in self.left if mark(name) in proc.argv or proc.label.startswith(run)]

    def assert_failed(self, name: str, *kinds: str) -> dict[str, Any]:
        """It has failed, for one of these reasons, in a sentence; its sink saw no end of file; nothing is left."""
        assert anatomy.seen(out(self.fleet, name)).get("end") != "eof"
        assert not self.left_of(name)
        outcome = self.outcomes[name]
        assert outcome.status == "failed", outcome
        cause: dict[str, Any] = outcome.result["cause"]
        assert cause["kind"] in kinds, cause
        assert "\n" not in cause["msg"]
        assert len(cause["msg"]) < 400, cause
        assert "Traceback" not in cause["msg"]
        return cause


# -- the network: begun first, looked at last

WAYS = ("push", "pull")
DEAD_PEER = 6


@pytest.fixture(scope="module")
def network(fleet: Fleet) -> Streams:
    """Every fault of the network for each peer and way, all hit at the same time; they go on in the background."""
    cases = {}
    for peer in PARTS:
        for way in WAYS:
            for fault in NETWORK:
                name = f"{fault}-{peer}-{way}"
                task = stream(fleet, name, pull=way == "pull", peer=peer, dead_peer=DEAD_PEER)
                cases[name] = Case(task, host=fault)
            # three seconds without a cable, in a stream that goes on for longer than that
            name = f"blink-{peer}-{way}"
            go = "; ".join(["sleep 1; head -c 1M /dev/zero"] * 7)
            script = f"head -c 1M /dev/zero; until [ -e {out(fleet, 'go')} ]; do sleep 0.1; done; {go}"
            source = ["sh", "-c", script, mark(name)]
            task = stream(fleet, name, pull=way == "pull", peer=peer, source=source, dead_peer=15, rate_limit="100M")
            cases[name] = Case(task, host="blink")
    streams = Streams(fleet, cases)
    streams.wait_until_running(120)
    out(fleet, "go").touch()
    fleet["blink"].link(False)
    fleet["off"].power_off()
    fleet["crash"].power_off(silent=False)
    fleet["cut"].link(False)
    fleet["reset"].block("in", "reject", established=True)
    fleet["silent"].block("both", "drop", established=True)
    fleet["deaf"].block("in", "drop", established=True)
    fleet["mute"].block("out", "drop", established=True)
    time.sleep(3)
    fleet["blink"].link(True)
    return streams


@pytest.fixture(scope="module")
def stalled(fleet: Fleet) -> dict[str, Outcome]:
    """Streams that come to a halt by themselves: sources that say no more, and sinks that read no more."""
    cases = {}
    for peer in PARTS:
        for way in WAYS:
            name = f"stall-{peer}-{way}"
            once = ["sh", "-c", "head -c 1M /dev/zero; exec sleep 1000", mark(name)]
            cases[name] = Case(stream(fleet, name, pull=way == "pull", peer=peer, source=once, stall_timeout=4))
            name = f"stuck-{peer}-{way}"
            task = stream(
                fleet, name, pull=way == "pull", peer=peer, flags=("pause=1000",), stall_timeout=4, rate_limit="100M"
            )
            cases[name] = Case(task)
    return batch.run(fleet, cases)


@pytest.fixture(scope="module")
def network_over(network: Streams) -> Iterator[Streams]:
    fleet = network.fleet
    network.finish(120)
    yield network
    fleet["cut"].link(True)
    for name in ("reset", "silent", "deaf", "mute"):
        fleet[name].unblock()
    for name in ("off", "crash"):
        fleet[name].power_on()


@pytest.fixture(autouse=True)
def beside(network: Streams) -> None:
    """All tests run while the network's streams do."""


# -- the processes of a run


def killings(pull: bool) -> dict[str, tuple[str, str, str]]:
    """{case: (peer, part, signal)}."""
    way = "pull" if pull else "push"
    return {
        f"{part}-{word}-{peer}-{way}": (peer, part, word)
        for peer, parts in PARTS.items()
        for part in parts
        for word in SIGNALS
    }


def hit(streams: Streams, name: str, part: str, word: str) -> None:
    anatomy.send(streams.of(name).part(part.replace("-", " ")), SIGNALS[word])


@pytest.fixture(scope="module", params=["push", "pull"])
def killed(fleet: Fleet, request: pytest.FixtureRequest) -> Streams:
    """Each part of a run hit in a run of its own."""
    pull = request.param == "pull"
    more = {"h2-too": {"ansible_host": fleet["h2"].address, **OWN_LOGIN}}
    cases = {}
    for name, (peer, part, _word) in killings(pull).items():
        own = OWN_LOGIN if pull or part == "remote-session" else {}
        where = "h2-too" if peer == "h2" and (pull or part == "peer-session") else peer
        cases[name] = Case(stream(fleet, name, pull=pull, peer=where), variables=own)
    streams = Streams(fleet, cases, more=more)
    streams.wait_until_running()
    for name, (_peer, part, word) in killings(pull).items():
        hit(streams, name, part, word)
    streams.finish(90)
    return streams


@pytest.mark.parametrize("word", SIGNALS)
@pytest.mark.parametrize(("peer", "part"), [(peer, part) for peer, parts in PARTS.items() for part in parts])
def test_a_part_dies(killed: Streams, peer: str, part: str, word: str) -> None:
    name = next(n for n, case in killings("pull" in next(iter(killed.cases))).items() if case == (peer, part, word))
    cause = killed.assert_failed(name, "end")
    host = name if part.startswith("remote") else killed.outcomes[name].result["peer"]
    assert cause["host"] == host, cause


@pytest.fixture(scope="module")
def odd(fleet: Fleet) -> Streams:
    """Stages that do not listen to SIGTERM, both processes of an end at once, and a login that Ansible repeats."""
    again = {**OWN_LOGIN, "ansible_ssh_retries": 2}
    once = ["sh", "-c", f"echo started >> {out(fleet, 'again.starts')}; cat /dev/zero", mark("again")]
    cases = {
        "stubborn-end": Case(stream(fleet, "stubborn-end", source=stubborn("stubborn-end"), flags=("stubborn",))),
        "stubborn-login": Case(
            stream(fleet, "stubborn-login", pull=True, source=stubborn("stubborn-login"), flags=("stubborn",))
        ),
        "both-remote": Case(stream(fleet, "both-remote", peer="h2")),
        "both-peer": Case(stream(fleet, "both-peer")),
        "again": Case(stream(fleet, "again", pull=True, source=once, connect_timeout=5), variables=again),
        "source-killed": Case(stream(fleet, "source-killed")),
        "source-terminated": Case(stream(fleet, "source-terminated", pull=True)),
        "sink-killed": Case(stream(fleet, "sink-killed")),
        "sink-terminated": Case(stream(fleet, "sink-terminated", pull=True)),
        "idle-end": Case(stream(fleet, "idle-end", source=sleeper("idle-end"))),
        "idle-login": Case(stream(fleet, "idle-login", source=sleeper("idle-login"), peer="h2")),
        "neighbours-end": Case(neighbours(fleet, "neighbours-end")),
        "neighbours-guard": Case(neighbours(fleet, "neighbours-guard")),
        "committed-end": Case(committed(fleet, "committed-end")),
        "committed-guard": Case(committed(fleet, "committed-guard")),
        "late-end": Case(late(fleet, "late-end")),
        "late-sink": Case(late(fleet, "late-sink")),
        "late-login": Case(late(fleet, "late-login")),
    }
    streams = Streams(fleet, cases)
    streams.wait_until_running(idle=("idle-end", "idle-login"))
    for name in ("committed-end", "committed-guard"):
        anatomy.until("the end of the source", functools.partial(has_gone, streams, name))
        hit(streams, name, name.replace("committed", "peer"), "killed")
    for name in ("late-end", "late-sink", "late-login"):
        anatomy.until("the end of the stream", functools.partial(is_working, streams, name))
    time.sleep(4)  # a login that fails in its first seconds is one that never was
    hit(streams, "idle-end", "peer-end", "killed")
    hit(streams, "idle-login", "remote-login", "terminated")
    hit(streams, "neighbours-end", "remote-end", "killed")
    hit(streams, "neighbours-guard", "remote-guard", "killed")
    hit(streams, "late-end", "remote-end", "killed")
    hit(streams, "late-login", "remote-login", "killed")
    for name in ("source-killed", "source-terminated", "sink-killed", "sink-terminated", "late-sink"):
        parts, number = streams.of(name), SIGNALS[name.split("-")[1] if name != "late-sink" else "killed"]
        end = "remote" if ("source" in name) == ("terminated" in name) else "peer"
        (stage,) = [proc for proc in parts.everything if proc.ppid == parts.ends[end].pid]
        anatomy.send(stage, number)
    hit(streams, "stubborn-end", "remote-end", "terminated")
    hit(streams, "stubborn-login", "remote-login", "killed")
    for name, end in (("both-remote", "remote"), ("both-peer", "peer")):
        for part in ("guard", "end"):
            hit(streams, name, f"{end}-{part}", "killed")
    first = streams.of("again").guards["remote"].pid
    hit(streams, "again", "remote-session", "killed")
    run = streams.of("again").run

    def second() -> list[anatomy.Proc]:
        found = anatomy.processes(fleet["h1"])
        return [proc for proc in found if proc.label == f"{run}:remote" and proc.pid > first and proc.ppid]

    anatomy.until("a second launch", lambda: {proc.pid for proc in second()} - {streams.of("again").ends["remote"].pid})
    streams.finish(90, clean=20)
    return streams


def test_a_stage_that_ignores_sigterm_is_killed(odd: Streams) -> None:
    odd.assert_failed("stubborn-end", "end")
    odd.assert_failed("stubborn-login", "end")


@pytest.mark.parametrize("end", ["remote", "peer"])
def test_an_end_and_its_guard_die_together(odd: Streams, end: str) -> None:
    """Nobody is left to say what has happened, and to Ansible the host may be unreachable."""
    name = f"both-{end}"
    assert anatomy.seen(out(odd.fleet, name))["end"] != "eof"
    assert not odd.left_of(name)
    outcome = odd.outcomes[name]
    assert outcome.status in ("failed", "unreachable")
    if end == "peer":
        assert outcome.result["cause"]["host"] == "localhost"


def test_a_second_launch_of_a_plan_does_nothing(odd: Streams) -> None:
    """Ansible runs a command again whose ssh died: no stage may start twice."""
    cause = odd.assert_failed("again", "end")
    assert cause["host"] == "again"
    assert out(odd.fleet, "again.starts").read_text(encoding="ascii") == "started\n"


@pytest.mark.parametrize("word", SIGNALS)
@pytest.mark.parametrize("which", ["source", "sink"])
def test_a_stage_dies(odd: Streams, which: str, word: str) -> None:
    """Of the source only the shell; its child still has the link, and would write on."""
    name = f"{which}-{word}"
    cause = odd.assert_failed(name, "failed")
    stage = {"source-killed": "input", "source-terminated": "remote", "sink-killed": "remote"}.get(name, "output")
    assert cause["stage"] == stage
    assert SIGNALS[word].name in cause["msg"]


@pytest.mark.parametrize("name", ["idle-end", "idle-login"])
def test_before_the_first_byte(odd: Streams, name: str) -> None:
    """The sink has not been started, and is not."""
    cause = odd.assert_failed(name, "end")
    assert cause["host"] == ("localhost" if name == "idle-end" else name)
    assert not anatomy.seen(out(odd.fleet, name))


@pytest.mark.parametrize("name", ["neighbours-end", "neighbours-guard"])
def test_neighbours_on_a_host(odd: Streams, name: str) -> None:
    odd.assert_failed(name, "end")


@pytest.mark.parametrize("name", ["committed-end", "committed-guard"])
def test_between_the_end_of_the_source_and_that_of_the_stream(odd: Streams, name: str) -> None:
    cause = odd.assert_failed(name, "end")
    assert cause["host"] == "localhost"
    assert anatomy.seen(out(odd.fleet, name))["bytes"] < 40 * 1024


@pytest.mark.parametrize("name", ["late-end", "late-login", "late-sink"])
def test_after_the_last_byte(odd: Streams, name: str) -> None:
    """The sink has rightly seen its end of file, but has not done its work."""
    assert not odd.left_of(name)
    outcome = odd.outcomes[name]
    assert outcome.status == "failed", outcome
    assert outcome.result["cause"]["kind"] == ("failed" if name == "late-sink" else "end")
    assert outcome.result["cause"]["host"] == name


# -- before there is a link

EARLY = ("playbook", "worker", "peer", "remote")  # the peer's end, and the login to the task's host


@pytest.fixture(scope="module")
def early(fleet: Fleet) -> dict[str, tuple[str, Done]]:
    """The Python of the task's host takes its time, and before it is there a part is killed."""
    slow = fleet.directory / "slow-python"
    slow.write_text('#!/bin/sh\nsleep 5\nexec /usr/bin/python3 "$@"\n', encoding="ascii")
    slow.chmod(0o755)
    running = {}
    for part in EARLY:
        touch = ["touch", str(out(fleet, f"early-{part}"))]
        task = pipe(input=touch, remote=touch)
        own = {"h1": {"ansible_python_interpreter": str(slow), **OWN_LOGIN}}
        running[part] = playbook.start(fleet, task, inventory=own)

    def parts_of(started: Started) -> dict[str, anatomy.Proc]:
        """The login and the peer's end, once both are there, and who started them."""
        everything = {proc.pid: proc for proc in anatomy.processes(fleet.controller)}
        if started.process.child not in everything:  # it is not within its namespaces yet
            return {}
        found = {"playbook": everything[started.process.child]}
        for proc in everything.values():
            worker = everything.get(proc.ppid)
            if worker and worker.ppid == started.process.child and proc.label:
                found.update({proc.label.partition(":")[2]: proc, "worker": worker})
        return found if set(found) == set(EARLY) else {}

    found = {part: anatomy.until("a login", functools.partial(parts_of, running[part])) for part in EARLY}

    def waiting() -> bool:
        return sum(proc.argv == ("sleep", "5") for proc in anatomy.processes(fleet["h1"])) == len(EARLY)

    anatomy.until("four slow Pythons", waiting)
    for part in EARLY:
        anatomy.send(found[part][part])
    runs = {part: found[part]["remote"].label.partition(":")[0] for part in EARLY}
    return {part: (runs[part], running[part].wait(60)) for part in EARLY}


@pytest.mark.parametrize("part", EARLY)
def test_a_part_dies_before_there_is_a_link(fleet: Fleet, early: dict[str, tuple[str, Done]], part: str) -> None:
    """No command is run, and what is on its way to the other host ends when it gets there."""
    run, done = early[part]
    assert not anatomy.gone(fleet, runs=[run], timeout=15)
    assert not out(fleet, f"early-{part}").exists()
    if part in ("playbook", "worker"):
        assert not [outcome for outcome in done.outcomes if outcome.status == "ok"]
    else:
        assert done.only.status == "failed"
        assert done.result["cause"]["host"] == ("localhost" if part == "peer" else "h1")


# -- the controller

CONTROLLER = {
    "playbook-killed": ("playbook", signal.SIGKILL, False),
    "playbook-terminated": ("playbook", signal.SIGTERM, False),
    "playbook-interrupted": ("playbook", signal.SIGINT, True),  # Ctrl-C
    "playbook-hung-up": ("playbook", signal.SIGHUP, False),
    "terminal-hung-up": ("playbook", signal.SIGHUP, True),
    "worker-killed": ("worker", signal.SIGKILL, False),
    "worker-terminated": ("worker", signal.SIGTERM, False),
    "late-worker-killed": ("worker", signal.SIGKILL, False),  # when the source is over already
    "late-playbook-killed": ("playbook", signal.SIGKILL, False),
    "late-playbook-interrupted": ("playbook", signal.SIGINT, True),
}


@pytest.fixture(scope="module")
def controllers(fleet: Fleet) -> dict[str, Streams]:
    """A playbook for each, all hit at the same time."""
    running = {}
    for peer in PARTS:
        for fault in CONTROLLER:
            name = f"{fault}-{peer}"
            if fault.startswith("late"):
                task = late(fleet, name, peer=peer)
            else:
                task = stream(fleet, name, peer=peer, pull=peer == "h2")
            running[name] = Streams(fleet, {name: Case(task)})
    for streams in running.values():
        streams.wait_until_running()
    for name, streams in running.items():
        if name.startswith("late"):
            anatomy.until("the end of the stream", functools.partial(is_working, streams, name))
    for name, streams in running.items():
        part, number, group = CONTROLLER[name.rpartition("-")[0]]
        target = streams.of(name).part(part)
        if group:
            streams.started.kill(number, group=True)
        else:
            anatomy.send(target, number)
    for streams in running.values():
        streams.finish(60)
    return running


@pytest.mark.parametrize("peer", PARTS)
@pytest.mark.parametrize("fault", CONTROLLER)
def test_the_controller_dies(controllers: dict[str, Streams], fault: str, peer: str) -> None:
    name = f"{fault}-{peer}"
    streams = controllers[name]
    saw = anatomy.seen(out(streams.fleet, name))
    assert saw["end"] == "eof" if fault.startswith("late") else saw["end"] != "eof"
    assert not streams.left
    assert name not in streams.outcomes or streams.outcomes[name].status != "ok"


@pytest.fixture(scope="module")
def timed_out(fleet: Fleet) -> Streams:
    cases = {
        f"timeout-{peer}-{way}": Case(
            {**stream(fleet, f"timeout-{peer}-{way}", peer=peer, pull=way == "pull"), "timeout": 10}
        )
        for peer in PARTS
        for way in ("push", "pull")
    }
    streams = Streams(fleet, cases)
    streams.wait_until_running()
    streams.finish(60)
    return streams


@pytest.mark.parametrize("way", ["push", "pull"])
@pytest.mark.parametrize("peer", PARTS)
def test_the_timeout_of_the_task(timed_out: Streams, peer: str, way: str) -> None:
    name = f"timeout-{peer}-{way}"
    saw = anatomy.seen(out(timed_out.fleet, name))
    assert saw["end"] != "eof", saw
    assert saw["bytes"]
    assert not timed_out.left_of(name)
    outcome = timed_out.outcomes[name]
    assert outcome.status == "failed"
    message = outcome.result["msg"]  # Ansible's: the first before, the second from core 2.19 on
    assert "expected time frame (10)" in message or "Timed out after 10 second" in message, message
    assert outcome.at - outcome.started < 30


@pytest.mark.parametrize("stopped", ["", "remote-end", "peer-end"])
def test_nothing_on_the_controller_outlives_ansible_playbook(fleet: Fleet, stopped: str) -> None:
    """Both ends are here (connection: local), both commands ignore SIGTERM, and one end may stand still."""
    name = f"here-{stopped}"
    command = ["sh", "-c", "trap '' TERM PIPE INT HUP; echo data; while :; do sleep 1; done", mark(name)]
    task = {**pipe(input=command, remote=command), "timeout": 8}
    streams = Streams(fleet, {name: Case(task, variables={"ansible_connection": "local"})})
    streams.parts = anatomy.running(fleet, [mark(name)], 30)
    if stopped:
        anatomy.send(streams.of(name).part(stopped.replace("-", " ")), signal.SIGSTOP)
    streams.finish(60, clean=0.0)
    assert not streams.left_of(name)


# -- the network again


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("peer", PARTS)
@pytest.mark.parametrize("fault", ["off", "cut", "silent", "deaf", "mute"])
def test_a_peer_that_is_heard_no_more(network_over: Streams, fault: str, peer: str, way: str) -> None:
    name = f"{fault}-{peer}-{way}"
    cause = network_over.assert_failed(name, "dead peer")
    assert f"{DEAD_PEER} s" in cause["msg"]
    assert name in cause["msg"] and peer in cause["msg"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("peer", PARTS)
def test_a_reset_by_a_third_party(network_over: Streams, peer: str, way: str) -> None:
    name = f"reset-{peer}-{way}"
    # the nearer host does not hear of the reset: to it the other one is silent
    cause = network_over.assert_failed(name, "link", "dead peer")
    assert cause["link"] == ("input → remote" if way == "push" else "remote → output")
    assert "firewall" in cause["msg"] or cause["kind"] == "dead peer"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("peer", PARTS)
def test_a_host_that_crashes(network_over: Streams, peer: str, way: str) -> None:
    """All its processes are killed at once; its kernel closes what they had."""
    name = f"crash-{peer}-{way}"
    cause = network_over.assert_failed(name, "end")
    assert cause["host"] == name


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("peer", PARTS)
def test_a_short_interruption_is_survived(network_over: Streams, peer: str, way: str) -> None:
    name = f"blink-{peer}-{way}"
    outcome = network_over.outcomes[name]
    assert outcome.status == "ok", outcome.result.get("msg")
    saw = anatomy.seen(out(network_over.fleet, name))
    assert (saw["bytes"], saw["end"]) == (8 * 1024 * 1024, "eof")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("peer", PARTS)
@pytest.mark.parametrize("which", ["stall", "stuck"])
def test_a_stream_that_stalls(fleet: Fleet, stalled: dict[str, Outcome], which: str, peer: str, way: str) -> None:
    name = f"{which}-{peer}-{way}"
    assert anatomy.seen(out(fleet, name))["end"] != "eof"
    assert not [proc for proc in anatomy.processes(fleet.controller, *fleet) if mark(name) in proc.argv]
    assert stalled[name].status == "failed"
    cause = stalled[name].result["cause"]
    assert (cause["kind"], cause["link"]) == ("stalled", "input → remote" if way == "push" else "remote → output")
    assert "no byte moved for 4 s (stall_timeout)" in cause["msg"]
