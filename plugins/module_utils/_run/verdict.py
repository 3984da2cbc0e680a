# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a run was ok and, if not, what failed first.  The controller decides it from the reports of all ends.

"ok" needs every end: each stage was accepted, and each link was committed and read to its end, with as many bytes read
as sent.  The cause is a failure without an excuse.  A stage that failed only after one of its links was broken is a
victim, and the link leads to the other side.
"""

from .._end.wire import bounded
from . import beginning, sentences
from .disagreement import by_kernel, cut_cause, disagreements, records
from .words import explanation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._end.records import Report, SideReport, StageProblem, StageReport
    from .branches import Losses
    from .plan import Plan
    from .records import Advice, Cause, Outcome

    # (time of the failure, on the clock of the run; cause; branches that it is in, "" for the common part of the plan)
    Suspect = tuple[float, Cause, set[str]]

EARLY, LATE = float("-inf"), float("inf")
MSG_MOST = 4 * 1024  # characters of JSON; a result contains the message twice
# with the names of a task's options
ADVICE: "Advice" = {
    "early_exit": "if that is what you want, set early_exit for it",
    "timeout": "connect_timeout",
    "stalled": "stall_timeout",
    "not_connected": "Try address (addresses to dial), ports (ports that a firewall allows) or listen (which host "
    "listens), or test the network with preflight: true.",
}


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
        self.points: "dict[str, list[list[Any]]]" = {}  # by link: see LinkPoint, without its id
        for report in self.reports.values():
            for link, *point in [each for points in report.get("points", ()) for each in points]:
                self.points.setdefault(str(link), []).append(point)
        self.excused = self._excused(set())
        self.losses: "Losses | None" = None
        if plan.branches:
            from .branches import Losses  # needed only then

            self.losses = Losses(plan)
        # of a plan that forks, with their branches, the first one first
        self.failures: "list[tuple[Cause, set[str]]]" = []
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
        ends = [report for end, report in self.reports.items() if self.plan.ends[end]["stages"]]
        apart = any(report and not report.get("links") and not report.get("died") for report in ends)
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

    def _excused(self, lost: "set[str]") -> "set[str]":
        """Links that were broken because a reader was allowed to stop early, and the stages behind them.

        ``lost``: branches that were allowed to fail.
        """
        excused = {link["id"] for link in self.plan.links if self.plan.branch_of(link["destination"]) in lost}
        excused |= {stage for branch in self.plan.branches if branch["name"] in lost for stage in branch["stages"]}
        excused |= {link for (link, side), said in self.sides.items() if side == "R" and said["state"] == "left"}
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
        suspects = [(cause, where) for _at, cause, where in self._suspects()]
        if not self.losses or self._never_began():
            return next((cause for cause, _where in suspects or disagreements(self)), None)
        self.failures = suspects + disagreements(self)
        cause = self.losses.too_many(suspects)
        if not cause:
            self.excused = self._excused(set(self.losses.lost))
            cause = self.losses.too_many(disagreements(self))
        return cause

    def _never_began(self) -> bool:
        """Whether a stage before the fork did not start, and no link of its own explains that.

        Until the common start, every branch is required.
        """
        common = [said for name, said in self.stages.items() if not self.plan.branch_of(name)]
        return any(said["started_at"] is None and not said["blame"] for said in common)

    def causes_of_branches(self) -> "dict[str, Cause]":
        """The cause of the failure of each branch that is not ok.

        Links that break after the run has failed are consequences of that.
        """
        found: "dict[str, Cause]" = {}
        if self.cause and not self.failures:  # nothing was started
            found = {branch["name"]: self.cause for branch in self.plan.branches}
        for cause, where in self.failures:
            own = not self.cause or self.losses and where <= {*self.losses.lost} or "rc" in cause
            for branch in where - {""}:
                found.setdefault(branch, self.cause if self.cause and not own else cause)
        return found

    def _suspects(self) -> "list[Suspect]":
        """All failures that are not consequences of others, the first one first."""
        return sorted(self._cut() + self._stages() + self._links() + self._ends(), key=lambda suspect: suspect[0])

    def branches(self, link: str) -> "set[str]":
        return {self.plan.branch_of(spec["destination"]) for spec in self.plan.links if spec["id"] == link}

    def _cut(self) -> "list[Suspect]":
        """Links whose reader got an end of file that its writer did not send; later failures are consequences.

        Only an encrypted link shows this: an attacker can forge the end of a connection, but no record.
        """
        found: "list[Suspect]" = []
        for spec in self.plan.links:
            writer, reader = self.sides.get((spec["id"], "W")), self.sides.get((spec["id"], "R"))
            if not writer or not reader or spec["id"] in self.excused or not by_kernel(reader):
                continue
            if by_kernel(writer) != by_kernel(reader) or reader["problem"]:
                continue
            if reader["ended"] and not reader["unread"] and records(writer) != records(reader):
                found.append((EARLY, cut_cause(self, spec["id"], writer, reader), self.branches(spec["id"])))
        return found

    def _stages(self) -> "list[Suspect]":
        found: "list[Suspect]" = []
        for name, stage in self.stages.items():
            problem = stage["problem"]
            if problem and self._at_fault(name):
                at = stage["ended_at"] if stage["ended_at"] is not None else stage["started_at"]
                cause, where = self._stage_cause(name, stage, problem), {self.plan.branch_of(name)}
                found.append((LATE if at is None else at, cause, where))
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
                hosts = self.link_hosts(link)
                sentence = "the link %s between %s and %s was aborted: %s" % ((link,) + hosts + (text,))
                sentence += " (%s)" % self.advice["stalled"] if kind == "stalled" and "stalled" in self.advice else ""
                at = LATE if said["ended_at"] is None else said["ended_at"]
                cause: "Cause" = {"kind": kind, "link": link, "host": hosts[0 if side == "W" else 1], "msg": sentence}
                found.append((at, cause, self.branches(link)))
        return found

    def link_hosts(self, link: str) -> "tuple[str, str]":
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
            cause: "Cause" = {"kind": "end", "host": self.hosts[end], "msg": sentence}
            found.append((min(seen + [LATE]), cause, self.plan.branches_at(end)))
        return found

    def by_us(self, end: str) -> bool:
        """Whether the controller stopped this end because another had failed."""
        return bool(self.outcomes[end]["cancelled"])

    def _touches(self, link: str, end: str) -> bool:
        return any(spec["id"] == link and end in (spec["writer"], spec["reader"]) for spec in self.plan.links)
