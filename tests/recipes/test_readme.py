# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of README.md: what is typed there does what is shown there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.hosts import Fleet
from tests.system.conftest import make_fleet

from .page import readme
from .site import Desk

FLEET = readme("A fleet to tape, in four commands")
HOSTS = ("db1", "web1", "web2")
# a note on speed depends on the machine, as do the widths of columns
NOTE = re.compile(r" (the (host|tape|network) is slow|.*limited) \(.*")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    yield from make_fleet(["tape1", *HOSTS], tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def desk(fleet: Fleet, tmp_path: Path) -> Desk:
    [page] = FLEET.blocks("yaml")
    return Desk(fleet, tmp_path.name, yaml.safe_load(page))


def said(text: str) -> list[str]:
    """Lines of a table or of Ansible, without what differs from run to run."""
    lines = [NOTE.sub("", " ".join(line.split())) for line in text.splitlines()]
    return [re.sub(r"(?<=Z)-[0-9a-f]{8}\b|\d+(\.\d+)?|\b[KMG]?i?B(/s)?(?!\w)", "N", line) for line in lines]


def test_the_fleet(fleet: Fleet, desk: Desk) -> None:
    for name in ("tape1", *HOSTS):
        for place in ("/srv", "/var/lib"):  # those of the machine are not ours
            fleet[name].run(["mount", "-t", "tmpfs", "none", place])
    fleet["tape1"].run(["mkdir", "/srv/tape"])
    for name in HOSTS:
        fleet[name].run(["sh", "-ec", "head -c 3000000 /dev/urandom >/srv/data"])
    fleet["db1"].run(["sh", "-ec", "echo plan >/srv/plan.txt"])
    commands = FLEET.typed()
    assert [len(shown.splitlines()) for _command, shown in commands] == [1, 6, 2, 4]
    for command, shown in commands:
        output = desk.type(command)
        lines = said(output)
        for line in said(shown):
            assert line in lines, f"{line}\n{output}"
            lines = lines[lines.index(line) + 1 :]  # in this order
    restored = re.findall(r"^RESTORED 1 file in (\S+) of db1$", output, re.MULTILINE)
    assert fleet["db1"].run(["cat", f"{restored[0]}/srv/plan.txt"]).stdout == "plan\n"
