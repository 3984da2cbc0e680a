# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments below .build/venvs, made when they are missing or when what they need has changed."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import packages

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"


def ensure(name: str, requirements: Sequence[str], python: Path | None = None, *, with_pip: bool = False) -> Path:
    """The folder of this virtual environment, with these requirements in it, on this interpreter."""
    interpreter = (python or Path(getattr(sys, "_base_executable", sys.executable))).resolve()
    folder = BUILD / "venvs" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    wanted = "\n".join([str(interpreter), *requirements])
    made = folder / "made"
    with open(f"{folder}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two programs may want the same one
        if not made.exists() or made.read_text(encoding="utf-8") != wanted:
            print(f"making the virtual environment {name}: {', '.join(requirements)}", flush=True)
            if python is None and not packages.venv():
                raise SystemExit(1)
            without = [] if with_pip else ["--without-pip"]
            subprocess.run([str(interpreter), "-m", "venv", "--clear", *without, str(folder)], check=True)
            # one new pip for all of them: each with its own takes twice the time
            pip = folder if with_pip else ensure("pip", ["pip"], with_pip=True)
            install = [str(pip / "bin" / "python"), "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
            install += ["--quiet", "--no-compile", "--upgrade", "--disable-pip-version-check"]
            subprocess.run([*install, *requirements], check=True)
            made.write_text(wanted, encoding="utf-8")
        made.touch()  # for make: not older than the requirements
    return folder


def main() -> int:
    """python -m tests.workshop.venvs NAME…: with what requirements/NAME.txt says."""
    for name in sys.argv[1:]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        ensure(name, [line for line in lines if line])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
