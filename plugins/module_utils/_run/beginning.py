# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures before any stage started: an end that was not launched, refused its plan, or found no connection.

Each function returns the cause, or None if that is not what happened.
"""

from . import sentences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from .._end.records import ConnectReport, Refusal
    from .records import Cause, Joint
    from .verdict import Verdict

NAMED = 5  # links that a message names
MTU = (
    "They can reach each other, but large packets get lost on the way: probably a router or tunnel between them has a "
    "smaller MTU than the hosts, and a firewall drops the ICMP that says so. Let that pass, or lower the hosts' MTU."
)


def not_launched(verdict: "Verdict") -> "Cause | None":
    for end, outcome in verdict.outcomes.items():
        if not outcome["report"] and outcome["error"] and not outcome["cancelled"] and not verdict.met(end):
            text = "no end could be started on %s: %s" % (verdict.hosts[end], outcome["error"])
            return {"kind": outcome["kind"], "host": verdict.hosts[end], "msg": text}
    return None


def refused(verdict: "Verdict") -> "Cause | None":
    # an end that waited in vain for another is a consequence
    found = [(end, report) for end, report in verdict.reports.items() if "refused" in report]
    for end, report in sorted(found, key=lambda item: item[1]["refused"]["kind"] == "not detached"):
        if "refused" in report:
            refusal = report["refused"]
            where = host = verdict.hosts[end]
            if report.get("stage"):
                where = "%s on %s" % (report["stage"], where)
            if refusal["kind"] == "not detached":  # the other end is to blame, even if it has nothing to say about it
                host = verdict.hosts.get(refusal["end"], host)
            cause: "Cause" = {
                "kind": "refused",
                "host": host,
                "msg": "%s: %s" % (where, sentences.refusal(with_host(refusal, verdict.hosts))),
            }
            if report.get("stage"):
                cause["stage"] = report["stage"]
            return cause
    return None


def with_host(problem: "Refusal", hosts: "dict[str, str]") -> "Refusal":
    """A refusal because of another end, with the name of its host."""
    if problem["kind"] == "not detached" or problem["kind"] == "control not encrypted":
        problem["end"] = hosts.get(problem["end"], problem["end"])
    return problem


def not_connected(verdict: "Verdict") -> "Cause | None":
    late = {end: report for end, report in verdict.reports.items() if report.get("not_connected")}
    gone = any(r.get("died") or r.get("cancelled") and not verdict.by_us(end) for end, r in verdict.reports.items())
    # a link that the other end has made was lost since
    missing = {link for r in late.values() for link in r["not_connected"]} - {link for link, _side in verdict.sides}
    links = [link for link in verdict.plan.links + verdict.plan.controls if link["id"] in missing]
    if not links or gone:
        return None
    ends = {end for link in links[:NAMED] for end in (link["writer"], link["reader"])}
    large = any(report["connect"]["large"] for report in verdict.reports.values() if report.get("connect"))
    sentence = "no connection %s within %d s (%s). %s %s" % (
        between(verdict, links),
        verdict.plan.options.get("connect_timeout", 30),
        verdict.advice["timeout"],
        who_tried_what(verdict, ends),
        MTU if large else verdict.advice["not_connected"],
    )
    cause: "Cause" = {"kind": "not connected", "host": verdict.hosts[next(iter(late))], "msg": sentence}
    if len(verdict.plan.ends) > 2 and links[0] not in verdict.plan.controls:
        cause["link"] = links[0]["id"]
    return cause


def between(verdict: "Verdict", links: "list[Joint]") -> str:
    """ "between db1 and tape1"; in a plan of more than two ends also the links, up to NAMED of them."""
    pairs = [" and ".join(sorted({verdict.hosts[link["writer"]], verdict.hosts[link["reader"]]})) for link in links]
    if len(verdict.plan.ends) <= 2:
        return "between %s" % pairs[0]
    controls = verdict.plan.controls
    uses = ["the control connection" if link in controls else "the link %s" % link["id"] for link in links]
    named = ["between %s for %s" % (pair, use) for pair, use in zip(pairs, uses)][:NAMED]
    more = ["for %d more links" % (len(links) - NAMED)] if len(links) > NAMED else []
    *first, last = named + more
    return "%s and %s" % (", ".join(first), last) if first else last


def who_tried_what(verdict: "Verdict", ends: "Iterable[str]") -> str:
    """One sentence for each of these ends: where it listened, what it dialled, and the outcomes."""
    asked = {end: report for end, report in verdict.reports.items() if end in ends}
    found = [told(verdict.hosts, end, report["connect"]) for end, report in asked.items() if report.get("connect")]
    found += ["%s did not answer." % verdict.hosts[end] for end in asked if verdict.outcomes[end]["report"] is None]
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
