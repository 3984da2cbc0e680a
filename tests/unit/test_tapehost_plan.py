# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anything starts: levels and bases, the order, the tapes, and what can be known to go wrong. And the end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import BLOCK, TapeHost, wait_for

Maker = Callable[..., TapeHost]
LABEL = 8192


def plan(host: TapeHost, run: str = "R9", resume: bool = False, hosts: Any = None, **settings: Any) -> dict[str, Any]:
    request = {"run": run, "resume": resume, "hosts": {"h1": {"level": 0}} if hosts is None else hosts}
    return host.ok("plan", data=json.dumps(request).encode(), **settings)


def refused(host: TapeHost, hosts: Any = None, **settings: Any) -> str:
    request = {"run": "R9", "hosts": {"h1": {"level": 0}} if hosts is None else hosts}
    return host.fails("plan", data=json.dumps(request).encode(), **settings)


@pytest.mark.parametrize(
    ("asked", "level", "base"),
    [(0, 0, None), (1, 1, "R1"), (2, 2, "R4"), (3, 3, "R4"), (9, 9, "R4")],
)
def test_levels_and_bases(asked: int, level: int, base: str | None, tape_host: Maker) -> None:
    host = tape_host(lease=0)
    for run, at, on in (("R1", 0, ""), ("R2", 1, "R1"), ("R3", 2, "R2"), ("R4", 1, "R1")):
        host.backup(run, "h1", at, on)
    host.sink("R5", "h1")
    found = plan(host, hosts={"h1": {"level": asked}})["hosts"]["h1"]
    assert (found["level"], found["base"], found["keep"]) == (level, base, ["R1", "R3", "R4", "R5"])


@pytest.mark.parametrize(
    "change",
    [
        {"state": "failed"},
        {"state": "written"},
        {"verified": {"time": "2026-11-23T00:00:00Z", "ok": False}},
        {"set": "www"},
        {"host": "h2"},
        {"run": "R9"},
        {"kind": "catalog"},
        {"level": 2, "base": "R0"},
        {"level": 1, "base": "R1"},
    ],
)
def test_nothing_to_be_based_on(change: dict[str, Any], tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.edit("A", lambda tape: tape["archives"][0].update(change))
    answer = plan(host, hosts={"h1": {"level": 3}})
    assert (answer["hosts"]["h1"]["level"], answer["hosts"]["h1"]["base"]) == (0, None)
    assert answer["warnings"] == ["h1: level 0 instead of 3, because there is no archive to base it on"]


@pytest.mark.parametrize(
    ("host_time", "ahead"),
    [
        ("2026-11-01T01:00:00Z", 0),
        ("2026-11-01T01:00:59Z", 0),
        ("2026-11-01T02:00:00Z", 3600),
        ("2026-10-01T00:00:00Z", 0),
        (None, 0),
    ],
)
def test_a_base_whose_host_had_a_clock_that_was_ahead(host_time: str | None, ahead: int, tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.edit("A", lambda tape: tape["archives"][0].update(host_time=host_time))
    hosts = plan(host, hosts={"h1": {"level": 1}, "h2": {"level": 1}})["hosts"]
    assert [(hosts[name]["base"], hosts[name]["ahead"]) for name in ("h1", "h2")] == [("R1", ahead), (None, 0)]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, "f" * 64),
        ({"filters": [{"kind": "zstd"}], "clear": {"bytes": 1, "sha256": "a" * 64}}, "a" * 64),
        ({"filters": [{"kind": "zstd"}]}, None),  # it was found on its tape
    ],
)
def test_a_host_is_told_which_archive_its_base_is(change: dict[str, Any], wanted: str | None, tape_host: Maker) -> None:
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.edit("A", lambda tape: tape["archives"][0].update({"sha256": "f" * 64, **change}))
    hosts = plan(host, hosts={"h1": {"level": 1}, "h2": {"level": 1}})["hosts"]
    assert [hosts[name]["base_sha256"] for name in ("h1", "h2")] == [wanted, None]


def test_a_base_that_may_be_gone_before_the_run_ends(tape_host: Maker) -> None:
    """With tape_reuse expired an archive of this very run may be written over it."""
    host = tape_host(lease=0, expire_last=True)
    host.backup("R1", "h1")
    for seconds, reuse, level in ((90_000, "expired", 1), (3600, "expired", 0), (3600, "scratch", 1), (-1, "never", 1)):
        until = time.time() + seconds
        host.edit("A", lambda tape, until=until: tape["archives"][0].update(keep_until=until))
        assert plan(host, hosts={"h1": {"level": 1}}, reuse=reuse)["hosts"]["h1"]["level"] == level
        # the last good one is not
        assert plan(host, hosts={"h1": {"level": 1}}, reuse=reuse, expire_last=False)["hosts"]["h1"]["level"] == 1


def test_folders_of_old_runs(tape_host: Maker) -> None:
    """They are there for a day, so that nobody gets that name again; and whatever else is in one stays."""
    host = tape_host()
    runs = host.catalog_dir / "runs"
    names = [time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - days * 86400)) for days in (30, 1.5, 1.2, 0.5)]
    for name in names:
        (runs / name).mkdir(parents=True)
    (runs / names[1] / "notes").touch()
    begun = plan(host, run="")["run"]
    assert sorted(path.name for path in runs.iterdir()) == sorted([names[1], names[3], begun])
    assert (runs / names[1] / "notes").exists()


def test_order(tape_host: Maker) -> None:
    """Those of which nothing is known, and then those that took longest."""
    host = tape_host(lease=0)
    for number, elapsed in enumerate((5.0, 50.0, 0.5), 1):
        host.backup("R%d" % number, "h%d" % number)

        def change(tape: dict[str, Any], elapsed: float = elapsed) -> None:
            tape["archives"][-1]["elapsed"] = elapsed

        host.edit("A", change)
    hosts = {name: {"level": 0} for name in ("h3", "h1", "new", "h2")}
    assert plan(host, hosts=hosts)["order"] == ["new", "h2", "h1", "h3"]


def test_resume(tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R9", "h1")
    host.sink("R9", "h2")
    host.sink("R9", "h3", b"x")
    hosts = {name: {"level": 0} for name in ("h1", "h2", "h3", "h4")}
    answer = plan(host, resume=True, hosts=hosts)
    assert {name: entry["skip"] for name, entry in answer["hosts"].items()} == {
        "h1": True,
        "h2": False,
        "h3": False,
        "h4": False,
    }
    assert sorted(answer["order"]) == ["h2", "h3", "h4"]
    assert answer["drives"][0]["state"] == "yours"
    assert sorted(plan(host, hosts=hosts)["order"]) == ["h1", "h2", "h3", "h4"]


def test_a_run_that_does_not_exist_is_not_resumed(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    for number in range(1, 6):
        host.backup("R%d" % number, "h1")
    request = {"run": "R55", "resume": True, "hosts": {"h1": {"level": 0}}}
    said = host.fails("plan", data=json.dumps(request).encode())
    assert said == "there is no run R55 to resume: the last runs are R3, R4, R5; without tape_resume a new run begins"
    begun = host.ok("plan", data=json.dumps(dict(request, run="", resume=False)).encode())["run"]
    assert plan(host, run=begun, resume=True)["run"] == begun  # none of its hosts has an archive yet
    assert plan(host, run="R2", resume=True, set="another")["run"] == "R2"


def test_the_state_of_a_run_that_goes_on_is_kept(tape_host: Maker) -> None:
    """Two jobs at once: the host must not forget what the other one has not reported yet."""
    host = tape_host(2, lease=0)
    host.backup("R1", "h1", on="A")
    host.sink("R2", "h1", labels=["A"])
    host.sink("R3", "h1", b"x", labels=["A"])
    going = host.start("sink", "--run", "R4", "--host", "h1", labels=["B"])
    wait_for(lambda: host.states("B"))
    assert plan(host)["hosts"]["h1"]["keep"] == ["R1", "R2", "R4"]
    host.end(going, archive("R4", "h1"))
    # one of long ago will not be reported any more
    host.edit("B", lambda tape: tape["archives"][0].update(time="2026-11-01T00:00:00Z"))
    assert plan(host)["hosts"]["h1"]["keep"] == ["R1", "R2"]


def test_a_clock_that_runs_backwards(tape_host: Maker) -> None:
    """That of the tape host: what is written now is the newest all the same, and it is said each time."""
    host = tape_host(lease=0)
    host.backup("R1", "h1")
    host.backup("R1", "h2")
    assert plan(host)["warnings"] == []
    host.edit("A", lambda tape: tape["archives"][0].update(time="2036-11-01T00:00:00Z"))
    warning = (
        ", but its newest archive is of 2036-11-01T00:00:00Z: set the clock. The archives of this run still count as "
    )
    assert warning in plan(host)["warnings"][0]
    for run, level, base in (("R2", 0, ""), ("R3", 1, "R2")):
        host.backup(run, "h1", level, base)
    assert [each["run"] for each in host.ok("chain", "--host", "h1")["archives"]] == ["R2", "R3"]
    # what it says of a day is right as soon as the clock is
    assert [each["run"] for each in host.ok("chain", "--host", "h1", "--as-of", "2026-11-20")["archives"]] == [
        "R2",
        "R3",
    ]
    assert plan(host, hosts={"h1": {"level": 2}})["hosts"]["h1"]["base"] == "R3"
    host.backup("R2", "h2")
    assert ["order" in each for each in host.tape()["archives"]] == [False, False, True, True, False]
    # a run's name is nobody else's, though the clock has been there before
    begun = time.time()
    names = [time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(begun + more)) for more in range(600)]
    host.edit("A", lambda tape: tape["archives"].extend(dict(tape["archives"][0], run=name) for name in names))
    assert plan(host, run="")["run"] > names[-1]


K = 1024
PACKED: list[tuple[list[int | None], int, str]] = [
    ([], 1, "0 archives, 0 B: fits on the tape"),
    ([10 * K], 1, "1 archive, 10.0 KiB: fits on the tape"),
    ([92 * K], 1, "1 archive, 92.0 KiB: fits on the tape"),
    ([50 * K, 42 * K], 1, "2 archives, 92.0 KiB: fits on the tape"),
    ([50 * K, 43 * K], 2, "2 archives, 93.0 KiB: needs 2 tapes"),
    ([50 * K, 50 * K, 50 * K], 3, "3 archives, 150.0 KiB: needs 3 tapes"),
    ([10 * K, None], 1, "2 archives, 10.0 KiB and 1 of unknown size: fits on the tape"),
]


@pytest.mark.parametrize(("sizes", "tapes", "sentence"), PACKED)
def test_packing(sizes: list[int | None], tapes: int, sentence: str, tape_host: Maker) -> None:
    host = tape_host(capacity="100K")
    hosts = {"h%d" % number: {"level": 0, "bytes": size} for number, size in enumerate(sizes)}
    answer = plan(host, hosts=hosts)
    kept = time.strftime("; kept until %Y-%m-%d", time.gmtime(time.time() + 28 * 86400))
    assert (answer["tapes"], answer["fits"]) == (tapes, sentence + kept)
    assert plan(host, hosts=hosts, capacity="")["tapes"] is None


def test_what_is_on_the_tape_takes_room(tape_host: Maker) -> None:
    host = tape_host(capacity="100K", lease=0)
    data = archive("R1", "h1", size=60 * K)
    host.backup("R1", "h1", data=data)
    assert plan(host)["fits"].startswith("1 archive, %.1f KiB: needs 2 tapes; kept until " % (len(data) / K))
    drive = plan(host)["drives"][0]
    assert (drive["free"], drive["state"], drive["file"]) == (100 * K - LABEL - len(data), "append", 2)


def test_what_does_not_fit_on_any_tape(tape_host: Maker) -> None:
    answer = plan(tape_host(capacity="100K"), hosts={"h1": {"level": 0, "bytes": 92 * K + 1}})
    assert answer["hosts"]["h1"]["problem"] == (
        "h1 has 92.0 KiB, which does not fit on one tape (tape_capacity): split tape_paths into several tape_set"
    )


def protect(host: TapeHost) -> None:
    host.tapes[0].chmod(0o555)


def lease(host: TapeHost) -> None:
    host.sink("R1", "h1")


def fill(host: TapeHost) -> None:
    host.edit("A", lambda tape: tape.update(full=True))


def blank(host: TapeHost) -> None:
    (host.tapes[0] / "000000").unlink()


PROBLEMS: list[tuple[Callable[[TapeHost], None], str]] = [
    (protect, "its tape A is write-protected"),
    (lease, "its tape A belongs to run R1 until 20"),
    (fill, "its tape A is full"),
    (blank, "its tape is blank: label it with tape_label"),
]


@pytest.mark.parametrize(("prepare", "text"), PROBLEMS)
def test_problems_before_anything_starts(prepare: Callable[[TapeHost], None], text: str, tape_host: Maker) -> None:
    host = tape_host()
    prepare(host)
    said = refused(host)
    assert said.startswith("no drive has a writable tape: drive %s: %s" % (host.tapes[0], text))
    if prepare is not lease:  # whoever waits for a person is not refused
        warning = plan(host, wait=60)["warnings"][0]
        text = "will wait for a writable tape to be loaded: drive %s: %s" % (host.tapes[0], text)
        assert warning.startswith(text)
    host.tapes[0].chmod(0o755)


def test_what_may_pass_by_itself_is_a_warning(tape_host: Maker) -> None:
    host = tape_host()
    lease(host)
    answer = plan(host, wait=60)
    assert answer["warnings"][0].startswith("will wait for a drive: drive %s: its tape A belongs" % host.tapes[0])
    assert answer["drives"][0]["state"] == "leased"
    first = host.start("sink", "--run", "R1", "--host", "h2")
    while host.states()[-1][2] != "writing":
        time.sleep(0.01)
    answer = plan(host, wait=60)
    assert "is in use for the archive of h2 in run R1" in answer["warnings"][0]
    assert [(drive["state"], drive["message"]) for drive in answer["drives"]] == [
        ("unknown", answer["warnings"][0].split(": ", 1)[1])
    ]
    host.end(first, archive("R1", "h2"))


def test_each_drive_has_its_own_message(tape_host: Maker) -> None:
    """Also where the name of one begins with that of another, as /dev/nst10 begins with /dev/nst1."""
    host = tape_host()
    ten, one = str(host.folder / "nst10"), str(host.folder / "nst1")
    drives = plan(host, devices=[ten, one], wait=60)["drives"]
    assert {each["device"]: each["message"] for each in drives} == {
        path: "drive %s: No such file or directory: check tape_devices of this host; "
        "ls -l /dev/tape/by-id shows its drives, and mkdir makes a virtual tape" % path
        for path in (ten, one)
    }


def test_a_level_that_is_none(tape_host: Maker) -> None:
    said = refused(tape_host(), {"h1": {"level": 10}})
    assert said == "tape_level of h1 is 10: it must be from 0 (everything) to 9"


def test_a_plan_writes_nothing(tape_host: Maker) -> None:
    host = tape_host(retention="0d", reuse="expired", lease=0, expire_last=True)
    host.backup("R1", "h1")
    before = host.tape(), host.files()
    drive = plan(host)["drives"][0]
    assert (drive["state"], drive["file"], host.tape(), host.files()) == ("expired", 1, *before)


# the end of a run


def test_the_catalog_is_on_each_tape_of_the_run(tape_host: Maker) -> None:
    host = tape_host(3)
    for name, label in (("h1", "A"), ("h2", "B")):
        host.backup("R1", name, on=label)
    host.sink("R1", "h3", b"x")
    answer = host.ok("finish", "--run", "R1")
    assert (answer["tapes"], answer["warnings"]) == (["A", "B"], [])
    assert {row["host"]: (row["tape"], row["file"], row["state"]) for row in answer["archives"]} == {
        "h1": ("A", 1, "good"),
        "h2": ("B", 1, "good"),
        "h3": ("A", 2, "failed"),
    }
    assert [tape["run"] for tape in host.ok("inventory")["tapes"]] == [None, None, None]
    for label, number in (("A", 3), ("B", 2)):
        path = host.folder / label / ("%06d" % number)
        assert path.stat().st_size % BLOCK == 0
        listed = subprocess.run(["tar", "-tf", path], stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
        assert {"tapes/A.json", "tapes/B.json", "tapes/C.json", "lists/R1/all,h1.gz"} <= set(listed)
    assert host.files("C") == []


def test_the_end_once_more_is_harmless(tape_host: Maker) -> None:
    host = tape_host()
    host.backup("R1", "h1")
    first = host.ok("finish", "--run", "R1")
    again = host.ok("finish", "--run", "R1")
    assert first["last"][0].pop("age") <= again["last"][0].pop("age")
    assert again == first
    assert host.ok("inventory")["tapes"][0]["good"] == 1
    nothing = host.ok("finish", "--run", "R7")
    assert (nothing["run"], nothing["tapes"], nothing["archives"], nothing["warnings"]) == ("R7", [], [], [])
    host.never_wrong()


def test_what_came_of_each_host(tape_host: Maker) -> None:
    """One good archive is enough, though the clock of its host is behind; what was killed is not being written."""
    host = tape_host()
    host.sink("R1", "h1", b"x")
    data = archive("R1", "h1")
    host.sink("R1", "h1", data)
    assert host.commit("R1", "h1", data, time="2001-01-01T00:00:00Z").status == 0
    host.tool("dd", "head -c 4096; kill -9 $PPID")
    assert host.sink("R1", "h2").status < 0
    (host.folder / "bin" / "dd").unlink()
    rows = host.ok("finish", "--run", "R1", wait=5)["archives"]
    assert {row["host"]: (row["file"], row["state"]) for row in rows} == {"h1": (2, "good"), "h2": (3, "failed")}


def test_the_end_of_a_run_of_two_sets_is_of_one(tape_host: Maker) -> None:
    """A run may be resumed for another set: that a host's archive of the first one is good says nothing of this one."""
    host = tape_host()
    host.backup("R1", "h1")
    host.settings["set"] = "db"
    host.backup("R1", "h2", set="db")
    rows = host.ok("finish", "--run", "R1")["archives"]
    assert [(row["host"], row["set"]) for row in rows] == [("h2", "db")]


def test_a_tape_that_has_gone_at_the_end(tape_host: Maker) -> None:
    host = tape_host(2)
    host.backup("R1", "h1", on="A")
    said = host.ok("finish", "--run", "R1", devices=[str(host.tapes[1])])["warnings"]
    assert said == ["the catalog was not copied to tape A: it is full, or no longer in a drive"]


def test_no_room_for_the_catalog(tape_host: Maker) -> None:
    host = tape_host(capacity=LABEL + 2 * BLOCK)
    host.backup("R1", "h1")
    answer = host.ok("finish", "--run", "R1")
    assert answer["archives"][0]["state"] == "good"
    assert "the tape is full" in answer["warnings"][0]
    assert host.states() == [(1, "h1", "good")]
