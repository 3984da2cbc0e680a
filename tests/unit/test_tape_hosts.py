# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that options of the tape modules name: errors name the option, and a copy of the catalog says where it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.action.tape_catalog import ActionModule
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure, failure_of
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_copies, _tape_run
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._host_variables import Reachable
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._program_run import SAMPLE, command, plan_of_two
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_action import option
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_run import Network

HOSTS = ["tape1", "h1", "h2"]


def action(mode: str, *hosts: str) -> Any:
    made: Any = ActionModule.__new__(ActionModule)
    made._task = SimpleNamespace(check_mode=False, no_log=False)
    made.task_vars, made.tape_host = {"hostvars": {}}, "tape1"
    made.args = {"mode": mode, "tape_catalog_hosts": list(hosts), "tape_become": False, "tape_catalog_dir": "/c"}
    made.args.update(tape_catalog_from="nowhere", tape_copy_of="", tape_devices=[])
    made.__dict__["tape"] = made.show = lambda *_given: None
    return made


def refuse(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Copies of the catalog to these hosts fail."""

    def copy(_action: Any, name: str) -> None:
        if name in names:
            raise Failure("busy", "its disk is full", name, named=True)

    patch.setattr(_tape_copies, "copy_catalog_to", copy)


def test_a_copy_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch)
    result = action("copy", *HOSTS).work()
    assert (result["msg"], result["notes"]) == ("copied the catalog of tape1 to h1, h2", [])
    refuse(monkeypatch, "h1")
    result = action("copy", *HOSTS).work()
    assert result["msg"] == "copied the catalog of tape1 to 1 of 2 hosts: h2" and result["changed"]
    assert result["notes"] == ["the catalog was not copied to h1: h1: its disk is full"]


@pytest.mark.parametrize(("hosts", "kind", "text"), [
    (["tape1"], "settings", "tape_catalog_hosts: name a host for the copy, other than tape1"),
    (["h1"], "busy", "the catalog was not copied to h1: h1: its disk is full"),
])  # fmt: skip
def test_no_copy_is_a_failure(monkeypatch: pytest.MonkeyPatch, hosts: list[str], kind: str, text: str) -> None:
    refuse(monkeypatch, "h1")
    with pytest.raises(Failure) as caught:
        action("copy", *hosts).work()
    assert (caught.value.kind, caught.value.msg) == (kind, text)


@pytest.mark.parametrize(("mode", "option"), [("copy", "tape_catalog_hosts"), ("import", "tape_catalog_from")])
def test_an_unknown_host_and_the_option_that_names_it(mode: str, option: str) -> None:
    with pytest.raises(Failure) as caught:
        action(mode, "nowhere").work()
    assert caught.value.kind == "settings"
    assert caught.value.msg.endswith(f"{option}: there is no host 'nowhere' in the inventory")


def test_a_copy_may_lag_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """tar ends with 1 if another job replaced a file while it was read."""
    asked: list[Any] = []
    monkeypatch.setattr(_tape_copies, "stream", lambda *given: asked.extend(given))
    made = action("copy", "h1")
    for name, value in (("settings", {}), ("network", Network([], "auto", [], 30))):
        monkeypatch.setattr(ActionModule, name, value)
    made.another = lambda *given: given
    _tape_copies.copy_catalog_to(made, "h1")
    (_tape, source), (other, sink), _network, *ends = asked
    assert source["argv"][:2] == ["tar", "--create"] and source["ok_rc"] == [0, 1]
    assert (other, sink["name"], ends) == (("h1", "tape_catalog_hosts"), "the copy", ["source", "keep"])


@pytest.mark.parametrize(("limit", "refused"), [(0, False), (60, True)])
def test_no_task_is_asynchronous(limit: int, refused: bool) -> None:
    made = action("copy")
    made._task = SimpleNamespace(
        action="plumbing.socketpipe.tape_catalog", async_val=limit, run_once=False, _parent=None
    )
    if not refused:
        made.check_how()
        return
    with pytest.raises(Failure, match="^tape_catalog does not support async: use the task's timeout to limit a long "):
        made.check_how()


@pytest.mark.parametrize(("value", "words"), [(None, []), ("", []), (0, ["--level=0"]), ("x", ["--level=x"])])
def test_an_option_without_a_value_is_not_given(value: object, words: list[str]) -> None:
    assert option("level", value) == words


@pytest.mark.parametrize(("progress", "samples"), [(True, [SAMPLE, 0.0]), (False, [0.0, 0.0])])
def test_an_exec_reports_no_samples(progress: bool, samples: list[float]) -> None:
    """They would arrive with its end."""
    hosts: dict[str, Any] = {"source": SimpleNamespace(executor=None), "sink": SimpleNamespace(executor=1)}
    stages = [(end, command(end, ["true"])) for end in hosts]
    plan = plan_of_two({}, hosts, stages, ["sink"], progress)
    assert [(end["sample"], end["listen"]) for end in plan.ends.values()] == list(zip(samples, (False, True)))


PROBLEM = 'tar: x\n{"problem": {"kind": "busy", "msg": "in\\u0007 use"}}\n'


@pytest.mark.parametrize(
    ("stage", "stderr", "kind", "msg"),
    [
        ("sink", PROBLEM, "busy", r"tape1: in\x07 use"),
        ("sink", PROBLEM + "more", "failed", "sink failed"),
        ("sink", '{"problem": {"kind": "busy"}}', "failed", "sink failed"),
        ("sink", None, "failed", "sink failed"),
        ("", PROBLEM, "failed", "sink failed"),
    ],
)
def test_a_failure_is_what_the_program_reports(stage: str, stderr: str | None, kind: str, msg: str) -> None:
    """Or else what the engine found."""
    verdict: Any = SimpleNamespace(stages={"sink": {"stderr": stderr}}, started=True)
    cause: Any = {"kind": "failed", "msg": "sink failed", "host": "tape1", "stage": stage}
    found = failure_of(verdict, cause)
    assert (found.kind, found.host, found.started) == (kind, "tape1", True)
    assert found.msg == msg


def test_hosts_without_addresses() -> None:
    """As behind aliases that only ssh knows: the option to set is one of the tape modules."""
    plain = {"executor": 1, "on_controller": False, "addresses": [], "given": Reachable()}
    hosts: list[Any] = [SimpleNamespace(name=name, **plain) for name in HOSTS]
    stages = [command(name, ["true"]) for name in ("from", "to")]
    for listen in ("auto", "peer"):
        with pytest.raises(Failure) as caught:
            network = Network([], listen, [], 30)
            _tape_run.stream((hosts[0], stages[0]), (hosts[1], stages[1]), network, "source", "keep")
        assert caught.value.msg.endswith("has an address that the other could dial: set tape_address")
