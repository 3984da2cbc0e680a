# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore drill of the role tape over ssh: what differs, what is restored next, and nothing is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import playbook, taping
from .taping import Site

TASK = "Restore and compare"


FLEET = taping.HOSTS


def drill(site: Site, rc: int = 0, **more: Any) -> tuple[playbook.Done, dict[str, Any]]:
    """The drill, and its result; nothing is left of it."""
    to = site.top / "drill"
    done = site.run("tape_drill", rc=rc, restore_target="h2", restore_to=str(to), **more)
    assert not to.exists()
    return done, taping.result(done, TASK)


def last(site: Site) -> dict[str, bool]:
    """The result of the last drill of each host."""
    path: Path = site.catalog / "restores.json"
    if not path.exists():
        return {}
    hosts = json.loads(path.read_text(encoding="utf-8"))["hosts"]
    return {host: sets["all"]["drilled"]["ok"] for host, sets in hosts.items()}


def test_the_drill(site: Site) -> None:
    """The host that was drilled longest ago, with an increment; then a damaged archive."""
    done = site.run("tape_drill", rc=2)
    why = "no host of the inventory matches restore_target, the host to restore to: no host is given"
    assert [each.result["msg"] for each in done.outcomes if each.status == "failed"] == [why]
    done, told = drill(site, rc=2)
    assert told["kind"] == "not found" and "no host has an archive of set all that can be restored" in told["msg"]
    site.run("backup")
    taping.next_second()
    site.fill("h1", one=None, three="new")
    site.run("backup", own={"all": {"tape_level": 1}}, args=["--limit", "h1"])
    done, told = drill(site)
    number = sum(archive["files"] for archive in site.archives() if archive["host"] == "h1")
    assert told["drill"] == {
        "host": "h1",
        "ok": True,
        "compared": number,
        "differences": [],
        "difference_count": 0,
        "elapsed": told["drill"]["elapsed"],
    }
    (line,) = taping.table(done, "DRILL")
    assert line[:2] == ["DRILL h1", "good"] and line[3] == f"{number} files of 2 archives compared, no difference"
    assert last(site) == {"h1": True}
    # the other one is next; its archive is not as it was
    (bad,) = [archive for archive in site.archives() if archive["host"] == "h2"]
    path = site.tape() / f"{bad['file']:06d}"
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(content)
    _done, told = drill(site, rc=2)
    assert "their SHA-256 is " in told["msg"]
    assert last(site) == {"h1": True, "h2": False}
    # a failed drill is no good one: the same host is next again
    content[-3000] ^= 1
    path.write_bytes(content)
    _done, told = drill(site)
    assert told["drill"]["host"] == "h2" and last(site) == {"h1": True, "h2": True}
    listed = taping.result(site.run("tape_list"), "List the archives")
    assert all(host["last_drilled"]["ok"] for host in listed["hosts"])


def test_what_was_not_restored_as_it_was(site: Site) -> None:
    """A file that tar cannot create as in the archive; and a drill without its tape is no drill."""
    site.run("backup", args=["--limit", "h1"])
    away = {"tape1": {"tape_devices": [str(site.tape("other"))]}}
    _done, told = drill(site, rc=2, own=away)
    assert told["kind"] == "absent" and last(site) == {}
    # the catalog's list has a name more than the archive
    path = site.catalog / "tapes" / "WEEK01.json"
    tape = json.loads(path.read_text(encoding="utf-8"))
    (archive,) = [each for each in tape["archives"] if each["kind"] == "archive"]
    archive["files"] += 1
    path.write_text(json.dumps(tape), encoding="utf-8")
    done, told = drill(site, rc=2)
    run, number = archive["run"], archive["files"]
    why = f"run {run} has {number - 1} names, but its list in the catalog has {number}"
    assert (told["kind"], told["drill"]["ok"], told["drill"]["differences"]) == ("damaged", False, [why])
    assert f"Differs {why}" in done.stdout and last(site) == {"h1": False}
