# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left out of the sources that are sent to a host, and that nothing else is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.bare import bare

PACKAGES = Path(__file__).parents[2] / "plugins" / "module_utils"
SOURCES = sorted(path for room in ("_end", "_run", "_command") for path in (PACKAGES / room).glob("[a-z]*.py"))
SOURCES = [path for path in SOURCES if path.name != "records.py"]  # only for type checkers, and never sent
GIVEN = '''# a comment
"""A module
with a docstring."""

import os
if TYPE_CHECKING:
    # nothing
    from typing import Any

    from x import y

TEXT = """
# not a comment
    """
WORD: "str" = 'it\\'s # none'  # but this is


class A(Exception):
    """Has no body."""

    def long(
        self, a: "dict[str, int]", b: socket.socket = "# ,", *more: str
    ) -> "tuple[str, int]":
        """Says nothing.

        At length.
        """
        self.x: "int | None" = {"a": b}
        return "a", 1  # type: ignore[no-any-return]
'''
WANTED = '''
""


import os






TEXT = """
# not a comment
    """
WORD = 'it\\'s # none'


class A(Exception):
    ""

    def long(
        self, a, b = "# ,", *more
    ):
        ""



        self.x = {"a": b}
        return "a", 1
'''


class Bare(ast.NodeTransformer):
    """The same for a parsed source."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.copy_location(ast.Assign([node.target], node.value), node) if node.value else node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if isinstance(node.value, ast.Constant):
            node.value.value = ""  # a docstring
        return node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if checked and not node.orelse else self.generic_visit(node)


def shown(tree: ast.AST) -> list[tuple[str, int | None, str]]:
    """Its nodes, with their lines, names and values."""
    found = []
    for node in ast.walk(tree):
        values = [value if isinstance(value, list) else [value] for _name, value in ast.iter_fields(node)]
        plain = [value for each in values for value in each if not isinstance(value, ast.AST)]
        found.append((type(node).__name__, getattr(node, "lineno", None), repr(plain)))
    return found


def test_comments_docstrings_and_types_are_left_out_and_lines_stay() -> None:
    assert bare(GIVEN) == WANTED
    assert bare(WANTED) == WANTED


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGES)))
def test_nothing_else_changes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    short = bare(text)
    assert shown(ast.parse(short)) == shown(Bare().visit(ast.parse(text)))
    assert len(short) < len(text)
