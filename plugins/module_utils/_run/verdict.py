# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a run was ok and, if not, what failed first.  The controller decides it from the reports of all ends.

"ok" needs every end: each stage was accepted, and each link was committed and read to its end, with as many bytes read
as sent.  The cause is a failure without an excuse.  A stage that failed only after one of its links was broken is a
victim, and the link leads to the other side.
"""

from .._end.wire import bounded
from . import beginning, sentences
from .words import explanation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import Report, SideReport, StageProblem, StageReport
    from .plan import Plan
    from .records import Advice, Cause, Joint, Outcome

    Suspect = tuple[float, Cause]  # (time of the failure, on the clock of the run, cause)

LATE = float("inf")
MSG_MOST = 4 * 1024  # characters of JSON; a result contains the message twice
# with the names of a task's options
ADVICE: "Advice" = {
    "early_exit": "if that is what you want, set early_exit for it",
    "timeout": "connect_timeout",
    "stalled": "stall_timeout",
    "not_connected": "Try address (addresses to dial), ports (ports that a firewall allows) or listen (which host "
    "listens), or test the network with preflight: true.",
}
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


class Verdict:
    """The outcome of one run: ``ok``, ``skipped``, ``cause`` (None when ok), and the reports of stages and links.

    The next step is result.shape.
    """

    def __init__(
        self,
        plan: "Plan",
        outcomes: "dict[str, Outcome]",
        hosts: "dict[str, str]",
        advice: "Advice | None" = None,
    ):
        """``outcomes``: {end: outcome}; ``hosts``: {end: name of its host}; ``advice``: ADVICE unless given."""
        self.plan, self.outcomes, self.hosts, self.advice = plan, outcomes, hosts, advice or ADVICE
        self.reports: "dict[str, Report]" = {end: outcome["report"] or {} for end, outcome in outcomes.items()}
        self.end_of = {s["name"]: end for end, spec in plan.ends.items() for s in spec["stages"]}
        self.stages: "dict[str, StageReport]" = {}
        self.sides: "dict[tuple[str, str], SideReport]" = {}
        for report in self.reports.values():
            self.stages.update((stage["name"], stage) for stage in report.get("stages", ()))
            self.sides.update(((side["id"], side["side"]), side) for side in report.get("links", ()))
        self.excused = self._excused()
        # if it has had links, the sink of this run created the file, and Ansible then ran the login a second time
        found = [r["skipped"] for end, r in self.reports.items() if "skipped" in r and not self.met(end)]
        self.skipped = sentences.skipped(found[0]) if found else ""
        self.cause = None if self.skipped else self._cause()
        if self.cause:
            self.cause["msg"] = bounded(self.cause["msg"], MSG_MOST, last=False)
        self.cause_of_launch = beginning.not_launched(self) or beginning.refused(self)
        self.ok = self.cause is None and not self.skipped

    @property
    def started(self) -> bool:
        """Whether any stage has run, or may have run at an end that was lost."""
        apart = any(report and not report.get("links") and not report.get("died") for report in self.reports.values())
        lost = not apart and any(outcome.get("lost") for outcome in self.outcomes.values())
        died = any(report.get("died") for report in self.reports.values())
        return lost or died or any(stage["started_at"] is not None for stage in self.stages.values())

    def met(self, end: str) -> bool:
        """Whether another end has made a link to this one, so it was running."""
        for spec in self.plan.links:
            ends = {spec["writer"], spec["reader"]}
            if end in ends and len(ends) == 2:
                (other,) = ends - {end}
                side = "W" if other == spec["writer"] else "R"
                if (spec["id"], side) in self.sides or self.reports.get(other, {}).get("died"):
                    return True
        return False

    def _excused(self) -> "set[str]":
        """Links that were broken because a reader was allowed to stop early, and the stages behind them."""
        excused = {link for (link, side), said in self.sides.items() if side == "R" and said["state"] == "left"}
        before = -1
        while len(excused) != before:
            before = len(excused)
            for name, stage in self.stages.items():
                if stage["blame"] and set(stage["blame"]) <= excused:
                    excused.add(name)
                    excused.update(link["id"] for link in self.plan.links if self._reads(name, link["id"]))
        return excused

    def _reads(self, stage: str, link: str) -> bool:
        return self.plan.stage(stage)["fds"].get("0") == link

    def _writes(self, stage: str) -> bool:
        return any(link["source"] == stage for link in self.plan.links)

    # -- what failed first

    def _cause(self) -> "Cause | None":
        for find in (beginning.not_launched, beginning.refused, beginning.not_connected):
            found = find(self)
            if found:
                return found
        cut = self._cut()
        if cut:
            return cut
        suspects = self._stages() + self._links() + self._ends()
        if suspects:
            return min(suspects, key=lambda item: item[0])[1]
        return self._disagreement()

    def _cut(self) -> "Cause | None":
        """The cause if a reader got an end of file that its writer did not send; later failures are consequences.

        Only an encrypted link shows this: an attacker can forge the end of a connection, but no record.
        """
        for spec in self.plan.links:
            writer, reader = self.sides.get((spec["id"], "W")), self.sides.get((spec["id"], "R"))
            if not writer or not reader or spec["id"] in self.excused or not by_kernel(reader):
                continue
            if by_kernel(writer) != by_kernel(reader) or reader["problem"]:
                continue
            if reader["ended"] and not reader["unread"] and records(writer) != records(reader):
                return self._cut_cause(spec["id"], writer, reader)
        return None

    def _cut_cause(self, link: str, writer: "SideReport", reader: "SideReport") -> "Cause":
        hosts = self._link_hosts(link)
        text = CUT % ((link,) + hosts + (hosts[0], records(writer), hosts[1], records(reader)))
        return {"kind": "cut on the way", "link": link, "host": hosts[0], "msg": text}

    def _stages(self) -> "list[Suspect]":
        found = []
        for name, stage in self.stages.items():
            problem = stage["problem"]
            if problem and self._at_fault(name):
                at = stage["ended_at"] if stage["ended_at"] is not None else stage["started_at"]
                found.append((LATE if at is None else at, self._stage_cause(name, stage, problem)))
        return found

    def _at_fault(self, name: str) -> bool:
        """Whether a stage failed before any of its links was broken; stopping an end breaks all its links."""
        stage = self.stages.get(name)
        return bool(stage and stage["problem"] and not stage["blame"]) and name not in self.excused

    def _stage_cause(self, name: str, stage: "StageReport", problem: "StageProblem") -> "Cause":
        host = self.hosts[self.end_of[name]]
        if problem["kind"] == "failed":
            text = sentences.exit_text(problem["signal"], stage["rc"], self.plan.stage(name)["ok_rc"])
            if stage["stderr"] is not None:
                last = explanation(stage["stderr"])
                text += ": %s" % last if last else ", with no output on standard error"
            rc = stage["rc"] or 0
            if "failed" in self.advice and rc > 0 and self._writes(name):
                codes = sorted({*self.plan.stage(name)["ok_rc"], rc})
                text += "; " + self.advice["failed"] % (name, ",".join(map(str, codes)))
        elif problem["kind"] == "not started":
            text = "could not be started: " + sentences.not_started(problem)
        elif problem["kind"] == "stopped reading":
            text = sentences.stopped_reading(problem, stage["rc"])
            text += "; %s" % self.advice["early_exit"] if "early_exit" in self.advice else ""
        elif problem["kind"] == "held":
            text = "%s; make it wait for that process, or close the output of that process" % sentences.held(problem)
        else:
            text = "could not be killed (pid %d)" % problem["pid"]
        sentence = "%s (%s) on %s %s" % (name, self.plan.stage(name)["argv"][0], host, text)
        return {"kind": problem["kind"], "stage": name, "host": host, "rc": stage["rc"], "msg": sentence}

    def _links(self) -> "list[Suspect]":
        found: "list[Suspect]" = []
        for (link, side), said in self.sides.items():
            problem = said["problem"]
            if problem and problem["kind"] != "cancelled" and link not in self.excused:
                kind, text = problem["kind"], sentences.link_problem(problem)
                hosts = self._link_hosts(link)
                sentence = "the link %s between %s and %s was aborted: %s" % ((link,) + hosts + (text,))
                sentence += " (%s)" % self.advice["stalled"] if kind == "stalled" and "stalled" in self.advice else ""
                at = LATE if said["ended_at"] is None else said["ended_at"]
                found.append(
                    (at, {"kind": kind, "link": link, "host": hosts[0 if side == "W" else 1], "msg": sentence})
                )
        return found

    def _link_hosts(self, link: str) -> "tuple[str, str]":
        spec = next(spec for spec in self.plan.links if spec["id"] == link)
        return self.hosts[spec["writer"]], self.hosts[spec["reader"]]

    def _ends(self) -> "list[Suspect]":
        """Ends that were stopped or never answered; the time is that of the first link that others saw break."""
        found: "list[Suspect]" = []
        for end, outcome in self.outcomes.items():
            report = self.reports[end]
            stop, text = report.get("cancelled"), ""
            if "died" in report:
                text = sentences.died(report["died"])
            elif stop:
                text = sentences.stopped(stop)
            if not report and outcome["error"]:
                lost = "the connection to it was lost" if outcome["kind"] == "unreachable" else "its end was lost"
                text = "%s: %s" % (lost, outcome["error"])
            elif (report.get("not_connected") or report.get("skipped")) and self.met(end):
                # the other ends had links, so Ansible ran this login a second time
                text = "the connection was lost; Ansible connected again, but a run cannot be resumed"
            if not text or self.by_us(end) or any(self._at_fault(s["name"]) for s in self.plan.ends[end]["stages"]):
                continue
            seen = [
                said["ended_at"]
                for (link, side), said in self.sides.items()
                if said["state"] in ("reset", "aborted") and said["ended_at"] is not None and self._touches(link, end)
            ]
            sentence = "on %s: %s" % (self.hosts[end], text)
            found.append((min(seen + [LATE]), {"kind": "end", "host": self.hosts[end], "msg": sentence}))
        return found

    def by_us(self, end: str) -> bool:
        """Whether the controller stopped this end because another had failed."""
        return bool(self.outcomes[end]["cancelled"])

    def _touches(self, link: str, end: str) -> bool:
        return any(spec["id"] == link and end in (spec["writer"], spec["reader"]) for spec in self.plan.links)

    def _is_to_be_encrypted(self, spec: "Joint") -> bool:
        apart = spec["writer"] != spec["reader"]
        return "certificates" in spec or apart and self.plan.options.get("kernel_tls", "") == "must"

    def _ended_with_another(self, spec: "Joint") -> str:
        """Why a stage has not written everything to one of its outputs: the reader of another was allowed to stop."""
        broken = self.stages[spec["source"]]["blame"]
        other = next(link["destination"] for link in self.plan.links if link["id"] in broken)
        return NOT_WITHOUT % (spec["source"], self.hosts[spec["writer"]], other, spec["destination"])

    def _disagreement(self) -> "Cause | None":
        """A failure that no end reports: the sides of a link disagree, or a stage has not run."""
        for spec in self.plan.links:
            link = spec["id"]
            if link in self.excused:
                continue
            writer, reader = self.sides.get((link, "W")), self.sides.get((link, "R"))
            hosts = self._link_hosts(link)
            if writer is None or reader is None:
                text = "there is no report of the link %s between %s and %s" % ((link,) + hosts)
            elif how(writer) != how(reader) or self._is_to_be_encrypted(spec) and not how(writer):
                text = "on the link %s, %s and %s did not encrypt in the same way" % ((link,) + hosts)
            elif by_kernel(writer) and not whole(writer, reader):
                return self._cut_cause(link, writer, reader)
            elif writer["state"] == "reset" and reader["state"] == "read":
                text = "on the link %s, the end of file came too early: did %s shut down its own standard output?" % (
                    (link, spec["source"])
                )
            elif writer["state"] == "aborted" and spec["source"] in self.excused:
                text = self._ended_with_another(spec)
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
                continue
            return {"kind": "link", "link": link, "host": hosts[0], "msg": text}
        for name, end in self.end_of.items():
            stage = self.stages.get(name)
            if name not in self.excused and (stage is None or stage["problem"] or stage["rc"] is None):
                text = "%s on %s did not finish" % (name, self.hosts[end])
                return {"kind": "stage", "stage": name, "host": self.hosts[end], "msg": text}
        return None
