# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer between two hosts: the look at both, and the move with the engine of pipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure, answer_of, failure_of
from ..module_utils._run.plan import Plan
from ..module_utils._run.report import Misfit, each, optional, record
from ..module_utils._run.result import link_result
from ..module_utils._run.transferred import DESTINATION, FACTS, MOVED, SOURCE, after_failure, moment, path
from ..module_utils._run.verdict import Verdict
from ._hosts import Host, reach
from ._program_run import conclude, execute, pack, plan_of_one, plan_of_two, program_stage
from ._tape_answers import count, text, with_optional
from ._task_progress import progress_of
from ._task_run import encrypt

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._run.records import Advice, LinkResult, Options

ENTRY = "from socketpipe._transfer.main import main\n\nraise SystemExit(main())\n"
# made once, when Ansible's main process loads the action, for all workers
PROGRAM = pack(ENTRY, ["_tape/common", "_transfer"], top="socketpipe")
SHOWN = "transfer"
ADVICE: Advice = {
    "timeout": "connect_timeout",
    "stalled": "stall_timeout",
    "not_connected": "Try address (addresses to dial), ports (ports that a firewall allows) or listen (which host "
    "listens), or test the network with preflight of pipe.",
}


def of_kind(kinds: Mapping[str, Callable[[Any, str], Any]]) -> Callable[[Any, str], Any]:
    """A record whose field ``kind`` tells which one it is."""

    def parse(value: Any, where: str) -> Any:
        kind = str(value.get("kind")) if isinstance(value, dict) else ""
        if kind not in kinds:
            raise Misfit(where)
        return kinds[kind](value, where)

    return parse


WANTED = {"uid": optional(count), "gid": optional(count), "mode": count}
PART = record({**dict.fromkeys(("size", "inode", "device", "allocated"), count), "mtime": moment, "path": path})
DO = ("nothing", "settle", "move")
ANSWERS = {
    "look-source": of_kind(
        {
            "file": record({**FACTS, "kind": text, "path": path, "sha256": optional(text)}),
            "directory": record({"kind": text, "path": path, "device": count, "inode": count, "archiver": text}),
        }
    ),
    "look-tree": record(
        {
            "path": path,
            "folder": path,
            "make": each(path, 2),
            "identity": record({"device": count, "inode": count}),
            "archiver": text,
        }
    ),
    "look-destination": record(
        {
            "path": path,
            "folder": record({"device": count, "inode": count}),
            "do": lambda value, where: DO[DO.index(value)],
            "current": optional(with_optional(FACTS, {"sha256": text})),
            "wanted": record(WANTED),
            "part": optional(PART),
            "refused": text,
            "after": record({**WANTED, "size": count, "mtime": moment, "owner": text, "group": text}),
        }
    ),
    "checksum": record({"sha256": text}),
    **MOVED,
    "settle": record({**FACTS, "backup": path}),
}


@dataclasses.dataclass(frozen=True)
class Network:
    """The settings of the link; ``dialled``: the side that ``address`` is for."""

    options: Options
    listen: list[str]  # sides
    dialled: str
    address: list[str]
    encryption: str
    progress: int
    quiet: int


@dataclasses.dataclass(frozen=True)
class Moved:
    answer: Any
    link: LinkResult
    run: str


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Two hosts; ``environments``: for the commands of each."""

    hosts: Mapping[str, Host]
    environments: Mapping[str, Mapping[str, str]]

    def stage(self, side: str, command: str, given: Mapping[str, Any]) -> Command:
        request = {"words": [command], "settings": {}, "input": given}
        return program_stage(side, SHOWN, PROGRAM, request, self.environments[side])

    def ask(self, side: str, command: str, given: Mapping[str, Any]) -> Any:
        """Run the program on one host, without a link; returns its answer; raises Failure."""
        try:
            return self.parsed(self.execute(side, command, given), side, command)
        except Failure as exc:
            exc.started = exc.started and command == "settle"  # a look changes nothing
            raise

    def ask_both(self, command: str, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Run it on both hosts at the same time, without a link; returns {side: its answer}; raises Failure."""
        plan = Plan({})
        for side in self.hosts:
            plan.add_end(side, listen=False)
            plan.add_stage(side, self.stage(side, command, given[side]))
        try:
            verdict = execute(plan, dict(self.hosts), None, ADVICE)
            return {side: self.parsed(verdict, side, command) for side in self.hosts}
        except Failure as exc:
            exc.started = False
            raise

    def execute(self, side: str, command: str, given: Mapping[str, Any]) -> Verdict:
        plan = plan_of_one(side, self.stage(side, command, given))
        return execute(plan, {side: self.hosts[side]}, None, ADVICE)

    def parsed(self, verdict: Verdict, side: str, command: str) -> Any:
        return answer_of(verdict, side, self.hosts[side].name, lambda found: ANSWERS[command](found, command))

    def plan(self, network: Network, stages: dict[str, Command]) -> Plan:
        """Raises HostError."""
        plan = plan_of_two(network.options, self.hosts, stages.items(), network.listen, bool(network.progress))
        encrypt(plan, network.encryption)
        reach(plan, dict(self.hosts), network.dialled, network.address)
        return plan

    def move(self, network: Network, send: Mapping[str, Any], receive: Mapping[str, Any], name: str) -> Moved:
        """Send the file; raises Failure, whose ``started`` tells if the destination may be replaced, and HostError."""
        size = send["source"]["size"] - send["start"]
        verdict = self.carry(network, self.stage(SOURCE, "send", send), ("receive", receive), name, size)
        if verdict.cause:
            raise after_failure(verdict, failure_of(verdict, verdict.cause), receive["path"], verdict.plan.links[0])
        return self.moved(verdict, "receive")

    def joined(
        self, network: Network, sender: Command, receive: tuple[str, Mapping[str, Any]], size: int | None
    ) -> Plan:
        """The plan of ``carry``."""
        sink = self.stage(DESTINATION, *receive)
        sink["blocks"] = True  # it reads all that it asks for, and does not poll
        plan = self.plan(network, {SOURCE: sender, DESTINATION: sink})
        plan.expected = size
        return plan

    def carry(
        self,
        network: Network,
        sender: Command,
        receive: tuple[str, Mapping[str, Any]],
        name: str,
        size: int | None = None,
    ) -> Verdict:
        """Run the two stages, joined by a link; ``receive``: a command and its request; raises HostError.

        ``size``: the bytes to come, if they are known.
        """
        plan = self.joined(network, sender, receive, size)
        progress = progress_of(plan, name, network.progress, network.quiet)
        return conclude(plan, dict(self.hosts), progress, ADVICE)

    def moved(self, verdict: Verdict, command: str) -> Moved:
        """Of a success; raises Failure."""
        names = {side: host.name for side, host in self.hosts.items()}
        plan = verdict.plan
        link = link_result(plan.links[0], names, verdict, plan.options.get("rate_limit", 0))
        return Moved(self.parsed(verdict, DESTINATION, command), link, plan.run)
