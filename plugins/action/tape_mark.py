# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_mark: records that a tape is retired or there again, or where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure
from ..plugin_utils import _tape_table as table
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_copies import copy_catalog
from ..plugin_utils._tape_spec import MARK

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Marked
    from ..plugin_utils._tape_records import TaskResult


class ActionModule(TapeAction):
    """Changes only the catalog."""

    SPEC = MARK
    NEEDS_DRIVES = False

    def arguments(self) -> dict[str, Any]:
        if not self._task.args.get("tape_label"):
            raise Failure("settings", "tape_label is empty: name a tape of the catalog, such as WEEK01")
        return super().arguments()

    def work(self) -> TaskResult:
        args = self.args
        words = ["mark", f"--label={args['tape_label']}"]
        for name in ("reason", "location"):
            words += option(name, args[f"tape_{name}"])
        words += ["--found"] if args["tape_found"] else []
        words += ["--dry"] if self._task.check_mode else []
        said: Marked = self.ask(words)
        warnings = said["warnings"]
        if said["changed"] and not self._task.check_mode:
            warnings = warnings + copy_catalog(self)
        lines = self.lines(said)
        self.show([*lines, *(f"Warning {each}" for each in warnings)])
        told = {name: value for name, value in said.items() if name != "warnings"}  # which core removes from a result
        return {**told, "msg": ". ".join(lines), "notes": warnings}

    def lines(self, said: Marked) -> list[str]:
        """What was recorded, and what a retired tape takes with it."""
        args = self.args
        name = f"tape {said['label']}"
        if not said["changed"]:
            return [f"{name} is recorded like this already"]
        facts = [f"retired ({args['tape_reason']})"] if args["tape_reason"] else []
        facts += ["there again"] if args["tape_found"] else []
        facts += [f"its location is {args['tape_location']}"] if args["tape_location"] else []
        lines = [f"{'would record' if self._task.check_mode else 'recorded'} {name}: {', '.join(facts)}"]
        if said["archives"]:
            others = f", {said['increments']} of them on other tapes" if said["increments"] else ""
            lines.append(f"{table.count(said['archives'], 'archive')} cannot be restored any more{others}")
        if said["hosts"]:
            lines.append(f"Nothing else is left of {table.few(said['hosts'])}: back up these hosts now")
        return lines
