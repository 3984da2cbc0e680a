# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some eight hundred faults; and that the machine can fail: a product without its rules is found out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import requirements
from tests.unit.changes import Change, changed
from tests.workshop import tree

from .draw import COMMAND, JOB, PIPELINE, TASK, TRANSFER, Kind, Run, batches, draw, pairs
from .lanes import Lane, Lines, perform

SEED = 1
TASKS = int(os.environ.get("SOCKETPIPE_FAULTS", "360"))
COMMANDS = int(os.environ.get("SOCKETPIPE_COMMAND_FAULTS", "192"))  # as many as it takes to have each fault and moment
TRANSFERS = int(os.environ.get("SOCKETPIPE_TRANSFER_FAULTS", "108"))
JOBS = int(os.environ.get("SOCKETPIPE_ASYNC_FAULTS", "48"))
PIPELINES = int(os.environ.get("SOCKETPIPE_PIPELINE_FAULTS", "96"))
# what an end does to break a link, and what its guard does for what is left: each in one place
NO_RESET = (
    (
        "kernel",
        "    set_linger(sock, True)\n    if c_connect(",
        "    sock.shutdown(2)\n    return True\n    if c_connect(",
    ),
    ("kernel", 'struct.pack("ii", 1 if on else 0, 0)', 'struct.pack("ii", 0, 0)'),
)
# from birth: it begins with the link, as it once did
LATE_LINGER = (
    ("dialler", "        set_linger(self.sock, True)", "        pass"),
    ("connect", "            set_linger(sock, True)", "            pass"),
    ("transport", '    if spec.get("dead_peer"):\n', '    set_linger(sock, True)\n    if spec.get("dead_peer"):\n'),
)
LATER = ("stream", "last")
OF_SOURCE = ("source exits 1", "source kills itself", "kill source")
NO_KILL = (
    ("stage", "orphaned=self.orphaned,", "orphaned=0,"),
    ("processes", "            os.kill(pid, number)\n", "            pass\n"),
    ("processes", "            os.killpg(group, number)\n", "            pass\n"),
    ("watch", "        if seen & HANGUP:\n", "        if seen & 0:\n"),
)
NO_WAIT = (
    (
        "processes",
        "        if not has_children():\n            return {}\n        found",
        "        return {}\n        found",
    ),
)
NO_BARRIER = (
    (
        "barrier",
        "        if self.passed or self.failed or not hear(self.below):\n            return False\n",
        "        if not self.failed:\n            self.passed = True\n            return True\n",
    ),
)
NO_LAST_WORD = (
    ("guard", "        except Cancelled:\n            pass", "        except ZeroDivisionError:\n            pass"),
)
NO_TIDYING = (
    ("sink", "                os.unlink(os.path.basename(self.part), dir_fd=self.folder)\n", "                pass\n"),
)
NO_COMPARING = (("sender", "        check_unchanged(self.path, os.fstat(self.fd), self.told)\n", "        pass\n"),)
OF_FILES = ("source grows", "source shrinks")
OF_HOLDERS = ("thread writes late", "generations write late", "hidden holds", "thread holds")


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


@pytest.mark.parametrize(
    ("kind", "count"),
    [(TASK, 360), (COMMAND, 192), (TRANSFER, 306), (PIPELINE, 288), (JOB, 456)],
    ids=["task", "command", "transfer", "pipeline", "async"],
)
def test_every_fault_and_moment_is_drawn(kind: Kind, count: int) -> None:
    """In these rounds each group, and of the others as many as there are."""
    runs = [run for each in batches(SEED, 0, count, kind) for run in each]
    assert {run.fault for run in runs} == {*kind.each, *kind.groups, *kind.relays}
    assert {(run.fault, run.moment) for run in runs} >= set(pairs(kind.each))
    if kind is TASK:  # there is no room for all of them among the commands
        assert {(run.fault, run.moment) for run in runs} >= set(pairs(kind.relays))
    assert runs == [draw(SEED, number, kind) for number in range(count)]


@pytest.mark.parametrize(
    ("kind", "count"),
    [(TASK, TASKS), (COMMAND, COMMANDS), (TRANSFER, TRANSFERS), (PIPELINE, PIPELINES), (JOB, JOBS)],
    ids=["task", "command", "transfer", "pipeline", "async"],
)
def test_faults(kind: Kind, count: int) -> None:
    lines = [line for found in perform(batches(SEED, 0, count, kind), lanes=3) for line in found]
    assert len(lines) >= count
    # on a busy machine a run may fail before its fault: it says nothing of that one, and its batch is repeated alone
    early = [line["number"] for line in lines if line["verdict"] == "failed, missed" and len(line["problems"]) == 1]
    if len(early) <= 2:
        repeated = [line for n in early for each in perform(batches(SEED, n, n + 1, kind), lanes=1) for line in each]
        lines = [line for line in lines if line["number"] not in early] + repeated
    assert not bad(lines), "\n".join(bad(lines))
    assert sum("missed" in line["verdict"] for line in lines) < len(lines) / 10


# -- the machine


def spoiled(folder: Path, changes: tuple[Change, ...]) -> str:
    """The collection with these changes, for ANSIBLE_COLLECTIONS_PATH."""
    modules = tree.copy(folder) / "plugins" / "module_utils"
    files = {path.stem: path for path in modules.glob("_*/*.py")}
    texts = changed({name: path.read_text(encoding="utf-8") for name, path in files.items()}, changes)
    for name, text in texts.items():
        files[name].write_text(text, encoding="utf-8")
    return str(folder)


def runs_of(kind: Kind, names: tuple[str, ...], moments: tuple[str, ...]) -> list[Run]:
    every = [draw(SEED, number, kind) for number in range(3000)]
    return [run for run in every if run.fault.name in names and run.moment in moments][:10]


@pytest.fixture
def lane_of(tmp_path: Path) -> Iterator[list[Lane]]:
    made: list[Lane] = []
    yield made
    for lane in made:
        lane.fleet.down()


@pytest.mark.parametrize(
    ("kind", "changes", "faults", "moments", "words"),
    [
        (TASK, NO_RESET, OF_SOURCE, LATER, "on a stream that was not whole"),
        (TASK, NO_KILL, ("sink ignores all",), LATER, "left behind"),
        (TASK, NO_WAIT, OF_HOLDERS, LATER, "it is ok, and the sink has not got everything"),
        (TASK, LATE_LINGER, ("kill remote end",), ("linked",), "the old file is not what it was"),
        (COMMAND, NO_RESET, OF_SOURCE, LATER, "on a stream that was not whole"),
        (PIPELINE, NO_RESET, OF_SOURCE, LATER, "its sink ended well"),
        (PIPELINE, NO_BARRIER, ("kill middle end",), ("made",), "and its source had started"),
        (JOB, NO_LAST_WORD, ("kill remote keeper+end",), LATER, "the file of its job is not final"),
        (TRANSFER, NO_TIDYING, OF_FILES, LATER, "left beside the destination"),
        (TRANSFER, NO_COMPARING, OF_FILES, LATER, "it is ok, not failed"),
    ],
    ids=[
        "nothing is broken",
        "nothing is killed",
        "nobody is waited for",
        "nothing is broken before it is a link",
        "nothing is broken by the command",
        "nothing is broken in a chain",
        "nobody waits for the others",
        "who is left writes nothing",
        "no temporary file is removed",
        "the source is not compared",
    ],
)
def test_the_machine_can_fail(
    tmp_path: Path,
    lane_of: list[Lane],
    kind: Kind,
    changes: tuple[Change, ...],
    faults: tuple[str, ...],
    moments: tuple[str, ...],
    words: str,
) -> None:
    lane = Lane(tmp_path / "fleet", spoiled(tmp_path / "spoiled", changes))
    lane_of.append(lane)
    found = bad(lane.run(runs_of(kind, faults, moments)))
    assert any(words in each for each in found), found
