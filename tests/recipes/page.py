# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of recipes, and other guides: their plays, and the messages that they quote, by section."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from typing import Any

import yaml

from tests.system.playbook import REPOSITORY

GUIDES = REPOSITORY / "docs" / "docsite" / "rst"
BLOCK = re.compile(r"^\.\. code-block:: (\S+)\n\n((?:    .*\n|\n)+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A section of the page."""

    title: str
    plays: list[dict[str, Any]]
    messages: list[str]  # without what differs from run to run
    commands: list[str]  # for a shell


def recipe(title: str, guide: str = "recipes") -> Recipe:
    """The section with this title."""
    blocks = BLOCK.findall(sections(guide)[title])
    plays = [play for kind, text in blocks if kind == "yaml+jinja" for play in yaml.safe_load(textwrap.dedent(text))]
    messages = [same(text) for kind, text in blocks if kind == "text"]
    return Recipe(
        title,
        plays,
        messages,
        [line[6:] for _kind, text in blocks for line in text.splitlines() if line.startswith("    $ ")],
    )


def sections(guide: str) -> dict[str, str]:
    text = (GUIDES / f"{guide}.rst").read_text(encoding="utf-8")
    titles = list(re.finditer(r"^(.+)\n-+\n", text, re.MULTILINE))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    return {title[1]: text[title.end() : end] for title, end in zip(titles, ends, strict=True)}


def same(message: str) -> str:
    """A message on one line, with its numbers and digests replaced."""
    return re.sub(r"\b[0-9a-f]{64}\b|\d+(\.\d+)?", "N", " ".join(message.split()))


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of README.md."""

    text: str

    def blocks(self, kind: str) -> list[str]:
        return re.findall(rf"^```{kind}\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    def typed(self) -> list[tuple[str, str]]:
        """Each command, and what is shown after it."""
        return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(self.blocks("console")), re.MULTILINE)


def readme(title: str) -> Section:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return Section(text.partition(f"\n## {title}\n")[2].partition("\n## ")[0])
