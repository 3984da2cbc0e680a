# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_info: reports drives, tapes and archives; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..plugin_utils import _tape_table as table
from ..plugin_utils._program_run import Failure
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_spec import INFO

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Found, Info, Tape
    from ..plugin_utils._tape_records import TaskResult

TAPES = ("TAPE", "BARCODE", "ARCHIVES", "FAILED", "SIZE", "LAST WRITTEN", "STATE")
HOSTS = ("HOST", "SET", "LAST GOOD", "LEVEL", "SIZE", "TAPE:FILE")
FOUND = ("PATH", "HOST", "TIME", "LEVEL", "TAPE:FILE", "RUN")


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
            words = ["info", f"--gather={','.join(args['gather'])}", *option("host", args["tape_of_host"])]
            result = self.ask(words)
            lines = self.of_tapes(result)
        result["notes"] = result.pop("warnings", [])  # core removes "warnings" from a result
        if args["show"]:
            self.show([*lines, *(f"Warning {each}" for each in result["notes"])])
        return {**result, "changed": False, "msg": lines[0] if lines else "nothing"}

    def tape_host_is_known(self) -> bool:
        return bool(self._task.args.get("tape_host") or self.args["tape_devices"])

    def of_tapes(self, found: Info) -> list[str]:
        lines = []
        for drive in found.get("drives", ()):
            tape = f"tape {drive['label']}"
            lines.append(f"DRIVE {drive['device']}: {drive['message'] or tape}")
        if found.get("tapes"):
            lines += table.lines(TAPES, [self.tape_row(tape) for tape in found["tapes"]])
        if found.get("hosts"):
            rows = [
                [h["host"], h["set"], h["time"], h["level"], table.bytes_of(h["bytes"]), table.where(h)]
                for h in found["hosts"]
            ]
            lines += table.lines(HOSTS, rows)
        if found.get("next"):
            lines.append(f"The next backup needs tape {found['next']}")
        return lines

    @staticmethod
    def tape_row(tape: Tape) -> list[Any]:
        kept = f"kept until {tape['keep_until']}" if tape["keep_until"] and not tape["expired"] else ""
        used = f"in use by run {tape['run']}" if tape["run"] else ""
        states = [used, "full" if tape["full"] else "", "expired" if tape["expired"] else "", kept]
        state = ", ".join(filter(None, states)) or "empty"
        numbers = tape["archives"], tape["failed"], table.bytes_of(tape["bytes"])
        return [tape["label"], tape["barcode"] or table.NONE, *numbers, tape["last"] or table.NONE, state]

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
        rows = [[e["path"], e["host"], e["time"], e["level"], table.where(e), e["run"]] for e in found["found"]]
        more = ["and more: narrow the search with a longer path, or with tape_of_host"] if found["more"] else []
        return table.lines(FOUND, rows) + more + unread
