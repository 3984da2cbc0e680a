# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet for each test file, and the check that every test leaves it as it found it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.hosts import Fleet, Host, HostSpec, requirements

from . import playbook
from .shell import Shell

PATIENCE = 8.0  # seconds for what a test has started to be gone
SCRATCH = "/var/tmp/scratch"  # on each host, for a test's own files; any user may write there, emptied after each test
LEFT_BY_SSH = ("sshd: ", "sshd-session: ", "ssh: ")  # logins, and ControlPersist's masters
# Ansible itself makes these on a host whose commands need a temporary file, and leaves them
LEFT_BY_ANSIBLE = (".ansible", ".ansible/tmp")


# the files that take longest, in this order: begun first, so that none of them runs alone in the end
LONGEST = ("faults", "command_signals", "hosts", "command_role", "connect", "preflight", "become", "runner", "harness")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {f"test_{name}": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


def everyone(fleet: Fleet) -> list[Host]:
    return [fleet.controller, *fleet]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two hosts, h1 and h2, and a controller; skipped by name where they cannot be made."""
    yield from make_fleet(["h1", "h2"], tmp_path_factory.mktemp("fleet"))


def make_fleet(hosts: Sequence[str | HostSpec], directory: Path) -> Iterator[Fleet]:
    """For a file's own `fleet` fixture: hosts that see the ansible-core that is tested."""
    reason = requirements()
    if reason:
        pytest.skip(reason)
    prefix = playbook.ansible_playbook().parents[1]
    with Fleet.create(hosts, directory=directory, visible=[prefix]) as made:
        yield made


@pytest.fixture
def work(fleet: Fleet, request: pytest.FixtureRequest) -> Path:
    """A directory of this test that all hosts and the test see under the same path (root only)."""
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    path = fleet.directory / "work" / name
    path.mkdir(parents=True)
    return path


@pytest.fixture(scope="module")
def installed(fleet: Fleet) -> Shell:
    """The command socketpipe on the controller."""
    return Shell(fleet)


@pytest.fixture
def shell(installed: Shell) -> Iterator[Shell]:
    """A shell there; what a test has started, and not finished, is ended with it."""
    yield installed
    installed.end()


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
        if below in LEFT_BY_ANSIBLE or path.startswith(("/run/cp/", "/run/sudo")):
            return False
        return path != SCRATCH and not path.startswith(SCRATCH + "/")

    def new(self, before: Traces) -> list[str]:
        return sorted(
            (self.processes - before.processes) | (self.listeners - before.listeners) | (self.files - before.files)
        )


@pytest.fixture(autouse=True)
def clean(fleet: Fleet) -> Iterator[None]:
    """Nothing outlives a task: no process, listener or file is on any host that was not there before the test."""
    for host in everyone(fleet):
        scratch = host.outside(SCRATCH)
        if not scratch.exists() or any(scratch.iterdir()):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            scratch.chmod(0o1777)
    before = Traces(fleet)
    yield
    deadline = time.monotonic() + PATIENCE
    left = Traces(fleet).new(before)
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = Traces(fleet).new(before)
    assert not left, "left behind:\n" + "\n".join(left)


def pytest_report_header() -> str:
    return f"ansible-playbook: {os.path.relpath(playbook.ansible_playbook())}"
