# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_verify: reads archives from tape and compares their checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..module_utils._run.verified import ending, headline
from ..plugin_utils import _tape_table as table
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_copies import copy_catalog
from ..plugin_utils._tape_jobs import finished, start_verification
from ..plugin_utils._tape_spec import VERIFY

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Checked
    from ..plugin_utils._tape_records import TaskResult

HEADS = ("HOST", "RESULT", "LEVEL", "SIZE", "TIME", "TAPE:FILE", "RUN", "NOTE")
# the lists of archives, and the word for each
OUTCOMES = {"verified": "good", "not_verified": "not read", "damaged": "FAILED"}


class ActionModule(TapeAction):
    """Records the outcomes in the catalog; fails if a checksum differs or an archive was not read."""

    SPEC = VERIFY
    DETACHES = True

    def outcome(self) -> TaskResult:
        return finished(self, super().outcome())

    def work(self) -> TaskResult:
        if self._task.check_mode:
            return {"msg": "would read the archives", **{name: [] for name in OUTCOMES}, "notes": []}
        words = ["verify"]
        for name in ("run", "tape", "host"):
            words += option(name, self.args[f"tape_of_{name}"])
        if self._task.async_val:
            return dict(start_verification(self, words))
        said: Checked = self.ask(words)
        result: TaskResult = ending(said, said["warnings"])
        result["notes"] += copy_catalog(self)
        self.show([headline(result), *self.table(result), *(f"Warning {each}" for each in result["notes"])])
        return result

    @staticmethod
    def table(found: TaskResult) -> list[str]:
        rows = [
            [each["host"], result, each["level"], table.bytes_of(each["bytes"]), table.duration(each.get("elapsed"))]
            + [table.where(each), each["run"], each.get("problem", "")]
            for name, result in OUTCOMES.items()
            for each in found[name]
        ]
        return table.lines(HEADS, rows)
