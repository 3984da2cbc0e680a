# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as one file: ``python -m …archive TARGET [MANUAL [PYTHON]]`` writes a zip archive that Python can run.

MANUAL is the file for the manual page.  PYTHON is the interpreter for the first line: a path, or a name in PATH.
"""

import io
import os
import sys
import zipfile

from .._run import bootstrap
from . import manual

# imports find only the standard library, whatever PYTHONPATH contains; Ctrl-C ends the program silently until there is
# something to clean up
MAIN = """import os, sys
library = os.path.dirname(getattr(os, "__file__", ""))
if library:
    sys.path[1:] = [each for each in sys.path[1:] if each == library or os.path.basename(each) == "lib-dynload"]
import signal
if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
from %s._command.command import main
sys.exit(main(sys.argv[1:]))
"""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same sources give the same bytes


def archive(python: str = "python3") -> bytes:
    """The engine and the modules of the command, and nothing else."""
    first = "#!%s -IS\n" % python if python.startswith("/") else "#!/usr/bin/env %s\n" % python
    modules = bootstrap.sources(bootstrap.end_modules(bootstrap.ENCRYPTION_MODULES) + bootstrap.COMMAND_MODULES)
    rooms = dict.fromkeys(name.partition(".")[0] + "/" for name, _text in modules)
    files = [("__main__.py", MAIN % bootstrap.PACKAGE)]
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
