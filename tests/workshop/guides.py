# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guides of the site: their sections, and the code in them, for the tests that check and run it."""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

from .venvs import ROOT

FOLDER = ROOT / "docs" / "docsite" / "rst"
NAMES = sorted(path.stem for path in FOLDER.glob("*.rst"))
BLOCK = re.compile(r"^( *)\.\. code-block:: (\S+)\n\n((?:\1    .*\n|\n)+)", re.MULTILINE)
TITLE = re.compile(r"^(.+)\n-+\n", re.MULTILINE)


class Block(NamedTuple):
    """A block of code: its language, and its text without the indentation."""

    kind: str
    text: str

    def typed(self) -> list[tuple[str, str]]:
        """Each command after a prompt, and the output that is shown after it."""
        found = re.findall(r"^[$#] (.*(?<!\\)(?:\\\n.*)*)\n((?:(?![$#] ).*\n)*)", self.text, re.MULTILINE)
        return [(command.replace("\\\n", " "), shown) for command, shown in found]


def read(name: str) -> str:
    return (FOLDER / f"{name}.rst").read_text(encoding="utf-8")


def sections(name: str) -> dict[str, str]:
    """{title: its text} of a guide; "" is what comes before the first title."""
    parts = TITLE.split(read(name))
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def blocks(text: str, *kinds: str) -> list[Block]:
    """The blocks of code in a text, in its order; of these languages, or of all."""
    found = [Block(kind, textwrap.dedent(code).strip("\n") + "\n") for _indent, kind, code in BLOCK.findall(text)]
    return [each for each in found if not kinds or each.kind in kinds]
