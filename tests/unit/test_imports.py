# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports run one way: action -> plugin_utils -> module_utils -> the standard library of the targets' Pythons."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils.bootstrap import MODULES

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
OURS = "ansible_collections.plumbing.socketpipe.plugins"
SOURCES = sorted(PLUGINS.rglob("*.py"))

# what a file of this folder may import of ours, and whether it may import Ansible
MAY = {
    "action": ({"plugin_utils", "module_utils"}, True),
    "plugin_utils": ({"plugin_utils", "module_utils"}, True),
    "module_utils": ({"module_utils"}, False),
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
    "struct",
    "sys",
    "time",
    "_ctypes",
    "_json",
    "_operator",
    "_signal",
    "_socket",
}
# and what may be used beside that by those modules that plan, launch and conclude
OTHERS_MAY = ENDS_MAY | {
    "functools",
    "importlib.util",
    "io",
    "marshal",
    "random",
    "secrets",
    "shlex",
    "socket",
    "stat",
    "textwrap",
    "types",
    "zipfile",
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


def test_every_folder_of_plugins_is_known_here() -> None:
    assert {path.relative_to(PLUGINS).parts[0] for path in SOURCES} <= set(MAY)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_run_one_way(path: Path) -> None:
    folder = path.relative_to(PLUGINS).parts[0]
    ours, ansible = MAY[folder]
    for module in imported(path):
        top = module.split(".")[0]
        if module.startswith(OURS + "."):
            assert module.removeprefix(OURS + ".").split(".")[0] in ours, f"{folder} may not import {module}"
        elif top == "ansible_collections":
            pytest.fail(f"{folder} imports {module}, which is another collection's or not written as a relative import")
        elif top == "ansible":
            assert ansible, f"{folder} may not import {module}"


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parent.name == "module_utils"], ids=name)
def test_an_end_needs_little_of_the_standard_library(path: Path) -> None:
    of_python = {module for module in imported(path) if not module.startswith(OURS)} - {"__future__"}
    assert of_python <= (ENDS_MAY if path.stem in MODULES else OTHERS_MAY)


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
