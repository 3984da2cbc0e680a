# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of pipe and pipeline: of a preflight, and of check mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..module_utils._end.wire import bounded
from ..module_utils._run.beginning import NAMED, who_tried_what
from ..module_utils._run.result import preflight_result, shape
from ..module_utils._run.verdict import MSG_MOST, Verdict

if TYPE_CHECKING:
    from ..module_utils._run.plan import Plan
    from ..module_utils._run.records import Cause, Result


def not_run(plan: Plan, names: dict[str, str], checked: str) -> Result:
    """In check mode.

    ``names``: {end: name of its host}; ``checked``: what a preflight would check, "" if it is none.
    """
    result = shape(plan, names, None, None)
    result["msg"] = "would run " + ", ".join(f"{stage['name']} on {stage['host']}" for stage in result["stages"])
    if checked:
        result["changed"] = False
        result["msg"] = f"would check the network {checked}"
    return result


def preflight(plan: Plan, names: dict[str, str], verdict: Verdict) -> Result:
    """Fails if two hosts of a link cannot connect in any direction, or if the encryption cannot be had."""
    from ..module_utils._run.forecast import cause_of, forecast, in_words  # needed only here

    tried = preflight_result(names, verdict.reports)
    works = sorted({f"{t['from']} reaches {t['to']} at {t['address']}" for t in tried if t["ok"]})
    not_so = sorted({f"{t['from']} to {t['to']} at {t['address']}: {t['outcome']}" for t in tried if not t["ok"]})
    result = shape(plan, names, None, None)
    result["changed"], result["preflight"] = False, tried
    words = works + not_so or ["no network is needed"]
    found = forecast(plan, names, verdict.reports)
    if found:
        result["encryption"], words = found, words + in_words(found)
        result["cause"] = cause_of(found)
    if result["cause"]:
        result["failed"], words = True, [result["cause"]["msg"], *words]
    result["msg"] = bounded("; ".join(words), MSG_MOST, last=False)
    apart = not_joined(plan, verdict)
    if apart:
        result["failed"] = True
        sentence = f"{who_is_apart(plan, names, apart)}. {who_tried_what(verdict, set().union(*apart[:NAMED]))}"
        result["msg"] = bounded(sentence, MSG_MOST, last=False)
        cause: Cause = {"kind": "not connected", "host": names[apart[0][0]], "msg": result["msg"]}
        result["cause"] = cause
    return result


def not_joined(plan: Plan, verdict: Verdict) -> list[tuple[str, str]]:
    """The pairs of ends that have a link, and cannot connect in any direction."""
    joined = {
        frozenset((end, tried["end"]))
        for end, report in verdict.reports.items()
        if "connect" in report
        for tried in report["connect"]["dialled"]
        if tried["outcome"] == "ok"
    }
    pairs = {(link["writer"], link["reader"]): None for link in plan.links if link["writer"] != link["reader"]}
    return [pair for pair in pairs if frozenset(pair) not in joined]


def who_is_apart(plan: Plan, names: dict[str, str], apart: list[tuple[str, str]]) -> str:
    """One sentence, which names up to NAMED of these pairs."""
    if len(plan.ends) == 2:
        return "neither host can reach the other"
    found = [f"neither of {names[one]} and {names[other]} can reach the other" for one, other in apart]
    more = [f"neither can the hosts of {len(found) - NAMED} more links"] if len(found) > NAMED else []
    return ", and ".join(found[:NAMED] + more)
