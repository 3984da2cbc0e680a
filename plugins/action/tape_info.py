# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_info: reports drives, tapes and archives; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure
from ..plugin_utils import _tape_list as listing
from ..plugin_utils import _tape_table as table
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_spec import INFO

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Found
    from ..plugin_utils._tape_records import TaskResult

FOUND = ("PATH", "HOST", "TIME", "LEVEL", "TAPE:FILE", "RUN")
FILTERS = ("run", "tape", "host")


class ActionModule(TapeAction):
    """Reports drives, tapes and archives, or the archives that contain a path."""

    SPEC = INFO
    NEEDS_DRIVES = False
    CHANGES = False

    def work(self) -> TaskResult:
        args = self.args
        if not self.tape_host_is_known():
            raise Failure("settings", "no host of the inventory has tape_devices: set it, or set tape_host")
        if args["tape_path"]:
            result = self.ask(["find", f"--path={args['tape_path']}", *option("host", args["tape_of_host"])])
            lines = self.of_files(result)
        else:
            words = ["info", f"--gather={','.join(args['gather'])}"]
            for name in FILTERS:
                words += option(name, args[f"tape_of_{name}"])
            result = self.ask(words)
            missing = listing.missing(result, self.expected()) if "hosts" in args["gather"] else []
            lines = listing.lines(result, any(args[f"tape_of_{name}"] for name in FILTERS))
            lines += listing.advice(result, missing)
            if "hosts" in args["gather"]:
                result["missing"] = missing
                result["warnings"] = [f"{name} has no good archive" for name in missing] + result["warnings"]
        result["notes"] = result.pop("warnings", [])  # core removes "warnings" from a result
        if args["show"]:
            self.show([*lines, *(f"Warning {each}" for each in result["notes"])])
        if args["statistic"] and not args["tape_path"]:
            result["ansible_stats"] = {
                "data": {"tape_list": listing.statistic(result)},
                "per_host": False,
                "aggregate": False,
            }
        return {**result, "changed": False, "msg": lines[0] if lines else "nothing"}

    def tape_host_is_known(self) -> bool:
        return bool(self._task.args.get("tape_host") or self.args["tape_devices"])

    def expected(self) -> list[str]:
        """The hosts of the play that must have a good archive: those with tape_paths in their variables."""
        if not self.args["expect"]:
            return []
        hosts, wanted = self.task_vars["hostvars"], self.args["tape_of_host"]
        names = [name for name in self.task_vars["ansible_play_hosts_all"] if wanted in ("", name)]
        # not templated: that is slow for a large fleet
        return [name for name in names if hosts.raw_get(name).get("tape_paths")]

    def of_files(self, found: Found) -> list[str]:
        """Raises Failure if no archive contains the path."""
        path, host = self.args["tape_path"], self.args["tape_of_host"]
        unread = [f"Warning cannot read the file list of {each}" for each in found["unread"]]
        if not found["found"]:
            of_host = f" of {host}" if host else ""
            hint = f"check tape_paths, or try a pattern: -e 'path=*/{path.rpartition('/')[2]}'"
            if found["unread"]:
                hint += f". The search is incomplete: cannot read the file lists of {', '.join(found['unread'])}"
            raise Failure("not found", f"no good archive{of_host} has {path}: {hint}")
        rows: list[list[Any]] = [
            [e["path"], e["host"], e["time"], e["level"], table.where(e), e["run"]] for e in found["found"]
        ]
        more = ["and more: narrow the search with a longer path, or with tape_of_host"] if found["more"] else []
        return table.lines(FOUND, rows) + more + unread
