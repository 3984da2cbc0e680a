# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of a transfer: of a move, and of its failure, with what is at the destination then.

The controller makes them, or home for a transfer that outlives its controller.
"""

import time

from .._end.link import BROKEN
from .answers import Failure, answer_of, failure_of
from .report import Misfit, brief, each, record, within
from .result import link_result, rounded
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from .._end.records import StageReport
    from .records import Joint, TransferJob
    from .verdict import Verdict

SOURCE, DESTINATION = "source", "destination"
FAILED = "failed"  # the kind of any other problem of a program, as in _tape/common/problem.py
REPLACED = "replaced"  # the kind of a failure after the old file was replaced, as in _transfer/files.py
STOPPED = "stopped"  # that of one that only follows another, as there; or the job was stopped
CHANGED = "changed"
MAYBE = ". %s may have been replaced: it is the old or the new file, and complete"
PATH_MOST = 64 * 1024  # characters
MOST = 2**63
SECOND = 10**9
# fields that a failure has, too
NOTHING = (
    *("src", "dest", "source_host", "destination_host", "size", "mtime", "checksum", "owner", "group", "uid", "gid"),
    *("mode", "backup_file", "bytes", "resumed", "link", "run", "elapsed", "peer", "hosts", "archivers"),
)
text, count = brief(MOST), within(0, MOST)


def path(value: "Any", where: str) -> str:
    """Unchanged, since it is used again; unlike texts that are only shown."""
    if not isinstance(value, str) or "\0" in value or len(value) > PATH_MOST:
        raise Misfit(where)
    return value


def moment(value: "Any", where: str) -> int:
    """Nanoseconds since 1970, which may be before."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**80:
        raise Misfit(where)
    return value


FACTS: "dict[str, Callable[[Any, str], Any]]" = {
    **dict.fromkeys(("size", "inode", "device", "allocated", "mode", "uid", "gid"), count),
    "mtime": moment,
    "owner": text,
    "group": text,
}
MOVED = {"receive": record({**FACTS, "backup": path}), "receive-tree": record({"warnings": each(text, 5)})}


# -- failures


def after_failure(verdict: "Verdict", failure: "Failure", dest: str, link: "Joint") -> "Failure":
    """A failure that says what is at the destination, if that is not the old file for certain.

    ``link``: the one on which the file comes.
    """
    source, found = verdict.stages.get(link["source"]), verdict.stages.get(link["destination"])
    failure.started = verdict.started
    if found is not None:
        done = found["rc"] == 0 or failure.kind == REPLACED
        # a sink that was killed may have done it, but not before the end of its input, which is sent after an exit with
        # 0.  The state of the link does not tell: an end breaks the links of a stage that was killed
        ended = source is None or source["rc"] == 0 and not broken_before(verdict, link, source)
        failure.started = done or found["signal"] is not None and ended
    if found is not None and found["rc"] == 0:
        failure.text += ". But %s was complete, and has been replaced" % printable(dest)
    elif failure.started and failure.kind != REPLACED:
        failure.text += MAYBE % printable(dest)
    return failure


def broken_before(verdict: "Verdict", link: "Joint", source: "StageReport") -> bool:
    """Whether this link broke while the stage that writes to it was running, so that no end of file was sent."""
    side = verdict.sides.get((link["id"], "W"))
    if side is None or side["state"] not in BROKEN or side["ended_at"] is None or source["ended_at"] is None:
        return False
    return side["ended_at"] < source["ended_at"]


def after_failure_of_tree(verdict: "Verdict", failure: "Failure", dest: str) -> "Failure":
    """The same for a directory."""
    found = verdict.stages.get(DESTINATION)
    failure.started = verdict.started
    if found is not None:
        # a directory that changed after the look is not touched
        untouched = verdict.cause and verdict.cause.get("stage") == DESTINATION and failure.kind == CHANGED
        failure.started = found["started_at"] is not None and not untouched
    if found is not None and found["rc"] == 0:
        failure.text += ". But %s is complete" % printable(dest)
    elif failure.started:
        failure.text += ". %s is incomplete: it may have some of the new files, and old ones" % printable(dest)
    return failure


# -- results


def failed(kind: str, msg: str, host: str, changed: bool = False) -> "dict[str, Any]":
    """``changed``: whether the destination may have been replaced."""
    cause = {"kind": kind, "host": host, "msg": msg}
    return {"failed": True, "changed": changed, "msg": msg, "cause": cause, **dict.fromkeys(NOTHING)}


def facts(after: "Mapping[str, Any]") -> "dict[str, Any]":
    """The fields of the file at the destination."""
    found = {name: after[name] for name in ("size", "owner", "group", "uid", "gid")}
    return {**found, "mtime": round(after["mtime"] / SECOND, 6), "mode": "%04o" % after["mode"]}


def diff(dest: str, current: "Mapping[str, Any] | None", after: "Mapping[str, Any]") -> "dict[str, str]":
    """Attributes, since a file of any size is not shown."""
    header = printable(dest)
    return {
        "before_header": header,
        "before": described(current) if current else "",
        "after_header": header,
        "after": described(after),
    }


def described(found: "Mapping[str, Any]") -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(found["mtime"] // SECOND))
    lines = {
        "size": found["size"],
        "mtime": "%s.%09dZ" % (when, found["mtime"] % SECOND),
        "owner": found["owner"],
        "group": found["group"],
        "mode": "%04o" % found["mode"],
    }
    return "".join("%s: %s\n" % line for line in lines.items())


def transferred(verdict: "Verdict", elapsed: float, told: "TransferJob") -> "tuple[Any, list[str]]":
    """(the result, warnings) of a move that outlives its task."""
    try:
        return succeeded(verdict, elapsed, told)
    except Failure as exc:
        result = failed(exc.kind, exc.msg, exc.host, exc.started)
    result["run"] = verdict.plan.run
    return result, []


def succeeded(verdict: "Verdict", elapsed: float, told: "TransferJob") -> "tuple[Any, list[str]]":
    """The same; raises Failure."""
    plan, hosts = verdict.plan, verdict.hosts
    link = plan.links[0]
    if verdict.cause:
        failure = failure_of(verdict, verdict.cause)
        if told["command"] == "receive":
            raise after_failure(verdict, failure, told["path"], link)
        raise after_failure_of_tree(verdict, failure, told["path"])
    answer = answer_of(verdict, DESTINATION, hosts[DESTINATION], lambda found: MOVED[told["command"]](found, "answer"))
    moved = link_result(link, hosts, verdict, plan.options.get("rate_limit", 0))
    result = {**told["result"], "bytes": moved["bytes"], "link": moved, "run": plan.run, "elapsed": rounded(elapsed)}
    if told["command"] != "receive":
        return result, ["%s: %s" % (hosts[DESTINATION], printable(line)) for line in answer["warnings"]]
    result.update(facts(answer), backup_file=printable(answer["backup"]) or None)
    if told["diff"]:
        current: "Any" = told["current"]
        result["diff"] = [diff(told["path"], current, answer)]
    return result, []
