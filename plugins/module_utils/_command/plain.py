# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The original's protocol, for working with an original on either side: one socket, without authentication.

The far side is started as ``socketpipe -s host port command…``.  It connects, makes the socket its standard input and
output, and becomes the command.  Both directions share one socket, so an end of file and a death look the same, and
the first connection is accepted from anybody.  If the input command fails, the far side at least gets a reset.
"""

import os
import select
import time

from .._end.connect import listen_on
from .._end.execute import find_command, full_environment
from .._end.kernel import FIN, accept, disconnect, events, exit_status, set_linger, unread
from .._end.lean import signal, socket
from .._end.processes import descendants, kill
from .._end.spawn import NotStarted, spawn
from .._end.watch import catch
from .._run import sentences
from .._run.plan import DEFAULT_PORTS
from .streams import FAILURE, die, keep, own_description, say, shell_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import SimpleNamespace
    from typing import Any

SSH_CLIENT = "${SSH_CLIENT%% *}"  # expanded by a shell on the far side: the address of this host
LIVES = 0.1  # seconds between checks that the login command is alive
WRITES_ON = 32 * 1024  # unread bytes: with more than these, the far side is assumed to write without end
GRACE = 5  # seconds from SIGTERM to SIGKILL


class Processes:
    """The login command and the local ones: {pid: name}, their statuses, and the signal that stopped them."""

    def __init__(self, ok_rc: "dict[str, list[int]]") -> None:
        self.ok_rc = ok_rc
        self.alive: "dict[int, str]" = {}
        self.status: "dict[str, int]" = {}
        self.signal = 0
        catch(self.signalled)

    def signalled(self, number: int, frame: "Any") -> None:
        self.signal = self.signal or number
        self.end()

    def end(self, number: int = signal.SIGTERM, frame: "Any" = None) -> None:
        """Send SIGTERM to all descendants, and SIGKILL after GRACE."""
        kill(descendants(os.getpid()), signal.SIGKILL if number == signal.SIGALRM else signal.SIGTERM)
        signal.signal(signal.SIGALRM, self.end)
        signal.alarm(GRACE)

    def give_up(self, why: str) -> int:
        """Stop everything and report the reason; returns the exit status."""
        self.end()
        while self.alive:
            self.reap()
        say("interrupted" if self.signal else why)
        return die(self.signal) if self.signal else FAILURE

    def start(self, name: str, argv: "list[str]", fds: "dict[int, int]", batch: bool) -> None:
        """Raises NotStarted."""
        self.alive[spawn(argv, full_environment({}), None, fds, batch, signal.SIGTERM)] = name

    def reap(self, flags: int = 0) -> str:
        """Wait for a process; returns its name, "" if none of these has ended."""
        pid, status = os.waitpid(-1, flags)
        name = self.alive.pop(pid, "")
        if name:
            code = shell_status(exit_status(status))
            self.status[name] = 0 if code in self.ok_rc.get(name, ()) else code
        return name


def drive(options: "SimpleNamespace") -> int:
    """Run the commands with an original on the far side; returns the exit status."""
    processes = Processes(options.ok_rc)
    try:
        listener, port = open_listener(options.ports)
        host = options.host or SSH_CLIENT
        for name in ("login", "input", "output"):
            argv = getattr(options, name)
            problem = argv and find_command(argv[0], full_environment({}), None)
            if problem:
                return processes.give_up("-%s/--%s: %s" % (name[0], name, sentences.unusable(problem)))
        words = options.login + ["socketpipe", "-s", host, str(port)] + options.remote
        null, stderr = os.open(os.devnull, os.O_RDWR), own_description(2)
        # even a terminal as standard input belongs to the input command; ssh and sudo ask on /dev/tty
        processes.start("remote", words, {0: null, 1: null, 2: stderr}, options.batch)
        os.close(stderr)
        sock = wait_for_call(listener, processes, options.timeout)
    except (OSError, NotStarted) as exc:
        return processes.give_up(reason(exc))
    try:
        if options.input:
            fds = {0: keep(0), 1: sock.fileno(), 2: 2}
            processes.start("input", options.input, fds, options.batch)
        else:
            sock.shutdown(socket.SHUT_WR)
        if options.output:
            fds = {0: sock.fileno(), 1: keep(1), 2: 2}
            processes.start("output", options.output, fds, options.batch)
    except (OSError, NotStarted) as exc:
        disconnect(sock)
        return processes.give_up(reason(exc))
    return conclude(processes, sock, "output" if options.output else "remote")


def reason(error: "OSError | NotStarted") -> str:
    return sentences.not_started(error.problem) if isinstance(error, NotStarted) else str(error)


def open_listener(ports: "list[int]") -> "tuple[socket.socket, int]":
    """A listening socket and its port; raises OSError if all ports are taken."""
    for port in ports or DEFAULT_PORTS:
        try:
            return listen_on(port), port
        except OSError:
            continue
    raise OSError("all ports are taken")


def wait_for_call(listener: "socket.socket", processes: Processes, timeout: int) -> "socket.socket":
    """The first connection; raises OSError if none can arrive any more."""
    deadline = time.monotonic() + timeout if timeout else float("inf")
    while True:
        if select.select([listener], [], [], LIVES)[0]:
            sock = accept(listener)
            listener.close()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setblocking(True)
            return sock
        if processes.signal or processes.reap(os.WNOHANG):
            status = processes.status.get("remote", 128 + processes.signal)
            raise OSError("the far side did not connect: the login command ended with exit status %d" % status)
        if time.monotonic() > deadline:
            raise OSError("the far side did not connect within %d s (-t/--timeout): try -h, or --ports" % timeout)


def conclude(processes: Processes, sock: "socket.socket", last: str) -> int:
    """Wait for all processes, and pass on a failure of a local command as far as one socket allows."""
    cause = ""
    excused: "set[str]" = set()  # commands that failed because their reader stopped early
    deserted = False  # nothing reads the output of the far side any more, but it may still read its input
    while processes.alive:
        name = processes.reap(os.WNOHANG if deserted else 0)
        try:
            if deserted and not name and unread(sock) > WRITES_ON:
                disconnect(sock)
                deserted = False
                excused.update(("input", "remote"))
            elif deserted and not name:
                time.sleep(LIVES)
            elif name == "input" and not processes.status[name]:
                sock.shutdown(socket.SHUT_WR)
            elif name == "input" and has_closed(sock):  # it failed because the remote command had ended
                excused.add("input")
            elif name == "input":
                cause = name
                disconnect(sock)
            elif name == "output" and not at_end(sock):
                deserted = "input" in processes.alive.values()
                if not deserted:  # otherwise the far side would wait forever for a reader
                    disconnect(sock)
                    excused.add("remote")
        except OSError:
            pass  # the far side closed the connection first
    set_linger(sock, False)
    if processes.signal:
        say("interrupted")
        return die(processes.signal)
    failed = [name for name, status in processes.status.items() if status and name not in excused]
    for name in failed:
        text = "%s ended with exit status %d" % (name, processes.status[name])
        if name == "input" and processes.status[name] < 128:
            codes = sorted({*processes.ok_rc.get(name, [0]), processes.status[name]})
            text += "; to accept this status, use --ok-rc input=%s" % ",".join(map(str, codes))
        say(text)
    if last in failed and not cause:
        return processes.status[last]
    return FAILURE if failed else 0


def has_closed(sock: "socket.socket") -> bool:
    """Whether the far side has closed or reset the connection."""
    return bool(events({sock.fileno(): FIN}))


def at_end(sock: "socket.socket") -> bool:
    """Whether the far side has closed its output, and all of it has been read."""
    return has_closed(sock) and not unread(sock)
