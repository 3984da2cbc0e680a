# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs by ansible-runner, from a private data directory as AWX lays it out; job.py is the program that runs them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet, HostProcess

from . import playbook

VENV = playbook.REPOSITORY / ".build" / "venvs" / "runner"
JOB = Path(__file__).with_name("job.py")


def need_runner() -> None:
    """Without ansible-runner, the test is skipped by name."""
    if not (VENV / "made").exists():
        pytest.skip(f"there is no ansible-runner: make {VENV.relative_to(playbook.REPOSITORY)}/made")


@dataclasses.dataclass
class Job:
    """A private data directory, and the runner in it."""

    folder: Path
    process: HostProcess

    def events(self) -> list[dict[str, Any]]:
        """What AWX would get, in order."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in self.files()]

    def files(self) -> list[Path]:
        """The files of the events, without those that the runner has not completed."""
        found = self.folder.glob("artifacts/1/job_events/[0-9]*.json")
        whole = [path for path in found if not path.name.endswith("-partial.json")]
        return sorted(whole, key=lambda path: int(path.name.split("-")[0]))

    def of(self, kind: str, task: str = "") -> list[dict[str, Any]]:
        return [event["event_data"] for event in self.events() if event["event"] == kind and task in json.dumps(event)]

    def finish(self, timeout: float = 90) -> str:
        """The job's status, when the runner has ended."""
        said = self.process.communicate(timeout=timeout)[0]
        status = self.folder / "status"
        assert status.exists(), said
        return status.read_text(encoding="ascii")


def start(
    fleet: Fleet,
    folder: Path,
    project: str | Mapping[str, str],
    idle: int = 0,
    *,
    playbook_file: str = "job.yml",
    inventory: Mapping[str, Any] | None = None,
    survey: Mapping[str, Any] | None = None,
    words: Sequence[str] = (),
    passwords: Mapping[str, str] | None = None,
    **variables: Any,
) -> Job:
    """As AWX lays it out: project, inventory, env; artifacts come.

    ``project``: its playbook, or all of its files; ``idle``: seconds without a line that end it; ``inventory``: of all
    hosts; ``survey``: of its answers, and of artifacts, AWX marks each text as unsafe; ``words``: of the command line,
    as the template has them; ``passwords``: answers to prompts; ``variables``: of the template.
    """
    hosts = json.loads(fleet.inventory().read_text(encoding="utf-8"))
    hosts["all"]["hosts"] = {}  # the controller of a job is in no inventory
    hosts["all"]["vars"] = {**hosts["all"].get("vars", {}), **(inventory or {})}
    extra = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in variables.items()]
    extra += [f"{unsafe(name)}: {unsafe(value)}" for name, value in (survey or {}).items()]
    files = {
        **{
            f"project/{name}": text
            for name, text in ({"job.yml": project} if isinstance(project, str) else project).items()
        },
        "inventory/hosts.yml": json.dumps(hosts),
        "env/extravars": "\n".join(["---", *extra, ""]) if extra else "{}",
        "env/cmdline": " ".join(words),
        "env/passwords": json.dumps(passwords or {}),
        "env/settings": json.dumps(
            {"job_timeout": 300, "idle_timeout": idle or None, "fact_cache": "facts", "fact_cache_type": "jsonfile"}
        ),
        "env/envvars": json.dumps(
            {
                "ANSIBLE_COLLECTIONS_PATH": str(playbook.collections()),
                "ANSIBLE_HOME": str(folder / "home"),
                "ANSIBLE_FORKS": "5",
            }
        ),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    process = fleet.controller.popen(
        [VENV / "bin" / "python", JOB, folder, playbook_file],
        env={"PATH": f"{VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        stdout=-1,
        stderr=-2,
    )
    return Job(folder, process)


def unsafe(value: Any) -> str:
    """In YAML, with the tag that AWX gives texts that come from outside of its templates."""
    if isinstance(value, str):
        return f"!unsafe {json.dumps(value)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{unsafe(name)}: {unsafe(each)}" for name, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(unsafe, value)) + "]"
    return json.dumps(value)
