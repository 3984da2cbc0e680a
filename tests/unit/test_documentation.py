# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation is a contract: its options, return values and examples against the code's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.plumbing.socketpipe.plugins.doc_fragments.attributes import ModuleDocFragment
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import forecast, sentences
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import result as results
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import KINDS
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.verdict import Verdict
from ansible_collections.plumbing.socketpipe.plugins.modules import pipe
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import (
    PIPE_SPEC,
    STAGE_KEYS,
    fact_name,
    parse_stages,
    settings,
)

from tests.workshop import messages

ROOT = Path(__file__).resolve().parents[2]
PIPE = "plumbing.socketpipe.pipe"
GROUP = "group/plumbing.socketpipe.all"
# Ansible documents these for every module
COMMON = {"changed", "failed", "skipped", "_ansible_no_log"}

DOCUMENTATION = yaml.safe_load(pipe.DOCUMENTATION)
EXAMPLES = yaml.safe_load(pipe.EXAMPLES)
RETURN = yaml.safe_load(pipe.RETURN)


# -- options


def test_every_option_is_documented_and_no_other() -> None:
    assert set(DOCUMENTATION["options"]) == set(PIPE_SPEC)


@pytest.mark.parametrize("name", sorted(PIPE_SPEC))
@pytest.mark.parametrize("key", ["type", "default", "choices", "elements", "required"])
def test_an_option_is_documented_as_it_is(name: str, key: str) -> None:
    assert DOCUMENTATION["options"][name].get(key) == PIPE_SPEC[name].get(key)


def test_the_specification_uses_nothing_that_is_not_compared() -> None:
    used = {key for option in PIPE_SPEC.values() for key in option}
    assert used <= {"type", "default", "choices", "elements", "required"}


@pytest.mark.parametrize("key", STAGE_KEYS)
def test_every_setting_of_a_command_is_described_under_remote(key: str) -> None:
    assert f"C({key})" in " ".join(DOCUMENTATION["options"]["remote"]["description"])


@pytest.mark.parametrize("choice", PIPE_SPEC["listen"]["choices"])
def test_every_choice_of_listen_is_described(choice: str) -> None:
    assert any(text.startswith(f"V({choice})") for text in DOCUMENTATION["options"]["listen"]["description"])


# -- of all modules, fragments and roles

TEXTS = ("description", "details", "short_description")


def documented() -> Iterator[Any]:
    """The contents of each DOCUMENTATION, fragment, RETURN and argument specification."""
    for path in [*(ROOT / "plugins" / "modules").glob("*.py"), *(ROOT / "plugins" / "doc_fragments").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                [name] = node.targets
                if isinstance(name, ast.Name) and name.id.isupper() and name.id != "EXAMPLES":
                    yield yaml.safe_load(str(node.value.value))
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        yield yaml.safe_load(path.read_text(encoding="utf-8"))


def no_texts(value: Any) -> Iterator[Any]:
    """What stands where ansible-doc expects a text."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        if key in TEXTS and not (isinstance(each, dict) and "description" in each):  # an option may have such a name
            yield from (line for line in (each if isinstance(each, list) else [each]) if not isinstance(line, str))
        else:
            yield from no_texts(each)


def test_every_description_is_a_text() -> None:
    """A colon in a line makes it a mapping, and ansible-doc then refuses the whole page."""
    found = list(documented())
    assert len(found) > 30
    assert list(no_texts(found)) == []


# -- attributes


def fragments() -> Iterator[dict[str, Any]]:
    for name in DOCUMENTATION["extends_documentation_fragment"]:
        part = name.removeprefix("plumbing.socketpipe.attributes").removeprefix(".").upper()
        yield yaml.safe_load(getattr(ModuleDocFragment, part or "DOCUMENTATION"))


def test_every_attribute_has_a_meaning_and_a_support() -> None:
    merged: dict[str, dict[str, Any]] = {}
    for attributes in [fragment["attributes"] for fragment in fragments()] + [DOCUMENTATION["attributes"]]:
        for name, said in attributes.items():
            merged.setdefault(name, {}).update(said)
    assert [name for name, said in merged.items() if not {"description", "support"} <= set(said)] == []


def test_the_action_group_is_the_one_of_the_collection() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    membership = next(f["attributes"]["action_group"] for f in fragments() if "action_group" in f["attributes"])
    groups = [f"plumbing.socketpipe.{name}" for name, members in runtime["action_groups"].items() if "pipe" in members]
    assert membership["membership"] == groups


# -- return values


def plan() -> Plan:
    made = Plan({})
    for name in ("remote", "peer"):
        made.add_end(name)
    texts = {"input": "date", "remote": [{"cmd": "cat"}, {"cmd": "cat"}], "output": "cat"}
    where = {"input": "peer", "remote": "remote", "output": "peer"}
    made.chain([(where[option], stage) for option, text in texts.items() for stage in parse_stages(option, text)[0]])
    return made


def shape(launched: bool) -> dict[str, Any]:
    """A result as result.py makes it, of a run that could not be launched or was not to be."""
    made, hosts = plan(), {"remote": "db1", "peer": "tapehost"}
    outcome = {"report": None, "error": "no", "kind": "launch", "cancelled": False}
    verdict = Verdict(made, dict.fromkeys(hosts, outcome), hosts) if launched else None
    return results.shape(made, hosts, verdict, 1.0)


def added_by_the_action() -> set[str]:
    """The keys that the action itself, and what it shares with others, writes into ``result``."""
    found: set[str] = set()
    sources = [ROOT / "plugins" / name for name in ("action/pipe.py", "plugin_utils/_task_result.py")]
    for node in (node for path in sources for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and named(node.value):
            found.add(ast.literal_eval(node.slice))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and named(node.func.value):
            found.update(word.arg for word in node.keywords if word.arg)
        elif isinstance(node, ast.AnnAssign) and named(node.target) and isinstance(node.value, ast.Dict):
            found.update(ast.literal_eval(key) for key in node.value.keys if key)
    return found


def named(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "result"


# with async, where "started" and "finished" are Ansible's, and with no_log
OF_A_JOB = {"ansible_job_id", "results_file", "progress", "censored"}


@pytest.mark.parametrize("launched", [False, True])
def test_every_return_value_is_documented_and_no_other(launched: bool) -> None:
    assert set(RETURN) == (set(shape(launched)) | added_by_the_action() | OF_A_JOB) - COMMON


def test_what_a_refused_task_returns_is_documented() -> None:
    always = {name for name, value in RETURN.items() if value["returned"].startswith("unless the task")}
    assert always | {"msg"} == set(results.refused("no", "db1")) - COMMON


def contains(*path: str) -> set[str]:
    found = RETURN
    for name in path:
        found = found[name]["contains"]
    return set(found)


@pytest.mark.parametrize("launched", [False, True])
def test_stages_and_links_are_documented(launched: bool) -> None:
    made = shape(launched)
    assert contains("stages") == {key for stage in made["stages"] for key in stage}
    for link in made["links"]:
        assert contains("links") == set(link)
        assert contains("links", "waited") == set(link["waited"])


def test_the_preflight_is_documented() -> None:
    dialled = {"end": "peer", "address": "192.0.2.5", "port": 5000, "detail": "", "met": False, "outcome": "ok"}
    reports: dict[str, Any] = {"remote": {"connect": {"dialled": [dialled]}}}
    tried = results.preflight_result({"remote": "db1", "peer": "tapehost"}, reports)
    assert [set(entry) for entry in tried] == [contains("preflight")]


@pytest.mark.parametrize("problem", [None, {"kind": "no module", "release": "6.1", "error": ""}])
def test_the_forecast_of_a_preflight_is_documented(problem: Any) -> None:
    made = plan()
    made.options["kernel_tls"] = "must"
    can = {"ciphers": [] if problem else ["aes-256-gcm"], "no_kernel_tls": problem, "ssl": "", "no_relay": ""}
    reports: dict[str, Any] = {end: {"encryption": can, "python": "3.6.8"} for end in made.ends}
    found: Any = forecast.forecast(made, {"remote": "db1", "peer": "tapehost"}, reports)
    assert set(found) == contains("encryption")
    assert bool(problem) == bool(found["refused"])
    assert not problem or set(found["refused"]) == contains("encryption", "refused")
    for host in found["hosts"]:
        assert set(host) == contains("encryption", "hosts")
        assert not problem or set(host["problem"]) == contains("encryption", "hosts", "problem")


def test_the_kinds_of_a_forecast_are_documented() -> None:
    told = RETURN["encryption"]["contains"]["hosts"]["contains"]["problem"]["contains"]["kind"]["description"]
    assert {kind for line in told for kind in re.findall(r"V\((.*?)\)", line)} == set(sentences.KERNEL_TLS)


def test_the_fact_is_documented() -> None:
    assert contains("ansible_facts") == {fact_name(True)}
    made = {**shape(False), "peer": "tapehost"}
    assert contains("ansible_facts", "socketpipe") == set(results.summary(made))


def causes() -> Iterator[ast.Dict]:
    """The literals of a cause in the code."""
    for path in (
        "plugins/module_utils/_run/beginning.py",
        "plugins/module_utils/_run/disagreement.py",
        "plugins/module_utils/_run/forecast.py",
        "plugins/module_utils/_run/home.py",
        "plugins/module_utils/_run/verdict.py",
        "plugins/plugin_utils/_task_result.py",
        "plugins/module_utils/_run/result.py",
    ):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict) and {"kind", "host", "msg"} <= set(keys_of(node)):
                yield node


def keys_of(node: ast.Dict) -> list[Any]:
    return [key.value for key in node.keys if isinstance(key, ast.Constant)]


def test_the_cause_is_documented() -> None:
    assert contains("cause") == {key for cause in causes() for key in keys_of(cause)}


def kinds() -> set[str]:
    """Every kind of cause that the code can give."""
    given = [dict(zip(keys_of(cause), cause.values))["kind"] for cause in causes()]
    found = {str(value.value) for value in given if isinstance(value, ast.Constant)}
    found.update(KINDS["StageProblem"], set(KINDS["SideProblem"]) - {"cancelled", "not written"})  # nothing here forks
    launches = ("module_utils/_run/launch.py", "plugin_utils/_task_run.py")
    for path in (ROOT / "plugins" / name for name in launches):
        found.update(re.findall(r"self\.kind = .*\"([a-z ]+)\"$", path.read_text(encoding="utf-8"), re.M))
    return found


def test_every_kind_of_cause_is_documented() -> None:
    description = RETURN["cause"]["contains"]["kind"]["description"]
    documented = {kind for text in description for kind in re.findall(r"V\(([a-z ]+)\)", text.split(" - ")[0])}
    assert documented == kinds()


def samples(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    for name, value in values.items():
        if "sample" in value:
            yield f"{path}{name}", value["type"], value["sample"]
        yield from samples(value.get("contains", {}), f"{path}{name}.")


TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}


@pytest.mark.parametrize(("name", "kind", "sample"), list(samples(RETURN)), ids=lambda value: str(value)[:30])
def test_a_sample_has_the_type_of_its_value(name: str, kind: str, sample: Any) -> None:
    assert sample.__class__ is TYPES[kind], name


# -- examples


def tasks(block: list[dict[str, Any]], defaults: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(task, the module defaults it has), blocks and their tasks alike."""
    for task in block:
        inherited = {**defaults, **task.get("module_defaults", {}).get(GROUP, {})}
        yield task, inherited
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, []), inherited)


ALL_TASKS = list(tasks(EXAMPLES, {}))
PIPES = [(task["name"], {**defaults, **task[PIPE]}) for task, defaults in ALL_TASKS if PIPE in task]


def test_every_example_has_a_name_of_its_own_and_calls_modules_in_full() -> None:
    names = [task.get("name") for task, _defaults in ALL_TASKS]
    assert all(names) and len(set(names)) == len(names)
    for task, _defaults in ALL_TASKS:
        assert "block" in task or sum(name.count(".") == 2 for name in task) == 1, task["name"]


@pytest.mark.parametrize(("name", "args"), PIPES, ids=[name for name, _args in PIPES])
def test_the_arguments_of_an_example_are_accepted(name: str, args: dict[str, Any]) -> None:
    checked = ArgumentSpecValidator(PIPE_SPEC).validate(args)
    assert checked.error_messages == []
    values = checked.validated_parameters
    settings(values)
    fact_name(values["fact"])
    stages = {option: parse_stages(option, values[option], str.encode) for option in ("input", "remote", "output")}
    assert stages["remote"][0] and (stages["input"][0] or stages["output"][0])
    assert [warning for _stages, warnings in stages.values() for warning in warnings] == []


def test_the_examples_show_each_of_these_once_at_least() -> None:
    def shown(option: str) -> bool:
        return any(option in args for _name, args in PIPES)

    commands = [
        command
        for _name, args in PIPES
        for value in (args.get("input"), args["remote"], args.get("output"))
        for command in (value if isinstance(value, list) else [value])
        if isinstance(command, dict)
    ]
    missing = [
        option for option in ("input", "output", "peer", "peer_become", "ports", "preflight") if not shown(option)
    ]
    missing += [
        key
        for key in ("cmd", "argv", "script", "ok_rc", "early_exit", "creates")
        if not any(key in c for c in commands)
    ]
    assert missing == []


# -- the command's messages

SAYING = {"Usage", "ValueError", "OSError", "say"}  # what is called with a message


def fragments_of_messages() -> Iterator[tuple[str, str]]:
    """(file, what a message says between the words that differ), of the command's own modules."""
    for name in ("arguments", "options", "command", "login", "plain"):
        tree = ast.parse((ROOT / "plugins" / "module_utils" / "_command" / f"{name}.py").read_text(encoding="utf-8"))
        texts: list[ast.AST] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAYING:
                texts += node.args[:1]
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                texts += [node.value] if node.targets[0].attr == "error" else []
        for text in texts:
            for part in ast.walk(text):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield from ((name, piece) for piece in re.split(r"%[a-z]", part.value))


@pytest.mark.parametrize(("name", "piece"), sorted({each for each in fragments_of_messages() if len(each[1]) > 12}))
def test_every_message_of_the_command_is_in_troubleshooting(name: str, piece: str) -> None:
    text = (ROOT / "docs" / "docsite" / "rst" / "troubleshooting.rst").read_text(encoding="utf-8")
    quoted = " ".join(re.findall(r"``(.+?)``", text))
    assert piece.strip(" :") in quoted


# -- the site


def test_the_page_has_every_message_of_the_tape_modules() -> None:
    found = messages.messages()
    assert len(found) > 150 and "drive … has no tape in it" in found
    assert messages.PAGE.read_text(encoding="utf-8") == messages.page(), "make messages"


def test_each_guide_is_in_one_section_of_the_site() -> None:
    site = yaml.safe_load((ROOT / "docs/docsite/extra-docs.yml").read_text(encoding="utf-8"))
    listed = [name for section in site["sections"] for name in section["toctree"]]
    assert sorted(listed) == sorted(path.stem for path in ROOT.glob("docs/docsite/rst/*.rst"))


def test_the_options_at_a_glance_are_those_of_pipe() -> None:
    """Each option is in the table; the rest of a row is for people."""
    text = (ROOT / "docs/docsite/rst/options.rst").read_text(encoding="utf-8")
    table = text.partition("list-table::")[2].partition("\npipeline\n")[0]
    rows = [name for cell in re.findall(r"^   \* - (``.*)$", table, re.M) for name in re.findall(r"``(\w+)``", cell)]
    assert sorted(rows) == sorted(PIPE_SPEC)


# -- the tree in CONTRIBUTING.md


@pytest.mark.parametrize(
    ("folder", "place"),
    [
        ("plugins/plugin_utils", "    plugins/plugin_utils/"),
        ("plugins/module_utils/_end", "      _end/"),
        ("plugins/module_utils/_run", "      _run/"),
        ("plugins/module_utils/_command", "      _command/"),
        ("plugins/module_utils/_transfer", "      _transfer/"),
    ],
)
def test_the_tree_names_every_module_and_no_other(folder: str, place: str) -> None:
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(place + " "))
    named: set[str] = set()
    for line in lines[start + 1 :]:
        found = re.match(r" {8}([a-z_]+(?:, [a-z_]+)*) ", line)
        if not found:
            break
        named.update(found[1].split(", "))
    assert named == {path.stem for path in (ROOT / folder).glob("[_a-z]*.py") if path.stem != "__init__"}


def test_every_path_of_the_tree_exists() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## The tree\n")[2].partition("\n## ")[0]
    paths = re.findall(r"^    ([a-z_/]+/) ", tree, re.M)
    assert len(paths) > 15 and [path for path in paths if not (ROOT / path).is_dir()] == []


# -- the paths in CONTRIBUTING.md


@pytest.mark.parametrize(("title", "most"), [("How to follow a failure", 10), ("How to follow a backup", 15)])
def test_a_path_through_the_code_is_short_and_true(title: str, most: int) -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. `(\S+)`:(.*)", section, re.M)
    assert 5 < len(steps) <= most
    every = [path for top in ("plugins", "roles") for path in (ROOT / top).rglob("*") if path.is_file()]
    for name, text in steps:
        found = [path for path in every if f"/{path.relative_to(ROOT).as_posix()}".endswith(f"/{name}")]
        assert len(found) == 1, (name, found)
        code = found[0].read_text(encoding="utf-8")
        for known in re.findall(r"`([\w.]+)`", text):
            for part in known.split("."):
                assert re.search(rf"^\s*(def|class) {part}\b", code, re.M), (name, known)
