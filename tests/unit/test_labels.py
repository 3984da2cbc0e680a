# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends on this machine are found by their labels and ended from inside out, so that nothing of theirs is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import processes
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.patience import Patience
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import labels
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.launch import UNAWARE
from ansible_collections.plumbing.socketpipe.tests.unit.ends import (
    HASTY,
    LONG,
    Change,
    Ends,
    eventually,
    make_plan,
    record,
    recorded,
    sh,
)

Launch = Callable[..., Ends]
DEAF: tuple[Change, ...] = (("watch", "self.signal = number", "pass"),)  # an end that does not stop


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (b"", False),
        (b"ssh\0host\0exec python3 'r:h1'\0", True),
        (b"python3\0r:h1", True),
        (b"python3\0r:h1\0", True),
        (b"python3\0r:h12\0", False),
        (b"python3\0r:h1-b\0", False),
        (b"python3\0r:h1.example\0", False),
        (b"python3\0r:h\0", False),
    ],
)
def test_a_label_is_a_word(text: bytes, there: bool) -> None:
    assert labels.is_word(b"r:h1", text) is there


@pytest.mark.parametrize("words", [["pgrep", "-f", "%s"], ["tail", "-f", "/log/%s"], ["sh", "-c", "watch ps %s"]])
def test_who_only_names_a_run_is_none_of_its_ends(words: list[str]) -> None:
    """People look for a run by its label; to cancel it is not to kill them, their shells and all below."""
    name = "socketpipe:%s:peer" % uuid.uuid4().hex
    command = [word % name if "%" in word else word for word in words]
    script = "import time; print(flush=True); time.sleep(1000)"
    seen = {}
    for flags, argv in (("-I", command), ("-IS", [name])):
        process = subprocess.Popen([sys.executable, flags, "-c", script, *argv], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        seen[flags] = process.pid in labels.labelled([name])
        process.kill()
        process.communicate()
    assert seen == {"-I": False, "-IS": True}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: a PID namespace")
def test_nobody_is_found_in_the_proc_of_another_pid_namespace() -> None:
    """Its pids are those of others here: to end them would be to end whoever has the same ones."""
    name = "socketpipe:%s:peer" % uuid.uuid4().hex
    script = "import sys; sys.path[:] = %r; from %s import labelled; print(len(labelled([sys.argv[-1]])))"
    command = [sys.executable, "-c", script % (sys.path, labels.__name__), "-IS", name]
    with subprocess.Popen(["sh", "-c", "read go; : -IS " + name], stdin=subprocess.PIPE):
        for namespace, found in (([], b"1\n"), (["--fork", "--pid"], b"0\n")):
            assert (
                subprocess.run(["unshare", *namespace, *command], stdout=subprocess.PIPE, check=False).stdout == found
            )


@pytest.mark.parametrize(
    ("found", "inner"),
    [({}, []), ({5: 1}, [5]), ({5: 1, 6: 5, 7: 6}, [7]), ({5: 1, 6: 5, 8: 1}, [6, 8]), ({6: 1}, [6])],
)
def test_innermost(found: dict[int, int], inner: list[int]) -> None:
    assert labels.innermost(found) == inner


def test_patience_is_longer_than_what_is_waited_for() -> None:
    """An end that is told to stop: a stage that notices nothing, then one that cannot be killed, then what it left."""
    patience = Patience()
    assert patience.term + patience.kill + patience.term < patience.stop < labels.ENDS
    assert patience.gone < labels.GUARDS
    assert labels.ENDS + labels.GUARDS < labels.OVER
    assert patience.reset + patience.term < UNAWARE


def stubborn(launch: Launch, tmp_path: Path, changes: tuple[Change, ...] = (), **patience: float) -> Ends:
    """In full flow, with a source that ignores every signal it can."""
    path = tmp_path / "seen"
    source = sh("input", "trap '' TERM INT HUP PIPE; echo data; while :; do sleep 600; done")
    plan = make_plan(("a", source), ("b", record("output", path)), full_reads=False)
    ends = launch(plan, changes, patience={**HASTY, **patience})
    eventually(Path("%s.started" % path).exists, "the sink has not started")
    return ends


def label(ends: Ends, name: str) -> str:
    return "socketpipe:%s:%s" % (ends.plan.run, name)


WHO: dict[str, tuple[str, ...]] = {"nobody": (), "end": ("end",), "guard": ("guard",), "both": ("end", "guard")}


@pytest.mark.parametrize("stopped", WHO)
@pytest.mark.parametrize("changes", [(), DEAF], ids=["", "the end does not stop"])
def test_nothing_is_left_when_an_end_is_ended(
    launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str, changes: tuple[Change, ...]
) -> None:
    """Whether end or guard stand still, or the end has to be killed: the stage, which ignores all, goes first."""
    if changes:
        monkeypatch.setattr(labels, "ENDS", 2.0)
    ends = stubborn(launch, tmp_path, changes)
    of_a = [ends.guard("a"), ends.end("a")]
    stage = list(processes.descendants(ends.end("a")))
    assert stage
    for who in WHO[stopped]:
        os.kill(getattr(ends, who)("a"), signal.SIGSTOP)
    labels.end_all([label(ends, "a")])
    assert not labels.labelled([label(ends, "a")])
    assert not [pid for pid in [*stage, *of_a] if (seen := processes.stat(pid)) and not seen.dead]
    ends.wait()
    assert recorded(tmp_path / "seen")["how"] == "ECONNRESET"
    report = ends.report("a")
    if changes:
        assert report["died"]["signal"] == "SIGKILL" and report["killed"] and not report["left"]
    else:
        assert report["cancelled"]["signal"] == "SIGTERM" and not report["left"]
    ends.gone()


def test_a_guard_ends_an_end_that_does_not(launch: Launch, tmp_path: Path) -> None:
    """Nobody listens any more, and the end takes no notice: behind a dead ssh there is only the guard."""
    deaf = ("watch", "if found.pop(self.out, 0) & HANGUP:", "if found.pop(self.out, 0) & 0:")
    ends = stubborn(launch, tmp_path, (deaf,), stop=1.0)
    stdout = ends.processes["a"].stdout
    assert stdout is not None
    stdout.close()
    ends.wait()
    assert recorded(tmp_path / "seen")["how"] == "ECONNRESET"
    ends.gone()


def test_a_stopped_end_notices_that_nobody_listens(launch: Launch, tmp_path: Path) -> None:
    ends = stubborn(launch, tmp_path)
    os.kill(ends.end("a"), signal.SIGSTOP)
    stdout = ends.processes["a"].stdout
    assert stdout is not None
    stdout.close()
    ends.wait().gone()


SHELL = '"$0" -IS -c "import time; time.sleep(1000)" "$1"; true'


def test_whose_shell_is_gone_is_found(tmp_path: Path) -> None:
    """Of `connection: local`: the shell around an end is ended, and what it has started is nobody's descendant."""
    name = "socketpipe:%s:remote" % uuid.uuid4().hex
    shell = subprocess.Popen(["/bin/sh", "-c", SHELL, sys.executable, name])
    found = eventually(lambda: f if len(f := labels.labelled([name])) == 2 else None, "not started")
    shell.kill()
    shell.wait(LONG)
    (end,) = [pid for pid in found if pid != shell.pid]
    assert set(labels.labelled([name])) == {end}
    labels.end_all([name])
    assert not labels.labelled([name])


def test_who_is_not_ours_to_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[int, int]] = [{7: 1}]
    monkeypatch.setattr(labels, "labelled", lambda names: found[0])
    monkeypatch.setattr(labels, "kill", lambda pids, number: list(pids))
    slept: list[Any] = []
    monkeypatch.setattr(labels.time, "sleep", slept.append)
    labels.end_all(["any"])
    assert not slept
