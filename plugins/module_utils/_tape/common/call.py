# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program of ours is asked for, where a module has sent it: a file in the archive that it comes in.

There it has no limit, and nobody sees it in a list of processes.  {"words": the command line, "settings": {…},
"input": what else a subcommand is told}.  Without it a person has called, on a command line.
"""

import binascii
import json
import os
import sys
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "request.json"


def load() -> "dict[str, Any] | None":
    """The request, None if there is none."""
    main = sys.modules["__main__"]
    try:
        data = main.__loader__.get_data(os.path.join(os.path.dirname(str(main.__file__)), NAME))  # type: ignore[union-attr]
    except (AttributeError, OSError):  # it was not started from an archive, or there is none in it
        return None
    return dict(json.loads(data.decode("ascii")))


def answered(value: "Any") -> str:
    """An answer for a module: JSON, compressed, as base64, so that one of megabytes is a part of the end's report."""
    return binascii.b2a_base64(zlib.compress(json.dumps(value).encode("ascii")), newline=False).decode("ascii")


def failed(kind: str, text: str) -> str:
    """The line that says so to the module: the last one of standard error."""
    return json.dumps({"problem": {"kind": kind, "msg": text[:8000]}}) + "\n"
