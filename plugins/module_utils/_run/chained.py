# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer from one host to many, along a chain: who depends on whom, and the result of each host and of all.

The controller makes the results, or home for a transfer that outlives its controller.
"""

from .._end.wire import bounded
from .answers import Failure, answer_of, failure_of, reported
from .counts import few
from .disagreement import link_cause
from .plan import LATER_STALL, Plan
from .report import optional, record
from .result import link_result, rounded
from .transferred import FACTS, FAILED, MAYBE, REPLACED, STOPPED, after_failure, diff, failed, path, text
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Union

    from .records import Cause, ChainJob, CopyResult, CopyTold, Joint, LinkResult
    from .verdict import Verdict

    Arrived = tuple[Any, LinkResult]  # the file, the link to it
    Found = Union[Arrived, Failure]

NAMED = 5  # hosts that a message names
MSGS_MOST = 48 * 1024  # characters of the messages of all hosts in a result, which an event contains twice
MSG_LEAST = 100  # characters of the message of a host
NOT_ARRIVED = "the file did not arrive, because %s failed"
ALONG = record(
    {
        "file": optional(record({**FACTS, "backup": path})),
        "problem": optional(record({"kind": text, "msg": text})),
    }
)
FIELDS = ("kind", "text", "host", "started", "named")  # of a Failure


class ChainPlan(Plan):
    """A plan in which each host goes on without those behind it.

    So the failure of an end stops those behind it, not those before it.  Each host notices a stall later than those
    behind it, and so drops them rather than stops.
    """

    def depending(self, end: str) -> "set[str]":
        ends = [*self.ends]
        return {*ends[ends.index(end) :]}

    def stall_timeout(self, link: "Joint") -> int:
        seconds: int = super().stall_timeout(link)
        behind = sum(other["index"] > link["index"] for other in self.links)
        return seconds + LATER_STALL * behind if seconds else 0


# -- what came of a run


def results(verdict: "Verdict", paths: "Mapping[str, str]") -> "dict[str, Found]":
    """By end; ``paths``: the destination of each."""
    found: "dict[str, Found]" = {}
    for link in verdict.plan.links:
        try:
            found[link["reader"]] = arrived(verdict, link, paths[link["reader"]])
        except Failure as exc:
            found[link["reader"]] = exc
    if verdict.cause:
        blame(verdict, verdict.cause, found)
    return found


def arrived(verdict: "Verdict", link: "Joint", dest: str) -> "Arrived":
    """The file at the reader of this link; raises Failure, of the kind STOPPED if others may be the cause."""
    end = link["reader"]
    host, stage = verdict.hosts[end], verdict.stages.get(end)
    if stage is None or stage["rc"] != 0:
        kind, said = reported(stage) if stage else ("", "")
        told = kind == FAILED and was_told_to_stop(verdict, end)
        lost = Failure(STOPPED, "") if told or kind in ("", STOPPED) else Failure(kind, said, host, named=True)
        raise after_failure(verdict, lost, dest, link)
    try:
        answer = answer_of(verdict, end, host, lambda found: ALONG(found, "receive-along"))
        disagreement = link_cause(verdict, link)
        if disagreement:
            raise Failure(disagreement["kind"], disagreement["msg"], disagreement["host"])
    except Failure as exc:
        raise after_failure(verdict, exc, dest, link) from None
    problem = answer["problem"]
    if problem or not answer["file"]:
        kind, said = (problem["kind"], problem["msg"]) if problem else ("answer", "invalid answer")
        raise Failure(kind, said, host, kind == REPLACED, named=True)
    return answer["file"], link_result(link, verdict.hosts, verdict, verdict.plan.options.get("rate_limit", 0))


def was_told_to_stop(verdict: "Verdict", end: str) -> bool:
    """Whether this end was, before its program failed: that then says by which signal it has ended."""
    return bool(verdict.reports[end].get("cancelled") and verdict.stages[end]["blame"])


def blame(verdict: "Verdict", cause: "Cause", found: "dict[str, Found]") -> None:
    """Give the cause of the run to the host that failed first, and name that host for those that only stopped.

    If the job was stopped, that is the cause for all of them.
    """
    failure = failure_of(verdict, cause)
    stopped = {end: each for end, each in found.items() if isinstance(each, Failure) and each.kind == STOPPED}
    culprit = culprit_of(verdict, cause, [*stopped])
    who = verdict.hosts[culprit] if culprit else cause["host"]
    for end, each in stopped.items():
        if end == culprit or cause["kind"] == STOPPED:
            said = failure.text + each.text
            found[end] = Failure(failure.kind, said, failure.host, each.started, failure.named)
        else:
            found[end] = Failure(STOPPED, NOT_ARRIVED % who + each.text, who, each.started)


def culprit_of(verdict: "Verdict", cause: "Cause", stopped: "list[str]") -> str:
    """Which of these ends the cause is about: its host, or the one that reads its link; "" for none."""
    for link in verdict.plan.links:
        if link["id"] == cause.get("link"):
            return link["reader"] if link["reader"] in stopped else ""
    return next((end for end in stopped if verdict.hosts[end] == cause["host"]), "")


# -- the result


class Copy:
    """One host: what the look found, and what came of it."""

    def __init__(self, name: str):
        self.name = name
        self.do = ""  # of the look: nothing, settle, move; "" if that failed
        self.path = ""
        self.current: "Any" = None  # the old file
        self.after: "Any" = None  # the file as it is now or, in check mode, as it would be
        self.changed = False
        self.backup = ""
        self.failure: "Failure | None" = None

    def looked(self, look: "Mapping[str, Any]") -> None:
        self.do, self.path = look["do"], look["path"]
        self.current, self.after, self.changed = look["current"], look["after"], look["do"] != "nothing"

    def fail(self, failure: Failure) -> None:
        self.failure, self.changed = failure, failure.started

    def told(self) -> "CopyTold":
        told: "Any" = dict(vars(self))
        told["failure"] = self.failure and [getattr(self.failure, name) for name in FIELDS]
        found: "CopyTold" = told
        return found

    @classmethod
    def restored(cls, told: "CopyTold") -> "Copy":
        copy = cls(told["name"])
        vars(copy).update(told)
        fields: "Any" = told["failure"]
        copy.failure = Failure(*fields) if fields else None
        return copy

    def shape(self, most: int) -> "CopyResult":
        """``most``: characters of its message."""
        cause: "Cause | None" = None
        if self.failure:
            msg = bounded(self.failure.msg, most, last=False)
            cause = {"kind": self.failure.kind, "host": self.failure.host or self.name, "msg": msg}
        return {
            "ok": not self.failure,
            "changed": self.changed,
            "cause": cause,
            "backup_file": printable(self.backup) or None,
        }


class Copies:
    """All hosts of a transfer, and its result."""

    def __init__(self, hosts: "dict[str, Copy]", source: "Mapping[str, Any] | None" = None):
        """``hosts``: by end, in the order of the task; ``source``: its fields of the result, if it can be sent."""
        self.hosts, self.source = hosts, source
        self.link: "LinkResult | None" = None  # to the first host of the chain
        self.run: "str | None" = None
        self.failure: "Failure | None" = None  # of the whole run
        self.before_all: "Failure | None" = None  # one that says more than those of the hosts

    def told(self, with_diff: bool) -> "ChainJob":
        hosts = {end: each.told() for end, each in self.hosts.items()}
        return {"hosts": hosts, "source": self.source or {}, "diff": with_diff}

    @classmethod
    def restored(cls, told: "ChainJob") -> "Copies":
        return cls({end: Copy.restored(each) for end, each in told["hosts"].items()}, told["source"])

    def to_do(self, what: str) -> "list[str]":
        """The ends that need this, "settle" or "move"."""
        return [end for end, each in self.hosts.items() if each.do == what]

    def arrive(self, verdict: "Verdict") -> None:
        """Take the results of the run of the chain."""
        for end, found in results(verdict, {end: self.hosts[end].path for end in self.to_do("move")}).items():
            if isinstance(found, Failure):
                self.hosts[end].fail(found)
                continue
            self.hosts[end].after, link = found
            self.hosts[end].backup = found[0]["backup"]
            self.link, self.run = self.link or link, verdict.plan.run
        if verdict.cause:
            self.failure = failure_of(verdict, verdict.cause)
            self.before_all = self.failure if verdict.cause["kind"] == STOPPED else None

    def bad(self) -> "dict[str, Failure]":
        return {each.name: each.failure for each in self.hosts.values() if each.failure}

    def result(self, with_diff: bool) -> "Any":
        result = self.failed() if self.failure or self.bad() else self.succeeded()
        if with_diff:
            result["diff"] = self.diffs()
        return result

    def succeeded(self) -> "Any":
        result = failed("", "ok", "", any(each.changed for each in self.hosts.values()))
        del result["failed"]
        link = self.link
        result.update(self.source or {}, cause=None, bytes=link["bytes"] if link else None, link=link, run=self.run)
        result["hosts"] = self.shapes()
        return result

    def failed(self) -> "Any":
        """The message names the hosts, and has the failure that came first, or that of the first of them."""
        bad = self.bad()
        own = [each for each in bad.values() if each.kind != STOPPED]
        first = self.before_all or (own[0] if own else self.failure or next(iter(bad.values())))
        result = failed(first.kind, first.msg, first.host, any(each.changed for each in self.hosts.values()))
        if self.source and len(bad) > 1:
            result["msg"] = "%d of %d hosts failed, %s: %s" % (len(bad), len(self.hosts), named(bad), first.msg)
        result["hosts"] = self.shapes()
        return result

    def shapes(self) -> "dict[str, CopyResult]":
        most = max(MSG_LEAST, MSGS_MOST // max(1, len(self.bad())))
        return {each.name: each.shape(most) for each in self.hosts.values()}

    def diffs(self) -> "list[dict[str, str]]":
        found = []
        for each in self.hosts.values():
            if each.do not in ("", "nothing"):
                shown = diff(each.path, each.current, each.after)
                shown.update({key: "%s: %s" % (each.name, shown[key]) for key in ("before_header", "after_header")})
                found.append(shown)
        return found


def named(bad: "Mapping[str, Failure]") -> str:
    """ "web1 (unreachable), web2 (no room) and 3 more"."""
    return few(["%s (%s)" % (name, each.kind) for name, each in bad.items()], most=NAMED)


# -- a transfer that outlives its task


def chained(verdict: "Verdict", elapsed: float, told: "ChainJob") -> "Any":
    """The result of its run."""
    copies = Copies.restored(told)
    copies.arrive(verdict)
    result = copies.result(told["diff"])
    result["run"] = verdict.plan.run
    if "failed" not in result:
        result["elapsed"] = rounded(elapsed)
    return result


def unknown(failure: Failure, told: "ChainJob", run: str) -> "Any":
    """The result if nobody knows what came of the run."""
    copies = Copies.restored(told)
    for each in [copies.hosts[end] for end in copies.to_do("move")]:
        each.fail(Failure(failure.kind, failure.text + MAYBE % printable(each.path), failure.host, started=True))
    copies.failure = copies.before_all = failure
    result = copies.result(told["diff"])
    result["run"] = run
    return result
