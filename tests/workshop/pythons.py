# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python interpreters of this machine: the real ones, not the shims of a version manager."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TARGETS = [f"3.{minor}" for minor in range(6, 15)]  # what an end runs on
SAY = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


def order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def pyenv_root() -> Path | None:
    named = os.environ.get("PYENV_ROOT")
    if not named and shutil.which("pyenv"):
        named = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
    return Path(named) if named and Path(named).is_dir() else None


def candidates() -> Iterator[str]:
    """Whatever may be a Python: ours first, pyenv's own, then those on the PATH."""
    yield str(getattr(sys, "_base_executable", sys.executable))
    root = pyenv_root()
    if root:
        newest_first = sorted(
            root.glob("versions/3.*/bin/python"),
            key=lambda path: order(re.sub(r"[^\d.].*", "", path.parts[-3]).rstrip(".")),
            reverse=True,
        )
        yield from map(str, newest_first)
    for version in TARGETS:
        path = shutil.which(f"python{version}")
        if path:
            yield path


@functools.cache
def found() -> dict[str, Path]:
    """{"3.11": path of the interpreter}, the oldest first."""
    result: dict[str, Path] = {}
    for candidate in candidates():
        try:
            answer = subprocess.run([candidate, "-c", SAY], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        version, _space, path = answer.stdout.strip().partition(" ")
        if answer.returncode == 0 and version in TARGETS:
            result.setdefault(version, Path(path).resolve())  # one name, whoever asks
    return dict(sorted(result.items(), key=lambda item: order(item[0])))


if __name__ == "__main__":
    for number, interpreter in found().items():
        print(number, interpreter)
