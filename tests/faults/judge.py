# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The invariants: what must be true of a run, whatever has hit it."""

from __future__ import annotations

import dataclasses
from typing import Any

from .catalogue import LOST, PLACES, RELAYS, STAGES
from .commands import Commands
from .draw import Run
from .job_faults import NO_RESULT
from .machine import Batch, Outcome


@dataclasses.dataclass(frozen=True)
class Judged:
    """What became of a run; ``problems`` is empty when all is as it must be."""

    number: int
    fault: str
    moment: str
    verdict: str  # ok, failed, lost (who would say it was killed), missed (the fault found nothing to hit)
    problems: list[str]
    said: str

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def judge(batch: Batch, name: str) -> Judged:
    run, commands = batch.runs[name], batch.commands[name]
    struck = name in batch.struck
    outcome = batch.outcomes.get(name, Outcome("lost", {}))
    status, result = outcome.status, outcome.result
    problems = [*of_the_stream(run, commands, status, result), *of_the_rest(batch, run)]
    if run.command and status != "lost":
        problems += of_the_exit_status(run, struck, result)
    if struck:
        problems += of_the_outcome(run, status, result)
    elif status != "ok":
        problems.append(f"nothing has hit it, but it is {status}")
    verdict = status if struck else f"{status}, missed"
    said = str(result.get("msg", ""))
    return Judged(run.number, run.fault.name, run.moment, verdict, problems, said)


def of_the_stream(run: Run, commands: Commands, status: str, result: dict[str, Any]) -> list[str]:
    """1, 2 and 5: an ok is one, a truncated stream was never taken for a whole one, an old file stays."""
    problems = []
    early = run.fault.name in ("sink exits 0", "sink is full", "sink exits 1")
    whole = commands.whole() if not early else False
    if status == "ok":
        if not whole:
            problems.append("it is ok, and the sink has not got everything")
        codes = {stage["name"]: stage["rc"] for stage in result.get("stages", ())}
        if set(codes.values()) != {0} and run.fault.name != NO_RESULT:  # its result is a short one
            problems.append(f"it is ok with exit statuses {codes}")
    elif (run.moment, run.fault.name) == ("linked", "kill remote end") and not commands.untouched():
        problems.append("an end was killed before its stages began, and the old file is not what it was")
    elif commands.honest and commands.sink_status() == "0" and not whole:
        problems.append("its sink ended well on a stream that was not whole")
    if run.fault.name in ("source says nothing", "command missing") and not commands.untouched():
        problems.append("the source has said nothing, and the old file is not what it was")
    relayed = run.fault.victim in RELAYS and status != "ok"
    if relayed and commands.honest and commands.sink_status() == "0":
        problems.append("a relay was hit, and its sink ended well")
    if status == "failed" and result.get("cause"):
        problems += behind_a_failure(run, commands, result["cause"])
    return problems


def behind_a_failure(run: Run, commands: Commands, cause: dict[str, Any]) -> list[str]:
    """2, further: behind a stage that failed no link was committed, so that not even a sink that has all ended well.

    But for tar, which stops by itself at the end of the archive.
    """
    upstream = cause["kind"] == "failed" and cause["stage"] != run.stages["sink"]
    if upstream and commands.honest and commands.reads != "tar" and commands.sink_status() == "0":
        return [f"{cause['stage']} has failed, and its sink ended well"]
    return []


def of_the_exit_status(run: Run, struck: bool, result: dict[str, Any]) -> list[str]:
    """What a shell sees is what --stats says, and a signal that ended the command is seen as such."""
    rc = result["rc"]
    seen = rc if rc >= 0 else 128 - rc
    problems = [] if result.get("exit_status") == seen else [f"its exit status is {rc}, not {result['exit_status']}"]
    if struck and run.fault.victim == "command" and rc != -run.fault.number:
        problems.append(f"its exit status is {rc}, though it had signal {run.fault.number}")
    return problems


def of_the_rest(batch: Batch, run: Run) -> list[str]:
    """3 and 6: it has come to its end, and nothing is left of it."""
    problems = ["it has not come to its end"] if batch.hung and run.name not in batch.outcomes else []
    words = [f"/{run.name}.", f"-{run.name}-", batch.ids.get(run.name, "no such run")]
    mine = [trace for trace in batch.left if any(word in trace for word in words)]
    return problems + [f"left behind: {trace[:300]}" for trace in mine]


def of_the_outcome(run: Run, status: str, result: dict[str, Any]) -> list[str]:
    """4: it has come to what it must, and the cause is what was hit, not a victim of it."""
    fault = run.fault
    if status == "lost":
        return [] if fault.lost else [f"there is no result of it: {result.get('msg')}"]
    left = run.moment == "told" and fault.victim == "peer end"  # just then it goes on in another process
    if fault.outcome not in (status, "any") and not uncertain(run) and not left:
        return [f"it is {status}, not {fault.outcome}: {result.get('msg')}"]
    cause = result.get("cause") or {}
    if status == "ok" or not cause:
        return []
    problems = []
    if fault.kinds and cause["kind"] not in fault.kinds and not uncertain(run):
        problems.append(f"the cause is of kind {cause['kind']}: {cause['msg']}")
    if fault.blamed and not uncertain(run):
        problems += blame(run, cause)
    return problems


def blame(run: Run, cause: dict[str, Any]) -> list[str]:
    if run.fault.blamed in PLACES and run.kind == "pipeline" and run.fault.victim not in STAGES:
        host = run.hosts[{"first": 0, "middle": 1, "last": run.last}[run.fault.blamed]]
        return [] if cause["host"] == host else [f"{cause['host']} is blamed, not {host}: {cause['msg']}"]
    if run.fault.blamed in ("remote", "peer"):
        if run.command:
            name = {"remote": "the far side", "peer": "this host"}[run.fault.blamed]
            return [] if cause["host"].startswith(name) else [f"{cause['host']} is blamed, not {name}: {cause['msg']}"]
        host = run.name if run.fault.blamed == "remote" else run.peer
        return [] if cause["host"] == host else [f"{cause['host']} is blamed, not {host}: {cause['msg']}"]
    if run.fault.blamed == "link":
        return [f"{cause['stage']} is blamed, not a link: {cause['msg']}"] if cause.get("stage") else []
    stage = run.stages[run.fault.blamed]
    return [] if cause.get("stage") == stage else [f"{cause.get('stage')} is blamed, not {stage}: {cause['msg']}"]


def uncertain(run: Run) -> bool:
    """Whether what was hit may not have mattered any more, or not yet; the command itself always does.

    In the handshake anything can come first; a login that is cut before there is a link is made again; when all has
    arrived, a network that fails does so before or after both sides have parted.
    """
    cut = (run.fault.name, run.moment) == ("cut and retried", "connect")
    # a job that has its file goes on without the login
    cut = cut or run.moment in ("kept", "told") and run.fault.victim in ("remote login", "remote session")
    late = run.moment == "after" and set(run.fault.kinds) >= set(LOST)
    return run.fault.victim != "command" and (run.moment == "handshake" or cut or late)
