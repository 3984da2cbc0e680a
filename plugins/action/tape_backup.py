# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_backup: writes and commits the archive of one host, or estimates its size."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..plugin_utils._hosts import environment_of
from ..plugin_utils._program_run import Failure
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_filters import writing
from ..plugin_utils._tape_run import HOST, ask
from ..plugin_utils._tape_spec import BACKUP
from ..plugin_utils._tape_table import bytes_of

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._tape.answers import Committed, Estimate
    from ..plugin_utils._tape_records import HostOfPlan, Plan, TaskResult

NEXT_TAPE = "full"  # the kind of a failure after which the next tape is tried
PAUSE = 1.0  # seconds before that
# fields of the answer to a commit that the result also has
KEPT = ("level", "base", "time", "bytes", "sha256", "elapsed", "rate", "tape", "file", "files", "base_problem")
NOTED = ("incomplete", "level_problem", "warning_count", "other_file_systems", "mounted")


class ActionModule(TapeAction):
    """Archive and commit are one task.  If they were two, a killed job would lose all archives of the run."""

    SPEC = BACKUP

    def outcome(self) -> TaskResult:
        result = super().outcome()
        plan = self._task.args.get("plan")
        run = plan.get("run") if isinstance(plan, dict) else None
        return {"host": self.name, "run": run, "state": "failed", **result}

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
        if mine["skip"]:
            return {"state": "good before", "level": mine["level"], "msg": "has a good archive of this run already"}
        if mine.get("problem"):
            raise Failure("too large", mine["problem"])
        if self._task.check_mode or self.args["tape_estimate"]:
            estimate = self.estimate(mine)
            if self._task.check_mode:
                return {"state": "estimated", "level": mine["level"], **estimate}
            mine = mine if self.filters else {**mine, "bytes": estimate["bytes"]}
        return self.archive(plan["run"], mine)

    def estimate(self, mine: HostOfPlan) -> TaskResult:
        """The expected size of the archive, without reading any file; raises Failure."""
        words = ["estimate", f"--level={mine['level']}", *self.base_words(mine)]
        found: Estimate = ask(self.own, self.of_host(words))
        room = mine.get("room")
        if room is not None and found["bytes"] > room and not self.filters:  # they may compress it
            size = f"{self.name} has {bytes_of(found['bytes'])}"
            why = "does not fit on one tape (tape_capacity): split tape_paths into several tape_set"
            raise Failure("too large", f"{size}, which {why}")
        return {key: found.get(key) for key in ("bytes", *NOTED)} | {"tar_warnings": found.get("warnings")}

    def archive(self, run: str, mine: HostOfPlan) -> TaskResult:
        """Write and commit the archive; each retry uses the next tape; raises Failure."""
        began = time.time()
        for attempt in range(1, self.args["tape_retries"] + 2):
            self.tell_who_loads([f"--run={run}", f"--expect={mine['bytes'] or 0}"])
            try:
                outcome = self.to_tape(
                    self.create_words(run, mine), self.sink_words(run, mine), behind=self.behind(run)
                )
                break
            except Failure as exc:
                if exc.kind != NEXT_TAPE or attempt > self.args["tape_retries"]:
                    raise
                self.show([f"{self.name}: {exc.msg}"])
                time.sleep(PAUSE)
        report = ["report", f"--run={run}"]
        commit = ["commit", f"--run={run}", f"--host={self.name}"]
        committed: Committed = self.to_tape(report, commit, progress=False).answer
        return {
            "changed": True,
            "state": "good",
            "msg": "ok",
            "attempts": attempt,
            "slow": outcome.link["slow"],
            "encryption": outcome.link["encryption"],
            "tar_warnings": committed.get("warnings"),
            "waited": outcome.answer["waited"],
            "total": round(time.time() - began, 1),
            **{key: committed.get(key) for key in KEPT + NOTED},
        }

    def behind(self, run: str) -> list[Command]:
        """The stages of the filters, and the one that takes the checksum of what goes to the tape."""
        if not self.filters:
            return []
        environment = environment_of(self)
        return [*writing(self.filters, environment), self.of_host(["seal", f"--run={run}"]).stage(HOST, environment)]

    def create_words(self, run: str, mine: HostOfPlan) -> list[str]:
        words = ["create", f"--run={run}", f"--host={self.name}", f"--level={mine['level']}"]
        words += self.base_words(mine) + option("machine", mine["machine_id"])
        return words + option("keep", ",".join(mine["keep"]))

    @staticmethod
    def base_words(mine: HostOfPlan) -> list[str]:
        return option("base", mine["base"]) + option("ahead", mine.get("ahead") or None)

    def sink_words(self, run: str, mine: HostOfPlan) -> list[str]:
        words = ["sink", f"--run={run}", f"--host={self.name}", f"--level={mine['level']}"]
        return words + option("base", mine["base"]) + [f"--expect={mine['bytes'] or 0}"]
