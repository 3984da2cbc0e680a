# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tape_notify_command: what it gets, and what its failures are."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_notify as notify
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_action import validated
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import wait_for

LONG = 600
RESULT = {"kind": "unreachable", "msg": "tape1 is unreachable"}
GOOD: dict[str, Any] = {"run": "R1", "good": 1, "failed": 0, "hosts": {"hö": {"ok": True}}, "warnings": []}


def made(command: Any, timeout: int = LONG, **more: Any) -> notify.Notification:
    given = {"tape_notify_command": command, "tape_notify_timeout": timeout, **more}
    return notify.notification_of(validated(notify.NOTIFY, given, "notify"))


def shell(script: str, **more: Any) -> notify.Notification:
    return made(["sh", "-c", script], **more)


def test_what_it_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON on standard input; the environment of the controller, and a line for people in which nothing is code."""
    monkeypatch.setenv("TOKEN", "from a credential")
    script = f'cd {tmp_path}; cat >json; printf "%s|" "$TAPE_RESULT" "$TAPE_RUN" "$TAPE_SUMMARY" "$TOKEN" >words'
    summary = "BACKUP $(touch x) `touch y`\r\x1b[31m\u202e; touch z"
    assert shell(script).send(GOOD, summary) == []
    assert json.loads((tmp_path / "json").read_text(encoding="ascii")) == GOOD
    shown = "BACKUP $(touch x) `touch y` \\x1b[31m\\u202e; touch z"
    assert (tmp_path / "words").read_text() == f"success|R1|{shown}|from a credential|"
    assert {path.name for path in tmp_path.iterdir()} == {"json", "words"}


@pytest.mark.parametrize(
    ("on", "wanted"),
    [
        (["success", "failure"], (True, True)),
        (["success"], (True, False)),
        ("failure", (False, True)),
        ([], (False, False)),
    ],
)
def test_on_success_and_on_failure(on: Any, wanted: tuple[bool, bool], tmp_path: Path) -> None:
    seen = []
    for failed in (0, 1):
        path = tmp_path / str(failed)
        shell(f"echo $TAPE_RESULT >{path}", tape_notify_on=on).send({**GOOD, "failed": failed}, "")
        seen.append(path.exists())
        assert not path.exists() or path.read_text() == ("failure\n" if failed else "success\n")
    assert tuple(seen) == wanted


def test_a_long_summary_is_cut(tmp_path: Path) -> None:
    """The kernel starts no program with it."""
    assert shell(f'printf %s "$TAPE_SUMMARY" >{tmp_path}/line').send(GOOD, "x" * 300_000) == []
    assert (tmp_path / "line").read_text() == "x" * notify.LINE


@pytest.mark.parametrize("command", [None, "", " \n", [], "[]"])
def test_no_command(command: Any) -> None:
    assert made(command).send(GOOD, "") == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (
            "no-such-program x",
            "no-such-program) on the controller was not found: check its name and the PATH of ansible-playbook",
        ),
        (
            ["sh", "-c", "echo one; echo 'two \x1b' >&2; exit 3"],
            "sh) on the controller failed with exit status 3: two \\x1b",
        ),
        (["sh", "a\0b"], "sh) on the controller was not started: embedded null byte"),
        (["sh", "\ud800"], "surrogates not allowed"),
        ("false", "false) on the controller failed with exit status 1: no output"),
        (["sh", "-c", "kill -USR1 $$"], "sh) on the controller was killed by signal 10: no output"),
        (["sh", "-c", "exit 124"], "sh) on the controller failed with exit status 124: no output"),
        ([sys.executable, "-c", "print('x' * 9999); raise SystemExit(1)"], "exit status 1: " + "x" * notify.SHOWN),
    ],
)
def test_a_failure_is_one_sentence(command: Any, problem: str) -> None:
    (warning,) = made(command).send(GOOD, "")
    assert warning.startswith("tape_notify_command (") and warning.endswith(problem)


def test_a_command_that_does_not_read(tmp_path: Path) -> None:
    assert made("true").send({**GOOD, "hosts": {str(number): "x" * 1000 for number in range(1000)}}, "") == []


def test_the_time_limit_ends_all_of_it(tmp_path: Path) -> None:
    """Also a child, and one that ignores SIGTERM."""
    script = "trap '' TERM; sleep 1000 & echo $! >%s/pid; wait" % tmp_path
    (warning,) = shell(script, timeout=1).send(GOOD, "")
    assert warning == (
        "tape_notify_command (sh) on the controller took more than 1 s, and was ended: see tape_notify_timeout"
    )
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(pid))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_what_it_leaves_in_the_background_does_not_hold_up_the_play(tmp_path: Path) -> None:
    """Such as a mail on its way: its output is a file, which nobody waits for."""
    assert shell(f"sleep 1000 & echo $! >{tmp_path}/pid").send(GOOD, "") == []
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"tape_notify_command": "mail ops | logger"},
            "tape_notify_command: no shell runs '|': give a list such as [sh, -c, 'mail -s \"$TAPE_SUMMARY\" ops']",
        ),
        ({"tape_notify_command": {"cmd": "x"}}, "tape_notify_command must be a command, not {'cmd': 'x'}"),
        ({"tape_notify_command": "'"}, "tape_notify_command: No closing quotation"),
        ({"tape_notify_timeout": 0}, "tape_notify_timeout must be at least 1 second"),
        (
            {"tape_notify_on": ["always"]},
            "notify: value of tape_notify_on must be one or more of: success, failure. Got no match for: always",
        ),
    ],
)
def test_settings_that_are_wrong(given: dict[str, Any], problem: str) -> None:
    """The plan refuses them, and they do not hide why a plan has failed."""
    with pytest.raises(Failure) as caught:
        notify.notification_of(validated(notify.NOTIFY, given, "notify"))
    assert str(caught.value) == problem
    assert notify.of_task({"hosts": [], **given}, validated) is None


def test_a_survey_gives_a_list_as_a_text() -> None:
    assert made('["sh", "-c", "cat | cat"]').command == ["sh", "-c", "cat | cat"]
    assert made("[ -e x ]").command == ["[", "-e", "x", "]"]


def test_a_pipe_in_a_list_is_for_the_shell_in_it() -> None:
    assert made(["sh", "-c", "cat | cat", "|"]).command == ["sh", "-c", "cat | cat", "|"]


def test_a_run_that_could_not_be_planned() -> None:
    """It has what the statistic has."""
    told = notify.without_plan(["h1", "h2"], "R1", RESULT)
    assert (told["run"], told["good"], told["failed"]) == ("R1", 0, 2)
    assert told["hosts"]["h2"]["kind"] == "unreachable" and told["hosts"]["h2"]["note"] == RESULT["msg"]
    assert notify.without_plan([], "", RESULT)["failed"] == 1, "else it would be a success"
