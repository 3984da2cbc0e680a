# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are tasks of pipeline, over three hosts or more: held in the middle, before and after the common start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.system import batch
from tests.system.anatomy import Anatomy, Proc
from tests.system.batch import Case

from .catalogue import BARRIER, RUNNING, needs_timeout
from .commands import OLD, Commands
from .draw import CHAINS, FORKED, Run
from .judge import Judged, of_the_rest
from .judge import judge as judge_stream
from .machine import CONNECT_TIMEOUT, DEAD_PEER
from .tasks import TIMEOUT, Tasks

PIPELINE = "plumbing.socketpipe.pipeline"
PLACE = {0: "first", 1: "middle"}
SPARE = 'cat > "$1.spare"; rc=$?; echo $rc > "$1.spare-rc"; exit $rc'  # the other branch


class Chain(Commands):
    """The stages of one run, by the names source, middle and sink; in a long chain there is one more in between."""

    def __init__(self, run: Run, work: Path) -> None:
        super().__init__(run, work)
        self.hosts = run.hosts
        busy = self.odd or run.fault.victim == "sink" or run.moment == "after"
        self.to_file = run.sink == "path" and not busy
        if self.to_file:
            self.honest = True

    def source(self) -> list[str]:
        argv = super().source()
        if self.run.moment not in BARRIER:
            return argv
        return ["sh", "-c", f'echo > {self.base}.begun; exec "$@"', "sh", *argv]

    def sink_started(self) -> bool:
        if not self.to_file:
            return super().sink_started()
        return any(self.work.glob(f".{self.run.name}.out.*.socketpipe"))

    def options(self) -> dict[str, Any]:
        stages: list[dict[str, Any]] = [{"name": "source", "argv": self.source()}]
        stages.append({"name": "middle", "argv": self.middle()})
        stages += [{"name": "next", "cmd": "cat"}] * (self.run.last - 2)
        last = {"path": str(self.file("out"))} if self.to_file else {"argv": self.sink()}
        stages.append({"name": "sink", **last})
        stages = [{**stage, "host": host} for stage, host in zip(stages, self.hosts)]
        if self.run.shape in FORKED:
            spare = {"name": "spare", "host": self.hosts[-1], "argv": ["sh", "-c", SPARE, "sh", str(self.base)]}
            fork = {
                "branches": [stages[-1:], [spare]],
                "branches_required": {"fork": "all", "loose": 1}[self.run.shape],
            }
            stages[-1:] = [fork]
        return {"stages": stages}

    def place(self, number: int) -> str:
        """The name of an end in the catalogue, by its number in the chain."""
        return "last" if number == self.run.last else PLACE.get(number, "next")

    def spare(self) -> tuple[str, bool]:
        """Of the other branch: its exit status, "" if it did not come to its end, and whether it has all."""
        status, out = self.file("spare-rc"), self.file("spare")
        whole = out.exists() and out.read_bytes() == self.payload.read_bytes()
        return status.read_text(encoding="ascii").strip() if status.exists() else "", whole


class Chains(Tasks):
    chains: dict[str, Chain]

    def commands_of(self, run: Run, work: Path) -> Chain:
        chain = Chain(run, work)
        self.chains = {**getattr(self, "chains", {}), run.name: chain}
        return chain

    def begin(self) -> None:
        more = {}
        for name, chain in self.chains.items():
            for host, alias in zip(CHAINS[self.runs[name].shape], chain.hosts, strict=True):
                if alias not in ("localhost", name):
                    more[alias] = {"ansible_host": self.fleet[host].address, **self.login(self.runs[name])}
        self.started = batch.start(self.fleet, self.cases(), more=more, env=self.env)

    def cases(self) -> dict[str, Case]:
        found = {}
        for name, chain in self.chains.items():
            run = self.runs[name]
            options = {"dead_peer": DEAD_PEER, "connect_timeout": CONNECT_TIMEOUT, "progress": 0}
            options["full_reads"] = run.moment not in ("first", "stream")
            encryption = "required" if run.encrypted else "none"
            task: dict[str, Any] = {PIPELINE: {**chain.options(), **options, "encryption": encryption}}
            if needs_timeout(run.fault):
                task["timeout"] = TIMEOUT
            found[name] = Case(task, variables={**self.login(run), "ansible_python_interpreter": chain.interpreter})
        return found

    def anatomy(self, name: str, everything: list[Proc]) -> Anatomy:
        """Its ends by their places."""
        found, chain = super().anatomy(name, everything), self.chains[name]
        for parts in (found.guards, found.ends, found.logins):
            for number in range(len(chain.hosts)):
                if f"end{number + 1}" in parts:
                    parts[chain.place(number)] = parts.pop(f"end{number + 1}")
        return found


def judge(chains: Chains, name: str) -> Judged:
    """As a pipe, and what is true before the start."""
    chain, run, outcome = chains.chains[name], chains.runs[name], chains.outcomes.get(name)
    started = outcome and (run.moment in (*RUNNING, "after") or run.moment in BARRIER and outcome.status == "ok")
    if run.shape == "loose" and name in chains.struck and outcome and started:  # until the start all are required
        problems = [*of_the_rest(chains, run), *of_the_branches(chain, outcome.status, outcome.result)]
        said = str(outcome.result.get("msg", ""))
        return Judged(run.number, run.fault.name, run.moment, outcome.status, problems, said)
    judged = judge_stream(chains, name)
    problems = list(judged.problems)
    content = chain.file("out").read_bytes()
    if chain.to_file:
        if content not in (OLD.encode(), chain.payload.read_bytes()):
            problems.append(f"the file at the end is neither the old nor the new one, but {len(content)} bytes")
        beside = list(chain.work.glob(f".{name}.out.*.socketpipe"))
        # the next one to write there removes it
        killed = run.fault.name in ("kill last end", "reboot")
        if beside and not killed:
            problems.append(f"left beside the destination: {beside}")
    if run.moment in BARRIER and run.fault.name == "kill middle end" and outcome and outcome.status == "failed":
        problems += before_the_start(run, chain)
    if run.shape in FORKED:
        status, whole = chain.spare()
        if outcome and outcome.status == "ok" and not whole:
            problems.append("it is ok, and a branch has not got everything")
        if status == "0" and not whole:
            problems.append("a branch ended well on a stream that was not whole")
    judged.problems[:] = problems
    return judged


def of_the_branches(chain: Chain, status: str, result: dict[str, Any]) -> list[str]:
    """One has been hit, and the other is enough."""
    said = {branch["name"]: branch["ok"] for branch in result.get("branches") or ()}
    if (status, said) != ("ok", {"sink": False, "spare": True}):
        return [f"it is {status}, with the branches {said}: {result.get('msg')}"]
    return [] if chain.spare() == ("0", True) else ["a branch is ok, and has not got everything"]


def before_the_start(run: Run, chain: Chain) -> list[str]:
    """Who was held there, and killed, has passed nothing on; once it has been ready, the first end may start its stage.

    Any other death has to be noticed first, and the start goes on meanwhile.
    """
    started = {"source": run.moment == "made" and chain.file("begun").exists()}
    started["sink"] = chain.file("started").exists() or not chain.untouched()
    return [
        f"it has failed before the common start, and its {stage} had started" for stage in started if started[stage]
    ]
