# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a restore from tape.

The controller makes it, or home for a restore that outlives its task.
"""

from .answers import answer_of
from .counts import count
from .report import brief, each, flag, record, within
from .result import link_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .answers import Failure
    from .records import RestoreAsked, RestoreJob
    from .report import Parser
    from .verdict import Verdict

MOST = 2**63  # of everything that another limit covers
INCOMPLETE = ". This restore is incomplete: start again with another restore_to"
NOT_VERIFIED = "not verified: reading ended with the last requested file, so no checksum was compared (tape_early_exit)"
NOT_RECORDED = "a restore with async is not recorded in the catalog as the last one of its host"
LISTS = ("missing", "errors", "tar_warnings")  # of texts, which quote names of files
text, number = brief(MOST), within(0, MOST)
texts = each(text, MOST)
OF_EXTRACTED: "dict[str, Parser]" = {
    "files": number,
    "deleted": number,
    "deleted_names": texts,
    "missing": texts,
    "gone": texts,
    "warnings": texts,
    "errors": texts,
    "error_count": number,
    "again": flag,
    "whole": flag,
}
EXTRACTED = record(OF_EXTRACTED)


def succeeded(verdict: "Verdict", told: "RestoreJob") -> "Any":
    """The result of a restore that outlives its task, from a run that is ok; raises Failure."""
    plan, hosts, limit = verdict.plan, verdict.hosts, verdict.plan.options.get("rate_limit", 0)
    result: "Any" = dict(told["result"])
    for archive, link in zip(result["archives"], told["links"]):
        found = link_result(plan.links[link], hosts, verdict, limit, told["limit_name"])
        archive["encryption"] = found["encryption"]
    asked = told["asked"]
    if asked is None:  # a command of the user has read it, and a stage before has compared the checksum
        return result
    parts = [
        answer_of(verdict, stage, asked["target"], lambda found: EXTRACTED(found, "extract"))
        for stage in told["stages"]
    ]
    missing = list(asked["paths"])
    for archive, part in zip(result["archives"], parts):
        archive["compared"] = part["whole"]
        missing = still_missing(missing, part)
    result.update(ending(asked, missing, parts))
    if not result.get("failed") and result["verified"]:
        result["notes"] = [NOT_RECORDED]
    return result


def failed(failure: "Failure", told: "RestoreJob") -> "Any":
    msg = failure.msg + (INCOMPLETE if told["asked"] else "")
    return {"failed": True, "changed": failure.started, "kind": failure.kind, "msg": msg}


def still_missing(paths: "list[str]", part: "Any") -> "list[str]":
    """The requested paths that are in no archive so far, after another one with this answer."""
    missing = [path for path in paths if path in part["missing"]]
    return missing + [path for path in part["gone"] if path not in missing]


def ending(asked: "RestoreAsked", missing: "list[str]", parts: "list[Any]") -> "Any":
    """The result of all archives; ``missing``: the requested paths that none has; ``parts``: their answers."""
    errors = [error for part in parts for error in part["errors"]]
    number_failed = sum(part["error_count"] for part in parts)
    verified = all(part["whole"] for part in parts)
    files, to = sum(part["files"] for part in parts), asked["to"]
    result: "Any" = {
        "changed": True,
        "files": files,
        "missing": missing,
        "removed": {
            "count": sum(part["deleted"] for part in parts),
            "names": [name for part in parts for name in part["deleted_names"]],
        },
        "errors": errors,
        "tar_warnings": [warning for part in parts for warning in part["warnings"]],
        "verified": verified,
        "notes": [],
        "msg": summary(asked, files, verified),
    }
    if number_failed:
        counted = count(number_failed, "file")
        msg = "%s could not be restored as they were; the rest is in %s: %s" % (counted, to, "; ".join(errors))
        result.update(failed=True, kind="failed", msg=msg)
    elif missing:
        up_to = " up to %s" % asked["as_of"] if asked["as_of"] else ""
        msg = "not in the archives of %s%s: %s. The rest is in %s. " % (asked["host"], up_to, ", ".join(missing), to)
        result.update(failed=True, kind="not found", msg=msg + "Find the archives of a path with tape_find")
    return result


def summary(asked: "RestoreAsked", files: int, verified: bool) -> str:
    found = "%s in %s of %s" % (count(files, "file"), asked["to"], asked["target"])
    return found if verified else "%s, %s" % (found, NOT_VERIFIED)


def hide(result: "Any") -> None:
    """Apply no_log to what names files."""
    for name in LISTS:
        if name in result:
            result[name] = []
    if "removed" in result:
        result["removed"] = {**result["removed"], "names": []}
