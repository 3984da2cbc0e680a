# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores and verifications that outlive their task, with async (see _task_job)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..module_utils._run.plan import Plan
from ._tape_run import ADVICE, LIMIT, PROGRESS, TAPE, Stages, between, end_named, reached
from ._task_job import async_dir, job_of, leave_result, run_job
from ._task_run import encrypt

if TYPE_CHECKING:
    from ..module_utils._run.records import AnyTapeJob, RestoreAsked
    from ._hosts import Host
    from ._tape_action import TapeAction
    from ._tape_records import TaskResult

TAPE_END, HOST_END = "source", "sink"  # ends of a restore; the task's host keeps the result
OWN_END, READ_END = "home", "tape"  # of a verification


def start_restore(
    action: TapeAction, chains: Sequence[Stages], sizes: Sequence[int], asked: RestoreAsked | None, result: TaskResult
) -> Any:
    """Start a restore of these archives, one after the other; returns the result for ansible-core; raises Failure.

    ``sizes``: bytes of each between the hosts; ``asked``: None if a command of the user reads the only archive;
    ``result``: as far as it is known before.
    """
    hosts = {TAPE_END: action.tape, HOST_END: action.own}
    firsts = [sum(len(each) - 1 for each in chains[:number]) for number in range(len(chains))]

    def detach(plan: Plan) -> None:
        plan.expected = sum(sizes)
        told: AnyTapeJob = {
            "does": "restore",
            "stages": [chain[-1][1]["name"] for chain in chains] if asked else [],
            "links": firsts,  # the tape host has one stage, so the first link of each is the one between the hosts
            "limit_name": LIMIT,
            "asked": asked,
            "result": result,
        }
        plan.detach(HOST_END, tape_job(action, hosts, told))

    plan = between(hosts, chains, action.network, TAPE_END, detach=detach)
    return run_job(action, plan, hosts, False, PROGRESS, action.pace.quiet)


def start_verification(action: TapeAction, words: list[str]) -> Any:
    """Start the tape host's program, which reads archives; returns the result for ansible-core; raises Failure."""
    network, hosts = action.network, {OWN_END: action.own, READ_END: action.tape}
    plan = Plan(network.options())
    dialled = end_named(network.listen, READ_END, OWN_END)
    for end in hosts:
        plan.add_end(end, listen=network.listen == "auto" or end == dialled)
    plan.add_stage(READ_END, action.of_tape(words).stage(TAPE))
    copies = any(name != action.tape_host for name in action.args["tape_catalog_hosts"])
    told: AnyTapeJob = {"does": "verify", "tape_end": READ_END, "stage": TAPE, "copies": copies}
    plan.detach(OWN_END, tape_job(action, hosts, told))
    encrypt(plan, network.encryption)
    reached(plan, hosts, network, dialled)
    return run_job(action, plan, hosts, False, PROGRESS, action.pace.quiet)


def tape_job(action: TapeAction, hosts: dict[str, Host], told: AnyTapeJob) -> Any:
    names = {end: host.name for end, host in hosts.items()}
    return job_of(action, names, "", advice=ADVICE, tape=told)


def finished(action: TapeAction, result: TaskResult) -> TaskResult:
    """The result of a task with which nothing has started; with async, ansible-core polls for it all the same."""
    if not action._task.async_val or result.get("failed") or "ansible_job_id" in result:
        return result
    found = {**result, **leave_result(action.own, Plan({}), async_dir(action), result)}
    if found.get("failed"):
        found.setdefault("kind", "failed")
    return found
