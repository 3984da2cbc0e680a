# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of the private packages import of each other."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator


def imported(name: str, node: ast.ImportFrom, known: Collection[str]) -> set[str]:
    """The modules that a relative import in the module ``name`` ("_end.link") names, as "package.module"."""
    package = [name.partition(".")[0]] if node.level == 1 else []
    base = ".".join([*package, *([node.module] if node.module else [])])
    return {base} if base in known else {f"{base}.{alias.name}" for alias in node.names}


def relative(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    """The relative imports in a module, but for those of type checkers."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node
        waiting += ast.iter_child_nodes(node)
