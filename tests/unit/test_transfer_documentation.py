# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of transfer against its code."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import transferred, verdict
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._transfer import files
from ansible_collections.plumbing.socketpipe.plugins.modules import pipe, transfer
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import (
    _transfer_result,
    _transfer_run,
)
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import OptionError
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._transfer_options import (
    OF_LINK,
    TRANSFER_SPEC,
    parse_mode,
)

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTATION = yaml.safe_load(transfer.DOCUMENTATION)
EXAMPLES = yaml.safe_load(transfer.EXAMPLES)
RETURN = yaml.safe_load(transfer.RETURN)
TRANSFER = "plumbing.socketpipe.transfer"
COMPARED = ("type", "default", "choices", "elements", "required")


def test_every_option_is_documented_as_it_is() -> None:
    options = DOCUMENTATION["options"]
    assert {
        name: {key: told[key] for key in COMPARED if key in told} for name, told in options.items()
    } == TRANSFER_SPEC
    of_pipe = yaml.safe_load(pipe.DOCUMENTATION)["options"]
    for name in OF_LINK:
        assert {key: options[name].get(key) for key in COMPARED} == {key: of_pipe[name].get(key) for key in COMPARED}


def test_the_options_at_a_glance_are_those_of_transfer() -> None:
    """Those of pipe are in the sentence before the table, the others in its rows; the rest of a row is for people."""
    text = (ROOT / "docs/docsite/rst/options.rst").read_text(encoding="utf-8").partition("\ntransfer\n")[2]
    sentence, _list, table = text.partition(".. list-table::")
    rows = re.findall(r"^   \* - (``.*)$", table, re.M)
    assert sorted(set(re.findall(r"``(\w+)``", sentence)) - {"pipe"}) == sorted(OF_LINK)
    assert sorted(re.findall(r"``(\w+)``", " ".join(rows))) == sorted(set(TRANSFER_SPEC) - set(OF_LINK))


@pytest.mark.parametrize("task", EXAMPLES, ids=lambda task: task["name"])
def test_every_example_is_accepted(task: dict[str, Any]) -> None:
    validated = ArgumentSpecValidator(TRANSFER_SPEC).validate(task[TRANSFER])
    assert validated.error_messages == []
    parse_mode(task[TRANSFER].get("mode"))
    assert "%s" in task[TRANSFER].get("validate", "%s")


OF_JOBS = {"ansible_job_id", "results_file", "progress", "censored"}  # with async, and with no_log


def test_the_result_is_documented() -> None:
    failed = transferred.failed("no room", "there is none", "h1")
    found = {"size": 1, "mtime": 1, "owner": "root", "group": "root", "uid": 0, "gid": 0, "mode": 0o640}
    look = {"do": "move", "path": "/to", "current": None}
    sides: Any = SimpleNamespace(hosts={side: SimpleNamespace(name=side) for side in ("source", "destination")})
    shape = _transfer_result.shape(sides, {"path": "/from", "sha256": None}, look, found, None)
    by_the_action = {"peer", "elapsed", "backup_file"}
    assert set(failed) - {"failed"} == set(shape) | by_the_action == set(RETURN) - OF_JOBS
    assert set(failed["cause"]) == set(RETURN["cause"]["contains"])
    assert shape["mode"] == "0640"


@pytest.mark.parametrize(
    "kind",
    [
        *(files.NOT_A_FILE, files.NOT_PERMITTED, files.READ_ONLY, files.NO_ROOM, files.CHANGED, files.INCOMPLETE),
        files.STOPPED,
        *(
            files.REPLACED,
            files.VALIDATION,
            problem.NOT_FOUND,
            problem.BUSY,
            problem.SETTINGS,
            problem.NO_TOOL,
            "options",
            "answer",
        ),
    ],
)
def test_every_kind_is_documented(kind: str) -> None:
    assert f"V({kind})" in " ".join(RETURN["cause"]["contains"]["kind"]["description"])


def test_advice_names_options() -> None:
    assert set(_transfer_run.ADVICE) < set(verdict.ADVICE)
    assert {_transfer_run.ADVICE[key] for key in ("timeout", "stalled")} <= set(TRANSFER_SPEC)


LINK: Any = {"id": "1", "source": "source", "destination": "destination"}
MAYBE = "why. /to may have been replaced: it is the old or the new file, and complete"


@pytest.mark.parametrize(("sink", "source", "kind", "changed", "end"), [
    (None, 0, "link", True, MAYBE),
    ({"rc": None, "signal": None}, 0, "link", False, "why"),
    ({"rc": 1, "signal": None}, 0, "no room", False, "why"),
    ({"rc": 1, "signal": None}, 0, "replaced", True, "why"),
    ({"rc": None, "signal": 9}, 0, "failed", True, MAYBE),
    ({"rc": None, "signal": 9}, "no report", "end", True, MAYBE),
    ({"rc": None, "signal": 9}, 1, "failed", False, "why"),
    ({"rc": None, "signal": 9}, None, "failed", False, "why"),
    ({"rc": 0, "signal": None}, 0, "link", True, "why. But /to was complete, and has been replaced"),
])  # fmt: skip
def test_a_failure_says_what_is_there(
    sink: dict[str, Any] | None, source: int | str | None, kind: str, changed: bool, end: str
) -> None:
    """``source``: its exit status, None for a signal."""
    stages = {} if sink is None else {"destination": sink}
    if source != "no report":
        stages["source"] = {"rc": source, "signal": 9 if source is None else None}
    # an end breaks the link of a sink that was killed, whether or not it had been read to its end
    found: Any = SimpleNamespace(stages=stages, started=True, sides={("1", "R"): {"state": "aborted"}})
    failure = transferred.after_failure(found, Failure(kind, "why", "h1"), "/to", LINK)
    assert (failure.started, failure.msg) == (changed, end)


def test_a_failure_before_anything_runs() -> None:
    found: Any = SimpleNamespace(stages={}, started=False, sides={})
    failure = transferred.after_failure(found, Failure("link", "why", "h1"), "/to", LINK)
    assert (failure.started, failure.msg) == (False, "why")


def test_what_both_sides_know() -> None:
    assert (transferred.REPLACED, transferred.STOPPED) == (files.REPLACED, files.STOPPED)
    assert transferred.FAILED == problem.FAILED


def test_it_is_in_the_action_group() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    assert "transfer" in groups["all"]


@pytest.mark.parametrize(
    ("given", "mode"),
    [(None, None), ("preserve", "preserve"), ("0640", 0o640), ("640", 0o640), ("0o4755", 0o4755), (0o640, 0o640)],
)
def test_modes(given: Any, mode: Any) -> None:
    assert parse_mode(given) == mode


@pytest.mark.parametrize("given", ["u=rw", "0888", "12345", True, 0o10000, -1, 1.5, ["0640"]])
def test_what_is_no_mode(given: Any) -> None:
    with pytest.raises(OptionError) as caught:
        parse_mode(given)
    assert str(caught.value) == f"mode: {given!r} is neither an octal number such as '0640' nor preserve"
