# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.report: writes one HTML file from the results of a run or from the catalog."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure
from ..plugin_utils import _report_file as files
from ..plugin_utils._report_page import page
from ..plugin_utils._report_read import read
from ..plugin_utils._tape_action import TapeAction
from ..plugin_utils._tape_spec import REPORT
from ..plugin_utils._tape_table import count

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Stored
    from ..plugin_utils._report_read import Named
    from ..plugin_utils._report_records import Report
    from ..plugin_utils._tape_records import TaskResult

LOST = "no result: the play lost this host before the task, or the task was not for it"


class ActionModule(TapeAction):
    """Reads results, and writes to the controller and to the tape host."""

    SPEC = REPORT
    NEEDS_DRIVES = False

    def find_tape_host(self, given: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """None is needed for a file on the controller."""
        return super().find_tape_host(given) if given.get("tape_report_dir") else ("localhost", {})

    def work(self) -> TaskResult:
        args = self.args
        if not args["dest"] and not args["tape_report_dir"]:
            raise Failure("settings", "dest or tape_report_dir is required: where to write the report")
        if args["tape_report_keep"] < 0:
            raise Failure("settings", "tape_report_keep must be at least 0: 0 keeps all reports")
        if not args["results"] and not args["registered"]:
            raise Failure("settings", "results or registered is required: what to report on")
        found = read([*self.registered(), *(("", each) for each in args["results"])], hide=bool(self._task.no_log))
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        render = functools.partial(self.render, found)
        result: TaskResult = {"changed": False, "dest": None, "report_file": None, "removed": [], "notes": []}
        if found.others:
            note = f"{count(found.others, 'result')} of other modules left out"
            result["notes"] = [note]
        if args["dest"]:
            result["dest"] = os.path.abspath(os.path.expanduser(args["dest"]))
            result["changed"] = files.write(args["dest"], int(args["mode"], 8), render, now, self._task.check_mode)
        if args["tape_report_dir"]:
            self.store(found, render(now), now, result)
        failed = len({failure.host for failure in found.failures})
        where = " and ".join(filter(None, [result["dest"], result["report_file"]]))
        hosts = {row.host for row in found.rows if not row.part} or {known.host for known in found.known}
        result["msg"] = f"report on {count(len(hosts), 'host')}, {failed} failed: {where}"
        return result

    def render(self, found: Report, made: str) -> str:
        return page(self.args["title"] or found.subject, made, found)

    def store(self, found: Report, text: str, now: str, result: TaskResult) -> None:
        """On the tape host; raises Failure."""
        args = self.args
        name = next(iter(found.runs), "") or now.replace("-", "").replace(":", "")
        result["changed"] = True
        result["report_file"] = os.path.join(args["tape_report_dir"], f"report-{name}.html")
        if not self._task.check_mode:
            asked = {"name": name, "text": text, "folder": args["tape_report_dir"], "mode": args["mode"]}
            said: Stored = self.ask(["page"], {**asked, "keep": args["tape_report_keep"]})
            result["report_file"], result["removed"] = said["path"], said["removed"]

    def registered(self) -> list[Named]:
        """The variables of this name of all hosts of the play; not templated, because they are data of hosts."""
        names = self.args["registered"]
        if not names:
            return []
        found: list[Named] = []
        seen: set[object] = set()
        for host in self.task_vars["ansible_play_hosts_all"]:
            variables = self.task_vars["hostvars"].raw_get(host)
            own = [variables[name] for name in names if isinstance(variables.get(name), Mapping)]
            for result in own:
                # a task with run_once registers the same result for all hosts; those of a backup have the same run
                run = str(result.get("run") or "")
                key: object = (run, str(result.get("host") or "")) if run else id(result)
                if key not in seen:
                    found.append((host, result))
                seen.add(key)
            if not own:
                found.append((host, {"failed": True, "kind": "lost", "msg": LOST}))
        return found
