# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small process beside each end that outlives the end's death, kill -9 included.

It is the end's parent, so that what the end leaves behind comes to it
(PR_SET_CHILD_SUBREAPER); it holds a copy of each TCP link, and does nothing at
all until the end is done or gone.
"""

import os
import time

from .kernel import become_subreaper, descendants, disconnect, kill, signal_name
from .watch import catch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any

    from .watch import Watch
else:
    import _signal as signal
    import _socket as socket

DONE = b"."  # what the end says when it has ended everything itself
PATIENCE = 5.0  # seconds to wait for killed processes to be gone


def split(name: str, links: "list[socket.socket]", local: "list[socket.socket]", watch: "Watch") -> socket.socket:
    """Fork: returns, in the child, the end's channel to its guard; the parent never returns."""
    become_subreaper()
    ours, theirs = socket.socketpair()
    end = os.fork()
    if end == 0:
        become_subreaper()  # so that the end cleans up too when it is the guard that dies
        ours.close()
        return theirs
    status = 1
    try:
        theirs.close()
        for sock in local:
            sock.close()  # these must be closed by all to be broken: the stages' death does it
        signal.set_wakeup_fd(-1)
        catch(lambda number, frame: kill([end], number))
        if watch.signal > 0:  # it came just now, to this process only
            kill([end], watch.signal)
        said = ours.recv(1000)
        if said != DONE:
            watch.say(clean_up(name, end, links, said.decode("utf-8", "replace")))
        else:
            os.waitpid(end, 0)
        status = 0
    finally:
        os._exit(status)
    raise AssertionError("not reached")


def clean_up(name: str, end: int, links: "list[socket.socket]", said: str) -> "dict[str, Any]":
    """The end is gone: break its links at once, kill what it started, report in its place.

    ``said``: its own last words, an error in this program; empty when it was killed.
    """
    for sock in links:
        try:
            disconnect(sock)
        except OSError:
            pass
    left, killed = kill_all()
    try:
        status = os.waitpid(end, 0)[1]
        how = signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else "exit %d" % os.WEXITSTATUS(status)
    except ChildProcessError:
        how = "its death"
    died = "an error in socketpipe itself: %s" % said if said else "the end was ended by %s" % how
    return {"end": name, "died": died, "killed": killed, "left": left}


def kill_all() -> "tuple[list[str], list[str]]":
    """SIGKILL every descendant until none lives; returns (what could not be killed, what was)."""
    deadline = time.monotonic() + PATIENCE
    killed: "dict[int, str]" = {}
    while True:
        alive = descendants(os.getpid())
        killed.update(alive)
        refused = kill(alive, signal.SIGKILL)
        if len(alive) == len(refused) or time.monotonic() > deadline:
            left = ["%d %s" % (pid, alive[pid]) for pid in sorted(alive)]
            return left, ["%d %s" % item for item in sorted(killed.items()) if item[0] not in alive]
        time.sleep(0.01)
