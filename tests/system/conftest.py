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

from tests.hosts import Fleet, HostSpec, requirements

from . import playbook, taping
from .playbook import Done
from .shell import Shell
from .taping import Site
from .together import MARK, Shared
from .traces import SCRATCH, Traces, everyone

PATIENCE = 8.0  # seconds for what a test has started to be gone


# the files that take longest, in this order: begun first, so that none of them runs alone in the end
LONGEST = (
    *(
        "faults",
        "transfer",
        "command_role",
        "kernel_tls_role",
        "command_signals",
        "tape_ways",
        "tape_rotation",
        "tape",
        "command_options",
    ),
    *("command_streams", "tape_catalog", "hosts", "connect", "harness", "tape_refusals", "tape_unreachable", "become"),
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}: a play of the test, run with the others of its file")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {f"test_{name}": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The file's FLEET or two hosts, h1 and h2, and a controller; skipped by name where they cannot be made."""
    hosts = getattr(request.module, "FLEET", ["h1", "h2"])
    yield from make_fleet(hosts, tmp_path_factory.mktemp("fleet"))


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
    return make_work(fleet, request.node)


def make_work(fleet: Fleet, item: pytest.Item) -> Path:
    name = "".join(letter if letter.isalnum() else "_" for letter in item.name)
    path = fleet.directory / "work" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="module")
def shared(fleet: Fleet, request: pytest.FixtureRequest) -> Shared:
    """What the selected tests of a file run together."""
    items = [item for item in request.session.items if item.getparent(pytest.Module) is request.node]
    return Shared(fleet, items, make_work)


@pytest.fixture
def done(shared: Shared, request: pytest.FixtureRequest) -> Done:
    """What the play of a test marked with @together came to."""
    return shared.of(request.node)


@pytest.fixture
def site(fleet: Fleet) -> Site:
    """The role tape on a FLEET that is taping.HOSTS, with a labelled tape."""
    made = taping.make_site(fleet)
    made.label()
    return made


@pytest.fixture(scope="module")
def installed(fleet: Fleet) -> Shell:
    """The command socketpipe on the controller."""
    return Shell(fleet)


@pytest.fixture
def shell(installed: Shell) -> Iterator[Shell]:
    """A shell there; what a test has started, and not finished, is ended with it."""
    yield installed
    installed.end()


def sudo_requires_a_tty(fleet: Fleet) -> Iterator[None]:
    """On all hosts, until it is continued."""
    paths = [host.directory / "etc" / "sudoers.d" / "requiretty" for host in fleet]
    for path in paths:
        path.write_text("Defaults requiretty\n", encoding="ascii")
        path.chmod(0o440)
    yield
    for path in paths:
        path.unlink()


def empty_scratch(fleet: Fleet) -> None:
    for host in everyone(fleet):
        scratch = host.outside(SCRATCH)
        if not scratch.exists() or any(scratch.iterdir()):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            scratch.chmod(0o1777)


@pytest.fixture(autouse=True)
def clean(fleet: Fleet) -> Iterator[None]:
    """Nothing outlives a task: no process, listener or file is on any host that was not there before the test."""
    empty_scratch(fleet)
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
