# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of the controller's, as the bytes that travel to the host that runs it."""

from __future__ import annotations

from collections.abc import Callable

SCRIPT_MOST = 4 * 1024 * 1024  # bytes: a script goes through Ansible's connection, and is kept in memory there

Reader = Callable[[str], bytes]


class ScriptError(ValueError):
    """It cannot be sent; the text says why."""


def read_file(path: str) -> bytes:
    """A file of the controller; raises OSError."""
    with open(path, "rb") as source:
        return source.read()
