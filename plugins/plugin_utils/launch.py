# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting one end on its host, each in its own way, and hearing what came of it.

Every launch has the same life: ``start``, then ``ready`` says that it has come to
its end, ``outcome`` what it was; ``cancel`` ends it before.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, Any, cast

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils import bootstrap
from ..module_utils.kernel import descendants, kill
from ..module_utils.watch import read_marked
from .hosts import Host
from .report import NOISE_MOST, REPORT_MOST, Heard, flaw, sample_is_sound

# sshd's MaxStartups closes connections before it knows anything of them: no login was tried.  Where Ansible was writing
# to ssh at that moment it only says that the pipe is broken; to launch an end of the same plan twice does no harm
BUSY = re.compile(
    "kex_exchange_identification|ssh_exchange_identification|Exceeded MaxStartups|Not allowed at this time"
    "|Data could not be sent to remote host.*Broken pipe",
    re.I | re.S,
)
BUSY_TRIES = 6
CHUNK = 64 * 1024  # bytes that are heard at once
NO_PYTHON = "no usable Python ({0}): install Python 3.6 or later there, or set ansible_python_interpreter"

# made when Ansible's main process loads the action, once for all of its workers
PROGRAM = bootstrap.program(bootstrap.sources())


class Launch:
    """One end on its way."""

    def __init__(self, host: Host, plan: dict[str, Any], wake: Callable[[], None]) -> None:
        self.host, self.plan, self.wake = host, plan, wake
        self.label = f"socketpipe:{plan['run']}:{plan['end']}"
        self.ready = False
        self.cancelled = False
        self.began = self.ended = time.monotonic()
        self.report: dict[str, Any] | None = None
        self.error, self.kind = "", "launch"
        self.silent = ""  # why it was given up, when that is a failure of its own
        self.lost = False  # it may have run, but there is no report

    def outcome(self) -> dict[str, Any]:
        """What verdict.Verdict wants to know of an end."""
        return {
            "report": self.report,
            "error": self.silent or self.error,
            "kind": self.kind,
            "cancelled": self.cancelled and not self.silent,
            "lost": bool(self.silent) or self.lost and not self.cancelled,
        }

    @property
    def lived(self) -> float:
        """Seconds from the launch to its end."""
        return self.ended - self.began

    def conclude(self, rc: int, stdout: str, stderr: str) -> None:
        """An end's process is over: its report, or the sentence that says why there is none."""
        message = read_marked(stdout[-REPORT_MOST:])
        # a login with a terminal has merged both, and ssh has a last word of its own
        lines = [line.strip() for text in (stdout, stderr) for line in text[-NOISE_MOST:].splitlines() if line.strip()]
        said = " ".join(lines[-4:])[-400:]
        wrong = flaw(message, self.plan) if message else ""
        if message and not wrong and ("end" in message or "refused" in message):
            self.report = message
        elif wrong:
            self.lost, self.error = True, f"its report cannot be used, {wrong}"
        elif rc in (126, 127) or "Unknown option: -I" in said:  # that is Python 2's
            self.error, self.kind = NO_PYTHON.format(", ".join(self.host.interpreters)), "no python"
        else:
            self.lost = True
            self.error = f"it ended without a report (exit status {rc})" + (f": {said}" if said else "")

    def processes(self) -> list[int]:
        """Our processes on this machine that carry this end's label: ssh, docker, a shell, or the end itself."""
        found = []
        for pid in descendants(os.getpid()):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                    if self.label.encode() in cmdline.read():
                        found.append(pid)
            except OSError:
                continue
        return found

    def cancel(self, number: int = signal.SIGTERM) -> None:
        """End it: the end sees that its output has no reader any more, and cleans up."""
        self.cancelled = True
        kill(self.processes(), number)


class ProcessLaunch(Launch):
    """An end on the controller: a child of ours, whose samples are heard as they come."""

    def start(self) -> None:
        command = [*self.host.interpreters, "-IS", "-c", bootstrap.START, self.label]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.host.folder,
            start_new_session=True,  # Ctrl-C ends the worker; this end then notices that its reader is gone
        )
        self.stdout = cast(IO[bytes], self.process.stdout)
        self.heard = Heard()
        os.set_blocking(self.stdout.fileno(), False)
        try:
            with cast(IO[bytes], self.process.stdin) as stdin:
                stdin.write(bootstrap.stream(PROGRAM, self.plan))
        except BrokenPipeError:
            pass  # what it says on its standard error is the reason

    def fileno(self) -> int:
        return self.stdout.fileno()

    def hear(self) -> list[dict[str, Any]]:
        """The samples that have come since; at the end of the output the report is taken."""
        try:
            chunk = os.read(self.fileno(), CHUNK)  # a part: what never ends must not keep us here
        except BlockingIOError:
            return []
        if not chunk:
            self._end()
            return []
        messages = [message for line in self.heard.feed(chunk) if (message := read_marked(line))]
        return [message for message in messages if sample_is_sound(message, self.plan)]

    def _end(self) -> None:
        with cast(IO[bytes], self.process.stderr) as stderr:
            said = stderr.read(NOISE_MOST).decode("utf-8", "replace")
        self.conclude(self.process.wait(), self.heard.text(), said)
        self.stdout.close()
        self.ended, self.ready = time.monotonic(), True


class ExecLaunch(Launch):
    """An end through Ansible's connection, whose exec answers only when it is over: a thread of its own."""

    def start(self) -> None:
        threading.Thread(target=self._run, name=self.label, daemon=True).start()

    def _run(self) -> None:
        try:
            result = self._patiently()
            self.conclude(result["rc"], result["stdout"], result["stderr"])
        except AnsibleConnectionFailure as exc:
            self.error, self.kind = one_line(exc), "unreachable"
        except AnsibleError as exc:
            self.error = one_line(exc)
        except Exception as exc:  # a connection plugin may raise anything; the run must end all the same
            self.error = f"{type(exc).__name__}: {one_line(exc)}"
        self.ended, self.ready = time.monotonic(), True
        self.wake()

    def _patiently(self) -> dict[str, Any]:
        """Many logins at once may be turned away before they begin: those come again, at different times."""
        for tries in range(1, BUSY_TRIES):
            try:
                return self._execute()
            except AnsibleConnectionFailure as exc:
                if self.cancelled or not BUSY.search(str(exc)):
                    raise
                time.sleep(random.uniform(0.2, 0.6) * tries)
        return self._execute()

    def _execute(self) -> dict[str, Any]:
        executor = cast(ActionBase, self.host.executor)
        if self.host.takes_stdin:
            return executor._low_level_execute_command(
                bootstrap.command(self.host.interpreters, self.label),
                in_data=bootstrap.stream(PROGRAM, self.plan),
            )
        return self._execute_from_files(executor)

    def _execute_from_files(self, executor: ActionBase) -> dict[str, Any]:
        """Where nothing can be sent on standard input: through Ansible's own temporary directory."""
        folder = executor._make_tmp_path()
        try:
            join = executor._connection._shell.join_path
            source, plan = join(folder, "socketpipe.py"), join(folder, "plan.json")
            executor._transfer_data(source, bootstrap.file_program(PROGRAM))
            executor._transfer_data(plan, bootstrap.pack(self.plan))
            executor._fixup_perms2((folder, source, plan), execute=False)
            return executor._low_level_execute_command(
                bootstrap.command(self.host.interpreters, self.label, [source, plan])
            )
        finally:
            executor._remove_tmp_path(folder)


def one_line(error: BaseException) -> str:
    """An error's text, which may quote a whole login, for a sentence; what ssh says of its master is noise."""
    lines = [line for line in str(error).splitlines() if not re.match("mux_client|ControlSocket", line.strip())]
    return " ".join(" ".join(lines).split())[:400].rstrip(": ")


def make_launch(host: Host, plan: dict[str, Any], wake: Callable[[], None]) -> ProcessLaunch | ExecLaunch:
    return (ProcessLaunch if host.executor is None else ExecLaunch)(host, plan, wake)
