# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a command on this host, and starting it with the descriptors that it is to have."""

import errno
import fcntl
import os

from .kernel import signal_on_death
from .lean import signal
from .watch import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping, NoReturn

    from .records import NotStarted as Failure
    from .records import Unusable

# a stage whose program came with the plan has it open here, as a file without a name
PROGRAM_FD = 3
PROGRAM_PATH = "/proc/self/fd/%d" % PROGRAM_FD
PROGRAM_START = "import os;r=os.fdopen(%d,'rb').read;exec(r(int(r(8))))" % PROGRAM_FD


class NotStarted(Exception):
    """The command cannot be run: ``problem`` says why."""

    def __init__(self, number: int, error: str, step: str = "", name: str = "") -> None:
        super().__init__(error)
        self.problem: "Failure" = {
            "kind": "not started",
            "step": step,
            "name": name,
            "errno": number,
            "error": error,
        }


def encode(text: str) -> bytes:
    """The plan's text as a command gets it: UTF-8, whatever our own locale is (Python 3.6 knows only ASCII in C)."""
    return text.encode("utf-8", "surrogateescape")


def own_environment() -> "dict[bytes, bytes]":
    """The environment that we were started with.

    os.environb is not that: in the C locale Python sets LC_CTYPE=C.UTF-8 in it (PEP 538), and commands that
    inherit this would take bytes for characters that are none to those of the login.
    """
    try:
        with open("/proc/self/environ", "rb") as environ:
            entries = environ.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    found: "dict[bytes, bytes]" = {}
    for name, equals, value in (entry.partition(b"=") for entry in entries):
        if name and equals:
            found.setdefault(name, value)  # the first is what getenv(3) finds
    return found


def full_environment(given: "Mapping[str, str]") -> "dict[bytes, bytes]":
    """Our own environment with these variables on top."""
    return {**own_environment(), **{encode(name): encode(value) for name, value in given.items()}}


def find_command(name: str, environment: "dict[bytes, bytes]", chdir: "str | None") -> "Unusable | None":
    """Why a command cannot be run here; None when it can (execvp(3)'s search)."""
    if chdir and not os.path.isdir(encode(chdir)):
        return {"kind": "no directory", "path": chdir}
    path = environment.get(b"PATH") or os.defpath.encode()
    seen = b""
    for folder in [b""] if "/" in name else path.split(b":"):
        candidate = os.path.join(encode(chdir or ""), folder, encode(name))
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return None
            seen = candidate
    if seen:
        return {"kind": "not executable", "path": seen.decode("utf-8", "replace")}
    return {"kind": "not found", "name": name, "path": "" if "/" in name else path.decode("utf-8", "replace")[:300]}


def execute(argv: "list[str]", environment: "dict[bytes, bytes]") -> "NoReturn":
    """Become this command, as execvp(3) does it: a script without a #! line is run by /bin/sh.  Raises OSError."""
    words = [encode(word) for word in argv]
    try:
        os.execvpe(words[0], words, environment)
    except OSError as exc:
        if exc.errno != errno.ENOEXEC:
            raise
        path = environment.get(b"PATH") or os.defpath.encode()
        paths = [os.path.join(folder, words[0]) for folder in ([b""] if "/" in argv[0] else path.split(b":"))]
        script = next(filter(is_script, paths), None)
        if script is None:
            raise
        os.execve(b"/bin/sh", [b"/bin/sh", script] + words[1:], environment)


def is_script(path: bytes) -> bool:
    """Whether this can be run and is text: a program for another kind of processor cannot be run by a shell."""
    if not os.path.isfile(path) or not os.access(path, os.X_OK | os.R_OK):
        return False
    with open(path, "rb") as file:
        return b"\0" not in file.read(256)


def in_memory(text: str) -> int:
    """A descriptor of a file without a name that contains this (base64): memfd_create(2), or open(2)'s O_TMPFILE."""
    import binascii  # few have a program with them

    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("socketpipe")
    else:  # Python before 3.8
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
    """Run a command with these descriptors {its fd: ours}, in a session of its own if it need not ask anybody.

    Returns its pid; raises NotStarted with the step that failed: a descriptor that closes on exec
    tells an exec that worked from one that did not.  ``orphaned``: the signal that it gets when we die.
    ``others``: with those descriptors, too, that whoever started us meant to be inherited.
    ``become``: no command is run, but this, which closes all other descriptors and does not return.
    """
    result, result_in = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        step, report = "fork", result_in
        try:
            if own_session:
                os.setsid()
            if orphaned:
                signal_on_death(orphaned)
                if os.getppid() != parent:  # dead already
                    os.kill(os.getpid(), orphaned)
            above = max(fds) + 1  # and no higher: there may be few (ulimit -n)
            high = {fd: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above) for fd, source in fds.items()}
            report = fcntl.fcntl(result_in, fcntl.F_DUPFD_CLOEXEC, above)
            for fd, source in high.items():
                os.dup2(source, fd)
            if not others:
                close_all_but(set(fds))
            reset_signals(own_session)
            step = "chdir"
            if chdir:
                os.chdir(encode(chdir))
            step = "run"
            if become:
                become()
            else:
                execute(argv, environment)
        except BaseException as exc:  # whatever it is, this process must not go on as a second end
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
    """Have signals do in a command what they do by default, but for those that whoever started us has ignored."""
    signal.set_wakeup_fd(-1)
    stay = {signal.SIGHUP}  # ignored, as under nohup
    if not own_session:
        stay |= {signal.SIGINT, signal.SIGQUIT}  # as in the background of a script: Ctrl-C is not for them
    for caught in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD) + SIGNALS:
        if caught not in stay or signal.getsignal(caught) != signal.SIG_IGN:
            signal.signal(caught, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def read_all(fd: int) -> bytes:
    """Everything up to the end of a pipe, which is closed."""
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
    """The next exec closes all other descriptors."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                pass  # that of the listing itself
