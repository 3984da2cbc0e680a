# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the tape host: the options of each subcommand, and which of their values are refused."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host import main
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import metrics

ALL = "drives,tapes,runs,archives,hosts"
# (words, the options they do not name, those they name)
PARSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("plan", {}, {}),
    (
        "sink --run R1 --host h1",
        {"level": 0, "base": None, "attempt": "", "expect": 0},
        {"run": "R1", "host": "h1"},
    ),
    (
        "sink --run R1 --host h1 --level 2 --base R0 --attempt a --expect 7",
        {},
        {"run": "R1", "host": "h1", "level": 2, "base": "R0", "attempt": "a", "expect": 7},
    ),
    ("base --run R1 --host h1", {"level": 0}, {"run": "R1", "host": "h1"}),
    ("base --run R1 --host h1 --level 2", {}, {"run": "R1", "host": "h1", "level": 2}),
    ("commit --run R1 --host h1", {}, {"run": "R1", "host": "h1"}),
    ("finish --run R1", {}, {"run": "R1"}),
    ("label --label A", {"device": "", "barcode": "", "overwrite": ""}, {"label": "A"}),
    (
        "label --label A --device d --barcode b --overwrite o",
        {},
        {"label": "A", "device": "d", "barcode": "b", "overwrite": "o"},
    ),
    ("info", {"gather": ALL, "host": "", "run": "", "tape": ""}, {}),
    (
        "info --gather runs --host h1 --run R1 --tape A",
        {},
        {"gather": "runs", "host": "h1", "run": "R1", "tape": "A"},
    ),
    ("inventory", {"rebuild": False}, {}),
    ("inventory --rebuild", {}, {"rebuild": True}),
    ("find --path p", {"host": ""}, {"path": "p"}),
    ("find --path p --host h1", {}, {"path": "p", "host": "h1"}),
    ("chain --host h1", {"as_of": "", "path": [], "early_exit": False}, {"host": "h1"}),
    (
        "chain --host h1 --as-of R1 --path p --path q --early-exit",
        {},
        {"host": "h1", "as_of": "R1", "path": ["p", "q"], "early_exit": True},
    ),
    ("source --tape A --file 3", {}, {"tape": "A", "file": 3}),
    ("verify", {"run": "", "tape": "", "host": ""}, {}),
    ("verify --run R1 --tape A --host h1", {}, {"run": "R1", "tape": "A", "host": "h1"}),
    ("awaits", {"tape": "", "run": "", "expect": 0}, {}),
    ("awaits --tape A --run R1 --expect 7", {}, {"tape": "A", "run": "R1", "expect": 7}),
    ("turn --run R1 --host h1", {"expect": 0}, {"run": "R1", "host": "h1"}),
    ("turn --run R1 --host h1 --expect 7", {}, {"run": "R1", "host": "h1", "expect": 7}),
    ("mark --label A", {"reason": "", "found": False, "location": "", "dry": False}, {"label": "A"}),
    (
        "mark --label A --reason r --found --location l --dry",
        {},
        {"label": "A", "reason": "r", "found": True, "location": "l", "dry": True},
    ),
    ("restored --host h1", {"kind": "restored", "failed": False}, {"host": "h1"}),
    ("restored --host h1 --kind drilled --failed", {}, {"host": "h1", "kind": "drilled", "failed": True}),
    ("drill", {}, {}),
    ("page", {}, {}),
    ("keep --of tape1", {}, {"of": "tape1"}),
    ("import", {}, {}),
]
NEEDED = {words.split()[0]: words for words, _defaults, _named in reversed(PARSED)}  # the first of each has no more


@pytest.mark.parametrize(("words", "defaults", "named"), PARSED, ids=[each[0] for each in PARSED])
def test_options(words: str, defaults: dict[str, Any], named: dict[str, Any]) -> None:
    name, args = main.parse(words.split())
    assert (name, vars(args)) == (words.split()[0], {**defaults, **named})


def test_options_that_are_needed() -> None:
    assert set(NEEDED) == set(main.SUBCOMMANDS)
    for name, words in NEEDED.items():
        pairs = words.split()[1:]
        for at in range(0, len(pairs), 2):
            with pytest.raises(SystemExit) as caught:
                main.parse([name, *pairs[:at], *pairs[at + 2 :]])
            assert caught.value.code == 2
    for unknown in ([], ["frobnicate"], ["restored", "--host", "h1", "--kind", "other"]):
        with pytest.raises(SystemExit) as caught:
            main.parse(unknown)
        assert caught.value.code == 2


@pytest.mark.parametrize(
    ("subcommand", "given", "refused"),
    [
        ("plan", {}, ""),
        ("info", {"tape": "", "run": "", "host": ""}, ""),
        ("info", {"tape": "A", "run": "R1", "host": "h1", "level": 9}, ""),
        ("info", {"tape": "../A"}, "tape"),
        ("info", {"run": "../R"}, "run"),
        ("info", {"host": "a/b"}, "host"),
        ("sink", {"run": "R1", "host": "h1", "level": 0}, ""),
        *((name, {"run": "", "host": "h1"}, "run") for name in ("sink", "commit", "finish", "turn")),
        *((name, {"run": "R1", "host": ""}, "host") for name in ("sink", "commit", "turn")),
        ("finish", {"run": "R1"}, ""),
        ("base", {"run": "", "host": ""}, ""),
        ("source", {"tape": ""}, "tape"),
        ("source", {"tape": "A"}, ""),
        ("sink", {"run": "R1", "host": "h1", "level": -1}, "level -1"),
        ("base", {"level": 10}, "level 10"),
    ],
)
def test_values(subcommand: str, given: dict[str, Any], refused: str) -> None:
    if not refused:
        main.check(subcommand, Namespace(**given))
        return
    with pytest.raises(Problem, match=refused):
        main.check(subcommand, Namespace(**given))


@pytest.mark.parametrize(
    ("problem", "warning"),
    [
        (None, None),
        (Problem("it is full", "make room"), "it is full: make room"),
        (OSError(5, "Input/output error", "/x"), "/x: Input/output error"),
        (OSError("odd"), "odd"),
    ],
)
def test_metrics_that_cannot_be_written(
    problem: Exception | None, warning: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer stays, with what it warns of by itself."""
    written: list[Any] = []

    def write(session: Any) -> None:
        written.append(session)
        if problem:
            raise problem

    monkeypatch.setattr(metrics, "write", write)
    session: Any = SimpleNamespace()
    for answer in ({"a": 1}, {"a": 1, "warnings": ["before"]}):
        more = [f"metrics were not written: {warning}"] if warning else []
        expected = {**answer, "warnings": [*answer.get("warnings", []), *more]} if more else answer  # type: ignore[misc]
        assert main.with_metrics(session, answer) == expected
    assert written == [session, session]
