# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""More than three hundred faults; and that the machine can fail: a product without its rules is found out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import requirements
from tests.workshop import tree

from .catalogue import EACH, GROUPS, Fault
from .draw import Run, batches, draw, pairs
from .lanes import Lane, Lines, perform

SEED = 1
RUNS = int(os.environ.get("SOCKETPIPE_FAULTS", "360"))
# what an end does to break a link, and what its guard does for what is left: each in one place
NO_RESET = (
    ("kernel", "    set_linger(sock, True)\n    if c_connect(", "    sock.shutdown(2)\n    if c_connect("),
    ("kernel", 'struct.pack("ii", 1 if on else 0, 0)', 'struct.pack("ii", 0, 0)'),
    ("kernel", 'sock.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16) != 0:', "-1, b'', 0) == 0:"),
)
NO_KILL = (
    ("kernel", "            os.kill(pid, number)\n", "            pass\n"),
    ("watch", "        if found.pop(self.out, 0) & HANGUP:\n", "        if found.pop(self.out, 0) & 0:\n"),
)


@pytest.fixture(autouse=True)
def hosts() -> None:
    if reason := requirements():
        pytest.skip(reason)


def bad(lines: Lines) -> list[str]:
    return [
        f"run {line['number']}, {line['fault']} at {line['moment']}: {each}"
        for line in lines
        for each in line["problems"]
    ]


def test_every_fault_and_moment_is_drawn() -> None:
    """In ten rounds each group, and of the others as many as there are."""
    runs = [run for each in batches(SEED, 0, 360) for run in each]
    assert {run.fault for run in runs} == {*EACH, *GROUPS}
    assert {(run.fault, run.moment) for run in runs} >= set(pairs(EACH))
    assert runs == [draw(SEED, number) for number in range(360)]


def test_faults() -> None:
    lines = [line for found in perform(batches(SEED, 0, RUNS), lanes=3) for line in found]
    assert len(lines) >= RUNS
    assert not bad(lines), "\n".join(bad(lines))
    assert sum("missed" in line["verdict"] for line in lines) < len(lines) / 5


# -- the machine


def spoiled(folder: Path, changes: tuple[tuple[str, str, str], ...]) -> str:
    """The collection with these changes, for ANSIBLE_COLLECTIONS_PATH."""
    modules = tree.copy(folder) / "plugins" / "module_utils"
    for module, old, new in changes:
        path = modules / f"{module}.py"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (module, old, text.count(old))
        path.write_text(text.replace(old, new), encoding="utf-8")
    return str(folder)


def runs_of(*names: str) -> list[Run]:
    found: list[Fault] = [fault for fault in EACH if fault.name in names]
    every = [draw(SEED, number) for number in range(3000)]
    return [run for run in every if run.fault in found and run.moment in ("stream", "last")][:10]


@pytest.fixture
def lane_of(tmp_path: Path) -> Iterator[list[Lane]]:
    made: list[Lane] = []
    yield made
    for lane in made:
        lane.fleet.down()


@pytest.mark.parametrize(
    ("changes", "faults", "words"),
    [
        (NO_RESET, ("source exits 1", "source kills itself", "kill source"), "on a stream that was not whole"),
        (NO_KILL, ("sink ignores all",), "left behind"),
    ],
    ids=["nothing is broken", "nothing is killed"],
)
def test_the_machine_can_fail(
    tmp_path: Path, lane_of: list[Lane], changes: tuple[tuple[str, str, str], ...], faults: tuple[str, ...], words: str
) -> None:
    lane = Lane(tmp_path / "fleet", spoiled(tmp_path / "spoiled", changes))
    lane_of.append(lane)
    found = bad(lane.run(runs_of(*faults)))
    assert any(words in each for each in found), found
