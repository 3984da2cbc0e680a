# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections such as a container's, behind which nobody notices that the controller is gone: the ends are ended."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import anatomy, playbook, shims
from .playbook import REPOSITORY, pipe

PLUGINS = Path(__file__).with_name("connection")
ENV = {"ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS), "PYTHONPATH": str(REPOSITORY)}
HOSTS = ("h1", "h2")
MARK = "mark-of-a-container"


@pytest.fixture(scope="module")
def inventory(fleet: Fleet) -> Iterator[dict[str, dict[str, Any]]]:
    """Both hosts behind a shim each."""
    found, servers = {}, []
    for name in HOSTS:
        path = fleet.directory / f"shim.{name}"
        servers.append(fleet[name].popen(["/usr/bin/python3", shims.__file__, "server", path]))
        anatomy.until("a shim", path.exists)
        found[name] = {"ansible_connection": "shim", "ansible_shim": str(path), "ansible_become": False}
    yield found
    for server in servers:
        server.signal_group(signal.SIGKILL)
        server.wait(10)


def stream(**task: Any) -> dict[str, Any]:
    """From one host to the other, without an end; neither link breaks by itself, and the source ignores SIGTERM."""
    source = ["sh", "-c", "trap '' TERM; echo data; while :; do sleep 1; done", MARK]
    return {**pipe(remote=source, output=["sh", "-c", "cat; :", MARK], peer="h2", full_reads=False), **task}


def left(fleet: Fleet) -> list[anatomy.Proc]:
    return [proc for proc in anatomy.processes(*fleet) if MARK in proc.argv or proc.label]


def test_a_pipe_over_it(fleet: Fleet, inventory: dict[str, dict[str, Any]]) -> None:
    done = playbook.run(fleet, pipe(remote="echo data", output="cat", peer="h2"), inventory=inventory, env=ENV)
    assert done.result["stages"][1]["stdout"] == "data\n"


def test_the_timeout_of_the_task(fleet: Fleet, inventory: dict[str, dict[str, Any]]) -> None:
    """When the task is over, so is everything there."""
    done = playbook.run(fleet, stream(timeout=8), inventory=inventory, env=ENV, rc=2)
    assert not left(fleet)
    assert done.only.status == "failed"


@pytest.mark.parametrize("group", [False, True], ids=["ansible-playbook", "and its worker"])
def test_the_controller_is_killed(fleet: Fleet, inventory: dict[str, dict[str, Any]], group: bool) -> None:
    started = playbook.start(fleet, stream(), inventory=inventory, env=ENV)
    anatomy.until("both stages", lambda: len([proc for proc in left(fleet) if MARK in proc.argv]) == 2, 60)
    here = {proc.pid: proc for proc in anatomy.processes(fleet.controller)}
    client = next(proc for proc in here.values() if shims.__file__ in proc.argv)
    worker = here[client.ppid]
    for victim in [here[worker.ppid], *([worker] if group else [])]:
        anatomy.send(victim, signal.SIGKILL)
    started.process.wait(20)
    anatomy.until("the end of all that runs there", lambda: not left(fleet), 30)
    shutil.rmtree(playbook.ansible_home(fleet) / "tmp")  # a killed Ansible leaves its own temporary directory
