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
from ..module_utils._run.restored import INCOMPLETE, NOT_RECORDED, ending, still_missing, summary
from ..plugin_utils import _tape_drill as drills
from ..plugin_utils import _tape_table as table
from ..plugin_utils._connections import HostError
from ..plugin_utils._hosts import environment_of
from ..plugin_utils._program_run import command
from ..plugin_utils._tape_action import TapeAction, option
from ..plugin_utils._tape_filters import note as note_of
from ..plugin_utils._tape_filters import reading
from ..plugin_utils._tape_jobs import HOST_END, TAPE_END, finished, start_restore
from ..plugin_utils._tape_run import HOST, TAPE, Stages, ask
from ..plugin_utils._tape_sources import set_of, sources_of
from ..plugin_utils._tape_spec import RESTORE
from ..plugin_utils._task_run import one_line

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._run.records import RestoreAsked
    from ..module_utils._tape.answers import Chain, ChainArchive, Extracted
    from ..plugin_utils._tape_records import ReadArchive, TaskResult

NO_HOST = "restore_host is required; to restore to another host, set restore_target as well"
FOR_PATHS = "tape_early_exit is for restore_paths: a restore of everything%s needs all of each archive"
UP_TO = "read up to the last requested file, not verified"
NO_DRILL = "restore_drill removes its files and records its date at its end, which takes this task: leave out async"
HEADS = ("LEVEL", "SIZE", "WRITTEN", "TAPE:FILE", "NOTE")
BAD = "was damaged when last verified (%s): the restore may fail; an earlier restore_as_of uses older archives"


class ActionModule(TapeAction):
    """Reads the last full archive before a time, then its increments in order."""

    SPEC = RESTORE
    DETACHES = True

    def outcome(self) -> TaskResult:
        return finished(self, super().outcome())

    def arguments(self) -> dict[str, Any]:
        if not self._task.args.get("restore_host") and self._task.args.get("restore_drill") in (None, "", False):
            raise Failure("settings", NO_HOST)
        return super().arguments()

    def work(self) -> TaskResult:
        args = self.args
        if args["restore_drill"]:
            if self._task.async_val:
                raise Failure("settings", NO_DRILL)
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
        asked = self.asked(to)
        if self._task.async_val:
            return self.start(read, asked, undo, result)
        missing, done = self.read(read, to, undo)
        result.update(ending(asked, missing, done))
        self.show(self.end(asked, result))
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
            missing = still_missing(missing, part)
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
        if self._task.async_val:
            result.update(changed=True, files=0, verified=True, msg=msg, notes=[NOT_RECORDED])
            source = self.of_tape(tape_words).stage(TAPE)
            chain: Stages = [(TAPE_END, source), *((HOST_END, stage) for stage in (*stages, sink))]
            return dict(start_restore(self, [chain], [archive["bytes"] or 0], None, result))
        outcome = self.from_tape_to(tape_words, sink, stages, archive["bytes"])
        result["archives"][0]["encryption"] = outcome.link["encryption"]
        self.show([f"RESTORED {msg}"])
        result["notes"] = self.note(["restored", f"--host={archive['host']}"])
        return {**result, "changed": True, "files": 0, "verified": True, "msg": msg}

    def asked(self, to: str) -> RestoreAsked:
        args = self.args
        names: RestoreAsked = {
            "host": args["restore_host"],
            "as_of": args["restore_as_of"],
            "paths": args["restore_paths"],
            "to": to,
            "target": self.own.name,
        }
        return names

    @staticmethod
    def end(asked: RestoreAsked, result: TaskResult) -> list[str]:
        """Lines that say what was restored."""
        lines = [f"RESTORED {summary(asked, result['files'], result['verified'])}"]
        lines += [f"Warning {warning}" for warning in result["tar_warnings"]]
        removed = result["removed"]
        if removed["count"]:
            names = table.few(removed["names"], removed["count"])
            lines.append(f"REMOVED {table.count(removed['count'], 'file')}: {names}")
        return lines

    def start(
        self, read: list[ReadArchive], asked: RestoreAsked, undo: list[list[Command]], result: TaskResult
    ) -> TaskResult:
        """Start a restore that outlives this task: one archive after the other, in one run; raises Failure."""
        self.tell_who_loads([f"--tape={read[0]['tape']}"])
        environment, before = environment_of(self), {TAPE_END: "", HOST_END: ""}
        chains: list[Stages] = []
        for number, archive in enumerate(read):
            more = number < len(read) - 1
            source = self.of_tape(self.source_words(archive)).stage(TAPE)
            words = self.words(archive, asked["to"], number, more)
            sink = self.of_host([*words, "--", *asked["paths"]]).stage(HOST, environment)
            sink["early_exit"] = archive["requested"] is not None
            chain: Stages = [(TAPE_END, source), *((HOST_END, stage) for stage in (*undo[number], sink))]
            for _end, stage in chain if len(read) > 1 else ():
                stage["name"] += f" (archive {number + 1})"
            for end, stage in chain[:2] if number else ():
                stage["after"] = before[end]
            before = {TAPE_END: source["name"], HOST_END: sink["name"]}
            chains.append(chain)
        return dict(start_restore(self, chains, [each["bytes"] or 0 for each in read], asked, result))

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
        # the second pass is for names that the lists do not show
        early_exit = archive["requested"] is not None and not again
        words = [*self.words(archive, to, number, more, again), "--again" if again else "--may-repeat"]
        try:
            restored = [*words, "--", *args["restore_paths"]]
            outcome = self.from_tape(self.source_words(archive), restored, undo, archive["bytes"], early_exit)
        except Failure as exc:
            exc.text += INCOMPLETE
            raise
        archive["encryption"] = outcome.link["encryption"]
        answer: Extracted = outcome.answer
        return answer

    @staticmethod
    def source_words(archive: ReadArchive) -> list[str]:
        return ["source", f"--tape={archive['tape']}", f"--file={archive['file']}"]

    def words(self, archive: ReadArchive, to: str, number: int, more: bool, again: bool = False) -> list[str]:
        """The command line for the host, without the paths; see extract."""
        args, clear = self.args, archive["unfiltered"] or archive
        words = ["extract", f"--to={to}", f"--sha256={clear['sha256']}", f"--bytes={clear['bytes']}"]
        words += [f"--drill={self.drill_id}"] if args["restore_drill"] else []
        words += ["--keep-going"]
        for flag, given in {
            "--incremental": number > 0,
            "--more": more,
            "--delete": args["restore_delete"],
            "--into-existing": args["restore_into_existing"],
            "--allow-root": args["restore_allow_root"],
            "--owners-by-name": not args["tape_numeric_owner"] and not args["restore_drill"],
        }.items():
            words += [flag] if given else []
        early_exit = archive["requested"] is not None and not again
        return words + ([f"--early-exit={archive['requested']}"] if early_exit else [])
