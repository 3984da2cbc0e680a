# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of pipeline against its code, and against that of pipe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import verdict
from ansible_collections.plumbing.socketpipe.plugins.modules import pipe, pipeline
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _pipeline_run
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._pipeline_fork import FORK_KEYS, parse_forked
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._pipeline_options import (
    KEYS,
    OF_PIPE,
    PIPELINE_SPEC,
)
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import PIPE_SPEC, fact_name, settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTATION = yaml.safe_load(pipeline.DOCUMENTATION)
EXAMPLES = yaml.safe_load(pipeline.EXAMPLES)
RETURN = yaml.safe_load(pipeline.RETURN)
OF_PIPES = yaml.safe_load(pipe.RETURN)
PIPELINE = "plumbing.socketpipe.pipeline"
COMPARED = ("type", "default", "choices", "elements", "required")


def test_every_option_is_documented_as_it_is() -> None:
    options = DOCUMENTATION["options"]
    assert {
        name: {key: told[key] for key in COMPARED if key in told} for name, told in options.items()
    } == PIPELINE_SPEC
    of_pipe = yaml.safe_load(pipe.DOCUMENTATION)["options"]
    for name in OF_PIPE:
        assert {key: options[name].get(key) for key in COMPARED} == {key: of_pipe[name].get(key) for key in COMPARED}


def test_the_options_at_a_glance_are_those_of_pipeline() -> None:
    """The page names those of pipe that it has not; the table has the settings of a stage."""
    text = (ROOT / "docs/docsite/rst/options.rst").read_text(encoding="utf-8").partition("\npipeline\n")[2]
    sentence, _list, table = text.partition("\ntransfer\n")[0].partition(".. list-table::")
    without = re.findall(r"``(\w+)``", sentence.partition("without")[2])
    assert sorted(without) == sorted(set(PIPE_SPEC) - set(PIPELINE_SPEC))
    rows = re.findall(r"^   \* - (``.*)$", table, re.M)
    assert sorted(re.findall(r"``(\w+)``", " ".join(rows))) == sorted(KEYS)


@pytest.mark.parametrize("key", [*KEYS, *FORK_KEYS])
def test_every_setting_of_a_stage_is_described(key: str) -> None:
    assert f"C({key}) (" in " ".join(DOCUMENTATION["options"]["stages"]["description"])


def flat(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, str]]:
    """(name, type, elements) of each value."""
    for name, value in values.items():
        yield f"{path}{name}", value["type"], value.get("elements", "")
        yield from flat(value.get("contains", {}), f"{path}{name}.")


def test_the_result_has_the_shape_of_that_of_pipe() -> None:
    """But for the peer, which a pipeline has not, and for branches, which a pipe has not."""
    peers = {("peer", "str", ""), ("ansible_facts.socketpipe.peer", "str", "")}
    branches = set(flat({"branches": RETURN["branches"]}))
    assert set(flat(RETURN)) - branches == set(flat(OF_PIPES)) - peers
    assert {name.partition(".")[2] for name, _type, _elements in branches} == {"", "name", "host", "ok", "cause"}


def test_the_same_kinds_of_causes_as_of_pipe() -> None:
    def kinds(returned: Any) -> Any:
        return returned["cause"]["contains"]["kind"]["description"]

    own = [text for text in kinds(RETURN) if text.startswith("V(not written)")]
    assert len(own) == 1 and kinds(RETURN) == sorted([*kinds(OF_PIPES), *own], key=kinds(RETURN).index)


def tasks(block: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in block:
        yield task
        for part in ("block", "rescue"):
            yield from tasks(task.get(part, []))


PIPELINES = [task for task in tasks(EXAMPLES) if PIPELINE in task]


@pytest.mark.parametrize("task", PIPELINES, ids=lambda task: task["name"])
def test_every_example_is_accepted(task: dict[str, Any]) -> None:
    checked = ArgumentSpecValidator(PIPELINE_SPEC).validate(task[PIPELINE])
    assert checked.error_messages == []
    values = checked.validated_parameters
    settings(values)
    fact_name(values["fact"])
    stages, fork, warnings = parse_forked(values["stages"], str.encode)
    assert warnings == []
    everywhere = all(stage.host for stage in [*stages, *(fork.stages() if fork else [])])
    once = task.get("run_once", False) or "ansible_play_hosts_all[0]" in task.get("when", "")
    assert everywhere == once, "a task whose stages all have a host runs once"


def test_the_examples_show_each_of_these() -> None:
    keys = {key for task in PIPELINES for stage in task[PIPELINE]["stages"] for key in stage}
    assert {"host", "name", "path", "cmd", "argv", "become", "become_user", "ok_rc", "chdir"} <= keys
    options = {key for task in PIPELINES for key in task[PIPELINE]}
    assert {"preflight", "encryption", "rate_limit"} <= options
    assert {"run_once", "become", "throttle"} <= {key for task in PIPELINES for key in task}


def test_advice_names_options_and_variables() -> None:
    advice = _pipeline_run.ADVICE
    assert set(advice) == set(verdict.ADVICE)
    assert {advice["timeout"], advice["stalled"]} <= set(PIPELINE_SPEC)
    assert "preflight" in PIPELINE_SPEC and "preflight: true" in advice["not_connected"]


def test_it_is_in_the_action_group() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    assert "pipeline" in groups["all"]
