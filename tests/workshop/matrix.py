# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every ansible-core and every target Python that is here: python -m tests.workshop.matrix [--edges] [--core 2.18 …]

Each ansible-core runs the tests of tests/system that depend on it; the target Pythons run the engine's own tests and
one real task each. What is not on this machine is named as skipped. A table is printed at the end, and with --write
written into docs/versions.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from xml.etree import ElementTree

from tests.hosts import requirements

from . import cores, pythons
from .venvs import BUILD, ROOT

FOLDER = BUILD / "matrix"
OF_A_CORE = [f"tests/system/test_{name}.py" for name in ("pipe", "become", "bad_input", "hosts", "result")]
AT_THE_EDGES = OF_A_CORE[:3]  # what has differed from core to core: delivery, become, what Ansible itself says
OF_A_PYTHON = {
    "engine": ["tests/unit/test_bootstrap.py", "tests/unit/test_end.py"],
    "a task": ["tests/system/test_interpreters.py"],
}
VERSION = re.compile(r"[\[-](3\.\d+)[\]-]")  # in a test's id
START, END = "<!-- matrix: made by make matrix -->", "<!-- end of matrix -->"


@dataclasses.dataclass
class Count:
    passed: int = 0
    skipped: int = 0
    failed: int = 0

    def add(self, case: ElementTree.Element) -> None:
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            self.failed += 1
        elif "skipped" in kinds:
            self.skipped += 1
        else:
            self.passed += 1

    def __str__(self) -> str:
        words = [f"{self.passed} passed"] if self.passed else []
        words += [f"{self.skipped} skipped"] if self.skipped else []
        words += [f"**{self.failed} failed**"] if self.failed else []
        return ", ".join(words) or "no test"

    @property
    def good(self) -> bool:
        return not self.failed and (self.passed > 0 or bool(requirements()))  # without root all are skipped by name


def pytest(name: str, files: Iterable[str], workers: str, **environment: str) -> list[ElementTree.Element]:
    """The test cases of one run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    report = FOLDER / f"{name.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    words = [sys.executable, "-m", "pytest", "-q", "-n", workers, "--dist", "loadfile", f"--junit-xml={report}"]
    subprocess.run([*words, *files], cwd=ROOT, env={**os.environ, **environment}, check=False)
    return list(ElementTree.parse(report).iter("testcase")) if report.exists() else []


def run_cores(wanted: list[str], tests: list[str], workers: str) -> tuple[list[list[str]], bool]:
    rows, good = [], True
    for core in wanted:
        why_not = cores.why_not(core)
        found = cores.python_for(core)
        if why_not or not found:
            rows.append([core, "", f"skipped: {why_not}", ""])
            continue
        print(f"\n== ansible-core {core}, Python {found[0]}", flush=True)
        began = time.monotonic()
        playbook = cores.venv(core) / "bin" / "ansible-playbook"
        count = Count()
        for case in pytest(f"core-{core}", tests, workers, SOCKETPIPE_TEST_ANSIBLE=str(playbook)):
            count.add(case)
        rows.append([core, found[0], str(count), f"{time.monotonic() - began:.0f} s"])
        good = good and count.good
    return rows, good


def run_pythons(workers: str) -> tuple[list[list[str]], bool]:
    counts = {version: {"engine": Count(), "a task": Count()} for version in pythons.TARGETS}
    for kind, files in OF_A_PYTHON.items():
        print(f"\n== target Pythons: {kind}", flush=True)
        for case in pytest(kind, [*files, "-k", " or ".join(pythons.TARGETS)], workers):
            found = VERSION.search(case.get("name", ""))
            if found and found.group(1) in counts:
                counts[found.group(1)][kind].add(case)
    rows, good = [], True
    for version, count in counts.items():
        if version not in pythons.found():
            rows.append([version, "skipped: it is not on this machine", ""])
            continue
        rows.append([version, *map(str, count.values())])
        good = good and all(each.good for each in count.values())
    return rows, good


def edges() -> list[str]:
    """The oldest and the newest ansible-core that run here, but for that of all other tests; and those that cannot."""
    here = cores.here()
    ours = metadata.version("ansible-core")
    ends = {here[0], here[-1]} if here else set()
    return [core for core in cores.CORES if core not in here or core in ends and not ours.startswith(core + ".")]


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown, and readable as it is."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [" | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def write_table(text: str) -> None:
    path = ROOT / "docs" / "versions.md"
    before, start, rest = path.read_text(encoding="utf-8").partition(START)
    _old, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"docs/versions.md has no place for the matrix: {START} … {END}")
    path.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.workshop.matrix", description=__doc__)
    parser.add_argument(
        "--core", action="append", choices=[*cores.CORES, cores.DEVEL], help="this one (and others) only"
    )
    parser.add_argument(
        "--edges",
        action="store_true",
        help="the oldest and the newest ansible-core only, and not ours, that runs all",
    )
    parser.add_argument("--write", action="store_true", help="write the tables into docs/versions.md")
    parser.add_argument("--workers", default="2", help="tests at the same time")
    arguments = parser.parse_args()
    wanted = arguments.core or (edges() if arguments.edges else list(cores.CORES))
    rows, good = run_cores(wanted, AT_THE_EDGES if arguments.edges else OF_A_CORE, arguments.workers)
    texts = [table(["ansible-core", "Python", "tests of pipe on real hosts", "time"], rows)]
    if not (arguments.core or arguments.edges):
        more, good_too = run_pythons(arguments.workers)
        texts.append(table(["target Python", "the engine's tests", "a real task"], more))
        good = good and good_too
    text = "\n\n".join(texts)
    print(f"\n{text}")
    if arguments.write:
        write_table(f"On {datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}:\n\n{text}")
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
