# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as one file: ``python -m …archive TARGET [MANUAL [PYTHON]]`` writes a zip archive that Python runs.

MANUAL is its manual page, PYTHON the interpreter of its first line: a path, or a name to be looked up in PATH.
"""

import io
import os
import sys
import zipfile

from . import bootstrap, manual

MAIN = """import sys
from %s.command import main
sys.exit(main(sys.argv[1:]))
"""
EPOCH = (1980, 1, 1, 0, 0, 0)  # so that the same sources give the same bytes


def archive(python: str = "python3") -> bytes:
    """The engine and what the command needs beside it, and nothing else."""
    first = "#!%s%s\n" % ("" if python.startswith("/") else "/usr/bin/env ", python)
    modules = bootstrap.sources(bootstrap.MODULES + bootstrap.COMMAND_MODULES)
    files = [("__main__.py", MAIN % bootstrap.PACKAGE), (bootstrap.PACKAGE + "/__init__.py", "")]
    files += [("%s/%s.py" % (bootstrap.PACKAGE, name), text) for name, text in modules]
    data = io.BytesIO()
    data.write(first.encode("utf-8"))
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in files:
            target.writestr(zipfile.ZipInfo(name, EPOCH), text.encode("utf-8"), zipfile.ZIP_DEFLATED)
    return data.getvalue()


def main() -> None:
    target, page, python = (sys.argv[1:] + ["", ""])[:3]
    with open(target, "wb") as program:
        program.write(archive(python or "python3"))
    os.chmod(target, 0o755)
    if page:
        with open(page, "w", encoding="utf-8") as text:
            text.write(manual.page())


if __name__ == "__main__":
    main()
