# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that become parts of paths: they come from command lines, and from tapes that others may have written."""

import os
import re

from .problem import SETTINGS, Problem

HIGHEST = 9  # the levels of dump(8)
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")


def checked(kind: str, name: str) -> str:
    """A tape's, a run's or a set's name; raises Problem."""
    if not NAME.match(name) or not name.strip("-_"):
        raise Problem(
            "%r cannot be the name of a %s" % (name, kind),
            "use letters, digits, - _ and ., at most 64 of them",
            kind=SETTINGS,
        )
    return name


def host(name: str) -> str:
    """A host's name in the inventory, which may be almost anything; it is a word of its archives' names, too."""
    if not name or name.startswith(".") or any(not letter.isprintable() or letter in " /" for letter in name):
        raise Problem("%r cannot be the name of a host" % name, "it is one word, without /", kind=SETTINGS)
    return name


def encode(text: str) -> bytes:
    """A text as a part of a path: in UTF-8 whatever the locale is; other bytes come as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def path(text: str) -> str:
    """The same as Python wants it, of which 3.6 knows only ASCII in the locale C."""
    return os.fsdecode(encode(text))


def shown(name: bytes) -> str:
    """A file's name for people and JSON: bytes that are not UTF-8 as \\xNN."""
    return name.decode("utf-8", "backslashreplace")
