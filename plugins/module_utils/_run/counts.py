# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of things in sentences for people."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence


def count(number: int, one: str, several: str = "") -> str:
    """Such as 1 file or 2 files."""
    return "%d %s" % (number, one if number == 1 else several or one + "s")


def few(names: "Sequence[str]", total: "int | None" = None, most: int = 3) -> str:
    """The first names and the number of the others."""
    more = (len(names) if total is None else total) - min(len(names), most)
    return ", ".join(names[:most]) + (" and %d more" % more if more > 0 else "")
