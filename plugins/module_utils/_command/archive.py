# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as one file: ``python -m …archive TARGET [MANUAL [PYTHON]]`` writes a zip archive that Python can run.

MANUAL is the file for the manual page.  PYTHON is the interpreter for the first line: a path, or a name in PATH.
"""

import hashlib
import io
import os
import sys
import zipfile

from .._run import bootstrap
from . import manual

START = "_command.start"
OWN = [START, "_command.cache"]  # modules of the file only
MAIN = "import sys\nwith open(sys.argv[0], 'rb') as file:\n    text = file.read(%d)\nexec(text)\n"
# The text of START precedes the archive.  A Python given by its path reads that and nothing else: to find __main__ in
# an archive takes it longer than all that START does.  Linux takes the rest of the line as one word.
FAST = "#!%s -IScexec(open(__import__('sys').argv[1],'rb').read(%5d))\n"
LINE_MOST = 127  # bytes of a first line that every Linux reads (execve(2))
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same sources give the same bytes


def first_line(python: str, text: str) -> str:
    if not python.startswith("/"):
        return "#!/usr/bin/env %s\n" % python
    size = len(FAST % (python, 0)) + len(text)
    line = FAST % (python, size)
    return line if len(line.encode("utf-8")) <= LINE_MOST else "#!%s -IS\n" % python


def archive(python: str = "python3") -> bytes:
    """The engine and the modules of the command, and nothing else."""
    names = bootstrap.end_modules(bootstrap.OF_COMMAND) + bootstrap.COMMAND_MODULES + OWN
    modules = bootstrap.sources(names)
    digest = hashlib.sha256(repr(modules).encode("utf-8")).hexdigest()
    text = "%s\nstart(%r, %r)\n" % (dict(modules)[START], bootstrap.PACKAGE, digest)
    first = first_line(python, text) + text
    rooms = dict.fromkeys(name.partition(".")[0] + "/" for name, _text in modules)
    files = [("__main__.py", MAIN % len(first))]
    files += [("%s/%s__init__.py" % (bootstrap.PACKAGE, room), "") for room in ["", *rooms]]
    files += [("%s/%s.py" % (bootstrap.PACKAGE, name.replace(".", "/")), text) for name, text in modules]
    data = io.BytesIO()
    data.write(first.encode("utf-8"))
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in files:
            # __main__.py is read before sys.path is corrected, so zlib may not be found yet
            kind = zipfile.ZIP_DEFLATED if "/" in name else zipfile.ZIP_STORED
            target.writestr(zipfile.ZipInfo(name, EPOCH), text.encode("utf-8"), kind)
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
