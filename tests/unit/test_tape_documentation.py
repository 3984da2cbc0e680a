# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the tape modules: their options, fragments, examples and samples against the code's."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.plumbing.socketpipe.plugins.doc_fragments import attributes, tape
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_spec

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections.plumbing.socketpipe.plugins"
PREFIX = "plumbing.socketpipe."
SPECS: dict[str, dict[str, dict[str, Any]]] = {
    f"tape_{name}": getattr(_tape_spec, name.upper())
    for name in ("backup", "catalog", "finish", "info", "label", "mark", "plan", "restore", "verify")
}
SPECS["report"] = _tape_spec.REPORT
COMPARED = ("type", "default", "choices", "elements", "required")
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}
ROLE = yaml.safe_load((ROOT / "roles/tape/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]


def module(name: str) -> Any:
    return importlib.import_module(f"{COLLECTION}.modules.{name}")


def documentation(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(module(name).DOCUMENTATION))


def fragments(name: str) -> Iterator[dict[str, Any]]:
    for each in documentation(name)["extends_documentation_fragment"]:
        file, _dot, part = each.removeprefix(PREFIX).partition(".")
        source = {"attributes": attributes, "tape": tape}[file]
        yield yaml.safe_load(getattr(source.ModuleDocFragment, part.upper() or "DOCUMENTATION"))


def options(name: str) -> dict[str, dict[str, Any]]:
    """Those of the module, with those of its fragments."""
    merged: dict[str, dict[str, Any]] = {}
    for each in [*fragments(name), documentation(name)]:
        merged.update(each["options"])
    return merged


def spec_of(name: str) -> dict[str, dict[str, Any]]:
    action = importlib.import_module(f"{COLLECTION}.action.{name}")
    assert action.ActionModule.SPEC is SPECS[name]
    return SPECS[name]


@pytest.mark.parametrize("name", SPECS)
def test_every_option_is_documented_as_it_is(name: str) -> None:
    spec, documented = spec_of(name), options(name)
    assert set(documented) == set(spec)
    for option, details in spec.items():
        assert set(details) <= set(COMPARED)
        told = {key: documented[option].get(key) for key in COMPARED}
        assert told == {key: details.get(key) for key in COMPARED}, option


@pytest.mark.parametrize("name", SPECS)
def test_every_attribute_has_a_meaning_and_a_support(name: str) -> None:
    merged: dict[str, dict[str, Any]] = {}
    for each in [*fragments(name), documentation(name)]:
        for attribute, said in each.get("attributes", {}).items():
            merged.setdefault(attribute, {}).update(said)
    assert [key for key, said in merged.items() if not {"description", "support"} <= set(said)] == []
    assert merged["action_group"]["membership"] == ["plumbing.socketpipe.tape"]


def test_the_action_group_has_all_of_them_and_no_other() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
    assert runtime["action_groups"]["tape"] == sorted(SPECS)
    files = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    assert files == {*SPECS, *runtime["action_groups"]["all"]}


def test_what_module_defaults_sets_for_the_group_is_an_option_of_each() -> None:
    for name in SPECS:
        assert _tape_spec.SITE.items() <= SPECS[name].items()


def test_an_option_is_what_the_role_says_of_its_variable() -> None:
    """One name, one type, one default: a path is expanded on the controller, so it is a string of the modules."""
    role: dict[str, dict[str, Any]] = {}
    for entry in ROLE.values():
        role.update(entry["options"])
    for name, spec in SPECS.items():
        for option, details in spec.items():
            if option in role:
                assert role[option]["type"].replace("path", "str") == details["type"], (name, option)
                if not details.get("required") and option != "tape_path":  # the role's is the variable path, too
                    assert role[option].get("default") == details.get("default"), (name, option)


def tasks(block: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in block:
        yield task
        yield from tasks(task.get("tasks", []))


@pytest.mark.parametrize("name", SPECS)
def test_the_arguments_of_an_example_are_accepted(name: str) -> None:
    used = [(task, key) for task in tasks(yaml.safe_load(module(name).EXAMPLES)) for key in task if "." in key]
    assert any(key == PREFIX + name for _task, key in used)
    for task, key in used:
        if key.removeprefix(PREFIX) in SPECS:
            given = {k: {} if v in ("{{ planned }}",) else v for k, v in task[key].items()}
            assert ArgumentSpecValidator(SPECS[key.removeprefix(PREFIX)]).validate(given).error_messages == []


def samples(values: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in values.items():
        yield key, value
        yield from samples(value.get("contains", {}))


@pytest.mark.parametrize("name", SPECS)
def test_a_return_value_has_a_type_and_a_sample_of_it(name: str) -> None:
    returned = yaml.safe_load(module(name).RETURN)
    assert not {"failed", "warnings", "changed"} & set(returned), "core takes these for itself"
    for key, value in samples(returned):
        assert value["type"] in TYPES, key
        if value.get("sample") is not None:
            assert value["sample"].__class__ is TYPES[value["type"]], key


# kinds for the programs themselves, and those that only the actions have
INTERNAL = {problem.LONG, problem.END, problem.NO_BASE, problem.LEADS_OUT}
OF_ACTIONS = {"unreachable", "not connected", "lost", "answer"}


@pytest.mark.parametrize("name", SPECS)
def test_every_kind_is_documented(name: str) -> None:
    """A playbook decides on it."""
    of_programs = {value for key, value in vars(problem).items() if key.isupper() and value != problem.UPGRADE}
    (kind,) = re.findall(r"\nkind:\n(.*?)\n  returned:", module(name).RETURN, re.DOTALL)
    assert set(re.findall(r"- V\((.*?)\) - ", kind)) == (of_programs | OF_ACTIONS) - INTERNAL - {problem.TYPE_CHECKING}
