# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run that outlives its controller, by its kind: of commands, a transfer, or an archive on tape.

Home makes it, or the controller if the run does not start.
"""

from . import result as results
from . import tape_jobs, taped
from .plan import Plan
from .transferred import failed, transferred
from .written import pipeline_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .answers import Failure
    from .records import Cause, Job
    from .verdict import Verdict

SAID = ("argv", "stderr", "stdout")  # what no_log hides of a stage


def plan_of(job: "Job") -> Plan:
    """As home gets it."""
    if "chain" not in job:
        return Plan.restored(job["plan"])
    from .chained import ChainPlan  # shipped only then

    return ChainPlan.restored(job["plan"])


def result_of(job: "Job", verdict: "Verdict", elapsed: float) -> "tuple[Any, list[str]]":
    """(the result, warnings)."""
    if "transfer" in job:
        return transferred(verdict, elapsed, job["transfer"])
    if "chain" in job:
        from .chained import chained  # shipped only then

        return chained(verdict, elapsed, job["chain"]), []
    if "tape" in job:
        return tape_jobs.result(verdict, job["tape"]), []
    return pipeline_result(verdict.plan, verdict.hosts, verdict, elapsed, job["writes"])


def unknown(job: "Job", failure: "Failure", run: str) -> "Any":
    """The result if nobody knows what came of the run."""
    if "tape" in job:
        return tape_jobs.failed(failure, job["tape"])
    if "chain" in job:
        from .chained import unknown as unknown_chain  # shipped only then

        return unknown_chain(failure, job["chain"], run)
    kind, msg, host = failure.kind, failure.msg, failure.host
    result: "Any" = failed(kind, msg, host) if "transfer" in job else results.refused(msg, host)
    cause: "Cause" = {"kind": kind, "host": host, "msg": msg}
    result["cause"], result["run"], result["changed"] = cause, run, True
    return result


def hide(result: "Any") -> None:
    """Apply no_log to all that is in the file of the job."""
    results.hide(result)
    result.pop("diff", None)
    taped.hide(result)
    for stage in result.get("stages", ()):
        for name in SAID:
            stage.pop(name, None)
    for each in [*result.get("branches", ()), *(result.get("hosts") or {}).values()]:
        each["cause"] = each["cause"] and {**each["cause"], "msg": results.masked(each["cause"])}
