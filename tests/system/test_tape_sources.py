# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role tape with sources: outputs of commands, paths of their own, and commands around them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts import Host
from tests.recipes.site import PATIENCE, missing, wait_until
from tests.recipes.test_postgresql import CLUSTER, HOME, ROWS, SETTINGS, SHOP, sql

from . import playbook, taping
from .taping import Site

FAILED = "Fail if there is no good archive"
RESTORE = "Restore"


FLEET = taping.HOSTS


def sets(site: Site) -> list[tuple[str, str]]:
    return [(each["set"], each["state"]) for each in site.archives()]


def rows(done: Any) -> dict[str, str]:
    return {row[0]: row[1] for row in taping.table(done, "BACKUP")[2:] if len(row) > 5}


def test_sources_that_fail_and_those_that_do_not(site: Site) -> None:
    """A dump that dies is no archive, nor is one whose hook fails; ``after`` runs all the same, and others go on."""
    log = site.top / "data" / "hooks"
    log.write_text("", encoding="utf-8")

    def hook(text: str) -> list[str]:
        return ["sh", "-c", f"echo {text} >> {log}"]

    big = "head -c 3000000 /dev/zero"
    sources: list[dict[str, Any]] = [
        {"name": "killed", "cmd": ["sh", "-c", f"{big}; kill -9 $$"], "before": hook("b1"), "after": hook("a1")},
        {"name": "unmade", "cmd": big, "before": ["sh", "-c", "echo no room >&2; exit 5"], "after": hook("a2")},
        {"name": "unhooked", "cmd": big, "after": ["sh", "-c", "exit 6"]},
        {"name": "slow", "cmd": big, "before": "sleep 1000", "hook_timeout": 1},
        {"name": "good", "cmd": ["sh", "-c", f"cat {log}; {big}"], "before": hook("b3"), "after": hook("a3")},
        {"name": "files", "paths": [str(site.data("h2"))]},
    ]
    own: dict[str, Any] = {"h1": {"tape_sources": [sources[4], sources[5]]}}
    done = site.run("backup", own=own, args=["--limit", "h1", "--check"])
    checked = {row[0]: row[1] for row in taping.table(done, "CHECK")[2:] if len(row) > 5}
    assert checked == dict.fromkeys(["h1", "h1: paths", "h1: good", "h1: files"], "estimated")
    assert sets(site) == [] and log.read_text(encoding="utf-8") == ""
    done = site.run("backup", rc=2, own={"h1": {"tape_sources": sources}}, args=["--limit", "h1"])
    why = taping.failures(done, FAILED)["h1"]
    for text in (
        "killed: h1: sh was killed by SIGKILL: it gave no reason",
        "unmade: h1: the command before (sh) failed with status 5: no room",
        "unhooked: h1: the command after (sh) failed with status 6: it gave no reason",
        "slow: h1: the command before (sleep) was killed after 1 seconds, its timeout",
    ):
        assert text in why, why
    assert log.read_text(encoding="utf-8").split() == ["b1", "a1", "a2", "b3", "a3"]
    found = rows(done)
    assert found == {
        "h1": "FAILED",
        "h1: paths": "good",
        **{f"h1: {name}": "FAILED" for name in ("killed", "unmade", "unhooked", "slow")},
        "h1: good": "good",
        "h1: files": "good",
    }
    assert [name for name, state in sets(site) if state == "good"] == ["all", "all.good", "all.files"]
    # the run is resumed: what is good is left alone, and what a killed hook left undone is done first
    run = site.archives()[0]["run"]
    sources[2]["after"] = hook("a4")
    more = [each for each in sources if each["name"] in ("unhooked", "good", "files")]
    pending = next(site.top.glob("state/h1/*/all.unhooked/after"))
    pending.write_text(pending.read_text(encoding="utf-8").replace("exit 6", f"echo late >> {log}"), encoding="utf-8")
    done = site.run("backup", own={"h1": {"tape_sources": more}}, args=["--limit", "h1"], tape_resume=run)
    states = rows(done)
    assert states.pop("h1") == "good" and states.pop("h1: unhooked") == "good"
    assert set(states.values()) == {"good before"}
    assert log.read_text(encoding="utf-8").split()[-2:] == ["late", "a4"] and not pending.exists()
    assert [row[1] for row in taping.table(site.run("verify"), "VERIFY")[2:]] == ["good"] * 4

    # the way back: only with a command of the inventory, and never a damaged archive as a complete one
    back = site.top / "back"
    options: dict[str, Any] = {"restore_host": "h1", "restore_target": "h2", "restore_source": "good"}
    done = site.run("restore", rc=2, **options)
    assert taping.failures(done, RESTORE)["h2"].startswith("good is the output of a command: to restore it on h2, set ")
    own = {"h2": {"tape_sources": [{**sources[4], "restore": ["sh", "-c", f"cat > {back} && echo whole >> {back}"]}]}}
    site.run("restore", own=own, **options)
    content = back.read_bytes()
    assert content.startswith(b"b1\na1\na2\nb3\n") and content.endswith(b"\0whole\n") and len(content) == 3000018
    (archive,) = [each for each in site.archives() if (each["set"], each["state"]) == ("all.good", "good")]
    path = site.tape() / f"{archive['file']:06d}"
    path.write_bytes(path.read_bytes().replace(b"b1", b"b2", 1))
    done = site.run("restore", rc=2, own=own, **options)
    assert "h2: these are not the 3000012 bytes in the catalog" in taping.failures(done, RESTORE)["h2"]
    assert not back.read_bytes().endswith(b"whole\n")
    options = {**options, "restore_source": "files", "restore_to": str(site.top / "files")}
    site.run("restore", **options)
    assert taping.read(site.top / "files" / site.data("h2").relative_to("/")) == {"one": "h2 one", "two": "h2 two"}


def archiver_of(host: Host) -> int:
    """The process that runs the commands of the source below: the parent of its dump."""
    return next(each.ppid for each in host.processes() if each.cmdline.startswith("sleep 4711"))


@pytest.mark.parametrize("victim", ["ansible-playbook", "the archiver"])
def test_the_last_command_of_a_killed_backup(site: Site, victim: str) -> None:
    """It runs when nothing else of the archive is left, and not again with the next backup."""
    log = site.top / "data" / "hooks"
    log.write_text("", encoding="utf-8")
    there = "ps -eo args | grep -c '^sleep 4711' >> %s" % log
    source = {
        "name": "slow",
        "cmd": ["sh", "-c", "echo; exec sleep 4711"],
        "before": ["sh", "-c", f"echo before >> {log}"],
        "after": ["sh", "-c", f"sleep 2; {there}; echo after >> {log}"],
    }
    own: dict[str, Any] = {"h1": {"tape_sources": [source], "tape_paths": []}}
    done = site.run("backup", rc=2, own=own, args=["--limit", "h1"], tape_labels=["NONE"], tape_wait=0)
    assert log.read_text(encoding="utf-8") == "", "no tape, no snapshot"
    started = site.start("backup", own=own, args=["--limit", "h1"])
    host = site.fleet["h1"]
    wait_until(lambda: any(each.cmdline.startswith("sleep 4711") for each in host.processes()), "a dump that hangs")
    if victim == "ansible-playbook":
        started.kill()
        started.wait()
        shutil.rmtree(playbook.ansible_home(site.fleet) / "tmp")  # a killed Ansible leaves its own temporary directory
    else:
        host.run(["kill", "-KILL", str(archiver_of(host))])
        done = started.wait()
        assert done.rc == 2 and "was killed by SIGKILL" in taping.failures(done, FAILED)["h1"]
    wait_until(lambda: log.read_text(encoding="utf-8").split() == ["before", "0", "after"], "the last command")
    own["h1"]["tape_sources"] = [{**source, "cmd": "echo x"}]
    site.run("backup", own=own, args=["--limit", "h1"], tape_steal=True)
    assert log.read_text(encoding="utf-8").split() == ["before", "0", "after"] * 2


@pytest.fixture
def database(site: Site) -> Iterator[Host]:
    """h1 with a database shop, and an empty one to restore it to; both go with the host."""
    reason = missing({"pg_createcluster": "postgresql"})
    if reason:
        pytest.skip(reason)
    host = site.fleet["h1"]
    script = f"mount -t tmpfs -o mode=755,uid=postgres none {HOME} && install -d -o postgres /run/postgresql"
    host.run(["bash", "-ec", script])
    words = ["bash", "-ec", CLUSTER, SETTINGS]
    assert host.popen(words, user="postgres", env={"HOME": HOME}, cwd="/").wait(PATIENCE) == 0
    for name in ("shop", "back"):
        sql(host, "postgres", f"create database {name}")
    sql(host, "shop", SHOP)
    yield host
    stop = f"$(ls /usr/lib/postgresql/*/bin/pg_ctl | tail -n 1) --pgdata={HOME}/data --mode=immediate --wait stop"
    host.run(["bash", "-ec", stop], user="postgres", env={"HOME": HOME}, cwd="/")
    host.run(["bash", "-ec", f"umount {HOME}; rm -rf /run/postgresql /run/mount"])


def test_a_pg_dump_that_is_killed_in_the_middle_and_one_that_is_not(site: Site, database: Host) -> None:
    source = {
        "name": "shop-db",
        "cmd": "pg_dump -Fc -Z0 shop",
        "become_user": "postgres",
        "restore": "pg_restore --exit-on-error --single-transaction -d back",
    }
    own = {"h1": {"tape_sources": [source], "tape_paths": []}}
    # so slow that it cannot be over before it is killed
    started = site.start("backup", own=own, args=["--limit", "h1"], tape_rate_limit="50K")

    def dumps() -> list[int]:
        there = [each["state"] for each in site.archives()] == ["writing"]
        return [each.pid for each in database.processes() if there and re.match(r"/\S+/pg_dump ", each.cmdline)]

    wait_until(dumps, "a pg_dump whose archive is on its way to the tape")
    [pid] = dumps()
    database.run(["kill", "-KILL", str(pid)])
    done = started.wait()
    assert done.rc == 2 and rows(done) == {"h1": "FAILED", "h1: shop-db": "FAILED"}
    assert "shop-db: h1: runuser failed with status 137" in taping.failures(done, FAILED)["h1"]
    assert sets(site) == [("all.shop-db", "failed")]
    done = site.run("restore", rc=2, own=own, restore_host="h1", restore_source="shop-db")
    assert "there is no good archive of h1 (set all.shop-db)" in taping.failures(done, RESTORE)["h1"]

    filtered = {"h1": {**own["h1"], "tape_filter": {"write": "gzip -1", "read": "gzip -d"}}}
    done = site.run("backup", own=filtered, args=["--limit", "h1"])
    assert rows(done) == {"h1": "good", "h1: shop-db": "good"}
    done = site.run("restore", own=own, restore_host="h1", restore_source="shop-db")
    assert " of shop-db to runuser of h1" in done.stdout
    assert sql(database, "back", "select count(*) from orders") == str(ROWS)
