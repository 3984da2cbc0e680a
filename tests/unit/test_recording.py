# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recording of a terminal: tests/workshop/recording.py"""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.workshop import recording

SVG = "{http://www.w3.org/2000/svg}"


def shown(text: str) -> list[str]:
    return ["".join(line.itertext()) for line in ET.fromstring(text).iter(f"{SVG}text")]


def recorded(folder: Path, *scripts: str) -> list[recording.Line]:
    return list(recording.folded(recording.record([["sh", "-c", each] for each in scripts], dict(os.environ), folder)))


def test_lines_are_those_of_a_terminal_in_their_order(tmp_path: Path) -> None:
    lines = recorded(tmp_path, "test -t 1 && printf 'a <b>\\n\\n\\033[0;32mok: \\033[0m&\\n'", "stty size <&1; pwd")
    texts = shown(recording.svg(lines))
    assert texts[0].startswith("$ sh -c 'test -t 1")
    assert texts[1:3] == ["a <b>", "ok: &"]
    assert texts[4:] == [f"{recording.ROWS} {recording.COLUMNS}", str(tmp_path)]
    assert '<tspan class="green">ok: </tspan>&amp;' in recording.svg(lines)
    assert [line.typed for line in lines] == [True, False, False, True, False, False]


def test_a_long_line_is_folded_and_a_long_pause_shortened() -> None:
    lines = [recording.Line(0.0, "x" * (recording.COLUMNS + 1)), recording.Line(1.0, " ")]
    assert [line.text for line in recording.folded(lines)] == ["x" * recording.COLUMNS, "x"]


def test_times_rise_and_pauses_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(recording.time, "monotonic", lambda: float(next(clock)))
    times = [line.at for line in recorded(tmp_path, "echo one; echo two")]
    assert times == pytest.approx([2 * recording.PAUSE, 3 * recording.PAUSE, 4 * recording.PAUSE])


def test_each_line_comes_at_its_time() -> None:
    lines = [recording.Line(float(number), f"line {number}") for number in range(1, 4)]
    assert recording.frames(lines, 10.0) == "".join(
        f"{share}%{{transform:translateY({-recording.HIGH * number}px)}}"
        for share, number in ((0.0, 0), (10.0, 1), (20.0, 2), (30.0, 3))
    )


def test_a_command_that_fails_makes_no_recording(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        recorded(tmp_path, "exit 3")


def test_the_recording_in_the_readme_is_one_of_these_playbooks() -> None:
    typed = [line for line in shown(recording.FILE.read_text(encoding="utf-8")) if line.startswith("$ ")]
    commands = recording.commands(Path("/x"))
    assert len(typed) == len(commands)
    for line, command in zip(typed, commands, strict=True):
        assert line.split()[1:5] == [each.replace("/x", line[5:].split("/db1")[0]) for each in command[:4]]
