# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the hosts of a fleet before and after: nothing may outlive a task."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

from tests.hosts import Fleet, Host

from . import playbook

SCRATCH = "/var/tmp/scratch"  # on each host, for a test's own files; any user may write there, emptied after each test
LEFT_BY_SSH = ("sshd: ", "sshd-session: ", "sshd-auth: ", "ssh: ")  # logins, and ControlPersist's masters
# Ansible itself makes these on a host whose commands need a temporary file, and leaves them
LEFT_BY_ANSIBLE = (".ansible", ".ansible/tmp")
NOT_OURS = ("/run/cp/", "/run/sudo", "/tmp/pymp-")  # the last: sockets of multiprocessing, when core 2.21 is killed
# the command keeps these, complete, where it is installed
KEPT_BY_COMMAND = re.compile(r"\.cache(/socketpipe(/cpython-\d+)?)?$")


def everyone(fleet: Fleet) -> list[Host]:
    return [fleet.controller, *fleet]


class Traces:
    """What is on the hosts at one moment, but for ssh's logins."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        on = [host for host in everyone(fleet) if host.is_on]
        self.processes = {
            f"{host.name}: process {process.pid} {process.cmdline}"
            for host in on
            for process in host.processes()
            if not process.cmdline.startswith(LEFT_BY_SSH)
        }
        self.listeners = {f"{host.name}: listener {line}" for host in on for line in host.listeners()}
        self.files = {f"{host.name}: file {path}" for host in on for path in host.files() if self.counts(path)}
        home = playbook.ansible_home(fleet) / "tmp"
        self.files.update(f"controller: file {path}" for path in home.glob("*"))

    @staticmethod
    def counts(path: str) -> bool:
        below = path.removeprefix("/root/").split("/", 3)[-1] if path.startswith("/home/") else path[len("/root/") :]
        if below in LEFT_BY_ANSIBLE or KEPT_BY_COMMAND.match(below) or path.startswith(NOT_OURS):
            return False
        return path != SCRATCH and not path.startswith(SCRATCH + "/")

    def new(self, before: Traces) -> list[str]:
        return sorted(
            (self.processes - before.processes) | (self.listeners - before.listeners) | (self.files - before.files)
        )


@contextlib.contextmanager
def leaves_nothing(fleet: Fleet, but: str = "", patience: float = 20.0) -> Iterator[None]:
    """The check around many tests whose tasks run at once; what starts with ``but`` is not counted."""
    before = Traces(fleet)

    def left() -> list[str]:
        return [trace for trace in Traces(fleet).new(before) if not (but and trace.startswith(but))]

    yield
    deadline = time.monotonic() + patience
    while (found := left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not found, "left behind:\n" + "\n".join(found)
