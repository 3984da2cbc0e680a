# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers of programs of this collection that run as stages, and the problems that they report.

The controller reads them, or home for a run that outlives its controller.
"""

import binascii
import json
import re
import zlib

from .report import Misfit
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._end.records import StageReport
    from .records import Cause
    from .verdict import Verdict

ANSWER_MOST = 64 * 1024 * 1024  # bytes of an answer, unpacked
BASE64 = re.compile("[A-Za-z0-9+/]*={0,2}")


class Failure(Exception):
    """A failure; callers decide by ``kind``; ``started``: a stage has run and may have changed something.

    ``named``: the text is what a program on ``host`` says, so the message begins with the name of that host.
    """

    def __init__(self, kind: str, text: str, host: str = "", started: bool = False, named: bool = False):
        super().__init__(text)
        self.kind, self.text, self.host, self.started, self.named = kind, text, host, started, named

    @property
    def msg(self) -> str:
        return "%s: %s" % (self.host, self.text) if self.named else self.text

    def __str__(self) -> str:
        return self.msg

    def note(self, host: str) -> str:
        """The message for a table, in the row of this host."""
        return self.text if self.host == host else self.msg


def failure_of(verdict: "Verdict", cause: "Cause") -> Failure:
    """The problem that the program reported, or else the cause that the engine found."""
    stage = verdict.stages.get(cause.get("stage", ""))
    kind, text = reported(stage) if stage else ("", "")
    if not kind:
        return Failure(cause["kind"], cause["msg"], cause["host"], verdict.started)
    return Failure(kind, text, cause["host"], verdict.started, named=True)


def reported(stage: "StageReport") -> "tuple[str, str]":
    """The kind and the text of the problem that a program reported; ("", "") for none."""
    try:
        problem = json.loads((stage["stderr"] or "").rstrip("\n").rpartition("\n")[2])["problem"]
        return str(problem["kind"]), printable(str(problem["msg"]))
    except (ValueError, KeyError, TypeError):
        return "", ""


def answer_of(verdict: "Verdict", stage: str, host: str, parse: "Callable[[Any], Any]") -> "Any":
    """The answer of a program; raises Failure if it is missing or invalid, because a host may send anything."""
    text = verdict.stages[stage]["stdout"].strip()
    place = ""
    try:
        packed = binascii.a2b_base64(text.encode("ascii")) if BASE64.fullmatch(text) else b""
        return parse(json.loads(zlib.decompressobj().decompress(packed, ANSWER_MOST).decode("utf-8")))
    except Misfit as exc:
        place = "invalid value in %s, " % printable(str(exc))
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        pass
    text = verdict.stages[stage]["stdout"]
    raise Failure("answer", "invalid answer (%s%d bytes)" % (place, len(text)), host, True, named=True)
