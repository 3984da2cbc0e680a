# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of a task, inside a worker of ansible-playbook, which may be killed or lose its parent.

Each end is launched on its host: as a child of the worker, or through Ansible's connection.
"""

from __future__ import annotations

import functools
import os
import random
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, TypedDict, cast

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils._end.kernel import hide_memory
from ..module_utils._end.processes import descendants, kill
from ..module_utils._run import bootstrap
from ..module_utils._run.heard import PipedLaunch
from ..module_utils._run.labels import ENDS
from ..module_utils._run.launch import NOISE_MOST, Launch, Run
from ..module_utils._run.marked import read_marked
from ..module_utils._run.words import printable
from ._hosts import Host
from ._watcher import PROGRAM as ENDING
from ._watcher import Watcher

if TYPE_CHECKING:
    from ..module_utils._end.records import EndPlan, Sample
    from ..module_utils._run.plan import Plan
    from ..module_utils._run.records import Labels
    from ._task_progress import Lines

# sshd's MaxStartups closes connections before a login is tried.  If Ansible was writing to ssh at that moment, it only
# reports a broken pipe.  A client of OpenSSH 10 may say no more than "Connection closed", as older ones do if sshd ends
# a login for another reason; ssh has other words for what ends later.  Launching an end of the same plan twice does no
# harm
BUSY = re.compile(
    "kex_exchange_identification|ssh_exchange_identification|Exceeded MaxStartups|Not allowed at this time"
    "|Data could not be sent to remote host.*Broken pipe"
    r"|(^|: )Connection closed by \S+ port \d+",
    re.I | re.M | re.S,
)
BUSY_TRIES = 6
REMOVAL = 5.0  # seconds for Ansible to remove its temporary directory on a host
EACH, SPARE = 3, 64  # descriptors for each end, and for the rest, such as programs that start
TOO_MANY = (
    "%d hosts need %d open files on the controller, and its limit is %d: raise it (ulimit -Hn, LimitNOFILE), or use "
    "fewer forks, or fewer hosts in one task"
)
# sudo's requiretty, in any language; ssh requests a terminal only without data on standard input
TTY = re.compile(r"\btty\b", re.I)


@functools.cache
def part(names: tuple[str, ...]) -> bytes:
    """These modules, for a program."""
    return bootstrap.part(bootstrap.sources(names))


# made once, when Ansible's main process loads the action, for all workers; other parts are made by a worker
PROGRAM = bootstrap.program(bootstrap.sources())
OFTEN = (bootstrap.LOOPBACK_MODULES, bootstrap.KERNEL_MODULES, bootstrap.RELAY_MODULES, bootstrap.STATUS_MODULES)
for group in OFTEN:
    part(tuple(group))


def program_for(plan: EndPlan) -> bytes:
    """The program of an end with this plan."""
    more = [part(tuple(names)) for names in bootstrap.more_of_plan(plan)]
    return bootstrap.extended(PROGRAM, more) if more else PROGRAM


def encrypt(plan: Plan, how: str) -> None:
    """Encrypt the links of a plan: ``how`` is none, required, kernel or relay.

    The memory of this worker then has keys.
    """
    if how != "none":
        hide_memory()
    if how == "kernel":
        plan.options["kernel_tls"] = "must"
    elif how != "none":
        from ._certificates import make_certificate  # it takes a while to load

        plan.encrypt(make_certificate)


class Executed(TypedDict):
    """The fields of Ansible's result of a command that are used here."""

    rc: int
    stdout: str
    stderr: str


class ProcessLaunch(PipedLaunch):
    """An end on the controller: a child process."""

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
            start_new_session=True,  # Ctrl-C kills the worker; this end then notices that its reader is gone
        )
        with cast(IO[bytes], self.process.stdout) as stdout:
            self.out = os.dup(stdout.fileno())
        os.set_blocking(self.out, False)
        try:
            with cast(IO[bytes], self.process.stdin) as stdin:
                stdin.write(bootstrap.stream(program_for(self.plan), self.plan))
        except BrokenPipeError:
            pass  # its standard error gives the reason

    def wait(self) -> tuple[int, str]:
        with cast(IO[bytes], self.process.stderr) as stderr:
            said = stderr.read(NOISE_MOST).decode("utf-8", "replace")
        return self.process.wait(), said


def ending_label(run: str) -> str:
    return f"socketpipe:{run}:ending"


class ExecLaunch(Launch):
    """An end through Ansible's connection.  It uses a thread, because exec returns only at its end."""

    threaded = True

    def __init__(self, host: Host, plan: EndPlan, wake: Callable[[], None]) -> None:
        super().__init__(plan, host.interpreters)
        self.host, self.wake = host, wake
        self.become = host.becomes_by
        self.second: threading.Thread | None = None  # the exec that kills the end of the first one
        self.folder = ""  # Ansible's temporary directory on the host, while it may exist

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
        except Exception as exc:  # a connection plugin may raise anything, but the run must still end
            self.error = f"{type(exc).__name__}: {one_line(exc)}"
        self.over()
        self.wake()

    def _patiently(self) -> Executed:
        """Retry logins that sshd rejects because there are too many at once, after random delays."""
        for tries in range(1, BUSY_TRIES):
            try:
                return self._execute(self.label, program_for(self.plan), self.plan)
            except AnsibleConnectionFailure as exc:
                if self.cancelled or not BUSY.search(str(exc)):
                    raise
                time.sleep(random.uniform(0.2, 0.6) * tries)
        return self._execute(self.label, program_for(self.plan), self.plan)

    def cancel(self, age: float = 0.0) -> bool:
        """If the end cannot notice a closed output, a second exec kills it, and it then reports."""
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
        """Kill the end on the host by its label; also called in the watcher's fork after this process was killed."""
        try:
            self._execute(ending_label(self.plan["run"]), ENDING, {"labels": [self.label]})
        except Exception:
            pass  # the host cannot be reached: nothing more can be done

    def _execute(self, label: str, program: bytes, plan: EndPlan | Labels) -> Executed:
        """Run a program with its plan on the host."""
        executor = cast(ActionBase, self.host.executor)
        if self.host.takes_stdin:
            command = bootstrap.command(self.host.interpreters, label)
            result: Executed = executor._low_level_execute_command(
                command,
                in_data=bootstrap.stream(program, plan),
                # any login shell knows exec; otherwise Ansible starts /bin/sh as well, which takes 1 ms
                executable=False if self.host.has_login_shell and command.startswith("exec ") else None,
            )
            if not wants_files(result, executor._connection.become):
                return result
        return self._execute_from_files(executor, label, program, plan)

    def _execute_from_files(self, executor: ActionBase, label: str, program: bytes, told: EndPlan | Labels) -> Executed:
        """Send the program through Ansible's temporary directory, if it cannot be sent on standard input."""
        folder = self.folder = executor._make_tmp_path()
        try:
            join = executor._connection._shell.join_path
            source, plan = join(folder, "socketpipe.py"), join(folder, "plan.json")
            executor._transfer_data(source, bootstrap.file_program(program))
            executor._transfer_data(plan, bootstrap.argument(told))
            executor._fixup_perms2((folder, source, plan), execute=False)
            command = bootstrap.command(self.host.interpreters, label, [source, plan])
            result: Executed = executor._low_level_execute_command(command)
            return result
        finally:
            executor._remove_tmp_path(folder)
            self.folder = ""

    def abandon(self) -> None:
        """After the run: do not wait until a host that does not answer has removed its temporary directory.

        ssh would try for hours.  Ansible would try again after the task.
        """
        deadline = time.monotonic() + REMOVAL
        while self.folder and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.folder:
            cast(ActionBase, self.host.executor)._connection._shell.tmpdir = None
            kill(with_word(self.folder), signal.SIGKILL)


def with_word(word: str) -> list[int]:
    """The descendants of this process whose command lines contain this text."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                if word.encode() in cmdline.read():
                    found.append(pid)
        except OSError:
            pass  # it has ended
    return found


def wants_files(result: Executed, become: Any) -> bool:
    """Whether the program did not arrive because a terminal is in between, or because become needs one."""
    message = read_marked(result["stdout"][-NOISE_MOST:])
    if message:
        return bool(message.get("terminal"))
    said = result["stdout"][-NOISE_MOST:] + result["stderr"][-NOISE_MOST:]
    return become is not None and result["rc"] == 1 and bool(TTY.search(said))


def one_line(error: BaseException) -> str:
    """The text of an error, which may quote a whole login, as one line without the messages of ssh's master."""
    lines = [line for line in str(error).splitlines() if not re.match("mux_client|ControlSocket", line.strip())]
    return printable(" ".join(" ".join(lines).split())[:400].rstrip(": "))


def make_launch(host: Host, plan: EndPlan, wake: Callable[[], None]) -> ProcessLaunch | ExecLaunch:
    return (ProcessLaunch if host.executor is None else ExecLaunch)(host, plan, wake)


def reserve_descriptors(count: int) -> None:
    """Raise the limit of open files as far as so many ends need; raises AnsibleActionFail if that is not permitted."""
    needed = len(os.listdir("/proc/self/fd")) + SPARE + EACH * count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed <= soft or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise AnsibleActionFail(TOO_MANY % (count, needed, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class TaskRun(Run):
    """The run of one task."""

    def __init__(self, plan: Plan, hosts: dict[str, Host], lines: Lines | None = None) -> None:
        """``lines``: shows how far it is."""
        reserve_descriptors(len(hosts))
        launches = {end: make_launch(host, plan.for_end(end), self.wake) for end, host in hosts.items()}
        super().__init__(launches, self.show)
        self.plan, self.lines = plan, lines
        self.parent = os.getppid()
        afar = [each.end_there for each in launches.values() if isinstance(each, ExecLaunch) and not each.host.tells]
        self.watcher = Watcher([launch.label for launch in launches.values()], afar)

    def depending(self, end: str) -> set[str]:
        return self.plan.depending(end)

    def wake(self) -> None:
        """Called by the thread of an exec that has ended."""
        os.write(self.wake_in, b".")

    def beat(self) -> None:
        if os.getppid() != self.parent:
            # ansible-playbook was killed, so nothing reads the result (since core 2.19 a worker has its own session)
            self.cancel_all()
            os._exit(1)
        if self.lines:
            self.lines.beat()

    def show(self, sample: Sample) -> None:
        if self.lines:
            self.lines.feed(sample)

    def dismiss(self) -> None:
        for launch in self.launches.values():
            if isinstance(launch, ExecLaunch):
                launch.abandon()
        self.watcher.dismiss()
