# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_restore: restores files of a host from tape to the task's host."""

from __future__ import annotations

import secrets
import shlex
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleError

from ..module_utils._run.answers import Failure
from ..plugin_utils import _tape_drill as drills
from ..plugin_utils import _tape_table as table
from ..plugin_utils._connections import HostError
from ..plugin_utils._hosts import environment_of
from ..plugin_utils._program_run import command
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_filters import note as note_of
from ..plugin_utils._tape_filters import reading
from ..plugin_utils._tape_run import HOST, ask
from ..plugin_utils._tape_sources import set_of, sources_of
from ..plugin_utils._tape_spec import RESTORE
from ..plugin_utils._task_run import one_line

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._tape.answers import Chain, ChainArchive, Extracted
    from ..plugin_utils._tape_records import ReadArchive, TaskResult

NO_HOST = "restore_host is required; to restore to another host, set restore_target as well"
FOR_PATHS = "tape_early_exit is for restore_paths: a restore of everything%s needs all of each archive"
UP_TO = "read up to the last requested file, not verified"
NOT_VERIFIED = "not verified: reading ended with the last requested file, so no checksum was compared (tape_early_exit)"
HEADS = ("LEVEL", "SIZE", "WRITTEN", "TAPE:FILE", "NOTE")
BAD = "was damaged when last verified (%s): the restore may fail; an earlier restore_as_of uses older archives"


class ActionModule(TapeAction):
    """Reads the last full archive before a time, then its increments in order."""

    SPEC = RESTORE

    def arguments(self) -> dict[str, Any]:
        if not self._task.args.get("restore_host") and self._task.args.get("restore_drill") in (None, "", False):
            raise Failure("settings", NO_HOST)
        return super().arguments()

    def work(self) -> TaskResult:
        args = self.args
        if args["restore_drill"]:
            drills.check(args)
            args["restore_host"] = args["restore_host"] or self.ask(["drill"])["host"]
        elif not args["restore_host"]:
            raise Failure("settings", NO_HOST)
        host = args["restore_host"]
        if args["tape_early_exit"] and (not args["restore_paths"] or args["restore_delete"]):
            raise Failure("settings", FOR_PATHS % (", or with restore_delete," if args["restore_delete"] else ""))
        args["tape_set"] = set_of(args["tape_set"], args["restore_source"])
        words = ["chain", f"--host={host}", *option("as-of", args["restore_as_of"])]
        if not args["restore_delete"]:
            words += [f"--path={path}" for path in args["restore_paths"]]
        words += ["--early-exit"] if args["tape_early_exit"] else []
        said: Chain = self.ask(words)
        chain = said["archives"]
        if chain[-1]["source"]:
            if args["restore_drill"]:
                what = f"{args['restore_source']} is the output of a command, and a drill compares files"
                raise Failure("settings", f"{what}: restore it, into a database of its own for example")
            return self.feed(chain[-1])
        # an unpredictable name, so that nobody can create it first
        what = "drill" if args["restore_drill"] else "restore"
        to = args["restore_to"] or f"/var/tmp/{what}-{host}-{chain[-1]['run']}-{secrets.token_hex(4)}"
        tapes = said["tapes"]
        places = [table.located(label, said["places"].get(label, "")) for label in tapes]
        skipped = table.count(said["skipped"], "earlier archive") if said["skipped"] else ""
        notes = [f"Not needed: {skipped}, because later ones have the files whole"] if skipped else []
        self.show([*self.beginning(chain, to, places), *notes, *(f"Warning {each}" for each in said["warnings"])])
        read: list[ReadArchive] = [{**archive, "encryption": None, "compared": False} for archive in chain]
        result: TaskResult = {"to": to, "tapes": tapes, "archives": read}
        undo = [reading(each, self.filters, args["restore_identity"], environment_of(self)) for each in chain]
        if self._task.check_mode:
            return {**result, "changed": True, "msg": f"would restore {table.count(len(chain), 'archive')} to {to}"}
        if args["restore_drill"]:
            return {**result, **self.drill(read, to, undo)}
        result.update(self.ending(to, *self.read(read, to, undo)))
        if not result.get("failed") and result["verified"]:
            result["notes"] = self.note(["restored", f"--host={host}"])
        return result

    @cached_property
    def drill_id(self) -> str:
        """Marks the directory of this drill, because only this one may remove it."""
        return secrets.token_hex(16)

    def read(self, read: list[ReadArchive], to: str, undo: list[list[Command]]) -> tuple[list[str], list[Extracted]]:
        """Restore the archives one after the other; returns the requested paths that none has, and the answers."""
        missing, done = list(self.args["restore_paths"]), []
        for number, archive in enumerate(read):
            more = number < len(read) - 1
            self.tell_who_loads([f"--tape={archive['tape']}"])
            part = self.extract(archive, to, undo[number], number, more)
            archive["compared"] = part["whole"]
            missing = [path for path in missing if path in part["missing"]]
            missing += [path for path in part["gone"] if path not in missing]
            done.append(part)
            if part["again"]:  # the data of a file with several names may be under a name that tar has already passed
                done.append(self.extract(archive, to, undo[number], number, more, again=True))
        return missing, done

    def drill(self, read: list[ReadArchive], to: str, undo: list[list[Command]]) -> TaskResult:
        """Restore to a scratch directory, compare, remove it, and record the date; raises Failure."""
        host, began = self.args["restore_host"], time.monotonic()
        words = ["restored", f"--host={host}", "--kind=drilled"]
        try:
            _missing, done = self.read(read, to, undo)
        except Failure as exc:
            if exc.kind not in drills.NOT_TRIED:
                self.note([*words, "--failed"])
            raise
        finally:
            notes = self.discard(to)
        found = drills.findings(read, done)
        result = drills.result(host, len(read), found, time.monotonic() - began)
        notes += self.note(words + ([] if result["drill"]["ok"] else ["--failed"]))
        self.show(drills.lines(result))
        return {**result, "notes": notes}

    def discard(self, to: str) -> list[str]:
        """Remove the directory of a drill; returns a warning if that failed."""
        try:
            ask(self.own, self.of_host(["discard", f"--to={to}", f"--drill={self.drill_id}"]))
        except (Failure, HostError, AnsibleError) as exc:
            warning = f"the files of the drill were not removed from {self.own.name}: {one_line(exc)}"
            self.show([f"Warning {warning}"])
            return [warning]
        return []

    def note(self, words: list[str]) -> list[str]:
        """Record the restore in the catalog; a failure is only a warning, because the files are there."""
        try:
            warnings: list[str] = self.ask(words).get("warnings", [])
        except (Failure, HostError, AnsibleError) as exc:
            warnings = [f"the restore was not recorded in the catalog: {one_line(exc)}"]
        self.show([f"Warning {each}" for each in warnings])
        return warnings

    def feed(self, archive: ChainArchive) -> TaskResult:
        """Restore the output of a command with a command of the task; raises Failure."""
        args, name = self.args, self.args["restore_source"]
        own = [each for each in sources_of(args["tape_sources"]) if each.name == name and each.restore]
        if not own:
            told = shlex.join((archive["source"] or {"restore": []})["restore"]) or "the command that reads it"
            what = f"{name} is the output of a command: to restore it on {self.own.name}, set tape_sources there, with"
            raise Failure("settings", f"{what} name: {name} and restore: {told} (only tape_sources is trusted)")
        if args["restore_to"] or args["restore_paths"]:
            what = f"{name} is the output of a command, so it takes neither restore_to nor restore_paths"
            raise Failure("settings", what)
        environment = environment_of(self)
        clear = archive["unfiltered"] or archive
        words = ["check", f"--sha256={clear['sha256']}", f"--bytes={clear['bytes']}"]
        undo = reading(archive, self.filters, args["restore_identity"], environment)
        result: TaskResult = {
            "to": "",
            "tapes": [archive["tape"]],
            "archives": [{**archive, "encryption": None, "compared": True}],
        }
        head = f"RESTORE {name} of {archive['host']} as of {archive['time']}, from tape {archive['tape']}"
        self.show([f"{head}, with {own[0].restore[0]} on {self.own.name}"])
        msg = f"{table.bytes_of(clear['bytes'])} of {name} to {own[0].restore[0]} of {self.own.name}"
        if self._task.check_mode:
            return {**result, "changed": True, "msg": f"would restore {msg}"}
        tape_words = ["source", f"--tape={archive['tape']}", f"--file={archive['file']}"]
        stages = [*undo, self.of_host(words).stage(HOST, environment)]
        sink = command(name, own[0].restore, environment)
        outcome = self.from_tape_to(tape_words, sink, stages, archive["bytes"])
        result["archives"][0]["encryption"] = outcome.link["encryption"]
        self.show([f"RESTORED {msg}"])
        result["notes"] = self.note(["restored", f"--host={archive['host']}"])
        return {**result, "changed": True, "files": 0, "verified": True, "msg": msg}

    def ending(self, to: str, missing: list[str], done: list[Extracted]) -> TaskResult:
        """The result of all archives; also shows it."""
        host, as_of = self.args["restore_host"], self.args["restore_as_of"]
        files = sum(each["files"] for each in done)
        removed = sum(each["deleted"] for each in done)
        names = [name for each in done for name in each["deleted_names"]]
        failed = sum(each["error_count"] for each in done)
        errors = [error for each in done for error in each["errors"]]
        warnings = [warning for each in done for warning in each["warnings"]]
        verified = all(each["whole"] for each in done)
        msg = f"{table.count(files, 'file')} in {to} of {self.own.name}" + ("" if verified else f", {NOT_VERIFIED}")
        lines = [f"RESTORED {msg}", *(f"Warning {warning}" for warning in warnings)]
        if removed:
            lines.append(f"REMOVED {table.count(removed, 'file')}: {table.few(names, removed)}")
        self.show(lines)
        result: TaskResult = {
            "changed": True,
            "files": files,
            "missing": missing,
            "removed": {"count": removed, "names": names},
            "errors": errors,
            "tar_warnings": warnings,
            "verified": verified,
            "notes": [],
            "msg": msg,
        }
        if failed:
            counted = table.count(failed, "file")
            msg = f"{counted} could not be restored as they were; the rest is in {to}: {'; '.join(errors)}"
            result.update(failed=True, kind="failed", msg=msg)
        elif missing:
            up_to = f" up to {as_of}" if as_of else ""
            msg = f"not in the archives of {host}{up_to}: {', '.join(missing)}. The rest is in {to}. "
            result.update(failed=True, kind="not found", msg=msg + "Find the archives of a path with tape_find")
        return result

    def beginning(self, chain: list[ChainArchive], to: str, tapes: list[str]) -> list[str]:
        """Lines that list the archives to read and the tapes they need."""
        rows = []
        for archive in chain:
            verified = archive["verified"] or {"ok": True}
            bad = "" if verified["ok"] else BAD % verified["time"]
            part = UP_TO if archive["requested"] is not None else ""
            note = "; ".join(filter(None, [note_of(archive["filters"]), bad, part]))
            rows.append(
                [archive["level"], table.bytes_of(archive["bytes"]), archive["time"], table.where(archive), note]
            )
        head = f"RESTORE {self.args['restore_host']} as of {chain[-1]['time']}, to {to} of {self.own.name}"
        return [f"{head}, from {'tape' if len(tapes) == 1 else 'tapes'} {', '.join(tapes)}", *table.lines(HEADS, rows)]

    def extract(
        self, archive: ReadArchive, to: str, undo: list[Command], number: int, more: bool, again: bool = False
    ) -> Extracted:
        """Restore one archive; ``undo``: stages that undo its filters; ``more``: another follows; raises Failure.

        ``number``: how many came before; ``again``: this is its second pass.

        Also records in ``archive`` how it was encrypted on its way.
        """
        args = self.args
        clear = archive["unfiltered"] or archive
        words = ["extract", f"--to={to}", f"--sha256={clear['sha256']}", f"--bytes={clear['bytes']}"]
        words += [f"--drill={self.drill_id}"] if args["restore_drill"] else []
        words += ["--again" if again else "--may-repeat", "--keep-going"]
        for flag, given in {
            "--incremental": number > 0,
            "--more": more,
            "--delete": args["restore_delete"],
            "--into-existing": args["restore_into_existing"],
            "--allow-root": args["restore_allow_root"],
            "--owners-by-name": not args["tape_numeric_owner"] and not args["restore_drill"],
        }.items():
            words += [flag] if given else []
        # the second pass is for names that the lists do not show
        early_exit = archive["requested"] is not None and not again
        words += [f"--early-exit={archive['requested']}"] if early_exit else []
        source = ["source", f"--tape={archive['tape']}", f"--file={archive['file']}"]
        try:
            restored = [*words, "--", *args["restore_paths"]]
            outcome = self.from_tape(source, restored, undo, archive["bytes"], early_exit)
        except Failure as exc:
            exc.text += ". This restore is incomplete: start again with another restore_to"
            raise
        archive["encryption"] = outcome.link["encryption"]
        answer: Extracted = outcome.answer
        return answer
