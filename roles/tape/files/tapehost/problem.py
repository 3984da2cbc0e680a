# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person has to know when something cannot be done."""


class Problem(Exception):
    """What happened and where; ``hint``: the likely cause, or what to try.

    ``busy``: it may pass by itself, as somebody else has what is wanted.
    """

    def __init__(self, what: str, hint: str = "", busy: bool = False):
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.busy = busy

    def __str__(self) -> str:
        return self.what + (": " + self.hint if self.hint else "")
