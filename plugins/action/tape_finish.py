# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_finish: ends a run, shows its table and sets its statistics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleError

from ..module_utils._run.answers import Failure
from ..module_utils._run.tape_jobs import NO_MORE
from ..plugin_utils import _tape_last as last
from ..plugin_utils import _tape_table as table
from ..plugin_utils._connections import HostError
from ..plugin_utils._tape_action import TapeAction
from ..plugin_utils._tape_again import again
from ..plugin_utils._tape_copies import copy_catalog
from ..plugin_utils._tape_notify import KEYS, notification_of
from ..plugin_utils._tape_spec import FINISH
from ..plugin_utils._task_run import one_line

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Finished
    from ..plugin_utils._tape_records import Plan, Row, TaskResult, Totals

GOOD = ("good", "good before")
TEXTS = ("note", "level_problem", "base_problem", "mounted", "other_file_systems", "tar_warnings", "slow", "left_out")
NOT_YET = ("started", "written")  # of tape_backup with async
HEADS = ("HOST", "RESULT", "LEVEL", "SIZE", "TIME", "RATE", "TAPE:FILE", "NOTE")
# how archives crossed the network, for people
WAYS = {"kernel": "encrypted by the kernels", "relay": "encrypted by relays", "none": "in clear"}
KEPT_FOR_IT = "the run was not finished, so its tapes stay reserved until tape_lease expires: "


class ActionModule(TapeAction):
    """Never fails: the archives are good even if ending the run fails, and the table must be shown."""

    SPEC = FINISH
    NEEDS_DRIVES = False

    def work(self) -> TaskResult:
        plan: Plan = self.args["plan"]
        self.args["tape_set"] = plan["tape_set"]
        self.rows = self.rows_of(plan)
        self.ways = self.ways_of(self.rows)
        self.warnings = [] if plan.get("censored") else list(plan["notes"])
        tapes: list[str] = []
        if self._task.check_mode:
            head = f"CHECK {plan['run']}  {self.fits(plan)}"
        else:
            tapes = self.finish(plan)
            self.warnings += copy_catalog(self)
            head = ""
        totals = self.totals(plan)
        failed = [name for name, row in self.rows.items() if not row["ok"]]
        retry = (
            again("", {"tape_resume": plan["run"]}, ",".join(failed)) if failed and not self._task.check_mode else ""
        )
        for row in self.rows.values():
            row["msg"] += f". To retry: {retry}" if retry and not row["ok"] else ""
        head = head or self.headline(totals, tapes)
        self.show([head, *self.table(), *self.advice(plan, retry, totals)])
        result = {"summary": totals, "hosts": self.rows, "notes": self.warnings, "resume": retry}
        if not self._task.check_mode:
            told = {name: {key: row.get(key) for key in (*KEYS, "ok", "note")} for name, row in self.rows.items()}
            artifact = {**totals, "hosts": told, "warnings": self.warnings, "resume": retry}
            if self._task.no_log:
                artifact["warnings"] = [NO_MORE % table.count(len(self.warnings), "warning")] if self.warnings else []
            self.notify(artifact, head)
            result["ansible_stats"] = {"data": {"tape_backup": artifact}, "per_host": False, "aggregate": False}
        return {**result, "changed": bool(tapes), "msg": head}

    def notify(self, artifact: dict[str, Any], head: str) -> None:
        """Run tape_notify_command, whose failure is one more warning."""
        try:
            found = notification_of(self.args).send(artifact, head)
        except Failure as exc:
            found = [exc.text]
        self.show([f"Warning {each}" for each in found])
        self.warnings += found

    # -- results

    def rows_of(self, plan: Plan) -> dict[str, Row]:
        """One row for each host of the plan, in its order, from the results of tape_backup."""
        results = {r["host"]: r for r in self.args["results"] if isinstance(r, dict) and r.get("run") == plan["run"]}
        lost = {"state": "failed", "kind": "lost", "msg": "the play lost this host before its archive was started"}
        found = {name: results.get(name, lost) for name in plan["order"]}
        return {name: self.row(censored(each) if self._task.no_log else each) for name, each in found.items()}

    @staticmethod
    def row(result: TaskResult) -> Row:
        result = censored(result) if result.get("censored") else result
        notes = [] if result["state"] in ("good", "estimated") else [result.get("note") or result["msg"]]
        row: Row = {
            "ok": result["state"] not in ("failed", *NOT_YET),
            "state": result["state"],
            "msg": result["msg"],
            "note": "; ".join(notes + table.notes_of(result)),
            "level": result.get("level"),
            "bytes": result.get("bytes"),
            "elapsed": result.get("elapsed"),
            "rate": result.get("rate"),
            "tape": result.get("tape"),
            "file": result.get("file"),
            "encryption": result.get("encryption"),
            "kind": result.get("kind"),
            "left_out": result.get("left_out"),
            "last_good": None,
        }
        if result.get("sources"):
            row["sources"] = [{**each, "note": note_of_part(each)} for each in result["sources"]]
        return row

    def ways_of(self, rows: dict[str, Row]) -> dict[str, int] | None:
        """How many archives of this job crossed the network in which way; None if none was to be encrypted."""
        written = [row["encryption"] for row in rows.values() if row["state"] == "good"]
        used = [each["how"] if each else "none" for each in written]
        if self.args["tape_link_encryption"] == "none" and set(used) <= {"none"}:
            return None
        return {way: used.count(way) for way in WAYS if way in used}

    def finish(self, plan: Plan) -> list[str]:
        """Write the catalog to the tapes and release them; returns their labels, with the percentage used."""
        try:
            given = {"tried": self.tried(plan), "hosts": plan["order"]}
            said: Finished = self.ask(["finish", f"--run={plan['run']}"], given)
        except (Failure, HostError, AnsibleError) as exc:
            self.warnings.append(KEPT_FOR_IT + one_line(exc))
            return []
        self.warnings += said["warnings"]
        for archive in said["archives"]:
            row = self.rows.get(archive["host"])
            several = archive["host"] in plan["hosts"] and plan["hosts"][archive["host"]].get("sources")
            if row and not several and not row["ok"] and row["kind"] == "lost" and archive["state"] == "good":
                # the archive is on tape; only the result of the task was lost
                row["ok"], row["msg"], row["note"], row["kind"] = True, "ok", "", None
                row["state"], row["level"], row["bytes"] = archive["state"], archive["level"], archive["bytes"]
                row["elapsed"], row["rate"] = archive["elapsed"], archive["rate"]
                row["tape"], row["file"] = archive["tape"], archive["file"]
        self.warnings += last.add_to_rows(self.rows, plan, said["last"])
        full = said["full"]
        return [name + (f" ({full[name]} % full)" if full.get(name) is not None else "") for name in said["tapes"]]

    def tried(self, plan: Plan) -> list[dict[str, Any]]:
        """The results that count as attempts, for metrics: each host, and its sets."""
        found = []
        for name, row in self.rows.items():
            if row["state"] not in ("good", "failed"):
                continue
            parts: list[Any] = row.get("sources", [])
            sets = {last.set_of_part(self.args["tape_set"], part): part for part in parts}
            of_plan: Any = plan["hosts"].get(name, {})
            if not parts and not of_plan.get("sources"):
                sets = {self.args["tape_set"]: row}
            tried = {each: part["ok"] for each, part in sets.items() if part["state"] in ("good", "failed")}
            found += [{"host": name, "sets": tried}] if tried or not parts else []
        return found

    def fits(self, plan: Plan) -> str:
        """Whether the estimated sizes fit, as a sentence from the tape host."""
        hosts = {
            name: {"level": row["level"], "bytes": row["bytes"]}
            for name, row in self.rows.items()
            if row["state"] == "estimated"
        }
        try:
            return str(self.ask(["plan"], {"run": plan["run"], "dry": True, "hosts": hosts})["fits"])
        except (Failure, HostError, AnsibleError) as exc:
            return one_line(exc)

    def totals(self, plan: Plan) -> Totals:
        rows = self.rows.values()
        return {
            "run": plan["run"],
            "good": sum(row["state"] in GOOD for row in rows),
            "failed": sum(not row["ok"] for row in rows),
            "bytes": sum(row["bytes"] or 0 for row in rows if row["state"] == "good"),
            "tapes": list(dict.fromkeys(row["tape"] for row in rows if row["tape"])),
            "elapsed": round(time.time() - plan["began"]),
            "encryption": self.ways,
        }

    # -- for people

    def headline(self, totals: Totals, tapes: list[str]) -> str:
        named = tapes or totals["tapes"]
        where = f"{'tape' if len(named) == 1 else 'tapes'} {', '.join(named)}" if named else "no tape"
        counts = f"{totals['good']} good, {totals['failed']} failed"
        size = table.bytes_of(totals["bytes"])
        return f"BACKUP {totals['run']}  {counts}  {size}  {table.duration(totals['elapsed'])}  {where}"

    def table(self) -> list[str]:
        def cells(name: str, row: Row) -> list[Any]:
            level = table.NONE if row["level"] is None or not row["ok"] else row["level"]
            size = table.bytes_of(row["bytes"] if row["ok"] else None)
            result = row["state"] if row["ok"] else "FAILED"
            times = table.duration(row["elapsed"]), table.rate_of(row["rate"])
            return [name, result, level, size, *times, table.where(row), row["note"]]

        rows = []
        for name, row in self.rows.items():
            rows.append(cells(name, row))
            rows += [cells(f"{name}: {part['name']}", self.row_of_part(row, part)) for part in row.get("sources", ())]
        return table.lines(HEADS, rows)

    @staticmethod
    def row_of_part(row: Row, part: TaskResult) -> Row:
        """The row of one source in the table."""
        own: Any = {
            key: part.get(key) for key in ("ok", "state", "level", "bytes", "elapsed", "rate", "tape", "file", "note")
        }
        return {**row, **own}

    def advice(self, plan: Plan, retry: str, totals: Totals) -> list[str]:
        found = [f"Warning {warning}" for warning in self.warnings]
        if totals["encryption"]:
            found.append("Links   " + ", ".join(f"{count} {WAYS[way]}" for way, count in totals["encryption"].items()))
        found += [f"Retry   {retry}"] if retry else []
        if totals["bytes"]:
            found.append(f"Verify  {again('plumbing.socketpipe.verify', {'tape_of_run': plan['run']})}")
        return found


def censored(result: TaskResult) -> TaskResult:
    """That of a task with no_log: its figures, and no text that the table and the statistics would show."""
    shown = {key: value for key, value in result.items() if key not in TEXTS}
    if result["state"] == "failed":
        shown["msg"] = NO_MORE % result.get("kind")
    if result.get("sources"):
        shown["sources"] = [censored(each) for each in result["sources"]]
    return shown


def note_of_part(part: TaskResult) -> str:
    """Remarks on the archive of one source, for the table."""
    said = [] if part["state"] in ("good", "estimated") else [part.get("note") or part["msg"]]
    return "; ".join(said + table.notes_of(part))
