# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the tape programs' answers, which only type checkers see, are those of real answers.

And of what the parsers accept, whatever a host sends.
"""

from __future__ import annotations

import base64
import copy
import json
import typing
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import Misfit
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_answers import ANSWERS
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_run import answer_of
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Host
from ansible_collections.plumbing.socketpipe.tests.unit.records import load, misfits
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

ANSWER_RECORDS = load("module_utils/_tape/answers.py", load("module_utils/_end/records.py"))
RECORDS = load("plugin_utils/_tape_records.py", ANSWER_RECORDS)


RECORD_OF = {
    "plan": "Planned",
    "sink": "Sunk",
    "commit": "Committed",
    "finish": "Finished",
    "label": "Labelled",
    "info": "Info",
    "inventory": "Inventory",
    "find": "Found",
    "chain": "Chain",
    "verify": "Checked",
    "estimate": "Estimate",
    "mark": "Marked",
    "extract": "Extracted",
}
WRONG: list[Any] = [None, -1, 1.5, True, "text", "\x1b[2J", [], [None], {}, {"a": None}, {"\x1b": 1}]


def mutants(value: Any) -> Iterator[Any]:
    """The same value with one part missing or of another type."""
    yield from WRONG
    if isinstance(value, dict):
        for name in value:
            yield {other: value[other] for other in value if other != name}
            yield from ({**value, name: part} for part in mutants(value[name]))
    elif isinstance(value, list):
        yield from ([part] for part in mutants(value[0] if value else None))


def check(subcommand: str, answer: dict[str, Any]) -> None:
    """A real answer is accepted, with all that an action reads; of a wrong one there is nothing that is no record."""
    record = RECORD_OF[subcommand]
    parsed = ANSWERS[subcommand](copy.deepcopy(answer), subcommand)
    assert misfits(answer, RECORDS[record], RECORDS, record, more=True) == []
    assert misfits(parsed, RECORDS[record], RECORDS, record) == []
    assert set(parsed) == set(answer) & set(typing.get_type_hints(RECORDS[record], RECORDS))
    for mutant in mutants(answer):
        try:
            parsed = ANSWERS[subcommand](mutant, subcommand)
        except Misfit:
            continue
        assert misfits(parsed, RECORDS[record], RECORDS, record) == [] and "\x1b" not in repr(parsed)


def test_the_answers_of_the_tape_host(tape_host: Callable[..., TapeHost]) -> None:
    """Each subcommand whose answer an action reads, at a backup and afterwards."""
    host = tape_host(labelled=False, capacity=2**20)
    check("label", host.ok("label", "--label", "A"))
    check("commit", host.backup("20250101T000000Z", "h1"))
    check("finish", host.ok("finish", "--run", "20250101T000000Z"))
    check("sink", host.sink("20250102T000000Z", "h2").answer)
    check("finish", host.ok("finish", "--run", "20250102T000000Z"))
    asked = {"hosts": {"h1": {"level": 1}, "h3": {"level": 0}}}
    check("plan", host.ok("plan", data=json.dumps(asked).encode()))
    check("info", host.ok("info"))
    check("find", host.ok("find", "--path", "*"))
    check("mark", host.ok("mark", "--label", "A", "--location", "vault"))
    check("chain", host.ok("chain", "--host", "h1"))
    checked = host.ok("verify")
    assert checked["verified"]
    check("verify", checked)
    check("inventory", host.ok("inventory", "--rebuild"))
    check("chain", host.ok("chain", "--host", "h1"))


def test_the_answers_of_the_archiver(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.file("one", "content")
    check("estimate", json.loads(host.run("estimate", "--level", "0").stdout))
    check("extract", host.extract(host.create(), tmp_path / "to"))


def packed(answer: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(answer).encode())).decode()


def test_an_archive_that_is_not_good_has_a_problem() -> None:
    place = {"run": "R", "host": "h", "set": "all", "level": 0, "tape": "A", "file": 1, "bytes": 1}
    lists: dict[str, Any] = {"verified": [place], "failed": [], "not_verified": [], "warnings": []}
    assert ANSWERS["verify"](lists, "") == lists
    for name in ("failed", "not_verified"):
        with pytest.raises(Misfit):
            ANSWERS["verify"]({**lists, name: [place]}, "")


def test_a_chain_has_an_archive() -> None:
    with pytest.raises(Misfit):
        ANSWERS["chain"]({"archives": [], "tapes": [], "warnings": []}, "")


@pytest.mark.parametrize("sent", ["", "no base64", packed([]), packed({"waited": "long"}), packed({})])
def test_an_invalid_answer_is_a_failure(sent: str) -> None:
    """Of the host, with its kind: no action meets a KeyError or a TypeError."""
    verdict: Any = SimpleNamespace(stages={"the tape": {"stdout": sent}})
    with pytest.raises(Failure) as caught:
        answer_of(verdict, "the tape", "tape1", "sink")
    assert caught.value.kind == "answer" and caught.value.msg.startswith("tape1: invalid answer (")
    verdict.stages["the tape"]["stdout"] = packed({"waited": 0.5, "device": "/dev/nst0", "file": "\x1b"})
    assert answer_of(verdict, "the tape", "tape1", "sink") == {"waited": 0.5, "device": "/dev/nst0"}
