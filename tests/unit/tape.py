# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the tape role's programs, which import each other by their bare names; and scripts as tools."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

PROGRAMS = Path(__file__).resolve().parents[2] / "roles" / "tape" / "files"


def load(program: str, *names: str) -> list[ModuleType]:
    """These modules of this program, in sys.modules under other names: two programs may have a module of one name."""
    folder = PROGRAMS / program
    own = {path.stem for path in folder.glob("*.py")}
    others = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    sys.path.insert(0, str(folder))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # what is in the folder goes to the tape host
    try:
        for name in own:
            known = sys.modules.get("%s %s" % (program, name))
            if known:
                sys.modules[name] = known
        modules = [importlib.import_module(name) for name in names]
        for name in own & set(sys.modules):
            sys.modules["%s %s" % (program, name)] = sys.modules[name]
        return modules
    finally:
        sys.dont_write_bytecode = written
        sys.path.remove(str(folder))
        for name in own:
            sys.modules.pop(name, None)
        sys.modules.update(others)


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
