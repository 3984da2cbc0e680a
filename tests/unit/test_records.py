# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that type checkers see are those of real runs; and what has a record is nowhere a mapping of anything."""

from __future__ import annotations

import ast
import types
import typing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import KINDS, parse
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.result import preflight_result, shape, summary
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.verdict import Verdict
from ansible_collections.plumbing.socketpipe.tests.unit.said import LINK, NAMES, PLAN, real

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
RUNS = ["ok", "failed", "refused", "died", "skipped", "preflight"]
# where the keys are not known: what a host says, and the fields that are made of it
ANYTHING = {"_end/ktls_trial.py": 1, "_end/relay.py": 2, "_end/wire.py": 1, "_run/report.py": 2}


def load(path: str, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """The names of a module that only type checkers load."""
    text = (PLUGINS / "module_utils" / path).read_text(encoding="utf-8")
    assert text.count("TYPE_CHECKING = False") == 1
    tree = ast.parse(text.replace("TYPE_CHECKING = False", "TYPE_CHECKING = True"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            node.body = [each for each in node.body if not (isinstance(each, ast.ImportFrom) and each.level)]
    names = {**(known or {}), "__name__": path}
    exec(compile(tree, path, "exec", dont_inherit=True), names)
    return names


END = load("_end/records.py")
RUN = load("_run/records.py", END)


def misfits(value: Any, kind: Any, where: str = "") -> list[str]:
    """The places where a value is not of this kind."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return [] if value in args else [f"{where}: {value!r} is none of {args}"]
    if origin is typing.NotRequired:
        return misfits(value, args[0], where)
    if origin in (typing.Union, types.UnionType):
        found = [misfits(value, each, where) for each in args]
        return [] if [] in found else found[0]
    plain: Any = origin or (dict if typing.is_typeddict(kind) else kind)
    if type(value) is not plain and not (plain is float and type(value) is int):
        return [f"{where}: {value!r} is no {plain.__name__}"]
    if origin is list:
        return [text for n, item in enumerate(value) for text in misfits(item, args[0], f"{where}[{n}]")]
    if origin is dict:
        return [text for key, item in value.items() for text in misfits(item, args[1], f"{where}[{key!r}]")]
    if typing.is_typeddict(kind):
        fields = typing.get_type_hints(kind, RUN, include_extras=True)
        wrong = [f"{where}.{name}: missing" for name in sorted(kind.__required_keys__ - set(value))]
        wrong += [f"{where}.{name}: unknown" for name in value if name not in fields]
        inner = [misfits(item, fields[name], f"{where}.{name}") for name, item in value.items() if name in fields]
        return sum(inner, wrong)
    return []


def test_a_plan() -> None:
    for end in PLAN.ends:
        assert not misfits(PLAN.for_end(end), END["EndPlan"])
        assert not misfits(PLAN.ends[end], RUN["EndSpec"])
    assert not any(misfits(link, RUN["Joint"]) for link in PLAN.links)


@pytest.mark.parametrize("kind", RUNS)
def test_what_ends_say(kind: str) -> None:
    for end, said in real()[kind].items():
        assert not misfits(said, END["Report"])
        report, wrong = parse(said, PLAN.for_end(end))
        assert not wrong and not misfits(report, END["Report"])


@pytest.mark.parametrize("kind", RUNS)
def test_what_is_concluded(kind: str) -> None:
    outcomes = {
        end: {"report": said, "error": "", "kind": "", "cancelled": False} for end, said in real()[kind].items()
    }
    assert not any(misfits(outcome, RUN["Outcome"]) for outcome in outcomes.values())
    verdict = Verdict(PLAN, outcomes, NAMES)
    result = shape(PLAN, NAMES, verdict, 1.0)
    assert not misfits(result, RUN["Result"])
    assert not misfits({**summary({**result, "peer": "tape1"})}, RUN["Summary"])
    assert not any(misfits(tried, RUN["Tried"]) for tried in preflight_result(NAMES, verdict.reports))


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_parsed_with_its_fields(name: str) -> None:
    """And has a record, and no field that the record has not."""
    records = {}
    for each in typing.get_args(END[name]):
        fields = typing.get_type_hints(each, END)
        records.update({kind: set(fields) - {"kind"} for kind in typing.get_args(fields["kind"])})
    assert records == {kind: set(fields) for kind, fields in KINDS[name].items()}


def test_a_misspelled_a_missing_and_a_wrong_field_are_seen() -> None:
    plan = PLAN.for_end("peer")
    assert misfits({**plan, "lisen": True}, END["EndPlan"]) == [".lisen: unknown"]
    assert misfits({name: plan[name] for name in plan if name != "run"}, END["EndPlan"]) == [".run: missing"]
    assert misfits({**plan, "links": [{**plan["links"][0], "id": 1}]}, END["EndPlan"]) == [".links[0].id: 1 is no str"]
    assert plan["links"][0]["id"] == LINK


def test_where_the_keys_are_known_there_is_a_record() -> None:
    found: dict[str, int] = {}
    for room in ("_end", "_run"):
        for path in sorted((PLUGINS / "module_utils" / room).glob("*.py")):
            name = f"{room}/{path.name}"
            number = path.read_text(encoding="utf-8").count("dict[str, Any]")
            found.update({name: number} if number else {})
    assert not {name: number for name, number in found.items() if number > ANYTHING.get(name, 0)}
