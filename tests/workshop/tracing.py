# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pytest plugin that tells tracer.py which test runs; see lines.py."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# only the Python that lines.py makes has it
from encodings import _tracer as tracer  # isort: skip

FOLDER = Path(os.environ["SOCKETPIPE_HITS"])
NAME = tracer.HITS.decode()
numbers = itertools.count()
shared: dict[str, str] = {}  # file of tests: that of the lines of its fixtures that several tests have
original = subprocess.Popen.__init__


def popen(self: Any, *args: Any, **options: Any) -> None:
    """Whoever is started with another environment still belongs to the test."""
    if options.get("env") is not None and NAME in os.environ:
        options["env"] = {**options["env"], NAME: os.environ[NAME]}
    original(self, *args, **options)


subprocess.Popen.__init__ = popen  # type: ignore[method-assign]


def begin(name: str | None) -> None:
    if name is None:
        os.environ.pop(NAME, None)
    else:
        os.environ[NAME] = str(FOLDER / name)
    tracer.begin(None if name is None else os.fsencode(FOLDER / name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    reports: list[pytest.TestReport] = []
    item.stash[REPORTS] = reports
    name = f"{os.getpid()}-{next(numbers)}"
    begin(name)
    try:
        return (yield)
    finally:
        begin(None)
        outcomes = [report.outcome for report in reports]
        outcome = next((each for each in ("failed", "skipped") if each in outcomes), "passed")
        told = {
            "name": item.nodeid,
            "seconds": sum(report.duration for report in reports),
            "outcome": outcome,
            "hits": name,
            "shared": shared.get(item.nodeid.partition("::")[0]),
        }
        with open(FOLDER / f"{os.getpid()}.ended", "a", encoding="utf-8") as out:
            out.write(json.dumps(told) + "\n")


REPORTS: pytest.StashKey[list[pytest.TestReport]] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[REPORTS].append(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[None]:
    if fixturedef.scope == "function" or NAME not in os.environ:
        return (yield)
    before = Path(os.environ[NAME]).name
    file = fixturedef.baseid.partition("::")[0]
    begin(shared.setdefault(file, f"{os.getpid()}-shared-{len(shared)}"))
    try:
        return (yield)
    finally:
        begin(before)
