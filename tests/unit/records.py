# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that only type checkers load, for tests that compare them with real ones."""

from __future__ import annotations

import ast
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"


def load(path: str, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """The names of a module that only type checkers load."""
    text = (PLUGINS / path).read_text(encoding="utf-8")
    assert text.count("TYPE_CHECKING = False") == 1
    tree = ast.parse(text.replace("TYPE_CHECKING = False", "TYPE_CHECKING = True"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            node.body = [each for each in node.body if not (isinstance(each, ast.ImportFrom) and each.level)]
    names = {**(known or {}), "__name__": path}
    exec(compile(tree, path, "exec", dont_inherit=True), names)
    return names


def misfits(value: Any, kind: Any, names: dict[str, Any], where: str = "", more: bool = False) -> list[str]:
    """The places where a value is not of this kind; ``more``: records may have other fields, too."""

    def inner(items: Iterable[tuple[Any, Any, str]]) -> list[str]:
        return [text for item, its, place in items for text in misfits(item, its, names, where + place, more)]

    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return [] if value in args else [f"{where}: {value!r} is none of {args}"]
    if origin is typing.NotRequired:
        return misfits(value, args[0], names, where, more)
    if origin in (typing.Union, types.UnionType):
        found = [misfits(value, each, names, where, more) for each in args]
        return [] if [] in found else found[0]
    plain: Any = origin or (dict if typing.is_typeddict(kind) else kind)
    if value.__class__ not in {float: (float, int)}.get(plain, (plain,)):
        return [f"{where}: {value!r} is no {plain.__name__}"]
    if origin is list:
        return inner((item, args[0], f"[{number}]") for number, item in enumerate(value))
    if origin is dict:
        return inner((item, args[1], f"[{key!r}]") for key, item in value.items())
    if not typing.is_typeddict(kind):
        return []
    fields = typing.get_type_hints(kind, names, include_extras=True)
    wrong = [f"{where}.{name}: missing" for name in sorted(kind.__required_keys__ - set(value))]
    wrong += [f"{where}.{name}: unknown" for name in value if name not in fields and not more]
    return wrong + inner((item, fields[name], f".{name}") for name, item in value.items() if name in fields)
