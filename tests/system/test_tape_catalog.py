# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the catalog of the role tape is kept, how it comes back, and jobs with a part of the inventory only."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.hosts import Fleet

from . import playbook, taping
from .taping import Site

FLEET = taping.HOSTS


@pytest.fixture
def site(fleet: Fleet) -> Site:
    return taping.make_site(fleet)


def test_copies_and_back(site: Site) -> None:
    """A copy for each of tape_catalog_hosts, in one step; from there, or from the tape, back again."""
    own = {"all": {"tape_catalog_hosts": ["tape1", "h2"]}}
    site.run("tape_label", own=own, tape_label="WEEK01")
    copy = site.top / "catalog-of-tape1"
    assert (copy / "tapes" / "WEEK01.json").exists() and copy.is_symlink()
    before = copy.resolve()
    site.run("backup", own=own)
    assert copy.resolve() != before and before.exists(), "generations"
    known = (site.catalog / "tapes" / "WEEK01.json").read_bytes()
    assert (copy / "tapes" / "WEEK01.json").read_bytes() == known
    assert sorted(path.name for path in copy.iterdir()) == ["lists", "tapes"]
    # a copy that cannot be made is a warning, as the tapes have it, too; and it takes no host's failure with it
    down = {"all": {"tape_catalog_hosts": ["h2"], "tape_connect_timeout": 3}, "h2": {"ansible_port": 9}}
    down["tape1"] = {"tape_paths": ["/no/such/place"]}
    done = site.run("backup", rc=2, own=down)
    (warning,) = taping.statistic(done)["warnings"]
    assert warning.startswith("the catalog was not copied to h2: ") and "Connection refused" in warning
    assert f"Warning {warning}" in done.stdout
    why = taping.failures(done, "Fail if there is no good archive")
    assert set(why) == {"h2", "tape1"} and "Connection refused" in why["h2"] and "/no/such/place" in why["tape1"]

    site.run("tape_inventory", rc=2, own=own, tape_catalog_from="h2")  # there is a catalog
    shutil.rmtree(site.catalog)
    # a new catalog does not take the place of the copy that is needed now
    drive = {"tape1": {"tape_devices": [str(site.tape("other"))]}}
    done = site.run("tape_label", own={**own, **drive}, tape_label="NEW")
    assert "not copied to h2: h2: the copy of tape1's catalog has tape WEEK01, but the catalog" in done.stdout
    assert (copy / "tapes" / "WEEK01.json").read_bytes() == known
    shutil.rmtree(site.catalog)
    done = site.run("tape_inventory", own=own, tape_catalog_from="h2")
    assert (site.catalog / "tapes" / "WEEK01.json").read_bytes() == known
    # the copy does not know the last run; what the tape says is right
    assert len(site.archives()) == 2
    site.run("tape_inventory", tape_rebuild=True)
    assert len(site.archives()) == 3
    site.run("verify")


def test_an_inventory_without_the_tape_host(site: Site) -> None:
    """As a slice of a job of AWX has it: the fleet knows how the tape host is reached."""
    site.label()
    whole = json.loads(site.fleet.inventory(site.variables()).read_text(encoding="utf-8"))
    hosts = whole["all"]["children"]["fleet"]["hosts"]
    tape = hosts.pop("tape1")
    del hosts["h2"]
    whole["all"]["vars"].update(tape_host="tape1", tape_host_variables=tape)
    path = playbook.directory(site.fleet) / "slice.yml"
    path.write_text(json.dumps(whole), encoding="utf-8")
    plays = [{"name": "A slice", "ansible.builtin.import_playbook": "plumbing.socketpipe.backup"}]
    playbook.run(site.fleet, plays=plays, inventory=path, args=["-e", "tape_hosts=fleet"])
    assert site.states() == [("h1", 0, "good")]


def test_what_is_there_is_told_and_not_changed(site: Site) -> None:
    """For a playbook of anybody: numbers as numbers, and not a file of tapes, catalog and states is another one."""
    site.label()
    site.run("backup")
    before = site.everything()
    task = {"plumbing.socketpipe.tape_info": {"show": True}, "run_once": True}
    done = playbook.run(site.fleet, task, hosts="fleet", inventory=site.variables())
    told = done.result
    assert [(each["device"], each["label"]) for each in told["drives"]] == [(str(site.tape()), "WEEK01")]
    assert [(each["label"], each["archives"], each["good"]) for each in told["tapes"]] == [("WEEK01", 2, 2)]
    assert [(each["host"], each["level"], each["bytes"]) for each in told["hosts"]] == [
        ("h1", 0, 262144),
        ("h2", 0, 262144),
    ]
    assert {each["keep_until"] > each["time"] for each in told["archives"]} == {True}
    assert told["next"] == "WEEK01" and "The next backup needs tape WEEK01" in done.stdout
    assert site.everything() == before


def test_the_list(site: Site) -> None:
    """One host has never been backed up, nobody has verified or restored any, and then somebody does."""
    site.label()
    site.run("backup", args=["--limit", "h1"])
    done = site.run("tape_list", tape_max_age="1d")
    (archive,) = site.archives()
    names, host, wanted, verified, restored, *warnings = taping.table(done, "HOST")
    assert names[2:4] == ["LAST GOOD", "AGE"] and names[-3:] == ["VERIFIED", "RESTORED", "DRILLED"]
    kept = taping.result(done, "List the archives")["hosts"][0]["keep_until"][:10]
    assert host == ["h1", "all", archive["time"], "0 h", "0", "256.0 KiB", "WEEK01:1", kept, "never", "never", "never"]
    assert wanted == ["The next backup needs tape WEEK01"]
    assert (verified, restored) == (["Never verified: h1, h2"], ["Never restored: h1, h2"])
    assert warnings == [["Warning h2 has no good archive"]]
    told = taping.statistic(done, "tape_list")
    assert told["missing"] == ["h2"] and told["wanted"] == ["WEEK01"] and told["warnings"] == ["h2 has no good archive"]
    site.run("verify")
    site.run("restore", restore_host="h1", restore_to=str(site.top / "back"))
    shutil.rmtree(site.top / "back")
    done = site.run("tape_list", tape_of_host="h1", tape_max_age=1)
    _names, run, _heads, host, head, listed, *rest = taping.table(done, "RUN")
    assert run[:4] == [archive["run"], "all", "1", "0"]
    assert host[3] == "0 h LATE" and host[-3] != "never" != host[-2] and host[-1] == "never"
    assert head[2] == "WRITTEN" and listed[5:7] == ["WEEK01:1", "good"] and listed[-1] == archive["run"]
    limit = "tape_max_age (1)"
    assert rest == [
        ["The next backup needs tape WEEK01"],
        [f"Warning the last good archive of h1 (set all) is of {archive['time']}, which is older than {limit}"],
    ]
    # the record of the restore is in the copies, and comes back with one
    own = {"all": {"tape_catalog_hosts": ["h2"]}}
    site.run("backup", own=own, tape_accept_catalog=True)  # there may be a copy of an earlier test
    shutil.rmtree(site.catalog)
    site.run("tape_inventory", own=own, tape_catalog_from="h2")
    known = json.loads((site.catalog / "restores.json").read_text(encoding="utf-8"))
    assert known["hosts"]["h1"]["all"]["restored"]["ok"]


def test_a_retired_tape_and_a_place(site: Site) -> None:
    """It is lost: what that costs is told at once, and a restore says what is left. Then it is there again."""
    site.label()
    site.label("WEEK02", "B")
    drives = {"tape1": {"tape_devices": [str(site.tape(name)) for name in "AB"]}}
    site.run("backup", own=drives, tape_labels=["WEEK01"], args=["--limit", "h1"])
    first = site.archives()[0]["run"]
    taping.next_second()
    site.run("backup", own=drives, tape_labels=["WEEK02"], args=["--limit", "h1"])
    last = site.archives("WEEK02")[0]
    done = site.run("tape_retire", rc=2, tape_label="WEEK02")
    (why,) = taping.failures(done, "Retire the tape").values()
    assert why == (
        "tape1: nothing to record of tape WEEK02: set tape_reason to retire it, tape_found if it is there again, or "
        "tape_location"
    )
    before = site.everything()
    for args in (["--check"], []):
        assert site.everything() == before
        done = site.run("tape_retire", args=args, tape_label="WEEK02", tape_reason="water damage")
        word = "would record" if args else "recorded"
        assert f"{word} tape WEEK02: retired (water damage)\n" in done.stdout
        assert "1 archive cannot be restored any more\n" in done.stdout
    done = site.run("restore", rc=2, restore_host="h1", restore_to=str(site.top / "back"))
    (why,) = taping.failures(done, "Restore").values()
    assert why.startswith(
        f"tape1: the archive of h1 of {last['time']} (run {last['run']}) was on tape WEEK02, and that "
    )
    assert why.endswith(f": restore that with restore_as_of={first}")
    site.run("restore", restore_host="h1", restore_as_of=first, restore_to=str(site.top / "back"))
    shutil.rmtree(site.top / "back")
    listed = taping.table(site.run("tape_list"), "TAPE")
    assert listed[2][-1].startswith("retired 20") and listed[2][-1].endswith(": water damage")
    done = site.run("tape_retire", tape_label="WEEK02", tape_found=True)
    assert "recorded tape WEEK02: there again" in done.stdout
    for changed in (True, False):
        done = site.run("tape_location", tape_label="WEEK02", tape_location="vault")
        assert taping.result(done, "Record the location of the tape")["changed"] is changed
    done = site.run("restore", rc=2, restore_host="h1", restore_to=str(site.top / "again"))
    assert ", from tape WEEK02 (location: vault)" in done.stdout
    (why,) = taping.failures(done, "Restore").values()
    assert "tape WEEK02 (location: vault) is in no drive: " in why
