# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the programs of the tape modules with the engine of pipe: a request in, an answer or a Failure out.

The two programs are packages of module_utils/_tape, sent as zip archives that Python runs.  Packing adds an entry that
imports the main module of the program, because Galaxy refuses files with the name __main__.py.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import json
import os
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.utils.display import Display

from ..module_utils._end.spawn import PROGRAM_PATH
from ..module_utils._end.stage import KEPT_MOST
from ..module_utils._run import bootstrap, sentences
from ..module_utils._run.plan import Plan
from ..module_utils._run.progress import Progress
from ..module_utils._run.report import Misfit
from ..module_utils._run.result import link_result
from ..module_utils._run.verdict import Verdict
from ..module_utils._run.words import printable
from ._connections import NO_ADDRESS, HostError
from ._hosts import Host, reach
from ._script import MAIN, add_member, members, read_file
from ._tape_answers import ANSWERS
from ._task_run import TaskRun, encrypt

if TYPE_CHECKING:
    from ..module_utils._end.records import Command, Sample
    from ..module_utils._run.records import Advice, Cause, LinkResult, Options

TOP = "_tape"
MODULE_UTILS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils")
ARCHIVER, TAPE_HOST = "archiver", "host"  # the programs, by the names of their packages; both use common
ENTRY = "from _tape.%s.main import main\n\nraise SystemExit(main())\n"
REQUEST = "request.json"
ANSWER_MOST = 64 * 1024 * 1024  # bytes of an answer, unpacked
LIMIT = "tape_rate_limit"  # the option that sets the rate limit, for messages
SAMPLE = 1.0  # seconds between samples of an end for progress lines
PROGRESS = 30  # seconds until the first progress line
# names of the stages in messages, because users do not know the programs
HOST, TAPE = "the host", "the tape"
SHOWN = {ARCHIVER: "archiver", TAPE_HOST: "tape host"}
ADVICE: Advice = {
    "timeout": "tape_connect_timeout",
    "stalled": "tape_stall_timeout",
    "not_connected": "Try tape_address (addresses to dial), tape_ports (ports that a firewall allows) or tape_listen "
    "(which host listens).",
}

display = Display()


def pack(program: str) -> bytes:
    """The archive of a program; the same files give the same bytes; raises OSError."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        add_member(archive, MAIN, (ENTRY % program).encode("ascii"))
        add_member(archive, TOP + "/", b"")
        for room in ("common", program):
            add_member(archive, f"{TOP}/{room}/", b"")
            for name in members(os.path.join(MODULE_UTILS, TOP, room)):
                content = b"" if name.endswith("/") else read_file(os.path.join(MODULE_UTILS, TOP, room, name))
                add_member(archive, f"{TOP}/{room}/{name}", content)
    return data.getvalue()


# made once, when Ansible's main process loads an action, for all workers
PROGRAMS = {program: pack(program) for program in (ARCHIVER, TAPE_HOST)}


def with_request(program: str, request: Mapping[str, Any]) -> bytes:
    """A program with its request, which can have any length and does not show in a list of processes."""
    data = io.BytesIO(PROGRAMS[program])
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(REQUEST, json.dumps(request, default=str))
    return data.getvalue()


class Failure(Exception):
    """A failure; callers decide by ``kind``; ``started``: a stage has run and may have changed something.

    ``named``: the text is what a program on ``host`` says, so the message begins with the name of that host.
    """

    def __init__(self, kind: str, text: str, host: str = "", started: bool = False, named: bool = False):
        super().__init__(text)
        self.kind, self.text, self.host, self.started, self.named = kind, text, host, started, named

    @property
    def msg(self) -> str:
        return f"{self.host}: {self.text}" if self.named else self.text

    def __str__(self) -> str:
        return self.msg

    def note(self, host: str) -> str:
        """The message for a table, in the row of this host."""
        return self.text if self.host == host else self.msg


@dataclasses.dataclass(frozen=True)
class Network:
    """The options of the connection between two hosts."""

    ports: list[int]
    listen: str  # auto, peer (the tape host) or remote (the other)
    address: list[str]
    connect_timeout: int
    rate_limit: int = 0
    stall_timeout: int = 0
    encryption: str = "none"
    no_address: str = "set tape_address"  # what to try if neither host has an address

    def options(self) -> Options:
        return {
            "ports": self.ports,
            "connect_timeout": self.connect_timeout,
            "rate_limit": self.rate_limit,
            "stall_timeout": self.stall_timeout,
            "dead_peer": 120,
        }


@dataclasses.dataclass(frozen=True)
class Request:
    """A request to a program; it can have any length and does not show in a list of processes."""

    program: str
    words: list[str]
    settings: Mapping[str, Any]
    given: Mapping[str, Any] | None = None

    def stage(self, name: str, environment: Mapping[str, str] | None = None) -> Command:
        controller = {"time": time.time(), "boot": boot()}
        request = {"words": self.words, "settings": self.settings, "input": self.given, "controller": controller}
        return {
            **command(name, [SHOWN[self.program]], environment),
            "launcher": [None, "-I", PROGRAM_PATH],
            "program": bootstrap.as_text(with_request(self.program, request)),
            "keep": KEPT_MOST,
            "blocks": self.words[0] == "sink",  # its dd or mbuffer needs whole blocks and does not poll
        }


def boot() -> str:
    """What tells this machine from the tape host, where the clocks are compared; "" if it is no Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def command(name: str, argv: list[str], environment: Mapping[str, str] | None = None) -> Command:
    """A stage that runs a command installed on the host."""
    return {"name": name, "argv": argv, "ok_rc": [0], "early_exit": False, "environment": dict(environment or {})}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A successful run: the answer of the last stage, and the figures of the link."""

    answer: Any  # a record of _tape_records
    link: LinkResult


def ask(host: Host, request: Request) -> Any:
    """Run one program on one host, without a link; only Ansible's connection is used.  Returns its answer."""
    plan = Plan({})
    plan.add_end("alone", listen=False)
    plan.add_stage("alone", request.stage(TAPE if request.program == TAPE_HOST else HOST))
    verdict = execute(plan, {"alone": host}, None)
    return answer_of(verdict, plan.ends["alone"]["stages"][0]["name"], host.name, request.words[0])


def stream(
    source: tuple[Host, Command],
    sink: tuple[Host, Command],
    network: Network,
    tape_side: str,
    subcommand: str,
    progress_of: str = "",
) -> Outcome:
    """Stream from a stage on one host to a stage on another, over one link; raises Failure.

    ``tape_side``: "source" or "sink", the side of the tape host; ``subcommand``: that of the sink, which answers;
    ``progress_of``: the name in progress lines, "" for none.
    """
    other = "sink" if tape_side == "source" else "source"
    dialled = other if network.listen == "remote" else tape_side
    plan = Plan(network.options())
    hosts = {"source": source[0], "sink": sink[0]}
    for side, host in hosts.items():
        # an exec returns its output only at its end
        sample = SAMPLE if progress_of and host.executor is None else 0.0
        plan.add_end(side, listen=network.listen == "auto" or side == dialled, sample=sample)
    plan.chain([("source", source[1]), ("sink", sink[1])])
    encrypt(plan, network.encryption)
    try:
        reach(plan, hosts, dialled, network.address)
    except HostError as exc:
        advice = f": {network.no_address}" if exc.kind == NO_ADDRESS else ""
        raise Failure("settings", f"{exc}{advice}") from None
    progress = Progress(progress_of, PROGRESS, plan.neighbours(), network.rate_limit, LIMIT) if progress_of else None
    verdict = execute(plan, hosts, progress)
    names = {end: host.name for end, host in hosts.items()}
    link = link_result(plan.links[0], names, verdict, network.rate_limit, LIMIT)
    return Outcome(answer_of(verdict, sink[1]["name"], sink[0].name, subcommand), link)


def execute(plan: Plan, hosts: dict[str, Host], progress: Progress | None) -> Verdict:
    """Run a plan; raises Failure."""

    def show(sample: Sample) -> None:
        for line in progress.feed(sample["sample"], sample["at"]) if progress else ():
            display.display(line)

    names = {end: host.name for end, host in hosts.items()}
    verdict = Verdict(plan, TaskRun(plan, hosts, show).outcomes(), names, ADVICE)
    for report in verdict.reports.values():
        for warning in report.get("warnings", ()):
            display.warning(sentences.warning(warning))
    if verdict.cause:
        raise failure_of(verdict, verdict.cause)
    return verdict


def failure_of(verdict: Verdict, cause: Cause) -> Failure:
    """The problem that the program reported, or else the cause that the engine found."""
    stage = verdict.stages.get(cause.get("stage", ""))
    said = stage["stderr"] or "" if stage else ""
    try:
        problem = json.loads(said.rstrip("\n").rpartition("\n")[2])["problem"]
        kind, text = str(problem["kind"]), printable(str(problem["msg"]))
    except (ValueError, KeyError, TypeError):
        return Failure(cause["kind"], cause["msg"], cause["host"], verdict.started)
    return Failure(kind, text, cause["host"], verdict.started, named=True)


def answer_of(verdict: Verdict, stage: str, host: str, subcommand: str) -> Any:
    """The answer of a program; raises Failure if it is missing or invalid, because a host may send anything."""
    text = verdict.stages[stage]["stdout"]
    place = ""
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text.strip(), validate=True), ANSWER_MOST)
        return ANSWERS[subcommand](json.loads(data), subcommand)
    except Misfit as exc:
        place = f"invalid value in {printable(str(exc))}, "
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        pass
    raise Failure("answer", f"invalid answer ({place}{len(text)} bytes)", host, True, named=True)
