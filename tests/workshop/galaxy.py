# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball for Galaxy: built, its contents compared, installed and used. python -m tests.workshop.galaxy

What is in it is all that a user needs and nothing else, and the demo runs with the installed collection, in an
environment that has ansible-core and no more.
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
USER = {"CHANGELOG.md", "LICENSES", "README.md", "docs", "meta", "playbooks", "plugins", "roles"}
MADE = {"FILES.json", "MANIFEST.json"}


def build(core: Path) -> Path:
    """From the checkout as it is, as a user would."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    run([core / "bin" / "ansible-galaxy", "collection", "build", "--output-path", FOLDER])
    (tarball,) = FOLDER.glob("*.tar.gz")
    return tarball


def compare(tarball: Path) -> int:
    """How many files are in it; they must be the right ones."""
    with tarfile.open(tarball) as archive:
        found = {member.name for member in archive if not member.isdir()}
    wanted = MADE | {name for name in tree.sources() if name.split("/")[0] in USER}
    if found != wanted:
        wrong = [f"not for users: {name}" for name in sorted(found - wanted)]
        wrong += [f"missing: {name}" for name in sorted(wanted - found)]
        raise Wrong(f"{tarball.name}\n" + "\n".join(wrong))
    return len(found)


def check_use(tarball: Path, core: Path) -> None:
    """Installed in a folder of its own, the demo runs from there; the checkout is not to be found."""
    installed, home = FOLDER / "installed", FOLDER / "home"
    apart = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_HOME": str(home), "HOME": str(home)}
    home.mkdir()
    run([core / "bin" / "ansible-galaxy", "collection", "install", "-p", installed, tarball], cwd=home, **apart)
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
        check_use(tarball, core)
        print("installed in an empty folder: the demo runs from there")
    except Wrong as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
