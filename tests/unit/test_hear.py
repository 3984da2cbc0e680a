# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An end's output, cut anywhere, or without an end: what is said is heard, and of all else little is kept."""

from __future__ import annotations

import copy
import fcntl
import io
import os
import select
import sys
import tracemalloc
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.wire import MARK, to_json
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.heard import CHUNK, Heard
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.launch import NOISE_MOST, REPORT_MOST
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.marked import read_marked
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.progress import Progress
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_run import ProcessLaunch
from ansible_collections.plumbing.socketpipe.tests.unit.ends import eventually
from ansible_collections.plumbing.socketpipe.tests.unit.said import (
    LINK,
    MEGA,
    PLAN,
    anything,
    kept_of,
    launch_of,
    marked,
    places,
    real,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

SECRET = "0123456789abcdef" * 4

# -- output, cut anywhere


def fed(launch: ProcessLaunch, chunks: list[bytes]) -> list[dict[str, Any]]:
    """What is heard of an output that comes in these chunks; at its end the launch has concluded."""
    out, into = os.pipe()
    launch.out = out
    launch.process = cast(Any, SimpleNamespace(stderr=io.BytesIO(), wait=lambda: 1))
    os.set_blocking(out, False)
    samples = launch.hear()  # nothing is there yet
    for chunk in chunks:
        os.write(into, chunk)
        samples += launch.hear()
    os.close(into)
    while not launch.ready:
        samples += launch.hear()
    return samples


def sample(at: float) -> dict[str, Any]:
    return {"sample": real()["ok"]["remote"]["links"], "at": at, "told": {}}


NOISE = [b"", b"\r", MARK.encode(), MARK.encode() + b"[" * 5000, b"\xff\xfe", b"x" * 5000, b"say " + MARK.encode()]
noise = st.sampled_from(NOISE) | st.binary(max_size=40).map(lambda data: data.replace(b"\n", b""))
sizes = st.lists(st.integers(1, 4000), max_size=40)


def cut(data: bytes, lengths: list[int]) -> list[bytes]:
    found = []
    for length in lengths:
        found.append(data[:length])
        data = data[length:]
    return [chunk for chunk in [*found, *(data[at : at + 4096] for at in range(0, len(data), 4096))] if chunk]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), noise), max_size=6), noise, sizes)
@example([(True, b""), (True, b"x")], b"", [1] * 3000)
def test_samples_and_report_are_heard(lines: list[tuple[bool, bytes]], last: bytes, lengths: list[int]) -> None:
    """Whatever stands between them, and however it is cut."""
    output, expected = b"", []
    for number, (is_sample, rubbish) in enumerate(lines):
        expected += [sample(number)] if is_sample else []
        output += b"\n" + (MARK + to_json(sample(number))).encode() + b"\n" if is_sample else rubbish + b"\n"
    launch = launch_of()
    report = real()["ok"]["remote"]
    if MARK.encode() in last:
        last = b""
    samples = fed(launch, cut(output + b"\n" + (MARK + to_json(report)).encode() + b"\n" + last, lengths))
    assert samples == kept_of(expected, samples) and len(samples) == len(expected)
    assert launch.report == kept_of(report, launch.report) and launch.report["stages"] and not launch.error


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=200) | st.sampled_from(NOISE), max_size=10), sizes)
def test_any_output_is_no_error(parts: list[bytes], lengths: list[int]) -> None:
    launch = launch_of()
    assert fed(launch, cut(b"\n".join(parts), lengths)) == []
    assert launch.report is None and launch.lost
    assert launch.error.startswith("it ended without a report (exit status 1)") and len(launch.error) < 500


def test_secrets_that_an_end_has_told_are_not_in_the_message() -> None:
    """If it then dies, its last lines are quoted; the message is shown, and written by --stats."""
    launch = launch_of()
    told = MARK + to_json({"secrets": {"input": SECRET}})
    fed(launch, cut(f"before\n{told}\nsh: killed\n{told[:60]}".encode(), []))
    assert launch.error == "it ended without a report (exit status 1): before sh: killed"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_sample_may_have_anything_in_it(data: st.DataObject) -> None:
    """What cannot be shown is not, and what is shown is a line for a person."""
    message = copy.deepcopy(sample(1.0))
    container, key = data.draw(st.sampled_from(list(places(message))))
    container[key] = data.draw(anything)
    shown = Progress("db1", 0, PLAN.neighbours())
    for heard in fed(launch_of(), cut(marked(message).encode(), [])):
        for line in shown.feed(heard["sample"], heard["at"]):
            assert line.startswith("db1: " + LINK) and line.isprintable() and len(line) < 500


# -- output that never ends

FLOODS = {
    "one line": b"x" * CHUNK,
    "empty lines": b"\n" * CHUNK,
    "lines": (b"y" * 79 + b"\n") * (CHUNK // 80),
    "a line that never ceases to be marked": MARK.encode() * (CHUNK // len(MARK)),
    "marked lines": (MARK.encode() + b"{}\n") * (CHUNK // 14),
}
FLOOD = "import sys\nsys.stdin.buffer.read()\nwhile True: sys.stdout.buffer.write((b'y' * 79 + b'\\n') * 800)"
KEPT_MOST = 3 * REPORT_MOST  # a line that may be marked, as it grows; beside the one before


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_not_kept(kind: str) -> None:
    heard = Heard()
    marked_line = "never ceases" in kind
    tracemalloc.start()
    try:
        for _time in range((40 if marked_line else 4) * MEGA // CHUNK):
            heard.feed(FLOODS[kind])
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < (KEPT_MOST if marked_line else 2 * MEGA)
    assert len(heard.text()) <= NOISE_MOST + (REPORT_MOST if marked_line else 100)


def test_what_is_there_is_heard_in_parts() -> None:
    """hear returns while there is more, so that the run can look after the others."""
    launch = launch_of()
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 4 * CHUNK)
    os.write(into, FLOODS["one line"] * 4)
    os.set_blocking(out, False)
    launch.out = out
    with os.fdopen(out, "rb"), os.fdopen(into, "wb"):
        for _time in range(4):
            assert select.select([out], [], [], 0)[0] and launch.hear() == []
        assert not select.select([out], [], [], 0)[0] and launch.hear() == []


def test_an_end_that_never_ends_its_output() -> None:
    """It is a bounded part that is kept, and when it is ended that is told."""
    launch = launch_of("remote", sys.executable, "-c", FLOOD)
    launch.start()
    try:
        for _time in range(200):
            select.select([launch.out], [], [], 10)
            assert launch.hear() == []
        assert len(launch.heard.text()) <= NOISE_MOST + 100 and not launch.ready
    finally:
        launch.process.kill()
    eventually(lambda: launch.hear() or launch.ready, "its end was not heard")
    assert launch.report is None and launch.error.startswith("it ended without a report (exit status -9): yyy")


@pytest.mark.parametrize("flood", ["\n", "x", "x\n", "say " + MARK], ids=repr)
def test_of_much_noise_little_is_copied(flood: str) -> None:
    """Ansible hands over all that an exec has said at once."""
    text = flood * (4 * MEGA // len(flood)) + "\n" + MARK + '{"a": 1}\n' + flood * 10_000
    tracemalloc.start()
    try:
        found = read_marked(text)
        launch_of().conclude(1, text, text)
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == {"a": 1} and most < 2 * MEGA


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("/bin/sh: 1: sudo: not found", "no become"),
        ("/bin/sh: 1: /opt/bin/sudo: not found", "no become"),
        ("bash: Zeile 1: sudo: Kommando nicht gefunden.", "no become"),
        ("zsh:1: command not found: sudo", "no become"),
        ("sudo: unable to resolve host h1: not found\nsh: 1: python3: not found", "no python"),
        ("sh: 1: python3: not found", "no python"),
    ],
)
def test_which_program_is_missing_in_any_language(line: str, kind: str) -> None:
    launch = launch_of()
    launch.become = "sudo"
    launch.conclude(127, "", line)
    assert launch.kind == kind
