# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting one end of a task on its host: as a child of the worker, or through Ansible's connection."""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, TypedDict, cast

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils._end.wire import read_marked
from ..module_utils._run import bootstrap
from ..module_utils._run.labels import ENDS
from ..module_utils._run.launch import Launch, PipedLaunch
from ..module_utils._run.report import NOISE_MOST
from ..module_utils._run.words import printable
from ._hosts import Host
from ._watcher import PROGRAM as ENDING

if TYPE_CHECKING:
    from ..module_utils._end.records import EndPlan
    from ..module_utils._run.records import Labels

# sshd's MaxStartups closes connections before it knows anything of them: no login was tried.  Where Ansible was writing
# to ssh at that moment it only says that the pipe is broken; to launch an end of the same plan twice does no harm
BUSY = re.compile(
    "kex_exchange_identification|ssh_exchange_identification|Exceeded MaxStartups|Not allowed at this time"
    "|Data could not be sent to remote host.*Broken pipe",
    re.I | re.S,
)
BUSY_TRIES = 6
# sudo's requiretty, in any language; with data on standard input ssh asks for no terminal, without it does
TTY = re.compile(r"\btty\b", re.I)

# made when Ansible's main process loads the action, once for all of its workers
PROGRAM = bootstrap.program(bootstrap.sources())


class Executed(TypedDict):
    """What Ansible returns of a command; there is more in it."""

    rc: int
    stdout: str
    stderr: str


class ProcessLaunch(PipedLaunch):
    """An end on the controller: a child of ours."""

    def __init__(self, host: Host, plan: EndPlan, wake: Callable[[], None]) -> None:
        super().__init__(plan, host.interpreters)
        self.folder = host.folder

    def start(self) -> None:
        command = [*self.interpreters, "-IS", "-c", bootstrap.START, self.label]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            start_new_session=True,  # Ctrl-C ends the worker; this end then notices that its reader is gone
        )
        with cast(IO[bytes], self.process.stdout) as stdout:
            self.out = os.dup(stdout.fileno())
        os.set_blocking(self.out, False)
        try:
            with cast(IO[bytes], self.process.stdin) as stdin:
                stdin.write(bootstrap.stream(PROGRAM, self.plan))
        except BrokenPipeError:
            pass  # what it says on its standard error is the reason

    def wait(self) -> tuple[int, str]:
        with cast(IO[bytes], self.process.stderr) as stderr:
            said = stderr.read(NOISE_MOST).decode("utf-8", "replace")
        return self.process.wait(), said


class ExecLaunch(Launch):
    """An end through Ansible's connection, whose exec answers only when it is over: a thread of its own."""

    def __init__(self, host: Host, plan: EndPlan, wake: Callable[[], None]) -> None:
        super().__init__(plan, host.interpreters)
        self.host, self.wake = host, wake
        self.become = host.becomes_by
        self.second: threading.Thread | None = None  # the exec that ends the first one's end

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
        self.over()
        self.wake()

    def _patiently(self) -> Executed:
        """Many logins at once may be turned away before they begin: those come again, at different times."""
        for tries in range(1, BUSY_TRIES):
            try:
                return self._execute(self.label, PROGRAM, self.plan)
            except AnsibleConnectionFailure as exc:
                if self.cancelled or not BUSY.search(str(exc)):
                    raise
                time.sleep(random.uniform(0.2, 0.6) * tries)
        return self._execute(self.label, PROGRAM, self.plan)

    def cancel(self, age: float = 0.0) -> bool:
        """Where its end cannot notice that we are gone, it is ended by an exec of its own, and then reports."""
        if self.host.tells:
            return super().cancel(age)
        self.cancelled = True
        if self.second is None:
            self.second = threading.Thread(target=self.end_there, daemon=True)
            self.second.start()
        if self.second.is_alive() and age < ENDS:
            return True
        return super().cancel(age)

    def end_there(self) -> None:
        """Also called in a process of its own, when this one was killed: the host's end is ended by its label."""
        try:
            self._execute(f"socketpipe:{self.plan['run']}:ending", ENDING, {"labels": [self.label]})
        except Exception:
            pass  # the host cannot be reached: nothing more can be done

    def _execute(self, label: str, program: bytes, plan: EndPlan | Labels) -> Executed:
        """Run a program of ours on the host; what it is told comes with it."""
        executor = cast(ActionBase, self.host.executor)
        if self.host.takes_stdin:
            result: Executed = executor._low_level_execute_command(
                bootstrap.command(self.host.interpreters, label),
                in_data=bootstrap.stream(program, plan),
            )
            if not wants_files(result, executor._connection.become):
                return result
        return self._execute_from_files(executor, label, program, plan)

    def _execute_from_files(self, executor: ActionBase, label: str, program: bytes, told: EndPlan | Labels) -> Executed:
        """Where nothing can be sent on standard input: through Ansible's own temporary directory."""
        folder = executor._make_tmp_path()
        try:
            join = executor._connection._shell.join_path
            source, plan = join(folder, "socketpipe.py"), join(folder, "plan.json")
            executor._transfer_data(source, bootstrap.file_program(program))
            executor._transfer_data(plan, bootstrap.pack(told))
            executor._fixup_perms2((folder, source, plan), execute=False)
            command = bootstrap.command(self.host.interpreters, label, [source, plan])
            result: Executed = executor._low_level_execute_command(command)
            return result
        finally:
            executor._remove_tmp_path(folder)


def wants_files(result: Executed, become: Any) -> bool:
    """Whether the program did not get there because a terminal stands between, or because there is none."""
    message = read_marked(result["stdout"][-NOISE_MOST:])
    if message:
        return bool(message.get("terminal"))
    said = result["stdout"][-NOISE_MOST:] + result["stderr"][-NOISE_MOST:]
    return become is not None and result["rc"] == 1 and bool(TTY.search(said))


def one_line(error: BaseException) -> str:
    """An error's text, which may quote a whole login, for a sentence; what ssh says of its master is noise."""
    lines = [line for line in str(error).splitlines() if not re.match("mux_client|ControlSocket", line.strip())]
    return printable(" ".join(" ".join(lines).split())[:400].rstrip(": "))


def make_launch(host: Host, plan: EndPlan, wake: Callable[[], None]) -> ProcessLaunch | ExecLaunch:
    return (ProcessLaunch if host.executor is None else ExecLaunch)(host, plan, wake)
