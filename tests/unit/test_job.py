# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that outlive their controller: the file of the job, and ends that detach, on this machine."""

from __future__ import annotations

import _socket
import errno
import gc
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.control import Control
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import job as job_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.disagreement import is_to_be_encrypted
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.fork import fork
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.home import FarEnd, Home
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.job import KEPT, ROOM, JobFile, expanded
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.labels import end_all, innermost, labelled
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._certificates import make_certificate
from ansible_collections.plumbing.socketpipe.tests.unit import ends as ends_module
from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends, eventually, make_plan, sh, stage

Launch = Callable[..., Ends]
RUN = "0123456789abcdef" * 2
OLD = RUN[::-1]


def read(path: Path | str) -> dict[str, Any]:
    return dict(json.loads(Path(path).read_text(encoding="utf-8")))


# -- the file


def test_the_file_of_a_job_from_its_start_to_its_result(tmp_path: Path) -> None:
    file = JobFile(str(tmp_path / "jobs"), RUN)
    file.create()
    path = tmp_path / "jobs" / RUN
    assert read(path) == {"started": True, "finished": False, "ansible_job_id": RUN} and not file.finished()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.running({"bytes": 5})
    assert read(path)["progress"] == {"bytes": 5} and read(path)["finished"] is False
    file.finish({"msg": "ok"}, {})
    assert read(path) == {"started": True, "finished": True, "ansible_job_id": RUN, "msg": "ok"} and file.finished()
    assert os.listdir(path.parent) == [RUN]


def test_what_a_later_task_learns_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is a file, what is in it, and whether anything still works on it."""
    told: Any = {"directory": str(tmp_path), "run": RUN, "take": True}
    file = JobFile(str(tmp_path), RUN)
    running: dict[int, int] = {}
    monkeypatch.setattr(job_module, "labelled", lambda labels: running if labels == [f"socketpipe:{RUN}"] else {})
    assert job_module.take(told) == {"path": file.path, "exists": False, "found": 0}
    file.create()
    running[5] = 1
    found = job_module.take(told)
    assert (found["exists"], found["found"], found["state"]) == (True, 1, read(file.path))
    running.clear()
    Path(file.path).write_text("{", encoding="ascii")
    found = job_module.take(told)
    assert (found["exists"], found["found"]) == (True, 0) and "state" not in found and found["error"]
    assert job_module.forget(told) == {"path": file.path, "exists": False} == job_module.forget(told)


def test_a_second_run_of_the_same_job_and_a_planted_link_are_refused(tmp_path: Path) -> None:
    file = JobFile(str(tmp_path), RUN)
    (tmp_path / "victim").write_text("precious")
    for plant in (file.create, lambda: os.symlink("victim", file.path)):
        plant()
        with pytest.raises(FileExistsError):
            file.create()
        os.unlink(file.path)
    os.symlink("victim", file.path + ".new")
    file.create()
    file.finish({"msg": "ok"}, {})
    assert (tmp_path / "victim").read_text() == "precious" and read(file.path)["msg"] == "ok"


def test_a_result_without_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short one takes the place that the file has had from the start; a whole one leaves nothing half-written."""
    file = JobFile(str(tmp_path), RUN)
    file.create()
    assert os.path.getsize(file.path) >= ROOM
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if os.fstat(fd).st_size < ROOM:  # it has no blocks yet
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(job_module.os, "write", full)
    file.running({"bytes": 1})
    file.finish({"msg": "long", "stages": ["x" * ROOM]}, {"msg": "short"})
    assert read(file.path)["msg"] == "short" and file.finished() and os.listdir(tmp_path) == [RUN]


def test_progress_does_not_bring_back_a_file_that_was_removed(tmp_path: Path) -> None:
    file = JobFile(str(tmp_path), RUN)
    file.create()
    os.unlink(file.path)
    file.running({"bytes": 1})
    assert os.listdir(tmp_path) == [] and file.finished()


def test_old_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results, and jobs of which no process is left; nothing that is young or not of a run."""
    file = JobFile(str(tmp_path), RUN)
    names = [format(number, "032x") for number in range(4)]
    for name in names:
        JobFile(str(tmp_path), name).create()
    done, gone, running, young = names
    JobFile(str(tmp_path), done).finish({}, {})
    JobFile(str(tmp_path), young).finish({}, {})
    others = ["j123.456", gone + ".new", "notes"]
    for name in others:
        (tmp_path / name).write_text("x")
    for name in set(os.listdir(tmp_path)) - {young}:
        os.utime(tmp_path / name, (0, 0))
    alive = [f"socketpipe:{running}"]
    monkeypatch.setattr(job_module, "labelled", lambda labels: {1: 0} if list(labels) == alive else {})
    file.sweep(float(KEPT + 1))
    assert sorted(os.listdir(tmp_path)) == sorted([running, young, "j123.456", "notes"])


def test_a_home_directory_is_that_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/elsewhere")
    own = job_module.pwd.getpwuid(os.geteuid())
    assert expanded("~/jobs") == own.pw_dir + "/jobs" and expanded(f"~{own.pw_name}/jobs") == own.pw_dir + "/jobs"
    assert expanded("/var/~/jobs") == "/var/~/jobs" and expanded("~nobody-has-this/x") == "~nobody-has-this/x"


# -- the plan


def detached(tmp_path: Path, home: str, *stages: tuple[str, dict[str, Any]], limit: float = 60.0) -> Plan:
    plan = make_plan(*stages)
    detach(plan, tmp_path, home, limit)
    return plan


def detach(plan: Plan, tmp_path: Path, home: str, limit: float = 60.0) -> None:
    hosts = {end: f"host-{end}" for end in plan.ends}
    plan.detach(
        home,
        {
            "directory": str(tmp_path / "jobs"),
            "hosts": hosts,
            "peer": "host-a",
            "advice": None,
            "writes": {},
            "fact": "socketpipe",
            "no_log": False,
            "limit": limit,
        },
    )


def test_home_learns_no_secret_of_others(tmp_path: Path) -> None:
    secret = {"environment": {"PASSWORD": "hunter2"}, "program": "aHVudGVyMg==", "launcher": [None]}
    plan = detached(tmp_path, "c", ("a", {**sh("one", "x"), **secret}), ("b", sh("two", "y")), ("c", sh("three", "z")))
    plan.encrypt(make_certificate)
    plan.expected = 5000
    told = plan.for_end("c")
    links = {link["id"]: link["secret"] for link in plan.links + plan.controls}
    own = {link["secret"] for link in told["links"]}
    text = json.dumps(told)
    assert "hunter2" not in text and "aHVudGVyMg" not in text
    assert {name for name, value in links.items() if value in text} == {
        name for name, value in links.items() if value in own
    }
    restored = Plan.restored(json.loads(json.dumps(told))["job"]["plan"])
    for end in plan.ends:
        before, after = plan.for_end(end), restored.for_end(end)
        assert restored.expectation() == plan.expectation() == ("one → two", 5000)
        assert [s["name"] for s in before["stages"]] == [s["name"] for s in after["stages"]]
        assert before["dial"] == after["dial"]
    kept = json.dumps(told["job"])
    assert "PRIVATE KEY" in text and "PRIVATE KEY" not in kept and "CERTIFICATE" not in kept
    verdict: Any = SimpleNamespace(plan=restored)
    assert all(is_to_be_encrypted(verdict, link) for link in restored.links)
    assert "job" not in plan.for_end("a") and plan.for_end("a")["detach"]


# -- the ends


def finish(plan: Plan, tmp_path: Path, seconds: float = 60.0) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while not read(tmp_path / "jobs" / plan.run)["finished"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return read(tmp_path / "jobs" / plan.run)


ways = pytest.mark.parametrize("encryption", ["none", "relay"])


@pytest.fixture(autouse=True)
def encrypted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    given = getattr(request.node, "callspec", SimpleNamespace(params={})).params
    monkeypatch.setattr(ends_module, "ENCRYPTION", given.get("encryption", "none"))


@ways
@pytest.mark.parametrize("home", ["a", "b"])
def test_ends_leave_their_logins(launch: Launch, tmp_path: Path, home: str, encryption: str) -> None:
    """All logins have ended, with their reports, while the stages run."""
    go = tmp_path / "go"
    plan = detached(
        tmp_path,
        home,
        ("a", sh("input", f"echo one; while [ ! -e {go} ]; do sleep 0.01; done; echo two")),
        ("b", stage("output", ["cat"])),
    )
    ends = launch(plan).wait()
    assert {name: ends.report(name)["detached"] for name in plan.ends} == {"a": True, "b": True}
    assert ends.report(home)["results_file"] == str(tmp_path / "jobs" / plan.run)
    assert not read(tmp_path / "jobs" / plan.run)["finished"]
    go.touch()
    result = finish(plan, tmp_path)
    assert (result["msg"], result["bytes"], result["peer"]) == ("ok", 8, "host-a")
    assert result["stages"][-1]["stdout"] == "one\ntwo\n" and result["ansible_facts"]["socketpipe"]["ok"]


@ways
@pytest.mark.parametrize("home", ["a", "b", "c"])
def test_three_ends_and_each_of_them_at_home(launch: Launch, tmp_path: Path, home: str, encryption: str) -> None:
    plan = detached(
        tmp_path, home, ("a", sh("one", "echo x")), ("b", sh("two", "cat; exit 4")), ("c", sh("three", "cat"))
    )
    launch(plan).wait()
    result = finish(plan, tmp_path)
    assert (result["cause"]["stage"], result["cause"]["host"], result["cause"]["rc"]) == ("two", "host-b", 4)
    assert [stage["rc"] for stage in result["stages"]][:2] == [0, 4]


def both(found: dict[int, int]) -> dict[int, int]:
    """What keeps the job and what stands by, once they are two; the login has ended before."""
    return found if len(found) == 2 else {}


@ways
def test_a_host_at_home_without_a_stage(launch: Launch, tmp_path: Path, encryption: str) -> None:
    """It only keeps the result, and a process beside it writes that if it is killed."""
    go = tmp_path / "go"
    plan = apart(tmp_path, sh("one", f"echo x; while [ ! -e {go} ]; do sleep 0.01; done"))
    ends = launch(plan).wait()
    assert [ends.report(end)["detached"] for end in plan.ends] == [True] * 3
    eventually(lambda: both(labelled([f"socketpipe:{plan.run}:home"])), "it has not split")
    go.touch()
    result = finish(plan, tmp_path)
    assert (result["msg"], result["bytes"], [stage["name"] for stage in result["stages"]]) == ("ok", 2, ["one", "two"])
    eventually(lambda: not labelled([f"socketpipe:{plan.run}"]), "a process is left")


@pytest.mark.parametrize("who", ["keeper", "other", "cancelled"])
def test_a_host_at_home_without_a_stage_is_stopped(launch: Launch, tmp_path: Path, who: str) -> None:
    plan = apart(tmp_path, sh("one", "sleep 600"))
    launch(plan).wait()
    found = eventually(lambda: both(labelled([f"socketpipe:{plan.run}:home"])), "it has not split")
    (inner,) = innermost(found)
    if who == "cancelled":
        end_all([f"socketpipe:{plan.run}"])
    else:
        os.kill(found[inner] if who == "keeper" else inner, signal.SIGKILL)
    if who == "other":
        os.kill(found[inner], signal.SIGTERM)
    result = finish(plan, tmp_path)
    words = {"keeper": "the process that keeps the job was killed", "other": "SIGTERM", "cancelled": "SIGTERM"}
    assert result["failed"] and words[who] in result["msg"] and result["changed"]
    eventually(lambda: not labelled([f"socketpipe:{plan.run}"]), "a process is left")


def apart(tmp_path: Path, source: dict[str, Any]) -> Plan:
    """A plan of two ends with stages, whose home is a third one."""
    plan = make_plan(("a", source), ("b", stage("two", ["cat"])))
    plan.add_end("home")
    for end in ("a", "b"):
        plan.reach("home", end, ["127.0.0.1"])
    detach(plan, tmp_path, "home")
    return plan


@pytest.mark.parametrize("required", [1, 2])
def test_branches(launch: Launch, tmp_path: Path, required: int) -> None:
    """Home knows which of them may fail, and warns."""
    plan = make_plan(("a", sh("source", "echo x")))
    plan.add_end("b")
    plan.reach("a", "b", ["127.0.0.1"])
    fork(plan, "source", [[("a", stage("good", ["cat"]))], [("b", sh("bad", "exit 3"))]], required)
    detach(plan, tmp_path, "a")
    launch(plan).wait()
    result = finish(plan, tmp_path)
    good, bad = (branch["ok"] for branch in result["branches"])
    assert not bad and (good or required == 2)  # then it may have been stopped before its end
    assert result.get("failed", False) == (required == 2)
    told = [line.startswith("the branch bad on host-b failed") for line in result.get("warnings", [])]
    assert told == [True] * (2 - required)


def test_no_log_hides_a_branch_that_may_fail(launch: Launch, tmp_path: Path) -> None:
    """There is no warning, which would have what its command has said."""
    plan = make_plan(("a", sh("source", "echo x")))
    fork(plan, "source", [[("a", stage("good", ["cat"]))], [("a", sh("bad", "echo secret >&2; exit 3"))]], 1)
    detach(plan, tmp_path, "a")
    assert plan.job
    plan.job["no_log"] = True
    launch(plan).wait()
    result = finish(plan, tmp_path)
    assert [branch["ok"] for branch in result["branches"]] == [True, False] and result["msg"] == "ok"
    assert "warnings" not in result and "secret" not in str(result)


@pytest.mark.parametrize("first", ["encrypt", "detach"])
def test_control_connections_are_encrypted_if_links_are(tmp_path: Path, first: str) -> None:
    plan = make_plan(("a", sh("one", "x")), ("b", sh("two", "y")))
    job: Any = {}
    steps: dict[str, Callable[[], None]] = {
        "encrypt": lambda: plan.encrypt(make_certificate),
        "detach": lambda: plan.detach("b", job),
    }
    for name in sorted(steps, key=lambda name: name != first):
        steps[name]()
    for end in ("a", "b"):
        assert all(link["encryption"] for link in plan.for_end(end)["links"])


@pytest.mark.parametrize("encryption", ["relay"])
@pytest.mark.parametrize("end", ["a", "b"])
def test_no_end_reports_in_clear(launch: Launch, tmp_path: Path, end: str, encryption: str) -> None:
    """One of them would: no stage starts, on either host."""
    plan = detached(tmp_path, "b", ("a", sh("input", f"touch {tmp_path}/began")), ("b", stage("output", ["cat"])))

    def told(spec: dict[str, Any]) -> None:
        for link in spec["links"]:
            if link["control"] and spec["end"] == end:
                link["encryption"] = None

    ends = launch(plan, told=told).wait()
    assert ends.report(end)["refused"] == {"kind": "no common cipher"} and ends.cause()["kind"] == "refused"
    assert not (tmp_path / "began").exists() and not (tmp_path / "jobs").exists()


@pytest.mark.parametrize("encryption", ["relay"])
def test_no_common_tls_on_a_control_connection(launch: Launch, tmp_path: Path, encryption: str) -> None:
    plan = detached(tmp_path, "b", ("a", sh("input", f"touch {tmp_path}/began")), ("b", stage("output", ["cat"])))
    other = make_certificate()

    def told(spec: dict[str, Any]) -> None:
        for link in spec["links"]:
            if link["control"] and spec["end"] == "b":
                link["encryption"]["peer"] = other["certificate"]

    cause = launch(plan, told=told).wait().cause()
    assert cause["msg"].startswith("host-b: the control connection to host-a cannot be encrypted: the TLS handshake ")
    assert not (tmp_path / "began").exists() and not (tmp_path / "jobs").exists()


def test_home_owns_what_it_closes(tmp_path: Path) -> None:
    """A descriptor that is opened later with the same number stays open."""
    plan = detached(tmp_path, "b", ("a", sh("input", "x")), ("b", stage("output", ["cat"])))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours = listener.accept()[0]
    connection: Any = SimpleNamespace(sock=_socket.socket(fileno=ours.detach()), prove=None)
    control = Control(connection, plan.for_end("b")["links"][1])
    far = FarEnd(plan.for_end("a"), control)
    theirs.close()
    assert far.hear() == [] and far.ready and far.outcome()["error"] == "its control connection was lost"
    new = [os.open(os.devnull, os.O_RDONLY) for _number in range(2)]
    assert not far.cancel()
    del far, control, connection
    gc.collect()
    for fd in new:
        os.close(fd)  # raises OSError if somebody else has


def test_nothing_starts_if_one_end_is_not_there(launch: Launch, tmp_path: Path) -> None:
    plan = detached(tmp_path, "b", ("a", sh("input", f"touch {tmp_path}/began")), ("b", stage("output", ["cat"])))
    plan.options["connect_timeout"] = 1
    for end in plan.ends.values():
        end["connect_timeout"] = 1
    for only in ("a", "b"):
        ends = launch(plan, only=[only]).wait()
        assert ends.report(only)["not_connected"] == ["control of a", "input \u2192 output"]
    assert not (tmp_path / "began").exists() and not (tmp_path / "jobs").exists()


def test_a_file_that_cannot_be_made_is_the_cause_for_all(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "jobs").touch()
    plan = detached(tmp_path, "b", ("a", sh("input", f"touch {tmp_path}/began")), ("b", stage("output", ["cat"])))
    ends = launch(plan).wait()
    cause = ends.cause()
    assert (cause["kind"], cause["host"]) == ("refused", "host-b")
    assert cause["msg"].startswith(f"host-b: the file of the job, {tmp_path}/jobs/{plan.run}, cannot be made: ")
    assert ends.report("a")["refused"] == {"kind": "not detached", "end": "b"} and not (tmp_path / "began").exists()


def test_the_same_plan_is_not_run_twice(launch: Launch, tmp_path: Path) -> None:
    """As if ssh had logged in again: the file of the job is there, and the first run goes on as if nothing happened."""
    go = tmp_path / "go"
    source = f"echo x >>{tmp_path}/began; while [ ! -e {go} ]; do sleep 0.02; done; echo done"
    plan = detached(tmp_path, "b", ("a", sh("input", source)), ("b", stage("output", ["cat"])))
    launch(plan).wait()
    eventually((tmp_path / "began").stat, "it has not begun")
    again = launch(plan).wait()
    cause = again.cause()
    assert (cause["kind"], cause["host"]) == ("refused", "host-b")
    assert cause["msg"].endswith(f"{plan.run}, cannot be made: File exists (async_dir)")
    assert not read(tmp_path / "jobs" / plan.run)["finished"]
    go.touch()
    result = finish(plan, tmp_path)
    assert (result["msg"], result["stages"][-1]["stdout"]) == ("ok", "done\n")
    assert (tmp_path / "began").read_text(encoding="utf-8") == "x\n"


def test_a_login_that_is_lost_before_the_start_ends_the_run(launch: Launch, tmp_path: Path) -> None:
    """A wrong message in its place is no start, either."""
    change = ("detach", "control.say(DETACHED)", "control.say(DETACH)")
    plan = detached(tmp_path, "b", ("a", sh("input", f"touch {tmp_path}/began")), ("b", stage("output", ["cat"])))
    ends = launch(plan, changes=[change]).wait()
    assert ends.report("a")["refused"] == {"kind": "not detached", "end": "b"}
    cause = ends.cause()
    assert (cause["host"], cause["msg"]) == ("host-b", "host-a: host-b did not leave its login, so nothing was started")
    result = finish(plan, tmp_path)
    assert result["failed"] and result["cause"]["host"] == "host-a" and not (tmp_path / "began").exists()


def test_cancel_blames_nobody(launch: Launch, tmp_path: Path) -> None:
    """What keeps the job is told first, and it stops the ends; else their host would be the one that has failed."""
    plan = detached(tmp_path, "b", ("a", sh("input", "sleep 600")), ("b", stage("output", ["cat"])))
    launch(plan).wait()
    answer = job_module.cancel({"directory": str(tmp_path / "jobs"), "run": plan.run})
    assert answer["found"] and not answer["left"]
    result = finish(plan, tmp_path)
    assert (result["cause"]["kind"], result["msg"]) == ("stopped", "on host-b: the job was stopped by SIGTERM")


def test_the_guard_stays_until_there_is_a_result(tmp_path: Path) -> None:
    """Its end is over, and what keeps the job is killed before it has written the result."""
    plan = detached(tmp_path, "b", ("a", sh("input", "true")), ("b", stage("output", ["cat"])))
    told: Any = plan.for_end("b")
    home = Home(told, told["job"])
    assert home.prepare() is None
    waits, busy = os.pipe()
    keeper = os.fork()
    if not keeper:
        home.keeper = os.getpid()
        try:
            if not os.fork():
                home.witness()
            else:
                os.close(busy)
                signal.pause()
        finally:
            os._exit(0)
    os.close(busy)
    assert os.read(waits, 1) == b"" and not home.file.finished()  # it has closed what it has no more need of
    os.close(waits)
    os.kill(keeper, signal.SIGKILL)
    os.waitpid(keeper, 0)
    result = finish(plan, tmp_path)
    assert result["msg"] == "on host-b: the process that keeps the job was killed"
    assert result["cause"]["kind"] == "end" and result["failed"]


def test_a_file_that_a_later_run_has_made_is_not_touched_by_the_guard_of_the_first(tmp_path: Path) -> None:
    """An archive that does not fit on its tape is written again under the same name."""
    told: Any = detached(tmp_path, "b", ("a", sh("input", "true")), ("b", stage("output", ["cat"]))).for_end("b")
    first, second = Home(told, told["job"]), Home(told, told["job"])
    assert first.prepare() is None
    first.last_word("its own end")
    assert read(first.file.path)["msg"] == "on host-b: its own end"
    first.forget()
    assert second.prepare() is None
    first.last_word("killed")
    assert not second.file.finished()
    second.file.running({"bytes": 5})
    first.last_word("killed")
    assert read(second.file.path)["progress"] == {"bytes": 5}


def test_the_time_limit(launch: Launch, tmp_path: Path) -> None:
    plan = detached(tmp_path, "b", ("a", sh("input", "sleep 600")), ("b", stage("output", ["cat"])), limit=0.5)
    launch(plan).wait()
    result = finish(plan, tmp_path)
    assert result["cause"]["kind"] == "stopped" and "was stopped after 0 s" in result["msg"]
