# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests may notice a change at a place of the code: those that execute it, see lines.py."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from .lines import Record

FASTEST = 40
OWN = 20  # the fastest of the files that are named after the module
MORE = 20.0  # seconds of tests for what has survived so far
Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclasses.dataclass(frozen=True)
class Place:
    """Lines of a file; or, of code that runs when a module is imported, the names that are given values there."""

    exact: tuple[int, int]
    lines: tuple[int, int]
    names: tuple[str, ...] | None


class Places:
    """Where the nodes of a module are."""

    def __init__(self, module: ast.Module):
        self.statements: dict[ast.AST, ast.stmt] = {}
        self.functions: dict[ast.AST, ast.AST] = {}
        self.note(module, None, None)

    def note(self, node: ast.AST, statement: ast.stmt | None, function: ast.AST | None) -> None:
        for name, value in ast.iter_fields(node):
            for each in value if isinstance(value, list) else [value]:
                if not isinstance(each, ast.AST):
                    continue
                inner = each if isinstance(each, ast.stmt) else statement
                within = node if isinstance(node, Function) and name == "body" else function
                if inner is not None:
                    self.statements[each] = inner
                if within is not None:
                    self.functions[each] = within
                self.note(each, inner, within)

    def scope(self, node: ast.AST) -> str:
        """The functions that a node is in, from the outermost one: \"\" outside of them."""
        names: list[str] = []
        while node in self.functions:
            node = self.functions[node]
            names.insert(0, getattr(node, "name", "lambda"))
        return ".".join(names)

    def of(self, node: ast.AST) -> Place:
        statement = self.statements[node]
        exact = span(node)
        if node in self.functions:
            return Place(exact, header(statement), None)
        if isinstance(statement, Function):  # a default, or a decorator
            first, last = span(statement.body[0])[0], span(statement)[1]
            return Place((first, last), (first, last), None)
        return Place(exact, exact, tuple(sorted(bound(statement))))


def span(node: ast.AST) -> tuple[int, int]:
    return node.lineno, node.end_lineno or node.lineno  # type: ignore[attr-defined]


def header(statement: ast.stmt) -> tuple[int, int]:
    """The lines of a statement without those of the statements within."""
    first, last = span(statement)
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    return (first, max(first, span(body[0])[0] - 1)) if body and isinstance(statement, ast.stmt) else (first, last)


def bound(statement: ast.stmt) -> set[str]:
    """The names that a statement outside of functions gives values, without those of loops within expressions."""
    if isinstance(statement, ast.ClassDef):
        return {statement.name}
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return {name.id for each in targets if each for name in ast.walk(each) if isinstance(name, ast.Name)}


class Chooser:
    def __init__(self, records: list[Record], sources: Mapping[str, str], tests: Mapping[str, str]):
        """``sources``, ``tests``: {path: text} of the code and of the files of tests."""
        self.records = sorted(records, key=lambda record: record.seconds)
        self.inside: dict[str, set[int]] = {}  # {path: lines of functions}
        self.assigned: dict[
            str, dict[int, set[str]]
        ] = {}  # {path: {line outside of them: names that get values there}}
        self.mentions: dict[str, list[tuple[str, int]]] = {}  # {word: places}
        for path, text in sources.items():
            module = ast.parse(text)
            self.inside[path] = inside(module)
            self.assigned[path] = {line: bound(each) for each in module.body for line in numbers(span(each))}
            for line, words in enumerate(text.splitlines(), start=1):
                for word in set(re.findall(r"\w+", words)):
                    self.mentions.setdefault(word, []).append((path, line))
        self.by_line: dict[tuple[str, int], list[int]] = {}
        for number, record in enumerate(self.records):
            for path, lines in record.lines.items():
                for line in lines:
                    self.by_line.setdefault((path, line), []).append(number)

        self.said = {file: set(re.findall(r"\w+", text)) for file, text in tests.items()}
        self.named = {(file, name): words for file, text in tests.items() for name, words in functions(text)}

    def tests(self, path: str, place: Place) -> tuple[list[Record], list[Record]]:
        """(the tests to begin with; the tests for what they do not notice), each of them in their order."""
        if place.names is None:
            found = self.execute((path, line) for line in numbers(place.exact))
            found = found or self.execute((path, line) for line in numbers(place.lines))
        else:
            found = self.execute(self.uses(place.names)) | self.naming(path, place.names)
            found = found or self.execute(each for each in self.by_line if each[0] == path)
        chosen = [self.records[number] for number in sorted(found)]  # the fastest first
        stem = PurePath(path).stem.strip("_")
        own = [record for record in chosen if stem in PurePath(record.file).stem][:OWN]
        each_file = {record.file: record for record in reversed(chosen)}
        first = sorted(unique([*own, *chosen[:FASTEST], *each_file.values()]), key=lambda record: record.seconds)
        more, seconds = [], 0.0
        known = {record.name for record in first}
        for record in chosen:
            seconds += record.seconds if record.name not in known else 0
            if record.name not in known and seconds < MORE:
                more.append(record)
        return first, more

    def execute(self, places: Iterable[tuple[str, int]]) -> set[int]:
        return {number for place in places for number in self.by_line.get(place, ())}

    def naming(self, path: str, names: Iterable[str]) -> set[int]:
        """Tests that name one of these of a module, such as a table, but perhaps execute nothing that uses it."""
        stem, wanted = PurePath(path).stem, set(names)
        found = set()
        for number, record in enumerate(self.records):
            name = record.name.partition("::")[2].partition("[")[0]
            if stem in self.said.get(record.file, ()) and wanted & self.named.get((record.file, name), set()):
                found.add(number)
        return found

    def uses(self, names: Iterable[str]) -> set[tuple[str, int]]:
        """The lines of functions that mention one of these, or what is made of them."""
        todo, known, found = list(names), set(names), set()
        while todo:
            for path, line in self.mentions.get(todo.pop(), ()):
                if line in self.inside[path]:
                    found.add((path, line))
                    continue
                made = self.assigned[path].get(line, set()) - known
                todo += made
                known |= made
        return found


def functions(text: str) -> Iterable[tuple[str, set[str]]]:
    """(the name of each function outside of others, the words in it)."""
    for each in ast.parse(text).body:
        if isinstance(each, ast.FunctionDef):
            yield each.name, set(re.findall(r"\w+", ast.unparse(each)))


def inside(module: ast.Module) -> set[int]:
    """The lines of the bodies of all functions."""
    bodies = [each.body for each in ast.walk(module) if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {line for body in bodies for line in numbers((span(body[0])[0], span(body[-1])[1]))}


def numbers(lines: tuple[int, int]) -> range:
    return range(lines[0], lines[1] + 1)


def unique(records: Iterable[Record]) -> list[Record]:
    return list({record.name: record for record in records}.values())
