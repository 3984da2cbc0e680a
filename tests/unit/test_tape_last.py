# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last good archive of each host, in the table and in the statistic of a backup."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.commands.finish import last_good
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.session import Session
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.settings import Settings
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_last import add_to_rows
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_list import advice

DAY = 86400


def test_what_there_is_to_restore_of_a_host_that_failed() -> None:
    """Of several sources the oldest counts, and one without any."""
    late = "the last good archive of db1 (set all.shop) is of T4, which is older than tape_max_age (2d)"
    known: list[Any] = [
        {"host": "web1", "set": "all", "time": "T1", "age": 3600, "late": ""},
        {"host": "web2", "set": "all", "time": "T2", "age": 6 * DAY, "late": ""},
        {"host": "db1", "set": "all", "time": "T3", "age": 60, "late": ""},
        {"host": "db1", "set": "all.shop", "time": "T4", "age": 3 * DAY, "late": late},
        {"host": "db1", "set": "all.gone", "time": "T0", "age": 90 * DAY, "late": "nobody has this source any more"},
        {"host": "lost1", "set": "all.shop", "time": "T5", "age": 7200, "late": ""},
    ]
    good, failed = {"state": "good", "ok": True, "note": ""}, {"state": "failed", "ok": False, "note": "why"}
    parts: list[Any] = [
        {"name": "paths", **good},
        {"name": "shop", **failed},
        {"name": "new", "state": "failed", "ok": False, "msg": "broken"},
    ]
    rows: Any = {"web1": {**good}, "web2": {**failed}, "new1": {**failed}, "lost1": {**failed}}
    rows.update(db1={**failed, "note": "failed: shop", "sources": parts[:2]}, tape1={**good, "state": "left out"})
    plan: Any = {"tape_set": "all"}
    assert add_to_rows(rows, plan, known) == [late]
    assert {name: row["note"] for name, row in rows.items()} == {
        "web1": "",
        "web2": "why; its last good archive is 6 d old",
        "new1": "why; it has no good archive",
        "lost1": "why; its last good archive is 2 h old",
        "db1": "failed: shop",
        "tape1": "",
    }
    assert [part["note"] for part in parts[:2]] == ["", "why; its last good archive is 3 d old"]
    assert rows["web1"]["last_good"] == {"time": "T1", "age": 3600, "late": False}
    assert rows["db1"]["last_good"] == {"time": "T4", "age": 3 * DAY, "late": True}
    assert rows["new1"]["last_good"] is None and "last_good" not in rows["tape1"]
    rows["db1"]["sources"] = parts
    add_to_rows(rows, plan, known)
    assert rows["db1"]["last_good"] is None and parts[2]["note"] == "broken; it has no good archive"


def test_the_end_of_a_run_tells_it(tape_host: Callable[..., TapeHost]) -> None:
    """For the hosts of the plan, whose set and sources are of this name; a person gets it of all."""
    host = tape_host(lease=0)
    for run, name in (("R1", "h1"), ("R2", "h2"), ("R3", "h2")):
        host.backup(run, name)
    when, now = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * DAY)) for days in (5, 0))

    def change(tape: dict[str, Any]) -> None:
        for archive, more in zip(
            tape["archives"], [{"time": when}, {"time": now, "set": "all.shop"}, {"set": "allother"}]
        ):
            archive.update(more)

    host.edit("A", change)
    told = host.ok("finish", "--run", "R4", max_age="2d")["last"]
    assert [(each["host"], each["set"], each["age"] // DAY, bool(each["late"])) for each in told] == [
        ("h1", "all", 5, True),
        ("h2", "all.shop", 0, False),
    ]
    assert (
        told[0]["late"] == f"the last good archive of h1 (set all) is of {when}, which is older than tape_max_age (2d)"
    )
    told = last_good(Session(Settings(dict(host.settings))), {"h2", "h3"})
    assert [(each["host"], each["late"]) for each in told] == [("h2", "")]


def test_the_list_names_the_set_that_was_never_tested() -> None:
    """A host whose own files were verified may have a source that was not."""
    times: dict[str, Any] = {"last_verified": {}, "last_restored": None, "last_drilled": None}
    done = {**times, "last_verified": {"ok": True}, "last_drilled": {"ok": True}}
    hosts = [
        {"host": "db1", "set": "all", **done},
        {"host": "db1", "set": "all.shop", **times},
        {"host": "web1", "set": "all", **times},
    ]
    found: Any = {"hosts": hosts}
    assert advice(found, ["new1"]) == [
        f"Never {word}: db1 (set all.shop), web1, new1" for word in ("verified", "restored")
    ]
