# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The call of a program, either by a module or by a person.

A module puts its request as a file into the archive of the program, where it can have any length and does not show in a
list of processes: {"words": the command line, "settings": {…}, "input": further data for a subcommand, "controller":
{"time": its clock, "boot": its boot ID}}.  A person gives words, and the settings as JSON in the environment.
"""

import binascii
import json
import os
import sys
import time
import zlib

from . import now
from .problem import FAILED, SETTINGS, Problem
from .process import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

NAME = "request.json"
VARIABLE = "SOCKETPIPE_TAPE"
UNDO = ["undo"]  # the words with which an end runs the program once more, see _end/afterwards.py


class Call:
    """The request, and the form of the answer."""

    def __init__(self) -> None:
        self.request = load()
        again = sys.argv[1:] == UNDO
        self.by_module = self.request is not None and not again
        now.Reader.mark = now.MARK if self.by_module else ""
        request = self.request or {}
        self.words: "list[str]" = UNDO if again else request.get("words", sys.argv[1:])
        self.input: "dict[str, Any] | None" = request.get("input")
        self.ahead = ahead(request.get("controller"))

    def settings(self) -> "dict[str, Any]":
        """The settings as given; raises Problem."""
        if self.request is not None:
            return dict(self.request["settings"])
        try:
            # UTF-8 whatever the locale; other bytes are surrogates, as in file names
            given = json.loads((os.environb.get(VARIABLE.encode()) or b"{}").decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as exc:
            raise Problem("%s is not JSON: %s" % (VARIABLE, exc), kind=SETTINGS) from None
        if not isinstance(given, dict):
            raise Problem("%s is not a JSON object" % VARIABLE, kind=SETTINGS)
        return given

    def answer(self, value: "Any") -> None:
        """Write the answer to standard output; raises OSError now, because nothing would report it at exit.

        For a module it is compressed and in base64, so that an answer of megabytes fits into the report of an end.
        """
        data = json.dumps(value).encode("ascii")
        if self.by_module:
            data = binascii.b2a_base64(zlib.compress(data), newline=False)
        data += b"\n"
        while data:
            data = data[os.write(1, data) :]

    def fail(self, kind: str, text: str, program: str = "") -> None:
        """Write the last line of standard error: JSON for a module, a sentence after ``program`` for a person."""
        line = program + text
        if self.by_module:
            line = json.dumps({"problem": {"kind": kind, "msg": text[:8000]}})
        sys.stderr.buffer.write((line + "\n").encode("utf-8", "backslashreplace"))
        sys.stderr.buffer.flush()


def served(call: Call, work: "Callable[[], None]", what: str, prefix: str = "") -> int:
    """Do the work of a program; returns the exit status: 0, 1, 2 for wrong settings, 128 + n after signal n.

    Unless it is 0, the last line of standard error has the problem.  ``what``: the work, for errors of the system;
    ``prefix``: before the sentence for a person.
    """
    try:
        work()
    except Problem as exc:
        sys.stderr.buffer.write("".join(line + "\n" for line in exc.output).encode("utf-8", "backslashreplace"))
        said, status, kind = str(exc), 2 if exc.kind == SETTINGS else 1, exc.kind
    except Ended as exc:
        said, status, kind = str(exc), exc.status, FAILED
    except OSError as exc:
        where = "" if exc.filename is None else ": %s" % os.fsdecode(exc.filename)
        said, status, kind = "%s failed: %s%s" % (what, exc.strerror, where), 1, FAILED
    else:
        return 0
    call.fail(kind, said, prefix)
    return status


def ahead(controller: "dict[str, Any] | None") -> "float | None":
    """Seconds by which this machine's clock is ahead of the controller's; None if both are the same machine."""
    if controller is None or controller["boot"] == boot():
        return None
    return time.time() - float(controller["time"])


def boot() -> str:
    """The boot ID, unique to this boot of this machine (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as source:
        return source.read().strip()


def load() -> "dict[str, Any] | None":
    """The request of a module, None if there is none."""
    main = sys.modules["__main__"]
    try:
        data = main.__loader__.get_data(os.path.join(os.path.dirname(str(main.__file__)), NAME))  # type: ignore[union-attr]
    except (AttributeError, OSError):  # not started from an archive, or the archive has no request
        return None
    return dict(json.loads(data.decode("ascii")))
