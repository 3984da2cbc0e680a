# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the programs of the tape modules, two packages of module_utils/_tape, with the engine of pipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..module_utils._run import answers
from ..module_utils._run.answers import Failure
from ..module_utils._run.result import link_result
from ..module_utils._run.verdict import Verdict
from . import _program_run
from ._connections import NO_ADDRESS, HostError
from ._hosts import Host, reach
from ._program_run import SAMPLE, execute, plan_of_one, plan_of_two, program_stage
from ._tape_answers import ANSWERS
from ._task_progress import progress_of
from ._task_run import encrypt

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._run.plan import Plan
    from ..module_utils._run.progress import Progress
    from ..module_utils._run.records import Advice, LinkResult, Options

ARCHIVER, TAPE_HOST = "archiver", "host"  # the programs, by the names of their packages; both use common
ENTRY = "from _tape.%s.main import main\n\nraise SystemExit(main())\n"
LIMIT = "tape_rate_limit"  # the option that sets the rate limit, for messages
PROGRESS = 30  # seconds until the first progress line
# names of the stages in messages, because users do not know the programs
HOST, TAPE = "the host", "the tape"
TAR = "tar"  # the first stage on a host whose archive passes through filters
HOOKED = ("create", "dump")  # subcommands that run the commands around an archive
SPARE = 10.0  # seconds for the program that runs one of them
SHOWN = {ARCHIVER: "archiver", TAPE_HOST: "tape host"}
ADVICE: Advice = {
    "timeout": "tape_connect_timeout",
    "stalled": "tape_stall_timeout",
    "not_connected": "Try tape_address (addresses to dial), tape_ports (ports that a firewall allows) or tape_listen "
    "(which host listens).",
}


def pack(program: str) -> bytes:
    """The archive of a program; raises OSError."""
    return _program_run.pack(ENTRY % program, [f"_tape/{room}" for room in ("common", program)])


# made once, when Ansible's main process loads an action, for all workers
PROGRAMS = {program: pack(program) for program in (ARCHIVER, TAPE_HOST)}


def with_request(program: str, request: Mapping[str, Any]) -> bytes:
    return _program_run.with_request(PROGRAMS[program], request)


Stages = list[tuple[str, "Command"]]  # [(end, stage), …], each of which writes to the next


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
    tells: bool = True  # whether progress lines may have its words

    def stage(self, name: str, environment: Mapping[str, str] | None = None) -> Command:
        undone = bool(self.settings.get("after")) and self.words[0] in HOOKED
        settings = {**self.settings, "undone": undone} if self.program == ARCHIVER else self.settings
        request = {"words": self.words, "settings": settings, "input": self.given}
        stage: Command = {
            **program_stage(name, SHOWN[self.program], PROGRAMS[self.program], request, environment),
            "blocks": self.words[0] == "sink",  # its dd or mbuffer needs whole blocks and does not poll
        }
        if self.tells:
            stage["tells"] = True
        if undone:  # after a failure, when nothing else of it runs any more
            stage["afterwards"] = {"words": ["undo"], "limit": self.settings["hook_timeout"] + SPARE}
        return stage


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A successful run: the answer of the last stage, and the figures of the link."""

    answer: Any  # a record of _tape_records
    link: LinkResult


@dataclasses.dataclass(frozen=True)
class Pace:
    """The name with which progress lines begin, and how many seconds there may be none."""

    name: str
    quiet: int

    def of(self, plan: Plan) -> Progress:
        return progress_of(plan, self.name, PROGRESS, self.quiet, LIMIT)


def ask(host: Host, request: Request, pace: Pace | None = None) -> Any:
    """Run one program on one host, without a link; only Ansible's connection is used.  Returns its answer."""
    sample = SAMPLE if pace and host.executor is None else 0.0
    plan = plan_of_one("alone", request.stage(TAPE if request.program == TAPE_HOST else HOST), sample)
    verdict = execute(plan, {"alone": host}, pace.of(plan) if pace else None, ADVICE)
    return answer_of(verdict, plan.ends["alone"]["stages"][0]["name"], host.name, request.words[0])


def stream(
    source: tuple[Host, Command],
    sink: tuple[Host, Command],
    network: Network,
    tape_side: str,
    subcommand: str,
    pace: Pace | None = None,
    behind: Sequence[Command] = (),
    before: Sequence[Command] = (),
    expected: int | None = None,
) -> Outcome:
    """Stream from a stage on one host to a stage on another, over one link; raises Failure.

    ``tape_side``: "source" or "sink", the side of the tape host; ``subcommand``: that of the sink, which answers, ""
    for a command without an answer;
    ``behind``: stages after the source, on its host; ``before``: stages before the sink, on its host; ``expected``: the
    bytes between the hosts.
    """
    plan, hosts = joined(source, sink, network, tape_side, bool(pace), behind, before)
    plan.expected = expected
    verdict = execute(plan, hosts, pace.of(plan) if pace else None, ADVICE)
    names = {end: host.name for end, host in hosts.items()}
    link = link_result(plan.links[len(behind)], names, verdict, network.rate_limit, LIMIT)
    return Outcome(answer_of(verdict, sink[1]["name"], sink[0].name, subcommand) if subcommand else None, link)


def joined(
    source: tuple[Host, Command],
    sink: tuple[Host, Command],
    network: Network,
    tape_side: str,
    progress: bool = False,
    behind: Sequence[Command] = (),
    before: Sequence[Command] = (),
    detach: Callable[[Plan], None] = lambda plan: None,
) -> tuple[Plan, dict[str, Host]]:
    """The plan of such a run, and its hosts; ``detach``: makes it outlive the task; raises Failure."""
    hosts = {"source": source[0], "sink": sink[0]}
    stages = [("source", stage) for stage in (source[1], *behind)] + [("sink", stage) for stage in (*before, sink[1])]
    return between(hosts, [stages], network, tape_side, progress, detach), hosts


def between(
    hosts: dict[str, Host],
    chains: Sequence[Stages],
    network: Network,
    tape_side: str,
    progress: bool = False,
    detach: Callable[[Plan], None] = lambda plan: None,
) -> Plan:
    """The plan of these chains between the ends "source" and "sink"; raises Failure."""
    dialled = end_named(network.listen, tape_side, "sink" if tape_side == "source" else "source")
    listen = hosts if network.listen == "auto" else [dialled]
    plan = plan_of_two(network.options(), hosts, chains[0], listen, progress)
    for chain in chains[1:]:
        plan.chain(chain)
    detach(plan)
    encrypt(plan, network.encryption)
    reached(plan, hosts, network, dialled)
    return plan


def end_named(listen: str, tape_end: str, other: str) -> str:
    """The end at the addresses that the task gives, which listens alone unless ``listen`` is auto."""
    return other if listen == "remote" else tape_end


def reached(plan: Plan, hosts: dict[str, Host], network: Network, dialled: str) -> None:
    """Put the addresses into a plan; raises Failure."""
    try:
        reach(plan, hosts, dialled, network.address)
    except HostError as exc:
        advice = f": {network.no_address}" if exc.kind == NO_ADDRESS else ""
        raise Failure("settings", f"{exc}{advice}") from None


def answer_of(verdict: Verdict, stage: str, host: str, subcommand: str) -> Any:
    """The answer of a program; raises Failure."""
    return answers.answer_of(verdict, stage, host, lambda found: ANSWERS[subcommand](found, subcommand))
