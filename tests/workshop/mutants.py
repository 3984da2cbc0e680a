# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sharp the unit tests are: one small change of the code at a time, and whether a test fails.

python -m tests.workshop.mutants [--count 300] [--seed 1] [--only PART-OF-A-PATH] [--workers 2]

The changes are drawn at random (``--seed``) over the engine, the command and the tape programs. Each is tried in a copy
of the sources, with the tests that name its module, those of its own name first. What survives is listed with its
diff: either a test is missing, or the change changes nothing. The exit status is 1 below 95 %.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import dataclasses
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import tree
from .venvs import BUILD, ROOT

FOLDER = BUILD / "mutants"
SOURCES = ("plugins/module_utils/_*/**/*.py", "plugins/plugin_utils/*.py")
WHOLE = ("test_end.py", "test_rules.py", "test_meeting.py")  # these launch ends
LEAST = 0.95  # share of the changes that must be noticed
PATIENCE = 600.0  # seconds for the tests of one change; a change that makes them hang is noticed
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
    """One change: these characters of a file become others."""

    path: str
    line: int
    start: int
    stop: int
    new: str

    def apply(self, text: str) -> str:
        data = text.encode("utf-8")  # positions of ast are bytes
        return (data[: self.start] + self.new.encode("utf-8") + data[self.stop :]).decode("utf-8")


def variants(node: ast.AST) -> Iterator[str]:
    """Other code for this node."""
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


def code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are executed: no annotations, nothing that is for type checkers."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING" or not isinstance(each, ast.AST):
                continue
            yield each
            yield from code(each)


def mutants(path: Path) -> Iterator[Mutant]:
    text = path.read_text(encoding="utf-8")
    starts = [0]
    for line in text.encode("utf-8").splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in code(ast.parse(text)):
        for new in variants(node):
            assert isinstance(node, (ast.expr, ast.stmt)) and node.end_lineno and node.end_col_offset is not None
            start = starts[node.lineno - 1] + node.col_offset
            stop = starts[node.end_lineno - 1] + node.end_col_offset
            yield Mutant(str(path.relative_to(ROOT)), node.lineno, start, stop, new)


def tests_of(path: str) -> list[str]:
    """The unit tests that import a module, those of its own name first; of an end's, those that run whole ends too.

    Of a program of the role tape all that are named after it: they run it, and import little of it.
    """
    stem = Path(path).stem
    imports = re.compile(rf"\b{stem} import\b|\bimport [^\n]*\b{stem}\b")
    files = sorted((ROOT / "tests" / "unit").glob("test_*.py"))
    program = "archiver" if "_tape/archiver" in path else "tapehost" if "_tape/host" in path else ""
    if program:
        files = [file for file in files if re.match(rf"test_(tape_|{program})", file.name)]
    own = [file for file in files if stem.lstrip("_") in file.stem]
    others = [file for file in files if program or imports.search(file.read_text(encoding="utf-8"))]
    whole = [ROOT / "tests" / "unit" / name for name in WHOLE] if "/_end/" in path else []
    found = [str(file.relative_to(ROOT)) for file in dict.fromkeys([*own, *others, *whole])]
    return found or ["tests/unit"]  # without a word pytest would take those of other gates, too, where others are wrong


def run(mutant: Mutant) -> tuple[Mutant, str]:
    """What became of one: the test that failed, "it hung", or "" when nothing noticed it."""
    top = FOLDER / str(os.getpid())
    folder = top / tree.NAME
    if not folder.exists():
        tree.copy(top)
    target = folder / mutant.path
    text = target.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests_of(mutant.path)]
    target.write_text(mutant.apply(text), encoding="utf-8")
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return mutant, "it hung"
    finally:
        target.write_text(text, encoding="utf-8")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    return mutant, failed.group(1) if failed else "an error" if done.returncode else ""


def shown(mutant: Mutant) -> str:
    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    old = text.encode("utf-8")[mutant.start : mutant.stop].decode("utf-8")
    return f"{mutant.path}:{mutant.line}: {' '.join(old.split())[:100]}  ->  {mutant.new[:100]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.workshop.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="how many changes")
    parser.add_argument("--seed", type=int, default=1, help="which")
    parser.add_argument("--only", default="", help="of files whose path contains this")
    parser.add_argument("--workers", type=int, default=2, help="how many at once")
    options = parser.parse_args()
    files = sorted({path for pattern in SOURCES for path in ROOT.glob(pattern) if options.only in str(path)})
    every = [mutant for path in files for mutant in mutants(path)]
    drawn = random.Random(options.seed).sample(every, min(options.count, len(every)))
    shutil.rmtree(FOLDER, ignore_errors=True)
    began, survivors = time.monotonic(), []
    with concurrent.futures.ProcessPoolExecutor(options.workers) as pool:
        for number, (mutant, noticed) in enumerate(pool.map(run, drawn), start=1):
            print(f"{number:4} {noticed or 'SURVIVED':60} {shown(mutant)}", flush=True)
            survivors += [] if noticed else [mutant]
    share = 1 - len(survivors) / len(drawn)
    print(f"\n{len(drawn)} of {len(every)} changes, {time.monotonic() - began:.0f} s: {share:.0%} were noticed")
    for mutant in survivors:
        print(f"  {shown(mutant)}")
    return int(share < LEAST)


if __name__ == "__main__":
    raise SystemExit(main())
