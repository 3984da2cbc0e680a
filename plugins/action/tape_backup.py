# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_backup: writes and commits the archive of one host, or estimates its size."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleError

from ..module_utils._run.answers import Failure
from ..plugin_utils._connections import HostError
from ..plugin_utils._hosts import environment_of
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_detach import Archive, unseen
from ..plugin_utils._tape_filters import writing
from ..plugin_utils._tape_jobs import finished
from ..plugin_utils._tape_last import PATHS
from ..plugin_utils._tape_run import HOST, ask
from ..plugin_utils._tape_sources import Source, set_of, sources_of
from ..plugin_utils._tape_spec import BACKUP
from ..plugin_utils._tape_table import bytes_of
from ..plugin_utils._task_run import one_line

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._tape.answers import Based, Committed, Estimate
    from ..plugin_utils._tape_records import HostOfPlan, Plan, TaskResult, Written

NEXT_TAPE = "full"  # the kind of a failure after which the next tape is tried
PAUSE = 1.0  # seconds before that
# fields of the answer to a commit that the result also has
KEPT = (
    "level",
    "base",
    "time",
    "bytes",
    "sha256",
    "elapsed",
    "rate",
    "tape",
    "file",
    "files",
    "base_problem",
    "left_out",
)
NOTED = ("incomplete", "level_problem", "warning_count", "other_file_systems", "mounted")


class ActionModule(TapeAction):
    """Archive and commit are one task.  If they were two, a killed job would lose all archives of the run."""

    SPEC = BACKUP
    DETACHES = True
    source: Source | None = None  # the one that has its turn

    def outcome(self) -> TaskResult:
        result = super().outcome()
        plan = self._task.args.get("plan")
        run = plan.get("run") if isinstance(plan, dict) else None
        return finished(self, {"host": self.name, "run": run, "state": "failed", **result})

    def failed(self, failure: Failure) -> TaskResult:
        return {**super().failed(failure), "note": failure.note(self.name)}

    def work(self) -> TaskResult:
        plan: Plan = self.args["plan"]
        mine = (plan.get("hosts") or {}).get(self.name)
        if mine is None:
            raise Failure("settings", f"the plan does not include {self.name}: add it to hosts of tape_plan")
        self.args["tape_set"] = plan["tape_set"]
        if mine["out"]:
            return {"state": "left out", "msg": "the tape host, which has no tape_paths"}
        if self.sources and self._task.async_val:
            raise Failure("settings", "with async, a host has one archive: leave out tape_sources or async")
        if self.sources:
            return self.all_sources(plan, mine)
        return self.files(plan, mine)

    def files(self, plan: Plan, mine: HostOfPlan) -> TaskResult:
        """The archive of one set of the host; raises Failure."""
        if mine["skip"]:
            return {"state": "good before", "level": mine["level"], "msg": "has a good archive of this run already"}
        if mine.get("problem"):
            raise Failure("too large", mine["problem"])
        if self.source and self.source.cmd and self._task.check_mode:  # nobody knows the size of what it would write
            return {"state": "estimated", "level": 0, "bytes": mine["bytes"]}
        if (self._task.check_mode or self.args["tape_estimate"]) and not (self.source and self.source.cmd):
            estimate = self.estimate(mine)
            if self._task.check_mode:
                return {"state": "estimated", "level": mine["level"], **estimate}
            mine = mine if self.filters else {**mine, "bytes": estimate["bytes"]}
        return self.archive(plan["run"], mine)

    # -- sources

    @cached_property
    def sources(self) -> list[Source]:
        """Raises Failure."""
        return sources_of(self.args["tape_sources"])

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, **(self.source.settings() if self.source else {})}

    def all_sources(self, plan: Plan, mine: HostOfPlan) -> TaskResult:
        """One archive after the other; one that fails does not stop the others."""
        parts = [self.part(PATHS, lambda: self.files(plan, mine))] if self.args["tape_paths"] else []
        for source in self.sources:
            parts.append(self.part(source.name, lambda one=source: self.of_source(plan, one)))  # type: ignore[misc]
        states = list(dict.fromkeys(part["state"] for part in parts))
        failed = [part for part in parts if part["state"] == "failed"]
        result: TaskResult = {
            "changed": any(part.get("changed") for part in parts),
            "state": "failed" if failed else states[0] if len(states) == 1 else "good",
            "msg": "; ".join(f"{part['name']}: {part['msg']}" for part in failed or parts),
            "bytes": sum(part.get("bytes") or 0 for part in parts),
            "elapsed": round(sum(part.get("elapsed") or 0 for part in parts), 3),
            "sources": parts,
            "left_out": left_out_of(parts),
        }
        for key in ("encryption", "tape"):
            result[key] = next((part[key] for part in parts if part.get(key)), None)
        if failed:
            names = ", ".join(part["name"] for part in failed)
            result.update(failed=True, kind=failed[0]["kind"], note=f"failed: {names}")
        return result

    def part(self, name: str, work: Callable[[], TaskResult]) -> TaskResult:
        try:
            return {"name": name, "ok": True, "msg": "ok", **work()}
        except Failure as exc:
            return {"name": name, "ok": False, "state": "failed", **self.failed(exc)}
        except (HostError, AnsibleError) as exc:
            return {"name": name, "ok": False, "state": "failed", **self.failed(Failure("settings", one_line(exc)))}

    def of_source(self, plan: Plan, source: Source) -> TaskResult:
        """The archive of one source, a set of its own; raises Failure."""
        before, self.source = self.args, source
        self.args = {**self.args, "tape_set": set_of(plan["tape_set"], source.name), "tape_paths": source.paths}
        if source.retention:
            self.args["tape_retention"] = source.retention
        try:
            level = source.level if source.level is not None else (plan["hosts"][self.name]["level"] or 0)
            words = ["base", f"--run={plan['run']}", f"--host={self.name}", f"--level={level}"]
            said: Based = self.ask(words)
            self.show([f"Warning {each}" for each in said["warnings"]])
            planned: Any = {**said["planned"], "out": False}
            return self.files(plan, planned)
        finally:
            self.args, self.source = before, None

    # -- one archive

    def estimate(self, mine: HostOfPlan) -> TaskResult:
        """The expected size of the archive, without reading any file; raises Failure."""
        words = ["estimate", f"--level={mine['level']}", *self.base_words(mine)]
        found: Estimate = ask(self.own, self.of_host(words), self.pace)
        room = mine.get("room")
        if room is not None and found["bytes"] > room and not self.filters:  # they may compress it
            size = f"{self.name} has {bytes_of(found['bytes'])}"
            why = "does not fit on one tape (tape_capacity): split tape_paths into several tape_set"
            raise Failure("too large", f"{size}, which {why}")
        return {key: found.get(key) for key in ("bytes", *NOTED)} | {"tar_warnings": found.get("warnings")}

    def archive(self, run: str, mine: HostOfPlan) -> TaskResult:
        """Write and commit the archive; each retry uses the next tape; raises Failure."""
        began = time.time()
        left = self.left_by_another(run, mine)
        if left:
            try:
                return self.commit(run, left, 0, began)
            except Failure as exc:
                self.show([f"{self.name}: the archive of an earlier job is written again: {exc.msg}"])
                Archive(self, run).forget()
        if self._task.async_val:
            result = Archive(self, run).start(*self.words(run, mine), self.behind(run), mine["bytes"])
            return {"state": "started", "msg": "its archive is being written", **result}
        for attempt in range(1, self.args["tape_retries"] + 2):
            request = [f"--run={run}", f"--expect={mine['bytes'] or 0}"]
            self.tell_who_loads(request)
            if self.source and self.source.hooked:  # before a snapshot is made
                self.ask(["turn", f"--host={self.name}", *request])
            try:
                written = self.write(run, mine)
                break
            except Failure as exc:
                if exc.kind != NEXT_TAPE or attempt > self.args["tape_retries"]:
                    raise
                self.show([f"{self.name}: {exc.msg}"])
                time.sleep(PAUSE)
        return self.commit(run, written, attempt, began)

    def write(self, run: str, mine: HostOfPlan) -> Written:
        """Raises Failure."""
        if self.args["tape_detach"]:
            return Archive(self, run).write(*self.words(run, mine), self.behind(run), mine["bytes"])
        outcome = self.to_tape(*self.words(run, mine), behind=self.behind(run), expected=mine["bytes"])
        link = outcome.link
        return {
            "slow": link["slow"],
            "samples": link["samples"],
            "device": outcome.answer["device"],
            "encryption": link["encryption"],
            "waited": outcome.answer["waited"],
        }

    def left_by_another(self, run: str, mine: HostOfPlan) -> Written | None:
        """What an earlier job has left to be committed; waits until it is written; raises Failure."""
        found = Archive(self, run).left() if self.args["plan"].get("resumed") else None
        return found or (unseen() if mine.get("written") else None)

    def commit(self, run: str, written: Written, attempts: int, began: float) -> TaskResult:
        """The host reports, and its archive is good; raises Failure."""
        report = ["report", f"--run={run}"]
        commit = ["commit", f"--run={run}", f"--host={self.name}"]
        committed: Committed = self.to_tape(report, commit).answer
        if self.args["tape_detach"] or self.args["plan"].get("resumed"):
            Archive(self, run).forget()
        return {
            "changed": True,
            "state": "good",
            "msg": "ok",
            "attempts": attempts,
            **written,
            "tar_warnings": committed.get("warnings"),
            "total": round(time.time() - began, 1),
            **{key: committed.get(key) for key in KEPT + NOTED},
        }

    def words(self, run: str, mine: HostOfPlan) -> tuple[list[str], list[str]]:
        """The command lines for the host and for the tape host."""
        return self.create_words(run, mine), self.sink_words(run, mine)

    def behind(self, run: str) -> list[Command]:
        """The stages of the filters, and the one that takes the checksum of what goes to the tape."""
        if not self.filters:
            return []
        environment = environment_of(self)
        return [*writing(self.filters, environment), self.of_host(["seal", f"--run={run}"]).stage(HOST, environment)]

    def create_words(self, run: str, mine: HostOfPlan) -> list[str]:
        if self.source and self.source.cmd:
            return ["dump", f"--run={run}", f"--host={self.name}", *option("machine", mine["machine_id"])]
        words = ["create", f"--run={run}", f"--host={self.name}", f"--level={mine['level']}"]
        words += self.base_words(mine) + option("machine", mine["machine_id"])
        return words + option("keep", ",".join(mine["keep"]))

    @staticmethod
    def base_words(mine: HostOfPlan) -> list[str]:
        words = option("base", mine["base"]) + option("base-sha256", mine.get("base_sha256"))
        return words + option("ahead", mine.get("ahead") or None)

    def sink_words(self, run: str, mine: HostOfPlan) -> list[str]:
        words = ["sink", f"--run={run}", f"--host={self.name}", f"--level={mine['level']}"]
        return words + option("base", mine["base"]) + [f"--expect={mine['bytes'] or 0}"]


def left_out_of(parts: list[TaskResult]) -> dict[str, int]:
    """What each rule left out of all archives of a host; a rule that left out nothing is among them, too."""
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part.get("left_out") or {})
    return dict(found)
