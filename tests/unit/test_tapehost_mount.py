# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another tape into an idle drive: which drive, which tape, by whom it is loaded, and how long that may take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import BUSY, Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve import mount

NST0 = "/dev/nst0"


def state(loaded: bool = False, empty: bool = False) -> Any:
    return SimpleNamespace(loaded=loaded, empty=empty)


class Held:
    """A reserved drive, which notes what is done with it."""

    def __init__(self, log: list[Any], path: str = NST0) -> None:
        self.log, self.path = log, path
        self.label: dict[str, Any] = {}
        self.drive = SimpleNamespace(path=path, eject="eject", status=lambda: state(loaded=True))
        self.drive.open, self.drive.close = (lambda: log.append("open")), (lambda: log.append("close"))

    def release(self) -> None:
        self.log.append("release")


class Site:
    """A tape host, whose changer, commands and drives are told here."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.log: list[Any] = []
        self.patch = patch
        self.settings = SimpleNamespace(changer="", next_command="", wait=7.0, barcodes=["X1", "X2"], devices=[NST0])
        self.known: list[dict[str, Any]] = []
        self.refuses: dict[str, str] = {}  # {label: why a tape is not suitable}
        self.held: Held | None = Held(self.log)
        self.fails = False
        catalog = SimpleNamespace(locks="/locks", tapes=lambda: self.known, tape=self.tape)
        self.session: Any = SimpleNamespace(settings=self.settings, catalog=catalog, run="R1")
        self.request: Any = SimpleNamespace(label="", what="the archive", refused=set(), rate=self.rate)
        patch.setattr(mount, "tell", self.log.append)
        patch.setattr(mount.positions, "forget", lambda _held: self.log.append("forget"))

    def tape(self, label: str) -> Any:
        return next((each for each in self.known if each["label"] == label), None)

    def rate(self, tape: Any) -> tuple[int, str]:
        return tape["rank"], self.refuses.get(tape["label"], "")

    def has(self, *tapes: tuple[int, str, str]) -> None:
        """(rank, label, barcode) of each tape in the catalog."""
        self.known = [{"rank": rank, "label": label, "barcode": barcode} for rank, label, barcode in tapes]

    def mount(self, tried: set[str]) -> bool:
        """With a drive, a changer and a command that note what is asked of them."""
        self.patch.setattr(mount, "idle", lambda *_given: self.held)
        self.patch.setattr(mount, "wait_ready", lambda held: self.log.append(f"{held.path} is ready"))
        self.patch.setattr(mount.elements, "number_of", lambda held, inventory: (held.path, inventory))
        self.patch.setattr(mount.changer, "Changer", self.changer)
        self.patch.setattr(mount.changer, "next_command", self.command)
        return mount.mount(self.session, self.request, tried)

    def changer(self, *given: Any) -> Any:
        self.log.append(given)
        return SimpleNamespace(inventory=lambda: "inventory", load=self.load)

    def load(self, barcode: str, number: Any, eject: str, ready: Any) -> None:
        self.command(barcode, number, eject)
        ready()

    def command(self, *given: Any) -> None:
        self.log.append(given)
        if self.fails:
            raise Problem("it is stuck")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


# -- who loads it


@pytest.mark.parametrize(
    ("changer", "command", "barcode", "tried", "idle", "done"),
    [
        ("", "", "X1", 0, True, False),
        ("/dev/sg3", "", "", 0, True, False),
        ("/dev/sg3", "", "X1", 0, False, False),
        ("/dev/sg3", "", "X1", 0, True, True),
        ("/dev/sg3", "", "X1", 19, True, True),
        ("/dev/sg3", "", "X1", 20, True, False),
        ("", "call", "", 0, False, False),
        ("", "call", "", 0, True, True),
        ("", "call", "", 19, True, True),
        ("", "call", "", 20, True, False),
    ],
)
def test_whether_a_tape_can_be_loaded(
    site: Site, changer: str, command: str, barcode: str, tried: int, idle: bool, done: bool
) -> None:
    """It also ends: after twenty tapes, none of which was suitable."""
    site.settings.changer, site.settings.next_command = changer, command
    site.has((1, "A", barcode))
    site.held = site.held if idle else None
    before = {f"other {number}" for number in range(tried)}
    now = set(before)
    assert site.mount(now) is done
    assert now - before == ({barcode or f"command {tried}"} if done else set())
    assert (site.log != []) is done


@pytest.mark.parametrize("fails", [False, True])
def test_a_changer_loads_it(site: Site, fails: bool) -> None:
    site.settings.changer, site.fails = "/dev/sg3", fails
    site.has((1, "A", "X1"))
    tried: set[str] = set()
    if fails:
        with pytest.raises(Problem, match="it is stuck"):
            site.mount(tried)
    else:
        assert site.mount(tried) is True
    assert tried == {"X1"}
    assert site.log == [
        "loading X1 into /dev/nst0",
        ("/dev/sg3", "/locks", 7.0),
        ("X1", (NST0, "inventory"), "eject"),
        *([] if fails else ["/dev/nst0 is ready"]),
        "forget",
        "release",
    ]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("label", "wait", "why", "limit"), [("", 7.0, "full", 300.0), ("A", 400.0, "restore", 400.0)])
def test_a_command_loads_it(site: Site, label: str, wait: float, why: str, limit: float, fails: bool) -> None:
    """The drive is closed for it, and opened again when it is done."""
    site.settings.next_command, site.settings.wait, site.request.label, site.fails = "call", wait, label, fails
    tried = {"command 0"}
    if fails:
        with pytest.raises(Problem, match="it is stuck"):
            site.mount(tried)
    else:
        assert site.mount(tried) is True
    assert tried == {"command 0", "command 1"}
    wanted = {"TAPE_WANTED": "", "TAPE_BARCODE": "", "TAPE_LOCATION": ""}
    assert site.log == [
        "tape_next_command loads a tape into /dev/nst0",
        "close",
        ("call", NST0, label, why, limit, wanted),
        *([] if fails else ["open", "/dev/nst0 is ready"]),
        "forget",
        "release",
    ]


# -- which tape


def test_the_tapes_that_a_command_is_told(site: Site) -> None:
    site.has((2, "A", "X1"), (1, "C", "X3"), (1, "B", "X2"), (0, "D", "X4"), (0, "E", "X5"))
    site.refuses, site.request.refused = {"D": "is full"}, {"E"}
    found = {"TAPE_WANTED": "B C A", "TAPE_BARCODE": "X2", "TAPE_LOCATION": ""}
    assert mount.wanted(site.session, site.request) == found
    site.known[2]["location"] = "shelf"
    assert mount.wanted(site.session, site.request) == {**found, "TAPE_LOCATION": "shelf"}


A, B = (1, "A", "X1"), (1, "B", "X2")


@pytest.mark.parametrize(
    ("tapes", "label", "tried", "refused", "barcode"),
    [
        ([], "", "", "", ""),
        ([B, A], "", "", "", "X1"),  # in the order of tape_barcodes
        ([A, (0, "B", "X2")], "", "", "", "X2"),
        ([A, B], "", "X1", "", "X2"),
        ([A, B], "", "X1 X2", "", ""),
        ([A, B], "", "", "A", "X2"),
        ([(1, "A", ""), B], "", "", "", "X2"),
        ([(1, "C", "X3")], "", "", "", ""),  # which is not of tape_barcodes
        ([(1, "C", "X3")], "C", "", "", "X3"),
        ([(1, "C", "X3")], "C", "X3", "", ""),
        ([(1, "C", "X3")], "C", "", "C", ""),
    ],
)
def test_the_next_barcode(site: Site, tapes: list[Any], label: str, tried: str, refused: str, barcode: str) -> None:
    site.has(*tapes)
    site.request.label, site.refuses = label, dict.fromkeys(refused.split(), "is full")
    assert mount.next_barcode(site.session, site.request, set(tried.split())) == barcode


@pytest.mark.parametrize("tapes", [[], [(1, "C", "")]])
def test_a_tape_without_a_barcode(site: Site, tapes: list[Any]) -> None:
    """No changer can find it; something else has been loaded meanwhile, so it is not the first try."""
    site.has(*tapes)
    site.request.label = "C"
    with pytest.raises(Problem, match="^the catalog has no barcode of tape C: load it by hand$"):
        mount.next_barcode(site.session, site.request, set())
    assert mount.next_barcode(site.session, site.request, {"X1"}) == ""


# -- which drive


@pytest.mark.parametrize(
    ("drives", "found"),
    [
        ([], None),
        (["busy"], None),
        (["empty"], 0),
        (["full"], 0),
        (["unreadable"], 0),
        (["taken"], None),
        (["ours"], 0),
        (["full", "full"], 0),
        (["full", "empty"], 1),
        (["empty", "full"], 0),
        (["empty", "empty"], 0),
        (["unreadable", "full"], 0),
        (["full", "unreadable", "empty"], 2),
        (["taken", "full"], 1),
        (["busy", "taken", "full", "ours", "empty"], 4),
    ],
)
def test_an_idle_drive(site: Site, monkeypatch: pytest.MonkeyPatch, drives: list[str], found: int | None) -> None:
    """At best an empty one, and never with a tape of another run; all others are left alone."""
    held: dict[str, Held] = {}
    logs: dict[str, list[Any]] = {}

    def reserve(_session: Any, path: str, what: str) -> Held:
        assert what == "the archive"
        kind = drives[int(path)]
        if kind == "busy":
            raise Problem("it is in use", kind=BUSY)
        logs[path] = []
        held[path] = made = Held(logs[path], path)
        made.drive.status = lambda: state(loaded=kind != "empty")

        def identify() -> None:
            if kind == "unreadable":
                raise Problem("its tape cannot be read")
            made.label = {"label": kind} if kind != "empty" else {}

        made.identify = identify  # type: ignore[attr-defined]
        return made

    monkeypatch.setattr(mount.reservations, "reserve", reserve)
    leases = {"taken": {"run": "R2"}, "ours": {"run": "R1"}}
    monkeypatch.setattr(mount.leases, "read", lambda _catalog, label: leases.get(label))
    site.settings.devices = [str(number) for number in range(len(drives))]
    made = mount.idle(site.session, site.request)
    assert (made and made.drive.path) == (None if found is None else str(found))
    assert [path for path, log in logs.items() if log == []] == ([] if found is None else [str(found)])
    assert all(log in ([], ["release"]) for log in logs.values())


# -- until it is ready


@pytest.mark.parametrize(
    ("says", "until", "said", "problem"),
    [
        (state(), 0, 0, ""),
        (state(empty=True), 299, 0, ""),
        (state(empty=True), None, 0, "no tape 0:05:00"),
        (state(), 299, 0, ""),
        (state(), 301, 1, ""),
        (state(), 10799, 1, ""),
        (state(), None, 1, "no tape ready 3:00:00"),
    ],
)
def test_how_long_a_drive_may_take(
    site: Site, monkeypatch: pytest.MonkeyPatch, says: Any, until: int | None, said: int, problem: str
) -> None:
    """A new tape for LTO-9 is calibrated, and that is said once."""
    began = 1000.0
    now = [began]

    def sleep(_seconds: float) -> None:
        now[0] += 1

    monkeypatch.setattr(mount, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    held: Any = site.held
    held.drive.status = lambda: says if until is None or now[0] < began + until else state(loaded=True)
    text = ""
    try:
        mount.wait_ready(held)
    except Problem as exc:
        text = str(exc)
    hint = "check its panel; is tape_devices in the changer's order?"
    assert text == (problem and f"drive {NST0} has {problem} after it was loaded: {hint}")
    assert site.log == said * [
        "drive /dev/nst0 is getting its tape ready: a new tape for LTO-9 or later is calibrated when it is first "
        "loaded, which takes up to two hours; waiting for up to 3:00:00"
    ]
