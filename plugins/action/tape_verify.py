# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_verify: reads archives from tape and compares their checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..module_utils._run.answers import Failure
from ..plugin_utils import _tape_table as table
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_copies import copy_catalog
from ..plugin_utils._tape_spec import VERIFY

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Checked, Read
    from ..plugin_utils._tape_records import TaskResult

HEADS = ("HOST", "RESULT", "LEVEL", "SIZE", "TIME", "TAPE:FILE", "RUN", "NOTE")
# the lists of archives, and the word for each
OUTCOMES = {"verified": "good", "not_verified": "not read", "damaged": "FAILED"}


class ActionModule(TapeAction):
    """Records the outcomes in the catalog; fails if a checksum differs or an archive was not read."""

    SPEC = VERIFY

    def work(self) -> TaskResult:
        if self._task.check_mode:
            return {"msg": "would read the archives", **{name: [] for name in OUTCOMES}, "notes": []}
        words = ["verify"]
        for name in ("run", "tape", "host"):
            words += option(name, self.args[f"tape_of_{name}"])
        said: Checked = self.ask(words)
        found = {"verified": said["verified"], "not_verified": said["not_verified"], "damaged": said["failed"]}
        if not any(found.values()):
            raise Failure(
                "not found",
                "no archive in the catalog matches, so nothing was verified: check the catalog with tape_inventory",
            )
        warnings = said["warnings"] + copy_catalog(self)
        self.show([self.headline(found), *self.table(found), *(f"Warning {each}" for each in warnings)])
        result = {"changed": True, "msg": self.headline(found), **found, "notes": warnings}
        if found["damaged"] or found["not_verified"]:
            kind = "damaged" if found["damaged"] else "absent"
            result.update(failed=True, kind=kind, msg=" ".join(filter(None, [self.why(found), self.absent(found)])))
        return result

    @staticmethod
    def headline(found: dict[str, list[Read]]) -> str:
        counts = f"{len(found['verified'])} good, {len(found['damaged'])} failed"
        counts += f", {len(found['not_verified'])} not read" if found["not_verified"] else ""
        return f"VERIFY {counts}  {table.bytes_of(sum(each['bytes'] or 0 for each in found['verified']))}"

    @staticmethod
    def table(found: dict[str, list[Read]]) -> list[str]:
        rows = [
            [each["host"], result, each["level"], table.bytes_of(each["bytes"]), table.duration(each.get("elapsed"))]
            + [table.where(each), each["run"], each.get("problem", "")]
            for name, result in OUTCOMES.items()
            for each in found[name]
        ]
        return table.lines(HEADS, rows)

    @staticmethod
    def absent(found: dict[str, list[Read]]) -> str:
        """A sentence on the archives that were not read, "" for none."""
        missing = found["not_verified"]
        if not missing:
            return ""
        reasons = "; ".join(dict.fromkeys(each["problem"] for each in missing))
        tapes = ", ".join(dict.fromkeys(each["tape"] for each in missing))
        counted = f"{table.count(len(missing), 'archive was', 'archives were')} not read"
        return f"{counted}, so their state is unknown: {reasons}. Load {tapes} and verify again."

    @staticmethod
    def why(found: dict[str, list[Read]]) -> str:
        if not found["damaged"]:
            return ""
        failed, total = found["damaged"], sum(map(len, found.values()))
        problems = "; ".join(each["problem"] for each in failed)
        hosts = ", ".join(dict.fromkeys(each["host"] for each in failed))
        verb = "is" if len(failed) == 1 else "are"
        return (
            f"{len(failed)} of {table.count(total, 'archive')} {verb} damaged: {problems}. "
            f"Back up those hosts again ({hosts}), at tape_level 0."
        )
