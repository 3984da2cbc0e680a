# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role tape over ssh, with several tapes: the next one, an expired one, two at once, and two jobs at once."""

from __future__ import annotations

import json
from pathlib import Path

from . import taping
from .taping import BLOCK, Site

FAILED = "Fail if there is no good archive"


FLEET = taping.HOSTS


def two(site: Site, **more: object) -> dict[str, dict[str, object]]:
    """Both tapes in drives of their own."""
    return {"tape1": {"tape_devices": [str(site.tape("A")), str(site.tape("B"))], **more}}


def test_a_tape_that_turns_out_to_be_full(site: Site) -> None:
    """In the middle of the second archive: it is written again on the next tape, and what has no room at all is not."""
    site.label("WEEK02", "B")
    site.fill("h1", large="x" * 3 * BLOCK)
    site.fill("h2", large="y" * 3 * BLOCK)
    own = two(site, tape_capacity=f"{5 * BLOCK + 8192 + 1000}")
    for host in ("h1", "h2"):  # one after the other: at the same time each may have a tape of its own
        site.run("backup", own=own, args=["--limit", host])
    assert site.states("WEEK01") == [("h1", 0, "good"), ("h2", 0, "failed")]
    assert site.states("WEEK02") == [("h2", 0, "good")]
    why = taping.failures(site.run("backup", rc=2, own=own), FAILED)
    assert set(why) == {"h1", "h2"}
    for reasons in why.values():
        assert "its tape WEEK01 is full" in reasons and "its tape WEEK02 has less than 1.0 MiB left" in reasons


def test_an_expired_tape_is_begun_afresh(site: Site) -> None:
    """Not before all on it has expired, and not unless tape_reuse says so."""
    tape = site.catalog / "tapes" / "WEEK01.json"

    def expire() -> None:
        content = json.loads(tape.read_text(encoding="utf-8"))
        for archive in content["archives"]:
            archive["keep_until"] = 1
        tape.write_text(json.dumps(content), encoding="utf-8")

    site.run("backup")
    first = {archive["run"] for archive in site.archives()}
    expire()
    site.run("backup", args=["--limit", "h1"])
    assert len(site.archives()) == 3
    site.run("backup", own={"all": {"tape_reuse": "expired"}}, args=["--limit", "h1"])
    assert len(site.archives()) == 4, "one of them has 28 days to go"
    expire()
    done = site.run("backup", own={"all": {"tape_reuse": "expired", "tape_expire_last": True}})
    assert sorted(site.states()) == [("h1", 0, "good"), ("h2", 0, "good")]
    assert first.isdisjoint(archive["run"] for archive in site.archives())
    assert taping.table(done, "BACKUP")[0][-1] == "tape WEEK01"


def test_two_drives_are_written_at_once(site: Site) -> None:
    """Slowly, so that the second host finds the first drive in use."""
    site.label("WEEK02", "B")
    for host in ("h1", "h2"):
        site.fill(host, large="z" * 40 * BLOCK)
    done = site.run("backup", own=two(site), tape_rate_limit="2M")
    assert [len(site.archives(label)) for label in ("WEEK01", "WEEK02")] == [1, 1]
    assert taping.table(done, "BACKUP")[0][-1] == "tapes WEEK01, WEEK02"


def test_two_jobs_at_once(site: Site) -> None:
    """As two slices, or a job that was launched again: runs of their own, one after the other on the tape."""
    own = {"all": {"tape_wait": "60s"}}
    jobs = [site.start("backup", own=own, args=["--limit", host]) for host in ("h1", "h2")]
    done = [job.wait() for job in jobs]
    assert [each.rc for each in done] == [0, 0], done[0].output + done[1].output
    tape = json.loads((site.catalog / "tapes" / "WEEK01.json").read_text(encoding="utf-8"))
    runs = [(archive["run"], archive["kind"], archive["state"]) for archive in tape["archives"]]
    assert len({run for run, _kind, _state in runs}) == 2
    assert [each[1:] for each in runs] == [("archive", "good"), ("catalog", "good")] * 2
    assert [run for run, _kind, _state in runs[:2]] == [runs[0][0]] * 2, "the second waits for the end of the first"
    assert not list((site.catalog / "leases").glob("*"))


def test_a_person_loads_the_tape(site: Site) -> None:
    """A wanted tape is on the shelf: the screen says which, and the restore goes on with it. So does a backup."""
    site.run("backup", args=["--limit", "h1"])
    drive = site.top / "drive"
    drive.symlink_to(site.tape("B"))
    site.label("OTHER", "B")
    waits: taping.Variables = {"all": {"tape_wait": "1h"}, "tape1": {"tape_devices": [str(drive)]}}
    site.run("tape_location", tape_label="WEEK01", tape_location="vault")
    started = site.start("restore", own=waits, restore_host="h1", restore_to=str(site.top / "back"))
    line = started.wait_for_line(": waiting up to ", timeout=600)
    assert f"h1: waiting up to 1:00:00 for tape WEEK01 (location: vault): drive {drive}: its tape OTHER is not " in line
    load(drive, site.tape("A"))
    done = started.wait()
    assert done.rc == 0, done.output
    assert taping.result(done, "Restore")["files"]
    # a full tape: the next one is asked for
    path = site.catalog / "tapes" / "WEEK01.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "full": True}), encoding="utf-8")
    started = site.start("backup", own=waits, args=["--limit", "h1"], tape_eject=True)
    line = started.wait_for_line(": waiting up to ", timeout=600)
    assert line.rstrip().endswith("its tape WEEK01 is full; writable tapes: OTHER")
    load(drive, site.tape("B"))
    done = started.wait()
    assert done.rc == 0, done.output
    assert site.states("OTHER") == [("h1", 0, "good")]


def test_a_file_that_the_increment_has_whole(site: Site) -> None:
    """The tape with level 0 is not needed for it; for others it is."""
    site.label("WEEK02", "B")
    site.run("backup", own=two(site), tape_labels=["WEEK01"], args=["--limit", "h1"])
    taping.next_second()
    site.fill("h1", two="changed")
    site.run("backup", own=two(site), tape_labels=["WEEK02"], tape_level=1, args=["--limit", "h1"])
    second = {"tape1": {"tape_devices": [str(site.tape("B"))]}}
    paths = [str(site.data("h1") / name) for name in ("two", "one")]
    to = site.top / "some"
    done = site.run("restore", own=second, restore_host="h1", restore_paths=paths[:1], restore_to=str(to))
    assert "Not needed: 1 earlier archive, because later ones have the files whole" in done.stdout
    assert [each["level"] for each in taping.result(done, "Restore")["archives"]] == [1]
    assert taping.read(to / str(site.data("h1")).lstrip("/")) == {"two": "changed"}
    done = site.run(
        "restore", rc=2, own=second, restore_host="h1", restore_paths=paths, restore_to=str(site.top / "no")
    )
    (why,) = taping.failures(done, "Restore").values()
    assert "tape WEEK01 is in no drive: " in why


def load(drive: Path, tape: Path) -> None:
    """Another virtual tape in the drive, in one step."""
    new = drive.with_name("new")
    new.symlink_to(tape)
    new.replace(drive)
