# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forty hosts that write to one peer at the same time, whose sshd has the limits that OpenSSH sets by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet, HostSpec

from . import batch, playbook
from .batch import Case
from .conftest import make_fleet
from .playbook import pipe

PEER, SINK = "peer", "mark-sink"
MACHINES = ("h1", "h2", "h3", "h4")
HOSTS = [f"n{number}" for number in range(40)]  # of the inventory: ten for each machine
PORTS = range(23000, 23003)
LATE = 300  # seconds


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    limits: dict[str, Any] = {"max_startups": "10:30:100", "max_sessions": 10, "sshd_config": ("LogLevel VERBOSE",)}
    limited = [HostSpec(name, **limits) for name in (*MACHINES, PEER)]
    yield from make_fleet(limited, tmp_path_factory.mktemp("fleet"))


def sinks(fleet: Fleet) -> int:
    """How many write at this moment."""
    return sum(SINK in process.cmdline.split() for process in fleet[PEER].processes())


def test_no_task_fails_at_the_limits_of_sshd_and_with_three_ports(fleet: Fleet, work: Path) -> None:
    """A port is free again as soon as its link is made; the others wait for it."""
    source = {"shell": f"echo hello; until test -e {work}/all; do sleep 0.2; done"}
    output = ["sh", "-c", "cat; exit $?", SINK]
    task = pipe(
        remote=source, output=output, peer=PEER, connect_timeout=LATE, listen="peer", ports=f"{PORTS[0]}-{PORTS[-1]}"
    )
    cases = {name: Case({}, host=MACHINES[number % len(MACHINES)]) for number, name in enumerate(HOSTS)}
    inventory = batch.inventory(fleet, cases, {})
    started = playbook.start(fleet, task, hosts="cases", inventory=inventory, args=["--forks", str(len(HOSTS))])
    deadline = time.monotonic() + LATE
    while sinks(fleet) < len(HOSTS) and started.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
    at_once = sinks(fleet)
    (work / "all").touch()
    done = started.wait(LATE)
    assert done.rc == 0, done.output
    assert at_once == len(HOSTS), "not all ran at the same time: this proves nothing"
    said = Path(fleet[PEER].log).read_text(errors="replace")
    assert "Starting session" in said
    assert "no more sessions" not in said, "further connections are shared, too"
    assert {outcome.host: outcome.result["bytes"] for outcome in done.outcomes} == dict.fromkeys(HOSTS, 6)
    links = [link for outcome in done.outcomes for link in outcome.result["links"]]
    assert {int(link["destination_address"].rpartition(":")[2]) for link in links} <= {*PORTS}
