# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a verification, from the answer of the tape host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import verified
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import Misfit

GOOD: dict[str, Any] = {"host": "h1", "set": "s", "run": "R1", "tape": "A", "file": 1, "level": 0, "bytes": 1024}
BAD = {**GOOD, "host": "h2", "problem": "its checksum differs", "elapsed": 0}
FAR = {**GOOD, "tape": "B", "problem": "tape B is in no drive"}
TOLD: Any = {"stage": "verify", "tape_end": "tape", "copies": False}


def answer(**lists: Any) -> dict[str, Any]:
    return {"verified": [], "failed": [], "not_verified": [], "warnings": [], **lists}


@pytest.mark.parametrize(
    ("lists", "kind", "msg"),
    [
        ({"verified": [GOOD]}, None, "VERIFY 1 good, 0 failed  1.0 KiB"),
        ({"verified": [GOOD, {**GOOD, "bytes": None}]}, None, "VERIFY 2 good, 0 failed  1.0 KiB"),
        (
            {"verified": [GOOD], "failed": [BAD]},
            "damaged",
            "1 of 2 archives is damaged: its checksum differs. Back up those hosts again (h2), at tape_level 0.",
        ),
        (
            {"failed": [BAD, {**BAD, "problem": "it is cut"}]},
            "damaged",
            "2 of 2 archives are damaged: its checksum differs; it is cut. "
            "Back up those hosts again (h2), at tape_level 0.",
        ),
        (
            {"not_verified": [FAR]},
            "absent",
            "1 archive was not read, so their state is unknown: tape B is in no drive. Load B and verify again.",
        ),
        (
            {"failed": [BAD], "not_verified": [FAR, FAR]},
            "damaged",
            "1 of 3 archives is damaged: its checksum differs. Back up those hosts again (h2), at tape_level 0. "
            "2 archives were not read, so their state is unknown: tape B is in no drive. Load B and verify again.",
        ),
    ],
)
def test_what_was_found(lists: dict[str, Any], kind: str | None, msg: str) -> None:
    said = answer(**lists)
    found = {name: said[key] for key, name in verified.LISTS.items()}
    bad = {"failed": True, "kind": kind} if kind else {}
    assert verified.ending(said, ["note"]) == {"changed": True, "msg": msg, "notes": ["note"], **found, **bad}


def test_archives_that_were_not_read_are_counted() -> None:
    found = {"verified": [GOOD], "damaged": [], "not_verified": [FAR]}
    assert verified.headline(found) == "VERIFY 1 good, 0 failed, 1 not read  1.0 KiB"


def test_nothing_was_verified() -> None:
    with pytest.raises(Failure, match="nothing was verified") as caught:
        verified.ending(answer(), [])
    assert caught.value.kind == "not found"


@pytest.mark.parametrize("copies", [False, True])
def test_a_verification_that_outlives_its_task(monkeypatch: pytest.MonkeyPatch, copies: bool) -> None:
    asked: list[Any] = []
    said = answer(verified=[GOOD], warnings=["careful"])

    def answer_of(verdict: Any, stage: str, host: str, check: Any) -> Any:
        asked.append((verdict, stage, host))
        return check(said)

    monkeypatch.setattr(verified, "answer_of", answer_of)
    verdict: Any = SimpleNamespace(hosts={"tape": "tape1"})
    result = verified.succeeded(verdict, {**TOLD, "copies": copies})
    assert (result["verified"], asked) == ([GOOD], [(verdict, "verify", "tape1")])
    assert result["notes"] == ["careful", verified.NOT_COPIED][: 1 + copies]


@pytest.mark.parametrize("started", [False, True])
def test_a_verification_that_fails(started: bool) -> None:
    said = verified.failed(Failure("busy", "in use", "tape1", started=started, named=True), TOLD)
    assert said == {"failed": True, "changed": started, "kind": "busy", "msg": "tape1: in use"}


@pytest.mark.parametrize(
    "lists",
    [
        {"verified": [{**GOOD, "elapsed": -1}]},
        {"verified": [{**GOOD, "file": -1}]},
        {"verified": [{**GOOD, "level": "0"}]},
        {"verified": [{**GOOD, "bytes": "many"}]},
        {"verified": [5]},
        {"failed": [GOOD]},
        {"not_verified": [GOOD]},
        {"warnings": [5]},
        {"verified": {}},
    ],
)
def test_an_answer_that_is_none(lists: dict[str, Any]) -> None:
    with pytest.raises(Misfit):
        verified.CHECKED(answer(**lists), "verify")


def test_an_answer_says_how_long_an_archive_was_read() -> None:
    timed, plain = verified.CHECKED(answer(verified=[{**GOOD, "elapsed": 0}, GOOD]), "verify")["verified"]
    assert timed == {**GOOD, "elapsed": 0} and plain == GOOD
