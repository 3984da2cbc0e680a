# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that cleans up after a killed worker, whose logins to other hosts would otherwise run on."""

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

# each run starts its watcher first, so it is a shell, which starts in 1 ms; Python starts only when needed
WAIT = 'read -r word; exec "$0" -IS -c "$1"'
# made once, when Ansible's main process loads the action, for all workers
PROGRAM = bootstrap.program(bootstrap.sources(["_end.lean", "_end.system", "_end.processes", "_run.labels"]))
# the labels are in the encoded plan, so the watcher's own command line contains none of them
START = "import binascii,io;r=io.BytesIO(binascii.a2b_base64('%s')).read;exec(r(int(r(8))))"


def program(labels: list[str]) -> bytes:
    """The program that kills the processes with these labels; it is sent on standard input, like an end."""
    return bootstrap.stream(PROGRAM, {"labels": labels})


class Watcher:
    """Waits for the death of this worker, then kills all processes with the labels of the run."""

    def __init__(self, labels: list[str], afar: Sequence[Callable[[], None]] = ()) -> None:
        """``afar``: functions that kill ends which outlive their logins; they need Ansible, so a fork runs them."""
        self.afar = fork(afar) if afar else None
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", WAIT, sys.executable, START % bootstrap.as_text(program(labels))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the worker
        )

    def dismiss(self) -> None:
        """End the watcher of a run that has cleaned up itself.  SIGKILL works even if the watcher is stopped."""
        self.process.kill()
        self.process.communicate()
        if self.afar:
            pid, channel = self.afar  # pylint: disable=unpacking-non-sequence
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(channel)


def fork(afar: Sequence[Callable[[], None]]) -> tuple[int, int]:
    """A process that runs these functions when this one dies: (its pid, the descriptor that it waits to see closed)."""
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
        os.read(news, 1)  # nothing is written: read returns when the worker dies
        Display()._final_q = None  # the playbook has died, so nothing would display messages of a connection
        threads = [threading.Thread(target=each) for each in afar]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(OVER)
    finally:
        os._exit(0)
