# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task makes of the run of an archive that has outlived another task: the file of its job may say anything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.action import tape_finish
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import taped
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import records
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_detach
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_detach import Archive, line, result_in

TOLD: Any = {"result": {"host": "h1", "run": "R1"}}
WRITTEN = {
    "finished": True,
    "state": "written",
    "waited": 0.5,
    "slow": "",
    "samples": [[1.0, 5, None, 0, 0.5]],
    "device": "/dev/nst0",
    "encryption": None,
    "more": 1,
}
FULL = {"finished": True, "state": "failed", "kind": "full", "msg": "tape1: why", "note": "tape1: why", "changed": True}
DIED: dict[str, Any] = {
    "state": "failed",
    "kind": "end",
    "msg": "h1: the run that wrote its archive has ended without a result, as after a restart of the host",
    "note": "the run that wrote its archive has ended without a result, as after a restart of the host",
    "changed": True,
}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (
            {"exists": True, "found": 0, "state": WRITTEN},
            {k: WRITTEN[k] for k in WRITTEN if k not in ("finished", "more")},
        ),
        ({"exists": True, "found": 3, "state": FULL}, {k: FULL[k] for k in FULL if k != "finished"}),
        ({"exists": True, "found": 3, "state": {"finished": False}}, None),
        ({"exists": False, "found": 3}, None),
        ({"exists": True, "found": 0, "state": {"finished": False}}, DIED),
        ({"exists": True, "found": 0, "error": "cannot be read"}, DIED),
        ({"exists": False, "found": 0}, {"state": "taken"}),
        ({"exists": True, "found": 0, "state": 5}, DIED),
    ],
)
def test_the_result_of_a_job(answer: Any, result: Any) -> None:
    assert result_in(answer, "h1") == result


@pytest.mark.parametrize(
    ("state", "where"),
    [
        ({**WRITTEN, "state": "good"}, "state"),
        ({**WRITTEN, "state": None}, "state"),
        ({**WRITTEN, "waited": "long"}, "result.waited"),
        ({**WRITTEN, "samples": [[1.0, 5]]}, "result.samples[0]"),
        ({**WRITTEN, "encryption": {"how": "rot13"}}, "result.encryption.cipher"),
        ({**FULL, "msg": 5}, "result.msg"),
        ({key: FULL[key] for key in FULL if key != "kind"}, "result.kind"),
    ],
)
def test_an_invalid_result(state: Any, where: str) -> None:
    with pytest.raises(Failure) as caught:
        result_in({"exists": True, "found": 0, "state": state}, "h1")
    assert (caught.value.kind, caught.value.msg.split(" in ")[0]) == ("answer", "h1: invalid answer (invalid value")
    assert where.partition(".")[0] in caught.value.msg


@pytest.mark.parametrize(
    "failure",
    [
        Failure("full", "the tape is full", "tape1", True, named=True),
        Failure("failed", "tar failed", "h1", False, named=True),
        Failure("link", "between h1 and tape1: why", "tape1", True),
    ],
)
def test_a_failure_comes_back_as_it_was(failure: Failure) -> None:
    result = taped.failed(failure, TOLD)
    again = taped.failure_in(taped.parsed(result), "h1")
    assert (again.kind, again.msg, again.note("h1")) == (failure.kind, failure.msg, failure.note("h1"))
    assert again.started == failure.started and result["cause"]["msg"] == failure.msg
    assert (taped.WRITTEN, taped.FAILED) == (records.WRITTEN, records.FAILED)


def test_with_no_log_a_note_says_no_more_than_the_message() -> None:
    result = {**FULL, "msg": "h1: full (no_log hides the rest)"}
    taped.hide(result)
    assert result["note"] == result["msg"]
    taped.hide({})


class Patient(Archive):
    """Its host answers with these, one after the other."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.forgotten, self.shown = answers, 0, []  # type: ignore[var-annotated]
        task, own, pace = SimpleNamespace(async_val=0), SimpleNamespace(name="h1"), SimpleNamespace(quiet=60)
        self.action: Any = SimpleNamespace(name="h1", own=own, show=self.shown.extend, _task=task, pace=pace)
        self.id = "0" * 32

    def look(self) -> Any:
        return self.answers.pop(0)

    def forget(self) -> None:
        self.forgotten += 1


RUNNING = {"exists": True, "found": 2, "state": {"finished": False}}
ENDED = {"exists": True, "found": 0, "state": WRITTEN}
WAITS = "h1: an earlier job is writing its archive, so this one waits"
LEFT = {k: WRITTEN[k] for k in WRITTEN if k not in ("finished", "state", "more")}
UNSEEN = {**LEFT, "samples": [], "device": None, "waited": None}
AGAIN = "h1: the archive of an earlier job is written again: "


@pytest.mark.parametrize(
    ("answers", "found", "shown", "forgotten"),
    [
        ([RUNNING, RUNNING, {"exists": False, "found": 0}], UNSEEN, [WAITS], 0),  # another job has committed it
        ([{"exists": False, "found": 0}], None, [], 0),
        (["no answer"], None, [], 0),
        ([ENDED], LEFT, [], 0),
        ([RUNNING, RUNNING, "no answer", RUNNING, ENDED], LEFT, [WAITS], 0),
        ([RUNNING, {**ENDED, "state": FULL}], None, [WAITS, AGAIN + "tape1: why"], 1),
        ([{**ENDED, "state": FULL}], None, [AGAIN + "tape1: why"], 1),
        ([{**RUNNING, "found": 0}], None, [AGAIN + DIED["msg"]], 1),
    ],
)
def test_what_an_earlier_job_has_left(
    answers: list[Any], found: Any, shown: list[str], forgotten: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tape_detach, "PAUSES", (0.0, 0.0))
    archive = Patient(answers)
    assert archive.left() == found
    assert (archive.shown, archive.forgotten, answers) == (shown, forgotten, [])


def test_with_async_nobody_waits_for_an_earlier_job() -> None:
    archive = Patient([RUNNING, ENDED])
    archive.action._task.async_val = 60
    with pytest.raises(Failure) as caught:
        archive.left()
    why = f"h1: an earlier job is writing its archive ({archive.id}): wait for that one, or leave out async"
    assert (caught.value.kind, caught.value.msg, archive.shown) == ("busy", why, [])
    assert archive.left()


@pytest.mark.parametrize("state", ["started", "written"])
def test_an_archive_that_nobody_has_committed_is_not_good(state: str) -> None:
    row = tape_finish.ActionModule.row({"state": state, "msg": "why"})
    assert (row["ok"], row["note"]) == (False, "why")


def test_a_short_result_as_on_a_full_disk_is_enough() -> None:
    brief = {key: WRITTEN[key] for key in (*taped.BRIEF, "state") if key in WRITTEN}
    assert taped.parsed(brief) == {**brief, "slow": "", "samples": [], "encryption": None}
    assert taped.parsed({key: FULL[key] for key in FULL if key != "note"})["note"] == FULL["msg"]


def test_a_host_that_answers_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive may be complete some day, so nothing is forgotten."""
    monkeypatch.setattr(_tape_detach, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(_tape_detach, "SILENT", 0.0)
    archive = Patient(["no route to host"] * 100)
    with pytest.raises(Failure) as caught:
        archive.wait()
    said = "h1: no answer (no route to host). The archive may still be written: resume the run (tape_resume)"
    assert (caught.value.kind, caught.value.msg, archive.forgotten) == ("unreachable", said, 0)


PROGRESS = {"bytes": 2**20, "elapsed": 1.0, "rate": 2**10, "expected": None, "percent": None, "left": None, "slow": ""}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("no route", "h1: no figures yet, 0:01:05 after the start: no route"),
        (RUNNING, "h1: no figures yet, 0:01:05 after the start"),
        ({**RUNNING, "state": {"progress": PROGRESS}}, "h1: 1.0 MiB, 1.0 KiB/s"),
        ({**RUNNING, "state": {"progress": {"bytes": "many"}}}, "h1: no figures yet, 0:01:05 after the start"),
    ],
)
def test_progress_lines(answer: Any, text: str) -> None:
    assert line("h1", 65.0, answer) == text
