# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_catalog: copies the catalog, or recovers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..module_utils._run.answers import Failure
from ..plugin_utils._tape_action import TapeAction
from ..plugin_utils._tape_copies import copies_of_catalog, copy_catalog, import_catalog
from ..plugin_utils._tape_spec import CATALOG
from ..plugin_utils._tape_table import count

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Inventory
    from ..plugin_utils._tape_records import TaskResult


class ActionModule(TapeAction):
    """Three modes: copy to other hosts, import from one of them, rebuild from the tapes in the drives."""

    SPEC = CATALOG
    NEEDS_DRIVES = False

    def work(self) -> TaskResult:
        mode = self.args["mode"]
        if mode == "import" and not self.args["tape_catalog_from"]:
            raise Failure("settings", "tape_catalog_from: name the host that keeps a copy")
        if mode == "copy" and not set(self.args["tape_catalog_hosts"]) - {self.tape_host}:
            raise Failure("settings", f"tape_catalog_hosts: name a host for the copy, other than {self.tape_host}")
        if mode == "rebuild" and not self.args["tape_devices"]:
            raise Failure(
                "settings", f"{self.tape_host} has no drives to rebuild from: set tape_devices in its variables"
            )
        if self._task.check_mode:
            return {
                "changed": True,
                "msg": f"would {mode} the catalog of {self.tape_host}",
                "rebuilt": [],
                "notes": [],
            }
        result: TaskResult = {"changed": True, "rebuilt": [], "notes": []}
        if mode == "copy":
            self.copy(result)
        elif mode == "import":
            copy_of = self.args["tape_copy_of"] or self.tape_host
            result["notes"] = import_catalog(self, self.args["tape_catalog_from"], copy_of)
            result["msg"] = f"imported the catalog from {self.args['tape_catalog_from']}"
        else:
            self.rebuild(result)
        self.show([f"CATALOG {result['msg']}", *(f"Warning {each}" for each in result["notes"])])
        return result

    def copy(self, result: TaskResult) -> None:
        """Raises Failure if no copy was made."""
        copies = copies_of_catalog(self)
        failures = [failure for failure in copies.values() if failure]
        if len(failures) == len(copies):
            raise Failure(failures[0].kind, "; ".join(failure.msg for failure in failures))
        result["notes"] = [failure.msg for failure in failures]
        good = [name for name, failure in copies.items() if not failure]
        which = f"{len(good)} of {len(copies)} hosts: " if failures else ""
        result["msg"] = f"copied the catalog of {self.tape_host} to {which}{', '.join(good)}"

    def rebuild(self, result: TaskResult) -> None:
        said: Inventory = self.ask(["inventory", "--rebuild"])
        result["rebuilt"] = said["rebuilt"]
        result["notes"] = [each["message"] for each in said["drives"] if each["message"]] + said["warnings"]
        result["notes"] += copy_catalog(self)
        added = sum(each["added"] for each in said["rebuilt"])
        tapes = ", ".join(each["label"] for each in said["rebuilt"]) or "no tape"
        result["msg"] = f"rebuilt from {tapes}: {count(added, 'archive')} added"
