# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that is written to its end even if its task ends before, with async or tape_detach.

Its run detaches like those of pipe (see _task_job), and the host of the archive keeps the result.  The file with it is
named after the run, host and set of the archive.  So a later task finds it, and no second one of the same name starts
while the first is being written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ansible.errors import AnsibleError

from ..module_utils._run import taped
from ..module_utils._run.answers import Failure
from ..module_utils._run.progress import LATER, line_of_job, without_figures
from ..module_utils._run.report import Misfit, parse_progress
from ._hosts import environment_of
from ._tape_run import ADVICE, HOST, LIMIT, PROGRESS, TAPE, TAR, joined
from ._task_job import ask, async_dir, job_of, run_job
from ._task_progress import Quiet, show
from ._task_run import one_line

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._run.plan import Plan
    from ..module_utils._run.records import JobAnswer
    from ._tape_action import TapeAction
    from ._tape_records import Written

HOME, TAPE_END = "source", "sink"  # ends
PAUSES = 0.25, 5.0  # seconds between two looks, first and last
LONGER = 1.5
SILENT = 600.0  # seconds without an answer of the host, after which nobody waits for it any more
TAKEN = "taken"  # in place of the state of a result
ENDED = "the run that wrote its archive has ended without a result, as after a restart of the host"


class Archive:
    """The run that writes the archive of one host and set."""

    def __init__(self, action: TapeAction, run: str) -> None:
        self.action, self.tape_run = action, run
        whose = [action.tape_host, str(action.args["tape_catalog_dir"]), run, action.name, action.args["tape_set"]]
        self.id = hashlib.sha256("\0".join(whose).encode()).hexdigest()[:32]

    @property
    def directory(self) -> str:
        return async_dir(self.action)

    def start(
        self, host_words: list[str], tape_words: list[str], behind: Sequence[Command], expected: int | None
    ) -> Any:
        """Start it; returns the result with which ansible-core begins to poll, or that of a failure; raises Failure."""
        action, attempt = self.action, [f"--attempt={os.urandom(8).hex()}"]
        request = action.of_host(host_words + attempt)
        source = action.own, request.stage(TAR if behind else HOST, environment_of(action))
        sink = action.tape, action.of_tape(tape_words + attempt).stage(TAPE)

        def detach(plan: Plan) -> None:
            plan.run, plan.expected = self.id, expected
            names = {HOME: action.own.name, TAPE_END: action.tape.name}
            told = {"host": action.name, "run": self.tape_run}
            plan.detach(
                HOME,
                job_of(
                    action,
                    names,
                    "",
                    advice=ADVICE,
                    tape={
                        "does": "archive",
                        "tape_end": TAPE_END,
                        "sink": TAPE,
                        "link": len(behind),
                        "limit_name": LIMIT,
                        "result": told,
                    },
                ),
            )

        plan, hosts = joined(source, sink, action.network, "sink", behind=behind, detach=detach)
        return run_job(action, plan, hosts, False, PROGRESS, action.pace.quiet)

    def write(
        self, host_words: list[str], tape_words: list[str], behind: Sequence[Command], expected: int | None
    ) -> Written:
        """Start it, and wait for it; raises Failure."""
        started = self.start(host_words, tape_words, behind, expected)
        if started.get("failed"):
            raise taped.failure_in(started, self.action.name)
        return self.concluded(self.wait())

    def left(self) -> Written | None:
        """That of an earlier job, when it is written; None if it has left none that is complete; raises Failure."""
        answer = self.look()
        if isinstance(answer, str) or not (answer.get("exists") or answer.get("found")):
            return None
        result = result_in(answer, self.action.own.name)
        if result is None and self.action._task.async_val:
            why = f"an earlier job is writing its archive ({self.id}): wait for that one, or leave out async"
            raise Failure("busy", why, self.action.own.name, named=True)
        if result is None:
            self.action.show([f"{self.action.name}: an earlier job is writing its archive, so this one waits"])
            result = self.wait()
        try:
            return self.concluded(result)
        except Failure as exc:
            self.action.show([f"{self.action.name}: the archive of an earlier job is written again: {exc.msg}"])
            return None

    def concluded(self, result: Any) -> Written:
        """Raises Failure if it is not written."""
        if result["state"] == TAKEN:
            return unseen()
        if result["state"] == taped.WRITTEN:
            return {
                "slow": result["slow"],
                "samples": result["samples"],
                "device": result["device"],
                "encryption": result["encryption"],
                "waited": result["waited"],
            }
        self.forget()
        raise taped.failure_in(result, self.action.name)

    def look(self) -> JobAnswer | str:
        """What its host knows of it, or why there is no answer."""
        try:
            return ask(self.action.own, {"directory": self.directory, "run": self.id, "take": True})
        except AnsibleError as exc:
            return one_line(exc)

    def forget(self) -> None:
        """Remove its result, which is in the catalog or was shown; if this fails, it goes after some days."""
        with contextlib.suppress(AnsibleError):
            ask(self.action.own, {"directory": self.directory, "run": self.id, "forget": True})

    def wait(self) -> Any:
        """Show how far it is until it ends; returns its result, see taped.parsed(); raises Failure.

        If ansible-playbook or this worker is killed, the run goes on.
        """
        name, parent = self.action.name, os.getppid()
        quiet, due, shown, pause, heard = Quiet(self.action.pace.quiet), float(PROGRESS), 0, PAUSES[0], 0.0
        while True:
            if os.getppid() != parent:
                os._exit(1)
            answer = self.look()
            result = None if isinstance(answer, str) else result_in(answer, self.action.own.name)
            if result:
                return result
            now = quiet.elapsed
            heard = heard if isinstance(answer, str) else now
            if now > heard + SILENT:
                why = f"no answer ({answer}). The archive may still be written: resume the run (tape_resume)"
                raise Failure("unreachable", why, self.action.own.name, started=True, named=True)
            if now >= due or quiet.is_over():
                show(line(name, now, answer))
            if now >= due:
                due, shown = now + LATER[min(shown, len(LATER) - 1)], shown + 1
            time.sleep(pause)
            pause = min(pause * LONGER, PAUSES[1])


def result_in(answer: JobAnswer, host: str) -> Any:
    """The result in the file of a job, None while it runs; raises Failure."""
    state: Any = answer.get("state")
    try:
        if isinstance(state, dict) and state.get("finished"):
            return taped.parsed(state)
    except Misfit as exc:
        raise Failure("answer", f"invalid answer (invalid value in {exc})", host, True, named=True) from None
    if answer.get("found"):
        return None
    if not answer.get("exists"):  # another task, of a job that has resumed the run, has committed the archive
        return {"state": TAKEN}
    return {"state": taped.FAILED, "kind": "end", "msg": f"{host}: {ENDED}", "note": ENDED, "changed": True}


def unseen() -> Written:
    """What is known of an archive whose result was not seen here; whether it is good, its two hosts decide."""
    return {"slow": "", "samples": [], "device": None, "encryption": None, "waited": None}


def line(name: str, elapsed: float, answer: JobAnswer | str) -> str:
    """How far it is."""
    if isinstance(answer, str):
        return without_figures(name, elapsed, answer)
    state = cast("Any", answer.get("state"))
    progress = parse_progress(state.get("progress")) if isinstance(state, dict) else None
    return line_of_job(name, progress) if progress else without_figures(name, elapsed)
