# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage whose program runs once more after a failed run, to undo what it has begun, whoever was killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import afterwards as afterwards_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import stage as stage_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.afterwards import Again
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import Cancelled
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.report import parse
from ansible_collections.plumbing.socketpipe.tests.unit.ends import HASTY, Ends, eventually, make_plan, sh

Launch = Callable[..., Ends]
LIMIT = 50.0
READ = "cat > /dev/null"


def source(folder: Path, script: str, undo: str = "", limit: float = LIMIT) -> dict[str, Any]:
    undo = undo or f"echo undone >> {folder}/log"
    return sh("input", f"touch {folder}/begun; {script}", afterwards={"words": ["-c", undo], "limit": limit})


def plan_of(stage: dict[str, Any], reader: str = READ) -> Plan:
    return make_plan(("h1", stage), ("h2", sh("output", reader)))


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text(encoding="utf-8").split()


def kill_stage(ends: Ends, folder: Path) -> None:
    os.kill(int((folder / "pid").read_text(encoding="utf-8")), signal.SIGKILL)


def lose_controller(ends: Ends, _folder: Path) -> None:
    out = ends.processes["h1"].stdout
    assert out is not None
    out.close()


VICTIMS: dict[str, Callable[[Ends, Path], None]] = {
    "the stage": kill_stage,
    "the end": lambda ends, _folder: os.kill(ends.end("h1"), signal.SIGKILL),
    "the guard": lambda ends, _folder: os.kill(ends.guard("h1"), signal.SIGKILL),
    "the end, gently": lambda ends, _folder: os.kill(ends.end("h1"), signal.SIGTERM),
    "the controller": lose_controller,
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_it_runs_once_whoever_is_killed(launch: Launch, tmp_path: Path, victim: str) -> None:
    """When nothing of the stage runs any more; and nothing is left."""
    script = f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 600"
    alive = f"kill -0 $(cat {tmp_path}/pid) 2> /dev/null && echo early >> {tmp_path}/log; echo undone >> {tmp_path}/log"
    ends = launch(plan_of(source(tmp_path, script, alive)), patience=HASTY)
    eventually((tmp_path / "pid").read_text, "the stage has not started")
    end = ends.end("h1")
    VICTIMS[victim](ends, tmp_path)
    ends.wait()
    eventually(lambda: not Path(f"/proc/{end}").exists(), "the end is still there")
    eventually(lambda: log(tmp_path), "it has not run")
    ends.gone()
    assert log(tmp_path) == ["undone"]


@pytest.mark.parametrize("fails", [False, True])
def test_only_after_a_failure(launch: Launch, tmp_path: Path, fails: bool) -> None:
    """That of a reader, too."""
    plan = plan_of(source(tmp_path, "head -c 1000000 /dev/zero"), "exit 7" if fails else READ)
    ends = launch(plan, patience=HASTY).wait()
    assert (tmp_path / "begun").exists() and (tmp_path / "log").exists() is fails
    assert ends.verdict().ok is not fails


@pytest.mark.parametrize(
    ("undo", "limit", "error"),
    [
        ("echo one >&2; echo two >&2; exit 5", LIMIT, "two"),
        ("exit 5", LIMIT, "exit status 5"),
        ("sleep 600", 0.1, "exit status -9"),
    ],
)
def test_a_failure_of_its_own_is_a_warning(launch: Launch, tmp_path: Path, undo: str, limit: float, error: str) -> None:
    """It changes nothing of the cause."""
    ends = launch(plan_of(source(tmp_path, "exit 3", undo, limit)), patience=HASTY).wait()
    assert ends.cause()["stage"] == "input"
    report, wrong = parse(ends.report("h1"), ends.plan.for_end("h1"))
    assert not wrong
    (warning,) = report["warnings"]
    assert warning == {"kind": "afterwards", "stage": "input", "error": error}
    assert sentences.warning(warning) == f"input has failed, and what it had begun is not undone: {error}"
    ends.gone()


def test_a_killed_end_whose_guard_warns(launch: Launch, tmp_path: Path) -> None:
    ends = launch(plan_of(source(tmp_path, "exec sleep 600", "exit 6")), patience=HASTY)
    eventually((tmp_path / "begun").exists, "the stage has not started")
    os.kill(ends.end("h1"), signal.SIGKILL)
    report, wrong = parse(ends.wait().report("h1"), ends.plan.for_end("h1"))
    assert not wrong and report["died"]["kind"] == "signal"
    assert report["warnings"] == [{"kind": "afterwards", "stage": "input", "error": "exit status 6"}]


# -- without a process


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> Again:
    """Its process ends at the third look, by the clock of the test; ``told`` is how it was started."""
    spec: Any = source(Path("/folder"), "script", "undo")
    spec.update(end="h1", fds={"1": "link"}, inherit={"1": 5}, fan=["x"], keep=10)
    made: Any = Again(spec)
    made.told, made.signals, made.status = [], [], 0
    made.now, made.looks = 100.0, 0

    def spawn(argv: list[str], *_words: Any, **more: Any) -> int:
        made.told.append((argv, more["orphaned"]))
        return 77

    def wait4(pid: int, options: int) -> tuple[int, int, Any]:
        assert (pid, options) == (77, os.WNOHANG)
        made.looks += 1
        made.now += 1.0
        return (77 if made.looks == 3 else 0), made.status, SimpleNamespace(ru_utime=1.0, ru_stime=2.0)

    monkeypatch.setattr(stage_module, "spawn", spawn)
    monkeypatch.setattr(afterwards_module, "descendants", lambda pid: {pid + 1: "sleep"})
    monkeypatch.setattr(afterwards_module, "kill_with_groups", lambda *words: made.signals.append(words))
    monkeypatch.setattr(afterwards_module, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(afterwards_module, "os", SimpleNamespace(wait4=wait4, WNOHANG=os.WNOHANG))
    return cast(Again, made)


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (0, "lines", ""),
        (256, "", "exit status 1"),
        (256, "one\ntwo\n\n", "two"),
        (256, "x" * 1000 + "y", "x" * 999 + "y"),
    ],
)
def test_its_program_runs_with_other_words(again: Any, stops: bool, status: int, said: str, error: str) -> None:
    """Without the links and the descriptors of the stage; and its end may be told to stop, or die."""
    again.status = status
    written: list[bytes] = [said.encode()]

    class Watch:
        def poll(self, fds: dict[int, int], timeout: float) -> None:
            assert (fds, timeout) == ({}, afterwards_module.PAUSE)
            again.stderr.data += written.pop() if written else b""
            if stops:
                raise Cancelled({"kind": "home"})

    assert again.run(Watch()) == error
    assert again.told == [(["/bin/sh", "-c", "undo"], 0)] and again.signals == []
    assert (again.fds, again.spec["fds"], again.spec["keep"]) == ({}, {}, 10)
    assert again.looks == 3 and again.cpu == 3.0 and "fan" not in again.spec and "inherit" not in again.spec


@pytest.mark.parametrize(("limit", "kills"), [(3.0, 0), (2.0, 1), (1.5, 1), (1.0, 2), (0.5, 2)])
def test_it_is_killed_at_its_limit(again: Any, limit: float, kills: int) -> None:
    """With all that it has started, again and again."""
    again.spec["afterwards"]["limit"] = limit
    again.run(SimpleNamespace(poll=lambda *_words: None))
    assert again.signals == [([78, 77], signal.SIGKILL)] * kills


@pytest.mark.parametrize(
    ("error", "said"),
    [(NotStarted(2, "No such file or directory"), "No such file or directory"), (OSError(24, "x"), "[Errno 24] x")],
)
def test_one_that_cannot_be_started(again: Again, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def spawn(*_words: Any, **_more: Any) -> int:
        raise error

    monkeypatch.setattr(stage_module, "spawn", spawn)
    assert again.run(cast(Any, None)) == said


def test_each_that_fails_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    specs: list[Any] = [
        {"name": name, "afterwards": {"limit": limit}} for name, limit in (("a", 1), ("b", 20), ("c", 300))
    ]
    assert afterwards_module.limit(specs) == 321
    errors = {"a": "", "b": "no", "c": "never"}
    monkeypatch.setattr(
        afterwards_module, "Again", lambda spec: SimpleNamespace(run=lambda watch: errors[spec["name"]] + watch)
    )
    assert afterwards_module.run_all(specs, cast(Any, "")) == [
        {"kind": "afterwards", "stage": "b", "error": "no"},
        {"kind": "afterwards", "stage": "c", "error": "never"},
    ]
