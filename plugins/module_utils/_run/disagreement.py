# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures that no end reports: the two sides of a link disagree, or a stage has not finished."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import SideReport
    from .records import Cause, Joint
    from .verdict import Verdict

CUT = "the link %s between %s and %s was cut on the way: %s sent %s records, %s received %s; is somebody in between?"
NOT_WITHOUT = "%s on %s ended when %s had stopped reading, and so before %s had everything; it must go on without it"
NEITHER = "the link %s between %s and %s was cut on the way: neither host closed it; is somebody in between?"


def how(side: "SideReport") -> "tuple[str, str] | None":
    """How a link was encrypted, and with which cipher."""
    found = side["encryption"]
    return (found["how"], found["cipher"]) if found else None


def by_kernel(side: "SideReport") -> str:
    """The cipher of a link that the kernel has encrypted, else ""."""
    found = side["encryption"]
    return found["cipher"] if found and found["how"] == "kernel" else ""


def records(side: "SideReport") -> "int | None":
    found = side["encryption"]
    return found["records"] if found else None


def whole(writer: "SideReport", reader: "SideReport") -> bool:
    """Whether all records of an encrypted link have arrived, and its end, too, or was said by the writer's command."""
    counted = records(writer) is not None and records(writer) == records(reader)
    return counted and (writer["state"], reader["state"]) in (("done", "read"), ("reset", "read"))


def cut_cause(verdict: "Verdict", link: str, writer: "SideReport", reader: "SideReport") -> "Cause":
    hosts = verdict.link_hosts(link)
    text = CUT % ((link,) + hosts + (hosts[0], records(writer), hosts[1], records(reader)))
    return {"kind": "cut on the way", "link": link, "host": hosts[0], "msg": text}


def is_to_be_encrypted(verdict: "Verdict", spec: "Joint") -> bool:
    apart = spec["writer"] != spec["reader"]
    return "certificates" in spec or apart and verdict.plan.options.get("kernel_tls", "") == "must"


def ended_with_another(verdict: "Verdict", spec: "Joint") -> str:
    """Why a stage has not written everything to one of its outputs: the reader of another was allowed to stop."""
    broken = verdict.stages[spec["source"]]["blame"]
    other = next((link["destination"] for link in verdict.plan.links if link["id"] in broken), "another")
    return NOT_WITHOUT % (spec["source"], verdict.hosts[spec["writer"]], other, spec["destination"])


def differs_from_fan_out(verdict: "Verdict", spec: "Joint", reader: "SideReport") -> str:
    """That a branch has got another number of bytes than the fan-out has read, "" if not."""
    if not verdict.plan.branches:
        return ""
    from .branches import read_by_fan_out  # needed only then

    total = read_by_fan_out(verdict, spec)
    if None in (total, reader["bytes"]) or total == reader["bytes"]:
        return ""
    return "%s received %s bytes, but the fan-out has read %s" % (spec["destination"], reader["bytes"], total)


def disagreements(verdict: "Verdict") -> "list[tuple[Cause, set[str]]]":
    """Failures that no end reports: the sides of a link disagree, or a stage has not run."""
    found: "list[tuple[Cause, set[str]]]" = []
    # links that an end has broken come last, because they are consequences
    for spec in sorted(verdict.plan.links, key=lambda spec: is_aborted(verdict, spec["id"])):
        cause = None if spec["id"] in verdict.excused else link_cause(verdict, spec)
        if cause:
            found.append((cause, verdict.branches(spec["id"])))
    for name, end in verdict.end_of.items():
        stage = verdict.stages.get(name)
        if name not in verdict.excused and (stage is None or stage["problem"] or stage["rc"] is None):
            text = "%s on %s did not finish" % (name, verdict.hosts[end])
            unfinished: "Cause" = {"kind": "stage", "stage": name, "host": verdict.hosts[end], "msg": text}
            found.append((unfinished, {verdict.plan.branch_of(name)}))
    return found


def is_aborted(verdict: "Verdict", link: str) -> bool:
    return any(verdict.sides[link, side]["state"] == "aborted" for side in "WR" if (link, side) in verdict.sides)


def link_cause(verdict: "Verdict", spec: "Joint") -> "Cause | None":
    """The failure if the sides of a link disagree."""
    link = spec["id"]
    writer, reader = verdict.sides.get((link, "W")), verdict.sides.get((link, "R"))
    hosts = verdict.link_hosts(link)
    if writer is None or reader is None:
        text = "there is no report of the link %s between %s and %s" % ((link,) + hosts)
    elif how(writer) != how(reader) or is_to_be_encrypted(verdict, spec) and not how(writer):
        text = "on the link %s, %s and %s did not encrypt in the same way" % ((link,) + hosts)
    elif by_kernel(writer) and not whole(writer, reader):
        return cut_cause(verdict, link, writer, reader)
    elif writer["state"] == "reset" and reader["state"] == "read":
        text = "on the link %s, the end of file came too early: did %s shut down its own standard output?" % (
            (link, spec["source"])
        )
    elif writer["state"] == "aborted" and spec["source"] in verdict.excused & {*verdict.stages}:
        text = ended_with_another(verdict, spec)
    elif how(writer) and (writer["state"], reader["state"]) != ("done", "read"):
        text = NEITHER % ((link,) + hosts)
        return {"kind": "cut on the way", "link": link, "host": hosts[0], "msg": text}
    elif (writer["state"], reader["state"]) != ("done", "read"):
        text = "the link %s between %s and %s broke, but neither host closed it (writer: %s, reader: %s)" % (
            (link,) + hosts + (writer["state"], reader["state"])
        )
        text += "; check firewalls, NAT and cables between them"
    elif None not in (writer["bytes"], reader["bytes"]) and writer["bytes"] != reader["bytes"]:
        text = "on the link %s, %s sent %s bytes and %s received %s" % (
            (link, hosts[0], writer["bytes"], hosts[1], reader["bytes"])
        )
    else:
        text = differs_from_fan_out(verdict, spec, reader)
        if not text:
            return None
    return {"kind": "link", "link": link, "host": hosts[0], "msg": text}
