# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role tape over ssh: two hosts, and a tape host with virtual tapes. What fails, and then what it is for."""

from __future__ import annotations

import os
import re

import pytest

from . import taping
from .taping import Site

FAILED = "Fail if there is no good archive"
RESTORE = "Restore"


FLEET = taping.HOSTS


def test_a_host_that_fails_and_the_run_that_is_resumed(site: Site) -> None:
    """h1 has not what it is to back up: h2 is not stopped by that, h1 is a failed host, and resuming does h1 alone."""
    nowhere = {"h1": {"tape_paths": ["/no/such/place"]}}
    done = site.run("backup", rc=2, own=nowhere, args=["--become"])
    assert site.states() == [("h2", 0, "good")]
    (why,) = taping.failures(done, FAILED).values()
    run = site.archives()[0]["run"]
    command = rf"ansible-playbook -i \S+ --become \S+\.yml -e '\{{.*\}}' -e tape_resume={run} --limit h1"
    assert re.fullmatch(r"h1: not on this host: /no/such/place \(.*\)\. To retry: " + command, why)
    head, names, *rows = taping.table(done, "BACKUP")
    assert head[:4] == [f"BACKUP {run}", "1 good, 1 failed", "256.0 KiB", head[3]]
    assert re.fullmatch(r"0:\d\d", head[3]) and head[4] == "tape WEEK01"
    assert names == ["HOST", "RESULT", "LEVEL", "SIZE", "TIME", "RATE", "TAPE:FILE", "NOTE"]
    cells = {row[0]: row[1:] for row in rows}
    assert cells["h1"][:6] == ["FAILED"] + ["-"] * 5 and cells["h1"][6].startswith("not on this host: /no/such/place (")
    assert cells["h2"][:3] == ["good", "0", "256.0 KiB"] and cells["h2"][5] == "WEEK01:1"
    assert cells["tape1"] == ["left out"] + ["-"] * 5 + ["the tape host, which has no tape_paths"]
    assert re.fullmatch(
        "Retry   " + command, "  ".join([line for line in done.stdout.splitlines() if "Retry " in line])
    )
    told = taping.statistic(done)
    assert (told["run"], told["good"], told["failed"], told["tapes"]) == (run, 1, 1, ["WEEK01"])
    assert told["bytes"] == 262144 and told["resume"].endswith("--limit h1") and set(told["hosts"]) == set(taping.HOSTS)
    assert (told["hosts"]["h2"]["bytes"], told["hosts"]["h2"]["file"]) == (262144, 1), "numbers are numbers"
    assert told["encryption"] is None and told["hosts"]["h2"]["encryption"] is None and "Links " not in done.stdout

    # what is good is left alone, whoever is asked for; a job that is launched again for its failed hosts has a limit
    done = site.run("backup", tape_resume=run)
    assert [archive["run"] for archive in site.archives()] == [run, run]
    assert site.states() == [("h2", 0, "good"), ("h1", 0, "good")]
    (row,) = [row for row in taping.table(done, "BACKUP") if row[0] == "h2"]
    assert (row[1], row[-1]) == ("good before", "has a good archive of this run already")
    done = site.run("backup", args=["--limit", "h1"])
    assert [archive["host"] for archive in site.archives()] == ["h2", "h1", "h1"]
    assert taping.statistic(done)["resume"] == ""


def test_levels_and_the_way_back(site: Site) -> None:
    """A level 0, a change, an addition and a deletion, a level 1: what there was at each time, on the other host."""
    site.fleet["h1"].run(["chown", "5001", f"{site.data('h1')}/one"])
    site.run("backup")
    taping.next_second()
    (first,) = [archive["time"] for archive in site.archives() if archive["host"] == "h1"]
    site.fill("h1", one="changed", three="new", two=None)
    site.fleet["h1"].run(["ln", f"{site.data('h1')}/one", f"{site.data('h1')}/same"])

    # the levels may differ; in check mode there is an estimate of each, and nothing is written
    before = site.everything()
    done = site.run("backup", own={"h1": {"tape_level": 1}}, args=["--check"])
    head, _names, *rows = taping.table(done, "CHECK")
    assert head[1].startswith("2 archives, 512.0 KiB; whether they fit is unknown, because tape_capacity is not set")
    assert {row[0]: row[1:4] for row in rows if row[0] != "tape1"} == {
        "h1": ["estimated", "1", "256.0 KiB"],
        "h2": ["estimated", "0", "256.0 KiB"],
    }
    assert site.everything() == before
    site.run("backup", own={"h1": {"tape_level": 1}})
    assert sorted(site.states()) == [("h1", 0, "good"), ("h1", 1, "good"), ("h2", 0, "good"), ("h2", 0, "good")]

    # found in the newest first, and on no tape if it never was
    _names, *rows = taping.table(site.run("tape_find", path=f"{site.data('h1')}/one"), "PATH")
    assert [(row[1], row[3]) for row in rows] == [("h1", "1"), ("h1", "0")]

    back, data = site.top / "back", site.data("h1").relative_to("/")
    done = site.run("restore", restore_host="h1", restore_target="h2", restore_to=str(back / "now"))
    assert taping.read(back / "now" / data) == {"one": "changed", "same": "changed", "three": "new"}
    assert "REMOVED 1 file: " in done.stdout
    assert (back / "now" / data / "one").stat().st_uid == 5001
    options = {"restore_host": "h1", "restore_target": "h2", "restore_as_of": first}
    done = site.run("restore", **options, restore_to=str(back / "then"))
    assert taping.read(back / "then" / data) == {"one": "h1 one", "two": "h1 two"}
    # a directory that has something in it is not mixed with what comes
    done = site.run("restore", rc=2, **options, restore_to=str(back / "then"))
    assert "then is not empty" in taping.failures(done, RESTORE)["h2"]
    # one that was deleted before does not come back, and one of two names of a file is read once more
    paths = [f"/{data}/{name}" for name in ("three", "four", "two", "same")]
    done = site.run("restore", rc=2, restore_host="h1", restore_paths=paths, restore_to=str(back / "some"))
    assert taping.read(back / "some" / data) == {"same": "changed", "three": "new"}
    assert taping.failures(done, RESTORE) == {
        "h1": f"not in the archives of h1: /{data}/four, /{data}/two. The rest is in {back}/some. "
        "Find the archives of a path with tape_find"
    }


def test_what_is_mounted_below_the_paths_is_named(site: Site) -> None:
    """It is not in the archive: whoever believes that it is finds out on the day of the restore."""
    host, point, image = site.fleet["h1"], site.data("h1") / "apart", site.top / "image"
    point.mkdir()
    image.touch()
    os.truncate(image, 1 << 20)
    host.run(["mkfs.ext4", "-q", image])
    if host.run(["mount", "-o", "loop", image, point], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        checked = site.run("backup", args=["--limit", "h1", "--check"])
        done = site.run("backup", args=["--limit", "h1"])
    finally:
        host.run(["umount", point])
        host.run(["rm", "-r", "/run/mount"])  # mount's own
    for table in (taping.table(checked, "CHECK"), taping.table(done, "BACKUP")):
        assert table[2][-1].split("; ")[0] == f"not archived (separate file systems): {point}"
    (archive,) = site.archives()
    assert archive["other_file_systems"] == [str(point)]


def test_verify_says_which(site: Site) -> None:
    """A byte of an archive is not what it was: its host is named, the others are good, and the catalog knows."""
    site.run("backup")
    done = site.run("verify")
    head, _names, *rows = taping.table(done, "VERIFY")
    assert head == ["VERIFY 2 good, 0 failed", "512.0 KiB"]
    assert [(row[1], row[5]) for row in rows] == [("good", "WEEK01:1"), ("good", "WEEK01:2")]
    (bad,) = [archive for archive in site.archives() if archive["host"] == "h2"]
    path = site.tape() / f"{bad['file']:06d}"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    done = site.run("verify", rc=2)
    (why,) = taping.failures(done, "Verify").values()
    assert why.startswith(f"1 of 2 archives is damaged: tape WEEK01, file {bad['file']}: its SHA-256 is ")
    assert why.endswith("Back up those hosts again (h2), at tape_level 0.")
    assert {each["host"]: each["verified"]["ok"] for each in site.archives()} == {"h1": True, "h2": False}
    # one whose tape is on the shelf is neither good nor bad
    done = site.run("verify", rc=2, own={"tape1": {"tape_devices": [str(site.tape("other"))]}})
    (why,) = taping.failures(done, "Verify").values()
    assert why.startswith("2 archives were not read, so their state is unknown: tape WEEK01 is in no ")
    assert [row[1] for row in taping.table(done, "VERIFY")[2:4]] == ["not read"] * 2
    assert {each["host"]: each["verified"]["ok"] for each in site.archives()} == {"h1": True, "h2": False}
    # whoever wants it back reads so before anything is read
    done = site.run("restore", restore_host="h2", args=["--check"])
    row = taping.table(done, "RESTORE")[2]
    assert re.match(r"was damaged when last verified \(20\d\d-\S+\): the restore may fail", row[-1])
    done = site.run("restore", restore_host="h1", args=["--check"])
    assert taping.table(done, "RESTORE")[2][-1] == f"WEEK01:{3 - bad['file']}"
    drive, _names, row, *_hosts = taping.table(site.run("tape_inventory"), "DRIVE")
    assert drive == [f"DRIVE {site.tape()}: tape WEEK01"]
    assert row[:4] == ["WEEK01", "-", "2", "0"]
