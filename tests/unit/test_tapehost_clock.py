# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock of the tape host that jumps forward lets nothing expire, and asks nobody when it is right."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import call
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.units import iso
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import clock
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog.catalog import Catalog
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
DAY = 86400
NOW = 1_800_000_000
NOT_SURE = "nothing expires until this is resolved: set the clock or, if it is right, set tape_accept_clock once"


def known(*days: float) -> list[dict[str, Any]]:
    """An archive of a run of its own so many days ago, each; oldest first."""
    return [{"run": "R%d" % number, "time": iso(NOW - day * DAY), "keep_until": 5} for number, day in enumerate(days)]


def noted(days: float, boot: str = "before", up: float = 0) -> dict[str, Any]:
    """What was noted so many days ago, so many days after a start of the machine."""
    return {"time": NOW - days * DAY, "boot": boot, "uptime": up * DAY}


DAILY = known(*range(40, 10, -1))
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any] | None, float | None, bool]] = {
    "an empty catalog": ([], None, None, False),
    "nothing noted, a new archive": (known(3), None, None, False),
    "nothing noted, an old archive": (known(30), None, None, True),
    "the next day": (DAILY, noted(1), None, False),
    "after a week": (DAILY, noted(6.9), None, False),
    "after more": (DAILY, noted(7.1), None, True),
    "every month": (known(95, 64, 33), noted(33), None, False),
    "every month, but twice that": (known(95 + 33, 64 + 33, 33 + 33), noted(66), None, True),
    "not a pause after what was believed": (known(4000, 3999, 2000, 1), noted(3999), None, True),
    "on since then": (DAILY, noted(300, "now", up=100), None, False),
    "on since then, and the clock was set": (DAILY, noted(300, "now", up=398), None, True),
    "on since then, and the clock was set by a little": (DAILY, noted(300.9, "now", up=100), None, False),
    "on since then, and asleep in a way that the kernel does not count": (DAILY, noted(5, "now", up=398), None, False),
    "gone back": (DAILY, noted(-30), None, False),
    "gone back since it was started": (DAILY, noted(-30, "now", up=399), None, False),
    "as the controller's": (DAILY, noted(3000), 0.0, False),
    "about as the controller's": (DAILY, noted(3000), 0.9 * DAY, False),
    "ahead of the controller's": (DAILY, noted(1, "now", up=399), 1.1 * DAY, True),
    "behind the controller's": (DAILY, noted(1), -500.0 * DAY, False),
}


@pytest.mark.parametrize(("archives", "last", "ahead", "doubted"), CASES.values(), ids=CASES)
def test_whether_it_is_believed(
    archives: list[dict[str, Any]],
    last: dict[str, Any] | None,
    ahead: float | None,
    doubted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "time", SimpleNamespace(time=lambda: NOW, clock_gettime=lambda _which: 400 * DAY))
    monkeypatch.setattr(call, "boot", lambda: "now")
    catalog = Catalog(str(tmp_path))
    if last:
        Path(clock.path(catalog)).write_text(json.dumps(last))
    settings = SimpleNamespace(accept_clock=False)
    session: Any = SimpleNamespace(settings=settings, catalog=catalog, ahead=ahead)
    said = clock.doubt(session, archives)
    assert bool(said) == doubted, said
    if said:
        when = NOW - ahead if ahead is not None else last["time"] if last else NOW - 30 * DAY
        what = "the controller's %s" if ahead is not None else "the last backup was at %s"
        assert said == "the tape host's clock shows %s, but %s; %s" % (iso(NOW), what % iso(when), NOT_SURE)
    settings.accept_clock = True
    assert clock.doubt(session, archives) == ""
    # and what is noted then
    settings.accept_clock = False
    kept = [{**each, "keep_until": NOW + 1} for each in archives]
    assert clock.doubt(session, kept) == ""  # it does not matter yet, and is not believed for that
    believed = not doubted and (ahead is not None or last is None or last["time"] <= NOW)
    for accepted, noted_now in ((True, True), (False, believed)):
        Path(clock.path(catalog)).write_text(json.dumps(last))
        settings.accept_clock = accepted
        clock.note(session, kept)
        now = {"time": NOW, "boot": "now", "uptime": 400 * DAY}
        assert clock.recall(catalog) == (now if noted_now else last)


DAMAGED = ["", "{", "[]", "5", "{}"]
DAMAGED += ['{"time": %s, "boot": "", "uptime": 0}' % each for each in ('"x"', "NaN", "-1", "1e99")]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_note(text: str, tmp_path: Path) -> None:
    catalog = Catalog(str(tmp_path))
    Path(clock.path(catalog)).write_text(text)
    assert clock.recall(catalog) is None


def test_the_controllers_clock() -> None:
    """It is another one only if the machine is."""
    now = time.time()
    assert call.ahead(None) is None
    assert call.ahead({"time": now - DAY, "boot": call.boot()}) is None
    found = call.ahead({"time": now - DAY, "boot": "another"})
    assert found is not None
    assert DAY <= found < DAY + 600
    assert call.ahead({"time": now + DAY, "boot": ""}) is not None


def later(days: float) -> Callable[[], None]:
    """The machine has been started again, and its clock is so many days ahead."""

    def before() -> None:
        really = time.time
        time.time = lambda: really() + days * DAY
        call.boot = lambda: "another"

    return before


def asked_by_a_module(host: TapeHost, days: float, words: list[str], **settings: Any) -> Callable[[], None]:
    """The same, and a module of another machine, whose clock is right, has called."""

    def before() -> None:
        now = time.time()
        later(days)()
        request = {"words": words, "settings": {**host.settings, **settings}}
        call.load = lambda: {**request, "controller": {"time": now, "boot": "of the controller"}}

    return before


@pytest.fixture
def host(tape_host: Maker) -> TapeHost:
    """Tape A is full, and its archive is kept for four weeks; B has a newer one."""
    made = tape_host(2, lease=0, reuse="expired")
    for run, label in (("R1", "A"), ("R2", "B")):
        assert made.sink(run, "h1", labels=[label]).status == 0
        assert made.commit(run, "h1", archive(run, "h1")).status == 0
        made.edit(label, lambda tape: tape.update(full=True))
    return made


def test_a_clock_that_jumps_forward(host: TapeHost) -> None:
    request = json.dumps({"hosts": {"h1": {}}}).encode()
    tapes = host.files("A"), host.files("B")

    def call_it(*words: str, days: float = 400, data: bytes = b"", **settings: Any) -> Any:
        return host.run(*words, data=data, before=later(days), **settings)

    for _time in range(2):  # it does not become right by being used
        refused = call_it("sink", "--run", "R3", "--host", "h1", data=archive("R3", "h1"))
        assert refused.status == 1
        assert ", and is not reused: the tape host's clock shows " in refused.said
        assert NOT_SURE in refused.said
        planned = call_it("plan", data=request, wait="1h").answer
        assert [NOT_SURE in each for each in planned["warnings"]].count(True) == 2
        for words in (["info"], ["inventory"]):
            seen = call_it(*words).answer
            assert [each["expired"] for each in seen["tapes"]] == [False, False]
            assert seen["warnings"][-1].endswith(NOT_SURE)
        asked = call_it("label", "--label", "A", "--device", str(host.tapes[0])).said
        assert "; the tape host's clock shows " in asked
    assert (host.files("A"), host.files("B")) == tapes
    # whoever says that it is right says so once
    accepted = call_it("sink", "--run", "R4", "--host", "h1", data=archive("R4", "h1"), accept_clock=True)
    assert (accepted.answer["tape"], accepted.answer["file"]) == ("A", 1)
    planned = call_it("plan", data=request, days=401, wait="1h").answer
    assert not [each for each in planned["warnings"] if NOT_SURE in each]


def test_the_clock_is_set_right_again(host: TapeHost) -> None:
    """What was written while it was wrong is no reason to believe it the next time."""
    host.edit("B", lambda tape: tape.update(full=False))
    wrong = host.run("sink", "--run", "R3", "--host", "h1", data=archive("R3", "h1"), before=later(400))
    assert wrong.answer["tape"] == "B"
    assert host.commit("R3", "h1", archive("R3", "h1")).status == 0
    assert host.run("info", before=later(1)).answer["warnings"] == []
    assert len(host.run("info", before=later(400)).answer["warnings"]) == 1
    host.ok("plan", data=json.dumps({"hosts": {}}).encode(), wait="1h")
    assert len(host.run("info", before=later(400)).answer["warnings"]) == 1


def test_a_module_tells_the_time(host: TapeHost) -> None:
    words = ["sink", "--run", "R3", "--host", "h1"]
    refused = host.run(*words, data=archive("R3", "h1"), before=asked_by_a_module(host, 400, words))
    told = json.loads(refused.said)["problem"]
    assert told["kind"] == "confirm"
    assert "but the controller's " in told["msg"]
    # a year without a backup, and both agree
    host.run("plan", data=b'{"hosts": {}}')

    def agreed() -> None:
        asked_by_a_module(host, 0, words)()
        later(400)()
        loaded = call.load()
        assert loaded
        loaded["controller"]["time"] += 400 * DAY
        call.load = lambda: loaded

    assert host.run(*words, data=archive("R3", "h1"), before=agreed).status == 0
    assert host.states("A") == [(1, "h1", "written")]
