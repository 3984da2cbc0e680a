# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes: their environment, handling of signals, and cleaning up so that nothing is left running."""

import contextlib
import ctypes
import os
import signal
import subprocess

from .problem import NO_TOOL, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Sequence, Union

    Words = Union[Sequence[str], Sequence[bytes]]

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # for mtx; the PATH of a login without root lacks these directories
# variables that would change the behaviour or output of programs
DROPPED = ("TAR_OPTIONS", "TAPE", "POSIXLY_CORRECT", "LANGUAGE", "SOCKETPIPE_TAPE")

c_library = ctypes.CDLL(None, use_errno=True)


class Ended(BaseException):
    """A signal told this process to stop."""

    def __init__(self, number: int):
        super().__init__("ended by %s" % signal.Signals(number).name)
        self.status = 128 + number  # exit status, as shells have it


class Missing(Problem):
    """A program cannot be started; ``why``: the reason from the system."""

    def __init__(self, program: str, exc: OSError):
        self.errno, self.why = exc.errno or 0, exc.strerror or str(exc)
        found = "there is no %s on this host" % program
        if not isinstance(exc, FileNotFoundError):
            found = "%s cannot be started: %s" % (program, self.why)
        super().__init__(found, "install it", kind=NO_TOOL)


def end_on_signals() -> None:
    """Raise Ended at the first signal to stop; child processes are then killed during the exit."""

    def stop(number: int, _frame: object) -> None:
        for other in ENDING:
            signal.signal(other, lambda _number, _frame: None)  # not SIG_IGN, which child processes would inherit
        raise Ended(number)

    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGTERM:
            signal.signal(number, stop)


@contextlib.contextmanager
def signals_held() -> "Iterator[None]":
    """Block signals to stop; between starting a process and recording it, they would leave it running."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def environment() -> "dict[str, str]":
    """The environment for programs whose output is parsed: in English, with the directories of system tools in PATH."""
    path = os.environ.get("PATH") or os.defpath
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    return dict(kept, PATH="%s:%s" % (path, SBIN), LC_ALL="C")


def die_with(parent: int) -> "Callable[[], Any]":
    """For a child before exec: have the kernel kill it when its parent dies, for any reason."""

    def ask() -> None:
        c_library.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(127)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # the program would inherit the blocked signals

    return ask


def start(argv: "Words", before: "Callable[[], None] | None" = None, **how: "Any") -> "subprocess.Popen[bytes]":
    """Start a program that dies with this process; ``before`` runs in the child first; raises Missing."""
    ask = die_with(os.getpid())

    def prepare() -> None:
        ask()
        if before:
            before()

    how.setdefault("env", environment())
    try:
        # pylint: disable-next=ansible-bad-function  # it is no module of Ansible
        return subprocess.Popen(argv, preexec_fn=prepare, **how)
    except OSError as exc:
        raise Missing(os.fsdecode(argv[0]), exc) from None


class Children:
    """Programs that are killed, if still running, and waited for at the end of the block."""

    def __init__(self) -> None:
        self.started: "list[subprocess.Popen[bytes]]" = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_exception: object) -> None:
        with signals_held():
            for child in self.started:
                if child.poll() is None:
                    child.kill()
        for child in self.started:
            child.wait()
            for stream in (child.stdout, child.stderr):
                if stream:
                    stream.close()

    def start(self, argv: "Words", **how: "Any") -> "subprocess.Popen[bytes]":
        """See start()."""
        with signals_held():
            self.started.append(start(argv, **how))
        return self.started[-1]


def close_all_but(kept: "tuple[int, ...]") -> None:
    """Close all other descriptors of this process."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the descriptor of the folder itself
                os.close(int(name))


class Forked:
    """A fork that runs a function and exits; it has the methods of subprocess.Popen that Crew needs."""

    def __init__(self, work: "Callable[[], None]", standard: "tuple[int, int, int]", fds: "tuple[int, ...]"):
        self.returncode: "int | None" = None
        ask = die_with(os.getpid())
        self.pid = os.fork()
        if self.pid:
            return
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*ENDING, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            ask()
            for fd, ours in enumerate([os.dup(fd) for fd in standard]):
                os.dup2(ours, fd)
            close_all_but((0, 1, 2, *fds))
            work()
            status = 0
        except BaseException as exc:
            said = exc.strerror if isinstance(exc, OSError) and exc.strerror else "%s: %s" % (type(exc).__name__, exc)
            said = str(exc) if isinstance(exc, Problem) else said
            os.write(2, (said + "\n").encode("utf-8", "backslashreplace"))
        finally:
            os._exit(status)

    def poll(self) -> "int | None":
        if self.returncode is None:
            self.ended(os.waitpid(self.pid, os.WNOHANG))
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.ended(os.waitpid(self.pid, 0))
        return self.returncode or 0

    def ended(self, found: "tuple[int, int]") -> None:
        pid, status = found
        if pid:
            self.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
