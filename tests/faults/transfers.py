# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are tasks of transfer, all of a batch in one ansible-playbook, and what must be true of them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.hosts import ROOT_PASSWORD, Fleet
from tests.system import batch
from tests.system.anatomy import Anatomy, Proc
from tests.system.batch import Case

from .catalogue import OF_TRANSFER, SENDING, needs_timeout
from .draw import Run
from .judge import Judged, of_the_rest
from .machine import CONNECT_TIMEOUT, DEAD_PEER, Outcome
from .moves import PROGRAM, Move
from .tasks import TIMEOUT, Tasks

TRANSFER = "plumbing.socketpipe.transfer"
BECOME = {"become": True, "become_method": "su"}
USER = {"ansible_user": "backup1", "ansible_become_password": ROOT_PASSWORD}
PLAIN = "/usr/bin/python3"
# of each sink: what is at its destination, and beside it
Found = dict[str, tuple[str, list[str]]]


class Transfers(Tasks):
    """``again``: what the runs that left a temporary file came to when they were run again."""

    moves: dict[str, Move]

    def __init__(self, fleet: Fleet, runs: list[Run], work: Path, env: Mapping[str, str]) -> None:
        super().__init__(fleet, runs, work, env)
        self.found: dict[str, Found] = {}
        self.again: dict[str, tuple[str, Found]] = {}

    def commands_of(self, run: Run, work: Path) -> Move:
        move = Move(run, work)
        self.moves = {**getattr(self, "moves", {}), run.name: move}
        return move

    def begin(self) -> None:
        self.started = batch.start(self.fleet, self.cases(), more=self.peers(), env=self.env)

    def case(self, name: str, python: str) -> Case:
        run, move = self.runs[name], self.moves[name]
        options = {"dead_peer": DEAD_PEER, "connect_timeout": CONNECT_TIMEOUT, "progress": 0, **move.options()}
        task: dict[str, Any] = {TRANSFER: {**options, "encryption": "relay" if run.encrypted else "none"}}
        variables: dict[str, Any] = {"ansible_python_interpreter": python}
        if run.sink == "become":
            task.update(BECOME)
            variables.update(USER)
        variables.update(self.login(run))
        if needs_timeout(run.fault) and python != PLAIN:
            task["timeout"] = TIMEOUT
        return Case(task, variables=variables)

    def cases(self) -> dict[str, Case]:
        return {name: self.case(name, move.python("remote")) for name, move in self.moves.items()}

    def peers(self, python: str = "") -> dict[str, dict[str, Any]]:
        found = {}
        for name, run in self.runs.items():
            where = {"h2": {"ansible_host": self.fleet["h2"].address}, "local": {"ansible_connection": "local"}}
            if run.peer in where:
                own = {"ansible_python_interpreter": python or self.moves[name].python("peer")}
                found[f"{name}-peer"] = {**where[run.peer], **own}
            if self.moves[name].chained:
                own = {**(USER if run.sink == "become" else {}), **self.login(run)}
                found[f"{name}-tail"] = {"ansible_host": self.fleet["h3"].address, **own}
        return found

    # -- who is who

    def see(self, everything: list[Proc]) -> None:
        """The runs of a task come one after the other: two looks, and the move."""
        before, self.ids = self.ids, {}
        super().see(everything)
        self.ids = {**before, **self.ids}

    def anatomy(self, name: str, everything: list[Proc]) -> Anatomy:
        """Its ends have the names that those of a pipe have."""
        found = super().anatomy(name, everything)
        move = self.moves[name]
        sinks = {"destination 1": move.ends["sink"], "destination 2": "tail", "destination": move.ends["sink"]}
        for said, end in {"source": move.ends["source"], **sinks}.items():
            for parts in (found.guards, found.ends, found.logins):
                if said in parts:
                    parts[end] = parts.pop(said)
        return found

    def victim(self, run: Run, everything: list[Proc]) -> Proc | None:
        if run.fault.victim not in ("source", "sink", "tail"):
            return super().victim(run, everything)
        self.see(everything)
        if run.name not in self.ids:
            return None
        anatomy = self.anatomy(run.name, everything)
        end = self.moves[run.name].ends.get(run.fault.victim, "tail")
        below = anatomy.below(anatomy.ends[end]) if end in anatomy.ends else []
        return next((proc for proc in below if PROGRAM in proc.argv), None)

    # -- afterwards

    def expected(self, trace: str) -> bool:
        """Also the destinations, and the directories that a killed Ansible leaves where its commands need files."""
        own = ("/.ansible/tmp/ansible-tmp-", *(f"file {move.folder}" for move in self.moves.values()))
        return super().expected(trace) or any(word in trace for word in own)

    def perform(self) -> None:
        super().perform()
        self.found = {name: self.look(name) for name in self.moves}
        left = [name for name, found in self.found.items() if any(beside for _dest, beside in found.values())]
        if left:
            self.run_again(left)
        for move in self.moves.values():
            move.tidy(self.fleet)

    def run_again(self, names: list[str]) -> None:
        for name in names:
            self.moves[name].file("go").touch()
            self.moves[name].at(self.fleet, "filler").unlink(missing_ok=True)
        cases = {name: self.case(name, PLAIN) for name in names}
        done = batch.finish(batch.start(self.fleet, cases, more=self.peers(PLAIN), env=self.env), 240)
        for name in names:
            status = done[name].status if name in done else "lost"
            self.again[name] = (status, self.look(name))

    def look(self, name: str) -> Found:
        move = self.moves[name]
        return {sink: move.found(self.fleet, sink) for sink in move.sinks}


# -- the invariants


def judge(batch: Transfers, name: str) -> Judged:
    run, move = batch.runs[name], batch.moves[name]
    outcome = batch.outcomes.get(name, Outcome("lost", {}))
    struck = name in batch.struck
    problems = of_the_rest(batch, run)
    for sink, (dest, beside) in batch.found[name].items():
        result = outcome.result
        if move.chained:  # it has one for each host
            host = run.name if sink == "sink" else f"{run.name}-tail"
            result = (result.get("hosts") or {}).get(host, result)
        said = [*of_the_file(run, move, Outcome(outcome.status, result), struck, dest, sink)]
        said += beside_the_file(run, move, sink, beside, batch.again.get(name))
        problems += [f"{sink}: {problem}" for problem in said]
    if struck:
        problems += of_the_outcome(batch, run, outcome)
    elif outcome.status != "ok" and not needs_timeout(run.fault):
        problems.append(f"nothing has hit it, but it is {outcome.status}: {outcome.result.get('msg')}")
    verdict = outcome.status if struck else f"{outcome.status}, missed"
    return Judged(run.number, run.fault.name, run.moment, verdict, problems, str(outcome.result.get("msg", "")))


def of_the_file(run: Run, move: Move, outcome: Outcome, struck: bool, dest: str, sink: str) -> list[str]:
    """It is the old or the whole new one; an ok is the new one; a failure that denies a change has made none.

    After a timeout the result is Ansible's own, and always denies it.
    """
    before = {"another file appears": "other", "old file is replaced": "other"}.get(run.fault.name)
    if sink == "tail" or not before:
        before = "old" if move.old else "none"
    if dest not in (before, "new"):
        return [f"the file at the destination is {dest}"]
    if outcome.status == "ok" or outcome.result.get("ok"):
        later = move.release and before == "other"  # that program may have come after the renaming
        return [] if dest == "new" or later else [f"it is ok, and the destination has the {dest} file"]
    if dest == "new" and outcome.result.get("cause") and not outcome.result["changed"]:
        return [f"the file has been replaced, and the result denies it: {outcome.result.get('msg')}"]
    if dest == "new" and struck and too_early(run, move):
        return ["what was hit in the middle was taken for complete"]
    return []


def too_early(run: Run, move: Move) -> bool:
    """Whether the stream can never have had its end, because who says so was killed before.

    An end that was stopped is woken at the timeout, and may then say so.  A sender that is not held may have ended.
    """
    sender = ("source", f"{move.ends['source']} end")
    before = run.moment in ("look", "linked", *SENDING)
    before = before and run.fault.number != signal.SIGSTOP and move.hooked("source")
    return before and (run.fault.victim in sender or run.fault.name.startswith("source "))


def beside_the_file(run: Run, move: Move, sink: str, beside: list[str], again: tuple[str, Found] | None) -> list[str]:
    """No temporary file, unless its writer was killed, or shall go on later; then the next transfer removes it."""
    if not beside:
        return []
    killed = run.fault.number == signal.SIGKILL and run.fault.victim in (sink, f"{move.ends.get(sink, sink)} end")
    late = run.moment in ("rename", "renamed")  # no other signal reaches it any more
    if not (killed or late or run.fault.name == "reboot" or run.sink == "resume"):
        return [f"left beside the destination: {beside}"]
    if again and again[0] == "ok" and again[1][sink] == ("new", []):
        return []
    return [f"beside the destination is {beside}, and another transfer has come to {again}"]


def of_the_outcome(batch: Transfers, run: Run, outcome: Outcome) -> list[str]:
    """It has come to what it must, and the cause is what was hit."""
    fault, status, result = run.fault, outcome.status, outcome.result
    if status == "lost":
        return [] if fault.lost else [f"there is no result of it: {result.get('msg')}"]
    late = run.moment in OF_TRANSFER[OF_TRANSFER.index("last") :] and (batch.together or fault.victim)
    move = batch.moves[run.name]
    # a source that is not held itself may have sent all before it is hit
    of_source = fault.victim == "source" or fault.name.startswith("source ")
    sent = not move.hooked("source") and (batch.together or of_source)
    certain = not late and not move.release and not sent
    if fault.outcome != status and (certain or fault.outcome == "ok"):
        return [f"it is {status}, not {fault.outcome}: {result.get('msg')}"]
    cause = result.get("cause") or {}
    if status == "ok" or not cause or not certain:
        return []
    problems = []
    kinds = fault.kinds
    if fault.number == signal.SIGTERM:
        kinds = (*kinds, "failed")  # the end passes the signal on, and its program says so
    if fault.kinds and cause["kind"] not in kinds:
        problems.append(f"the cause is of kind {cause['kind']}: {cause['msg']}")
    if fault.blamed:
        end = move.ends.get(fault.blamed, fault.blamed)
        peer = run.peer if run.peer == "localhost" else f"{run.name}-peer"
        host = {"remote": run.name, "tail": f"{run.name}-tail"}.get(end, peer)
        if cause["host"] != host:
            problems.append(f"{cause['host']} is blamed, not {host}: {cause['msg']}")
    return problems
