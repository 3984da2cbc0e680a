# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two programs of the tape modules, each as a zip archive that Python runs.

They are packages of module_utils/_tape.  Packing adds an entry that imports the main module of the program, because
Galaxy refuses files with the name __main__.py.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

from ._script import MAIN, add_member, members, read_file

TOP = "_tape"
MODULE_UTILS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils")
ARCHIVER, HOST = "archiver", "host"  # the programs, by the names of their packages; both use common
ENTRY = "from _tape.%s.main import main\n\nraise SystemExit(main())\n"
REQUEST = "request.json"


def pack(program: str) -> bytes:
    """The archive of a program; the same files give the same bytes; raises OSError."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        add_member(archive, MAIN, (ENTRY % program).encode("ascii"))
        add_member(archive, TOP + "/", b"")
        for room in ("common", program):
            add_member(archive, f"{TOP}/{room}/", b"")
            for name in members(os.path.join(MODULE_UTILS, TOP, room)):
                content = b"" if name.endswith("/") else read_file(os.path.join(MODULE_UTILS, TOP, room, name))
                add_member(archive, f"{TOP}/{room}/{name}", content)
    return data.getvalue()


# made once, when Ansible's main process loads an action, for all workers
PROGRAMS = {program: pack(program) for program in (ARCHIVER, HOST)}


def with_request(program: str, request: Mapping[str, Any]) -> bytes:
    """A program with its request, which can have any length and does not show in a list of processes."""
    data = io.BytesIO(PROGRAMS[program])
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(REQUEST, json.dumps(request, default=str))
    return data.getvalue()
