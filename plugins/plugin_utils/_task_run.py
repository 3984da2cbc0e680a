# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run inside a worker of ansible-playbook, which may be killed or lose its parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..module_utils._run.plan import Plan
from ..module_utils._run.run import Run
from ._hosts import Host
from ._task_launch import ExecLaunch, make_launch
from ._watcher import Watcher

if TYPE_CHECKING:
    from ..module_utils._end.records import Sample


class TaskRun(Run):
    """The run of one task."""

    def __init__(self, plan: Plan, hosts: dict[str, Host], on_sample: Callable[[Sample], None]) -> None:
        launches = {end: make_launch(host, plan.for_end(end), self.wake) for end, host in hosts.items()}
        super().__init__(launches, on_sample)
        self.parent = os.getppid()
        afar = [each.end_there for each in launches.values() if isinstance(each, ExecLaunch) and not each.host.tells]
        self.watcher = Watcher([launch.label for launch in launches.values()], afar)

    def wake(self) -> None:
        """Called by the thread of an exec that has ended."""
        os.write(self.wake_in, b".")

    def beat(self) -> None:
        if os.getppid() != self.parent:
            # ansible-playbook was killed, so nothing reads the result (since core 2.19 a worker has its own session)
            self.cancel_all()
            os._exit(1)

    def dismiss(self) -> None:
        self.watcher.dismiss()
