# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of ours: what it is told of itself, how it ends with us, and one that is a copy of us."""

import contextlib
import ctypes
import os
import signal
import subprocess
from subprocess import DEVNULL, PIPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

c_library = ctypes.CDLL(None, use_errno=True)


class Ended(BaseException):
    """A signal asks us to end."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def held_back() -> "Iterator[None]":
    """A signal to end waits: between a process's start and its place in the list of what is ended, it would be lost."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


class Forked:
    """A copy of us with some work, after which it ends; as far as a crew needs it like subprocess.Popen."""

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
            for name in os.listdir("/proc/self/fd"):
                if int(name) > 2 and int(name) not in fds:
                    with contextlib.suppress(OSError):  # that of the folder itself
                        os.close(int(name))
            work()
            status = 0
        except BaseException as exc:
            said = exc.strerror if isinstance(exc, OSError) and exc.strerror else "%s: %s" % (type(exc).__name__, exc)
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


def plain_environment() -> "dict[bytes, bytes]":
    """Our own, without what would change how programs behave, or what they say."""
    dropped = (b"TAR_OPTIONS", b"TAPE", b"POSIXLY_CORRECT", b"LANGUAGE", b"SOCKETPIPE_TAPE")
    environment = {name: value for name, value in os.environb.items() if name not in dropped}
    environment[b"LC_ALL"] = b"C"
    return environment


def die_with(parent: int) -> "Callable[[], Any]":
    """Called in a child before its program starts: it is killed when its parent is gone, whatever became of that."""

    def ask() -> None:
        c_library.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # a program would inherit what is held back here

    return ask


def output(argv: "list[bytes]") -> "tuple[int, bytes]":
    """(status, both outputs) of a short command; 127 if there is no such program."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=subprocess.STDOUT,
            env=plain_environment(),
            preexec_fn=die_with(os.getpid()),
        )
    except OSError:
        return 127, b""
    text = process.communicate()[0]
    return process.returncode, text
