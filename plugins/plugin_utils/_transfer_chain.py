# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer from one host to many: the looks at all of them, and the move along a chain."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure, failure_of
from ..module_utils._run.chained import ChainPlan
from ..module_utils._run.plan import Plan
from ..module_utils._run.transferred import DESTINATION, SOURCE
from ..module_utils._run.verdict import Verdict
from ._connections import HostError
from ._host_variables import ADDRESS, LISTEN
from ._hosts import Host, follow_variables, reach_one, same_machine
from ._program_run import SAMPLE, conclude, plan_of_one
from ._task_progress import progress_of
from ._task_run import TaskRun, encrypt
from ._transfer_run import ADVICE, Network, Transfer

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._run.launch import Launch
    from ..module_utils._run.records import Job

NEXT = 5  # the descriptor of the stream to the next host, as in _transfer/chain.py
HOME = "home"  # the end of the task's host, if that keeps the result
SET = f"set {ADDRESS} or {LISTEN} for one of them"
Found = Any  # an answer, or a Failure


class Apart(TaskRun):
    """A run of ends without links; the failure of one stops no other."""

    @staticmethod
    def patience(_launch: Launch, _others: list[Launch]) -> float:
        return float("inf")


@dataclasses.dataclass(frozen=True)
class Home:
    """The task's host, which keeps the result of a transfer that outlives its task, in an end of its own.

    It may also be the source or one of the destinations.  That is another end, perhaps of another user.
    """

    host: Host
    job: Job
    start: Callable[[Plan, dict[str, Host]], Any]  # returns the result of the task


class Chain(Transfer):
    """The source, and the hosts that get its file, in the order of the task; each is an end of its own."""

    def ask_each(self, command: str, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Found]:
        """Run the program on many hosts at the same time, without links; ``given``: the requests, by the end."""
        if not given:
            return {}
        stages = {end: self.stage(end, command, request) for end, request in given.items()}
        plan = Plan({})
        for end, stage in stages.items():
            plan.add_end(end, listen=False)
            plan.add_stage(end, stage)
        outcomes = Apart(plan, {end: self.hosts[end] for end in stages}).outcomes()
        found: dict[str, Found] = {}
        for end, stage in stages.items():
            verdict = Verdict(plan_of_one(end, stage), {end: outcomes[end]}, {end: self.hosts[end].name}, ADVICE)
            try:
                if verdict.cause:
                    raise failure_of(verdict, verdict.cause)
                found[end] = self.parsed(verdict, end, command)
            except Failure as exc:
                exc.started = exc.started and command == "settle"  # a look changes nothing
                found[end] = exc
        return found

    def chained(self, network: Network, stages: Mapping[str, Command], home: Home | None = None) -> Plan:
        """The plan for these stages, each of which writes to the next; raises HostError."""
        plan = ChainPlan(network.options)
        hosts = {end: self.hosts[end] for end in stages}
        if home:
            plan.add_end(HOME)
            hosts[HOME] = home.host
        for end, stage in stages.items():
            sample = SAMPLE if network.progress and self.hosts[end].executor is None and not home else 0.0
            plan.add_end(end, sample=sample)
            plan.add_stage(end, stage)
        for writer, reader in itertools.pairwise(stages):
            plan.connect(writer, reader, 1 if writer == SOURCE else NEXT)
        encrypt(plan, network.encryption)
        if home:
            plan.detach(HOME, home.job)
        reach_along(plan, hosts, network)
        if home:
            reach_home(plan, hosts, network)
        return plan

    def planned(
        self,
        network: Network,
        send: Mapping[str, Any],
        receive: Mapping[str, Mapping[str, Any]],
        home: Home | None = None,
    ) -> Plan:
        """The plan that sends the file to these ends, {end: request}; raises HostError."""
        stages = {SOURCE: self.stage(SOURCE, "send", send)}
        last = [*receive][-1]
        for end, request in receive.items():
            stages[end] = self.stage(end, "receive-along", {**request, "next": end != last})
            stages[end]["blocks"] = True  # it reads all that it asks for, and does not poll
            if end != last:
                stages[end]["fan"] = {"required": 0, "leaving": []}  # it goes on without the next host
        plan = self.chained(network, stages, home)
        plan.expected = send["source"]["size"]
        return plan

    def move_along(self, network: Network, plan: Plan, name: str) -> Verdict:
        """``name``: for progress lines."""
        progress = progress_of(plan, name, network.progress, network.quiet)
        return conclude(plan, self.hosts_of(plan), progress, ADVICE)

    def hosts_of(self, plan: Plan, home: Home | None = None) -> dict[str, Host]:
        """The hosts of the ends of a plan."""
        known = {**self.hosts, HOME: home.host} if home else self.hosts
        return {end: known[end] for end in plan.ends}


def reach_along(plan: Plan, hosts: Mapping[str, Host], network: Network) -> None:
    """Put the addresses to dial into the plan of a chain; raises HostError.

    The variables of the hosts say who listens, and where.  The task's options are for its first link.
    """
    follow_variables(plan, hosts)
    first = plan.links[0]["reader"]
    if SOURCE not in network.listen:
        plan.ends[SOURCE]["listen"] = False
        plan.ends[first]["listen"] = True
    elif DESTINATION not in network.listen:
        plan.ends[SOURCE]["listen"] = True
    for link in plan.links:
        pairs = [(link["writer"], link["reader"]), (link["reader"], link["writer"])]
        if DESTINATION not in network.listen and link["writer"] == SOURCE:
            pairs = [(first, SOURCE)]
        reach_any(plan, hosts, pairs, network)


def reach_home(plan: Plan, hosts: Mapping[str, Host], network: Network) -> None:
    """The same for the control connections; raises HostError.

    An end on the task's host always reaches home, even if no other host can dial that.
    """
    home = hosts[HOME]
    near = {end for end, host in hosts.items() if end != HOME and same_machine(host, home)}
    dialled = plan.ends[HOME]["listen"]
    plan.ends[HOME]["listen"] = dialled or bool(near)
    for end in [end for end in hosts if end != HOME]:
        pairs = [(HOME, end)]
        if dialled or end in near:
            pairs.append((end, HOME))
        reach_any(plan, hosts, pairs, network)


def reach_any(plan: Plan, hosts: Mapping[str, Host], pairs: list[tuple[str, str]], network: Network) -> None:
    """Raises HostError if no end of these pairs can dial the other."""
    possible = [reach_one(plan, hosts, pair, SOURCE, network.address) for pair in pairs]
    if not any(possible):
        names = " and ".join(hosts[end].name for end in pairs[0])
        raise HostError(f"neither of {names} listens at an address that the other could dial: {SET}")
