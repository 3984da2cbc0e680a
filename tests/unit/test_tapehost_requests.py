# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tape suits whom, which runs have reserved one, and the positions that are remembered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import call
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import records
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives.mtio import Status
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve import leases, positions, requests
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve.requests import (
    APPENDED,
    EMPTY,
    EXPIRED,
    LEASED,
    RESERVED,
    UNFIT,
)

GIB = 1024**3


def entry(run: str = "R0", **more: Any) -> Any:
    """An archive that nothing keeps."""
    found = {"run": run, "host": "h1", "set": "all", "kind": records.ARCHIVE, "state": records.GOOD, "level": 0}
    found.update(base=None, time="2026-01-01T00:00:00Z", file=1, bytes=GIB, keep_until=0.0)
    return {**found, **more}


def tape(label: str = "A", *entries: Any, **more: Any) -> Any:
    return {"label": label, "id": label, "full": False, "archives": list(entries), **more}


class Site:
    """A catalog in a directory, and the settings of a run."""

    def __init__(self, folder: Path) -> None:
        self.settings: Any = SimpleNamespace(
            expire_last=True, labels=["A*", "C"], steal=False, reuse="expired", capacity=0, accept_clock=True, lease=60
        )
        self.archives: list[Any] = []
        self.damaged: list[str] = []
        self.catalog: Any = SimpleNamespace(
            folder=str(folder), archives=lambda: self.archives, warnings=lambda: self.damaged
        )
        self.session: Any = SimpleNamespace(settings=self.settings, catalog=self.catalog, run="R1", ahead=None)

    def request(self, expect: int = 0, doubt: str = "") -> Any:
        made = requests.WriteRequest(self.session, expect)
        made.doubt = doubt
        return made

    def lease(self, label: str, run: str, seconds: float = 60.0) -> None:
        folder = Path(leases.folder(self.catalog))
        folder.mkdir(exist_ok=True)
        (folder / (label + ".json")).write_text(json.dumps({"run": run, "until": time.time() + seconds}))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# -- for an archive


OLD, NEW = entry(), entry(keep_until=float(2**40))


@pytest.mark.parametrize(
    ("on", "rank", "reason"),
    [
        (tape(retired={"time": "2026-11-26T00:00:00Z", "reason": "fire"}), UNFIT, "was retired 2026-11-26 (fire)"),
        (tape("B"), UNFIT, "is not one of tape_labels (A*, C)"),
        (tape("AB"), EMPTY, ""),
        (tape("c"), UNFIT, "is not one of tape_labels (A*, C)"),
        (tape(), EMPTY, ""),
        (tape("A", NEW), APPENDED, ""),
        (tape("A", NEW, full=True), UNFIT, "is full"),
        (tape("A", OLD), EXPIRED, ""),
        (tape("A", OLD, full=True), EXPIRED, ""),
        (tape("A", NEW, full=True, relabelling={"id": "x"}), EXPIRED, ""),
    ],
)
def test_the_rank_of_a_tape(site: Site, on: Any, rank: int, reason: str) -> None:
    site.archives = on["archives"]
    found = site.request().rate(on)
    assert (found[0], found[1].startswith(reason), not found[1]) == (rank, True, not reason)


@pytest.mark.parametrize(
    ("run", "steal", "seconds", "rank"),
    [
        ("R1", False, 60.0, LEASED),
        ("R2", False, 60.0, RESERVED),
        ("R2", True, 60.0, APPENDED),
        ("R2", False, -1.0, APPENDED),
        ("R1", False, -1.0, APPENDED),
    ],
)
def test_a_tape_that_is_reserved(site: Site, run: str, steal: bool, seconds: float, rank: int) -> None:
    site.settings.steal = steal
    site.lease("A", run, seconds)
    on = tape("A", NEW)
    site.archives = on["archives"]
    found, reason = site.request().rate(on)
    assert found == rank
    assert reason.startswith("belongs to run R2 until 20") is (rank == RESERVED)
    assert reason.endswith("Z (tape_steal overrides this)") is (rank == RESERVED)


@pytest.mark.parametrize(
    ("capacity", "expect", "on", "found"),
    [
        (0, 9 * GIB, tape("A", NEW), (APPENDED, "")),
        (3 * GIB, 2 * GIB - 8192, tape("A", NEW), (APPENDED, "")),
        (3 * GIB, 2 * GIB + 1, tape("A", NEW), (UNFIT, "has less than 2.0 GiB left")),
        (3 * GIB, 3 * GIB, tape("A", OLD), (EXPIRED, "")),
        (3 * GIB, 3 * GIB + 1, tape("A", OLD), (UNFIT, "is too small")),
    ],
)
def test_whether_an_archive_fits(site: Site, capacity: int, expect: int, on: Any, found: Any) -> None:
    site.settings.capacity, site.archives = capacity, on["archives"]
    assert site.request(expect).rate(on) == found


@pytest.mark.parametrize(
    ("reuse", "expire_last", "damaged", "doubt", "run", "reason", "withheld"),
    [
        ("never", True, [], "", "R0", "", False),
        ("expired", True, ["x", "y"], "", "R0", ", and is not reused while the catalog is damaged (x; y)", False),
        ("expired", True, ["x"], "odd", "R0", ", and is not reused while the catalog is damaged (x)", False),
        ("expired", True, [], "the clock is odd", "R0", ", and is not reused: the clock is odd", True),
        ("expired", True, ["x"], "odd", "R1", "", False),
        (
            "expired",
            False,
            [],
            "",
            "R0",
            ", and has the last good archive of h1 (set tape_expire_last to reuse it)",
            False,
        ),
        ("expired", False, [], "", "R1", "", False),
        ("never", False, [], "", "R0", "", False),
    ],
)
def test_a_full_tape_that_is_not_reused(
    site: Site, reuse: str, expire_last: bool, damaged: list[str], doubt: str, run: str, reason: str, withheld: bool
) -> None:
    """Though nothing keeps its archives; what is told is why. That of the run itself is never reused."""
    site.settings.reuse, site.settings.expire_last, site.damaged = reuse, expire_last, damaged
    on = tape("A", entry(run), full=True)
    site.archives = on["archives"]
    made = site.request(doubt=doubt)
    assert made.expired(on) is False
    assert made.rate(on) == (UNFIT, "is full" + reason)
    assert made.withheld is withheld


def test_a_full_tape_with_an_archive_that_is_kept(site: Site) -> None:
    """There is nothing to say of its last good archives, because others would not let it be reused either."""
    site.settings.expire_last = False
    on = tape("A", OLD, entry("R2", host="h2", keep_until=float(2**40)), full=True)
    site.archives = on["archives"]
    for damaged, doubt in ((["x"], ""), ([], "odd"), ([], "")):
        site.damaged = damaged
        made = site.request(doubt=doubt)
        assert (made.rate(on), made.withheld) == ((UNFIT, "is full"), False)
    assert site.request().expired(tape("A", OLD, retired="now")) is False


class Held:
    """A drive with a tape in it."""

    def __init__(self, on: Any, foreign: str = "", protected: bool = False) -> None:
        self.tape, self.foreign = on, foreign
        self.drive = SimpleNamespace(status=lambda: SimpleNamespace(protected=protected))

    def identify(self) -> str:
        return self.foreign


@pytest.mark.parametrize(
    ("held", "found", "refused"),
    [
        (Held(None, "there is no tape in it"), (UNFIT, "there is no tape in it"), set()),
        (Held(tape(), "it is another"), (UNFIT, "it is another"), set()),
        (Held(None), (UNFIT, ""), set()),
        (Held(tape()), (EMPTY, ""), set()),
        (Held(tape(), protected=True), (UNFIT, "its tape A is write-protected"), {"A"}),
        (Held(tape("B")), (UNFIT, "its tape B is not one of tape_labels (A*, C)"), {"B"}),
    ],
)
def test_the_tape_in_a_drive(site: Site, held: Any, found: tuple[int, str], refused: set[str]) -> None:
    made = site.request()
    assert (made.rate_loaded(held), made.refused) == (found, refused)


# -- for a restore


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (Held(None, "there is no tape in it"), (UNFIT, "there is no tape in it")),
        (Held(tape(), "it is another"), (UNFIT, "it is another")),
        (Held(tape()), (LEASED, "")),
        (Held(tape("B")), (UNFIT, "its tape B is not A")),
    ],
)
def test_the_tape_to_read(held: Any, found: tuple[int, str]) -> None:
    made = requests.ReadRequest("A", "restoring")
    assert (made.label, made.what, made.rate_loaded(held)) == ("A", "restoring", found)


# -- leases


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"run": "R1"}',
        '{"until": 5}',
        '{"run": "R1", "until": "x"}',
        '{"run": 1, "until": 1e9999}',
    ],
)
def test_a_lease_that_is_none(site: Site, content: str) -> None:
    site.lease("A", "R1")
    Path(leases.path(site.catalog, "A")).write_text(content)
    found = leases.load(site.catalog, "A")
    assert found is None or found["until"] == float("inf")


def test_leases(site: Site) -> None:
    assert leases.leased(site.catalog) == leases.of_run(site.catalog, "R1") == []
    leases.renew(site.settings, site.catalog, "B", "R1")
    found = leases.read(site.catalog, "B")
    assert found and found["run"] == "R1" and 55 < found["until"] - time.time() <= 60
    for label, run, seconds in (("A", "R1", 60.0), ("C", "R2", 60.0), ("D", "R1", -1.0)):
        site.lease(label, run, seconds)
    (Path(leases.folder(site.catalog)) / "notes").touch()
    assert leases.leased(site.catalog) == ["A", "B", "C", "D"]
    assert leases.of_run(site.catalog, "R1") == ["A", "B"] and leases.read(site.catalog, "D") is None
    leases.drop(site.catalog, "R1")
    assert leases.leased(site.catalog) == ["C"]


# -- positions


class Drive:
    path, key, kind = "/dev/nst0", "st0", "drive"

    def __init__(self) -> None:
        self.now, self.at = Status(True, False, 3, 5, False, False), 17
        self.asked = 0

    def status(self) -> Status:
        return self.now

    def tell(self) -> int:
        self.asked += 1
        return self.at


CHIP = {"serial": "S", "loads": "7"}


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "positions").mkdir()
    monkeypatch.setattr(positions.hardware, "cartridge", lambda _path: CHIP)
    catalog = SimpleNamespace(folder=str(tmp_path))
    return SimpleNamespace(catalog=catalog, drive=Drive(), label={"label": "A"})


@pytest.mark.parametrize(("run", "chip"), [("R1", "S 7"), ("", "")])
def test_a_position_is_remembered(held: Any, run: str, chip: str) -> None:
    positions.remember(held, run)
    found: Any = positions.recall(held, held.drive.now)
    assert found == {
        "boot": call.boot(),
        "label": {"label": "A"},
        "run": run,
        "chip": chip,
        "file": 3,
        "block": 5,
        "at": 17,
    }
    positions.forget(held)
    positions.forget(held)
    assert positions.recall(held, held.drive.now) is None


Change = Callable[[Any], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda held: setattr(held.drive, "now", held.drive.now._replace(file=4)),
        lambda held: setattr(held.drive, "now", held.drive.now._replace(block=4)),
        lambda held: setattr(held.drive, "at", 18),
        lambda held: setattr(held.drive, "kind", "virtual"),
        lambda held: Path(positions.path(held)).write_text("{"),
        lambda held: Path(positions.path(held)).write_text(json.dumps({"boot": "x", "file": 3, "block": 5, "at": 17})),
    ],
)
def test_a_position_that_is_not_sure(held: Any, change: Change) -> None:
    """The drive is somewhere else, or was rebooted, or the file is damaged."""
    positions.remember(held, "R1")
    change(held)
    assert positions.recall(held, held.drive.now) is None


def test_a_position_that_st_does_not_know(held: Any) -> None:
    held.drive.now = held.drive.now._replace(file=-1)
    positions.remember(held, "R1")
    assert positions.recall(held, held.drive.now) is None
    held.drive.now = held.drive.now._replace(file=0)
    positions.remember(held, "R1")
    assert positions.recall(held, held.drive.now) is not None


def test_a_position_that_cannot_be_remembered(held: Any) -> None:
    """The label is read again then; and a virtual tape has none."""

    def fail() -> int:
        raise Problem("it is gone")

    held.drive.tell = fail
    positions.remember(held, "R1")
    held.drive.tell, held.drive.kind = (lambda: 17), "virtual"
    positions.remember(held, "R1")
    held.drive.kind = "drive"
    assert positions.recall(held, held.drive.now) is None


@pytest.mark.parametrize(
    ("chip", "recorded", "same"),
    [
        (CHIP, "S 7", True),
        (CHIP, "S 8", False),
        (CHIP, "", False),
        ({}, "", False),
        ({"serial": "S"}, "", False),
        ({"serial": "S", "loads": ""}, "S ", False),
        ({"serial": "", "loads": "7"}, " 7", False),
    ],
)
def test_whether_it_is_the_same_tape(
    held: Any, monkeypatch: pytest.MonkeyPatch, chip: Any, recorded: str, same: bool
) -> None:
    monkeypatch.setattr(positions.hardware, "cartridge", lambda path: chip if path == "/dev/nst0" else {})
    assert positions.is_same_tape(held.drive, {"chip": recorded}) is same
