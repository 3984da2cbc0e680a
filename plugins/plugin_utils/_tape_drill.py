# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore drill: what its comparison found, as a result and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure
from . import _tape_table as table

if TYPE_CHECKING:
    from ..module_utils._tape.answers import ChainArchive, Extracted
    from ._tape_records import Findings, TaskResult

# options of a restore that a drill does not have, because it restores everything to a directory of its own
OTHERS = ("restore_paths", "restore_into_existing", "restore_delete", "restore_allow_root")
# kinds of failures that say nothing about the archives: the drill was not held
NOT_TRIED = ("absent", "busy", "loading", "settings", "unreachable", "not connected", "no tool", "answer")
MOST = 20  # differences to name


def check(args: Mapping[str, Any]) -> None:
    """Raises Failure for options that a drill does not have."""
    given = [name for name in OTHERS if args[name]]
    if given:
        why = "restores everything to a new directory, and removes it"
        raise Failure("settings", f"restore_drill {why}: leave out {', '.join(given)}")


def findings(archives: Sequence[ChainArchive], done: Sequence[Extracted]) -> Findings:
    """All differences between the restored files, the archives and the catalog."""
    differences, number = [], 0
    for archive, part in zip(archives, done):
        found = [*part.get("differences", []), *part["errors"]]
        number += part.get("difference_count", 0) + part["error_count"]
        if archive["files"] not in (None, part["files"]):
            names = table.count(part["files"], "name")
            found.append(f"run {archive['run']} has {names}, but its list in the catalog has {archive['files']}")
            number += 1
        differences += found
    removed, absent = sum(part["deleted"] for part in done), max((part.get("absent", 0) for part in done), default=0)
    if absent > removed:
        gone = table.count(absent - removed, "restored file is gone", "restored files are gone")
        differences.append(f"{gone}, and no archive records that it was deleted")
        number += absent - removed
    return {
        "compared": sum(part.get("compared", 0) for part in done),
        "differences": differences[:MOST],
        "difference_count": number,
    }


def result(host: str, archives: int, found: Findings, elapsed: float) -> TaskResult:
    """The result of the task; it fails if there is a difference."""
    counted = f"{table.count(found['compared'], 'file')} of {table.count(archives, 'archive')} compared"
    ok = not found["difference_count"]
    drill = {"host": host, "ok": ok, "elapsed": round(elapsed, 1), **found}
    if ok:
        return {"changed": True, "drill": drill, "msg": f"{host}: {counted}, no difference"}
    what = table.count(found["difference_count"], "difference")
    why = f"{host}: {counted}, {what}: {'; '.join(found['differences'][:3])}"
    return {"changed": True, "drill": drill, "failed": True, "kind": "damaged", "msg": why}


def lines(said: TaskResult) -> list[str]:
    """The result, for people."""
    drill = said["drill"]
    counted = said["msg"].split(": ")[1]
    head = (
        f"DRILL {drill['host']}  {'good' if drill['ok'] else 'FAILED'}  {table.duration(drill['elapsed'])}  {counted}"
    )
    return [head, *(f"Differs {each}" for each in drill["differences"])]
