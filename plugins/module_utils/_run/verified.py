# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of verifying archives on tape.

The controller makes it, or home for a run that outlives its task.
"""

from .answers import Failure, answer_of
from .counts import count
from .report import Misfit, brief, each, number, optional, record, within
from .words import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .records import VerifyJob
    from .report import Parser
    from .verdict import Verdict

MOST = 2**63  # of everything that another limit covers
# the lists of archives in the answer, and their names in the result, since Ansible's results have a field "failed"
LISTS = {"verified": "verified", "failed": "damaged", "not_verified": "not_verified"}
NOTHING = "no archive in the catalog matches, so nothing was verified: check the catalog with tape_inventory"
NOT_COPIED = "a run with async does not copy the catalog to tape_catalog_hosts: the next backup does"
text, whole = brief(MOST), within(0, MOST)


def seconds(value: "Any", where: str) -> "Any":
    found = number(value, where)
    if found < 0:
        raise Misfit(where)
    return found


def timed(fields: "dict[str, Parser]") -> "Parser":
    """An archive, and how long it was read, if it was."""
    plain, more = record(fields), record({**fields, "elapsed": seconds})
    return lambda value, where: (more if isinstance(value, dict) and "elapsed" in value else plain)(value, where)


READ: "dict[str, Parser]" = {
    **dict.fromkeys(("host", "set", "run", "tape"), text),
    **dict.fromkeys(("file", "level"), whole),
    "bytes": optional(whole),
}
NOT_GOOD = timed({**READ, "problem": text})
CHECKED = record(
    {
        "verified": each(timed(READ), MOST),
        "failed": each(NOT_GOOD, MOST),
        "not_verified": each(NOT_GOOD, MOST),
        "warnings": each(text, MOST),
    }
)


def succeeded(verdict: "Verdict", told: "VerifyJob") -> "Any":
    """The result of a verification that outlives its task, from a run that is ok; raises Failure."""
    host = verdict.hosts[told["tape_end"]]
    said = answer_of(verdict, told["stage"], host, lambda found: CHECKED(found, "verify"))
    return ending(said, said["warnings"] + ([NOT_COPIED] if told["copies"] else []))


def failed(failure: "Failure", _told: "VerifyJob") -> "Any":
    return {"failed": True, "changed": failure.started, "kind": failure.kind, "msg": failure.msg}


def ending(said: "Any", notes: "list[str]") -> "Any":
    """The result for this answer; raises Failure if there was nothing to verify."""
    found: "dict[str, list[Any]]" = {name: said[key] for key, name in LISTS.items()}
    if not any(found.values()):
        raise Failure("not found", NOTHING)
    result = {"changed": True, "msg": headline(found), **found, "notes": notes}
    if found["damaged"] or found["not_verified"]:
        kind = "damaged" if found["damaged"] else "absent"
        result.update(failed=True, kind=kind, msg=" ".join(filter(None, [why(found), absent(found)])))
    return result


def headline(found: "dict[str, list[Any]]") -> str:
    counts = "%d good, %d failed" % (len(found["verified"]), len(found["damaged"]))
    counts += ", %d not read" % len(found["not_verified"]) if found["not_verified"] else ""
    return "VERIFY %s  %s" % (counts, size(sum(archive["bytes"] or 0 for archive in found["verified"])))


def absent(found: "dict[str, list[Any]]") -> str:
    """A sentence on the archives that were not read, "" for none."""
    missing = found["not_verified"]
    if not missing:
        return ""
    reasons = "; ".join(dict.fromkeys(archive["problem"] for archive in missing))
    tapes = ", ".join(dict.fromkeys(archive["tape"] for archive in missing))
    counted = "%s not read" % count(len(missing), "archive was", "archives were")
    return "%s, so their state is unknown: %s. Load %s and verify again." % (counted, reasons, tapes)


def why(found: "dict[str, list[Any]]") -> str:
    """A sentence on the damaged archives, "" for none."""
    damaged, total = found["damaged"], sum(map(len, found.values()))
    if not damaged:
        return ""
    problems = "; ".join(archive["problem"] for archive in damaged)
    hosts = ", ".join(dict.fromkeys(archive["host"] for archive in damaged))
    told = (len(damaged), count(total, "archive"), "is" if len(damaged) == 1 else "are", problems, hosts)
    return "%d of %s %s damaged: %s. Back up those hosts again (%s), at tape_level 0." % told


def hide(result: "Any") -> None:
    """Nothing in it is secret but the message of a failure."""
