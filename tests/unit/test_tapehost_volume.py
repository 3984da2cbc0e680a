# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tape in a reserved drive: its former labels, the end of its data, and encryption."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import END, UNREADABLE, Problem
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.reserve import volume


def tape(name: str, files: int = 0, **more: Any) -> Any:
    return {"label": "A", "id": name, "archives": [{"file": 1 + number} for number in range(files)], **more}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A drive whose data ends at tape file 3; it notes what is done."""
    made = SimpleNamespace(
        label={"id": "now"}, tape=None, log=[], problems=[], settings=SimpleNamespace(encryption=None)
    )

    def step(name: str) -> None:
        made.log.append(name)
        if made.problems and made.problems[0][0] == name:
            raise made.problems.pop(0)[1]

    def at_end(number: int) -> bool:
        step("at end")
        if number > 3:
            raise Problem("there is less", kind=END)
        return number == 3

    made.check_label = lambda: step("label")
    made.drive = SimpleNamespace(path="/dev/nst0", kind="drive", at_end=at_end)
    monkeypatch.setattr(volume.positions, "forget", lambda _held: made.log.append("forget"))
    return made


@pytest.mark.parametrize(
    ("known", "there", "label", "found"),
    [
        (None, None, {}, []),
        (None, None, {"id": ""}, []),
        (None, None, {"id": "now"}, ["now"]),
        (tape("a"), None, {"id": "now"}, ["a", "now"]),
        (tape("a", former=["b", "c"]), tape("d", former=["b"]), {"id": "d"}, ["b", "c", "a", "d"]),
        (tape("", former=["", "b"]), None, {}, ["b"]),
        (tape("a", former=[str(number) for number in range(120)]), None, {}, [*map(str, range(21, 120)), "a"]),
    ],
)
def test_former_labels(held: Any, known: Any, there: Any, label: Any, found: list[str]) -> None:
    """Each of them once, and the last hundred."""
    held.tape, held.label = there, label
    assert volume.former_ids(held, known) == found


CHANGING: Any = {"relabelling": {"id": "next"}}


@pytest.mark.parametrize(
    ("on", "label", "end"),
    [
        (tape("a"), {}, 1),
        (tape("a", 2), {"id": "next"}, 3),
        (tape("a", **CHANGING), {"id": "next"}, 1),
        (tape("a", **CHANGING, former_end=7), {"id": "next"}, 1),
        (tape("a", **CHANGING, former_end=7), {"id": "now"}, 7),
        (tape("a", **CHANGING), {}, None),
    ],
)
def test_where_the_data_must_end(held: Any, on: Any, label: Any, end: int | None) -> None:
    held.label = label
    assert volume.end_of(on, held) == end


MORE = "tape A has more data than the catalog knows: there is data at tape file 2"


@pytest.mark.parametrize(
    ("on", "said", "looked"),
    [
        (tape("a", 1), MORE, True),
        (tape("a", 2), "", True),
        (tape("a", 3), "", True),  # less than the catalog knows
        (tape("a", **CHANGING), "", False),
    ],
)
def test_unknown_data(held: Any, on: Any, said: str, looked: bool) -> None:
    assert volume.unknown_data(held, on) == said
    assert held.log == ["forget"] + ["label", "at end"] * looked


NEWS, BROKEN = Problem("a reset", kind=UNREADABLE), Problem("it is gone")


@pytest.mark.parametrize(
    ("problems", "log", "raised"),
    [
        ([("at end", NEWS)], ["label", "at end", "label", "at end"], None),
        ([("label", NEWS)], ["label", "label", "at end"], None),
        ([("at end", NEWS), ("at end", NEWS)], ["label", "at end", "label", "at end"], NEWS),
        ([("at end", NEWS), ("label", BROKEN)], ["label", "at end", "label"], BROKEN),
        ([("at end", BROKEN)], ["label", "at end"], BROKEN),
    ],
)
def test_news_of_a_drive(held: Any, problems: Any, log: list[str], raised: Any) -> None:
    """It is asked once more, and the label is read again before; any other problem is one."""
    held.problems = list(problems)
    if raised:
        with pytest.raises(Problem) as caught:
            volume.unknown_data(held, tape("a", 2))
        assert caught.value is raised
    else:
        assert volume.ends_at(held, 3) is True
    assert [each for each in held.log if each != "forget"] == log


WISH = {"mode": "on", "key": "k"}


@pytest.mark.parametrize(
    ("kind", "on", "wish", "asked"),
    [
        ("drive", True, None, [None]),
        ("drive", True, WISH, [WISH]),
        ("drive", True, {"mode": "keep"}, [{"mode": "keep"}]),
        ("drive", False, WISH, [{"mode": "off"}]),
        ("drive", False, {"mode": "keep"}, []),
        ("drive", False, None, []),
        ("virtual", True, WISH, []),
        ("virtual", False, WISH, []),
    ],
)
def test_encryption(held: Any, monkeypatch: pytest.MonkeyPatch, kind: str, on: bool, wish: Any, asked: Any) -> None:
    """Labels must be readable without a key; what a drive is told to keep is never switched off."""
    given: list[Any] = []

    def encryption(path: str, wanted: Any) -> str:
        given.append(wanted)
        return "status of " + path

    monkeypatch.setattr(volume.encryption, "encryption", encryption)
    held.drive.kind, held.settings.encryption, held.encryption = kind, wish, None
    volume.set_encryption(held, on)
    assert (given, held.encryption) == (asked, "status of /dev/nst0" if asked else None)
