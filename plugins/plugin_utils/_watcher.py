# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that ends what a killed worker has left: logins to other hosts would go on to their end."""

from __future__ import annotations

import subprocess
import sys
from typing import IO, cast

# the labels come on standard input, so that none is in a watcher's own command line; each run has a watcher, from
# before anything else of it: hence a shell, which starts in 1 ms, and Python only when it is needed
WAIT = 'read -r labels && read -r word && exit 0; printf "%s\\n" "$labels" | exec "$0" -IS -c "$1"'
END = """
import os, signal, sys
labels = sys.stdin.buffer.readline().split()
for entry in os.listdir("/proc"):
    if entry.isdigit():
        try:
            with open("/proc/" + entry + "/cmdline", "rb") as cmdline:
                text = cmdline.read()
            if any(label in text for label in labels):
                os.kill(int(entry), signal.SIGTERM)
        except OSError:
            pass
"""


class Watcher:
    """Waits for a word from this worker; when there is none, SIGTERM for all that carries a run's labels."""

    def __init__(self, labels: list[str]) -> None:
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", WAIT, sys.executable, END],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the worker
        )
        stdin = cast(IO[bytes], self.process.stdin)
        stdin.write(" ".join(labels).encode() + b"\n")
        stdin.flush()

    def dismiss(self) -> None:
        """The run is over, and has cleaned up itself."""
        self.process.communicate(b".\n")
