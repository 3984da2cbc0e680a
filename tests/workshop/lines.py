# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which unit test executes which lines, in whatever process, and how long it takes.

Most of our programs run where no library for this follows: they are started with -IS, so without site, their code comes
from standard input or an archive, and they end by os._exit or a signal.  So the tests run on a Python whose standard
library is the real one but for the package encodings, which every Python imports first: there it imports ``tracer``.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from . import apart, tree
from .venvs import BUILD

KEPT = BUILD / "lines.json"
TESTS = "tests/unit"
BATCH = 25  # files of tests
HIT = re.compile(r"^(\S+\.py) (\d+)$", re.M)  # a process may be killed while it writes one
HOOK = "\nfrom . import _tracer\n"


@dataclasses.dataclass
class Record:
    """A unit test: its name, the seconds that it took, and {path: the lines that it executes}."""

    name: str
    seconds: float
    lines: dict[str, list[int]]

    @property
    def file(self) -> str:
        return self.name.partition("::")[0]


def traced_python(top: Path) -> Path:
    """A Python that records, in a new folder; it has the packages of the one that runs this."""
    real, version = Path(os.__file__).parent, "python%d.%d" % sys.version_info[:2]
    library, packages = top / "base/lib" / version, top / "lib" / version
    for folder in (library / "encodings", top / "base/bin", top / "bin", packages):
        folder.mkdir(parents=True)
    for path in real.iterdir():
        if path.name not in ("encodings", "__pycache__", "site-packages"):
            (library / path.name).symlink_to(path)
    for path in (real / "encodings").glob("*.py"):
        if path.name != "__init__.py":
            (library / "encodings" / path.name).symlink_to(path)
    text = (real / "encodings/__init__.py").read_text(encoding="utf-8")
    (library / "encodings/__init__.py").write_text(text + HOOK, encoding="utf-8")
    shutil.copy(Path(__file__).with_name("tracer.py"), library / "encodings/_tracer.py")
    base = top / "base/bin" / version
    base.symlink_to(Path(sys.executable).resolve())
    (top / "bin/python").symlink_to(base)
    (top / "pyvenv.cfg").write_text(f"home = {base.parent}\n", encoding="utf-8")
    (packages / "site-packages").symlink_to(Path(sys.prefix) / "lib" / version / "site-packages")
    return top / "bin/python"


def fingerprint(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(b"%s\0%s\0" % (path.name.encode(), path.read_bytes()))
    return digest.hexdigest()


def fingerprints(sources: Path) -> dict[str, str]:
    """{file of tests, or of the product: fingerprint}; that of a file of tests includes what all of them share."""
    tests = set((sources / TESTS).glob("test_*.py"))
    shared = set((sources / TESTS).glob("*.py")) - tests
    shared |= {sources / "tests/workshop" / name for name in ("tracer.py", "tracing.py")}
    found = {path: fingerprint([path]) for path in (sources / "plugins").rglob("*.py")}
    found |= {path: fingerprint([path, *shared]) for path in tests}
    return {str(path.relative_to(sources)): value for path, value in found.items()}


def records(sources: Path, workers: int) -> list[Record]:
    """Those of all unit tests of a copy; only files run again that have changed, or that execute what has changed."""
    now = fingerprints(sources)
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    found = [Record(**each) for each in kept.get("tests", ())]
    before = kept.get("files", {})
    stale = {each.file for each in found if any(before.get(path) != now.get(path) for path in each.lines)}
    files = [name for name in now if name.startswith(TESTS)]
    changed = sorted(name for name in files if name in stale or before.get(name) != now[name])
    found = [each for each in found if each.file in now and each.file not in changed]
    for start in range(0, len(changed), BATCH):
        found += run(sources, changed[start : start + BATCH], workers)
        # an interrupted run goes on after the last batch
        ran = {name: value for name, value in now.items() if name not in changed[start + BATCH :]}
        told = {"files": ran, "tests": [dataclasses.asdict(each) for each in found]}
        KEPT.write_text(json.dumps(told), encoding="utf-8")
    return found


def run(sources: Path, files: list[str], workers: int) -> list[Record]:
    """Those of the tests in these files that are green."""
    top = BUILD / "lines"
    shutil.rmtree(top, ignore_errors=True)
    python, folder, hits = traced_python(top / "python"), top / tree.NAME, top / "hits"
    shutil.copytree(sources, folder, symlinks=True)
    hits.mkdir()
    hits.chmod(0o1777)  # some tests start processes of other users
    options = ["-q", "-p", "no:cacheprovider", "-p", "tests.workshop.tracing", "-n", str(workers)]
    print(f"recording the lines that each test of {len(files)} files executes", flush=True)
    # other Pythons take most of the time, and are not traced: the tests find none
    environment = {**os.environ, "SOCKETPIPE_HITS": str(hits), "PYENV_ROOT": "/nonexistent"}
    with open(BUILD / "lines.log", "w", encoding="utf-8") as log:
        command = apart.command(top, [str(python), "-m", "pytest", *options, *files])
        subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
        )
    broken = re.findall(r"^ERROR (\S+\.py) ", (BUILD / "lines.log").read_text(encoding="utf-8"), re.M)
    if broken:
        raise SystemExit(f"cannot load {', '.join(sorted(set(broken)))}: see {BUILD / 'lines.log'}")
    ended = []
    for path in hits.glob("*.ended"):
        ended += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    red = [each["name"] for each in ended if each["outcome"] == "failed"]
    # some tests are red only because they are traced, as those that compare what a Python has loaded
    plain = set(green(folder, top, red)) if red else set()
    print(f"{len(ended)} tests, {len(red)} failed, {len(red) - len(plain)} of these without tracing, too", flush=True)
    for name in sorted(set(red) - plain):
        print(f"  red: {name}")
    found = []
    for each in ended:
        if each["outcome"] == "passed" or each["name"] in plain:
            shared = hits / each["shared"] if each["shared"] else None
            found.append(Record(each["name"], each["seconds"], lines_of(hits / each["hits"], shared)))
    if not found:
        raise SystemExit(f"no test was recorded: see {BUILD / 'lines.log'}")
    shutil.rmtree(top)
    return found


def green(folder: Path, top: Path, names: list[str]) -> list[str]:
    """Those of these tests that pass as they are."""
    listed = top / "names"
    listed.write_text("\n".join(names), encoding="utf-8")
    command = apart.command(top, [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", f"@{listed}"])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return [line.removeprefix("PASSED ") for line in done.stdout.splitlines() if line.startswith("PASSED ")]


def lines_of(*paths: Path | None) -> dict[str, list[int]]:
    found = collections.defaultdict(set)
    for path in paths:
        text = path.read_text(encoding="utf-8") if path and path.exists() else ""
        for name, number in HIT.findall(text):
            found[name].add(int(number))
    return {name: sorted(numbers) for name, numbers in sorted(found.items())}
