# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the programs of the workshop: what they print is shown only if they fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .venvs import ROOT


class Wrong(Exception):
    """What is wrong, for a person."""


def search_path(venv: Path) -> str:
    """PATH, with the programs of a virtual environment before all others."""
    return f"{venv.resolve() / 'bin'}:{os.environ['PATH']}"


def run(command: list[str | Path], cwd: Path = ROOT, **environment: str) -> str:
    """Returns all that it prints; raises Wrong unless its exit status is 0, OSError if it is not there."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Wrong(
            f"{Path(words[0]).name} {' '.join(words[1:4])}: exit status {done.returncode}\n{done.stdout}".strip()
        )
    return done.stdout
