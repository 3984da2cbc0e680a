# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer from one host to many: the looks at all of them, and the move along a chain."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure, failure_of, reported
from ..module_utils._run.disagreement import link_cause
from ..module_utils._run.plan import LATER_STALL, Plan
from ..module_utils._run.result import link_result
from ..module_utils._run.transferred import DESTINATION, REPLACED, SOURCE, after_failure
from ..module_utils._run.verdict import Verdict
from ._connections import HostError
from ._host_variables import ADDRESS, LISTEN
from ._hosts import Host, follow_variables, reach_one
from ._program_run import SAMPLE, conclude, plan_of_one
from ._task_progress import progress_of
from ._task_run import TaskRun, encrypt
from ._transfer_run import ADVICE, STOPPED, Moved, Network, Transfer

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._run.launch import Launch
    from ..module_utils._run.records import Cause, Joint

NEXT = 5  # the descriptor of the stream to the next host, as in _transfer/chain.py
NOT_ARRIVED = "the file did not arrive, because %s failed"
SET = f"set {ADDRESS} or {LISTEN} for one of them"
Found = Any  # an answer, or a Failure


class Apart(TaskRun):
    """A run of ends without links; the failure of one stops no other."""

    @staticmethod
    def patience(_launch: Launch, _others: list[Launch]) -> float:
        return float("inf")


class Along(TaskRun):
    """A run along a chain; the failure of an end stops those behind it, not those before it."""

    def depending(self, end: str) -> set[str]:
        ends = [*self.plan.ends]
        return {*ends[ends.index(end) :]}


class ChainPlan(Plan):
    """A plan in which each host notices a stall later than those behind it, and so drops them rather than stops."""

    def stall_timeout(self, link: Joint) -> int:
        seconds: int = super().stall_timeout(link)
        return seconds + LATER_STALL * (len(self.links) - 1 - link["index"]) if seconds else 0


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

    def chained(self, network: Network, stages: Mapping[str, Command]) -> Plan:
        """The plan for these stages, each of which writes to the next; raises HostError."""
        plan = ChainPlan(network.options)
        for end, stage in stages.items():
            sample = SAMPLE if network.progress and self.hosts[end].executor is None else 0.0
            plan.add_end(end, sample=sample)
            plan.add_stage(end, stage)
        for writer, reader in itertools.pairwise(stages):
            plan.connect(writer, reader, 1 if writer == SOURCE else NEXT)
        encrypt(plan, network.encryption)
        reach_along(plan, {end: self.hosts[end] for end in stages}, network)
        return plan

    def move_along(
        self, network: Network, send: Mapping[str, Any], receive: Mapping[str, Mapping[str, Any]], name: str
    ) -> tuple[dict[str, Found], Failure | None]:
        """Send the file to these ends, {end: request}; raises HostError.

        Returns the results, see there, and the first failure of all.
        """
        stages = {SOURCE: self.stage(SOURCE, "send", send)}
        last = [*receive][-1]
        for end, request in receive.items():
            stages[end] = self.stage(end, "receive-along", {**request, "next": end != last})
            stages[end]["blocks"] = True  # it reads all that it asks for, and does not poll
            if end != last:
                stages[end]["fan"] = {"required": 0, "leaving": []}  # it goes on without the next host
        plan = self.chained(network, stages)
        hosts = {end: self.hosts[end] for end in stages}
        plan.expected = send["source"]["size"]
        progress = progress_of(plan, name, network.progress, network.quiet)
        verdict = conclude(plan, hosts, progress, ADVICE, Along)
        found = self.results(verdict, {end: request["path"] for end, request in receive.items()})
        return found, failure_of(verdict, verdict.cause) if verdict.cause else None

    def results(self, verdict: Verdict, paths: Mapping[str, str]) -> dict[str, Found]:
        """What came of each end, a Moved or a Failure."""
        found: dict[str, Found] = {}
        for link in verdict.plan.links:
            try:
                found[link["reader"]] = self.arrived(verdict, link, paths[link["reader"]])
            except Failure as exc:
                found[link["reader"]] = exc
        if verdict.cause:
            blame(verdict, verdict.cause, found)
        return found

    def arrived(self, verdict: Verdict, link: Joint, dest: str) -> Moved:
        """The file at the reader of this link; raises Failure, of the kind STOPPED if others may be the cause."""
        end = link["reader"]
        host, stage = self.hosts[end].name, verdict.stages.get(end)
        if stage is None or stage["rc"] != 0:
            kind, text = reported(stage) if stage else ("", "")
            lost = Failure(STOPPED, "") if kind in ("", STOPPED) else Failure(kind, text, host, named=True)
            raise after_failure(verdict, lost, dest, link)
        try:
            answer = self.parsed(verdict, end, "receive-along")
            disagreement = link_cause(verdict, link)
            if disagreement:
                raise Failure(disagreement["kind"], disagreement["msg"], disagreement["host"])
        except Failure as exc:
            raise after_failure(verdict, exc, dest, link) from None
        problem = answer["problem"]
        if problem or not answer["file"]:
            kind, text = (problem["kind"], problem["msg"]) if problem else ("answer", "invalid answer")
            raise Failure(kind, text, host, kind == REPLACED, named=True)
        names = {each: found.name for each, found in self.hosts.items()}
        limit = verdict.plan.options.get("rate_limit", 0)
        return Moved(answer["file"], link_result(link, names, verdict, limit), verdict.plan.run)


def blame(verdict: Verdict, cause: Cause, found: dict[str, Found]) -> None:
    """Give the cause of the run to the host that failed first, and name that host for those that only stopped."""
    failure = failure_of(verdict, cause)
    stopped = {end: each for end, each in found.items() if isinstance(each, Failure) and each.kind == STOPPED}
    culprit = culprit_of(verdict, cause, [*stopped])
    who = verdict.hosts[culprit] if culprit else cause["host"]
    for end, each in stopped.items():
        if end == culprit:
            text = failure.text + each.text
            found[end] = Failure(failure.kind, text, failure.host, each.started, failure.named)
        else:
            found[end] = Failure(STOPPED, NOT_ARRIVED % who + each.text, who, each.started)


def culprit_of(verdict: Verdict, cause: Cause, stopped: list[str]) -> str:
    """Which of these ends the cause is about: its host, or the one that reads its link; "" for none."""
    for link in verdict.plan.links:
        if link["id"] == cause.get("link"):
            return link["reader"] if link["reader"] in stopped else ""
    return next((end for end in stopped if verdict.hosts[end] == cause["host"]), "")


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
        pairs = [*itertools.permutations((link["writer"], link["reader"]))]
        if DESTINATION not in network.listen and link["writer"] == SOURCE:
            pairs = [(first, SOURCE)]
        possible = [reach_one(plan, hosts, pair, SOURCE, network.address) for pair in pairs]
        if not any(possible):
            names = f"{hosts[link['writer']].name} and {hosts[link['reader']].name}"
            raise HostError(f"neither of {names} listens at an address that the other could dial: {SET}")
