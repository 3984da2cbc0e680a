# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why something cannot be done: a sentence for a person, and a kind for the code that has to decide."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

FAILED = "failed"  # nothing more is known of it
BUSY = "busy"  # it may pass by itself, as somebody else has what is wanted
SETTINGS = "settings"  # what was asked for cannot be meant
FULL = "full"  # the tape was full before the archive's end: it fits on another one
TOO_LARGE = "too large"  # the archive fits on no tape
ABSENT = "absent"  # the tape is in no drive
NO_TAPE = "no tape"  # no drive has a tape that may be written
NOT_FOUND = "not found"  # the catalog does not have it
CONFIRM = "confirm"  # it would be lost, and nobody has said that it may
MACHINE = "other machine"  # of a host of this name there is a good archive of another machine
NO_TOOL = "no tool"  # a program is not installed
NEWER = "newer"  # a later version of the collection has written it
DAMAGED = "damaged"  # it is not what was written
UNREADABLE = "unreadable"  # the drive cannot read, or write, what is there; nobody knows where the tape stands now
LONG = "long record"  # longer than was asked for
END = "end"  # the data of the tape ends before
LOADING = "loading"  # the drive is getting its tape ready
NO_BASE = "no base"  # an incremental cannot be relative to this run
LEADS_OUT = "leads out"  # of the directory that is restored to

UPGRADE = "upgrade the collection plumbing.socketpipe on the controller; nothing was changed"


class Problem(Exception):
    """What happened and where; ``hint``: the likely cause, or what to try.

    ``output``: lines of a program that the sentence is about.
    """

    def __init__(self, what: str, hint: str = "", kind: str = FAILED, output: "Sequence[str]" = ()):
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.kind = kind
        self.output = output

    def __str__(self) -> str:
        return self.what + (": " + self.hint if self.hint else "")
