# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pythons of this machine: an end runs on each from 3.6 on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

TARGETS = ["3.%d" % minor for minor in range(6, 15)]
OWN = "%d.%d" % sys.version_info[:2]
VERSION = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"


def is_version(path: str, version: str) -> bool:
    """Whether it runs, and is what its name says (a pyenv shim may be neither)."""
    try:
        answer = subprocess.run([path, "-c", VERSION], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout == version


def pyenv_root() -> Path | None:
    if "PYENV_ROOT" in os.environ:
        return Path(os.environ["PYENV_ROOT"])
    try:
        answer = subprocess.run(["pyenv", "root"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None


@lru_cache(None)
def find(version: str) -> str:
    """The path of this Python, "" when it is not here."""
    if version == OWN:
        return sys.executable
    root = pyenv_root()
    candidates = sorted(str(path) for path in root.glob("versions/%s.*/bin/python" % version)) if root else []
    found = shutil.which("python" + version)
    for path in candidates + ([found] if found else []):
        if is_version(path, version):
            return path
    return ""


def needed(version: str) -> str:
    """Its path; skips the test when it is not here."""
    path = find(version)
    if not path:
        pytest.skip("there is no Python %s on this machine" % version)
    return path
