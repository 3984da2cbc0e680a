# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as one file: what is in it, and that it is the same program wherever it has come to."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import archive, manual
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.bare import bare
from ansible_collections.plumbing.socketpipe.tests.unit import packages, pythons

ROOT = Path(__file__).resolve().parents[2]
MODULES = bootstrap.end_modules(bootstrap.OF_COMMAND) + bootstrap.COMMAND_MODULES
SOURCES = dict(bootstrap.sources(MODULES))
IN_IT = MODULES + archive.OWN
OF_FORKS = "_run.branches"  # no plan of the command forks
PACKAGES = [f"socketpipe/{package}__init__.py" for package in ("", "_end/", "_run/", "_command/")]
SIZE = 178_500  # bytes: encrypted links, the first code twice, _run.columns, ends that call afterwards or stay


def path_of(name: str) -> str:
    return name.replace(".", "/") + ".py"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as `make socketpipe` makes it, below a name that needs care."""
    path = tmp_path_factory.mktemp("a 'b") / "socketpipe"
    module = archive.__name__
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-m", module, str(path)], env=environment, check=True)
    return path


def run(words: list[str | Path], data: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, **environment}
    return subprocess.run(words, input=data, capture_output=True, timeout=60, check=False, env=env)


def test_two_are_the_same_byte_for_byte(command: Path) -> None:
    assert archive.archive() == archive.archive() == command.read_bytes()
    assert len(archive.archive()) <= SIZE


def test_the_engine_and_what_the_command_needs_are_in_it_and_nothing_else(command: Path) -> None:
    with zipfile.ZipFile(command) as opened:
        assert opened.testzip() is None
        found = {name: opened.read(name).decode("utf-8") for name in opened.namelist()}
        assert len(found) == len(opened.namelist())
    assert sorted(found) == sorted(["__main__.py", *PACKAGES, *(f"socketpipe/{path_of(n)}" for n in IN_IT)])
    for name in IN_IT:
        assert found[f"socketpipe/{path_of(name)}"] == (ROOT / "plugins/module_utils" / path_of(name)).read_text(
            "utf-8"
        )


def test_every_module_of_the_engine_is_in_it_but_the_one_that_makes_it() -> None:
    here = {f"{path.parent.name}.{path.stem}" for path in (ROOT / "plugins/module_utils").glob("_[!t]*/*.py")}
    unused = {"_run.progress", "_end.records", "_run.records"}  # lines of a task's result; for type checkers
    unused |= {"_run.forecast", *bootstrap.PREFLIGHT_MODULES}  # of a task's preflight
    unused |= {"_command.installed"}  # where it is a package of Python
    unused |= {*bootstrap.TELLING_MODULES}  # of programs of tasks
    unused |= {"_end.status", "_run.ask"}  # the figures of a run between two other hosts
    unused |= {*bootstrap.BARRIER_MODULES}  # of more than two ends
    unused |= {*bootstrap.ASK_MODULES} - {*MODULES}  # of a task whose ends say how far they are
    unused |= {*bootstrap.DETACH_MODULES, *bootstrap.HOME_MODULES} - {*bootstrap.RUN_MODULES}  # of a task with async
    unused |= {*bootstrap.CHAIN_MODULES}  # and of a transfer to many hosts
    unused |= {*bootstrap.AFTERWARDS_MODULES}  # of a tape backup with commands around an archive
    unused |= {*bootstrap.LATER_MODULES}  # of a restore from tape with async
    unused |= {*bootstrap.FAN_MODULES, bootstrap.FAN_OUT, "_run.fork", OF_FORKS}  # of plans that fork
    assert here - set(IN_IT) == {"_command.archive", *unused}
    assert len(set(IN_IT)) == len(IN_IT)


@pytest.mark.parametrize("name", MODULES)
def test_each_imports_only_what_was_there_before(name: str) -> None:
    """For a nested one is loaded module by module (bootstrap.LOADER)."""
    before = set(MODULES[: MODULES.index(name)])
    when_asked = set(bootstrap.MORE_MODULES) if name in bootstrap.MODULES else {OF_FORKS}
    for node in packages.relative(ast.parse(SOURCES[name])):
        assert packages.imported(name, node, [*MODULES, *bootstrap.MORE_MODULES, OF_FORKS]) <= before | when_asked, name


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_it_runs_on_every_python_without_a_warning(command: Path, version: str) -> None:
    python = pythons.needed(version)
    for word, text in (("--version", manual.version()), ("--help", manual.usage()), ("--manual", manual.page())):
        done = run([python, "-W", "error", command, word])
        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, text, b"")


def test_it_runs_by_its_name(command: Path) -> None:
    assert os.stat(command).st_mode & 0o777 == 0o755
    done = subprocess.run([command, "-x"], capture_output=True, env={"PATH": os.environ["PATH"]}, check=False)
    assert done.returncode == 1
    assert done.stderr == b"socketpipe: -x: unknown option (see socketpipe --help)\n"


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_modules_in_pythonpath_are_not_ours(command: Path, version: str, tmp_path: Path) -> None:
    """They may have the names of those of the standard library. Those that Python itself needs to begin break that."""
    for name in ("json", "socket", "textwrap", "zlib", "struct", "random", "secrets", "zipfile", "shlex", "select"):
        (tmp_path / f"{name}.py").write_text(f"raise Exception('the wrong {name}')\n", encoding="ascii")
    for folders in (str(tmp_path), "", "."):
        words = [pythons.needed(version), str(command), "--version"]
        done = subprocess.run(
            words, env={"PYTHONPATH": folders}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, manual.version(), "")


# -- a program that finds its own sources, to send them further

PROBE = """
import json, sys
from .._run import bootstrap
def main(names):
    sys.stdout.write(json.dumps([bootstrap.sources(names), bootstrap.sources()]))
    return 0
"""


def as_found(shown: Callable[[str], str] = str) -> list[list[list[str]]]:
    """What PROBE writes."""
    return [[[name, shown(text)] for name, text in bootstrap.sources(names)] for names in (MODULES, None)]


def test_an_archive_finds_its_own_sources(command: Path) -> None:
    start = "import sys; sys.path.insert(0, sys.argv[1])" + PROBE.replace("from ..", "from socketpipe.")
    done = run([sys.executable, "-IS", "-c", f"{start}main({MODULES!r})", command])
    assert json.loads(done.stdout) == as_found(), done.stderr


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_a_nested_program_finds_its_own_sources(version: str) -> None:
    """Without what only people read."""
    program = bootstrap.program([*bootstrap.sources(MODULES), ("_command.probe", PROBE)])
    data = bootstrap.stream(program, MODULES)
    done = run([pythons.needed(version), "-IS", "-c", bootstrap.START], data)
    assert json.loads(done.stdout) == as_found(bare), done.stderr


def test_a_nested_program_is_the_command() -> None:
    """The last module's main is told the words; its standard input is what followed the program."""
    program = bootstrap.program(bootstrap.sources(MODULES))
    done = run([sys.executable, "-IS", "-c", bootstrap.START], bootstrap.stream(program, ["--version"]))
    assert (done.stdout.decode(), done.stderr) == (manual.version(), b"")


def test_ctrl_c_before_it_has_begun_is_no_traceback(command: Path) -> None:
    """It takes a moment to load, and somebody may think better of it."""
    slow = f"import sys, runpy, signal; sys.argv = [{str(command)!r}]; sys.meta_path.insert(0, signal_at_import)"
    finder = (
        "import os, signal\n"
        "class signal_at_import:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'socketpipe._command.command': os.kill(os.getpid(), signal.SIGINT)\n"
    )
    # with its cache, it imports in another way
    done = run([sys.executable, "-c", f"{finder}{slow}; runpy.run_path(sys.argv[0])"], XDG_CACHE_HOME="/dev/null")
    assert (done.returncode, done.stderr) == (-2, b"")
