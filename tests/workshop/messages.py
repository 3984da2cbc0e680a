# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page with every message of the tape modules, from their source: python -m tests.workshop.messages

A message is the text of a Problem or a Failure; … stands for what differs from time to time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .venvs import ROOT

PAGE = ROOT / "docs" / "docsite" / "rst" / "tape_messages.rst"
PLACES = [
    "module_utils/_tape/**/*.py",
    *("module_utils/_run/restored.py", "module_utils/_run/verified.py"),
    *("plugin_utils/_tape*.py", "plugin_utils/_report*.py", "action/tape*.py", "action/report.py"),
]
RAISED = {"Problem": 0, "Failure": 1}  # where its text is among the arguments; a Problem's hint is the next
DIFFERS = re.compile(r"%(\(\w+\))?[-+.\d]*[a-z]")
LEAST = 12  # characters of words: with fewer, a text only joins others
HEAD = """..
  Copyright: the plumbing.socketpipe contributors
  GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
  SPDX-License-Identifier: GPL-3.0-or-later
  Made by make messages.

.. _ansible_collections.plumbing.socketpipe.docsite.tape_messages:

Messages of the tape modules
============================

Every message of the modules ``tape_*`` and ``report``, of the role ``tape`` and of its playbooks, in alphabetical
order, with what it asks you to do. In place of … there are names and numbers. Those that need more words are also in
:ref:`Troubleshooting <ansible_collections.plumbing.socketpipe.docsite.troubleshooting>`.

"""


def texts(node: ast.AST | None, names: dict[str, list[ast.AST]], seen: frozenset[str] = frozenset()) -> list[str]:
    """All that this expression may be, as far as the source says."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [DIFFERS.sub("…", node.value).replace("%%", "%")]
    if isinstance(node, ast.JoinedStr):
        parts = [DIFFERS.sub("…", str(each.value)) if isinstance(each, ast.Constant) else "…" for each in node.values]
        return ["".join(parts)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return texts(node.left, names, seen)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        ends = texts(node.right, names, seen) or ["…"]
        return [left + right for left in texts(node.left, names, seen) or ["…"] for right in ends]
    if isinstance(node, ast.IfExp):
        return texts(node.body, names, seen) + texts(node.orelse, names, seen)
    if isinstance(node, ast.Name) and node.id not in seen:
        return [text for value in names.get(node.id, []) for text in texts(value, names, seen | {node.id})]
    return []


def assigned(tree: ast.AST) -> dict[str, list[ast.AST]]:
    """{name: what is assigned to it}, in a module or in one function."""
    found: dict[str, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
    return found


def calls(path: Path) -> Iterator[tuple[ast.Call, dict[str, list[ast.AST]]]]:
    """Each call that makes a message, and the names that are known there."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {name: values for name, values in assigned(tree).items() if name.isupper()}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    done: set[ast.Call] = set()
    for function in [*reversed(functions), tree]:  # the innermost first
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and node not in done and called(node) in RAISED:
                done.add(node)
                yield node, {**constants, **assigned(function)}


def called(node: ast.Call) -> str:
    return getattr(node.func, "id", "")


def messages() -> dict[str, str]:
    """{message: what it asks for, "" where the message says so itself}"""
    found: dict[str, str] = {}
    for path in sorted(path for place in PLACES for path in (ROOT / "plugins").glob(place)):
        for node, names in calls(path):
            first = RAISED[called(node)]
            hints = texts(node.args[first + 1], names) if len(node.args) > first + 1 and not first else []
            for message in texts(node.args[first], names) if len(node.args) > first else []:
                words = re.sub(r"…+", "…", " ".join(message.split())).strip("; ")
                if len(re.sub(r"\W", "", words)) >= LEAST:
                    found[words] = found.get(words) or (re.sub(r"…+", "…", hints[0]) if hints else "")
    return found


def page() -> str:
    entries = sorted(messages().items(), key=lambda item: (item[0].lstrip("…' ,:").lower(), item[0]))
    lines = []
    for message, hint in entries:
        lines.append(f"- ``{message}``" + (f"\n\n  {sentence(hint)}" if hint else ""))
    return HEAD + "\n".join(lines) + "\n"


def sentence(hint: str) -> str:
    """A hint as a sentence of reStructuredText: options and commands are as they are typed."""
    first = hint.split()[0]
    text = hint if re.search(r"[^a-z,;:]", first) else hint[0].upper() + hint[1:]
    text += "" if text.endswith((".", "?", ")", "…")) else "."
    return re.sub(r"([*`_|\\])", r"\\\1", text)


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
