# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a task and its fact, from a verdict; always the same shape."""

import time

from .._end.link import DONE, READ
from .._end.wire import bounded, to_json
from .sentences import listed, outcome
from .words import who_is_slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._end.records import Report, StageReport, StageSpec, Waited
    from .plan import Plan
    from .records import Cause, Flow, Joint, LinkResult, Point, Result, StageResult, Summary, Tried
    from .verdict import Verdict

TAIL = 4 * 1024  # characters as JSON: the standard error of a stage, after a success
ARGV = 2 * 1024  # characters of a command
FEW = 3  # up to this many commands get the full limits; more commands share them
# an event of ansible-runner contains a failed result twice: as JSON, and as JSON in the line that Ansible shows
SHOWN = 134_000  # characters: the standard error of what failed first; 64 KiB of plain text
SHOWN_TAIL = 2 * TAIL  # characters: the standard error of other stages, and the output of the last command
POINTS_MOST, FAILED_POINTS_MOST = 300, 20  # samples of all links together: after a success, after a failure
LEFT_MOST = 10  # processes listed by name
MANY = 8  # ends; with more, only up to so many stages and links that were not ok have all fields
STAGE_BRIEF = ("name", "host", "rc", "elapsed")
LINK_BRIEF = ("source", "destination", "bytes", "elapsed", "rate")
CENSORED = "no_log: true"  # in the results of tasks with no_log
DIALLED_MOST = 200  # attempts listed by a preflight, successful ones first


def rounded(value: "float | None", digits: int = 3) -> "float | None":
    return None if value is None else round(value, digits)


_costs: "dict[str, int]" = {}


def cost(character: str) -> int:
    """The length of a character in the event of a failed task."""
    found = _costs.get(character)
    if found is None:
        once = to_json(character)[1:-1]
        found = _costs[character] = len(once) + len(to_json(once)) - 2
    return found


def fitting(text: str, budget: int, last: bool) -> str:
    """The last or first part of a text, at most ``budget`` long in the event of a failed task."""
    for number, character in enumerate(reversed(text) if last else text):
        budget -= cost(character)
        if budget < 0:
            return text[len(text) - number :] if last else text[:number]
    return text


def clipped(argv: "list[str]", budget: int = ARGV) -> "list[str]":
    """A command of limited length, with a note of the omitted part."""
    words = []
    for number, word in enumerate(argv):
        if budget <= 0:
            words.append(f"… {len(argv) - number} more words")
            break
        words.append(word if len(word) <= budget else f"{word[:budget]}… {len(word) - budget} more characters")
        budget -= len(word)
    return words


def stage_result(
    spec: "StageSpec", host: str, said: "StageReport | None", cause: "Cause | None", count: int
) -> "StageResult":
    """One of ``count`` stages; ``said`` is its report, None if it has not run."""
    many = max(FEW, count)
    stderr = said["stderr"] or "" if said else ""
    stdout, truncated = (said["stdout"], said["stdout_truncated"]) if said else ("", False)
    if cause:
        first = cause.get("stage") == spec["name"]
        stderr = fitting(stderr, SHOWN if first else SHOWN_TAIL * FEW // many, last=True)
        whole, stdout = stdout, fitting(stdout, SHOWN_TAIL, last=False)
        truncated = truncated or stdout != whole
    else:
        stderr = bounded(stderr, TAIL * FEW // many, last=True)
    result: "StageResult" = {
        "name": spec["name"],
        "host": host,
        "argv": clipped(spec["argv"], ARGV * FEW // many),
        "rc": said["rc"] if said else None,
        "signal": said["signal"] if said else None,
        "elapsed": rounded(said["elapsed"]) if said else None,
        "cpu": rounded(said["cpu"]) if said else None,
        "stderr": stderr,
    }
    if "1" not in spec["fds"] and "fan" not in spec:
        result["stdout"] = stdout
        result["stdout_truncated"] = truncated
    return result


def link_result(
    spec: "Joint",
    hosts: "dict[str, str]",
    verdict: "Verdict | None",
    limit: int,
    limit_name: str = "rate_limit",
) -> "LinkResult":
    """One link, from the figures of both sides; None for a missing figure, as for a link within a host."""
    sides = verdict.sides if verdict else {}
    writer, reader = sides.get((spec["id"], "W")), sides.get((spec["id"], "R"))
    known = [side for side in (writer, reader) if side]
    # after a failure the last acknowledgements may be missing
    count = max((side["bytes"] for side in known if side["bytes"] is not None), default=None)
    elapsed = next((side["elapsed"] for side in known if side["elapsed"]), None)
    waited: "Waited" = writer["waited"] if writer else {"receiver": None, "buffer": None, "busy": None}
    flow: "Flow" = {
        "waited": waited,
        "elapsed": elapsed or 0.0,
        "moved": count or 0,
        "limit": limit,
        "limit_name": limit_name,
        "writer": spec["source"],
        "reader": spec["destination"],
    }
    return {
        "source": spec["source"],
        "destination": spec["destination"],
        "source_host": hosts[spec["writer"]],
        "destination_host": hosts[spec["reader"]],
        "source_address": writer["address"] if writer else "",
        "destination_address": reader and reader["address"] or writer and writer["peer"] or "",
        "bytes": count,
        "unread": reader["unread"] if reader else None,
        "padding": reader["padding"] if reader else None,
        "elapsed": rounded(elapsed),
        "rate": round(count / elapsed) if count is not None and elapsed else None,
        "rtt": rounded(writer["rtt"], 6) if writer else None,
        "retransmits": writer["retransmits"] if writer else None,
        "waited": {
            "receiver": rounded(waited["receiver"]),
            "buffer": rounded(waited["buffer"]),
            "busy": rounded(waited["busy"]),
        },
        "slow": who_is_slow(flow) if writer and flow["elapsed"] >= 1.0 else "",  # a shorter time says nothing
        "encryption": next((side["encryption"] for side in known if side["encryption"]), None),
        "samples": samples(verdict, spec["id"]) if verdict else [],
    }


def samples(verdict: "Verdict", link: str) -> "list[Point]":
    """The figures of a link over time; of many links only some of each, always with the last.

    An end repeats those of a link that has ended.
    """
    points = list({point[0]: point for point in verdict.points.get(link, [])}.values())
    most = max(2, (FAILED_POINTS_MOST if verdict.cause else POINTS_MOST) // max(1, len(verdict.points)))
    chosen = points[:: -max(1, -(-len(points) // most))][::-1]
    return [[rounded(at), count, rounded(rtt, 6), lost, rounded(waited)] for at, count, rtt, lost, waited in chosen]


def shape(plan: "Plan", hosts: "dict[str, str]", verdict: "Verdict | None", elapsed: "float | None") -> "Result":
    """The result without msg; ``verdict`` is None in check mode, which launches nothing."""
    cause = verdict.cause if verdict else None
    specs = [(end, stage) for end, spec in plan.ends.items() for stage in spec["stages"]]
    stages = []
    for end, stage in specs:
        said = verdict.stages.get(stage["name"]) if verdict else None
        stages.append(stage_result(stage, hosts[end], said, cause, MANY if len(plan.ends) > MANY else len(specs)))
    order = {name: number for number, name in enumerate(plan_order(plan))}
    stages.sort(key=lambda stage: order[stage["name"]])
    reports = verdict.reports if verdict else {}
    links = [link_result(spec, hosts, verdict, plan.options.get("rate_limit", 0)) for spec in plan.links]
    links.sort(key=lambda link: order[link["destination"]])
    total = bytes_at_the_end(plan, links)
    if len(plan.ends) > MANY:
        stages, links = shortened(plan, verdict, stages, links)
    result: "Result" = {
        "changed": verdict.started if verdict else True,
        "stages": stages,
        "links": links,
        "bytes": total,
        "elapsed": rounded(elapsed),
        "cause": cause,
        "run": plan.run,
        "strangers": sum(report["connect"]["strangers"] for report in reports.values() if "connect" in report),
        "left_running": left_running(hosts, reports),
    }
    if plan.branches:
        from .branches import branch_results  # needed only then

        result["branches"] = branch_results(plan, hosts, verdict)
    return result


def shortened(
    plan: "Plan", verdict: "Verdict | None", stages: "list[Any]", links: "list[Any]"
) -> "tuple[list[Any], list[Any]]":
    """Stages and links of a plan with many ends: all have few fields, but for the first that were not ok."""
    cause: "Any" = verdict.cause if verdict and verdict.cause else {}
    said, sides = (verdict.stages, verdict.sides) if verdict else ({}, {})
    failed = [s["name"] for s in stages if s["name"] in said and (said[s["name"]]["problem"] or s["rc"] is None)]
    ids = {link["destination"]: link["id"] for link in plan.links}  # a stage reads one link
    states = {
        stage: {sides[link, side]["state"] for side in "WR" if (link, side) in sides} for stage, link in ids.items()
    }
    broken = [stage for stage, state in states.items() if state and state != {DONE, READ}]
    last = [s["name"] for s in stages if "stdout" in s]
    whole = {
        *sorted(failed, key=lambda name: name != cause.get("stage"))[:MANY],
        *last[: MANY if len(last) <= MANY else 0],
    }
    torn = set(sorted(broken, key=lambda stage: ids[stage] != cause.get("link"))[:MANY])
    return (
        [s if s["name"] in whole else {name: s[name] for name in STAGE_BRIEF} for s in stages],
        [link if link["destination"] in torn else {name: link[name] for name in LINK_BRIEF} for link in links],
    )


def left_running(hosts: "dict[str, str]", reports: "dict[str, Report]") -> "list[str]":
    """ "db1: 4711 ssh-agent" for each process that outlives the run; the last entry counts the rest after LEFT_MOST."""
    found = [f"{hosts[end]}: {listed(each)}" for end, report in reports.items() for each in report.get("left", ())]
    more = [f"{len(found) - LEFT_MOST} more"] if len(found) > LEFT_MOST else []
    return found[:LEFT_MOST] + more


def concluded(plan: "Plan", hosts: "dict[str, str]", verdict: "Verdict", elapsed: float) -> "Result":
    """The result of a run, with msg, and whether it has failed or was skipped."""
    result = shape(plan, hosts, verdict, elapsed)
    if verdict.skipped:
        result["skipped"], result["changed"] = True, False
        result["msg"] = f"skipped, since {verdict.skipped}"
    elif verdict.cause:
        result["failed"], result["msg"] = True, verdict.cause["msg"]
    else:
        result["msg"] = "ok"
    return result


def hide(result: "Any") -> None:
    """Apply no_log: core 2.19 and later show the message of a failure despite it."""
    result["_ansible_no_log"] = True
    result["censored"] = CENSORED
    cause = result.get("cause")
    if result.get("failed") and cause:
        result["msg"] = cause["msg"] = masked(cause)


def masked(cause: "Cause") -> str:
    """What no_log leaves of a message."""
    where = f"{cause['stage']} on {cause['host']}" if "stage" in cause else cause["host"]
    return f"{where}: {cause['kind']} (no_log hides the rest)"


def refused(msg: str, host: str) -> "Result":
    """The result for invalid options, in the same shape; nothing was started."""
    return {
        "failed": True,
        "changed": False,
        "msg": msg,
        "cause": {"kind": "options", "host": host, "msg": msg},
        "stages": [],
        "links": [],
        "bytes": None,
        "elapsed": None,
        "run": None,
        "strangers": 0,
        "left_running": [],
    }


def plan_order(plan: "Plan") -> "list[str]":
    """Stage names from the source to the sink; of several successors, the first one with all that follow it."""
    names = [stage["name"] for end in plan.ends.values() for stage in end["stages"]]
    follows = {name: [link["destination"] for link in plan.links if link["source"] == name] for name in names}
    readers = {link["destination"] for link in plan.links}
    waiting = [name for name in names if name not in readers]
    ordered: "list[str]" = []
    while waiting:
        name = waiting.pop(0)
        ordered.append(name)
        waiting[:0] = follows[name]
    return ordered


def bytes_at_the_end(plan: "Plan", links: "list[LinkResult]") -> "int | None":
    """The bytes of the last link that counts them; of several last stages, those of the one that has read most."""
    into = {link["destination"]: link for link in links}
    sources = {link["source"] for link in links}
    found = []
    for name in into:
        link = into[name] if name not in sources else None
        while link and link["bytes"] is None:
            link = into.get(link["source"])
        if link and link["bytes"] is not None:
            found.append(link["bytes"])
    return max(found, default=None)


def summary(result: "Result") -> "Summary":
    """The fact, without argv, stderr and environment, because it may be cached on a disk."""
    told: "Summary" = {
        "run": result["run"],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ok": True,
        "bytes": result["bytes"],
        "elapsed": result["elapsed"],
        "rc": {stage["name"]: stage["rc"] for stage in result["stages"]},
    }
    if "peer" in result:
        told["peer"] = result["peer"]
    return told


def preflight_result(hosts: "dict[str, str]", reports: "dict[str, Report]") -> "list[Tried]":
    """[{from, to, address, port, ok, outcome}] for up to DIALLED_MOST attempts, successful ones first."""
    tried: "list[Tried]" = [
        {
            "from": hosts[end],
            "to": hosts[entry["end"]],
            "address": entry["address"],
            "port": entry["port"],
            "ok": entry["outcome"] == "ok",
            "outcome": outcome(entry),
        }
        for end, report in reports.items()
        if "connect" in report
        for entry in report["connect"]["dialled"]
    ]
    if len(tried) > DIALLED_MOST:
        tried.sort(key=lambda entry: not entry["ok"])
    return tried[:DIALLED_MOST]
