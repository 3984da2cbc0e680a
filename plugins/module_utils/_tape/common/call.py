# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The call of a program: by a module, whose request is a file in the archive that the program comes in, or by a person.

There a request has no limit, and nobody sees it in a list of processes: {"words": the command line, "settings": {…},
"input": what else a subcommand is told, "controller": {"time": its clock, "boot": the start of its machine}}.  A person
gives words, and the settings as JSON in the environment.
"""

import binascii
import json
import os
import sys
import time
import zlib

from .problem import SETTINGS, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "request.json"
VARIABLE = "SOCKETPIPE_TAPE"


class Call:
    """What is asked for, and how it is answered."""

    def __init__(self) -> None:
        self.request = load()
        self.by_module = self.request is not None
        request = self.request or {}
        self.words: "list[str]" = request.get("words", sys.argv[1:])
        self.input: "dict[str, Any] | None" = request.get("input")
        self.ahead = ahead(request.get("controller"))

    def settings(self) -> "dict[str, Any]":
        """As they are given; raises Problem."""
        if self.request is not None:
            return dict(self.request["settings"])
        try:
            # UTF-8 whatever the locale is; other bytes are surrogates, as in the name of a file
            given = json.loads((os.environb.get(VARIABLE.encode()) or b"{}").decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as exc:
            raise Problem("%s is not JSON: %s" % (VARIABLE, exc), kind=SETTINGS) from None
        if not isinstance(given, dict):
            raise Problem("%s is not a JSON object" % VARIABLE, kind=SETTINGS)
        return given

    def answer(self, value: "Any") -> None:
        """All of it to standard output, or an OSError now: what Python would say at its end nobody hears.

        For a module it is compressed, as base64, so that one of megabytes is a part of the end's report.
        """
        data = json.dumps(value).encode("ascii")
        if self.by_module:
            data = binascii.b2a_base64(zlib.compress(data), newline=False)
        data += b"\n"
        while data:
            data = data[os.write(1, data) :]

    def fail(self, kind: str, text: str, program: str = "") -> None:
        """The last line of standard error: JSON for a module, for a person a sentence after ``program``."""
        line = program + text
        if self.by_module:
            line = json.dumps({"problem": {"kind": kind, "msg": text[:8000]}})
        sys.stderr.buffer.write((line + "\n").encode("utf-8", "backslashreplace"))
        sys.stderr.buffer.flush()


def ahead(controller: "dict[str, Any] | None") -> "float | None":
    """Seconds by which the clock of this machine is ahead of the controller's; None if that is not another clock."""
    if controller is None or controller["boot"] == boot():
        return None
    return time.time() - float(controller["time"])


def boot() -> str:
    """What changes with each start of this machine, and is no other machine's (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as source:
        return source.read().strip()


def load() -> "dict[str, Any] | None":
    """The request of a module, None if there is none."""
    main = sys.modules["__main__"]
    try:
        data = main.__loader__.get_data(os.path.join(os.path.dirname(str(main.__file__)), NAME))  # type: ignore[union-attr]
    except (AttributeError, OSError):  # it was not started from an archive, or there is none in it
        return None
    return dict(json.loads(data.decode("ascii")))
