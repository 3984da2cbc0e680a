# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures before any stage started: an end that was not launched, refused its plan, or found no connection.

Each function returns the cause, or None if that is not what happened.
"""

from . import sentences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import ConnectReport
    from .records import Cause
    from .verdict import Verdict

MTU = (
    "They can reach each other, but large packets get lost on the way: probably a router or tunnel between them has a "
    "smaller MTU than the hosts, and a firewall drops the ICMP that says so. Let that pass, or lower the hosts' MTU."
)


def not_launched(verdict: "Verdict") -> "Cause | None":
    if any(report.get("links") for report in verdict.reports.values()):
        return None
    for end, outcome in verdict.outcomes.items():
        if not outcome["report"] and outcome["error"] and not outcome["cancelled"]:
            text = "no end could be started on %s: %s" % (verdict.hosts[end], outcome["error"])
            return {"kind": outcome["kind"], "host": verdict.hosts[end], "msg": text}
    return None


def refused(verdict: "Verdict") -> "Cause | None":
    for end, report in verdict.reports.items():
        if "refused" in report:
            where = verdict.hosts[end]
            if report.get("stage"):
                where = "%s on %s" % (report["stage"], where)
            cause: "Cause" = {
                "kind": "refused",
                "host": verdict.hosts[end],
                "msg": "%s: %s" % (where, sentences.refusal(report["refused"])),
            }
            if report.get("stage"):
                cause["stage"] = report["stage"]
            return cause
    return None


def not_connected(verdict: "Verdict") -> "Cause | None":
    late = {end: report for end, report in verdict.reports.items() if report.get("not_connected")}
    gone = any(
        r.get("links") or r.get("died") or r.get("cancelled") and not verdict.by_us(end)
        for end, r in verdict.reports.items()
    )
    if not late or gone:
        return None
    names = sorted(set(verdict.hosts.values()))
    large = any(report["connect"]["large"] for report in verdict.reports.values() if report.get("connect"))
    sentence = "no connection between %s within %d s (%s). %s %s" % (
        " and ".join(names) if len(names) > 1 else names[0],
        verdict.plan.options.get("connect_timeout", 30),
        verdict.advice["timeout"],
        who_tried_what(verdict),
        MTU if large else verdict.advice["not_connected"],
    )
    return {"kind": "not connected", "host": verdict.hosts[next(iter(late))], "msg": sentence}


def who_tried_what(verdict: "Verdict") -> str:
    """One sentence for each end: where it listened, what it dialled, and the outcomes."""
    found = [told(verdict.hosts, end, r["connect"]) for end, r in verdict.reports.items() if r.get("connect")]
    found += ["%s did not answer." % verdict.hosts[end] for end, o in verdict.outcomes.items() if o["report"] is None]
    return " ".join(found)


def told(hosts: "dict[str, str]", end: str, connect: "ConnectReport") -> str:
    """ "tape1 listened on port 5000 and dialled db1 at 192.0.2.1 port 5001 (timed out).\""""
    parts = []
    if connect["listening"]:
        parts.append("listened on port %s" % ", ".join(str(port) for port in connect["listening"]))
    elif connect["taken"]:
        parts.append(
            "could not listen, all its ports are taken (%s)" % "; ".join(map(sentences.taken, connect["taken"][:4]))
        )
    else:
        parts.append("did not listen")
    by_place: "dict[tuple[str, str, str], list[str]]" = {}
    for tried in connect["dialled"]:
        place = (hosts[tried["end"]], tried["address"], sentences.outcome(tried))
        by_place.setdefault(place, []).append(str(tried["port"]))
    for (host, address, outcome), ports in by_place.items():
        few = ", ".join(ports[:3]) + (" and %d more" % (len(ports) - 3) if len(ports) > 3 else "")
        parts.append("dialled %s at %s port %s (%s)" % (host, address, few, outcome))
    if not by_place:
        parts.append("had no address to dial" if connect["dials"] else "did not dial")
    return "%s %s." % (hosts[end], ", ".join(parts))
