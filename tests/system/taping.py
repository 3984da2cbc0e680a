# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet with a tape host, for the role tape: its playbooks as a person types them, on virtual tapes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.hosts import Fleet

from . import playbook

HOSTS = ["h1", "h2", "tape1"]
BLOCK = 256 * 1024
ROLE = "plumbing.socketpipe.tape : "
Variables = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass
class Site:
    """All that the role keeps is below `top`, which every host sees; nothing of it counts as left behind."""

    fleet: Fleet
    top: Path

    @property
    def catalog(self) -> Path:
        return self.top / "catalog"

    def tape(self, name: str = "A") -> Path:
        """A virtual tape: an empty directory is a blank one."""
        path = self.top / "tapes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def data(self, host: str) -> Path:
        """What of a host is backed up."""
        path = self.top / "data" / host
        path.mkdir(parents=True, exist_ok=True)
        return path

    def fill(self, host: str, **files: str | None) -> None:
        """Files with this content; None: there is none of this name."""
        for name, content in files.items():
            path = self.data(host) / name
            if content is None:
                path.unlink()
            else:
                path.write_text(content, encoding="utf-8")

    def variables(self, own: Variables | None = None) -> dict[str, dict[str, Any]]:
        """The inventory's, with those of a test."""
        every: dict[str, dict[str, Any]] = {
            "all": {"tape_state_dir": str(self.top / "state" / "{{ inventory_hostname }}"), "tape_wait": 0},
            "tape1": {"tape_devices": [str(self.tape())], "tape_catalog_dir": str(self.catalog)},
            **{host: {"tape_paths": [str(self.data(host))]} for host in HOSTS[:2]},
        }
        for host, more in (own or {}).items():
            every[host] = {**every.get(host, {}), **more}
        return every

    def start(
        self, name: str, own: Variables | None = None, args: list[str] | None = None, **extra: Any
    ) -> playbook.Started:
        """One of the playbooks, by its name; `own` are variables by host, the rest are extra variables."""
        plays = [{"name": name, "ansible.builtin.import_playbook": f"plumbing.socketpipe.{name}"}]
        words = [*(args or []), "-e", json.dumps({"tape_hosts": "fleet", **extra})]
        env = {"ANSIBLE_SHOW_CUSTOM_STATS": "1"}
        return playbook.start(self.fleet, plays=plays, inventory=self.variables(own), args=words, env=env)

    def run(self, name: str, rc: int = 0, **options: Any) -> playbook.Done:
        done = self.start(name, **options).wait()
        assert done.rc == rc, done.output
        return done

    def label(self, name: str = "WEEK01", tape: str = "A") -> None:
        """By the playbook; but the first tape of a second site is a copy of that of the first."""
        kept, folders = self.fleet.directory / "labelled", ("catalog", "tapes")
        first = (name, tape) == ("WEEK01", "A") and not self.catalog.exists()
        if first and kept.exists():
            for folder in folders:
                shutil.copytree(kept / folder, self.top / folder, symlinks=True, dirs_exist_ok=True)
            return
        own = {"tape1": {"tape_devices": [str(self.tape(tape))]}}
        self.run("tape_label", own=own, tape_label=name)
        if first:
            for folder in folders:
                shutil.copytree(self.top / folder, kept / folder, symlinks=True)

    def archives(self, label: str = "WEEK01") -> list[dict[str, Any]]:
        """What the catalog has of a tape."""
        tape = json.loads((self.catalog / "tapes" / f"{label}.json").read_text(encoding="utf-8"))
        return [archive for archive in tape["archives"] if archive["kind"] == "archive"]

    def states(self, label: str = "WEEK01") -> list[tuple[str, int, str]]:
        """Host, level and state of each archive on a tape."""
        return [(each["host"], each["level"], each["state"]) for each in self.archives(label)]

    def clear(self) -> None:
        """Blank tapes, no catalog, no states."""
        for name in ("catalog", "tapes", "state", "data"):
            shutil.rmtree(self.top / name, ignore_errors=True)
        for host in HOSTS[:2]:
            self.fill(host, one=f"{host} one", two=f"{host} two")

    def everything(self) -> dict[str, bytes]:
        """All files of tapes, catalog and states, to see that nothing was written; locks do not count."""
        found = [
            path
            for name in ("catalog/tapes", "catalog/lists", "tapes", "state")
            for path in (self.top / name).rglob("*")
        ]
        return {str(path): path.read_bytes() for path in found if path.is_file() and path.name != "lock"}


def make_site(fleet: Fleet) -> Site:
    site = Site(fleet, fleet.directory / "site")
    site.clear()
    return site


def statistic(done: playbook.Done, name: str = "tape_backup") -> dict[str, Any]:
    """What the next job of a workflow gets."""
    text = done.stdout.partition("CUSTOM STATS: ")[2]
    line = next(line for line in text.splitlines() if name in line)
    return dict(json.loads(line.partition(": ")[2])[name])


def result(done: playbook.Done, task: str) -> dict[str, Any]:
    """What a task of the role has returned, on whichever host."""
    found = [each.result for each in done.outcomes if each.task == ROLE + task and each.status in ("ok", "failed")]
    assert len(found) == 1, done.output
    return found[0]


def table(done: playbook.Done, head: str) -> list[list[str]]:
    """What a person sees: the lines from this one on, up to the line of the task's own result, in columns."""
    lines = done.stdout.splitlines()
    (first,) = [number for number, line in enumerate(lines) if line.startswith(head + " ")]
    after = re.compile(r"(ok|changed|fatal|skipping|\[ERROR\]): ")
    rest = itertools.takewhile(lambda line: not after.match(line), lines[first:])
    return [re.split("  +", line.rstrip()) for line in rest if not line.startswith("[")]


def failures(done: playbook.Done, task: str) -> dict[str, str]:
    """What a task says where it fails."""
    return {
        each.host: each.result["msg"] for each in done.outcomes if each.task == ROLE + task and each.status == "failed"
    }


def states_of(site: Site, state: str) -> list[str]:
    """The hosts of the archives in this state."""
    return sorted(host for host, _level, found in site.states() if found == state)


def read(folder: Path) -> dict[str, str]:
    """The files in a directory, by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def next_second() -> None:
    """Times in the catalog are whole seconds."""
    time.sleep(1.05 - time.time() % 1)
