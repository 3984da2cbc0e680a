# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A problem: a sentence for people, and a kind on which code can decide."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

FAILED = "failed"  # any other problem
BUSY = "busy"  # another process uses the drive or tape; a retry may succeed
SETTINGS = "settings"  # an invalid setting or request
FULL = "full"  # the tape was full before the end of the archive; the next tape can be tried
TOO_LARGE = "too large"  # the archive fits on no tape
ABSENT = "absent"  # the tape is in no drive
NO_TAPE = "no tape"  # no drive has a writable tape
NOT_FOUND = "not found"  # not in the catalog
CONFIRM = "confirm"  # data would be lost, and that was not confirmed
MACHINE = "other machine"  # the good archives with this host name are of another machine
NO_TOOL = "no tool"  # a program is not installed
NEWER = "newer"  # written by a later version of the collection
DAMAGED = "damaged"  # the data differs from what was written
UNREADABLE = "unreadable"  # the drive cannot read or write here; the position of the tape is now unknown
LONG = "long record"  # a record is longer than requested
END = "end"  # the data on the tape ends before this point
LOADING = "loading"  # the drive is getting its tape ready
NO_BASE = "no base"  # this run cannot be the base of an increment
LEADS_OUT = "leads out"  # a link leads out of the target directory

UPGRADE = "upgrade the collection plumbing.socketpipe on the controller; nothing was changed"


class Problem(Exception):
    """``what``: what happened, and where; ``hint``: the likely cause or a remedy.

    ``output``: output of a program, related to the sentence.
    """

    def __init__(self, what: str, hint: str = "", kind: str = FAILED, output: "Sequence[str]" = ()):
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.kind = kind
        self.output = output

    def __str__(self) -> str:
        return self.what + (": " + self.hint if self.hint else "")
