# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard: a small process beside each end that survives the end's death, even by SIGKILL.

It is the parent of the end, so that orphans of the end become its children (PR_SET_CHILD_SUBREAPER).  It keeps a copy
of each TCP link, and does nothing until the end has finished or died.
"""

import select
import time

from .kernel import FIN, HANGUP, become_subreaper, events, signal_name
from .lean import signal, socket
from .processes import HIDDEN, blind, descendants, kill, kill_with_groups, listed
from .system import os
from .watch import SIGNALS, Cancelled, catch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .patience import Patience
    from .records import Death, Report, StageSpec
    from .transport import Transport
    from .watch import Watch

DONE = b"."  # the message of an end that has cleaned up itself
# the states of a guard
WATCHING = "watching"
STOPPING = "stopping"  # the end was told to stop, and has limited time
KILLED = "killed"


class NotForked(Exception):
    """The system cannot start another process; the text gives the reason."""


def split(
    name: str, links: "list[Transport]", watch: "Watch", patience: "Patience", undo: "list[StageSpec]"
) -> "socket.socket | None":
    """Fork.  Returns the channel to the guard in the end, and None in the guard after everything has ended.

    ``undo``: the stages whose programs run again after a failed run.
    """
    try:
        become_subreaper()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        end = fork()
    except OSError as exc:
        raise NotForked(exc.strerror) from exc
    if end == 0:
        become_subreaper()  # so that the end also cleans up if the guard dies
        ours.close()
        return theirs
    theirs.close()
    guarded = [link for link in links if link.guarded]
    for link in links:
        if link not in guarded:
            link.sock.close()
    said = attend(end, ours, guarded, watch, patience.stop)
    if said != DONE:
        report = clean_up(name, end, guarded, said.decode("utf-8", "replace"), patience.gone)
        if undo:
            from .afterwards import run_all  # shipped only then

            report["warnings"] = run_all(undo, watch)
        try:
            watch.say(report)
            watch.finish()
        except Cancelled:
            pass  # nobody reads it any more; but this process may still have to write the result of a job
    else:
        os.waitpid(end, 0)
    return None


def fork() -> int:
    """fork(2), in which no signal to stop gets lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # Python drops those that a child gets at its birth
    try:
        pid = os.fork()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def confess(channel: socket.socket, error: Exception) -> None:
    """Send the text of an internal error from the end to its guard, before the end dies."""
    channel.send(repr(error).encode("utf-8", "replace")[:1000])


def dismiss(channel: socket.socket) -> None:
    """Tell the guard that the end has cleaned up and sent its report."""
    try:
        channel.send(DONE)
        os.kill(os.getppid(), signal.SIGCONT)  # a stopped guard would stay forever
    except OSError:
        pass  # it was killed, as the report shows


def release(channel: socket.socket, link: "Transport") -> None:
    """Tell the guard to close its copy of a broken link, which the last close resets."""
    try:
        channel.send(b"%d" % link.inode)
        os.kill(os.getppid(), signal.SIGCONT)
    except OSError:
        pass  # it was killed


def attend(end: int, ours: socket.socket, links: "list[Transport]", watch: "Watch", enough: float) -> bytes:
    """Wait for the last message of the end.  After a signal, or if the controller is lost, enforce that it stops."""
    wake, wake_in = os.pipe()
    for fd in (wake, wake_in):
        os.set_blocking(fd, False)
    phase, kill_at = WATCHING, 0.0

    def stop(number: int, frame: "Any" = None) -> None:
        nonlocal phase, kill_at
        if phase == WATCHING:
            phase, kill_at = STOPPING, time.monotonic() + enough
        kill([end], number)
        kill([end], signal.SIGCONT)  # a stopped process would not notice

    signal.set_wakeup_fd(wake_in)
    catch(stop)
    if watch.signal is not None:  # it arrived only now, and only in this process
        stop(watch.signal)
    while True:
        wanted = {ours.fileno(): select.POLLIN, wake: select.POLLIN}
        if phase == WATCHING:
            wanted.update(watch.wanted())
        found = events(wanted, kill_at - time.monotonic() if phase == STOPPING else None)
        if ours.fileno() in found:
            said = ours.recv(1000)
            if not said.isdigit():
                signal.set_wakeup_fd(-1)
                catch(lambda number, frame: None)  # the rest takes little time
                return said
            for link in [each for each in links if each.inode == int(said)]:
                links.remove(link)
                link.sock.close()
        if wake in found:
            os.read(wake, 4096)
        if any(found.get(fd, 0) & (HANGUP | FIN) for fd in watch.wanted()):
            stop(signal.SIGCONT)
        if phase == STOPPING and time.monotonic() >= kill_at:
            kill([end], signal.SIGKILL)
            phase = KILLED


def clean_up(name: str, end: int, links: "list[Transport]", said: str, enough: float) -> "Report":
    """After the death of the end: break its links at once, kill its processes, report in its place.

    ``said``: its last message, an internal error; empty if it was killed.
    """
    for link in links:
        link.abort()  # refused while a process sleeps in it; that process is killed next, and our exit then resets it
    left, killed, status = kill_all(end, enough)
    while any(link.is_telling(time.monotonic()) and not link.released for link in links):
        time.sleep(0.01)
        for link in links:
            link.insist()
    return {"end": name, "died": death(said, status), "killed": listed(killed), "left": listed(left)}


def death(said: str, status: "int | None") -> "Death":
    if said:
        return {"kind": "error", "error": said}
    if status is None:
        return {"kind": "unknown"}
    if os.WIFSIGNALED(status):
        return {"kind": "signal", "signal": signal_name(os.WTERMSIG(status))}
    return {"kind": "exit", "status": os.WEXITSTATUS(status)}


def kill_all(end: int, enough: float) -> "tuple[dict[int, str], dict[int, str], int | None]":
    """Send SIGKILL to every descendant until wait(2) reports none, or only processes are left that we may not signal.

    Returns (processes left, processes killed, status of the end from wait(2)).
    """
    deadline = time.monotonic() + enough
    killed: "dict[int, str]" = {}
    status = None
    while True:
        childless, reaped = reap()
        status = reaped.get(end, status)
        alive = {} if childless else descendants(os.getpid())
        killed.update((pid, name) for pid, name in alive.items() if pid != end)
        refused = kill_with_groups(alive, signal.SIGKILL)
        if childless or len(alive) == len(refused) > 0 or time.monotonic() > deadline:
            left = alive or ({0: HIDDEN} if not childless and blind() else {})
            return left, {pid: name for pid, name in killed.items() if pid not in left}, status
        time.sleep(0.01)


def reap() -> "tuple[bool, dict[int, int]]":
    """Collect exited children: (whether no child is left, {pid: status})."""
    found: "dict[int, int]" = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True, found
        if not pid:
            return False, found
        found[pid] = status
