# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_label: labels the tape in a drive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_copies import copy_catalog
from ..plugin_utils._tape_spec import LABEL
from ..plugin_utils._tape_table import bytes_of

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Labelled
    from ..plugin_utils._tape_records import TaskResult


class ActionModule(TapeAction):
    """Labels a tape; backups write only to labelled tapes."""

    SPEC = LABEL

    def arguments(self) -> dict[str, Any]:
        if not self._task.args.get("tape_label"):
            raise Failure("settings", "tape_label is empty: give the tape a name, such as WEEK01")
        return super().arguments()

    def work(self) -> TaskResult:
        args = self.args
        words = ["label", f"--label={args['tape_label']}"]
        for name in ("device", "barcode", "overwrite"):
            words += option(name, args[f"tape_{name}"])
        if self._task.check_mode:
            return {
                "changed": True,
                "msg": f"would label a tape {args['tape_label']} on {self.tape_host}",
                "notes": [],
            }
        made: Labelled = self.ask(words)
        warnings = made.pop("warnings", []) + copy_catalog(self)
        msg = f"labelled {made['label']}, in blocks of {bytes_of(made['block_size'])}, at {made['labelled']}"
        self.show([f"LABEL {msg}", *(f"Warning {warning}" for warning in warnings)])
        return {**made, "changed": True, "msg": msg, "notes": warnings}
