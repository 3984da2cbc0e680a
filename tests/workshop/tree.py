# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the sources in a folder of the right name, a git repository of its own.

ansible-test insists on …/ansible_collections/NAMESPACE/NAME without symbolic links, and silently tests nothing of what
git ignores, as it does all of .build.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .venvs import ROOT

NAME = Path("ansible_collections/plumbing/socketpipe")


def sources() -> list[str]:
    """Every file of the work tree that git does not ignore, committed or not."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({name for name in listed if name and (ROOT / name).is_file()})


def copy(top: Path) -> Path:
    """A fresh copy below `top`, which is emptied of the last one; returns the collection's own folder."""
    shutil.rmtree(top / NAME.parts[0], ignore_errors=True)
    collection = top / NAME
    for name in sources():
        target = collection / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    subprocess.run(["git", "init", "--quiet", str(collection)], check=True)
    return collection
