# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that type checkers see are those of real runs; and what has a record is nowhere a mapping of anything."""

from __future__ import annotations

import copy
import typing

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import KINDS, Misfit, parse
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.result import preflight_result, shape, summary
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.verdict import Verdict
from ansible_collections.plumbing.socketpipe.tests.unit.records import PLUGINS, load, misfits
from ansible_collections.plumbing.socketpipe.tests.unit.said import LINK, NAMES, ODD, PLAN, places, real

RUNS = ["ok", "failed", "refused", "died", "skipped", "preflight"]
# where the keys are not known: what a host says, and the fields that are made of it
ANYTHING = {"_end/relay.py": 2, "_run/marked.py": 1, "_run/report.py": 2, "_run/transferred.py": 2}


END = load("module_utils/_end/records.py")
RUN = load("module_utils/_run/records.py", END)


def test_a_plan() -> None:
    for end in PLAN.ends:
        assert not misfits(PLAN.for_end(end), END["EndPlan"], RUN)
        assert not misfits(PLAN.ends[end], RUN["EndSpec"], RUN)
    assert not any(misfits(link, RUN["Joint"], RUN) for link in PLAN.links)


@pytest.mark.parametrize("kind", RUNS)
def test_what_ends_say(kind: str) -> None:
    for end, said in real()[kind].items():
        assert not misfits(said, END["Report"], RUN)
        report, wrong = parse(said, PLAN.for_end(end))
        assert not wrong and not misfits(report, END["Report"], RUN)
        assert report == said  # no end sends a field that is dropped here


@pytest.mark.parametrize("kind", RUNS)
def test_what_is_concluded(kind: str) -> None:
    outcomes = {
        end: {"report": said, "error": "", "kind": "", "cancelled": False} for end, said in real()[kind].items()
    }
    assert not any(misfits(outcome, RUN["Outcome"], RUN) for outcome in outcomes.values())
    verdict = Verdict(PLAN, outcomes, NAMES)
    result = shape(PLAN, NAMES, verdict, 1.0)
    assert not misfits(result, RUN["Result"], RUN)
    assert not misfits({**summary({**result, "peer": "tape1"})}, RUN["Summary"], RUN)
    assert not any(misfits(tried, RUN["Tried"], RUN) for tried in preflight_result(NAMES, verdict.reports))


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_parsed_with_its_fields(name: str) -> None:
    """And has a record, and no field that the record has not."""
    records = {}
    for each in typing.get_args(END[name]):
        fields = typing.get_type_hints(each, END)
        records.update({kind: set(fields) - {"kind"} for kind in typing.get_args(fields["kind"])})
    assert records == {kind: set(fields) for kind, fields in KINDS[name].items()}


@pytest.mark.parametrize("name", KINDS)
def test_a_parser_takes_nothing_that_its_field_cannot_be(name: str) -> None:
    for each in typing.get_args(END[name]):
        fields = typing.get_type_hints(each, END)
        for kind in typing.get_args(fields["kind"]):
            for field, parser in KINDS[name][kind].items():
                for value in ODD:
                    try:
                        parsed = parser(value, field)
                    except Misfit:
                        continue
                    assert not misfits(parsed, fields[field], END, f"{kind}.{field}")


@pytest.mark.parametrize("kind", RUNS)
def test_a_report_with_anything_in_its_place_is_refused_or_a_record(kind: str) -> None:
    accepted = 0
    for end, said in real()[kind].items():
        report = copy.deepcopy(said)
        for container, key in places(report):
            before = container[key]
            for value in ODD:
                container[key] = value
                parsed, wrong = parse(report, PLAN.for_end(end))
                accepted += not wrong
                assert wrong or not misfits(parsed, END["Report"], RUN)
            container[key] = before
    assert accepted


def test_a_misspelled_a_missing_and_a_wrong_field_are_seen() -> None:
    plan = PLAN.for_end("peer")
    assert misfits({**plan, "lisen": True}, END["EndPlan"], RUN) == [".lisen: unknown"]
    assert misfits({name: plan[name] for name in plan if name != "run"}, END["EndPlan"], RUN) == [".run: missing"]
    assert misfits({**plan, "links": [{**plan["links"][0], "id": 1}]}, END["EndPlan"], RUN) == [
        ".links[0].id: 1 is no str"
    ]
    assert plan["links"][0]["id"] == LINK


def test_where_the_keys_are_known_there_is_a_record() -> None:
    found: dict[str, int] = {}
    for room in ("_end", "_run"):
        for path in sorted((PLUGINS / "module_utils" / room).glob("*.py")):
            name = f"{room}/{path.name}"
            number = path.read_text(encoding="utf-8").count("dict[str, Any]")
            found.update({name: number} if number else {})
    assert not {name: number for name, number in found.items() if number > ANYTHING.get(name, 0)}
