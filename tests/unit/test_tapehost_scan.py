# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for a drive: which one is taken, what is said of the others, and for how long a job waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import (
    ABSENT,
    BUSY,
    CONFIRM,
    LOADING,
    NO_TAPE,
    SETTINGS,
    UNREADABLE,
    Problem,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve import requests, scan


class Held:
    def __init__(self, site: Site, path: str) -> None:
        self.site, self.path = site, path
        self.label = {"label": "tape in " + path}

    def identify(self) -> str:
        if isinstance(self.site.drives[self.path], Problem):
            raise self.site.drives[self.path]
        return str(self.site.drives[self.path])

    def release(self) -> None:
        self.site.held.remove(self.path)


class Site:
    """Drives, each with the rank of its tape and the reason against it, or the problem that it has."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.drives: dict[str, Any] = {}
        self.held: list[str] = []
        self.known: list[dict[str, Any]] = []
        self.settings: Any = SimpleNamespace(devices=[], changer="", next_command="", wait=60.0)
        catalog = SimpleNamespace(tapes=lambda: self.known, tape=lambda _label: None, queue="/queue")
        self.session: Any = SimpleNamespace(settings=self.settings, catalog=catalog, run="R1")
        self.request: Any = SimpleNamespace(label="", what="the archive", refused=set(), withheld=False)
        self.request.rate, self.request.rate_loaded = (lambda tape: (0, tape["why"])), self.rate
        patch.setattr(scan.reservations, "reserve", self.reserve)

    def reserve(self, _session: Any, path: str, _what: str) -> Any:
        found = self.drives[path]
        if isinstance(found, Problem) and found.kind == BUSY:
            raise found
        self.held.append(path)
        return Held(self, path)

    def rate(self, held: Held) -> tuple[int, str]:
        found = self.drives[held.path]
        if isinstance(found, BaseException):
            raise found
        return found

    def has(self, *drives: Any) -> None:
        self.drives = {f"/{name}": each for name, each in zip("abcd", drives)}
        self.settings.devices = list(self.drives)

    def scan(self) -> Any:
        return scan.scan(self.session, self.request.rate_loaded, "the archive")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


IN_USE = Problem("it is in use", kind=BUSY)
GETTING = Problem("it gets its tape ready", kind=LOADING)
BROKEN = Problem("it is broken", kind=UNREADABLE)
FULL, TAKEN = (requests.UNFIT, "is full"), (requests.RESERVED, "is taken")
F, T = "drive /%s: is full", "drive /%s: is taken"


@pytest.mark.parametrize(
    ("drives", "found", "reasons", "later"),
    [
        ([(1, "")], "/a", [], ""),
        ([(2, ""), (1, "")], "/b", [], ""),
        ([(1, ""), (1, ""), (1, "")], "/a", [], ""),
        ([FULL], None, [F % "a"], ""),
        ([FULL, (3, "")], "/b", [F % "a"], ""),
        ([TAKEN], None, [T % "a"], BUSY),
        ([IN_USE, FULL], None, ["it is in use", F % "b"], BUSY),
        ([BROKEN], None, ["it is broken"], ""),
        ([BROKEN, (1, "")], "/b", ["it is broken"], ""),
        ([GETTING, IN_USE], None, ["it gets its tape ready", "it is in use"], LOADING),
        ([TAKEN, GETTING, (1, "")], "/c", [T % "a", "it gets its tape ready"], LOADING),
    ],
)
def test_which_drive_is_taken(site: Site, drives: list[Any], found: Any, reasons: list[str], later: str) -> None:
    """The best tape, in the order of the drives; all others are let go."""
    site.has(*drives)
    held, why, busy = site.scan()
    assert (held and held.path, list(why.values()), busy) == (found, reasons, later)
    assert site.held == ([found] if found else [])


def test_a_scan_that_is_interrupted(site: Site) -> None:
    site.has(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        site.scan()
    assert site.held == []


def test_a_host_without_drives(site: Site) -> None:
    """Before anything is made, such as the folder of the queue."""

    def reserve() -> None:
        with scan.reserve_for(site.session, site.request):
            pass

    for what in (site.scan, reserve, lambda: scan.need(site.settings)):
        with pytest.raises(Problem) as caught:
            what()
        assert (caught.value.what, caught.value.kind) == ("this host has no drives", SETTINGS)
    site.has((1, ""))
    scan.need(site.settings)


def test_the_tapes_in_idle_drives(site: Site) -> None:
    site.has("", "there is no tape in it", IN_USE, BROKEN)
    assert scan.loaded(site.session) == {"tape in /a"} and site.held == []


# -- what is said


TAPES = [{"label": label, "why": why} for label, why in (("A", ""), ("B", "is full"), ("C", ""), ("D", ""))]


@pytest.mark.parametrize(
    ("label", "tapes", "refused", "said"),
    [
        ("", [], "", []),
        ("", TAPES, "", ["writable tapes: A, C, D"]),
        ("", TAPES, "AC", ["writable tapes: D"]),
        ("", TAPES, "ACD", []),
        ("A", TAPES, "", []),
    ],
)
def test_tapes_that_could_be_loaded(site: Site, label: str, tapes: Any, refused: str, said: list[str]) -> None:
    site.known, site.request.label, site.request.refused = tapes, label, set(refused)
    assert scan.suggestion(site.session, site.request) == said


@pytest.mark.parametrize(
    ("label", "busy", "withheld", "what", "kind"),
    [
        ("A", "", False, "tape A is in no drive", ABSENT),
        ("A", BUSY, True, "tape A is in no drive", ABSENT),
        ("", BUSY, True, "no drive became free", BUSY),
        ("", LOADING, False, "no drive became free", BUSY),
        ("", "", True, "no drive has a writable tape", CONFIRM),
        ("", "", False, "no drive has a writable tape", NO_TAPE),
    ],
)
@pytest.mark.parametrize(("limit", "within"), [(0.0, ""), (90.0, " within 0:01:30")])
def test_after_waiting_in_vain(
    site: Site, label: str, busy: str, withheld: bool, what: str, kind: str, limit: float, within: str
) -> None:
    site.request.label, site.request.withheld = label, withheld
    found = scan.too_late(site.session, limit, site.request, "why", busy)
    assert (str(found), found.kind) == (f"{what}{within}: why", kind)


@pytest.mark.parametrize(
    ("drives", "settings", "label", "said"),
    [
        ([FULL], {}, "", "waiting up to 0:01:00 for a writable tape: drive /a: is full; writable tapes: A, C, D"),
        ([FULL], {}, "X", "waiting up to 0:01:00 for tape X: drive /a: is full"),
        ([FULL], {"wait": 0}, "", ""),
        ([FULL], {"changer": "/dev/sg3"}, "", ""),
        ([FULL], {"next_command": "call"}, "", ""),
        ([FULL, IN_USE], {}, "", ""),
        ([FULL, (1, "")], {}, "", ""),
    ],
)
def test_what_a_person_must_load(site: Site, drives: Any, settings: dict[str, Any], label: str, said: str) -> None:
    site.has(*drives)
    site.known, site.request.label = TAPES, label
    vars(site.settings).update(settings)
    assert scan.awaited(site.session, site.request) == said and site.held == []


# -- waiting


class Ticket:
    """A place in the queue, which is not the first one for so many looks."""

    def __init__(self, run: str = "R1") -> None:
        self.run, self.others = run, 0
        self.of_run: list[bool] = []
        self.places = ["queued"]

    def first(self, of_run: bool) -> bool:
        self.of_run.append(of_run)
        self.others -= 1
        return self.others < 0

    def drop(self) -> None:
        self.places.append("dropped")

    def queue(self) -> None:
        self.places.append("queued")


class Wait:
    """The waiting loop with a clock that its sleep moves, and drives that change with time."""

    def __init__(self, site: Site, patch: pytest.MonkeyPatch) -> None:
        self.site, self.now, self.slept = site, 1000.0, set()  # type: Site, float, set[float]
        self.said: list[str] = []
        self.changes: dict[float, Any] = {}
        self.mounted = 0
        self.leases: list[str] = []
        self.ticket: Any = Ticket()
        patch.setattr(scan, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))
        patch.setattr(scan, "tell", self.said.append)
        patch.setattr(scan.mount, "mount", self.mount)
        patch.setattr(scan.leases, "of_run", lambda _catalog, run: self.leases if run == "R1" else [])

    def sleep(self, seconds: float) -> None:
        self.slept.add(seconds)
        self.now += seconds
        for at in [at for at in self.changes if self.now - 1000 >= at]:
            self.site.has(self.changes.pop(at))

    def mount(self, _session: Any, _request: Any, tried: set[str]) -> bool:
        self.mounted -= 1
        tried.add("x")
        if self.mounted < 0:
            return False
        self.site.has((1, "") if self.mounted == 0 else FULL)
        return True

    def run(self) -> Any:
        return scan.wait(self.site.session, self.site.request, self.ticket)


@pytest.fixture
def waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> Wait:
    return Wait(site, monkeypatch)


def test_a_drive_that_is_free_at_once(waiting: Wait) -> None:
    waiting.site.has((1, ""))
    assert waiting.run().path == "/a"
    assert (waiting.said, waiting.slept, waiting.ticket.of_run, waiting.ticket.places) == (
        [],
        set(),
        [False],
        ["queued"],
    )


@pytest.mark.parametrize(
    ("label", "leases", "of_run"), [("", [], False), ("", ["A"], True), ("X", ["A"], False), ("X", [], False)]
)
def test_whose_turn_it_is(waiting: Wait, label: str, leases: list[str], of_run: bool) -> None:
    """A run that has a tape waits only for its own jobs; the first in the queue is served first."""
    waiting.site.has((1, ""))
    waiting.site.request.label, waiting.leases, waiting.ticket.others = label, leases, 2
    assert waiting.run().path == "/a"
    wanted = f"tape {label}" if label else "a drive"
    said = f"waiting for {wanted}: others have been waiting for longer; for up to 0:01:00 (tape_wait)"
    assert (waiting.said, waiting.ticket.of_run) == ([said, ""], [of_run] * 3)
    assert waiting.slept == {scan.files.LOCK_POLL} and waiting.ticket.places == ["queued"]


def test_who_does_not_wait_has_time_for_its_turn(waiting: Wait) -> None:
    waiting.site.has((1, ""))
    waiting.site.settings.wait, waiting.ticket.others = 0.0, 2
    assert waiting.run().path == "/a"
    assert waiting.said == ["waiting for a drive: others have been waiting for longer; for up to 0:00:05", ""]


def test_whose_turn_does_not_come(waiting: Wait) -> None:
    waiting.site.has((1, ""))
    waiting.site.settings.wait, waiting.ticket.others = 0.0, 1000
    with pytest.raises(Problem, match="no drive became free within 0:00:05: others have been waiting for longer"):
        waiting.run()
    assert waiting.now - 1000 == pytest.approx(scan.TURN, abs=scan.files.LOCK_POLL)


def test_a_drive_that_becomes_free(waiting: Wait) -> None:
    waiting.site.has(IN_USE)
    waiting.changes = {10.0: TAKEN, 20.0: (1, "")}
    assert waiting.run().path == "/a"
    assert waiting.said == [
        "waiting for a drive: it is in use; for up to 0:01:00 (tape_wait)",
        "waiting for a drive: drive /a: is taken; for up to 0:01:00 (tape_wait)",
        "",
    ]
    assert waiting.slept == {scan.files.LOCK_POLL} and waiting.ticket.places == ["queued"]


def test_a_tape_that_a_person_loads(waiting: Wait) -> None:
    """Meanwhile it is not in the queue."""
    waiting.site.has(FULL)
    waiting.site.known = TAPES
    waiting.changes = {4.0: (1, "")}
    assert waiting.run().path == "/a"
    text = "waiting for a tape: drive /a: is full; writable tapes: A, C, D; for up to 0:01:00 (tape_wait)"
    assert waiting.said == [text, ""] and waiting.slept == {scan.SCAN_POLL}
    assert waiting.ticket.places == ["queued", "dropped", "queued", "dropped", "queued"]


def test_tapes_that_are_loaded_by_a_machine(waiting: Wait) -> None:
    """One after the other, without a pause, until one will do."""
    waiting.site.has(FULL)
    waiting.mounted = 2
    assert waiting.run().path == "/a"
    assert (waiting.said, waiting.slept, waiting.ticket.places) == ([""], set(), ["queued"])


@pytest.mark.parametrize(
    ("drive", "wait", "until", "kind"),
    [
        (IN_USE, 60.0, 60.0, BUSY),
        (IN_USE, 0.0, 0.0, BUSY),
        (FULL, 60.0, 60.0, NO_TAPE),
        (FULL, 0.0, 0.0, NO_TAPE),
        (GETTING, 0.0, 0.0, BUSY),
        (GETTING, 60.0, 10800.0, BUSY),
        (GETTING, 20000.0, 20000.0, BUSY),
    ],
)
def test_for_how_long_a_job_waits(
    waiting: Wait, monkeypatch: pytest.MonkeyPatch, drive: Any, wait: float, until: float, kind: str
) -> None:
    """For a tape that gets ready at least as long as that takes, unless it does not wait at all."""
    monkeypatch.setattr(scan.files, "LOCK_POLL", 2.0)
    waiting.site.has(drive)
    waiting.site.settings.wait = wait
    with pytest.raises(Problem) as caught:
        waiting.run()
    assert (waiting.now - 1000, caught.value.kind) == (until, kind)


@pytest.mark.parametrize(("label", "place"), [("", "write"), ("A", "read-A")])
def test_a_drive_is_reserved_and_released(site: Site, monkeypatch: pytest.MonkeyPatch, label: str, place: str) -> None:
    """The place in the queue is given up before, also if nothing was found."""
    tickets: list[Any] = []

    def ticket(folder: str, kind: str, run: str) -> Ticket:
        assert (folder, run) == ("/queue", "R1")
        tickets.append((kind, Ticket()))
        return tickets[-1][1]

    monkeypatch.setattr(scan.files, "Ticket", ticket)
    monkeypatch.setattr(scan.leases, "of_run", lambda _catalog, _run: [])
    monkeypatch.setattr(scan.mount, "mount", lambda *_given: False)
    site.has((1, ""))
    site.request.label, site.settings.wait = label, 0
    with pytest.raises(KeyError), scan.reserve_for(site.session, site.request) as held:
        assert (held.path, site.held) == ("/a", ["/a"])
        assert (tickets[0][0], tickets[0][1].places) == (place, ["queued", "dropped"])
        raise KeyError
    assert site.held == []
    site.has(IN_USE)
    with pytest.raises(Problem), scan.reserve_for(site.session, site.request):
        pass
    assert tickets[1][1].places == ["queued", "dropped"]
