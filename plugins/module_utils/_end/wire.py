# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of an end to the controller: marked lines of JSON on standard output, among other output."""

from .lean import json_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARK = "SOCKETPIPE "  # begins each line for the controller


def to_json(value: "Any") -> str:
    """JSON text (RFC 8259), ASCII only, of None, booleans, numbers, strings, lists and dicts.

    The json module imports re and enum, which would delay every task by 8 ms on both hosts.
    """
    if isinstance(value, str):
        return str(json_string(value))
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (to_json(str(key)), to_json(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join([to_json(item) for item in value])
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def bounded(text: str, budget: int, last: bool) -> str:
    """The last or first part of a text, at most ``budget`` characters long in JSON."""
    chosen = 0
    for character in reversed(text) if last else text:
        if character in '\n\t\r"\\':
            budget -= 2
        else:  # others take six characters in JSON, or twelve as two surrogates
            budget -= 1 if " " <= character <= "~" else 6 if character <= "\uffff" else 12
        if budget < 0:
            break
        chosen += 1
    if chosen == len(text):
        return text
    return text[len(text) - chosen :] if last else text[:chosen]
