# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command socketpipe as one file, for hosts of a fleet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from . import playbook

ARCHIVE = "ansible_collections.plumbing.socketpipe.plugins.module_utils._command.archive"


def build(path: Path, collections: str = "", python: str = "python3") -> Path:
    """Write it there, for this Python, from this repository or from the collection below ``collections``."""
    env = {**os.environ, "PYTHONPATH": collections or str(playbook.collections())}
    subprocess.run([sys.executable, "-m", ARCHIVE, str(path), "", python], env=env, check=True)
    return path
