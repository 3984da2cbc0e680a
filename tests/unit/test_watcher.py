# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a worker is killed, its logins are ended; when it comes to its end, nothing is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import processes
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._watcher import Watcher
from ansible_collections.plumbing.socketpipe.tests.unit.ends import LONG

SLEEP = [sys.executable, "-IS", "-c", "import time; print(flush=True); time.sleep(1000)"]


class Logins:
    """Two processes of a run, and one of another."""

    def __init__(self) -> None:
        run = uuid.uuid4().hex
        self.labels = [f"socketpipe:{run}:{end}" for end in ("peer", "remote")]
        self.ours = [subprocess.Popen([*SLEEP, label], stdout=subprocess.PIPE) for label in self.labels]
        self.other = subprocess.Popen([*SLEEP, f"socketpipe:{uuid.uuid4().hex}:peer"], stdout=subprocess.PIPE)
        for process in [*self.ours, self.other]:  # so that its command line is its own, not that of what has forked
            cast(IO[bytes], process.stdout).readline()


@pytest.fixture
def logins() -> Iterator[Logins]:
    made = Logins()
    yield made
    for process in [*made.ours, made.other]:
        process.kill()
        process.communicate()


def test_a_killed_worker(logins: Logins) -> None:
    watcher = Watcher(logins.labels)
    cast(IO[bytes], watcher.process.stdin).close()  # as the kernel does for the dead
    assert watcher.process.wait(LONG) == 0
    assert [process.wait(LONG) for process in logins.ours] == [-15, -15]
    assert logins.other.poll() is None


def nobody(pid: int) -> None:
    pass


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("fault", [nobody, stop, kill])
def test_a_worker_that_has_come_to_its_end(logins: Logins, fault: Callable[[int], None]) -> None:
    """Whatever has become of the watcher's two processes: nothing is left, and it does not hold up the worker."""
    before = sorted(os.listdir("/proc/self/fd"))
    watcher = Watcher(logins.labels, [lambda: kill(logins.ours[0].pid)])
    assert watcher.afar is not None
    both = [watcher.process.pid, watcher.afar[0]]
    for pid in both:
        fault(pid)
    dismissing = threading.Thread(target=watcher.dismiss, daemon=True)
    dismissing.start()
    dismissing.join(20)
    left = [pid for pid in both if processes.exists(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left and not dismissing.is_alive()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert all(process.poll() is None for process in [*logins.ours, logins.other])


def test_its_command_line_does_not_name_the_run(logins: Logins) -> None:
    watcher = Watcher(logins.labels)
    words = Path(f"/proc/{watcher.process.pid}/cmdline").read_text(encoding="utf-8")
    watcher.dismiss()
    assert not any(label in words for label in logins.labels)
