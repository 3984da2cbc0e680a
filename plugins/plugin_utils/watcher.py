# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that ends what a killed worker has left: logins to other hosts would go on to their end."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import IO, cast

SHORT = 0.25  # seconds that a run lasts before it gets a watcher: most that move nothing are over by then

# the labels come on standard input, so that none is in the watcher's own command line
PROGRAM = """
import os, signal, sys
labels = sys.stdin.buffer.readline().split()
if sys.stdin.buffer.read(1):
    raise SystemExit(0)
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
        self.labels = labels
        self.born = time.monotonic()
        self.process: subprocess.Popen[bytes] | None = None

    def start_in_time(self) -> None:
        """A process of its own, not a fork: by now we have threads."""
        if self.process is None and time.monotonic() >= self.born + SHORT:
            self.process = subprocess.Popen(
                [sys.executable, "-IS", "-c", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the worker
            )
            stdin = cast(IO[bytes], self.process.stdin)
            stdin.write(" ".join(self.labels).encode() + b"\n")
            stdin.flush()

    def dismiss(self) -> None:
        """The run is over, and has cleaned up itself."""
        if self.process is not None:
            self.process.communicate(b".")
