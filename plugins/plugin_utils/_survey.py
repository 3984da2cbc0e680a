# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options from texts: a survey of AWX, and -e NAME=VALUE, have nothing else.

Ansible converts "true" and "3" itself.  This adds what it does not: an empty field is an option that is not given, and
a list has one entry a line, or between two commas, or is JSON.

AWX tags texts as unsafe, and ansible-core 2.19 and later then reads them as YAML: "" becomes null, and "042" a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

SEPARATOR = re.compile(r"[,\n]")
TEXTS = ("str", "path", "raw")  # types whose empty value may mean something
IN_JSON = re.compile(r'\[\s*(["{\]])')  # a pattern such as [abc]* is not JSON


def from_texts(spec: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task or a part of one, for the validation against ``spec``."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        option = spec.get(name, {})
        kind = option.get("type", "str")
        if kind == "list" and not (is_empty(value) and option.get("default")):
            found[name] = items(value)
        elif not is_empty(value) or (value is not None and kind in TEXTS and "choices" not in option):
            found[name] = value
    return found


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def items(value: Any) -> Any:
    """The entries of a list, which may be a text, a number, or empty."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]  # a number, so that a barcode that has lost its zeros is refused
    if value is not None and not isinstance(value, str):
        return value
    text = value or ""
    found = from_json(text) if IN_JSON.match(text.strip()) else None
    if isinstance(found, list):
        return found
    return [each.strip() for each in SEPARATOR.split(text) if each.strip()]


def from_json(value: Any) -> Any:
    """A text that is JSON, as what it says; anything else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def yes(value: Any) -> bool:
    """A setting within an option, false if it is empty; raises TypeError."""
    return not is_empty(value) and bool(boolean(value))
