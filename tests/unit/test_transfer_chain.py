# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in a chain: it keeps the file, and passes the stream on; and what the controller makes of the reports."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import fan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import full_reads, wake_readers
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import chained, transferred
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.chained import ChainPlan, Copies, Copy
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.home import Home
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.process import ENDING
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import chain, sink
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer.frames import HEAD
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _transfer_chain, _transfer_run
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._program_run import program_stage
from ansible_collections.plumbing.socketpipe.tests.unit import ends as ends_module
from ansible_collections.plumbing.socketpipe.tests.unit.transfers import OLD, STREAM, request, source

MIB = 1024 * 1024
LONG = 60.0


@pytest.fixture
def dest(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "dest"
    path.write_bytes(OLD)
    yield path
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # they are blocked until the exit


def pair() -> tuple[socket.socket, socket.socket]:
    """(writer, reader) of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        return ours, server.accept()[0]


class Host:
    """A host between a writer and a reader: what the engine would give it."""

    def __init__(self, asked: dict[str, Any], last: bool = False) -> None:
        self.above, self.stream = pair()
        out, self.below = pair()
        self.control, theirs = os.pipe()
        self.tell = theirs
        number = None if last else os.dup(out.fileno())
        out.close()
        self.reader = chain.Passing(self.stream.fileno(), number, self.control)
        self.asked, self.answer, self.problem = asked, {}, None  # type: dict[str, Any], dict[str, Any], Problem | None
        self.passed = bytearray()
        self.threads = [threading.Thread(target=each, daemon=True) for each in (self.work, self.collect)]

    def start(self, collects: bool = True) -> Host:
        for thread in self.threads if collects else self.threads[:1]:
            thread.start()
        return self

    def work(self) -> None:
        try:
            self.answer = chain.received_from(self.asked, self.reader)
        except Problem as exc:
            self.problem = exc
        self.reader.drop()

    def collect(self) -> None:
        """The next host, until this one lets go of the stream."""
        while True:
            data = self.below.recv(MIB)
            if not data:
                return
            self.passed += data

    def finish(self) -> Host:
        for thread in self.threads:
            if thread.ident:
                thread.join(LONG)
                assert not thread.is_alive()
        for each in (self.above, self.stream, self.below):
            each.close()
        for fd in (self.control, self.tell):
            os.close(fd)
        return self


def run(asked: dict[str, Any], stream: bytes, last: bool = False) -> Host:
    """With this stream, and a clean end of it."""
    host = Host(asked, last).start()
    host.above.sendall(stream)
    host.above.shutdown(socket.SHUT_WR)
    return host.finish()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


# -- a host


def told_of(tmp_path: Path) -> dict[str, Any]:
    return {**source(tmp_path), "size": 200}


def test_it_keeps_the_file_and_passes_on_the_stream(tmp_path: Path, dest: Path) -> None:
    host = run(request(dest, told_of(tmp_path)), STREAM)
    assert bytes(host.passed) == STREAM
    assert (host.answer["problem"], host.answer["file"]["size"]) == (None, 200)
    assert dest.read_bytes() == b"new" + bytes(97) + b"end" + bytes(97)
    assert os.listdir(dest.parent) == ["dest"]


@pytest.mark.parametrize("length", range(0, len(STREAM), 3))
def test_a_stream_that_ends_early_is_never_the_file(tmp_path: Path, dest: Path, length: int) -> None:
    """Not here, nor on the next host, which gets no more than there was."""
    host = run(request(dest, told_of(tmp_path)), STREAM[:length])
    assert bytes(host.passed) == STREAM[:length]
    assert host.answer["problem"]["kind"] == "incomplete"
    assert dest.read_bytes() == OLD and os.listdir(dest.parent) == ["dest"]
    host = run(request(dest, told_of(tmp_path)), STREAM[:length], last=True)
    assert host.problem is not None and host.problem.kind == "incomplete"
    assert dest.read_bytes() == OLD and os.listdir(dest.parent) == ["dest"]


def test_a_stream_that_breaks_off(tmp_path: Path, dest: Path) -> None:
    """Also after its last byte: the end of file is missing.  It is not read again, since that could be its end."""
    host = Host(request(dest, told_of(tmp_path))).start()
    host.above.sendall(STREAM)
    while len(host.passed) < len(STREAM):
        pass
    reset(host.above)
    host.finish()
    assert host.problem is not None and (host.problem.kind, str(host.problem)) == (
        "stopped",
        "the stream was broken off",
    )
    assert not host.reader.pass_rest()
    assert dest.read_bytes() == OLD and os.listdir(dest.parent) == ["dest"]


def large(tmp_path: Path) -> tuple[dict[str, Any], bytes]:
    """More than all buffers hold."""
    data = os.urandom(MIB) * 16
    return source(tmp_path, data), HEAD.pack(0, len(data)) + data + HEAD.pack(len(data), 0)


@pytest.mark.parametrize("how", ["reset", "told", "before"])
def test_it_goes_on_without_the_next_host(tmp_path: Path, dest: Path, how: str) -> None:
    """Which is lost before the start or in the middle, as its descriptor shows, or only the end of this host."""
    told, stream = large(tmp_path)
    host = Host(request(dest, told))
    if how == "before":
        null = os.open(os.devnull, os.O_RDONLY)
        host.reader.drop()
        host.reader.out = chain.connected(null)
        assert host.reader.out is None and chain.connected(10**6) is None
        os.close(null)
    host.start(collects=False)
    feeder = threading.Thread(target=host.above.sendall, args=[stream])
    feeder.start()
    if how == "reset":
        assert host.below.recv(MIB)
        reset(host.below)
    if how == "told":
        assert host.below.recv(MIB)  # and no more, so it has to wait
        os.write(host.tell, b"5\n")
    feeder.join(LONG)
    host.above.shutdown(socket.SHUT_WR)
    host.finish()
    assert host.answer["file"]["size"] == 16 * MIB, host.problem
    assert dest.read_bytes() == (tmp_path / "source").read_bytes()


@pytest.mark.parametrize("where", ["created", "written", "validated"])
def test_the_next_host_gets_what_this_one_cannot_have(tmp_path: Path, dest: Path, where: str) -> None:
    told, stream = large(tmp_path)
    asked = request(dest, told)
    if where == "created":
        asked["folder"] = {"device": 0, "inode": 0}
    if where == "validated":
        asked["validate"] = "false %s"
    real = os.pwrite

    def full(fd: int, data: bytes, at: int) -> int:
        if where == "written" and at > MIB:
            raise OSError(errno.ENOSPC, "no")
        return real(fd, data, at)

    with mock.patch.object(os, "pwrite", full):
        host = run(asked, stream)
    kind = {"created": "changed", "written": "no room", "validated": "validation"}[where]
    assert (host.answer["file"], host.answer["problem"]["kind"]) == (None, kind)
    assert bytes(host.passed) == stream
    assert dest.read_bytes() == OLD and os.listdir(dest.parent) == ["dest"]


def test_a_problem_of_its_own_if_there_is_no_next_host(tmp_path: Path, dest: Path) -> None:
    """The last one, or one whose next host is lost: nothing has to be passed on."""
    told, stream = large(tmp_path)
    asked = {**request(dest, told), "validate": "false %s"}
    host = run(asked, stream, last=True)
    assert host.problem is not None and host.problem.kind == "validation"
    host = Host(asked)
    reset(host.below)
    host.start(collects=False)
    host.above.sendall(stream)
    host.above.shutdown(socket.SHUT_WR)
    host.finish()
    assert host.problem is not None and host.problem.kind == "validation"


@pytest.mark.parametrize(("following", "given"), [(True, (0, 5, 4)), (False, (0,))])
def test_the_descriptors_of_a_host(monkeypatch: pytest.MonkeyPatch, following: bool, given: tuple[int, ...]) -> None:
    """The stream comes on its standard input; the last host has no other."""
    monkeypatch.setattr(chain, "Passing", lambda *fds: fds)
    monkeypatch.setattr(chain, "received_from", lambda asked, reader: (asked, reader))
    asked = {"next": following}
    assert chain.receive(asked) == (asked, given)


@pytest.mark.parametrize("last", [False, True])
def test_the_file_is_ready_before_the_end_of_the_stream(tmp_path: Path, dest: Path, last: bool) -> None:
    """With whole reads, which return no less than asked for before the end: so all hosts validate at the same time."""
    told, stream = source(tmp_path, b"new"), HEAD.pack(0, 3) + b"new" + HEAD.pack(3, 0)
    validated = threading.Event()
    with mock.patch.object(sink.Sink, "flush", lambda _sink: validated.set()):
        host = Host(request(dest, told), last)
        full_reads(host.stream, MIB)
        host.start()
        host.above.sendall(stream)
        for _try in range(3000):
            if validated.wait(0.02):
                break
            wake_readers(host.stream)  # as the end does, for a reader whose bytes are there
        else:
            pytest.fail("it waits for the end of the stream")
        assert dest.read_bytes() == OLD, "it is not replaced before"
        host.above.shutdown(socket.SHUT_WR)
        host.finish()
    assert dest.read_bytes() == b"new"


# -- real ends


def plan_of(tmp_path: Path, validate: dict[str, str | None], encryption: str) -> ChainPlan:
    """A source and these destinations, each with a directory of its own; all ends are on loopback."""
    told, _stream = large(tmp_path)
    ends = ["source", *validate]
    plan = ChainPlan({"connect_timeout": 30, "kernel_tls": ends_module.KERNEL_TLS})
    for end in ends:
        plan.add_end(end)
    send = {"path": told["path"], "source": told}
    plan.add_stage("source", program_of("source", "send", send))
    for number, (end, command) in enumerate(validate.items(), start=1):
        path = tmp_path / end / "dest"
        path.parent.mkdir()
        path.write_bytes(OLD)
        last = end == ends[-1]
        asked = {**request(path, told), "validate": command, "next": not last}
        stage = program_of(end, "receive-along", asked)
        stage["blocks"] = True
        if not last:
            stage["fan"] = {"required": 0, "leaving": []}
        plan.add_stage(end, stage)
        plan.connect(ends[number - 1], end, 1 if number == 1 else chain.NEXT)
    for one, other in zip(ends, ends[1:]):
        plan.reach(one, other, ["127.0.0.1"])
    if encryption != "none":
        plan.encrypt(ends_module.make_certificate)
    return plan


def program_of(end: str, command: str, given: dict[str, Any]) -> Any:
    request = {"words": [command], "settings": {}, "input": given}
    return program_stage(end, "transfer", _transfer_run.PROGRAM, request)


KILLED = "sh -c 'kill -9 $PPID' %s"
FALSE = "false %s"


CHAINS: list[tuple[list[str | None], list[str]]] = [
    ([None, None, None], ["", "", ""]),
    ([None, KILLED, None], ["", "failed", "stopped"]),
    ([KILLED, None, None], ["failed", "stopped", "stopped"]),
    ([None, None, KILLED], ["", "", "failed"]),
    ([FALSE, None, FALSE], ["validation", "", "validation"]),
]


@pytest.mark.parametrize("encryption", ["none", "relay"])
@pytest.mark.parametrize(("validate", "kinds"), CHAINS)
def test_a_chain_of_real_ends(
    launch: Callable[..., Any], tmp_path: Path, validate: list[str | None], kinds: list[str], encryption: str
) -> None:
    """A death leaves those behind it without the file, and nobody else."""
    names = ["d1", "d2", "d3"]
    plan = plan_of(tmp_path, dict(zip(names, validate)), encryption)
    ends = launch(plan).wait()
    verdict = ends.verdict()
    found = chained.results(verdict, dict.fromkeys(names, "/dest"))
    assert [getattr(found[name], "kind", "") for name in names] == kinds
    assert (verdict.cause is None) == (set(kinds) <= {"", "validation"} and kinds[-1] == "")
    for name, kind in zip(names, kinds):
        content = OLD if kind else (tmp_path / "source").read_bytes()
        assert (tmp_path / name / "dest").read_bytes() == content
        left = os.listdir(tmp_path / name)
        # what a killed program leaves is removed by the next one
        assert left == ["dest"] or kind == "failed" and len(left) == 2
    ends.gone()


# how fast the run was, and over which of its ports
OF_A_RUN = ("elapsed", "rate", "rtt", "retransmits", "waited", "samples", "source_address", "destination_address")


def copies_of(plan: ChainPlan, tmp_path: Path) -> Copies:
    """A host that had the file, one that cannot be reached, and those of the plan."""
    copies = Copies({end: Copy(f"host-{end}") for end in ("same", "gone", *plan.ends) if end != "source"})
    copies.source = {"src": "/source", "size": 5, "peer": "host-source"}
    current = {"size": 3, "mtime": 0, "owner": "root", "group": "root", "mode": 0o640}
    for end, each in copies.hosts.items():
        path = str(tmp_path / end / "dest")
        each.looked({"do": "move", "path": path, "current": current, "after": current})
    copies.hosts["same"].looked({"do": "nothing", "path": "/dest", "current": current, "after": current})
    copies.hosts["gone"] = Copy("host-gone")
    copies.hosts["gone"].fail(Failure("unreachable", "why", "host-gone"))
    return copies


def detach(plan: ChainPlan, tmp_path: Path, copies: Copies, **more: Any) -> None:
    """The result is to be kept in an end of its own."""
    hosts = {end: f"host-{end}" for end in ("home", *plan.ends)}
    plan.ends = {"home": cast(Any, None), **plan.ends}  # the first one, as the action has it
    plan.add_end("home")
    for end in [end for end in plan.ends if end != "home"]:
        plan.reach("home", end, ["127.0.0.1"])
    job: Any = {"directory": str(tmp_path / "jobs"), "hosts": hosts, "peer": "host-source", "advice": None}
    job.update(writes={}, fact="", no_log=False, limit=LONG, chain=copies.told(True), **more)
    plan.detach("home", job)


def kept(plan: ChainPlan, tmp_path: Path) -> dict[str, Any]:
    return dict(json.loads((tmp_path / "jobs" / plan.run).read_text(encoding="utf-8")))


def finished(plan: ChainPlan, tmp_path: Path) -> bool:
    return bool(kept(plan, tmp_path)["finished"])


def comparable(result: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Without what differs from run to run, such as whether a program was killed before the end of its input."""
    found = json.loads(re.sub(chained.MAYBE % "[^ ]*", "", json.dumps(result).replace(str(folder), "")))
    for each in found["hosts"].values():
        if each["cause"] and each["cause"]["kind"] == "failed":
            del each["changed"]
            found.pop("changed", None)
    for name in ("run", "elapsed", "started", "finished", "ansible_job_id", "peer"):
        found.pop(name, None)
    for name in OF_A_RUN if found["link"] else ():
        found["link"].pop(name)
    for shown in found["diff"]:
        shown["after"] = shown["after"].partition("mtime")[0]
    return dict(found)


@pytest.mark.parametrize(("validate", "kinds"), CHAINS)
def test_home_says_the_same_as_the_controller(
    launch: Callable[..., Any], tmp_path: Path, validate: list[str | None], kinds: list[str]
) -> None:
    """Of a chain that outlives its controller, with the hosts that had the file before, or could not have it."""
    found = []
    for way in ("attached", "detached"):
        folder = tmp_path / way
        folder.mkdir()
        plan = plan_of(folder, dict(zip(["d1", "d2", "d3"], validate)), "none")
        copies = copies_of(plan, folder)
        if way == "attached":
            copies.arrive(launch(plan).wait().verdict())
            found.append(comparable(copies.result(True), folder))
            continue
        detach(plan, folder, copies)
        launch(plan).wait()
        ends_module.eventually(partial(finished, plan, folder), "it does not end")
        result = kept(plan, folder)
        assert (result["run"], result["ansible_job_id"], result["peer"]) == (plan.run, plan.run, "host-source")
        found.append(comparable(result, folder))
    assert found[0] == found[1]
    told = {name: (each["cause"] or {}).get("kind", "") for name, each in found[1]["hosts"].items()}
    assert told == {"host-same": "", "host-gone": "unreachable", **dict(zip(["host-d1", "host-d2", "host-d3"], kinds))}


def test_a_job_whose_keeper_was_killed_says_what_may_be_there(tmp_path: Path) -> None:
    """On hosts to which the file was on its way; of the others it is known.  With no_log, no message has a path."""
    for hidden in (False, True):
        folder = tmp_path / str(hidden)
        folder.mkdir()
        plan = plan_of(folder, dict.fromkeys(["d1", "d2"]), "none")
        detach(plan, folder, copies_of(plan, folder))
        told: Any = plan.for_end("home")
        told["job"]["no_log"] = hidden
        home = Home(told, told["job"])
        assert isinstance(home.plan, ChainPlan) and home.prepare() is None
        home.last_word("killed")
        result = kept(plan, folder)
        told_of = {name: (each["ok"], each["changed"]) for name, each in result["hosts"].items()}
        moved = dict.fromkeys(["host-d1", "host-d2"], (False, True))
        assert told_of == {"host-same": (True, False), "host-gone": (False, False), **moved}
        assert (result["run"], result["changed"], result["failed"]) == (plan.run, True, True)
        assert (result["cause"]["kind"], result["cause"]["host"]) == ("end", "host-home")
        assert (str(folder) in json.dumps(result)) is not hidden
        if not hidden:
            assert result["msg"].endswith("host-d1 (end), host-d2 (end): on host-home: killed")
            assert result["hosts"]["host-d2"]["cause"]["msg"] == (
                f"on host-home: killed. {folder}/d2/dest may have been replaced: it is the old or the new file, "
                "and complete"
            )


# -- the controller


ENDS = ["d1", "d2", "d3", "d4"]
HOSTS = {"source": "h0", "d1": "h1", "d2": "h2", "d3": "h3", "d4": "h4"}


def verdict_of(cause: dict[str, Any]) -> Any:
    ends = ["source", *ENDS]
    links = [{"id": f"{one} → {other}", "writer": one, "reader": other} for one, other in zip(ends, ends[1:])]
    return SimpleNamespace(cause=cause, hosts=HOSTS, stages={}, started=True, plan=SimpleNamespace(links=links))


@pytest.mark.parametrize(("cause", "stopped", "expected"), [
    ({"kind": "failed", "host": "h3"}, ["d3", "d4"], {"d3": ("failed", "h3"), "d4": ("stopped", "h3")}),
    ({"kind": "dead peer", "host": "h2", "link": "d2 → d3"}, ["d3", "d4"],
     {"d3": ("dead peer", "h2"), "d4": ("stopped", "h3")}),
    ({"kind": "changed", "host": "h0"}, ["d1", "d2"], {"d1": ("stopped", "h0"), "d2": ("stopped", "h0")}),
    ({"kind": "stalled", "host": "h0", "link": "source → d1"}, ["d1", "d2"],
     {"d1": ("stalled", "h0"), "d2": ("stopped", "h1")}),
])  # fmt: skip
def test_who_is_to_blame(cause: dict[str, Any], stopped: list[str], expected: dict[str, Any]) -> None:
    cause["msg"] = "why"
    found: dict[str, Any] = {end: Failure("stopped", ". And more", started=True) for end in stopped}
    found["d9"] = Failure("no room", "full", "h9")
    chained.blame(verdict_of(cause), cast(Any, cause), found)
    assert (found.pop("d9").kind, {end: (each.kind, each.host) for end, each in found.items()}) == ("no room", expected)
    for each in found.values():
        text = f"the file did not arrive, because {each.host} failed" if each.kind == "stopped" else "why"
        assert (each.msg, each.started) == (text + ". And more", True)


def test_nobody_is_to_blame_if_the_job_was_stopped() -> None:
    """Though home is also one of the hosts; and that is said before what else has failed."""
    cause: Any = {"kind": "stopped", "host": "h2", "msg": "on h2: the job was stopped"}
    copies = Copies({end: Copy(HOSTS[end]) for end in ENDS}, {"src": "/source"})
    for each in copies.hosts.values():
        each.looked({"do": "move", "path": "/dest", "current": None, "after": None})
    copies.hosts["d1"].do = ""
    copies.hosts["d1"].fail(Failure("no room", "full", "h1"))
    verdict = verdict_of(cause)
    links = [{**each, "source": each["writer"], "destination": each["reader"]} for each in verdict.plan.links]
    verdict.plan.links = links[1:]
    said = json.dumps({"problem": {"kind": "failed", "msg": "ended by SIGTERM"}})
    verdict.stages = {end: {"rc": 1, "signal": None, "stderr": said, "blame": ["a link"]} for end in ENDS[1:]}
    verdict.reports = {end: {"cancelled": {"kind": "controller"}} for end in ENDS}
    copies.arrive(verdict)
    result = copies.failed()
    assert {name: (each["cause"]["kind"], each["cause"]["msg"]) for name, each in result["hosts"].items()} == {
        "h1": ("no room", "full"),
        **dict.fromkeys(["h2", "h3", "h4"], ("stopped", cause["msg"])),
    }
    assert (result["cause"], result["changed"]) == ({"kind": "stopped", "host": "h2", "msg": cause["msg"]}, False)
    assert result["msg"].endswith(f"h4 (stopped): {cause['msg']}")


@pytest.mark.parametrize(("count", "sentence"), [
    (2, "h0 (no room), h1 (no room)"),
    (5, "h0 (no room), h1 (no room), h2 (no room), h3 (no room), h4 (no room)"),
    (300, "h0 (no room), h1 (no room), h2 (no room), h3 (no room), h4 (no room) and 295 more"),
])  # fmt: skip
def test_a_message_names_five_hosts_at_most(count: int, sentence: str) -> None:
    assert chained.named({f"h{number}": Failure("no room", "full") for number in range(count)}) == sentence


def test_a_result_of_many_hosts_is_small() -> None:
    """Below 200 KB, though an event of ansible-runner has it twice."""
    names = [f"host{number}" for number in range(300)]
    many = Copies({name: Copy(name) for name in names}, {"src": "/source"})
    for each in many.hosts.values():
        each.fail(Failure("unreachable", 'no "end" could be started: ' + "x" * 4000, each.name))
    result = many.failed()
    assert len(json.dumps(json.dumps(result))) + len(json.dumps(result)) < 200_000
    assert result["msg"].startswith("300 of 300 hosts failed, host0 (unreachable), ")
    assert result["cause"]["msg"] == 'no "end" could be started: ' + "x" * 4000
    assert result["hosts"]["host299"]["cause"]["msg"].startswith('no "end" could')


@pytest.mark.parametrize(("end", "expected"), [("source", ["source", *ENDS]), ("d1", ENDS), ("d3", ["d3", "d4"])])
def test_which_ends_a_failure_stops(end: str, expected: list[str]) -> None:
    plan = ChainPlan({})
    for each in ["source", *ENDS]:
        plan.add_end(each)
    restored = ChainPlan.restored(json.loads(json.dumps(plan.account())))
    assert plan.depending(end) == restored.depending(end) == set(expected)


def test_who_notices_a_stall_first() -> None:
    plan = ChainPlan({"stall_timeout": 60})
    plan.links = [cast(Any, {"index": number, "destination": "d"}) for number in range(3)]
    assert [plan.stall_timeout(link) for link in plan.links] == [70, 65, 60]
    plan.options = {}
    assert [plan.stall_timeout(link) for link in plan.links] == [0, 0, 0]


def test_what_both_sides_know() -> None:
    assert _transfer_chain.NEXT == chain.NEXT
    assert chain.CONTROL == fan.CONTROL


@pytest.mark.parametrize(("state", "at", "ended", "changed"), [
    ("reset", 1.0, 2.0, False),
    ("aborted", 1.0, 2.0, False),
    ("reset", 2.0, 1.0, True),
    ("done", 1.0, 2.0, True),
    ("reset", None, 2.0, True),
])  # fmt: skip
def test_whether_a_killed_host_may_have_replaced_the_file(
    state: str, at: float | None, ended: float, changed: bool
) -> None:
    """Not if the one before it went on without it: it never got an end of file."""
    stages = {"d1": {"rc": 0, "ended_at": ended}, "d2": {"rc": None, "signal": 9}}
    sides = {("1", "W"): {"state": state, "ended_at": at}}
    verdict: Any = SimpleNamespace(stages=stages, sides=sides, started=True)
    link: Any = {"id": "1", "source": "d1", "destination": "d2"}
    failure = transferred.after_failure(verdict, Failure("failed", "why", "h2"), "/to", link)
    assert failure.started is changed
