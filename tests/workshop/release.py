# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changelog, and whether all agree on the version: python -m tests.workshop.release changelog|check|release VENV

changelog  CHANGELOG.md, as if the version of galaxy.yml were released now; the fragments stay
check      the fragments are well-formed, CHANGELOG.md is what they give, the command has the version of galaxy.yml,
           and no other is ahead of it; names what else a release needs
release    the fragments become a release in changelogs/changelog.yaml, and are removed, unless something is missing
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

from . import address, tree
from .programs import Wrong, run, search_path
from .venvs import BUILD, ROOT

CHANGELOG = ROOT / "CHANGELOG.md"
RELEASES = ROOT / "changelogs" / "changelog.yaml"
FRAGMENTS = ROOT / "changelogs" / "fragments"
COMMAND = "plugins/module_utils/_command/manual.py"  # what `socketpipe --version` says
VERSION = r"\d+\.\d+\.\d+(?:-rc\.\d+)?"
VERSION_ADDED = re.compile(r"^\s*version_added:\s*[\"']?([\d.]+)", re.M)


def number(version: str) -> tuple[float, ...]:
    """To compare versions: 1.0.0-rc.1, a release candidate, comes before 1.0.0 (semver.org, 11)."""
    numbers, _dash, candidate = version.partition("-rc.")
    return (*map(int, numbers.split(".")), int(candidate) if candidate else math.inf)


def galaxy_version() -> str:
    found = re.search(rf"^version:\s*({VERSION})\s*$", (ROOT / "galaxy.yml").read_text(encoding="utf-8"), re.M)
    if not found:
        raise SystemExit("galaxy.yml has no version like 1.2.3 or 1.2.3-rc.1")
    return found.group(1)


def released() -> list[str]:
    """All versions that have been released, as antsibull-changelog has written them down."""
    if not RELEASES.exists():
        return []
    return re.findall(rf"^  ({VERSION}):", RELEASES.read_text(encoding="utf-8"), re.M)


def fragments() -> list[Path]:
    return sorted([*FRAGMENTS.glob("*.yml"), *FRAGMENTS.glob("*.yaml")])


def antsibull(venv: Path, words: list[str], folder: Path = ROOT) -> str:
    """Runs antsibull-changelog; "" or what it complains of."""
    try:
        run(["antsibull-changelog", *words], folder, PATH=search_path(venv))
    except Wrong as exc:
        return str(exc)
    return ""


def rendered(venv: Path) -> str:
    """What CHANGELOG.md should be."""
    copy = tree.copy(BUILD / "changelog")
    words = ["release", "--version", galaxy_version()] if fragments() else ["generate"]
    problem = antsibull(venv, words, copy)
    if problem:
        raise SystemExit(problem)
    return (copy / "CHANGELOG.md").read_text(encoding="utf-8")


def problems(venv: Path) -> list[str]:
    """What stands in the way of a release."""
    version, before = galaxy_version(), released()
    found = [text for words in (["lint"], ["lint-changelog-yaml", str(RELEASES)]) if (text := lint(venv, words))]
    found += address.wrong()
    if fragments() and version in before:
        found.append(f"there are fragments, but {version} of galaxy.yml is released: which version are they of?")
    if not fragments() and version not in before:
        found.append(f"galaxy.yml says {version}, and there is neither a fragment nor a release of it")
    if before and number(version) < max(map(number, before)):
        found.append(f"galaxy.yml says {version}, older than the last release")
    if f'\nVERSION = "{version}"' not in (ROOT / COMMAND).read_text(encoding="utf-8"):
        found.append(f"{COMMAND}: VERSION is not {version}, as in galaxy.yml")
    for name in tree.sources():
        if name.startswith(("plugins/", "roles/")):
            text = (ROOT / name).read_text(encoding="utf-8")
            found += [
                f"{name}: version_added {added}, but galaxy.yml says {version}"
                for added in VERSION_ADDED.findall(text)
                if number(added)[:3] > number(version)[:3]
            ]
    if not found and CHANGELOG.read_text(encoding="utf-8") != rendered(venv):
        found.append("CHANGELOG.md is not what the fragments give: make changelog")
    return found


def lint(venv: Path, words: list[str]) -> str:
    return "" if words[0] == "lint-changelog-yaml" and not RELEASES.exists() else antsibull(venv, words)


def main() -> int:
    command, path = sys.argv[1:]
    venv = Path(path).resolve()
    if command == "changelog":
        CHANGELOG.write_text(rendered(venv), encoding="utf-8")
    elif command == "release":
        lacks = [*address.missing(), *problems(venv)]
        problem = "\n".join(lacks) or antsibull(venv, ["release", "--version", galaxy_version()])
        if problem:
            raise SystemExit(problem)
    else:
        found = problems(venv)
        for problem in found:
            print(f"error: {problem}", file=sys.stderr)
        if found:
            return 1
        state = f"in the making, {len(fragments())} fragments" if fragments() else "released"
        print(f"version {galaxy_version()}: {state}; galaxy.yml, the changelog and the documentation agree")
        for problem in address.missing():
            print(f"before a release: {problem}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
