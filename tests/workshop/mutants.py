# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sharp the unit tests are: one small change of the code at a time, and whether a test fails.

python -m tests.workshop.mutants [--count 300] [--seed 1] [--workers 2] [--only PART-OF-A-PATH[:LINE] ...]

The changes are drawn at random (``--seed``) over the engine, the command and the programs of the other modules; the
draw stays the same while other code changes. Each is tried in a copy of the sources with the unit tests that execute
its line (lines.py), where it can do no harm (apart.py). What survives is listed: either a test is missing, or the
change changes nothing. The exit status is 1 below 95 %. An interrupted run continues (judgements.py).
"""

from __future__ import annotations

import argparse
import ast
import collections
import concurrent.futures
import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import apart, choice, judgements, lines, tree
from .venvs import BUILD

FOLDER = BUILD / "mutants"
SOURCES = "plugins/module_utils/_*/**/*.py"  # what runs within Ansible is tested there, by tests/system
LEAST = 0.95  # share of the changes that must be noticed
HANG = 120.0  # seconds beside ten times what the tests take: the start of Python, on a busy machine
SLOW = 0.2  # seconds from which on a test is more than a calculation: it fails twice before it counts
OPPOSITE: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
}
EDGE: dict[type[ast.AST], type[ast.AST]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: these characters of a file become others; a test must execute one of the lines to notice it."""

    path: str
    line: int
    start: int
    stop: int
    old: str
    new: str
    place: choice.Place
    scope: str  # the function, by its name within the module
    number: int  # of the same change in the same function

    def rank(self, seed: int) -> bytes:
        """A number at random that depends on nothing else in the sources."""
        told = repr((seed, self.path, self.scope, self.old, self.new, self.number))
        return hashlib.sha256(told.encode("utf-8")).digest()

    def apply(self, text: str) -> str:
        data = text.encode("utf-8")  # positions of ast are bytes
        return (data[: self.start] + self.new.encode("utf-8") + data[self.stop :]).decode("utf-8")

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {' '.join(self.old.split())[:100]}  ->  {self.new[:100]}"


# changes that no test can notice: (what, why, the change)
EQUIVALENT: tuple[tuple[str, str, Callable[[ast.AST, str], bool]], ...] = (
    (
        "the edge of a comparison with the clock",
        "two of its times, in nanoseconds, are equal only by chance",
        lambda node, new: "time.monotonic()" in ast.unparse(node) and is_edge(node, new),
    ),
    (
        "the body of an abstract method",
        "every class that has objects replaces it",
        lambda node, new: isinstance(node, ast.Raise) and ast.unparse(node) == "raise NotImplementedError",
    ),
)


def is_edge(node: ast.AST, new: str) -> bool:
    """Whether this change is one of EDGE."""
    other = ast.parse(new, mode="eval").body if isinstance(node, ast.Compare) else node
    return isinstance(node, ast.Compare) and EDGE.get(type(node.ops[0])) is type(getattr(other, "ops", [None])[0])


def variants(node: ast.AST) -> Iterator[str]:
    """Other code for this node that does something else."""
    for new in changes(node):
        if not any(applies(node, new) for _what, _why, applies in EQUIVALENT):
            yield new


def changes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for table in (OPPOSITE, EDGE):
            if type(node.ops[0]) in table:
                other = ast.Compare(node.left, [table[type(node.ops[0])]()], node.comparators)  # type: ignore[list-item]
                yield f"({ast.unparse(other)})"
    elif isinstance(node, ast.BoolOp):
        yield f"({ast.unparse(ast.BoolOp(OPPOSITE[type(node.op)](), node.values))})"  # type: ignore[arg-type]
    elif isinstance(node, ast.BinOp) and type(node.op) in OPPOSITE and not isinstance(node.left, ast.Constant):
        yield f"({ast.unparse(ast.BinOp(node.left, OPPOSITE[type(node.op)](), node.right))})"  # type: ignore[arg-type]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield str(node.value + 1)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) or isinstance(node, ast.Raise):
        yield "pass"
    elif isinstance(node, ast.Return) and node.value and not isinstance(node.value, ast.Constant):
        yield "return None"
    elif isinstance(node, ast.IfExp):
        yield f"({ast.unparse(ast.IfExp(node.test, node.orelse, node.body))})"


def for_type_checkers(node: ast.AST) -> bool:
    condition = node.test if isinstance(node, ast.If) else node.targets[0] if isinstance(node, ast.Assign) else None
    return isinstance(condition, ast.Name) and condition.id == "TYPE_CHECKING"


def code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are executed: no annotations, nothing that is for type checkers."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, ast.AST) or for_type_checkers(each):
                continue
            yield each
            yield from code(each)


def mutants(sources: Path, name: str) -> Iterator[Mutant]:
    data = (sources / name).read_bytes()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    module = ast.parse(data)
    places = choice.Places(module)
    seen: collections.Counter[tuple[str, str, str]] = collections.Counter()
    for node in code(module):
        for new in variants(node):
            assert isinstance(node, (ast.expr, ast.stmt)) and node.end_lineno and node.end_col_offset is not None
            start = starts[node.lineno - 1] + node.col_offset
            stop = starts[node.end_lineno - 1] + node.end_col_offset
            old = data[start:stop].decode("utf-8")
            change = (places.scope(node), old, new)
            yield Mutant(name, node.lineno, start, stop, old, new, places.of(node), change[0], seen[change])
            seen[change] += 1


class Trial:
    """A change in a copy of the sources, and the tests there."""

    def __init__(self, mutant: Mutant):
        self.mutant = mutant
        self.top = FOLDER / str(os.getpid())
        self.folder = self.top / tree.NAME
        self.target = self.folder / mutant.path
        self.text = self.target.read_text(encoding="utf-8")

    def run(self, tests: list[lines.Record]) -> str:
        """The test that failed first, "it hung", or "" when all have passed."""
        while tests:
            failed, why = self.once(tests, self.mutant.apply(self.text))
            if not failed:
                return ""
            names = [test.name for test in tests]
            if failed not in names:  # the tests of a whole file, or nothing at all, can be loaded
                return failed
            test = tests[names.index(failed)]
            if not why and (test.seconds < SLOW or not self.once([test], self.text)[0]):
                return failed
            # red without the change, too, or because a text is gone that the test itself changes: the others count
            tests = tests[names.index(failed) + 1 :]
        return ""

    def once(self, tests: list[lines.Record], text: str) -> tuple[str, str]:
        """(the test that failed first, why that does not count)."""
        listed = self.top / "names"
        listed.write_text("\n".join(test.name for test in tests), encoding="utf-8")
        pytest = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "-p", "no:cacheprovider", f"@{listed}"]
        limit = 10 * sum(test.seconds for test in tests) + HANG
        self.target.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                apart.command(self.top, pytest),
                cwd=self.folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return "it hung", ""
        finally:
            self.target.write_text(self.text, encoding="utf-8")
        missing = re.search(r"^ERROR: not found: (?:.*/tests/unit/|tests/unit/)(.*)$", done.stdout + done.stderr, re.M)
        if missing:
            return lines.TESTS + "/" + missing.group(1), "it has another name"
        failed = re.search(r"^(?:FAILED|ERROR) (\S+?\.py(?:::.*?)?)(?: - .*)?$", done.stdout, re.M)
        changes = re.search(r"^tests/unit/changes\.py:\d+: in changed", done.stdout, re.M)
        why = "it changes what has changed" if changes else ""
        return (failed.group(1), why) if failed else ("nothing loads" if done.returncode else "", "")


def prepare(sources: Path) -> None:
    """A worker's own copy."""
    shutil.copytree(sources, FOLDER / str(os.getpid()) / tree.NAME, symlinks=True)


def run(mutant: Mutant, first: list[lines.Record], more: list[lines.Record]) -> str:
    """What became of one: the test that failed, "it hung", or "" when nothing noticed it."""
    trial = Trial(mutant)
    return trial.run(first) or trial.run(more)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.workshop.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="how many changes")
    parser.add_argument("--seed", type=int, default=1, help="which")
    parser.add_argument("--only", nargs="+", default=[""], help="of lines whose PATH:LINE: contains one of these")
    parser.add_argument("--workers", type=int, default=2, help="how many at once")
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    sources = tree.copy(FOLDER)  # as they are now: it takes long, and others edit
    records = lines.records(sources, options.workers)
    files = sorted({str(path.relative_to(sources)) for path in sources.glob(SOURCES)})
    every = [mutant for name in files for mutant in mutants(sources, name)]
    every = [each for each in every if any(part in f"{each.path}:{each.line}:" for part in options.only)]
    drawn = sorted(every, key=lambda mutant: mutant.rank(options.seed))[: options.count]
    tests = {record.file for record in records}
    texts = ({name: (sources / name).read_text(encoding="utf-8") for name in names} for names in (files, tests))
    chooser = choice.Chooser(records, *texts)
    began, survivors = time.monotonic(), []
    judged = judgements.Judgements(BUILD / "judgements.jsonl", sources)
    with concurrent.futures.ProcessPoolExecutor(options.workers, initializer=prepare, initargs=(sources,)) as pool:
        trials = {}
        for mutant in drawn:
            chosen = chooser.tests(mutant.path, mutant.place)
            known = judged.find(mutant)
            trials[mutant] = known if known is not None else pool.submit(run, mutant, *chosen)
        for number, (mutant, result) in enumerate(trials.items(), start=1):
            if isinstance(result, concurrent.futures.Future):
                noticed = result.result()
                judged.add(mutant, noticed)
            else:
                noticed = result
            print(f"{number:4} {noticed or 'SURVIVED':60} {mutant}", flush=True)
            survivors += [] if noticed else [mutant]
    share = 1 - len(survivors) / len(drawn)
    print(f"\n{len(drawn)} of {len(every)} changes, {time.monotonic() - began:.0f} s: {share:.1%} were noticed")
    for mutant in survivors:
        print(f"  {mutant}")
    return int(share < LEAST)


if __name__ == "__main__":
    raise SystemExit(main())
