# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project of the guide "AWX and scheduled jobs" (docs/awx), run as AWX runs it, and its artifact."""

from __future__ import annotations

import dataclasses
import gzip
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.hosts import ROOT_PASSWORD, Fleet

from . import playbook
from .conftest import make_fleet
from .jobs import Job, need_runner, start
from .traces import leaves_nothing

PROJECT = playbook.REPOSITORY / "docs" / "awx"
GUIDE = playbook.REPOSITORY / "docs" / "docsite" / "rst" / "awx.rst"
# the playbooks that a person starts, some of them one after the other in one job
FILES = {
    **{path.name: path.read_text(encoding="utf-8") for path in PROJECT.glob("*.yml") if path.name != "controller.yml"},
    "first.yml": """
- import_playbook: plumbing.socketpipe.tape_label
- import_playbook: backup.yml
""",
    "after.yml": """
- import_playbook: retry.yml
- import_playbook: verify.yml
""",
}
EVERY = [path.stem for path in (playbook.REPOSITORY / "playbooks").glob("*.yml") if path.stem != "examples"]
FILES["every.yml"] = "".join(f"- import_playbook: plumbing.socketpipe.{name}\n" for name in sorted(EVERY))
SPECS = yaml.safe_load((playbook.REPOSITORY / "roles/tape/meta/argument_specs.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    need_runner()
    yield from make_fleet(["h1", "h2"], tmp_path_factory.mktemp("fleet"))


@dataclasses.dataclass
class Site:
    """The tape is the controller's; what the inventory says of the hosts does not change from job to job."""

    fleet: Fleet
    jobs: dict[str, Job]

    @property
    def inventory(self) -> dict[str, Any]:
        top = self.fleet.directory
        return {
            "tape_host": "localhost",
            "tape_devices": [str(top / "tape")],
            "tape_catalog_dir": str(top / "catalog"),
            "tape_state_dir": str(top / "state" / "{{ inventory_hostname }}"),
            "tape_paths": [str(top / "data" / "{{ inventory_hostname }}")],
        }

    def run(self, name: str, file: str, **given: Any) -> Job:
        folder = self.fleet.directory / name
        self.jobs[name] = start(self.fleet, folder, FILES, playbook_file=file, inventory=self.inventory, **given)
        self.jobs[name].finish()
        return self.jobs[name]

    def status(self, name: str) -> str:
        return (self.jobs[name].folder / "status").read_text(encoding="ascii")

    def artifact(self, name: str) -> dict[str, Any]:
        """What AWX keeps of a job, and passes on."""
        (stats,) = self.jobs[name].of("playbook_on_stats")
        return dict(stats["artifact_data"]["tape_backup"])

    def stdout(self, name: str) -> str:
        return "\n".join(event["stdout"] for event in self.jobs[name].events())


@pytest.fixture(scope="module")
def site(fleet: Fleet) -> Site:
    """A backup of two hosts, one of which fails; a relaunch on failed hosts; a retry, and a verification."""
    made = Site(fleet, {})
    (fleet.directory / "tape").mkdir()
    data = fleet.directory / "data"
    survey = {
        "tape_label": "WEEK01",
        "tape_level": "0",
        "tape_hosts": "",
        "tape_estimate": "true",
        "tape_labels": "WEEK*, MONTH*",
        "tape_excludes": "*.tmp\n*.bak\n",
        "tape_retries": "",
        "tape_become": "false",
        "tape_compression": "",
    }
    with leaves_nothing(fleet):
        (data / "h1").mkdir(parents=True)
        for name in ("a", "a.tmp", "a.bak"):
            (data / "h1" / name).write_text("x", encoding="ascii")
        made.run("first", "first.yml", survey=survey)
        (data / "h2").mkdir()
        survey.pop("tape_label")
        # by a user who is no other's, with the password of the machine credential
        words = ["-u", "backup1", "--become", "--become-method", "su", "--ask-become-pass", "--limit", "h2"]
        made.run(
            "relaunched",
            "backup.yml",
            survey=survey,
            words=words,
            passwords={r"^BECOME password.*:\s*?$": ROOT_PASSWORD},
            ansible_user="backup1",
        )
        made.run("after", "after.yml", survey={**survey, "tape_backup": made.artifact("first")})
    return made


def test_the_answers_of_a_survey_are_texts(site: Site) -> None:
    assert site.status("first") == "failed", site.stdout("first")
    told = site.artifact("first")
    assert (told["good"], told["failed"], told["tapes"]) == (1, 1, ["WEEK01"])
    bad = told["hosts"]["h2"]
    assert not bad["ok"] and bad["note"].startswith("not on this host: ")
    with gzip.open(site.fleet.directory / "catalog" / "lists" / told["run"] / "all,h1.gz", "rt") as names:
        assert [name.strip().rpartition("/")[2] for name in names if "/a" in name] == ["a"]


def test_a_relaunch_on_failed_hosts(site: Site) -> None:
    """A run of its own, for these hosts alone."""
    assert site.status("relaunched") == "successful", site.stdout("relaunched")
    first, told = site.artifact("first"), site.artifact("relaunched")
    assert list(told["hosts"]) == ["h2"] and told["run"] != first["run"]
    assert (told["good"], told["failed"], told["resume"]) == (1, 0, "")


def test_the_jobs_that_follow_in_a_workflow(site: Site) -> None:
    """With the artifact of the first as a variable: the retry is of its run, and all of that run is verified."""
    assert site.status("after") == "successful", site.stdout("after")
    first, told = site.artifact("first"), site.artifact("after")
    assert told["run"] == first["run"] and told["failed"] == 0
    assert {name: host["state"] for name, host in told["hosts"].items()} == {"h1": "good before", "h2": "good"}
    (verified,) = [data["res"] for data in site.jobs["after"].of("runner_on_ok") if "verified" in data["res"]]
    assert {each["run"] for each in verified["verified"]} == {first["run"]} and len(verified["verified"]) == 2


TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "mapping": (dict,),
    "list of texts": (list,),
    "null": (type(None),),
}


def contract() -> dict[str, tuple[type, ...]]:
    """{field: the types of its value}, from the table of the guide."""
    table = GUIDE.read_text(encoding="utf-8").partition("list-table::")[2].partition("\n``note``")[0]
    rows = re.findall(r"   \* - ``(\S+)``\n     - (.+)\n", table)
    return {name: sum((TYPES[kind] for kind in types.split(", or ")), ()) for name, types in rows}


@pytest.mark.parametrize("job", ["first", "relaunched", "after"])
def test_the_artifact_is_the_one_of_the_guide(site: Site, job: str) -> None:
    """Every field of one is in the other, and has such a value."""
    fields = contract()
    told = site.artifact(job)
    found = {name: [value] for name, value in told.items()}
    for host in told["hosts"].values():
        for name, value in host.items():
            found.setdefault(f"hosts.HOST.{name}", []).append(value)
    assert set(found) == set(fields)
    wrong = {name: value for name, values in found.items() for value in values if type(value) not in fields[name]}
    assert wrong == {}


def test_every_playbook_takes_a_survey_of_empty_fields(site: Site) -> None:
    """In check mode, so that it is one job: an empty text for each variable of the role.

    But where one is required, and where it would mean to send data in clear.
    """
    every = {name for spec in SPECS["argument_specs"].values() for name in spec["options"]}
    survey = dict.fromkeys(sorted((every | {"tape_hosts", "restore_target"}) - set(site.inventory)), "")
    survey |= {"tape_label": "WEEK01", "tape_location": "vault", "tape_link_encryption": "none", "tape_path": "*/a"}
    survey |= {"restore_host": "h1", "restore_target": "h1", "tape_filter": "[]", "tape_recipients": "[]"}
    job = site.run("every", "every.yml", survey=survey, words=["--check"])
    failed = [(data["task"], data["res"]["msg"]) for data in job.of("runner_on_failed")]
    assert failed == []
