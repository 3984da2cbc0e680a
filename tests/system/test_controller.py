# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that sets up AWX (docs/awx/controller.yml), against the modules that it calls, and the guide."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import jinja2.sandbox
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from . import community, playbook

PROJECT = playbook.REPOSITORY / "docs" / "awx"
GUIDE = playbook.REPOSITORY / "docs" / "docsite" / "rst" / "awx.rst"
ROLE = playbook.REPOSITORY / "roles" / "tape" / "meta" / "argument_specs.yml"
AWX = "awx.awx."
Task = dict[str, Any]


class Loader(yaml.SafeLoader):
    """Texts with the tag !unsafe are texts."""


Loader.add_constructor("!unsafe", lambda loader, node: node.value)


@pytest.fixture(autouse=True)
def clean() -> None:
    """No test of this file uses a host."""


def tasks() -> list[Task]:
    (play,) = yaml.load((PROJECT / "controller.yml").read_text(encoding="utf-8"), Loader)
    found: list[Task] = play["tasks"]
    return found


def module_of(task: Task) -> str:
    (name,) = [key for key in task if key.startswith(AWX)]
    return name.removeprefix(AWX)


def calls(module: str) -> list[dict[str, Any]]:
    """The arguments of its tasks; those of a loop once for each item."""
    found = []
    for task in tasks():
        if module_of(task) == module:
            for item in task.get("loop", [{}]):
                text = json.dumps(task[AWX + module])
                for key, value in item.items():
                    text = text.replace("{{ item.%s }}" % key, value)
                found.append(json.loads(text))
    return found


@pytest.fixture(scope="module")
def specs() -> dict[str, Any]:
    """{module: what it gives Ansible when it runs}."""
    path = community.collections()
    names = sorted({module_of(task) for task in tasks()})
    python = community.VENV / "bin" / "python"
    program = Path(__file__).with_name("awx_specs.py")
    done = subprocess.run([python, "-I", program, *names], capture_output=True, text=True, check=True, cwd=path)
    return dict(json.loads(done.stdout))


def errors(specs: dict[str, Any], module: str, args: dict[str, Any]) -> list[str]:
    """What the module would say of its arguments."""
    return list(ArgumentSpecValidator(**specs[module]).validate(args).error_messages)


def test_each_call_is_one_that_its_module_takes(specs: dict[str, Any]) -> None:
    names = {module_of(task) for task in tasks()}
    assert len(names) > 8
    for name in names:
        for args in calls(name):
            assert errors(specs, name, args) == [], (name, args)


@pytest.mark.parametrize(
    ("module", "change", "said"),
    [
        ("job_template", {"playbok": "backup.yml"}, "playbok. Supported parameters include"),
        ("project", {"scm_type": "cvs"}, "value of scm_type must be one of"),
        ("job_template", {"forks": "many"}, "'forks' is of type str"),
        ("credential", {"credential_type": None}, "missing required arguments: credential_type"),
        ("workflow_job_template_node", {"approval_node": {}}, "parameters are mutually exclusive"),
    ],
)
def test_a_wrong_call_is_noticed(specs: dict[str, Any], module: str, change: dict[str, Any], said: str) -> None:
    args = copy.deepcopy(calls(module)[0])
    for name, value in change.items():
        if value is None:
            del args[name]
        else:
            args[name] = value
    (error,) = errors(specs, module, args)
    assert said in error


# -- what no module of awx.awx looks at


def names_of(*modules: str) -> set[str]:
    return {args["name"] for module in modules for args in calls(module)}


def test_each_name_is_one_that_an_earlier_task_has_made() -> None:
    templates = names_of("job_template")
    for args in calls("job_template"):
        assert (PROJECT / args["playbook"]).exists()
        assert {args["project"]} <= names_of("project") and set(args["credentials"]) <= names_of("credential")
        assert {args["execution_environment"]} <= names_of("execution_environment")
        for key in ("notification_templates_success", "notification_templates_error"):
            assert set(args.get(key, ())) <= names_of("notification_template")
    for args in calls("inventory_source"):
        assert (PROJECT / args["source_path"]).exists() and args["source_project"] in names_of("project")
    made: list[str] = []
    for args in calls("workflow_job_template_node"):
        assert args["unified_job_template"] in templates
        assert args["workflow_job_template"] in names_of("workflow_job_template")
        for key in ("success_nodes", "failure_nodes", "always_nodes"):
            assert set(args.get(key, ())) <= set(made)
        made.append(args["identifier"])
    for args in calls("schedule"):
        assert args["unified_job_template"] in names_of("workflow_job_template")


def test_each_variable_is_one_of_the_role() -> None:
    spec = yaml.safe_load(ROLE.read_text(encoding="utf-8"))["argument_specs"]["backup"]["options"]
    surveys = [args["survey_spec"]["spec"] for args in calls("job_template") if "survey_spec" in args]
    questions = [question for survey in surveys for question in survey]
    asked = [question["variable"] for question in questions]
    assert len(asked) >= 3 and set(asked) <= {*spec, "tape_hosts"}
    assert all(
        isinstance(each, str) for question in questions for each in [question["default"], *question.get("choices", ())]
    )
    inventory = yaml.safe_load((PROJECT / "inventory.yml").read_text(encoding="utf-8"))["all"]
    set_there = {name for host in [inventory["vars"], *inventory["hosts"].values()] for name in host}
    assert not set(asked) & set_there, "an empty answer would override the inventory"
    for args in calls("schedule"):
        assert set(args["extra_data"]) <= set(asked)
        rule = r"DTSTART;TZID=\{\{ awx_time_zone \}\}:\d{8}T\d{6} RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=[A-Z,]+"
        assert re.fullmatch(rule, args["rrule"])


ARTIFACT = {
    "run": "20261123T014656Z",
    "good": 1,
    "failed": 1,
    "warnings": ["db1 is late"],
    "hosts": {"db1": {"ok": True, "note": ""}, "web1": {"ok": False, "note": "no route"}},
}


@pytest.mark.parametrize("event", ["success", "error"])
def test_a_message_is_one_that_awx_takes(event: str) -> None:
    """AWX renders it without an artifact when it is saved, and refuses a message of several lines."""
    (args,) = calls("notification_template")
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    message, body = (environment.from_string(args["messages"][event][key]) for key in ("message", "body"))
    assert "\n" not in args["messages"][event]["message"]
    job: dict[str, Any] = {"name": "Backup", "status": "failed", "artifacts": {}}
    assert message.render(job=job, url="https://awx") == "Backup: failed"
    assert body.render(job=job, url="https://awx").split() == ["Backup", "failed:", "https://awx"]
    job["artifacts"] = {"tape_backup": ARTIFACT}
    assert message.render(job=job, url="https://awx") == "Backup 20261123T014656Z: 1 good, 1 failed"
    lines = [line for line in body.render(job=job, url="https://awx").splitlines() if line]
    assert lines == ["Backup failed: https://awx", "web1: no route", "Warning db1 is late"]


# -- the guide

# the first lines of what a reader writes, and is not in the project
OWN = {"- name: Fail if a host was written slowly", "tape_host: tape1", "localhost:"}


NOT_OF_A_JOB = {"estimated", "written", "started"}  # in check mode, and of a task with async


def test_the_states_of_the_artifact_are_those_of_the_module() -> None:
    source = (playbook.REPOSITORY / "plugins" / "modules" / "tape_backup.py").read_text(encoding="utf-8")
    returned = yaml.safe_load(source.partition('RETURN = r"""')[2].partition('"""')[0])["state"]["description"]
    states = {text.removeprefix("V(").partition(")")[0] for text in returned}
    row = GUIDE.read_text(encoding="utf-8").partition("``hosts.HOST.state``")[2].partition("   * -")[0]
    assert set(re.findall(r"``([a-z ]+)``", row)) == states - NOT_OF_A_JOB


def blocks() -> list[list[str]]:
    """The code of the guide, as lines."""
    text = GUIDE.read_text(encoding="utf-8")
    found = re.findall(r"^\.\. code-block:: (?:yaml\+jinja|yaml|jinja)\n\n((?:(?:    .*)?\n)+)", text, re.M)
    return [textwrap.dedent(block).strip().splitlines() for block in found]


def test_the_code_of_the_guide_is_that_of_the_project() -> None:
    files = [
        "\n".join(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        for path in [*PROJECT.glob("*.yml"), *PROJECT.glob("collections/*.yml")]
    ]
    every = blocks()
    assert len(every) >= 9
    elsewhere = [block for block in every if not any("\n".join(map(str.strip, block)) in text for text in files)]
    assert {block[0] for block in elsewhere} == OWN, elsewhere
