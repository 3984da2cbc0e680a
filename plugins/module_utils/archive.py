# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as one file: ``python -m …archive TARGET`` writes a zip archive that Python runs (zipapp)."""

import io
import os
import sys
import zipfile

from . import bootstrap

SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = """import sys
from %s.command import main
sys.exit(main(sys.argv[1:]))
"""
EPOCH = (1980, 1, 1, 0, 0, 0)  # so that the same sources give the same bytes


def archive() -> bytes:
    """The engine and what the command needs beside it, and nothing else."""
    modules = bootstrap.sources(bootstrap.MODULES + bootstrap.COMMAND_MODULES)
    files = [("__main__.py", MAIN % bootstrap.PACKAGE), (bootstrap.PACKAGE + "/__init__.py", "")]
    files += [("%s/%s.py" % (bootstrap.PACKAGE, name), text) for name, text in modules]
    data = io.BytesIO(SHEBANG)
    data.seek(len(SHEBANG))
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in files:
            target.writestr(zipfile.ZipInfo(name, EPOCH), text.encode("utf-8"), zipfile.ZIP_DEFLATED)
    return data.getvalue()


def main() -> None:
    path = sys.argv[1]
    with open(path, "wb") as target:
        target.write(archive())
    os.chmod(path, 0o755)


if __name__ == "__main__":
    main()
