# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judgements on changes of the code, kept in a file, for runs that are interrupted or repeated; see mutants.py.

That a test noticed a change holds until the module or the file of that test changes; that none did, until any code
changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .mutants import Mutant


class Judgements:
    def __init__(self, kept: Path, sources: Path):
        self.kept, self.sources = kept, sources
        self.whole = digest([*(sources / "plugins").rglob("*.py"), *(sources / "tests/unit").glob("*.py")])
        text = kept.read_text(encoding="utf-8") if kept.exists() else ""
        self.found: dict[str, list[str]] = dict(json.loads(line) for line in text.splitlines())

    def find(self, mutant: Mutant) -> str | None:
        """The test that noticed it, "" if none did, None if that is not known."""
        noticed, of = self.found.get(mutant.rank(0).hex(), ["", ""])
        return noticed if of == self.of(mutant, noticed) else None

    def add(self, mutant: Mutant, noticed: str) -> None:
        with open(self.kept, "a", encoding="utf-8") as out:
            out.write(json.dumps([mutant.rank(0).hex(), [noticed, self.of(mutant, noticed)]]) + "\n")

    def of(self, mutant: Mutant, noticed: str) -> str:
        """What a judgement depends on."""
        if not noticed:
            return self.whole
        test = self.sources / noticed.partition("::")[0]
        return digest([self.sources / mutant.path, *([test] if test.is_file() else [])])


def digest(paths: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.read_bytes())
    return found.hexdigest()
