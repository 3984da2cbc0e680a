# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of a pipeline, as a task may have them, and one sentence for each that it may not."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.written import after_failure
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _pipeline_run
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._connections import NO_BECOME, UNKNOWN, HostError
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._pipeline_options import (
    ALONE,
    KEYS,
    Stage,
    parse_chain,
    parse_pipeline,
)
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import OptionError

HERE: dict[str, Any] = {"cmd": "cat"}


def parsed(*items: Any) -> list[Stage]:
    stages, _warnings = parse_pipeline(items)
    return stages


def test_what_a_stage_may_be() -> None:
    """A command in each form, on the task's host unless it has another."""
    stages = parsed(
        "tar cf - '/my files'",
        ["tr", "d", "D"],
        {"host": "h2", "argv": ["cat"], "name": "copy", "become": "yes", "become_user": "postgres", "ok_rc": [0, 1]},
        {"host": "localhost", "shell": "cat", "become": False, "early_exit": True, "environment": {"A": 1}},
        {"cmd": "cat", "name": 7, "host": None, "become": None, "chdir": "/tmp", "creates": "/x"},
    )
    assert [stage.command["argv"] for stage in stages] == [
        ["tar", "cf", "-", "/my files"],
        ["tr", "d", "D"],
        ["cat"],
        ["/bin/sh", "-c", "cat"],
        ["cat"],
    ]
    assert [stage.command["name"] for stage in stages] == ["stages[0]", "stages[1]", "copy", "stages[3]", "7"]
    assert [(stage.host, stage.become, stage.become_user) for stage in stages] == [
        ("", None, None),
        ("", None, None),
        ("h2", True, "postgres"),
        ("localhost", False, None),
        ("", None, None),
    ]
    assert (stages[2].command["ok_rc"], stages[3].command["early_exit"]) == ([0, 1], True)
    assert (stages[3].command["environment"], stages[4].command["chdir"]) == ({"A": "1"}, "/tmp")


def test_a_path_is_read_first_and_written_last() -> None:
    first, last = parsed({"path": "~/a b", "creates": "/x"}, {"path": "/to", "host": "h2", "removes": "/y"})
    assert (first.command["argv"], last.command["argv"]) == (["read", "~/a b"], ["write", "/to"])
    assert (first.command["creates"], last.command["removes"]) == ("/x", "/y")
    assert (first.command.get("blocks"), last.command.get("blocks")) == (None, True)
    for stage in (first, last):
        assert stage.command["program"] and stage.command["launcher"][0] is None
        assert stage.command["name"] == stage.option and "keep" not in stage.command


def test_a_chain_that_goes_on_elsewhere() -> None:
    """As that of a branch: where it begins or ends in the middle, no file can be."""
    stages, _warnings = parse_chain("stages[2].branches[0]", [{"path": "/to"}], str.encode, first=False)
    assert (stages[0].option, stages[0].command["argv"]) == ("stages[2].branches[0][0]", ["write", "/to"])
    with pytest.raises(OptionError):
        parse_chain("stages", [{"path": "/to"}], str.encode, first=False, last=False)


FORMS = "cmd, argv, shell, script, path"


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([], "stages: there is none"),
        ([HERE], ALONE),
        ([HERE, 7], f"stages[1]: give a mapping with one of {FORMS}, a command as a string, or a list of words; "
         "not the number 7"),
        ([HERE, []], f"stages[1]: give a mapping with one of {FORMS}, a command as a string, or a list of words; "
         "not a list"),
        ([HERE, [[HERE]]], f"stages[1]: give a mapping with one of {FORMS}, a command as a string, or a list of "
         "words; not a list of mixed things"),
        ([HERE, {}], f"stages[1]: give exactly one of {FORMS}; found none"),
        ([HERE, {"host": "h2"}], f"stages[1]: give exactly one of {FORMS}; found none"),
        ([HERE, {"cmd": "cat", "path": "/x"}], f"stages[1]: give exactly one of {FORMS}; found cmd and path together"),
        ([HERE, {"cmd": "cat", "peer": "h2"}],
         f"stages[1]: unknown setting peer; valid settings: {', '.join(KEYS)}"),
        ([HERE, {"branches": [[HERE]]}],
         f"stages[1]: unknown setting branches; valid settings: {', '.join(KEYS)}"),
        ([HERE, {"cmd": "cat '"}], "stages[1]: unbalanced quotes in \"cat '\" (No closing quotation)"),
        ([{"shell": ""}, HERE], "stages[0]: the command is empty"),
        ([HERE, {"cmd": "cat", "host": ""}], "stages[1]: host: '' is not the name of a host"),
        ([HERE, {"cmd": "cat", "host": ["h2"]}], "stages[1]: host: ['h2'] is not the name of a host"),
        ([HERE, {"cmd": "cat", "become": "maybe"}], "stages[1]: become: 'maybe' is neither true nor false"),
        ([HERE, {"cmd": "cat", "become_user": 7}], "stages[1]: become_user: 7 is not the name of a user"),
        ([HERE, {"cmd": "cat", "become": False, "become_user": "x"}], "stages[1]: become_user needs become: true"),
        ([{"cmd": "cat", "name": "x"}, {"cmd": "cat", "name": "x"}],
         "stages[1]: name: 'x' is already the name of stages[0]"),
        ([HERE, {"cmd": "cat", "name": "stages[0]"}], "stages[1]: name: 'stages[0]' is already the name of stages[0]"),
        *(
            ([HERE, {"cmd": "cat", "name": name}], f"stages[1]: name: {name!r} is not a name: give 1 to 64 printable "
             "characters, none of them →")
            for name in ("", " ", "a\nb", "a → b", "x" * 65)
        ),
        ([HERE, {"path": "/x"}, HERE],
         "stages[1]: path: only the first stage can read a file, and only the last can write one"),
        ([{"path": ""}, HERE], "stages[0]: path: the path is empty"),
        ([{"path": ["/x"]}, HERE], "stages[0]: path: ['/x'] is not a path"),
        ([HERE, {"path": "/x\0"}], "stages[1]: path: '/x\\x00' is not a path"),
        ([HERE, {"path": "/x", "ok_rc": [1]}], "stages[1]: ok_rc: only valid with a command, not with path"),
        ([HERE, {"path": "/x", "environment": {}}], "stages[1]: environment: only valid with a command, not with path"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(items: list[Any], sentence: str) -> None:
    with pytest.raises(OptionError, match="^" + re.escape(sentence) + "$"):
        parsed(*items)


def test_a_warning_names_the_stage() -> None:
    _stages, warnings = parse_pipeline([HERE, {"name": "x", "shell": "cat | cat"}])
    assert [warning.split(":", maxsplit=1)[0] for warning in warnings] == ["stages[1]"]


# -- ends


def host(name: str, *user: str) -> Any:
    return SimpleNamespace(name=name, user=user or ("", ""), executor=name)


def ends(monkeypatch: pytest.MonkeyPatch, own: Any) -> _pipeline_run.Ends:
    """Hosts of an inventory on which sudo is the become method; ``root`` has become in its variables."""

    def as_user(_action: Any, name: str, _vars: Any, become: bool | None, user: str | None) -> Any:
        if name == "gone":
            raise HostError("there is no host 'gone' in the inventory", UNKNOWN)
        become = name == "root" if become is None else become
        if user and not become:
            raise HostError("a become user is given", NO_BECOME)
        return host(name, *(("sudo", user or "root") if become else ()))

    monkeypatch.setattr(_pipeline_run.hosts_of, "as_user", as_user)
    folder = SimpleNamespace(get_basedir=lambda: "/play")
    action: Any = SimpleNamespace(_loader=folder)
    return _pipeline_run.Ends(action, own, {"hostvars": {}})


def stage(name: str = "", become: bool | None = None, user: str | None = None) -> Stage:
    command: Any = {"name": "x"}
    return Stage("stages[3]", name, become, user, command)


def test_an_end_for_each_host_and_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever way a stage says it; the task's own host keeps the task's connection."""
    own = host("h1")
    made = ends(monkeypatch, own)
    asked = [
        *(stage(), stage("h1"), stage("h1", False), stage("h2"), stage("h2", True), stage("h2", True, "root")),
        *(stage("h2", True, "db"), stage("root"), stage("root", True), stage("root", False), stage(become=True)),
    ]
    assert [made.end_of(each) for each in asked] == [
        *("end1", "end1", "end1", "end2", "end3", "end3"),
        *("end4", "end5", "end5", "end6", "end7"),
    ]
    assert made.hosts["end1"] is own
    assert [(each.name, *each.user) for each in made.hosts.values()] == [
        ("h1", "", ""),
        ("h2", "", ""),
        ("h2", "sudo", "root"),
        ("h2", "sudo", "db"),
        ("root", "sudo", "root"),
        ("root", "", ""),
        ("h1", "sudo", "root"),
    ]


@pytest.mark.parametrize("own", ["h1", "localhost"])
def test_the_controller_needs_no_connection(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    """Unless it is the task's host, whose connection is there; or another user is wanted."""
    made = ends(monkeypatch, host(own))
    asked = [stage("localhost"), stage("localhost", False), stage("localhost", True)]
    assert [made.end_of(each) for each in asked] == ["end1", "end1", "end2"]
    assert [each.user for each in made.hosts.values()] == [("", ""), ("sudo", "root")]
    assert [each.executor for each in made.hosts.values()] == [None if own == "h1" else own, "localhost"]


def test_the_become_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of the stages on its host, unless they say otherwise."""
    made = ends(monkeypatch, host("h1", "sudo", "root"))
    asked = [
        stage(),
        stage("h1", True),
        stage("h1", True, "root"),
        stage("h1", user="db"),
        stage(become=False),
        stage("h2"),
    ]
    assert [made.end_of(each) for each in asked] == ["end1", "end1", "end1", "end2", "end3", "end4"]
    assert [each.user for each in made.hosts.values()] == [("sudo", "root"), ("sudo", "db"), ("", ""), ("", "")]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (stage("gone"), "stages[3]: host: there is no host 'gone' in the inventory"),
        (stage("h2", user="db"), "stages[3]: become_user needs become: true"),
        (stage(user="db"), "stages[3]: become_user needs become: true"),
    ],
)
def test_hosts_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, asked: Stage, sentence: str) -> None:
    made = ends(monkeypatch, host("h1"))
    with pytest.raises(OptionError, match="^" + re.escape(sentence) + "$"):
        made.end_of(asked)


def test_the_environment_of_the_task_is_for_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every user there, and no other host."""
    made = ends(monkeypatch, host("h1"))
    stages = parsed("true", {"become": True, "cmd": "cat", "environment": {"B": "own"}}, {"host": "h2", "cmd": "cat"})
    plan = _pipeline_run.make_plan({}, stages, made, {"A": "task", "B": "task"}, False)
    assert [plan.stage(f"stages[{number}]")["environment"] for number in range(3)] == [
        {"A": "task", "B": "task"},
        {"A": "task", "B": "own"},
        {},
    ]
    assert [(link["writer"], link["reader"]) for link in plan.links] == [("end1", "end2"), ("end2", "end3")]


def test_a_host_that_comes_back_has_one_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ends(monkeypatch, host("h1"))
    stages = parsed("true", "cat", {"host": "h2", "cmd": "cat"}, "cat")
    plan = _pipeline_run.make_plan({}, stages, made, {}, True)
    assert [(link["writer"], link["reader"]) for link in plan.links] == [
        ("end1", "end1"),
        ("end1", "end2"),
        ("end2", "end1"),
    ]
    assert [end["listen"] for end in plan.ends.values()] == [True, True]
    alone = _pipeline_run.make_plan({}, parsed("true", "cat"), ends(monkeypatch, host("h1")), {}, True)
    assert [end["listen"] for end in alone.ends.values()] == [False], "there is nobody to wait for"


# -- what a failure says of a file


MAYBE = ". /to on h2 may have been replaced"


@pytest.mark.parametrize(("found", "state", "started", "said"), [
    (None, "", False, ""),
    (None, "", True, MAYBE),
    ({"rc": None, "signal": None}, "", True, ""),
    ({"rc": 1, "signal": None}, "read", True, ""),
    ({"rc": -9, "signal": 9}, "reset", True, ""),
    ({"rc": -9, "signal": 9}, "read", True, MAYBE),
    ({"rc": 0, "signal": None}, "read", True, ". But /to on h2 has been replaced"),
])  # fmt: skip
def test_a_failure_says_what_is_there(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any] | None, state: str, started: bool, said: str
) -> None:
    stages = parsed("true", {"host": "h2", "path": "/to"})
    plan = _pipeline_run.make_plan({}, stages, ends(monkeypatch, host("h1")), {}, False)
    verdict: Any = SimpleNamespace(
        stages={} if found is None else {"stages[1]": found},
        plan=plan,
        sides={(plan.links[0]["id"], "R"): {"state": state}} if state else {},
        started=started,
        hosts={"end1": "h1", "end2": "h2"},
        end_of={"stages[0]": "end1", "stages[1]": "end2"},
    )
    assert [stage.writes for stage in stages] == ["", "/to"]
    writes = {stage.command["name"]: stage.writes for stage in stages if stage.writes}
    assert after_failure(verdict, writes) == said and after_failure(verdict, writes, ["stages[0]"]) == ""
