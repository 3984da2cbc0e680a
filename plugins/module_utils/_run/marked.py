# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of an end (see _end.wire), found in its output."""

from .._end.lean import json_value
from .._end.wire import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read_marked(text: str) -> "dict[str, Any] | None":
    """The last marked line in the output of an end, None if there is none or it is incomplete."""
    stop = len(text)
    while True:
        # from mark to mark, not line by line, because there may be much other output
        at = text.rfind(MARK, 0, stop)
        if at < 0:
            return None
        start, stop = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        line = text[start : stop if stop >= 0 else len(text)].strip()
        if line.startswith(MARK):
            text = line[len(MARK) :].strip()
            try:
                message, end = json_value(text, 0)
            except (ValueError, RecursionError, StopIteration):
                return None
            return message if isinstance(message, dict) and end == len(text) else None
        stop = start
