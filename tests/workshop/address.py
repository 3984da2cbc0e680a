# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public address of the project: `repository` in galaxy.yml, and the links in other places that follow from it.

python -m tests.workshop.address    # writes those links
"""

from __future__ import annotations

import re
from pathlib import Path

from .venvs import ROOT

GALAXY = "galaxy.yml"
REPOSITORY = re.compile(r"^repository:[ ]*(\S+)$", re.M)
PLACEHOLDER = re.compile(r"https?://([^/]+\.)?example\.(org|com|net)\b")
MAINTAINERS = "MAINTAINERS.md"
NAMED = re.compile(r"^\| (?!name\b|-)[^|]*\w[^|]*\|", re.M)  # a row of its table, but for the head
# file -> [what stands before a link, the rest of its address]
FOLLOW = {
    GALAXY: [
        ("homepage: ", ""),
        ("issues: ", "/issues"),
        ("documentation: ", "/tree/main/docs"),
    ],
    "CONTRIBUTING.md": [("Report bugs and ask for features at ", "/issues")],
    "SECURITY.md": [("privately at ", "/security/advisories/new")],
}


def repository(root: Path = ROOT) -> str:
    found = REPOSITORY.search((root / GALAXY).read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"{GALAXY} has no repository")
    return found.group(1)


def follow(root: Path = ROOT) -> dict[str, str]:
    """{file: its text with the links that follow from the address}"""
    address, texts = repository(root), {}
    for name, links in FOLLOW.items():
        text = (root / name).read_text(encoding="utf-8")
        for before, rest in links:
            found = re.findall(rf"{re.escape(before)}[^\s,]+", text)
            if len(found) != 1:
                raise SystemExit(f"{name} has {len(found)} links after {before!r}, not one")
            text = text.replace(found[0], before + address + rest)
        texts[name] = text
    return texts


def wrong(root: Path = ROOT) -> list[str]:
    """Files whose links do not follow from the address."""
    changed = [name for name, text in follow(root).items() if text != (root / name).read_text(encoding="utf-8")]
    return [f"{name}: its links do not follow from repository in {GALAXY}: make address" for name in changed]


def missing(root: Path = ROOT) -> list[str]:
    """What only the people of the project can fill in, and a release needs."""
    found = []
    if PLACEHOLDER.match(repository(root)):
        found.append(f"the project has no public address: set repository in {GALAXY}, then make address")
    if not NAMED.search((root / MAINTAINERS).read_text(encoding="utf-8")):
        found.append(f"{MAINTAINERS} names nobody")
    return found


def main() -> int:
    for name, text in follow().items():
        (ROOT / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
