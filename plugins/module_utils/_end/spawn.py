# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a command with given descriptors."""

import fcntl

from .execute import encode, execute
from .kernel import signal_on_death
from .lean import signal
from .system import os
from .watch import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .records import NotStarted as Failure

# a program from the plan is open here, as a file without a name
PROGRAM_FD = 3
PROGRAM_PATH = "/proc/self/fd/%d" % PROGRAM_FD
PROGRAM_START = "import os;r=os.fdopen(%d,'rb').read;exec(r(int(r(8))))" % PROGRAM_FD


MEMORY_DUMPED = "/proc/self/coredump_filter"  # core(5): the memory in a core dump, as bits; inherited through exec
_dumped = ""  # at our start, if it has been changed


class NotStarted(Exception):
    """The command cannot be run; ``problem`` is the reason."""

    def __init__(self, number: int, error: str, step: str = "", name: str = "") -> None:
        super().__init__(error)
        self.problem: "Failure" = {
            "kind": "not started",
            "step": step,
            "name": name,
            "errno": number,
            "error": error,
        }


def keep_out_of_dumps() -> None:
    """Leave the memory of this process, with the keys in it, out of core dumps.  Commands get the former setting back.

    PR_SET_DUMPABLE would do it, too, but with hidepid nobody could find this process in /proc to end it.
    """
    global _dumped  # pylint: disable=global-statement  # a setting of this process
    try:
        with open(MEMORY_DUMPED) as setting:
            _dumped = _dumped or "0x" + setting.read().strip()
    except OSError:
        return  # a kernel without core dumps (CONFIG_ELF_CORE)
    set_dumped("0x0")


def set_dumped(bits: str) -> None:
    try:
        with open(MEMORY_DUMPED, "w") as setting:
            setting.write(bits)
    except OSError:
        pass  # no descriptor is left (ulimit -n)


def in_memory(text: str) -> int:
    """A descriptor of a file without a name that contains this (base64): memfd_create(2), or open(2)'s O_TMPFILE."""
    import binascii  # rarely needed

    try:
        fd = os.memfd_create("socketpipe")
    except (AttributeError, OSError):  # Python before 3.8, Linux before 3.17, or a sandbox (seccomp)
        fd = os.open("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)
    data = memoryview(binascii.a2b_base64(text))
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def spawn(
    argv: "list[str]",
    environment: "dict[bytes, bytes]",
    chdir: "str | None",
    fds: "dict[int, int]",
    own_session: bool = True,
    orphaned: int = 0,
    others: bool = True,
    become: "Callable[[], object] | None" = None,
) -> int:
    """Run a command with these descriptors {its fd: ours}, in a separate session unless it may need the terminal.

    Returns its pid; raises NotStarted with the failed step.  A descriptor that closes on exec tells whether exec
    worked.  ``orphaned``: the signal that it gets when this process dies.  ``others``: it also inherits the inheritable
    descriptors of this process.  ``become``: a function to call instead of a command; it closes all other descriptors
    and does not return.
    """
    result, result_in = os.pipe()
    parent = os.getpid()
    # Python drops the signals that a child gets at its birth; here they wait until it has none of our handlers
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if pid == 0:
        step, report = "fork", result_in
        try:
            if own_session:
                os.setsid()
            if orphaned:
                signal_on_death(orphaned)
                if os.getppid() != parent:  # it has already died
                    os.kill(os.getpid(), orphaned)
            above = max(fds) + 1  # but no higher, because there may be few (ulimit -n)
            high = {fd: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above) for fd, source in fds.items()}
            report = fcntl.fcntl(result_in, fcntl.F_DUPFD_CLOEXEC, above)
            for fd, source in high.items():
                os.dup2(source, fd)
            if not others:
                close_all_but(set(fds))
            reset_signals(own_session)
            if _dumped and not become:
                set_dumped(_dumped)
            step = "chdir"
            if chdir:
                os.chdir(encode(chdir))
            step = "run"
            if become:
                become()
            else:
                execute(argv, environment)
        except BaseException as exc:  # this process must never continue as a second end
            code, error = (exc.errno, exc.strerror) if isinstance(exc, OSError) else (0, "")
            os.write(report, ("%d\0%s\0%s" % (code or 0, step, error or exc)).encode("utf-8", "replace"))
        finally:
            os._exit(127)
    os.close(result_in)
    message = read_all(result)
    if message:
        os.waitpid(pid, 0)
        number, step, error = message.decode("utf-8", "replace").split("\0", 2)
        raise NotStarted(int(number), error, step, {"chdir": chdir, "run": argv[0]}.get(step) or "")
    return pid


def reset_signals(own_session: bool) -> None:
    """Reset signals for a command to their defaults, except for those that were ignored at our start."""
    signal.set_wakeup_fd(-1)
    stay = {signal.SIGHUP}  # ignored, as under nohup
    if not own_session:
        stay |= {signal.SIGINT, signal.SIGQUIT}  # as in the background of a script, where Ctrl-C does not apply
    for caught in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD) + SIGNALS:
        if caught not in stay or signal.getsignal(caught) != signal.SIG_IGN:
            signal.signal(caught, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def read_all(fd: int) -> bytes:
    """Read a pipe to its end, and close it."""
    found = b""
    try:
        while True:
            chunk = os.read(fd, 4096)
            if not chunk:
                return found
            found += chunk
    finally:
        os.close(fd)


def close_all_but(kept: "set[int]") -> None:
    """Mark all other descriptors to be closed by the next exec."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                pass  # that of the listing itself
