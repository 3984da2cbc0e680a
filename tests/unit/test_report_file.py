# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a report on the controller and on the tape host, and the task that writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.action.report import LOST, ActionModule
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import files
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.commands import page as pages
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _report_file
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._report_page import page
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._report_read import read
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_answers import ANSWERS
from ansible_collections.plumbing.socketpipe.tests.unit import reports
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

FIRST, LATER = "2026-11-26T16:52:00Z", "2026-11-26T17:00:00Z"


def renderer(*results: Any) -> Callable[[str], str]:
    return lambda made: page("x", made, read(("", result) for result in results))


def mode_of(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


# -- on the controller


def test_a_file_is_left_alone_if_only_its_time_would_change(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    one, other = renderer(reports.pipe("h1")), renderer(reports.pipe("h2"))
    assert _report_file.write(str(path), 0o600, one, FIRST, check=True) and not path.exists()
    assert _report_file.write(str(path), 0o600, one, FIRST, check=False)
    assert path.read_text(encoding="utf-8") == one(FIRST) and mode_of(path) == 0o600
    assert not _report_file.write(str(path), 0o600, one, LATER, check=False)
    assert path.read_text(encoding="utf-8") == one(FIRST)
    for check in (True, False):  # another mode, and another content
        assert _report_file.write(str(path), 0o644, one, LATER, check)
        assert path.read_text(encoding="utf-8") == one(FIRST if check else LATER)
    assert mode_of(path) == 0o644
    assert _report_file.write(str(path), 0o644, other, LATER, check=False)
    path.write_text("something else", encoding="utf-8")
    assert _report_file.write(str(path), 0o644, other, LATER, check=False)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "report.html"
    target.write_text("precious", encoding="utf-8")
    path.symlink_to(target)
    assert _report_file.write(str(path), 0o600, renderer(), FIRST, check=False)
    assert target.read_text(encoding="utf-8") == "precious" and not path.is_symlink()


@pytest.mark.parametrize(("dest", "msg"), [
    ("no/report.html", "dest: there is no directory {0}/no on the controller: create it"),
    ("", "dest: {0} is a directory: add the name of a file, such as {0}/report.html"),
])  # fmt: skip
@pytest.mark.parametrize("check", [True, False])
def test_a_place_that_cannot_be(dest: str, msg: str, check: bool, tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        _report_file.write(os.path.join(tmp_path, dest).rstrip("/"), 0o600, renderer(), FIRST, check)
    assert (caught.value.kind, caught.value.msg) == ("settings", msg.format(tmp_path))


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("check", [True, False])
def test_what_is_no_file_is_neither_read_nor_replaced(kind: str, check: bool, tmp_path: Path) -> None:
    """Nor what a link leads to: /dev/stdout is one."""
    path = tmp_path / "report.html"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(Failure) as caught:
        _report_file.write(str(path), 0o600, renderer(), FIRST, check)
    msg = f"dest: {path} on the controller is no regular file: give the name of a file to write"
    assert (caught.value.kind, caught.value.msg) == ("settings", msg)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"] and not path.is_file()


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")

    def fail(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Failure) as caught:
        _report_file.write(str(path), 0o600, renderer(), FIRST, check=False)
    assert caught.value.msg == f"cannot write the report {path} on the controller: No space left on device"
    assert path.read_text(encoding="utf-8") == "old" and len(list(tmp_path.iterdir())) == 1


# -- on the tape host


def store(host: TapeHost, name: str, folder: Path, **more: Any) -> dict[str, Any]:
    given = {"name": name, "text": f"<p>{name} ü", "folder": str(folder), "mode": "0600", "keep": 2, **more}
    answer = host.ok("page", data=json.dumps(given).encode())
    assert ANSWERS["page"](answer, "page") == answer
    return answer


def test_the_last_ones_are_kept(tape_host: Callable[..., TapeHost], tmp_path: Path) -> None:
    host, folder = tape_host(), tmp_path / "some" / "reports"
    others = [folder / "notes.html", folder / "report-notes.html.old", folder / "report-a b.html"]
    for number, name in enumerate(("R1", "R2", "R3")):
        answer = store(host, name, folder)
        path = folder / f"report-{name}.html"
        assert answer == {"path": str(path), "removed": ["report-R1.html"] if name == "R3" else []}
        assert path.read_text(encoding="utf-8") == f"<p>{name} ü" and mode_of(path) == 0o600
        os.utime(path, (number, number))
        if not number:
            assert mode_of(folder) == 0o700 and os.readlink(folder / "latest.html") == "report-R1.html"
            for other in others:
                other.touch()
                os.utime(other, (0, 0))
            (folder / "report-link.html").symlink_to("notes.html")
    # the same run again, which is now the oldest of three, and not removed
    os.utime(folder / "report-R3.html", (9, 9))
    assert store(host, "R2", folder, keep=1)["removed"] == ["report-R3.html"]
    assert store(host, "R4", folder, keep=0, mode="0644")["removed"] == []
    assert mode_of(folder / "report-R4.html") == 0o644 and (folder / "latest.html").resolve().name == "report-R4.html"
    names = {*others, *(folder / f"report-{name}.html" for name in ("R2", "R4", "link")), folder / "latest.html"}
    assert set(folder.iterdir()) == names


def test_what_another_user_has_put_there_is_not_followed(tape_host: Callable[..., TapeHost], tmp_path: Path) -> None:
    host, target = tape_host(), tmp_path / "precious"
    target.write_text("precious", encoding="utf-8")
    (tmp_path / "report-R1.html").symlink_to(target)
    (tmp_path / "latest.html").write_text("mine", encoding="utf-8")
    store(host, "R1", tmp_path)
    assert target.read_text(encoding="utf-8") == "precious" and not (tmp_path / "report-R1.html").is_symlink()
    assert (tmp_path / "latest.html").read_text(encoding="utf-8") == "mine"


def test_another_run_removes_files_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its temporary ones, and old reports."""
    (tmp_path / "report-R1.html").touch()
    there = ["report-R0.html", ".latest.x", ".report-R3.html.x", "report-R1.html", "report-R2.html"]
    monkeypatch.setattr(os, "listdir", lambda _folder: there)
    assert pages.expire(str(tmp_path), "report-R2.html", 1) == ["report-R1.html"]


@pytest.mark.parametrize(("given", "said"), [
    ({"name": "../R1"}, "'../R1' cannot be the name of a run"),
    ({"folder": "reports"}, "tape_report_dir: 'reports' is not a path"),
    ({"folder": "/proc/no"}, "/proc/no"),
])  # fmt: skip
def test_a_report_that_cannot_be_stored(
    given: dict[str, Any], said: str, tape_host: Callable[..., TapeHost], tmp_path: Path
) -> None:
    asked = {"name": "R1", "text": "x", "folder": str(tmp_path / "reports"), "mode": "0600", "keep": 2, **given}
    assert said in tape_host().fails("page", data=json.dumps(asked).encode())
    assert not (tmp_path / "reports").exists() or list((tmp_path / "reports").iterdir()) == []


def test_half_of_a_report_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report-R1.html").write_text("old", encoding="utf-8")

    def fail(*_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        files.publish(str(tmp_path / "report-R1.html"), b"new", 0o600)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("report-R1.html", b"old")]


# -- the task


def action(check: bool = False, no_log: bool = False, hosts: dict[str, Any] | None = None, **args: Any) -> Any:
    made: Any = ActionModule.__new__(ActionModule)
    made._task = SimpleNamespace(check_mode=check, no_log=no_log, args=args)
    defaults = {name: details.get("default") for name, details in ActionModule.SPEC.items()}
    made.args = {**defaults, **args}
    variables = SimpleNamespace(raw_get=(hosts or {}).get)
    made.task_vars = {"ansible_play_hosts_all": list(hosts or {}), "hostvars": variables}
    made.asked = []
    made.ask = lambda words, given: made.asked.append((words, given)) or {"path": "/r/report-R.html", "removed": ["x"]}
    return made


@pytest.mark.parametrize(("args", "msg"), [
    ({"results": [{}]}, "dest or tape_report_dir is required: where to write the report"),
    ({"dest": "/x"}, "results or registered is required: what to report on"),
    ({"dest": "x", "results": [], "tape_report_keep": -1}, "tape_report_keep must be at least 0: 0 keeps all reports"),
])  # fmt: skip
def test_what_is_required(args: dict[str, Any], msg: str) -> None:
    with pytest.raises(Failure) as caught:
        action(**args).work()
    assert (caught.value.kind, caught.value.msg) == ("settings", msg)


@pytest.mark.parametrize("check", [True, False])
def test_both_files(check: bool, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    given: dict[str, Any] = {
        "results": [reports.finished(), {"stdout": "x"}],
        "dest": str(path),
        "tape_report_dir": "/r",
    }
    made = action(check=check, **given, mode="0640", tape_report_keep=3)
    result = made.work()
    assert result["changed"] and path.exists() is not check
    assert result["notes"] == ["1 result of other modules left out"]
    name = f"report-{reports.RUN}.html" if check else "report-R.html"
    assert (result["dest"], result["report_file"]) == (str(path), f"/r/{name}")
    assert result["msg"] == f"report on 7 hosts, 1 failed: {path} and /r/{name}"
    if not check:
        ((words, asked),) = made.asked
        assert words == ["page"] and asked.pop("text") == path.read_text(encoding="utf-8")
        assert asked == {"name": reports.RUN, "folder": "/r", "mode": "0640", "keep": 3} and mode_of(path) == 0o640
        assert result["removed"] == ["x"]


def test_the_variables_of_all_hosts(tmp_path: Path) -> None:
    """A host without any is one that the play has lost, and a task with run_once is there once."""
    once = reports.fork()
    hosts = {
        "h1": {"one": reports.pipe("h1"), "other": once},
        "h2": {"one": reports.broken("h2", "no"), "other": once},
        "h3": {"one": "{{ lookup('pipe', 'id') }}"},
    }
    made = action(hosts=hosts, registered=["one", "other"], dest=str(tmp_path / "report.html"))
    assert [(host, result.get("run")) for host, result in made.registered()] == [
        *(("h1", "h1-tape1"), ("h1", once["run"])),
        *(("h2", "h2-tape1"), ("h3", None)),
    ]
    assert made.work()["msg"].startswith("report on 3 hosts, 2 failed: ")
    assert LOST in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_each_host_of_a_run_counts_and_each_result_once(tmp_path: Path) -> None:
    """All archives of a backup have the run in common; the results of tape_finish and tape_info have no run."""
    done: dict[str, Any] = {each["host"]: {"done": each} for each in reports.backups()}
    done["db2"]["done"] = {**done["db2"]["done"], "state": "failed", "failed": True, "msg": "db2: no"}
    made = action(hosts=done, registered=["done"], dest=str(tmp_path / "report.html"))
    assert [host for host, _result in made.registered()] == list(done)
    assert made.work()["msg"].startswith("report on 5 hosts, 1 failed: ")
    once = {"ended": reports.finished(), "known": reports.catalog()}
    assert len(action(hosts=dict.fromkeys(done, once), registered=["ended", "known"]).registered()) == 2


def test_no_log_of_the_task_itself(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    action(results=[reports.broken("h1", "s3cret")], dest=str(path), no_log=True).work()
    assert "s3cret" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("given", "found"), [({"dest": "/x"}, "localhost"), ({"tape_report_dir": "/r"}, "tape1")])
def test_only_a_file_there_needs_the_tape_host(given: dict[str, Any], found: str) -> None:
    made = action(hosts={"tape1": {"tape_devices": ["/t"]}, "tape2": {}})
    hosts: Any = type("Hosts", (dict,), {"raw_get": dict.get})({"tape1": {"tape_devices": ["/t"]}, "tape2": {}})
    made.task_vars.update(hostvars=hosts, groups={"all": ["tape1", "tape2"]})
    assert made.find_tape_host(given)[0] == found
