# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tape modules say: sizes and durations, tables, and the command for another run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
from ansible_collections.plumbing.socketpipe.plugins.action import tape_finish, tape_plan
from ansible_collections.plumbing.socketpipe.plugins.action.tape_finish import ActionModule
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_again, _tape_table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.4, "0:00"), (59.6, "1:00"), (61, "1:01"), (4180, "1:09:40"), (100 * 3600, "100:00:00")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert _tape_table.duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "-"), (0, "-"), (153_092_096, "146.0 MiB/s"), (1023, "1023 bytes/s"), (2**30, "1.0 GiB/s")],
)
def test_rates(rate: int | None, text: str) -> None:
    assert _tape_table.rate_of(rate) == text


def test_counts_have_no_1_files() -> None:
    assert [_tape_table.count(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert _tape_table.few(["a", "b"]) == "a, b"
    assert _tape_table.few(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert _tape_table.few(["a"], 7) == "a and 6 more"


def test_a_table_is_as_wide_as_its_cells() -> None:
    rows = [["web1", "FAILED", "-", "/srv/www: no such directory"], ["a-host", "good", 0, ""]]
    assert _tape_table.lines(["HOST", "RESULT", "LEVEL", "NOTE"], rows) == [
        "HOST    RESULT  LEVEL  NOTE",
        "web1    FAILED  -      /srv/www: no such directory",
        "a-host  good    0",
    ]


NOTES = [
    ({"mounted": 5, "other_file_systems": ["/a", "/b", "/c"]}, ["/a, /b, /c and 2 more"]),
    ({"warning_count": 1, "tar_warnings": ["changed"]}, ["1 warning of tar (changed)"]),
    ({"warning_count": 3, "tar_warnings": ["changed"]}, ["3 warnings of tar (changed and 2 more)"]),
    ({"level_problem": "level 0", "base_problem": ""}, ["level 0"]),
    (
        {"warning_count": 2, "tar_warnings": ["level 0"], "level_problem": "level 0", "base_problem": "no base"},
        ["level 0", "no base", "2 warnings of tar (level 0 and 1 more)"],
    ),
    ({"slow": "the tape is slow"}, ["the tape is slow"]),
    ({"incomplete": True}, ["incomplete: some files could not be read"]),
]


@pytest.mark.parametrize(("row", "notes"), NOTES)
def test_what_a_person_should_know_of_a_good_archive(row: dict[str, Any], notes: list[str]) -> None:
    apart = "not archived (separate file systems): "
    assert [note.removeprefix(apart) for note in _tape_table.notes_of(row)] == notes


def test_a_failure_in_the_row_of_its_host_does_not_name_it_again() -> None:
    """But every other host; a row has what the task says for it, and else the message."""
    found = Failure("failed", "/srv/www: no such directory", "web1", named=True)
    assert str(found) == found.msg == found.note("db1") == "web1: /srv/www: no such directory"
    assert found.note("web1") == "/srv/www: no such directory"
    assert Failure("settings", "web1: as it is", "web1").note("web1") == "web1: as it is"
    told = {"state": "failed", "kind": "failed", "msg": found.msg}
    assert [ActionModule.row(each)["note"] for each in (told, {**told, "note": "short"})] == [found.msg, "short"]


def test_a_lost_host_with_a_good_archive_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the table nor in the statistics."""
    good = {"host": "web1", "state": "good", "level": 0, "bytes": 5, "elapsed": 1.0, "rate": 5, "tape": "A", "file": 2}
    said = {"warnings": [], "archives": [good], "tapes": ["A"], "full": {"A": None}, "last": []}
    asked: list[Any] = []

    def ask(_action: ActionModule, _words: list[str], given: Any) -> Any:
        asked.append(given)
        return said

    monkeypatch.setattr(ActionModule, "ask", ask)
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(no_log=False)
    action.args, action.warnings = {"results": [], "tape_set": "all"}, []
    action.rows = action.rows_of({"run": "R", "order": ["web1", "db1"]})
    plan: Any = {"run": "R", "order": [], "tape_set": "all", "hosts": {"web1": {"sources": True}}}
    assert action.finish(plan) == ["A"]
    assert action.rows["web1"]["kind"] == "lost"  # of its sources only one may be good
    plan["hosts"]["web1"]["sources"] = False
    assert action.finish(plan) == ["A"]
    note = {"msg": "ok", "note": "", "kind": None, "encryption": None, "left_out": None, "last_good": None}
    assert action.rows["web1"] == {key: good[key] for key in good if key != "host"} | {"ok": True, **note}
    assert (action.rows["db1"]["ok"], action.rows["db1"]["kind"]) == (False, "lost")
    # the tape host knows of which sets; for the second call they are those of the run
    tried = [{"host": "web1", "sets": {}}, {"host": "db1", "sets": {"all": False}}]
    assert asked[0] == {"tried": tried, "hosts": []}
    assert asked[1]["tried"][0] == {"host": "web1", "sets": {"all": False}}


def test_what_counts_as_an_attempt() -> None:
    """Each source is a set of its own; an archive of an earlier job of the run has been counted."""
    action = ActionModule.__new__(ActionModule)
    action.args = {"tape_set": "all"}
    states = {"a": "good", "b": "failed", "c": "good before", "d": "left out", "e": "good", "f": "good"}
    parts = {
        "e": [("paths", "good before"), ("shop", "good"), ("wiki", "failed")],
        "f": [("paths", "good before"), ("shop", "good before")],
    }
    rows: Any = {
        name: {
            "ok": state != "failed",
            "state": state,
            "sources": [{"name": part, "state": of, "ok": of != "failed"} for part, of in parts.get(name, [])],
        }
        for name, state in states.items()
    }
    action.rows = rows
    plan: Any = {"hosts": {name: {"sources": name in parts} for name in states}}
    assert action.tried(plan) == [
        {"host": "a", "sets": {"all": True}},
        {"host": "b", "sets": {"all": False}},
        {"host": "e", "sets": {"all.shop": True, "all.wiki": False}},
    ]


RELAY = {"how": "relay", "cipher": "TLS_AES_256_GCM_SHA384", "records": 1}
KERNEL = {"how": "kernel", "cipher": "chacha20-poly1305", "records": 1}


@pytest.mark.parametrize(
    ("asked", "found", "ways", "line"),
    [
        ("none", [None, None], None, []),
        (
            "required",
            [RELAY, KERNEL, RELAY],
            {"kernel": 1, "relay": 2},
            ["1 encrypted by the kernels, 2 encrypted by relays"],
        ),
        ("required", [RELAY, "failed"], {"relay": 1}, ["1 encrypted by relays"]),
        ("required", ["failed", "good before"], {}, []),
        # hosts may have settings of their own
        ("none", [RELAY, None], {"relay": 1, "none": 1}, ["1 encrypted by relays, 1 in clear"]),
        ("required", [None], {"none": 1}, ["1 in clear"]),
    ],
)
def test_a_run_says_how_its_archives_were_encrypted(asked: str, found: Any, ways: Any, line: list[str]) -> None:
    """Each of them, and all together; one that this job has not written counts in no way."""
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(no_log=False)
    good = {"run": "R", "state": "good", "msg": "ok"}
    results = [{**good, "host": f"h{n}", "encryption": each} for n, each in enumerate(found)]
    results += [{**good, "host": f"h{n}", "state": each} for n, each in enumerate(found) if isinstance(each, str)]
    action.args, action.warnings = {"results": results, "tape_link_encryption": asked}, []
    plan: Any = {"run": "R", "began": 0.0, "order": [f"h{n}" for n in range(len(found))]}
    action.rows = action.rows_of(plan)
    assert [row["encryption"] for row in action.rows.values()] == [
        None if isinstance(each, str) else each for each in found
    ]
    action.ways = action.ways_of(action.rows)
    totals = action.totals(plan)
    assert totals["encryption"] == ways
    assert action.advice(plan, "", totals) == [f"Links   {each}" for each in line]


# -- no_log


@pytest.mark.parametrize("whole", [False, True])
def test_no_log_of_a_task_is_kept_by_the_end_of_its_run(
    whole: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In the table, the statistics and the notification; ``whole``: of tape_finish, else of those before it."""
    own: dict[str, Any] = {} if whole else {"censored": "no_log: true"}
    texts = {"slow": "s3cret", "tar_warnings": ["s3cret"], "warning_count": 1, "left_out": {"s3cret": 1}}
    part = {"name": "db", "ok": False, "state": "failed", "kind": "full", "msg": "s3cret", "note": "s3cret"}
    bad = {"run": "R", "state": "failed", "kind": "full", "msg": "s3cret", "note": "s3cret", **own}
    results = [
        {"host": "h1", "run": "R", "state": "good", "msg": "ok", "bytes": 5, **texts, **own},
        {"host": "h2", **bad},
        {"host": "h3", **bad, "sources": [part]},
    ]
    plan: Any = {"run": "R", "began": 0.0, "order": ["h1", "h2", "h3"], "tape_set": "all", "notes": ["s3cret"], **own}
    plan["hosts"] = {name: {} for name in plan["order"]}
    said = {"warnings": ["s3cret"] if whole else [], "archives": [], "tapes": ["A"], "full": {"A": None}, "last": []}
    monkeypatch.setattr(ActionModule, "ask", lambda _action, _words, _given: said)
    monkeypatch.setattr(tape_finish, "copy_catalog", lambda _action: [])
    typed(monkeypatch)
    action: Any = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(no_log=whole, check_mode=False)
    defaults = {name: details.get("default") for name, details in ActionModule.SPEC.items()}
    command = ["sh", "-c", f'cat >{tmp_path}/told; echo "$TAPE_SUMMARY" >>{tmp_path}/told']
    action.args = {**defaults, "plan": plan, "results": results, "tape_notify_command": command}
    result = action.work()
    shown = "".join(capfd.readouterr())
    assert bool(shown) is not whole and "s3cret" not in shown
    told = (tmp_path / "told").read_text(encoding="utf-8")
    assert "s3cret" not in told and "full (no_log hides the rest)" in told and "1 good, 2 failed" in told
    assert "s3cret" not in str(result["ansible_stats"]) and "s3cret" not in str(result["hosts"])


def test_no_log_of_a_plan_that_fails(tmp_path: Path) -> None:
    action: Any = tape_plan.ActionModule.__new__(tape_plan.ActionModule)
    given = {"tape_notify_command": ["sh", "-c", f'(cat; echo "$TAPE_SUMMARY") >{tmp_path}/told'], "hosts": ["h1"]}
    action._task = SimpleNamespace(no_log=True, check_mode=False, args=given)
    action.failed(Failure("settings", "s3cret"))
    told = (tmp_path / "told").read_text(encoding="utf-8")
    assert "s3cret" not in told and told.endswith("BACKUP not started: settings (no_log hides the rest)\n")


# -- another run


def typed(monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
    given = {"inventory": ["/etc/an inventory"], "args": ["site.yml"], **given}
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict(given))


def test_the_command_has_all_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(
        monkeypatch,
        become=True,
        become_ask_pass=True,
        remote_user="backup",
        become_method="sudo",
        become_user="root",
        private_key_file=None,
        vault_password_files=["/root/vault"],
        check=True,
        subset="db1",
        extra_vars=[
            "tape_host=tape1 tape_resume=older tape_level=1 alone",
            '{"tape_paths": ["/a b"], "tape_resume": "old"}',
            "@more.yml",
        ],
    )
    assert _tape_again.again("", {"tape_resume": "RUN"}, "db1,web1") == (
        "ansible-playbook -i '/etc/an inventory' --become -K -u backup --become-user root "
        "--vault-password-file /root/vault site.yml -e tape_host=tape1 -e tape_level=1 "
        """-e '{"tape_paths": ["/a b"]}' -e @more.yml -e tape_resume=RUN --limit db1,web1"""
    )
    assert " plumbing.socketpipe.verify " in _tape_again.again("plumbing.socketpipe.verify", {"tape_of_run": "RUN"})


@pytest.mark.parametrize(
    "given",
    [
        "ansible_become_password=hunter2",
        '{"vault": {"api_token": "hunter2"}}',
        '{"SecretKey": "hunter2"}',
        '{"tape_sources": [{"name": "db", "environment": {"PGPASSWORD": "hunter2"}}]}',
        '{"tape_host_variables": "{\\"ansible_password\\": \\"hunter2\\"}"}',
        """tape_host_variables='{"ansible_password": "hunter2"}'""",
        """tape_host_variables='{ansible_password: hunter2}'""",
        "{a: {password: hunter2}}",
        "password='hunter2",
    ],
)
def test_a_secret_is_in_no_log(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    typed(monkeypatch, extra_vars=[given, "tape_level=1"])
    command = _tape_again.again("", {"tape_resume": "RUN"})
    assert "hunter2" not in command and "..." in command and "-e tape_level=1" in command
