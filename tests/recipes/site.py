# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with the names that a recipe gives them; and a folder where the commands of a page are typed."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.hosts import Fleet, Host
from tests.hosts.layout import SANE_PATH
from tests.system import batch, playbook
from tests.system.playbook import Done, Started

SLOW = {"plumbing.socketpipe.pipe", "plumbing.socketpipe.pipeline"}
PATIENCE = 60.0  # seconds for what a test waits for


def missing(packages: Mapping[str, str]) -> str | None:
    """The reason to skip a test: programs that are not here, by the packages of Debian that have them."""
    absent = sorted({package for name, package in packages.items() if not shutil.which(name, path=SANE_PATH)})
    return f"this recipe needs these packages: {', '.join(absent)}" if absent else None


class Site:
    """The hosts of a recipe: `names` has the host of the fleet for each."""

    def __init__(self, fleet: Fleet, names: Mapping[str, str]) -> None:
        self.fleet, self.names = fleet, names
        self.inventory: Path = batch.inventory(
            fleet, {}, {name: {"ansible_host": fleet[host].address} for name, host in names.items()}
        )

    def __getitem__(self, name: str) -> Host:
        return self.fleet[self.names[name]]

    def group(self, name: str, hosts: Sequence[str]) -> None:
        """A group of the inventory."""
        content = json.loads(self.inventory.read_text(encoding="utf-8"))
        content["all"]["children"][name] = {"hosts": {host: {} for host in hosts}}
        self.inventory.write_text(json.dumps(content), encoding="utf-8")

    def start(self, play: Mapping[str, Any]) -> Started:
        return playbook.start(self.fleet, plays=[play], inventory=self.inventory)

    def run(self, *plays: Mapping[str, Any], rc: int = 0) -> Done:
        done = playbook.start(self.fleet, plays=plays, inventory=self.inventory).wait()
        assert done.rc == rc, done.output
        return done

    def sh(self, name: str, script: str, **options: Any) -> str:
        """What a script of bash on a host says."""
        return str(self[name].run(["bash", "-ec", "-o", "pipefail", script], **options).stdout).strip()

    def pids(self, name: str, command: str) -> list[int]:
        """The processes on a host whose command line begins with these words, whatever the program's directory."""
        begins = re.compile(rf"(\S*/)?{re.escape(command)}( |$)")
        return [each.pid for each in self[name].processes() if begins.match(each.cmdline)]

    def kill(self, name: str, command: str) -> None:
        """The only such process there."""
        [pid] = self.pids(name, command)
        self[name].run(["kill", "-KILL", str(pid)])


class Desk:
    """A folder on the controller with the inventory of a page, whose hosts are those of the fleet with these names."""

    def __init__(self, fleet: Fleet, name: str, inventory: dict[str, Any]) -> None:
        self.fleet, self.folder = fleet, playbook.directory(fleet) / name
        ours = json.loads(fleet.inventory().read_text(encoding="utf-8"))["all"]
        every = inventory["all"]
        for group in (every, *every.get("children", {}).values()):
            for host in group.get("hosts", {}):
                group["hosts"][host] = {**(group["hosts"][host] or {}), "ansible_host": fleet[host].address}
        every["vars"].update(ours["vars"])
        self.folder.mkdir()
        (self.folder / "ansible.cfg").touch()  # so that the machine's own does not count
        self.write("inventory.yml", inventory)

    def write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content), encoding="utf-8")

    def type(self, command: str) -> str:
        """Its standard output. It has succeeded."""
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(playbook.collections()),
            "ANSIBLE_HOME": str(playbook.ansible_home(self.fleet)),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "PATH": f"{playbook.ansible_playbook().parent}:{os.environ['PATH']}",
        }
        words = ["bash", "-ec", command]
        done = self.fleet.controller.run(words, cwd=str(self.folder), env=environment, timeout=300, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def wait_until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.05)


def slowly(play: Mapping[str, Any]) -> dict[str, Any]:
    """The same play, but it takes many minutes."""
    slow = copy.deepcopy(dict(play))
    for task in slow["tasks"]:
        for module in SLOW & set(task):
            task[module]["rate_limit"] = "10K"
    return slow
