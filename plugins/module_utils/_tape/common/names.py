# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that become parts of paths.  They come from command lines and from tapes, which anybody may have written."""

import os
import re

from .problem import SETTINGS, Problem

HIGHEST = 9  # the levels of dump(8)
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")


def checked(kind: str, name: str) -> str:
    """The name of a tape, a run or a set; raises Problem."""
    if not NAME.match(name) or not name.strip("-_"):
        raise Problem(
            "%r cannot be the name of a %s" % (name, kind),
            "use letters, digits, - _ and ., at most 64 of them",
            kind=SETTINGS,
        )
    return name


def host(name: str) -> str:
    """The name of a host in the inventory, which has few rules; it is also a word in the labels of its archives."""
    if not name or name.startswith(".") or any(not letter.isprintable() or letter in " /" for letter in name):
        raise Problem("%r cannot be the name of a host" % name, "use one word without /", kind=SETTINGS)
    return name


def encode(text: str) -> bytes:
    """A text as part of a path, in UTF-8 whatever the locale; other bytes are surrogates."""
    return text.encode("utf-8", "surrogateescape")


def path(text: str) -> str:
    """The same as a str for Python; in the locale C, Python 3.6 accepts only ASCII."""
    return os.fsdecode(encode(text))


def shown(name: bytes) -> str:
    """A file name for people and JSON, with bytes that are not UTF-8 as \\xNN."""
    return name.decode("utf-8", "backslashreplace")
