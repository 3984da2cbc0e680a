# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a pipeline: as of any run, with the files that its stages write, and the branches that it has lost.

The controller makes it, or home for a run that outlives its controller.
"""

from .._end.link import READ
from .branches import warning_of
from .result import concluded
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping

    from .plan import Plan
    from .records import Result
    from .verdict import Verdict


def after_failure(verdict: "Verdict", writes: "Mapping[str, str]", stages: "Iterable[str] | None" = None) -> str:
    """What a failure has to say about files that are written, "" if the old ones are there for certain.

    ``writes``: {stage: path}; ``stages``: only these.
    """
    said = ""
    for name, path in writes.items():
        if stages is not None and name not in stages:
            continue
        found, where = verdict.stages.get(name), "%s on %s" % (printable(path), verdict.hosts[verdict.end_of[name]])
        # one that was killed may have done it, but not before the end of its input
        side = verdict.sides.get((verdict.plan.stage(name)["fds"]["0"], "R"))
        ended = side is not None and side["state"] == READ
        if found is not None and found["rc"] == 0:
            said += ". But %s has been replaced" % where
        elif verdict.started and (found is None or found["signal"] is not None and ended):
            said += ". %s may have been replaced" % where
    return said


def pipeline_result(
    plan: "Plan", hosts: "dict[str, str]", verdict: "Verdict", elapsed: float, writes: "Mapping[str, str]"
) -> "tuple[Result, list[str]]":
    """(the result, a warning for each branch that it went on without)."""
    if verdict.cause:
        verdict.cause["msg"] += after_failure(verdict, writes)
    result = concluded(plan, hosts, verdict, elapsed)
    warnings = []
    for branch in result.get("branches", ()):
        if verdict.ok and not branch["ok"]:
            own = next(each["stages"] for each in plan.branches if each["name"] == branch["name"])
            if branch["cause"]:
                text = branch["cause"]["msg"] + after_failure(verdict, writes, own)
                branch["cause"] = {**branch["cause"], "msg": text}
            warnings.append(warning_of(branch, plan.branches_required))
    return result, warnings
