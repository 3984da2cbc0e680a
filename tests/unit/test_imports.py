# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports run one way: action -> plugin_utils -> _command -> _run -> _end -> the standard library of the targets.

Within the tape host's program: commands -> reserve -> catalog -> drives -> common.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.bootstrap import MORE_MODULES, end_modules

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
OURS = "ansible_collections.plumbing.socketpipe.plugins"
SOURCES = sorted(PLUGINS.rglob("*.py"))

# the programs of the tape modules; host is its main module, its settings and its session
TAPE = {
    "common": ["common"],
    "archiver": ["archiver", "common"],
    "host.drives": ["host.drives", "common"],
    "host.catalog": ["host.catalog", "host.drives", "common"],
    "host.reserve": ["host.reserve", "host.catalog", "host.drives", "common"],
    "host.commands": ["host.commands", "host.reserve", "host.catalog", "host.drives", "common"],
    "host": ["host", "host.catalog", "host.drives", "common"],
}
# what a file of this folder may import of ours, and whether it may import Ansible
MAY = {
    "action": ({"plugin_utils", "module_utils._run", "module_utils._end"}, True),
    "plugin_utils": ({"plugin_utils", "module_utils._run", "module_utils._end"}, True),
    "module_utils._command": ({"module_utils._command", "module_utils._run", "module_utils._end"}, False),
    "module_utils._run": ({"module_utils._run", "module_utils._end"}, False),
    "module_utils._end": ({"module_utils._end"}, False),
    **{
        f"module_utils._tape.{top}": ({f"module_utils._tape.{each}" for each in may}, False)
        for top, may in TAPE.items()
    },
    "module_utils._tape": (set(), False),  # types
    "module_utils._transfer": ({"module_utils._transfer", "module_utils._tape.common"}, False),
    "modules": (set(), False),
    "doc_fragments": (set(), False),
}
# of the standard library, what an end may use on a target (beside what is only for type checkers); each of these
# takes time to load on a slow host, so a new one is a decision
ENDS_MAY = {
    "binascii",
    "errno",
    "fcntl",
    "glob",
    "hashlib",
    "json",
    "os",
    "select",
    "sys",
    "termios",
    "time",
}
# the only one that imports private modules of the interpreter, and the public ones that it uses where those are missing
LEAN = "module_utils/_end/lean.py"
LEAN_MAY = {"_ctypes", "_json", "_operator", "_signal", "_socket", "_struct"}
LEAN_MAY |= {"ctypes", "hmac", "json", "signal", "socket", "struct"}
SYSTEM = "module_utils/_end/system.py"  # the same for os
# what is needed only where a link is encrypted
OF_RELAYS = {
    "module_utils/_end/tls.py": {"ssl"},
    "module_utils/_end/relay.py": {"ssl"},
    "module_utils/_end/encrypted.py": {"mmap"},
}
# and what may be used beside that by those modules that plan, launch and conclude
OTHERS_MAY = ENDS_MAY | {
    "functools",
    "gc",
    "importlib.util",
    "io",
    "marshal",
    "pwd",
    "random",
    "re",
    "secrets",
    "shlex",
    "socket",
    "stat",
    "struct",
    "textwrap",
    "types",
    "zipfile",
    "zipimport",
    "zlib",
}


def of_type_checkers(node: ast.If) -> bool:
    """`if TYPE_CHECKING:`, or one of its spellings that costs nothing on a target."""
    names = {each.id for each in ast.walk(node.test) if isinstance(each, ast.Name)}
    return "TYPE_CHECKING" in names or (isinstance(node.test, ast.Constant) and not node.test.value)


def imported(path: Path) -> Iterator[str]:
    """The full names of the modules that this file imports, wherever in it, but for those of type checkers."""
    package = path.relative_to(PLUGINS).parts[:-1]
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and of_type_checkers(node):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - (node.level - 1)]
                assert node.level - 1 <= len(package), f"{path}: an import from outside the collection's plugins"
                whole = ".".join([OURS, *base, *([node.module] if node.module else [])])
            else:
                whole = node.module or ""
            if node.module and node.level or not node.level:
                yield whole
            else:
                yield from (f"{whole}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def name(path: Path) -> str:
    return str(path.relative_to(PLUGINS))


def room(module: str) -> str:
    """The folder that a module ("module_utils._end.link") is in, as MAY has it; else the one below plugins."""
    return max((each for each in MAY if f"{module}.".startswith(f"{each}.")), key=len, default=module.split(".")[0])


def room_of(path: Path) -> str:
    return room(".".join(path.relative_to(PLUGINS).with_suffix("").parts))


def test_every_folder_of_plugins_is_known_here() -> None:
    assert {room_of(path) for path in SOURCES} == set(MAY)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_run_one_way(path: Path) -> None:
    folder = room_of(path)
    ours, ansible = MAY[folder]
    for module in imported(path):
        top = module.split(".")[0]
        if module.startswith(OURS + "."):
            assert room(module.removeprefix(OURS + ".")) in ours, f"{folder} may not import {module}"
        elif top == "ansible_collections":
            pytest.fail(f"{folder} imports {module}, which is another collection's or not written as a relative import")
        elif top == "ansible":
            assert ansible, f"{folder} may not import {module}"


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if "module_utils" in path.parts and not {"_tape", "_transfer"} & {*path.parts}],
    ids=name,
)
def test_an_end_needs_little_of_the_standard_library(path: Path) -> None:
    of_python = {module for module in imported(path) if not module.startswith(OURS)} - {"__future__"}
    if name(path) == LEAN:
        assert of_python == LEAN_MAY | {"hashlib"}
    elif name(path) == SYSTEM:
        assert of_python == {"posix", "sys"}
    elif name(path) in OF_RELAYS:
        assert of_python - ENDS_MAY == OF_RELAYS[name(path)]
    else:
        assert of_python <= (ENDS_MAY if f"{path.parent.name}.{path.stem}" in end_modules(MORE_MODULES) else OTHERS_MAY)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_depends_on_assertions(path: Path) -> None:
    """They are not executed with -O, and sanity's no-assert refuses them in module_utils."""
    found = [node.lineno for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Assert)]
    assert not found


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_private_modules_of_the_interpreter_are_imported_in_one_place(path: Path) -> None:
    private = {module for module in imported(path) if module.startswith("_")} - {"__future__"}
    assert not private or name(path) == LEAN


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parent.name == "modules"], ids=name)
def test_a_module_is_documentation_only(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assigned = []
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        assert isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name), ast.dump(node)[:80]
        assigned.append(node.targets[0].id)
    assert assigned == ["DOCUMENTATION", "EXAMPLES", "RETURN"]


def test_no_action_without_its_documentation() -> None:
    actions = {path.stem for path in (PLUGINS / "action").glob("*.py")}
    assert actions == {path.stem for path in (PLUGINS / "modules").glob("*.py")}
