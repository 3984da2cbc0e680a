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
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import launch as launch_module
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


class Silent(launch_module.Launch):
    """A launch that ends as soon as the last one has been started; it notes when, and what its end was given."""

    started: list[Silent] = []

    def start(self) -> None:
        self.started.append(self)
        if self.plan["end"] == "last":
            for each in self.started:
                each.over()
                each.report = {"end": each.plan["end"], "preflight": True}


class Counting(launch_module.Run):
    """Notes how long it was to listen."""

    def __init__(self, launches: dict[str, Silent]) -> None:
        super().__init__(launches, lambda sample: None)
        self.waits: list[float] = []

    def listen(self, most: float = launch_module.BEAT) -> None:
        self.waits.append(most)


def many(count: int) -> dict[str, Silent]:
    Silent.started = []
    ends = ["e%d" % number for number in range(count - 1)] + ["last"]
    plans: list[Any] = [
        {"run": uuid.uuid4().hex, "end": end, "links": [], "stages": [], "connect_timeout": 30} for end in ends
    ]
    return {plan["end"]: Silent(plan, ["python3"]) for plan in plans}


@pytest.mark.parametrize(("count", "paces"), [(2, 0), (8, 0), (9, 1), (300, 292)])
def test_many_ends_start_one_after_the_other(count: int, paces: int) -> None:
    """Each has as much time to connect after the last one was started."""
    launches = many(count)
    run = Counting(launches)
    outcomes = run.outcomes()
    assert run.waits == [launch_module.PACE] * paces and len(outcomes) == count
    given = [launch.plan["connect_timeout"] for launch in launches.values()]
    later = [max(0, number + 1 - launch_module.LOGINS) * launch_module.PACE for number in range(count)]
    assert {round(seconds + wait, 6) for seconds, wait in zip(given, later)} == {
        round(30 + launch_module.PACE * paces, 6)
    }
    assert given[-1] == 30


def test_no_end_is_started_when_one_of_many_has_failed() -> None:
    launches = many(20)
    launches["e3"].begun, launches["e3"].error = False, "no route to host"
    launches["e3"].over()
    outcomes = Counting(launches).outcomes()
    assert len(Silent.started) < 20 and len(outcomes) == 20
    assert outcomes["last"]["cancelled"] and not outcomes["e3"]["cancelled"]


def test_one_look_at_proc_is_enough_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["socketpipe:%s:%s" % (uuid.uuid4().hex, end) for end in ("a", "b", "ab")]
    script = "import time; print(flush=True); time.sleep(1000)"
    running = [subprocess.Popen([sys.executable, "-IS", "-c", script, name], stdout=subprocess.PIPE) for name in names]
    try:
        for process in running:
            assert process.stdout is not None and process.stdout.readline()
        found = labels.by_label(names)
        assert [list(found[name]) for name in names] == [[process.pid] for process in running]
        assert labels.labelled(names) == {process.pid: os.getpid() for process in running}
        looks = list[int]()
        real = labels.pids

        def pids() -> Any:
            looks.append(1)
            return real()

        monkeypatch.setattr(labels, "pids", pids)
        assert launch_module.cancel(list(many(20).values()), 0.0) == [False] * 20 and len(looks) == 1
    finally:
        for process in running:
            process.kill()
            process.communicate()


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
    ("found", "inner", "outer"),
    [
        ({}, [], []),
        ({5: 1}, [5], [5]),
        ({5: 1, 6: 5, 7: 6}, [7], [5]),
        ({5: 1, 6: 5, 8: 1}, [6, 8], [5, 8]),
        ({6: 1}, [6], [6]),
    ],
)
def test_innermost_and_outermost(found: dict[int, int], inner: list[int], outer: list[int]) -> None:
    assert labels.innermost(found) == inner and labels.outermost(found) == outer


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
    deaf = ("watch", "if seen & HANGUP:", "if seen & 0:")
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
