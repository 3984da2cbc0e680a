# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The context of an execution environment: python -m tests.workshop.ee VENV. Building the image needs a network."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from . import galaxy, tree, venvs

FOLDER = venvs.BUILD / "ee"
CONTEXT = FOLDER / "context"


def create(venv: Path) -> None:
    """What ansible-builder makes of execution-environment.yml and the tarball, which `make galaxy` has made."""
    (tarball,) = galaxy.FOLDER.glob("*.tar.gz")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    shutil.copy2(tarball, FOLDER / "plumbing-socketpipe.tar.gz")
    path = f"{venv / 'bin'}:{os.environ['PATH']}"
    galaxy.run(["ansible-builder", "create", "--context", CONTEXT, "--output-filename", "Containerfile"], PATH=path)


def check(venv: Path) -> None:
    """The context installs the collection, as its image would, and the collection asks for nothing else."""
    if "collection install" not in (CONTEXT / "Containerfile").read_text(encoding="utf-8"):
        raise galaxy.Wrong("the Containerfile does not install collections")
    install: list[str | Path] = [
        venv / "bin" / "ansible-galaxy",
        "collection",
        "install",
        "-r",
        "requirements.yml",
        "-p",
        FOLDER,
        "--force",
    ]
    galaxy.run(install, cwd=CONTEXT / "_build")
    if not (FOLDER / tree.NAME / "plugins/action/pipe.py").exists():
        raise galaxy.Wrong("the context does not install the collection")
    said = galaxy.run([venv / "bin" / "ansible-builder", "introspect", FOLDER])
    if "python: []" not in said or "system: []" not in said:
        raise galaxy.Wrong(f"the collection asks for something beside itself:\n{said}")


def main() -> int:
    (name,) = sys.argv[1:]
    venv = Path(name).resolve()
    try:
        create(venv)
        check(venv)
    except galaxy.Wrong as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    print(f"{CONTEXT.relative_to(venvs.ROOT)} contains the collection; it needs nothing else")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
