# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which failures `make test` tries a second time, and what is said of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = """
import os, pathlib, pytest

def once(name):  # fails in the first session only
    here = pathlib.Path(__file__).with_name(name)
    if not here.exists():
        here.write_text(str(os.nice(0)))
        assert False, "the first time"
    assert os.geteuid() or os.nice(0) < int(here.read_text()), "it waits for others"

@pytest.fixture
def leaves():
    yield
    once("left")

@pytest.fixture
def needs():
    once("needed")

def test_good(): pass
def test_flaky_0(): once("0")
def test_flaky_1(): once("1")
def test_flaky_2(): once("2")
def test_flaky_3(): once("3")
def test_needs(needs): pass
def test_leaves(leaves): pass
def test_red(): assert False, "always"
"""


@pytest.mark.parametrize(
    ("chosen", "status", "closing"),
    [
        ("good or flaky_0", 0, "2 passed, 6 deselected, 1 rerun"),
        ("good or needs", 0, "2 passed, 6 deselected, 1 rerun"),
        ("flaky_0 or flaky_1 or flaky_2", 0, "3 passed, 5 deselected, 3 rerun"),
        ("flaky", 1, "4 failed, 4 deselected"),
        ("leaves", 1, "1 passed, 7 deselected, 1 error"),
        ("good or red", 1, "1 failed, 1 passed, 6 deselected"),
        ("flaky_0 or red", 1, "2 failed, 6 deselected"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_second_try(tmp_path: Path, chosen: str, status: int, closing: str, workers: str) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    pytest_ = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        workers,
        "-p",
        "tests.workshop.second_try",
        f"--rootdir={tmp_path}",
    ]
    done = subprocess.run(
        [*pytest_, "-k", chosen, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if workers != "0":  # the controller of xdist does not count what its workers have left out
        closing = re.sub(r" \d+ deselected,?", "", closing).rstrip(",")
    assert done.returncode == status, done.stdout + done.stderr
    assert re.search(rf"=+ {re.escape(closing)} in [0-9.]+s", done.stdout.splitlines()[-1]), done.stdout
    assert ("the first time" in done.stdout) == (chosen != "good or red")  # it is shown in either case
