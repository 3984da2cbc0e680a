# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reserved drive: who gets it, how long others wait for it, and which tape is in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import files
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import BUSY, LOADING, Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import label as labels
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives.mtio import Status
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve import positions, reservation
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve.reservation import Reservation

HOLDER = {"what": "the archive", "host": "h1", "run": "R1", "since": "noon", "pid": 7}


# -- who gets it


class Site:
    """A drive whose opening fails so often, and a clock that sleep moves."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.problems: list[BaseException] = []
        self.now = 0.0
        self.opened = 0
        self.locks = folder / "locks"
        settings = SimpleNamespace(devices=["/dev/nst0", "/dev/nst1"])
        catalog = SimpleNamespace(locks=str(self.locks))
        self.session: Any = SimpleNamespace(settings=settings, catalog=catalog, run="R1", holder=lambda _what: HOLDER)
        self.closed = 0
        self.drive = SimpleNamespace(path="/dev/nst1", key="st1", fd=-1, open=self.open, close=self.close)
        patch.setattr(reservation.detect, "drive_at", lambda _path: self.drive)
        patch.setattr(reservation, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def open(self) -> None:
        self.opened += 1
        if self.problems:
            raise self.problems.pop(0)

    def close(self) -> None:
        self.closed += 1

    def sleep(self, seconds: float) -> None:
        assert self.free(), "it lets go of the drive before it waits"
        self.now += seconds

    def free(self) -> bool:
        lock = files.Lock(str(self.locks / "st1"))
        taken = lock.take({})
        lock.release()
        return taken

    def reserve(self, wait: float = 0.0, path: str = "/dev/nst1") -> Reservation:
        return reservation.reserve(self.session, path, "the archive", wait)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(files, "LOCK_POLL", 1.0)
    return Site(tmp_path, monkeypatch)


@pytest.mark.parametrize(("path", "index"), [("/dev/nst0", 0), ("/dev/nst1", 1), ("/dev/tape/by-id/x", 0)])
def test_a_drive_is_held_until_it_is_released(site: Site, path: str, index: int) -> None:
    held = site.reserve(path=path)
    assert (held.index, held.locks) == (index, (held.lock.fd, -1))
    assert not site.free()
    with pytest.raises(Problem) as caught:
        site.reserve(path=path)
    said = f"drive {path} is in use for the archive of h1 in run R1, since noon (process 7)"
    assert (str(caught.value), caught.value.kind) == (said, BUSY)
    held.release()
    assert site.free() and site.closed == 1


def test_a_holder_that_has_said_nothing() -> None:
    assert reservation.say_holder({}) == "an unknown process"


IN_USE = Problem("it is in use", kind=BUSY)


@pytest.mark.parametrize(
    ("problems", "wait", "opened", "reserved"),
    [
        ([], 0.0, 1, True),
        ([IN_USE], 0.0, 1, False),
        ([IN_USE], 5.0, 2, True),
        ([IN_USE] * 5, 5.0, 6, True),
        ([IN_USE] * 6, 5.0, 6, False),
        ([Problem("it is broken")], 5.0, 1, False),
        ([OSError("no such device")], 5.0, 1, False),
        ([KeyboardInterrupt()], 5.0, 1, False),
        ([IN_USE, Problem("it is broken")], 5.0, 2, False),
    ],
)
def test_who_waits_for_a_drive(
    site: Site, problems: list[BaseException], wait: float, opened: int, reserved: bool
) -> None:
    """Only for others that use it, and only as long as asked; after a failure the drive is free."""
    site.problems = list(problems)
    if reserved:
        site.reserve(wait).release()
    else:
        with pytest.raises(type(problems[-1])) as caught:
            site.reserve(wait)
        assert caught.value is problems[-1]
    assert site.opened == opened and site.free()


# -- which tape is in it


LABEL = {"label": "A", "id": "id of A", "labelled": "in May"}
FOREIGN = b"something else"
LOADED, NONE = Status(True, False, 3, 0, False, False), Status(False, False, -1, -1, False, True)


class Drive:
    """A drive with a tape whose first block this is."""

    path = "/dev/nst0"
    located = True

    def __init__(self, block: bytes, status: Status = LOADED, loading: bool = False) -> None:
        self.block, self.loading = block, loading
        self.status = lambda: status
        self.resumes = True
        self.resumed: list[int] = []

    def is_loading(self) -> bool:
        return self.loading

    def first_block(self) -> bytes:
        return self.block

    def resume(self, block: int) -> bool:
        self.resumed.append(block)
        return self.resumes


Made = Callable[..., Any]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Makes a reservation of a drive; ``known``: what the catalog has; ``position``: what was recorded."""
    monkeypatch.setattr(positions, "remember", lambda held: held.log.append("remember"))
    monkeypatch.setattr(positions, "forget", lambda held: held.log.append("forget"))

    def make(drive: Drive, known: Any = None, position: Any = None, same: bool = True) -> Any:
        monkeypatch.setattr(positions, "recall", lambda _held, _status: position)
        monkeypatch.setattr(positions, "is_same_tape", lambda _drive, _position: same)
        catalog = SimpleNamespace(folder="/catalog", tape=lambda label: known if label == "A" else None)
        session: Any = SimpleNamespace(settings=None, catalog=catalog, run="R1")
        nothing: Any = None
        made: Any = Reservation(session, nothing, nothing, 0)
        made.drive = drive
        made.log = []
        return made

    return make


def block(label: dict[str, Any] | None = None) -> bytes:
    return labels.block_of({**labels.make("A", 512, "", "tape1"), **(label or LABEL)})


def tape(**more: Any) -> dict[str, Any]:
    return {"label": "A", "id": "id of A", "labelled": "in May", **more}


def test_a_drive_without_its_tape(held: Made) -> None:
    assert held(Drive(b"", NONE)).identify() == "there is no tape in it"
    with pytest.raises(Problem) as caught:
        held(Drive(b"", NONE, loading=True)).identify()
    assert caught.value.kind == LOADING
    assert str(caught.value) == f"drive /dev/nst0 is getting its tape ready: {reservation.GETTING_READY}"


OTHER = "its tape is labelled A, but is not the A of the catalog (labelled in May, in the catalog in June)"
UNKNOWN = "its tape A is not in the catalog /catalog: tape_inventory with tape_rebuild adds it to the catalog"


@pytest.mark.parametrize(
    ("data", "known", "said", "found"),
    [
        (b"", tape(), "its tape is blank: label it with tape_label", False),
        (block(), tape(), "", True),
        (block(), None, UNKNOWN, True),
        (block(), tape(id="another", labelled="in June"), OTHER, True),
        (block(), tape(id="another", relabelling={"id": "id of A"}), "", True),
        (block(), tape(id="another", labelled="in June", relabelling={"id": "third"}), OTHER, True),
    ],
)
def test_which_tape_is_in_it(held: Made, data: bytes, known: Any, said: str, found: bool) -> None:
    """It is read, and the position is remembered only if it is a tape of ours."""
    made = held(Drive(data), known)
    made.left_by = "R0"
    assert made.identify() == said
    assert (made.label.get("id"), made.left_by) == ("id of A" if found else None, "")
    assert made.tape == (known if found else None)
    assert made.log == ["forget"] + ["remember"] * found


def test_a_tape_of_somebody_else(held: Made) -> None:
    assert held(Drive(FOREIGN)).identify() == (
        f"its tape holds data without a label (fingerprint {labels.fingerprint(FOREIGN)}); "
        "nothing is written to it unless tape_label overwrites it"
    )


POSITION = {"label": LABEL, "run": "R0", "at": 17}


@pytest.mark.parametrize(
    ("position", "anew", "same", "resumes", "read", "left_by"),
    [
        (POSITION, False, True, True, False, "R0"),
        (POSITION, False, True, False, False, ""),
        (POSITION, False, False, True, False, ""),
        ({**POSITION, "run": ""}, False, True, True, False, ""),
        ({**POSITION, "label": {}}, False, True, True, True, ""),
        (POSITION, True, True, True, True, ""),
        (None, False, True, True, True, ""),
    ],
)
def test_a_drive_that_is_where_it_was(
    held: Made, position: Any, anew: bool, same: bool, resumes: bool, read: bool, left_by: str
) -> None:
    """Its label is not read again; and that it is the place where a run has left it needs more than that."""
    made = held(Drive(block()), tape(), position, same)
    made.drive.resumes = resumes
    assert made.identify(**({"anew": True} if anew else {})) == ""
    assert (made.left_by, made.log) == (left_by, ["forget", "remember"] if read else [])
    assert made.drive.resumed == ([17] if not read and position["run"] and same else [])


@pytest.mark.parametrize(
    ("located", "data", "said"),
    [
        (True, FOREIGN, ""),
        (False, block(), ""),
        (False, b"", "its tape is blank: label it with tape_label"),
        (False, block({**LABEL, "id": "another"}), "its tape is A"),
    ],
)
def test_a_label_is_read_again_after_an_error(held: Made, located: bool, data: bytes, said: str) -> None:
    """Also the position that was recorded does not count then."""
    made = held(Drive(data), {"id": "another", "relabelling": {"id": "id of A"}, "labelled": ""}, POSITION)
    made.label, made.drive.located = LABEL, located
    if not said:
        made.check_label()
        return
    with pytest.raises(Problem) as caught:
        made.check_label()
    now = f"drive /dev/nst0: tape A was in it, but now {said}: nothing more was written"
    assert str(caught.value) == now


def test_a_lease_is_renewed(held: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(reservation.leases, "renew", lambda *words: given.append(words))
    made = held(Drive(b""))
    made.label = LABEL
    made.renew_lease()
    assert given == [(None, made.catalog, "A", "R1")]
