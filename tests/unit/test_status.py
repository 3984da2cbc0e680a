# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An end that others ask how far it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.status import name_of
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.marked import read_marked
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import parse_sample
from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends, eventually, make_plan, sh, stage

Launch = Callable[..., Ends]
LINK = "input \u2192 output"
CONNECT = """
import os, socket, sys
end = socket.socket(socket.AF_UNIX)
os.setresuid(65534, 65534, 65534)
end.connect("\\0" + sys.argv[1])
print("connected, and got", end.recv(65536))
"""


def waiting(go: Path) -> Plan:
    """A run that has moved six bytes, and goes on when this file is there."""
    source = sh("input", f"echo hello; while [ ! -e {go} ]; do sleep 0.02; done; echo again")
    plan = make_plan(("a", source), ("b", stage("output", ["cat"])))
    plan.asked = ["a"]
    plan.ends["a"]["sample"] = 0.05
    return plan


def ask(run: str, end: str) -> tuple[dict[str, Any] | None, str]:
    """The answer, and what the program says on its standard error."""
    program = bootstrap.program(bootstrap.sources(bootstrap.ASK_MODULES))
    done = subprocess.run(
        [sys.executable, "-IS", "-c", bootstrap.START, "label"],
        input=bootstrap.stream(program, {"run": run, "end": end}),
        capture_output=True,
        check=True,
    )
    return read_marked(done.stdout.decode()), done.stderr.decode()


def test_an_end_answers(launch: Launch, tmp_path: Path) -> None:
    plan = waiting(tmp_path / "go")
    ends = launch(plan)

    def moved() -> dict[str, Any] | None:
        sample = parse_sample(ask(plan.run, "a")[0] or {}, plan.for_end("a"))
        found: Any = sample
        return found if sample and any(side["bytes"] == 6 for side in sample["sample"]) else None

    sample = eventually(lambda: moved() or missing(), "no figures")
    assert [side["id"] for side in sample["sample"]] == [LINK] and sample["at"] > 0
    assert ask(plan.run, "b") == (None, "Connection refused\n"), "nobody asks that end"
    assert ask(plan.run[::-1], "a") == (None, "Connection refused\n")
    (tmp_path / "go").touch()
    ends.wait().ok()
    assert "sample" not in ends.output["a"], "they are not in the output, too"


def test_it_has_what_a_program_tells(launch: Launch, tmp_path: Path) -> None:
    """The last of it, until there is nothing to tell; and not what other programs say."""
    go, end = tmp_path / "go", tmp_path / "end"
    wait = "while [ ! -e {} ]; do sleep 0.02; done".format
    said = "echo 'now: loading' >&2; echo 'now: waiting for a drive' >&2; echo other >&2"
    source: Any = sh("input", f"{said}; {wait(go)}; echo 'now: ' >&2; {wait(end)}; echo x")
    other = sh("filter", "echo 'now: not a program of this collection' >&2; cat")
    plan = make_plan(("a", {**source, "tells": True}), ("a", other), ("b", stage("output", ["cat"])))
    plan.asked, plan.ends["a"]["sample"] = ["a"], 0.05
    ends = launch(plan)
    for text, file in (("waiting for a drive", go), ("", end)):
        eventually(
            lambda text=text: (ask(plan.run, "a")[0] or missing())["told"] == {"input": text} or missing(), "no text"
        )
        file.touch()
    ends.wait().ok()


def missing() -> dict[str, Any]:
    raise FileNotFoundError


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_gets_no_answer(launch: Launch, tmp_path: Path) -> None:
    plan = waiting(tmp_path / "go")
    ends = launch(plan)
    eventually(lambda: ask(plan.run, "a")[0] or missing(), "no figures")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", CONNECT, name_of(plan.run, "a")[1:]], capture_output=True, check=True
    )
    assert done.stdout == b"connected, and got b''\n"
    (tmp_path / "go").touch()
    ends.wait().ok()


def test_the_name_is_taken(launch: Launch, tmp_path: Path) -> None:
    """By a stranger: the run has no figures, and is ok."""
    plan = waiting(tmp_path / "go")
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(name_of(plan.run, "a"))
        (tmp_path / "go").touch()
        launch(plan).wait().ok()


def test_who_answers_is_told_to(tmp_path: Path) -> None:
    plan = waiting(tmp_path)
    assert plan.for_end("a")["answers"] and "answers" not in plan.for_end("b")
    assert "_end.status" in bootstrap.of_plan(plan.for_end("a"))
    assert "_end.status" not in bootstrap.of_plan(plan.for_end("b"))
