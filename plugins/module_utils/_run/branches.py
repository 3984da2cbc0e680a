# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The branches of a plan that forks: which of them may fail, and what came of each."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .plan import Plan
    from .records import BranchResult, Cause, Joint
    from .verdict import Verdict

TOO_FEW = "; %d of %d branches are left, and branches_required is %d"


class Losses:
    """The branches that a run has lost and goes on without, as far as the plan allows."""

    def __init__(self, plan: "Plan"):
        self.plan = plan
        self.lost: "dict[str, Cause]" = {}

    def bear(self, cause: "Cause", where: "set[str]") -> bool:
        """Whether the run goes on after this failure in these branches ("" is the common part)."""
        if "" in where or len(self.plan.branches) - len({*self.lost, *where}) < self.plan.branches_required:
            return False
        for branch in where:
            self.lost.setdefault(branch, cause)
        return True

    def too_many(self, failures: "list[tuple[Cause, set[str]]]") -> "Cause | None":
        """The first failure, in their order, after which the run cannot go on; those before it are recorded as lost."""
        for cause, where in failures:
            if not self.bear(cause, where):
                return self.explained(cause, where)
        return None

    def explained(self, cause: "Cause", where: "set[str]") -> "Cause":
        """The cause of the failure of the whole run."""
        every, required = len(self.plan.branches), self.plan.branches_required
        if "" in where or required == every:
            return cause
        left = every - len({*self.lost, *where})
        return {**cause, "msg": cause["msg"] + TOO_FEW % (left, every, required)}


def read_by_fan_out(verdict: "Verdict", link: "Joint") -> "int | None":
    """The bytes read by the fan-out that writes to a link; its output begins with "0" and this number.

    None if another stage writes to it.
    """
    said = verdict.stages.get(link["source"])
    words = said["stdout"].split() if said and "fan" in verdict.plan.stage(link["source"]) else []
    return int(words[1]) if len(words) > 1 and words[0] == "0" and words[1].isdecimal() else None


def branch_results(plan: "Plan", hosts: "dict[str, str]", verdict: "Verdict | None") -> "list[BranchResult]":
    """Each branch: ok if it got everything and its stages were accepted, even if the run failed elsewhere.

    None if nothing was to run.
    """
    ran = verdict is not None and not verdict.skipped
    causes: "dict[str, Cause]" = verdict.causes_of_branches() if verdict else {}
    return [
        {
            "name": branch["name"],
            "host": hosts[branch["end"]],
            "ok": branch["name"] not in causes if ran else None,
            "cause": causes.get(branch["name"]) if ran else None,
        }
        for branch in plan.branches
    ]


def warning_of(lost: "BranchResult", required: int) -> str:
    """A sentence for a task that went on without a branch."""
    cause = lost["cause"]["msg"] if lost["cause"] else ""
    return "the branch %s on %s failed, and the others went on (branches_required: %d): %s" % (
        (lost["name"], lost["host"], required, cause)
    )
