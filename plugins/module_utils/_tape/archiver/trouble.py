# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong, as sentences for people."""


class Trouble(Exception):
    """The work cannot be done; the text says what happened, where, and what to try."""

    def __init__(self, text: str, code: int = 1, before: "list[str] | None" = None, kind: str = ""):
        super().__init__(text)
        self.code = code  # the exit status; 2: used wrongly
        self.kind = kind or ("settings" if code == 2 else "failed")  # for whoever has to decide
        self.before = before or []  # what a program has said that the sentence is about


class Ended(BaseException):
    """A signal asks us to end."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number
