# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of an archive of tape_backup whose run outlives its task.

Home makes it, or the controller if the run has not started.  It comes back to a controller in the file of the job, from
a host, so that parses it again.
"""

from .answers import Failure, answer_of
from .report import brief, each, number, one_of, optional, record, row, within
from .result import POINTS_MOST, link_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .records import TapeJob
    from .verdict import Verdict

WRITTEN, FAILED = "written", "failed"  # states of an archive, as in _tape/host/catalog/records.py
MOST = 2**63
BRIEF = ("tape", "file", "device", "waited")  # fields for which there is always room
LACKING: "Any" = {"slow": "", "samples": [], "encryption": None}  # in place of others
NEXT = "on tape %s, but it is good only after its host has reported it: resume the run (tape_resume=%s)"
text, count = brief(2000), within(0, MOST)

SUNK = record(
    {
        "tape": text,
        "file": count,
        "bytes": optional(count),
        "elapsed": optional(number),
        "rate": optional(number),
        "waited": number,
        "device": text,
    }
)
POINT = row(number, optional(count), optional(number), optional(count), optional(number))
ENCRYPTION = optional(record({"how": one_of(("kernel", "relay")), "cipher": text, "records": count}))
# fields of a result that a later task uses, by its state
USED = {
    WRITTEN: record(
        {
            "waited": number,
            "slow": text,
            "samples": each(POINT, POINTS_MOST),
            "device": text,
            "encryption": ENCRYPTION,
        }
    ),
    FAILED: record({"kind": text, "msg": text, "note": text, "changed": lambda value, where: value is True}),
}


def succeeded(verdict: "Verdict", told: "TapeJob") -> "Any":
    """The result of an archive that is written, from a run that is ok; raises Failure."""
    plan, hosts, limit = verdict.plan, verdict.hosts, verdict.plan.options.get("rate_limit", 0)
    sunk = answer_of(verdict, told["sink"], hosts[told["tape_end"]], lambda found: SUNK(found, "sink"))
    link = link_result(plan.links[told["link"]], hosts, verdict, limit, told["limit_name"])
    more = {"changed": True, "state": WRITTEN, "msg": NEXT % (sunk["tape"], told["result"]["run"])}
    return {
        **told["result"],
        **more,
        **sunk,
        "slow": link["slow"],
        "samples": link["samples"],
        "encryption": link["encryption"],
    }


def failed(failure: "Failure", told: "TapeJob") -> "Any":
    host = str(told["result"]["host"])
    return {
        **told["result"],
        "failed": True,
        "changed": failure.started,
        "state": FAILED,
        "kind": failure.kind,
        "msg": failure.msg,
        "note": failure.note(host),
        "cause": {"kind": failure.kind, "host": failure.host or host, "msg": failure.msg},
    }


def hide(result: "Any") -> None:
    """Apply no_log to what the other fields of a result say."""
    if "note" in result:
        result["note"] = result["msg"]


def failure_in(result: "Any", host: str) -> "Failure":
    """The failure that a result tells; ``host``: that of the task."""
    note, msg = result["note"], result["msg"]
    if note == msg:
        return Failure(result["kind"], msg, started=result["changed"])
    return Failure(result["kind"], note, host, result["changed"], named=True)


def parsed(state: "Any") -> "Any":
    """What a later task uses of the result in the file of a job; raises Misfit."""
    kind = one_of((WRITTEN, FAILED))(state.get("state"), "state")
    return {"state": kind, **USED[kind]({**LACKING, "note": state.get("msg"), **state}, "result")}
