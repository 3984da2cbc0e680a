# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of an archive: programs on its host that pack or encrypt it, in the order in which they write.

In the settings and in the catalog a filter is {"kind": "command", "write": its words, "read": those of the command that
undoes it, "encrypts": whether nobody may see names of files either}, or {"kind": "age", "recipients": the public keys}.
"""

import shlex

from .problem import NEWER, UPGRADE, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND, AGE = "command", "age"
IDENTITY = "IDENTITY"  # in recipes, in place of the file with the secret key
EXAMPLE = "age -d -i %s | zstd -d" % IDENTITY


def encrypted(filters: "list[Any]") -> bool:
    """Whether the tape host must not see names of files."""
    return any(each["kind"] == AGE or each.get("encrypts") for each in filters)


def recipe(filters: "list[Any]") -> str:
    """The commands that undo them, for a shell, the first to run first."""
    return " | ".join(" ".join(map(shlex.quote, undo(each))) for each in reversed(filters))


def undo(one: "Any") -> "list[str]":
    return ["age", "-d", "-i", IDENTITY] if one["kind"] == AGE else one["read"]


def check(filters: "Any", whose: str) -> None:
    """Raises Problem for a filter of a later version of the collection; ``whose``: the archive, for the message."""
    for each in filters if isinstance(filters, list) else [filters]:
        if not is_known(each):
            kind = each.get("kind") if isinstance(each, dict) else each
            raise Problem(
                "%s was written through the filter %r, which this version of the collection does not know"
                % (whose, kind),
                UPGRADE,
                kind=NEWER,
            )


def is_known(one: "Any") -> bool:
    words = {COMMAND: ("write", "read"), AGE: ("recipients",)}
    return (
        isinstance(one, dict)
        and one.get("kind") in words
        and all(are_words(one.get(key)) for key in words[one["kind"]])
        and not set(one) - {"kind", "encrypts", *words[one["kind"]]}
    )


def are_words(value: "Any") -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
