# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that ends what a killed worker has left: logins to other hosts would go on to their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from ansible.utils.display import Display

from ..module_utils._run import bootstrap
from ..module_utils._run.labels import OVER

# each run has a watcher, from before anything else of it: hence a shell, which starts in 1 ms, and Python only when it
# is needed
WAIT = 'read -r word; exec "$0" -IS -c "$1"'
# made when Ansible's main process loads the action, once for all of its workers
PROGRAM = bootstrap.program(bootstrap.sources(["_end.processes", "_run.labels"]))
# the labels are in the plan, which is not to be read, so that none is in a watcher's own command line
START = "import binascii,io;r=io.BytesIO(binascii.a2b_base64('%s')).read;exec(r(int(r(8))))"


def program(labels: list[str]) -> bytes:
    """What ends the processes that carry these labels: a program on its standard input, as an end is."""
    return bootstrap.stream(PROGRAM, {"labels": labels})


class Watcher:
    """Waits for this worker's death; then it ends all that carries a run's labels."""

    def __init__(self, labels: list[str], afar: Sequence[Callable[[], None]] = ()) -> None:
        """``afar``: what ends those that do not end when their logins do; it needs Ansible, hence a fork of us."""
        self.afar = fork(afar) if afar else None
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", WAIT, sys.executable, START % bootstrap.as_text(program(labels))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the worker
        )

    def dismiss(self) -> None:
        """The run is over, and has cleaned up itself.  Killed, not told: a stopped one would not hear it."""
        self.process.kill()
        self.process.communicate()
        if self.afar:
            pid, channel = self.afar  # pylint: disable=unpacking-non-sequence
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(channel)


def fork(afar: Sequence[Callable[[], None]]) -> tuple[int, int]:
    """A process that does this when we are gone: (its pid, the descriptor whose closing tells it)."""
    news, channel = os.pipe()
    pid = os.fork()
    if pid:
        os.close(news)
        return pid, channel
    try:
        os.setsid()  # Ctrl-C is for the worker
        os.close(channel)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.read(news, 1)  # nobody writes: it ends with the worker
        Display()._final_q = None  # the playbook is gone, and with it whoever would show what a connection says
        threads = [threading.Thread(target=each) for each in afar]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(OVER)
    finally:
        os._exit(0)
