# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of a task whose ends are all on the controller, and what Ansible's connections answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.wire import MARK
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _hosts, _program_run, _task_run

ENDS = ("source", "sink")


def run(folder: Path, samples: list[Any], **commands: list[str]) -> Any:
    """A run of two ends, with samples ten times a second."""
    hosts = {end: _hosts.controller(str(folder), _hosts.NOTHING) for end in ENDS}
    stages = [(end, _program_run.command(end, commands[end])) for end in ENDS]
    plan = _program_run.plan_of_two({}, hosts, stages, ["sink"], False)
    plan.ends["source"]["sample"] = 0.1
    plan.reach("source", "sink", ["127.0.0.1"])
    lines: Any = SimpleNamespace(feed=samples.append, beat=lambda: None)
    return _task_run.TaskRun(plan, hosts, lines).outcomes()


def test_all_ends_are_on_the_controller(tmp_path: Path) -> None:
    """They begin in the folder of the playbook, and their samples arrive before their end."""
    samples: list[Any] = []
    # until a sample has arrived, but not for ever
    write = f"echo hello; n=0; while [ ! -e {tmp_path}/seen ]; do sleep 0.05; n=$((n + 1)); [ $n -lt 1000 ]; done"

    class Samples(list[Any]):
        def append(self, sample: Any) -> None:
            super().append(sample)
            (tmp_path / "seen").touch()

    samples = Samples()
    outcomes = run(tmp_path, samples, source=["sh", "-ec", write], sink=["sh", "-c", "cat >written"])
    assert [outcome["report"]["stages"][0]["rc"] for outcome in outcomes.values()] == [0, 0]
    assert (tmp_path / "written").read_text() == "hello\n"
    assert samples and {side["id"] for each in samples for side in each["sample"]} == {"source \u2192 sink"}


@pytest.mark.parametrize(
    ("how", "kernel", "certificates"),
    [("none", "", False), ("kernel", "must", False), ("required", "", True), ("relay", "", True)],
)
def test_how_links_are_encrypted(monkeypatch: pytest.MonkeyPatch, how: str, kernel: str, certificates: bool) -> None:
    hidden: list[bool] = []
    monkeypatch.setattr(_task_run, "hide_memory", lambda: hidden.append(True))
    plan = Plan({})
    for end in ENDS:
        plan.add_end(end)
    plan.chain([(end, _program_run.command(end, ["true"])) for end in ENDS])
    _task_run.encrypt(plan, how)
    assert plan.options.get("kernel_tls", "") == kernel and ("certificates" in plan.links[0]) is certificates
    assert hidden == [True] * (how != "none")


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr", "become", "wanted"),
    [
        (0, MARK + '{"terminal": true}\n', "", False, True),
        (0, MARK + '{"begun": true}\n', "tty", True, False),
        (1, "", "sudo: you must have a TTY to run sudo", True, True),
        (1, "no tty present", "", True, True),
        (1, "", "sudo: you must have a tty to run sudo", False, False),
        (2, "", "sudo: you must have a tty to run sudo", True, False),
        (1, "", "pretty", True, False),
        (0, "", "", True, False),
    ],
)
def test_a_terminal_is_in_between(rc: int, stdout: str, stderr: str, become: bool, wanted: bool) -> None:
    result: Any = {"rc": rc, "stdout": stdout, "stderr": stderr}
    assert _task_run.wants_files(result, object() if become else None) is wanted


def exec_launch(execute: Any, pythons: list[str], transport: str = "ssh", become: Any = None) -> _task_run.ExecLaunch:
    """The launch of an end of a plan, whose commands this function runs in place of a connection."""
    connection = SimpleNamespace(transport=transport, become=become, has_pipelining=True)
    executor: Any = SimpleNamespace(_connection=connection, _low_level_execute_command=execute)
    plan = Plan({})
    plan.add_end("a")
    host = _hosts.Host("h1", executor, pythons, "127.0.0.1")
    return _task_run.ExecLaunch(host, plan.for_end("a"), lambda: None)


@pytest.mark.parametrize(
    ("transport", "become", "pythons", "shell"),
    [
        ("ssh", None, ["python3"], False),
        ("ssh", None, ["python3", "python"], None),  # a loop
        ("ssh", SimpleNamespace(name="sudo", get_option={"become_exe": None}.get), ["python3"], None),
        ("podman", None, ["python3"], None),
    ],
)
def test_a_login_runs_an_end_in_its_own_shell(transport: str, become: Any, pythons: list[str], shell: Any) -> None:
    """Without another one, where that understands the command and there is one."""
    given: list[dict[str, Any]] = []

    def execute(_command: str, **options: Any) -> dict[str, Any]:
        given.append(options)
        return {"rc": 0, "stdout": "", "stderr": ""}

    exec_launch(execute, pythons, transport, become)._execute("label", b"", {"labels": []})
    assert [options["executable"] for options in given] == [shell]


VIA_SSH = 'Data could not be sent to remote host "h1". Make sure this host can be reached over ssh: '


@pytest.mark.parametrize(
    ("said", "tries"),
    [
        ("kex_exchange_identification: read: Connection reset by peer\nConnection reset by 192.0.2.1 port 22", 6),
        ("Connection closed by 192.0.2.1 port 22", 6),
        ("Warning: Permanently added 'h1' to the list of known hosts.\r\nConnection closed by fe80::1%eth0 port 22", 6),
        ("Not allowed at this time", 6),
        ("client_loop: send disconnect: Broken pipe", 6),
        ("Connection to h1 closed by remote host.", 1),
        ("Connection reset by 192.0.2.1 port 22", 1),
        ("scp: Connection closed", 1),
        ("ssh: connect to host h1 port 22: Connection refused", 1),
        ("root@h1: Permission denied (publickey).", 1),
    ],
)
def test_a_login_that_sshd_turns_away_is_tried_again(monkeypatch: pytest.MonkeyPatch, said: str, tries: int) -> None:
    """What else goes wrong is not: another try would change nothing, or be the second run of a whole end."""
    count: list[str] = []

    def execute(*_words: Any, **_options: Any) -> Any:
        count.append(said)
        raise AnsibleConnectionFailure(VIA_SSH + said)

    monkeypatch.setattr(_task_run.time, "sleep", lambda _seconds: None)
    launch = exec_launch(execute, ["python3"])
    launch._run()
    assert (len(count), launch.kind) == (tries, "unreachable") and launch.ready


def test_errors_are_one_line() -> None:
    error = OSError("mux_client_request: x\n  ControlSocket y exists\nno\n  route: \x1b[1m")
    assert _task_run.one_line(error).startswith("no route: ") and "\x1b" not in _task_run.one_line(error)
    assert len(_task_run.one_line(OSError("x" * 500))) == 400


def test_processes_are_found_by_a_word() -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "a word"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline()
        assert _task_run.with_word("a word") == [process.pid]
        assert _task_run.with_word("another word") == [] and os.getpid() not in _task_run.with_word("")
        process.communicate()
