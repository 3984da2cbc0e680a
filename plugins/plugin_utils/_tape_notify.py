# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tape_notify_command: gets the statistic tape_backup as JSON when a run ends, on the controller.

There it also works if the tape host is unreachable, and it has what ansible-playbook has: in a job of AWX, the project
and the environment of its credentials.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._run.answers import Failure
from ..module_utils._run.words import printable
from ._survey import from_json, is_empty
from ._tape_filters import command_words
from ._tape_spec import NOTIFY

# fields of a host in the statistic, besides ok and note
KEYS = ("state", "level", "bytes", "elapsed", "rate", "tape", "file", "encryption", "kind", "left_out", "last_good")
SUCCESS, FAILURE = "success", "failure"
GRACE = 5  # seconds from SIGTERM to SIGKILL
LATE = 124  # the exit status of timeout(1)
SHOWN = 300  # characters of the output
LINE = 2000  # characters of the summary; the kernel refuses an environment with too long a text


@dataclasses.dataclass(frozen=True)
class Notification:
    """The options; ``command``: its words, [] for none."""

    command: list[str]
    on: list[str]
    timeout: int  # seconds

    def send(self, artifact: Mapping[str, Any], summary: str) -> list[str]:
        """Run the command if it is wanted for the outcome of this run; returns a warning if it fails."""
        outcome = FAILURE if artifact["failed"] else SUCCESS
        if not self.command or outcome not in self.on:
            return []
        line = " ".join(printable(summary).split())[:LINE]  # it becomes the subject of a mail
        environment = {"TAPE_RESULT": outcome, "TAPE_RUN": str(artifact["run"]), "TAPE_SUMMARY": line}
        problem = self.run({**os.environ, **environment}, json.dumps(artifact, indent=2) + "\n")
        return [f"tape_notify_command ({printable(self.command[0])}) on the controller {problem}"] if problem else []

    def run(self, environment: Mapping[str, str], text: str) -> str:
        """What went wrong, "" for nothing.

        timeout(1) limits it even if this process is killed meanwhile.  Files instead of pipes: a process that the
        command leaves in the background does not keep us.
        """
        if not shutil.which(self.command[0]):
            return "was not found: check its name and the PATH of ansible-playbook"
        words = ["timeout", f"--kill-after={GRACE}", str(self.timeout), *self.command]
        began = time.monotonic()
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output:
            given.write(text.encode("ascii"))
            given.seek(0)
            try:
                process = subprocess.Popen(words, stdin=given, stdout=output, stderr=subprocess.STDOUT, env=environment)
            except (OSError, ValueError) as exc:  # ValueError: no process can have such words
                return f"was not started: {exc}"
            try:
                status = process.wait()
            finally:  # of a task that is broken off
                if process.returncode is None:
                    process.terminate()
            if status == 0:
                return ""
            if time.monotonic() - began >= self.timeout and status in (LATE, -9, 128 + 9):
                return f"took more than {self.timeout} s, and was ended: see tape_notify_timeout"
            output.seek(max(0, output.seek(0, os.SEEK_END) - 4 * SHOWN))
            lines = printable(output.read().decode("utf-8", "replace").strip()).splitlines() or ["no output"]
        how = f"was killed by signal {-status}" if status < 0 else f"failed with exit status {status}"
        return f"{how}: {lines[-1][-SHOWN:]}"


def notification_of(args: Mapping[str, Any]) -> Notification:
    """The options of a task; raises Failure."""
    command, timeout = args["tape_notify_command"], args["tape_notify_timeout"]
    listed = from_json(command)  # a survey of AWX has no lists
    command = listed if isinstance(listed, list) else command
    words: list[str] = []
    if command != [] and not is_empty(command):
        words, shell = command_words("tape_notify_command", command, wrong)
        if shell and isinstance(command, str):
            hint = "give a list such as [sh, -c, 'mail -s \"$TAPE_SUMMARY\" ops']"
            raise wrong(f"tape_notify_command: no shell runs {shell!r}: {hint}")
    if timeout < 1:
        raise wrong("tape_notify_timeout must be at least 1 second")
    return Notification(words, list(args["tape_notify_on"]), timeout)


def of_task(args: Mapping[str, Any], validate: Any) -> Notification | None:
    """The same for a task whose other options are invalid; None if these are, too."""
    given = {name: args[name] for name in NOTIFY if args.get(name) not in (None, "")}
    try:
        return notification_of(validate(NOTIFY, given, "tape_notify"))
    except Failure:
        return None


def without_plan(hosts: Sequence[str], run: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """The statistic of a run that could not be planned."""
    row = {**dict.fromkeys(KEYS), "state": "failed", "kind": result["kind"], "ok": False, "note": result["msg"]}
    return {
        "run": run,
        "good": 0,
        "failed": len(hosts) or 1,
        "bytes": 0,
        "tapes": [],
        "elapsed": 0,
        "encryption": None,
        "hosts": dict.fromkeys(hosts, row),
        "warnings": [],
        "resume": "",
    }


def wrong(what: str) -> Failure:
    return Failure("settings", what)
