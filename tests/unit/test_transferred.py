# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a transfer: what its program may answer, what a failure says of the destination, and the fields."""

from __future__ import annotations

import base64
import json
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import transferred
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import Misfit

FACTS: dict[str, Any] = {
    "size": 5,
    "inode": 6,
    "device": 7,
    "allocated": 8,
    "mode": 0o640,
    "uid": 1,
    "gid": 2,
    "mtime": 1234567890123456789,
    "owner": "ann",
    "group": "staff",
}
ANSWER = {**FACTS, "backup": "/to/file.2026~"}


# -- what an answer may have


@pytest.mark.parametrize("value", ["", "/a", "x" * 65536, "\udcff\n"])
def test_a_path_is_used_as_it_is(value: str) -> None:
    assert transferred.path(value, "x") == value


@pytest.mark.parametrize("value", [None, 5, b"/a", "a\0b", "x" * 65537])
def test_what_is_no_path(value: Any) -> None:
    with pytest.raises(Misfit, match=r"^x\.path$"):
        transferred.path(value, "x.path")


@pytest.mark.parametrize("value", [0, -1, 2**80, -(2**80)])
def test_a_moment(value: int) -> None:
    assert transferred.moment(value, "x") == value


@pytest.mark.parametrize("value", [None, True, 1.0, "1", 2**80 + 1, -(2**80) - 1])
def test_what_is_no_moment(value: Any) -> None:
    with pytest.raises(Misfit, match="^x$"):
        transferred.moment(value, "x")


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("size", [0, 2**63], [-1, 2**63 + 1, 1.0, None]),
        ("uid", [0, 2**63], [-1, 2**63 + 1, True]),
        ("owner", ["", "x" * 2000], [None, 5]),
        ("backup", ["", "x"], [None, "\0"]),
        ("mtime", [-5], ["now"]),
    ],
)
def test_the_fields_of_an_answer(field: str, good: list[Any], bad: list[Any]) -> None:
    parse = transferred.MOVED["receive"]
    assert parse({**ANSWER, "other": 1}, "answer") == ANSWER
    for value in good:
        assert parse({**ANSWER, field: value}, "answer") == {**ANSWER, field: value}
    for value in bad:
        with pytest.raises(Misfit, match=rf"^answer\.{field}$"):
            parse({**ANSWER, field: value}, "answer")


def test_only_some_warnings_are_kept() -> None:
    parse = transferred.MOVED["receive-tree"]
    assert parse({"warnings": [*"abcdefg"]}, "answer") == {"warnings": [*"abcde"]}


# -- failures

LINK: Any = {"id": "1", "source": "s", "destination": "destination", "writer": "a", "reader": "b"}
OK, EXITED, KILLED = {"rc": 0, "signal": None}, {"rc": 1, "signal": None}, {"rc": None, "signal": 9}
MAYBE = ". /to\\x07 may have been replaced: it is the old or the new file, and complete"
DONE = ". But /to\\x07 was complete, and has been replaced"


def told(source: Any, found: Any, started: bool = True, **more: Any) -> Any:
    stages = {name: each for name, each in (("s", source), ("destination", found)) if each}
    return SimpleNamespace(stages=stages, sides={}, started=started, cause=None, **more)


@pytest.mark.parametrize(
    ("source", "found", "kind", "started", "changed", "more"),
    [
        (None, None, "failed", True, True, MAYBE),
        (None, None, "failed", False, False, ""),
        (None, None, "replaced", True, True, ""),
        (OK, OK, "failed", False, True, DONE),
        (EXITED, OK, "replaced", False, True, DONE),
        (OK, EXITED, "failed", True, False, ""),
        (OK, EXITED, "replaced", False, True, ""),
        (OK, KILLED, "failed", False, True, MAYBE),
        (None, KILLED, "failed", False, True, MAYBE),
        (EXITED, KILLED, "failed", True, False, ""),
        (KILLED, KILLED, "failed", True, False, ""),
        (KILLED, KILLED, "replaced", True, True, ""),
    ],
)
def test_what_a_failure_says_of_the_file(
    source: Any, found: Any, kind: str, started: bool, changed: bool, more: str
) -> None:
    """A program that was killed may have replaced it only after the end of its input."""
    failure = Failure(kind, "why", "h2", started=not changed)
    assert transferred.after_failure(told(source, found, started), failure, "/to\x07", LINK) is failure
    assert (failure.started, failure.text) == (changed, "why" + more)


@pytest.mark.parametrize(
    ("side", "ended", "before"),
    [
        (None, 2.0, False),
        ({"state": "reset", "ended_at": 1.0}, 2.0, True),
        ({"state": "reset", "ended_at": 2.0}, 2.0, False),
        ({"state": "reset", "ended_at": 3.0}, 2.0, False),
        ({"state": "reset", "ended_at": None}, 2.0, False),
        ({"state": "reset", "ended_at": 1.0}, None, False),
        ({"state": "done", "ended_at": 1.0}, 2.0, False),
    ],
)
def test_whether_a_link_broke_first(side: Any, ended: Any, before: bool) -> None:
    verdict: Any = SimpleNamespace(sides={("1", "W"): side} if side else {})
    source: Any = {"ended_at": ended}
    assert transferred.broken_before(verdict, LINK, source) is before


COMPLETE = ". But /to\\x07 is complete"
PARTS = ". /to\\x07 is incomplete: it may have some of the new files, and old ones"


@pytest.mark.parametrize(
    ("found", "kind", "of", "started", "changed", "more"),
    [
        (None, "failed", None, True, True, PARTS),
        (None, "failed", None, False, False, ""),
        ({"rc": 1, "started_at": None}, "failed", None, True, False, ""),
        ({"rc": 1, "started_at": 0.0}, "failed", None, False, True, PARTS),
        ({"rc": 0, "started_at": 0.0}, "failed", None, False, True, COMPLETE),
        ({"rc": 1, "started_at": 0.0}, "changed", None, False, True, PARTS),
        ({"rc": 1, "started_at": 0.0}, "changed", {"stage": "source"}, False, True, PARTS),
        ({"rc": 1, "started_at": 0.0}, "failed", {"stage": "destination"}, False, True, PARTS),
        ({"rc": 1, "started_at": 0.0}, "changed", {"stage": "destination"}, True, False, ""),
    ],
)
def test_what_a_failure_says_of_a_directory(
    found: Any, kind: str, of: Any, started: bool, changed: bool, more: str
) -> None:
    """One that has changed after the look is not touched."""
    verdict = told(None, found, started)
    verdict.cause = of
    failure = Failure(kind, "why", "h2", started=not changed)
    assert transferred.after_failure_of_tree(verdict, failure, "/to\x07") is failure
    assert (failure.started, failure.text) == (changed, "why" + more)


@pytest.mark.parametrize("changed", [False, True])
def test_the_result_of_a_failure(changed: bool) -> None:
    """All fields of a success are there, and have no value."""
    found = transferred.failed("no room", "it is full", "h2", *([True] if changed else []))
    assert {name: found.pop(name) for name in ("failed", "changed", "msg", "cause")} == {
        "failed": True,
        "changed": changed,
        "msg": "it is full",
        "cause": {"kind": "no room", "host": "h2", "msg": "it is full"},
    }
    assert found == dict.fromkeys(transferred.NOTHING)


# -- results


BEFORE = "size: 5\nmtime: 2009-02-13T23:31:30.123456789Z\nowner: ann\ngroup: staff\nmode: 0640\n"


@pytest.mark.parametrize(("current", "before"), [(None, ""), (FACTS, BEFORE)])
def test_a_difference(current: Any, before: str) -> None:
    after = {**FACTS, "mtime": -1, "mode": 0o4755}
    assert transferred.diff("/to\x07", current, after) == {
        "before_header": "/to\\x07",
        "before": before,
        "after_header": "/to\\x07",
        "after": "size: 5\nmtime: 1969-12-31T23:59:59.999999999Z\nowner: ann\ngroup: staff\nmode: 4755\n",
    }


class Done:
    """A verdict on a move; without a cause, and with this answer."""

    def __init__(self, answer: Any, cause: Any = None) -> None:
        packed = base64.b64encode(zlib.compress(json.dumps(answer).encode())).decode()
        self.stages = {"s": {**OK, "stdout": ""}, "destination": {**OK, "stdout": packed + "\n", "stderr": ""}}
        self.plan = SimpleNamespace(run="R1", links=[LINK], options={})
        self.hosts = {"a": "h1", "b": "h2", "destination": "h2"}
        self.sides: dict[Any, Any] = {}
        self.points: dict[str, Any] = {}
        self.started, self.cause = True, cause


JOB: Any = {
    "command": "receive",
    "path": "/to",
    "diff": False,
    "current": None,
    "result": {"changed": True, "dest": "/to"},
}
FILE = {"size": 5, "owner": "ann", "group": "staff", "uid": 1, "gid": 2, "mtime": 1234567890.123457, "mode": "0640"}


@pytest.mark.parametrize(("backup", "shown"), [("/to.2026~", "/to.2026~"), ("/to\x07~", "/to\\x07~"), ("", None)])
@pytest.mark.parametrize("diff", [False, True])
def test_a_file_that_has_come(diff: bool, backup: str, shown: Any) -> None:
    verdict: Any = Done({**ANSWER, "backup": backup})
    job = {**JOB, "diff": diff, "current": {**FACTS, "size": 3}}
    result, warnings = transferred.transferred(verdict, 2.34567, job)
    assert {name: result[name] for name in FILE} == FILE and warnings == []
    expected = {"changed": True, "dest": "/to", "bytes": None, "run": "R1", "elapsed": 2.346, "backup_file": shown}
    assert {name: result[name] for name in expected} == expected
    assert (result["link"]["source_host"], result["link"]["destination_host"]) == ("h1", "h2")
    assert ("diff" in result) is diff
    if diff:
        (shown_diff,) = result["diff"]
        assert shown_diff["before"].startswith("size: 3\n") and shown_diff["after"].startswith("size: 5\n")
    assert JOB["result"] == {"changed": True, "dest": "/to"}, "it is not changed"


@pytest.mark.parametrize(("options", "limit"), [({}, 0), ({"rate_limit": 7}, 7)])
def test_its_link(monkeypatch: pytest.MonkeyPatch, options: Any, limit: int) -> None:
    verdict: Any = Done(ANSWER)
    verdict.plan.options = options
    given: list[Any] = []

    def link_result(*words: Any) -> dict[str, Any]:
        given.append(words)
        return {"bytes": 9}

    monkeypatch.setattr(transferred, "link_result", link_result)
    result, _warnings = transferred.transferred(verdict, 1.0, JOB)
    assert given == [(LINK, verdict.hosts, verdict, limit)]
    assert (result["bytes"], result["link"]) == (9, {"bytes": 9})


def test_a_directory_that_has_come() -> None:
    verdict: Any = Done({"warnings": ["odd\x07", "file"]})
    result, warnings = transferred.transferred(verdict, 1.0, {**JOB, "command": "receive-tree"})
    assert warnings == ["h2: odd\\x07", "h2: file"]
    assert set(result) == {"changed", "dest", "bytes", "link", "run", "elapsed"}


@pytest.mark.parametrize(
    ("command", "said"),
    [("receive", ". But /to was complete, and has been replaced"), ("receive-tree", ". But /to is complete")],
)
def test_a_move_that_failed(command: str, said: str) -> None:
    verdict: Any = Done(ANSWER, {"kind": "stalled", "host": "h1", "msg": "it stalled"})
    verdict.stages["destination"]["started_at"] = 0.5
    result, warnings = transferred.transferred(verdict, 1.0, {**JOB, "command": command})
    assert (result["msg"], result["changed"], result["run"], warnings) == ("it stalled" + said, True, "R1", [])
    assert result["cause"] == {"kind": "stalled", "host": "h1", "msg": "it stalled" + said}


def test_an_answer_that_is_none() -> None:
    verdict: Any = Done({**ANSWER, "size": "5"})
    result, _warnings = transferred.transferred(verdict, 1.0, JOB)
    size = len(verdict.stages["destination"]["stdout"])
    assert result["msg"] == f"h2: invalid answer (invalid value in answer.size, {size} bytes)" and result["changed"]
