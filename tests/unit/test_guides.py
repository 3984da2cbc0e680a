# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code in the guides and in README.md against the collection: options, variables, playbooks and their names.

Most of it is also run from the page: tests/recipes, tests/system/test_examples.py.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("ansible", reason="ansible-core is not installed")

import ansible
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.splitter import parse_kv
from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._host_variables import reachable
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._pipeline_fork import parse_forked
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._pipeline_options import PIPELINE_SPEC
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_filters import filters_of
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_sources import sources_of
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import (
    PIPE_SPEC,
    parse_stages,
    settings,
)
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._transfer_options import TRANSFER_SPEC, parse_mode

from tests.workshop import guides

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections.plumbing.socketpipe.plugins"
PREFIX = "plumbing.socketpipe."
OF_STREAMS = {"pipe": PIPE_SPEC, "pipeline": PIPELINE_SPEC, "transfer": TRANSFER_SPEC}
GROUPS = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))["action_groups"]
MODULES = sorted(path.stem for path in ROOT.glob("plugins/modules/*.py"))
PLAYBOOKS = {path.stem: path.read_text(encoding="utf-8") for path in ROOT.glob("playbooks/*.yml")}
ROLES = {
    path.parts[-3]: yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
    for path in ROOT.glob("roles/*/meta/argument_specs.yml")
}
# {name: what the roles say of it}
VARIABLES = {
    name: details
    for entries in ROLES.values()
    for entry in entries.values()
    for name, details in entry["options"].items()
}
OF_HOSTS = {"socketpipe_address", "socketpipe_ports", "socketpipe_listen"}
KEYWORDS = {"play": set(Play.fattributes), "task": set(Task.fattributes) | set(Block.fattributes)}
OURS = re.compile(r"(?<![\w./-])(?:tape|restore|command|kernel_tls|socketpipe)_[a-z_]+\b")
METRIC = re.compile(r"socketpipe_tape(_|$)")
DEFAULTED = re.compile(r"\b(\w+) \| default")
# what a template may become
ANYTHING: dict[str, Any] = {"list": [], "dict": {}, "bool": False, "int": 1, "float": 1.0}


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def texts() -> Iterator[tuple[str, str]]:
    yield "README", readme()
    yield from ((name, guides.read(name)) for name in guides.NAMES)


def contents() -> Iterator[tuple[str, Any]]:
    """(page, data) of each block of YAML."""
    for name in guides.NAMES:
        for block in guides.blocks(guides.read(name), "yaml", "yaml+jinja"):
            yield name, yaml.safe_load(block.text)
    yield from (("README", yaml.safe_load(text)) for text in re.findall(r"^```yaml\n(.*?)^```$", readme(), re.M | re.S))


BLOCKS = list(contents())


def test_each_block_of_code_is_found() -> None:
    for name in guides.NAMES:
        text = guides.read(name)
        assert len(guides.blocks(text)) == text.count(".. code-block::"), name
    assert len(BLOCKS) > 60


# -- modules


def spec_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = (
        OF_STREAMS.get(name) or importlib.import_module(f"{COLLECTION}.action.{name}").ActionModule.SPEC
    )
    return found


def validated(spec: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    args = {
        name: ANYTHING.get(spec.get(name, {}).get("type"), value)
        if isinstance(value, str) and value.startswith("{{")
        else value
        for name, value in given.items()
    }
    checked = ArgumentSpecValidator(spec).validate(args)
    assert checked.error_messages == []
    return dict(checked.validated_parameters)


def check_module(name: str, given: dict[str, Any]) -> None:
    values: Any = validated(spec_of(name), given)
    if name in ("pipe", "pipeline"):
        settings(values)
    warnings: list[str] = []
    if name == "pipe":
        for option in ("input", "remote", "output"):
            if values[option] is not None:
                warnings += parse_stages(option, values[option], str.encode)[1]
    elif name == "pipeline":
        warnings = parse_forked(values["stages"], str.encode)[2]
    elif name == "transfer":
        parse_mode(values["mode"])
    assert warnings == []


def check_defaults(defaults: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """{module: what module_defaults sets for it}"""
    found: dict[str, dict[str, Any]] = {}
    for name, values in defaults.items():
        members = GROUPS[name.removeprefix(f"group/{PREFIX}")] if name.startswith("group/") else [name]
        for member in (each.removeprefix(PREFIX) for each in members):
            assert set(values) <= set(spec_of(member)), member
            found.setdefault(member, {}).update(values)
    return found


# -- plays and tasks


def check_tasks(tasks: list[dict[str, Any]], defaults: dict[str, dict[str, Any]]) -> None:
    for task in tasks:
        modules = [key for key in task if "." in key]
        assert set(task) - set(modules) <= KEYWORDS["task"]
        parts = [task[part] for part in ("block", "rescue", "always") if part in task]
        assert len(modules) == (0 if parts else 1)
        for part in parts:
            check_tasks(part, defaults)
        check_variables(task.get("vars", {}))
        for name in modules:
            short = name.rpartition(".")[2]
            if name.startswith(PREFIX):
                check_module(short, {**defaults.get(short, {}), **task[name]})
            elif name.startswith("ansible.builtin."):
                assert (Path(ansible.__file__).parent / "modules" / f"{short}.py").exists()


def check_play(play: dict[str, Any]) -> None:
    imported = play.get("ansible.builtin.import_playbook")
    if imported:
        assert imported.removeprefix(PREFIX) in PLAYBOOKS
        check_variables(play.get("vars", {}))
        return
    assert set(play) <= KEYWORDS["play"]
    check_variables(play.get("vars", {}))
    check_tasks(play.get("tasks", []), check_defaults(play.get("module_defaults", {})))
    for role in play.get("roles", []):
        assert role["role"].removeprefix(PREFIX) in ROLES


# -- variables


def check_variables(values: Any) -> None:
    """Of an inventory, or of a part of one."""
    if not isinstance(values, dict):
        return
    for name, value in values.items():
        if name in VARIABLES:
            spec = {key: VARIABLES[name][key] for key in ("type", "elements", "choices") if key in VARIABLES[name]}
            validated({name: spec}, {name: value})
        elif name not in OF_HOSTS:
            assert not OURS.fullmatch(str(name)), name
            check_variables(value)
    sources_of(values.get("tape_sources", []))
    filters_of({"tape_filter": values.get("tape_filter"), "tape_recipients": values.get("tape_recipients", [])})
    reachable("h1", {name: value for name, value in values.items() if name in OF_HOSTS and "{{" not in str(value)})


@pytest.mark.parametrize(("page", "data"), BLOCKS, ids=[page for page, _data in BLOCKS])
def test_a_block_of_yaml_is_one_that_ansible_and_the_collection_take(page: str, data: Any) -> None:
    if isinstance(data, dict):
        options = set(data) & set(PIPE_SPEC)
        if options:
            check_module("pipe", data)
        check_tasks(data.get("rescue", []), {})
        check_variables(data)
    elif "hosts" in data[0] or "ansible.builtin.import_playbook" in data[0]:
        for play in data:
            check_play(play)
    elif "question_name" in data[0]:  # of a survey
        assert {each["variable"] for each in data} <= set(VARIABLES) | variables_of("backup")
    else:
        check_tasks(data, {})


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([{"hosts": "all", "gather_fact": False}], AssertionError),
        (
            [
                {
                    "hosts": "all",
                    "tasks": [{"name": "x", f"{PREFIX}pipe": {"remote": "cat", "input": "date"}, "becom": 1}],
                }
            ],
            AssertionError,
        ),
        ([{"name": "x", f"{PREFIX}pipe": {"remote": "cat", "inputs": "date"}}], AssertionError),
        ([{"name": "x", f"{PREFIX}tape_info": {"tape_host": "t", "gather": ["houses"]}}], AssertionError),
        ({"all": {"vars": {"tape_pathes": ["/"]}}}, AssertionError),
        ({"all": {"vars": {"tape_level": "ten"}}}, AssertionError),
        ([{"hosts": "all", "module_defaults": {f"group/{PREFIX}all": {"encrypt": True}}}], AssertionError),
        ([{"name": "x", "ansible.builtin.import_playbook": f"{PREFIX}back_up"}], AssertionError),
    ],
)
def test_a_wrong_block_is_noticed(data: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        test_a_block_of_yaml_is_one_that_ansible_and_the_collection_take("", data)


# -- command lines


def variables_of(playbook: str) -> set[str]:
    """What can be set for a playbook: the options of the role's entry point, those in its defaults, and its own."""
    options = ROLES["tape"].get(playbook, {"options": {}})["options"]
    return set(options) | set(DEFAULTED.findall(PLAYBOOKS[playbook] + str(options)))


def parser() -> argparse.ArgumentParser:
    """The options of ansible-playbook that pages use; its own parser insists on a terminal's settings."""
    made = argparse.ArgumentParser(allow_abbrev=False)
    made.add_argument("args", nargs=1)
    made.add_argument("-e", dest="extra_vars", action="append", default=[])
    made.add_argument("-i")
    for flag in ("--become", "--check"):
        made.add_argument(flag, action="store_true")
    return made


def command_lines() -> Iterator[tuple[str, str]]:
    """Each ansible-playbook that a page shows after a prompt."""
    for name, text in texts():
        shown = guides.blocks(text, "console") or [
            guides.Block("console", block) for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S)
        ]
        for command, _output in (each for block in shown for each in block.typed()):
            if command.startswith("ansible-playbook "):
                yield name, command.partition(" | ")[0]


LINES = list(command_lines())


@pytest.mark.parametrize(("page", "command"), LINES, ids=[command.partition(" ")[2] for _page, command in LINES])
def test_a_command_line_has_options_of_ansible_and_variables_of_its_playbook(page: str, command: str) -> None:
    words = [word for word in shlex.split(command, comments=True) if not re.match(r"\d?>", word)]
    parsed = parser().parse_args(words[1:])
    given = {
        name
        for each in parsed.extra_vars
        for name in (yaml.safe_load(each) if each.startswith("{") else parse_kv(each))
    }
    (playbook,) = parsed.args
    if playbook.startswith(PREFIX):
        assert given <= variables_of(playbook.removeprefix(PREFIX))
    else:
        text = (ROOT / "docs/awx" / playbook).read_text(encoding="utf-8")
        assert [name for name in given if name not in text] == []


def test_command_lines_within_a_sentence() -> None:
    """``tape_inventory -e tape_rebuild=true``"""
    found = [
        (words.split()[0], name)
        for _page, text in texts()
        for words in re.findall(r"``(\w+(?: -e \w+=\S+)+)``", text)
        for name in re.findall(r"-e (\w+)=", words)
    ]
    assert len(found) > 3
    assert [each for each in found if each[1] not in variables_of(each[0])] == []


# -- names


def known() -> set[str]:
    names = {*VARIABLES, *OF_HOSTS, *MODULES, *PLAYBOOKS}
    names |= {name for module in MODULES for name in spec_of(module)}
    names |= {name for playbook in PLAYBOOKS for name in variables_of(playbook)}
    for path in ROOT.glob("roles/*/tasks/*.yml"):
        names |= set(re.findall(r"register: (\w+)", path.read_text(encoding="utf-8")))
    return names


def test_each_name_is_one_of_the_collection() -> None:
    """Variables, modules, playbooks and options; the metrics have a test of their own."""
    names = known()
    wrong = {(page, name) for page, text in texts() for name in OURS.findall(text) if name not in names}
    assert {(page, name) for page, name in wrong if not METRIC.match(name)} == set()


# -- messages

DIFFERS = re.compile(r"\.\.\.|…|/dev/\S+|[\w-]*\d[\w.-]*|\b[A-Z]+\b|%\w|%\(\w+\)\w|\(\w*\)")
LEAST = 8  # letters of a part that is looked for


def parts(text: str) -> list[str]:
    """What is the same each time."""
    return [part.strip(" ,:;()") for part in DIFFERS.split(" ".join(text.split()))]


def constants() -> str:
    """All texts in the code, without what differs."""
    found = []
    for path in sorted(ROOT.glob("plugins/**/*.py")):
        if path.parent.name != "modules":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found += parts(node.value)
    return "\n".join(found)


def test_a_heading_quotes_texts_of_the_code() -> None:
    """In the tape guide: each part of a message that does not differ from time to time."""
    every = constants()
    section = guides.sections("tape")["When something is wrong"]
    lines = re.findall(r"^(``.*)\n  \S", section, re.M)
    headings = [quote for line in lines for quote in re.findall(r"``(.+?)``", line)]
    assert len(headings) > 6
    wrong = [(each, part) for each in headings for part in parts(each) if len(part) >= LEAST and part not in every]
    assert wrong == []


def test_the_readme_links_to_each_guide() -> None:
    linked = re.findall(r"\(docs/docsite/rst/(\w+)\.rst\)", readme())
    assert set(linked) == set(guides.NAMES)
