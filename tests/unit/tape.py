# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the tape modules, run from their folder; and scripts as tools."""

from __future__ import annotations

import os
from pathlib import Path

MODULE_UTILS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
TAPE = MODULE_UTILS / "_tape"


def start(program: str, top: Path = MODULE_UTILS) -> list[str]:
    """The arguments with which Python runs a program (archiver, host) from the folder that _tape is in."""
    text = "import sys; sys.path.insert(0, %r); from _tape.%s.main import main; sys.exit(main())"
    return ["-c", text % (str(top), program)]


def sources(program: str) -> list[Path]:
    """The modules that it is made of."""
    return sorted(path for room in ("common", program) for path in (TAPE / room).rglob("*.py"))


def script(folder: Path, name: str, text: str) -> Path:
    """An executable of this text, for the PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755), "w") as out:
        out.write(text)
    return path


def exact(text: str) -> str:
    """Lines as a program prints them: with "$" after blanks at their end, as `cat -A` shows them."""
    return text.replace("$\n", "\n")
