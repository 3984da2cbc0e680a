# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every task of the role tape with the tape host, or the host itself, out of reach at that very task: one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts import Fleet

from . import playbook, taping
from .taping import Site

TASKS = Path(__file__).resolve().parents[2] / "roles" / "tape" / "tasks"
ENTRY = "plumbing.socketpipe.tape"
MODULES = ("plumbing.socketpipe.tape_", "plumbing.socketpipe.report")
REPORT = ("Read the catalog for the report", "Write the report")
DOWN = 9  # discard: nobody listens there


FLEET = taping.HOSTS


@pytest.fixture
def site(fleet: Fleet) -> Site:
    return taping.make_site(fleet)


def tasks_of_the_role() -> set[str]:
    """Those that reach a host: all others only pass variables on."""
    return {
        task["name"]
        for task in tasks_of(*(path.stem for path in TASKS.glob("*.yml")))
        if any(key.startswith(MODULES) for key in task)
    }


def entry(name: str, **variables: Any) -> dict[str, Any]:
    role = {"ansible.builtin.include_role": {"name": ENTRY, "tasks_from": name}, "vars": variables}
    return {"block": [role], "rescue": [{"name": f"after {name}", "ansible.builtin.debug": {"msg": "refused"}}]}


def tasks_of(*names: str) -> list[dict[str, Any]]:
    return [task for name in names for task in yaml.safe_load((TASKS / f"{name}.yml").read_text(encoding="utf-8"))]


def broken_before(name: str) -> list[dict[str, Any]]:
    """The tasks of a backup, where the tape host goes away just before the one of this name."""
    away = {"delegate_to": "tape1", "delegate_facts": True, "run_once": True}
    found = []
    for task in tasks_of("plan", "write"):
        if task["name"] == name:
            found.append({"name": "Away", "ansible.builtin.set_fact": {"ansible_port": DOWN}, **away})
        found.append(task)
    return found


def failed(done: playbook.Done) -> dict[str, str]:
    return {
        each.task.removeprefix(taping.ROLE): each.result["msg"] for each in done.outcomes if each.status == "failed"
    }


def check(text: str, host: str = "tape1") -> None:
    assert text.startswith(f"no end could be started on {host}: ") and "refused" in text, text
    assert "\n" not in text and "undefined" not in text and text.count("no end could be started") == 1


def test_the_tape_host_is_down(site: Site) -> None:
    seen = set()
    away = {"tape1": {"ansible_port": DOWN, "tape_paths": []}}
    tasks = [
        entry("backup"),
        entry("verify"),
        entry("restore", restore_host="h1"),
        entry("tape_label", tape_label="WEEK01"),
        entry("tape_inventory"),
        entry("tape_inventory", tape_rebuild=True),
        entry("tape_inventory", tape_catalog_from="h2"),
        entry("tape_find", tape_path="/etc/fstab"),
        entry("tape_list"),
        entry("tape_retire", tape_label="WEEK01", tape_reason="lost"),
        entry("tape_location", tape_label="WEEK01", tape_location="cellar"),
        entry("tape_drill", restore_host="h1"),
    ]
    done = playbook.run(site.fleet, tasks, hosts="h1", inventory=site.variables(away))
    for task, text in failed(done).items():
        check(text)
        seen.add(task)
    # and when it goes away later, with the tasks of the role as they are
    site.label()
    defaults = yaml.safe_load((TASKS.parent / "defaults" / "main.yml").read_text(encoding="utf-8"))
    own = site.variables()
    own["all"] = {**defaults, **own["all"], "tape_compression": "", "tape_host": "tape1", "tape_connect_timeout": 5}
    own["all"]["tape_report_dir"] = str(site.top / "reports")
    for name in ("Back up", "Finish the run"):
        done = playbook.run(site.fleet, broken_before(name), rc=None, hosts="h1,h2", inventory=own)
        told = {each.task: each for each in done.outcomes if each.host == "h1"}
        assert "Finish the run" in told, done.output
        finished = told["Finish the run"].result
        what, _colon, why = finished["notes"][-1].partition("lease expires: ")
        assert what == "the run was not finished, so its tapes stay reserved until tape_"
        check(why)
        for row in finished["hosts"].values():
            assert row["ok"] == (name != "Back up")
            if not row["ok"]:
                check(row["note"])
        assert (done.rc == 0) == (name != "Back up") and told["Fail if there is no good archive"].status in (
            "skipped",
            "failed",
        )
        for task in REPORT:  # which changes nothing for the hosts
            assert told[task].status == "failed" and told[task].ignored
            check(told[task].result["msg"])
        seen.update((name, *REPORT))
    assert seen == tasks_of_the_role()


def test_the_host_itself_is_down(site: Site) -> None:
    """It stops no other, is a failed host and not an unreachable one, and the table says why."""
    site.label()
    done = site.run("backup", rc=2, own={"h1": {"ansible_port": DOWN}})
    assert site.states() == [("h2", 0, "good")]
    (why,) = taping.failures(done, "Fail if there is no good archive").values()
    check(why, "h1")
    told = taping.statistic(done)
    assert (told["good"], told["failed"], told["hosts"]["h1"]["kind"]) == (1, 1, "unreachable")
    assert [each.status for each in done.outcomes if each.status == "unreachable"] == []
    done = site.run("restore", rc=2, restore_host="h2", restore_target="h1", own={"h1": {"ansible_port": DOWN}})
    check(failed(done)["Restore"], "h1")
