# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code without the columns of its source, which Python adds since 3.11 and which would be a third of a program.

Only tracebacks show columns; lines are kept.  The format is that of Objects/locations.md of CPython 3.11 to 3.13.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

MOST = 8  # code units in one entry
ENTRY, LINE_ONLY, NO_LINE = 0x80, 13 << 3, 15 << 3


def without_columns(code: "CodeType") -> "CodeType":
    """The same code of a module, and of its functions and classes."""
    if sys.version_info < (3, 11):
        return code
    new = stripped(code)
    return new if lines(new) == lines(code) else code  # a format that we do not know


def stripped(code: "Any") -> "Any":
    constants = tuple(stripped(each) if isinstance(each, type(code)) else each for each in code.co_consts)
    return code.replace(co_consts=constants, co_linetable=table(code))


def lines(code: "Any") -> "list[tuple[int, int | None]]":
    """[(an offset in the code, its line)], where another line begins."""
    found: "list[tuple[int, int | None]]" = []
    for start, _end, line in code.co_lines():
        if not found or found[-1][1] != line:
            found.append((start, line))
    return found


def table(code: "Any") -> bytes:
    """The lines of a code in the form of ``co_linetable``."""
    found = bytearray()
    last = code.co_firstlineno
    for start, end, line in code.co_lines():
        units = (end - start) // 2
        while units > 0:
            count = min(units, MOST)
            units -= count
            found.append(ENTRY | (NO_LINE if line is None else LINE_ONLY) | (count - 1))
            if line is not None:
                found += signed(line - last)
                last = line
    return bytes(found)


def signed(number: int) -> bytes:
    """A number in pieces of six bits, the lowest first; all but the last have another bit."""
    rest = -number << 1 | 1 if number < 0 else number << 1
    found = []
    while rest >= 64:
        found.append(64 | rest & 63)
        rest >>= 6
    return bytes(found + [rest])
