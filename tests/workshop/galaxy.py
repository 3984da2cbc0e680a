# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball for Galaxy: built, its contents compared, installed and used. python -m tests.workshop.galaxy

What is in it is all that a user needs and nothing else, after a release also its changelog in data. The demo runs with
the installed collection, of which only the four directories are left that plugins may use, in an environment that has
ansible-core and no more.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

from . import cores, tree, venvs
from .programs import Wrong, run

FOLDER = venvs.BUILD / "galaxy"
# what a user needs, by the first part of its name; all else is for those who work on the collection
USER = {"CHANGELOG.md", "CODE_OF_CONDUCT.md", "LICENSES", "MAINTAINERS.md", "README.md", "SECURITY.md"}
USER |= {"docs", "meta", "playbooks", "plugins", "roles"}
CHANGELOG = "changelogs/changelog.yaml"  # the community package makes its porting guide from it
USED = {"meta", "playbooks", "plugins", "roles"}  # what users of a collection may depend on
MADE = {"FILES.json", "MANIFEST.json"}


def build(core: Path, source: Path = venvs.ROOT, folder: Path = FOLDER) -> Path:
    """From the checkout as it is, as a user would."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run([core / "bin" / "ansible-galaxy", "collection", "build", "--output-path", folder], cwd=source)
    (tarball,) = folder.glob("*.tar.gz")
    return tarball


def contents(tarball: Path) -> set[str]:
    with tarfile.open(tarball) as archive:
        return {member.name for member in archive if not member.isdir()}


def compare(tarball: Path) -> int:
    """How many files are in it; they must be the right ones."""
    found = contents(tarball)
    wanted = MADE | {name for name in tree.sources() if name.split("/")[0] in USER or name == CHANGELOG}
    if found != wanted:
        wrong = [f"not for users: {name}" for name in sorted(found - wanted)]
        wrong += [f"missing: {name}" for name in sorted(wanted - found)]
        raise Wrong(f"{tarball.name}\n" + "\n".join(wrong))
    return len(found)


def check_release(core: Path) -> None:
    """With what `make release` adds, here of one empty release."""
    released = tree.copy(FOLDER / "released")
    (released / CHANGELOG).write_text("ancestor: null\nreleases: {}\n", encoding="utf-8")
    found = contents(build(core, released, FOLDER / "release"))
    if {name for name in found if name.startswith("changelogs/")} != {CHANGELOG}:
        raise Wrong(f"of changelogs, the tarball of a release must have {CHANGELOG}, and nothing else")


def check_use(tarball: Path, core: Path) -> None:
    """Installed in a folder of its own, the demo runs from there; the checkout is not to be found."""
    installed, home = FOLDER / "installed", FOLDER / "home"
    apart = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_HOME": str(home), "HOME": str(home)}
    home.mkdir()
    run([core / "bin" / "ansible-galaxy", "collection", "install", "-p", installed, tarball], cwd=home, **apart)
    for part in (installed / tree.NAME).iterdir():
        if part.is_dir() and part.name not in USED:
            shutil.rmtree(part)
        elif not part.is_dir() and part.name not in MADE:
            part.unlink()
    demo = shutil.copy2(venvs.ROOT / "tests" / "demo" / "demo.py", home)
    said = run([core / "bin" / "python", demo], cwd=home, **apart)
    if "are the same as the source" not in said:
        raise Wrong(f"the demo has not come to its end:\n{said}")
    listed = run([core / "bin" / "ansible-doc", "--json", "plumbing.socketpipe.pipe"], cwd=home, **apart)
    if str(installed) not in listed or str(venvs.ROOT / "plugins") in listed:
        raise Wrong("it was not the installed collection that was used")


def main() -> int:
    try:
        core = cores.venv(cores.here()[-1])
        tarball = build(core)
        print(f"{tarball.relative_to(venvs.ROOT)}: {compare(tarball)} files, what a user needs and nothing else")
        check_release(core)
        print(f"after a release: {CHANGELOG}, too")
        check_use(tarball, core)
        print(f"installed in an empty folder, with only {', '.join(sorted(USED))}: the demo runs from there")
    except Wrong as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
