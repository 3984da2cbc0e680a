# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of recipes, and other guides: their plays, and the messages that they quote, by section."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import yaml

from tests.system.playbook import REPOSITORY
from tests.workshop import guides


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A section of the page."""

    title: str
    plays: list[dict[str, Any]]
    messages: list[str]  # without what differs from run to run
    commands: list[str]  # for a shell


def recipe(title: str, guide: str = "recipes") -> Recipe:
    """The section with this title."""
    text = guides.sections(guide)[title]
    return Recipe(
        title,
        [play for block in guides.blocks(text, "yaml+jinja") for play in yaml.safe_load(block.text)],
        [same(block.text) for block in guides.blocks(text, "text")],
        [command for block in guides.blocks(text, "console") for command, _shown in block.typed()],
    )


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
        return guides.Block("console", "".join(self.blocks("console"))).typed()


def readme(title: str) -> Section:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return Section(text.partition(f"\n## {title}\n")[2].partition("\n## ")[0])
